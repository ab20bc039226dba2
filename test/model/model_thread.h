/* SPDX-License-Identifier: MIT */
/*
 * model_thread.h - the library's thread primitives as steps of the exhaustive scheduler.
 *
 * lib/thread.h includes this in place of pthreads when AIOFILE_MODEL is defined. Every call that
 * could let another thread run, or has to wait for one, is a scheduling point; what lies between
 * two of them runs without interruption, which loses nothing where shared memory is touched only
 * under a mutex or through the atomics wrapped below. Memory is sequentially consistent here.
 */
#ifndef AIOFILE_TEST_MODEL_THREAD_H
#define AIOFILE_TEST_MODEL_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct thread_mutex {
    int owner; /* thread number + 1; 0: free */
};

struct thread_cond {
    int unused;
};

struct thread_handle {
    int thread;
};

#define THREAD_MUTEX_INIT                                                                          \
    {                                                                                              \
        0                                                                                          \
    }

void model_mutex_lock(struct thread_mutex *mutex);
void model_mutex_unlock(struct thread_mutex *mutex);
bool model_cond_wait(struct thread_cond *cond, struct thread_mutex *mutex, int64_t deadline_ns);
void model_cond_signal(struct thread_cond *cond);
void model_cond_broadcast(struct thread_cond *cond);
int model_thread_start(void *(*body)(void *), void *argument);
void model_thread_join(int thread);
void model_step(const char *label);
int64_t model_now_ns(void);

static inline void thread_mutex_init(struct thread_mutex *mutex)
{
    mutex->owner = 0;
}

static inline void thread_mutex_destroy(struct thread_mutex *mutex)
{
    (void)mutex;
}

static inline void thread_mutex_lock(struct thread_mutex *mutex)
{
    model_mutex_lock(mutex);
}

static inline void thread_mutex_unlock(struct thread_mutex *mutex)
{
    model_mutex_unlock(mutex);
}

static inline void thread_cond_init(struct thread_cond *cond)
{
    cond->unused = 0;
}

static inline void thread_cond_destroy(struct thread_cond *cond)
{
    (void)cond;
}

static inline void thread_cond_signal(struct thread_cond *cond)
{
    model_cond_signal(cond);
}

static inline void thread_cond_broadcast(struct thread_cond *cond)
{
    model_cond_broadcast(cond);
}

static inline bool thread_cond_wait(struct thread_cond *cond, struct thread_mutex *mutex,
                                    int64_t deadline_ns)
{
    return model_cond_wait(cond, mutex, deadline_ns);
}

static inline int thread_start(struct thread_handle *handle, const char *name,
                               void *(*body)(void *), void *argument)
{
    (void)name;
    handle->thread = model_thread_start(body, argument);
    return 0;
}

static inline void thread_join(struct thread_handle *handle)
{
    model_thread_join(handle->thread);
}

/* Time stands still, but for one leap where the scenario has one: when it comes, and whether a
 * deadline passes, is a choice of the scheduler. */
static inline int64_t thread_now_ns(void)
{
    return model_now_ns();
}

static inline int64_t thread_now_coarse_ns(void)
{
    return model_now_ns();
}

#endif
