/* SPDX-License-Identifier: MIT */
/*
 * modes.h - the ways in which a handle is compared. Each does so many operations on a world.
 */
#ifndef AIOFILE_TEST_DIFFERENTIAL_MODES_H
#define AIOFILE_TEST_DIFFERENTIAL_MODES_H

#include <stdbool.h>
#include <stdint.h>

#include "world.h"

/* One thread and blocking calls, each compared. two: two handles, opened differently, by turns. */
void lockstep_run(struct world *world, uint64_t random, uint64_t operations, bool two);

/* Many in flight that do not meet. One lane: one thread, which changes the size too; more: a thread
 * for each, on byte ranges that share blocks, through so many handles. */
void lanes_run(struct world *world, uint64_t random, uint64_t operations, unsigned lanes,
               unsigned handles);

/* Threads on ranges that overlap: what is read must be something that could be there. */
void overlap_run(struct world *world, uint64_t random, uint64_t operations, unsigned threads,
                 unsigned handles);

/* Threads that append: everything is there once, one behind the other. */
void appends_run(struct world *world, uint64_t random, uint64_t operations, unsigned threads);

#endif
