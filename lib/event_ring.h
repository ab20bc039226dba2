/* SPDX-License-Identifier: MIT */
/*
 * event_ring.h - where engines that execute transfers themselves leave the events until somebody
 * reaps them. There is room for every transfer that may be in flight, so that none is ever lost.
 */
#ifndef AIOFILE_LIB_EVENT_RING_H
#define AIOFILE_LIB_EVENT_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "engine.h"
#include "thread.h"

struct event_ring {
    struct thread_mutex lock; /* guards all below, and what an engine says that it guards of its */
    struct thread_cond arrived;
    struct engine_event *events;
    uint32_t depth;
    uint32_t head; /* of the oldest event */
    uint32_t count;
    uint32_t sleeping_for; /* events that the holder waits for; 0: it does not wait */
    bool woken;
    int notify_fd; /* raised with each event; -1: none */
};

/* Room for so many events. Returns 0 or -ENOMEM. */
int event_ring_init(struct event_ring *ring, uint32_t depth);
void event_ring_free(struct event_ring *ring);

/* Adds an event. Lock held: what an engine notes of the transfer together with this, everybody sees
 * before the event. */
void event_ring_put(struct event_ring *ring, uint32_t tag, int64_t result);

/* What reap, wake and notify of engine.h are to do. Lock not held. */
int event_ring_reap(struct event_ring *ring, struct engine_event *events, unsigned min,
                    unsigned max, const struct timespec *timeout);
void event_ring_wake(struct event_ring *ring);
void event_ring_notify(struct event_ring *ring, int event_fd);

#endif
