/* SPDX-License-Identifier: MIT */
/*
 * verify.h - stamping what is written and checking what is read, block by block.
 */
#ifndef AIOFIO_VERIFY_H
#define AIOFIO_VERIFY_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "console.h"
#include "expect.h"
#include "identity.h"
#include "stamp.h"
#include "target.h"

/* Bad blocks that are described; the rest are counted. */
#define FINDINGS_SHOWN 20u

/* Bad blocks of the whole run. */
struct findings {
    struct console *console;
    _Atomic uint64_t count;
};

struct verify_counts {
    uint64_t wanted;  /* blocks that were to be checked */
    uint64_t checked; /* good or bad */
    uint64_t states[BLOCK_STATE_COUNT];
};

void verify_counts_merge(struct verify_counts *to, const struct verify_counts *from);
uint64_t verify_bad(const struct verify_counts *counts);
uint64_t verify_skipped(const struct verify_counts *counts);

/* Wanted, and neither checked nor skipped for a reason. */
uint64_t verify_missed(const struct verify_counts *counts);

/* "verify: 64 blocks, 64 checked, 0 bad, 0 stale, ..."; the line is the caller's to end. */
void verify_counts_print(FILE *out, const struct verify_counts *counts);

/* Who writes: goes into the stamps. */
struct verify_writer {
    struct identity *identity;
    struct target *target;
    uint32_t job;
};

/* Stamps length bytes about to be written at offset. */
void verify_before_write(const struct verify_writer *writer, void *data, uint64_t offset,
                         uint32_t length);
void verify_after_write(const struct verify_writer *writer, uint64_t offset, uint32_t length,
                        bool succeeded);

/* Who reads. */
struct verify_reader {
    const struct identity *identity;
    const struct target *target;
    const char *job_name;
    struct findings *findings;
    struct verify_counts *counts;
};

/* Notes what may be read, before the read is submitted: views has room for each block. */
void verify_before_read(const struct verify_reader *reader, struct expect_view *views,
                        uint64_t offset, uint32_t length);

/* Checks and counts the blocks that were read; counts->wanted is the caller's. */
void verify_after_read(const struct verify_reader *reader, const struct expect_view *views,
                       const void *data, uint64_t offset, uint32_t length);

#endif
