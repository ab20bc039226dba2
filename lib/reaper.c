/* SPDX-License-Identifier: MIT */
/*
 * reaper.c - completions: finish a request, or send its remainder; and the thread of last resort.
 *
 *   queue_await     a thread that waits: reaps for itself with the token, or parks; the owner of a
 *                   queue always has the token
 *   reap_once       the holder: engine events -> transfer_advance -> finished, or ready again
 *   queue_launch    requests -> engine, and what becomes of those that it refuses
 *   run_callbacks   frees the slots first, then calls with no lock held
 *   reaper_main     the thread
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "file_ops.h"
#include "queue_state.h"
#include "trace.h"

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

bool queue_drained(const struct aio_queue *queue, uint64_t sequence)
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

/* Whether as many results are there as the waiter wants, or no more can come. In an owned queue
 * callbacks count with them, as they run in the same call. */
static bool results_decided(const struct aio_queue *queue, const struct waiter *waiter)
{
    if (queue_results(queue) + waiter->called + waiter->taken >= waiter->min)
        return true;
    return queue->reapable == 0 && !(waiter->calls && queue->callbacks_inflight > 0);
}

bool queue_waiter_ready(const void *context, const struct waiter *waiter)
{
    const struct aio_queue *queue = context;

    switch (waiter->kind) {
    case WAIT_REQUEST:
        return waiter->request->state == REQUEST_DONE || waiter->request->notice == NOTICE_DUE;
    case WAIT_RESULTS:
        return results_decided(queue, waiter);
    case WAIT_SLOT:
        return queue_slots_free(queue, waiter) || queue->closing || queue_is_stuck(queue, waiter) ||
               (waiter->min > 1 && queue->chain_turn == NULL);
    case WAIT_DRAIN:
        return queue_drained(queue, waiter->sequence);
    case WAIT_ALONE:
        return queue->inside == 1;
    case WAIT_IDLE:
        return queue_inflight(queue) == 0;
    }
    return true;
}

/* Whether somebody depends on completions who does not reap himself. */
static bool reaper_needed(const struct aio_queue *queue)
{
    return queue_engine_has_work(queue) &&
           (queue->callbacks_inflight > 0 || queue->table.linked > 0 ||
            queue->table.entering.count > 0 || queue->event_fd >= 0 || queues_hastened());
}

/* Raises the eventfd for results that came since. */
static void tell_event(struct aio_queue *queue)
{
    if (queue->event_fd < 0 || (!queue->results_new && !queue_owner_is_due(queue)))
        return;
    queue->results_new = false;
    if (queue_results(queue) > 0 || queue_owner_is_due(queue))
        queue_event_raise(queue->event_fd);
}

void queue_tell(struct aio_queue *queue)
{
    bool wake_reaper = queue_callbacks_due(queue);

    tell_event(queue);
    if (queue->owned)
        return;
    token_wake_ready(&queue->token, queue_waiter_ready, queue);
    if (token_holder_overslept(&queue->token, queue_waiter_ready, queue))
        queue_interrupt(queue);
    if (!queue->token.held && queue_engine_has_work(queue) &&
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
    if (!queue->owned)
        queue->interrupt_owed = !token_interrupt(&queue->token, queue->engine);
}

/* --- completions ---------------------------------------------------------------------------- */

/* By which road it went, and where its time did. */
static inline void count_road(struct aio_queue *queue, struct request *request)
{
    struct aio_queue_stats *stats = &queue->stats;
    const struct file_pass *pass = &request->pass;
    uint64_t *road = &stats->direct;

    if (request->by_worker) {
        stats->by_worker++;
        stats->offloaded += request->offloaded;
    }
    if (pass->bounced || pass->cached)
        road = pass->cached ? &stats->page_cache : &stats->bounced;
    if (request->first_ns != 0 &&
        (transfer_is_read(&request->transfer) || transfer_is_write(&request->transfer)))
        ++*road;
    if (!queue->times)
        return;
    request->done_ns = thread_now_ns();
    if (request->first_ns != 0)
        histogram_add(&stats->waiting, request->first_ns - request->submitted_ns);
}

static void count_result(struct aio_queue *queue, const struct transfer *transfer)
{
    struct aio_queue_stats *stats = &queue->stats;

    stats->completed++;
    stats->operations[transfer->opcode]++;
    stats->cancelled += transfer->error == -ECANCELED;
    if (transfer->result < 0)
        stats->failed++;
    else if (transfer_is_read(transfer))
        stats->bytes_read += (uint64_t)transfer->result;
    else if (transfer_is_write(transfer))
        stats->bytes_written += (uint64_t)transfer->result;
}

/* Moved all that it was to move, and it was done. */
static bool succeeded(const struct request *request)
{
    const struct transfer *transfer = &request->transfer;

    if (transfer_is_read(transfer) || transfer_is_write(transfer))
        return transfer->result == (int64_t)transfer->total && transfer->error == 0 &&
               !request->pass.clipped;
    return transfer->result >= 0;
}

static inline void finish_one(struct aio_queue *queue, struct request *request)
{
    struct request_table *table = &queue->table;

    if (request->notice != NOTICE_NONE)
        queue_drop_notice(queue, request);
    if (request->file != NULL)
        file_op_end(request->file, &request->transfer, &request->pass);
    TRACE4(done, queue, request->id, request->transfer.result, request->transfer.error);
    count_result(queue, &request->transfer);
    count_road(queue, request);
    if (request->on_complete != NULL) {
        queue->callbacks_inflight--;
        request_set_state(table, request, REQUEST_CALLBACK);
        request_list_push(&table->callbacks, request);
        /* A close by the owner does not wait for the owner's own next call. */
        if (queue->owned && request->file != NULL) {
            check_end(&request->pass.check);
            file_op_forget(request->file, 1);
        }
        return;
    }
    request_set_state(table, request, REQUEST_DONE);
    if (!request->waited && !request->claimed) {
        queue->reapable--;
        queue->results_new = true;
        request_list_push(&table->done, request);
    }
    if (request->file != NULL)
        file_op_forget(request->file, 1);
}

/* The one before it has its result. At most as deep as a chain is long. */
static void finish_link(struct aio_queue *queue, struct request *request)
{
    struct request *follower = request->follower;

    request->follower = NULL;
    if (succeeded(request)) {
        request_set_state(&queue->table, follower, REQUEST_READY);
        request_list_push(&queue->table.entering, follower);
    } else {
        transfer_fail(&follower->transfer, -ECANCELED);
        queue_finish(queue, follower);
    }
}

/* A plain request becomes one like all others. */
static void leave_short_way(struct request *request)
{
    file_op_unfold(request->file, &request->transfer, &request->pass, request->growth);
    request->pass.job.run = queue_work;
    request->offset = request->transfer.offset;
    request->length = request->transfer.total;
    request->first_ns = request->begun_ns;
    request->deadline_ns = 0;
    request->plain = false;
}

void queue_finish(struct aio_queue *queue, struct request *request)
{
    finish_one(queue, request);
    if (request->follower != NULL)
        finish_link(queue, request);
}

/* What the events of one look into the engine have in common is added up first. */
struct looking {
    int64_t now_ns;
    int64_t begun_ns; /* of the last event's request */
    unsigned begun;   /* events in a row that have it in common */

    struct aio_file *file; /* of the last plain requests; NULL: they have to take the long way */
    unsigned growth;       /* of that file, after the events came */
    unsigned left;         /* of these, those that are through with it */

    /* Room for results that who looks gets at once; NULL to NULL: there is none. */
    struct aio_completion *out;
    struct aio_completion *out_end;

    /* On the short way, by opcode: READ and WRITE. */
    uint64_t moved[AIO_OP_WRITE + 1];
    uint64_t bytes[AIO_OP_WRITE + 1];
};

/* Who asks for results and reaps for itself gets those of the short way without their being put
 * into the list of results first: where that is empty and nobody else is there. */
static void begin_looking(const struct aio_queue *queue, const struct waiter *waiter,
                          struct looking *looking)
{
    *looking = (struct looking){.now_ns = thread_now_ns()};
    if (waiter == NULL || queue_results(queue) > 0 || queue->token.first != NULL ||
        queue->event_fd >= 0)
        return;
    looking->out = waiter->out;
    looking->out_end = waiter->out_end;
}

static void leave_file(struct looking *looking)
{
    if (looking->left > 0)
        file_op_forget(looking->file, looking->left);
    looking->left = 0;
}

static void count_begun(struct aio_queue *queue, const struct looking *looking)
{
    if (looking->begun > 0)
        histogram_add_many(&queue->stats.device, looking->now_ns - looking->begun_ns,
                           looking->begun);
}

/* Results were handed out. The lock is held all the time since the first event. */
static void end_out(struct aio_queue *queue, struct waiter *waiter, struct looking *looking)
{
    unsigned count;

    if (waiter == NULL || looking->out == NULL)
        return;
    count = (unsigned)(looking->out - waiter->out);
    queue->table.inflight -= count;
    queue->table.running -= count;
    queue->reapable -= count;
    waiter->taken += count;
    waiter->out = looking->out;
    looking->out = NULL;
    looking->out_end = NULL;
}

static void end_looking(struct aio_queue *queue, struct waiter *waiter, struct looking *looking)
{
    struct aio_queue_stats *stats = &queue->stats;

    count_begun(queue, looking);
    leave_file(looking);
    end_out(queue, waiter, looking);
    stats->completed += looking->moved[AIO_OP_READ] + looking->moved[AIO_OP_WRITE];
    stats->direct += looking->moved[AIO_OP_READ] + looking->moved[AIO_OP_WRITE];
    stats->operations[AIO_OP_READ] += looking->moved[AIO_OP_READ];
    stats->operations[AIO_OP_WRITE] += looking->moved[AIO_OP_WRITE];
    stats->bytes_read += looking->bytes[AIO_OP_READ];
    stats->bytes_written += looking->bytes[AIO_OP_WRITE];
}

/* The result goes to who looks, the slot is free. */
static inline void hand_out(struct aio_queue *queue, struct request *request,
                            struct looking *looking)
{
    *looking->out++ = (struct aio_completion){
        .id = request->id,
        .result = (int64_t)request->transfer.io.len,
        .offset = request->transfer.io.offset,
        .context = request->context,
    };
    request_retire_id(request);
    request_end_plain(request);
    request_free_push(&queue->table, request);
}

static void write_plain_result(struct request *request)
{
    request->transfer.result = (int64_t)request->transfer.io.len;
    request->transfer.offset = request->transfer.io.offset;
    request->transfer.error = 0;
}

/* It waits to be asked for, in the list or by its id. */
static void finish_plain(struct aio_queue *queue, struct request *request)
{
    struct request_table *table = &queue->table;

    write_plain_result(request);
    request_change_state(table, request, REQUEST_RUNNING, REQUEST_DONE);
    if (!request->waited && !request->claimed) {
        queue->reapable--;
        queue->results_new = true;
        request_list_push(&table->done, request);
    }
}

/* Its file is kept until the callback has returned; but a close by the owner does not wait for the
 * owner's own next call. */
static void call_back_plain(struct aio_queue *queue, struct request *request,
                            struct looking *looking)
{
    struct request_table *table = &queue->table;

    write_plain_result(request);
    request_change_state(table, request, REQUEST_RUNNING, REQUEST_CALLBACK);
    request_list_push(&table->callbacks, request);
    queue->callbacks_inflight--;
    if (!queue->owned)
        looking->left--;
}

static void change_file(const struct aio_queue *queue, struct aio_file *file,
                        struct looking *looking)
{
    leave_file(looking);
    looking->file = !queue->times ? file : NULL;
    looking->growth = file_op_growth(file);
}

/* The short way out, of a plain transfer that is whole. Returns false where there is more to do. */
static inline bool take_plain_event(struct aio_queue *queue, struct request *request,
                                    struct looking *looking)
{
    if (request->file != looking->file) {
        change_file(queue, request->file, looking);
        if (looking->file == NULL)
            return false;
    }
    if (request->growth != looking->growth)
        return false;
    TRACE4(done, queue, request->id, request->transfer.io.len, 0);
    if (request->transfer.io.opcode == AIO_OP_WRITE)
        file_op_leave_plain(request->file, request->transfer.io.offset, request->transfer.io.len);
    looking->moved[request->transfer.io.opcode]++;
    looking->bytes[request->transfer.io.opcode] += request->transfer.io.len;
    looking->left++;
    if (request->on_complete != NULL)
        call_back_plain(queue, request, looking);
    else if (looking->out != looking->out_end && !(request->waited | request->claimed))
        hand_out(queue, request, looking);
    else
        finish_plain(queue, request);
    return true;
}

static inline void take_event(struct aio_queue *queue, struct waiter *waiter,
                              const struct engine_event *event, struct looking *looking)
{
    struct request_table *table = &queue->table;
    struct request *request = &table->requests[event->tag];
    enum transfer_verdict verdict;

    assert(event->tag < table->depth);
    TRACE3(event, queue, event->tag, event->result);
    if (request->begun_ns != looking->begun_ns) {
        count_begun(queue, looking);
        looking->begun_ns = request->begun_ns;
        looking->begun = 0;
    }
    looking->begun++;
    if (request->plain && event->result == (int64_t)request->transfer.io.len &&
        take_plain_event(queue, request, looking))
        return;
    assert(request->state == REQUEST_RUNNING);
    end_out(queue, waiter, looking); /* there may be results in the list from now on */
    if (request->plain)
        leave_short_way(request);
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
    request->refused = event->result < 0;
    request_set_state(table, request, REQUEST_READY);
    request_list_push(&table->ready, request);
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
            struct request *request = request_list_pop(&table->ready);

            left--;
            if (queue_hand_over(queue, request))
                continue;
            request_set_state(table, request, REQUEST_RUNNING);
            batch[count++] = request;
        }
        queue_unlock(queue);
        queue_launch(queue, batch, count, true);
        queue_lock(queue);
    }
}

/* How long a reap may sleep: to the deadline, but not longer than a tick while requests that the
 * engine refused wait for another try. */
static const struct timespec *reap_limit(const struct aio_queue *queue, int64_t deadline_ns,
                                         struct timespec *limit)
{
    int64_t left_ns = DEADLINE_NEVER;

    if (queue->owned && deadline_ns > queue_next_deadline(queue))
        deadline_ns = queue_next_deadline(queue);
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

/* The owner says that it is about to sleep. Returns false when workers have left something. */
static bool owner_may_sleep(struct aio_queue *queue, unsigned min)
{
    bool may;

    thread_mutex_lock(&queue->mail_lock);
    may = !queue_has_mail(queue);
    queue->mail_sleeping_for = may ? min : 0;
    thread_mutex_unlock(&queue->mail_lock);
    return may;
}

static int reap_asleep_owned(struct aio_queue *queue, struct engine_event *events, unsigned min,
                             const struct timespec *limit)
{
    const struct request_table *table = &queue->table;
    bool workers = table->inflight > table->running + table->ready.count + table->entering.count;
    int count;

    /* A wake is one event, whatever is slept for. */
    if (workers)
        min = 1;
    if (workers && !owner_may_sleep(queue, min))
        return 0;
    count = queue->engine->ops->reap(queue->engine, events, min, QUEUE_BATCH, limit);
    if (workers)
        owner_may_sleep(queue, 0);
    return count;
}

/* Sleeps in the engine for at least min events. Lock held, dropped meanwhile. */
static int reap_asleep(struct aio_queue *queue, struct engine_event *events, unsigned min,
                       int64_t deadline_ns)
{
    struct timespec limit_memory;
    const struct timespec *limit = reap_limit(queue, deadline_ns, &limit_memory);
    int count;

    if (queue->owned)
        return reap_asleep_owned(queue, events, min, limit);
    queue->token.sleeping_for = min;
    queue->token.interrupted = false;
    queue_unlock(queue);
    count = queue->engine->ops->reap(queue->engine, events, min, QUEUE_BATCH, limit);
    queue_lock(queue);
    queue->token.sleeping_for = 0;
    queue->interrupt_owed = false;
    return count;
}

/* The holder reaps what is there; if nothing is, it sleeps for at least min events, unless the
 * deadline (0: do not sleep) or an interrupt comes first. Lock held, dropped only to sleep.
 * waiter: who looks; NULL: for others. Returns false when the deadline is over. */
static bool reap_once(struct aio_queue *queue, struct waiter *waiter, unsigned min,
                      int64_t deadline_ns, uint64_t *reaped_count)
{
    struct engine_event events[QUEUE_BATCH];
    int count;

    assert(queue->token.held);
    count = queue->engine->ops->reap(queue->engine, events, 0, QUEUE_BATCH, NULL);
    if (count <= 0 && deadline_ns != 0 && queue->table.entering.count == 0)
        count = reap_asleep(queue, events, min, deadline_ns);
    if (count > 0) {
        struct looking looking;

        begin_looking(queue, waiter, &looking);
        for (int index = 0; index < count; index++)
            take_event(queue, waiter, &events[index], &looking);
        end_looking(queue, waiter, &looking);
        queue->refused_since_ns = 0;
        *reaped_count += (uint64_t)count;
    }
    /* There may be more, of which the eventfd was to tell. */
    if (queue->owned && queue->event_fd >= 0 && count == (int)QUEUE_BATCH)
        queue_event_raise(queue->event_fd);
    while (queue->table.entering.count > 0)
        queue_start_followers(queue);
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
    if (queue->callbacks_inflight > 0 || queue->table.linked > 0 || queue->table.heap_count > 0 ||
        queue->event_fd >= 0 || queues_hastened())
        return 1;
    needed = waiter->min - waiter->called - waiter->taken - queue_results(queue);
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

/* Looks for the last time before notices say that something is late. */
static void await_notices(struct aio_queue *queue)
{
    int64_t now_ns = thread_now_ns();

    if (queue_next_deadline(queue) > now_ns)
        return;
    if (queue_engine_has_work(queue))
        while (reap_once(queue, NULL, 0, 0, &queue->stats.reaped_by_waiter))
            continue;
    queue_check_deadlines(queue, now_ns);
    queue_changed(queue);
}

/* What the owner waits for is in the engine, with workers, or in callbacks that are its own. */
static bool await_owned(struct aio_queue *queue, struct waiter *waiter, int64_t deadline_ns)
{
    bool in_time = true;

    for (;;) {
        if (queue_has_mail(queue))
            queue_take_mail(queue);
        while (queue->table.entering.count > 0) {
            queue_start_followers(queue);
            queue_changed(queue);
        }
        if (queue->table.heap_count > 0)
            await_notices(queue);
        while (waiter->calls && queue_callbacks_due(queue))
            waiter->called += queue_run_callbacks(queue);
        if (queue_waiter_ready(queue, waiter))
            return true;
        if (!in_time || queue->table.inflight == 0)
            return false;
        in_time = reap_once(queue, waiter, holder_min(queue, waiter), deadline_ns,
                            &queue->stats.reaped_by_waiter);
    }
}

bool queue_await(struct aio_queue *queue, struct waiter *waiter, int64_t deadline_ns)
{
    bool in_time = true;
    bool ready;

    if (queue->owned)
        return await_owned(queue, waiter, deadline_ns);
    queue->inside++;
    while (!(ready = queue_waiter_ready(queue, waiter)) && in_time) {
        if (!waiter->has_token && queue_engine_has_work(queue))
            waiter->has_token = token_take(&queue->token);
        if (waiter->has_token && queue_engine_has_work(queue)) {
            queue->token.holder = waiter;
            in_time = reap_once(queue, waiter, holder_min(queue, waiter), deadline_ns,
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
    waiter->has_token = false; /* it may wait again */
    queue_changed(queue);
    return ready;
}

/* --- submission to the engine --------------------------------------------------------------- */

/* The engine has no room: try again later, but not for ever where nothing can make room. */
static void launch_refused(struct aio_queue *queue, struct engine_io *const *ios, unsigned count,
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
        struct request *request = queue_request_of(ios[index]);

        if (request->plain)
            leave_short_way(request);
        /* The engine has not begun with it. */
        if (request->first_ns == request->begun_ns)
            request->first_ns = 0;
        if (too_long || request->pass.nowait) {
            transfer_fail(&request->transfer, -EAGAIN);
            queue_finish(queue, request);
        } else {
            request->refused = true;
            request_set_state(table, request, REQUEST_READY);
            request_list_push(&table->ready, request);
            queue->stats.retries++;
        }
    }
    if (too_long)
        queue->refused_since_ns = 0;
}

/* A submit that is timed, since it may block. */
struct timed_submit {
    bool timed;
    bool watched; /* the thread's sleeps are counted, too */
    struct aio_file
        *file; /* of all its transfers; kept from being closed. NULL: there is no such */
    int64_t begin_ns;
    long sleeps;
};

static long thread_sleeps(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

static struct aio_file *file_of_all(struct engine_io *const *ios, unsigned count)
{
    struct aio_file *file = queue_request_of(ios[0])->file;

    for (unsigned index = 1; index < count; index++)
        if (queue_request_of(ios[index])->file != file)
            return NULL;
    return file;
}

/* One submit in 16 is timed, chosen by the clock, which is read for each anyway; and all of a
 * suspect. */
static struct timed_submit submit_begins(const struct aio_queue *queue,
                                         struct engine_io *const *ios, unsigned count,
                                         int64_t begun_ns)
{
    const struct request *first = queue_request_of(ios[0]);
    struct timed_submit submit = {.begin_ns = begun_ns};

    submit.watched = !first->plain && first->pass.pace == PACE_SUSPECT;
    submit.timed = submit.watched || queue->times || queue_sampled(begun_ns);
    if (!submit.timed)
        return submit;
    submit.file = queue->engine->ops->may_block ? file_of_all(ios, count) : NULL;
    if (submit.file != NULL)
        file_op_keep(submit.file);
    if (submit.watched)
        submit.sleeps = thread_sleeps();
    return submit;
}

static void submit_ends(struct aio_queue *queue, const struct timed_submit *submit, unsigned count)
{
    int64_t elapsed_ns = thread_now_ns() - submit->begin_ns;

    queue_lock(queue);
    histogram_add(&queue->stats.submitting, elapsed_ns);
    queue_unlock(queue);
    if (submit->file == NULL)
        return;
    file_op_submitted(submit->file, elapsed_ns / count,
                      submit->watched && thread_sleeps() > submit->sleeps);
    file_op_forget(submit->file, 1);
}

/* The engine did not take the first of them. Returns how many are dealt with. */
static unsigned not_launched(struct aio_queue *queue, struct engine_io *const *ios, unsigned count,
                             int error, bool retry)
{
    struct request *request = queue_request_of(ios[0]);

    queue_lock(queue);
    if (error == 0 || error == -EAGAIN) {
        launch_refused(queue, ios, count, retry);
    } else {
        /* An error concerns the first one alone: the rest is tried without it. */
        if (request->plain)
            leave_short_way(request);
        transfer_fail(&request->transfer, error);
        queue_finish(queue, request);
        count = 1;
    }
    queue_interrupt(queue);
    queue_changed(queue);
    queue_unlock(queue);
    return count;
}

void queue_launch_begun(struct aio_queue *queue, struct engine_io **ios, unsigned count,
                        int64_t begun_ns, bool retry)
{
    const struct engine_ops *ops = queue->engine->ops;
    struct timed_submit submit = submit_begins(queue, ios, count, begun_ns);
    unsigned started = 0;

    while (started < count) {
        int result = ops->submit(queue->engine, ios + started, count - started);

        if (result > 0)
            started += (unsigned)result;
        else if (result != -EINTR)
            started += not_launched(queue, ios + started, count - started, result, retry);
    }
    if (submit.timed)
        submit_ends(queue, &submit, count);
}

void queue_launch(struct aio_queue *queue, struct request **requests, unsigned count, bool retry)
{
    struct engine_io *ios[QUEUE_BATCH];
    int64_t now_ns;

    if (count == 0)
        return;
    now_ns = thread_now_ns();
    for (unsigned index = 0; index < count; index++) {
        queue_begin_step(requests[index], now_ns);
        ios[index] = &requests[index]->transfer.io;
    }
    queue_launch_begun(queue, ios, count, now_ns, retry);
}

/* --- callbacks ------------------------------------------------------------------------------ */

/* Callbacks run at a time: their slots come free for others only after the last. */
#define CALLBACK_BATCH 16u

struct callback {
    struct callback_frame frame;
    struct aio_completion completion;
    struct check_entry *check;
    aio_complete_fn function;
    struct aio_file *file;
    int64_t done_ns;   /* with AIO_QUEUE_TIMES, of a result; else 0 */
    int64_t called_ns; /* likewise */
};

/* Takes the next notice for a callback: its request goes on. */
static void callback_take_notice(struct aio_queue *queue, struct callback *callback)
{
    struct request *request = queue->table.callback_notices.first;

    queue_notice_completion(request, &callback->completion);
    callback->function = request->on_complete;
    callback->check = NULL;
    callback->file = NULL;
    callback->done_ns = 0;
    callback->frame = (struct callback_frame){queue, NULL};
    if (request->sequence < queue->callback_sequence)
        queue->callback_sequence = request->sequence;
    queue_drop_notice(queue, request);
}

/* Takes the next request whose callback is due and frees its slot for it. */
static void callback_take(struct aio_queue *queue, struct callback *callback)
{
    struct request *request = request_list_pop(&queue->table.callbacks);

    queue_completion(request, &callback->completion);
    callback->function = request->on_complete;
    callback->check = request->plain ? NULL : request->pass.check;
    request->pass.check = NULL;
    callback->file = queue->owned ? NULL : request->file;
    callback->done_ns = queue->times ? request->done_ns : 0;
    callback->frame = (struct callback_frame){queue, request};
    if (request->sequence < queue->callback_sequence)
        queue->callback_sequence = request->sequence;
    request_set_state(&queue->table, request, REQUEST_KEPT);
    request_retire_id(request);
}

static void callback_call(struct callback *callback)
{
    if (callback->check != NULL)
        check_end(&callback->check);
    if (callback->done_ns != 0)
        callback->called_ns = thread_now_ns();
    callback_current = &callback->frame;
    callback->function(&callback->completion);
    callback_current = NULL;
    if (callback->file != NULL)
        file_op_forget(callback->file, 1);
}

unsigned queue_run_callbacks(struct aio_queue *queue)
{
    struct request_table *table = &queue->table;
    struct callback batch[CALLBACK_BATCH];
    unsigned count = 0;

    queue->callback_sequence = UINT64_MAX;
    while (count < CALLBACK_BATCH && table->callback_notices.count > 0)
        callback_take_notice(queue, &batch[count++]);
    while (count < CALLBACK_BATCH && table->callbacks.count > 0)
        callback_take(queue, &batch[count++]);
    queue->callbacks_running = count;
    queue_unlock(queue);
    for (unsigned index = 0; index < count; index++)
        callback_call(&batch[index]);
    queue_lock(queue);
    for (unsigned index = 0; index < count; index++) {
        struct request *kept = batch[index].frame.kept;

        if (batch[index].done_ns != 0)
            histogram_add(&queue->stats.untaken, batch[index].called_ns - batch[index].done_ns);
        if (kept == NULL)
            continue;
        request_set_state(table, kept, REQUEST_FREE);
        request_free_push(table, kept);
    }
    queue->callbacks_running = 0;
    queue->stats.callbacks += count;
    queue_changed(queue);
    return count;
}

/* --- the thread ----------------------------------------------------------------------------- */

static void reaper_reap(struct aio_queue *queue, unsigned min, int64_t deadline_ns)
{
    reap_once(queue, NULL, min, deadline_ns, &queue->stats.reaped_by_reaper);
    token_release(&queue->token);
    queue_changed(queue);
}

/* Reaps for the last time before notices say that something is late. */
static void reaper_look_at_deadlines(struct aio_queue *queue)
{
    int64_t now_ns = thread_now_ns();

    if (queue_next_deadline(queue) > now_ns)
        return;
    if (queue_engine_has_work(queue) && token_take(&queue->token))
        reaper_reap(queue, 0, 0);
    queue_check_deadlines(queue, now_ns);
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
    queue->reaper_until_ns = thread_now_ns() + REAPER_TICK_NS;
    if (queue->reaper_until_ns > queue_next_deadline(queue))
        queue->reaper_until_ns = queue_next_deadline(queue);
    if (thread_cond_wait(&queue->reaper_wakeup, &queue->lock, queue->reaper_until_ns))
        return;
    if (queue->interrupt_owed)
        queue_interrupt(queue);
    if (queue_engine_has_work(queue) && token_take(&queue->token))
        reaper_reap(queue, 0, 0);
}

static void *reaper_main(void *argument)
{
    struct aio_queue *queue = argument;

    queue_lock(queue);
    while (!queue->reaper_stop) {
        if (queue->table.heap_count > 0)
            reaper_look_at_deadlines(queue);
        if (queue_callbacks_due(queue))
            queue_run_callbacks(queue);
        else if (reaper_needed(queue) && token_take(&queue->token))
            reaper_reap(queue, 1, queue_next_deadline(queue));
        else
            reaper_idle(queue);
    }
    queue_unlock(queue);
    return NULL;
}

int reaper_start(struct aio_queue *queue)
{
    int error;

    if (queue->reaper_started || queue->owned)
        return 0;
    error = thread_start(&queue->reaper, "aio-reaper", reaper_main, queue);
    queue->reaper_started = error == 0;
    return error;
}

void reaper_end(struct aio_queue *queue)
{
    bool started;

    queue_lock(queue);
    started = queue->reaper_started;
    queue->reaper_stop = true;
    thread_cond_signal(&queue->reaper_wakeup);
    queue_unlock(queue);
    if (started)
        thread_join(&queue->reaper);
}
