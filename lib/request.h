/* SPDX-License-Identifier: MIT */
/*
 * request.h - the fixed table of requests: the pool of slots, the map from id to request, and the
 * map from an engine's tag to request, all one array.
 *
 * Nothing here is locked: the queue's lock guards the table.
 */
#ifndef AIOFILE_LIB_REQUEST_H
#define AIOFILE_LIB_REQUEST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <aiofile/queue.h>

#include "file_ops.h"
#include "transfer.h"

/*
 * Where a slot is. Each state names the list that holds the slot and who may touch its transfer.
 *
 *   FREE <------------> RUNNING                         the short way (queue_plain.c)
 *   FREE --> READY --> RUNNING --> DONE ------> FREE    taken by wait or reap
 *     ^      | | ^      ^ | |
 *     +------+ | +------|-+ +----> CALLBACK --> KEPT --> FREE
 *     refused  |        | remainder,              +----> READY or RUNNING: the callback submits
 *              |        | EAGAIN
 *              +--> WORKING --> DONE or CALLBACK
 *              +--------------> DONE or CALLBACK        a NOP never gets to the engine
 *              +--> LINKED ---> READY                   the one before it has succeeded
 *                     +-------> DONE or CALLBACK        or not
 */
enum request_state {
    REQUEST_FREE,     /* on the stack of free ones */
    REQUEST_READY,    /* list ready or entering, or with the thread that is to launch it */
    REQUEST_RUNNING,  /* no list; the engine's, from just before engine.submit */
    REQUEST_WORKING,  /* no list; a worker's, or held back by its file, then nobody's */
    REQUEST_DONE,     /* list done, or none if WAITED or claimed; the result is valid */
    REQUEST_CALLBACK, /* list callbacks; the result is valid */
    REQUEST_KEPT,     /* no list; the slot is free, but only for the callback that is running */
    REQUEST_LINKED,   /* no list; waits for the one before it in its chain, and holds nothing */
};

/* Whether a request has its deadline before it. */
enum request_notice {
    NOTICE_NONE, /* none was asked for, or it was given */
    NOTICE_SET,  /* in the heap */
    NOTICE_DUE,  /* on list notices or callback_notices; on none if WAITED or claimed */
};

/* An id is a slot's generation above its index: 48 bits, which a slot used a million times a second
 * runs through in nine years. */
#define REQUEST_INDEX_BITS 16
#define REQUEST_GENERATION_MAX ((UINT64_C(1) << (64 - REQUEST_INDEX_BITS)) - 1)

/* A request's sequence while its slot is reserved by a submit that is not through yet: no id of it
 * was given out, and no drain waits for it. */
#define SEQUENCE_NONE UINT64_MAX

/* A request can be in two lists at once: in one by its state, in one by its notice. */
enum { REQUEST_LINK_STATE, REQUEST_LINK_NOTICE, REQUEST_LINKS };

struct request_link {
    struct request *next;
    struct request *previous;
};

/* What every operation needs comes first. A plain request has of its transfer no more than the io
 * and, in the end, the result with its error and offset; and it has no pass. */
struct request {
    _Alignas(64) struct transfer transfer;
    struct aio_file *file; /* NULL for a NOP without one */
    aio_complete_fn on_complete;
    void *context;
    aio_request_id id;    /* of the slot as it is used now */
    uint64_t sequence;    /* of submit: what a drain waits for */
    int64_t submitted_ns; /* CLOCK_MONOTONIC */
    int64_t begun_ns;     /* when the engine or a worker got its last step */
    int64_t offset;       /* bytes: of the transfer as far as it was known then */
    uint64_t length;      /* bytes, likewise */
    struct request_link links[REQUEST_LINKS]; /* in the lists that hold it, and its notice */
    enum request_state state;
    unsigned growth; /* of a plain one's file when it began (inode.h) */

    /* From here to pass all zero in a new request. */
    uint8_t notice;   /* enum request_notice */
    bool plain;       /* on the short way (file_ops.h) */
    bool published;   /* its submit is through with it: until then no worker touches it */
    bool waited;      /* AIO_OP_WAITED */
    bool claimed;     /* a thread is in wait for it */
    bool resumed;     /* it came in before it was published: who publishes it hands it on */
    bool held;        /* its file had no room for it when it was submitted */
    bool refused;     /* the engine had no room for it when it was asked last */
    bool offloaded;   /* a worker has it, as the submits of its file block */
    bool by_worker;   /* a worker executed it, or a step of it */
    bool unentered;   /* a follower that has not entered its file: LINKED, or on list entering */
    uint8_t step;     /* enum file_step: what came of its entering, for who publishes it */
    int64_t first_ns; /* when the engine or a worker got its first step; 0: not yet */
    struct request *follower; /* the one after it in its chain, while that is LINKED; or NULL */

    struct file_pass pass; /* what it has of the file */
    struct aio_queue *queue;
    struct request *mail;   /* the next of those that workers left for the owner */
    struct request *leader; /* the one before it in its chain, while LINKED */
    int64_t done_ns;        /* when it had its result, with AIO_QUEUE_TIMES */
    int64_t deadline_ns;    /* CLOCK_MONOTONIC, while its notice is SET; from submit before */
    uint32_t heap_place;    /* of the deadline, likewise */
};

/* A first-in first-out list. */
struct request_list {
    struct request *first;
    struct request *last;
    uint32_t count;
};

struct request_table {
    uint32_t depth;
    uint32_t inflight; /* slots in READY, RUNNING, WORKING, LINKED: no result yet */
    uint32_t running;  /* slots in RUNNING */
    uint32_t linked;   /* slots in LINKED */
    uint32_t free_count;
    struct request **free; /* a stack: the slot used last is the one in the caches */
    struct request_list ready;
    struct request_list entering; /* READY, for who reaps to let them into their files */
    struct request_list done;
    struct request_list callbacks;
    struct request_list notices;          /* for aio_queue_reap */
    struct request_list callback_notices; /* for the requests' callbacks */
    struct request *requests;             /* depth of them */
    uint32_t *heap; /* indices of the requests whose notice is SET, soonest deadline first */
    uint32_t heap_count;
};

/* Makes the table; generation: of its slots' first ids. Returns 0 or -ENOMEM. */
int request_table_init(struct request_table *table, uint32_t depth, uint64_t generation);
void request_table_free(struct request_table *table);

/* Which states may follow one, as bits. */
static inline uint8_t request_transitions(enum request_state before)
{
    switch (before) {
    case REQUEST_FREE:
        return 1 << REQUEST_READY;
    case REQUEST_READY:
        return 1 << REQUEST_RUNNING | 1 << REQUEST_WORKING | 1 << REQUEST_DONE |
               1 << REQUEST_CALLBACK | 1 << REQUEST_FREE | 1 << REQUEST_LINKED;
    case REQUEST_RUNNING:
        return 1 << REQUEST_READY | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK;
    case REQUEST_WORKING:
        return 1 << REQUEST_RUNNING | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK;
    case REQUEST_DONE:
        return 1 << REQUEST_FREE;
    case REQUEST_CALLBACK:
        return 1 << REQUEST_KEPT;
    case REQUEST_KEPT:
        return 1 << REQUEST_FREE | 1 << REQUEST_READY;
    case REQUEST_LINKED:
        return 1 << REQUEST_READY | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK;
    }
    return 0;
}

static inline bool request_state_inflight(enum request_state state)
{
    const uint32_t inflight =
        1u << REQUEST_READY | 1u << REQUEST_RUNNING | 1u << REQUEST_WORKING | 1u << REQUEST_LINKED;

    return (inflight >> state & 1) != 0;
}

/* The one door for changes of state: asserts that the transition exists, keeps the counts. Inline,
 * as it runs for every operation: where both states are constants, little is left of it. */
static inline void request_change_state(struct request_table *table, struct request *request,
                                        enum request_state before, enum request_state state)
{
    assert(request->state == before);
    assert((request_transitions(before) >> state & 1) != 0);
    table->inflight += (uint32_t)request_state_inflight(state) - request_state_inflight(before);
    table->running += (uint32_t)(state == REQUEST_RUNNING) - (before == REQUEST_RUNNING);
    table->linked += (uint32_t)(state == REQUEST_LINKED) - (before == REQUEST_LINKED);
    request->state = state;
}

/* The same from whatever state it is in. */
static inline void request_set_state(struct request_table *table, struct request *request,
                                     enum request_state state)
{
    request_change_state(table, request, request->state, state);
}

/* Puts a request into the heap of deadlines; returns whether it is the first to be due. Takes one
 * out. Gives the first, or NULL. */
bool request_deadline_set(struct request_table *table, struct request *request,
                          int64_t deadline_ns);
void request_deadline_clear(struct request_table *table, struct request *request);

static inline struct request *request_deadline_first(const struct request_table *table)
{
    return table->heap_count > 0 ? &table->requests[table->heap[0]] : NULL;
}

/* The short way in and out: the table's counts are kept by who changes many at once. */
static inline void request_start_plain(struct request *request, enum request_state before)
{
    assert(request->state == before);
    request->state = REQUEST_RUNNING;
}

static inline void request_end_plain(struct request *request)
{
    assert(request->state == REQUEST_RUNNING);
    request->state = REQUEST_FREE;
}

/* Makes a slot's fields those of a new request as far as these are zero. */
static inline void request_clear(struct request *request)
{
    memset(&request->notice, 0, offsetof(struct request, pass) - offsetof(struct request, notice));
}

/* Ends the life of an id: the slot's next one has another generation. */
static inline void request_retire_id(struct request *request)
{
    const uint64_t generation = UINT64_C(1) << REQUEST_INDEX_BITS;

    request->id += generation;
    if (__builtin_expect(request->id < generation, 0)) /* there is no generation 0 */
        request->id += generation;
}

/* An engine's tag is the slot's index. */
static inline uint32_t request_index(const struct request *request)
{
    return request->transfer.io.tag;
}

/* The request of an id, or NULL when it is stale or never was one. */
struct request *request_find(const struct request_table *table, aio_request_id id);

/* --- slots -------------------------------------------------------------------------------- */

static inline void request_free_push(struct request_table *table, struct request *request)
{
    table->free[table->free_count++] = request;
}

/* The free one that was used last. There is one. */
static inline struct request *request_free_pop(struct request_table *table)
{
    return table->free[--table->free_count];
}

/* --- lists -------------------------------------------------------------------------------- */

static inline void request_link_last(struct request_list *list, struct request *request,
                                     unsigned link)
{
    request->links[link] = (struct request_link){NULL, list->last};
    if (list->last != NULL)
        list->last->links[link].next = request;
    else
        list->first = request;
    list->last = request;
    list->count++;
}

static inline void request_unlink(struct request_list *list, struct request *request, unsigned link)
{
    struct request_link old = request->links[link];

    if (old.previous != NULL)
        old.previous->links[link].next = old.next;
    else
        list->first = old.next;
    if (old.next != NULL)
        old.next->links[link].previous = old.previous;
    else
        list->last = old.previous;
    list->count--;
}

/* Of the lists that hold requests by their state. */
static inline void request_list_push(struct request_list *list, struct request *request)
{
    request_link_last(list, request, REQUEST_LINK_STATE);
}

static inline void request_list_remove(struct request_list *list, struct request *request)
{
    request_unlink(list, request, REQUEST_LINK_STATE);
}

/* The oldest of a list, taken out; NULL when it is empty. */
static inline struct request *request_list_pop(struct request_list *list)
{
    struct request *request = list->first;

    if (request != NULL)
        request_list_remove(list, request);
    return request;
}

/* Of the lists that hold them by their notice. */
static inline void request_notice_push(struct request_list *list, struct request *request)
{
    request_link_last(list, request, REQUEST_LINK_NOTICE);
}

static inline void request_notice_remove(struct request_list *list, struct request *request)
{
    request_unlink(list, request, REQUEST_LINK_NOTICE);
}

#endif
