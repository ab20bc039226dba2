/* SPDX-License-Identifier: MIT */
/*
 * token.h - who reaps: one token per queue.
 *
 * Only the token's holder may be in engine.reap. A thread that waits for something takes the token
 * if it is free and reaps for itself; if not, it parks. A holder that leaves passes the token to a
 * parked thread; where nobody is parked the token is free, and the reaper thread, the one of last
 * resort, takes it when it is needed.
 *
 * Everything here is guarded by the queue's lock; "the lock" below is that one. There is no state
 * outside it and no atomic, so the argument is short:
 *
 *   - A parked thread sleeps on its own condition variable and looks at its condition again each
 *     time it wakes. Whoever changes what a condition reads calls token_wake_ready() before it
 *     drops the lock.
 *   - The token is free only while nobody is parked or the engine has nothing: every place that
 *     frees it or gives the engine work calls token_offer().
 *   - A holder asleep in the engine sleeps for what it knew when it went there. Whoever makes that
 *     wrong, or makes its condition hold, calls token_interrupt().
 *
 * test/model runs this file, queue.c and reaper.c through every order of their steps.
 */
#ifndef AIOFILE_LIB_TOKEN_H
#define AIOFILE_LIB_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "thread.h"

/* What a thread waits for. */
enum wait_kind {
    WAIT_REQUEST, /* the result of one request */
    WAIT_RESULTS, /* results for aio_queue_reap */
    WAIT_SLOT,    /* a free slot */
    WAIT_DRAIN,   /* everything up to a sequence number */
    WAIT_ALONE,   /* no other thread in the queue */
    WAIT_IDLE,    /* nothing without a result */
};

struct request;

struct aio_completion;

/* A waiting thread; lives on its stack. */
struct waiter {
    enum wait_kind kind;
    const struct request *request; /* WAIT_REQUEST */
    unsigned min;                  /* WAIT_RESULTS, WAIT_SLOT: how many */
    unsigned called;               /* WAIT_RESULTS: callbacks that this thread ran meanwhile */
    bool calls;                    /* it may run callbacks: in an owned queue */
    struct aio_completion *out;    /* WAIT_RESULTS: where results can be left at once */
    struct aio_completion *out_end;
    unsigned taken;    /* so many were */
    uint64_t sequence; /* WAIT_DRAIN */
    bool has_token;
    bool parked;
    struct thread_cond wakeup;
    struct waiter *next; /* in the list of parked threads, oldest first */
    struct waiter *previous;
};

struct token {
    bool held;
    struct waiter *holder; /* the thread that reaps for itself; NULL: none, or the reaper thread */
    unsigned sleeping_for; /* min of the reap that the holder is in or about to enter; 0: not */
    bool interrupted;      /* that reap has been woken */
    struct waiter *first;
    struct waiter *last;
};

/* Tells whether a waiter's condition holds. */
typedef bool (*waiter_ready_fn)(const void *context, const struct waiter *waiter);

/* Takes a free token. */
bool token_take(struct token *token);

/* Sleeps until woken, offered the token, or the deadline is over (then false). The lock is dropped
 * meanwhile. Look at the condition again afterwards; has_token may have become true. */
bool token_park(struct token *token, struct waiter *waiter, struct thread_mutex *lock,
                int64_t deadline_ns);

/* Gives a free token to the oldest parked thread that still has to wait. Returns false when there
 * is none: the token stays free. */
bool token_offer(struct token *token, waiter_ready_fn ready, const void *context);

/* The holder leaves. Offer the token afterwards. */
void token_release(struct token *token);

/* Wakes the parked threads whose conditions hold. */
void token_wake_ready(struct token *token, waiter_ready_fn ready, const void *context);

/* Whether the holder sleeps in the engine though its condition holds. */
bool token_holder_overslept(const struct token *token, waiter_ready_fn ready, const void *context);

/* Makes a holder that sleeps in the engine come back and look again. Returns false when the engine
 * could not be told now: try again. */
bool token_interrupt(struct token *token, struct engine *engine);

#endif
