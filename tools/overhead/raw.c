/* SPDX-License-Identifier: MIT */
/*
 * raw.c - the loops that a careful programmer writes on the system calls.
 */
#include <libaio.h>
#include <stdlib.h>
#include <unistd.h>

#include "overhead.h"

int64_t raw_blocking(struct bench *bench, unsigned depth, uint64_t seed)
{
    char *buffer = aio_buffer_alloc(BLOCK, 0, 0);
    int64_t start = now_ns();

    (void)depth;
    for (unsigned index = 0; index < bench->count; index++)
        must(pread(bench->fd, buffer, BLOCK, (off_t)next_offset(&seed, bench->blocks)), BLOCK,
             "pread");
    start = now_ns() - start;
    aio_buffer_free(buffer);
    return start;
}

struct raw_context {
    io_context_t context;
    char *memory;
    struct iocb iocbs[DEPTH_MAX];
    struct iocb *pointers[DEPTH_MAX];
    struct io_event events[DEPTH_MAX];
};

static struct raw_context *raw_open(struct bench *bench, unsigned depth)
{
    struct raw_context *raw = calloc(1, sizeof(*raw));

    must(io_setup((int)depth, &raw->context), 0, "io_setup");
    raw->memory = aio_buffer_alloc((size_t)depth * BLOCK, 0, 0);
    for (unsigned slot = 0; slot < depth; slot++)
        io_prep_pread(&raw->iocbs[slot], bench->fd, raw->memory + (size_t)slot * BLOCK, BLOCK, 0);
    return raw;
}

static void raw_close(struct raw_context *raw)
{
    io_destroy(raw->context);
    aio_buffer_free(raw->memory);
    free(raw);
}

/* One at a time: io_submit, then io_getevents. */
int64_t raw_single(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct raw_context *raw = raw_open(bench, depth);
    int64_t start = now_ns();

    raw->pointers[0] = &raw->iocbs[0];
    for (unsigned index = 0; index < bench->count; index++) {
        raw->iocbs[0].u.c.offset = (long long)next_offset(&seed, bench->blocks);
        must(io_submit(raw->context, 1, raw->pointers), 1, "io_submit");
        must(io_getevents(raw->context, 1, 1, raw->events, NULL), 1, "io_getevents");
        must((int64_t)raw->events[0].res, BLOCK, "read");
    }
    start = now_ns() - start;
    raw_close(raw);
    return start;
}

/* Batches of depth: submit all, take all. */
int64_t raw_batched(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct raw_context *raw = raw_open(bench, depth);
    int64_t start = now_ns();

    for (unsigned done = 0; done < bench->count; done += depth) {
        for (unsigned slot = 0; slot < depth; slot++) {
            raw->iocbs[slot].u.c.offset = (long long)next_offset(&seed, bench->blocks);
            raw->pointers[slot] = &raw->iocbs[slot];
        }
        must(io_submit(raw->context, depth, raw->pointers), depth, "io_submit");
        must(io_getevents(raw->context, depth, depth, raw->events, NULL), depth, "io_getevents");
        for (unsigned slot = 0; slot < depth; slot++)
            must((int64_t)raw->events[slot].res, BLOCK, "read");
    }
    start = now_ns() - start;
    raw_close(raw);
    return start;
}

/* Keeps depth in flight: each completion is followed by a submit of its own, as a program does
 * that decides on the next transfer when one completes. */
int64_t raw_refill(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct raw_context *raw = raw_open(bench, depth);
    unsigned to_submit = bench->count;
    unsigned running = 0;
    int64_t start = now_ns();

    while (running < depth) {
        raw->iocbs[running].u.c.offset = (long long)next_offset(&seed, bench->blocks);
        raw->pointers[running] = &raw->iocbs[running];
        running++;
    }
    must(io_submit(raw->context, depth, raw->pointers), depth, "io_submit");
    to_submit -= depth;
    while (running > 0) {
        int count = io_getevents(raw->context, 1, depth, raw->events, NULL);

        must(count > 0, 1, "io_getevents");
        for (int index = 0; index < count; index++) {
            struct iocb *iocb = raw->events[index].obj;

            must((int64_t)raw->events[index].res, BLOCK, "read");
            if (to_submit == 0) {
                running--;
                continue;
            }
            to_submit--;
            iocb->u.c.offset = (long long)next_offset(&seed, bench->blocks);
            must(io_submit(raw->context, 1, &iocb), 1, "io_submit");
        }
    }
    start = now_ns() - start;
    raw_close(raw);
    return start;
}
