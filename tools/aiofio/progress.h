/* SPDX-License-Identifier: MIT */
/*
 * progress.h - what is told while jobs run: the line that moves, as fio prints it, and live JSON.
 */
#ifndef AIOFIO_PROGRESS_H
#define AIOFIO_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "intervals.h"
#include "stats.h"

struct run;

#define PROGRESS_INTERVAL_NS 500000000ull

struct progress {
    bool shown;     /* the line */
    FILE *live;     /* of --live-json, or NULL */
    int live_error; /* errno of a line of it that could not be written */
    uint64_t interval_ns;
    uint64_t last_ns;            /* of the last interval's end */
    struct intervals *intervals; /* NULL: nobody looks */
    bool keeps;
    struct interval_point *points; /* all intervals so far, if they are kept */
    size_t point_count;
    size_t point_room;
};

/* What there is to be told, and how often. */
struct progress_need {
    bool shown;
    FILE *live;
    bool keeps; /* the intervals are wanted when the run is over */
    uint64_t interval_ns;
};

void progress_start(struct progress *progress, const struct progress_need *need);
void progress_free(struct progress *progress);

/* Whether the jobs must show every completion. */
bool progress_looks(const struct progress *progress);

/* How long until the next line is due. */
unsigned progress_timeout_ms(const struct progress *progress);

/* Ends the interval if it is over, and tells of it. */
void progress_update(struct progress *progress, struct run *run);

/* Ends the last interval, and takes the line away. */
void progress_end(struct progress *progress, struct run *run);

#endif
