/* SPDX-License-Identifier: MIT */
/*
 * handle.c - the same loops through the library.
 */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "overhead.h"

int64_t handle_blocking(struct bench *bench, unsigned depth, uint64_t seed)
{
    char *buffer = aio_buffer_alloc(BLOCK, 0, 0);
    int64_t start = now_ns();

    (void)depth;
    for (unsigned index = 0; index < bench->count; index++)
        must(aio_file_pread(bench->file, buffer, BLOCK, (off_t)next_offset(&seed, bench->blocks)),
             BLOCK, "aio_file_pread");
    start = now_ns() - start;
    aio_buffer_free(buffer);
    return start;
}

struct handle_context {
    struct aio_queue *queue;
    char *memory;
    struct aio_op ops[DEPTH_MAX];
    struct aio_completion completions[DEPTH_MAX];
};

static struct handle_context *handle_open(struct bench *bench, unsigned depth)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct handle_context *handle = calloc(1, sizeof(*handle));

    options.engine = bench->engine;
    options.flags = bench->queue_flags;
    options.depth = depth;
    must(aio_queue_create(&options, &handle->queue), 0, "aio_queue_create");
    handle->memory = aio_buffer_alloc((size_t)depth * BLOCK, 0, 0);
    for (unsigned slot = 0; slot < depth; slot++) {
        handle->ops[slot].opcode = AIO_OP_READ;
        handle->ops[slot].file = bench->file;
        handle->ops[slot].buf = handle->memory + (size_t)slot * BLOCK;
        handle->ops[slot].len = BLOCK;
    }
    return handle;
}

static void handle_close(struct handle_context *handle)
{
    must(aio_queue_destroy(handle->queue, 0), 0, "aio_queue_destroy");
    aio_buffer_free(handle->memory);
    free(handle);
}

int64_t handle_single(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct handle_context *handle = handle_open(bench, depth);
    int64_t start = now_ns();

    for (unsigned index = 0; index < bench->count; index++) {
        aio_request_id id;

        handle->ops[0].offset = (int64_t)next_offset(&seed, bench->blocks);
        must(aio_queue_submit(handle->queue, handle->ops, 1, &id), 1, "aio_queue_submit");
        must(aio_queue_wait(handle->queue, id, NULL), BLOCK, "aio_queue_wait");
    }
    start = now_ns() - start;
    handle_close(handle);
    return start;
}

int64_t handle_batched(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct handle_context *handle = handle_open(bench, depth);
    int64_t start = now_ns();

    for (unsigned done = 0; done < bench->count; done += depth) {
        for (unsigned slot = 0; slot < depth; slot++)
            handle->ops[slot].offset = (int64_t)next_offset(&seed, bench->blocks);
        must(aio_queue_submit(handle->queue, handle->ops, depth, NULL), depth, "aio_queue_submit");
        must(aio_queue_reap(handle->queue, handle->completions, depth, depth, NULL), depth,
             "aio_queue_reap");
        for (unsigned slot = 0; slot < depth; slot++)
            must(handle->completions[slot].result, BLOCK, "read");
    }
    start = now_ns() - start;
    handle_close(handle);
    return start;
}

/* Each callback sends the next read; the last ones end the loop. */
struct callback_run {
    struct bench *bench;
    struct handle_context *handle;
    uint64_t seed;      /* the reaper thread's alone once the loop runs */
    unsigned to_submit; /* likewise */
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
    slot->op->offset = (int64_t)next_offset(&run->seed, run->bench->blocks);
    must(aio_queue_submit(run->handle->queue, slot->op, 1, NULL), 1, "aio_queue_submit");
}

int64_t handle_callbacks(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct handle_context *handle = handle_open(bench, depth);
    struct callback_run run = {bench, handle, seed, bench->count - depth, depth, {{0}}};
    struct callback_slot slots[DEPTH_MAX];
    int64_t start;

    sem_init(&run.finished, 0, 0);
    for (unsigned slot = 0; slot < depth; slot++) {
        slots[slot] = (struct callback_slot){&run, &handle->ops[slot]};
        handle->ops[slot].on_complete = callback_next;
        handle->ops[slot].context = &slots[slot];
        handle->ops[slot].offset = (int64_t)next_offset(&run.seed, bench->blocks);
    }
    start = now_ns();
    must(aio_queue_submit(handle->queue, handle->ops, depth, NULL), depth, "aio_queue_submit");
    sem_wait(&run.finished);
    start = now_ns() - start;
    must(aio_queue_drain(handle->queue, NULL), 0, "aio_queue_drain");
    sem_destroy(&run.finished);
    handle_close(handle);
    return start;
}
