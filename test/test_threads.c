/* SPDX-License-Identifier: MIT */
/*
 * test_threads.c - the engine of threads: how many there are and when, the order in which transfers
 * begin, which of them can be cancelled, and what there is where no thread can be had. What every
 * engine does is test_engine.c.
 *
 * Transfers that take as long as a test likes are reads of a pipe: a preadv2(2) at offset -1 is a
 * plain read.
 */
#include "engine.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "event_ring.h"
#include "support.h"

enum { TAGS = 64 };

/* --- between the library and malloc --------------------------------------------------------- */

static atomic_uint allocations;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

/* --- an engine and a pipe ------------------------------------------------------------------- */

/* Each transfer takes a byte out of the pipe: the tag's. */
struct bench {
    struct engine *engine;
    int read_fd;
    int write_fd;
    int threads_before;
    unsigned char bytes[TAGS];
    struct iovec iovs[TAGS];
    struct engine_io ios[TAGS];
};

static int threads_now(void)
{
    DIR *directory = opendir("/proc/self/task");
    const struct dirent *entry;
    int count = 0;

    REQUIRE(directory != NULL);
    while ((entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void bench_open(struct bench *bench, const struct engine_config *config)
{
    int ends[2];

    memset(bench, 0, sizeof(*bench));
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    bench->read_fd = ends[0];
    bench->write_fd = ends[1];
    bench->threads_before = threads_now();
    for (uint32_t tag = 0; tag < TAGS; tag++) {
        bench->iovs[tag] = (struct iovec){&bench->bytes[tag], 1};
        bench->ios[tag] = (struct engine_io){.opcode = AIO_OP_READV,
                                             .fd = bench->read_fd,
                                             .tag = tag,
                                             .iov = &bench->iovs[tag],
                                             .len = 1,
                                             .offset = -1};
    }
    REQUIRE_EQ(engine_threads_ops.create(config, &bench->engine), 0);
    REQUIRE_EQ(bench->engine->depth, config->depth);
}

static void bench_open_plain(struct bench *bench, uint32_t depth, uint32_t workers)
{
    const struct engine_config config = {.depth = depth, .workers = workers, .sqpoll_cpu = -1};

    bench_open(bench, &config);
}

static void bench_close(struct bench *bench)
{
    CALL((bench->engine->ops->destroy(bench->engine), 0));
    EVENTUALLY(threads_now() == bench->threads_before);
    close(bench->read_fd);
    close(bench->write_fd);
}

static int engine_threads(const struct bench *bench)
{
    return threads_now() - bench->threads_before;
}

/* Threads that are in the system call of a transfer: to ask cancel would change it. */
static unsigned running_now(void)
{
    DIR *directory = opendir("/proc/self/task");
    const struct dirent *entry;
    unsigned count = 0;

    REQUIRE(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        char path[300];
        long number = -1;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%s/syscall", entry->d_name);
        file = entry->d_name[0] != '.' ? fopen(path, "re") : NULL;
        if (file == NULL)
            continue;
        count += fscanf(file, "%ld", &number) == 1 && number == SYS_preadv2;
        fclose(file);
    }
    closedir(directory);
    return count;
}

/* Submits transfers of these tags, in one call. */
static void start(struct bench *bench, const uint32_t *tags, unsigned count)
{
    struct engine_io *pointers[TAGS];

    for (unsigned index = 0; index < count; index++)
        pointers[index] = &bench->ios[tags[index]];
    EXPECT(bench->engine->ops->submit(bench->engine, pointers, count), count);
}

static void start_first(struct bench *bench, unsigned count)
{
    uint32_t tags[TAGS];

    for (uint32_t tag = 0; tag < TAGS; tag++)
        tags[tag] = tag;
    start(bench, tags, count);
}

static void let_go(const struct bench *bench, const void *bytes, unsigned count)
{
    REQUIRE_EQ(write(bench->write_fd, bytes, count), count);
}

static int64_t cancel(const struct bench *bench, uint32_t tag)
{
    return CALL(bench->engine->ops->cancel(bench->engine, tag));
}

/* Takes so many events, in the order in which they come. */
static void collect(const struct bench *bench, struct engine_event *events, unsigned count)
{
    unsigned taken = 0;

    while (taken < count) {
        int64_t got =
            CALL(bench->engine->ops->reap(bench->engine, events + taken, 1, count - taken, NULL));

        REQUIRE(got >= 1);
        taken += (unsigned)got;
    }
    REQUIRE_EQ(bench->engine->ops->reap(bench->engine, events, 0, 1, NULL), 0);
}

/* --- how many threads ----------------------------------------------------------------------- */

START_TEST(one_after_the_other_needs_one_thread)
{
    struct bench bench;
    struct engine_event event;

    bench_open_plain(&bench, TAGS, 0);
    REQUIRE_EQ(engine_threads(&bench), 1);
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t tag = round % TAGS;

        let_go(&bench, "x", 1);
        start(&bench, &tag, 1);
        collect(&bench, &event, 1);
        REQUIRE(event.tag == tag && event.result == 1);
    }
    REQUIRE_EQ(engine_threads(&bench), 1);
    bench_close(&bench);
}
END_TEST

static const struct {
    uint32_t depth;
    uint32_t workers;
    int threads;
} sizes[] = {{TAGS, 0, 8}, {TAGS, 1, 1}, {TAGS, 2, 2}, {TAGS, 20, 20}, {2, 0, 2}, {1, 5, 1}};

/* In one batch or one by one: so many run, first come first served, the others wait. */
START_TEST(there_are_as_many_threads_as_run)
{
    char bytes[TAGS] = {0};

    for (unsigned one_by_one = 0; one_by_one < 2; one_by_one++) {
        const uint32_t depth = sizes[_i].depth;
        const uint32_t running = (uint32_t)sizes[_i].threads;
        struct engine_event events[TAGS];
        struct bench bench;

        bench_open_plain(&bench, depth, sizes[_i].workers);
        for (uint32_t tag = 0; one_by_one && tag < depth; tag++) {
            start(&bench, &tag, 1);
            REQUIRE(engine_threads(&bench) <= (int)running);
        }
        if (!one_by_one)
            start_first(&bench, depth);
        REQUIRE_EQ(engine_threads(&bench), running);
        EVENTUALLY(running_now() == running);
        for (uint32_t tag = depth; tag-- > 0;)
            REQUIRE_EQ(cancel(&bench, tag), tag < running ? -EBUSY : 0);
        let_go(&bench, bytes, running);
        collect(&bench, events, depth);
        /* They stay. */
        REQUIRE_EQ(engine_threads(&bench), running);
        bench_close(&bench);
    }
}
END_TEST

START_TEST(more_come_when_those_there_are_busy)
{
    struct engine_event events[TAGS];
    struct bench bench;
    uint32_t tag;

    bench_open_plain(&bench, TAGS, 4);
    for (tag = 0; tag < 3; tag++) {
        start(&bench, &tag, 1);
        EVENTUALLY(running_now() == tag + 1);
        REQUIRE_EQ(engine_threads(&bench), (int)tag + 1);
    }
    let_go(&bench, "xxx", 3);
    collect(&bench, events, 3);
    /* Three are idle: nobody is needed for three more. */
    start_first(&bench, 3);
    REQUIRE_EQ(engine_threads(&bench), 3);
    EVENTUALLY(running_now() == 3);
    tag = 3;
    start(&bench, &tag, 1);
    REQUIRE_EQ(engine_threads(&bench), 4);
    let_go(&bench, "xxxx", 4);
    collect(&bench, events, 4);
    bench_close(&bench);
}
END_TEST

/* No handler of the program runs on them, and a debugger sees what they are. */
START_TEST(they_are_left_alone_by_signals)
{
    struct bench bench;
    struct engine_event events[4];
    DIR *directory;
    const struct dirent *entry;
    int found = 0;

    bench_open_plain(&bench, TAGS, 4);
    start_first(&bench, 4);
    directory = opendir("/proc/self/task");
    REQUIRE(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        unsigned long long blocked = 0;
        char path[300];
        char line[128];
        bool ours = false;
        FILE *status;

        snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        status = entry->d_name[0] != '.' ? fopen(path, "re") : NULL;
        if (status == NULL)
            continue;
        while (fgets(line, sizeof(line), status) != NULL) {
            ours |= strcmp(line, "Name:\taio-engine\n") == 0;
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        fclose(status);
        if (!ours)
            continue;
        found++;
        /* Of the real-time ones some are the C library's. */
        for (int number = 1; number < 32; number++)
            if (number != SIGKILL && number != SIGSTOP)
                REQUIRE((blocked & 1ULL << (number - 1)) != 0);
    }
    closedir(directory);
    REQUIRE_EQ(found, 4);
    let_go(&bench, "xxxx", 4);
    collect(&bench, events, 4);
    bench_close(&bench);
}
END_TEST

/* --- order ---------------------------------------------------------------------------------- */

/* In an order of tags that is not theirs. */
static void shuffle(uint32_t *tags, uint64_t *state)
{
    for (uint32_t tag = 0; tag < TAGS; tag++) {
        uint32_t other = (uint32_t)(random_next(state) % (tag + 1));

        tags[tag] = tags[other];
        tags[other] = tag;
    }
}

START_TEST(one_worker_keeps_the_order)
{
    const struct engine_config config = {
        .depth = TAGS, .workers = 1, .owned = _i == 1, .sqpoll_cpu = -1};
    struct engine_event events[TAGS];
    uint32_t tags[TAGS];
    struct bench bench;
    uint64_t state = 1;

    bench_open(&bench, &config);
    for (unsigned round = 0; round < 50; round++) {
        unsigned char sent[TAGS];
        unsigned started = 0;

        shuffle(tags, &state);
        for (unsigned index = 0; index < TAGS; index++)
            sent[index] = (unsigned char)random_next(&state);
        if (round % 2 == 0)
            let_go(&bench, sent, TAGS);
        while (started < TAGS) {
            unsigned count = 1 + (unsigned)(random_next(&state) % (TAGS - started));

            start(&bench, tags + started, count);
            started += count;
        }
        if (round % 2 != 0)
            let_go(&bench, sent, TAGS);
        collect(&bench, events, TAGS);
        for (unsigned index = 0; index < TAGS; index++) {
            REQUIRE_EQ(events[index].tag, tags[index]);
            REQUIRE_EQ(events[index].result, 1);
            REQUIRE_EQ(bench.bytes[tags[index]], sent[index]);
        }
    }
    REQUIRE_EQ(engine_threads(&bench), 1);
    bench_close(&bench);
}
END_TEST

/* --- cancel --------------------------------------------------------------------------------- */

START_TEST(what_waits_is_cancelled_wherever_it_waits)
{
    struct engine_event events[TAGS];
    struct bench bench;

    bench_open_plain(&bench, TAGS, 1);
    REQUIRE_EQ(cancel(&bench, 0), -EALREADY);
    start_first(&bench, 8);
    EVENTUALLY(running_now() == 1);
    /* The first that waits, the last, one between, and its neighbour. */
    REQUIRE_EQ(cancel(&bench, 1), 0);
    REQUIRE_EQ(cancel(&bench, 7), 0);
    REQUIRE_EQ(cancel(&bench, 4), 0);
    REQUIRE_EQ(cancel(&bench, 5), 0);
    REQUIRE_EQ(cancel(&bench, 5), -EALREADY);
    collect(&bench, events, 4);
    for (unsigned index = 0; index < 4; index++) {
        REQUIRE_EQ(events[index].tag, ((uint32_t[]){1, 7, 4, 5})[index]);
        REQUIRE_EQ(events[index].result, -ECANCELED);
    }
    /* Their tags are free for others, which go to the end. */
    start(&bench, (uint32_t[]){7, 4}, 2);
    let_go(&bench, "abcdef", 6);
    collect(&bench, events, 6);
    for (unsigned index = 0; index < 6; index++) {
        static const uint32_t order[] = {0, 2, 3, 6, 7, 4};

        REQUIRE_EQ(events[index].tag, order[index]);
        REQUIRE_EQ(events[index].result, 1);
        REQUIRE_EQ(bench.bytes[order[index]], "abcdef"[index]);
    }
    REQUIRE(bench.bytes[1] == 0 && bench.bytes[5] == 0);
    REQUIRE_EQ(cancel(&bench, 0), -EALREADY);
    /* All that wait, so that the list is empty, and used again. */
    start_first(&bench, 3);
    EVENTUALLY(running_now() == 1);
    REQUIRE(cancel(&bench, 2) == 0 && cancel(&bench, 1) == 0);
    start(&bench, (uint32_t[]){9}, 1);
    let_go(&bench, "yz", 2);
    collect(&bench, events, 4);
    REQUIRE_EQ(bench.bytes[9], 'z');
    bench_close(&bench);
}
END_TEST

enum { SAID_NOTHING = 1, NOT_TO_ASK = 2 };

struct storm {
    struct bench *bench;
    pthread_mutex_t lock;  /* held while cancel is asked: a late one would meet another transfer */
    atomic_int said[TAGS]; /* by cancel */
    atomic_uint cancelled;
    atomic_bool over;
};

static void storm_begin_asking(struct storm *storm, bool ask)
{
    pthread_mutex_lock(&storm->lock);
    for (uint32_t tag = 0; tag < TAGS; tag++)
        storm->said[tag] = ask ? SAID_NOTHING : NOT_TO_ASK;
    pthread_mutex_unlock(&storm->lock);
}

static void *cancel_often(void *argument)
{
    struct storm *storm = argument;
    uint64_t state = 9;

    while (!storm->over) {
        uint32_t tag = (uint32_t)(random_next(&state) % TAGS);

        pthread_mutex_lock(&storm->lock);
        if (storm->said[tag] == SAID_NOTHING) {
            storm->said[tag] = (int)storm->bench->engine->ops->cancel(storm->bench->engine, tag);
            storm->cancelled += storm->said[tag] == 0;
        }
        pthread_mutex_unlock(&storm->lock);
        /* Locks are not fair. */
        sched_yield();
    }
    return NULL;
}

/* Whoever cancels, and whenever: each has one event, which is what cancel said. */
START_TEST(cancels_at_any_moment_lose_nothing)
{
    static char bytes[TAGS];
    struct storm storm = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct bench bench;
    pthread_t thread;
    unsigned cancelled = 0;

    bench_open_plain(&bench, TAGS, _i == 0 ? 1 : 3);
    storm.bench = &bench;
    storm_begin_asking(&storm, false);
    thread_begin(&thread, cancel_often, &storm);
    for (unsigned round = 0; round < 400 / slowness(); round++) {
        struct engine_event events[TAGS];
        unsigned done = 0;

        start_first(&bench, TAGS);
        storm_begin_asking(&storm, true);
        /* Now and then before any is over, so that there is something to cancel. */
        if (round % 8 == 0)
            EVENTUALLY(storm.cancelled > round / 8);
        for (unsigned index = 0; index < TAGS; index += 8)
            let_go(&bench, bytes, 8);
        collect(&bench, events, TAGS);
        /* Whoever is asking has its answer. */
        pthread_mutex_lock(&storm.lock);
        pthread_mutex_unlock(&storm.lock);
        for (unsigned index = 0; index < TAGS; index++) {
            int said = storm.said[events[index].tag];

            done += events[index].result == 1;
            cancelled += events[index].result == -ECANCELED;
            if (events[index].result == 1)
                REQUIRE(said == SAID_NOTHING || said == -EBUSY || said == -EALREADY);
            else
                REQUIRE(events[index].result == -ECANCELED && said == 0);
        }
        /* What those cancelled would have read. */
        for (unsigned left = TAGS - done; left > 0; left--)
            REQUIRE_EQ(read(bench.read_fd, bytes, 1), 1);
        storm_begin_asking(&storm, false);
    }
    storm.over = true;
    thread_end(thread);
    REQUIRE(cancelled > 0 && cancelled == storm.cancelled);
    bench_close(&bench);
}
END_TEST

/* --- events --------------------------------------------------------------------------------- */

START_TEST(each_event_raises_the_eventfd)
{
    struct engine_event events[TAGS];
    eventfd_t count = 0;
    struct bench bench;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    bench_open_plain(&bench, TAGS, 1);
    EXPECT(bench.engine->ops->notify(bench.engine, fd), 0);
    start_first(&bench, 3);
    REQUIRE_EQ(cancel(&bench, 2), 0);
    REQUIRE(eventfd_read(fd, &count) == 0 && count == 1);
    REQUIRE(eventfd_read(fd, &count) != 0 && errno == EAGAIN);
    let_go(&bench, "xx", 2);
    collect(&bench, events, 3);
    /* Before the event can be had, not after. */
    REQUIRE(eventfd_read(fd, &count) == 0 && count == 2);
    close(fd);
    bench_close(&bench);
}
END_TEST

/* A poll does not take the wake that is for the next one who would sleep. */
START_TEST(a_poll_leaves_the_wake)
{
    const struct timespec patience = milliseconds(LONG_MS);
    struct engine_event events[TAGS];
    struct bench bench;
    int64_t start_ns = clock_ns();

    bench_open_plain(&bench, TAGS, 1);
    EXPECT(bench.engine->ops->wake(bench.engine, 1), 0);
    REQUIRE_EQ(bench.engine->ops->reap(bench.engine, events, 0, 1, NULL), 0);
    REQUIRE_EQ(bench.engine->ops->reap(bench.engine, events, 1, 1, &patience), 0);
    REQUIRE(clock_ns() - start_ns < LONG_MS / 2 * INT64_C(1000000));
    bench_close(&bench);
}
END_TEST

START_TEST(nothing_is_allocated_for_a_transfer)
{
    struct engine_event events[TAGS];
    char bytes[TAGS] = {0};
    struct bench bench;
    unsigned before = 0;

    bench_open_plain(&bench, TAGS, 4);
    for (unsigned round = 0; round < 20; round++) {
        /* The first round starts the threads. */
        if (round == 1)
            before = allocations;
        start_first(&bench, TAGS);
        cancel(&bench, TAGS - 1);
        let_go(&bench, bytes, TAGS - 1);
        collect(&bench, events, TAGS);
    }
    REQUIRE_EQ(allocations, before);
    bench_close(&bench);
    bench_open_plain(&bench, TAGS, 4);
    REQUIRE(allocations > before);
    bench_close(&bench);
}
END_TEST

/* --- what cannot be had --------------------------------------------------------------------- */

static int create_logged(uint32_t depth, uint32_t workers, struct log_kept *log,
                         struct engine **engine)
{
    const struct engine_config config = {
        .depth = depth, .workers = workers, .sqpoll_cpu = -1, .log = {log_keep, log}};

    log_clear(log);
    return engine_threads_ops.create(&config, engine);
}

/* So many processes and threads for this user, who has no others: root's limit counts for nothing,
 * and other users have more of them than this process knows. */
static void become_limited(rlim_t processes)
{
    const struct rlimit limit = {processes, processes};

    REQUIRE(setrlimit(RLIMIT_NPROC, &limit) == 0);
    if (geteuid() == 0)
        REQUIRE(setresuid(54321, 54321, 54321) == 0);
}

static int without_any_thread(void *argument)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;

    (void)argument;
    become_limited(1);
    REQUIRE_EQ(create_logged(4, 0, &log, &engine), -EAGAIN);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_ERROR);
    REQUIRE(log_has(&log, "RLIMIT_NPROC = 1,") && log_has(&log, "ulimit -u"));
    return 0;
}

START_TEST(without_a_thread_there_is_a_sentence)
{
    REQUIRE_EQ(in_child(without_any_thread, NULL), 0);
}
END_TEST

static int with_one_thread(void *argument)
{
    struct engine_event events[TAGS];
    char bytes[TAGS] = {0};
    struct bench bench;
    int own_threads = threads_now();

    (void)argument;
    become_limited((rlim_t)own_threads + 1);
    bench_open_plain(&bench, TAGS, 0);
    for (unsigned round = 0; round < 3; round++) {
        start_first(&bench, TAGS);
        REQUIRE_EQ(engine_threads(&bench), 1);
        let_go(&bench, bytes, TAGS);
        collect(&bench, events, TAGS);
        for (unsigned index = 0; index < TAGS; index++)
            REQUIRE(events[index].tag == index && events[index].result == 1);
    }
    bench_close(&bench);
    return 0;
}

START_TEST(one_thread_does_it_all_where_there_are_no_others)
{
    if (geteuid() != 0) {
        printf("Not tried with a single thread: only root can become a user without processes.\n");
        return;
    }
    REQUIRE_EQ(in_child(with_one_thread, NULL), 0);
}
END_TEST

START_TEST(without_memory_there_is_a_sentence)
{
    struct rlimit limit = {(rlim_t)(512 * MIB), (rlim_t)(512 * MIB)};
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;

    if (slowness() > 1) {
        printf("Not tried without memory: sanitizers and valgrind reserve more than any limit.\n");
        return;
    }
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    REQUIRE_EQ(create_logged(1U << 28, 0, &log, &engine), -ENOMEM);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_ERROR);
    REQUIRE(log_has(&log, "threads: no memory for"));
    /* The table fits, the ring does not; the table of threads does not. */
    REQUIRE_EQ(create_logged(12 << 20, 0, &log, &engine), -ENOMEM);
    REQUIRE_EQ(create_logged(10 << 20, 10 << 20, &log, &engine), -ENOMEM);
    REQUIRE_EQ(create_logged(4, 0, &log, &engine), 0);
    REQUIRE_EQ(log_count(&log), 0);
    engine->ops->destroy(engine);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------ */

static Suite *threads_suite(void)
{
    Suite *suite = suite_create("threads");

    ADD_TESTS(suite, "number", one_after_the_other_needs_one_thread,
              more_come_when_those_there_are_busy, they_are_left_alone_by_signals);
    add_loop_test(suite, "sizes", there_are_as_many_threads_as_run, COUNT(sizes));
    add_loop_test(suite, "order", one_worker_keeps_the_order, 2);
    ADD_TESTS(suite, "cancel", what_waits_is_cancelled_wherever_it_waits);
    add_loop_test(suite, "cancels", cancels_at_any_moment_lose_nothing, 2);
    ADD_TESTS(suite, "events", each_event_raises_the_eventfd, a_poll_leaves_the_wake,
              nothing_is_allocated_for_a_transfer);
    ADD_TESTS(suite, "refused", without_a_thread_there_is_a_sentence,
              one_thread_does_it_all_where_there_are_no_others, without_memory_there_is_a_sentence);
    return suite;
}

int main(void)
{
    return run_suite(threads_suite);
}
