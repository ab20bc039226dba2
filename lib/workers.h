/* SPDX-License-Identifier: MIT */
/*
 * workers.h - a few threads for what would block the thread that submits or reaps: transfers
 * through the page cache, truncates, allocations; and for starting what was held back.
 *
 * One pool for the process, there while queues use it. A job never waits for another job.
 */
#ifndef AIOFILE_LIB_WORKERS_H
#define AIOFILE_LIB_WORKERS_H

#include <stdbool.h>

/* A piece of work, in the memory of whoever wants it done. */
struct worker_job {
    struct worker_job *next;
    void (*run)(struct worker_job *job); /* may free the job */
};

/* Counts a user, with the first one starts a thread. Returns 0, or the error of starting one. May
 * be called with no lock held. */
int workers_add_user(void);

/* The last user's leaving ends the threads. No job of his is left. No lock held. */
void workers_remove_user(void);

/* Adds a job for the threads, in order. A user is counted. Any lock may be held; does not block,
 * but may start a thread. */
void workers_submit(struct worker_job *job);

/* Takes a job back that no thread has taken. Returns false when it is not there (any more).
 * Any lock may be held; does not block. For rare calls: it looks through all jobs. */
bool workers_withdraw(struct worker_job *job);

#endif
