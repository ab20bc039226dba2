/* SPDX-License-Identifier: MIT */
/*
 * inflight.h - how many submitted operations of a handle are in flight, for close to wait for.
 */
#ifndef AIOFILE_LIB_INFLIGHT_H
#define AIOFILE_LIB_INFLIGHT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "thread.h"

struct inflight {
    /* INFLIGHT_SLEEPER, and above it the count. Partner: itself. Removing releases and waiting
     * acquires: who has waited sees what the operations did. */
    atomic_uint_fast64_t word;

    struct thread_mutex lock; /* held to take from the word while somebody sleeps */
    struct thread_cond changed;
};

void inflight_init(struct inflight *inflight);
void inflight_destroy(struct inflight *inflight);

/* So many come and go. Neither waits. */
void inflight_add(struct inflight *inflight, unsigned count);
void inflight_remove(struct inflight *inflight, unsigned count);

unsigned inflight_count(const struct inflight *inflight);

/* Waits until there are none. One thread only. Nothing touches the memory afterwards. */
void inflight_wait_idle(struct inflight *inflight);

#endif
