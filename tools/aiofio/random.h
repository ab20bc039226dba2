/* SPDX-License-Identifier: MIT */
/*
 * random.h - seeded numbers, and orders in which every number comes once.
 *
 * The same seed, job name and clone give the same run, whatever other jobs there are.
 */
#ifndef AIOFIO_RANDOM_H
#define AIOFIO_RANDOM_H

#include <stdint.h>

struct random_stream {
    uint64_t state;
};

/* Mixes the bits of a number: the finalizer all seeds and keys go through. */
uint64_t random_mix(uint64_t value);

/* A seed of a job's own: from the user's seed, the job's name and the number of the clone. */
uint64_t random_job_seed(uint64_t seed, const char *name, uint64_t clone);

void random_stream_init(struct random_stream *stream, uint64_t seed);
uint64_t random_next(struct random_stream *stream);

/* Evenly from 0 to bound - 1; bound > 0. */
uint64_t random_below(struct random_stream *stream, uint64_t bound);

#define PERMUTATION_ROUNDS 3

/* A permutation of 0 .. count - 1 in constant memory. */
struct permutation {
    uint64_t count;
    uint64_t mask; /* of the power of two not below count */
    unsigned bits;
    unsigned fold;
    uint64_t factors[PERMUTATION_ROUNDS]; /* odd */
    uint64_t keys[PERMUTATION_ROUNDS];
};

void permutation_init(struct permutation *permutation, uint64_t count, uint64_t seed);

/* The number at a position; position < count. */
uint64_t permutation_at(const struct permutation *permutation, uint64_t position);

#endif
