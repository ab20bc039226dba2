/* SPDX-License-Identifier: MIT */
/*
 * op.h - what can be said of an operation without its file.
 */
#ifndef AIOFILE_LIB_OP_H
#define AIOFILE_LIB_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* Eight bytes of an operation, for who wants to know of several fields whether they are zero. */
static inline uint64_t op_bytes(const void *fields)
{
    uint64_t bytes;

    memcpy(&bytes, fields, sizeof(bytes));
    return bytes;
}

/* The first bytes of a read or a write of which nothing but the opcode is set there. */
static inline uint64_t op_plain_head(uint8_t opcode)
{
    static const struct aio_op read = {.opcode = AIO_OP_READ};
    static const struct aio_op write = {.opcode = AIO_OP_WRITE};

    return opcode == AIO_OP_READ ? op_bytes(&read) : op_bytes(&write);
}

/* Whether it moves one buffer, with a head and with no option but WAITED; offset and length have
 * none of some bits and the memory none of others. One comparison for all that. */
static inline bool op_is_plain(const struct aio_op *op, uint64_t head, uint64_t range_bits,
                               uint64_t memory_bits)
{
    static const struct aio_op allowed = {.flags = AIO_OP_WAITED};
    uint64_t unusual = ((op_bytes(op) & ~op_bytes(&allowed)) ^ head) | op_bytes(&op->priority) |
                       op->deadline | op->reserved2[0] | op->reserved2[1] | op->reserved2[2] |
                       (((uint64_t)op->offset | op->len) & range_bits) |
                       ((uintptr_t)op->buf & memory_bits) |
                       /* Neither is 0: the number before that has all bits. */
                       ((((uintptr_t)op->buf - 1) | (op->len - 1)) >> 63);

    return unusual == 0 && (op->on_complete == NULL || op->flags == 0);
}

#endif
