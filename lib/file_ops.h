/* SPDX-License-Identifier: MIT */
/*
 * file_ops.h - what a queue asks of the file of an operation.
 */
#ifndef AIOFILE_LIB_FILE_OPS_H
#define AIOFILE_LIB_FILE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <aiofile/queue.h>

#include "bounce.h"
#include "file_check.h"
#include "followers.h"
#include "gate.h"
#include "pace.h"
#include "transfer.h"
#include "workers.h"

/* How far an operation has come on its way in; see file_road.c. */
enum file_stage {
    STAGE_BEGIN,
    STAGE_GROW,   /* alone, to extend the file ahead */
    STAGE_SYNC,   /* a sync behind all that it has to cover */
    STAGE_PLACE,  /* an append that has the end */
    STAGE_ROAD,   /* the range is known */
    STAGE_MEMORY, /* through the gate */
    STAGE_GO,     /* all is there */
    STAGE_INSIDE, /* it has been let go */
};

/* What an operation has of its file. It stays where it is while used. */
struct file_pass {
    struct gate_pass gate;
    struct bounce_pass bounce;
    struct follower follower; /* a write in a chain, or a draining sync */
    struct worker_job job;    /* of a submitted operation: set by the queue; run by a worker when it
                                 came in, with came_in set, or when the queue says so */
    struct check_entry *check; /* of a checked handle; else NULL */
    bool came_in;
    bool memory_fits;   /* aligned: no bounce buffer for its sake */
    bool cached;        /* the road is the page cache */
    bool bounced;       /* through a bounce buffer */
    bool clipped;       /* a read that would go beyond the program's end of the file */
    bool grown;         /* the file was to be extended ahead for it, once */
    bool placed;        /* counted as an append in flight */
    bool marked;        /* counted as a write that a sync must cover */
    bool sync_counts;   /* a sync that will have covered what was marked before it */
    bool drains;        /* a sync that comes after all writes submitted before it */
    bool worker;        /* it is for a worker to execute, not for the engine */
    bool wants_workers; /* it may come to need workers */
    bool nowait;        /* it is -EAGAIN where it would have to wait */
    uint8_t pace;       /* enum pace_state, of the file when it was let go */
    uint8_t stage;      /* enum file_stage */
    uint8_t patience;   /* enum file_patience */
    uint32_t mode;      /* of an allocation */
    unsigned growth;    /* of a read: inode.h */
};

/* All at the beginning. Field by field: it runs for every operation. */
static inline void file_pass_init(struct file_pass *pass)
{
    pass->gate.shared = 0;
    pass->gate.alone = 0;
    pass->gate.waiting = false;
    pass->gate.wakeup = NULL;
    pass->follower.listed = false;
    pass->follower.waiting = false;
    pass->bounce.memory = NULL;
    pass->bounce.waiting = false;
    pass->bounce.wakeup = NULL;
    memset(&pass->check, 0, sizeof(*pass) - offsetof(struct file_pass, check));
}

enum file_patience {
    PATIENCE_SUBMITTED, /* it waits without a thread */
    PATIENCE_THREAD,    /* the thread waits */
    PATIENCE_CALLBACK,  /* the thread runs callbacks: others may wait for it */
};

/* What comes next. */
enum file_step {
    FILE_STEP_ENGINE = 1, /* give transfer to an engine */
    FILE_STEP_WORKER,     /* file_op_work() on a worker's thread */
    FILE_STEP_HELD, /* nothing: its job is run once it came in. It is not the caller's to touch */
    FILE_STEP_DONE, /* the transfer has its result */
};

/*
 * The short way. A read or a write that is direct as it is, asks for no option and does not extend
 * its file needs little of it: that it is kept open, and if it writes, its lanes of the gate. That
 * is most of what storage engines submit; it has no pass, and is dealt with by the batch.
 */
struct plain_file {
    int fd;
    unsigned growth; /* inode.h */
    bool writes;
    /* What offsets and lengths, and addresses, have none of: what is not aligned, or too large. */
    uint64_t range_bits;
    uint64_t memory_bits;
};

/* Whether operations of an opcode can go the short way now. The queue's lock may be held, as for
 * all that follow; none of them blocks. */
bool file_op_is_plain(struct aio_file *file, uint8_t opcode, struct plain_file *plain);

/* Enters the gate for a write of that range. Returns false where it may extend the file, or where
 * somebody is in the way. */
bool file_op_enter_plain(struct aio_file *file, int64_t offset, uint64_t length);

/* Counts so many operations that are on the short way as in flight. */
void file_op_begin_plain(struct aio_file *file, uint8_t opcode, unsigned count);

/* The growth now: where it is that of plain_file still, the result of the operation is what the
 * kernel said, and there is no more to do. */
unsigned file_op_growth(const struct aio_file *file);

/* A write of that range leaves the gate. */
void file_op_leave_plain(struct aio_file *file, int64_t offset, uint64_t length);

/* An operation leaves the short way: of its transfer there is the io. Fills the rest and the pass,
 * as they are of one that an engine has. growth: that of its plain_file. */
void file_op_unfold(struct aio_file *file, struct transfer *transfer, struct file_pass *pass,
                    unsigned growth);

/* Checks an operation that is to be submitted, fills transfer and pass, counts it as in flight.
 * Returns 0, or a negated errno with nothing changed. No lock held. */
int file_op_begin(const struct aio_op *op, struct transfer *transfer, struct file_pass *pass);

/* Brings it in, from the start or from where it was held. Returns a step, or a negated errno, which
 * is the operation's result. What is not to wait and would have to is DONE, with -EAGAIN. No lock
 * held; does not block for I/O but an fstat(2). */
int file_op_enter(struct aio_file *file, struct transfer *transfer, struct file_pass *pass);

/* An operation that came in by a chain, and has yet to wait for the one before it: it will enter
 * later. Draining syncs submitted from now on wait for it. No lock held. */
void file_op_follow(struct aio_file *file, const struct transfer *transfer, struct file_pass *pass);

/* The descriptor that a queue may tell its engine of; it is taken back before it is closed. Negated
 * errno. No lock held. */
int file_op_register(struct aio_file *file);

/* Whether a transfer that was let in reads or writes directly. */
bool file_op_is_direct(const struct aio_file *file, const struct transfer *transfer,
                       const struct file_pass *pass);

/* Whether a transfer that is for an engine would extend its file, so that the kernel may block in
 * it. */
bool file_op_extends(struct aio_file *file, const struct transfer *transfer);

/* Keeps the file of an operation in flight from being closed, until file_op_forget(). */
void file_op_keep(struct aio_file *file);

/* A submit to the engine with a transfer of the file took that long for each transfer. slept: the
 * thread was not merely preempted. No lock held. */
void file_op_submitted(struct aio_file *file, int64_t elapsed_ns, bool slept);

/* An operation was given to a worker for its file's pace. */
void file_op_offloaded(struct aio_file *file);

/* What a step WORKER wants done. Returns the next step, or a negated errno as file_op_enter(). */
int file_op_work(struct aio_file *file, const struct engine_ops *ops, struct engine *engine,
                 struct transfer *transfer, struct file_pass *pass);

/* Takes a submitted operation back that is held, or whose job no worker has taken. Returns false
 * when it is neither: it is on its way. Otherwise it is the caller's, to be ended, and
 * pass->came_in tells whether it had been held. The queue's lock may be held; does not block. */
bool file_op_withdraw(struct aio_file *file, struct file_pass *pass);

/* The operation has its result: gives up what it holds, keeps a sync's error. The queue's lock may
 * be held; does not block. */
void file_op_end(struct aio_file *file, struct transfer *transfer, struct file_pass *pass);

/* The file may go: nothing of so many operations touches it any more. The queue's lock may be held;
 * does not block. */
void file_op_forget(struct aio_file *file, unsigned count);

#endif
