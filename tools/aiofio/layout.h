/* SPDX-License-Identifier: MIT */
/*
 * layout.h - the files before and after the run: what may be done to them, and making them.
 *
 * A file is aiofio's own if this process made it, if it has aiofio's extended attribute, or if its
 * first sector carries aiofio's stamp. Any other file is never extended, filled or removed without
 * overwrite=1 or --force; what a job names and writes to lies inside of it. No file is ever
 * truncated. Nothing is touched before every job has passed.
 */
#ifndef AIOFIO_LAYOUT_H
#define AIOFIO_LAYOUT_H

#include <stdbool.h>
#include <stdio.h>

#include "identity.h"
#include "plan.h"

struct layout_rules {
    bool readonly; /* nothing may be written */
    bool force;    /* the user takes the blame */
    bool devices;  /* block devices may be written to */
};

/* Finds the files, works out regions and blocks, and refuses what is not safe or can't work. Only
 * looks. 0, or -1 with a reason. */
int layout_check(struct plan *plan, const struct layout_rules *rules, struct message *message);

/* Makes and extends files, then opens each as its jobs will. An exit code; if it is not 0 there is
 * a reason, and what was made is gone again. */
int layout_make(struct plan *plan, struct identity *identity, FILE *report,
                struct message *message);

/* Removes the files of jobs with unlink=1. */
void layout_finish(struct plan *plan);

#endif
