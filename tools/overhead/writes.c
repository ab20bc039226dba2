/* SPDX-License-Identifier: MIT */
/*
 * writes.c - loops that write: into a file of written blocks, or behind the end of an empty one.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "overhead.h"

#define SMALL 100u
#define GROW_AHEAD (8u << 20)

/* Of so many direct writes in flight one is followed by a small one. */
#define PER_SMALL 10u

/* --- blocking writes ------------------------------------------------------------------------ */

int64_t raw_write(struct bench *bench, unsigned depth, uint64_t seed)
{
    char *buffer = aio_buffer_alloc(BLOCK, 0, AIO_BUFFER_ZERO);
    int64_t start = bench_start(bench);

    (void)depth;
    for (unsigned index = 0; index < bench->count; index++)
        must(pwrite(bench->fd, buffer, BLOCK, (off_t)next_offset(&seed, bench->blocks)), BLOCK,
             "pwrite");
    start = now_ns() - start;
    aio_buffer_free(buffer);
    return start;
}

int64_t handle_write(struct bench *bench, unsigned depth, uint64_t seed)
{
    char *buffer = aio_buffer_alloc(BLOCK, 0, AIO_BUFFER_ZERO);
    int64_t start = bench_start(bench);

    (void)depth;
    for (unsigned index = 0; index < bench->count; index++)
        must(aio_file_pwrite(bench->file, buffer, BLOCK, (off_t)next_offset(&seed, bench->blocks)),
             BLOCK, "aio_file_pwrite");
    start = now_ns() - start;
    aio_buffer_free(buffer);
    return start;
}

/* --- small appends -------------------------------------------------------------------------- */

int64_t raw_small_appends(struct bench *bench, unsigned depth, uint64_t seed)
{
    char buffer[SMALL] = {0};
    int64_t start;

    (void)depth;
    (void)seed;
    must(ftruncate(bench->log_fd, 0), 0, "ftruncate");
    start = bench_start(bench);
    for (unsigned index = 0; index < bench->count; index++)
        must(pwrite(bench->log_fd, buffer, SMALL, (off_t)index * SMALL), SMALL, "pwrite");
    return now_ns() - start;
}

int64_t handle_small_appends(struct bench *bench, unsigned depth, uint64_t seed)
{
    char buffer[SMALL] = {0};
    int64_t start;

    (void)depth;
    (void)seed;
    must(aio_file_truncate(bench->log, 0), 0, "aio_file_truncate");
    start = bench_start(bench);
    for (unsigned index = 0; index < bench->count; index++)
        must(aio_file_append(bench->log, buffer, SMALL, NULL), SMALL, "aio_file_append");
    return now_ns() - start;
}

/* --- a mixture ------------------------------------------------------------------------------ */

/* Direct writes to even blocks, always depth in flight; small ones to odd blocks beside them. */
struct mixture {
    struct bench *bench;
    struct aio_queue *queue;
    char *memory;
    uint64_t seed;
};

/* Small ones go to a few pages, as to the headers and tails of logs: they are in the page cache. A
 * page that is not would first be read, whoever writes to it. */
#define SMALL_PAGES 64u

static void send(struct mixture *mixture, uint64_t bytes)
{
    uint64_t pairs = mixture->bench->blocks / 2;
    uint64_t offset = next_offset(&mixture->seed, pairs) * 2;
    struct aio_op op = {.opcode = AIO_OP_WRITE,
                        .file = mixture->bench->file,
                        .buf = mixture->memory,
                        .len = bytes,
                        .offset = (int64_t)offset};

    if (bytes == SMALL)
        op.offset =
            (int64_t)(offset / BLOCK / 2 % SMALL_PAGES * (pairs / SMALL_PAGES) * 2 * BLOCK + BLOCK);
    must(aio_queue_submit(mixture->queue, &op, 1, NULL), 1, "aio_queue_submit");
}

/* Returns how many of the completions were of direct writes. */
static unsigned take(struct mixture *mixture, unsigned *taken)
{
    struct aio_completion completions[DEPTH_MAX];
    int count = aio_queue_reap(mixture->queue, completions, 1, DEPTH_MAX, NULL);
    unsigned direct = 0;

    must(count > 0, true, "aio_queue_reap");
    for (int index = 0; index < count; index++) {
        must(completions[index].result == BLOCK || completions[index].result == SMALL, true,
             "write");
        direct += completions[index].result == BLOCK;
    }
    *taken += (unsigned)count;
    return direct;
}

static int64_t mix(struct bench *bench, unsigned depth, uint64_t seed, bool with_small)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct mixture mixture = {bench, NULL, aio_buffer_alloc(BLOCK, 0, AIO_BUFFER_ZERO), seed};
    unsigned sent = 0;
    unsigned all_sent = 0;
    unsigned taken = 0;
    int64_t start;

    options.engine = AIO_ENGINE_KAIO;
    options.depth = DEPTH_MAX;
    must(aio_queue_create(&options, &mixture.queue), 0, "aio_queue_create");
    start = bench_start(bench);
    for (unsigned due = depth; sent < bench->count; due = take(&mixture, &taken)) {
        for (; due > 0 && sent < bench->count; due--) {
            send(&mixture, BLOCK);
            all_sent++;
            if (sent++ % PER_SMALL == 0 && with_small) {
                send(&mixture, SMALL);
                all_sent++;
            }
        }
    }
    while (taken < all_sent)
        take(&mixture, &taken);
    start = now_ns() - start;
    must(aio_queue_destroy(mixture.queue, 0), 0, "aio_queue_destroy");
    aio_buffer_free(mixture.memory);
    return start;
}

int64_t handle_writes_alone(struct bench *bench, unsigned depth, uint64_t seed)
{
    return mix(bench, depth, seed, false);
}

int64_t handle_writes_mixed(struct bench *bench, unsigned depth, uint64_t seed)
{
    return mix(bench, depth, seed, true);
}

/* --- large appends -------------------------------------------------------------------------- */

static int64_t appends(struct bench *bench, unsigned depth, uint64_t grow_ahead)
{
    struct aio_file_options file_options = AIO_FILE_OPTIONS_INIT;
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    static struct aio_op ops[DEPTH_MAX];
    static struct aio_completion completions[DEPTH_MAX];
    char *memory = aio_buffer_alloc(BLOCK, 0, AIO_BUFFER_ZERO);
    struct aio_queue *queue;
    struct aio_file *file;
    int64_t start;

    options.engine = AIO_ENGINE_KAIO;
    options.depth = depth;
    file_options.grow_ahead = grow_ahead;
    must(ftruncate(bench->log_fd, 0), 0, "ftruncate");
    must(aio_queue_create(&options, &queue), 0, "aio_queue_create");
    must(aio_file_open(bench->log_path, O_WRONLY, 0, &file_options, &file), 0, "aio_file_open");
    for (unsigned slot = 0; slot < depth; slot++)
        ops[slot] =
            (struct aio_op){.opcode = AIO_OP_APPEND, .file = file, .buf = memory, .len = BLOCK};
    start = bench_start(bench);
    for (unsigned done = 0; done < bench->count; done += depth) {
        must(aio_queue_submit(queue, ops, depth, NULL), depth, "aio_queue_submit");
        must(aio_queue_reap(queue, completions, depth, depth, NULL), depth, "aio_queue_reap");
        for (unsigned slot = 0; slot < depth; slot++)
            must(completions[slot].result, BLOCK, "append");
    }
    start = now_ns() - start;
    must(aio_file_close(file), 0, "aio_file_close");
    must(aio_queue_destroy(queue, 0), 0, "aio_queue_destroy");
    aio_buffer_free(memory);
    return start;
}

int64_t handle_appends(struct bench *bench, unsigned depth, uint64_t seed)
{
    (void)seed;
    return appends(bench, depth, 0);
}

int64_t handle_appends_grown(struct bench *bench, unsigned depth, uint64_t seed)
{
    (void)seed;
    return appends(bench, depth, GROW_AHEAD);
}
