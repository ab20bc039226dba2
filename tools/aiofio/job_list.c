/* SPDX-License-Identifier: MIT */
#include "job_list.h"

#include <stdio.h>
#include <stdlib.h>

struct job_options *job_list_add(struct job_list *list, const struct job_options *options,
                                 const char *name)
{
    struct job_options *job;

    list->jobs = must_grow(list->jobs, list->count + 1, sizeof(*list->jobs));
    job = &list->jobs[list->count++];
    job_options_copy(job, options);
    free(job->name);
    job->name = must_copy(name);
    return job;
}

void job_list_note(struct job_list *list, const char *place, const char *note)
{
    char text[sizeof(struct message)];

    snprintf(text, sizeof(text), "%s: %s", place, note);
    list->notes = must_grow(list->notes, list->note_count + 1, sizeof(*list->notes));
    list->notes[list->note_count++] = must_copy(text);
}

void job_list_free(struct job_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        job_options_free(&list->jobs[i]);
    for (size_t i = 0; i < list->note_count; i++)
        free(list->notes[i]);
    free(list->jobs);
    free(list->notes);
    *list = (struct job_list){0};
}
