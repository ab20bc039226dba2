/* SPDX-License-Identifier: MIT */
#include "runner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "job_log.h"
#include "live.h"
#include "log_files.h"

/* Pauses are measured with the clock of everything else. */
static void init_pauses(struct run *run)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&run->pause_end, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&run->pause_lock, NULL);
}

/* The lock keeps a worker from missing it between its look and its sleep. */
static void stop_all(struct run *run, int number)
{
    pthread_mutex_lock(&run->pause_lock);
    atomic_store_explicit(&run->stop_signal, number, memory_order_relaxed);
    pthread_cond_broadcast(&run->pause_end);
    pthread_mutex_unlock(&run->pause_lock);
}

int run_init(struct run *run, struct plan *plan, const struct run_hooks *hooks, FILE *errors,
             struct message *message)
{
    *run = (struct run){.plan = plan, .ended_fd = -1};
    console_init(&run->console, errors);
    init_pauses(run);
    run->findings.console = &run->console;
    if (hooks) {
        run->before_verify = hooks->before_verify;
        run->hook_context = hooks->context;
    }
    if (getrandom(&run->identity.run, sizeof(run->identity.run), 0) !=
        (ssize_t)sizeof(run->identity.run))
        return message_set(message, "no random numbers: %s", strerror(errno));
    run->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (run->ended_fd < 0)
        return message_set(message, "eventfd: %s", strerror(errno));

    /* Every section has a job at least. */
    run->commits = must_alloc(plan->job_count, sizeof(*run->commits));
    run->shares = must_alloc(plan->job_count, sizeof(*run->shares));
    for (unsigned i = 0; i < plan->job_count; i++)
        group_commit_init(&run->commits[i]);
    run->workers = must_alloc(plan->job_count, sizeof(*run->workers));
    for (unsigned i = 0; i < plan->job_count; i++) {
        struct worker *worker = &run->workers[i];
        const struct plan_job *job = &plan->jobs[i];
        uint64_t bytes = plan_job_bytes(job);

        worker->run = run;
        worker->job = job;
        worker->stats = job_stats_new();
        worker->log = log_files_begin(job->options);
        if (job->writes && job->verifies && job->options->do_verify)
            bytes *= 2;
        atomic_store_explicit(&worker->progress.letter, 'P', memory_order_relaxed);
        atomic_store_explicit(&worker->progress.total_bytes, bytes, memory_order_relaxed);
    }
    return 0;
}

void run_free(struct run *run)
{
    for (unsigned i = 0; run->commits && i < run->plan->job_count; i++)
        group_commit_destroy(&run->commits[i]);
    free(run->commits);
    free(run->shares);
    for (unsigned i = 0; run->workers && i < run->plan->job_count; i++) {
        job_stats_free(run->workers[i].stats);
        job_log_free(run->workers[i].log);
        free(run->workers[i].live);
    }
    free(run->workers);
    if (run->ended_fd >= 0)
        close(run->ended_fd);
    pthread_cond_destroy(&run->pause_end);
    pthread_mutex_destroy(&run->pause_lock);
    console_destroy(&run->console);
}

/* The last writer of a file verifies it: counts how many there are in this stage. */
static void count_writers(const struct run *run, unsigned stage)
{
    const struct plan *plan = run->plan;

    for (unsigned i = 0; i < plan->files.count; i++) {
        atomic_store_explicit(&plan->files.targets[i]->writers_left, 0, memory_order_relaxed);
        plan->files.targets[i]->phase_wanted = false;
    }
    for (unsigned i = 0; i < plan->job_count; i++) {
        const struct plan_job *job = &plan->jobs[i];

        if (job->stage != stage || !job->writes || !job->verifies)
            continue;
        atomic_fetch_add_explicit(&job->target->writers_left, 1, memory_order_relaxed);
        if (job->options->do_verify)
            job->target->phase_wanted = true;
    }
}

/* All clones belong to their group before the first of them can wait for the others. */
static void join_commits(struct run *run, unsigned stage)
{
    for (unsigned i = 0; i < run->plan->job_count; i++) {
        const struct plan_job *job = run->workers[i].job;

        if (job->stage == stage && job->options->x_group_commit)
            group_commit_join(&run->commits[job->section]);
    }
}

static int start_stage(struct run *run, unsigned stage, unsigned *started, struct message *message)
{
    int result = 0;

    *started = 0;
    count_writers(run, stage);
    join_commits(run, stage);
    for (unsigned i = 0; i < run->plan->job_count; i++) {
        struct worker *worker = &run->workers[i];

        if (worker->job->stage != stage)
            continue;
        if (result == 0)
            result = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (result == 0)
            ++*started;
        else if (worker->job->options->x_group_commit)
            group_commit_leave(&run->commits[worker->job->section]);
    }
    if (result == 0)
        return 0;
    /* Those that run are told to end, and waited for as always. */
    stop_all(run, SIGTERM);
    return message_set(message, "a thread could not be made: %s", strerror(result));
}

/* What the main thread listens to. */
struct listener {
    int signal_fd;
    sigset_t blocked;
    sigset_t before;
};

static int listen_to_signals(struct listener *listener, struct message *message)
{
    sigemptyset(&listener->blocked);
    sigaddset(&listener->blocked, SIGINT);
    sigaddset(&listener->blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &listener->blocked, &listener->before);
    listener->signal_fd = signalfd(-1, &listener->blocked, SFD_CLOEXEC | SFD_NONBLOCK);
    if (listener->signal_fd >= 0)
        return 0;
    pthread_sigmask(SIG_SETMASK, &listener->before, NULL);
    return message_set(message, "signalfd: %s", strerror(errno));
}

static void stop_listening(const struct listener *listener)
{
    close(listener->signal_fd);
    pthread_sigmask(SIG_SETMASK, &listener->before, NULL);
}

static void take_signal(struct run *run, const struct listener *listener)
{
    struct signalfd_siginfo info;
    int number;

    if (read(listener->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    number = (int)info.ssi_signo;
    if (atomic_load_explicit(&run->stop_signal, memory_order_relaxed) != 0) {
        signal(number, SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, &listener->blocked, NULL);
        raise(number);
    }
    stop_all(run, number);
    console_line(&run->console, "%s: waiting for the operations in flight (once more ends at once)",
                 strsignal(number));
}

/* Waits until the workers of the stage have ended, showing progress meanwhile. */
static void watch_stage(struct run *run, const struct listener *listener, unsigned started,
                        struct progress *progress)
{
    struct pollfd polled[] = {
        {.fd = run->ended_fd, .events = POLLIN},
        {.fd = listener->signal_fd, .events = POLLIN},
    };
    uint64_t ended = 0;

    while (ended < started) {
        uint64_t more = 0;

        poll(polled, 2, (int)progress_timeout_ms(progress));
        take_signal(run, listener);
        if (read(run->ended_fd, &more, sizeof(more)) == (ssize_t)sizeof(more))
            ended += more;
        progress_update(progress, run);
    }
}

static int run_stage(struct run *run, const struct listener *listener, unsigned stage,
                     struct progress *progress, struct message *message)
{
    unsigned started;
    int result = start_stage(run, stage, &started, message);

    watch_stage(run, listener, started, progress);
    for (unsigned i = 0; i < run->plan->job_count && started > 0; i++) {
        if (run->workers[i].job->stage != stage)
            continue;
        pthread_join(run->workers[i].thread, NULL);
        started--;
    }
    return result;
}

int runner_run(struct run *run, const struct run_hooks *hooks, struct progress *progress,
               struct message *message)
{
    struct listener listener;
    int result = listen_to_signals(&listener, message);

    if (result)
        return result;
    for (unsigned i = 0; i < run->plan->job_count && progress_looks(progress); i++)
        run->workers[i].live = must_alloc(1, sizeof(struct live_cell));
    for (unsigned stage = 0; stage < run->plan->stage_count && result == 0; stage++) {
        if (atomic_load_explicit(&run->stop_signal, memory_order_relaxed) != 0)
            break;
        if (atomic_load_explicit(&run->ends_all, memory_order_relaxed))
            break;
        if (hooks && hooks->before_group)
            hooks->before_group(hooks->context, run->plan, stage);
        result = run_stage(run, &listener, stage, progress, message);
    }
    progress_end(progress, run);
    stop_listening(&listener);
    return result;
}
