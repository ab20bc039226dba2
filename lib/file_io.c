/* SPDX-License-Identifier: MIT */
/*
 * file_io.c - the calls that move data or make it durable, each on its caller's thread: one system
 * call, more where the kernel moved a part or where a bounce buffer is smaller than the transfer.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "errno_guard.h"
#include "file_state.h"
#include "op.h"
#include "queue_state.h"

static void count(struct aio_file *file, bool read, ssize_t result)
{
    struct stats_cell *cell = stats_cell(&file->stats);

    stats_add(cell, read ? STATS_READS : STATS_WRITES, 1);
    if (result > 0)
        stats_add(cell, read ? STATS_BYTES_READ : STATS_BYTES_WRITTEN, (uint64_t)result);
}

static void count_cached_write(struct aio_file *file, ssize_t result)
{
    stats_add(stats_cell(&file->stats), STATS_BLOCKING_CACHED_WRITES, 1);
    count(file, false, result);
}

/* Runs a transfer. Returns its result; *where is the offset at which it began. */
static ssize_t run(struct aio_file *file, const struct aio_op *op, off_t *where)
{
    struct transfer transfer;
    int error;

    if (file == NULL)
        return -EINVAL;
    error = file_run(file, op, &transfer);
    if (error != 0)
        return error;
    *where = transfer.offset;
    count(file, transfer_is_read(&transfer), (ssize_t)transfer.result);
    return (ssize_t)transfer.result;
}

/* --- the short way -------------------------------------------------------------------------- */

/* What fits a plain file: one system call and nothing to prepare. Only what that call left undone
 * needs a transfer. */
static ssize_t rest_of(struct aio_file *file, const struct engine_io *io, ssize_t step_result)
{
    struct transfer transfer;
    bool reading = io->opcode == AIO_OP_READ;

    transfer_init(&transfer, io->opcode, io->fd, io->offset);
    if (io->fd == file->fd)
        transfer.alignment = reading ? file->alignment.read : file->alignment.required;
    transfer_set_buffer(&transfer, io->buf, io->len);
    file_execute_rest(file, &transfer, step_result);
    return (ssize_t)transfer.result;
}

static ssize_t execute_plainly(struct aio_file *file, const struct engine_io *io)
{
    ssize_t result = file->ops->execute(file->engine, io);

    if (result != (ssize_t)io->len)
        result = rest_of(file, io, result);
    count(file, io->opcode == AIO_OP_READ, result);
    return result;
}

static bool memory_fits(const struct aio_file *file, const void *memory)
{
    return memory != NULL && ((uintptr_t)memory & (file->alignment.memory - 1)) == 0;
}

/* --- at an offset --------------------------------------------------------------------------- */

static ssize_t run_at(struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len,
                      off_t offset)
{
    struct aio_op op = {
        .opcode = opcode, .buf = (void *)(uintptr_t)memory, .len = len, .offset = offset};
    off_t where;

    return run(file, &op, &where);
}

ssize_t aio_file_pread(struct aio_file *file, void *buffer, size_t length, off_t offset)
{
    struct engine_io io = {.opcode = AIO_OP_READ, .buf = buffer, .len = length, .offset = offset};
    unsigned growth;
    ssize_t result;

    if (file == NULL)
        return -EINVAL;
    growth = file_growth(file);
    if (!file->readable || !memory_fits(file, buffer) || !file_reads_plainly(file, offset, length))
        return run_at(file, AIO_OP_READ, buffer, length, offset);
    io.fd = file->fd;
    result = execute_plainly(file, &io);
    if (growth != file_growth(file))
        result = (ssize_t)file_give_up_to(result, offset, file_end_at_growth(file, growth));
    return result;
}

ssize_t aio_file_pwrite(struct aio_file *file, const void *buffer, size_t length, off_t offset)
{
    struct engine_io io = {
        .opcode = AIO_OP_WRITE, .buf = (void *)(uintptr_t)buffer, .len = length, .offset = offset};
    struct gate_pass pass = {0};
    ssize_t result;

    if (file == NULL)
        return -EINVAL;
    if (!file->writable || file_sync_error(file) != 0 || !memory_fits(file, buffer) ||
        !file_fits_plainly(file, offset, length, file->direct_alignment) ||
        !file_try_gate(file, &pass, offset, length))
        return run_at(file, AIO_OP_WRITE, buffer, length, offset);
    io.fd = file->fd;
    result = execute_plainly(file, &io);
    file_leave_gate(file, &pass);
    return result;
}

ssize_t aio_file_preadv(struct aio_file *file, const struct iovec *iov, int iov_count, off_t offset)
{
    return iov_count < 0 ? -EINVAL : run_at(file, AIO_OP_READV, iov, (uint64_t)iov_count, offset);
}

ssize_t aio_file_pwritev(struct aio_file *file, const struct iovec *iov, int iov_count,
                         off_t offset)
{
    return iov_count < 0 ? -EINVAL : run_at(file, AIO_OP_WRITEV, iov, (uint64_t)iov_count, offset);
}

/* --- at the cursor -------------------------------------------------------------------------- */

/* What is checked at the cursor is so from when it has it: before, its place is a guess. The place
 * of an append has been found by then. */
static void begin_at_cursor(struct aio_file *file, const struct aio_op *op,
                            const struct transfer *transfer, struct file_pass *pass)
{
    file_check_begin(file, op, transfer, pass);
    if (pass->check == NULL)
        return;
    check_start(pass->check, 0);
    if (pass->placed)
        check_place(pass->check, transfer->offset);
}

/*
 * One try at the place where the cursor was a moment ago: what has to be waited for is waited for
 * without the cursor, so that a callback always gets it in the end. Returns false when the cursor
 * has moved since.
 */
static bool try_at_cursor(struct aio_file *file, struct aio_op *op, ssize_t *result)
{
    struct transfer transfer;
    struct file_pass pass;
    bool there;
    int step;

    file_lock(file, &file->cursor_lock);
    op->offset = file->cursor_offset;
    file_unlock(file, &file->cursor_lock);
    step = file_prepare(file, op, &transfer, &pass);
    if (step == 0)
        step = file_enter_blocking(file, &transfer, &pass);
    *result = step;
    if (step < 0)
        return true;
    file_lock(file, &file->cursor_lock);
    there = file->cursor_offset == op->offset;
    transfer.result = 0;
    if (there && file->check.on)
        begin_at_cursor(file, op, &transfer, &pass);
    if (there && step != FILE_STEP_DONE)
        file_execute(file, file->ops, file->engine, &transfer, &pass);
    file_op_end(file, &transfer, &pass);
    if (there && transfer.result > 0)
        file->cursor_offset = transfer.offset + transfer.result;
    file_unlock(file, &file->cursor_lock);
    if (pass.check != NULL)
        check_end(&pass.check);
    *result = (ssize_t)transfer.result;
    if (there)
        count(file, transfer_is_read(&transfer), *result);
    else
        file_uncount_road(file, &transfer, &pass);
    return there;
}

static ssize_t run_at_cursor(struct aio_file *file, uint8_t opcode, const void *memory,
                             uint64_t len)
{
    struct aio_op op = {.opcode = opcode, .buf = (void *)(uintptr_t)memory, .len = len};
    bool callback = reaper_in_callback();
    ssize_t result = -EINVAL;

    if (file == NULL)
        return -EINVAL;
    if (!callback)
        file_lock(file, &file->cursor_turn);
    while (!try_at_cursor(file, &op, &result))
        ;
    if (!callback)
        file_unlock(file, &file->cursor_turn);
    if (file->check.on && !file_is_inherited(file))
        check_speak();
    return result;
}

ssize_t aio_file_read(struct aio_file *file, void *buffer, size_t length)
{
    return run_at_cursor(file, AIO_OP_READ, buffer, length);
}

ssize_t aio_file_write(struct aio_file *file, const void *buffer, size_t length)
{
    return run_at_cursor(file, AIO_OP_WRITE, buffer, length);
}

ssize_t aio_file_readv(struct aio_file *file, const struct iovec *iov, int iov_count)
{
    return iov_count < 0 ? -EINVAL : run_at_cursor(file, AIO_OP_READV, iov, (uint64_t)iov_count);
}

ssize_t aio_file_writev(struct aio_file *file, const struct iovec *iov, int iov_count)
{
    return iov_count < 0 ? -EINVAL : run_at_cursor(file, AIO_OP_WRITEV, iov, (uint64_t)iov_count);
}

/* --- at the end ----------------------------------------------------------------------------- */

/*
 * The short way of a log: a few bytes behind the end, through the page cache. Who has the end alone
 * knows where it is as far as this process is concerned; the write goes to where it really is, by
 * O_APPEND, so that what another process has appended is not overwritten.
 */
static bool append_shortly(struct aio_file *file, const void *buffer, uint64_t length, off_t *where,
                           ssize_t *result)
{
    struct engine_io io = {.opcode = AIO_OP_WRITE, .buf = (void *)(uintptr_t)buffer, .len = length};
    struct gate_pass pass = {0};
    off_t end = file_known_end(file);

    if (end < 0 || !file_try_end(file, &pass, end, length))
        return false;
    io.offset = end;
    io.fd = file_append_fd(file);
    if (io.fd < 0 || end != file_known_end(file)) {
        file_leave_gate(file, &pass);
        return false;
    }
    unsynced_begin_write(&file->inode->unsynced, end, length);
    *result = file->ops->execute(file->engine, &io);
    if (*result != (ssize_t)length)
        *result = rest_of(file, &io, *result);
    if (*result > 0)
        file_reached(file, end + *result);
    if (where != NULL && *result >= 0)
        *where = lseek(io.fd, 0, SEEK_END) - *result;
    unsynced_end_write(&file->inode->unsynced);
    file_leave_gate(file, &pass);
    return true;
}

/* Whether it is for the page cache wherever the file ends. */
static bool is_for_log(const struct aio_file *file, const void *buffer, uint64_t length)
{
    return file->plain && !file->device && file->unaligned == AIO_UNALIGNED_DEFAULT &&
           file->writable && buffer != NULL && length < BOUNCE_SIZE &&
           (length & (file->direct_alignment - 1)) != 0 && file_sync_error(file) == 0 &&
           atomic_load_explicit(&file->inode->logical_end, memory_order_relaxed) < 0 &&
           !file_is_inherited(file) && !reaper_in_callback();
}

static ssize_t append(struct aio_file *file, uint8_t opcode, const void *memory, uint64_t len,
                      off_t *where)
{
    struct aio_op op = {.opcode = opcode, .buf = (void *)(uintptr_t)memory, .len = len};
    off_t offset = 0;
    ssize_t result;

    if (file != NULL && opcode == AIO_OP_APPEND && is_for_log(file, memory, len) &&
        append_shortly(file, memory, len, where, &result)) {
        count_cached_write(file, result);
        return result;
    }
    result = run(file, &op, &offset);
    if (result >= 0 && where != NULL)
        *where = offset;
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

/* --- sync ----------------------------------------------------------------------------------- */

static int sync_blocking(struct aio_file *file, uint8_t opcode)
{
    ERRNO_GUARD;
    struct aio_op op = {.opcode = opcode, .flags = AIO_OP_DRAIN};
    struct transfer transfer;
    int error;

    if (file == NULL)
        return -EINVAL;
    if (reaper_in_callback())
        return -EDEADLK;
    error = file_run(file, &op, &transfer);
    if (error != 0)
        return error;
    stats_add(stats_cell(&file->stats), STATS_SYNCS, 1);
    return (int)transfer.result;
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
    uint64_t state;
    int error;

    if (file == NULL)
        return -EINVAL;
    error = file_sync_error(file);
    state = atomic_load_explicit(&file->inode->sync_state, memory_order_relaxed);
    atomic_store_explicit(&file->sync_cleared, state, memory_order_relaxed);
    atomic_store_explicit(&file->inode->sync_acknowledged, state, memory_order_relaxed);
    return error;
}

/* --- any operation -------------------------------------------------------------------------- */

ssize_t aio_file_execute(struct aio_file *file, const struct aio_op *op)
{
    off_t where;
    int error;

    if (file == NULL || op == NULL || (op->file != NULL && op->file != file))
        return -EINVAL;
    error = op_check(op);
    /* Nothing follows it, and nobody else is there to be told that it takes long. */
    if (error == 0 &&
        (op->on_complete != NULL || op->deadline != 0 || (op->flags & AIO_OP_LINK) != 0))
        error = -EINVAL;
    if (error != 0)
        return error;
    switch (op->opcode) {
    case AIO_OP_NOP:
        return 0;
    case AIO_OP_SYNC:
    case AIO_OP_DATASYNC:
        return sync_blocking(file, op->opcode);
    case AIO_OP_TRUNCATE:
        return aio_file_truncate(file, op->offset);
    case AIO_OP_ALLOCATE:
        return op->len > INT64_MAX
                   ? -EINVAL
                   : aio_file_allocate(file, (int)op->mode, op->offset, (off_t)op->len);
    default:
        return run(file, op, &where);
    }
}
