/* SPDX-License-Identifier: MIT */
/* test_options.c - options that are wrong, refused or ignored: what is run, and what is said. */
#include "fio_names.h"
#include "options.h"
#include "tool_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* How often a part is in a text. */
static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;

    for (; (text = strstr(text, part)) != NULL; text++)
        count++;
    return count;
}

static void write_job(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static const char *const nothing_runs[] = {
    "--name=w --rw=write --size=64k --name=x --rw=write --size=64k --sise=1m",
    "--name=w --rw=write --size=64k --name=x --rw=write --size=64k --uid=5",
    "--name=w --rw=write --size=64k --name=x --ioengine=rbd --size=64k",
    "--name=w --rw=write --size=64k --thread --warnings-fatal",
    "--name=w --rw=write --size=64k --uid=5 --lenient --warnings-fatal",
    "--name=w --rw=write --size=64k --sise=5 --lenient",
    "--name=w --rw=write --size=64k --ioengine=nothing --lenient",
    "--name=w --rw=write --size=64k --uid --lenient",
    "--name=w --rw=write --size=64k --client=host",
    "--name=w --rw=write --size=64k typo.fio",
};

START_TEST(nothing_is_run_for_what_is_not_supported)
{
    struct run_result result;

    write_job("typo.fio", "[j]\nsize=1m\n[k]\niodpeth=2\n");
    result = RUN(nothing_runs[_i], 1);
    ck_assert_str_eq(result.out, "");
    ck_assert_str_ne(result.errors, "");
    ck_assert_msg(access("w.0.0", F_OK) != 0, "the file was made");
    run_result_free(&result);
}
END_TEST

START_TEST(lenient_runs_without_the_option_and_says_so)
{
    struct run_result result =
        RUN("--name=w --rw=write --size=64k --uid=5 --lenient --unlink=1", 0);

    REQUIRE_TEXT(result.out, "err= 0");
    ck_assert_uint_eq(count_of(result.errors, "note: skipped: --uid: "), 1);
    run_result_free(&result);
}
END_TEST

START_TEST(all_refusals_are_told_with_their_places)
{
    struct run_result result;

    write_job("refused.fio", "[global]\nuid=5\n\n[a]\nsize=1m\nlockmem=1g\nthread\n");
    result = RUN("refused.fio --profile=p", 1);
    REQUIRE_TEXT(result.errors, "aiofio: refused.fio:2: option 'uid' is not supported because ");
    REQUIRE_TEXT(result.errors, "aiofio: refused.fio:6: option 'lockmem' is not supported");
    REQUIRE_TEXT(result.errors, "aiofio: --profile: option 'profile' is not supported because ");
    REQUIRE_TEXT(result.errors, "nothing was run (--lenient goes on without these options)");
    run_result_free(&result);
}
END_TEST

START_TEST(what_is_ignored_is_said_once)
{
    struct run_result result;

    write_job("hints.fio", "[global]\nsize=1m\nthread\n[a]\nthread=1\nuserspace_reap=1\n"
                           "[b]\nuserspace_reap=0\n");
    result = RUN("--parse-only --thread hints.fio hints.fio", 0);
    ck_assert_uint_eq(count_of(result.errors, "option 'thread' is ignored: "), 1);
    ck_assert_uint_eq(count_of(result.errors, "option 'userspace_reap' is ignored: "), 1);
    run_result_free(&result);
}
END_TEST

START_TEST(kib_is_warned_of_once)
{
    struct run_result result;

    write_job("kib.fio", "[a]\nsize=8kib\nbs=4kib\n[b]\nsize=8kib\n[c]\nkb_base=1000\nsize=8kib\n");
    result = RUN("--showcmd kib.fio", 0);
    ck_assert_uint_eq(count_of(result.errors, "note: "), 1);
    REQUIRE_TEXT(result.errors, "kib.fio:2: '8kib' is 8000 bytes");
    REQUIRE_TEXT(result.out, "--name=c --size=8192");
    run_result_free(&result);
}
END_TEST

/* The order of a section's lines means nothing, whatever they are. */
START_TEST(lines_of_a_section_may_stand_in_any_order)
{
    static const char *const lines[] = {"kb_base=1000", "size=4kib", "bs=1k", "iodepth=7",
                                        "ioengine=libaio"};
    char first[4096] = "";

    for (int turn = 0; turn < COUNT(lines); turn++) {
        char text[512] = "[j]\n";
        struct run_result result;

        for (int i = 0; i < COUNT(lines); i++) {
            strcat(text, lines[(i + turn) % COUNT(lines)]);
            strcat(text, "\n");
        }
        write_job("order.fio", text);
        result = RUN("--showcmd order.fio", 0);
        if (turn == 0)
            snprintf(first, sizeof(first), "%s", result.out);
        ck_assert_str_eq(result.out, first);
        REQUIRE_TEXT(result.out, "--bs=1000 --size=4096");
        run_result_free(&result);
    }
}
END_TEST

/* With its default an option of fio asks for what is done anyway. */
START_TEST(the_defaults_of_fio_are_accepted)
{
    for (const struct fio_option *option = fio_options; option->name; option++) {
        struct job_options job;
        struct message message = {0};

        if (!option->initial || option_find(option->name))
            continue;
        job_options_init(&job);
        ck_assert_msg(option_set(&job, option->name, option->initial, &message) == 0, "%s",
                      message.text);
        ck_assert_str_eq(message.note, "");
        job_options_free(&job);
    }
}
END_TEST

START_TEST(every_option_of_fio_has_a_reason)
{
    for (const struct fio_option *option = fio_options; option->name; option++) {
        struct job_options job;
        struct message message = {0};
        int result;

        ck_assert_msg(strlen(option->reason) > 10, "%s", option->name);
        ck_assert_ptr_eq(fio_option_find(option->name), option);
        if (option_find(option->name))
            continue;
        job_options_init(&job);
        result = option_set(&job, option->name, "1", &message);
        if (result)
            ck_assert_msg(message.refused, "%s: %s", option->name, message.text);
        job_options_free(&job);
    }
}
END_TEST

static const char *const helps[][2] = {
    {"--cmdhelp=bs", "default: 4096"},
    {"--cmdhelp=blocksize", "bs: bytes of each operation"},
    {"--cmdhelp=zonemode", "because: zoned"},
    {"--cmdhelp=thread", "thread: ignored"},
    {"--cmdhelp", "Known to fio but not supported:"},
    {"--cmdhelp=all", "numjobs"},
    {"--cmdhelp=man", ".TH AIOFIO 1"},
    {"--cmdhelp=markdown", "| `bs` | `blocksize` |"},
    {"--cmdhelp=markdown", "| `--max-jobs` | ignored |"},
    {"--enghelp", "libaio"},
    {"--enghelp=io_uring", "struct aio_queue on io_uring"},
    {"--enghelp=libaio,iodepth", "operations in flight"},
    {"--help", "--lenient"},
    {"--version", "aiofio-"},
    {"-v", "aiofio-"},
};

START_TEST(help_is_there)
{
    struct run_result result = RUN(helps[_i][0], 0);

    REQUIRE_TEXT(result.out, helps[_i][1]);
    ck_assert_str_eq(result.errors, "");
    run_result_free(&result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tests = tcase_create("options");

    tcase_add_unchecked_fixture(tests, enter_folder, leave_folder);
    tcase_add_loop_test(tests, nothing_is_run_for_what_is_not_supported, 0, COUNT(nothing_runs));
    tcase_add_test(tests, lenient_runs_without_the_option_and_says_so);
    tcase_add_test(tests, all_refusals_are_told_with_their_places);
    tcase_add_test(tests, what_is_ignored_is_said_once);
    tcase_add_test(tests, kib_is_warned_of_once);
    tcase_add_test(tests, lines_of_a_section_may_stand_in_any_order);
    tcase_add_test(tests, the_defaults_of_fio_are_accepted);
    tcase_add_test(tests, every_option_of_fio_has_a_reason);
    tcase_add_loop_test(tests, help_is_there, 0, COUNT(helps));
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
