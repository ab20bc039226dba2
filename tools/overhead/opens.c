/* SPDX-License-Identifier: MIT */
/*
 * opens.c - many handles of one file open at the same time, on one queue, beside open(2) and
 * close(2) alone.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "overhead.h"

/* A handle has one descriptor; the program needs some more. */
#define DESCRIPTORS_SPARE 64u

unsigned opens_possible(unsigned wanted)
{
    struct rlimit limit;

    must(getrlimit(RLIMIT_NOFILE, &limit), 0, "getrlimit");
    if (limit.rlim_cur >= wanted + DESCRIPTORS_SPARE)
        return wanted;
    limit.rlim_cur = wanted + DESCRIPTORS_SPARE;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &limit), 0, "setrlimit");
    must(limit.rlim_cur > DESCRIPTORS_SPARE, true, "descriptors to spare");
    if (limit.rlim_cur - DESCRIPTORS_SPARE >= wanted)
        return wanted;
    wanted = (unsigned)limit.rlim_cur - DESCRIPTORS_SPARE;
    fprintf(stderr, "aiofile-overhead: only %u files at the same time: see ulimit -n\n", wanted);
    return wanted;
}

int64_t raw_opens(struct bench *bench, unsigned depth, uint64_t seed)
{
    int *descriptors = calloc(depth, sizeof(*descriptors));
    int64_t start;

    (void)seed;
    start = bench_start(bench);
    for (unsigned index = 0; index < depth; index++) {
        descriptors[index] = open(bench->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
        must(descriptors[index] >= 0, 1, "open");
    }
    for (unsigned index = 0; index < depth; index++)
        close(descriptors[index]);
    start = now_ns() - start;
    free(descriptors);
    return start;
}

int64_t handle_opens(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;
    struct aio_file **handles = calloc(depth, sizeof(*handles));
    int64_t start;

    (void)seed;
    must(aio_queue_create(NULL, &options.queue), 0, "aio_queue_create");
    start = bench_start(bench);
    for (unsigned index = 0; index < depth; index++)
        must(aio_file_open(bench->path, O_RDONLY, 0, &options, &handles[index]), 0,
             "aio_file_open");
    for (unsigned index = 0; index < depth; index++)
        must(aio_file_close(handles[index]), 0, "aio_file_close");
    start = now_ns() - start;
    must(aio_queue_destroy(options.queue, 0), 0, "aio_queue_destroy");
    free(handles);
    return start;
}
