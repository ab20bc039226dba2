/* SPDX-License-Identifier: MIT */
/*
 * buffer_pool.h - a pool of buffers as a queue sees it, whose engine is told of the memory.
 */
#ifndef AIOFILE_LIB_BUFFER_POOL_H
#define AIOFILE_LIB_BUFFER_POOL_H

#include <stddef.h>

#include <aiofile/buffer.h>

/* Counts a user, who keeps the pool from being destroyed, and tells its memory. Returns 0, or
 * -EINVAL in a forked child. */
int buffer_pool_use(struct aio_buffer_pool *pool, void **memory, size_t *size);
void buffer_pool_unuse(struct aio_buffer_pool *pool);

#endif
