/* SPDX-License-Identifier: MIT */
/*
 * test_engine.c - what engine.h demands of an engine, asked of each that works here, and of the one
 * around them that errs on purpose, where it has no reason to.
 */
#include "engine_bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

/* --- the engines ---------------------------------------------------------------------------- */

static const struct {
    enum aio_engine id;
    bool faulty; /* inside the one that errs on purpose */
} subjects[] = {
    {AIO_ENGINE_SYNC, false},   {AIO_ENGINE_KAIO, false}, {AIO_ENGINE_THREADS, false},
    {AIO_ENGINE_URING, false},  {AIO_ENGINE_SYNC, true},  {AIO_ENGINE_KAIO, true},
    {AIO_ENGINE_THREADS, true}, {AIO_ENGINE_URING, true},
};

enum { SUBJECTS = COUNT(subjects) };

/* Those that work here: a test's _i is a place in this list. */
static unsigned char working[SUBJECTS];

static int subject_create(int place, const struct engine_config *config, struct engine **result)
{
    unsigned subject = working[place];
    int error;

    if (!subjects[subject].faulty)
        return engine_find(subjects[subject].id, &error)->create(config, result);
    *result = fault_engine(fault_create(subjects[subject].id, config->depth));
    return 0;
}

/* Fills the list and returns its length. What is not in it was not built, or has no place here. */
static int find_working(void)
{
    int count = 0;

    for (unsigned subject = 0; subject < SUBJECTS; subject++) {
        char reason[512];
        int error = aio_engine_probe(subjects[subject].id, reason, sizeof(reason));

        if (error == 0)
            working[count++] = (unsigned char)subject;
        else
            printf("%s%s is not tried (%s): %s\n", subjects[subject].faulty ? "faulty " : "",
                   engine_name(subjects[subject].id), strerrorname_np(-error), reason);
    }
    return count;
}

/* As many reads as some tests have in flight. */
enum { MANY = 128 };

static struct bench bench_open(int subject, uint32_t depth)
{
    struct engine_config config = {.depth = depth, .sqpoll_cpu = -1};
    struct engine *engine;

    EXPECT(subject_create(subject, &config, &engine), 0);
    REQUIRE_EQ(engine->depth, depth);
    return bench_around(engine);
}

/* Of the block that has the tag's number. */
static struct engine_io io_of(const struct bench *bench, uint8_t opcode, uint32_t tag)
{
    return bench_io(bench, opcode, tag, tag);
}

/* One transfer through submit and reap, which may refuse it too. */
static int64_t transfer_one(const struct bench *bench, struct engine_io *io)
{
    int64_t results[MANY];
    struct engine_io *pointer = io;
    int64_t result = CALL(bench->engine->ops->submit(bench->engine, &pointer, 1));

    if (result < 0)
        return result;
    REQUIRE_EQ(result, 1);
    bench_collect(bench, results, 1);
    return results[io->tag];
}

static int64_t execute(const struct bench *bench, const struct engine_io *io)
{
    return CALL(bench->engine->ops->execute(bench->engine, io));
}

/* --- the table ------------------------------------------------------------------------------ */

START_TEST(no_table_has_a_hole)
{
    struct bench bench = bench_open(_i, 1);
    struct engine_ops ops = *bench.engine->ops;

    EXPECT(engine_ops_check(&ops), 0);
    REQUIRE(strlen(ops.name) > 0);
#define HOLE(entry)                                                                                \
    do {                                                                                           \
        ops.entry = NULL;                                                                          \
        EXPECT(engine_ops_check(&ops), -EINVAL);                                                   \
        ops = *bench.engine->ops;                                                                  \
    } while (0)
    HOLE(name);
    HOLE(create);
    HOLE(destroy);
    HOLE(submit);
    HOLE(reap);
    HOLE(wake);
    HOLE(cancel);
    HOLE(know_file);
    HOLE(forget_file);
    HOLE(notify);
    HOLE(execute);
#undef HOLE
    bench_close(&bench);
}
END_TEST

START_TEST(engines_are_found_by_number)
{
    int error = 5;

    REQUIRE(engine_find(AIO_ENGINE_KAIO, &error) == &engine_kaio_ops && error == 0);
    REQUIRE(engine_find(AIO_ENGINE_SYNC, &error) == &engine_sync_ops && error == 0);
    REQUIRE(engine_find(AIO_ENGINE_THREADS, &error) == &engine_threads_ops && error == 0);
    REQUIRE(engine_find(AIO_ENGINE_AUTO, &error) == &engine_kaio_ops && error == 0);
    /* It depends on how this was built. */
    if (engine_find(AIO_ENGINE_URING, &error) != NULL)
        REQUIRE(engine_find(AIO_ENGINE_URING, &error)->id == AIO_ENGINE_URING && error == 0);
    else
        REQUIRE_EQ(error, -EOPNOTSUPP);
    REQUIRE(engine_find(AIO_ENGINE_SIM, &error) == NULL && error == -EOPNOTSUPP);
    REQUIRE(engine_find((enum aio_engine)6, &error) == NULL && error == -EINVAL);
    REQUIRE(engine_find((enum aio_engine) - 1, &error) == NULL && error == -EINVAL);
}
END_TEST

START_TEST(many_can_be_made_and_unmade)
{
    for (unsigned round = 0; round < 10; round++) {
        struct bench first = bench_open(_i, 1 + round * 7);
        struct bench second = bench_open(_i, 64);

        bench_close(&second);
        bench_close(&first);
    }
}
END_TEST

/* --- transfers ------------------------------------------------------------------------------ */

START_TEST(every_opcode_works_submitted_and_executed)
{
    struct bench bench = bench_open(_i, 4);
    unsigned char *page = bench.memory;
    struct iovec iov[2] = {{page + PAGE, PAGE}, {page, PAGE}};

    for (unsigned submitted = 0; submitted < 2; submitted++) {
        int64_t (*call)(const struct bench *, struct engine_io *) = transfer_one;
        struct engine_io io = io_of(&bench, AIO_OP_READ, 3);
        uint64_t seed = 2 + submitted;

#define DO(io) (submitted ? call(&bench, io) : execute(&bench, io))
        io.buf = page;
        REQUIRE_EQ(DO(&io), PAGE);
        pattern_check(page, PAGE, 3 * PAGE, submitted ? 2 : BENCH_SEED);
        pattern_fill(page, PAGE, 3 * PAGE, seed);
        io.opcode = AIO_OP_WRITE;
        REQUIRE_EQ(DO(&io), PAGE);
        disk_check_pattern(BENCH_FILE, 3 * PAGE, PAGE, seed);
        io = io_of(&bench, AIO_OP_READV, 2);
        io.iov = iov;
        io.len = 2;
        REQUIRE_EQ(DO(&io), 2 * PAGE);
        pattern_check(page + PAGE, PAGE, 2 * PAGE, submitted ? 2 : BENCH_SEED);
        pattern_check(page, PAGE, 3 * PAGE, seed);
        pattern_fill(page + PAGE, PAGE, 2 * PAGE, seed);
        io.opcode = AIO_OP_WRITEV;
        REQUIRE_EQ(DO(&io), 2 * PAGE);
        disk_check_pattern(BENCH_FILE, 2 * PAGE, 2 * PAGE, seed);
        io = (struct engine_io){.opcode = AIO_OP_SYNC, .fd = bench.fd};
        REQUIRE_EQ(DO(&io), 0);
        io.opcode = AIO_OP_DATASYNC;
        REQUIRE_EQ(DO(&io), 0);
        io.opcode = AIO_OP_NOP; /* never gets so far */
        REQUIRE(submitted || DO(&io) == -EINVAL);
#undef DO
    }
    bench_close(&bench);
}
END_TEST

START_TEST(results_are_the_kernels)
{
    struct bench bench = bench_open(_i, 4);
    int reading = open(scratch_path(BENCH_FILE), O_RDONLY | O_CLOEXEC);
    const struct {
        struct engine_io io;
        int64_t expected;
    } table[] = {
        {{.opcode = AIO_OP_READ, .fd = -1, .buf = bench.memory, .len = PAGE}, -EBADF},
        {{.opcode = AIO_OP_SYNC, .fd = -1}, -EBADF},
        {{.opcode = AIO_OP_WRITE, .fd = reading, .buf = bench.memory, .len = PAGE}, -EBADF},
        {{.opcode = AIO_OP_READ, .fd = bench.fd, .buf = bench.memory, .len = PAGE, .offset = -1},
         -EINVAL},
        {{.opcode = AIO_OP_READ, .fd = bench.fd, .buf = bench.memory, .len = 100}, -EINVAL},
        {{.opcode = AIO_OP_READ, .fd = bench.fd, .buf = NULL, .len = PAGE}, -EFAULT},
        {{.opcode = AIO_OP_READ, .fd = bench.fd, .len = 0}, 0},
        {{.opcode = AIO_OP_READ,
          .fd = bench.fd,
          .buf = bench.memory,
          .len = PAGE,
          .offset = BENCH_BLOCKS * PAGE},
         0},
        {{.opcode = AIO_OP_ALLOCATE, .fd = bench.fd}, -EINVAL},
        {{.opcode = AIO_OP_APPEND, .fd = bench.fd, .buf = bench.memory, .len = PAGE}, -EINVAL},
        {{.opcode = 200, .fd = bench.fd}, -EINVAL},
    };

    for (size_t index = 0; index < COUNT(table); index++) {
        struct engine_io io = table[index].io;
        int64_t submitted = transfer_one(&bench, &io);
        int64_t executed = execute(&bench, &io);

        ck_assert_msg(submitted == table[index].expected && executed == table[index].expected,
                      "line %zu: %lld, %lld", index, (long long)submitted, (long long)executed);
    }
    close(reading);
    bench_close(&bench);
}
END_TEST

START_TEST(flags_of_a_transfer_reach_the_kernel)
{
    struct bench bench = bench_open(_i, 4);
    struct iovec iov = {bench.memory, PAGE};
    static const uint8_t opcodes[] = {AIO_OP_READ, AIO_OP_WRITE, AIO_OP_READV, AIO_OP_WRITEV};

    /* One that no kernel knows, so that it must say so; and one that they all do. */
    for (size_t index = 0; index < COUNT(opcodes); index++) {
        struct engine_io io = io_of(&bench, opcodes[index], 0);

        if (index >= 2) {
            io.iov = &iov;
            io.len = 1;
        }
        io.rw_flags = 1 << 30;
        REQUIRE_EQ(transfer_one(&bench, &io), -EOPNOTSUPP);
        REQUIRE_EQ(execute(&bench, &io), -EOPNOTSUPP);
        io.rw_flags = RWF_DSYNC;
        REQUIRE_EQ(transfer_one(&bench, &io), PAGE);
        REQUIRE_EQ(execute(&bench, &io), PAGE);
    }
    bench_close(&bench);
}
END_TEST

START_TEST(execute_needs_no_context)
{
    const struct engine_io nop = {.opcode = AIO_OP_NOP};
    const struct engine_io sync = {.opcode = AIO_OP_SYNC, .fd = -1};

    for (enum aio_engine id = AIO_ENGINE_KAIO; id < AIO_ENGINE_SIM; id++) {
        int error;
        const struct engine_ops *ops = engine_find(id, &error);

        if (ops == NULL)
            continue;
        EXPECT(ops->execute(NULL, &nop), -EINVAL);
        EXPECT(ops->execute(NULL, &sync), -EBADF);
    }
}
END_TEST

/* --- batches -------------------------------------------------------------------------------- */

START_TEST(as_many_as_the_depth_run_at_once)
{
    static const uint32_t depths[] = {1, 2, 63, 64, 65, 128};

    for (size_t which = 0; which < COUNT(depths); which++) {
        struct bench bench = bench_open(_i, depths[which]);
        struct engine_io ios[MANY];
        int64_t results[MANY];

        for (unsigned round = 0; round < 3; round++) {
            memset(bench.memory, 0, depths[which] * PAGE);
            bench_read_first(&bench, ios, depths[which]);
            bench_submit(&bench, ios, depths[which]);
            bench_collect(&bench, results, depths[which]);
            for (uint32_t tag = 0; tag < depths[which]; tag++)
                REQUIRE_EQ(results[tag], PAGE);
            pattern_check(bench.memory, depths[which] * PAGE, 0, BENCH_SEED);
        }
        bench_close(&bench);
    }
}
END_TEST

START_TEST(a_bad_one_in_a_batch_is_its_own_affair)
{
    struct bench bench = bench_open(_i, 8);
    int64_t results[8];
    struct engine_io ios[8];
    struct engine_io *pointers[8];
    unsigned given = 0;
    unsigned running = 0;
    unsigned refused = 0;

    /* The third and the sixth have no file: refused at submit, or failed in an event. */
    bench_read_first(&bench, ios, 8);
    for (uint32_t tag = 0; tag < 8; tag++)
        pointers[tag] = &ios[tag];
    ios[2].fd = -1;
    ios[5].fd = 1 << 20;
    while (given < 8) {
        int64_t result = CALL(bench.engine->ops->submit(bench.engine, pointers + given, 8 - given));

        if (result < 0) {
            REQUIRE_EQ(result, -EBADF);
            REQUIRE(given == 2 || given == 5);
            refused++;
            given++;
            continue;
        }
        REQUIRE(result >= 1 && result <= 8 - given);
        given += (unsigned)result;
        running += (unsigned)result;
    }
    REQUIRE_EQ(running + refused, 8);
    REQUIRE(refused == 0 || refused == 2);
    bench_collect(&bench, results, running);
    for (uint32_t tag = 0; tag < 8; tag++)
        if (tag != 2 && tag != 5)
            REQUIRE_EQ(results[tag], PAGE);
        else if (refused == 0)
            REQUIRE_EQ(results[tag], -EBADF);
    bench_close(&bench);
}
END_TEST

START_TEST(a_recycled_tag_has_no_leftovers)
{
    struct bench bench = bench_open(_i, 1);
    struct iovec iov = {bench.memory, PAGE};
    struct engine_io ios[] = {
        io_of(&bench, AIO_OP_WRITE, 0),
        {.opcode = AIO_OP_SYNC, .fd = bench.fd},
        {.opcode = AIO_OP_READV, .fd = bench.fd, .iov = &iov, .len = 1, .offset = PAGE},
        {.opcode = AIO_OP_DATASYNC, .fd = bench.fd},
        {.opcode = AIO_OP_WRITE,
         .fd = bench.fd,
         .buf = bench.memory,
         .len = PAGE,
         .rw_flags = RWF_DSYNC},
        {.opcode = AIO_OP_SYNC, .fd = bench.fd},
    };

    for (size_t index = 0; index < COUNT(ios); index++)
        REQUIRE_EQ(transfer_one(&bench, &ios[index]), index % 2 == 0 ? (int)PAGE : 0);
    bench_close(&bench);
}
END_TEST

/* Each transfer has one event, whatever cancel says. What it says is what comes, but for io_uring,
 * whose word for a transfer that ends at that moment may be 0, too. */
START_TEST(cancel_says_what_becomes_of_a_transfer)
{
    struct bench bench = bench_open(_i, MANY);
    int64_t results[MANY];
    struct engine_io ios[MANY];
    int64_t said[MANY];

    REQUIRE(bench_cancel(&bench, 5) < 0);
    for (unsigned round = 0; round < 20; round++) {
        bench_read_first(&bench, ios, MANY);
        bench_submit(&bench, ios, MANY);
        for (uint32_t tag = 0; tag < MANY; tag++) {
            /* From both ends. */
            uint32_t other = tag % 2 == 0 ? tag : MANY - tag;

            said[other] = bench_cancel(&bench, other);
        }
        bench_collect(&bench, results, MANY);
        for (uint32_t tag = 0; tag < MANY; tag++) {
            REQUIRE(said[tag] == 0 || said[tag] == -EBUSY || said[tag] == -EALREADY);
            if (said[tag] != 0 || results[tag] < 0 || subjects[_i].id != AIO_ENGINE_URING)
                REQUIRE_EQ(results[tag], said[tag] == 0 ? -ECANCELED : (int)PAGE);
        }
        REQUIRE(bench_cancel(&bench, 5) < 0);
    }
    bench_close(&bench);
}
END_TEST

/* --- reap ----------------------------------------------------------------------------------- */

START_TEST(reap_keeps_to_min_max_and_time)
{
    struct bench bench = bench_open(_i, 16);
    struct engine_event events[16];
    struct engine_io ios[16];
    const struct timespec no_time = {0, 0};

    REQUIRE_EQ(bench_reap(&bench, events, 0, 16, NULL), 0);
    REQUIRE_EQ(bench_reap(&bench, events, 0, 0, NULL), 0);
    REQUIRE_EQ(bench_reap(&bench, events, 1, 16, &no_time), 0);
    bench_reap_in_vain(&bench, 1, 0);
    bench_read_first(&bench, ios, 16);
    bench_submit(&bench, ios, 16);
    memset(events, 0xee, sizeof(events));
    REQUIRE_EQ(bench_reap(&bench, events, 5, 5, NULL), 5);
    REQUIRE_EQ(events[5].tag, 0xeeeeeeee);
    if (bench_reap(&bench, events, 10, 16, NULL) < 11)
        REQUIRE_EQ(bench_reap(&bench, events, 1, 16, NULL), 1);
    /* Fewer than min, when the time is over. */
    bench_submit(&bench, ios, 1);
    bench_reap_in_vain(&bench, 2, 1);
    bench_close(&bench);
}
END_TEST

struct reaping {
    struct bench *bench;
    unsigned min;
    struct engine_event events[ENGINE_BATCH];
    int result;
    atomic_int thread_number;
    atomic_bool done;
};

static void *reaping_main(void *argument)
{
    struct reaping *reaping = argument;

    reaping->thread_number = thread_number();
    do {
        reaping->result =
            bench_reap(reaping->bench, reaping->events, reaping->min, ENGINE_BATCH, NULL);
    } while (reaping->result == -EINTR);
    reaping->done = true;
    return NULL;
}

static void wait_until_asleep(struct reaping *reaping)
{
    EVENTUALLY(reaping->thread_number != 0 &&
               (reaping->done || thread_state(reaping->thread_number) == 'S'));
    sleep_us(5000);
}

START_TEST(a_wake_ends_a_reap_whatever_it_waits_for)
{
    static const unsigned mins[] = {1, 2, 40, 64};

    for (size_t which = 0; which < COUNT(mins); which++)
        for (unsigned there = 0; there < mins[which]; there += mins[which] / 3 + 1) {
            struct bench bench = bench_open(_i, MANY);
            struct reaping reaping = {.bench = &bench, .min = mins[which]};
            struct engine_io ios[ENGINE_BATCH];
            int64_t results[MANY];
            pthread_t thread;

            bench_read_first(&bench, ios, there);
            bench_submit(&bench, ios, there);
            thread_begin(&thread, reaping_main, &reaping);
            wait_until_asleep(&reaping);
            REQUIRE(!reaping.done);
            EXPECT(bench.engine->ops->wake(bench.engine, mins[which]), 0);
            EVENTUALLY(reaping.done);
            thread_end(thread);
            REQUIRE(reaping.result >= 0 && (unsigned)reaping.result <= there);
            /* Whatever it left is there still, and the wake is no event. */
            bench_collect(&bench, results, there - (unsigned)reaping.result);
            bench_close(&bench);
        }
}
END_TEST

START_TEST(a_wake_before_the_reap_counts)
{
    static const unsigned mins[] = {1, 40};

    for (size_t which = 0; which < COUNT(mins); which++) {
        struct bench bench = bench_open(_i, 64);
        struct engine_event events[64];
        struct timespec patience = milliseconds(LONG_MS);
        int64_t start_ns = clock_ns();

        EXPECT(bench.engine->ops->wake(bench.engine, mins[which]), 0);
        REQUIRE_EQ(bench_reap(&bench, events, mins[which], 64, &patience), 0);
        REQUIRE(clock_ns() - start_ns < LONG_MS / 2 * INT64_C(1000000));
        bench_close(&bench);
    }
}
END_TEST

START_TEST(no_number_of_wakes_does_harm)
{
    struct bench bench = bench_open(_i, 16);
    struct engine_io ios[16];
    struct engine_event events[ENGINE_BATCH];
    int64_t results[16];
    const struct timespec no_time = {0, 0};

    for (unsigned round = 0; round < 20; round++) {
        bench_read_first(&bench, ios, 16);
        bench_submit(&bench, ios, 16);
        for (unsigned wake = 0; wake < 300; wake++) {
            int64_t result = CALL(bench.engine->ops->wake(bench.engine, 1 + wake % 16));

            REQUIRE(result == 0 || result == -EAGAIN);
        }
        bench_collect(&bench, results, 16);
        for (uint32_t tag = 0; tag < 16; tag++)
            REQUIRE_EQ(results[tag], PAGE);
    }
    /* When all of them have been looked at, a reap sleeps as ever. */
    for (unsigned round = 0; round < 1000; round++)
        REQUIRE_EQ(bench_reap(&bench, events, 1, 64, &no_time), 0);
    bench_reap_in_vain(&bench, 1, 0);
    bench_close(&bench);
}
END_TEST

static void on_signal(int number)
{
    (void)number;
}

START_TEST(a_signal_interrupts_or_does_not_but_loses_nothing)
{
    struct bench bench = bench_open(_i, 4);
    struct reaping reaping = {.bench = &bench, .min = 2};
    struct sigaction action = {.sa_handler = on_signal};
    struct engine_io ios[2];
    int64_t results[4];
    pthread_t thread;

    sigaction(SIGUSR1, &action, NULL);
    bench_read_first(&bench, ios, 2);
    bench_submit(&bench, ios, 1);
    thread_begin(&thread, reaping_main, &reaping);
    for (unsigned round = 0; round < 20; round++) {
        wait_until_asleep(&reaping);
        pthread_kill(thread, SIGUSR1);
    }
    /* With an event in hand it may come back short, but not with nothing. */
    sleep_us(5000);
    bench_submit(&bench, ios + 1, 1);
    thread_end(thread);
    REQUIRE(reaping.result == 1 || reaping.result == 2);
    if (reaping.result == 1)
        bench_collect(&bench, results, 1);
    bench_close(&bench);
}
END_TEST

/* --- together ------------------------------------------------------------------------------- */

enum { SUBMITTERS = 4, ROUNDS = 300 };

struct submitting {
    struct bench *bench;
    uint32_t first_tag;   /* of 8 */
    atomic_uint *pending; /* per submitter */
};

static void *submitting_main(void *argument)
{
    struct submitting *submitting = argument;
    struct engine_io ios[8];

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint32_t index = 0; index < 8; index++)
            ios[index] = io_of(submitting->bench, AIO_OP_READ, submitting->first_tag + index);
        *submitting->pending = 8;
        bench_submit(submitting->bench, ios, 8);
        while (*submitting->pending > 0)
            sleep_us(50);
    }
    return NULL;
}

START_TEST(many_submit_while_one_reaps)
{
    struct bench bench = bench_open(_i, SUBMITTERS * 8);
    struct submitting submitting[SUBMITTERS];
    atomic_uint pending[SUBMITTERS];
    pthread_t threads[SUBMITTERS];
    unsigned taken = 0;

    for (unsigned index = 0; index < SUBMITTERS; index++) {
        atomic_init(&pending[index], 0);
        submitting[index] = (struct submitting){&bench, index * 8, &pending[index]};
        thread_begin(&threads[index], submitting_main, &submitting[index]);
    }
    while (taken < SUBMITTERS * 8 * ROUNDS) {
        struct engine_event events[16];
        int count = bench_reap(&bench, events, 1 + taken % 3, 16, NULL);

        REQUIRE(count >= 0);
        for (int index = 0; index < count; index++) {
            REQUIRE_EQ(events[index].result, PAGE);
            REQUIRE(pending[events[index].tag / 8]-- > 0);
        }
        taken += (unsigned)count;
        /* What waits for three while only one can come would wait for ever. */
        CALL(bench.engine->ops->wake(bench.engine, 3));
    }
    for (unsigned index = 0; index < SUBMITTERS; index++)
        thread_end(threads[index]);
    pattern_check(bench.memory, SUBMITTERS * 8 * PAGE, 0, BENCH_SEED);
    bench_close(&bench);
}
END_TEST

static Suite *engine_suite(void)
{
    static const struct {
        const char *name;
        const TTest *const *test;
    } per_engine[] = {
        {"table", &no_table_has_a_hole},
        {"made", &many_can_be_made_and_unmade},
        {"opcodes", &every_opcode_works_submitted_and_executed},
        {"results", &results_are_the_kernels},
        {"flags", &flags_of_a_transfer_reach_the_kernel},
        {"depth", &as_many_as_the_depth_run_at_once},
        {"batch", &a_bad_one_in_a_batch_is_its_own_affair},
        {"leftovers", &a_recycled_tag_has_no_leftovers},
        {"cancel", &cancel_says_what_becomes_of_a_transfer},
        {"reap", &reap_keeps_to_min_max_and_time},
        {"wake", &a_wake_ends_a_reap_whatever_it_waits_for},
        {"early wake", &a_wake_before_the_reap_counts},
        {"wakes", &no_number_of_wakes_does_harm},
        {"signal", &a_signal_interrupts_or_does_not_but_loses_nothing},
        {"together", &many_submit_while_one_reaps},
    };
    Suite *suite = suite_create("engine");
    const int count = find_working();

    for (size_t index = 0; index < COUNT(per_engine); index++)
        add_loop_test(suite, per_engine[index].name, *per_engine[index].test, count);
    ADD_TESTS(suite, "engines", engines_are_found_by_number, execute_needs_no_context);
    return suite;
}

int main(void)
{
    return run_suite(engine_suite);
}
