/* SPDX-License-Identifier: MIT */
/*
 * test_histogram.c - durations by size: where buckets begin and end, and percentiles.
 */
#include <fenv.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "support.h"

#define LAST (AIO_HISTOGRAM_BUCKETS - 1)

/* --- buckets -------------------------------------------------------------------------------- */

static uint64_t floor_of(unsigned bucket)
{
    return bucket > 0 ? aio_histogram_bound(bucket - 1) + 1 : 0;
}

static void check_bucket_of(uint64_t duration)
{
    unsigned bucket = histogram_bucket(duration);

    REQUIRE(bucket < AIO_HISTOGRAM_BUCKETS);
    REQUIRE(duration >= floor_of(bucket));
    REQUIRE(duration <= aio_histogram_bound(bucket));
}

START_TEST(buckets_follow_one_another)
{
    for (unsigned bucket = 0; bucket <= LAST; bucket++) {
        uint64_t least = floor_of(bucket);
        uint64_t most = aio_histogram_bound(bucket);

        REQUIRE(least <= most);
        REQUIRE_EQ(histogram_bucket(least), bucket);
        REQUIRE_EQ(histogram_bucket(most), bucket);
        if (bucket < 8)
            REQUIRE(least == bucket && most == bucket);
        else if (bucket < LAST)
            REQUIRE((most - least + 1) * 4 <= least);
    }
}
END_TEST

START_TEST(the_last_bucket_has_all_the_rest)
{
    /* Half an hour and more. */
    REQUIRE(floor_of(LAST) == UINT64_C(7) << 38);
    REQUIRE_EQ(histogram_bucket((UINT64_C(7) << 38) - 1), LAST - 1);
    REQUIRE_EQ(histogram_bucket(UINT64_C(1) << 41), LAST);
    REQUIRE_EQ(histogram_bucket(INT64_MAX), LAST);
    REQUIRE_EQ(histogram_bucket(UINT64_MAX), LAST);
    REQUIRE(aio_histogram_bound(LAST) == UINT64_MAX);
    REQUIRE(aio_histogram_bound(LAST + 1) == UINT64_MAX);
    REQUIRE(aio_histogram_bound(INT_MAX) == UINT64_MAX);
    REQUIRE(aio_histogram_bound(UINT_MAX) == UINT64_MAX);
}
END_TEST

/* All powers of two, the quarters between them, and what is next to these. */
START_TEST(every_duration_is_between_the_bounds_of_its_bucket)
{
    uint64_t state = 1;

    for (unsigned exponent = 0; exponent < 64; exponent++)
        for (unsigned quarter = 4; quarter < 8; quarter++) {
            uint64_t duration = (UINT64_C(1) << exponent) / 4 * quarter;

            for (uint64_t near = duration - 2; near != duration + 3; near++)
                check_bucket_of(near);
        }
    for (unsigned round = 0; round < 100000; round++) {
        uint64_t number = random_next(&state);

        check_bucket_of(number >> random_next(&state) % 64);
    }
}
END_TEST

START_TEST(durations_are_added)
{
    struct aio_histogram histogram = {0};
    uint64_t counted = 0;

    histogram_add(&histogram, 5);
    histogram_add(&histogram, 0);
    histogram_add(&histogram, 1000);
    histogram_add(&histogram, -1); /* no time at all */
    histogram_add(&histogram, INT64_MIN);
    histogram_add(&histogram, 1000);
    REQUIRE_EQ(histogram.count, 6);
    REQUIRE_EQ(histogram.total_ns, 2005);
    REQUIRE_EQ(histogram.max_ns, 1000);
    REQUIRE_EQ(histogram.buckets[0], 3);
    REQUIRE_EQ(histogram.buckets[5], 1);
    REQUIRE_EQ(histogram.buckets[histogram_bucket(1000)], 2);
    histogram_add(&histogram, INT64_MAX);
    REQUIRE_EQ(histogram.buckets[LAST], 1);
    REQUIRE_EQ(histogram.max_ns, INT64_MAX);
    for (unsigned bucket = 0; bucket <= LAST; bucket++)
        counted += histogram.buckets[bucket];
    REQUIRE_EQ(counted, histogram.count);
}
END_TEST

/* --- percentiles ---------------------------------------------------------------------------- */

START_TEST(small_durations_have_exact_percentiles)
{
    struct aio_histogram histogram = {0};

    for (int64_t duration = 0; duration < 8; duration++)
        histogram_add(&histogram, duration);
    REQUIRE_EQ(aio_histogram_percentile(&histogram, 0), 0);
    for (unsigned rank = 1; rank <= 8; rank++) {
        REQUIRE_EQ(aio_histogram_percentile(&histogram, rank * 12.5), rank - 1);
        REQUIRE_EQ(aio_histogram_percentile(&histogram, rank * 12.5 - 0.001), rank - 1);
        if (rank < 8)
            REQUIRE_EQ(aio_histogram_percentile(&histogram, rank * 12.5 + 0.001), rank);
    }
}
END_TEST

/* Neither less than the least nor more than the longest. */
START_TEST(one_duration_is_every_percentile)
{
    static const int64_t durations[] = {0, 1, 7, 8, 9, 1000003, INT64_C(1) << 41, INT64_MAX};

    for (size_t index = 0; index < COUNT(durations); index++) {
        struct aio_histogram histogram = {0};

        histogram_add(&histogram, durations[index]);
        for (double percent = 0; percent <= 100; percent += 0.5)
            REQUIRE_EQ(aio_histogram_percentile(&histogram, percent), durations[index]);
    }
}
END_TEST

START_TEST(nothing_is_below_the_first)
{
    struct aio_histogram histogram = {0};

    for (unsigned count = 0; count < 1000; count++)
        histogram_add(&histogram, 1000000);
    histogram_add(&histogram, 5000000);
    REQUIRE_EQ(aio_histogram_percentile(&histogram, 0),
               aio_histogram_bound(histogram_bucket(1000000)));
    REQUIRE_EQ(aio_histogram_percentile(&histogram, 99.9),
               aio_histogram_bound(histogram_bucket(1000000)));
    REQUIRE_EQ(aio_histogram_percentile(&histogram, 99.91), 5000000);
    REQUIRE_EQ(aio_histogram_percentile(&histogram, 100), 5000000);
}
END_TEST

static int by_duration(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* So many that each sixteenth of a percent is a whole number of them. */
START_TEST(percentiles_are_those_of_the_sorted_durations)
{
    enum { DURATIONS = 1600 };
    int64_t *durations = calloc(DURATIONS, sizeof(*durations));
    uint64_t state = (uint64_t)_i + 1;
    struct aio_histogram histogram = {0};
    uint64_t before = 0;

    REQUIRE(durations != NULL);
    for (unsigned index = 0; index < DURATIONS; index++) {
        uint64_t number = random_next(&state);

        durations[index] = (int64_t)(number >> (24 + random_next(&state) % 40));
        histogram_add(&histogram, durations[index]);
    }
    qsort(durations, DURATIONS, sizeof(*durations), by_duration);
    for (unsigned rank = 0; rank <= DURATIONS; rank++) {
        uint64_t exact = (uint64_t)durations[rank > 0 ? rank - 1 : 0];
        uint64_t bound = aio_histogram_bound(histogram_bucket(exact));
        uint64_t longest = (uint64_t)durations[DURATIONS - 1];
        uint64_t given = aio_histogram_percentile(&histogram, rank / 16.0);

        REQUIRE_EQ(given, bound < longest ? bound : longest);
        REQUIRE(given >= before);
        before = given;
    }
    free(durations);
}
END_TEST

START_TEST(any_count_has_percentiles)
{
    struct aio_histogram histogram = {.count = UINT64_MAX, .max_ns = 1000};

    histogram.buckets[3] = UINT64_C(1) << 63;
    histogram.buckets[histogram_bucket(1000)] = (UINT64_C(1) << 63) - 1;
    REQUIRE_EQ(aio_histogram_percentile(&histogram, 49), 3);
    REQUIRE_EQ(aio_histogram_percentile(&histogram, 51), 1000);
    REQUIRE_EQ(aio_histogram_percentile(&histogram, 100), 1000);
    /* A copy that was cut. */
    memset(histogram.buckets, 0, sizeof(histogram.buckets));
    REQUIRE_EQ(aio_histogram_percentile(&histogram, 50), 1000);
}
END_TEST

/* --- what is none --------------------------------------------------------------------------- */

/* Programs that want to be told of floating-point mistakes are not told of this one. */
START_TEST(what_is_no_percentage_is_nothing)
{
    static const double wrong[] = {NAN,     -NAN,         -1,       -DBL_MIN,
                                   -100,    100.00000001, INFINITY, -(double)INFINITY,
                                   DBL_MAX, -DBL_MAX};
    const int exceptions = FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW;
    struct aio_histogram histogram = {0};

    histogram_add(&histogram, 77);
    REQUIRE(feclearexcept(FE_ALL_EXCEPT) == 0);
    for (size_t index = 0; index < COUNT(wrong); index++) {
        REQUIRE_EQ(aio_histogram_percentile(&histogram, wrong[index]), 0);
        REQUIRE_EQ(fetestexcept(exceptions), 0);
    }
    REQUIRE_EQ(aio_histogram_percentile(&histogram, -0.0), 77);
    REQUIRE_EQ(aio_histogram_percentile(&histogram, DBL_MIN), 77);
    REQUIRE_EQ(fetestexcept(exceptions), 0);
    histogram = (struct aio_histogram){0};
    for (double percent = 0; percent <= 100; percent += 25) {
        REQUIRE_EQ(aio_histogram_percentile(&histogram, percent), 0);
        REQUIRE_EQ(aio_histogram_percentile(NULL, percent), 0);
    }
    REQUIRE_EQ(aio_histogram_percentile(NULL, NAN), 0);
    REQUIRE_EQ(aio_histogram_percentile(&histogram, NAN), 0);
    REQUIRE_EQ(fetestexcept(exceptions), 0);
}
END_TEST

static Suite *histogram_suite(void)
{
    Suite *suite = suite_create("histogram");

    ADD_TESTS(suite, "buckets", buckets_follow_one_another, the_last_bucket_has_all_the_rest,
              every_duration_is_between_the_bounds_of_its_bucket, durations_are_added);
    ADD_TESTS(suite, "percentiles", small_durations_have_exact_percentiles,
              one_duration_is_every_percentile, nothing_is_below_the_first,
              any_count_has_percentiles, what_is_no_percentage_is_nothing);
    add_loop_test(suite, "sorted", percentiles_are_those_of_the_sorted_durations, 8);
    return suite;
}

int main(void)
{
    return run_suite(histogram_suite);
}
