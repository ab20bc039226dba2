/* SPDX-License-Identifier: MIT */
/*
 * pace.h - when a job may issue its next operation: rates, pauses, and whether it keeps up.
 *
 * A rate is a schedule from the start of the job. A job that fell behind catches up at full speed,
 * as in fio; what that hides is shown by the latency from the intended start.
 */
#ifndef AIOFIO_PACE_H
#define AIOFIO_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "issue.h"
#include "options.h"
#include "pattern.h"
#include "stats.h"

struct pace_direction {
    double ns_per_byte;      /* 0: not rated by bytes */
    double ns_per_operation; /* 0: not rated by operations */
    double next_ns;          /* when the next operation is to start, from start_ns */
    uint64_t operations;     /* completed */
    uint64_t bytes;
    uint64_t judged_operations; /* of these when the rate was last looked at */
    uint64_t judged_bytes;
};

struct pace {
    const struct job_options *options;
    struct pace_direction directions[PACED_DIRECTIONS];
    uint64_t start_ns;
    uint64_t judged_ns;
    uint64_t think_until_ns;
    uint64_t since_thinking; /* operations issued */
    struct random_stream gaps;
};

/* Whether the options ask for any of this. */
bool pace_is_wanted(const struct job_options *options);

void pace_start(struct pace *pace, const struct job_options *options, uint64_t seed,
                uint64_t now_ns);

/* When the next operation is to start, or PACER_DRAIN. */
uint64_t pace_due(struct pace *pace, const struct place *place, unsigned in_flight,
                  uint64_t now_ns);

/* The operation is issued; returns when it was to start. */
uint64_t pace_issue(struct pace *pace, const struct place *place);

/* It has completed. */
void pace_complete(struct pace *pace, unsigned direction, uint32_t bytes);

/* Whether the job is as fast as rate_min and rate_iops_min say; if not there is a reason. */
bool pace_keeps_up(struct pace *pace, uint64_t now_ns, struct message *message);

/* When a job with startdelay= starts, after its group. */
uint64_t pace_start_delay_us(const struct job_options *options, uint64_t seed);

#endif
