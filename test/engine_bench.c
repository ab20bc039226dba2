/* SPDX-License-Identifier: MIT */
/*
 * engine_bench.c - an engine with a file and memory around it, and checks of more than one engine.
 *
 * Whatever an engine may do in any call is seen to in the call itself: the tests say only what is
 * particular.
 */
#include "engine_bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- an engine and a file ------------------------------------------------------------------- */

struct bench bench_around(struct engine *engine)
{
    struct bench bench = {.engine = engine, .depth = engine->depth};

    make_file(BENCH_FILE, BENCH_BLOCKS * PAGE, BENCH_SEED);
    bench.fd = open(scratch_path(BENCH_FILE), O_RDWR | O_DIRECT | O_CLOEXEC);
    REQUIRE(bench.fd >= 0);
    bench.memory = page_alloc((uint64_t)bench.depth * PAGE);
    return bench;
}

void bench_close(struct bench *bench)
{
    errno = ERRNO_MARK;
    bench->engine->ops->destroy(bench->engine);
    REQUIRE_EQ(errno, ERRNO_MARK);
    free(bench->memory);
    close(bench->fd);
    unlink(scratch_path(BENCH_FILE));
}

unsigned char *bench_memory(const struct bench *bench, uint32_t tag)
{
    return bench->memory + (size_t)tag * PAGE;
}

struct engine_io bench_io(const struct bench *bench, uint8_t opcode, uint32_t tag, unsigned block)
{
    return (struct engine_io){.opcode = opcode,
                              .fd = bench->fd,
                              .tag = tag,
                              .buf = bench_memory(bench, tag),
                              .len = PAGE,
                              .offset = (int64_t)block * PAGE};
}

struct engine_io bench_read(const struct bench *bench, uint32_t tag, unsigned block)
{
    return bench_io(bench, AIO_OP_READ, tag, block);
}

void bench_read_first(const struct bench *bench, struct engine_io *ios, uint32_t count)
{
    for (uint32_t tag = 0; tag < count; tag++)
        ios[tag] = bench_read(bench, tag, tag % BENCH_BLOCKS);
}

/* --- its calls ------------------------------------------------------------------------------ */

void bench_submit(const struct bench *bench, struct engine_io *ios, unsigned count)
{
    struct engine_io *pointers[BENCH_TAGS];
    unsigned refusals = 0;
    unsigned started = 0;

    REQUIRE(count <= BENCH_TAGS);
    for (unsigned index = 0; index < count; index++)
        pointers[index] = &ios[index];
    while (started < count) {
        int64_t result =
            CALL(bench->engine->ops->submit(bench->engine, pointers + started, count - started));

        /* As the queue does. */
        if (result == -EAGAIN && bench->may_be_full && refusals++ < 10000) {
            sleep_us(100);
            continue;
        }
        REQUIRE(result >= 1 && result <= count - started);
        started += (unsigned)result;
    }
}

int bench_reap(const struct bench *bench, struct engine_event *events, unsigned min, unsigned max,
               const struct timespec *timeout)
{
    int64_t count = CALL(bench->engine->ops->reap(bench->engine, events, min, max, timeout));

    REQUIRE(count == -EINTR || (count >= 0 && count <= max));
    for (int64_t index = 0; index < count; index++)
        REQUIRE(events[index].tag < bench->depth);
    return (int)count;
}

void bench_collect_by(const struct bench *bench, int64_t *results, unsigned count, unsigned min)
{
    bool seen[BENCH_TAGS] = {false};
    struct engine_event events[ENGINE_BATCH];
    int64_t give_up_ns = clock_ns() + LONG_MS * INT64_C(1000000);

    REQUIRE(bench->depth <= BENCH_TAGS);
    for (unsigned taken = 0; taken < count;) {
        unsigned left = count - taken;
        int got = bench_reap(bench, events, min < left ? min : left, COUNT(events), NULL);

        REQUIRE(got >= 0);
        REQUIRE(clock_ns() < give_up_ns);
        for (int index = 0; index < got; index++) {
            REQUIRE(!seen[events[index].tag]);
            seen[events[index].tag] = true;
            results[events[index].tag] = events[index].result;
        }
        taken += (unsigned)got;
        REQUIRE(taken <= count);
    }
}

void bench_collect(const struct bench *bench, int64_t *results, unsigned count)
{
    bench_collect_by(bench, results, count, 1);
}

int64_t bench_transfer(const struct bench *bench, struct engine_io *io)
{
    int64_t results[BENCH_TAGS];

    bench_submit(bench, io, 1);
    bench_collect(bench, results, 1);
    return results[io->tag];
}

/* Whether a reap that wants min in 20 ms, and gets what is expected, took all of them. */
static bool sleeps_all_its_time(const struct bench *bench, unsigned min, unsigned expected)
{
    const struct timespec short_time = milliseconds(20);
    struct engine_event events[ENGINE_BATCH];
    int64_t start_ns = clock_ns();

    REQUIRE_EQ(bench_reap(bench, events, min, COUNT(events), &short_time), expected);
    return clock_ns() - start_ns >= 20000000;
}

void bench_reap_in_vain(const struct bench *bench, unsigned min, unsigned expected)
{
    REQUIRE(sleeps_all_its_time(bench, min, expected));
}

void bench_expect_nothing(const struct bench *bench)
{
    const struct timespec soon = milliseconds(5);
    struct engine_event event;

    REQUIRE_EQ(bench_reap(bench, &event, 0, 1, NULL), 0);
    REQUIRE_EQ(bench_reap(bench, &event, 1, 1, &soon), 0);
}

unsigned bench_settle(const struct bench *bench)
{
    unsigned early = 0;

    while (!sleeps_all_its_time(bench, 1, 0))
        early++;
    return early;
}

void bench_wake(const struct bench *bench, unsigned sleeping_for)
{
    int64_t result;

    do {
        result = CALL(bench->engine->ops->wake(bench->engine, sleeping_for));
        REQUIRE(result == 0 || result == -EAGAIN);
    } while (result != 0);
}

int64_t bench_cancel(const struct bench *bench, uint32_t tag)
{
    return CALL(bench->engine->ops->cancel(bench->engine, tag));
}

/* --- a thread that reaps -------------------------------------------------------------------- */

static void *reap_for_ever(void *argument)
{
    struct bench_reaper *reaper = argument;

    atomic_store(&reaper->number, thread_number());
    reaper->result = bench_reap(reaper->bench, reaper->events, reaper->min, ENGINE_BATCH, NULL);
    atomic_store(&reaper->done, true);
    return NULL;
}

static bool is_asleep(struct bench_reaper *reaper)
{
    int number = atomic_load(&reaper->number);

    return number != 0 && thread_state(number) == 'S';
}

void bench_reaper_begin(struct bench_reaper *reaper, const struct bench *bench, unsigned min)
{
    memset(reaper, 0, sizeof(*reaper));
    reaper->bench = bench;
    reaper->min = min;
    thread_begin(&reaper->thread, reap_for_ever, reaper);
    EVENTUALLY(is_asleep(reaper));
    sleep_us(2000);
    REQUIRE(!atomic_load(&reaper->done));
}

int bench_reaper_end(struct bench_reaper *reaper)
{
    thread_end(reaper->thread);
    return reaper->result;
}

/* --- rings ---------------------------------------------------------------------------------- */

/* Reads random blocks with some of the tags, in random order. */
static void read_round(const struct bench *bench, unsigned count, uint64_t *state)
{
    struct engine_io ios[BENCH_TAGS];
    int64_t results[BENCH_TAGS];
    uint32_t tags[BENCH_TAGS] = {0};

    for (uint32_t tag = 0; tag < bench->depth; tag++) {
        uint32_t other = (uint32_t)(random_next(state) % (tag + 1));

        tags[tag] = tags[other];
        tags[other] = tag;
        results[tag] = -1;
    }
    for (unsigned index = 0; index < count; index++) {
        ios[index] = bench_read(bench, tags[index], (unsigned)(random_next(state) % BENCH_BLOCKS));
        memset(ios[index].buf, 0, PAGE);
    }
    bench_submit(bench, ios, count);
    bench_collect_by(bench, results, count, (unsigned)(random_next(state) % (ENGINE_BATCH + 1)));
    for (unsigned index = 0; index < count; index++) {
        REQUIRE_EQ(results[tags[index]], PAGE);
        pattern_check(ios[index].buf, PAGE, (uint64_t)ios[index].offset, BENCH_SEED);
    }
}

void check_events_come_round(const struct bench *bench, uint64_t *state)
{
    for (unsigned done = 0; done < 2000 / slowness();) {
        unsigned count = 1 + (unsigned)(random_next(state) % bench->depth);

        read_round(bench, count, state);
        done += count + 20;
    }
    bench_expect_nothing(bench);
}

void check_reap_takes_no_more(const struct bench *bench)
{
    struct engine_event events[10];
    struct engine_io ios[10];
    uint32_t seen = 0;

    bench_read_first(bench, ios, 10);
    bench_submit(bench, ios, 10);
    for (unsigned fair = 1; fair <= 4; fair++) {
        memset(events, 0xff, sizeof(events));
        REQUIRE_EQ(bench_reap(bench, events, fair, fair, NULL), fair);
        REQUIRE_EQ(events[fair].tag, UINT32_MAX);
        for (unsigned index = 0; index < fair; index++) {
            REQUIRE((seen & 1U << events[index].tag) == 0);
            seen |= 1U << events[index].tag;
            REQUIRE_EQ(events[index].result, PAGE);
        }
    }
    REQUIRE_EQ(seen, 0x3ff);
    bench_expect_nothing(bench);
}

void check_bad_one_stops(const struct bench *bench, struct engine_io ios[4], unsigned bad,
                         int error)
{
    const struct engine_ops *ops = bench->engine->ops;
    int64_t results[4] = {1, 1, 1, 1};
    struct engine_io *pointers[4];

    for (unsigned index = 0; index < 4; index++)
        pointers[index] = &ios[index];
    if (bad > 0)
        EXPECT(ops->submit(bench->engine, pointers, 4), bad);
    EXPECT(ops->submit(bench->engine, pointers + bad, 4 - bad), error);
    bench_submit(bench, ios + bad + 1, 3 - bad);
    bench_collect(bench, results, 3);
    bench_expect_nothing(bench);
    for (unsigned index = 0; index < 4; index++)
        REQUIRE_EQ(results[index], index == bad ? 1 : (int)PAGE);
}

void check_reap_waits_for(const struct bench *bench, unsigned min)
{
    struct engine_io ios[ENGINE_BATCH];
    struct bench_reaper reaper;

    bench_read_first(bench, ios, ENGINE_BATCH);
    bench_submit(bench, ios, min / 3);
    bench_reaper_begin(&reaper, bench, min);
    for (unsigned index = min / 3; index < min; index++) {
        REQUIRE(!atomic_load(&reaper.done));
        bench_submit(bench, &ios[index], 1);
        if (index % 16 == 0)
            sleep_us(1000);
    }
    ck_assert_msg(bench_reaper_end(&reaper) == (int)min, "of %u events, %d", min, reaper.result);
    bench_expect_nothing(bench);
}

/* --- wake ----------------------------------------------------------------------------------- */

const unsigned wake_mins[WAKE_MINS] = {1, 5, 40, ENGINE_BATCH};

void check_reap_is_woken_early(const struct bench *bench)
{
    struct engine_event events[ENGINE_BATCH];

    for (size_t line = 0; line < WAKE_MINS; line++) {
        for (int round = 0; round < 6; round++) {
            bench_wake(bench, wake_mins[line]);
            REQUIRE_EQ(bench_reap(bench, events, wake_mins[line], ENGINE_BATCH, NULL), 0);
        }
    }
}

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
        unsigned min = wake_mins[round % WAKE_MINS];

        atomic_store(&dozer->entered, round + 1);
        REQUIRE_EQ(bench_reap(dozer->bench, events, min, ENGINE_BATCH, NULL), 0);
    }
    return NULL;
}

void check_no_wake_is_lost(const struct bench *bench)
{
    struct dozer dozer = {.bench = bench, .rounds = 3000 / slowness()};
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
        bench_wake(bench, wake_mins[(entered - 1) % WAKE_MINS]);
        woken = entered;
    }
    thread_end(thread);
}

/* --- signals -------------------------------------------------------------------------------- */

static void ignore_signal(int number)
{
    (void)number;
}

int check_signal(const struct bench *bench, unsigned before, int flags)
{
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = flags};
    struct engine_io ios[3];
    struct engine_event more[8];
    struct bench_reaper reaper;
    int count;

    bench_read_first(bench, ios, 3);
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    bench_reaper_begin(&reaper, bench, 3);
    bench_submit(bench, ios, before);
    sleep_us(3000);
    REQUIRE(pthread_kill(reaper.thread, SIGUSR1) == 0);
    sleep_us(3000);
    bench_submit(bench, ios + before, 3 - before);
    count = bench_reaper_end(&reaper);
    REQUIRE(count == -EINTR || (count >= 0 && count <= 3));
    for (int taken = count > 0 ? count : 0; taken < 3;)
        taken += bench_reap(bench, more, 1, 8, NULL);
    bench_expect_nothing(bench);
    return count;
}

/* --- a crowd -------------------------------------------------------------------------------- */

struct crowd {
    const struct bench *bench;
    atomic_uint done[CROWD_TAGS]; /* events of each tag */
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
        unsigned count = 1 + (unsigned)(random_next(&state) % CROWD_TAGS_EACH);
        uint32_t first = submitter->number * CROWD_TAGS_EACH;
        unsigned expected[CROWD_TAGS_EACH];
        struct engine_io ios[CROWD_TAGS_EACH];

        for (unsigned index = 0; index < count; index++) {
            expected[index] = atomic_load(&crowd->done[first + index]) + 1;
            ios[index] = bench_read(crowd->bench, first + index,
                                    (unsigned)(random_next(&state) % BENCH_BLOCKS));
        }
        bench_submit(crowd->bench, ios, count);
        for (unsigned index = 0; index < count; index++) {
            EVENTUALLY(atomic_load(&crowd->done[first + index]) >= expected[index]);
            pattern_check(ios[index].buf, PAGE, (uint64_t)ios[index].offset, BENCH_SEED);
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
    struct engine_event events[ENGINE_BATCH];

    for (unsigned round = 0; !atomic_load(&crowd->over); round++) {
        unsigned min = 1 + round % CROWD_TAGS;
        int count;

        atomic_store(&crowd->sleeping_for, min);
        count = bench_reap(crowd->bench, events, min, ENGINE_BATCH, NULL);
        atomic_store(&crowd->sleeping_for, 0);
        for (int index = 0; index < count; index++) {
            REQUIRE_EQ(events[index].result, PAGE);
            atomic_fetch_add(&crowd->done[events[index].tag], 1);
        }
    }
    return NULL;
}

void check_crowd(const struct bench *bench)
{
    const struct engine_ops *ops = bench->engine->ops;
    struct crowd crowd = {.bench = bench, .submitters_left = CROWD_SUBMITTERS};
    struct submitter submitters[CROWD_SUBMITTERS];
    pthread_t reaper;
    int other = open(scratch_path(BENCH_FILE), O_RDONLY | O_CLOEXEC);

    REQUIRE(other >= 0);
    thread_begin(&reaper, reap_often, &crowd);
    for (unsigned number = 0; number < CROWD_SUBMITTERS; number++) {
        submitters[number] = (struct submitter){.crowd = &crowd, .number = number};
        thread_begin(&submitters[number].thread, submit_often, &submitters[number]);
    }
    EXPECT(ops->know_file(bench->engine, bench->fd), 0);
    while (atomic_load(&crowd.submitters_left) > 0) {
        unsigned sleeping_for = atomic_load(&crowd.sleeping_for);

        if (sleeping_for > 0)
            bench_wake(bench, sleeping_for);
        EXPECT(ops->know_file(bench->engine, other), 0);
        ops->forget_file(bench->engine, other);
        sleep_us(300);
    }
    for (unsigned number = 0; number < CROWD_SUBMITTERS; number++)
        thread_end(submitters[number].thread);
    atomic_store(&crowd.over, true);
    bench_wake(bench, CROWD_TAGS);
    thread_end(reaper);
    close(other);
}

/* --- refusals ------------------------------------------------------------------------------- */

void expect_refusal(struct log_kept *log, const char *const words[REFUSAL_WORDS])
{
    REQUIRE(log_count(log) == 1 && log->level == AIO_LOG_ERROR);
    for (size_t index = 0; index < REFUSAL_WORDS; index++)
        ck_assert_msg(log_has(log, words[index]), "\"%s\" does not say \"%s\"", log->last,
                      words[index]);
}

/* --- limits --------------------------------------------------------------------------------- */

struct rlimit leave_descriptors(unsigned count)
{
    struct rlimit before;
    struct rlimit little;
    int free_fd = dup(0);

    REQUIRE(free_fd >= 0 && close(free_fd) == 0);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    little = (struct rlimit){(rlim_t)free_fd + count, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &little) == 0);
    return before;
}
