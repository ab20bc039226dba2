/* SPDX-License-Identifier: MIT */
/* test_pattern.c - random numbers, permutations, and the order of blocks. */
#include "pattern.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t counts[] = {1,   2,   3,   4,    5,    7,    8,     9,     100,
                                  255, 256, 257, 1000, 4096, 4097, 65535, 65536, 100003};

/* ck_assert says something to its parent each time: too slow for inner loops. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s is not so", #condition);                                              \
    } while (0)

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

START_TEST(a_permutation_has_every_number_once)
{
    uint64_t count = counts[_i];
    unsigned char *seen = calloc(count, 1);

    for (uint64_t seed = 0; seed < 8; seed++) {
        struct permutation permutation;

        permutation_init(&permutation, count, seed);
        memset(seen, 0, count);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t value = permutation_at(&permutation, i);

            REQUIRE(value < count);
            REQUIRE(seen[value] == 0);
            seen[value] = 1;
        }
    }
    free(seen);
}
END_TEST

/* Numbers that follow one another must not lie near one another more often than by chance. */
START_TEST(a_permutation_looks_random)
{
    const uint64_t count = 65536;
    struct permutation permutation;
    unsigned near = 0;
    unsigned rising = 0;
    unsigned in_place = 0;
    unsigned quarter[4] = {0};

    permutation_init(&permutation, count, 42);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value = permutation_at(&permutation, i);
        uint64_t next = permutation_at(&permutation, (i + 1) % count);
        uint64_t distance = next > value ? next - value : value - next;

        near += distance < 64;
        rising += next > value;
        in_place += value == i;
        if (i < count / 4)
            quarter[value / (count / 4)]++;
    }
    ck_assert_uint_lt(near, 300);
    ck_assert_uint_gt(rising, 31000);
    ck_assert_uint_lt(rising, 34500);
    ck_assert_uint_lt(in_place, 20);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_gt(quarter[i], 3500);
        ck_assert_uint_lt(quarter[i], 4700);
    }
}
END_TEST

START_TEST(huge_permutations_stay_in_range)
{
    static const uint64_t huge[] = {(1ull << 40) + 1, 1ull << 62, UINT64_MAX};

    for (unsigned k = 0; k < 3; k++) {
        struct permutation permutation;

        permutation_init(&permutation, huge[k], 7);
        for (uint64_t i = 0; i < 1000; i++)
            ck_assert_uint_lt(permutation_at(&permutation, i), huge[k]);
    }
}
END_TEST

START_TEST(seeds_belong_to_a_job_alone)
{
    ck_assert_uint_eq(random_job_seed(1, "w", 0), random_job_seed(1, "w", 0));
    ck_assert_uint_ne(random_job_seed(1, "w", 0), random_job_seed(2, "w", 0));
    ck_assert_uint_ne(random_job_seed(1, "w", 0), random_job_seed(1, "r", 0));
    ck_assert_uint_ne(random_job_seed(1, "w", 0), random_job_seed(1, "w", 1));
    ck_assert_uint_ne(random_job_seed(1, "", 0), random_job_seed(1, "w", 0));
}
END_TEST

START_TEST(numbers_below_a_bound_are_even)
{
    struct random_stream stream;
    unsigned hits[10] = {0};

    random_stream_init(&stream, 3);
    for (unsigned i = 0; i < 100000; i++)
        hits[random_below(&stream, 10)]++;
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_uint_gt(hits[i], 9500);
        ck_assert_uint_lt(hits[i], 10500);
    }
}
END_TEST

START_TEST(sequential_blocks_follow_one_another)
{
    struct pattern pattern = {.block_count = 5, .writes = true};
    bool write;
    uint64_t block;

    pattern_start(&pattern);
    for (uint64_t i = 0; i < 5; i++) {
        ck_assert(pattern_next(&pattern, &write, &block));
        ck_assert(write);
        ck_assert_uint_eq(block, i);
    }
    ck_assert(!pattern_next(&pattern, &write, &block));
    ck_assert(!pattern_next(&pattern, &write, &block));
}
END_TEST

START_TEST(random_passes_differ_and_are_complete)
{
    enum { BLOCKS = 100, PASSES = 3 };
    struct pattern pattern = {
        .block_count = BLOCKS, .reads = true, .random = true, .endless = true, .seed = 5};
    uint64_t order[PASSES][BLOCKS];
    bool write;

    pattern_start(&pattern);
    for (unsigned pass = 0; pass < PASSES; pass++) {
        bool seen[BLOCKS] = {false};

        for (unsigned i = 0; i < BLOCKS; i++) {
            ck_assert(pattern_next(&pattern, &write, &order[pass][i]));
            ck_assert(!write);
            ck_assert(!seen[order[pass][i]]);
            seen[order[pass][i]] = true;
        }
    }
    ck_assert_int_ne(memcmp(order[0], order[1], sizeof(order[0])), 0);
    ck_assert_int_ne(memcmp(order[1], order[2], sizeof(order[0])), 0);
}
END_TEST

START_TEST(a_mix_has_its_share_of_reads)
{
    struct pattern pattern = {.block_count = 100000,
                              .reads = true,
                              .writes = true,
                              .random = true,
                              .read_percent = 70,
                              .seed = 9};
    unsigned reads = 0;
    bool write;
    uint64_t block;

    pattern_start(&pattern);
    while (pattern_next(&pattern, &write, &block))
        reads += !write;
    ck_assert_uint_gt(reads, 69000);
    ck_assert_uint_lt(reads, 71000);
}
END_TEST

START_TEST(a_sequential_mix_has_two_positions)
{
    struct pattern pattern = {
        .block_count = 1000, .reads = true, .writes = true, .read_percent = 50, .seed = 1};
    uint64_t expected[2] = {0, 0};
    bool write;
    uint64_t block;

    pattern_start(&pattern);
    while (pattern_next(&pattern, &write, &block)) {
        ck_assert_uint_eq(block, expected[write]);
        expected[write]++;
    }
    ck_assert_uint_eq(expected[0] + expected[1], 1000);
}
END_TEST

static Suite *pattern_suite(void)
{
    Suite *suite = suite_create("pattern");
    TCase *tests = tcase_create("pattern");

    tcase_add_loop_test(tests, a_permutation_has_every_number_once, 0, COUNT(counts));
    tcase_add_test(tests, a_permutation_looks_random);
    tcase_add_test(tests, huge_permutations_stay_in_range);
    tcase_add_test(tests, seeds_belong_to_a_job_alone);
    tcase_add_test(tests, numbers_below_a_bound_are_even);
    tcase_add_test(tests, sequential_blocks_follow_one_another);
    tcase_add_test(tests, random_passes_differ_and_are_complete);
    tcase_add_test(tests, a_mix_has_its_share_of_reads);
    tcase_add_test(tests, a_sequential_mix_has_two_positions);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(pattern_suite());
    int failures;

    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
