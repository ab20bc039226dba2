/* SPDX-License-Identifier: MIT */
#include "issue.h"

#include <aiofile/buffer.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "text.h"

/* Of a shared queue. */
static void put_result(const struct aio_completion *completion)
{
    const struct operation *operation = completion->context;

    inbox_put(operation->inbox, completion);
}

/* Prepares what is needed for a queue that gives its results by callback. */
static void share_queue(struct issuer *issuer)
{
    issuer->shares_queue = true;
    inbox_init(&issuer->inbox, issuer->depth);
    for (unsigned i = 0; i < issuer->depth; i++) {
        issuer->operations[i].inbox = &issuer->inbox;
        issuer->ops[i].on_complete = put_result;
    }
}

int issuer_init(struct issuer *issuer, const struct issuer_need *need)
{
    size_t alignment = need->alignment > 4096 ? need->alignment : 4096;
    size_t stride = (need->length + alignment - 1) / alignment * alignment;
    unsigned buffers = need->fill_buffers ? 2 : 1;

    issuer->depth = need->depth;
    issuer->batch_max = need->batch_max;
    issuer->reap_min = need->reap_min;
    issuer->reap_max = need->reap_max;
    issuer->low = need->low;
    issuer->memory = aio_buffer_alloc(stride * need->depth * buffers, alignment, AIO_BUFFER_ZERO);
    if (!issuer->memory)
        return -ENOMEM;
    issuer->operations = must_alloc(need->depth, sizeof(*issuer->operations));
    issuer->idle = must_alloc(need->depth, sizeof(struct operation *));
    issuer->batch = must_alloc(need->depth, sizeof(struct operation *));
    issuer->ops = must_alloc(need->depth, sizeof(*issuer->ops));
    issuer->completions = must_alloc(need->depth, sizeof(*issuer->completions));
    issuer->views = must_alloc((size_t)need->depth * need->views, sizeof(*issuer->views));
    for (unsigned i = 0; i < need->depth; i++) {
        struct operation *operation = &issuer->operations[i];

        operation->read_buffer = issuer->memory + stride * buffers * i;
        operation->fill_buffer = need->fill_buffers ? operation->read_buffer + stride : NULL;
        operation->views = issuer->views + (size_t)need->views * i;
        issuer->idle[need->depth - 1 - i] = operation;
    }
    issuer->idle_count = need->depth;
    if (need->shares_queue)
        share_queue(issuer);
    return 0;
}

void issuer_free(struct issuer *issuer)
{
    if (issuer->shares_queue)
        inbox_destroy(&issuer->inbox);
    aio_buffer_free(issuer->memory);
    free(issuer->operations);
    free(issuer->idle);
    free(issuer->batch);
    free(issuer->ops);
    free(issuer->completions);
    free(issuer->views);
}

/* Operations reaped one after the other that were prepared and submitted at the same two instants:
 * they have their latencies in common. */
struct common {
    enum direction direction;
    uint64_t prepared_ns;
    uint64_t submitted_ns;
    uint64_t bytes;
    unsigned count;
};

static void count_common(const struct issuer *issuer, struct common *common, uint64_t now_ns)
{
    if (common->count > 0)
        job_stats_add(issuer->stats, common->direction, common->count, common->bytes,
                      now_ns - common->submitted_ns, now_ns - common->prepared_ns);
    common->bytes = 0;
    common->count = 0;
}

/* count_common() is to follow the last. */
static inline void finish(const struct issuer *issuer, const struct source *source,
                          const struct operation *operation, int64_t result, int error,
                          uint64_t now_ns, struct common *common)
{
    if (operation->submitted_ns != common->submitted_ns ||
        operation->prepared_ns != common->prepared_ns ||
        operation->direction != common->direction) {
        count_common(issuer, common, now_ns);
        common->direction = operation->direction;
        common->prepared_ns = operation->prepared_ns;
        common->submitted_ns = operation->submitted_ns;
    }
    if (result >= 0) {
        common->bytes += (uint64_t)result;
        common->count++;
    }
    if (result >= 0 && result != (int64_t)operation->length)
        issuer->stats->directions[operation->direction].shorts++;
    source->done(source->context, operation, result, error);
}

/* Sets all that ever differs between operations; the rest was zeroed once. */
static void make_op(const struct issuer *issuer, struct operation *operation, struct aio_op *op)
{
    bool is_sync = operation->direction == DIRECTION_SYNC;

    if (is_sync)
        op->opcode = operation->datasync ? AIO_OP_DATASYNC : AIO_OP_SYNC;
    else if (operation->direction == DIRECTION_WRITE)
        op->opcode = issuer->appends ? AIO_OP_APPEND : AIO_OP_WRITE;
    else
        op->opcode = AIO_OP_READ;
    op->file = operation->file;
    op->buf = is_sync ? NULL : operation->data;
    op->len = operation->length;
    op->offset = (int64_t)operation->offset;
    op->context = operation;
}

/* Hands a batch to the queue. What it refuses goes back to the source as a result. */
static uint64_t submit_batch(struct issuer *issuer, const struct source *source, unsigned count,
                             uint64_t prepared_ns)
{
    unsigned counts[DIRECTION_COUNT] = {0};
    unsigned taken = 0;
    int result = 0;
    uint64_t now_ns;

    while (taken < count) {
        result = aio_queue_submit(issuer->queue, issuer->ops + taken, count - taken, NULL);
        if (result <= 0)
            break;
        job_stats_submit(issuer->stats, (unsigned)result);
        taken += (unsigned)result;
    }
    job_stats_depth(issuer->stats, issuer->depth - issuer->idle_count, taken);
    now_ns = clock_now_ns();
    for (unsigned i = 0; i < taken; i++) {
        issuer->batch[i]->submitted_ns = now_ns;
        counts[issuer->batch[i]->direction]++;
    }
    /* Prepared and submitted at the same two instants: one value for all of a direction. */
    for (unsigned i = 0; i < DIRECTION_COUNT; i++)
        if (counts[i])
            job_stats_add_slat(issuer->stats, i, counts[i], now_ns - prepared_ns);
    for (unsigned i = taken; i < count; i++) {
        /* No progress without an error would be a loop: count it as one. */
        source->done(source->context, issuer->batch[i], result < 0 ? result : -EAGAIN, result);
        issuer->idle[issuer->idle_count++] = issuer->batch[i];
    }
    return now_ns;
}

/* Whether the source's next operation may be issued now. */
static bool is_due(struct issuer *issuer, const struct source *source, uint64_t *now_ns)
{
    unsigned in_flight = issuer->depth - issuer->idle_count;

    issuer->due_ns = issuer->pacer->due(source->context, in_flight, *now_ns);
    if (issuer->due_ns <= *now_ns)
        return true;
    *now_ns = clock_now_ns();
    return issuer->due_ns <= *now_ns;
}

/* Takes operations from the source while there is room; returns false when it has ended. */
static bool fill(struct issuer *issuer, const struct source *source, uint64_t *now_ns)
{
    bool more = true;

    bool due = true;

    while (more && due && issuer->idle_count > 0) {
        unsigned count = 0;

        while (count < issuer->batch_max && issuer->idle_count > 0) {
            struct operation *operation = issuer->idle[issuer->idle_count - 1];

            if (issuer->pacer && !is_due(issuer, source, now_ns)) {
                due = false;
                break;
            }
            more = source->next(source->context, operation);
            if (!more)
                break;
            issuer->idle_count--;
            operation->prepared_ns = *now_ns;
            issuer->batch[count] = operation;
            make_op(issuer, operation, &issuer->ops[count++]);
        }
        if (count > 0)
            *now_ns = submit_batch(issuer, source, count, *now_ns);
    }
    return more;
}

static int take_shared(struct issuer *issuer, bool held_back)
{
    unsigned in_flight = issuer->depth - issuer->idle_count;
    unsigned min = issuer->reap_min < in_flight ? issuer->reap_min : in_flight;

    return (int)inbox_take(&issuer->inbox, issuer->completions, min, issuer->reap_max,
                           held_back ? issuer->due_ns : 0);
}

static int take_own(struct issuer *issuer, bool held_back, uint64_t now_ns)
{
    struct timespec timeout = {0, 0};

    if (held_back && issuer->reap_min) {
        timeout.tv_sec = (time_t)((issuer->due_ns - now_ns) / NS_PER_S);
        timeout.tv_nsec = (long)((issuer->due_ns - now_ns) % NS_PER_S);
    }
    return aio_queue_reap(issuer->queue, issuer->completions, issuer->reap_min, issuer->reap_max,
                          issuer->reap_min && !held_back ? NULL : &timeout);
}

/* Takes completions; how many is told by the queue and the options. */
static void reap(struct issuer *issuer, const struct source *source, uint64_t *now_ns)
{
    struct common common = {.count = 0};
    bool held_back = issuer->due_ns > *now_ns && issuer->due_ns != PACER_DRAIN;
    int count = issuer->shares_queue ? take_shared(issuer, held_back)
                                     : take_own(issuer, held_back, *now_ns);

    assert(count >= 0);
    *now_ns = clock_now_ns();
    source->tick(source->context, *now_ns);
    if (count == 0)
        return;
    job_stats_complete(issuer->stats, (unsigned)count);
    for (int i = 0; i < count; i++) {
        const struct aio_completion *completion = &issuer->completions[i];
        struct operation *operation = completion->context;

        finish(issuer, source, operation, completion->result, completion->error, *now_ns, &common);
        issuer->idle[issuer->idle_count++] = operation;
    }
    count_common(issuer, &common, *now_ns);
}

static void run_queue(struct issuer *issuer, const struct source *source)
{
    uint64_t now_ns = clock_now_ns();
    bool more = true;

    for (;;) {
        if (more)
            more = fill(issuer, source, &now_ns);
        if (issuer->idle_count == issuer->depth) {
            if (!more)
                break;
            if (issuer->due_ns > now_ns) {
                issuer->pacer->pause(source->context, issuer->due_ns);
                now_ns = clock_now_ns();
            }
            continue;
        }
        do
            reap(issuer, source, &now_ns);
        while (issuer->depth - issuer->idle_count > issuer->low);
    }
}

static ssize_t execute_write(struct issuer *issuer, const struct operation *operation)
{
    uint64_t synced_ns = 0;
    ssize_t result;
    int error;

    if (issuer->appends)
        result = aio_file_append(operation->file, operation->data, operation->length, NULL);
    else
        result = aio_file_pwrite(operation->file, operation->data, operation->length,
                                 (off_t)operation->offset);
    if (!issuer->commit || result < 0)
        return result;
    error = group_commit_wait(issuer->commit, operation->file, issuer->commit_wanted, &synced_ns);
    if (synced_ns)
        job_stats_add(issuer->stats, DIRECTION_SYNC, 1, 0, synced_ns, synced_ns);
    return error < 0 ? error : result;
}

static ssize_t execute(struct issuer *issuer, const struct operation *operation)
{
    switch (operation->direction) {
    case DIRECTION_WRITE:
        return execute_write(issuer, operation);
    case DIRECTION_SYNC:
        return operation->datasync ? aio_file_datasync(operation->file)
                                   : aio_file_sync(operation->file);
    default:
        return aio_file_pread(operation->file, operation->data, operation->length,
                              (off_t)operation->offset);
    }
}

/* Always true. */
static bool wait_until_due(const struct issuer *issuer, const struct source *source)
{
    uint64_t due_ns;

    while (issuer->pacer &&
           (due_ns = issuer->pacer->due(source->context, 0, clock_now_ns())) > clock_now_ns())
        issuer->pacer->pause(source->context, due_ns);
    return true;
}

static void run_blocking(struct issuer *issuer, const struct source *source)
{
    struct operation *operation = &issuer->operations[0];

    while (wait_until_due(issuer, source) && source->next(source->context, operation)) {
        struct common common = {.count = 0};
        uint64_t now_ns;
        ssize_t result;

        job_stats_depth(issuer->stats, 1, 1);
        job_stats_submit(issuer->stats, 1);
        operation->prepared_ns = clock_now_ns();
        operation->submitted_ns = operation->prepared_ns;
        result = execute(issuer, operation);
        now_ns = clock_now_ns();
        source->tick(source->context, now_ns);
        job_stats_complete(issuer->stats, 1);
        finish(issuer, source, operation, result, 0, now_ns, &common);
        count_common(issuer, &common, now_ns);
    }
}

void issuer_run(struct issuer *issuer, const struct source *source)
{
    for (unsigned i = 0; i < issuer->depth; i++)
        issuer->operations[i].file = issuer->file;
    if (issuer->queue)
        run_queue(issuer, source);
    else
        run_blocking(issuer, source);
}
