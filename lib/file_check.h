/* SPDX-License-Identifier: MIT */
/*
 * file_check.h - AIO_FILE_CHECK: looks for errors of the program in what it has in flight, and says
 * them in the log. It changes no result.
 *
 * An entry stands for one operation of a checked handle: a transfer, truncate or allocation. It has
 * two lives. That of its memory goes from the submit until the final completion is given out; that
 * of its range from the submit (a follower's: from its start; an append's: from its place) until
 * the result is known. A blocking call has both for as long as it runs.
 *
 *   check_begin ----> check_start ----> check_place ----> check_result ----> check_end
 *       |  check_link                    of an append
 *       +------------------------------------------------------------------> check_drop  refused
 *
 * Whoever has an operation has its entry, as file_pass.check: NULL where there is nothing to check,
 * also where there was no memory for it. Where no handle is checked, that is all that the hot paths
 * look at: check_handle.on beside what a submit reads of its file anyway, and then file_pass.check,
 * in the part of the pass that is read at the same place.
 *
 * What is found is kept with its entry until a call of the program comes to a place where no lock
 * is held (check_speak); at the latest that is the handle's close.
 */
#ifndef AIOFILE_LIB_FILE_CHECK_H
#define AIOFILE_LIB_FILE_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <aiofile/queue.h>

#include "log.h"

struct check_entry;
struct transfer;

/* A handle as the check sees it; part of it. */
struct check_handle {
    bool on;    /* set at open, never changed: AIO_FILE_CHECK */
    bool blind; /* likewise: memory cannot be looked at here */
    const struct log *log;
    const void *inode;

    /* Guarded by the check's lock. */
    unsigned busy; /* sentences that are due or just being said: close waits for them */
    bool lost;     /* there was no memory for an entry */
    bool lost_due; /* and nobody was told yet */
    struct check_handle *next;
};

/* How many handles are checked. Relaxed: whoever frees memory of an operation in flight has opened
 * its handle before. */
extern atomic_uint check_handles;

/* A handle is opened; may say a sentence. No lock held. */
void check_open(struct check_handle *handle, const struct log *log, const void *inode);

/* It is about to be closed, and none of its operations has no result: says what is to be said of
 * them. Results that nobody took are looked at for the last time. No lock held. */
void check_close(struct check_handle *handle);

/* Makes the entry of an operation whose transfer is prepared. placed: its range is known. */
struct check_entry *check_begin(struct check_handle *handle, const struct aio_op *op,
                                const struct transfer *transfer, bool placed);

/* Memory was given back by a call of that name. Returns whether an operation in flight has it: then
 * check_speak() is due. Any lock of the program's memory may be held. */
bool check_freed(const void *memory, size_t size, const char *call);

/* An append, in flight since check_start(), has its place. No lock held. */
void check_place(struct check_entry *entry, int64_t offset);

/* The result is known, or there will be none. A queue's lock may be held. */
void check_result(struct check_entry *entry);

#ifndef AIOFILE_MODEL
/* Makes an operation one of a chain, before any of it starts. *chain is 0 for the first. */
void check_link(struct check_entry *entry, aio_request_id id, uint64_t *chain);

/* It is about to enter its file. id: 0 for a blocking call. No lock held. */
void check_start(struct check_entry *entry, aio_request_id id);

/* The final completion is about to be given out: looks at the memory, gives the entry up. A queue's
 * lock may be held. */
void check_end(struct check_entry **entry);

/* The operation was refused: nothing is to be said of it. */
void check_drop(struct check_entry **entry);

/* Says what was found. Called by the program's thread with no lock held. */
void check_speak(void);
#else
/* The model has no files. */
static inline void check_link(struct check_entry *entry, aio_request_id id, uint64_t *chain)
{
    (void)entry;
    (void)id;
    (void)chain;
}

static inline void check_start(struct check_entry *entry, aio_request_id id)
{
    (void)entry;
    (void)id;
}

static inline void check_end(struct check_entry **entry)
{
    (void)entry;
}

static inline void check_drop(struct check_entry **entry)
{
    (void)entry;
}

static inline void check_speak(void)
{
}
#endif

/* Whether any handle is checked. */
static inline bool check_any(void)
{
    return atomic_load_explicit(&check_handles, memory_order_relaxed) > 0;
}

#endif
