/* SPDX-License-Identifier: MIT */
/*
 * test_idle.c - a handle that nobody uses costs nothing, whatever it was used for before.
 */
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "support.h"

/* Sanitizers have threads of their own that look round now and then. */
#define ALLOWED_NS (INT64_C(10000000) * slowness())
#define ALLOWED_SLEEPS 40 /* the reaper's tick alone would be 100; a sanitizer has a thread too */

/* Sees that every thread but this one is asleep. */
static void others_are_asleep(void)
{
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;

    REQUIRE(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        int number = atoi(entry->d_name);

        if (number > 0 && number != thread_number())
            ck_assert_msg(thread_state(number) == 'S', "thread %d is in state %c", number,
                          thread_state(number));
    }
    closedir(directory);
}

/* How often threads of the process went to sleep by themselves. */
static long process_sleeps(void)
{
    struct rusage usage;

    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_nvcsw;
}

/* A second in which nothing may happen. */
static void second_of_rest(void)
{
    int64_t before_ns;
    int64_t used_ns;
    long before_sleeps;
    long sleeps;

    sleep_us(100000);
    others_are_asleep();
    before_ns = process_cpu_ns();
    before_sleeps = process_sleeps();
    sleep_us(1000000);
    sleeps = process_sleeps() - before_sleeps;
    used_ns = process_cpu_ns() - before_ns;
    ck_assert_msg(sleeps < ALLOWED_SLEEPS, "threads fell asleep %ld times in a second of rest",
                  sleeps);
    ck_assert_msg(used_ns < ALLOWED_NS, "%lld us of CPU time in a second of rest",
                  (long long)(used_ns / 1000));
    others_are_asleep();
}

static void count(const struct aio_completion *completion)
{
    atomic_fetch_add((atomic_int *)completion->context, 1);
}

START_TEST(a_handle_at_rest_uses_no_processor)
{
    struct aio_file *file = open_direct("file");
    struct aio_queue *queue = aio_file_queue(file);
    char *bytes = pattern_alloc(16 * PAGE, 0, 1);
    atomic_int called = 0;
    struct aio_completion completions[16];

    /* Never used: not even a thread. */
    second_of_rest();
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned index = 0; index < 16; index++) {
            struct aio_op write = op_write(file, bytes, PAGE, index * PAGE);

            if (index % 2 == 0) {
                write.on_complete = count;
                write.context = &called;
            }
            submit_one(queue, &write);
        }
        EXPECT(aio_queue_reap(queue, completions, 8, 16, NULL), 8);
        EXPECT(aio_file_sync(file), 0);
        EXPECT(aio_file_truncate(file, 16 * PAGE), 0);
    }
    EXPECT(aio_queue_drain(queue, NULL), 0);
    REQUIRE_EQ(called, 160);
    second_of_rest();
    close_file(file);
    free(bytes);
}
END_TEST

START_TEST(results_that_nobody_takes_cost_nothing)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(file, page, PAGE, 0);
    aio_request_id ids[4];

    for (unsigned index = 0; index < 4; index++) {
        write.flags = index % 2 == 0 ? AIO_OP_WAITED : 0;
        ids[index] = submit_one(queue, &write);
    }
    EXPECT(aio_queue_drain(queue, NULL), 0);
    second_of_rest();
    for (unsigned index = 0; index < 4; index++)
        EXPECT(aio_queue_wait(queue, ids[index], NULL), PAGE);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

START_TEST(results_that_nobody_waited_for_are_found_and_rest)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(file, page, PAGE, 0);
    aio_request_id id = submit_one(queue, &write);

    /* The reaper thread looks in until it has it, then sleeps. */
    sleep_us(100000);
    second_of_rest();
    EXPECT(aio_queue_wait(queue, id, NULL), PAGE);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

static Suite *idle_suite(void)
{
    Suite *suite = suite_create("idle");

    ADD_TESTS(suite, "idle", a_handle_at_rest_uses_no_processor,
              results_that_nobody_takes_cost_nothing,
              results_that_nobody_waited_for_are_found_and_rest);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, idle_suite);
}
