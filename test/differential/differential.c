/* SPDX-License-Identifier: MIT */
/*
 * differential.c - the same operations, chosen by a seed, on a handle and with plain system calls
 * on an ordinary second file; after each the answers are the same, and the bytes are too. A
 * handle is to be a drop-in for a file descriptor: whatever differs is a defect of one of the two.
 *
 *   judge.c     the run, its seed, how a disagreement is told
 *   world.c     the two files, or a device and an array; opened in all ways, compared
 *   plain.c     the right answers
 *   range.c memory.c flight.c   where a transfer goes, from which memory; one in flight
 *   lockstep.c lanes.c overlap.c appends.c   the modes
 *
 * It says its seed first, and where something differs the command that shows it again. Blocking
 * calls of one thread come out the same each time; what threads do depends on their turns too.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "judge.h"
#include "modes.h"
#include "world.h"

#define SKIPPED 77

static const char usage[] =
    "usage: test_differential kaio | uring | threads | sync [option]...\n"
    "  --mode MODE        blocking, submitted, threads, overlap, handles, appends or all "
    "(default)\n"
    "  --seed N           default 1\n"
    "  --ops N            operations, in all modes together; default 5000 of each\n"
    "  --dir DIR          where the files are made; default: TMPDIR, /var/tmp or .\n"
    "  --device DEV       a block device instead, which is overwritten\n"
    "  --direct HOW       required, strict, preferred or never: open in this way only\n"
    "  --unaligned HOW    default or page-cache, of a device: in this way only; default both\n"
    "  --memory N         open with this memory alignment\n"
    "  --without WHAT     grow-ahead or append-mode: never open so\n"
    "  --verbose          print every step\n";

/* --- modes ---------------------------------------------------------------------------------- */

static void run_blocking(struct world *world, uint64_t random, uint64_t operations)
{
    lockstep_run(world, random, operations, false);
}

static void run_submitted(struct world *world, uint64_t random, uint64_t operations)
{
    lanes_run(world, random, operations, 1, 1);
}

static void run_threads(struct world *world, uint64_t random, uint64_t operations)
{
    lanes_run(world, random, operations, 8, 1);
}

static void run_overlap(struct world *world, uint64_t random, uint64_t operations)
{
    overlap_run(world, random, operations, 8, 1);
}

/* By turns, then from two threads apart, then from two threads that meet. */
static void run_handles(struct world *world, uint64_t random, uint64_t operations)
{
    lockstep_run(world, mix(random), operations / 2, true);
    lanes_run(world, mix(random + 1), operations / 4 + 1, 2, 2);
    overlap_run(world, mix(random + 2), operations / 4 + 1, 2, 2);
}

static void run_appends(struct world *world, uint64_t random, uint64_t operations)
{
    appends_run(world, random, operations, 8);
}

static const struct {
    const char *name;
    void (*run)(struct world *world, uint64_t random, uint64_t operations);
    bool on_devices;
} modes[] = {
    {"blocking", run_blocking, true}, {"submitted", run_submitted, true},
    {"threads", run_threads, true},   {"overlap", run_overlap, true},
    {"handles", run_handles, true},   {"appends", run_appends, false},
};

static const char *const directs[] = {"required", "strict", "preferred", "never"};
static const char *const withouts[] = {"grow-ahead", "append-mode"};
static const char *const unaligned[] = {"default", "reject", "page-cache"};

static void run_world(const struct facts *facts, size_t mode, uint64_t operations, bool any_write)
{
    struct world *world = world_create(facts, any_write);

    modes[mode].run(world, mix(the_run.seed * COUNT(modes) + mode), operations);
    world_destroy(world);
}

static void run_mode(const struct facts *facts, size_t mode, uint64_t operations)
{
    int64_t begin_ns = clock_ns();

    the_run.mode = modes[mode].name;
    the_run.operations = operations;
    the_run.step = 0;
    printf("%s %s: seed %llu, %llu operations\n", the_run.engine_text, the_run.mode,
           (unsigned long long)the_run.seed, (unsigned long long)operations);
    fflush(stdout);
    if (the_run.device == NULL) {
        run_world(facts, mode, operations, true);
    } else {
        if (the_run.unaligned != AIO_UNALIGNED_PAGE_CACHE)
            run_world(facts, mode, operations / 2 + 1, false);
        if (the_run.unaligned != AIO_UNALIGNED_DEFAULT)
            run_world(facts, mode, operations / 2 + 1, true);
    }
    printf("  agreed: %llu operations in %.1f s\n", (unsigned long long)the_run.step,
           (double)(clock_ns() - begin_ns) / 1e9);
    fflush(stdout);
}

/* --- the command line ----------------------------------------------------------------------- */

static _Noreturn void refuse(const char *what, const char *text)
{
    fprintf(stderr, "%s: %s\n%s", what, text, usage);
    exit(2);
}

static uint64_t number_of(const char *text)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 0);

    if (*text == '\0' || *end != '\0')
        refuse("not a number", text);
    return number;
}

static int index_of(const char *text, const char *const *names, size_t count)
{
    for (size_t index = 0; index < count; index++)
        if (strcmp(text, names[index]) == 0)
            return (int)index;
    refuse("unknown", text);
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"mode", required_argument, NULL, 'm'},
        {"seed", required_argument, NULL, 's'},
        {"ops", required_argument, NULL, 'o'},
        {"dir", required_argument, NULL, 'd'},
        {"device", required_argument, NULL, 'b'},
        {"direct", required_argument, NULL, 'D'},
        {"unaligned", required_argument, NULL, 'u'},
        {"without", required_argument, NULL, 'w'},
        {"memory", required_argument, NULL, 'a'},
        {"verbose", no_argument, NULL, 'v'},
        {0},
    };
    int option;

    the_run.program = argv[0];
    the_run.mode = "all";
    the_run.seed = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'm':
            the_run.mode = optarg;
            break;
        case 's':
            the_run.seed = number_of(optarg);
            break;
        case 'o':
            the_run.operations = number_of(optarg);
            break;
        case 'd':
            the_run.directory = optarg;
            break;
        case 'b':
            the_run.device = optarg;
            break;
        case 'D':
            the_run.direct = index_of(optarg, directs, COUNT(directs));
            break;
        case 'u':
            the_run.unaligned = index_of(optarg, unaligned, COUNT(unaligned));
            break;
        case 'a':
            the_run.memory = (uint32_t)number_of(optarg);
            break;
        case 'w':
            if (index_of(optarg, withouts, COUNT(withouts)) == 0)
                the_run.without_grow_ahead = true;
            else
                the_run.without_append_mode = true;
            break;
        case 'v':
            the_run.verbose = true;
            break;
        default:
            refuse("usage", "");
        }
    }
    if (optind != argc - 1)
        refuse("one engine is needed", optind < argc ? argv[optind] : "");
    the_run.engine_text = argv[optind];
    the_run.engine = engine_of_name(argv[optind]);
    if (the_run.engine == AIO_ENGINE_AUTO)
        refuse("unknown engine", argv[optind]);
}

/* --- the place ------------------------------------------------------------------------------ */

static bool scratch_make(void)
{
    const char *const places[] = {the_run.directory, getenv("TMPDIR"), "/var/tmp", "."};

    for (size_t index = 0; index < COUNT(places); index++) {
        if (places[index] == NULL)
            continue;
        snprintf(the_run.scratch, sizeof(the_run.scratch), "%s/aiofile-differential-XXXXXX",
                 places[index]);
        if (mkdtemp(the_run.scratch) != NULL)
            return true;
        if (places[index] == the_run.directory)
            break;
    }
    the_run.scratch[0] = '\0';
    return false;
}

/* Looks what direct I/O is here, and says so. */
static int look_around(struct facts *facts)
{
    char path[sizeof(the_run.scratch) + 16];
    int error;

    scratch_remove_on_signals();
    if (the_run.device == NULL) {
        if (!scratch_make()) {
            puts("no directory for files");
            return EXIT_FAILURE;
        }
        snprintf(path, sizeof(path), "%s/" SUBJECT, the_run.scratch);
    }
    error = facts_find(facts, the_run.device != NULL ? the_run.device : path);
    if (error != 0) {
        printf("can't open files there: %s\n", strerrorname_np(-error));
        return EXIT_FAILURE;
    }
    printf("place: direct %s, alignments: required %u, preferred %u, of memory %u\n",
           granted_name(facts->granted), facts->required, facts->preferred, facts->memory);
    fflush(stdout);
    if (facts->granted == AIO_DIRECT_REFUSED && the_run.direct >= 0 &&
        the_run.direct <= AIO_DIRECT_STRICT) {
        puts("direct I/O is refused here");
        return SKIPPED;
    }
    return EXIT_SUCCESS;
}

static int run_modes(const struct facts *facts)
{
    const char *wanted = the_run.mode;
    uint64_t operations = the_run.operations;
    unsigned count = 0;
    unsigned done = 0;

    for (size_t mode = 0; mode < COUNT(modes); mode++)
        count += the_run.device == NULL || modes[mode].on_devices;
    for (size_t mode = 0; mode < COUNT(modes); mode++) {
        bool all = strcmp(wanted, "all") == 0;

        if (!all && strcmp(wanted, modes[mode].name) != 0)
            continue;
        done++;
        if (the_run.device != NULL && !modes[mode].on_devices) {
            if (!all)
                printf("%s: a device does not grow\n", modes[mode].name);
            continue;
        }
        if (operations == 0)
            run_mode(facts, mode, 5000 * test_scale());
        else
            run_mode(facts, mode, all ? operations / count + 1 : operations);
    }
    if (done == 0)
        refuse("unknown mode", wanted);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct facts facts = {0};
    char reason[512];
    int result;

    parse(argc, argv);
    printf("seed %llu\n", (unsigned long long)the_run.seed);
    if (aio_engine_probe(the_run.engine, reason, sizeof(reason)) != 0) {
        printf("The engine %s does not work here: %s\n", the_run.engine_text, reason);
        return SKIPPED;
    }
    result = look_around(&facts);
    if (result == EXIT_SUCCESS) {
        watch_begin();
        result = run_modes(&facts);
        watch_end();
    }
    scratch_remove();
    return result;
}
