/* SPDX-License-Identifier: MIT */
/*
 * test_stats.c - counts that many threads add to.
 */
#include "stats.h"

#include <stdlib.h>

#include "support.h"

enum { THREADS = 20, ADDITIONS = 5000 };

static struct stats stats;

static void *add_along(void *argument)
{
    for (unsigned round = 0; round < ADDITIONS; round++) {
        struct stats_cell *cell = stats_cell(&stats);

        stats_add(cell, STATS_READS, 1);
        stats_add(cell, STATS_BYTES_READ, 4096);
    }
    return argument;
}

START_TEST(nothing_gets_lost_between_threads)
{
    pthread_t threads[THREADS];

    /* More threads than cells: some share one. */
    for (unsigned index = 0; index < THREADS; index++)
        thread_begin(&threads[index], add_along, NULL);
    for (unsigned index = 0; index < THREADS; index++)
        thread_end(threads[index]);
    REQUIRE_EQ(stats_sum(&stats, STATS_READS), (uint64_t)THREADS * ADDITIONS);
    REQUIRE_EQ(stats_sum(&stats, STATS_BYTES_READ), UINT64_C(4096) * THREADS * ADDITIONS);
    REQUIRE_EQ(stats_sum(&stats, STATS_WRITES), 0);
    REQUIRE_EQ(stats_sum(&stats, STATS_SYNCS), 0);
}
END_TEST

START_TEST(a_thread_keeps_its_cell)
{
    struct stats other = {0};
    struct stats_cell *cell = stats_cell(&stats);

    for (unsigned round = 0; round < 10; round++)
        REQUIRE(stats_cell(&stats) == cell);
    REQUIRE(stats_cell(&other) - other.cells == cell - stats.cells);
}
END_TEST

static void *cell_of_thread(void *argument)
{
    (void)argument;
    return stats_cell(&stats);
}

START_TEST(threads_spread_over_the_cells)
{
    unsigned users[STATS_CELLS] = {0};

    for (unsigned round = 0; round < 2 * STATS_CELLS; round++) {
        pthread_t thread;
        void *cell;

        thread_begin(&thread, cell_of_thread, NULL);
        REQUIRE(pthread_join(thread, &cell) == 0);
        users[(struct stats_cell *)cell - stats.cells]++;
    }
    for (unsigned index = 0; index < STATS_CELLS; index++)
        REQUIRE_EQ(users[index], 2);
}
END_TEST

START_TEST(cells_are_on_lines_of_their_own)
{
    REQUIRE(sizeof(struct stats_cell) % 64 == 0);
    REQUIRE((uintptr_t)&stats.cells[1] % 64 == 0);
}
END_TEST

static Suite *stats_suite(void)
{
    Suite *suite = suite_create("stats");

    ADD_TESTS(suite, "stats", nothing_gets_lost_between_threads, a_thread_keeps_its_cell,
              threads_spread_over_the_cells, cells_are_on_lines_of_their_own);
    return suite;
}

int main(void)
{
    return run_suite(stats_suite);
}
