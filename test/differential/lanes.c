/* SPDX-License-Identifier: MIT */
/*
 * lanes.c - many operations in flight, submitted and blocking ones together, whose bytes do not
 * meet although their blocks do; so that it is known what each must give.
 *
 * A lane is a thread with bytes of its own. Where there are several, the file is cut into segments
 * at any byte, which the lanes have by turns; the one that has the last segment moves the end of
 * the file too. The plain twin does everything when it is submitted.
 *
 * What waits in a batch counts as in flight. A truncate or an allocation is a fence: writes before
 * it are done when it begins, and those behind it begin when it is done, so that these may meet.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "judge.h"
#include "memory.h"
#include "modes.h"
#include "range.h"

#define DEPTH 32       /* operations of a lane in flight */
#define DEPTH_SHARED 6 /* the same where there are several lanes */
#define LANES_MAX 8
#define SEGMENTS_MAX 2048
#define BATCH_MAX 8
#define APPENDED_MAX 64
#define TRANSFER_MAX (512 * KIB)

/* Operations of a round, at whose end everything is compared. */
#define ROUND 800
#define ROUND_OF_LANE 75

#define FOR_EVER UINT64_MAX

enum kind {
    READ,
    WRITE,
    APPEND,
    SYNC,
    FENCE, /* truncate, allocate */
};

/* Who takes the result. */
enum way {
    BY_WAIT,     /* the only one that may */
    BY_CLAIM,    /* a wait, though a reap may come before it */
    BY_REAP,     /* any lane's */
    BY_CALLBACK, /* */
    WAYS,
};

struct pending {
    struct lane *lane;
    bool used;
    enum kind kind;
    enum way way;
    bool extends;   /* a write that makes the file longer */
    uint64_t order; /* of submission */
    uint64_t low;   /* what it concerns: a write beyond the end makes a hole */
    uint64_t end;
    int64_t expected;
    uint64_t pattern; /* of what it writes */
    struct memory memory;
    unsigned char *bytes; /* what it is to read, or has written */
    uint64_t room;
    struct aio_op op;
    aio_request_id id;
    struct aio_completion completion;
    bool done; /* guarded by the lane's lock */
};

/* An append that is done, and not yet in the twin. */
struct appended {
    uint64_t offset;
    uint64_t length;
    uint64_t pattern;
};

struct lanes;

struct lane {
    struct lanes *lanes;
    unsigned number;
    struct aio_file *file;
    struct aio_queue *queue;
    uint64_t random; /* for what is done */
    uint64_t taking; /* for how results are taken, whose order is not known */
    bool tail;       /* the end of the file is its */
    uint64_t low;    /* where the bytes begin that it alone touches, up to the end */
    uint64_t size;   /* of the file, once all is done; of the tail's lane only */
    uint64_t hot;
    uint64_t order;
    uint64_t fence; /* writes before it have ended when those behind it begin */
    unsigned depth;
    struct pending pending[DEPTH];
    unsigned pending_count;
    struct pending *batch[BATCH_MAX];
    unsigned batch_count;
    unsigned batch_target;
    unsigned appends; /* in flight */
    struct appended appended[APPENDED_MAX];
    unsigned appended_count;
    struct memory memory; /* of blocking calls */
    unsigned char *bytes;
    uint64_t operations;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something is done */
    pthread_t thread;
};

struct lanes {
    struct world *world;
    uint64_t random;
    struct lane lane[LANES_MAX];
    unsigned count;
    struct pair pairs[2];
    unsigned handles;
    struct aio_queue *queue;
    uint64_t borders[SEGMENTS_MAX + 1]; /* segment i is from i to i + 1 */
    unsigned segments;
};

static uint64_t choose(struct lane *lane, uint64_t limit)
{
    return below(&lane->random, limit);
}

/* --- results -------------------------------------------------------------------------------- */

static void deliver(struct pending *pending, const struct aio_completion *completion)
{
    struct lane *lane = pending->lane;

    pthread_mutex_lock(&lane->lock);
    if (pending->done || !pending->used)
        disagree("request %llu has two results", (unsigned long long)completion->id);
    pending->completion = *completion;
    pending->done = true;
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
}

static void callback(const struct aio_completion *completion)
{
    struct pending *pending = completion->context;

    if (pending->way != BY_CALLBACK)
        disagree("a callback for request %llu", (unsigned long long)completion->id);
    deliver(pending, completion);
}

static bool is_done(struct pending *pending)
{
    bool done;

    pthread_mutex_lock(&pending->lane->lock);
    done = pending->done;
    pthread_mutex_unlock(&pending->lane->lock);
    return done;
}

static void wait_done(struct pending *pending)
{
    pthread_mutex_lock(&pending->lane->lock);
    while (!pending->done)
        pthread_cond_wait(&pending->lane->changed, &pending->lane->lock);
    pthread_mutex_unlock(&pending->lane->lock);
}

static void reap_until_done(struct pending *pending)
{
    struct aio_completion completions[DEPTH];
    struct lane *lane = pending->lane;

    while (!is_done(pending)) {
        int64_t count = ASK(aio_queue_reap(lane->queue, completions, 1,
                                           1 + (unsigned)below(&lane->taking, DEPTH), NULL));

        if (count < 0)
            agree("aio_queue_reap", count, 1);
        for (int64_t index = 0; index < count; index++) {
            struct pending *reaped = completions[index].context;

            if (reaped->way != BY_REAP && reaped->way != BY_CLAIM)
                disagree("a reap of request %llu", (unsigned long long)completions[index].id);
            deliver(reaped, &completions[index]);
        }
        /* Another lane has it, and is about to say so. */
        if (count == 0)
            wait_done(pending);
    }
}

static void wait_by_id(struct pending *pending)
{
    struct aio_completion completion;
    int error;

    if (pending->way == BY_CLAIM && is_done(pending))
        return;
    error = (int)ASK(aio_queue_wait_result(pending->lane->queue, pending->id, NULL, &completion));
    if (pending->way == BY_CLAIM && error == -ESTALE) {
        wait_done(pending);
        return;
    }
    agree("aio_queue_wait_result", error, 0);
    deliver(pending, &completion);
}

static const char *kind_name(const struct pending *pending)
{
    static const char *const names[] = {"nop",      "read",     "write",   "readv",
                                        "writev",   "append",   "appendv", "sync",
                                        "datasync", "truncate", "allocate"};

    return names[pending->op.opcode];
}

static unsigned char *bytes_of(struct pending *pending, uint64_t length)
{
    if (pending->bytes == NULL || pending->room < length) {
        free(pending->bytes);
        pending->room = length + 16 * KIB;
        pending->bytes = page_alloc(pending->room);
    }
    return pending->bytes;
}

static void check_completion(struct pending *pending)
{
    const struct aio_completion *completion = &pending->completion;

    agree("the id of a completion", (int64_t)completion->id, (int64_t)pending->id);
    agree("the flags of a completion", completion->flags, 0);
    agree(kind_name(pending), completion->result, pending->expected);
    agree("the error of a completion", completion->error,
          pending->expected < 0 ? pending->expected : 0);
    if (pending->kind == READ || pending->kind == WRITE)
        agree("the offset of a completion", completion->offset, pending->op.offset);
}

/* --- appends -------------------------------------------------------------------------------- */

static int by_offset(const void *left, const void *right)
{
    const struct appended *first = left;
    const struct appended *second = right;

    if (first->offset != second->offset)
        return first->offset < second->offset ? -1 : 1;
    return first->length < second->length ? -1 : first->length > second->length;
}

/* Once all are done: in some order they lie one behind the other. */
static void settle_appends(struct lane *lane)
{
    struct world *world = lane->lanes->world;
    uint64_t end = lane->size;

    if (lane->appends > 0)
        return;
    qsort(lane->appended, lane->appended_count, sizeof(lane->appended[0]), by_offset);
    for (unsigned index = 0; index < lane->appended_count; index++) {
        const struct appended *appended = &lane->appended[index];

        if (appended->length > 0)
            agree("the place of an append", (int64_t)appended->offset, (int64_t)end);
        pattern_fill(lane->bytes, appended->length, 0, appended->pattern);
        must(plain_pwrite(&world->mirror, lane->bytes, appended->length,
                          (int64_t)appended->offset) == (int64_t)appended->length,
             "write");
        end += appended->length;
    }
    world_changed(world, lane->size, end);
    lane->size = end;
    lane->appended_count = 0;
}

static void append_done(struct lane *lane, int64_t offset, uint64_t length, uint64_t pattern)
{
    lane->appended[lane->appended_count++] = (struct appended){(uint64_t)offset, length, pattern};
    settle_appends(lane);
}

/* --- taking --------------------------------------------------------------------------------- */

static void finish(struct pending *pending)
{
    struct lane *lane = pending->lane;
    const struct aio_op *op = &pending->op;

    note("lane %u took %s at %lld", lane->number, kind_name(pending),
         (long long)pending->completion.offset);
    check_completion(pending);
    if (pending->kind == READ)
        memory_check(&pending->memory, kind_name(pending), pending->bytes,
                     (uint64_t)pending->expected, (uint64_t)op->offset);
    if (pending->kind == WRITE || pending->kind == APPEND)
        memory_check(&pending->memory, kind_name(pending), pending->bytes, pending->memory.length,
                     (uint64_t)op->offset);
    pending->used = false;
    lane->pending_count--;
    if (pending->kind == APPEND) {
        lane->appends--;
        append_done(lane, pending->completion.offset, pending->memory.length, pending->pattern);
    }
}

static void flush(struct lane *lane)
{
    struct aio_op ops[BATCH_MAX];
    aio_request_id ids[BATCH_MAX];

    if (lane->batch_count == 0)
        return;
    for (unsigned index = 0; index < lane->batch_count; index++)
        ops[index] = lane->batch[index]->op;
    agree("aio_queue_submit", ASK(aio_queue_submit(lane->queue, ops, lane->batch_count, ids)),
          lane->batch_count);
    for (unsigned index = 0; index < lane->batch_count; index++)
        lane->batch[index]->id = ids[index];
    lane->batch_count = 0;
    lane->batch_target = 1 + (unsigned)(one_in(&lane->random, 2) ? 0 : choose(lane, BATCH_MAX));
}

static void take_some(struct lane *lane)
{
    struct pending *pending = &lane->pending[below(&lane->taking, lane->depth)];

    flush(lane);
    while (!pending->used)
        pending = pending == &lane->pending[lane->depth - 1] ? lane->pending : pending + 1;
    switch (pending->way) {
    case BY_WAIT:
    case BY_CLAIM:
        wait_by_id(pending);
        break;
    case BY_REAP:
        reap_until_done(pending);
        break;
    default:
        wait_done(pending);
        break;
    }
    finish(pending);
}

static void take_all(struct lane *lane)
{
    while (lane->pending_count > 0)
        take_some(lane);
}

/* --- what meets ----------------------------------------------------------------------------- */

static bool overlaps(const struct pending *pending, uint64_t start, uint64_t end)
{
    return start < pending->end && pending->low < end;
}

static bool pending_meets(const struct lane *lane, const struct pending *pending, uint64_t start,
                          uint64_t end, bool writes)
{
    switch (pending->kind) {
    case READ:
        return writes && overlaps(pending, start, end);
    case WRITE:
        return overlaps(pending, start, end) && !(writes && pending->order < lane->fence);
    case FENCE:
        return !writes && overlaps(pending, start, end);
    default:
        return false;
    }
}

/* Whether a range, for reading or for writing, meets something in flight. */
static bool meets(const struct lane *lane, uint64_t start, uint64_t end, bool writes)
{
    if (lane->appends > 0 && end > lane->size)
        return true;
    for (unsigned index = 0; index < lane->depth; index++)
        if (lane->pending[index].used &&
            pending_meets(lane, &lane->pending[index], start, end, writes))
            return true;
    return false;
}

static bool any_kind(const struct lane *lane, enum kind kind)
{
    for (unsigned index = 0; index < lane->depth; index++)
        if (lane->pending[index].used && lane->pending[index].kind == kind)
            return true;
    return false;
}

/* Whether the end of the file is yet to come, but for fences. */
static bool is_extending(const struct lane *lane)
{
    for (unsigned index = 0; index < lane->depth; index++) {
        const struct pending *pending = &lane->pending[index];

        if (pending->used && pending->extends && pending->order >= lane->fence)
            return true;
    }
    return false;
}

/* --- ranges --------------------------------------------------------------------------------- */

/* In the last segment, and beyond. */
static struct range choose_tail(struct lane *lane)
{
    uint64_t limit = lane->lanes->count == 1 ? FILE_MAX : FILE_MAX / 4;
    struct range range = choose_range(&lane->random, lane->size, limit, TRANSFER_MAX, &lane->hot);

    if (range.offset < lane->low)
        range.offset = (lane->low + range.offset % CHUNK + range.unit) / range.unit * range.unit;
    return range;
}

static struct range choose_segment(struct lane *lane)
{
    const struct lanes *lanes = lane->lanes;
    unsigned turns = (lanes->segments - lane->number + lanes->count - 1) / lanes->count;
    unsigned segment = lane->number + lanes->count * (unsigned)choose(lane, turns);

    if (lane->tail && segment == lanes->segments - 1)
        return choose_tail(lane);
    return choose_within(&lane->random, lanes->borders[segment], lanes->borders[segment + 1],
                         TRANSFER_MAX);
}

/* A range that is free, taking results until it is. */
static struct range choose_free(struct lane *lane, bool writes)
{
    const struct world *world = lane->lanes->world;
    struct range range;
    uint64_t low;

    if (lane->lanes->count > 1)
        range = choose_segment(lane);
    else if (world->device)
        range = choose_range(&lane->random, lane->size, lane->size, TRANSFER_MAX, &lane->hot);
    else
        range = choose_tail(lane);
    if (world->device && writes && !world->any_write) {
        range.unit = PAGE;
        range.offset = range.offset / PAGE * PAGE;
        range.length = range.length / PAGE * PAGE;
    }
    low = range.offset;
    if (writes && range.length > 0 && range.offset + range.length > lane->size && lane->size < low)
        low = lane->size;
    while (meets(lane, low, range.offset + range.length, writes))
        take_some(lane);
    return range;
}

/* --- transfers ------------------------------------------------------------------------------ */

static enum memory_shape choose_shape(struct lane *lane)
{
    return one_in(&lane->random, 3) ? MEMORY_VECTORS : MEMORY_ONE;
}

static struct aio_op transfer_op(struct lane *lane, const struct memory *memory,
                                 enum memory_shape shape, uint8_t scalar, uint8_t vectors)
{
    struct aio_op op = {.opcode = shape == MEMORY_ONE ? scalar : vectors, .file = lane->file};

    if (shape == MEMORY_ONE) {
        op.buf = memory_one(memory);
        op.len = memory->length;
    } else {
        op.iov = memory->pieces;
        op.len = memory->count;
    }
    if (scalar != AIO_OP_READ && one_in(&lane->random, 40))
        op.flags = AIO_OP_DSYNC;
    return op;
}

/* The twin writes, and the lane's idea of the size follows. */
static void twin_writes(struct lane *lane, const unsigned char *bytes, const struct range *range)
{
    struct world *world = lane->lanes->world;
    uint64_t end = range->offset + range->length;

    if (range->length == 0)
        return;
    must(plain_pwrite(&world->mirror, bytes, range->length, (int64_t)range->offset) ==
             (int64_t)range->length,
         "write");
    if (end > lane->size && lane->tail) {
        world_changed(world, lane->size, end);
        lane->size = end;
    }
    world_changed(world, range->offset, end);
}

static struct pending *pending_new(struct lane *lane, enum kind kind)
{
    struct pending *pending = lane->pending;

    while (lane->pending_count == lane->depth)
        take_some(lane);
    while (pending->used)
        pending++;
    pending->lane = lane;
    pending->kind = kind;
    pending->extends = false;
    pending->low = 0;
    pending->end = 0;
    pending->expected = 0;
    return pending;
}

static void submit(struct lane *lane, struct pending *pending)
{
    pending->used = true;
    pending->done = false;
    pending->order = lane->order++;
    pending->way = (enum way)below(&lane->taking, WAYS);
    pending->op.context = pending;
    if (pending->way == BY_WAIT)
        pending->op.flags |= AIO_OP_WAITED;
    if (pending->way == BY_CALLBACK)
        pending->op.on_complete = callback;
    lane->pending_count++;
    lane->batch[lane->batch_count++] = pending;
    note("lane %u submits %s, flags %u, mode 0x%x: %llu bytes at %lld, %u pieces, the first at a "
         "page's %u; size %llu",
         lane->number, kind_name(pending), pending->op.flags, pending->op.mode,
         (unsigned long long)(pending->memory.count > 0 ? pending->memory.length : 0),
         (long long)pending->op.offset, pending->memory.count,
         (unsigned)((uintptr_t)memory_one(&pending->memory) % PAGE),
         (unsigned long long)lane->size);
    if (lane->batch_count >= lane->batch_target)
        flush(lane);
}

static void submit_read(struct lane *lane)
{
    struct range range = choose_free(lane, false);
    struct pending *pending = pending_new(lane, READ);
    enum memory_shape shape = choose_shape(lane);

    memory_lay(&pending->memory, &lane->random, shape, range.length, range.unit);
    pending->op = transfer_op(lane, &pending->memory, shape, AIO_OP_READ, AIO_OP_READV);
    pending->op.offset = (int64_t)range.offset;
    pending->low = range.offset;
    pending->end = range.offset + range.length;
    pending->expected = plain_pread(&lane->lanes->world->mirror, bytes_of(pending, range.length),
                                    range.length, (int64_t)range.offset);
    submit(lane, pending);
}

static void fill(struct pending *pending, uint64_t length)
{
    pending->pattern = random_next(&pending->lane->random);
    pattern_fill(bytes_of(pending, length), length, 0, pending->pattern);
    memory_put(&pending->memory, pending->bytes);
}

static void submit_write(struct lane *lane)
{
    struct range range = choose_free(lane, true);
    struct pending *pending = pending_new(lane, WRITE);
    enum memory_shape shape = choose_shape(lane);

    memory_lay(&pending->memory, &lane->random, shape, range.length, range.unit);
    pending->op = transfer_op(lane, &pending->memory, shape, AIO_OP_WRITE, AIO_OP_WRITEV);
    pending->op.offset = (int64_t)range.offset;
    pending->end = range.offset + range.length;
    pending->extends = range.length > 0 && pending->end > lane->size && lane->tail;
    pending->low = pending->extends && lane->size < range.offset ? lane->size : range.offset;
    pending->expected = (int64_t)range.length;
    fill(pending, range.length);
    twin_writes(lane, pending->bytes, &range);
    submit(lane, pending);
}

/* How long an append may be; makes sure that its place is known: nothing in flight but other
 * appends moves the end, and nothing reads there. */
static bool may_append(struct lane *lane, uint64_t *length, uint64_t *unit)
{
    uint64_t planned = lane->size;

    if (!lane->tail)
        return false;
    while (lane->appended_count + lane->appends >= APPENDED_MAX ||
           (lane->appends == 0 && (is_extending(lane) || meets(lane, lane->size, FOR_EVER, true))))
        take_some(lane);
    *unit = choose_unit(&lane->random);
    *length = choose_length(&lane->random, *unit, 64 * KIB);
    return planned + (APPENDED_MAX + 1) * *length <= FILE_MAX;
}

static void submit_append(struct lane *lane)
{
    enum memory_shape shape = choose_shape(lane);
    struct pending *pending;
    uint64_t length;
    uint64_t unit;

    if (!may_append(lane, &length, &unit))
        return;
    pending = pending_new(lane, APPEND);
    memory_lay(&pending->memory, &lane->random, shape, length, unit);
    pending->op = transfer_op(lane, &pending->memory, shape, AIO_OP_APPEND, AIO_OP_APPENDV);
    pending->expected = (int64_t)length;
    fill(pending, length);
    lane->appends++;
    submit(lane, pending);
}

static void submit_sync(struct lane *lane)
{
    struct pending *pending = pending_new(lane, SYNC);

    pending->memory.count = 0;
    pending->op =
        (struct aio_op){.opcode = one_in(&lane->random, 2) ? AIO_OP_SYNC : AIO_OP_DATASYNC,
                        .file = lane->file,
                        .flags = one_in(&lane->random, 2) ? AIO_OP_DRAIN : 0};
    submit(lane, pending);
}

/* --- fences --------------------------------------------------------------------------------- */

static struct aio_op choose_truncate(struct lane *lane)
{
    uint64_t span = lane->lanes->count == 1 ? 4 * MIB : 256 * KIB;
    uint64_t length = lane->low + choose(lane, span);

    if (one_in(&lane->random, 2))
        length = lane->size + choose(lane, 16 * KIB) - (lane->size > 8 * KIB ? 8 * KIB : 0);
    if (one_in(&lane->random, 3))
        length = length / PAGE * PAGE;
    if (length < lane->low)
        length = lane->low;
    return (struct aio_op){
        .opcode = AIO_OP_TRUNCATE, .file = lane->file, .offset = (int64_t)length};
}

static struct aio_op choose_allocate(struct lane *lane)
{
    static const int modes[] = {
        0,
        FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
        AIO_ALLOCATE_WRITE_ZEROS,
    };
    struct aio_op op = {.opcode = AIO_OP_ALLOCATE, .file = lane->file};
    struct range range = lane->lanes->count > 1 ? choose_segment(lane) : choose_tail(lane);

    op.offset = (int64_t)range.offset;
    op.len = range.length;
    op.mode = (uint32_t)ONE_OF(&lane->random, modes);
    return op;
}

/* Which bytes a fence concerns: a reader there would see either. */
static void fence_range(const struct lane *lane, const struct aio_op *op, uint64_t *low,
                        uint64_t *end)
{
    *low = (uint64_t)op->offset;
    *end = *low + op->len;
    if (op->opcode == AIO_OP_TRUNCATE || *end > lane->size) {
        *low = *low < lane->size ? *low : lane->size;
        *end = FOR_EVER;
    }
}

static bool any_read_in(const struct lane *lane, uint64_t low, uint64_t end)
{
    for (unsigned index = 0; index < lane->depth; index++) {
        const struct pending *pending = &lane->pending[index];

        if (pending->used && pending->kind == READ && overlaps(pending, low, end))
            return true;
    }
    return false;
}

/* Lets the twin do it. Returns its answer. */
static int64_t twin_fences(struct lane *lane, const struct aio_op *op)
{
    struct world *world = lane->lanes->world;
    uint64_t before = lane->size;
    int64_t result;

    if (op->opcode == AIO_OP_TRUNCATE)
        result = plain_truncate(&world->mirror, op->offset);
    else
        result = plain_allocate(&world->mirror, (int)op->mode, op->offset, (int64_t)op->len);
    if (lane->tail)
        lane->size = world_size(world);
    world_changed(world, (uint64_t)op->offset, (uint64_t)op->offset + op->len);
    world_changed(world, before < lane->size ? before : lane->size,
                  before < lane->size ? lane->size : before);
    return result;
}

static void fence(struct lane *lane, bool truncates, bool submitted)
{
    struct pending *pending;
    struct aio_op op;
    uint64_t low;
    uint64_t end;

    if (lane->lanes->world->device || (truncates && !lane->tail))
        return;
    op = truncates ? choose_truncate(lane) : choose_allocate(lane);
    if (!truncates && op.len == 0)
        return;
    /* What comes of two truncates together is not promised. */
    while (lane->appends > 0 || any_kind(lane, FENCE))
        take_some(lane);
    fence_range(lane, &op, &low, &end);
    while (any_read_in(lane, low, end))
        take_some(lane);
    if (submitted) {
        pending = pending_new(lane, FENCE);
        pending->memory.count = 0;
        pending->low = low;
        pending->end = end;
        pending->op = op;
        pending->expected = twin_fences(lane, &op);
        lane->fence = lane->order;
        submit(lane, pending);
        return;
    }
    flush(lane);
    note("lane %u %s, mode 0x%x, %llu bytes at %lld; size %llu", lane->number,
         truncates ? "truncates" : "allocates", op.mode, (unsigned long long)op.len,
         (long long)op.offset, (unsigned long long)lane->size);
    agree(truncates ? "aio_file_truncate" : "aio_file_allocate",
          truncates ? ASK(aio_file_truncate(lane->file, op.offset))
                    : ASK(aio_file_allocate(lane->file, (int)op.mode, op.offset, (off_t)op.len)),
          twin_fences(lane, &op));
    lane->fence = lane->order;
}

/* --- blocking calls ------------------------------------------------------------------------- */

static void block_transfer(struct lane *lane, bool writes)
{
    struct range range = choose_free(lane, writes);
    enum memory_shape shape = choose_shape(lane);
    struct plain *mirror = &lane->lanes->world->mirror;
    int64_t offset = (int64_t)range.offset;
    int64_t expected;
    struct aio_op op;

    flush(lane);
    memory_lay(&lane->memory, &lane->random, shape, range.length, range.unit);
    op = transfer_op(lane, &lane->memory, shape, writes ? AIO_OP_WRITE : AIO_OP_READ,
                     writes ? AIO_OP_WRITEV : AIO_OP_READV);
    op.offset = offset;
    note("lane %u blocks, opcode %u: %llu bytes at %lld, %u pieces, the first at a page's %u; size "
         "%llu",
         lane->number, op.opcode, (unsigned long long)range.length, (long long)offset,
         lane->memory.count, (unsigned)((uintptr_t)memory_one(&lane->memory) % PAGE),
         (unsigned long long)lane->size);
    if (writes) {
        pattern_fill(lane->bytes, range.length, 0, random_next(&lane->random));
        memory_put(&lane->memory, lane->bytes);
        twin_writes(lane, lane->bytes, &range);
        expected = (int64_t)range.length;
    } else {
        expected = plain_pread(mirror, lane->bytes, range.length, offset);
    }
    agree(writes ? "a write" : "a read", ASK(aio_file_execute(lane->file, &op)), expected);
    memory_check(&lane->memory, writes ? "a write" : "a read", lane->bytes, (uint64_t)expected,
                 range.offset);
}

static void block_append(struct lane *lane)
{
    uint64_t pattern = random_next(&lane->random);
    off_t where = -1;
    uint64_t length;
    uint64_t unit;

    if (!may_append(lane, &length, &unit))
        return;
    flush(lane);
    memory_lay(&lane->memory, &lane->random, MEMORY_VECTORS, length, unit);
    pattern_fill(lane->bytes, length, 0, pattern);
    memory_put(&lane->memory, lane->bytes);
    note("lane %u appends %llu bytes; size %llu", lane->number, (unsigned long long)length,
         (unsigned long long)lane->size);
    agree("aio_file_appendv",
          ASK(aio_file_appendv(lane->file, lane->memory.pieces, (int)lane->memory.count, &where)),
          (int64_t)length);
    memory_check(&lane->memory, "aio_file_appendv", lane->bytes, length, 0);
    append_done(lane, where, length, pattern);
}

static void block_sync(struct lane *lane)
{
    flush(lane);
    note("lane %u syncs", lane->number);
    agree("a sync",
          one_in(&lane->random, 2) ? ASK(aio_file_sync(lane->file))
                                   : ASK(aio_file_datasync(lane->file)),
          0);
}

/* The size, where nothing in flight changes it. */
static void look(struct lane *lane)
{
    if (!lane->tail || lane->appends > 0 || any_kind(lane, FENCE) || is_extending(lane))
        return;
    /* A fence that is done let the writes before it be done. */
    agree("aio_file_size", ASK(aio_file_size(lane->file)), (int64_t)lane->size);
}

/* --- a round -------------------------------------------------------------------------------- */

static void lane_step(struct lane *lane)
{
    uint64_t chance = choose(lane, 1000);

    if (chance < 270)
        submit_write(lane);
    else if (chance < 490)
        submit_read(lane);
    else if (chance < 560)
        submit_append(lane);
    else if (chance < 570)
        submit_sync(lane);
    else if (chance < 600)
        fence(lane, chance < 585, true);
    else if (chance < 740 && lane->pending_count > 0)
        take_some(lane);
    else if (chance < 830)
        block_transfer(lane, true);
    else if (chance < 920)
        block_transfer(lane, false);
    else if (chance < 950)
        block_append(lane);
    else if (chance < 975)
        fence(lane, chance < 962, false);
    else if (chance < 980)
        block_sync(lane);
    else if (chance < 983)
        agree("aio_queue_drain", ASK(aio_queue_drain(lane->queue, NULL)), 0);
    else
        look(lane);
}

static void *lane_body(void *argument)
{
    struct lane *lane = argument;

    for (uint64_t count = 0; count < lane->operations; count++) {
        step();
        lane_step(lane);
    }
    take_all(lane);
    settle_appends(lane);
    return NULL;
}

/* Cuts the file, at any byte, or at blocks of a device that takes nothing else. */
static void choose_borders(struct lanes *lanes, uint64_t start, uint64_t end)
{
    static const uint32_t lengths[] = {600, 600, 5000, 5000, 40000, 40000};
    struct world *world = lanes->world;
    uint64_t place = start;
    unsigned count = 0;

    while (place < end && count < SEGMENTS_MAX - LANES_MAX) {
        uint64_t length = 1 + below(&lanes->random, ONE_OF(&lanes->random, lengths));

        if ((world->device && !world->any_write) || one_in(&lanes->random, 10))
            length = (length + PAGE - 1) / PAGE * PAGE;
        lanes->borders[count++] = place;
        place += length;
    }
    lanes->borders[count] = place < end ? place : end;
    /* Each lane has one. */
    lanes->segments = count;
}

static void set_size(struct lanes *lanes, uint64_t size)
{
    struct world *world = lanes->world;
    uint64_t before = world_size(world);

    agree("aio_file_truncate", ASK(aio_file_truncate(lanes->pairs[0].file, (off_t)size)), 0);
    must(plain_truncate(&world->mirror, (int64_t)size) == 0, "truncate");
    world_changed(world, before < size ? before : size, before < size ? size : before);
}

/* Gives the lanes their bytes. */
static void share_out(struct lanes *lanes)
{
    struct world *world = lanes->world;
    uint64_t size = world_size(world);
    uint64_t start = 0;

    if (lanes->count > 1) {
        uint64_t span = 512 * KIB + below(&lanes->random, MIB);

        if (world->device)
            start = below(&lanes->random, size > span ? size - span : 1) / PAGE * PAGE;
        else if (size < span || size > 3 * MIB)
            set_size(lanes, span);
        choose_borders(lanes, start,
                       start + span < world_size(world) ? start + span : world_size(world));
    }
    for (unsigned index = 0; index < lanes->count; index++) {
        struct lane *lane = &lanes->lane[index];

        lane->size = world_size(world);
        lane->tail =
            !world->device && (lanes->count == 1 || index == (lanes->segments - 1) % lanes->count);
        lane->low = lanes->count > 1 ? lanes->borders[lanes->segments - 1] : 0;
        if (lane->tail && lanes->count > 1)
            set_size(lanes, lane->size = lanes->borders[lanes->segments]);
    }
}

static void open_handles(struct lanes *lanes)
{
    struct world *world = lanes->world;
    /* A device without unaligned writes takes those of blocks. */
    uint32_t limit = world->device && !world->any_write ? PAGE : UINT32_MAX;

    for (unsigned index = 0; index < lanes->handles; index++) {
        struct aio_file_options options = choose_options(world, &lanes->random, limit);

        if (index > 0 && the_run.direct < 0 && (!world->device || world->any_write) &&
            one_in(&lanes->random, 2))
            options.direct = lanes->pairs[0].options.direct == AIO_DIRECT_NEVER
                                 ? AIO_DIRECT_PREFERRED
                                 : AIO_DIRECT_NEVER;
        options.depth = DEPTH;
        if (one_in(&lanes->random, 2))
            options.queue = lanes->queue;
        pair_open(world, &lanes->pairs[index], O_RDWR, &options);
    }
}

static void run_round(struct lanes *lanes, uint64_t operations)
{
    bool private_queue = lanes->count == 1 && one_in(&lanes->random, 6);

    open_handles(lanes);
    share_out(lanes);
    for (unsigned index = 0; index < lanes->count; index++) {
        struct lane *lane = &lanes->lane[index];

        lane->file = lanes->pairs[index % lanes->handles].file;
        lane->queue = private_queue ? aio_file_queue(lane->file) : lanes->queue;
        lane->random = random_next(&lanes->random);
        lane->taking = random_next(&lanes->random);
        lane->operations = operations;
        lane->order = 0;
        lane->fence = 0;
        lane->batch_target = 1;
    }
    if (lanes->count == 1) {
        lane_body(&lanes->lane[0]);
    } else {
        for (unsigned index = 0; index < lanes->count; index++)
            thread_begin(&lanes->lane[index].thread, lane_body, &lanes->lane[index]);
        for (unsigned index = 0; index < lanes->count; index++)
            thread_end(lanes->lane[index].thread);
    }
    note("compare");
    if (one_in(&lanes->random, 2))
        agree("aio_file_sync", ASK(aio_file_sync(lanes->pairs[0].file)), 0);
    agree("aio_file_size", ASK(aio_file_size(lanes->pairs[0].file)),
          (int64_t)world_size(lanes->world));
    world_compare(lanes->world, lanes->pairs[lanes->handles - 1].file, one_in(&lanes->random, 8));
    for (unsigned index = 0; index < lanes->handles; index++)
        pair_close(lanes->world, &lanes->pairs[index]);
}

/* --- the whole ------------------------------------------------------------------------------ */

static struct lanes *lanes_create(struct world *world, unsigned count, unsigned handles)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct lanes *lanes = calloc(1, sizeof(*lanes));

    must(lanes != NULL, "have memory");
    lanes->world = world;
    lanes->count = count;
    lanes->handles = handles;
    options.engine = the_run.engine;
    options.depth = count == 1 ? DEPTH : count * DEPTH_SHARED;
    agree("aio_queue_create", ASK(aio_queue_create(&options, &lanes->queue)), 0);
    for (unsigned index = 0; index < count; index++) {
        struct lane *lane = &lanes->lane[index];

        lane->lanes = lanes;
        lane->number = index;
        lane->depth = count == 1 ? DEPTH : DEPTH_SHARED;
        lane->bytes = page_alloc(TRANSFER_MAX);
        pthread_mutex_init(&lane->lock, NULL);
        pthread_cond_init(&lane->changed, NULL);
    }
    return lanes;
}

static void lane_free(struct lane *lane)
{
    for (unsigned index = 0; index < lane->depth; index++) {
        memory_free(&lane->pending[index].memory);
        free(lane->pending[index].bytes);
    }
    memory_free(&lane->memory);
    free(lane->bytes);
    pthread_mutex_destroy(&lane->lock);
    pthread_cond_destroy(&lane->changed);
}

void lanes_run(struct world *world, uint64_t random, uint64_t operations, unsigned lanes_wanted,
               unsigned handles)
{
    struct lanes *lanes = lanes_create(world, lanes_wanted, handles);
    uint64_t of_round = lanes_wanted == 1 ? ROUND : ROUND_OF_LANE;

    lanes->random = random;
    while (operations > 0) {
        uint64_t each = operations / lanes_wanted + 1;

        each = each < of_round ? each : of_round;
        run_round(lanes, each);
        operations -= each * lanes_wanted < operations ? each * lanes_wanted : operations;
    }
    agree("aio_queue_destroy", ASK(aio_queue_destroy(lanes->queue, 0)), 0);
    for (unsigned index = 0; index < lanes->count; index++)
        lane_free(&lanes->lane[index]);
    free(lanes);
}
