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

#include <aiofile/queue.h>

#include "file_ops.h"
#include "transfer.h"

/*
 * Where a slot is. Each state names the list that holds the slot and who may touch its transfer.
 *
 *   FREE --> READY --> RUNNING --> DONE ------> FREE    taken by wait or reap
 *     ^      | | ^      ^ | |
 *     +------+ | +------|-+ +----> CALLBACK --> KEPT --> FREE
 *     refused  |        | remainder,              +----> READY   the callback submits
 *              |        | EAGAIN
 *              +--> WORKING --> DONE or CALLBACK
 *              +--------------> DONE or CALLBACK        a NOP never gets to the engine
 *              +--> LINKED ---> READY                   the one before it has succeeded
 *                     +-------> DONE or CALLBACK        or not
 */
enum request_state {
    REQUEST_FREE,     /* list free */
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

#define REQUEST_NONE UINT32_MAX

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
    uint32_t next;
    uint32_t previous;
};

struct request {
    struct transfer transfer;
    struct aio_file *file; /* NULL for a NOP without one */
    struct file_pass pass; /* what it has of the file */
    struct aio_queue *queue;
    struct request *mail; /* the next of those that workers left for the owner */
    aio_complete_fn on_complete;
    void *context;
    uint64_t generation;  /* of the slot; part of the id, 1 to REQUEST_GENERATION_MAX */
    uint64_t sequence;    /* of submit: what a drain waits for */
    int64_t submitted_ns; /* CLOCK_MONOTONIC */
    int64_t begun_ns;     /* when the engine or a worker got its last step */
    int64_t first_ns;     /* when it got the first; 0: not yet. With AIO_QUEUE_TIMES, as is: */
    int64_t done_ns;      /* when it had its result */
    int64_t offset;       /* bytes: of the transfer as far as it was known then */
    uint64_t length;      /* bytes, likewise */
    struct request_link links[REQUEST_LINKS]; /* in the lists that hold it, and its notice */
    int64_t deadline_ns;                      /* CLOCK_MONOTONIC, while its notice is SET */
    uint32_t heap_place;                      /* of the deadline, likewise */
    uint32_t leader;                          /* the one before it in its chain, while LINKED */
    uint32_t follower; /* the one after it, while that is LINKED; REQUEST_NONE: none */
    enum request_state state;
    uint8_t notice; /* enum request_notice */
    bool waited;    /* AIO_OP_WAITED */
    bool claimed;   /* a thread is in wait for it */
    bool published; /* its submit is through with it: until then no worker touches it */
    bool resumed;   /* it came in before it was published: who publishes it hands it on */
    bool held;      /* its file had no room for it when it was submitted */
    bool refused;   /* the engine had no room for it when it was asked last */
    bool offloaded; /* a worker has it, as the submits of its file block */
    bool by_worker; /* a worker executed it, or a step of it */
    bool unentered; /* a follower that has not entered its file: LINKED, or on list entering */
    uint8_t step;   /* enum file_step: what came of its entering, for who publishes it */
};

/* A first-in first-out list. */
struct request_list {
    uint32_t first;
    uint32_t last;
    uint32_t count;
    uint32_t link; /* which of request.links */
};

struct request_table {
    uint32_t depth;
    uint32_t inflight; /* slots in READY, RUNNING, WORKING, LINKED: no result yet */
    uint32_t running;  /* slots in RUNNING */
    uint32_t linked;   /* slots in LINKED */
    struct request_list free;
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

/* Which states may follow each, as bits. */
extern const uint8_t request_transitions[];

static inline bool request_state_inflight(enum request_state state)
{
    const uint32_t inflight =
        1u << REQUEST_READY | 1u << REQUEST_RUNNING | 1u << REQUEST_WORKING | 1u << REQUEST_LINKED;

    return (inflight >> state & 1) != 0;
}

/* The one door for changes of state: asserts that the transition exists, keeps the counts. Inline,
 * as it runs four times for every operation. */
static inline void request_set_state(struct request_table *table, struct request *request,
                                     enum request_state state)
{
    enum request_state before = request->state;

    assert((request_transitions[before] >> state & 1) != 0);
    table->inflight += (uint32_t)request_state_inflight(state) - request_state_inflight(before);
    table->running += (uint32_t)(state == REQUEST_RUNNING) - (before == REQUEST_RUNNING);
    table->linked += (uint32_t)(state == REQUEST_LINKED) - (before == REQUEST_LINKED);
    request->state = state;
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

/* Ends the life of an id: the slot's next one has another generation. */
void request_retire_id(struct request *request);

static inline uint32_t request_index(const struct request_table *table,
                                     const struct request *request)
{
    return (uint32_t)(request - table->requests);
}

static inline aio_request_id request_id(const struct request_table *table,
                                        const struct request *request)
{
    return request->generation << REQUEST_INDEX_BITS | request_index(table, request);
}

/* The request of an id, or NULL when it is stale or never was one. */
struct request *request_find(const struct request_table *table, aio_request_id id);

static inline void request_list_push(struct request_table *table, struct request_list *list,
                                     struct request *request)
{
    uint32_t index = request_index(table, request);

    request->links[list->link] = (struct request_link){REQUEST_NONE, list->last};
    if (list->last != REQUEST_NONE)
        table->requests[list->last].links[list->link].next = index;
    else
        list->first = index;
    list->last = index;
    list->count++;
}

static inline void request_list_remove(struct request_table *table, struct request_list *list,
                                       struct request *request)
{
    struct request_link link = request->links[list->link];

    if (link.previous != REQUEST_NONE)
        table->requests[link.previous].links[list->link].next = link.next;
    else
        list->first = link.next;
    if (link.next != REQUEST_NONE)
        table->requests[link.next].links[list->link].previous = link.previous;
    else
        list->last = link.previous;
    list->count--;
}

/* The oldest of a list, taken out; NULL when it is empty. */
static inline struct request *request_list_pop(struct request_table *table,
                                               struct request_list *list)
{
    struct request *request;

    if (list->first == REQUEST_NONE)
        return NULL;
    request = &table->requests[list->first];
    request_list_remove(table, list, request);
    return request;
}

#endif
