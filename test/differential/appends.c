/* SPDX-License-Identifier: MIT */
/*
 * appends.c - threads that append to one file, with blocking calls and submitted, and read back
 * what they appended: in the end everything is there once, one behind the other, whole.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flight.h"
#include "judge.h"
#include "memory.h"
#include "modes.h"
#include "range.h"

#define THREADS_MAX 8
#define FLIGHTS 4 /* of a thread */
#define PIECES 60 /* appends of a thread in a round */
#define LONGEST (48 * KIB)

/* An append that is done. */
struct piece {
    uint64_t offset;
    uint64_t length;
    uint64_t pattern;
};

struct appends;

struct author {
    struct appends *appends;
    struct aio_file *file;
    uint64_t random;
    struct flight flights[FLIGHTS];
    struct piece flying[FLIGHTS];
    struct piece pieces[PIECES];
    unsigned count;
    unsigned begun;
    unsigned wanted;
    unsigned char *bytes;
    unsigned char *found;
    pthread_t thread;
};

struct appends {
    struct world *world;
    uint64_t random;
    struct author authors[THREADS_MAX];
    unsigned count;
    struct pair pair;
    struct aio_queue *queue;
    uint64_t unit; /* of all lengths in this round; 0: each its own */
    struct piece all[THREADS_MAX * PIECES];
};

/* --- a thread ------------------------------------------------------------------------------- */

static void land(struct author *author, unsigned number)
{
    struct flight *flight = &author->flights[number];
    struct piece *piece = &author->flying[number];

    flight_end(flight);
    agree("an append", flight->completion.result, (int64_t)piece->length);
    agree("the error of an append", flight->completion.error, 0);
    piece->offset = (uint64_t)flight->completion.offset;
    note("appended %llu bytes at %llu", (unsigned long long)piece->length,
         (unsigned long long)piece->offset);
    author->pieces[author->count++] = *piece;
}

static void append(struct author *author, unsigned number)
{
    struct flight *flight = &author->flights[number];
    struct piece *piece = &author->flying[number];
    uint64_t unit = author->appends->unit;
    struct aio_op op;

    if (unit == 0)
        unit = choose_unit(&author->random);
    piece->pattern = random_next(&author->random);
    piece->length = choose_length(&author->random, unit, LONGEST);
    if (piece->length == 0)
        piece->length = unit;
    op = flight_op(flight, &author->random, piece->length, unit, AIO_OP_APPEND, AIO_OP_APPENDV);
    op.file = author->file;
    pattern_fill(author->bytes, piece->length, 0, piece->pattern);
    memory_put(&flight->memory, author->bytes);
    author->begun++;
    if (one_in(&author->random, 2)) {
        note("appends %llu bytes", (unsigned long long)piece->length);
        flight_block(flight, &op);
        land(author, number);
    } else {
        note("submits an append of %llu bytes", (unsigned long long)piece->length);
        op.flags = one_in(&author->random, 40) ? AIO_OP_DSYNC : 0;
        flight_begin(flight, author->appends->queue, &op, one_in(&author->random, 2));
    }
}

/* What is done stays as it is, whatever comes behind it. */
static void read_back(struct author *author)
{
    const struct piece *piece;
    uint64_t skip;

    if (author->count == 0)
        return;
    piece = &author->pieces[below(&author->random, author->count)];
    skip = below(&author->random, piece->length);
    note("reads back at %llu", (unsigned long long)piece->offset);
    agree("aio_file_pread of an append",
          ASK(aio_file_pread(author->file, author->found, piece->length - skip,
                             (off_t)(piece->offset + skip))),
          (int64_t)(piece->length - skip));
    pattern_fill(author->bytes, piece->length, 0, piece->pattern);
    agree_bytes("an append", author->found, author->bytes + skip, piece->length - skip,
                piece->offset + skip);
}

static void *author_body(void *argument)
{
    struct author *author = argument;

    while (author->begun < author->wanted) {
        unsigned number = (unsigned)below(&author->random, FLIGHTS);
        uint64_t chance = below(&author->random, 100);

        step();
        if (author->flights[number].used)
            land(author, number);
        if (chance < 70) {
            append(author, number);
            continue;
        }
        author->begun++;
        if (chance < 99)
            read_back(author);
        else
            agree("aio_file_datasync", ASK(aio_file_datasync(author->file)), 0);
    }
    for (unsigned number = 0; number < FLIGHTS; number++)
        if (author->flights[number].used)
            land(author, number);
    return NULL;
}

/* --- a round -------------------------------------------------------------------------------- */

static int by_offset(const void *left, const void *right)
{
    const struct piece *first = left;
    const struct piece *second = right;

    return first->offset < second->offset ? -1 : first->offset > second->offset;
}

/* All pieces lie one behind the other; the twin gets them. */
static void judge_round(struct appends *appends)
{
    struct world *world = appends->world;
    uint64_t end = world_size(world);
    unsigned count = 0;

    world_changed(world, end, end + 1);
    for (unsigned index = 0; index < appends->count; index++) {
        const struct author *author = &appends->authors[index];

        memcpy(appends->all + count, author->pieces, author->count * sizeof(author->pieces[0]));
        count += author->count;
    }
    qsort(appends->all, count, sizeof(appends->all[0]), by_offset);
    for (unsigned index = 0; index < count; index++) {
        const struct piece *piece = &appends->all[index];
        unsigned char *bytes = appends->authors[0].bytes;

        agree("the place of an append", (int64_t)piece->offset, (int64_t)end);
        pattern_fill(bytes, piece->length, 0, piece->pattern);
        must(plain_pwrite(&world->mirror, bytes, piece->length, (int64_t)end) ==
                 (int64_t)piece->length,
             "write");
        world_changed(world, end, end + piece->length);
        end += piece->length;
    }
    agree("aio_file_size", ASK(aio_file_size(appends->pair.file)), (int64_t)end);
    note("compare");
    if (one_in(&appends->random, 2))
        agree("aio_file_sync", ASK(aio_file_sync(appends->pair.file)), 0);
    world_compare(world, appends->pair.file, false);
}

/* The end is anywhere, or where it is good for all. */
static void choose_end(struct appends *appends)
{
    struct world *world = appends->world;
    uint64_t size = world_size(world);
    uint64_t length = below(&appends->random, 64 * KIB);

    appends->unit = one_in(&appends->random, 3) ? PAGE : 0;
    if (appends->unit != 0)
        length = length / PAGE * PAGE;
    else if (one_in(&appends->random, 3) && size < FILE_MAX / 4)
        length = size;
    agree("aio_file_truncate", ASK(aio_file_truncate(appends->pair.file, (off_t)length)), 0);
    must(plain_truncate(&world->mirror, (int64_t)length) == 0, "truncate");
    world_changed(world, 0, length > size ? length : size);
}

static void run_round(struct appends *appends, unsigned wanted)
{
    struct aio_file_options options = choose_options(appends->world, &appends->random, UINT32_MAX);

    pair_open(appends->world, &appends->pair,
              one_in(&appends->random, 4) && !the_run.without_append_mode ? O_RDWR | O_APPEND
                                                                          : O_RDWR,
              &options);
    choose_end(appends);
    for (unsigned index = 0; index < appends->count; index++) {
        struct author *author = &appends->authors[index];

        author->file = appends->pair.file;
        author->random = random_next(&appends->random);
        author->count = 0;
        author->begun = 0;
        author->wanted = wanted;
        thread_begin(&author->thread, author_body, author);
    }
    for (unsigned index = 0; index < appends->count; index++)
        thread_end(appends->authors[index].thread);
    judge_round(appends);
    pair_close(appends->world, &appends->pair);
}

/* --- the whole ------------------------------------------------------------------------------ */

static struct appends *appends_create(struct world *world, unsigned threads)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct appends *appends = calloc(1, sizeof(*appends));

    must(appends != NULL, "have memory");
    appends->world = world;
    appends->count = threads;
    options.engine = the_run.engine;
    options.depth = threads * FLIGHTS;
    agree("aio_queue_create", ASK(aio_queue_create(&options, &appends->queue)), 0);
    for (unsigned index = 0; index < threads; index++) {
        struct author *author = &appends->authors[index];

        author->appends = appends;
        author->bytes = page_alloc(LONGEST);
        author->found = page_alloc(LONGEST);
        for (unsigned number = 0; number < FLIGHTS; number++)
            flight_init(&author->flights[number]);
    }
    return appends;
}

void appends_run(struct world *world, uint64_t random, uint64_t operations, unsigned threads)
{
    struct appends *appends = appends_create(world, threads);

    appends->random = random;
    while (operations > 0) {
        uint64_t each = operations / threads + 1;

        each = each < PIECES ? each : PIECES;
        run_round(appends, (unsigned)each);
        operations -= each * threads < operations ? each * threads : operations;
    }
    agree("aio_queue_destroy", ASK(aio_queue_destroy(appends->queue, 0)), 0);
    for (unsigned index = 0; index < threads; index++) {
        free(appends->authors[index].bytes);
        free(appends->authors[index].found);
        for (unsigned number = 0; number < FLIGHTS; number++)
            flight_destroy(&appends->authors[index].flights[number]);
    }
    free(appends);
}
