/* SPDX-License-Identifier: MIT */
/*
 * test_corruption.c - files that are really damaged between writing and reading: every kind of
 * damage has to be seen, named with its place, and end in exit code 3.
 */
#include "tool_support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096u
#define BAD_OFFSET (5 * BLOCK)
#define FILE_NAME "victim"

/* 64 blocks, written in one group, rewritten and verified in the next. */
#define TWICE                                                                                      \
    "--filename=victim --size=256k --bs=4k --direct=%d --verify=crc32c --iodepth=8 "               \
    "--ioengine=kaio --name=first --rw=write --do_verify=0 --name=second --stonewall "             \
    "--rw=randwrite"

/* The damage is done when the writes of the second job are on the disk. */
struct damage {
    const char *name;
    const char *found; /* words that have to be in the message */
    void (*inflict)(const unsigned char *older, const unsigned char *foreign);
};

/* What lay at BAD_OFFSET after the first job, and what a former run had put there. */
struct scene {
    const struct damage *damage;
    unsigned char older[BLOCK];
    unsigned char foreign[BLOCK];
};

static void lose_a_write(const unsigned char *older, const unsigned char *foreign)
{
    (void)foreign;
    store_bytes(FILE_NAME, older, BLOCK, BAD_OFFSET);
}

static void misdirect_a_write(const unsigned char *older, const unsigned char *foreign)
{
    unsigned char neighbour[BLOCK];

    (void)older;
    (void)foreign;
    load_bytes(FILE_NAME, neighbour, BLOCK, BAD_OFFSET + BLOCK);
    store_bytes(FILE_NAME, neighbour, BLOCK, BAD_OFFSET);
}

static void tear_a_write(const unsigned char *older, const unsigned char *foreign)
{
    (void)foreign;
    store_bytes(FILE_NAME, older + 1536, BLOCK - 1536, BAD_OFFSET + 1536);
}

static void tear_over_zeros(const unsigned char *older, const unsigned char *foreign)
{
    static const unsigned char zeros[512];

    (void)older;
    (void)foreign;
    store_bytes(FILE_NAME, zeros, sizeof(zeros), BAD_OFFSET + BLOCK - 512);
}

static void bring_back_a_former_run(const unsigned char *older, const unsigned char *foreign)
{
    (void)older;
    store_bytes(FILE_NAME, foreign, BLOCK, BAD_OFFSET);
}

static void flip_a_bit(const unsigned char *older, const unsigned char *foreign)
{
    unsigned char byte;

    (void)older;
    (void)foreign;
    load_bytes(FILE_NAME, &byte, 1, BAD_OFFSET + 3000);
    byte ^= 0x10;
    store_bytes(FILE_NAME, &byte, 1, BAD_OFFSET + 3000);
}

static void write_something_else(const unsigned char *older, const unsigned char *foreign)
{
    unsigned char noise[BLOCK];

    (void)older;
    (void)foreign;
    memset(noise, 0xa5, sizeof(noise));
    store_bytes(FILE_NAME, noise, sizeof(noise), BAD_OFFSET);
}

static void wipe(const unsigned char *older, const unsigned char *foreign)
{
    static const unsigned char zeros[BLOCK];

    (void)older;
    (void)foreign;
    store_bytes(FILE_NAME, zeros, sizeof(zeros), BAD_OFFSET);
}

static const struct damage damages[] = {
    {"stale", "expected generation 2, found generation 1", lose_a_write},
    {"misdirected", "expected generation 2, found generation 2", misdirect_a_write},
    {"torn", "in sector 3 (5 of 8 sectors differ)", tear_a_write},
    {"torn", "in sector 7 (1 of 8 sectors differ)", tear_over_zeros},
    {"foreign", "of another run", bring_back_a_former_run},
    {"corrupt", "found no valid stamp in sector 5 (1 of 8 sectors differ)", flip_a_bit},
    {"corrupt", "found no valid stamp", write_something_else},
    {"zeroed", "found zeros", wipe},
};

#define DAMAGES ((int)(sizeof(damages) / sizeof(damages[0])))

static void keep_older(void *context, const struct plan *plan, unsigned group)
{
    struct scene *scene = context;

    (void)plan;
    if (group == 1)
        load_bytes(FILE_NAME, scene->older, BLOCK, BAD_OFFSET);
}

static void inflict_before_verify(void *context, struct target *target)
{
    struct scene *scene = context;

    (void)target;
    scene->damage->inflict(scene->older, scene->foreign);
}

static void require_finding(const struct run_result *result, const struct damage *damage)
{
    char text[128];

    snprintf(text, sizeof(text), "%s block in 'victim' at offset %u, %u bytes", damage->name,
             BAD_OFFSET, BLOCK);
    REQUIRE_TEXT(result->errors, text);
    REQUIRE_TEXT(result->errors, damage->found);
    snprintf(text, sizeof(text), ", 1 %s", damage->name);
    REQUIRE_TEXT(result->out, text);
    REQUIRE_TEXT(result->out, " 1 bad");
    REQUIRE_NO_TEXT(result->out, "Proven");
}

static void make_scene(struct scene *scene, const struct damage *damage)
{
    struct run_result result = RUN(TWICE, 0);

    run_result_free(&result);
    scene->damage = damage;
    load_bytes(FILE_NAME, scene->foreign, BLOCK, BAD_OFFSET);
}

START_TEST(damage_is_seen_when_the_writer_verifies)
{
    struct scene scene;
    struct run_hooks hooks = {inflict_before_verify, keep_older, &scene};
    struct run_result result;

    make_scene(&scene, &damages[_i]);
    result = RUN_HOOKED(TWICE, &hooks, 3);
    require_finding(&result, &damages[_i]);
    run_result_free(&result);
}
END_TEST

static void inflict_before_group(void *context, const struct plan *plan, unsigned group)
{
    struct scene *scene = context;

    keep_older(context, plan, group);
    if (group == 2)
        scene->damage->inflict(scene->older, scene->foreign);
}

START_TEST(damage_is_seen_by_a_later_reader)
{
    struct scene scene;
    struct run_hooks hooks = {NULL, inflict_before_group, &scene};
    struct run_result result;

    make_scene(&scene, &damages[_i]);
    result = RUN_HOOKED(TWICE " --name=reader --stonewall --rw=randread", &hooks, 3);
    require_finding(&result, &damages[_i]);
    REQUIRE_TEXT(result.errors, "job 'reader'");
    run_result_free(&result);
}
END_TEST

START_TEST(damage_is_seen_by_blocking_calls_in_the_page_cache)
{
    struct scene scene;
    struct run_hooks hooks = {NULL, inflict_before_group, &scene};
    struct run_result result;

    make_scene(&scene, &damages[_i]);
    result = RUN_HOOKED(TWICE " --name=reader --stonewall --rw=read --ioengine=sync --iodepth=1 "
                              "--direct=0",
                        &hooks, 3);
    require_finding(&result, &damages[_i]);
    run_result_free(&result);
}
END_TEST

/* The same offset of another file, written at the same time. */
static void swap_files(void *context, const struct plan *plan, unsigned group)
{
    unsigned char data[BLOCK];

    (void)context;
    (void)plan;
    if (group != 1)
        return;
    load_bytes("other", data, BLOCK, BAD_OFFSET);
    store_bytes(FILE_NAME, data, BLOCK, BAD_OFFSET);
}

START_TEST(a_block_of_another_file_is_misdirected)
{
    struct run_hooks hooks = {NULL, swap_files, NULL};
    struct run_result result =
        RUN_HOOKED("--size=128k --verify=crc32c --name=a --filename=victim --rw=write --name=b "
                   "--filename=other --rw=write --name=c --stonewall --filename=victim --rw=read",
                   &hooks, 3);

    REQUIRE_TEXT(result.errors, "misdirected block in 'victim' at offset 20480");
    REQUIRE_TEXT(result.errors, "in file 1 of this run");
    run_result_free(&result);
}
END_TEST

static void wipe_everything(void *context, struct target *target)
{
    unsigned char *zeros = calloc(1, target->size);

    (void)context;
    store_bytes(FILE_NAME, zeros, target->size, 0);
    free(zeros);
}

static unsigned count_text(const char *text, const char *part)
{
    unsigned count = 0;

    while ((text = strstr(text, part)) != NULL) {
        count++;
        text++;
    }
    return count;
}

START_TEST(many_bad_blocks_are_counted_and_some_described)
{
    struct run_hooks hooks = {wipe_everything, NULL, NULL};
    struct run_result result = RUN_HOOKED(TWICE, &hooks, 3);

    ck_assert_uint_eq(count_text(result.errors, "zeroed block in"), FINDINGS_SHOWN);
    REQUIRE_TEXT(result.out, "verify: 64 blocks, 64 checked, 64 bad, 0 stale, 0 misdirected, "
                             "0 torn, 0 foreign, 0 corrupt, 64 zeroed\n");
    REQUIRE_TEXT(result.out, "verify: 20 of the bad blocks were described, 44 more were not");
    run_result_free(&result);
}
END_TEST

static void shorten_the_file(void *context, const struct plan *plan, unsigned group)
{
    (void)plan;
    inflict_before_group(context, plan, group);
    if (group == 3)
        ck_assert_int_eq(truncate(FILE_NAME, BLOCK), 0);
}

START_TEST(an_io_error_does_not_hide_bad_data)
{
    struct scene scene;
    struct run_hooks hooks = {NULL, shorten_the_file, &scene};
    struct run_result result;

    make_scene(&scene, &damages[0]);
    result = RUN_HOOKED(TWICE " --name=reader --stonewall --rw=read --name=last --stonewall "
                              "--rw=read --verify=none",
                        &hooks, 3);
    require_finding(&result, &damages[0]);
    REQUIRE_TEXT(result.out, "func=read");
    run_result_free(&result);
}
END_TEST

/* A reader of another process has no table: it sees what does not agree with itself. */
START_TEST(damage_in_a_file_of_another_process)
{
    struct run_result result = RUN(TWICE, 0);
    const char *read = "--filename=victim --verify=crc32c --name=r --rw=read";

    run_result_free(&result);
    result = RUN(read, 0);
    REQUIRE_TEXT(result.out, "verify: 64 blocks, 64 checked, 0 bad");
    REQUIRE_TEXT(result.out, "written by another process");
    REQUIRE_NO_TEXT(result.out, "Proven");
    run_result_free(&result);

    flip_a_bit(NULL, NULL);
    result = RUN(read, 3);
    REQUIRE_TEXT(result.errors, "corrupt block in 'victim' at offset 20480");
    run_result_free(&result);

    misdirect_a_write(NULL, NULL);
    result = RUN(read, 3);
    REQUIRE_TEXT(result.errors, "misdirected block in 'victim' at offset 20480");
    run_result_free(&result);
}
END_TEST

static Suite *corruption_suite(void)
{
    Suite *suite = suite_create("corruption");
    TCase *tests = tcase_create("corruption");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, enter_folder, leave_folder);
    tcase_add_loop_test(tests, damage_is_seen_when_the_writer_verifies, 0, DAMAGES);
    tcase_add_loop_test(tests, damage_is_seen_by_a_later_reader, 0, DAMAGES);
    tcase_add_loop_test(tests, damage_is_seen_by_blocking_calls_in_the_page_cache, 0, DAMAGES);
    tcase_add_test(tests, a_block_of_another_file_is_misdirected);
    tcase_add_test(tests, many_bad_blocks_are_counted_and_some_described);
    tcase_add_test(tests, an_io_error_does_not_hide_bad_data);
    tcase_add_test(tests, damage_in_a_file_of_another_process);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return run_suite(corruption_suite());
}
