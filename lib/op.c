/* SPDX-License-Identifier: MIT */
/*
 * op.c - what can be said of an operation without its file.
 */
#include "op.h"

#include <errno.h>
#include <linux/ioprio.h>

_Static_assert(sizeof(struct aio_op) == 96, "part of the ABI");
_Static_assert(sizeof(struct aio_completion) == 64, "part of the ABI");
_Static_assert(offsetof(struct aio_op, flags) == 4 && offsetof(struct aio_op, file) == 8 &&
                   offsetof(struct aio_op, mode) == offsetof(struct aio_op, priority) + 4,
               "as op_is_plain() looks at them");

/* Flags of which this version knows what to do, by opcode. */
static uint32_t known_flags_of(uint8_t opcode)
{
    const uint32_t any = AIO_OP_WAITED | AIO_OP_LINK;
    const uint32_t moving = any | AIO_OP_NOWAIT | AIO_OP_HIPRI;

    switch (opcode) {
    case AIO_OP_READ:
    case AIO_OP_READV:
        return moving;
    case AIO_OP_WRITE:
    case AIO_OP_WRITEV:
        return moving | AIO_OP_DSYNC | AIO_OP_ATOMIC;
    case AIO_OP_APPEND: /* not ATOMIC: where it may be depends on where it ends */
    case AIO_OP_APPENDV:
        return moving | AIO_OP_DSYNC;
    case AIO_OP_SYNC:
    case AIO_OP_DATASYNC:
        return any | AIO_OP_DRAIN;
    default:
        return any;
    }
}

/* What the kernel checks only where it gets to it: the hints above the levels, of newer kernels,
 * would be ignored by older ones without a word. */
static bool priority_fits(const struct aio_op *op)
{
    uint32_t class = op->priority >> IOPRIO_CLASS_SHIFT;
    uint32_t level = op->priority & ((1u << IOPRIO_CLASS_SHIFT) - 1);

    if (op->priority == 0)
        return true;
    return op->opcode >= AIO_OP_READ && op->opcode <= AIO_OP_APPENDV && class >= IOPRIO_CLASS_RT &&
           class <= IOPRIO_CLASS_IDLE && level <= 7;
}

int op_refuse(const struct aio_op *op)
{
    const uint32_t contrary = AIO_OP_NOWAIT | AIO_OP_HIPRI;

    if (op->opcode > AIO_OP_ALLOCATE)
        return -EINVAL;
    if ((op->reserved0[0] | op->reserved0[1] | op->reserved0[2]) != 0 ||
        (op->reserved2[0] | op->reserved2[1] | op->reserved2[2]) != 0)
        return -EINVAL;
    if (op->mode != 0 && op->opcode != AIO_OP_ALLOCATE)
        return -EINVAL;
    if ((op->flags & AIO_OP_WAITED) != 0 && op->on_complete != NULL)
        return -EINVAL;
    if (!priority_fits(op) || op->deadline > INT64_MAX)
        return -EINVAL;
    /* Who polls waits, on a worker's thread where the engine cannot. */
    if ((op->flags & contrary) == contrary)
        return -EINVAL;
    /* Unknown ones, DSYNC on what writes nothing, DRAIN on what is no sync. */
    return (op->flags & ~known_flags_of(op->opcode)) != 0 ? -EINVAL : 0;
}
