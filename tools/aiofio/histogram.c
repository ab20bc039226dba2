/* SPDX-License-Identifier: MIT */
#include "histogram.h"

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
    /* What is zero is not written: most pages of a job's histograms are never touched. */
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (from->buckets[i])
            to->buckets[i] += from->buckets[i];
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    uint64_t total = histogram_total(histogram);
    /* As exact as fio's, so that a rank which is just a whole number is the same one. */
    long double wanted = (long double)percent / 100 * (long double)total;
    uint64_t seen = 0;

    if (total == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen && (long double)seen >= wanted)
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
