/* SPDX-License-Identifier: MIT */
/*
 * test_random.c - calls at random on one file, blocking and submitted together, compared with an
 * array of bytes that the same is done to. An engine that moves parts only, and delivers in another
 * order, is under it.
 *
 * Usage: test_random <engine> [seed [operations]]; or AIOFILE_TEST_SEED and
 * AIOFILE_TEST_OPERATIONS in the environment. Each run says its seed first.
 *
 * What is in flight together must not meet, or there would be no telling what comes of it: a
 * transfer's range is not touched by others until its result is taken.
 *
 * There are three worlds: a direct file of which all is aligned, one that is not direct, and a
 * direct one of which nothing need be: any offset, any length, any memory.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

#define FILE_MAX ((uint64_t)MIB)
#define TRANSFER_MAX ((uint64_t)256 * KIB)
#define DEPTH 32
#define VECTORS 8
#define SHIFT_MAX 64 /* of memory that is not aligned, in bytes */

enum kind {
    KIND_DIRECT,
    KIND_CACHED,
    KIND_UNALIGNED,
};

static const char *const kind_names[] = {"direct", "cached", "unaligned"};

enum taken_by {
    BY_WAIT,
    BY_REAP,
    BY_CALLBACK,
    WAYS,
};

/* An operation in flight. */
struct pending {
    bool used;
    bool writes;
    bool extends; /* the file is longer with it */
    bool appends;
    enum taken_by way;
    struct aio_op op;
    uint64_t low;   /* from here to end nobody else may: a write beyond the end makes a hole */
    uint64_t start; /* of the transfer */
    uint64_t end;
    int64_t expected;
    unsigned char *room;   /* aligned */
    unsigned char *memory; /* somewhere in it */
    struct iovec iov[VECTORS];
    aio_request_id id;
    struct aio_completion completion;
    atomic_int done;
};

struct world {
    uint64_t seed;
    uint64_t random;
    unsigned step;
    uint64_t unit; /* of offsets and lengths */
    enum kind kind;
    struct fault *fault;
    struct aio_queue *queue;
    struct aio_file *file;
    int witness; /* a descriptor of the test's own */
    unsigned char *bytes;
    uint64_t size;
    uint64_t cursor;
    struct pending pending[DEPTH];
    unsigned pending_count;
    unsigned char *buffer;
    unsigned char *shifted; /* for blocking transfers: the buffer, or a few bytes into it */
};

/* Fails with the seed and the step. */
#define AGREE(world, left, right)                                                                  \
    do {                                                                                           \
        int64_t left_value = (int64_t)(left);                                                      \
        int64_t right_value = (int64_t)(right);                                                    \
        if (left_value != right_value)                                                             \
            ck_abort_msg("seed %llu, step %u: %s is %lld, not %lld",                               \
                         (unsigned long long)(world)->seed, (world)->step, #left,                  \
                         (long long)left_value, (long long)right_value);                           \
    } while (0)

static uint64_t choose(struct world *world, uint64_t below)
{
    return random_next(&world->random) % below;
}

/* Where to begin in memory that has SHIFT_MAX bytes more than needed. */
static unsigned char *choose_memory(struct world *world, unsigned char *room)
{
    if (world->kind != KIND_UNALIGNED || choose(world, 2) == 0)
        return room;
    return room + choose(world, SHIFT_MAX);
}

/* --- the array ------------------------------------------------------------------------------ */

static void model_resize(struct world *world, uint64_t size)
{
    if (size < world->size)
        memset(world->bytes + size, 0, world->size - size);
    world->size = size;
}

static void model_write(struct world *world, uint64_t offset, const unsigned char *from,
                        uint64_t length)
{
    memcpy(world->bytes + offset, from, length);
    if (length > 0 && offset + length > world->size)
        world->size = offset + length;
}

static uint64_t model_readable(const struct world *world, uint64_t offset, uint64_t length)
{
    if (offset >= world->size)
        return 0;
    return length < world->size - offset ? length : world->size - offset;
}

static void compare(struct world *world, const unsigned char *found, uint64_t offset,
                    uint64_t length)
{
    if (memcmp(found, world->bytes + offset, length) == 0)
        return;
    for (uint64_t index = 0; index < length; index++)
        if (found[index] != world->bytes[offset + index])
            ck_abort_msg("seed %llu, step %u: the byte at %llu is 0x%02x, not 0x%02x",
                         (unsigned long long)world->seed, world->step,
                         (unsigned long long)(offset + index), found[index],
                         world->bytes[offset + index]);
}

/* --- what is in flight ---------------------------------------------------------------------- */

static void take_pending(struct world *world, struct pending *pending)
{
    const struct aio_completion *completion = &pending->completion;

    AGREE(world, completion->id, pending->id);
    AGREE(world, completion->result, pending->expected);
    AGREE(world, completion->error, 0);
    AGREE(world, completion->offset, pending->op.opcode == AIO_OP_SYNC ? 0 : pending->start);
    if (!pending->writes && pending->op.opcode != AIO_OP_SYNC)
        compare(world, pending->memory, pending->start, (uint64_t)pending->expected);
    pending->used = false;
    world->pending_count--;
}

static void pending_callback(const struct aio_completion *completion)
{
    struct pending *pending = completion->context;

    pending->completion = *completion;
    atomic_fetch_add(&pending->done, 1);
}

/* Takes one or more results. */
static void take_some(struct world *world)
{
    struct pending *pending = &world->pending[choose(world, DEPTH)];
    struct aio_completion completions[DEPTH];
    int64_t count;

    while (!pending->used)
        pending = pending == &world->pending[DEPTH - 1] ? world->pending : pending + 1;
    switch (pending->way) {
    case BY_WAIT:
        AGREE(world,
              CALL(aio_queue_wait_result(world->queue, pending->id, NULL, &pending->completion)),
              0);
        take_pending(world, pending);
        break;
    case BY_REAP:
        count = CALL(aio_queue_reap(world->queue, completions, 1, 1 + choose(world, DEPTH), NULL));
        REQUIRE(count >= 1);
        for (int64_t index = 0; index < count; index++) {
            pending = completions[index].context;
            REQUIRE(pending->used && pending->way == BY_REAP);
            pending->completion = completions[index];
            take_pending(world, pending);
        }
        break;
    default:
        EVENTUALLY(pending->done > 0);
        AGREE(world, pending->done, 1);
        take_pending(world, pending);
        break;
    }
}

static void take_all(struct world *world)
{
    while (world->pending_count > 0)
        take_some(world);
}

/* Whether a range, for reading or for writing, meets something in flight. */
static bool meets(const struct world *world, uint64_t start, uint64_t end, bool writes)
{
    for (unsigned index = 0; index < DEPTH; index++) {
        const struct pending *pending = &world->pending[index];

        if (pending->used && (writes || pending->writes) && start < pending->end &&
            pending->low < end)
            return true;
    }
    return false;
}

static bool any_pending(const struct world *world, bool (*is)(const struct pending *))
{
    for (unsigned index = 0; index < DEPTH; index++)
        if (world->pending[index].used && is(&world->pending[index]))
            return true;
    return false;
}

static bool is_read(const struct pending *pending)
{
    return !pending->writes;
}

static bool is_extending(const struct pending *pending)
{
    return pending->extends && !pending->appends;
}

static bool is_append(const struct pending *pending)
{
    return pending->appends;
}

/* --- a transfer ----------------------------------------------------------------------------- */

/* Where nothing need be aligned some are so all the same: the roads are to meet. */
static uint64_t choose_unit(struct world *world)
{
    static const uint64_t units[] = {1, 1, 512, PAGE, PAGE};

    return world->kind == KIND_UNALIGNED ? units[choose(world, COUNT(units))] : world->unit;
}

/* A range that is free, taking results until it is. */
static void choose_range(struct world *world, bool writes, uint64_t *offset, uint64_t *length)
{
    uint64_t unit = choose_unit(world);
    uint64_t end;

    *length =
        (choose(world, 4) == 0 ? choose(world, TRANSFER_MAX) : choose(world, 20000)) / unit * unit;
    *offset = choose(world, FILE_MAX - *length) / unit * unit;
    end = *offset + *length;
    /* What makes the file longer concerns all from the old end on; so does a read that meets it. */
    if (end > world->size) {
        while (meets(world, world->size < *offset ? world->size : *offset, FILE_MAX, true) ||
               any_pending(world, is_append))
            take_some(world);
    }
    while (meets(world, *offset, end, writes))
        take_some(world);
}

/* Cuts memory into vectors. */
static unsigned choose_vectors(struct world *world, unsigned char *memory, uint64_t length,
                               struct iovec *iov)
{
    unsigned count = 0;

    while (count < VECTORS - 1 && length > 0) {
        uint64_t unit = length % PAGE == 0 && choose(world, 2) == 0 ? 512 : world->unit;
        uint64_t part = choose(world, length + 1) / unit * unit;

        iov[count++] = (struct iovec){memory, part};
        memory += part;
        length -= part;
    }
    iov[count++] = (struct iovec){memory, length};
    return count;
}

/* An operation for a transfer whose memory is filled where it writes. */
static struct aio_op choose_op(struct world *world, uint8_t scalar, uint8_t vector,
                               unsigned char *memory, uint64_t length, uint64_t offset,
                               struct iovec *iov)
{
    struct aio_op op = {.opcode = scalar,
                        .file = world->file,
                        .buf = memory,
                        .len = length,
                        .offset = (int64_t)offset};

    if (choose(world, 2) == 0) {
        op.opcode = vector;
        op.len = choose_vectors(world, memory, length, iov);
        op.iov = iov;
    }
    return op;
}

static void fill(struct world *world, unsigned char *memory, uint64_t length)
{
    pattern_fill(memory, length, 0, random_next(&world->random));
}

/* --- submitted ------------------------------------------------------------------------------ */

static void submit_pending(struct world *world, struct pending *pending)
{
    pending->used = true;
    pending->done = 0;
    pending->way = (enum taken_by)choose(world, WAYS);
    pending->op.context = pending;
    pending->op.flags |= pending->way == BY_WAIT ? AIO_OP_WAITED : 0;
    pending->op.on_complete = pending->way == BY_CALLBACK ? pending_callback : NULL;
    world->pending_count++;
    AGREE(world, CALL(aio_queue_submit(world->queue, &pending->op, 1, &pending->id)), 1);
}

static struct pending *pending_new(struct world *world)
{
    while (world->pending_count == DEPTH)
        take_some(world);
    for (struct pending *pending = world->pending;; pending++) {
        if (pending->used)
            continue;
        pending->writes = false;
        pending->extends = false;
        pending->appends = false;
        pending->low = 0;
        pending->start = 0;
        pending->end = 0;
        pending->memory = choose_memory(world, pending->room);
        pending->op.flags = 0;
        return pending;
    }
}

/* Now and then a write that is on the disk when it is done. */
static void choose_sync(struct world *world, struct aio_op *op)
{
    if (world->kind != KIND_DIRECT && choose(world, 16) == 0)
        op->flags |= AIO_OP_DSYNC;
}

static void submit_transfer(struct world *world, bool writes)
{
    struct pending *pending;
    uint64_t offset;
    uint64_t length;

    choose_range(world, writes, &offset, &length);
    pending = pending_new(world);
    pending->writes = writes;
    pending->start = offset;
    pending->end = offset + length;
    pending->extends = writes && pending->end > world->size;
    pending->low = pending->extends && world->size < offset ? world->size : offset;
    pending->expected = (int64_t)(writes ? length : model_readable(world, offset, length));
    if (writes) {
        fill(world, pending->memory, length);
        model_write(world, offset, pending->memory, length);
        pending->op = choose_op(world, AIO_OP_WRITE, AIO_OP_WRITEV, pending->memory, length, offset,
                                pending->iov);
        choose_sync(world, &pending->op);
    } else {
        memset(pending->memory, 0xee, length);
        pending->op = choose_op(world, AIO_OP_READ, AIO_OP_READV, pending->memory, length, offset,
                                pending->iov);
    }
    submit_pending(world, pending);
}

/* How long an append may be. Its place is known where the end is: nothing in flight but other
 * appends may move it, nothing may read there. */
static uint64_t append_length(struct world *world)
{
    uint64_t length = choose(world, 50000) / world->unit * world->unit;

    while (any_pending(world, is_extending) || any_pending(world, is_read))
        take_some(world);
    return world->size + length <= FILE_MAX ? length : 0;
}

static void submit_append(struct world *world)
{
    struct pending *pending;
    uint64_t length = append_length(world);

    if (world->size % world->unit != 0)
        return;
    pending = pending_new(world);
    pending->writes = true;
    pending->appends = true;
    pending->extends = true;
    pending->low = world->size;
    pending->start = world->size;
    pending->end = world->size + length;
    pending->expected = (int64_t)length;
    fill(world, pending->memory, length);
    model_write(world, world->size, pending->memory, length);
    pending->op =
        choose_op(world, AIO_OP_APPEND, AIO_OP_APPENDV, pending->memory, length, 0, pending->iov);
    choose_sync(world, &pending->op);
    submit_pending(world, pending);
}

static void submit_sync(struct world *world)
{
    struct pending *pending = pending_new(world);

    pending->expected = 0;
    pending->op = op_sync(world->file);
    pending->op.flags = choose(world, 2) == 0 ? AIO_OP_DRAIN : 0;
    submit_pending(world, pending);
}

/* Submitted truncates and allocations come between the writes submitted before and after; reads may
 * see either. */
static void submit_space(struct world *world)
{
    uint64_t size = choose(world, FILE_MAX);
    uint64_t from = choose(world, size + 1);
    bool truncates = choose(world, 2) == 0;
    struct pending *pending;

    while (any_pending(world, is_read))
        take_some(world);
    pending = pending_new(world);
    pending->writes = true; /* no read comes near, nor a write that the array has in other order */
    pending->extends = true;
    pending->low = 0;
    pending->end = FILE_MAX;
    pending->expected = 0;
    if (truncates) {
        pending->start = size;
        pending->op = (struct aio_op){
            .opcode = AIO_OP_TRUNCATE, .file = world->file, .offset = (int64_t)size};
        model_resize(world, size);
    } else if (size > from) {
        pending->start = from;
        pending->op = (struct aio_op){.opcode = AIO_OP_ALLOCATE,
                                      .file = world->file,
                                      .mode = AIO_ALLOCATE_WRITE_ZEROS,
                                      .offset = (int64_t)from,
                                      .len = size - from};
        memset(world->bytes + from, 0, size - from);
        if (size > world->size)
            world->size = size;
    } else {
        pending->op = op_sync(world->file);
    }
    submit_pending(world, pending);
}

/* --- blocking ------------------------------------------------------------------------------- */

static void block_transfer(struct world *world, bool writes)
{
    struct iovec iov[VECTORS];
    uint64_t offset;
    uint64_t length;
    struct aio_op op;

    choose_range(world, writes, &offset, &length);
    world->shifted = choose_memory(world, world->buffer);
    if (writes)
        fill(world, world->shifted, length);
    op = choose_op(world, writes ? AIO_OP_WRITE : AIO_OP_READ,
                   writes ? AIO_OP_WRITEV : AIO_OP_READV, world->shifted, length, offset, iov);
    if (writes) {
        choose_sync(world, &op);
        AGREE(world, CALL(aio_file_execute(world->file, &op)), length);
        model_write(world, offset, world->shifted, length);
        return;
    }
    length = model_readable(world, offset, length);
    AGREE(world, CALL(aio_file_execute(world->file, &op)), length);
    compare(world, world->shifted, offset, length);
}

static void block_at_cursor(struct world *world, bool writes)
{
    uint64_t offset;
    uint64_t length;

    choose_range(world, writes, &offset, &length);
    world->shifted = choose_memory(world, world->buffer);
    AGREE(world, CALL(aio_file_seek(world->file, (off_t)offset, SEEK_SET)), offset);
    if (writes) {
        fill(world, world->shifted, length);
        AGREE(world, CALL(aio_file_write(world->file, world->shifted, length)), length);
        model_write(world, offset, world->shifted, length);
    } else {
        length = model_readable(world, offset, length);
        AGREE(world,
              CALL(aio_file_read(world->file, world->shifted,
                                 (length + world->unit - 1) / world->unit * world->unit)),
              length);
        compare(world, world->shifted, offset, length);
    }
    world->cursor = offset + length;
    AGREE(world, CALL(aio_file_seek(world->file, 0, SEEK_CUR)), world->cursor);
}

static void block_append(struct world *world)
{
    uint64_t length = append_length(world);
    uint64_t end = world->size;
    off_t where = -1;

    if (end % world->unit != 0) {
        AGREE(world, CALL(aio_file_append(world->file, world->buffer, world->unit, &where)),
              -EINVAL);
        AGREE(world, where, -1);
        return;
    }
    world->shifted = choose_memory(world, world->buffer);
    fill(world, world->shifted, length);
    AGREE(world, CALL(aio_file_append(world->file, world->shifted, length, &where)), length);
    AGREE(world, where, end);
    model_write(world, end, world->shifted, length);
}

/* With writes in flight, which come first; a read could see either. */
static void block_truncate(struct world *world)
{
    uint64_t size = choose(world, FILE_MAX);

    if (choose(world, 2) == 0)
        size = size / PAGE * PAGE;
    while (any_pending(world, is_read))
        take_some(world);
    AGREE(world, CALL(aio_file_truncate(world->file, (off_t)size)), 0);
    model_resize(world, size);
}

/* --- the whole ------------------------------------------------------------------------------ */

static void check_all(struct world *world)
{
    uint64_t length;

    take_all(world);
    AGREE(world, CALL(aio_file_size(world->file)), world->size);
    AGREE(world, lseek(world->witness, 0, SEEK_END), world->size);
    AGREE(world, CALL(aio_file_seek(world->file, 0, SEEK_CUR)), world->cursor);
    length = (world->size + world->unit - 1) / world->unit * world->unit;
    AGREE(world, CALL(aio_file_pread(world->file, world->buffer, length, 0)), world->size);
    compare(world, world->buffer, 0, world->size);
    AGREE(world, pread(world->witness, world->buffer, world->size, 0), world->size);
    compare(world, world->buffer, 0, world->size);
}

static bool is_growing(const struct pending *pending)
{
    return pending->extends;
}

/* After each step: the size, and a piece that nothing in flight is writing. */
static void glance(struct world *world)
{
    bool growing = any_pending(world, is_growing);
    uint64_t offset = choose(world, FILE_MAX);
    uint64_t length = model_readable(world, offset, choose(world, 20000));
    ssize_t got;

    if (!growing)
        AGREE(world, CALL(aio_file_size(world->file)), world->size);
    if (length == 0 || meets(world, offset, offset + length, false))
        return;
    got = pread(world->witness, world->buffer, length, (off_t)offset);
    REQUIRE(got >= 0);
    if (!growing)
        AGREE(world, got, length);
    compare(world, world->buffer, offset, (uint64_t)got);
}

static void world_open_file(struct world *world)
{
    struct aio_file_options options = file_options();

    options.direct = world->kind == KIND_CACHED ? AIO_DIRECT_NEVER : AIO_DIRECT_REQUIRED;
    if (world->kind == KIND_DIRECT || world->seed % 2 == 0)
        options.alignment = 512;
    if (world->kind == KIND_DIRECT)
        options.unaligned = AIO_UNALIGNED_REJECT;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &world->file), 0);
    fault_attach(world->fault, world->file);
    world->cursor = 0;
}

static void reopen(struct world *world)
{
    take_all(world);
    AGREE(world, CALL(aio_file_close(world->file)), 0);
    fault_block_where_files_grow(world->fault, choose(world, 2) == 0);
    world_open_file(world);
    check_all(world);
}

static void change_engine(struct world *world)
{
    static const unsigned chances[] = {0, 2, 3, 10};

    fault_reverse(world->fault, choose(world, 2) == 0);
    fault_shorten_by_chance(world->fault, random_next(&world->random), chances[choose(world, 4)],
                            512);
    fault_take(world->fault, (unsigned)choose(world, 4));
    fault_interrupt_submit(world->fault, (uint32_t)choose(world, 3));
    fault_interrupt_reap(world->fault, (uint32_t)choose(world, 3));
    if (choose(world, 4) == 0)
        fault_refuse(world->fault, -EAGAIN, (uint32_t)choose(world, 3));
}

static void step(struct world *world)
{
    uint64_t chance = choose(world, 100);

    if (chance < 25)
        submit_transfer(world, true);
    else if (chance < 45)
        submit_transfer(world, false);
    else if (chance < 50)
        submit_append(world);
    else if (chance < 52)
        submit_sync(world);
    else if (chance < 54 && world->kind != KIND_DIRECT)
        submit_space(world);
    else if (chance < 65 && world->pending_count > 0)
        take_some(world);
    else if (chance < 73)
        block_transfer(world, true);
    else if (chance < 81)
        block_transfer(world, false);
    else if (chance < 85)
        block_at_cursor(world, chance < 83);
    else if (chance < 88)
        block_append(world);
    else if (chance < 92)
        block_truncate(world);
    else if (chance < 94)
        AGREE(world,
              CALL(chance < 93 ? aio_file_sync(world->file) : aio_file_datasync(world->file)), 0);
    else if (chance < 96)
        change_engine(world);
    else if (chance < 97)
        reopen(world);
    else if (chance < 98)
        AGREE(world, CALL(aio_queue_drain(world->queue, NULL)), 0);
    else
        check_all(world);
}

static void run(uint64_t seed, unsigned count, enum kind kind)
{
    struct world *world = calloc(1, sizeof(*world));

    printf("random: %s, seed %llu, %u operations, %s\n", engine_name(test_engine),
           (unsigned long long)seed, count, kind_names[kind]);
    fflush(stdout);
    world->seed = seed;
    world->random = seed;
    world->kind = kind;
    world->unit = kind == KIND_DIRECT ? 512 : 1;
    world->bytes = calloc(1, FILE_MAX + PAGE);
    world->buffer = page_alloc(FILE_MAX + PAGE + SHIFT_MAX);
    world->fault = fault_create(test_engine, DEPTH);
    world->queue = fault_queue(world->fault, 0);
    unlink(scratch_path("file"));
    world_open_file(world);
    world->witness = open(scratch_path("file"), O_RDONLY | O_CLOEXEC);
    /* No reading ahead into what is being written. */
    posix_fadvise(world->witness, 0, 0, POSIX_FADV_RANDOM);
    for (unsigned index = 0; index < DEPTH; index++)
        world->pending[index].room = page_alloc(TRANSFER_MAX + SHIFT_MAX);
    for (world->step = 0; world->step < count; world->step++) {
        step(world);
        glance(world);
    }
    check_all(world);
    close(world->witness);
    close_file(world->file);
    close_queue(world->queue);
    for (unsigned index = 0; index < DEPTH; index++)
        free(world->pending[index].room);
    free(world->bytes);
    free(world->buffer);
    free(world);
}

static const char *seed_given;
static unsigned operations = 1500;

static void run_all(enum kind kind)
{
    static const uint64_t seeds[] = {1, 2, 3, 4, 5, 6};

    if (seed_given != NULL) {
        run(strtoull(seed_given, NULL, 0), operations, kind);
        return;
    }
    for (size_t index = 0; index < COUNT(seeds); index++)
        run(seeds[index], operations * test_scale(), kind);
}

START_TEST(a_direct_file_is_like_an_array_of_bytes)
{
    run_all(KIND_DIRECT);
}
END_TEST

START_TEST(a_cached_file_is_like_an_array_of_bytes)
{
    run_all(KIND_CACHED);
}
END_TEST

START_TEST(an_unaligned_file_is_like_an_array_of_bytes)
{
    run_all(KIND_UNALIGNED);
}
END_TEST

static Suite *random_suite(void)
{
    Suite *suite = suite_create("random");
    const TTest *const tests[] = {a_direct_file_is_like_an_array_of_bytes,
                                  a_cached_file_is_like_an_array_of_bytes,
                                  an_unaligned_file_is_like_an_array_of_bytes};

    add_long_tests(suite, "random", tests, COUNT(tests), 10 * test_scale());
    return suite;
}

int main(int argc, char **argv)
{
    const char *count = argc > 3 ? argv[3] : getenv("AIOFILE_TEST_OPERATIONS");

    seed_given = argc > 2 ? argv[2] : getenv("AIOFILE_TEST_SEED");
    if (count != NULL)
        operations = (unsigned)strtoul(count, NULL, 0);
    return run_suite_on_engine(argc, argv, random_suite);
}
