/* SPDX-License-Identifier: MIT */
/*
 * distribution.h - random places that are not even: zipf, pareto, normal, and zones with shares.
 *
 * Zipf and pareto draw ranks, of which low ones are frequent; a permutation scatters the ranks over
 * the blocks, so that hot blocks are no neighbours. With a center, and in the others, they are.
 */
#ifndef AIOFIO_DISTRIBUTION_H
#define AIOFIO_DISTRIBUTION_H

#include <stdbool.h>
#include <stdint.h>

#include "random.h"
#include "text.h"

#define DISTRIBUTION_ZONES_MAX 256u

enum distribution_kind {
    DISTRIBUTION_EVEN,
    DISTRIBUTION_ZIPF,
    DISTRIBUTION_PARETO,
    DISTRIBUTION_NORMAL,
    DISTRIBUTION_ZONED,     /* sizes in percent of the region */
    DISTRIBUTION_ZONED_ABS, /* in bytes */
};

struct distribution_zone {
    uint32_t up_to; /* percent of the operations, zones before it included */
    uint64_t end;   /* percent or bytes, likewise; after preparing: blocks */
};

struct distribution {
    enum distribution_kind kind;
    double parameter;
    bool has_center;
    double center; /* from 0 to 1 */
    unsigned zone_count;
    struct distribution_zone zones[DISTRIBUTION_ZONES_MAX];

    /* Set by distribution_prepare(). */
    uint64_t count; /* blocks */
    double zeta;
    double alpha;
    double eta;
    double second; /* below it, in units of zeta, is the second rank */
    struct permutation scatter;
};

/* "zipf:1.2", "pareto:0.2:0.5", "normal:25", "zoned:60/10:30/20:10/70", "random"; by direction with
 * commas. 0, or -1 with a reason. */
int distribution_parse(const char *text, struct distribution distributions[2], uint64_t kb_base,
                       struct message *message);

/* Makes it ready for so many blocks of that size. */
void distribution_prepare(struct distribution *distribution, uint64_t count, uint64_t block_bytes,
                          uint64_t seed);

/* A block below count, which is not above that of prepare. */
uint64_t distribution_draw(const struct distribution *distribution, struct random_stream *stream,
                           uint64_t count);

#endif
