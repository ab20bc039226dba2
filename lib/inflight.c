/* SPDX-License-Identifier: MIT */
/*
 * inflight.c - how many submitted operations of a handle are in flight.
 *
 * The sleeper sets its flag under the lock, then looks at the count, then sleeps, which drops the
 * lock. Who takes from the count comes either before that look and is seen, or finds the flag and
 * does so under the lock, with a signal. The sleeper returns only with the lock held, so the last
 * one to leave is out of this memory when close frees it.
 */
#include "inflight.h"

#define INFLIGHT_SLEEPER UINT64_C(1)
#define INFLIGHT_ONE UINT64_C(2)

void inflight_init(struct inflight *inflight)
{
    atomic_init(&inflight->word, 0);
    thread_mutex_init(&inflight->lock);
    thread_cond_init(&inflight->changed);
}

void inflight_destroy(struct inflight *inflight)
{
    thread_cond_destroy(&inflight->changed);
    thread_mutex_destroy(&inflight->lock);
}

void inflight_add(struct inflight *inflight, unsigned count)
{
    atomic_fetch_add_explicit(&inflight->word, count * INFLIGHT_ONE, memory_order_relaxed);
}

void inflight_remove(struct inflight *inflight, unsigned count)
{
    uint64_t word = atomic_load_explicit(&inflight->word, memory_order_relaxed);

    while ((word & INFLIGHT_SLEEPER) == 0)
        if (atomic_compare_exchange_weak_explicit(&inflight->word, &word,
                                                  word - count * INFLIGHT_ONE, memory_order_release,
                                                  memory_order_relaxed))
            return;
    thread_mutex_lock(&inflight->lock);
    atomic_fetch_sub_explicit(&inflight->word, count * INFLIGHT_ONE, memory_order_release);
    thread_cond_signal(&inflight->changed);
    thread_mutex_unlock(&inflight->lock);
}

unsigned inflight_count(const struct inflight *inflight)
{
    return (unsigned)(atomic_load_explicit(&inflight->word, memory_order_relaxed) / INFLIGHT_ONE);
}

void inflight_wait_idle(struct inflight *inflight)
{
    thread_mutex_lock(&inflight->lock);
    atomic_fetch_or_explicit(&inflight->word, INFLIGHT_SLEEPER, memory_order_relaxed);
    while (atomic_load_explicit(&inflight->word, memory_order_acquire) >= INFLIGHT_ONE)
        thread_cond_wait(&inflight->changed, &inflight->lock, DEADLINE_NEVER);
    thread_mutex_unlock(&inflight->lock);
}
