/* SPDX-License-Identifier: MIT */
/*
 * workload.h - what the job was told to do: its reads, writes and syncs.
 */
#ifndef AIOFIO_WORKLOAD_H
#define AIOFIO_WORKLOAD_H

#include "worker.h"

/* Runs it on the worker's open handle and queue. */
void workload_run(struct worker *worker);

#endif
