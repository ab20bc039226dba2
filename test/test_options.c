/* SPDX-License-Identifier: MIT */
/*
 * test_options.c - structs that carry their own size, from older and newer programs.
 */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "support.h"

/* What this version knows; its first version had no more than the minimum. */
struct known {
    size_t size;
    uint32_t first;
    uint32_t second;
    uint64_t third;
};

#define MINIMUM offsetof(struct known, second)

static const struct known defaults = {sizeof(struct known), 1, 2, 3};

START_TEST(a_struct_of_this_version_is_taken_whole)
{
    struct known options = defaults;
    struct known given = {sizeof(given), 10, 20, 30};

    REQUIRE_EQ(options_read(&options, sizeof(options), MINIMUM, &given), 0);
    REQUIRE(memcmp(&options, &given, sizeof(options)) == 0);
}
END_TEST

START_TEST(a_shorter_one_leaves_the_rest_as_it_was)
{
    /* Exactly as long as it says: a read beyond is one past the end of the memory. */
    size_t sizes[] = {MINIMUM, offsetof(struct known, third)};

    for (size_t index = 0; index < COUNT(sizes); index++) {
        struct known options = defaults;
        unsigned char *given = malloc(sizes[index]);
        struct known whole = {sizes[index], 10, 20, 30};

        memcpy(given, &whole, sizes[index]);
        REQUIRE_EQ(options_read(&options, sizeof(options), MINIMUM, given), 0);
        REQUIRE_EQ(options.first, 10);
        REQUIRE_EQ(options.second, index == 0 ? 2 : 20);
        REQUIRE_EQ(options.third, 3);
        free(given);
    }
}
END_TEST

START_TEST(a_size_below_the_minimum_is_refused)
{
    struct known options = defaults;
    size_t sizes[] = {0, 1, sizeof(size_t), MINIMUM - 1};

    for (size_t index = 0; index < COUNT(sizes); index++) {
        struct known given = {sizes[index], 10, 20, 30};

        REQUIRE_EQ(options_read(&options, sizeof(options), MINIMUM, &given), -EINVAL);
        REQUIRE_EQ(options_write(&given, MINIMUM, &options, sizeof(options)), -EINVAL);
        REQUIRE(options.first == 1 && given.first == 10);
    }
}
END_TEST

START_TEST(a_longer_one_must_be_zero_beyond_what_is_known)
{
    struct {
        struct known known;
        unsigned char tail[40];
    } given = {.known = {sizeof(given), 10, 20, 30}};

    for (size_t place = 0; place < sizeof(given.tail); place++) {
        struct known options = defaults;

        REQUIRE_EQ(options_read(&options, sizeof(options), MINIMUM, &given), 0);
        REQUIRE_EQ(options.third, 30);
        options = defaults;
        given.tail[place] = 1;
        REQUIRE_EQ(options_read(&options, sizeof(options), MINIMUM, &given), -E2BIG);
        REQUIRE_EQ(options.third, 3);
        given.tail[place] = 0;
    }
}
END_TEST

START_TEST(a_result_fills_as_much_as_there_is_room_for)
{
    struct {
        struct known known;
        unsigned char tail[8];
    } result;

    for (size_t size = MINIMUM; size <= sizeof(result); size++) {
        size_t valid = size < sizeof(struct known) ? size : sizeof(struct known);
        unsigned char *bytes = (unsigned char *)&result;

        memset(&result, 0xee, sizeof(result));
        result.known.size = size;
        REQUIRE_EQ(options_write(&result, MINIMUM, &defaults, sizeof(defaults)), 0);
        REQUIRE_EQ(result.known.size, valid);
        REQUIRE(memcmp(&result.known.first, &defaults.first, valid - sizeof(size_t)) == 0);
        for (size_t place = valid; place < sizeof(result); place++)
            REQUIRE_EQ(bytes[place], 0xee);
    }
}
END_TEST

static Suite *options_suite(void)
{
    Suite *suite = suite_create("options");

    ADD_TESTS(suite, "options", a_struct_of_this_version_is_taken_whole,
              a_shorter_one_leaves_the_rest_as_it_was, a_size_below_the_minimum_is_refused,
              a_longer_one_must_be_zero_beyond_what_is_known,
              a_result_fills_as_much_as_there_is_room_for);
    return suite;
}

int main(void)
{
    return run_suite(options_suite);
}
