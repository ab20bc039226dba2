/* SPDX-License-Identifier: MIT */
#include "job_list.h"

#include <stdlib.h>
#include <string.h>

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
    list->notes = must_grow(list->notes, list->note_count + 1, sizeof(*list->notes));
    list->notes[list->note_count++] = must_format("%s: %s", place, note);
}

/* Whether a topic comes up for the first time; none is always new. */
static bool is_new_topic(struct job_list *list, const char *topic)
{
    if (!topic)
        return true;
    for (size_t i = 0; i < list->topic_count; i++)
        if (strcmp(list->topics[i], topic) == 0)
            return false;
    list->topics = must_grow(list->topics, list->topic_count + 1, sizeof(*list->topics));
    list->topics[list->topic_count++] = topic;
    return true;
}

int job_list_settle(struct job_list *list, const char *place, int result, struct message *message)
{
    if (result && message->refused) {
        list->refusals =
            must_grow(list->refusals, list->refusal_count + 1, sizeof(*list->refusals));
        list->refusals[list->refusal_count++] = must_format("%s: %s", place, message->text);
        result = 0;
    } else if (result == 0 && message->note[0] && is_new_topic(list, message->topic)) {
        job_list_note(list, place, message->note);
    }
    message->note[0] = '\0';
    message->topic = NULL;
    message->refused = false;
    return result;
}

void job_list_free(struct job_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        job_options_free(&list->jobs[i]);
    for (size_t i = 0; i < list->note_count; i++)
        free(list->notes[i]);
    for (size_t i = 0; i < list->refusal_count; i++)
        free(list->refusals[i]);
    free(list->jobs);
    free(list->notes);
    free(list->topics);
    free(list->refusals);
    *list = (struct job_list){0};
}
