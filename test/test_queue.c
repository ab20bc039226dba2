/* SPDX-License-Identifier: MIT */
/*
 * test_queue.c - aio_queue_create to _destroy, but for taking results (test_results.c) and
 * callbacks (test_callback.c): what is submitted, what is refused, slots, looking, the end.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "queue_state.h"
#include "support.h"

/* --- create --------------------------------------------------------------------------------- */

/* Options of a later version, with a tail that this one does not know. */
struct long_options {
    struct aio_queue_options known;
    unsigned char tail[24];
};

static const struct create_line {
    const char *what;
    size_t size; /* 0: of the known part */
    uint32_t engine;
    uint32_t depth;
    uint32_t flags;
    uint32_t reserved;
    unsigned char tail;
    bool explained; /* by the log: what this version or the engine refuses */
    int expected;
} create_table[] = {
    {.what = "engine unknown", .engine = 6, .expected = -EINVAL},
#ifndef AIOFILE_URING
    {.what = "engine uring",
     .engine = AIO_ENGINE_URING,
     .explained = true,
     .expected = -EOPNOTSUPP},
#endif
    {.what = "engine threads", .engine = AIO_ENGINE_THREADS, .expected = 0},
    {.what = "engine sim", .engine = AIO_ENGINE_SIM, .explained = true, .expected = -EOPNOTSUPP},
    {.what = "depth", .depth = AIO_QUEUE_DEPTH_MAX + 1, .expected = -EINVAL},
    {.what = "flag unknown", .flags = 1U << 6, .expected = -EINVAL},
    {.what = "flag of the highest bit", .flags = 1U << 31, .expected = -EINVAL},
    {.what = "flag owned", .flags = AIO_QUEUE_OWNED, .expected = 0},
    {.what = "sqpoll without uring",
     .engine = AIO_ENGINE_SYNC,
     .flags = AIO_QUEUE_SQPOLL,
     .expected = -EINVAL},
    {.what = "sqpoll cpu without uring",
     .engine = AIO_ENGINE_SYNC,
     .flags = AIO_QUEUE_SQPOLL | AIO_QUEUE_SQPOLL_CPU,
     .expected = -EINVAL},
    {.what = "iopoll without uring",
     .engine = AIO_ENGINE_SYNC,
     .flags = AIO_QUEUE_IOPOLL,
     .expected = -EINVAL},
    {.what = "sqpoll cpu without sqpoll",
     .engine = AIO_ENGINE_URING,
     .flags = AIO_QUEUE_SQPOLL_CPU,
     .expected = -EINVAL},
    {.what = "reserved", .reserved = 1, .expected = -EINVAL},
    {.what = "size 0", .size = SIZE_MAX, .expected = -EINVAL},
    {.what = "size short", .size = 8, .expected = -EINVAL},
    {.what = "tail", .size = sizeof(struct long_options), .tail = 1, .expected = -E2BIG},
    {.what = "zero tail", .size = sizeof(struct long_options), .expected = 0},
    {.what = "nothing special", .expected = 0},
    {.what = "nonblock", .flags = AIO_QUEUE_NONBLOCK, .expected = 0},
};

static void check_create(const struct create_line *line)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct long_options options = {.known = AIO_QUEUE_OPTIONS_INIT};
    struct aio_queue *queue = (struct aio_queue *)&options;
    int64_t result;

    if (line->size > 0)
        options.known.size = line->size == SIZE_MAX ? 0 : line->size;
    options.known.engine = line->engine > 0 ? line->engine : test_engine;
    options.known.depth = line->depth > 0 ? line->depth : 4;
    options.known.flags = line->flags;
    options.known.reserved = line->reserved;
    options.known.log = log_keep;
    options.known.log_context = &log;
    options.tail[sizeof(options.tail) - 1] = line->tail;
    result = CALL(aio_queue_create(&options.known, &queue));
    ck_assert_msg(result == line->expected, "%s: %d", line->what, (int)result);
    ck_assert_msg((queue != NULL) == (result == 0), "%s: the result pointer", line->what);
    if (result == 0)
        EXPECT(aio_queue_destroy(queue, 0), 0);
    else if (line->explained)
        ck_assert_msg(log_count(&log) == 1 && log.level == AIO_LOG_ERROR,
                      "%s: %u log sentences explain it", line->what, log_count(&log));
}

START_TEST(options_are_checked)
{
    for (size_t index = 0; index < COUNT(create_table); index++)
        check_create(&create_table[index]);
    EXPECT(aio_queue_create(NULL, NULL), -EINVAL);
}
END_TEST

START_TEST(no_options_mean_the_defaults)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_queue *queue;

    EXPECT(aio_queue_create(NULL, &queue), 0);
    EXPECT(aio_queue_depth(queue), 64);
    EXPECT(aio_queue_stats(queue, &stats), 0);
    REQUIRE(stats.engine >= AIO_ENGINE_KAIO && stats.engine <= AIO_ENGINE_SYNC);
    close_queue(queue);
    EXPECT(aio_queue_depth(NULL), 0);
}
END_TEST

START_TEST(depth_is_as_asked)
{
    static const unsigned depths[] = {1, 2, 63, 64, 65, 1000};

    for (size_t index = 0; index < COUNT(depths); index++) {
        struct aio_queue *queue = open_queue(depths[index], 0);

        EXPECT(aio_queue_depth(queue), depths[index]);
        close_queue(queue);
    }
    if (test_engine == AIO_ENGINE_SYNC)
        close_queue(open_queue(AIO_QUEUE_DEPTH_MAX, 0));
}
END_TEST

START_TEST(auto_says_which_engine_it_takes)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_queue *queue;
    char words[32];

    options.log = log_keep;
    options.log_context = &log;
    EXPECT(aio_queue_create(&options, &queue), 0);
    EXPECT(aio_queue_stats(queue, &stats), 0);
    snprintf(words, sizeof(words), "using %s", engine_name((enum aio_engine)stats.engine));
    REQUIRE(log_has(&log, "auto") && log_has(&log, words));
    REQUIRE_EQ(log.level, stats.engine == AIO_ENGINE_KAIO ? AIO_LOG_INFO : AIO_LOG_WARNING);
    close_queue(queue);
}
END_TEST

START_TEST(engines_are_probed)
{
    static const struct {
        int engine;
        int expected;
    } table[] = {
        {AIO_ENGINE_AUTO, 0},
        {AIO_ENGINE_SYNC, 0},
#ifndef AIOFILE_URING
        {AIO_ENGINE_URING, -EOPNOTSUPP},
#endif
        {AIO_ENGINE_THREADS, 0},
        {AIO_ENGINE_SIM, -EOPNOTSUPP},
        {6, -EINVAL},
        {-1, -EINVAL},
    };
    char reason[200];
    char cut[10];

    EXPECT(aio_engine_probe(test_engine, reason, sizeof(reason)), 0);
    for (size_t index = 0; index < COUNT(table); index++) {
        enum aio_engine engine = (enum aio_engine)table[index].engine;

        memset(reason, 'x', sizeof(reason));
        EXPECT(aio_engine_probe(engine, reason, sizeof(reason)), table[index].expected);
        REQUIRE(memchr(reason, '\0', sizeof(reason)) != NULL);
        REQUIRE((reason[0] == '\0') == (table[index].expected == 0));
        EXPECT(aio_engine_probe(engine, NULL, 0), table[index].expected);
        memset(cut, 'x', sizeof(cut));
        EXPECT(aio_engine_probe(engine, cut, sizeof(cut) - 1), table[index].expected);
        REQUIRE(memchr(cut, '\0', sizeof(cut) - 1) != NULL);
        REQUIRE_EQ(cut[sizeof(cut) - 1], 'x');
    }
    EXPECT(aio_engine_probe(AIO_ENGINE_SYNC, NULL, 10), -EINVAL);
}
END_TEST

/* --- what an operation does ----------------------------------------------------------------- */

START_TEST(every_opcode_moves_its_bytes)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *out = pattern_alloc(16384, 0, 1);
    char *in = page_alloc(16384);
    struct iovec parts[] = {{out + 8192, 4096}, {out + 12288, 4096}};
    struct iovec holes[] = {{in, 4096}, {in + 4096, 12288}};
    struct aio_op operations[] = {
        op_write(file, out, 8192, 0),
        op_vectors(AIO_OP_WRITEV, file, parts, 2, 8192),
        op_append(file, out, 4096),
        op_vectors(AIO_OP_APPENDV, file, parts, 2, 0),
    };
    static const struct {
        int64_t result;
        int64_t offset;
    } expected[] = {{8192, 0}, {8192, 8192}, {4096, 16384}, {8192, 20480}};

    for (size_t index = 0; index < COUNT(operations); index++) {
        struct aio_completion completion;

        operations[index].context = &operations[index];
        completion = run_op(queue, &operations[index]);
        REQUIRE_EQ(completion.result, expected[index].result);
        REQUIRE_EQ(completion.offset, expected[index].offset);
        REQUIRE_EQ(completion.error, 0);
        REQUIRE(completion.context == &operations[index]);
    }
    disk_check_pattern("file", 0, 16384, 1);
    REQUIRE_EQ(disk_size("file"), 28672);
    operations[0] = op_read(file, in, 16384, 0);
    REQUIRE_EQ(run_op(queue, &operations[0]).result, 16384);
    pattern_check(in, 16384, 0, 1);
    memset(in, 0, 16384);
    operations[0] = op_vectors(AIO_OP_READV, file, holes, 2, 20480);
    REQUIRE_EQ(run_op(queue, &operations[0]).result, 8192); /* to the end of the file */
    pattern_check(in, 8192, 8192, 1);
    close_file(file);
    close_queue(queue);
    free(out);
    free(in);
}
END_TEST

START_TEST(operations_without_bytes_give_zero)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    struct iovec none = {NULL, 0};
    struct aio_op nop = op_nop();
    struct aio_op operations[] = {
        nop,
        op_sync(file),
        {.opcode = AIO_OP_DATASYNC, .file = file},
        {.opcode = AIO_OP_NOP, .file = file, .offset = 5},
        op_read(file, NULL, 0, 0),
        op_read(file, NULL, 0, 4096),
        op_write(file, NULL, 0, 0),
        op_vectors(AIO_OP_READV, file, NULL, 0, 0),
        op_vectors(AIO_OP_WRITEV, file, &none, 1, 0),
        op_append(file, NULL, 0),
    };

    for (size_t index = 0; index < COUNT(operations); index++) {
        struct aio_completion completion = run_op(queue, &operations[index]);

        ck_assert_msg(completion.result == 0 && completion.error == 0, "operation %zu: %lld", index,
                      (long long)completion.result);
    }
    REQUIRE_EQ(disk_size("file"), 0);
    close_file(file);
    close_queue(queue);
}
END_TEST

START_TEST(a_read_is_short_only_at_the_end)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file;
    struct aio_file_options options = file_options();
    char *in = page_alloc(16384);
    static const struct {
        int64_t offset;
        int64_t result;
    } table[] = {{0, 5000}, {4096, 904}, {8192, 0}, {1 << 20, 0}};

    make_file("file", 5000, 2);
    EXPECT(aio_file_open(scratch_path("file"), O_RDONLY, 0, &options, &file), 0);
    for (size_t index = 0; index < COUNT(table); index++) {
        struct aio_op read = op_read(file, in, 16384, table[index].offset);
        struct aio_completion completion = run_op(queue, &read);

        REQUIRE_EQ(completion.result, table[index].result);
        REQUIRE_EQ(completion.error, 0);
        pattern_check(in, (uint64_t)completion.result, (uint64_t)table[index].offset, 2);
    }
    close_file(file);
    close_queue(queue);
    free(in);
}
END_TEST

START_TEST(files_share_a_queue_and_queues_a_file)
{
    enum { FILES = 20 };
    struct aio_queue *queues[2] = {open_queue(FILES, 0), open_queue(FILES, 0)};
    struct aio_file *files[FILES];
    struct aio_op operations[FILES];
    aio_request_id ids[FILES];
    char *page[FILES];

    for (unsigned index = 0; index < FILES; index++) {
        char name[16];

        snprintf(name, sizeof(name), "file%u", index);
        files[index] = open_direct(name);
        page[index] = pattern_alloc(PAGE, 0, index);
        operations[index] = op_write(files[index], page[index], PAGE, 0);
    }
    EXPECT(aio_queue_submit(queues[0], operations, FILES, ids), FILES);
    for (unsigned index = 0; index < FILES; index++)
        REQUIRE_EQ(completion_of(queues[0], ids[index]).result, PAGE);
    for (unsigned index = 0; index < FILES; index++) {
        operations[index].opcode = AIO_OP_READ;
        memset(page[index], 0, PAGE);
        REQUIRE_EQ(run_op(queues[index % 2], &operations[index]).result, PAGE);
        pattern_check(page[index], PAGE, 0, index);
        free(page[index]);
        close_file(files[index]);
    }
    close_queue(queues[0]);
    close_queue(queues[1]);
}
END_TEST

/* --- what is refused ------------------------------------------------------------------------ */

/* Things that the lines of the table point to. */
struct subjects {
    struct aio_queue *queue;
    struct aio_file *file;
    struct aio_file *reading; /* not open for writing */
    struct aio_file *writing; /* not open for reading */
    struct aio_file *strict;  /* rejects what is not aligned; of two pages */
    char *page;
    struct iovec *iov;
};

static void no_callback(const struct aio_completion *completion)
{
    (void)completion;
    ck_abort_msg("the callback of an operation that was refused");
}

struct refusal {
    struct aio_op op;
    int expected;
};

/* The operation that each line spoils. */
static struct aio_op good(const struct subjects *subjects)
{
    return op_read(subjects->file, subjects->page, PAGE, 0);
}

#define SPOIL(change, error)                                                                       \
    do {                                                                                           \
        struct aio_op op = good(subjects);                                                         \
        op.change;                                                                                 \
        lines[count++] = (struct refusal){op, error};                                              \
    } while (0)

static unsigned refusals_of_fields(const struct subjects *subjects, struct refusal *lines)
{
    unsigned count = 0;

    SPOIL(opcode = AIO_OP_ALLOCATE + 1, -EINVAL);
    SPOIL(opcode = 255, -EINVAL);
    SPOIL(reserved0[0] = 1, -EINVAL);
    SPOIL(reserved0[2] = 1, -EINVAL);
    SPOIL(mode = 1, -EINVAL);
    SPOIL(reserved2[0] = 1, -EINVAL);
    SPOIL(reserved2[2] = UINT64_C(1) << 63, -EINVAL);
    SPOIL(flags = 1U << 7, -EINVAL);
    SPOIL(flags = 1U << 31, -EINVAL);
    SPOIL(file = NULL, -EINVAL);
    SPOIL(buf = NULL, -EINVAL);
    SPOIL(offset = -1, -EINVAL);
    SPOIL(offset = -4096, -EINVAL);
    SPOIL(offset = INT64_MAX - 4094, -EINVAL);
    SPOIL(offset = INT64_MAX / 4096 * 4096, -EINVAL);
    SPOIL(offset = INT64_MIN, -EINVAL);
    SPOIL(len = UINT64_MAX, -EINVAL);
    SPOIL(len = (uint64_t)SSIZE_MAX + 1, -EINVAL);
    SPOIL(priority = 1, -EINVAL);           /* a level of no class */
    SPOIL(priority = 2 << 13 | 8, -EINVAL); /* no such level */
    SPOIL(priority = 4 << 13, -EINVAL);     /* no such class */
    SPOIL(deadline = (uint64_t)INT64_MAX + 1, -EINVAL);
    SPOIL(deadline = UINT64_MAX, -EINVAL);
    SPOIL(flags = AIO_OP_DSYNC, -EINVAL); /* it writes nothing */
    SPOIL(flags = AIO_OP_NOWAIT | AIO_OP_HIPRI, -EINVAL);
    SPOIL(flags = AIO_OP_ATOMIC, -EINVAL); /* likewise */
    SPOIL(flags = AIO_OP_DRAIN, -EINVAL);  /* it is no sync */
    SPOIL(flags = AIO_OP_LINK, -EINVAL);   /* to nothing */
    SPOIL(flags = AIO_OP_LINK | AIO_OP_WAITED, -EINVAL);
    SPOIL(flags = AIO_OP_DSYNC | AIO_OP_NOWAIT, -EINVAL);
    SPOIL(file = subjects->writing, -EBADF);
    return count;
}

/* What AIO_UNALIGNED_REJECT refuses, and nothing else does. */
static unsigned refusals_of_places(const struct subjects *subjects, struct refusal *lines)
{
    struct aio_file *strict = subjects->strict;
    struct iovec *iov = subjects->iov;
    char *page = subjects->page;
    const struct refusal places[] = {
        {op_read(strict, page, PAGE, 1), -EINVAL},
        {op_read(strict, page, PAGE, 100), -EINVAL},
        {op_read(strict, page, 1, 0), -EINVAL},
        {op_read(strict, page, 4095, 0), -EINVAL},
        {op_read(strict, page + 1, PAGE, 0), -EINVAL},
        {op_write(strict, page, PAGE, 1), -EINVAL},
        {op_write(strict, page, PAGE, 100), -EINVAL},
        {op_write(strict, page, 1, 0), -EINVAL},
        {op_write(strict, page, 4095, 0), -EINVAL},
        {op_write(strict, page + 1, PAGE, 0), -EINVAL},
        {op_append(strict, page, 100), -EINVAL},
        {op_append(strict, page + 1, PAGE), -EINVAL},
        {op_vectors(AIO_OP_WRITEV, strict, iov, 1, 100), -EINVAL},
        {op_vectors(AIO_OP_WRITEV, strict, iov + 3, 1, 0), -EINVAL}, /* its length */
        {op_vectors(AIO_OP_WRITEV, strict, iov + 4, 1, 0), -EINVAL}, /* its place */
        {op_vectors(AIO_OP_READV, strict, iov + 4, 1, 0), -EINVAL},
        {op_vectors(AIO_OP_APPENDV, strict, iov + 3, 1, 0), -EINVAL},
    };

    memcpy(lines, places, sizeof(places));
    return COUNT(places);
}

/* Truncates and allocations. */
static unsigned refusals_of_space(const struct subjects *subjects, struct refusal *lines)
{
    struct aio_file *file = subjects->file;
    struct aio_file *reading = subjects->reading;
    const struct refusal spaces[] = {
        {{.opcode = AIO_OP_TRUNCATE, .file = file, .offset = -1}, -EINVAL},
        {{.opcode = AIO_OP_TRUNCATE, .file = file, .offset = INT64_MIN}, -EINVAL},
        {{.opcode = AIO_OP_TRUNCATE, .file = reading}, -EINVAL},
        {{.opcode = AIO_OP_TRUNCATE}, -EINVAL},
        {{.opcode = AIO_OP_TRUNCATE, .file = file, .mode = 1}, -EINVAL},
        {{.opcode = AIO_OP_TRUNCATE, .file = file, .flags = AIO_OP_DSYNC}, -EINVAL},
        {{.opcode = AIO_OP_TRUNCATE, .file = file, .flags = AIO_OP_DRAIN}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .file = file}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .file = file, .len = 1, .offset = -1}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .file = file, .len = UINT64_MAX}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .file = file, .len = PAGE, .offset = INT64_MAX}, -EFBIG},
        {{.opcode = AIO_OP_ALLOCATE, .file = reading, .len = 1}, -EBADF},
        {{.opcode = AIO_OP_ALLOCATE, .len = 1}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .file = file, .len = 1, .mode = AIO_ALLOCATE_WRITE_ZEROS | 2},
         -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .file = file, .len = 1, .flags = AIO_OP_LINK}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .file = file, .len = 1, .priority = 2 << 13}, -EINVAL},
        {{.opcode = AIO_OP_TRUNCATE, .file = file, .priority = 2 << 13}, -EINVAL},
        {{.opcode = AIO_OP_TRUNCATE, .file = file, .flags = AIO_OP_NOWAIT}, -EINVAL},
    };

    memcpy(lines, spaces, sizeof(spaces));
    return COUNT(spaces);
}

static unsigned refusals_of_forms(const struct subjects *subjects, struct refusal *lines)
{
    struct aio_file *file = subjects->file;
    struct aio_file *reading = subjects->reading;
    struct iovec *iov = subjects->iov;
    const struct refusal forms[] = {
        {op_write(reading, subjects->page, PAGE, 0), -EBADF},
        {op_vectors(AIO_OP_WRITEV, reading, iov, 1, 0), -EBADF},
        {op_append(reading, subjects->page, PAGE), -EBADF},
        {op_vectors(AIO_OP_APPENDV, reading, iov, 1, 0), -EBADF},
        {op_vectors(AIO_OP_READV, subjects->writing, iov, 1, 0), -EBADF},
        {op_vectors(AIO_OP_READV, file, NULL, 1, 0), -EINVAL},
        {op_vectors(AIO_OP_READV, file, iov, (uint64_t)INT32_MAX + 1, 0), -EINVAL},
        {op_vectors(AIO_OP_WRITEV, file, iov, UINT64_MAX, 0), -EINVAL},
        {op_vectors(AIO_OP_WRITEV, file, iov, 1, -4096), -EINVAL},
        {op_vectors(AIO_OP_WRITEV, file, iov, 2, 0), -EINVAL},     /* the sum is too large */
        {op_vectors(AIO_OP_WRITEV, file, iov + 2, 1, 0), -EINVAL}, /* no memory */
        {op_write(NULL, subjects->page, PAGE, 0), -EINVAL},
        {op_sync(NULL), -EINVAL},
        {{.opcode = AIO_OP_READ,
          .file = file,
          .buf = subjects->page,
          .len = PAGE,
          .flags = AIO_OP_WAITED,
          .on_complete = no_callback},
         -EINVAL},
    };

    memcpy(lines, forms, sizeof(forms));
    return COUNT(forms);
}

static struct subjects subjects_open(void)
{
    struct subjects subjects = {.queue = open_queue(4, 0), .file = open_direct("file")};
    struct aio_file_options options = file_options();
    const char *path = scratch_path("file");

    subjects.page = page_alloc(2 * PAGE);
    EXPECT(aio_file_open(path, O_RDONLY, 0, &options, &subjects.reading), 0);
    EXPECT(aio_file_open(path, O_WRONLY, 0, &options, &subjects.writing), 0);
    make_file("strict", 2 * PAGE, 1);
    options.unaligned = AIO_UNALIGNED_REJECT;
    EXPECT(aio_file_open(scratch_path("strict"), O_RDWR, 0, &options, &subjects.strict), 0);
    subjects.iov = calloc(5, sizeof(struct iovec));
    subjects.iov[0] = (struct iovec){subjects.page, PAGE};
    subjects.iov[1] = (struct iovec){subjects.page, (size_t)SSIZE_MAX / PAGE * PAGE};
    subjects.iov[2] = (struct iovec){NULL, PAGE};
    subjects.iov[3] = (struct iovec){subjects.page, PAGE - 1};
    subjects.iov[4] = (struct iovec){subjects.page + 2, PAGE};
    return subjects;
}

static void subjects_close(struct subjects *subjects)
{
    close_file(subjects->file);
    close_file(subjects->reading);
    close_file(subjects->writing);
    close_file(subjects->strict);
    close_queue(subjects->queue);
    free(subjects->page);
    free(subjects->iov);
}

START_TEST(bad_operations_are_refused)
{
    struct subjects subjects = subjects_open();
    struct refusal lines[120];
    unsigned count = refusals_of_fields(&subjects, lines);
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    count += refusals_of_forms(&subjects, lines + count);
    count += refusals_of_places(&subjects, lines + count);
    count += refusals_of_space(&subjects, lines + count);
    REQUIRE(count <= COUNT(lines));
    for (unsigned index = 0; index < count; index++) {
        aio_request_id id = 77;
        int64_t result;

        if (lines[index].op.on_complete == NULL && lines[index].op.flags == 0)
            lines[index].op.on_complete = no_callback;
        result = CALL(aio_queue_submit(subjects.queue, &lines[index].op, 1, &id));
        ck_assert_msg(result == lines[index].expected, "line %u: %lld", index, (long long)result);
        REQUIRE_EQ(id, 77);
    }
    EXPECT(aio_queue_stats(subjects.queue, &stats), 0);
    REQUIRE_EQ(stats.submitted, 0);
    REQUIRE_EQ(stats.completed, 0);
    REQUIRE_EQ(stats.held, 0);
    REQUIRE_EQ(disk_size("file"), 0);
    disk_check_pattern("strict", 0, 2 * PAGE, 1);
    subjects_close(&subjects);
}
END_TEST

/* What only AIO_UNALIGNED_REJECT refuses is done by others. */
START_TEST(any_place_and_memory_is_taken)
{
    static const uint64_t lengths[] = {1, 100, 4095, 4096, 4097, 20000};
    static const int64_t offsets[] = {0, 1, 100, 512, 4095, 4096};
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *room = page_alloc(8 * PAGE);
    char *out = room + 1;
    char *in = page_alloc(8 * PAGE);

    for (unsigned which = 0; which < COUNT(lengths) * COUNT(offsets); which++) {
        uint64_t length = lengths[which % COUNT(lengths)];
        int64_t offset = offsets[which / COUNT(lengths)];
        struct iovec vectors[3] = {{out, length / 2}, {NULL, 0}, {out + length / 2, 0}};
        struct aio_op write = op_write(file, out, length, offset);
        struct aio_op writev = op_vectors(AIO_OP_WRITEV, file, vectors, 3, offset + 30000);
        struct aio_op append = op_append(file, out, length);
        struct aio_op read = op_read(file, in + 3, length, offset);
        struct aio_completion completion;

        vectors[2].iov_len = length - length / 2;
        pattern_fill(out, length, (uint64_t)offset, which);
        completion = run_op(queue, &write);
        REQUIRE(completion.result == (int64_t)length && completion.offset == offset);
        REQUIRE_EQ(run_op(queue, &writev).result, length);
        REQUIRE_EQ(disk_size("file"), offset + 30000 + (int64_t)length);
        completion = run_op(queue, &append);
        REQUIRE(completion.result == (int64_t)length);
        REQUIRE_EQ(completion.offset, offset + 30000 + (int64_t)length);
        REQUIRE_EQ(disk_size("file"), offset + 30000 + 2 * (int64_t)length);
        REQUIRE_EQ(run_op(queue, &read).result, length);
        REQUIRE(memcmp(in + 3, out, length) == 0);
        disk_check_pattern("file", (uint64_t)offset, length, which);
        disk_read("file", in, length, (uint64_t)offset + 30000);
        REQUIRE(memcmp(in, out, length) == 0);
        disk_read("file", in, length, (uint64_t)offset + 30000 + length);
        REQUIRE(memcmp(in, out, length) == 0);
        EXPECT(aio_file_truncate(file, 0), 0);
    }
    close_file(file);
    close_queue(queue);
    free(room);
    free(in);
}
END_TEST

START_TEST(any_number_of_vectors_is_taken)
{
    enum { VECTORS = 2 * IOV_MAX + 100 };
    static const unsigned lengths[] = {PAGE, 3};
    struct aio_queue *queue = open_queue(4, 0);
    struct iovec *out = calloc(VECTORS, sizeof(*out));
    struct iovec *in = calloc(VECTORS, sizeof(*in));
    char *page = pattern_alloc(PAGE, 0, 1);
    char *found = page_alloc((uint64_t)VECTORS * PAGE);

    for (unsigned which = 0; which < COUNT(lengths); which++) {
        struct aio_file *file = open_direct("file");
        int64_t total = (int64_t)VECTORS * lengths[which];
        struct aio_op write = op_vectors(AIO_OP_WRITEV, file, out, VECTORS, 0);
        struct aio_op append = op_vectors(AIO_OP_APPENDV, file, out, VECTORS, 0);
        struct aio_op read = op_vectors(AIO_OP_READV, file, in, VECTORS, total);

        for (unsigned index = 0; index < VECTORS; index++) {
            out[index] = (struct iovec){page, lengths[which]};
            in[index] = (struct iovec){found + (uint64_t)index * lengths[which], lengths[which]};
        }
        REQUIRE_EQ(run_op(queue, &write).result, total);
        REQUIRE_EQ(run_op(queue, &append).offset, total);
        REQUIRE_EQ(disk_size("file"), 2 * total);
        REQUIRE_EQ(run_op(queue, &read).result, total);
        for (unsigned index = 0; index < VECTORS; index++)
            pattern_check(in[index].iov_base, lengths[which], 0, 1);
        disk_read("file", found, (uint64_t)total, 0);
        for (unsigned index = 0; index < VECTORS; index++)
            pattern_check(in[index].iov_base, lengths[which], 0, 1);
        close_file(file);
    }
    close_queue(queue);
    free(out);
    free(in);
    free(page);
    free(found);
}
END_TEST

/* Submitted truncates and allocations are done alone on their file: what was submitted before them
 * comes before, what is submitted later comes later. */
START_TEST(space_is_changed_between_writes)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op operations[] = {
        op_write(file, bytes, 4 * PAGE, 0),
        {.opcode = AIO_OP_TRUNCATE, .file = file, .offset = PAGE + 100},
        op_append(file, bytes + PAGE + 100, 1000),
        {.opcode = AIO_OP_ALLOCATE,
         .file = file,
         .offset = 4 * PAGE,
         .len = 1,
         .mode = AIO_ALLOCATE_WRITE_ZEROS},
        op_append(file, bytes, PAGE),
    };
    struct aio_completion completions[5];

    for (unsigned index = 0; index < 5; index++)
        operations[index].context = &operations[index];
    for (unsigned round = 0; round < 50; round++) {
        EXPECT(aio_file_truncate(file, 0), 0);
        EXPECT(aio_queue_submit(queue, operations, 5, NULL), 5);
        EXPECT(aio_queue_reap(queue, completions, 5, 5, NULL), 5);
        for (unsigned index = 0; index < 5; index++) {
            const struct aio_op *op = completions[index].context;
            bool space = op->opcode == AIO_OP_TRUNCATE || op->opcode == AIO_OP_ALLOCATE;

            REQUIRE_EQ(completions[index].result, space ? 0 : (int64_t)op->len);
            REQUIRE_EQ(completions[index].error, 0);
            if (op == &operations[2])
                REQUIRE_EQ(completions[index].offset, PAGE + 100);
            if (op == &operations[4])
                REQUIRE_EQ(completions[index].offset, 4 * PAGE + 1);
        }
        REQUIRE_EQ(disk_size("file"), 5 * PAGE + 1);
        disk_check_pattern("file", 0, PAGE + 1100, 1);
        disk_check_zeros("file", PAGE + 1100, 3 * PAGE + 1 - 1100);
    }
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
    struct aio_queue *queue = open_queue(2, 0);
    struct aio_op nop = op_nop();

    EXPECT(aio_queue_submit(NULL, &nop, 1, NULL), -EINVAL);
    EXPECT(aio_queue_submit(queue, NULL, 1, NULL), -EINVAL);
    EXPECT(aio_queue_submit(queue, NULL, 0, NULL), 0);
    EXPECT(aio_queue_submit(queue, &nop, 0, NULL), 0);
    EXPECT(aio_queue_submit(queue, &nop, UINT_MAX, NULL), -EINVAL);
    EXPECT(aio_queue_stats(NULL, NULL), -EINVAL);
    EXPECT(aio_queue_stats(queue, NULL), -EINVAL);
    EXPECT(aio_queue_inflight(NULL, NULL, 0), -EINVAL);
    EXPECT(aio_queue_inflight(queue, NULL, 1), -EINVAL);
    EXPECT(aio_queue_inflight(queue, NULL, 0), 0);
    EXPECT(aio_queue_destroy(NULL, 0), 0);
    EXPECT(aio_queue_destroy(queue, 2), -EINVAL);
    EXPECT(aio_queue_destroy(queue, AIO_QUEUE_DISCARD | 1U << 31), -EINVAL);
    close_queue(queue);
}
END_TEST

START_TEST(a_batch_ends_before_the_first_bad_one)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file_options options = file_options();
    struct aio_file *file;
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op operations[5];
    aio_request_id ids[5] = {0, 0, 77, 78, 79};
    struct aio_completion completions[5];

    options.unaligned = AIO_UNALIGNED_REJECT;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    for (unsigned index = 0; index < 5; index++)
        operations[index] = op_write(file, page, PAGE, index * PAGE);
    operations[2].offset = 1;
    EXPECT(aio_queue_submit(queue, operations, 5, ids), 2);
    REQUIRE(ids[2] == 77 && ids[3] == 78 && ids[4] == 79);
    EXPECT(aio_queue_submit(queue, operations + 2, 3, ids + 2), -EINVAL);
    EXPECT(aio_queue_reap(queue, completions, 5, 5, NULL), 2);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    EXPECT(aio_queue_submit(queue, operations + 3, 2, NULL), 2);
    EXPECT(aio_queue_reap(queue, completions, 5, 5, NULL), 2);
    REQUIRE_EQ(disk_size("file"), 5 * PAGE);
    disk_check_zeros("file", 2 * PAGE, PAGE);
    close_file(file);
    /* The same batch without that option has no bad one. */
    file = open_direct("file");
    for (unsigned index = 0; index < 5; index++)
        operations[index].file = file;
    EXPECT(aio_queue_submit(queue, operations, 5, ids), 5);
    EXPECT(aio_queue_reap(queue, completions, 5, 5, NULL), 5);
    REQUIRE_EQ(disk_size("file"), 5 * PAGE);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

/* --- slots ---------------------------------------------------------------------------------- */

START_TEST(a_table_full_of_results_is_busy)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_op operations[20];
    aio_request_id ids[20] = {0};

    for (unsigned index = 0; index < 20; index++)
        operations[index] = op_nop();
    EXPECT(aio_queue_submit(queue, operations, 20, ids), 8);
    REQUIRE_EQ(ids[8], 0);
    EXPECT(aio_queue_submit(queue, operations, 1, NULL), -EBUSY);
    EXPECT(aio_queue_wait(queue, ids[3], NULL), 0);
    EXPECT(aio_queue_submit(queue, operations, 2, ids + 3), 1);
    EXPECT(aio_queue_submit(queue, operations, 1, NULL), -EBUSY);
    EXPECT(aio_queue_destroy(queue, 0), -EBUSY);
    for (unsigned index = 0; index < 8; index++)
        EXPECT(aio_queue_wait(queue, ids[index], NULL), 0);
    close_queue(queue);
}
END_TEST

START_TEST(a_table_full_of_waited_results_is_busy_too)
{
    struct aio_queue *queue = open_queue(2, 0);
    struct aio_op nop = op_nop();
    aio_request_id ids[2];

    nop.flags = AIO_OP_WAITED;
    ids[0] = submit_one(queue, &nop);
    ids[1] = submit_one(queue, &nop);
    EXPECT(aio_queue_submit(queue, &nop, 1, NULL), -EBUSY);
    EXPECT(aio_queue_destroy(queue, 0), -EBUSY);
    EXPECT(aio_queue_wait(queue, ids[1], NULL), 0);
    EXPECT(aio_queue_wait(queue, ids[0], NULL), 0);
    close_queue(queue);
}
END_TEST

START_TEST(nonblock_refuses_where_it_would_wait)
{
    struct rig rig = rig_open(4, AIO_QUEUE_NONBLOCK);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op operations[6];
    aio_request_id ids[6];

    for (unsigned index = 0; index < 6; index++)
        operations[index] = op_write(rig.file, page, PAGE, index * PAGE);
    fault_hold(rig.fault, FAULT_ALL);
    EXPECT(aio_queue_submit(rig.queue, operations, 6, ids), 4);
    EXPECT(aio_queue_submit(rig.queue, operations + 4, 2, ids + 4), -EAGAIN);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    for (unsigned index = 0; index < 4; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, PAGE);
    EXPECT(aio_queue_submit(rig.queue, operations + 4, 2, ids + 4), 2);
    REQUIRE_EQ(completion_of(rig.queue, ids[4]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, ids[5]).result, PAGE);
    rig_close(&rig);
    free(page);
}
END_TEST

/* A submit on a thread of its own. */
struct submitter {
    struct aio_queue *queue;
    struct aio_op op;
    aio_request_id id;
    int64_t result;
    atomic_bool done;
};

static void *submitter_main(void *argument)
{
    struct submitter *submitter = argument;

    submitter->result = CALL(aio_queue_submit(submitter->queue, &submitter->op, 1, &submitter->id));
    submitter->done = true;
    return NULL;
}

START_TEST(a_submit_waits_while_the_table_is_full_of_running_ones)
{
    struct rig rig = rig_open(2, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct submitter submitter = {.queue = rig.queue, .op = write};
    aio_request_id ids[2];
    pthread_t thread;

    fault_hold(rig.fault, FAULT_ALL);
    ids[0] = submit_one(rig.queue, &write);
    ids[1] = submit_one(rig.queue, &write);
    thread_begin(&thread, submitter_main, &submitter);
    sleep_us(30000);
    REQUIRE(!submitter.done);
    /* The result is there, but holds its slot until it is taken. */
    EVENTUALLY(fault_held(rig.fault) == 2);
    fault_release(rig.fault, 1);
    sleep_us(30000);
    REQUIRE(!submitter.done);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    EVENTUALLY(submitter.done);
    thread_end(thread);
    REQUIRE_EQ(submitter.result, 1);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, submitter.id).result, PAGE);
    rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(a_waiting_submit_is_told_when_waiting_would_never_end)
{
    struct rig rig = rig_open(2, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct submitter submitter = {.queue = rig.queue, .op = write};
    struct aio_completion completions[2];
    pthread_t thread;

    fault_hold(rig.fault, FAULT_ALL);
    submit_one(rig.queue, &write);
    submit_one(rig.queue, &write);
    thread_begin(&thread, submitter_main, &submitter);
    EVENTUALLY(fault_held(rig.fault) == 2);
    fault_release(rig.fault, FAULT_FOR_EVER);
    EVENTUALLY(submitter.done);
    thread_end(thread);
    REQUIRE_EQ(submitter.result, -EBUSY);
    EXPECT(aio_queue_reap(rig.queue, completions, 2, 2, NULL), 2);
    rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(a_batch_larger_than_the_table_goes_through_with_callbacks)
{
    struct aio_queue *queue = open_queue(3, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op operations[200];
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    memset(operations, 0, sizeof(operations));
    for (unsigned index = 0; index < COUNT(operations); index++)
        operations[index] = op_write(file, page, PAGE, index * PAGE);
    for (unsigned index = 0; index < COUNT(operations); index++) {
        aio_request_id id = 0;

        EXPECT(aio_queue_submit(queue, &operations[index], 1, &id), 1);
        if (index % 2 == 0)
            EXPECT(aio_queue_wait(queue, id, NULL), PAGE);
        else
            REQUIRE_EQ(completion_of(queue, id).result, PAGE);
    }
    EXPECT(aio_queue_stats(queue, &stats), 0);
    REQUIRE_EQ(stats.submitted, COUNT(operations));
    REQUIRE_EQ(stats.bytes_written, COUNT(operations) * PAGE);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

/* --- looking -------------------------------------------------------------------------------- */

START_TEST(what_is_in_flight_is_listed_by_age)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_request_info infos[8];
    aio_request_id ids[4];

    fault_hold(rig.fault, FAULT_ALL);
    for (unsigned index = 0; index < 4; index++) {
        struct aio_op write = op_write(rig.file, page, PAGE, index * PAGE);

        write.context = &ids[index];
        ids[index] = submit_one(rig.queue, &write);
        sleep_us(12000);
    }
    EVENTUALLY(fault_held(rig.fault) == 4);
    fault_release(rig.fault, 1);
    EVENTUALLY(aio_queue_inflight(rig.queue, infos, 1) == 4 && infos[0].state == AIO_REQUEST_DONE);
    memset(infos, 0xff, sizeof(infos));
    EXPECT(aio_queue_inflight(rig.queue, infos, 8), 4);
    for (unsigned index = 0; index < 4; index++) {
        REQUIRE_EQ(infos[index].size, sizeof(infos[0]));
        REQUIRE_EQ(infos[index].id, ids[index]);
        REQUIRE_EQ(infos[index].opcode, AIO_OP_WRITE);
        REQUIRE_EQ(infos[index].state, index == 0 ? AIO_REQUEST_DONE : AIO_REQUEST_RUNNING);
        REQUIRE_EQ(infos[index].offset, index * PAGE);
        REQUIRE_EQ(infos[index].len, PAGE);
        REQUIRE(infos[index].context == &ids[index]);
        /* The clock may be one of a few milliseconds. */
        REQUIRE(infos[index].age_ns + 10000000 >= 12000000 * (4 - index));
        REQUIRE(infos[index].age_ns < INT64_C(60000000000));
        REQUIRE(index == 0 || infos[index].age_ns <= infos[index - 1].age_ns);
    }
    /* With little room: the oldest. */
    infos[2].id = 5;
    EXPECT(aio_queue_inflight(rig.queue, infos, 2), 4);
    REQUIRE(infos[0].id == ids[0] && infos[1].id == ids[1] && infos[2].id == 5);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    for (unsigned index = 0; index < 4; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, PAGE);
    EXPECT(aio_queue_inflight(rig.queue, infos, 8), 0);
    rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(operations_of_one_batch_are_listed_in_its_order)
{
    struct rig rig = rig_open(6, 0);
    struct aio_op operations[6];
    aio_request_id ids[6];
    struct aio_request_info infos[6];

    for (unsigned index = 0; index < 6; index++)
        operations[index] = op_sync(rig.file);
    /* Free slots in another order than the table's. */
    EXPECT(aio_queue_submit(rig.queue, operations, 6, ids), 6);
    for (unsigned index = 6; index-- > 0;)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, 0);
    fault_hold(rig.fault, FAULT_ALL);
    EXPECT(aio_queue_submit(rig.queue, operations, 6, ids), 6);
    EXPECT(aio_queue_inflight(rig.queue, infos, 6), 6);
    for (unsigned index = 0; index < 6; index++)
        REQUIRE_EQ(infos[index].id, ids[index]);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    for (unsigned index = 0; index < 6; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, 0);
    rig_close(&rig);
}
END_TEST

START_TEST(a_part_and_a_refusal_show_in_the_list)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(16384, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, 16384, 0);
    struct aio_request_info info;
    aio_request_id id;

    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, .value = 4096});
    id = submit_one(rig.queue, &write);
    fault_refuse(rig.fault, -EAGAIN, FAULT_FOR_EVER);
    /* Now and then it is tried again, and is with the engine for that moment. */
    EVENTUALLY(aio_queue_inflight(rig.queue, &info, 1) == 1 && info.done > 0 &&
               info.state == AIO_REQUEST_WAITING);
    REQUIRE_EQ(info.done, 4096);
    REQUIRE_EQ(info.len, 16384);
    fault_refuse(rig.fault, 0, 0);
    REQUIRE_EQ(completion_of(rig.queue, id).result, 16384);
    rig_close(&rig);
    free(bytes);
}
END_TEST

START_TEST(stats_count)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(16384, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, 16384, 0);
    struct aio_op read = op_read(rig.file, bytes, 8192, 0);
    struct aio_op nop = op_nop();
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, .value = 4096});
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, .first = 4, .value = -EIO});
    REQUIRE_EQ(run_op(rig.queue, &write).result, 16384);
    REQUIRE_EQ(run_op(rig.queue, &read).result, 8192);
    REQUIRE_EQ(run_op(rig.queue, &read).result, -EIO);
    submit_one(rig.queue, &nop);
    EXPECT(aio_queue_stats(rig.queue, &stats), 0);
    REQUIRE_EQ(stats.size, sizeof(stats));
    /* AUTO is none by itself. */
    REQUIRE(stats.engine != AIO_ENGINE_AUTO);
    REQUIRE(test_engine == AIO_ENGINE_AUTO || stats.engine == (uint32_t)test_engine);
    REQUIRE_EQ(stats.depth, 4);
    REQUIRE_EQ(stats.held, 1);
    REQUIRE_EQ(stats.inflight, 0);
    REQUIRE(stats.inflight_high_water >= 1 && stats.inflight_high_water <= 4);
    REQUIRE_EQ(stats.reserved, 0);
    REQUIRE_EQ(stats.submitted, 4);
    REQUIRE_EQ(stats.completed, 4);
    REQUIRE_EQ(stats.failed, 1);
    REQUIRE_EQ(stats.bytes_read, 8192);
    REQUIRE_EQ(stats.bytes_written, 16384);
    REQUIRE_EQ(stats.short_transfers, 1);
    REQUIRE_EQ(stats.resubmits, 1);
    REQUIRE_EQ(stats.callbacks, 0);
    REQUIRE_EQ(stats.reaped_by_waiter + stats.reaped_by_reaper, 4);
    EXPECT(aio_queue_destroy(rig.queue, 0), -EBUSY);
    EXPECT(aio_file_close(rig.file), 0);
    EXPECT(aio_queue_destroy(rig.queue, AIO_QUEUE_DISCARD), 0);
    free(bytes);
}
END_TEST

START_TEST(stats_of_another_version_are_cut)
{
    struct aio_queue *queue = open_queue(7, 0);
    struct {
        struct aio_queue_stats stats;
        uint64_t more;
    } longer = {.stats.size = sizeof(longer), .more = 5};
    struct aio_queue_stats shorter = {.size = 16, .held = 99};

    EXPECT(aio_queue_stats(queue, &longer.stats), 0);
    REQUIRE_EQ(longer.stats.size, sizeof(struct aio_queue_stats));
    REQUIRE_EQ(longer.stats.depth, 7);
    REQUIRE_EQ(longer.more, 5);
    EXPECT(aio_queue_stats(queue, &shorter), 0);
    REQUIRE_EQ(shorter.size, 16);
    REQUIRE_EQ(shorter.depth, 7);
    REQUIRE_EQ(shorter.held, 99);
    shorter.size = 7;
    EXPECT(aio_queue_stats(queue, &shorter), -EINVAL);
    shorter.size = 0;
    EXPECT(aio_queue_stats(queue, &shorter), -EINVAL);
    close_queue(queue);
}
END_TEST

/* --- the end -------------------------------------------------------------------------------- */

/* A destroy on a thread of its own. */
struct destroyer {
    struct aio_queue *queue;
    unsigned flags;
    int64_t result;
    atomic_bool done;
};

static void *destroyer_main(void *argument)
{
    struct destroyer *destroyer = argument;

    destroyer->result = CALL(aio_queue_destroy(destroyer->queue, destroyer->flags));
    destroyer->done = true;
    return NULL;
}

START_TEST(destroy_waits_for_what_is_in_flight)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct destroyer destroyer = {.queue = rig.queue};
    pthread_t thread;

    fault_hold(rig.fault, FAULT_ALL);
    submit_one(rig.queue, &write);
    EVENTUALLY(fault_held(rig.fault) == 1);
    thread_begin(&thread, destroyer_main, &destroyer);
    sleep_us(30000);
    REQUIRE(!destroyer.done);
    fault_release(rig.fault, 1);
    thread_end(thread);
    /* The result is there and was not taken. */
    REQUIRE_EQ(destroyer.result, -EBUSY);
    EXPECT(aio_file_close(rig.file), 0);
    EXPECT(aio_queue_destroy(rig.queue, AIO_QUEUE_DISCARD), 0);
    free(page);
}
END_TEST

START_TEST(destroy_refuses_while_results_are_left_and_works_later)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_op nop = op_nop();
    aio_request_id id = submit_one(queue, &nop);

    EXPECT(aio_queue_destroy(queue, 0), -EBUSY);
    EXPECT(aio_queue_wait(queue, id, NULL), 0);
    REQUIRE_EQ(run_op(queue, &nop).result, 0);
    close_queue(queue);
    queue = open_queue(4, 0);
    submit_one(queue, &nop);
    EXPECT(aio_queue_destroy(queue, AIO_QUEUE_DISCARD), 0);
}
END_TEST

START_TEST(destroy_refuses_while_a_file_uses_the_queue)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file_options options = file_options();
    struct aio_file *file;
    struct aio_op nop = op_nop();

    options.queue = queue;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    REQUIRE(aio_file_queue(file) == queue);
    EXPECT(aio_queue_destroy(queue, 0), -EBUSY);
    EXPECT(aio_queue_destroy(queue, AIO_QUEUE_DISCARD), -EBUSY);
    REQUIRE_EQ(run_op(queue, &nop).result, 0);
    close_file(file);
    close_queue(queue);
}
END_TEST

/* A wait on a thread of its own. */
struct waiting {
    struct aio_queue *queue;
    aio_request_id id; /* 0: a reap */
    int64_t result;
};

static void *waiting_main(void *argument)
{
    struct waiting *waiting = argument;
    struct aio_completion completions[4];

    if (waiting->id != 0)
        waiting->result = CALL(aio_queue_wait(waiting->queue, waiting->id, NULL));
    else
        waiting->result = CALL(aio_queue_reap(waiting->queue, completions, 4, 4, NULL));
    return NULL;
}

START_TEST(destroy_lets_those_out_who_still_wait)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct waiting waiting[2] = {{.queue = rig.queue}, {.queue = rig.queue}};
    pthread_t threads[2];

    fault_hold(rig.fault, FAULT_ALL);
    waiting[0].id = submit_one(rig.queue, &write);
    submit_one(rig.queue, &write);
    for (unsigned index = 0; index < 2; index++)
        thread_begin(&threads[index], waiting_main, &waiting[index]);
    EVENTUALLY(fault_held(rig.fault) == 2);
    sleep_us(20000);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    EXPECT(aio_file_close(rig.file), 0);
    EXPECT(aio_queue_destroy(rig.queue, AIO_QUEUE_DISCARD), 0);
    for (unsigned index = 0; index < 2; index++)
        thread_end(threads[index]);
    REQUIRE_EQ(waiting[0].result, PAGE);
    REQUIRE_EQ(waiting[1].result, 1);
    free(page);
}
END_TEST

/* Callbacks that count themselves and submit anew until told to stop. */
struct chain {
    struct aio_queue *queue;
    struct aio_op op;
    atomic_int submitted;
    atomic_int completed;
    atomic_int limit;
};

static void chain_next(const struct aio_completion *completion)
{
    struct chain *chain = completion->context;

    REQUIRE_EQ(completion->result, 0);
    sleep_us(500);
    if (chain->submitted < chain->limit) {
        int64_t result = CALL(aio_queue_submit(chain->queue, &chain->op, 1, NULL));

        REQUIRE(result == 1 || result == -ESHUTDOWN);
        chain->submitted += result == 1;
        if (result < 0)
            chain->limit = 0;
    }
    chain->completed++;
}

START_TEST(destroy_knows_what_callbacks_submit_meanwhile)
{
    for (unsigned round = 0; round < 10; round++) {
        struct fault *fault = fault_create(test_engine, 4);
        struct chain chain = {.queue = fault_queue(fault, 0), .submitted = 1, .limit = 20};
        struct aio_file *file = open_direct("file");

        chain.op = op_sync(file);
        chain.op.on_complete = chain_next;
        chain.op.context = &chain;
        submit_one(chain.queue, &chain.op);
        sleep_us(round * 300);
        EXPECT(aio_queue_destroy(chain.queue, AIO_QUEUE_DISCARD), 0);
        REQUIRE_EQ(chain.completed, chain.submitted);
        close_file(file);
    }
}
END_TEST

static void count_callback(const struct aio_completion *completion)
{
    atomic_fetch_add((atomic_int *)completion->context, 1);
}

START_TEST(a_submit_that_waits_for_a_slot_is_let_out_by_destroy)
{
    for (unsigned round = 0; round < 10; round++) {
        struct fault *fault = fault_create(test_engine, 1);
        struct aio_queue *queue = fault_queue(fault, 0);
        struct aio_file *file = open_direct("file");
        atomic_int called = 0;
        struct submitter submitter = {.queue = queue, .op = op_sync(file)};
        struct destroyer destroyer = {.queue = queue, .flags = AIO_QUEUE_DISCARD};
        pthread_t threads[2];

        submitter.op.on_complete = count_callback;
        submitter.op.context = &called;
        fault_hold(fault, FAULT_ALL);
        submit_one(queue, &submitter.op);
        thread_begin(&threads[0], submitter_main, &submitter);
        sleep_us(10000);
        thread_begin(&threads[1], destroyer_main, &destroyer);
        sleep_us(10000);
        fault_hold(fault, 0);
        fault_release(fault, FAULT_FOR_EVER);
        thread_end(threads[0]);
        thread_end(threads[1]);
        REQUIRE_EQ(destroyer.result, 0);
        REQUIRE(submitter.result == 1 || submitter.result == -ESHUTDOWN);
        REQUIRE_EQ(called, submitter.result == 1 ? 2 : 1);
        close_file(file);
    }
}
END_TEST

/* --- without a thread ----------------------------------------------------------------------- */

/* No thread can be started, until it is allowed again. What is root's has no limit. */
static struct rlimit threads_allowed;
static bool was_root;

static void forbid_threads(void)
{
    struct rlimit none;

    REQUIRE(getrlimit(RLIMIT_NPROC, &threads_allowed) == 0);
    none = (struct rlimit){0, threads_allowed.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NPROC, &none) == 0);
    was_root = geteuid() == 0;
    REQUIRE(!was_root || syscall(SYS_setresuid, 65534, 65534, 0) == 0);
}

static void allow_threads(void)
{
    REQUIRE(!was_root || syscall(SYS_setresuid, 0, 0, 0) == 0);
    REQUIRE(setrlimit(RLIMIT_NPROC, &threads_allowed) == 0);
}

START_TEST(a_submit_without_a_reaper_takes_nothing)
{
    struct aio_queue *queue = open_queue(2, 0);
    struct aio_op nop = op_nop();
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    aio_request_id id = 5;

    forbid_threads();
    EXPECT(aio_queue_submit(queue, &nop, 1, &id), -EAGAIN);
    allow_threads();
    REQUIRE_EQ(id, 5);
    EXPECT(aio_queue_stats(queue, &stats), 0);
    REQUIRE(stats.submitted == 0 && stats.held == 0);
    REQUIRE_EQ(run_op(queue, &nop).result, 0);
    close_queue(queue);
    /* One that no thread was ever started for. */
    queue = open_queue(2, 0);
    close_queue(queue);
}
END_TEST

/* --- what only kernel AIO has --------------------------------------------------------------- */

static unsigned long sysctl_of(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long value = 0;

    REQUIRE(file != NULL && fscanf(file, "%lu", &value) == 1);
    fclose(file);
    return value;
}

/* Other programs have requests too, other tests perhaps at this moment: they still get their few.
 * That nothing at all is left is tried in test_auto.c. */
START_TEST(less_depth_than_asked_for_is_explained)
{
    enum { QUEUES_MAX = 20 };
    unsigned long limit = sysctl_of("/proc/sys/fs/aio-max-nr");
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue *queues[QUEUES_MAX] = {NULL};
    char number[24];
    unsigned made = 1;

    if (test_engine != AIO_ENGINE_KAIO || limit / AIO_QUEUE_DEPTH_MAX > QUEUES_MAX - 3)
        return;
    options.engine = AIO_ENGINE_KAIO;
    options.depth = AIO_QUEUE_DEPTH_MAX;
    options.log = log_keep;
    options.log_context = &log;
    queues[0] = open_queue(1, 0);
    while (log_count(&log) == 0) {
        REQUIRE(made < QUEUES_MAX);
        EXPECT(aio_queue_create(&options, &queues[made]), 0);
        made++;
        REQUIRE((aio_queue_depth(queues[made - 1]) < options.depth) == (log_count(&log) == 1));
    }
    REQUIRE_EQ(log.level, AIO_LOG_WARNING);
    snprintf(number, sizeof(number), "%lu", limit);
    REQUIRE(log_has(&log, number));
    snprintf(number, sizeof(number), "depth %u ", aio_queue_depth(queues[made - 1]));
    REQUIRE(log_has(&log, number));
    snprintf(number, sizeof(number), "%u", AIO_QUEUE_DEPTH_MAX);
    REQUIRE(log_has(&log, number));
    REQUIRE(log_has(&log, "system used"));
    REQUIRE(log_has(&log, "aio-max-nr"));
    REQUIRE(log_has(&log, "share"));
    while (made > 0)
        close_queue(queues[--made]);
}
END_TEST

START_TEST(a_slot_that_held_a_write_can_sync)
{
    struct aio_queue *queue = open_queue(1, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct iovec iov = {page, PAGE};
    struct aio_op operations[] = {
        op_write(file, page, PAGE, PAGE),
        op_sync(file),
        op_vectors(AIO_OP_WRITEV, file, &iov, 1, 0),
        {.opcode = AIO_OP_DATASYNC, .file = file},
        op_read(file, page, PAGE, 0),
        op_sync(file),
    };

    for (size_t index = 0; index < COUNT(operations); index++) {
        struct aio_completion completion = run_op(queue, &operations[index]);

        ck_assert_msg(completion.result == (index % 2 == 0 ? (int)PAGE : 0), "%zu: %lld", index,
                      (long long)completion.result);
    }
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

/* --- fork ----------------------------------------------------------------------------------- */

struct forked {
    struct aio_queue *queue;
    struct aio_file *file;
    aio_request_id id;
    char *page;
};

static int queue_in_child(void *argument)
{
    struct forked *forked = argument;
    struct aio_op nop = op_nop();
    struct aio_completion completion = {.id = 5};
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct timespec no_time = {0, 0};

    EXPECT(aio_queue_submit(forked->queue, &nop, 1, NULL), -EOWNERDEAD);
    EXPECT(aio_queue_wait(forked->queue, forked->id, &no_time), -EOWNERDEAD);
    EXPECT(aio_queue_wait_result(forked->queue, forked->id, &no_time, &completion), -EOWNERDEAD);
    EXPECT(aio_queue_reap(forked->queue, &completion, 0, 1, &no_time), -EOWNERDEAD);
    EXPECT(aio_queue_drain(forked->queue, &no_time), -EOWNERDEAD);
    EXPECT(aio_queue_inflight(forked->queue, NULL, 0), -EOWNERDEAD);
    EXPECT(aio_queue_stats(forked->queue, &stats), -EOWNERDEAD);
    EXPECT(aio_queue_destroy(forked->queue, AIO_QUEUE_DISCARD), -EOWNERDEAD);
    REQUIRE_EQ(completion.id, 5);
    return 0;
}

START_TEST(a_child_cannot_use_the_queue)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct forked forked = {.queue = rig.queue};

    fault_hold(rig.fault, FAULT_ALL);
    forked.id = submit_one(rig.queue, &write);
    REQUIRE_EQ(in_child(queue_in_child, &forked), 0);
    /* Nothing of it was touched. */
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, forked.id).result, PAGE);
    rig_close(&rig);
    free(page);
}
END_TEST

static int own_queue_in_child(void *argument)
{
    struct forked *forked = argument;
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("of-the-child");
    struct aio_op write = op_write(file, forked->page, PAGE, 0);
    struct aio_file_options options = file_options();
    struct aio_file *other;

    REQUIRE_EQ(run_op(queue, &write).result, PAGE);
    /* The parent's queue is no queue for a new file. */
    options.queue = forked->queue;
    EXPECT(aio_file_open(scratch_path("of-the-child"), O_RDWR, 0, &options, &other), -EOWNERDEAD);
    close_file(file);
    close_queue(queue);
    return 0;
}

/* The sanitizers' own threads' book-keeping does not survive a fork of a process with threads. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CHILD_MAY_START_THREADS 0
#else
#define CHILD_MAY_START_THREADS 1
#endif

START_TEST(a_child_can_make_a_queue_of_its_own)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_op nop = op_nop();
    struct forked forked = {.queue = queue, .page = pattern_alloc(PAGE, 0, 3)};

    REQUIRE_EQ(run_op(queue, &nop).result, 0);
    if (CHILD_MAY_START_THREADS) {
        REQUIRE_EQ(in_child(own_queue_in_child, &forked), 0);
        disk_check_pattern("of-the-child", 0, PAGE, 3);
    } else {
        puts("not tried: a child that starts threads, which sanitizers do not support");
    }
    REQUIRE_EQ(run_op(queue, &nop).result, 0);
    close_queue(queue);
    free(forked.page);
}
END_TEST

static Suite *queue_suite(void)
{
    Suite *suite = suite_create("queue");

    ADD_TESTS(suite, "create", options_are_checked, no_options_mean_the_defaults, depth_is_as_asked,
              auto_says_which_engine_it_takes, engines_are_probed);
    ADD_TESTS(suite, "operations", every_opcode_moves_its_bytes, operations_without_bytes_give_zero,
              a_read_is_short_only_at_the_end, files_share_a_queue_and_queues_a_file);
    ADD_TESTS(suite, "refusals", bad_operations_are_refused, bad_arguments_are_refused,
              a_batch_ends_before_the_first_bad_one);
    ADD_TESTS(suite, "unaligned", any_place_and_memory_is_taken, any_number_of_vectors_is_taken);
    ADD_TESTS(suite, "space", space_is_changed_between_writes);
    ADD_TESTS(suite, "slots", a_table_full_of_results_is_busy,
              a_table_full_of_waited_results_is_busy_too, nonblock_refuses_where_it_would_wait,
              a_submit_waits_while_the_table_is_full_of_running_ones,
              a_waiting_submit_is_told_when_waiting_would_never_end,
              a_batch_larger_than_the_table_goes_through_with_callbacks);
    ADD_TESTS(suite, "looking", what_is_in_flight_is_listed_by_age,
              operations_of_one_batch_are_listed_in_its_order,
              a_part_and_a_refusal_show_in_the_list, stats_count, stats_of_another_version_are_cut);
    ADD_TESTS(suite, "end", destroy_waits_for_what_is_in_flight,
              destroy_refuses_while_results_are_left_and_works_later,
              destroy_refuses_while_a_file_uses_the_queue, destroy_lets_those_out_who_still_wait,
              destroy_knows_what_callbacks_submit_meanwhile,
              a_submit_that_waits_for_a_slot_is_let_out_by_destroy);
    ADD_TESTS(suite, "kernel", a_submit_without_a_reaper_takes_nothing,
              less_depth_than_asked_for_is_explained, a_slot_that_held_a_write_can_sync);
    ADD_TESTS(suite, "fork", a_child_cannot_use_the_queue, a_child_can_make_a_queue_of_its_own);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, queue_suite);
}
