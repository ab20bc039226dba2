/* SPDX-License-Identifier: MIT */
/*
 * test_pace.c - whether submits of a file block: from free to suspect to blocked and back.
 */
#include "pace.h"
#include "support.h"

#define LIMIT 1000

/* Submits by how they went. */
static void fast(struct pace *pace, unsigned count)
{
    for (unsigned index = 0; index < count; index++)
        pace_note(pace, LIMIT, index % 2 != 0);
}

static void preempted(struct pace *pace, unsigned count)
{
    for (unsigned index = 0; index < count; index++)
        pace_note(pace, LIMIT + 1, false);
}

static void asleep(struct pace *pace, unsigned count)
{
    for (unsigned index = 0; index < count; index++)
        pace_note(pace, LIMIT + 1, true);
}

/* Where a pace is to stand. */
static void check_state(struct pace *pace, enum pace_state state)
{
    REQUIRE_EQ(pace_look(pace), state);
}

/* Makes a blocked one. */
static void block(struct pace *pace)
{
    pace_init(pace, LIMIT);
    asleep(pace, 3);
    check_state(pace, PACE_BLOCKED);
}

/* As if the time had gone by. */
static void end_pause(struct pace *pace)
{
    pace->until_ns = thread_now_ns() - 1;
}

START_TEST(fast_submits_change_nothing)
{
    struct pace pace;

    pace_init(&pace, LIMIT);
    check_state(&pace, PACE_FREE);
    fast(&pace, 10 * PACE_WINDOW);
    pace_note(&pace, 0, true);
    pace_note(&pace, -5, true);
    check_state(&pace, PACE_FREE);
    pace_destroy(&pace);
}
END_TEST

START_TEST(the_first_slow_one_makes_a_suspect)
{
    struct pace pace;

    for (unsigned slept = 0; slept < 2; slept++) {
        pace_init(&pace, LIMIT);
        pace_note(&pace, LIMIT, true);
        check_state(&pace, PACE_FREE);
        pace_note(&pace, LIMIT + 1, slept != 0);
        check_state(&pace, PACE_SUSPECT);
        /* What made it one is not held against it. */
        asleep(&pace, 1);
        check_state(&pace, PACE_SUSPECT);
        asleep(&pace, 1);
        check_state(&pace, PACE_BLOCKED);
        pace_destroy(&pace);
    }
}
END_TEST

START_TEST(one_in_a_window_is_no_proof)
{
    struct pace pace;

    pace_init(&pace, LIMIT);
    for (unsigned round = 0; round < 5; round++) {
        asleep(&pace, 1);
        for (unsigned number = 1; number <= PACE_WINDOW; number++) {
            check_state(&pace, PACE_SUSPECT);
            if (number == round * 31 + 1)
                asleep(&pace, 1);
            else
                fast(&pace, 1);
        }
        check_state(&pace, PACE_FREE);
    }
    pace_destroy(&pace);
}
END_TEST

/* Wherever in the window. */
START_TEST(two_in_a_window_are)
{
    for (unsigned first = 0; first < PACE_WINDOW; first += 9)
        for (unsigned second = first + 1; second < PACE_WINDOW; second += 7) {
            struct pace pace;

            pace_init(&pace, LIMIT);
            preempted(&pace, 1);
            fast(&pace, first);
            asleep(&pace, 1);
            fast(&pace, second - first - 1);
            check_state(&pace, PACE_SUSPECT);
            asleep(&pace, 1);
            check_state(&pace, PACE_BLOCKED);
            pace_destroy(&pace);
        }
}
END_TEST

/* The last place of a window counts, the next one is outside of it. */
START_TEST(a_window_has_its_end)
{
    for (unsigned late = 0; late < 2; late++) {
        struct pace pace;

        pace_init(&pace, LIMIT);
        asleep(&pace, 2);
        fast(&pace, PACE_WINDOW - 2 + late);
        check_state(&pace, late ? PACE_FREE : PACE_SUSPECT);
        asleep(&pace, 1);
        check_state(&pace, late ? PACE_SUSPECT : PACE_BLOCKED);
        pace_destroy(&pace);
    }
}
END_TEST

START_TEST(preempted_submits_never_block)
{
    struct pace pace;

    pace_init(&pace, LIMIT);
    for (unsigned round = 0; round < 10 * PACE_WINDOW; round++) {
        preempted(&pace, 1);
        REQUIRE(pace_look(&pace) != PACE_BLOCKED);
    }
    pace_destroy(&pace);
    /* Nor after a pause. */
    block(&pace);
    end_pause(&pace);
    check_state(&pace, PACE_SUSPECT);
    preempted(&pace, PACE_WINDOW - 1);
    check_state(&pace, PACE_SUSPECT);
    preempted(&pace, 1);
    check_state(&pace, PACE_FREE);
    pace_destroy(&pace);
}
END_TEST

START_TEST(a_pause_lasts_a_second)
{
    int64_t before_ns = thread_now_ns();
    struct pace pace;

    REQUIRE_EQ(PACE_PAUSE_NS, 1000000000);
    block(&pace);
    REQUIRE(pace.until_ns >= before_ns + PACE_PAUSE_NS);
    REQUIRE(pace.until_ns <= thread_now_ns() + PACE_PAUSE_NS);
    /* Those that were on their way are nothing new: neither longer nor shorter. */
    before_ns = pace.until_ns;
    asleep(&pace, 10 * PACE_WINDOW);
    fast(&pace, 10 * PACE_WINDOW);
    preempted(&pace, 10 * PACE_WINDOW);
    check_state(&pace, PACE_BLOCKED);
    REQUIRE_EQ(pace.until_ns, before_ns);
    /* Only looking ends it. */
    pace.until_ns = thread_now_ns() + 50000000;
    check_state(&pace, PACE_BLOCKED);
    EVENTUALLY(pace_look(&pace) == PACE_SUSPECT);
    REQUIRE(thread_now_ns() >= pace.until_ns);
    pace_destroy(&pace);
}
END_TEST

START_TEST(after_a_pause_one_is_enough)
{
    struct pace pace;

    block(&pace);
    for (unsigned round = 0; round < 3; round++) {
        end_pause(&pace);
        check_state(&pace, PACE_SUSPECT);
        fast(&pace, round * 50);
        check_state(&pace, PACE_SUSPECT);
        asleep(&pace, 1);
        check_state(&pace, PACE_BLOCKED);
        REQUIRE(pace.until_ns > thread_now_ns());
    }
    pace_destroy(&pace);
}
END_TEST

START_TEST(after_a_good_window_it_is_free_again)
{
    struct pace pace;

    block(&pace);
    end_pause(&pace);
    check_state(&pace, PACE_SUSPECT);
    fast(&pace, PACE_WINDOW - 1);
    check_state(&pace, PACE_SUSPECT);
    fast(&pace, 1);
    check_state(&pace, PACE_FREE);
    /* It starts anew. */
    asleep(&pace, 2);
    check_state(&pace, PACE_SUSPECT);
    asleep(&pace, 1);
    check_state(&pace, PACE_BLOCKED);
    pace_destroy(&pace);
}
END_TEST

/* --- limits --------------------------------------------------------------------------------- */

START_TEST(a_submit_may_take_as_long_as_the_limit)
{
    static const struct {
        uint64_t limit;
        int64_t longest;
    } limits[] = {{0, 1000000},
                  {1, 1},
                  {1000001, 1000001},
                  {UINT64_C(3600000000000), INT64_C(3600000000000)},
                  {INT64_MAX - 1, INT64_MAX - 1}};

    for (size_t index = 0; index < COUNT(limits); index++) {
        struct pace pace;

        pace_init(&pace, limits[index].limit);
        for (unsigned round = 0; round < 10; round++)
            pace_note(&pace, limits[index].longest, true);
        check_state(&pace, PACE_FREE);
        for (unsigned round = 0; round < 3; round++)
            pace_note(&pace, limits[index].longest + 1, true);
        check_state(&pace, PACE_BLOCKED);
        pace_destroy(&pace);
    }
}
END_TEST

START_TEST(without_a_limit_nothing_blocks)
{
    static const uint64_t limits[] = {INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 1,
                                      UINT64_MAX};

    for (size_t index = 0; index < COUNT(limits); index++) {
        struct pace pace;

        pace_init(&pace, limits[index]);
        for (unsigned round = 0; round < 10; round++)
            pace_note(&pace, INT64_MAX, true);
        check_state(&pace, PACE_FREE);
        pace_destroy(&pace);
    }
}
END_TEST

/* --- threads -------------------------------------------------------------------------------- */

struct crowd {
    struct pace pace;
    atomic_bool stop;
    atomic_uint seen[PACE_BLOCKED + 1];
};

static void *crowd_main(void *argument)
{
    struct crowd *crowd = argument;
    uint64_t state = (uint64_t)thread_number();

    while (!crowd->stop) {
        uint64_t number = random_next(&state);

        /* Many windows are good, many are not. */
        pace_note(&crowd->pace, number % 100 == 0 ? LIMIT + 1 : 1, number % 3 != 0);
        crowd->seen[pace_look(&crowd->pace)]++;
    }
    return NULL;
}

START_TEST(many_threads_note_and_look)
{
    struct crowd crowd = {.stop = false};
    int64_t end_ns = clock_ns() + 500000000;
    pthread_t threads[4];

    pace_init(&crowd.pace, LIMIT);
    for (size_t index = 0; index < COUNT(threads); index++)
        thread_begin(&threads[index], crowd_main, &crowd);
    while (clock_ns() < end_ns) {
        sleep_us(1000);
        thread_mutex_lock(&crowd.pace.lock);
        REQUIRE(crowd.pace.left <= PACE_WINDOW);
        REQUIRE(crowd.pace.blocked <= PACE_BLOCKED_MAX + 1);
        crowd.pace.until_ns = 0;
        thread_mutex_unlock(&crowd.pace.lock);
    }
    crowd.stop = true;
    for (size_t index = 0; index < COUNT(threads); index++)
        thread_end(threads[index]);
    for (unsigned state = PACE_FREE; state <= PACE_BLOCKED; state++)
        REQUIRE(crowd.seen[state] > 0);
    /* It has not come out of step. */
    crowd.pace.until_ns = 0;
    pace_look(&crowd.pace);
    fast(&crowd.pace, PACE_WINDOW);
    check_state(&crowd.pace, PACE_FREE);
    asleep(&crowd.pace, 3);
    check_state(&crowd.pace, PACE_BLOCKED);
    pace_destroy(&crowd.pace);
}
END_TEST

static Suite *pace_suite(void)
{
    Suite *suite = suite_create("pace");

    ADD_TESTS(suite, "states", fast_submits_change_nothing, the_first_slow_one_makes_a_suspect,
              one_in_a_window_is_no_proof, two_in_a_window_are, a_window_has_its_end,
              preempted_submits_never_block, a_pause_lasts_a_second, after_a_pause_one_is_enough,
              after_a_good_window_it_is_free_again);
    ADD_TESTS(suite, "limits", a_submit_may_take_as_long_as_the_limit,
              without_a_limit_nothing_blocks);
    ADD_TESTS(suite, "threads", many_threads_note_and_look);
    return suite;
}

int main(void)
{
    return run_suite(pace_suite);
}
