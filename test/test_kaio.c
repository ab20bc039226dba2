/* SPDX-License-Identifier: MIT */
/*
 * test_kaio.c - kernel AIO: its completion ring and what happens at its edges, its wakes, and the
 * sentences with which it refuses. What every engine does is test_engine.c.
 *
 * Each test of transfers runs twice: with the ring read in user space, and as it is where the
 * ring's layout is not known. For that the linker puts the test between the library and io_setup(3)
 * (ld --wrap).
 */
#include "engine_bench.h"

#include <libaio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "process.h"
#include "refuse.h"
#include "support.h"

/* A depth for what needs room. */
#define MANY 256u

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

static struct bench bench_open(uint32_t depth)
{
    struct engine_config config = {.depth = depth, .sqpoll_cpu = -1};
    struct engine *engine;
    struct bench bench;

    REQUIRE_EQ(engine_create(AIO_ENGINE_KAIO, &config, &engine), 0);
    bench = bench_around(engine);
    REQUIRE_EQ(bench.depth, depth);
    /* The kernel keeps part of a context's room for each processor, so that it may be out of room
     * on one of them though the context is not full. */
    bench.may_be_full = true;
    return bench;
}

/* --- the ring ------------------------------------------------------------------------------- */

START_TEST(events_come_round_the_ring)
{
    static const uint32_t depths[] = {1, 2, 63, 64, 65, 200};
    uint64_t state = 5;

    for (size_t line = 0; line < COUNT(depths); line++) {
        struct bench bench = bench_open(depths[line]);

        check_events_come_round(&bench, &state);
        bench_close(&bench);
    }
}
END_TEST

START_TEST(a_reap_takes_no_more_than_it_may)
{
    struct bench bench = bench_open(10);

    check_reap_takes_no_more(&bench);
    bench_close(&bench);
}
END_TEST

/* io_submit(2) checks some things before it starts any, and says so only of the first. */
START_TEST(a_bad_one_stops_the_batch_before_it)
{
    struct bench bench = bench_open(4);

    for (unsigned bad = 0; bad < 4; bad++) {
        struct engine_io ios[4];

        bench_read_first(&bench, ios, 4);
        ios[bad].fd = 1000000;
        check_bad_one_stops(&bench, ios, bad, -EBADF);
    }
    bench_close(&bench);
}
END_TEST

START_TEST(a_reap_waits_for_all_it_wants)
{
    static const unsigned mins[] = {1, 2, 3, 31, 63, ENGINE_BATCH};

    for (size_t line = 0; line < COUNT(mins); line++) {
        struct bench bench = bench_open(MANY);

        check_reap_waits_for(&bench, mins[line]);
        bench_close(&bench);
    }
}
END_TEST

/* --- wake ----------------------------------------------------------------------------------- */

START_TEST(a_sleeping_reap_is_woken)
{
    struct bench bench = bench_open(MANY);

    for (size_t line = 0; line < WAKE_MINS; line++) {
        for (int round = 0; round < 6; round++) {
            struct bench_reaper reaper;

            bench_reaper_begin(&reaper, &bench, wake_mins[line]);
            bench_wake(&bench, wake_mins[line]);
            REQUIRE_EQ(bench_reaper_end(&reaper), 0);
        }
    }
    bench_close(&bench);
}
END_TEST

START_TEST(a_reap_that_would_sleep_is_woken)
{
    struct bench bench = bench_open(MANY);

    check_reap_is_woken_early(&bench);
    bench_close(&bench);
}
END_TEST

START_TEST(no_wake_is_lost_on_the_way)
{
    struct bench bench = bench_open(MANY);

    check_no_wake_is_lost(&bench);
    bench_close(&bench);
}
END_TEST

START_TEST(a_wake_loses_no_event)
{
    struct bench bench = bench_open(64);

    for (int round = 0; round < 20; round++) {
        struct engine_io ios[2] = {bench_read(&bench, 7, 1), bench_read(&bench, 9, 2)};
        struct engine_event more[64];
        struct bench_reaper reaper;
        uint32_t tags = 0;
        int count;

        bench_reaper_begin(&reaper, &bench, 5);
        bench_submit(&bench, ios, 2);
        if (round % 2 == 0)
            sleep_us(3000);
        bench_wake(&bench, 5);
        count = bench_reaper_end(&reaper);
        REQUIRE(count >= 0 && count <= 2);
        /* Both come in the end, once each, and nothing else does. */
        for (int index = 0; index < count; index++)
            tags += reaper.events[index].tag;
        while (count < 2) {
            int got = bench_reap(&bench, more, 1, 64, NULL);

            for (int index = 0; index < got; index++)
                tags += more[index].tag;
            count += got;
        }
        REQUIRE(count == 2 && tags == 7 + 9);
        REQUIRE_EQ(bench_reap(&bench, more, 0, 64, NULL), 0);
    }
    bench_close(&bench);
}
END_TEST

START_TEST(a_wake_ends_by_and_by)
{
    struct bench bench = bench_open(64);
    unsigned early;

    bench_wake(&bench, 40);
    bench_wake(&bench, 5);
    early = bench_settle(&bench);
    REQUIRE(early >= 1 && early <= 45);
    bench_close(&bench);
}
END_TEST

/* --- signals -------------------------------------------------------------------------------- */

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

START_TEST(many_may_submit_while_one_reaps)
{
    struct bench bench = bench_open(CROWD_TAGS);

    check_crowd(&bench);
    bench_close(&bench);
}
END_TEST

/* --- making one, and not -------------------------------------------------------------------- */

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

/* From now on io_setup(2) fails in this process. */
static void forbid_io_setup(int error)
{
    static const int calls[] = {SYS_io_setup};

    REQUIRE_EQ(refuse_calls(calls, COUNT(calls), error), 0);
}

static const struct {
    int error;
    const char *words[REFUSAL_WORDS];
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
    expect_refusal(&log, refusals[_i].words);
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
    struct rlimit before = leave_descriptors(0);
    struct engine *engine;

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
