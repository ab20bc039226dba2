/* SPDX-License-Identifier: MIT */
/*
 * test_partial.c - transfers that the kernel moves in parts: every form, blocking and submitted,
 * direct, through bounce buffers and through the page cache; short by the fault's doing and by the
 * kernel's own, which a limit on the size of files makes stop in the middle.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

#define TOTAL ((int64_t)8 * PAGE)
#define ODD 3 /* what does not fit, in bytes */

enum way {
    WAY_BLOCKING,
    WAY_WAIT,
    WAY_REAP,
    WAY_CALLBACK,
    WAYS,
};

static const uint8_t forms[] = {AIO_OP_READ,  AIO_OP_WRITE,  AIO_OP_APPEND,
                                AIO_OP_READV, AIO_OP_WRITEV, AIO_OP_APPENDV};

struct outcome {
    int64_t result;
    int error; /* 0 for blocking calls: the reason is not told */
};

/* --- one transfer --------------------------------------------------------------------------- */

/* The road of it, by what the file is and what fits. */
enum kind {
    KIND_DIRECT,
    KIND_CACHED,    /* not a direct file */
    KIND_BOUNCED,   /* the memory does not fit */
    KIND_UNALIGNED, /* the place does not fit: reads bounce, writes go through the page cache */
};

struct bench {
    enum kind kind;
    struct rig rig;
    char *room;
    char *memory;            /* in it, TOTAL bytes and one more page */
    struct iovec vectors[6]; /* of it */
    unsigned vector_count;
};

static bool reads(uint8_t form)
{
    return form == AIO_OP_READ || form == AIO_OP_READV;
}

static bool vectors(uint8_t form)
{
    return form == AIO_OP_READV || form == AIO_OP_WRITEV || form == AIO_OP_APPENDV;
}

/* Opens the file anew, as the test wants it: sectors of 512 bytes, or no direct I/O at all. */
static struct bench bench_open(enum kind kind)
{
    struct bench bench = {
        .kind = kind, .rig = rig_open(4, 0), .room = page_alloc(TOTAL + 2 * PAGE)};
    struct aio_file_options options = file_options();
    static const unsigned pages[] = {1, 2, 0, 3, 2};
    char *place;

    bench.memory = bench.room + (kind == KIND_BOUNCED ? 1 : 0);
    place = bench.memory;
    close_file(bench.rig.file);
    options.direct = kind == KIND_CACHED ? AIO_DIRECT_NEVER : AIO_DIRECT_REQUIRED;
    options.alignment = kind == KIND_CACHED ? 0 : 512;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &bench.rig.file), 0);
    fault_attach(bench.rig.fault, bench.rig.file);
    for (unsigned index = 0; index < COUNT(pages); index++) {
        bench.vectors[bench.vector_count++] = (struct iovec){place, pages[index] * PAGE};
        place += pages[index] * PAGE;
    }
    return bench;
}

static void bench_close(struct bench *bench)
{
    rig_close(&bench->rig);
    free(bench->room);
}

/* Where the transfer begins: appends need it to be the end. */
static int64_t place_of(const struct bench *bench, uint8_t form)
{
    int64_t pages = form == AIO_OP_APPEND || form == AIO_OP_APPENDV ? 2 : 1;

    return pages * PAGE + (bench->kind == KIND_UNALIGNED ? ODD : 0);
}

/* Makes file and memory ready for a form. */
static void bench_prepare(struct bench *bench, uint8_t form)
{
    fault_clear(bench->rig.fault);
    EXPECT(aio_file_sync(bench->rig.file), 0); /* reads follow no write of before */
    if (reads(form)) {
        make_file("file", (uint64_t)(place_of(bench, form) + TOTAL + PAGE), 1);
        memset(bench->memory, 0, TOTAL + PAGE);
    } else {
        make_file("file", (uint64_t)place_of(bench, form), 2);
        pattern_fill(bench->memory, TOTAL, (uint64_t)place_of(bench, form), 1);
    }
}

static atomic_int callbacks;
static struct outcome callback_outcome;

static void keep_outcome(const struct aio_completion *completion)
{
    callback_outcome = (struct outcome){completion->result, completion->error};
    callbacks++;
}

static struct outcome run(struct bench *bench, uint8_t form, enum way way)
{
    struct aio_file *file = bench->rig.file;
    struct aio_queue *queue = bench->rig.queue;
    struct aio_op op = {.opcode = form,
                        .file = file,
                        .buf = bench->memory,
                        .len = TOTAL,
                        .offset = place_of(bench, form)};
    struct aio_completion completion;

    if (vectors(form)) {
        op.iov = bench->vectors;
        op.len = bench->vector_count;
    }
    switch (way) {
    case WAY_BLOCKING:
        return (struct outcome){CALL(aio_file_execute(file, &op)), 0};
    case WAY_WAIT:
        completion = run_op(queue, &op);
        break;
    case WAY_REAP:
        submit_one(queue, &op);
        EXPECT(aio_queue_reap(queue, &completion, 1, 1, NULL), 1);
        break;
    default:
        callbacks = 0;
        op.on_complete = keep_outcome;
        submit_one(queue, &op);
        EXPECT(aio_queue_drain(queue, NULL), 0);
        REQUIRE_EQ(callbacks, 1);
        return callback_outcome;
    }
    return (struct outcome){completion.result, completion.error};
}

/* Sees that so many bytes were moved and no other. */
static void check_moved(struct bench *bench, uint8_t form, int64_t bytes)
{
    uint64_t place = (uint64_t)place_of(bench, form);

    if (reads(form)) {
        pattern_check(bench->memory, (uint64_t)bytes, place, 1);
        zeros_check(bench->memory + bytes, (uint64_t)(TOTAL + PAGE - bytes));
        return;
    }
    disk_check_pattern("file", 0, place, 2);
    disk_check_pattern("file", place, (uint64_t)bytes, 1);
    REQUIRE_EQ(disk_size("file"), place + (uint64_t)bytes);
}

/* --- parts ---------------------------------------------------------------------------------- */

/* How the first steps are shortened; 0 ends it. */
static const int64_t cuts_direct[][6] = {
    {512},
    {4096, 4096, 4096, 4096},
    {512, 8192, 1024},
    {28672, 512},
    {4096, 8192},
    {12288, 4096},
    {512, 512, 512, 512},
    {4608, 4608, 4608},
    {32256},
    {1000},
    {5000, 5000, 5000},
    {513, 1023, 4095},
};

static const int64_t cuts_cached[][6] = {
    {1},       {4095, 1, 1},      {1, 4095, 8192, 1}, {32767}, {5000, 5000, 5000},
    {100, 10}, {12288, 1, 12287},
};

static void check_cut(struct bench *bench, const int64_t cut[6], uint8_t form, enum way way)
{
    struct outcome outcome;

    bench_prepare(bench, form);
    for (uint32_t step = 0; step < 6 && cut[step] > 0; step++)
        fault_add(bench->rig.fault,
                  (struct fault_rule){FAULT_SHORTEN, 0, step + 1, .value = cut[step]});
    outcome = run(bench, form, way);
    ck_assert_msg(outcome.result == TOTAL && outcome.error == 0,
                  "kind %d, cut %lld ..., form %d, way %d: %lld, %d", (int)bench->kind,
                  (long long)cut[0], form, (int)way, (long long)outcome.result, outcome.error);
    check_moved(bench, form, TOTAL);
}

static void check_cuts(enum kind kind, const int64_t (*cuts)[6], size_t count)
{
    struct bench bench = bench_open(kind);

    for (size_t cut = 0; cut < count; cut++)
        for (size_t form = 0; form < COUNT(forms); form++)
            for (enum way way = 0; way < WAYS; way++) {
                /* Two parts of a direct read that are less than a sector are an end. */
                if (cuts == cuts_cached && kind != KIND_CACHED && reads(forms[form]))
                    continue;
                check_cut(&bench, cuts[cut], forms[form], way);
            }
    bench_close(&bench);
}

START_TEST(direct_transfers_in_parts_are_whole)
{
    check_cuts(KIND_DIRECT, cuts_direct, COUNT(cuts_direct));
}
END_TEST

START_TEST(cached_transfers_in_parts_are_whole)
{
    check_cuts(KIND_CACHED, cuts_cached, COUNT(cuts_cached));
    check_cuts(KIND_CACHED, cuts_direct, COUNT(cuts_direct));
}
END_TEST

START_TEST(bounced_transfers_in_parts_are_whole)
{
    check_cuts(KIND_BOUNCED, cuts_direct, COUNT(cuts_direct));
}
END_TEST

START_TEST(unaligned_transfers_in_parts_are_whole)
{
    check_cuts(KIND_UNALIGNED, cuts_direct, COUNT(cuts_direct));
    check_cuts(KIND_UNALIGNED, cuts_cached, COUNT(cuts_cached));
}
END_TEST

START_TEST(one_sector_at_a_time)
{
    static const enum kind kinds[] = {KIND_DIRECT, KIND_BOUNCED, KIND_UNALIGNED};

    for (size_t kind = 0; kind < COUNT(kinds); kind++) {
        struct bench bench = bench_open(kinds[kind]);

        for (size_t form = 0; form < COUNT(forms); form++) {
            bench_prepare(&bench, forms[form]);
            fault_add(bench.rig.fault,
                      (struct fault_rule){FAULT_SHORTEN, 0, 1, FAULT_FOR_EVER, 512});
            REQUIRE_EQ(run(&bench, forms[form], WAY_WAIT).result, TOTAL);
            check_moved(&bench, forms[form], TOTAL);
        }
        bench_close(&bench);
    }
}
END_TEST

START_TEST(many_transfers_in_parts_at_once)
{
    enum { OPERATIONS = 32 };
    struct fault *fault = fault_create(test_engine, OPERATIONS);
    struct aio_queue *queue = fault_queue(fault, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(OPERATIONS * 16 * PAGE, 0, 1);
    struct aio_op writes[OPERATIONS];
    struct aio_completion completions[OPERATIONS];

    for (unsigned round = 0; round < 20; round++) {
        pattern_fill(bytes, OPERATIONS * 16 * PAGE, 0, round);
        fault_shorten_by_chance(fault, round, 2, 512);
        for (unsigned index = 0; index < OPERATIONS; index++)
            writes[index] = op_write(file, bytes + index * 16 * PAGE, 16 * PAGE, index * 16 * PAGE);
        EXPECT(aio_queue_submit(queue, writes, OPERATIONS, NULL), OPERATIONS);
        EXPECT(aio_queue_reap(queue, completions, OPERATIONS, OPERATIONS, NULL), OPERATIONS);
        for (unsigned index = 0; index < OPERATIONS; index++)
            REQUIRE_EQ(completions[index].result, 16 * PAGE);
        disk_check_pattern("file", 0, OPERATIONS * 16 * PAGE, round);
    }
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

/* --- parts, then something else ------------------------------------------------------------- */

/* After a first part of 8192 bytes (or none), a step gives a result; what is to come of it for
 * reads and writes. The error is the one that a completion tells. */
static const struct trouble {
    bool part;
    int64_t step;
    struct outcome read;
    struct outcome write;
    bool continues;      /* the operation is whole in the end */
    bool blocking_fails; /* but a blocking one gives up: with what it has moved, or the error */
} troubles[] = {
    {false, -EIO, {-EIO, -EIO}, {-EIO, -EIO}, false, false},
    {true, -EIO, {-EIO, -EIO}, {8192, -EIO}, false, false},
    {false, -ENOSPC, {-ENOSPC, -ENOSPC}, {-ENOSPC, -ENOSPC}, false, false},
    {true, -ENOSPC, {-ENOSPC, -ENOSPC}, {8192, -ENOSPC}, false, false},
    {false, 0, {0, 0}, {-EIO, -EIO}, false, false},
    {true, 0, {8192, 0}, {8192, -EIO}, false, false},
    {false, -EINTR, {TOTAL, 0}, {TOTAL, 0}, true, false},
    {true, -EINTR, {TOTAL, 0}, {TOTAL, 0}, true, false},
    {false, -EAGAIN, {TOTAL, 0}, {TOTAL, 0}, true, true},
    {true, -EAGAIN, {TOTAL, 0}, {TOTAL, 0}, true, true},
    {false, 1 << 20, {-EIO, -EIO}, {-EIO, -EIO}, false, false}, /* more than was asked for */
};

static struct outcome trouble_expected(const struct bench *bench, const struct trouble *trouble,
                                       uint8_t form, enum way way)
{
    struct outcome expected = reads(form) ? trouble->read : trouble->write;
    /* A worker has nothing in flight that could make room, no more than a blocking call. */
    bool worker = bench->kind == KIND_UNALIGNED && !reads(form);

    if (bench->kind == KIND_UNALIGNED && reads(form) && expected.result == 8192)
        expected.result -= ODD; /* what was read before it begins at a sector */
    if ((way == WAY_BLOCKING || worker) && trouble->blocking_fails) {
        expected.result = trouble->part && !reads(form) ? 8192 : trouble->step;
        expected.error = (int)trouble->step;
    }
    if (way == WAY_BLOCKING)
        expected.error = 0;
    return expected;
}

static void check_trouble(struct bench *bench, size_t line, uint8_t form, enum way way)
{
    const struct trouble *trouble = &troubles[line];
    struct outcome expected = trouble_expected(bench, trouble, form, way);
    struct outcome outcome;

    bench_prepare(bench, form);
    if (trouble->part)
        fault_add(bench->rig.fault, (struct fault_rule){FAULT_SHORTEN, .value = 8192});
    fault_add(bench->rig.fault,
              (struct fault_rule){FAULT_RESULT, 0, trouble->part ? 2 : 1, .value = trouble->step});
    outcome = run(bench, form, way);
    ck_assert_msg(outcome.result == expected.result && outcome.error == expected.error,
                  "kind %d line %zu opcode %d way %d: %lld, %d", (int)bench->kind, line, form,
                  (int)way, (long long)outcome.result, outcome.error);
    if (outcome.result >= 0)
        check_moved(bench, form, outcome.result);
    else if (!reads(form))
        check_moved(bench, form, 0);
}

START_TEST(trouble_after_a_part_is_as_the_table_says)
{
    static const enum kind kinds[] = {KIND_DIRECT, KIND_BOUNCED, KIND_UNALIGNED};
    struct bench bench = bench_open(kinds[_i]);

    for (size_t line = 0; line < COUNT(troubles); line++)
        for (size_t form = 0; form < COUNT(forms); form++)
            for (enum way way = 0; way < WAYS; way++)
                check_trouble(&bench, line, forms[form], way);
    bench_close(&bench);
}
END_TEST

START_TEST(a_cursor_moves_by_what_was_moved)
{
    struct bench bench = bench_open(KIND_DIRECT);
    struct aio_file *file = bench.rig.file;

    bench_prepare(&bench, AIO_OP_WRITE);
    EXPECT(aio_file_seek(file, PAGE, SEEK_SET), PAGE);
    fault_add(bench.rig.fault, (struct fault_rule){FAULT_SHORTEN, .value = 8192});
    fault_add(bench.rig.fault, (struct fault_rule){FAULT_RESULT, 0, 2, 2, -ENOSPC});
    EXPECT(aio_file_write(file, bench.memory, TOTAL), 8192);
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), PAGE + 8192);
    EXPECT(aio_file_write(file, bench.memory + 8192, TOTAL - 8192), -ENOSPC);
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), PAGE + 8192);
    EXPECT(aio_file_writev(file, &(struct iovec){bench.memory + 8192, TOTAL - 8192}, 1),
           TOTAL - 8192);
    check_moved(&bench, AIO_OP_WRITE, TOTAL);
    bench_close(&bench);
}
END_TEST

START_TEST(the_next_append_starts_where_the_short_one_ended)
{
    struct bench bench = bench_open(KIND_DIRECT);
    struct aio_op append = op_append(bench.rig.file, bench.memory + 8192, TOTAL - 8192);
    off_t where;

    for (unsigned submitted = 0; submitted < 2; submitted++) {
        bench_prepare(&bench, AIO_OP_APPEND);
        fault_add(bench.rig.fault, (struct fault_rule){FAULT_SHORTEN, .value = 8192});
        fault_add(bench.rig.fault, (struct fault_rule){FAULT_RESULT, 0, 2, 2, -ENOSPC});
        REQUIRE_EQ(run(&bench, AIO_OP_APPEND, submitted ? WAY_WAIT : WAY_BLOCKING).result, 8192);
        where = 5;
        EXPECT(aio_file_append(bench.rig.file, bench.memory + 8192, TOTAL - 8192, &where), -ENOSPC);
        REQUIRE_EQ(where, 5);
        if (submitted) {
            where = run_op(bench.rig.queue, &append).offset;
        } else {
            EXPECT(aio_file_append(bench.rig.file, bench.memory + 8192, TOTAL - 8192, &where),
                   TOTAL - 8192);
        }
        REQUIRE_EQ(where, place_of(&bench, AIO_OP_APPEND) + 8192);
        check_moved(&bench, AIO_OP_APPEND, TOTAL);
    }
    bench_close(&bench);
}
END_TEST

/* --- the kernel's own short writes ---------------------------------------------------------- */

static void limit_size(rlim_t bytes)
{
    struct rlimit limit;

    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void check_limit(struct bench *bench, uint8_t form, enum way way, int64_t room)
{
    struct outcome outcome;
    struct outcome next;

    bench_prepare(bench, form);
    limit_size((rlim_t)(place_of(bench, form) + room));
    outcome = run(bench, form, way);
    next = run(bench, AIO_OP_APPEND, way);
    limit_size(RLIM_INFINITY);
    ck_assert_msg(outcome.result == (room > 0 ? room : -EFBIG) &&
                      outcome.error == (way == WAY_BLOCKING ? 0 : -EFBIG),
                  "opcode %d way %d room %lld: %lld, %d", form, (int)way, (long long)room,
                  (long long)outcome.result, outcome.error);
    check_moved(bench, form, room);
    /* What comes next meets the error itself. */
    REQUIRE_EQ(next.result, -EFBIG);
}

START_TEST(a_write_that_the_size_limit_stops_says_so)
{
    static const uint8_t writes[] = {AIO_OP_WRITE, AIO_OP_WRITEV, AIO_OP_APPEND, AIO_OP_APPENDV};
    static const int64_t rooms_direct[] = {0, 512, PAGE, PAGE + 512, 3 * PAGE, TOTAL - 512};
    static const int64_t rooms_cached[] = {0, 1, 512, 4095, PAGE + 1, 3 * PAGE, TOTAL - 1};

    signal(SIGXFSZ, SIG_IGN);
    for (enum kind kind = KIND_DIRECT; kind <= KIND_UNALIGNED; kind++) {
        struct bench bench = bench_open(kind);
        bool direct = kind == KIND_DIRECT || kind == KIND_BOUNCED;
        const int64_t *rooms = direct ? rooms_direct : rooms_cached;
        size_t count = direct ? COUNT(rooms_direct) : COUNT(rooms_cached);

        for (size_t room = 0; room < count; room++)
            for (size_t form = 0; form < COUNT(writes); form++)
                for (enum way way = 0; way < WAYS; way++)
                    check_limit(&bench, writes[form], way, rooms[room]);
        bench_close(&bench);
    }
}
END_TEST

START_TEST(truncate_meets_the_size_limit_too)
{
    struct bench bench = bench_open(KIND_DIRECT);

    signal(SIGXFSZ, SIG_IGN);
    bench_prepare(&bench, AIO_OP_WRITE);
    limit_size(2 * PAGE);
    errno = ERRNO_MARK;
    EXPECT(aio_file_truncate(bench.rig.file, 3 * PAGE), -EFBIG);
    EXPECT(aio_file_truncate(bench.rig.file, 2 * PAGE), 0);
    limit_size(RLIM_INFINITY);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    bench_close(&bench);
}
END_TEST

static Suite *partial_suite(void)
{
    Suite *suite = suite_create("partial");

    ADD_TESTS(suite, "parts", direct_transfers_in_parts_are_whole,
              cached_transfers_in_parts_are_whole, bounced_transfers_in_parts_are_whole,
              unaligned_transfers_in_parts_are_whole, one_sector_at_a_time,
              many_transfers_in_parts_at_once);
    add_loop_test(suite, "trouble", trouble_after_a_part_is_as_the_table_says, 3);
    ADD_TESTS(suite, "trouble", a_cursor_moves_by_what_was_moved,
              the_next_append_starts_where_the_short_one_ended);
    ADD_TESTS(suite, "limit", a_write_that_the_size_limit_stops_says_so,
              truncate_meets_the_size_limit_too);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, partial_suite);
}
