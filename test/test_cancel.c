/* SPDX-License-Identifier: MIT */
/*
 * test_cancel.c - taking operations back, wherever they are: before their file, for want of memory,
 * of a worker, of room in the engine, in the engine, and when it is too late. What was cancelled
 * has one completion as everything else, and keeps nothing that others need.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event_ring.h"
#include "fault.h"
#include "queue_state.h"
#include "support.h"

#define BUFFERS 16u      /* for bouncing */
#define WORKERS 4u       /* threads for what blocks */
#define STRIPE (2 * MIB) /* of a file's gate */
#define FILE_BYTES (16 * STRIPE)

static const struct timespec no_time = {0, 0};

/* --- what comes of it ----------------------------------------------------------------------- */

static void check_cancelled(const struct aio_completion *completion)
{
    REQUIRE_EQ(completion->result, -ECANCELED);
    REQUIRE_EQ(completion->error, -ECANCELED);
    REQUIRE_EQ(completion->flags, 0);
}

static void take_cancelled(struct aio_queue *queue, aio_request_id id)
{
    struct aio_completion completion = completion_of(queue, id);

    check_cancelled(&completion);
    EXPECT(aio_queue_cancel(queue, id), -ESTALE);
}

/* What waits for room in the engine is given to it now and then, and what was let in is with a
 * worker for a moment; it cannot be had meanwhile. */
static void cancel_between_tries(struct aio_queue *queue, aio_request_id id)
{
    int error;

    EVENTUALLY((error = (int)CALL(aio_queue_cancel(queue, id))) != -EBUSY);
    REQUIRE_EQ(error, 0);
}

/* How many operations are where inflight says that they wait. */
static unsigned waiting_in(struct aio_queue *queue)
{
    struct aio_request_info infos[64];
    int count = (int)CALL(aio_queue_inflight(queue, infos, COUNT(infos)));
    unsigned waiting = 0;

    REQUIRE(count >= 0 && count <= (int)COUNT(infos));
    for (int index = 0; index < count; index++)
        waiting += infos[index].state == AIO_REQUEST_WAITING;
    return waiting;
}

/* A rig whose file has many stripes, empty. */
static struct rig wide_rig(unsigned depth)
{
    struct rig rig = rig_open(depth, 0);

    EXPECT(aio_file_truncate(rig.file, FILE_BYTES), 0);
    return rig;
}

static void let_all_go(struct rig *rig)
{
    fault_clear(rig->fault);
    fault_refuse(rig->fault, 0, 0);
    fault_hold(rig->fault, 0);
    fault_stall(rig->fault, 0);
    fault_release(rig->fault, FAULT_FOR_EVER);
}

/* All buffers of the pool can be had at once. */
static void check_all_memory(struct rig *rig)
{
    char *bytes = page_alloc(BUFFERS * 2 * PAGE);
    aio_request_id ids[BUFFERS];

    /* Where the engine was slow to take them, workers have some. */
    fault_hold(rig->fault, FAULT_READS);
    fault_stall(rig->fault, FAULT_READS);
    for (unsigned index = 0; index < BUFFERS; index++) {
        struct aio_op read = op_read(rig->file, bytes + index * 2 * PAGE + 1, PAGE, 0);

        ids[index] = submit_one(rig->queue, &read);
    }
    REQUIRE_EQ(waiting_in(rig->queue), 0);
    let_all_go(rig);
    for (unsigned index = 0; index < BUFFERS; index++)
        REQUIRE(completion_of(rig->queue, ids[index]).result >= 0);
    free(bytes);
}

/* All workers can be had at once: each stands in a stripe of the file that it has alone. */
static void check_all_workers(struct rig *rig)
{
    aio_request_id ids[WORKERS];

    fault_stall(rig->fault, FAULT_WRITES);
    for (unsigned index = 0; index < WORKERS; index++) {
        struct aio_op write = op_write(rig->file, "x", 1, (int64_t)(index * STRIPE + 1));

        ids[index] = submit_one(rig->queue, &write);
    }
    EVENTUALLY(fault_stalled(rig->fault) == WORKERS);
    let_all_go(rig);
    for (unsigned index = 0; index < WORKERS; index++)
        REQUIRE_EQ(completion_of(rig->queue, ids[index]).result, 1);
}

/* Everything is as before: no lane, place, buffer, worker or slot is missing. */
static void check_nothing_missing(struct rig *rig)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    char *page = pattern_alloc(PAGE, 0, 3);
    off_t where = -1;

    let_all_go(rig);
    EXPECT(aio_queue_drain(rig->queue, NULL), 0);
    EXPECT(aio_queue_stats(rig->queue, &stats), 0);
    REQUIRE(stats.inflight == 0 && stats.held == 0);
    REQUIRE_EQ(stats.submitted, stats.completed);
    EXPECT(aio_file_truncate(rig->file, FILE_BYTES), 0);
    if (aio_queue_depth(rig->queue) >= BUFFERS) {
        check_all_memory(rig);
        check_all_workers(rig);
    }
    EXPECT(aio_file_truncate(rig->file, 100), 0);
    EXPECT(aio_file_append(rig->file, page, 10, &where), 10);
    REQUIRE_EQ(where, 100);
    EXPECT(aio_file_allocate(rig->file, 0, 0, PAGE), 0);
    EXPECT(aio_file_pwrite(rig->file, page, PAGE, 0), PAGE);
    EXPECT(aio_file_sync(rig->file), 0);
    EVENTUALLY(atomic_load(&queues_hastening) == 0);
    free(page);
}

static void cancel_rig_close(struct rig *rig)
{
    check_nothing_missing(rig);
    rig_close(rig);
}

/* --- what there is to cancel ---------------------------------------------------------------- */

START_TEST(what_names_nothing_is_not_cancelled)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_queue *other = open_queue(4, 0);
    struct aio_op nop = op_nop();
    aio_request_id ids[3];

    for (unsigned index = 0; index < 3; index++)
        ids[index] = submit_one(other, &nop);
    EXPECT(aio_queue_cancel(NULL, ids[2]), -EINVAL);
    EXPECT(aio_queue_cancel(queue, 0), -EINVAL);
    EXPECT(aio_queue_cancel(NULL, 0), -EINVAL);
    EXPECT(aio_queue_cancel(queue, ids[2]), -ESTALE);
    EXPECT(aio_queue_cancel(queue, 1), -ESTALE);
    EXPECT(aio_queue_cancel(queue, UINT64_MAX), -ESTALE);
    EXPECT(aio_queue_cancel(other, ids[2] + 4), -ESTALE);
    EXPECT(aio_queue_cancel(other, ids[2] + (1 << 16)), -ESTALE);
    for (unsigned index = 0; index < 3; index++)
        REQUIRE_EQ(completion_of(other, ids[index]).result, 0);
    close_queue(queue);
    close_queue(other);
}
END_TEST

START_TEST(what_is_done_is_not_cancelled)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_completion completion;

    for (unsigned waited = 0; waited < 2; waited++) {
        struct aio_op ops[] = {op_nop(), op_write(file, page, PAGE, 0), op_sync(file)};

        for (size_t index = 0; index < COUNT(ops); index++) {
            aio_request_id id;

            ops[index].flags = waited ? AIO_OP_WAITED : 0;
            id = submit_one(queue, &ops[index]);
            EXPECT(aio_queue_drain(queue, NULL), 0);
            EXPECT(aio_queue_cancel(queue, id), -EALREADY);
            EXPECT(aio_queue_cancel(queue, id), -EALREADY);
            if (waited)
                completion = completion_of(queue, id);
            else
                EXPECT(aio_queue_reap(queue, &completion, 1, 1, NULL), 1);
            REQUIRE_EQ(completion.result, index == 1 ? PAGE : 0);
            EXPECT(aio_queue_cancel(queue, id), -ESTALE);
        }
    }
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

/* The kernel has moved the bytes; that is not taken back. */
START_TEST(what_the_kernel_is_through_with_is_not_cancelled)
{
    struct rig rig = wide_rig(16);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_write(rig.file, page, PAGE, 0), op_read(rig.file, page, PAGE, 0)};

    for (size_t index = 0; index < COUNT(ops); index++) {
        aio_request_id id;

        fault_hold(rig.fault, FAULT_ALL);
        id = submit_one(rig.queue, &ops[index]);
        EVENTUALLY(fault_held(rig.fault) == 1);
        EXPECT(aio_queue_cancel(rig.queue, id), -EBUSY);
        EXPECT(aio_queue_cancel(rig.queue, id), -EBUSY);
        EXPECT(aio_queue_wait(rig.queue, id, &no_time), -ETIMEDOUT);
        let_all_go(&rig);
        REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
    }
    disk_check_pattern("file", 0, PAGE, 1);
    cancel_rig_close(&rig);
    free(page);
}
END_TEST

struct in_child_now {
    struct aio_queue *queue;
    aio_request_id id;
};

static int cancel_in_child(void *argument)
{
    struct in_child_now *now = argument;

    return aio_queue_cancel(now->queue, now->id) == -EOWNERDEAD ? 0 : 1;
}

START_TEST(a_child_cancels_nothing)
{
    struct rig rig = wide_rig(16);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_op truncate = {.opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = PAGE};
    struct in_child_now now = {.queue = rig.queue};
    aio_request_id id;

    fault_hold(rig.fault, FAULT_WRITES);
    id = submit_one(rig.queue, &write);
    now.id = submit_one(rig.queue, &truncate);
    if (!threads_are_watched())
        REQUIRE_EQ(in_child(cancel_in_child, &now), 0);
    let_all_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, now.id).result, 0);
    REQUIRE_EQ(disk_size("file"), PAGE);
    cancel_rig_close(&rig);
    free(page);
}
END_TEST

/* --- before the file ------------------------------------------------------------------------ */

/* What has to be alone on the first stripe or everywhere. */
static struct aio_op lonely_op(unsigned kind, struct aio_file *file, char *bytes)
{
    switch (kind) {
    case 0:
        return (struct aio_op){.opcode = AIO_OP_TRUNCATE, .file = file, .offset = 100};
    case 1:
        return (struct aio_op){
            .opcode = AIO_OP_ALLOCATE, .file = file, .offset = FILE_BYTES, .len = PAGE};
    case 2:
        return op_write(file, bytes, 100, PAGE + 1);
    default:
        return (struct aio_op){.opcode = AIO_OP_SYNC, .file = file, .flags = AIO_OP_DRAIN};
    }
}
enum { LONELY = 4 };

START_TEST(one_that_is_held_by_another_goes_at_once)
{
    struct rig rig = wide_rig(32);
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op lonely = lonely_op((unsigned)_i, rig.file, bytes);
    struct aio_op behind = op_write(rig.file, bytes + PAGE, PAGE, PAGE);
    aio_request_id ids[4];

    fault_hold(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &write);
    ids[1] = submit_one(rig.queue, &lonely);
    ids[2] = submit_one(rig.queue, &behind);
    ids[3] = submit_one(rig.queue, &behind);
    REQUIRE_EQ(waiting_in(rig.queue), 3);
    /* The last leaves; those before it stay where they are. */
    EXPECT(aio_queue_cancel(rig.queue, ids[3]), 0);
    EXPECT(aio_queue_cancel(rig.queue, ids[3]), -EALREADY);
    take_cancelled(rig.queue, ids[3]);
    REQUIRE_EQ(waiting_in(rig.queue), 2);
    /* One in the way of others leaves: they come in, while the first is still there. */
    EXPECT(aio_queue_cancel(rig.queue, ids[1]), 0);
    EVENTUALLY(fault_held(rig.fault) == 2);
    REQUIRE_EQ(waiting_in(rig.queue), 0);
    take_cancelled(rig.queue, ids[1]);
    let_all_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, ids[2]).result, PAGE);
    REQUIRE_EQ(disk_size("file"), FILE_BYTES);
    disk_check_pattern("file", 0, 2 * PAGE, 1);
    cancel_rig_close(&rig);
    free(bytes);
}
END_TEST

/* Many wait in a line, and go from the first, the last and in between; the others keep their
 * order. */
START_TEST(any_of_a_line_can_go)
{
    enum { LINE = 12 };
    struct rig rig = wide_rig(32);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    aio_request_id first;
    aio_request_id ids[LINE];

    fault_hold(rig.fault, FAULT_WRITES);
    first = submit_one(rig.queue, &write);
    for (unsigned index = 0; index < LINE; index++) {
        struct aio_op truncate = {
            .opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = 1000 + index};

        ids[index] = submit_one(rig.queue, &truncate);
    }
    for (unsigned index = 0; index < LINE; index += 1 + index % 2) {
        EXPECT(aio_queue_cancel(rig.queue, ids[index]), 0);
        ids[index] = 0;
    }
    EXPECT(aio_queue_cancel(rig.queue, ids[LINE - 2]), 0);
    ids[LINE - 2] = 0;
    let_all_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, first).result, PAGE);
    for (unsigned left = LINE; left > 0; left--) {
        struct aio_completion completion;

        if (ids[LINE - left] != 0) {
            REQUIRE_EQ(completion_of(rig.queue, ids[LINE - left]).result, 0);
            REQUIRE(disk_size("file") >= 1000 + LINE - left);
        } else {
            EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, NULL), 1);
            check_cancelled(&completion);
        }
    }
    cancel_rig_close(&rig);
    free(bytes);
}
END_TEST

/* It shares the end of the file, and has a place there, while it waits for its stripe. */
START_TEST(an_append_gives_its_place_up)
{
    struct rig rig = rig_open(32, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op append = op_append(rig.file, bytes, 100);
    struct aio_op truncate = {.opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = PAGE};
    aio_request_id ids[3];
    off_t where = -1;

    EXPECT(aio_file_truncate(rig.file, 2 * PAGE), 0);
    fault_hold(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &write);
    ids[1] = submit_one(rig.queue, &append);
    ids[2] = submit_one(rig.queue, &truncate);
    EXPECT(aio_queue_cancel(rig.queue, ids[1]), 0);
    take_cancelled(rig.queue, ids[1]);
    EXPECT(aio_queue_cancel(rig.queue, ids[2]), 0);
    take_cancelled(rig.queue, ids[2]);
    EXPECT(aio_file_append(rig.file, bytes, 0, &where), 0);
    let_all_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    EXPECT(aio_file_append(rig.file, bytes, 100, &where), 100);
    REQUIRE_EQ(where, 2 * PAGE);
    cancel_rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- for memory ----------------------------------------------------------------------------- */

START_TEST(one_that_waits_for_memory_goes)
{
    enum { MORE = 5 };
    struct rig rig = wide_rig(32);
    char *bytes = page_alloc((BUFFERS + MORE) * 2 * PAGE);
    unsigned gone = _i == 0 ? 0 : _i == 1 ? MORE / 2 : MORE - 1;
    aio_request_id ids[BUFFERS + MORE];

    fault_hold(rig.fault, FAULT_READS);
    for (unsigned index = 0; index < BUFFERS + MORE; index++) {
        struct aio_op read = op_read(rig.file, bytes + index * 2 * PAGE + 1, PAGE, index * PAGE);

        ids[index] = submit_one(rig.queue, &read);
    }
    EVENTUALLY(fault_held(rig.fault) == BUFFERS);
    REQUIRE_EQ(waiting_in(rig.queue), MORE);
    EXPECT(aio_queue_cancel(rig.queue, ids[BUFFERS + gone]), 0);
    take_cancelled(rig.queue, ids[BUFFERS + gone]);
    REQUIRE_EQ(fault_held(rig.fault), BUFFERS);
    /* What comes free goes to the others. */
    fault_release(rig.fault, MORE);
    EVENTUALLY(fault_held(rig.fault) == BUFFERS - 1);
    let_all_go(&rig);
    for (unsigned index = 0; index < BUFFERS + MORE; index++)
        if (index != BUFFERS + gone)
            REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, PAGE);
    cancel_rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- for a worker --------------------------------------------------------------------------- */

/* Keeps all workers busy, each in a stripe of its own from the second on. */
static void occupy_workers(struct rig *rig, aio_request_id *ids)
{
    fault_stall(rig->fault, FAULT_WRITES);
    for (unsigned index = 0; index < WORKERS; index++) {
        struct aio_op write = op_write(rig->file, "x", 1, (int64_t)((index + 1) * STRIPE + 1));

        ids[index] = submit_one(rig->queue, &write);
    }
    EVENTUALLY(fault_stalled(rig->fault) == WORKERS);
}

START_TEST(one_that_waits_for_a_worker_goes)
{
    enum { MORE = 5 };
    struct rig rig = wide_rig(32);
    unsigned gone = _i == 0 ? 0 : _i == 1 ? MORE / 2 : MORE - 1;
    uint64_t offset = (WORKERS + 1 + gone) * STRIPE;
    char *page = pattern_alloc(PAGE, offset, 1);
    aio_request_id busy[WORKERS];
    aio_request_id ids[MORE];
    struct aio_op aligned = op_write(rig.file, page, PAGE, (int64_t)offset);

    occupy_workers(&rig, busy);
    for (unsigned index = 0; index < MORE; index++) {
        struct aio_op write =
            op_write(rig.file, "y", 1, (int64_t)((WORKERS + 1 + index) * STRIPE + 1));

        ids[index] = submit_one(rig.queue, &write);
    }
    EXPECT(aio_queue_cancel(rig.queue, busy[0]), -EBUSY);
    EXPECT(aio_queue_cancel(rig.queue, ids[gone]), 0);
    take_cancelled(rig.queue, ids[gone]);
    /* Its stripe is free. */
    REQUIRE_EQ(run_op(rig.queue, &aligned).result, PAGE);
    let_all_go(&rig);
    for (unsigned index = 0; index < WORKERS; index++)
        REQUIRE_EQ(completion_of(rig.queue, busy[index]).result, 1);
    for (unsigned index = 0; index < MORE; index++)
        if (index != gone)
            REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, 1);
    disk_check_pattern("file", offset, PAGE, 1);
    cancel_rig_close(&rig);
    free(page);
}
END_TEST

/* It was let in, and waits for a worker to take it on. */
START_TEST(one_that_was_let_in_goes)
{
    struct rig rig = wide_rig(32);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_op lonely = lonely_op((unsigned)_i, rig.file, page);
    aio_request_id busy[WORKERS];
    aio_request_id ids[2];
    struct aio_file *file = open_direct("other");

    EXPECT(aio_file_truncate(file, FILE_BYTES), 0);
    fault_attach(rig.fault, file);
    fault_hold(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &write);
    ids[1] = submit_one(rig.queue, &lonely);
    /* Workers are kept busy with another file. */
    {
        struct rig other = {rig.fault, rig.queue, file};

        occupy_workers(&other, busy);
    }
    EVENTUALLY(fault_held(rig.fault) == 1);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    EXPECT(aio_queue_cancel(rig.queue, ids[1]), 0);
    take_cancelled(rig.queue, ids[1]);
    fault_hold(rig.fault, 0);
    REQUIRE_EQ(run_op(rig.queue, &write).result, PAGE);
    let_all_go(&rig);
    for (unsigned index = 0; index < WORKERS; index++)
        REQUIRE_EQ(completion_of(rig.queue, busy[index]).result, 1);
    close_file(file);
    REQUIRE_EQ(disk_size("file"), FILE_BYTES);
    cancel_rig_close(&rig);
    free(page);
}
END_TEST

/* --- for room in the engine ----------------------------------------------------------------- */

/* What the engine is asked for by each opcode. */
static struct aio_op engine_op(unsigned kind, struct aio_file *file, char *page,
                               const struct iovec *iov)
{
    switch (kind) {
    case 0:
        return op_read(file, page, PAGE, 0);
    case 1:
        return op_write(file, page, PAGE, 0);
    case 2:
        return op_vectors(AIO_OP_READV, file, iov, 1, 0);
    case 3:
        return op_vectors(AIO_OP_WRITEV, file, iov, 1, 0);
    case 4:
        return op_append(file, page, PAGE);
    case 5:
        return op_sync(file);
    case 6:
        return (struct aio_op){.opcode = AIO_OP_DATASYNC, .file = file};
    case 7:
        return (struct aio_op){.opcode = AIO_OP_SYNC, .file = file, .flags = AIO_OP_DRAIN};
    default:
        return op_read(file, page + 1, 100, 1); /* with a buffer */
    }
}
enum { ENGINE_OPS = 9 };

START_TEST(one_that_the_engine_had_no_room_for_goes)
{
    struct rig rig = wide_rig(32);
    char *page = pattern_alloc(2 * PAGE, 0, 1);
    struct iovec iov = {page, PAGE};
    struct aio_op op = engine_op((unsigned)_i, rig.file, page, &iov);
    aio_request_id id;
    unsigned tries;

    fault_refuse(rig.fault, -EAGAIN, FAULT_FOR_EVER);
    id = submit_one(rig.queue, &op);
    EVENTUALLY(fault_submits(rig.fault) > 0);
    cancel_between_tries(rig.queue, id);
    EXPECT(aio_queue_cancel(rig.queue, id), -EALREADY);
    tries = fault_submits(rig.fault);
    sleep_us(25000);
    REQUIRE_EQ(fault_submits(rig.fault), tries); /* it is not asked for any more */
    take_cancelled(rig.queue, id);
    REQUIRE_EQ(disk_size("file"), FILE_BYTES);
    disk_check_zeros("file", 0, PAGE);
    cancel_rig_close(&rig);
    free(page);
}
END_TEST

/* A sync that was not made is no sync that failed. */
START_TEST(a_cancelled_sync_has_lost_nothing)
{
    struct rig rig = rig_open(16, 0);
    struct aio_op sync = op_sync(rig.file);
    struct aio_file_info info = {.size = sizeof(info)};
    aio_request_id id;

    fault_refuse(rig.fault, -EAGAIN, FAULT_FOR_EVER);
    id = submit_one(rig.queue, &sync);
    cancel_between_tries(rig.queue, id);
    take_cancelled(rig.queue, id);
    let_all_go(&rig);
    EXPECT(aio_file_info(rig.file, &info), 0);
    REQUIRE_EQ(info.sync_error, 0);
    EXPECT(aio_file_sync(rig.file), 0);
    cancel_rig_close(&rig);
}
END_TEST

/* What it has moved is told; of a read that is nothing. */
START_TEST(the_rest_of_a_part_goes)
{
    static const uint8_t opcodes[] = {AIO_OP_WRITE, AIO_OP_APPEND, AIO_OP_WRITEV, AIO_OP_READ,
                                      AIO_OP_READV};
    struct rig rig = rig_open(16, 0);
    char *bytes = pattern_alloc(3 * PAGE, 0, 1);
    struct iovec iov = {bytes, 3 * PAGE};
    struct aio_op op = op_vectors(opcodes[_i], rig.file, &iov, 1, 0);
    bool reads = opcodes[_i] == AIO_OP_READ || opcodes[_i] == AIO_OP_READV;
    struct aio_completion completion;
    struct aio_request_info info;
    aio_request_id id;

    if (opcodes[_i] != AIO_OP_WRITEV && opcodes[_i] != AIO_OP_READV) {
        op.buf = bytes;
        op.len = 3 * PAGE;
    }
    if (reads)
        EXPECT(aio_file_pwrite(rig.file, bytes, 3 * PAGE, 0), 3 * PAGE);
    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, .value = PAGE});
    fault_hold(rig.fault, FAULT_ALL);
    id = submit_one(rig.queue, &op);
    EVENTUALLY(fault_held(rig.fault) == 1);
    fault_refuse(rig.fault, -EAGAIN, FAULT_FOR_EVER);
    fault_release(rig.fault, FAULT_FOR_EVER);
    EVENTUALLY(aio_queue_inflight(rig.queue, &info, 1) == 1 && info.done == PAGE);
    cancel_between_tries(rig.queue, id);
    completion = completion_of(rig.queue, id);
    REQUIRE_EQ(completion.result, reads ? -ECANCELED : (int)PAGE);
    REQUIRE_EQ(completion.error, -ECANCELED);
    REQUIRE_EQ(completion.offset, 0);
    REQUIRE_EQ(disk_size("file"), reads ? 3 * PAGE : PAGE);
    disk_check_pattern("file", 0, PAGE, 1);
    cancel_rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- in the engine -------------------------------------------------------------------------- */

/* An engine in which nothing moves until the test says what came of it, and which can stop what it
 * has. */
struct still_engine {
    struct engine engine;
    struct engine_ops ops;
    struct event_ring ring; /* its lock guards all below */
    int cancel_answer;      /* instead of stopping anything */
    unsigned cancels;
    struct engine_io *ios[16];
};

static struct still_engine *still_of(struct engine *engine)
{
    return (struct still_engine *)engine;
}

static void still_destroy(struct engine *engine)
{
    struct still_engine *still = still_of(engine);

    event_ring_free(&still->ring);
    free(still);
}

static int still_submit(struct engine *engine, struct engine_io *const *ios, unsigned count)
{
    struct still_engine *still = still_of(engine);

    thread_mutex_lock(&still->ring.lock);
    for (unsigned index = 0; index < count; index++)
        still->ios[ios[index]->tag] = ios[index];
    thread_mutex_unlock(&still->ring.lock);
    return (int)count;
}

static int still_reap(struct engine *engine, struct engine_event *events, unsigned min,
                      unsigned max, const struct timespec *timeout)
{
    return event_ring_reap(&still_of(engine)->ring, events, min, max, timeout);
}

static int still_wake(struct engine *engine, unsigned sleeping_for)
{
    (void)sleeping_for;
    event_ring_wake(&still_of(engine)->ring);
    return 0;
}

static int still_cancel(struct engine *engine, uint32_t tag)
{
    struct still_engine *still = still_of(engine);
    int answer;

    thread_mutex_lock(&still->ring.lock);
    still->cancels++;
    answer = still->cancel_answer;
    if (answer == 0 && still->ios[tag] == NULL)
        answer = -EALREADY;
    if (answer == 0) {
        still->ios[tag] = NULL;
        event_ring_put(&still->ring, tag, -ECANCELED);
    }
    thread_mutex_unlock(&still->ring.lock);
    return answer;
}

static int still_notify(struct engine *engine, int event_fd)
{
    event_ring_notify(&still_of(engine)->ring, event_fd);
    return 0;
}

/* The only transfer that it has ends. */
static void still_finish(struct still_engine *still, int64_t result)
{
    unsigned found = 0;

    thread_mutex_lock(&still->ring.lock);
    for (uint32_t tag = 0; tag < COUNT(still->ios); tag++)
        if (still->ios[tag] != NULL) {
            still->ios[tag] = NULL;
            event_ring_put(&still->ring, tag, result);
            found++;
        }
    thread_mutex_unlock(&still->ring.lock);
    REQUIRE_EQ(found, 1);
}

static unsigned still_count(struct still_engine *still)
{
    unsigned count = 0;

    thread_mutex_lock(&still->ring.lock);
    for (uint32_t tag = 0; tag < COUNT(still->ios); tag++)
        count += still->ios[tag] != NULL;
    thread_mutex_unlock(&still->ring.lock);
    return count;
}

static struct aio_queue *still_queue(struct still_engine **result)
{
    struct still_engine *still = calloc(1, sizeof(*still));
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue *queue;

    REQUIRE(still != NULL);
    REQUIRE_EQ(event_ring_init(&still->ring, COUNT(still->ios)), 0);
    still->ops = engine_sync_ops;
    still->ops.name = "still";
    still->ops.destroy = still_destroy;
    still->ops.submit = still_submit;
    still->ops.reap = still_reap;
    still->ops.wake = still_wake;
    still->ops.cancel = still_cancel;
    still->ops.notify = still_notify;
    still->engine.ops = &still->ops;
    still->engine.depth = COUNT(still->ios);
    options.depth = COUNT(still->ios);
    REQUIRE_EQ(queue_create_on(&still->engine, &options, &queue), 0);
    *result = still;
    return queue;
}

START_TEST(what_the_engine_can_stop_is_cancelled)
{
    struct still_engine *still;
    struct aio_file *file = open_direct("file");
    struct aio_queue *queue = still_queue(&still);
    char *page = pattern_alloc(2 * PAGE, 0, 1);
    struct iovec iov = {page, PAGE};
    struct aio_op op = engine_op((unsigned)_i, file, page, &iov);
    aio_request_id id;

    EXPECT(aio_file_truncate(file, 2 * PAGE), 0);
    id = submit_one(queue, &op);
    EVENTUALLY(still_count(still) == 1);
    still->cancel_answer = -EBUSY;
    EXPECT(aio_queue_cancel(queue, id), -EBUSY);
    still->cancel_answer = -EALREADY;
    EXPECT(aio_queue_cancel(queue, id), -EBUSY);
    REQUIRE_EQ(still_count(still), 1);
    still->cancel_answer = 0;
    EXPECT(aio_queue_cancel(queue, id), 0);
    take_cancelled(queue, id);
    REQUIRE_EQ(still_count(still), 0);
    EXPECT(aio_file_sync(file), 0);
    EXPECT(aio_file_truncate(file, 100), 0);
    REQUIRE(atomic_load(&queues_hastening) == 0);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

START_TEST(what_was_moved_before_the_engine_stopped_it_is_told)
{
    struct still_engine *still;
    struct aio_file *file = open_direct("file");
    struct aio_queue *queue = still_queue(&still);
    char *bytes = pattern_alloc(3 * PAGE, 0, 1);

    EXPECT(aio_file_truncate(file, 3 * PAGE), 0);
    for (unsigned reads = 0; reads < 2; reads++) {
        struct aio_op op =
            reads ? op_read(file, bytes, 3 * PAGE, 0) : op_write(file, bytes, 3 * PAGE, 0);
        aio_request_id id = submit_one(queue, &op);
        struct aio_completion completion;

        EVENTUALLY(still_count(still) == 1);
        still_finish(still, PAGE);
        EVENTUALLY(still_count(still) == 1);
        EXPECT(aio_queue_cancel(queue, id), 0);
        completion = completion_of(queue, id);
        REQUIRE_EQ(completion.result, reads ? -ECANCELED : (int)PAGE);
        REQUIRE_EQ(completion.error, -ECANCELED);
    }
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

static void count_cancelled(const struct aio_completion *completion)
{
    check_cancelled(completion);
    atomic_fetch_add((atomic_int *)completion->context, 1);
}

START_TEST(a_callback_is_told_once)
{
    struct still_engine *still;
    struct aio_file *file = open_direct("file");
    struct aio_queue *queue = still_queue(&still);
    char *page = page_alloc(PAGE);
    struct aio_op read = op_read(file, page, PAGE, 0);
    struct aio_op sync = {.opcode = AIO_OP_SYNC, .file = file, .flags = AIO_OP_DRAIN};
    struct aio_op write = op_write(file, page, PAGE, 0);
    atomic_int called = 0;
    int expected = 0;

    read.on_complete = count_cancelled;
    read.context = &called;
    write.on_complete = count_cancelled;
    write.context = &called;
    sync.on_complete = count_cancelled;
    sync.context = &called;
    for (unsigned round = 0; round < 100; round++) {
        aio_request_id ids[] = {submit_one(queue, &read), submit_one(queue, &write),
                                submit_one(queue, &sync)};

        for (size_t index = COUNT(ids); index-- > 0;)
            EXPECT(aio_queue_cancel(queue, ids[index]), 0);
        EXPECT(aio_queue_drain(queue, NULL), 0);
        REQUIRE_EQ(called, expected += COUNT(ids));
        for (size_t index = 0; index < COUNT(ids); index++)
            EXPECT(aio_queue_cancel(queue, ids[index]), -ESTALE);
    }
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

/* --- who waits for it ----------------------------------------------------------------------- */

struct waiter_thread {
    struct aio_queue *queue;
    struct aio_file *file;
    struct aio_op op;
    aio_request_id id;
    atomic_bool begun;
    atomic_bool ended;
    int64_t result;
    struct aio_completion completion;
    pthread_t thread;
};

static void *wait_main(void *argument)
{
    struct waiter_thread *waiter = argument;

    waiter->begun = true;
    waiter->result =
        CALL(aio_queue_wait_result(waiter->queue, waiter->id, NULL, &waiter->completion));
    waiter->ended = true;
    return NULL;
}

static void *reap_main(void *argument)
{
    struct waiter_thread *waiter = argument;

    waiter->begun = true;
    waiter->result = CALL(aio_queue_reap(waiter->queue, &waiter->completion, 1, 1, NULL));
    waiter->ended = true;
    return NULL;
}

static void *drain_main(void *argument)
{
    struct waiter_thread *waiter = argument;

    waiter->begun = true;
    waiter->result = CALL(aio_queue_drain(waiter->queue, NULL));
    waiter->ended = true;
    return NULL;
}

static void *submit_main(void *argument)
{
    struct waiter_thread *waiter = argument;

    waiter->begun = true;
    waiter->result = CALL(aio_queue_submit(waiter->queue, &waiter->op, 1, &waiter->id));
    waiter->ended = true;
    return NULL;
}

static void *close_main(void *argument)
{
    struct waiter_thread *waiter = argument;

    waiter->begun = true;
    waiter->result = CALL(aio_file_close(waiter->file));
    waiter->ended = true;
    return NULL;
}

static void waiter_begin(struct waiter_thread *waiter, void *(*body)(void *))
{
    thread_begin(&waiter->thread, body, waiter);
    EVENTUALLY(waiter->begun);
    sleep_us(10000);
    REQUIRE(!waiter->ended);
}

static void waiter_end(struct waiter_thread *waiter, int64_t result)
{
    EVENTUALLY(waiter->ended);
    thread_end(waiter->thread);
    REQUIRE_EQ(waiter->result, result);
}

/* A thread that waits is told at once, be it parked or asleep in the engine. */
START_TEST(who_waits_is_told)
{
    void *(*const bodies[])(void *) = {wait_main, reap_main, drain_main};
    struct rig rig = wide_rig(32);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_op truncate = {.opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = 100};
    struct waiter_thread waiter = {.queue = rig.queue};
    struct aio_queue *other = fault_queue(fault_create(test_engine, 4), 0);
    aio_request_id id;

    fault_hold(rig.fault, FAULT_WRITES);
    id = submit_one(rig.queue, &write);
    waiter.queue = other;
    waiter.id = submit_one(other, &truncate);
    waiter_begin(&waiter, bodies[_i]);
    EXPECT(aio_queue_cancel(other, waiter.id), 0);
    waiter_end(&waiter, _i == 1 ? 1 : 0);
    if (_i == 2)
        take_cancelled(other, waiter.id);
    else
        check_cancelled(&waiter.completion);
    /* The same beside something in flight, on the queue of which it sleeps. */
    waiter = (struct waiter_thread){.queue = rig.queue};
    waiter.id = submit_one(rig.queue, &truncate);
    if (_i < 2) {
        waiter_begin(&waiter, bodies[_i]);
        EXPECT(aio_queue_cancel(rig.queue, waiter.id), 0);
        waiter_end(&waiter, _i == 1 ? 1 : 0);
        check_cancelled(&waiter.completion);
    } else {
        EXPECT(aio_queue_cancel(rig.queue, waiter.id), 0);
        take_cancelled(rig.queue, waiter.id);
    }
    let_all_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
    close_queue(other);
    cancel_rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(the_slot_of_a_cancelled_one_is_free)
{
    struct rig rig = wide_rig(3);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_op truncate = {.opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = 100};
    struct waiter_thread waiter = {.queue = rig.queue, .op = op_nop()};
    atomic_int called = 0;
    aio_request_id ids[3];

    fault_hold(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &write);
    truncate.on_complete = count_cancelled;
    truncate.context = &called;
    ids[1] = submit_one(rig.queue, &truncate);
    ids[2] = submit_one(rig.queue, &truncate);
    waiter_begin(&waiter, submit_main);
    EXPECT(aio_queue_cancel(rig.queue, ids[1]), 0);
    waiter_end(&waiter, 1);
    REQUIRE_EQ(completion_of(rig.queue, waiter.id).result, 0);
    EXPECT(aio_queue_cancel(rig.queue, ids[2]), 0);
    EVENTUALLY(called == 2);
    let_all_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    cancel_rig_close(&rig);
    REQUIRE_EQ(called, 2);
    free(page);
}
END_TEST

/* A file is closed when its last operation was taken back. */
START_TEST(close_waits_no_longer_for_it)
{
    struct still_engine *still;
    struct aio_file *file = open_direct("file");
    struct aio_queue *queue = still_queue(&still);
    struct waiter_thread waiter = {.file = file};
    char *page = page_alloc(PAGE);
    struct aio_op read = op_read(file, page, PAGE, 0);
    aio_request_id id = submit_one(queue, &read);

    waiter_begin(&waiter, close_main);
    EXPECT(aio_queue_cancel(queue, id), 0);
    waiter_end(&waiter, 0);
    take_cancelled(queue, id);
    close_queue(queue);
    free(page);
}
END_TEST

/* --- in a callback -------------------------------------------------------------------------- */

struct steered {
    struct aio_queue *queue;
    aio_request_id own;
    aio_request_id held;
    aio_request_id late; /* done, its callback due behind this one */
    atomic_bool inside;
    atomic_bool go;
    atomic_int cancelled;
    atomic_int called;
};

static void be_cancelled(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;

    check_cancelled(completion);
    REQUIRE(!steered->inside);
    atomic_fetch_add(&steered->cancelled, 1);
}

static void be_called(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;

    REQUIRE_EQ(completion->result, 0);
    atomic_fetch_add(&steered->called, 1);
}

static void cancel_others(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;

    steered->inside = true;
    EVENTUALLY(steered->go);
    EXPECT(aio_queue_cancel(steered->queue, completion->id), -ESTALE);
    EXPECT(aio_queue_cancel(steered->queue, steered->held), 0);
    EXPECT(aio_queue_cancel(steered->queue, steered->held), -EALREADY);
    EXPECT(aio_queue_cancel(steered->queue, steered->late), -EALREADY);
    REQUIRE_EQ(steered->cancelled, 0);
    steered->inside = false;
}

START_TEST(a_callback_may_cancel)
{
    struct rig rig = wide_rig(32);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_op truncate = {.opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = 100};
    struct steered steered = {.queue = rig.queue};
    struct aio_op nop = op_nop();
    aio_request_id id;

    fault_hold(rig.fault, FAULT_WRITES);
    id = submit_one(rig.queue, &write);
    truncate.on_complete = be_cancelled;
    truncate.context = &steered;
    steered.held = submit_one(rig.queue, &truncate);
    nop.context = &steered;
    nop.on_complete = cancel_others;
    submit_one(rig.queue, &nop);
    EVENTUALLY(steered.inside);
    nop.on_complete = be_called;
    steered.late = submit_one(rig.queue, &nop);
    steered.go = true;
    EVENTUALLY(steered.cancelled == 1 && steered.called == 1);
    let_all_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
    cancel_rig_close(&rig);
    REQUIRE(steered.cancelled == 1 && steered.called == 1);
    free(page);
}
END_TEST

/* --- chains --------------------------------------------------------------------------------- */

/* Whoever is taken out of a chain ends those behind him, and nobody before him. */
START_TEST(the_rest_of_a_chain_goes_with_it)
{
    enum { CHAIN = 4 };
    struct rig rig = wide_rig(32);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[CHAIN];
    struct aio_op drain = {.opcode = AIO_OP_SYNC, .file = rig.file, .flags = AIO_OP_DRAIN};
    aio_request_id ids[CHAIN];
    aio_request_id drain_id;

    for (unsigned index = 0; index < CHAIN; index++) {
        ops[index] = op_write(rig.file, page, PAGE, index * PAGE);
        ops[index].flags = index + 1 < CHAIN ? AIO_OP_LINK : 0;
    }
    fault_hold(rig.fault, FAULT_WRITES);
    EXPECT(aio_queue_submit(rig.queue, ops, CHAIN, ids), CHAIN);
    drain_id = submit_one(rig.queue, &drain);
    EVENTUALLY(fault_held(rig.fault) == 1);
    EXPECT(aio_queue_cancel(rig.queue, ids[_i + 1]), 0);
    for (unsigned index = (unsigned)_i + 1; index < CHAIN; index++) {
        EXPECT(aio_queue_cancel(rig.queue, ids[index]), -EALREADY);
        take_cancelled(rig.queue, ids[index]);
    }
    EXPECT(aio_queue_wait(rig.queue, drain_id, &no_time), -ETIMEDOUT);
    let_all_go(&rig);
    for (unsigned index = 0; index <= (unsigned)_i; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, drain_id).result, 0);
    cancel_rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(a_chain_goes_with_its_first)
{
    struct rig rig = wide_rig(32);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[3] = {lonely_op((unsigned)_i, rig.file, page),
                            op_write(rig.file, page, PAGE, 0), op_sync(rig.file)};
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_op drain = {.opcode = AIO_OP_SYNC, .file = rig.file, .flags = AIO_OP_DRAIN};
    aio_request_id ids[4];
    aio_request_id drain_id;

    ops[0].flags |= AIO_OP_LINK;
    ops[1].flags |= AIO_OP_LINK;
    fault_hold(rig.fault, FAULT_WRITES);
    ids[3] = submit_one(rig.queue, &write);
    EXPECT(aio_queue_submit(rig.queue, ops, 3, ids), 3);
    drain_id = submit_one(rig.queue, &drain);
    EXPECT(aio_queue_cancel(rig.queue, ids[0]), 0);
    for (unsigned index = 0; index < 3; index++)
        take_cancelled(rig.queue, ids[index]);
    /* One that has waited for the writes of a chain, and is on its way now, goes too. */
    cancel_between_tries(rig.queue, drain_id);
    take_cancelled(rig.queue, drain_id);
    let_all_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, ids[3]).result, PAGE);
    cancel_rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(one_that_waits_for_a_chain_goes)
{
    struct rig rig = wide_rig(32);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[2] = {op_write(rig.file, page, PAGE, 0), op_write(rig.file, page, PAGE, 0)};
    struct aio_op drain = {.opcode = AIO_OP_SYNC, .file = rig.file, .flags = AIO_OP_DRAIN};
    aio_request_id ids[2];
    aio_request_id drains[2];

    ops[0].flags = AIO_OP_LINK;
    fault_hold(rig.fault, FAULT_WRITES);
    EXPECT(aio_queue_submit(rig.queue, ops, 2, ids), 2);
    drains[0] = submit_one(rig.queue, &drain);
    drains[1] = submit_one(rig.queue, &drain);
    EXPECT(aio_queue_cancel(rig.queue, drains[0]), 0);
    take_cancelled(rig.queue, drains[0]);
    let_all_go(&rig);
    for (unsigned index = 0; index < 2; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, drains[1]).result, 0);
    cancel_rig_close(&rig);
    free(page);
}
END_TEST

/* --- an owned queue ------------------------------------------------------------------------- */

static void *cancel_elsewhere(void *argument)
{
    struct in_child_now *now = argument;

    EXPECT(aio_queue_cancel(now->queue, now->id), -EPERM);
    return NULL;
}

START_TEST(the_owner_of_a_queue_cancels)
{
    struct rig rig = rig_open(16, AIO_QUEUE_OWNED);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[LONELY + 2];
    struct in_child_now now = {.queue = rig.queue};
    struct aio_completion completions[LONELY + 2];
    aio_request_id ids[LONELY + 2];
    pthread_t thread;

    EXPECT(aio_file_truncate(rig.file, FILE_BYTES), 0);
    ops[0] = op_write(rig.file, page, PAGE, 0);
    for (unsigned index = 0; index < LONELY; index++)
        ops[index + 1] = lonely_op(index, rig.file, page);
    ops[LONELY + 1] = op_write(rig.file, page, PAGE, PAGE);
    fault_hold(rig.fault, FAULT_WRITES);
    EXPECT(aio_queue_submit(rig.queue, ops, COUNT(ops), ids), COUNT(ops));
    now.id = ids[1];
    thread_begin(&thread, cancel_elsewhere, &now);
    thread_end(thread);
    for (unsigned index = 0; index < LONELY; index++) {
        EXPECT(aio_queue_cancel(rig.queue, ids[index + 1]), 0);
        EXPECT(aio_queue_cancel(rig.queue, ids[index + 1]), -EALREADY);
    }
    EXPECT(aio_queue_reap(rig.queue, completions, LONELY, LONELY, NULL), LONELY);
    for (unsigned index = 0; index < LONELY; index++)
        check_cancelled(&completions[index]);
    let_all_go(&rig);
    EXPECT(aio_queue_reap(rig.queue, completions, 2, 2, NULL), 2);
    REQUIRE(completions[0].result == PAGE && completions[1].result == PAGE);
    REQUIRE_EQ(disk_size("file"), FILE_BYTES);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    EXPECT(aio_file_truncate(rig.file, 0), 0);
    REQUIRE(atomic_load(&queues_hastening) == 0);
    rig_close(&rig);
    free(page);
}
END_TEST

/* --- a crowd -------------------------------------------------------------------------------- */

#define SUBMITTERS 4u
#define CANCELLERS 2u
#define BLOCKS 16u /* of each submitter */
#define SIDE_BY_SIDE 6u

struct world {
    struct aio_queue *queue;
    struct aio_file *file;
    struct aio_file *log; /* is appended to and cut */
    int64_t end_ns;
    atomic_uint_fast64_t ids[SUBMITTERS * SIDE_BY_SIDE]; /* those in flight, or a while ago */
    atomic_uint cancelled;                               /* completions that say so */
    atomic_uint accepted;                                /* cancels that returned 0 */
    atomic_uint done;
};

struct record {
    struct aio_op op;
    struct world *world;
    uint64_t block;
    bool writes;
    atomic_uint completions;
    struct aio_completion completion;
};

struct submitter {
    struct world *world;
    unsigned number;
    uint64_t random;
    unsigned char versions[BLOCKS]; /* what each block is full of */
    struct record records[SIDE_BY_SIDE];
    char *memory;
    pthread_t thread;
};

static void note_completion(const struct aio_completion *completion)
{
    struct record *record = completion->context;

    record->completion = *completion;
    atomic_fetch_add(&record->completions, 1);
}

static char *record_memory(struct submitter *submitter, const struct record *record)
{
    return submitter->memory + (size_t)(record - submitter->records) * 2 * PAGE;
}

/* What moves no bytes. */
static struct aio_op other_op(const struct world *world, uint64_t choice)
{
    switch (choice % 16) {
    case 11:
        return (struct aio_op){
            .opcode = AIO_OP_TRUNCATE, .file = world->log, .offset = (int64_t)(choice / 64 % MIB)};
    case 12:
        return (struct aio_op){.opcode = AIO_OP_ALLOCATE,
                               .file = world->file,
                               .len = SUBMITTERS * BLOCKS * PAGE,
                               .mode = FALLOC_FL_KEEP_SIZE};
    case 13:
        return op_sync(choice / 64 % 2 ? world->log : world->file);
    case 14:
        return (struct aio_op){
            .opcode = AIO_OP_DATASYNC, .file = world->file, .flags = AIO_OP_DRAIN};
    default:
        return op_nop();
    }
}

/* Makes an operation of any kind; blocks are written and read by their owner only, one record
 * each. */
static void record_prepare(struct submitter *submitter, struct record *record)
{
    struct world *world = submitter->world;
    uint64_t choice = random_next(&submitter->random);
    size_t place = (size_t)(record - submitter->records);
    uint64_t index = choice / 64 % (BLOCKS / SIDE_BY_SIDE) * SIDE_BY_SIDE + place;
    char *memory = record_memory(submitter, record);
    int64_t offset;

    record->block = index;
    record->writes = false;
    offset = (int64_t)((submitter->number * BLOCKS + index) * PAGE);
    switch (choice % 16) {
    case 0:
    case 1:
    case 2:
        memset(memory, submitter->versions[index] + 1, PAGE);
        record->op = op_write(world->file, memory, PAGE, offset);
        record->writes = true;
        break;
    case 3:
    case 4:
        /* Through the page cache: all but the first byte, which is as before. */
        memset(memory, submitter->versions[index] + 1, PAGE);
        record->op = op_write(world->file, memory + 1, PAGE - 2, offset + 1);
        record->writes = true;
        break;
    case 5: /* bounced */
        memset(memory + 1, submitter->versions[index] + 1, PAGE);
        record->op = op_write(world->file, memory + 1, PAGE, offset);
        record->writes = true;
        break;
    case 6:
    case 7:
        record->op = op_read(world->file, memory, PAGE, offset);
        break;
    case 8:
        record->op = op_read(world->file, memory + 1, 1000, offset + 7);
        break;
    case 9:
        record->op = op_append(world->log, memory, PAGE);
        break;
    case 10:
        record->op = op_append(world->log, memory, 100);
        break;
    default:
        record->op = other_op(world, choice);
        break;
    }
    record->op.context = record;
    if (choice / 16 % 4 == 0)
        record->op.flags |= AIO_OP_WAITED;
    else
        record->op.on_complete = note_completion;
    if (choice / 32 % 8 == 0)
        record->op.deadline = INT64_MAX;
    atomic_store(&record->completions, 0);
}

static uint64_t bytes_wanted(const struct record *record)
{
    bool moves = record->op.opcode >= AIO_OP_READ && record->op.opcode <= AIO_OP_APPENDV;

    return moves ? record->op.len : 0;
}

/* What came of it, and what the block holds now. */
static void record_check(struct submitter *submitter, struct record *record)
{
    struct world *world = submitter->world;
    const struct aio_completion *completion = &record->completion;
    uint64_t wanted = bytes_wanted(record);
    int64_t result = completion->result;

    REQUIRE_EQ(atomic_load(&record->completions), 1);
    REQUIRE_EQ(completion->flags, 0);
    atomic_fetch_add(&world->done, 1);
    if (completion->error == -ECANCELED) {
        REQUIRE(result == -ECANCELED || (result > 0 && result < (int64_t)wanted));
        atomic_fetch_add(&world->cancelled, 1);
    } else {
        REQUIRE_EQ(completion->error, 0);
        REQUIRE_EQ(result, wanted);
    }
    if (record->op.opcode == AIO_OP_READ && result > 0) {
        const char *memory = record->op.buf;
        unsigned char version = submitter->versions[record->block];

        /* The first and the last byte may be of an earlier one. */
        for (uint64_t index = 1; index + 1 < (uint64_t)result; index++)
            REQUIRE_EQ((unsigned char)memory[index], version);
    }
    if (!record->writes)
        return;
    if (result == (int64_t)wanted) {
        submitter->versions[record->block]++;
    } else {
        /* A part, or nothing: what is there now is what its bytes say, all of it is written anew.
         */
        unsigned char expected[PAGE];
        unsigned char found[PAGE];
        uint64_t start = (uint64_t)record->op.offset % PAGE;
        uint64_t moved = result > 0 ? (uint64_t)result : 0;
        int64_t offset = (int64_t)((submitter->number * BLOCKS + record->block) * PAGE);

        memset(expected, submitter->versions[record->block], PAGE);
        memset(expected + start, submitter->versions[record->block] + 1, moved);
        EXPECT(aio_file_pread(world->file, found, PAGE, offset), PAGE);
        REQUIRE(memcmp(expected + 1, found + 1, PAGE - 2) == 0);
        if (moved > 0) {
            memset(record_memory(submitter, record), submitter->versions[record->block], PAGE);
            EXPECT(aio_file_pwrite(world->file, record_memory(submitter, record), PAGE, offset),
                   PAGE);
        }
    }
}

static void submit_round(struct submitter *submitter)
{
    struct world *world = submitter->world;
    aio_request_id ids[SIDE_BY_SIDE];

    for (unsigned index = 0; index < SIDE_BY_SIDE; index++) {
        struct record *record = &submitter->records[index];

        record_prepare(submitter, record);
        ids[index] = submit_one(world->queue, &record->op);
        atomic_store(&world->ids[submitter->number * SIDE_BY_SIDE + index], ids[index]);
    }
    for (unsigned index = 0; index < SIDE_BY_SIDE; index++) {
        struct record *record = &submitter->records[index];

        if (record->op.on_complete == NULL) {
            struct aio_completion completion = completion_of(world->queue, ids[index]);

            note_completion(&completion);
        }
        EVENTUALLY(atomic_load(&record->completions) > 0);
    }
    for (unsigned index = 0; index < SIDE_BY_SIDE; index++)
        record_check(submitter, &submitter->records[index]);
}

static void *submitter_main(void *argument)
{
    struct submitter *submitter = argument;

    while (clock_ns() < submitter->world->end_ns)
        submit_round(submitter);
    return NULL;
}

struct canceller {
    struct world *world;
    uint64_t random;
    pthread_t thread;
};

static void *canceller_main(void *argument)
{
    struct canceller *canceller = argument;
    struct world *world = canceller->world;

    while (clock_ns() < world->end_ns) {
        uint64_t place = random_next(&canceller->random) % COUNT(world->ids);
        aio_request_id id = atomic_load(&world->ids[place]);
        int error = id != 0 ? (int)CALL(aio_queue_cancel(world->queue, id)) : -ESTALE;

        REQUIRE(error == 0 || error == -EBUSY || error == -EALREADY || error == -ESTALE);
        atomic_fetch_add(&world->accepted, error == 0);
        if (random_next(&canceller->random) % 16 == 0)
            sleep_us(50);
    }
    return NULL;
}

static void run_crowd(struct world *world)
{
    static struct submitter submitters[SUBMITTERS];
    struct canceller cancellers[CANCELLERS];
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    world->end_ns = clock_ns() + 1000 * INT64_C(1000000) * test_scale();
    world->file = open_direct("file");
    world->log = open_direct("log");
    EXPECT(aio_file_truncate(world->file, SUBMITTERS * BLOCKS * PAGE), 0);
    for (unsigned number = 0; number < SUBMITTERS; number++) {
        submitters[number] = (struct submitter){.world = world,
                                                .number = number,
                                                .random = number + 1,
                                                .memory = page_alloc(SIDE_BY_SIDE * 2 * PAGE)};
        thread_begin(&submitters[number].thread, submitter_main, &submitters[number]);
    }
    for (unsigned number = 0; number < CANCELLERS; number++) {
        cancellers[number] = (struct canceller){.world = world, .random = number + 77};
        thread_begin(&cancellers[number].thread, canceller_main, &cancellers[number]);
    }
    for (unsigned number = 0; number < SUBMITTERS; number++) {
        thread_end(submitters[number].thread);
        free(submitters[number].memory);
    }
    for (unsigned number = 0; number < CANCELLERS; number++)
        thread_end(cancellers[number].thread);
    EXPECT(aio_queue_drain(world->queue, NULL), 0);
    EXPECT(aio_queue_stats(world->queue, &stats), 0);
    REQUIRE(stats.held == 0 && stats.inflight == 0 && stats.notices == 0);
    REQUIRE_EQ(stats.submitted, world->done);
    REQUIRE_EQ(stats.completed, world->done);
    /* Who was told that it is cancelled was not told so in vain; but io_uring says so, too, where a
     * transfer came to its end in that moment, and may still stop one that it said it could not. */
    if (test_engine != AIO_ENGINE_URING && test_engine != AIO_ENGINE_AUTO)
        REQUIRE_EQ(world->accepted, world->cancelled);
    ck_assert_msg(world->cancelled > 0, "of %u operations none was cancelled", world->done);
    EXPECT(aio_file_truncate(world->file, 0), 0);
    EXPECT(aio_file_truncate(world->log, 0), 0);
    EXPECT(aio_file_pwrite(world->log, "abc", 3, 1), 3);
    EXPECT(aio_file_sync(world->file), 0);
    EVENTUALLY(atomic_load(&queues_hastening) == 0);
    close_file(world->file);
    close_file(world->log);
    close_queue(world->queue);
}

START_TEST(a_crowd_is_cancelled)
{
    struct world world = {.queue = open_queue(32, 0)};

    run_crowd(&world);
}
END_TEST

START_TEST(a_crowd_on_a_bad_engine_is_cancelled)
{
    struct fault *fault = fault_create(test_engine, 32);
    struct world world = {.queue = fault_queue(fault, 0)};

    fault_shorten_by_chance(fault, 1, 3, 512);
    fault_take(fault, 2);
    fault_reverse(fault, true);
    run_crowd(&world);
}
END_TEST

static Suite *cancel_suite(void)
{
    Suite *suite = suite_create("cancel");
    const TTest *const crowds[] = {a_crowd_is_cancelled, a_crowd_on_a_bad_engine_is_cancelled};

    ADD_TESTS(suite, "too late", what_names_nothing_is_not_cancelled, what_is_done_is_not_cancelled,
              what_the_kernel_is_through_with_is_not_cancelled, a_child_cancels_nothing);
    add_loop_test(suite, "file", one_that_is_held_by_another_goes_at_once, LONELY);
    ADD_TESTS(suite, "file", any_of_a_line_can_go, an_append_gives_its_place_up);
    add_loop_test(suite, "memory", one_that_waits_for_memory_goes, 3);
    add_loop_test(suite, "worker", one_that_waits_for_a_worker_goes, 3);
    add_loop_test(suite, "worker", one_that_was_let_in_goes, LONELY);
    add_loop_test(suite, "room", one_that_the_engine_had_no_room_for_goes, ENGINE_OPS);
    add_loop_test(suite, "room", the_rest_of_a_part_goes, 5);
    ADD_TESTS(suite, "room", a_cancelled_sync_has_lost_nothing);
    add_loop_test(suite, "engine", what_the_engine_can_stop_is_cancelled, ENGINE_OPS);
    ADD_TESTS(suite, "engine", what_was_moved_before_the_engine_stopped_it_is_told,
              a_callback_is_told_once);
    add_loop_test(suite, "waiting", who_waits_is_told, 3);
    ADD_TESTS(suite, "waiting", the_slot_of_a_cancelled_one_is_free, close_waits_no_longer_for_it);
    ADD_TESTS(suite, "callback", a_callback_may_cancel);
    add_loop_test(suite, "chain", the_rest_of_a_chain_goes_with_it, 3);
    add_loop_test(suite, "chain", a_chain_goes_with_its_first, LONELY);
    ADD_TESTS(suite, "chain", one_that_waits_for_a_chain_goes);
    ADD_TESTS(suite, "owned", the_owner_of_a_queue_cancels);
    add_long_tests(suite, "crowd", crowds, COUNT(crowds), 4 + 2 * test_scale());
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, cancel_suite);
}
