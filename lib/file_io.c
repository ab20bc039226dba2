/* SPDX-License-Identifier: MIT */
/*
 * file_io.c - transfers of a file: checked, placed, through the gate, executed here or handed to
 * a queue.
 *
 *   prepare        arguments, direction, alignment -> a struct transfer
 *   append_place   where an append goes
 *   file_op_begin  the same for a submitted operation; file_op_end when it has its result
 *   blocking calls run on the caller's thread: one system call, more where the kernel moved a part
 *
 * Lock order: append's place, gate, cursor.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "errno_guard.h"
#include "file_ops.h"
#include "file_state.h"
#include "op.h"
#include "queue_state.h"

/* --- checks --------------------------------------------------------------------------------- */

static int refuse_unaligned(const struct aio_file *file, const char *what, uint64_t value,
                            uint32_t alignment)
{
    log_say(&file->log, AIO_LOG_ERROR,
            "%s %llu is not a multiple of %u bytes, which this direct file needs for it: align it "
            "(aio_file_info gives the alignments, aio_buffer_alloc aligned memory) or open with "
            "AIO_DIRECT_NEVER",
            what, (unsigned long long)value, alignment);
    return -EINVAL;
}

static int check_memory(const struct aio_file *file, const void *memory, uint64_t length)
{
    uint64_t misfit = ((uintptr_t)memory & (file->alignment.memory - 1)) |
                      (length & (file->direct_alignment - 1));

    if (memory != NULL && misfit == 0)
        return 0;
    if (length == 0)
        return 0;
    if (memory == NULL)
        return -EINVAL;
    if ((length & (file->direct_alignment - 1)) != 0)
        return refuse_unaligned(file, "length", length, file->direct_alignment);
    return refuse_unaligned(file, "memory address", (uintptr_t)memory, file->alignment.memory);
}

static int check_vectors(const struct aio_file *file, const struct iovec *iov, uint64_t count,
                         uint64_t *total)
{
    *total = 0;
    if (count > TRANSFER_IOV_MAX || (iov == NULL && count > 0))
        return -EINVAL;
    for (uint64_t index = 0; index < count; index++) {
        int error;

        if (iov[index].iov_len > SSIZE_MAX - *total)
            return -EINVAL;
        error = check_memory(file, iov[index].iov_base, iov[index].iov_len);
        if (error != 0)
            return error;
        *total += iov[index].iov_len;
    }
    return 0;
}

static int check_range(const struct aio_file *file, int64_t offset, uint64_t length)
{
    if (offset < 0 || length > (uint64_t)(INT64_MAX - offset))
        return -EINVAL;
    if ((offset & (file->direct_alignment - 1)) != 0 && length > 0)
        return refuse_unaligned(file, "offset", (uint64_t)offset, file->direct_alignment);
    return 0;
}

static int check_direction(const struct aio_file *file, const struct transfer *transfer)
{
    if (transfer_is_read(transfer))
        return file->readable ? 0 : -EBADF;
    if (!file->writable)
        return -EBADF;
    return atomic_load_explicit(&file->sync_error, memory_order_relaxed);
}

/* Fills a transfer for vectors at offset; for appends the offset comes later. */
static int prepare_vectors(const struct aio_file *file, const struct iovec *iov, uint64_t count,
                           struct transfer *transfer)
{
    uint64_t total;
    int error = check_vectors(file, iov, count, &total);

    if (error == 0)
        error = check_range(file, transfer->offset, total);
    if (error == 0)
        transfer_set_vectors(transfer, iov, count, total);
    return error;
}

static int prepare_buffer(const struct aio_file *file, const void *buffer, uint64_t length,
                          struct transfer *transfer)
{
    int error = length > SSIZE_MAX ? -EINVAL : check_memory(file, buffer, length);

    if (error == 0)
        error = check_range(file, transfer->offset, length);
    if (error == 0)
        transfer_set_buffer(transfer, (void *)(uintptr_t)buffer, length);
    return error;
}

/* Fills a transfer for what len counts: bytes, or vectors. */
static int prepare(const struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len,
                   int64_t offset, struct transfer *transfer)
{
    int error;

    transfer_init(transfer, opcode, file->fd, offset);
    transfer->alignment = file->alignment.required;
    error = check_direction(file, transfer);
    if (error != 0)
        return error;
    if (opcode == AIO_OP_READV || opcode == AIO_OP_WRITEV || opcode == AIO_OP_APPENDV)
        return prepare_vectors(file, memory, len, transfer);
    return prepare_buffer(file, memory, len, transfer);
}

/* --- appends -------------------------------------------------------------------------------- */

/*
 * Gives an append its place. While others are in flight it goes behind them; otherwise to where
 * the file ends now, whatever became of earlier ones.
 */
static int append_place(struct aio_file *file, struct transfer *transfer)
{
    off_t end;
    int error = 0;

    file_lock(file, &file->append_lock);
    end = file->appends_inflight > 0 ? file->append_end : aio_file_size(file);
    if (end < 0)
        error = (int)end;
    if (error == 0)
        error = check_range(file, end, transfer->total);
    if (error == 0) {
        transfer_set_offset(transfer, end);
        file->append_end = end + (off_t)transfer->total;
        file->appends_inflight++;
    }
    file_unlock(file, &file->append_lock);
    return error;
}

/* An append is done; or it was not started, and gives its place back if it is still the last. */
static void append_leave(struct aio_file *file, const struct transfer *transfer, bool started)
{
    file_lock(file, &file->append_lock);
    file->appends_inflight--;
    if (!started && file->append_end == transfer->offset + (off_t)transfer->total)
        file->append_end = transfer->offset;
    file_unlock(file, &file->append_lock);
}

static bool is_append(uint8_t opcode)
{
    return opcode == AIO_OP_APPEND || opcode == AIO_OP_APPENDV;
}

/* --- submitted operations ------------------------------------------------------------------- */

static int begin_sync(const struct aio_file *file, uint8_t opcode, struct transfer *transfer)
{
    transfer_init(transfer, opcode, file->fd, 0);
    return atomic_load_explicit(&file->sync_error, memory_order_relaxed);
}

int file_op_begin(const struct aio_op *op, enum gate_patience patience, struct transfer *transfer)
{
    struct aio_file *file = op->file;
    uint64_t delta = GATE_REQUEST;
    int error = 0;

    if (file == NULL || file_is_inherited(file))
        return -EINVAL;
    if (op->opcode == AIO_OP_NOP)
        transfer_init(transfer, AIO_OP_NOP, -1, 0);
    else if (op->opcode == AIO_OP_SYNC || op->opcode == AIO_OP_DATASYNC)
        error = begin_sync(file, op->opcode, transfer);
    else
        error = prepare(file, op->opcode, op->buf, op->len, is_append(op->opcode) ? 0 : op->offset,
                        transfer);
    if (error != 0)
        return error;
    if (is_append(op->opcode)) {
        error = append_place(file, transfer);
        if (error != 0)
            return error;
    }
    if (transfer_is_write(transfer))
        delta += GATE_WRITE;
    error = gate_enter(&file->gate, delta, patience);
    if (error != 0 && is_append(op->opcode))
        append_leave(file, transfer, false);
    return error;
}

/* Keeps what a sync of the kernel's has lost; see aio_file_sync. */
static void sync_failed(struct aio_file *file, int error)
{
    int none = 0;

    /* The descriptor cannot be synced at all: nothing was lost. */
    if (error == -EINVAL || error == -EROFS || error == -EBADF)
        return;
    atomic_compare_exchange_strong_explicit(&file->sync_error, &none, error, memory_order_relaxed,
                                            memory_order_relaxed);
}

void file_op_end(struct aio_file *file, const struct transfer *transfer)
{
    if (transfer_is_sync(transfer) && transfer->result < 0)
        sync_failed(file, (int)transfer->result);
    if (is_append(transfer->opcode))
        append_leave(file, transfer, true);
    if (transfer_is_write(transfer))
        gate_leave(&file->gate, GATE_WRITE);
}

void file_op_forget(struct aio_file *file)
{
    gate_leave(&file->gate, GATE_REQUEST);
}

/* --- blocking transfers --------------------------------------------------------------------- */

static ssize_t execute(struct aio_file *file, struct transfer *transfer)
{
    enum transfer_verdict verdict;

    do {
        verdict = transfer_advance(transfer, file->ops->execute(file->engine, &transfer->io));
    } while (verdict == TRANSFER_AGAIN);
    if (verdict == TRANSFER_LATER) /* nothing of ours is in flight that could make room */
        transfer_fail(transfer, -EAGAIN);
    return (ssize_t)transfer->result;
}

static void count(struct aio_file *file, bool read, ssize_t result)
{
    struct stats_cell *cell = stats_cell(&file->stats);

    stats_add(cell, read ? STATS_READS : STATS_WRITES, 1);
    if (result > 0)
        stats_add(cell, read ? STATS_BYTES_READ : STATS_BYTES_WRITTEN, (uint64_t)result);
}

/* In a forked child nobody else is there, and the gate may be as anybody left it. */
static void enter_blocking(struct aio_file *file)
{
    if (!file_is_inherited(file))
        gate_enter(&file->gate, GATE_WRITE, reaper_in_callback() ? GATE_CALLBACK_WAIT : GATE_WAIT);
}

static void leave_blocking(struct aio_file *file)
{
    if (!file_is_inherited(file))
        gate_leave(&file->gate, GATE_WRITE);
}

static ssize_t read_at(struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len,
                       off_t offset)
{
    struct transfer transfer;
    ssize_t result;
    int error;

    if (file == NULL)
        return -EINVAL;
    error = prepare(file, opcode, memory, len, offset, &transfer);
    if (error != 0)
        return error;
    result = execute(file, &transfer);
    count(file, true, result);
    return result;
}

static ssize_t write_at(struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len,
                        off_t offset)
{
    struct transfer transfer;
    ssize_t result;
    int error;

    if (file == NULL)
        return -EINVAL;
    error = prepare(file, opcode, memory, len, offset, &transfer);
    if (error != 0)
        return error;
    enter_blocking(file);
    result = execute(file, &transfer);
    leave_blocking(file);
    count(file, false, result);
    return result;
}

ssize_t aio_file_pread(struct aio_file *file, void *buffer, size_t length, off_t offset)
{
    return read_at(file, AIO_OP_READ, buffer, length, offset);
}

ssize_t aio_file_pwrite(struct aio_file *file, const void *buffer, size_t length, off_t offset)
{
    return write_at(file, AIO_OP_WRITE, buffer, length, offset);
}

ssize_t aio_file_preadv(struct aio_file *file, const struct iovec *iov, int iov_count, off_t offset)
{
    return iov_count < 0 ? -EINVAL : read_at(file, AIO_OP_READV, iov, (uint64_t)iov_count, offset);
}

ssize_t aio_file_pwritev(struct aio_file *file, const struct iovec *iov, int iov_count,
                         off_t offset)
{
    return iov_count < 0 ? -EINVAL
                         : write_at(file, AIO_OP_WRITEV, iov, (uint64_t)iov_count, offset);
}

/* --- at the cursor -------------------------------------------------------------------------- */

/* The gate comes before the cursor: one who holds the cursor never waits for the gate, so that a
 * callback can always get the cursor in the end. */
static ssize_t at_cursor(struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len)
{
    bool write = opcode == AIO_OP_WRITE || opcode == AIO_OP_WRITEV;
    ssize_t result;
    struct transfer transfer;

    if (file == NULL)
        return -EINVAL;
    if (write)
        enter_blocking(file);
    file_lock(file, &file->cursor_lock);
    result = prepare(file, opcode, memory, len, file->cursor_offset, &transfer);
    if (result == 0) {
        result = execute(file, &transfer);
        count(file, !write, result);
    }
    if (result > 0)
        file->cursor_offset += result;
    file_unlock(file, &file->cursor_lock);
    if (write)
        leave_blocking(file);
    return result;
}

ssize_t aio_file_read(struct aio_file *file, void *buffer, size_t length)
{
    return at_cursor(file, AIO_OP_READ, buffer, length);
}

ssize_t aio_file_write(struct aio_file *file, const void *buffer, size_t length)
{
    return at_cursor(file, AIO_OP_WRITE, buffer, length);
}

ssize_t aio_file_readv(struct aio_file *file, const struct iovec *iov, int iov_count)
{
    return iov_count < 0 ? -EINVAL : at_cursor(file, AIO_OP_READV, iov, (uint64_t)iov_count);
}

ssize_t aio_file_writev(struct aio_file *file, const struct iovec *iov, int iov_count)
{
    return iov_count < 0 ? -EINVAL : at_cursor(file, AIO_OP_WRITEV, iov, (uint64_t)iov_count);
}

/* --- at the end ----------------------------------------------------------------------------- */

static ssize_t append(struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len,
                      off_t *where)
{
    struct transfer transfer;
    ssize_t result;
    int error;

    if (file == NULL)
        return -EINVAL;
    error = prepare(file, opcode, memory, len, 0, &transfer);
    if (error == 0)
        error = append_place(file, &transfer);
    if (error != 0)
        return error;
    enter_blocking(file);
    result = execute(file, &transfer);
    append_leave(file, &transfer, true);
    leave_blocking(file);
    count(file, false, result);
    if (result >= 0 && where != NULL)
        *where = transfer.offset;
    return result;
}

ssize_t aio_file_append(struct aio_file *file, const void *buffer, size_t length, off_t *where)
{
    return append(file, AIO_OP_APPEND, buffer, length, where);
}

ssize_t aio_file_appendv(struct aio_file *file, const struct iovec *iov, int iov_count,
                         off_t *where)
{
    return iov_count < 0 ? -EINVAL : append(file, AIO_OP_APPENDV, iov, (uint64_t)iov_count, where);
}

/* --- sync and truncate ---------------------------------------------------------------------- */

/* Waits until the writes in flight have left and keeps new ones out until gate_open(). */
static void close_gate(struct aio_file *file)
{
    queues_hasten_begin();
    gate_close(&file->gate);
    queues_hasten_end();
}

static int sync_blocking(struct aio_file *file, uint8_t opcode)
{
    struct transfer transfer;
    int error;

    if (file == NULL)
        return -EINVAL;
    if (reaper_in_callback())
        return -EDEADLK;
    error = begin_sync(file, opcode, &transfer);
    if (error != 0)
        return error;
    /* Submitted writes count; blocking ones that have not returned need not be covered. */
    if (!file_is_inherited(file) && gate_requests(&file->gate) > 0) {
        close_gate(file);
        gate_open(&file->gate);
    }
    error = (int)execute(file, &transfer);
    stats_add(stats_cell(&file->stats), STATS_SYNCS, 1);
    if (error < 0) {
        sync_failed(file, error);
        /* What the cache holds may not be on the disk: later reads are to show what is. */
        posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    return error;
}

int aio_file_sync(struct aio_file *file)
{
    return sync_blocking(file, AIO_OP_SYNC);
}

int aio_file_datasync(struct aio_file *file)
{
    return sync_blocking(file, AIO_OP_DATASYNC);
}

int aio_file_clear_error(struct aio_file *file)
{
    if (file == NULL)
        return -EINVAL;
    return atomic_exchange_explicit(&file->sync_error, 0, memory_order_relaxed);
}

int aio_file_truncate(struct aio_file *file, off_t length)
{
    ERRNO_GUARD;
    bool gated;
    int error;

    if (file == NULL || length < 0 || !file->writable)
        return -EINVAL;
    if (reaper_in_callback())
        return -EDEADLK;
    error = atomic_load_explicit(&file->sync_error, memory_order_relaxed);
    if (error != 0)
        return error;
    gated = !file_is_inherited(file);
    if (gated)
        close_gate(file);
    do {
        error = ftruncate(file->fd, length) == 0 ? 0 : -errno;
    } while (error == -EINTR);
    if (gated)
        gate_open(&file->gate);
    return error;
}

/* --- any operation -------------------------------------------------------------------------- */

ssize_t aio_file_execute(struct aio_file *file, const struct aio_op *op)
{
    int error;

    if (file == NULL || op == NULL || (op->file != NULL && op->file != file))
        return -EINVAL;
    error = op_check(op, false);
    if (error == 0 && op->on_complete != NULL)
        error = -EINVAL;
    if (error != 0)
        return error;
    switch (op->opcode) {
    case AIO_OP_READ:
    case AIO_OP_READV:
        return read_at(file, op->opcode, op->buf, op->len, op->offset);
    case AIO_OP_WRITE:
    case AIO_OP_WRITEV:
        return write_at(file, op->opcode, op->buf, op->len, op->offset);
    case AIO_OP_APPEND:
    case AIO_OP_APPENDV:
        return append(file, op->opcode, op->buf, op->len, NULL);
    case AIO_OP_SYNC:
    case AIO_OP_DATASYNC:
        return sync_blocking(file, op->opcode);
    case AIO_OP_TRUNCATE:
        return aio_file_truncate(file, op->offset);
    default:
        return 0;
    }
}
