/* SPDX-License-Identifier: MIT */
/*
 * test_auto.c - AIO_ENGINE_AUTO where an engine is refused: by a sandbox, by fs.aio-max-nr, by
 * limits of the process. Queues are made and files opened all the same, and work; and the log says
 * what was taken, and why.
 *
 * Sandboxes and limits are for ever: check runs each test in a process of its own.
 */
#include "engine_bench.h"

#include <fcntl.h>
#include <libaio.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "process.h"
#include "refuse.h"
#include "support.h"

/* --- a log of which all is kept ------------------------------------------------------------- */

struct sentences {
    unsigned count;
    int levels[8];
    char texts[8][512];
};

static void sentences_keep(void *context, int level, const char *message)
{
    struct sentences *sentences = context;

    REQUIRE(sentences->count < COUNT(sentences->texts));
    sentences->levels[sentences->count] = level;
    snprintf(sentences->texts[sentences->count++], sizeof(sentences->texts[0]), "%s", message);
}

/* Sees that a sentence has these words, in this order, and no more of the list at NULL. */
static void expect_words(const char *sentence, const char *const *words)
{
    const char *place = sentence;

    for (; *words != NULL; words++) {
        const char *found = strstr(place, *words);

        ck_assert_msg(found != NULL, "\"%s\" does not say \"%s\" where it should", sentence,
                      *words);
        place = found + strlen(*words);
    }
}

#define EXPECT_SENTENCE(sentences, index, level, ...)                                              \
    do {                                                                                           \
        const char *const expected_words[] = {__VA_ARGS__, NULL};                                  \
        REQUIRE((index) < (sentences)->count);                                                     \
        REQUIRE_EQ((sentences)->levels[index], level);                                             \
        expect_words((sentences)->texts[index], expected_words);                                   \
    } while (0)

/* --- work ----------------------------------------------------------------------------------- */

enum { PAGES = 100 };

static atomic_uint callbacks_run;

static void on_complete(const struct aio_completion *completion)
{
    REQUIRE_EQ(completion->result, PAGE);
    REQUIRE(completion->context == &callbacks_run);
    callbacks_run++;
}

/* A batch longer than the queue, with callbacks. */
static void work_in_batches(struct aio_queue *queue, struct aio_file *file)
{
    char *memory = pattern_alloc(PAGES * PAGE, 0, 2);
    struct timespec patience = milliseconds(LONG_MS);
    struct aio_op ops[PAGES];

    for (unsigned reads = 0; reads < 2; reads++) {
        callbacks_run = 0;
        if (reads)
            memset(memory, 0, PAGES * PAGE);
        for (unsigned page = 0; page < PAGES; page++) {
            ops[page] = reads ? op_read(file, memory + page * PAGE, PAGE, (int64_t)page * PAGE)
                              : op_write(file, memory + page * PAGE, PAGE, (int64_t)page * PAGE);
            ops[page].on_complete = on_complete;
            ops[page].context = &callbacks_run;
        }
        EXPECT(aio_queue_submit(queue, ops, PAGES, NULL), PAGES);
        EXPECT(aio_queue_drain(queue, &patience), 0);
        REQUIRE_EQ(callbacks_run, PAGES);
    }
    pattern_check(memory, PAGES * PAGE, 0, 2);
    free(memory);
}

/* One of each, submitted and waited for. */
static void work_one_by_one(struct aio_queue *queue, struct aio_file *file)
{
    char *memory = pattern_alloc(2 * PAGE, PAGE, 3);
    struct iovec iov[2] = {{memory, PAGE}, {memory + PAGE, PAGE}};
    struct aio_op op = op_vectors(AIO_OP_WRITEV, file, iov, 2, PAGE);
    struct aio_completion completion;

    REQUIRE_EQ(run_op(queue, &op).result, 2 * PAGE);
    op = op_append(file, memory, 100);
    completion = run_op(queue, &op);
    REQUIRE(completion.result == 100 && completion.offset == PAGES * PAGE);
    op = op_sync(file);
    REQUIRE_EQ(run_op(queue, &op).result, 0);
    memset(memory, 0, 2 * PAGE);
    op = op_vectors(AIO_OP_READV, file, iov, 2, PAGE);
    REQUIRE_EQ(run_op(queue, &op).result, 2 * PAGE);
    pattern_check(memory, 2 * PAGE, PAGE, 3);
    free(memory);
}

/* Blocking calls. */
static void work_blocking(struct aio_file *file)
{
    char *memory = pattern_alloc(PAGE, 0, 4);
    off_t where = -1;

    EXPECT(aio_file_pwrite(file, memory, PAGE, 0), PAGE);
    EXPECT(aio_file_append(file, memory, 50, &where), 50);
    REQUIRE_EQ(aio_file_size(file), where + 50);
    EXPECT(aio_file_sync(file), 0);
    memset(memory, 0, PAGE);
    EXPECT(aio_file_pread(file, memory, PAGE, 0), PAGE);
    pattern_check(memory, PAGE, 0, 4);
    free(memory);
}

static void work(struct aio_queue *queue, struct aio_file *file)
{
    work_in_batches(queue, file);
    work_one_by_one(queue, file);
    work_blocking(file);
    disk_check_pattern("file", 0, PAGE, 4);
    disk_check_pattern("file", PAGE, 2 * PAGE, 3);
    disk_check_pattern("file", 3 * PAGE, (PAGES - 3) * PAGE, 2);
    REQUIRE_EQ(disk_size("file"), PAGES * PAGE + 150);
}

static enum aio_engine engine_of(struct aio_queue *queue)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    EXPECT(aio_queue_stats(queue, &stats), 0);
    REQUIRE_EQ(stats.depth, aio_queue_depth(queue));
    return (enum aio_engine)stats.engine;
}

static struct aio_file *open_auto(struct aio_queue *queue, struct sentences *sentences)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;
    struct aio_file *file;

    options.engine = AIO_ENGINE_AUTO;
    options.queue = queue;
    options.log = sentences_keep;
    options.log_context = sentences;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT | O_TRUNC, 0600, &options, &file),
           0);
    return file;
}

static int create_auto(unsigned depth, struct sentences *sentences, struct aio_queue **queue)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;

    sentences->count = 0;
    options.depth = depth;
    options.log = sentences_keep;
    options.log_context = sentences;
    return (int)CALL(aio_queue_create(&options, &queue[0]));
}

/* A queue for which there was one sentence. */
static struct aio_queue *open_with_sentence(unsigned depth, struct sentences *sentences)
{
    struct aio_queue *queue;

    REQUIRE_EQ(create_auto(depth, sentences, &queue), 0);
    REQUIRE_EQ(sentences->count, 1);
    return queue;
}

/* What a probe says: an error, and a reason that begins so; or that it works, and no more. */
static void expect_probe(enum aio_engine engine, int error, const char *start)
{
    char reason[512] = "x";

    EXPECT(aio_engine_probe(engine, reason, sizeof(reason)), error);
    ck_assert_msg(strncmp(reason, start, strlen(start)) == 0, "\"%s\"", reason);
    REQUIRE(error != 0 || reason[0] == '\0');
}

/* Works with a queue, through a file that has it, and is done with it. */
static void work_and_close(struct aio_queue *queue, struct sentences *sentences)
{
    struct aio_file *file = open_auto(queue, sentences);

    work(queue, file);
    close_file(file);
    close_queue(queue);
}

/* With a queue of its own, and with a file that makes one. */
static void expect_work(enum aio_engine expected)
{
    struct sentences sentences = {0};
    struct aio_queue *queue;
    struct aio_file *file;

    REQUIRE_EQ(create_auto(8, &sentences, &queue), 0);
    REQUIRE_EQ(engine_of(queue), expected);
    work_and_close(queue, &sentences);
    sentences.count = 0;
    file = open_auto(NULL, &sentences);
    queue = aio_file_queue(file);
    REQUIRE(queue != NULL && aio_queue_depth(queue) == 64);
    REQUIRE_EQ(engine_of(queue), expected);
    REQUIRE_EQ(sentences.count, 1);
    EXPECT_SENTENCE(&sentences, 0, expected == AIO_ENGINE_KAIO ? AIO_LOG_INFO : AIO_LOG_WARNING,
                    "engine auto: using ", engine_name(expected));
    work(queue, file);
    close_file(file);
}

/* --- a sandbox ------------------------------------------------------------------------------ */

/* Asked for before the sandbox. */
static bool uring_works(void)
{
    return aio_engine_probe(AIO_ENGINE_URING, NULL, 0) == 0;
}

static bool uring_is_built(void)
{
    int error;

    return engine_find(AIO_ENGINE_URING, &error) != NULL;
}

START_TEST(nothing_is_refused)
{
    struct sentences sentences = {0};
    struct aio_queue *queue = open_with_sentence(4, &sentences);

    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_INFO, "engine auto: using kaio, the first choice");
    close_queue(queue);
    expect_work(AIO_ENGINE_KAIO);
}
END_TEST

static const int refusals[] = {ENOSYS, EPERM, EACCES};

START_TEST(kernel_aio_is_refused)
{
    static const int calls[] = {SYS_io_setup};
    const int error = refusals[_i];
    const enum aio_engine next = uring_works() ? AIO_ENGINE_URING : AIO_ENGINE_THREADS;
    struct sentences sentences = {0};
    struct aio_queue *queue;

    REQUIRE_EQ(refuse_calls(calls, 1, error), 0);
    queue = open_with_sentence(4, &sentences);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_WARNING, "engine auto: using ", engine_name(next),
                    ", as kaio was refused with ", strerrorname_np(error), " (");
    close_queue(queue);
    expect_probe(AIO_ENGINE_KAIO, -error, "kaio: ");
    expect_probe(next, 0, "");
    expect_probe(AIO_ENGINE_AUTO, 0, "");
    expect_work(next);
}
END_TEST

START_TEST(io_uring_is_refused_too)
{
    static const int calls[] = {SYS_io_setup, SYS_io_uring_setup};
    const int error = refusals[_i];
    struct sentences sentences = {0};
    struct aio_queue *queue;
    char reason[512] = "x";

    REQUIRE_EQ(refuse_calls(calls, 2, error), 0);
    queue = open_with_sentence(4, &sentences);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_WARNING,
                    "engine auto: using threads, as kaio was refused with ", strerrorname_np(error),
                    " (");
    if (uring_is_built()) {
        EXPECT_SENTENCE(&sentences, 0, AIO_LOG_WARNING, ", uring with ");
        expect_probe(AIO_ENGINE_URING, -error, "uring: ");
    } else {
        printf("Not tried: io_uring that a sandbox refuses; this was built without it.\n");
        EXPECT(aio_engine_probe(AIO_ENGINE_URING, reason, sizeof(reason)), -EOPNOTSUPP);
        REQUIRE(strstr(reason, "liburing-dev") != NULL);
    }
    close_queue(queue);
    expect_probe(AIO_ENGINE_AUTO, 0, "");
    expect_work(AIO_ENGINE_THREADS);
}
END_TEST

/* No kind of thread either: then what needs none works, and what does says so. */
static int without_threads(void *argument)
{
    static const int calls[] = {SYS_io_setup, SYS_io_uring_setup, SYS_clone, SYS_clone3};
    const struct aio_op nop = op_nop();
    struct sentences sentences = {0};
    struct aio_queue *queue;
    struct aio_file *file;

    (void)argument;
    REQUIRE_EQ(refuse_calls(calls, COUNT(calls), EPERM), 0);
    queue = open_with_sentence(4, &sentences);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_WARNING,
                    "engine auto: using sync, as kaio was refused with EPERM (",
                    "threads with EPERM", "clone");
    expect_probe(AIO_ENGINE_THREADS, -EPERM, "threads: ");
    EXPECT(aio_queue_submit(queue, &nop, 1, NULL), -EPERM);
    file = open_auto(queue, &sentences);
    work_blocking(file);
    close_file(file);
    close_queue(queue);
    return 0;
}

START_TEST(threads_are_refused_as_well)
{
    REQUIRE_EQ(in_child(without_threads, NULL), 0);
}
END_TEST

/* What is no refusal must not be hidden by a slower engine. */
START_TEST(other_errors_come_through)
{
    static const int calls[] = {SYS_io_setup};
    struct sentences sentences = {0};
    struct aio_queue *queue = NULL;

    REQUIRE_EQ(refuse_calls(calls, 1, EFAULT), 0);
    REQUIRE_EQ(create_auto(4, &sentences, &queue), -EFAULT);
    REQUIRE(queue == NULL && sentences.count == 1);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_ERROR, "engine auto: kaio was refused with EFAULT (");
    expect_probe(AIO_ENGINE_AUTO, -EFAULT, "engine auto: kaio was ");
}
END_TEST

/* --- fs.aio-max-nr -------------------------------------------------------------------------- */

static long number_in(const char *path)
{
    FILE *file = fopen(path, "re");
    long number = -1;

    REQUIRE(file != NULL && fscanf(file, "%ld", &number) == 1);
    fclose(file);
    return number;
}

static long room_left(void)
{
    return number_in("/proc/sys/fs/aio-max-nr") - number_in("/proc/sys/fs/aio-nr");
}

/* The system's requests, but for a few, in the hands of this test. */
struct pressure {
    io_context_t contexts[64];
    unsigned count;
};

static void pressure_release(struct pressure *pressure)
{
    while (pressure->count > 0)
        REQUIRE_EQ(io_destroy(pressure->contexts[--pressure->count]), 0);
}

/* Takes all but so many. False where it cannot be done, or somebody else takes or gives meanwhile:
 * other programs are not to be troubled for long, and may trouble this one. */
static bool pressure_take(struct pressure *pressure, long leave)
{
    while (pressure->count < COUNT(pressure->contexts)) {
        long want = room_left() - leave;
        int error;

        if (want <= 0)
            return want == 0;
        if (want > 65536)
            want = 65536;
        pressure->contexts[pressure->count] = NULL;
        error = io_setup((int)want, &pressure->contexts[pressure->count]);
        if (error != 0)
            return false;
        pressure->count++;
    }
    return false;
}

/* What is to be seen with little room left. */
static const struct {
    unsigned depth;
    long left;
    unsigned granted; /* 0: nothing */
} shrinkings[] = {
    {64, 64, 64}, {64, 63, 32},    {64, 32, 32}, {64, 31, 16}, {64, 16, 16},
    {64, 15, 0},  {64, 0, 0},      {17, 16, 16}, {10, 10, 10}, {10, 9, 0},
    {1, 1, 1},    {1000, 100, 62}, {31, 20, 16}, {16, 15, 0},  {65536, 64, 64},
};

/* Tries a line; false where others were in the way, whose requests the numbers then are too. */
static bool try_shrinking(int line, struct sentences *sentences)
{
    const struct engine_config config = {
        .depth = shrinkings[line].depth, .sqpoll_cpu = -1, .log = {sentences_keep, sentences}};
    struct pressure pressure = {.count = 0};
    struct engine *engine = NULL;
    const unsigned granted = shrinkings[line].granted;
    bool undisturbed = false;
    int error = 1;

    sentences->count = 0;
    if (pressure_take(&pressure, shrinkings[line].left)) {
        error = (int)CALL(engine_create(AIO_ENGINE_KAIO, &config, &engine));
        undisturbed = room_left() == shrinkings[line].left - (long)(error == 0 ? engine->depth : 0);
    }
    if (undisturbed && granted > 0) {
        REQUIRE_EQ(error, 0);
        REQUIRE_EQ(engine->depth, granted);
    } else if (undisturbed) {
        REQUIRE_EQ(error, -EAGAIN);
        REQUIRE(engine == NULL);
    }
    if (error == 0)
        engine->ops->destroy(engine);
    pressure_release(&pressure);
    return undisturbed;
}

START_TEST(kernel_aio_takes_what_there_is)
{
    struct sentences sentences = {0};
    const long limit = number_in("/proc/sys/fs/aio-max-nr");
    char numbers[3][64];

    EVENTUALLY(try_shrinking(_i, &sentences));
    if (shrinkings[_i].granted == shrinkings[_i].depth) {
        REQUIRE_EQ(sentences.count, 0);
        return;
    }
    REQUIRE_EQ(sentences.count, 1);
    snprintf(numbers[2], sizeof(numbers[2]), "sysctl fs.aio-max-nr=%ld", 2 * limit);
    if (shrinkings[_i].granted == 0) {
        snprintf(numbers[0], sizeof(numbers[0]), " %u requests: ", shrinkings[_i].depth);
        snprintf(numbers[1], sizeof(numbers[1]), "uses %ld of fs.aio-max-nr = %ld; raise it",
                 limit - shrinkings[_i].left, limit);
        EXPECT_SENTENCE(&sentences, 0, AIO_LOG_ERROR, "kaio: io_setup refused", numbers[0],
                        numbers[1], numbers[2], "less depth", "share a queue");
        return;
    }
    snprintf(numbers[0], sizeof(numbers[0]), " %u instead of the %u ", shrinkings[_i].granted,
             shrinkings[_i].depth);
    snprintf(numbers[1], sizeof(numbers[1]), " used %ld of fs.aio-max-nr = %ld; raise it",
             limit - shrinkings[_i].left, limit);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_WARNING, "kaio: depth", numbers[0], numbers[1],
                    numbers[2], "share a queue");
}
END_TEST

/* A queue that got less says so, has so many slots, and works. */
START_TEST(a_smaller_queue_works)
{
    struct pressure pressure = {.count = 0};
    struct sentences sentences = {0};
    struct aio_queue *queue = NULL;

    EVENTUALLY(pressure_take(&pressure, 40) && create_auto(0, &sentences, &queue) == 0 &&
               engine_of(queue) == AIO_ENGINE_KAIO && aio_queue_depth(queue) == 32);
    pressure_release(&pressure);
    REQUIRE_EQ(sentences.count, 2);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_WARNING, "kaio: depth 32 instead of the 64 asked for");
    EXPECT_SENTENCE(&sentences, 1, AIO_LOG_INFO, "using kaio");
    work_and_close(queue, &sentences);
}
END_TEST

/* Nothing left: the next engine, by one sentence; and kaio again when there is room. */
START_TEST(the_next_engine_when_nothing_is_left)
{
    const enum aio_engine next = uring_works() ? AIO_ENGINE_URING : AIO_ENGINE_THREADS;
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct pressure pressure = {.count = 0};
    struct sentences sentences = {0};
    struct aio_queue *queue = NULL;
    char reason[512];

    EVENTUALLY(pressure_take(&pressure, 0));
    options.engine = AIO_ENGINE_KAIO;
    EXPECT(aio_queue_create(&options, &queue), -EAGAIN);
    REQUIRE(queue == NULL);
    REQUIRE_EQ(create_auto(64, &sentences, &queue), 0);
    REQUIRE_EQ(engine_of(queue), next);
    EXPECT(aio_engine_probe(AIO_ENGINE_KAIO, reason, sizeof(reason)), -EAGAIN);
    REQUIRE(strstr(reason, "fs.aio-max-nr") != NULL);
    EXPECT(aio_engine_probe(AIO_ENGINE_AUTO, reason, sizeof(reason)), 0);
    REQUIRE_EQ(sentences.count, 1);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_WARNING, "engine auto: using ", engine_name(next),
                    ", as kaio was refused with EAGAIN (", "fs.aio-max-nr = ");
    REQUIRE_EQ(aio_queue_depth(queue), 64);
    expect_work(next);
    pressure_release(&pressure);
    work_and_close(queue, &sentences);
    expect_work(AIO_ENGINE_KAIO);
}
END_TEST

/* --- limits of the process ------------------------------------------------------------------ */

START_TEST(without_descriptors_there_are_threads)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct sentences sentences = {0};
    struct aio_queue *queue = NULL;
    struct aio_file *file = NULL;
    struct rlimit before;

    options.engine = AIO_ENGINE_KAIO;
    options.log = sentences_keep;
    options.log_context = &sentences;
    before = leave_descriptors(0);
    EXPECT(aio_queue_create(&options, &queue), -EMFILE);
    REQUIRE(queue == NULL);
    REQUIRE_EQ(sentences.count, 1);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_ERROR, "kaio: ", "EMFILE", "RLIMIT_NOFILE");
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, NULL, &file), -EMFILE);
    REQUIRE(file == NULL);
    REQUIRE_EQ(create_auto(8, &sentences, &queue), 0);
    REQUIRE_EQ(engine_of(queue), AIO_ENGINE_THREADS);
    REQUIRE_EQ(sentences.count, 1);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_WARNING,
                    "engine auto: using threads, as kaio was refused with EMFILE (");
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    work_and_close(queue, &sentences);
    expect_work(AIO_ENGINE_KAIO);
}
END_TEST

/* However far it gets, nothing is left behind: leak_end() counts. */
START_TEST(with_few_descriptors_nothing_is_lost)
{
    for (unsigned left = 0; left < 6; left++) {
        struct aio_file *file = NULL;
        struct rlimit before = leave_descriptors(left);
        int64_t error =
            CALL(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, NULL, &file));

        REQUIRE(error == 0 || error == -EMFILE);
        if (error == 0) {
            REQUIRE(aio_file_queue(file) != NULL);
            close_file(file);
        }
        REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    }
}
END_TEST

/* The user has no process more to have: so no thread, and no reaper either. */
static int with_no_process_left(void *argument)
{
    static const int calls[] = {SYS_io_setup, SYS_io_uring_setup};
    const struct rlimit limit = {1, 1};
    struct sentences sentences = {0};
    struct aio_queue *queue;

    (void)argument;
    REQUIRE(setrlimit(RLIMIT_NPROC, &limit) == 0);
    if (geteuid() == 0)
        REQUIRE(setresuid(54322, 54322, 54322) == 0);
    REQUIRE_EQ(refuse_calls(calls, COUNT(calls), ENOSYS), 0);
    REQUIRE_EQ(create_auto(4, &sentences, &queue), 0);
    REQUIRE_EQ(engine_of(queue), AIO_ENGINE_SYNC);
    REQUIRE_EQ(sentences.count, 1);
    EXPECT_SENTENCE(&sentences, 0, AIO_LOG_WARNING, "engine auto: using sync, as kaio ",
                    "threads with EAGAIN (", "RLIMIT_NPROC = 1");
    close_queue(queue);
    return 0;
}

START_TEST(without_processes_there_is_sync)
{
    REQUIRE_EQ(in_child(with_no_process_left, NULL), 0);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------ */

static Suite *auto_suite(void)
{
    Suite *suite = suite_create("auto");

    ADD_TESTS(suite, "all", nothing_is_refused);
    add_loop_test(suite, "kaio refused", kernel_aio_is_refused, COUNT(refusals));
    add_loop_test(suite, "uring refused", io_uring_is_refused_too, COUNT(refusals));
    ADD_TESTS(suite, "sandbox", threads_are_refused_as_well, other_errors_come_through);
    if (number_in("/proc/sys/fs/aio-max-nr") > 2000000) {
        printf("Not tried without room in fs.aio-max-nr: it is more than this test can take.\n");
    } else {
        add_loop_test(suite, "room", kernel_aio_takes_what_there_is, COUNT(shrinkings));
        ADD_TESTS(suite, "no room", a_smaller_queue_works, the_next_engine_when_nothing_is_left);
    }
    ADD_TESTS(suite, "limits", without_descriptors_there_are_threads,
              with_few_descriptors_nothing_is_lost, without_processes_there_is_sync);
    return suite;
}

int main(void)
{
    if (aio_engine_probe(AIO_ENGINE_KAIO, NULL, 0) != 0) {
        printf("Kernel AIO is refused here from the start.\n");
        return 77;
    }
    return run_suite(auto_suite);
}
