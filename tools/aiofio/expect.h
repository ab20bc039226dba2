/* SPDX-License-Identifier: MIT */
/*
 * expect.h - which generation of every block of a file may be on the disk.
 *
 * The n-th write of a block carries generation n. While writes of one block overlap in time, the
 * kernel may finish them in any order, so the table keeps a set: every generation from the lowest
 * that can still be there to the highest issued. 8 bytes per block, shared by all jobs on the file.
 */
#ifndef AIOFIO_EXPECT_H
#define AIOFIO_EXPECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The most writes that may be in flight on one block. */
#define EXPECT_INFLIGHT_MAX 4000u

struct expect {
    uint64_t count;
    _Atomic uint64_t *blocks;
    bool placed; /* in memory that is somebody else's */
};

/* What is known of a block at one moment. */
struct expect_view {
    uint32_t lowest;  /* 0: nothing known, anything may be there */
    uint32_t highest; /* 0: never written */
    bool writing;     /* writes are in flight */
};

void expect_init(struct expect *expect, uint64_t count);
void expect_free(struct expect *expect);

/* Has the table in memory of the caller's from now on: zeros, or a table as it was left. */
void expect_place(struct expect *expect, void *memory);

/* A write is about to be issued; returns its generation. */
uint32_t expect_write_begin(struct expect *expect, uint64_t block);

/* It has completed. A failed one leaves the block unknown until the next that succeeds. */
void expect_write_end(struct expect *expect, uint64_t block, bool succeeded);

struct expect_view expect_view(const struct expect *expect, uint64_t block);

/* Has older generations of a block pass, too: down to lowest, or all where that is 0. */
void expect_lower(struct expect *expect, uint64_t block, uint32_t lowest);

/* Whether any block from one up to another was ever written. */
bool expect_any_written(const struct expect *expect, uint64_t from, uint64_t to);

/* How many blocks were ever written. */
uint64_t expect_written(const struct expect *expect);

#endif
