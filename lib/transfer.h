/* SPDX-License-Identifier: MIT */
/*
 * transfer.h - one operation's data movement, and the one place that decides what a result of the
 * kernel means: go on, try later, end of file, or error. Blocking and submitted operations, every
 * engine: all come here.
 */
#ifndef AIOFILE_LIB_TRANSFER_H
#define AIOFILE_LIB_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "engine.h"

/* Since Linux 6.11: the C library's headers are often older. */
#ifndef RWF_ATOMIC
#define RWF_ATOMIC 0x40
#endif

struct transfer {
    /* What is to be asked of an engine next. */
    struct engine_io io;

    /* The vectors that no step has begun; the caller's array is read, never written. A vector that
     * a step left in the middle is in io as a scalar transfer of its rest. */
    const struct iovec *iov_next;
    uint64_t iov_left; /* vectors */

    int64_t offset;     /* bytes: where the operation began */
    uint64_t total;     /* bytes asked for */
    uint64_t done;      /* bytes moved for certain */
    uint32_t alignment; /* bytes: where a direct transfer can be taken up again; 1 = anywhere */
    uint8_t opcode;     /* of the operation; io.opcode is that of the step */
    uint8_t stalls;     /* steps in a row that moved nothing that counts */
    uint8_t laters;     /* times that the kernel took it and then said EAGAIN */
    bool clipped;       /* the step ends where the file does, before what was asked for */

    /* With a bounce buffer io is always a scalar transfer of it, and the vectors below are where
     * its bytes come from or go to; one buffer is one vector. */
    char *bounce;         /* NULL: none */
    uint64_t bounce_size; /* bytes, a multiple of alignment */
    uint64_t skip;        /* bytes of the step before those that were asked for */
    uint64_t iov_skip;    /* bytes of iov_next[0] that are done */
    struct iovec single;

    /* Valid once transfer_advance() or transfer_fail() ended it. A read has an error beside a count
     * only where it is not to wait, and is short for that reason. */
    int32_t error;  /* 0, or the negated errno that made it short or failed */
    int64_t result; /* bytes, or a negated errno */
};

enum transfer_verdict {
    TRANSFER_DONE,  /* result and error are valid */
    TRANSFER_AGAIN, /* give io to the engine (again) */
    TRANSFER_LATER, /* the same, once the engine has room */
};

/* How often a transfer that nobody asked not to wait may come back with EAGAIN before that is its
 * result. */
#define TRANSFER_LATERS_MAX 100

/* The most vectors of one step (IOV_MAX of Linux). */
#define TRANSFER_IOV_MAX 1024

static inline bool transfer_is_read(const struct transfer *transfer)
{
    return transfer->opcode == AIO_OP_READ || transfer->opcode == AIO_OP_READV;
}

static inline bool transfer_is_write(const struct transfer *transfer)
{
    return transfer->opcode == AIO_OP_WRITE || transfer->opcode == AIO_OP_WRITEV ||
           transfer->opcode == AIO_OP_APPEND || transfer->opcode == AIO_OP_APPENDV;
}

static inline bool transfer_is_sync(const struct transfer *transfer)
{
    return transfer->opcode == AIO_OP_SYNC || transfer->opcode == AIO_OP_DATASYNC;
}

/* The opcode of a scalar step. Appends are writes at a place found out in time. */
static inline uint8_t transfer_step_opcode(const struct transfer *transfer)
{
    return transfer_is_read(transfer) ? AIO_OP_READ : AIO_OP_WRITE;
}

/* Sets up a transfer of nothing, then of one buffer or of vectors; total is the sum of their
 * lengths. Field by field: what belongs to bounce buffers is set with them, and it runs for every
 * operation. */
static inline void transfer_init(struct transfer *transfer, uint8_t opcode, int fd, int64_t offset)
{
    transfer->io.opcode = opcode;
    transfer->io.fd = fd;
    transfer->io.rw_flags = 0;
    transfer->io.priority = 0;
    transfer->io.buf = NULL;
    transfer->io.len = 0;
    transfer->io.offset = offset;
    transfer->iov_next = NULL;
    transfer->iov_left = 0;
    transfer->offset = offset;
    transfer->total = 0;
    transfer->done = 0;
    transfer->alignment = 1;
    transfer->opcode = opcode;
    transfer->stalls = 0;
    transfer->laters = 0;
    transfer->clipped = false;
    transfer->bounce = NULL;
    transfer->error = 0;
    transfer->result = 0;
}

static inline void transfer_set_buffer(struct transfer *transfer, void *buffer, uint64_t length)
{
    transfer->io.opcode = transfer_step_opcode(transfer);
    transfer->io.buf = buffer;
    transfer->io.len = length;
    transfer->total = length;
}

void transfer_set_vectors(struct transfer *transfer, const struct iovec *iov, uint64_t count,
                          uint64_t total);

/* Lets it go through a bounce buffer, aligned as the file wants it. Before the first step only. */
void transfer_set_bounce(struct transfer *transfer, void *memory, uint64_t size);

/* Moves the start: for appends, whose offset is known last. Before the first step only. */
void transfer_set_offset(struct transfer *transfer, int64_t offset);

/* Takes the engine's result of a step: bytes or a negated errno. May call fstat(2), when a direct
 * read ends between two blocks. With RWF_NOWAIT or RWF_ATOMIC there is one step, which may be
 * repeated as long as it has moved nothing. */
enum transfer_verdict transfer_advance(struct transfer *transfer, int64_t step_result);

/* Ends a transfer with an error: a write that moved something becomes a short one with a reason,
 * everything else fails. */
void transfer_fail(struct transfer *transfer, int error);

#endif
