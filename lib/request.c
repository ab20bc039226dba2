/* SPDX-License-Identifier: MIT */
/*
 * request.c - the fixed table of requests.
 */
#include "request.h"

#include <errno.h>
#include <stdlib.h>

static void request_list_init(struct request_list *list, uint32_t link)
{
    *list = (struct request_list){REQUEST_NONE, REQUEST_NONE, 0, link};
}

int request_table_init(struct request_table *table, uint32_t depth, uint64_t generation)
{
    *table = (struct request_table){.depth = depth};
    table->requests = calloc(depth, sizeof(table->requests[0]));
    table->heap = calloc(depth, sizeof(table->heap[0]));
    if (table->requests == NULL || table->heap == NULL) {
        request_table_free(table);
        return -ENOMEM;
    }
    request_list_init(&table->free, REQUEST_LINK_STATE);
    request_list_init(&table->ready, REQUEST_LINK_STATE);
    request_list_init(&table->entering, REQUEST_LINK_STATE);
    request_list_init(&table->done, REQUEST_LINK_STATE);
    request_list_init(&table->callbacks, REQUEST_LINK_STATE);
    request_list_init(&table->notices, REQUEST_LINK_NOTICE);
    request_list_init(&table->callback_notices, REQUEST_LINK_NOTICE);
    for (uint32_t index = 0; index < depth; index++) {
        table->requests[index].generation = generation;
        table->requests[index].state = REQUEST_FREE;
        table->requests[index].follower = REQUEST_NONE;
        request_list_push(table, &table->free, &table->requests[index]);
    }
    return 0;
}

void request_table_free(struct request_table *table)
{
    free(table->heap);
    free(table->requests);
}

const uint8_t request_transitions[] = {
    [REQUEST_FREE] = 1 << REQUEST_READY,
    [REQUEST_READY] = 1 << REQUEST_RUNNING | 1 << REQUEST_WORKING | 1 << REQUEST_DONE |
                      1 << REQUEST_CALLBACK | 1 << REQUEST_FREE | 1 << REQUEST_LINKED,
    [REQUEST_RUNNING] = 1 << REQUEST_READY | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK,
    [REQUEST_WORKING] = 1 << REQUEST_RUNNING | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK,
    [REQUEST_DONE] = 1 << REQUEST_FREE,
    [REQUEST_CALLBACK] = 1 << REQUEST_KEPT,
    [REQUEST_KEPT] = 1 << REQUEST_FREE | 1 << REQUEST_READY,
    [REQUEST_LINKED] = 1 << REQUEST_READY | 1 << REQUEST_DONE | 1 << REQUEST_CALLBACK,
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

/* --- deadlines: a binary heap ----------------------------------------------------------------- */

static void heap_put(struct request_table *table, uint32_t place, uint32_t index)
{
    table->heap[place] = index;
    table->requests[index].heap_place = place;
}

static int64_t heap_deadline(const struct request_table *table, uint32_t place)
{
    return table->requests[table->heap[place]].deadline_ns;
}

/* Moves what stands at a place up or down to where it belongs. */
static void heap_sift(struct request_table *table, uint32_t place)
{
    uint32_t index = table->heap[place];
    int64_t deadline_ns = table->requests[index].deadline_ns;

    while (place > 0 && heap_deadline(table, (place - 1) / 2) > deadline_ns) {
        heap_put(table, place, table->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * place + 1;

        if (child + 1 < table->heap_count &&
            heap_deadline(table, child + 1) < heap_deadline(table, child))
            child++;
        if (child >= table->heap_count || heap_deadline(table, child) >= deadline_ns)
            break;
        heap_put(table, place, table->heap[child]);
        place = child;
    }
    heap_put(table, place, index);
}

bool request_deadline_set(struct request_table *table, struct request *request, int64_t deadline_ns)
{
    request->deadline_ns = deadline_ns;
    request->notice = NOTICE_SET;
    heap_put(table, table->heap_count++, request_index(table, request));
    heap_sift(table, request->heap_place);
    return request->heap_place == 0;
}

void request_deadline_clear(struct request_table *table, struct request *request)
{
    uint32_t place = request->heap_place;
    uint32_t last = table->heap[--table->heap_count];

    request->notice = NOTICE_NONE;
    if (place == table->heap_count)
        return;
    heap_put(table, place, last);
    heap_sift(table, place);
}
