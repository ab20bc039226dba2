/* SPDX-License-Identifier: MIT */
/*
 * group_commit.h - appenders that share a datasync, as the log writers of a storage engine do.
 *
 * Each member appends and then waits until a datasync that began after its append has ended. One
 * of those that wait does it for all, as soon as enough of them wait.
 */
#ifndef AIOFIO_GROUP_COMMIT_H
#define AIOFIO_GROUP_COMMIT_H

#include <aiofile/file.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct group_commit {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned members; /* that are at work */
    unsigned waiting; /* for a sync that has not begun */
    uint64_t begun;   /* syncs */
    uint64_t ended;   /* syncs; there is one at a time */
    uint64_t failed;  /* the first one that failed, after which all do; 0: none */
    int error;        /* its negated errno */
};

void group_commit_init(struct group_commit *group);
void group_commit_destroy(struct group_commit *group);

void group_commit_join(struct group_commit *group);
void group_commit_leave(struct group_commit *group);

/* Waits until what the caller has written to the file is durable. A sync starts when wanted members
 * wait, or all there are. 0, or the negated errno of the sync that covered the caller. synced_ns is
 * how long the sync took if it was this caller who did it, else left alone. */
int group_commit_wait(struct group_commit *group, struct aio_file *file, unsigned wanted,
                      uint64_t *synced_ns);

#endif
