/* SPDX-License-Identifier: MIT */
/*
 * overhead.h - loops over one file: by hand on the system calls, and through the library. Each
 * moves count blocks of BLOCK bytes, at offsets that both draw from the same sequence, and returns
 * the nanoseconds that it took.
 */
#ifndef AIOFILE_OVERHEAD_H
#define AIOFILE_OVERHEAD_H

#include <stdint.h>

#include <aiofile/aiofile.h>

#define BLOCK 4096u
#define DEPTH_MAX 256u

struct bench {
    const char *path;
    int fd;                /* for the loops by hand, O_DIRECT */
    struct aio_file *file; /* for those through the library */
    uint64_t blocks;       /* in the file */
    unsigned count;        /* transfers of one loop */

    /* Of the library's queue, set for each row. */
    enum aio_engine engine;
    uint32_t queue_flags;

    /* For the loops that write: file is a file of written blocks, this one is empty. */
    const char *log_path;
    int log_fd; /* without O_DIRECT */
    struct aio_file *log;
};

typedef int64_t (*bench_loop)(struct bench *bench, unsigned depth, uint64_t seed);

int64_t now_ns(void);

/* Ends the program with a sentence unless a result is as expected. */
void must(int64_t result, int64_t expected, const char *what);

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

/* By hand on liburing, where that was there at build time: one thread's ring, and a plain one. */
int64_t raw_uring_owned(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_uring_shared(struct bench *bench, unsigned depth, uint64_t seed);

/* Through the library. */
int64_t handle_blocking(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_single(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_batched(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_callbacks(struct bench *bench, unsigned depth, uint64_t seed);

/* Writing, by hand and through the library. */
int64_t raw_write(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_write(struct bench *bench, unsigned depth, uint64_t seed);
int64_t raw_small_appends(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_small_appends(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_writes_alone(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_writes_mixed(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_appends(struct bench *bench, unsigned depth, uint64_t seed);
int64_t handle_appends_grown(struct bench *bench, unsigned depth, uint64_t seed);

#endif
