/* SPDX-License-Identifier: MIT */
/*
 * report_lines.h - single lines of the report, in fio's shape.
 */
#ifndef AIOFIO_REPORT_LINES_H
#define AIOFIO_REPORT_LINES_H

#include <stdio.h>

#include "percentile_list.h"
#include "stats.h"

/* "    clat (usec): min=4, max=187, avg=21.90, stdev=15.57"; label is padded by the caller. */
void report_moments(FILE *out, const char *label, const struct moments *moments);

/* "    clat percentiles (usec):" and its rows. */
void report_percentiles(FILE *out, const char *label, const struct histogram *histogram,
                        const struct percentile_list *list);

/* "  lat (usec)   : 50=0.25%, 100=32.97%" and its sisters for nsec and msec. */
void report_distribution(FILE *out, const struct histogram *histogram);

/* Over which times the windows are averaged, and the rate of the whole group. */
struct window_averages {
    uint64_t bandwidth_ns;
    uint64_t iops_ns;
    double all_bytes_per_s;
};

/* "   bw (  KiB/s): min=..." and "   iops        : min=...", windows of a stall included. */
void report_windows(FILE *out, const struct window_series *series,
                    const struct window_averages *averages);

/* "103MiB/s (108MB/s)". */
void report_rate(FILE *out, double bytes_per_s);

#endif
