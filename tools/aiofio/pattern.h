/* SPDX-License-Identifier: MIT */
/*
 * pattern.h - which block is next, and whether it is read or written.
 */
#ifndef AIOFIO_PATTERN_H
#define AIOFIO_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "random.h"

struct pattern {
    uint64_t block_count;
    bool random;
    bool reads;
    bool writes;
    bool endless;          /* begin again after a pass */
    unsigned read_percent; /* of mixed patterns */
    uint64_t seed;
    uint64_t pass;
    uint64_t issued;       /* in this pass */
    uint64_t positions[2]; /* sequential: of reads and of writes */
    struct random_stream mix;
    struct permutation permutation;
};

/* What the pattern is to be; the other members are the pattern's own. */
void pattern_start(struct pattern *pattern);

/* Gives the next block; false after the last. In a pass of a random pattern every block comes once,
 * be it read or written; sequential reads and writes each go their own way. */
bool pattern_next(struct pattern *pattern, bool *write, uint64_t *block);

#endif
