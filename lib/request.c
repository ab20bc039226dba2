/* SPDX-License-Identifier: MIT */
/*
 * request.c - the fixed table of requests.
 */
#include "request.h"

#include <errno.h>
#include <stdlib.h>

static void request_list_init(struct request_list *list)
{
    *list = (struct request_list){REQUEST_NONE, REQUEST_NONE, 0};
}

int request_table_init(struct request_table *table, uint32_t depth)
{
    table->requests = calloc(depth, sizeof(table->requests[0]));
    if (table->requests == NULL)
        return -ENOMEM;
    table->depth = depth;
    table->inflight = 0;
    table->running = 0;
    request_list_init(&table->free);
    request_list_init(&table->ready);
    request_list_init(&table->done);
    request_list_init(&table->callbacks);
    for (uint32_t index = 0; index < depth; index++) {
        table->requests[index].generation = 1;
        table->requests[index].state = REQUEST_FREE;
        request_list_push(table, &table->free, &table->requests[index]);
    }
    return 0;
}

void request_table_free(struct request_table *table)
{
    free(table->requests);
}

static bool request_transition_exists(enum request_state from, enum request_state to)
{
    static const unsigned char targets[] = {
        [REQUEST_FREE] = 1 << REQUEST_READY,
        [REQUEST_READY] = 1 << REQUEST_RUNNING | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK |
                          1 << REQUEST_FREE,
        [REQUEST_RUNNING] = 1 << REQUEST_READY | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK,
        [REQUEST_DONE] = 1 << REQUEST_FREE,
        [REQUEST_CALLBACK] = 1 << REQUEST_KEPT,
        [REQUEST_KEPT] = 1 << REQUEST_FREE | 1 << REQUEST_READY,
    };

    return (targets[from] & 1 << to) != 0;
}

static bool request_state_inflight(enum request_state state)
{
    return state == REQUEST_READY || state == REQUEST_RUNNING;
}

void request_set_state(struct request_table *table, struct request *request,
                       enum request_state state)
{
    assert(request_transition_exists(request->state, state));
    table->inflight += request_state_inflight(state);
    table->inflight -= request_state_inflight(request->state);
    table->running += state == REQUEST_RUNNING;
    table->running -= request->state == REQUEST_RUNNING;
    request->state = state;
}

void request_retire_id(struct request *request)
{
    if (++request->generation == 0)
        request->generation = 1;
}

struct request *request_find(const struct request_table *table, aio_request_id id)
{
    uint32_t index = (uint32_t)id;
    struct request *request;

    if (index >= table->depth)
        return NULL;
    request = &table->requests[index];
    if (request->generation != id >> 32)
        return NULL;
    if (request->state == REQUEST_FREE || request->state == REQUEST_KEPT ||
        request->sequence == SEQUENCE_NONE)
        return NULL;
    return request;
}

void request_list_push(struct request_table *table, struct request_list *list,
                       struct request *request)
{
    uint32_t index = request_index(table, request);

    request->next = REQUEST_NONE;
    request->previous = list->last;
    if (list->last != REQUEST_NONE)
        table->requests[list->last].next = index;
    else
        list->first = index;
    list->last = index;
    list->count++;
}

void request_list_remove(struct request_table *table, struct request_list *list,
                         struct request *request)
{
    if (request->previous != REQUEST_NONE)
        table->requests[request->previous].next = request->next;
    else
        list->first = request->next;
    if (request->next != REQUEST_NONE)
        table->requests[request->next].previous = request->previous;
    else
        list->last = request->previous;
    list->count--;
}

struct request *request_list_pop(struct request_table *table, struct request_list *list)
{
    struct request *request;

    if (list->first == REQUEST_NONE)
        return NULL;
    request = &table->requests[list->first];
    request_list_remove(table, list, request);
    return request;
}
