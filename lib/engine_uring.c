/* SPDX-License-Identifier: MIT */
/*
 * engine_uring.c - io_uring through liburing.
 *
 * liburing makes and unmakes the ring and registers things with it; the two rings themselves are
 * handled here, because its calls would not do: io_uring_submit() leaves entries behind when the
 * kernel refuses them, and its calls that wait touch the submission side.
 *
 * Two sides that share nothing:
 *
 *   submission  the lock's; one thread's in an owned engine. Between two calls the queue is empty
 *               (what the kernel did not take is taken back), or, with SQPOLL, the kernel's thread
 *               is about to take what is in it.
 *   completion  the holder's. Where the ring itself has the events, no system call is made. Where
 *               the kernel keeps some back (the ring was full, or their last step is left to this
 *               thread) a flag says so, and entering the kernel brings them.
 *
 * Waking a holder that sleeps takes events in its ring: those of NOPs, as many as it sleeps for,
 * which complete while they are submitted. Into an owned engine's ring only its owner can submit:
 * it has a poll of an eventfd there, which gives one event, and who may be woken sleeps for one.
 *
 * A transfer that has to wait is done by a worker thread that the kernel gives to the thread that
 * submitted. When that thread exits, what its workers have not begun may come back as ECANCELED,
 * and what waited for the page cache as EFAULT, though nobody asked for it and nothing is wrong:
 * see uring_result().
 *
 * Sources: io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2), and of Linux
 * io_uring/io_uring.c, io-wq.c, cancel.c.
 */
#include "engine.h"

#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "errno_guard.h"
#include "sanitizer.h"
#include "thread.h"

/* user_data of a wake; that of a transfer is its tag. */
#define URING_WAKE_DATA UINT64_MAX

/* The most that io_uring_setup(2) gives. */
#define URING_SQ_MAX 32768u
#define URING_CQ_MAX 65536u

/* Room for so many wakes in a ring that has room for all transfers. More do no harm. */
#define URING_WAKES (2 * ENGINE_BATCH)

/* A registered buffer is 1 GiB at most. */
#define URING_CHUNK_BITS 30u
#define URING_CHUNK_BYTES ((size_t)1 << URING_CHUNK_BITS)

/* The most bytes that Linux moves at once (MAX_RW_COUNT); an entry's length has 32 bits only. */
#define URING_BYTES_MAX 0x7ffff000u

/* Descriptors that can be known: more than any table could have before Linux 5.13. */
#define URING_FILES_MAX 32768u

/* What is to be known of a tag's transfer besides what the kernel keeps. */
struct uring_tag {
    /* Set before the kernel can have it, cleared with its event. Relaxed; partner: cancel, which
     * may see it late in either direction and gives an answer that was right a moment ago. */
    atomic_bool running;

    /* Set by cancel before it asks the kernel, cleared with the event. Relaxed; partner: reap. The
     * kernel's locks are between the two. */
    atomic_bool cancelled;

    const struct engine_io *io; /* written by submit, read by reap: the kernel orders them */
};

enum uring_known {
    URING_UNKNOWN,
    URING_KNOWN,
    URING_LEFT, /* forgotten, but in the table until the owner comes, who alone can take it out */
};

struct uring {
    struct engine engine;
    struct io_uring ring;

    /* Set at creation, never changed. */
    bool owned;
    bool sqpoll;
    bool searched; /* entering the kernel is what finds completions: IOPOLL without SQPOLL */
    uintptr_t memory;
    size_t memory_size; /* registered bytes; 0: none */

    /* Of an owned engine; the owner's alone, but for writing to wake_fd. */
    int wake_fd;     /* an eventfd; -1: it is not owned */
    bool wake_armed; /* the ring has a poll of it */
    uint32_t inside; /* transfers that the ring has */

    /* Guards the submission side (ring.sq), except in an owned engine. Innermost. */
    struct thread_mutex lock;

    /* Changed by know_file and forget_file alone, which never run at the same time. */
    uint32_t files; /* that the kernel's table takes; 0: there is none */
    bool files_refused;

    /* Descriptors that are in the table, each at the place of its own number: enum uring_known.
     * Release in know_file, acquire in submit: who sees it KNOWN finds the file in the table. */
    atomic_uchar known[URING_FILES_MAX];

    /* Whether there are LEFT ones. Relaxed: a hint to the owner, who looks again and again. */
    atomic_bool files_left;

    struct uring_tag tags[];
};

static struct uring *uring_of(struct engine *engine)
{
    return (struct uring *)engine;
}

/* The one entrance to the kernel. Returns what it says, or a negated errno. */
static int uring_enter(struct uring *uring, unsigned to_submit, unsigned min, unsigned flags,
                       struct io_uring_getevents_arg *wait)
{
    ERRNO_GUARD;

    if (wait == NULL)
        return io_uring_enter(uring->ring.ring_fd, to_submit, min, flags, NULL);
    return io_uring_enter2(uring->ring.ring_fd, to_submit, min, flags | IORING_ENTER_EXT_ARG,
                           (sigset_t *)wait, sizeof(*wait));
}

/* --- refusals ------------------------------------------------------------------------------- */

static void uring_explain_permission(const struct engine_config *config)
{
    long disabled = engine_sysctl("/proc/sys/kernel/io_uring_disabled");

    if (disabled > 0)
        log_say(&config->log, AIO_LOG_ERROR,
                "uring: io_uring is switched off here: kernel.io_uring_disabled = %ld (%s); set it "
                "to 0 (sysctl kernel.io_uring_disabled=0), or use another engine",
                disabled,
                disabled == 1 ? "for all but CAP_SYS_ADMIN and kernel.io_uring_group"
                              : "for everybody");
    else
        log_say(&config->log, AIO_LOG_ERROR,
                "uring: io_uring is not permitted here (EPERM)%s: a sandbox filters "
                "io_uring_setup; allow it there, or use another engine",
                disabled == 0 ? ", though kernel.io_uring_disabled = 0" : "");
}

static unsigned long long uring_limit(int resource)
{
    struct rlimit limit = {0, 0};

    getrlimit(resource, &limit);
    return (unsigned long long)limit.rlim_cur;
}

/* What was asked for that a kernel may not have. */
static void uring_explain_flags(const struct engine_config *config, int error)
{
    log_say(&config->log, AIO_LOG_ERROR,
            "uring: io_uring_setup refused %u requests%s%s%s%s: %s; ask for less of it, or use "
            "another engine",
            config->depth, config->sqpoll ? ", SQPOLL" : "",
            config->sqpoll && config->sqpoll_cpu >= 0 ? " on a CPU of its own" : "",
            config->iopoll ? ", IOPOLL" : "", config->share != NULL ? ", shared workers" : "",
            strerrordesc_np(-error));
}

/* The kernel's numbers say nothing; the ways out do. */
static void uring_explain(const struct engine_config *config, int error)
{
    switch (error) {
    case -ENOSYS:
        log_say(&config->log, AIO_LOG_ERROR,
                "uring: io_uring does not work here (ENOSYS): the kernel is older than 5.11 or "
                "lacks CONFIG_IO_URING, or a sandbox filters io_uring_setup; use another engine");
        break;
    case -EPERM:
    case -EACCES:
        uring_explain_permission(config);
        break;
    case -ENOMEM:
        log_say(&config->log, AIO_LOG_ERROR,
                "uring: no memory for the rings of %u requests: kernels before 5.12 count them "
                "against RLIMIT_MEMLOCK = %llu bytes; raise it (ulimit -l) or ask for less depth",
                config->depth, uring_limit(RLIMIT_MEMLOCK));
        break;
    case -EMFILE:
        log_say(&config->log, AIO_LOG_ERROR,
                "uring: no descriptor is left for a ring: RLIMIT_NOFILE = %llu; raise it (ulimit "
                "-n) or close something",
                uring_limit(RLIMIT_NOFILE));
        break;
    case -ENFILE:
        log_say(&config->log, AIO_LOG_ERROR,
                "uring: the system has no descriptor left for a ring: fs.file-max = %ld; raise it "
                "(sysctl fs.file-max)",
                engine_sysctl("/proc/sys/fs/file-max"));
        break;
    default:
        uring_explain_flags(config, error);
    }
}

/* --- creation ------------------------------------------------------------------------------- */

static void uring_ask(const struct engine_config *config, struct io_uring_params *params)
{
    /* More places than are filled at once would be so much memory that is not in the cache. With
     * SQPOLL what was started may still lie there. */
    unsigned sq = config->sqpoll ? config->depth + URING_WAKES : ENGINE_BATCH;
    unsigned cq = config->completions > 0 ? config->completions : config->depth + URING_WAKES;

    params->flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
    params->sq_entries = sq < URING_SQ_MAX ? sq : URING_SQ_MAX;
    /* Rounded up to powers of two, the second must not be less than the first. */
    params->cq_entries = cq > params->sq_entries ? cq : params->sq_entries;
    if (params->cq_entries > URING_CQ_MAX)
        params->cq_entries = URING_CQ_MAX;
    if (config->sqpoll) {
        params->flags |= IORING_SETUP_SQPOLL;
        params->sq_thread_idle = config->sqpoll_idle_ms;
        if (config->sqpoll_cpu >= 0) {
            params->flags |= IORING_SETUP_SQ_AFF;
            params->sq_thread_cpu = (unsigned)config->sqpoll_cpu;
        }
    }
    if (config->iopoll)
        params->flags |= IORING_SETUP_IOPOLL;
    if (config->share != NULL) {
        params->flags |= IORING_SETUP_ATTACH_WQ;
        params->wq_fd = (unsigned)uring_of(config->share)->ring.ring_fd;
    }
    /* Without SQPOLL and DEFER_TASKRUN the last step of a transfer is done by the thread that
     * submitted it, wherever that is: the kernel interrupts it. COOP_TASKRUN would have it wait
     * until that thread makes a system call, which may be never; only one that also reaps may. */
    if (config->owned)
        params->flags |= IORING_SETUP_SINGLE_ISSUER;
    if (config->owned && !config->sqpoll)
        params->flags |= IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
}

/* Flags that only make things faster, the youngest first, and what did their work before. */
static const struct {
    unsigned without;
    unsigned instead;
} uring_older[] = {
    {IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
     IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG},    /* 6.1 */
    {IORING_SETUP_SINGLE_ISSUER, 0},                            /* 6.0 */
    {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0}, /* 5.19 */
    {IORING_SETUP_SUBMIT_ALL, 0},                               /* 5.18 */
    {IORING_SETUP_CLAMP, 0},                                    /* 5.6; sizes are in range */
};

static int uring_set_up_once(struct uring *uring, const struct io_uring_params *asked,
                             unsigned *features)
{
    struct io_uring_params params = *asked;
    int error = io_uring_queue_init_params(asked->sq_entries, &uring->ring, &params);

    *features = params.features;
    return error;
}

/* Makes the ring, with what this kernel has. */
static int uring_set_up(struct uring *uring, const struct engine_config *config, unsigned *features)
{
    struct io_uring_params asked = {0};
    int error;

    uring_ask(config, &asked);
    error = uring_set_up_once(uring, &asked, features);
    for (size_t step = 0; error == -EINVAL && step < sizeof(uring_older) / sizeof(uring_older[0]);
         step++) {
        if ((asked.flags & uring_older[step].without) != uring_older[step].without)
            continue;
        asked.flags &= ~uring_older[step].without;
        asked.flags |= uring_older[step].instead;
        error = uring_set_up_once(uring, &asked, features);
    }
    return error;
}

/* Whether the kernel can do what is used: NODROP keeps events for which the ring had no place,
 * EXT_ARG lets a wait have an end without touching the submission side. */
static int uring_check(struct uring *uring, const struct engine_config *config, unsigned features)
{
    static const int opcodes[] = {IORING_OP_NOP,         IORING_OP_READ,   IORING_OP_WRITE,
                                  IORING_OP_READV,       IORING_OP_WRITEV, IORING_OP_READ_FIXED,
                                  IORING_OP_WRITE_FIXED, IORING_OP_FSYNC};
    unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
    struct io_uring_probe *probe;
    bool complete;

    if (config->sqpoll)
        needed |= IORING_FEAT_SQPOLL_NONFIXED;
    if ((features & needed) != needed)
        return -ENOSYS;
    probe = io_uring_get_probe_ring(&uring->ring);
    complete = probe != NULL;
    for (size_t index = 0; complete && index < sizeof(opcodes) / sizeof(opcodes[0]); index++)
        complete = io_uring_opcode_supported(probe, opcodes[index]);
    io_uring_free_probe(probe);
    return complete ? 0 : -ENOSYS;
}

/* The kernel keeps these limits for each thread that submits, not for a ring: they hold for its
 * other rings too. */
static int uring_limit_workers(struct uring *uring, const struct engine_config *config)
{
    unsigned values[2] = {config->bounded_workers, config->unbounded_workers};
    int error;

    if (values[0] == 0 && values[1] == 0)
        return 0;
    error = io_uring_register_iowq_max_workers(&uring->ring, values);
    if (error < 0)
        log_say(&config->log, AIO_LOG_ERROR,
                "uring: the kernel (before 5.15?) does not let its workers be limited to %u and "
                "%u: %s; ask for no limit",
                config->bounded_workers, config->unbounded_workers, strerrordesc_np(-error));
    return error < 0 ? error : 0;
}

/* Lets the kernel know the memory once and for all. Without that, transfers do as well, if a little
 * more slowly: it is no error. */
static void uring_register_memory(struct uring *uring, const struct engine_config *config)
{
    size_t count = (config->memory_size + URING_CHUNK_BYTES - 1) >> URING_CHUNK_BITS;
    struct iovec *chunks;
    int error = -ENOMEM;

    if (config->memory == NULL || count == 0)
        return;
    chunks = calloc(count, sizeof(*chunks));
    for (size_t index = 0; chunks != NULL && index < count; index++) {
        size_t left = config->memory_size - (index << URING_CHUNK_BITS);

        chunks[index].iov_base = (char *)config->memory + (index << URING_CHUNK_BITS);
        chunks[index].iov_len = left < URING_CHUNK_BYTES ? left : URING_CHUNK_BYTES;
    }
    if (chunks != NULL && count <= UINT16_MAX)
        error = io_uring_register_buffers(&uring->ring, chunks, (unsigned)count);
    free(chunks);
    if (error == 0) {
        uring->memory = (uintptr_t)config->memory;
        uring->memory_size = config->memory_size;
        return;
    }
    log_say(&config->log, AIO_LOG_WARNING,
            "uring: %zu bytes of buffers are not registered: %s (RLIMIT_MEMLOCK = %llu bytes); "
            "transfers work without that, a little more slowly",
            config->memory_size, strerrordesc_np(-error), uring_limit(RLIMIT_MEMLOCK));
}

/* All that makes the ring; on error it is gone, and a sentence said why. */
static int uring_open(struct uring *uring, const struct engine_config *config)
{
    unsigned features = 0;
    int error = uring_set_up(uring, config, &features);

    if (error < 0) {
        uring_explain(config, error);
        return error;
    }
    error = uring_check(uring, config, features);
    if (error < 0)
        uring_explain(config, error);
    else
        error = uring_limit_workers(uring, config);
    if (error == 0 && uring->owned) {
        uring->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        error = uring->wake_fd >= 0 ? 0 : -errno;
        if (error < 0)
            uring_explain(config, error);
    }
    if (error < 0) {
        io_uring_queue_exit(&uring->ring);
        return error;
    }
    uring_register_memory(uring, config);
    return 0;
}

static int uring_create(const struct engine_config *config, struct engine **result)
{
    ERRNO_GUARD;
    struct uring *uring;
    int error;

    if (config->share != NULL && config->share->ops != &engine_uring_ops) {
        log_say(&config->log, AIO_LOG_ERROR,
                "uring: kernel workers can be shared with a queue on io_uring only, not on %s",
                config->share->ops->name);
        return -EINVAL;
    }
    uring = calloc(1, sizeof(*uring) + config->depth * sizeof(uring->tags[0]));
    if (uring == NULL) {
        uring_explain(config, -ENOMEM);
        return -ENOMEM;
    }
    uring->engine.ops = &engine_uring_ops;
    uring->engine.depth = config->depth;
    uring->engine.polled = config->iopoll;
    uring->engine.takes_hipri = config->iopoll;
    uring->owned = config->owned;
    uring->wake_fd = -1;
    uring->sqpoll = config->sqpoll;
    uring->searched = config->iopoll && !config->sqpoll;
    error = uring_open(uring, config);
    if (error < 0) {
        free(uring);
        return error;
    }
    thread_mutex_init(&uring->lock);
    *result = &uring->engine;
    return 0;
}

static void uring_destroy(struct engine *engine)
{
    ERRNO_GUARD;
    struct uring *uring = uring_of(engine);

    /* The kernel takes a closed ring apart in its own time; files and memory are to be free now. */
    if (uring->files > 0)
        io_uring_unregister_files(&uring->ring);
    if (uring->memory_size > 0)
        io_uring_unregister_buffers(&uring->ring);
    io_uring_queue_exit(&uring->ring);
    if (uring->wake_fd >= 0)
        close(uring->wake_fd);
    thread_mutex_destroy(&uring->lock);
    free(uring);
}

/* --- files that were forgotten -------------------------------------------------------------- */

/* Takes a file out of the table. Returns false where this thread may not. */
static bool uring_clear_file(struct uring *uring, unsigned fd)
{
    ERRNO_GUARD;
    unsigned char left = URING_LEFT;
    int nothing = -1;

    if (io_uring_register_files_update(&uring->ring, fd, &nothing, 1) < 0)
        return false;
    atomic_compare_exchange_strong_explicit(&uring->known[fd], &left, URING_UNKNOWN,
                                            memory_order_relaxed, memory_order_relaxed);
    return true;
}

/* The owner takes out what other threads have closed. */
static void uring_clear_files(struct uring *uring)
{
    if (!atomic_load_explicit(&uring->files_left, memory_order_relaxed))
        return;
    atomic_store_explicit(&uring->files_left, false, memory_order_relaxed);
    for (unsigned fd = 0; fd < uring->files; fd++)
        if (atomic_load_explicit(&uring->known[fd], memory_order_relaxed) == URING_LEFT)
            uring_clear_file(uring, fd);
}

/* --- submission ----------------------------------------------------------------------------- */

static void uring_lock(struct uring *uring)
{
    if (!uring->owned)
        thread_mutex_lock(&uring->lock);
}

static void uring_unlock(struct uring *uring)
{
    if (!uring->owned)
        thread_mutex_unlock(&uring->lock);
}

/* Free places. Lock held. */
static unsigned uring_room(const struct uring *uring)
{
    const struct io_uring_sq *sq = &uring->ring.sq;

    /* Acquire pairs with the kernel's release when it has read the entries before head. */
    return sq->ring_entries - (sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE));
}

/* The entry at so many places behind the last, cleared. Lock held, and there is room. */
static struct io_uring_sqe *uring_entry(struct uring *uring, unsigned place)
{
    struct io_uring_sq *sq = &uring->ring.sq;
    struct io_uring_sqe *sqe = &sq->sqes[(sq->sqe_tail + place) & sq->ring_mask];

    memset(sqe, 0, sizeof(*sqe));
    return sqe;
}

/* The kernel's thread takes what it is shown, now or when it is woken: all is started. */
static int uring_start_shown(struct uring *uring, unsigned count)
{
    struct io_uring_sq *sq = &uring->ring.sq;

    sq->sqe_tail += count;
    /* Sequentially consistent, both: the thread sets NEED_WAKEUP, then looks at tail once more. One
     * of the two must see what the other did. */
    __atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_SEQ_CST);
    if ((__atomic_load_n(sq->kflags, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP) != 0)
        uring_enter(uring, count, 0, IORING_ENTER_SQ_WAKEUP, NULL);
    return (int)count;
}

/* Gives the kernel the next count entries. How many it took is where head is then, whatever the
 * call returns; it looks at tail nowhere else, so the others are taken back. */
static int uring_start_taken(struct uring *uring, unsigned count)
{
    struct io_uring_sq *sq = &uring->ring.sq;
    unsigned before = sq->sqe_tail;
    unsigned flags = 0;
    int result;
    unsigned started;

    /* Steps that wait for this thread, were it only the end of a request whose event was taken,
     * would keep the eventfd from being raised for those behind them: it is for the first alone. */
    if ((__atomic_load_n(sq->kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0)
        flags = IORING_ENTER_GETEVENTS;
    __atomic_store_n(sq->ktail, before + count, __ATOMIC_RELEASE);
    result = uring_enter(uring, count, 0, flags, NULL);
    sq->sqe_tail = __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
    started = sq->sqe_tail - before;
    if (started < count)
        __atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
    if (started > 0)
        return (int)started;
    /* Of these none is about the transfers: no memory, or (before 5.19) a full completion ring. */
    if (result >= 0 || result == -EBUSY || result == -ENOMEM)
        return -EAGAIN;
    return result;
}

/* Returns how many of the next count entries were started, the first ones; or a negated errno.
 * Lock held. */
static int uring_start(struct uring *uring, unsigned count)
{
    return uring->sqpoll ? uring_start_shown(uring, count) : uring_start_taken(uring, count);
}

/* Number of the registered buffer that holds all of the memory, or -1. */
static int uring_chunk(const struct uring *uring, const void *buf, size_t len)
{
    uintptr_t start = (uintptr_t)buf - uring->memory;

    if (len == 0 || start >= uring->memory_size || len > uring->memory_size - start)
        return -1;
    if (start >> URING_CHUNK_BITS != (start + len - 1) >> URING_CHUNK_BITS)
        return -1;
    return (int)(start >> URING_CHUNK_BITS);
}

static void uring_prepare_scalar(const struct uring *uring, struct io_uring_sqe *sqe,
                                 const struct engine_io *io, int opcode, int opcode_fixed)
{
    unsigned len = io->len < URING_BYTES_MAX ? (unsigned)io->len : URING_BYTES_MAX;
    int chunk = uring_chunk(uring, io->buf, len);

    io_uring_prep_rw(chunk >= 0 ? opcode_fixed : opcode, sqe, io->fd, io->buf, len, 0);
    if (chunk >= 0)
        sqe->buf_index = (uint16_t)chunk;
}

static void uring_prepare_vectors(struct io_uring_sqe *sqe, const struct engine_io *io, int opcode)
{
    unsigned count = io->len < UINT_MAX ? (unsigned)io->len : UINT_MAX;

    io_uring_prep_rw(opcode, sqe, io->fd, io->iov, count, 0);
}

/* What scalar and vector transfers have in common. */
static void uring_prepare_place(const struct uring *uring, struct io_uring_sqe *sqe,
                                const struct engine_io *io)
{
    /* -1 would be the descriptor's own position; any other negative one is EINVAL. */
    sqe->off = (uint64_t)(io->offset >= 0 ? io->offset : INT64_MIN);
    /* Where all is polled for, the kernel knows it by itself. */
    sqe->rw_flags = uring->engine.takes_hipri ? io->rw_flags & ~RWF_HIPRI : io->rw_flags;
    sqe->ioprio = io->priority;
}

static int uring_prepare(const struct uring *uring, struct io_uring_sqe *sqe,
                         const struct engine_io *io)
{
    switch (io->opcode) {
    case AIO_OP_READ:
        uring_prepare_scalar(uring, sqe, io, IORING_OP_READ, IORING_OP_READ_FIXED);
        break;
    case AIO_OP_WRITE:
        uring_prepare_scalar(uring, sqe, io, IORING_OP_WRITE, IORING_OP_WRITE_FIXED);
        break;
    case AIO_OP_READV:
        uring_prepare_vectors(sqe, io, IORING_OP_READV);
        break;
    case AIO_OP_WRITEV:
        uring_prepare_vectors(sqe, io, IORING_OP_WRITEV);
        break;
    case AIO_OP_SYNC:
        io_uring_prep_fsync(sqe, io->fd, 0);
        break;
    case AIO_OP_DATASYNC:
        io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
        break;
    default:
        return -EINVAL;
    }
    if (io->opcode != AIO_OP_SYNC && io->opcode != AIO_OP_DATASYNC)
        uring_prepare_place(uring, sqe, io);
    if (io->fd >= 0 && (unsigned)io->fd < URING_FILES_MAX &&
        atomic_load_explicit(&uring->known[io->fd], memory_order_acquire) == URING_KNOWN)
        sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = io->tag;
    return 0;
}

/* Lock held. */
static int uring_submit_locked(struct uring *uring, struct engine_io *const *ios, unsigned count)
{
    unsigned room = uring_room(uring);
    unsigned prepared = 0;
    int started;

    if (room == 0)
        return -EAGAIN;
    if (count > room)
        count = room;
    while (prepared < count) {
        const struct engine_io *io = ios[prepared];
        struct uring_tag *tag = &uring->tags[io->tag];

        if (uring_prepare(uring, uring_entry(uring, prepared), io) < 0)
            break;
        tag->io = io;
        atomic_store_explicit(&tag->running, true, memory_order_relaxed);
        SANITIZER_ORDER_SUBMIT(tag);
        prepared++;
    }
    if (prepared == 0)
        return -EINVAL;
    started = uring_start(uring, prepared);
    if (started > 0 && uring->owned)
        uring->inside += (uint32_t)started;
    for (unsigned index = started > 0 ? (unsigned)started : 0; index < prepared; index++)
        atomic_store_explicit(&uring->tags[ios[index]->tag].running, false, memory_order_relaxed);
    return started;
}

static int uring_submit(struct engine *engine, struct engine_io *const *ios, unsigned count)
{
    struct uring *uring = uring_of(engine);
    int result;

    uring_clear_files(uring);
    uring_lock(uring);
    result = uring_submit_locked(uring, ios, count);
    uring_unlock(uring);
    return result;
}

static int uring_wake(struct engine *engine, unsigned sleeping_for)
{
    struct uring *uring = uring_of(engine);
    int started = 0;

    if (uring->owned)
        return eventfd_write(uring->wake_fd, 1) == 0 ? 0 : -EAGAIN;
    uring_lock(uring);
    while (sleeping_for > 0 && (started >= 0 || started == -EINTR)) {
        unsigned room = uring_room(uring);
        unsigned count = sleeping_for < room ? sleeping_for : room;

        for (unsigned place = 0; place < count; place++) {
            struct io_uring_sqe *sqe = uring_entry(uring, place);

            io_uring_prep_nop(sqe);
            sqe->user_data = URING_WAKE_DATA;
        }
        started = count > 0 ? uring_start(uring, count) : -EAGAIN;
        if (started > 0)
            sleeping_for -= (unsigned)started;
    }
    uring_unlock(uring);
    return sleeping_for == 0 ? 0 : -EAGAIN;
}

/* --- completion ----------------------------------------------------------------------------- */

/*
 * A read that ended with EFAULT: because its memory is bad, or (Linux 6.18) because it waited for
 * the page cache when the thread that submitted it had exited. Another try, which does not wait,
 * tells: the transfer is still ours, and what it finds in the cache is as good.
 */
static int64_t uring_doubt(const struct engine_io *io)
{
    ERRNO_GUARD;
    const struct iovec one = {io->buf, io->len};
    bool vectors = io->opcode == AIO_OP_READV;
    ssize_t result;

    if ((!vectors && io->opcode != AIO_OP_READ) || io->offset < 0)
        return -EFAULT;
    result = preadv2(io->fd, vectors ? io->iov : &one, vectors ? (int)io->len : 1, io->offset,
                     io->rw_flags | RWF_NOWAIT);
    if (result >= 0)
        return result;
    return errno == EAGAIN ? -EAGAIN : -EFAULT;
}

/*
 * What really happened. ECANCELED that nobody asked for is the end of a worker of a thread that
 * exited: nothing was done, and EAGAIN is how it is done again, by a thread that lives.
 */
static int64_t uring_result(struct uring_tag *tag, int64_t result)
{
    bool cancelled = atomic_load_explicit(&tag->cancelled, memory_order_relaxed);

    if (cancelled)
        atomic_store_explicit(&tag->cancelled, false, memory_order_relaxed);
    if (result == -ECANCELED && !cancelled)
        return -EAGAIN;
    /* A worker that was at it when cancel came was interrupted for that. */
    if (result == -EINTR && cancelled)
        return -ECANCELED;
    return result == -EFAULT ? uring_doubt(tag->io) : result;
}

/* Takes a wake. Returns whether there was one. */
static bool uring_take_wake(const struct uring *uring)
{
    ERRNO_GUARD;
    eventfd_t count;

    return uring->owned && eventfd_read(uring->wake_fd, &count) == 0;
}

/* Translates an event of the kernel's. Returns false for a wake's. */
static bool uring_translate(struct uring *uring, const struct io_uring_cqe *cqe,
                            struct engine_event *translated)
{
    struct uring_tag *tag;

    if (cqe->user_data == URING_WAKE_DATA) {
        uring->wake_armed = false;
        uring_take_wake(uring);
        return false;
    }
    uring->inside -= uring->owned;
    tag = &uring->tags[cqe->user_data];
    SANITIZER_ORDER_REAP(tag);
    translated->tag = (uint32_t)cqe->user_data;
    translated->result = uring_result(tag, cqe->res);
    atomic_store_explicit(&tag->running, false, memory_order_relaxed);
    return true;
}

/* Takes what is in the ring. Holder only. *woken says that a wake was among it. */
static unsigned uring_reap_ring(struct uring *uring, struct engine_event *events, unsigned max,
                                bool *woken)
{
    struct io_uring_cq *cq = &uring->ring.cq;
    /* head: only the holder writes it; holders follow one another under the queue's lock. tail:
     * acquire pairs with the kernel's release when it has filled the events before it. */
    unsigned head = __atomic_load_n(cq->khead, __ATOMIC_RELAXED);
    unsigned tail = __atomic_load_n(cq->ktail, __ATOMIC_ACQUIRE);
    unsigned taken = 0;

    while (head != tail && taken < max) {
        if (uring_translate(uring, &cq->cqes[head & cq->ring_mask], &events[taken]))
            taken++;
        else
            *woken = true;
        head++;
    }
    /* Release: the reads above are done before the kernel may fill the places again. */
    __atomic_store_n(cq->khead, head, __ATOMIC_RELEASE);
    return taken;
}

/* Whether entering the kernel may bring events that are there already: the ring was too full for
 * them, their last step is this thread's, or they are found by looking. */
static bool uring_holds_back(const struct uring *uring)
{
    unsigned flags = __atomic_load_n(uring->ring.sq.kflags, __ATOMIC_RELAXED);

    return uring->searched || (flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0;
}

/* Enters the kernel until count events are in the ring, or a wake, a signal or the deadline comes.
 * It may come back before; an IOPOLL ring's kernel looks for events and knows no time. */
static int uring_sleep(struct uring *uring, unsigned count, int64_t deadline_ns)
{
    struct __kernel_timespec limit = {0, 0};
    struct io_uring_getevents_arg wait = {.ts = (uintptr_t)&limit};
    int64_t left_ns;

    if (deadline_ns == DEADLINE_NEVER)
        return uring_enter(uring, 0, count, IORING_ENTER_GETEVENTS, NULL);
    left_ns = deadline_ns > 0 ? deadline_ns - thread_now_ns() : 0;
    if (left_ns > 0) {
        limit.tv_sec = left_ns / NS_PER_SECOND;
        limit.tv_nsec = left_ns % NS_PER_SECOND;
    }
    return uring_enter(uring, 0, count, IORING_ENTER_GETEVENTS, &wait);
}

/* --- an owner that sleeps ------------------------------------------------------------------- */

/* Has the ring poll for wakes. A wake that is there already completes the poll at once. */
static void uring_arm_wake(struct uring *uring)
{
    struct io_uring_sqe *sqe;

    if (!uring->owned || uring->engine.polled || uring->wake_armed || uring_room(uring) == 0)
        return;
    sqe = uring_entry(uring, 0);
    io_uring_prep_poll_add(sqe, uring->wake_fd, POLLIN);
    sqe->user_data = URING_WAKE_DATA;
    uring->wake_armed = uring_start(uring, 1) == 1;
}

/* An IOPOLL ring takes no poll. While it has transfers, who looks for them looks for a wake
 * between, at the latest after a tick; otherwise there is only the wake to sleep for. */
#define URING_TICK_NS (10 * INT64_C(1000000))

static int uring_sleep_polled(struct uring *uring, unsigned count, int64_t deadline_ns)
{
    ERRNO_GUARD;
    struct pollfd wake = {.fd = uring->wake_fd, .events = POLLIN};
    int64_t tick_ns = thread_now_ns() + URING_TICK_NS;

    if (tick_ns > deadline_ns)
        tick_ns = deadline_ns;
    if (uring->inside > 0)
        return uring_sleep(uring, count, tick_ns);
    tick_ns -= thread_now_ns();
    return poll(&wake, 1, tick_ns > 0 ? (int)((tick_ns + 999999) / 1000000) : 0) >= 0 ? 0 : -errno;
}

static bool uring_is_over(int64_t deadline_ns)
{
    return deadline_ns != DEADLINE_NEVER && (deadline_ns == 0 || thread_now_ns() >= deadline_ns);
}

static int uring_reap(struct engine *engine, struct engine_event *events, unsigned min,
                      unsigned max, const struct timespec *timeout)
{
    struct uring *uring = uring_of(engine);
    bool woken = false;
    unsigned taken;
    int64_t deadline_ns;
    int error;

    uring_clear_files(uring);
    taken = uring_reap_ring(uring, events, max, &woken);
    if (min == 0 && taken < max && uring_holds_back(uring)) {
        uring_enter(uring, 0, 0, IORING_ENTER_GETEVENTS, NULL);
        taken += uring_reap_ring(uring, events + taken, max - taken, &woken);
    }
    if (taken >= min || woken)
        return (int)taken;
    deadline_ns = thread_deadline_ns(timeout);
    uring_arm_wake(uring);
    /* Without a poll for wakes it must look for itself. */
    if (uring->owned && !uring->engine.polled && !uring->wake_armed &&
        deadline_ns > thread_now_ns() + URING_TICK_NS)
        deadline_ns = thread_now_ns() + URING_TICK_NS;
    /* The kernel may come back before, an IOPOLL ring's above all. */
    do {
        if (uring->owned && uring->engine.polled)
            error = uring_sleep_polled(uring, min - taken, deadline_ns);
        else
            error = uring_sleep(uring, min - taken, deadline_ns);
        taken += uring_reap_ring(uring, events + taken, max - taken, &woken);
        if (uring->engine.polled)
            woken |= uring_take_wake(uring);
    } while (taken < min && !woken && error >= 0 && !uring_is_over(deadline_ns));
    if (taken > 0 || woken || error >= 0 || error == -ETIME)
        return (int)taken;
    return error;
}

/* --- cancelling ----------------------------------------------------------------------------- */

/* It waits for nothing but the ring's mutex, which another thread's submit may have for a moment.
 *
 * Where a worker is at a transfer, the kernel tells the worker and looks once more; if it finds the
 * transfer gone then, it says 0, though the transfer may just have come to its end: in that rare
 * case the event says what really happened. */
static int uring_cancel(struct engine *engine, uint32_t tag)
{
    ERRNO_GUARD;
    struct uring *uring = uring_of(engine);
    atomic_bool *cancelled = &uring->tags[tag].cancelled;
    struct io_uring_sync_cancel_reg request = {.addr = tag, .fd = -1};
    int error;

    atomic_store_explicit(cancelled, true, memory_order_relaxed);
    error = io_uring_register_sync_cancel(&uring->ring, &request);
    if (error == 0)
        return 0;
    /* A worker is at it (and may yet see that it is to stop: then the event says so). */
    if (error == -EALREADY || error == -ETIME || error == -EINTR)
        return -EBUSY;
    /* It is where the kernel does not look, such as in a disk, or nowhere; or the kernel (before
     * 6.0) cannot. The queue's lock keeps the tag from being another transfer's meanwhile. */
    atomic_store_explicit(cancelled, false, memory_order_relaxed);
    return atomic_load_explicit(&uring->tags[tag].running, memory_order_relaxed) ? -EBUSY
                                                                                 : -EALREADY;
}

/* --- known files ---------------------------------------------------------------------------- */

/* Makes the table, empty, with a place for each descriptor that the process can have. A kernel
 * (before 5.19) that makes none has no less of an engine. */
static void uring_make_table(struct uring *uring)
{
    unsigned long long limit = uring_limit(RLIMIT_NOFILE);
    unsigned files = limit < URING_FILES_MAX ? (unsigned)limit : URING_FILES_MAX;

    if (uring->files > 0 || uring->files_refused)
        return;
    if (io_uring_register_files_sparse(&uring->ring, files) == 0)
        uring->files = files;
    else
        uring->files_refused = true;
}

static int uring_know_file(struct engine *engine, int fd)
{
    ERRNO_GUARD;
    struct uring *uring = uring_of(engine);
    int result;

    if (fd < 0)
        return -EBADF;
    uring_make_table(uring);
    if ((unsigned)fd >= uring->files)
        return 0;
    result = io_uring_register_files_update(&uring->ring, (unsigned)fd, &fd, 1);
    if (result < 0)
        return result;
    atomic_store_explicit(&uring->known[fd], URING_KNOWN, memory_order_release);
    return 0;
}

static void uring_forget_file(struct engine *engine, int fd)
{
    struct uring *uring = uring_of(engine);
    unsigned char known = URING_KNOWN;

    if (fd < 0 || (unsigned)fd >= uring->files)
        return;
    /* From here on nobody uses it, whatever file has the number next. */
    if (!atomic_compare_exchange_strong_explicit(&uring->known[fd], &known, URING_LEFT,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    if (uring_clear_file(uring, (unsigned)fd) || !uring->owned)
        return;
    atomic_store_explicit(&uring->files_left, true, memory_order_relaxed);
    uring_wake(engine, 1);
}

/* --- the rest ------------------------------------------------------------------------------- */

static int uring_notify(struct engine *engine, int event_fd)
{
    ERRNO_GUARD;

    return io_uring_register_eventfd(&uring_of(engine)->ring, event_fd);
}

const struct engine_ops engine_uring_ops = {
    .name = "uring",
    .id = AIO_ENGINE_URING,
    .may_block = true,
    .create = uring_create,
    .destroy = uring_destroy,
    .submit = uring_submit,
    .reap = uring_reap,
    .wake = uring_wake,
    .cancel = uring_cancel,
    .know_file = uring_know_file,
    .forget_file = uring_forget_file,
    .notify = uring_notify,
    .execute = engine_execute_plain,
};
