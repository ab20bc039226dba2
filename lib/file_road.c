/* SPDX-License-Identifier: MIT */
/*
 * file_road.c - which way an operation takes, and past whom.
 *
 *   prepare   arguments and direction -> a transfer
 *   enter     stage by stage, waiting where it must:
 *
 *     BEGIN ---> GROW       the file is extended ahead first: alone, then from BEGIN again
 *       |
 *       +------> PLACE      an append has the end: it learns its place
 *       |          |
 *       +------> ROAD       the range is known, and with it the road and the lanes of the gate
 *                  |
 *                MEMORY     a bounce buffer, if need be
 *                  |
 *                 GO        descriptor and steps of the transfer
 *
 *     A sync goes from BEGIN by SYNC, behind what it has to cover, to GO. One that drains waits
 *     for the followers of chains first (followers.h), having nothing.
 *
 *   leave     gives everything up, in whatever order
 *
 * A blocking call waits as a thread, a submitted operation without one: whoever makes room for it
 * hands it to a worker, which goes on at the stage where it stands.
 *
 * Locks are taken in the order end, lanes, bounce memory, cursor; an append's place is looked up
 * with the end held, so that no truncate comes between.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "errno_guard.h"
#include "file_state.h"
#include "queue_state.h"

/* --- what came in --------------------------------------------------------------------------- */

static void start_came_in(struct file_pass *pass)
{
    pass->came_in = true;
    workers_submit(&pass->job);
}

/* Hands submitted operations that came through the gate to the workers. */
static void start_passes(struct gate_pass *came_in)
{
    while (came_in != NULL) {
        struct gate_pass *next = came_in->next;

        start_came_in((struct file_pass *)((char *)came_in - offsetof(struct file_pass, gate)));
        came_in = next;
    }
}

static bool has_end(const struct file_pass *pass)
{
    return ((pass->gate.shared | pass->gate.alone) & GATE_END) != 0;
}

/* Enters where nobody is in the way. */
static bool try_gate(struct aio_file *file, struct file_pass *pass, uint64_t lanes,
                     enum gate_manner manner)
{
    struct gate_pass *came_in;
    bool inside;

    if (manner == GATE_ALONE)
        return gate_try_alone(&file->inode->gate, &pass->gate, lanes);
    inside = gate_try_shared(&file->inode->gate, &pass->gate, lanes, &came_in);
    start_passes(came_in);
    return inside;
}

/* Returns 0 when it is inside, FILE_STEP_HELD when it waits, -EAGAIN when it is not to. A child's
 * copy of a handle meets nobody. */
static int enter_gate(struct aio_file *file, struct file_pass *pass, uint64_t lanes,
                      enum gate_manner manner)
{
    enum gate_turn turn = GATE_IN_TURN;
    struct gate_pass *came_in;
    bool inside;

    if ((lanes & ~pass->gate.alone) == 0 || file_is_inherited(file))
        return 0;
    if (pass->nowait)
        return try_gate(file, pass, lanes, manner) ? 0 : -EAGAIN;
    if (pass->patience == PATIENCE_CALLBACK && manner == GATE_SHARED)
        turn = GATE_CALLBACK;
    else if (has_end(pass))
        turn = GATE_HAS_END;
    inside = gate_enter(&file->inode->gate, &pass->gate, lanes, manner, turn, &came_in);
    start_passes(came_in);
    return inside ? 0 : FILE_STEP_HELD;
}

static void leave_gate(struct aio_file *file, struct file_pass *pass)
{
    file_leave_gate(file, &pass->gate);
}

/* Who extends the file shares its end too: who has the end alone knows where it is. */
static uint64_t lanes_of_write(struct aio_file *file, int64_t offset, uint64_t length)
{
    uint64_t lanes = gate_range(offset, length);

    return file_extends(file, offset + (int64_t)length) ? lanes | GATE_END : lanes;
}

bool file_try_gate(struct aio_file *file, struct gate_pass *pass, int64_t offset, uint64_t length)
{
    struct gate_pass *came_in;
    bool inside;

    if (file_is_inherited(file))
        return true;
    inside =
        gate_try_shared(&file->inode->gate, pass, lanes_of_write(file, offset, length), &came_in);
    start_passes(came_in);
    return inside;
}

/* The same for an append through the page cache, which has the end and its lanes alone. */
bool file_try_end(struct aio_file *file, struct gate_pass *pass, int64_t end, uint64_t length)
{
    return gate_try_alone(&file->inode->gate, pass, gate_range(end, length) | GATE_END);
}

void file_leave_gate(struct aio_file *file, struct gate_pass *pass)
{
    if ((pass->shared | pass->alone) != 0)
        start_passes(gate_leave(&file->inode->gate, pass));
}

/* --- prepare -------------------------------------------------------------------------------- */

static bool is_append(uint8_t opcode)
{
    return opcode == AIO_OP_APPEND || opcode == AIO_OP_APPENDV;
}

static bool is_vectors(uint8_t opcode)
{
    return opcode == AIO_OP_READV || opcode == AIO_OP_WRITEV || opcode == AIO_OP_APPENDV;
}

static int check_vectors(const struct aio_file *file, const struct iovec *iov, uint64_t count,
                         bool reads, uint64_t *total, bool *fits)
{
    uint32_t length_alignment = reads ? file->alignment.read : file->alignment.required;
    uint64_t odd = 0;

    *total = 0;
    if (count > INT32_MAX || (iov == NULL && count > 0))
        return -EINVAL;
    for (uint64_t index = 0; index < count; index++) {
        uint64_t length = iov[index].iov_len;

        if (length == 0)
            continue;
        if (iov[index].iov_base == NULL || length > SSIZE_MAX - *total)
            return -EINVAL;
        odd |= ((uintptr_t)iov[index].iov_base & (file->alignment.memory - 1)) |
               (length & (length_alignment - 1));
        *total += length;
    }
    *fits = odd == 0;
    return 0;
}

static int check_direction(const struct aio_file *file, const struct transfer *transfer)
{
    if (transfer_is_read(transfer))
        return file->readable ? 0 : -EBADF;
    return file->writable ? file_sync_error(file) : -EBADF;
}

/* The smallest grain at which a read or a write of this file can be direct. */
static uint32_t grain_of(const struct aio_file *file, const struct transfer *transfer)
{
    return transfer_is_read(transfer) ? file->alignment.read : file->alignment.required;
}

static int prepare_transfer(struct aio_file *file, const struct aio_op *op,
                            struct transfer *transfer, struct file_pass *pass)
{
    int64_t offset = is_append(op->opcode) ? 0 : op->offset;
    uint64_t total = op->len;
    int error;

    transfer_init(transfer, op->opcode, file->fd, offset);
    transfer->alignment = grain_of(file, transfer);
    error = check_direction(file, transfer);
    if (error != 0)
        return error;
    if (is_vectors(op->opcode)) {
        error = check_vectors(file, op->iov, op->len, transfer_is_read(transfer), &total,
                              &pass->memory_fits);
        if (error != 0)
            return error;
        transfer_set_vectors(transfer, op->iov, op->len, total);
    } else {
        if (total > SSIZE_MAX || (op->buf == NULL && total > 0))
            return -EINVAL;
        pass->memory_fits = ((uintptr_t)op->buf & (file->alignment.memory - 1)) == 0;
        transfer_set_buffer(transfer, op->buf, total);
    }
    return offset < 0 || total > (uint64_t)(INT64_MAX - offset) ? -EINVAL : 0;
}

/* Truncates and allocations: offset and total say of what. */
static int prepare_space(struct aio_file *file, const struct aio_op *op, struct transfer *transfer,
                         struct file_pass *pass)
{
    transfer_init(transfer, op->opcode, file->fd, op->offset);
    transfer->total = op->len;
    pass->mode = op->mode;
    if (!file->writable)
        return op->opcode == AIO_OP_TRUNCATE ? -EINVAL : -EBADF;
    if (op->offset < 0)
        return -EINVAL;
    if (op->opcode == AIO_OP_ALLOCATE) {
        if (op->len == 0 || op->len > INT64_MAX ||
            ((op->mode & AIO_ALLOCATE_WRITE_ZEROS) != 0 && op->mode != AIO_ALLOCATE_WRITE_ZEROS))
            return -EINVAL;
        if (op->len > (uint64_t)(INT64_MAX - op->offset))
            return -EFBIG;
    }
    return file_sync_error(file);
}

static int32_t rw_flags_of(const struct aio_op *op)
{
    int32_t rw_flags = 0;

    if ((op->flags & AIO_OP_DSYNC) != 0)
        rw_flags |= RWF_DSYNC;
    if ((op->flags & AIO_OP_NOWAIT) != 0)
        rw_flags |= RWF_NOWAIT;
    if ((op->flags & AIO_OP_HIPRI) != 0)
        rw_flags |= RWF_HIPRI;
    if ((op->flags & AIO_OP_ATOMIC) != 0)
        rw_flags |= RWF_ATOMIC;
    return rw_flags;
}

/* Whether untorn writes can be had of this handle at all. */
static int check_atomic_file(const struct aio_file *file)
{
    const char *why = NULL;

    if (file->direct_granted != AIO_DIRECT_GRANTED || file->append_mode)
        why = "this handle does not write directly: open it direct and without O_APPEND";
    else if (file->alignment.atomic_max == 0)
        why = "the file system or the device says of no size that it can be written untorn: use "
              "checksums or a log";
    if (why == NULL)
        return 0;
    log_say(&file->log, AIO_LOG_ERROR, "AIO_OP_ATOMIC: %s", why);
    return -EOPNOTSUPP;
}

/* What is wrong with an untorn write: a number and the one that it should have to do with. */
struct misfit {
    const char *what; /* NULL: nothing is */
    const char *how;
    uint64_t value;
    uint64_t limit;
};

static struct misfit misfit_of_length(const struct aio_file *file, uint64_t length)
{
    const struct alignment *alignment = &file->alignment;

    if (length < alignment->atomic_min)
        return (struct misfit){"length", "less than atomic_write_min", length,
                               alignment->atomic_min};
    if (length > alignment->atomic_max)
        return (struct misfit){"length", "more than atomic_write_max", length,
                               alignment->atomic_max};
    if ((length & (length - 1)) != 0)
        return (struct misfit){"length", "no power of two; the next smaller one", length,
                               UINT64_C(1) << (63 - __builtin_clzll(length))};
    if ((length & (file->direct_alignment - 1)) != 0)
        return (struct misfit){"length", "not a multiple of direct_alignment", length,
                               file->direct_alignment};
    return (struct misfit){.what = NULL};
}

/* Untorn is what the kernel can do in one piece: nothing is made to fit. */
static struct misfit misfit_of_atomic(const struct aio_file *file, const struct transfer *transfer,
                                      const struct file_pass *pass)
{
    bool vectors = transfer->io.opcode == AIO_OP_WRITEV;
    struct misfit misfit = misfit_of_length(file, transfer->total);

    if (misfit.what != NULL)
        return misfit;
    if (((uint64_t)transfer->offset & (transfer->total - 1)) != 0)
        return (struct misfit){"offset", "not a multiple of the length", (uint64_t)transfer->offset,
                               transfer->total};
    if (vectors && transfer->iov_left > file->alignment.atomic_segments)
        return (struct misfit){"number of vectors", "more than atomic_write_segments",
                               transfer->iov_left, file->alignment.atomic_segments};
    if (!pass->memory_fits)
        return (struct misfit){
            "memory address", "not a multiple of memory_alignment",
            (uintptr_t)(vectors ? transfer->iov_next->iov_base : transfer->io.buf),
            file->alignment.memory};
    return misfit;
}

static int check_atomic(const struct aio_file *file, const struct transfer *transfer,
                        const struct file_pass *pass)
{
    int error = check_atomic_file(file);
    struct misfit misfit;

    if (error != 0)
        return error;
    misfit = misfit_of_atomic(file, transfer, pass);
    if (misfit.what == NULL)
        return 0;
    log_say(&file->log, AIO_LOG_ERROR,
            "AIO_OP_ATOMIC: the %s, %llu, is %s, %llu: aio_file_info tells what this file can "
            "write untorn",
            misfit.what, (unsigned long long)misfit.value, misfit.how,
            (unsigned long long)misfit.limit);
    return -EINVAL;
}

/* What an operation's flags ask for beyond the transfer. */
static int prepare_flags(const struct aio_file *file, const struct aio_op *op,
                         struct transfer *transfer, struct file_pass *pass)
{
    transfer->io.priority = (uint16_t)op->priority;
    if ((op->flags & ~(uint32_t)(AIO_OP_WAITED | AIO_OP_LINK)) == 0)
        return 0;
    transfer->io.rw_flags |= rw_flags_of(op);
    pass->nowait = (op->flags & AIO_OP_NOWAIT) != 0;
    return (op->flags & AIO_OP_ATOMIC) != 0 ? check_atomic(file, transfer, pass) : 0;
}

int file_prepare(struct aio_file *file, const struct aio_op *op, struct transfer *transfer,
                 struct file_pass *pass)
{
    int error;

    file_pass_init(pass);
    switch (op->opcode) {
    case AIO_OP_NOP:
        transfer_init(transfer, AIO_OP_NOP, -1, 0);
        return 0;
    case AIO_OP_SYNC:
    case AIO_OP_DATASYNC:
        transfer_init(transfer, op->opcode, -1, 0);
        pass->drains = (op->flags & AIO_OP_DRAIN) != 0;
        if (pass->drains && !file_is_inherited(file))
            followers_stamp(&file->inode->followers, &pass->follower);
        pass->wants_workers = true;
        return file_sync_error(file);
    case AIO_OP_TRUNCATE:
    case AIO_OP_ALLOCATE:
        pass->wants_workers = true;
        return prepare_space(file, op, transfer, pass);
    default:
        error = prepare_transfer(file, op, transfer, pass);
        break;
    }
    if (error == 0)
        error = prepare_flags(file, op, transfer, pass);
    if (error != 0)
        return error;
    pass->wants_workers =
        transfer_is_write(transfer) || !pass->memory_fits || file->device ||
        (transfer->io.rw_flags & RWF_HIPRI) != 0 ||
        (((uint64_t)transfer->offset | transfer->total) & (file->alignment.read - 1)) != 0 ||
        atomic_load_explicit(&file->inode->logical_end, memory_order_relaxed) >= 0;
    /* What is not to wait does not wait for a worker. */
    pass->wants_workers &= !pass->nowait;
    return 0;
}

/* --- an append's place ---------------------------------------------------------------------- */

/* Where the file ends now, whatever became of earlier appends, but behind those in flight; negated
 * errno. place_lock held. */
static off_t next_place(const struct aio_file *file)
{
    const struct inode *inode = file->inode;
    off_t end = file_end(file);

    if (end >= 0 && !file_is_inherited(file) && inode->appends_inflight > 0 &&
        inode->append_end > end)
        end = inode->append_end;
    return end;
}

/* Returns 0 or a negated errno. */
static int append_place(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    struct inode *inode = file->inode;
    off_t end;
    int error = 0;

    file_lock(file, &inode->place_lock);
    end = next_place(file);
    if (end < 0)
        error = (int)end;
    else if (transfer->total > (uint64_t)(INT64_MAX - end))
        error = -EFBIG;
    if (error == 0) {
        transfer_set_offset(transfer, end);
        inode->append_end = end + (off_t)transfer->total;
        inode->appends_inflight++;
        pass->placed = true;
    }
    file_unlock(file, &inode->place_lock);
    if (error == 0 && pass->check != NULL)
        check_place(pass->check, transfer->offset);
    return error;
}

/* Where the bytes end that an append may have written. What was let go and failed may have written
 * all of its place, but for one that was not to wait, or was cancelled: it says what it wrote. */
static off_t end_of_place(const struct transfer *transfer, const struct file_pass *pass)
{
    bool exact = pass->nowait || transfer->error == -ECANCELED;
    uint64_t written = transfer->total;

    if (pass->stage != STAGE_INSIDE ||
        (exact && (transfer->result == -EAGAIN || transfer->result == -ECANCELED)))
        written = 0;
    else if (exact && transfer->result >= 0)
        written = (uint64_t)transfer->result;
    return transfer->offset + (off_t)written;
}

/* A place that stays empty is the next append's, if that has not got its own yet: who tries again
 * and again would leave hole after hole before one that is in flight. */
static void give_up_place(struct aio_file *file, const struct transfer *transfer,
                          struct file_pass *pass)
{
    struct inode *inode = file->inode;

    if (!pass->placed)
        return;
    pass->placed = false;
    file_lock(file, &inode->place_lock);
    inode->appends_inflight--;
    if (inode->append_end == transfer->offset + (off_t)transfer->total)
        inode->append_end = end_of_place(transfer, pass);
    file_unlock(file, &inode->place_lock);
}

/* Whether an append, wherever its place will be, would extend a file that is extended ahead. */
static bool append_must_grow(struct aio_file *file, const struct transfer *transfer)
{
    off_t end;

    if (file_is_inherited(file))
        return false;
    file_lock(file, &file->inode->place_lock);
    end = next_place(file);
    file_unlock(file, &file->inode->place_lock);
    return end >= 0 && transfer->total <= (uint64_t)(INT64_MAX - end) &&
           file_must_grow(file, end + (off_t)transfer->total);
}

static bool must_grow(struct aio_file *file, const struct transfer *transfer)
{
    if (file->grow_ahead == 0 || !transfer_is_write(transfer) || transfer->total == 0)
        return false;
    if (is_append(transfer->opcode))
        return append_must_grow(file, transfer);
    return file_must_grow(file, transfer->offset + (off_t)transfer->total);
}

/* --- the road ------------------------------------------------------------------------------- */

static int tell_misfit(const struct aio_file *file, const struct transfer *transfer,
                       uint32_t alignment)
{
    uint64_t odd_length = transfer->total & (alignment - 1);
    bool offset_fits = (transfer->offset & (alignment - 1)) == 0;
    const char *what = "memory address";
    uint64_t value = (uintptr_t)transfer->io.buf;

    if (odd_length != 0) {
        what = "length";
        value = transfer->total;
    } else if (!offset_fits) {
        what = "offset";
        value = (uint64_t)transfer->offset;
    } else {
        alignment = file->alignment.memory;
    }
    log_say(&file->log, AIO_LOG_ERROR,
            "%s %llu is not a multiple of %u bytes, which this direct file needs for it: align it "
            "(aio_file_info gives the alignments, aio_buffer_alloc aligned memory), or open %s",
            what, (unsigned long long)value, alignment,
            file->unaligned == AIO_UNALIGNED_REJECT
                ? "without AIO_UNALIGNED_REJECT"
                : "the device with AIO_UNALIGNED_PAGE_CACHE or AIO_DIRECT_NEVER");
    return -EINVAL;
}

/* The descriptor for the page cache; negated errno. */
int file_page_cache_fd(struct aio_file *file)
{
    ERRNO_GUARD;
    int more_flags = file->append_only ? O_APPEND : 0;
    int fd = atomic_load_explicit(&file->page_cache_fd, memory_order_acquire);

    /* A child's copy needs a position of its own, for O_APPEND: the flag only makes it another
     * kind. */
    if (file->append_mode && file_is_inherited(file)) {
        more_flags |= O_CLOEXEC;
        fd = -1;
    }

    if (!file->direct && (more_flags & O_CLOEXEC) == 0)
        return file->fd;
    if (fd >= 0)
        return fd;
    fd = inode_page_cache_fd(file->inode, file->fd, more_flags);
    if (fd >= 0) {
        atomic_store_explicit(&file->page_cache_fd, fd, memory_order_release);
        return fd;
    }
    log_say(&file->log, AIO_LOG_ERROR,
            "the file cannot be opened a second time, for the page cache (%s): open it with "
            "AIO_FILE_PAGE_CACHE_NOW before changing user or root, mount /proc, or align what "
            "is written",
            strerrorname_np(-fd));
    return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? fd : -EINVAL;
}

static bool fits(const struct transfer *transfer, uint32_t alignment)
{
    return (((uint64_t)transfer->offset | transfer->total) & (alignment - 1)) == 0;
}

int file_append_fd(struct aio_file *file)
{
    ERRNO_GUARD;
    int fd = atomic_load_explicit(&file->append_fd, memory_order_acquire);

    if (fd < 0)
        fd = inode_page_cache_fd(file->inode, file->fd, O_APPEND);
    if (fd >= 0)
        atomic_store_explicit(&file->append_fd, fd, memory_order_release);
    return fd;
}

/* Whether rounding outward would leave the numbers that offsets have. */
static bool at_the_end_of_numbers(const struct transfer *transfer)
{
    return transfer->offset > INT64_MAX - (int64_t)transfer->total - (int64_t)BOUNCE_SIZE;
}

/* In a child, whose copy of the ranges may be in any state, the kernel alone sees to it that a
 * direct read finds what is in the page cache. */
static bool meets_unsynced(struct aio_file *file, const struct transfer *transfer)
{
    return !file_is_inherited(file) &&
           unsynced_meets(&file->inode->unsynced, transfer->offset, transfer->total);
}

static int choose_for_read(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    bool aligned = fits(transfer, file->alignment.read);

    if (!file->direct) /* cached is set */
        return 0;
    if (file->unaligned == AIO_UNALIGNED_REJECT && !(aligned && pass->memory_fits)) {
        /* A file may end anywhere, and whoever reads to its end stands at an offset that fits
         * nothing: there is nothing to read from there on, which is no error. */
        if (pass->memory_fits && (transfer->total & (file->alignment.read - 1)) == 0 &&
            file_end(file) <= transfer->offset)
            return FILE_STEP_DONE;
        return tell_misfit(file, transfer, file->alignment.read);
    }
    pass->cached =
        (meets_unsynced(file, transfer) || (!aligned && at_the_end_of_numbers(transfer))) &&
        file_page_cache_fd(file) >= 0;
    pass->bounced = !pass->cached && (!aligned || !pass->memory_fits);
    return 0;
}

static int choose_for_write(struct aio_file *file, struct transfer *transfer,
                            struct file_pass *pass)
{
    bool direct = file->direct && !file->append_mode;
    bool aligned = fits(transfer, file->direct_alignment);

    pass->cached = !direct || !aligned;
    pass->bounced = !pass->cached && !pass->memory_fits;
    if (direct && ((!aligned && !file_has_second_road(file)) ||
                   (pass->bounced && file->unaligned == AIO_UNALIGNED_REJECT)))
        return tell_misfit(file, transfer, file->direct_alignment);
    return 0;
}

/* Whether a transfer on the cached road must be alone in its lanes: where others go direct. */
static bool must_be_alone(const struct aio_file *file)
{
    return atomic_load_explicit(&file->inode->direct_handles, memory_order_relaxed) > 0;
}

/* Of a file that is extended ahead only what lies before the program's end is read, into a bounce
 * buffer, which knows how much of it counts. Returns whether there is nothing. */
static bool clip_to_end(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    off_t end = atomic_load_explicit(&file->inode->logical_end, memory_order_relaxed);

    if (end < 0 ||
        transfer->total <= (uint64_t)(end > transfer->offset ? end - transfer->offset : 0))
        return false;
    if (end <= transfer->offset)
        return true;
    transfer->total = (uint64_t)(end - transfer->offset);
    pass->clipped = true;
    return false;
}

/* Chooses the road, and the lanes that it needs. Returns 0, FILE_STEP_DONE for what has nothing to
 * do, or a negated errno. */
static int choose_road(struct aio_file *file, struct transfer *transfer, struct file_pass *pass,
                       enum gate_manner *manner, uint64_t *lanes)
{
    bool reading = transfer_is_read(transfer);
    int error;

    *lanes = 0;
    *manner = GATE_SHARED;
    pass->cached = !file->direct;
    pass->growth = file_growth(file);
    if (reading && transfer->total > 0 && clip_to_end(file, transfer, pass))
        return FILE_STEP_DONE;
    if (transfer->total == 0)
        return 0;
    error =
        reading ? choose_for_read(file, transfer, pass) : choose_for_write(file, transfer, pass);
    if (error != 0)
        return error;
    /* Only on a device does a read through the page cache leave harm behind: a page that was read
     * beside a direct write stays as it was before it. */
    if (reading && !(file->device && file->unaligned == AIO_UNALIGNED_PAGE_CACHE))
        return 0;
    if (pass->cached && must_be_alone(file))
        *manner = GATE_ALONE;
    /* What its wait would wait for may be this thread's own to deliver. */
    if (*manner == GATE_ALONE && pass->patience == PATIENCE_CALLBACK)
        return -EDEADLK;
    if (reading || has_end(pass))
        *lanes = gate_range(transfer->offset, transfer->total);
    else
        *lanes = lanes_of_write(file, transfer->offset, transfer->total);
    return 0;
}

/* --- the stages ----------------------------------------------------------------------------- */

static bool is_space(const struct transfer *transfer)
{
    return transfer->opcode == AIO_OP_TRUNCATE || transfer->opcode == AIO_OP_ALLOCATE;
}

static int begin(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    if (pass->drains && !file_is_inherited(file) &&
        followers_await(&file->inode->followers, &pass->follower))
        return FILE_STEP_HELD;
    if (is_space(transfer) || pass->drains) {
        pass->stage = is_space(transfer) ? STAGE_GO : STAGE_SYNC;
        return enter_gate(file, pass, GATE_ALL, GATE_ALONE);
    }
    if (transfer_is_sync(transfer)) {
        pass->stage = STAGE_SYNC;
        return 0;
    }
    /* In a callback, and where extending ahead has failed, the write extends the file by itself. */
    if (!pass->grown && pass->patience != PATIENCE_CALLBACK && must_grow(file, transfer)) {
        if (pass->nowait)
            return -EAGAIN;
        pass->stage = STAGE_GROW;
        return enter_gate(file, pass, GATE_ALL, GATE_ALONE);
    }
    if (file->append_mode && transfer_is_write(transfer)) {
        if (pass->patience == PATIENCE_CALLBACK)
            return -EDEADLK;
        pass->stage = STAGE_PLACE;
        return enter_gate(file, pass, GATE_ALL, GATE_ALONE);
    }
    if (is_append(transfer->opcode)) {
        pass->stage = STAGE_PLACE;
        return enter_gate(file, pass, GATE_END, GATE_SHARED);
    }
    pass->stage = STAGE_ROAD;
    return 0;
}

/* The write that was alone to extend the file ahead goes on beside others, but before those that
 * came after it. Alone it must not wait for bounce memory. */
static void share_road(struct aio_file *file, const struct transfer *transfer,
                       struct file_pass *pass, uint64_t lanes)
{
    if (is_append(transfer->opcode))
        lanes |= GATE_END;
    start_passes(gate_share(&file->inode->gate, &pass->gate, lanes));
}

/* Polling is for what goes to a device. What the program can know before is refused; a read that
 * has to see what was written through the page cache a moment ago finds it in memory. */
static int check_polled(struct aio_file *file, struct transfer *transfer,
                        const struct file_pass *pass)
{
    if (file->direct_granted == AIO_DIRECT_GRANTED && !pass->cached)
        return 0;
    if (file->direct_granted == AIO_DIRECT_GRANTED && transfer_is_read(transfer)) {
        transfer->io.rw_flags &= ~RWF_HIPRI;
        return 0;
    }
    log_say(&file->log, AIO_LOG_ERROR,
            "AIO_OP_HIPRI: this transfer does not go to the device by itself, so there is nothing "
            "to poll for: open the file direct and without O_APPEND, and keep to multiples of %u "
            "bytes (direct_alignment)",
            file->direct_alignment);
    return -EOPNOTSUPP;
}

/* Whether the road chosen is one that the operation's flags allow. */
static int check_road(struct aio_file *file, struct transfer *transfer,
                      const struct file_pass *pass)
{
    int error = 0;

    if ((transfer->io.rw_flags & RWF_HIPRI) != 0)
        error = check_polled(file, transfer, pass);
    if (error == 0 && pass->nowait &&
        (pass->bounced || pass->clipped || transfer->iov_left > TRANSFER_IOV_MAX))
        error = -EAGAIN;
    return error;
}

static int take_road(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    enum gate_manner manner;
    uint64_t lanes;
    int error = choose_road(file, transfer, pass, &manner, &lanes);

    if (error == 0)
        error = check_road(file, transfer, pass);
    if (error == FILE_STEP_DONE) {
        transfer->result = 0;
        pass->stage = STAGE_INSIDE;
        return FILE_STEP_DONE;
    }
    if (error != 0)
        return error;
    pass->stage = STAGE_MEMORY;
    if (pass->grown && manner == GATE_SHARED && pass->gate.alone != 0) {
        share_road(file, transfer, pass, lanes);
        return 0;
    }
    return enter_gate(file, pass, lanes, manner);
}

/* All that came before is done; what comes now may run beside the sync, but for other syncs. */
static int take_sync(struct aio_file *file, struct file_pass *pass)
{
    leave_gate(file, pass);
    pass->stage = STAGE_GO;
    return enter_gate(file, pass, GATE_SYNC, GATE_ALONE);
}

static int take_memory(struct file_pass *pass)
{
    int result = 1;

    pass->stage = STAGE_GO;
    pass->bounced |= pass->clipped;
    if (pass->bounced && pass->bounce.memory == NULL)
        result = bounce_get(&pass->bounce, pass->patience == PATIENCE_CALLBACK);
    if (result < 0)
        return result;
    return result > 0 ? 0 : FILE_STEP_HELD;
}

static void add_to_road(struct aio_file *file, const struct transfer *transfer,
                        const struct file_pass *pass, uint64_t amount)
{
    bool submitted = pass->patience == PATIENCE_SUBMITTED;
    unsigned counter = submitted ? STATS_DIRECT_READS : STATS_BLOCKING_BOUNCED_READS;

    if (pass->bounced)
        counter = submitted ? STATS_BOUNCED_READS : STATS_BLOCKING_BOUNCED_READS;
    else if (pass->cached)
        counter = submitted ? STATS_CACHED_READS : STATS_BLOCKING_CACHED_READS;
    else if (!submitted)
        return;
    counter += !transfer_is_read(transfer);
    stats_add(stats_cell(&file->stats), (enum stats_counter)counter, amount);
}

static void count_road(struct aio_file *file, const struct transfer *transfer,
                       const struct file_pass *pass)
{
    add_to_road(file, transfer, pass, 1);
}

void file_uncount_road(struct aio_file *file, const struct transfer *transfer,
                       const struct file_pass *pass)
{
    add_to_road(file, transfer, pass, UINT64_MAX);
}

/* A write that syncs is told of writeback errors, each of which a descriptor is told of once: it
 * must not go through the one for syncs. */
static int fd_for_dsync(struct aio_file *file, int fd)
{
    ERRNO_GUARD;
    int other;

    if (fd != atomic_load_explicit(&file->inode->sync_fd, memory_order_acquire))
        return fd;
    other = inode_page_cache_fd(file->inode, fd, file->direct ? O_DIRECT : 0);
    return other >= 0 ? other : fd;
}

/* The engine's submit would block: in the page cache beside direct handles, or where the file
 * system makes direct writes something else, unless it is told not to. And what is alone must come
 * to its end without anybody reaping it: the thread that should may run a callback that waits for
 * it. */
static bool needs_worker(const struct aio_file *file, const struct transfer *transfer,
                         const struct file_pass *pass)
{
    if (pass->gate.alone != 0)
        return true;
    if (!transfer_is_write(transfer))
        return false;
    return (pass->cached && (file->direct || file->append_mode)) ||
           (file->direct_granted == AIO_DIRECT_EMULATED && !pass->nowait);
}

/* A blocking call asks for no pace: it blocks anyway, and in a child the lock may be held by nobody
 * who is there. */
static void look_at_pace(struct aio_file *file, struct file_pass *pass)
{
    if (pass->patience == PATIENCE_SUBMITTED)
        pass->pace = (uint8_t)pace_look(&file->pace);
}

static int go_transfer(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    bool writing = transfer_is_write(transfer);
    int fd = file->fd;

    pass->worker = needs_worker(file, transfer, pass);
    if (pass->worker && pass->nowait && pass->patience == PATIENCE_SUBMITTED)
        return -EAGAIN;
    if (pass->cached) {
        fd = file_page_cache_fd(file);
        transfer->alignment = 1;
    }
    if (fd < 0)
        return fd;
    transfer->io.fd = (transfer->io.rw_flags & RWF_DSYNC) != 0 ? fd_for_dsync(file, fd) : fd;
    if (pass->bounced)
        transfer_set_bounce(transfer, pass->bounce.memory, BOUNCE_SIZE);
    if (pass->cached && writing && transfer->total > 0 && !file_is_inherited(file)) {
        unsynced_begin_write(&file->inode->unsynced, transfer->offset, transfer->total);
        pass->marked = true;
    }
    count_road(file, transfer, pass);
    look_at_pace(file, pass);
    return 0;
}

/* One that waited for another sync may have been told by that one. */
static int go_sync(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    int error = file_sync_error(file);

    if (error != 0)
        return error;
    transfer->io.fd = atomic_load_explicit(&file->inode->sync_fd, memory_order_acquire);
    if (!file_is_inherited(file))
        pass->sync_counts = unsynced_begin_sync(&file->inode->unsynced);
    return 0;
}

static int go(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    int error = 0;

    if (is_space(transfer))
        pass->worker = true;
    else if (transfer_is_sync(transfer))
        error = go_sync(file, transfer, pass);
    else
        error = go_transfer(file, transfer, pass);
    if (error != 0)
        return error;
    pass->stage = STAGE_INSIDE;
    return pass->worker ? FILE_STEP_WORKER : FILE_STEP_ENGINE;
}

/* The short way: what fits a plain file is through with all stages but the gate. Returns a step, or
 * 0 for what has to take the long way. */
static int take_short_way(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    int step;

    if (transfer->io.rw_flags != 0)
        return 0;
    if (transfer->opcode == AIO_OP_READ || transfer->opcode == AIO_OP_READV) {
        pass->growth = file_growth(file);
        if (!file_reads_plainly(file, transfer->offset, transfer->total))
            return 0;
        pass->stage = STAGE_INSIDE;
    } else if (transfer->opcode == AIO_OP_WRITE || transfer->opcode == AIO_OP_WRITEV) {
        if (!file_fits_plainly(file, transfer->offset, transfer->total, file->direct_alignment))
            return 0;
        pass->stage = STAGE_GO;
        step = enter_gate(file, pass, lanes_of_write(file, transfer->offset, transfer->total),
                          GATE_SHARED);
        if (step != 0)
            return step;
        pass->stage = STAGE_INSIDE;
    } else {
        return 0;
    }
    count_road(file, transfer, pass);
    look_at_pace(file, pass);
    return FILE_STEP_ENGINE;
}

/* Takes all stages that can be taken. Returns a step or a negated errno. */
static int enter(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    int result = 0;

    if (pass->stage == STAGE_BEGIN && pass->memory_fits)
        result = take_short_way(file, transfer, pass);
    while (result == 0) {
        switch ((enum file_stage)pass->stage) {
        case STAGE_BEGIN:
            result = begin(file, transfer, pass);
            break;
        case STAGE_GROW:
            return FILE_STEP_WORKER;
        case STAGE_SYNC:
            result = take_sync(file, pass);
            break;
        case STAGE_PLACE:
            pass->stage = STAGE_ROAD;
            result = append_place(file, transfer, pass);
            break;
        case STAGE_ROAD:
            result = take_road(file, transfer, pass);
            break;
        case STAGE_MEMORY:
            result = take_memory(pass);
            break;
        case STAGE_GO:
            return go(file, transfer, pass);
        case STAGE_INSIDE:
            return FILE_STEP_DONE;
        }
    }
    return result;
}

/* --- leave ---------------------------------------------------------------------------------- */

/* Keeps what a sync of the kernel's has lost; see aio_file_sync. */
static void sync_failed(struct aio_file *file, int error)
{
    static const int nothing_lost[] = {EINVAL, EROFS, EBADF,  ENOSYS,
                                       EAGAIN, EINTR, ENOMEM, ECANCELED};

    /* The descriptor cannot be synced, or the sync has not reached its writes. */
    for (unsigned index = 0; index < sizeof(nothing_lost) / sizeof(nothing_lost[0]); index++)
        if (error == -nothing_lost[index])
            return;
    inode_sync_failed(file->inode, error);
    /* What the cache holds may not be on the disk: later reads are to show what is. */
    posix_fadvise(atomic_load_explicit(&file->inode->sync_fd, memory_order_acquire), 0, 0,
                  POSIX_FADV_DONTNEED);
}

/* A write that syncs, beside this sync, may have been told of an error in its place: then it may
 * not say that all is well. */
static void end_sync(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    if (pass->sync_counts)
        unsynced_end_sync(&file->inode->unsynced, transfer->result >= 0);
    pass->sync_counts = false;
    if (transfer->result < 0)
        sync_failed(file, (int)transfer->result);
    else
        transfer->result = file_sync_error(file);
    transfer->error = (int32_t)transfer->result;
}

/* A follower has come to the gate, or never will. */
static void stop_following(struct aio_file *file, struct file_pass *pass)
{
    struct follower *syncs;

    if (!pass->follower.listed)
        return;
    syncs = followers_remove(&file->inode->followers, &pass->follower);
    while (syncs != NULL) {
        struct follower *next = syncs->next;

        start_came_in((struct file_pass *)((char *)syncs - offsetof(struct file_pass, follower)));
        syncs = next;
    }
}

/* Gives up what is held. Nothing of it is asked for in vain: each wait has ended. */
static void give_up(struct aio_file *file, const struct transfer *transfer, struct file_pass *pass)
{
    stop_following(file, pass);
    if (pass->marked)
        unsynced_end_write(&file->inode->unsynced);
    pass->marked = false;
    if (pass->bounce.memory != NULL) {
        struct bounce_pass *next = bounce_put(&pass->bounce);

        if (next != NULL)
            start_came_in((struct file_pass *)((char *)next - offsetof(struct file_pass, bounce)));
    }
    give_up_place(file, transfer, pass);
    leave_gate(file, pass);
}

/* A write that syncs may be told of a writeback error. Where its descriptor is the one for syncs
 * all the same, as no other could be opened, no sync would be told of it. */
static bool lost_by_write(const struct aio_file *file, const struct transfer *transfer)
{
    int sync_fd = atomic_load_explicit(&file->inode->sync_fd, memory_order_acquire);

    return ((transfer->io.rw_flags & RWF_DSYNC) != 0 || file->syncs_writes) &&
           transfer->io.fd == sync_fd && transfer->error == -EIO;
}

void file_op_end(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    off_t limit = atomic_load_explicit(&file->inode->logical_end, memory_order_relaxed);

    if (pass->check != NULL)
        check_result(pass->check);
    if (transfer_is_sync(transfer) && pass->stage == STAGE_INSIDE) {
        end_sync(file, transfer, pass);
    } else if (transfer_is_write(transfer)) {
        if (transfer->result > 0)
            file_reached(file, transfer->offset + transfer->result);
        if (transfer->error != 0 && lost_by_write(file, transfer))
            sync_failed(file, transfer->error);
    } else if (transfer_is_read(transfer)) {
        /* What lies behind was only made ahead. */
        if (limit >= 0)
            transfer->result = file_give_up_to(transfer->result, transfer->offset, limit);
        if (pass->growth != file_growth(file))
            transfer->result = file_give_up_to(transfer->result, transfer->offset,
                                               file_end_at_growth(file, pass->growth));
    }
    give_up(file, transfer, pass);
}

/* --- execute -------------------------------------------------------------------------------- */

static void execute_steps(const struct engine_ops *ops, struct engine *engine,
                          struct transfer *transfer, ssize_t step_result)
{
    enum transfer_verdict verdict = transfer_advance(transfer, step_result);

    while (verdict == TRANSFER_AGAIN)
        verdict = transfer_advance(transfer, ops->execute(engine, &transfer->io));
    if (verdict == TRANSFER_LATER) /* nothing of ours is in flight that could make room */
        transfer_fail(transfer, -EAGAIN);
}

void file_execute_rest(struct aio_file *file, struct transfer *transfer, ssize_t step_result)
{
    execute_steps(file->ops, file->engine, transfer, step_result);
}

/*
 * O_APPEND: the kernel finds the end, so that writers in other processes that do the same never
 * meet. RWF_APPEND with no offset writes there and moves the descriptor's position behind it, which
 * tells the place; whoever is here has the end alone.
 */
static void write_append_mode(const struct engine_ops *ops, struct engine *engine,
                              struct transfer *transfer)
{
    enum transfer_verdict verdict;
    off_t end;

    transfer->io.rw_flags |= RWF_APPEND;
    do {
        transfer->io.offset = -1;
        verdict = transfer_advance(transfer, ops->execute(engine, &transfer->io));
    } while (verdict == TRANSFER_AGAIN);
    if (verdict == TRANSFER_LATER)
        transfer_fail(transfer, -EAGAIN);
    end = lseek(transfer->io.fd, 0, SEEK_CUR);
    if (transfer->result > 0 && end >= transfer->result)
        transfer->offset = end - transfer->result;
}

/* Where another handle extends the file ahead, the kernel does not know the end that counts. */
static bool appends_by_kernel(const struct aio_file *file, const struct transfer *transfer)
{
    return file->append_mode && transfer_is_write(transfer) && transfer->total > 0 &&
           atomic_load_explicit(&file->inode->logical_end, memory_order_relaxed) < 0;
}

void file_execute(struct aio_file *file, const struct engine_ops *ops, struct engine *engine,
                  struct transfer *transfer, struct file_pass *pass)
{
    if (transfer->opcode == AIO_OP_TRUNCATE)
        transfer->result = file_set_size(file, transfer->offset);
    else if (transfer->opcode == AIO_OP_ALLOCATE)
        transfer->result =
            file_allocate(file, (int)pass->mode, transfer->offset, (off_t)transfer->total);
    else if (appends_by_kernel(file, transfer))
        write_append_mode(ops, engine, transfer);
    else
        execute_steps(ops, engine, transfer, ops->execute(engine, &transfer->io));
    if (is_space(transfer))
        transfer->error = (int32_t)transfer->result;
}

/* Extends the file ahead, alone; the operation then starts anew, without leaving: once outside it
 * would come after what was submitted behind it. That the file cannot be extended is for the write
 * itself to tell. */
static void grow_and_begin(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    off_t start = is_append(transfer->opcode) ? file_end(file) : transfer->offset;

    if (start >= 0 && transfer->total <= (uint64_t)(INT64_MAX - start))
        file_grow(file, start + (off_t)transfer->total);
    pass->grown = true;
    pass->stage = STAGE_BEGIN;
}

/* --- blocking calls ------------------------------------------------------------------------- */

/* What a thread waits for that is held back at GO. Whether it has its memory is not to be looked at
 * without the pool's lock: who gave it may be about to wake this thread still. */
static bool wants_memory(const struct file_pass *pass)
{
    return pass->stage == STAGE_GO && pass->bounced;
}

static bool still_waits(struct aio_file *file, struct file_pass *pass)
{
    if (pass->stage == STAGE_BEGIN)
        return followers_waits(&file->inode->followers, &pass->follower);
    return wants_memory(pass) ? bounce_waits(&pass->bounce)
                              : gate_waits(&file->inode->gate, &pass->gate);
}

/* Waits for followers, for the gate or for bounce memory. What is waited for may be in flight on
 * any queue, this thread's own among them. */
static void wait_for_turn(struct aio_file *file, struct file_pass *pass)
{
    queues_hasten_begin(1);
    while (still_waits(file, pass) && queues_move_owned())
        continue;
    if (pass->stage == STAGE_BEGIN)
        followers_wait(&file->inode->followers, &pass->follower);
    else if (wants_memory(pass))
        bounce_wait(&pass->bounce);
    else
        gate_wait(&file->inode->gate, &pass->gate);
    queues_hasten_end();
}

int file_enter_blocking(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    struct thread_cond wakeup;
    int step;

    pass->patience = reaper_in_callback() ? PATIENCE_CALLBACK : PATIENCE_THREAD;
    thread_cond_init(&wakeup);
    pass->gate.wakeup = &wakeup;
    pass->bounce.wakeup = &wakeup;
    pass->follower.wakeup = &wakeup;
    step = enter(file, transfer, pass);
    while (step == FILE_STEP_HELD || pass->stage == STAGE_GROW) {
        if (step == FILE_STEP_HELD)
            wait_for_turn(file, pass);
        if (pass->stage == STAGE_GROW)
            grow_and_begin(file, transfer, pass);
        step = enter(file, transfer, pass);
    }
    pass->gate.wakeup = NULL;
    pass->bounce.wakeup = NULL;
    pass->follower.wakeup = NULL;
    thread_cond_destroy(&wakeup);
    if (step < 0)
        give_up(file, transfer, pass);
    return step;
}

void file_check_begin(struct aio_file *file, const struct aio_op *op,
                      const struct transfer *transfer, struct file_pass *pass)
{
    bool placed = !is_append(op->opcode) && !(file->append_mode && transfer_is_write(transfer));

    if (!file_is_inherited(file))
        pass->check = check_begin(&file->check, op, transfer, placed);
}

/* The same for a handle that is checked. */
static int run_checked(struct aio_file *file, const struct aio_op *op, struct transfer *transfer)
{
    struct file_pass pass;
    int step = file_prepare(file, op, transfer, &pass);

    if (step != 0)
        return step;
    file_check_begin(file, op, transfer, &pass);
    if (pass.check != NULL)
        check_start(pass.check, 0);
    step = file_enter_blocking(file, transfer, &pass);
    if (step >= 0 && step != FILE_STEP_DONE)
        file_execute(file, file->ops, file->engine, transfer, &pass);
    if (step >= 0)
        file_op_end(file, transfer, &pass);
    if (step >= 0)
        check_end(&pass.check);
    else
        check_drop(&pass.check);
    if (!file_is_inherited(file))
        check_speak();
    return step < 0 ? step : 0;
}

int file_run(struct aio_file *file, const struct aio_op *op, struct transfer *transfer)
{
    struct file_pass pass;
    int step;

    if (file->check.on)
        return run_checked(file, op, transfer);
    step = file_prepare(file, op, transfer, &pass);
    if (step == 0)
        step = file_enter_blocking(file, transfer, &pass);
    if (step < 0)
        return step;
    if (step != FILE_STEP_DONE)
        file_execute(file, file->ops, file->engine, transfer, &pass);
    file_op_end(file, transfer, &pass);
    return 0;
}

/* --- submitted operations ------------------------------------------------------------------- */

static bool reads_are_plain(const struct aio_file *file)
{
    return file->readable && file_reads_plainly(file, 0, file->alignment.read);
}

static bool writes_are_plain(const struct aio_file *file)
{
    return file->writable && file_sync_error(file) == 0 &&
           file_fits_plainly(file, 0, file->direct_alignment, file->direct_alignment);
}

bool file_op_is_plain(struct aio_file *file, uint8_t opcode, struct plain_file *plain)
{
    const uint64_t too_large = UINT64_C(3) << 62; /* offset + length is no more than INT64_MAX */
    uint32_t grain = file->alignment.read;

    plain->writes = opcode == AIO_OP_WRITE;
    if (plain->writes)
        grain = file->direct_alignment;
    plain->fd = file->fd;
    plain->growth = file_growth(file); /* even, or they are not plain */
    plain->range_bits = (grain - 1) | too_large;
    plain->memory_bits = file->alignment.memory - 1;
    return (plain->writes ? writes_are_plain(file) : reads_are_plain(file)) && !file->check.on &&
           pace_look(&file->pace) == PACE_FREE && !file_is_inherited(file);
}

/* As far as is known without asking the kernel, which is for the long way to do. */
static bool may_extend(const struct aio_file *file, off_t end)
{
    return !file->device &&
           end > atomic_load_explicit(&file->inode->known_end, memory_order_relaxed);
}

bool file_op_enter_plain(struct aio_file *file, int64_t offset, uint64_t length)
{
    struct gate_pass pass = {.shared = 0};
    struct gate_pass *came_in;
    bool inside;

    if (may_extend(file, offset + (off_t)length))
        return false;
    inside = gate_try_shared(&file->inode->gate, &pass, gate_range(offset, length), &came_in);
    start_passes(came_in);
    /* Inside, no truncate can come between. */
    if (inside && may_extend(file, offset + (off_t)length)) {
        file_leave_gate(file, &pass);
        inside = false;
    }
    return inside;
}

void file_op_begin_plain(struct aio_file *file, uint8_t opcode, unsigned count)
{
    inflight_add(&file->inflight, count);
    stats_add(stats_cell(&file->stats),
              opcode == AIO_OP_WRITE ? STATS_DIRECT_WRITES : STATS_DIRECT_READS, count);
}

unsigned file_op_growth(const struct aio_file *file)
{
    return file_growth(file);
}

void file_op_leave_plain(struct aio_file *file, int64_t offset, uint64_t length)
{
    struct gate_pass pass = {.shared = gate_range(offset, length)};

    file_leave_gate(file, &pass);
}

void file_op_unfold(struct aio_file *file, struct transfer *transfer, struct file_pass *pass,
                    unsigned growth)
{
    const struct engine_io io = transfer->io;

    transfer_init(transfer, io.opcode, io.fd, io.offset);
    transfer->alignment = grain_of(file, transfer);
    transfer_set_buffer(transfer, io.buf, io.len);
    file_pass_init(pass);
    if (transfer_is_write(transfer))
        pass->gate.shared = gate_range(io.offset, io.len);
    pass->memory_fits = true;
    pass->stage = STAGE_INSIDE;
    pass->growth = growth;
}

int file_op_begin(const struct aio_op *op, struct transfer *transfer, struct file_pass *pass)
{
    struct aio_file *file = op->file;
    int error;

    if (file == NULL || file_is_inherited(file))
        return -EINVAL;
    error = file_prepare(file, op, transfer, pass);
    if (error != 0)
        return error;
    inflight_add(&file->inflight, 1);
    if (file->check.on)
        file_check_begin(file, op, transfer, pass);
    return 0;
}

int file_op_enter(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    /* Afterwards, if it is held, it may be somebody else's, unless it is a follower: those are not
     * published yet. */
    bool following = pass->follower.listed;
    /* A follower enters as if it were submitted now. */
    int step = following ? file_sync_error(file) : 0;

    if (step == 0)
        step = enter(file, transfer, pass);
    if (following)
        stop_following(file, pass);
    if (step == -EAGAIN && pass->nowait) {
        transfer_fail(transfer, -EAGAIN);
        return FILE_STEP_DONE;
    }
    if (step < 0)
        give_up(file, transfer, pass);
    return step;
}

void file_op_keep(struct aio_file *file)
{
    inflight_add(&file->inflight, 1);
}

void file_op_submitted(struct aio_file *file, int64_t elapsed_ns, bool slept)
{
    pace_note(&file->pace, elapsed_ns, slept);
}

void file_op_offloaded(struct aio_file *file)
{
    stats_add(stats_cell(&file->stats), STATS_OFFLOADED, 1);
}

void file_op_follow(struct aio_file *file, const struct transfer *transfer, struct file_pass *pass)
{
    if (transfer_is_write(transfer) || is_space(transfer))
        followers_add(&file->inode->followers, &pass->follower);
}

int file_op_register(struct aio_file *file)
{
    if (file_is_inherited(file))
        return -EOWNERDEAD;
    atomic_store_explicit(&file->registered, true, memory_order_relaxed);
    return file->fd;
}

bool file_op_is_direct(const struct aio_file *file, const struct transfer *transfer,
                       const struct file_pass *pass)
{
    return file != NULL && file->direct && !pass->cached && !transfer_is_sync(transfer);
}

bool file_op_withdraw(struct aio_file *file, struct file_pass *pass)
{
    struct gate_pass *came_in;
    bool held = gate_withdraw(&file->inode->gate, &pass->gate, &came_in);

    start_passes(came_in);
    if (!held)
        held = bounce_withdraw(&pass->bounce) ||
               followers_withdraw(&file->inode->followers, &pass->follower);
    if (held)
        pass->came_in = true;
    return held || workers_withdraw(&pass->job);
}

bool file_op_extends(struct aio_file *file, const struct transfer *transfer)
{
    return transfer_is_write(transfer) && transfer->total > 0 &&
           (transfer->io.rw_flags & RWF_NOWAIT) == 0 &&
           file_extends(file, transfer->offset + (off_t)transfer->total);
}

int file_op_work(struct aio_file *file, const struct engine_ops *ops, struct engine *engine,
                 struct transfer *transfer, struct file_pass *pass)
{
    if (pass->stage == STAGE_GROW) {
        grow_and_begin(file, transfer, pass);
        return file_op_enter(file, transfer, pass);
    }
    file_execute(file, ops, engine, transfer, pass);
    return FILE_STEP_DONE;
}

void file_op_forget(struct aio_file *file, unsigned count)
{
    inflight_remove(&file->inflight, count);
}
