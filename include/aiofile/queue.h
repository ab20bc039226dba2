/* SPDX-License-Identifier: MIT */
/*
 * aiofile/queue.h - many operations in flight.
 *
 * A queue has a fixed number of slots. An operation takes a slot when it is submitted and gives it
 * back when its result is taken: by its callback, by aio_queue_wait() or by aio_queue_reap(). A
 * file is not tied to a queue: any operation of any file may go to any queue.
 *
 * Every submitted operation has exactly one final completion; a refused one has none. Transfers
 * are whole: the library continues partial ones, and a read is short only at the end of the file
 * (or with AIO_OP_NOWAIT).
 *
 * Memory: buffers and iovec arrays of an operation belong to the library from aio_queue_submit()
 * until the final completion. The struct aio_op itself is only read during the call.
 *
 * Threads: every call may come from any thread, at any time, on one queue, except that
 * aio_queue_destroy() must be the last. (Of an owned queue, AIO_QUEUE_OWNED, only from the thread
 * that created it; any other one gets -EPERM from every call.) None may come from a signal handler,
 * and a thread must not be cancelled (pthread_cancel(3)) inside one. In a forked child every call
 * on a queue of the parent returns -EOWNERDEAD and touches nothing.
 *
 * An owned queue has no thread of its own and takes no lock on the way of an aligned transfer: all
 * that it does it does inside its owner's calls. Remainders of partial transfers are sent, links
 * started and notices given only there. Callbacks run inside aio_queue_reap, aio_queue_drain and
 * aio_queue_destroy; for aio_queue_reap they count as results that came, towards min. While the
 * owner waits in a blocking call of a file, its queues are moved too, but no callback is run.
 */
#ifndef AIOFILE_QUEUE_H
#define AIOFILE_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include <aiofile/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct aio_file;
struct aio_queue;

/* Names an operation from submit until its result is taken. 0 is never valid; an id that was used
 * up is recognised as stale and never names a later operation. */
typedef uint64_t aio_request_id;

/* How operations reach the disk. */
enum aio_engine {
    AIO_ENGINE_AUTO = 0, /* the first that works: kaio, uring, threads, sync; the log says which */
    AIO_ENGINE_KAIO,     /* Linux kernel AIO, io_submit(2) */
    AIO_ENGINE_URING,    /* io_uring(7), if built with liburing */
    AIO_ENGINE_THREADS,  /* threads of the queue's own, with plain system calls */
    AIO_ENGINE_SYNC,     /* the submitting thread executes the operation: for debugging */
    AIO_ENGINE_SIM,      /* a simulated disk: not in this version */
};

/* How grave a log sentence is. */
enum aio_log_level {
    AIO_LOG_ERROR = 0,   /* a call is about to return an error that the sentence explains */
    AIO_LOG_WARNING = 1, /* something was done differently from what was asked */
    AIO_LOG_INFO = 2,    /* which choice was made, and why */
};

/*
 * Receives a sentence: what happened, with numbers, and the remedy. message is valid only during
 * the call and has no newline. Called by the thread that made the library's call, with no lock
 * held; it must not call the library.
 */
typedef void (*aio_log_fn)(void *log_context, int level, const char *message);

/* What an operation does. */
enum aio_opcode {
    AIO_OP_NOP = 0,  /* nothing: completes with 0 */
    AIO_OP_READ,     /* pread:   buf, len bytes, offset */
    AIO_OP_WRITE,    /* pwrite:  buf, len bytes, offset */
    AIO_OP_READV,    /* preadv:  iov, len vectors, offset */
    AIO_OP_WRITEV,   /* pwritev: iov, len vectors, offset */
    AIO_OP_APPEND,   /* write at the end: buf, len bytes; the completion's offset says where */
    AIO_OP_APPENDV,  /* the same: iov, len vectors */
    AIO_OP_SYNC,     /* fsync: covers every write that had completed before it was submitted */
    AIO_OP_DATASYNC, /* fdatasync, likewise */
    AIO_OP_TRUNCATE, /* aio_file_truncate() to offset */
    AIO_OP_ALLOCATE, /* aio_file_allocate(): mode, offset, len bytes */
};

/*
 * Flags of struct aio_op. They are refused or kept, never dropped.
 *
 * AIO_OP_NOWAIT: the result is -EAGAIN, of an operation that was taken, where it would have to wait
 * for anything but the device: for others of its file, for bounce memory or the extending ahead,
 * for a worker, or in the kernel (RWF_NOWAIT; ext4 has most writes wait that change more than
 * data). For a slot the submit waits all the same, see AIO_QUEUE_NONBLOCK. It is one step. What
 * would need a bounce buffer or more vectors than IOV_MAX, and, when submitted, a write through the
 * page cache of a direct file, is always -EAGAIN. A part is given as it is: the completion's error
 * is then -EAGAIN, for reads too, unless the file ends there (on a device only a read of 0 tells
 * the end); a blocking call returns the count alone. An append that was turned away has no place.
 * -EOPNOTSUPP is the kernel's where a file system does not have it, as ext4 for writes through the
 * page cache. Not together with HIPRI.
 *
 * AIO_OP_HIPRI: the completion is polled for (RWF_HIPRI), by a worker where the engine cannot. For
 * what goes to the device: refused, with -EOPNOTSUPP and a sentence, on a handle that is not
 * AIO_DIRECT_GRANTED, and for writes through the page cache (unaligned, or O_APPEND). A read that
 * meets what was written through the page cache and not yet synced finds it in memory.
 *
 * AIO_OP_ATOMIC: after a crash the device has all of the write or nothing (RWF_ATOMIC, Linux 6.11).
 * Refused with a sentence: -EOPNOTSUPP where aio_file_info has no atomic_write_max, on a handle
 * that is not AIO_DIRECT_GRANTED or has O_APPEND; -EINVAL where the length is no power of two from
 * atomic_write_min to atomic_write_max, or no multiple of direct_alignment, the offset no multiple
 * of the length, the vectors more than atomic_write_segments, or memory not aligned. Should the
 * kernel write a part after all, the result is -EIO: what the disk has is unknown.
 */
enum {
    AIO_OP_DSYNC = 1 << 0,  /* on writes: the data is on the device when the write completes */
    AIO_OP_NOWAIT = 1 << 1, /* on reads, writes, appends: -EAGAIN rather than wait */
    AIO_OP_HIPRI = 1 << 2,  /* on reads, writes, appends: polled completion */
    AIO_OP_ATOMIC = 1 << 3, /* on WRITE and WRITEV: untorn */
    AIO_OP_DRAIN = 1 << 4,  /* on syncs: covers every write submitted before it */
    AIO_OP_LINK = 1 << 5,   /* the next op of the batch starts when this one succeeded; not on the
                               last of a batch. Submitted only */
    AIO_OP_WAITED = 1 << 6, /* the result is for aio_queue_wait() alone, not for reap */
};

/* A result. */
struct aio_completion {
    aio_request_id id;
    int64_t result; /* bytes moved or 0, else a negated errno */
    int64_t offset; /* bytes; where the operation began in the file, for appends also */
    void *context;  /* the operation's */
    int32_t error;  /* why a write (with NOWAIT: a read, too) is short: a negated errno; else 0, or
                       result if negative */
    uint32_t flags; /* AIO_COMPLETION_* */
    uint64_t reserved[3];
};

/* Flags of struct aio_completion. */
enum {
    AIO_COMPLETION_MORE = 1 << 0, /* a notice that the deadline is over; the final one follows */
};

/*
 * Called once with the final completion, on the queue's reaper thread (of an owned queue: in a call
 * of its owner), after the slot was freed and with no lock held; and once before that with a notice
 * (AIO_COMPLETION_MORE), if the operation had a deadline and missed it: the slot is in use then.
 * The completion is valid only during the call.
 *
 * Inside a callback aio_queue_submit() never waits: the slot that was just freed is kept for the
 * first operation submitted to the same queue, after that a full table is -EAGAIN. The calls that
 * would wait for other completions return -EDEADLK: aio_queue_wait, _reap, _drain, _destroy,
 * aio_file_close, _truncate, _allocate, _sync, _datasync. Blocking reads and aligned writes work,
 * but keep every other callback of the queue waiting; writes through the page cache are -EDEADLK,
 * too. A callback returns: it leaves neither by longjmp(3) nor by an exception.
 */
typedef void (*aio_complete_fn)(const struct aio_completion *completion);

/* An operation. Zero what is not used: unknown flags and non-zero reserved fields are refused. */
struct aio_op {
    uint8_t opcode;        /* enum aio_opcode */
    uint8_t reserved0[3];  /* 0 */
    uint32_t flags;        /* AIO_OP_* flags */
    struct aio_file *file; /* may be NULL for NOP only */
    union {
        void *buf;               /* len bytes of memory */
        const struct iovec *iov; /* len vectors; the array is neither copied nor changed */
    };
    uint64_t len;                /* bytes, or vectors */
    int64_t offset;              /* bytes from the start of the file */
    uint32_t priority;           /* of reads, writes, appends, as for ioprio_set(2): class << 13
                                    | level; 0: the thread's. Without the right to a class the
                                    result is -EPERM */
    uint32_t mode;               /* of ALLOCATE, as for aio_file_allocate(); else 0 */
    uint64_t deadline;           /* nanoseconds from submit until a notice that it takes longer
                                    (AIO_COMPLETION_MORE, -ETIMEDOUT), at most INT64_MAX; 0: none.
                                    Submitted only */
    aio_complete_fn on_complete; /* NULL: the result is taken by wait or reap */
    void *context;               /* handed back in the completion */
    uint64_t reserved2[3];       /* 0 */
};

/* Flags of struct aio_queue_options. The last four are for AIO_ENGINE_URING, which must be asked
 * for by name. */
enum {
    AIO_QUEUE_NONBLOCK = 1 << 0, /* submit returns -EAGAIN where it would wait for a slot */
    AIO_QUEUE_OWNED = 1 << 1,    /* used by one thread only, the one that creates it: see below */
    AIO_QUEUE_TIMES = 1 << 2,  /* measure where the time of each operation goes: aio_queue_stats */
    AIO_QUEUE_SQPOLL = 1 << 3, /* a kernel thread submits: IORING_SETUP_SQPOLL */
    AIO_QUEUE_SQPOLL_CPU = 1 << 4, /* sqpoll_cpu says on which CPU */
    AIO_QUEUE_IOPOLL = 1 << 5,     /* completions are polled for: IORING_SETUP_IOPOLL */
};

/* Flags of aio_queue_destroy(). */
enum {
    AIO_QUEUE_DISCARD = 1 << 0, /* throw results away that nobody took */
};

/* The most operations that can be linked to a chain; it cannot be longer than its queue is deep,
 * either. */
#define AIO_QUEUE_LINK_MAX 64u

/* The most slots a queue can have. */
#define AIO_QUEUE_DEPTH_MAX 65536u

/* What aio_queue_create() is to make. Start from AIO_QUEUE_OPTIONS_INIT. */
struct aio_queue_options {
    size_t size;     /* of this struct, set by the initializer */
    uint32_t engine; /* enum aio_engine */
    uint32_t depth;  /* slots, 1 to AIO_QUEUE_DEPTH_MAX; 0 means 64. Where the system's AIO requests
                        are nearly used up there may be less, but not below 16: the log says so,
                        and aio_queue_depth() */
    uint32_t flags;  /* AIO_QUEUE_* */
    uint32_t workers;  /* threads of AIO_ENGINE_THREADS at most; 0: 8; 1: strictly in order */
    aio_log_fn log;    /* NULL: no log */
    void *log_context; /* handed to log */

    /* For io_uring; other engines do without. The limits of workers are the kernel's for each
     * thread that submits, not for each ring. */
    struct aio_buffer_pool *buffers; /* registered with the ring; it must outlive the queue */
    struct aio_queue *share_workers; /* a queue whose kernel workers to share; or NULL */
    uint32_t completions;            /* entries of the completion ring at least; 0: by depth */
    uint32_t bounded_workers;        /* kernel workers for files at most; 0: the kernel's limit */
    uint32_t unbounded_workers;      /* kernel workers for the rest at most; likewise */
    uint32_t sqpoll_idle_ms;         /* with SQPOLL: until its thread sleeps; 0: 1000 */
    uint32_t sqpoll_cpu;             /* with SQPOLL_CPU */
    uint32_t reserved;               /* 0 */
};

#define AIO_QUEUE_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(struct aio_queue_options), 0, 0, 0, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0     \
    }

/*
 * Makes a queue with its own engine context.
 *
 * options  NULL means the defaults; read only during the call. log must stay callable while the
 *          queue lives.
 * result   receives the queue; NULL on error. The caller owns it until aio_queue_destroy().
 *
 * Any thread; does not block.
 *
 * Returns 0, or (the log explains what the engine refuses)
 *   -EINVAL      result NULL, unknown engine or flag, depth above AIO_QUEUE_DEPTH_MAX, a reserved
 *                field not 0, or size too small.
 *   -E2BIG       options has a non-zero tail that this version does not know.
 *   -EOPNOTSUPP  an engine that this version or this build does not have.
 *   -EAGAIN      the system's AIO requests are used up (/proc/sys/fs/aio-nr of aio-max-nr): raise
 *                fs.aio-max-nr, ask for less depth, or share a queue. Of AIO_ENGINE_THREADS: no
 *                thread could be started (RLIMIT_NPROC).
 *   -EPERM       io_uring is switched off (kernel.io_uring_disabled), or a sandbox forbids it.
 *   -EOWNERDEAD  share_workers is a queue of the parent, in a forked child.
 *   -ENOSYS      the kernel (before 5.8, or without CONFIG_AIO) or a sandbox has no kernel AIO:
 *                use another engine.
 *   -ENOMEM, -EMFILE, -ENFILE
 *
 * Source: io_setup(2).
 */
AIO_API int aio_queue_create(const struct aio_queue_options *options, struct aio_queue **result);

/*
 * Drains the queue (waits for everything in flight, callbacks included), then frees it.
 *
 * flags  0 or AIO_QUEUE_DISCARD.
 *
 * May block until the last operation completes; kernel AIO then takes some 30 ms to give its
 * context back (io_destroy(2)). Threads that still wait in the queue are let out first.
 *
 * Returns 0 (also for NULL), or, with the queue still usable,
 *   -EBUSY       results that nobody took are left: take them, or pass AIO_QUEUE_DISCARD; or
 *                files opened with this queue are still open: close them first.
 *   -EINVAL      unknown flag.
 *   -EDEADLK     called in a callback.
 *   -EOWNERDEAD  called in a forked child. The child's copy of the memory is not freed.
 */
AIO_API int aio_queue_destroy(struct aio_queue *queue, unsigned flags);

/* Gives the number of slots; 0 for NULL. Any thread, never blocks. */
AIO_API unsigned aio_queue_depth(const struct aio_queue *queue);

/*
 * Submits operations.
 *
 * ops, count  the batch. They are taken in order; nothing is promised of the order in which they
 *             run.
 * ids         NULL, or receives an id for each operation taken.
 *
 * Any thread, callbacks too. Waits for a slot while the table is full of running operations
 * (not with AIO_QUEUE_NONBLOCK, nor in a callback). An operation that has to wait for others of its
 * file, or for bounce memory, is taken and starts in its turn; it holds no thread. What would block
 * the submit (the page cache, truncates, allocations, writes that extend the file with kernel AIO)
 * is executed by one of a few threads.
 *
 * Returns how many operations were taken, which is less than count only where the next one met an
 * error; submitting the rest again then returns that error:
 *   -EINVAL      NULL where something is needed, an unknown opcode or flag, a flag or priority that
 *                the opcode does not have, NOWAIT together with HIPRI, a priority that there is
 *                not, a deadline above INT64_MAX, a negative offset or an offset + length beyond
 *                2^63 - 1, more than INT_MAX vectors, offset, length or memory not aligned (the
 *                file's log names the alignment) or not as ATOMIC wants it (likewise), a reserved
 *                field not 0, or WAITED together with on_complete.
 *   -EBADF       the file is not open for that direction.
 *   -EOPNOTSUPP  HIPRI or ATOMIC on a file that does not have it: the file's log says why.
 *   -EAGAIN      no free slot, with AIO_QUEUE_NONBLOCK or in a callback: try again after a
 *                completion. Or no thread could be started, for the reaper at the first submit or
 *                for the workers at the first write: see RLIMIT_NPROC.
 *   -EBUSY       the table is full of results that nobody took: take some.
 *   -ENOMEM      no memory for the bounce buffers.
 *   -ESHUTDOWN   it waited for a slot, and the queue is being destroyed.
 *   -EIO ...     a write to a file whose sync failed: see aio_file_clear_error().
 *   -EOWNERDEAD  called in a forked child.
 *   -EPERM       another thread's call on an owned queue.
 * Errors of the transfer itself, EBADF and EINVAL of the kernel included, arrive as completions.
 *
 * Of a chain (AIO_OP_LINK) all operations are taken, with their slots, or none: -EINVAL where it
 * does not end in this call, has more than AIO_QUEUE_LINK_MAX operations or more than the queue is
 * deep. Each starts when the one before it has succeeded, that is, moved all that it was asked to;
 * else it ends with -ECANCELED. What only its file can say of one that starts later (alignment,
 * with AIO_UNALIGNED_REJECT; a failed sync) is its completion's error.
 *
 * Source: io_submit(2).
 */
AIO_API int aio_queue_submit(struct aio_queue *queue, const struct aio_op *ops, unsigned count,
                             aio_request_id *ids);

/*
 * Waits for one operation and takes its result. An operation submitted without AIO_OP_WAITED is
 * claimed while this waits: aio_queue_reap() no longer sees it.
 *
 * timeout  relative; NULL for ever, {0, 0} to poll.
 *
 * Any thread but a callback. The waiting thread reaps for itself where it can.
 *
 * Returns the result as in struct aio_completion (the count of a short write, its reason dropped),
 * or
 *   -ETIMEDOUT   the time is over, or, once, the operation's deadline; the operation runs on, id
 *                and buffer stay in use.
 *   -ESTALE      id names no operation: its result was taken, or it never was an id of this queue.
 *   -EBUSY       another thread waits for this id.
 *   -EINVAL      queue NULL, id 0, a bad timeout, or the operation has a callback.
 *   -EDEADLK     called in a callback.
 *   -EOWNERDEAD  called in a forked child.
 * An operation's own error can have the same number: aio_queue_wait_result() keeps them apart.
 */
AIO_API ssize_t aio_queue_wait(struct aio_queue *queue, aio_request_id id,
                               const struct timespec *timeout);

/*
 * The same as aio_queue_wait(), but gives the whole completion: returns 0 with *completion
 * filled, or one of the errors above with *completion untouched. When the operation's deadline was
 * over, *completion is the notice (AIO_COMPLETION_MORE), and the operation runs on.
 */
AIO_API int aio_queue_wait_result(struct aio_queue *queue, aio_request_id id,
                                  const struct timespec *timeout,
                                  struct aio_completion *completion);

/*
 * Takes results of operations that have no callback, are not WAITED and not claimed by a wait.
 *
 * completions  receives up to max results, in the order of completion.
 * min          how many to wait for, <= max; 0 takes what is there. It never waits for more than
 *              the results that can still come.
 * timeout      relative; NULL for ever, {0, 0} to poll.
 *
 * Any thread but a callback.
 *
 * Returns the number of results, 0 to max: less than min when the time is over or no more can
 * come; or
 *   -EINVAL      NULL argument with max > 0, min > max, or a bad timeout.
 *   -EDEADLK     called in a callback.
 *   -EOWNERDEAD  called in a forked child.
 *
 * Source: io_getevents(2).
 */
AIO_API int aio_queue_reap(struct aio_queue *queue, struct aio_completion *completions,
                           unsigned min, unsigned max, const struct timespec *timeout);

/*
 * Takes an operation back. One that waits - for the one before it in its chain, for others of its
 * file, for bounce memory, for a worker, for room in the engine - ends with -ECANCELED at once; one
 * that runs does if the engine can stop it (io_uring, and threads that have not begun). Of a write
 * that had moved bytes the result is their number, and its error -ECANCELED. What is linked behind
 * it ends with -ECANCELED.
 *
 * It still has its final completion, which is to be taken as any other.
 *
 * Any thread, callbacks too; does not wait.
 *
 * Returns 0 when the result will be that (but for one that is done in this very moment: the result
 * tells), or
 *   -EBUSY       it runs and cannot be stopped: its result comes in its own time.
 *   -EALREADY    it has its result.
 *   -ESTALE      id names no operation: its result was taken, or it never was an id of this queue.
 *   -EINVAL      queue NULL, or id 0.
 *   -EOWNERDEAD, -EPERM
 *
 * Source: io_cancel(2), io_uring_prep_cancel(3).
 */
AIO_API int aio_queue_cancel(struct aio_queue *queue, aio_request_id id);

/*
 * Waits until every operation submitted before it has completed and its callback has returned.
 * Results that are to be taken stay to be taken.
 *
 * timeout  relative; NULL for ever, {0, 0} to poll.
 *
 * Returns 0, -ETIMEDOUT, or -EINVAL, -EDEADLK, -EOWNERDEAD as aio_queue_wait().
 */
AIO_API int aio_queue_drain(struct aio_queue *queue, const struct timespec *timeout);

/*
 * Gives a descriptor for poll(2) and epoll(7) that is readable while results wait that
 * aio_queue_reap() can take, notices included. The queue raises and lowers it by itself; to read it
 * is allowed, before a reap: what is left after that raises it again. Of an owned queue it is
 * readable, too, when a call is due that moves the queue on (with AIO_QUEUE_IOPOLL: while anything
 * runs): call aio_queue_reap() with min 0.
 *
 * The descriptor is a duplicate, the caller's to close. From the first call on the reaper thread
 * reaps at once, also while nobody waits.
 *
 * Any thread, callbacks too; does not wait.
 *
 * Returns the descriptor, with O_CLOEXEC and O_NONBLOCK, or -EINVAL (NULL), -EMFILE, -ENFILE,
 * -ENOMEM, -EOWNERDEAD, -EPERM.
 *
 * Source: eventfd(2).
 */
AIO_API int aio_queue_eventfd(struct aio_queue *queue);

/*
 * Says that operations of a file will come to this queue: io_uring then looks its descriptor up
 * once (IORING_REGISTER_FILES). Other engines make nothing of it. It ends with the file's close or
 * the queue's end; where another thread closes a file that an owned queue knows, with the owner's
 * next operation, until when the kernel has the file still open.
 *
 * Any thread. Returns 0, also where there is no room for more files; or -EINVAL (NULL), -ENOMEM,
 * -EOWNERDEAD, -EPERM.
 */
AIO_API int aio_queue_register(struct aio_queue *queue, struct aio_file *file);

/* Where an operation is. */
enum aio_request_state {
    AIO_REQUEST_WAITING = 1, /* for others of its file or its chain, or for the engine's room */
    AIO_REQUEST_RUNNING = 2, /* in the engine */
    AIO_REQUEST_DONE = 3,    /* completed; nobody took the result yet */
};

/* One line of aio_queue_inflight(). */
struct aio_request_info {
    size_t size; /* of this struct, as the library knows it */
    aio_request_id id;
    uint8_t opcode; /* enum aio_opcode */
    uint8_t state;  /* enum aio_request_state */
    uint8_t reserved[6];
    int64_t offset;  /* bytes; 0 while a truncate keeps it out */
    uint64_t len;    /* bytes in all */
    uint64_t done;   /* bytes moved by completed parts */
    uint64_t age_ns; /* since submit, to some milliseconds */
    void *context;   /* the operation's */
};

/*
 * Lists the operations that hold a slot, oldest first.
 *
 * infos, max  where to, and how many at most. infos may be NULL when max is 0.
 *
 * Any thread, callbacks too; does not wait for I/O. For people and watchdogs, not for hot paths.
 *
 * Returns how many slots are held, which may be more than max; or -EINVAL, -EOWNERDEAD.
 */
AIO_API int aio_queue_inflight(struct aio_queue *queue, struct aio_request_info *infos,
                               unsigned max);

/* How durations are spread: buckets[i] counts those up to aio_histogram_bound(i) and above the
 * bound before it. A bucket is at most a quarter wider than where it begins. */
#define AIO_HISTOGRAM_BUCKETS 160u

struct aio_histogram {
    uint64_t count;
    uint64_t total_ns;
    uint64_t max_ns;
    uint64_t buckets[AIO_HISTOGRAM_BUCKETS];
};

/* The longest duration of a bucket, in nanoseconds; UINT64_MAX for the last. Any thread. */
AIO_API uint64_t aio_histogram_bound(unsigned bucket);

/* A duration in nanoseconds that so many percent (0 to 100) of all do not exceed, to the bound of
 * its bucket; 0 for an empty histogram, for NULL, and for what is no percentage. Any thread; the
 * histogram is the caller's copy. */
AIO_API uint64_t aio_histogram_percentile(const struct aio_histogram *histogram, double percent);

/* Counts since the queue was made. Set size to sizeof(struct aio_queue_stats) before the call. */
struct aio_queue_stats {
    size_t size;
    uint32_t engine;              /* enum aio_engine in use */
    uint32_t depth;               /* slots */
    uint32_t held;                /* slots in use now */
    uint32_t inflight;            /* operations without a result now */
    uint32_t inflight_high_water; /* most operations ever without a result */
    uint32_t reserved;
    uint64_t submitted; /* operations taken */
    uint64_t completed; /* operations with a result */
    uint64_t failed;    /* of these, with a negative result */
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t short_transfers;  /* the engine moved less than it was asked to */
    uint64_t resubmits;        /* remainders sent again */
    uint64_t retries;          /* the engine had no room and was asked again */
    uint64_t callbacks;        /* callbacks run */
    uint64_t reaped_by_waiter; /* completions found by the thread that waits */
    uint64_t reaped_by_reaper; /* completions found by the reaper thread */
    uint64_t notices;          /* deadlines that were over before the operation was done */
    uint64_t cancelled;        /* operations that ended with -ECANCELED */
    uint64_t offloaded;  /* given to a worker since submits of their file block (submit_limit_ns) */
    uint64_t by_worker;  /* executed by a worker, those included */
    uint64_t direct;     /* transfers that went direct, from and to the caller's memory */
    uint64_t bounced;    /* direct, through a bounce buffer */
    uint64_t page_cache; /* through the page cache */
    uint64_t operations[16];     /* completed, by opcode */
    struct aio_histogram device; /* from a submit to the engine until its completion was found */
    struct aio_histogram submitting; /* in the engine's submit, for each call; without
                                        AIO_QUEUE_TIMES of one call in 16 */

    /* With AIO_QUEUE_TIMES: */
    struct aio_histogram waiting; /* from aio_queue_submit until the engine or a worker begins */
    struct aio_histogram untaken; /* from the result until it is taken or its callback called */
};

/*
 * Reads the counts. size says how much the caller's struct can hold; more is not written.
 * Any thread, callbacks too. Returns 0, -EINVAL (NULL, size too small), or -EOWNERDEAD.
 */
AIO_API int aio_queue_stats(struct aio_queue *queue, struct aio_queue_stats *stats);

/*
 * Asks whether an engine works here and now.
 *
 * reason, reason_size  receives a sentence why not, cut to reason_size bytes with the final NUL;
 *                      "" if it works. reason may be NULL when reason_size is 0.
 *
 * Any thread; makes and destroys an engine context, which for kernel AIO takes some 30 ms.
 *
 * Returns 0, or what aio_queue_create() with that engine would return.
 */
AIO_API int aio_engine_probe(enum aio_engine engine, char *reason, size_t reason_size);

#ifdef __cplusplus
}
#endif

#endif
