/* SPDX-License-Identifier: MIT */
/*
 * live.h - what a running job shows of its completions, for intervals with their own percentiles.
 */
#ifndef AIOFIO_LIVE_H
#define AIOFIO_LIVE_H

#include <stdatomic.h>
#include <stdint.h>

#include "histogram.h"
#include "stats.h"

/* Written by the job's thread alone and read by the main thread at any time, relaxed: each number
 * stands for itself, and having one writer it needs no locked instruction. So the bytes and the
 * operations of an interval may be a moment apart; what one interval lacks the next one has. */
struct live_cell {
    struct live_direction {
        _Atomic uint64_t bytes;
        _Atomic uint64_t buckets[HISTOGRAM_BUCKETS]; /* of clat */
    } directions[DIRECTION_DATA_COUNT];
};

static inline void live_raise(_Atomic uint64_t *number, uint64_t by)
{
    atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

static inline void live_add(struct live_cell *cell, enum direction direction, uint64_t bytes,
                            uint64_t clat_ns)
{
    if (direction >= DIRECTION_DATA_COUNT)
        return;
    live_raise(&cell->directions[direction].bytes, bytes);
    live_raise(&cell->directions[direction].buckets[histogram_bucket(clat_ns)], 1);
}

#endif
