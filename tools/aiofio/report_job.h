/* SPDX-License-Identifier: MIT */
/*
 * report_job.h - the part of the report that is about one job, or about a group as one.
 */
#ifndef AIOFIO_REPORT_JOB_H
#define AIOFIO_REPORT_JOB_H

#include <stdio.h>

#include "percentile_list.h"
#include "worker.h"

/* One job, or the sum of a group's. */
struct report_entry {
    const struct worker *first;
    unsigned jobs;
    struct job_stats *stats; /* the entry's own */
    struct percentile_list percentiles;
    struct verify_counts verify;
    const struct worker *failed; /* the first that had an error, or NULL */
};

void report_entry_add(struct report_entry *entry, const struct worker *worker);

/* group_bytes_per_s: by direction, of all jobs of the entry's group. */
void report_entry_print(FILE *out, const struct report_entry *entry,
                        const double group_bytes_per_s[DIRECTION_COUNT]);

#endif
