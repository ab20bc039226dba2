/* SPDX-License-Identifier: MIT */
#include "histogram.h"

#include <math.h>

#define PER_GROUP (1u << HISTOGRAM_BITS)

uint64_t histogram_value(unsigned bucket)
{
    unsigned shift;

    if (bucket < 2 * PER_GROUP)
        return bucket;
    shift = (bucket >> HISTOGRAM_BITS) - 1;
    return (1ull << (shift + HISTOGRAM_BITS)) + ((uint64_t)(bucket % PER_GROUP) << shift) +
           (1ull << shift) / 2;
}

uint64_t histogram_total(const struct histogram *histogram)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += histogram->buckets[i];
    return total;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    uint64_t total = histogram_total(histogram);
    uint64_t wanted = (uint64_t)ceil(percent / 100.0 * (double)total);
    uint64_t seen = 0;

    if (total == 0)
        return 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted)
            return histogram_value(i);
    }
    return histogram_value(HISTOGRAM_BUCKETS - 1);
}

uint64_t histogram_below(const struct histogram *histogram, uint64_t limit)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram_value(i) < limit; i++)
        seen += histogram->buckets[i];
    return seen;
}
