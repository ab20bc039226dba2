/* SPDX-License-Identifier: MIT */
/*
 * file_state.h - the handle as its rooms see it: file.c (open to close), file_io.c (transfers).
 */
#ifndef AIOFILE_LIB_FILE_STATE_H
#define AIOFILE_LIB_FILE_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <aiofile/file.h>

#include "alignment.h"
#include "engine.h"
#include "gate.h"
#include "log.h"
#include "stats.h"
#include "thread.h"

struct aio_file {
    /* Set at open, never changed. */
    int fd;
    uint64_t epoch; /* process_epoch() of the opener */
    bool readable;
    bool writable;
    bool device;               /* a block device: fstat(2) does not know its size */
    uint32_t direct_granted;   /* enum aio_direct_granted */
    uint32_t direct_alignment; /* bytes: multiple of offset and length */
    struct alignment alignment;
    struct log log;
    const struct engine_ops *ops; /* for blocking transfers */
    struct engine *engine;        /* the context for ops->execute; may be NULL */
    uint32_t queue_engine;        /* of the private queue */
    uint32_t queue_depth;
    bool queue_is_private;

    struct gate gate;

    /* Held through a blocking sync: the second of two must see what the first one was told. */
    struct thread_mutex sync_lock;

    /* 0, or the negated errno of a failed sync. Relaxed: who must see it has been told by the sync
     * itself or by what the caller does between its calls. */
    atomic_int sync_error;

    /* Set once. Partner of the release of who makes the private queue: the acquire of all who look.
     */
    _Atomic(struct aio_queue *) queue;

    /* Guards cursor_offset, for the whole of a transfer at the cursor. Taken inside the gate. */
    struct thread_mutex cursor_lock;
    off_t cursor_offset;

    /* Guards the two below; held for no I/O but an fstat(2). */
    struct thread_mutex append_lock;
    off_t append_end;          /* where the next append goes while any are in flight */
    unsigned appends_inflight; /* placed and not done, blocking ones too */

    struct stats stats;
};

/* Whether the handle is a copy that a forked child got: its locks may be in any state and nobody
 * else is there to share them with. */
bool file_is_inherited(const struct aio_file *file);

/* Lock and unlock, but for the child's copy of a handle. */
void file_lock(const struct aio_file *file, struct thread_mutex *lock);
void file_unlock(const struct aio_file *file, struct thread_mutex *lock);

#endif
