/* SPDX-License-Identifier: MIT */
/* test_run.c - whole runs: what is done, what is said, and with which exit code. */
#include "tool_support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stamp.h"
#include "tool.h"

/* --- all right --- */

static const char *const fine[] = {
    "--name=j --rw=write --size=256k",
    "--name=j --rw=read --size=256k",
    "--name=j --rw=randread --size=256k --bs=1000",
    "--name=j --rw=randwrite --size=256k --bs=1000",
    "--name=j --rw=rw --size=256k --rwmixread=70",
    "--name=j --rw=randrw --size=256k --verify=crc32c",
    "--name=j --rw=randrw --size=256k --verify=crc32c --bs=512 --offset=512",
    "--name=j --rw=write --size=256k --bs=64k --verify=crc32c",
    "--name=j --rw=randwrite --size=256k --verify=crc32c --ioengine=kaio --iodepth=16 --direct=%d",
    "--name=j --rw=randwrite --size=256k --verify=crc32c --ioengine=kaio --iodepth=16 "
    "--iodepth_batch=1 --direct=%d --bs=512",
    "--name=j --rw=randwrite --size=256k --verify=crc32c --ioengine=kaio --iodepth=300 "
    "--iodepth_batch=0 --direct=%d",
    "--name=j --rw=randrw --size=256k --verify=crc32c --ioengine=aiofile:sync --iodepth=16",
    "--name=j --rw=randrw --size=256k --verify=crc32c --ioengine=libaio --iodepth=4",
    "--name=j --rw=randrw --size=1m --verify=crc32c --ioengine=kaio --iodepth=8 --direct=%d "
    "--numjobs=4 --filename=shared --group_reporting",
    "--name=j --rw=randwrite --size=16k --verify=crc32c --ioengine=kaio --iodepth=32 --direct=%d "
    "--numjobs=4 --filename=shared --time_based --runtime=0.3",
    "--name=j --rw=randrw --size=16k --verify=crc32c --ioengine=kaio --iodepth=32 --direct=0 "
    "--numjobs=2 --filename=shared --time_based --runtime=0.3",
    "--name=j --rw=randwrite --size=256k --verify=crc32c --numjobs=3",
    "--name=j --rw=write --size=256k --fsync=10 --fdatasync=7 --end_fsync=1 --ioengine=kaio "
    "--iodepth=4 --direct=%d",
    "--name=j --rw=write --size=256k --fsync=1 --verify=crc32c",
    "--filename=f --size=256k --name=w --rw=write --name=r --stonewall --rw=read",
    "--filename=f --size=256k --verify=crc32c --name=w --rw=write --bs=8k --name=r --stonewall "
    "--rw=randread --bs=2k",
    "--filename=f --name=w --rw=write --size=256k --verify=crc32c --name=r --stonewall --rw=read",
    "--filename=f --size=256k --name=w --rw=write --name=v --stonewall --rw=randrw "
    "--verify=crc32c",
    "--directory=. --name=a/b --rw=write --size=64k",
    "-name j -rw=write -size 64k -thread",
};

START_TEST(a_fine_job_ends_well)
{
    struct run_result result = RUN(fine[_i], 0);

    REQUIRE_TEXT(result.out, "err= 0");
    REQUIRE_NO_TEXT(result.out, "NOT CHECKED");
    if (strstr(fine[_i], "verify"))
        REQUIRE_TEXT(result.out, " 0 bad, 0 stale, 0 misdirected, 0 torn, 0 foreign");
    run_result_free(&result);
}
END_TEST

START_TEST(every_block_is_written_and_checked_once)
{
    struct run_result result =
        RUN("--filename=f --size=4m --bs=4k --ioengine=kaio --direct=%d --iodepth=32 "
            "--verify=crc32c --name=write --rw=randwrite --name=read --stonewall --rw=randread",
            0);
    bool direct = direct_works()[0] == '1';

    REQUIRE_TEXT(result.out, "write: Laying out IO file (1 file / 4096KiB)");
    REQUIRE_TEXT(result.out, "issued rwts: total=0,1024,0,0 short=0,0,0,0");
    REQUIRE_TEXT(result.out, "issued rwts: total=1024,0,0,0 short=0,0,0,0");
    REQUIRE_TEXT(result.out, "verify: 2048 blocks, 2048 checked, 0 bad, 0 stale, 0 misdirected, "
                             "0 torn, 0 foreign, 0 corrupt, 0 zeroed\n");
    REQUIRE_TEXT(result.out, direct ? "Proven: 1024 blocks of 4096 bytes were written through "
                                      "struct aio_file on Linux kernel AIO with O_DIRECT"
                                    : "through the page cache");
    REQUIRE_TEXT(result.out, "then 1024 blocks were read in random order");
    run_result_free(&result);
}
END_TEST

START_TEST(what_is_not_proven_is_not_claimed)
{
    static const char *const commands[] = {
        "--name=j --rw=write --size=64k",
        "--name=j --rw=read --size=64k --verify=crc32c",
        "--name=j --rw=randrw --size=64k --verify=crc32c",
        "--name=j --rw=write --size=64k --verify=crc32c --do_verify=0",
        "--size=64k --verify=crc32c --name=a --rw=write --name=b --rw=write --ioengine=kaio",
        ("--size=64k --filename=f --name=a --rw=write --verify=crc32c --name=b --stonewall "
         "--rw=write"),
    };
    struct run_result result = RUN(commands[_i], 0);

    REQUIRE_NO_TEXT(result.out, "Proven");
    run_result_free(&result);
}
END_TEST

START_TEST(blocking_calls_and_page_cache_are_called_so)
{
    struct run_result result = RUN("--name=j --rw=write --size=64k --verify=crc32c", 0);

    REQUIRE_TEXT(result.out, "by blocking calls through the page cache");
    REQUIRE_TEXT(result.out, "Proven: 16 blocks of 4096 bytes");
    run_result_free(&result);
}
END_TEST

/* The order in which blocks were written, by the numbers of the writes in their stamps. */
static void load_order(const char *path, uint64_t order[64])
{
    for (unsigned i = 0; i < 64; i++) {
        unsigned char sector[STAMP_SECTOR];
        struct stamp stamp;

        load_bytes(path, sector, sizeof(sector), (uint64_t)i * 4096);
        ck_assert(stamp_read(sector, &stamp));
        order[i] = stamp.sequence;
    }
}

START_TEST(a_job_does_the_same_every_time)
{
    uint64_t orders[4][64];
    static const char *const commands[] = {
        "--verify=crc32c --size=256k --name=w --rw=randwrite",
        "--verify=crc32c --size=256k --name=w --rw=randwrite",
        "--verify=crc32c --size=256k --name=w --rw=randwrite --randseed=5",
        "--verify=crc32c --size=256k --name=w --rw=randwrite",
    };

    for (unsigned i = 0; i < 4; i++) {
        struct run_result result = RUN(commands[i], 0);

        load_order("w.0.0", orders[i]);
        run_result_free(&result);
    }
    ck_assert_int_eq(memcmp(orders[0], orders[1], sizeof(orders[0])), 0);
    ck_assert_int_eq(memcmp(orders[0], orders[3], sizeof(orders[0])), 0);
    ck_assert_int_ne(memcmp(orders[0], orders[2], sizeof(orders[0])), 0);
}
END_TEST

START_TEST(groups_are_reported_as_one)
{
    struct run_result result =
        RUN("--name=j --rw=write --size=64k --numjobs=3 --group_reporting", 0);

    REQUIRE_TEXT(result.out, "j: (groupid=0, jobs=3): err= 0");
    REQUIRE_TEXT(result.out, "issued rwts: total=0,48,0,0");
    REQUIRE_TEXT(result.out, "\n...\n");
    REQUIRE_TEXT(result.out, "Starting 3 threads");
    run_result_free(&result);
    result = RUN("--name=j --rw=write --size=64k --numjobs=2 --description=abc", 0);
    REQUIRE_TEXT(result.out, "j: (groupid=0, jobs=1): err= 0");
    REQUIRE_TEXT(result.out, "Description  : [abc]");
    run_result_free(&result);
}
END_TEST

START_TEST(syncs_are_counted_apart)
{
    struct run_result result = RUN(
        "--name=j --rw=write --size=400k --fsync=10 --end_fsync=1 --ioengine=kaio --iodepth=4", 0);

    /* 100 writes: a sync after each ten but the last, and the one at the end. */
    REQUIRE_TEXT(result.out, "issued rwts: total=0,100,0,11");
    REQUIRE_TEXT(result.out, "fsync/fdatasync/sync_file_range:");
    run_result_free(&result);
}
END_TEST

START_TEST(the_progress_line_can_be_had)
{
    struct run_result result =
        RUN("--name=j --rw=randread --size=64k --time_based --runtime=1.2 --eta=always", 0);

    REQUIRE_TEXT(result.errors, "\rJobs: 1 (f=1): [r(1)][");
    REQUIRE_TEXT(result.errors, " IOPS]");
    REQUIRE_TEXT(result.errors, "[eta 00m:00s]");
    run_result_free(&result);
    result = RUN("--name=j --rw=randread --size=64k --time_based --runtime=0.7", 0);
    ck_assert_str_eq(result.errors, "");
    run_result_free(&result);
}
END_TEST

/* --- not all right --- */

static const char *const wrong[] = {
    "",
    "--rw=read",
    "--nonsense",
    "--name=j --rw",
    "--name=j --size=64k --bs --direct=1",
    "--name=j --rw=write --size=4k --bs=8k",
    "--name=j --rw=write",
    "--name=j --rw=read --filename=missing",
    "--name=j --rw=write --size=64k --time_based",
    "--name=j --rw=write --size=64k --bs=1000 --verify=crc32c",
    ("--name=j --rw=write --size=64k --numjobs=200 --iodepth=32 --ioengine=kaio --filename=f "
     "--verify=crc32c"),
    "--name=j --rw=write --size=64k --filename=/abs --directory=.",
    "--name=j --rw=write --size=64k --eta=sometimes",
    "--name=j --rw=write --size=64k --output-format=json,xml",
    "--name=j --rw=write --size=64k --minimal --terse-version=5",
    "--name=j --rw=write --size=64k --eta-interval=1",
    "--name=j --rw=write --size=64k --output=report --report=report",
    "--name=j --rw=write --size=64k --live-json=report --report=report",
    "--name=j --rw=write --size=64k --log_hist_coarseness=7",
    "--name=j --rw=write --size=64k --percentile_list=101",
    "--name=j --rw=write --size=64k --write_bw_log=missing/x",
    "--name=j --rw=write --size=64k --i=1",
    "--name=j --rw=write --size=64k --help=1",
    "missing.fio",
};

START_TEST(wrong_use_is_refused_before_anything_runs)
{
    struct run_result result = RUN(wrong[_i], 1);

    ck_assert_str_eq(result.out, "");
    REQUIRE_TEXT(result.errors, "aiofio: ");
    run_result_free(&result);
    ck_assert_int_ne(access("j.0.0", F_OK), 0);
}
END_TEST

START_TEST(unfitting_direct_io_is_refused_before_anything_runs)
{
    struct run_result result;

    if (direct_works()[0] == '0')
        return;
    result = RUN(
        "--name=a --rw=write --size=64k --name=j --rw=write --size=64k --bs=1000 --direct=1", 1);
    REQUIRE_TEXT(result.errors, "multiples of");
    ck_assert_int_ne(access("a.0.0", F_OK), 0);
    ck_assert_int_ne(access("j.0.0", F_OK), 0);
    run_result_free(&result);
}
END_TEST

static void truncate_file(void *context, const struct plan *plan, unsigned group)
{
    (void)plan;
    if (group == 1)
        ck_assert_int_eq(truncate(context, 8192), 0);
}

START_TEST(an_io_error_ends_the_job_and_is_named)
{
    static const char *const engines[] = {"kaio --iodepth=8", "sync", "aiofile:sync --iodepth=3"};
    char path[] = "f";
    struct run_hooks hooks = {NULL, truncate_file, path};
    char command[512];
    struct run_result result;

    snprintf(command, sizeof(command),
             "--filename=f --size=64k --direct=%%d --ioengine=%s --name=w --rw=write --name=r "
             "--stonewall --rw=read",
             engines[_i]);
    result = RUN_HOOKED(command, &hooks, 2);
    REQUIRE_TEXT(result.out, "err= 5 (file=f, func=read, offset=8192, error=the file ends after 0 "
                             "of 4096 bytes)");
    REQUIRE_TEXT(result.out, "Run status group 1");
    run_result_free(&result);
}
END_TEST

START_TEST(a_verification_cut_by_runtime_is_incomplete)
{
    struct run_result result =
        RUN("--filename=f --size=64m --verify=crc32c --name=w --rw=write --bs=1m --name=r "
            "--stonewall --rw=randread --runtime=20ms",
            4);

    REQUIRE_TEXT(result.out, "NOT CHECKED: verification is incomplete");
    REQUIRE_NO_TEXT(result.out, "Proven");
    run_result_free(&result);
}
END_TEST

START_TEST(a_write_job_verifies_after_its_runtime)
{
    struct run_result result = RUN("--name=j --rw=randwrite --size=1m --verify=crc32c --time_based "
                                   "--runtime=300ms --ioengine=kaio --iodepth=8 --direct=%d",
                                   0);

    REQUIRE_TEXT(result.out, "verify: 256 blocks, 256 checked, 0 bad");
    run_result_free(&result);
}
END_TEST

START_TEST(a_file_without_stamps_is_not_verified)
{
    struct run_result result = RUN("--name=j --filename=f --rw=write --size=64k", 0);

    run_result_free(&result);
    result = RUN("--name=j --filename=f --rw=read --verify=crc32c", 1);
    REQUIRE_TEXT(result.errors, "written without verify");
    run_result_free(&result);
}
END_TEST

/* --- signals --- */

static int run_and_signal(const char *command, int number, char *report, size_t room)
{
    pid_t child;
    int status;
    FILE *file;
    size_t length;

    unlink("report");
    child = fork();
    if (child == 0) {
        struct run_result result;

        signal(SIGINT, SIG_DFL);
        result = run_tool(command, NULL);
        _exit(result.code);
    }
    ck_assert_int_gt(child, 0);
    /* The file of the report is made before the run. */
    while (access("report", F_OK) != 0)
        usleep(1000);
    usleep(400000);
    kill(child, number);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    file = fopen("report", "re");
    ck_assert_ptr_nonnull(file);
    length = fread(report, 1, room - 1, file);
    report[length] = '\0';
    fclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

START_TEST(a_signal_ends_the_run_with_a_full_report)
{
    static const char *const commands[] = {
        "--name=j --rw=randwrite --size=1m --time_based --runtime=60 --verify=crc32c "
        "--ioengine=kaio --iodepth=8 --direct=%d --output=report",
        "--name=j --rw=randwrite --size=1m --time_based --runtime=60 --verify=crc32c "
        "--numjobs=2 --name=never --stonewall --rw=read --size=64k --output=report",
    };
    char report[16384];

    ck_assert_int_eq(run_and_signal(commands[_i], SIGINT, report, sizeof(report)), 130);
    REQUIRE_TEXT(report, "j: (groupid=0");
    REQUIRE_TEXT(report, "write: IOPS=");
    REQUIRE_TEXT(report, "Run status group 0");
    REQUIRE_TEXT(report, "NOT CHECKED");
    REQUIRE_NO_TEXT(report, "never: (groupid");
    REQUIRE_NO_TEXT(report, "Proven");
    ck_assert_int_eq(run_and_signal(commands[_i], SIGTERM, report, sizeof(report)), 143);
    REQUIRE_TEXT(report, "Run status group 0");
}
END_TEST

static void tc_add_all(TCase *tests)
{
    tcase_add_loop_test(tests, a_fine_job_ends_well, 0, (int)(sizeof(fine) / sizeof(fine[0])));
    tcase_add_test(tests, every_block_is_written_and_checked_once);
    tcase_add_loop_test(tests, what_is_not_proven_is_not_claimed, 0, 6);
    tcase_add_test(tests, blocking_calls_and_page_cache_are_called_so);
    tcase_add_test(tests, a_job_does_the_same_every_time);
    tcase_add_test(tests, groups_are_reported_as_one);
    tcase_add_test(tests, syncs_are_counted_apart);
    tcase_add_test(tests, the_progress_line_can_be_had);
    tcase_add_loop_test(tests, wrong_use_is_refused_before_anything_runs, 0,
                        (int)(sizeof(wrong) / sizeof(wrong[0])));
    tcase_add_test(tests, unfitting_direct_io_is_refused_before_anything_runs);
    tcase_add_loop_test(tests, an_io_error_ends_the_job_and_is_named, 0, 3);
    tcase_add_test(tests, a_verification_cut_by_runtime_is_incomplete);
    tcase_add_test(tests, a_write_job_verifies_after_its_runtime);
    tcase_add_test(tests, a_file_without_stamps_is_not_verified);
    tcase_add_loop_test(tests, a_signal_ends_the_run_with_a_full_report, 0, 2);
}

int main(void)
{
    Suite *suite = suite_create("run");
    TCase *tests = tcase_create("run");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, enter_folder, leave_folder);
    tc_add_all(tests);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
