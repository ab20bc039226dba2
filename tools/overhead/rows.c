/* SPDX-License-Identifier: MIT */
/*
 * rows.c - the comparisons. The budgets are promises of the project, for a device whose software
 * cost shows, as memory is; what has none is there to be looked at.
 */
#include <string.h>

#include "rows.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a row has beside its name and its numbers. */
#define BLOCKING .by_hand = raw_blocking, .by_handle = handle_blocking
#define SINGLE .by_hand = raw_single, .by_handle = handle_single, .depth = 1
#define BATCHES .by_hand = raw_batched, .by_handle = handle_batched, .kind = ROW_RATE
#define REFILL .by_hand = raw_refill, .by_handle = handle_refill, .kind = ROW_RATE
#define EVENTFD .by_hand = raw_eventfd, .by_handle = handle_eventfd, .kind = ROW_RATE
#define OWNED .queue_flags = AIO_QUEUE_OWNED

const struct row read_rows[] = {
    {"noise: raw batches against themselves, depth 32", raw_batched, raw_batched, ROW_RATE, 32, 1,
     false, 0, AIO_ENGINE_KAIO, 0},
    {.name = "blocking read / pread, time", BLOCKING, .budget = 1.05},
    {.name = "blocking read / pread, 8 threads, rate",
     BLOCKING,
     .kind = ROW_RATE,
     .threads = 8,
     .budget = 0.95},

    {.name = "one submit, then wait / io_submit + io_getevents, time", SINGLE, .budget = 0.90},
    {.name = "batches, depth 8 / raw, rate", BATCHES, .depth = 8},
    {.name = "batches, depth 32 / raw, rate", BATCHES, .depth = 32, .budget = 0.95},
    {.name = "batches, depth 128 / raw, rate", BATCHES, .depth = 128},
    {.name = "batches, depth 32, AIO_QUEUE_TIMES / raw, rate",
     BATCHES,
     .depth = 32,
     .queue_flags = AIO_QUEUE_TIMES},
    {.name = "refill as completions arrive, depth 32 / raw, rate", REFILL, .depth = 32},
    {.name = "callbacks that submit the next, depth 32 / raw, rate",
     .by_hand = raw_refill_each,
     .by_handle = handle_callbacks,
     .kind = ROW_RATE,
     .depth = 32,
     .budget = 0.80},
    {.name = "eventfd with epoll, depth 32 / raw, rate", EVENTFD, .depth = 32},

    {.name = "owned, one submit, then wait / raw, time", SINGLE, OWNED},
    {.name = "owned, batches, depth 32 / raw, rate", BATCHES, .depth = 32, OWNED},
    {.name = "owned, refill, depth 32 / raw, rate", REFILL, .depth = 32, OWNED},
    {.name = "owned, eventfd with epoll, depth 32 / raw, rate", EVENTFD, .depth = 32, OWNED},

    {.name = "2 threads, a queue each, depth 32 / raw, rate",
     BATCHES,
     .depth = 32,
     .threads = 2,
     .budget = 0.95},
    {.name = "4 threads, a queue each, depth 32 / raw, rate", BATCHES, .depth = 32, .threads = 4},
    {.name = "2 threads, one shared queue, depth 32 / raw, rate",
     BATCHES,
     .depth = 32,
     .threads = 2,
     .shared = true},
    {.name = "4 threads, one shared queue, depth 32 / raw, rate",
     BATCHES,
     .depth = 32,
     .threads = 4,
     .shared = true},
    {.name = "2 threads, an owned queue each, depth 32 / raw, rate",
     BATCHES,
     .depth = 32,
     .threads = 2,
     OWNED},
    {.name = "4 threads, an owned queue each, depth 32 / raw, rate",
     BATCHES,
     .depth = 32,
     .threads = 4,
     OWNED},

#ifdef AIOFILE_URING
    {.name = "uring, owned, batches, depth 32 / liburing, rate",
     .by_hand = raw_uring_owned,
     .by_handle = handle_batched,
     .kind = ROW_RATE,
     .depth = 32,
     .budget = 0.95,
     .engine = AIO_ENGINE_URING,
     OWNED},
    {.name = "uring, batches, depth 32 / liburing, rate",
     .by_hand = raw_uring_shared,
     .by_handle = handle_batched,
     .kind = ROW_RATE,
     .depth = 32,
     .engine = AIO_ENGINE_URING},
    {.name = "uring, owned, one submit, then wait / liburing, time",
     .by_hand = raw_uring_owned,
     .by_handle = handle_single,
     .depth = 1,
     .engine = AIO_ENGINE_URING,
     OWNED},
#endif
    {.name = "threads, batches, depth 32 / a pool by hand, rate",
     .by_hand = raw_pool,
     .by_handle = handle_batched,
     .kind = ROW_RATE,
     .depth = 32,
     .engine = AIO_ENGINE_THREADS},
    {.name = "sync, batches, depth 32 / pread, rate",
     .by_hand = raw_blocking,
     .by_handle = handle_batched,
     .kind = ROW_RATE,
     .depth = 32,
     .engine = AIO_ENGINE_SYNC},
    {.name = "10000 files on one queue, us beyond open + close",
     .by_hand = raw_opens,
     .by_handle = handle_opens,
     .kind = ROW_BEYOND,
     .depth = 10000,
     .budget = 50},
};
const unsigned read_row_count = COUNT(read_rows);

/* Those that have the library on both sides say so. */
const struct row write_rows[] = {
    {"noise: pwrite against itself", raw_write, raw_write, ROW_RATE, 0, 1, false, 0,
     AIO_ENGINE_KAIO, 0},
    {.name = "blocking write / pwrite, time", .by_hand = raw_write, .by_handle = handle_write},
    {.name = "blocking write / pwrite, 8 threads, rate",
     .by_hand = raw_write,
     .by_handle = handle_write,
     .kind = ROW_RATE,
     .threads = 8},
    {.name = "100-byte append, no sync / buffered pwrite, time",
     .by_hand = raw_small_appends,
     .by_handle = handle_small_appends,
     .budget = 1.50},
    {.name = "direct writes with a 100-byte one per 10 / alone, rate",
     .by_hand = handle_writes_alone,
     .by_handle = handle_writes_mixed,
     .kind = ROW_RATE,
     .depth = 32,
     .budget = 0.80},
    {.name = "4 KiB appends, depth 32, grown ahead / not, rate",
     .by_hand = handle_appends,
     .by_handle = handle_appends_grown,
     .kind = ROW_RATE,
     .depth = 32},
};
const unsigned write_row_count = COUNT(write_rows);

static const struct row only_rows[] = {
    {.name = "blocking", .by_handle = handle_blocking, .depth = 1},
    {.name = "raw-blocking", .by_handle = raw_blocking, .depth = 1},
    {.name = "single", .by_handle = handle_single, .depth = 1},
    {.name = "raw-single", .by_handle = raw_single, .depth = 1},
    {.name = "batched", .by_handle = handle_batched, .depth = 32},
    {.name = "raw", .by_handle = raw_batched, .depth = 32},
    {.name = "refill", .by_handle = handle_refill, .depth = 32},
    {.name = "raw-refill", .by_handle = raw_refill, .depth = 32},
    {.name = "callbacks", .by_handle = handle_callbacks, .depth = 32},
    {.name = "raw-callbacks", .by_handle = raw_refill_each, .depth = 32},
    {.name = "eventfd", .by_handle = handle_eventfd, .depth = 32},
    {.name = "raw-eventfd", .by_handle = raw_eventfd, .depth = 32},
#ifdef AIOFILE_URING
    {.name = "uring-owned",
     .by_handle = handle_batched,
     .depth = 32,
     .engine = AIO_ENGINE_URING,
     OWNED},
    {.name = "raw-uring", .by_handle = raw_uring_owned, .depth = 32},
#endif
};

const struct row *row_only(const char *name)
{
    for (unsigned index = 0; index < COUNT(only_rows); index++)
        if (strcmp(only_rows[index].name, name) == 0)
            return &only_rows[index];
    return NULL;
}
