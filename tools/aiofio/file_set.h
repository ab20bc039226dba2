/* SPDX-License-Identifier: MIT */
/*
 * file_set.h - a job's files, and which of them the next operation goes to.
 */
#ifndef AIOFIO_FILE_SET_H
#define AIOFIO_FILE_SET_H

#include "pattern.h"
#include "plan.h"

struct file_set {
    struct pattern *patterns; /* one of each file */
    bool *ended;
    unsigned count;
    unsigned left; /* files that have not ended */
    unsigned current;
    uint64_t in_turn;         /* operations still to come on the current file */
    uint64_t turn;            /* operations of a turn */
    uint64_t service;         /* enum service_choice */
    uint64_t operations_left; /* of all files */
    struct random_stream draw;
};

void file_set_init(struct file_set *set, const struct plan_job *job);
void file_set_free(struct file_set *set);

/* Gives the next operation and its file; false after the last of all files. */
bool file_set_next(struct file_set *set, struct place *place);

#endif
