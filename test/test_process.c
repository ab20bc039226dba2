/* SPDX-License-Identifier: MIT */
/*
 * test_process.c - recognising a forked child.
 */
#include "process.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

START_TEST(a_process_keeps_its_number)
{
    uint64_t epoch;

    REQUIRE_EQ(process_init(), 0);
    epoch = process_epoch();
    REQUIRE(epoch != 0);
    for (unsigned round = 0; round < 10; round++) {
        REQUIRE_EQ(process_init(), 0);
        REQUIRE_EQ(process_epoch(), epoch);
    }
}
END_TEST

static void *epoch_of_thread(void *argument)
{
    *(uint64_t *)argument = process_epoch();
    return NULL;
}

/* The number of this process, as each of several threads sees it. */
static uint64_t epoch_of_threads(void)
{
    uint64_t epochs[4];
    pthread_t threads[4];

    for (unsigned index = 0; index < 4; index++)
        thread_begin(&threads[index], epoch_of_thread, &epochs[index]);
    for (unsigned index = 0; index < 4; index++)
        thread_end(threads[index]);
    for (unsigned index = 1; index < 4; index++)
        REQUIRE_EQ(epochs[index], epochs[0]);
    return epochs[0];
}

/* Generations that must all have different numbers. */
static int check_generation(void *argument)
{
    uint64_t *seen = argument; /* those before, ended by 0 */
    uint64_t epoch = epoch_of_threads();
    unsigned count = 0;

    REQUIRE(epoch != 0);
    for (; seen[count] != 0; count++)
        REQUIRE(seen[count] != epoch);
    seen[count] = epoch;
    REQUIRE_EQ(process_epoch(), epoch);
    return count < 4 ? in_child(check_generation, seen) : 0;
}

START_TEST(every_generation_has_another_number)
{
    uint64_t seen[8] = {0};

    REQUIRE_EQ(process_init(), 0);
    seen[0] = process_epoch();
    REQUIRE_EQ(in_child(check_generation, seen), 0);
    REQUIRE_EQ(process_epoch(), seen[0]);
}
END_TEST

/* A child that does not ask passes on a page that says nothing. */
static int ask_late(void *argument)
{
    return in_child(check_generation, argument);
}

START_TEST(a_grandchild_of_a_silent_child_is_recognised)
{
    uint64_t seen[8] = {0};

    REQUIRE_EQ(process_init(), 0);
    seen[0] = process_epoch();
    REQUIRE_EQ(in_child(ask_late, seen), 0);
}
END_TEST

START_TEST(a_fork_past_the_c_library_is_recognised)
{
    uint64_t epoch;
    pid_t child;
    int status;

    REQUIRE_EQ(process_init(), 0);
    epoch = process_epoch();
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(process_epoch() != epoch && process_epoch() != 0 ? 0 : 1);
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE_EQ(status, 0);
}
END_TEST

static Suite *process_suite(void)
{
    Suite *suite = suite_create("process");

    ADD_TESTS(suite, "process", a_process_keeps_its_number, every_generation_has_another_number,
              a_grandchild_of_a_silent_child_is_recognised,
              a_fork_past_the_c_library_is_recognised);
    return suite;
}

int main(void)
{
    return run_suite(process_suite);
}
