/* SPDX-License-Identifier: MIT */
/*
 * raw_pool.c - the pool that a careful programmer writes where there is only pread(2): threads, a
 * mutex, a condition for work and one for the end of a batch.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "overhead.h"

struct pool {
    struct bench *bench;
    char *memory;
    pthread_t threads[POOL_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t work; /* something to read, or the end */
    pthread_cond_t done; /* all is read */
    uint64_t offsets[DEPTH_MAX];
    unsigned next;  /* that no thread has yet */
    unsigned count; /* of the batch */
    unsigned unread;
    bool stop;
};

static void *pool_thread(void *argument)
{
    struct pool *pool = argument;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        unsigned index = pool->next;

        if (index == pool->count) {
            pthread_cond_wait(&pool->work, &pool->lock);
            continue;
        }
        pool->next++;
        pthread_mutex_unlock(&pool->lock);
        must(pread(pool->bench->fd, pool->memory + (size_t)index * BLOCK, BLOCK,
                   (off_t)pool->offsets[index]),
             BLOCK, "pread");
        pthread_mutex_lock(&pool->lock);
        if (--pool->unread == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static struct pool *pool_open(struct bench *bench, unsigned depth)
{
    struct pool *pool = calloc(1, sizeof(*pool));

    pool->bench = bench;
    pool->memory = aio_buffer_alloc((size_t)depth * BLOCK, 0, 0);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (unsigned index = 0; index < POOL_THREADS; index++)
        must(pthread_create(&pool->threads[index], NULL, pool_thread, pool), 0, "pthread_create");
    return pool;
}

static void pool_close(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned index = 0; index < POOL_THREADS; index++)
        pthread_join(pool->threads[index], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    aio_buffer_free(pool->memory);
    free(pool);
}

/* Batches of depth: give all, wait for all. */
int64_t raw_pool(struct bench *bench, unsigned depth, uint64_t seed)
{
    struct pool *pool = pool_open(bench, depth);
    int64_t start = bench_start(bench);

    for (unsigned done = 0; done < bench->count; done += depth) {
        pthread_mutex_lock(&pool->lock);
        for (unsigned slot = 0; slot < depth; slot++)
            pool->offsets[slot] = next_offset(&seed, bench->blocks);
        pool->next = 0;
        pool->count = depth;
        pool->unread = depth;
        pthread_cond_broadcast(&pool->work);
        while (pool->unread > 0)
            pthread_cond_wait(&pool->done, &pool->lock);
        pthread_mutex_unlock(&pool->lock);
    }
    start = now_ns() - start;
    pool_close(pool);
    return start;
}
