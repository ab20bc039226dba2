/* SPDX-License-Identifier: MIT */
/*
 * probe.h - what --coherence tries with raw system calls: ground.c (files and memory for it),
 * races.c (two threads at one file), turns.c (one thread), coherence.c (the report).
 */
#ifndef AIOFILE_INFO_PROBE_H
#define AIOFILE_INFO_PROBE_H

#include <libaio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a probe may use of a file or device. */
#define AREA_BYTES (16u << 20)

/* A stripe: the gate (lib/gate.h) keeps a page-cache write apart from direct ones in the same. */
#define STRIPE_BYTES (2u << 20)

/* Where the probes are made. */
struct ground {
    const char *path;
    bool device;
    size_t unit;     /* bytes: what direct I/O takes, and at least a page */
    unsigned rounds; /* of each race */
    bool limited;    /* a race also ends after two seconds */
    io_context_t context;
};

/* One file, open twice. */
struct pair {
    int direct; /* with O_DIRECT */
    int cached; /* without */
};

/* --- ground.c ------------------------------------------------------------------------------- */

/* Ends the program with a sentence unless a condition holds; errno says why it does not. Nothing
 * that the probes make has a name, so that they may end anywhere. */
void must(bool condition, const struct ground *ground, const char *what);

int64_t now_ns(void);

/* When a probe that begins now is to end, whatever its rounds. */
int64_t ground_deadline_ns(const struct ground *ground);

/* Memory for direct I/O, to be given to aio_buffer_free(). */
void *memory_make(const struct ground *ground, size_t bytes);

/* Fills memory with a value that is repeated, and tells whether it is so. bytes: of eight. */
void fill(void *memory, uint64_t value, size_t bytes);
bool is_filled(const void *memory, uint64_t value, size_t bytes);

/* A value that no other round or purpose has. */
uint64_t value_of(unsigned purpose, unsigned round);

/* Makes a file, or opens the device. */
struct pair pair_open(const struct ground *ground);
void pair_close(const struct pair *pair);

/* Writes the first bytes of a pair, so that nothing in them is a hole, and leaves none cached. */
void pair_write_area(const struct ground *ground, const struct pair *pair);

/* Transfers that must be whole. */
void read_whole(const struct ground *ground, int fd, void *memory, size_t bytes, off_t offset);
void write_whole(const struct ground *ground, int fd, const void *memory, size_t bytes,
                 off_t offset);

/* --- races.c -------------------------------------------------------------------------------- */

struct stale {
    unsigned rounds;
    unsigned stale; /* rounds that left a cached page which is not as on the disk */
};

/* Reads through the page cache while direct writes change the same pages. */
struct stale probe_stale(const struct ground *ground);

enum distance {
    DISTANCE_NONE,        /* the small write is on the page that the direct one writes */
    DISTANCE_PAGE,        /* it is on the page before */
    DISTANCE_PAGE_READ,   /* the same, while somebody reads the file from its start to there */
    DISTANCE_STRIPE_READ, /* the same, and a new stripe begins between them */
    DISTANCES,
};

struct collision {
    unsigned rounds;
    unsigned harmed; /* rounds with any of these */
    unsigned failed; /* a write, or the sync after it, reported an error */
    unsigned lost;   /* on the disk is not what both writes leave, in either order */
    unsigned unseen; /* the page cache does not show what is on the disk, after a sync */
    int error;       /* the last reported: a negated errno */
};

/* A small write through the page cache while a direct write is in flight. */
struct collision probe_collision(const struct ground *ground, enum distance distance);

/* --- turns.c -------------------------------------------------------------------------------- */

struct turns {
    unsigned rounds;
    unsigned unseen_direct; /* direct writes that a page-cache read did not show */
    unsigned unseen_cached; /* page-cache writes that a direct read did not show */
};

/* Writes one way and reads the other way, strictly one after the other. */
struct turns probe_turns(const struct ground *ground);

struct reopening {
    int named;   /* 0 or a negated errno */
    int unnamed; /* of a file that was removed; files only */
};

/* Opens a direct file again without O_DIRECT, by its descriptor. */
struct reopening probe_reopening(const struct ground *ground);

enum submit {
    SUBMIT_OVERWRITE, /* of blocks that were written before */
    SUBMIT_APPEND,    /* beyond the end of the file */
    SUBMIT_KEPT,      /* the same, where fallocate(2) has put blocks */
    SUBMIT_ALLOCATED, /* into blocks of fallocate(2) below the end */
    SUBMIT_HOLE,      /* into what ftruncate(2) made */
    SUBMITS,
};

/* How long io_submit(2) takes, in per cent of the time until the last of its writes is done; or a
 * negated errno, where the file system has no such blocks. */
int probe_submit(const struct ground *ground, enum submit kind);

#endif
