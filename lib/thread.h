/* SPDX-License-Identifier: MIT */
/*
 * thread.h - the few thread primitives that the library uses, and the clock that goes with them.
 *
 * A seam: built with AIOFILE_MODEL, these are the scheduling points of the exhaustive scheduler in
 * test/model, which then runs the library's own code through every order of its steps.
 *
 * Deadlines are CLOCK_MONOTONIC nanoseconds; DEADLINE_NEVER waits for ever.
 */
#ifndef AIOFILE_LIB_THREAD_H
#define AIOFILE_LIB_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define DEADLINE_NEVER INT64_MAX

#define NS_PER_SECOND INT64_C(1000000000)

#ifdef AIOFILE_MODEL
#include "model_thread.h"
#else

struct thread_mutex {
    pthread_mutex_t mutex;
};

#define THREAD_MUTEX_INIT                                                                          \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER                                                                  \
    }

struct thread_cond {
    pthread_cond_t cond;
};

struct thread_handle {
    pthread_t thread;
};

static inline void thread_mutex_init(struct thread_mutex *mutex)
{
    pthread_mutex_init(&mutex->mutex, NULL);
}

static inline void thread_mutex_destroy(struct thread_mutex *mutex)
{
    pthread_mutex_destroy(&mutex->mutex);
}

static inline void thread_mutex_lock(struct thread_mutex *mutex)
{
    pthread_mutex_lock(&mutex->mutex);
}

static inline void thread_mutex_unlock(struct thread_mutex *mutex)
{
    pthread_mutex_unlock(&mutex->mutex);
}

static inline void thread_cond_init(struct thread_cond *cond)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cond->cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

static inline void thread_cond_destroy(struct thread_cond *cond)
{
    pthread_cond_destroy(&cond->cond);
}

static inline void thread_cond_signal(struct thread_cond *cond)
{
    pthread_cond_signal(&cond->cond);
}

static inline void thread_cond_broadcast(struct thread_cond *cond)
{
    pthread_cond_broadcast(&cond->cond);
}

/* Returns false when the deadline is over. May return early without a signal, as any such wait. */
static inline bool thread_cond_wait(struct thread_cond *cond, struct thread_mutex *mutex,
                                    int64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = deadline_ns / NS_PER_SECOND,
                                .tv_nsec = deadline_ns % NS_PER_SECOND};

    if (deadline_ns == DEADLINE_NEVER)
        return pthread_cond_wait(&cond->cond, &mutex->mutex) == 0;
    return pthread_cond_timedwait(&cond->cond, &mutex->mutex, &deadline) == 0;
}

/* Starts a thread with every signal blocked, so that no handler of the program runs on it.
 * Returns 0 or a negated errno. */
int thread_start(struct thread_handle *handle, const char *name, void *(*body)(void *),
                 void *argument);

static inline void thread_join(struct thread_handle *handle)
{
    pthread_join(handle->thread, NULL);
}

static inline int64_t thread_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* The same clock as of the last timer tick, some milliseconds ago, at a fraction of the price: for
 * the age of a request. */
static inline int64_t thread_now_coarse_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

#endif

/* Whether a relative time-out is well formed. NULL is: for ever. */
static inline bool thread_timeout_valid(const struct timespec *timeout)
{
    return timeout == NULL ||
           (timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec < NS_PER_SECOND);
}

/* When a relative time-out ends; a time too far away is for ever, {0, 0} is the past. */
static inline int64_t thread_deadline_ns(const struct timespec *timeout)
{
    int64_t now_ns;

    if (timeout == NULL)
        return DEADLINE_NEVER;
    if (timeout->tv_sec == 0 && timeout->tv_nsec == 0)
        return 0;
    now_ns = thread_now_ns();
    if (timeout->tv_sec >= (DEADLINE_NEVER - now_ns) / NS_PER_SECOND - 1)
        return DEADLINE_NEVER;
    return now_ns + timeout->tv_sec * NS_PER_SECOND + timeout->tv_nsec;
}

#endif
