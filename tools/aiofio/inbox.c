/* SPDX-License-Identifier: MIT */
#include "inbox.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "text.h"

void inbox_init(struct inbox *inbox, unsigned room)
{
    pthread_condattr_t attributes;

    inbox->completions = must_alloc(room, sizeof(*inbox->completions));
    inbox->count = 0;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&inbox->filled, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&inbox->lock, NULL);
}

void inbox_destroy(struct inbox *inbox)
{
    pthread_mutex_destroy(&inbox->lock);
    pthread_cond_destroy(&inbox->filled);
    free(inbox->completions);
}

/* Signals with the lock held: when the job has seen the last result, nobody touches the inbox. */
void inbox_put(struct inbox *inbox, const struct aio_completion *completion)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->completions[inbox->count++] = *completion;
    pthread_cond_signal(&inbox->filled);
    pthread_mutex_unlock(&inbox->lock);
}

unsigned inbox_take(struct inbox *inbox, struct aio_completion *completions, unsigned min,
                    unsigned max, uint64_t until_ns)
{
    const struct timespec until = {
        .tv_sec = (time_t)(until_ns / NS_PER_S),
        .tv_nsec = (long)(until_ns % NS_PER_S),
    };
    int result = 0;
    unsigned taken;

    pthread_mutex_lock(&inbox->lock);
    while (inbox->count < min && result == 0)
        result = until_ns ? pthread_cond_timedwait(&inbox->filled, &inbox->lock, &until)
                          : pthread_cond_wait(&inbox->filled, &inbox->lock);
    taken = inbox->count < max ? inbox->count : max;
    memcpy(completions, inbox->completions, taken * sizeof(*completions));
    inbox->count -= taken;
    memmove(inbox->completions, inbox->completions + taken,
            inbox->count * sizeof(*inbox->completions));
    pthread_mutex_unlock(&inbox->lock);
    return taken;
}
