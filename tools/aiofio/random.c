/* SPDX-License-Identifier: MIT */
#include "random.h"

#include <assert.h>

/* The odd number nearest 2^64 over the golden ratio: steps of it spread evenly over all states. */
#define GOLDEN 0x9e3779b97f4a7c15ull

uint64_t random_mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    value ^= value >> 32;
    return value;
}

uint64_t random_job_seed(uint64_t seed, const char *name, uint64_t clone)
{
    uint64_t mixed = random_mix(seed + GOLDEN);

    for (; *name; name++)
        mixed = random_mix(mixed ^ (unsigned char)*name) + GOLDEN;
    return random_mix(mixed + clone * GOLDEN);
}

void random_stream_init(struct random_stream *stream, uint64_t seed)
{
    stream->state = seed;
}

uint64_t random_next(struct random_stream *stream)
{
    stream->state += GOLDEN;
    return random_mix(stream->state);
}

uint64_t random_below(struct random_stream *stream, uint64_t bound)
{
    /* The high half of the product: biased by less than bound / 2^64. */
    return (uint64_t)((__extension__(unsigned __int128) random_next(stream) * bound) >> 64);
}

void permutation_init(struct permutation *permutation, uint64_t count, uint64_t seed)
{
    struct random_stream stream;

    assert(count > 0);
    permutation->count = count;
    permutation->bits = 1;
    while (permutation->bits < 64 && (count - 1) >> permutation->bits)
        permutation->bits++;
    permutation->mask = permutation->bits < 64 ? (1ull << permutation->bits) - 1 : UINT64_MAX;
    random_stream_init(&stream, seed);
    for (unsigned i = 0; i < PERMUTATION_ROUNDS; i++) {
        permutation->factors[i] = random_next(&stream) | 1;
        permutation->keys[i] = random_next(&stream);
    }
    permutation->fold = (permutation->bits + 1) / 2;
}

/* Shuffles the numbers below a power of two. Each step can be undone, so no two numbers meet:
 * multiplying by an odd number, adding a key, and folding the upper half onto the lower. */
static uint64_t shuffle(const struct permutation *permutation, uint64_t value)
{
    for (unsigned i = 0; i < PERMUTATION_ROUNDS; i++) {
        value = (value * permutation->factors[i] + permutation->keys[i]) & permutation->mask;
        value ^= value >> permutation->fold;
    }
    return value;
}

uint64_t permutation_at(const struct permutation *permutation, uint64_t position)
{
    uint64_t value = position;

    assert(position < permutation->count);
    /* Numbers from count up are walked over: the cycle that leaves the range comes back into it,
     * after two steps on average at most. */
    do
        value = shuffle(permutation, value);
    while (value >= permutation->count);
    return value;
}
