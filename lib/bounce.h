/* SPDX-License-Identifier: MIT */
/*
 * bounce.h - aligned memory for transfers whose own is not, or that are rounded outward.
 *
 * One fixed pool for the process, made when first needed and there while files use it. Who finds
 * it empty waits; the longest waiting is served first. Bounce memory comes after the gate: who has
 * some waits for nothing but his transfer.
 */
#ifndef AIOFILE_LIB_BOUNCE_H
#define AIOFILE_LIB_BOUNCE_H

#include <stdbool.h>

#include "thread.h"

/* Bytes of a buffer, which is aligned to as many: what a transfer moves in one step. */
#define BOUNCE_SIZE (256u * 1024)

struct bounce_pass {
    void *memory; /* BOUNCE_SIZE bytes, or NULL */

    /* Guarded by the pool's lock while it waits. */
    bool waiting;
    bool callback;
    struct thread_cond *wakeup; /* of a thread; NULL: a submitted operation */
    struct bounce_pass *next;
};

/* Files that may come; the memory goes with the last of them. */
void bounce_add_user(void);
void bounce_remove_user(void);

/* Takes a buffer. Returns 1 with pass->memory set; 0 when it waits: a thread goes on to
 * bounce_wait(), a submitted operation will be returned by some bounce_put(); or -ENOMEM.
 * callback: this is the thread that runs callbacks, for which a buffer is kept back, as those
 * that have the others may wait for this very thread. */
int bounce_get(struct bounce_pass *pass, bool callback);

/* Whether a pass still waits. Sleeps until it has its memory. */
bool bounce_waits(const struct bounce_pass *pass);
void bounce_wait(struct bounce_pass *pass);

/* Takes a pass out of the list of those that wait. Returns false when it does not wait: it has its
 * memory, or never asked. Does not block. */
bool bounce_withdraw(struct bounce_pass *pass);

/* Gives the buffer back. Does not block. Returns the submitted operation that got it, or NULL. */
struct bounce_pass *bounce_put(struct bounce_pass *pass);

#endif
