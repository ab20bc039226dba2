/* SPDX-License-Identifier: MIT */
/*
 * verify_phase.h - reading back, after the writes, every block that this process wrote to a file.
 */
#ifndef AIOFIO_VERIFY_PHASE_H
#define AIOFIO_VERIFY_PHASE_H

#include "worker.h"

/* Ends the writing of a job that verifies. The last such job of a file in its group syncs the file
 * and reads it back, with direct I/O where that is possible, on a handle of its own. */
void verify_phase_run(struct worker *worker);

#endif
