/* SPDX-License-Identifier: MIT */
/*
 * options.c - structs that carry their own size.
 */
#include "options.h"

#include <errno.h>
#include <string.h>

static size_t size_member(const void *sized)
{
    size_t size;

    memcpy(&size, sized, sizeof(size));
    return size;
}

int options_read(void *options, size_t known_size, size_t minimum_size, const void *given)
{
    size_t given_size = size_member(given);
    const unsigned char *bytes = given;

    if (given_size < minimum_size)
        return -EINVAL;
    for (size_t index = known_size; index < given_size; index++)
        if (bytes[index] != 0)
            return -E2BIG;
    memcpy(options, given, given_size < known_size ? given_size : known_size);
    return 0;
}

int options_write(void *result, size_t minimum_size, const void *known, size_t known_size)
{
    size_t room = size_member(result);

    if (room < minimum_size)
        return -EINVAL;
    if (room > known_size)
        room = known_size;
    memcpy(result, known, room);
    memcpy(result, &room, sizeof(room));
    return 0;
}
