/* SPDX-License-Identifier: MIT */
/*
 * op.h - what can be said of an operation without its file.
 */
#ifndef AIOFILE_LIB_OP_H
#define AIOFILE_LIB_OP_H

#include <stdbool.h>

#include <aiofile/queue.h>

/* Checks opcode, flags and reserved fields; submitted ones have fewer opcodes than executed ones.
 * Returns 0, -EINVAL for what no version knows, -EOPNOTSUPP for what this one does not do. */
int op_check(const struct aio_op *op, bool submitted);

#endif
