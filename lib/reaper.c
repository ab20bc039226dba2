/* SPDX-License-Identifier: MIT */
/*
 * reaper.c - completions: finish a request, or send its remainder; and the thread of last resort.
 *
 *   queue_await     a thread that waits: reaps for itself with the token, or parks
 *   reap_once       the holder: engine events -> transfer_advance -> finished, or ready again
 *   queue_launch    requests -> engine, and what becomes of those that it refuses
 *   run_callbacks   frees the slots first, then calls with no lock held
 *   reaper_main     the thread
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "file_ops.h"
#include "queue_state.h"

/* The callback that a thread is in. */
struct callback_frame {
    const struct aio_queue *queue;
    struct request *kept; /* its slot; NULL once a submit took it */
};

/* Only this thread reads and writes it. */
static _Thread_local struct callback_frame *callback_current;

bool reaper_in_callback(void)
{
    /* A child that a callback forked is in nobody's callback: the reaper stayed with the parent. */
    return callback_current != NULL && queue_is_ours(callback_current->queue);
}

struct request *reaper_take_kept(const struct aio_queue *queue)
{
    struct request *kept;

    if (callback_current == NULL || callback_current->queue != queue)
        return NULL;
    kept = callback_current->kept;
    callback_current->kept = NULL;
    return kept;
}

void reaper_keep(struct request *kept)
{
    callback_current->kept = kept;
}

/* --- waiting -------------------------------------------------------------------------------- */

static bool drained(const struct aio_queue *queue, uint64_t sequence)
{
    const struct request_table *table = &queue->table;

    if (queue->callbacks_running > 0 && queue->callback_sequence <= sequence)
        return false;
    if (table->inflight == 0 && table->callbacks.count == 0)
        return true;
    for (uint32_t index = 0; index < table->depth; index++) {
        const struct request *request = &table->requests[index];

        if (!request_state_inflight(request->state) && request->state != REQUEST_CALLBACK)
            continue;
        if (request->sequence <= sequence)
            return false;
    }
    return true;
}

/* A slot is free, or none ever will be: not without somebody taking a result, or at all. */
static bool slot_decided(const struct aio_queue *queue)
{
    const struct request_table *table = &queue->table;

    return table->free.count > 0 || queue->closing ||
           (table->inflight == 0 && table->callbacks.count == 0 && queue->callbacks_running == 0);
}

bool queue_waiter_ready(const void *context, const struct waiter *waiter)
{
    const struct aio_queue *queue = context;

    switch (waiter->kind) {
    case WAIT_REQUEST:
        return waiter->request->state == REQUEST_DONE;
    case WAIT_RESULTS:
        return queue->table.done.count >= waiter->min || queue->reapable == 0;
    case WAIT_SLOT:
        return slot_decided(queue);
    case WAIT_DRAIN:
        return drained(queue, waiter->sequence);
    case WAIT_ALONE:
        return queue->inside == 1;
    }
    return true;
}

/* Whether a holder has anything to do. */
static bool engine_has_work(const struct aio_queue *queue)
{
    return queue->table.running > 0 || queue->table.ready.count > 0;
}

/* Whether somebody depends on completions who does not reap himself. */
static bool reaper_needed(const struct aio_queue *queue)
{
    return engine_has_work(queue) && (queue->callbacks_inflight > 0 || queues_hastened());
}

void queue_tell(struct aio_queue *queue)
{
    bool wake_reaper = queue->table.callbacks.count > 0;

    token_wake_ready(&queue->token, queue_waiter_ready, queue);
    if (token_holder_overslept(&queue->token, queue_waiter_ready, queue))
        queue_interrupt(queue);
    if (!queue->token.held && engine_has_work(queue) &&
        !token_offer(&queue->token, queue_waiter_ready, queue))
        wake_reaper |= queue->reaper_dozing || reaper_needed(queue);
    wake_reaper |= queue->interrupt_owed && queue->reaper_dozing;
    if (wake_reaper) {
        queue->reaper_dozing = false;
        thread_cond_signal(&queue->reaper_wakeup);
    }
}

void queue_interrupt(struct aio_queue *queue)
{
    queue->interrupt_owed = !token_interrupt(&queue->token, queue->engine);
}

/* --- completions ---------------------------------------------------------------------------- */

static void count_result(struct aio_queue *queue, const struct transfer *transfer)
{
    struct aio_queue_stats *stats = &queue->stats;

    stats->completed++;
    if (transfer->result < 0)
        stats->failed++;
    else if (transfer_is_read(transfer))
        stats->bytes_read += (uint64_t)transfer->result;
    else if (transfer_is_write(transfer))
        stats->bytes_written += (uint64_t)transfer->result;
}

void queue_finish(struct aio_queue *queue, struct request *request)
{
    struct request_table *table = &queue->table;

    if (request->file != NULL)
        file_op_end(request->file, &request->transfer, &request->pass);
    count_result(queue, &request->transfer);
    if (request->on_complete != NULL) {
        queue->callbacks_inflight--;
        request_set_state(table, request, REQUEST_CALLBACK);
        request_list_push(table, &table->callbacks, request);
        return;
    }
    request_set_state(table, request, REQUEST_DONE);
    if (!request->waited && !request->claimed) {
        queue->reapable--;
        request_list_push(table, &table->done, request);
    }
    if (request->file != NULL)
        file_op_forget(request->file);
}

static void take_event(struct aio_queue *queue, const struct engine_event *event)
{
    struct request_table *table = &queue->table;
    struct request *request = &table->requests[event->tag];
    enum transfer_verdict verdict;

    assert(event->tag < table->depth);
    assert(request->state == REQUEST_RUNNING);
    verdict = transfer_advance(&request->transfer, event->result);
    if (verdict == TRANSFER_DONE) {
        queue_finish(queue, request);
        return;
    }
    if (event->result >= 0) {
        queue->stats.short_transfers++;
        queue->stats.resubmits++;
    } else {
        queue->stats.retries++;
    }
    request_set_state(table, request, REQUEST_READY);
    request_list_push(table, &table->ready, request);
}

/* Sends remainders and refused requests again. Lock held, dropped meanwhile. Holder only. */
static void launch_ready(struct aio_queue *queue)
{
    struct request_table *table = &queue->table;
    uint32_t left = table->ready.count; /* not those that come back */

    while (left > 0 && table->ready.count > 0) {
        struct request *batch[QUEUE_BATCH];
        unsigned count = 0;

        while (left > 0 && count < QUEUE_BATCH && table->ready.count > 0) {
            batch[count] = request_list_pop(table, &table->ready);
            request_set_state(table, batch[count], REQUEST_RUNNING);
            count++;
            left--;
        }
        thread_mutex_unlock(&queue->lock);
        queue_launch(queue, batch, count, true);
        thread_mutex_lock(&queue->lock);
    }
}

/* How long a reap may sleep: to the deadline, but not longer than a tick while requests that the
 * engine refused wait for another try. */
static const struct timespec *reap_limit(const struct aio_queue *queue, int64_t deadline_ns,
                                         struct timespec *limit)
{
    int64_t left_ns = DEADLINE_NEVER;

    if (deadline_ns == 0)
        left_ns = 0;
    else if (deadline_ns != DEADLINE_NEVER)
        left_ns = deadline_ns - thread_now_ns();
    if (queue->table.ready.count > 0 && left_ns > REAPER_TICK_NS)
        left_ns = REAPER_TICK_NS;
    if (left_ns == DEADLINE_NEVER)
        return NULL;
    if (left_ns < 0)
        left_ns = 0;
    limit->tv_sec = left_ns / NS_PER_SECOND;
    limit->tv_nsec = left_ns % NS_PER_SECOND;
    return limit;
}

/* Sleeps in the engine for at least min events. Lock held, dropped meanwhile. */
static int reap_asleep(struct aio_queue *queue, struct engine_event *events, unsigned min,
                       int64_t deadline_ns)
{
    struct timespec limit_memory;
    const struct timespec *limit = reap_limit(queue, deadline_ns, &limit_memory);
    int count;

    queue->token.sleeping_for = min;
    queue->token.interrupted = false;
    thread_mutex_unlock(&queue->lock);
    count = queue->engine->ops->reap(queue->engine, events, min, QUEUE_BATCH, limit);
    thread_mutex_lock(&queue->lock);
    queue->token.sleeping_for = 0;
    queue->interrupt_owed = false;
    return count;
}

/* The holder reaps what is there; if nothing is, it sleeps for at least min events, unless the
 * deadline (0: do not sleep) or an interrupt comes first. Lock held, dropped only to sleep.
 * Returns false when the deadline is over. */
static bool reap_once(struct aio_queue *queue, unsigned min, int64_t deadline_ns,
                      uint64_t *reaped_count)
{
    struct engine_event events[QUEUE_BATCH];
    int count;

    assert(queue->token.held);
    count = queue->engine->ops->reap(queue->engine, events, 0, QUEUE_BATCH, NULL);
    if (count <= 0 && deadline_ns != 0)
        count = reap_asleep(queue, events, min, deadline_ns);
    for (int index = 0; index < count; index++)
        take_event(queue, &events[index]);
    if (count > 0) {
        queue->refused_since_ns = 0;
        *reaped_count += (uint64_t)count;
    }
    if (queue->table.ready.count > 0)
        launch_ready(queue);
    queue_changed(queue);
    if (deadline_ns == 0) /* a poll is over when nothing more is there */
        return count == (int)QUEUE_BATCH;
    return deadline_ns == DEADLINE_NEVER || thread_now_ns() < deadline_ns;
}

/* How many events to sleep for: as many as the waiter needs, if it alone is concerned. */
static unsigned holder_min(const struct aio_queue *queue, const struct waiter *waiter)
{
    unsigned needed = 1;

    if (waiter->kind != WAIT_RESULTS || queue->token.first != NULL)
        return 1;
    if (queue->callbacks_inflight > 0 || queues_hastened())
        return 1;
    needed = waiter->min - queue->table.done.count;
    if (needed > queue->reapable)
        needed = queue->reapable;
    if (needed > queue->table.running)
        needed = queue->table.running;
    if (needed > QUEUE_BATCH)
        needed = QUEUE_BATCH;
    return needed > 0 ? needed : 1;
}

static bool await_parked(struct aio_queue *queue, struct waiter *waiter, int64_t deadline_ns)
{
    bool in_time;

    if (deadline_ns == 0)
        return false;
    if (queue->token.sleeping_for > 1)
        queue_interrupt(queue);
    thread_cond_init(&waiter->wakeup);
    in_time = token_park(&queue->token, waiter, &queue->lock, deadline_ns);
    thread_cond_destroy(&waiter->wakeup);
    return in_time;
}

bool queue_await(struct aio_queue *queue, struct waiter *waiter, int64_t deadline_ns)
{
    bool in_time = true;
    bool ready;

    queue->inside++;
    while (!(ready = queue_waiter_ready(queue, waiter)) && in_time) {
        if (!waiter->has_token && engine_has_work(queue))
            waiter->has_token = token_take(&queue->token);
        if (waiter->has_token && engine_has_work(queue)) {
            queue->token.holder = waiter;
            in_time = reap_once(queue, holder_min(queue, waiter), deadline_ns,
                                &queue->stats.reaped_by_waiter);
            continue;
        }
        if (waiter->has_token) {
            /* Nothing to reap: what is awaited is somebody else's step. */
            waiter->has_token = false;
            token_release(&queue->token);
        }
        in_time = await_parked(queue, waiter, deadline_ns);
    }
    queue->inside--;
    if (waiter->has_token)
        token_release(&queue->token);
    queue_changed(queue);
    return ready;
}

/* --- submission to the engine --------------------------------------------------------------- */

/* The engine has no room: try again later, but not for ever where nothing can make room. */
static void launch_refused(struct aio_queue *queue, struct request **requests, unsigned count,
                           bool retry)
{
    struct request_table *table = &queue->table;
    int64_t now_ns = thread_now_coarse_ns();
    bool too_long = false;

    if (retry && table->running == count) {
        if (queue->refused_since_ns == 0)
            queue->refused_since_ns = now_ns;
        too_long = now_ns - queue->refused_since_ns > REFUSAL_NS;
    }
    for (unsigned index = 0; index < count; index++) {
        if (too_long) {
            transfer_fail(&requests[index]->transfer, -EAGAIN);
            queue_finish(queue, requests[index]);
        } else {
            request_set_state(table, requests[index], REQUEST_READY);
            request_list_push(table, &table->ready, requests[index]);
            queue->stats.retries++;
        }
    }
    if (too_long)
        queue->refused_since_ns = 0;
}

void queue_launch(struct aio_queue *queue, struct request **requests, unsigned count, bool retry)
{
    const struct engine_ops *ops = queue->engine->ops;
    struct engine_io *ios[QUEUE_BATCH];
    unsigned started = 0;

    for (unsigned index = 0; index < count; index++)
        ios[index] = &requests[index]->transfer.io;
    while (started < count) {
        int result = ops->submit(queue->engine, ios + started, count - started);

        if (result > 0) {
            started += (unsigned)result;
            continue;
        }
        if (result == -EINTR)
            continue;
        thread_mutex_lock(&queue->lock);
        if (result == 0 || result == -EAGAIN) {
            launch_refused(queue, requests + started, count - started, retry);
            started = count;
        } else {
            /* An error concerns the first one alone: the rest is tried without it. */
            transfer_fail(&requests[started]->transfer, result);
            queue_finish(queue, requests[started]);
            started++;
        }
        queue_interrupt(queue);
        queue_changed(queue);
        thread_mutex_unlock(&queue->lock);
    }
}

/* --- callbacks ------------------------------------------------------------------------------ */

/* Callbacks run at a time: their slots come free for others only after the last. */
#define CALLBACK_BATCH 16u

struct callback {
    struct callback_frame frame;
    struct aio_completion completion;
    aio_complete_fn function;
    struct aio_file *file;
};

void queue_completion(const struct aio_queue *queue, const struct request *request,
                      struct aio_completion *completion)
{
    memset(completion, 0, sizeof(*completion));
    completion->id = request_id(&queue->table, request);
    completion->result = request->transfer.result;
    completion->offset = request->transfer.offset;
    completion->context = request->context;
    completion->error = request->transfer.error;
}

/* Takes the next request whose callback is due and frees its slot for it. */
static void callback_take(struct aio_queue *queue, struct callback *callback)
{
    struct request *request = request_list_pop(&queue->table, &queue->table.callbacks);

    queue_completion(queue, request, &callback->completion);
    callback->function = request->on_complete;
    callback->file = request->file;
    callback->frame = (struct callback_frame){queue, request};
    if (request->sequence < queue->callback_sequence)
        queue->callback_sequence = request->sequence;
    request_set_state(&queue->table, request, REQUEST_KEPT);
    request->published = false;
    request->resumed = false;
    request_retire_id(request);
}

static void callback_call(struct callback *callback)
{
    callback_current = &callback->frame;
    callback->function(&callback->completion);
    callback_current = NULL;
    if (callback->file != NULL)
        file_op_forget(callback->file);
}

static void run_callbacks(struct aio_queue *queue)
{
    struct request_table *table = &queue->table;
    struct callback batch[CALLBACK_BATCH];
    unsigned count = 0;

    queue->callback_sequence = UINT64_MAX;
    while (count < CALLBACK_BATCH && table->callbacks.count > 0)
        callback_take(queue, &batch[count++]);
    queue->callbacks_running = count;
    thread_mutex_unlock(&queue->lock);
    for (unsigned index = 0; index < count; index++)
        callback_call(&batch[index]);
    thread_mutex_lock(&queue->lock);
    for (unsigned index = 0; index < count; index++) {
        struct request *kept = batch[index].frame.kept;

        if (kept == NULL)
            continue;
        request_set_state(table, kept, REQUEST_FREE);
        request_list_push(table, &table->free, kept);
    }
    queue->callbacks_running = 0;
    queue->stats.callbacks += count;
    queue_changed(queue);
}

/* --- the thread ----------------------------------------------------------------------------- */

static void reaper_reap(struct aio_queue *queue, unsigned min, int64_t deadline_ns)
{
    reap_once(queue, min, deadline_ns, &queue->stats.reaped_by_reaper);
    token_release(&queue->token);
    queue_changed(queue);
}

/* Nothing is urgent. While operations are in flight it looks in now and then, so that remainders
 * of partial transfers go on even if nobody calls; otherwise it sleeps until a submit. */
static void reaper_idle(struct aio_queue *queue)
{
    if (queue->table.inflight == 0 && !queue->interrupt_owed) {
        queue->reaper_dozing = true;
        thread_cond_wait(&queue->reaper_wakeup, &queue->lock, DEADLINE_NEVER);
        queue->reaper_dozing = false;
        return;
    }
    if (thread_cond_wait(&queue->reaper_wakeup, &queue->lock, thread_now_ns() + REAPER_TICK_NS))
        return;
    if (queue->interrupt_owed)
        queue_interrupt(queue);
    if (engine_has_work(queue) && token_take(&queue->token))
        reaper_reap(queue, 0, 0);
}

static void *reaper_main(void *argument)
{
    struct aio_queue *queue = argument;

    thread_mutex_lock(&queue->lock);
    while (!queue->reaper_stop) {
        if (queue->table.callbacks.count > 0)
            run_callbacks(queue);
        else if (reaper_needed(queue) && token_take(&queue->token))
            reaper_reap(queue, 1, DEADLINE_NEVER);
        else
            reaper_idle(queue);
    }
    thread_mutex_unlock(&queue->lock);
    return NULL;
}

int reaper_start(struct aio_queue *queue)
{
    int error;

    if (queue->reaper_started)
        return 0;
    error = thread_start(&queue->reaper, "aio-reaper", reaper_main, queue);
    queue->reaper_started = error == 0;
    return error;
}

void reaper_end(struct aio_queue *queue)
{
    bool started;

    thread_mutex_lock(&queue->lock);
    started = queue->reaper_started;
    queue->reaper_stop = true;
    thread_cond_signal(&queue->reaper_wakeup);
    thread_mutex_unlock(&queue->lock);
    if (started)
        thread_join(&queue->reaper);
}
