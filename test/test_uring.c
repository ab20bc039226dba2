/* SPDX-License-Identifier: MIT */
/*
 * test_uring.c - io_uring: its rings and what happens at their edges, its wakes, what the kernel
 * is told once (files, memory, workers), the end of threads that submitted, and the sentences with
 * which it refuses. What every engine does is test_engine.c.
 *
 * What a kernel lacks, or what it would refuse, is played by a seccomp filter. It is of one thread
 * alone, so that another can see what came of it.
 */
#include "engine_bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/ioprio.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"
#include "support.h"

/* --- what /proc tells ----------------------------------------------------------------------- */

static bool comm_begins(const char *task, const char *start)
{
    char path[300];
    char comm[32] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task);
    file = fopen(path, "re");
    if (file == NULL) /* it has just ended */
        return false;
    if (fgets(comm, sizeof(comm), file) == NULL)
        comm[0] = '\0';
    fclose(file);
    return strncmp(comm, start, strlen(start)) == 0;
}

/* Threads whose name begins so; *all counts every one. */
static int threads_named(const char *start, int *all)
{
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    REQUIRE(directory != NULL);
    *all = 0;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        *all += 1;
        count += comm_begins(entry->d_name, start);
    }
    closedir(directory);
    return count;
}

static int lines_with(const char *path, const char *word)
{
    FILE *file = fopen(path, "re");
    char line[512];
    int count = 0;

    REQUIRE(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL)
        count += strstr(line, word) != NULL;
    fclose(file);
    return count;
}

/* --- an engine and a file ------------------------------------------------------------------- */

/* Kinds of ring. OWNED ones are of one thread. */
enum { PLAIN, SMALL, SQPOLL, OWNED, KINDS, SHARED_KINDS = OWNED };

static struct engine_config config_of(int kind, uint32_t depth)
{
    return (struct engine_config){.depth = depth,
                                  .completions = kind == SMALL ? 1 : 0,
                                  .sqpoll = kind == SQPOLL,
                                  .sqpoll_cpu = -1,
                                  .sqpoll_idle_ms = 2,
                                  .owned = kind == OWNED};
}

static struct bench bench_open_with(const struct engine_config *config)
{
    struct engine *engine;
    struct bench bench;

    EXPECT(engine_uring_ops.create(config, &engine), 0);
    REQUIRE(engine->ops == &engine_uring_ops && engine->depth == config->depth);
    bench = bench_around(engine);
    /* So many wakes may lie in the queue that there is no room. */
    bench.may_be_full = config->sqpoll;
    return bench;
}

static struct bench bench_open(int kind, uint32_t depth)
{
    struct engine_config config = config_of(kind, depth);

    return bench_open_with(&config);
}

/* A number that the kernel tells of the only ring: what follows a word in its fdinfo. */
static long ring_fact(const char *word)
{
    long found = -1;

    for (int fd = 0; fd < 1000 && found < 0; fd++) {
        char path[64];
        char line[512] = "";
        ssize_t length;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        length = readlink(path, line, sizeof(line) - 1);
        if (length < 0 || strstr(line, "[io_uring]") == NULL)
            continue;
        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        file = fopen(path, "re");
        REQUIRE(file != NULL);
        while (fgets(line, sizeof(line), file) != NULL)
            if (strncmp(line, word, strlen(word)) == 0)
                found = strtol(line + strlen(word), NULL, 0);
        fclose(file);
    }
    return found;
}

/* --- the rings ------------------------------------------------------------------------------ */

START_TEST(events_come_round_the_ring)
{
    static const uint32_t depths[] = {1, 2, 63, 64, 65, 200, 513};
    uint64_t state = 5;

    for (size_t line = 0; line < COUNT(depths); line++) {
        struct bench bench = bench_open(_i, depths[line]);

        check_events_come_round(&bench, &state);
        bench_close(&bench);
    }
}
END_TEST

START_TEST(a_reap_takes_no_more_than_it_may)
{
    struct bench bench = bench_open(_i, 10);

    check_reap_takes_no_more(&bench);
    bench_close(&bench);
}
END_TEST

/* Ten times more events than places. They are taken with any min, with 0 too, which may not sleep,
 * though some of them are with the kernel and not in the ring. */
START_TEST(a_full_ring_loses_nothing)
{
    static const unsigned mins[] = {0, 1, 64};

    for (int owned = 0; owned < 2; owned++) {
        struct engine_config config = config_of(SMALL, 640);
        struct bench bench;

        config.owned = owned != 0;
        bench = bench_open_with(&config);
        if (ring_fact("CqMask:") >= 0)
            REQUIRE_EQ(ring_fact("CqMask:"), 63);
        for (size_t line = 0; line < COUNT(mins); line++) {
            struct engine_io ios[640];
            int64_t results[640];

            bench_read_first(&bench, ios, 640);
            bench_submit(&bench, ios, 640);
            sleep_us(50000);
            bench_collect_by(&bench, results, 640, mins[line]);
            for (uint32_t tag = 0; tag < 640; tag++)
                REQUIRE_EQ(results[tag], PAGE);
            bench_expect_nothing(&bench);
        }
        bench_close(&bench);
    }
}
END_TEST

/* A small ring is asked for more events at once than it can hold. */
START_TEST(sizes_are_as_asked)
{
    struct engine_config config = config_of(PLAIN, 300);
    struct bench bench = bench_open_with(&config);

    if (ring_fact("CqMask:") < 0) {
        printf("sizes: fdinfo does not tell\n");
        bench_close(&bench);
        return;
    }
    REQUIRE(ring_fact("CqMask:") >= 300);
    bench_close(&bench);
    config.completions = 5000;
    bench = bench_open_with(&config);
    REQUIRE_EQ(ring_fact("CqMask:"), 8191);
    bench_close(&bench);
    config = config_of(SQPOLL, AIO_QUEUE_DEPTH_MAX);
    bench = bench_open_with(&config);
    REQUIRE_EQ(ring_fact("CqMask:"), 65535);
    REQUIRE_EQ(ring_fact("SqMask:"), 32767);
    bench_close(&bench);
}
END_TEST

START_TEST(reap_keeps_to_min_and_time)
{
    const struct timespec no_time = {0, 0};
    struct bench bench = bench_open(_i, 16);
    struct engine_event events[16];
    struct engine_io ios[16];

    REQUIRE_EQ(bench_reap(&bench, events, 0, 0, NULL), 0);
    REQUIRE_EQ(bench_reap(&bench, events, 1, 16, &no_time), 0);
    bench_reap_in_vain(&bench, 1, 0);
    bench_read_first(&bench, ios, 16);
    bench_submit(&bench, ios, 16);
    REQUIRE_EQ(bench_reap(&bench, events, 5, 5, NULL), 5);
    REQUIRE_EQ(bench_reap(&bench, events, 11, 16, NULL), 11);
    bench_submit(&bench, ios, 1);
    bench_reap_in_vain(&bench, 2, 1);
    /* Time that is no time takes what is there. */
    bench_submit(&bench, ios, 1);
    EVENTUALLY(bench_reap(&bench, events, 1, 16, &no_time) == 1);
    bench_close(&bench);
}
END_TEST

/* What never gets to the kernel stops the batch before it. */
START_TEST(an_unknown_one_stops_the_batch_before_it)
{
    struct bench bench = bench_open(_i, 4);

    for (unsigned bad = 0; bad < 4; bad++) {
        struct engine_io ios[4];

        bench_read_first(&bench, ios, 4);
        ios[bad].opcode = bad % 2 == 0 ? AIO_OP_NOP : 200;
        check_bad_one_stops(&bench, ios, bad, -EINVAL);
    }
    bench_close(&bench);
}
END_TEST

/* --- transfers ------------------------------------------------------------------------------ */

START_TEST(every_opcode_moves_what_it_says)
{
    struct bench bench = bench_open(_i, 4);
    unsigned char *page = bench.memory;
    struct iovec iov[2] = {{page + PAGE, PAGE}, {page, PAGE}};
    struct engine_io io = bench_io(&bench, AIO_OP_WRITE, 2, 7);

    pattern_fill(io.buf, PAGE, 7 * PAGE, 3);
    REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
    disk_check_pattern(BENCH_FILE, 7 * PAGE, PAGE, 3);
    io = (struct engine_io){.opcode = AIO_OP_SYNC, .fd = bench.fd, .tag = 2, .priority = 5};
    REQUIRE_EQ(bench_transfer(&bench, &io), 0);
    io = bench_io(&bench, AIO_OP_READV, 2, 6);
    io.iov = iov;
    io.len = 2;
    REQUIRE_EQ(bench_transfer(&bench, &io), 2 * PAGE);
    pattern_check(page + PAGE, PAGE, 6 * PAGE, BENCH_SEED);
    pattern_check(page, PAGE, 7 * PAGE, 3);
    io.opcode = AIO_OP_WRITEV;
    io.offset = 20 * PAGE;
    REQUIRE_EQ(bench_transfer(&bench, &io), 2 * PAGE);
    disk_read_direct(BENCH_FILE, page, 2 * PAGE, 20 * PAGE);
    pattern_check(page, PAGE, 6 * PAGE, BENCH_SEED);
    pattern_check(page + PAGE, PAGE, 7 * PAGE, 3);
    bench_close(&bench);
}
END_TEST

START_TEST(results_are_the_kernels)
{
    struct bench bench = bench_open(_i, 4);
    int cached = open(scratch_path(BENCH_FILE), O_RDONLY | O_CLOEXEC);
    struct iovec bad_vector = {NULL, PAGE};
    const struct {
        struct engine_io io;
        int64_t expected;
    } table[] = {
        {{.opcode = AIO_OP_READ, .fd = -1, .buf = bench.memory, .len = PAGE}, -EBADF},
        {{.opcode = AIO_OP_READ, .fd = 1000000, .buf = bench.memory, .len = PAGE}, -EBADF},
        {{.opcode = AIO_OP_SYNC, .fd = -1}, -EBADF},
        {{.opcode = AIO_OP_WRITE, .fd = cached, .buf = bench.memory, .len = PAGE}, -EBADF},
        {{.opcode = AIO_OP_READ, .fd = bench.fd, .buf = bench.memory, .len = 100}, -EINVAL},
        {{.opcode = AIO_OP_READ, .fd = bench.fd, .buf = NULL, .len = PAGE}, -EFAULT},
        {{.opcode = AIO_OP_READ, .fd = cached, .buf = NULL, .len = PAGE}, -EFAULT},
        {{.opcode = AIO_OP_WRITE, .fd = bench.fd, .buf = NULL, .len = PAGE}, -EFAULT},
        {{.opcode = AIO_OP_READV, .fd = cached, .iov = &bad_vector, .len = 1}, -EFAULT},
        {{.opcode = AIO_OP_READV, .fd = cached, .iov = NULL, .len = 1}, -EFAULT},
        {{.opcode = AIO_OP_READV, .fd = cached, .iov = NULL, .len = 1, .offset = -1}, -EFAULT},
        {{.opcode = AIO_OP_READV, .fd = cached, .iov = &bad_vector, .len = 5000}, -EINVAL},
        {{.opcode = AIO_OP_READV, .fd = cached, .iov = &bad_vector, .len = UINT64_C(1) << 32},
         -EINVAL},
        {{.opcode = AIO_OP_READ, .fd = bench.fd, .len = 0}, 0},
        {{.opcode = AIO_OP_READ,
          .fd = bench.fd,
          .buf = bench.memory,
          .len = PAGE,
          .offset = BENCH_BLOCKS * PAGE},
         0},
        {{.opcode = AIO_OP_READ,
          .fd = bench.fd,
          .buf = bench.memory,
          .len = PAGE,
          .rw_flags = 1 << 30},
         -EOPNOTSUPP},
    };

    for (size_t index = 0; index < COUNT(table); index++) {
        struct engine_io io = table[index].io;
        int64_t result = bench_transfer(&bench, &io);

        ck_assert_msg(result == table[index].expected, "line %zu: %lld", index, (long long)result);
    }
    close(cached);
    bench_close(&bench);
}
END_TEST

/* To the kernel -1 is the descriptor's own place. */
START_TEST(there_is_nothing_before_the_start)
{
    static const uint8_t opcodes[] = {AIO_OP_READ, AIO_OP_WRITE, AIO_OP_READV, AIO_OP_WRITEV};
    static const int64_t offsets[] = {-1, -2, -4096, INT64_MIN};
    struct bench bench = bench_open(_i, 4);
    struct iovec iov = {bench.memory, PAGE};

    REQUIRE_EQ(lseek(bench.fd, PAGE, SEEK_SET), PAGE);
    for (size_t line = 0; line < COUNT(opcodes) * COUNT(offsets); line++) {
        struct engine_io io = bench_io(&bench, opcodes[line / COUNT(offsets)], 1, 0);

        if (io.opcode == AIO_OP_READV || io.opcode == AIO_OP_WRITEV) {
            io.iov = &iov;
            io.len = 1;
        }
        io.offset = offsets[line % COUNT(offsets)];
        REQUIRE_EQ(bench_transfer(&bench, &io), -EINVAL);
    }
    REQUIRE_EQ(lseek(bench.fd, 0, SEEK_CUR), PAGE);
    disk_check_pattern(BENCH_FILE, 0, BENCH_BLOCKS * PAGE, BENCH_SEED);
    bench_close(&bench);
}
END_TEST

/* Lengths have 32 bits in an entry: 4 GiB must not become nothing, which would be the end. */
START_TEST(a_long_read_is_no_short_one)
{
    struct bench bench = bench_open(_i, 4);
    struct engine_io io = bench_read(&bench, 0, 0);
    void *room = mmap(NULL, 5 * 1024 * MIB, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    REQUIRE(room != MAP_FAILED);
    io.buf = room;
    io.len = 4 * 1024 * MIB;
    REQUIRE_EQ(bench_transfer(&bench, &io), BENCH_BLOCKS * PAGE);
    pattern_check(room, BENCH_BLOCKS * PAGE, 0, BENCH_SEED);
    munmap(room, 5 * 1024 * MIB);
    bench_close(&bench);
}
END_TEST

/* One that no kernel knows, so that it must say so; and one that they all do. */
START_TEST(priorities_reach_the_kernel)
{
    struct bench bench = bench_open(_i, 4);
    struct engine_io io = bench_read(&bench, 1, 1);

    io.priority = IOPRIO_PRIO_VALUE(7, 0);
    REQUIRE_EQ(bench_transfer(&bench, &io), -EINVAL);
    io.priority = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7);
    REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
    io = (struct engine_io){.opcode = AIO_OP_SYNC, .fd = bench.fd, .tag = 1, .priority = 7 << 13};
    REQUIRE_EQ(bench_transfer(&bench, &io), 0);
    bench_close(&bench);
}
END_TEST

/* --- sleep and wake ------------------------------------------------------------------------- */

START_TEST(a_reap_waits_for_all_it_wants)
{
    static const unsigned mins[] = {1, 2, 3, 31, 63, ENGINE_BATCH};

    for (size_t line = 0; line < COUNT(mins); line++) {
        struct bench bench = bench_open(_i, 256);

        check_reap_waits_for(&bench, mins[line]);
        bench_close(&bench);
    }
}
END_TEST

START_TEST(a_sleeping_reap_is_woken)
{
    struct bench bench = bench_open(_i, 256);

    for (size_t line = 0; line < WAKE_MINS; line++) {
        for (int round = 0; round < 6; round++) {
            struct bench_reaper reaper;

            bench_reaper_begin(&reaper, &bench, wake_mins[line]);
            bench_wake(&bench, wake_mins[line]);
            REQUIRE_EQ(bench_reaper_end(&reaper), 0);
            /* With SQPOLL they come one by one: what is left over may end the next sleep too. */
            while (bench_reap(&bench, reaper.events, 1, 1, &(struct timespec){0, 5000000}) > 0)
                ;
        }
    }
    bench_close(&bench);
}
END_TEST

START_TEST(a_reap_that_would_sleep_is_woken)
{
    struct bench bench = bench_open(_i, 256);

    check_reap_is_woken_early(&bench);
    bench_close(&bench);
}
END_TEST

START_TEST(no_wake_is_lost_on_the_way)
{
    struct bench bench = bench_open(_i, 256);

    check_no_wake_is_lost(&bench);
    bench_close(&bench);
}
END_TEST

/* Many more wakes than places, then events, which are all there. */
START_TEST(no_number_of_wakes_does_harm)
{
    struct bench bench = bench_open(_i, 16);
    struct engine_io ios[16];
    int64_t results[16];

    for (unsigned round = 0; round < 5; round++) {
        for (unsigned times = 0; times < 100; times++)
            bench_wake(&bench, 1 + times % ENGINE_BATCH);
        bench_read_first(&bench, ios, 16);
        bench_submit(&bench, ios, 16);
        for (unsigned times = 0; times < 50; times++)
            bench_wake(&bench, 3);
        bench_collect(&bench, results, 16);
        for (uint32_t tag = 0; tag < 16; tag++)
            REQUIRE_EQ(results[tag], PAGE);
    }
    bench_settle(&bench);
    bench_close(&bench);
}
END_TEST

START_TEST(a_signal_is_no_hang)
{
    struct bench bench = bench_open(_i, 8);

    for (unsigned before = 0; before < 3; before++) {
        int count = check_signal(&bench, before, 0);

        REQUIRE(before > 0 || count == -EINTR);
    }
    bench_close(&bench);
}
END_TEST

/* --- many threads --------------------------------------------------------------------------- */

START_TEST(many_may_submit_while_one_reaps)
{
    struct bench bench = bench_open(_i, CROWD_TAGS);

    check_crowd(&bench);
    bench_close(&bench);
}
END_TEST

/* --- known files ---------------------------------------------------------------------------- */

/* The number of a known file is put on another one: what the kernel reads tells which it took. */
START_TEST(a_known_file_is_the_kernels_until_forgotten)
{
    struct bench bench = bench_open(_i, 4);
    struct engine_io io = bench_read(&bench, 0, 1);
    struct engine_io sync = {.opcode = AIO_OP_DATASYNC, .fd = bench.fd, .tag = 1};
    int other;

    make_file("other", BENCH_BLOCKS * PAGE, 99);
    other = open(scratch_path("other"), O_RDWR | O_DIRECT | O_CLOEXEC);
    REQUIRE(other >= 0);
    for (int round = 0; round < 3; round++) {
        EXPECT(bench.engine->ops->know_file(bench.engine, bench.fd), 0);
        EXPECT(bench.engine->ops->know_file(bench.engine, bench.fd), 0);
        REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
        pattern_check(io.buf, PAGE, PAGE, BENCH_SEED);
        REQUIRE_EQ(dup3(other, bench.fd, O_CLOEXEC), bench.fd);
        REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
        pattern_check(io.buf, PAGE, PAGE, BENCH_SEED);
        REQUIRE_EQ(bench_transfer(&bench, &sync), 0);
        bench.engine->ops->forget_file(bench.engine, bench.fd);
        REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
        pattern_check(io.buf, PAGE, PAGE, 99);
        bench.engine->ops->forget_file(bench.engine, bench.fd);
        /* Closed and taken by another: nothing is remembered of the number. */
        close(bench.fd);
        REQUIRE_EQ(bench_transfer(&bench, &io), -EBADF);
        bench.fd = open(scratch_path(BENCH_FILE), O_RDWR | O_DIRECT | O_CLOEXEC);
        REQUIRE_EQ(bench.fd, io.fd);
        REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
        pattern_check(io.buf, PAGE, PAGE, BENCH_SEED);
    }
    EXPECT(bench.engine->ops->know_file(bench.engine, -1), -EBADF);
    EXPECT(bench.engine->ops->know_file(bench.engine, 999), -EBADF);
    bench.engine->ops->forget_file(bench.engine, -1);
    bench.engine->ops->forget_file(bench.engine, 999);
    /* Beyond what the table takes, a hint is no error. */
    EXPECT(bench.engine->ops->know_file(bench.engine, 1 << 20), 0);
    bench.engine->ops->forget_file(bench.engine, 1 << 20);
    close(other);
    unlink(scratch_path("other"));
    bench_close(&bench);
}
END_TEST

/* Whoever reads a pipe sees its end when nobody can write any more. */
static bool has_ended(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLHUP) != 0;
}

START_TEST(a_forgotten_file_is_let_go)
{
    struct bench bench = bench_open(_i, 4);
    int pipes[2][2];

    REQUIRE(pipe2(pipes[0], O_CLOEXEC) == 0 && pipe2(pipes[1], O_CLOEXEC) == 0);
    EXPECT(bench.engine->ops->know_file(bench.engine, pipes[0][1]), 0);
    EXPECT(bench.engine->ops->know_file(bench.engine, pipes[1][1]), 0);
    close(pipes[0][1]);
    close(pipes[1][1]);
    sleep_us(20000);
    REQUIRE(!has_ended(pipes[0][0]) && !has_ended(pipes[1][0]));
    bench.engine->ops->forget_file(bench.engine, pipes[0][1]);
    EVENTUALLY(has_ended(pipes[0][0]));
    REQUIRE(!has_ended(pipes[1][0]));
    bench_close(&bench);
    REQUIRE(has_ended(pipes[1][0]));
    close(pipes[0][0]);
    close(pipes[1][0]);
}
END_TEST

/* --- known memory --------------------------------------------------------------------------- */

/* Registered memory is that of the pages which were there: when others take their place, what the
 * kernel moves goes where the old ones are. */
static void replace_pages(void *memory, size_t bytes)
{
    REQUIRE(mmap(memory, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0) == memory);
}

START_TEST(known_memory_is_the_kernels)
{
    enum { PAGES = 8 };
    struct engine_config config = config_of(_i, 4);
    unsigned char *memory =
        mmap(NULL, (PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct bench bench;
    struct engine_io io;

    REQUIRE(memory != MAP_FAILED);
    memset(memory, 0x5a, PAGES * PAGE);
    config.memory = memory;
    config.memory_size = PAGES * PAGE;
    bench = bench_open_with(&config);
    io = bench_read(&bench, 0, 3);
    io.buf = memory + (PAGES - 1) * PAGE;
    REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
    pattern_check(io.buf, PAGE, 3 * PAGE, BENCH_SEED);
    replace_pages(memory, (PAGES + 1) * PAGE);
    REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
    zeros_check(io.buf, PAGE);
    /* A write takes the old pages' bytes. */
    io.opcode = AIO_OP_WRITE;
    io.offset = 0;
    REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
    disk_check_pattern(BENCH_FILE, PAGE, PAGE, BENCH_SEED);
    io.opcode = AIO_OP_READ;
    io.buf = bench_memory(&bench, 0);
    REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
    pattern_check(io.buf, PAGE, 3 * PAGE, BENCH_SEED);
    /* What is not wholly inside is as ever. */
    io.opcode = AIO_OP_WRITE;
    io.offset = 3 * PAGE;
    io.buf = memory + (PAGES - 1) * PAGE;
    io.len = 2 * PAGE;
    pattern_fill(io.buf, 2 * PAGE, 3 * PAGE, 5);
    REQUIRE_EQ(bench_transfer(&bench, &io), 2 * PAGE);
    disk_check_pattern(BENCH_FILE, 3 * PAGE, 2 * PAGE, 5);
    bench_close(&bench);
    munmap(memory, (PAGES + 1) * PAGE);
}
END_TEST

/* A buffer of the kernel's is 1 GiB at most. */
START_TEST(much_memory_is_known_in_pieces)
{
    enum { GIB_PAGES = 1 << 18 };
    size_t bytes = (size_t)(GIB_PAGES + 2) * PAGE;
    struct engine_config config = config_of(PLAIN, 4);
    struct log_kept log = LOG_KEPT_INIT;
    unsigned char *memory;
    struct bench bench;

    if (slowness() > 1 || sysconf(_SC_AVPHYS_PAGES) < 3 * GIB_PAGES) {
        printf("much memory: too slow here, or less than 3 GiB free\n");
        return;
    }
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    config.memory = memory;
    config.memory_size = bytes;
    config.log = (struct log){log_keep, &log};
    bench = bench_open_with(&config);
    REQUIRE_EQ(log_count(&log), 0);
    replace_pages(memory + (size_t)(GIB_PAGES - 2) * PAGE, 4 * PAGE);
    for (unsigned place = 0; place < 3; place++) {
        struct engine_io io = bench_read(&bench, 0, 3);

        io.buf = memory + (size_t)(GIB_PAGES - 2 + place) * PAGE;
        io.len = 2 * PAGE;
        if (place == 1) { /* in neither piece */
            io.opcode = AIO_OP_WRITE;
            io.offset = 30 * PAGE;
            pattern_fill(io.buf, 2 * PAGE, 30 * PAGE, 5);
        }
        REQUIRE_EQ(bench_transfer(&bench, &io), 2 * PAGE);
        if (place == 1)
            disk_check_pattern(BENCH_FILE, 30 * PAGE, 2 * PAGE, 5);
        else
            zeros_check(io.buf, 2 * PAGE);
        replace_pages(memory + (size_t)(GIB_PAGES - 2) * PAGE, 4 * PAGE);
    }
    bench_close(&bench);
    munmap(memory, bytes);
}
END_TEST

START_TEST(memory_that_cannot_be_known_is_a_warning)
{
    struct engine_config config = config_of(_i, 4);
    struct log_kept log = LOG_KEPT_INIT;
    unsigned char *memory =
        mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct bench bench;
    struct engine_io io;

    REQUIRE(memory != MAP_FAILED && mprotect(memory + PAGE, PAGE, PROT_NONE) == 0);
    config.memory = memory;
    config.memory_size = 2 * PAGE;
    config.log = (struct log){log_keep, &log};
    bench = bench_open_with(&config);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_WARNING);
    REQUIRE(log_has(&log, "8192 bytes") && log_has(&log, "not registered"));
    io = bench_read(&bench, 0, 3);
    io.buf = memory;
    REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
    pattern_check(memory, PAGE, 3 * PAGE, BENCH_SEED);
    bench_close(&bench);
    munmap(memory, 2 * PAGE);
}
END_TEST

/* --- the end of a thread that submitted ----------------------------------------------------- */

enum { EXIT_TAGS = 64 };

struct exiting {
    const struct bench *bench;
    struct engine_io *ios;
    unsigned count;
};

static void *submit_and_exit(void *argument)
{
    const struct exiting *exiting = argument;

    bench_submit(exiting->bench, exiting->ios, exiting->count);
    return NULL;
}

/* Lets a thread submit and exit at once, then sees that each transfer comes to its end, as the
 * queue would see to it: EAGAIN and EINTR are tried again, by a thread that lives, and what is left
 * of one that was interrupted is asked for. */
static void exit_with(const struct bench *bench, struct engine_io *ios, int64_t expected)
{
    struct exiting exiting = {bench, ios, EXIT_TAGS};
    unsigned tries[EXIT_TAGS] = {0};
    int64_t moved[EXIT_TAGS] = {0};
    unsigned done = 0;
    pthread_t thread;

    thread_begin(&thread, submit_and_exit, &exiting);
    thread_end(thread);
    while (done < EXIT_TAGS) {
        struct engine_event events[ENGINE_BATCH];
        int count = bench_reap(bench, events, 1, ENGINE_BATCH, NULL);

        for (int index = 0; index < count; index++) {
            uint32_t tag = events[index].tag;

            if (events[index].result == -EAGAIN || events[index].result == -EINTR) {
                REQUIRE(++tries[tag] < 100);
                bench_submit(bench, &ios[tag], 1);
                continue;
            }
            REQUIRE(events[index].result >= 0);
            moved[tag] += events[index].result;
            if (events[index].result > 0 && moved[tag] < expected) {
                ios[tag].buf = (char *)ios[tag].buf + events[index].result;
                ios[tag].len -= (uint64_t)events[index].result;
                ios[tag].offset += events[index].result;
                bench_submit(bench, &ios[tag], 1);
                continue;
            }
            REQUIRE_EQ(moved[tag], expected);
            done++;
        }
    }
    bench_expect_nothing(bench);
}

/* With one worker, most of it has not begun when the thread is gone. */
static struct bench bench_open_exits(int kind)
{
    struct engine_config config = config_of(kind, EXIT_TAGS);

    config.bounded_workers = 1;
    config.unbounded_workers = 1;
    return bench_open_with(&config);
}

START_TEST(reads_outlive_their_thread)
{
    struct bench bench = bench_open_exits(_i);
    struct engine_io ios[EXIT_TAGS];
    struct iovec vectors[EXIT_TAGS];
    int cached = open(scratch_path(BENCH_FILE), O_RDWR | O_CLOEXEC);

    for (unsigned round = 0; round < 10; round++) {
        /* Out of the page cache, where there is a disk below it. */
        REQUIRE(fsync(cached) == 0 && posix_fadvise(cached, 0, 0, POSIX_FADV_DONTNEED) == 0);
        memset(bench.memory, 0, (size_t)EXIT_TAGS * PAGE);
        for (uint32_t tag = 0; tag < EXIT_TAGS; tag++) {
            ios[tag] = bench_read(&bench, tag, tag * 4);
            if (tag % 3 > 0)
                ios[tag].fd = cached;
            if (tag % 3 == 2) {
                vectors[tag] = (struct iovec){ios[tag].buf, PAGE};
                ios[tag].opcode = AIO_OP_READV;
                ios[tag].iov = &vectors[tag];
                ios[tag].len = 1;
            }
        }
        exit_with(&bench, ios, PAGE);
        for (uint32_t tag = 0; tag < EXIT_TAGS; tag++)
            pattern_check(bench_memory(&bench, tag), PAGE, (uint64_t)tag * 4 * PAGE, BENCH_SEED);
    }
    close(cached);
    bench_close(&bench);
}
END_TEST

START_TEST(writes_outlive_their_thread)
{
    enum { LENGTH = 64 * 1024 };
    struct bench bench = bench_open_exits(_i);
    struct engine_io ios[EXIT_TAGS];
    unsigned char *memory = page_alloc((uint64_t)EXIT_TAGS * LENGTH);
    int cached = open(scratch_path("big"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int direct = open(scratch_path("big"), O_RDWR | O_DIRECT | O_CLOEXEC);

    REQUIRE(cached >= 0 && direct >= 0);
    for (unsigned round = 0; round < 4; round++) {
        REQUIRE(ftruncate(cached, 0) == 0);
        pattern_fill(memory, (uint64_t)EXIT_TAGS * LENGTH, 0, round);
        for (uint32_t tag = 0; tag < EXIT_TAGS; tag++)
            ios[tag] = (struct engine_io){.opcode = AIO_OP_WRITE,
                                          .fd = round % 2 == 0 ? cached : direct,
                                          .tag = tag,
                                          .buf = memory + (size_t)tag * LENGTH,
                                          .len = LENGTH,
                                          .offset = (int64_t)tag * LENGTH};
        exit_with(&bench, ios, LENGTH);
        disk_check_pattern("big", 0, (uint64_t)EXIT_TAGS * LENGTH, round);
    }
    close(cached);
    close(direct);
    unlink(scratch_path("big"));
    free(memory);
    bench_close(&bench);
}
END_TEST

START_TEST(syncs_outlive_their_thread)
{
    struct bench bench = bench_open_exits(_i);
    struct engine_io ios[EXIT_TAGS];

    for (unsigned round = 0; round < 10; round++) {
        for (uint32_t tag = 0; tag < EXIT_TAGS; tag++) {
            REQUIRE_EQ(pwrite(bench.fd, bench.memory, PAGE, (off_t)tag * PAGE), PAGE);
            ios[tag] = (struct engine_io){
                .opcode = tag % 2 ? AIO_OP_SYNC : AIO_OP_DATASYNC, .fd = bench.fd, .tag = tag};
        }
        exit_with(&bench, ios, 0);
    }
    bench_close(&bench);
}
END_TEST

/* What a worker does of a file that is none of a disk is ended with the thread, if it has not
 * begun: the kernel says ECANCELED, though nobody cancelled it. */
START_TEST(what_is_ended_with_a_thread_is_tried_again)
{
    struct bench bench = bench_open_exits(_i);
    unsigned char *memory = page_alloc(MIB);
    int zeros = open("/dev/full", O_RDONLY | O_CLOEXEC);
    struct engine_io ios[EXIT_TAGS];

    REQUIRE(zeros >= 0);
    for (unsigned round = 0; round < 5; round++) {
        memset(memory, 1, MIB);
        for (uint32_t tag = 0; tag < EXIT_TAGS; tag++) {
            /* That comes too early, and is not remembered. */
            REQUIRE_EQ(bench_cancel(&bench, tag), -EALREADY);
            ios[tag] = (struct engine_io){
                .opcode = AIO_OP_READ, .fd = zeros, .tag = tag, .buf = memory, .len = MIB};
        }
        exit_with(&bench, ios, MIB);
        zeros_check(memory, MIB);
    }
    close(zeros);
    free(memory);
    bench_close(&bench);
}
END_TEST

/* --- cancelling ----------------------------------------------------------------------------- */

struct cancelling {
    const struct bench *bench;
    uint32_t tag;
    int64_t result;
};

static void *cancel_elsewhere(void *argument)
{
    struct cancelling *cancelling = argument;

    cancelling->result = bench_cancel(cancelling->bench, cancelling->tag);
    return NULL;
}

/* By the thread that submitted and by another one. */
static int64_t cancel_from(const struct bench *bench, uint32_t tag, bool elsewhere)
{
    struct cancelling cancelling = {bench, tag, 1};
    pthread_t thread;

    if (!elsewhere)
        return bench_cancel(bench, tag);
    thread_begin(&thread, cancel_elsewhere, &cancelling);
    thread_end(thread);
    return cancelling.result;
}

/* A read of an empty pipe waits for ever. */
START_TEST(what_waits_is_cancelled)
{
    struct bench bench = bench_open(_i, 4);
    struct engine_event event;
    int ends[2];

    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    REQUIRE_EQ(bench_cancel(&bench, 1), -EALREADY);
    for (int round = 0; round < 6; round++) {
        struct engine_io io = {
            .opcode = AIO_OP_READ, .fd = ends[0], .tag = 1, .buf = bench.memory, .len = PAGE};
        bool elsewhere = round % 2 == 1 && _i != OWNED;

        bench_submit(&bench, &io, 1);
        REQUIRE_EQ(bench_reap(&bench, &event, 0, 1, NULL), 0);
        if (_i == SQPOLL) /* until its thread has taken it, it is nowhere */
            EVENTUALLY(cancel_from(&bench, 1, elsewhere) == 0);
        else
            REQUIRE_EQ(cancel_from(&bench, 1, elsewhere), 0);
        REQUIRE_EQ(cancel_from(&bench, 2, elsewhere), -EALREADY);
        REQUIRE_EQ(bench_reap(&bench, &event, 1, 1, NULL), 1);
        REQUIRE(event.tag == 1 && event.result == -ECANCELED);
        REQUIRE_EQ(cancel_from(&bench, 1, elsewhere), -EALREADY);
        /* Nothing of it is left for the next with this tag. */
        io = bench_read(&bench, 1, 5);
        REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
    }
    close(ends[0]);
    close(ends[1]);
    bench_close(&bench);
}
END_TEST

/* A wake is no transfer that could be cancelled, and stops none. */
START_TEST(a_wake_is_not_cancelled)
{
    struct bench bench = bench_open(_i, 4);
    struct engine_event event;

    bench_wake(&bench, 1);
    for (uint32_t tag = 0; tag < 4; tag++)
        REQUIRE_EQ(bench_cancel(&bench, tag), -EALREADY);
    REQUIRE_EQ(bench_reap(&bench, &event, 1, 1, NULL), 0);
    bench_close(&bench);
}
END_TEST

/* Memory of one page that nobody can read until it is filled: what does, waits. */
static int stuck_page(unsigned char **page)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

    if (fd < 0)
        return -1;
    REQUIRE(ioctl(fd, UFFDIO_API, &api) == 0);
    *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(*page != MAP_FAILED);
    range.range = (struct uffdio_range){(uintptr_t)*page, PAGE};
    REQUIRE(ioctl(fd, UFFDIO_REGISTER, &range) == 0);
    return fd;
}

static void stuck_page_fill(int fd, unsigned char *page, unsigned char *source)
{
    struct uffdio_copy copy = {.dst = (uintptr_t)page, .src = (uintptr_t)source, .len = PAGE};

    REQUIRE(ioctl(fd, UFFDIO_COPY, &copy) == 0);
}

/* The one worker is stuck; what is behind it can be cancelled. Itself it mostly cannot, unless the
 * kernel happens to be between two tries of it. */
static void *cancel_behind_a_stuck_worker(void *argument)
{
    struct bench *bench = argument;
    int cached = open(scratch_path(BENCH_FILE), O_RDWR | O_CLOEXEC);
    unsigned char *page = NULL;
    int fault_fd = stuck_page(&page);
    struct pollfd stuck = {.fd = fault_fd, .events = POLLIN};
    struct engine_io ios[3];
    int64_t results[3];
    int64_t stopped;

    REQUIRE(fault_fd >= 0 && cached >= 0);
    ios[0] = (struct engine_io){
        .opcode = AIO_OP_WRITE, .fd = cached, .tag = 0, .buf = page, .len = PAGE};
    ios[1] = (struct engine_io){.opcode = AIO_OP_SYNC, .fd = bench->fd, .tag = 1};
    ios[2] = (struct engine_io){.opcode = AIO_OP_SYNC, .fd = bench->fd, .tag = 2};
    bench_submit(bench, ios, 1);
    REQUIRE_EQ(poll(&stuck, 1, LONG_MS), 1);
    bench_submit(bench, ios + 1, 2);
    REQUIRE_EQ(cancel_from(bench, 1, true), 0);
    bench_collect(bench, results, 1);
    REQUIRE_EQ(results[1], -ECANCELED);
    REQUIRE_EQ(cancel_from(bench, 1, false), -EALREADY);
    stopped = cancel_from(bench, 0, false);
    REQUIRE(stopped == 0 || stopped == -EBUSY);
    pattern_fill(bench->memory, PAGE, 0, 4);
    stuck_page_fill(fault_fd, page, bench->memory);
    bench_collect(bench, results, 2);
    REQUIRE_EQ(results[2], 0);
    if (stopped == 0)
        REQUIRE_EQ(results[0], -ECANCELED);
    else
        REQUIRE(results[0] == PAGE || results[0] == -ECANCELED);
    disk_check_pattern(BENCH_FILE, 0, PAGE, results[0] == PAGE ? 4 : BENCH_SEED);
    close(cached);
    close(fault_fd);
    munmap(page, PAGE);
    return NULL;
}

START_TEST(what_is_queued_is_cancelled)
{
    struct engine_config config = config_of(PLAIN, 4);
    unsigned char *page = NULL;
    int fault_fd = stuck_page(&page);
    struct bench bench;
    pthread_t thread;

    if (fault_fd < 0) {
        printf("cancel: userfaultfd(2) is refused: %s\n", strerror(errno));
        return;
    }
    close(fault_fd);
    munmap(page, PAGE);
    config.bounded_workers = 1;
    bench = bench_open_with(&config);
    thread_begin(&thread, cancel_behind_a_stuck_worker, &bench);
    thread_end(thread);
    bench_close(&bench);
}
END_TEST

/* A transfer that the disk has is not for the kernel to stop, but is none that is over. */
START_TEST(what_runs_is_not_said_to_be_over)
{
    struct bench bench = bench_open(_i, 64);
    struct engine_io ios[64];
    int64_t results[64];

    for (unsigned round = 0; round < 20; round++) {
        bench_read_first(&bench, ios, 64);
        bench_submit(&bench, ios, 64);
        for (uint32_t tag = 0; tag < 64; tag++) {
            int64_t result = bench_cancel(&bench, tag);

            /* Its event has not been taken. */
            REQUIRE(result == -EBUSY || result == 0);
        }
        bench_collect(&bench, results, 64);
        for (uint32_t tag = 0; tag < 64; tag++) {
            REQUIRE(results[tag] == PAGE || results[tag] == -ECANCELED);
            REQUIRE_EQ(bench_cancel(&bench, tag), -EALREADY);
        }
    }
    bench_close(&bench);
}
END_TEST

/* --- SQPOLL, IOPOLL, shared workers, owned -------------------------------------------------- */

/* The kernel's thread sleeps after 2 ms: transfers come when it is awake, asleep, and about to
 * fall asleep. */
START_TEST(the_kernels_thread_is_woken)
{
    struct bench bench = bench_open(SQPOLL, 4);
    uint64_t state = 8;
    int all;

    EVENTUALLY(threads_named("iou-sqp", &all) == 1);
    for (unsigned round = 0; round < 600 / slowness(); round++) {
        struct engine_io io = bench_read(&bench, round % 4, round % BENCH_BLOCKS);

        sleep_us(1000 + (unsigned)(random_next(&state) % 2000));
        REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
        pattern_check(io.buf, PAGE, (uint64_t)io.offset, BENCH_SEED);
    }
    bench_close(&bench);
    EVENTUALLY(threads_named("iou-sqp", &all) == 0);
}
END_TEST

static int create_with_log(const struct engine_config *config, struct log_kept *log,
                           struct engine **engine)
{
    struct engine_config with_log = *config;

    log_clear(log);
    *engine = NULL;
    with_log.log = (struct log){log_keep, log};
    return (int)CALL(engine_uring_ops.create(&with_log, engine));
}

/* Where the kernel's thread may run, as /proc writes it. */
static bool thread_runs_on(const char *name, const char *cpus)
{
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    bool found = false;

    REQUIRE(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        char path[300];

        snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        if (entry->d_name[0] != '.' && comm_begins(entry->d_name, name))
            found |= lines_with(path, cpus) == 1;
    }
    closedir(directory);
    return found;
}

START_TEST(the_kernels_thread_has_its_place)
{
    struct engine_config config = config_of(SQPOLL, 4);
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;

    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        printf("sqpoll_cpu: there is one processor only\n");
        return;
    }
    config.sqpoll_cpu = 1;
    REQUIRE_EQ(create_with_log(&config, &log, &engine), 0);
    EVENTUALLY(thread_runs_on("iou-sqp", "Cpus_allowed_list:\t1\n"));
    engine->ops->destroy(engine);
    config.sqpoll_cpu = 100000;
    REQUIRE_EQ(create_with_log(&config, &log, &engine), -EINVAL);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_ERROR);
    REQUIRE(log_has(&log, "SQPOLL") && log_has(&log, "CPU"));
    REQUIRE(engine == NULL);
}
END_TEST

/* Where the device cannot be polled, that is said by each transfer. */
START_TEST(a_polled_ring_looks_for_its_events)
{
    struct engine_config config = config_of(_i, 8);
    struct engine_event events[8];
    struct engine_io io;
    struct bench bench;
    int64_t result;
    int cached;

    config.iopoll = true;
    bench = bench_open_with(&config);
    cached = open(scratch_path(BENCH_FILE), O_RDONLY | O_CLOEXEC);
    REQUIRE(bench.engine->polled && bench.engine->takes_hipri);
    for (unsigned round = 0; round < 20; round++) {
        io = bench_read(&bench, 3, round);
        io.rw_flags = round % 2 == 0 ? 0 : RWF_HIPRI;
        result = bench_transfer(&bench, &io);
        REQUIRE(result == PAGE || result == -EOPNOTSUPP);
        if (result == PAGE)
            pattern_check(io.buf, PAGE, (uint64_t)io.offset, BENCH_SEED);
    }
    if (result == -EOPNOTSUPP)
        printf("iopoll: what is below the files cannot be polled\n");
    io.fd = cached;
    REQUIRE_EQ(bench_transfer(&bench, &io), -EOPNOTSUPP);
    io = (struct engine_io){.opcode = AIO_OP_SYNC, .fd = bench.fd, .tag = 1};
    REQUIRE_EQ(bench_transfer(&bench, &io), -EINVAL);
    bench_reap_in_vain(&bench, 2, 0);
    if (_i != OWNED) {
        bench_wake(&bench, 5);
        REQUIRE_EQ(bench_reap(&bench, events, 5, 8, NULL), 0);
    }
    close(cached);
    bench_close(&bench);
    bench = bench_open(_i, 4);
    REQUIRE(!bench.engine->polled && !bench.engine->takes_hipri);
    bench_close(&bench);
}
END_TEST

START_TEST(workers_are_shared)
{
    struct bench bench = bench_open(_i, 8);
    struct engine_config config = config_of(_i, 8);
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *kaio;
    struct bench second = bench;
    int all;

    config.share = bench.engine;
    REQUIRE_EQ(create_with_log(&config, &log, &second.engine), 0);
    EVENTUALLY(threads_named("iou-sqp", &all) == (_i == SQPOLL));
    for (unsigned round = 0; round < 50; round++) {
        const struct bench *turn = round % 2 == 0 ? &bench : &second;
        struct engine_io io = bench_read(turn, round % 8, round);

        REQUIRE_EQ(bench_transfer(turn, &io), PAGE);
        pattern_check(io.buf, PAGE, (uint64_t)io.offset, BENCH_SEED);
    }
    second.engine->ops->destroy(second.engine);
    config = (struct engine_config){.depth = 1, .sqpoll_cpu = -1};
    REQUIRE_EQ(engine_kaio_ops.create(&config, &kaio), 0);
    config = config_of(_i, 8);
    config.share = kaio;
    REQUIRE_EQ(create_with_log(&config, &log, &second.engine), -EINVAL);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_ERROR && log_has(&log, "kaio"));
    REQUIRE(second.engine == NULL);
    kaio->ops->destroy(kaio);
    bench_close(&bench);
}
END_TEST

START_TEST(a_shared_thread_needs_a_thread)
{
    struct bench bench = bench_open(PLAIN, 8);
    struct engine_config config = config_of(SQPOLL, 8);
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;

    config.share = bench.engine;
    REQUIRE_EQ(create_with_log(&config, &log, &engine), -EINVAL);
    REQUIRE(log_count(&log) == 1 && log_has(&log, "SQPOLL") && log_has(&log, "shared workers"));
    bench_close(&bench);
}
END_TEST

/* Without sleeping, events come all the same: their last step is made by the reap itself. */
START_TEST(looking_is_enough)
{
    struct bench bench = bench_open(_i, 64);
    struct engine_io ios[64];
    int64_t results[64];

    for (unsigned round = 0; round < 50; round++) {
        bench_read_first(&bench, ios, 64);
        bench_submit(&bench, ios, 64);
        bench_collect_by(&bench, results, 64, 0);
        for (uint32_t tag = 0; tag < 64; tag++)
            REQUIRE_EQ(results[tag], PAGE);
    }
    bench_close(&bench);
}
END_TEST

static bool is_raised(int event_fd)
{
    struct pollfd poll_fd = {.fd = event_fd, .events = POLLIN};

    return poll(&poll_fd, 1, LONG_MS) == 1;
}

START_TEST(events_raise_an_eventfd)
{
    struct bench bench = bench_open(OWNED, 8);
    int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    eventfd_t value;

    REQUIRE(event_fd >= 0);
    EXPECT(bench.engine->ops->notify(bench.engine, bench.fd), -EINVAL);
    EXPECT(bench.engine->ops->notify(bench.engine, event_fd), 0);
    for (unsigned round = 0; round < 50; round++) {
        struct engine_io io = bench_read(&bench, round % 8, round);
        int64_t results[8];

        if (round % 2 == 1)
            io = (struct engine_io){.opcode = AIO_OP_SYNC, .fd = bench.fd, .tag = 1};
        REQUIRE(eventfd_read(event_fd, &value) < 0);
        bench_submit(&bench, &io, 1);
        REQUIRE(is_raised(event_fd));
        /* Raised means there: no sleep is needed. */
        bench_collect_by(&bench, results, 1, 0);
        REQUIRE_EQ(results[io.tag], round % 2 == 1 ? 0 : (int)PAGE);
        REQUIRE(eventfd_read(event_fd, &value) == 0);
    }
    bench_close(&bench);
    close(event_fd);
}
END_TEST

/* --- refusals ------------------------------------------------------------------------------- */

/* From now on a system call fails in this thread, where its argument is that; -1: always. */
static void forbid(int call, int argument, int64_t value, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (size_t)argument)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(filter), filter};

    if (value < 0)
        filter[3] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0);
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static const struct {
    int error;
    const char *words[REFUSAL_WORDS];
} refusals[] = {
    {ENOSYS, {"ENOSYS", "sandbox", "another engine"}},
    {EPERM, {"EPERM", "io_uring_disabled = 0", "sandbox"}},
    {ENOMEM, {"memory", "5 requests", "RLIMIT_MEMLOCK = 8192000 bytes"}},
    {ENFILE, {"fs.file-max", "raise it", "ring"}},
    {EINVAL, {"refused 5 requests", "SQPOLL", "IOPOLL"}},
    {EBUSY, {"refused 5 requests", "Device or resource busy", "another engine"}},
};

START_TEST(a_refusal_has_its_sentence)
{
    struct engine_config config = config_of(SQPOLL, 5);
    struct rlimit limit = {8192000, 8192000};
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;

    if (refusals[_i].error == EPERM && lines_with("/proc/sys/kernel/io_uring_disabled", "0") == 0)
        return;
    config.iopoll = true;
    REQUIRE(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    forbid(SYS_io_uring_setup, 0, -1, refusals[_i].error);
    REQUIRE_EQ(create_with_log(&config, &log, &engine), -refusals[_i].error);
    REQUIRE(engine == NULL);
    expect_refusal(&log, refusals[_i].words);
}
END_TEST

START_TEST(without_descriptors_there_is_a_sentence)
{
    struct engine_config config = config_of(_i, 5);
    struct log_kept log = LOG_KEPT_INIT;
    struct rlimit before = leave_descriptors(0);
    struct rlimit none;
    struct engine *engine;
    char number[64];

    REQUIRE(getrlimit(RLIMIT_NOFILE, &none) == 0);
    snprintf(number, sizeof(number), "RLIMIT_NOFILE = %d", (int)none.rlim_cur);
    REQUIRE_EQ(create_with_log(&config, &log, &engine), -EMFILE);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_ERROR && log_has(&log, number));
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE_EQ(create_with_log(&config, &log, &engine), 0);
    engine->ops->destroy(engine);
}
END_TEST

/* The kernel will not say what it can, or let its workers be limited: the ring goes again. */
START_TEST(a_half_made_ring_is_unmade)
{
    static const struct {
        unsigned opcode;
        int error;
        int expected;
        const char *word;
    } table[] = {
        {IORING_REGISTER_PROBE, EINVAL, -ENOSYS, "older than 5.11"},
        {IORING_REGISTER_IOWQ_MAX_WORKERS, EINVAL, -EINVAL, "limited to 3 and 4"},
    };
    struct engine_config config = config_of(PLAIN, 5);
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;

    config.bounded_workers = 3;
    config.unbounded_workers = 4;
    for (size_t line = 0; line < COUNT(table); line++) {
        REQUIRE_EQ(create_with_log(&config, &log, &engine), 0);
        engine->ops->destroy(engine);
        forbid(SYS_io_uring_register, 1, table[1 - line].opcode, table[1 - line].error);
        REQUIRE_EQ(create_with_log(&config, &log, &engine), table[1 - line].expected);
        REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_ERROR);
        ck_assert_msg(log_has(&log, table[1 - line].word), "%s", log.last);
        REQUIRE(engine == NULL);
        config.bounded_workers = 0;
        config.unbounded_workers = 0;
    }
}
END_TEST

/* Kernels that are younger than the engine needs, and older than all it can use. */
START_TEST(what_a_kernel_lacks_is_done_without)
{
    struct bench bench = bench_open(_i, 4);
    struct engine_io io = bench_read(&bench, 1, 1);

    forbid(SYS_io_uring_register, 1, IORING_REGISTER_SYNC_CANCEL, EINVAL);
    forbid(SYS_io_uring_register, 1, IORING_REGISTER_FILES2, EINVAL);
    EXPECT(bench.engine->ops->know_file(bench.engine, bench.fd), 0);
    REQUIRE_EQ(bench_transfer(&bench, &io), PAGE);
    bench.engine->ops->forget_file(bench.engine, bench.fd);
    bench_submit(&bench, &io, 1);
    REQUIRE_EQ(bench_cancel(&bench, 1), -EBUSY);
    bench_collect(&bench, &(int64_t[4]){0}[0], 1);
    REQUIRE_EQ(bench_cancel(&bench, 1), -EALREADY);
    bench_close(&bench);
}
END_TEST

/* --- what the kernel does not take ---------------------------------------------------------- */

struct refused {
    const struct bench *bench;
    struct engine_io *ios;
    int error;
    int64_t result;
    int64_t woken;
};

static void *submit_refused(void *argument)
{
    struct refused *refused = argument;
    struct engine_io *pointers[4];

    for (unsigned index = 0; index < 4; index++)
        pointers[index] = &refused->ios[index];
    forbid(SYS_io_uring_enter, 1, 4, refused->error); /* as many as are submitted */
    refused->result = refused->bench->engine->ops->submit(refused->bench->engine, pointers, 4);
    refused->woken = refused->bench->engine->ops->wake(refused->bench->engine, 4);
    return NULL;
}

static const struct {
    int error;
    int expected;
} submit_refusals[] = {{EAGAIN, -EAGAIN}, {EBUSY, -EAGAIN}, {ENOMEM, -EAGAIN}, {EBADR, -EBADR}};

/* What one thread's submit could not start is not started by another's. */
START_TEST(what_was_refused_stays_refused)
{
    struct bench bench = bench_open(PLAIN, 8);

    for (size_t line = 0; line < COUNT(submit_refusals); line++) {
        struct engine_io ios[4];
        struct refused refused = {&bench, ios, submit_refusals[line].error, 0, 0};
        struct engine_io later = bench_read(&bench, 7, 7);
        pthread_t thread;

        memset(bench.memory, 0, (size_t)8 * PAGE);
        bench_read_first(&bench, ios, 4);
        thread_begin(&thread, submit_refused, &refused);
        thread_end(thread);
        REQUIRE_EQ(refused.result, submit_refusals[line].expected);
        REQUIRE_EQ(refused.woken, -EAGAIN);
        for (uint32_t tag = 0; tag < 4; tag++)
            REQUIRE_EQ(bench_cancel(&bench, tag), -EALREADY);
        REQUIRE_EQ(bench_transfer(&bench, &later), PAGE);
        bench_expect_nothing(&bench);
        zeros_check(bench.memory, 4 * PAGE);
        /* And the places are free: as many as ever go in. */
        bench_submit(&bench, ios, 4);
        bench_collect(&bench, &(int64_t[8]){0}[0], 4);
        pattern_check(bench.memory, 4 * PAGE, 0, BENCH_SEED);
    }
    bench_close(&bench);
}
END_TEST

/* --- older kernels -------------------------------------------------------------------------- */

/* Judges each io_uring_setup(2) of another thread: flags that a kernel does not know are EINVAL. */
struct judge {
    int listener;
    unsigned unknown;
    atomic_uint seen; /* calls */
    atomic_uint last; /* flags of the last one that passed */
};

static void *judge_setups(void *argument)
{
    struct judge *judge = argument;
    struct seccomp_notif call;

    for (;;) {
        struct seccomp_notif_resp answer = {0};
        struct io_uring_params params;
        struct iovec here = {&params, sizeof(params)};
        struct iovec there = {NULL, sizeof(params)};

        memset(&call, 0, sizeof(call));
        if (ioctl(judge->listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            continue;
        answer.id = call.id;
        if (call.data.args[0] == UINT32_MAX) { /* the end */
            answer.error = -EINVAL;
            ioctl(judge->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
            return NULL;
        }
        /* As from another process: the thread sanitizer cannot see that the other one waits. */
        there.iov_base = (void *)(uintptr_t)call.data.args[1];
        REQUIRE_EQ(process_vm_readv(getpid(), &here, 1, &there, 1, 0), sizeof(params));
        atomic_fetch_add(&judge->seen, 1);
        if ((params.flags & judge->unknown) != 0) {
            answer.error = -EINVAL;
        } else {
            atomic_store(&judge->last, params.flags);
            answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        }
        ioctl(judge->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

static int listen_to_setups(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(filter), filter};

    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

static const struct {
    unsigned unknown; /* all that came with a kernel and after it */
    unsigned tries;
} older_kernels[] = {
    {0, 1},
    {IORING_SETUP_DEFER_TASKRUN, 2},
    {IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER, 3},
    {IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
         IORING_SETUP_TASKRUN_FLAG,
     4},
    {IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
         IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
     5},
    {IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
         IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP,
     6},
};

START_TEST(older_kernels_have_less_to_offer)
{
    struct judge judge = {.unknown = older_kernels[_i].unknown};
    const unsigned optional = older_kernels[COUNT(older_kernels) - 1].unknown;
    struct bench bench;
    struct engine_io ios[4];
    int64_t results[4];
    pthread_t thread;

    judge.listener = listen_to_setups();
    if (judge.listener < 0) {
        printf("older kernels: no seccomp listener: %s\n", strerror(errno));
        return;
    }
    thread_begin(&thread, judge_setups, &judge);
    bench = bench_open(OWNED, 4);
    REQUIRE_EQ(atomic_load(&judge.seen), older_kernels[_i].tries);
    if (_i == 0)
        REQUIRE_EQ(atomic_load(&judge.last) & optional, optional & ~IORING_SETUP_COOP_TASKRUN);
    bench_read_first(&bench, ios, 4);
    ios[1].fd = -1;
    /* Without SUBMIT_ALL a bad one ends the call after it. */
    bench_submit(&bench, ios, 4);
    bench_collect_by(&bench, results, 4, 0);
    for (uint32_t tag = 0; tag < 4; tag++)
        REQUIRE_EQ(results[tag], tag == 1 ? -EBADF : (int)PAGE);
    bench_close(&bench);
    REQUIRE(syscall(SYS_io_uring_setup, UINT32_MAX, NULL) < 0);
    thread_end(thread);
    close(judge.listener);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------ */

struct test_entry {
    const char *name;
    const TTest *const *test;
    int first; /* of the values of _i */
    int behind;
};

static const struct test_entry entries[] = {
    {"round", &events_come_round_the_ring, 0, KINDS},
    {"max", &a_reap_takes_no_more_than_it_may, 0, KINDS},
    {"full", &a_full_ring_loses_nothing, 0, 1},
    {"sizes", &sizes_are_as_asked, 0, 1},
    {"min", &reap_keeps_to_min_and_time, 0, KINDS},
    {"unknown", &an_unknown_one_stops_the_batch_before_it, 0, KINDS},
    {"opcodes", &every_opcode_moves_what_it_says, 0, KINDS},
    {"results", &results_are_the_kernels, 0, KINDS},
    {"negative", &there_is_nothing_before_the_start, 0, KINDS},
    {"long", &a_long_read_is_no_short_one, 0, 1},
    {"priority", &priorities_reach_the_kernel, 0, KINDS},
    {"waits", &a_reap_waits_for_all_it_wants, 0, SHARED_KINDS},
    {"woken asleep", &a_sleeping_reap_is_woken, 0, SHARED_KINDS},
    {"woken before", &a_reap_that_would_sleep_is_woken, 0, SHARED_KINDS},
    {"woken on the way", &no_wake_is_lost_on_the_way, 0, SHARED_KINDS},
    {"wakes", &no_number_of_wakes_does_harm, 0, SHARED_KINDS},
    {"signal", &a_signal_is_no_hang, 0, SHARED_KINDS},
    {"crowd", &many_may_submit_while_one_reaps, 0, SHARED_KINDS},
    {"known file", &a_known_file_is_the_kernels_until_forgotten, 0, KINDS},
    {"forgotten file", &a_forgotten_file_is_let_go, 0, KINDS},
    {"known memory", &known_memory_is_the_kernels, 0, KINDS},
    {"much memory", &much_memory_is_known_in_pieces, 0, 1},
    {"bad memory", &memory_that_cannot_be_known_is_a_warning, 0, KINDS},
    {"exit reads", &reads_outlive_their_thread, 0, SHARED_KINDS},
    {"exit writes", &writes_outlive_their_thread, 0, SHARED_KINDS},
    {"exit ended", &what_is_ended_with_a_thread_is_tried_again, 0, SHARED_KINDS},
    {"exit syncs", &syncs_outlive_their_thread, 0, SHARED_KINDS},
    {"cancel", &what_waits_is_cancelled, 0, KINDS},
    {"cancel wake", &a_wake_is_not_cancelled, 0, SHARED_KINDS},
    {"cancel queued", &what_is_queued_is_cancelled, 0, 1},
    {"cancel running", &what_runs_is_not_said_to_be_over, 0, KINDS},
    {"sqpoll", &the_kernels_thread_is_woken, 0, 1},
    {"sqpoll cpu", &the_kernels_thread_has_its_place, 0, 1},
    {"iopoll", &a_polled_ring_looks_for_its_events, 0, KINDS},
    {"share", &workers_are_shared, 0, KINDS},
    {"share sqpoll", &a_shared_thread_needs_a_thread, 0, 1},
    {"looking", &looking_is_enough, 0, KINDS},
    {"notify", &events_raise_an_eventfd, 0, 1},
    {"refused", &a_refusal_has_its_sentence, 0, COUNT(refusals)},
    {"descriptors", &without_descriptors_there_is_a_sentence, 0, KINDS},
    {"half made", &a_half_made_ring_is_unmade, 0, 1},
    {"lacking", &what_a_kernel_lacks_is_done_without, 0, KINDS},
    {"not taken", &what_was_refused_stays_refused, 0, 1},
    {"older", &older_kernels_have_less_to_offer, 0, COUNT(older_kernels)},
};

static void begin(void)
{
    leak_begin();
    REQUIRE_EQ(process_init(), 0);
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("uring");

    for (size_t index = 0; index < COUNT(entries); index++) {
        TCase *tests_case = tcase_create(entries[index].name);

        tcase_add_checked_fixture(tests_case, begin, leak_end);
        tcase_set_timeout(tests_case, 20);
        tcase_add_loop_test(tests_case, *entries[index].test, entries[index].first,
                            entries[index].behind);
        suite_add_tcase(suite, tests_case);
    }
    return suite;
}

/* Skipped where the kernel has no io_uring at all: asked past the library, which may be wrong. */
int main(void)
{
    struct io_uring_params params = {0};
    int fd = (int)syscall(SYS_io_uring_setup, 1, &params);

    if (fd < 0) {
        printf("io_uring_setup(2) is refused here: %s\n", strerror(errno));
        return 77;
    }
    close(fd);
    return run_suite(make_suite);
}
