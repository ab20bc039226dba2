/* SPDX-License-Identifier: MIT */
/*
 * followers.h - the writes of chains that were submitted but have not entered their file, and the
 * draining syncs that have to come after them: one for each inode.
 *
 * A draining sync covers every write submitted before it. Most of those are at the gate by then,
 * or through it, and the gate keeps the order. A follower is not: it comes when the one before it
 * in its chain has succeeded. So a draining sync first waits, holding nothing and in nobody's way,
 * until all followers that were submitted before it have come to the gate or have been cancelled,
 * and then goes there itself.
 *
 * Nobody waits in a circle. A sync that is here waits for followers older than itself. A follower
 * waits for operations of its own chain, which are older still: one of them is at the gate, where
 * nobody waits for a sync that is here, or is itself a sync that is here, and waits only for those
 * older than it.
 */
#ifndef AIOFILE_LIB_FOLLOWERS_H
#define AIOFILE_LIB_FOLLOWERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "thread.h"

/* A follower, or a draining sync. Stays where it is while it is listed or waits. */
struct follower {
    uint64_t ticket; /* followers and syncs by the order of their submits */

    /* Guarded by the lock, but false can be seen by whoever the operation belongs to. */
    bool listed;                /* a follower that has not come yet */
    bool waiting;               /* a sync that waits */
    struct thread_cond *wakeup; /* of a waiting thread; NULL: a submitted operation */
    struct follower *next;
    struct follower *previous;
};

struct follower_list {
    struct follower *first;
    struct follower *last;
};

struct followers {
    /* Followers that are listed. Partner: itself. Relaxed: a follower submitted before a sync was
     * added by the order in which the callers submitted. */
    atomic_uint count;

    struct thread_mutex lock; /* guards all below; a queue's lock may be held */
    uint64_t tickets;
    struct follower_list listed;  /* oldest first */
    struct follower_list waiting; /* syncs, in the order of coming */
};

void followers_init(struct followers *followers);
void followers_destroy(struct followers *followers);

/* Lists a follower. Gives a sync its place among them. */
void followers_add(struct followers *followers, struct follower *follower);
void followers_stamp(struct followers *followers, struct follower *sync);

/* Whether followers older than a sync are listed; then it waits: a thread (wakeup set) goes on to
 * followers_wait(), and can look before whether it has to; a submitted operation will be returned
 * by some followers_remove(), perhaps before this returns. */
bool followers_await(struct followers *followers, struct follower *sync);
bool followers_waits(struct followers *followers, const struct follower *sync);
void followers_wait(struct followers *followers, struct follower *sync);

/* A follower has come, or never will. Returns the submitted syncs that need not wait any more,
 * linked by next. */
struct follower *followers_remove(struct followers *followers, struct follower *follower);

/* Takes a sync back. Returns false when it does not wait. */
bool followers_withdraw(struct followers *followers, struct follower *sync);

#endif
