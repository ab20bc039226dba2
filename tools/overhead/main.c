/* SPDX-License-Identifier: MIT */
/*
 * main.c - aiofile-overhead: what the library costs beside hand-written loops on the same file.
 *
 * Each row runs its loops in turn and gives the median of the rounds' ratios, the quartiles and the
 * row's noise: measure.c says what that is. The first row runs a loop against itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rows.h"

#define ROUNDS_DEFAULT 21u
#define COUNT_DEFAULT 8192u
#define COUNT_STEP 128u /* a multiple of every depth */
#define COUNT_MAX (1u << 28)
#define WRITE_BYTES (128u << 20)
#define ROWS_MAX 64u
#define SLOWED_LIMIT_NS UINT64_C(100000000000)

enum exit_code { EXIT_OK = 0, EXIT_MISSED = 1, EXIT_ERROR = 2 };

static const char usage[] =
    "Usage: aiofile-overhead [option]... PATH\n"
    "       aiofile-overhead --write [option]... DIRECTORY\n"
    "\n"
    "Measures the library beside hand-written loops in interleaved rounds. PATH is a file of some\n"
    "MiB or a block device, and is only read. In DIRECTORY two files are made, of 128 MiB in all;\n"
    "they have no name, so that nothing is left of them.\n"
    "\n"
    "  --rounds=N       1 to 101; default 21\n"
    "  --count=BLOCKS   transfers of 4 KiB in a loop, of each thread: a multiple of 128, or cut "
    "to\n"
    "                   one; default 8192\n"
    "  --row=SUBSTRING  only the rows that have it in their names\n"
    "  --json           one JSON object\n"
    "  --check          exit status 1 where a budget is missed by more than the row's noise\n"
    "  --only=NAME      one loop, nothing printed, for callgrind and strace: blocking, single,\n"
    "                   batched, refill, callbacks, eventfd, uring-owned, and what each is\n"
    "                   compared with: raw-blocking, raw-single, raw (batched), raw-refill,\n"
    "                   raw-callbacks, raw-eventfd, raw-uring\n"
    "  --help\n"
    "\n"
    "Exit status: 0, 1 for --check alone, 2 for an error.\n";

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void must(int64_t result, int64_t expected, const char *what)
{
    if (result == expected)
        return;
    fprintf(stderr, "aiofile-overhead: %s: %" PRId64 " (%s) where %" PRId64 " was expected\n", what,
            result, result < 0 ? strerrorname_np((int)-result) : "", expected);
    exit(EXIT_ERROR);
}

/* --- what is measured on ---------------------------------------------------------------------- */

static int open_by_hand(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    fprintf(stderr, "aiofile-overhead: %s: %s\n", path, strerror(errno));
    exit(EXIT_ERROR);
}

/* strace and valgrind stop a thread in its system calls for so long that the file would be taken
 * for one whose submits block, and its operations given to workers. Nothing but the limit differs:
 * submits are still timed. */
static void bench_open(struct bench *bench, bool slowed)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;

    if (slowed)
        options.submit_limit_ns = SLOWED_LIMIT_NS;
    bench->fd = open_by_hand(bench->path, O_RDONLY | O_DIRECT);
    must(aio_file_open(bench->path, O_RDONLY, 0, &options, &bench->file), 0, bench->path);
    bench->blocks = (uint64_t)aio_file_size(bench->file) / BLOCK;
    must(bench->blocks > 0, true, "a file of at least one block");
}

/* Makes a file without a name that stays, whatever becomes of the program; from then on it is
 * reached as a descriptor of the process. */
static int make_file(const char *directory, int flags, char *path, size_t size)
{
    int fd;

    snprintf(path, size, "%s/aiofile-overhead.%d", directory, (int)getpid());
    fd = open_by_hand(path, O_RDWR | O_CREAT | O_EXCL | flags);
    unlink(path);
    snprintf(path, size, "/proc/self/fd/%d", fd);
    return fd;
}

/* A file of written blocks and an empty one. */
static void bench_make(struct bench *bench)
{
    static char path[4096];
    static char log_path[4096];

    bench->fd = make_file(bench->path, O_DIRECT, path, sizeof(path));
    must(aio_file_open(path, O_RDWR, 0, NULL, &bench->file), 0, bench->path);
    must(aio_file_allocate(bench->file, AIO_ALLOCATE_WRITE_ZEROS, 0, WRITE_BYTES), 0, bench->path);
    must(aio_file_sync(bench->file), 0, bench->path);
    bench->log_fd = make_file(bench->path, 0, log_path, sizeof(log_path));
    must(aio_file_open(log_path, O_RDWR, 0, NULL, &bench->log), 0, bench->path);
    bench->blocks = WRITE_BYTES / BLOCK;
    bench->log_path = log_path;
}

static void bench_close(struct bench *bench)
{
    aio_file_close(bench->file);
    close(bench->fd);
    if (bench->log_path == NULL)
        return;
    aio_file_close(bench->log);
    close(bench->log_fd);
}

/* --- the rows --------------------------------------------------------------------------------- */

struct arguments {
    const char *only; /* NULL: all rows whose names have part in them */
    const char *part;
    unsigned rounds;
    bool writes;
    bool json;
    bool check;
};

/* A sandbox may refuse an engine: its rows are left out. */
static bool engine_works(const struct row *row)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue *queue;
    int error;

    if (row->depth == 0) /* it makes blocking calls */
        return true;
    options.engine = row->engine != 0 ? row->engine : AIO_ENGINE_KAIO;
    options.flags = row->queue_flags;
    error = aio_queue_create(&options, &queue);
    if (error == 0)
        return aio_queue_destroy(queue, 0) == 0;
    fprintf(stderr, "aiofile-overhead: left out, as its engine does not work here (%s): %s\n",
            strerrorname_np(-error), row->name);
    return false;
}

/* Returns how many rows were measured. */
static unsigned measure_rows(struct bench *bench, const struct arguments *arguments,
                             struct result *results)
{
    const struct row *rows = arguments->writes ? write_rows : read_rows;
    unsigned row_count = arguments->writes ? write_row_count : read_row_count;
    unsigned count = 0;

    must(row_count <= ROWS_MAX, true, "room for the results");
    for (unsigned index = 0; index < row_count; index++) {
        if (strstr(rows[index].name, arguments->part) == NULL || !engine_works(&rows[index]))
            continue;
        results[count] = measure_row(bench, &rows[index], arguments->rounds);
        if (!arguments->json)
            report_row(&results[count]);
        count++;
    }
    return count;
}

static bool part_is_known(const struct arguments *arguments)
{
    const struct row *rows = arguments->writes ? write_rows : read_rows;
    unsigned row_count = arguments->writes ? write_row_count : read_row_count;

    for (unsigned index = 0; index < row_count; index++)
        if (strstr(rows[index].name, arguments->part) != NULL)
            return true;
    return false;
}

static int run(struct bench *bench, const struct arguments *arguments)
{
    static struct result results[ROWS_MAX];
    const struct report report = {bench, bench->path, time(NULL), arguments->rounds,
                                  arguments->writes};
    unsigned missed = 0;
    unsigned count;

    if (!arguments->json)
        report_begin(&report);
    count = measure_rows(bench, arguments, results);
    if (arguments->json)
        report_json(&report, results, count);
    for (unsigned index = 0; index < count; index++)
        missed += results[index].verdict == VERDICT_MISSED;
    return arguments->check && missed > 0 ? EXIT_MISSED : EXIT_OK;
}

/* --- the command line ------------------------------------------------------------------------- */

static int wrong(const char *sentence)
{
    fprintf(stderr, "aiofile-overhead: %s\n\n%s", sentence, usage);
    return EXIT_ERROR;
}

static bool parse_number(const char *text, unsigned min, unsigned max, unsigned *number)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < min || value > max)
        return false;
    *number = (unsigned)value;
    return true;
}

static int run_arguments(struct bench *bench, const struct arguments *arguments)
{
    const struct row *only = NULL;
    int status = EXIT_OK;

    if (!part_is_known(arguments))
        return wrong("no row has that in its name");
    if (arguments->only != NULL && (only = row_only(arguments->only)) == NULL)
        return wrong("--only does not know that name");
    if (only != NULL && arguments->writes)
        return wrong("--only is not for --write");
    bench->count = bench->count / COUNT_STEP * COUNT_STEP;
    if (arguments->writes)
        bench_make(bench);
    else
        bench_open(bench, only != NULL);
    if (only != NULL)
        run_loop(bench, only, only->by_handle, 1);
    else
        status = run(bench, arguments);
    bench_close(bench);
    return status;
}

/* Takes one option. Returns what is wrong with it, or NULL. */
static const char *take_option(int option, struct bench *bench, struct arguments *arguments)
{
    switch (option) {
    case 'r':
        if (!parse_number(optarg, 1, ROUNDS_MAX, &arguments->rounds))
            return "--rounds takes a number from 1 to 101";
        break;
    case 'n':
        if (!parse_number(optarg, COUNT_STEP, COUNT_MAX, &bench->count))
            return "--count takes a number from 128 to 268435456";
        break;
    case 'p':
        arguments->part = optarg;
        break;
    case 'o':
        arguments->only = optarg;
        break;
    case 'w':
        arguments->writes = true;
        break;
    case 'j':
        arguments->json = true;
        break;
    case 'c':
        arguments->check = true;
        break;
    default:
        return "see its options";
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'r'},
        {"count", required_argument, NULL, 'n'},
        {"row", required_argument, NULL, 'p'},
        {"only", required_argument, NULL, 'o'},
        {"write", no_argument, NULL, 'w'},
        {"json", no_argument, NULL, 'j'},
        {"check", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct arguments arguments = {.part = "", .rounds = ROUNDS_DEFAULT};
    struct bench bench = {.count = COUNT_DEFAULT};
    const char *error;
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return EXIT_OK;
        }
        error = take_option(option, &bench, &arguments);
        if (error != NULL)
            return wrong(error);
    }
    if (argc - optind != 1)
        return wrong("give one PATH");
    bench.path = argv[optind];
    return run_arguments(&bench, &arguments);
}
