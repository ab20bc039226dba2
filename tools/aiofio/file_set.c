/* SPDX-License-Identifier: MIT */
#include "file_set.h"

#include <stdlib.h>

#include "options.h"
#include "text.h"

void file_set_init(struct file_set *set, const struct plan_job *job)
{
    const struct job_options *options = job->options;

    *set = (struct file_set){
        .patterns = must_alloc(job->file_count, sizeof(*set->patterns)),
        .ended = must_alloc(job->file_count, sizeof(*set->ended)),
        .count = job->file_count,
        .left = job->file_count,
        .turn = options->service_turn,
        .service = options->file_service_type,
        .operations_left = UINT64_MAX,
    };
    if (options->number_ios && job->pattern.loops)
        set->operations_left = options->number_ios * job->pattern.loops;
    random_stream_init(&set->draw, random_mix(job->seed + 4));
    for (unsigned i = 0; i < set->count; i++)
        pattern_start(&set->patterns[i], &job->files[i].pattern);
    /* The first turn begins with a choice; this makes it the first file's where they take turns. */
    set->current = set->count - 1;
}

void file_set_free(struct file_set *set)
{
    free(set->patterns);
    free(set->ended);
    *set = (struct file_set){0};
}

static unsigned next_file(struct file_set *set)
{
    unsigned file = (set->current + 1) % set->count;

    if (set->service == SERVICE_RANDOM)
        file = (unsigned)random_below(&set->draw, set->count);
    while (set->ended[file])
        file = (file + 1) % set->count;
    return file;
}

bool file_set_next(struct file_set *set, struct place *place)
{
    while (set->left > 0 && set->operations_left > 0) {
        if (set->in_turn == 0 || set->ended[set->current]) {
            set->current = next_file(set);
            set->in_turn = set->service == SERVICE_SEQUENTIAL ? UINT64_MAX : set->turn;
        }
        if (pattern_next(&set->patterns[set->current], place)) {
            place->file = set->current;
            set->in_turn--;
            set->operations_left--;
            return true;
        }
        set->ended[set->current] = true;
        set->left--;
    }
    return false;
}
