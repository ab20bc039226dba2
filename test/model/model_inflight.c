/* SPDX-License-Identifier: MIT */
/*
 * model_inflight.c - what close waits for, in every order of its steps: each atomic operation is
 * one.
 *
 * With MODEL_PLANT set, something is wrong with lib/inflight.c; the argument "planted" expects
 * that a scenario then gets stuck or breaks.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"

#include "../../lib/inflight.h"

#undef atomic_load_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_compare_exchange_weak_explicit

/* The compilers' own functions under those macros. */
#ifdef __clang__
#define LOAD(at) __c11_atomic_load(at, __ATOMIC_SEQ_CST)
#define FETCH(operation, at, value) __c11_atomic_fetch_##operation(at, value, __ATOMIC_SEQ_CST)
#define EXCHANGE(at, expected, desired)                                                            \
    __c11_atomic_compare_exchange_strong(at, expected, desired, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#else
#define LOAD(at) __atomic_load_n(at, __ATOMIC_SEQ_CST)
#define FETCH(operation, at, value) __atomic_fetch_##operation(at, value, __ATOMIC_SEQ_CST)
#define EXCHANGE(at, expected, desired)                                                            \
    __atomic_compare_exchange_n(at, expected, desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#endif

#define STEP(operation) (model_step("atomic"), operation)
#define atomic_load_explicit(at, order) STEP(LOAD(at))
#define atomic_fetch_add_explicit(at, value, order) STEP(FETCH(add, at, value))
#define atomic_fetch_sub_explicit(at, value, order) STEP(FETCH(sub, at, value))
#define atomic_fetch_or_explicit(at, value, order) STEP(FETCH(or, at, value))
#define atomic_compare_exchange_weak_explicit(at, expected, desired, success, failure)             \
    STEP(EXCHANGE(at, expected, desired))

#ifndef MODEL_PLANT
#define MODEL_PLANT 0
#endif

#if MODEL_PLANT == 1 /* nobody knows that somebody sleeps */
#undef atomic_fetch_or_explicit
#define atomic_fetch_or_explicit(at, value, order) STEP(FETCH(or, at, UINT64_C(0)))
#elif MODEL_PLANT == 2 /* the sleeper is not told */
#define thread_cond_signal(cond) ((void)(cond))
#elif MODEL_PLANT == 3 /* one comes between the look at the flag and the count */
#undef atomic_compare_exchange_weak_explicit
#define atomic_compare_exchange_weak_explicit(at, expected, desired, success, failure)             \
    (STEP(FETCH(sub, at, INFLIGHT_ONE)), 1)
#elif MODEL_PLANT == 4 /* the sleeper is told after the lock was dropped */
#define thread_cond_signal(cond) ((void)(cond))
#define thread_mutex_unlock(mutex)                                                                 \
    (model_mutex_unlock(mutex), model_mutex_lock(mutex), model_cond_signal(&inflight->changed),    \
     model_mutex_unlock(mutex))
#elif MODEL_PLANT == 5 /* the last one comes back to the lock */
#define thread_mutex_unlock(mutex)                                                                 \
    (model_mutex_unlock(mutex), model_mutex_lock(mutex), model_mutex_unlock(mutex))
#endif

#include "../../lib/inflight.c"

#undef thread_mutex_unlock

static struct {
    struct inflight *inflight; /* of a handle that close frees */
    unsigned done;
} model;

static void setup(void)
{
    model.inflight = model_calloc(1, sizeof(*model.inflight));
    inflight_init(model.inflight);
    inflight_add(model.inflight, 1);
}

static void setup_two(void)
{
    setup();
    inflight_add(model.inflight, 1);
}

static void finish(void)
{
    model.done++;
    inflight_remove(model.inflight, 1);
}

/* A callback submits another one before it returns. */
static void finish_and_follow_up(void)
{
    inflight_add(model.inflight, 1);
    finish();
    finish();
}

static void close_when(unsigned done)
{
    inflight_wait_idle(model.inflight);
    model_expect(model.done == done, "an operation is in flight");
    model_expect(inflight_count(model.inflight) == 0, "the count is wrong");
    inflight_destroy(model.inflight);
    model_free(model.inflight);
}

static void close_after_one(void)
{
    close_when(1);
}

static void close_after_two(void)
{
    close_when(2);
}

static void close_after_three(void)
{
    close_when(3);
}

static void check(void)
{
}

#define SCENARIO(named, early, sets_up, ...)                                                       \
    {                                                                                              \
        .name = named, .setup = sets_up, .bodies = {__VA_ARGS__}, .check = check,                  \
        .wakes_early = early                                                                       \
    }

static const struct model_scenario scenarios[] = {
    SCENARIO("close beside the last one", false, setup, finish, close_after_one),
    SCENARIO("the same, with early wakes", true, setup, finish, close_after_one),
    SCENARIO("close beside the last two", false, setup_two, finish, finish, close_after_two),
    SCENARIO("the same, with early wakes", true, setup_two, finish, finish, close_after_two),
    SCENARIO("one that is followed up", false, setup, finish_and_follow_up, close_after_two),
    SCENARIO("the same beside another one", true, setup_two, finish_and_follow_up, finish,
             close_after_three),
};

int main(int argc, char **argv)
{
    model_add_variable(&model, sizeof(model));
    return model_main(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), argc, argv);
}
