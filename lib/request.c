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

const uint8_t request_transitions[] = {
    [REQUEST_FREE] = 1 << REQUEST_READY,
    [REQUEST_READY] = 1 << REQUEST_RUNNING | 1 << REQUEST_WORKING | 1 << REQUEST_DONE |
                      1 << REQUEST_CALLBACK | 1 << REQUEST_FREE,
    [REQUEST_RUNNING] = 1 << REQUEST_READY | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK,
    [REQUEST_WORKING] = 1 << REQUEST_RUNNING | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK,
    [REQUEST_DONE] = 1 << REQUEST_FREE,
    [REQUEST_CALLBACK] = 1 << REQUEST_KEPT,
    [REQUEST_KEPT] = 1 << REQUEST_FREE | 1 << REQUEST_READY,
};

void request_retire_id(struct request *request)
{
    if (++request->generation > REQUEST_GENERATION_MAX)
        request->generation = 1;
}

struct request *request_find(const struct request_table *table, aio_request_id id)
{
    uint64_t index = id & ((UINT64_C(1) << REQUEST_INDEX_BITS) - 1);
    struct request *request;

    if (index >= table->depth)
        return NULL;
    request = &table->requests[index];
    if (request->generation != id >> REQUEST_INDEX_BITS)
        return NULL;
    if (request->state == REQUEST_FREE || request->state == REQUEST_KEPT ||
        request->sequence == SEQUENCE_NONE)
        return NULL;
    return request;
}
