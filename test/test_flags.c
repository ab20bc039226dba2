/* SPDX-License-Identifier: MIT */
/*
 * test_flags.c - NOWAIT, HIPRI, ATOMIC and priorities, submitted and on the caller's thread: who
 * may have them, that they get to the kernel, and that what they promise is kept where the kernel
 * or the library would do something else.
 */
#include <fcntl.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fault.h"
#include "file_state.h"
#include "op.h"
#include "support.h"

/* IOPRIO_PRIO_VALUE of newer headers is no constant. */
#define PRIORITY(class, level) ((class) << IOPRIO_CLASS_SHIFT | (level))
#define REAL_TIME PRIORITY(IOPRIO_CLASS_RT, 2)
#define BEST_EFFORT PRIORITY(IOPRIO_CLASS_BE, 3)
#define LOWEST PRIORITY(IOPRIO_CLASS_BE, 7) /* IDLE may wait for ever on a busy disk */
#define IDLE PRIORITY(IOPRIO_CLASS_IDLE, 0)

/* A test that is made twice: on the caller's thread, and submitted. */
enum { WAYS = 2 };

struct answer {
    int64_t result;
    int32_t error; /* of a submitted one */
};

/* One operation, which must be taken. */
static struct answer run_by(const struct rig *rig, int submitted, struct aio_op op)
{
    struct aio_completion completion;

    op.file = rig->file;
    if (!submitted)
        return (struct answer){.result = CALL(aio_file_execute(rig->file, &op))};
    completion = run_op(rig->queue, &op);
    return (struct answer){completion.result, completion.error};
}

/* The result of one that may be refused. */
static int64_t result_by(const struct rig *rig, int submitted, struct aio_op op)
{
    aio_request_id id;
    int64_t taken;

    op.file = rig->file;
    if (!submitted)
        return CALL(aio_file_execute(rig->file, &op));
    taken = CALL(aio_queue_submit(rig->queue, &op, 1, &id));
    return taken < 0 ? taken : completion_of(rig->queue, id).result;
}

/* Sees what came of it, and, where it was submitted, why. */
static void expect(const struct rig *rig, int submitted, struct aio_op op, int64_t result,
                   int32_t error)
{
    struct answer answer = run_by(rig, submitted, op);

    REQUIRE_EQ(answer.result, result);
    if (submitted)
        REQUIRE_EQ(answer.error, error);
}

static struct aio_op with_flags(struct aio_op op, uint32_t flags)
{
    op.flags = flags;
    return op;
}

static struct aio_op with_priority(struct aio_op op, uint32_t priority)
{
    op.priority = priority;
    return op;
}

/* Fills the file with pages of pattern 1, past the fault. */
static void fill(const struct rig *rig, unsigned pages)
{
    char *memory = pattern_alloc(pages * PAGE, 0, 1);

    REQUIRE_EQ(pwrite(aio_file_fd(rig->file), memory, pages * PAGE, 0), pages * PAGE);
    free(memory);
}

/* The last step that was asked for, the only one since there were so many. */
static struct fault_seen only_step(const struct rig *rig, unsigned steps_before)
{
    REQUIRE_EQ(fault_steps(rig->fault), steps_before + 1);
    return fault_step(rig->fault, steps_before);
}

static struct aio_file_info info_of(struct aio_file *file)
{
    struct aio_file_info info = {.size = sizeof(info)};

    EXPECT(aio_file_info(file, &info), 0);
    return info;
}

static void log_to(struct aio_file *file, struct log_kept *kept)
{
    file->log = (struct log){log_keep, kept};
}

/* What a file could write untorn that can do so. */
static void make_atomic(struct aio_file *file, uint32_t min, uint32_t max)
{
    file->alignment.atomic_min = min;
    file->alignment.atomic_max = max;
    file->alignment.atomic_segments = 2;
}

/* What the kernel says to a transfer that is only looked at for that. */
static int64_t ask_kernel(struct aio_file *file, bool write, int rw_flags, uint64_t bytes,
                          int64_t offset)
{
    char *memory = page_alloc(bytes);
    struct iovec iov = {memory, bytes};
    int fd = aio_file_fd(file);
    int64_t result;

    memset(memory, 0, bytes);
    result =
        write ? pwritev2(fd, &iov, 1, offset, rw_flags) : preadv2(fd, &iov, 1, offset, rw_flags);
    if (result < 0)
        result = -errno;
    free(memory);
    return result;
}

/* --- who may have them ---------------------------------------------------------------------- */

static bool moves(uint8_t opcode)
{
    return opcode >= AIO_OP_READ && opcode <= AIO_OP_APPENDV;
}

static bool reads(uint8_t opcode)
{
    return opcode == AIO_OP_READ || opcode == AIO_OP_READV;
}

static bool may_have(uint8_t opcode, uint32_t flag)
{
    switch (flag) {
    case AIO_OP_WAITED:
    case AIO_OP_LINK:
        return true;
    case AIO_OP_NOWAIT:
    case AIO_OP_HIPRI:
        return moves(opcode);
    case AIO_OP_DSYNC:
        return moves(opcode) && !reads(opcode);
    case AIO_OP_ATOMIC:
        return opcode == AIO_OP_WRITE || opcode == AIO_OP_WRITEV;
    case AIO_OP_DRAIN:
        return opcode == AIO_OP_SYNC || opcode == AIO_OP_DATASYNC;
    default:
        return false;
    }
}

START_TEST(each_flag_belongs_to_some_opcodes)
{
    for (unsigned opcode = AIO_OP_NOP; opcode <= AIO_OP_ALLOCATE; opcode++)
        for (uint32_t flags = 0; flags < 512; flags++) {
            struct aio_op op = {.opcode = (uint8_t)opcode, .flags = flags};
            bool fine = (flags & AIO_OP_NOWAIT) == 0 || (flags & AIO_OP_HIPRI) == 0;

            for (unsigned bit = 0; bit < 9; bit++)
                if ((flags & 1u << bit) != 0)
                    fine = fine && may_have((uint8_t)opcode, 1u << bit);
            ck_assert_msg(op_check(&op) == (fine ? 0 : -EINVAL), "opcode %u, flags %x", opcode,
                          flags);
        }
}
END_TEST

static const struct {
    uint32_t priority;
    int expected;
} priorities[] = {
    {0, 0},
    {1, -EINVAL}, /* a level without a class */
    {7, -EINVAL},
    {REAL_TIME, 0},
    {PRIORITY(IOPRIO_CLASS_RT, 0), 0},
    {PRIORITY(IOPRIO_CLASS_RT, 7), 0},
    {PRIORITY(IOPRIO_CLASS_BE, 0), 0},
    {PRIORITY(IOPRIO_CLASS_BE, 7), 0},
    {IDLE, 0},
    {3 << 13 | 7, 0},
    {4 << 13, -EINVAL}, /* a class that there is not */
    {7 << 13 | 7, -EINVAL},
    {8u << 13, -EINVAL}, /* more bits than a priority has: class 0 of the lower 16 */
    {(8u + 2) << 13, -EINVAL},
    {UINT32_MAX, -EINVAL},
    {2 << 13 | 8, -EINVAL},       /* a hint of newer kernels */
    {2 << 13 | 1 << 12, -EINVAL}, /* the last of these bits */
};

START_TEST(priorities_are_those_of_the_kernel)
{
    for (unsigned opcode = AIO_OP_NOP; opcode <= AIO_OP_ALLOCATE; opcode++)
        for (size_t index = 0; index < COUNT(priorities); index++) {
            struct aio_op op = {.opcode = (uint8_t)opcode, .priority = priorities[index].priority};
            int expected = priorities[index].expected;

            if (!moves((uint8_t)opcode) && op.priority != 0)
                expected = -EINVAL;
            ck_assert_msg(op_check(&op) == expected, "opcode %u, priority %x", opcode, op.priority);
        }
}
END_TEST

START_TEST(deadlines_are_for_what_is_submitted)
{
    struct rig rig = rig_open(2, 0);
    struct aio_op op = op_nop();
    char *page = page_alloc(PAGE);

    op.deadline = INT64_MAX;
    REQUIRE_EQ(op_check(&op), 0);
    EXPECT(aio_file_execute(rig.file, &op), -EINVAL);
    op.deadline = (uint64_t)INT64_MAX + 1;
    REQUIRE_EQ(op_check(&op), -EINVAL);
    op = with_flags(op_read(rig.file, page, PAGE, 0), AIO_OP_LINK);
    REQUIRE_EQ(op_check(&op), 0);
    EXPECT(aio_file_execute(rig.file, &op), -EINVAL);
    op.flags = 0;
    op.deadline = 1;
    EXPECT(aio_file_execute(rig.file, &op), -EINVAL);
    op.deadline = 0;
    EXPECT(aio_file_execute(rig.file, &op), 0);
    free(page);
    rig_close(&rig);
}
END_TEST

/* --- that they arrive ----------------------------------------------------------------------- */

static const struct {
    uint8_t opcode;
    uint32_t flags;
    uint32_t priority;
    int32_t rw_flags;
} arrivals[] = {
    {AIO_OP_READ, 0, 0, 0},
    {AIO_OP_READ, AIO_OP_NOWAIT, 0, RWF_NOWAIT},
    {AIO_OP_READV, AIO_OP_NOWAIT, BEST_EFFORT, RWF_NOWAIT},
    {AIO_OP_READ, AIO_OP_HIPRI, 0, RWF_HIPRI},
    {AIO_OP_READV, AIO_OP_HIPRI, 0, RWF_HIPRI},
    {AIO_OP_READ, 0, BEST_EFFORT, 0},
    {AIO_OP_READ, AIO_OP_WAITED, IDLE, 0},
    {AIO_OP_WRITE, AIO_OP_NOWAIT, 0, RWF_NOWAIT},
    {AIO_OP_WRITE, AIO_OP_NOWAIT | AIO_OP_DSYNC, 0, RWF_NOWAIT | RWF_DSYNC},
    {AIO_OP_WRITEV, AIO_OP_HIPRI | AIO_OP_DSYNC, 0, RWF_HIPRI | RWF_DSYNC},
    {AIO_OP_WRITE, AIO_OP_ATOMIC, 0, RWF_ATOMIC},
    {AIO_OP_WRITEV, AIO_OP_ATOMIC | AIO_OP_DSYNC, 0, RWF_ATOMIC | RWF_DSYNC},
    {AIO_OP_WRITE, AIO_OP_ATOMIC | AIO_OP_NOWAIT, REAL_TIME, RWF_ATOMIC | RWF_NOWAIT},
    {AIO_OP_WRITE, AIO_OP_ATOMIC | AIO_OP_HIPRI, 0, RWF_ATOMIC | RWF_HIPRI},
    {AIO_OP_WRITE, 0, REAL_TIME, 0},
    {AIO_OP_APPEND, AIO_OP_NOWAIT, 0, RWF_NOWAIT},
    {AIO_OP_APPENDV, AIO_OP_DSYNC, BEST_EFFORT, RWF_DSYNC},
    {AIO_OP_APPEND, AIO_OP_HIPRI, 0, RWF_HIPRI},
};

START_TEST(they_are_in_the_step_that_the_engine_gets)
{
    struct rig rig = rig_open(2, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct iovec iov = {page, PAGE};

    fill(&rig, 4);
    make_atomic(rig.file, 512, 16 * KIB);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, FAULT_FOR_EVER, PAGE});
    for (size_t index = 0; index < COUNT(arrivals); index++) {
        unsigned before = fault_steps(rig.fault);
        bool vectors = arrivals[index].opcode == AIO_OP_READV ||
                       arrivals[index].opcode == AIO_OP_WRITEV ||
                       arrivals[index].opcode == AIO_OP_APPENDV;
        struct aio_op op = {.opcode = arrivals[index].opcode,
                            .flags = arrivals[index].flags,
                            .priority = arrivals[index].priority,
                            .buf = vectors ? (void *)&iov : page,
                            .len = vectors ? 1 : PAGE};
        struct fault_seen seen;

        expect(&rig, _i, op, PAGE, 0);
        seen = only_step(&rig, before);
        ck_assert_msg(seen.rw_flags == arrivals[index].rw_flags &&
                          seen.priority == arrivals[index].priority,
                      "line %zu: flags %x, priority %x", index, seen.rw_flags, seen.priority);
    }
    free(page);
    rig_close(&rig);
}
END_TEST

START_TEST(they_are_in_every_step)
{
    struct rig rig = rig_open(2, 0);
    char *memory = page_alloc(3 * PAGE);
    struct aio_op op = op_read(rig.file, memory, 3 * PAGE, 0);

    fill(&rig, 3);
    op.flags = AIO_OP_HIPRI;
    op.priority = BEST_EFFORT;
    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, 0, 1, FAULT_FOR_EVER, PAGE});
    expect(&rig, _i, op, 3 * PAGE, 0);
    REQUIRE_EQ(fault_steps(rig.fault), 3);
    for (unsigned step = 0; step < 3; step++) {
        REQUIRE_EQ(fault_step(rig.fault, step).rw_flags, RWF_HIPRI);
        REQUIRE_EQ(fault_step(rig.fault, step).priority, BEST_EFFORT);
    }
    pattern_check(memory, 3 * PAGE, 0, 1);
    /* The slot's next operation has none of it. */
    expect(&rig, _i, op_read(rig.file, memory, PAGE, 0), PAGE, 0);
    REQUIRE_EQ(fault_step(rig.fault, 3).rw_flags, 0);
    REQUIRE_EQ(fault_step(rig.fault, 3).priority, 0);
    free(memory);
    rig_close(&rig);
}
END_TEST

/* The descriptor for syncs is told of writeback errors: what syncs goes through another. Nothing
 * else needs one. */
START_TEST(only_what_syncs_has_a_descriptor_of_its_own)
{
    static const uint32_t flags[] = {0, AIO_OP_NOWAIT, AIO_OP_HIPRI, AIO_OP_ATOMIC, AIO_OP_DSYNC};
    struct rig rig = rig_open(2, 0);
    char *page = pattern_alloc(PAGE, 0, 1);

    make_atomic(rig.file, PAGE, PAGE);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, FAULT_FOR_EVER, PAGE});
    for (unsigned index = 0; index < COUNT(flags); index++) {
        expect(&rig, _i, with_flags(op_write(NULL, page, PAGE, 0), flags[index]), PAGE, 0);
        REQUIRE_EQ(fault_step(rig.fault, index).fd == aio_file_fd(rig.file),
                   flags[index] != AIO_OP_DSYNC);
    }
    free(page);
    rig_close(&rig);
}
END_TEST

/* Where the kernel refuses a flag it got it. */
static void agree(const struct rig *rig, int submitted, uint8_t opcode, uint32_t flags,
                  int rw_flags, int64_t offset)
{
    char *page = page_alloc(PAGE);
    struct aio_op op = {
        .opcode = opcode, .flags = flags, .buf = page, .len = PAGE, .offset = offset};
    bool write = opcode != AIO_OP_READ;
    int64_t expected = ask_kernel(rig->file, write, rw_flags, PAGE, offset);

    memset(page, 0, PAGE);
    REQUIRE_EQ(result_by(rig, submitted, op), expected);
    free(page);
}

/* The rig with a queue and calls that go to the kernel with nothing in between. */
static struct rig kernel_rig(const char *path, uint32_t direct)
{
    struct aio_file_options options = file_options();
    struct rig rig = {.queue = open_queue(4, 0)};

    options.direct = direct;
    EXPECT(aio_file_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600, &options, &rig.file), 0);
    REQUIRE_EQ(ftruncate(aio_file_fd(rig.file), 0), 0);
    return rig;
}

/* A file that is in memory, of this process alone: the same test runs on other engines beside it.
 */
static const char *memory_path(void)
{
    static char path[64];

    snprintf(path, sizeof(path), "/dev/shm/aiofile-test-flags-%d", (int)getpid());
    return path;
}

START_TEST(the_kernel_gets_them)
{
    const char *in_memory = memory_path();
    struct rig rig = kernel_rig(scratch_path("file"), AIO_DIRECT_REQUIRED);

    fill(&rig, 4);
    make_atomic(rig.file, 512, 16 * KIB);
    agree(&rig, _i, AIO_OP_WRITE, AIO_OP_ATOMIC, RWF_ATOMIC, 0);
    agree(&rig, _i, AIO_OP_WRITE, AIO_OP_ATOMIC | AIO_OP_NOWAIT, RWF_ATOMIC | RWF_NOWAIT, 0);
    agree(&rig, _i, AIO_OP_READ, AIO_OP_HIPRI, RWF_HIPRI, 0);
    agree(&rig, _i, AIO_OP_WRITE, AIO_OP_HIPRI, RWF_HIPRI, 0);
    agree(&rig, _i, AIO_OP_READ, AIO_OP_NOWAIT, RWF_NOWAIT, 0);
    /* Blocks that were never there: ext4 would have to wait. No worker may do it instead. */
    agree(&rig, _i, AIO_OP_WRITE, AIO_OP_NOWAIT, RWF_NOWAIT, 64 * PAGE);
    REQUIRE_EQ(disk_size("file"), 4 * PAGE);
    close_file(rig.file);
    close_queue(rig.queue);
    /* tmpfs of Linux 6.18 refuses NOWAIT, by the direct road as by the page cache. */
    for (uint32_t direct = 0; direct < 2; direct++) {
        rig = kernel_rig(in_memory, direct ? AIO_DIRECT_REQUIRED : AIO_DIRECT_NEVER);
        fill(&rig, 1);
        agree(&rig, _i, AIO_OP_READ, AIO_OP_NOWAIT, RWF_NOWAIT, 0);
        agree(&rig, _i, AIO_OP_WRITE, AIO_OP_NOWAIT, RWF_NOWAIT, 0);
        close_file(rig.file);
        close_queue(rig.queue);
    }
    REQUIRE_EQ(unlink(in_memory), 0);
}
END_TEST

/* --- NOWAIT: the gate ----------------------------------------------------------------------- */

/* Something that the fault keeps from its end, and so in the gate. */
static aio_request_id hold(const struct rig *rig, const struct aio_op *op)
{
    aio_request_id id;

    fault_hold(rig->fault, FAULT_WRITES);
    id = submit_one(rig->queue, op);
    EVENTUALLY(fault_held(rig->fault) == 1);
    return id;
}

static void let_go(const struct rig *rig)
{
    fault_hold(rig->fault, 0);
    fault_release(rig->fault, FAULT_FOR_EVER);
}

/* What keeps others out: somebody who waits for the held write. */
enum { UNALIGNED_WRITE, TRUNCATE, KEEPERS };

START_TEST(it_does_not_wait_at_the_gate)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    unsigned keeper = (unsigned)_i / WAYS;
    int submitted = _i % WAYS;
    struct aio_op op = {.opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = 2 * PAGE};
    struct aio_op first;
    aio_request_id held;
    aio_request_id kept;
    unsigned steps;

    fill(&rig, 4);
    REQUIRE_EQ(ftruncate(aio_file_fd(rig.file), 8 * MIB), 0);
    first = op_write(rig.file, page, PAGE, 0);
    held = hold(&rig, &first);
    if (keeper == UNALIGNED_WRITE)
        op = op_write(rig.file, page, 100, 3 * PAGE);
    kept = submit_one(rig.queue, &op);
    EVENTUALLY(rig.file->inode->gate.first != NULL);
    steps = fault_steps(rig.fault);
    expect(&rig, submitted, with_flags(op_write(rig.file, page, PAGE, PAGE), AIO_OP_NOWAIT),
           -EAGAIN, -EAGAIN);
    if (keeper == TRUNCATE) {
        op = with_flags(op_append(rig.file, page, PAGE), AIO_OP_NOWAIT);
        expect(&rig, submitted, op, -EAGAIN, -EAGAIN);
        expect(&rig, submitted, with_flags(op_write(rig.file, page, PAGE, 4 * MIB), AIO_OP_NOWAIT),
               -EAGAIN, -EAGAIN);
    }
    REQUIRE_EQ(fault_steps(rig.fault), steps);
    REQUIRE(rig.file->inode->gate.first == rig.file->inode->gate.last);
    /* Reads do not go through the gate. */
    run_by(&rig, submitted, with_flags(op_read(rig.file, page, PAGE, 0), AIO_OP_NOWAIT));
    REQUIRE_EQ(fault_steps(rig.fault), steps + 1);
    let_go(&rig);
    REQUIRE_EQ(completion_of(rig.queue, held).result, PAGE);
    REQUIRE(completion_of(rig.queue, kept).result >= 0);
    /* Now it is let in. */
    steps = fault_steps(rig.fault);
    run_by(&rig, submitted, with_flags(op_write(rig.file, page, PAGE, PAGE), AIO_OP_NOWAIT));
    REQUIRE_EQ(only_step(&rig, steps).rw_flags, RWF_NOWAIT);
    REQUIRE_EQ(rig.file->inode->gate.alone, 0);
    free(page);
    rig_close(&rig);
}
END_TEST

/* Submits an append beside the one that is held, and sees where both come. */
static void append_behind(struct rig *rig, aio_request_id held, const void *page, int64_t place)
{
    struct aio_op op = op_append(rig->file, page, PAGE);
    aio_request_id id = submit_one(rig->queue, &op);

    let_go(rig);
    REQUIRE_EQ(completion_of(rig->queue, held).offset, 0);
    REQUIRE_EQ(completion_of(rig->queue, id).offset, place);
    REQUIRE_EQ(disk_size("file"), (uint64_t)place + PAGE);
}

START_TEST(an_append_that_the_kernel_turns_away_leaves_no_hole)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op op = op_append(rig.file, page, PAGE);
    aio_request_id held = hold(&rig, &op);

    fault_hold(rig.fault, 0);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_WRITES, 1, 3, -EAGAIN});
    for (unsigned round = 0; round < 3; round++)
        expect(&rig, _i, with_flags(op, AIO_OP_NOWAIT), -EAGAIN, -EAGAIN);
    REQUIRE_EQ(fault_steps(rig.fault), 4);
    append_behind(&rig, held, page, PAGE);
    free(page);
    rig_close(&rig);
}
END_TEST

/* One that wrote a part keeps that. */
START_TEST(an_append_in_part_has_that_part)
{
    struct rig rig = rig_open(8, 0);
    char *memory = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op op = op_append(rig.file, memory, PAGE);
    aio_request_id held = hold(&rig, &op);

    fault_hold(rig.fault, 0);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_WRITES, 1, 1, PAGE});
    op = with_flags(op_append(rig.file, memory, 4 * PAGE), AIO_OP_NOWAIT);
    expect(&rig, _i, op, PAGE, -EAGAIN);
    append_behind(&rig, held, memory, 2 * PAGE);
    free(memory);
    rig_close(&rig);
}
END_TEST

/* Nor does one that turns out to be no such operation once its place is known. */
START_TEST(an_append_that_is_refused_late_leaves_no_hole)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op op = op_append(rig.file, page, PAGE);
    aio_request_id held = hold(&rig, &op);

    op = with_flags(op_append(rig.file, page, 100), AIO_OP_HIPRI);
    REQUIRE_EQ(result_by(&rig, _i, op), -EOPNOTSUPP);
    append_behind(&rig, held, page, PAGE);
    free(page);
    rig_close(&rig);
}
END_TEST

/* It has its place already when its pages are not to be had. */
START_TEST(an_append_that_the_gate_turns_away_leaves_no_hole)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op op = op_append(rig.file, page, PAGE);
    struct aio_op unaligned = op_write(rig.file, page, 100, 10);
    aio_request_id held = hold(&rig, &op);
    aio_request_id kept = submit_one(rig.queue, &unaligned);

    EVENTUALLY(rig.file->inode->gate.first != NULL);
    for (unsigned round = 0; round < 3; round++)
        expect(&rig, _i, with_flags(op, AIO_OP_NOWAIT), -EAGAIN, -EAGAIN);
    REQUIRE_EQ(fault_steps(rig.fault), 1);
    append_behind(&rig, held, page, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, kept).result, 100);
    free(page);
    rig_close(&rig);
}
END_TEST

/* --- NOWAIT: one step ----------------------------------------------------------------------- */

START_TEST(it_is_neither_bounced_nor_split)
{
    struct rig rig = rig_open(4, 0);
    char *memory = pattern_alloc(4 * PAGE, 0, 1);
    struct iovec *iov = calloc(TRANSFER_IOV_MAX + 1, sizeof(*iov));
    struct aio_op refused[] = {
        op_read(rig.file, memory + 1, PAGE, 0), /* memory that does not fit */
        op_write(rig.file, memory + 1, PAGE, 0),
        op_read(rig.file, memory, PAGE, 7), /* a place that does not */
        op_read(rig.file, memory, 100, 0),
        op_vectors(AIO_OP_READV, rig.file, iov, TRANSFER_IOV_MAX + 1, 0),
        op_vectors(AIO_OP_WRITEV, rig.file, iov, TRANSFER_IOV_MAX + 1, 0),
        op_write(rig.file, memory, 100, 0), /* a worker's, submitted; the last */
    };
    struct aio_op most = op_vectors(AIO_OP_READV, rig.file, iov, TRANSFER_IOV_MAX, 0);
    struct aio_file_info info;

    REQUIRE(iov != NULL);
    for (unsigned index = 0; index <= TRANSFER_IOV_MAX; index++)
        iov[index] = (struct iovec){memory, PAGE};
    fill(&rig, 4);
    for (size_t index = 0; index < COUNT(refused) - (_i == 0); index++)
        expect(&rig, _i, with_flags(refused[index], AIO_OP_NOWAIT), -EAGAIN, -EAGAIN);
    REQUIRE_EQ(fault_steps(rig.fault), 0);
    info = info_of(rig.file);
    REQUIRE_EQ(info.direct_reads + info.cached_reads + info.bounced_reads, 0);
    REQUIRE_EQ(info.direct_writes + info.cached_writes + info.bounced_writes, 0);
    REQUIRE_EQ(info.inflight, 0);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_READS, 1, 1, 4 * PAGE});
    run_by(&rig, _i, with_flags(most, AIO_OP_NOWAIT));
    REQUIRE_EQ(only_step(&rig, 0).len, TRANSFER_IOV_MAX);
    /* On the caller's thread the page cache is asked, in a way that does not wait. */
    if (_i == 0) {
        fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_WRITES, 1, 1, -EOPNOTSUPP});
        expect(&rig, _i, with_flags(refused[COUNT(refused) - 1], AIO_OP_NOWAIT), -EOPNOTSUPP, 0);
        REQUIRE_EQ(only_step(&rig, 1).rw_flags, RWF_NOWAIT);
    }
    free(iov);
    free(memory);
    rig_close(&rig);
}
END_TEST

START_TEST(a_part_is_given_as_it_is)
{
    struct rig rig = rig_open(4, 0);
    char *memory = page_alloc(4 * PAGE);
    struct iovec iov[2] = {{memory, PAGE}, {memory + PAGE, 3 * PAGE}};

    fill(&rig, 3);
    REQUIRE_EQ(ftruncate(aio_file_fd(rig.file), 2 * PAGE + 100), 0);
    /* What the truncate left in the page cache would be waited for. */
    REQUIRE_EQ(fsync(aio_file_fd(rig.file)), 0);
    /* The end of the file is no reason to try again. */
    expect(&rig, _i, with_flags(op_read(rig.file, memory, 4 * PAGE, 0), AIO_OP_NOWAIT),
           2 * PAGE + 100, 0);
    expect(&rig, _i, with_flags(op_vectors(AIO_OP_READV, rig.file, iov, 2, PAGE), AIO_OP_NOWAIT),
           PAGE + 100, 0);
    expect(&rig, _i, with_flags(op_read(rig.file, memory, PAGE, 4 * PAGE), AIO_OP_NOWAIT), 0, 0);
    REQUIRE_EQ(fault_steps(rig.fault), 3);
    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, 0, 1, FAULT_FOR_EVER, PAGE});
    expect(&rig, _i, with_flags(op_read(rig.file, memory, 4 * PAGE, 0), AIO_OP_NOWAIT), PAGE,
           -EAGAIN);
    expect(&rig, _i, with_flags(op_vectors(AIO_OP_READV, rig.file, iov, 2, 0), AIO_OP_NOWAIT), PAGE,
           -EAGAIN);
    REQUIRE_EQ(fault_steps(rig.fault), 5);
    /* The kernel may do the write or not: it is the fault's result that counts. */
    fault_clear(rig.fault);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, 1, PAGE});
    expect(&rig, _i, with_flags(op_write(rig.file, memory, 2 * PAGE, 0), AIO_OP_NOWAIT), PAGE,
           -EAGAIN);
    REQUIRE_EQ(fault_steps(rig.fault), 6);
    /* Nor is EAGAIN tried again. */
    fault_clear(rig.fault);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, 1, -EAGAIN});
    expect(&rig, _i, with_flags(op_read(rig.file, memory, PAGE, 0), AIO_OP_NOWAIT), -EAGAIN,
           -EAGAIN);
    REQUIRE_EQ(fault_steps(rig.fault), 7);
    free(memory);
    rig_close(&rig);
}
END_TEST

/* What the page cache does not have is not waited for. */
START_TEST(pages_that_are_not_there_are_not_waited_for)
{
    struct rig rig = kernel_rig(scratch_path("file"), AIO_DIRECT_NEVER);
    struct aio_op op = {.opcode = AIO_OP_READ, .flags = AIO_OP_NOWAIT, .len = 64 * PAGE};
    int fd = aio_file_fd(rig.file);
    char *memory = page_alloc(64 * PAGE);
    unsigned refused = 0;

    fill(&rig, 64);
    op.buf = memory;
    for (unsigned round = 0; round < 20; round++) {
        struct answer answer;

        REQUIRE_EQ(fsync(fd), 0);
        REQUIRE_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        memset(memory, 0xee, 64 * PAGE);
        answer = run_by(&rig, _i, op);
        refused += answer.result == -EAGAIN;
        REQUIRE(answer.result == -EAGAIN || answer.result > 0);
        if (answer.result > 0)
            pattern_check(memory, (uint64_t)answer.result, 0, 1);
        if (_i == 1)
            REQUIRE_EQ(answer.error, answer.result == 64 * PAGE ? 0 : -EAGAIN);
    }
    REQUIRE(refused > 0);
    /* What is there is given. */
    REQUIRE_EQ(pread(fd, memory, 64 * PAGE, 0), 64 * PAGE);
    memset(memory, 0xee, 64 * PAGE);
    expect(&rig, _i, op, 64 * PAGE, 0);
    pattern_check(memory, 64 * PAGE, 0, 1);
    free(memory);
    close_file(rig.file);
    close_queue(rig.queue);
}
END_TEST

START_TEST(a_file_is_not_extended_ahead_for_it)
{
    struct aio_file_options options = file_options();
    struct rig rig = {.fault = fault_create(test_engine, 4)};
    char *memory = pattern_alloc(4 * PAGE, 0, 1);

    rig.queue = fault_queue(rig.fault, 0);
    options.grow_ahead = MIB;
    EXPECT(
        aio_file_open(scratch_path("file"), O_RDWR | O_CREAT | O_TRUNC, 0600, &options, &rig.file),
        0);
    fault_attach(rig.fault, rig.file);
    expect(&rig, _i, with_flags(op_write(NULL, memory, PAGE, 0), AIO_OP_NOWAIT), -EAGAIN, -EAGAIN);
    expect(&rig, _i, with_flags(op_append(NULL, memory, PAGE), AIO_OP_NOWAIT), -EAGAIN, -EAGAIN);
    REQUIRE_EQ(fault_steps(rig.fault), 0);
    REQUIRE_EQ(disk_size("file"), 0);
    expect(&rig, _i, op_write(NULL, memory, 2 * PAGE, 0), 2 * PAGE, 0);
    REQUIRE_EQ(fault_steps(rig.fault), 1);
    /* Now there is room. */
    run_by(&rig, _i, with_flags(op_write(NULL, memory, PAGE, PAGE), AIO_OP_NOWAIT));
    REQUIRE_EQ(only_step(&rig, 1).rw_flags, RWF_NOWAIT);
    /* What goes beyond the program's end would need a buffer. */
    expect(&rig, _i, with_flags(op_read(NULL, memory, 4 * PAGE, 0), AIO_OP_NOWAIT), -EAGAIN,
           -EAGAIN);
    expect(&rig, _i, with_flags(op_read(NULL, memory, PAGE, 4 * PAGE), AIO_OP_NOWAIT), 0, 0);
    REQUIRE_EQ(fault_steps(rig.fault), 2);
    free(memory);
    rig_close(&rig);
}
END_TEST

/* Beside direct handles of the same file a write through the page cache is alone, and a submitted
 * one a worker's: that would be waited for. */
START_TEST(it_does_not_wait_for_a_worker)
{
    struct rig rig = rig_open(4, 0);
    struct aio_file *direct = rig.file;
    struct aio_file *cached;
    struct aio_file_options options = file_options();
    char *page = pattern_alloc(PAGE, 0, 1);
    unsigned submits;

    options.direct = AIO_DIRECT_NEVER;
    fill(&rig, 4);
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &rig.file), 0);
    fault_attach(rig.fault, rig.file);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, FAULT_FOR_EVER, -EOPNOTSUPP});
    expect(&rig, _i, with_flags(op_write(NULL, page, PAGE, 0), AIO_OP_NOWAIT),
           _i == 1 ? -EAGAIN : -EOPNOTSUPP, -EAGAIN);
    REQUIRE_EQ(fault_steps(rig.fault), _i == 1 ? 0 : 1);
    REQUIRE_EQ(rig.file->inode->gate.alone, 0);
    /* Where the engine's submit waits for writes that extend the file, this one does not. */
    fault_block_where_files_grow(rig.fault, true);
    submits = fault_submits(rig.fault);
    cached = rig.file;
    rig.file = direct;
    expect(&rig, _i, with_flags(op_write(NULL, page, PAGE, 8 * PAGE), AIO_OP_NOWAIT), -EOPNOTSUPP,
           -EOPNOTSUPP);
    REQUIRE_EQ(fault_submits(rig.fault), submits + (unsigned)_i);
    rig.file = cached;
    close_file(direct);
    /* Alone on the file it is the engine's. */
    expect(&rig, _i, with_flags(op_write(NULL, page, PAGE, 0), AIO_OP_NOWAIT), -EOPNOTSUPP,
           -EOPNOTSUPP);
    free(page);
    rig_close(&rig);
}
END_TEST

/* --- HIPRI ---------------------------------------------------------------------------------- */

START_TEST(only_what_goes_to_a_device_is_polled_for)
{
    const char *in_memory = memory_path();
    struct log_kept kept = LOG_KEPT_INIT;
    char *memory = page_alloc(2 * PAGE);
    struct rig rig;

    memset(memory, 0, 2 * PAGE);
    for (unsigned which = 0; which < 3; which++) {
        rig = kernel_rig(which == 0 ? scratch_path("file") : in_memory,
                         which == 1 ? AIO_DIRECT_NEVER : AIO_DIRECT_REQUIRED);
        log_to(rig.file, &kept);
        fill(&rig, 1);
        if (which == 0) {
            /* A write that does not fit. */
            REQUIRE_EQ(
                result_by(&rig, _i, with_flags(op_write(NULL, memory, 100, 0), AIO_OP_HIPRI)),
                -EOPNOTSUPP);
            REQUIRE_EQ(result_by(&rig, _i, with_flags(op_append(NULL, memory, 100), AIO_OP_HIPRI)),
                       -EOPNOTSUPP);
            REQUIRE_EQ(log_count(&kept), 2);
        } else {
            REQUIRE_EQ(
                result_by(&rig, _i, with_flags(op_write(NULL, memory, PAGE, 0), AIO_OP_HIPRI)),
                -EOPNOTSUPP);
            REQUIRE_EQ(
                result_by(&rig, _i, with_flags(op_read(NULL, memory, PAGE, 0), AIO_OP_HIPRI)),
                -EOPNOTSUPP);
            REQUIRE_EQ(log_count(&kept), 2);
        }
        REQUIRE(log_has(&kept, "AIO_OP_HIPRI") && kept.level == AIO_LOG_ERROR);
        log_clear(&kept);
        REQUIRE_EQ(info_of(rig.file).inflight, 0);
        close_file(rig.file);
        close_queue(rig.queue);
    }
    REQUIRE_EQ(unlink(in_memory), 0);
    free(memory);
}
END_TEST

START_TEST(what_is_in_memory_is_not_polled_for)
{
    struct rig rig = rig_open(4, 0);
    char *memory = pattern_alloc(2 * PAGE, 0, 2);
    unsigned steps;

    fill(&rig, 4);
    /* A read that is rounded outward goes to the device. */
    expect(&rig, _i, with_flags(op_read(NULL, memory, 100, 7), AIO_OP_HIPRI), 100, 0);
    pattern_check(memory, 100, 7, 1);
    REQUIRE_EQ(only_step(&rig, 0).rw_flags, RWF_HIPRI);
    /* One that has to see what is only in the page cache does not. */
    pattern_fill(memory, 2 * PAGE, 0, 2);
    EXPECT(aio_file_pwrite(rig.file, memory, 100, 0), 100);
    steps = fault_steps(rig.fault);
    expect(&rig, _i, with_flags(op_read(NULL, memory, PAGE, 0), AIO_OP_HIPRI), PAGE, 0);
    pattern_check(memory, 100, 0, 2);
    REQUIRE_EQ(only_step(&rig, steps).rw_flags, 0);
    free(memory);
    rig_close(&rig);
}
END_TEST

/* --- ATOMIC --------------------------------------------------------------------------------- */

START_TEST(untorn_writes_are_refused_where_there_are_none)
{
    const char *in_memory = memory_path();
    static const struct {
        bool in_memory;
        uint32_t direct;
        int flags;
        uint32_t max;
        const char *word;
    } table[] = {
        {false, AIO_DIRECT_REQUIRED, 0, 0, "no size"},
        {false, AIO_DIRECT_REQUIRED, O_APPEND, 16 * KIB, "O_APPEND"},
        {false, AIO_DIRECT_NEVER, 0, 16 * KIB, "directly"},
        {true, AIO_DIRECT_REQUIRED, 0, 16 * KIB, "directly"},
    };
    struct log_kept kept = LOG_KEPT_INIT;
    char *page = page_alloc(PAGE);
    struct iovec iov = {page, PAGE};

    memset(page, 0, PAGE);
    for (size_t index = 0; index < COUNT(table); index++) {
        const char *path = table[index].in_memory ? in_memory : scratch_path("file");
        struct aio_file_options options = file_options();
        struct rig rig = {.queue = open_queue(4, 0)};

        options.direct = table[index].direct;
        EXPECT(aio_file_open(path, O_RDWR | O_CREAT | O_TRUNC | table[index].flags, 0600, &options,
                             &rig.file),
               0);
        make_atomic(rig.file, 512, table[index].max);
        log_to(rig.file, &kept);
        REQUIRE_EQ(result_by(&rig, _i, with_flags(op_write(NULL, page, PAGE, 0), AIO_OP_ATOMIC)),
                   -EOPNOTSUPP);
        REQUIRE_EQ(result_by(&rig, _i,
                             with_flags(op_vectors(AIO_OP_WRITEV, NULL, &iov, 1, 0),
                                        AIO_OP_ATOMIC | AIO_OP_NOWAIT)),
                   -EOPNOTSUPP);
        ck_assert_msg(log_has(&kept, table[index].word) && log_has(&kept, "AIO_OP_ATOMIC"),
                      "line %zu: %s", index, kept.last);
        REQUIRE_EQ(log_count(&kept), 2);
        log_clear(&kept);
        REQUIRE_EQ(info_of(rig.file).inflight, 0);
        REQUIRE_EQ(aio_file_size(rig.file), 0);
        close_file(rig.file);
        close_queue(rig.queue);
    }
    REQUIRE_EQ(unlink(in_memory), 0);
    free(page);
}
END_TEST

START_TEST(untorn_writes_have_their_shape)
{
    static const struct {
        uint64_t length;
        int64_t offset;
        unsigned vectors; /* 0: one buffer */
        unsigned misplaced;
        int64_t result;
        const char *word;
    } table[] = {
        {PAGE, 0, 0, 0, PAGE, NULL},
        {2 * PAGE, 6 * PAGE, 0, 0, 2 * PAGE, NULL},
        {4 * PAGE, 4 * PAGE, 0, 0, 4 * PAGE, NULL},
        {4 * PAGE, 4 * PAGE, 1, 0, 4 * PAGE, NULL},
        {4 * PAGE, 4 * PAGE, 2, 0, 4 * PAGE, NULL},
        {0, 0, 0, 0, -EINVAL, "atomic_write_min, 1024:"},
        {512, 0, 0, 0, -EINVAL, "512, is less than atomic_write_min, 1024:"},
        {8 * PAGE, 0, 0, 0, -EINVAL, "32768, is more than atomic_write_max, 16384:"},
        {3 * PAGE, 0, 0, 0, -EINVAL, "12288, is no power of two"},
        {2048, 0, 0, 0, -EINVAL, "2048, is not a multiple of direct_alignment, 4096:"},
        {PAGE + 1, 0, 0, 0, -EINVAL, "length, 4097, is no power"},
        {2 * PAGE, PAGE, 0, 0, -EINVAL, "offset, 4096, is not a multiple of the length, 8192:"},
        {PAGE, 512, 0, 0, -EINVAL, "offset, 512"},
        {4 * PAGE, 0, 3, 0, -EINVAL, "vectors, 3, is more than atomic_write_segments, 2:"},
        {PAGE, 0, 0, 1, -EINVAL, "memory address"},
        {2 * PAGE, 0, 1, 1, -EINVAL, "memory address"},
        {PAGE, -(int64_t)PAGE, 0, 0, -EINVAL, NULL},
    };
    struct rig rig = rig_open(4, 0);
    struct log_kept kept = LOG_KEPT_INIT;
    char *memory = page_alloc(16 * PAGE);

    fill(&rig, 8);
    make_atomic(rig.file, 1024, 4 * PAGE);
    rig.file->direct_alignment = PAGE;
    log_to(rig.file, &kept);
    for (size_t index = 0; index < COUNT(table); index++) {
        char *from = memory + table[index].misplaced;
        struct iovec iov[3] = {{from, PAGE}, {from + PAGE, PAGE}, {from, table[index].length}};
        struct aio_op op = op_write(NULL, from, table[index].length, table[index].offset);
        unsigned steps = fault_steps(rig.fault);
        int64_t result;

        if (table[index].vectors > 0) {
            iov[2].iov_len -= (table[index].vectors - 1) * PAGE;
            op = op_vectors(AIO_OP_WRITEV, NULL, iov + 3 - table[index].vectors,
                            table[index].vectors, table[index].offset);
        }
        fault_clear(rig.fault);
        fault_add(rig.fault,
                  (struct fault_rule){FAULT_RESULT, 0, 1, 1, (int64_t)table[index].length});
        result = result_by(&rig, _i, with_flags(op, AIO_OP_ATOMIC));
        ck_assert_msg(result == table[index].result, "line %zu: %lld, %s", index, (long long)result,
                      kept.last);
        if (result > 0)
            REQUIRE_EQ(only_step(&rig, steps).rw_flags, RWF_ATOMIC);
        else
            REQUIRE_EQ(fault_steps(rig.fault), steps);
        if (table[index].word != NULL)
            ck_assert_msg(log_has(&kept, table[index].word), "line %zu: %s", index, kept.last);
        log_clear(&kept);
    }
    REQUIRE_EQ(info_of(rig.file).bounced_writes, 0);
    free(memory);
    rig_close(&rig);
}
END_TEST

START_TEST(an_untorn_write_is_never_gone_on_with)
{
    struct rig rig = rig_open(4, 0);
    char *memory = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op op = with_flags(op_write(NULL, memory, 4 * PAGE, 0), AIO_OP_ATOMIC);

    fill(&rig, 4);
    make_atomic(rig.file, PAGE, 4 * PAGE);
    for (unsigned nowait = 0; nowait < 2; nowait++) {
        unsigned steps = fault_steps(rig.fault);

        fault_clear(rig.fault);
        fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, 1, 2 * PAGE});
        op.flags = AIO_OP_ATOMIC | (nowait ? AIO_OP_NOWAIT : 0);
        expect(&rig, _i, op, -EIO, -EIO);
        REQUIRE_EQ(fault_steps(rig.fault), steps + 1);
    }
    /* What was not begun may be tried again, submitted. */
    if (_i == 1) {
        unsigned steps = fault_steps(rig.fault);

        op.flags = AIO_OP_ATOMIC;
        fault_clear(rig.fault);
        fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, 2, -EAGAIN});
        fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 3, 1, 4 * PAGE});
        expect(&rig, _i, op, 4 * PAGE, 0);
        REQUIRE_EQ(fault_steps(rig.fault), steps + 3);
        REQUIRE_EQ(fault_step(rig.fault, steps + 2).rw_flags, RWF_ATOMIC);
    }
    free(memory);
    rig_close(&rig);
}
END_TEST

/* --- priorities ----------------------------------------------------------------------------- */

static int own_priority(void)
{
    /* In a signal handler, too: it does nothing but enter the kernel.
     * NOLINTNEXTLINE(bugprone-signal-handler) */
    return (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
}

static void set_own_priority(int priority)
{
    REQUIRE_EQ(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority), 0);
}

/* The real-time class takes a privilege: that it is refused without shows that it was asked for. */
START_TEST(a_class_that_is_not_allowed_is_refused)
{
    struct rig rig = kernel_rig(scratch_path("file"), AIO_DIRECT_REQUIRED);
    char *page = page_alloc(PAGE);
    struct iovec iov = {page, PAGE};
    struct aio_op vectors = op_vectors(AIO_OP_READV, NULL, &iov, 1, 0);
    bool root = geteuid() == 0;

    fill(&rig, 1);
    expect(&rig, _i, op_read(NULL, page, PAGE, 0), PAGE, 0);
    if (root) {
        expect(&rig, _i, with_priority(op_read(NULL, page, PAGE, 0), REAL_TIME), PAGE, 0);
        REQUIRE_EQ(seteuid(65534), 0);
    }
    expect(&rig, _i, with_priority(op_read(NULL, page, PAGE, 0), REAL_TIME), -EPERM, -EPERM);
    expect(&rig, _i, with_priority(vectors, REAL_TIME), -EPERM, -EPERM);
    expect(&rig, _i, with_priority(op_write(NULL, page, PAGE, 0), REAL_TIME), -EPERM, -EPERM);
    REQUIRE_EQ(own_priority(), 0);
    expect(&rig, _i, with_priority(vectors, BEST_EFFORT), PAGE, 0);
    expect(&rig, _i, with_priority(op_write(NULL, page, PAGE, 0), LOWEST), PAGE, 0);
    expect(&rig, _i, op_read(NULL, page, PAGE, 0), PAGE, 0);
    if (root)
        REQUIRE_EQ(seteuid(0), 0);
    free(page);
    close_file(rig.file);
    close_queue(rig.queue);
}
END_TEST

static volatile sig_atomic_t priority_in_call = -1;

/* Comes while the kernel is still in the write. */
static void note_priority(int number)
{
    (void)number;
    priority_in_call = own_priority();
}

START_TEST(a_blocking_call_has_its_priority_and_gives_it_back)
{
    static const int befores[] = {0, BEST_EFFORT, REAL_TIME, IDLE};
    struct rig rig = kernel_rig(scratch_path("file"), AIO_DIRECT_REQUIRED);
    char *page = page_alloc(PAGE);
    struct aio_op op = op_write(NULL, page, PAGE, 4 * PAGE);
    const struct rlimit limit = {4 * PAGE, RLIM_INFINITY};
    bool root = geteuid() == 0;

    memset(page, 0, PAGE);
    fill(&rig, 1);
    REQUIRE(signal(SIGXFSZ, note_priority) != SIG_ERR);
    REQUIRE_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (size_t index = 0; index < COUNT(befores); index++) {
        if (befores[index] == REAL_TIME && !root)
            continue;
        set_own_priority(befores[index]);
        for (uint32_t level = 0; level < 8; level++) {
            int priority = PRIORITY(IOPRIO_CLASS_BE, level);

            priority_in_call = -1;
            EXPECT(aio_file_execute(rig.file, &(struct aio_op){.opcode = AIO_OP_READ,
                                                               .buf = page,
                                                               .len = PAGE,
                                                               .priority = (uint32_t)priority}),
                   PAGE);
            REQUIRE_EQ(own_priority(), befores[index]);
            op.priority = (uint32_t)priority;
            EXPECT(aio_file_execute(rig.file, &op), -EFBIG);
            REQUIRE_EQ(priority_in_call, priority);
            REQUIRE_EQ(own_priority(), befores[index]);
        }
        op.priority = 0;
        EXPECT(aio_file_execute(rig.file, &op), -EFBIG);
        REQUIRE_EQ(priority_in_call, befores[index]);
    }
    set_own_priority(0);
    free(page);
    close_file(rig.file);
    close_queue(rig.queue);
}
END_TEST

/* A thread that could not get its priority back keeps it. */
START_TEST(a_priority_that_cannot_be_given_back_is_not_taken)
{
    struct rig rig = kernel_rig(scratch_path("file"), AIO_DIRECT_REQUIRED);
    char *page = page_alloc(PAGE);

    fill(&rig, 1);
    if (geteuid() == 0) {
        set_own_priority(REAL_TIME);
        REQUIRE_EQ(seteuid(65534), 0);
        expect(&rig, 0, with_priority(op_read(NULL, page, PAGE, 0), IDLE), -EPERM, 0);
        REQUIRE_EQ(own_priority(), REAL_TIME);
        expect(&rig, 0, with_priority(op_read(NULL, page, PAGE, 0), REAL_TIME), PAGE, 0);
        REQUIRE_EQ(own_priority(), REAL_TIME);
        REQUIRE_EQ(seteuid(0), 0);
    }
    free(page);
    close_file(rig.file);
    close_queue(rig.queue);
}
END_TEST

static Suite *flags_suite(void)
{
    Suite *suite = suite_create("flags");

    ADD_TESTS(suite, "check", each_flag_belongs_to_some_opcodes, priorities_are_those_of_the_kernel,
              deadlines_are_for_what_is_submitted);
    add_loop_test(suite, "arrive", they_are_in_the_step_that_the_engine_gets, WAYS);
    add_loop_test(suite, "arrive", they_are_in_every_step, WAYS);
    add_loop_test(suite, "arrive", only_what_syncs_has_a_descriptor_of_its_own, WAYS);
    add_loop_test(suite, "arrive", the_kernel_gets_them, WAYS);
    add_loop_test(suite, "nowait", it_does_not_wait_at_the_gate, KEEPERS * WAYS);
    add_loop_test(suite, "nowait", an_append_that_the_kernel_turns_away_leaves_no_hole, WAYS);
    add_loop_test(suite, "nowait", an_append_that_the_gate_turns_away_leaves_no_hole, WAYS);
    add_loop_test(suite, "nowait", an_append_in_part_has_that_part, WAYS);
    add_loop_test(suite, "hipri", an_append_that_is_refused_late_leaves_no_hole, WAYS);
    add_loop_test(suite, "nowait", it_is_neither_bounced_nor_split, WAYS);
    add_loop_test(suite, "nowait", a_part_is_given_as_it_is, WAYS);
    add_loop_test(suite, "nowait", pages_that_are_not_there_are_not_waited_for, WAYS);
    add_loop_test(suite, "nowait", a_file_is_not_extended_ahead_for_it, WAYS);
    add_loop_test(suite, "nowait", it_does_not_wait_for_a_worker, WAYS);
    add_loop_test(suite, "hipri", only_what_goes_to_a_device_is_polled_for, WAYS);
    add_loop_test(suite, "hipri", what_is_in_memory_is_not_polled_for, WAYS);
    add_loop_test(suite, "atomic", untorn_writes_are_refused_where_there_are_none, WAYS);
    add_loop_test(suite, "atomic", untorn_writes_have_their_shape, WAYS);
    add_loop_test(suite, "atomic", an_untorn_write_is_never_gone_on_with, WAYS);
    add_loop_test(suite, "priority", a_class_that_is_not_allowed_is_refused, WAYS);
    ADD_TESTS(suite, "priority", a_blocking_call_has_its_priority_and_gives_it_back,
              a_priority_that_cannot_be_given_back_is_not_taken);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, flags_suite);
}
