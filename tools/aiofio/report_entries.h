/* SPDX-License-Identifier: MIT */
/*
 * report_entries.h - what a report has entries for: jobs, or groups as one, and their sums.
 */
#ifndef AIOFIO_REPORT_ENTRIES_H
#define AIOFIO_REPORT_ENTRIES_H

#include "percentile_list.h"
#include "worker.h"

/* One job, or the sum of a group's. */
struct report_entry {
    const struct worker *first;
    unsigned jobs;
    struct job_stats *stats; /* the entry's own */
    struct percentile_list percentiles;
    struct verify_counts verify;
    const struct worker *failed;               /* the first that had an error, or NULL */
    double group_bytes_per_s[DIRECTION_COUNT]; /* of all jobs of the entry's group */
};

struct report_entries {
    struct report_entry *entries;
    unsigned count;
    unsigned groups; /* that were started */
};

void report_entries_make(struct report_entries *entries, const struct run *run);
void report_entries_free(struct report_entries *entries);

/* A direction of a group: the sum, and the span between its jobs. */
struct group_sum {
    uint64_t bytes;
    uint64_t shortest_ns;
    uint64_t longest_ns;
    double slowest; /* bytes per second */
    double fastest;
    unsigned jobs;
};

struct group_sum group_sum(const struct run *run, unsigned group, unsigned direction);
double group_sum_rate(const struct group_sum *sum);

/* amount per second */
double report_rate_of(double amount, uint64_t runtime_ns);

#endif
