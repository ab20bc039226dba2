/* SPDX-License-Identifier: MIT */
/*
 * test_buffer.c - aligned memory and pools, as buffer.h promises them.
 *
 * The linker puts the functions named __wrap_... here between the library and the system
 * (ld --wrap), so that each system call can be made to fail in turn.
 */
#include <aiofile/buffer.h>
#include <aiofile/file.h>
#include <aiofile/queue.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define NOBODY 65534

/* The sanitizers make mlock(2) do nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MLOCK_WORKS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MLOCK_WORKS false
#endif
#endif
#ifndef MLOCK_WORKS
#define MLOCK_WORKS true
#endif

/* --- the seam to the system --- */

static atomic_int calls;         /* of the functions below, since the last arm() */
static int failing_call;         /* this one fails; 0 means none */
static int failing_errno;        /* with this */
static atomic_long mapped_bytes; /* by the library, not given back yet */
static bool fake_huge_pages;     /* mmap(MAP_HUGETLB) works, with small pages */
static bool occupied_below;      /* what MAP_FIXED_NOREPLACE asks for is taken */
static bool noreplace_unknown;   /* an old kernel: the address is a wish, and not granted */
static int mlock_errno;          /* 0: the real mlock */
static void *huge_mapping;       /* what the last MAP_HUGETLB gave */

void *__real_mmap64(void *where, size_t size, int access, int flags, int fd, off_t offset);
int __real_munmap(void *memory, size_t size);
int __real_mprotect(void *memory, size_t size, int access);
int __real_madvise(void *memory, size_t size, int advice);
int __real_mlock(const void *memory, size_t size);
void *__real_malloc(size_t size);
void *__wrap_mmap64(void *where, size_t size, int access, int flags, int fd, off_t offset);
int __wrap_munmap(void *memory, size_t size);
int __wrap_mprotect(void *memory, size_t size, int access);
int __wrap_madvise(void *memory, size_t size, int advice);
int __wrap_mlock(const void *memory, size_t size);
void *__wrap_malloc(size_t size);

static void arm(int call, int error)
{
    failing_call = call;
    failing_errno = error;
    calls = 0;
}

static bool fails_now(void)
{
    if (++calls != failing_call)
        return false;
    errno = failing_errno;
    return true;
}

/* Small pages in the place of huge ones, aligned as these would be. */
static void *map_as_if_huge(size_t size, int access, int flags)
{
    unsigned char *reserved =
        __real_mmap64(NULL, size + 4 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *start = reserved + 4 * MIB - ((uintptr_t)reserved & (2 * MIB - 1));

    /* No ck_assert here: it allocates, and that would count as one of the library's calls. */
    if (reserved == MAP_FAILED)
        return MAP_FAILED;
    __real_munmap(reserved, size + 4 * MIB);
    flags = (flags & ~(int)(MAP_HUGETLB | (0x3fU << MAP_HUGE_SHIFT))) | MAP_FIXED;
    huge_mapping = __real_mmap64(start, size, access, flags, -1, 0);
    return huge_mapping;
}

void *__wrap_mmap64(void *where, size_t size, int access, int flags, int fd, off_t offset)
{
    void *memory;

    if (fails_now())
        return MAP_FAILED;
    if ((flags & MAP_HUGETLB) && fake_huge_pages) {
        memory = map_as_if_huge(size, access, flags);
    } else if (where != NULL && occupied_below) {
        errno = EEXIST;
        return MAP_FAILED;
    } else {
        memory = noreplace_unknown
                     ? __real_mmap64(NULL, size, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                     : __real_mmap64(where, size, access, flags, fd, offset);
    }
    if (memory != MAP_FAILED)
        mapped_bytes += (long)size;
    return memory;
}

int __wrap_munmap(void *memory, size_t size)
{
    mapped_bytes -= (long)size;
    return __real_munmap(memory, size);
}

int __wrap_mprotect(void *memory, size_t size, int access)
{
    return fails_now() ? -1 : __real_mprotect(memory, size, access);
}

int __wrap_madvise(void *memory, size_t size, int advice)
{
    return fails_now() ? -1 : __real_madvise(memory, size, advice);
}

int __wrap_mlock(const void *memory, size_t size)
{
    if (mlock_errno != 0) {
        errno = mlock_errno;
        return -1;
    }
    return fails_now() ? -1 : __real_mlock(memory, size);
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

/* --- small questions --- */

static bool all_are(const unsigned char *memory, size_t size, int byte)
{
    return memory[0] == (unsigned char)byte && memcmp(memory, memory + 1, size - 1) == 0;
}

static bool aligned(const void *memory, size_t alignment)
{
    return ((uintptr_t)memory & (alignment - 1)) == 0;
}

/* Asks the kernel, which answers with EFAULT where the reader would die. */
static bool readable(const void *memory)
{
    int ends[2];
    ssize_t written;

    ck_assert_int_eq(pipe(ends), 0);
    written = write(ends[1], memory, 1);
    close(ends[0]);
    close(ends[1]);
    return written == 1;
}

/* A line "name: <number> kB" of a file in /proc; -1 where there is none. */
static long proc_number(const char *path, const char *name)
{
    char line[256];
    long number = -1;
    FILE *file = fopen(path, "r");

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            number = strtol(line + strlen(name), NULL, 10);
    fclose(file);
    return number;
}

/* Runs body in a child and returns its exit status; -1 where a signal ended it. */
static int in_child(int (*body)(void *), void *argument)
{
    int status;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(body(argument));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- memory --- */

static const size_t sizes[] = {1, 511, 512, 4095, 4096, 4097, 1048577, 2097152};
static const size_t alignments[] = {0, 1, 2, 512, 4096, 8192, 65536, 2097152, 8388608};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void check_allocation(size_t size, size_t alignment, unsigned flags)
{
    unsigned char *memory = NULL;

    ck_assert_int_eq(aio_buffer_alloc_ex(size, alignment, flags, (void **)&memory), 0);
    ck_assert_ptr_nonnull(memory);
    ck_assert(aligned(memory, alignment != 0 ? alignment : (size_t)sysconf(_SC_PAGESIZE)));
    if (flags & AIO_BUFFER_HUGE)
        ck_assert(aligned(memory, 2 * MIB));
    if (flags & AIO_BUFFER_ZERO)
        ck_assert(all_are(memory, size, 0));
    memset(memory, 0xa5, size);
    aio_buffer_free(memory);
}

START_TEST(memory_is_aligned_and_whole)
{
    static const unsigned flags[] = {0, AIO_BUFFER_ZERO, AIO_BUFFER_HUGE,
                                     AIO_BUFFER_HUGE | AIO_BUFFER_ZERO};

    for (size_t s = 0; s < LENGTH(sizes); s++)
        for (size_t a = 0; a < LENGTH(alignments); a++)
            for (size_t f = 0; f < LENGTH(flags); f++)
                check_allocation(sizes[s], alignments[a], flags[f]);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

START_TEST(neighbours_do_not_overlap)
{
    enum { COUNT = 64 };
    unsigned char *memory[COUNT];

    for (int index = 0; index < COUNT; index++) {
        memory[index] = aio_buffer_alloc(sizes[index % LENGTH(sizes)],
                                         alignments[index % LENGTH(alignments)], 0);
        ck_assert_ptr_nonnull(memory[index]);
        memset(memory[index], index, sizes[index % LENGTH(sizes)]);
    }
    for (int index = 0; index < COUNT; index++)
        ck_assert(all_are(memory[index], sizes[index % LENGTH(sizes)], index));
    for (int index = 0; index < COUNT; index += 2)
        aio_buffer_free(memory[index]);
    for (int index = 1; index < COUNT; index += 2) {
        ck_assert_uint_eq(memory[index][0], (unsigned char)index);
        aio_buffer_free(memory[index]);
    }
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
    static const struct {
        size_t size;
        size_t alignment;
        unsigned flags;
        int error;
    } cases[] = {
        {0, 0, 0, -EINVAL},
        {4096, 3, 0, -EINVAL},
        {4096, 4095, 0, -EINVAL},
        {4096, SIZE_MAX, 0, -EINVAL},
        {4096, 0, 1U << 3, -EINVAL},
        {4096, 0, 1U << 31, -EINVAL},
        {SIZE_MAX, 0, 0, -ENOMEM},
        {SIZE_MAX, 0, AIO_BUFFER_HUGE, -ENOMEM},
        {SIZE_MAX - 4095, 0, 0, -ENOMEM},
        {SIZE_MAX / 2, 0, 0, -ENOMEM},
        {SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1, 0, -ENOMEM},
        {1, SIZE_MAX / 2 + 1, 0, -ENOMEM},
    };

    for (size_t index = 0; index < LENGTH(cases); index++) {
        void *memory = &memory;

        ck_assert_int_eq(aio_buffer_alloc_ex(cases[index].size, cases[index].alignment,
                                             cases[index].flags, &memory),
                         cases[index].error);
        ck_assert_ptr_null(memory);
        ck_assert_ptr_null(
            aio_buffer_alloc(cases[index].size, cases[index].alignment, cases[index].flags));
    }
    ck_assert_int_eq(aio_buffer_alloc_ex(4096, 0, 0, NULL), -EINVAL);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

START_TEST(errno_stays)
{
    void *memory;

    errno = 1234;
    ck_assert_int_eq(aio_buffer_alloc_ex(SIZE_MAX / 2, 0, 0, &memory), -ENOMEM);
    ck_assert_int_eq(errno, 1234);
    ck_assert_int_eq(aio_buffer_alloc_ex(4096, 0, AIO_BUFFER_HUGE, &memory), 0);
    ck_assert_int_eq(errno, 1234);
    aio_buffer_free(memory);
    aio_buffer_free(NULL);
    ck_assert_int_eq(errno, 1234);
}
END_TEST

START_TEST(a_stray_pointer_frees_nothing)
{
    unsigned char *memory = aio_buffer_alloc(3 * 4096, 0, 0);

    memset(memory, 3, 3 * 4096);
    aio_buffer_free(memory + 4096);
    ck_assert(all_are(memory, 3 * 4096, 3));
    aio_buffer_free(memory);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

START_TEST(memory_suits_direct_io)
{
    unsigned char *memory = aio_buffer_alloc(8192, 0, AIO_BUFFER_ZERO);
    int fd = open("/var/tmp", O_RDWR | O_TMPFILE, 0600);

    ck_assert_ptr_nonnull(memory);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 8192), 0);
    if (fcntl(fd, F_SETFL, O_DIRECT) == 0) {
        memset(memory, 0x5a, 8192);
        ck_assert_int_eq(pwrite(fd, memory, 8192, 0), 8192);
        memset(memory, 0, 8192);
        ck_assert_int_eq(pread(fd, memory, 8192, 0), 8192);
        ck_assert_uint_eq(memory[0], 0x5a);
        ck_assert_uint_eq(memory[8191], 0x5a);
    }
    close(fd);
    aio_buffer_free(memory);
}
END_TEST

/* Whether the call-th system call of an allocation failed; false where there are fewer. */
static bool allocation_fails_at(int call, unsigned flags, int *refused)
{
    void *memory = &memory;
    int error;
    bool reached;

    arm(call, ENOMEM);
    error = aio_buffer_alloc_ex(10000, 0, flags, &memory);
    reached = calls >= call;
    arm(0, 0);
    if (error == 0)
        aio_buffer_free(memory);
    else
        ck_assert_ptr_null(memory);
    ck_assert_msg(mapped_bytes == 0, "call %d, flags %u: %ld bytes left", call, flags,
                  (long)mapped_bytes);
    *refused += error != 0;
    return reached;
}

START_TEST(each_failing_call_leaves_nothing)
{
    static const unsigned flags[] = {0, AIO_BUFFER_HUGE, AIO_BUFFER_LOCKED,
                                     AIO_BUFFER_HUGE | AIO_BUFFER_LOCKED};
    int refused = 0;

    for (size_t f = 0; f < 2 * LENGTH(flags); f++) {
        fake_huge_pages = f >= LENGTH(flags);
        for (int call = 1; allocation_fails_at(call, flags[f % LENGTH(flags)], &refused);)
            call++;
    }
    ck_assert_int_ge(refused, 16);
}
END_TEST

/* --- flags --- */

START_TEST(locked_memory_is_locked)
{
    long before = proc_number("/proc/self/status", "VmLck:");
    struct rlimit limit;
    void *memory = NULL;
    int error;

    getrlimit(RLIMIT_MEMLOCK, &limit);
    error = aio_buffer_alloc_ex(64 * KIB, 0, AIO_BUFFER_LOCKED, &memory);
    if (error == -EPERM && geteuid() != 0 && limit.rlim_cur < 64 * KIB)
        return;
    ck_assert_int_eq(error, 0);
    if (MLOCK_WORKS)
        ck_assert_int_ge(proc_number("/proc/self/status", "VmLck:"), before + 64);
    aio_buffer_free(memory);
    ck_assert_int_eq(proc_number("/proc/self/status", "VmLck:"), before);
}
END_TEST

/* Returns 0 where 64 KiB of locked memory are refused with a limit of *argument bytes. */
static int refused_by_limit(void *argument)
{
    struct rlimit limit = {*(rlim_t *)argument, *(rlim_t *)argument};
    void *memory = &memory;

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return 1;
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        return 2;
    if (aio_buffer_alloc_ex(64 * KIB, 0, AIO_BUFFER_LOCKED, &memory) != -EPERM)
        return 3;
    if (memory != NULL || mapped_bytes != 0)
        return 4;
    if (aio_buffer_alloc_ex(64 * KIB, 0, 0, &memory) != 0)
        return 5;
    return 0;
}

START_TEST(lock_limit_is_a_refusal)
{
    rlim_t limits[] = {0, 4096};

    for (size_t index = 0; MLOCK_WORKS && index < LENGTH(limits); index++)
        ck_assert_int_eq(in_child(refused_by_limit, &limits[index]), 0);
}
END_TEST

START_TEST(lock_errors_are_told_apart)
{
    struct rlimit finite = {RLIM_INFINITY, RLIM_INFINITY};
    void *memory;

    getrlimit(RLIMIT_MEMLOCK, &finite);
    mlock_errno = EPERM;
    ck_assert_int_eq(aio_buffer_alloc_ex(4096, 0, AIO_BUFFER_LOCKED, &memory), -EPERM);
    mlock_errno = EAGAIN;
    ck_assert_int_eq(aio_buffer_alloc_ex(4096, 0, AIO_BUFFER_LOCKED, &memory), -ENOMEM);
    mlock_errno = ENOMEM;
    ck_assert_int_eq(aio_buffer_alloc_ex(4096, 0, AIO_BUFFER_LOCKED, &memory),
                     finite.rlim_cur == RLIM_INFINITY ? -ENOMEM : -EPERM);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

START_TEST(explicit_huge_pages_are_used)
{
    unsigned char *memory;

    fake_huge_pages = true;
    memory = aio_buffer_alloc(2 * MIB + 1, 0, AIO_BUFFER_HUGE);
    ck_assert_ptr_eq(memory, huge_mapping);
    memset(memory, 1, 4 * MIB);
    aio_buffer_free(memory);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

static void check_transparent(void)
{
    unsigned char *memory = aio_buffer_alloc(2 * MIB, 0, AIO_BUFFER_HUGE);

    ck_assert_ptr_nonnull(memory);
    ck_assert(aligned(memory, 2 * MIB));
    memset(memory, 1, 2 * MIB);
    aio_buffer_free(memory);
    ck_assert_int_eq(mapped_bytes, 0);
}

START_TEST(without_room_for_the_header_huge_pages_are_transparent)
{
    fake_huge_pages = true;
    occupied_below = true;
    check_transparent();
    occupied_below = false;
    noreplace_unknown = true;
    check_transparent();
}
END_TEST

START_TEST(free_huge_pages_of_this_machine_are_used)
{
    long free_before = proc_number("/proc/meminfo", "HugePages_Free:");
    unsigned char *memory;

    if (free_before < 2 || proc_number("/proc/meminfo", "Hugepagesize:") != 2048)
        return;
    memory = aio_buffer_alloc(4 * MIB, 0, AIO_BUFFER_HUGE | AIO_BUFFER_ZERO);
    ck_assert(all_are(memory, 4 * MIB, 0));
    memset(memory, 1, 4 * MIB);
    ck_assert_int_le(proc_number("/proc/meminfo", "HugePages_Free:"), free_before - 2);
    aio_buffer_free(memory);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

/* --- fork --- */

static int inherited_memory_is_gone(void *memory)
{
    void *own;

    if (readable(memory))
        return 1;
    aio_buffer_free(memory);
    if (aio_buffer_alloc_ex(64 * KIB, 0, 0, &own) != 0)
        return 2;
    memset(own, 1, 64 * KIB);
    aio_buffer_free(own);
    return 0;
}

START_TEST(a_child_has_not_got_the_memory)
{
    unsigned char *memory = aio_buffer_alloc(64 * KIB, 0, 0);
    unsigned char *huge = aio_buffer_alloc(64 * KIB, 0, AIO_BUFFER_HUGE);

    memset(memory, 0x77, 64 * KIB);
    ck_assert_int_eq(in_child(inherited_memory_is_gone, memory), 0);
    ck_assert_int_eq(in_child(inherited_memory_is_gone, huge), 0);
    ck_assert_uint_eq(memory[0], 0x77);
    ck_assert_uint_eq(memory[64 * KIB - 1], 0x77);
    aio_buffer_free(memory);
    aio_buffer_free(huge);
}
END_TEST

/* What the child maps where the inherited memory was must survive aio_buffer_free() of it. */
static int free_keeps_what_took_the_place(void *memory)
{
    unsigned char *mine = __real_mmap64(memory, 64 * KIB, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (mine != memory)
        return 1;
    mine[100] = 42;
    aio_buffer_free(memory);
    return readable(mine) && mine[100] == 42 ? 0 : 2;
}

static int grandchild_frees(void *memory)
{
    return in_child(inherited_memory_is_gone, memory);
}

START_TEST(a_child_frees_bookkeeping_only)
{
    unsigned char *memory = aio_buffer_alloc(64 * KIB, 0, 0);

    ck_assert_int_eq(in_child(free_keeps_what_took_the_place, memory), 0);
    ck_assert_int_eq(in_child(grandchild_frees, memory), 0);
    aio_buffer_free(memory);
}
END_TEST

/* --- pools --- */

static struct aio_buffer_pool *make_pool(size_t buffer_size, size_t count, size_t alignment)
{
    struct aio_buffer_pool_options options = AIO_BUFFER_POOL_OPTIONS_INIT;
    struct aio_buffer_pool *pool = NULL;

    options.buffer_size = buffer_size;
    options.count = count;
    options.alignment = alignment;
    options.flags = AIO_BUFFER_ZERO;
    ck_assert_int_eq(aio_buffer_pool_create(&options, &pool), 0);
    ck_assert_ptr_nonnull(pool);
    return pool;
}

static void check_pool(size_t buffer_size, size_t alignment)
{
    enum { COUNT = 17 };
    struct aio_buffer_pool *pool = make_pool(buffer_size, COUNT, alignment);
    unsigned char *buffers[COUNT];

    for (int index = 0; index < COUNT; index++) {
        buffers[index] = aio_buffer_pool_get(pool);
        ck_assert_ptr_nonnull(buffers[index]);
        ck_assert(aligned(buffers[index], alignment != 0 ? alignment : 4096));
        ck_assert(all_are(buffers[index], buffer_size, 0));
        memset(buffers[index], index + 1, buffer_size);
    }
    ck_assert_ptr_null(aio_buffer_pool_get(pool));
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), -EBUSY);
    for (int index = 0; index < COUNT; index++)
        ck_assert(all_are(buffers[index], buffer_size, index + 1));
    for (int index = 0; index < COUNT; index++)
        ck_assert_int_eq(aio_buffer_pool_put(pool, buffers[index]), 0);
    ck_assert_ptr_eq(aio_buffer_pool_get(pool), buffers[COUNT - 1]);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffers[COUNT - 1]), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
    ck_assert_int_eq(mapped_bytes, 0);
}

START_TEST(pool_hands_out_each_buffer_once)
{
    for (size_t s = 0; s < LENGTH(sizes); s++)
        for (size_t a = 0; a < LENGTH(alignments); a++)
            check_pool(sizes[s] < 100000 ? sizes[s] : 100000, alignments[a]);
}
END_TEST

START_TEST(pool_takes_back_only_what_it_gave)
{
    struct aio_buffer_pool *pool = make_pool(4096, 4, 4096);
    struct aio_buffer_pool *other = make_pool(4096, 4, 4096);
    unsigned char *buffer = aio_buffer_pool_get(pool);
    unsigned char *foreign = aio_buffer_pool_get(other);

    ck_assert_int_eq(aio_buffer_pool_put(pool, NULL), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(NULL, buffer), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffer + 512), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffer + 1), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffer - 4096), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffer + (ptrdiff_t)4 * 4096), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffer + 4096), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(pool, foreign), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(pool, &pool), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffer), 0);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffer), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_put(other, foreign), 0);
    ck_assert_ptr_null(aio_buffer_pool_get(NULL));
    ck_assert_int_eq(aio_buffer_pool_destroy(NULL), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(other), 0);
}
END_TEST

static int create_with(size_t buffer_size, size_t count, size_t alignment, unsigned flags,
                       unsigned reserved)
{
    struct aio_buffer_pool_options options = AIO_BUFFER_POOL_OPTIONS_INIT;
    struct aio_buffer_pool *pool = (struct aio_buffer_pool *)&options;
    int error;

    options.buffer_size = buffer_size;
    options.count = count;
    options.alignment = alignment;
    options.flags = flags;
    options.reserved = reserved;
    error = aio_buffer_pool_create(&options, &pool);
    if (error == 0)
        ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
    else
        ck_assert_ptr_null(pool);
    return error;
}

START_TEST(pool_options_are_checked)
{
    ck_assert_int_eq(create_with(4096, 1, 0, 0, 0), 0);
    ck_assert_int_eq(create_with(0, 1, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(create_with(4096, 0, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(create_with(1, (size_t)INT32_MAX, 1, 0, 0), -EINVAL);
    ck_assert_int_eq(create_with(4096, 1, 5, 0, 0), -EINVAL);
    ck_assert_int_eq(create_with(4096, 1, 0, 8, 0), -EINVAL);
    ck_assert_int_eq(create_with(4096, 1, 0, 0, 1), -EINVAL);
    ck_assert_int_eq(create_with(SIZE_MAX, 1, 0, 0, 0), -ENOMEM);
    ck_assert_int_eq(create_with(SIZE_MAX / 4, 5, 1, 0, 0), -ENOMEM);
    ck_assert_int_eq(create_with(SIZE_MAX / 8, 2, 0, 0, 0), -ENOMEM);
    ck_assert_int_eq(create_with(SIZE_MAX / 4 + 1, 4, 1, 0, 0), -ENOMEM);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

START_TEST(pool_options_may_be_of_another_version)
{
    struct {
        struct aio_buffer_pool_options known;
        uint64_t tail;
    } newer = {AIO_BUFFER_POOL_OPTIONS_INIT, 0};
    struct aio_buffer_pool *pool;

    newer.known.size = sizeof(newer);
    newer.known.buffer_size = 512;
    newer.known.count = 3;
    ck_assert_int_eq(aio_buffer_pool_create(&newer.known, &pool), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
    newer.tail = 1;
    ck_assert_int_eq(aio_buffer_pool_create(&newer.known, &pool), -E2BIG);
    newer.known.size = sizeof(size_t);
    ck_assert_int_eq(aio_buffer_pool_create(&newer.known, &pool), -EINVAL);
    ck_assert_int_eq(aio_buffer_pool_create(NULL, &pool), -EINVAL);
    ck_assert_ptr_null(pool);
    newer.known.size = sizeof(newer.known);
    ck_assert_int_eq(aio_buffer_pool_create(&newer.known, NULL), -EINVAL);
}
END_TEST

START_TEST(each_failing_call_of_a_pool_leaves_nothing)
{
    struct aio_buffer_pool_options options = AIO_BUFFER_POOL_OPTIONS_INIT;
    struct aio_buffer_pool *pool;
    bool reached = true;

    options.buffer_size = 4096;
    options.count = 8;
    options.flags = AIO_BUFFER_LOCKED;
    for (int call = 1; reached; call++) {
        int error;

        arm(call, ENOMEM);
        error = aio_buffer_pool_create(&options, &pool);
        reached = calls >= call;
        arm(0, 0);
        ck_assert_int_eq(error != 0, reached);
        ck_assert_int_eq(pool == NULL, reached);
    }
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

struct pool_user {
    struct aio_buffer_pool *pool;
    unsigned rounds;
    atomic_bool *stop;
};

/* Takes buffers, signs them, and gives them back only if nobody else wrote meanwhile. */
static void *use_pool(void *argument)
{
    static char first_changed[] = "the first buffer was changed or not taken back";
    static char second_changed[] = "the second buffer was changed or not taken back";
    struct pool_user *user = argument;
    uintptr_t signature = (uintptr_t)user;

    for (unsigned round = 0; round < user->rounds && !atomic_load(user->stop); round++) {
        uintptr_t *first = aio_buffer_pool_get(user->pool);
        uintptr_t *second = aio_buffer_pool_get(user->pool);

        if (first != NULL)
            *first = signature + 1;
        if (second != NULL)
            *second = signature + 2;
        if (first != NULL && (*first != signature + 1 || aio_buffer_pool_put(user->pool, first)))
            return first_changed;
        if (second != NULL && (*second != signature + 2 || aio_buffer_pool_put(user->pool, second)))
            return second_changed;
    }
    return NULL;
}

START_TEST(threads_share_a_pool)
{
    enum { THREADS = 4, BUFFERS = 5 };
    atomic_bool stop = false;
    struct aio_buffer_pool *pool = make_pool(4096, BUFFERS, 0);
    struct pool_user users[THREADS];
    pthread_t threads[THREADS];
    void *buffers[BUFFERS];
    void *complaint;

    for (int index = 0; index < THREADS; index++) {
        users[index] = (struct pool_user){pool, 20000, &stop};
        ck_assert_int_eq(pthread_create(&threads[index], NULL, use_pool, &users[index]), 0);
    }
    for (int index = 0; index < THREADS; index++) {
        ck_assert_int_eq(pthread_join(threads[index], &complaint), 0);
        ck_assert_msg(complaint == NULL, "%s", (const char *)complaint);
    }
    for (int index = 0; index < BUFFERS; index++) {
        buffers[index] = aio_buffer_pool_get(pool);
        ck_assert_ptr_nonnull(buffers[index]);
    }
    ck_assert_ptr_null(aio_buffer_pool_get(pool));
    for (int index = 0; index < BUFFERS; index++)
        ck_assert_int_eq(aio_buffer_pool_put(pool, buffers[index]), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
}
END_TEST

struct inherited_pool {
    struct aio_buffer_pool *pool;
    void *taken;
};

static int inherited_pool_is_dead(void *argument)
{
    struct inherited_pool *inherited = argument;

    if (aio_buffer_pool_get(inherited->pool) != NULL)
        return 1;
    if (aio_buffer_pool_put(inherited->pool, inherited->taken) != -EINVAL)
        return 2;
    return aio_buffer_pool_destroy(inherited->pool) == 0 ? 0 : 3;
}

/* Forked at any moment, a child may find the pool's lock held by a thread that it has not got. */
START_TEST(a_child_never_waits_for_the_pool)
{
    atomic_bool stop = false;
    struct inherited_pool inherited = {make_pool(4096, 8, 0), NULL};
    struct pool_user user = {inherited.pool, UINT32_MAX, &stop};
    pthread_t thread;

    inherited.taken = aio_buffer_pool_get(inherited.pool);
    ck_assert_int_eq(pthread_create(&thread, NULL, use_pool, &user), 0);
    for (int round = 0; round < 50; round++)
        ck_assert_int_eq(in_child(inherited_pool_is_dead, &inherited), 0);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    ck_assert_int_eq(aio_buffer_pool_put(inherited.pool, inherited.taken), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(inherited.pool), 0);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

/* --- pools of queues --- */

static const enum aio_engine engines[] = {AIO_ENGINE_KAIO, AIO_ENGINE_URING, AIO_ENGINE_THREADS,
                                          AIO_ENGINE_SYNC};

/* Makes a queue with a pool; NULL where the engine does not work here. */
static struct aio_queue *make_queue(enum aio_engine engine, unsigned flags,
                                    struct aio_buffer_pool *pool)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue *queue;

    if (aio_engine_probe(engine, NULL, 0) != 0)
        return NULL;
    options.engine = engine;
    options.flags = flags;
    options.buffers = pool;
    ck_assert_int_eq(aio_queue_create(&options, &queue), 0);
    return queue;
}

/* Once for each engine, owned and not. */
START_TEST(a_pool_of_a_queue_stays)
{
    struct aio_buffer_pool *pool = make_pool(16 * KIB, 2, 0);
    unsigned flags = _i % 2 != 0 ? AIO_QUEUE_OWNED : 0;
    struct aio_queue *first = make_queue(engines[_i / 2], flags, pool);
    struct aio_queue *second = make_queue(engines[_i / 2], flags, pool);
    struct aio_op nop = {.opcode = AIO_OP_NOP};
    aio_request_id id;
    void *buffer;

    if (first == NULL) {
        ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
        return;
    }
    errno = 4711;
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), -EBUSY);
    ck_assert_int_eq(errno, 4711);
    /* It is as it was. */
    buffer = aio_buffer_pool_get(pool);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_int_eq(aio_queue_destroy(first, 0), 0);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffer), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), -EBUSY);
    /* A queue that cannot be destroyed has it still. */
    ck_assert_int_eq(aio_queue_submit(second, &nop, 1, &id), 1);
    ck_assert_int_eq(aio_queue_destroy(second, 0), -EBUSY);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), -EBUSY);
    ck_assert_int_eq((int)aio_queue_wait(second, id, NULL), 0);
    /* Buffers that are taken count as ever. */
    buffer = aio_buffer_pool_get(pool);
    ck_assert_int_eq(aio_queue_destroy(second, 0), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), -EBUSY);
    ck_assert_int_eq(aio_buffer_pool_put(pool, buffer), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

static void submit_and_wait(struct aio_queue *queue, const struct aio_op *op)
{
    aio_request_id id;

    ck_assert_int_eq(aio_queue_submit(queue, op, 1, &id), 1);
    ck_assert_int_eq((int)aio_queue_wait(queue, id, NULL), (int)op->len);
}

/* Also parts of buffers, memory of no pool, and a pool of another queue. */
START_TEST(a_queue_moves_what_is_in_its_pool)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;
    struct aio_buffer_pool *pool = make_pool(16 * KIB, 8, 0);
    struct aio_buffer_pool *other = make_pool(16 * KIB, 1, 0);
    unsigned flags = _i % 2 != 0 ? AIO_QUEUE_OWNED : 0;
    struct aio_queue *queue = make_queue(engines[_i / 2], flags, pool);
    struct aio_file *file;
    unsigned char *buffers[10];

    if (queue != NULL) {
        options.direct = AIO_DIRECT_PREFERRED;
        ck_assert_int_eq(aio_file_open("/var/tmp", O_RDWR | O_TMPFILE, 0600, &options, &file), 0);
        for (int index = 0; index < 8; index++)
            buffers[index] = aio_buffer_pool_get(pool);
        buffers[8] = aio_buffer_pool_get(other);
        buffers[9] = aio_buffer_alloc(16 * KIB, 0, 0);
        for (int index = 0; index < 10; index++) {
            struct aio_op op = {.opcode = AIO_OP_WRITE,
                                .file = file,
                                .buf = buffers[index],
                                .len = 16 * KIB,
                                .offset = (int64_t)(index * 16 * KIB)};

            memset(buffers[index], index + 1, 16 * KIB);
            submit_and_wait(queue, &op);
        }
        for (int index = 0; index < 10; index++) {
            int from = 9 - index;
            struct aio_op op = {.opcode = AIO_OP_READ,
                                .file = file,
                                .buf = buffers[index] + 4 * KIB,
                                .len = 8 * KIB,
                                .offset = (int64_t)(from * 16 * KIB)};

            memset(buffers[index], 0, 16 * KIB);
            submit_and_wait(queue, &op);
            ck_assert(all_are(buffers[index], 4 * KIB, 0));
            ck_assert(all_are(buffers[index] + 4 * KIB, 8 * KIB, from + 1));
            ck_assert(all_are(buffers[index] + 12 * KIB, 4 * KIB, 0));
        }
        for (int index = 0; index < 8; index++)
            ck_assert_int_eq(aio_buffer_pool_put(pool, buffers[index]), 0);
        ck_assert_int_eq(aio_buffer_pool_put(other, buffers[8]), 0);
        aio_buffer_free(buffers[9]);
        ck_assert_int_eq(aio_buffer_pool_destroy(other), 0);
        ck_assert_int_eq(aio_file_close(file), 0);
        ck_assert_int_eq(aio_queue_destroy(queue, 0), 0);
    } else {
        ck_assert_int_eq(aio_buffer_pool_destroy(other), 0);
    }
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
}
END_TEST

START_TEST(a_queue_that_was_not_made_has_no_pool)
{
    struct aio_queue_options bad[4] = {AIO_QUEUE_OPTIONS_INIT, AIO_QUEUE_OPTIONS_INIT,
                                       AIO_QUEUE_OPTIONS_INIT, AIO_QUEUE_OPTIONS_INIT};
    struct aio_buffer_pool *pool = make_pool(16 * KIB, 1, 0);

    bad[0].engine = AIO_ENGINE_SIM;
    bad[1].flags = 1U << 31;
    bad[2].depth = AIO_QUEUE_DEPTH_MAX + 1;
    bad[3].engine = AIO_ENGINE_SYNC;
    bad[3].flags = AIO_QUEUE_SQPOLL;
    for (int index = 0; index < 4; index++) {
        struct aio_queue *queue = (struct aio_queue *)(void *)pool;

        bad[index].buffers = pool;
        ck_assert_int_lt(aio_queue_create(&bad[index], &queue), 0);
        ck_assert_ptr_null(queue);
    }
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

/* The child's queues cannot have it, and its copy can go though a queue of the parent's has it. */
static int pool_of_the_parent_is_dead(void *argument)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_buffer_pool *pool = argument;
    struct aio_queue *queue;

    options.engine = AIO_ENGINE_SYNC;
    options.buffers = pool;
    if (aio_queue_create(&options, &queue) != -EINVAL || queue != NULL)
        return 1;
    return aio_buffer_pool_destroy(pool) == 0 ? 0 : 2;
}

START_TEST(a_child_has_no_pool_of_a_queue)
{
    struct aio_buffer_pool *pool = make_pool(16 * KIB, 1, 0);
    struct aio_queue *queue = make_queue(AIO_ENGINE_SYNC, 0, pool);

    ck_assert_int_eq(in_child(pool_of_the_parent_is_dead, pool), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), -EBUSY);
    ck_assert_int_eq(aio_queue_destroy(queue, 0), 0);
    ck_assert_int_eq(aio_buffer_pool_destroy(pool), 0);
    ck_assert_int_eq(mapped_bytes, 0);
}
END_TEST

static Suite *buffer_suite(void)
{
    Suite *suite = suite_create("buffer");
    TCase *memory = tcase_create("memory");
    TCase *flags = tcase_create("flags");
    TCase *fork_case = tcase_create("fork");
    TCase *pool = tcase_create("pool");
    TCase *queue = tcase_create("queue");

    tcase_add_test(memory, memory_is_aligned_and_whole);
    tcase_add_test(memory, neighbours_do_not_overlap);
    tcase_add_test(memory, bad_arguments_are_refused);
    tcase_add_test(memory, errno_stays);
    tcase_add_test(memory, a_stray_pointer_frees_nothing);
    tcase_add_test(memory, memory_suits_direct_io);
    tcase_add_test(memory, each_failing_call_leaves_nothing);
    tcase_add_test(flags, locked_memory_is_locked);
    tcase_add_test(flags, lock_limit_is_a_refusal);
    tcase_add_test(flags, lock_errors_are_told_apart);
    tcase_add_test(flags, explicit_huge_pages_are_used);
    tcase_add_test(flags, without_room_for_the_header_huge_pages_are_transparent);
    tcase_add_test(flags, free_huge_pages_of_this_machine_are_used);
    tcase_add_test(fork_case, a_child_has_not_got_the_memory);
    tcase_add_test(fork_case, a_child_frees_bookkeeping_only);
    tcase_add_test(pool, pool_hands_out_each_buffer_once);
    tcase_add_test(pool, pool_takes_back_only_what_it_gave);
    tcase_add_test(pool, pool_options_are_checked);
    tcase_add_test(pool, pool_options_may_be_of_another_version);
    tcase_add_test(pool, each_failing_call_of_a_pool_leaves_nothing);
    tcase_add_test(pool, threads_share_a_pool);
    tcase_add_test(pool, a_child_never_waits_for_the_pool);
    tcase_add_loop_test(queue, a_pool_of_a_queue_stays, 0, 8);
    tcase_add_loop_test(queue, a_queue_moves_what_is_in_its_pool, 0, 8);
    tcase_add_test(queue, a_queue_that_was_not_made_has_no_pool);
    tcase_add_test(queue, a_child_has_no_pool_of_a_queue);
    suite_add_tcase(suite, memory);
    suite_add_tcase(suite, flags);
    suite_add_tcase(suite, fork_case);
    suite_add_tcase(suite, pool);
    suite_add_tcase(suite, queue);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(buffer_suite());
    int failures;

    /* What the library maps once for good is not to be counted. */
    aio_buffer_free(aio_buffer_alloc(1, 0, 0));
    mapped_bytes = 0;
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
