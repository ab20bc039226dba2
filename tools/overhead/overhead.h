/* SPDX-License-Identifier: MIT */
/*
 * overhead.h - loops over one file: by hand on the system calls, and through the library. Each
 * moves count blocks of BLOCK bytes, at offsets that both draw from the same sequence, and returns
 * the nanoseconds that it took, without setting up and taking down.
 */
#ifndef AIOFILE_OVERHEAD_H
#define AIOFILE_OVERHEAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include <aiofile/aiofile.h>

#define BLOCK 4096u
#define DEPTH_MAX 256u

/* Of the engine threads, and of the pool by hand. */
#define POOL_THREADS 8u

struct io_context;

struct bench {
    const char *path;
    int fd;                /* for the loops by hand, O_DIRECT */
    struct aio_file *file; /* for those through the library */
    uint64_t blocks;       /* in the file */
    unsigned count;        /* transfers of one loop */

    /* The threads that run a loop at the same time have all set up; when the last one had. */
    pthread_barrier_t ready;
    _Atomic int64_t began_ns;

    /* Of the library's queue, set for each row. */
    enum aio_engine engine;
    uint32_t queue_flags;

    /* What the threads of a row share; NULL: each has its own. */
    struct io_context *context;
    struct aio_queue *queue;

    /* For the loops that write: file is a file of written blocks, this one is empty. */
    const char *log_path;
    int log_fd; /* without O_DIRECT */
    struct aio_file *log;
};

typedef int64_t (*bench_loop)(struct bench *bench, unsigned depth, uint64_t seed);

int64_t now_ns(void);

/* Ends the program with a sentence unless a result is as expected. */
void must(int64_t result, int64_t expected, const char *what);

/*
 * Where setting up ends: waits for the other threads of the loop. Gives the time at which the last
 * one was there, to all the same: where there are more threads than processors, one that looked at
 * the clock when it first runs again would have begun when others were done.
 */
static inline int64_t bench_start(struct bench *bench)
{
    int64_t here_ns = now_ns();
    int64_t began_ns = atomic_load(&bench->began_ns);

    while (began_ns < here_ns &&
           !atomic_compare_exchange_weak(&bench->began_ns, &began_ns, here_ns))
        ;
    pthread_barrier_wait(&bench->ready);
    return atomic_load(&bench->began_ns);
}

static inline uint64_t next_offset(uint64_t *state, uint64_t blocks)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % blocks * BLOCK;
}

/* By hand. */
int64_t raw_blocking(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_single(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_batched(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_refill(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_refill_each(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_eventfd(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_pool(struct bench *bench, unsigned depth, uint64_t seed);

/* By hand on liburing, where that was there at build time: one thread's ring, and a plain one. */
int64_t raw_uring_owned(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_uring_shared(struct bench *bench, unsigned depth, uint64_t seed);

/* Through the library. */
int64_t handle_blocking(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_single(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_batched(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_refill(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_callbacks(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_eventfd(struct bench *bench, unsigned depth, uint64_t seed);

/* Makes and destroys what the threads of a row share: room for depth transfers at a time. */
void raw_share(struct bench *bench, unsigned depth);
void raw_unshare(struct bench *bench);
void handle_share(struct bench *bench, unsigned depth);
void handle_unshare(struct bench *bench);

/* Writing, by hand and through the library. */
int64_t raw_write(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_write(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_small_appends(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_small_appends(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_writes_alone(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_writes_mixed(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_appends(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_appends_grown(struct bench *bench, unsigned depth, uint64_t seed);

/* Opening and closing, depth files at a time; the count is not looked at. */
int64_t raw_opens(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_opens(struct bench *bench, unsigned depth, uint64_t seed);

/* How many of the wanted files can be open at the same time; says so where it is less. */
unsigned opens_possible(unsigned wanted);

#endif
