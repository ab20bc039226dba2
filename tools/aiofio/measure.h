/* SPDX-License-Identifier: MIT */
/*
 * measure.h - what the options of a job say about its statistics.
 */
#ifndef AIOFIO_MEASURE_H
#define AIOFIO_MEASURE_H

#include "options.h"
#include "stats.h"

/* The window that bandwidth and IOPS are both made of: the largest that fits into bwavgtime and
 * into iopsavgtime a whole number of times. */
uint64_t measure_window_ns(const struct job_options *options);

struct stats_disabled measure_disabled(const struct job_options *options);

#endif
