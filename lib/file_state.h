/* SPDX-License-Identifier: MIT */
/*
 * file_state.h - the handle as its rooms see it: file.c (open to close), file_road.c (which way an
 * operation takes, and past whom), file_io.c (the calls), file_space.c (size, allocation, locks).
 */
#ifndef AIOFILE_LIB_FILE_STATE_H
#define AIOFILE_LIB_FILE_STATE_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <aiofile/file.h>

#include "alignment.h"
#include "engine.h"
#include "file_ops.h"
#include "inflight.h"
#include "inode.h"
#include "log.h"
#include "pace.h"
#include "stats.h"

struct aio_file {
    /* Set at open, never changed. */
    int fd;
    uint64_t epoch; /* process_epoch() of the opener */
    bool readable;
    bool writable;
    bool device;               /* a block device: fstat(2) does not know its size */
    bool syncs_writes;         /* O_SYNC or O_DSYNC */
    bool append_only;          /* O_APPEND cannot be cleared: chattr +a */
    bool append_mode;          /* O_APPEND, which is not set on fd: see write_append_mode() */
    bool direct;               /* O_DIRECT is set on fd */
    bool plain;                /* what fits its alignments goes direct with no more ado */
    uint32_t direct_granted;   /* enum aio_direct_granted */
    uint32_t direct_alignment; /* bytes: multiple of offset and length of direct writes */
    uint32_t unaligned;        /* enum aio_unaligned */
    uint64_t grow_ahead;       /* bytes */
    struct check_handle check;
    struct alignment alignment;
    struct log log;
    const struct engine_ops *ops; /* for blocking transfers */
    struct engine *engine;        /* the context for ops->execute; may be NULL */
    uint32_t queue_engine;        /* of the private queue */
    uint32_t queue_depth;
    bool queue_is_private;
    struct inode *inode;

    struct inflight inflight;

    /* The inode's sync_state that this handle has dealt with. Relaxed, as that one. */
    atomic_uint_fast64_t sync_cleared;

    /* The descriptor for the page cache; -1: not asked for yet. Release, with the acquire of who
     * finds it there: it was opened before. All who ask get the same. */
    atomic_int page_cache_fd;
    atomic_int append_fd; /* the same with O_APPEND */

    /* Whether a queue was told of fd. Relaxed: close comes last. */
    atomic_bool registered;

    /* Whether the handle may hold a lock. Relaxed: close comes last. */
    atomic_bool locked;

    /* Set once. Partner of the release of who makes the private queue: the acquire of all who
     * look. */
    _Atomic(struct aio_queue *) queue;

    /* Held by a thread through its whole transfer at the cursor, but not by one that runs
     * callbacks: it might be waited for by those who hold this. */
    struct thread_mutex cursor_turn;

    /* Guards cursor_offset. Held through the system calls of a transfer at the cursor, but never
     * while waiting for the gate or bounce memory; taken after them. */
    struct thread_mutex cursor_lock;
    off_t cursor_offset;

    struct pace pace;

    struct stats stats;
};

/* --- file.c --------------------------------------------------------------------------------- */

/* Whether the handle is a copy that a forked child got: its locks may be in any state and nobody
 * else is there to share them with. */
bool file_is_inherited(const struct aio_file *file);

/* Lock and unlock, but for the child's copy of a handle. */
void file_lock(const struct aio_file *file, struct thread_mutex *lock);
void file_unlock(const struct aio_file *file, struct thread_mutex *lock);

/* 0, or the error of a sync that this handle has not cleared. */
static inline int file_sync_error(const struct aio_file *file)
{
    uint64_t state = atomic_load_explicit(&file->inode->sync_state, memory_order_relaxed);

    if (state == atomic_load_explicit(&file->sync_cleared, memory_order_relaxed))
        return 0;
    return -(int)(uint32_t)state;
}

/* Whether what does not fit may go through the page cache of a direct file. */
static inline bool file_has_second_road(const struct aio_file *file)
{
    return file->unaligned != AIO_UNALIGNED_REJECT &&
           (!file->device || file->unaligned == AIO_UNALIGNED_PAGE_CACHE);
}

/* --- file_road.c ---------------------------------------------------------------------------- */

/* Fills transfer and pass for a blocking call. Returns 0 or a negated errno, with a sentence in the
 * log where an alignment is in the way. */
int file_prepare(struct aio_file *file, const struct aio_op *op, struct transfer *transfer,
                 struct file_pass *pass);

/* The descriptor for the page cache, opened if need be; negated errno, with a sentence in the log.
 */
int file_page_cache_fd(struct aio_file *file);

/* The short way of what fits a plain file. */

/* inode.h: growth. To be taken before a read. */
static inline unsigned file_growth(const struct aio_file *file)
{
    return atomic_load_explicit(&file->inode->growth, memory_order_acquire);
}

/* Of the bytes that a read moved, or its error, those before an end. */
static inline int64_t file_give_up_to(int64_t result, off_t offset, off_t end)
{
    if (result <= 0 || result <= end - offset)
        return result;
    return end > offset ? end - offset : 0;
}

/* The end of what a read may give that began at another growth than now. */
off_t file_end_at_growth(const struct aio_file *file, unsigned growth);

/* Whether a range fits and the inode has nothing that comes in between. */
static inline bool file_fits_plainly(const struct aio_file *file, int64_t offset, uint64_t length,
                                     uint32_t grain)
{
    return file->plain && length - 1 < (uint64_t)SSIZE_MAX && offset >= 0 &&
           offset <= INT64_MAX - (int64_t)length &&
           (((uint64_t)offset | length) & (grain - 1)) == 0 && file_growth(file) % 2 == 0;
}

static inline bool file_reads_plainly(const struct aio_file *file, int64_t offset, uint64_t length)
{
    return file_fits_plainly(file, offset, length, file->alignment.read) &&
           !atomic_load_explicit(&file->inode->unsynced.any, memory_order_relaxed);
}

/* Enters the gate for a blocking write if nobody is in the way, and leaves it. */
bool file_try_gate(struct aio_file *file, struct gate_pass *pass, int64_t offset, uint64_t length);
bool file_try_end(struct aio_file *file, struct gate_pass *pass, int64_t end, uint64_t length);
void file_leave_gate(struct aio_file *file, struct gate_pass *pass);

/* The descriptor that appends to the page cache, opened if need be; negated errno. */
int file_append_fd(struct aio_file *file);

/* Goes on with a transfer of which one step has been executed. */
void file_execute_rest(struct aio_file *file, struct transfer *transfer, ssize_t step_result);

/* Lets a blocking operation in, waiting where it must. Returns FILE_STEP_DONE where there is
 * nothing to do, or another step: goes on to file_execute() and file_op_end(). Or a negated errno,
 * with nothing held. */
int file_enter_blocking(struct aio_file *file, struct transfer *transfer, struct file_pass *pass);

/* Does what was let in, on this thread. */
void file_execute(struct aio_file *file, const struct engine_ops *ops, struct engine *engine,
                  struct transfer *transfer, struct file_pass *pass);

/* Gives an operation of a checked handle its entry, or none. */
void file_check_begin(struct aio_file *file, const struct aio_op *op,
                      const struct transfer *transfer, struct file_pass *pass);

/* All of it: an operation from its check to its end, on this thread. Returns 0 with the result in
 * transfer, or a negated errno. */
int file_run(struct aio_file *file, const struct aio_op *op, struct transfer *transfer);

/* A blocking transfer that was let in is not executed: it does not count. */
void file_uncount_road(struct aio_file *file, const struct transfer *transfer,
                       const struct file_pass *pass);

/* --- file_space.c --------------------------------------------------------------------------- */

/* Where the file ends for the program, in bytes; negated errno. */
off_t file_end(const struct aio_file *file);

/* Sets the size, allocates: alone at the gate. Return 0 or a negated errno. */
int file_set_size(struct aio_file *file, off_t length);
int file_allocate(struct aio_file *file, int mode, off_t offset, off_t length);

/* Extends the file ahead for a write up to end, alone at the gate, if it can be. */
void file_grow(struct aio_file *file, off_t end);

/* Whether a write up to end reaches beyond what a file is extended to. */
bool file_must_grow(const struct aio_file *file, off_t end);

/* Whether a write up to end extends the file, as far as this process can know. */
bool file_extends(struct aio_file *file, off_t end);

/* Where the file ends, if nobody but this process has moved the end; negated errno. */
off_t file_known_end(struct aio_file *file);

/* A write has reached end. */
void file_reached(struct aio_file *file, off_t end);

/* A handle that extends the file ahead is opened, and is about to be closed: the last one cuts off
 * what is too much. Nothing of the handle is in flight. Return 0 or a negated errno. */
int file_start_growing(struct aio_file *file);
int file_stop_growing(struct aio_file *file);

/* Waits until all that was let in before is done. */
void file_drain(struct aio_file *file);

#endif
