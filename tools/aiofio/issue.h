/* SPDX-License-Identifier: MIT */
/*
 * issue.h - keeps a number of operations in flight and measures them.
 *
 * What to do comes from a source; this file only knows how. Three clock readings make an operation:
 * prepared, submitted and reaped. They are taken once for each batch submitted or reaped.
 */
#ifndef AIOFIO_ISSUE_H
#define AIOFIO_ISSUE_H

#include <aiofile/file.h>
#include <aiofile/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "expect.h"
#include "group_commit.h"
#include "inbox.h"
#include "stats.h"

/* A place for an operation in flight. The buffers are its own. */
struct operation {
    enum direction direction;
    bool datasync; /* a sync of the data only */
    unsigned file_index;
    struct inbox *inbox;   /* where the result goes on a shared queue */
    struct aio_file *file; /* the issuer's, unless the source sets another */
    uint32_t length;
    uint64_t offset;
    unsigned char *data;        /* what this operation moves: one of the next two */
    unsigned char *read_buffer; /* for reads, and for writes that are stamped each time */
    unsigned char *fill_buffer; /* content for writes without verify; NULL where there are none */
    struct expect_view *views;
    uint64_t sync_epoch; /* of the journal */
    uint64_t prepared_ns;
    uint64_t submitted_ns;
    uint64_t intended_ns; /* of paced sources: when it was to start; 0: at any time */
};

struct source {
    void *context;

    /* Gives the next operation; false when there will be none any more. */
    bool (*next)(void *context, struct operation *operation);

    /* Takes a completed, or refused, operation: bytes moved or a negated errno. error says why a
     * transfer is short. */
    void (*done)(void *context, const struct operation *operation, int64_t result, int error);

    /* Called when completions have come, before they are counted: a window of time that is over
     * by then ends without them. */
    void (*tick)(void *context, uint64_t now_ns);
};

/* due(): not before everything in flight has completed. */
#define PACER_DRAIN UINT64_MAX

/* Holds a source's operations back until they are due. The context is the source's. */
struct pacer {
    /* When the next operation may be issued, or PACER_DRAIN; at any time where next() will end. */
    uint64_t (*due)(void *context, unsigned in_flight, uint64_t now_ns);

    /* Waits until then, or until there is a reason to look again. */
    void (*pause)(void *context, uint64_t until_ns);
};

struct issuer {
    struct aio_file *file;
    struct aio_queue *queue; /* NULL: blocking calls */
    struct job_stats *stats;
    unsigned depth;
    unsigned batch_max;
    unsigned reap_min;
    unsigned reap_max;
    unsigned low;
    bool shares_queue; /* results come to the inbox */
    struct inbox inbox;
    bool appends;                /* writes go to the end of the file */
    struct group_commit *commit; /* with blocking calls; NULL: none */
    unsigned commit_wanted;      /* writers that a datasync is to be shared by */
    const struct pacer *pacer;   /* NULL: operations are due at once */
    uint64_t due_ns;             /* of the operation that is held back; 0: none */
    struct operation *operations;
    struct operation **idle;
    unsigned idle_count;
    struct operation **batch;
    struct aio_op *ops;
    struct aio_completion *completions;
    unsigned char *memory; /* all buffers */
    struct expect_view *views;
};

/* What the buffers are needed for. */
struct issuer_need {
    unsigned depth;
    unsigned batch_max;
    unsigned reap_min; /* completions to wait for */
    unsigned reap_max; /* and to take at once */
    unsigned low;      /* submit again when no more are in flight */
    bool shares_queue; /* with other issuers */
    uint32_t length;   /* bytes of the largest operation */
    size_t alignment;
    bool fill_buffers;
    unsigned views; /* blocks of an operation that are checked */
};

/* Makes room for the operations. 0 or -ENOMEM. */
int issuer_init(struct issuer *issuer, const struct issuer_need *need);
void issuer_free(struct issuer *issuer);

/* Runs until the source ends and everything has completed. */
void issuer_run(struct issuer *issuer, const struct source *source);

#endif
