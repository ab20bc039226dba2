/* SPDX-License-Identifier: MIT */
/*
 * stats.c - counts that many threads add to without meeting.
 */
#include "stats.h"

#include <stddef.h>

/* Hands each thread a cell in turn. Relaxed, no partner. */
static atomic_uint threads_seen;

/* This thread's cell + 1; 0 before it has one. */
static _Thread_local unsigned thread_cell;

struct stats_cell *stats_cell(struct stats *stats)
{
    if (thread_cell == 0)
        thread_cell =
            atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) % STATS_CELLS + 1;
    return &stats->cells[thread_cell - 1];
}

uint64_t stats_sum(const struct stats *stats, enum stats_counter counter)
{
    uint64_t sum = 0;

    for (size_t index = 0; index < STATS_CELLS; index++)
        sum += atomic_load_explicit(&stats->cells[index].counters[counter], memory_order_relaxed);
    return sum;
}
