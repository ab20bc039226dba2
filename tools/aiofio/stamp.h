/* SPDX-License-Identifier: MIT */
/*
 * stamp.h - the stamp that every 512 bytes written by aiofio carry, and what a block read back is.
 *
 * A block is what one expectation is kept for (usually bs bytes). Each of its sectors begins with
 * the block's stamp and the sector's own index and checksum, so that a block put together of two
 * writes is told from one in which bits have changed. Numbers are in the machine's byte order; the
 * magic number shows when that is another one.
 */
#ifndef AIOFIO_STAMP_H
#define AIOFIO_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAMP_SECTOR 512u
#define STAMP_MAGIC 0x6f694641u /* "AFio" */
#define STAMP_VERSION 1u

enum stamp_kind {
    STAMP_KIND_BLOCK = 1, /* part of a block with an expectation */
    STAMP_KIND_FILL = 2,  /* written by a job without verify: says only that aiofio wrote it */
};

struct stamp {
    uint32_t magic;
    uint32_t crc; /* crc32c of the sector from the next field on */
    uint16_t version;
    uint16_t sector; /* index in the block */
    uint32_t length; /* bytes of the block */
    uint64_t run;    /* random number of the process that wrote it */
    uint64_t offset; /* of the block in the file */
    uint32_t file;   /* number of the file in that run */
    uint32_t generation;
    uint64_t sequence; /* of the write, over all jobs of the run */
    uint32_t job;
    uint32_t kind; /* enum stamp_kind */
    uint64_t seed; /* of the payload */
};

/* Fills data with the block that the stamp describes; sector, crc and seed are set here. */
void stamp_fill(void *data, const struct stamp *stamp);

/* Whether 512 bytes are a whole sector written by aiofio; its stamp goes to *stamp. */
bool stamp_read(const void *sector, struct stamp *stamp);

/* What a block turned out to be. */
enum block_state {
    BLOCK_GOOD,
    BLOCK_UNKNOWN,     /* nothing is expected of it: not checked */
    BLOCK_IN_FLIGHT,   /* being written while it was read, and in between: not checked */
    BLOCK_STALE,       /* right place, older generation: a write was lost */
    BLOCK_MISDIRECTED, /* belongs to another offset or file */
    BLOCK_TORN,        /* parts of different writes */
    BLOCK_FOREIGN,     /* written by another run */
    BLOCK_CORRUPT,     /* no stamp, wrong checksum, or a generation never written */
    BLOCK_ZEROED,      /* zeros */
    BLOCK_STATE_COUNT,
};

#define BLOCK_FIRST_BAD BLOCK_STALE

/* What is expected of a block. */
struct block_expectation {
    uint64_t run;
    uint64_t offset;
    uint32_t file;
    uint32_t length;
    uint32_t lowest; /* generations that it may have; 0: anything may be there */
    uint32_t highest;
    bool own_run;   /* false: any run and file, the block must only agree with itself */
    bool in_flight; /* a write overlapped the read */
};

/* What was found: the first sector that decided, for the message. */
struct block_evidence {
    struct stamp stamp; /* zeros where there is none */
    unsigned sector;    /* index in the block */
    unsigned differing; /* sectors that are not as expected */
};

enum block_state stamp_judge(const void *data, const struct block_expectation *expectation,
                             struct block_evidence *evidence);

/* "stale", "torn" ... */
const char *block_state_name(enum block_state state);

#endif
