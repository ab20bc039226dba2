/* SPDX-License-Identifier: MIT */
/*
 * progress.h - the line that moves while jobs run, as fio prints it.
 */
#ifndef AIOFIO_PROGRESS_H
#define AIOFIO_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "stats.h"

struct run;

struct progress {
    bool shown;
    uint64_t start_ns;
    uint64_t last_ns;                          /* of the last line */
    uint64_t operations[DIRECTION_DATA_COUNT]; /* then */
    uint64_t bytes[DIRECTION_DATA_COUNT];
};

void progress_init(struct progress *progress, bool shown);

/* How long until the next line is due. */
unsigned progress_timeout_ms(const struct progress *progress);

/* Prints the line if it is due. */
void progress_update(struct progress *progress, struct run *run);

#endif
