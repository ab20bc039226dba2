/* SPDX-License-Identifier: MIT */
/*
 * raw_uring.c - the loop that a careful programmer writes on liburing, for one thread. The flags
 * are those that the library sets up its rings with.
 */
#include <liburing.h>
#include <stdlib.h>

#include "overhead.h"

struct raw_ring {
    struct io_uring ring;
    char *memory;
    struct io_uring_cqe *cqes[DEPTH_MAX];
};

static struct raw_ring *ring_open(unsigned depth, unsigned flags)
{
    struct raw_ring *raw = calloc(1, sizeof(*raw));
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL | flags};

    must(io_uring_queue_init_params(depth, &raw->ring, &params), 0, "io_uring_queue_init_params");
    raw->memory = aio_buffer_alloc((size_t)depth * BLOCK, 0, 0);
    return raw;
}

static void ring_close(struct raw_ring *raw)
{
    io_uring_queue_exit(&raw->ring);
    aio_buffer_free(raw->memory);
    free(raw);
}

/* Batches of depth: submit all and wait for all with one system call. */
static int64_t run(struct bench *bench, unsigned depth, uint64_t seed, unsigned flags)
{
    struct raw_ring *raw = ring_open(depth, flags);
    int64_t start = bench_start(bench);

    for (unsigned done = 0; done < bench->count; done += depth) {
        for (unsigned slot = 0; slot < depth; slot++) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(&raw->ring);

            io_uring_prep_read(sqe, bench->fd, raw->memory + (size_t)slot * BLOCK, BLOCK,
                               next_offset(&seed, bench->blocks));
            io_uring_sqe_set_data64(sqe, slot);
        }
        must(io_uring_submit_and_wait(&raw->ring, depth), depth, "io_uring_submit_and_wait");
        must(io_uring_peek_batch_cqe(&raw->ring, raw->cqes, depth), depth, "cqes");
        for (unsigned slot = 0; slot < depth; slot++)
            must(raw->cqes[slot]->res, BLOCK, "read");
        io_uring_cq_advance(&raw->ring, depth);
    }
    start = now_ns() - start;
    ring_close(raw);
    return start;
}

int64_t raw_uring_owned(struct bench *bench, unsigned depth, uint64_t seed)
{
    return run(bench, depth, seed,
               IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
}

int64_t raw_uring_shared(struct bench *bench, unsigned depth, uint64_t seed)
{
    return run(bench, depth, seed, 0);
}
