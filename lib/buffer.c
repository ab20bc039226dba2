/* SPDX-License-Identifier: MIT */
/*
 * buffer.c - aligned memory, and pools of it.
 *
 * An allocation is a header page directly followed by the data. The data pages are left out of
 * forked children (MADV_DONTFORK); the header page is not, so that a child that frees what it
 * inherited finds out there that the data was never its own.
 */
#include <aiofile/buffer.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "buffer_pool.h"
#include "errno_guard.h"
#include "file_check.h"
#include "options.h"
#include "process.h"
#include "thread.h"

/* Explicit and transparent huge pages of x86-64, and of arm64 with 4 KiB pages. Elsewhere explicit
 * ones of this size are refused and the alignment is merely generous. */
#define HUGE_PAGE_SHIFT 21
#define HUGE_PAGE_SIZE ((size_t)1 << HUGE_PAGE_SHIFT)
#define HUGE_PAGE_FLAGS (MAP_HUGETLB | (HUGE_PAGE_SHIFT << MAP_HUGE_SHIFT))

/* In linux/mman.h since 4.17; the C library's header may be older than the kernel. */
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define KNOWN_FLAGS ((unsigned)(AIO_BUFFER_LOCKED | AIO_BUFFER_HUGE | AIO_BUFFER_ZERO))

/* A number that no other memory holds there by chance. */
#define ALLOCATION_MAGIC UINT64_C(0x9d5c1e7ab3f04826)

/* What stands at the start of the header page. */
struct allocation {
    uint64_t magic; /* tells a program's stray pointer from ours */
    uint64_t epoch; /* process_epoch() of the process that allocated */
    unsigned char *data;
    size_t data_size; /* bytes, whole pages */
    void *mapping;    /* all that munmap(2) is to take back: slack, header page, data */
    size_t mapping_size;
};

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static bool is_power_of_two(size_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

/* Rounds up to a multiple of granule, a power of two. Returns false where that overflows. */
static bool round_up(size_t number, size_t granule, size_t *result)
{
    if (__builtin_add_overflow(number, granule - 1, result))
        return false;
    *result &= ~(granule - 1);
    return true;
}

static void *map_memory(void *where, size_t size, int access, int more_flags)
{
    void *memory = mmap(where, size, access, MAP_PRIVATE | MAP_ANONYMOUS | more_flags, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void *header_page(unsigned char *data)
{
    return data - page_size();
}

/* Maps header page and data as one. What the alignment leaves over is without access, so that no
 * transparent huge page can grow round the header. */
static bool map_aligned(struct allocation *allocation, size_t alignment)
{
    size_t page = page_size();
    size_t size;
    unsigned char *mapping;

    if (__builtin_add_overflow(allocation->data_size, alignment, &size))
        return false;
    mapping = map_memory(NULL, size, PROT_NONE, 0);
    if (mapping == NULL)
        return false;
    allocation->mapping = mapping;
    allocation->mapping_size = size;
    /* The alignment is a page at least: there is always room for the header before the data. */
    allocation->data = mapping + alignment - ((uintptr_t)mapping & (alignment - 1));
    if (mprotect(header_page(allocation->data), page + allocation->data_size,
                 PROT_READ | PROT_WRITE) == 0)
        return true;
    munmap(mapping, size);
    return false;
}

/* The same with explicit huge pages; false where none are free. The header page is put where the
 * kernel left room below them; NOREPLACE keeps it off what another thread may just have mapped. */
static bool map_huge(struct allocation *allocation)
{
    size_t page = page_size();
    size_t size = allocation->data_size;
    unsigned char *data = map_memory(NULL, size, PROT_READ | PROT_WRITE, HUGE_PAGE_FLAGS);
    void *header;

    if (data == NULL)
        return false;
    header = map_memory(header_page(data), page, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
    if (header != header_page(data)) {
        /* A kernel before 4.17 takes the address for a wish. */
        if (header != NULL)
            munmap(header, page);
        munmap(data, size);
        return false;
    }
    allocation->mapping = header;
    allocation->mapping_size = page + size;
    allocation->data = data;
    return true;
}

static bool map_allocation(struct allocation *allocation, size_t size, size_t alignment, bool huge)
{
    size_t granule = huge ? HUGE_PAGE_SIZE : page_size();

    if (!round_up(size, granule, &allocation->data_size))
        return false;
    if (alignment < granule)
        alignment = granule;
    if (huge && alignment == HUGE_PAGE_SIZE && map_huge(allocation))
        return true;
    return map_aligned(allocation, alignment);
}

/* mlock(2) with its reasons told apart, which it does poorly: ENOMEM is the limit reached (or, by
 * a privileged process or without a limit, too many mappings), EPERM a limit of 0, and EAGAIN that
 * the pages could not be had (mm/mlock.c, __mlock_posix_error_return). */
static int lock_memory(void *memory, size_t size)
{
    struct rlimit limit;

    if (mlock(memory, size) == 0)
        return 0;
    if (errno == EPERM)
        return -EPERM;
    if (errno == ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
        limit.rlim_cur != RLIM_INFINITY)
        return -EPERM;
    return -ENOMEM;
}

static int advise_allocation(const struct allocation *allocation, unsigned flags)
{
    /* What buffer.h promises about forks hangs on this one: without it, no memory. */
    if (madvise(allocation->data, allocation->data_size, MADV_DONTFORK) != 0)
        return -ENOMEM;
    /* A wish: refused where the kernel has no transparent huge pages, or has explicit ones here. */
    if (flags & AIO_BUFFER_HUGE)
        (void)madvise(allocation->data, allocation->data_size, MADV_HUGEPAGE);
    if (flags & AIO_BUFFER_LOCKED)
        return lock_memory(allocation->data, allocation->data_size);
    return 0;
}

/* AIO_BUFFER_ZERO asks for nothing here: fresh anonymous memory is zero. */
int aio_buffer_alloc_ex(size_t size, size_t alignment, unsigned flags, void **result)
{
    ERRNO_GUARD;
    struct allocation allocation = {.magic = ALLOCATION_MAGIC};
    int error;

    if (result == NULL)
        return -EINVAL;
    *result = NULL;
    if (size == 0 || (alignment != 0 && !is_power_of_two(alignment)) || (flags & ~KNOWN_FLAGS))
        return -EINVAL;
    error = process_init();
    if (error != 0)
        return error;
    allocation.epoch = process_epoch();
    if (!map_allocation(&allocation, size, alignment, (flags & AIO_BUFFER_HUGE) != 0))
        return -ENOMEM;
    error = advise_allocation(&allocation, flags);
    if (error != 0) {
        munmap(allocation.mapping, allocation.mapping_size);
        return error;
    }
    /* Not before the advice: till then header and data are one piece to the kernel, which could
     * give both a huge page at the first touch, only to break it up. */
    memcpy(header_page(allocation.data), &allocation, sizeof(allocation));
    *result = allocation.data;
    return 0;
}

void *aio_buffer_alloc(size_t size, size_t alignment, unsigned flags)
{
    void *memory;

    return aio_buffer_alloc_ex(size, alignment, flags, &memory) == 0 ? memory : NULL;
}

static void free_allocation(void *memory, const char *call)
{
    ERRNO_GUARD;
    struct allocation *allocation;

    if (memory == NULL)
        return;
    allocation = header_page(memory);
    if (allocation->magic != ALLOCATION_MAGIC)
        return;
    if (check_any() && check_freed(allocation->data, allocation->data_size, call))
        check_speak();
    /* In a child the data's addresses may have become somebody else's by now. */
    if (allocation->epoch != process_epoch())
        munmap(allocation, page_size());
    else
        munmap(allocation->mapping, allocation->mapping_size);
}

void aio_buffer_free(void *memory)
{
    free_allocation(memory, "aio_buffer_free");
}

/* Values of aio_buffer_pool.next that are no index. */
#define POOL_END UINT32_MAX
#define POOL_TAKEN (UINT32_MAX - 1)
#define POOL_COUNT_MAX ((size_t)INT32_MAX - 1)

struct aio_buffer_pool {
    uint64_t epoch; /* process_epoch() of the process that made it */
    unsigned char *memory;
    size_t stride_bytes; /* from one buffer to the next */
    uint32_t count;
    struct thread_mutex lock; /* for what follows; only the check's is taken inside */
    uint32_t taken_count;
    uint32_t users;      /* queues whose engines know the memory */
    uint32_t first_free; /* index, or POOL_END. The last one given back is the first one taken:
                            its memory is likely still in the cache */
    uint32_t next[];     /* by index: the next free buffer, POOL_END, or POOL_TAKEN */
};

/* A child must not take the lock: another thread of its parent may have held it at the fork. */
static bool pool_is_inherited(const struct aio_buffer_pool *pool)
{
    return pool->epoch != process_epoch();
}

static int pool_options_check(const struct aio_buffer_pool_options *options)
{
    if (options->buffer_size == 0 || options->count == 0 || options->count > POOL_COUNT_MAX)
        return -EINVAL;
    if (options->alignment != 0 && !is_power_of_two(options->alignment))
        return -EINVAL;
    if ((options->flags & ~KNOWN_FLAGS) || options->reserved != 0)
        return -EINVAL;
    return 0;
}

static int pool_map(struct aio_buffer_pool *pool, const struct aio_buffer_pool_options *options)
{
    size_t alignment = options->alignment != 0 ? options->alignment : page_size();
    size_t size;
    void *memory;
    int error;

    if (!round_up(options->buffer_size, alignment, &pool->stride_bytes) ||
        __builtin_mul_overflow(pool->stride_bytes, options->count, &size))
        return -ENOMEM;
    error = aio_buffer_alloc_ex(size, alignment, options->flags, &memory);
    pool->memory = memory;
    return error;
}

static void pool_fill(struct aio_buffer_pool *pool, uint32_t count)
{
    pool->epoch = process_epoch();
    pool->count = count;
    pool->taken_count = 0;
    pool->users = 0;
    pool->first_free = 0;
    for (uint32_t index = 0; index < count; index++)
        pool->next[index] = index + 1 < count ? index + 1 : POOL_END;
}

int aio_buffer_pool_create(const struct aio_buffer_pool_options *options,
                           struct aio_buffer_pool **result)
{
    ERRNO_GUARD;
    struct aio_buffer_pool_options known = AIO_BUFFER_POOL_OPTIONS_INIT;
    struct aio_buffer_pool *pool;
    size_t bookkeeping;
    int error;

    if (result == NULL)
        return -EINVAL;
    *result = NULL;
    if (options == NULL)
        return -EINVAL;
    error = options_read(&known, sizeof(known), sizeof(known), options);
    if (error == 0)
        error = pool_options_check(&known);
    if (error != 0)
        return error;
    if (__builtin_mul_overflow(known.count, sizeof(pool->next[0]), &bookkeeping) ||
        __builtin_add_overflow(bookkeeping, sizeof(*pool), &bookkeeping))
        return -ENOMEM;
    pool = malloc(bookkeeping);
    if (pool == NULL)
        return -ENOMEM;
    error = pool_map(pool, &known);
    if (error != 0) {
        free(pool);
        return error;
    }
    thread_mutex_init(&pool->lock);
    pool_fill(pool, (uint32_t)known.count);
    *result = pool;
    return 0;
}

void *aio_buffer_pool_get(struct aio_buffer_pool *pool)
{
    void *buffer = NULL;
    uint32_t index;

    if (pool == NULL || pool_is_inherited(pool))
        return NULL;
    thread_mutex_lock(&pool->lock);
    index = pool->first_free;
    if (index != POOL_END) {
        pool->first_free = pool->next[index];
        pool->next[index] = POOL_TAKEN;
        pool->taken_count++;
        buffer = pool->memory + index * pool->stride_bytes;
    }
    thread_mutex_unlock(&pool->lock);
    return buffer;
}

int aio_buffer_pool_put(struct aio_buffer_pool *pool, void *buffer)
{
    size_t offset;
    size_t index;
    bool found = false;
    int result = -EINVAL;

    if (pool == NULL || buffer == NULL || pool_is_inherited(pool))
        return -EINVAL;
    /* An address below the pool's wraps round to an index far above its count. */
    offset = (uintptr_t)buffer - (uintptr_t)pool->memory;
    index = offset / pool->stride_bytes;
    if (index >= pool->count || offset % pool->stride_bytes != 0)
        return -EINVAL;
    thread_mutex_lock(&pool->lock);
    if (pool->next[index] == POOL_TAKEN) {
        /* Before anybody else can get it. */
        if (check_any())
            found = check_freed(buffer, pool->stride_bytes, "aio_buffer_pool_put");
        pool->next[index] = pool->first_free;
        pool->first_free = (uint32_t)index;
        pool->taken_count--;
        result = 0;
    }
    thread_mutex_unlock(&pool->lock);
    if (found)
        check_speak();
    return result;
}

int buffer_pool_use(struct aio_buffer_pool *pool, void **memory, size_t *size)
{
    if (pool_is_inherited(pool))
        return -EINVAL;
    *memory = pool->memory;
    *size = (size_t)pool->count * pool->stride_bytes;
    thread_mutex_lock(&pool->lock);
    pool->users++;
    thread_mutex_unlock(&pool->lock);
    return 0;
}

void buffer_pool_unuse(struct aio_buffer_pool *pool)
{
    thread_mutex_lock(&pool->lock);
    pool->users--;
    thread_mutex_unlock(&pool->lock);
}

/* Nobody else may be in a call on the pool now, so that the count holds after the lock. */
static bool pool_is_idle(struct aio_buffer_pool *pool)
{
    bool idle;

    thread_mutex_lock(&pool->lock);
    idle = pool->taken_count == 0 && pool->users == 0;
    thread_mutex_unlock(&pool->lock);
    return idle;
}

int aio_buffer_pool_destroy(struct aio_buffer_pool *pool)
{
    ERRNO_GUARD;

    if (pool == NULL)
        return 0;
    if (!pool_is_inherited(pool)) {
        if (!pool_is_idle(pool))
            return -EBUSY;
        thread_mutex_destroy(&pool->lock);
    }
    free_allocation(pool->memory, "aio_buffer_pool_destroy");
    free(pool);
    return 0;
}
