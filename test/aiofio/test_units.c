/* SPDX-License-Identifier: MIT */
/* test_units.c - numbers with units, expressions, the words of messages. */
#include "text.h"
#include "units.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define K UINT64_C(1024)

struct size_case {
    const char *text;
    uint64_t value;
};

static const struct size_case good_sizes[] = {
    {"0", 0},
    {"1", 1},
    {"512", 512},
    {"4k", 4 * K},
    {"4K", 4 * K},
    {"4kb", 4 * K},
    {"4KB", 4 * K},
    {"1b", 1},
    {"3m", 3 * K *K},
    {"2g", 2 * K *K *K},
    {"1t", K *K *K *K},
    {"1p", K *K *K *K *K},
    {"0x1000", 4096},
    {"0X10k", 16 * K},
    {"1.5g", 3 * K *K *K / 2},
    {"0.5k", 512},
    {".5k", 512},
    {"4 k", 4 * K},
    {"18446744073709551615", UINT64_MAX},
    {"(2*4k)", 8 * K},
    {"(1+2*3)", 7},
    {"((1+2)*3)", 9},
    {"( 10 - 4 / 2 )", 8},
    {"(0x10*2)", 32},
    {"(3/2*4k)", 6 * K},
    {"(10/4)", 2},
    {"(1.5*4k)", 6 * K},
    {"(1-2+3)", 2},
    {"(18446744073709551615)", UINT64_MAX},
    {"9000000.5t", UINT64_C(9895605199739813888)},
};

START_TEST(sizes_are_read)
{
    struct message message = {0};
    uint64_t value = 1;

    ck_assert_msg(units_size(good_sizes[_i].text, &value, &message) == 0, "%s: %s",
                  good_sizes[_i].text, message.text);
    ck_assert_uint_eq(value, good_sizes[_i].value);
    ck_assert_str_eq(message.note, "");
}
END_TEST

static const char *const bad_sizes[] = {
    "",          "k",
    "-1",        "4kfoo",
    "1.5",       "x",
    "0x",        "0xg",
    "4ki",       "1e3",
    "1..5k",     "10%",
    "4k,8k",     "4k-8k",
    "4:8",       "1.",
    ".",         "18446744073709551616",
    "99999999p", "20000000.5t",
    "()",        "(1",
    "(1))",      "(1/0)",
    "(1-2)",     "(1+)",
    "(2)k",      "(18446744073709551615*2)",
    "(0.0/0.0)", "(1/0.0)",
    "(4kfoo)",   "(4k 5k)",
};

START_TEST(other_sizes_are_refused)
{
    struct message message = {0};
    uint64_t value = 0;

    ck_assert_msg(units_size(bad_sizes[_i], &value, &message) == -1, "'%s' passed as %llu",
                  bad_sizes[_i], (unsigned long long)value);
    ck_assert_str_ne(message.text, "");
}
END_TEST

START_TEST(deep_parentheses_do_not_exhaust_the_stack)
{
    char text[100001];
    struct message message = {0};
    uint64_t value;

    memset(text, '(', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ck_assert_int_eq(units_size(text, &value, &message), -1);
}
END_TEST

START_TEST(kib_is_a_thousand_with_a_note)
{
    struct message message = {0};
    uint64_t value = 0;

    ck_assert_int_eq(units_size("4kib", &value, &message), 0);
    ck_assert_uint_eq(value, 4000);
    ck_assert_ptr_nonnull(strstr(message.note, "4000"));
    ck_assert_int_eq(units_size("1GiB", &value, &message), 0);
    ck_assert_uint_eq(value, 1000000000);
}
END_TEST

static const struct size_case decimal_sizes[] = {
    {"4k", 4000},          {"4kib", 4 * K},    {"3M", 3000000}, {"3mib", 3 * K *K},
    {"(2*1k+1kib)", 3024}, {"1g", 1000000000}, {"7", 7},        {"0x10", 16},
};

START_TEST(kb_base_1000_turns_units_round)
{
    struct message message = {0};
    uint64_t value = 0;

    ck_assert_int_eq(units_size_in(decimal_sizes[_i].text, 1000, &value, &message), 0);
    ck_assert_uint_eq(value, decimal_sizes[_i].value);
    ck_assert_str_eq(message.note, "");
}
END_TEST

static const char *const refused_sizes[] = {"10%", "4k,8k", "4k-8k", "4:8", "4k,"};

START_TEST(what_fio_has_is_refused_and_not_wrong)
{
    struct message message = {0};
    uint64_t value = 0;

    ck_assert_int_eq(units_size(refused_sizes[_i], &value, &message), -1);
    ck_assert(message.refused);
    message = (struct message){0};
    ck_assert_int_eq(units_size("4kfoo", &value, &message), -1);
    ck_assert(!message.refused);
}
END_TEST

struct time_case {
    const char *text;
    uint64_t value_us;
};

static const struct time_case good_times[] = {
    {"0", 0},
    {"30", 30000000},
    {"1s", 1000000},
    {"1sec", 1000000},
    {"0.5s", 500000},
    {"2m", 120000000},
    {"1min", 60000000},
    {"3h", UINT64_C(10800000000)},
    {"1hour", UINT64_C(3600000000)},
    {"1d", UINT64_C(86400000000)},
    {"250ms", 250000},
    {"250msec", 250000},
    {"7us", 7},
    {"7usec", 7},
    {"(2*30)", 60000000},
    {"(2*30s)", 60000000},
    {"(1m + 500ms)", 60500000},
    {"(0.5)", 500000},
    {"(1m/4)", 15000000},
};

START_TEST(times_are_read)
{
    struct message message = {0};
    uint64_t value = 1;

    ck_assert_msg(units_time(good_times[_i].text, 1000000, &value, &message) == 0, "%s: %s",
                  good_times[_i].text, message.text);
    ck_assert_uint_eq(value, good_times[_i].value_us);
}
END_TEST

static const char *const bad_times[] = {"",    "s",     "-1s",   "1x",   "1 fortnight", "5k",
                                        "1s1", "(1-2)", "(1/0)", "(1k)", "(2)s"};

START_TEST(other_times_are_refused)
{
    struct message message = {0};
    uint64_t value;

    ck_assert_int_eq(units_time(bad_times[_i], 1000000, &value, &message), -1);
    ck_assert_str_ne(message.text, "");
}
END_TEST

struct print_case {
    double value;
    const char *binary;
    const char *decimal;
    const char *count;
};

static const struct print_case printed[] = {
    {0, "0B", "0B", "0"},
    {512, "512B", "512B", "512"},
    {4096, "4096B", "4096B", "4096"},
    {9999, "9999B", "9999B", "9999"},
    {10000, "9.77KiB", "10.0kB", "10.0k"},
    {26300, "25.7KiB", "26.3kB", "26.3k"},
    {8192.0 * 1024, "8192KiB", "8389kB", "8389k"},
    {16.0 * 1024 * 1024, "16.0MiB", "16.8MB", "16.8M"},
    {256.0 * 1024 * 1024, "256MiB", "268MB", "268M"},
    {5627000, "5495KiB", "5627kB", "5627k"},
};

START_TEST(numbers_have_four_characters)
{
    char out[UNITS_TEXT];

    ck_assert_str_eq(units_print_binary(out, printed[_i].value), printed[_i].binary);
    ck_assert_str_eq(units_print_decimal(out, printed[_i].value), printed[_i].decimal);
    ck_assert_str_eq(units_print_count(out, printed[_i].value), printed[_i].count);
}
END_TEST

START_TEST(distance_counts_slips_of_the_finger)
{
    ck_assert_uint_eq(text_distance("iodepth", "iodepth"), 0);
    ck_assert_uint_eq(text_distance("iodpeth", "iodepth"), 1);
    ck_assert_uint_eq(text_distance("iodept", "iodepth"), 1);
    ck_assert_uint_eq(text_distance("iodeppth", "iodepth"), 1);
    ck_assert_uint_eq(text_distance("iodexth", "iodepth"), 1);
    ck_assert_uint_eq(text_distance("", "rw"), 2);
    ck_assert_uint_eq(text_distance("kitten", "sitting"), 3);
    /* Beyond the room of the table: far, and nothing overflows. */
    ck_assert_uint_ge(
        text_distance("a very long name that no option has, nor will ever have", "rw"), 20);
}
END_TEST

START_TEST(messages_are_cut_and_not_overrun)
{
    char longest[3000];
    struct message message;

    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    message_set(&message, "%s", longest);
    message_prefix(&message, "%s", "place");
    ck_assert_uint_eq(strlen(message.text), sizeof(message.text) - 1);
    ck_assert_int_eq(strncmp(message.text, "place: xxx", 10), 0);
    message_prefix(&message, "%s", longest);
    ck_assert_uint_eq(strlen(message.text), sizeof(message.text) - 1);
}
END_TEST

static Suite *units_suite(void)
{
    Suite *suite = suite_create("units");
    TCase *tests = tcase_create("units");

    tcase_add_loop_test(tests, sizes_are_read, 0, COUNT(good_sizes));
    tcase_add_loop_test(tests, other_sizes_are_refused, 0, COUNT(bad_sizes));
    tcase_add_test(tests, deep_parentheses_do_not_exhaust_the_stack);
    tcase_add_test(tests, kib_is_a_thousand_with_a_note);
    tcase_add_loop_test(tests, kb_base_1000_turns_units_round, 0, COUNT(decimal_sizes));
    tcase_add_loop_test(tests, what_fio_has_is_refused_and_not_wrong, 0, COUNT(refused_sizes));
    tcase_add_loop_test(tests, times_are_read, 0, COUNT(good_times));
    tcase_add_loop_test(tests, other_times_are_refused, 0, COUNT(bad_times));
    tcase_add_loop_test(tests, numbers_have_four_characters, 0, COUNT(printed));
    tcase_add_test(tests, distance_counts_slips_of_the_finger);
    tcase_add_test(tests, messages_are_cut_and_not_overrun);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(units_suite());
    int failures;

    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
