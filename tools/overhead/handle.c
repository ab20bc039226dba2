/* SPDX-License-Identifier: MIT */
/*
 * handle.c - the same loops through the library.
 */
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "overhead.h"

int64_t handle_blocking(struct bench *bench, unsigned depth, uint64_t seed)
{
    char *buffer = aio_buffer_alloc(BLOCK, 0, 0);
    int64_t start = bench_start(bench);

    (void)depth;
    for (unsigned index = 0; index < bench->count; index++)
        must(aio_file_pread(bench->file, buffer, BLOCK, (off_t)next_offset(&seed, bench->blocks)),
             BLOCK, "aio_file_pread");
    start = now_ns() - start;
    aio_buffer_free(buffer);
    return start;
}

struct handle_context {
    struct bench *bench;
    uint64_t seed;
    struct aio_queue *queue;
    char *memory;
    int event_fd; /* -1: none */
    int epoll_fd;
    struct aio_op ops[DEPTH_MAX];
    struct aio_completion completions[DEPTH_MAX];
};

static struct aio_queue *queue_open(const struct bench *bench, unsigned depth)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue *queue;

    options.engine = bench->engine;
    options.flags = bench->queue_flags;
    options.depth = depth;
    options.workers = POOL_THREADS;
    must(aio_queue_create(&options, &queue), 0, "aio_queue_create");
    return queue;
}

/* The context of each operation is its memory. */
static struct handle_context *handle_open(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct handle_context *handle = calloc(1, sizeof(*handle));

    handle->bench = bench;
    handle->seed = seed;
    handle->event_fd = -1;
    handle->queue = bench->queue != NULL ? bench->queue : queue_open(bench, depth);
    handle->memory = aio_buffer_alloc((size_t)depth * BLOCK, 0, 0);
    for (unsigned slot = 0; slot < depth; slot++) {
        handle->ops[slot].opcode = AIO_OP_READ;
        handle->ops[slot].file = bench->file;
        handle->ops[slot].buf = handle->memory + (size_t)slot * BLOCK;
        handle->ops[slot].len = BLOCK;
        handle->ops[slot].context = handle->ops[slot].buf;
    }
    return handle;
}

static void handle_watch(struct handle_context *handle)
{
    struct epoll_event wanted = {.events = EPOLLIN};

    handle->event_fd = aio_queue_eventfd(handle->queue);
    handle->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    must(epoll_ctl(handle->epoll_fd, EPOLL_CTL_ADD, handle->event_fd, &wanted), 0, "epoll_ctl");
}

static void handle_close(struct handle_context *handle)
{
    if (handle->event_fd >= 0) {
        close(handle->epoll_fd);
        close(handle->event_fd);
    }
    if (handle->queue != handle->bench->queue)
        must(aio_queue_destroy(handle->queue, 0), 0, "aio_queue_destroy");
    aio_buffer_free(handle->memory);
    free(handle);
}

void handle_share(struct bench *bench, unsigned depth)
{
    bench->queue = queue_open(bench, depth);
}

void handle_unshare(struct bench *bench)
{
    must(aio_queue_destroy(bench->queue, 0), 0, "aio_queue_destroy");
    bench->queue = NULL;
}

static inline void draw(struct handle_context *handle, struct aio_op *op)
{
    op->offset = (int64_t)next_offset(&handle->seed, handle->bench->blocks);
}

/* Submits the first count operations. */
static void submit(struct handle_context *handle, unsigned count)
{
    must(aio_queue_submit(handle->queue, handle->ops, count, NULL), count, "aio_queue_submit");
}

static void fill(struct handle_context *handle, unsigned depth)
{
    for (unsigned slot = 0; slot < depth; slot++)
        draw(handle, &handle->ops[slot]);
    submit(handle, depth);
}

/* Takes from min to max results. */
static unsigned reap(struct handle_context *handle, unsigned min, unsigned max)
{
    int count = aio_queue_reap(handle->queue, handle->completions, min, max, NULL);

    must(count >= 0, true, "aio_queue_reap");
    for (int index = 0; index < count; index++)
        must(handle->completions[index].result, BLOCK, "read");
    return (unsigned)count;
}

int64_t handle_single(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct handle_context *handle = handle_open(bench, depth, seed);
    int64_t start = bench_start(bench);

    for (unsigned index = 0; index < bench->count; index++) {
        aio_request_id id;

        draw(handle, &handle->ops[0]);
        must(aio_queue_submit(handle->queue, handle->ops, 1, &id), 1, "aio_queue_submit");
        must(aio_queue_wait(handle->queue, id, NULL), BLOCK, "aio_queue_wait");
    }
    start = now_ns() - start;
    handle_close(handle);
    return start;
}

/* Threads that share a queue take each other's results: a reap may find fewer than it asked for. */
int64_t handle_batched(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct handle_context *handle = handle_open(bench, depth, seed);
    int64_t start = bench_start(bench);

    for (unsigned done = 0; done < bench->count; done += depth) {
        fill(handle, depth);
        for (unsigned taken = 0; taken < depth;)
            taken += reap(handle, depth - taken, depth - taken);
    }
    start = now_ns() - start;
    handle_close(handle);
    return start;
}

/* Waits until there is something, and takes all of it. */
static unsigned take(struct handle_context *handle, unsigned depth)
{
    struct epoll_event event;

    if (handle->event_fd >= 0)
        must(epoll_wait(handle->epoll_fd, &event, 1, -1), 1, "epoll_wait");
    return reap(handle, handle->event_fd < 0, depth);
}

/* Keeps depth in flight: all that completed are followed by as many in one submit. */
static int64_t keep_full(struct handle_context *handle, unsigned depth)
{
    unsigned to_submit = handle->bench->count - depth;
    unsigned running = depth;
    int64_t start = bench_start(handle->bench);

    fill(handle, depth);
    while (running > 0) {
        unsigned count = take(handle, depth);
        unsigned next = count < to_submit ? count : to_submit;

        for (unsigned index = 0; index < next; index++) {
            draw(handle, &handle->ops[index]);
            handle->ops[index].buf = handle->completions[index].context;
            handle->ops[index].context = handle->completions[index].context;
        }
        if (next > 0)
            submit(handle, next);
        to_submit -= next;
        running -= count - next;
    }
    return now_ns() - start;
}

int64_t handle_refill(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct handle_context *handle = handle_open(bench, depth, seed);
    int64_t time_ns = keep_full(handle, depth);

    handle_close(handle);
    return time_ns;
}

int64_t handle_eventfd(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct handle_context *handle = handle_open(bench, depth, seed);
    int64_t time_ns;

    handle_watch(handle);
    time_ns = keep_full(handle, depth);
    handle_close(handle);
    return time_ns;
}

/* Each callback sends the next read; the last ones end the loop. */
struct callback_run {
    struct handle_context *handle; /* its seed is the reaper thread's alone once the loop runs */
    unsigned to_submit;            /* likewise */
    unsigned running;
    sem_t finished;
};

struct callback_slot {
    struct callback_run *run;
    struct aio_op *op;
};

static void callback_next(const struct aio_completion *completion)
{
    struct callback_slot *slot = completion->context;
    struct callback_run *run = slot->run;

    must(completion->result, BLOCK, "read");
    if (run->to_submit == 0) {
        if (--run->running == 0)
            sem_post(&run->finished);
        return;
    }
    run->to_submit--;
    draw(run->handle, slot->op);
    must(aio_queue_submit(run->handle->queue, slot->op, 1, NULL), 1, "aio_queue_submit");
}

int64_t handle_callbacks(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct handle_context *handle = handle_open(bench, depth, seed);
    struct callback_run run = {handle, bench->count - depth, depth, {{0}}};
    struct callback_slot slots[DEPTH_MAX];
    int64_t start;

    sem_init(&run.finished, 0, 0);
    for (unsigned slot = 0; slot < depth; slot++) {
        slots[slot] = (struct callback_slot){&run, &handle->ops[slot]};
        handle->ops[slot].on_complete = callback_next;
        handle->ops[slot].context = &slots[slot];
    }
    start = bench_start(bench);
    fill(handle, depth);
    sem_wait(&run.finished);
    start = now_ns() - start;
    must(aio_queue_drain(handle->queue, NULL), 0, "aio_queue_drain");
    sem_destroy(&run.finished);
    handle_close(handle);
    return start;
}
