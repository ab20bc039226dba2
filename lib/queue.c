/* SPDX-License-Identifier: MIT */
/*
 * queue.c - a queue's life: create, look, destroy; and what concerns all queues.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buffer_pool.h"
#include "errno_guard.h"
#include "file_ops.h"
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
        if (queue->owned) /* its owner alone moves it */
            continue;
        queue_lock(queue);
        if (queue->token.sleeping_for > 1)
            queue_interrupt(queue);
        queue_changed(queue);
        queue_unlock(queue);
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

int queue_admit(const struct aio_queue *queue)
{
    if (!queue_is_ours(queue))
        return -EOWNERDEAD;
    return queue->owned && !pthread_equal(queue->owner, pthread_self()) ? -EPERM : 0;
}

/* --- owned queues --------------------------------------------------------------------------- */

/* Those of this thread, which alone reads and writes it. */
static _Thread_local struct aio_queue *owned_queues;

static void owned_add(struct aio_queue *queue)
{
    queue->next_owned = owned_queues;
    owned_queues = queue;
}

static void owned_remove(struct aio_queue *queue)
{
    struct aio_queue **link = &owned_queues;

    while (*link != queue)
        link = &(*link)->next_owned;
    *link = queue->next_owned;
}

bool queues_move_owned(void)
{
    struct waiter idle = {.kind = WAIT_IDLE};
    bool moved = false;

    /* In a callback, too: what a worker did for the owner has its lanes until its mail is read, and
     * who waits for rest runs no callback. */
    for (struct aio_queue *queue = owned_queues; queue != NULL; queue = queue->next_owned) {
        if (!queue_is_ours(queue) || queue_inflight(queue) == 0)
            continue;
        queue_await(queue, &idle, thread_now_ns() + REAPER_TICK_NS);
        moved = true;
    }
    return moved;
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

/* Where a queue's generations begin, 1 to REQUEST_GENERATION_MAX: elsewhere in each, so that an id
 * of another queue names nothing here. */
static uint64_t first_generation(const struct aio_queue *queue)
{
    uint64_t mixed = ((uintptr_t)queue ^ (uint64_t)thread_now_ns()) * UINT64_C(0x9e3779b97f4a7c15);

    return (mixed >> REQUEST_INDEX_BITS) % REQUEST_GENERATION_MAX + 1;
}

int queue_create_on(struct engine *engine, const struct aio_queue_options *options,
                    struct aio_queue **result)
{
    struct aio_queue *queue = calloc(1, sizeof(*queue));
    int error;

    if (queue == NULL)
        return -ENOMEM;
    error = request_table_init(&queue->table, options->depth, first_generation(queue));
    if (error != 0) {
        free(queue);
        return error;
    }
    for (uint32_t index = 0; index < queue->table.depth; index++)
        queue->table.requests[index].queue = queue;
    queue->epoch = process_epoch();
    queue->engine = engine;
    queue->flags = options->flags;
    queue->buffers = options->buffers;
    queue->times = (options->flags & AIO_QUEUE_TIMES) != 0;
    queue->owned = (options->flags & AIO_QUEUE_OWNED) != 0;
    queue->owner = pthread_self();
    queue->token.held = queue->owned;
    queue->event_fd = -1;
    thread_mutex_init(&queue->mail_lock);
    thread_mutex_init(&queue->lock);
    thread_cond_init(&queue->reaper_wakeup);
    if (queue->owned)
        owned_add(queue);
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

/* Makes the engine and the queue. The pool, if there is one, is in use already. */
static int create_with(struct engine_config *config, struct aio_queue_options *options,
                       struct aio_queue **result)
{
    struct engine *engine;
    int error = engine_create((enum aio_engine)options->engine, config, &engine);

    if (error != 0)
        return error;
    options->depth = engine->depth;
    error = queue_create_on(engine, options, result);
    if (error != 0)
        engine->ops->destroy(engine);
    return error;
}

int aio_queue_create(const struct aio_queue_options *given, struct aio_queue **result)
{
    ERRNO_GUARD;
    struct aio_queue_options options;
    struct engine_config config;
    int error;

    if (result == NULL)
        return -EINVAL;
    *result = NULL;
    error = queue_options_read(&options, given);
    if (error == 0)
        error = process_init();
    if (error == 0 && options.share_workers != NULL && !queue_is_ours(options.share_workers))
        error = -EOWNERDEAD;
    if (error != 0)
        return error;
    config = engine_config_of(&options);
    if (options.buffers != NULL)
        error = buffer_pool_use(options.buffers, &config.memory, &config.memory_size);
    if (error != 0)
        return error;
    error = create_with(&config, &options, result);
    if (error != 0 && options.buffers != NULL)
        buffer_pool_unuse(options.buffers);
    return error;
}

unsigned aio_queue_depth(const struct aio_queue *queue)
{
    return queue != NULL ? queue->table.depth : 0;
}

/* --- looking -------------------------------------------------------------------------------- */

static void request_describe(const struct request *request, int64_t now_ns,
                             struct aio_request_info *info)
{
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    info->id = request->id;
    info->opcode = request->transfer.opcode;
    info->state = AIO_REQUEST_DONE;
    if (request->state == REQUEST_READY || request->state == REQUEST_LINKED ||
        (request->state == REQUEST_WORKING && request->held))
        info->state = AIO_REQUEST_WAITING;
    else if (request_state_inflight(request->state))
        info->state = AIO_REQUEST_RUNNING;
    /* A worker's transfer is not to be looked at, nor one that is entering its file. */
    info->offset = request->offset;
    if (request->state != REQUEST_WORKING && request->published && !request->plain) {
        info->offset = request->transfer.offset;
        info->done = request->transfer.done;
    }
    if (info->state == AIO_REQUEST_DONE)
        info->done = request->transfer.result > 0 ? (uint64_t)request->transfer.result : 0;
    info->len = request->length;
    if (request->plain) {
        info->opcode = request->transfer.io.opcode;
        info->offset = request->transfer.io.offset;
        info->len = request->transfer.io.len;
    }
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
    int error;

    if (queue == NULL || (infos == NULL && max > 0))
        return -EINVAL;
    error = queue_admit(queue);
    if (error != 0)
        return error;
    queue_lock(queue);
    /* By the clock that was read at the submit: the coarse one is behind. */
    now_ns = thread_now_ns();
    for (uint32_t index = 0; index < queue->table.depth; index++) {
        const struct request *request = &queue->table.requests[index];
        struct aio_request_info info;

        if (request_find(&queue->table, request->id) == NULL)
            continue;
        request_describe(request, now_ns, &info);
        info_insert(queue, infos, count, max, &info);
        count++;
    }
    queue_unlock(queue);
    return (int)count;
}

int aio_queue_stats(struct aio_queue *queue, struct aio_queue_stats *result)
{
    struct aio_queue_stats stats;
    int error;

    if (queue == NULL || result == NULL)
        return -EINVAL;
    error = queue_admit(queue);
    if (error != 0)
        return error;
    queue_lock(queue);
    stats = queue->stats;
    stats.inflight = queue_inflight(queue);
    stats.held = queue->table.depth - queue->table.free_count - queue->reserved;
    queue_unlock(queue);
    stats.size = sizeof(stats);
    stats.engine = queue->engine->ops->id;
    stats.depth = queue->table.depth;
    return options_write(result, sizeof(size_t), &stats, sizeof(stats));
}

/* --- registered files ----------------------------------------------------------------------- */

int aio_queue_register(struct aio_queue *queue, struct aio_file *file)
{
    ERRNO_GUARD;
    int fd;
    int error;

    if (queue == NULL || file == NULL)
        return -EINVAL;
    error = queue_admit(queue);
    if (error != 0)
        return error;
    fd = file_op_register(file);
    if (fd < 0)
        return fd;
    thread_mutex_lock(&all_queues_lock);
    error = queue->engine->ops->know_file(queue->engine, fd);
    thread_mutex_unlock(&all_queues_lock);
    return error;
}

void queues_forget_file(int fd)
{
    thread_mutex_lock(&all_queues_lock);
    for (struct aio_queue *queue = all_queues; queue != NULL; queue = queue->next_queue)
        queue->engine->ops->forget_file(queue->engine, fd);
    thread_mutex_unlock(&all_queues_lock);
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

    queue_lock(queue);
    queue->closing = true;
    queue_changed(queue);
    drain.calls = queue->owned;
    queue_await(queue, &drain, DEADLINE_NEVER);
    if (!queue->owned)
        queue_await(queue, &alone, DEADLINE_NEVER);
    if (queue->table.free_count < queue->table.depth && (flags & AIO_QUEUE_DISCARD) == 0)
        error = -EBUSY;
    queue->closing = error == 0;
    queue_unlock(queue);
    return error;
}

/* Results that nobody will take. */
static void end_checks_of_all(struct aio_queue *queue)
{
    if (!atomic_load_explicit(&queue->checks, memory_order_relaxed))
        return;
    for (uint32_t index = 0; index < queue->table.depth; index++)
        check_end(&queue->table.requests[index].pass.check);
    check_speak();
}

int aio_queue_destroy(struct aio_queue *queue, unsigned flags)
{
    ERRNO_GUARD;
    int error;

    if ((flags & ~(unsigned)AIO_QUEUE_DISCARD) != 0)
        return -EINVAL;
    if (queue == NULL)
        return 0;
    error = queue_admit(queue);
    if (error != 0)
        return error;
    if (reaper_in_callback())
        return -EDEADLK;
    if (atomic_load_explicit(&queue->users, memory_order_relaxed) > 0)
        return -EBUSY;
    error = settle(queue, flags);
    if (error != 0)
        return error;
    end_checks_of_all(queue);
    queue_list_remove(queue);
    reaper_end(queue);
    if (atomic_load_explicit(&queue->uses_workers, memory_order_relaxed))
        workers_remove_user();
    if (queue->owned)
        owned_remove(queue);
    queue->engine->ops->destroy(queue->engine);
    if (queue->buffers != NULL)
        buffer_pool_unuse(queue->buffers);
    if (queue->event_fd >= 0)
        close(queue->event_fd);
    thread_cond_destroy(&queue->reaper_wakeup);
    thread_mutex_destroy(&queue->mail_lock);
    thread_mutex_destroy(&queue->lock);
    request_table_free(&queue->table);
    free(queue);
    return 0;
}
