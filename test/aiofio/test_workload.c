/* SPDX-License-Identifier: MIT */
/* test_workload.c - what jobs do with their options: amounts, places, pacing, order. */
#include "tool_support.h"

#include <aiofile/queue.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer_content.h"
#include "clock.h"
#include "cpu_list.h"

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
    "--number_ios=41 --thinktime=20ms --thinktime_blocks=2 --ioengine=kaio --direct=%d --iodepth=8",
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
        RUN("--name=j --rw=randread --size=1m --ramp_time=300ms --runtime=2s --time_based", 0);
    uint64_t all_ms = elapsed_ms(start_ns);
    const char *runtime = strstr(result.out, "run=");
    unsigned long counted_ms;

    ck_assert_uint_ge(all_ms, 2300);
    ck_assert_ptr_nonnull(runtime);
    counted_ms = strtoul(runtime + 4, NULL, 10);
    ck_assert_uint_ge(counted_ms, 500); /* a machine may be slow to see the ramp end */
    ck_assert_uint_le(counted_ms, all_ms - 290);
    run_result_free(&result);
    result = RUN("--name=j --rw=randread --size=1m --ramp_time=1000s", 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=0,0,0,0");
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

/* --- beside other jobs --- */

/* Without the wait, the reader would meet blocks that nobody has written yet. */
START_TEST(a_job_waits_for_another)
{
    struct run_result result =
        RUN("--filename=f --size=1m --verify=crc32c --name=a --rw=write --startdelay=300ms "
            "--numjobs=2 --name=b --rw=read --wait_for=a",
            0);

    REQUIRE_TEXT(result.out, "verify: 512 blocks, 512 checked, 0 bad");
    REQUIRE_NO_TEXT(result.out, "unknown");
    run_result_free(&result);
    result = RUN("--size=64k --rw=write --name=a --wait_for=b --name=b", 1);
    REQUIRE_TEXT(result.errors, "wait_for=b: there are 0 jobs of that name before it");
    run_result_free(&result);
}
END_TEST

START_TEST(one_job_ends_the_others)
{
    static const char *const choices[] = {"group", "stonewall", "all"};
    uint64_t start_ns = clock_now_ns();
    char text[512];
    struct run_result result;

    snprintf(text, sizeof(text),
             "--size=64k --rw=write --time_based --name=a --exitall --exit_what=%s --runtime=200ms "
             "--name=b --runtime=1000 --name=c --runtime=1000 --rate_iops=1 --name=d --stonewall "
             "--runtime=200ms",
             choices[_i]);
    result = RUN(text, 0);
    ck_assert_uint_lt(elapsed_ms(start_ns), 900000);
    REQUIRE_TEXT(result.out, "c: (groupid=0, jobs=1): err= 0");
    if (_i == 2)
        REQUIRE_NO_TEXT(result.out, "d: (groupid");
    else
        REQUIRE_TEXT(result.out, "d: (groupid=1");
    run_result_free(&result);
}
END_TEST

START_TEST(a_new_group_is_reported_apart)
{
    struct run_result result =
        RUN("--size=64k --rw=write --group_reporting --name=a --numjobs=2 --name=b --new_group", 0);

    REQUIRE_TEXT(result.out, "a: (groupid=0, jobs=2)");
    REQUIRE_TEXT(result.out, "b: (groupid=1, jobs=1)");
    REQUIRE_TEXT(result.out, "Run status group 1");
    run_result_free(&result);
}
END_TEST

START_TEST(folders_of_filename_format_are_made)
{
    struct run_result result =
        RUN("--name=j --rw=write --size=64k --nrfiles=2 "
            "--filename_format=a/$jobname/$jobnum.$filenum --unlink=1 --create_only=1",
            0);

    /* What was made is gone again, the folders too. */
    ck_assert_int_ne(access("a", F_OK), 0);
    run_result_free(&result);
    ck_assert_int_eq(mkdir("a", 0700), 0);
    result = RUN("--name=j --rw=write --size=64k --numjobs=2 "
                 "--filename_format=./a//$jobname/$jobnum.$filenum",
                 0);
    ck_assert_int_eq(access("a/j/0.0", F_OK), 0);
    ck_assert_int_eq(access("a/j/1.0", F_OK), 0);
    run_result_free(&result);
    /* Names that are given are not made up: a folder that is not there is a mistake. */
    result = RUN("--name=j --rw=write --size=64k --filename=b/f", 1);
    REQUIRE_TEXT(result.errors, "folder 'b'");
    run_result_free(&result);
}
END_TEST

static const char *const wrong_cpus[] = {"x", "3-1", "99999", "0,", ""};

START_TEST(clones_share_or_split_processors)
{
    struct message message;
    cpu_set_t set;
    cpu_set_t mine;

    ck_assert_int_eq(cpu_list_parse("0,2-4", &set, &message), 0);
    ck_assert_int_eq(CPU_COUNT(&set), 4);
    ck_assert(CPU_ISSET(0, &set) && CPU_ISSET(2, &set) && CPU_ISSET(4, &set));
    for (unsigned i = 0; i < COUNT(wrong_cpus); i++)
        ck_assert_int_eq(cpu_list_parse(wrong_cpus[i], &set, &message), -1);

    /* The processor that this test runs on is one that can be had. */
    ck_assert_int_eq(sched_getaffinity(0, sizeof(mine), &mine), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        char text[16];

        if (!CPU_ISSET(cpu, &mine))
            continue;
        snprintf(text, sizeof(text), "%d", cpu);
        ck_assert_int_eq(cpu_list_apply(text, _i, 3), 0);
        ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
        ck_assert(CPU_COUNT(&set) == 1 && CPU_ISSET(cpu, &set));
    }
}
END_TEST

/* The flags of this process's descriptors of the file, all together. */
static void collect_flags(void *context, struct target *target)
{
    int *flags = context;

    for (int fd = 0; fd < 256; fd++) {
        struct stat status;

        if (fstat(fd, &status) == 0 && status.st_ino == target->inode &&
            status.st_dev == target->device)
            *flags |= fcntl(fd, F_GETFL);
    }
}

START_TEST(sync_is_a_flag_of_the_file)
{
    static const char *const choices[] = {"none", "dsync", "sync", "1"};
    static const int expected[] = {0, O_DSYNC, O_SYNC, O_SYNC};
    int flags = 0;
    struct run_hooks hooks = {.before_verify = collect_flags, .context = &flags};
    char text[256];
    struct run_result result;

    snprintf(text, sizeof(text), "--name=j --rw=write --size=64k --verify=crc32c --sync=%s",
             choices[_i]);
    result = RUN_HOOKED(text, &hooks, 0);
    ck_assert_int_eq(flags & O_SYNC, expected[_i]);
    run_result_free(&result);
}
END_TEST

/* --- making files --- */

START_TEST(files_are_made_and_left)
{
    struct stat status;
    struct run_result result = RUN("--name=j --filename=f --rw=read --size=1m --create_only=1", 0);

    ck_assert_int_eq(stat("f", &status), 0);
    ck_assert_int_eq(status.st_size, 1 << 20);
    REQUIRE_TEXT(result.out, "issued rwts: total=0,0,0,0");
    run_result_free(&result);
    result = RUN("--name=j --filename=f --rw=read --allow_file_create=0", 0);
    run_result_free(&result);
    result = RUN("--name=j --filename=new --rw=write --size=64k --allow_file_create=0", 1);
    REQUIRE_TEXT(result.errors, "allow_file_create=0");
    ck_assert_int_ne(access("new", F_OK), 0);
    run_result_free(&result);
}
END_TEST

START_TEST(room_is_reserved_as_told)
{
    static const char *const choices[] = {"native", "posix", "keep", "none", "truncate"};
    struct stat status;
    char text[256];
    struct run_result result;

    snprintf(text, sizeof(text),
             "--name=j --filename=f --rw=write --size=4m --create_only=1 --fallocate=%s",
             choices[_i]);
    result = RUN(text, 0);
    ck_assert_int_eq(stat("f", &status), 0);
    ck_assert_int_eq(status.st_size, 4 << 20);
    if (_i >= 3)
        ck_assert_int_lt(status.st_blocks * 512, 1 << 20);
    run_result_free(&result);
}
END_TEST

/* --- several files --- */

/* How many blocks of 4 KiB of a file were written: those that do not begin with zeros. */
static unsigned written_blocks(const char *path)
{
    size_t size;
    unsigned char *content = load_file(path, &size);
    unsigned written = 0;

    for (size_t at = 0; at + 4096 <= size; at += 4096)
        written += *(uint32_t *)(void *)(content + at) != 0;
    free(content);
    return written;
}

/* What each of four files has when 12 of 64 operations are done. */
struct service_case {
    const char *type;
    unsigned written[4];
};

static const struct service_case services[] = {
    {"roundrobin", {3, 3, 3, 3}},
    {"roundrobin:5", {5, 5, 2, 1}},
    {"sequential", {12, 1, 1, 1}},
};

START_TEST(files_are_served_in_turn)
{
    const struct service_case *service = &services[_i];
    char text[256];
    struct run_result result;

    snprintf(text, sizeof(text),
             "--name=j --rw=write --size=256k --nrfiles=4 --number_ios=12 --file_service_type=%s",
             service->type);
    result = RUN(text, 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=0,12,0,0");
    for (unsigned i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "j.0.%u", i);
        /* The label is in the first block of each. */
        ck_assert_uint_eq(written_blocks(text), service->written[i]);
    }
    run_result_free(&result);
}
END_TEST

static const char *const several[] = {
    "--filename=a:b:c:d --rw=write",
    "--filename=a:b:c:d --rw=randwrite --file_service_type=random --fsync=10 --end_fsync=1",
    "--filename=a:b:c:d --rw=randwrite --ioengine=kaio --iodepth=8 --direct=%d",
    "--nrfiles=4 --filename_format=f.$filenum --rw=write --filesize=64k",
    "--filename=a:b:c:d --rw=write --rate_iops=1000",
};

START_TEST(all_files_are_written_whole)
{
    bool named = strstr(several[_i], "a:b") != NULL;
    char text[256];
    struct run_result result;

    snprintf(text, sizeof(text), "--name=j --size=256k %s", several[_i]);
    result = RUN(text, 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=0,64,0,");
    for (unsigned i = 0; i < 4; i++) {
        if (named)
            snprintf(text, sizeof(text), "%c", 'a' + (int)i);
        else
            snprintf(text, sizeof(text), "f.%u", i);
        ck_assert_uint_eq(written_blocks(text), 16);
    }
    run_result_free(&result);
    if (!named)
        return;
    result = RUN("--name=r --filename=a:b:c:d --rw=randread", 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=64,0,0,0");
    run_result_free(&result);
}
END_TEST

START_TEST(clones_are_spread_over_directories)
{
    struct run_result result;

    ck_assert_int_eq(mkdir("x:y", 0700), 0);
    ck_assert_int_eq(mkdir("z", 0700), 0);
    result = RUN("--name=j --rw=write --size=64k --directory=x\\:y:z --numjobs=3 --unlink=0", 0);
    ck_assert_int_eq(access("x:y/j.0.0", F_OK), 0);
    ck_assert_int_eq(access("z/j.1.0", F_OK), 0);
    ck_assert_int_eq(access("x:y/j.2.0", F_OK), 0);
    run_result_free(&result);
    result = RUN("--name=j --rw=read --directory=x\\:y:z --numjobs=3 --unlink=1", 0);
    ck_assert_int_ne(access("x:y/j.0.0", F_OK), 0);
    ck_assert_int_ne(access("z/j.1.0", F_OK), 0);
    run_result_free(&result);
}
END_TEST

/* The rules for one file hold for each of several. */
START_TEST(none_of_several_files_is_touched_against_the_rules)
{
    struct run_result result;

    make_file("mine", 256 << 10, 'u');
    result = RUN("--name=j --filename=new:mine --rw=write --size=1m", 1);
    REQUIRE_TEXT(result.errors, "would write beyond the end of 'mine'");
    ck_assert_int_ne(access("new", F_OK), 0);
    run_result_free(&result);
    result = RUN("--name=j --filename=new:mine --rw=read --size=8m", 1);
    REQUIRE_TEXT(result.errors, "'mine', which has 262144");
    run_result_free(&result);
    result = RUN("--size=256k --name=v --filename=a --rw=write --verify=crc32c --name=j "
                 "--filename=a:b --rw=write",
                 1);
    REQUIRE_TEXT(result.errors, "is verified by another job");
    run_result_free(&result);
}
END_TEST

/* --- what is written --- */

struct pattern_case {
    const char *text;
    const char *bytes;
    int length; /* -1: refused */
};

static const struct pattern_case patterns[] = {
    {"0xdeadbeef", "\xde\xad\xbe\xef", 4},
    {"0xabc", "\xab\x0c", 2},
    {"1234", "\x04\xd2", 2},
    {"0", "\0", 1},
    {"\"abcd\"", "abcd", 4},
    {"\"ab\"0x00", "ab\0", 3},
    {"0x", NULL, -1},
    {"\"abc", NULL, -1},
    {"", NULL, -1},
    {"abc", NULL, -1},
    {"99999999999999999999", NULL, -1},
};

START_TEST(patterns_are_read)
{
    const struct pattern_case *expected = &patterns[_i];
    unsigned char bytes[BUFFER_PATTERN_MAX];
    struct message message;
    unsigned length;
    int result = buffer_pattern_parse(expected->text, bytes, &length, &message);

    ck_assert_int_eq(result, expected->length < 0 ? -1 : 0);
    if (result)
        return;
    ck_assert_int_eq((int)length, expected->length);
    ck_assert_int_eq(memcmp(bytes, expected->bytes, length), 0);
}
END_TEST

static unsigned char *written_content(const char *options)
{
    char text[256];
    size_t size;
    struct run_result result;

    snprintf(text, sizeof(text), "--name=j --filename=f --overwrite=1 --rw=write --size=64k %s",
             options);
    result = RUN(text, 0);
    run_result_free(&result);
    return load_file("f", &size);
}

/* How many of the bytes are zero, in percent. */
static unsigned zero_percent(const unsigned char *content)
{
    unsigned zeros = 0;

    for (unsigned i = 0; i < 65536; i++)
        zeros += content[i] == 0;
    return zeros * 100 / 65536;
}

START_TEST(buffers_have_the_content_that_was_asked_for)
{
    unsigned char *content = written_content("--zero_buffers");

    ck_assert_uint_eq(zero_percent(content), 100);
    free(content);
    content = written_content("--buffer_pattern=0xdeadbeef");
    for (unsigned i = 0; i < 65536; i += 4)
        ck_assert_msg(memcmp(content + i, "\xde\xad\xbe\xef", 4) == 0, "at %u", i);
    free(content);
    content = written_content("--buffer_compress_percentage=60");
    ck_assert_uint_ge(zero_percent(content), 59);
    ck_assert_uint_le(zero_percent(content), 75);
    free(content);
    content = written_content("");
    ck_assert_uint_lt(zero_percent(content), 20);
    free(content);
}
END_TEST

/* Sectors of the file that are found again in another block. */
static unsigned repeated_sectors(const unsigned char *content)
{
    unsigned repeated = 0;

    for (unsigned i = 8; i < 128; i++)
        repeated += memcmp(content + (size_t)i * 512, content + (size_t)(i % 8) * 512, 512) == 0;
    return repeated;
}

START_TEST(writes_differ_from_one_another)
{
    unsigned char *content = written_content("");

    ck_assert_uint_eq(repeated_sectors(content), 0);
    free(content);
    content = written_content("--scramble_buffers=0 --refill_buffers");
    ck_assert_uint_eq(repeated_sectors(content), 0);
    free(content);
    content = written_content("--scramble_buffers=0");
    ck_assert_uint_eq(repeated_sectors(content), 120);
    free(content);
}
END_TEST

/* --- jobs as storage engines do them --- */

static const char *const appends[] = {
    "--bs=100 --size=10000",
    "--bs=100 --size=10000 --ioengine=kaio --iodepth=8 --direct=%d",
    "--bs=1 --size=100",
    "--bsrange=1-999 --bs_unaligned --size=100000 --ioengine=kaio --iodepth=8 --direct=%d",
    "--bs=4k --size=64k --fsync=1",
};

START_TEST(appends_of_any_size_extend_the_file)
{
    char text[256];
    struct stat status;
    struct run_result result;

    snprintf(text, sizeof(text), "--name=j --filename=log --rw=append --numjobs=2 %s", appends[_i]);
    for (unsigned pass = 1; pass <= 2; pass++) {
        uint64_t each = strtoull(strstr(text, "--size=") + 7, NULL, 10);

        each = each == 64 ? 65536 : each;
        result = RUN(text, 0);
        ck_assert_int_eq(stat("log", &status), 0);
        /* The last append of a job is a whole one. */
        ck_assert_int_ge(status.st_size, (off_t)(2 * pass * each));
        ck_assert_int_lt(status.st_size, (off_t)(2 * pass * (each + 1000)));
        run_result_free(&result);
    }
}
END_TEST

START_TEST(appending_to_a_file_of_somebody_else_is_refused)
{
    struct stat status;
    struct run_result result;

    make_file("mine", 5000, 'u');
    result = RUN("--name=j --filename=mine --rw=append --bs=100 --size=1000", 1);
    REQUIRE_TEXT(result.errors, "overwrite=1");
    run_result_free(&result);
    result = RUN("--name=j --filename=mine --rw=append --bs=100 --size=1000 --overwrite=1", 0);
    ck_assert_int_eq(stat("mine", &status), 0);
    ck_assert_int_eq(status.st_size, 6000);
    run_result_free(&result);
}
END_TEST

/* Four clones that do the same number of appends: each sync covers one of every clone. */
START_TEST(a_group_shares_its_syncs)
{
    struct run_result result =
        RUN("--name=j --filename=log --rw=append --bs=100 --size=2500 --numjobs=4 "
            "--x_group_commit=4 --group_reporting",
            0);

    REQUIRE_TEXT(result.out, "issued rwts: total=0,100,0,25 short");
    run_result_free(&result);
    /* More than there are is all there are; one is a sync each, at most. */
    result = RUN("--name=j --filename=log --rw=append --bs=100 --size=2500 --numjobs=2 "
                 "--x_group_commit=9 --group_reporting",
                 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=0,50,0,25 short");
    run_result_free(&result);
    result = RUN("--name=j --filename=log --rw=append --bs=100 --size=2500 --x_group_commit=1", 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=0,25,0,25 short");
    run_result_free(&result);
}
END_TEST

/* More clones than there may be descriptors, all at work at the same time. */
START_TEST(clones_can_share_a_handle)
{
    struct rlimit limit = {.rlim_cur = 40, .rlim_max = 40};
    struct run_result result;

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    result = RUN("--name=j --filename=f --rw=randwrite --size=64k --numjobs=64 --x_share=file "
                 "--number_ios=4 --rate_iops=10 --group_reporting",
                 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=0,256,0,0");
    run_result_free(&result);
    result = RUN("--name=j --rw=write --size=64k --x_share=file", 1);
    REQUIRE_TEXT(result.errors, "x_share=file needs filename=");
    run_result_free(&result);
}
END_TEST

static const char *const sharing[] = {
    "--ioengine=kaio --direct=%d",
    "--ioengine=aiofile:threads",
    "--ioengine=aiofile:sync",
    "--ioengine=kaio --direct=%d --iodepth_batch_complete_min=3 --iodepth_low=2 --rate_iops=20000",
};

START_TEST(clones_can_share_a_queue)
{
    char text[256];
    struct run_result result;

    snprintf(text, sizeof(text),
             "--name=j --filename=f --rw=randrw --size=1m --verify=crc32c --iodepth=8 --numjobs=4 "
             "--group_reporting --x_share=queue %s",
             sharing[_i]);
    result = RUN(text, 0);
    REQUIRE_TEXT(result.out, " 0 bad");
    run_result_free(&result);
    result = RUN("--name=j --rw=write --size=64k --x_share=queue", 1);
    REQUIRE_TEXT(result.errors, "x_share=queue needs an engine");
    run_result_free(&result);
}
END_TEST

/* A ring is a descriptor: 64 of them beside 64 files would be too many. */
START_TEST(a_shared_queue_is_one)
{
    struct rlimit limit = {.rlim_cur = 100, .rlim_max = 100};
    struct run_result result;

    if (aio_engine_probe(AIO_ENGINE_URING, NULL, 0) != 0)
        return;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    result = RUN("--name=j --filename=f --rw=randread --size=64k --numjobs=64 --x_share=queue "
                 "--ioengine=io_uring --direct=%d --number_ios=4 --rate_iops=10 --group_reporting",
                 0);
    REQUIRE_TEXT(result.out, "issued rwts: total=256,0,0,0");
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
    tcase_add_test(tests, a_job_waits_for_another);
    tcase_add_loop_test(tests, one_job_ends_the_others, 0, 3);
    tcase_add_test(tests, a_new_group_is_reported_apart);
    tcase_add_loop_test(tests, clones_share_or_split_processors, 0, 2);
    tcase_add_loop_test(tests, sync_is_a_flag_of_the_file, 0, 4);
    tcase_add_test(tests, files_are_made_and_left);
    tcase_add_loop_test(tests, room_is_reserved_as_told, 0, 5);
    tcase_add_loop_test(tests, files_are_served_in_turn, 0, COUNT(services));
    tcase_add_loop_test(tests, all_files_are_written_whole, 0, COUNT(several));
    tcase_add_test(tests, clones_are_spread_over_directories);
    tcase_add_test(tests, none_of_several_files_is_touched_against_the_rules);
    tcase_add_loop_test(tests, patterns_are_read, 0, COUNT(patterns));
    tcase_add_test(tests, buffers_have_the_content_that_was_asked_for);
    tcase_add_test(tests, writes_differ_from_one_another);
    tcase_add_loop_test(tests, appends_of_any_size_extend_the_file, 0, COUNT(appends));
    tcase_add_test(tests, appending_to_a_file_of_somebody_else_is_refused);
    tcase_add_test(tests, a_group_shares_its_syncs);
    tcase_add_test(tests, clones_can_share_a_handle);
    tcase_add_loop_test(tests, clones_can_share_a_queue, 0, COUNT(sharing));
    tcase_add_test(tests, a_shared_queue_is_one);
    tcase_add_test(tests, folders_of_filename_format_are_made);
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
