/* SPDX-License-Identifier: MIT */
/*
 * workers.c - a few threads for what would block.
 *
 * The first user starts one thread; more are started where a job comes and nobody is idle for it.
 * That one could not be started is no error then: those that are there do the work.
 */
#include "workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "thread.h"

/* Enough for a file that blocks not to hold up the others; few enough not to be noticed. */
#define WORKERS_MAX 4u

/* Guarded by lock, but threads[], which belongs to who starts and ends them. */
static struct {
    struct thread_mutex lock;
    struct thread_cond arrived; /* a job, or the end */
    struct worker_job *first;
    struct worker_job *last;
    unsigned users;
    unsigned started;
    unsigned idle;
    unsigned queued; /* jobs */
    bool stop;
    struct thread_handle threads[WORKERS_MAX];
} pool = {.lock = THREAD_MUTEX_INIT};

/* Held while the first user starts the threads and while the last one ends them. */
static struct thread_mutex users_lock = THREAD_MUTEX_INIT;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A child has none of the threads, and no job of the parent's is its own. */
static void reset(void)
{
    thread_mutex_init(&users_lock);
    thread_mutex_init(&pool.lock);
    thread_cond_init(&pool.arrived);
    pool.first = NULL;
    pool.last = NULL;
    pool.users = 0;
    pool.started = 0;
    pool.idle = 0;
    pool.queued = 0;
    pool.stop = false;
}

static void prepare(void)
{
    thread_cond_init(&pool.arrived);
    pthread_atfork(NULL, NULL, reset);
}

static void *worker_main(void *argument);

/* Lock held. */
static int start_one(void)
{
    int error = thread_start(&pool.threads[pool.started], "aio-worker", worker_main, NULL);

    pool.started += error == 0;
    return error;
}

/* Takes the oldest job, waiting for one. NULL: the end. */
static struct worker_job *take_job(void)
{
    struct worker_job *job;

    thread_mutex_lock(&pool.lock);
    while (pool.first == NULL && !pool.stop) {
        pool.idle++;
        thread_cond_wait(&pool.arrived, &pool.lock, DEADLINE_NEVER);
        pool.idle--;
    }
    job = pool.first;
    if (job != NULL) {
        pool.first = job->next;
        pool.queued--;
    }
    thread_mutex_unlock(&pool.lock);
    return job;
}

static void *worker_main(void *argument)
{
    struct worker_job *job;

    (void)argument;
    while ((job = take_job()) != NULL)
        job->run(job);
    return NULL;
}

int workers_add_user(void)
{
    int error = 0;

    pthread_once(&once, prepare);
    thread_mutex_lock(&users_lock);
    thread_mutex_lock(&pool.lock);
    if (pool.users == 0)
        error = start_one();
    pool.users += error == 0;
    thread_mutex_unlock(&pool.lock);
    thread_mutex_unlock(&users_lock);
    return error;
}

void workers_remove_user(void)
{
    bool last;

    thread_mutex_lock(&users_lock);
    thread_mutex_lock(&pool.lock);
    last = --pool.users == 0;
    pool.stop = last;
    if (last)
        thread_cond_broadcast(&pool.arrived);
    thread_mutex_unlock(&pool.lock);
    if (last) {
        /* No job is left, so none of them starts another one. */
        for (unsigned index = 0; index < pool.started; index++)
            thread_join(&pool.threads[index]);
        pool.started = 0;
        pool.stop = false;
    }
    thread_mutex_unlock(&users_lock);
}

void workers_submit(struct worker_job *job)
{
    job->next = NULL;
    thread_mutex_lock(&pool.lock);
    if (pool.first == NULL)
        pool.first = job;
    else
        pool.last->next = job;
    pool.last = job;
    /* An idle one that was told already still counts as idle until it takes its job. */
    if (++pool.queued > pool.idle && pool.started < WORKERS_MAX)
        start_one();
    thread_cond_signal(&pool.arrived);
    thread_mutex_unlock(&pool.lock);
}

bool workers_withdraw(struct worker_job *job)
{
    struct worker_job *previous = NULL;
    struct worker_job *other;

    thread_mutex_lock(&pool.lock);
    for (other = pool.first; other != NULL && other != job; other = other->next)
        previous = other;
    if (other != NULL) {
        if (previous == NULL)
            pool.first = job->next;
        else
            previous->next = job->next;
        if (pool.last == job)
            pool.last = previous;
        pool.queued--;
    }
    thread_mutex_unlock(&pool.lock);
    return other != NULL;
}
