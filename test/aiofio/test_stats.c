/* SPDX-License-Identifier: MIT */
/* test_stats.c - histogram, moments and windows of time, against their definitions. */
#include "stats.h"

#include "percentile_list.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* fio's definition, written down the slow way: 64 buckets to the octave from 128 on. */
static unsigned reference_bucket(uint64_t value)
{
    unsigned shift = 0;
    unsigned bucket;

    if (value < 128)
        return (unsigned)value;
    while (shift < 57 && value >> (shift + 7))
        shift++;
    bucket = (shift + 1) * 64 + (unsigned)(value >> shift) - 64;
    return bucket < 64 * 29 ? bucket : 64 * 29 - 1;
}

START_TEST(buckets_are_those_of_fio)
{
    ck_assert_uint_eq(HISTOGRAM_BUCKETS, 1856);
    for (uint64_t value = 0; value < 100000; value++)
        ck_assert_uint_eq(histogram_bucket(value), reference_bucket(value));
    for (unsigned bit = 7; bit < 64; bit++) {
        uint64_t power = 1ull << bit;

        for (int64_t near = -3; near <= 3; near++)
            ck_assert_uint_eq(histogram_bucket(power + (uint64_t)near),
                              reference_bucket(power + (uint64_t)near));
        ck_assert_uint_eq(histogram_bucket(power + power / 3), reference_bucket(power + power / 3));
    }
    ck_assert_uint_eq(histogram_bucket(UINT64_MAX), 1855);
}
END_TEST

START_TEST(a_bucket_stands_for_its_middle)
{
    unsigned bucket = 0;

    for (; bucket < 128; bucket++)
        ck_assert_uint_eq(histogram_value(bucket), bucket);
    for (; bucket < HISTOGRAM_BUCKETS; bucket++) {
        unsigned e = (bucket >> 6) - 1;
        double middle = ldexp(1, (int)e + 6) + (bucket % 64 + 0.5) * ldexp(1, (int)e);
        uint64_t value = histogram_value(bucket);

        ck_assert_double_eq_tol((double)value, middle, 0.5);
        ck_assert_uint_eq(histogram_bucket(value), bucket);
    }
}
END_TEST

START_TEST(a_value_is_off_by_less_than_a_percent)
{
    for (double real = 1; real < 17e9; real *= 1.01) {
        uint64_t value = (uint64_t)real;
        double shown = (double)histogram_value(histogram_bucket(value));

        ck_assert_double_le(fabs(shown - (double)value) / (double)value, 0.008);
    }
}
END_TEST

START_TEST(percentiles_are_ranks)
{
    struct histogram *histogram = calloc(1, sizeof(*histogram));
    struct histogram *other = calloc(1, sizeof(*other));

    ck_assert_uint_eq(histogram_percentile(histogram, 50), 0);
    for (unsigned value = 1; value <= 100; value++)
        histogram_add(value % 2 ? histogram : other, value, 1);
    histogram_merge(histogram, other);
    ck_assert_uint_eq(histogram_total(histogram), 100);
    ck_assert_uint_eq(histogram_percentile(histogram, 1), 1);
    ck_assert_uint_eq(histogram_percentile(histogram, 50), 50);
    ck_assert_uint_eq(histogram_percentile(histogram, 99), 99);
    ck_assert_uint_eq(histogram_percentile(histogram, 99.5), 100);
    ck_assert_uint_eq(histogram_percentile(histogram, 100), 100);
    ck_assert_uint_eq(histogram_below(histogram, 51), 50);
    free(histogram);
    free(other);
}
END_TEST

START_TEST(moments_of_parts_are_those_of_the_whole)
{
    struct moments parts[2] = {{0}};
    struct moments empty = {0};

    for (unsigned value = 1; value <= 10; value++)
        moments_add(&parts[value % 2], value * 1000, 1);
    moments_merge(&parts[0], &parts[1]);
    moments_merge(&parts[0], &empty);
    ck_assert_uint_eq(parts[0].count, 10);
    ck_assert_uint_eq(moments_min(&parts[0]), 1000);
    ck_assert_uint_eq(parts[0].max, 10000);
    ck_assert_double_eq_tol(moments_mean(&parts[0]), 5500, 1e-9);
    ck_assert_double_eq_tol(moments_deviation(&parts[0]), 3027.650354, 1e-5);
    moments_merge(&empty, &parts[1]);
    ck_assert_uint_eq(moments_min(&empty), 1000);
    ck_assert(!(moments_deviation(&(struct moments){0}) > 0));
}
END_TEST

START_TEST(a_stall_is_a_row_of_zero_windows)
{
    struct window_series series = {0};
    struct window total = {.operations = 2, .bytes = 30};

    window_series_start(&series, 1000, WINDOW_NS);
    window_series_advance(&series, 1000 + WINDOW_NS - 1, &total);
    ck_assert_uint_eq(series.count, 0);
    window_series_advance(&series, 1000 + WINDOW_NS, &total);
    ck_assert_uint_eq(series.count, 1);
    ck_assert_uint_eq(series.windows[0].operations, 2);
    ck_assert_uint_eq(series.windows[0].bytes, 30);
    window_series_advance(&series, 1000 + 4 * WINDOW_NS, &total);
    total = (struct window){.operations = 3, .bytes = 35};
    window_series_end(&series, 1000 + 5 * WINDOW_NS + 7, &total);
    ck_assert_uint_eq(series.count, 5);
    for (unsigned i = 1; i < 4; i++)
        ck_assert_uint_eq(series.windows[i].operations, 0);
    ck_assert_uint_eq(series.windows[4].operations, 1);
    ck_assert_uint_eq(series.windows[4].bytes, 5);
    window_series_free(&series);
}
END_TEST

START_TEST(a_short_run_is_one_window_scaled)
{
    struct window_series series = {0};
    struct window_series sum = {0};
    struct window total = {.operations = 1, .bytes = 4096};

    window_series_start(&series, 0, WINDOW_NS);
    window_series_end(&series, WINDOW_NS / 4, &total);
    ck_assert_uint_eq(series.count, 1);
    ck_assert_uint_eq(series.windows[0].operations, 4);
    ck_assert_uint_eq(series.windows[0].bytes, 4 * 4096);
    window_series_merge(&sum, &series);
    window_series_merge(&sum, &series);
    ck_assert_uint_eq(sum.count, 1);
    ck_assert_uint_eq(sum.windows[0].bytes, 8 * 4096);
    window_series_free(&series);
    window_series_free(&sum);
}
END_TEST

START_TEST(bins_are_those_of_fio)
{
    struct job_stats *stats = job_stats_new();
    static const unsigned depths[] = {1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 1000};
    static const unsigned expected_depths[DEPTH_BINS] = {1, 2, 2, 2, 2, 2, 2};
    static const unsigned batches[] = {0, 1, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 500};
    static const unsigned expected_batches[BATCH_BINS] = {1, 2, 2, 2, 2, 2, 2};

    for (unsigned i = 0; i < sizeof(depths) / sizeof(depths[0]); i++)
        job_stats_depth(stats, depths[i], 1);
    for (unsigned i = 0; i < sizeof(batches) / sizeof(batches[0]); i++)
        job_stats_submit(stats, batches[i]);
    for (unsigned i = 0; i < DEPTH_BINS; i++)
        ck_assert_uint_eq(stats->depth_bins[i], expected_depths[i]);
    for (unsigned i = 0; i < BATCH_BINS; i++)
        ck_assert_uint_eq(stats->submit_bins[i], expected_batches[i]);
    job_stats_free(stats);
}
END_TEST

START_TEST(an_operation_is_counted_in_its_direction)
{
    struct job_stats *stats = job_stats_new();
    struct job_stats *sum = job_stats_new();
    struct histogram *all = calloc(1, sizeof(*all));

    job_stats_add(stats, DIRECTION_WRITE, 1, 4096, 1000, 1050);
    job_stats_add(stats, DIRECTION_VERIFY, 1, 4096, 1000, 1050);
    job_stats_merge(sum, stats);
    job_stats_merge(sum, stats);
    ck_assert_uint_eq(sum->directions[DIRECTION_WRITE].total.operations, 2);
    ck_assert_uint_eq(sum->directions[DIRECTION_WRITE].total.bytes, 8192);
    ck_assert_uint_eq(sum->directions[DIRECTION_WRITE].clat.max, 1000);
    ck_assert_uint_eq(sum->directions[DIRECTION_WRITE].lat.max, 1050);
    ck_assert_uint_eq(sum->directions[DIRECTION_READ].total.operations, 0);
    job_stats_lat(sum, all);
    ck_assert_uint_eq(histogram_total(all), 2);
    free(all);
    job_stats_free(stats);
    job_stats_free(sum);
}
END_TEST

/* Rank for rank fio's rule: the first bucket where the count so far is at least that share. */
START_TEST(percentiles_are_those_of_fio)
{
    struct histogram *histogram = calloc(1, sizeof(*histogram));
    static const double percents[] = {1, 50, 99, 99.5, 99.9, 99.95, 99.99, 100};

    for (unsigned total = 1; total <= 2000; total += 37) {
        memset(histogram, 0, sizeof(*histogram));
        for (unsigned i = 0; i < total; i++)
            histogram_add(histogram, 64 + i % 64, 1);
        for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
            uint64_t value = 63;
            unsigned seen = 0;

            while ((long double)seen < (long double)percents[i] / 100.0L * total || seen == 0)
                seen += (unsigned)histogram->buckets[++value];
            ck_assert_uint_eq(histogram_percentile(histogram, percents[i]), value);
        }
    }
    free(histogram);
}
END_TEST

START_TEST(a_list_of_percentiles_is_sorted_and_checked)
{
    static const char *const wrong[] = {"",    "0",     "100.1", "50:",      ":50",
                                        "50x", "50;99", "-1",    "1:2:nan",  "1.2.3",
                                        "1e1", " 50",   "50,99", "5000000.0"};
    struct percentile_list list;
    struct message message;

    ck_assert_int_eq(percentile_list_parse(NULL, &list, &message), 0);
    ck_assert_uint_eq(list.count, 17);
    ck_assert_uint_eq(list.decimals, 2);
    ck_assert_int_eq(percentile_list_parse("99.999:50:100", &list, &message), 0);
    ck_assert_uint_eq(list.count, 3);
    ck_assert_uint_eq(list.decimals, 3);
    ck_assert_double_eq(list.percents[0], 50);
    ck_assert_double_eq(list.percents[2], 100);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(percentile_list_parse(wrong[i], &list, &message) != 0, "'%s'", wrong[i]);
    ck_assert_int_ne(percentile_list_parse("1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20:21",
                                           &list, &message),
                     0);
}
END_TEST

/* Two windows at work, two of a stall, one at work. */
START_TEST(averages_are_with_and_without_the_stall)
{
    struct window_series series = {0};
    struct window total = {.operations = 100, .bytes = 102400};
    struct window_summary busy;
    struct window_summary all;

    window_series_start(&series, 0, WINDOW_NS);
    window_series_advance(&series, WINDOW_NS, &total);
    total = (struct window){.operations = 200, .bytes = 204800};
    window_series_advance(&series, 4 * WINDOW_NS, &total);
    total = (struct window){.operations = 300, .bytes = 307200};
    window_series_advance(&series, 5 * WINDOW_NS, &total);

    busy = window_series_summarise(&series, WINDOW_NS, WINDOW_IOPS, WINDOWS_BUSY);
    ck_assert_uint_eq(busy.samples, 3);
    ck_assert_double_eq_tol(busy.min, 200, 1e-9);
    ck_assert_double_eq_tol(busy.mean, 200, 1e-9);
    all = window_series_summarise(&series, WINDOW_NS, WINDOW_BANDWIDTH, WINDOWS_ALL);
    ck_assert_uint_eq(all.samples, 5);
    ck_assert(!(all.min > 0));
    ck_assert_double_eq_tol(all.max, 200, 1e-9);
    ck_assert_double_eq_tol(all.mean, 120, 1e-9);
    all = window_series_summarise(&series, 2 * WINDOW_NS, WINDOW_IOPS, WINDOWS_ALL);
    ck_assert_uint_eq(all.samples, 2);
    ck_assert_double_eq_tol(all.mean, 100, 1e-9);
    ck_assert_double_eq_tol(all.deviation, 141.421356, 1e-5);
    window_series_free(&series);
}
END_TEST

START_TEST(what_is_disabled_is_forgotten)
{
    struct job_stats *stats = job_stats_new();
    const struct direction_stats *write = &stats->directions[DIRECTION_WRITE];

    job_stats_add(stats, DIRECTION_WRITE, 2, 8192, 1000, 1050);
    job_stats_add_slat(stats, DIRECTION_WRITE, 2, 50);
    job_stats_disable(stats, (struct stats_disabled){.clat = true});
    ck_assert_uint_eq(write->clat.count, 0);
    ck_assert_uint_eq(histogram_total(&write->clat_histogram), 0);
    ck_assert_uint_eq(histogram_total(&write->lat_histogram), 2);
    ck_assert_uint_eq(histogram_total(&write->slat_histogram), 2);
    job_stats_disable(stats, (struct stats_disabled){.slat = true, .lat = true});
    ck_assert_uint_eq(write->lat.count, 0);
    ck_assert_uint_eq(write->slat.count, 0);
    ck_assert_uint_eq(write->total.operations, 2);
    job_stats_free(stats);
}
END_TEST

static Suite *stats_suite(void)
{
    Suite *suite = suite_create("stats");
    TCase *tests = tcase_create("stats");

    tcase_add_test(tests, buckets_are_those_of_fio);
    tcase_add_test(tests, a_bucket_stands_for_its_middle);
    tcase_add_test(tests, a_value_is_off_by_less_than_a_percent);
    tcase_add_test(tests, percentiles_are_ranks);
    tcase_add_test(tests, percentiles_are_those_of_fio);
    tcase_add_test(tests, a_list_of_percentiles_is_sorted_and_checked);
    tcase_add_test(tests, averages_are_with_and_without_the_stall);
    tcase_add_test(tests, what_is_disabled_is_forgotten);
    tcase_add_test(tests, moments_of_parts_are_those_of_the_whole);
    tcase_add_test(tests, a_stall_is_a_row_of_zero_windows);
    tcase_add_test(tests, a_short_run_is_one_window_scaled);
    tcase_add_test(tests, bins_are_those_of_fio);
    tcase_add_test(tests, an_operation_is_counted_in_its_direction);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(stats_suite());
    int failures;

    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
