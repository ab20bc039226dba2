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

#define GATE_REQUEST (UINT64_C(1) << 0)
#define GATE_WRITE (UINT64_C(1) << 20)
#define GATE_WRITE_BITS 19 /* per phase */
#define GATE_PHASE (UINT64_C(1) << 58)
#define GATE_WANTED (UINT64_C(1) << 59)
#define GATE_BUSY (UINT64_C(1) << 60)
#define GATE_SLEEPER (UINT64_C(1) << 61)

#define GATE_REQUESTS_MASK (GATE_WRITE - 1)
#define GATE_WRITES_MASK ((GATE_PHASE - 1) & ~GATE_REQUESTS_MASK)

/* One write of a phase, and the bits that count them. */
static uint64_t phase_write(uint8_t phase)
{
    return GATE_WRITE << (phase * GATE_WRITE_BITS);
}

static uint64_t phase_mask(uint8_t phase)
{
    return ((UINT64_C(1) << GATE_WRITE_BITS) - 1) * phase_write(phase);
}

static uint8_t phase_of(uint64_t word)
{
    return (word & GATE_PHASE) != 0;
}

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

void gate_add_request(struct gate *gate)
{
    atomic_fetch_add_explicit(&gate->word, GATE_REQUEST, memory_order_relaxed);
}

void gate_remove_request(struct gate *gate)
{
    gate_subtract(gate, GATE_REQUEST);
}

int gate_enter(struct gate *gate, enum gate_patience patience, uint8_t *phase)
{
    uint64_t barred = patience == GATE_CALLBACK ? GATE_BUSY : GATE_BUSY | GATE_WANTED;
    uint64_t word = atomic_load_explicit(&gate->word, memory_order_relaxed);

    for (;;) {
        if ((word & barred) != 0) {
            if (patience == GATE_TRY)
                return -EAGAIN;
            gate_sleep_until_clear(gate, barred);
            word = atomic_load_explicit(&gate->word, memory_order_relaxed);
            continue;
        }
        *phase = phase_of(word);
        if (atomic_compare_exchange_weak_explicit(&gate->word, &word, word + phase_write(*phase),
                                                  memory_order_acquire, memory_order_relaxed))
            return 0;
    }
}

void gate_leave(struct gate *gate, uint8_t phase)
{
    gate_subtract(gate, phase_write(phase));
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
}

void gate_release(struct gate *gate)
{
    thread_mutex_unlock(&gate->exclusive);
}

bool gate_is_closed(const struct gate *gate)
{
    return (atomic_load_explicit(&gate->word, memory_order_acquire) & (GATE_WANTED | GATE_BUSY)) !=
           0;
}

void gate_drain(struct gate *gate)
{
    uint64_t word;

    thread_mutex_lock(&gate->exclusive);
    /* Who drained before has waited until the count that new writes join from now on was 0. */
    word = atomic_fetch_xor_explicit(&gate->word, GATE_PHASE, memory_order_acquire);
    gate_sleep_until_clear(gate, phase_mask(phase_of(word)));
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
