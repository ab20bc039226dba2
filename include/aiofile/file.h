/* SPDX-License-Identifier: MIT */
/*
 * aiofile/file.h - a file handle that behaves like a file descriptor and moves its data with
 * direct I/O.
 *
 * Blocking calls run on the caller's thread as one system call each (more only where the kernel
 * moved a part). Asynchronous ones go through a queue: see queue.h.
 *
 * Offset, length and memory of a transfer are any. On a direct file there are two roads:
 *
 *   direct      offset and length are multiples of the direct alignment that aio_file_info() gives
 *               (reads: of the required one). Memory that is not aligned goes through a fixed pool
 *               of bounce buffers; memory from buffer.h needs none. Unaligned reads are direct too,
 *               rounded outward through a bounce buffer.
 *   page cache  unaligned writes, through a second descriptor of the file without O_DIRECT; the
 *               size stays exact. Reads that meet such writes before the next sync follow them.
 *
 * Handles of one file in one process know of each other: what must not overlap in time on one page
 * does not, whichever handle it comes through. Other processes are not seen. Block devices have no
 * second road unless options->unaligned asks for it.
 *
 * Threads: every call may come from any thread, at any time, on one handle, except that
 * aio_file_close() must be the last. None may come from a signal handler, and a thread must not be
 * cancelled (pthread_cancel(3)) inside one. In a forked child blocking calls and close work on the
 * child's copy of the handle, one thread at a time; the cursor is the child's own.
 *
 * Errors are negated errno values and errno is not touched. Where a list of errors ends in "...",
 * the kernel's own errors of the named system call follow.
 */
#ifndef AIOFILE_FILE_H
#define AIOFILE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <aiofile/queue.h>
#include <aiofile/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct aio_file;

/* Whether the file is to be opened with O_DIRECT. */
enum aio_direct {
    AIO_DIRECT_REQUIRED = 0,  /* refuse to open without */
    AIO_DIRECT_STRICT = 1,    /* refuse emulated direct I/O too: see AIO_DIRECT_EMULATED */
    AIO_DIRECT_PREFERRED = 2, /* where the file system refuses, use the page cache and say so */
    AIO_DIRECT_NEVER = 3,     /* always the page cache */
};

/* What becomes of a transfer that does not fit the alignment. */
enum aio_unaligned {
    AIO_UNALIGNED_DEFAULT = 0,    /* reads through a bounce buffer; writes through the page cache,
                                     but -EINVAL on block devices */
    AIO_UNALIGNED_REJECT = 1,     /* -EINVAL, misaligned memory too; the log names the alignment */
    AIO_UNALIGNED_PAGE_CACHE = 2, /* as DEFAULT, on block devices too. Other writers of the device
                                     must then do the same, or stay away. */
};

/* Flags of struct aio_file_options. */
enum {
    AIO_FILE_SYNC_AT_OPEN = 1 << 0,   /* fsync(2) before the open returns: what a process that died
                                         had only in the page cache is on the disk before it is
                                         read */
    AIO_FILE_SYNC_DIRECTORY = 1 << 1, /* if the open created the file, fsync(2) of its directory
                                         before it returns: a crash does not take the name back */
    AIO_FILE_PAGE_CACHE_NOW = 1 << 2, /* open the second descriptor with the file, not when first
                                         needed: for who changes uid or root later, or has no
                                         descriptor to spare then */
    AIO_FILE_CHECK = 1 << 3,          /* look for errors of the program in what is in flight, and
                                         say them in the log: see below */
};

/*
 * AIO_FILE_CHECK, for development and tests. Each sentence is an AIO_LOG_WARNING that begins with
 * "check: ", names the operations (id, opcode, offset, length) and says what to do; no result
 * changes. An operation is told of once for each kind of error.
 *
 * Reported, of all handles of the process that are opened so, blocking calls and submitted
 * operations of every thread and queue:
 *
 *   - a write, append or truncate, or an allocation that frees, zeroes or moves, that overlaps in
 *     bytes with a write in flight on the same file: from its submit (an append: from its place,
 *     the follower of a chain: from its start) until its result is known;
 *   - a read and a write that overlap so, whichever came first;
 *   - memory that was written from, and is not what it was, or is not there any more, when the call
 *     returns or the final completion is given out; the same of an array of vectors;
 *   - memory that a read fills, while another operation has it that is not of its chain;
 *   - aio_buffer_free or aio_buffer_pool_put of memory, before the final completion. It is not
 *     looked at any more after that.
 *
 * For this, memory is the operation's until its result is taken or its callback called; also until
 * an aio_queue_drain that covers it, or the close of its file, has returned.
 *
 * Not seen: other processes, forked children, handles without the flag, what goes through
 * aio_file_fd(); a change that was undone in time, or made before a follower started; memory that
 * was changed and does not matter, as that of a write that failed, is reported all the same. What a
 * write and a truncate, or an allocation, submitted behind each other do is defined, so a write
 * that comes after one is no error; nor is memory that several writes have in common. Not reported,
 * either: memory freed by free(3) or munmap(2), until it is looked at.
 *
 * Cost: memory to be written is read twice more, the second time with the queue locked; an
 * operation that starts is compared with all that are in flight; and some 500 bytes of memory,
 * plus a copy of the vectors, for the most that ever were. Where there is none, or
 * process_vm_readv(2) is refused, a sentence says what is not checked. What fits its alignment
 * takes no short way: to measure anything of such a handle means little.
 *
 * Threads: a sentence is said by a thread in a call that it made - that which starts the operation,
 * takes its result or frees its memory, where there is one, else any later call on a checked
 * handle's file or queue - and at the latest in the handle's close.
 */

/* How to open. Start from AIO_FILE_OPTIONS_INIT. */
struct aio_file_options {
    size_t size;             /* of this struct, set by the initializer */
    uint32_t direct;         /* enum aio_direct */
    uint32_t unaligned;      /* enum aio_unaligned */
    uint32_t engine;         /* enum aio_engine of the private queue */
    uint32_t depth;          /* slots of the private queue; 0 means 64 */
    uint32_t alignment;      /* bytes: the direct alignment, a power of two from the required one
                                up; 0 means the preferred one */
    uint32_t flags;          /* AIO_FILE_* flags */
    struct aio_queue *queue; /* what aio_file_queue() gives; NULL: a private one, made when asked
                                for. Must outlive the file. */
    uint64_t grow_ahead;     /* bytes, 0 for none: a write that would extend the file extends it by
                                so many more first, so that direct writes behind each other run in
                                parallel. Cut off again by the last close of such a handle; a crash
                                leaves zeros at the end. Not with O_APPEND, nor on devices. */
    aio_log_fn log;          /* NULL: no log */
    void *log_context;       /* handed to log */
    uint32_t memory_alignment; /* bytes: of memory, a power of two from what the file requires up;
                                  0 means what the file requires */
    uint32_t reserved;         /* 0 */
    uint64_t submit_limit_ns;  /* when more than one in a hundred submits of the file to kernel AIO
                                  or  io_uring sleep longer (for each of a call's transfers), its
                                  operations go to worker threads for a second, then it is tried
                                  again. 0 means 1,000,000; UINT64_MAX: never */
};

#define AIO_FILE_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(struct aio_file_options), 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, 0, 0, 0            \
    }

/*
 * Opens a file.
 *
 * path, flags, mode  as open(2): O_RDONLY, O_WRONLY or O_RDWR with O_CREAT, O_EXCL, O_TRUNC,
 *                    O_APPEND, O_SYNC, O_DSYNC, O_NOATIME, O_NOFOLLOW, O_TMPFILE. O_CLOEXEC is
 *                    always set, O_DIRECT as options->direct says. With O_APPEND every write goes
 *                    to the end, through the page cache, and never meets one that another process
 *                    appends so; aio_file_append() of a handle without is the faster one.
 * options            NULL means the defaults; read only during the call. log must stay callable,
 *                    and queue alive, while the file is open.
 * result             receives the handle; NULL on error. The caller owns it until
 *                    aio_file_close().
 *
 * Any thread; may block as open(2) does.
 *
 * Returns 0, or (the log explains refusals that depend on the file or on this version)
 *   -EINVAL      path or result NULL, an unknown option value, size too small, O_TRUNC with
 *                O_RDONLY, the file system refuses O_DIRECT (use AIO_DIRECT_PREFERRED or _NEVER)
 *                or only emulates it (AIO_DIRECT_STRICT), an alignment that is no power of two,
 *                below what the file requires or above 256 KiB, grow_ahead with O_APPEND,
 *                O_RDONLY or a device, or AIO_FILE_PAGE_CACHE_NOW where the second descriptor
 *                cannot be opened. No file is created that was not there.
 *   -EBADF       O_PATH.
 *   -E2BIG       options has a non-zero tail that this version does not know.
 *   -EOPNOTSUPP  an engine that this version does not have.
 *   -EDEADLK     grow_ahead, in a callback.
 *   -EISDIR      path is a directory.
 *   -ESPIPE      path is a pipe, socket, terminal or other character device.
 *   -EOWNERDEAD  options->queue was made before this process was forked.
 *   -EIO ...     AIO_FILE_SYNC_AT_OPEN or _SYNC_DIRECTORY could not be kept.
 *   -ENOENT, -EACCES, -EROFS, -EMFILE, -ENOMEM ...
 *
 * Source: open(2).
 */
AIO_API int aio_file_open(const char *path, int flags, mode_t mode,
                          const struct aio_file_options *options, struct aio_file **result);

/*
 * Makes a handle of an open descriptor. On success the handle owns fd and will close it; on error
 * fd is the caller's still and as it was. O_DIRECT is set or cleared on it as options->direct
 * says, and O_NONBLOCK and O_APPEND cleared (the handle appends by itself), for every descriptor
 * that shares it (fcntl(2)). The cursor starts at fd's position.
 *
 * Any thread. Returns 0, -EBADF (fd is not open, or opened with O_PATH), or as aio_file_open().
 */
AIO_API int aio_file_adopt(int fd, const struct aio_file_options *options,
                           struct aio_file **result);

/*
 * Waits for the file's operations in flight (their callbacks included), then closes it. The handle
 * is gone whatever is returned. Results that nobody took from a queue of the caller's stay there.
 *
 * What the handle had locked is unlocked. Other locks of the process are kept: POSIX locks go with
 * the closing of any descriptor of the file (fcntl(2)), so where there may be such a lock the
 * descriptor is closed with the last handle of the file only. (A POSIX lock that another thread
 * takes at this very moment may be missed; while such a lock is held, each handle that is closed
 * leaves its descriptor; and an open that is refused closes its own at once.) The file's first
 * descriptor, through which it is synced, is always kept until then. With the last handle that has
 * grow_ahead the file is cut to its end.
 *
 * Any thread but a callback; no other call on the handle may run or follow.
 *
 * Returns 0 (also for NULL), or
 *   -EDEADLK  called in a callback: the one case in which the handle lives on.
 *   -EIO ...  a sync failed and was not cleared, or close(2) reports an error: what was written
 *             may not be on the disk.
 */
AIO_API int aio_file_close(struct aio_file *file);

/*
 * Transfers at the cursor, which moves by the count returned, atomically: threads that read one
 * handle see each byte once. The vector forms as readv(2) and writev(2).
 *
 * buffer, length  bytes; the memory is the library's during the call only.
 * iov, iov_count  any number of vectors; neither copied nor changed.
 *
 * May block; also for other threads' calls at the cursor, writes for a truncate or for what must
 * not overlap them, and what is not aligned for bounce memory.
 *
 * Returns the bytes moved. A read is short only at the end of the file (0 there, also where the
 * end is at no multiple of the alignment); a write is short when an error stopped it, and the next
 * call meets that error. Or
 *   -EINVAL  file or memory NULL, a length or sum of lengths above SSIZE_MAX, a negative iov_count;
 *            or not aligned, with AIO_UNALIGNED_REJECT, or an unaligned write to a block device, or
 *            where the second descriptor cannot be opened: the log has a sentence. Also where an
 *            RLIMIT_FSIZE that is no multiple of the alignment cuts a direct write.
 *   -EBADF   not open for that direction.
 *   -EDEADLK in a callback, a write that does not fit, or with O_APPEND: what it would wait for may
 *            be this thread's to deliver. Submit it instead.
 *   -ENOMEM  no memory for the bounce buffers.
 *   -EIO ... the disk's error; for writes also the error of an earlier failed sync, until
 *            aio_file_clear_error(). ENOSPC, EDQUOT, EFBIG and others as write(2).
 *
 * Source: read(2), write(2), readv(2).
 */
AIO_API ssize_t aio_file_read(struct aio_file *file, void *buffer, size_t length);
AIO_API ssize_t aio_file_write(struct aio_file *file, const void *buffer, size_t length);
AIO_API ssize_t aio_file_readv(struct aio_file *file, const struct iovec *iov, int iov_count);
AIO_API ssize_t aio_file_writev(struct aio_file *file, const struct iovec *iov, int iov_count);

/*
 * Transfers at an offset; the cursor stays. Parameters, threads, results and errors as above, with
 *   -EINVAL  also for a negative offset, or offset + length beyond 2^63 - 1.
 *
 * Source: pread(2), preadv(2).
 */
AIO_API ssize_t aio_file_pread(struct aio_file *file, void *buffer, size_t length, off_t offset);
AIO_API ssize_t aio_file_pwrite(struct aio_file *file, const void *buffer, size_t length,
                                off_t offset);
AIO_API ssize_t aio_file_preadv(struct aio_file *file, const struct iovec *iov, int iov_count,
                                off_t offset);
AIO_API ssize_t aio_file_pwritev(struct aio_file *file, const struct iovec *iov, int iov_count,
                                 off_t offset);

/*
 * Writes at the end of the file; the cursor stays. Appends of one file, from many threads and
 * handles and submitted ones too, never overlap. After an append that failed or was short the next
 * one starts where the file really ends, unless other appends are in flight: these keep the places
 * that they were given, and what lies before them reads as zeros where nothing was written. Where
 * another process appends too, use O_APPEND in all of them, or a lock.
 *
 * where  NULL, or receives the offset, in bytes, at which this append began; untouched on error.
 *
 * Parameters, threads, results and errors as aio_file_write(), with
 *   -EFBIG  also where the end would be beyond 2^63 - 1.
 */
AIO_API ssize_t aio_file_append(struct aio_file *file, const void *buffer, size_t length,
                                off_t *where);
AIO_API ssize_t aio_file_appendv(struct aio_file *file, const struct iovec *iov, int iov_count,
                                 off_t *where);

/*
 * Moves the cursor, as lseek(2): SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE.
 *
 * Returns the new cursor in bytes, or, with the cursor where it was,
 *   -EINVAL     file NULL, unknown whence, or the result would be negative.
 *   -EOVERFLOW  the result would be beyond 2^63 - 1.
 *   -ENXIO      SEEK_DATA or SEEK_HOLE beyond the end, or no data follows.
 */
AIO_API off_t aio_file_seek(struct aio_file *file, off_t offset, int whence);

/*
 * Sets the size. Writes of this file, through any handle of the process, that are in flight end
 * before it, later ones start after it. The cursor stays. length in bytes, of any alignment.
 *
 * May block until the file's writes in flight are done.
 *
 * Returns 0, -EINVAL (file NULL, length < 0, not open for writing), -EDEADLK (called in a
 * callback), the error of an earlier failed sync, or -EFBIG, -EPERM ... as ftruncate(2).
 */
AIO_API int aio_file_truncate(struct aio_file *file, off_t length);

/* A mode of aio_file_allocate() beside those of fallocate(2): writes zeros into the range, and
 * extends the file to its end. Overwriting written blocks is what durable writes do fastest:
 * allocated but unwritten ones cost a change of metadata each. */
#define AIO_ALLOCATE_WRITE_ZEROS 0x40000000

/*
 * Allocates, frees or zeroes a range, as fallocate(2), alone on the file as a truncate.
 *
 * mode            0, FALLOC_FL_* of <linux/falloc.h> as the file system has them, or
 *                 AIO_ALLOCATE_WRITE_ZEROS alone.
 * offset, length  bytes, of any alignment; length > 0.
 *
 * May block until the handle's writes in flight are done, and for as long as the file system takes;
 * WRITE_ZEROS for as long as writing takes.
 *
 * Returns 0, or
 *   -EINVAL      file NULL, offset negative, length not positive, WRITE_ZEROS with another bit, or
 *                a combination of modes that fallocate(2) refuses.
 *   -EBADF       not open for writing.
 *   -EFBIG       offset + length is beyond what a file can have.
 *   -EOPNOTSUPP  the file system does not have this mode: AIO_ALLOCATE_WRITE_ZEROS works on all.
 *   -EDEADLK     called in a callback.
 *   -ENOSPC      no room. With WRITE_ZEROS part of the range may have been written.
 *   -EIO ...     also the error of an earlier failed sync.
 *
 * Source: fallocate(2).
 */
AIO_API int aio_file_allocate(struct aio_file *file, int mode, off_t offset, off_t length);

/*
 * Locks the whole file, beyond its end too, against other open file descriptions: other processes
 * and other handles of this process. An open-file-description lock (fcntl(2)): closing another
 * descriptor of the file does not drop it, closing this handle does. Advisory. A lock that is held
 * changes its type; in that, another one may get it first.
 *
 * type  F_RDLCK (shared; the file must be open for reading), F_WRLCK (exclusive; for writing) or
 *       F_UNLCK.
 * wait  whether to block until the lock can be had.
 *
 * Any thread. A wait is ended by a signal whose handler was installed without SA_RESTART.
 *
 * Returns 0, or
 *   -EINVAL   file NULL, or an unknown type.
 *   -EAGAIN   somebody else has it, and wait is false.
 *   -EBADF    not open for what the type needs.
 *   -EINTR    a signal ended the wait.
 *   -EDEADLK  wait is true, in a callback.
 *   -ENOLCK   the system has no more locks.
 *
 * Source: fcntl(2), "Open file description locks".
 */
AIO_API int aio_file_lock(struct aio_file *file, int type, bool wait);

/*
 * Makes durable every write of the file that was submitted or returned before the call, through any
 * handle of the process: it waits for those in flight, then calls fsync(2) or fdatasync(2).
 *
 * All syncs of a file go through one descriptor that was there from the first open on: the kernel
 * tells each descriptor of a writeback error once. A failed sync is never tried again silently,
 * since the kernel forgets the lost pages: each handle of the file keeps the error, refuses writes
 * and truncates, and every later sync and close reports it until aio_file_clear_error() of that
 * handle. What the page cache holds of the file is dropped, so that reads show what the disk has.
 *
 * Returns 0, or -EINVAL (file NULL), -EDEADLK (called in a callback), -EIO, -ENOSPC, -EDQUOT ...
 */
AIO_API int aio_file_sync(struct aio_file *file);
AIO_API int aio_file_datasync(struct aio_file *file);

/*
 * Forgets a failed sync, once the caller has dealt with it: rewritten what may be lost, or read
 * back what the disk has. Returns the error forgotten, 0 if there was none, -EINVAL for NULL.
 */
AIO_API int aio_file_clear_error(struct aio_file *file);

/*
 * Gives the size in bytes, asking the kernel; for block devices the device's size. Of a file that
 * is extended ahead (grow_ahead) the end of what was written or truncated to. Returns it, or
 * -EINVAL (file NULL) or an error of fstat(2).
 */
AIO_API off_t aio_file_size(struct aio_file *file);

/* fstat(2), with the size as aio_file_size() gives it. Returns 0, -EINVAL (NULL), or an error of
 * fstat(2). */
AIO_API int aio_file_stat(struct aio_file *file, struct stat *result);

/*
 * Gives the descriptor, which stays the handle's: do not close it. Transfers through it go past
 * the library's ordering. Returns -EINVAL for NULL.
 */
AIO_API int aio_file_fd(struct aio_file *file);

/* What came of aio_file_options.direct. */
enum aio_direct_granted {
    AIO_DIRECT_OFF = 0,     /* not asked for */
    AIO_DIRECT_GRANTED = 1, /* O_DIRECT is in force */
    AIO_DIRECT_REFUSED = 2, /* asked for, refused; the page cache is used */
    /* O_DIRECT is accepted, but the file system copies through memory of its own, or does not say
     * that it does not: btrfs for files with checksums, tmpfs, FUSE, overlayfs. Everything works,
     * alignments are kept; only the speed is that of the page cache. */
    AIO_DIRECT_EMULATED = 3,
};

/* What the handle is. Set size to sizeof(struct aio_file_info) before the call. */
struct aio_file_info {
    size_t size;
    uint32_t direct_granted;      /* enum aio_direct_granted */
    uint32_t engine;              /* enum aio_engine that its own operations use */
    uint32_t memory_alignment;    /* bytes: what buffers must be aligned to; 1 = any */
    uint32_t required_alignment;  /* bytes: least multiple for offset and length that the file
                                     takes */
    uint32_t preferred_alignment; /* bytes: the physical sector or file system block */
    uint32_t direct_alignment;    /* bytes: multiple of offset and length that this handle takes */
    uint64_t reads;               /* blocking reads that returned */
    uint64_t writes;              /* blocking writes that returned, appends too */
    uint64_t bytes_read;          /* by them */
    uint64_t bytes_written;       /* by them */
    uint64_t syncs;               /* blocking syncs */
    int32_t sync_error;           /* 0, or the negated errno of a failed sync */
    uint32_t inflight;            /* submitted operations of this file without a result, or whose
                                     callback runs */

    /* Transfers begun, blocking and submitted, by road. A bounced one is direct. */
    uint64_t direct_reads;
    uint64_t direct_writes;
    uint64_t bounced_reads;
    uint64_t bounced_writes;
    uint64_t cached_reads; /* of a file that is not direct: all */
    uint64_t cached_writes;

    uint32_t read_alignment;        /* bytes: the same as required_alignment, for reads */
    uint32_t atomic_write_min;      /* bytes: least write that the file can do untorn; 0: none, or
                                       the kernel does not tell */
    uint32_t atomic_write_max;      /* bytes: largest such write */
    uint32_t atomic_write_segments; /* vectors of such a write */

    uint64_t offloaded; /* operations given to workers since submits block: submit_limit_ns */
};

/*
 * Tells what was granted, and counts. size says how much the caller's struct can hold.
 * Any thread, never blocks. Returns 0, or -EINVAL (NULL, size too small).
 */
AIO_API int aio_file_info(struct aio_file *file, struct aio_file_info *info);

/*
 * Executes an operation on the caller's thread, with its flags; op->file must be NULL or file.
 * on_complete is not called: it must be NULL. For appends the cursor stays and the place is not
 * told; use aio_file_append() for it. Syncs drain, with or without the flag.
 *
 * May block. Returns what the blocking call of that opcode returns (0 for NOP), or
 *   -EINVAL      NULL, LINK, a deadline, an unknown opcode or flag, a flag that the opcode does not
 *                have, a reserved field not 0, a callback, another file.
 *   -EOPNOTSUPP  HIPRI or ATOMIC on a file that does not have it: the log says why.
 */
AIO_API ssize_t aio_file_execute(struct aio_file *file, const struct aio_op *op);

/*
 * Gives the queue of the options, else the file's private queue, made at the first call with the
 * options' engine and depth. It lives as long as the file: do not destroy it. Closing the file
 * discards results in it that nobody took.
 *
 * Any thread. Returns NULL where it can't be made; the log says why, and
 * aio_queue_create() with the same options gives the error as a number.
 */
AIO_API struct aio_queue *aio_file_queue(struct aio_file *file);

#ifdef __cplusplus
}
#endif

#endif
