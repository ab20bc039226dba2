/* SPDX-License-Identifier: MIT */
/*
 * main.c - aiofile-overhead: what the library costs beside hand-written loops on the same file.
 *
 * Each row runs its two loops in turn, A B A B ..., and gives the median of the rounds' ratios with
 * the spread between their quartiles. The first row runs a loop against itself: what the machine's
 * noise alone makes of a ratio.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "overhead.h"

#define ROUNDS_MAX 101u
#define THREADS_MAX 8u
#define WRITE_BYTES (128u << 20)

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void must(int64_t result, int64_t expected, const char *what)
{
    if (result == expected)
        return;
    fprintf(stderr, "aiofile-overhead: %s: %" PRId64 " (%s) where %" PRId64 " was expected\n", what,
            result, result < 0 ? strerrorname_np((int)-result) : "", expected);
    exit(2);
}

struct row {
    const char *name;
    bench_loop by_hand;
    bench_loop by_handle;
    unsigned depth;
    unsigned threads; /* each runs the loop */
    bool rate;        /* the ratio is of rates, else of times */
    double budget;    /* of DESIGN.md, section 8; 0: none */
    enum aio_engine engine;
    uint32_t queue_flags;
};

static const struct row rows[] = {
    {"noise: raw batches against themselves, depth 32", raw_batched, raw_batched, 32, 1, true, 0,
     AIO_ENGINE_KAIO, 0},
    {"blocking 4 KiB read / pread, time", raw_blocking, handle_blocking, 1, 1, false, 1.05,
     AIO_ENGINE_KAIO, 0},
    {"8 threads, blocking reads / pread, rate", raw_blocking, handle_blocking, 1, 8, true, 0.95,
     AIO_ENGINE_KAIO, 0},
    {"one submit, then wait / io_submit + io_getevents, time", raw_single, handle_single, 1, 1,
     false, 0.90, AIO_ENGINE_KAIO, 0},
    {"batches, depth 8 / raw, rate", raw_batched, handle_batched, 8, 1, true, 0, AIO_ENGINE_KAIO,
     0},
    {"batches, depth 32 / raw, rate", raw_batched, handle_batched, 32, 1, true, 0.95,
     AIO_ENGINE_KAIO, 0},
    {"batches, depth 128 / raw, rate", raw_batched, handle_batched, 128, 1, true, 0,
     AIO_ENGINE_KAIO, 0},
    {"callbacks that submit the next, depth 32 / raw refill", raw_refill, handle_callbacks, 32, 1,
     true, 0.80, AIO_ENGINE_KAIO, 0},
    {"two threads, a queue each, depth 32 / raw, rate", raw_batched, handle_batched, 32, 2, true,
     0.95, AIO_ENGINE_KAIO, 0},
    {"owned queue, one submit, then wait / raw, time", raw_single, handle_single, 1, 1, false, 0,
     AIO_ENGINE_KAIO, AIO_QUEUE_OWNED},
    {"owned queue, batches, depth 32 / raw, rate", raw_batched, handle_batched, 32, 1, true, 0,
     AIO_ENGINE_KAIO, AIO_QUEUE_OWNED},
    {"batches, depth 32, with AIO_QUEUE_TIMES / raw, rate", raw_batched, handle_batched, 32, 1,
     true, 0, AIO_ENGINE_KAIO, AIO_QUEUE_TIMES},
#ifdef AIOFILE_URING
    {"uring, owned queue, batches, depth 32 / liburing, rate", raw_uring_owned, handle_batched, 32,
     1, true, 0.95, AIO_ENGINE_URING, AIO_QUEUE_OWNED},
    {"uring, batches, depth 32 / liburing, rate", raw_uring_shared, handle_batched, 32, 1, true, 0,
     AIO_ENGINE_URING, 0},
#endif
    {"threads, batches, depth 32 / raw kernel AIO, rate", raw_batched, handle_batched, 32, 1, true,
     0, AIO_ENGINE_THREADS, 0},
};

/* With --write. The two last have the library on both sides. */
static const struct row write_rows[] = {
    {"blocking 4 KiB write / pwrite, time", raw_write, handle_write, 1, 1, false, 0,
     AIO_ENGINE_KAIO, 0},
    {"100-byte append, no sync / buffered pwrite, time", raw_small_appends, handle_small_appends, 1,
     1, false, 1.50, AIO_ENGINE_KAIO, 0},
    {"direct writes with a 100-byte one per 10 / alone, rate", handle_writes_alone,
     handle_writes_mixed, 32, 1, true, 0.80, AIO_ENGINE_KAIO, 0},
    {"4 KiB appends, depth 32, grown ahead / not, rate", handle_appends, handle_appends_grown, 32,
     1, true, 0, AIO_ENGINE_KAIO, 0},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct thread_run {
    pthread_t thread;
    struct bench *bench;
    bench_loop loop;
    unsigned depth;
    uint64_t seed;
    int64_t time_ns;
};

static void *thread_body(void *argument)
{
    struct thread_run *run = argument;

    run->time_ns = run->loop(run->bench, run->depth, run->seed);
    return NULL;
}

/* Nanoseconds per block. */
static double run_loop(struct bench *bench, bench_loop loop, const struct row *row, uint64_t seed)
{
    struct thread_run runs[THREADS_MAX];
    double sum_ns = 0;

    for (unsigned index = 0; index < row->threads; index++) {
        runs[index] = (struct thread_run){0, bench, loop, row->depth, seed + index, 0};
        must(pthread_create(&runs[index].thread, NULL, thread_body, &runs[index]), 0, "thread");
    }
    for (unsigned index = 0; index < row->threads; index++) {
        pthread_join(runs[index].thread, NULL);
        sum_ns += (double)runs[index].time_ns / row->threads;
    }
    return sum_ns / bench->count / row->threads;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

static bool measure_row(struct bench *bench, const struct row *row, unsigned rounds)
{
    double ratios[ROUNDS_MAX];
    double raw_ns[ROUNDS_MAX];
    double median;
    bool met = true;

    bench->engine = row->engine;
    bench->queue_flags = row->queue_flags;
    for (unsigned round = 0; round < rounds; round++) {
        double by_hand = run_loop(bench, row->by_hand, row, round);
        double by_handle = run_loop(bench, row->by_handle, row, round);

        raw_ns[round] = by_hand;
        ratios[round] = row->rate ? by_hand / by_handle : by_handle / by_hand;
    }
    qsort(ratios, rounds, sizeof(ratios[0]), compare_doubles);
    qsort(raw_ns, rounds, sizeof(raw_ns[0]), compare_doubles);
    median = ratios[rounds / 2];
    printf("%-58s %6.3f  [%.3f %.3f]  raw %7.0f ns", row->name, median, ratios[rounds / 4],
           ratios[rounds * 3 / 4], raw_ns[rounds / 2]);
    if (row->budget > 0) {
        met = row->rate ? median >= row->budget : median <= row->budget;
        printf("  budget %s %.2f  %s", row->rate ? ">=" : "<=", row->budget,
               met ? "met" : "MISSED");
    }
    printf("\n");
    fflush(stdout);
    return met;
}

/* Opens and closes many handles on one queue, beside open(2) and close(2) alone. */
static void measure_open_close(struct bench *bench, unsigned files)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;
    struct aio_file **handles = calloc(files, sizeof(*handles));
    int *descriptors = calloc(files, sizeof(*descriptors));
    unsigned opened = 0;
    int64_t raw_ns;
    int64_t handle_ns;

    must(aio_queue_create(NULL, &options.queue), 0, "aio_queue_create");
    raw_ns = now_ns();
    for (opened = 0; opened < files; opened++) {
        descriptors[opened] = open(bench->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
        if (descriptors[opened] < 0)
            break;
    }
    for (unsigned index = 0; index < opened; index++)
        close(descriptors[index]);
    raw_ns = now_ns() - raw_ns;
    handle_ns = now_ns();
    for (unsigned index = 0; index < opened; index++)
        must(aio_file_open(bench->path, O_RDONLY, 0, &options, &handles[index]), 0,
             "aio_file_open");
    for (unsigned index = 0; index < opened; index++)
        must(aio_file_close(handles[index]), 0, "aio_file_close");
    handle_ns = now_ns() - handle_ns;
    printf("%u files open on one queue: open + close %.1f us each beyond open(2) + close(2)"
           "  budget <= 50\n",
           opened, (double)(handle_ns - raw_ns) / 1e3 / opened);
    must(aio_queue_destroy(options.queue, 0), 0, "aio_queue_destroy");
    free(handles);
    free(descriptors);
}

/* For callgrind and strace: one loop, nothing else. */
static int run_one(struct bench *bench, const char *name)
{
    if (strcmp(name, "batched") == 0)
        return handle_batched(bench, 32, 1) < 0;
    if (strcmp(name, "raw") == 0)
        return raw_batched(bench, 32, 1) < 0;
    fprintf(stderr, "aiofile-overhead: --only takes batched or raw, not %s\n", name);
    return 1;
}

static void bench_open(struct bench *bench)
{
    bench->fd = open(bench->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    must(bench->fd >= 0, true, bench->path);
    must(aio_file_open(bench->path, O_RDONLY, 0, NULL, &bench->file), 0, "aio_file_open");
    bench->blocks = (uint64_t)aio_file_size(bench->file) / BLOCK;
    must(bench->blocks > 0, true, "a file of at least one block");
}

/* A file of written blocks and an empty one, both without a name that stays. */
static void bench_make(struct bench *bench)
{
    static char path[4096];
    static char log_path[4096];

    snprintf(path, sizeof(path), "%s/aiofile-overhead.%d.data", bench->path, (int)getpid());
    snprintf(log_path, sizeof(log_path), "%s/aiofile-overhead.%d.log", bench->path, (int)getpid());
    must(aio_file_open(path, O_RDWR | O_CREAT | O_EXCL, 0600, NULL, &bench->file), 0, path);
    must(aio_file_allocate(bench->file, AIO_ALLOCATE_WRITE_ZEROS, 0, WRITE_BYTES), 0, path);
    must(aio_file_sync(bench->file), 0, path);
    must(aio_file_open(log_path, O_RDWR | O_CREAT | O_EXCL, 0600, NULL, &bench->log), 0, log_path);
    bench->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    bench->log_fd = open(log_path, O_RDWR | O_CLOEXEC);
    must(bench->fd >= 0 && bench->log_fd >= 0, true, bench->path);
    unlink(path);
    bench->blocks = WRITE_BYTES / BLOCK;
    bench->log_path = log_path;
}

static void bench_close(struct bench *bench, bool writes)
{
    aio_file_close(bench->file);
    close(bench->fd);
    if (!writes)
        return;
    aio_file_close(bench->log);
    close(bench->log_fd);
    unlink(bench->log_path);
}

int main(int argc, char **argv)
{
    struct bench bench = {.count = 8192, .engine = AIO_ENGINE_KAIO};
    const char *only = NULL;
    bool writes = false;
    unsigned rounds = 21;
    unsigned missed = 0;

    for (int index = 1; index < argc; index++) {
        if (strncmp(argv[index], "--rounds=", 9) == 0)
            rounds = (unsigned)atoi(argv[index] + 9);
        else if (strncmp(argv[index], "--count=", 8) == 0)
            bench.count = (unsigned)atoi(argv[index] + 8);
        else if (strcmp(argv[index], "--write") == 0)
            writes = true;
        else if (strncmp(argv[index], "--only=", 7) == 0)
            only = argv[index] + 7;
        else
            bench.path = argv[index];
    }
    bench.count = bench.count / 128 * 128;
    if (bench.path == NULL || rounds < 1 || rounds > ROUNDS_MAX || bench.count == 0) {
        fprintf(stderr, "usage: aiofile-overhead [--rounds=1..101] [--count=BLOCKS] "
                        "[--only=batched|raw] FILE\n"
                        "       aiofile-overhead --write [--rounds=1..101] [--count=BLOCKS] "
                        "DIRECTORY\n"
                        "FILE is only read; a block device or a file of some MiB. In DIRECTORY two "
                        "files are made, of 128 MiB in all, and removed again.\n");
        return 1;
    }
    if (writes)
        bench_make(&bench);
    else
        bench_open(&bench);
    if (only != NULL)
        return run_one(&bench, only);
    printf("%s: %" PRIu64 " blocks, %u rounds of %u %s: median [quartiles]\n", bench.path,
           bench.blocks, rounds, bench.count, writes ? "writes" : "reads");
    for (unsigned index = 0; index < COUNT(rows) && !writes; index++)
        missed += !measure_row(&bench, &rows[index], rounds);
    for (unsigned index = 0; index < COUNT(write_rows) && writes; index++)
        missed += !measure_row(&bench, &write_rows[index], rounds);
    if (!writes)
        measure_open_close(&bench, 10000);
    bench_close(&bench, writes);
    return missed > 0 ? 3 : 0;
}
