/* SPDX-License-Identifier: MIT */
#include "workload.h"

#include <errno.h>
#include <stdio.h>

#include "buffer_content.h"
#include "clock.h"
#include "file_set.h"
#include "journal.h"
#include "measure.h"
#include "observe.h"
#include "pace.h"
#include "pattern.h"

/* Offsets that a plain job computes at once. */
#define OFFSETS_AHEAD 64u

struct workload {
    struct worker *worker;
    uint64_t offset;        /* where the region starts */
    struct pattern pattern; /* of the only file */
    struct file_set files;  /* where there are several */
    unsigned written_file;  /* the last one that was written: the next sync is its */
    uint64_t deadline_ns;   /* 0: none */
    uint64_t ramp_end_ns;   /* until then nothing counts; 0: everything counts */
    uint64_t start_ns;      /* of what counts */
    uint64_t now_ns;        /* of the last tick */
    uint64_t writes_since_fsync;
    uint64_t writes_since_fdatasync;
    uint64_t checked_bytes;        /* read to be checked */
    bool stamps;                   /* writes carry stamps */
    bool checks;                   /* reads are checked */
    struct buffer_content content; /* of writes without verify */
    bool renews;                   /* it changes with each write */
    struct verify_writer writer;
    struct verify_reader reader;

    /* Plain jobs take their offsets from here. */
    uint64_t offsets[OFFSETS_AHEAD];
    unsigned offset_count;
    unsigned offset_next;

    /* Paced jobs look at the next operation before it is due. */
    struct pace pace;
    struct place pending;
    bool has_pending;
};

/* Takes the next place; of several files, in one of them. */
static bool take(struct workload *workload, struct place *place)
{
    if (workload->files.count)
        return file_set_next(&workload->files, place);
    return pattern_next(&workload->pattern, place);
}

static void set_file(const struct workload *workload, struct operation *operation, unsigned index)
{
    const struct worker *worker = workload->worker;

    if (!workload->files.count)
        return;
    operation->file_index = index;
    operation->file = index ? worker->others[index - 1].file : worker->handle.file;
}

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

    set_file(workload, operation, workload->written_file);
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
        if (workload->renews)
            buffer_content_renew(&workload->content, operation->data, operation->length,
                                 operation->offset);
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

static void prepare(struct workload *workload, struct operation *operation,
                    const struct place *place)
{
    operation->length = place->length;
    operation->offset = workload->offset + place->offset;
    set_file(workload, operation, place->file);
    if (place->write) {
        workload->written_file = place->file;
        prepare_write(workload, operation);
    } else {
        prepare_read(workload, operation);
    }
}

static bool next(void *context, struct operation *operation)
{
    struct workload *workload = context;
    struct place place = {.file = 0};

    if (workload->worker->stopping)
        return false;
    if (sync_is_due(workload, operation))
        return true;
    if (!take(workload, &place))
        return false;
    prepare(workload, operation, &place);
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

/* --- plain jobs: all reads or all writes, nothing checked, nothing synced --- */

static bool is_plain(const struct workload *workload)
{
    const struct plan_job *job = workload->worker->job;

    return job->file_count == 1 && !workload->pattern.varies && job->reads != job->writes &&
           !workload->stamps && !workload->checks && !workload->renews && !job->options->fsync &&
           !job->options->fdatasync;
}

/* What is the same in every operation. */
static void preset_operations(struct worker *worker)
{
    for (unsigned i = 0; i < worker->issuer.depth; i++) {
        struct operation *operation = &worker->issuer.operations[i];

        operation->direction = worker->job->writes ? DIRECTION_WRITE : DIRECTION_READ;
        operation->length = (uint32_t)worker->job->options->bs;
        operation->data = worker->job->writes ? operation->fill_buffer : operation->read_buffer;
    }
}

static bool plain_next(void *context, struct operation *operation)
{
    struct workload *workload = context;

    if (workload->worker->stopping)
        return false;
    if (workload->offset_next == workload->offset_count) {
        workload->offset_next = 0;
        workload->offset_count =
            pattern_next_offsets(&workload->pattern, workload->offsets, OFFSETS_AHEAD);
        if (workload->offset_count == 0)
            return false;
    }
    operation->offset = workload->offset + workload->offsets[workload->offset_next++];
    return true;
}

static void plain_done(void *context, const struct operation *operation, int64_t result, int error)
{
    const struct workload *workload = context;

    worker_accept(workload->worker, operation, result, error);
}

/* --- all jobs --- */

/* The operations go on as they do; what was counted is forgotten. */
static void end_ramp(struct workload *workload, uint64_t now_ns)
{
    struct worker *worker = workload->worker;

    workload->ramp_end_ns = 0;
    workload->start_ns = now_ns;
    job_stats_restart(worker->stats, now_ns);
    getrusage(RUSAGE_THREAD, &worker->usage_before);
    worker->start_ns = now_ns;
}

static void tick(void *context, uint64_t now_ns)
{
    struct workload *workload = context;
    struct worker *worker = workload->worker;

    if (workload->ramp_end_ns && now_ns >= workload->ramp_end_ns)
        end_ramp(workload, now_ns);
    if (workload->deadline_ns && now_ns >= workload->deadline_ns)
        worker->stopping = true;
    if (worker_is_to_end(worker))
        worker->stopping = true;
    worker_show(worker, DIRECTION_READ, DIRECTION_WRITE, now_ns);
}

/* --- paced jobs --- */

static uint64_t paced_due(void *context, unsigned in_flight, uint64_t now_ns)
{
    struct workload *workload = context;

    if (!workload->has_pending)
        workload->has_pending = take(workload, &workload->pending);
    if (!workload->has_pending || workload->worker->stopping)
        return 0;
    return pace_due(&workload->pace, &workload->pending, in_flight, now_ns);
}

static bool paced_next(void *context, struct operation *operation)
{
    struct workload *workload = context;

    operation->intended_ns = 0;
    if (workload->worker->stopping)
        return false;
    if (sync_is_due(workload, operation))
        return true;
    if (!workload->has_pending)
        return false;
    workload->has_pending = false;
    operation->intended_ns = pace_issue(&workload->pace, &workload->pending);
    prepare(workload, operation, &workload->pending);
    return true;
}

static void count_paced(struct workload *workload, const struct operation *operation)
{
    struct paced_stats *stats = &workload->worker->stats->paced[operation->direction];
    uint64_t lat_ns = workload->now_ns - operation->intended_ns;

    moments_add(&stats->lat, lat_ns, 1);
    histogram_add(&stats->lat_histogram, lat_ns, 1);
    stats->late += operation->prepared_ns > operation->intended_ns + NS_PER_MS;
}

static void paced_done(void *context, const struct operation *operation, int64_t result, int error)
{
    struct workload *workload = context;
    uint64_t most_ns = workload->worker->job->options->max_latency_us * NS_PER_US;
    uint64_t lat_ns = workload->now_ns - operation->prepared_ns;
    char text[128];

    if (operation->direction <= DIRECTION_WRITE && result >= 0) {
        pace_complete(&workload->pace, operation->direction, (uint32_t)result);
        if (operation->intended_ns)
            count_paced(workload, operation);
    }
    if (most_ns && lat_ns > most_ns) {
        snprintf(text, sizeof(text), "%llu us are more than max_latency=%llu us",
                 (unsigned long long)(lat_ns / NS_PER_US),
                 (unsigned long long)(most_ns / NS_PER_US));
        worker_fail(workload->worker, ETIMEDOUT, "max_latency", operation->offset, text);
    }
    done(context, operation, result, error);
}

static void paced_tick(void *context, uint64_t now_ns)
{
    struct workload *workload = context;
    struct message message = {0};

    workload->now_ns = now_ns;
    tick(context, now_ns);
    if (!workload->worker->stopping && !pace_keeps_up(&workload->pace, now_ns, &message))
        worker_fail(workload->worker, EIO, "rate", 0, message.text);
}

static void paced_pause(void *context, uint64_t until_ns)
{
    struct workload *workload = context;

    if (workload->deadline_ns && workload->deadline_ns < until_ns)
        until_ns = workload->deadline_ns;
    if (workload->ramp_end_ns && workload->ramp_end_ns < until_ns)
        until_ns = workload->ramp_end_ns;
    worker_pause(workload->worker, until_ns);
    paced_tick(context, clock_now_ns());
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

static void fill_buffers(struct workload *workload)
{
    struct worker *worker = workload->worker;
    const struct job_options *options = worker->job->options;

    buffer_content_init(&workload->content, options, &worker->run->identity, worker->job->number);
    workload->renews =
        worker->job->writes && !workload->stamps && buffer_content_changes(&workload->content);
    for (unsigned i = 0; i < worker->issuer.depth; i++)
        if (worker->issuer.operations[i].fill_buffer)
            buffer_content_fill(&workload->content, worker->issuer.operations[i].fill_buffer,
                                (uint32_t)options->bs);
}

static void workload_init(struct workload *workload, struct worker *worker)
{
    const struct plan_job *job = worker->job;
    struct target *target = job->target;

    *workload = (struct workload){
        .worker = worker,
        .offset = job->offset,
        .stamps = job->writes && target->block,
        .checks = job->reads && job->verifies,
        .writer = {&worker->run->identity, target, job->number},
        .reader = {&worker->run->identity, target, job->options->name, &worker->run->findings,
                   &worker->verify},
    };
    for (unsigned i = 0; job->distributions && i < BLOCK_SIZE_DIRECTIONS; i++) {
        uint64_t unit = job->pattern.align[i] ? job->pattern.align[i] : job->pattern.sizes[i].least;

        distribution_prepare(&job->distributions[i], job->files[0].pattern.region / unit, unit,
                             job->seed);
    }
    if (job->file_count > 1)
        file_set_init(&workload->files, job);
    else
        pattern_start(&workload->pattern, &job->files[0].pattern);
}

static void start_clock(struct workload *workload)
{
    struct worker *worker = workload->worker;
    const struct job_options *options = worker->job->options;
    uint64_t start_ns = clock_now_ns();

    workload->start_ns = start_ns;
    if (options->ramp_time_us)
        workload->ramp_end_ns = start_ns + options->ramp_time_us * NS_PER_US;
    if (options->runtime_us)
        workload->deadline_ns =
            start_ns + (options->ramp_time_us + options->runtime_us) * NS_PER_US;
    for (unsigned i = DIRECTION_READ; i <= DIRECTION_WRITE; i++) {
        worker->stats->directions[i].has_slat = worker->queue != NULL;
        window_series_start(&worker->stats->directions[i].series, start_ns,
                            measure_window_ns(options));
    }
    atomic_store_explicit(&worker->progress.start_ns, start_ns, memory_order_relaxed);
    pace_start(&workload->pace, options, worker->job->seed, start_ns);
}

static void stop_clock(struct workload *workload)
{
    struct job_stats *stats = workload->worker->stats;
    uint64_t end_ns = clock_now_ns();

    /* All of the job was ramp. */
    if (workload->ramp_end_ns)
        end_ramp(workload, end_ns);
    for (unsigned i = DIRECTION_READ; i <= DIRECTION_WRITE; i++) {
        stats->directions[i].runtime_ns = end_ns - workload->start_ns;
        window_series_end(&stats->directions[i].series, end_ns, &stats->directions[i].total);
    }
}

void workload_run(struct worker *worker)
{
    struct workload workload;
    struct source source = {&workload, next, done, tick};
    static const struct pacer pacer = {paced_due, paced_pause};

    workload_init(&workload, worker);
    fill_buffers(&workload);
    if (pace_is_wanted(worker->job->options)) {
        source = (struct source){&workload, paced_next, paced_done, paced_tick};
        worker->issuer.pacer = &pacer;
    } else if (is_plain(&workload)) {
        source = (struct source){&workload, plain_next, plain_done, tick};
        preset_operations(worker);
    }
    start_clock(&workload);
    source.tick(&workload, workload.start_ns);
    observe_run(worker, &source);
    worker->issuer.pacer = NULL;
    worker->issuer.due_ns = 0;
    stop_clock(&workload);
    job_stats_disable(worker->stats, measure_disabled(worker->job->options));
    file_set_free(&workload.files);
    if (workload.checks) {
        worker->workload_checked = worker->verify.states[BLOCK_GOOD];
        worker->verify.wanted += wanted_blocks(&workload);
    }
}
