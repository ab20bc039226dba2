/* SPDX-License-Identifier: MIT */
/*
 * raw.c - the loops that a careful programmer writes on pread(2) and the calls of kernel AIO.
 */
#include <libaio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "overhead.h"

int64_t raw_blocking(struct bench *bench, unsigned depth, uint64_t seed)
{
    char *buffer = aio_buffer_alloc(BLOCK, 0, 0);
    int64_t start = bench_start(bench);

    (void)depth;
    for (unsigned index = 0; index < bench->count; index++)
        must(pread(bench->fd, buffer, BLOCK, (off_t)next_offset(&seed, bench->blocks)), BLOCK,
             "pread");
    start = now_ns() - start;
    aio_buffer_free(buffer);
    return start;
}

struct raw_context {
    struct bench *bench;
    uint64_t seed;
    io_context_t context;
    char *memory;
    int event_fd; /* -1: none */
    int epoll_fd;
    struct iocb iocbs[DEPTH_MAX];
    struct iocb *pointers[DEPTH_MAX];
    struct io_event events[DEPTH_MAX];
};

static struct raw_context *raw_open(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct raw_context *raw = calloc(1, sizeof(*raw));

    raw->bench = bench;
    raw->seed = seed;
    raw->context = bench->context;
    raw->event_fd = -1;
    if (raw->context == NULL)
        must(io_setup((int)depth, &raw->context), 0, "io_setup");
    raw->memory = aio_buffer_alloc((size_t)depth * BLOCK, 0, 0);
    for (unsigned slot = 0; slot < depth; slot++)
        io_prep_pread(&raw->iocbs[slot], bench->fd, raw->memory + (size_t)slot * BLOCK, BLOCK, 0);
    return raw;
}

/* Each edge is one completion or more: nobody has to read the eventfd. */
static void raw_watch(struct raw_context *raw, unsigned depth)
{
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLET};

    raw->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    raw->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    must(epoll_ctl(raw->epoll_fd, EPOLL_CTL_ADD, raw->event_fd, &wanted), 0, "epoll_ctl");
    for (unsigned slot = 0; slot < depth; slot++)
        io_set_eventfd(&raw->iocbs[slot], raw->event_fd);
}

static void raw_close(struct raw_context *raw)
{
    if (raw->event_fd >= 0) {
        close(raw->epoll_fd);
        close(raw->event_fd);
    }
    if (raw->context != raw->bench->context)
        io_destroy(raw->context);
    aio_buffer_free(raw->memory);
    free(raw);
}

void raw_share(struct bench *bench, unsigned depth)
{
    must(io_setup((int)depth, &bench->context), 0, "io_setup");
}

void raw_unshare(struct bench *bench)
{
    io_destroy(bench->context);
    bench->context = NULL;
}

static inline void draw(struct raw_context *raw, struct iocb *iocb)
{
    iocb->u.c.offset = (long long)next_offset(&raw->seed, raw->bench->blocks);
}

static void submit(struct raw_context *raw, unsigned count)
{
    must(io_submit(raw->context, count, raw->pointers), count, "io_submit");
}

/* Submits the first depth transfers. */
static void fill(struct raw_context *raw, unsigned depth)
{
    for (unsigned slot = 0; slot < depth; slot++) {
        draw(raw, &raw->iocbs[slot]);
        raw->pointers[slot] = &raw->iocbs[slot];
    }
    submit(raw, depth);
}

/* One at a time: io_submit, then io_getevents. */
int64_t raw_single(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct raw_context *raw = raw_open(bench, depth, seed);
    int64_t start = bench_start(bench);

    raw->pointers[0] = &raw->iocbs[0];
    for (unsigned index = 0; index < bench->count; index++) {
        draw(raw, &raw->iocbs[0]);
        submit(raw, 1);
        must(io_getevents(raw->context, 1, 1, raw->events, NULL), 1, "io_getevents");
        must((int64_t)raw->events[0].res, BLOCK, "read");
    }
    start = now_ns() - start;
    raw_close(raw);
    return start;
}

/* Batches of depth: submit all, take as many. Threads that share a context take each other's. */
int64_t raw_batched(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct raw_context *raw = raw_open(bench, depth, seed);
    int64_t start = bench_start(bench);

    for (unsigned done = 0; done < bench->count; done += depth) {
        fill(raw, depth);
        must(io_getevents(raw->context, depth, depth, raw->events, NULL), depth, "io_getevents");
        for (unsigned slot = 0; slot < depth; slot++)
            must((int64_t)raw->events[slot].res, BLOCK, "read");
    }
    start = now_ns() - start;
    raw_close(raw);
    return start;
}

/* Waits until there is something, and takes all of it. */
static unsigned take(struct raw_context *raw, unsigned depth)
{
    struct epoll_event event;
    int count;

    if (raw->event_fd >= 0)
        must(epoll_wait(raw->epoll_fd, &event, 1, -1), 1, "epoll_wait");
    count = io_getevents(raw->context, raw->event_fd < 0, depth, raw->events, NULL);
    must(count >= 0, true, "io_getevents");
    return (unsigned)count;
}

/* Keeps depth in flight: all that completed are followed by as many in one submit. */
static int64_t keep_full(struct raw_context *raw, unsigned depth)
{
    unsigned to_submit = raw->bench->count - depth;
    unsigned running = depth;
    int64_t start = bench_start(raw->bench);

    fill(raw, depth);
    while (running > 0) {
        unsigned count = take(raw, depth);
        unsigned next = 0;

        for (unsigned index = 0; index < count; index++) {
            must((int64_t)raw->events[index].res, BLOCK, "read");
            if (next == to_submit)
                continue;
            draw(raw, raw->events[index].obj);
            raw->pointers[next++] = raw->events[index].obj;
        }
        if (next > 0)
            submit(raw, next);
        to_submit -= next;
        running -= count - next;
    }
    return now_ns() - start;
}

int64_t raw_refill(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct raw_context *raw = raw_open(bench, depth, seed);
    int64_t time_ns = keep_full(raw, depth);

    raw_close(raw);
    return time_ns;
}

int64_t raw_eventfd(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct raw_context *raw = raw_open(bench, depth, seed);
    int64_t time_ns;

    raw_watch(raw, depth);
    time_ns = keep_full(raw, depth);
    raw_close(raw);
    return time_ns;
}

/* Keeps depth in flight: each completion is followed by a submit of its own, as a program does
 * that decides on the next transfer when one completes. */
int64_t raw_refill_each(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct raw_context *raw = raw_open(bench, depth, seed);
    unsigned to_submit = bench->count - depth;
    unsigned running = depth;
    int64_t start = bench_start(bench);

    fill(raw, depth);
    while (running > 0) {
        unsigned count = take(raw, depth);

        for (unsigned index = 0; index < count; index++) {
            must((int64_t)raw->events[index].res, BLOCK, "read");
            if (to_submit == 0) {
                running--;
                continue;
            }
            to_submit--;
            raw->pointers[0] = raw->events[index].obj;
            draw(raw, raw->pointers[0]);
            submit(raw, 1);
        }
    }
    start = now_ns() - start;
    raw_close(raw);
    return start;
}
