/* SPDX-License-Identifier: MIT */
/*
 * job_list.h - the jobs as the user wrote them, before clones, files and groups are worked out.
 */
#ifndef AIOFIO_JOB_LIST_H
#define AIOFIO_JOB_LIST_H

#include <stddef.h>

#include "options.h"

struct job_list {
    struct job_options *jobs;
    size_t count;
    char **notes; /* warnings met on the way */
    size_t note_count;
};

/* Adds a job with a copy of the options; it is list->jobs[list->count - 1] until the next one. */
struct job_options *job_list_add(struct job_list *list, const struct job_options *options,
                                 const char *name);

/* Keeps a warning with the place it is about. */
void job_list_note(struct job_list *list, const char *place, const char *note);

void job_list_free(struct job_list *list);

#endif
