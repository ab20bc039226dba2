/* SPDX-License-Identifier: MIT */
/* test_stamp.c - checksum, stamps, what a block is taken for, and which generations may be there.
 */
#include "crc32c.h"
#include "expect.h"
#include "stamp.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u
#define SECTORS (BLOCK / STAMP_SECTOR)
#define RUN 0x1122334455667788ull

/* --- checksum --- */

/* RFC 3720, B.4, and the customary nine digits. */
START_TEST(checksum_has_the_published_values)
{
    unsigned char bytes[48] = {0};
    static const unsigned char scsi_read[48] = {
        0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2,    0, 0, 0, 0, 0, 0, 0};
    uint32_t (*const ways[])(const void *, size_t) = {crc32c_by_table, crc32c,
                                                      crc32c_by_instruction};
    unsigned count = crc32c_has_instruction() ? 3 : 2;

    for (unsigned i = 0; i < count; i++) {
        memset(bytes, 0, 32);
        ck_assert_uint_eq(ways[i](bytes, 32), 0x8a9136aa);
        memset(bytes, 0xff, 32);
        ck_assert_uint_eq(ways[i](bytes, 32), 0x62a8ab43);
        for (unsigned k = 0; k < 32; k++)
            bytes[k] = (unsigned char)k;
        ck_assert_uint_eq(ways[i](bytes, 32), 0x46dd794e);
        for (unsigned k = 0; k < 32; k++)
            bytes[k] = (unsigned char)(31 - k);
        ck_assert_uint_eq(ways[i](bytes, 32), 0x113fdb5c);
        ck_assert_uint_eq(ways[i](scsi_read, 48), 0xd9963a56);
        ck_assert_uint_eq(ways[i]("123456789", 9), 0xe3069283);
        ck_assert_uint_eq(ways[i]("", 0), 0);
    }
}
END_TEST

START_TEST(both_ways_to_the_checksum_agree)
{
    unsigned char bytes[600];

    if (!crc32c_has_instruction())
        return;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 167 + i / 3);
    for (unsigned start = 0; start < 9; start++)
        for (unsigned length = 0; start + length <= sizeof(bytes); length++)
            ck_assert_uint_eq(crc32c_by_table(bytes + start, length),
                              crc32c_by_instruction(bytes + start, length));
}
END_TEST

/* --- blocks --- */

static struct stamp stamp_at(uint64_t offset, uint32_t generation)
{
    return (struct stamp){
        .length = BLOCK,
        .run = RUN,
        .offset = offset,
        .file = 3,
        .generation = generation,
        .sequence = offset + generation,
        .job = 1,
        .kind = STAMP_KIND_BLOCK,
    };
}

static void fill(unsigned char *data, uint64_t offset, uint32_t generation)
{
    struct stamp stamp = stamp_at(offset, generation);

    stamp_fill(data, &stamp);
}

static struct block_expectation expect_at(uint64_t offset, uint32_t lowest, uint32_t highest)
{
    return (struct block_expectation){.run = RUN,
                                      .offset = offset,
                                      .file = 3,
                                      .length = BLOCK,
                                      .lowest = lowest,
                                      .highest = highest,
                                      .own_run = true};
}

static enum block_state judge(const unsigned char *data, uint32_t lowest, uint32_t highest)
{
    struct block_expectation expectation = expect_at(8192, lowest, highest);
    struct block_evidence evidence = {0};

    return stamp_judge(data, &expectation, &evidence);
}

START_TEST(a_stamp_comes_back)
{
    unsigned char data[BLOCK];
    struct stamp stamp;

    fill(data, 8192, 7);
    for (unsigned i = 0; i < SECTORS; i++) {
        ck_assert(stamp_read(data + i * STAMP_SECTOR, &stamp));
        ck_assert_uint_eq(stamp.sector, i);
        ck_assert_uint_eq(stamp.generation, 7);
        ck_assert_uint_eq(stamp.offset, 8192);
        ck_assert_uint_eq(stamp.length, BLOCK);
        for (unsigned k = 0; k < i; k++)
            ck_assert_int_ne(memcmp(data + i * STAMP_SECTOR + sizeof(stamp),
                                    data + k * STAMP_SECTOR + sizeof(stamp), 64),
                             0);
    }
}
END_TEST

START_TEST(good_blocks_are_good)
{
    unsigned char data[BLOCK];

    fill(data, 8192, 7);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_GOOD);
    ck_assert_int_eq(judge(data, 5, 9), BLOCK_GOOD);
    ck_assert_int_eq(judge(data, 0, 9), BLOCK_UNKNOWN);
    memset(data, 0x5a, sizeof(data));
    ck_assert_int_eq(judge(data, 0, 0), BLOCK_UNKNOWN);
}
END_TEST

START_TEST(an_old_generation_is_stale)
{
    unsigned char data[BLOCK];

    fill(data, 8192, 6);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_STALE);
    ck_assert_int_eq(judge(data, 7, 9), BLOCK_STALE);
}
END_TEST

START_TEST(a_generation_from_the_future_is_corrupt)
{
    unsigned char data[BLOCK];

    fill(data, 8192, 8);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_CORRUPT);
}
END_TEST

START_TEST(a_block_of_another_place_is_misdirected)
{
    unsigned char data[BLOCK];
    struct stamp stamp = stamp_at(8192, 7);

    fill(data, 12288, 7);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_MISDIRECTED);
    stamp.file = 4;
    stamp_fill(data, &stamp);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_MISDIRECTED);
}
END_TEST

/* All sectors are whole, but each lies one sector further than it should. */
START_TEST(a_block_shifted_by_a_sector_is_misdirected)
{
    unsigned char two[2 * BLOCK];

    fill(two, 8192 - BLOCK, 7);
    fill(two + BLOCK, 8192, 7);
    ck_assert_int_eq(judge(two + BLOCK - STAMP_SECTOR, 7, 7), BLOCK_MISDIRECTED);
}
END_TEST

START_TEST(a_block_of_another_run_is_foreign)
{
    unsigned char data[BLOCK];
    struct stamp stamp = stamp_at(8192, 7);

    stamp.run = RUN + 1;
    stamp_fill(data, &stamp);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_FOREIGN);
}
END_TEST

/* Every place at which a write can have been cut. */
START_TEST(parts_of_two_writes_are_torn)
{
    unsigned char older[BLOCK];
    unsigned char data[BLOCK];
    unsigned cut = (unsigned)_i * STAMP_SECTOR;

    fill(older, 8192, 6);
    fill(data, 8192, 7);
    memcpy(data + cut, older + cut, BLOCK - cut);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_TORN);
    /* Both writes may still be going on: then the mixture is what the kernel allows. */
    ck_assert_int_eq(judge(data, 6, 7), BLOCK_GOOD);

    fill(data, 8192, 7);
    memset(data + cut, 0, BLOCK - cut);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_TORN);

    /* Over something that is not aiofio's. */
    memset(data + cut, 0x77, BLOCK - cut);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_TORN);
}
END_TEST

START_TEST(parts_of_two_old_writes_are_torn)
{
    unsigned char older[BLOCK];
    unsigned char data[BLOCK];

    fill(older, 8192, 5);
    fill(data, 8192, 6);
    memcpy(data, older, STAMP_SECTOR);
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_TORN);
}
END_TEST

/* One bit anywhere, in stamp, checksum, magic number or payload, is damage and nothing else. */
START_TEST(every_flipped_bit_is_corrupt)
{
    unsigned char data[BLOCK];

    fill(data, 8192, 7);
    for (unsigned bit = 0; bit < 2 * STAMP_SECTOR * 8; bit++) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        ck_assert_msg(judge(data, 7, 7) == BLOCK_CORRUPT, "bit %u: %s", bit,
                      block_state_name(judge(data, 7, 7)));
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    ck_assert_int_eq(judge(data, 7, 7), BLOCK_GOOD);
}
END_TEST

START_TEST(noise_is_corrupt_and_zeros_are_zeroed)
{
    unsigned char data[BLOCK];

    memset(data, 0x5a, sizeof(data));
    ck_assert_int_eq(judge(data, 1, 1), BLOCK_CORRUPT);
    memset(data, 0, sizeof(data));
    ck_assert_int_eq(judge(data, 1, 1), BLOCK_ZEROED);
}
END_TEST

START_TEST(damage_under_a_running_write_is_no_verdict)
{
    unsigned char data[BLOCK];
    struct block_expectation expectation = expect_at(8192, 6, 7);
    struct block_evidence evidence = {0};

    fill(data, 8192, 7);
    data[700] ^= 1;
    expectation.in_flight = true;
    ck_assert_int_eq(stamp_judge(data, &expectation, &evidence), BLOCK_IN_FLIGHT);
    /* But nothing excuses what no write of this block can have left. */
    fill(data, 12288, 7);
    ck_assert_int_eq(stamp_judge(data, &expectation, &evidence), BLOCK_MISDIRECTED);
}
END_TEST

START_TEST(blocks_of_any_run_have_to_agree_with_themselves)
{
    unsigned char data[BLOCK];
    unsigned char other[BLOCK];
    struct block_expectation expectation = expect_at(8192, 0, 0);
    struct block_evidence evidence = {0};
    struct stamp stamp = stamp_at(8192, 9);

    expectation.own_run = false;
    stamp.run = 99;
    stamp.file = 17;
    stamp_fill(data, &stamp);
    ck_assert_int_eq(stamp_judge(data, &expectation, &evidence), BLOCK_GOOD);
    stamp.generation = 8;
    stamp.sequence++;
    stamp_fill(other, &stamp);
    memcpy(data + STAMP_SECTOR, other + STAMP_SECTOR, STAMP_SECTOR);
    ck_assert_int_eq(stamp_judge(data, &expectation, &evidence), BLOCK_TORN);
    fill(data, 12288, 9);
    ck_assert_int_eq(stamp_judge(data, &expectation, &evidence), BLOCK_MISDIRECTED);
    memset(data, 0, sizeof(data));
    ck_assert_int_eq(stamp_judge(data, &expectation, &evidence), BLOCK_ZEROED);
    memset(data, 1, sizeof(data));
    ck_assert_int_eq(stamp_judge(data, &expectation, &evidence), BLOCK_CORRUPT);
}
END_TEST

START_TEST(evidence_names_the_first_sector_that_differs)
{
    unsigned char data[BLOCK];
    unsigned char older[BLOCK];
    struct block_expectation expectation = expect_at(8192, 7, 7);
    struct block_evidence evidence = {0};

    fill(data, 8192, 7);
    fill(older, 8192, 6);
    memcpy(data + 3 * STAMP_SECTOR, older + 3 * STAMP_SECTOR, 2 * STAMP_SECTOR);
    ck_assert_int_eq(stamp_judge(data, &expectation, &evidence), BLOCK_TORN);
    ck_assert_uint_eq(evidence.sector, 3);
    ck_assert_uint_eq(evidence.differing, 2);
    ck_assert_uint_eq(evidence.stamp.generation, 6);
}
END_TEST

/* --- generations --- */

static void check_view(const struct expect *expect, uint32_t lowest, uint32_t highest)
{
    struct expect_view view = expect_view(expect, 1);

    ck_assert_uint_eq(view.lowest, lowest);
    ck_assert_uint_eq(view.highest, highest);
}

START_TEST(one_write_after_the_other_leaves_one_generation)
{
    struct expect expect;

    expect_init(&expect, 3);
    check_view(&expect, 0, 0);
    ck_assert_uint_eq(expect_written(&expect), 0);
    for (uint32_t generation = 1; generation <= 5; generation++) {
        ck_assert_uint_eq(expect_write_begin(&expect, 1), generation);
        check_view(&expect, generation - 1, generation);
        ck_assert(expect_view(&expect, 1).writing);
        expect_write_end(&expect, 1, true);
        check_view(&expect, generation, generation);
        ck_assert(!expect_view(&expect, 1).writing);
    }
    ck_assert_uint_eq(expect_written(&expect), 1);
    ck_assert_uint_eq(expect_view(&expect, 0).highest, 0);
    ck_assert_uint_eq(expect_view(&expect, 2).highest, 0);
    expect_free(&expect);
}
END_TEST

START_TEST(overlapping_writes_leave_a_set)
{
    struct expect expect;

    expect_init(&expect, 2);
    expect_write_begin(&expect, 1);
    expect_write_end(&expect, 1, true);
    expect_write_begin(&expect, 1); /* 2 */
    expect_write_begin(&expect, 1); /* 3 */
    check_view(&expect, 1, 3);
    expect_write_end(&expect, 1, true);
    check_view(&expect, 2, 3);
    expect_write_end(&expect, 1, true);
    check_view(&expect, 2, 3);
    expect_write_begin(&expect, 1); /* 4, alone */
    check_view(&expect, 2, 4);
    expect_write_end(&expect, 1, true);
    check_view(&expect, 4, 4);
    expect_free(&expect);
}
END_TEST

START_TEST(a_failed_write_leaves_nothing_to_expect)
{
    struct expect expect;

    expect_init(&expect, 2);
    expect_write_begin(&expect, 1);
    expect_write_end(&expect, 1, true);
    expect_write_begin(&expect, 1);
    expect_write_end(&expect, 1, false);
    check_view(&expect, 0, 2);
    expect_write_begin(&expect, 1);
    check_view(&expect, 0, 3);
    expect_write_end(&expect, 1, true);
    check_view(&expect, 3, 3);
    expect_free(&expect);
}
END_TEST

START_TEST(a_very_long_chain_only_forgets_its_beginning)
{
    struct expect expect;

    expect_init(&expect, 2);
    expect_write_begin(&expect, 1);
    for (unsigned i = 0; i < 10000; i++) {
        expect_write_begin(&expect, 1);
        expect_write_end(&expect, 1, true);
    }
    check_view(&expect, 0, 10001);
    expect_write_end(&expect, 1, true);
    check_view(&expect, 0, 10001);
    expect_write_begin(&expect, 1);
    expect_write_end(&expect, 1, true);
    check_view(&expect, 10002, 10002);
    expect_free(&expect);
}
END_TEST

#define THREADS 4
#define WRITES 20000

static void *write_often(void *argument)
{
    struct expect *expect = argument;

    for (unsigned i = 0; i < WRITES; i++) {
        uint32_t generation = expect_write_begin(expect, 1);
        struct expect_view view = expect_view(expect, 1);

        ck_assert_uint_ge(view.highest, generation);
        ck_assert_uint_le(view.lowest, generation);
        expect_write_end(expect, 1, true);
    }
    return NULL;
}

START_TEST(threads_share_a_block)
{
    pthread_t threads[THREADS];
    struct expect expect;

    expect_init(&expect, 2);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_often, &expect), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(expect_view(&expect, 1).highest, THREADS * WRITES);
    ck_assert(!expect_view(&expect, 1).writing);
    expect_free(&expect);
}
END_TEST

static Suite *stamp_suite(void)
{
    Suite *suite = suite_create("stamp");
    TCase *blocks = tcase_create("blocks");
    TCase *generations = tcase_create("generations");

    tcase_add_test(blocks, checksum_has_the_published_values);
    tcase_add_test(blocks, both_ways_to_the_checksum_agree);
    tcase_add_test(blocks, a_stamp_comes_back);
    tcase_add_test(blocks, good_blocks_are_good);
    tcase_add_test(blocks, an_old_generation_is_stale);
    tcase_add_test(blocks, a_generation_from_the_future_is_corrupt);
    tcase_add_test(blocks, a_block_of_another_place_is_misdirected);
    tcase_add_test(blocks, a_block_shifted_by_a_sector_is_misdirected);
    tcase_add_test(blocks, a_block_of_another_run_is_foreign);
    tcase_add_loop_test(blocks, parts_of_two_writes_are_torn, 1, SECTORS);
    tcase_add_test(blocks, parts_of_two_old_writes_are_torn);
    tcase_add_test(blocks, every_flipped_bit_is_corrupt);
    tcase_add_test(blocks, noise_is_corrupt_and_zeros_are_zeroed);
    tcase_add_test(blocks, damage_under_a_running_write_is_no_verdict);
    tcase_add_test(blocks, blocks_of_any_run_have_to_agree_with_themselves);
    tcase_add_test(blocks, evidence_names_the_first_sector_that_differs);
    tcase_add_test(generations, one_write_after_the_other_leaves_one_generation);
    tcase_add_test(generations, overlapping_writes_leave_a_set);
    tcase_add_test(generations, a_failed_write_leaves_nothing_to_expect);
    tcase_add_test(generations, a_very_long_chain_only_forgets_its_beginning);
    tcase_add_test(generations, threads_share_a_block);
    suite_add_tcase(suite, blocks);
    suite_add_tcase(suite, generations);
    return suite;
}

int main(void)
{
    SRunner *runner;
    int failures;

    crc32c_init();
    runner = srunner_create(stamp_suite());
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
