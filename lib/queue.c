/* SPDX-License-Identifier: MIT */
/*
 * queue.c - the calls of a queue: create, submit, wait, reap, drain, look, destroy.
 *
 * A submit has three steps. Slots are reserved under the lock, in order, waiting if need be; the
 * operations are checked, let through their files' gates and written into the slots without it,
 * since the slots are this thread's alone; then they are made known under the lock, all at once,
 * before the engine sees the first: whoever reaps its event finds it registered.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "errno_guard.h"
#include "file_ops.h"
#include "op.h"
#include "options.h"
#include "process.h"
#include "queue_state.h"

/* Every queue of the process, for queues_hasten_begin(). all_queues_lock guards the list; a
 * queue's own lock is taken under it. */
static struct thread_mutex all_queues_lock = THREAD_MUTEX_INIT;
static struct aio_queue *all_queues;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

atomic_uint queues_hastening;

/* --- the list of queues --------------------------------------------------------------------- */

/* A child starts with an empty list and a lock that nobody holds: what it got are the parent's. */
static void before_fork(void)
{
    thread_mutex_lock(&all_queues_lock);
}

static void after_fork_parent(void)
{
    thread_mutex_unlock(&all_queues_lock);
}

static void after_fork_child(void)
{
    thread_mutex_init(&all_queues_lock);
    all_queues = NULL;
    atomic_store_explicit(&queues_hastening, 0, memory_order_relaxed);
}

static void prepare_forks(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void queue_list_add(struct aio_queue *queue)
{
    thread_mutex_lock(&all_queues_lock);
    queue->next_queue = all_queues;
    queue->previous_queue = NULL;
    if (all_queues != NULL)
        all_queues->previous_queue = queue;
    all_queues = queue;
    thread_mutex_unlock(&all_queues_lock);
}

static void queue_list_remove(struct aio_queue *queue)
{
    thread_mutex_lock(&all_queues_lock);
    if (queue->previous_queue != NULL)
        queue->previous_queue->next_queue = queue->next_queue;
    else
        all_queues = queue->next_queue;
    if (queue->next_queue != NULL)
        queue->next_queue->previous_queue = queue->previous_queue;
    thread_mutex_unlock(&all_queues_lock);
}

void queues_hasten_begin(unsigned count)
{
    atomic_fetch_add_explicit(&queues_hastening, count, memory_order_relaxed);
    thread_mutex_lock(&all_queues_lock);
    for (struct aio_queue *queue = all_queues; queue != NULL; queue = queue->next_queue) {
        thread_mutex_lock(&queue->lock);
        if (queue->token.sleeping_for > 1)
            queue_interrupt(queue);
        queue_changed(queue);
        thread_mutex_unlock(&queue->lock);
    }
    thread_mutex_unlock(&all_queues_lock);
}

void queues_hasten_end(void)
{
    atomic_fetch_sub_explicit(&queues_hastening, 1, memory_order_relaxed);
}

void queue_add_user(struct aio_queue *queue)
{
    atomic_fetch_add_explicit(&queue->users, 1, memory_order_relaxed);
}

void queue_remove_user(struct aio_queue *queue)
{
    atomic_fetch_sub_explicit(&queue->users, 1, memory_order_relaxed);
}

bool queue_is_ours(const struct aio_queue *queue)
{
    return queue->epoch == process_epoch();
}

/* --- create --------------------------------------------------------------------------------- */

static int queue_options_check(const struct aio_queue_options *options)
{
    const uint32_t of_uring = AIO_QUEUE_SQPOLL | AIO_QUEUE_SQPOLL_CPU | AIO_QUEUE_IOPOLL;
    const uint32_t known_flags = AIO_QUEUE_NONBLOCK | AIO_QUEUE_OWNED | AIO_QUEUE_TIMES | of_uring;

    if (options->engine > AIO_ENGINE_SIM || options->depth > AIO_QUEUE_DEPTH_MAX)
        return -EINVAL;
    if ((options->flags & ~known_flags) != 0 || options->reserved != 0)
        return -EINVAL;
    if ((options->flags & of_uring) != 0 && options->engine != AIO_ENGINE_URING)
        return -EINVAL;
    if ((options->flags & AIO_QUEUE_SQPOLL_CPU) != 0 &&
        ((options->flags & AIO_QUEUE_SQPOLL) == 0 || options->sqpoll_cpu > INT32_MAX))
        return -EINVAL;
    if ((options->flags & (AIO_QUEUE_OWNED | AIO_QUEUE_TIMES)) != 0)
        return -EOPNOTSUPP;
    return 0;
}

static int queue_options_read(struct aio_queue_options *options,
                              const struct aio_queue_options *given)
{
    const struct aio_queue_options defaults = AIO_QUEUE_OPTIONS_INIT;
    int error = 0;

    *options = defaults;
    if (given != NULL)
        error = options_read(options, sizeof(*options), sizeof(*options), given);
    if (error == 0)
        error = queue_options_check(options);
    if (options->depth == 0)
        options->depth = 64;
    return error;
}

int queue_create_on(struct engine *engine, const struct aio_queue_options *options,
                    struct aio_queue **result)
{
    struct aio_queue *queue = calloc(1, sizeof(*queue));
    int error;

    if (queue == NULL)
        return -ENOMEM;
    error = request_table_init(&queue->table, options->depth);
    if (error != 0) {
        free(queue);
        return error;
    }
    queue->epoch = process_epoch();
    queue->engine = engine;
    queue->flags = options->flags;
    thread_mutex_init(&queue->lock);
    thread_cond_init(&queue->reaper_wakeup);
    pthread_once(&fork_once, prepare_forks);
    queue_list_add(queue);
    *result = queue;
    return 0;
}

static struct engine_config engine_config_of(const struct aio_queue_options *options)
{
    struct engine_config config = {
        .depth = options->depth,
        .workers = options->workers,
        .completions = options->completions,
        .bounded_workers = options->bounded_workers,
        .unbounded_workers = options->unbounded_workers,
        .sqpoll_idle_ms = options->sqpoll_idle_ms,
        .sqpoll_cpu = -1,
        .owned = (options->flags & AIO_QUEUE_OWNED) != 0,
        .sqpoll = (options->flags & AIO_QUEUE_SQPOLL) != 0,
        .iopoll = (options->flags & AIO_QUEUE_IOPOLL) != 0,
        .log = {options->log, options->log_context},
    };

    if ((options->flags & AIO_QUEUE_SQPOLL_CPU) != 0)
        config.sqpoll_cpu = (int32_t)options->sqpoll_cpu;
    if (options->share_workers != NULL)
        config.share = options->share_workers->engine;
    return config;
}

int aio_queue_create(const struct aio_queue_options *given, struct aio_queue **result)
{
    ERRNO_GUARD;
    struct aio_queue_options options;
    struct engine_config config;
    struct engine *engine;
    int error;

    if (result == NULL)
        return -EINVAL;
    *result = NULL;
    error = queue_options_read(&options, given);
    if (error == 0)
        error = process_init();
    if (error != 0)
        return error;
    config = engine_config_of(&options);
    error = engine_create((enum aio_engine)options.engine, &config, &engine);
    if (error != 0)
        return error;
    options.depth = engine->depth;
    error = queue_create_on(engine, &options, result);
    if (error != 0)
        engine->ops->destroy(engine);
    return error;
}

unsigned aio_queue_depth(const struct aio_queue *queue)
{
    return queue != NULL ? queue->table.depth : 0;
}

/* Operations without a result. */
static uint32_t queue_inflight(const struct aio_queue *queue)
{
    return queue->table.inflight - queue->reserved;
}

/* --- submit --------------------------------------------------------------------------------- */

/* Why no slot can be had, without waiting or at all; 0 where one is free or to be waited for. */
static int slot_refusal(const struct aio_queue *queue, bool inside_callback)
{
    const struct request_table *table = &queue->table;

    if (queue->closing && !inside_callback)
        return -ESHUTDOWN;
    if (table->free.count > 0)
        return 0;
    if (table->inflight == 0 && table->callbacks.count == 0 && queue->callbacks_running == 0)
        return -EBUSY;
    if ((queue->flags & AIO_QUEUE_NONBLOCK) != 0 || inside_callback)
        return -EAGAIN;
    return 0;
}

/* Reserves 1 to count slots. Returns how many, or a negated errno. The slot kept for a callback is
 * this thread's already: it is used alone, and stays in KEPT until it is published. */
static int reserve_slots(struct aio_queue *queue, struct request **slots, unsigned count)
{
    bool inside_callback = reaper_in_callback();
    unsigned reserved = 0;
    int error;

    slots[0] = reaper_take_kept(queue);
    if (slots[0] != NULL)
        return 1;
    thread_mutex_lock(&queue->lock);
    error = reaper_start(queue);
    if (error == 0)
        error = slot_refusal(queue, inside_callback);
    while (error == 0 && queue->table.free.count == 0) {
        struct waiter waiter = {.kind = WAIT_SLOT};

        queue_await(queue, &waiter, DEADLINE_NEVER);
        error = slot_refusal(queue, inside_callback);
    }
    while (error == 0 && reserved < count && queue->table.free.count > 0) {
        slots[reserved] = request_list_pop(&queue->table, &queue->table.free);
        request_set_state(&queue->table, slots[reserved], REQUEST_READY);
        slots[reserved]->published = false;
        slots[reserved]->resumed = false;
        slots[reserved++]->sequence = SEQUENCE_NONE;
    }
    queue->reserved += reserved;
    thread_mutex_unlock(&queue->lock);
    return error != 0 ? error : (int)reserved;
}

/* Sees to it that there are workers. No lock held. Returns 0 or a negated errno. */
static int need_workers(struct aio_queue *queue)
{
    bool first = false;
    int error;

    if (atomic_load_explicit(&queue->uses_workers, memory_order_relaxed))
        return 0;
    error = workers_add_user();
    if (error != 0)
        return error;
    /* Two threads may both have done so: one count is enough. */
    if (!atomic_compare_exchange_strong_explicit(&queue->uses_workers, &first, true,
                                                 memory_order_relaxed, memory_order_relaxed))
        workers_remove_user();
    return 0;
}

/* Brings an operation in as far as that goes. */
static int enter_file(struct aio_queue *queue, struct request *request, const struct aio_op *op)
{
    int error = file_op_begin(op, &request->transfer, &request->pass);

    if (error != 0)
        return error;
    if (op->opcode == AIO_OP_NOP) {
        request->step = FILE_STEP_DONE;
        return 0;
    }
    request->pass.job.run = queue_work;
    if (request->pass.wants_workers)
        error = need_workers(queue);
    if (error == 0)
        error = file_op_enter(op->file, &request->transfer, &request->pass);
    if (error < 0) {
        file_op_forget(op->file);
        return error;
    }
    request->step = (uint8_t)error;
    if (error == FILE_STEP_ENGINE && queue_prefers_worker(queue, request))
        request->step = FILE_STEP_WORKER;
    return 0;
}

/* Writes an operation into a reserved slot, which is this thread's, and brings it in. What is held
 * back may come in from now on: its worker sees that it is not published. */
static int fill_slot(struct aio_queue *queue, struct request *request, const struct aio_op *op)
{
    int error = op_check(op);

    if (error != 0)
        return error;
    request->queue = queue;
    request->file = op->file;
    request->on_complete = op->on_complete;
    request->context = op->context;
    request->waited = (op->flags & AIO_OP_WAITED) != 0;
    request->claimed = false;
    if (op->file != NULL || op->opcode != AIO_OP_NOP)
        return enter_file(queue, request, op);
    transfer_init(&request->transfer, AIO_OP_NOP, -1, 0);
    request->step = FILE_STEP_DONE;
    return 0;
}

/* Makes a filled slot known. Lock held. What has its result already, as a NOP, is finished here.
 * Returns whether the engine is to have it. */
static bool publish(struct aio_queue *queue, struct request *request, int64_t now_ns)
{
    request->submitted_ns = now_ns;
    request->sequence = ++queue->sequence;
    request->transfer.io.tag = request_index(&queue->table, request);
    if (request->on_complete != NULL)
        queue->callbacks_inflight++;
    else if (!request->waited)
        queue->reapable++;
    if (request->state == REQUEST_KEPT)
        request_set_state(&queue->table, request, REQUEST_READY);
    request->published = true;
    request->offset = request->step == FILE_STEP_HELD ? 0 : request->transfer.offset;
    request->held = request->step == FILE_STEP_HELD && !request->resumed;
    switch ((enum file_step)request->step) {
    case FILE_STEP_DONE:
        queue_finish(queue, request);
        return false;
    case FILE_STEP_ENGINE:
        request_set_state(&queue->table, request, REQUEST_RUNNING);
        return true;
    case FILE_STEP_WORKER:
    case FILE_STEP_HELD:
        break;
    }
    request_set_state(&queue->table, request, REQUEST_WORKING);
    if (request->step == FILE_STEP_WORKER || request->resumed)
        workers_submit(&request->pass.job);
    return false;
}

/* What publish_slots() leaves to be done without the lock. */
struct published {
    unsigned running; /* the first so many slots are to be launched */
    unsigned held;    /* so many wait for others to leave their file */
};

/* Makes the first filled slots known and frees the others. */
static struct published publish_slots(struct aio_queue *queue, struct request **slots,
                                      unsigned reserved, unsigned filled, aio_request_id *ids)
{
    struct published published = {0, 0};
    bool callbacks = false;
    int64_t now_ns;

    thread_mutex_lock(&queue->lock);
    now_ns = thread_now_coarse_ns();
    if (slots[0]->state != REQUEST_KEPT)
        queue->reserved -= reserved;
    for (unsigned index = filled; index < reserved; index++) {
        request_set_state(&queue->table, slots[index], REQUEST_FREE);
        request_list_push(&queue->table, &queue->table.free, slots[index]);
    }
    for (unsigned index = 0; index < filled; index++) {
        struct request *request = slots[index];

        callbacks |= request->on_complete != NULL;
        published.held += request->step == FILE_STEP_HELD;
        if (ids != NULL)
            ids[index] = request_id(&queue->table, request);
        if (publish(queue, request, now_ns))
            slots[published.running++] = request;
    }
    queue->stats.submitted += filled;
    if (queue_inflight(queue) > queue->stats.inflight_high_water)
        queue->stats.inflight_high_water = queue_inflight(queue);
    if (published.running < filled || (callbacks && queue->token.sleeping_for > 1))
        queue_interrupt(queue);
    queue_changed(queue);
    thread_mutex_unlock(&queue->lock);
    return published;
}

/* Submits up to QUEUE_BATCH operations. Returns how many were taken, at least one, or the error of
 * the first. *refused tells that the one after those taken was refused: it must not be looked at
 * again, since its file may be closed once those before it are done. */
static int submit_batch(struct aio_queue *queue, const struct aio_op *ops, unsigned count,
                        aio_request_id *ids, bool *refused)
{
    struct request *slots[QUEUE_BATCH];
    struct published published;
    unsigned filled = 0;
    int error = 0;
    int reserved = reserve_slots(queue, slots, count < QUEUE_BATCH ? count : QUEUE_BATCH);

    if (reserved < 0)
        return reserved;
    while (filled < (unsigned)reserved && error == 0) {
        error = fill_slot(queue, slots[filled], &ops[filled]);
        filled += error == 0;
    }
    *refused = error != 0;
    if (filled == 0 && slots[0]->state == REQUEST_KEPT) {
        reaper_keep(slots[0]);
        return error;
    }
    published = publish_slots(queue, slots, (unsigned)reserved, filled, ids);
    queue_launch(queue, slots, published.running, false);
    if (published.held > 0)
        queues_hasten_begin(published.held);
    return filled > 0 ? (int)filled : error;
}

int aio_queue_submit(struct aio_queue *queue, const struct aio_op *ops, unsigned count,
                     aio_request_id *ids)
{
    unsigned taken = 0;
    bool refused = false;

    if (queue == NULL || (ops == NULL && count > 0) || count > INT32_MAX)
        return -EINVAL;
    if (!queue_is_ours(queue))
        return -EOWNERDEAD;
    while (taken < count && !refused) {
        int result = submit_batch(queue, ops + taken, count - taken,
                                  ids != NULL ? ids + taken : NULL, &refused);

        if (result < 0)
            return taken > 0 ? (int)taken : result;
        taken += (unsigned)result;
    }
    return (int)taken;
}

/* --- results -------------------------------------------------------------------------------- */

/* Hands a result out and frees its slot. Lock held; queue_changed() is to follow. */
static void take_result(struct aio_queue *queue, struct request *request,
                        struct aio_completion *completion)
{
    queue_completion(queue, request, completion);
    request_retire_id(request);
    request_set_state(&queue->table, request, REQUEST_FREE);
    request_list_push(&queue->table, &queue->table.free, request);
}

/* Waits for a request in flight that only this thread may take from now on. */
static bool await_claimed(struct aio_queue *queue, struct request *request, int64_t deadline_ns)
{
    struct waiter waiter = {.kind = WAIT_REQUEST, .request = request};
    bool ready;

    request->claimed = true;
    if (!request->waited) {
        queue->reapable--;
        /* A reap that counted on this one may have nothing left to wait for. */
        queue_changed(queue);
    }
    ready = queue_await(queue, &waiter, deadline_ns);
    request->claimed = false;
    if (!ready && !request->waited)
        queue->reapable++;
    return ready;
}

/* Looks into the engine once for a request in flight. It is not claimed: others may have it. */
static void poll_once(struct aio_queue *queue, const struct request *request)
{
    struct waiter waiter = {.kind = WAIT_REQUEST, .request = request};

    queue_await(queue, &waiter, 0);
}

static int wait_locked(struct aio_queue *queue, aio_request_id id, int64_t deadline_ns,
                       struct aio_completion *completion)
{
    struct request *request = request_find(&queue->table, id);

    if (request != NULL && request->state != REQUEST_DONE && deadline_ns == 0) {
        poll_once(queue, request);
        request = request_find(&queue->table, id);
    }
    if (request == NULL)
        return -ESTALE;
    if (request->on_complete != NULL)
        return -EINVAL;
    if (request->claimed)
        return -EBUSY;
    if (request->state != REQUEST_DONE) {
        if (deadline_ns == 0 || !await_claimed(queue, request, deadline_ns))
            return -ETIMEDOUT;
    } else if (!request->waited) {
        request_list_remove(&queue->table, &queue->table.done, request);
    }
    take_result(queue, request, completion);
    queue_changed(queue);
    return 0;
}

int aio_queue_wait_result(struct aio_queue *queue, aio_request_id id,
                          const struct timespec *timeout, struct aio_completion *completion)
{
    int64_t deadline_ns;
    int error;

    if (queue == NULL || id == 0 || completion == NULL || !thread_timeout_valid(timeout))
        return -EINVAL;
    if (!queue_is_ours(queue))
        return -EOWNERDEAD;
    if (reaper_in_callback())
        return -EDEADLK;
    deadline_ns = thread_deadline_ns(timeout);
    thread_mutex_lock(&queue->lock);
    error = wait_locked(queue, id, deadline_ns, completion);
    thread_mutex_unlock(&queue->lock);
    return error;
}

ssize_t aio_queue_wait(struct aio_queue *queue, aio_request_id id, const struct timespec *timeout)
{
    struct aio_completion completion;
    int error = aio_queue_wait_result(queue, id, timeout, &completion);

    return error != 0 ? error : (ssize_t)completion.result;
}

int aio_queue_reap(struct aio_queue *queue, struct aio_completion *completions, unsigned min,
                   unsigned max, const struct timespec *timeout)
{
    /* With min 0, look into the engine once, unless there is as much as can be taken. */
    struct waiter waiter = {.kind = WAIT_RESULTS, .min = min > 0 ? min : max};
    int64_t deadline_ns;
    unsigned taken = 0;

    if (queue == NULL || (completions == NULL && max > 0) || min > max || max > INT32_MAX ||
        !thread_timeout_valid(timeout))
        return -EINVAL;
    if (!queue_is_ours(queue))
        return -EOWNERDEAD;
    if (reaper_in_callback())
        return -EDEADLK;
    deadline_ns = min > 0 ? thread_deadline_ns(timeout) : 0;
    thread_mutex_lock(&queue->lock);
    if (max > 0)
        queue_await(queue, &waiter, deadline_ns);
    while (taken < max && queue->table.done.count > 0)
        take_result(queue, request_list_pop(&queue->table, &queue->table.done),
                    &completions[taken++]);
    if (taken > 0)
        queue_changed(queue);
    thread_mutex_unlock(&queue->lock);
    return (int)taken;
}

int aio_queue_drain(struct aio_queue *queue, const struct timespec *timeout)
{
    struct waiter waiter = {.kind = WAIT_DRAIN};
    int64_t deadline_ns;
    bool ready;

    if (queue == NULL || !thread_timeout_valid(timeout))
        return -EINVAL;
    if (!queue_is_ours(queue))
        return -EOWNERDEAD;
    if (reaper_in_callback())
        return -EDEADLK;
    deadline_ns = thread_deadline_ns(timeout);
    thread_mutex_lock(&queue->lock);
    waiter.sequence = queue->sequence;
    ready = queue_await(queue, &waiter, deadline_ns);
    thread_mutex_unlock(&queue->lock);
    return ready ? 0 : -ETIMEDOUT;
}

/* --- looking -------------------------------------------------------------------------------- */

static void request_describe(const struct aio_queue *queue, const struct request *request,
                             int64_t now_ns, struct aio_request_info *info)
{
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    info->id = request_id(&queue->table, request);
    info->opcode = request->transfer.opcode;
    info->state = AIO_REQUEST_DONE;
    if (request->state == REQUEST_READY || (request->state == REQUEST_WORKING && request->held))
        info->state = AIO_REQUEST_WAITING;
    else if (request_state_inflight(request->state))
        info->state = AIO_REQUEST_RUNNING;
    /* A worker's transfer is not to be looked at. */
    info->offset = request->offset;
    if (request->state != REQUEST_WORKING) {
        info->offset = request->transfer.offset;
        info->done = request->transfer.done;
    }
    info->len = request->transfer.total;
    info->age_ns = (uint64_t)(now_ns - request->submitted_ns);
    info->context = request->context;
}

static uint64_t info_sequence(const struct aio_queue *queue, const struct aio_request_info *info)
{
    return request_find(&queue->table, info->id)->sequence;
}

/* Puts a line in its place, oldest first; with no room left, the youngest goes. */
static void info_insert(const struct aio_queue *queue, struct aio_request_info *infos,
                        unsigned count, unsigned max, const struct aio_request_info *info)
{
    uint64_t sequence = info_sequence(queue, info);
    unsigned place = count < max ? count : max;

    while (place > 0 && info_sequence(queue, &infos[place - 1]) > sequence) {
        if (place < max)
            infos[place] = infos[place - 1];
        place--;
    }
    if (place < max)
        infos[place] = *info;
}

int aio_queue_inflight(struct aio_queue *queue, struct aio_request_info *infos, unsigned max)
{
    int64_t now_ns;
    unsigned count = 0;

    if (queue == NULL || (infos == NULL && max > 0))
        return -EINVAL;
    if (!queue_is_ours(queue))
        return -EOWNERDEAD;
    thread_mutex_lock(&queue->lock);
    now_ns = thread_now_coarse_ns();
    for (uint32_t index = 0; index < queue->table.depth; index++) {
        const struct request *request = &queue->table.requests[index];
        struct aio_request_info info;

        if (request_find(&queue->table, request_id(&queue->table, request)) == NULL)
            continue;
        request_describe(queue, request, now_ns, &info);
        info_insert(queue, infos, count, max, &info);
        count++;
    }
    thread_mutex_unlock(&queue->lock);
    return (int)count;
}

int aio_queue_stats(struct aio_queue *queue, struct aio_queue_stats *result)
{
    struct aio_queue_stats stats;

    if (queue == NULL || result == NULL)
        return -EINVAL;
    if (!queue_is_ours(queue))
        return -EOWNERDEAD;
    thread_mutex_lock(&queue->lock);
    stats = queue->stats;
    stats.inflight = queue_inflight(queue);
    stats.held = queue->table.depth - queue->table.free.count - queue->reserved;
    thread_mutex_unlock(&queue->lock);
    stats.size = sizeof(stats);
    stats.engine = queue->engine->ops->id;
    stats.depth = queue->table.depth;
    return options_write(result, sizeof(size_t), &stats, sizeof(stats));
}

/* --- what a later version has --------------------------------------------------------------- */

int aio_queue_cancel(struct aio_queue *queue, aio_request_id id)
{
    (void)queue;
    (void)id;
    return -EOPNOTSUPP;
}

int aio_queue_eventfd(struct aio_queue *queue)
{
    (void)queue;
    return -EOPNOTSUPP;
}

int aio_queue_register(struct aio_queue *queue, struct aio_file *file)
{
    (void)queue;
    (void)file;
    return -EOPNOTSUPP;
}

/* --- destroy -------------------------------------------------------------------------------- */

/* Waits until nothing is in flight and no other thread is in a wait of this queue. Returns whether
 * it may go. */
static int settle(struct aio_queue *queue, unsigned flags)
{
    /* What callbacks submit meanwhile is waited for too. */
    struct waiter drain = {.kind = WAIT_DRAIN, .sequence = SEQUENCE_NONE - 1};
    struct waiter alone = {.kind = WAIT_ALONE};
    int error = 0;

    thread_mutex_lock(&queue->lock);
    queue->closing = true;
    queue_changed(queue);
    queue_await(queue, &drain, DEADLINE_NEVER);
    queue_await(queue, &alone, DEADLINE_NEVER);
    if (queue->table.free.count < queue->table.depth && (flags & AIO_QUEUE_DISCARD) == 0)
        error = -EBUSY;
    queue->closing = error == 0;
    thread_mutex_unlock(&queue->lock);
    return error;
}

int aio_queue_destroy(struct aio_queue *queue, unsigned flags)
{
    ERRNO_GUARD;
    int error;

    if ((flags & ~(unsigned)AIO_QUEUE_DISCARD) != 0)
        return -EINVAL;
    if (queue == NULL)
        return 0;
    if (!queue_is_ours(queue))
        return -EOWNERDEAD;
    if (reaper_in_callback())
        return -EDEADLK;
    if (atomic_load_explicit(&queue->users, memory_order_relaxed) > 0)
        return -EBUSY;
    error = settle(queue, flags);
    if (error != 0)
        return error;
    queue_list_remove(queue);
    reaper_end(queue);
    if (atomic_load_explicit(&queue->uses_workers, memory_order_relaxed))
        workers_remove_user();
    queue->engine->ops->destroy(queue->engine);
    thread_cond_destroy(&queue->reaper_wakeup);
    thread_mutex_destroy(&queue->lock);
    request_table_free(&queue->table);
    free(queue);
    return 0;
}
