/* SPDX-License-Identifier: MIT */
/*
 * overlap.c - threads that write and read the same bytes of a file, whose size stays, at the same
 * time. Which write of several comes last is not known, but what a byte may be is: what a write put
 * there of which no other one is sure to have come behind, before the read began.
 *
 * Each write has a pattern of its own, so that a byte tells whose it is and where it belongs. What
 * was done is kept with its begin and end on one clock, and judged when a round is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
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
#define SPAN (160 * KIB)
#define TRANSFER_MAX (64 * KIB)
#define EVENTS_MAX 60 /* of a thread in a round */

enum deed {
    NOTHING,
    WROTE,
    WROTE_ZEROS,
    HAS_READ,
};

/* Something done, and while it is done. */
struct event {
    enum deed deed;
    bool blocking;
    uint64_t offset;
    uint64_t length;
    uint64_t pattern;
    uint64_t begin;
    uint64_t end;
    uint8_t opcode;
    unsigned thread;
    unsigned char *bytes; /* that were read */
};

struct overlap;

struct hand {
    struct overlap *overlap;
    unsigned number;
    struct aio_file *file;
    uint64_t random;
    uint64_t hot;
    struct flight flights[FLIGHTS];
    struct event *flying[FLIGHTS];
    struct event events[EVENTS_MAX];
    unsigned count;
    unsigned wanted;
    unsigned char *bytes;
    pthread_t thread;
};

struct overlap {
    struct world *world;
    uint64_t random;
    struct hand hands[THREADS_MAX];
    unsigned count;
    struct pair pairs[2];
    unsigned handles;
    struct aio_queue *queue;
    uint64_t start; /* of the span, in the file */
    uint64_t end;
    struct event before; /* what all of it was when the round began */
    uint64_t *latest;    /* of each byte of a read: the last begin of those that ended before */
    bool *admissible;
    unsigned char *pattern;
};

/* --- judging -------------------------------------------------------------------------------- */

static bool meets(const struct event *left, const struct event *right)
{
    return left->offset < right->offset + right->length &&
           right->offset < left->offset + left->length;
}

/* What both have in common, in bytes of the file. */
static void common(const struct event *left, const struct event *right, uint64_t *low,
                   uint64_t *high)
{
    *low = left->offset > right->offset ? left->offset : right->offset;
    *high = left->offset + left->length < right->offset + right->length
                ? left->offset + left->length
                : right->offset + right->length;
}

/* Whether it may have anything to do with what was read. */
static bool counts(const struct event *write, const struct event *read)
{
    return (write->deed == WROTE || write->deed == WROTE_ZEROS) && write->begin < read->end &&
           meets(write, read);
}

static void mark_latest(struct overlap *overlap, const struct event *write,
                        const struct event *read)
{
    uint64_t low;
    uint64_t high;

    if (!counts(write, read) || write->end > read->begin)
        return;
    common(write, read, &low, &high);
    for (uint64_t at = low - read->offset; at < high - read->offset; at++)
        if (overlap->latest[at] < write->begin)
            overlap->latest[at] = write->begin;
}

static void mark_admissible(struct overlap *overlap, const struct event *write,
                            const struct event *read)
{
    const unsigned char *wrote = overlap->pattern;
    uint64_t low;
    uint64_t high;

    if (!counts(write, read))
        return;
    common(write, read, &low, &high);
    if (write == &overlap->before)
        wrote = write->bytes + (low - write->offset);
    else if (write->deed == WROTE_ZEROS)
        memset(overlap->pattern, 0, high - low);
    else
        pattern_fill(overlap->pattern, high - low, low, write->pattern);
    for (uint64_t at = low - read->offset; at < high - read->offset; at++)
        overlap->admissible[at] |= write->end >= overlap->latest[at] &&
                                   wrote[at - (low - read->offset)] == read->bytes[at];
}

static void each_write(struct overlap *overlap, const struct event *read,
                       void (*mark)(struct overlap *, const struct event *, const struct event *))
{
    mark(overlap, &overlap->before, read);
    for (unsigned index = 0; index < overlap->count; index++) {
        const struct hand *hand = &overlap->hands[index];

        for (unsigned number = 0; number < hand->count; number++)
            mark(overlap, &hand->events[number], read);
    }
}

static void tell_event(const char *what, const struct event *event)
{
    note("%s: thread %u, opcode %u, %s, %llu bytes at %llu, from tick %llu to %llu", what,
         event->thread, event->opcode, event->blocking ? "blocking" : "submitted",
         (unsigned long long)event->length, (unsigned long long)event->offset,
         (unsigned long long)event->begin, (unsigned long long)event->end);
}

/* Tells of a byte of whom it could be, and whose it is. */
static _Noreturn void tell_wrong(struct overlap *overlap, const struct event *read, uint64_t at)
{
    struct event byte = *read;

    byte.offset += at;
    byte.length = 1;
    tell_event("the read", read);
    for (unsigned index = 0; index < overlap->count; index++) {
        const struct hand *hand = &overlap->hands[index];

        for (unsigned number = 0; number < hand->count; number++) {
            const struct event *write = &hand->events[number];
            unsigned char wrote = 0;

            if (!counts(write, &byte))
                continue;
            if (write->deed == WROTE)
                pattern_fill(&wrote, 1, byte.offset, write->pattern);
            tell_event(write->end < overlap->latest[at] ? "overwritten"
                       : wrote == read->bytes[at]       ? "it was"
                                                        : "it could be",
                       write);
            if (write->end < overlap->latest[at] && wrote == read->bytes[at])
                note("  the byte is what this one wrote");
        }
    }
    disagree("a byte read at %llu is 0x%02x, which it cannot be (at the start of the round: "
             "0x%02x)",
             (unsigned long long)byte.offset, read->bytes[at],
             overlap->before.bytes[byte.offset - overlap->before.offset]);
}

static void judge_read(struct overlap *overlap, const struct event *read)
{
    memset(overlap->latest, 0, read->length * sizeof(overlap->latest[0]));
    memset(overlap->admissible, 0, read->length * sizeof(overlap->admissible[0]));
    each_write(overlap, read, mark_latest);
    each_write(overlap, read, mark_admissible);
    for (uint64_t at = 0; at < read->length; at++)
        if (!overlap->admissible[at])
            tell_wrong(overlap, read, at);
}

/* --- doing ---------------------------------------------------------------------------------- */

/* Takes the result of what is in flight. */
static void land(struct hand *hand, unsigned number)
{
    struct flight *flight = &hand->flights[number];
    struct event *event = hand->flying[number];

    flight_end(flight);
    event->begin = flight->begin;
    event->end = flight->end;
    if (event->deed == WROTE_ZEROS && flight->completion.result == -EOPNOTSUPP)
        event->deed = NOTHING;
    else
        agree("an operation", flight->completion.result,
              event->deed == WROTE || event->deed == HAS_READ ? (int64_t)event->length : 0);
    if (event->deed == HAS_READ) {
        event->bytes = malloc(event->length + 1);
        must(event->bytes != NULL, "have memory");
        memory_get(&flight->memory, "a read", event->bytes, event->length);
    }
    if (event->deed == WROTE) {
        pattern_fill(hand->bytes, event->length, event->offset, event->pattern);
        memory_check(&flight->memory, "a write", hand->bytes, event->length, event->offset);
    }
}

static unsigned choose_flight(struct hand *hand)
{
    unsigned number = (unsigned)below(&hand->random, FLIGHTS);

    if (hand->flights[number].used)
        land(hand, number);
    return number;
}

static struct range choose_place(struct hand *hand, bool writes)
{
    struct overlap *overlap = hand->overlap;
    struct range range;

    /* All near one place that moves: they are to meet. */
    if (one_in(&hand->random, 10))
        hand->hot = overlap->start + below(&hand->random, overlap->end - overlap->start);
    else if (one_in(&hand->random, 10))
        hand->hot = overlap->start + SPAN / 2;
    range = choose_within(
        &hand->random,
        hand->hot > overlap->start + 12 * KIB ? hand->hot - 12 * KIB : overlap->start,
        hand->hot + 12 * KIB < overlap->end ? hand->hot + 12 * KIB : overlap->end, TRANSFER_MAX);
    if (writes && overlap->world->device && !overlap->world->any_write) {
        range.offset = range.offset / PAGE * PAGE;
        range.length = (range.length + PAGE - 1) / PAGE * PAGE;
        if (range.offset + range.length > overlap->end)
            range.length = 0;
    }
    return range;
}

static struct aio_op choose_op(struct hand *hand, struct flight *flight, struct event *event)
{
    static const int modes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                                (int)AIO_ALLOCATE_WRITE_ZEROS};
    uint64_t chance = below(&hand->random, 100);
    bool reads = chance >= 50 && chance < 96;
    struct range range = choose_place(hand, !reads);
    struct aio_op op = {0};

    event->offset = range.offset;
    event->length = range.length;
    if (chance == 99 || (chance > 95 && (range.length == 0 || hand->overlap->world->device))) {
        event->deed = NOTHING;
        flight->memory.count = 0;
        op.opcode = AIO_OP_SYNC;
        op.flags = one_in(&hand->random, 2) ? AIO_OP_DRAIN : 0;
    } else if (chance > 95) {
        event->deed = WROTE_ZEROS;
        flight->memory.count = 0;
        op = (struct aio_op){.opcode = AIO_OP_ALLOCATE,
                             .len = range.length,
                             .mode = (uint32_t)ONE_OF(&hand->random, modes)};
    } else if (reads) {
        event->deed = HAS_READ;
        op = flight_op(flight, &hand->random, range.length, range.unit, AIO_OP_READ, AIO_OP_READV);
    } else {
        event->deed = WROTE;
        event->pattern = random_next(&hand->random);
        op =
            flight_op(flight, &hand->random, range.length, range.unit, AIO_OP_WRITE, AIO_OP_WRITEV);
        pattern_fill(hand->bytes, range.length, range.offset, event->pattern);
        memory_put(&flight->memory, hand->bytes);
        op.flags = one_in(&hand->random, 40) ? AIO_OP_DSYNC : 0;
    }
    op.offset = op.opcode == AIO_OP_SYNC ? 0 : (int64_t)range.offset;
    op.file = hand->file;
    event->opcode = op.opcode;
    return op;
}

static void hand_step(struct hand *hand)
{
    unsigned number = choose_flight(hand);
    struct flight *flight = &hand->flights[number];
    struct event *event = &hand->events[hand->count++];
    struct aio_op op;

    *event = (struct event){.thread = hand->number};
    op = choose_op(hand, flight, event);
    hand->flying[number] = event;
    event->blocking = one_in(&hand->random, 2);
    tell_event("begins", event);
    if (event->blocking) {
        op.flags &= ~(uint32_t)AIO_OP_DRAIN;
        flight_block(flight, &op);
        land(hand, number);
    } else {
        flight_begin(flight, hand->overlap->queue, &op, one_in(&hand->random, 2));
    }
}

static void *hand_body(void *argument)
{
    struct hand *hand = argument;

    while (hand->count < hand->wanted) {
        step();
        hand_step(hand);
    }
    for (unsigned number = 0; number < FLIGHTS; number++)
        if (hand->flights[number].used)
            land(hand, number);
    return NULL;
}

/* --- a round -------------------------------------------------------------------------------- */

static void open_handles(struct overlap *overlap)
{
    struct world *world = overlap->world;
    uint32_t limit = world->device && !world->any_write ? PAGE : UINT32_MAX;

    for (unsigned index = 0; index < overlap->handles; index++) {
        struct aio_file_options options = choose_options(world, &overlap->random, limit);

        if (index > 0 && the_run.direct < 0 && (!world->device || world->any_write) &&
            one_in(&overlap->random, 2))
            options.direct = overlap->pairs[0].options.direct == AIO_DIRECT_NEVER
                                 ? AIO_DIRECT_PREFERRED
                                 : AIO_DIRECT_NEVER;
        pair_open(world, &overlap->pairs[index], O_RDWR, &options);
    }
}

/* Where the round happens: around a border of mebibytes, at which things may be divided. A file
 * ends where the round does, which is anywhere. */
static void choose_span(struct overlap *overlap)
{
    struct world *world = overlap->world;
    uint64_t size = world_size(world);

    overlap->start = (1 + below(&overlap->random, 7)) * MIB - SPAN / 2;
    overlap->end = overlap->start + SPAN;
    if (world->device)
        return;
    if (one_in(&overlap->random, 4))
        overlap->start = 0;
    overlap->end = overlap->start + SPAN + below(&overlap->random, 3 * PAGE);
    agree("aio_file_truncate", ASK(aio_file_truncate(overlap->pairs[0].file, (off_t)overlap->end)),
          0);
    must(plain_truncate(&world->mirror, (int64_t)overlap->end) == 0, "truncate");
    world_changed(world, size < overlap->end ? size : overlap->end,
                  size < overlap->end ? overlap->end : size);
}

/* What is there in the end is judged as a read too, and is then what the twin has. */
static void judge_round(struct overlap *overlap)
{
    uint64_t length = overlap->end - overlap->start;
    struct world *world = overlap->world;
    struct event last = {.deed = HAS_READ,
                         .blocking = true,
                         .offset = overlap->start,
                         .length = length,
                         .begin = tick()};

    for (unsigned index = 0; index < overlap->count; index++) {
        struct hand *hand = &overlap->hands[index];

        for (unsigned number = 0; number < hand->count; number++)
            if (hand->events[number].deed == HAS_READ)
                judge_read(overlap, &hand->events[number]);
    }
    last.end = tick();
    last.bytes = page_alloc(length);
    agree("aio_file_pread of all",
          ASK(aio_file_pread(overlap->pairs[0].file, last.bytes, length, (off_t)overlap->start)),
          (int64_t)length);
    judge_read(overlap, &last);
    must(plain_pwrite(&world->mirror, last.bytes, length, (int64_t)overlap->start) ==
             (int64_t)length,
         "write");
    world_changed(world, overlap->start, overlap->end);
    free(last.bytes);
}

static void forget_round(struct overlap *overlap)
{
    for (unsigned index = 0; index < overlap->count; index++) {
        struct hand *hand = &overlap->hands[index];

        for (unsigned number = 0; number < hand->count; number++)
            free(hand->events[number].bytes);
        hand->count = 0;
    }
    free(overlap->before.bytes);
}

static void run_round(struct overlap *overlap, unsigned wanted)
{
    struct world *world = overlap->world;
    uint64_t length;

    open_handles(overlap);
    choose_span(overlap);
    length = overlap->end - overlap->start;
    overlap->before = (struct event){
        .deed = WROTE, .offset = overlap->start, .length = length, .bytes = page_alloc(length)};
    must(plain_pread(&world->mirror, overlap->before.bytes, length, (int64_t)overlap->start) ==
             (int64_t)length,
         "read");
    for (unsigned index = 0; index < overlap->count; index++) {
        struct hand *hand = &overlap->hands[index];

        hand->file = overlap->pairs[index % overlap->handles].file;
        hand->random = random_next(&overlap->random);
        hand->hot = overlap->start + below(&overlap->random, length);
        hand->wanted = wanted;
        thread_begin(&hand->thread, hand_body, hand);
    }
    for (unsigned index = 0; index < overlap->count; index++)
        thread_end(overlap->hands[index].thread);
    judge_round(overlap);
    if (one_in(&overlap->random, 2))
        agree("aio_file_sync", ASK(aio_file_sync(overlap->pairs[0].file)), 0);
    note("compare");
    world_compare(world, overlap->pairs[overlap->handles - 1].file, false);
    for (unsigned index = 0; index < overlap->handles; index++)
        pair_close(world, &overlap->pairs[index]);
    forget_round(overlap);
}

/* --- the whole ------------------------------------------------------------------------------ */

static struct overlap *overlap_create(struct world *world, unsigned threads, unsigned handles)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct overlap *overlap = calloc(1, sizeof(*overlap));

    must(overlap != NULL, "have memory");
    overlap->world = world;
    overlap->count = threads;
    overlap->handles = handles;
    overlap->latest = calloc(SPAN + 4 * PAGE, sizeof(overlap->latest[0]));
    overlap->admissible = calloc(SPAN + 4 * PAGE, sizeof(overlap->admissible[0]));
    overlap->pattern = page_alloc(SPAN + 4 * PAGE);
    must(overlap->latest != NULL && overlap->admissible != NULL, "have memory");
    options.engine = the_run.engine;
    options.depth = threads * FLIGHTS;
    agree("aio_queue_create", ASK(aio_queue_create(&options, &overlap->queue)), 0);
    for (unsigned index = 0; index < threads; index++) {
        struct hand *hand = &overlap->hands[index];

        hand->overlap = overlap;
        hand->number = index;
        hand->bytes = page_alloc(TRANSFER_MAX + PAGE);
        for (unsigned number = 0; number < FLIGHTS; number++)
            flight_init(&hand->flights[number]);
    }
    return overlap;
}

void overlap_run(struct world *world, uint64_t random, uint64_t operations, unsigned threads,
                 unsigned handles)
{
    struct overlap *overlap = overlap_create(world, threads, handles);

    overlap->random = random;
    while (operations > 0) {
        uint64_t each = operations / threads + 1;

        each = each < EVENTS_MAX ? each : EVENTS_MAX;
        run_round(overlap, (unsigned)each);
        operations -= each * threads < operations ? each * threads : operations;
    }
    agree("aio_queue_destroy", ASK(aio_queue_destroy(overlap->queue, 0)), 0);
    for (unsigned index = 0; index < threads; index++) {
        free(overlap->hands[index].bytes);
        for (unsigned number = 0; number < FLIGHTS; number++)
            flight_destroy(&overlap->hands[index].flights[number]);
    }
    free(overlap->latest);
    free(overlap->admissible);
    free(overlap->pattern);
    free(overlap);
}
