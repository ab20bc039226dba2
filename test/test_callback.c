/* SPDX-License-Identifier: MIT */
/*
 * test_callback.c - callbacks: where they run, what they may do, what they may not.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "support.h"

static const struct timespec no_time = {0, 0};

/* What a callback saw. */
struct seen {
    atomic_int count;
    struct aio_completion completion;
    int thread;
    char thread_name[16];
};

static void see(const struct aio_completion *completion)
{
    struct seen *seen = completion->context;

    seen->completion = *completion;
    seen->thread = thread_number();
    pthread_getname_np(pthread_self(), seen->thread_name, sizeof(seen->thread_name));
    atomic_fetch_add(&seen->count, 1);
}

/* --- where they run ------------------------------------------------------------------------- */

START_TEST(a_callback_gets_the_completion_once)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(8192, 0, 1);
    struct seen seen = {0};
    struct aio_op write = op_write(file, bytes, 8192, 4096);
    aio_request_id id;

    write.on_complete = see;
    write.context = &seen;
    id = submit_one(queue, &write);
    EVENTUALLY(seen.count == 1);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    REQUIRE_EQ(seen.count, 1);
    REQUIRE_EQ(seen.completion.id, id);
    REQUIRE_EQ(seen.completion.result, 8192);
    REQUIRE_EQ(seen.completion.offset, 4096);
    REQUIRE_EQ(seen.completion.error, 0);
    REQUIRE_EQ(seen.completion.flags, 0);
    REQUIRE(seen.completion.context == &seen);
    EXPECT(aio_queue_wait(queue, id, NULL), -ESTALE);
    EXPECT(aio_queue_reap(queue, &seen.completion, 1, 1, NULL), 0);
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

START_TEST(callbacks_run_on_a_thread_of_the_queue)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    struct aio_op operations[] = {op_nop(), op_sync(file), op_read(file, NULL, 0, 0)};
    struct seen seen = {0};
    int expected = 0;

    for (unsigned round = 0; round < 20; round++)
        for (size_t index = 0; index < COUNT(operations); index++) {
            struct aio_op nop = op_nop();

            operations[index].on_complete = see;
            operations[index].context = &seen;
            submit_one(queue, &operations[index]);
            /* This thread waits, and may well reap the event. */
            REQUIRE_EQ(run_op(queue, &nop).result, 0);
            EXPECT(aio_queue_drain(queue, NULL), 0);
            REQUIRE_EQ(seen.count, ++expected);
            REQUIRE(seen.thread != thread_number());
            REQUIRE(strcmp(seen.thread_name, "aio-reaper") == 0);
        }
    close_file(file);
    close_queue(queue);
}
END_TEST

START_TEST(failures_come_to_callbacks_too)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(8192, 0, 1);
    struct seen seen = {0};
    struct aio_op write = op_write(rig.file, bytes, 8192, 0);

    write.on_complete = see;
    write.context = &seen;
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, .value = -EIO});
    submit_one(rig.queue, &write);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    REQUIRE_EQ(seen.completion.result, -EIO);
    REQUIRE_EQ(seen.completion.error, -EIO);
    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, .value = 4096});
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, .first = 2, .value = -ENOSPC});
    submit_one(rig.queue, &write);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    REQUIRE_EQ(seen.completion.result, 4096);
    REQUIRE_EQ(seen.completion.error, -ENOSPC);
    REQUIRE_EQ(seen.count, 2);
    rig_close(&rig);
    free(bytes);
}
END_TEST

static unsigned long long blocked_signals(int thread)
{
    char path[64];
    char line[128];
    unsigned long long mask = 0;
    FILE *status;

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", thread);
    status = fopen(path, "re");
    REQUIRE(status != NULL);
    while (fgets(line, sizeof(line), status) != NULL)
        if (sscanf(line, "SigBlk: %llx", &mask) == 1)
            break;
    fclose(status);
    return mask;
}

START_TEST(the_threads_of_a_queue_take_no_signals)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_op nop = op_nop();
    struct seen seen = {0};
    /* All but SIGKILL, SIGSTOP and the two that the C library keeps for itself. */
    unsigned long long wanted =
        ~0ULL & ~(1ULL << 8 | 1ULL << 18 | 1ULL << 31 | 1ULL << 32 | 1ULL << 33);

    nop.on_complete = see;
    nop.context = &seen;
    submit_one(queue, &nop);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    REQUIRE_EQ(blocked_signals(seen.thread) & wanted, wanted);
    close_queue(queue);
}
END_TEST

/* --- what they may do ----------------------------------------------------------------------- */

/* A callback that the test steers. */
struct steered {
    struct aio_queue *queue;
    struct aio_queue *other;
    struct aio_file *file;
    struct aio_op op; /* what it submits */
    char *page;
    aio_request_id id; /* an operation in flight */
    atomic_bool begun;
    atomic_bool go;
    atomic_int called;
};

static struct aio_op op_steered(struct steered *steered, aio_complete_fn on_complete)
{
    struct aio_op sync = op_sync(steered->file);

    sync.on_complete = on_complete;
    sync.context = steered;
    return sync;
}

static void count_steered(const struct aio_completion *completion)
{
    atomic_fetch_add(&((struct steered *)completion->context)->called, 1);
}

static void submit_twice(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;
    struct aio_op three[3] = {steered->op, steered->op, steered->op};

    EXPECT(aio_queue_submit(steered->queue, three, 3, NULL), 1);
    EXPECT(aio_queue_submit(steered->queue, &steered->op, 1, NULL), -EAGAIN);
    steered->begun = true;
    EVENTUALLY(steered->go);
    atomic_fetch_add(&steered->called, 1);
}

START_TEST(a_callback_has_a_slot_for_one_operation)
{
    struct rig rig = rig_open(1, 0);
    struct steered steered = {.queue = rig.queue, .file = rig.file, .go = true};
    struct aio_op first = op_steered(&steered, submit_twice);

    steered.op = op_steered(&steered, count_steered);
    submit_one(rig.queue, &first);
    EVENTUALLY(steered.called == 2);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    REQUIRE_EQ(steered.called, 2);
    rig_close(&rig);
}
END_TEST

START_TEST(a_callback_never_waits_for_a_slot_of_another_queue)
{
    struct rig rig = rig_open(1, 0);
    struct fault *fault = fault_create(test_engine, 1);
    struct steered steered = {.queue = fault_queue(fault, 0), .file = rig.file};
    struct aio_op sync = op_sync(rig.file);
    struct aio_op first = op_steered(&steered, submit_twice);
    aio_request_id id;

    /* One slot free in the queue that is not the callback's: no waiting, and no more than one. */
    steered.op = op_steered(&steered, count_steered);
    fault_hold(fault, FAULT_ALL);
    submit_one(rig.queue, &first);
    EVENTUALLY(steered.begun);
    steered.go = true;
    fault_hold(fault, 0);
    fault_release(fault, FAULT_FOR_EVER);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    EXPECT(aio_queue_drain(steered.queue, NULL), 0);
    REQUIRE_EQ(steered.called, 2);
    /* And with none that is free. */
    fault_hold(fault, FAULT_ALL);
    id = submit_one(steered.queue, &sync);
    EXPECT(aio_queue_wait(steered.queue, id, &no_time), -ETIMEDOUT);
    fault_hold(fault, 0);
    fault_release(fault, FAULT_FOR_EVER);
    EXPECT(aio_queue_wait(steered.queue, id, NULL), 0);
    close_queue(steered.queue);
    rig_close(&rig);
}
END_TEST

static void submit_to_a_full_queue(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;

    EXPECT(aio_queue_submit(steered->other, &steered->op, 1, NULL), -EAGAIN);
    atomic_fetch_add(&steered->called, 1);
}

START_TEST(a_full_queue_is_told_to_a_callback)
{
    struct rig rig = rig_open(1, 0);
    struct aio_queue *queue = open_queue(2, 0);
    struct steered steered = {.queue = queue, .other = rig.queue, .file = rig.file};
    struct aio_op first = op_steered(&steered, submit_to_a_full_queue);
    aio_request_id id;

    first.opcode = AIO_OP_NOP; /* a sync of the file would wait for the other one */
    steered.op = op_sync(rig.file);
    fault_hold(rig.fault, FAULT_ALL);
    id = submit_one(rig.queue, &steered.op);
    submit_one(queue, &first);
    EVENTUALLY(steered.called == 1);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, id).result, 0);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    close_queue(queue);
    rig_close(&rig);
}
END_TEST

static void submit_a_bad_one_first(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;
    struct aio_op bad = steered->op;

    bad.mode = 1;
    EXPECT(aio_queue_submit(steered->queue, &bad, 1, NULL), -EINVAL);
    sleep_us(30000);
    EXPECT(aio_queue_submit(steered->queue, &steered->op, 1, NULL), 1);
    atomic_fetch_add(&steered->called, 1);
}

struct submitter {
    struct steered *steered;
    int64_t result;
};

static void *submitter_main(void *argument)
{
    struct submitter *submitter = argument;
    struct steered *steered = submitter->steered;

    submitter->result = CALL(aio_queue_submit(steered->queue, &steered->op, 1, NULL));
    return NULL;
}

START_TEST(a_refused_operation_does_not_use_up_the_slot_of_a_callback)
{
    struct rig rig = rig_open(1, 0);
    struct steered steered = {.queue = rig.queue, .file = rig.file};
    struct aio_op first = op_steered(&steered, submit_a_bad_one_first);
    struct submitter submitter = {.steered = &steered};
    pthread_t thread;

    steered.op = op_steered(&steered, count_steered);
    fault_hold(rig.fault, FAULT_ALL);
    submit_one(rig.queue, &first);
    /* Somebody else wants the slot as soon as it is free. */
    thread_begin(&thread, submitter_main, &submitter);
    sleep_us(20000);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    EVENTUALLY(steered.called == 3);
    thread_end(thread);
    REQUIRE_EQ(submitter.result, 1);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    rig_close(&rig);
}
END_TEST

static void chain(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;

    REQUIRE_EQ(completion->result, PAGE);
    if (atomic_fetch_add(&steered->called, 1) < 999)
        EXPECT(aio_queue_submit(steered->queue, &steered->op, 1, NULL), 1);
}

START_TEST(callbacks_can_keep_a_queue_busy)
{
    struct aio_queue *queue = open_queue(3, 0);
    struct aio_file *file = open_direct("file");
    struct steered steered[3];

    memset(steered, 0, sizeof(steered));
    for (unsigned index = 0; index < 3; index++) {
        steered[index].queue = queue;
        steered[index].page = pattern_alloc(PAGE, index * PAGE, 1);
        steered[index].op = op_write(file, steered[index].page, PAGE, index * PAGE);
        steered[index].op.on_complete = chain;
        steered[index].op.context = &steered[index];
        submit_one(queue, &steered[index].op);
    }
    for (unsigned index = 0; index < 3; index++)
        EVENTUALLY(steered[index].called == 1000);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    disk_check_pattern("file", 0, 3 * PAGE, 1);
    for (unsigned index = 0; index < 3; index++)
        free(steered[index].page);
    close_file(file);
    close_queue(queue);
}
END_TEST

static void stand_still(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;

    steered->begun = true;
    EVENTUALLY(steered->go);
    atomic_fetch_add(&steered->called, 1);
}

START_TEST(a_callback_runs_with_no_lock_held)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct steered steered = {.queue = queue, .file = file};
    struct aio_op first = op_steered(&steered, stand_still);
    struct aio_op write = op_write(file, page, PAGE, 0);
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_file_info info = {.size = sizeof(info)};
    struct aio_completion completion;
    off_t where;

    submit_one(queue, &first);
    EVENTUALLY(steered.begun);
    EXPECT(aio_file_info(file, &info), 0);
    REQUIRE_EQ(info.inflight, 1);
    REQUIRE_EQ(run_op(queue, &write).result, PAGE);
    submit_one(queue, &write);
    EXPECT(aio_queue_reap(queue, &completion, 1, 1, NULL), 1);
    EXPECT(aio_queue_stats(queue, &stats), 0);
    EXPECT(aio_queue_inflight(queue, NULL, 0), 0);
    EXPECT(aio_file_write(file, page, PAGE), PAGE);
    EXPECT(aio_file_append(file, page, PAGE, &where), PAGE);
    EXPECT(aio_file_sync(file), 0);
    EXPECT(aio_file_truncate(file, 0), 0);
    EXPECT(aio_queue_drain(queue, &no_time), -ETIMEDOUT);
    REQUIRE_EQ(steered.called, 0);
    steered.go = true;
    EXPECT(aio_queue_drain(queue, NULL), 0);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

/* The calls of a file that do not wait for others. */
static void use_the_file(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;
    struct aio_file *file = steered->file;
    char *in = page_alloc(PAGE);
    struct iovec iov = {in, PAGE};
    struct aio_file_info info = {.size = sizeof(info)};
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    off_t where = -1;

    EXPECT(aio_file_write(file, steered->page, PAGE), PAGE);
    EXPECT(aio_file_pwrite(file, steered->page, PAGE, PAGE), PAGE);
    EXPECT(aio_file_append(file, steered->page, PAGE, &where), PAGE);
    REQUIRE_EQ(where, 2 * PAGE);
    EXPECT(aio_file_seek(file, 0, SEEK_SET), 0);
    EXPECT(aio_file_read(file, in, PAGE), PAGE);
    EXPECT(aio_file_preadv(file, &iov, 1, PAGE), PAGE);
    pattern_check(in, PAGE, 0, 1);
    EXPECT(aio_file_size(file), 3 * PAGE);
    EXPECT(aio_file_info(file, &info), 0);
    EXPECT(aio_queue_stats(steered->queue, &stats), 0);
    EXPECT(aio_queue_inflight(steered->queue, NULL, 0), 0);
    free(in);
    atomic_fetch_add(&steered->called, 1);
}

START_TEST(a_callback_can_read_and_write)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    struct steered steered = {.queue = queue, .file = file, .page = pattern_alloc(PAGE, 0, 1)};
    struct aio_op first = op_steered(&steered, use_the_file);

    submit_one(queue, &first);
    EVENTUALLY(steered.called == 1);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    close_file(file);
    close_queue(queue);
    free(steered.page);
}
END_TEST

/* What does not fit: reads and memory go through bounce buffers; writes through the page cache
 * would have to wait, and are to be submitted. */
static void use_the_file_unaligned(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;
    struct aio_file *file = steered->file;
    struct iovec iov = {steered->page, 100};
    char *room = page_alloc(2 * PAGE);
    off_t where = -1;

    memcpy(room + 1, steered->page, PAGE);
    EXPECT(aio_file_pwrite(file, room + 1, PAGE, 0), PAGE);
    EXPECT(aio_file_append(file, room + 1, PAGE, &where), PAGE);
    REQUIRE_EQ(where, PAGE);
    memset(room, 0, 2 * PAGE);
    EXPECT(aio_file_pread(file, room + 3, 100, 5), 100);
    pattern_check(room + 3, 100, 5, 1);
    EXPECT(aio_file_pread(file, room + 3, PAGE, PAGE), PAGE);
    pattern_check(room + 3, PAGE, 0, 1);
    EXPECT(aio_file_pwrite(file, room, 100, 5), -EDEADLK);
    EXPECT(aio_file_pwrite(file, room, PAGE, 5), -EDEADLK);
    EXPECT(aio_file_pwritev(file, &iov, 1, 5), -EDEADLK);
    EXPECT(aio_file_write(file, room, 100), -EDEADLK);
    where = -1;
    EXPECT(aio_file_append(file, room, 100, &where), -EDEADLK);
    REQUIRE_EQ(where, -1);
    EXPECT(aio_queue_submit(steered->queue, &steered->op, 1, NULL), 1);
    free(room);
    atomic_fetch_add(&steered->called, 1);
}

START_TEST(a_callback_submits_what_does_not_fit)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    struct steered steered = {.queue = queue, .file = file, .page = pattern_alloc(PAGE, 0, 1)};
    struct aio_op first = op_steered(&steered, use_the_file_unaligned);
    struct aio_completion completion;

    steered.op = op_append(file, steered.page, 100);
    submit_one(queue, &first);
    EVENTUALLY(steered.called == 1);
    EXPECT(aio_queue_reap(queue, &completion, 1, 1, NULL), 1);
    REQUIRE(completion.result == 100 && completion.offset == 2 * PAGE);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE + 100);
    disk_check_pattern("file", 0, PAGE, 1);
    close_file(file);
    close_queue(queue);
    free(steered.page);
}
END_TEST

/* --- what they may not do ------------------------------------------------------------------- */

static void wait_for_others(const struct aio_completion *completion)
{
    struct steered *steered = completion->context;
    struct aio_queue *queues[] = {steered->queue, steered->other};
    struct aio_op sync = op_sync(NULL);
    struct aio_op datasync = {.opcode = AIO_OP_DATASYNC};
    struct aio_op truncate = {.opcode = AIO_OP_TRUNCATE};
    struct aio_op allocate = {.opcode = AIO_OP_ALLOCATE, .len = 1};
    struct aio_completion taken;

    for (size_t index = 0; index < COUNT(queues); index++) {
        EXPECT(aio_queue_wait(queues[index], steered->id, NULL), -EDEADLK);
        EXPECT(aio_queue_wait(queues[index], steered->id, &no_time), -EDEADLK);
        EXPECT(aio_queue_wait_result(queues[index], steered->id, NULL, &taken), -EDEADLK);
        EXPECT(aio_queue_reap(queues[index], &taken, 0, 1, &no_time), -EDEADLK);
        EXPECT(aio_queue_reap(queues[index], &taken, 1, 1, NULL), -EDEADLK);
        EXPECT(aio_queue_drain(queues[index], NULL), -EDEADLK);
        EXPECT(aio_queue_destroy(queues[index], AIO_QUEUE_DISCARD), -EDEADLK);
    }
    EXPECT(aio_file_close(steered->file), -EDEADLK);
    EXPECT(aio_file_truncate(steered->file, 0), -EDEADLK);
    EXPECT(aio_file_sync(steered->file), -EDEADLK);
    EXPECT(aio_file_datasync(steered->file), -EDEADLK);
    EXPECT(aio_file_execute(steered->file, &sync), -EDEADLK);
    EXPECT(aio_file_execute(steered->file, &datasync), -EDEADLK);
    EXPECT(aio_file_execute(steered->file, &truncate), -EDEADLK);
    EXPECT(aio_file_execute(steered->file, &allocate), -EDEADLK);
    EXPECT(aio_file_allocate(steered->file, 0, 0, 1), -EDEADLK);
    EXPECT(aio_file_lock(steered->file, F_WRLCK, true), -EDEADLK);
    EXPECT(aio_file_lock(steered->file, F_WRLCK, false), 0);
    EXPECT(aio_file_lock(steered->file, F_UNLCK, true), 0);
    atomic_fetch_add(&steered->called, 1);
}

START_TEST(calls_that_would_wait_for_completions_are_refused)
{
    struct rig rig = rig_open(4, 0);
    struct aio_queue *other = open_queue(4, 0);
    struct steered steered = {.queue = rig.queue, .other = other, .file = rig.file};
    struct aio_op first = op_steered(&steered, wait_for_others);
    struct aio_op read = op_read(rig.file, NULL, 0, 0);

    fault_hold(rig.fault, FAULT_READS);
    steered.id = submit_one(rig.queue, &read);
    submit_one(rig.queue, &first);
    EVENTUALLY(steered.called == 1);
    /* All is as before. */
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, steered.id).result, 0);
    EXPECT(aio_file_sync(rig.file), 0);
    close_queue(other);
    rig_close(&rig);
}
END_TEST

static Suite *callback_suite(void)
{
    Suite *suite = suite_create("callback");

    ADD_TESTS(suite, "where", a_callback_gets_the_completion_once,
              callbacks_run_on_a_thread_of_the_queue, failures_come_to_callbacks_too,
              the_threads_of_a_queue_take_no_signals);
    ADD_TESTS(suite, "may", a_callback_has_a_slot_for_one_operation,
              a_callback_never_waits_for_a_slot_of_another_queue,
              a_full_queue_is_told_to_a_callback,
              a_refused_operation_does_not_use_up_the_slot_of_a_callback,
              callbacks_can_keep_a_queue_busy, a_callback_runs_with_no_lock_held,
              a_callback_can_read_and_write, a_callback_submits_what_does_not_fit);
    ADD_TESTS(suite, "may not", calls_that_would_wait_for_completions_are_refused);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, callback_suite);
}
