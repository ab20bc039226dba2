/* SPDX-License-Identifier: MIT */
/*
 * bounce.c - aligned memory for transfers whose own is not.
 */
#include "bounce.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#include <aiofile/buffer.h>

#define BOUNCE_COUNT 16u /* 4 MiB */
#define BOUNCE_KEPT 1u   /* for callbacks, beside them */
#define BOUNCE_ALL (BOUNCE_COUNT + BOUNCE_KEPT)

/* All guarded by lock. Nobody waits while a buffer is free that is not a kept one. */
static struct {
    struct thread_mutex lock;
    char *memory;
    unsigned users;
    unsigned free_count;
    void *free[BOUNCE_ALL];
    struct bounce_pass *first;
    struct bounce_pass *last;
} pool = {.lock = THREAD_MUTEX_INIT};

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A child has nothing of the memory, and none of those who wait. Its copies of the parent's files
 * go on to use the pool, so they still count. */
static void reset(void)
{
    thread_mutex_init(&pool.lock);
    pool.memory = NULL;
    pool.free_count = 0;
    pool.first = NULL;
    pool.last = NULL;
}

static void prepare(void)
{
    pthread_atfork(NULL, NULL, reset);
}

void bounce_add_user(void)
{
    pthread_once(&once, prepare);
    thread_mutex_lock(&pool.lock);
    pool.users++;
    thread_mutex_unlock(&pool.lock);
}

void bounce_remove_user(void)
{
    thread_mutex_lock(&pool.lock);
    if (--pool.users == 0) {
        aio_buffer_free(pool.memory);
        pool.memory = NULL;
        pool.free_count = 0;
    }
    thread_mutex_unlock(&pool.lock);
}

/* Lock held. */
static int make_memory(void)
{
    void *memory;

    if (pool.memory != NULL)
        return 0;
    if (aio_buffer_alloc_ex((size_t)BOUNCE_ALL * BOUNCE_SIZE, BOUNCE_SIZE, 0, &memory) != 0)
        return -ENOMEM;
    pool.memory = memory;
    for (unsigned index = 0; index < BOUNCE_ALL; index++)
        pool.free[index] = pool.memory + (size_t)index * BOUNCE_SIZE;
    pool.free_count = BOUNCE_ALL;
    return 0;
}

/* Whether a buffer is there for one who asks; a callback may have the kept one too. */
static bool available(bool callback)
{
    return pool.free_count > (callback ? 0 : BOUNCE_KEPT);
}

static void insert_behind_callbacks(struct bounce_pass *pass)
{
    struct bounce_pass **link = &pool.first;

    while (*link != NULL && (*link)->callback)
        link = &(*link)->next;
    pass->next = *link;
    *link = pass;
    if (pass->next == NULL)
        pool.last = pass;
}

static void start_waiting(struct bounce_pass *pass)
{
    pass->next = NULL;
    pass->waiting = true;
    if (pool.first == NULL) {
        pool.first = pass;
        pool.last = pass;
    } else if (pass->callback) { /* the others may wait for what it holds up */
        insert_behind_callbacks(pass);
    } else {
        pool.last->next = pass;
        pool.last = pass;
    }
}

int bounce_get(struct bounce_pass *pass, bool callback)
{
    int result = 1;

    pass->callback = callback;
    thread_mutex_lock(&pool.lock);
    if (make_memory() != 0) {
        result = -ENOMEM;
    } else if (available(callback)) {
        pass->memory = pool.free[--pool.free_count];
    } else {
        start_waiting(pass);
        result = 0;
    }
    thread_mutex_unlock(&pool.lock);
    return result;
}

bool bounce_waits(const struct bounce_pass *pass)
{
    bool waits;

    thread_mutex_lock(&pool.lock);
    waits = pass->waiting;
    thread_mutex_unlock(&pool.lock);
    return waits;
}

void bounce_wait(struct bounce_pass *pass)
{
    thread_mutex_lock(&pool.lock);
    while (pass->waiting)
        thread_cond_wait(pass->wakeup, &pool.lock, DEADLINE_NEVER);
    thread_mutex_unlock(&pool.lock);
}

bool bounce_withdraw(struct bounce_pass *pass)
{
    struct bounce_pass *previous = NULL;
    bool waited;

    thread_mutex_lock(&pool.lock);
    waited = pass->waiting;
    if (waited) {
        for (struct bounce_pass *other = pool.first; other != pass; other = other->next)
            previous = other;
        if (previous == NULL)
            pool.first = pass->next;
        else
            previous->next = pass->next;
        if (pool.last == pass)
            pool.last = previous;
        pass->waiting = false;
    }
    thread_mutex_unlock(&pool.lock);
    return waited;
}

struct bounce_pass *bounce_put(struct bounce_pass *pass)
{
    struct bounce_pass *next;
    void *memory = pass->memory;

    pass->memory = NULL;
    thread_mutex_lock(&pool.lock);
    pool.free[pool.free_count++] = memory;
    next = pool.first;
    if (next != NULL && available(next->callback)) {
        pool.first = next->next;
        next->memory = pool.free[--pool.free_count];
        next->waiting = false;
        if (next->wakeup != NULL) {
            thread_cond_signal(next->wakeup);
            next = NULL;
        }
    } else {
        next = NULL;
    }
    thread_mutex_unlock(&pool.lock);
    return next;
}
