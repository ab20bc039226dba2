/* SPDX-License-Identifier: MIT */
/*
 * histogram.h - durations by size. Nothing is locked: who has the histogram has a lock for it.
 */
#ifndef AIOFILE_LIB_HISTOGRAM_H
#define AIOFILE_LIB_HISTOGRAM_H

#include <stdint.h>

#include <aiofile/queue.h>

static inline unsigned histogram_bucket(uint64_t duration_ns)
{
    unsigned exponent;
    unsigned bucket;

    if (duration_ns < 8)
        return (unsigned)duration_ns;
    exponent = 63 - (unsigned)__builtin_clzll(duration_ns);
    bucket = (exponent - 1) * 4 + (unsigned)(duration_ns >> (exponent - 2) & 3);
    return bucket < AIO_HISTOGRAM_BUCKETS ? bucket : AIO_HISTOGRAM_BUCKETS - 1;
}

/* So many of the same duration. A clock read by two threads may seem to go backward: that counts as
 * no time. */
static inline void histogram_add_many(struct aio_histogram *histogram, int64_t duration_ns,
                                      uint64_t count)
{
    uint64_t duration = duration_ns > 0 ? (uint64_t)duration_ns : 0;

    histogram->count += count;
    histogram->total_ns += duration * count;
    if (duration > histogram->max_ns)
        histogram->max_ns = duration;
    histogram->buckets[histogram_bucket(duration)] += count;
}

static inline void histogram_add(struct aio_histogram *histogram, int64_t duration_ns)
{
    histogram_add_many(histogram, duration_ns, 1);
}

#endif
