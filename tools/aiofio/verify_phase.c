/* SPDX-License-Identifier: MIT */
#include "verify_phase.h"

#include <stdio.h>

#include "clock.h"
#include "observe.h"

struct phase {
    struct worker *worker;
    uint64_t block;       /* the next to look at */
    uint32_t read_blocks; /* blocks of one read */
    struct verify_reader reader;
};

static bool next(void *context, struct operation *operation)
{
    struct phase *phase = context;
    const struct target *target = phase->worker->job->target;

    while (!phase->worker->stopping && phase->block < target->expect.count) {
        uint64_t from = phase->block;
        uint64_t to = from + phase->read_blocks;

        if (to > target->expect.count)
            to = target->expect.count;
        phase->block = to;
        if (!expect_any_written(&target->expect, from, to))
            continue;
        operation->direction = DIRECTION_VERIFY;
        operation->data = operation->read_buffer;
        operation->offset = from * target->block;
        operation->length = (uint32_t)(to - from) * target->block;
        verify_before_read(&phase->reader, operation->views, operation->offset, operation->length);
        return true;
    }
    return false;
}

static void done(void *context, const struct operation *operation, int64_t result, int error)
{
    struct phase *phase = context;

    if (worker_accept(phase->worker, operation, result, error))
        verify_after_read(&phase->reader, operation->views, operation->data, operation->offset,
                          operation->length);
}

static void tick(void *context, uint64_t now_ns)
{
    struct phase *phase = context;

    if (worker_is_interrupted(phase->worker))
        phase->worker->stopping = true;
    worker_show(phase->worker, DIRECTION_VERIFY, DIRECTION_VERIFY, now_ns);
}

static int open_for_reading(struct worker *worker, struct handle *handle)
{
    struct message message = {0};
    int result = handle_open_to_verify(handle, worker->job->target, &message);

    if (result < 0)
        worker_fail(worker, -result, "open for verification", 0, message.text);
    return result;
}

static void read_back(struct worker *worker, struct phase *phase, struct handle *handle)
{
    struct direction_stats *stats = &worker->stats->directions[DIRECTION_VERIFY];
    const struct source source = {phase, next, done, tick};
    uint64_t start_ns = clock_now_ns();
    uint64_t end_ns;

    atomic_store_explicit(&worker->progress.letter, 'V', memory_order_relaxed);
    worker->phase_direct = handle->info.direct_granted;
    stats->has_slat = worker->queue != NULL;
    window_series_start(&stats->series, start_ns, WINDOW_NS);
    worker->issuer.file = handle->file;
    observe_run(worker, &source);
    worker->issuer.file = worker->handle.file;
    end_ns = clock_now_ns();
    stats->runtime_ns = end_ns - start_ns;
    window_series_end(&stats->series, end_ns, &stats->total);
}

/* The content of reads is what the disk holds only if the writes are there: fsync first. */
static bool sync_writes(struct worker *worker)
{
    int result;

    atomic_store_explicit(&worker->progress.letter, 'F', memory_order_relaxed);
    result = worker_sync(worker);
    if (result < 0)
        worker_fail(worker, -result, "fsync before verification", 0, NULL);
    return result == 0;
}

static void verify_file(struct worker *worker)
{
    struct target *target = worker->job->target;
    struct phase phase = {
        .worker = worker,
        .read_blocks = (uint32_t)(worker->job->options->bs / target->block),
        .reader = {&worker->run->identity, target, worker->job->options->name,
                   &worker->run->findings, &worker->verify},
    };
    uint64_t good_before = worker->verify.states[BLOCK_GOOD];
    struct handle handle = {0};

    worker->phase_blocks = expect_written(&target->expect);
    worker->verify.wanted += worker->phase_blocks;
    if (worker->stopping && (worker->error.number || worker_is_interrupted(worker)))
        return;
    worker->stopping = false; /* the end of runtime ends the workload alone */
    if (!sync_writes(worker))
        return;
    if (worker->run->before_verify)
        worker->run->before_verify(worker->run->hook_context, target);
    if (open_for_reading(worker, &handle) < 0)
        return;
    read_back(worker, &phase, &handle);
    handle_close(&handle);
    worker->phase_done = worker->verify.states[BLOCK_GOOD] - good_before == worker->phase_blocks;
}

void verify_phase_run(struct worker *worker)
{
    struct target *target = worker->job->target;

    if (!worker->job->writes || !worker->job->verifies)
        return;
    /* Acquire and release: the last one sees what the others have written down in the table. */
    if (atomic_fetch_sub_explicit(&target->writers_left, 1, memory_order_acq_rel) == 1 &&
        target->phase_wanted)
        verify_file(worker);
}
