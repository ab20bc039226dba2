/* SPDX-License-Identifier: MIT */
/*
 * test_owned.c - queues of one thread (AIO_QUEUE_OWNED), in whose calls all happens; and files that
 * a queue is told of (aio_queue_register).
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

static const struct timespec no_time = {0, 0};

static struct aio_op op_truncate(struct aio_file *file, int64_t size)
{
    return (struct aio_op){.opcode = AIO_OP_TRUNCATE, .file = file, .offset = size};
}

/* What a callback saw. */
struct seen {
    int count;
    int notices;
    int thread;
    int64_t result;
    struct aio_queue *queue; /* where it submits op */
    struct aio_op op;
    int submits; /* so many times */
    int errors[4];
};

static void see(const struct aio_completion *completion)
{
    struct seen *seen = completion->context;

    if ((completion->flags & AIO_COMPLETION_MORE) != 0) {
        seen->notices++;
        return;
    }
    seen->count++;
    seen->thread = thread_number();
    seen->result = completion->result;
    for (int index = 0; index < seen->submits; index++)
        seen->errors[index] = aio_queue_submit(seen->queue, &seen->op, 1, NULL);
    seen->submits = 0;
}

static struct aio_op with_callback(struct aio_op op, struct seen *seen)
{
    op.on_complete = see;
    op.context = seen;
    return op;
}

static struct aio_file *open_other(const char *name, uint32_t direct)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.direct = direct;
    EXPECT(aio_file_open(scratch_path(name), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    return file;
}

/* --- one thread ----------------------------------------------------------------------------- */

static unsigned threads_named(const char *name)
{
    unsigned count = 0;
    struct dirent *entry;
    DIR *tasks = opendir("/proc/self/task");

    REQUIRE(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300];
        char comm[32] = "";
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "re");
        if (file == NULL)
            continue;
        if (fscanf(file, "%31s", comm) == 1)
            count += strcmp(comm, name) == 0;
        fclose(file);
    }
    closedir(tasks);
    return count;
}

START_TEST(an_owned_queue_has_no_thread)
{
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
    struct aio_queue *shared = open_queue(8, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct seen seen = {0};
    struct aio_op write = with_callback(op_write(file, bytes, PAGE, 0), &seen);
    struct aio_op nop = op_nop();

    for (unsigned round = 0; round < 20; round++) {
        submit_one(queue, &write);
        REQUIRE_EQ(run_op(queue, &nop).result, 0);
        EXPECT(aio_queue_drain(queue, NULL), 0);
        REQUIRE_EQ(seen.count, round + 1);
        REQUIRE_EQ(seen.result, PAGE);
        REQUIRE_EQ(seen.thread, thread_number());
        REQUIRE_EQ(threads_named("aio-reaper"), 0);
    }
    REQUIRE_EQ(run_op(shared, &nop).result, 0);
    EVENTUALLY(threads_named("aio-reaper") == 1);
    close_file(file);
    close_queue(queue);
    close_queue(shared);
    free(bytes);
}
END_TEST

struct stranger {
    struct aio_queue *queue;
    struct aio_file *file;
    aio_request_id id;
};

static void *be_refused(void *argument)
{
    struct stranger *stranger = argument;
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_completion completion;
    struct aio_request_info info;
    struct aio_op nop = op_nop();
    aio_request_id id;

    EXPECT(aio_queue_submit(stranger->queue, &nop, 1, &id), -EPERM);
    EXPECT(aio_queue_wait(stranger->queue, stranger->id, &no_time), -EPERM);
    EXPECT(aio_queue_wait_result(stranger->queue, stranger->id, NULL, &completion), -EPERM);
    EXPECT(aio_queue_reap(stranger->queue, &completion, 1, 1, NULL), -EPERM);
    EXPECT(aio_queue_cancel(stranger->queue, stranger->id), -EPERM);
    EXPECT(aio_queue_drain(stranger->queue, NULL), -EPERM);
    EXPECT(aio_queue_eventfd(stranger->queue), -EPERM);
    EXPECT(aio_queue_register(stranger->queue, stranger->file), -EPERM);
    EXPECT(aio_queue_inflight(stranger->queue, &info, 1), -EPERM);
    EXPECT(aio_queue_stats(stranger->queue, &stats), -EPERM);
    EXPECT(aio_queue_destroy(stranger->queue, AIO_QUEUE_DISCARD), -EPERM);
    EXPECT(aio_queue_depth(stranger->queue), 4);
    return NULL;
}

START_TEST(other_threads_are_refused)
{
    struct aio_file *file = open_direct("file");
    struct stranger stranger = {open_queue(4, AIO_QUEUE_OWNED), file, 0};
    struct aio_op read = op_read(file, NULL, 0, 0);
    pthread_t thread;

    stranger.id = submit_one(stranger.queue, &read);
    thread_begin(&thread, be_refused, &stranger);
    thread_end(thread);
    REQUIRE_EQ(completion_of(stranger.queue, stranger.id).result, 0);
    close_file(file);
    close_queue(stranger.queue);
}
END_TEST

static int use_inherited(void *argument)
{
    struct stranger *stranger = argument;
    struct aio_op nop = op_nop();
    struct aio_completion completion;

    return aio_queue_submit(stranger->queue, &nop, 1, NULL) == -EOWNERDEAD &&
                   aio_queue_reap(stranger->queue, &completion, 0, 1, NULL) == -EOWNERDEAD &&
                   aio_queue_register(stranger->queue, stranger->file) == -EOWNERDEAD &&
                   aio_queue_destroy(stranger->queue, 0) == -EOWNERDEAD &&
                   aio_file_truncate(stranger->file, PAGE) == 0 &&
                   aio_file_close(stranger->file) == 0
               ? 0
               : 1;
}

START_TEST(a_child_has_no_owned_queue)
{
    struct aio_file *file = open_direct("file");
    struct stranger stranger = {open_queue(4, AIO_QUEUE_OWNED), file, 0};
    struct aio_op read = op_read(file, NULL, 0, 0);

    EXPECT(aio_queue_register(stranger.queue, file), 0);
    stranger.id = submit_one(stranger.queue, &read);
    REQUIRE_EQ(in_child(use_inherited, &stranger), 0);
    REQUIRE_EQ(completion_of(stranger.queue, stranger.id).result, 0);
    close_file(file);
    close_queue(stranger.queue);
}
END_TEST

/* --- results -------------------------------------------------------------------------------- */

START_TEST(results_are_taken_as_from_any_queue)
{
    struct aio_queue *queue = open_queue(4, AIO_QUEUE_OWNED);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op ops[4];
    struct aio_completion reaped[4];
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    aio_request_id ids[4];

    for (unsigned round = 0; round < 50; round++) {
        for (unsigned index = 0; index < 4; index++)
            ops[index] = op_write(file, bytes + index * PAGE, PAGE, index * PAGE);
        ops[3].flags = AIO_OP_WAITED;
        EXPECT(aio_queue_submit(queue, ops, 4, ids), 4);
        if (round % 2 == 0)
            EXPECT(aio_queue_drain(queue, NULL), 0);
        EXPECT(aio_queue_wait(queue, ids[1], NULL), PAGE);
        EXPECT(aio_queue_wait(queue, ids[1], NULL), -ESTALE);
        EXPECT(aio_queue_reap(queue, reaped, 3, 4, NULL), 2);
        REQUIRE_EQ(reaped[0].result + reaped[1].result, 2 * PAGE);
        EXPECT(aio_queue_reap(queue, reaped, 1, 4, NULL), 0);
        EXPECT(aio_queue_wait(queue, ids[3], NULL), PAGE);
    }
    EXPECT(aio_queue_stats(queue, &stats), 0);
    REQUIRE_EQ(stats.completed, 200);
    REQUIRE_EQ(stats.reaped_by_reaper, 0);
    disk_check_pattern("file", 0, 4 * PAGE, 1);
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

START_TEST(callbacks_run_in_reap_drain_and_destroy_alone)
{
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
    struct aio_file *file = open_direct("file");
    struct aio_file *other = open_direct("other");
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct seen seen = {0};
    struct aio_op called = with_callback(op_write(file, bytes, PAGE, 0), &seen);
    struct aio_op nop = op_nop();
    struct aio_completion reaped[4];
    struct aio_request_info infos[8];
    aio_request_id id;

    submit_one(queue, &called);
    id = submit_one(queue, &nop);
    EXPECT(aio_queue_wait(queue, id, NULL), 0);
    EXPECT(aio_file_truncate(file, 2 * PAGE), 0); /* waits for it */
    EXPECT(aio_queue_cancel(queue, id), -ESTALE);
    EXPECT(aio_queue_inflight(queue, infos, 8), 1);
    EXPECT(aio_file_sync(file), 0);
    close_file(other);
    REQUIRE_EQ(seen.count, 0);
    EXPECT(aio_queue_reap(queue, NULL, 0, 0, NULL), 0);
    REQUIRE_EQ(seen.count, 1);
    /* They count with the results. */
    submit_one(queue, &called);
    EXPECT(aio_queue_reap(queue, reaped, 1, 1, NULL), 0);
    REQUIRE_EQ(seen.count, 2);
    submit_one(queue, &called);
    submit_one(queue, &nop);
    EXPECT(aio_queue_reap(queue, reaped, 2, 2, NULL), 1);
    REQUIRE_EQ(seen.count, 3);
    submit_one(queue, &called);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    REQUIRE_EQ(seen.count, 4);
    submit_one(queue, &called);
    close_queue(queue);
    REQUIRE_EQ(seen.count, 5);
    REQUIRE_EQ(seen.thread, thread_number());
    close_file(file);
    free(bytes);
}
END_TEST

struct releaser {
    struct fault *fault;
    unsigned milliseconds;
    uint32_t count;
};

static void *release_later(void *argument)
{
    struct releaser *releaser = argument;

    sleep_us(releaser->milliseconds * 1000);
    fault_release(releaser->fault, releaser->count);
    return NULL;
}

/* After callbacks it sleeps for what is still to come, not for more. */
START_TEST(reap_sleeps_for_what_is_left)
{
    struct rig rig = rig_open(8, AIO_QUEUE_OWNED);
    struct seen seen = {0};
    struct aio_op called = with_callback(op_nop(), &seen);
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    struct releaser releaser = {rig.fault, 30, 1};
    struct timespec patience = milliseconds(8000);
    struct aio_completion reaped[4];
    int64_t begun_ns = clock_ns();
    pthread_t thread;

    fault_hold(rig.fault, FAULT_ALL);
    submit_one(rig.queue, &called);
    submit_one(rig.queue, &read);
    submit_one(rig.queue, &read);
    EXPECT(aio_queue_reap(rig.queue, NULL, 0, 0, &no_time), 0); /* one callback; it looks */
    REQUIRE_EQ(seen.count, 1);
    submit_one(rig.queue, &called);
    thread_begin(&thread, release_later, &releaser);
    EXPECT(aio_queue_reap(rig.queue, reaped, 2, 4, &patience), 1);
    REQUIRE_EQ(seen.count, 2);
    REQUIRE(clock_ns() - begun_ns < INT64_C(6000000000));
    thread_end(thread);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    EXPECT(aio_queue_reap(rig.queue, reaped, 1, 4, NULL), 1);
    rig_close(&rig);
}
END_TEST

/* --- workers -------------------------------------------------------------------------------- */

START_TEST(what_workers_do_comes_back_to_a_sleeping_owner)
{
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct seen seen = {0};
    struct aio_completion reaped[8];

    for (unsigned round = 0; round < 100; round++) {
        struct aio_op truncate = op_truncate(file, 0);
        struct aio_op ops[4] = {op_write(file, bytes, 100, 0),
                                op_write(file, bytes + 100, 100, 100), op_append(file, bytes, 10),
                                op_truncate(file, 2 * PAGE)};
        struct aio_op called = with_callback(op_write(file, bytes, 100, 0), &seen);

        /* Nothing is in the engine. */
        submit_one(queue, &truncate);
        EXPECT(aio_queue_reap(queue, reaped, 1, 8, NULL), 1);
        REQUIRE_EQ(reaped[0].result, 0);
        EXPECT(aio_queue_submit(queue, ops, 4, NULL), 4);
        EXPECT(aio_queue_reap(queue, reaped, 4, 8, NULL), 4);
        for (unsigned index = 0; index < 4; index++)
            REQUIRE(reaped[index].result >= 0);
        REQUIRE_EQ(run_op(queue, &ops[0]).result, 100);
        submit_one(queue, &called);
        EXPECT(aio_queue_drain(queue, NULL), 0);
        REQUIRE_EQ(seen.count, round + 1);
        REQUIRE_EQ(seen.result, 100);
    }
    close_file(file);
    disk_check_pattern("file", 0, 200, 1);
    close_queue(queue);
    free(bytes);
}
END_TEST

/* The worker is slow: the owner surely sleeps, with nothing in the engine, or with something. */
START_TEST(a_slow_worker_wakes_the_owner)
{
    for (unsigned which = 0; which < 4; which++) {
        struct rig rig = rig_open(8, AIO_QUEUE_OWNED);
        struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
        struct aio_file *blocker = open_other("file", AIO_DIRECT_NEVER);
        char *bytes = pattern_alloc(PAGE, 0, 1);
        struct aio_op held = op_write(rig.file, bytes, PAGE, 0);
        struct aio_op truncate = op_truncate(blocker, 4 * PAGE);
        struct aio_completion reaped[2];
        struct timespec patience = milliseconds(30000);
        aio_request_id id;

        /* The truncate waits for the write, which nobody but this thread can move, in a call for
         * the one queue or the other. */
        fault_hold(rig.fault, which < 2 ? 0 : FAULT_WRITES);
        id = submit_one(rig.queue, &held);
        submit_one(queue, &truncate);
        if (which >= 2) {
            struct releaser releaser = {rig.fault, 20, 1};
            pthread_t thread;

            EXPECT(aio_queue_reap(queue, reaped, 0, 1, NULL), 0);
            thread_begin(&thread, release_later, &releaser);
            EXPECT(aio_queue_wait(rig.queue, id, &patience), PAGE);
            thread_end(thread);
        } else {
            EXPECT(aio_queue_wait(rig.queue, id, &patience), PAGE);
        }
        EXPECT(aio_queue_reap(queue, reaped, 1, 1, &patience), 1);
        REQUIRE_EQ(reaped[0].result, 0);
        REQUIRE_EQ(disk_size("file"), 4 * PAGE);
        fault_hold(rig.fault, 0);
        close_file(blocker);
        close_queue(queue);
        rig_close(&rig);
        free(bytes);
    }
}
END_TEST

static void *stall_end(void *fault)
{
    EVENTUALLY(fault_stalled(fault) == 1);
    sleep_us(30000);
    fault_stall(fault, 0);
    return NULL;
}

START_TEST(the_owner_sleeps_until_a_worker_is_done)
{
    for (unsigned which = 0; which < 4; which++) {
        struct rig rig = rig_open(8, AIO_QUEUE_OWNED);
        char *bytes = pattern_alloc(PAGE, 0, 1);
        struct seen seen = {0};
        struct aio_op write = op_write(rig.file, bytes, 100, 10);
        struct aio_completion reaped[2];
        unsigned reaps;
        pthread_t thread;
        aio_request_id id;

        if (which == 2)
            write = with_callback(write, &seen);
        fault_stall(rig.fault, FAULT_WRITES);
        id = submit_one(rig.queue, &write);
        thread_begin(&thread, stall_end, rig.fault);
        reaps = fault_reaps(rig.fault);
        if (which == 0)
            EXPECT(aio_queue_reap(rig.queue, reaped, 1, 2, NULL), 1);
        else if (which == 1)
            EXPECT(aio_queue_wait(rig.queue, id, NULL), 100);
        else if (which == 2)
            EXPECT(aio_queue_drain(rig.queue, NULL), 0);
        else
            EXPECT(aio_file_truncate(rig.file, 5), 0); /* itself moves the queue */
        thread_end(thread);
        REQUIRE_EQ(seen.count, which == 2);
        if (which < 3)
            REQUIRE(fault_reaps(rig.fault) - reaps < 8); /* it slept */
        else
            EXPECT(aio_queue_reap(rig.queue, reaped, 1, 2, NULL), 1);
        REQUIRE_EQ(disk_size("file"), which < 3 ? 110 : 5);
        rig_close(&rig);
        free(bytes);
    }
}
END_TEST

START_TEST(destroy_waits_for_workers)
{
    for (unsigned round = 0; round < 30; round++) {
        struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
        struct aio_file *file = open_direct("file");
        char *bytes = pattern_alloc(PAGE, 0, 1);
        struct seen seen = {0};
        struct aio_op write = op_write(file, bytes, 100, 0);
        struct aio_op called = with_callback(op_write(file, bytes, 100, 100), &seen);
        struct aio_op truncate = op_truncate(file, 300);

        submit_one(queue, &write);
        submit_one(queue, &called);
        submit_one(queue, &truncate);
        if (round % 2 == 0)
            EXPECT(aio_queue_destroy(queue, 0), -EBUSY);
        EXPECT(aio_queue_destroy(queue, AIO_QUEUE_DISCARD), 0);
        REQUIRE_EQ(seen.count, 1);
        REQUIRE_EQ(disk_size("file"), 300);
        close_file(file);
        free(bytes);
    }
}
END_TEST

/* --- blocking calls of the owner ------------------------------------------------------------ */

START_TEST(blocking_calls_move_the_queue)
{
    struct aio_queue *queues[2] = {open_queue(8, AIO_QUEUE_OWNED), open_queue(8, AIO_QUEUE_OWNED)};
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_completion reaped[8];

    for (unsigned round = 0; round < 40; round++) {
        struct aio_file *file = open_direct("file");
        struct aio_file *cached = open_other("file", AIO_DIRECT_NEVER);
        struct aio_op ops[4] = {op_write(file, bytes, PAGE, 0), op_write(file, bytes, 100, PAGE),
                                op_write(cached, bytes, PAGE, 2 * PAGE),
                                op_append(file, bytes, PAGE)};

        for (unsigned index = 0; index < 2; index++)
            EXPECT(aio_queue_submit(queues[index], ops, 4, NULL), 4);
        switch (round % 5) {
        case 0:
            EXPECT(aio_file_truncate(file, 8 * PAGE), 0);
            break;
        case 1:
            EXPECT(aio_file_pwrite(file, bytes, 100, 10), 100);
            break;
        case 2:
            EXPECT(aio_file_sync(cached), 0);
            break;
        case 3:
            EXPECT(aio_file_append(cached, bytes, 100, NULL), 100);
            break;
        default:
            break;
        }
        close_file(file);
        close_file(cached);
        for (unsigned index = 0; index < 2; index++) {
            EXPECT(aio_queue_reap(queues[index], reaped, 4, 8, NULL), 4);
            for (unsigned each = 0; each < 4; each++)
                REQUIRE(reaped[each].result == PAGE || reaped[each].result == 100);
        }
    }
    close_queue(queues[0]);
    close_queue(queues[1]);
    free(bytes);
}
END_TEST

/* The callback runs later, in a call that runs callbacks; the close does not wait for that. */
START_TEST(close_does_not_wait_for_callbacks_of_its_own_thread)
{
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct seen seen = {0};
    struct aio_op write = with_callback(op_write(file, bytes, PAGE, 0), &seen);

    submit_one(queue, &write);
    close_file(file);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    REQUIRE_EQ(seen.count, 1);
    REQUIRE_EQ(seen.result, PAGE);
    close_queue(queue);
    free(bytes);
}
END_TEST

static void *truncate_it(void *file)
{
    EXPECT(aio_file_truncate(file, 4 * PAGE), 0);
    return NULL;
}

/* Another thread waits for what the owner has in flight: the owner's next call brings it. */
START_TEST(other_threads_wait_for_the_owner)
{
    struct rig rig = rig_open(8, AIO_QUEUE_OWNED);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op behind = op_write(rig.file, bytes, PAGE, PAGE);
    struct aio_completion reaped[2];
    pthread_t thread;

    for (unsigned round = 0; round < 10; round++) {
        fault_hold(rig.fault, FAULT_WRITES);
        submit_one(rig.queue, &write);
        EXPECT(aio_queue_reap(rig.queue, reaped, 0, 1, NULL), 0);
        thread_begin(&thread, truncate_it, rig.file);
        sleep_us(10000);
        submit_one(rig.queue, &behind); /* held by the truncate */
        fault_hold(rig.fault, 0);
        fault_release(rig.fault, FAULT_FOR_EVER);
        EXPECT(aio_queue_reap(rig.queue, reaped, 2, 2, NULL), 2);
        REQUIRE_EQ(reaped[0].result + reaped[1].result, 2 * PAGE);
        thread_end(thread);
    }
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- deadlines ------------------------------------------------------------------------------ */

START_TEST(notices_come_in_the_owner_s_calls)
{
    struct rig rig = rig_open(8, AIO_QUEUE_OWNED);
    struct seen seen = {0};
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    struct aio_op called = with_callback(read, &seen);
    struct aio_completion completion;
    int64_t begun_ns = clock_ns();
    aio_request_id ids[2];

    fault_hold(rig.fault, FAULT_ALL);
    read.deadline = 30 * 1000000;
    called.deadline = 60 * 1000000;
    ids[0] = submit_one(rig.queue, &read);
    submit_one(rig.queue, &called);
    EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, NULL), 1);
    REQUIRE(completion.id == ids[0] && completion.flags == AIO_COMPLETION_MORE);
    REQUIRE_EQ(completion.result, -ETIMEDOUT);
    REQUIRE(clock_ns() - begun_ns >= 30 * 1000000);
    /* Reap does not sleep beyond that of the callback, either. */
    EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, NULL), 0);
    REQUIRE_EQ(seen.notices, 1);
    REQUIRE(clock_ns() - begun_ns >= 60 * 1000000);
    ids[1] = submit_one(rig.queue, &read);
    EXPECT(aio_queue_wait_result(rig.queue, ids[1], NULL, &completion), 0);
    REQUIRE(completion.id == ids[1] && completion.flags == AIO_COMPLETION_MORE);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, 0);
    EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, NULL), 1);
    REQUIRE(completion.id == ids[0] && completion.flags == 0);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    REQUIRE_EQ(seen.count, 1);
    rig_close(&rig);
}
END_TEST

/* What was done in time is no late one because its owner comes late. */
START_TEST(a_late_owner_gets_no_notice_of_what_was_done)
{
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
    struct aio_file *file = open_direct("file");
    struct aio_op read = op_read(file, NULL, 0, 0);
    struct aio_completion completion;
    aio_request_id id;

    read.deadline = 20 * 1000000;
    id = submit_one(queue, &read);
    sleep_us(100000);
    EXPECT(aio_queue_reap(queue, &completion, 1, 1, NULL), 1);
    REQUIRE(completion.id == id);
    REQUIRE_EQ(completion.flags, 0);
    REQUIRE_EQ(completion.result, 0);
    close_file(file);
    close_queue(queue);
}
END_TEST

/* --- the eventfd ---------------------------------------------------------------------------- */

static bool is_up(int fd, int milliseconds_at_most)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, milliseconds_at_most) == 1;
}

START_TEST(the_eventfd_tells_of_completions_without_a_call)
{
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct seen seen = {0};
    struct aio_op ops[] = {op_write(file, bytes, PAGE, 0),
                           op_write(file, bytes, 100, 0),
                           op_truncate(file, PAGE),
                           op_read(file, bytes, PAGE, 0),
                           op_sync(file),
                           op_nop(),
                           with_callback(op_sync(file), &seen),
                           with_callback(op_nop(), &seen),
                           with_callback(op_truncate(file, PAGE), &seen)};
    struct aio_completion reaped[8];
    int fd = aio_queue_eventfd(queue);

    REQUIRE(fd >= 0);
    REQUIRE(!is_up(fd, 0));
    for (unsigned round = 0; round < 10 * COUNT(ops); round++) {
        unsigned which = round % COUNT(ops);
        bool called = ops[which].on_complete != NULL;
        int taken = 0;
        int before = seen.count;

        submit_one(queue, &ops[which]);
        /* What was held back, or handed on, takes a call more. */
        while (taken == 0 && seen.count == before) {
            REQUIRE(is_up(fd, LONG_MS));
            taken = aio_queue_reap(queue, reaped, 0, 8, NULL);
        }
        REQUIRE_EQ(taken, !called);
        REQUIRE_EQ(seen.count, before + called);
    }
    /* It may be up once in vain. */
    EXPECT(aio_queue_reap(queue, reaped, 0, 8, NULL), 0);
    REQUIRE(!is_up(fd, 50));
    close(fd);
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

#define BUSY 4

static void *run_often(void *argument)
{
    atomic_bool *ends = argument;

    while (!atomic_load(ends))
        sleep_us(1);
    return NULL;
}

/* A worker of the kernel's lets go of a sync when its result was taken long ago. That, too, raises
 * the eventfd, which may be read then in vain; the next completion has to raise it again. */
START_TEST(the_eventfd_tells_of_what_comes_after_a_read_in_vain)
{
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
    struct aio_file *file = open_direct("file");
    struct aio_op sync = op_sync(file);
    struct aio_completion completion;
    int fd = aio_queue_eventfd(queue);
    atomic_bool ends = false;
    pthread_t threads[BUSY];
    eventfd_t count;

    REQUIRE(fd >= 0);
    /* Now and then the worker has to wait for its processor, having told of the result. */
    for (unsigned index = 0; index < BUSY; index++)
        thread_begin(&threads[index], run_often, &ends);
    for (unsigned round = 0; round < 400; round++) {
        int taken = 0;

        submit_one(queue, &sync);
        while (taken == 0) {
            REQUIRE(is_up(fd, LONG_MS));
            taken = aio_queue_reap(queue, &completion, 0, 1, NULL);
        }
        REQUIRE_EQ(taken, 1);
        REQUIRE_EQ(completion.result, 0);
        sleep_us(50);
        eventfd_read(fd, &count);
    }
    atomic_store(&ends, true);
    for (unsigned index = 0; index < BUSY; index++)
        thread_end(threads[index]);
    close(fd);
    close_file(file);
    close_queue(queue);
}
END_TEST

/* With an event loop only: chains, what is held, and more than is taken at once. */
START_TEST(an_event_loop_needs_nothing_else)
{
    struct aio_queue *queue = open_queue(16, AIO_QUEUE_OWNED);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_completion reaped[3];
    int fd = aio_queue_eventfd(queue);

    REQUIRE(fd >= 0);
    for (unsigned round = 0; round < 30; round++) {
        struct aio_op ops[] = {
            op_write(file, bytes, PAGE, 0),
            op_truncate(file, 0),
            op_write(file, bytes, 100, 0),
            op_nop(),
            op_append(file, bytes, PAGE),
            op_truncate(file, 0),
            op_write(file, bytes, PAGE, PAGE),
            op_sync(file),
            op_nop(),
            op_nop(),
        };
        unsigned taken = 0;

        for (unsigned index = 3; index < 7; index++)
            ops[index].flags = AIO_OP_LINK;
        EXPECT(aio_queue_submit(queue, ops, COUNT(ops), NULL), COUNT(ops));
        while (taken < COUNT(ops)) {
            int count;

            REQUIRE(is_up(fd, LONG_MS));
            count = aio_queue_reap(queue, reaped, 0, 3, NULL);
            REQUIRE(count >= 0);
            for (int index = 0; index < count; index++)
                REQUIRE(reaped[index].result >= 0);
            taken += (unsigned)count;
        }
    }
    close(fd);
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

START_TEST(an_eventfd_made_late_tells_of_what_is_there)
{
    for (unsigned which = 0; which < 5; which++) {
        struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
        struct aio_file *file = open_direct("file");
        char *bytes = pattern_alloc(PAGE, 0, 1);
        struct seen seen = {0};
        struct aio_op ops[] = {op_nop(), with_callback(op_nop(), &seen), op_read(file, NULL, 0, 0),
                               op_write(file, bytes, 100, 0), op_read(file, bytes, PAGE, 0)};
        int fd;

        submit_one(queue, &ops[which]);
        if (which < 4)
            sleep_us(50000);
        fd = aio_queue_eventfd(queue);
        REQUIRE(fd >= 0);
        if (!is_up(fd, 2000))
            ck_abort_msg("operation %u is not told of", which);
        EXPECT(aio_queue_drain(queue, NULL), 0);
        EXPECT(aio_queue_destroy(queue, AIO_QUEUE_DISCARD), 0);
        close(fd);
        close_file(file);
        free(bytes);
    }
}
END_TEST

/* --- slots ---------------------------------------------------------------------------------- */

START_TEST(a_table_full_of_callbacks_is_told)
{
    struct aio_queue *queue = open_queue(4, AIO_QUEUE_OWNED);
    struct seen seen = {0};
    struct aio_op called = with_callback(op_nop(), &seen);

    for (unsigned index = 0; index < 4; index++)
        submit_one(queue, &called);
    EXPECT(aio_queue_submit(queue, &called, 1, NULL), -EBUSY);
    REQUIRE_EQ(seen.count, 0);
    EXPECT(aio_queue_reap(queue, NULL, 0, 0, NULL), 0);
    REQUIRE_EQ(seen.count, 4);
    submit_one(queue, &called);
    close_queue(queue);
    REQUIRE_EQ(seen.count, 5);
}
END_TEST

START_TEST(submit_moves_the_queue_to_have_a_slot)
{
    struct aio_queue *queue = open_queue(2, AIO_QUEUE_OWNED);
    struct aio_queue *impatient = open_queue(2, AIO_QUEUE_OWNED | AIO_QUEUE_NONBLOCK);
    struct aio_file *file = open_direct("file");
    struct aio_op read = op_read(file, NULL, 0, 0);
    struct aio_completion reaped[2];

    for (unsigned round = 0; round < 50; round++) {
        struct aio_op two[2] = {read, read};
        int taken = 0;
        int error;

        two[0].flags = AIO_OP_LINK;
        EXPECT(aio_queue_submit(queue, two, 2, NULL), 2);
        EXPECT(aio_queue_submit(queue, &read, 1, NULL), -EBUSY);
        EXPECT(aio_queue_reap(queue, reaped, 2, 2, NULL), 2);
        two[0].flags = 0;
        EXPECT(aio_queue_submit(impatient, two, 2, NULL), 2);
        error = aio_queue_submit(impatient, &read, 1, NULL);
        REQUIRE_EQ(error, -EAGAIN);
        while (taken < 2)
            taken += aio_queue_reap(impatient, reaped, 1, 2, NULL);
    }
    close_file(file);
    close_queue(queue);
    close_queue(impatient);
}
END_TEST

START_TEST(a_callback_has_its_slot)
{
    struct aio_queue *queue = open_queue(2, AIO_QUEUE_OWNED);
    struct seen first = {.queue = queue, .op = op_nop(), .submits = 2};
    struct seen second = {0};
    struct aio_op ops[] = {with_callback(op_nop(), &first), with_callback(op_nop(), &second)};
    struct aio_completion reaped[2];

    EXPECT(aio_queue_submit(queue, ops, 2, NULL), 2);
    EXPECT(aio_queue_drain(queue, NULL), 0);
    REQUIRE_EQ(first.count + second.count, 2);
    REQUIRE_EQ(first.errors[0], 1);
    /* The other callback's slot comes free when it returns: that is no full table. */
    REQUIRE_EQ(first.errors[1], -EAGAIN);
    EXPECT(aio_queue_reap(queue, reaped, 1, 2, NULL), 1);
    close_queue(queue);
}
END_TEST

/* --- links, cancel -------------------------------------------------------------------------- */

START_TEST(what_waits_can_be_cancelled)
{
    struct rig rig = rig_open(8, AIO_QUEUE_OWNED);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[] = {op_write(rig.file, bytes, PAGE, 0), op_truncate(rig.file, 0),
                           op_write(rig.file, bytes, PAGE, PAGE), op_nop(), op_nop()};
    aio_request_id ids[5];

    ops[2].flags = ops[3].flags = AIO_OP_LINK;
    fault_hold(rig.fault, FAULT_WRITES);
    EXPECT(aio_queue_submit(rig.queue, ops, 5, ids), 5);
    EXPECT(aio_queue_cancel(rig.queue, ids[3]), 0);
    REQUIRE_EQ(completion_of(rig.queue, ids[4]).result, -ECANCELED);
    REQUIRE_EQ(completion_of(rig.queue, ids[3]).result, -ECANCELED);
    EXPECT(aio_queue_cancel(rig.queue, ids[1]), 0); /* lets the write in, by the mail */
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, -ECANCELED);
    EVENTUALLY(aio_queue_reap(rig.queue, NULL, 0, 0, NULL) == 0 && fault_held(rig.fault) == 2);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, ids[2]).result, PAGE);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- many threads --------------------------------------------------------------------------- */

struct hammer {
    struct aio_file *file;
    struct aio_file *cached;
    uint64_t seed;
};

static void *hammer_owned(void *argument)
{
    struct hammer *hammer = argument;
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
    char *bytes = pattern_alloc(PAGE, 0, hammer->seed);
    uint64_t state = mix(hammer->seed);
    struct seen seen = {0};
    struct aio_completion reaped[8];
    int called = 0;

    EXPECT(aio_queue_register(queue, hammer->file), 0);
    for (unsigned round = 0; round < 100 * test_scale(); round++) {
        unsigned count = 1 + (unsigned)(random_next(&state) % 6);
        unsigned results = 0;
        struct aio_op ops[6];

        for (unsigned index = 0; index < count; index++) {
            struct aio_file *file = random_next(&state) % 4 == 0 ? hammer->cached : hammer->file;
            int64_t offset = (int64_t)(random_next(&state) % 16 * PAGE);

            switch (random_next(&state) % 8) {
            case 0:
                ops[index] = op_truncate(file, offset);
                break;
            case 1:
                ops[index] = op_append(file, bytes, PAGE);
                break;
            case 2:
                ops[index] = op_write(file, bytes, 100, offset + 10);
                break;
            case 3:
                ops[index] = op_sync(file);
                ops[index].flags = random_next(&state) % 2 == 0 ? AIO_OP_DRAIN : 0;
                break;
            default:
                ops[index] = op_write(file, bytes, PAGE, offset);
                break;
            }
            if (random_next(&state) % 3 == 0)
                ops[index] = with_callback(ops[index], &seen);
            else
                results++;
            called += ops[index].on_complete != NULL;
            if (index + 1 < count && random_next(&state) % 3 == 0)
                ops[index].flags |= AIO_OP_LINK;
        }
        EXPECT(aio_queue_submit(queue, ops, count, NULL), count);
        if (random_next(&state) % 8 == 0)
            EXPECT(aio_file_truncate(hammer->file, 0), 0);
        if (random_next(&state) % 8 == 0)
            EXPECT(aio_file_sync(hammer->cached), 0);
        while (results > 0) {
            int taken = aio_queue_reap(queue, reaped, 1, 8, NULL);

            REQUIRE(taken >= 0);
            for (int index = 0; index < taken; index++)
                REQUIRE(reaped[index].result >= 0);
            results -= (unsigned)taken;
        }
        EXPECT(aio_queue_drain(queue, NULL), 0);
        REQUIRE_EQ(seen.count, called);
    }
    close_queue(queue);
    free(bytes);
    return NULL;
}

START_TEST(a_queue_for_each_thread_on_one_file)
{
    struct aio_file *file = open_direct("file");
    struct aio_file *cached = open_other("file", AIO_DIRECT_NEVER);
    struct hammer hammers[4];
    pthread_t threads[4];

    for (unsigned index = 0; index < COUNT(threads); index++) {
        hammers[index] = (struct hammer){file, cached, index + 1};
        thread_begin(&threads[index], hammer_owned, &hammers[index]);
    }
    for (unsigned index = 0; index < COUNT(threads); index++)
        thread_end(threads[index]);
    close_file(cached);
    close_file(file);
}
END_TEST

/* --- registered files ----------------------------------------------------------------------- */

START_TEST(register_is_a_hint)
{
    struct aio_queue *queues[2] = {open_queue(4, 0), open_queue(4, AIO_QUEUE_OWNED)};
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(PAGE, 0, 1);

    EXPECT(aio_queue_register(NULL, file), -EINVAL);
    EXPECT(aio_queue_register(queues[0], NULL), -EINVAL);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned index = 0; index < 2; index++) {
            struct aio_op write = op_write(file, bytes, PAGE, 0);
            struct aio_op unaligned = op_write(file, bytes + 100, 100, 100);
            struct aio_op sync = op_sync(file);

            EXPECT(aio_queue_register(queues[index], file), 0);
            REQUIRE_EQ(run_op(queues[index], &write).result, PAGE);
            REQUIRE_EQ(run_op(queues[index], &unaligned).result, 100);
            REQUIRE_EQ(run_op(queues[index], &sync).result, 0);
        }
    close_file(file);
    disk_check_pattern("file", 0, PAGE, 1);
    close_queue(queues[0]);
    close_queue(queues[1]);
    free(bytes);
}
END_TEST

START_TEST(a_descriptor_that_comes_again_is_another_file)
{
    static const uint32_t flags[] = {0, AIO_QUEUE_OWNED};

    for (unsigned which = 0; which < COUNT(flags); which++) {
        struct aio_queue *queue = open_queue(4, flags[which]);
        char *bytes = pattern_alloc(PAGE, 0, 1);
        char *zeros = page_alloc(PAGE);
        struct aio_file *file;
        int fd = -1;

        memset(zeros, 0, PAGE);
        for (unsigned round = 0; round < 6; round++) {
            struct aio_op write;

            file = open_direct(round % 2 == 0 ? "even" : "odd");
            if (round == 0)
                fd = aio_file_fd(file);
            REQUIRE_EQ(aio_file_fd(file), fd);
            /* The third and fourth are not told of. */
            if (round != 2 && round != 3)
                EXPECT(aio_queue_register(queue, file), 0);
            write = op_write(file, round % 2 == 0 ? bytes : zeros, PAGE, 0);
            REQUIRE_EQ(run_op(queue, &write).result, PAGE);
            disk_check_pattern("even", 0, PAGE, 1);
            if (round > 0)
                disk_check_zeros("odd", 0, PAGE);
            close_file(file);
        }
        close_queue(queue);
        free(bytes);
        free(zeros);
    }
}
END_TEST

static void *close_it(void *file)
{
    close_file(file);
    return NULL;
}

/* Whoever closes it: nothing of the file is left, its locks neither. */
START_TEST(a_closed_file_is_let_go)
{
    static const uint32_t flags[] = {0, AIO_QUEUE_OWNED};

    for (unsigned which = 0; which < 2 * COUNT(flags); which++) {
        struct aio_queue *queue = open_queue(4, flags[which / 2]);
        struct aio_file *file = open_direct("file");
        struct aio_file *again;
        struct aio_op read = op_read(file, NULL, 0, 0);
        pthread_t thread;
        int fd = dup(aio_file_fd(file)); /* the same open file, to be locked */
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

        REQUIRE(fcntl(fd, F_OFD_SETLK, &lock) == 0);
        close(fd);
        EXPECT(aio_queue_register(queue, file), 0);
        REQUIRE_EQ(run_op(queue, &read).result, 0);
        if (which % 2 == 0) {
            close_file(file);
        } else {
            thread_begin(&thread, close_it, file);
            thread_end(thread);
        }
        again = open_other("file", AIO_DIRECT_REQUIRED);
        /* The kernel may take a moment to put a registered file away; and only the owner of a queue
         * can tell it to. */
        for (unsigned tries = 0; aio_file_lock(again, F_WRLCK, false) != 0; tries++) {
            if (tries > 200)
                ck_abort_msg("case %u: the closed file is still locked", which);
            read.file = again;
            REQUIRE_EQ(run_op(queue, &read).result, 0);
            sleep_us(10000);
        }
        close_file(again);
        close_queue(queue);
    }
}
END_TEST

static Suite *owned_suite(void)
{
    Suite *suite = suite_create("owned");
    const TTest *const many[] = {a_queue_for_each_thread_on_one_file};

    ADD_TESTS(suite, "owner", an_owned_queue_has_no_thread, other_threads_are_refused,
              a_child_has_no_owned_queue);
    ADD_TESTS(suite, "results", results_are_taken_as_from_any_queue,
              callbacks_run_in_reap_drain_and_destroy_alone, reap_sleeps_for_what_is_left);
    ADD_TESTS(suite, "workers", what_workers_do_comes_back_to_a_sleeping_owner,
              a_slow_worker_wakes_the_owner, the_owner_sleeps_until_a_worker_is_done,
              destroy_waits_for_workers);
    ADD_TESTS(suite, "blocking", blocking_calls_move_the_queue,
              close_does_not_wait_for_callbacks_of_its_own_thread,
              other_threads_wait_for_the_owner);
    ADD_TESTS(suite, "deadlines", notices_come_in_the_owner_s_calls,
              a_late_owner_gets_no_notice_of_what_was_done);
    ADD_TESTS(suite, "eventfd", the_eventfd_tells_of_completions_without_a_call,
              the_eventfd_tells_of_what_comes_after_a_read_in_vain,
              an_event_loop_needs_nothing_else, an_eventfd_made_late_tells_of_what_is_there);
    ADD_TESTS(suite, "slots", a_table_full_of_callbacks_is_told,
              submit_moves_the_queue_to_have_a_slot, a_callback_has_its_slot);
    ADD_TESTS(suite, "cancel", what_waits_can_be_cancelled);
    ADD_TESTS(suite, "register", register_is_a_hint, a_descriptor_that_comes_again_is_another_file,
              a_closed_file_is_let_go);
    add_long_tests(suite, "many", many, COUNT(many), 20);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, owned_suite);
}
