/* SPDX-License-Identifier: MIT */
/*
 * transfer.c - what a result of the kernel means.
 */
#include "transfer.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "errno_guard.h"

static uint8_t step_opcode_vector(const struct transfer *transfer)
{
    return transfer_is_read(transfer) ? AIO_OP_READV : AIO_OP_WRITEV;
}

void transfer_set_vectors(struct transfer *transfer, const struct iovec *iov, uint64_t count,
                          uint64_t total)
{
    /* A step of nothing but empty vectors would look like the end of the file. */
    while (total > 0 && iov->iov_len == 0) {
        iov++;
        count--;
    }
    transfer->iov_next = iov;
    transfer->iov_left = count;
    transfer->total = total;
    transfer->io.opcode = step_opcode_vector(transfer);
    transfer->io.iov = iov;
    transfer->io.len = count < TRANSFER_IOV_MAX ? count : TRANSFER_IOV_MAX;
}

void transfer_set_offset(struct transfer *transfer, int64_t offset)
{
    transfer->offset = offset;
    transfer->io.offset = offset;
}

static enum transfer_verdict transfer_end(struct transfer *transfer, int64_t result, int error)
{
    transfer->result = result;
    transfer->error = error;
    return TRANSFER_DONE;
}

void transfer_fail(struct transfer *transfer, int error)
{
    if (transfer_is_write(transfer) && transfer->done > 0)
        transfer_end(transfer, (int64_t)transfer->done, error);
    else
        transfer_end(transfer, error, error);
}

/* Points io at the rest of a vector that the last step left in the middle. */
static void step_set_scalar(struct transfer *transfer, void *rest, uint64_t length)
{
    transfer->io.opcode = transfer_step_opcode(transfer);
    transfer->io.buf = rest;
    transfer->io.len = length;
}

/* Passes the vectors that the last step moved: bytes of them, from the first of iov_next on. */
static void pass_vectors(struct transfer *transfer, uint64_t bytes)
{
    while (transfer->iov_left > 0) {
        const struct iovec *vector = transfer->iov_next;

        if (bytes < vector->iov_len) {
            if (bytes == 0)
                break;
            transfer->iov_next++;
            transfer->iov_left--;
            step_set_scalar(transfer, (char *)vector->iov_base + bytes, vector->iov_len - bytes);
            return;
        }
        bytes -= vector->iov_len;
        transfer->iov_next++;
        transfer->iov_left--;
    }
    transfer->io.opcode = step_opcode_vector(transfer);
    transfer->io.iov = transfer->iov_next;
    transfer->io.len =
        transfer->iov_left < TRANSFER_IOV_MAX ? transfer->iov_left : TRANSFER_IOV_MAX;
}

/* Makes io the step after one that moved bytes; something is left to move. */
static void next_step(struct transfer *transfer, uint64_t bytes)
{
    bool scalar = transfer->io.opcode == AIO_OP_READ || transfer->io.opcode == AIO_OP_WRITE;

    transfer->done += bytes;
    transfer->io.offset = transfer->offset + (int64_t)transfer->done;
    if (scalar && bytes < transfer->io.len)
        step_set_scalar(transfer, (char *)transfer->io.buf + bytes, transfer->io.len - bytes);
    else
        pass_vectors(transfer, scalar ? 0 : bytes);
}

/* Whether the file ends at or before a position. A device has no end between two sectors. */
static bool file_ends_by(int fd, int64_t position)
{
    ERRNO_GUARD;
    struct stat status;

    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    return status.st_size <= position;
}

/*
 * A step moved bytes, fewer than all that is left. A direct transfer can go on only at a multiple
 * of the alignment, so it is taken up at the last one passed: a few bytes are moved twice. Reads
 * that stop between two multiples mostly do so at the end of the file; the kernel would answer
 * EINVAL to a read that goes on there.
 */
static enum transfer_verdict continue_after(struct transfer *transfer, uint64_t bytes)
{
    uint64_t kept = bytes - bytes % transfer->alignment;
    bool reading = transfer_is_read(transfer);

    if (reading && kept < bytes &&
        file_ends_by(transfer->io.fd, transfer->io.offset + (int64_t)bytes))
        return transfer_end(transfer, (int64_t)(transfer->done + bytes), 0);
    if (kept == 0) {
        /* Once may be an accident; twice would be a loop. A read that stops so was at the end when
         * the kernel looked: the file grows faster than it is read. */
        if (transfer->stalls++ == 0)
            return TRANSFER_AGAIN;
        if (reading)
            return transfer_end(transfer, (int64_t)(transfer->done + bytes), 0);
        transfer_fail(transfer, -EIO);
        return TRANSFER_DONE;
    }
    transfer->stalls = 0;
    next_step(transfer, kept);
    return TRANSFER_AGAIN;
}

/* --- bounce buffers ------------------------------------------------------------------------- */

/* Copies between the buffer and the vectors, from where these stand. */
static void bounce_copy(const struct transfer *transfer, char *buffer, uint64_t bytes)
{
    const struct iovec *vector = transfer->iov_next;
    uint64_t skip = transfer->iov_skip;

    while (bytes > 0) {
        uint64_t part = vector->iov_len - skip;
        char *memory = (char *)vector->iov_base + skip;

        if (part > bytes)
            part = bytes;
        if (part > 0 && transfer_is_read(transfer))
            memcpy(memory, buffer, part);
        else if (part > 0)
            memcpy(buffer, memory, part);
        buffer += part;
        bytes -= part;
        vector++;
        skip = 0;
    }
}

/* Passes bytes of the vectors. */
static void bounce_pass(struct transfer *transfer, uint64_t bytes)
{
    transfer->done += bytes;
    bytes += transfer->iov_skip;
    while (transfer->iov_left > 0 && bytes >= transfer->iov_next->iov_len) {
        bytes -= transfer->iov_next->iov_len;
        transfer->iov_next++;
        transfer->iov_left--;
    }
    transfer->iov_skip = bytes;
}

/* Makes io the step for what is left: reads are rounded outward, writes fit. */
static void bounce_step(struct transfer *transfer)
{
    int64_t start = transfer->offset + (int64_t)transfer->done;
    uint64_t length = transfer->total - transfer->done;

    transfer->skip = transfer_is_read(transfer) ? (uint64_t)start % transfer->alignment : 0;
    length += transfer->skip;
    if (length > transfer->bounce_size)
        length = transfer->bounce_size;
    if (transfer_is_read(transfer))
        length = (length + transfer->alignment - 1) / transfer->alignment * transfer->alignment;
    else
        bounce_copy(transfer, transfer->bounce, length);
    transfer->io.opcode = transfer_step_opcode(transfer);
    transfer->io.buf = transfer->bounce;
    transfer->io.len = length;
    transfer->io.offset = start - (int64_t)transfer->skip;
}

void transfer_set_bounce(struct transfer *transfer, void *memory, uint64_t size)
{
    if (transfer->iov_left == 0) {
        transfer->single = (struct iovec){transfer->io.buf, transfer->io.len};
        transfer->iov_next = &transfer->single;
        transfer->iov_left = 1;
    }
    transfer->iov_skip = 0;
    transfer->bounce = memory;
    transfer->bounce_size = size;
    bounce_step(transfer);
}

/* What came of a step's bytes, which are in the buffer or were. */
static enum transfer_verdict bounce_advance(struct transfer *transfer, uint64_t bytes)
{
    uint64_t left = transfer->total - transfer->done;
    bool reading = transfer_is_read(transfer);
    bool whole = bytes == transfer->io.len;
    uint64_t useful = bytes - bytes % transfer->alignment;

    if (reading) {
        useful = bytes > transfer->skip ? bytes - transfer->skip : 0;
        if (useful > left)
            useful = left;
        bounce_copy(transfer, transfer->bounce + transfer->skip, useful);
    }
    bounce_pass(transfer, useful);
    if (transfer->done == transfer->total ||
        (reading && !whole && file_ends_by(transfer->io.fd, transfer->io.offset + (int64_t)bytes)))
        return transfer_end(transfer, (int64_t)transfer->done, 0);
    /* As in continue_after: once may be an accident. */
    if (useful == 0 && transfer->stalls++ > 0) {
        if (reading)
            return transfer_end(transfer, (int64_t)transfer->done, 0);
        transfer_fail(transfer, -EIO);
        return TRANSFER_DONE;
    }
    if (useful > 0)
        transfer->stalls = 0;
    bounce_step(transfer);
    return TRANSFER_AGAIN;
}

/* --- reads that meet EIO behind the end ----------------------------------------------------- */

/*
 * XFS gives EIO for a direct read across the end of a file where blocks beyond it are still to be
 * allocated for the page cache (Linux 6.18). What lies before the end can be read: makes io a step
 * that goes no further. Returns false where the step does not cross the end: the error is the
 * disk's.
 */
static bool clip_to_end(struct transfer *transfer)
{
    ERRNO_GUARD;
    bool vectors = transfer->io.opcode == AIO_OP_READV;
    uint64_t length = vectors ? transfer->total - transfer->done : transfer->io.len;
    struct stat status;
    int64_t end;

    if (fstat(transfer->io.fd, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    end = (status.st_size + transfer->alignment - 1) / transfer->alignment * transfer->alignment;
    if (transfer->io.offset >= end || length <= (uint64_t)(end - transfer->io.offset))
        return false;
    if (vectors) {
        const struct iovec *vector = transfer->iov_next++;

        transfer->iov_left--;
        step_set_scalar(transfer, vector->iov_base, vector->iov_len);
    }
    if (transfer->io.len > (uint64_t)(end - transfer->io.offset)) {
        transfer->io.len = (uint64_t)(end - transfer->io.offset);
        transfer->clipped = true;
    }
    return true;
}

/* --- one step and no more --------------------------------------------------------------------- */

static bool goes_in_one_step(const struct transfer *transfer)
{
    return (transfer->io.rw_flags & (RWF_NOWAIT | RWF_ATOMIC)) != 0;
}

/* The kernel promises that an untorn write is whole or has not been. One that says that it wrote a
 * part has broken that, and nobody knows what the disk has: a count would look like progress that
 * can be gone on from. */
static enum transfer_verdict torn(struct transfer *transfer)
{
    transfer_fail(transfer, -EIO);
    return TRANSFER_DONE;
}

/* A step that is the only one moved less than all. That is no error of what it moved. */
static enum transfer_verdict end_short(struct transfer *transfer, uint64_t bytes)
{
    bool at_end =
        transfer_is_read(transfer) &&
        (bytes == 0 || file_ends_by(transfer->io.fd, transfer->io.offset + (int64_t)bytes));

    if (bytes == 0 && !at_end) {
        transfer_fail(transfer, -EIO);
        return TRANSFER_DONE;
    }
    return transfer_end(transfer, (int64_t)bytes, at_end ? 0 : -EAGAIN);
}

/* The verdict where there is one step; it did not move all. */
static enum transfer_verdict advance_once(struct transfer *transfer, int64_t step_result)
{
    bool vectors = transfer->io.opcode == AIO_OP_READV;

    if (step_result == -EIO && transfer_is_read(transfer) && transfer->alignment > 1 &&
        clip_to_end(transfer)) {
        if (!vectors)
            return TRANSFER_AGAIN;
        step_result = -EAGAIN; /* vector by vector, which is several steps */
    }
    if (step_result < 0) {
        transfer_fail(transfer, (int)step_result);
        return TRANSFER_DONE;
    }
    if ((transfer->io.rw_flags & RWF_ATOMIC) != 0)
        return torn(transfer);
    return end_short(transfer, (uint64_t)step_result);
}

/* --- the verdict ---------------------------------------------------------------------------- */

/* Whether it comes back with EAGAIN because the kernel was short of something for a moment. */
static bool is_put_off(struct transfer *transfer, int64_t step_result)
{
    if (step_result != -EAGAIN || (transfer->io.rw_flags & RWF_NOWAIT) != 0 ||
        transfer->laters >= TRANSFER_LATERS_MAX)
        return false;
    transfer->laters++;
    return true;
}

enum transfer_verdict transfer_advance(struct transfer *transfer, int64_t step_result)
{
    uint64_t left = transfer->total - transfer->done;

    if (transfer->bounce != NULL)
        left = transfer->io.len;
    else if (step_result == (int64_t)left)
        return transfer_end(transfer, (int64_t)transfer->total, 0);
    if (step_result == -EINTR)
        return TRANSFER_AGAIN;
    if (is_put_off(transfer, step_result))
        return TRANSFER_LATER;
    if (step_result > (int64_t)left) /* an engine that says so has written over foreign memory */
        step_result = -EIO;
    if (goes_in_one_step(transfer))
        return advance_once(transfer, step_result);
    if (step_result == -EIO && transfer_is_read(transfer) && transfer->alignment > 1 &&
        clip_to_end(transfer))
        return TRANSFER_AGAIN;
    if (step_result < 0) {
        transfer_fail(transfer, (int)step_result);
        return TRANSFER_DONE;
    }
    if (transfer->clipped && transfer->bounce == NULL)
        return transfer_end(transfer, (int64_t)transfer->done + step_result, 0);
    if (step_result == 0) {
        if (transfer_is_read(transfer)) /* the end of the file */
            return transfer_end(transfer, (int64_t)transfer->done, 0);
        /* A write that moves nothing and gives no reason: asking for ever would be a loop. */
        transfer_fail(transfer, -EIO);
        return TRANSFER_DONE;
    }
    if (transfer->bounce != NULL)
        return bounce_advance(transfer, (uint64_t)step_result);
    return continue_after(transfer, (uint64_t)step_result);
}
