/* SPDX-License-Identifier: MIT */
/*
 * engine_kaio.c - Linux kernel AIO through libaio.
 *
 * One AIO context per queue. Each tag has its iocb, prepared anew for each transfer so that no
 * field of an earlier one is left in it (an FSYNC iocb with a leftover buffer is EINVAL).
 *
 * Completions are read in user space from the ring that io_setup(2) maps, when that ring looks as
 * we know it; only to sleep is io_getevents(2) entered. Both move the ring's head, so one thread
 * at a time may be in either: the holder of the queue's reap token.
 *
 * Waking a holder asleep in io_getevents takes events in its ring. A read of a private eventfd
 * gives one at once: it is in semaphore mode and full, so it never blocks. A holder that asked for
 * min events sleeps through fewer, so a wake posts that many. There is room: the kernel makes a
 * ring of twice the events that io_setup was asked for. A holder that finds a wake in the ring
 * before it sleeps does not sleep.
 *
 * Sources: io_setup(2), io_submit(2), io_getevents(2), fs/aio.c of Linux (the ring).
 */
#include "engine.h"

#include <errno.h>
#include <libaio.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "errno_guard.h"
#include "sanitizer.h"

/* What fs/aio.c maps at the address that is the context's id. */
struct kaio_ring {
    unsigned id;
    unsigned nr;   /* events that fit */
    unsigned head; /* of ours: the holder's, in user space or in io_getevents */
    unsigned tail; /* of the kernel's */
    unsigned magic;
    unsigned compat_features;
    unsigned incompat_features;
    unsigned header_length; /* bytes before events */
    struct io_event events[];
};

#define KAIO_RING_MAGIC 0xa10a10a1u

/* iocb.data of the wake; tags are below AIO_QUEUE_DEPTH_MAX. */
#define KAIO_WAKE_DATA UINTPTR_MAX

/* Events taken from io_getevents at once, iocbs given to io_submit at once: on the stack. */
#define KAIO_BATCH 64u

struct kaio {
    struct engine engine;
    io_context_t context;
    struct kaio_ring *ring; /* NULL where its layout is not proven */
    int wake_fd;
    struct iocb wake_iocb; /* written once; may be in the kernel many times over */
    uint64_t wake_sink;    /* what the wake reads into; nobody looks */
    int notify_fd;         /* -1: none. Of an owned engine: its one thread's */
    struct iocb iocbs[];
};

static struct kaio *kaio_of(struct engine *engine)
{
    return (struct kaio *)engine;
}

/* What fs.aio-max-nr was like when it refused something. */
struct kaio_room {
    long used;
    long limit;
    long remedy; /* a limit that would do */
};

static struct kaio_room kaio_room_now(void)
{
    struct kaio_room room = {engine_sysctl("/proc/sys/fs/aio-nr"),
                             engine_sysctl("/proc/sys/fs/aio-max-nr"), 1048576L};

    if (room.limit > 0)
        room.remedy = room.limit * 2;
    return room;
}

/* io_setup's EAGAIN says nothing; the numbers and the ways out do. Whoever wants the fact alone
 * takes what is before the semicolon. */
static void kaio_explain(const struct engine_config *config, int error)
{
    struct kaio_room room;

    if (error == -EAGAIN) {
        room = kaio_room_now();
        log_say(&config->log, AIO_LOG_ERROR,
                "kaio: io_setup refused %u requests: the system uses %ld of fs.aio-max-nr = %ld; "
                "raise it (sysctl fs.aio-max-nr=%ld), ask for less depth, or share a queue "
                "between files",
                config->depth, room.used, room.limit, room.remedy);
    } else if (error == -ENOSYS || error == -EPERM) {
        log_say(&config->log, AIO_LOG_ERROR,
                "kaio: kernel AIO does not work here (%s): the kernel is older than 5.8, lacks "
                "CONFIG_AIO, or a sandbox filters io_setup; use another engine",
                strerrorname_np(-error));
    } else if (error == -EMFILE || error == -ENFILE) {
        log_say(&config->log, AIO_LOG_ERROR,
                "kaio: no descriptor for an eventfd (%s); raise %s, or close files",
                strerrorname_np(-error),
                error == -EMFILE ? "RLIMIT_NOFILE (ulimit -n)" : "fs.file-max");
    } else {
        log_say(&config->log, AIO_LOG_ERROR, "kaio: no context for %u requests: %s", config->depth,
                strerrordesc_np(-error));
    }
}

/* Less than what was asked for is better than nothing, if it is said. */
static void kaio_explain_less(const struct engine_config *config, uint32_t depth,
                              const struct kaio_room *room)
{
    log_say(&config->log, AIO_LOG_WARNING,
            "kaio: depth %u instead of the %u asked for: the system used %ld of fs.aio-max-nr = "
            "%ld; raise it (sysctl fs.aio-max-nr=%ld), ask for less depth, or share a queue "
            "between files",
            depth, config->depth, room->used, room->limit, room->remedy);
}

/* The ring's layout is no ABI that is written down: use it only where every mark is as we know. */
static struct kaio_ring *kaio_ring_proven(io_context_t context)
{
    struct kaio_ring *ring = (struct kaio_ring *)context;

    if (ring->magic != KAIO_RING_MAGIC || ring->incompat_features != 0)
        return NULL;
    if (ring->header_length != sizeof(struct kaio_ring) || ring->nr == 0)
        return NULL;
    return ring;
}

/* Posts a wake and takes its event: kernels before 5.8 refuse to read an eventfd so, and without a
 * wake a thread asleep in io_getevents could not be called back. */
static int kaio_try_wake(struct kaio *kaio)
{
    struct iocb *wake = &kaio->wake_iocb;
    struct io_event event;
    int posted = io_submit(kaio->context, 1, &wake);

    if (posted != 1)
        return posted < 0 ? posted : -EAGAIN;
    return io_getevents(kaio->context, 1, 1, &event, NULL) == 1 ? 0 : -EIO;
}

/* The least depth that is still worth having. */
#define KAIO_DEPTH_LEAST 16u

/* Sets a context up for kaio->engine.depth requests; where fs.aio-max-nr has no room for them, for
 * half as many, and so on. A refused io_setup leaves nothing that would take time to give back. */
static int kaio_setup(struct kaio *kaio, struct kaio_room *room)
{
    uint32_t depth = kaio->engine.depth;
    int error = io_setup((int)depth, &kaio->context);

    if (error == -EAGAIN)
        *room = kaio_room_now();
    while (error == -EAGAIN && depth > KAIO_DEPTH_LEAST) {
        depth = depth / 2 > KAIO_DEPTH_LEAST ? depth / 2 : KAIO_DEPTH_LEAST;
        error = io_setup((int)depth, &kaio->context);
    }
    if (error == 0)
        kaio->engine.depth = depth;
    return error;
}

static int kaio_open(struct kaio *kaio, struct kaio_room *room)
{
    int error;

    /* A counter that no run of wakes will ever use up; NONBLOCK all the same, so that even then
     * the read would end at once. */
    kaio->wake_fd = eventfd(INT_MAX, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    if (kaio->wake_fd < 0)
        return -errno;
    error = kaio_setup(kaio, room);
    if (error < 0) {
        close(kaio->wake_fd);
        return error;
    }
    io_prep_pread(&kaio->wake_iocb, kaio->wake_fd, &kaio->wake_sink, sizeof(kaio->wake_sink), 0);
    kaio->wake_iocb.data = (void *)KAIO_WAKE_DATA;
    error = kaio_try_wake(kaio);
    if (error < 0) {
        io_destroy(kaio->context);
        close(kaio->wake_fd);
        return error == -EINVAL ? -ENOSYS : error;
    }
    kaio->ring = kaio_ring_proven(kaio->context);
    return 0;
}

static int kaio_create(const struct engine_config *config, struct engine **result)
{
    struct kaio *kaio = calloc(1, sizeof(*kaio) + config->depth * sizeof(kaio->iocbs[0]));
    struct kaio_room room = {0, 0, 0};
    int error;

    if (kaio == NULL) {
        kaio_explain(config, -ENOMEM);
        return -ENOMEM;
    }
    kaio->engine.ops = &engine_kaio_ops;
    kaio->engine.depth = config->depth;
    kaio->notify_fd = -1;
    error = kaio_open(kaio, &room);
    if (error < 0) {
        kaio_explain(config, error);
        free(kaio);
        return error;
    }
    for (uint32_t tag = 0; tag < kaio->engine.depth; tag++)
        kaio->iocbs[tag].data = (void *)(uintptr_t)tag;
    /* The iocbs beyond that are never touched, and the struct must not move: the wake's iocb
     * points into it. */
    if (kaio->engine.depth < config->depth)
        kaio_explain_less(config, kaio->engine.depth, &room);
    *result = &kaio->engine;
    return 0;
}

static void kaio_destroy(struct engine *engine)
{
    struct kaio *kaio = kaio_of(engine);

    io_destroy(kaio->context);
    close(kaio->wake_fd);
    free(kaio);
}

/* IOCB_FLAG_IOPRIO of <linux/aio_abi.h>, which cannot be had together with <libaio.h>. */
#define KAIO_FLAG_IOPRIO (1u << 1)

/* By opcode; -1: not an engine's. */
static const signed char kaio_commands[] = {
    [AIO_OP_NOP] = -1,
    [AIO_OP_READ] = IO_CMD_PREAD,
    [AIO_OP_WRITE] = IO_CMD_PWRITE,
    [AIO_OP_READV] = IO_CMD_PREADV,
    [AIO_OP_WRITEV] = IO_CMD_PWRITEV,
    [AIO_OP_APPEND] = -1,
    [AIO_OP_APPENDV] = -1,
    [AIO_OP_SYNC] = IO_CMD_FSYNC,
    [AIO_OP_DATASYNC] = IO_CMD_FDSYNC,
};

/* Fills every field but data: the kernel checks those that an opcode does not use. */
static inline void kaio_prepare_move(struct iocb *iocb, const struct engine_io *io)
{
    iocb->aio_lio_opcode = kaio_commands[io->opcode];
    iocb->aio_fildes = io->fd;
    /* RWF flags work only here: in aio_flags the kernel ignores them. */
    iocb->aio_rw_flags = io->rw_flags;
    iocb->aio_reqprio = (short)io->priority;
    iocb->u.c.buf = io->buf;
    iocb->u.c.nbytes = io->len;
    iocb->u.c.offset = io->offset;
    iocb->u.c.flags = 0;
    iocb->u.c.resfd = 0;
    if (io->priority != 0)
        iocb->u.c.flags = KAIO_FLAG_IOPRIO;
}

/* The same for what moves nothing. */
static int kaio_prepare_other(struct iocb *iocb, const struct engine_io *io)
{
    if (io->opcode != AIO_OP_SYNC && io->opcode != AIO_OP_DATASYNC)
        return -EINVAL;
    *iocb = (struct iocb){
        .data = iocb->data, .aio_lio_opcode = kaio_commands[io->opcode], .aio_fildes = io->fd};
    return 0;
}

static int kaio_submit(struct engine *engine, struct engine_io *const *ios, unsigned count)
{
    struct kaio *kaio = kaio_of(engine);
    struct iocb *batch[KAIO_BATCH];
    unsigned prepared;

    if (count > KAIO_BATCH)
        count = KAIO_BATCH;
    for (prepared = 0; prepared < count; prepared++) {
        const struct engine_io *io = ios[prepared];
        struct iocb *iocb = &kaio->iocbs[io->tag];

        if (io->opcode >= AIO_OP_READ && io->opcode <= AIO_OP_WRITEV)
            kaio_prepare_move(iocb, io);
        else if (kaio_prepare_other(iocb, io) < 0)
            break;
        SANITIZER_ORDER_SUBMIT(iocb);
        batch[prepared] = iocb;
    }
    for (unsigned index = 0; kaio->notify_fd >= 0 && index < prepared; index++)
        io_set_eventfd(batch[index], kaio->notify_fd);
    if (prepared == 0)
        return -EINVAL;
    return io_submit(kaio->context, prepared, batch);
}

/* Translates an event of the kernel's. Returns false for a wake's. */
static bool kaio_translate(struct kaio *kaio, const struct io_event *event,
                           struct engine_event *translated)
{
    uintptr_t data = (uintptr_t)event->data;

    if (data == KAIO_WAKE_DATA)
        return false;
    translated->tag = (uint32_t)data;
    translated->result = (int64_t)event->res;
    SANITIZER_ORDER_REAP(&kaio->iocbs[data]);
    return true;
}

/* Takes events out of the ring without a system call. Holder only. *woken says that a wake was
 * among them. */
static unsigned kaio_reap_ring(struct kaio *kaio, struct engine_event *events, unsigned max,
                               bool *woken)
{
    struct kaio_ring *ring = kaio->ring;
    /* head: only the holder writes it, here and through io_getevents; holders follow one another
     * under the queue's lock. tail: acquire pairs with the kernel's smp_wmb() between filling an
     * event and moving tail. */
    unsigned head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
    unsigned tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    unsigned taken = 0;

    while (head != tail && taken < max) {
        if (kaio_translate(kaio, &ring->events[head], &events[taken]))
            taken++;
        else
            *woken = true;
        head = head + 1 == ring->nr ? 0 : head + 1;
    }
    /* Release: the reads above are done before the kernel may fill the places again. */
    __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
    return taken;
}

/* Enters the kernel, to sleep or because the ring may not be touched. */
static int kaio_reap_kernel(struct kaio *kaio, struct engine_event *events, unsigned min,
                            unsigned max, const struct timespec *timeout)
{
    struct io_event batch[KAIO_BATCH];
    struct timespec copy;
    int got;
    int taken = 0;

    if (max > KAIO_BATCH)
        max = KAIO_BATCH;
    if (min > max)
        min = max;
    if (timeout != NULL)
        copy = *timeout;
    got = io_getevents(kaio->context, min, max, batch, timeout != NULL ? &copy : NULL);
    for (int index = 0; index < got; index++)
        taken += kaio_translate(kaio, &batch[index], &events[taken]);
    return got < 0 ? got : taken;
}

static int kaio_reap(struct engine *engine, struct engine_event *events, unsigned min, unsigned max,
                     const struct timespec *timeout)
{
    static const struct timespec poll = {0, 0};
    struct kaio *kaio = kaio_of(engine);
    unsigned taken = 0;
    bool woken = false;
    int got;

    if (kaio->ring != NULL) {
        taken = kaio_reap_ring(kaio, events, max, &woken);
        if (taken >= min || woken)
            return (int)taken;
    }
    got = kaio_reap_kernel(kaio, events + taken, min - taken, max - taken,
                           min == 0 ? &poll : timeout);
    if (got < 0)
        return taken > 0 ? (int)taken : got;
    return (int)taken + got;
}

static int kaio_wake(struct engine *engine, unsigned sleeping_for)
{
    struct kaio *kaio = kaio_of(engine);
    struct iocb *batch[KAIO_BATCH];

    for (unsigned index = 0; index < KAIO_BATCH; index++)
        batch[index] = &kaio->wake_iocb;
    while (sleeping_for > 0) {
        long wanted = sleeping_for < KAIO_BATCH ? sleeping_for : KAIO_BATCH;
        int posted = io_submit(kaio->context, wanted, batch);

        if (posted == -EINTR)
            continue;
        if (posted <= 0)
            return -EAGAIN;
        sleeping_for -= (unsigned)posted;
    }
    return 0;
}

/* The kernel cannot stop reads and writes of files: io_cancel(2) is EINVAL for them. */
static int kaio_cancel(struct engine *engine, uint32_t tag)
{
    (void)engine;
    (void)tag;
    return -EBUSY;
}

static int kaio_notify(struct engine *engine, int event_fd)
{
    kaio_of(engine)->notify_fd = event_fd;
    return 0;
}

const struct engine_ops engine_kaio_ops = {
    .name = "kaio",
    .id = AIO_ENGINE_KAIO,
    .extending_blocks = true, /* measured on ext4: io_submit returns when the write is done */
    .may_block = true,
    .create = kaio_create,
    .destroy = kaio_destroy,
    .submit = kaio_submit,
    .reap = kaio_reap,
    .wake = kaio_wake,
    .cancel = kaio_cancel,
    .know_file = engine_know_no_file,
    .forget_file = engine_forget_no_file,
    .notify = kaio_notify,
    .execute = engine_execute_plain,
};
