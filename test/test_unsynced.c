/* SPDX-License-Identifier: MIT */
/*
 * test_unsynced.c - which parts of a file were written through the page cache since the last sync:
 * against a map with a mark for each page.
 */
#include "unsynced.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

/* --- the model ------------------------------------------------------------------------------ */

#define GIB (1024 * MIB)

enum { PAGES = 96, FILE_BYTES = PAGES * (int)PAGE };

/* Pages that were written. As long as they never came to more than so many runs, nothing else may
 * be met. */
struct map {
    bool pages[PAGES];
    bool exact;
};

static unsigned runs_of(const struct map *map)
{
    unsigned runs = 0;

    for (unsigned page = 0; page < PAGES; page++)
        runs += map->pages[page] && (page == 0 || !map->pages[page - 1]);
    return runs;
}

static void map_mark(struct map *map, unsigned first, unsigned last)
{
    for (unsigned page = first; page <= last; page++)
        map->pages[page] = true;
    map->exact &= runs_of(map) <= UNSYNCED_RANGES;
}

static void map_clear(struct map *map)
{
    memset(map->pages, 0, sizeof(map->pages));
    map->exact = true;
}

/* Run by run: on the way there may be more of them than in the end. */
static void map_merge(struct map *map, const struct map *other)
{
    for (unsigned page = 0; page < PAGES; page++) {
        unsigned first = page;

        if (!other->pages[page])
            continue;
        while (page + 1 < PAGES && other->pages[page + 1])
            page++;
        map_mark(map, first, page);
    }
    map->exact &= other->exact;
}

static bool map_meets(const struct map *map, int64_t offset, uint64_t length)
{
    for (uint64_t page = (uint64_t)offset / PAGE; page <= ((uint64_t)offset + length - 1) / PAGE;
         page++)
        if (map->pages[page])
            return true;
    return false;
}

struct model {
    struct map newer;
    struct map older;
    unsigned writing;
    bool syncing;
};

/* --- random operations ---------------------------------------------------------------------- */

static void random_range(uint64_t *state, unsigned longest, int64_t *offset, uint64_t *length)
{
    *length = 1 + random_next(state) % longest;
    *offset = (int64_t)(random_next(state) % (FILE_BYTES - *length + 1));
    if (random_next(state) % 4 == 0)
        *offset = *offset / PAGE * PAGE;
    if (random_next(state) % 4 == 0)
        *length = (*length + PAGE - 1) / PAGE * PAGE;
    if (*offset + (int64_t)*length > FILE_BYTES)
        *length = (uint64_t)(FILE_BYTES - *offset);
}

static void write_range(struct unsynced *unsynced, struct model *model, uint64_t *state)
{
    int64_t offset;
    uint64_t length;

    random_range(state, random_next(state) % 8 == 0 ? FILE_BYTES / 8 : 3 * PAGE, &offset, &length);
    unsynced_begin_write(unsynced, offset, length);
    map_mark(&model->newer, (unsigned)(offset / PAGE),
             (unsigned)((offset + (int64_t)length - 1) / PAGE));
    model->writing++;
    REQUIRE(unsynced_meets(unsynced, offset, length));
    REQUIRE(unsynced_meets(unsynced, offset, 1));
    REQUIRE(unsynced_meets(unsynced, offset + (int64_t)length - 1, 1));
}

static void begin_sync(struct unsynced *unsynced, struct model *model)
{
    bool counts = unsynced_begin_sync(unsynced);

    REQUIRE_EQ(counts, !model->syncing && model->writing == 0);
    if (!counts)
        return;
    map_merge(&model->older, &model->newer);
    map_clear(&model->newer);
    model->syncing = true;
}

static void end_sync(struct unsynced *unsynced, struct model *model, bool succeeded)
{
    unsynced_end_sync(unsynced, succeeded);
    if (succeeded)
        map_clear(&model->older);
    model->syncing = false;
}

static void check_range(struct unsynced *unsynced, const struct model *model, int64_t offset,
                        uint64_t length)
{
    bool expected =
        map_meets(&model->newer, offset, length) || map_meets(&model->older, offset, length);
    bool found = unsynced_meets(unsynced, offset, length);

    if (expected)
        REQUIRE(found);
    else if (model->newer.exact && model->older.exact)
        REQUIRE(!found);
}

/* Every page by itself, and what random places have. Returns whether all was told exactly. */
static bool check_all(struct unsynced *unsynced, const struct model *model, uint64_t *state)
{
    for (unsigned page = 0; page < PAGES; page++) {
        check_range(unsynced, model, page * (int64_t)PAGE, PAGE);
        check_range(unsynced, model, page * (int64_t)PAGE, 1);
        check_range(unsynced, model, (page + 1) * (int64_t)PAGE - 1, 1);
    }
    for (unsigned round = 0; round < 10; round++) {
        int64_t offset;
        uint64_t length;

        random_range(state, FILE_BYTES, &offset, &length);
        check_range(unsynced, model, offset, length);
    }
    return model->newer.exact && model->older.exact;
}

/* One in syncs of the steps begins or ends a sync. Returns how many times all was exact. */
static unsigned run_random(uint64_t seed, unsigned syncs, unsigned steps)
{
    struct unsynced unsynced;
    struct model model = {.newer.exact = true, .older.exact = true};
    uint64_t state = seed;
    unsigned exact = 0;

    unsynced_init(&unsynced);
    for (unsigned step = 0; step < steps; step++) {
        uint64_t choice = random_next(&state);

        if (choice % syncs == 0 && model.syncing)
            end_sync(&unsynced, &model, choice / syncs % 4 != 0);
        else if (choice % syncs == 0)
            begin_sync(&unsynced, &model);
        else if (choice % syncs == 1 && model.syncing)
            begin_sync(&unsynced, &model); /* a second one */
        else if (model.writing > 0 && choice / syncs % 5 < 3)
            unsynced_end_write(&unsynced), model.writing--;
        else
            write_range(&unsynced, &model, &state);
        exact += check_all(&unsynced, &model, &state);
    }
    unsynced_destroy(&unsynced);
    return exact;
}

START_TEST(random_writes_and_syncs_are_as_the_model_says)
{
    static const unsigned frequencies[] = {3, 6, 20};
    unsigned exact = 0;

    for (size_t frequency = 0; frequency < COUNT(frequencies); frequency++)
        for (uint64_t seed = 0; seed < 20; seed++)
            exact += run_random(seed, frequencies[frequency], 300);
    /* Otherwise all this would say little. */
    REQUIRE(exact > 20 * 300 / 2);
}
END_TEST

/* --- ranges --------------------------------------------------------------------------------- */

static void write_at(struct unsynced *unsynced, int64_t offset, uint64_t length)
{
    unsynced_begin_write(unsynced, offset, length);
    unsynced_end_write(unsynced);
}

START_TEST(nothing_is_met_at_first)
{
    struct unsynced unsynced;

    unsynced_init(&unsynced);
    REQUIRE(!unsynced_meets(&unsynced, 0, INT64_MAX));
    REQUIRE(!atomic_load(&unsynced.any));
    write_at(&unsynced, 5, 1);
    REQUIRE(atomic_load(&unsynced.any));
    unsynced_destroy(&unsynced);
}
END_TEST

START_TEST(a_write_is_met_by_its_pages_and_no_others)
{
    struct unsynced unsynced;

    unsynced_init(&unsynced);
    write_at(&unsynced, 2 * PAGE + 100, 10);
    REQUIRE(unsynced_meets(&unsynced, 2 * PAGE, 1));
    REQUIRE(unsynced_meets(&unsynced, 3 * PAGE - 1, 1));
    REQUIRE(unsynced_meets(&unsynced, 0, 2 * PAGE + 1));
    REQUIRE(unsynced_meets(&unsynced, 0, INT64_MAX));
    REQUIRE(!unsynced_meets(&unsynced, 0, 2 * PAGE));
    REQUIRE(!unsynced_meets(&unsynced, 3 * PAGE, INT64_MAX - 3 * PAGE));
    unsynced_destroy(&unsynced);
}
END_TEST

/* The gap between two of eight is told, wherever it is. */
START_TEST(eight_ranges_are_told_apart)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct unsynced unsynced;
        uint64_t state = seed;
        bool written[UNSYNCED_RANGES] = {false};

        unsynced_init(&unsynced);
        for (unsigned count = 0; count < UNSYNCED_RANGES;) {
            unsigned place = (unsigned)(random_next(&state) % UNSYNCED_RANGES);

            write_at(&unsynced, place * (int64_t)GIB + (int64_t)(random_next(&state) % PAGE), 1);
            count += !written[place];
            written[place] = true;
        }
        for (unsigned place = 0; place < UNSYNCED_RANGES; place++) {
            REQUIRE(unsynced_meets(&unsynced, place * (int64_t)GIB, 1));
            REQUIRE(!unsynced_meets(&unsynced, place * (int64_t)GIB + PAGE, GIB - PAGE));
        }
        unsynced_destroy(&unsynced);
    }
}
END_TEST

/* A ninth makes one of the two that are next to each other; the others stay apart. */
START_TEST(of_nine_the_nearest_two_become_one)
{
    for (unsigned near = 0; near < UNSYNCED_RANGES; near++) {
        struct unsynced unsynced;
        int64_t place = (near + 1) * (int64_t)GIB + 2 * PAGE;

        unsynced_init(&unsynced);
        for (unsigned index = 0; index < UNSYNCED_RANGES; index++)
            write_at(&unsynced, (index + 1) * (int64_t)GIB, 1);
        write_at(&unsynced, place, 1);
        REQUIRE(unsynced_meets(&unsynced, place, 1));
        for (unsigned index = 0; index < UNSYNCED_RANGES; index++) {
            int64_t start = (index + 1) * (int64_t)GIB;
            int64_t gap = start + (index == near ? 3 : 1) * (int64_t)PAGE;

            REQUIRE(unsynced_meets(&unsynced, start, 1));
            REQUIRE(!unsynced_meets(&unsynced, gap, GIB / 2));
        }
        REQUIRE(!unsynced_meets(&unsynced, 0, GIB));
        unsynced_destroy(&unsynced);
    }
}
END_TEST

START_TEST(the_end_of_numbers_is_a_place_too)
{
    struct unsynced unsynced;

    unsynced_init(&unsynced);
    write_at(&unsynced, INT64_MAX - 10, 10);
    REQUIRE(unsynced_meets(&unsynced, INT64_MAX - 1, 1));
    REQUIRE(unsynced_meets(&unsynced, 0, INT64_MAX));
    REQUIRE(!unsynced_meets(&unsynced, 0, INT64_MAX - PAGE));
    write_at(&unsynced, INT64_MAX - 3 * PAGE, PAGE);
    REQUIRE(unsynced_meets(&unsynced, INT64_MAX - 3 * PAGE, 1));
    REQUIRE(unsynced_meets(&unsynced, INT64_MAX - 2 * PAGE - 1, 1));
    unsynced_destroy(&unsynced);
}
END_TEST

/* --- syncs ---------------------------------------------------------------------------------- */

START_TEST(a_sync_that_counts_clears)
{
    struct unsynced unsynced;

    unsynced_init(&unsynced);
    write_at(&unsynced, 0, 1);
    REQUIRE(unsynced_begin_sync(&unsynced));
    REQUIRE(unsynced_meets(&unsynced, 0, 1)); /* until it is through */
    unsynced_end_sync(&unsynced, true);
    REQUIRE(!unsynced_meets(&unsynced, 0, INT64_MAX));
    REQUIRE(!atomic_load(&unsynced.any));
    unsynced_destroy(&unsynced);
}
END_TEST

START_TEST(what_is_written_beside_a_sync_stays)
{
    struct unsynced unsynced;

    unsynced_init(&unsynced);
    write_at(&unsynced, 0, 1);
    REQUIRE(unsynced_begin_sync(&unsynced));
    write_at(&unsynced, 4 * PAGE, 1);
    write_at(&unsynced, 0, 1);
    write_at(&unsynced, 8 * PAGE, 1);
    unsynced_end_sync(&unsynced, true);
    REQUIRE(unsynced_meets(&unsynced, 0, 1)); /* written again, perhaps too late */
    REQUIRE(unsynced_meets(&unsynced, 4 * PAGE, 1));
    REQUIRE(unsynced_meets(&unsynced, 8 * PAGE, 1));
    REQUIRE(unsynced_begin_sync(&unsynced));
    unsynced_end_sync(&unsynced, true);
    REQUIRE(!unsynced_meets(&unsynced, 0, INT64_MAX));
    unsynced_destroy(&unsynced);
}
END_TEST

START_TEST(a_sync_that_begins_beside_a_write_does_not_count)
{
    struct unsynced unsynced;

    unsynced_init(&unsynced);
    unsynced_begin_write(&unsynced, 0, 1);
    unsynced_begin_write(&unsynced, 4 * PAGE, 1);
    REQUIRE(!unsynced_begin_sync(&unsynced));
    unsynced_end_write(&unsynced);
    REQUIRE(!unsynced_begin_sync(&unsynced));
    REQUIRE(unsynced_meets(&unsynced, 0, 1) && unsynced_meets(&unsynced, 4 * PAGE, 1));
    unsynced_end_write(&unsynced);
    REQUIRE(unsynced_begin_sync(&unsynced));
    /* Nor beside another one, which goes on to clear what it may. */
    REQUIRE(!unsynced_begin_sync(&unsynced));
    unsynced_begin_write(&unsynced, 8 * PAGE, 1);
    unsynced_end_sync(&unsynced, true);
    REQUIRE(!unsynced_meets(&unsynced, 0, 8 * PAGE));
    REQUIRE(unsynced_meets(&unsynced, 8 * PAGE, 1));
    unsynced_end_write(&unsynced);
    unsynced_destroy(&unsynced);
}
END_TEST

START_TEST(a_sync_that_fails_leaves_all)
{
    struct unsynced unsynced;

    unsynced_init(&unsynced);
    write_at(&unsynced, 0, 1);
    REQUIRE(unsynced_begin_sync(&unsynced));
    write_at(&unsynced, 4 * PAGE, 1);
    unsynced_end_sync(&unsynced, false);
    REQUIRE(unsynced_meets(&unsynced, 0, 1) && unsynced_meets(&unsynced, 4 * PAGE, 1));
    REQUIRE(!unsynced_meets(&unsynced, PAGE, 3 * PAGE));
    REQUIRE(unsynced_begin_sync(&unsynced));
    unsynced_end_sync(&unsynced, false);
    REQUIRE(unsynced_meets(&unsynced, 0, 1) && unsynced_meets(&unsynced, 4 * PAGE, 1));
    REQUIRE(unsynced_begin_sync(&unsynced));
    unsynced_end_sync(&unsynced, true);
    REQUIRE(!unsynced_meets(&unsynced, 0, INT64_MAX));
    unsynced_destroy(&unsynced);
}
END_TEST

/* --- threads -------------------------------------------------------------------------------- */

enum { WRITERS = 4, WRITES = 4000 };

static struct unsynced shared;
static atomic_uint writers_left;

/* Whatever syncs beside it: between begin and end the write is met. */
static void *write_along(void *argument)
{
    uint64_t state = (uintptr_t)argument;

    for (unsigned round = 0; round < WRITES; round++) {
        int64_t offset = (int64_t)(random_next(&state) % GIB);
        uint64_t length = 1 + random_next(&state) % (2 * PAGE);

        unsynced_begin_write(&shared, offset, length);
        REQUIRE(unsynced_meets(&shared, offset, length));
        if (round % 8 == 0)
            sched_yield();
        REQUIRE(unsynced_meets(&shared, offset + (int64_t)length - 1, 1));
        unsynced_end_write(&shared);
    }
    writers_left--;
    return NULL;
}

static void *sync_along(void *argument)
{
    while (writers_left > 0)
        if (unsynced_begin_sync(&shared))
            unsynced_end_sync(&shared, true);
    return argument;
}

START_TEST(a_write_is_met_while_it_runs)
{
    pthread_t threads[WRITERS + 2];

    unsynced_init(&shared);
    writers_left = WRITERS;
    for (unsigned index = 0; index < WRITERS + 2; index++)
        thread_begin(&threads[index], index < WRITERS ? write_along : sync_along,
                     (void *)(uintptr_t)index);
    for (unsigned index = 0; index < WRITERS + 2; index++)
        thread_end(threads[index]);
    REQUIRE(unsynced_begin_sync(&shared));
    unsynced_end_sync(&shared, true);
    REQUIRE(!unsynced_meets(&shared, 0, INT64_MAX));
    unsynced_destroy(&shared);
}
END_TEST

static Suite *unsynced_suite(void)
{
    Suite *suite = suite_create("unsynced");

    ADD_TESTS(suite, "model", random_writes_and_syncs_are_as_the_model_says);
    ADD_TESTS(suite, "ranges", nothing_is_met_at_first, a_write_is_met_by_its_pages_and_no_others,
              eight_ranges_are_told_apart, of_nine_the_nearest_two_become_one,
              the_end_of_numbers_is_a_place_too);
    ADD_TESTS(suite, "syncs", a_sync_that_counts_clears, what_is_written_beside_a_sync_stays,
              a_sync_that_begins_beside_a_write_does_not_count, a_sync_that_fails_leaves_all);
    ADD_TESTS(suite, "threads", a_write_is_met_while_it_runs);
    return suite;
}

int main(void)
{
    return run_suite(unsynced_suite);
}
