/* SPDX-License-Identifier: MIT */
/*
 * identity.h - what tells the blocks of this process from those of any other.
 */
#ifndef AIOFIO_IDENTITY_H
#define AIOFIO_IDENTITY_H

#include <stdatomic.h>
#include <stdint.h>

struct identity {
    uint64_t run;              /* random */
    _Atomic uint64_t sequence; /* of writes; relaxed: only the numbers have to differ */
};

static inline uint64_t identity_next(struct identity *identity)
{
    return atomic_fetch_add_explicit(&identity->sequence, 1, memory_order_relaxed) + 1;
}

#endif
