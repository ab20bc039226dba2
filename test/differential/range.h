/* SPDX-License-Identifier: MIT */
/*
 * range.h - where a transfer goes: aligned to blocks, to sectors or to nothing, near the end of the
 * file, near where the last one was.
 */
#ifndef AIOFILE_TEST_DIFFERENTIAL_RANGE_H
#define AIOFILE_TEST_DIFFERENTIAL_RANGE_H

#include <stdint.h>

/* Bytes of offset..end, of which unit is the alignment. */
struct range {
    uint64_t offset;
    uint64_t length;
    uint64_t unit;
};

/* 4096, 512 or 1, a third each. */
uint64_t choose_unit(uint64_t *random);

/* Bytes, a multiple of unit; mostly small, at most the limit. */
uint64_t choose_length(uint64_t *random, uint64_t unit, uint64_t limit);

/* A range in a file of so many bytes, which may go beyond its end but not beyond limit. *hot is
 * where things happen; it moves. */
struct range choose_range(uint64_t *random, uint64_t size, uint64_t limit, uint64_t longest,
                          uint64_t *hot);

/* A range within start..end. */
struct range choose_within(uint64_t *random, uint64_t start, uint64_t end, uint64_t longest);

#endif
