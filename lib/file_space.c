/* SPDX-License-Identifier: MIT */
/*
 * file_space.c - where a file ends, what room it has, and who has it locked.
 *
 * A file that is extended ahead has two ends: where the disk has it, and before that where it ends
 * for the program. Both change alone at the gate, but for writes, which only move the program's end
 * on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "errno_guard.h"
#include "file_state.h"
#include "queue_state.h"

/* --- the end -------------------------------------------------------------------------------- */

static off_t end_on_disk(const struct aio_file *file)
{
    ERRNO_GUARD;
    struct stat status;
    off_t end;

    if (file->device) {
        end = lseek(file->fd, 0, SEEK_END);
        return end >= 0 ? end : -errno;
    }
    return fstat(file->fd, &status) == 0 ? status.st_size : -errno;
}

off_t file_end(const struct aio_file *file)
{
    off_t logical = atomic_load_explicit(&file->inode->logical_end, memory_order_relaxed);

    return logical >= 0 ? logical : end_on_disk(file);
}

static int cut(const struct aio_file *file, off_t length)
{
    int error;

    do {
        error = ftruncate(file->fd, length) == 0 ? 0 : -errno;
    } while (error == -EINTR);
    return error;
}

static bool is_growing(const struct aio_file *file)
{
    return atomic_load_explicit(&file->inode->logical_end, memory_order_relaxed) >= 0;
}

/* Both ends are the same. */
static void set_ends(const struct aio_file *file, off_t end)
{
    atomic_store_explicit(&file->inode->logical_end, end, memory_order_relaxed);
    atomic_store_explicit(&file->inode->grown_end, end, memory_order_relaxed);
}

int file_set_size(struct aio_file *file, off_t length)
{
    ERRNO_GUARD;
    int error = cut(file, length);

    if (error != 0)
        return error;
    if (is_growing(file))
        set_ends(file, length);
    atomic_store_explicit(&file->inode->known_end, length, memory_order_relaxed);
    return 0;
}

/* --- extending ahead ------------------------------------------------------------------------ */

bool file_must_grow(const struct aio_file *file, off_t end)
{
    return is_growing(file) &&
           end > atomic_load_explicit(&file->inode->grown_end, memory_order_relaxed);
}

/* Raises an end, if there is one. */
static void raise_end(atomic_int_fast64_t *known, off_t end)
{
    int_fast64_t now = atomic_load_explicit(known, memory_order_relaxed);

    while (now >= 0 && now < end)
        if (atomic_compare_exchange_weak_explicit(known, &now, end, memory_order_relaxed,
                                                  memory_order_relaxed))
            break;
}

void file_reached(struct aio_file *file, off_t end)
{
    raise_end(&file->inode->logical_end, end);
    raise_end(&file->inode->known_end, end);
}

off_t file_known_end(struct aio_file *file)
{
    off_t known = atomic_load_explicit(&file->inode->known_end, memory_order_relaxed);

    if (known > 0)
        return known;
    known = end_on_disk(file);
    if (known > 0)
        raise_end(&file->inode->known_end, known);
    return known;
}

bool file_extends(struct aio_file *file, off_t end)
{
    off_t on_disk;

    if (file->device || end <= atomic_load_explicit(&file->inode->known_end, memory_order_relaxed))
        return false;
    on_disk = end_on_disk(file);
    if (on_disk > 0)
        raise_end(&file->inode->known_end, on_disk);
    return end > on_disk;
}

/* What the process may extend a file to: beyond that the kernel sends SIGXFSZ. */
static off_t size_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur > INT64_MAX)
        return INT64_MAX;
    return (off_t)limit.rlim_cur;
}

void file_grow(struct aio_file *file, off_t end)
{
    ERRNO_GUARD;
    off_t limit = size_limit();
    off_t target;

    if (!file_must_grow(file, end)) /* somebody has done so meanwhile */
        return;
    if (__builtin_add_overflow(end, (off_t)file->grow_ahead, &target) || target > limit)
        target = limit;
    if (target <= end_on_disk(file) || cut(file, target) != 0)
        return;
    atomic_store_explicit(&file->inode->grown_end, target, memory_order_relaxed);
    atomic_store_explicit(&file->inode->known_end, target, memory_order_relaxed);
}

/* Has the whole file alone. */
static void begin_alone(struct aio_file *file, struct file_pass *pass, struct transfer *transfer)
{
    struct aio_op op = {.opcode = AIO_OP_TRUNCATE};

    file_prepare(file, &op, transfer, pass);
    file_enter_blocking(file, transfer, pass);
}

static void end_alone(struct aio_file *file, struct file_pass *pass, struct transfer *transfer)
{
    transfer->result = 0;
    file_op_end(file, transfer, pass);
}

void file_drain(struct aio_file *file)
{
    struct file_pass pass;
    struct transfer transfer;

    begin_alone(file, &pass, &transfer);
    end_alone(file, &pass, &transfer);
}

static void begin_growth(struct aio_file *file, off_t end)
{
    struct inode *inode = file->inode;
    unsigned growth = atomic_load_explicit(&inode->growth, memory_order_relaxed) + 1;

    set_ends(file, end);
    atomic_store_explicit(&inode->grown_from[growth / 2 % INODE_GROWTHS], end,
                          memory_order_relaxed);
    atomic_store_explicit(&inode->growth, growth, memory_order_release);
}

off_t file_end_at_growth(const struct aio_file *file, unsigned growth)
{
    const struct inode *inode = file->inode;
    unsigned now = file_growth(file);
    unsigned begun = (now + 1) / 2 - (growth + 1) / 2; /* since */
    off_t end = INT64_MAX;

    if (begun > INODE_GROWTHS)
        begun = INODE_GROWTHS;
    for (unsigned back = 0; back < begun; back++) {
        unsigned place = ((now + 1) / 2 - 1 - back) % INODE_GROWTHS;
        off_t from = atomic_load_explicit(&inode->grown_from[place], memory_order_relaxed);

        if (from < end)
            end = from;
    }
    return end;
}

int file_start_growing(struct aio_file *file)
{
    struct file_pass pass;
    struct transfer transfer;
    off_t end;

    begin_alone(file, &pass, &transfer);
    end = end_on_disk(file);
    if (end >= 0 && atomic_fetch_add_explicit(&file->inode->growers, 1, memory_order_relaxed) == 0)
        begin_growth(file, end);
    end_alone(file, &pass, &transfer);
    return end < 0 ? (int)end : 0;
}

int file_stop_growing(struct aio_file *file)
{
    struct file_pass pass;
    struct transfer transfer;
    off_t logical;
    int error = 0;

    begin_alone(file, &pass, &transfer);
    logical = file_end(file);
    if (atomic_fetch_sub_explicit(&file->inode->growers, 1, memory_order_relaxed) == 1) {
        if (logical >= 0 &&
            logical < atomic_load_explicit(&file->inode->grown_end, memory_order_relaxed))
            error = cut(file, logical);
        atomic_fetch_add_explicit(&file->inode->growth, 1, memory_order_release);
        set_ends(file, -1);
        atomic_store_explicit(&file->inode->known_end, 0, memory_order_relaxed);
    }
    end_alone(file, &pass, &transfer);
    return error;
}

/* --- allocation ----------------------------------------------------------------------------- */

/* What is written where zeros are asked for: the same memory many times in one call. */
#define ZEROS_SIZE (64u * 1024)
#define ZEROS_COUNT 16u

static _Alignas(4096) char zeros[ZEROS_SIZE];

/* Writes zeros from offset up to end. */
static int write_zeros(int fd, off_t offset, off_t end)
{
    struct iovec iov[ZEROS_COUNT];

    for (unsigned index = 0; index < ZEROS_COUNT; index++)
        iov[index] = (struct iovec){zeros, ZEROS_SIZE};
    while (offset < end) {
        off_t left = end - offset;
        int count = left >= (off_t)(ZEROS_SIZE * ZEROS_COUNT) ? (int)ZEROS_COUNT : 1;
        ssize_t written;

        iov[0].iov_len = count == 1 && left < (off_t)ZEROS_SIZE ? (size_t)left : ZEROS_SIZE;
        written = pwritev(fd, iov, count, offset);
        if (written == 0 || (written < 0 && errno != EINTR))
            return written == 0 ? -EIO : -errno;
        if (written > 0)
            offset += written;
    }
    return 0;
}

static int write_zeros_cached(struct aio_file *file, int page_cache, off_t offset, off_t end)
{
    int error;

    if (offset >= end)
        return 0;
    unsynced_begin_write(&file->inode->unsynced, offset, (uint64_t)(end - offset));
    error = write_zeros(page_cache, offset, end);
    unsynced_end_write(&file->inode->unsynced);
    return error;
}

/* The edges of an unaligned range go through the page cache; the file is this thread's alone. */
static int write_zeros_direct(struct aio_file *file, off_t offset, off_t end)
{
    off_t grain = file->direct_alignment;
    off_t first = (offset + grain - 1) / grain * grain;
    off_t last = end / grain * grain;
    int page_cache = file->fd;
    int error;

    if (first > last || file->alignment.memory > sizeof(zeros) / ZEROS_COUNT) {
        first = end; /* all of it */
        last = end;
    }
    if (offset < first || last < end)
        page_cache = file_page_cache_fd(file);
    if (page_cache < 0)
        return page_cache;
    error = write_zeros_cached(file, page_cache, offset, first);
    if (error == 0)
        error = write_zeros(file->fd, first, last);
    if (error == 0)
        error = write_zeros_cached(file, page_cache, last, end);
    return error;
}

static int allocate_zeros(struct aio_file *file, off_t offset, off_t length)
{
    off_t grain = file->direct_alignment;

    if (!file->direct)
        return write_zeros(file->fd, offset, offset + length);
    if (((offset | length) & (grain - 1)) != 0 && !file_has_second_road(file)) {
        log_say(&file->log, AIO_LOG_ERROR,
                "%lld bytes of zeros at %lld do not fit the %u bytes to which this direct file "
                "aligns its writes",
                (long long)length, (long long)offset, file->direct_alignment);
        return -EINVAL;
    }
    return write_zeros_direct(file, offset, offset + length);
}

int file_allocate(struct aio_file *file, int mode, off_t offset, off_t length)
{
    ERRNO_GUARD;
    bool growing = is_growing(file);
    int error = 0;

    /* The modes look at the end on the disk: it is to be the program's. */
    if (growing)
        error = cut(file, file_end(file));
    if (error != 0)
        return error;
    if (mode == AIO_ALLOCATE_WRITE_ZEROS) {
        error = allocate_zeros(file, offset, length);
    } else {
        do {
            error = fallocate(file->fd, mode, offset, length) == 0 ? 0 : -errno;
        } while (error == -EINTR);
    }
    if (growing)
        set_ends(file, end_on_disk(file));
    atomic_store_explicit(&file->inode->known_end, 0, memory_order_relaxed); /* look again */
    return error;
}

/* Runs one of the two that need the whole file alone. */
static int run_alone(struct aio_file *file, const struct aio_op *op)
{
    struct transfer transfer;
    int error;

    if (reaper_in_callback())
        return -EDEADLK;
    error = file_run(file, op, &transfer);
    return error != 0 ? error : (int)transfer.result;
}

int aio_file_truncate(struct aio_file *file, off_t length)
{
    struct aio_op op = {.opcode = AIO_OP_TRUNCATE, .offset = length};

    return file != NULL ? run_alone(file, &op) : -EINVAL;
}

int aio_file_allocate(struct aio_file *file, int mode, off_t offset, off_t length)
{
    struct aio_op op = {.opcode = AIO_OP_ALLOCATE,
                        .mode = (uint32_t)mode,
                        .offset = offset,
                        .len = (uint64_t)length};

    if (file == NULL || length <= 0)
        return -EINVAL;
    return run_alone(file, &op);
}

/* --- locks ---------------------------------------------------------------------------------- */

int aio_file_lock(struct aio_file *file, int type, bool wait)
{
    ERRNO_GUARD;
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET};

    if (file == NULL || (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK))
        return -EINVAL;
    if (wait && type != F_UNLCK && reaper_in_callback())
        return -EDEADLK;
    atomic_store_explicit(&file->locked, true, memory_order_relaxed);
    if (fcntl(file->fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}
