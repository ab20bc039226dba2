/* SPDX-License-Identifier: MIT */
/*
 * consumer.c - a program that knows libaiofile only as installed. Compiled as C and as C++.
 */
#include <aiofile/aiofile.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    void *memory = aio_buffer_alloc(4096, 0, AIO_BUFFER_ZERO);
    int same = strcmp(aio_file_version(), AIOFILE_VERSION) == 0;

    aio_buffer_free(memory);
    printf("%s\n", aio_file_version());
    return same && memory != NULL ? 0 : 1;
}
