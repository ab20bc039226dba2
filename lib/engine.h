/* SPDX-License-Identifier: MIT */
/*
 * engine.h - what a way of doing I/O must offer.
 *
 * Engines are mechanical: they move one transfer as the kernel does and report what it said. They
 * know no files, requests, callbacks or retries; partial transfers, end of file, EAGAIN, EINTR and
 * errors are decided above, once (transfer.c, reaper.c).
 */
#ifndef AIOFILE_LIB_ENGINE_H
#define AIOFILE_LIB_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include <aiofile/queue.h>

#include "log.h"

/* One transfer. Scalar and vector forms differ in opcode only. */
struct engine_io {
    uint8_t
        opcode; /* AIO_OP_READ, WRITE, READV, WRITEV, SYNC or DATASYNC; a NOP does not get here */
    int fd;
    uint32_t tag;      /* given back in the event; < depth of the engine */
    int32_t rw_flags;  /* RWF_* of preadv2(2) */
    uint32_t priority; /* of ioprio_set(2), of reads and writes; 0: the thread's */
    union {
        void *buf;
        const struct iovec *iov;
    };
    uint64_t len;   /* bytes, or vectors (<= IOV_MAX) */
    int64_t offset; /* bytes */
};

/* What became of a transfer: bytes or a negated errno, exactly as the kernel said it. */
struct engine_event {
    uint32_t tag;
    int64_t result;
};

/* Events collected at once. */
#define ENGINE_BATCH 64u

/* An engine context; each engine embeds this first in its own struct. */
struct engine {
    const struct engine_ops *ops;
    uint32_t depth;   /* transfers in flight at most; tags are below it */
    bool polled;      /* takes direct reads and writes only: it looks for their completions */
    bool takes_hipri; /* RWF_HIPRI has its effect */
};

/* What an engine is made with. An engine uses what it knows. */
struct engine_config {
    uint32_t depth;   /* transfers in flight at most; create may make it less, with a sentence */
    uint32_t workers; /* threads of the engine's own, at most; 0: as many as it likes */
    uint32_t completions;       /* room for events, at least; 0: for all that can be in flight */
    uint32_t bounded_workers;   /* of the kernel's, for files; 0: as many as it likes */
    uint32_t unbounded_workers; /* of the kernel's, for the rest; likewise */
    uint32_t sqpoll_idle_ms;    /* before the kernel's thread sleeps; 0: as the kernel likes */
    int32_t sqpoll_cpu;         /* where it runs; -1: anywhere */
    bool owned;                 /* one thread, the one that creates it, is in all its calls */
    bool sqpoll;                /* a thread of the kernel's submits */
    bool iopoll;                /* completions are looked for, not interrupted by */
    struct engine *share;       /* of the same kind, whose kernel workers to share; or NULL */
    void *memory; /* of transfers to come, which can be made known once; or NULL. It outlives the
                     engine */
    size_t memory_size;
    struct log log; /* for the sentence that explains a refusal; good only during create */
};

/*
 * The table. All entries are filled. "The holder" is the one thread at a time that has the queue's
 * reap token; everybody else may be in submit, wake and execute meanwhile.
 */
struct engine_ops {
    const char *name;
    enum aio_engine id;

    /* Whether submit waits for the disk where a write extends its file: such writes are better
     * executed by a worker. */
    bool extending_blocks;

    /* Whether submit is meant to return at once, but the kernel may let it wait for the disk. */
    bool may_block;

    /* Makes a context. On success *result is ready for submit, with all fields of struct engine
     * set; on error (negated errno, with a sentence in the log) nothing is left behind. */
    int (*create)(const struct engine_config *config, struct engine **result);

    /* Frees a context. Before: nothing is in flight, nobody is in another call of it. */
    void (*destroy)(struct engine *engine);

    /* Starts transfers, in order. Before: at most depth - count are in flight, no tag twice;
     * ios and what they point to stay until the event of each. After: returns how many were
     * started (1 to count), each of which gives exactly one event to reap, perhaps before submit
     * returns; or a negated errno, with none started, that concerns ios[0] alone, except
     * -EAGAIN (no room: try again after an event) and -EINTR (try again). Any thread. */
    int (*submit)(struct engine *engine, struct engine_io *const *ios, unsigned count);

    /* Collects up to max (<= ENGINE_BATCH) events, waiting for min (0 to max) or until the time is
     * over (NULL: for ever; relative). Holder only. Returns how many; fewer than min, even 0, after
     * wake() or when the time is over; or -EINTR, with none collected. Other errors are the
     * engine's end: they cannot happen while the preconditions hold. With min 0 it never sleeps,
     * and is called with the queue's lock held. */
    int (*reap)(struct engine *engine, struct engine_event *events, unsigned min, unsigned max,
                const struct timespec *timeout);

    /* Makes the reap that waits now, or else the next one that would, return before its min.
     * sleeping_for (>= 1) is that reap's min. Several calls may count as one. Any thread. Returns
     * 0, or -EAGAIN: try again. */
    int (*wake)(struct engine *engine, unsigned sleeping_for);

    /* Tries to stop a transfer that submit was given or is being given. Returns 0 when its event
     * will say -ECANCELED, or has just come, saying what happened; -EALREADY when it is not there:
     * its event has come, or submit is not that far; -EBUSY when it can't be stopped: its event
     * comes in its own time. Does not block; called with the queue's lock held. Any thread. */
    int (*cancel)(struct engine *engine, uint32_t tag);

    /* A hint that transfers of this descriptor will come, until forget_file(). Engines that can
     * make nothing of it return 0. Or a negated errno, with nothing changed. Any thread, but
     * neither concurrently with itself or the other; no transfer of the descriptor is in flight
     * in forget_file(). */
    int (*know_file)(struct engine *engine, int fd);
    void (*forget_file)(struct engine *engine, int fd);

    /* From now on an event that comes raises this eventfd by itself. Of an owned engine only: the
     * others have somebody to tell. Returns 0 or a negated errno. */
    int (*notify)(struct engine *engine, int event_fd);

    /* Does one transfer on the calling thread and returns its result. engine may be NULL where no
     * context exists yet. Any thread. */
    ssize_t (*execute)(struct engine *engine, const struct engine_io *io);
};

extern const struct engine_ops engine_kaio_ops;
extern const struct engine_ops engine_uring_ops; /* where liburing was there at build time */
extern const struct engine_ops engine_threads_ops;
extern const struct engine_ops engine_sync_ops;

/* One transfer by plain system calls: the execute of every engine that goes to the kernel. */
ssize_t engine_execute_plain(struct engine *engine, const struct engine_io *io);

/* A number below /proc/sys, for sentences; -1: it cannot be read. */
long engine_sysctl(const char *path);

/* For engines that can make nothing of it. */
int engine_know_no_file(struct engine *engine, int fd);
void engine_forget_no_file(struct engine *engine, int fd);

/* The table of an engine. AUTO gives the first of the list. NULL with *error = -EINVAL for an
 * unknown number, -EOPNOTSUPP for an engine that this version does not have. */
const struct engine_ops *engine_find(enum aio_engine id, int *error);

/* The same for who only wants to know: returns 0 or the error, with a sentence. */
int engine_check(enum aio_engine id, const struct log *log);

/* Makes a context of the engine asked for; with AUTO, of the first that works, saying so in the
 * log, as it says where it has less depth than was asked for. Returns 0 or a negated errno. */
int engine_create(enum aio_engine id, const struct engine_config *config, struct engine **result);

/* Checks at start-up and in tests that a table has no hole. */
int engine_ops_check(const struct engine_ops *ops);

#endif
