/* SPDX-License-Identifier: MIT */
/*
 * report_entries.h - what a report has entries for: jobs, or groups as one, and their sums.
 */
#ifndef AIOFIO_REPORT_ENTRIES_H
#define AIOFIO_REPORT_ENTRIES_H

#include "percentile_list.h"
#include "worker.h"

/* What a report has a part for: a direction, reads and writes as one, or what never happened. */
enum report_part { PART_MIXED = DIRECTION_COUNT, PART_NOTHING, PART_COUNT };

/* One job, or the sum of a group's. */
struct report_entry {
    const struct worker *first;
    unsigned jobs;
    struct job_stats *stats;       /* the entry's own */
    struct direction_stats *mixed; /* reads and writes as one; NULL: not asked for */
    struct percentile_list percentiles;
    struct verify_counts verify;
    const struct worker *failed;          /* the first that had an error, or NULL */
    double group_bytes_per_s[PART_COUNT]; /* of all jobs of the entry's group */
};

struct report_entries {
    struct report_entry *entries;
    unsigned count;
    unsigned groups; /* that were started */
};

void report_entries_make(struct report_entries *entries, const struct run *run);
void report_entries_free(struct report_entries *entries);

/* part: an enum direction or an enum report_part. */
const struct direction_stats *report_stats(const struct report_entry *entry, unsigned part);

/* Whether unified_rw_reporting wants this part. */
bool report_wants(const struct job_options *options, unsigned part);

/* A part of a group: the sum, and the span between its jobs. */
struct group_sum {
    uint64_t bytes;
    uint64_t shortest_ns;
    uint64_t longest_ns;
    double slowest; /* bytes per second */
    double fastest;
    unsigned jobs;
};

struct group_sum group_sum(const struct run *run, unsigned group, unsigned part);
double group_sum_rate(const struct group_sum *sum);

/* amount per second */
double report_rate_of(double amount, uint64_t runtime_ns);

#endif
