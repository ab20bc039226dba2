/* SPDX-License-Identifier: MIT */
/*
 * test_link.c - chains (AIO_OP_LINK): one after the other, all or nothing, each with its own
 * result; and the syncs that have to wait for what has not started.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "support.h"

static const struct timespec no_time = {0, 0};

/* --- chains --------------------------------------------------------------------------------- */

static void link_ops(struct aio_op *ops, unsigned count)
{
    for (unsigned index = 0; index + 1 < count; index++)
        ops[index].flags |= AIO_OP_LINK;
}

/* Submits operations as one chain, which must be taken. */
static void submit_chain(struct aio_queue *queue, struct aio_op *ops, unsigned count,
                         aio_request_id *ids)
{
    link_ops(ops, count);
    EXPECT(aio_queue_submit(queue, ops, count, ids), count);
    for (unsigned index = 0; index < count; index++)
        for (unsigned other = 0; other < index; other++)
            REQUIRE(ids[index] != 0 && ids[index] != ids[other]);
}

static void expect_results(struct aio_queue *queue, const aio_request_id *ids,
                           const int64_t *expected, unsigned count)
{
    for (unsigned index = 0; index < count; index++) {
        struct aio_completion completion = completion_of(queue, ids[index]);

        if (completion.result != expected[index])
            ck_abort_msg("operation %u: %lld, not %lld", index, (long long)completion.result,
                         (long long)expected[index]);
        REQUIRE_EQ(completion.error, expected[index] < 0 ? expected[index] : 0);
    }
}

/* Submits a chain and takes its results in turn. */
static void run_chain(struct aio_queue *queue, struct aio_op *ops, const int64_t *expected,
                      unsigned count)
{
    aio_request_id ids[AIO_QUEUE_LINK_MAX];

    submit_chain(queue, ops, count, ids);
    expect_results(queue, ids, expected, count);
}

static struct aio_op op_drain(struct aio_file *file)
{
    return (struct aio_op){.opcode = AIO_OP_SYNC, .file = file, .flags = AIO_OP_DRAIN};
}

static struct aio_op op_truncate(struct aio_file *file, int64_t size)
{
    return (struct aio_op){.opcode = AIO_OP_TRUNCATE, .file = file, .offset = size};
}

static struct aio_op op_allocate(struct aio_file *file, uint64_t bytes, int64_t offset)
{
    return (struct aio_op){.opcode = AIO_OP_ALLOCATE, .file = file, .len = bytes, .offset = offset};
}

static void release_all(struct rig *rig)
{
    fault_hold(rig->fault, 0);
    fault_release(rig->fault, FAULT_FOR_EVER);
}

static void expect_steps(struct rig *rig, const uint8_t *opcodes, unsigned count)
{
    REQUIRE_EQ(fault_steps(rig->fault), count);
    for (unsigned index = 0; index < count; index++)
        if (fault_step(rig->fault, index).opcode != opcodes[index])
            ck_abort_msg("step %u has opcode %u, not %u", index,
                         fault_step(rig->fault, index).opcode, opcodes[index]);
}

/* --- one after the other -------------------------------------------------------------------- */

static void check_every_opcode(struct aio_file *file, const char *name)
{
    struct aio_queue *queue = open_queue(16, 0);
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    char *read = page_alloc(4 * PAGE);
    struct iovec iov[2] = {{bytes + PAGE, PAGE}, {bytes + 2 * PAGE, PAGE}};
    struct iovec back[2] = {{read, PAGE}, {read + PAGE, 2 * PAGE}};

    for (unsigned round = 0; round < 20; round++) {
        struct aio_op ops[] = {
            op_truncate(file, 0),
            op_write(file, bytes, PAGE, 0),
            op_sync(file),
            op_vectors(AIO_OP_WRITEV, file, iov, 2, PAGE),
            op_nop(),
            op_truncate(file, 2 * PAGE),
            op_append(file, bytes + 2 * PAGE, PAGE),
            op_drain(file),
            op_allocate(file, PAGE, 8 * PAGE),
            op_truncate(file, 3 * PAGE),
            {.opcode = AIO_OP_DATASYNC, .file = file},
            op_vectors(AIO_OP_APPENDV, file, iov, 1, 0),
            op_truncate(file, 3 * PAGE),
            op_vectors(AIO_OP_READV, file, back, 2, 0),
        };
        const int64_t expected[] = {0, PAGE, 0, 2 * PAGE, 0,    0, PAGE,
                                    0, 0,    0, 0,        PAGE, 0, 3 * PAGE};

        memset(read, 0, 3 * PAGE);
        run_chain(queue, ops, expected, COUNT(ops));
        pattern_check(read, 3 * PAGE, 0, 1);
        REQUIRE_EQ(disk_size(name), 3 * PAGE);
    }
    close_file(file);
    disk_check_pattern(name, 0, 3 * PAGE, 1);
    close_queue(queue);
    free(bytes);
    free(read);
}

START_TEST(every_opcode_can_be_linked)
{
    check_every_opcode(open_direct("direct"), "direct");
    check_every_opcode(open_cached("cached"), "cached");
}
END_TEST

START_TEST(nops_and_others_follow_one_another)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op nops[8];
    int64_t zeros[8] = {0};

    for (unsigned round = 0; round < 20; round++) {
        struct aio_op first[] = {op_nop(), op_write(file, page, PAGE, 0)};
        struct aio_op middle[] = {op_write(file, page, PAGE, 0), op_nop(),
                                  op_read(file, page, PAGE, 0)};
        struct aio_op worker[] = {op_truncate(file, 2 * PAGE), op_read(file, page, PAGE, 0)};
        struct aio_op of_file[] = {op_nop(), op_nop(), op_sync(file)};

        of_file[0].file = of_file[1].file = file;
        run_chain(queue, first, (const int64_t[]){0, PAGE}, 2);
        run_chain(queue, middle, (const int64_t[]){PAGE, 0, PAGE}, 3);
        run_chain(queue, worker, (const int64_t[]){0, PAGE}, 2);
        run_chain(queue, of_file, (const int64_t[]){0, 0, 0}, 3);
        for (unsigned index = 0; index < COUNT(nops); index++)
            nops[index] = op_nop();
        run_chain(queue, nops, zeros, COUNT(nops));
    }
    pattern_check(page, PAGE, 0, 1);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

START_TEST(what_workers_do_can_be_linked)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    char *read = page_alloc(4 * PAGE);

    for (unsigned round = 0; round < 20; round++) {
        struct aio_op ops[] = {
            op_truncate(file, 0),
            op_write(file, bytes, 100, 0),
            op_write(file, bytes + 100, PAGE, 100),
            op_append(file, bytes + PAGE + 100, 900),
            op_truncate(file, 2 * PAGE),
            op_write(file, bytes + PAGE, 2 * PAGE, PAGE),
            op_read(file, read, 3 * PAGE - 1, 1),
            op_sync(file),
        };

        memset(read, 0, 3 * PAGE);
        run_chain(queue, ops, (const int64_t[]){0, 100, PAGE, 900, 0, 2 * PAGE, 3 * PAGE - 1, 0},
                  COUNT(ops));
        pattern_check(read, 3 * PAGE - 1, 1, 1);
    }
    close_file(file);
    disk_check_pattern("file", 0, 3 * PAGE, 1);
    close_queue(queue);
    free(bytes);
    free(read);
}
END_TEST

START_TEST(a_chain_goes_from_file_to_file)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file *files[2] = {open_direct("log"), open_cached("data")};
    char *bytes = pattern_alloc(PAGE, 0, 1);
    char *read = page_alloc(PAGE);

    for (unsigned round = 0; round < 50; round++) {
        struct aio_op ops[] = {
            op_append(files[0], bytes, PAGE),
            op_sync(files[0]),
            op_write(files[1], bytes, PAGE, PAGE),
            op_drain(files[1]),
            op_read(files[0], read, PAGE, round * PAGE),
        };

        memset(read, 0, PAGE);
        run_chain(queue, ops, (const int64_t[]){PAGE, 0, PAGE, 0, PAGE}, COUNT(ops));
        pattern_check(read, PAGE, 0, 1);
    }
    REQUIRE_EQ(aio_file_size(files[0]), 50 * PAGE);
    close_file(files[0]);
    close_file(files[1]);
    close_queue(queue);
    free(bytes);
    free(read);
}
END_TEST

START_TEST(a_follower_does_not_start_before_its_turn)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_write(rig.file, bytes, PAGE, 0),
                           op_write(rig.file, bytes, PAGE, PAGE), op_sync(rig.file),
                           op_write(rig.file, bytes, PAGE, 2 * PAGE)};
    struct aio_request_info infos[4];
    aio_request_id ids[4];

    fault_hold(rig.fault, FAULT_ALL);
    submit_chain(rig.queue, ops, 4, ids);
    for (unsigned step = 1; step <= 4; step++) {
        EVENTUALLY(fault_held(rig.fault) == 1);
        sleep_us(20000);
        REQUIRE_EQ(fault_steps(rig.fault), step);
        REQUIRE_EQ(disk_size("file"), step < 4 ? (step < 2 ? 1 : 2) * PAGE : 3 * PAGE);
        EXPECT(aio_queue_inflight(rig.queue, infos, 4), 4);
        for (unsigned index = 0; index < 4; index++)
            REQUIRE_EQ(infos[index].state, index + 1 < step    ? AIO_REQUEST_DONE
                                           : index + 1 == step ? AIO_REQUEST_RUNNING
                                                               : AIO_REQUEST_WAITING);
        EXPECT(aio_queue_wait(rig.queue, ids[step - 1], &no_time), -ETIMEDOUT);
        fault_release(rig.fault, 1);
    }
    expect_results(rig.queue, ids, (const int64_t[]){PAGE, PAGE, 0, PAGE}, 4);
    fault_hold(rig.fault, 0);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* An append's place is that of when it starts. */
START_TEST(a_follower_takes_its_place_when_it_starts)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_read(rig.file, NULL, 0, 0), op_append(rig.file, bytes, PAGE)};
    struct aio_op truncate = op_truncate(rig.file, 4 * PAGE);
    struct aio_op append = op_append(rig.file, bytes, PAGE);
    aio_request_id ids[2];

    fault_hold(rig.fault, FAULT_READS);
    submit_chain(rig.queue, ops, 2, ids);
    /* The follower holds nothing: neither the gate nor the end. */
    REQUIRE_EQ(run_op(rig.queue, &truncate).result, 0);
    REQUIRE_EQ(run_op(rig.queue, &append).offset, 4 * PAGE);
    EXPECT(aio_file_truncate(rig.file, 2 * PAGE), 0);
    release_all(&rig);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, 0);
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).offset, 2 * PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

START_TEST(partial_transfers_come_to_their_end_before_the_next)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(8 * PAGE, 0, 1);
    struct aio_op ops[] = {op_write(rig.file, bytes, 8 * PAGE, 0), op_sync(rig.file),
                           op_truncate(rig.file, PAGE)};

    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, FAULT_WRITES, 1, 5, PAGE});
    run_chain(rig.queue, ops, (const int64_t[]){8 * PAGE, 0, 0}, 3);
    expect_steps(&rig,
                 (const uint8_t[]){AIO_OP_WRITE, AIO_OP_WRITE, AIO_OP_WRITE, AIO_OP_WRITE,
                                   AIO_OP_WRITE, AIO_OP_WRITE, AIO_OP_SYNC},
                 7);
    REQUIRE_EQ(disk_size("file"), PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* The engine has no room for a while. */
START_TEST(a_refused_follower_is_tried_again)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_write(rig.file, bytes, PAGE, 0),
                           op_write(rig.file, bytes, PAGE, PAGE)};
    aio_request_id ids[2];

    fault_hold(rig.fault, FAULT_ALL);
    submit_chain(rig.queue, ops, 2, ids);
    EVENTUALLY(fault_held(rig.fault) == 1);
    fault_refuse(rig.fault, -EAGAIN, 3);
    release_all(&rig);
    expect_results(rig.queue, ids, (const int64_t[]){PAGE, PAGE}, 2);
    fault_hold(rig.fault, FAULT_ALL);
    submit_chain(rig.queue, ops, 2, ids);
    EVENTUALLY(fault_held(rig.fault) == 1);
    fault_refuse(rig.fault, -EBADF, 1);
    release_all(&rig);
    expect_results(rig.queue, ids, (const int64_t[]){PAGE, -EBADF}, 2);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- failures ------------------------------------------------------------------------------- */

START_TEST(after_a_failure_the_rest_is_cancelled)
{
    for (unsigned failing = 1; failing <= 4; failing++) {
        struct rig rig = rig_open(8, 0);
        char *bytes = pattern_alloc(PAGE, 0, 1);
        struct aio_op ops[4];
        int64_t expected[4];

        for (unsigned index = 0; index < 4; index++) {
            ops[index] = op_write(rig.file, bytes, PAGE, index * PAGE);
            expected[index] = index + 1 < failing    ? (int)PAGE
                              : index + 1 == failing ? -EIO
                                                     : -ECANCELED;
        }
        fault_add(rig.fault,
                  (struct fault_rule){FAULT_RESULT, FAULT_WRITES, failing, 1, .value = -EIO});
        run_chain(rig.queue, ops, expected, 4);
        REQUIRE_EQ(fault_steps(rig.fault), failing);
        REQUIRE_EQ(disk_size("file"), (failing - 1) * PAGE);
        /* Nobody waits for those that never came. */
        EXPECT(aio_file_sync(rig.file), 0);
        rig_close(&rig);
        free(bytes);
    }
}
END_TEST

START_TEST(a_part_is_no_success)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_op writes[] = {op_write(rig.file, bytes, 2 * PAGE, 0),
                              op_write(rig.file, bytes, PAGE, 4 * PAGE), op_nop()};
    struct aio_op reads[] = {op_read(rig.file, bytes, 2 * PAGE, 0), op_nop()};
    struct aio_op whole[] = {op_read(rig.file, bytes, PAGE, 0), op_nop()};
    struct aio_op behind[] = {op_read(rig.file, bytes, PAGE, 64 * PAGE), op_nop()};
    struct aio_op nothing[] = {op_read(rig.file, bytes, 0, 64 * PAGE),
                               op_write(rig.file, NULL, 0, 0), op_nop()};
    aio_request_id ids[3];
    struct aio_completion part;

    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, .value = PAGE});
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, .first = 2, .value = -ENOSPC});
    submit_chain(rig.queue, writes, 3, ids);
    part = completion_of(rig.queue, ids[0]);
    REQUIRE_EQ(part.result, PAGE);
    REQUIRE_EQ(part.error, -ENOSPC);
    expect_results(rig.queue, ids + 1, (const int64_t[]){-ECANCELED, -ECANCELED}, 2);
    fault_clear(rig.fault);
    run_chain(rig.queue, reads, (const int64_t[]){PAGE, -ECANCELED}, 2);
    run_chain(rig.queue, behind, (const int64_t[]){0, -ECANCELED}, 2);
    run_chain(rig.queue, whole, (const int64_t[]){PAGE, 0}, 2);
    run_chain(rig.queue, nothing, (const int64_t[]){0, 0, 0}, 3);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* Where the file ends for the program, not where it was made ahead to. */
START_TEST(a_read_beyond_the_program_s_end_is_no_success)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file_options options = file_options();
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_file *file;

    options.direct = AIO_DIRECT_REQUIRED;
    options.grow_ahead = MIB;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    {
        struct aio_op ops[] = {op_write(file, bytes, PAGE, 0), op_append(file, bytes, PAGE),
                               op_read(file, bytes, 2 * PAGE, 0),
                               op_read(file, bytes, 2 * PAGE, PAGE), op_nop()};
        struct aio_op behind[] = {op_read(file, bytes, PAGE, 2 * PAGE), op_nop()};

        run_chain(queue, ops, (const int64_t[]){PAGE, PAGE, 2 * PAGE, PAGE, -ECANCELED}, 5);
        run_chain(queue, behind, (const int64_t[]){0, -ECANCELED}, 2);
    }
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

START_TEST(what_workers_fail_at_ends_a_chain)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_nop(), op_truncate(rig.file, INT64_MAX),
                           op_write(rig.file, bytes, PAGE, 0), op_drain(rig.file)};
    struct aio_op unaligned[] = {op_write(rig.file, bytes, 100, 0),
                                 op_write(rig.file, bytes, 100, 100)};
    int64_t truncated;
    aio_request_id ids[4];

    submit_chain(rig.queue, ops, 4, ids);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, 0);
    truncated = completion_of(rig.queue, ids[1]).result;
    REQUIRE(truncated == -EFBIG || truncated == -EINVAL);
    expect_results(rig.queue, ids + 2, (const int64_t[]){-ECANCELED, -ECANCELED}, 2);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_WRITES, .value = -EIO});
    run_chain(rig.queue, unaligned, (const int64_t[]){-EIO, -ECANCELED}, 2);
    REQUIRE_EQ(disk_size("file"), 0);
    rig_close(&rig);
    free(bytes);
}
END_TEST

START_TEST(a_failed_sync_ends_a_chain)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_write(rig.file, bytes, PAGE, 0), op_sync(rig.file),
                           op_write(rig.file, bytes, PAGE, PAGE)};

    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .value = -EIO});
    run_chain(rig.queue, ops, (const int64_t[]){PAGE, -EIO, -ECANCELED}, 3);
    REQUIRE_EQ(disk_size("file"), PAGE);
    /* The handle is closed to a chain as to any write: none of it is taken. */
    link_ops(ops, 3);
    EXPECT(aio_queue_submit(rig.queue, ops, 3, NULL), -EIO);
    EXPECT(aio_file_clear_error(rig.file), -EIO);
    run_chain(rig.queue, ops, (const int64_t[]){PAGE, 0, PAGE}, 3);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* A follower enters its file when it starts, as if it had been submitted then. */
START_TEST(a_follower_is_not_written_after_a_sync_failed)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_read(rig.file, bytes, 0, 0), op_write(rig.file, bytes, PAGE, 0),
                           op_write(rig.file, bytes, PAGE, PAGE)};
    aio_request_id ids[3];

    fault_hold(rig.fault, FAULT_READS);
    submit_chain(rig.queue, ops, 3, ids);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .value = -EIO});
    {
        struct aio_op sync = op_sync(rig.file);

        REQUIRE_EQ(run_op(rig.queue, &sync).result, -EIO);
    }
    release_all(&rig);
    expect_results(rig.queue, ids, (const int64_t[]){0, -EIO, -ECANCELED}, 3);
    EXPECT(aio_file_clear_error(rig.file), -EIO);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- each for itself ------------------------------------------------------------------------ */

struct order {
    atomic_uint count;
    int64_t results[8];
    aio_request_id ids[8];
    uint32_t flags[8];
};

static void note(const struct aio_completion *completion)
{
    struct order *order = completion->context;
    unsigned place = order->count;

    REQUIRE(place < COUNT(order->results));
    order->results[place] = completion->result;
    order->ids[place] = completion->id;
    order->flags[place] = completion->flags;
    order->count++;
}

START_TEST(each_has_its_own_callback_and_way_out)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct order order = {0};
    struct aio_completion reaped[8];

    for (unsigned failing = 0; failing < 2; failing++) {
        struct aio_op ops[6];
        aio_request_id ids[6];

        for (unsigned index = 0; index < 6; index++) {
            ops[index] = op_write(rig.file, bytes, PAGE, index * PAGE);
            ops[index].context = &order;
            if (index % 3 == 0)
                ops[index].on_complete = note;
            if (index % 3 == 1)
                ops[index].flags |= AIO_OP_WAITED;
        }
        order.count = 0;
        if (failing > 0)
            fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, .value = -ENOSPC});
        submit_chain(rig.queue, ops, 6, ids);
        EXPECT(aio_queue_drain(rig.queue, NULL), 0);
        REQUIRE_EQ(order.count, 2);
        REQUIRE_EQ(order.results[0], failing > 0 ? -ENOSPC : (int)PAGE);
        REQUIRE_EQ(order.results[1], failing > 0 ? -ECANCELED : (int)PAGE);
        REQUIRE(order.ids[0] == ids[0] && order.ids[1] == ids[3]);
        EXPECT(aio_queue_reap(rig.queue, reaped, 8, 8, NULL), 2);
        REQUIRE(reaped[0].id == ids[2] && reaped[1].id == ids[5]);
        REQUIRE_EQ(reaped[1].result, failing > 0 ? -ECANCELED : (int)PAGE);
        REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, failing > 0 ? -ECANCELED : (int)PAGE);
        REQUIRE_EQ(completion_of(rig.queue, ids[4]).result, failing > 0 ? -ECANCELED : (int)PAGE);
    }
    fault_clear(rig.fault);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* A deadline runs from the submit, for those too that have not started. */
START_TEST(followers_have_deadlines_from_the_submit)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct order order = {0};
    struct aio_op ops[] = {op_write(rig.file, bytes, PAGE, 0),
                           op_write(rig.file, bytes, PAGE, PAGE),
                           op_write(rig.file, bytes, PAGE, 2 * PAGE)};
    struct aio_completion reaped;
    aio_request_id ids[3];

    ops[1].deadline = 20 * 1000000;
    ops[2].deadline = 20 * 1000000;
    ops[2].on_complete = note;
    ops[2].context = &order;
    fault_hold(rig.fault, FAULT_ALL);
    submit_chain(rig.queue, ops, 3, ids);
    EXPECT(aio_queue_reap(rig.queue, &reaped, 1, 1, NULL), 1);
    REQUIRE(reaped.id == ids[1]);
    REQUIRE_EQ(reaped.result, -ETIMEDOUT);
    REQUIRE_EQ(reaped.flags, AIO_COMPLETION_MORE);
    EVENTUALLY(order.count == 1);
    REQUIRE_EQ(order.flags[0], AIO_COMPLETION_MORE);
    REQUIRE_EQ(order.results[0], -ETIMEDOUT);
    REQUIRE_EQ(fault_steps(rig.fault), 1);
    release_all(&rig);
    expect_results(rig.queue, ids, (const int64_t[]){PAGE, PAGE}, 2);
    EVENTUALLY(order.count == 2);
    REQUIRE_EQ(order.results[1], PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- all or nothing ------------------------------------------------------------------------- */

START_TEST(a_chain_is_taken_whole_or_not_at_all)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_queue *deep = open_queue(AIO_QUEUE_LINK_MAX + 8, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[AIO_QUEUE_LINK_MAX + 1];
    int64_t results[AIO_QUEUE_LINK_MAX];
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    aio_request_id ids[AIO_QUEUE_LINK_MAX];

    /* The link of the last one leads nowhere. */
    for (unsigned count = 1; count <= 3; count++) {
        for (unsigned index = 0; index < count; index++)
            ops[index] = op_write(file, bytes, PAGE, index * PAGE);
        link_ops(ops, count + 1);
        EXPECT(aio_queue_submit(queue, ops, count, ids), -EINVAL);
    }
    /* Longer than the queue is deep, longer than any chain. */
    for (unsigned index = 0; index < COUNT(ops); index++) {
        ops[index] = op_nop();
        if (index < COUNT(results))
            results[index] = 0;
    }
    link_ops(ops, 9);
    EXPECT(aio_queue_submit(queue, ops, 9, ids), -EINVAL);
    link_ops(ops, COUNT(ops));
    EXPECT(aio_queue_submit(deep, ops, COUNT(ops), ids), -EINVAL);
    ops[AIO_QUEUE_LINK_MAX - 1].flags = 0;
    EXPECT(aio_queue_submit(deep, ops, AIO_QUEUE_LINK_MAX, ids), AIO_QUEUE_LINK_MAX);
    expect_results(deep, ids, results, AIO_QUEUE_LINK_MAX);
    ops[7].flags = 0;
    EXPECT(aio_queue_submit(queue, ops, 8, ids), 8);
    expect_results(queue, ids, results, 8);
    /* One of them cannot be: none of the chain, all that is before it. */
    for (unsigned bad = 2; bad <= 4; bad++) {
        ops[0] = op_write(file, bytes, PAGE, 0);
        ops[1] = op_write(file, bytes, PAGE, PAGE);
        for (unsigned index = 2; index <= 4; index++)
            ops[index] = op_append(file, bytes, PAGE);
        link_ops(ops, 2);
        link_ops(ops + 2, 3);
        ops[5] = op_nop();
        ops[bad].reserved2[0] = 1;
        EXPECT(aio_queue_submit(queue, ops, 6, ids), 2);
        expect_results(queue, ids, (const int64_t[]){PAGE, PAGE}, 2);
        EXPECT(aio_queue_submit(queue, ops + 2, 4, ids), -EINVAL);
        REQUIRE_EQ(aio_file_size(file), 2 * PAGE);
        EXPECT(aio_queue_stats(queue, &stats), 0);
        REQUIRE_EQ(stats.held, 0);
        /* Nothing is left of the refused ones for a sync to wait for. */
        EXPECT(aio_file_sync(file), 0);
        ops[0] = op_drain(file);
        REQUIRE_EQ(run_op(queue, &ops[0]).result, 0);
    }
    ops[0] = op_nop();
    ops[0].flags = AIO_OP_LINK;
    EXPECT(aio_file_execute(file, &ops[0]), -EINVAL);
    close_file(file);
    close_queue(queue);
    close_queue(deep);
    free(bytes);
}
END_TEST

/* --- slots ---------------------------------------------------------------------------------- */

START_TEST(a_chain_wants_all_its_slots_at_once)
{
    struct rig rig = rig_open(4, AIO_QUEUE_NONBLOCK);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op ops[] = {op_nop(), op_nop(), op_nop(), op_nop()};
    aio_request_id ids[4];
    aio_request_id first;

    fault_hold(rig.fault, FAULT_ALL);
    first = submit_one(rig.queue, &write);
    link_ops(ops, 4);
    EXPECT(aio_queue_submit(rig.queue, ops, 4, ids), -EAGAIN);
    /* What fits is taken, the chain behind it is not. */
    link_ops(ops, 3);
    ops[0].flags = 0;
    ops[2].flags = AIO_OP_LINK;
    EXPECT(aio_queue_submit(rig.queue, ops, 4, ids), 1);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, 0);
    EXPECT(aio_queue_submit(rig.queue, ops + 1, 3, ids), 3);
    expect_results(rig.queue, ids, (const int64_t[]){0, 0, 0}, 3);
    release_all(&rig);
    /* The write's result is not taken: that takes the room that the chain would need. */
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    link_ops(ops, 4);
    EXPECT(aio_queue_submit(rig.queue, ops, 4, ids), -EBUSY);
    REQUIRE_EQ(completion_of(rig.queue, first).result, PAGE);
    EXPECT(aio_queue_submit(rig.queue, ops, 4, ids), 4);
    expect_results(rig.queue, ids, (const int64_t[]){0, 0, 0, 0}, 4);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* Slots come free by callbacks: nobody has to take a result. */
struct submitter {
    struct aio_queue *queue;
    struct aio_file *file;
    unsigned length;
    unsigned rounds;
    atomic_bool stop;
    atomic_bool done;
    atomic_int number;
    atomic_uint submitted;
    atomic_uint completed;
};

static void count_one(const struct aio_completion *completion)
{
    struct submitter *submitter = completion->context;

    REQUIRE_EQ(completion->result, 0);
    submitter->completed++;
}

static struct aio_op op_counted(struct submitter *submitter)
{
    struct aio_op read = op_read(submitter->file, NULL, 0, 0);

    read.on_complete = count_one;
    read.context = submitter;
    return read;
}

static void *submit_singles(void *argument)
{
    struct submitter *submitter = argument;

    submitter->number = thread_number();
    while (!submitter->stop) {
        struct aio_op read = op_counted(submitter);

        EXPECT(aio_queue_submit(submitter->queue, &read, 1, NULL), 1);
        submitter->submitted++;
    }
    return NULL;
}

static void *submit_chains(void *argument)
{
    struct submitter *submitter = argument;
    struct aio_op ops[8];

    submitter->number = thread_number();
    for (unsigned round = 0; round < submitter->rounds; round++) {
        for (unsigned index = 0; index < submitter->length; index++)
            ops[index] = op_counted(submitter);
        link_ops(ops, submitter->length);
        EXPECT(aio_queue_submit(submitter->queue, ops, submitter->length, NULL), submitter->length);
        submitter->submitted += submitter->length;
    }
    submitter->done = true;
    return NULL;
}

/* Threads that keep the table full of single operations; one that wants all of it. */
START_TEST(single_operations_do_not_starve_a_chain)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    struct submitter singles = {.queue = queue, .file = file};
    struct submitter chains[2] = {
        {.queue = queue, .file = file, .length = 4, .rounds = 300 / slowness()},
        {.queue = queue, .file = file, .length = 3, .rounds = 300 / slowness()}};
    pthread_t threads[8];

    for (unsigned index = 0; index < 6; index++)
        thread_begin(&threads[index], submit_singles, &singles);
    for (unsigned index = 0; index < 2; index++)
        thread_begin(&threads[6 + index], submit_chains, &chains[index]);
    EVENTUALLY(chains[0].done && chains[1].done);
    singles.stop = true;
    for (unsigned index = 0; index < 8; index++)
        thread_end(threads[index]);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    for (unsigned index = 0; index < 2; index++)
        REQUIRE_EQ(chains[index].completed, chains[index].submitted);
    REQUIRE_EQ(singles.completed, singles.submitted);
    close_file(file);
    close_queue(queue);
}
END_TEST

/* A chain that waits has its turn: what comes later does not get the slots that come free. */
START_TEST(a_waiting_chain_has_its_turn)
{
    struct rig rig = rig_open(4, 0);
    struct submitter first = {.queue = rig.queue, .file = rig.file};
    struct submitter chain = {.queue = rig.queue, .file = rig.file, .length = 3, .rounds = 30};
    struct submitter single = {.queue = rig.queue, .file = rig.file};
    struct aio_op read = op_counted(&first);
    pthread_t threads[2];

    fault_hold(rig.fault, FAULT_ALL);
    for (unsigned index = 0; index < 3; index++)
        submit_one(rig.queue, &read);
    thread_begin(&threads[0], submit_chains, &chain);
    EVENTUALLY(chain.number != 0 && thread_state(chain.number) == 'S');
    sleep_us(20000);
    /* One slot is free, and not for this one. */
    thread_begin(&threads[1], submit_singles, &single);
    EVENTUALLY(single.number != 0 && thread_state(single.number) == 'S');
    sleep_us(20000);
    REQUIRE_EQ(fault_steps(rig.fault), 3);
    fault_release(rig.fault, 1);
    EVENTUALLY(first.completed == 1);
    sleep_us(20000);
    REQUIRE_EQ(single.submitted, 0);
    REQUIRE_EQ(chain.submitted, 0);
    single.stop = true;
    fault_release(rig.fault, 1);
    EVENTUALLY(chain.submitted == 3);
    REQUIRE_EQ(single.submitted, 0);
    release_all(&rig);
    EVENTUALLY(chain.done && single.submitted == 1);
    thread_end(threads[0]);
    thread_end(threads[1]);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    REQUIRE_EQ(chain.completed, chain.submitted);
    rig_close(&rig);
}
END_TEST

struct caller {
    struct aio_queue *queue;
    struct aio_op ops[3];
    int results[3];
    atomic_bool done;
};

static void submit_in_callback(const struct aio_completion *completion)
{
    struct caller *caller = completion->context;

    link_ops(caller->ops, 3);
    caller->results[0] = aio_queue_submit(caller->queue, caller->ops, 3, NULL);
    caller->results[1] = aio_queue_submit(caller->queue, caller->ops, 3, NULL);
    caller->results[2] = aio_queue_submit(caller->queue, caller->ops + 2, 1, NULL);
    caller->done = true;
}

START_TEST(a_callback_submits_a_chain_where_there_is_room)
{
    struct rig rig = rig_open(4, 0);
    struct caller caller = {.queue = rig.queue};
    struct aio_op nop = op_nop();
    struct aio_completion reaped[4];

    for (unsigned index = 0; index < 3; index++)
        caller.ops[index] = op_read(rig.file, NULL, 0, 0);
    nop.on_complete = submit_in_callback;
    nop.context = &caller;
    fault_hold(rig.fault, FAULT_ALL);
    submit_one(rig.queue, &nop);
    EVENTUALLY(caller.done);
    REQUIRE_EQ(caller.results[0], 3);
    REQUIRE_EQ(caller.results[1], -EAGAIN);
    REQUIRE_EQ(caller.results[2], 1); /* the slot of the callback itself */
    release_all(&rig);
    EXPECT(aio_queue_reap(rig.queue, reaped, 4, 4, NULL), 4);
    rig_close(&rig);
}
END_TEST

/* --- cancel --------------------------------------------------------------------------------- */

START_TEST(a_cancelled_follower_takes_those_after_it_along)
{
    for (unsigned which = 1; which < 4; which++) {
        struct rig rig = rig_open(8, 0);
        char *bytes = pattern_alloc(PAGE, 0, 1);
        struct aio_op ops[4];
        struct aio_op sync = op_drain(rig.file);
        int64_t expected[4];
        aio_request_id ids[4];
        aio_request_id covers;

        for (unsigned index = 0; index < 4; index++) {
            ops[index] = op_write(rig.file, bytes, PAGE, index * PAGE);
            expected[index] = index < which ? (int)PAGE : -ECANCELED;
        }
        fault_hold(rig.fault, FAULT_WRITES);
        submit_chain(rig.queue, ops, 4, ids);
        covers = submit_one(rig.queue, &sync);
        EXPECT(aio_queue_cancel(rig.queue, ids[which]), 0);
        EXPECT(aio_queue_cancel(rig.queue, ids[which]), -EALREADY);
        expect_results(rig.queue, ids + which, expected + which, 4 - which);
        EXPECT(aio_queue_cancel(rig.queue, ids[which]), -ESTALE);
        EXPECT(aio_queue_wait(rig.queue, covers, &no_time), -ETIMEDOUT);
        release_all(&rig);
        expect_results(rig.queue, ids, expected, which);
        REQUIRE_EQ(completion_of(rig.queue, covers).result, 0);
        REQUIRE_EQ(fault_steps(rig.fault), which + 1);
        rig_close(&rig);
        free(bytes);
    }
}
END_TEST

/* The head waits for its file; then it, the sync behind it and the file are given up. */
START_TEST(a_cancelled_head_takes_all_along)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op truncate = op_truncate(rig.file, 0);
    struct aio_op sync = op_drain(rig.file);
    struct aio_op ops[3];
    aio_request_id ids[3];
    aio_request_id others[3];

    for (unsigned index = 0; index < 3; index++)
        ops[index] = op_write(rig.file, bytes, PAGE, index * PAGE);
    fault_hold(rig.fault, FAULT_WRITES);
    others[0] = submit_one(rig.queue, &write);
    others[1] = submit_one(rig.queue, &truncate);
    submit_chain(rig.queue, ops, 3, ids);
    others[2] = submit_one(rig.queue, &sync);
    EXPECT(aio_queue_cancel(rig.queue, ids[0]), 0);
    expect_results(rig.queue, ids, (const int64_t[]){-ECANCELED, -ECANCELED, -ECANCELED}, 3);
    release_all(&rig);
    expect_results(rig.queue, others, (const int64_t[]){PAGE, 0, 0}, 3);
    REQUIRE_EQ(disk_size("file"), 0);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* A draining sync can be taken back where it waits for followers. */
START_TEST(a_sync_that_waits_for_followers_can_be_cancelled)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_write(rig.file, bytes, PAGE, 0),
                           op_write(rig.file, bytes, PAGE, PAGE)};
    struct aio_op syncs[] = {op_drain(rig.file), op_write(rig.file, bytes, PAGE, 2 * PAGE)};
    aio_request_id ids[2];
    aio_request_id behind[2];

    fault_hold(rig.fault, FAULT_WRITES);
    submit_chain(rig.queue, ops, 2, ids);
    submit_chain(rig.queue, syncs, 2, behind);
    EXPECT(aio_queue_cancel(rig.queue, behind[0]), 0);
    expect_results(rig.queue, behind, (const int64_t[]){-ECANCELED, -ECANCELED}, 2);
    release_all(&rig);
    expect_results(rig.queue, ids, (const int64_t[]){PAGE, PAGE}, 2);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* A sync that was taken back has lost nothing. */
START_TEST(a_cancelled_sync_is_no_failure)
{
    struct aio_queue *queue = open_queue(64, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(PAGE, 0, 1);

    for (unsigned round = 0; round < 10; round++) {
        struct aio_op ops[64];
        aio_request_id ids[64];

        /* More than an engine's threads begin at once. */
        for (unsigned index = 0; index < 64; index++)
            ops[index] = index % 2 == 0 ? op_write(file, bytes, PAGE, index * PAGE) : op_sync(file);
        EXPECT(aio_queue_submit(queue, ops, 64, ids), 64);
        for (unsigned index = 1; index < 64; index += 2)
            aio_queue_cancel(queue, ids[index]);
        for (unsigned index = 0; index < 64; index++) {
            int64_t result = completion_of(queue, ids[index]).result;

            if (index % 2 == 0)
                REQUIRE_EQ(result, PAGE);
            else
                REQUIRE(result == 0 || result == -ECANCELED);
        }
        EXPECT(aio_file_sync(file), 0);
    }
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

/* --- who waits for chains ------------------------------------------------------------------- */

static void *destroy_queue(void *queue)
{
    EXPECT(aio_queue_destroy(queue, AIO_QUEUE_DISCARD), 0);
    return NULL;
}

static void *close_it(void *file)
{
    EXPECT(aio_file_close(file), 0);
    return NULL;
}

START_TEST(drain_destroy_and_close_wait_for_chains)
{
    struct aio_file *other = open_direct("other");
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_write(rig.file, bytes, PAGE, 0), op_write(other, bytes, PAGE, 0),
                           op_write(rig.file, bytes, PAGE, PAGE), op_truncate(other, 2 * PAGE)};
    const struct timespec moment = milliseconds(20);
    aio_request_id ids[4];
    pthread_t threads[2];

    fault_hold(rig.fault, FAULT_ALL);
    submit_chain(rig.queue, ops, 4, ids);
    EVENTUALLY(fault_held(rig.fault) == 1);
    EXPECT(aio_queue_drain(rig.queue, &moment), -ETIMEDOUT);
    thread_begin(&threads[0], close_it, other);
    thread_begin(&threads[1], destroy_queue, rig.queue);
    sleep_us(20000);
    for (unsigned step = 1; step <= 3; step++) {
        EVENTUALLY(fault_held(rig.fault) == 1);
        fault_release(rig.fault, 1);
    }
    thread_end(threads[0]);
    thread_end(threads[1]);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    REQUIRE_EQ(disk_size("other"), 2 * PAGE);
    free(bytes);
    {
        /* Its calls went through the engine of the queue, which is no more. */
        struct fault *fault = fault_create(test_engine, 1);

        fault_attach(fault, rig.file);
        close_file(rig.file);
        fault_destroy(fault);
    }
}
END_TEST

/* --- syncs that drain ----------------------------------------------------------------------- */

START_TEST(a_draining_sync_covers_followers)
{
    for (unsigned which = 0; which < 4; which++) {
        struct rig rig = rig_open(8, 0);
        char *bytes = pattern_alloc(PAGE, 0, 1);
        struct aio_op first[] = {op_read(rig.file, bytes, 0, 0),
                                 op_write(rig.file, bytes, PAGE, 0)};
        struct aio_op appends[] = {op_read(rig.file, bytes, 0, 0),
                                   op_append(rig.file, bytes, PAGE)};
        struct aio_op space[] = {op_read(rig.file, bytes, 0, 0), op_truncate(rig.file, PAGE)};
        struct aio_op worker[] = {op_read(rig.file, bytes, 0, 0),
                                  op_write(rig.file, bytes, 100, 0)};
        struct aio_op *chains[] = {first, appends, space, worker};
        static const int64_t moved[] = {PAGE, PAGE, 0, 100};
        struct aio_op sync = op_drain(rig.file);
        unsigned steps = which == 2 ? 2 : 3;
        aio_request_id ids[2];
        aio_request_id id;

        fault_hold(rig.fault, FAULT_READS);
        submit_chain(rig.queue, chains[which], 2, ids);
        id = submit_one(rig.queue, &sync);
        sleep_us(30000);
        REQUIRE_EQ(fault_steps(rig.fault), 1);
        release_all(&rig);
        REQUIRE_EQ(completion_of(rig.queue, id).result, 0);
        expect_results(rig.queue, ids, (const int64_t[]){0, moved[which]}, 2);
        REQUIRE_EQ(fault_steps(rig.fault), steps);
        REQUIRE_EQ(fault_step(rig.fault, steps - 1).opcode, AIO_OP_SYNC);
        rig_close(&rig);
        free(bytes);
    }
}
END_TEST

/* A sync without DRAIN waits for nobody. */
START_TEST(other_syncs_do_not_wait)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_read(rig.file, bytes, 0, 0), op_write(rig.file, bytes, PAGE, 0)};
    struct aio_op sync = op_sync(rig.file);
    struct aio_op later[] = {op_drain(rig.file), op_write(rig.file, bytes, PAGE, PAGE)};
    aio_request_id ids[2];
    aio_request_id behind[2];

    /* Nor does one for what comes after it. */
    fault_hold(rig.fault, FAULT_SYNCS);
    submit_chain(rig.queue, later, 2, behind);
    EVENTUALLY(fault_held(rig.fault) == 1);
    release_all(&rig);
    expect_results(rig.queue, behind, (const int64_t[]){0, PAGE}, 2);
    fault_hold(rig.fault, FAULT_READS);
    submit_chain(rig.queue, ops, 2, ids);
    REQUIRE_EQ(run_op(rig.queue, &sync).result, 0);
    release_all(&rig);
    expect_results(rig.queue, ids, (const int64_t[]){0, PAGE}, 2);
    rig_close(&rig);
    free(bytes);
}
END_TEST

struct syncer {
    struct aio_file *file;
    int64_t result;
    atomic_int number;
    atomic_bool done;
};

static void *sync_blocking(void *argument)
{
    struct syncer *syncer = argument;

    syncer->number = thread_number();
    syncer->result = aio_file_sync(syncer->file);
    syncer->done = true;
    return NULL;
}

START_TEST(a_blocking_sync_waits_for_followers)
{
    struct rig rig = rig_open(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_write(rig.file, bytes, PAGE, 0),
                           op_write(rig.file, bytes, PAGE, PAGE),
                           op_write(rig.file, bytes, 100, 2 * PAGE)};
    struct syncer syncer = {.file = rig.file};
    aio_request_id ids[3];
    pthread_t thread;

    fault_hold(rig.fault, FAULT_WRITES);
    submit_chain(rig.queue, ops, 3, ids);
    EVENTUALLY(fault_held(rig.fault) == 1);
    thread_begin(&thread, sync_blocking, &syncer);
    EVENTUALLY(syncer.number != 0 && thread_state(syncer.number) == 'S');
    sleep_us(20000);
    REQUIRE(!syncer.done);
    fault_release(rig.fault, 1);
    EVENTUALLY(fault_held(rig.fault) == 1);
    sleep_us(20000);
    REQUIRE(!syncer.done);
    REQUIRE_EQ(fault_steps(rig.fault), 2);
    release_all(&rig);
    EVENTUALLY(syncer.done);
    REQUIRE_EQ(syncer.result, 0);
    thread_end(thread);
    REQUIRE_EQ(fault_step(rig.fault, 3).opcode, AIO_OP_SYNC);
    expect_results(rig.queue, ids, (const int64_t[]){PAGE, PAGE, 100}, 3);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* Chain, draining sync and a held gate at once. */
START_TEST(chains_drains_and_truncates_do_not_wait_in_a_circle)
{
    struct rig rig = rig_open(16, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op held = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op truncate = op_truncate(rig.file, 8 * PAGE);
    struct aio_op again = op_truncate(rig.file, 16 * PAGE);
    struct aio_op sync = op_drain(rig.file);
    struct aio_op writes[] = {op_write(rig.file, bytes, PAGE, 0),
                              op_write(rig.file, bytes, PAGE, PAGE),
                              op_append(rig.file, bytes, PAGE)};
    struct aio_op drains[] = {op_drain(rig.file), op_write(rig.file, bytes, PAGE, 2 * PAGE),
                              op_drain(rig.file), op_write(rig.file, bytes, 100, 3 * PAGE)};
    aio_request_id ids[3];
    aio_request_id others[5];
    aio_request_id behind[4];
    struct aio_completion append;

    for (unsigned round = 0; round < 3; round++) {
        EXPECT(aio_file_truncate(rig.file, 0), 0);
        fault_hold(rig.fault, FAULT_WRITES);
        others[0] = submit_one(rig.queue, &held);
        others[1] = submit_one(rig.queue, &truncate); /* behind it */
        submit_chain(rig.queue, writes, 3, ids);      /* behind that */
        others[2] = submit_one(rig.queue, &sync);     /* waits for the two followers */
        others[3] = submit_one(rig.queue, &again);    /* behind the head alone */
        if (round > 0)
            submit_chain(rig.queue, drains, 4, behind);
        others[4] = submit_one(rig.queue, &sync);
        EVENTUALLY(fault_held(rig.fault) == 1);
        if (round > 1)
            EXPECT(aio_queue_cancel(rig.queue, ids[1]), 0);
        release_all(&rig);
        expect_results(rig.queue, others, (const int64_t[]){PAGE, 0, 0, 0, 0}, 5);
        if (round < 2) {
            expect_results(rig.queue, ids, (const int64_t[]){PAGE, PAGE}, 2);
            append = completion_of(rig.queue, ids[2]);
            REQUIRE_EQ(append.result, PAGE);
            REQUIRE(append.offset == 16 * PAGE || append.offset == 8 * PAGE);
        } else {
            expect_results(rig.queue, ids, (const int64_t[]){PAGE, -ECANCELED, -ECANCELED}, 3);
        }
        if (round > 0)
            expect_results(rig.queue, behind, (const int64_t[]){0, PAGE, 0, 100}, 4);
    }
    rig_close(&rig);
    free(bytes);
}
END_TEST

struct hammer {
    struct aio_queue *queue;
    struct aio_file *files[2];
    char *bytes;
    uint64_t seed;
};

/* Chains of whatever, some of which are cancelled: all come to their end. */
static void *hammer_chains(void *argument)
{
    struct hammer *hammer = argument;
    uint64_t state = hammer->seed;

    for (unsigned round = 0; round < 150 * test_scale(); round++) {
        unsigned length = 1 + (unsigned)(random_next(&state) % 5);
        struct aio_op ops[5];
        aio_request_id ids[5];
        int error;

        for (unsigned index = 0; index < length; index++) {
            struct aio_file *file = hammer->files[random_next(&state) % 2];
            int64_t offset = (int64_t)(random_next(&state) % 16 * PAGE);

            switch (random_next(&state) % 8) {
            case 0:
                ops[index] = op_drain(file);
                break;
            case 1:
                ops[index] = op_truncate(file, offset);
                break;
            case 2:
                ops[index] = op_append(file, hammer->bytes, PAGE);
                break;
            case 3:
                ops[index] = op_write(file, hammer->bytes, 100, offset + 10);
                break;
            case 4:
                ops[index] = op_nop();
                break;
            case 5:
                ops[index] = op_sync(file);
                break;
            default:
                ops[index] = op_write(file, hammer->bytes, PAGE, offset);
                break;
            }
        }
        link_ops(ops, length);
        /* Results that other threads are about to take may fill the table. */
        do
            error = aio_queue_submit(hammer->queue, ops, length, ids);
        while (error == -EBUSY);
        REQUIRE_EQ(error, length);
        if (random_next(&state) % 3 == 0) {
            error = aio_queue_cancel(hammer->queue, ids[random_next(&state) % length]);

            REQUIRE(error == 0 || error == -EBUSY || error == -EALREADY);
        }
        if (random_next(&state) % 8 == 0)
            EXPECT(aio_file_sync(hammer->files[0]), 0);
        if (random_next(&state) % 8 == 0)
            EXPECT(aio_file_truncate(hammer->files[1], 0), 0);
        for (unsigned index = 0; index < length; index++) {
            int64_t result = completion_of(hammer->queue, ids[index]).result;

            REQUIRE(result >= 0 || result == -ECANCELED);
        }
    }
    return NULL;
}

START_TEST(chains_of_many_threads_come_to_their_end)
{
    struct aio_queue *queues[2] = {open_queue(5, 0), open_queue(16, 0)};
    struct aio_file *files[2] = {open_direct("one"), open_direct("two")};
    struct hammer hammers[4];
    pthread_t threads[4];

    for (unsigned index = 0; index < COUNT(threads); index++) {
        hammers[index] = (struct hammer){
            queues[index % 2], {files[0], files[1]}, pattern_alloc(PAGE, 0, index), mix(index + 1)};
        thread_begin(&threads[index], hammer_chains, &hammers[index]);
    }
    for (unsigned index = 0; index < COUNT(threads); index++) {
        thread_end(threads[index]);
        free(hammers[index].bytes);
    }
    for (unsigned index = 0; index < 2; index++) {
        EXPECT(aio_file_sync(files[index]), 0);
        close_file(files[index]);
        close_queue(queues[index]);
    }
}
END_TEST

/* --- against a model ------------------------------------------------------------------------ */

#define MODEL_BYTES (48 * PAGE)
#define MODEL_FILES 4u
#define MODEL_CHAIN 10u

/* What a file should be, by doing one thing after the other. */
struct model {
    char bytes[MODEL_BYTES];
    int64_t size;
};

struct planned {
    struct aio_op op;
    char *memory;
    char expected[4 * PAGE]; /* of a read */
    int64_t result;
    int64_t where; /* of an append; -1 */
};

static int64_t model_write(struct model *model, const char *bytes, int64_t length, int64_t offset)
{
    memcpy(model->bytes + offset, bytes, (size_t)length);
    if (model->size < offset + length)
        model->size = offset + length;
    return length;
}

static int64_t model_truncate(struct model *model, int64_t size)
{
    if (size < model->size)
        memset(model->bytes + size, 0, (size_t)(model->size - size));
    model->size = size;
    return 0;
}

static int64_t model_read(const struct model *model, char *bytes, int64_t length, int64_t offset)
{
    if (offset >= model->size)
        return 0;
    if (length > model->size - offset)
        length = model->size - offset;
    memcpy(bytes, model->bytes + offset, (size_t)length);
    return length;
}

/* Makes up an operation and does it to the model, unless the chain has come to its end. Returns
 * whether it goes on. */
static bool plan(struct planned *planned, struct aio_file *file, struct model *model,
                 uint64_t *state, bool alive)
{
    bool aligned = random_next(state) % 2 == 0;
    int64_t length = (int64_t)(aligned ? (1 + random_next(state) % 3) * PAGE
                                       : 1 + random_next(state) % (2 * PAGE));
    int64_t offset =
        (int64_t)(random_next(state) % (aligned ? 12 : 12 * PAGE)) * (int64_t)(aligned ? PAGE : 1);
    uint64_t what = random_next(state) % 12;

    pattern_fill(planned->memory, 4 * PAGE, 0, random_next(state));
    planned->where = -1;
    planned->result = 0;
    if (what < 4) {
        planned->op = op_write(file, planned->memory, (uint64_t)length, offset);
        if (alive)
            planned->result = model_write(model, planned->memory, length, offset);
    } else if (what < 6 && model->size < 20 * PAGE) {
        planned->op = op_append(file, planned->memory, (uint64_t)length);
        planned->where = alive ? model->size : -1;
        if (alive)
            planned->result = model_write(model, planned->memory, length, model->size);
    } else if (what < 9) {
        planned->op = op_read(file, planned->memory, (uint64_t)length, offset);
        if (alive)
            planned->result = model_read(model, planned->expected, length, offset);
    } else if (what == 9) {
        planned->op = op_truncate(file, offset);
        if (alive)
            planned->result = model_truncate(model, offset);
    } else {
        planned->op = what == 10 ? op_drain(file) : op_sync(file);
    }
    if (!alive)
        planned->result = -ECANCELED;
    return alive && (planned->op.opcode != AIO_OP_READ || planned->result == length);
}

static void check_planned(const struct planned *planned, const struct aio_completion *completion)
{
    if (completion->result != planned->result)
        ck_abort_msg("opcode %u at %lld of %llu: %lld, not %lld", planned->op.opcode,
                     (long long)planned->op.offset, (unsigned long long)planned->op.len,
                     (long long)completion->result, (long long)planned->result);
    if (planned->where >= 0)
        REQUIRE_EQ(completion->offset, planned->where);
    if (planned->op.opcode == AIO_OP_READ && planned->result > 0)
        REQUIRE(memcmp(planned->memory, planned->expected, (size_t)planned->result) == 0);
}

static struct aio_file *open_model(unsigned index)
{
    static const char *const names[MODEL_FILES] = {"direct", "cached", "grows", "bounced"};
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.direct = index == 1 ? AIO_DIRECT_NEVER : AIO_DIRECT_REQUIRED;
    options.grow_ahead = index == 2 ? 64 * KIB : 0;
    EXPECT(aio_file_open(scratch_path(names[index]), O_RDWR | O_CREAT | O_TRUNC, 0600, &options,
                         &file),
           0);
    return file;
}

static void check_contents(struct aio_file *file, const struct model *model)
{
    char *bytes = page_alloc(MODEL_BYTES);

    REQUIRE_EQ(aio_file_size(file), model->size);
    EXPECT(aio_file_pread(file, bytes, MODEL_BYTES, 0), model->size);
    REQUIRE(memcmp(bytes, model->bytes, (size_t)model->size) == 0);
    free(bytes);
}

static void check_against_model(struct fault *fault, struct aio_queue *queue, unsigned rounds,
                                uint64_t seed)
{
    struct model *models = calloc(MODEL_FILES, sizeof(*models));
    struct planned *planned = calloc(MODEL_FILES * MODEL_CHAIN, sizeof(*planned));
    struct aio_file *files[MODEL_FILES];
    struct aio_op ops[MODEL_FILES * MODEL_CHAIN];
    aio_request_id ids[MODEL_FILES * MODEL_CHAIN];
    uint64_t state = mix(seed);

    for (unsigned index = 0; index < MODEL_FILES; index++) {
        files[index] = open_model(index);
        if (fault != NULL)
            fault_attach(fault, files[index]);
    }
    for (unsigned index = 0; index < MODEL_FILES * MODEL_CHAIN; index++)
        planned[index].memory = (char *)page_alloc(4 * PAGE + 1) + (index % 10 == 9);
    for (unsigned round = 0; round < rounds; round++) {
        unsigned count = 0;

        /* One chain for each file: what they do to one another's files is nothing. */
        for (unsigned index = 0; index < MODEL_FILES; index++) {
            unsigned length = 1 + (unsigned)(random_next(&state) % MODEL_CHAIN);
            bool alive = true;

            for (unsigned place = 0; place < length; place++) {
                alive = plan(&planned[count + place], files[index], &models[index], &state, alive);
                ops[count + place] = planned[count + place].op;
            }
            link_ops(ops + count, length);
            count += length;
        }
        EXPECT(aio_queue_submit(queue, ops, count, ids), count);
        for (unsigned index = 0; index < count; index++) {
            struct aio_completion completion = completion_of(queue, ids[index]);

            check_planned(&planned[index], &completion);
        }
        if (round % 16 == 0)
            for (unsigned index = 0; index < MODEL_FILES; index++)
                check_contents(files[index], &models[index]);
    }
    for (unsigned index = 0; index < MODEL_FILES; index++) {
        check_contents(files[index], &models[index]);
        close_file(files[index]);
    }
    for (unsigned index = 0; index < MODEL_FILES * MODEL_CHAIN; index++)
        free(planned[index].memory - (index % 10 == 9));
    free(planned);
    free(models);
}

START_TEST(chains_do_what_one_thing_after_the_other_does)
{
    struct aio_queue *queue = open_queue(MODEL_FILES * MODEL_CHAIN, 0);

    check_against_model(NULL, queue, 100 * test_scale(), 1);
    close_queue(queue);
}
END_TEST

START_TEST(also_where_transfers_come_in_parts_and_in_another_order)
{
    struct fault *fault = fault_create(test_engine, MODEL_FILES * MODEL_CHAIN);
    struct aio_queue *queue = fault_queue(fault, 0);

    fault_shorten_by_chance(fault, 5, 2, PAGE);
    fault_reverse(fault, true);
    check_against_model(fault, queue, 60 * test_scale(), 2);
    close_queue(queue);
}
END_TEST

START_TEST(also_in_an_owned_queue)
{
    struct aio_queue *queue = open_queue(MODEL_FILES * MODEL_CHAIN, AIO_QUEUE_OWNED);

    check_against_model(NULL, queue, 60 * test_scale(), 3);
    close_queue(queue);
}
END_TEST

static Suite *link_suite(void)
{
    Suite *suite = suite_create("link");
    const TTest *const models[] = {chains_do_what_one_thing_after_the_other_does,
                                   also_where_transfers_come_in_parts_and_in_another_order,
                                   also_in_an_owned_queue,
                                   chains_of_many_threads_come_to_their_end};

    ADD_TESTS(suite, "order", every_opcode_can_be_linked, nops_and_others_follow_one_another,
              what_workers_do_can_be_linked, a_chain_goes_from_file_to_file,
              a_follower_does_not_start_before_its_turn, a_follower_takes_its_place_when_it_starts,
              partial_transfers_come_to_their_end_before_the_next,
              a_refused_follower_is_tried_again);
    ADD_TESTS(suite, "failures", after_a_failure_the_rest_is_cancelled, a_part_is_no_success,
              a_read_beyond_the_program_s_end_is_no_success, what_workers_fail_at_ends_a_chain,
              a_failed_sync_ends_a_chain, a_follower_is_not_written_after_a_sync_failed);
    ADD_TESTS(suite, "own", each_has_its_own_callback_and_way_out,
              followers_have_deadlines_from_the_submit);
    ADD_TESTS(suite, "whole", a_chain_is_taken_whole_or_not_at_all);
    ADD_TESTS(suite, "slots", a_chain_wants_all_its_slots_at_once,
              single_operations_do_not_starve_a_chain, a_waiting_chain_has_its_turn,
              a_callback_submits_a_chain_where_there_is_room);
    ADD_TESTS(suite, "cancel", a_cancelled_follower_takes_those_after_it_along,
              a_cancelled_head_takes_all_along, a_sync_that_waits_for_followers_can_be_cancelled,
              a_cancelled_sync_is_no_failure);
    ADD_TESTS(suite, "waiting", drain_destroy_and_close_wait_for_chains);
    ADD_TESTS(suite, "drain", a_draining_sync_covers_followers, other_syncs_do_not_wait,
              a_blocking_sync_waits_for_followers,
              chains_drains_and_truncates_do_not_wait_in_a_circle);
    add_long_tests(suite, "model", models, COUNT(models), 20);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, link_suite);
}
