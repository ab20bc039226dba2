/* SPDX-License-Identifier: MIT */
/*
 * op.h - what can be said of an operation without its file.
 */
#ifndef AIOFILE_LIB_OP_H
#define AIOFILE_LIB_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <aiofile/queue.h>

/* Tells what is wrong with an operation that op_check() found not to be plain; 0: nothing. */
int op_refuse(const struct aio_op *op);

/* Checks opcode, flags, priority, deadline and reserved fields. Returns 0 or -EINVAL. The plain
 * operation, with nothing but WAITED set, passes in one comparison. */
static inline int op_check(const struct aio_op *op)
{
    uint64_t unusual = op->priority | op->mode | op->deadline | op->reserved2[0] |
                       op->reserved2[1] | op->reserved2[2] |
                       (op->flags & ~(uint32_t)AIO_OP_WAITED) | op->reserved0[0] |
                       op->reserved0[1] | op->reserved0[2];

    if (unusual != 0 || op->opcode > AIO_OP_ALLOCATE || (op->flags != 0 && op->on_complete != NULL))
        return op_refuse(op);
    return 0;
}

#endif
