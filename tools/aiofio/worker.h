/* SPDX-License-Identifier: MIT */
/*
 * worker.h - one job at work: its thread, its handle, its queue, and what came of it.
 */
#ifndef AIOFIO_WORKER_H
#define AIOFIO_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "handle.h"
#include "issue.h"
#include "plan.h"
#include "verify.h"

/* The first error of a job; it ends the job. */
struct job_error {
    int number; /* errno; 0: none */
    const char *operation;
    const char *path; /* of which file, where a job has several */
    uint64_t offset;
    char text[sizeof(struct message)];
};

/* What a job shows while it runs. Written by its thread and read by the progress line, relaxed:
 * each number stands for itself. */
struct progress_cell {
    _Atomic char
        letter; /* fio's: P not started, r R w W m M at work, V verifying, F syncing, _ gone */
    _Atomic uint64_t done_bytes;
    _Atomic uint64_t total_bytes;
    _Atomic uint64_t operations[DIRECTION_DATA_COUNT];
    _Atomic uint64_t bytes[DIRECTION_DATA_COUNT];
    _Atomic uint64_t start_ns;
};

/* What the clones of a section share. */
struct share {
    struct handle handle;
    struct aio_queue *queue;
    struct message queue_log;
    unsigned users; /* with pause_lock */
};

/* What is common to all jobs of a run. */
struct run {
    struct plan *plan;
    struct identity identity;
    struct console console;
    struct findings findings;
    _Atomic int stop_signal; /* 0: go on. Relaxed: only the number matters. */
    struct worker *workers;
    bool live;                    /* the jobs show every completion: see live.h */
    struct group_commit *commits; /* by section of the job list */
    struct share *shares;         /* likewise */
    pthread_mutex_t pause_lock;
    pthread_cond_t pause_end; /* signalled when pauses are to be cut short, and jobs end */
    _Atomic bool ends_all;    /* exitall: what has not started does not. Relaxed, as above. */
    int ended_fd;             /* an eventfd that every worker adds to when it ends */

    /* For tests: called when all writes of a file are on the disk and none is read back yet. */
    void (*before_verify)(void *context, struct target *target);
    void *hook_context;
};

struct worker {
    struct run *run;
    const struct plan_job *job;
    pthread_t thread;
    struct handle handle;    /* of the first file */
    struct handle *others;   /* of the rest */
    unsigned others_count;   /* open ones */
    struct aio_queue *queue; /* NULL with blocking calls */
    struct message queue_log;
    struct issuer issuer;
    _Atomic bool told_to_end; /* by exitall of another job. Relaxed: nothing goes with it. */
    bool ended;               /* with pause_lock */
    struct job_log *log;      /* NULL: none was asked for */
    struct live_cell *live;   /* NULL: nobody looks */
    bool stopping;            /* issue nothing more: error, signal or end of time */

    struct job_stats *stats;
    struct verify_counts verify;
    struct job_error error;
    struct progress_cell progress;
    pid_t thread_id;
    uint64_t start_ns; /* of what is counted */
    struct rusage usage_before;

    /* What really happened, for the closing sentence. */
    bool blocking;             /* no queue was used */
    uint32_t engine;           /* enum aio_engine that the queue used */
    uint32_t direct;           /* enum aio_direct_granted of the workload */
    bool phase_done;           /* read everything back that was written */
    uint64_t phase_blocks;     /* how many blocks that was */
    uint32_t phase_direct;     /* enum aio_direct_granted of it */
    uint64_t workload_checked; /* good blocks among the workload's own reads */
};

/* Thread function; the argument is a struct worker. */
void *worker_main(void *argument);

/* Keeps the first error and stops the job. */
void worker_fail(struct worker *worker, int number, const char *operation, uint64_t offset,
                 const char *text);

/* Records an operation that was not whole; returns false. */
bool worker_reject(struct worker *worker, const struct operation *operation, int64_t result,
                   int error);

/* Judges the result of an operation; true if it was whole. */
static inline bool worker_accept(struct worker *worker, const struct operation *operation,
                                 int64_t result, int error)
{
    return result == (int64_t)operation->length || worker_reject(worker, operation, result, error);
}

/* Syncs the job's file, and notes that in the journal. 0 or a negated errno. */
int worker_sync(struct worker *worker);

bool worker_is_interrupted(const struct worker *worker);

/* Whether the workload is to end, as it does at the end of runtime: interrupted, or by exitall. */
bool worker_is_to_end(const struct worker *worker);

/* Sleeps until that time, or until the worker is to end. */
void worker_pause(struct worker *worker, uint64_t until_ns);

/* Makes the numbers visible to the progress line, and closes windows of time. */
void worker_show(struct worker *worker, enum direction from, enum direction to, uint64_t now_ns);

#endif
