/* SPDX-License-Identifier: MIT */
/*
 * file_ops.h - what a queue asks of the file of an operation.
 */
#ifndef AIOFILE_LIB_FILE_OPS_H
#define AIOFILE_LIB_FILE_OPS_H

#include <aiofile/queue.h>

#include "transfer.h"

/*
 * What to do where a truncate or a draining sync wants the file for itself. A callback passes while
 * that one only waits for others to leave: what it waits for may be delivered by the very thread
 * that runs the callback.
 */
enum gate_patience {
    GATE_WAIT,          /* wait until it is through */
    GATE_TRY,           /* -EAGAIN */
    GATE_CALLBACK_WAIT, /* pass while it waits for others, wait while it is at work */
    GATE_CALLBACK_TRY,  /* pass while it waits for others, -EAGAIN while it is at work */
};

/* Checks an operation that is to be submitted, fills transfer, counts it as in flight and, for a
 * write, enters the gate. Returns 0, or a negated errno with nothing changed. No lock held. */
int file_op_begin(const struct aio_op *op, enum gate_patience patience, struct transfer *transfer);

/* The operation has its result: leaves the gate, keeps a sync's error. The queue's lock is held;
 * does not block. */
void file_op_end(struct aio_file *file, const struct transfer *transfer);

/* The file may go: nothing of the operation touches it any more. The queue's lock may be held;
 * does not block. */
void file_op_forget(struct aio_file *file);

#endif
