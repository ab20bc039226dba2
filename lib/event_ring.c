/* SPDX-License-Identifier: MIT */
/*
 * event_ring.c - events that wait to be reaped.
 */
#include "event_ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "errno_guard.h"

int event_ring_init(struct event_ring *ring, uint32_t depth)
{
    ring->events = calloc(depth, sizeof(ring->events[0]));
    if (ring->events == NULL)
        return -ENOMEM;
    ring->depth = depth;
    ring->head = 0;
    ring->count = 0;
    ring->sleeping_for = 0;
    ring->woken = false;
    ring->notify_fd = -1;
    thread_mutex_init(&ring->lock);
    thread_cond_init(&ring->arrived);
    return 0;
}

void event_ring_free(struct event_ring *ring)
{
    thread_cond_destroy(&ring->arrived);
    thread_mutex_destroy(&ring->lock);
    free(ring->events);
}

void event_ring_put(struct event_ring *ring, uint32_t tag, int64_t result)
{
    ERRNO_GUARD;

    assert(ring->count < ring->depth);
    ring->events[(ring->head + ring->count) % ring->depth] =
        (struct engine_event){.tag = tag, .result = result};
    ring->count++;
    /* A holder that waits for many is not woken by each of them. */
    if (ring->sleeping_for > 0 && ring->count >= ring->sleeping_for)
        thread_cond_signal(&ring->arrived);
    /* Under the lock: who has reaped the last event may close the descriptor. */
    if (ring->notify_fd >= 0)
        eventfd_write(ring->notify_fd, 1);
}

int event_ring_reap(struct event_ring *ring, struct engine_event *events, unsigned min,
                    unsigned max, const struct timespec *timeout)
{
    int64_t deadline_ns = min > 0 ? thread_deadline_ns(timeout) : 0;
    int taken = 0;

    thread_mutex_lock(&ring->lock);
    ring->sleeping_for = min;
    while (ring->count < min && !ring->woken)
        if (!thread_cond_wait(&ring->arrived, &ring->lock, deadline_ns))
            break;
    ring->sleeping_for = 0;
    /* A poll leaves the wake to the reap that would sleep. */
    if (min > 0)
        ring->woken = false;
    while (ring->count > 0 && (unsigned)taken < max) {
        events[taken++] = ring->events[ring->head];
        ring->head = (ring->head + 1) % ring->depth;
        ring->count--;
    }
    thread_mutex_unlock(&ring->lock);
    return taken;
}

void event_ring_wake(struct event_ring *ring)
{
    thread_mutex_lock(&ring->lock);
    ring->woken = true;
    thread_cond_signal(&ring->arrived);
    thread_mutex_unlock(&ring->lock);
}

void event_ring_notify(struct event_ring *ring, int event_fd)
{
    thread_mutex_lock(&ring->lock);
    ring->notify_fd = event_fd;
    thread_mutex_unlock(&ring->lock);
}
