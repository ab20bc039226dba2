/* SPDX-License-Identifier: MIT */
/*
 * model_gate.c - the gate in every order of its steps: each atomic operation is one.
 *
 * With MODEL_PLANT set, a wake-up is taken out of lib/gate.c; the argument "planted" expects that
 * a scenario then gets stuck or breaks.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"

#include "../../lib/gate.h"

#undef atomic_load_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
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
#define atomic_fetch_and_explicit(at, value, order) STEP(FETCH(and, at, value))
#define atomic_compare_exchange_weak_explicit(at, expected, desired, success, failure)             \
    STEP(EXCHANGE(at, expected, desired))

#ifndef MODEL_PLANT
#define MODEL_PLANT 0
#endif

#if MODEL_PLANT == 1 /* those who sleep are not told */
#define thread_cond_broadcast(cond) ((void)0)
#elif MODEL_PLANT == 2 /* nobody knows that somebody sleeps */
#undef atomic_fetch_or_explicit
#define atomic_fetch_or_explicit(at, value, order)                                                 \
    STEP(FETCH(or, at, (value) & (UINT64_C(1) << 48)))
#endif

#include "../../lib/gate.c"

static struct {
    struct gate gate;
    int writers;
    bool truncating;
    bool freed;
    unsigned truncates;
    unsigned writes;
} model;

static void setup(void)
{
    gate_init(&model.gate);
}

/* A request that was submitted before, and a write that comes now. */
static void setup_request(void)
{
    gate_init(&model.gate);
    model.gate.word = GATE_REQUEST;
}

static void write_once(enum gate_patience patience, uint64_t delta)
{
    if (gate_enter(&model.gate, delta, patience) != 0)
        return;
    model_expect(!model.truncating, "a write runs beside a truncate");
    model.writers++;
    model_step("write");
    model.writers--;
    model.writes++;
    model_expect(!model.truncating, "a truncate began beside a write");
    gate_leave(&model.gate, delta);
}

static void write_waiting(void)
{
    write_once(GATE_WAIT, GATE_WRITE);
}

static void write_trying(void)
{
    write_once(GATE_TRY, GATE_WRITE + GATE_REQUEST);
}

static void write_in_callback(void)
{
    write_once(GATE_CALLBACK_WAIT, GATE_WRITE);
}

static void truncate_once(void)
{
    gate_close(&model.gate);
    model_expect(model.writers == 0, "a truncate runs beside a write");
    model.truncating = true;
    model_step("truncate");
    model.truncating = false;
    model.truncates++;
    gate_open(&model.gate);
}

static void finish_request(void)
{
    gate_leave(&model.gate, GATE_REQUEST);
}

/* Close frees the gate: whoever touches it afterwards finds a value that no gate has. */
static void close_and_free(void)
{
    gate_wait_idle(&model.gate);
    model.freed = true;
    model_expect(model.gate.lock.owner == 0, "somebody is in the gate's memory");
    model.gate.lock.owner = 99;
    model.gate.word = UINT64_MAX;
}

static void check_empty(void)
{
    if (model.freed)
        model_expect(model.gate.word == UINT64_MAX && model.gate.lock.owner == 99,
                     "the gate was used after it was freed");
    else
        model_expect(model.gate.word == 0, "the gate is not empty at the end");
}

static const struct model_scenario scenarios[] = {
    {"two writes and a truncate",
     setup,
     {write_waiting, write_waiting, truncate_once},
     check_empty,
     false,
     {0, NULL, NULL}},
    {"two truncates and a write",
     setup,
     {truncate_once, truncate_once, write_waiting},
     check_empty,
     false,
     {0, NULL, NULL}},
    {"a submitted write and a callback's",
     setup,
     {write_trying, write_in_callback, truncate_once},
     check_empty,
     false,
     {0, NULL, NULL}},
    {"close beside the last completion",
     setup_request,
     {finish_request, close_and_free},
     check_empty,
     false,
     {0, NULL, NULL}},
};

int main(int argc, char **argv)
{
    bool planted = argc > 1 && strcmp(argv[1], "planted") == 0;
    unsigned found = 0;

    model_add_variable(&model, sizeof(model));
    for (unsigned index = 0; index < sizeof(scenarios) / sizeof(scenarios[0]); index++) {
        unsigned long states;
        enum model_verdict verdict = model_explore(&scenarios[index], planted, &states);

        printf("%-45s %9lu states  %s\n", scenarios[index].name, states,
               verdict == MODEL_HOLDS ? "holds" : "DOES NOT HOLD");
        found += verdict != MODEL_HOLDS;
    }
    if (planted)
        printf("%s\n", found > 0 ? "the planted fault was found" : "IT WAS NOT FOUND");
    return planted == (found > 0) ? 0 : 1;
}
