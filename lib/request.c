/* SPDX-License-Identifier: MIT */
/*
 * request.c - the fixed table of requests.
 */
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int request_table_init(struct request_table *table, uint32_t depth, uint64_t generation)
{
    *table = (struct request_table){.depth = depth};
    table->requests = aligned_alloc(_Alignof(struct request), depth * sizeof(table->requests[0]));
    table->heap = calloc(depth, sizeof(table->heap[0]));
    table->free = calloc(depth, sizeof(table->free[0]));
    if (table->requests == NULL || table->heap == NULL || table->free == NULL) {
        request_table_free(table);
        return -ENOMEM;
    }
    memset(table->requests, 0, depth * sizeof(table->requests[0]));
    for (uint32_t index = 0; index < depth; index++) {
        table->requests[index].id = generation << REQUEST_INDEX_BITS | index;
        table->requests[index].state = REQUEST_FREE;
        table->requests[index].transfer.io.tag = index;
        request_free_push(table, &table->requests[depth - 1 - index]); /* the first on top */
    }
    return 0;
}

void request_table_free(struct request_table *table)
{
    free(table->free);
    free(table->heap);
    free(table->requests);
}

struct request *request_find(const struct request_table *table, aio_request_id id)
{
    uint64_t index = id & ((UINT64_C(1) << REQUEST_INDEX_BITS) - 1);
    struct request *request;

    if (index >= table->depth)
        return NULL;
    request = &table->requests[index];
    if (request->id != id)
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
    heap_put(table, table->heap_count++, request_index(request));
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
