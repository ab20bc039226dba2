/* SPDX-License-Identifier: MIT */
/*
 * memory.c - memory of a transfer at any address, with guards.
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

#include "judge.h"

#define GUARD 0xa5

/* Enough for a block that is rounded outward. */
#define GUARD_AT_ENDS ((uint64_t)2 * PAGE)

/* The most that stands between two pieces, and one more page to align it. */
#define GAP_MAX ((uint64_t)2 * PAGE)

static void arena_reserve(struct memory *memory, uint64_t room)
{
    if (memory->pieces == NULL)
        memory->pieces = calloc(PIECES_MAX, sizeof(memory->pieces[0]));
    must(memory->pieces != NULL, "have memory");
    if (memory->room >= room)
        return;
    free(memory->arena);
    memory->room = room + 64 * KIB;
    memory->arena = page_alloc(memory->room);
}

void memory_free(struct memory *memory)
{
    free(memory->arena);
    free(memory->pieces);
    *memory = (struct memory){0};
}

/* Bytes beyond a page's start, for a transfer of some unit: what is aligned in the file is often
 * so in memory. */
static uint64_t choose_skew(uint64_t *random, uint64_t unit)
{
    static const uint16_t skews[] = {1, 8, 64, 511, 512, 513, 1024, 2048, 4095};

    if (below(random, 100) < (unit == 1 ? 30 : 60))
        return 0;
    if (one_in(random, 4))
        return below(random, PAGE);
    if (unit == 512 && one_in(random, 2))
        return 512 * below(random, PAGE / 512);
    return ONE_OF(random, skews);
}

/* Where the next piece begins, at or after a place in the arena. */
static uint64_t choose_place(uint64_t *random, uint64_t unit, uint64_t from)
{
    return (from + 16 + PAGE - 1) / PAGE * PAGE + choose_skew(random, unit);
}

static unsigned choose_count(uint64_t *random, enum memory_shape shape, uint64_t length)
{
    switch (shape) {
    case MEMORY_ONE:
        return 1;
    case MEMORY_VECTORS:
        if (length > 0)
            return 1 + (unsigned)below(random, one_in(random, 3) ? 40 : 5);
        return (unsigned)below(random, 40);
    default:
        return 1025 + (unsigned)below(random, PIECES_MAX - 1025);
    }
}

/* Bytes of the next of so many pieces. */
static uint64_t choose_part(uint64_t *random, uint64_t rest, unsigned pieces, uint64_t cut)
{
    uint64_t part;

    if (pieces == 1 || rest == 0)
        return rest;
    if (one_in(random, 8))
        return 0;
    part = below(random, 2 * (rest / pieces) + 2 * cut) / cut * cut;
    return part < rest ? part : rest;
}

void memory_lay(struct memory *memory, uint64_t *random, enum memory_shape shape, uint64_t length,
                uint64_t unit)
{
    unsigned count = choose_count(random, shape, length);
    uint64_t cut = one_in(random, 3) ? 1 : unit;
    uint64_t gap = shape == MEMORY_CROWD ? 32 : GAP_MAX + 16;
    uint64_t rest = length;
    uint64_t place = GUARD_AT_ENDS;

    arena_reserve(memory, length + count * gap + 2 * GUARD_AT_ENDS + PAGE);
    for (unsigned index = 0; index < count; index++) {
        uint64_t part = choose_part(random, rest, count - index, cut);

        place = shape == MEMORY_CROWD ? place + 1 + below(random, 16)
                                      : choose_place(random, unit, place);
        memory->pieces[index] = (struct iovec){memory->arena + place, part};
        place += part;
        rest -= part;
    }
    memory->count = count;
    memory->length = length;
    memory->used = place + GUARD_AT_ENDS;
    memset(memory->arena, GUARD, memory->used);
}

void memory_put(struct memory *memory, const unsigned char *bytes)
{
    for (unsigned index = 0; index < memory->count; index++) {
        memcpy(memory->pieces[index].iov_base, bytes, memory->pieces[index].iov_len);
        bytes += memory->pieces[index].iov_len;
    }
}

static void check_guard(const struct memory *memory, const char *what, const unsigned char *start,
                        const unsigned char *end)
{
    const unsigned char *at = start;

    /* The first is right, and each is as the one before it. */
    if (start == end || (*at == GUARD && memcmp(at, at + 1, (uint64_t)(end - at) - 1) == 0))
        return;
    while (*at == GUARD)
        at++;
    disagree("%s of %llu bytes in %u pieces touched memory beside them: %lld bytes behind the "
             "start of a gap of %lld is 0x%02x",
             what, (unsigned long long)memory->length, memory->count, (long long)(at - start),
             (long long)(end - start), *at);
}

void memory_check(const struct memory *memory, const char *what, const unsigned char *bytes,
                  uint64_t count, uint64_t offset)
{
    const unsigned char *before = memory->arena;

    for (unsigned index = 0; index < memory->count; index++) {
        const struct iovec *piece = &memory->pieces[index];
        uint64_t part = piece->iov_len < count ? piece->iov_len : count;

        check_guard(memory, what, before, piece->iov_base);
        agree_bytes(what, piece->iov_base, bytes, part, offset);
        before = (const unsigned char *)piece->iov_base + piece->iov_len;
        bytes += part;
        offset += part;
        count -= part;
    }
    check_guard(memory, what, before, memory->arena + memory->used);
}

void memory_get(const struct memory *memory, const char *what, unsigned char *bytes, uint64_t count)
{
    unsigned char *start = bytes;
    uint64_t rest = count;

    for (unsigned index = 0; index < memory->count; index++) {
        const struct iovec *piece = &memory->pieces[index];
        uint64_t part = piece->iov_len < rest ? piece->iov_len : rest;

        memcpy(bytes, piece->iov_base, part);
        bytes += part;
        rest -= part;
    }
    memory_check(memory, what, start, count, 0);
}

void *memory_one(const struct memory *memory)
{
    return memory->count > 0 ? memory->pieces[0].iov_base : NULL;
}
