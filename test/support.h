/* SPDX-License-Identifier: MIT */
/*
 * support.h - what the test programs share: a place for files, memory with a pattern, what the
 * disk has, leaks, a log that is kept, and the frame of a program.
 *
 * check runs each test in a forked child. The directory for files is made before and shared; a
 * test leaves it empty.
 */
#ifndef AIOFILE_TEST_SUPPORT_H
#define AIOFILE_TEST_SUPPORT_H

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <aiofile/aiofile.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define PAGE 4096u

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of ten milliseconds, how long something may take that takes no time: machines have bad days. */
#define LONG_MS 20000

/* --- requirements --------------------------------------------------------------------------- */

/* ck_assert for loops, callbacks and threads: says nothing to check while all is well. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s is not so", #condition);                                              \
    } while (0)

/* The same for two numbers, which it shows. */
#define REQUIRE_EQ(left, right)                                                                    \
    do {                                                                                           \
        int64_t left_value = (int64_t)(left);                                                      \
        int64_t right_value = (int64_t)(right);                                                    \
        if (left_value != right_value)                                                             \
            ck_abort_msg("%s is %lld, not %s = %lld", #left, (long long)left_value, #right,        \
                         (long long)right_value);                                                  \
    } while (0)

/* Waits until something that another thread does has come. */
#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        int64_t give_up_ns = clock_ns() + LONG_MS * INT64_C(1000000);                              \
        while (!(condition)) {                                                                     \
            if (clock_ns() > give_up_ns)                                                           \
                ck_abort_msg("%s did not come", #condition);                                       \
            sleep_us(200);                                                                         \
        }                                                                                          \
    } while (0)

/* A call of the library: gives its result and sees that errno is as before. */
#define ERRNO_MARK 4711
#define CALL(call) (errno = ERRNO_MARK, call_result((int64_t)(call), #call, __FILE__, __LINE__))
int64_t call_result(int64_t result, const char *call, const char *file, int line);

/* A call and what it is to return. */
#define EXPECT(call, expected) REQUIRE_EQ(CALL(call), expected)

/* --- time ----------------------------------------------------------------------------------- */

int64_t clock_ns(void);
void sleep_us(unsigned microseconds);
struct timespec milliseconds(unsigned count);

/* How much longer than in a release build things take: sanitizers, valgrind. At least 1. */
unsigned slowness(void);

/* Whether the thread sanitizer watches: it cannot have threads in the child of a program that has
 * some. */
bool threads_are_watched(void);

/* AIOFILE_TEST_SCALE, at least 1: how much more of what can be any amount. */
unsigned test_scale(void);

/* --- the program ---------------------------------------------------------------------------- */

/* The engine that a program per engine was started for; kaio otherwise. */
extern enum aio_engine test_engine;

/* Whether the files of file_options() have AIO_FILE_CHECK, and a log that lets a test fail where it
 * finds anything: the second argument of a program per engine is "check". A test that is wrong on
 * purpose, or keeps a log of its own, sets it to false. */
extern bool files_are_checked;

/* Name of an engine, and the other way round; AIO_ENGINE_AUTO for what is none. */
const char *engine_name(enum aio_engine engine);
enum aio_engine engine_of_name(const char *name);

/* Runs a suite and returns the exit status. */
int run_suite(Suite *(*make_suite)(void));

/* The same for an engine, whose name is the first argument: 77, with the reason, if it does not
 * work here. */
int run_suite_on_engine(int argc, char **argv, Suite *(*make_suite)(void));

/* Adds tests to a suite, each between leak_begin and leak_end. */
void add_tests(Suite *suite, const char *name, const TTest *const *tests, size_t count);
#define ADD_TESTS(suite, name, ...)                                                                \
    do {                                                                                           \
        const TTest *const added[] = {__VA_ARGS__};                                                \
        add_tests(suite, name, added, COUNT(added));                                               \
    } while (0)

/* Adds tests that may take so many seconds, times what CK_TIMEOUT_MULTIPLIER says. */
void add_long_tests(Suite *suite, const char *name, const TTest *const *tests, size_t count,
                    unsigned seconds);

/* Adds a test that runs once for each _i below count. */
void add_loop_test(Suite *suite, const char *name, const TTest *test, int count);

/* --- files ---------------------------------------------------------------------------------- */

/* A path in the directory for files; the string is good for 15 more calls of this
 * thread. */
const char *scratch_path(const char *name);

/* Options of a file whose operations go to test_engine. */
struct aio_file_options file_options(void);

/* Opens a new empty file, readable and writable, on test_engine; direct or not. */
struct aio_file *open_direct(const char *name);
struct aio_file *open_cached(const char *name);

/* Closes it with no error. */
void close_file(struct aio_file *file);

/* Makes a file of the pattern, or fails. */
void make_file(const char *name, uint64_t bytes, uint64_t seed);

/* What the kernel says of a file, past the library. */
uint64_t disk_size(const char *name);
void disk_check_pattern(const char *name, uint64_t offset, uint64_t bytes, uint64_t seed);
void disk_check_zeros(const char *name, uint64_t offset, uint64_t bytes);

/* Reads bytes past the library: from the page cache, or with O_DIRECT what is a whole number of
 * pages at one, or less at the end of the file. */
void disk_read(const char *name, void *buffer, uint64_t bytes, uint64_t offset);
void disk_read_direct(const char *name, void *buffer, uint64_t bytes, uint64_t offset);

/* --- a disk of the test's own ---------------------------------------------------------------- */

/* Flags of a small disk. */
enum {
    SMALL_DISK_READ_ONLY = 1 << 0, /* mounted so, with one file, "there", of a page of pattern 1 */
};

/* Mounts a new ext4 of so many bytes at scratch_path("disk"), without a journal, on a loop device.
 * Its image is at scratch_path("below/image"), sparse, in a tmpfs that takes backing_bytes. All is
 * in a mount namespace of this process's own and goes with it. False, with the reason printed,
 * where that cannot be had: it takes root, loop devices and mkfs.ext4. */
bool small_disk_mount(uint64_t bytes, uint64_t backing_bytes, unsigned flags);

/* Unmounts it; nothing on it is open. */
void small_disk_unmount(void);

/* Fills what is left of the tmpfs below it, so that the disk can write no block that it has not
 * written before; and frees that again. */
void small_disk_exhaust(void);
void small_disk_relieve(void);

/* Takes the blocks of a file on it back from the tmpfs: they read as zeros, and need room again. */
void small_disk_forget(const char *name, uint64_t offset, uint64_t bytes);

/* --- queues --------------------------------------------------------------------------------- */

/* Makes a queue on test_engine. */
struct aio_queue *open_queue(unsigned depth, unsigned flags);

/* Destroys it, with nothing left in it. */
void close_queue(struct aio_queue *queue);

/* Operations. */
struct aio_op op_nop(void);
struct aio_op op_read(struct aio_file *file, void *buffer, uint64_t bytes, int64_t offset);
struct aio_op op_write(struct aio_file *file, const void *buffer, uint64_t bytes, int64_t offset);
struct aio_op op_vectors(uint8_t opcode, struct aio_file *file, const struct iovec *iov,
                         uint64_t count, int64_t offset);
struct aio_op op_append(struct aio_file *file, const void *buffer, uint64_t bytes);
struct aio_op op_sync(struct aio_file *file);

/* Submits one operation, which must be taken. */
aio_request_id submit_one(struct aio_queue *queue, const struct aio_op *op);

/* Submits one and takes its completion by waiting. */
struct aio_completion run_op(struct aio_queue *queue, const struct aio_op *op);

/* Takes the completion of an operation. */
struct aio_completion completion_of(struct aio_queue *queue, aio_request_id id);

/* --- memory with a pattern ------------------------------------------------------------------ */

/* Memory aligned to a page, to be given to free(3). */
void *page_alloc(uint64_t bytes);

/* Fills memory with what the pattern of a seed has at an offset of a file. */
void pattern_fill(void *memory, uint64_t bytes, uint64_t offset, uint64_t seed);

/* Memory of the pattern, aligned. */
void *pattern_alloc(uint64_t bytes, uint64_t offset, uint64_t seed);

/* Fails where the memory is something else. */
void pattern_check(const void *memory, uint64_t bytes, uint64_t offset, uint64_t seed);
void zeros_check(const void *memory, uint64_t bytes);

/* The pattern's generator, for seeds and choices too: a step of splitmix64. */
uint64_t mix(uint64_t value);
uint64_t random_next(uint64_t *state);

/* --- leaks ---------------------------------------------------------------------------------- */

/* Counts descriptors, threads and AIO rings; and sees later that there are as many. */
void leak_begin(void);
void leak_end(void);

/* --- the log -------------------------------------------------------------------------------- */

struct log_kept {
    pthread_mutex_t lock;
    unsigned count;
    int level; /* of the last sentence */
    char last[512];
};

#define LOG_KEPT_INIT                                                                              \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, 0, -1, ""                                                       \
    }

/* An aio_log_fn whose context is a struct log_kept. */
void log_keep(void *kept, int level, const char *message);

/* Whether the last sentence has a word in it. */
bool log_has(struct log_kept *kept, const char *word);
unsigned log_count(struct log_kept *kept);
void log_clear(struct log_kept *kept);

/* --- threads -------------------------------------------------------------------------------- */

void thread_begin(pthread_t *thread, void *(*body)(void *), void *argument);
void thread_end(pthread_t thread);

/* Of the calling thread, as /proc/self/task names it. */
int thread_number(void);

/* The state letter of a thread in /proc: 'S' is asleep, 'R' running. */
char thread_state(int number);

/* CPU time that the process has used. */
int64_t process_cpu_ns(void);

/* Runs a function in a forked child and returns its exit status: what the function returns, or
 * 100 + the signal that ended it. */
int in_child(int (*body)(void *), void *argument);

#endif
