/* SPDX-License-Identifier: MIT */
#include "workload.h"

#include "clock.h"
#include "journal.h"
#include "measure.h"
#include "pattern.h"

struct workload {
    struct worker *worker;
    struct pattern pattern;
    uint64_t deadline_ns; /* 0: none */
    uint64_t writes_since_fsync;
    uint64_t writes_since_fdatasync;
    uint64_t checked_bytes; /* read to be checked */
    bool stamps;            /* writes carry stamps */
    bool checks;            /* reads are checked */
    struct verify_writer writer;
    struct verify_reader reader;
};

static void prepare_sync(const struct workload *workload, struct operation *operation,
                         bool datasync)
{
    operation->sync_epoch = journal_sync_begin(workload->worker->job->target);
    operation->direction = DIRECTION_SYNC;
    operation->datasync = datasync;
    operation->offset = 0;
    operation->length = 0;
}

/* A sync is one more operation in the queue, after every so many writes issued. */
static bool sync_is_due(struct workload *workload, struct operation *operation)
{
    const struct job_options *options = workload->worker->job->options;

    if (options->fsync && workload->writes_since_fsync >= options->fsync) {
        workload->writes_since_fsync = 0;
        prepare_sync(workload, operation, false);
        return true;
    }
    if (options->fdatasync && workload->writes_since_fdatasync >= options->fdatasync) {
        workload->writes_since_fdatasync = 0;
        prepare_sync(workload, operation, true);
        return true;
    }
    return false;
}

static void prepare_write(struct workload *workload, struct operation *operation)
{
    operation->direction = DIRECTION_WRITE;
    workload->writes_since_fsync++;
    workload->writes_since_fdatasync++;
    if (!workload->stamps) {
        operation->data = operation->fill_buffer;
        return;
    }
    operation->data = operation->read_buffer;
    verify_before_write(&workload->writer, operation->data, operation->offset, operation->length);
}

static void prepare_read(struct workload *workload, struct operation *operation)
{
    operation->direction = DIRECTION_READ;
    operation->data = operation->read_buffer;
    if (workload->checks)
        verify_before_read(&workload->reader, operation->views, operation->offset,
                           operation->length);
}

static bool next(void *context, struct operation *operation)
{
    struct workload *workload = context;
    struct place place;

    if (workload->worker->stopping)
        return false;
    if (sync_is_due(workload, operation))
        return true;
    if (!pattern_next(&workload->pattern, &place))
        return false;
    operation->length = place.length;
    operation->offset = workload->worker->job->offset + place.offset;
    if (place.write)
        prepare_write(workload, operation);
    else
        prepare_read(workload, operation);
    return true;
}

static void done(void *context, const struct operation *operation, int64_t result, int error)
{
    struct workload *workload = context;
    struct worker *worker = workload->worker;
    bool whole = worker_accept(worker, operation, result, error);

    if (operation->direction == DIRECTION_WRITE && workload->stamps)
        verify_after_write(&workload->writer, operation->offset, operation->length, whole);
    if (operation->direction == DIRECTION_SYNC && whole)
        journal_sync_end(worker->job->target, operation->sync_epoch);
    if (operation->direction != DIRECTION_READ || !workload->checks || !whole)
        return;
    workload->checked_bytes += operation->length;
    verify_after_read(&workload->reader, operation->views, operation->data, operation->offset,
                      operation->length);
}

static void tick(void *context, uint64_t now_ns)
{
    struct workload *workload = context;
    struct worker *worker = workload->worker;

    if (workload->deadline_ns && now_ns >= workload->deadline_ns)
        worker->stopping = true;
    if (worker_is_interrupted(worker))
        worker->stopping = true;
    worker_show(worker, DIRECTION_READ, DIRECTION_WRITE, now_ns);
}

/* How many blocks this job's reads had to check: all that it was to move, if it only reads and is
 * not told to run for a time. */
static uint64_t wanted_blocks(const struct workload *workload)
{
    const struct plan_job *job = workload->worker->job;
    const struct target *target = job->target;
    uint64_t bytes = workload->checked_bytes;

    if (!job->writes && plan_job_bytes(job) > bytes)
        bytes = plan_job_bytes(job);
    return bytes / target->block;
}

static void fill_buffers(struct worker *worker)
{
    const struct job_options *options = worker->job->options;
    uint32_t stamped = (uint32_t)(options->bs - options->bs % STAMP_SECTOR);

    for (unsigned i = 0; i < worker->issuer.depth; i++) {
        struct stamp stamp = {
            .length = stamped,
            .run = worker->run->identity.run,
            .sequence = identity_next(&worker->run->identity),
            .job = worker->job->number,
            .kind = STAMP_KIND_FILL,
        };

        if (worker->issuer.operations[i].fill_buffer)
            stamp_fill(worker->issuer.operations[i].fill_buffer, &stamp);
    }
}

static void workload_init(struct workload *workload, struct worker *worker)
{
    const struct plan_job *job = worker->job;
    struct target *target = job->target;

    *workload = (struct workload){
        .worker = worker,
        .stamps = job->writes && target->block,
        .checks = job->reads && job->verifies,
        .writer = {&worker->run->identity, target, job->number},
        .reader = {&worker->run->identity, target, job->options->name, &worker->run->findings,
                   &worker->verify},
    };
    for (unsigned i = 0; job->distributions && i < BLOCK_SIZE_DIRECTIONS; i++) {
        uint64_t unit = job->pattern.align[i] ? job->pattern.align[i] : job->pattern.sizes[i].least;

        distribution_prepare(&job->distributions[i], job->pattern.region / unit, unit, job->seed);
    }
    pattern_start(&workload->pattern, &job->pattern);
}

void workload_run(struct worker *worker)
{
    struct job_stats *stats = worker->stats;
    struct workload workload;
    const struct source source = {&workload, next, done, tick};
    uint64_t start_ns;
    uint64_t end_ns;

    workload_init(&workload, worker);
    fill_buffers(worker);
    start_ns = clock_now_ns();
    if (worker->job->options->runtime_us)
        workload.deadline_ns = start_ns + worker->job->options->runtime_us * NS_PER_US;
    for (unsigned i = DIRECTION_READ; i <= DIRECTION_WRITE; i++) {
        stats->directions[i].has_slat = worker->queue != NULL;
        window_series_start(&stats->directions[i].series, start_ns,
                            measure_window_ns(worker->job->options));
    }
    atomic_store_explicit(&worker->progress.start_ns, start_ns, memory_order_relaxed);

    tick(&workload, start_ns);
    issuer_run(&worker->issuer, &source);

    end_ns = clock_now_ns();
    for (unsigned i = DIRECTION_READ; i <= DIRECTION_WRITE; i++) {
        stats->directions[i].runtime_ns = end_ns - start_ns;
        window_series_end(&stats->directions[i].series, end_ns, &stats->directions[i].total);
    }
    job_stats_disable(stats, measure_disabled(worker->job->options));
    if (workload.checks) {
        worker->workload_checked = worker->verify.states[BLOCK_GOOD];
        worker->verify.wanted += wanted_blocks(&workload);
    }
}
