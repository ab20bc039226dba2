/* SPDX-License-Identifier: MIT */
/*
 * plan.h - what will run: every clone of every job, in groups, each with its file and its blocks.
 */
#ifndef AIOFIO_PLAN_H
#define AIOFIO_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "distribution.h"
#include "job_list.h"
#include "pattern.h"
#include "target.h"

/* One of a job's files. */
struct plan_file {
    char *path;

    /* Set when the files are known: layout_check(). */
    struct target *target;
    struct pattern_spec pattern;
};

struct plan_job {
    const struct job_options *options;
    unsigned number;  /* over all jobs */
    unsigned clone;   /* of its section */
    unsigned group;   /* of the report */
    unsigned stage;   /* stages run one after the other */
    size_t section;   /* which of the job list it is a clone of */
    size_t waits_for; /* a section; itself: none */
    struct plan_file *files;
    unsigned file_count;
    uint64_t seed; /* for this seed, name and clone alone */
    bool reads;
    bool writes;
    bool random;
    bool appends; /* its writes go to the end of the file, and have any size */
    bool verifies;
    unsigned depth; /* operations in flight */
    unsigned batch; /* most operations of a submit */
    unsigned reap_min;
    unsigned reap_max;
    unsigned low;                       /* submit again when no more than so many are in flight */
    struct distribution *distributions; /* two; NULL: even */
    uint64_t grain;                     /* bytes that divide every length and random offset */

    struct pattern_spec pattern; /* of all files; region and amount are in each file's own */

    /* Set when the files are known: layout_check(). */
    struct target *target; /* of the first file */
    uint64_t offset;       /* where the region of each file starts */
};

struct plan {
    const struct job_list *list; /* what it was made of */
    struct plan_job *jobs;
    unsigned job_count;
    unsigned group_count;
    unsigned stage_count;
    struct target_set files;
};

/* Works the jobs out; notes are added to the list. No file is looked at. 0, or -1 and a reason. */
int plan_build(struct plan *plan, struct job_list *list, struct message *message);
void plan_free(struct plan *plan);

/* The first byte after what the job may touch of a file. */
static inline uint64_t plan_file_end(const struct plan_job *job, const struct plan_file *file)
{
    return job->offset + pattern_pass_bytes(&file->pattern);
}

/* The job's file that is the target, or NULL. */
const struct plan_file *plan_job_file(const struct plan_job *job, const struct target *target);

/* The largest power of two that divides every offset and length of the job: what alignment it has.
 */
static inline uint64_t plan_job_grain(const struct plan_job *job)
{
    uint64_t all = job->grain | job->offset;

    return all & -all;
}

/* Bytes that the job is going to move; 0: it runs until its time is over. Where operations are
 * counted and sizes vary, it is not known before. */
uint64_t plan_job_bytes(const struct plan_job *job);

#endif
