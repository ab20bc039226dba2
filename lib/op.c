/* SPDX-License-Identifier: MIT */
/*
 * op.c - what can be said of an operation without its file.
 */
#include "op.h"

#include <errno.h>

_Static_assert(sizeof(struct aio_op) == 96, "part of the ABI");
_Static_assert(sizeof(struct aio_completion) == 64, "part of the ABI");

int op_refuse(const struct aio_op *op, bool submitted)
{
    const uint32_t known_flags = AIO_OP_DSYNC | AIO_OP_NOWAIT | AIO_OP_HIPRI | AIO_OP_ATOMIC |
                                 AIO_OP_DRAIN | AIO_OP_LINK | AIO_OP_WAITED;

    if (op->opcode > AIO_OP_ALLOCATE || (op->flags & ~known_flags) != 0)
        return -EINVAL;
    if ((op->reserved0[0] | op->reserved0[1] | op->reserved0[2] | op->reserved1) != 0)
        return -EINVAL;
    if ((op->reserved2[0] | op->reserved2[1] | op->reserved2[2]) != 0)
        return -EINVAL;
    if ((op->flags & AIO_OP_WAITED) != 0 && op->on_complete != NULL)
        return -EINVAL;
    if ((op->flags & ~(uint32_t)AIO_OP_WAITED) != 0 || op->priority != 0 || op->deadline != 0)
        return -EOPNOTSUPP;
    if (op->opcode == AIO_OP_ALLOCATE || (submitted && op->opcode == AIO_OP_TRUNCATE))
        return -EOPNOTSUPP;
    return 0;
}
