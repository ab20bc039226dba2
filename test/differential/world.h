/* SPDX-License-Identifier: MIT */
/*
 * world.h - the file or device that is judged, and its plain twin: made, opened in all ways,
 * compared.
 */
#ifndef AIOFILE_TEST_DIFFERENTIAL_WORLD_H
#define AIOFILE_TEST_DIFFERENTIAL_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plain.h"
#include "support.h"

/* Files are smaller, but for single bytes far out. */
#define FILE_MAX (16 * MIB)

/* What is compared at once. */
#define CHUNK (64 * KIB)
#define CHUNKS_MAX (256 * MIB / CHUNK)

/* What a handle with O_DIRECT is here. */
struct facts {
    uint32_t granted;   /* enum aio_direct_granted */
    uint32_t required;  /* alignments */
    uint32_t preferred; /* */
    uint32_t memory;    /* */
};

/* Transfers by road, of all handles that were closed. */
struct roads {
    uint64_t direct_reads;
    uint64_t direct_writes;
    uint64_t bounced_reads;
    uint64_t bounced_writes;
    uint64_t cached_reads;
    uint64_t cached_writes;
};

struct world {
    bool device;
    bool any_write; /* writes that are not aligned are taken */
    struct facts facts;
    char subject[4200]; /* paths */
    char twin[4200];
    int witness;         /* of the subject, past the library */
    struct plain mirror; /* of the twin */
    struct array array;  /* of a device */
    unsigned growers;    /* handles that grow the file ahead */
    unsigned char *found;
    unsigned char *expected;
    atomic_bool changed[CHUNKS_MAX]; /* since they were compared */
    struct roads roads;
};

/* A handle and its plain twin. */
struct pair {
    struct aio_file *file;
    struct plain plain;
    int flags; /* of open(2) */
    struct aio_file_options options;
    struct aio_file_info info;
};

/* Looks what a place gives. Returns 0, or the error of opening there. */
int facts_find(struct facts *facts, const char *path);
const char *granted_name(uint32_t granted);

/* Makes both, empty; or finds the device. any_write: of a device, whether unaligned writes are
 * asked for. */
struct world *world_create(const struct facts *facts, bool any_write);

/* The right size. */
uint64_t world_size(struct world *world);

/* Chooses how a handle is opened; its alignment is at most the limit. */
struct aio_file_options choose_options(struct world *world, uint64_t *random, uint32_t limit);

/* Opens a handle and its twin, with flags of open(2), and closes both. */
void pair_open(struct world *world, struct pair *pair, int flags,
               const struct aio_file_options *options);
void pair_close(struct world *world, struct pair *pair);

/* Remembers that bytes changed. */
void world_changed(struct world *world, uint64_t start, uint64_t end);

/* Compares what changed, or everything, with nothing in flight: past the library, and through a
 * handle unless that is NULL. */
void world_compare(struct world *world, struct aio_file *file, bool whole);

/* Compares everything for the last time, and removes all. */
void world_destroy(struct world *world);

#endif
