/* SPDX-License-Identifier: MIT */
/*
 * queue_state.h - the queue as its rooms see it: queue.c (calls), reaper.c (completions).
 */
#ifndef AIOFILE_LIB_QUEUE_STATE_H
#define AIOFILE_LIB_QUEUE_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <aiofile/queue.h>

#include "engine.h"
#include "file_ops.h"
#include "request.h"
#include "thread.h"
#include "token.h"
#include "workers.h"

/* Requests given to an engine, events taken from one, callbacks run, at a time: on the stack. */
#define QUEUE_BATCH ENGINE_BATCH

/* How often the reaper thread looks in while operations are in flight and nobody reaps, and how
 * soon an engine that had no room is asked again when no completion comes to say so. */
#define REAPER_TICK_NS (10 * INT64_C(1000000))

/* How long an engine that has nothing in flight may say EAGAIN before its requests fail. */
#define REFUSAL_NS NS_PER_SECOND

struct aio_queue {
    /* Set at creation, never changed. */
    uint64_t epoch; /* process_epoch() of the creator */
    struct engine *engine;
    uint32_t flags;
    struct aio_queue *next_queue; /* in the list of all queues; guarded by that list's lock */
    struct aio_queue *previous_queue;

    /* Handles opened with this queue. Partner: itself; relaxed, since a handle is given up before
     * its queue is destroyed by the caller's own ordering. */
    atomic_uint users;

    /* Whether it counts as a user of the workers. Partner: itself; set once, relaxed: who finds it
     * set has the workers by the order of its own calls or by the lock of the pool. */
    atomic_bool uses_workers;

    /* Guards everything below. It is the innermost lock but one: an engine's and a gate's own are
     * taken under it, and nothing is called back under it. */
    struct thread_mutex lock;
    struct request_table table;
    struct token token;
    uint64_t sequence;            /* of the last request submitted */
    uint32_t callbacks_inflight;  /* requests with a callback in READY or RUNNING */
    uint32_t reapable;            /* in READY or RUNNING, whose results aio_queue_reap can get */
    int64_t refused_since_ns;     /* first of the EAGAINs in a row with nothing in flight; or 0 */
    uint32_t inside;              /* threads in queue_await */
    uint32_t reserved;            /* slots in READY that a submit has not published yet */
    bool interrupt_owed;          /* the engine could not be woken: the reaper tries again */
    bool closing;                 /* destroy is at work: who waits for a slot is let out */
    struct aio_queue_stats stats; /* inflight, held, engine and depth are filled when asked for */

    /* The reaper thread. */
    struct thread_handle reaper;
    struct thread_cond reaper_wakeup;
    bool reaper_started;
    bool reaper_stop;
    bool reaper_dozing;         /* asleep without a deadline: a submit must wake it */
    uint32_t callbacks_running; /* between their slots' release and their return */
    uint64_t callback_sequence; /* the lowest of these */
};

/* --- queue.c, for every room ----------------------------------------------------------------- */

/* For those who wait for requests without being in a queue (gate, bounce memory, close), as threads
 * or as submitted operations: between begin, for so many, and an end for each, every queue's reaper
 * reaps at once what is in flight. begin with no lock held; end may come first. */
void queues_hasten_begin(unsigned count);
void queues_hasten_end(void);

/* How many are between them. Relaxed: a queue that must see a change has its lock taken after it,
 * by queues_hasten_begin. */
extern atomic_uint queues_hastening;

static inline bool queues_hastened(void)
{
    return atomic_load_explicit(&queues_hastening, memory_order_relaxed) > 0;
}

/* --- reaper.c ------------------------------------------------------------------------------- */

/* Whether this thread is running a callback, of any queue. */
bool reaper_in_callback(void);

/* The slot kept for the callback that this thread runs, if it is one of this queue; taken from
 * it. NULL otherwise. */
struct request *reaper_take_kept(const struct aio_queue *queue);

/* Gives back what reaper_take_kept() gave, unused. */
void reaper_keep(struct request *kept);

/* Whether a waiter's condition holds; the lock is held. */
bool queue_waiter_ready(const void *queue, const struct waiter *waiter);

/* Waits with the lock held (dropped while asleep) until the waiter's condition holds: reaping, with
 * the token, or parked. Returns false when the deadline came first. */
bool queue_await(struct aio_queue *queue, struct waiter *waiter, int64_t deadline_ns);

/* Gives requests in RUNNING to the engine; those that it will not have are finished or put into
 * the ready list. Lock not held. retry: this is not the first time. */
void queue_launch(struct aio_queue *queue, struct request **requests, unsigned count, bool retry);

/* A request has its result: to its callback, or into DONE. Lock held. Whoever calls it goes on to
 * queue_interrupt(), unless it is the holder, and queue_changed(). */
void queue_finish(struct aio_queue *queue, struct request *request);

/* To be called with the lock held by whoever makes wrong what a holder asleep in the engine sleeps
 * for: results that did not come through the engine, requests that went back to the ready list,
 * a new waiter where it sleeps for several events. */
void queue_interrupt(struct aio_queue *queue);

/* Writes the completion of a request that has its result. */
void queue_completion(const struct aio_queue *queue, const struct request *request,
                      struct aio_completion *completion);

/* What queue_changed() does where anybody might have to be told. */
void queue_tell(struct aio_queue *queue);

/* To be called with the lock held after anything that a waiter, the reaper or the token's place
 * may depend on. One thread that submits and waits for itself has nobody to tell. */
static inline void queue_changed(struct aio_queue *queue)
{
    if (queue->token.first != NULL || queue->token.sleeping_for > 0 ||
        queue->table.callbacks.count > 0 || queue->callbacks_inflight > 0 || queue->reaper_dozing ||
        queue->interrupt_owed || queues_hastened())
        queue_tell(queue);
}

/* Starts the reaper thread if it isn't there. Lock held. Returns 0 or a negated errno. */
int reaper_start(struct aio_queue *queue);

/* Ends and joins the reaper thread. Nothing is in flight; lock not held. */
void reaper_end(struct aio_queue *queue);

/* --- queue_work.c --------------------------------------------------------------------------- */

/* A worker's part in a request: what its file's step WORKER asks for, or its way in after it was
 * held back. The job of request.pass. */
void queue_work(struct worker_job *job);

/* Whether the engine's submit would wait for the disk. */
static inline bool queue_prefers_worker(const struct aio_queue *queue,
                                        const struct request *request)
{
    return queue->engine->ops->extending_blocks &&
           file_op_extends(request->file, &request->transfer);
}

/* --- queue.c -------------------------------------------------------------------------------- */

/* For files that use a queue: while counted, it cannot be destroyed. */
void queue_add_user(struct aio_queue *queue);
void queue_remove_user(struct aio_queue *queue);

/* Makes a queue on an engine that exists already, which it takes over on success. */
int queue_create_on(struct engine *engine, const struct aio_queue_options *options,
                    struct aio_queue **result);

/* Whether the queue was made by this process. */
bool queue_is_ours(const struct aio_queue *queue);

#endif
