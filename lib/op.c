/* SPDX-License-Identifier: MIT */
/*
 * op.c - what can be said of an operation without its file.
 */
#include "op.h"

#include <errno.h>

_Static_assert(sizeof(struct aio_op) == 96, "part of the ABI");
_Static_assert(sizeof(struct aio_completion) == 64, "part of the ABI");

/* Flags of which this version knows what to do, by opcode. */
static uint32_t known_flags_of(uint8_t opcode)
{
    switch (opcode) {
    case AIO_OP_WRITE:
    case AIO_OP_WRITEV:
    case AIO_OP_APPEND:
    case AIO_OP_APPENDV:
        return AIO_OP_WAITED | AIO_OP_DSYNC;
    case AIO_OP_SYNC:
    case AIO_OP_DATASYNC:
        return AIO_OP_WAITED | AIO_OP_DRAIN;
    default:
        return AIO_OP_WAITED;
    }
}

int op_refuse(const struct aio_op *op)
{
    const uint32_t flags = AIO_OP_DSYNC | AIO_OP_NOWAIT | AIO_OP_HIPRI | AIO_OP_ATOMIC |
                           AIO_OP_DRAIN | AIO_OP_LINK | AIO_OP_WAITED;
    const uint32_t later = AIO_OP_NOWAIT | AIO_OP_HIPRI | AIO_OP_ATOMIC | AIO_OP_LINK;

    if (op->opcode > AIO_OP_ALLOCATE || (op->flags & ~flags) != 0)
        return -EINVAL;
    if ((op->reserved0[0] | op->reserved0[1] | op->reserved0[2]) != 0 ||
        (op->reserved2[0] | op->reserved2[1] | op->reserved2[2]) != 0)
        return -EINVAL;
    if (op->mode != 0 && op->opcode != AIO_OP_ALLOCATE)
        return -EINVAL;
    if ((op->flags & AIO_OP_WAITED) != 0 && op->on_complete != NULL)
        return -EINVAL;
    if ((op->flags & later) != 0 || op->priority != 0 || op->deadline != 0)
        return -EOPNOTSUPP;
    /* DSYNC on what writes nothing, DRAIN on what is no sync. */
    return (op->flags & ~known_flags_of(op->opcode)) != 0 ? -EINVAL : 0;
}
