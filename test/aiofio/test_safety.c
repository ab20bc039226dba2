/* SPDX-License-Identifier: MIT */
/*
 * test_safety.c - files that aiofio did not make stay as they are, byte for byte, unless the user
 * says otherwise; and nothing outside a job's region is ever written.
 */
#include "tool_support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SIZE ((size_t)64 * 1024)

static const char *const refused[] = {
    "--name=j --filename=mine --rw=write --size=128k",
    "--name=j --filename=mine --rw=randwrite --size=128k --verify=crc32c",
    "--name=j --filename=mine --rw=randwrite --size=128k --direct=%d --ioengine=kaio --iodepth=4",
    "--name=j --filename=mine --rw=rw --offset=32k --size=64k",
    "--name=j --filename=mine --rw=randrw --offset=60k --size=8k",
    "--name=j --filename=mine --rw=append --bs=100 --size=1000",
    "--name=j --filename=mine --rw=write --size=64k --unlink=1",
    "--name=mine --rw=write --size=64k",
    "--name=j --filename=./mine --rw=write --size=1m",
    "--name=j --filename=link --rw=write --size=128k",
    "--name=j --filename=hard --rw=write --size=128k",
    "--name=j --filename=empty --rw=write --size=64k",
    "--name=j --filename=mine --rw=read --size=1m",
    "--name=j --filename=mine --rw=read --size=4k --offset=64k",
    "--name=j --filename=mine --rw=read --unlink=1",
    "--name=a --filename=new --rw=write --size=64k --name=j --filename=mine --rw=write --size=68k",
    "--name=j --filename=mine --rw=write --size=64k --readonly",
    "--name=j --filename=new --rw=read --size=64k --readonly",
    "--name=j --filename=. --rw=write --size=64k",
    "--name=j --filename=pipe --rw=write --size=64k",
    "--name=j --filename=/dev/zero --rw=write --size=64k",
    "--name=j --filename=nowhere --rw=write --size=64k",
    "--name=j --filename=missing/new --rw=write --size=64k",
    "--name=j --filename=mine --rw=read --output=mine",
    "--name=j --rw=read --filename=new --size=64k --output=mine",
};

static void make_files(void)
{
    make_file("mine", SIZE, 'u');
    make_file("mine.0.0", SIZE, 'u');
    make_file("empty", 0, 0);
    ck_assert_int_eq(symlink("mine", "link"), 0);
    ck_assert_int_eq(symlink("nothing", "nowhere"), 0);
    ck_assert_int_eq(link("mine", "hard"), 0);
    ck_assert_int_eq(mkfifo("pipe", 0600), 0);
}

START_TEST(a_file_of_somebody_else_is_left_alone)
{
    struct stat before;
    struct stat after;
    size_t sizes[2];
    unsigned char *contents[2];
    struct run_result result;

    make_files();
    contents[0] = load_file("mine", &sizes[0]);
    ck_assert_int_eq(stat("mine", &before), 0);
    result = RUN(refused[_i], 1);
    ck_assert_str_eq(result.out, "");
    ck_assert_str_ne(result.errors, "");

    contents[1] = load_file("mine", &sizes[1]);
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert_int_eq(memcmp(contents[0], contents[1], sizes[0]), 0);
    ck_assert_int_eq(stat("mine", &after), 0);
    ck_assert_int_eq(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    ck_assert_int_eq(before.st_blocks, after.st_blocks);
    ck_assert_int_eq(stat("empty", &after), 0);
    ck_assert_int_eq(after.st_size, 0);
    /* Nothing runs and nothing is made before every job has passed. */
    ck_assert_int_ne(access("new", F_OK), 0);
    ck_assert_int_ne(access("nothing", F_OK), 0);
    free(contents[0]);
    free(contents[1]);
    run_result_free(&result);
}
END_TEST

START_TEST(the_refusal_names_file_and_remedy)
{
    struct run_result result;

    make_files();
    result = RUN("--name=j --filename=mine --rw=write --size=128k", 1);
    REQUIRE_TEXT(result.errors, "'mine'");
    REQUIRE_TEXT(result.errors, "overwrite=1");
    REQUIRE_TEXT(result.errors, "--force");
    run_result_free(&result);

    result = RUN("--name=j --filename=mine --rw=read --size=1m", 1);
    REQUIRE_TEXT(result.errors, "needs 1048576 bytes");
    REQUIRE_TEXT(result.errors, "has 65536");
    run_result_free(&result);
}
END_TEST

static const char *const allowed[] = {
    "--name=j --filename=mine --rw=write --offset=8k --size=10k",
    "--name=j --filename=hard --rw=write --offset=8k --size=10k",
    "--name=j --filename=mine --rw=write --offset=8k --size=10k --overwrite=1",
    "--name=j --filename=mine --rw=randwrite --offset=8k --size=10k --force",
    "--name=j --filename=mine --rw=write --offset=8k --size=10k --overwrite=1 --verify=crc32c",
    "--name=j --filename=mine --rw=write --offset=8k --size=10k --overwrite=1 --time_based "
    "--runtime=0.1",
    "--name=j --filename=mine --rw=write --offset=8k --size=10k --overwrite=1 --direct=%d "
    "--ioengine=kaio --iodepth=16",
};

/* Two blocks of 4 KiB fit into 10 KiB; the third would reach beyond the region. */
START_TEST(only_the_region_is_written)
{
    size_t sizes[2];
    unsigned char *contents[2];
    struct run_result result;

    make_files();
    contents[0] = load_file("mine", &sizes[0]);
    result = RUN(allowed[_i], 0);
    contents[1] = load_file("mine", &sizes[1]);
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert_int_eq(memcmp(contents[0], contents[1], 8192), 0);
    ck_assert_int_ne(memcmp(contents[0] + 8192, contents[1] + 8192, 4096), 0);
    ck_assert_int_ne(memcmp(contents[0] + 12288, contents[1] + 12288, 4096), 0);
    ck_assert_int_eq(memcmp(contents[0] + 16384, contents[1] + 16384, SIZE - 16384), 0);
    free(contents[0]);
    free(contents[1]);
    run_result_free(&result);
}
END_TEST

START_TEST(an_allowed_file_may_grow_and_keeps_its_content)
{
    size_t size;
    unsigned char *content;
    struct run_result result;

    make_files();
    result = RUN("--name=j --filename=mine --rw=write --offset=64k --size=64k --overwrite=1", 0);
    content = load_file("mine", &size);
    ck_assert_uint_eq(size, 2 * SIZE);
    for (size_t i = 0; i < SIZE; i++)
        if (content[i] != 'u' + i / 512 % 7)
            ck_abort_msg("byte %zu was changed", i);
    free(content);
    run_result_free(&result);
}
END_TEST

START_TEST(its_own_files_are_written_again)
{
    static const char *const ways[] = {
        "--name=j --filename=own --rw=write --size=64k",
        "--name=j --filename=own --rw=randwrite --size=64k --verify=crc32c",
        "--name=j --filename=own --rw=randrw --size=64k",
        "--name=j --filename=own --rw=read --size=64k",
        "--name=j --filename=own --rw=randwrite --size=128k --ioengine=aiofile:sync --iodepth=4",
        "--name=j --filename=own --rw=read --size=128k --unlink=1",
    };

    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct run_result result = RUN(ways[i], 0);

        run_result_free(&result);
    }
    ck_assert_int_ne(access("own", F_OK), 0);
}
END_TEST

/* A job that never writes the first block leaves the label that was put there at the beginning. */
START_TEST(a_file_is_known_by_its_first_sector)
{
    struct run_result result = RUN("--name=j --filename=own --rw=write --offset=64k --size=64k", 0);
    unsigned char byte = 0;

    run_result_free(&result);
    removexattr("own", TARGET_LABEL);
    result = RUN("--name=j --filename=own --rw=write --offset=64k --size=128k", 0);
    run_result_free(&result);
    removexattr("own", TARGET_LABEL);
    load_bytes("own", &byte, 1, 100);
    byte ^= 1;
    store_bytes("own", &byte, 1, 100);
    result = RUN("--name=j --filename=own --rw=write --offset=64k --size=192k", 1);
    run_result_free(&result);
}
END_TEST

/* Its content may be anything. */
START_TEST(a_file_is_known_by_its_attribute)
{
    struct run_result result =
        RUN("--name=j --filename=own --rw=write --size=64k --zero_buffers", 0);

    run_result_free(&result);
    if (getxattr("own", TARGET_LABEL, NULL, 0) < 0)
        return; /* a file system without attributes */
    result = RUN("--name=j --filename=own --rw=write --size=64k", 0);
    run_result_free(&result);
    result = RUN("--name=j --filename=own --rw=write --size=64k --zero_buffers", 0);
    run_result_free(&result);
    ck_assert_int_eq(removexattr("own", TARGET_LABEL), 0);
    result = RUN("--name=j --filename=own --rw=write --size=128k", 1);
    run_result_free(&result);
}
END_TEST

static void replace_file(void *context, const struct plan *plan, unsigned group)
{
    (void)context;
    (void)plan;
    if (group != 1)
        return;
    make_file("theirs", SIZE, 'x');
    ck_assert_int_eq(rename("theirs", "own"), 0);
}

START_TEST(a_file_put_in_its_place_is_noticed)
{
    struct run_hooks hooks = {NULL, replace_file, NULL};
    size_t size;
    unsigned char *content;
    struct run_result result =
        RUN_HOOKED("--filename=own --size=64k --unlink=1 --name=a --rw=write --name=b "
                   "--stonewall --rw=write",
                   &hooks, 2);

    REQUIRE_TEXT(result.out, "was replaced by another file");
    content = load_file("own", &size);
    ck_assert_uint_eq(content[0], 'x');
    free(content);
    run_result_free(&result);
}
END_TEST

START_TEST(a_file_that_could_not_be_made_is_gone_again)
{
    struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
    struct run_result result;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    result = RUN("--name=j --filename=new --rw=write --size=4m", 2);
    ck_assert_int_ne(access("new", F_OK), 0);
    run_result_free(&result);
    result = RUN("--name=j --filename=new --rw=read --size=4m", 2);
    REQUIRE_TEXT(result.errors, "File too large");
    ck_assert_int_ne(access("new", F_OK), 0);
    run_result_free(&result);
}
END_TEST

START_TEST(an_older_report_is_replaced)
{
    const char *command = "--name=j --filename=own --rw=write --size=64k --output=report";
    struct run_result result = RUN(command, 0);
    size_t size;
    unsigned char *content;

    ck_assert_str_eq(result.out, "");
    run_result_free(&result);
    result = RUN(command, 0);
    content = load_file("report", &size);
    content[size] = '\0';
    REQUIRE_TEXT((char *)content, "Run status group 0");
    free(content);
    run_result_free(&result);

    make_files();
    result = RUN("--name=j --filename=own --rw=write --size=64k --output=mine --force", 0);
    run_result_free(&result);
}
END_TEST

static Suite *safety_suite(void)
{
    Suite *suite = suite_create("safety");
    TCase *tests = tcase_create("safety");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, enter_folder, leave_folder);
    tcase_add_loop_test(tests, a_file_of_somebody_else_is_left_alone, 0,
                        (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(tests, the_refusal_names_file_and_remedy);
    tcase_add_loop_test(tests, only_the_region_is_written, 0,
                        (int)(sizeof(allowed) / sizeof(allowed[0])));
    tcase_add_test(tests, an_allowed_file_may_grow_and_keeps_its_content);
    tcase_add_test(tests, its_own_files_are_written_again);
    tcase_add_test(tests, a_file_is_known_by_its_first_sector);
    tcase_add_test(tests, a_file_is_known_by_its_attribute);
    tcase_add_test(tests, a_file_put_in_its_place_is_noticed);
    tcase_add_test(tests, a_file_that_could_not_be_made_is_gone_again);
    tcase_add_test(tests, an_older_report_is_replaced);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return run_suite(safety_suite());
}
