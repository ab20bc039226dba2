/* SPDX-License-Identifier: MIT */
/*
 * A block's word, from the low end:
 *
 *   28 bits  issued    generation of the last write issued
 *   12 bits  low       issued - low is the lowest generation that can be there
 *   12 bits  base      issued - base was the first write of those that overlap now
 *   12 bits  inflight  writes issued and not completed
 *
 * Writes overlap in a chain: it begins when the first is issued on a quiet block and ends when none
 * is in flight. What lay there before the chain is gone as soon as one write of it has completed,
 * so that completion raises the lowest to the chain's first. Within a chain every generation stays
 * possible, which is sometimes one too many and never one too few.
 *
 * The two distances stop at FAR, which means "no lower bound": nothing is checked then.
 *
 * Every change of a word is one compare-and-swap that releases; expect_view() acquires. That pairs
 * a write's completion with a later read on another thread: whoever sees the raised lowest also
 * submits its read after the write was done.
 */
#include "expect.h"

#include <assert.h>
#include <stdlib.h>

#include "text.h"

#define ISSUED_BITS 28
#define DISTANCE_BITS 12
#define ISSUED_MAX ((1u << ISSUED_BITS) - 1)
#define FAR ((1u << DISTANCE_BITS) - 1)

struct word {
    uint32_t issued;
    uint32_t low;
    uint32_t base;
    uint32_t inflight;
};

static struct word unpack(uint64_t packed)
{
    return (struct word){
        .issued = packed & ISSUED_MAX,
        .low = (packed >> ISSUED_BITS) & FAR,
        .base = (packed >> (ISSUED_BITS + DISTANCE_BITS)) & FAR,
        .inflight = (packed >> (ISSUED_BITS + 2 * DISTANCE_BITS)) & FAR,
    };
}

static uint64_t pack(const struct word *word)
{
    return (uint64_t)word->issued | (uint64_t)word->low << ISSUED_BITS |
           (uint64_t)word->base << (ISSUED_BITS + DISTANCE_BITS) |
           (uint64_t)word->inflight << (ISSUED_BITS + 2 * DISTANCE_BITS);
}

void expect_init(struct expect *expect, uint64_t count)
{
    expect->count = count;
    expect->blocks = must_alloc(count, sizeof(*expect->blocks));
}

void expect_free(struct expect *expect)
{
    if (!expect->placed)
        free((void *)expect->blocks);
    *expect = (struct expect){0};
}

void expect_place(struct expect *expect, void *memory)
{
    if (!expect->placed)
        free((void *)expect->blocks);
    expect->blocks = memory;
    expect->placed = true;
}

static uint32_t further(uint32_t distance)
{
    return distance == FAR ? FAR : distance + 1;
}

uint32_t expect_write_begin(struct expect *expect, uint64_t block)
{
    _Atomic uint64_t *place = &expect->blocks[block];
    uint64_t packed = atomic_load_explicit(place, memory_order_relaxed);
    struct word word;

    assert(block < expect->count);
    do {
        word = unpack(packed);
        assert(word.inflight < FAR && word.issued < ISSUED_MAX);
        word.base = word.inflight == 0 ? 0 : further(word.base);
        word.low = further(word.low);
        word.issued++;
        word.inflight++;
    } while (!atomic_compare_exchange_weak_explicit(place, &packed, pack(&word),
                                                    memory_order_acq_rel, memory_order_relaxed));
    return word.issued;
}

void expect_write_end(struct expect *expect, uint64_t block, bool succeeded)
{
    _Atomic uint64_t *place = &expect->blocks[block];
    uint64_t packed = atomic_load_explicit(place, memory_order_relaxed);
    struct word word;

    assert(block < expect->count);
    do {
        word = unpack(packed);
        assert(word.inflight > 0);
        word.inflight--;
        if (!succeeded)
            word.low = FAR;
        else if (word.base < word.low)
            word.low = word.base;
    } while (!atomic_compare_exchange_weak_explicit(place, &packed, pack(&word),
                                                    memory_order_acq_rel, memory_order_relaxed));
}

struct expect_view expect_view(const struct expect *expect, uint64_t block)
{
    struct word word;

    assert(block < expect->count);
    word = unpack(atomic_load_explicit(&expect->blocks[block], memory_order_acquire));
    return (struct expect_view){
        .lowest = word.low == FAR || word.low >= word.issued ? 0 : word.issued - word.low,
        .highest = word.issued,
        .writing = word.inflight > 0,
    };
}

void expect_lower(struct expect *expect, uint64_t block, uint32_t lowest)
{
    struct word word = unpack(atomic_load_explicit(&expect->blocks[block], memory_order_relaxed));

    word.low = lowest == 0 || word.issued - lowest >= FAR ? FAR : word.issued - lowest;
    atomic_store_explicit(&expect->blocks[block], pack(&word), memory_order_relaxed);
}

bool expect_any_written(const struct expect *expect, uint64_t from, uint64_t to)
{
    for (uint64_t block = from; block < to; block++)
        if (expect_view(expect, block).highest > 0)
            return true;
    return false;
}

uint64_t expect_written(const struct expect *expect)
{
    uint64_t written = 0;

    for (uint64_t i = 0; i < expect->count; i++)
        written += expect_view(expect, i).highest > 0;
    return written;
}
