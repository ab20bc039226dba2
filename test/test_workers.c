/* SPDX-License-Identifier: MIT */
/*
 * test_workers.c - the few threads for what would block: how many there are, when they come and go,
 * and in what order they work.
 */
#include "workers.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support.h"
#include "thread.h"

enum { WORKERS = 4 };

/* --- jobs ----------------------------------------------------------------------------------- */

struct job {
    struct worker_job job;
    atomic_bool started;
    atomic_bool blocked; /* stays until it is not */
    atomic_bool done;
    unsigned place; /* in the order of starting */
    int thread;
};

static atomic_uint started_jobs;

static void run_job(struct worker_job *worker_job)
{
    struct job *job = (struct job *)worker_job;

    job->place = started_jobs++;
    job->thread = thread_number();
    job->started = true;
    while (job->blocked)
        sleep_us(100);
    job->done = true;
}

static void submit(struct job *job, bool blocked)
{
    *job = (struct job){.job.run = run_job, .blocked = blocked};
    workers_submit(&job->job);
}

static void submit_all(struct job *jobs, unsigned count, bool blocked)
{
    for (unsigned index = 0; index < count; index++)
        submit(&jobs[index], blocked);
}

static void finish_all(struct job *jobs, unsigned count)
{
    for (unsigned index = 0; index < count; index++)
        jobs[index].blocked = false;
    for (unsigned index = 0; index < count; index++)
        EVENTUALLY(jobs[index].done);
}

/* How many threads are called so. */
static unsigned workers_now(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned count = 0;

    REQUIRE(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[320];
        char name[32] = "";
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        file = entry->d_name[0] != '.' ? fopen(path, "re") : NULL;
        if (file == NULL)
            continue;
        if (fgets(name, sizeof(name), file) == NULL)
            name[0] = '\0';
        fclose(file);
        count += strcmp(name, "aio-worker\n") == 0;
    }
    closedir(tasks);
    return count;
}

/* --- threads may be forbidden --------------------------------------------------------------- */

static struct rlimit threads_allowed;
static bool was_root;

/* The limit is not root's: for the while this process is somebody else's, with all its threads. */
static void forbid_threads(void)
{
    struct rlimit none;

    REQUIRE(getrlimit(RLIMIT_NPROC, &threads_allowed) == 0);
    none = (struct rlimit){0, threads_allowed.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NPROC, &none) == 0);
    was_root = geteuid() == 0;
    REQUIRE(!was_root || setresuid(65534, 65534, 0) == 0);
}

static void allow_threads(void)
{
    REQUIRE(!was_root || setresuid(0, 0, 0) == 0);
    REQUIRE(setrlimit(RLIMIT_NPROC, &threads_allowed) == 0);
}

/* --- work ----------------------------------------------------------------------------------- */

START_TEST(a_job_is_run_once_on_another_thread)
{
    struct job job;

    EXPECT(workers_add_user(), 0);
    for (unsigned round = 0; round < 1000; round++) {
        submit(&job, false);
        EVENTUALLY(job.done);
        REQUIRE(job.thread != thread_number());
        REQUIRE_EQ(started_jobs, round + 1);
    }
    workers_remove_user();
}
END_TEST

START_TEST(one_thread_runs_them_in_their_order)
{
    enum { JOBS = 100 };
    static struct job jobs[JOBS];

    EXPECT(workers_add_user(), 0);
    forbid_threads();
    submit(&jobs[0], true);
    submit_all(jobs + 1, JOBS - 1, false);
    EVENTUALLY(jobs[0].started);
    REQUIRE_EQ(workers_now(), 1); /* that there are no more is no error */
    finish_all(jobs, JOBS);
    allow_threads();
    for (unsigned index = 0; index < JOBS; index++) {
        REQUIRE_EQ(jobs[index].place, index);
        REQUIRE_EQ(jobs[index].thread, jobs[0].thread);
    }
    workers_remove_user();
}
END_TEST

START_TEST(four_that_block_run_side_by_side)
{
    struct job jobs[WORKERS + 2];

    EXPECT(workers_add_user(), 0);
    submit_all(jobs, WORKERS + 2, true);
    for (unsigned index = 0; index < WORKERS; index++)
        EVENTUALLY(jobs[index].started);
    /* There is nobody for the others. */
    REQUIRE_EQ(workers_now(), WORKERS);
    REQUIRE(!jobs[WORKERS].started && !jobs[WORKERS + 1].started);
    jobs[2].blocked = false;
    EVENTUALLY(jobs[WORKERS].started);
    REQUIRE(jobs[2].done && !jobs[WORKERS + 1].started);
    finish_all(jobs, WORKERS + 2);
    REQUIRE_EQ(workers_now(), WORKERS);
    workers_remove_user();
}
END_TEST

/* One that blocks does not hold up the others, whenever these come. */
START_TEST(what_comes_later_does_not_wait_for_what_blocks)
{
    struct job jobs[WORKERS];

    EXPECT(workers_add_user(), 0);
    for (unsigned index = 0; index < WORKERS; index++) {
        submit(&jobs[index], true);
        EVENTUALLY(jobs[index].started);
    }
    finish_all(jobs, WORKERS);
    /* The same with threads that are there and idle. */
    for (unsigned index = 0; index < WORKERS; index++) {
        submit(&jobs[index], true);
        EVENTUALLY(jobs[index].started);
    }
    finish_all(jobs, WORKERS);
    workers_remove_user();
}
END_TEST

START_TEST(one_that_blocks_leaves_the_others_running)
{
    enum { JOBS = 200 };
    static struct job jobs[JOBS];
    struct job blocked[WORKERS - 1];

    EXPECT(workers_add_user(), 0);
    submit_all(blocked, WORKERS - 1, true);
    submit_all(jobs, JOBS, false);
    for (unsigned index = 0; index < JOBS; index++)
        EVENTUALLY(jobs[index].done);
    for (unsigned index = 0; index < WORKERS - 1; index++)
        REQUIRE(!blocked[index].done);
    finish_all(blocked, WORKERS - 1);
    workers_remove_user();
}
END_TEST

/* Jobs that submit jobs, as what leaves a file does, and that are gone when they return. */
static atomic_uint links_left;

static void run_link(struct worker_job *job)
{
    struct worker_job *next;

    memset(job, 0xee, sizeof(*job));
    free(job);
    if (links_left-- == 1)
        return;
    next = malloc(sizeof(*next));
    REQUIRE(next != NULL);
    next->run = run_link;
    workers_submit(next);
}

START_TEST(a_job_may_free_itself_and_submit_another)
{
    struct worker_job *first = malloc(sizeof(*first));

    REQUIRE(first != NULL);
    EXPECT(workers_add_user(), 0);
    links_left = 500;
    first->run = run_link;
    workers_submit(first);
    EVENTUALLY(links_left == 0);
    workers_remove_user();
}
END_TEST

static void run_masked(struct worker_job *worker_job)
{
    struct job *job = (struct job *)worker_job;
    sigset_t mask;

    REQUIRE(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
    job->place = sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGALRM) == 1;
    job->done = true;
}

START_TEST(no_handler_of_the_program_runs_there)
{
    struct job job = {.job.run = run_masked};

    EXPECT(workers_add_user(), 0);
    workers_submit(&job.job);
    EVENTUALLY(job.done);
    REQUIRE_EQ(job.place, 1);
    workers_remove_user();
}
END_TEST

/* --- users ---------------------------------------------------------------------------------- */

START_TEST(threads_go_with_the_last_user)
{
    struct job jobs[WORKERS];

    for (unsigned round = 0; round < 3; round++) {
        REQUIRE_EQ(workers_now(), 0);
        EXPECT(workers_add_user(), 0);
        EXPECT(workers_add_user(), 0);
        REQUIRE(workers_now() >= 1);
        submit_all(jobs, WORKERS, true);
        EVENTUALLY(workers_now() == WORKERS);
        finish_all(jobs, WORKERS);
        workers_remove_user();
        REQUIRE_EQ(workers_now(), WORKERS);
        submit(&jobs[0], false);
        EVENTUALLY(jobs[0].done);
        workers_remove_user();
        EVENTUALLY(workers_now() == 0);
    }
}
END_TEST

START_TEST(without_a_thread_there_is_no_user)
{
    struct job job;

    forbid_threads();
    EXPECT(workers_add_user(), -EAGAIN);
    EXPECT(workers_add_user(), -EAGAIN);
    allow_threads();
    REQUIRE_EQ(workers_now(), 0);
    EXPECT(workers_add_user(), 0);
    forbid_threads();
    EXPECT(workers_add_user(), 0); /* there is one already */
    submit(&job, false);
    EVENTUALLY(job.done);
    allow_threads();
    workers_remove_user();
    submit(&job, false);
    EVENTUALLY(job.done);
    workers_remove_user();
    EVENTUALLY(workers_now() == 0);
}
END_TEST

START_TEST(threads_that_could_not_be_had_come_later)
{
    struct job jobs[WORKERS];

    EXPECT(workers_add_user(), 0);
    forbid_threads();
    submit_all(jobs, 2, true);
    EVENTUALLY(jobs[0].started);
    REQUIRE_EQ(workers_now(), 1);
    allow_threads();
    finish_all(jobs, 2);
    submit_all(jobs, WORKERS, true);
    for (unsigned index = 0; index < WORKERS; index++)
        EVENTUALLY(jobs[index].started);
    finish_all(jobs, WORKERS);
    workers_remove_user();
}
END_TEST

static void *come_and_go(void *argument)
{
    struct job jobs[3];

    for (unsigned round = 0; round < 100; round++) {
        EXPECT(workers_add_user(), 0);
        submit_all(jobs, COUNT(jobs), false);
        for (unsigned index = 0; index < COUNT(jobs); index++)
            EVENTUALLY(jobs[index].done);
        workers_remove_user();
    }
    return argument;
}

START_TEST(users_come_and_go_on_many_threads)
{
    pthread_t threads[8];

    for (size_t index = 0; index < COUNT(threads); index++)
        thread_begin(&threads[index], come_and_go, NULL);
    for (size_t index = 0; index < COUNT(threads); index++)
        thread_end(threads[index]);
    REQUIRE_EQ(started_jobs, 8 * 100 * 3);
    EVENTUALLY(workers_now() == 0);
}
END_TEST

/* --- fork ----------------------------------------------------------------------------------- */

static int work_in_child(void *argument)
{
    struct job *of_parent = argument;
    struct job jobs[WORKERS];

    REQUIRE_EQ(workers_now(), 0);
    for (unsigned round = 0; round < 2; round++) {
        EXPECT(workers_add_user(), 0);
        submit_all(jobs, WORKERS, true);
        for (unsigned index = 0; index < WORKERS; index++)
            EVENTUALLY(jobs[index].started);
        finish_all(jobs, WORKERS);
        workers_remove_user();
        EVENTUALLY(workers_now() == 0);
    }
    return of_parent->started ? 1 : 0;
}

START_TEST(a_child_has_threads_of_its_own)
{
    struct job jobs[WORKERS + 1];

    if (threads_are_watched())
        return; /* the sanitizer takes the child's threads for the parent's */
    EXPECT(workers_add_user(), 0);
    submit_all(jobs, WORKERS + 1, true);
    for (unsigned index = 0; index < WORKERS; index++)
        EVENTUALLY(jobs[index].started);
    /* One waits: it is not the child's to run. */
    REQUIRE_EQ(in_child(work_in_child, &jobs[WORKERS]), 0);
    REQUIRE(!jobs[WORKERS].started);
    finish_all(jobs, WORKERS + 1);
    workers_remove_user();
}
END_TEST

static int use_and_leave(void *argument)
{
    (void)argument;
    EXPECT(workers_add_user(), 0);
    workers_remove_user();
    return 0;
}

/* However busy the pool is when it is copied: its locks are. */
static void *keep_busy(void *argument)
{
    atomic_bool *stop = argument;
    struct job job;

    while (!*stop) {
        EXPECT(workers_add_user(), 0);
        submit(&job, false);
        EVENTUALLY(job.done);
        workers_remove_user();
    }
    return NULL;
}

START_TEST(a_fork_may_come_at_any_time)
{
    atomic_bool stop = false;
    pthread_t threads[2];

    if (slowness() > 1)
        return; /* a sanitizer's own locks are copied too */
    for (size_t index = 0; index < COUNT(threads); index++)
        thread_begin(&threads[index], keep_busy, &stop);
    for (unsigned round = 0; round < 30; round++)
        REQUIRE_EQ(in_child(use_and_leave, NULL), 0);
    stop = true;
    for (size_t index = 0; index < COUNT(threads); index++)
        thread_end(threads[index]);
}
END_TEST

/* --- withdrawing ---------------------------------------------------------------------------- */

/* The only one, the first, one in the middle, the last of those that wait for the one thread. */
START_TEST(what_no_thread_has_taken_can_be_withdrawn)
{
    struct job busy;
    struct job jobs[5];
    unsigned count = _i == 0 ? 1 : 4;
    unsigned gone = _i == 3 ? 3 : (unsigned)_i / 2;
    unsigned place = 1;

    EXPECT(workers_add_user(), 0);
    forbid_threads();
    submit(&busy, true);
    EVENTUALLY(busy.started);
    REQUIRE(!workers_withdraw(&busy.job));
    submit_all(jobs, count, false);
    REQUIRE(workers_withdraw(&jobs[gone].job));
    REQUIRE(!workers_withdraw(&jobs[gone].job));
    submit(&jobs[4], false);
    busy.blocked = false;
    EVENTUALLY(jobs[4].done);
    allow_threads();
    REQUIRE(!workers_withdraw(&busy.job) && !workers_withdraw(&jobs[4].job));
    REQUIRE(!jobs[gone].started);
    for (unsigned index = 0; index < count; index++)
        if (index != gone)
            REQUIRE_EQ(jobs[index].place, place++);
    REQUIRE_EQ(jobs[4].place, place);
    /* It may come again. */
    submit(&jobs[gone], false);
    EVENTUALLY(jobs[gone].done);
    workers_remove_user();
}
END_TEST

START_TEST(what_was_withdrawn_needs_no_thread)
{
    struct job busy;
    struct job jobs[20];
    struct job next;

    EXPECT(workers_add_user(), 0);
    forbid_threads();
    submit(&busy, true);
    EVENTUALLY(busy.started);
    submit_all(jobs, COUNT(jobs), false);
    for (size_t index = 0; index < COUNT(jobs); index++)
        REQUIRE(workers_withdraw(&jobs[index].job));
    allow_threads();
    busy.blocked = false;
    EVENTUALLY(busy.done);
    sleep_us(20000); /* until the thread is idle */
    submit(&next, false);
    EVENTUALLY(next.done);
    REQUIRE_EQ(workers_now(), 1);
    workers_remove_user();
}
END_TEST

static Suite *workers_suite(void)
{
    Suite *suite = suite_create("workers");

    ADD_TESTS(suite, "work", a_job_is_run_once_on_another_thread,
              one_thread_runs_them_in_their_order, four_that_block_run_side_by_side,
              what_comes_later_does_not_wait_for_what_blocks,
              one_that_blocks_leaves_the_others_running, a_job_may_free_itself_and_submit_another,
              no_handler_of_the_program_runs_there);
    ADD_TESTS(suite, "users", threads_go_with_the_last_user, without_a_thread_there_is_no_user,
              threads_that_could_not_be_had_come_later, users_come_and_go_on_many_threads);
    add_loop_test(suite, "withdrawing", what_no_thread_has_taken_can_be_withdrawn, 4);
    ADD_TESTS(suite, "withdrawing", what_was_withdrawn_needs_no_thread);
    ADD_TESTS(suite, "fork", a_child_has_threads_of_its_own, a_fork_may_come_at_any_time);
    return suite;
}

int main(void)
{
    return run_suite(workers_suite);
}
