/* SPDX-License-Identifier: MIT */
/*
 * intervals.h - what all jobs together completed between one look and the next.
 */
#ifndef AIOFIO_INTERVALS_H
#define AIOFIO_INTERVALS_H

#include <stdint.h>

#include "histogram.h"
#include "stats.h"

struct run;

struct interval_part {
    uint64_t operations;
    uint64_t bytes;
    struct histogram histogram; /* of clat */
};

struct interval {
    uint64_t start_ns; /* from the first look on */
    uint64_t end_ns;
    struct interval_part parts[DIRECTION_DATA_COUNT];
};

/* p50, p99 and the largest. */
#define INTERVAL_LATENCIES 3u

/* What is kept of an interval that is over. */
struct interval_point {
    double end_s;
    double lasted_s;
    uint64_t operations[DIRECTION_DATA_COUNT];
    uint64_t bytes[DIRECTION_DATA_COUNT];
    uint64_t latency_ns[INTERVAL_LATENCIES]; /* of all directions; 0 where nothing completed */
};

struct intervals {
    uint64_t origin_ns;
    struct interval last;                              /* between the last two looks */
    struct interval_part totals[DIRECTION_DATA_COUNT]; /* until the last look */
};

void intervals_start(struct intervals *intervals, uint64_t now_ns);

/* Looks: intervals->last is what has come since the look before. */
void intervals_take(struct intervals *intervals, const struct run *run, uint64_t now_ns);

struct interval_point interval_summarise(const struct interval *interval);

#endif
