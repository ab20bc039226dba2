/* SPDX-License-Identifier: MIT */
/*
 * queue_state.h - the queue as its rooms see it: queue.c (life and looking), queue_submit.c and
 * queue_plain.c (in), queue_results.c (out), reaper.c (completions), queue_notice.c (deadlines),
 * queue_cancel.c, queue_work.c (the workers' part).
 *
 * An owned queue (AIO_QUEUE_OWNED) has one thread, in whose calls all of it happens: no reaper
 * thread, and nobody to be locked out. Only workers have to do with it too: they leave what they
 * did for it in the mail.
 */
#ifndef AIOFILE_LIB_QUEUE_STATE_H
#define AIOFILE_LIB_QUEUE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <aiofile/queue.h>

#include "engine.h"
#include "errno_guard.h"
#include "file_ops.h"
#include "histogram.h"
#include "request.h"
#include "token.h"
#include "trace.h"
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
    struct aio_buffer_pool *buffers; /* that the engine knows; or NULL */
    bool times;                      /* AIO_QUEUE_TIMES */
    bool owned;
    /* Whether there ever was an operation of a checked handle. Relaxed: what is found is said by
     * the calls that come later, or by the handle's close. */
    atomic_bool checks;
    pthread_t owner;              /* if owned */
    struct aio_queue *next_owned; /* in the list of the owner's; its own */
    struct aio_queue *next_queue; /* in the list of all queues; guarded by that list's lock */
    struct aio_queue *previous_queue;

    /* Handles opened with this queue. Partner: itself; relaxed, since a handle is given up before
     * its queue is destroyed by the caller's own ordering. */
    atomic_uint users;

    /* Whether it counts as a user of the workers. Partner: itself; set once, relaxed: who finds it
     * set has the workers by the order of its own calls or by the lock of the pool. */
    atomic_bool uses_workers;

    /* What workers left for the owner, last first, through request.mail. Guarded by mail_lock, as
     * is mail_sleeping_for: the min of the reap that the owner is in or about to enter, or 0.
     * Whether there is any can be seen without it; partner of the release: who takes it out. */
    struct thread_mutex mail_lock;
    _Atomic(struct request *) mail;
    unsigned mail_sleeping_for;

    /* Guards everything below, but of an owned queue, where only its owner comes. It is the
     * innermost lock but one: an engine's and a gate's own are taken under it, and nothing is
     * called back under it. */
    struct thread_mutex lock;
    struct request_table table;
    struct token token;
    uint64_t sequence;           /* of the last request submitted */
    uint32_t callbacks_inflight; /* requests without a result that have a callback */
    uint32_t reapable;           /* the same whose results aio_queue_reap can get */
    int64_t refused_since_ns;    /* first of the EAGAINs in a row with nothing in flight; or 0 */
    uint32_t claimed;            /* requests whose result a thread waits for */
    uint32_t inside;             /* threads in queue_await */
    uint32_t reserved;           /* slots in READY that a submit has not published yet */
    bool interrupt_owed;         /* the engine could not be woken: the reaper tries again */
    bool closing;                /* destroy is at work: who waits for a slot is let out */
    bool results_new;            /* results that the eventfd does not tell of yet */
    int event_fd;                /* -1: nobody asked for it */
    bool event_old;              /* requests from before it was made are in flight */
    uint64_t event_since;        /* the last of these */
    const struct waiter *chain_turn; /* a chain that waits for slots: nobody else gets any */
    struct aio_queue_stats stats; /* inflight, held, engine and depth are filled when asked for */

    /* The reaper thread. */
    struct thread_handle reaper;
    struct thread_cond reaper_wakeup;
    bool reaper_started;
    bool reaper_stop;
    bool reaper_dozing;         /* asleep without a deadline: a submit must wake it */
    int64_t reaper_until_ns;    /* what it sleeps until otherwise, as far as it knew then */
    uint32_t callbacks_running; /* between their slots' release and their return */
    uint64_t callback_sequence; /* the lowest of these */
};

/* --- the lock ------------------------------------------------------------------------------- */

static inline void queue_lock(struct aio_queue *queue)
{
    if (!queue->owned)
        thread_mutex_lock(&queue->lock);
}

static inline void queue_unlock(struct aio_queue *queue)
{
    if (!queue->owned)
        thread_mutex_unlock(&queue->lock);
}

/* Drops the lock and says what was found of checked handles, in a call of the program's. The queue
 * is not touched any more then: who waited may have been let out by its end. */
static inline void queue_unlock_and_speak(struct aio_queue *queue)
{
    bool checks = atomic_load_explicit(&queue->checks, memory_order_relaxed);

    queue_unlock(queue);
    if (checks)
        check_speak();
}

/* Says what was found of checked handles. No lock held, in a call of the program's. */
static inline void queue_speak(struct aio_queue *queue)
{
    if (atomic_load_explicit(&queue->checks, memory_order_relaxed))
        check_speak();
}

/* --- what can be seen ----------------------------------------------------------------------- */

/* Operations without a result. */
static inline uint32_t queue_inflight(const struct aio_queue *queue)
{
    return queue->table.inflight - queue->reserved;
}

/* Whether callbacks are to be run. */
static inline bool queue_callbacks_due(const struct aio_queue *queue)
{
    return queue->table.callbacks.count > 0 || queue->table.callback_notices.count > 0;
}

/* Results that aio_queue_reap can take now. */
static inline uint32_t queue_results(const struct aio_queue *queue)
{
    return queue->table.done.count + queue->table.notices.count;
}

/* Whether a submit can have the slots that its waiter asks for. */
static inline bool queue_slots_free(const struct aio_queue *queue, const struct waiter *waiter)
{
    return queue->table.free_count >= waiter->min &&
           (queue->chain_turn == NULL || queue->chain_turn == waiter);
}

/* Raises and lowers an eventfd of the queue's. */
static inline void queue_event_raise(int event_fd)
{
    ERRNO_GUARD;

    eventfd_write(event_fd, 1);
}

static inline void queue_event_lower(int event_fd)
{
    ERRNO_GUARD;
    eventfd_t count;

    eventfd_read(event_fd, &count);
}

/* Whether no slot will come free unless somebody takes a result. In an owned queue that includes
 * the callbacks, which do not run in a submit. */
static inline bool queue_is_stuck(const struct aio_queue *queue, const struct waiter *waiter)
{
    /* A chain whose turn it is will take them, or be told so itself. */
    if (queue->chain_turn != NULL && queue->chain_turn != waiter)
        return false;
    if (queue->owned)
        return queue->table.inflight == 0 && queue->callbacks_running == 0;
    return queue->table.inflight == 0 && queue->table.callbacks.count == 0 &&
           queue->callbacks_running == 0 && queue->claimed == 0;
}

/* Whether a holder has anything to do. */
static inline bool queue_engine_has_work(const struct aio_queue *queue)
{
    const struct request_table *table = &queue->table;

    return table->running > 0 || table->ready.count > 0 || table->entering.count > 0;
}

/* Whether an owner that sleeps by its eventfd has to make a call. */
static inline bool queue_owner_is_due(const struct aio_queue *queue)
{
    const struct request_table *table = &queue->table;

    if (!queue->owned)
        return false;
    /* What the engine refused nobody sends again, and what is polled for nobody finds, but the
     * owner. */
    return queue_callbacks_due(queue) || table->entering.count > 0 || table->ready.count > 0 ||
           (queue->engine->polled && table->running > 0);
}

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

/* Runs callbacks that are due, with the lock dropped meanwhile; some, if they are many. Returns how
 * many. */
unsigned queue_run_callbacks(struct aio_queue *queue);

/* Waits with the lock held (dropped while asleep) until the waiter's condition holds: reaping, with
 * the token, or parked. Returns false when the deadline came first. */
bool queue_await(struct aio_queue *queue, struct waiter *waiter, int64_t deadline_ns);

/* Gives requests in RUNNING to the engine; those that it will not have are finished or put into
 * the ready list. Lock not held. retry: this is not the first time. */
void queue_launch(struct aio_queue *queue, struct request **requests, unsigned count, bool retry);

/* The same for the transfers of requests that began then. */
void queue_launch_begun(struct aio_queue *queue, struct engine_io **ios, unsigned count,
                        int64_t begun_ns, bool retry);

/* The request of a transfer. */
static inline struct request *queue_request_of(struct engine_io *io)
{
    return (struct request *)((char *)io - offsetof(struct request, transfer.io));
}

/* A request has its result: to its callback, or into DONE; those linked to it go on, or end with
 * it. Lock held. Whoever calls it goes on to queue_interrupt(), unless it is the holder, and
 * queue_changed(). */
void queue_finish(struct aio_queue *queue, struct request *request);

/* Whether all up to a sequence number have completed and their callbacks returned. */
bool queue_drained(const struct aio_queue *queue, uint64_t sequence);

/* To be called with the lock held by whoever makes wrong what a holder asleep in the engine sleeps
 * for: results that did not come through the engine, requests that went back to the ready list,
 * a new waiter where it sleeps for several events. */
void queue_interrupt(struct aio_queue *queue);

/* Whether what begins now is among the one in 16 that is timed. */
static inline bool queue_sampled(int64_t now_ns)
{
#ifdef AIOFILE_MODEL
    (void)now_ns;
    return true;
#else
    return ((now_ns ^ now_ns >> 8) & 15) == 0;
#endif
}

/* The engine or a worker begins with a request. Whoever has it calls it. */
static inline void queue_begin_step(struct request *request, int64_t now_ns)
{
    TRACE4(begin, request->queue, request->transfer.io.tag, request->transfer.io.opcode,
           request->transfer.io.offset);
    request->begun_ns = now_ns;
    if (request->first_ns == 0)
        request->first_ns = now_ns;
}

/* Writes the completion of a request that has its result. */
static inline void queue_completion(const struct request *request,
                                    struct aio_completion *completion)
{
    *completion = (struct aio_completion){
        .id = request->id,
        .result = request->transfer.result,
        .offset = request->transfer.offset,
        .context = request->context,
        .error = request->transfer.error,
    };
}

/* What queue_changed() does where anybody might have to be told. */
void queue_tell(struct aio_queue *queue);

/* To be called with the lock held after anything that a waiter, the reaper or the token's place
 * may depend on. One thread that submits and waits for itself has nobody to tell. */
static inline void queue_changed(struct aio_queue *queue)
{
    const struct request_table *table = &queue->table;
    /* It runs several times for each call, and mostly none of it is so: one comparison. */
    uint64_t concerned = (uintptr_t)queue->token.first | queue->token.sleeping_for |
                         table->callbacks.count | table->callback_notices.count |
                         queue->callbacks_inflight | queue->reaper_dozing | queue->interrupt_owed |
                         (uint32_t)(queue->event_fd + 1) | table->linked | table->entering.count |
                         atomic_load_explicit(&queues_hastening, memory_order_relaxed);

    if (concerned != 0)
        queue_tell(queue);
}

/* Starts the reaper thread if it isn't there. Lock held. Returns 0 or a negated errno. */
int reaper_start(struct aio_queue *queue);

/* Ends and joins the reaper thread. Nothing is in flight; lock not held. */
void reaper_end(struct aio_queue *queue);

/* --- queue_submit.c ------------------------------------------------------------------------- */

/* A request has entered its file (or was refused): makes it known where it is by its step. Lock
 * held. Returns whether the caller is to launch it. */
bool queue_place(struct aio_queue *queue, struct request *request);

/* Whether a worker is to have one that is for the engine, as the submits of its file block; counts
 * it as such. Whoever has it calls it, with no lock held. */
bool queue_offload(struct aio_queue *queue, struct request *request);

/* The short way of the operations at the front that are plain (file_ops.h), up to QUEUE_BATCH of
 * them. Returns how many were submitted; 0 where they have to take the long way. ids may be NULL.
 * *behind is set to a file that is kept from being closed, file_op_forget(), while the operation
 * behind them is dealt with. */
int queue_submit_plain(struct aio_queue *queue, const struct aio_op *ops, unsigned count,
                       aio_request_id *ids, struct aio_file **behind);

/* Lets followers whose turn has come into their files; some, if they are many. Lock held, dropped
 * meanwhile. Holder only. */
void queue_start_followers(struct aio_queue *queue);

/* --- queue_notice.c ------------------------------------------------------------------------- */

/* Starts the time of a request, which has its deadline_ns from now. Lock held. */
void queue_set_deadline(struct aio_queue *queue, struct request *request);

/* When the next deadline is over; DEADLINE_NEVER without one. Lock held. */
static inline int64_t queue_next_deadline(const struct aio_queue *queue)
{
    const struct request *first = request_deadline_first(&queue->table);

    return first != NULL ? first->deadline_ns : DEADLINE_NEVER;
}

/* Makes the notices due whose time has come. Lock held; queue_changed() is to follow. */
void queue_check_deadlines(struct aio_queue *queue, int64_t now_ns);

/* A request has its result, or its notice was given: there will be none. Lock held. */
void queue_drop_notice(struct aio_queue *queue, struct request *request);

/* Writes the completion of a notice. */
void queue_notice_completion(const struct request *request, struct aio_completion *completion);

/* --- queue_work.c --------------------------------------------------------------------------- */

/* A worker's part in a request: what its file's step WORKER asks for, or its way in after it was
 * held back. The job of request.pass. */
void queue_work(struct worker_job *job);

/* While deadlines run, the reaper thread gives what it would submit (remainders, followers) to a
 * worker to submit: it must not stand in a submit that blocks. Holder only, lock held. Returns
 * false where that is not so, and the holder is to launch it. */
bool queue_hand_over(struct aio_queue *queue, struct request *request);

/* The owner's part in what workers left for it. Returns whether there was anything. */
bool queue_take_mail(struct aio_queue *queue);

/* Whether workers left something. Relaxed: taking it out acquires. */
static inline bool queue_has_mail(const struct aio_queue *queue)
{
    return atomic_load_explicit(&queue->mail, memory_order_relaxed) != NULL;
}

/* Whether the engine's submit would wait for the disk, or the engine cannot do it so. */
static inline bool queue_prefers_worker(const struct aio_queue *queue,
                                        const struct request *request)
{
    const struct engine *engine = queue->engine;
    const struct transfer *transfer = &request->transfer;

    if ((transfer->io.rw_flags & RWF_HIPRI) != 0 && !engine->takes_hipri)
        return true;
    if (engine->polled && !file_op_is_direct(request->file, transfer, &request->pass))
        return true;
    return engine->ops->extending_blocks && file_op_extends(request->file, transfer);
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

/* Whether a call may go on: 0, -EOWNERDEAD in a forked child, -EPERM for another thread than the
 * owner of an owned queue. */
int queue_admit(const struct aio_queue *queue);

/* For a thread that waits for operations outside of a queue (gate, bounce memory, close): moves the
 * queues that it owns, since nobody else does, for a tick at most. Returns false when there is
 * nothing to move: it may sleep. No lock held. */
bool queues_move_owned(void);

/* A descriptor that a queue was told of is about to be closed. No lock held. */
void queues_forget_file(int fd);

#endif
