/* SPDX-License-Identifier: MIT */
/*
 * pattern.h - where the next operation of a job is, how large it is, and whether it reads or
 * writes.
 *
 * A pattern goes over a region of bytes and never leaves it. It needs the same small memory for
 * every size of region.
 */
#ifndef AIOFIO_PATTERN_H
#define AIOFIO_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "block_size.h"
#include "distribution.h"
#include "random.h"

/* What the pattern is to be. */
struct pattern_spec {
    uint64_t region;     /* bytes */
    uint64_t amount;     /* bytes of a loop; 0: what a pass over the region covers */
    uint64_t operations; /* of a loop at most; 0: no limit */
    uint64_t loops;      /* 0: endless */
    bool reads;
    bool writes;
    bool random;
    bool no_map;                                    /* random without care for what was visited */
    unsigned read_percent;                          /* of mixed patterns */
    unsigned random_percent[BLOCK_SIZE_DIRECTIONS]; /* the rest goes on where the last one ended */
    uint64_t align[BLOCK_SIZE_DIRECTIONS];          /* of offsets without map; 0: least size */
    struct block_sizes sizes[BLOCK_SIZE_DIRECTIONS];
    unsigned run;   /* operations of one random place; 0 or 1: a new place each time */
    bool identical; /* those of a run have the same offset; else they follow one another */
    int64_t hole;   /* bytes between sequential operations; negative: backwards */
    const struct distribution *distributions; /* by direction; NULL: even */
    uint64_t seed;
};

/* One operation. */
struct place {
    bool write;
    uint32_t length;
    uint64_t offset; /* in the region */
    unsigned file;   /* of a file_set; a pattern leaves it alone */
};

struct pattern {
    struct pattern_spec spec;
    bool (*locate)(struct pattern *pattern, struct place *place); /* false: the pass is over */
    bool varies;                                                  /* sizes */
    bool mixes;                                                   /* reads and writes */
    uint64_t loops_done;
    uint64_t passes_done;
    uint64_t bytes_left; /* of this loop */
    uint64_t operations_left;
    uint64_t issued;       /* places taken in this pass */
    uint64_t positions[2]; /* sequential: of reads and of writes */
    unsigned in_run;       /* operations still to come of the run */
    uint64_t run_offset;
    struct random_stream mix;  /* directions and sizes */
    struct random_stream draw; /* places without a map */
    uint64_t slots;            /* of the map */
    struct permutation permutation;

    /* A map of varying sizes: see pattern.c. */
    uint64_t cell_bytes;
    uint32_t window_bytes;
    uint32_t least; /* size of all */
    uint32_t step;  /* every size is a multiple */
    bool in_cell;
    uint64_t cell_start;
    uint64_t cell_size;
    uint64_t cell_at;  /* the next operation */
    uint64_t cell_end; /* of the window that is being visited */
    struct random_stream cell_stream;
};

/* Whether every byte of the region comes exactly once per pass (but for a rest that is smaller than
 * the least size). */
bool pattern_covers(const struct pattern_spec *spec);

/* Bytes of one pass: the region without a rest that no operation fits into. */
uint64_t pattern_pass_bytes(const struct pattern_spec *spec);

void pattern_start(struct pattern *pattern, const struct pattern_spec *spec);

/* Gives the next operation; false after the last. Sequential reads and writes each go their own
 * way. */
bool pattern_next(struct pattern *pattern, struct place *place);

/* The same for many at once, where only offsets differ: one size, and either reads or writes. Gives
 * how many there were; 0 after the last. */
unsigned pattern_next_offsets(struct pattern *pattern, uint64_t *offsets, unsigned room);

#endif
