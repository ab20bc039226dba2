/* SPDX-License-Identifier: MIT */
/*
 * runner.h - the jobs of a plan, stage after stage, and the signals that end them.
 */
#ifndef AIOFIO_RUNNER_H
#define AIOFIO_RUNNER_H

#include "progress.h"
#include "worker.h"

/* Where a test steps in; all may be NULL. */
struct run_hooks {
    void (*before_verify)(void *context, struct target *target);
    void (*before_group)(void *context, const struct plan *plan, unsigned stage);
    void *context;
};

/* Makes the workers. 0 or -1 with a reason. */
int run_init(struct run *run, struct plan *plan, const struct run_hooks *hooks, FILE *errors,
             struct message *message);
void run_free(struct run *run);

/*
 * Runs everything. At the first SIGINT or SIGTERM nothing new is issued, what is in flight
 * completes, and later stages do not start; the second one ends the process at once.
 * 0, or -1 with a reason when threads can't be made.
 */
int runner_run(struct run *run, const struct run_hooks *hooks, struct progress *progress,
               struct message *message);

#endif
