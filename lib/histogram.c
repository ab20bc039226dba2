/* SPDX-License-Identifier: MIT */
/*
 * histogram.c - durations by size.
 *
 * Below 8 ns each has a bucket of its own; from there on each power of two is cut into four.
 */
#include "histogram.h"

#include <math.h>

static uint64_t bucket_floor(unsigned bucket)
{
    unsigned exponent = bucket / 4 + 1;

    if (bucket < 8)
        return bucket;
    return (UINT64_C(4) + bucket % 4) << (exponent - 2);
}

uint64_t aio_histogram_bound(unsigned bucket)
{
    if (bucket >= AIO_HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    return bucket_floor(bucket + 1) - 1;
}

uint64_t aio_histogram_percentile(const struct aio_histogram *histogram, double percent)
{
    double wanted;
    uint64_t seen = 0;

    if (histogram == NULL || histogram->count == 0)
        return 0;
    /* Comparisons of a NaN that raise no exception: the program may have them trapped. */
    if (!isgreaterequal(percent, 0) || !islessequal(percent, 100))
        return 0;
    wanted = (double)histogram->count * percent / 100;
    for (unsigned bucket = 0; bucket < AIO_HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen > 0 && (double)seen >= wanted)
            return aio_histogram_bound(bucket) < histogram->max_ns ? aio_histogram_bound(bucket)
                                                                   : histogram->max_ns;
    }
    return histogram->max_ns;
}
