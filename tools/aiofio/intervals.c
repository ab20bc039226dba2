/* SPDX-License-Identifier: MIT */
#include "intervals.h"

#include "live.h"
#include "worker.h"

void intervals_start(struct intervals *intervals, uint64_t now_ns)
{
    *intervals = (struct intervals){.origin_ns = now_ns};
}

/* What the jobs have shown so far. */
static void sum_cells(const struct run *run, unsigned direction, struct interval_part *sum)
{
    *sum = (struct interval_part){0};
    for (unsigned i = 0; i < run->plan->job_count; i++) {
        const struct live_direction *shown;

        if (!run->workers[i].live)
            continue;
        shown = &run->workers[i].live->directions[direction];
        sum->bytes += atomic_load_explicit(&shown->bytes, memory_order_relaxed);
        for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++)
            sum->histogram.buckets[k] +=
                atomic_load_explicit(&shown->buckets[k], memory_order_relaxed);
    }
    sum->operations = histogram_total(&sum->histogram);
}

void intervals_take(struct intervals *intervals, const struct run *run, uint64_t now_ns)
{
    struct interval *last = &intervals->last;

    last->start_ns = last->end_ns;
    last->end_ns = now_ns - intervals->origin_ns;
    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++) {
        struct interval_part *total = &intervals->totals[i];
        struct interval_part now;

        sum_cells(run, i, &now);
        last->parts[i].operations = now.operations - total->operations;
        last->parts[i].bytes = now.bytes - total->bytes;
        for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++)
            last->parts[i].histogram.buckets[k] =
                now.histogram.buckets[k] - total->histogram.buckets[k];
        *total = now;
    }
}

struct interval_point interval_summarise(const struct interval *interval)
{
    static const double percents[INTERVAL_LATENCIES] = {50, 99, 100};
    struct interval_point point = {
        .end_s = (double)interval->end_ns / 1e9,
        .lasted_s = (double)(interval->end_ns - interval->start_ns) / 1e9,
    };
    struct histogram all = {{0}};

    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++) {
        point.operations[i] = interval->parts[i].operations;
        point.bytes[i] = interval->parts[i].bytes;
        histogram_merge(&all, &interval->parts[i].histogram);
    }
    for (unsigned i = 0; i < INTERVAL_LATENCIES; i++)
        point.latency_ns[i] = histogram_percentile(&all, percents[i]);
    return point;
}
