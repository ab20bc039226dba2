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
#undef atomic_fetch_xor_explicit
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
#define atomic_fetch_xor_explicit(at, value, order) STEP(FETCH(xor, at, value))
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
    STEP(FETCH(or, at, (value) & (UINT64_C(1) << 59)))
#endif

#include "../../lib/gate.c"

static struct {
    struct gate gate;
    int writers;
    bool truncating;
    bool freed;
    bool drained;
    bool written; /* the write that a sync must cover */
} model;

static void setup(void)
{
    gate_init(&model.gate);
}

/* A request that was submitted before, and a write that comes now. */
static void setup_request(void)
{
    gate_init(&model.gate);
    gate_add_request(&model.gate);
}

static void write_once(enum gate_patience patience)
{
    uint8_t phase;

    if (gate_enter(&model.gate, patience, &phase) != 0)
        return;
    model_expect(!model.truncating, "a write runs beside a truncate");
    model.writers++;
    model_step("write");
    model.writers--;
    model_expect(!model.truncating, "a truncate began beside a write");
    gate_leave(&model.gate, phase);
}

static void write_waiting(void)
{
    write_once(GATE_WAIT);
}

static void write_trying(void)
{
    gate_add_request(&model.gate);
    write_once(GATE_TRY);
    gate_remove_request(&model.gate);
}

static void write_in_callback(void)
{
    write_once(GATE_CALLBACK);
}

static void truncate_once(void)
{
    gate_close(&model.gate);
    model_expect(model.writers == 0, "a truncate runs beside a write");
    model.truncating = true;
    model_step("truncate");
    model.truncating = false;
    gate_open(&model.gate);
    gate_release(&model.gate);
}

/* A write that is inside when the sync begins, and one that stays until the sync is through. */
static void setup_sync(void)
{
    uint8_t phase;

    gate_init(&model.gate);
    gate_enter(&model.gate, GATE_TRY, &phase);
}

static void finish_first_write(void)
{
    model_step("the first write ends");
    model.written = true;
    gate_leave(&model.gate, 0);
}

static bool sync_turned(void *unused)
{
    (void)unused;
    return (model.gate.word & GATE_PHASE) != 0 || model.drained;
}

static bool sync_through(void *unused)
{
    (void)unused;
    return model.drained;
}

static void write_until_synced(void)
{
    uint8_t phase;

    model_wait_until("the sync's begin", sync_turned, NULL);
    gate_enter(&model.gate, GATE_WAIT, &phase);
    model_wait_until("the sync's end", sync_through, NULL);
    gate_leave(&model.gate, phase);
}

static void sync_once(void)
{
    gate_drain(&model.gate);
    model_expect(model.written, "a sync does not wait for a write before it");
    model.drained = true;
}

static void sync_any(void)
{
    gate_drain(&model.gate);
}

static void finish_request(void)
{
    gate_remove_request(&model.gate);
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

/* A truncate beside the last completion, then the close. */
static void truncate_and_close(void)
{
    truncate_once();
    close_and_free();
}

static void check_empty(void)
{
    if (model.freed)
        model_expect(model.gate.word == UINT64_MAX && model.gate.lock.owner == 99,
                     "the gate was used after it was freed");
    else
        model_expect((model.gate.word & ~GATE_PHASE) == 0, "the gate is not empty at the end");
}

#define NO_DEVICE                                                                                  \
    {                                                                                              \
        0, NULL, NULL                                                                              \
    }

static const struct model_scenario scenarios[] = {
    {"two writes and a truncate",
     setup,
     {write_waiting, write_waiting, truncate_once},
     check_empty,
     false,
     NO_DEVICE},
    {"two truncates and a write",
     setup,
     {truncate_once, truncate_once, write_waiting},
     check_empty,
     false,
     NO_DEVICE},
    {"a submitted write and a callback's",
     setup,
     {write_trying, write_in_callback, truncate_once},
     check_empty,
     false,
     NO_DEVICE},
    {"a sync waits for what was before it alone",
     setup_sync,
     {finish_first_write, write_until_synced, sync_once},
     check_empty,
     false,
     NO_DEVICE},
    {"a sync, a truncate and a write",
     setup,
     {sync_any, truncate_once, write_waiting},
     check_empty,
     false,
     NO_DEVICE},
    {"two syncs and a write",
     setup,
     {sync_any, sync_any, write_waiting},
     check_empty,
     false,
     NO_DEVICE},
    {"close beside the last completion",
     setup_request,
     {finish_request, close_and_free},
     check_empty,
     false,
     NO_DEVICE},
    {"truncate and close beside a completion",
     setup_request,
     {finish_request, truncate_and_close},
     check_empty,
     false,
     NO_DEVICE},
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
