/* SPDX-License-Identifier: MIT */
/*
 * epoll.c - reads a file in an event loop: one thread, which sleeps in epoll_wait() for whatever
 * comes, here completed reads and a timer that tells how far it is.
 *
 *   example-epoll FILE
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <aiofile/aiofile.h>

#define DEPTH 16
#define BLOCK (64 * 1024)

struct reader {
    struct aio_file *file;
    struct aio_queue *queue;
    char *memory; /* a block for each read in flight */
    off_t next;   /* where the next read begins */
    off_t size;
    uint64_t bytes;
    unsigned inflight;
    int error;
};

static int fail(const char *what, long error)
{
    fprintf(stderr, "%s: %s\n", what, strerror((int)-error));
    return 1;
}

/* Starts a read into a block of memory, whose number is its context. */
static void start(struct reader *reader, uintptr_t block)
{
    struct aio_op op = {
        .opcode = AIO_OP_READ,
        .file = reader->file,
        .buf = reader->memory + block * BLOCK,
        .len = BLOCK,
        .offset = reader->next,
        .context = (void *)block,
    };
    int taken;

    if (reader->next >= reader->size || reader->error != 0)
        return;
    taken = aio_queue_submit(reader->queue, &op, 1, NULL);
    if (taken < 0) {
        reader->error = taken;
        return;
    }
    reader->next += BLOCK;
    reader->inflight++;
}

/* The queue's eventfd is readable: takes what is there. What is left keeps it readable. */
static void completed(struct reader *reader)
{
    struct aio_completion done[8];
    int count = aio_queue_reap(reader->queue, done, 0, 8, NULL);

    if (count < 0)
        reader->error = count;
    for (int index = 0; index < count; index++) {
        reader->inflight--;
        if (done[index].result < 0)
            reader->error = (int)done[index].result;
        else
            reader->bytes += (uint64_t)done[index].result;
        start(reader, (uintptr_t)done[index].context);
    }
}

static int loop(struct reader *reader, int event_fd, int timer_fd)
{
    struct epoll_event results = {.events = EPOLLIN, .data.fd = event_fd};
    struct epoll_event ticks = {.events = EPOLLIN, .data.fd = timer_fd};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bool watched = epoll_fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &results) == 0 &&
                   epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &ticks) == 0;

    for (uintptr_t block = 0; watched && block < DEPTH; block++)
        start(reader, block);
    while (watched && reader->inflight > 0) {
        struct epoll_event event;
        uint64_t passed;

        if (epoll_wait(epoll_fd, &event, 1, -1) != 1)
            continue;
        if (event.data.fd == event_fd)
            completed(reader);
        else if (read(timer_fd, &passed, sizeof(passed)) > 0)
            fprintf(stderr, "%llu bytes so far\n", (unsigned long long)reader->bytes);
    }
    if (epoll_fd >= 0)
        close(epoll_fd);
    return watched ? 0 : 1;
}

static int run(struct reader *reader)
{
    const struct itimerspec second = {{1, 0}, {1, 0}};
    int event_fd = aio_queue_eventfd(reader->queue);
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int failed = 1;

    if (event_fd < 0)
        fail("aio_queue_eventfd", event_fd);
    else if (timer_fd < 0 || timerfd_settime(timer_fd, 0, &second, NULL) != 0)
        perror("timerfd");
    else
        failed = loop(reader, event_fd, timer_fd);
    if (event_fd >= 0)
        close(event_fd); /* a duplicate of ours */
    if (timer_fd >= 0)
        close(timer_fd);
    return failed;
}

static int read_file(struct reader *reader)
{
    int failed;

    reader->size = aio_file_size(reader->file);
    reader->memory = aio_buffer_alloc((size_t)DEPTH * BLOCK, 4096, 0);
    if (reader->size < 0 || reader->memory == NULL)
        return fail("the file's size, or memory", reader->size < 0 ? reader->size : -12);
    reader->queue = aio_file_queue(reader->file);
    failed = run(reader);
    aio_buffer_free(reader->memory);
    if (reader->error != 0)
        return fail("reading", reader->error);
    printf("%llu bytes\n", (unsigned long long)reader->bytes);
    return failed;
}

int main(int argc, char **argv)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;
    struct reader reader = {.error = 0};
    int error;
    int failed;

    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    options.direct = AIO_DIRECT_PREFERRED;
    error = aio_file_open(argv[1], O_RDONLY, 0, &options, &reader.file);
    if (error != 0)
        return fail(argv[1], error);
    failed = read_file(&reader);
    aio_file_close(reader.file);
    return failed;
}
