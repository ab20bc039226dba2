/* SPDX-License-Identifier: MIT */
/* test_distribution.c - places that are not even: their shares, and what is refused. */
#include "distribution.h"

#include <check.h>
#include <stdlib.h>

#define BLOCKS 10000u
#define DRAWS 100000u

/* Draws, and sorts the counts of the blocks in falling order where asked. */
static unsigned *draw_counts(const char *text)
{
    static struct distribution distributions[2];
    struct message message;
    struct random_stream stream;
    unsigned *counts = calloc(BLOCKS, sizeof(*counts));

    ck_assert_msg(distribution_parse(text, distributions, 1024, &message) == 0, "%s", message.text);
    distribution_prepare(&distributions[0], BLOCKS, 4096, 1);
    random_stream_init(&stream, 7);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t block = distribution_draw(&distributions[0], &stream, BLOCKS);

        ck_assert_msg(block < BLOCKS, "block %llu", (unsigned long long)block);
        counts[block]++;
    }
    return counts;
}

static int falling(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a;
    unsigned y = *(const unsigned *)b;

    return (x < y) - (x > y);
}

static unsigned sum(const unsigned *counts, unsigned from, unsigned to)
{
    unsigned total = 0;

    for (unsigned i = from; i < to; i++)
        total += counts[i];
    return total;
}

/* Draws in 1,000 of the most frequent block and of the first hundred, as the zeta function has it.
 */
struct zipf_case {
    const char *text;
    unsigned first;
    unsigned hundred;
};

static const struct zipf_case zipf_cases[] = {
    {"zipf:1.2", 208, 751},
    {"zipf:0.9", 64, 410},
    {"zipf:0.5", 5, 94},
};

START_TEST(zipf_has_its_ranks)
{
    const struct zipf_case *expected = &zipf_cases[_i];
    unsigned *counts = draw_counts(expected->text);
    unsigned first;
    unsigned hundred;

    qsort(counts, BLOCKS, sizeof(*counts), falling);
    first = counts[0] * 1000 / DRAWS;
    hundred = sum(counts, 0, 100) / (DRAWS / 1000);
    ck_assert_msg(first + 10 > expected->first && first < expected->first + 10, "%u", first);
    ck_assert_msg(hundred + 30 > expected->hundred && hundred < expected->hundred + 30, "%u",
                  hundred);
    free(counts);
}
END_TEST

START_TEST(hot_blocks_are_scattered)
{
    unsigned *counts = draw_counts("zipf:1.2");
    unsigned hot = 0;
    unsigned neighbours = 0;

    for (unsigned i = 0; i + 1 < BLOCKS; i++) {
        hot += counts[i] > 100;
        neighbours += counts[i] > 100 && counts[i + 1] > 100;
    }
    ck_assert_uint_gt(hot, 50);
    ck_assert_uint_lt(neighbours, hot / 5);
    free(counts);
    /* Around a center they are neighbours. */
    counts = draw_counts("zipf:1.2:0.5");
    ck_assert_uint_gt(sum(counts, BLOCKS / 2 - 1, BLOCKS / 2 + 99), DRAWS * 7 / 10);
    free(counts);
}
END_TEST

START_TEST(pareto_has_its_share)
{
    unsigned *counts = draw_counts("pareto:0.2");
    unsigned share;

    qsort(counts, BLOCKS, sizeof(*counts), falling);
    share = sum(counts, 0, BLOCKS / 5) * 100 / DRAWS;
    ck_assert_msg(share >= 78 && share <= 86, "%u", share);
    free(counts);
}
END_TEST

START_TEST(normal_is_around_the_middle)
{
    unsigned *counts = draw_counts("normal:10");
    unsigned share = sum(counts, BLOCKS * 4 / 10, BLOCKS * 6 / 10) * 100 / DRAWS;

    ck_assert_msg(share >= 66 && share <= 70, "%u", share);
    free(counts);
    counts = draw_counts("normal:5%:0.25");
    share = sum(counts, BLOCKS * 20 / 100, BLOCKS * 30 / 100) * 100 / DRAWS;
    ck_assert_msg(share >= 66 && share <= 70, "%u", share);
    free(counts);
}
END_TEST

START_TEST(zones_have_their_shares)
{
    unsigned *counts =
        draw_counts(_i ? "zoned_abs:60/4096k:30/8m:10/1g" : "zoned:60/10:30/20:8/30:2/40");
    unsigned ends[] = {0, _i ? 1024 : 1000, _i ? 3072 : 3000, BLOCKS};
    static const unsigned shares[] = {60, 30, 10};

    for (unsigned i = 0; i < 3; i++) {
        unsigned share = (sum(counts, ends[i], ends[i + 1]) * 100 + DRAWS / 2) / DRAWS;

        ck_assert_msg(share + 1 >= shares[i] && share <= shares[i] + 1, "%u: %u", i, share);
    }
    free(counts);
}
END_TEST

START_TEST(directions_differ)
{
    static struct distribution distributions[2];
    struct message message;

    ck_assert_int_eq(distribution_parse("zipf:1.1,random", distributions, 1024, &message), 0);
    ck_assert_int_eq(distributions[0].kind, DISTRIBUTION_ZIPF);
    ck_assert_int_eq(distributions[1].kind, DISTRIBUTION_EVEN);
}
END_TEST

static const char *const wrong[] = {
    "zipf",
    "zipf:1",
    "zipf:x",
    "zipf:0",
    "pareto:1",
    "pareto:0",
    "normal:101",
    "zoned:60/10",
    "zoned:60/10:40",
    "zoned:60/10:50/90",
    "sideways:1",
    "zoned:60/10:40/80",
    "random:1",
    "zipf:1.2:1.5",
    "",
};

START_TEST(nonsense_is_refused)
{
    static struct distribution distributions[2];
    struct message message = {0};

    ck_assert_int_eq(distribution_parse(wrong[_i], distributions, 1024, &message), -1);
    ck_assert_str_ne(message.text, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("distribution");
    TCase *tests = tcase_create("distribution");
    SRunner *runner;
    int failures;

    tcase_add_loop_test(tests, zipf_has_its_ranks, 0, 3);
    tcase_add_test(tests, hot_blocks_are_scattered);
    tcase_add_test(tests, pareto_has_its_share);
    tcase_add_test(tests, normal_is_around_the_middle);
    tcase_add_loop_test(tests, zones_have_their_shares, 0, 2);
    tcase_add_test(tests, directions_differ);
    tcase_add_loop_test(tests, nonsense_is_refused, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
