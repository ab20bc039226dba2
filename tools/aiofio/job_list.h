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
    const char **topics; /* of the notes that are said once */
    size_t topic_count;
    char **refusals; /* options that fio has and this version does not */
    size_t refusal_count;
};

/* Adds a job with a copy of the options; it is list->jobs[list->count - 1] until the next one. */
struct job_options *job_list_add(struct job_list *list, const struct job_options *options,
                                 const char *name);

/* Keeps a warning with the place it is about. */
void job_list_note(struct job_list *list, const char *place, const char *note);

/*
 * Sorts out what setting an option left: a note is kept; a refusal is kept, too, and is no failure
 * yet, since all of them are told at once and --lenient may come later. Returns the result, or 0.
 */
int job_list_settle(struct job_list *list, const char *place, int result, struct message *message);

void job_list_free(struct job_list *list);

#endif
