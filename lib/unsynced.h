/* SPDX-License-Identifier: MIT */
/*
 * unsynced.h - which parts of a file were written through the page cache since the last sync. Reads
 * that meet them go the same way: a direct read would first make the kernel write them back.
 */
#ifndef AIOFILE_LIB_UNSYNCED_H
#define AIOFILE_LIB_UNSYNCED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "thread.h"

/* As many are told apart; beyond that, neighbours become one. */
#define UNSYNCED_RANGES 8u

/* From start up to end, in bytes. */
struct unsynced_range {
    int64_t start;
    int64_t end;
};

/* Ranges that neither meet nor touch, in order. */
struct unsynced_set {
    struct unsynced_range ranges[UNSYNCED_RANGES + 1];
    unsigned count;
};

struct unsynced {
    /* Whether there is any range. Relaxed: a read that must follow a write comes after it by the
     * caller's own ordering; others may take either road. */
    atomic_bool any;

    struct thread_mutex lock;  /* guards all below */
    struct unsynced_set newer; /* since a sync began; without one, all */
    struct unsynced_set older; /* of the sync that runs */
    bool syncing;

    /* Writes that have begun and not ended. Begun under the lock; ending releases, and a sync that
     * begins acquires: it counts what has ended. */
    atomic_uint writing;
};

void unsynced_init(struct unsynced *unsynced);
void unsynced_destroy(struct unsynced *unsynced);

/* A write of length > 0 through the page cache begins, and ends. */
void unsynced_begin_write(struct unsynced *unsynced, int64_t offset, uint64_t length);
void unsynced_end_write(struct unsynced *unsynced);

/* Whether a range meets one that was written. */
bool unsynced_meets(struct unsynced *unsynced, int64_t offset, uint64_t length);

/* A sync begins. Returns whether it counts: not beside another one, nor beside writes of which it
 * cannot be told whether it covers them. One that counts goes on to unsynced_end_sync(). */
bool unsynced_begin_sync(struct unsynced *unsynced);
void unsynced_end_sync(struct unsynced *unsynced, bool succeeded);

#endif
