/* SPDX-License-Identifier: MIT */
/*
 * file_ops.h - what a queue asks of the file of an operation.
 */
#ifndef AIOFILE_LIB_FILE_OPS_H
#define AIOFILE_LIB_FILE_OPS_H

#include <stdbool.h>

#include <aiofile/queue.h>

#include "transfer.h"

/* Checks an operation that is to be submitted, fills transfer, counts it as in flight. Returns 0,
 * or a negated errno with nothing changed. No lock held. */
int file_op_begin(const struct aio_op *op, struct transfer *transfer);

/* Lets it run: a write enters the gate, an append gets its place. Returns 0; -EAGAIN where a
 * truncate keeps it out: whoever ends that calls queues_launch_held(); or another negated errno,
 * the operation's result. No lock held. */
int file_op_enter(struct aio_file *file, struct transfer *transfer);

/* Whether writes of the file are kept out. */
bool file_op_barred(struct aio_file *file);

/* An operation that was let in has its result: leaves the gate, keeps a sync's error. The queue's
 * lock is held; does not block. */
void file_op_end(struct aio_file *file, struct transfer *transfer);

/* Keeps a file, of which an operation is in flight, from being closed until file_op_forget(). */
void file_op_hold(struct aio_file *file);

/* The file may go: nothing of the operation touches it any more. The queue's lock may be held;
 * does not block. */
void file_op_forget(struct aio_file *file);

#endif
