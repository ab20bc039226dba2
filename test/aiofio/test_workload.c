/* SPDX-License-Identifier: MIT */
/* test_workload.c - what jobs do with their options: amounts, places, pacing, order. */
#include "tool_support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

/* Jobs bounded by size or count, and the operations that fio counts for them. */
struct total_case {
    const char *options;
    unsigned reads;
    unsigned writes;
};

static const struct total_case totals[] = {
    {"--rw=write --io_size=10k", 0, 3},
    {"--rw=randwrite --io_size=200k", 0, 50},
    {"--rw=read --io_size=50%", 8, 0},
    {"--rw=randread --number_ios=5 --loops=2", 10, 0},
    {"--rw=read --number_ios=50", 16, 0},
    {"--rw=read --loops=3", 48, 0},
    {"--rw=write:4k", 0, 16},
    {"--rw=read:-8k", 16, 0},
    {"--rw=randread:8", 16, 0},
    {"--rw=randread:4 --rw_sequencer=identical", 16, 0},
    {"--rw=randread --blockalign=8k", 16, 0},
    {"--rw=randread --percentage_random=50", 16, 0},
    {"--rw=randread --norandommap", 16, 0},
    {"--rw=randread --random_distribution=zipf:1.2", 16, 0},
    {"--rw=randwrite --random_distribution=pareto:0.3 --verify=crc32c", 0, 16},
    {"--rw=write --bs=4k,8k", 0, 8},
    {"--rw=write --bs=8k,", 0, 16},
    {"--rw=read --ioengine=kaio --direct=%d --iodepth=8 --iodepth_batch=4 "
     "--iodepth_batch_complete_min=4 --iodepth_low=2",
     16, 0},
    {"--rw=read --ioengine=kaio --direct=%d --iodepth=8 --iodepth_batch_complete_min=0", 16, 0},
};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

START_TEST(totals_are_those_of_fio)
{
    const struct total_case *total = &totals[_i];
    char text[512];
    struct run_result result;

    snprintf(text, sizeof(text), "--name=j --size=64k %s", total->options);
    result = RUN(text, 0);
    snprintf(text, sizeof(text), "issued rwts: total=%u,%u,0,0 short=0,0,0,0", total->reads,
             total->writes);
    REQUIRE_TEXT(result.out, text);
    run_result_free(&result);
}
END_TEST

/* Every byte of the region is written and read back, with whatever sizes. */
static const char *const covering[] = {
    "--rw=randwrite --bssplit=4k/10:64k/50:32k/",
    "--rw=write --bssplit=4k/10:64k/50:32k/",
    "--rw=randwrite --bsrange=512-64k",
    "--rw=write --bsrange=4k-64k",
    "--rw=randwrite:8",
    "--rw=randwrite --bs=4k,8k",
    "--rw=randwrite --bsrange=512-64k --direct=%d --ioengine=kaio --iodepth=16",
};

START_TEST(every_size_covers_the_region)
{
    char text[512];
    struct run_result result;

    snprintf(text, sizeof(text), "--name=j --size=3m --verify=crc32c %s", covering[_i]);
    result = RUN(text, 0);
    REQUIRE_TEXT(result.out, " 0 bad");
    REQUIRE_TEXT(result.out, "(3072KiB/");
    REQUIRE_TEXT(result.out, "Proven");
    run_result_free(&result);
}
END_TEST

/* A region that is no multiple of the sizes: nothing beyond it changes. */
START_TEST(nothing_beyond_the_region_is_touched)
{
    static const char *const ways[] = {
        "--rw=write --bsrange=4k-16k",
        "--rw=randwrite --bssplit=4k/:16k/",
        "--rw=write:4k",
        "--rw=randwrite --norandommap --bsrange=4k-16k",
        "--rw=write:-8k",
        "--rw=randwrite --random_distribution=normal:50",
        "--rw=randrw --bs=8k,4k",
        "--rw=randwrite:3 --io_size=1m",
    };
    char text[512];
    struct run_result result;
    unsigned char *content[2];
    size_t size;

    make_file("mine", 256 << 10, 'u');
    content[0] = load_file("mine", &size);
    snprintf(text, sizeof(text),
             "--name=j --filename=mine --overwrite=1 --offset=16k --size=50k %s", ways[_i]);
    result = RUN(text, 0);
    content[1] = load_file("mine", &size);
    ck_assert_uint_eq(size, 256 << 10);
    ck_assert_int_eq(memcmp(content[0], content[1], 16 << 10), 0);
    ck_assert_int_eq(memcmp(content[0] + (66 << 10), content[1] + (66 << 10), 190 << 10), 0);
    ck_assert_int_ne(memcmp(content[0] + (16 << 10), content[1] + (16 << 10), 48 << 10), 0);
    free(content[0]);
    free(content[1]);
    run_result_free(&result);
}
END_TEST

START_TEST(clones_and_percentages_have_their_places)
{
    unsigned char *content;
    size_t size;
    struct run_result result =
        RUN("--name=j --filename=mine --rw=write --filesize=1m --numjobs=3 --offset=25% --size=64k "
            "--io_size=64k --offset_increment=256k",
            0);

    run_result_free(&result);
    content = load_file("mine", &size);
    ck_assert_uint_eq(size, 1 << 20);
    for (unsigned at = 0; at < 16; at++) {
        bool written = at >= 4 && at % 4 == 0;
        unsigned char *block = content + (size_t)at * 65536 + 4096;

        ck_assert_msg((*(uint32_t *)(void *)block != 0) == written, "%u", at);
    }
    free(content);
    result = RUN("--name=j --filename=mine --rw=read --size=25%", 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=64,0,0,0");
    run_result_free(&result);
    result = RUN("--name=j --filename=other --rw=write --size=25%", 1);
    REQUIRE_TEXT(result.errors, "filesize=");
    run_result_free(&result);
}
END_TEST

/* The order of a huge random job costs neither time nor memory. */
START_TEST(ten_tebibytes_start_at_once)
{
    struct run_result result;
    int fd = open("huge", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool possible = fd >= 0 && ftruncate(fd, 10ll << 40) == 0;

    close(fd);
    /* Not every file system has files of that size. */
    if (!possible)
        return;
    result = RUN("--name=j --filename=huge --rw=randread --size=10t --number_ios=200", 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=200,0,0,0");
    run_result_free(&result);
}
END_TEST

static unsigned char *written_order(const char *options)
{
    char text[256];
    size_t size;
    struct run_result result;

    unlink("j.0.0");
    snprintf(text, sizeof(text), "--name=j --rw=randwrite --size=64k --number_ios=8 %s", options);
    result = RUN(text, 0);
    run_result_free(&result);
    return load_file("j.0.0", &size);
}

/* Which blocks were written says which sequence it was. */
static bool same_order(const char *first, const char *second)
{
    unsigned char *one = written_order(first);
    unsigned char *two = written_order(second);
    bool same = true;

    for (unsigned i = 0; i < 16; i++)
        same = same && (one[i * 4096 + 4] != 0) == (two[i * 4096 + 4] != 0);
    free(one);
    free(two);
    return same;
}

START_TEST(sequences_repeat_unless_told_not_to)
{
    bool differs = false;

    ck_assert(same_order("", ""));
    ck_assert(same_order("--randrepeat=0 --allrandrepeat=1", ""));
    ck_assert(same_order("--randrepeat=0 --randseed=7", "--randseed=7"));
    for (unsigned i = 0; i < 5 && !differs; i++)
        differs = !same_order("--randrepeat=0", "--randrepeat=0");
    ck_assert(differs);
}
END_TEST

/* --- pacing: a slow machine may take longer, and never less --- */

static uint64_t elapsed_ms(uint64_t since_ns)
{
    return (clock_now_ns() - since_ns) / NS_PER_MS;
}

static const char *const paced[] = {
    "--number_ios=41 --rate_iops=100",
    "--number_ios=41 --rate=400k",
    "--number_ios=41 --rate_iops=100 --ioengine=kaio --direct=%d --iodepth=8",
    "--number_ios=41 --thinktime=20ms --thinktime_blocks=2",
    "--number_ios=41 --thinktime=20ms --thinktime_blocks=2 --ioengine=kaio --direct=%d "
    "--iodepth=8",
    "--number_ios=41 --startdelay=400ms",
};

START_TEST(a_paced_job_takes_its_time)
{
    char text[512];
    uint64_t start_ns = clock_now_ns();
    struct run_result result;

    snprintf(text, sizeof(text), "--name=j --rw=randread --size=1m %s", paced[_i]);
    result = RUN(text, 0);
    ck_assert_uint_ge(elapsed_ms(start_ns), 400);
    REQUIRE_TEXT(result.out, "issued rwts: total=41,0,0,0");
    if (strstr(paced[_i], "rate")) {
        REQUIRE_TEXT(result.out, "intended start to end (");
        REQUIRE_TEXT(result.out, "started more than 1 msec late: ");
    } else {
        REQUIRE_NO_TEXT(result.out, "intended start");
    }
    run_result_free(&result);
}
END_TEST

START_TEST(what_goes_on_in_the_ramp_is_not_counted)
{
    uint64_t start_ns = clock_now_ns();
    struct run_result result =
        RUN("--name=j --rw=randread --size=1m --ramp_time=300ms --runtime=300ms --time_based", 0);
    uint64_t all_ms = elapsed_ms(start_ns);
    const char *runtime = strstr(result.out, "run=");
    unsigned long counted_ms;

    ck_assert_uint_ge(all_ms, 600);
    ck_assert_ptr_nonnull(runtime);
    counted_ms = strtoul(runtime + 4, NULL, 10);
    ck_assert_uint_ge(counted_ms, 250);
    ck_assert_uint_le(counted_ms, all_ms - 290);
    run_result_free(&result);
}
END_TEST

START_TEST(limits_that_are_missed_end_the_job)
{
    struct run_result result = RUN("--name=j --rw=read --size=1m --max_latency=1us --bs=256k", 2);

    REQUIRE_TEXT(result.out, "are more than max_latency=1 us");
    run_result_free(&result);
    result =
        RUN("--name=j --rw=read --size=1m --rate_iops=20 --rate_iops_min=1000 --rate_cycle=100", 2);
    REQUIRE_TEXT(result.out, "below rate_iops_min=1000");
    run_result_free(&result);
    result = RUN("--name=j --rw=read --size=1m --rate_iops=20 --rate=1m", 1);
    REQUIRE_TEXT(result.errors, "leave one out");
    run_result_free(&result);
}
END_TEST

static void add_all(TCase *tests)
{
    tcase_add_loop_test(tests, totals_are_those_of_fio, 0, COUNT(totals));
    tcase_add_loop_test(tests, every_size_covers_the_region, 0, COUNT(covering));
    tcase_add_loop_test(tests, nothing_beyond_the_region_is_touched, 0, 8);
    tcase_add_test(tests, clones_and_percentages_have_their_places);
    tcase_add_test(tests, ten_tebibytes_start_at_once);
    tcase_add_loop_test(tests, a_paced_job_takes_its_time, 0, COUNT(paced));
    tcase_add_test(tests, what_goes_on_in_the_ramp_is_not_counted);
    tcase_add_test(tests, limits_that_are_missed_end_the_job);
    tcase_add_test(tests, sequences_repeat_unless_told_not_to);
}

int main(void)
{
    Suite *suite = suite_create("workload");
    TCase *tests = tcase_create("workload");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, enter_folder, leave_folder);
    add_all(tests);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
