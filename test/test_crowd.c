/* SPDX-License-Identifier: MIT */
/*
 * test_crowd.c - many threads, each with one way of using the library, on one queue that may be far
 * too small for them, on a bad engine, on queues of their own, and while files and queues come and
 * go; for some seconds (AIOFILE_TEST_SCALE times as long).
 *
 * Each operation has a record that counts its completions: there must be one, by the way that the
 * operation was submitted for. Each block of the file has one owner who writes it and knows what it
 * must hold; everybody may read it, and finds in each sector which block and whose it is.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

#define WORKERS 8u
#define BLOCKS_EACH 32u
#define DATA_BYTES ((uint64_t)WORKERS * BLOCKS_EACH * PAGE)
#define SECTOR 512u
#define BATCH_MAX 8u
#define MAGIC UINT64_C(0x616b74616d6b6f76)

/* --- stamps --------------------------------------------------------------------------------- */

struct stamp {
    uint64_t magic;
    uint64_t block;
    uint64_t sector;
    uint64_t version;
};

static void stamp_block(unsigned char *memory, uint64_t block, uint64_t version)
{
    memset(memory, (int)(block ^ version) & 0xff, PAGE);
    for (uint64_t sector = 0; sector < PAGE / SECTOR; sector++) {
        struct stamp stamp = {MAGIC, block, sector, version};

        memcpy(memory + sector * SECTOR, &stamp, sizeof(stamp));
    }
}

/* What only the owner knows: the version, in each sector. */
static void check_own(const unsigned char *memory, uint64_t block, uint64_t version)
{
    unsigned char expected[PAGE];

    stamp_block(expected, block, version);
    if (memcmp(memory, expected, PAGE) != 0) {
        struct stamp found;

        memcpy(&found, memory, sizeof(found));
        ck_abort_msg("block %llu version %llu holds block %llu version %llu",
                     (unsigned long long)block, (unsigned long long)version,
                     (unsigned long long)found.block, (unsigned long long)found.version);
    }
}

/* What everybody can see: that it is the block, whatever its version. */
static void check_foreign(const unsigned char *memory, uint64_t block)
{
    for (uint64_t sector = 0; sector < PAGE / SECTOR; sector++) {
        struct stamp stamp;

        memcpy(&stamp, memory + sector * SECTOR, sizeof(stamp));
        REQUIRE(stamp.magic == MAGIC && stamp.block == block && stamp.sector == sector);
    }
}

/* --- the world ------------------------------------------------------------------------------ */

struct world {
    const char *path;
    struct aio_file *file; /* of blocks, and of anything behind them */
    struct aio_file *log;  /* that is appended to and cut */
    struct aio_queue *queue;
    int64_t end_ns;
    /* Done through the queue, as its statistics must say in the end. */
    atomic_uint_fast64_t submitted;
    atomic_uint_fast64_t callbacks;
    atomic_uint_fast64_t bytes_read;
    atomic_uint_fast64_t bytes_written;
};

struct worker;

/* An operation. */
struct record {
    struct aio_op op;
    struct worker *worker;
    aio_request_id id; /* as submit gave it */
    uint64_t block;
    bool writes;
    struct aio_completion completion; /* written by whoever takes it, before completions counts */
    atomic_uint completions;
    unsigned links_left; /* of a chain of callbacks */
};

/* A thread. Its memory and versions are touched by others only where they run its callbacks. */
struct worker {
    pthread_t thread;
    struct world *world;
    struct aio_queue *queue;
    unsigned number;
    uint64_t random;
    uint64_t rounds;
    uint64_t versions[BLOCKS_EACH];
    struct record records[BATCH_MAX];
    unsigned char *memory; /* a block for each record, and two more */
    atomic_uint chains_running;
};

static bool time_is_left(const struct world *world)
{
    return clock_ns() < world->end_ns;
}

static uint64_t choose(struct worker *worker, uint64_t below)
{
    return random_next(&worker->random) % below;
}

static uint64_t own_block(const struct worker *worker, uint64_t index)
{
    return worker->number * BLOCKS_EACH + index;
}

static uint64_t *version_of(struct worker *worker, uint64_t block)
{
    return &worker->versions[block - own_block(worker, 0)];
}

static unsigned char *record_memory(struct record *record)
{
    return record->worker->memory + (size_t)(record - record->worker->records) * PAGE;
}

static unsigned char *spare_memory(struct worker *worker)
{
    return worker->memory + BATCH_MAX * PAGE;
}

static int64_t offset_of(uint64_t block)
{
    return (int64_t)(block * PAGE);
}

/* --- one operation -------------------------------------------------------------------------- */

/* Makes a read or a write of an own block that no other record has. */
static void record_prepare(struct record *record, uint64_t block)
{
    struct worker *worker = record->worker;
    unsigned char *memory = record_memory(record);

    record->block = block;
    record->writes = choose(worker, 2) == 0;
    record->id = 0;
    atomic_store(&record->completions, 0);
    if (record->writes) {
        stamp_block(memory, block, ++*version_of(worker, block));
        record->op = op_write(worker->world->file, memory, PAGE, offset_of(block));
    } else {
        memset(memory, 0xee, PAGE);
        record->op = op_read(worker->world->file, memory, PAGE, offset_of(block));
    }
    record->op.context = record;
}

/* Whoever gets a completion notes it. */
static void record_complete(struct record *record, const struct aio_completion *completion)
{
    REQUIRE_EQ(atomic_load(&record->completions), 0);
    record->completion = *completion;
    REQUIRE_EQ(atomic_fetch_add(&record->completions, 1), 0);
}

/* The owner looks at what came of it. */
static void record_check(struct record *record)
{
    struct worker *worker = record->worker;

    REQUIRE_EQ(atomic_load(&record->completions), 1);
    REQUIRE_EQ(record->completion.result, PAGE);
    REQUIRE_EQ(record->completion.error, 0);
    REQUIRE_EQ(record->completion.offset, offset_of(record->block));
    REQUIRE(record->completion.context == record);
    check_own(record_memory(record), record->block, *version_of(worker, record->block));
    if (worker->queue == worker->world->queue)
        atomic_fetch_add(
            record->writes ? &worker->world->bytes_written : &worker->world->bytes_read, PAGE);
}

/* Prepares some records, of blocks that differ. */
static unsigned prepare_batch(struct worker *worker, unsigned flags)
{
    unsigned count = 1 + (unsigned)choose(worker, BATCH_MAX);
    uint64_t first = choose(worker, BLOCKS_EACH);

    for (unsigned index = 0; index < count; index++) {
        record_prepare(&worker->records[index],
                       own_block(worker, (first + index * 3) % BLOCKS_EACH));
        worker->records[index].op.flags = flags;
    }
    return count;
}

/* Submits records, from the first on. Returns how many were taken; 0 where the queue is full of
 * operations, or of results that somebody must take first. keeps_ids: nobody else writes them. */
static unsigned try_submit(struct worker *worker, struct record *first, unsigned count,
                           bool keeps_ids)
{
    struct aio_op ops[BATCH_MAX];
    aio_request_id ids[BATCH_MAX];
    int result;

    for (unsigned index = 0; index < count; index++)
        ops[index] = first[index].op;
    result = (int)CALL(aio_queue_submit(worker->queue, ops, count, ids));
    if (result == -EBUSY || result == -EAGAIN)
        return 0;
    REQUIRE(result >= 1 && (unsigned)result <= count);
    for (int index = 0; index < result; index++) {
        REQUIRE(ids[index] != 0);
        if (keeps_ids)
            first[index].id = ids[index];
    }
    if (worker->queue == worker->world->queue)
        atomic_fetch_add(&worker->world->submitted, (unsigned)result);
    return (unsigned)result;
}

/* --- ways of getting results ---------------------------------------------------------------- */

/* Waits for one, with less patience at first. */
static void wait_for(struct worker *worker, struct record *record)
{
    struct timespec patience = milliseconds((unsigned)choose(worker, 2));
    struct aio_completion completion;
    int result = -ETIMEDOUT;

    if (choose(worker, 4) == 0)
        result =
            (int)CALL(aio_queue_wait_result(worker->queue, record->id, &patience, &completion));
    if (result == -ETIMEDOUT)
        result = (int)CALL(aio_queue_wait_result(worker->queue, record->id, NULL, &completion));
    REQUIRE_EQ(result, 0);
    REQUIRE_EQ(completion.id, record->id);
    record_complete(record, &completion);
    EXPECT(aio_queue_wait(worker->queue, record->id, NULL), -ESTALE);
}

/* Waits for its operations by id. Where the queue is full, it takes what it has before it goes on:
 * who waits for slots with results in his hands keeps everybody waiting. */
static void wait_round(struct worker *worker)
{
    unsigned count = prepare_batch(worker, AIO_OP_WAITED);
    unsigned submitted = 0;
    unsigned taken = 0;

    while (taken < count) {
        unsigned now = 0;

        if (submitted < count)
            now = try_submit(worker, &worker->records[submitted], count - submitted, true);
        submitted += now;
        if (now == 0 && taken == submitted)
            sleep_us(50);
        else if (now == 0 || submitted == count)
            wait_for(worker, &worker->records[taken++]);
    }
    for (unsigned index = 0; index < count; index++)
        record_check(&worker->records[index]);
}

/* Takes what there is, whoever's it is. */
static void reap_some(struct worker *worker)
{
    struct aio_completion completions[BATCH_MAX];
    struct timespec patience = milliseconds((unsigned)choose(worker, 3));
    unsigned max = 1 + (unsigned)choose(worker, BATCH_MAX);
    unsigned min = (unsigned)choose(worker, max + 1);
    bool patient = choose(worker, 2) == 0;
    int count =
        (int)CALL(aio_queue_reap(worker->queue, completions, min, max, patient ? NULL : &patience));

    REQUIRE(count >= 0 && (unsigned)count <= max);
    for (int index = 0; index < count; index++) {
        REQUIRE(completions[index].id != 0 && completions[index].flags == 0);
        record_complete(completions[index].context, &completions[index]);
    }
}

/* Reaps until its own operations are done; others' come with them. */
static void reap_round(struct worker *worker)
{
    unsigned count = prepare_batch(worker, 0);
    unsigned submitted = 0;

    while (submitted < count) {
        unsigned now = try_submit(worker, &worker->records[submitted], count - submitted, true);

        submitted += now;
        if (now == 0)
            reap_some(worker);
    }
    for (unsigned index = 0; index < count; index++) {
        while (atomic_load(&worker->records[index].completions) == 0)
            reap_some(worker);
        REQUIRE_EQ(worker->records[index].completion.id, worker->records[index].id);
        record_check(&worker->records[index]);
    }
}

/* --- callbacks ------------------------------------------------------------------------------ */

static void count_callback(const struct aio_completion *completion)
{
    struct world *world = completion->context;

    REQUIRE_EQ(completion->result, 0);
    atomic_fetch_add(&world->callbacks, 1);
}

/* What may not be called, and what may. */
static void try_calls(struct worker *worker, const struct aio_completion *completion)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_completion none;

    EXPECT(aio_queue_drain(worker->queue, NULL), -EDEADLK);
    EXPECT(aio_queue_wait(worker->queue, completion->id, NULL), -EDEADLK);
    EXPECT(aio_queue_reap(worker->queue, &none, 0, 1, NULL), -EDEADLK);
    EXPECT(aio_file_sync(worker->world->file), -EDEADLK);
    EXPECT(aio_queue_stats(worker->queue, &stats), 0);
    EXPECT(aio_file_pread(worker->world->file, spare_memory(worker), PAGE,
                          offset_of(own_block(worker, 0))),
           PAGE);
    check_foreign(spare_memory(worker), own_block(worker, 0));
}

/* A link of a chain: looks at the last operation and submits the next one in its place. */
static void chain_callback(const struct aio_completion *completion)
{
    struct record *record = completion->context;
    struct worker *worker = record->worker;
    struct aio_op extra = op_nop();

    record_complete(record, completion);
    record_check(record);
    atomic_fetch_add(&worker->world->callbacks, 1);
    if (choose(worker, 16) == 0)
        try_calls(worker, completion);
    if (record->links_left-- == 0) {
        atomic_fetch_sub(&worker->chains_running, 1);
        return;
    }
    record_prepare(record, record->block);
    record->op.on_complete = chain_callback;
    /* The slot that was just freed is kept for this one. */
    EXPECT(aio_queue_submit(worker->queue, &record->op, 1, NULL), 1);
    atomic_fetch_add(&worker->world->submitted, 1);
    if (choose(worker, 4) == 0) {
        int result;

        extra.on_complete = count_callback;
        extra.context = worker->world;
        result = (int)CALL(aio_queue_submit(worker->queue, &extra, 1, NULL));
        REQUIRE(result == 1 || result == -EAGAIN || result == -EBUSY);
        atomic_fetch_add(&worker->world->submitted, result == 1);
    }
}

/* Chains of callbacks, whose end a drain or patience tells. All of them run on one thread, so that
 * the worker's random numbers are in one hand while it waits. */
static void chain_round(struct worker *worker)
{
    unsigned count = prepare_batch(worker, 0);
    bool drains = choose(worker, 2) == 0;
    unsigned submitted = 0;

    atomic_store(&worker->chains_running, count);
    for (unsigned index = 0; index < count; index++) {
        worker->records[index].op.on_complete = chain_callback;
        /* What a callback submits, a drain need not wait for. */
        worker->records[index].links_left = drains ? 0 : 7;
    }
    while (submitted < count) {
        unsigned now = try_submit(worker, &worker->records[submitted], count - submitted, false);

        submitted += now;
        if (now == 0)
            sleep_us(50);
    }
    if (drains) {
        EXPECT(aio_queue_drain(worker->queue, NULL), 0);
        REQUIRE_EQ(atomic_load(&worker->chains_running), 0);
    }
    EVENTUALLY(atomic_load(&worker->chains_running) == 0);
}

/* --- blocking calls ------------------------------------------------------------------------- */

static void block_round(struct worker *worker)
{
    struct aio_file *file = worker->world->file;
    unsigned char *memory = spare_memory(worker);
    uint64_t block = own_block(worker, choose(worker, BLOCKS_EACH - 1));
    struct iovec iov[] = {{memory, PAGE}, {memory + PAGE, PAGE}};
    uint64_t foreign = choose(worker, WORKERS * BLOCKS_EACH);

    stamp_block(memory, block, ++*version_of(worker, block));
    EXPECT(aio_file_pwrite(file, memory, PAGE, offset_of(block)), PAGE);
    stamp_block(memory, block, ++*version_of(worker, block));
    stamp_block(memory + PAGE, block + 1, ++*version_of(worker, block + 1));
    EXPECT(aio_file_pwritev(file, iov, 2, offset_of(block)), 2 * PAGE);
    memset(memory, 0xee, 2 * PAGE);
    EXPECT(aio_file_preadv(file, iov, 2, offset_of(block)), 2 * PAGE);
    check_own(memory, block, *version_of(worker, block));
    check_own(memory + PAGE, block + 1, *version_of(worker, block + 1));
    memset(memory, 0xee, PAGE);
    EXPECT(aio_file_pread(file, memory, PAGE, offset_of(foreign)), PAGE);
    check_foreign(memory, foreign);
}

/* --- the size, and what is durable ---------------------------------------------------------- */

static void append_callback(const struct aio_completion *completion)
{
    struct worker *worker = completion->context;

    REQUIRE_EQ(completion->result, PAGE);
    REQUIRE_EQ(completion->offset % PAGE, 0);
    atomic_fetch_add(&worker->world->callbacks, 1);
    atomic_fetch_add(&worker->world->bytes_written, PAGE);
    atomic_fetch_sub(&worker->chains_running, 1);
}

/* Appends to the log, blocking and submitted; cuts it; moves the end of the other file. */
static void size_round(struct worker *worker)
{
    struct world *world = worker->world;
    unsigned char *memory = spare_memory(worker);
    struct aio_op append = op_append(world->log, memory, PAGE);
    off_t where = -1;

    stamp_block(memory, 0, worker->rounds);
    EXPECT(aio_file_append(world->log, memory, PAGE, &where), PAGE);
    REQUIRE(where >= 0 && where % PAGE == 0);
    append.on_complete = append_callback;
    append.context = worker;
    atomic_store(&worker->chains_running, 3);
    for (int count = 0; count < 3;) {
        int result = (int)CALL(aio_queue_submit(worker->queue, &append, 1, NULL));

        /* Full of results that others must take. */
        REQUIRE(result == 1 || result == -EBUSY);
        atomic_fetch_add(&world->submitted, result == 1);
        count += result == 1;
    }
    if (choose(worker, 4) == 0)
        EXPECT(aio_file_truncate(world->log, offset_of(choose(worker, 8))), 0);
    EXPECT(aio_file_truncate(world->file, (off_t)(DATA_BYTES + choose(worker, 5 * PAGE))), 0);
    REQUIRE(aio_file_size(world->file) >= (off_t)DATA_BYTES);
    switch (choose(worker, 8)) {
    case 0:
        EXPECT(aio_file_sync(world->file), 0);
        break;
    case 1:
        EXPECT(aio_file_datasync(world->log), 0);
        break;
    default:
        break;
    }
    EVENTUALLY(atomic_load(&worker->chains_running) == 0);
}

/* --- looking on ----------------------------------------------------------------------------- */

static void look_round(struct worker *worker)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_file_info info = {.size = sizeof(info)};
    struct aio_request_info infos[64];
    unsigned depth = aio_queue_depth(worker->queue);
    int count = (int)CALL(aio_queue_inflight(worker->queue, infos, COUNT(infos)));

    REQUIRE(count >= 0 && (unsigned)count <= depth);
    for (int index = 0; index < count && index < (int)COUNT(infos); index++) {
        REQUIRE(infos[index].id != 0 && infos[index].size == sizeof(infos[index]));
        REQUIRE(infos[index].state >= AIO_REQUEST_WAITING);
        REQUIRE(infos[index].state <= AIO_REQUEST_DONE);
        REQUIRE(infos[index].done <= infos[index].len && infos[index].len <= PAGE);
        REQUIRE(infos[index].age_ns < LONG_MS * UINT64_C(1000000));
    }
    EXPECT(aio_queue_stats(worker->queue, &stats), 0);
    REQUIRE(stats.inflight <= stats.held && stats.held <= depth && stats.depth == depth);
    REQUIRE(stats.inflight_high_water <= depth);
    REQUIRE(stats.completed <= stats.submitted);
    REQUIRE_EQ(stats.failed, 0);
    EXPECT(aio_file_info(worker->world->file, &info), 0);
    REQUIRE_EQ(info.sync_error, 0);
    sleep_us(500);
}

/* --- many threads on one queue -------------------------------------------------------------- */

typedef void (*round_fn)(struct worker *worker);

static const round_fn jobs[WORKERS] = {wait_round,  wait_round,  reap_round, reap_round,
                                       chain_round, block_round, size_round, look_round};

static void *work(void *argument)
{
    struct worker *worker = argument;

    while (time_is_left(worker->world)) {
        jobs[worker->number](worker);
        worker->rounds++;
    }
    return NULL;
}

/* Stamps every block with version 0. */
static void world_begin(struct world *world, int64_t milliseconds_each)
{
    unsigned char *memory = page_alloc(DATA_BYTES);

    world->path = scratch_path("blocks");
    world->file = open_direct("blocks");
    world->log = open_direct("log");
    for (uint64_t block = 0; block < WORKERS * BLOCKS_EACH; block++)
        stamp_block(memory + block * PAGE, block, 0);
    EXPECT(aio_file_pwrite(world->file, memory, DATA_BYTES, 0), DATA_BYTES);
    free(memory);
    world->end_ns = clock_ns() + milliseconds_each * test_scale() * 1000000;
}

static void worker_begin(struct worker *worker, struct world *world, unsigned number,
                         struct aio_queue *queue)
{
    memset(worker, 0, sizeof(*worker));
    worker->world = world;
    worker->queue = queue;
    worker->number = number;
    worker->random = number + 1;
    worker->memory = page_alloc((BATCH_MAX + 6) * PAGE);
    for (unsigned index = 0; index < BATCH_MAX; index++)
        worker->records[index].worker = worker;
}

/* What each owner has written last is there. */
static void world_check(struct world *world, struct worker *workers)
{
    unsigned char *memory = page_alloc(DATA_BYTES);

    EXPECT(aio_file_pread(world->file, memory, DATA_BYTES, 0), DATA_BYTES);
    for (unsigned number = 0; number < WORKERS; number++)
        for (uint64_t index = 0; index < BLOCKS_EACH; index++) {
            uint64_t block = own_block(&workers[number], index);

            check_own(memory + block * PAGE, block, workers[number].versions[index]);
        }
    free(memory);
}

/* The log holds whole blocks, each of one append. */
static void log_check(struct world *world)
{
    off_t size = aio_file_size(world->log);
    unsigned char *memory = page_alloc(PAGE);

    REQUIRE_EQ(size % PAGE, 0);
    for (off_t offset = 0; offset < size; offset += PAGE) {
        EXPECT(aio_file_pread(world->log, memory, PAGE, offset), PAGE);
        if (memory[0] != 0)
            check_foreign(memory, 0);
        else
            zeros_check(memory, PAGE);
    }
    free(memory);
}

static void stats_check(struct world *world)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    EXPECT(aio_queue_stats(world->queue, &stats), 0);
    REQUIRE(stats.held == 0 && stats.inflight == 0 && stats.failed == 0);
    REQUIRE_EQ(stats.submitted, atomic_load(&world->submitted));
    REQUIRE_EQ(stats.completed, stats.submitted);
    REQUIRE_EQ(stats.callbacks, atomic_load(&world->callbacks));
    REQUIRE_EQ(stats.bytes_read, atomic_load(&world->bytes_read));
    REQUIRE_EQ(stats.bytes_written, atomic_load(&world->bytes_written));
}

static void all_on_one_queue(struct world *world, int64_t milliseconds_each)
{
    static struct worker workers[WORKERS];

    world_begin(world, milliseconds_each);
    for (unsigned number = 0; number < WORKERS; number++)
        worker_begin(&workers[number], world, number, world->queue);
    for (unsigned number = 0; number < WORKERS; number++)
        thread_begin(&workers[number].thread, work, &workers[number]);
    for (unsigned number = 0; number < WORKERS; number++) {
        thread_end(workers[number].thread);
        ck_assert_msg(workers[number].rounds > 0, "worker %u has done nothing", number);
    }
    EXPECT(aio_queue_drain(world->queue, NULL), 0);
    stats_check(world);
    world_check(world, workers);
    log_check(world);
    close_queue(world->queue);
    close_file(world->file);
    close_file(world->log);
    for (unsigned number = 0; number < WORKERS; number++)
        free(workers[number].memory);
}

/* Deep enough for all, and so shallow that everybody waits for slots. */
START_TEST(everybody_on_one_queue)
{
    static const unsigned depths[] = {64, 12, 2};
    struct world world = {.queue = open_queue(depths[_i], 0)};

    all_on_one_queue(&world, 800);
}
END_TEST

/* The same on an engine that moves parts, takes few at a time and turns the order round. */
START_TEST(everybody_on_a_bad_engine)
{
    struct fault *fault = fault_create(test_engine, 16);
    struct world world = {.queue = fault_queue(fault, 0)};

    fault_shorten_by_chance(fault, 1, 3, SECTOR);
    fault_take(fault, 3);
    fault_reverse(fault, true);
    all_on_one_queue(&world, 800);
}
END_TEST

/* --- a queue for each thread ---------------------------------------------------------------- */

static void *work_alone(void *argument)
{
    static const round_fn rounds[] = {wait_round, reap_round, chain_round, block_round, look_round};
    struct worker *worker = argument;

    worker->queue =
        open_queue(2 + worker->number * 3, worker->number % 2 == 0 ? 0 : AIO_QUEUE_NONBLOCK);
    while (time_is_left(worker->world)) {
        /* A callback on a queue that is not the world's counts for nobody. */
        rounds[choose(worker, COUNT(rounds))](worker);
        worker->rounds++;
    }
    EXPECT(aio_queue_drain(worker->queue, NULL), 0);
    close_queue(worker->queue);
    return NULL;
}

START_TEST(a_queue_for_each)
{
    static struct worker workers[WORKERS];
    struct world world = {0};

    world_begin(&world, 800);
    for (unsigned number = 0; number < WORKERS; number++) {
        worker_begin(&workers[number], &world, number, NULL);
        thread_begin(&workers[number].thread, work_alone, &workers[number]);
    }
    for (unsigned number = 0; number < WORKERS; number++) {
        thread_end(workers[number].thread);
        ck_assert_msg(workers[number].rounds > 0, "worker %u has done nothing", number);
        free(workers[number].memory);
    }
    world_check(&world, workers);
    close_file(world.file);
    close_file(world.log);
}
END_TEST

/* --- short lives ---------------------------------------------------------------------------- */

/* Opens the file anew, leaves operations behind with results that nobody takes, and closes. */
static void live_and_die(struct worker *worker)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;
    struct aio_op op;
    unsigned char *memory = spare_memory(worker);
    unsigned count = (unsigned)choose(worker, 6);

    options.depth = 8;
    EXPECT(aio_file_open(worker->world->path, O_RDWR, 0, &options, &file), 0);
    op = op_read(file, memory, PAGE, offset_of(own_block(worker, 1)));
    for (unsigned index = 0; index < count; index++) {
        op.buf = memory + index * PAGE;
        submit_one(aio_file_queue(file), &op);
    }
    close_file(file);
    for (unsigned index = 0; index < count; index++)
        check_own(memory + index * PAGE, own_block(worker, 1), 0);
}

/* Makes a queue, leaves results in it, throws them away with it. */
static void queue_and_discard(struct worker *worker)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_op op =
        op_read(worker->world->file, spare_memory(worker), PAGE, offset_of(own_block(worker, 2)));

    for (unsigned index = 0; index < 3; index++) {
        op.buf = spare_memory(worker) + index * PAGE;
        submit_one(queue, &op);
    }
    EXPECT(aio_queue_drain(queue, NULL), 0);
    for (unsigned index = 0; index < 3; index++)
        check_own(spare_memory(worker) + index * PAGE, own_block(worker, 2), 0);
    EXPECT(aio_queue_destroy(queue, 0), -EBUSY);
    EXPECT(aio_queue_destroy(queue, AIO_QUEUE_DISCARD), 0);
}

/* What looks through every queue of the process, while they come and go. */
static void hasten_all(struct worker *worker)
{
    struct aio_file *file = worker->world->file;

    EXPECT(aio_file_truncate(file, (off_t)(DATA_BYTES + choose(worker, PAGE))), 0);
    EXPECT(aio_file_sync(file), 0);
}

static void *live_shortly(void *argument)
{
    static const round_fn rounds[] = {live_and_die, queue_and_discard, hasten_all};
    struct worker *worker = argument;

    while (time_is_left(worker->world)) {
        rounds[worker->number % COUNT(rounds)](worker);
        worker->rounds++;
    }
    return NULL;
}

START_TEST(files_and_queues_come_and_go)
{
    static struct worker workers[WORKERS];
    struct world world = {0};

    world_begin(&world, 800);
    for (unsigned number = 0; number < WORKERS; number++) {
        worker_begin(&workers[number], &world, number, NULL);
        thread_begin(&workers[number].thread, live_shortly, &workers[number]);
    }
    for (unsigned number = 0; number < WORKERS; number++) {
        thread_end(workers[number].thread);
        ck_assert_msg(workers[number].rounds > 0, "worker %u has done nothing", number);
        free(workers[number].memory);
    }
    close_file(world.file);
    close_file(world.log);
}
END_TEST

/* --- half way into submit ------------------------------------------------------------------- */

/* A log that holds the thread that speaks. */
struct held_log {
    atomic_bool reached;
    atomic_bool may_go;
};

static void hold_speaker(void *context, int level, const char *message)
{
    struct held_log *held = context;

    REQUIRE(level == AIO_LOG_ERROR && message != NULL);
    atomic_store(&held->reached, true);
    while (!atomic_load(&held->may_go))
        sleep_us(100);
}

struct half_way {
    struct aio_queue *queue;
    struct aio_op ops[3];
};

static void *submit_and_stop(void *argument)
{
    struct half_way *half_way = argument;

    /* The third one is not aligned, which is told while the first two have their slots. */
    EXPECT(aio_queue_submit(half_way->queue, half_way->ops, 3, NULL), 2);
    return NULL;
}

/* What a submit has not taken yet is not in flight for those who look. */
START_TEST(slots_of_a_submit_under_way_are_no_operations)
{
    struct aio_file_options options = file_options();
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct held_log held = {false, false};
    struct half_way half_way = {.queue = open_queue(8, 0)};
    struct aio_completion completions[8];
    unsigned char *memory = page_alloc(3 * PAGE);
    struct aio_file *file;
    pthread_t thread;

    make_file("blocks", PAGE, 1);
    options.unaligned = AIO_UNALIGNED_REJECT;
    options.log = hold_speaker;
    options.log_context = &held;
    EXPECT(aio_file_open(scratch_path("blocks"), O_RDWR, 0, &options, &file), 0);
    for (int index = 0; index < 3; index++)
        half_way.ops[index] =
            op_read(file, memory + (size_t)index * PAGE, index < 2 ? PAGE : 100, 0);
    thread_begin(&thread, submit_and_stop, &half_way);
    EVENTUALLY(atomic_load(&held.reached));
    EXPECT(aio_queue_inflight(half_way.queue, NULL, 0), 0);
    EXPECT(aio_queue_stats(half_way.queue, &stats), 0);
    atomic_store(&held.may_go, true);
    thread_end(thread);
    EXPECT(aio_queue_reap(half_way.queue, completions, 2, 8, NULL), 2);
    close_file(file);
    close_queue(half_way.queue);
    free(memory);
    REQUIRE_EQ(stats.submitted, 0);
    REQUIRE_EQ(stats.inflight_high_water, 0);
    REQUIRE_EQ(stats.inflight, 0);
}
END_TEST

static void end(void)
{
    unlink(scratch_path("blocks"));
    unlink(scratch_path("log"));
    leak_end();
}

static Suite *crowd_suite(void)
{
    Suite *suite = suite_create("crowd");
    TCase *tests_case = tcase_create("crowd");

    tcase_add_checked_fixture(tests_case, leak_begin, end);
    tcase_set_timeout(tests_case, 10 + 2 * (int)test_scale());
    tcase_add_loop_test(tests_case, everybody_on_one_queue, 0, 3);
    tcase_add_test(tests_case, everybody_on_a_bad_engine);
    tcase_add_test(tests_case, a_queue_for_each);
    tcase_add_test(tests_case, files_and_queues_come_and_go);
    tcase_add_test(tests_case, slots_of_a_submit_under_way_are_no_operations);
    suite_add_tcase(suite, tests_case);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, crowd_suite);
}
