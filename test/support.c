/* SPDX-License-Identifier: MIT */
/*
 * support.c - what the test programs share.
 */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum aio_engine test_engine = AIO_ENGINE_KAIO;
bool files_are_checked;

static char scratch[256];

#if defined(__SANITIZE_THREAD__)
#define BUILT_SLOWNESS 8
#define THREADS_WATCHED true
#elif defined(__SANITIZE_ADDRESS__)
#define BUILT_SLOWNESS 3
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BUILT_SLOWNESS 8
#define THREADS_WATCHED true
#elif __has_feature(address_sanitizer)
#define BUILT_SLOWNESS 3
#endif
#endif
#ifndef BUILT_SLOWNESS
#define BUILT_SLOWNESS 1
#endif
#ifndef THREADS_WATCHED
#define THREADS_WATCHED false
#endif

/* A child of a program with threads starts threads of its own here, which the sanitizer would not
 * have unless told. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

int64_t call_result(int64_t result, const char *call, const char *file, int line)
{
    if (errno != ERRNO_MARK)
        ck_abort_msg("%s:%d: %s set errno to %d", file, line, call, errno);
    return result;
}

/* --- time ----------------------------------------------------------------------------------- */

int64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void sleep_us(unsigned microseconds)
{
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000L};

    while (nanosleep(&time, &time) != 0)
        ;
}

struct timespec milliseconds(unsigned count)
{
    return (struct timespec){count / 1000, count % 1000 * 1000000L};
}

unsigned slowness(void)
{
    const char *preload = getenv("LD_PRELOAD");

    if (preload != NULL && strstr(preload, "vgpreload") != NULL)
        return 20;
    return BUILT_SLOWNESS;
}

bool threads_are_watched(void)
{
    return THREADS_WATCHED;
}

unsigned test_scale(void)
{
    const char *text = getenv("AIOFILE_TEST_SCALE");
    int scale = text != NULL ? atoi(text) : 1;

    return scale > 1 ? (unsigned)scale : 1;
}

/* --- the program ---------------------------------------------------------------------------- */

static const char *const engine_names[] = {
    [AIO_ENGINE_AUTO] = "auto",       [AIO_ENGINE_KAIO] = "kaio", [AIO_ENGINE_URING] = "uring",
    [AIO_ENGINE_THREADS] = "threads", [AIO_ENGINE_SYNC] = "sync", [AIO_ENGINE_SIM] = "sim",
};

const char *engine_name(enum aio_engine engine)
{
    return engine_names[engine];
}

enum aio_engine engine_of_name(const char *name)
{
    for (size_t index = 1; index < COUNT(engine_names); index++)
        if (strcmp(engine_names[index], name) == 0)
            return (enum aio_engine)index;
    return AIO_ENGINE_AUTO;
}

/* Whether files here are on a disk and take direct I/O: memory file systems take it and mean
 * nothing by it. */
static bool scratch_fits(const char *directory)
{
    char path[sizeof(scratch) + 16];
    struct statfs status;
    void *page = page_alloc(PAGE);
    bool fits = false;
    int fd;

    snprintf(path, sizeof(path), "%s/probe", directory);
    fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        memset(page, 0, PAGE);
        fits = fstatfs(fd, &status) == 0 && status.f_type != TMPFS_MAGIC &&
               pwrite(fd, page, PAGE, 0) == PAGE;
        close(fd);
    }
    unlink(path);
    free(page);
    return fits;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    /* The directory itself stays. */
    return place->level > 0 ? remove(path) : 0;
}

static void scratch_clean(void)
{
    nftw(scratch, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static bool scratch_make(void)
{
    const char *const places[] = {getenv("TMPDIR"), "/var/tmp", "."};

    for (size_t index = 0; index < COUNT(places); index++) {
        if (places[index] == NULL)
            continue;
        snprintf(scratch, sizeof(scratch), "%s/aiofile-test-XXXXXX", places[index]);
        if (mkdtemp(scratch) == NULL)
            continue;
        if (scratch_fits(scratch))
            return true;
        rmdir(scratch);
    }
    puts("No directory takes direct I/O: set TMPDIR to one on a disk.");
    return false;
}

int run_suite(Suite *(*make_suite)(void))
{
    SRunner *runner;
    int failures;

    if (!scratch_make())
        return 77;
    runner = srunner_create(make_suite());
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    scratch_clean();
    rmdir(scratch);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int run_suite_on_engine(int argc, char **argv, Suite *(*make_suite)(void))
{
    char reason[512];
    int error;

    if (argc < 2 || (engine_of_name(argv[1]) == AIO_ENGINE_AUTO && strcmp(argv[1], "auto") != 0)) {
        fprintf(stderr, "usage: %s auto | kaio | uring | threads | sync [check]\n", argv[0]);
        return EXIT_FAILURE;
    }
    test_engine = engine_of_name(argv[1]);
    files_are_checked = argc > 2 && strcmp(argv[2], "check") == 0;
    error = aio_engine_probe(test_engine, reason, sizeof(reason));
    if (error != 0) {
        printf("The engine %s does not work here (%s): %s\n", argv[1], strerrorname_np(-error),
               reason);
        return 77;
    }
    return run_suite(make_suite);
}

static void test_ends(void)
{
    scratch_clean();
    leak_end();
}

void add_long_tests(Suite *suite, const char *name, const TTest *const *tests, size_t count,
                    unsigned seconds)
{
    TCase *tests_case = tcase_create(name);

    tcase_set_timeout(tests_case, seconds);
    tcase_add_checked_fixture(tests_case, leak_begin, test_ends);
    for (size_t index = 0; index < count; index++)
        tcase_add_test(tests_case, tests[index]);
    suite_add_tcase(suite, tests_case);
}

void add_tests(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
    /* check's own, which is short for a test that waits for something that does not come. */
    add_long_tests(suite, name, tests, count, 4);
}

void add_loop_test(Suite *suite, const char *name, const TTest *test, int count)
{
    TCase *tests_case = tcase_create(name);

    tcase_add_checked_fixture(tests_case, leak_begin, test_ends);
    tcase_add_loop_test(tests_case, test, 0, count);
    suite_add_tcase(suite, tests_case);
}

/* --- files ---------------------------------------------------------------------------------- */

const char *scratch_path(const char *name)
{
    static _Thread_local char paths[16][sizeof(scratch) + 64];
    static _Thread_local unsigned used;
    char *path = paths[used++ % COUNT(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", scratch, name);
    return path;
}

/* Under AIO_FILE_CHECK: what a test does is right, so that nothing may be found. */
static void forbid_findings(void *context, int level, const char *message)
{
    (void)context;
    (void)level;
    /* What a truncate does to a write in flight is defined, and tests are about just that. */
    if (strncmp(message, "check: ", 7) == 0 && strstr(message, ") takes away bytes") == NULL)
        ck_abort_msg("nothing was wrong, but: %s", message);
}

struct aio_file_options file_options(void)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;

    options.engine = test_engine;
    /* Where a machine stands still for a moment no test is to find its transfers with workers. */
    options.submit_limit_ns = UINT64_MAX;
    if (files_are_checked) {
        options.flags = AIO_FILE_CHECK;
        options.log = forbid_findings;
    }
    return options;
}

static struct aio_file *open_new(const char *name, enum aio_direct direct)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.direct = direct;
    EXPECT(aio_file_open(scratch_path(name), O_RDWR | O_CREAT | O_TRUNC, 0600, &options, &file), 0);
    return file;
}

struct aio_file *open_direct(const char *name)
{
    return open_new(name, AIO_DIRECT_REQUIRED);
}

struct aio_file *open_cached(const char *name)
{
    return open_new(name, AIO_DIRECT_NEVER);
}

void close_file(struct aio_file *file)
{
    EXPECT(aio_file_close(file), 0);
}

static int disk_open(const char *name, int flags)
{
    int fd = open(scratch_path(name), flags | O_CLOEXEC, 0600);

    REQUIRE(fd >= 0);
    return fd;
}

void make_file(const char *name, uint64_t bytes, uint64_t seed)
{
    int fd = disk_open(name, O_RDWR | O_CREAT | O_TRUNC);
    char *memory = pattern_alloc(bytes, 0, seed);

    REQUIRE_EQ(pwrite(fd, memory, bytes, 0), bytes);
    free(memory);
    close(fd);
}

uint64_t disk_size(const char *name)
{
    struct stat status;

    REQUIRE(stat(scratch_path(name), &status) == 0);
    return (uint64_t)status.st_size;
}

void disk_read(const char *name, void *buffer, uint64_t bytes, uint64_t offset)
{
    int fd = disk_open(name, O_RDONLY);

    REQUIRE_EQ(pread(fd, buffer, bytes, (off_t)offset), bytes);
    close(fd);
}

void disk_read_direct(const char *name, void *buffer, uint64_t bytes, uint64_t offset)
{
    uint64_t rounded = (bytes + PAGE - 1) / PAGE * PAGE;
    char *memory = page_alloc(rounded);
    int fd = disk_open(name, O_RDONLY | O_DIRECT);

    REQUIRE_EQ(pread(fd, memory, rounded, (off_t)offset), bytes);
    memcpy(buffer, memory, bytes);
    close(fd);
    free(memory);
}

void disk_check_pattern(const char *name, uint64_t offset, uint64_t bytes, uint64_t seed)
{
    char *memory = page_alloc(bytes);

    disk_read(name, memory, bytes, offset);
    pattern_check(memory, bytes, offset, seed);
    free(memory);
}

void disk_check_zeros(const char *name, uint64_t offset, uint64_t bytes)
{
    char *memory = page_alloc(bytes);

    disk_read(name, memory, bytes, offset);
    zeros_check(memory, bytes);
    free(memory);
}

/* --- a disk of the test's own ---------------------------------------------------------------- */

static bool small_disk_lacks(const char *what, int error)
{
    printf("No disk of the test's own: %s (%s).\n", what,
           error != 0 ? strerrorname_np(error) : "-");
    fflush(stdout);
    return false;
}

static int make_file_system(const char *image)
{
    const char *const arguments[] = {"mkfs.ext4",    "-q", "-F",        "-b",  "4096", "-O",
                                     "^has_journal", "-E", "nodiscard", image, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = 0;
    int error;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
    error = posix_spawnp(&child, arguments[0], &actions, NULL, (char *const *)(uintptr_t)arguments,
                         environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return error;
    while (waitpid(child, &status, 0) < 0)
        REQUIRE(errno == EINTR);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : EIO;
}

/* Sets a free loop device up on the image, to be given up by itself after its last use. Returns its
 * descriptor, or a negated errno. */
static int loop_attach(const char *image, char *path, size_t path_size)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    struct loop_config config = {.info.lo_flags = LO_FLAGS_AUTOCLEAR};
    int fd = -1;

    if (control < 0)
        return -errno;
    config.fd = (uint32_t)open(image, O_RDWR | O_CLOEXEC);
    /* Somebody else may be faster. */
    for (unsigned tries = 0; tries < 100 && fd < 0; tries++) {
        snprintf(path, path_size, "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            break;
        if (ioctl(fd, LOOP_CONFIGURE, &config) != 0) {
            close(fd);
            fd = -1;
        }
    }
    close((int)config.fd);
    close(control);
    return fd >= 0 ? fd : -ENODEV;
}

static bool image_make(uint64_t bytes)
{
    int fd = open(scratch_path("below/image"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    REQUIRE(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    close(fd);
    return make_file_system(scratch_path("below/image")) == 0;
}

static bool disk_attach(unsigned flags)
{
    char path[32];
    int loop = loop_attach(scratch_path("below/image"), path, sizeof(path));
    bool mounted;

    if (loop < 0)
        return small_disk_lacks("no loop device", -loop);
    mounted = mount(path, scratch_path("disk"), "ext4", 0, "errors=continue") == 0;
    close(loop);
    if (!mounted)
        return small_disk_lacks("the loop device cannot be mounted", errno);
    if ((flags & SMALL_DISK_READ_ONLY) != 0) {
        make_file("disk/there", PAGE, 1);
        REQUIRE(mount(NULL, scratch_path("disk"), NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    }
    return true;
}

bool small_disk_mount(uint64_t bytes, uint64_t backing_bytes, unsigned flags)
{
    char options[64];

    if (geteuid() != 0)
        return small_disk_lacks("not root", 0);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return small_disk_lacks("no mount namespace", errno);
    REQUIRE(mkdir(scratch_path("below"), 0700) == 0 || errno == EEXIST);
    REQUIRE(mkdir(scratch_path("disk"), 0700) == 0 || errno == EEXIST);
    snprintf(options, sizeof(options), "size=%llu", (unsigned long long)backing_bytes);
    if (mount("tmpfs", scratch_path("below"), "tmpfs", 0, options) != 0)
        return small_disk_lacks("no tmpfs", errno);
    if (image_make(bytes) && disk_attach(flags))
        return true;
    small_disk_lacks("no mkfs.ext4, or no loop device", 0);
    umount2(scratch_path("below"), MNT_DETACH);
    return false;
}

void small_disk_unmount(void)
{
    /* Who has just closed the last file may still be at it. */
    EVENTUALLY(umount(scratch_path("disk")) == 0);
    EVENTUALLY(umount(scratch_path("below")) == 0);
}

void small_disk_exhaust(void)
{
    int fd = disk_open("below/filler", O_WRONLY | O_CREAT | O_EXCL);
    char *zeros = calloc(1, PAGE);

    REQUIRE(zeros != NULL);
    while (write(fd, zeros, PAGE) > 0)
        ;
    REQUIRE_EQ(errno, ENOSPC);
    free(zeros);
    close(fd);
}

void small_disk_relieve(void)
{
    REQUIRE(unlink(scratch_path("below/filler")) == 0);
}

void small_disk_forget(const char *name, uint64_t offset, uint64_t bytes)
{
    int image = disk_open("below/image", O_RDWR);
    int fd = disk_open(name, O_RDONLY);

    REQUIRE(offset % PAGE == 0 && bytes % PAGE == 0);
    for (uint64_t page = offset / PAGE; page < (offset + bytes) / PAGE; page++) {
        int block = (int)page;

        REQUIRE(ioctl(fd, FIBMAP, &block) == 0 && block > 0);
        REQUIRE(fallocate(image, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)block * PAGE,
                          PAGE) == 0);
    }
    close(fd);
    close(image);
}

/* --- queues --------------------------------------------------------------------------------- */

struct aio_queue *open_queue(unsigned depth, unsigned flags)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue *queue;

    options.engine = test_engine;
    options.depth = depth;
    options.flags = flags;
    EXPECT(aio_queue_create(&options, &queue), 0);
    return queue;
}

void close_queue(struct aio_queue *queue)
{
    EXPECT(aio_queue_destroy(queue, 0), 0);
}

struct aio_op op_nop(void)
{
    return (struct aio_op){.opcode = AIO_OP_NOP};
}

struct aio_op op_read(struct aio_file *file, void *buffer, uint64_t bytes, int64_t offset)
{
    return (struct aio_op){
        .opcode = AIO_OP_READ, .file = file, .buf = buffer, .len = bytes, .offset = offset};
}

struct aio_op op_write(struct aio_file *file, const void *buffer, uint64_t bytes, int64_t offset)
{
    return (struct aio_op){.opcode = AIO_OP_WRITE,
                           .file = file,
                           .buf = (void *)(uintptr_t)buffer,
                           .len = bytes,
                           .offset = offset};
}

struct aio_op op_vectors(uint8_t opcode, struct aio_file *file, const struct iovec *iov,
                         uint64_t count, int64_t offset)
{
    return (struct aio_op){
        .opcode = opcode, .file = file, .iov = iov, .len = count, .offset = offset};
}

struct aio_op op_append(struct aio_file *file, const void *buffer, uint64_t bytes)
{
    return (struct aio_op){
        .opcode = AIO_OP_APPEND, .file = file, .buf = (void *)(uintptr_t)buffer, .len = bytes};
}

struct aio_op op_sync(struct aio_file *file)
{
    return (struct aio_op){.opcode = AIO_OP_SYNC, .file = file};
}

aio_request_id submit_one(struct aio_queue *queue, const struct aio_op *op)
{
    aio_request_id id = 0;

    EXPECT(aio_queue_submit(queue, op, 1, &id), 1);
    REQUIRE(id != 0);
    return id;
}

struct aio_completion completion_of(struct aio_queue *queue, aio_request_id id)
{
    struct aio_completion completion = {0};
    struct timespec patience = milliseconds(LONG_MS);

    EXPECT(aio_queue_wait_result(queue, id, &patience, &completion), 0);
    REQUIRE_EQ(completion.id, id);
    REQUIRE_EQ(completion.flags, 0);
    REQUIRE_EQ(completion.reserved[0] | completion.reserved[1] | completion.reserved[2], 0);
    return completion;
}

struct aio_completion run_op(struct aio_queue *queue, const struct aio_op *op)
{
    return completion_of(queue, submit_one(queue, op));
}

/* --- memory with a pattern ------------------------------------------------------------------ */

void *page_alloc(uint64_t bytes)
{
    void *memory = aligned_alloc(PAGE, (bytes + PAGE) / PAGE * PAGE);

    REQUIRE(memory != NULL);
    return memory;
}

uint64_t mix(uint64_t value)
{
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

uint64_t random_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

/* The eight bytes at a place in a file are one number of the generator. */
static uint64_t pattern_word(uint64_t word, uint64_t seed)
{
    return mix(seed * UINT64_C(0x100000001b3) ^ word);
}

static unsigned char pattern_byte(uint64_t offset, uint64_t seed)
{
    return (unsigned char)(pattern_word(offset / 8, seed) >> (8 * (offset % 8)));
}

void pattern_fill(void *memory, uint64_t bytes, uint64_t offset, uint64_t seed)
{
    unsigned char *target = memory;

    while (bytes > 0) {
        uint64_t word = pattern_word(offset / 8, seed);

        if (offset % 8 == 0 && bytes >= 8) {
            memcpy(target, &word, 8);
            target += 8;
            offset += 8;
            bytes -= 8;
        } else {
            *target++ = pattern_byte(offset++, seed);
            bytes--;
        }
    }
}

void *pattern_alloc(uint64_t bytes, uint64_t offset, uint64_t seed)
{
    void *memory = page_alloc(bytes);

    pattern_fill(memory, bytes, offset, seed);
    return memory;
}

void pattern_check(const void *memory, uint64_t bytes, uint64_t offset, uint64_t seed)
{
    const unsigned char *source = memory;
    uint64_t done = 0;

    while (done < bytes) {
        uint64_t place = offset + done;
        uint64_t word;

        if (place % 8 == 0 && bytes - done >= 8) {
            memcpy(&word, source + done, 8);
            if (word == pattern_word(place / 8, seed)) {
                done += 8;
                continue;
            }
        }
        if (source[done] != pattern_byte(place, seed))
            ck_abort_msg("byte %llu of %llu, at offset %llu, is 0x%02x, not 0x%02x of seed %llu",
                         (unsigned long long)done, (unsigned long long)bytes,
                         (unsigned long long)place, source[done], pattern_byte(place, seed),
                         (unsigned long long)seed);
        done++;
    }
}

void zeros_check(const void *memory, uint64_t bytes)
{
    const unsigned char *source = memory;

    for (uint64_t index = 0; index < bytes; index++)
        if (source[index] != 0)
            ck_abort_msg("byte %llu of %llu is 0x%02x, not 0", (unsigned long long)index,
                         (unsigned long long)bytes, source[index]);
}

/* --- leaks ---------------------------------------------------------------------------------- */

struct held {
    int descriptors;
    int threads;
    int rings; /* that io_setup(2) and io_uring_setup(2) map */
};

static struct held held_at_start;

/* The kernel's workers for io_uring are tasks of this process, and one that is idle stays until the
 * thread ends that it works for. */
static bool is_kernel_worker(const char *task)
{
    char path[300];
    char name[20] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    if (fgets(name, sizeof(name), file) == NULL)
        name[0] = '\0';
    fclose(file);
    return strncmp(name, "iou-wrk", 7) == 0;
}

static int entries_of(const char *path, bool tasks)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    int count = 0;

    REQUIRE(directory != NULL);
    while ((entry = readdir(directory)) != NULL)
        count += !(tasks && is_kernel_worker(entry->d_name));
    closedir(directory);
    return count;
}

static int rings_mapped(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;

    REQUIRE(maps != NULL);
    while (fgets(line, sizeof(line), maps) != NULL)
        count += strstr(line, "[aio]") != NULL || strstr(line, "[io_uring]") != NULL;
    fclose(maps);
    return count;
}

static struct held held_now(void)
{
    return (struct held){entries_of("/proc/self/fd", false), entries_of("/proc/self/task", true),
                         rings_mapped()};
}

static void *say_who(void *argument)
{
    *(pid_t *)argument = gettid();
    return NULL;
}

void leak_begin(void)
{
    pthread_t thread;
    pid_t ended = 0;
    char path[64];

    /* A sanitizer starts a thread of its own with the program's first. */
    thread_begin(&thread, say_who, &ended);
    thread_end(thread);
    /* A thread that was joined is a moment longer in /proc. */
    snprintf(path, sizeof(path), "/proc/self/task/%d", (int)ended);
    EVENTUALLY(access(path, F_OK) != 0);
    held_at_start = held_now();
}

void leak_end(void)
{
    struct held now;

    for (int round = 0; round < 2000; round++) {
        now = held_now();
        if (memcmp(&now, &held_at_start, sizeof(now)) == 0)
            return;
        sleep_us(1000);
    }
    ck_abort_msg("leaked %d descriptors, %d threads, %d AIO rings",
                 now.descriptors - held_at_start.descriptors, now.threads - held_at_start.threads,
                 now.rings - held_at_start.rings);
}

/* --- the log -------------------------------------------------------------------------------- */

void log_keep(void *kept, int level, const char *message)
{
    struct log_kept *log = kept;

    REQUIRE(message != NULL && message[0] != '\0' && strchr(message, '\n') == NULL);
    REQUIRE(level >= AIO_LOG_ERROR && level <= AIO_LOG_INFO);
    pthread_mutex_lock(&log->lock);
    log->count++;
    log->level = level;
    snprintf(log->last, sizeof(log->last), "%s", message);
    pthread_mutex_unlock(&log->lock);
}

bool log_has(struct log_kept *kept, const char *word)
{
    bool found;

    pthread_mutex_lock(&kept->lock);
    found = strstr(kept->last, word) != NULL;
    pthread_mutex_unlock(&kept->lock);
    return found;
}

unsigned log_count(struct log_kept *kept)
{
    unsigned count;

    pthread_mutex_lock(&kept->lock);
    count = kept->count;
    pthread_mutex_unlock(&kept->lock);
    return count;
}

void log_clear(struct log_kept *kept)
{
    pthread_mutex_lock(&kept->lock);
    kept->count = 0;
    kept->level = -1;
    kept->last[0] = '\0';
    pthread_mutex_unlock(&kept->lock);
}

/* --- threads -------------------------------------------------------------------------------- */

void thread_begin(pthread_t *thread, void *(*body)(void *), void *argument)
{
    REQUIRE(pthread_create(thread, NULL, body, argument) == 0);
}

void thread_end(pthread_t thread)
{
    REQUIRE(pthread_join(thread, NULL) == 0);
}

int thread_number(void)
{
    return (int)syscall(SYS_gettid);
}

char thread_state(int number)
{
    char path[64];
    char text[512] = "";
    const char *end;
    FILE *status;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", number);
    status = fopen(path, "re");
    if (status == NULL)
        return '?';
    if (fgets(text, sizeof(text), status) == NULL)
        text[0] = '\0';
    fclose(status);
    /* The name, in parentheses, may hold anything. */
    end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' ? end[2] : '?';
}

int64_t process_cpu_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000000) +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * INT64_C(1000);
}

int in_child(int (*body)(void *), void *argument)
{
    pid_t child;
    int status;

    fflush(NULL);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        /* A child that hangs is ended like one that crashes. */
        alarm(30 * slowness());
        _exit(body(argument));
    }
    while (waitpid(child, &status, 0) < 0)
        REQUIRE(errno == EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}
