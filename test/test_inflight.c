/* SPDX-License-Identifier: MIT */
/*
 * test_inflight.c - what close waits for.
 */
#include "inflight.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "support.h"

/* A thread that waits as close does. */
struct closer {
    pthread_t thread;
    struct inflight *inflight;
    atomic_bool through;
};

static void *wait_idle(void *argument)
{
    struct closer *closer = argument;

    inflight_wait_idle(closer->inflight);
    atomic_store(&closer->through, true);
    return NULL;
}

static void send(struct closer *closer)
{
    atomic_store(&closer->through, false);
    thread_begin(&closer->thread, wait_idle, closer);
}

static void stays(struct closer *closer)
{
    for (int look = 0; look < 20; look++) {
        REQUIRE(!atomic_load(&closer->through));
        sleep_us(1000);
    }
}

START_TEST(they_are_counted)
{
    struct inflight inflight;

    inflight_init(&inflight);
    REQUIRE_EQ(inflight_count(&inflight), 0);
    for (unsigned count = 1; count <= 5; count++) {
        inflight_add(&inflight, 1);
        REQUIRE_EQ(inflight_count(&inflight), count);
    }
    for (unsigned left = 5; left > 0; left--) {
        REQUIRE_EQ(inflight_count(&inflight), left);
        inflight_remove(&inflight, 1);
    }
    REQUIRE_EQ(inflight_count(&inflight), 0);
    inflight_destroy(&inflight);
}
END_TEST

START_TEST(many_are_counted)
{
    const unsigned many = 1 << 22;
    struct inflight inflight;
    struct closer closer = {.inflight = &inflight};

    inflight_init(&inflight);
    for (unsigned count = 0; count < many; count++)
        inflight_add(&inflight, 1);
    REQUIRE_EQ(inflight_count(&inflight), many);
    send(&closer);
    for (unsigned count = 1; count < many; count++)
        inflight_remove(&inflight, 1);
    REQUIRE_EQ(inflight_count(&inflight), 1);
    stays(&closer);
    inflight_remove(&inflight, 1);
    thread_end(closer.thread);
    inflight_destroy(&inflight);
}
END_TEST

START_TEST(nothing_is_not_waited_for)
{
    struct inflight inflight;

    inflight_init(&inflight);
    inflight_wait_idle(&inflight);
    inflight_wait_idle(&inflight);
    inflight_destroy(&inflight);
    inflight_init(&inflight);
    inflight_add(&inflight, 1);
    inflight_remove(&inflight, 1);
    inflight_wait_idle(&inflight);
    inflight_destroy(&inflight);
}
END_TEST

START_TEST(close_waits_for_the_last)
{
    for (unsigned count = 1; count < 4; count++) {
        struct inflight inflight;
        struct closer closer = {.inflight = &inflight};

        inflight_init(&inflight);
        for (unsigned index = 0; index < count; index++)
            inflight_add(&inflight, 1);
        send(&closer);
        for (unsigned left = count; left > 0; left--) {
            stays(&closer);
            REQUIRE_EQ(inflight_count(&inflight), left);
            inflight_remove(&inflight, 1);
        }
        EVENTUALLY(atomic_load(&closer.through));
        thread_end(closer.thread);
        REQUIRE_EQ(inflight_count(&inflight), 0);
        inflight_destroy(&inflight);
    }
}
END_TEST

/* A callback submits another one before it returns. */
START_TEST(close_waits_for_what_comes_meanwhile)
{
    struct inflight inflight;
    struct closer closer = {.inflight = &inflight};

    inflight_init(&inflight);
    inflight_add(&inflight, 1);
    send(&closer);
    stays(&closer);
    for (int round = 0; round < 100; round++) {
        inflight_add(&inflight, 1);
        REQUIRE_EQ(inflight_count(&inflight), 2);
        inflight_remove(&inflight, 1);
        REQUIRE(!atomic_load(&closer.through));
    }
    stays(&closer);
    inflight_remove(&inflight, 1);
    thread_end(closer.thread);
    inflight_destroy(&inflight);
}
END_TEST

static void *remove_one(void *argument)
{
    inflight_remove(argument, 1);
    return NULL;
}

/* The memory goes as soon as the wait is over: one that still touched it would be seen by the
 * sanitizers. */
START_TEST(the_last_to_leave_is_out)
{
    for (int round = 0; round < 400; round++) {
        struct inflight *mortal = malloc(sizeof(*mortal));
        unsigned count = 1 + (unsigned)round % 3;
        pthread_t leavers[3];

        REQUIRE(mortal != NULL);
        inflight_init(mortal);
        for (unsigned index = 0; index < count; index++)
            inflight_add(mortal, 1);
        for (unsigned index = 0; index < count; index++)
            thread_begin(&leavers[index], remove_one, mortal);
        if (round % 2 == 0)
            sleep_us((unsigned)round % 40);
        inflight_wait_idle(mortal);
        inflight_destroy(mortal);
        free(mortal);
        for (unsigned index = 0; index < count; index++)
            thread_end(leavers[index]);
    }
}
END_TEST

/* --- all at once ---------------------------------------------------------------------------- */

#define CROWD 4u

/* Not atomic: who has waited sees what the operations did. */
struct member {
    pthread_t thread;
    struct inflight *inflight;
    unsigned rounds;
    unsigned done;
};

static void *come_and_go(void *argument)
{
    struct member *member = argument;
    struct inflight *inflight = member->inflight;

    /* One of its own is in flight all the time, until it is through. */
    for (unsigned round = 0; round < member->rounds; round++) {
        inflight_add(inflight, 1);
        member->done++;
        inflight_remove(inflight, 1);
    }
    inflight_remove(inflight, 1);
    return NULL;
}

START_TEST(what_was_done_is_seen_by_who_waited)
{
    for (unsigned round = 0; round < 20 * test_scale(); round++) {
        struct inflight *inflight = malloc(sizeof(*inflight));
        struct member members[CROWD];

        REQUIRE(inflight != NULL);
        inflight_init(inflight);
        for (unsigned index = 0; index < CROWD; index++) {
            members[index] = (struct member){.inflight = inflight, .rounds = 2000 / slowness()};
            inflight_add(inflight, 1);
        }
        for (unsigned index = 0; index < CROWD; index++)
            thread_begin(&members[index].thread, come_and_go, &members[index]);
        inflight_wait_idle(inflight);
        for (unsigned index = 0; index < CROWD; index++)
            REQUIRE_EQ(members[index].done, members[index].rounds);
        inflight_destroy(inflight);
        free(inflight);
        for (unsigned index = 0; index < CROWD; index++)
            thread_end(members[index].thread);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("inflight");

    ADD_TESTS(suite, "count", they_are_counted, many_are_counted);
    ADD_TESTS(suite, "close", nothing_is_not_waited_for, close_waits_for_the_last,
              close_waits_for_what_comes_meanwhile, the_last_to_leave_is_out,
              what_was_done_is_seen_by_who_waited);
    return suite;
}

int main(void)
{
    return run_suite(make_suite);
}
