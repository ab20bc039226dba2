/* SPDX-License-Identifier: MIT */
/*
 * test_plain.c - the short way of plain reads (file_ops.h): that it does what the long one does,
 * for all that can come between, and that nothing is lost or given twice where the two meet.
 *
 * An operation with a deadline takes the long way: one that is an hour off changes nothing else.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "queue_state.h"
#include "support.h"

static const struct timespec no_time = {0, 0};

#define HOUR_NS (3600 * NS_PER_SECOND)
#define UNTOUCHED UINT64_C(77)

/* Files of a pattern, and memory with a page for each of so many operations, and one between. */
enum { FILES = 3, FILE_BLOCKS = 64, PLACES = 256 };

static const char *const names[FILES] = {"one", "two", "three"};

struct bed {
    struct rig rig;
    struct aio_queue *queue; /* of the rig */
    struct aio_file *files[FILES];
    char *memory;
};

/* An operation and what came of it. The context names it. */
struct plan {
    struct aio_op op;
    unsigned file;
    aio_request_id id;
    unsigned seen;
};

static struct aio_file *open_there(const char *name, int flags, uint32_t direct,
                                   uint32_t file_flags, uint64_t grow_ahead)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.direct = direct;
    options.flags |= file_flags;
    options.grow_ahead = grow_ahead;
    EXPECT(aio_file_open(scratch_path(name), flags, 0600, &options, &file), 0);
    return file;
}

static struct bed bed_open(unsigned depth, uint32_t queue_flags)
{
    struct bed bed = {.rig = rig_open(depth, queue_flags)};
    struct aio_op nop = op_nop();

    bed.queue = bed.rig.queue;
    for (unsigned index = 0; index < FILES; index++) {
        make_file(names[index], FILE_BLOCKS * PAGE, index + 1);
        bed.files[index] = open_there(names[index], O_RDWR, AIO_DIRECT_REQUIRED, 0, 0);
    }
    bed.memory = page_alloc(2 * PLACES * PAGE);
    memset(bed.memory, 0xee, 2 * PLACES * PAGE);
    run_op(bed.queue, &nop); /* the reaper thread is there */
    return bed;
}

static void bed_close(struct bed *bed)
{
    for (unsigned index = 0; index < FILES; index++)
        close_file(bed->files[index]);
    rig_close(&bed->rig);
    free(bed->memory);
}

/* Waits until the kernel is through with so many steps, the last of which is held. */
static void await_steps(struct bed *bed, unsigned steps)
{
    struct aio_completion none;

    do {
        EXPECT(aio_queue_reap(bed->queue, &none, 0, 1, NULL), 0);
        sleep_us(200);
    } while (fault_steps(bed->rig.fault) < steps || fault_held(bed->rig.fault) == 0);
}

static void release_all(struct bed *bed)
{
    fault_hold(bed->rig.fault, 0);
    fault_release(bed->rig.fault, FAULT_FOR_EVER);
}

static char *place(const struct bed *bed, unsigned index)
{
    return bed->memory + (size_t)2 * PAGE * (index % PLACES);
}

static void *name_of(unsigned index)
{
    return (void *)(uintptr_t)(index + 1);
}

static struct plan plan_read(const struct bed *bed, unsigned index, unsigned file, unsigned block)
{
    struct plan plan = {.file = file % FILES, .id = UNTOUCHED};

    plan.op = op_read(bed->files[plan.file], place(bed, index), PAGE,
                      (int64_t)(block % FILE_BLOCKS) * PAGE);
    plan.op.context = name_of(index);
    return plan;
}

static void make_plans(const struct bed *bed, struct plan *plans, unsigned count, uint64_t seed)
{
    unsigned file = 0;

    for (unsigned index = 0; index < count; index++) {
        if (random_next(&seed) % 4 == 0)
            file = (unsigned)(random_next(&seed) % FILES);
        plans[index] = plan_read(bed, index, file, (unsigned)(random_next(&seed) % FILE_BLOCKS));
    }
}

/* The same of all files. */
static void make_even_plans(const struct bed *bed, struct plan *plans, unsigned count)
{
    for (unsigned index = 0; index < count; index++)
        plans[index] = plan_read(bed, index, index / 3, 3 * index);
}

static int64_t submit_plans(const struct bed *bed, struct plan *plans, unsigned count)
{
    struct aio_op ops[PLACES];
    aio_request_id ids[PLACES];
    int64_t taken;

    REQUIRE(count <= PLACES);
    for (unsigned index = 0; index < count; index++) {
        ops[index] = plans[index].op;
        ids[index] = UNTOUCHED;
    }
    taken = CALL(aio_queue_submit(bed->queue, ops, count, ids));
    for (unsigned index = 0; index < count; index++) {
        plans[index].id = ids[index];
        if ((int64_t)index < taken)
            REQUIRE(ids[index] != 0 && ids[index] != UNTOUCHED);
        else
            REQUIRE_EQ(ids[index], UNTOUCHED);
        for (unsigned other = 0; (int64_t)index < taken && other < index; other++)
            REQUIRE(ids[other] != ids[index]);
    }
    return taken;
}

static void submit_all(const struct bed *bed, struct plan *plans, unsigned count)
{
    REQUIRE_EQ(submit_plans(bed, plans, count), count);
}

/* A whole read's completion, of one of the plans. */
static void check_whole(struct plan *plans, unsigned count, const struct aio_completion *completion)
{
    uintptr_t index = (uintptr_t)completion->context - 1;
    struct plan *plan = &plans[index];

    REQUIRE(index < count);
    REQUIRE_EQ(plan->seen, 0);
    plan->seen++;
    REQUIRE_EQ(completion->id, plan->id);
    REQUIRE_EQ(completion->result, plan->op.len);
    REQUIRE_EQ(completion->offset, plan->op.offset);
    REQUIRE_EQ(completion->error, 0);
    REQUIRE_EQ(completion->flags, 0);
    REQUIRE_EQ(completion->reserved[0] | completion->reserved[1] | completion->reserved[2], 0);
    pattern_check(plan->op.buf, plan->op.len, (uint64_t)plan->op.offset, plan->file + 1);
}

/* Takes so many results of whole reads by reaps of random sizes. */
static void reap_whole(const struct bed *bed, struct plan *plans, unsigned count, unsigned left,
                       uint64_t seed)
{
    struct aio_completion completions[PLACES];

    while (left > 0) {
        unsigned max = 1 + (unsigned)(random_next(&seed) % 40);
        unsigned min = (unsigned)(random_next(&seed) % (max + 1));
        int64_t taken = CALL(aio_queue_reap(bed->queue, completions, min, max, NULL));

        REQUIRE(taken >= 0 && taken <= max && taken <= left);
        REQUIRE(taken >= min || taken == left);
        for (int64_t index = 0; index < taken; index++)
            check_whole(plans, count, &completions[index]);
        left -= (unsigned)taken;
    }
}

static struct aio_queue_stats stats_of(struct aio_queue *queue)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    EXPECT(aio_queue_stats(queue, &stats), 0);
    return stats;
}

static struct aio_file_info info_of(struct aio_file *file)
{
    struct aio_file_info info = {.size = sizeof(info)};

    EXPECT(aio_file_info(file, &info), 0);
    return info;
}

/* Whether an operation in flight is on the short way now. */
static bool is_plain(struct aio_queue *queue, aio_request_id id)
{
    const struct request *request;
    bool plain;

    queue_lock(queue);
    request = request_find(&queue->table, id);
    plain = request != NULL && request->plain;
    queue_unlock(queue);
    return plain;
}

static void expect_stale(struct aio_queue *queue, aio_request_id id)
{
    struct aio_completion completion;

    EXPECT(aio_queue_wait_result(queue, id, &no_time, &completion), -ESTALE);
    EXPECT(aio_queue_cancel(queue, id), -ESTALE);
}

/* Counts that are as if nothing was ever submitted, but for sums. */
static void expect_idle(const struct bed *bed)
{
    struct aio_queue_stats stats = stats_of(bed->queue);

    REQUIRE_EQ(stats.held, 0);
    REQUIRE_EQ(stats.inflight, 0);
    REQUIRE_EQ(stats.submitted, stats.completed);
    EXPECT(aio_queue_inflight(bed->queue, NULL, 0), 0);
    queue_lock(bed->queue);
    REQUIRE_EQ(bed->queue->table.running, 0);
    REQUIRE_EQ(bed->queue->table.inflight, 0);
    REQUIRE_EQ(bed->queue->table.free_count, bed->queue->table.depth);
    REQUIRE_EQ(bed->queue->reapable, 0);
    REQUIRE_EQ(bed->queue->callbacks_inflight, 0);
    REQUIRE_EQ(bed->queue->claimed, 0);
    queue_unlock(bed->queue);
    for (unsigned index = 0; index < FILES; index++)
        REQUIRE_EQ(info_of(bed->files[index]).inflight, 0);
}

/* --- batches -------------------------------------------------------------------------------- */

static const uint32_t queue_kinds[] = {0, AIO_QUEUE_OWNED, AIO_QUEUE_TIMES,
                                       AIO_QUEUE_TIMES | AIO_QUEUE_OWNED};

START_TEST(each_read_of_a_batch_has_its_result)
{
    struct bed bed = bed_open(256, queue_kinds[_i]);
    struct plan plans[PLACES];
    uint64_t direct[FILES] = {0};
    uint64_t total = 0;
    struct aio_queue_stats stats;

    for (unsigned round = 0; round < 40; round++) {
        unsigned count = 1 + (unsigned)(mix(round) % 200);

        make_plans(&bed, plans, count, round);
        submit_all(&bed, plans, count);
        for (unsigned index = 0; index < count; index++)
            direct[plans[index].file]++;
        total += count;
        reap_whole(&bed, plans, count, count, round);
        for (unsigned index = 0; index < count; index++)
            REQUIRE_EQ(plans[index].seen, 1);
        expect_stale(bed.queue, plans[0].id);
        expect_stale(bed.queue, plans[count - 1].id);
        expect_idle(&bed);
    }
    stats = stats_of(bed.queue);
    REQUIRE_EQ(stats.submitted, total + 1);
    REQUIRE_EQ(stats.completed, total + 1);
    REQUIRE_EQ(stats.operations[AIO_OP_READ], total);
    REQUIRE_EQ(stats.direct, total);
    REQUIRE_EQ(stats.bytes_read, total * PAGE);
    REQUIRE_EQ(stats.device.count, total);
    REQUIRE_EQ(stats.failed + stats.short_transfers + stats.retries + stats.bounced, 0);
    REQUIRE_EQ(stats.reaped_by_waiter + stats.reaped_by_reaper, total);
    REQUIRE(stats.inflight_high_water > 0 && stats.inflight_high_water <= 200);
    if ((queue_kinds[_i] & AIO_QUEUE_TIMES) != 0) {
        REQUIRE_EQ(stats.waiting.count, total);
        REQUIRE_EQ(stats.untaken.count, total + 1);
    }
    for (unsigned index = 0; index < FILES; index++)
        REQUIRE_EQ(info_of(bed.files[index]).direct_reads, direct[index]);
    bed_close(&bed);
}
END_TEST

START_TEST(the_short_way_is_taken)
{
    struct bed bed = bed_open(64, queue_kinds[_i]);
    struct plan plans[32];

    make_plans(&bed, plans, 32, 5);
    plans[31].op.deadline = HOUR_NS;
    fault_hold(bed.rig.fault, FAULT_ALL);
    submit_all(&bed, plans, 31);
    REQUIRE_EQ(submit_one(bed.queue, &plans[31].op) != 0, 1);
    for (unsigned index = 0; index < 31; index++)
        REQUIRE(is_plain(bed.queue, plans[index].id));
    release_all(&bed);
    EXPECT(aio_queue_drain(bed.queue, NULL), 0);
    EXPECT(aio_queue_destroy(bed.queue, 0), -EBUSY);
    plans[31].id = UNTOUCHED;
    for (unsigned index = 0; index < 31; index++) {
        struct aio_completion completion = completion_of(bed.queue, plans[index].id);

        check_whole(plans, 31, &completion);
        expect_stale(bed.queue, plans[index].id);
    }
    {
        struct aio_completion completion;

        EXPECT(aio_queue_reap(bed.queue, &completion, 1, 1, NULL), 1);
        plans[31].id = completion.id;
        check_whole(plans, 32, &completion);
    }
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

START_TEST(ids_need_not_be_asked_for)
{
    struct bed bed = bed_open(16, queue_kinds[_i]);
    struct aio_completion completions[8];
    struct aio_op ops[8];

    for (unsigned index = 0; index < 8; index++)
        ops[index] = plan_read(&bed, index, index / 3, index).op;
    EXPECT(aio_queue_submit(bed.queue, ops, 8, NULL), 8);
    EXPECT(aio_queue_reap(bed.queue, completions, 8, 8, NULL), 8);
    for (unsigned index = 0; index < 8; index++) {
        REQUIRE(completions[index].id != 0);
        expect_stale(bed.queue, completions[index].id);
        pattern_check(ops[index].buf, PAGE, index * PAGE, index / 3 + 1);
    }
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

/* --- what is not plain ---------------------------------------------------------------------- */

enum oddity {
    ODD_MEMORY,
    ODD_LENGTH,
    ODD_OFFSET,
    ODD_NOTHING, /* no bytes */
    ODD_DEADLINE,
    ODD_WAITED, /* is plain */
    ODD_NOWAIT,
    ODD_VECTORS,
    ODD_WRITE,
    ODD_SYNC,
    ODD_NOP,
    ODD_NOP_ALONE,
    ODD_CACHED_FILE,
    ODD_CHECKED_FILE,
    ODD_FAILED_FILE,
    ODD_REFUSED, /* from here on none is taken */
    ODD_FLAG = ODD_REFUSED,
    ODD_BOTH_TAKERS,
    ODD_OPCODE,
    ODD_NO_FILE,
    ODD_RESERVED,
    ODD_RESERVED_BEHIND,
    ODD_MODE,
    ODD_PRIORITY,
    ODD_LATE,
    ODD_BEFORE_THE_START,
    ODD_TOO_LONG,
    ODD_BEYOND_ALL,
    ODD_NO_MEMORY,
    ODD_ATOMIC,
    ODD_WRITE_ONLY_FILE,
    ODD_LINK_TO_NOTHING,
    ODDITIES
};

static void ignore(const struct aio_completion *completion)
{
    (void)completion;
}

static struct aio_file *open_odd(const struct bed *bed, enum oddity oddity)
{
    struct aio_file *file;

    make_file("odd", FILE_BLOCKS * PAGE, 9);
    switch (oddity) {
    case ODD_CACHED_FILE:
        return open_there("odd", O_RDWR, AIO_DIRECT_NEVER, 0, 0);
    case ODD_CHECKED_FILE:
        return open_there("odd", O_RDWR, AIO_DIRECT_REQUIRED, AIO_FILE_CHECK, 0);
    case ODD_WRITE_ONLY_FILE:
        return open_there("odd", O_WRONLY, AIO_DIRECT_REQUIRED, 0, 0);
    default:
        break;
    }
    file = open_there("odd", O_RDWR, AIO_DIRECT_REQUIRED, 0, 0);
    if (oddity == ODD_FAILED_FILE) {
        fault_attach(bed->rig.fault, file);
        fault_add(bed->rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .value = -EIO});
        EXPECT(aio_file_sync(file), -EIO);
        fault_clear(bed->rig.fault);
    }
    return file;
}

/* Makes an operation one that is refused with -EINVAL. */
static void make_wrong(enum oddity oddity, struct aio_op *op)
{
    switch (oddity) {
    case ODD_FLAG:
        op->flags = 1 << 20;
        break;
    case ODD_BOTH_TAKERS:
        op->flags = AIO_OP_WAITED;
        op->on_complete = ignore;
        break;
    case ODD_OPCODE: /* what it names is not looked at */
        op->opcode = 200;
        op->file = (struct aio_file *)(uintptr_t)64;
        break;
    case ODD_NO_FILE:
        op->file = NULL;
        break;
    case ODD_RESERVED:
        op->reserved0[2] = 1;
        op->file = (struct aio_file *)(uintptr_t)64;
        break;
    case ODD_RESERVED_BEHIND:
        op->reserved2[2] = 1;
        break;
    case ODD_MODE:
        op->mode = 1;
        break;
    case ODD_PRIORITY:
        op->priority = 9;
        break;
    case ODD_LATE:
        op->deadline = UINT64_C(1) << 63;
        break;
    case ODD_BEFORE_THE_START:
        op->offset = -(int64_t)PAGE;
        break;
    case ODD_TOO_LONG:
        op->len = UINT64_C(1) << 63;
        break;
    case ODD_BEYOND_ALL:
        op->offset = INT64_MAX - PAGE + 1;
        op->len = 2 * PAGE;
        break;
    case ODD_NO_MEMORY:
        op->buf = NULL;
        break;
    case ODD_ATOMIC:
        op->flags = AIO_OP_ATOMIC;
        break;
    case ODD_LINK_TO_NOTHING: /* where it is the last; the next one is a chain's end otherwise */
        op->flags = AIO_OP_LINK | 1 << 20;
        break;
    default:
        ck_abort_msg("what oddity is that?");
    }
}

/* Makes an operation one that is not plain; gives its result, or the error of its submit. */
static int64_t make_odd(enum oddity oddity, struct aio_op *op, struct aio_file *file,
                        struct iovec *iov)
{
    switch (oddity) {
    case ODD_MEMORY:
        op->buf = (char *)op->buf + 1;
        break;
    case ODD_LENGTH:
        op->len = PAGE - 1;
        return PAGE - 1;
    case ODD_OFFSET:
        op->offset++;
        break;
    case ODD_NOTHING:
        op->len = 0;
        return 0;
    case ODD_DEADLINE:
        op->deadline = HOUR_NS;
        break;
    case ODD_WAITED:
        op->flags = AIO_OP_WAITED;
        break;
    case ODD_NOWAIT:
        op->flags = AIO_OP_NOWAIT;
        break;
    case ODD_VECTORS:
        *iov = (struct iovec){op->buf, PAGE};
        op->opcode = AIO_OP_READV;
        op->iov = iov;
        op->len = 1;
        break;
    case ODD_WRITE:
        op->opcode = AIO_OP_WRITE;
        op->file = file;
        pattern_fill(op->buf, PAGE, (uint64_t)op->offset, 9);
        break;
    case ODD_SYNC:
        *op = op_sync(file);
        return 0;
    case ODD_NOP:
        *op = op_nop();
        op->file = file;
        return 0;
    case ODD_NOP_ALONE:
        *op = op_nop();
        return 0;
    case ODD_CACHED_FILE:
    case ODD_CHECKED_FILE:
    case ODD_FAILED_FILE:
        op->file = file;
        break;
    case ODD_WRITE_ONLY_FILE:
        op->file = file;
        return -EBADF;
    default:
        make_wrong(oddity, op);
        return -EINVAL;
    }
    return PAGE;
}

/* While all reads are held back by the engine. */
static void expect_listed(const struct bed *bed, const struct plan *plans, unsigned taken,
                          unsigned odd)
{
    struct aio_request_info infos[16];
    unsigned inflight[FILES] = {0};

    EXPECT(aio_queue_inflight(bed->queue, infos, 16), taken);
    for (unsigned index = 0; index < taken; index++) {
        const struct aio_request_info *info = &infos[index]; /* oldest first */

        REQUIRE_EQ(info->id, plans[index].id);
        if (index == odd)
            continue;
        inflight[plans[index].file]++;
        REQUIRE_EQ(info->opcode, AIO_OP_READ);
        REQUIRE_EQ(info->state, AIO_REQUEST_RUNNING);
        REQUIRE_EQ(info->offset, plans[index].op.offset);
        REQUIRE_EQ(info->len, PAGE);
        REQUIRE_EQ(info->done, 0);
        REQUIRE(info->context == plans[index].op.context);
        REQUIRE(info->age_ns < UINT64_C(1000) * NS_PER_SECOND);
    }
    for (unsigned index = 0; index < FILES; index++)
        if (odd >= taken || plans[odd].op.file != bed->files[index])
            REQUIRE_EQ(info_of(bed->files[index]).inflight, inflight[index]);
}

static void take_odd(const struct bed *bed, struct plan *plan, int64_t expected, enum oddity oddity)
{
    struct aio_completion completion = completion_of(bed->queue, plan->id);
    uint64_t seed = plan->op.file == bed->files[plan->file] ? plan->file + 1 : 9;
    const void *memory = plan->op.buf;

    if (oddity == ODD_NOWAIT && completion.result == -EAGAIN)
        return;
    REQUIRE_EQ(completion.result, expected);
    REQUIRE_EQ(completion.offset, plan->op.offset);
    REQUIRE(completion.context == plan->op.context);
    if (oddity == ODD_VECTORS)
        memory = plan->op.iov->iov_base;
    if (expected > 0)
        pattern_check(memory, (uint64_t)expected, (uint64_t)plan->op.offset, seed);
}

/* A batch of six, of which one is odd. */
static void run_mixed(struct bed *bed, struct aio_file *file, enum oddity oddity, unsigned odd)
{
    struct aio_queue_stats before = stats_of(bed->queue);
    struct aio_queue_stats after;
    struct plan plans[6];
    struct iovec iov;
    bool refused = oddity >= ODD_REFUSED;
    unsigned taken = refused ? odd : 6;
    int64_t expected;

    for (unsigned index = 0; index < 6; index++)
        plans[index] = plan_read(bed, index, index / 2, index + odd);
    expected = make_odd(oddity, &plans[odd].op, file, &iov);
    fault_hold(bed->rig.fault, FAULT_READS);
    REQUIRE_EQ(submit_plans(bed, plans, 6), taken > 0 ? taken : expected);
    if (refused)
        EXPECT(aio_queue_submit(bed->queue, &plans[odd].op, 6 - odd, NULL), expected);
    expect_listed(bed, plans, taken, odd);
    after = stats_of(bed->queue);
    REQUIRE_EQ(after.submitted - before.submitted, taken);
    REQUIRE_EQ(after.held, taken);
    release_all(bed);
    if (!refused)
        take_odd(bed, &plans[odd], expected, oddity);
    reap_whole(bed, plans, 6, taken - !refused, odd);
    for (unsigned index = 0; index < 6; index++)
        REQUIRE_EQ(plans[index].seen, index < taken && index != odd);
    after = stats_of(bed->queue);
    REQUIRE_EQ(after.completed - before.completed, taken);
    REQUIRE(after.operations[AIO_OP_READ] - before.operations[AIO_OP_READ] + 1 >= taken);
    expect_idle(bed);
}

START_TEST(what_is_not_plain_goes_with_the_rest)
{
    enum oddity oddity = (enum oddity)(_i / 2);

    for (unsigned odd = 0; odd < 6; odd++) {
        struct bed bed = bed_open(16, _i % 2 != 0 ? AIO_QUEUE_OWNED : 0);
        struct aio_file *file = open_odd(&bed, oddity);

        run_mixed(&bed, file, oddity, odd);
        run_mixed(&bed, file, oddity, odd);
        if (oddity == ODD_FAILED_FILE)
            EXPECT(aio_file_clear_error(file), -EIO);
        close_file(file);
        bed_close(&bed);
    }
}
END_TEST

/* --- slots ---------------------------------------------------------------------------------- */

START_TEST(a_batch_is_taken_as_far_as_there_are_slots)
{
    struct bed bed = bed_open(8, AIO_QUEUE_NONBLOCK);
    struct plan plans[20];
    struct plan more;

    make_plans(&bed, plans, 20, 1);
    fault_hold(bed.rig.fault, FAULT_ALL);
    submit_all(&bed, plans, 3);
    more = plans[3];
    REQUIRE_EQ(submit_plans(&bed, &plans[3], 17), 5);
    REQUIRE(is_plain(bed.queue, plans[7].id));
    REQUIRE_EQ(submit_plans(&bed, &more, 1), -EAGAIN);
    REQUIRE_EQ(stats_of(bed.queue).held, 8);
    release_all(&bed);
    EXPECT(aio_queue_drain(bed.queue, NULL), 0);
    REQUIRE_EQ(submit_plans(&bed, &more, 1), -EBUSY);
    reap_whole(&bed, plans, 8, 8, 1);
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

struct reaping {
    struct bed *bed;
    struct plan *plans;
    unsigned count;
    unsigned left;
    pthread_t thread;
};

static void *reaping_main(void *argument)
{
    struct reaping *reaping = argument;
    struct aio_completion completions[4];

    /* Between a batch and the next there may be none that could come. */
    while (reaping->left > 0) {
        int64_t taken = CALL(aio_queue_reap(reaping->bed->queue, completions, 1, 4, NULL));

        REQUIRE(taken >= 0 && taken <= reaping->left);
        reaping->left -= (unsigned)taken;
        for (int64_t index = 0; index < taken; index++)
            REQUIRE_EQ(completions[index].result, PAGE);
        if (taken == 0)
            sched_yield();
    }
    return NULL;
}

START_TEST(a_submit_waits_for_slots_that_a_reap_frees)
{
    struct bed bed = bed_open(8, 0);
    struct plan plans[PLACES];
    unsigned taken = 0;

    for (unsigned round = 0; round < 10; round++) {
        struct reaping reaping = {&bed, plans, 200, 200, 0};

        make_plans(&bed, plans, 200, round);
        thread_begin(&reaping.thread, reaping_main, &reaping);
        for (taken = 0; taken < 200;) {
            int64_t result = submit_plans(&bed, &plans[taken], 200 - taken);

            REQUIRE(result > 0 || result == -EBUSY); /* results that the reaper has yet to take */
            if (result > 0)
                taken += (unsigned)result;
        }
        thread_end(reaping.thread);
        for (unsigned index = 0; index < 200; index++)
            pattern_check(plans[index].op.buf, PAGE, (uint64_t)plans[index].op.offset,
                          plans[index].file + 1);
        expect_idle(&bed);
    }
    bed_close(&bed);
}
END_TEST

/* --- results -------------------------------------------------------------------------------- */

START_TEST(results_of_both_ways_come_in_the_order_of_completion)
{
    struct bed bed = bed_open(64, queue_kinds[_i]);
    struct aio_completion completions[20];
    struct plan plans[20];

    for (unsigned round = 0; round < 5; round++) {
        make_plans(&bed, plans, 20, round);
        plans[5].op.deadline = HOUR_NS;
        fault_hold(bed.rig.fault, FAULT_ALL);
        submit_all(&bed, plans, 5);
        submit_all(&bed, plans + 5, 1);
        submit_all(&bed, plans + 6, 14);
        EVENTUALLY(CALL(aio_queue_drain(bed.queue, &no_time)) == -ETIMEDOUT &&
                   fault_held(bed.rig.fault) == 20);
        release_all(&bed);
        EXPECT(aio_queue_reap(bed.queue, completions, 20, 20, NULL), 20);
        for (unsigned index = 0; index < 20; index++) {
            if (test_engine == AIO_ENGINE_SYNC)
                REQUIRE_EQ(completions[index].id, plans[index].id);
            check_whole(plans, 20, &completions[index]);
        }
        expect_idle(&bed);
    }
    bed_close(&bed);
}
END_TEST

START_TEST(results_come_in_the_order_of_completion)
{
    struct bed bed = bed_open(64, queue_kinds[_i]);
    struct aio_completion completions[32];
    struct plan plans[32];
    unsigned next = 0;
    aio_request_id waited;
    struct aio_op read;

    make_plans(&bed, plans, 32, 3);
    fault_hold(bed.rig.fault, FAULT_ALL);
    read = plan_read(&bed, 40, 0, 1).op;
    read.flags = AIO_OP_WAITED;
    submit_all(&bed, plans, 5);
    waited = submit_one(bed.queue, &read);
    submit_all(&bed, plans + 5, 27);
    EVENTUALLY(CALL(aio_queue_drain(bed.queue, &no_time)) == -ETIMEDOUT &&
               fault_held(bed.rig.fault) == 33);
    fault_release(bed.rig.fault, 6);
    /* Who waits for one lays those before it down for others. */
    EXPECT(aio_queue_wait(bed.queue, waited, NULL), PAGE);
    release_all(&bed);
    for (unsigned max = 7; next < 32; max = 1 + max % 5) {
        /* The first asks for more than there are, and so looks into the engine. */
        unsigned min = max == 7 || max % 2 == 0 ? max : 0;
        int64_t taken = CALL(aio_queue_reap(bed.queue, completions, min, max, NULL));

        REQUIRE(taken >= 0 && taken <= max);
        for (int64_t index = 0; index < taken; index++) {
            if (test_engine == AIO_ENGINE_SYNC) /* elsewhere others decide */
                REQUIRE_EQ(completions[index].id, plans[next].id);
            check_whole(plans, 32, &completions[index]);
            next++;
        }
    }
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

/* A call on a thread of its own. */
struct waiting {
    struct aio_queue *queue;
    aio_request_id id; /* 0: reaps */
    unsigned min;
    unsigned max;
    struct aio_completion completions[32];
    int64_t result;
    atomic_int number;
    atomic_bool done;
    pthread_t thread;
};

static void *waiting_main(void *argument)
{
    struct waiting *waiting = argument;

    waiting->number = thread_number();
    if (waiting->id != 0)
        waiting->result = CALL(aio_queue_wait(waiting->queue, waiting->id, NULL));
    else
        waiting->result = CALL(
            aio_queue_reap(waiting->queue, waiting->completions, waiting->min, waiting->max, NULL));
    waiting->done = true;
    return NULL;
}

static void waiting_begin(struct waiting *waiting)
{
    thread_begin(&waiting->thread, waiting_main, waiting);
    EVENTUALLY(waiting->number != 0 && (waiting->done || thread_state(waiting->number) == 'S'));
    sleep_us(5000);
}

static void check_all(struct plan *plans, unsigned count, const struct aio_completion *completions,
                      int64_t taken)
{
    for (int64_t index = 0; index < taken; index++)
        check_whole(plans, count, &completions[index]);
}

START_TEST(a_reap_does_not_get_what_others_wait_for)
{
    for (unsigned who = 0; who < 2; who++) {
        struct bed bed = bed_open(64, 0);
        struct waiting waits[2] = {{.queue = bed.queue}, {.queue = bed.queue}};
        struct waiting reap = {.queue = bed.queue, .min = 5, .max = 32};
        struct aio_completion completions[32];
        struct plan plans[12];

        make_plans(&bed, plans, 12, who);
        plans[0].op.flags = AIO_OP_WAITED;
        plans[6].op.flags = AIO_OP_WAITED;
        fault_hold(bed.rig.fault, FAULT_ALL);
        submit_all(&bed, plans, 12);
        waits[0].id = plans[3].id;
        waits[1].id = plans[7].id;
        if (who == 0)
            waiting_begin(&reap);
        waiting_begin(&waits[0]);
        waiting_begin(&waits[1]);
        if (who == 1)
            waiting_begin(&reap);
        REQUIRE(!reap.done && !waits[0].done && !waits[1].done);
        release_all(&bed);
        thread_end(waits[0].thread);
        thread_end(waits[1].thread);
        thread_end(reap.thread);
        REQUIRE_EQ(waits[0].result, PAGE);
        REQUIRE_EQ(waits[1].result, PAGE);
        REQUIRE(reap.result >= 5 && reap.result <= 8);
        check_all(plans, 12, reap.completions, reap.result);
        EXPECT(aio_queue_drain(bed.queue, NULL), 0);
        EXPECT(aio_queue_reap(bed.queue, completions, 8, 32, NULL), 8 - reap.result);
        check_all(plans, 12, completions, 8 - reap.result);
        for (unsigned index = 0; index < 12; index++)
            REQUIRE_EQ(plans[index].seen, index != 0 && index != 6 && index != 3 && index != 7);
        EXPECT(aio_queue_wait(bed.queue, plans[0].id, NULL), PAGE);
        EXPECT(aio_queue_wait(bed.queue, plans[6].id, NULL), PAGE);
        expect_idle(&bed);
        bed_close(&bed);
    }
}
END_TEST

START_TEST(a_poll_gives_no_result_of_others)
{
    struct bed bed = bed_open(64, queue_kinds[_i]);
    struct aio_completion completions[32];
    struct plan plans[12];
    unsigned taken = 0;

    make_plans(&bed, plans, 12, 8);
    for (unsigned index = 0; index < 12; index += 3)
        plans[index].op.flags = AIO_OP_WAITED;
    submit_all(&bed, plans, 12);
    while (taken < 8) {
        int64_t result = CALL(aio_queue_reap(bed.queue, completions, 0, 32, NULL));

        REQUIRE(result >= 0);
        check_all(plans, 12, completions, result);
        taken += (unsigned)result;
    }
    EXPECT(aio_queue_drain(bed.queue, NULL), 0);
    EXPECT(aio_queue_reap(bed.queue, completions, 0, 32, NULL), 0);
    EXPECT(aio_queue_reap(bed.queue, completions, 1, 32, NULL), 0);
    EXPECT(aio_queue_reap(bed.queue, NULL, 0, 0, NULL), 0);
    for (unsigned index = 0; index < 12; index++) {
        REQUIRE_EQ(plans[index].seen, index % 3 != 0);
        if (index % 3 == 0)
            EXPECT(aio_queue_wait(bed.queue, plans[index].id, &no_time), PAGE);
    }
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

START_TEST(who_has_some_sleeps_for_the_rest)
{
    struct bed bed = bed_open(64, 0);
    struct waiting reap = {.queue = bed.queue, .min = 5, .max = 6};
    struct aio_completion completions[32];
    struct timespec short_time = milliseconds(30);
    struct plan plans[12];

    make_plans(&bed, plans, 12, 4);
    fault_hold(bed.rig.fault, FAULT_ALL);
    submit_all(&bed, plans, 12);
    EVENTUALLY(fault_held(bed.rig.fault) == 12);
    fault_release(bed.rig.fault, 2);
    /* What came in time is given though there are not enough. */
    EXPECT(aio_queue_reap(bed.queue, completions, 5, 32, &short_time), 2);
    check_all(plans, 12, completions, 2);
    expect_stale(bed.queue, completions[0].id);
    REQUIRE_EQ(stats_of(bed.queue).held, 10);
    fault_release(bed.rig.fault, 2);
    waiting_begin(&reap);
    EVENTUALLY(reap.done || fault_sleeping_for(bed.rig.fault) > 0);
    /* The reaper thread may have come first, by its tick; then they are in the list. */
    REQUIRE(!reap.done);
    REQUIRE_EQ(fault_sleeping_for(bed.rig.fault), 3);
    fault_release(bed.rig.fault, 3);
    thread_end(reap.thread);
    REQUIRE_EQ(reap.result, 5);
    check_all(plans, 12, reap.completions, 5);
    release_all(&bed);
    /* Not more than can come. */
    EXPECT(aio_queue_reap(bed.queue, completions, 30, 32, NULL), 5);
    check_all(plans, 12, completions, 5);
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

/* Lets so many results come when somebody sleeps for so many. */
struct releasing {
    struct fault *fault;
    unsigned sleeping_for;
    unsigned count;
    pthread_t thread;
};

static void *releasing_main(void *argument)
{
    const struct releasing *releasing = argument;

    EVENTUALLY(fault_sleeping_for(releasing->fault) == releasing->sleeping_for);
    fault_release(releasing->fault, releasing->count);
    return NULL;
}

START_TEST(an_owner_who_has_some_sleeps_for_the_rest)
{
    struct bed bed = bed_open(64, AIO_QUEUE_OWNED);
    struct releasing releasing = {.fault = bed.rig.fault, .sleeping_for = 3, .count = 3};
    struct aio_completion completions[32];
    struct timespec short_time = milliseconds(30);
    struct plan plans[12];

    make_plans(&bed, plans, 12, 4);
    fault_hold(bed.rig.fault, FAULT_ALL);
    submit_all(&bed, plans, 12);
    EVENTUALLY(CALL(aio_queue_drain(bed.queue, &no_time)) == -ETIMEDOUT &&
               fault_held(bed.rig.fault) == 12);
    fault_release(bed.rig.fault, 2);
    EXPECT(aio_queue_reap(bed.queue, completions, 5, 32, &short_time), 2);
    check_all(plans, 12, completions, 2);
    fault_release(bed.rig.fault, 2);
    thread_begin(&releasing.thread, releasing_main, &releasing);
    EXPECT(aio_queue_reap(bed.queue, completions, 5, 6, NULL), 5);
    check_all(plans, 12, completions, 5);
    thread_end(releasing.thread);
    release_all(&bed);
    EXPECT(aio_queue_reap(bed.queue, completions, 5, 32, NULL), 5);
    check_all(plans, 12, completions, 5);
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

START_TEST(who_has_some_is_let_out_when_no_more_can_come)
{
    struct bed bed = bed_open(64, 0);
    struct waiting reap = {.queue = bed.queue, .min = 4, .max = 32};
    struct waiting wait = {.queue = bed.queue};
    struct plan plans[4];

    make_plans(&bed, plans, 4, 4);
    fault_hold(bed.rig.fault, FAULT_ALL);
    submit_all(&bed, plans, 4);
    EVENTUALLY(fault_held(bed.rig.fault) == 4);
    fault_release(bed.rig.fault, 3);
    waiting_begin(&reap);
    wait.id = plans[0].id;
    for (unsigned index = 0; index < 4; index++)
        if (CALL(aio_queue_wait(bed.queue, plans[index].id, &no_time)) == -ETIMEDOUT)
            wait.id = plans[index].id; /* the one that is not released */
    waiting_begin(&wait);
    thread_end(reap.thread);
    REQUIRE_EQ(reap.result, 3);
    check_all(plans, 4, reap.completions, 3);
    REQUIRE(!wait.done);
    release_all(&bed);
    thread_end(wait.thread);
    REQUIRE_EQ(wait.result, PAGE);
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

START_TEST(a_callback_is_not_kept_waiting_by_who_sleeps_for_many)
{
    struct bed bed = bed_open(64, 0);
    struct waiting reap = {.queue = bed.queue, .min = 8, .max = 32};
    struct plan plans[9];

    make_plans(&bed, plans, 9, 4);
    fault_hold(bed.rig.fault, FAULT_ALL);
    submit_all(&bed, plans, 8);
    waiting_begin(&reap);
    EVENTUALLY(fault_sleeping_for(bed.rig.fault) == 8);
    fault_hold(bed.rig.fault, 0);
    plans[8].op.on_complete = ignore;
    submit_all(&bed, plans + 8, 1);
    EVENTUALLY(stats_of(bed.queue).callbacks == 1);
    REQUIRE(!reap.done);
    release_all(&bed);
    thread_end(reap.thread);
    REQUIRE_EQ(reap.result, 8);
    check_all(plans, 8, reap.completions, 8);
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

/* --- both ways ------------------------------------------------------------------------------ */

struct deed {
    uint64_t len;
    int64_t offset;
    struct fault_rule rules[2];
    int refusal; /* of submits, so many */
    uint32_t refusals;
    uint32_t interrupts;
};

enum { SHORT_BYTES = 5 * PAGE + 1000 };

static const struct deed deeds[] = {
    {4 * PAGE, 0, .refusals = 0},
    {4 * PAGE, 4 * PAGE, .refusals = 0},  /* short at the end */
    {8 * PAGE, 0, .refusals = 0},         /* likewise */
    {PAGE, 5 * PAGE, .refusals = 0},      /* in the last page */
    {PAGE, 6 * PAGE, .refusals = 0},      /* at the end */
    {4 * PAGE, 64 * PAGE, .refusals = 0}, /* wholly beyond it */
    {PAGE, 0, .rules = {{FAULT_RESULT, 0, .value = -EIO}}},
    {4 * PAGE, 0, .rules = {{FAULT_RESULT, 0, .value = -EIO}}},
    {8 * PAGE, 0, .rules = {{FAULT_RESULT, 0, .value = -EIO}}}, /* across the end: read up to it */
    {4 * PAGE, 0, .rules = {{FAULT_RESULT, 0, .value = -EINVAL}}},
    {4 * PAGE, 0, .rules = {{FAULT_RESULT, 0, .value = -EINTR, .count = 3}}},
    {4 * PAGE, 0, .rules = {{FAULT_RESULT, 0, .value = -EAGAIN, .count = 3}}},
    {4 * PAGE, 0, .rules = {{FAULT_RESULT, 0, .value = 0}}},
    {4 * PAGE, 0, .rules = {{FAULT_RESULT, 0, .value = 5 * PAGE}}}, /* more than was asked for */
    {4 * PAGE, 0, .rules = {{FAULT_SHORTEN, 0, .value = PAGE}}},
    {4 * PAGE, PAGE, .rules = {{FAULT_SHORTEN, 0, .value = PAGE, .count = FAULT_FOR_EVER}}},
    {4 * PAGE, 0, .rules = {{FAULT_SHORTEN, 0, .value = PAGE + 100}}},
    {4 * PAGE, PAGE, .rules = {{FAULT_SHORTEN, 0, .value = 2 * PAGE + 4095}}},
    {4 * PAGE, 0, .rules = {{FAULT_SHORTEN, 0, .value = 100}}},
    {4 * PAGE, 0, .rules = {{FAULT_SHORTEN, 0, .value = 100, .count = FAULT_FOR_EVER}}},
    {8 * PAGE, 0, .rules = {{FAULT_SHORTEN, 0, .value = PAGE + 1}}},
    {4 * PAGE, 0,
     .rules = {{FAULT_SHORTEN, 0, .value = PAGE},
               {FAULT_RESULT, 0, .value = -EIO}}}, /* the rest fails */
    {4 * PAGE, 0, .refusal = -EAGAIN, .refusals = 1},
    {4 * PAGE, 0, .refusal = -EAGAIN, .refusals = 3},
    {4 * PAGE, 0, .refusal = -EIO, .refusals = 1},
    {4 * PAGE, 0, .refusal = -ENOMEM, .refusals = 1},
    {4 * PAGE, 0, .interrupts = 2},
};

struct outcome {
    int64_t taken;
    struct aio_completion completion;
    struct aio_queue_stats stats;
    struct fault_seen steps[64];
    unsigned step_count;
    uint64_t direct_reads;
};

static void begin_faults(struct fault *fault, const struct deed *deed)
{
    for (unsigned index = 0; index < COUNT(deed->rules); index++)
        if (deed->rules[index].kind != FAULT_SHORTEN || deed->rules[index].value != 0)
            fault_add(fault, deed->rules[index]);
    if (deed->refusals > 0)
        fault_refuse(fault, deed->refusal, deed->refusals);
    fault_interrupt_submit(fault, deed->interrupts);
}

/* Each on a queue of its own, so that the counts are comparable. */
static struct outcome do_deed(const struct deed *deed, char *memory, uint32_t flags, bool long_way)
{
    struct rig rig = rig_open(8, flags);
    struct aio_file *file;
    struct outcome outcome = {.taken = 0};
    struct aio_op nop = op_nop();
    struct aio_op op;
    aio_request_id id;

    make_file("short", SHORT_BYTES, 6);
    file = open_there("short", O_RDWR, AIO_DIRECT_REQUIRED, 0, 0);
    run_op(rig.queue, &nop);
    op = op_read(file, memory, deed->len, deed->offset);
    op.deadline = long_way ? HOUR_NS : 0;
    op.context = memory;
    begin_faults(rig.fault, deed);
    outcome.taken = CALL(aio_queue_submit(rig.queue, &op, 1, &id));
    if (outcome.taken > 0)
        EXPECT(aio_queue_reap(rig.queue, &outcome.completion, 1, 1, NULL), 1);
    outcome.stats = stats_of(rig.queue);
    outcome.direct_reads = info_of(file).direct_reads;
    outcome.step_count = fault_steps(rig.fault);
    for (unsigned index = 0; index < outcome.step_count && index < 64; index++)
        outcome.steps[index] = fault_step(rig.fault, index);
    REQUIRE_EQ(info_of(file).inflight, 0);
    REQUIRE_EQ(outcome.stats.held, 0);
    close_file(file);
    rig_close(&rig);
    return outcome;
}

static void expect_same(const struct outcome *one, const struct outcome *other)
{
    REQUIRE_EQ(one->taken, other->taken);
    REQUIRE_EQ(one->completion.result, other->completion.result);
    REQUIRE_EQ(one->completion.error, other->completion.error);
    REQUIRE_EQ(one->completion.offset, other->completion.offset);
    REQUIRE_EQ(one->completion.flags, other->completion.flags);
    REQUIRE(one->completion.context == other->completion.context);
    REQUIRE_EQ(one->stats.submitted, other->stats.submitted);
    REQUIRE_EQ(one->stats.completed, other->stats.completed);
    REQUIRE_EQ(one->stats.failed, other->stats.failed);
    REQUIRE_EQ(one->stats.cancelled, other->stats.cancelled);
    REQUIRE_EQ(one->stats.bytes_read, other->stats.bytes_read);
    REQUIRE_EQ(one->stats.short_transfers, other->stats.short_transfers);
    REQUIRE_EQ(one->stats.resubmits, other->stats.resubmits);
    REQUIRE_EQ(one->stats.retries, other->stats.retries);
    REQUIRE_EQ(one->stats.direct, other->stats.direct);
    REQUIRE_EQ(one->stats.device.count, other->stats.device.count);
    REQUIRE_EQ(one->stats.operations[AIO_OP_READ], other->stats.operations[AIO_OP_READ]);
    REQUIRE_EQ(one->stats.inflight_high_water, other->stats.inflight_high_water);
    REQUIRE_EQ(one->stats.waiting.count, other->stats.waiting.count);
    REQUIRE_EQ(one->stats.untaken.count, other->stats.untaken.count);
    REQUIRE_EQ(one->direct_reads, other->direct_reads);
    REQUIRE_EQ(one->step_count, other->step_count);
    for (unsigned index = 0; index < one->step_count && index < 64; index++) {
        REQUIRE_EQ(one->steps[index].offset, other->steps[index].offset);
        REQUIRE_EQ(one->steps[index].len, other->steps[index].len);
        REQUIRE_EQ(one->steps[index].opcode, other->steps[index].opcode);
        REQUIRE_EQ(one->steps[index].rw_flags, other->steps[index].rw_flags);
        REQUIRE_EQ(one->steps[index].priority, other->steps[index].priority);
    }
}

START_TEST(the_short_way_ends_as_the_long_one_does)
{
    const struct deed *deed = &deeds[_i / (int)COUNT(queue_kinds)];
    uint32_t flags = queue_kinds[_i % (int)COUNT(queue_kinds)];
    char *memory = page_alloc(deed->len);
    struct outcome ways[2];

    for (unsigned long_way = 0; long_way < 2; long_way++) {
        memset(memory, 0xee, deed->len);
        ways[long_way] = do_deed(deed, memory, flags, long_way != 0);
        REQUIRE_EQ(ways[long_way].completion.offset, deed->offset);
        if (ways[long_way].completion.result > 0)
            pattern_check(memory, (uint64_t)ways[long_way].completion.result,
                          (uint64_t)deed->offset, 6);
    }
    expect_same(&ways[0], &ways[1]);
    free(memory);
}
END_TEST

START_TEST(the_ends_of_what_can_be_named_are_the_same)
{
    static const uint64_t offsets[] = {
        64 * PAGE,
        (UINT64_C(1) << 43),
        (UINT64_C(1) << 44) - PAGE,
        (UINT64_C(1) << 62) - PAGE,
        (UINT64_C(1) << 62),
        (UINT64_C(1) << 62) + PAGE,
        (UINT64_C(1) << 63) - 2 * (uint64_t)PAGE,
        (UINT64_C(1) << 63) - PAGE,
        (UINT64_C(1) << 63),
        UINT64_MAX - PAGE + 1,
    };
    static const uint64_t lengths[] = {
        PAGE,
        2 * PAGE,
        UINT64_C(1) << 31,
        UINT64_C(1) << 32,
        (UINT64_C(1) << 32) + PAGE,
        (UINT64_C(1) << 46),
        (UINT64_C(1) << 62) - PAGE,
        (UINT64_C(1) << 62),
        (UINT64_C(1) << 63) - PAGE,
        (UINT64_C(1) << 63),
        UINT64_MAX - PAGE + 1,
    };
    struct deed deed = {.offset = (int64_t)offsets[_i]};
    char *memory = page_alloc(PAGE);

    for (unsigned index = 0; index < COUNT(lengths); index++) {
        struct outcome ways[2];

        deed.len = lengths[index];
        for (unsigned long_way = 0; long_way < 2; long_way++)
            ways[long_way] = do_deed(&deed, memory, AIO_QUEUE_OWNED, long_way != 0);
        expect_same(&ways[0], &ways[1]);
        if (ways[0].taken < 0)
            REQUIRE_EQ(ways[0].taken, -EINVAL);
        else
            REQUIRE(ways[0].completion.result <= 0);
    }
    free(memory);
}
END_TEST
enum { ENDS = 10 };

START_TEST(one_bad_read_does_no_harm_to_the_others)
{
    static const int refusals[] = {-EAGAIN, -EIO, 0};

    for (unsigned kind = 0; kind < 8; kind++) {
        struct bed bed = bed_open(64, queue_kinds[_i]);
        struct aio_completion completions[20];
        struct plan plans[20];
        int64_t failed = -1;

        make_plans(&bed, plans, 20, kind);
        switch (kind) {
        case 3:
            fault_take(bed.rig.fault, 3);
            break;
        case 4:
            fault_add(bed.rig.fault,
                      (struct fault_rule){FAULT_RESULT, 0, .first = 7, .value = -EIO});
            failed = 6;
            break;
        case 5:
            fault_add(bed.rig.fault,
                      (struct fault_rule){FAULT_SHORTEN, 0, .first = 7, .value = 512});
            break;
        case 6:
            fault_add(bed.rig.fault,
                      (struct fault_rule){FAULT_SHORTEN, 0, .first = 20, .value = 600});
            break;
        case 7:
            fault_add(bed.rig.fault, (struct fault_rule){FAULT_RESULT, 0, .first = 1, .count = 19,
                                                         .value = -EINTR});
            break;
        default:
            fault_refuse(bed.rig.fault, refusals[kind], 1);
            failed = refusals[kind] == -EIO ? 0 : -1;
        }
        submit_all(&bed, plans, 20);
        EXPECT(aio_queue_reap(bed.queue, completions, 20, 20, NULL), 20);
        for (unsigned index = 0; index < 20; index++) {
            if (completions[index].context == name_of((unsigned)failed)) {
                REQUIRE_EQ(completions[index].result, -EIO);
                REQUIRE_EQ(completions[index].error, -EIO);
                REQUIRE_EQ(completions[index].offset, plans[failed].op.offset);
                REQUIRE_EQ(completions[index].id, plans[failed].id);
            } else {
                check_whole(plans, 20, &completions[index]);
            }
        }
        REQUIRE_EQ(stats_of(bed.queue).failed, failed >= 0);
        REQUIRE_EQ(stats_of(bed.queue).bytes_read, (20 - (failed >= 0)) * PAGE);
        REQUIRE_EQ(stats_of(bed.queue).operations[AIO_OP_READ], 20);
        expect_idle(&bed);
        bed_close(&bed);
    }
}
END_TEST

START_TEST(a_slot_keeps_nothing_of_an_operation_before)
{
    struct bed bed = bed_open(1, queue_kinds[_i]);

    for (unsigned round = 0; round < 6; round++) {
        struct plan plan = plan_read(&bed, round, round, round);
        struct aio_completion completion;

        fault_add(bed.rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_READS, .value = -EIO});
        completion = run_op(bed.queue, &plan.op);
        REQUIRE_EQ(completion.result, -EIO);
        REQUIRE_EQ(completion.error, -EIO);
        REQUIRE_EQ(completion.offset, plan.op.offset);
        fault_clear(bed.rig.fault);
        plan = plan_read(&bed, 0, round + 1, round + 9);
        plan.op.flags = round % 2 != 0 ? AIO_OP_WAITED : 0;
        submit_all(&bed, &plan, 1);
        completion = completion_of(bed.queue, plan.id);
        check_whole(&plan, 1, &completion);
        /* One that was not to wait, and one that the engine has no room for. */
        plan = plan_read(&bed, 0, round, round);
        plan.op.flags = AIO_OP_NOWAIT;
        run_op(bed.queue, &plan.op);
        plan = plan_read(&bed, 0, round, round + 1);
        fault_refuse(bed.rig.fault, -EAGAIN, 1);
        submit_all(&bed, &plan, 1);
        completion = completion_of(bed.queue, plan.id);
        check_whole(&plan, 1, &completion);
        expect_idle(&bed);
    }
    bed_close(&bed);
}
END_TEST

START_TEST(writes_between_the_reads_let_go_of_their_file)
{
    struct bed bed = bed_open(64, queue_kinds[_i]);
    struct aio_completion completions[32];

    for (unsigned round = 0; round < 8; round++) {
        struct aio_op ops[24];

        for (unsigned index = 0; index < 24; index++) {
            ops[index] = plan_read(&bed, index, index / 2, index + round).op;
            if (index % 3 != 1)
                continue;
            ops[index].opcode = AIO_OP_WRITE; /* what is there already */
            pattern_fill(ops[index].buf, PAGE, (uint64_t)ops[index].offset, index / 2 % FILES + 1);
        }
        if (round == 5)
            fault_add(bed.rig.fault,
                      (struct fault_rule){FAULT_RESULT, FAULT_WRITES, .count = 2, .value = -EIO});
        if (round == 6)
            fault_add(bed.rig.fault,
                      (struct fault_rule){FAULT_SHORTEN, FAULT_WRITES, .count = 2, .value = 512});
        if (round == 7)
            fault_refuse(bed.rig.fault, -EAGAIN, 1);
        EXPECT(aio_queue_submit(bed.queue, ops, 24, NULL), 24);
        EXPECT(aio_queue_reap(bed.queue, completions, 24, 32, NULL), 24);
        for (unsigned index = 0; index < 24; index++)
            REQUIRE(completions[index].result == PAGE || round == 5);
        fault_clear(bed.rig.fault);
        /* These are alone in the file. */
        for (unsigned index = 0; index < FILES; index++) {
            EXPECT(aio_file_sync(bed.files[index]), 0);
            EXPECT(aio_file_truncate(bed.files[index], (FILE_BLOCKS + round) * PAGE), 0);
            EXPECT(aio_file_truncate(bed.files[index], FILE_BLOCKS * PAGE), 0);
        }
        expect_idle(&bed);
    }
    for (unsigned index = 0; index < FILES; index++)
        disk_check_pattern(names[index], 0, FILE_BLOCKS * PAGE, index + 1);
    bed_close(&bed);
}
END_TEST

/* --- callbacks ------------------------------------------------------------------------------ */

struct reader;

/* One of many reads, each submitted once, by the callback of another. */
struct reading {
    struct reader *reader;
    unsigned index;
    atomic_uint seen;
};

struct reader {
    struct bed *bed;
    unsigned each; /* so many are submitted by each callback */
    bool together; /* in one call */
    atomic_uint begun;
    atomic_uint ended;
    struct reading readings[PLACES];
};

static void read_on(const struct aio_completion *completion);

static struct aio_op next_reading(struct reader *reader, unsigned index)
{
    struct aio_op op = plan_read(reader->bed, index, index / 2, index).op;

    op.on_complete = read_on;
    op.context = &reader->readings[index];
    return op;
}

static unsigned submit_readings(struct reader *reader, unsigned want)
{
    struct aio_op ops[8];
    unsigned first = reader->begun;
    int64_t taken;

    if (want > COUNT(reader->readings) - first)
        want = (unsigned)COUNT(reader->readings) - first;
    if (want == 0)
        return 0;
    for (unsigned index = 0; index < want; index++)
        ops[index] = next_reading(reader, first + index);
    reader->begun += want; /* of an owned queue or the reaper thread: nobody else is here */
    taken = CALL(aio_queue_submit(reader->bed->queue, ops, want, NULL));
    REQUIRE(taken > 0 || taken == -EAGAIN);
    if (taken < 0)
        taken = 0;
    reader->begun -= want - (unsigned)taken;
    return (unsigned)taken;
}

static void read_on(const struct aio_completion *completion)
{
    struct reading *reading = completion->context;
    struct reader *reader = reading->reader;
    unsigned index = reading->index;
    unsigned left = (unsigned)COUNT(reader->readings) - reader->begun;

    REQUIRE_EQ(atomic_fetch_add(&reading->seen, 1), 0);
    REQUIRE_EQ(completion->result, PAGE);
    REQUIRE_EQ(completion->error, 0);
    REQUIRE_EQ(completion->offset, (int64_t)(index % FILE_BLOCKS) * PAGE);
    pattern_check(place(reader->bed, index), PAGE, (uint64_t)completion->offset,
                  index / 2 % FILES + 1);
    REQUIRE(info_of(reader->bed->files[0]).inflight <= 16);
    if (reader->together) {
        REQUIRE(submit_readings(reader, reader->each) >= (left > 0)); /* the slot that is kept */
    } else {
        REQUIRE(submit_readings(reader, 1) == (left > 0));
        for (unsigned more = 1; more < reader->each; more++)
            submit_readings(reader, 1);
    }
    reader->ended++;
}

START_TEST(callbacks_read_on)
{
    uint32_t flags = _i % 2 != 0 ? AIO_QUEUE_OWNED : 0;

    for (unsigned depth = 1; depth <= 16; depth *= 4) {
        struct bed bed = bed_open(depth, flags);
        struct reader *reader = calloc(1, sizeof(*reader));

        *reader = (struct reader){&bed, 1 + (unsigned)_i / 4, _i / 2 % 2 != 0, 0, 0, {{0}}};
        for (unsigned index = 0; index < COUNT(reader->readings); index++) {
            reader->readings[index].reader = reader;
            reader->readings[index].index = index;
        }
        {
            struct aio_op first = next_reading(reader, 0);

            reader->begun = 1;
            EXPECT(aio_queue_submit(bed.queue, &first, 1, NULL), 1);
        }
        while (reader->ended < COUNT(reader->readings))
            EXPECT(aio_queue_drain(bed.queue, NULL), 0);
        EXPECT(aio_queue_drain(bed.queue, NULL), 0);
        REQUIRE_EQ(reader->begun, COUNT(reader->readings));
        REQUIRE_EQ(reader->ended, COUNT(reader->readings));
        REQUIRE_EQ(stats_of(bed.queue).callbacks, COUNT(reader->readings));
        expect_idle(&bed);
        bed_close(&bed);
        free(reader);
    }
}
END_TEST

/* --- files come and go ---------------------------------------------------------------------- */

struct closing {
    struct aio_file *file;
    atomic_int number;
    atomic_bool done;
    pthread_t thread;
};

static void *closing_main(void *argument)
{
    struct closing *closing = argument;

    closing->number = thread_number();
    close_file(closing->file);
    closing->done = true;
    return NULL;
}

static void closing_begin(struct closing *closing)
{
    thread_begin(&closing->thread, closing_main, closing);
    EVENTUALLY(closing->number != 0 && (closing->done || thread_state(closing->number) == 'S'));
    sleep_us(5000);
}

START_TEST(a_close_waits_for_reads_that_nobody_reaps)
{
    struct bed bed = bed_open(64, 0);
    struct plan plans[24];

    make_even_plans(&bed, plans, 24);
    for (unsigned index = 0; index < 24; index += 4)
        plans[index].op.on_complete = ignore;
    for (unsigned index = 2; index < 24; index += 4)
        plans[index].op.flags = AIO_OP_WAITED;
    fault_hold(bed.rig.fault, FAULT_ALL);
    submit_all(&bed, plans, 24);
    for (unsigned which = 0; which < FILES; which++) {
        struct closing closing = {.file = bed.files[which]};

        closing_begin(&closing);
        if (which == 0) {
            REQUIRE(!closing.done);
            release_all(&bed);
        }
        thread_end(closing.thread);
    }
    EXPECT(aio_queue_drain(bed.queue, NULL), 0);
    for (unsigned index = 0; index < 24; index++) {
        struct aio_completion completion;

        if (index % 4 == 0)
            continue;
        EXPECT(aio_queue_wait_result(bed.queue, plans[index].id, &no_time, &completion), 0);
        check_whole(plans, 24, &completion);
    }
    REQUIRE_EQ(stats_of(bed.queue).callbacks, 6);
    rig_close(&bed.rig);
    free(bed.memory);
}
END_TEST

START_TEST(an_owner_closes_what_it_reads)
{
    struct bed bed = bed_open(64, AIO_QUEUE_OWNED);
    struct aio_completion completions[32];
    struct plan plans[24];

    make_even_plans(&bed, plans, 24);
    for (unsigned index = 0; index < 24; index += 4)
        plans[index].op.on_complete = ignore;
    fault_add(bed.rig.fault, (struct fault_rule){FAULT_SHORTEN, 0, .first = 5, .value = 512});
    submit_all(&bed, plans, 24);
    for (unsigned which = 0; which < FILES; which++)
        close_file(bed.files[which]);
    for (unsigned left = 18; left > 0;) {
        int64_t taken = CALL(aio_queue_reap(bed.queue, completions, 1, 5, NULL));

        REQUIRE(taken >= 0 && taken <= left);
        check_all(plans, 24, completions, taken);
        left -= (unsigned)taken;
    }
    EXPECT(aio_queue_drain(bed.queue, NULL), 0);
    REQUIRE_EQ(stats_of(bed.queue).callbacks, 6);
    rig_close(&bed.rig);
    free(bed.memory);
}
END_TEST

START_TEST(another_closes_what_an_owner_reads)
{
    struct bed bed = bed_open(64, AIO_QUEUE_OWNED);
    struct aio_completion completions[32];
    struct closing closing[FILES];
    struct plan plans[24];

    make_even_plans(&bed, plans, 24);
    fault_hold(bed.rig.fault, FAULT_ALL);
    submit_all(&bed, plans, 24);
    for (unsigned which = 0; which < FILES; which++) {
        memset(&closing[which], 0, sizeof(closing[which]));
        closing[which].file = bed.files[which];
        closing_begin(&closing[which]);
        REQUIRE(!closing[which].done);
    }
    release_all(&bed);
    EXPECT(aio_queue_reap(bed.queue, completions, 24, 32, NULL), 24);
    check_all(plans, 24, completions, 24);
    for (unsigned which = 0; which < FILES; which++)
        thread_end(closing[which].thread);
    rig_close(&bed.rig);
    free(bed.memory);
}
END_TEST

START_TEST(bytes_beyond_the_programs_end_are_not_given)
{
    static const uint32_t kinds[] = {0, AIO_QUEUE_OWNED};

    for (unsigned round = 0; round < 4; round++) {
        struct bed bed = bed_open(64, kinds[round % 2]);
        struct aio_file *grower;
        struct aio_op op = op_read(bed.files[0], bed.memory, 16 * PAGE, 0);
        struct aio_completion completion;

        op.deadline = round / 2 != 0 ? HOUR_NS : 0;
        fault_hold(bed.rig.fault, FAULT_READS);
        submit_one(bed.queue, &op);
        grower = open_there(names[0], O_RDWR, AIO_DIRECT_REQUIRED, 0, MIB);
        EXPECT(aio_file_truncate(grower, 3 * PAGE), 0);
        release_all(&bed);
        EXPECT(aio_queue_reap(bed.queue, &completion, 1, 1, NULL), 1);
        REQUIRE_EQ(completion.result, 3 * PAGE);
        close_file(grower);
        expect_idle(&bed);
        bed_close(&bed);
    }
}
END_TEST

/* The read of a file's last two pages and more has moved one of them when another handle begins to
 * extend the file ahead; its second step meets what was only made ahead. */
START_TEST(what_is_made_ahead_beside_a_read_is_not_given)
{
    const off_t end = FILE_BLOCKS * PAGE;
    struct bed bed = bed_open(8, _i % 2 != 0 ? AIO_QUEUE_OWNED : 0);
    struct aio_op read = op_read(bed.files[0], bed.memory, 8 * PAGE, end - 2 * PAGE);
    char *page = pattern_alloc(PAGE, 0, 7);
    unsigned steps = fault_steps(bed.rig.fault);
    struct aio_completion completion;
    struct aio_file *grower;

    fault_add(bed.rig.fault,
              (struct fault_rule){.kind = FAULT_SHORTEN, .opcodes = FAULT_READS, .value = PAGE});
    fault_hold(bed.rig.fault, FAULT_READS);
    submit_one(bed.queue, &read);
    grower = open_there(names[0], O_RDWR, AIO_DIRECT_REQUIRED, 0, MIB);
    EXPECT(aio_file_pwrite(grower, page, PAGE, end + 3 * PAGE), PAGE);
    await_steps(&bed, steps + 1);
    fault_release(bed.rig.fault, 1);
    await_steps(&bed, steps + 2);
    EXPECT(aio_file_pwrite(grower, page, PAGE, end), PAGE);
    if (_i / 2 == 1)
        close_file(grower);
    release_all(&bed);
    EXPECT(aio_queue_reap(bed.queue, &completion, 1, 1, NULL), 1);
    REQUIRE_EQ(completion.result, 2 * PAGE);
    pattern_check(bed.memory, 2 * PAGE, (uint64_t)(end - 2 * PAGE), 1);
    if (_i / 2 != 1)
        close_file(grower);
    expect_idle(&bed);
    bed_close(&bed);
    free(page);
}
END_TEST

struct blocking_read {
    struct aio_file *file;
    char *memory;
    ssize_t result;
};

static void *blocking_read_main(void *argument)
{
    struct blocking_read *read = argument;

    read->result = CALL(aio_file_pread(read->file, read->memory, 8 * PAGE, 0));
    return NULL;
}

/* As before, but the read has not begun; the other handle goes and comes several times. */
START_TEST(what_is_made_ahead_beside_a_blocking_read_is_not_given)
{
    struct bed bed = bed_open(8, 0);
    struct blocking_read read = {.file = bed.rig.file, .memory = bed.memory};
    char *pages = pattern_alloc(2 * PAGE, 0, 7);
    struct aio_file *grower = NULL;
    pthread_t thread;

    EXPECT(aio_file_pwrite(bed.rig.file, pages, 2 * PAGE, 0), 2 * PAGE);
    fault_stall(bed.rig.fault, FAULT_READS);
    thread_begin(&thread, blocking_read_main, &read);
    EVENTUALLY(fault_stalled(bed.rig.fault) == 1);
    for (unsigned round = 0; round < 3; round++) {
        if (grower != NULL)
            close_file(grower);
        grower = open_there("file", O_RDWR, AIO_DIRECT_REQUIRED, 0, MIB);
        EXPECT(aio_file_pwrite(grower, pages, PAGE, (3 + round) * PAGE), PAGE);
    }
    if (_i == 1)
        close_file(grower);
    fault_stall(bed.rig.fault, 0);
    thread_end(thread);
    REQUIRE_EQ(read.result, 2 * PAGE);
    pattern_check(bed.memory, 2 * PAGE, 0, 7);
    if (_i == 0)
        close_file(grower);
    bed_close(&bed);
    free(pages);
}
END_TEST

/* Reads a file that another thread makes longer. */
struct growth {
    struct aio_file *file;
    struct aio_queue *queue;
    atomic_uint_fast64_t end; /* what was written or is about to be */
    atomic_uint rounds;
    atomic_bool over;
    pthread_t thread;
};

static void *growth_main(void *argument)
{
    struct growth *growth = argument;
    char *memory = page_alloc(64 * PAGE);

    while (!growth->over) {
        struct aio_op op = op_read(growth->file, memory, 64 * PAGE, 0);
        struct aio_completion completion;

        submit_one(growth->queue, &op);
        EXPECT(aio_queue_reap(growth->queue, &completion, 1, 1, NULL), 1);
        REQUIRE(completion.result >= 0);
        REQUIRE((uint64_t)completion.result <= growth->end);
        pattern_check(memory, (uint64_t)completion.result, 0, 5);
        growth->rounds++;
    }
    free(memory);
    return NULL;
}

START_TEST(a_file_that_grows_ahead_is_read_to_its_end)
{
    struct aio_queue *queue = open_queue(8, 0);
    char *page = page_alloc(PAGE);
    struct growth growth = {.queue = queue};

    make_file("growing", PAGE, 5);
    growth.end = PAGE;
    growth.file = open_there("growing", O_RDWR, AIO_DIRECT_REQUIRED, 0, 0);
    thread_begin(&growth.thread, growth_main, &growth);
    for (unsigned block = 1; block < 40; block++) {
        struct aio_file *grower = open_there("growing", O_RDWR, AIO_DIRECT_REQUIRED, 0, MIB);
        unsigned rounds;

        pattern_fill(page, PAGE, block * PAGE, 5);
        growth.end += PAGE;
        EXPECT(aio_file_pwrite(grower, page, PAGE, (off_t)block * PAGE), PAGE);
        rounds = growth.rounds;
        EVENTUALLY(growth.rounds > rounds + 1);
        close_file(grower);
    }
    growth.over = true;
    thread_end(growth.thread);
    close_file(growth.file);
    close_queue(queue);
    free(page);
}
END_TEST

/* --- cancel and drain ----------------------------------------------------------------------- */

START_TEST(plain_reads_are_cancelled_as_others)
{
    struct bed bed = bed_open(64, queue_kinds[_i]);
    struct aio_completion completions[32];
    struct plan plans[16];
    unsigned cancelled = 0;

    make_plans(&bed, plans, 16, 2);
    fault_hold(bed.rig.fault, FAULT_ALL);
    submit_all(&bed, plans, 16);
    for (unsigned index = 0; index < 16; index += 2) {
        int64_t result = CALL(aio_queue_cancel(bed.queue, plans[index].id));

        REQUIRE(result == 0 || result == -EBUSY);
    }
    EXPECT(aio_queue_drain(bed.queue, &no_time), -ETIMEDOUT);
    release_all(&bed);
    EXPECT(aio_queue_drain(bed.queue, NULL), 0);
    EXPECT(aio_queue_cancel(bed.queue, plans[0].id), -EALREADY);
    EXPECT(aio_queue_reap(bed.queue, completions, 16, 32, NULL), 16);
    for (unsigned index = 0; index < 16; index++) {
        if (completions[index].result == -ECANCELED) {
            cancelled++;
            REQUIRE_EQ(completions[index].error, -ECANCELED);
            REQUIRE_EQ(((uintptr_t)completions[index].context - 1) % 2, 0);
        } else {
            check_whole(plans, 16, &completions[index]);
        }
    }
    REQUIRE_EQ(stats_of(bed.queue).cancelled, cancelled);
    expect_stale(bed.queue, plans[0].id);
    expect_idle(&bed);
    bed_close(&bed);
}
END_TEST

/* --- eventfd -------------------------------------------------------------------------------- */

static bool readable(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int count = poll(&poll_fd, 1, timeout_ms);

    REQUIRE(count >= 0);
    return count == 1;
}

START_TEST(an_eventfd_tells_of_plain_reads)
{
    struct bed bed = bed_open(64, queue_kinds[_i]);
    struct aio_completion completions[32];
    struct plan plans[32];
    int fd = aio_queue_eventfd(bed.queue);

    REQUIRE(fd >= 0);
    for (unsigned round = 0; round < 20; round++) {
        unsigned count = 1 + round;

        make_plans(&bed, plans, count, round);
        submit_all(&bed, plans, count);
        for (unsigned left = count; left > 0;) {
            int64_t taken;

            REQUIRE(readable(fd, LONG_MS));
            taken = CALL(aio_queue_reap(bed.queue, completions, 0, 7, NULL));
            REQUIRE(taken >= 0 && taken <= left);
            check_all(plans, count, completions, taken);
            left -= (unsigned)taken;
        }
        if ((queue_kinds[_i] & AIO_QUEUE_OWNED) == 0)
            REQUIRE(!readable(fd, 0));
        expect_idle(&bed);
    }
    close(fd);
    bed_close(&bed);
}
END_TEST

/* --- many threads --------------------------------------------------------------------------- */

enum { CROWD_READS = 4000, CROWD_REAPERS = 2, CROWD_SUBMITTERS = 2, CROWD_SPAN = 64 };

struct crowd {
    struct bed *bed;
    bool waits; /* submitters wait for some by their ids */
    char *memory;
    atomic_uint taken;
    atomic_uint next; /* submitter */
    atomic_uchar seen[CROWD_READS];
    unsigned per_submitter;
};

static void crowd_check(struct crowd *crowd, unsigned index, int64_t result)
{
    REQUIRE(index < CROWD_READS);
    REQUIRE_EQ(result, PAGE);
    REQUIRE_EQ(atomic_fetch_add(&crowd->seen[index], 1), 0);
    pattern_check(crowd->memory + (size_t)index * PAGE, PAGE, index % FILE_BLOCKS * PAGE,
                  index / 5 % FILES + 1);
    crowd->taken++;
}

static void *crowd_reaper(void *argument)
{
    struct crowd *crowd = argument;
    uint64_t seed = (uint64_t)thread_number();
    struct timespec timeout = milliseconds(5);

    while (crowd->taken < CROWD_READS) {
        struct aio_completion completions[16];
        unsigned max = 1 + (unsigned)(random_next(&seed) % 16);
        unsigned min = (unsigned)(random_next(&seed) % (max + 1));
        int64_t taken = CALL(aio_queue_reap(crowd->bed->queue, completions, min, max, &timeout));

        REQUIRE(taken >= 0 && taken <= max);
        for (int64_t index = 0; index < taken; index++)
            crowd_check(crowd, (unsigned)((uintptr_t)completions[index].context - 1),
                        completions[index].result);
    }
    return NULL;
}

static unsigned crowd_submit(struct crowd *crowd, struct aio_op *ops, unsigned count,
                             aio_request_id *ids)
{
    unsigned taken = 0;

    while (taken < count) {
        int64_t result =
            CALL(aio_queue_submit(crowd->bed->queue, ops + taken, count - taken, ids + taken));

        REQUIRE(result > 0 || result == -EBUSY);
        if (result > 0)
            taken += (unsigned)result;
        else
            sched_yield();
    }
    return taken;
}

static void *crowd_submitter(void *argument)
{
    struct crowd *crowd = argument;
    unsigned index = crowd->next++ * crowd->per_submitter;
    unsigned end = index + crowd->per_submitter;
    uint64_t seed = index;

    while (index < end) {
        struct aio_op ops[24];
        aio_request_id ids[24];
        unsigned count = 1 + (unsigned)(random_next(&seed) % 24);

        if (count > end - index)
            count = end - index;
        for (unsigned op = 0; op < count; op++) {
            ops[op] = op_read(crowd->bed->files[(index + op) / 5 % FILES],
                              crowd->memory + (size_t)(index + op) * PAGE, PAGE,
                              (int64_t)((index + op) % FILE_BLOCKS) * PAGE);
            ops[op].context = name_of(index + op);
            if (crowd->waits && random_next(&seed) % 8 == 0)
                ops[op].flags = AIO_OP_WAITED;
            if (!crowd->waits && random_next(&seed) % 16 == 0)
                ops[op].deadline = HOUR_NS;
        }
        crowd_submit(crowd, ops, count, ids);
        for (unsigned op = 0; crowd->waits && op < count; op++) {
            int64_t result;

            if (ops[op].flags == 0 && random_next(&seed) % 4 != 0)
                continue;
            result = CALL(aio_queue_wait(crowd->bed->queue, ids[op], NULL));
            if (result != -ESTALE || ops[op].flags != 0)
                crowd_check(crowd, index + op, result);
        }
        index += count;
    }
    return NULL;
}

START_TEST(many_reap_and_each_result_comes_once)
{
    static const uint32_t flags[] = {0, 0, AIO_QUEUE_TIMES};
    struct bed bed = bed_open(_i == 1 ? 16 : 64, flags[_i % 3]);
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    pthread_t reapers[CROWD_REAPERS];
    pthread_t submitters[CROWD_SUBMITTERS];

    crowd->bed = &bed;
    crowd->waits = _i % 2 == 0;
    crowd->memory = page_alloc((uint64_t)CROWD_READS * PAGE);
    crowd->per_submitter = CROWD_READS / CROWD_SUBMITTERS;
    if (_i == 2)
        fault_shorten_by_chance(bed.rig.fault, 3, 10, 512);
    if (_i == 3)
        fault_linger(bed.rig.fault, 1);
    for (unsigned index = 0; index < CROWD_REAPERS; index++)
        thread_begin(&reapers[index], crowd_reaper, crowd);
    for (unsigned index = 0; index < CROWD_SUBMITTERS; index++)
        thread_begin(&submitters[index], crowd_submitter, crowd);
    for (unsigned index = 0; index < CROWD_SUBMITTERS; index++)
        thread_end(submitters[index]);
    for (unsigned index = 0; index < CROWD_REAPERS; index++)
        thread_end(reapers[index]);
    for (unsigned index = 0; index < CROWD_READS; index++)
        REQUIRE_EQ(crowd->seen[index], 1);
    REQUIRE_EQ(stats_of(bed.queue).bytes_read, (uint64_t)CROWD_READS * PAGE);
    expect_idle(&bed);
    bed_close(&bed);
    free(crowd->memory);
    free(crowd);
}
END_TEST

/* The operation is done and its callback has run, so its file may be closed, though the submit that
 * brought it is not through yet, and has another one of the file to refuse. A sanitizer sees who
 * looks at the file then. */
struct submitting {
    struct aio_queue *queue;
    struct aio_op ops[2];
    pthread_t thread;
};

static void *submitting_main(void *argument)
{
    struct submitting *submitting = argument;

    REQUIRE_EQ(CALL(aio_queue_submit(submitting->queue, submitting->ops, 2, NULL)), 1);
    return NULL;
}

static void count_call(const struct aio_completion *completion)
{
    (*(atomic_int *)completion->context)++;
}

START_TEST(a_file_may_go_when_its_last_plain_read_is_done)
{
    struct bed bed = bed_open(8, 0);
    atomic_int called = 0;
    struct submitting submitting = {.queue = bed.queue};

    submitting.ops[0] = plan_read(&bed, 0, 0, 0).op;
    submitting.ops[0].on_complete = count_call;
    submitting.ops[0].context = &called;
    submitting.ops[1] = plan_read(&bed, 1, 0, 0).op;
    submitting.ops[1].offset = -1; /* refused, by its file */
    fault_linger(bed.rig.fault, 200);
    thread_begin(&submitting.thread, submitting_main, &submitting);
    EVENTUALLY(called == 1);
    close_file(bed.files[0]);
    thread_end(submitting.thread);
    for (unsigned index = 1; index < FILES; index++)
        close_file(bed.files[index]);
    rig_close(&bed.rig);
    free(bed.memory);
}
END_TEST

static Suite *plain_suite(void)
{
    Suite *suite = suite_create("plain");
    const int kinds = (int)COUNT(queue_kinds);

    add_loop_test(suite, "batches", each_read_of_a_batch_has_its_result, kinds);
    add_loop_test(suite, "batches", the_short_way_is_taken, kinds);
    add_loop_test(suite, "batches", ids_need_not_be_asked_for, kinds);
    add_loop_test(suite, "mixed", what_is_not_plain_goes_with_the_rest, 2 * ODDITIES);
    ADD_TESTS(suite, "slots", a_batch_is_taken_as_far_as_there_are_slots,
              a_submit_waits_for_slots_that_a_reap_frees);
    add_loop_test(suite, "results", results_come_in_the_order_of_completion, kinds);
    add_loop_test(suite, "results", results_of_both_ways_come_in_the_order_of_completion, kinds);
    add_loop_test(suite, "results", a_poll_gives_no_result_of_others, kinds);
    ADD_TESTS(suite, "results", a_reap_does_not_get_what_others_wait_for,
              who_has_some_sleeps_for_the_rest, an_owner_who_has_some_sleeps_for_the_rest,
              who_has_some_is_let_out_when_no_more_can_come,
              a_callback_is_not_kept_waiting_by_who_sleeps_for_many);
    add_loop_test(suite, "both ways", the_short_way_ends_as_the_long_one_does,
                  (int)COUNT(deeds) * kinds);
    add_loop_test(suite, "both ways", the_ends_of_what_can_be_named_are_the_same, ENDS);
    add_loop_test(suite, "faults", one_bad_read_does_no_harm_to_the_others, kinds);
    add_loop_test(suite, "faults", a_slot_keeps_nothing_of_an_operation_before, kinds);
    add_loop_test(suite, "faults", writes_between_the_reads_let_go_of_their_file, kinds);
    add_loop_test(suite, "callbacks", callbacks_read_on, 12);
    ADD_TESTS(
        suite, "files", a_close_waits_for_reads_that_nobody_reaps, an_owner_closes_what_it_reads,
        another_closes_what_an_owner_reads, bytes_beyond_the_programs_end_are_not_given,
        a_file_that_grows_ahead_is_read_to_its_end, a_file_may_go_when_its_last_plain_read_is_done);
    add_loop_test(suite, "files", what_is_made_ahead_beside_a_read_is_not_given, 4);
    add_loop_test(suite, "files", what_is_made_ahead_beside_a_blocking_read_is_not_given, 2);
    add_loop_test(suite, "cancel", plain_reads_are_cancelled_as_others, kinds);
    add_loop_test(suite, "eventfd", an_eventfd_tells_of_plain_reads, kinds);
    add_loop_test(suite, "crowd", many_reap_and_each_result_comes_once, 4);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, plain_suite);
}
