/* SPDX-License-Identifier: MIT */
/* test_pace.c - when operations are due, on a clock of the test's own. */
#include "pace.h"

#include <check.h>
#include <stdlib.h>

#include "clock.h"

#define START (5 * NS_PER_S)

static const struct place reads = {.write = false, .length = 4096};
static const struct place writes = {.write = true, .length = 4096};

static struct job_options options;
static struct pace pace;

static void setup(void)
{
    job_options_init(&options);
}

static void teardown(void)
{
    job_options_free(&options);
}

static void set(const char *name, const char *value)
{
    struct message message;

    ck_assert_msg(option_set(&options, name, value, &message) == 0, "%s", message.text);
}

START_TEST(plain_jobs_are_not_paced)
{
    ck_assert(!pace_is_wanted(&options));
    set("rate_iops", "10");
    ck_assert(pace_is_wanted(&options));
}
END_TEST

/* Whenever an operation is issued, the next is due by the schedule and not by that moment. */
START_TEST(a_rate_is_a_schedule)
{
    set(_i ? "rate" : "rate_iops", _i ? "400k" : "100");
    pace_start(&pace, &options, 1, START);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t due_ns = START + i * NS_PER_S / 100;

        ck_assert_uint_le(pace_due(&pace, &reads, 0, START) - due_ns + 10, 20);
        ck_assert_uint_le(pace_issue(&pace, &reads) - due_ns + 10, 20);
    }
}
END_TEST

START_TEST(directions_have_their_own_rates)
{
    set("rate_iops", "100,10");
    pace_start(&pace, &options, 1, START);
    for (unsigned i = 0; i < 10; i++) {
        pace_issue(&pace, &reads);
        pace_issue(&pace, &writes);
    }
    ck_assert_uint_eq(pace_due(&pace, &reads, 0, START), START + NS_PER_S / 10);
    ck_assert_uint_eq(pace_due(&pace, &writes, 0, START), START + NS_PER_S);
}
END_TEST

START_TEST(poisson_has_the_same_rate_and_uneven_gaps)
{
    double short_gaps = 0;
    uint64_t last_ns = START;

    set("rate_iops", "1000");
    set("rate_process", "poisson");
    pace_start(&pace, &options, 1, START);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t now_ns = pace_issue(&pace, &reads);

        /* A gap is shorter than half the mean with probability 1 - exp(-1/2). */
        short_gaps += now_ns - last_ns < NS_PER_MS / 2;
        last_ns = now_ns;
    }
    ck_assert_uint_gt(last_ns - START, 98 * NS_PER_S);
    ck_assert_uint_lt(last_ns - START, 102 * NS_PER_S);
    ck_assert_double_gt(short_gaps, 38000);
    ck_assert_double_lt(short_gaps, 40700);
}
END_TEST

START_TEST(thinking_waits_for_what_is_in_flight)
{
    set("thinktime", "10ms");
    set("thinktime_blocks", "3");
    set("thinktime_blocks_type", _i ? "issue" : "complete");
    pace_start(&pace, &options, 1, START);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_le(pace_due(&pace, &reads, i, START), START);
        ck_assert_uint_eq(pace_issue(&pace, &reads), 0);
    }
    if (_i == 0)
        ck_assert_uint_eq(pace_due(&pace, &reads, 1, START), PACER_DRAIN);
    ck_assert_uint_eq(pace_due(&pace, &reads, _i ? 3 : 0, START + 5), START + 5 + 10 * NS_PER_MS);
    ck_assert_uint_eq(pace_due(&pace, &reads, 0, START + 9), START + 5 + 10 * NS_PER_MS);
}
END_TEST

START_TEST(a_slow_job_is_noticed)
{
    struct message message;

    set("rate_iops_min", "100");
    set("rate_cycle", "500ms");
    pace_start(&pace, &options, 1, START);
    /* Not in the first two seconds. */
    ck_assert(pace_keeps_up(&pace, START + 2 * NS_PER_S - 1, &message));
    for (unsigned i = 0; i < 250; i++)
        pace_complete(&pace, 0, 4096);
    ck_assert(pace_keeps_up(&pace, START + 2 * NS_PER_S, &message));
    /* Each cycle by itself. */
    ck_assert(pace_keeps_up(&pace, START + 2 * NS_PER_S + 499 * NS_PER_MS, &message));
    for (unsigned i = 0; i < 49; i++)
        pace_complete(&pace, 0, 4096);
    ck_assert(!pace_keeps_up(&pace, START + 2 * NS_PER_S + 500 * NS_PER_MS, &message));
    ck_assert_str_eq(message.text, "98 a second are below rate_iops_min=100");
}
END_TEST

START_TEST(a_start_delay_can_be_a_range)
{
    bool differs = false;

    ck_assert_uint_eq(pace_start_delay_us(&options, 1), 0);
    set("startdelay", "2");
    ck_assert_uint_eq(pace_start_delay_us(&options, 1), 2000000);
    set("startdelay", "100ms-1s");
    for (uint64_t seed = 0; seed < 100; seed++) {
        uint64_t delay_us = pace_start_delay_us(&options, seed);

        ck_assert_uint_ge(delay_us, 100000);
        ck_assert_uint_le(delay_us, 1000000);
        differs = differs || delay_us != pace_start_delay_us(&options, 0);
    }
    ck_assert(differs);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pace");
    TCase *tests = tcase_create("pace");
    SRunner *runner;
    int failures;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, plain_jobs_are_not_paced);
    tcase_add_loop_test(tests, a_rate_is_a_schedule, 0, 2);
    tcase_add_test(tests, directions_have_their_own_rates);
    tcase_add_test(tests, poisson_has_the_same_rate_and_uneven_gaps);
    tcase_add_loop_test(tests, thinking_waits_for_what_is_in_flight, 0, 2);
    tcase_add_test(tests, a_slow_job_is_noticed);
    tcase_add_test(tests, a_start_delay_can_be_a_range);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
