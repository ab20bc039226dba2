/* SPDX-License-Identifier: MIT */
/*
 * gate.c - who may run on a file now.
 *
 * The aligned path is one atomic addition on the way in and one on the way out. Sleeping is for
 * those who meet a truncate, and for the truncate itself.
 *
 * No wake-up is lost: a sleeper sets SLEEPER under the lock, then looks at the word, then sleeps,
 * which drops the lock. All that take from the word go to one atomic, so each comes either before
 * that look, and is seen, or after SLEEPER was set, and then takes the lock and broadcasts. A
 * sleeper returns only with the lock held, so the last one to leave is out of the gate's memory
 * when close frees it.
 */
#include "gate.h"

#include <errno.h>

#define GATE_WANTED (UINT64_C(1) << 48)
#define GATE_BUSY (UINT64_C(1) << 49)
#define GATE_SLEEPER (UINT64_C(1) << 50)

#define GATE_REQUESTS_MASK (GATE_WRITE - 1)
#define GATE_WRITES_MASK ((GATE_WANTED - 1) & ~GATE_REQUESTS_MASK)

void gate_init(struct gate *gate)
{
    atomic_init(&gate->word, 0);
    thread_mutex_init(&gate->exclusive);
    thread_mutex_init(&gate->lock);
    thread_cond_init(&gate->changed);
    gate->sleepers = 0;
}

void gate_destroy(struct gate *gate)
{
    thread_cond_destroy(&gate->changed);
    thread_mutex_destroy(&gate->lock);
    thread_mutex_destroy(&gate->exclusive);
}

/* Takes delta off the word; under the lock, and with a broadcast, if anybody sleeps. */
static void gate_subtract(struct gate *gate, uint64_t delta)
{
    uint64_t word = atomic_load_explicit(&gate->word, memory_order_relaxed);

    while ((word & GATE_SLEEPER) == 0)
        if (atomic_compare_exchange_weak_explicit(&gate->word, &word, word - delta,
                                                  memory_order_release, memory_order_relaxed))
            return;
    thread_mutex_lock(&gate->lock);
    atomic_fetch_sub_explicit(&gate->word, delta, memory_order_release);
    thread_cond_broadcast(&gate->changed);
    thread_mutex_unlock(&gate->lock);
}

/* Sleeps until none of the bits is set. */
static void gate_sleep_until_clear(struct gate *gate, uint64_t bits)
{
    thread_mutex_lock(&gate->lock);
    gate->sleepers++;
    atomic_fetch_or_explicit(&gate->word, GATE_SLEEPER, memory_order_relaxed);
    while ((atomic_load_explicit(&gate->word, memory_order_acquire) & bits) != 0)
        thread_cond_wait(&gate->changed, &gate->lock, DEADLINE_NEVER);
    if (--gate->sleepers == 0)
        atomic_fetch_and_explicit(&gate->word, ~GATE_SLEEPER, memory_order_relaxed);
    thread_mutex_unlock(&gate->lock);
}

int gate_enter(struct gate *gate, uint64_t delta, enum gate_patience patience)
{
    bool waits = patience == GATE_WAIT || patience == GATE_CALLBACK_WAIT;
    uint64_t barred = GATE_BUSY;

    if (patience == GATE_WAIT || patience == GATE_TRY)
        barred |= GATE_WANTED;
    for (;;) {
        uint64_t before = atomic_fetch_add_explicit(&gate->word, delta, memory_order_acquire);

        if (delta < GATE_WRITE || (before & barred) == 0)
            return 0;
        gate_subtract(gate, delta);
        if (!waits)
            return -EAGAIN;
        gate_sleep_until_clear(gate, barred);
    }
}

void gate_leave(struct gate *gate, uint64_t delta)
{
    gate_subtract(gate, delta);
}

void gate_close(struct gate *gate)
{
    uint64_t word;

    thread_mutex_lock(&gate->exclusive);
    atomic_fetch_or_explicit(&gate->word, GATE_WANTED, memory_order_relaxed);
    word = atomic_load_explicit(&gate->word, memory_order_acquire);
    for (;;) {
        if ((word & GATE_WRITES_MASK) != 0) {
            gate_sleep_until_clear(gate, GATE_WRITES_MASK);
            word = atomic_load_explicit(&gate->word, memory_order_acquire);
        } else if (atomic_compare_exchange_weak_explicit(
                       &gate->word, &word, (word & ~GATE_WANTED) | GATE_BUSY, memory_order_acquire,
                       memory_order_acquire)) {
            return;
        }
    }
}

void gate_open(struct gate *gate)
{
    gate_subtract(gate, GATE_BUSY);
    thread_mutex_unlock(&gate->exclusive);
}

void gate_wait_idle(struct gate *gate)
{
    gate_sleep_until_clear(gate, GATE_REQUESTS_MASK);
}

unsigned gate_requests(const struct gate *gate)
{
    return (unsigned)(atomic_load_explicit(&gate->word, memory_order_relaxed) & GATE_REQUESTS_MASK);
}
