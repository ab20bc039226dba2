/* SPDX-License-Identifier: MIT */
/*
 * aiofile/buffer.h - aligned memory for direct I/O.
 *
 * Direct I/O demands memory aligned to what the file's device wants (aio_file_info() says how
 * much). Memory from here is aligned, and is kept out of forked children: while a direct read is
 * in flight, a fork would otherwise let the kernel write into a page that only the child still
 * sees (open(2), "O_DIRECT ... fork(2)"). A child that touches such memory gets SIGSEGV.
 */
#ifndef AIOFILE_BUFFER_H
#define AIOFILE_BUFFER_H

#include <stddef.h>

#include <aiofile/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of aio_buffer_alloc() and of struct aio_buffer_pool_options. */
enum {
    AIO_BUFFER_LOCKED = 1 << 0, /* mlock(2)ed: never paged out; counts against RLIMIT_MEMLOCK */
    AIO_BUFFER_HUGE = 1 << 1,   /* huge pages: explicit ones if any are free, else transparent */
    AIO_BUFFER_ZERO = 1 << 2,   /* filled with zeros */
};

/*
 * Allocates memory for direct I/O.
 *
 * size       bytes wanted, > 0.
 * alignment  bytes, a power of two; 0 means the page size.
 * flags      AIO_BUFFER_* or 0.
 * result     receives the memory; NULL on error. The caller owns it until aio_buffer_free().
 *
 * Any thread; may block in mmap(2) and mlock(2).
 *
 * Returns 0, or
 *   -EINVAL  size 0, alignment not a power of two, unknown flag, result NULL.
 *   -ENOMEM  no memory, or size + alignment overflows.
 *   -EPERM   AIO_BUFFER_LOCKED, and RLIMIT_MEMLOCK has no room for it: raise it (ulimit -l,
 *            LimitMEMLOCK= of systemd) or drop the flag. Nothing was allocated.
 */
AIO_API int aio_buffer_alloc_ex(size_t size, size_t alignment, unsigned flags, void **result);

/*
 * The same as aio_buffer_alloc_ex() for callers who need no reason: returns the memory, or NULL.
 */
AIO_API void *aio_buffer_alloc(size_t size, size_t alignment, unsigned flags);

/*
 * Frees memory from aio_buffer_alloc(); NULL is allowed. Memory of an operation that has not
 * had its final completion must not be freed: the kernel would still write into it.
 * Any thread; may block in munmap(2). In a forked child it does nothing, as the memory was
 * never there.
 */
AIO_API void aio_buffer_free(void *memory);

/* A fixed number of equal buffers. Opaque. */
struct aio_buffer_pool;

/* What aio_buffer_pool_create() is to make. Start from AIO_BUFFER_POOL_OPTIONS_INIT. */
struct aio_buffer_pool_options {
    size_t size;        /* of this struct, set by the initializer */
    size_t buffer_size; /* bytes of each buffer, > 0 */
    size_t count;       /* buffers, 1 to 2^31 - 2 */
    size_t alignment;   /* bytes, a power of two; 0 means the page size */
    unsigned flags;     /* AIO_BUFFER_* */
    unsigned reserved;  /* 0 */
};

#define AIO_BUFFER_POOL_OPTIONS_INIT                                                               \
    {                                                                                              \
        sizeof(struct aio_buffer_pool_options), 0, 0, 0, 0, 0                                      \
    }

/*
 * Makes a pool: one piece of memory, cut into buffers that are all allocated now.
 *
 * options  what to make; read only during the call.
 * result   receives the pool; NULL on error. The caller owns it until aio_buffer_pool_destroy().
 *
 * Any thread; may block as aio_buffer_alloc_ex() does.
 *
 * Returns 0, or
 *   -EINVAL  NULL argument, buffer_size or count out of range, a bad alignment or flag, or a
 *            reserved field not 0.
 *   -E2BIG   options has a non-zero tail that this version does not know: link a newer library.
 *   -ENOMEM  no memory, or the sizes overflow.
 *   -EPERM   as aio_buffer_alloc_ex().
 */
AIO_API int aio_buffer_pool_create(const struct aio_buffer_pool_options *options,
                                   struct aio_buffer_pool **result);

/*
 * Takes a buffer out of the pool, in constant time and without a system call unless another
 * thread is in the pool at that moment.
 *
 * Returns the buffer, whose content is whatever its last user left (zeros at first with
 * AIO_BUFFER_ZERO), or NULL when all are taken, pool is NULL, or this is a forked child.
 * Any thread; never waits for a buffer.
 */
AIO_API void *aio_buffer_pool_get(struct aio_buffer_pool *pool);

/*
 * Gives a buffer back, in constant time. Any thread, not only the one that took it.
 *
 * Returns 0, or
 *   -EINVAL  pool or buffer is NULL, or buffer is no start of a buffer of this pool, or it is not
 *            taken (given back twice), or this is a forked child. The pool is unchanged.
 */
AIO_API int aio_buffer_pool_put(struct aio_buffer_pool *pool, void *buffer);

/*
 * Frees a pool.
 *
 * Returns 0 (also for NULL), or
 *   -EBUSY  buffers are still taken: give them back first; or a queue was made with the pool
 *           (struct aio_queue_options.buffers): destroy that first. The pool is unchanged.
 * In a forked child the memory was never there: the pool's bookkeeping is freed and 0 returned.
 */
AIO_API int aio_buffer_pool_destroy(struct aio_buffer_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
