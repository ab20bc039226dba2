/* SPDX-License-Identifier: MIT */
/*
 * histogram.h - latencies in fio's buckets: 64 to the octave, 29 groups, less than 0.8 % wide.
 */
#ifndef AIOFIO_HISTOGRAM_H
#define AIOFIO_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS 6
#define HISTOGRAM_GROUPS 29
#define HISTOGRAM_BUCKETS ((1u << HISTOGRAM_BITS) * HISTOGRAM_GROUPS)

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* The bucket of a value in nanoseconds; values of 2^34 and more share the last. */
static inline unsigned histogram_bucket(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned shift;

    /* The first two groups are exact: one bucket for each value below 128. */
    if (bits <= HISTOGRAM_BITS + 1)
        return (unsigned)value;
    shift = bits - HISTOGRAM_BITS - 1;
    if (shift + 1 >= HISTOGRAM_GROUPS)
        return HISTOGRAM_BUCKETS - 1;
    return ((shift + 1) << HISTOGRAM_BITS) +
           (unsigned)((value >> shift) & ((1u << HISTOGRAM_BITS) - 1));
}

/* Adds a value that came count times. */
static inline void histogram_add(struct histogram *histogram, uint64_t value, unsigned count)
{
    histogram->buckets[histogram_bucket(value)] += count;
}

/* The value in the middle of a bucket, which stands for all of it. */
uint64_t histogram_value(unsigned bucket);

/* How many values were added. */
uint64_t histogram_total(const struct histogram *histogram);

void histogram_merge(struct histogram *to, const struct histogram *from);

/* The value below or at which percent of the values lie; 0 for an empty histogram. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* How many values lie in buckets whose middle is below limit. */
uint64_t histogram_below(const struct histogram *histogram, uint64_t limit);

#endif
