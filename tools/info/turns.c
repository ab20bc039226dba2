/* SPDX-License-Identifier: MIT */
/*
 * turns.c - what one thread can find out: taking turns, opening again, what a submit costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <aiofile/buffer.h>

#include "info.h"
#include "probe.h"

#define SMALL_BYTES 24u
#define SMALL_PLACE 104u

#define SUBMIT_WRITES 32
#define SUBMIT_BYTES (64u << 10)
#define SUBMIT_REPEATS 5u

/* --- taking turns --------------------------------------------------------------------------- */

struct turns probe_turns(const struct ground *ground)
{
    struct turns result = {0};
    struct pair pair = pair_open(ground);
    char *memory = memory_make(ground, 2 * ground->unit);
    char *seen = memory + ground->unit;
    int64_t ends_ns;

    pair_write_area(ground, &pair);
    ends_ns = ground_deadline_ns(ground);
    while (result.rounds < ground->rounds && now_ns() < ends_ns) {
        off_t offset = (off_t)(result.rounds % 256 * ground->unit);

        fill(memory, value_of(1, ++result.rounds), ground->unit);
        write_whole(ground, pair.direct, memory, ground->unit, offset);
        read_whole(ground, pair.cached, seen, ground->unit, offset);
        result.unseen_direct += memcmp(memory, seen, ground->unit) != 0;
        fill(memory + SMALL_PLACE, value_of(2, result.rounds), SMALL_BYTES);
        write_whole(ground, pair.cached, memory + SMALL_PLACE, SMALL_BYTES, offset + SMALL_PLACE);
        read_whole(ground, pair.direct, seen, ground->unit, offset);
        result.unseen_cached += memcmp(memory, seen, ground->unit) != 0;
    }
    aio_buffer_free(memory);
    pair_close(&pair);
    return result;
}

/* --- opening again -------------------------------------------------------------------------- */

/* Returns 0 or a negated errno. The second descriptor must be of the same file, and take what is
 * not aligned. */
static int reopen(int direct)
{
    char link[32];
    char byte = 0;
    struct stat first;
    struct stat second;
    int error = 0;
    int fd;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", direct);
    fd = open(link, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(direct, &first) != 0 || fstat(fd, &second) != 0 || pread(fd, &byte, 1, 1) != 1 ||
        pwrite(fd, &byte, 1, 1) != 1)
        error = -errno;
    else if (first.st_dev != second.st_dev || first.st_ino != second.st_ino)
        error = -ESTALE;
    else if ((fcntl(fd, F_GETFL) & O_DIRECT) != 0)
        error = -EINVAL;
    close(fd);
    return error;
}

struct reopening probe_reopening(const struct ground *ground)
{
    struct reopening result = {0};
    struct pair pair = pair_open(ground);
    char name[4096];
    int fd;

    pair_write_area(ground, &pair);
    if (ground->device) {
        result.named = reopen(pair.direct);
    } else {
        result.unnamed = reopen(pair.direct);
        snprintf(name, sizeof(name), "%s/aiofile-info-XXXXXX", ground->path);
        fd = mkostemp(name, O_CLOEXEC);
        must(fd >= 0, ground, "make a file");
        result.named =
            fcntl(fd, F_SETFL, O_DIRECT) == 0 && ftruncate(fd, 4096) == 0 ? reopen(fd) : -errno;
        unlink(name);
        close(fd);
    }
    pair_close(&pair);
    return result;
}

/* --- what a submit costs -------------------------------------------------------------------- */

/* Makes what is to be written into. Returns 0 or a negated errno. */
static int prepare_blocks(const struct ground *ground, const struct pair *pair, enum submit kind)
{
    const off_t bytes = (off_t)SUBMIT_WRITES * SUBMIT_BYTES;
    int result = 0;

    switch (kind) {
    case SUBMIT_OVERWRITE:
        pair_write_area(ground, pair);
        break;
    case SUBMIT_KEPT:
        result = fallocate(pair->direct, FALLOC_FL_KEEP_SIZE, 0, bytes);
        break;
    case SUBMIT_ALLOCATED:
        result = fallocate(pair->direct, 0, 0, bytes);
        break;
    case SUBMIT_HOLE:
        result = ftruncate(pair->direct, bytes);
        break;
    default:
        break;
    }
    return result == 0 ? 0 : -errno;
}

/* Submits one write after the other, then waits for all. */
static void submit_writes(const struct ground *ground, int fd, void *memory, int64_t *submit_ns,
                          int64_t *total_ns)
{
    struct iocb iocbs[SUBMIT_WRITES];
    struct io_event events[SUBMIT_WRITES];
    int64_t start = now_ns();
    int64_t in_submit = 0;
    int done = 0;

    for (int index = 0; index < SUBMIT_WRITES; index++) {
        struct iocb *one = &iocbs[index];
        int64_t before;
        int count;

        io_prep_pwrite(one, fd, memory, SUBMIT_BYTES, (long long)index * SUBMIT_BYTES);
        before = now_ns();
        count = io_submit(ground->context, 1, &one);
        in_submit += now_ns() - before;
        errno = -count;
        must(count == 1, ground, "io_submit");
    }
    while (done < SUBMIT_WRITES) {
        int count = io_getevents(ground->context, 1, SUBMIT_WRITES - done, events + done, NULL);

        errno = -count;
        must(count > 0 || count == -EINTR, ground, "io_getevents");
        done += count > 0 ? count : 0;
    }
    *submit_ns += in_submit;
    *total_ns += now_ns() - start;
    for (int index = 0; index < SUBMIT_WRITES; index++) {
        errno = (long)events[index].res < 0 ? (int)-(long)events[index].res : ENOSPC;
        must(events[index].res == SUBMIT_BYTES, ground, "a submitted write");
    }
}

int probe_submit(const struct ground *ground, enum submit kind)
{
    void *memory = memory_make(ground, SUBMIT_BYTES);
    int64_t submit_ns = 0;
    int64_t total_ns = 0;
    int error = 0;

    for (unsigned repeat = 0; repeat < SUBMIT_REPEATS && error == 0; repeat++) {
        struct pair pair = pair_open(ground);

        error = prepare_blocks(ground, &pair, kind);
        if (error == 0)
            submit_writes(ground, pair.direct, memory, &submit_ns, &total_ns);
        pair_close(&pair);
    }
    aio_buffer_free(memory);
    return error != 0 ? error : (int)(submit_ns * 100 / total_ns);
}
