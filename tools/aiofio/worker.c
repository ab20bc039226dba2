/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "clock.h"
#include "cpu_list.h"
#include "journal.h"
#include "pace.h"
#include "verify_phase.h"
#include "workload.h"

void worker_fail(struct worker *worker, int number, const char *operation, uint64_t offset,
                 const char *text)
{
    struct job_error *error = &worker->error;

    worker->stopping = true;
    if (error->number)
        return;
    error->number = number;
    error->operation = operation;
    error->offset = offset;
    snprintf(error->text, sizeof(error->text), "%s", text ? text : strerror(number));
}

static const char *operation_name(const struct operation *operation)
{
    switch (operation->direction) {
    case DIRECTION_READ:
        return "read";
    case DIRECTION_WRITE:
        return "write";
    case DIRECTION_VERIFY:
        return "verify read";
    default:
        return operation->datasync ? "fdatasync" : "fsync";
    }
}

bool worker_reject(struct worker *worker, const struct operation *operation, int64_t result,
                   int error)
{
    char text[128];

    if (!worker->error.number && worker->job->file_count > 1)
        worker->error.path = worker->job->files[operation->file_index].path;
    if (result < 0) {
        worker_fail(worker, (int)-result, operation_name(operation), operation->offset, NULL);
        return false;
    }
    if (operation->direction == DIRECTION_WRITE)
        snprintf(text, sizeof(text), "%lld of %u bytes written: %s", (long long)result,
                 operation->length, error ? strerror(-error) : "no reason given");
    else
        snprintf(text, sizeof(text), "the file ends after %lld of %u bytes", (long long)result,
                 operation->length);
    worker_fail(worker, error ? -error : EIO, operation_name(operation), operation->offset, text);
    return false;
}

bool worker_is_interrupted(const struct worker *worker)
{
    return atomic_load_explicit(&worker->run->stop_signal, memory_order_relaxed) != 0;
}

bool worker_is_to_end(const struct worker *worker)
{
    return atomic_load_explicit(&worker->told_to_end, memory_order_relaxed) ||
           worker_is_interrupted(worker);
}

void worker_pause(struct worker *worker, uint64_t until_ns)
{
    struct run *run = worker->run;
    const struct timespec until = {
        .tv_sec = (time_t)(until_ns / NS_PER_S),
        .tv_nsec = (long)(until_ns % NS_PER_S),
    };

    pthread_mutex_lock(&run->pause_lock);
    while (!worker_is_to_end(worker) &&
           pthread_cond_timedwait(&run->pause_end, &run->pause_lock, &until) == 0)
        ;
    pthread_mutex_unlock(&run->pause_lock);
}

void worker_show(struct worker *worker, enum direction from, enum direction to, uint64_t now_ns)
{
    struct progress_cell *cell = &worker->progress;
    uint64_t done_bytes = 0;

    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++)
        done_bytes += worker->stats->directions[i].total.bytes;
    for (unsigned i = from; i <= (unsigned)to; i++) {
        struct direction_stats *stats = &worker->stats->directions[i];

        window_series_advance(&stats->series, now_ns, &stats->total);
        atomic_store_explicit(&cell->operations[i], stats->total.operations, memory_order_relaxed);
        atomic_store_explicit(&cell->bytes[i], stats->total.bytes, memory_order_relaxed);
    }
    atomic_store_explicit(&cell->done_bytes, done_bytes, memory_order_relaxed);
}

static int make_queue(struct worker *worker, unsigned depth, struct message *log,
                      struct aio_queue **queue)
{
    static const enum aio_engine engines[] = {
        [ENGINE_BLOCKING] = AIO_ENGINE_AUTO,     [ENGINE_QUEUE_KAIO] = AIO_ENGINE_KAIO,
        [ENGINE_QUEUE_URING] = AIO_ENGINE_URING, [ENGINE_QUEUE_THREADS] = AIO_ENGINE_THREADS,
        [ENGINE_QUEUE_SYNC] = AIO_ENGINE_SYNC,
    };
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    int result;

    options.engine = engines[worker->job->options->ioengine];
    options.depth = depth;
    options.log = handle_log;
    options.log_context = log;
    result = aio_queue_create(&options, queue);
    /* Less in flight than the job says would be another measurement. */
    if (result == 0 && aio_queue_depth(*queue) < options.depth) {
        aio_queue_destroy(*queue, 0);
        *queue = NULL;
        result = -EAGAIN;
    }
    if (result < 0)
        worker_fail(worker, -result, "aio_queue_create", 0, log->text[0] ? log->text : NULL);
    return result;
}

/* x_share=queue: the first clone makes a queue with room for all. */
static int share_queue(struct worker *worker)
{
    struct run *run = worker->run;
    const struct plan_job *job = worker->job;
    struct share *share = &run->shares[job->section];
    int result = 0;

    pthread_mutex_lock(&run->pause_lock);
    if (share->users == 0)
        result = make_queue(worker, job->depth * (unsigned)job->options->numjobs, &share->queue_log,
                            &share->queue);
    if (result == 0) {
        share->users++;
        worker->queue = share->queue;
    }
    pthread_mutex_unlock(&run->pause_lock);
    return result;
}

static int open_queue(struct worker *worker)
{
    const struct plan_job *job = worker->job;

    worker->blocking = job->options->ioengine == ENGINE_BLOCKING;
    if (worker->blocking)
        return 0;
    if (job->options->x_share == SHARE_QUEUE)
        return share_queue(worker);
    return make_queue(worker, job->depth, &worker->queue_log, &worker->queue);
}

static void close_queue(struct worker *worker)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct run *run = worker->run;
    bool last = true;

    if (!worker->queue)
        return;
    if (aio_queue_stats(worker->queue, &stats) == 0)
        worker->engine = stats.engine;
    pthread_mutex_lock(&run->pause_lock);
    if (worker->job->options->x_share == SHARE_QUEUE)
        last = --run->shares[worker->job->section].users == 0;
    pthread_mutex_unlock(&run->pause_lock);
    if (last)
        aio_queue_destroy(worker->queue, AIO_QUEUE_DISCARD);
    worker->queue = NULL;
}

static int open_file(struct worker *worker, struct handle *handle, unsigned number)
{
    const struct plan_job *job = worker->job;
    struct handle_need need = {
        .write = job->writes,
        .flags = handle_sync_flags(job->options),
        .direct = job->options->direct ? AIO_DIRECT_REQUIRED : AIO_DIRECT_NEVER,
        .grain = job->appends ? 0 : plan_job_grain(job),
    };
    struct message message = {0};
    int result = handle_open(handle, job->files[number].target, &need, &message);

    if (result < 0) {
        worker_fail(worker, -result, "open", 0, message.text);
        return result;
    }
    /* As fio does: what an earlier program left in the page cache is not what is measured. */
    posix_fadvise(aio_file_fd(handle->file), 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

/* x_share=file: the first clone opens the file. */
static int open_shared(struct worker *worker)
{
    struct run *run = worker->run;
    struct share *shared = &run->shares[worker->job->section];
    int result = 0;

    pthread_mutex_lock(&run->pause_lock);
    if (shared->users == 0)
        result = open_file(worker, &shared->handle, 0);
    if (result == 0) {
        shared->users++;
        worker->handle = shared->handle;
    }
    pthread_mutex_unlock(&run->pause_lock);
    return result;
}

/* The last clone closes it. */
static int close_shared(struct worker *worker)
{
    struct run *run = worker->run;
    struct share *shared = &run->shares[worker->job->section];
    int result = 0;

    worker->handle.file = NULL;
    pthread_mutex_lock(&run->pause_lock);
    if (--shared->users == 0)
        result = handle_close(&shared->handle);
    pthread_mutex_unlock(&run->pause_lock);
    return result;
}

static int open_files(struct worker *worker)
{
    unsigned others = worker->job->file_count - 1;
    int result = worker->job->options->x_share == SHARE_FILE
                     ? open_shared(worker)
                     : open_file(worker, &worker->handle, 0);

    worker->direct = worker->handle.info.direct_granted;
    if (others)
        worker->others = must_alloc(others, sizeof(*worker->others));
    while (result == 0 && worker->others_count < others) {
        result = open_file(worker, &worker->others[worker->others_count], worker->others_count + 1);
        if (result == 0)
            worker->others_count++;
    }
    return result;
}

/* A job that verifies has one file. */
int worker_sync(struct worker *worker)
{
    uint64_t epoch = journal_sync_begin(worker->job->target);
    int result = aio_file_sync(worker->handle.file);

    if (result == 0)
        journal_sync_end(worker->job->target, epoch);
    return result;
}

static int sync_files(struct worker *worker)
{
    int result = worker_sync(worker);

    for (unsigned i = 0; i < worker->others_count && result == 0; i++)
        result = aio_file_sync(worker->others[i].file);
    return result;
}

static int open_all(struct worker *worker)
{
    const struct plan_job *job = worker->job;
    const struct target *target = job->target;
    struct issuer_need need = {
        .depth = job->depth,
        .batch_max = job->batch,
        .reap_min = job->reap_min,
        .reap_max = job->reap_max,
        .low = job->low,
        .shares_queue = job->options->x_share == SHARE_QUEUE,
        .length = (uint32_t)job->options->bs,
        .fill_buffers = job->writes && !target->block,
        .views = job->verifies && target->block ? (unsigned)(job->options->bs / target->block) : 0,
    };
    int result = open_files(worker);

    if (result < 0)
        return result;
    need.alignment = worker->handle.info.memory_alignment;
    result = issuer_init(&worker->issuer, &need);
    if (result < 0)
        worker_fail(worker, -result, "buffers", 0, NULL);
    else
        result = open_queue(worker);
    worker->issuer.file = worker->handle.file;
    worker->issuer.queue = worker->queue;
    worker->issuer.stats = worker->stats;
    worker->issuer.appends = job->appends;
    worker->issuer.commit_wanted = (unsigned)job->options->x_group_commit;
    if (worker->issuer.commit_wanted)
        worker->issuer.commit = &worker->run->commits[job->section];
    return result;
}

static void close_all(struct worker *worker)
{
    int result = 0;

    if (worker->handle.file && worker->job->options->fsync_on_close && worker->job->writes) {
        result = sync_files(worker);
        if (result < 0)
            worker_fail(worker, -result, "fsync on close", 0, NULL);
    }
    for (unsigned i = worker->others_count; worker->handle.file && i > 0; i--) {
        result = handle_close(&worker->others[i - 1]);
        if (result < 0)
            worker_fail(worker, -result, "close", 0, NULL);
    }
    if (worker->handle.file) {
        result = worker->job->options->x_share == SHARE_FILE ? close_shared(worker)
                                                             : handle_close(&worker->handle);
        if (result < 0)
            worker_fail(worker, -result, "close", 0, NULL);
    }
    free(worker->others);
    close_queue(worker);
    issuer_free(&worker->issuer);
}

static void end_fsync(struct worker *worker)
{
    uint64_t start_ns;
    uint64_t lasted_ns;
    int result;

    if (!worker->job->options->end_fsync || !worker->job->writes || worker->error.number)
        return;
    atomic_store_explicit(&worker->progress.letter, 'F', memory_order_relaxed);
    start_ns = clock_now_ns();
    result = sync_files(worker);
    lasted_ns = clock_now_ns() - start_ns;
    if (result < 0)
        worker_fail(worker, -result, "fsync at the end", 0, NULL);
    else
        job_stats_add(worker->stats, DIRECTION_SYNC, 1, 0, lasted_ns, lasted_ns);
}

static uint64_t to_us(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_usec;
}

static void add_usage(struct job_stats *stats, const struct rusage *before)
{
    struct rusage after;

    getrusage(RUSAGE_THREAD, &after);
    stats->user_us = to_us(&after.ru_utime) - to_us(&before->ru_utime);
    stats->system_us = to_us(&after.ru_stime) - to_us(&before->ru_stime);
    stats->context_switches = (uint64_t)(after.ru_nvcsw - before->ru_nvcsw) +
                              (uint64_t)(after.ru_nivcsw - before->ru_nivcsw);
    stats->major_faults = (uint64_t)(after.ru_majflt - before->ru_majflt);
    stats->minor_faults = (uint64_t)(after.ru_minflt - before->ru_minflt);
}

static char work_letter(const struct plan_job *job)
{
    if (job->reads && job->writes)
        return job->random ? 'm' : 'M';
    if (job->writes)
        return job->random ? 'w' : 'W';
    return job->random ? 'r' : 'R';
}

static void delay_start(struct worker *worker)
{
    uint64_t delay_us = pace_start_delay_us(worker->job->options, worker->job->seed);

    if (delay_us)
        worker_pause(worker, clock_now_ns() + delay_us * NS_PER_US);
    if (worker_is_to_end(worker))
        worker->stopping = true;
}

static bool has_ended(const struct run *run, size_t section)
{
    for (unsigned i = 0; i < run->plan->job_count; i++)
        if (run->workers[i].job->section == section && !run->workers[i].ended)
            return false;
    return true;
}

/* wait_for= */
static void wait_for_others(struct worker *worker)
{
    struct run *run = worker->run;
    const struct plan_job *job = worker->job;

    if (job->waits_for == job->section)
        return;
    pthread_mutex_lock(&run->pause_lock);
    while (!worker_is_to_end(worker) && !has_ended(run, job->waits_for))
        pthread_cond_wait(&run->pause_end, &run->pause_lock);
    pthread_mutex_unlock(&run->pause_lock);
}

static bool is_ended_by(const struct plan_job *job, const struct plan_job *ender)
{
    switch (ender->options->exit_what) {
    case EXIT_WHAT_GROUP:
        return job->group == ender->group;
    case EXIT_WHAT_STAGE:
        return job->stage == ender->stage;
    default:
        return true;
    }
}

/* Tells those that wait for this job, and those that it ends. */
static void announce_end(struct worker *worker)
{
    struct run *run = worker->run;
    const struct plan_job *job = worker->job;

    pthread_mutex_lock(&run->pause_lock);
    worker->ended = true;
    for (unsigned i = 0; job->options->exitall && i < run->plan->job_count; i++)
        if (is_ended_by(run->workers[i].job, job))
            atomic_store_explicit(&run->workers[i].told_to_end, true, memory_order_relaxed);
    if (job->options->exitall && job->options->exit_what == EXIT_WHAT_ALL)
        atomic_store_explicit(&run->ends_all, true, memory_order_relaxed);
    pthread_cond_broadcast(&run->pause_end);
    pthread_mutex_unlock(&run->pause_lock);
}

static void choose_processors(struct worker *worker)
{
    const struct job_options *options = worker->job->options;
    int result = 0;

    if (options->cpus_allowed)
        result = cpu_list_apply(options->cpus_allowed, options->cpus_allowed_policy == CPUS_SPLIT,
                                worker->job->clone);
    if (result < 0)
        worker_fail(worker, -result, "cpus_allowed", 0, NULL);
}

static void leave_commit(struct worker *worker)
{
    if (worker->job->options->x_group_commit)
        group_commit_leave(&worker->run->commits[worker->job->section]);
}

/* Opens, works, verifies. */
static void do_job(struct worker *worker)
{
    if (open_all(worker) < 0) {
        leave_commit(worker);
        verify_phase_run(worker);
        return;
    }
    getrusage(RUSAGE_THREAD, &worker->usage_before);
    worker->start_ns = clock_now_ns();
    atomic_store_explicit(&worker->progress.letter, work_letter(worker->job), memory_order_relaxed);
    workload_run(worker);
    leave_commit(worker);
    end_fsync(worker);
    verify_phase_run(worker);
    worker->stats->elapsed_ns = clock_now_ns() - worker->start_ns;
    add_usage(worker->stats, &worker->usage_before);
}

void *worker_main(void *argument)
{
    struct worker *worker = argument;
    uint64_t one = 1;

    worker->thread_id = gettid();
    choose_processors(worker);
    wait_for_others(worker);
    delay_start(worker);
    if (worker->job->options->create_only)
        leave_commit(worker);
    else
        do_job(worker);
    close_all(worker);
    announce_end(worker);
    atomic_store_explicit(&worker->progress.letter, '_', memory_order_relaxed);
    if (write(worker->run->ended_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
        return NULL; /* an eventfd takes 2^64 - 2 of them */
    return NULL;
}
