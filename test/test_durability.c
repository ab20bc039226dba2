/* SPDX-License-Identifier: MIT */
/*
 * test_durability.c - the calls that concern others' operations: sync and its errors, truncate
 * among writes, close among all.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "support.h"

static const struct timespec no_time = {0, 0};

/* --- calls on threads of their own ---------------------------------------------------------- */

enum call_kind {
    CALL_SYNC,
    CALL_DATASYNC,
    CALL_TRUNCATE,
    CALL_CLOSE,
    CALL_PWRITE,
    CALL_APPEND,
    CALL_SUBMIT,
    CALL_REAP,
};

struct call {
    enum call_kind kind;
    struct aio_file *file;
    struct aio_queue *queue;
    struct aio_op op; /* its memory, length and offset are those of the blocking calls too */
    unsigned min;
    struct aio_completion completions[64];
    aio_request_id id;
    off_t where;
    int64_t result;
    atomic_int thread_number;
    atomic_bool done;
    pthread_t thread;
};

static int64_t call_now(struct call *call)
{
    struct aio_op *op = &call->op;

    switch (call->kind) {
    case CALL_SYNC:
        return CALL(aio_file_sync(call->file));
    case CALL_DATASYNC:
        return CALL(aio_file_datasync(call->file));
    case CALL_TRUNCATE:
        return CALL(aio_file_truncate(call->file, op->offset));
    case CALL_CLOSE:
        return CALL(aio_file_close(call->file));
    case CALL_PWRITE:
        return CALL(aio_file_pwrite(call->file, op->buf, op->len, op->offset));
    case CALL_APPEND:
        return CALL(aio_file_append(call->file, op->buf, op->len, &call->where));
    case CALL_SUBMIT:
        return CALL(aio_queue_submit(call->queue, op, 1, &call->id));
    default:
        return CALL(aio_queue_reap(call->queue, call->completions, call->min, 64, NULL));
    }
}

static void *call_main(void *argument)
{
    struct call *call = argument;

    call->thread_number = thread_number();
    call->result = call_now(call);
    call->done = true;
    return NULL;
}

/* Starts it and gives it the time to get where it waits. */
static void call_begin(struct call *call)
{
    thread_begin(&call->thread, call_main, call);
    EVENTUALLY(call->thread_number != 0 &&
               (call->done || thread_state(call->thread_number) == 'S'));
    sleep_us(10000);
}

static void call_end(struct call *call)
{
    EVENTUALLY(call->done);
    thread_end(call->thread);
}

static void release_all(struct rig *rig)
{
    fault_hold(rig->fault, 0);
    fault_release(rig->fault, FAULT_FOR_EVER);
}

/* Submits a write that the fault holds back when it is done. */
static aio_request_id submit_held(struct rig *rig, const void *page, int64_t offset)
{
    struct aio_op write = op_write(rig->file, page, PAGE, offset);
    unsigned before = fault_held(rig->fault);
    aio_request_id id;

    fault_hold(rig->fault, FAULT_WRITES);
    id = submit_one(rig->queue, &write);
    /* Somebody has to look. */
    EVENTUALLY(fault_held(rig->fault) == before + 1);
    return id;
}

/* --- a sync that fails ---------------------------------------------------------------------- */

/* All that is refused while a sync's error is kept. */
static void expect_refusals(struct rig *rig, char *page, int error)
{
    struct iovec iov = {page, PAGE};
    struct aio_op operations[] = {
        op_write(rig->file, page, PAGE, 0),
        op_vectors(AIO_OP_WRITEV, rig->file, &iov, 1, 0),
        op_append(rig->file, page, PAGE),
        op_vectors(AIO_OP_APPENDV, rig->file, &iov, 1, 0),
        op_sync(rig->file),
        {.opcode = AIO_OP_DATASYNC, .file = rig->file},
        op_write(rig->file, page, 100, 1),
        {.opcode = AIO_OP_SYNC, .file = rig->file, .flags = AIO_OP_DRAIN},
        {.opcode = AIO_OP_TRUNCATE, .file = rig->file, .offset = PAGE},
        {.opcode = AIO_OP_ALLOCATE, .file = rig->file, .len = PAGE},
    };
    struct aio_file_info info = {.size = sizeof(info)};
    unsigned steps = fault_steps(rig->fault);

    EXPECT(aio_file_write(rig->file, page, PAGE), error);
    EXPECT(aio_file_writev(rig->file, &iov, 1), error);
    EXPECT(aio_file_pwrite(rig->file, page, PAGE, 0), error);
    EXPECT(aio_file_pwritev(rig->file, &iov, 1, 0), error);
    EXPECT(aio_file_pwrite(rig->file, page, 100, 1), error);
    EXPECT(aio_file_append(rig->file, page, PAGE, NULL), error);
    EXPECT(aio_file_appendv(rig->file, &iov, 1, NULL), error);
    EXPECT(aio_file_allocate(rig->file, 0, 0, PAGE), error);
    EXPECT(aio_file_truncate(rig->file, 0), error);
    EXPECT(aio_file_sync(rig->file), error);
    EXPECT(aio_file_datasync(rig->file), error);
    for (size_t index = 0; index < COUNT(operations); index++) {
        EXPECT(aio_file_execute(rig->file, &operations[index]), error);
        EXPECT(aio_queue_submit(rig->queue, &operations[index], 1, NULL), error);
    }
    EXPECT(aio_file_info(rig->file, &info), 0);
    REQUIRE_EQ(info.sync_error, error);
    REQUIRE_EQ(fault_steps(rig->fault), steps); /* the kernel was not asked again */
}

START_TEST(a_failed_sync_is_reported_until_it_is_cleared)
{
    static const uint8_t opcodes[] = {AIO_OP_SYNC, AIO_OP_DATASYNC};
    static const int errors[] = {-EIO, -ENOSPC, -EDQUOT};

    for (unsigned which = 0; which < COUNT(opcodes) * COUNT(errors) * 2; which++) {
        struct rig rig = rig_open(4, 0);
        char *page = pattern_alloc(PAGE, 0, 1);
        struct aio_op sync = {.opcode = opcodes[which % 2], .file = rig.file};
        int error = errors[which / 2 % COUNT(errors)];

        EXPECT(aio_file_write(rig.file, page, PAGE), PAGE);
        fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .value = error});
        if (which < COUNT(opcodes) * COUNT(errors))
            EXPECT(aio_file_execute(rig.file, &sync), error);
        else
            REQUIRE_EQ(run_op(rig.queue, &sync).result, error);
        expect_refusals(&rig, page, error);
        EXPECT(aio_file_pread(rig.file, page, PAGE, 0), PAGE); /* reads go on */
        EXPECT(aio_file_clear_error(rig.file), error);
        EXPECT(aio_file_clear_error(rig.file), 0);
        EXPECT(aio_file_pwrite(rig.file, page, PAGE, 0), PAGE);
        EXPECT(aio_file_sync(rig.file), 0);
        EXPECT(aio_file_truncate(rig.file, 0), 0);
        rig_close(&rig);
        free(page);
    }
}
END_TEST

START_TEST(close_reports_a_failed_sync)
{
    struct rig rig = rig_open(4, 0);

    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .value = -EIO});
    EXPECT(aio_file_sync(rig.file), -EIO);
    EXPECT(aio_file_close(rig.file), -EIO);
    close_queue(rig.queue);
}
END_TEST

START_TEST(the_first_error_is_the_one_that_is_kept)
{
    struct rig rig = rig_open(4, 0);
    struct aio_op sync = op_sync(rig.file);
    aio_request_id ids[2];

    /* The second one is on its way already when the first one fails: it is told the same, without
     * the kernel, which might say to it that all is well. */
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .value = -EIO});
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, 2, .value = -ENOSPC});
    fault_hold(rig.fault, FAULT_SYNCS);
    ids[0] = submit_one(rig.queue, &sync);
    ids[1] = submit_one(rig.queue, &sync);
    release_all(&rig);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, -EIO);
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, -EIO);
    REQUIRE_EQ(fault_steps(rig.fault), 1);
    EXPECT(aio_file_clear_error(rig.file), -EIO);
    EXPECT(aio_file_clear_error(rig.file), 0);
    /* Another one is another one. */
    REQUIRE_EQ(run_op(rig.queue, &sync).result, -ENOSPC);
    EXPECT(aio_file_sync(rig.file), -ENOSPC);
    EXPECT(aio_file_clear_error(rig.file), -ENOSPC);
    EXPECT(aio_file_sync(rig.file), 0);
    rig_close(&rig);
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_synced_has_lost_nothing)
{
    struct rig rig = rig_open(4, 0);

    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .value = -EINVAL});
    EXPECT(aio_file_sync(rig.file), -EINVAL);
    EXPECT(aio_file_clear_error(rig.file), 0);
    EXPECT(aio_file_sync(rig.file), 0);
    rig_close(&rig);
}
END_TEST

START_TEST(an_interrupted_sync_is_repeated)
{
    struct rig rig = rig_open(4, 0);
    struct aio_op sync = op_sync(rig.file);

    fault_add(rig.fault,
              (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .count = 3, .value = -EINTR});
    EXPECT(aio_file_sync(rig.file), 0);
    REQUIRE_EQ(fault_steps(rig.fault), 4);
    fault_clear(rig.fault);
    fault_add(rig.fault,
              (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .count = 3, .value = -EINTR});
    REQUIRE_EQ(run_op(rig.queue, &sync).result, 0);
    REQUIRE_EQ(fault_steps(rig.fault), 8);
    rig_close(&rig);
}
END_TEST

/* --- what a sync covers --------------------------------------------------------------------- */

START_TEST(a_blocking_sync_waits_for_submitted_writes)
{
    static const enum call_kind kinds[] = {CALL_SYNC, CALL_DATASYNC};

    for (unsigned which = 0; which < COUNT(kinds); which++) {
        struct rig rig = rig_open(4, 0);
        char *page = pattern_alloc(PAGE, 0, 1);
        struct call sync = {.kind = kinds[which], .file = rig.file};
        aio_request_id ids[2];

        ids[0] = submit_held(&rig, page, 0);
        ids[1] = submit_held(&rig, page, PAGE);
        call_begin(&sync);
        fault_release(rig.fault, 1);
        sleep_us(20000);
        REQUIRE(!sync.done);
        REQUIRE_EQ(fault_steps(rig.fault), 2);
        release_all(&rig);
        call_end(&sync);
        REQUIRE_EQ(sync.result, 0);
        REQUIRE_EQ(fault_steps(rig.fault), 3);
        for (unsigned index = 0; index < 2; index++)
            EXPECT(aio_queue_wait(rig.queue, ids[index], &no_time), PAGE);
        rig_close(&rig);
        free(page);
    }
}
END_TEST

START_TEST(a_blocking_sync_waits_for_remainders)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(16 * PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, 16 * PAGE, 0);
    aio_request_id id;

    fault_add(rig.fault,
              (struct fault_rule){FAULT_SHORTEN, FAULT_WRITES, .count = 15, .value = PAGE});
    id = submit_one(rig.queue, &write);
    EXPECT(aio_file_sync(rig.file), 0);
    REQUIRE_EQ(fault_steps(rig.fault), 17);
    REQUIRE_EQ(fault_step(rig.fault, 16).opcode, AIO_OP_SYNC);
    EXPECT(aio_queue_wait(rig.queue, id, &no_time), 16 * PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

START_TEST(a_blocking_sync_does_not_wait_for_reads)
{
    struct rig rig = rig_open(4, 0);
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    aio_request_id id;

    fault_hold(rig.fault, FAULT_READS);
    id = submit_one(rig.queue, &read);
    EXPECT(aio_file_sync(rig.file), 0);
    EXPECT(aio_file_truncate(rig.file, 0), 0);
    release_all(&rig);
    EXPECT(aio_queue_wait(rig.queue, id, NULL), 0);
    rig_close(&rig);
}
END_TEST

/* A submitted one covers what had completed; one that drains covers all that was submitted before,
 * and what is submitted later runs beside it. */
START_TEST(a_draining_sync_comes_after_submitted_writes)
{
    static const uint8_t opcodes[] = {AIO_OP_SYNC, AIO_OP_DATASYNC};

    for (unsigned which = 0; which < COUNT(opcodes); which++) {
        struct rig rig = rig_open(8, 0);
        char *page = pattern_alloc(PAGE, 0, 1);
        struct aio_op drain = {
            .opcode = opcodes[which], .file = rig.file, .flags = AIO_OP_DRAIN | AIO_OP_WAITED};
        struct aio_op sync = {.opcode = opcodes[which], .file = rig.file};
        struct aio_op later = op_write(rig.file, page, PAGE, 2 * PAGE);
        aio_request_id ids[5];
        unsigned index;

        ids[0] = submit_held(&rig, page, 0);
        ids[1] = submit_held(&rig, page, PAGE);
        ids[2] = submit_one(rig.queue, &drain);
        REQUIRE_EQ(run_op(rig.queue, &sync).result, 0); /* it does not wait */
        EXPECT(aio_queue_wait(rig.queue, ids[2], &no_time), -ETIMEDOUT);
        fault_release(rig.fault, 1);
        EXPECT(aio_queue_wait(rig.queue, ids[0], NULL), PAGE);
        sleep_us(20000);
        EXPECT(aio_queue_wait(rig.queue, ids[2], &no_time), -ETIMEDOUT);
        REQUIRE_EQ(fault_steps(rig.fault), 3); /* two writes and the other sync */
        ids[3] = submit_one(rig.queue, &later);
        release_all(&rig);
        EXPECT(aio_queue_wait(rig.queue, ids[2], NULL), 0);
        EXPECT(aio_queue_wait(rig.queue, ids[1], NULL), PAGE);
        EXPECT(aio_queue_wait(rig.queue, ids[3], NULL), PAGE);
        /* The drain asked the kernel after the writes before it; the later write waited for them
         * only. */
        REQUIRE_EQ(fault_steps(rig.fault), 5);
        for (index = 3; fault_step(rig.fault, index).opcode != opcodes[which]; index++)
            REQUIRE(index < 4);
        rig_close(&rig);
        free(page);
    }
}
END_TEST

/* --- truncate among writes ------------------------------------------------------------------ */

START_TEST(truncate_waits_for_submitted_writes)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct call truncate = {.kind = CALL_TRUNCATE, .file = rig.file, .op.offset = 100};
    aio_request_id id = submit_held(&rig, page, 0);

    call_begin(&truncate);
    REQUIRE(!truncate.done);
    REQUIRE_EQ(disk_size("file"), PAGE);
    release_all(&rig);
    call_end(&truncate);
    REQUIRE_EQ(truncate.result, 0);
    REQUIRE_EQ(disk_size("file"), 100);
    EXPECT(aio_queue_wait(rig.queue, id, &no_time), PAGE);
    rig_close(&rig);
    free(page);
}
END_TEST

/* The same submitted: nobody's thread waits. */
START_TEST(a_submitted_truncate_waits_for_submitted_writes)
{
    static const uint8_t opcodes[] = {AIO_OP_TRUNCATE, AIO_OP_ALLOCATE};

    for (unsigned which = 0; which < COUNT(opcodes); which++) {
        struct rig rig = rig_open(8, 0);
        char *page = pattern_alloc(PAGE, 0, 1);
        struct aio_op space = {.opcode = opcodes[which],
                               .file = rig.file,
                               .offset = which == 0 ? 100 : 2 * PAGE,
                               .len = which == 0 ? 0 : PAGE};
        struct aio_op append = op_append(rig.file, page, PAGE);
        int64_t end = which == 0 ? 100 : 3 * PAGE;
        aio_request_id ids[3];

        ids[0] = submit_held(&rig, page, 0);
        ids[1] = submit_one(rig.queue, &space);
        ids[2] = submit_one(rig.queue, &append);
        sleep_us(20000);
        EXPECT(aio_queue_wait(rig.queue, ids[1], &no_time), -ETIMEDOUT);
        EXPECT(aio_queue_wait(rig.queue, ids[2], &no_time), -ETIMEDOUT);
        REQUIRE_EQ(disk_size("file"), PAGE);
        release_all(&rig);
        EXPECT(aio_queue_wait(rig.queue, ids[1], NULL), 0);
        REQUIRE_EQ(completion_of(rig.queue, ids[2]).offset, end);
        EXPECT(aio_queue_wait(rig.queue, ids[0], NULL), PAGE);
        REQUIRE_EQ(disk_size("file"), end + PAGE);
        rig_close(&rig);
        free(page);
    }
}
END_TEST

START_TEST(truncate_waits_for_blocking_writes)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct call truncate = {.kind = CALL_TRUNCATE, .file = rig.file};
    struct call writes[2] = {{.kind = CALL_PWRITE}, {.kind = CALL_APPEND}};

    fault_stall(rig.fault, FAULT_WRITES);
    for (unsigned index = 0; index < 2; index++) {
        writes[index].file = rig.file;
        writes[index].op = op_write(rig.file, page, PAGE, 0);
        call_begin(&writes[index]);
    }
    EVENTUALLY(fault_stalled(rig.fault) == 2);
    call_begin(&truncate);
    REQUIRE(!truncate.done);
    fault_stall(rig.fault, 0);
    call_end(&truncate);
    for (unsigned index = 0; index < 2; index++) {
        call_end(&writes[index]);
        REQUIRE_EQ(writes[index].result, PAGE);
    }
    REQUIRE_EQ(disk_size("file"), 0);
    rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(writes_that_come_later_wait_for_a_truncate)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op submitted = op_write(rig.file, page, PAGE, 3 * PAGE);
    struct call truncate = {.kind = CALL_TRUNCATE, .file = rig.file};
    struct call blocking = {.kind = CALL_PWRITE, .file = rig.file};
    struct aio_request_info infos[2];
    aio_request_id ids[2];

    blocking.op = op_write(rig.file, page, PAGE, 2 * PAGE);
    ids[0] = submit_held(&rig, page, 0);
    call_begin(&truncate);
    call_begin(&blocking);
    REQUIRE(!blocking.done);
    /* A submitted one is taken, and holds no thread. */
    ids[1] = submit_one(rig.queue, &submitted);
    EXPECT(aio_queue_wait(rig.queue, ids[1], &no_time), -ETIMEDOUT);
    EXPECT(aio_queue_inflight(rig.queue, infos, 2), 2);
    REQUIRE(infos[1].id == ids[1] && infos[1].state == AIO_REQUEST_WAITING);
    /* Reads do not wait. */
    EXPECT(aio_file_pread(rig.file, page, PAGE, 0), PAGE);
    REQUIRE_EQ(fault_steps(rig.fault), 2);
    release_all(&rig);
    call_end(&truncate);
    call_end(&blocking);
    REQUIRE_EQ(blocking.result, PAGE);
    for (unsigned index = 0; index < 2; index++)
        EXPECT(aio_queue_wait(rig.queue, ids[index], NULL), PAGE);
    REQUIRE_EQ(disk_size("file"), 4 * PAGE);
    disk_check_zeros("file", 0, 2 * PAGE);
    rig_close(&rig);
    free(page);
}
END_TEST

static void keep_offset(const struct aio_completion *completion)
{
    atomic_store((atomic_llong *)completion->context, completion->offset);
}

/* Many at once, in one batch, with and without callbacks, on a queue that does not block. */
START_TEST(what_a_truncate_holds_back_comes_when_it_is_through)
{
    struct rig rig = rig_open(16, AIO_QUEUE_NONBLOCK);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct call truncate = {.kind = CALL_TRUNCATE, .file = rig.file};
    struct aio_op operations[12];
    atomic_llong offset = -1;
    aio_request_id ids[12];
    aio_request_id first = submit_held(&rig, page, 20 * PAGE);

    call_begin(&truncate);
    for (unsigned index = 0; index < 12; index++)
        operations[index] = op_write(rig.file, page, PAGE, index * PAGE);
    operations[3] = op_sync(rig.file);
    operations[5] = op_read(rig.file, page, PAGE, 20 * PAGE);
    operations[11] = op_append(rig.file, page, PAGE);
    operations[11].on_complete = keep_offset;
    operations[11].context = &offset;
    EXPECT(aio_queue_submit(rig.queue, operations, 12, ids), 12);
    REQUIRE_EQ(completion_of(rig.queue, ids[3]).result, 0);
    REQUIRE_EQ(completion_of(rig.queue, ids[5]).result, PAGE);
    REQUIRE(!truncate.done && offset < 0);
    release_all(&rig);
    call_end(&truncate);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    for (unsigned index = 0; index < 11; index++)
        if (index != 3 && index != 5)
            EXPECT(aio_queue_wait(rig.queue, ids[index], &no_time), PAGE);
    EXPECT(aio_queue_wait(rig.queue, first, &no_time), PAGE);
    /* The append went behind what was there when it started. */
    REQUIRE(offset >= 0 && offset <= 11 * PAGE && offset % PAGE == 0);
    REQUIRE(disk_size("file") <= 12 * PAGE);
    rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(an_append_that_waited_for_a_truncate_goes_to_the_new_end)
{
    static const enum call_kind kinds[] = {CALL_APPEND, CALL_SUBMIT};

    for (unsigned which = 0; which < COUNT(kinds); which++) {
        struct rig rig = rig_open(4, 0);
        char *page = pattern_alloc(PAGE, 0, 1);
        struct call truncate = {.kind = CALL_TRUNCATE, .file = rig.file};
        struct call append = {.kind = kinds[which], .file = rig.file, .queue = rig.queue};
        aio_request_id id = submit_held(&rig, page, 9 * PAGE);

        append.op = op_append(rig.file, page, PAGE);
        call_begin(&truncate);
        call_begin(&append);
        REQUIRE_EQ(fault_steps(rig.fault), 1);
        release_all(&rig);
        call_end(&truncate);
        call_end(&append);
        if (kinds[which] == CALL_SUBMIT)
            append.where = completion_of(rig.queue, append.id).offset;
        REQUIRE_EQ(append.where, 0);
        REQUIRE_EQ(disk_size("file"), PAGE);
        EXPECT(aio_queue_wait(rig.queue, id, &no_time), PAGE);
        rig_close(&rig);
        free(page);
    }
}
END_TEST

/* A rig whose file is being truncated, and a second queue, the younger one, which takes its time
 * with each submit: what is held back on the first queue stays so while the second one's goes on.
 */
struct crossing {
    struct rig rig;
    struct fault *slow_fault;
    struct aio_queue *slow;
    char *page;
    struct call truncate;
    aio_request_id first; /* the write that the truncate waits for */
    aio_request_id held;  /* the one held back on the first queue */
    aio_request_id held_slow;
};

static void crossing_begin(struct crossing *crossing)
{
    struct aio_op write;

    memset(crossing, 0, sizeof(*crossing));
    crossing->rig = rig_open(4, 0);
    crossing->slow_fault = fault_create(test_engine, 4);
    crossing->slow = fault_queue(crossing->slow_fault, 0);
    crossing->page = pattern_alloc(PAGE, 0, 1);
    crossing->first = submit_held(&crossing->rig, crossing->page, 0);
    crossing->truncate.kind = CALL_TRUNCATE;
    crossing->truncate.file = crossing->rig.file;
    call_begin(&crossing->truncate);
    write = op_write(crossing->rig.file, crossing->page, PAGE, 4 * PAGE);
    crossing->held = submit_one(crossing->rig.queue, &write);
    write.offset = 5 * PAGE;
    crossing->held_slow = submit_one(crossing->slow, &write);
    fault_linger(crossing->slow_fault, 200);
}

static void crossing_end(struct crossing *crossing)
{
    call_end(&crossing->truncate);
    EXPECT(aio_queue_wait(crossing->rig.queue, crossing->first, NULL), PAGE);
    close_queue(crossing->slow);
    rig_close(&crossing->rig);
    free(crossing->page);
}

START_TEST(a_sync_covers_what_a_truncate_held_back)
{
    struct crossing crossing;
    struct call sync = {.kind = CALL_SYNC};

    crossing_begin(&crossing);
    sync.file = crossing.rig.file;
    call_begin(&sync);
    REQUIRE(!sync.done);
    release_all(&crossing.rig);
    call_end(&sync);
    REQUIRE_EQ(sync.result, 0);
    /* They were submitted before the sync was called. */
    EXPECT(aio_queue_wait(crossing.rig.queue, crossing.held, &no_time), PAGE);
    EXPECT(aio_queue_wait(crossing.slow, crossing.held_slow, &no_time), PAGE);
    crossing_end(&crossing);
}
END_TEST

START_TEST(a_truncate_does_not_overtake_what_another_held_back)
{
    struct crossing crossing;
    struct call second = {.kind = CALL_TRUNCATE, .op.offset = PAGE};

    crossing_begin(&crossing);
    second.file = crossing.rig.file;
    call_begin(&second);
    REQUIRE(!second.done);
    release_all(&crossing.rig);
    call_end(&second);
    REQUIRE_EQ(second.result, 0);
    EXPECT(aio_queue_wait(crossing.rig.queue, crossing.held, NULL), PAGE);
    EXPECT(aio_queue_wait(crossing.slow, crossing.held_slow, NULL), PAGE);
    REQUIRE_EQ(disk_size("file"), PAGE);
    crossing_end(&crossing);
}
END_TEST

/* A log that has another thread make a queue meanwhile; or that waits for the test. */
struct nosy_log {
    atomic_bool makes_queue;
    atomic_bool waits;
    atomic_int count;
};

static void *make_queue(void *argument)
{
    close_queue(open_queue(1, 0));
    return argument;
}

static void nosy(void *context, int level, const char *message)
{
    struct nosy_log *log = context;
    struct timespec until;
    pthread_t thread;

    (void)level;
    log->count++;
    EVENTUALLY(!log->waits);
    if (!log->makes_queue)
        return;
    thread_begin(&thread, make_queue, NULL);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2 * slowness();
    if (pthread_timedjoin_np(thread, NULL, &until) != 0)
        ck_abort_msg("a lock is held while the log hears: %s", message);
}

/* The rig's file, with such a log, which hears of what is not aligned. */
static void reopen_with_log(struct rig *rig, struct nosy_log *log)
{
    struct aio_file_options options = file_options();

    close_file(rig->file);
    options.unaligned = AIO_UNALIGNED_REJECT;
    options.log = nosy;
    options.log_context = log;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &rig->file), 0);
    fault_attach(rig->fault, rig->file);
}

START_TEST(an_append_held_back_may_find_no_place)
{
    struct rig rig = rig_open(4, 0);
    struct nosy_log log = {.makes_queue = true};
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op append = op_append(rig.file, page, PAGE);
    struct call truncate = {.kind = CALL_TRUNCATE, .op.offset = 100};
    struct aio_completion completion;
    aio_request_id ids[2];

    reopen_with_log(&rig, &log);
    append.file = rig.file;
    truncate.file = rig.file;
    ids[0] = submit_held(&rig, page, 0);
    call_begin(&truncate);
    ids[1] = submit_one(rig.queue, &append);
    release_all(&rig);
    call_end(&truncate);
    /* The end is between two sectors now. */
    completion = completion_of(rig.queue, ids[1]);
    REQUIRE(completion.result == -EINVAL && completion.error == -EINVAL);
    REQUIRE_EQ(log.count, 1);
    EXPECT(aio_queue_wait(rig.queue, ids[0], NULL), PAGE);
    REQUIRE_EQ(disk_size("file"), 100);
    rig_close(&rig);
    free(page);
}
END_TEST

/* Without that option there is a place anywhere. */
START_TEST(an_append_held_back_goes_where_the_end_is_then)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_op append = op_append(rig.file, page + 100, PAGE);
    struct call truncate = {.kind = CALL_TRUNCATE, .file = rig.file, .op.offset = 100};
    struct aio_completion completion;
    aio_request_id ids[2];

    ids[0] = submit_held(&rig, page, 0);
    call_begin(&truncate);
    ids[1] = submit_one(rig.queue, &append);
    release_all(&rig);
    call_end(&truncate);
    completion = completion_of(rig.queue, ids[1]);
    REQUIRE(completion.result == PAGE && completion.error == 0 && completion.offset == 100);
    EXPECT(aio_queue_wait(rig.queue, ids[0], NULL), PAGE);
    REQUIRE_EQ(disk_size("file"), 100 + PAGE);
    disk_check_pattern("file", 0, 100 + PAGE, 1);
    rig_close(&rig);
    free(page);
}
END_TEST

static void count_call(const struct aio_completion *completion)
{
    atomic_fetch_add((atomic_int *)completion->context, 1);
}

struct batch {
    struct aio_queue *queue;
    struct aio_op operations[2];
};

static void *submit_batch_of_two(void *argument)
{
    struct batch *batch = argument;

    REQUIRE_EQ(CALL(aio_queue_submit(batch->queue, batch->operations, 2, NULL)), 1);
    return NULL;
}

/* The operation is done and its callback has run, so its file may be closed, though the submit that
 * brought it is not through yet. A sanitizer sees who looks at the file then. */
START_TEST(a_file_may_go_when_its_last_operation_is_done)
{
    struct rig rig = rig_open(4, 0);
    struct nosy_log log = {.waits = true};
    char *page = pattern_alloc(PAGE, 0, 1);
    atomic_int called = 0;
    struct call truncate = {.kind = CALL_TRUNCATE};
    struct batch batch = {.queue = rig.queue};
    aio_request_id first;
    pthread_t thread;

    reopen_with_log(&rig, &log);
    truncate.file = rig.file;
    batch.operations[0] = op_write(rig.file, page, PAGE, PAGE);
    batch.operations[0].on_complete = count_call;
    batch.operations[0].context = &called;
    batch.operations[1] = op_write(rig.file, page, 1, 0); /* refused, and the log waits */
    first = submit_held(&rig, page, 0);
    call_begin(&truncate);
    thread_begin(&thread, submit_batch_of_two, &batch);
    EVENTUALLY(log.count == 1);
    release_all(&rig);
    call_end(&truncate);
    EXPECT(aio_queue_wait(rig.queue, first, NULL), PAGE);
    fault_linger(rig.fault, 200);
    log.waits = false;
    EVENTUALLY(called == 1);
    close_file(rig.file);
    thread_end(thread);
    close_queue(rig.queue);
    free(page);
}
END_TEST

START_TEST(a_batch_of_writes_does_not_hang_in_a_truncate)
{
    struct rig rig = rig_open(64, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op writes[60];

    for (unsigned index = 0; index < COUNT(writes); index++)
        writes[index] = op_write(rig.file, page, PAGE, index * PAGE);
    /* What is through the gate but not in the engine yet must not wait for a truncate that waits
     * for it. */
    for (unsigned round = 0; round < 30; round++) {
        struct call truncate = {.kind = CALL_TRUNCATE, .file = rig.file};
        struct aio_completion completions[60];

        thread_begin(&truncate.thread, call_main, &truncate);
        EXPECT(aio_queue_submit(rig.queue, writes, COUNT(writes), NULL), COUNT(writes));
        call_end(&truncate);
        EXPECT(aio_queue_reap(rig.queue, completions, 60, 60, NULL), COUNT(writes));
    }
    rig_close(&rig);
    free(page);
}
END_TEST

/* --- nobody reaps --------------------------------------------------------------------------- */

START_TEST(who_waits_for_writes_has_them_reaped)
{
    static const enum call_kind kinds[] = {CALL_SYNC, CALL_TRUNCATE, CALL_CLOSE};

    for (unsigned which = 0; which < COUNT(kinds); which++) {
        struct rig rig = rig_open(64, 0);
        char *page = pattern_alloc(PAGE, 0, 1);
        struct call call = {.kind = kinds[which], .file = rig.file};
        struct call reap = {.kind = CALL_REAP, .queue = rig.queue, .min = 16};
        struct aio_file *other = open_direct("other");
        struct aio_op read = op_read(other, NULL, 0, 0);

        submit_held(&rig, page, 0);
        fault_hold(rig.fault, FAULT_ALL);
        for (unsigned index = 0; index < 20; index++)
            submit_one(rig.queue, &read);
        EVENTUALLY(fault_held(rig.fault) == 21);
        /* A thread sleeps for sixteen events; this write's is one. */
        call_begin(&reap);
        EVENTUALLY(fault_sleeping_for(rig.fault) == 16);
        call_begin(&call);
        REQUIRE(!call.done);
        fault_release(rig.fault, 1);
        call_end(&call);
        REQUIRE_EQ(call.result, 0);
        REQUIRE(!reap.done);
        release_all(&rig);
        call_end(&reap);
        REQUIRE(reap.result >= 16);
        close_file(other);
        if (kinds[which] != CALL_CLOSE)
            close_file(rig.file);
        EXPECT(aio_queue_destroy(rig.queue, AIO_QUEUE_DISCARD), 0);
        free(page);
    }
}
END_TEST

/* --- callbacks among a truncate ------------------------------------------------------------- */

struct passing {
    struct rig *rig;
    char *page;
    atomic_bool go;
    atomic_int called;
};

static void write_from_callback(const struct aio_completion *completion)
{
    struct passing *passing = completion->context;
    struct aio_op write = op_write(passing->rig->file, passing->page, PAGE, 2 * PAGE);

    EVENTUALLY(passing->go);
    EXPECT(aio_file_pwrite(passing->rig->file, passing->page, PAGE, PAGE), PAGE);
    EXPECT(aio_file_append(passing->rig->file, passing->page, PAGE, NULL), PAGE);
    write.flags = AIO_OP_WAITED;
    write.context = passing;
    EXPECT(aio_queue_submit(passing->rig->queue, &write, 1, NULL), 1);
    passing->called++;
}

START_TEST(a_callback_passes_a_truncate_that_waits)
{
    struct rig rig = rig_open(4, 0);
    struct passing passing = {.rig = &rig, .page = pattern_alloc(PAGE, 0, 1)};
    struct call truncate = {.kind = CALL_TRUNCATE, .file = rig.file};
    struct aio_op sync = op_sync(rig.file);
    aio_request_id id = submit_held(&rig, passing.page, 0);

    sync.on_complete = write_from_callback;
    sync.context = &passing;
    submit_one(rig.queue, &sync);
    call_begin(&truncate);
    passing.go = true;
    EVENTUALLY(passing.called == 1);
    REQUIRE(!truncate.done);
    /* What it has submitted waits as any other. */
    REQUIRE_EQ(fault_steps(rig.fault), 4);
    release_all(&rig);
    call_end(&truncate);
    REQUIRE_EQ(truncate.result, 0);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    REQUIRE_EQ(disk_size("file"), 3 * PAGE);
    disk_check_zeros("file", 0, 2 * PAGE);
    EXPECT(aio_queue_wait(rig.queue, id, NULL), PAGE);
    EXPECT(aio_file_close(rig.file), 0);
    EXPECT(aio_queue_destroy(rig.queue, AIO_QUEUE_DISCARD), 0);
    free(passing.page);
}
END_TEST

/* --- close ---------------------------------------------------------------------------------- */

START_TEST(close_waits_for_what_is_in_flight)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct call call = {.kind = CALL_CLOSE, .file = rig.file};
    struct aio_op read = op_read(rig.file, page, PAGE, 0);
    aio_request_id ids[2];

    ids[0] = submit_held(&rig, page, 0);
    fault_hold(rig.fault, FAULT_ALL);
    ids[1] = submit_one(rig.queue, &read);
    EVENTUALLY(fault_held(rig.fault) == 2);
    call_begin(&call);
    REQUIRE(!call.done);
    fault_release(rig.fault, 1);
    sleep_us(20000);
    REQUIRE(!call.done);
    release_all(&rig);
    call_end(&call);
    REQUIRE_EQ(call.result, 0);
    /* The results are in the caller's queue still. */
    EXPECT(aio_queue_wait(rig.queue, ids[0], &no_time), PAGE);
    EXPECT(aio_queue_wait(rig.queue, ids[1], &no_time), PAGE);
    close_queue(rig.queue);
    free(page);
}
END_TEST

/* A callback that takes its time, and one that goes on. */
static void slow_callback(const struct aio_completion *completion)
{
    struct passing *passing = completion->context;

    sleep_us(20000);
    passing->called++;
}

static void chain_callback(const struct aio_completion *completion)
{
    struct passing *passing = completion->context;
    struct aio_op sync = op_sync(passing->rig->file);

    sync.on_complete = chain_callback;
    sync.context = passing;
    sleep_us(1000);
    if (++passing->called < 20)
        EXPECT(aio_queue_submit(passing->rig->queue, &sync, 1, NULL), 1);
}

START_TEST(close_waits_for_callbacks_and_what_they_submit)
{
    static const aio_complete_fn callbacks[] = {slow_callback, chain_callback};
    static const int expected[] = {1, 20};

    for (unsigned which = 0; which < 2; which++) {
        struct rig rig = rig_open(4, 0);
        struct passing passing = {.rig = &rig};
        struct aio_op sync = op_sync(rig.file);

        sync.on_complete = callbacks[which];
        sync.context = &passing;
        submit_one(rig.queue, &sync);
        EXPECT(aio_file_close(rig.file), 0);
        REQUIRE_EQ(passing.called, expected[which]);
        close_queue(rig.queue);
    }
}
END_TEST

static void quick_callback(const struct aio_completion *completion)
{
    atomic_fetch_add(&((struct passing *)completion->context)->called, 1);
}

START_TEST(close_may_follow_the_last_callback_at_once)
{
    struct aio_queue *queue = open_queue(4, 0);

    for (int round = 0; round < 200; round++) {
        struct aio_file *file = open_direct("file");
        struct passing passing = {.called = 0};
        struct aio_op nop = op_nop();

        nop.file = file;
        nop.on_complete = quick_callback;
        nop.context = &passing;
        submit_one(queue, &nop);
        while (passing.called == 0)
            ;
        close_file(file);
    }
    close_queue(queue);
}
END_TEST

START_TEST(close_may_follow_a_wait_at_once)
{
    struct aio_queue *queue = open_queue(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);

    for (int round = 0; round < 100; round++) {
        struct aio_file *file = open_direct("file");
        struct aio_op write = op_write(file, page, PAGE, 0);

        REQUIRE_EQ(run_op(queue, &write).result, PAGE);
        close_file(file);
    }
    close_queue(queue);
    free(page);
}
END_TEST

START_TEST(close_drains_a_private_queue)
{
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(MIB, 0, 1);
    struct passing passing = {.called = 0};
    struct aio_op write = op_write(file, bytes, MIB, 0);

    for (unsigned index = 0; index < 10; index++) {
        write.offset = index * (int64_t)MIB;
        write.on_complete = index % 2 == 0 ? quick_callback : NULL;
        write.context = &passing;
        submit_one(aio_file_queue(file), &write);
    }
    close_file(file);
    REQUIRE_EQ(passing.called, 5);
    REQUIRE_EQ(disk_size("file"), 10 * MIB);
    free(bytes);
}
END_TEST

START_TEST(files_are_closed_on_many_threads_at_once)
{
    struct aio_queue *queue = open_queue(64, 0);
    char *page = pattern_alloc(PAGE, 0, 1);

    for (unsigned round = 0; round < 20; round++) {
        struct call calls[4];
        struct aio_completion completions[16];

        memset(calls, 0, sizeof(calls));
        for (unsigned index = 0; index < 4; index++) {
            calls[index].kind = CALL_CLOSE;
            calls[index].file = open_direct("file");
            for (unsigned op = 0; op < 4; op++) {
                struct aio_op write = op_write(calls[index].file, page, PAGE, op * PAGE);

                submit_one(queue, &write);
            }
        }
        for (unsigned index = 0; index < 4; index++)
            thread_begin(&calls[index].thread, call_main, &calls[index]);
        for (unsigned index = 0; index < 4; index++) {
            call_end(&calls[index]);
            REQUIRE_EQ(calls[index].result, 0);
        }
        EXPECT(aio_queue_reap(queue, completions, 16, 16, NULL), 16);
    }
    close_queue(queue);
    free(page);
}
END_TEST

static Suite *durability_suite(void)
{
    Suite *suite = suite_create("durability");

    ADD_TESTS(suite, "failed sync", a_failed_sync_is_reported_until_it_is_cleared,
              close_reports_a_failed_sync, the_first_error_is_the_one_that_is_kept,
              a_descriptor_that_cannot_be_synced_has_lost_nothing, an_interrupted_sync_is_repeated);
    ADD_TESTS(suite, "sync", a_blocking_sync_waits_for_submitted_writes,
              a_blocking_sync_waits_for_remainders, a_blocking_sync_does_not_wait_for_reads,
              a_draining_sync_comes_after_submitted_writes);
    ADD_TESTS(suite, "truncate", truncate_waits_for_submitted_writes,
              a_submitted_truncate_waits_for_submitted_writes, truncate_waits_for_blocking_writes,
              writes_that_come_later_wait_for_a_truncate,
              what_a_truncate_holds_back_comes_when_it_is_through,
              an_append_that_waited_for_a_truncate_goes_to_the_new_end,
              a_sync_covers_what_a_truncate_held_back,
              a_truncate_does_not_overtake_what_another_held_back,
              an_append_held_back_may_find_no_place, an_append_held_back_goes_where_the_end_is_then,
              a_file_may_go_when_its_last_operation_is_done,
              a_batch_of_writes_does_not_hang_in_a_truncate, who_waits_for_writes_has_them_reaped,
              a_callback_passes_a_truncate_that_waits);
    ADD_TESTS(suite, "close", close_waits_for_what_is_in_flight,
              close_waits_for_callbacks_and_what_they_submit,
              close_may_follow_the_last_callback_at_once, close_may_follow_a_wait_at_once,
              close_drains_a_private_queue, files_are_closed_on_many_threads_at_once);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, durability_suite);
}
