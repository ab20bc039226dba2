/* SPDX-License-Identifier: MIT */
/*
 * inbox.h - the completions of one job on a queue that several share. Reaping such a queue would
 * give any job's results; here callbacks put each result where its job waits.
 */
#ifndef AIOFIO_INBOX_H
#define AIOFIO_INBOX_H

#include <aiofile/queue.h>
#include <pthread.h>
#include <stdint.h>

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct aio_completion *completions;
    unsigned count;
};

/* Room for so many results, which is how many operations the job may have in flight. */
void inbox_init(struct inbox *inbox, unsigned room);
void inbox_destroy(struct inbox *inbox);

/* Called on the queue's reaper thread. */
void inbox_put(struct inbox *inbox, const struct aio_completion *completion);

/* Waits for min results, until that time (0: for ever), and takes up to max. */
unsigned inbox_take(struct inbox *inbox, struct aio_completion *completions, unsigned min,
                    unsigned max, uint64_t until_ns);

#endif
