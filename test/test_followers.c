/* SPDX-License-Identifier: MIT */
/*
 * test_followers.c - the writes of chains that have yet to come, and the syncs that wait for them:
 * against a list that is looked through each time.
 */
#include "followers.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static unsigned length_of(struct follower *first)
{
    unsigned count = 0;

    for (; first != NULL; first = first->next)
        count++;
    return count;
}

/* --- one by one ----------------------------------------------------------------------------- */

START_TEST(a_sync_with_nobody_before_it_does_not_wait)
{
    struct followers followers;
    struct follower sync = {0};
    struct follower later = {0};

    followers_init(&followers);
    followers_stamp(&followers, &sync);
    followers_add(&followers, &later);
    REQUIRE(later.listed);
    /* Who came after it does not concern it. */
    REQUIRE(!followers_await(&followers, &sync));
    REQUIRE(!sync.waiting);
    REQUIRE(!followers_waits(&followers, &sync));
    REQUIRE(!followers_withdraw(&followers, &sync));
    REQUIRE(followers_remove(&followers, &later) == NULL);
    REQUIRE(!later.listed);
    REQUIRE(followers_remove(&followers, &later) == NULL);
    REQUIRE_EQ(followers.count, 0);
    followers_destroy(&followers);
}
END_TEST

START_TEST(a_sync_waits_for_the_last_before_it)
{
    struct followers followers;
    struct follower some[4] = {0};
    struct follower sync = {0};

    followers_init(&followers);
    for (unsigned index = 0; index < 3; index++)
        followers_add(&followers, &some[index]);
    followers_stamp(&followers, &sync);
    followers_add(&followers, &some[3]);
    REQUIRE(followers_await(&followers, &sync));
    REQUIRE(followers_waits(&followers, &sync));
    REQUIRE(followers_remove(&followers, &some[1]) == NULL);
    REQUIRE(followers_remove(&followers, &some[0]) == NULL);
    REQUIRE(followers_waits(&followers, &sync));
    REQUIRE(followers_remove(&followers, &some[2]) == &sync);
    REQUIRE(sync.next == NULL);
    REQUIRE(!followers_waits(&followers, &sync));
    REQUIRE(followers_remove(&followers, &some[3]) == NULL);
    followers_destroy(&followers);
}
END_TEST

/* Those before it may have come by the time it is its turn. */
START_TEST(a_sync_that_comes_late_does_not_wait)
{
    struct followers followers;
    struct follower some[2] = {0};
    struct follower sync = {0};

    followers_init(&followers);
    followers_add(&followers, &some[0]);
    followers_stamp(&followers, &sync);
    followers_add(&followers, &some[1]);
    REQUIRE(followers_remove(&followers, &some[0]) == NULL);
    REQUIRE(!followers_await(&followers, &sync));
    REQUIRE(followers_remove(&followers, &some[1]) == NULL);
    followers_destroy(&followers);
}
END_TEST

START_TEST(several_syncs_are_let_go_in_the_order_of_their_coming)
{
    struct followers followers;
    struct follower some[2] = {0};
    struct follower syncs[4] = {0};
    struct follower *gone;

    followers_init(&followers);
    followers_add(&followers, &some[0]);
    followers_stamp(&followers, &syncs[0]);
    followers_stamp(&followers, &syncs[1]);
    followers_add(&followers, &some[1]);
    followers_stamp(&followers, &syncs[2]);
    followers_stamp(&followers, &syncs[3]);
    REQUIRE(followers_await(&followers, &syncs[2]));
    REQUIRE(followers_await(&followers, &syncs[1]));
    REQUIRE(followers_await(&followers, &syncs[3]));
    REQUIRE(followers_await(&followers, &syncs[0]));
    gone = followers_remove(&followers, &some[0]);
    REQUIRE(gone == &syncs[1] && gone->next == &syncs[0] && length_of(gone) == 2);
    REQUIRE(followers_withdraw(&followers, &syncs[3]));
    REQUIRE(!followers_withdraw(&followers, &syncs[3]));
    gone = followers_remove(&followers, &some[1]);
    REQUIRE(gone == &syncs[2] && length_of(gone) == 1);
    followers_destroy(&followers);
}
END_TEST

/* The youngest first: a sync waits for the oldest all the same. */
START_TEST(they_may_come_in_any_order)
{
    struct followers followers;
    struct follower some[3] = {0};
    struct follower syncs[3] = {0};
    struct follower *gone;

    followers_init(&followers);
    for (unsigned index = 0; index < 3; index++) {
        followers_add(&followers, &some[index]);
        followers_stamp(&followers, &syncs[index]);
        REQUIRE(followers_await(&followers, &syncs[index]));
    }
    REQUIRE(followers_remove(&followers, &some[2]) == NULL);
    REQUIRE(followers_remove(&followers, &some[1]) == NULL);
    gone = followers_remove(&followers, &some[0]);
    REQUIRE(gone == &syncs[0] && length_of(gone) == 3);
    followers_destroy(&followers);
}
END_TEST

/* --- against a model ------------------------------------------------------------------------ */

#define MANY 24u

/* What each of some places is, and the order in which it was submitted. */
enum kind { KIND_NONE, KIND_FOLLOWER, KIND_STAMPED, KIND_WAITING };

struct place {
    struct follower follower;
    enum kind kind;
    uint64_t order;
};

static bool older_listed(const struct place *places, uint64_t order)
{
    for (unsigned index = 0; index < MANY; index++)
        if (places[index].kind == KIND_FOLLOWER && places[index].order < order)
            return true;
    return false;
}

/* Those that a removal let go: all that need not wait any more, and no other. */
static void check_gone(struct place *places, struct follower *gone)
{
    while (gone != NULL) {
        struct follower *next = gone->next;
        struct place *place = (struct place *)gone; /* its first member */

        REQUIRE(place->kind == KIND_WAITING && !older_listed(places, place->order));
        place->kind = KIND_NONE;
        gone = next;
    }
    for (unsigned index = 0; index < MANY; index++)
        if (places[index].kind == KIND_WAITING)
            REQUIRE(older_listed(places, places[index].order));
}

static void step(struct followers *followers, struct place *places, uint64_t *state,
                 uint64_t *order)
{
    struct place *place = &places[random_next(state) % MANY];
    bool waits;

    switch (place->kind) {
    case KIND_NONE:
        memset(&place->follower, 0, sizeof(place->follower));
        place->order = ++*order;
        if (random_next(state) % 2 == 0) {
            place->kind = KIND_FOLLOWER;
            followers_add(followers, &place->follower);
        } else {
            place->kind = KIND_STAMPED;
            followers_stamp(followers, &place->follower);
        }
        break;
    case KIND_FOLLOWER:
        place->kind = KIND_NONE;
        check_gone(places, followers_remove(followers, &place->follower));
        break;
    case KIND_STAMPED:
        waits = followers_await(followers, &place->follower);
        REQUIRE_EQ(waits, older_listed(places, place->order));
        place->kind = waits ? KIND_WAITING : KIND_NONE;
        break;
    case KIND_WAITING:
        if (random_next(state) % 4 != 0)
            break;
        REQUIRE(followers_withdraw(followers, &place->follower));
        place->kind = KIND_NONE;
        break;
    }
}

START_TEST(any_order_of_steps_does_what_looking_through_the_list_does)
{
    struct place places[MANY];
    struct followers followers;
    uint64_t state = 1;
    uint64_t order = 0;
    unsigned listed = 0;

    memset(places, 0, sizeof(places));
    followers_init(&followers);
    for (unsigned index = 0; index < 200000 / slowness(); index++)
        step(&followers, places, &state, &order);
    for (unsigned index = 0; index < MANY; index++)
        listed += places[index].kind == KIND_FOLLOWER;
    REQUIRE_EQ(followers.count, listed);
    followers_destroy(&followers);
}
END_TEST

/* --- threads -------------------------------------------------------------------------------- */

struct sleeper {
    struct followers *followers;
    struct follower sync;
    struct thread_cond wakeup;
    const atomic_uint *left; /* followers that it is to wait for */
    atomic_int number;
    atomic_bool done;
};

static void *sleep_until_let_go(void *argument)
{
    struct sleeper *sleeper = argument;

    sleeper->number = thread_number();
    if (followers_await(sleeper->followers, &sleeper->sync))
        followers_wait(sleeper->followers, &sleeper->sync);
    REQUIRE_EQ(*sleeper->left, 0);
    sleeper->done = true;
    return NULL;
}

START_TEST(a_thread_sleeps_until_the_last_has_come)
{
    struct followers followers;
    struct follower some[3] = {0};
    struct follower submitted = {0};
    atomic_uint left = 3;
    struct sleeper sleeper = {.followers = &followers, .left = &left};
    pthread_t thread;

    followers_init(&followers);
    thread_cond_init(&sleeper.wakeup);
    sleeper.sync.wakeup = &sleeper.wakeup;
    for (unsigned index = 0; index < 3; index++)
        followers_add(&followers, &some[index]);
    followers_stamp(&followers, &sleeper.sync);
    followers_stamp(&followers, &submitted);
    REQUIRE(followers_await(&followers, &submitted));
    thread_begin(&thread, sleep_until_let_go, &sleeper);
    EVENTUALLY(sleeper.number != 0 && thread_state(sleeper.number) == 'S');
    for (unsigned index = 0; index < 3; index++) {
        struct follower *gone;

        sleep_us(10000);
        REQUIRE(!sleeper.done);
        left--;
        gone = followers_remove(&followers, &some[index]);
        /* The thread is woken, not returned. */
        REQUIRE(gone == (index < 2 ? NULL : &submitted));
        REQUIRE(gone == NULL || gone->next == NULL);
    }
    thread_end(thread);
    thread_cond_destroy(&sleeper.wakeup);
    followers_destroy(&followers);
}
END_TEST

struct crowd {
    struct followers *followers;
    atomic_uint let_go;
    atomic_uint waited;
    uint64_t seed;
};

/* Lists and takes out, and passes over what it lets go. */
static void *come_and_go(void *argument)
{
    struct crowd *crowd = argument;
    uint64_t state = mix(crowd->seed);

    for (unsigned round = 0; round < 20000 / slowness(); round++) {
        struct follower some[3] = {0};
        unsigned count = 1 + (unsigned)(random_next(&state) % 3);

        for (unsigned index = 0; index < count; index++)
            followers_add(crowd->followers, &some[index]);
        for (unsigned index = 0; index < count; index++)
            crowd->let_go += length_of(followers_remove(crowd->followers, &some[index]));
    }
    return NULL;
}

static void *sync_often(void *argument)
{
    struct crowd *crowd = argument;

    for (unsigned round = 0; round < 5000 / slowness(); round++) {
        struct thread_cond wakeup;
        struct follower sync = {.wakeup = &wakeup};

        thread_cond_init(&wakeup);
        followers_stamp(crowd->followers, &sync);
        if (followers_await(crowd->followers, &sync))
            followers_wait(crowd->followers, &sync);
        REQUIRE(!followers_waits(crowd->followers, &sync));
        thread_cond_destroy(&wakeup);
    }
    return NULL;
}

START_TEST(nobody_is_forgotten_among_many)
{
    struct followers followers;
    struct crowd crowds[4];
    pthread_t threads[4];

    followers_init(&followers);
    for (unsigned index = 0; index < COUNT(threads); index++) {
        crowds[index] = (struct crowd){.followers = &followers, .seed = index};
        thread_begin(&threads[index], index < 2 ? come_and_go : sync_often, &crowds[index]);
    }
    for (unsigned index = 0; index < COUNT(threads); index++)
        thread_end(threads[index]);
    for (unsigned index = 0; index < 2; index++)
        REQUIRE_EQ(crowds[index].let_go, 0); /* threads are woken, not returned */
    REQUIRE_EQ(followers.count, 0);
    followers_destroy(&followers);
}
END_TEST

static Suite *followers_suite(void)
{
    Suite *suite = suite_create("followers");

    ADD_TESTS(suite, "one", a_sync_with_nobody_before_it_does_not_wait,
              a_sync_waits_for_the_last_before_it, a_sync_that_comes_late_does_not_wait,
              several_syncs_are_let_go_in_the_order_of_their_coming, they_may_come_in_any_order);
    ADD_TESTS(suite, "model", any_order_of_steps_does_what_looking_through_the_list_does);
    ADD_TESTS(suite, "threads", a_thread_sleeps_until_the_last_has_come,
              nobody_is_forgotten_among_many);
    return suite;
}

int main(void)
{
    return run_suite(followers_suite);
}
