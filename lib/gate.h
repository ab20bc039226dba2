/* SPDX-License-Identifier: MIT */
/*
 * gate.h - who may run on a file now: one gate per inode, whatever the handle.
 *
 * A file is cut into stripes of 2 MiB, which share lanes by turns; one more lane is the file's end,
 * and one is for syncs, which come one after the other: the kernel tells one of them of an error,
 * and the next must know of it.
 * No page of the page cache lies in two of them: a large folio is aligned to its size, and with
 * 4 KiB pages none is larger. (With stripes of 1 MiB, on ext4 and xfs, beside a reader with 8 MiB
 * of read-ahead, a third of the syncs after writes on both sides of a border said EIO.) Direct
 * writes share the lanes that they touch. A write through the page cache, which the kernel must not
 * see together with a direct write of the same page, has its lanes alone; truncates, allocations
 * and draining syncs have all lanes alone. An append shares the end from before it learns its place
 * until it is done. Reads of files do not enter.
 *
 * Who cannot enter waits in one list, first come first served: nobody starves. A thread sleeps; a
 * submitted operation is handed out by the gate_leave() that made room for it.
 */
#ifndef AIOFILE_LIB_GATE_H
#define AIOFILE_LIB_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "thread.h"

/* A set of lanes is a word with a bit for each. */
#ifdef AIOFILE_MODEL
#define GATE_LANES 4 /* keeps the states countable */
#else
#define GATE_LANES 64
#endif
#define GATE_STRIPES (GATE_LANES - 2)
#define GATE_STRIPE_SHIFT 21 /* 2 MiB */
#define GATE_END (UINT64_C(1) << GATE_STRIPES)
#define GATE_SYNC (GATE_END << 1)
#define GATE_ALL (GATE_END | (GATE_END - 1)) /* but for GATE_SYNC, which is apart */

enum gate_manner {
    GATE_SHARED,
    GATE_ALONE,
};

/* Where in the list one waits who has to. */
enum gate_turn {
    GATE_IN_TURN,
    /* One who has the end already comes before all who want the end alone: they wait for him. */
    GATE_HAS_END,
    /* One on the thread that runs callbacks waits for nobody who waits: it may be that very thread
     * that has to deliver what those wait for. Shared entry only. */
    GATE_CALLBACK,
};

/* What one has, or waits for, at a gate. All zero at first; stays where it is until it left. */
struct gate_pass {
    uint64_t shared; /* lanes that it is in */
    uint64_t alone;

    /* Guarded by the gate's lock while it waits. */
    uint64_t wanted; /* lanes */
    bool wanted_alone;
    bool waiting;
    struct thread_cond *wakeup; /* of a thread; NULL: a submitted operation */
    struct gate_pass *next;     /* in the list, or in a list of those that came in */
    struct gate_pass *previous;
};

struct gate {
    /*
     * Of each lane: GATE_LANE_CLOSED, and above it the number inside that share it. Who enters
     * adds first and looks then; who wants a lane alone closes first and looks then. Partner:
     * itself. Leaving releases and entering acquires, so that one who is alone sees what those who
     * left have done, and the other way round.
     */
    atomic_uint_fast64_t lanes[GATE_LANES];

    /* Guards all below, and the closing of lanes. A queue's lock may be held. */
    struct thread_mutex lock;
    uint64_t alone;              /* lanes that somebody has alone */
    uint32_t wanted[GATE_LANES]; /* waiting passes that want the lane */
    struct gate_pass *first;
    struct gate_pass *last;
    uint32_t want_end_alone; /* waiting passes that do */
};

void gate_init(struct gate *gate);
void gate_destroy(struct gate *gate);

/* The lanes of a range of bytes; none for an empty one. */
uint64_t gate_range(int64_t offset, uint64_t length);

/* Enters lanes, besides those that the pass is in. Returns true when it is inside; false when it
 * waits: a thread (pass->wakeup set) goes on to gate_wait(), a submitted operation will be among
 * those that somebody's call gives in *came_in, perhaps before this returns. Does not block.
 *
 * *came_in receives, as from gate_leave(), the submitted operations that came in: by standing in
 * the door for a moment one may have kept them out. */
bool gate_enter(struct gate *gate, struct gate_pass *pass, uint64_t lanes, enum gate_manner manner,
                enum gate_turn turn, struct gate_pass **came_in);

/* Enters lanes where nobody is in the way and nobody waits for them; otherwise returns false, and
 * does not wait. *came_in as from gate_enter(). */
bool gate_try_shared(struct gate *gate, struct gate_pass *pass, uint64_t lanes,
                     struct gate_pass **came_in);
bool gate_try_alone(struct gate *gate, struct gate_pass *pass, uint64_t lanes);

/* Whether a pass that gate_enter() left waiting still does. Sleeps until it is inside. */
bool gate_waits(struct gate *gate, const struct gate_pass *pass);
void gate_wait(struct gate *gate, struct gate_pass *pass);

/* Takes a pass out of the list. Returns false when it does not wait: it is inside, or never was in
 * the list. Otherwise it has what it had before. *came_in as from gate_leave(). Does not block. */
bool gate_withdraw(struct gate *gate, struct gate_pass *pass, struct gate_pass **came_in);

/* One who has lanes alone goes on sharing some of them, without ever being outside. Returns as
 * gate_leave(). */
struct gate_pass *gate_share(struct gate *gate, struct gate_pass *pass, uint64_t lanes);

/* Leaves all lanes of a pass. Does not block. Returns the submitted operations that came in by
 * that, linked by next, in their order: they are the caller's to start. */
struct gate_pass *gate_leave(struct gate *gate, struct gate_pass *pass);

#endif
