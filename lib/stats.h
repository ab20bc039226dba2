/* SPDX-License-Identifier: MIT */
/*
 * stats.h - counts that many threads add to without meeting.
 */
#ifndef AIOFILE_LIB_STATS_H
#define AIOFILE_LIB_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum stats_counter {
    STATS_READS,
    STATS_WRITES,
    STATS_BYTES_READ,
    STATS_BYTES_WRITTEN,
    STATS_SYNCS,
    /* Submitted transfers by road, then blocking ones; those of the latter that are not here are
     * direct. Reads and writes next to each other, roads in steps of two. */
    STATS_DIRECT_READS,
    STATS_DIRECT_WRITES,
    STATS_BOUNCED_READS,
    STATS_BOUNCED_WRITES,
    STATS_CACHED_READS,
    STATS_CACHED_WRITES,
    STATS_BLOCKING_BOUNCED_READS,
    STATS_BLOCKING_BOUNCED_WRITES,
    STATS_BLOCKING_CACHED_READS,
    STATS_BLOCKING_CACHED_WRITES,
    STATS_OFFLOADED,
    STATS_COUNTERS
};

/* Threads spread over these; two that share one still count right. */
#define STATS_CELLS 8u

struct stats_cell {
    /* Relaxed, no partner: sums for people. */
    _Alignas(64) atomic_uint_fast64_t counters[STATS_COUNTERS];
};

struct stats {
    struct stats_cell cells[STATS_CELLS];
};

/* The cell of this thread. */
struct stats_cell *stats_cell(struct stats *stats);

static inline void stats_add(struct stats_cell *cell, enum stats_counter counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&cell->counters[counter], amount, memory_order_relaxed);
}

uint64_t stats_sum(const struct stats *stats, enum stats_counter counter);

#endif
