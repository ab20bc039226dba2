/* SPDX-License-Identifier: MIT */
/*
 * test_request.c - the fixed table of requests: its states, its ids, its lists.
 */
#include "request.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support.h"

#define STATES ((int)REQUEST_KEPT + 1)

/* How to get to each state from FREE. */
static const enum request_state roads[STATES][5] = {
    [REQUEST_FREE] = {REQUEST_FREE},
    [REQUEST_READY] = {REQUEST_READY, REQUEST_FREE},
    [REQUEST_RUNNING] = {REQUEST_READY, REQUEST_RUNNING, REQUEST_FREE},
    [REQUEST_WORKING] = {REQUEST_READY, REQUEST_WORKING, REQUEST_FREE},
    [REQUEST_DONE] = {REQUEST_READY, REQUEST_RUNNING, REQUEST_DONE, REQUEST_FREE},
    [REQUEST_CALLBACK] = {REQUEST_READY, REQUEST_RUNNING, REQUEST_CALLBACK, REQUEST_FREE},
    [REQUEST_KEPT] = {REQUEST_READY, REQUEST_RUNNING, REQUEST_CALLBACK, REQUEST_KEPT, REQUEST_FREE},
};

/* The picture in request.h. */
static const bool legal[STATES][STATES] = {
    [REQUEST_FREE] = {[REQUEST_READY] = true},
    [REQUEST_READY] = {[REQUEST_FREE] = true,
                       [REQUEST_RUNNING] = true,
                       [REQUEST_WORKING] = true,
                       [REQUEST_DONE] = true,
                       [REQUEST_CALLBACK] = true},
    [REQUEST_RUNNING] = {[REQUEST_READY] = true, [REQUEST_DONE] = true, [REQUEST_CALLBACK] = true},
    [REQUEST_WORKING] =
        {[REQUEST_RUNNING] = true, [REQUEST_DONE] = true, [REQUEST_CALLBACK] = true},
    [REQUEST_DONE] = {[REQUEST_FREE] = true},
    [REQUEST_CALLBACK] = {[REQUEST_KEPT] = true},
    [REQUEST_KEPT] = {[REQUEST_FREE] = true, [REQUEST_READY] = true},
};

static struct request *request_in(struct request_table *table, enum request_state state)
{
    struct request *request = request_free_pop(table);

    REQUIRE(request != NULL && request->state == REQUEST_FREE);
    for (unsigned step = 0; roads[state][step] != REQUEST_FREE; step++)
        request_set_state(table, request, roads[state][step]);
    return request;
}

static bool counts_as_inflight(enum request_state state)
{
    return state == REQUEST_READY || state == REQUEST_RUNNING || state == REQUEST_WORKING;
}

/* --- states --------------------------------------------------------------------------------- */

START_TEST(legal_changes_keep_the_counts)
{
    for (int from = 0; from < STATES; from++)
        for (int to = 0; to < STATES; to++) {
            struct request_table table;
            struct request *request;

            if (!legal[from][to])
                continue;
            REQUIRE_EQ(request_table_init(&table, 3, 1), 0);
            request = request_in(&table, from);
            REQUIRE_EQ(table.inflight, counts_as_inflight(from));
            REQUIRE_EQ(table.running, from == REQUEST_RUNNING);
            request_set_state(&table, request, to);
            REQUIRE_EQ(request->state, to);
            REQUIRE_EQ(table.inflight, counts_as_inflight(to));
            REQUIRE_EQ(table.running, to == REQUEST_RUNNING);
            request_table_free(&table);
        }
}
END_TEST

struct change {
    enum request_state from;
    enum request_state to;
};

static int change_illegally(void *argument)
{
    const struct change *change = argument;
    const struct rlimit no_core = {0, 0};
    struct request_table table;

    setrlimit(RLIMIT_CORE, &no_core);
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    request_table_init(&table, 3, 1);
    request_set_state(&table, request_in(&table, change->from), change->to);
    return 0;
}

START_TEST(illegal_changes_end_the_program)
{
#ifdef NDEBUG
    return; /* nobody looks */
#endif
    for (int from = 0; from < STATES; from++)
        for (int to = 0; to < STATES; to++) {
            struct change change = {from, to};

            if (!legal[from][to])
                ck_assert_msg(in_child(change_illegally, &change) == 100 + SIGABRT, "from %d to %d",
                              (int)from, (int)to);
        }
}
END_TEST

/* --- ids ------------------------------------------------------------------------------------ */

START_TEST(an_id_leads_to_its_request_until_it_is_retired)
{
    struct request_table table;

    REQUIRE_EQ(request_table_init(&table, 100, 1), 0);
    for (unsigned count = 0; count < 100; count++) {
        struct request *request = request_in(&table, REQUEST_RUNNING);
        aio_request_id id = request->id;

        request->sequence = count + 1;
        REQUIRE(id != 0);
        REQUIRE(request_find(&table, id) == request);
        request_retire_id(request);
        REQUIRE(request_find(&table, id) == NULL);
        REQUIRE(request_find(&table, request->id) == request);
    }
    request_table_free(&table);
}
END_TEST

START_TEST(what_is_no_id_leads_nowhere)
{
    struct request_table table;
    struct request *request;
    aio_request_id id;

    REQUIRE_EQ(request_table_init(&table, 5, 1), 0);
    request = request_in(&table, REQUEST_RUNNING);
    request->sequence = 1;
    id = request->id;
    REQUIRE(request_find(&table, 0) == NULL);
    REQUIRE(request_find(&table, UINT64_MAX) == NULL);
    REQUIRE(request_find(&table, id + 5) == NULL); /* no such slot */
    REQUIRE(request_find(&table, id + 1) == NULL); /* a free one */
    for (unsigned bit = 0; bit < 64; bit++)
        REQUIRE(request_find(&table, id ^ UINT64_C(1) << bit) == NULL);
    /* Not known yet: a submit that is not through. */
    request->sequence = SEQUENCE_NONE;
    REQUIRE(request_find(&table, id) == NULL);
    request->sequence = 1;
    REQUIRE(request_find(&table, id) == request);
    request_set_state(&table, request, REQUEST_CALLBACK);
    REQUIRE(request_find(&table, id) == request);
    request_set_state(&table, request, REQUEST_KEPT);
    REQUIRE(request_find(&table, id) == NULL);
    request_table_free(&table);
}
END_TEST

START_TEST(generations_start_again_behind_the_last)
{
    struct request_table table;
    struct request *request;
    aio_request_id id;

    REQUIRE_EQ(request_table_init(&table, 2, 1), 0);
    request = request_in(&table, REQUEST_RUNNING);
    request->sequence = 1;
    request->id |= REQUEST_GENERATION_MAX << REQUEST_INDEX_BITS;
    id = request->id;
    REQUIRE(request_find(&table, id) == request);
    request_retire_id(request);
    REQUIRE_EQ(request->id >> REQUEST_INDEX_BITS, 1);
    REQUIRE_EQ(request->id & 0xffff, request_index(request));
    REQUIRE(request->id != 0);
    REQUIRE(request_find(&table, id) == NULL);
    request_table_free(&table);
}
END_TEST

START_TEST(the_largest_table_has_an_id_for_each_slot)
{
    struct request_table table;
    struct request *last = NULL;

    REQUIRE_EQ(request_table_init(&table, AIO_QUEUE_DEPTH_MAX, 1), 0);
    REQUIRE_EQ(table.free_count, AIO_QUEUE_DEPTH_MAX);
    while (table.free_count > 0)
        last = request_free_pop(&table);
    request_set_state(&table, last, REQUEST_READY);
    last->sequence = 1;
    REQUIRE(request_find(&table, last->id) == last);
    REQUIRE_EQ(request_index(last), AIO_QUEUE_DEPTH_MAX - 1);
    request_table_free(&table);
}
END_TEST

/* --- lists ---------------------------------------------------------------------------------- */

START_TEST(a_list_gives_back_in_order)
{
    struct request_table table;

    REQUIRE_EQ(request_table_init(&table, 10, 1), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t count = 0; count < 10; count++) {
            struct request *request = request_free_pop(&table);

            REQUIRE_EQ(table.free_count, 9 - count);
            request_list_push(&table.ready, request);
            REQUIRE_EQ(table.ready.count, count + 1);
        }
        for (uint32_t count = 0; count < 10; count++) {
            struct request *request = request_list_pop(&table.ready);

            /* The one that became free last is used first. */
            REQUIRE_EQ(request_index(request), round % 2 == 0 ? count : 9 - count);
            request_free_push(&table, request);
        }
        REQUIRE(request_list_pop(&table.ready) == NULL);
    }
    request_table_free(&table);
}
END_TEST

/* A list beside the real one: indices in order. */
struct shadow {
    uint32_t indices[16];
    uint32_t count;
};

static void shadow_remove(struct shadow *shadow, uint32_t place)
{
    shadow->count--;
    memmove(&shadow->indices[place], &shadow->indices[place + 1],
            (shadow->count - place) * sizeof(shadow->indices[0]));
}

static void check_shadow(const struct request_list *list, const struct shadow *shadow)
{
    const struct request *request = list->first;

    REQUIRE_EQ(list->count, shadow->count);
    for (uint32_t place = 0; place < shadow->count; place++) {
        REQUIRE(request != NULL);
        REQUIRE_EQ(request_index(request), shadow->indices[place]);
        if (place + 1 == shadow->count)
            REQUIRE(list->last == request);
        request = request->links[REQUEST_LINK_STATE].next;
    }
    REQUIRE(request == NULL);
}

START_TEST(lists_take_out_from_anywhere)
{
    struct request_table table;
    struct shadow shadows[2] = {{.count = 16}, {.count = 0}};
    struct request_list *lists[2];
    uint64_t state = 7;

    REQUIRE_EQ(request_table_init(&table, 16, 1), 0);
    lists[0] = &table.done;
    lists[1] = &table.ready;
    for (uint32_t index = 0; index < 16; index++) {
        request_list_push(&table.done, &table.requests[index]);
        shadows[0].indices[index] = index;
    }
    for (unsigned round = 0; round < 20000; round++) {
        unsigned from = random_next(&state) % 2;
        uint32_t place;
        uint32_t index;

        if (shadows[from].count == 0)
            continue;
        place = (uint32_t)(random_next(&state) % shadows[from].count);
        index = shadows[from].indices[place];
        request_list_remove(lists[from], &table.requests[index]);
        shadow_remove(&shadows[from], place);
        request_list_push(lists[!from], &table.requests[index]);
        shadows[!from].indices[shadows[!from].count++] = index;
        check_shadow(lists[0], &shadows[0]);
        check_shadow(lists[1], &shadows[1]);
    }
    request_table_free(&table);
}
END_TEST

/* --- deadlines ------------------------------------------------------------------------------ */

enum { HEAP_DEPTH = 67 };

/* Each knows its place, none is before the one above it, and the first is the soonest of all. */
static void check_heap(struct request_table *table, const int64_t *shadow, uint32_t count)
{
    const struct request *first = request_deadline_first(table);
    int64_t soonest = INT64_MAX;

    REQUIRE_EQ(table->heap_count, count);
    for (uint32_t index = 0; index < HEAP_DEPTH; index++) {
        const struct request *request = &table->requests[index];

        REQUIRE_EQ(request->notice, shadow[index] >= 0 ? NOTICE_SET : NOTICE_NONE);
        if (shadow[index] < 0)
            continue;
        REQUIRE_EQ(request->deadline_ns, shadow[index]);
        REQUIRE(request->heap_place < count && table->heap[request->heap_place] == index);
        if (shadow[index] < soonest)
            soonest = shadow[index];
    }
    for (uint32_t place = 1; place < count; place++)
        REQUIRE(table->requests[table->heap[(place - 1) / 2]].deadline_ns <=
                table->requests[table->heap[place]].deadline_ns);
    REQUIRE((first == NULL) == (count == 0));
    REQUIRE(first == NULL || first->deadline_ns == soonest);
}

/* From anywhere, with many that are the same, full and empty. */
START_TEST(the_soonest_deadline_is_first)
{
    struct request_table table;
    int64_t shadow[HEAP_DEPTH];
    uint64_t state = 5;
    uint32_t count = 0;

    REQUIRE_EQ(request_table_init(&table, HEAP_DEPTH, 1), 0);
    memset(shadow, 0xff, sizeof(shadow));
    check_heap(&table, shadow, 0);
    for (unsigned round = 0; round < 40000; round++) {
        uint32_t index = (uint32_t)(random_next(&state) % HEAP_DEPTH);
        unsigned spread = round % 3 == 0 ? 4 : 1000000;
        bool filling = round / 2000 % 2 == 0;

        if (shadow[index] >= 0 && (!filling || round % 4 == 0)) {
            request_deadline_clear(&table, &table.requests[index]);
            shadow[index] = -1;
            count--;
        } else if (shadow[index] < 0 && (filling || round % 4 == 0)) {
            int64_t deadline = (int64_t)(random_next(&state) % spread);
            bool first = true;

            for (uint32_t other = 0; other < HEAP_DEPTH; other++)
                first &= shadow[other] < 0 || shadow[other] > deadline;
            REQUIRE_EQ(request_deadline_set(&table, &table.requests[index], deadline), first);
            shadow[index] = deadline;
            count++;
        }
        check_heap(&table, shadow, count);
    }
    request_table_free(&table);
}
END_TEST

START_TEST(deadlines_come_out_in_order)
{
    struct request_table table;
    uint64_t state = 9;
    int64_t last = -1;

    REQUIRE_EQ(request_table_init(&table, HEAP_DEPTH, 1), 0);
    for (uint32_t index = 0; index < HEAP_DEPTH; index++)
        request_deadline_set(&table, &table.requests[index],
                             index % 16 == 0 ? INT64_MAX : (int64_t)(random_next(&state) % 50));
    for (uint32_t index = 0; index < HEAP_DEPTH; index++) {
        struct request *first = request_deadline_first(&table);

        REQUIRE(first->deadline_ns >= last);
        last = first->deadline_ns;
        request_deadline_clear(&table, first);
    }
    REQUIRE(last == INT64_MAX && request_deadline_first(&table) == NULL);
    request_table_free(&table);
}
END_TEST

/* A request is in one list by its state and in one by its notice. */
START_TEST(the_two_lists_of_a_request_are_apart)
{
    struct request_table table;

    REQUIRE_EQ(request_table_init(&table, 4, 1), 0);
    for (unsigned index = 0; index < 4; index++) {
        request_list_push(&table.done, &table.requests[index]);
        request_notice_push(&table.notices, &table.requests[3 - index]);
    }
    request_list_remove(&table.done, &table.requests[1]);
    request_notice_remove(&table.notices, &table.requests[2]);
    REQUIRE(request_list_pop(&table.done) == &table.requests[0]);
    REQUIRE(table.notices.first == &table.requests[3]);
    request_notice_remove(&table.notices, &table.requests[3]);
    REQUIRE(request_list_pop(&table.done) == &table.requests[2]);
    REQUIRE(table.notices.first == &table.requests[1]);
    REQUIRE(table.notices.last == &table.requests[0]);
    REQUIRE(request_list_pop(&table.done) == &table.requests[3]);
    REQUIRE(request_list_pop(&table.done) == NULL);
    REQUIRE_EQ(table.notices.count, 2);
    request_table_free(&table);
}
END_TEST

static Suite *request_suite(void)
{
    Suite *suite = suite_create("request");

    ADD_TESTS(suite, "states", legal_changes_keep_the_counts, illegal_changes_end_the_program);
    ADD_TESTS(suite, "ids", an_id_leads_to_its_request_until_it_is_retired,
              what_is_no_id_leads_nowhere, generations_start_again_behind_the_last,
              the_largest_table_has_an_id_for_each_slot);
    ADD_TESTS(suite, "lists", a_list_gives_back_in_order, lists_take_out_from_anywhere,
              the_two_lists_of_a_request_are_apart);
    ADD_TESTS(suite, "deadlines", the_soonest_deadline_is_first, deadlines_come_out_in_order);
    return suite;
}

int main(void)
{
    return run_suite(request_suite);
}
