/* SPDX-License-Identifier: MIT */
/*
 * test_token.c - who reaps. Every order of its steps is test/model's; here are the steps.
 */
#include "token.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support.h"

/* --- a room with a token -------------------------------------------------------------------- */

/* Waiters are ready as this set says: bit by min. */
static bool ready_by_bit(const void *context, const struct waiter *waiter)
{
    return (*(const unsigned *)context >> waiter->min & 1) != 0;
}

struct room {
    struct thread_mutex lock;
    struct token token;
    unsigned ready;
};

static void room_open(struct room *room)
{
    memset(room, 0, sizeof(*room));
    thread_mutex_init(&room->lock);
}

/* A thread that parks once and tells what came of it. */
struct parking {
    struct room *room;
    struct waiter waiter;
    int64_t deadline_ns;
    bool in_time;
    atomic_bool parked;
    atomic_bool back;
    pthread_t thread;
};

static void *parking_main(void *argument)
{
    struct parking *parking = argument;
    struct room *room = parking->room;

    thread_mutex_lock(&room->lock);
    thread_cond_init(&parking->waiter.wakeup);
    parking->parked = true;
    parking->in_time =
        token_park(&room->token, &parking->waiter, &room->lock, parking->deadline_ns);
    thread_cond_destroy(&parking->waiter.wakeup);
    thread_mutex_unlock(&room->lock);
    parking->back = true;
    return NULL;
}

/* Lets some threads park, in order. */
static void park(struct room *room, struct parking *parking, unsigned count)
{
    memset(parking, 0, count * sizeof(*parking));
    for (unsigned index = 0; index < count; index++) {
        parking[index].room = room;
        parking[index].waiter.min = index;
        parking[index].deadline_ns = DEADLINE_NEVER;
        thread_begin(&parking[index].thread, parking_main, &parking[index]);
        EVENTUALLY(parking[index].parked);
        /* It has the lock until it sleeps. */
        thread_mutex_lock(&room->lock);
        REQUIRE(parking[index].waiter.parked);
        thread_mutex_unlock(&room->lock);
    }
}

/* --- take, release, offer ------------------------------------------------------------------- */

START_TEST(a_token_is_taken_once)
{
    struct room room;

    room_open(&room);
    REQUIRE(token_take(&room.token));
    REQUIRE(!token_take(&room.token));
    token_release(&room.token);
    REQUIRE(token_take(&room.token));
    token_release(&room.token);
}
END_TEST

static int release_twice(void *argument)
{
    struct room room;
    const struct rlimit no_core = {0, 0};

    (void)argument;
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    room_open(&room);
    token_take(&room.token);
    token_release(&room.token);
    token_release(&room.token);
    return 0;
}

START_TEST(what_is_not_held_cannot_be_released)
{
#ifndef NDEBUG
    REQUIRE_EQ(in_child(release_twice, NULL), 100 + SIGABRT);
#endif
}
END_TEST

START_TEST(an_offer_to_nobody_leaves_the_token_free)
{
    struct room room;

    room_open(&room);
    REQUIRE(!token_offer(&room.token, ready_by_bit, &room.ready));
    REQUIRE(!room.token.held);
    /* A token that is held needs nobody. */
    REQUIRE(token_take(&room.token));
    REQUIRE(token_offer(&room.token, ready_by_bit, &room.ready));
    token_release(&room.token);
}
END_TEST

START_TEST(an_offer_goes_to_the_oldest_who_still_waits)
{
    struct room room;
    struct parking parking[4];
    static const unsigned expected[] = {1, 3};

    room_open(&room);
    park(&room, parking, 4);
    room.ready = 1U << 0 | 1U << 2;
    for (unsigned round = 0; round < 2; round++) {
        struct parking *next = &parking[expected[round]];

        thread_mutex_lock(&room.lock);
        REQUIRE(token_offer(&room.token, ready_by_bit, &room.ready));
        REQUIRE(room.token.held);
        for (unsigned index = 0; index < 4; index++)
            if (!parking[index].back)
                REQUIRE_EQ(parking[index].waiter.has_token, index == expected[round]);
        thread_mutex_unlock(&room.lock);
        EVENTUALLY(next->back);
        thread_end(next->thread);
        REQUIRE(next->in_time);
        token_release(&room.token);
    }
    /* Those that are left are ready: nobody takes it. */
    thread_mutex_lock(&room.lock);
    REQUIRE(!token_offer(&room.token, ready_by_bit, &room.ready));
    REQUIRE(!room.token.held);
    token_wake_ready(&room.token, ready_by_bit, &room.ready);
    thread_mutex_unlock(&room.lock);
    thread_end(parking[0].thread);
    thread_end(parking[2].thread);
    REQUIRE(room.token.first == NULL && room.token.last == NULL);
}
END_TEST

/* --- park and wake -------------------------------------------------------------------------- */

START_TEST(only_those_who_are_ready_are_woken)
{
    struct room room;
    struct parking parking[3];

    room_open(&room);
    park(&room, parking, 3);
    room.ready = 1U << 1;
    thread_mutex_lock(&room.lock);
    token_wake_ready(&room.token, ready_by_bit, &room.ready);
    thread_mutex_unlock(&room.lock);
    EVENTUALLY(parking[1].back);
    sleep_us(20000);
    REQUIRE(!parking[0].back && !parking[2].back);
    REQUIRE(room.token.first == &parking[0].waiter && room.token.last == &parking[2].waiter);
    room.ready = 7;
    thread_mutex_lock(&room.lock);
    token_wake_ready(&room.token, ready_by_bit, &room.ready);
    thread_mutex_unlock(&room.lock);
    for (unsigned index = 0; index < 3; index++) {
        thread_end(parking[index].thread);
        REQUIRE(parking[index].in_time && !parking[index].waiter.has_token);
        REQUIRE(!parking[index].waiter.parked);
    }
}
END_TEST

START_TEST(who_parks_gets_up_when_the_time_is_over)
{
    struct room room;
    struct waiter waiter = {.kind = WAIT_SLOT};
    int64_t start_ns = thread_now_ns();

    room_open(&room);
    thread_cond_init(&waiter.wakeup);
    thread_mutex_lock(&room.lock);
    REQUIRE(!token_park(&room.token, &waiter, &room.lock, 0)); /* did not even sit down */
    REQUIRE(!token_park(&room.token, &waiter, &room.lock, start_ns + 20000000));
    REQUIRE(thread_now_ns() - start_ns >= 20000000);
    REQUIRE(!waiter.parked && room.token.first == NULL && room.token.last == NULL);
    thread_mutex_unlock(&room.lock);
    thread_cond_destroy(&waiter.wakeup);
}
END_TEST

/* --- interrupt ------------------------------------------------------------------------------ */

/* An engine that only counts its wakes. */
static unsigned wakes;
static unsigned woken_min;
static int wake_result;

static int count_wake(struct engine *engine, unsigned sleeping_for)
{
    (void)engine;
    wakes++;
    woken_min = sleeping_for;
    return wake_result;
}

START_TEST(a_holder_that_sleeps_is_woken_once)
{
    static const struct engine_ops ops = {.wake = count_wake};
    struct engine engine = {.ops = &ops};
    struct room room;

    room_open(&room);
    /* Nobody sleeps. */
    REQUIRE(token_interrupt(&room.token, &engine));
    REQUIRE(token_take(&room.token));
    REQUIRE(token_interrupt(&room.token, &engine));
    REQUIRE_EQ(wakes, 0);
    room.token.sleeping_for = 40;
    wake_result = -EAGAIN;
    REQUIRE(!token_interrupt(&room.token, &engine));
    REQUIRE(!token_interrupt(&room.token, &engine));
    REQUIRE_EQ(wakes, 2);
    wake_result = 0;
    REQUIRE(token_interrupt(&room.token, &engine));
    REQUIRE_EQ(wakes, 3);
    REQUIRE_EQ(woken_min, 40);
    REQUIRE(token_interrupt(&room.token, &engine));
    REQUIRE_EQ(wakes, 3);
    room.token.sleeping_for = 0;
    token_release(&room.token);
}
END_TEST

/* --- together ------------------------------------------------------------------------------- */

/* Threads that each wait for things made for them, one of which a holder makes at a time: the
 * queue in small. The reaper of last resort is whoever comes next, so nobody may be forgotten. */
enum { THREADS = 6, THINGS = 3000 };

struct market {
    struct room room;
    unsigned made[THREADS];   /* and not fetched */
    unsigned wanted[THREADS]; /* by those who wait */
    unsigned holders;
    uint64_t random;
};

struct trader {
    struct market *market;
    unsigned number;
};

static bool thing_is_there(const void *context, const struct waiter *waiter)
{
    const struct market *market = context;

    return market->made[waiter->min] > 0;
}

/* The holder makes a thing for somebody who wants one. Lock held, dropped meanwhile. */
static void make_thing(struct market *market)
{
    unsigned number;

    REQUIRE_EQ(++market->holders, 1);
    thread_mutex_unlock(&market->room.lock);
    thread_mutex_lock(&market->room.lock);
    market->holders--;
    number = (unsigned)(random_next(&market->random) % THREADS);
    for (unsigned count = 0; count < THREADS && market->wanted[number] == 0; count++)
        number = (number + 1) % THREADS;
    if (market->wanted[number] > 0) {
        market->wanted[number]--;
        market->made[number]++;
    }
    token_wake_ready(&market->room.token, thing_is_there, market);
}

static void fetch_thing(struct market *market, unsigned number)
{
    struct token *token = &market->room.token;
    struct waiter waiter = {.kind = WAIT_RESULTS, .min = number};

    thread_mutex_lock(&market->room.lock);
    market->wanted[number]++;
    while (!thing_is_there(market, &waiter)) {
        if (!waiter.has_token)
            waiter.has_token = token_take(token);
        if (waiter.has_token) {
            make_thing(market);
            continue;
        }
        thread_cond_init(&waiter.wakeup);
        token_park(token, &waiter, &market->room.lock, DEADLINE_NEVER);
        thread_cond_destroy(&waiter.wakeup);
    }
    market->made[number]--;
    if (waiter.has_token)
        token_release(token);
    token_offer(token, thing_is_there, market);
    thread_mutex_unlock(&market->room.lock);
}

static void *trader_main(void *argument)
{
    struct trader *trader = argument;

    for (unsigned count = 0; count < THINGS; count++)
        fetch_thing(trader->market, trader->number);
    return NULL;
}

START_TEST(nobody_is_forgotten)
{
    struct market market;
    struct trader traders[THREADS];
    pthread_t threads[THREADS];

    memset(&market, 0, sizeof(market));
    room_open(&market.room);
    for (unsigned index = 0; index < THREADS; index++) {
        traders[index] = (struct trader){&market, index};
        thread_begin(&threads[index], trader_main, &traders[index]);
    }
    for (unsigned index = 0; index < THREADS; index++)
        thread_end(threads[index]);
    REQUIRE(!market.room.token.held && market.room.token.first == NULL);
}
END_TEST

static Suite *token_suite(void)
{
    Suite *suite = suite_create("token");

    ADD_TESTS(suite, "token", a_token_is_taken_once, what_is_not_held_cannot_be_released,
              an_offer_to_nobody_leaves_the_token_free,
              an_offer_goes_to_the_oldest_who_still_waits);
    ADD_TESTS(suite, "park", only_those_who_are_ready_are_woken,
              who_parks_gets_up_when_the_time_is_over, nobody_is_forgotten);
    ADD_TESTS(suite, "interrupt", a_holder_that_sleeps_is_woken_once);
    return suite;
}

int main(void)
{
    return run_suite(token_suite);
}
