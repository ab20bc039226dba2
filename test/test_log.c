/* SPDX-License-Identifier: MIT */
/*
 * test_log.c - sentences for the caller's log.
 */
#include "log.h"

#include <string.h>

#include "support.h"

static struct {
    unsigned count;
    void *context;
    int level;
    size_t length;
    char message[600];
} heard;

static void hear(void *context, int level, const char *message)
{
    heard.count++;
    heard.context = context;
    heard.level = level;
    heard.length = strlen(message);
    strncpy(heard.message, message, sizeof(heard.message) - 1);
    errno = EPIPE; /* as a function that writes somewhere may leave it */
}

START_TEST(a_sentence_arrives_as_it_was_said)
{
    struct log log = {hear, &heard};

    log_say(&log, AIO_LOG_WARNING, "%s %d %%", "number", -5);
    REQUIRE_EQ(heard.count, 1);
    REQUIRE(heard.context == &heard);
    REQUIRE_EQ(heard.level, AIO_LOG_WARNING);
    REQUIRE(strcmp(heard.message, "number -5 %") == 0);
}
END_TEST

START_TEST(a_long_sentence_is_cut)
{
    struct log log = {hear, NULL};
    char text[1000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_say(&log, AIO_LOG_ERROR, "%s", text);
    REQUIRE_EQ(heard.length, 511);
    log_say(&log, AIO_LOG_ERROR, "%.511s", text);
    REQUIRE_EQ(heard.length, 511);
    log_say(&log, AIO_LOG_ERROR, "%.510s", text);
    REQUIRE_EQ(heard.length, 510);
}
END_TEST

START_TEST(without_a_function_nothing_happens)
{
    struct log log = {NULL, &heard};

    log_say(&log, AIO_LOG_ERROR, "nobody hears %d", 1);
    REQUIRE_EQ(heard.count, 0);
}
END_TEST

START_TEST(errno_is_the_callers)
{
    struct log log = {hear, NULL};

    errno = ERRNO_MARK;
    log_say(&log, AIO_LOG_INFO, "a word");
    REQUIRE_EQ(errno, ERRNO_MARK);
}
END_TEST

static Suite *log_suite(void)
{
    Suite *suite = suite_create("log");

    ADD_TESTS(suite, "log", a_sentence_arrives_as_it_was_said, a_long_sentence_is_cut,
              without_a_function_nothing_happens, errno_is_the_callers);
    return suite;
}

int main(void)
{
    return run_suite(log_suite);
}
