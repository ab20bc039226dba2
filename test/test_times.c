/* SPDX-License-Identifier: MIT */
/*
 * test_times.c - what a queue tells of its operations: counts, times, and who is in flight; and how
 * a file whose submits block has its operations executed by workers.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "pace.h"
#include "support.h"

/* How long a submit may take that does not block, and how long one takes that does. */
#define LIMIT_NS 50000000
#define LINGER_MS 70

/* A time that is not mistaken for anything else. */
#define WHILE_US 40000
#define WHILE_NS (WHILE_US * INT64_C(1000))

#define WORKERS 4u

static struct aio_queue_stats stats_of(struct aio_queue *queue)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    EXPECT(aio_queue_stats(queue, &stats), 0);
    REQUIRE_EQ(stats.size, sizeof(stats));
    return stats;
}

static struct aio_file_info info_of(struct aio_file *file)
{
    struct aio_file_info info = {.size = sizeof(info)};

    EXPECT(aio_file_info(file, &info), 0);
    return info;
}

static struct aio_file *open_limited(const char *name, int flags, uint64_t limit_ns)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.direct = AIO_DIRECT_REQUIRED;
    options.submit_limit_ns = limit_ns;
    EXPECT(aio_file_open(scratch_path(name), O_RDWR | O_CREAT | flags, 0600, &options, &file), 0);
    return file;
}

static struct rig limited_rig(uint32_t queue_flags, uint64_t limit_ns)
{
    struct rig rig = {.fault = fault_create(test_engine, 32)};
    char *bytes = pattern_alloc(64 * PAGE, 0, 1);

    rig.queue = fault_queue(rig.fault, queue_flags);
    rig.file = open_limited("file", O_TRUNC, limit_ns);
    fault_attach(rig.fault, rig.file);
    EXPECT(aio_file_pwrite(rig.file, bytes, 64 * PAGE, 0), 64 * PAGE);
    free(bytes);
    return rig;
}

/* Lets a queue that nobody else moves come to rest; results stay. */
static void settle(struct aio_queue *queue)
{
    struct timespec patience = milliseconds(LONG_MS);

    EXPECT(aio_queue_drain(queue, &patience), 0);
}

/* --- offload -------------------------------------------------------------------------------- */

static struct aio_completion read_page(struct rig *rig, uint32_t flags)
{
    char *page = page_alloc(PAGE);
    struct aio_op read = op_read(rig->file, page, PAGE, PAGE);
    struct aio_completion completion;

    read.flags = flags;
    completion = run_op(rig->queue, &read);
    if (completion.result == PAGE)
        pattern_check(page, PAGE, PAGE, 1);
    else
        REQUIRE((flags & AIO_OP_NOWAIT) != 0);
    free(page);
    return completion;
}

/* Submits that sleep, until the file's operations go to workers. Returns how many there were. */
static unsigned block_file(struct rig *rig)
{
    unsigned before = fault_submits(rig->fault);
    unsigned reads = 0;

    fault_linger(rig->fault, LINGER_MS);
    while (info_of(rig->file).offloaded == 0) {
        REQUIRE(reads < 1000);
        read_page(rig, 0);
        reads++;
    }
    fault_linger(rig->fault, 0);
    /* The last one was a worker's. */
    REQUIRE_EQ(fault_submits(rig->fault) - before, reads - 1);
    REQUIRE_EQ(stats_of(rig->queue).offloaded, 1);
    return reads - 1;
}

static const uint32_t kinds_of_queue[] = {AIO_QUEUE_TIMES, AIO_QUEUE_TIMES | AIO_QUEUE_OWNED};

/* Where each submit is timed three are enough: the first makes a suspect, two are proof. */
START_TEST(a_file_whose_submits_sleep_goes_to_workers)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], LIMIT_NS);
    char *bytes = pattern_alloc(16 * PAGE, 0, 2);
    struct aio_queue_stats before;
    struct aio_queue_stats after;
    unsigned submits;
    unsigned steps;

    REQUIRE_EQ(block_file(&rig), 3);
    submits = fault_submits(rig.fault);
    steps = fault_steps(rig.fault);
    before = stats_of(rig.queue);
    for (unsigned index = 0; index < 16; index++) {
        struct aio_op write = op_write(rig.file, bytes + index * PAGE, PAGE, index * PAGE);

        REQUIRE_EQ(run_op(rig.queue, &write).result, PAGE);
        memset(bytes + index * PAGE, 0, PAGE);
        write.opcode = AIO_OP_READ;
        REQUIRE_EQ(run_op(rig.queue, &write).result, PAGE);
    }
    pattern_check(bytes, 16 * PAGE, 0, 2);
    disk_check_pattern("file", 0, 16 * PAGE, 2);
    after = stats_of(rig.queue);
    REQUIRE_EQ(fault_submits(rig.fault), submits);
    REQUIRE_EQ(fault_steps(rig.fault), steps + 32);
    REQUIRE_EQ(after.offloaded - before.offloaded, 32);
    REQUIRE_EQ(after.by_worker - before.by_worker, 32);
    REQUIRE_EQ(after.device.count - before.device.count, 32);
    REQUIRE_EQ(after.waiting.count - before.waiting.count, 32);
    REQUIRE_EQ(after.direct - before.direct, 32);
    REQUIRE_EQ(after.submitting.count, before.submitting.count);
    REQUIRE_EQ(info_of(rig.file).offloaded, after.offloaded);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* One submit in 16 is timed: that takes a few more. */
START_TEST(it_is_found_without_times_too)
{
    struct rig rig = limited_rig(0, 1000000);
    unsigned submits;

    fault_linger(rig.fault, 2);
    while (info_of(rig.file).offloaded == 0) {
        REQUIRE(fault_submits(rig.fault) < 2000);
        read_page(&rig, 0);
    }
    submits = fault_submits(rig.fault);
    REQUIRE(submits >= 3);
    read_page(&rig, 0);
    REQUIRE_EQ(fault_submits(rig.fault), submits);
    REQUIRE_EQ(stats_of(rig.queue).by_worker, 2);
    rig_close(&rig);
}
END_TEST

START_TEST(after_a_second_it_is_tried_again)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], LIMIT_NS);
    unsigned submits;
    uint64_t offloaded;
    int64_t blocked_ns;

    block_file(&rig);
    blocked_ns = clock_ns();
    submits = fault_submits(rig.fault);
    read_page(&rig, 0);
    REQUIRE_EQ(fault_submits(rig.fault), submits);
    sleep_us(600000);
    read_page(&rig, 0);
    if (clock_ns() - blocked_ns < PACE_PAUSE_NS * 9 / 10)
        REQUIRE_EQ(fault_submits(rig.fault), submits);
    sleep_us(410000);
    /* They do block still: one is enough. */
    fault_linger(rig.fault, LINGER_MS);
    submits = fault_submits(rig.fault);
    offloaded = info_of(rig.file).offloaded;
    read_page(&rig, 0);
    read_page(&rig, 0);
    REQUIRE_EQ(fault_submits(rig.fault), submits + 1);
    REQUIRE_EQ(info_of(rig.file).offloaded, offloaded + 1);
    sleep_us(1010000);
    /* They do not any more: the engine has it for good. */
    fault_linger(rig.fault, 0);
    for (unsigned index = 0; index < 2 * PACE_WINDOW; index++)
        read_page(&rig, 0);
    REQUIRE_EQ(fault_submits(rig.fault), submits + 1 + 2 * PACE_WINDOW);
    REQUIRE_EQ(info_of(rig.file).offloaded, offloaded + 1);
    /* It starts anew. */
    fault_linger(rig.fault, LINGER_MS);
    for (unsigned index = 0; index < 3; index++)
        read_page(&rig, 0);
    REQUIRE_EQ(info_of(rig.file).offloaded, offloaded + 1);
    read_page(&rig, 0);
    REQUIRE_EQ(info_of(rig.file).offloaded, offloaded + 2);
    rig_close(&rig);
}
END_TEST

START_TEST(another_file_keeps_the_engine)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], LIMIT_NS);
    struct aio_file *other = open_limited("other", O_TRUNC, LIMIT_NS);
    struct aio_file *second = open_limited("file", 0, LIMIT_NS);
    char *bytes = pattern_alloc(PAGE, 0, 3);
    struct aio_op write = op_write(other, bytes, PAGE, 0);
    unsigned submits;

    block_file(&rig);
    submits = fault_submits(rig.fault);
    for (unsigned index = 0; index < 20; index++)
        REQUIRE_EQ(run_op(rig.queue, &write).result, PAGE);
    /* Nor does another handle share what was found of this one. */
    write = op_write(second, bytes, PAGE, 0);
    REQUIRE_EQ(run_op(rig.queue, &write).result, PAGE);
    REQUIRE_EQ(fault_submits(rig.fault), submits + 21);
    read_page(&rig, 0);
    REQUIRE_EQ(fault_submits(rig.fault), submits + 21);
    REQUIRE_EQ(info_of(other).offloaded, 0);
    REQUIRE_EQ(info_of(second).offloaded, 0);
    REQUIRE_EQ(info_of(rig.file).offloaded, 2);
    close_file(other);
    close_file(second);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* Which of them it was cannot be told. */
START_TEST(submits_of_several_files_prove_nothing)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], LIMIT_NS);
    struct aio_file *other = open_limited("other", O_TRUNC, LIMIT_NS);
    char *bytes = page_alloc(2 * PAGE);
    struct aio_op batch[2] = {op_read(rig.file, bytes, PAGE, 0),
                              op_read(other, bytes + PAGE, PAGE, 0)};
    aio_request_id ids[2];
    unsigned submits = fault_submits(rig.fault);

    /* A submit counts as long as each of its transfers took. */
    fault_linger(rig.fault, 2 * LINGER_MS);
    for (unsigned index = 0; index < 6; index++) {
        EXPECT(aio_queue_submit(rig.queue, batch, 2, ids), 2);
        REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
        REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, 0);
    }
    fault_linger(rig.fault, 0);
    REQUIRE_EQ(fault_submits(rig.fault), submits + 6);
    read_page(&rig, 0);
    REQUIRE_EQ(fault_submits(rig.fault), submits + 7);
    REQUIRE_EQ(stats_of(rig.queue).offloaded, 0);
    close_file(other);
    rig_close(&rig);
    free(bytes);
}
END_TEST

START_TEST(nowait_stays_with_the_engine)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], LIMIT_NS);
    unsigned submits;

    block_file(&rig);
    submits = fault_submits(rig.fault);
    for (unsigned index = 0; index < 5; index++) {
        int64_t result = read_page(&rig, AIO_OP_NOWAIT).result;

        REQUIRE(result == PAGE || result == -EAGAIN || result == -EOPNOTSUPP);
    }
    REQUIRE_EQ(fault_submits(rig.fault), submits + 5);
    REQUIRE_EQ(info_of(rig.file).offloaded, 1);
    REQUIRE_EQ(stats_of(rig.queue).by_worker, 1);
    rig_close(&rig);
}
END_TEST

START_TEST(without_a_limit_the_engine_keeps_it)
{
    static const uint64_t limits[] = {UINT64_MAX, 60 * UINT64_C(1000000000)};

    for (size_t index = 0; index < COUNT(limits); index++) {
        struct rig rig = limited_rig(kinds_of_queue[_i], limits[index]);

        fault_linger(rig.fault, LINGER_MS);
        for (unsigned round = 0; round < 10; round++)
            read_page(&rig, 0);
        REQUIRE_EQ(fault_submits(rig.fault), 10);
        REQUIRE_EQ(stats_of(rig.queue).offloaded, 0);
        REQUIRE_EQ(info_of(rig.file).offloaded, 0);
        rig_close(&rig);
    }
}
END_TEST

START_TEST(blocking_calls_are_as_ever)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], LIMIT_NS);
    char *bytes = pattern_alloc(PAGE, PAGE, 2);
    struct aio_queue_stats before;
    unsigned steps;

    block_file(&rig);
    before = stats_of(rig.queue);
    steps = fault_steps(rig.fault);
    EXPECT(aio_file_pwrite(rig.file, bytes, PAGE, PAGE), PAGE);
    EXPECT(aio_file_pread(rig.file, bytes, PAGE, PAGE), PAGE);
    EXPECT(aio_file_sync(rig.file), 0);
    pattern_check(bytes, PAGE, PAGE, 2);
    REQUIRE_EQ(fault_steps(rig.fault), steps + 3);
    REQUIRE_EQ(stats_of(rig.queue).by_worker, before.by_worker);
    REQUIRE_EQ(info_of(rig.file).offloaded, 1);
    rig_close(&rig);
    free(bytes);
}
END_TEST

struct calling {
    struct rig *rig;
    struct aio_op op;
    atomic_uint left;
    atomic_uint done;
};

/* Submits the next one. */
static void call_again(const struct aio_completion *completion)
{
    struct calling *calling = completion->context;

    REQUIRE_EQ(completion->result, PAGE);
    if (calling->left > 0) {
        calling->left--;
        EXPECT(aio_queue_submit(calling->rig->queue, &calling->op, 1, NULL), 1);
    }
    calling->done++;
}

START_TEST(what_callbacks_submit_goes_to_workers)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], LIMIT_NS);
    struct calling calling = {.rig = &rig, .left = 9};
    char *page = page_alloc(PAGE);
    unsigned submits;

    block_file(&rig);
    submits = fault_submits(rig.fault);
    calling.op = op_read(rig.file, page, PAGE, 0);
    calling.op.on_complete = call_again;
    calling.op.context = &calling;
    EXPECT(aio_queue_submit(rig.queue, &calling.op, 1, NULL), 1);
    while (calling.done < 10)
        settle(rig.queue);
    settle(rig.queue);
    pattern_check(page, PAGE, 0, 1);
    REQUIRE_EQ(fault_submits(rig.fault), submits);
    REQUIRE_EQ(info_of(rig.file).offloaded, 11);
    REQUIRE_EQ(stats_of(rig.queue).by_worker, 11);
    REQUIRE_EQ(stats_of(rig.queue).callbacks, 10);
    rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(a_chain_goes_to_workers)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], LIMIT_NS);
    char *bytes = pattern_alloc(2 * PAGE, 0, 5);
    struct aio_op chain[3] = {op_write(rig.file, bytes, PAGE, 0),
                              op_read(rig.file, bytes + PAGE, PAGE, 0),
                              op_write(rig.file, bytes, PAGE, 2 * PAGE)};
    aio_request_id ids[3];
    unsigned submits;

    block_file(&rig);
    submits = fault_submits(rig.fault);
    chain[0].flags = AIO_OP_LINK;
    chain[1].flags = AIO_OP_LINK;
    EXPECT(aio_queue_submit(rig.queue, chain, 3, ids), 3);
    for (unsigned index = 0; index < 3; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, PAGE);
    pattern_check(bytes + PAGE, PAGE, 0, 5);
    REQUIRE_EQ(fault_submits(rig.fault), submits);
    REQUIRE_EQ(info_of(rig.file).offloaded, 4);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* It comes in when the first one is done, and neither a worker nor the owner is to stand in the
 * submit then. */
START_TEST(what_was_held_goes_to_workers)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], LIMIT_NS);
    char *bytes = pattern_alloc(PAGE, 0, 5);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op first = op_write(rig.file, "x", 1, 1);
    aio_request_id ids[3];
    unsigned submits;

    block_file(&rig);
    submits = fault_submits(rig.fault);
    fault_stall(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &first);
    ids[1] = submit_one(rig.queue, &write);
    ids[2] = submit_one(rig.queue, &write);
    EVENTUALLY(fault_stalled(rig.fault) == 1);
    fault_stall(rig.fault, 0);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, 1);
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, ids[2]).result, PAGE);
    disk_check_pattern("file", 0, PAGE, 5);
    REQUIRE_EQ(fault_submits(rig.fault), submits);
    REQUIRE_EQ(info_of(rig.file).offloaded, 3);
    REQUIRE_EQ(stats_of(rig.queue).offloaded, 3);
    REQUIRE_EQ(stats_of(rig.queue).by_worker, 4);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- counts --------------------------------------------------------------------------------- */

/* One of each opcode; fits a file of 64 pages. */
static unsigned one_of_each(struct aio_file *file, char *bytes, const struct iovec *vectors,
                            struct aio_op *ops)
{
    ops[AIO_OP_NOP] = op_nop();
    ops[AIO_OP_READ] = op_read(file, bytes, PAGE, 0);
    ops[AIO_OP_WRITE] = op_write(file, bytes, 2 * PAGE, 0);
    ops[AIO_OP_READV] = op_vectors(AIO_OP_READV, file, vectors, 2, 0);
    ops[AIO_OP_WRITEV] = op_vectors(AIO_OP_WRITEV, file, vectors, 2, 0);
    ops[AIO_OP_APPEND] = op_append(file, bytes, PAGE);
    ops[AIO_OP_APPENDV] = op_vectors(AIO_OP_APPENDV, file, vectors, 2, 0);
    ops[AIO_OP_SYNC] = op_sync(file);
    ops[AIO_OP_DATASYNC] = op_sync(file);
    ops[AIO_OP_DATASYNC].opcode = AIO_OP_DATASYNC;
    ops[AIO_OP_TRUNCATE] =
        (struct aio_op){.opcode = AIO_OP_TRUNCATE, .file = file, .offset = 64 * PAGE};
    ops[AIO_OP_ALLOCATE] =
        (struct aio_op){.opcode = AIO_OP_ALLOCATE, .file = file, .len = 64 * PAGE};
    return AIO_OP_ALLOCATE + 1;
}

/* With a queue of the engine's own, since the fault submits what extends a file. */
START_TEST(each_opcode_is_counted)
{
    struct aio_queue *queue = open_queue(8, kinds_of_queue[_i]);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct iovec vectors[2] = {{bytes, PAGE}, {bytes + PAGE, 2 * PAGE}};
    struct aio_op ops[16];
    unsigned kinds = one_of_each(file, bytes, vectors, ops);
    struct aio_queue_stats stats;
    uint64_t all = 0;

    EXPECT(aio_file_allocate(file, AIO_ALLOCATE_WRITE_ZEROS, 0, 64 * PAGE), 0);
    for (unsigned kind = 0; kind < kinds; kind++)
        for (unsigned round = 0; round <= kind; round++) {
            REQUIRE(run_op(queue, &ops[kind]).result >= 0);
            all++;
        }
    stats = stats_of(queue);
    for (unsigned kind = 0; kind < COUNT(stats.operations); kind++)
        REQUIRE_EQ(stats.operations[kind], kind < kinds ? kind + 1 : 0);
    REQUIRE_EQ(stats.engine, test_engine);
    REQUIRE_EQ(stats.depth, 8);
    REQUIRE_EQ(stats.submitted, all);
    REQUIRE_EQ(stats.completed, all);
    REQUIRE(stats.failed == 0 && stats.cancelled == 0 && stats.notices == 0);
    REQUIRE(stats.held == 0 && stats.inflight == 0 && stats.inflight_high_water <= 1);
    REQUIRE_EQ(stats.bytes_read, (2 * 1 + 4 * 3) * PAGE);
    REQUIRE_EQ(stats.bytes_written, (3 * 2 + 5 * 3 + 6 * 1 + 7 * 3) * PAGE);
    REQUIRE_EQ(stats.direct, 2 + 3 + 4 + 5 + 6 + 7);
    REQUIRE(stats.bounced == 0 && stats.page_cache == 0 && stats.offloaded == 0);
    /* What moves ends, and with kernel AIO what makes the file longer. */
    REQUIRE_EQ(
        stats.by_worker,
        (AIO_OP_TRUNCATE + 1) + (AIO_OP_ALLOCATE + 1) +
            (test_engine == AIO_ENGINE_KAIO ? (AIO_OP_APPEND + 1) + (AIO_OP_APPENDV + 1) : 0));
    /* A NOP has no step, all others have one; whoever was given it. */
    REQUIRE_EQ(stats.device.count, all - 1);
    REQUIRE_EQ(stats.submitting.count, all - 1 - stats.by_worker);
    REQUIRE_EQ(stats.waiting.count, all - 1);
    REQUIRE_EQ(stats.untaken.count, all);
    REQUIRE(stats.short_transfers == 0 && stats.resubmits == 0 && stats.retries == 0);
    REQUIRE_EQ(stats.callbacks, 0);
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

START_TEST(roads_are_counted)
{
    struct aio_queue *queue = open_queue(8, kinds_of_queue[_i]);
    struct aio_file *file = open_direct("file");
    struct aio_file *cached = open_cached("cached");
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op ops[] = {
        /* direct */
        op_write(file, bytes, PAGE, 0),
        op_read(file, bytes, PAGE, 0),
        /* bounced */
        op_read(file, bytes + 1, PAGE, 0),
        op_read(file, bytes, 100, 1),
        op_write(file, bytes + 1, PAGE, 0),
        /* through the page cache */
        op_write(file, bytes, 100, 1),
        op_write(cached, bytes, PAGE, 0),
        op_write(cached, bytes, 100, 0),
        op_read(cached, bytes, PAGE, 0),
        op_append(cached, bytes, PAGE),
    };
    struct aio_queue_stats stats;
    struct aio_file_info info;

    EXPECT(aio_file_truncate(file, 16 * PAGE), 0);
    EXPECT(aio_file_truncate(cached, 16 * PAGE), 0);
    for (size_t index = 0; index < COUNT(ops); index++)
        REQUIRE(run_op(queue, &ops[index]).result > 0);
    stats = stats_of(queue);
    REQUIRE_EQ(stats.direct, 2);
    REQUIRE_EQ(stats.bounced, 3);
    REQUIRE_EQ(stats.page_cache, 5);
    info = info_of(file);
    REQUIRE_EQ(info.bounced_reads + info.bounced_writes, stats.bounced);
    REQUIRE_EQ(info.cached_reads + info.cached_writes, 1);
    /* Direct ones of the file's are those that were bounced, too. */
    REQUIRE_EQ(info.direct_reads + info.direct_writes, stats.direct + stats.bounced);
    info = info_of(cached);
    REQUIRE_EQ(info.cached_reads + info.cached_writes, 4);
    close_file(file);
    close_file(cached);
    close_queue(queue);
    free(bytes);
}
END_TEST

START_TEST(failures_are_counted)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *bytes = page_alloc(4 * PAGE);
    struct aio_op write = op_write(rig.file, bytes, 4 * PAGE, 0);
    struct aio_op read = op_read(rig.file, bytes, 4 * PAGE, 0);
    struct aio_queue_stats stats;

    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_ALL, 1, 2, -EIO});
    REQUIRE_EQ(run_op(rig.queue, &write).result, -EIO);
    REQUIRE_EQ(run_op(rig.queue, &read).result, -EIO);
    stats = stats_of(rig.queue);
    REQUIRE_EQ(stats.completed, 2);
    REQUIRE_EQ(stats.failed, 2);
    REQUIRE(stats.bytes_read == 0 && stats.bytes_written == 0 && stats.short_transfers == 0);
    /* A part is no failure. */
    fault_clear(rig.fault);
    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, FAULT_WRITES, 1, 1, PAGE});
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_WRITES, 2, 1, -ENOSPC});
    REQUIRE_EQ(run_op(rig.queue, &write).result, PAGE);
    stats = stats_of(rig.queue);
    REQUIRE_EQ(stats.completed, 3);
    REQUIRE_EQ(stats.failed, 2);
    REQUIRE_EQ(stats.bytes_written, PAGE);
    REQUIRE_EQ(stats.short_transfers, 1);
    REQUIRE_EQ(stats.resubmits, 1);
    REQUIRE_EQ(stats.device.count, fault_steps(rig.fault) - 1); /* but the rig's own */
    rig_close(&rig);
    free(bytes);
}
END_TEST

START_TEST(each_step_is_counted)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *bytes = page_alloc(8 * PAGE);
    struct aio_op read = op_read(rig.file, bytes, 8 * PAGE, 0);
    struct aio_queue_stats stats;

    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, FAULT_READS, 1, 5, PAGE});
    fault_refuse(rig.fault, -EAGAIN, 2);
    REQUIRE_EQ(run_op(rig.queue, &read).result, 8 * PAGE);
    pattern_check(bytes, 8 * PAGE, 0, 1);
    stats = stats_of(rig.queue);
    REQUIRE_EQ(stats.completed, 1);
    REQUIRE_EQ(stats.bytes_read, 8 * PAGE);
    REQUIRE_EQ(stats.short_transfers, 5);
    REQUIRE_EQ(stats.resubmits, 5);
    REQUIRE_EQ(stats.retries, 2);
    REQUIRE_EQ(stats.device.count, 6);
    REQUIRE_EQ(stats.submitting.count, 8);
    REQUIRE(stats.waiting.count == 1 && stats.untaken.count == 1 && stats.direct == 1);
    REQUIRE_EQ(stats.reaped_by_waiter + stats.reaped_by_reaper, 6);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* It was held back by another one, and never begun: it has no road and no time but untaken. */
START_TEST(what_is_cancelled_is_counted)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op behind = op_write(rig.file, "x", 1, 1);
    struct aio_queue_stats stats;
    aio_request_id ids[2];

    fault_hold(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &write);
    ids[1] = submit_one(rig.queue, &behind);
    stats = stats_of(rig.queue);
    REQUIRE(stats.held == 2 && stats.inflight == 2 && stats.inflight_high_water == 2);
    EXPECT(aio_queue_cancel(rig.queue, ids[1]), 0);
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, -ECANCELED);
    stats = stats_of(rig.queue);
    REQUIRE(stats.cancelled == 1 && stats.failed == 1 && stats.completed == 1);
    REQUIRE(stats.held == 1 && stats.inflight == 1 && stats.inflight_high_water == 2);
    REQUIRE(stats.direct == 0 && stats.waiting.count == 0 && stats.device.count == 0);
    REQUIRE_EQ(stats.untaken.count, 1);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    stats = stats_of(rig.queue);
    REQUIRE(stats.cancelled == 1 && stats.completed == 2 && stats.operations[AIO_OP_WRITE] == 2);
    REQUIRE(stats.held == 0 && stats.inflight == 0 && stats.direct == 1);
    rig_close(&rig);
    free(bytes);
}
END_TEST

START_TEST(notices_are_counted)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *page = page_alloc(PAGE);
    struct aio_op read = op_read(rig.file, page, PAGE, 0);
    struct timespec patience = milliseconds(LONG_MS);
    struct aio_completion completion;
    aio_request_id id;

    fault_hold(rig.fault, FAULT_READS);
    read.deadline = 1000000;
    id = submit_one(rig.queue, &read);
    EXPECT(aio_queue_wait_result(rig.queue, id, &patience, &completion), 0);
    REQUIRE(completion.result == -ETIMEDOUT && completion.flags == AIO_COMPLETION_MORE);
    REQUIRE_EQ(stats_of(rig.queue).notices, 1);
    REQUIRE_EQ(stats_of(rig.queue).untaken.count, 0);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
    /* In time. */
    read.deadline = LONG_MS * UINT64_C(1000000);
    REQUIRE_EQ(run_op(rig.queue, &read).result, PAGE);
    REQUIRE_EQ(stats_of(rig.queue).notices, 1);
    REQUIRE_EQ(stats_of(rig.queue).failed, 0);
    REQUIRE_EQ(stats_of(rig.queue).untaken.count, 2);
    rig_close(&rig);
    free(page);
}
END_TEST

/* What it does not know is not written, and nothing behind it. */
START_TEST(a_smaller_struct_gets_what_fits)
{
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_TIMES);
    unsigned char *memory = calloc(1, 2 * sizeof(struct aio_queue_stats));
    struct aio_op nop = op_nop();
    struct aio_queue_stats whole;

    REQUIRE(memory != NULL);
    for (unsigned index = 0; index < 3; index++)
        REQUIRE_EQ(run_op(queue, &nop).result, 0);
    whole = stats_of(queue);
    for (size_t size = 0; size <= 2 * sizeof(whole); size += size < 300 ? 1 : 97) {
        size_t known = size < sizeof(whole) ? size : sizeof(whole);

        memset(memory, 0xa5, 2 * sizeof(whole));
        memcpy(memory, &size, sizeof(size));
        if (size < sizeof(size)) {
            EXPECT(aio_queue_stats(queue, (struct aio_queue_stats *)(void *)memory), -EINVAL);
            known = sizeof(size);
        } else {
            EXPECT(aio_queue_stats(queue, (struct aio_queue_stats *)(void *)memory), 0);
            REQUIRE(memcmp(memory, &known, sizeof(known)) == 0);
            REQUIRE(memcmp(memory + sizeof(size), (char *)&whole + sizeof(size),
                           known - sizeof(size)) == 0);
        }
        for (size_t place = known; place < 2 * sizeof(whole); place++)
            REQUIRE(memory[place] == 0xa5);
    }
    close_queue(queue);
    free(memory);
}
END_TEST

/* --- times ---------------------------------------------------------------------------------- */

START_TEST(one_submit_in_sixteen_is_timed)
{
    enum { SUBMITS = 3200 };

    for (unsigned flags = 0; flags <= AIO_QUEUE_TIMES; flags += AIO_QUEUE_TIMES) {
        struct aio_queue *queue = open_queue(8, flags);
        struct aio_file *file = open_direct("file");
        struct aio_op read = op_read(file, NULL, 0, 0);
        struct aio_queue_stats stats;

        for (unsigned index = 0; index < SUBMITS; index++)
            REQUIRE_EQ(run_op(queue, &read).result, 0);
        stats = stats_of(queue);
        REQUIRE_EQ(stats.device.count, SUBMITS);
        REQUIRE(stats.submitting.max_ns <= stats.submitting.total_ns);
        if (flags != 0) {
            REQUIRE_EQ(stats.submitting.count, SUBMITS);
        } else {
            REQUIRE(stats.submitting.count > SUBMITS / 16 / 2);
            REQUIRE(stats.submitting.count < SUBMITS / 16 * 2);
            REQUIRE(stats.waiting.count == 0 && stats.waiting.total_ns == 0);
            REQUIRE(stats.untaken.count == 0 && stats.untaken.total_ns == 0);
        }
        close_file(file);
        close_queue(queue);
    }
}
END_TEST

/* A batch is one call. */
START_TEST(a_batch_is_one_submit)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    struct aio_op reads[16];
    struct aio_completion completions[16];

    for (unsigned index = 0; index < 16; index++)
        reads[index] = op_read(rig.file, NULL, 0, 0);
    EXPECT(aio_queue_submit(rig.queue, reads, 16, NULL), 16);
    EXPECT(aio_queue_reap(rig.queue, completions, 16, 16, NULL), 16);
    REQUIRE_EQ(stats_of(rig.queue).submitting.count, 1);
    REQUIRE_EQ(stats_of(rig.queue).device.count, 16);
    rig_close(&rig);
}
END_TEST

static uint64_t total_of(const struct aio_queue_stats *stats)
{
    return stats->waiting.total_ns + stats->device.total_ns + stats->untaken.total_ns;
}

/* The parts are no more than the whole, of each alone and of all. */
START_TEST(times_add_up)
{
    struct aio_queue *queue = open_queue(8, kinds_of_queue[_i]);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct iovec vectors[2] = {{bytes, PAGE}, {bytes + PAGE, 2 * PAGE}};
    struct aio_op ops[16];
    unsigned kinds = one_of_each(file, bytes, vectors, ops);

    EXPECT(aio_file_allocate(file, AIO_ALLOCATE_WRITE_ZEROS, 0, 64 * PAGE), 0);
    for (unsigned round = 0; round < 5 * kinds; round++) {
        struct aio_queue_stats before = stats_of(queue);
        int64_t begin_ns = clock_ns();
        struct aio_queue_stats after;
        int64_t wall_ns;

        run_op(queue, &ops[round % kinds]);
        wall_ns = clock_ns() - begin_ns;
        after = stats_of(queue);
        REQUIRE((int64_t)(total_of(&after) - total_of(&before)) <= wall_ns);
        REQUIRE((int64_t)(after.submitting.total_ns - before.submitting.total_ns) <= wall_ns);
        REQUIRE_EQ(after.untaken.count - before.untaken.count, 1);
        REQUIRE_EQ(after.waiting.count - before.waiting.count, round % kinds != AIO_OP_NOP);
        if (ops[round % kinds].opcode == AIO_OP_WRITE)
            REQUIRE(after.device.total_ns > before.device.total_ns);
    }
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

/* Each where it was spent: in the engine, before it, and after it. */
START_TEST(time_is_where_it_was_spent)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op behind = op_write(rig.file, "x", 1, 1);
    struct aio_queue_stats stats;
    int64_t begin_ns = clock_ns();
    aio_request_id ids[2];
    int64_t wall_ns;

    fault_hold(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &write);
    ids[1] = submit_one(rig.queue, &behind);
    sleep_us(WHILE_US);
    stats = stats_of(rig.queue);
    REQUIRE(stats.waiting.count == 0 && stats.device.count == 0 && stats.untaken.count == 0);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    settle(rig.queue);
    stats = stats_of(rig.queue);
    REQUIRE(stats.waiting.count == 2 && stats.device.count == 2 && stats.untaken.count == 0);
    REQUIRE((int64_t)stats.device.max_ns >= WHILE_NS);
    REQUIRE((int64_t)stats.waiting.max_ns >= WHILE_NS);
    sleep_us(WHILE_US);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, 1);
    wall_ns = clock_ns() - begin_ns;
    stats = stats_of(rig.queue);
    REQUIRE_EQ(stats.untaken.count, 2);
    REQUIRE((int64_t)stats.untaken.total_ns >= 2 * WHILE_NS);
    /* Of the one nothing but the engine's, of the other nothing but what it waited. */
    REQUIRE((int64_t)stats.waiting.total_ns <= wall_ns);
    REQUIRE((int64_t)total_of(&stats) <= 2 * wall_ns);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* While the engine has no room it has not begun. */
START_TEST(an_engine_without_room_is_waited_for)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *page = page_alloc(PAGE);
    struct aio_op read = op_read(rig.file, page, PAGE, 0);
    struct timespec short_time = milliseconds(WHILE_US / 1000);
    struct aio_queue_stats stats;
    aio_request_id id;

    fault_refuse(rig.fault, -EAGAIN, FAULT_FOR_EVER);
    id = submit_one(rig.queue, &read);
    EXPECT(aio_queue_wait(rig.queue, id, &short_time), -ETIMEDOUT);
    fault_refuse(rig.fault, 0, 0);
    REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
    stats = stats_of(rig.queue);
    REQUIRE(stats.retries > 0 && stats.waiting.count == 1 && stats.device.count == 1);
    REQUIRE((int64_t)stats.waiting.max_ns >= WHILE_NS);
    rig_close(&rig);
    free(page);
}
END_TEST

/* From the submit on, though it starts only after the one before it. */
START_TEST(a_follower_waits_for_its_leader)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op chain[2] = {op_write(rig.file, bytes, PAGE, 0),
                              op_read(rig.file, bytes, PAGE, 0)};
    struct aio_queue_stats stats;
    aio_request_id ids[2];

    chain[0].flags = AIO_OP_LINK;
    fault_hold(rig.fault, FAULT_WRITES);
    EXPECT(aio_queue_submit(rig.queue, chain, 2, ids), 2);
    sleep_us(WHILE_US);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    stats = stats_of(rig.queue);
    REQUIRE(stats.waiting.count == 2 && (int64_t)stats.waiting.max_ns >= WHILE_NS);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* A worker's time counts as the engine's. */
START_TEST(a_slow_worker_is_a_slow_device)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    struct aio_op write = op_write(rig.file, "x", 1, 1);
    struct aio_queue_stats stats;
    aio_request_id id;

    fault_stall(rig.fault, FAULT_WRITES);
    id = submit_one(rig.queue, &write);
    EVENTUALLY(fault_stalled(rig.fault) == 1);
    sleep_us(WHILE_US);
    fault_stall(rig.fault, 0);
    REQUIRE_EQ(completion_of(rig.queue, id).result, 1);
    stats = stats_of(rig.queue);
    REQUIRE(stats.by_worker == 1 && stats.device.count == 1 && stats.submitting.count == 0);
    REQUIRE((int64_t)stats.device.max_ns >= WHILE_NS);
    rig_close(&rig);
}
END_TEST

/* Where the engine's submit would wait for the disk, if it can be known. */
START_TEST(what_extends_the_file_is_for_a_worker)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *page = page_alloc(PAGE);
    off_t end = aio_file_size(rig.file);
    struct aio_op ops[] = {
        op_write(rig.file, page, PAGE, 0),
        op_write(rig.file, page, PAGE, end),
    };
    aio_request_id ids[2];

    fault_block_where_files_grow(rig.fault, true);
    for (unsigned round = 0; round < 3; round++) {
        if (round == 2)
            EXPECT(aio_file_truncate(rig.file, end), 0);
        EXPECT(aio_queue_submit(rig.queue, ops, 2, ids), 2);
        REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
        REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, PAGE);
        /* The second time it lies inside. */
        REQUIRE_EQ(stats_of(rig.queue).by_worker, round < 2 ? 1 : 2);
        REQUIRE_EQ(aio_file_size(rig.file), end + PAGE);
    }
    rig_close(&rig);
    free(page);
}
END_TEST

/* Each submit sleeps, and that is told of. */
START_TEST(a_slow_submit_is_in_submitting)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    struct aio_queue_stats stats;

    fault_linger(rig.fault, LINGER_MS);
    for (unsigned index = 0; index < 3; index++)
        read_page(&rig, 0);
    stats = stats_of(rig.queue);
    REQUIRE_EQ(stats.submitting.count, 3);
    REQUIRE(stats.submitting.total_ns >= 3 * LINGER_MS * UINT64_C(1000000));
    REQUIRE(stats.submitting.max_ns < stats.submitting.total_ns);
    rig_close(&rig);
}
END_TEST

static void sleep_a_while(const struct aio_completion *completion)
{
    REQUIRE(completion->result >= 0);
    sleep_us(WHILE_US);
}

/* The second one waits for the first one's. */
START_TEST(callbacks_have_their_times)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *bytes = page_alloc(2 * PAGE);
    struct aio_op read = op_read(rig.file, bytes, PAGE, 0);
    struct timespec short_time = milliseconds(1);
    struct aio_queue_stats stats;

    read.on_complete = sleep_a_while;
    fault_hold(rig.fault, FAULT_READS);
    submit_one(rig.queue, &read);
    read.buf = bytes + PAGE;
    submit_one(rig.queue, &read);
    /* Both are there when they are let go. */
    while (fault_held(rig.fault) < 2)
        EXPECT(aio_queue_drain(rig.queue, &short_time), -ETIMEDOUT);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    settle(rig.queue);
    stats = stats_of(rig.queue);
    REQUIRE(stats.callbacks == 2 && stats.waiting.count == 2 && stats.device.count == 2);
    REQUIRE_EQ(stats.untaken.count, 2);
    REQUIRE((int64_t)stats.untaken.max_ns >= WHILE_NS / 2);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- in flight ------------------------------------------------------------------------------ */

/* What the queue says of one; state 0: it is not there. */
static struct aio_request_info line_of(struct aio_queue *queue, aio_request_id id)
{
    struct aio_request_info infos[64];
    int count = (int)CALL(aio_queue_inflight(queue, infos, COUNT(infos)));

    REQUIRE(count >= 0 && count <= (int)COUNT(infos));
    for (int index = 0; index < count; index++) {
        REQUIRE_EQ(infos[index].size, sizeof(infos[index]));
        if (infos[index].id == id)
            return infos[index];
    }
    return (struct aio_request_info){.id = id};
}

static void check_line(struct aio_queue *queue, aio_request_id id, const struct aio_op *op,
                       enum aio_request_state state)
{
    struct aio_request_info line = line_of(queue, id);

    REQUIRE_EQ(line.state, state);
    REQUIRE_EQ(line.opcode, op->opcode);
    REQUIRE_EQ(line.offset, op->offset);
    REQUIRE_EQ(line.len, op->len);
    REQUIRE(line.context == op->context);
    for (size_t index = 0; index < COUNT(line.reserved); index++)
        REQUIRE_EQ(line.reserved[index], 0);
}

static void let_all_go(struct rig *rig)
{
    fault_refuse(rig->fault, 0, 0);
    fault_hold(rig->fault, 0);
    fault_stall(rig->fault, 0);
    fault_release(rig->fault, FAULT_FOR_EVER);
}

/* In the engine, behind another one of its file, behind one of its chain, and done. */
START_TEST(each_has_its_state)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_op first = op_write(rig.file, bytes, PAGE, 2 * PAGE);
    struct aio_op behind = op_write(rig.file, "x", 1, 1);
    struct aio_op chain[2] = {op_write(rig.file, bytes, PAGE, 3 * MIB),
                              op_read(rig.file, bytes, PAGE, 3 * MIB)};
    struct aio_op nop = op_nop();
    struct aio_request_info infos[8];
    aio_request_id ids[5];
    char contexts[5];

    first.context = &contexts[0];
    behind.context = &contexts[1];
    chain[0].context = &contexts[2];
    chain[0].flags = AIO_OP_LINK;
    chain[1].context = &contexts[3];
    nop.context = &contexts[4];
    fault_hold(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &first);
    ids[1] = submit_one(rig.queue, &behind);
    EXPECT(aio_queue_submit(rig.queue, chain, 2, &ids[2]), 2);
    ids[4] = submit_one(rig.queue, &nop);
    check_line(rig.queue, ids[0], &first, AIO_REQUEST_RUNNING);
    check_line(rig.queue, ids[2], &chain[0], AIO_REQUEST_RUNNING);
    check_line(rig.queue, ids[3], &chain[1], AIO_REQUEST_WAITING);
    check_line(rig.queue, ids[4], &nop, AIO_REQUEST_DONE);
    REQUIRE_EQ(line_of(rig.queue, ids[1]).state, AIO_REQUEST_WAITING);
    REQUIRE_EQ(line_of(rig.queue, ids[1]).len, 1);
    REQUIRE(line_of(rig.queue, ids[1]).context == &contexts[1]);
    /* Oldest first; what there is no room for is counted all the same. */
    for (unsigned max = 0; max <= 8; max++) {
        memset(infos, 0xa5, sizeof(infos));
        EXPECT(aio_queue_inflight(rig.queue, infos, max), 5);
        for (unsigned index = 0; index < 8; index++)
            if (index < max && index < 5)
                REQUIRE_EQ(infos[index].id, ids[index]);
            else
                REQUIRE_EQ(infos[index].state, 0xa5);
    }
    REQUIRE_EQ(stats_of(rig.queue).held, 5);
    let_all_go(&rig);
    settle(rig.queue);
    check_line(rig.queue, ids[0], &first, AIO_REQUEST_DONE);
    check_line(rig.queue, ids[1], &behind, AIO_REQUEST_DONE);
    check_line(rig.queue, ids[2], &chain[0], AIO_REQUEST_DONE);
    check_line(rig.queue, ids[3], &chain[1], AIO_REQUEST_DONE);
    REQUIRE_EQ(line_of(rig.queue, ids[0]).done, PAGE);
    for (unsigned index = 0; index < 5; index++) {
        REQUIRE(completion_of(rig.queue, ids[index]).result >= 0);
        REQUIRE_EQ(line_of(rig.queue, ids[index]).state, 0);
    }
    EXPECT(aio_queue_inflight(rig.queue, infos, 8), 0);
    rig_close(&rig);
    free(bytes);
}
END_TEST

START_TEST(one_that_the_engine_has_no_room_for_waits)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    char *bytes = page_alloc(PAGE);
    struct aio_op read = op_read(rig.file, bytes, PAGE, 3 * PAGE);
    aio_request_id id;

    fault_refuse(rig.fault, -EAGAIN, FAULT_FOR_EVER);
    id = submit_one(rig.queue, &read);
    /* The reaper may be trying at this moment. */
    EVENTUALLY(line_of(rig.queue, id).state == AIO_REQUEST_WAITING);
    let_all_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* All workers stand in a stripe of their own: the next one has nobody. */
START_TEST(one_without_a_worker_is_listed)
{
    struct rig rig = limited_rig(kinds_of_queue[_i], UINT64_MAX);
    aio_request_id ids[WORKERS + 1];
    struct aio_op write;

    EXPECT(aio_file_truncate(rig.file, 64 * MIB), 0);
    fault_stall(rig.fault, FAULT_WRITES);
    for (unsigned index = 0; index <= WORKERS; index++) {
        write = op_write(rig.file, "x", 1, (int64_t)(index * 4 * MIB + 1));
        ids[index] = submit_one(rig.queue, &write);
    }
    EVENTUALLY(fault_stalled(rig.fault) == WORKERS);
    for (unsigned index = 0; index < WORKERS; index++)
        REQUIRE_EQ(line_of(rig.queue, ids[index]).state, AIO_REQUEST_RUNNING);
    REQUIRE(line_of(rig.queue, ids[WORKERS]).state != 0);
    REQUIRE(line_of(rig.queue, ids[WORKERS]).state != AIO_REQUEST_DONE);
    REQUIRE_EQ(line_of(rig.queue, ids[WORKERS]).offset, write.offset);
    REQUIRE_EQ(line_of(rig.queue, ids[WORKERS]).len, 1);
    let_all_go(&rig);
    for (unsigned index = 0; index <= WORKERS; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, 1);
    rig_close(&rig);
}
END_TEST

/* For others of its file, then for memory: it waits all the time. */
START_TEST(one_that_waits_twice_waits)
{
    enum { MEMORIES = 16 };
    struct rig rig = limited_rig(AIO_QUEUE_TIMES, UINT64_MAX);
    char *bytes = page_alloc((MEMORIES + 2) * 2 * PAGE);
    struct aio_op first = op_write(rig.file, "x", 1, 1);
    struct aio_op behind = op_write(rig.file, bytes + 1, PAGE, 0);
    aio_request_id ids[MEMORIES + 2];

    fault_stall(rig.fault, FAULT_WRITES);
    fault_hold(rig.fault, FAULT_READS);
    ids[0] = submit_one(rig.queue, &first);
    ids[1] = submit_one(rig.queue, &behind);
    for (size_t index = 0; index < MEMORIES; index++) {
        struct aio_op read = op_read(rig.file, bytes + (index + 2) * 2 * PAGE + 1, PAGE, 10 * PAGE);

        ids[index + 2] = submit_one(rig.queue, &read);
    }
    EVENTUALLY(fault_held(rig.fault) == MEMORIES && fault_stalled(rig.fault) == 1);
    REQUIRE_EQ(line_of(rig.queue, ids[1]).state, AIO_REQUEST_WAITING);
    fault_stall(rig.fault, 0);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, 1);
    sleep_us(WHILE_US);
    REQUIRE_EQ(line_of(rig.queue, ids[1]).state, AIO_REQUEST_WAITING);
    REQUIRE_EQ(fault_held(rig.fault), MEMORIES);
    let_all_go(&rig);
    for (unsigned index = 1; index < MEMORIES + 2; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* Coarse or fine, it never is before its submit. */
START_TEST(everyone_has_an_age)
{
    static const uint32_t flags[] = {0, AIO_QUEUE_TIMES, AIO_QUEUE_OWNED,
                                     AIO_QUEUE_OWNED | AIO_QUEUE_TIMES};
    const int64_t coarse_ns = 20000000;

    for (size_t index = 0; index < COUNT(flags); index++) {
        struct rig rig = limited_rig(flags[index], UINT64_MAX);
        char *page = page_alloc(PAGE);
        struct aio_op read = op_read(rig.file, page, PAGE, 0);
        int64_t begin_ns = clock_ns();
        aio_request_id id;
        int64_t age_ns;

        fault_hold(rig.fault, FAULT_READS);
        id = submit_one(rig.queue, &read);
        for (unsigned round = 0; round < 1000; round++) {
            age_ns = (int64_t)line_of(rig.queue, id).age_ns;
            REQUIRE(age_ns >= 0 && age_ns <= clock_ns() - begin_ns + coarse_ns);
        }
        sleep_us(WHILE_US);
        age_ns = (int64_t)line_of(rig.queue, id).age_ns;
        REQUIRE(age_ns >= WHILE_NS - coarse_ns);
        REQUIRE(age_ns <= clock_ns() - begin_ns + coarse_ns);
        let_all_go(&rig);
        REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
        rig_close(&rig);
        free(page);
    }
}
END_TEST

struct looking {
    struct aio_queue *queue;
    atomic_bool stop;
};

static void *looking_main(void *argument)
{
    struct looking *looking = argument;
    struct aio_request_info infos[32];

    while (!looking->stop) {
        int count = (int)CALL(aio_queue_inflight(looking->queue, infos, COUNT(infos)));

        for (int index = 0; index < count; index++)
            REQUIRE(infos[index].state >= AIO_REQUEST_WAITING &&
                    infos[index].state <= AIO_REQUEST_DONE && infos[index].offset >= 0 &&
                    infos[index].done <= infos[index].len);
        stats_of(looking->queue);
    }
    return NULL;
}

/* Whatever is being done to an operation: for the thread sanitizer. */
START_TEST(one_may_look_at_any_time)
{
    struct rig rig = limited_rig(AIO_QUEUE_TIMES, UINT64_MAX);
    struct looking looking = {.queue = rig.queue};
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op chain[4] = {op_write(rig.file, bytes, PAGE, 0), op_append(rig.file, bytes, PAGE),
                              op_write(rig.file, bytes + 1, PAGE, PAGE),
                              op_append(rig.file, bytes + 1, 77)};
    pthread_t thread;

    for (unsigned index = 0; index < 3; index++)
        chain[index].flags = AIO_OP_LINK;
    fault_shorten_by_chance(rig.fault, 1, 2, 512);
    thread_begin(&thread, looking_main, &looking);
    for (unsigned round = 0; round < 100; round++) {
        aio_request_id ids[4];

        EXPECT(aio_queue_submit(rig.queue, chain, 4, ids), 4);
        for (unsigned index = 0; index < 4; index++)
            REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, chain[index].len);
    }
    looking.stop = true;
    thread_end(thread);
    rig_close(&rig);
    free(bytes);
}
END_TEST

static Suite *times_suite(void)
{
    const struct {
        const char *name;
        const TTest *test;
    } of_each_queue[] = {
        {"workers", a_file_whose_submits_sleep_goes_to_workers},
        {"pause", after_a_second_it_is_tried_again},
        {"other file", another_file_keeps_the_engine},
        {"several files", submits_of_several_files_prove_nothing},
        {"nowait", nowait_stays_with_the_engine},
        {"no limit", without_a_limit_the_engine_keeps_it},
        {"blocking", blocking_calls_are_as_ever},
        {"from callbacks", what_callbacks_submit_goes_to_workers},
        {"chain", a_chain_goes_to_workers},
        {"held", what_was_held_goes_to_workers},
        {"opcodes", each_opcode_is_counted},
        {"roads", roads_are_counted},
        {"failures", failures_are_counted},
        {"steps", each_step_is_counted},
        {"cancelled", what_is_cancelled_is_counted},
        {"notices", notices_are_counted},
        {"batch", a_batch_is_one_submit},
        {"sum", times_add_up},
        {"places", time_is_where_it_was_spent},
        {"room", an_engine_without_room_is_waited_for},
        {"follower", a_follower_waits_for_its_leader},
        {"worker", a_slow_worker_is_a_slow_device},
        {"extending", what_extends_the_file_is_for_a_worker},
        {"submitting", a_slow_submit_is_in_submitting},
        {"callbacks", callbacks_have_their_times},
        {"states", each_has_its_state},
        {"no room", one_that_the_engine_has_no_room_for_waits},
        {"no worker", one_without_a_worker_is_listed},
    };
    Suite *suite = suite_create("times");

    for (size_t index = 0; index < COUNT(of_each_queue); index++)
        add_loop_test(suite, of_each_queue[index].name, of_each_queue[index].test,
                      COUNT(kinds_of_queue));
    ADD_TESTS(suite, "others", it_is_found_without_times_too, a_smaller_struct_gets_what_fits,
              one_submit_in_sixteen_is_timed, one_that_waits_twice_waits, everyone_has_an_age,
              one_may_look_at_any_time);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, times_suite);
}
