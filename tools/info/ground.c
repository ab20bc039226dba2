/* SPDX-License-Identifier: MIT */
/*
 * ground.c - files and memory for the probes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "info.h"
#include "probe.h"

#define LIMIT_NS INT64_C(2000000000)

void must(bool condition, const struct ground *ground, const char *what)
{
    char tried[PATH_MAX + 64];
    int error = -errno;

    if (condition)
        return;
    snprintf(tried, sizeof(tried), "%s: %s", ground->path, what);
    exit(complain_error(tried, error));
}

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t ground_deadline_ns(const struct ground *ground)
{
    return ground->limited ? now_ns() + LIMIT_NS : INT64_MAX;
}

void *memory_make(const struct ground *ground, size_t bytes)
{
    void *memory = NULL;
    int error = aio_buffer_alloc_ex(bytes, ground->unit, AIO_BUFFER_ZERO, &memory);

    errno = -error;
    must(error == 0, ground, "memory for the transfers");
    return memory;
}

void fill(void *memory, uint64_t value, size_t bytes)
{
    uint64_t *words = memory;

    for (size_t index = 0; index < bytes / sizeof(*words); index++)
        words[index] = value;
}

bool is_filled(const void *memory, uint64_t value, size_t bytes)
{
    const uint64_t *words = memory;

    for (size_t index = 0; index < bytes / sizeof(*words); index++)
        if (words[index] != value)
            return false;
    return true;
}

uint64_t value_of(unsigned purpose, unsigned round)
{
    return (uint64_t)purpose << 56 | (uint64_t)round << 16 | 0x5a00u | purpose;
}

struct pair pair_open(const struct ground *ground)
{
    char name[PATH_MAX];
    struct pair pair;
    int error;

    if (ground->device) {
        pair.cached = open(ground->path, O_RDWR | O_CLOEXEC);
        must(pair.cached >= 0, ground, "open");
        pair.direct = open(ground->path, O_RDWR | O_DIRECT | O_CLOEXEC);
        must(pair.direct >= 0, ground, "open with O_DIRECT");
        return pair;
    }
    snprintf(name, sizeof(name), "%s/aiofile-info-XXXXXX", ground->path);
    pair.cached = mkostemp(name, O_CLOEXEC);
    must(pair.cached >= 0, ground, "make a file");
    pair.direct = open(name, O_RDWR | O_DIRECT | O_CLOEXEC);
    error = errno;
    unlink(name);
    errno = error;
    must(pair.direct >= 0, ground, "open a file with O_DIRECT");
    return pair;
}

void pair_close(const struct pair *pair)
{
    close(pair->direct);
    close(pair->cached);
}

void pair_write_area(const struct ground *ground, const struct pair *pair)
{
    void *memory = memory_make(ground, AREA_BYTES);

    write_whole(ground, pair->direct, memory, AREA_BYTES, 0);
    must(fsync(pair->cached) == 0, ground, "fsync");
    posix_fadvise(pair->cached, 0, 0, POSIX_FADV_DONTNEED);
    aio_buffer_free(memory);
}

/* What was to be moved and was not has no errno. */
static void must_be_whole(ssize_t moved, size_t bytes, const struct ground *ground,
                          const char *what)
{
    if (moved >= 0)
        errno = ENOSPC;
    must(moved == (ssize_t)bytes, ground, what);
}

void read_whole(const struct ground *ground, int fd, void *memory, size_t bytes, off_t offset)
{
    must_be_whole(pread(fd, memory, bytes, offset), bytes, ground, "pread");
}

void write_whole(const struct ground *ground, int fd, const void *memory, size_t bytes,
                 off_t offset)
{
    must_be_whole(pwrite(fd, memory, bytes, offset), bytes, ground, "pwrite");
}
