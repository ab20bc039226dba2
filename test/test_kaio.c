/* SPDX-License-Identifier: MIT */
/*
 * test_kaio.c - kernel AIO: its completion ring and what happens at its edges, its wakes, and the
 * sentences with which it refuses. What every engine does is test_engine.c.
 *
 * Each test of transfers runs twice: with the ring read in user space, and as it is where the
 * ring's layout is not known. For that the linker puts the test between the library and io_setup(3)
 * (ld --wrap).
 */
#include "engine.h"

#include <fcntl.h>
#include <libaio.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"
#include "support.h"

#define SEED 77
#define BLOCKS 256u
#define TAGS_MAX 256u

/* --- between the library and io_setup ------------------------------------------------------- */

static bool strange_ring; /* rings are made to look unknown */

int __real_io_setup(int count, io_context_t *context);
int __wrap_io_setup(int count, io_context_t *context);

int __wrap_io_setup(int count, io_context_t *context)
{
    int error = __real_io_setup(count, context);

    /* The fifth word is the mark by which fs/aio.c lets its ring be known; it never looks itself.
     */
    if (error == 0 && strange_ring)
        ((unsigned *)*context)[4]++;
    return error;
}

/* --- an engine and a file ------------------------------------------------------------------- */

/* A direct file of the pattern, and a block of memory for each tag. */
struct bench {
    struct engine *engine;
    uint32_t depth;
    int fd;
    unsigned char *memory;
    bool wakes_fill_it; /* more wakes come than a queue would send: there may be no room */
};

static struct bench bench_open(uint32_t depth)
{
    struct engine_config config = {.depth = depth, .sqpoll_cpu = -1};
    struct bench bench = {.depth = depth};

    make_file("data", BLOCKS * PAGE, SEED);
    bench.fd = open(scratch_path("data"), O_RDWR | O_DIRECT | O_CLOEXEC);
    REQUIRE(bench.fd >= 0);
    bench.memory = page_alloc((uint64_t)depth * PAGE);
    REQUIRE_EQ(engine_create(AIO_ENGINE_KAIO, &config, &bench.engine), 0);
    return bench;
}

static void bench_close(struct bench *bench)
{
    bench->engine->ops->destroy(bench->engine);
    free(bench->memory);
    close(bench->fd);
    unlink(scratch_path("data"));
}

static unsigned char *tag_memory(const struct bench *bench, uint32_t tag)
{
    return bench->memory + (size_t)tag * PAGE;
}

/* Reads a block into the memory of a tag. */
static struct engine_io read_block(const struct bench *bench, uint32_t tag, unsigned block)
{
    return (struct engine_io){
        .opcode = AIO_OP_READ,
        .fd = bench->fd,
        .tag = tag,
        .buf = tag_memory(bench, tag),
        .len = PAGE,
        .offset = (int64_t)block * PAGE,
    };
}

/* Starts some, in as many calls as it takes. The kernel keeps part of a context's room for each
 * processor, so that it may be out of room on one of them though the context is not full: then it
 * is tried again, as the queue does. */
static void submit(const struct bench *bench, struct engine_io *ios, unsigned count)
{
    struct engine_io *pointers[TAGS_MAX];
    unsigned refusals = 0;
    unsigned started = 0;

    for (unsigned index = 0; index < count; index++)
        pointers[index] = &ios[index];
    while (started < count) {
        int result = bench->engine->ops->submit(bench->engine, pointers + started, count - started);

        if (result == -EAGAIN && refusals++ < 10000) {
            sleep_us(100);
            continue;
        }
        REQUIRE(result >= 1 && (unsigned)result <= count - started);
        started += (unsigned)result;
    }
}

static int reap(const struct bench *bench, struct engine_event *events, unsigned min, unsigned max,
                const struct timespec *timeout)
{
    int count = bench->engine->ops->reap(bench->engine, events, min, max, timeout);

    REQUIRE(count == -EINTR || (count >= 0 && (unsigned)count <= max));
    for (int index = 0; index < count; index++)
        REQUIRE(events[index].tag < bench->depth);
    return count;
}

/* Takes count events, each of another tag, into results by tag. */
static void collect(const struct bench *bench, int64_t *results, unsigned count)
{
    bool seen[TAGS_MAX] = {false};
    struct engine_event events[ENGINE_BATCH];

    for (unsigned taken = 0; taken < count;) {
        int got = reap(bench, events, 1, COUNT(events), NULL);

        for (int index = 0; index < got; index++) {
            REQUIRE(!seen[events[index].tag]);
            seen[events[index].tag] = true;
            results[events[index].tag] = events[index].result;
        }
        taken += (unsigned)got;
        REQUIRE(taken <= count);
    }
}

/* Sees that there is nothing, now or soon. */
static void expect_nothing(const struct bench *bench)
{
    const struct timespec soon = milliseconds(5);
    struct engine_event event;

    REQUIRE_EQ(reap(bench, &event, 0, 1, NULL), 0);
    REQUIRE_EQ(reap(bench, &event, 1, 1, &soon), 0);
}

static void wake(const struct bench *bench, unsigned sleeping_for)
{
    int result;

    do {
        result = bench->engine->ops->wake(bench->engine, sleeping_for);
        REQUIRE(result == 0 || result == -EAGAIN);
    } while (result != 0);
}

/* --- the ring ------------------------------------------------------------------------------- */

/* Reads random blocks with some of the tags, in random order. */
static void read_round(const struct bench *bench, unsigned count, uint64_t *state)
{
    struct engine_io ios[TAGS_MAX];
    int64_t results[TAGS_MAX];
    uint32_t tags[TAGS_MAX];

    for (uint32_t tag = 0; tag < bench->depth; tag++) {
        uint32_t other = (uint32_t)(random_next(state) % (tag + 1));

        tags[tag] = tags[other];
        tags[other] = tag;
        results[tag] = -1;
    }
    for (unsigned index = 0; index < count; index++) {
        ios[index] = read_block(bench, tags[index], (unsigned)(random_next(state) % BLOCKS));
        memset(ios[index].buf, 0, PAGE);
    }
    submit(bench, ios, count);
    collect(bench, results, count);
    for (unsigned index = 0; index < count; index++) {
        REQUIRE_EQ(results[tags[index]], PAGE);
        pattern_check(tag_memory(bench, tags[index]), PAGE, (uint64_t)ios[index].offset, SEED);
    }
}

/* More events than the ring has places go through it, a different number each time, so that its end
 * falls anywhere in a round. */
START_TEST(events_come_round_the_ring)
{
    static const uint32_t depths[] = {1, 2, 63, 64, 65, 200};
    uint64_t state = 5;

    for (size_t line = 0; line < COUNT(depths); line++) {
        struct bench bench = bench_open(depths[line]);

        for (unsigned done = 0; done < 2000 / slowness();) {
            unsigned count = 1 + (unsigned)(random_next(&state) % depths[line]);

            read_round(&bench, count, &state);
            done += count + 20;
        }
        expect_nothing(&bench);
        bench_close(&bench);
    }
}
END_TEST

/* What is left in the ring stays for the next time. */
START_TEST(a_reap_takes_no_more_than_it_may)
{
    struct bench bench = bench_open(10);
    struct engine_event events[10];
    struct engine_io ios[10];
    uint32_t seen = 0;

    for (uint32_t tag = 0; tag < 10; tag++)
        ios[tag] = read_block(&bench, tag, tag);
    submit(&bench, ios, 10);
    for (unsigned fair = 1; fair <= 4; fair++) {
        memset(events, 0xff, sizeof(events));
        REQUIRE_EQ(reap(&bench, events, fair, fair, NULL), fair);
        REQUIRE_EQ(events[fair].tag, UINT32_MAX);
        for (unsigned index = 0; index < fair; index++) {
            REQUIRE((seen & 1U << events[index].tag) == 0);
            seen |= 1U << events[index].tag;
            REQUIRE_EQ(events[index].result, PAGE);
        }
    }
    REQUIRE_EQ(seen, 0x3ff);
    expect_nothing(&bench);
    bench_close(&bench);
}
END_TEST

/* io_submit(2) checks some things before it starts any, and says so only of the first. */
START_TEST(a_bad_one_stops_the_batch_before_it)
{
    struct bench bench = bench_open(4);

    for (unsigned bad = 0; bad < 4; bad++) {
        int64_t results[4] = {1, 1, 1, 1};
        struct engine_io ios[4];
        struct engine_io *pointers[4];

        for (uint32_t tag = 0; tag < 4; tag++) {
            ios[tag] = read_block(&bench, tag, tag);
            pointers[tag] = &ios[tag];
        }
        ios[bad].fd = 1000000;
        if (bad > 0)
            REQUIRE_EQ(bench.engine->ops->submit(bench.engine, pointers, 4), bad);
        REQUIRE_EQ(bench.engine->ops->submit(bench.engine, pointers + bad, 4 - bad), -EBADF);
        submit(&bench, ios + bad + 1, 3 - bad);
        collect(&bench, results, 3);
        expect_nothing(&bench);
        for (unsigned index = 0; index < 4; index++)
            REQUIRE_EQ(results[index], index == bad ? 1 : (int)PAGE);
    }
    bench_close(&bench);
}
END_TEST

/* --- a thread that reaps -------------------------------------------------------------------- */

struct reaper {
    pthread_t thread;
    const struct bench *bench;
    unsigned min;
    struct engine_event events[ENGINE_BATCH];
    int result;
    atomic_int number; /* of the thread, as it goes into reap; 0 before */
    atomic_bool done;
};

static void *reap_for_ever(void *argument)
{
    struct reaper *reaper = argument;

    atomic_store(&reaper->number, thread_number());
    reaper->result = reap(reaper->bench, reaper->events, reaper->min, ENGINE_BATCH, NULL);
    atomic_store(&reaper->done, true);
    return NULL;
}

static bool is_asleep(struct reaper *reaper)
{
    int number = atomic_load(&reaper->number);

    return number != 0 && thread_state(number) == 'S';
}

/* Starts one that reaps; it sleeps when this returns, and goes on sleeping by itself. */
static void reaper_begin(struct reaper *reaper, const struct bench *bench, unsigned min)
{
    memset(reaper, 0, sizeof(*reaper));
    reaper->bench = bench;
    reaper->min = min;
    thread_begin(&reaper->thread, reap_for_ever, reaper);
    EVENTUALLY(is_asleep(reaper));
    sleep_us(2000);
    REQUIRE(!atomic_load(&reaper->done));
}

static int reaper_end(struct reaper *reaper)
{
    thread_end(reaper->thread);
    return reaper->result;
}

/* Events that come one by one, before and after it went to sleep. */
START_TEST(a_reap_waits_for_all_it_wants)
{
    static const unsigned mins[] = {1, 2, 3, 31, 63, ENGINE_BATCH};

    for (size_t line = 0; line < COUNT(mins); line++) {
        struct bench bench = bench_open(TAGS_MAX);
        struct engine_io ios[TAGS_MAX];
        struct reaper reaper;
        unsigned min = mins[line];

        for (uint32_t tag = 0; tag < TAGS_MAX; tag++)
            ios[tag] = read_block(&bench, tag, tag);
        submit(&bench, ios, min / 3);
        reaper_begin(&reaper, &bench, min);
        for (unsigned index = min / 3; index < min; index++) {
            REQUIRE(!atomic_load(&reaper.done));
            submit(&bench, &ios[index], 1);
            if (index % 16 == 0)
                sleep_us(1000);
        }
        ck_assert_msg(reaper_end(&reaper) == (int)min, "of %u events, %d", min, reaper.result);
        expect_nothing(&bench);
        bench_close(&bench);
    }
}
END_TEST

/* --- wake ----------------------------------------------------------------------------------- */

static const unsigned wake_mins[] = {1, 5, 40, ENGINE_BATCH};

START_TEST(a_sleeping_reap_is_woken)
{
    struct bench bench = bench_open(TAGS_MAX);

    for (size_t line = 0; line < COUNT(wake_mins); line++) {
        for (int round = 0; round < 6; round++) {
            struct reaper reaper;

            reaper_begin(&reaper, &bench, wake_mins[line]);
            wake(&bench, wake_mins[line]);
            REQUIRE_EQ(reaper_end(&reaper), 0);
        }
    }
    bench_close(&bench);
}
END_TEST

START_TEST(a_reap_that_would_sleep_is_woken)
{
    struct bench bench = bench_open(TAGS_MAX);
    struct engine_event events[ENGINE_BATCH];

    for (size_t line = 0; line < COUNT(wake_mins); line++) {
        for (int round = 0; round < 6; round++) {
            wake(&bench, wake_mins[line]);
            REQUIRE_EQ(reap(&bench, events, wake_mins[line], ENGINE_BATCH, NULL), 0);
        }
    }
    bench_close(&bench);
}
END_TEST

/* One that sleeps, is woken, sleeps again; it says when it is about to. */
struct dozer {
    const struct bench *bench;
    unsigned rounds;
    atomic_uint entered;
};

static void *doze(void *argument)
{
    struct dozer *dozer = argument;
    struct engine_event events[ENGINE_BATCH];

    for (unsigned round = 0; round < dozer->rounds; round++) {
        unsigned min = wake_mins[round % COUNT(wake_mins)];

        atomic_store(&dozer->entered, round + 1);
        REQUIRE_EQ(reap(dozer->bench, events, min, ENGINE_BATCH, NULL), 0);
    }
    return NULL;
}

/* The wake comes at any moment of the way into sleep. */
START_TEST(no_wake_is_lost_on_the_way)
{
    struct bench bench = bench_open(TAGS_MAX);
    struct dozer dozer = {.bench = &bench, .rounds = 3000 / slowness()};
    unsigned woken = 0; /* the last round that a wake was for */
    pthread_t thread;
    uint64_t state = 3;

    thread_begin(&thread, doze, &dozer);
    /* What one wake leaves over may end the next sleep too: the dozer can be ahead, not behind. */
    while (woken < dozer.rounds) {
        unsigned entered = atomic_load(&dozer.entered);

        if (entered == woken)
            continue;
        for (unsigned spin = (unsigned)(random_next(&state) % 2000); spin > 0; spin--)
            atomic_signal_fence(memory_order_seq_cst);
        wake(&bench, wake_mins[(entered - 1) % COUNT(wake_mins)]);
        woken = entered;
    }
    thread_end(thread);
    bench_close(&bench);
}
END_TEST

START_TEST(a_wake_loses_no_event)
{
    struct bench bench = bench_open(64);

    for (int round = 0; round < 20; round++) {
        struct engine_io ios[2] = {read_block(&bench, 7, 1), read_block(&bench, 9, 2)};
        struct engine_event more[64];
        struct reaper reaper;
        uint32_t tags = 0;
        int count;

        reaper_begin(&reaper, &bench, 5);
        submit(&bench, ios, 2);
        if (round % 2 == 0)
            sleep_us(3000);
        wake(&bench, 5);
        count = reaper_end(&reaper);
        REQUIRE(count >= 0 && count <= 2);
        /* Both come in the end, once each, and nothing else does. */
        for (int index = 0; index < count; index++)
            tags += reaper.events[index].tag;
        while (count < 2) {
            int got = reap(&bench, more, 1, 64, NULL);

            for (int index = 0; index < got; index++)
                tags += more[index].tag;
            count += got;
        }
        REQUIRE(count == 2 && tags == 7 + 9);
        REQUIRE_EQ(reap(&bench, more, 0, 64, NULL), 0);
    }
    bench_close(&bench);
}
END_TEST

START_TEST(a_wake_ends_by_and_by)
{
    struct bench bench = bench_open(64);
    const struct timespec some = milliseconds(20);
    struct engine_event events[64];
    unsigned early = 0;

    wake(&bench, 40);
    wake(&bench, 5);
    for (;;) {
        int64_t begun_ns = clock_ns();

        REQUIRE_EQ(reap(&bench, events, 1, 64, &some), 0);
        if (clock_ns() - begun_ns >= 20 * INT64_C(1000000))
            break;
        early++;
    }
    REQUIRE(early >= 1 && early <= 45);
    bench_close(&bench);
}
END_TEST

/* --- signals -------------------------------------------------------------------------------- */

static void ignore_signal(int number)
{
    (void)number;
}

/* A signal may end a reap early, with what there is; it neither loses events nor makes it sleep
 * through those that follow. */
static void check_signal(const struct bench *bench, unsigned before, int flags)
{
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = flags};
    struct engine_io ios[3];
    struct engine_event more[8];
    struct reaper reaper;
    int count;

    for (uint32_t tag = 0; tag < 3; tag++)
        ios[tag] = read_block(bench, tag, tag);
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    reaper_begin(&reaper, bench, 3);
    if (before > 0)
        submit(bench, ios, before);
    sleep_us(3000);
    REQUIRE(pthread_kill(reaper.thread, SIGUSR1) == 0);
    sleep_us(3000);
    submit(bench, ios + before, 3 - before);
    count = reaper_end(&reaper);
    REQUIRE(count == -EINTR || (count >= 0 && count <= 3));
    for (int taken = count > 0 ? count : 0; taken < 3;)
        taken += reap(bench, more, 1, 8, NULL);
    expect_nothing(bench);
}

START_TEST(a_signal_is_no_hang)
{
    struct bench bench = bench_open(8);

    for (unsigned before = 0; before < 3; before++) {
        check_signal(&bench, before, 0);
        check_signal(&bench, before, SA_RESTART);
    }
    bench_close(&bench);
}
END_TEST

/* --- many threads --------------------------------------------------------------------------- */

#define SUBMITTERS 3u
#define TAGS_EACH 16u

struct crowd {
    const struct bench *bench;
    atomic_uint done[SUBMITTERS * TAGS_EACH]; /* events of each tag */
    atomic_uint sleeping_for;
    atomic_bool over;
    atomic_uint submitters_left;
};

struct submitter {
    pthread_t thread;
    struct crowd *crowd;
    unsigned number;
};

/* Reads with its own tags, again and again, and sees after each round that each had one event. */
static void *submit_often(void *argument)
{
    struct submitter *submitter = argument;
    struct crowd *crowd = submitter->crowd;
    uint64_t state = submitter->number;

    for (unsigned round = 1; round <= 600 / slowness(); round++) {
        unsigned count = 1 + (unsigned)(random_next(&state) % TAGS_EACH);
        uint32_t first = submitter->number * TAGS_EACH;
        unsigned expected[TAGS_EACH];
        struct engine_io ios[TAGS_EACH];

        for (unsigned index = 0; index < count; index++) {
            expected[index] = atomic_load(&crowd->done[first + index]) + 1;
            ios[index] =
                read_block(crowd->bench, first + index, (unsigned)(random_next(&state) % BLOCKS));
        }
        submit(crowd->bench, ios, count);
        for (unsigned index = 0; index < count; index++) {
            EVENTUALLY(atomic_load(&crowd->done[first + index]) >= expected[index]);
            pattern_check(tag_memory(crowd->bench, first + index), PAGE,
                          (uint64_t)ios[index].offset, SEED);
        }
        for (unsigned index = 0; index < count; index++)
            REQUIRE_EQ(atomic_load(&crowd->done[first + index]), expected[index]);
    }
    atomic_fetch_sub(&crowd->submitters_left, 1);
    return NULL;
}

/* The one that may reap. It wants more than may ever come, so that it needs the wakes. */
static void *reap_often(void *argument)
{
    struct crowd *crowd = argument;
    struct engine_event events[64];

    for (unsigned round = 0; !atomic_load(&crowd->over); round++) {
        unsigned min = 1 + round % (SUBMITTERS * TAGS_EACH);
        int count;

        atomic_store(&crowd->sleeping_for, min);
        count = reap(crowd->bench, events, min, 64, NULL);
        atomic_store(&crowd->sleeping_for, 0);
        for (int index = 0; index < count; index++) {
            REQUIRE_EQ(events[index].result, PAGE);
            atomic_fetch_add(&crowd->done[events[index].tag], 1);
        }
    }
    return NULL;
}

START_TEST(many_may_submit_while_one_reaps)
{
    struct bench bench = bench_open(SUBMITTERS * TAGS_EACH);
    struct crowd crowd = {.bench = &bench, .submitters_left = SUBMITTERS};
    struct submitter submitters[SUBMITTERS];
    pthread_t reaper;

    bench.wakes_fill_it = true;
    thread_begin(&reaper, reap_often, &crowd);
    for (unsigned number = 0; number < SUBMITTERS; number++) {
        submitters[number] = (struct submitter){.crowd = &crowd, .number = number};
        thread_begin(&submitters[number].thread, submit_often, &submitters[number]);
    }
    while (atomic_load(&crowd.submitters_left) > 0) {
        unsigned sleeping_for = atomic_load(&crowd.sleeping_for);

        if (sleeping_for > 0)
            wake(&bench, sleeping_for);
        sleep_us(300);
    }
    for (unsigned number = 0; number < SUBMITTERS; number++)
        thread_end(submitters[number].thread);
    atomic_store(&crowd.over, true);
    wake(&bench, SUBMITTERS * TAGS_EACH);
    thread_end(reaper);
    bench_close(&bench);
}
END_TEST

/* --- making one, and not -------------------------------------------------------------------- */

static long number_in(const char *path)
{
    FILE *file = fopen(path, "re");
    long number = -1;

    REQUIRE(file != NULL && fscanf(file, "%ld", &number) == 1);
    fclose(file);
    return number;
}

static long aio_used(void)
{
    return number_in("/proc/sys/fs/aio-nr");
}

static long aio_limit(void)
{
    return number_in("/proc/sys/fs/aio-max-nr");
}

static int create_with_log(enum aio_engine id, uint32_t depth, struct log_kept *log,
                           struct engine **engine)
{
    struct engine_config config = {.depth = depth, .log = {log_keep, log}};

    log_clear(log);
    *engine = NULL;
    return engine_create(id, &config, engine);
}

START_TEST(auto_says_what_it_took)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;

    REQUIRE_EQ(create_with_log(AIO_ENGINE_AUTO, 4, &log, &engine), 0);
    REQUIRE(engine->ops == &engine_kaio_ops);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_INFO);
    REQUIRE(log_has(&log, "auto") && log_has(&log, "kaio") && log_has(&log, "first choice"));
    engine->ops->destroy(engine);
    REQUIRE_EQ(create_with_log(AIO_ENGINE_KAIO, 4, &log, &engine), 0);
    REQUIRE_EQ(log_count(&log), 0);
    engine->ops->destroy(engine);
}
END_TEST

/* The numbers of a refusal; false where other programs have changed them meanwhile. */
static bool refusal_names(struct log_kept *log, uint32_t depth)
{
    long used_before = aio_used();
    struct engine *engine;
    char numbers[4][64];

    REQUIRE_EQ(create_with_log(AIO_ENGINE_KAIO, depth, log, &engine), -EAGAIN);
    REQUIRE(engine == NULL);
    REQUIRE(log_count(log) == 1 && log->level == AIO_LOG_ERROR);
    if (aio_used() != used_before)
        return false;
    snprintf(numbers[0], sizeof(numbers[0]), " %u requests", depth);
    snprintf(numbers[1], sizeof(numbers[1]), " uses %ld of ", used_before);
    snprintf(numbers[2], sizeof(numbers[2]), "aio-max-nr = %ld;", aio_limit());
    snprintf(numbers[3], sizeof(numbers[3]), "fs.aio-max-nr=%ld", 2 * aio_limit());
    for (size_t index = 0; index < COUNT(numbers); index++)
        ck_assert_msg(log_has(log, numbers[index]), "\"%s\" does not say \"%s\"", log->last,
                      numbers[index]);
    return true;
}

/* Takes all that the system has left, since of what there is a context takes a part. */
START_TEST(used_up_requests_are_explained)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engines[16];
    struct engine *engine;
    unsigned count = 0;
    uint32_t depth = 0;
    int error = 0;

    while (error == 0) {
        long room = aio_limit() - aio_used();

        REQUIRE(count < COUNT(engines));
        if (count == 0)
            depth = room > 3000000 ? 2000000 : (uint32_t)(room > 300 ? room / 3 * 2 : 100);
        error = create_with_log(AIO_ENGINE_KAIO, depth, &log, &engine);
        if (error == 0)
            engines[count++] = engine;
    }
    REQUIRE_EQ(error, -EAGAIN);
    EVENTUALLY(refusal_names(&log, depth));
    while (count > 0) {
        count--;
        engines[count]->ops->destroy(engines[count]);
    }
    /* All of it was given back. */
    EVENTUALLY(create_with_log(AIO_ENGINE_KAIO, depth / 2, &log, &engine) == 0);
    engine->ops->destroy(engine);
}
END_TEST

/* From now on io_setup(2) fails in this process. */
static void forbid_io_setup(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(filter), filter};

    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static const struct {
    int error;
    const char *words[3];
} refusals[] = {
    {ENOSYS, {"ENOSYS", "sandbox", "another engine"}},
    {EPERM, {"EPERM", "sandbox", "another engine"}},
    {EAGAIN, {"fs.aio-max-nr", "less depth", "share a queue"}},
    {ENOMEM, {"kaio", "memory", "5 requests"}},
};

START_TEST(a_refusal_has_its_sentence)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;
    char reason[512];
    int error = -refusals[_i].error;

    forbid_io_setup(refusals[_i].error);
    REQUIRE_EQ(create_with_log(AIO_ENGINE_KAIO, 5, &log, &engine), error);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_ERROR);
    for (size_t index = 0; index < COUNT(refusals[_i].words); index++)
        ck_assert_msg(log_has(&log, refusals[_i].words[index]), "\"%s\" does not say \"%s\"",
                      log.last, refusals[_i].words[index]);
    EXPECT(aio_engine_probe(AIO_ENGINE_KAIO, reason, sizeof(reason)), error);
    REQUIRE(strlen(reason) > 20);
    EXPECT(aio_engine_probe(AIO_ENGINE_KAIO, reason, 8), error);
    REQUIRE_EQ(strlen(reason), 7);
    EXPECT(aio_engine_probe(AIO_ENGINE_KAIO, NULL, 0), error);
}
END_TEST

START_TEST(auto_takes_the_next_one)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;
    enum aio_engine next = AIO_ENGINE_THREADS;
    char reason[512] = "x";
    char words[80];

    if (aio_engine_probe(AIO_ENGINE_URING, NULL, 0) == 0)
        next = AIO_ENGINE_URING;
    forbid_io_setup(refusals[_i].error);
    REQUIRE_EQ(create_with_log(AIO_ENGINE_AUTO, 5, &log, &engine), 0);
    REQUIRE(engine->ops->id == next);
    /* Why not the first, and what instead. */
    REQUIRE_EQ(log_count(&log), 1);
    REQUIRE_EQ(log.level, AIO_LOG_WARNING);
    snprintf(words, sizeof(words), "using %s, as kaio was refused with %s", engine->ops->name,
             strerrorname_np(refusals[_i].error));
    REQUIRE(log_has(&log, "auto") && log_has(&log, words));
    engine->ops->destroy(engine);
    EXPECT(aio_engine_probe(AIO_ENGINE_AUTO, reason, sizeof(reason)), 0);
    ck_assert_str_eq(reason, "");
    EXPECT(aio_engine_probe(AIO_ENGINE_SYNC, reason, sizeof(reason)), 0);
}
END_TEST

START_TEST(without_descriptors_there_is_a_sentence)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct rlimit before;
    struct rlimit none;
    struct engine *engine;
    int free_fd = dup(0);

    REQUIRE(free_fd >= 0 && close(free_fd) == 0);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = (struct rlimit){(rlim_t)free_fd, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    REQUIRE_EQ(create_with_log(AIO_ENGINE_KAIO, 5, &log, &engine), -EMFILE);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_ERROR && log_has(&log, "kaio"));
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE_EQ(create_with_log(AIO_ENGINE_KAIO, 5, &log, &engine), 0);
    engine->ops->destroy(engine);
}
END_TEST

START_TEST(without_memory_there_is_a_sentence)
{
    static const enum aio_engine engines[] = {AIO_ENGINE_KAIO, AIO_ENGINE_SYNC};
    struct rlimit limit = {(rlim_t)(512 * MIB), (rlim_t)(512 * MIB)};
    struct log_kept log = LOG_KEPT_INIT;
    struct engine *engine;

    /* The sanitizers reserve more than any limit, valgrind brings its own memory. */
    if (slowness() > 1)
        return;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    for (size_t index = 0; index < COUNT(engines); index++) {
        REQUIRE_EQ(create_with_log(engines[index], 1U << 30, &log, &engine), -ENOMEM);
        REQUIRE_EQ(log_count(&log), 1);
        REQUIRE_EQ(log.level, AIO_LOG_ERROR);
    }
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------ */

static void begin(void)
{
    leak_begin();
    REQUIRE_EQ(process_init(), 0);
}

static void begin_strange(void)
{
    strange_ring = true;
    begin();
}

static TCase *new_case(Suite *suite, const char *name, void (*begin_test)(void))
{
    TCase *tests_case = tcase_create(name);

    tcase_add_checked_fixture(tests_case, begin_test, leak_end);
    tcase_set_timeout(tests_case, 20);
    suite_add_tcase(suite, tests_case);
    return tests_case;
}

static void add_transfers(Suite *suite, const char *name, void (*begin_test)(void))
{
    const TTest *const tests[] = {
        events_come_round_the_ring,
        a_reap_takes_no_more_than_it_may,
        a_bad_one_stops_the_batch_before_it,
        a_reap_waits_for_all_it_wants,
        a_sleeping_reap_is_woken,
        a_reap_that_would_sleep_is_woken,
        no_wake_is_lost_on_the_way,
        a_wake_loses_no_event,
        a_wake_ends_by_and_by,
        a_signal_is_no_hang,
        many_may_submit_while_one_reaps,
    };
    TCase *tests_case = new_case(suite, name, begin_test);

    for (size_t index = 0; index < COUNT(tests); index++)
        tcase_add_test(tests_case, tests[index]);
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kaio");
    TCase *refused = new_case(suite, "refused", begin);

    add_transfers(suite, "ring in user space", begin);
    add_transfers(suite, "ring in the kernel", begin_strange);
    tcase_add_test(refused, auto_says_what_it_took);
    tcase_add_test(refused, used_up_requests_are_explained);
    tcase_add_test(refused, without_descriptors_there_is_a_sentence);
    tcase_add_test(refused, without_memory_there_is_a_sentence);
    tcase_add_loop_test(refused, a_refusal_has_its_sentence, 0, (int)COUNT(refusals));
    tcase_add_loop_test(refused, auto_takes_the_next_one, 0, (int)COUNT(refusals));
    return suite;
}

/* Skipped where the kernel has no AIO at all: asked past the library, which may be wrong. */
int main(void)
{
    io_context_t context = NULL;
    int error = __real_io_setup(1, &context);

    if (error == -ENOSYS || error == -EPERM) {
        printf("io_setup(2) is refused here: %s\n", strerror(-error));
        return 77;
    }
    if (error == 0)
        io_destroy(context);
    return run_suite(make_suite);
}
