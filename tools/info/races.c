/* SPDX-License-Identifier: MIT */
/*
 * races.c - two threads at one file, one with direct I/O and one through the page cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <aiofile/buffer.h>

#include "probe.h"

/* A small write through the page cache, and where on its page it is. */
#define SMALL_BYTES 24u
#define SMALL_PLACE 104u

/* How many units a stale page is looked for in. */
#define STALE_UNITS 16u

/*
 * A reader that goes through a file from its start gets it in ever larger pieces, ahead of where it
 * is: who reads these bytes makes the kernel fetch the piece that follows. So the piece comes while
 * a direct write of some MiB behind it is in flight.
 */
#define READ_BEGIN ((3 << 20) - (32 << 10))
#define READ_END ((4 << 20) - (64 << 10))
#define PIECE_BEGIN (4 << 20)
#define PIECE_MIDDLE (1 << 20)
#define LONG_BYTES (8u << 20)
#define LOOK_BYTES (128u << 10)

/* Purposes of values. */
enum {
    VALUE_BEFORE,
    VALUE_DIRECT,
    VALUE_SMALL,
};

/* In each round both do their part at one time. */
struct race {
    const struct ground *ground;
    struct pair pair;
    pthread_t thread;
    void (*part)(struct race *race); /* of the other thread */
    int64_t ends_ns;
    unsigned round;        /* of the first thread */
    atomic_uint begun;     /* the round that the other is to do; UINT32_MAX: none any more */
    atomic_uint done;      /* the last that it did */
    atomic_bool submitted; /* the first thread's write of this round is in flight, or over */
    atomic_bool finished;  /* it is over */

    /* The direct write and the small one, and memory of each thread: AREA_BYTES. */
    off_t direct_offset;
    size_t direct_bytes;
    off_t small_offset;
    size_t looked_at; /* bytes of the direct write */
    bool reads;       /* the other thread reads before its small write */
    ssize_t small_moved;
    char *mine;
    char *theirs;
    char *small;
};

/* --- the two threads ------------------------------------------------------------------------ */

static void wait_while(atomic_uint *number, unsigned value)
{
    while (atomic_load(number) == value)
        sched_yield(); /* there may be one processor only */
}

static void wait_for(atomic_bool *flag)
{
    while (!atomic_load(flag))
        sched_yield();
}

static void *race_body(void *argument)
{
    struct race *race = argument;
    unsigned round = 0;

    for (;;) {
        wait_while(&race->begun, round);
        round = atomic_load(&race->begun);
        if (round == UINT32_MAX)
            return NULL;
        race->part(race);
        atomic_store(&race->done, round);
    }
}

static void race_open(struct race *race, const struct ground *ground, void (*part)(struct race *))
{
    memset(race, 0, sizeof(*race));
    race->ground = ground;
    race->pair = pair_open(ground);
    race->part = part;
    race->mine = memory_make(ground, AREA_BYTES);
    race->theirs = memory_make(ground, AREA_BYTES);
    race->small = memory_make(ground, ground->unit);
    pair_write_area(ground, &race->pair);
    race->ends_ns = ground_deadline_ns(ground);
    errno = pthread_create(&race->thread, NULL, race_body, race);
    must(errno == 0, ground, "start a thread");
}

static void race_close(struct race *race)
{
    atomic_store(&race->begun, UINT32_MAX);
    pthread_join(race->thread, NULL);
    pair_close(&race->pair);
    aio_buffer_free(race->mine);
    aio_buffer_free(race->theirs);
    aio_buffer_free(race->small);
}

static bool race_goes_on(const struct race *race)
{
    return race->round < race->ground->rounds && now_ns() < race->ends_ns;
}

static void race_begin(struct race *race)
{
    atomic_store(&race->submitted, false);
    atomic_store(&race->finished, false);
    atomic_store(&race->begun, ++race->round);
}

/* The first thread's part is through; waits for the other's. */
static void race_end(struct race *race)
{
    atomic_store(&race->submitted, true);
    atomic_store(&race->finished, true);
    wait_while(&race->done, race->round - 1);
}

/* --- the direct write ----------------------------------------------------------------------- */

/* By io_submit(2). Returns what was moved or a negated errno. */
static ssize_t direct_write_submitted(struct race *race)
{
    const struct ground *ground = race->ground;
    struct iocb iocb;
    struct iocb *one = &iocb;
    struct io_event event;
    int count;

    io_prep_pwrite(&iocb, race->pair.direct, race->mine, race->direct_bytes, race->direct_offset);
    count = io_submit(ground->context, 1, &one);
    errno = -count;
    must(count == 1, ground, "io_submit");
    atomic_store(&race->submitted, true);
    do {
        count = io_getevents(ground->context, 1, 1, &event, NULL);
    } while (count == -EINTR);
    errno = -count;
    must(count == 1, ground, "io_getevents");
    return (ssize_t)event.res;
}

/* By pwrite(2): a thread of its own for each write would have it so. */
static ssize_t direct_write_blocking(struct race *race)
{
    ssize_t moved;

    atomic_store(&race->submitted, true);
    moved = pwrite(race->pair.direct, race->mine, race->direct_bytes, race->direct_offset);
    return moved >= 0 ? moved : -errno;
}

/* --- a page that stays stale ---------------------------------------------------------------- */

static void stale_reads(struct race *race)
{
    do {
        read_whole(race->ground, race->pair.cached, race->theirs, race->direct_bytes, 0);
    } while (!atomic_load(&race->finished));
}

/* All is quiet now: whether both ways show the same. */
static bool views_differ(struct race *race, off_t offset, size_t bytes)
{
    read_whole(race->ground, race->pair.direct, race->mine, bytes, offset);
    read_whole(race->ground, race->pair.cached, race->theirs, bytes, offset);
    return memcmp(race->mine, race->theirs, bytes) != 0;
}

struct stale probe_stale(const struct ground *ground)
{
    struct stale result = {0, 0};
    struct race race;

    race_open(&race, ground, stale_reads);
    race.direct_bytes = STALE_UNITS * ground->unit;
    while (race_goes_on(&race)) {
        ssize_t moved;

        fill(race.mine, value_of(VALUE_DIRECT, race.round), race.direct_bytes);
        race_begin(&race);
        moved = direct_write_submitted(&race);
        race_end(&race);
        errno = moved < 0 ? (int)-moved : EIO;
        must(moved == (ssize_t)race.direct_bytes, ground, "a direct write that is being read");
        result.stale += views_differ(&race, 0, race.direct_bytes);
    }
    result.rounds = race.round;
    race_close(&race);
    return result;
}

/* --- collisions ----------------------------------------------------------------------------- */

/* As a program reads that copies the file: the kernel reads ahead, and keeps what it read in pieces
 * of many pages each. */
static void read_on(const struct race *race, off_t from, off_t to)
{
    char page[4096];

    for (off_t offset = from; offset < to; offset += (off_t)sizeof(page))
        read_whole(race->ground, race->pair.cached, page, sizeof(page), offset);
}

static void small_write(struct race *race)
{
    /* With the direct write, and after it has begun: neither alone meets it everywhere. */
    if (race->reads || race->round % 2 == 0)
        wait_for(&race->submitted);
    if (race->reads)
        read_on(race, READ_BEGIN, READ_END);
    race->small_moved =
        pwrite(race->pair.cached, race->small, SMALL_BYTES, race->small_offset + SMALL_PLACE);
    if (race->small_moved < 0)
        race->small_moved = -errno;
}

/* Where the two writes are. The piece that begins at 4 MiB is one of 2 MiB, where the kernel reads
 * so far ahead. */
static void place_writes(struct race *race, enum distance distance)
{
    const off_t unit = (off_t)race->ground->unit;

    race->reads = distance >= DISTANCE_PAGE_READ;
    race->direct_bytes = race->reads ? LONG_BYTES : race->ground->unit;
    race->direct_offset = distance == DISTANCE_NONE ? 0 : unit;
    if (distance == DISTANCE_PAGE_READ)
        race->direct_offset = PIECE_BEGIN + PIECE_MIDDLE;
    if (distance == DISTANCE_STRIPE_READ)
        race->direct_offset = PIECE_BEGIN + STRIPE_BYTES;
    race->small_offset = distance == DISTANCE_NONE ? 0 : race->direct_offset - unit;
    /* What the disk has is compared only as far as the other write can have touched it. */
    race->looked_at = race->reads ? LOOK_BYTES : race->direct_bytes;
}

/* Makes both units as they are to be before, and nothing cached but what was read in advance. */
static void prepare_round(struct race *race)
{
    const struct ground *ground = race->ground;

    fill(race->mine, value_of(VALUE_BEFORE, race->round + 1), ground->unit);
    write_whole(ground, race->pair.direct, race->mine, ground->unit, race->small_offset);
    posix_fadvise(race->pair.cached, 0, 0, POSIX_FADV_DONTNEED);
    if (race->reads)
        read_on(race, 0, READ_BEGIN);
    fill(race->mine, value_of(VALUE_DIRECT, race->round + 1), race->direct_bytes);
    fill(race->small, value_of(VALUE_SMALL, race->round + 1), SMALL_BYTES);
}

/* Whether a unit is the small write on a background of one value; without the small write too
 * where it may have come first. Changes the unit. */
static bool unit_is(char *unit, size_t bytes, const char *small, uint64_t background,
                    bool may_be_without)
{
    bool there = memcmp(unit + SMALL_PLACE, small, SMALL_BYTES) == 0;

    if (there)
        fill(unit + SMALL_PLACE, background, SMALL_BYTES);
    return (there || may_be_without) && is_filled(unit, background, bytes);
}

/* Whether the disk has what both writes leave, in either order where they are on one page. */
static bool is_as_written(struct race *race)
{
    const size_t unit = race->ground->unit;
    const bool one_page = race->direct_offset == race->small_offset;
    const uint64_t direct = value_of(VALUE_DIRECT, race->round);
    const uint64_t before = value_of(VALUE_BEFORE, race->round);
    char *at = race->mine;

    if (!unit_is(at, unit, race->small, one_page ? direct : before, one_page))
        return false;
    return one_page || is_filled(at + unit, direct, race->looked_at);
}

static void judge_round(struct race *race, ssize_t moved, struct collision *result)
{
    const size_t bytes = (size_t)(race->direct_offset - race->small_offset) + race->direct_bytes;
    int error = fsync(race->pair.cached) == 0 ? 0 : -errno;
    bool failed = error != 0 || moved != (ssize_t)race->direct_bytes ||
                  race->small_moved != (ssize_t)SMALL_BYTES;
    bool unseen = views_differ(race, race->small_offset, bytes);
    bool lost = !is_as_written(race);

    if (moved < 0)
        error = (int)moved;
    if (race->small_moved < 0)
        error = (int)race->small_moved;
    result->rounds++;
    result->harmed += failed || unseen || lost;
    result->failed += failed;
    result->unseen += unseen;
    result->lost += lost;
    if (failed)
        result->error = error;
}

struct collision probe_collision(const struct ground *ground, enum distance distance)
{
    struct collision result = {0};
    struct race race;

    race_open(&race, ground, small_write);
    place_writes(&race, distance);
    while (race_goes_on(&race)) {
        ssize_t moved;

        prepare_round(&race);
        race_begin(&race);
        if (race.reads || race.round % 4 < 2)
            moved = direct_write_submitted(&race);
        else
            moved = direct_write_blocking(&race);
        race_end(&race);
        judge_round(&race, moved, &result);
    }
    race_close(&race);
    return result;
}
