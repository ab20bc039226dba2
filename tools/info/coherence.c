/* SPDX-License-Identifier: MIT */
/*
 * coherence.c - whether direct I/O and the page cache of one file agree here, and what the library
 * can make of it. Nothing of the library is in the way: raw system calls, on files of their own.
 *
 * The library sends what is aligned past the page cache, and unaligned writes through it. Its gate
 * keeps two such writes apart that touch one stripe of a file at one time; nothing else. So these
 * must hold: writes in different stripes do not harm each other, taking turns shows each what the
 * other wrote, a page-cache read that races a direct write leaves no stale page behind, and a file
 * can be opened a second time. What happens without the gate is tried too, so that it can be seen
 * what it is for.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "info.h"
#include "probe.h"

#define ROUNDS_DEFAULT 2000u

/* From how many per cent of the time on a submit is said to block. */
#define BLOCKS_FROM 75

/* Names, joined by commas. */
struct list {
    char text[512];
    size_t length;
};

static void list_add(struct list *list, const char *name)
{
    int added = snprintf(list->text + list->length, sizeof(list->text) - list->length, "%s%s",
                         list->length > 0 ? ", " : "", name);

    list->length += (size_t)added;
    if (list->length >= sizeof(list->text))
        list->length = sizeof(list->text) - 1;
}

static void say(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const char *label, const char *format, ...)
{
    va_list list;

    printf("  %-29s ", label);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n");
    fflush(stdout);
}

/* --- a line for each probe ------------------------------------------------------------------ */

static void report_stale(const struct ground *ground, struct list *harm)
{
    struct stale stale = probe_stale(ground);

    if (stale.stale > 0)
        list_add(harm, "a read through the page cache that meets a direct write can leave a stale "
                       "page for ever");
    say("reads meet direct writes", "%u of %u rounds left a stale page in the page cache",
        stale.stale, stale.rounds);
}

static void say_collision(const char *label, const struct collision *collision)
{
    char failed[64] = "";

    if (collision->failed > 0)
        snprintf(failed, sizeof(failed), " (%s)", strerrorname_np(-collision->error));
    if (collision->harmed == 0)
        say(label, "none of %u rounds did harm", collision->rounds);
    else
        say(label,
            "%u of %u rounds did harm: %u reported an error%s, %u lost bytes, %u left a stale page",
            collision->harmed, collision->rounds, collision->failed, failed, collision->lost,
            collision->unseen);
}

/* Returns whether the gate has anything to do. */
static bool report_collisions(const struct ground *ground, struct list *harm)
{
    static const char *const labels[DISTANCES] = {
        [DISTANCE_NONE] = "writes on one page",
        [DISTANCE_PAGE] = "writes on adjacent pages",
        [DISTANCE_PAGE_READ] = "adjacent pages, a reader",
        [DISTANCE_STRIPE_READ] = "adjacent stripes, a reader",
    };
    struct collision collisions[DISTANCES];

    for (enum distance distance = 0; distance < DISTANCES; distance++) {
        collisions[distance] = probe_collision(ground, distance);
        say_collision(labels[distance], &collisions[distance]);
    }
    if (collisions[DISTANCE_PAGE].harmed > 0)
        list_add(harm, "writes on different pages harm each other");
    if (collisions[DISTANCE_STRIPE_READ].harmed > 0)
        list_add(harm, "writes in different stripes harm each other while somebody reads the file "
                       "through the page cache");
    return collisions[DISTANCE_NONE].harmed > 0 || collisions[DISTANCE_PAGE_READ].harmed > 0;
}

static void report_turns(const struct ground *ground, struct list *harm)
{
    struct turns turns = probe_turns(ground);

    if (turns.unseen_direct > 0 || turns.unseen_cached > 0)
        list_add(harm, "writes one way are not seen the other way");
    say("taking turns", "%u direct and %u page-cache writes of %u each were not seen the other way",
        turns.unseen_direct, turns.unseen_cached, turns.rounds);
}

static void say_reopening(const char *label, int error)
{
    if (error == 0)
        say(label, "works");
    else
        say(label, "no (%s)", strerrorname_np(-error));
}

static void report_reopening(const struct ground *ground, struct list *harm)
{
    struct reopening reopening = probe_reopening(ground);

    if (reopening.named != 0 || reopening.unnamed != 0)
        list_add(harm, "/proc/self/fd does not open a file again: is /proc mounted?");
    say_reopening("opening again without direct", reopening.named);
    if (!ground->device)
        say_reopening("the same of a removed file", reopening.unnamed);
}

/* Gathers the kinds of writes whose submit blocks. Returns whether all kinds are of that sort. */
static bool report_submits(const struct ground *ground, struct list *blocking)
{
    static const struct {
        const char *label;
        const char *name;
    } kinds[SUBMITS] = {
        [SUBMIT_OVERWRITE] = {"submit: overwrites", "overwrites"},
        [SUBMIT_APPEND] = {"submit: appends", "appends"},
        [SUBMIT_KEPT] = {"submit: allocated beyond end", "writes into space allocated beyond the "
                                                         "end"},
        [SUBMIT_ALLOCATED] = {"submit: allocated, in size", "writes into allocated space"},
        [SUBMIT_HOLE] = {"submit: a hole", "writes into a hole"},
    };
    const enum submit count = ground->device ? SUBMIT_OVERWRITE + 1 : SUBMITS;
    bool all = true;

    for (enum submit kind = 0; kind < count; kind++) {
        int percent = probe_submit(ground, kind);

        if (percent < 0) {
            say(kinds[kind].label, "not on this file system (%s)", strerrorname_np(-percent));
            continue;
        }
        say(kinds[kind].label, "%d %% of the time is in io_submit: %s", percent,
            percent >= BLOCKS_FROM ? "blocks" : "does not block");
        if (percent >= BLOCKS_FROM)
            list_add(blocking, kinds[kind].name);
        all = all && percent >= BLOCKS_FROM;
    }
    return all;
}

/* --- the verdict ---------------------------------------------------------------------------- */

static void say_direct_road(const struct facts *facts, const struct list *blocking, bool all)
{
    const char *means = facts->info.direct_granted == AIO_DIRECT_EMULATED
                            ? "emulated, a copy is made or may be"
                            : "granted";

    if (all)
        printf("direct road: %s; every submit blocks until the write is done\n", means);
    else if (blocking->length > 0)
        printf("direct road: %s; a submit blocks for %s\n", means, blocking->text);
    else
        printf("direct road: %s; no submit blocks\n", means);
}

static void say_page_cache_road(const struct list *harm, bool gate_matters, bool device)
{
    if (harm->length > 0)
        printf("page-cache road: not safe: %s (use AIO_UNALIGNED_REJECT)\n", harm->text);
    else
        printf("page-cache road: safe under the library's gate%s%s\n",
               gate_matters ? "" : "; no harm was seen without it",
               device ? "; taken on devices with AIO_UNALIGNED_PAGE_CACHE only" : "");
}

static int probe_all(const struct ground *ground, const struct facts *facts)
{
    struct list harm = {"", 0};
    struct list blocking = {"", 0};
    bool gate_matters;
    bool all_block;

    printf("%s: %s%s, direct I/O %s, %zu bytes at a time\n", ground->path,
           ground->device ? "block device" : "files on ", ground->device ? "" : facts->file_system,
           direct_name(facts->info.direct_granted), ground->unit);
    report_stale(ground, &harm);
    gate_matters = report_collisions(ground, &harm);
    report_turns(ground, &harm);
    report_reopening(ground, &harm);
    all_block = report_submits(ground, &blocking);
    say_direct_road(facts, &blocking, all_block);
    say_page_cache_road(&harm, gate_matters, ground->device);
    return EXIT_OK;
}

/* --- whether to begin ----------------------------------------------------------------------- */

static int refuse_kind(const char *path, const struct facts *facts, bool destroy)
{
    if (facts->device && !destroy) {
        complain(path,
                 "the first %u MiB of this device would be overwritten: add --destroy if "
                 "that is meant",
                 AREA_BYTES >> 20);
        return EXIT_USAGE;
    }
    if (!facts->device && !facts->directory) {
        complain(path, "this is a file: give the directory, files are made in it");
        return EXIT_USAGE;
    }
    if (facts->directory && destroy) {
        complain(path, "this is a directory, nothing in it is touched: --destroy is for devices");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

/* Keeps a device from being mounted meanwhile. Returns the descriptor, which the program's end
 * closes, or a negated errno. */
static int claim_device(const char *path)
{
    int fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (lseek(fd, 0, SEEK_END) >= (off_t)AREA_BYTES)
        return fd;
    close(fd);
    return -ENOSPC;
}

static size_t unit_of(const struct facts *facts)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return facts->info.direct_alignment > page ? facts->info.direct_alignment : page;
}

int coherence_run(const char *path, const struct coherence_options *options)
{
    struct ground ground = {.path = path, .rounds = options->rounds};
    struct facts facts;
    int error = facts_find(path, &facts);
    int status;

    if (error != 0)
        return complain_facts(path, &facts, error);
    status = refuse_kind(path, &facts, options->destroy);
    if (status != EXIT_OK)
        return status;
    if (facts.info.direct_granted == AIO_DIRECT_REFUSED) {
        printf("%s: files on %s\n", path, facts.file_system);
        printf("direct road: refused by the file system\n");
        printf("page-cache road: safe, as it is the only one\n");
        return EXIT_OK;
    }
    ground.device = facts.device;
    ground.unit = unit_of(&facts);
    ground.limited = options->rounds == 0;
    if (ground.limited)
        ground.rounds = ROUNDS_DEFAULT;
    error = facts.device ? claim_device(path) : 0;
    if (error < 0)
        return complain_error(path, error);
    error = io_setup(64, &ground.context);
    if (error != 0)
        return complain(path,
                        "the kernel gives no AIO context (%s): see fs.aio-nr and "
                        "fs.aio-max-nr of sysctl(8)",
                        strerrorname_np(-error));
    status = probe_all(&ground, &facts);
    io_destroy(ground.context);
    return status;
}
