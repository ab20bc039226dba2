/* SPDX-License-Identifier: MIT */
/*
 * file_io.c - transfers of a file: checked, placed, through the gate, executed here or handed to
 * a queue.
 *
 *   prepare        arguments, direction, alignment -> a struct transfer
 *   append_place   where an append goes
 *   file_op_begin  the same for a submitted operation; file_op_enter lets it run, file_op_end when
 *                  it has its result
 *   blocking calls run on the caller's thread: one system call, more where the kernel moved a part
 *
 * Lock order: gate, then append's place or the cursor. A place that were taken before the gate
 * would be an old one once a truncate is through.
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

/* What does not fit the alignment, for the log: it is told once no lock is held. */
struct misfit {
    const char *what; /* NULL: nothing */
    uint64_t value;
    uint32_t alignment; /* bytes */
};

static const char misfit_offset[] = "offset";

static int misfits(struct misfit *misfit, const char *what, uint64_t value, uint32_t alignment)
{
    *misfit = (struct misfit){what, value, alignment};
    return -EINVAL;
}

static void tell_misfit(const struct aio_file *file, const struct misfit *misfit)
{
    if (misfit->what != NULL)
        log_say(&file->log, AIO_LOG_ERROR,
                "%s %llu is not a multiple of %u bytes, which this direct file needs for it: align "
                "it (aio_file_info gives the alignments, aio_buffer_alloc aligned memory) or open "
                "with AIO_DIRECT_NEVER",
                misfit->what, (unsigned long long)misfit->value, misfit->alignment);
}

static int check_memory(const struct aio_file *file, const void *memory, uint64_t length,
                        struct misfit *misfit)
{
    uint64_t odd_memory = (uintptr_t)memory & (file->alignment.memory - 1);
    uint64_t odd_length = length & (file->direct_alignment - 1);

    if ((memory != NULL && (odd_memory | odd_length) == 0) || length == 0)
        return 0;
    if (memory == NULL)
        return -EINVAL;
    if (odd_length != 0)
        return misfits(misfit, "length", length, file->direct_alignment);
    return misfits(misfit, "memory address", (uintptr_t)memory, file->alignment.memory);
}

static int check_vectors(const struct aio_file *file, const struct iovec *iov, uint64_t count,
                         uint64_t *total, struct misfit *misfit)
{
    *total = 0;
    if (count > TRANSFER_IOV_MAX || (iov == NULL && count > 0))
        return -EINVAL;
    for (uint64_t index = 0; index < count; index++) {
        int error;

        if (iov[index].iov_len > SSIZE_MAX - *total)
            return -EINVAL;
        error = check_memory(file, iov[index].iov_base, iov[index].iov_len, misfit);
        if (error != 0)
            return error;
        *total += iov[index].iov_len;
    }
    return 0;
}

static int check_range(const struct aio_file *file, int64_t offset, uint64_t length,
                       struct misfit *misfit)
{
    if (offset < 0 || length > (uint64_t)(INT64_MAX - offset))
        return -EINVAL;
    if ((offset & (file->direct_alignment - 1)) != 0 && length > 0)
        return misfits(misfit, misfit_offset, (uint64_t)offset, file->direct_alignment);
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
                           struct transfer *transfer, struct misfit *misfit)
{
    uint64_t total;
    int error = check_vectors(file, iov, count, &total, misfit);

    if (error == 0)
        error = check_range(file, transfer->offset, total, misfit);
    if (error == 0)
        transfer_set_vectors(transfer, iov, count, total);
    return error;
}

static int prepare_buffer(const struct aio_file *file, const void *buffer, uint64_t length,
                          struct transfer *transfer, struct misfit *misfit)
{
    int error = length > SSIZE_MAX ? -EINVAL : check_memory(file, buffer, length, misfit);

    if (error == 0)
        error = check_range(file, transfer->offset, length, misfit);
    if (error == 0)
        transfer_set_buffer(transfer, (void *)(uintptr_t)buffer, length);
    return error;
}

/* What is to be moved: len counts bytes, or vectors. */
struct span {
    uint8_t opcode;
    const void *memory;
    uint64_t len;
};

/* Fills a transfer of a span at offset. *misfit is set where an alignment is in the way. */
static int prepare(const struct aio_file *file, const struct span *span, int64_t offset,
                   struct transfer *transfer, struct misfit *misfit)
{
    int error;

    misfit->what = NULL;
    transfer_init(transfer, span->opcode, file->fd, offset);
    transfer->alignment = file->alignment.required;
    error = check_direction(file, transfer);
    if (error != 0)
        return error;
    if (span->opcode == AIO_OP_READV || span->opcode == AIO_OP_WRITEV ||
        span->opcode == AIO_OP_APPENDV)
        return prepare_vectors(file, span->memory, span->len, transfer, misfit);
    return prepare_buffer(file, span->memory, span->len, transfer, misfit);
}

/* A file may end anywhere, and whoever reads to its end stands at an offset that fits nothing:
 * there is nothing to read from there on, which is no error. */
static bool reads_nothing(struct aio_file *file, const struct misfit *misfit, off_t offset)
{
    return misfit->what == misfit_offset && aio_file_size(file) <= offset;
}

/* --- appends -------------------------------------------------------------------------------- */

static bool is_append(uint8_t opcode)
{
    return opcode == AIO_OP_APPEND || opcode == AIO_OP_APPENDV;
}

/*
 * Gives an append its place, once it is through the gate: where the file ends now, whatever became
 * of earlier appends, but behind those that are in flight.
 */
static int append_place(struct aio_file *file, struct transfer *transfer, struct misfit *misfit)
{
    bool alone = file_is_inherited(file);
    off_t end;
    int error = 0;

    file_lock(file, &file->append_lock);
    end = aio_file_size(file);
    if (end < 0)
        error = (int)end;
    else if (!alone && file->appends_inflight > 0 && file->append_end > end)
        end = file->append_end;
    if (error == 0)
        error = check_range(file, end, transfer->total, misfit);
    if (error == 0) {
        transfer_set_offset(transfer, end);
        file->append_end = end + (off_t)transfer->total;
        file->appends_inflight++;
    }
    file_unlock(file, &file->append_lock);
    return error;
}

static void append_leave(struct aio_file *file)
{
    file_lock(file, &file->append_lock);
    file->appends_inflight--;
    file_unlock(file, &file->append_lock);
}

/* --- submitted operations ------------------------------------------------------------------- */

static int begin_sync(const struct aio_file *file, uint8_t opcode, struct transfer *transfer)
{
    transfer_init(transfer, opcode, file->fd, 0);
    return atomic_load_explicit(&file->sync_error, memory_order_relaxed);
}

int file_op_begin(const struct aio_op *op, struct transfer *transfer)
{
    struct aio_file *file = op->file;
    struct span span = {op->opcode, op->buf, op->len};
    struct misfit misfit = {0};
    int error = 0;

    if (file == NULL || file_is_inherited(file))
        return -EINVAL;
    if (op->opcode == AIO_OP_NOP)
        transfer_init(transfer, AIO_OP_NOP, -1, 0);
    else if (op->opcode == AIO_OP_SYNC || op->opcode == AIO_OP_DATASYNC)
        error = begin_sync(file, op->opcode, transfer);
    else
        error = prepare(file, &span, is_append(op->opcode) ? 0 : op->offset, transfer, &misfit);
    if (error == 0)
        gate_add_request(&file->gate);
    else
        tell_misfit(file, &misfit);
    return error;
}

int file_op_enter(struct aio_file *file, struct transfer *transfer)
{
    struct misfit misfit = {0};
    int error;

    if (!transfer_is_write(transfer))
        return 0;
    error = gate_enter(&file->gate, GATE_TRY, &transfer->phase);
    if (error != 0)
        return error;
    if (is_append(transfer->opcode))
        error = append_place(file, transfer, &misfit);
    if (error != 0) {
        gate_leave(&file->gate, transfer->phase);
        tell_misfit(file, &misfit);
        return error;
    }
    transfer->entered = true;
    return 0;
}

bool file_op_barred(struct aio_file *file)
{
    return gate_is_closed(&file->gate);
}

/* Keeps what a sync of the kernel's has lost; see aio_file_sync. */
static void sync_failed(struct aio_file *file, int error)
{
    static const int nothing_lost[] = {EINVAL, EROFS, EBADF, ENOSYS, EAGAIN, EINTR, ENOMEM};
    int none = 0;

    /* The descriptor cannot be synced, or the sync has not reached its writes. */
    for (unsigned index = 0; index < sizeof(nothing_lost) / sizeof(nothing_lost[0]); index++)
        if (error == -nothing_lost[index])
            return;
    atomic_compare_exchange_strong_explicit(&file->sync_error, &none, error, memory_order_relaxed,
                                            memory_order_relaxed);
}

/* The kernel tells a descriptor of a writeback error once. Of two syncs at the same time only one
 * may have been told: neither may say that all is well. */
static void end_sync(struct aio_file *file, struct transfer *transfer)
{
    if (transfer->result < 0)
        sync_failed(file, (int)transfer->result);
    else
        transfer->result = atomic_load_explicit(&file->sync_error, memory_order_relaxed);
    transfer->error = (int32_t)transfer->result;
}

void file_op_end(struct aio_file *file, struct transfer *transfer)
{
    if (transfer_is_sync(transfer))
        end_sync(file, transfer);
    if (!transfer->entered)
        return;
    if (is_append(transfer->opcode))
        append_leave(file);
    gate_leave(&file->gate, transfer->phase);
}

void file_op_hold(struct aio_file *file)
{
    gate_add_request(&file->gate);
}

void file_op_forget(struct aio_file *file)
{
    gate_remove_request(&file->gate);
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
static void enter_blocking(struct aio_file *file, uint8_t *phase)
{
    if (!file_is_inherited(file))
        gate_enter(&file->gate, reaper_in_callback() ? GATE_CALLBACK : GATE_WAIT, phase);
}

static void leave_blocking(struct aio_file *file, uint8_t phase)
{
    if (!file_is_inherited(file))
        gate_leave(&file->gate, phase);
}

static ssize_t read_at(struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len,
                       off_t offset)
{
    struct span span = {opcode, memory, len};
    struct transfer transfer;
    struct misfit misfit;
    ssize_t result;

    if (file == NULL)
        return -EINVAL;
    result = prepare(file, &span, offset, &transfer, &misfit);
    if (result != 0) {
        if (reads_nothing(file, &misfit, offset))
            return 0;
        tell_misfit(file, &misfit);
        return result;
    }
    result = execute(file, &transfer);
    count(file, true, result);
    return result;
}

static ssize_t write_at(struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len,
                        off_t offset)
{
    struct span span = {opcode, memory, len};
    struct transfer transfer;
    struct misfit misfit;
    uint8_t phase = 0;
    ssize_t result;

    if (file == NULL)
        return -EINVAL;
    result = prepare(file, &span, offset, &transfer, &misfit);
    if (result != 0) {
        tell_misfit(file, &misfit);
        return result;
    }
    enter_blocking(file, &phase);
    result = execute(file, &transfer);
    leave_blocking(file, phase);
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

static ssize_t at_cursor_locked(struct aio_file *file, const struct span *span,
                                struct misfit *misfit)
{
    bool read = span->opcode == AIO_OP_READ || span->opcode == AIO_OP_READV;
    struct transfer transfer;
    ssize_t result;

    result = prepare(file, span, file->cursor_offset, &transfer, misfit);
    if (result != 0 && read && reads_nothing(file, misfit, file->cursor_offset)) {
        misfit->what = NULL;
        return 0;
    }
    if (result != 0)
        return result;
    result = execute(file, &transfer);
    count(file, read, result);
    if (result > 0)
        file->cursor_offset += result;
    return result;
}

/* The gate comes before the cursor: one who holds the cursor never waits for the gate, so that a
 * callback can always get the cursor in the end. */
static ssize_t at_cursor(struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len)
{
    struct span span = {opcode, memory, len};
    bool write = opcode == AIO_OP_WRITE || opcode == AIO_OP_WRITEV;
    struct misfit misfit = {0};
    uint8_t phase = 0;
    ssize_t result;

    if (file == NULL)
        return -EINVAL;
    if (write)
        enter_blocking(file, &phase);
    file_lock(file, &file->cursor_lock);
    result = at_cursor_locked(file, &span, &misfit);
    file_unlock(file, &file->cursor_lock);
    if (write)
        leave_blocking(file, phase);
    tell_misfit(file, &misfit);
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
    struct span span = {opcode, memory, len};
    struct misfit misfit = {0};
    struct transfer transfer;
    uint8_t phase = 0;
    ssize_t result;

    if (file == NULL)
        return -EINVAL;
    result = prepare(file, &span, 0, &transfer, &misfit);
    if (result == 0) {
        enter_blocking(file, &phase);
        result = append_place(file, &transfer, &misfit);
        if (result == 0) {
            result = execute(file, &transfer);
            append_leave(file);
            count(file, false, result);
        }
        leave_blocking(file, phase);
    }
    tell_misfit(file, &misfit);
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

static int sync_blocking(struct aio_file *file, uint8_t opcode)
{
    struct transfer transfer;
    int error;

    if (file == NULL)
        return -EINVAL;
    if (reaper_in_callback())
        return -EDEADLK;
    /* Submitted writes count; blocking ones that have not returned need not be covered. */
    if (!file_is_inherited(file) && gate_requests(&file->gate) > 0) {
        queues_hasten_begin();
        gate_drain(&file->gate);
        queues_hasten_end();
    }
    file_lock(file, &file->sync_lock);
    error = begin_sync(file, opcode, &transfer);
    if (error == 0) {
        execute(file, &transfer);
        end_sync(file, &transfer);
        error = (int)transfer.result;
        stats_add(stats_cell(&file->stats), STATS_SYNCS, 1);
        /* What the cache holds may not be on the disk: later reads are to show what is. */
        if (error < 0)
            posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    file_unlock(file, &file->sync_lock);
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
    if (gated) {
        queues_hasten_begin();
        gate_close(&file->gate);
        queues_hasten_end();
    }
    do {
        error = ftruncate(file->fd, length) == 0 ? 0 : -errno;
    } while (error == -EINTR);
    if (gated) {
        gate_open(&file->gate);
        queues_launch_held(file);
        gate_release(&file->gate);
    }
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
