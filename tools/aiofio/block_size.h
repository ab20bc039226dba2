/* SPDX-License-Identifier: MIT */
/*
 * block_size.h - how large a job's operations are: one size, a range, or sizes with their shares.
 */
#ifndef AIOFIO_BLOCK_SIZE_H
#define AIOFIO_BLOCK_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "random.h"
#include "text.h"

#define BLOCK_SIZES_MAX 64u
#define BLOCK_SIZE_LEAST 1u
#define BLOCK_SIZE_LEAST_SECTOR 512u /* of all but appends */
#define BLOCK_SIZE_MOST (32u << 20)

/* Directions for which sizes can differ: reads and writes. fio's third, trim, is read and unused.
 */
#define BLOCK_SIZE_DIRECTIONS 2

struct block_size_share {
    uint32_t bytes;
    uint32_t up_to; /* of SHARES, the shares before it included */
};

/* All sizes are multiples of step. */
struct block_sizes {
    uint32_t least;
    uint32_t most;
    uint32_t step;
    unsigned share_count; /* 0: evenly from least to most */
    struct block_size_share shares[BLOCK_SIZES_MAX];
};

/* One size. */
void block_sizes_fix(struct block_sizes *sizes, uint32_t bytes);

/* "4k-64k", by direction: "4k-8k,16k-64k"; kb_base: what k is. 0, or -1 with a reason. */
int block_sizes_parse_range(const char *text, struct block_sizes sizes[BLOCK_SIZE_DIRECTIONS],
                            bool unaligned, uint64_t kb_base, struct message *message);

/* "4k/10:64k/50:32k/", by direction. What has no percentage shares the rest. */
int block_sizes_parse_split(const char *text, struct block_sizes sizes[BLOCK_SIZE_DIRECTIONS],
                            uint64_t kb_base, struct message *message);

static inline bool block_sizes_vary(const struct block_sizes *sizes)
{
    return sizes->least != sizes->most;
}

uint32_t block_sizes_draw(const struct block_sizes *sizes, struct random_stream *stream);

/* The greatest number that divides both; 0 is divided by everything. */
uint64_t common_divisor(uint64_t a, uint64_t b);

#endif
