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

/* A spec for one size, to be changed by the tests. */
static struct pattern_spec make_spec(uint64_t region, uint32_t size, bool reads, bool writes)
{
    struct pattern_spec spec = {
        .region = region,
        .loops = 1,
        .reads = reads,
        .writes = writes,
        .read_percent = 50,
        .random_percent = {100, 100},
        .seed = 5,
    };

    block_sizes_fix(&spec.sizes[0], size);
    block_sizes_fix(&spec.sizes[1], size);
    return spec;
}

/* What a whole pattern did. */
struct tally {
    uint64_t operations[2];
    uint64_t bytes;
    uint64_t repeated; /* sectors that came again */
    uint64_t covered;  /* bytes that came at all */
};

/* Runs a pattern to its end; nothing of it may lie outside the region. */
static struct tally run_pattern(const struct pattern_spec *spec)
{
    struct tally tally = {0};
    struct pattern pattern;
    struct place place;
    unsigned char *seen = calloc(spec->region / 512 + 1, 1);

    pattern_start(&pattern, spec);
    while (pattern_next(&pattern, &place)) {
        REQUIRE(place.length > 0 && place.length <= spec->region);
        REQUIRE(place.offset <= spec->region - place.length);
        tally.operations[place.write]++;
        tally.bytes += place.length;
        for (uint64_t at = place.offset / 512; at < (place.offset + place.length) / 512; at++) {
            tally.repeated += seen[at];
            tally.covered += seen[at] ? 0 : 512;
            seen[at] = 1;
        }
    }
    REQUIRE(!pattern_next(&pattern, &place));
    free(seen);
    return tally;
}

START_TEST(sequential_blocks_follow_one_another)
{
    struct pattern_spec spec = make_spec(5 * 4096 + 2048, 4096, false, true);
    struct pattern pattern;
    struct place place;

    pattern_start(&pattern, &spec);
    for (uint64_t i = 0; i < 5; i++) {
        ck_assert(pattern_next(&pattern, &place));
        ck_assert(place.write);
        ck_assert_uint_eq(place.offset, i * 4096);
        ck_assert_uint_eq(place.length, 4096);
    }
    ck_assert(!pattern_next(&pattern, &place));
    ck_assert(!pattern_next(&pattern, &place));
}
END_TEST

START_TEST(random_passes_differ_and_are_complete)
{
    enum { BLOCKS = 100, PASSES = 3 };
    struct pattern_spec spec = make_spec(BLOCKS * 512, 512, true, false);
    uint64_t order[PASSES][BLOCKS];
    struct pattern pattern;
    struct place place;

    spec.random = true;
    spec.loops = _i ? 0 : PASSES;
    pattern_start(&pattern, &spec);
    for (unsigned pass = 0; pass < PASSES; pass++) {
        bool seen[BLOCKS] = {false};

        for (unsigned i = 0; i < BLOCKS; i++) {
            ck_assert(pattern_next(&pattern, &place));
            ck_assert(!place.write);
            order[pass][i] = place.offset / 512;
            ck_assert(!seen[order[pass][i]]);
            seen[order[pass][i]] = true;
        }
    }
    ck_assert(pattern_next(&pattern, &place) == (spec.loops == 0));
    ck_assert_int_ne(memcmp(order[0], order[1], sizeof(order[0])), 0);
    ck_assert_int_ne(memcmp(order[1], order[2], sizeof(order[0])), 0);
}
END_TEST

START_TEST(a_mix_has_its_share_of_reads)
{
    struct pattern_spec spec = make_spec(100000 * 512, 512, true, true);
    struct tally tally;

    spec.random = true;
    spec.read_percent = 70;
    tally = run_pattern(&spec);
    ck_assert_uint_gt(tally.operations[0], 69000);
    ck_assert_uint_lt(tally.operations[0], 71000);
}
END_TEST

START_TEST(a_sequential_mix_has_two_positions)
{
    struct pattern_spec spec = make_spec(1000 * 512, 512, true, true);
    uint64_t expected[2] = {0, 0};
    struct pattern pattern;
    struct place place;

    pattern_start(&pattern, &spec);
    while (pattern_next(&pattern, &place)) {
        ck_assert_uint_eq(place.offset, expected[place.write]);
        expected[place.write] += 512;
    }
    ck_assert_uint_eq(expected[0] + expected[1], 1000 * 512);
}
END_TEST

/* Sizes of every kind. */
struct sizes_case {
    const char *range;
    const char *split;
    uint32_t read;
    uint32_t write;
};

static const struct sizes_case sizes_cases[] = {
    {NULL, NULL, 4096, 4096},
    {NULL, NULL, 4096, 8192},
    {NULL, NULL, 65536, 512},
    {NULL, NULL, 12288, 8192},
    {"4k-64k", NULL, 0, 0},
    {"512-1m", NULL, 0, 0},
    {NULL, "4k/10:64k/50:32k/", 0, 0},
    {NULL, "12k/50:20k/50,4k/", 0, 0},
};

static struct pattern_spec make_sized(const struct sizes_case *sized, uint64_t region)
{
    struct pattern_spec spec = make_spec(region, 4096, true, true);
    struct message message;

    if (sized->range)
        ck_assert_int_eq(block_sizes_parse_range(sized->range, spec.sizes, false, 1024, &message),
                         0);
    else if (sized->split)
        ck_assert_int_eq(block_sizes_parse_split(sized->split, spec.sizes, 1024, &message), 0);
    else
        block_sizes_fix(&spec.sizes[0], sized->read);
    if (sized->write)
        block_sizes_fix(&spec.sizes[1], sized->write);
    return spec;
}

START_TEST(a_random_pass_has_every_byte_once)
{
    static const uint64_t regions[] = {1 << 20, (5 << 20) + 12288, (3 << 20) + 512};

    for (unsigned k = 0; k < 3; k++) {
        for (unsigned way = 0; way < 3; way++) {
            struct pattern_spec spec = make_sized(&sizes_cases[_i], regions[k]);
            struct tally tally;

            spec.random = true;
            spec.writes = way > 0;
            spec.reads = way < 2;
            spec.loops = 1;
            tally = run_pattern(&spec);
            ck_assert_uint_eq(tally.repeated, 0);
            ck_assert_uint_eq(tally.bytes, tally.covered);
            ck_assert_uint_eq(tally.covered, pattern_pass_bytes(&spec));
            ck_assert_uint_lt(regions[k] - tally.covered, 1 << 20);
        }
    }
}
END_TEST

START_TEST(a_sequential_pass_has_every_byte_once)
{
    struct pattern_spec spec = make_sized(&sizes_cases[_i], (5 << 20) + 12288);
    struct tally tally;

    spec.writes = false;
    tally = run_pattern(&spec);
    ck_assert_uint_eq(tally.repeated, 0);
    ck_assert_uint_eq(tally.covered, pattern_pass_bytes(&spec));
}
END_TEST

START_TEST(sizes_have_their_shares)
{
    struct pattern_spec spec = make_spec(1 << 30, 4096, true, false);
    struct message message;
    struct pattern pattern;
    struct place place;
    unsigned drawn[3] = {0};

    ck_assert_int_eq(block_sizes_parse_split("4k/10:64k/50:32k/", spec.sizes, 1024, &message), 0);
    spec.random = true;
    spec.no_map = _i == 1;
    spec.operations = 10000;
    pattern_start(&pattern, &spec);
    while (pattern_next(&pattern, &place))
        drawn[place.length == 4096 ? 0 : place.length == 65536 ? 1 : 2]++;
    ck_assert_uint_eq(drawn[0] + drawn[1] + drawn[2], 10000);
    ck_assert_uint_gt(drawn[0], 800);
    ck_assert_uint_lt(drawn[0], 1200);
    ck_assert_uint_gt(drawn[1], 4500);
    ck_assert_uint_lt(drawn[1], 5300);
}
END_TEST

START_TEST(amounts_and_counts_end_a_loop)
{
    struct pattern_spec spec = make_spec(64 << 10, 4096, true, false);

    spec.random = _i & 1;
    spec.amount = 10 << 10; /* as fio: the last one is whole */
    ck_assert_uint_eq(run_pattern(&spec).operations[0], 3);
    spec.amount = 200 << 10;
    ck_assert_uint_eq(run_pattern(&spec).operations[0], 50);
    ck_assert_uint_eq(run_pattern(&spec).covered, 64 << 10);
    spec.loops = 3;
    ck_assert_uint_eq(run_pattern(&spec).operations[0], 150);
    spec.amount = 0;
    spec.operations = 5;
    ck_assert_uint_eq(run_pattern(&spec).operations[0], 15);
    spec.operations = 50;
    ck_assert_uint_eq(run_pattern(&spec).operations[0], 48);
}
END_TEST

START_TEST(runs_share_a_random_place)
{
    struct pattern_spec spec = make_spec(101 * 4096, 4096, false, true);
    struct pattern pattern;
    struct place place;
    uint64_t last = 0;
    struct tally tally;

    spec.random = true;
    spec.run = 8;
    tally = run_pattern(&spec);
    ck_assert_uint_eq(tally.covered, 101 * 4096);
    ck_assert_uint_eq(tally.repeated, 0);
    spec.identical = true;
    pattern_start(&pattern, &spec);
    for (unsigned i = 0; i < 80; i++) {
        ck_assert(pattern_next(&pattern, &place));
        ck_assert(i % 8 == 0 || place.offset == last);
        last = place.offset;
    }
    /* Without a map, too. */
    spec.no_map = true;
    spec.identical = false;
    pattern_start(&pattern, &spec);
    for (unsigned i = 0; i < 80; i++) {
        ck_assert(pattern_next(&pattern, &place));
        ck_assert(i % 8 == 0 || place.offset == last + 4096 || last == 100 * 4096u);
        last = place.offset;
    }
}
END_TEST

START_TEST(holes_are_left_and_backwards_is_backwards)
{
    static const uint64_t forwards[] = {0, 8192, 16384, 0};
    static const uint64_t backwards[] = {20480, 16384, 12288, 8192};
    struct pattern_spec spec = make_spec(6 * 4096 + 100, 4096, true, false);
    struct pattern pattern;
    struct place place;

    spec.hole = _i ? -8192 : 4096;
    pattern_start(&pattern, &spec);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert(pattern_next(&pattern, &place));
        ck_assert_uint_eq(place.offset, _i ? backwards[i] : forwards[i]);
    }
    ck_assert_uint_eq(run_pattern(&spec).operations[0], 6);
}
END_TEST

START_TEST(offsets_are_aligned_and_partly_sequential)
{
    struct pattern_spec spec = make_spec(1 << 20, 512, true, false);
    struct pattern pattern;
    struct place place;
    unsigned followed = 0;
    uint64_t last = 0;

    spec.random = true;
    spec.align[0] = 12288;
    pattern_start(&pattern, &spec);
    while (pattern_next(&pattern, &place))
        ck_assert_uint_eq(place.offset % 12288, 0);
    spec.align[0] = 0;
    spec.random_percent[0] = 30;
    spec.operations = 2000;
    pattern_start(&pattern, &spec);
    while (pattern_next(&pattern, &place)) {
        followed += place.offset == last;
        last = place.offset + place.length;
    }
    ck_assert_uint_gt(followed, 1300);
    ck_assert_uint_lt(followed, 1500);
}
END_TEST

/* In pieces that do not fit the passes. */
START_TEST(offsets_can_be_had_many_at_once)
{
    struct pattern_spec spec = make_spec(1000 * 512, 512, true, false);
    struct pattern one;
    struct pattern many;
    struct place place;
    uint64_t offsets[17];
    unsigned count;
    unsigned total = 0;

    spec.random = _i > 0;
    spec.no_map = _i == 2;
    spec.loops = 3;
    spec.amount = 1700 * 512;
    pattern_start(&one, &spec);
    pattern_start(&many, &spec);
    while ((count = pattern_next_offsets(&many, offsets, 17)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            REQUIRE(pattern_next(&one, &place));
            REQUIRE(place.offset == offsets[i]);
        }
        total += count;
    }
    ck_assert(!pattern_next(&one, &place));
    ck_assert_uint_eq(total, 5100);
}
END_TEST

/* 10 TiB: the pattern is this struct and nothing else. */
START_TEST(a_huge_region_needs_no_more_memory)
{
    struct pattern_spec spec = make_spec(10ull << 40, 4096, true, true);
    struct pattern pattern;
    struct place place;
    uint64_t above = 0;

    if (_i == 1)
        block_sizes_fix(&spec.sizes[1], 65536);
    spec.random = true;
    pattern_start(&pattern, &spec);
    ck_assert_uint_lt(sizeof(pattern), 4096);
    for (unsigned i = 0; i < 10000; i++) {
        ck_assert_msg(pattern_next(&pattern, &place), "it ends");
        REQUIRE(place.offset <= spec.region - place.length);
        above += place.offset >= spec.region / 2;
    }
    ck_assert_uint_gt(above, 4500);
    ck_assert_uint_lt(above, 5500);
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
    tcase_add_loop_test(tests, random_passes_differ_and_are_complete, 0, 2);
    tcase_add_test(tests, a_mix_has_its_share_of_reads);
    tcase_add_test(tests, a_sequential_mix_has_two_positions);
    tcase_add_loop_test(tests, a_random_pass_has_every_byte_once, 0, COUNT(sizes_cases));
    tcase_add_loop_test(tests, a_sequential_pass_has_every_byte_once, 0, COUNT(sizes_cases));
    tcase_add_loop_test(tests, sizes_have_their_shares, 0, 2);
    tcase_add_loop_test(tests, amounts_and_counts_end_a_loop, 0, 2);
    tcase_add_test(tests, runs_share_a_random_place);
    tcase_add_loop_test(tests, holes_are_left_and_backwards_is_backwards, 0, 2);
    tcase_add_test(tests, offsets_are_aligned_and_partly_sequential);
    tcase_add_loop_test(tests, offsets_can_be_had_many_at_once, 0, 3);
    tcase_add_loop_test(tests, a_huge_region_needs_no_more_memory, 0, 2);
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
