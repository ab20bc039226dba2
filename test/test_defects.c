/* SPDX-License-Identifier: MIT */
/* clang-format off */
/*
 * test_defects.c - what earlier handles over kernel AIO got wrong, each as a test that this one
 * passes. ID: ioengine's AsyncIO, GD: goaio, its ancestor.
 *
 * ID1   opcodes counted by hand: vectored writes were reads
 *       -> vectored_writes_write
 * ID2   the remainder of a remainder went too far
 *       -> second_partial_lands_behind_the_first
 * ID3   vectors in parts never ended; the caller's were edited
 *       -> vectors_in_parts_end_and_stay_as_they_are
 * ID4   submitted before it was known: its event was dropped
 *       -> an_early_event_finds_its_request
 * ID5   done was set before result and error
 *       -> a_result_is_whole_when_it_is_seen
 * ID6   three busy-waits
 *       -> waiting_costs_no_time_of_the_processor
 * ID7   the time-out was not stored, and 0 meant nothing
 *       -> no_time_out_is_for_ever_and_zero_is_a_poll
 * ID8   sync and truncate waited for nobody
 *       -> each_of_many_syncs_waits_for_all_writes
 * ID9   close abandoned requests and those who waited
 *       -> close_brings_every_request_to_its_end
 *       (calls after close: the handle is gone, so that nothing can be promised of them)
 * ID10  a refused remainder ran for ever
 *       -> refused_remainders_go_on_or_fail
 * ID11  the end of the file was a guess
 *       -> the_end_is_where_the_file_ends
 * ID12  two appends to one place
 *       -> appends_do_not_meet
 * ID13  the cursor was not locked, seek took anything
 *       -> the_cursor_moves_once_for_each_read
 * ID14  errors were sentences
 *       -> errors_are_numbers
 * ID15  1,024 requests per file until the system had none
 *       -> a_hundred_files_share_a_few_slots
 * ID16  no check of alignment, leftovers in recycled iocbs
 *       -> what_a_slot_held_before_does_not_matter
 * ID17  file locks that did not lock: this version has no call that locks
 * ID18  all vectors of a loop went to one place
 *       -> every_vector_has_its_own_place
 * ID19  the mapped mode: there is none; aligned memory is test_buffer.c's
 * GD1   as ID2; and an overlapping write moved the end
 *       -> a_write_inside_does_not_move_the_end
 * GD2   io_submit under the lock of everything
 *       -> a_slow_submit_stops_nobody
 * GD3   truncate did not keep others out
 *       -> truncate_gets_its_turn_among_writers
 * GD4   failures not reported, results lost beyond the array
 *       -> reap_loses_nothing
 * GD5   a signal ended a wait while the buffer was in use
 *       -> a_signal_leaves_a_wait_waiting
 * GD6   a failing open kept its descriptor; Wait without slot
 *       -> a_failed_open_keeps_nothing
 */
/* clang-format on */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

static const struct timespec no_time = {0, 0};

static void release_all(struct rig *rig)
{
    fault_hold(rig->fault, 0);
    fault_release(rig->fault, FAULT_FOR_EVER);
}

/* ID1 */
START_TEST(vectored_writes_write)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    char *zeros = page_alloc(2 * PAGE);
    struct iovec iov[2] = {{bytes, PAGE}, {bytes + PAGE, PAGE}};
    struct aio_op operations[] = {
        op_vectors(AIO_OP_WRITEV, file, iov, 2, 0),
        op_vectors(AIO_OP_APPENDV, file, iov, 2, 0),
    };

    /* A file of zeros: what reads instead would show in the memory. */
    memset(zeros, 0, 2 * PAGE);
    EXPECT(aio_file_write(file, zeros, 2 * PAGE), 2 * PAGE);
    for (unsigned which = 0; which < 2; which++)
        REQUIRE_EQ(run_op(queue, &operations[which]).result, 2 * PAGE);
    EXPECT(aio_file_pwritev(file, iov, 2, 4 * PAGE), 2 * PAGE);
    EXPECT(aio_file_appendv(file, iov, 2, NULL), 2 * PAGE);
    pattern_check(bytes, 2 * PAGE, 0, 1);
    REQUIRE_EQ(disk_size("file"), 8 * PAGE);
    for (unsigned which = 0; which < 4; which++) {
        disk_read("file", zeros, 2 * PAGE, which * 2 * PAGE);
        pattern_check(zeros, 2 * PAGE, 0, 1);
    }
    close_file(file);
    close_queue(queue);
    free(bytes);
    free(zeros);
}
END_TEST

/* ID2, GD1 */
START_TEST(second_partial_lands_behind_the_first)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(10 * PAGE, PAGE, 1);
    struct aio_op write = op_write(rig.file, bytes, 10 * PAGE, PAGE);
    static const int64_t parts[] = {PAGE, 3 * PAGE, 2 * PAGE};
    int64_t place = PAGE;

    for (uint32_t step = 0; step < 3; step++)
        fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, 0, step + 1, .value = parts[step]});
    REQUIRE_EQ(run_op(rig.queue, &write).result, 10 * PAGE);
    REQUIRE_EQ(fault_steps(rig.fault), 4);
    for (unsigned step = 0; step < 4; step++) {
        REQUIRE_EQ(fault_step(rig.fault, step).offset, place);
        place += step < 3 ? parts[step] : 0;
    }
    disk_check_zeros("file", 0, PAGE);
    disk_check_pattern("file", PAGE, 10 * PAGE, 1);
    REQUIRE_EQ(disk_size("file"), 11 * PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* ID3 */
START_TEST(vectors_in_parts_end_and_stay_as_they_are)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(10 * PAGE, 0, 1);
    struct iovec iov[] = {
        {bytes, 3 * PAGE}, {bytes + 3 * PAGE, PAGE}, {bytes + 4 * PAGE, 6 * PAGE}};
    struct iovec before[3];
    struct aio_op write = op_vectors(AIO_OP_WRITEV, rig.file, iov, 3, 0);

    memcpy(before, iov, sizeof(iov));
    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, .count = 20, .value = 2 * PAGE});
    REQUIRE_EQ(run_op(rig.queue, &write).result, 10 * PAGE);
    REQUIRE(memcmp(before, iov, sizeof(iov)) == 0);
    disk_check_pattern("file", 0, 10 * PAGE, 1);
    rig_close(&rig);
    free(bytes);
}
END_TEST

struct early {
    struct rig *rig;
    atomic_int taken;
    atomic_bool stop;
};

static void *early_reap(void *argument)
{
    struct early *early = argument;
    struct aio_completion completion;

    while (!early->stop) {
        struct timespec a_moment = milliseconds(5);
        int64_t count = CALL(aio_queue_reap(early->rig->queue, &completion, 0, 1, &a_moment));

        REQUIRE(count == 0 || (count == 1 && completion.result == PAGE));
        early->taken += (int)count;
    }
    return NULL;
}

static void early_callback(const struct aio_completion *completion)
{
    struct early *early = completion->context;

    REQUIRE_EQ(completion->result, PAGE);
    early->taken++;
}

/* ID4 */
START_TEST(an_early_event_finds_its_request)
{
    struct rig rig = rig_open(4, 0);
    struct early early = {.rig = &rig};
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    pthread_t thread;

    /* The system call comes back long after the event. */
    fault_linger(rig.fault, 20);
    thread_begin(&thread, early_reap, &early);
    for (int round = 1; round <= 5; round++) {
        submit_one(rig.queue, &write);
        EVENTUALLY(early.taken == round);
    }
    early.stop = true;
    thread_end(thread);
    write.on_complete = early_callback;
    write.context = &early;
    for (int round = 6; round <= 10; round++) {
        submit_one(rig.queue, &write);
        EVENTUALLY(early.taken == round);
    }
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    REQUIRE_EQ(early.taken, 10);
    rig_close(&rig);
    free(page);
}
END_TEST

struct failing {
    struct rig *rig;
};

static void *wait_for_failures(void *argument)
{
    struct failing *failing = argument;
    struct aio_op read = op_read(failing->rig->file, NULL, 0, 0);

    for (unsigned round = 0; round < 300; round++) {
        struct aio_completion completion = run_op(failing->rig->queue, &read);

        REQUIRE_EQ(completion.result, -EDOM);
        REQUIRE_EQ(completion.error, -EDOM);
    }
    return NULL;
}

/* ID5 */
START_TEST(a_result_is_whole_when_it_is_seen)
{
    struct rig rig = rig_open(8, 0);
    struct failing failing = {.rig = &rig};
    pthread_t threads[4];

    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, FAULT_FOR_EVER, -EDOM});
    for (unsigned index = 0; index < 4; index++)
        thread_begin(&threads[index], wait_for_failures, &failing);
    for (unsigned index = 0; index < 4; index++)
        thread_end(threads[index]);
    rig_close(&rig);
}
END_TEST

/* A call that waits, on a thread of its own. */
struct waiting {
    struct rig *rig;
    int kind;
    aio_request_id id;
    int64_t result;
    atomic_bool done;
};

static void *waiting_main(void *argument)
{
    struct waiting *waiting = argument;
    struct aio_queue *queue = waiting->rig->queue;
    struct aio_completion completions[4];
    struct aio_op read = op_read(waiting->rig->file, NULL, 0, 0);

    switch (waiting->kind) {
    case 0:
        waiting->result = CALL(aio_queue_wait(queue, waiting->id, NULL));
        break;
    case 1:
        waiting->result = CALL(aio_queue_reap(queue, completions, 1, 4, NULL));
        break;
    case 2:
        waiting->result = CALL(aio_queue_drain(queue, NULL));
        break;
    default:
        waiting->result = CALL(aio_queue_submit(queue, &read, 1, &waiting->id));
        break;
    }
    waiting->done = true;
    return NULL;
}

/* ID6; an idle handle is test_idle.c's. */
START_TEST(waiting_costs_no_time_of_the_processor)
{
    struct rig rig = rig_open(3, 0);
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    struct waiting waiting[4];
    aio_request_id ids[3];
    pthread_t threads[4];
    int64_t before_ns;

    memset(waiting, 0, sizeof(waiting));
    fault_hold(rig.fault, FAULT_ALL);
    for (unsigned index = 0; index < 3; index++)
        ids[index] = submit_one(rig.queue, &read);
    for (int kind = 0; kind < 4; kind++) {
        waiting[kind].rig = &rig;
        waiting[kind].kind = kind;
        waiting[kind].id = ids[0];
        thread_begin(&threads[kind], waiting_main, &waiting[kind]);
    }
    sleep_us(50000);
    before_ns = process_cpu_ns();
    sleep_us(500000);
    /* The reaper looks in a hundred times a second while something is in flight. */
    REQUIRE(process_cpu_ns() - before_ns < 20000000 * (int64_t)slowness());
    release_all(&rig);
    for (int kind = 0; kind < 4; kind++)
        thread_end(threads[kind]);
    EXPECT(aio_file_close(rig.file), 0);
    EXPECT(aio_queue_destroy(rig.queue, AIO_QUEUE_DISCARD), 0);
}
END_TEST

/* ID7 */
START_TEST(no_time_out_is_for_ever_and_zero_is_a_poll)
{
    struct rig rig = rig_open(3, 0);
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    struct waiting waiting = {.rig = &rig};
    struct aio_completion completion;
    int64_t start_ns = clock_ns();
    pthread_t thread;

    fault_hold(rig.fault, FAULT_ALL);
    waiting.id = submit_one(rig.queue, &read);
    for (unsigned round = 0; round < 100; round++) {
        EXPECT(aio_queue_wait(rig.queue, waiting.id, &no_time), -ETIMEDOUT);
        EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, &no_time), 0);
        EXPECT(aio_queue_drain(rig.queue, &no_time), -ETIMEDOUT);
    }
    REQUIRE(clock_ns() - start_ns < 1000000000 * (int64_t)slowness());
    thread_begin(&thread, waiting_main, &waiting);
    sleep_us(300000);
    REQUIRE(!waiting.done);
    release_all(&rig);
    thread_end(thread);
    REQUIRE_EQ(waiting.result, 0);
    rig_close(&rig);
}
END_TEST

struct syncer {
    struct rig *rig;
    bool truncate;
    atomic_bool done;
};

static void *syncer_main(void *argument)
{
    struct syncer *syncer = argument;

    if (syncer->truncate)
        REQUIRE_EQ(CALL(aio_file_truncate(syncer->rig->file, 100)), 0);
    else
        REQUIRE_EQ(CALL(aio_file_sync(syncer->rig->file)), 0);
    syncer->done = true;
    return NULL;
}

/* ID8 */
START_TEST(each_of_many_syncs_waits_for_all_writes)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct syncer syncers[6];
    pthread_t threads[6];
    struct aio_completion completions[4];

    memset(syncers, 0, sizeof(syncers));
    fault_hold(rig.fault, FAULT_WRITES);
    for (unsigned index = 0; index < 4; index++) {
        struct aio_op write = op_write(rig.file, page, PAGE, index * PAGE);

        submit_one(rig.queue, &write);
    }
    EVENTUALLY(fault_held(rig.fault) == 4);
    for (unsigned index = 0; index < 6; index++) {
        syncers[index].rig = &rig;
        syncers[index].truncate = index % 2 == 0;
        thread_begin(&threads[index], syncer_main, &syncers[index]);
    }
    for (unsigned left = 4; left > 0; left--) {
        sleep_us(20000);
        for (unsigned index = 0; index < 6; index++)
            REQUIRE(!syncers[index].done);
        fault_release(rig.fault, 1);
    }
    for (unsigned index = 0; index < 6; index++)
        thread_end(threads[index]);
    REQUIRE_EQ(disk_size("file"), 100);
    fault_hold(rig.fault, 0);
    EXPECT(aio_queue_reap(rig.queue, completions, 4, 4, NULL), 4);
    rig_close(&rig);
    free(page);
}
END_TEST

static void *close_main(void *argument)
{
    REQUIRE_EQ(CALL(aio_file_close(argument)), 0);
    return NULL;
}

/* ID9 */
START_TEST(close_brings_every_request_to_its_end)
{
    struct rig rig = rig_open(8, 0);
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    struct waiting waiting[3];
    pthread_t threads[3];
    pthread_t closing;

    memset(waiting, 0, sizeof(waiting));
    fault_hold(rig.fault, FAULT_ALL);
    for (unsigned index = 0; index < 3; index++) {
        waiting[index].rig = &rig;
        waiting[index].id = submit_one(rig.queue, &read);
        thread_begin(&threads[index], waiting_main, &waiting[index]);
    }
    sleep_us(20000);
    thread_begin(&closing, close_main, rig.file);
    sleep_us(20000);
    release_all(&rig);
    thread_end(closing);
    for (unsigned index = 0; index < 3; index++) {
        thread_end(threads[index]);
        REQUIRE_EQ(waiting[index].result, 0);
    }
    close_queue(rig.queue);
}
END_TEST

/* Submits a write whose remainder is then refused. */
static aio_request_id submit_refused(struct rig *rig, const char *bytes, int error, uint32_t times)
{
    struct aio_op write = op_write(rig->file, bytes, 4 * PAGE, 0);
    aio_request_id id;

    fault_clear(rig->fault);
    fault_add(rig->fault, (struct fault_rule){FAULT_SHORTEN, .value = PAGE});
    fault_hold(rig->fault, FAULT_ALL);
    id = submit_one(rig->queue, &write);
    EVENTUALLY(fault_held(rig->fault) == 1);
    fault_refuse(rig->fault, error, times);
    release_all(rig);
    return id;
}

/* ID10 */
START_TEST(refused_remainders_go_on_or_fail)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op writes[4];
    aio_request_id ids[4];
    struct aio_completion completion;

    /* No room for a while, and an interruption. */
    REQUIRE_EQ(completion_of(rig.queue, submit_refused(&rig, bytes, -EAGAIN, 5)).result, 4 * PAGE);
    disk_check_pattern("file", 0, 4 * PAGE, 1);
    REQUIRE_EQ(completion_of(rig.queue, submit_refused(&rig, bytes, -EINTR, 5)).result, 4 * PAGE);
    /* A refusal for good. */
    completion = completion_of(rig.queue, submit_refused(&rig, bytes, -EINVAL, 1));
    REQUIRE(completion.result == PAGE && completion.error == -EINVAL);
    completion = completion_of(rig.queue, submit_refused(&rig, bytes, -EAGAIN, FAULT_FOR_EVER));
    REQUIRE(completion.result == PAGE && completion.error == -EAGAIN);
    /* The same at the first submit; an error is the first one's alone. */
    fault_clear(rig.fault);
    fault_refuse(rig.fault, -EAGAIN, 5);
    fault_take(rig.fault, 1);
    for (unsigned index = 0; index < 4; index++)
        writes[index] = op_write(rig.file, bytes, PAGE, index * PAGE);
    EXPECT(aio_queue_submit(rig.queue, writes, 4, ids), 4);
    for (unsigned index = 0; index < 4; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, PAGE);
    fault_refuse(rig.fault, -EBADF, 1);
    EXPECT(aio_queue_submit(rig.queue, writes, 4, ids), 4);
    for (unsigned index = 0; index < 4; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, index == 0 ? -EBADF : (int)PAGE);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* ID10 */
START_TEST(an_engine_that_never_has_room_is_an_error)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    fault_refuse(rig.fault, -EAGAIN, FAULT_FOR_EVER);
    REQUIRE_EQ(run_op(rig.queue, &write).result, -EAGAIN);
    EXPECT(aio_queue_stats(rig.queue, &stats), 0);
    REQUIRE(stats.retries > 10);
    fault_refuse(rig.fault, 0, 0);
    REQUIRE_EQ(run_op(rig.queue, &write).result, PAGE);
    rig_close(&rig);
    free(page);
}
END_TEST

/* ID10 */
START_TEST(a_poller_is_as_patient_as_one_who_waits)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    int64_t result = -ETIMEDOUT;
    int64_t start_ns = clock_ns();
    aio_request_id id;

    /* No room for 50 ms, in which somebody polls all the time. */
    fault_refuse(rig.fault, -EAGAIN, FAULT_FOR_EVER);
    id = submit_one(rig.queue, &write);
    while (result == -ETIMEDOUT) {
        result = CALL(aio_queue_wait(rig.queue, id, &no_time));
        if (clock_ns() - start_ns > 50000000)
            fault_refuse(rig.fault, 0, 0);
    }
    REQUIRE_EQ(result, PAGE);
    rig_close(&rig);
    free(page);
}
END_TEST

/* ID10: EAGAIN as the result of a transfer, for ever: no progress is an error, never a loop. */
START_TEST(a_transfer_that_never_gets_on_is_an_error)
{
    struct rig rig = rig_open(4, 0);
    struct aio_op sync = op_sync(rig.file);
    struct timespec patience = milliseconds(5000 * slowness());

    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, FAULT_FOR_EVER, -EAGAIN});
    EXPECT(aio_queue_wait(rig.queue, submit_one(rig.queue, &sync), &patience), -EAGAIN);
    fault_clear(rig.fault);
    CALL(aio_file_clear_error(rig.file));
    rig_close(&rig);
}
END_TEST

/* ID11 */
START_TEST(the_end_is_where_the_file_ends)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op append = op_append(rig.file, page, PAGE);
    off_t where;

    /* Behind one that failed, one that was short, a truncate, another's growth. */
    REQUIRE_EQ(run_op(rig.queue, &append).offset, 0);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, .count = 2, .value = -EIO});
    REQUIRE_EQ(run_op(rig.queue, &append).result, -EIO);
    EXPECT(aio_file_append(rig.file, page, PAGE, &where), -EIO);
    REQUIRE_EQ(run_op(rig.queue, &append).offset, PAGE);
    EXPECT(aio_file_truncate(rig.file, PAGE), 0);
    EXPECT(aio_file_append(rig.file, page, PAGE, &where), PAGE);
    REQUIRE_EQ(where, PAGE);
    REQUIRE(truncate(scratch_path("file"), 7 * PAGE) == 0);
    REQUIRE_EQ(run_op(rig.queue, &append).offset, 7 * PAGE);
    EXPECT(aio_file_size(rig.file), 8 * PAGE);
    rig_close(&rig);
    free(page);
}
END_TEST

/* ID12 */
START_TEST(appends_do_not_meet)
{
    struct rig rig = rig_open(32, 0);
    char *bytes = pattern_alloc(32 * PAGE, 0, 1);
    struct aio_op appends[32];
    struct aio_completion completions[32];
    uint64_t places = 0;

    fault_hold(rig.fault, FAULT_ALL);
    for (unsigned index = 0; index < 32; index++) {
        appends[index] = op_append(rig.file, bytes + index * PAGE, PAGE);
        appends[index].context = bytes + index * PAGE;
    }
    EXPECT(aio_queue_submit(rig.queue, appends, 32, NULL), 32);
    release_all(&rig);
    EXPECT(aio_queue_reap(rig.queue, completions, 32, 32, NULL), 32);
    for (unsigned index = 0; index < 32; index++) {
        char *page = page_alloc(PAGE);

        REQUIRE(completions[index].result == PAGE && completions[index].offset % PAGE == 0);
        places |= UINT64_C(1) << completions[index].offset / PAGE;
        disk_read("file", page, PAGE, (uint64_t)completions[index].offset);
        REQUIRE(memcmp(page, completions[index].context, PAGE) == 0);
        free(page);
    }
    REQUIRE_EQ(places, UINT32_MAX);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* ID12: an end between two sectors. */
START_TEST(appends_meet_an_end_that_fits_nothing)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op append = op_append(rig.file, bytes + 100 + PAGE, PAGE);
    struct aio_file_options options = file_options();
    struct aio_file *strict;
    off_t where = -1;

    EXPECT(aio_file_pwrite(rig.file, bytes, PAGE, 0), PAGE);
    EXPECT(aio_file_truncate(rig.file, 100), 0);
    options.unaligned = AIO_UNALIGNED_REJECT;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &strict), 0);
    append.file = strict;
    EXPECT(aio_file_append(strict, bytes, PAGE, &where), -EINVAL);
    EXPECT(aio_queue_submit(rig.queue, &append, 1, NULL), -EINVAL);
    REQUIRE(where == -1 && disk_size("file") == 100);
    EXPECT(aio_file_append(rig.file, bytes + 100, PAGE, &where), PAGE);
    REQUIRE_EQ(where, 100);
    append.file = rig.file;
    REQUIRE_EQ(run_op(rig.queue, &append).offset, 100 + PAGE);
    append.buf = bytes + 100 + 2 * PAGE;
    append.len = 1;
    REQUIRE_EQ(run_op(rig.queue, &append).offset, 100 + 2 * PAGE);
    REQUIRE_EQ(disk_size("file"), 101 + 2 * PAGE);
    disk_check_pattern("file", 0, 101 + 2 * PAGE, 1);
    close_file(strict);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* ID12: a flag that overrides every offset. */
START_TEST(the_append_mode_writes_at_the_end_alone)
{
    struct aio_file_options options = file_options();
    char *bytes = pattern_alloc(8 * PAGE, 0, 1);

    for (unsigned direct = 0; direct < 2; direct++) {
        struct aio_op write;
        struct aio_file *file;
        off_t where = -1;

        make_file("file", 100, 1);
        options.direct = direct ? AIO_DIRECT_REQUIRED : AIO_DIRECT_NEVER;
        EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_APPEND, 0, &options, &file), 0);
        EXPECT(aio_file_pwrite(file, bytes + 100, PAGE, 0), PAGE);
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), 0);
        EXPECT(aio_file_write(file, bytes + 100 + PAGE, 100), 100);
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), 200 + PAGE);
        EXPECT(aio_file_append(file, bytes + 200 + PAGE, PAGE, &where), PAGE);
        REQUIRE_EQ(where, 200 + PAGE);
        write = op_write(file, bytes + 200 + 2 * PAGE, PAGE, 0);
        REQUIRE_EQ(run_op(aio_file_queue(file), &write).offset, 200 + 2 * PAGE);
        write = op_append(file, bytes + 200 + 3 * PAGE, 1);
        REQUIRE_EQ(run_op(aio_file_queue(file), &write).offset, 200 + 3 * PAGE);
        REQUIRE_EQ(disk_size("file"), 201 + 3 * PAGE);
        disk_check_pattern("file", 0, 201 + 3 * PAGE, 1);
        close_file(file);
    }
    free(bytes);
}
END_TEST

struct cursor_user {
    struct aio_file *file;
    atomic_int *pages;
};

static void *read_at_cursor(void *argument)
{
    struct cursor_user *user = argument;
    char *page = page_alloc(PAGE);

    while (CALL(aio_file_read(user->file, page, PAGE)) == PAGE)
        (*user->pages)++;
    free(page);
    return NULL;
}

/* ID13 */
START_TEST(the_cursor_moves_once_for_each_read)
{
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(100 * PAGE, 0, 1);
    atomic_int pages = 0;
    struct cursor_user user = {file, &pages};
    pthread_t threads[4];

    EXPECT(aio_file_write(file, bytes, 100 * PAGE), 100 * PAGE);
    EXPECT(aio_file_seek(file, -1, SEEK_SET), -EINVAL);
    EXPECT(aio_file_seek(file, 0, 99), -EINVAL);
    EXPECT(aio_file_seek(file, -101 * (int64_t)PAGE, SEEK_END), -EINVAL);
    EXPECT(aio_file_seek(file, 0, SEEK_SET), 0);
    for (unsigned index = 0; index < 4; index++)
        thread_begin(&threads[index], read_at_cursor, &user);
    for (unsigned index = 0; index < 4; index++)
        thread_end(threads[index]);
    REQUIRE_EQ(pages, 100);
    EXPECT(aio_file_read(file, bytes, PAGE), 0); /* the end, not an error */
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 100 * (int64_t)PAGE);
    close_file(file);
    free(bytes);
}
END_TEST

static atomic_llong told;

static void tell(const struct aio_completion *completion)
{
    told = completion->result;
}

/* ID14 */
START_TEST(errors_are_numbers)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EROFS, ENXIO, ENODEV, EFBIG, ENOMEM};
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_completion completion;

    for (size_t index = 0; index < COUNT(errors); index++) {
        int error = -errors[index];

        fault_clear(rig.fault);
        fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, FAULT_FOR_EVER, error});
        EXPECT(aio_file_pwrite(rig.file, page, PAGE, 0), error);
        EXPECT(aio_queue_wait(rig.queue, submit_one(rig.queue, &write), NULL), error);
        submit_one(rig.queue, &write);
        EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, NULL), 1);
        REQUIRE(completion.result == error && completion.error == error);
        told = 0;
        write.on_complete = tell;
        submit_one(rig.queue, &write);
        EXPECT(aio_queue_drain(rig.queue, NULL), 0);
        REQUIRE_EQ(told, error);
        write.on_complete = NULL;
    }
    rig_close(&rig);
    free(page);
}
END_TEST

/* ID15 */
START_TEST(a_hundred_files_share_a_few_slots)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file_options options = file_options();
    struct aio_queue_options too_deep = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue *none;
    struct aio_file *files[100];
    char *page = pattern_alloc(PAGE, 0, 1);

    options.queue = queue;
    for (unsigned index = 0; index < 100; index++) {
        char name[16];

        snprintf(name, sizeof(name), "file%u", index);
        EXPECT(aio_file_open(scratch_path(name), O_RDWR | O_CREAT, 0600, &options, &files[index]),
               0);
        REQUIRE(aio_file_queue(files[index]) == queue);
    }
    for (unsigned index = 0; index < 100; index++) {
        struct aio_op write = op_write(files[index], page, PAGE, 0);

        REQUIRE_EQ(run_op(queue, &write).result, PAGE);
        close_file(files[index]);
    }
    /* Too much is refused, not made less. */
    too_deep.engine = test_engine;
    too_deep.depth = AIO_QUEUE_DEPTH_MAX + 1;
    EXPECT(aio_queue_create(&too_deep, &none), -EINVAL);
    close_queue(queue);
    free(page);
}
END_TEST

/* ID16 */
START_TEST(what_a_slot_held_before_does_not_matter)
{
    struct aio_queue *queue = open_queue(1, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct iovec iov = {page, PAGE};
    struct aio_op table[] = {
        op_vectors(AIO_OP_WRITEV, file, &iov, 1, PAGE),
        op_sync(file),
        op_write(file, page, PAGE, 0),
        {.opcode = AIO_OP_DATASYNC, .file = file},
        op_read(file, page, PAGE, 0),
        op_nop(),
        op_vectors(AIO_OP_READV, file, &iov, 1, PAGE),
    };
    uint64_t state = 1;

    for (unsigned round = 0; round < 200; round++) {
        struct aio_op *op = &table[random_next(&state) % COUNT(table)];
        bool moves =
            op->opcode != AIO_OP_NOP && op->opcode != AIO_OP_SYNC && op->opcode != AIO_OP_DATASYNC;
        bool reading = op->opcode == AIO_OP_READ || op->opcode == AIO_OP_READV;
        int64_t size = (int64_t)disk_size("file");
        int64_t result = run_op(queue, op).result;

        if (reading && op->offset >= size)
            REQUIRE_EQ(result, 0);
        else
            REQUIRE_EQ(result, moves ? (int)PAGE : 0);
    }
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

/* ID18 */
START_TEST(every_vector_has_its_own_place)
{
    enum { VECTORS = 1024 };
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(VECTORS * PAGE, 0, 1);
    struct iovec *iov = calloc(VECTORS + 1, sizeof(*iov));
    char *page = page_alloc(PAGE);

    for (unsigned index = 0; index <= VECTORS; index++)
        iov[index] = (struct iovec){bytes + (uint64_t)(index % VECTORS) * PAGE, PAGE};
    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, .count = 20, .value = 100 * PAGE});
    EXPECT(aio_file_pwritev(rig.file, iov, VECTORS, 0), VECTORS * PAGE);
    disk_check_pattern("file", 0, VECTORS * PAGE, 1);
    /* One more than a system call takes; its place is behind all the others. */
    EXPECT(aio_file_pwritev(rig.file, iov, VECTORS + 1, 0), (VECTORS + 1) * PAGE);
    disk_check_pattern("file", 0, VECTORS * PAGE, 1);
    disk_read("file", page, PAGE, VECTORS * PAGE);
    pattern_check(page, PAGE, 0, 1);
    fault_clear(rig.fault);
    fault_shorten_by_chance(rig.fault, 1, 2, PAGE);
    memset(bytes, 0, VECTORS * PAGE);
    iov[VECTORS].iov_base = page;
    EXPECT(aio_file_preadv(rig.file, iov, VECTORS + 1, 0), (VECTORS + 1) * PAGE);
    pattern_check(bytes, VECTORS * PAGE, 0, 1);
    pattern_check(page, PAGE, 0, 1);
    EXPECT(aio_file_appendv(rig.file, iov, 3, NULL), 3 * PAGE);
    REQUIRE_EQ(disk_size("file"), (VECTORS + 4) * PAGE);
    /* A write that moves nothing ends. */
    fault_clear(rig.fault);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 1, FAULT_FOR_EVER, 0});
    EXPECT(aio_file_pwritev(rig.file, iov, 3, 0), -EIO);
    EXPECT(aio_file_preadv(rig.file, iov, 3, 0), 0);
    rig_close(&rig);
    free(bytes);
    free(iov);
    free(page);
}
END_TEST

/* GD1 */
START_TEST(a_write_inside_does_not_move_the_end)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op inside = op_write(file, bytes + PAGE, 3 * PAGE, PAGE);
    struct aio_op append = op_append(file, bytes, PAGE);

    EXPECT(aio_file_write(file, bytes, 2 * PAGE), 2 * PAGE);
    REQUIRE_EQ(run_op(queue, &inside).result, 3 * PAGE);
    inside.len = PAGE;
    REQUIRE_EQ(run_op(queue, &inside).result, PAGE);
    REQUIRE_EQ(run_op(queue, &append).offset, 4 * PAGE);
    REQUIRE_EQ(disk_size("file"), 5 * PAGE);
    disk_check_pattern("file", 0, 4 * PAGE, 1);
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

struct slow {
    struct rig *rig;
    atomic_bool done;
};

static void *submit_slowly(void *argument)
{
    struct slow *slow = argument;
    struct aio_op read = op_read(slow->rig->file, NULL, 0, 0);

    EXPECT(aio_queue_submit(slow->rig->queue, &read, 1, NULL), 1);
    slow->done = true;
    return NULL;
}

/* GD2 */
START_TEST(a_slow_submit_stops_nobody)
{
    struct rig rig = rig_open(4, 0);
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    struct aio_op nop = op_nop();
    struct slow slow = {.rig = &rig};
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_completion completion;
    aio_request_id id = submit_one(rig.queue, &read);
    pthread_t thread;

    fault_linger(rig.fault, 500 * slowness());
    thread_begin(&thread, submit_slowly, &slow);
    sleep_us(20000);
    EXPECT(aio_queue_wait(rig.queue, id, NULL), 0);
    REQUIRE_EQ(run_op(rig.queue, &nop).result, 0);
    EXPECT(aio_queue_stats(rig.queue, &stats), 0);
    EXPECT(aio_file_pread(rig.file, NULL, 0, 0), 0);
    REQUIRE(!slow.done);
    thread_end(thread);
    fault_linger(rig.fault, 0);
    EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, NULL), 1);
    rig_close(&rig);
}
END_TEST

struct writer {
    struct aio_file *file;
    struct aio_queue *queue;
    atomic_bool *stop;
    unsigned number;
};

static void *write_on_and_on(void *argument)
{
    struct writer *writer = argument;
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(writer->file, page, PAGE, (1 + writer->number) * PAGE);

    while (!*writer->stop) {
        REQUIRE_EQ(CALL(aio_file_pwrite(writer->file, page, PAGE, 0)), PAGE);
        REQUIRE_EQ(run_op(writer->queue, &write).result, PAGE);
    }
    free(page);
    return NULL;
}

/* GD3 */
START_TEST(truncate_gets_its_turn_among_writers)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    atomic_bool stop = false;
    struct writer writers[3];
    pthread_t threads[3];

    for (unsigned index = 0; index < 3; index++) {
        writers[index] = (struct writer){file, queue, &stop, index};
        thread_begin(&threads[index], write_on_and_on, &writers[index]);
    }
    for (unsigned round = 0; round < 50; round++) {
        int64_t start_ns = clock_ns();

        EXPECT(aio_file_truncate(file, round % 2 * 1000), 0);
        EXPECT(aio_file_sync(file), 0);
        REQUIRE(clock_ns() - start_ns < 5000000000 * (int64_t)slowness());
    }
    stop = true;
    for (unsigned index = 0; index < 3; index++)
        thread_end(threads[index]);
    close_file(file);
    close_queue(queue);
}
END_TEST

/* GD4 */
START_TEST(reap_loses_nothing)
{
    struct rig rig = rig_open(16, 0);
    struct aio_op reads[16];
    struct aio_completion completions[3];
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    unsigned failed = 0;
    unsigned taken = 0;

    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, 0, 5, 4, -EIO});
    for (unsigned index = 0; index < 16; index++)
        reads[index] = op_read(rig.file, NULL, 0, 0);
    EXPECT(aio_queue_submit(rig.queue, reads, 16, NULL), 16);
    while (taken < 16) {
        int64_t count = CALL(aio_queue_reap(rig.queue, completions, 1, 3, NULL));

        REQUIRE(count >= 1 && count <= 3);
        for (int64_t index = 0; index < count; index++)
            failed += completions[index].result == -EIO;
        taken += (unsigned)count;
    }
    REQUIRE_EQ(failed, 4);
    EXPECT(aio_queue_reap(rig.queue, completions, 1, 3, NULL), 0);
    EXPECT(aio_queue_stats(rig.queue, &stats), 0);
    REQUIRE_EQ(stats.held, 0);
    rig_close(&rig);
}
END_TEST

static void on_signal(int number)
{
    (void)number;
}

/* GD5 */
START_TEST(a_signal_leaves_a_wait_waiting)
{
    struct rig rig = rig_open(4, 0);
    struct sigaction action = {.sa_handler = on_signal};
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    struct waiting waiting = {.rig = &rig};
    pthread_t thread;

    sigaction(SIGUSR1, &action, NULL);
    fault_hold(rig.fault, FAULT_ALL);
    waiting.id = submit_one(rig.queue, &read);
    thread_begin(&thread, waiting_main, &waiting);
    for (unsigned round = 0; round < 50; round++) {
        sleep_us(1000);
        pthread_kill(thread, SIGUSR1);
    }
    REQUIRE(!waiting.done);
    fault_interrupt_reap(rig.fault, 3);
    release_all(&rig);
    thread_end(thread);
    REQUIRE_EQ(waiting.result, 0);
    rig_close(&rig);
}
END_TEST

/* GD6; descriptors are counted after every test. */
START_TEST(a_failed_open_keeps_nothing)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.alignment = 3;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), -EINVAL);
    options.alignment = 256;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), -EINVAL);
    options.alignment = 0;
    options.grow_ahead = 1;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT | O_APPEND, 0600, &options, &file),
           -EINVAL);
    EXPECT(aio_file_open(scratch_path("file"), O_RDONLY | O_CREAT, 0600, &options, &file), -EINVAL);
    options.grow_ahead = 0;
    options.memory_alignment = 1;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), -EINVAL);
    options.memory_alignment = 0;
    EXPECT(aio_file_open("/proc/self/status", O_RDONLY, 0, &options, &file), -EINVAL);
    EXPECT(aio_file_open(scratch_path("."), O_RDONLY, 0, &options, &file), -EISDIR);
    REQUIRE(access(scratch_path("file"), F_OK) != 0);
    close_queue(open_queue(256, 0)); /* any depth up to the largest */
}
END_TEST

/* GD6: who waits for a slot has one afterwards, though remainders are sent before. */
START_TEST(a_slot_is_free_only_when_its_request_is_through)
{
    struct rig rig = rig_open(1, 0);
    char *bytes = pattern_alloc(16 * PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, 16 * PAGE, 0);

    fault_shorten_by_chance(rig.fault, 1, 2, PAGE);
    write.on_complete = tell;
    for (unsigned round = 0; round < 20; round++) {
        told = 0;
        submit_one(rig.queue, &write);
    }
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    REQUIRE_EQ(told, 16 * PAGE);
    disk_check_pattern("file", 0, 16 * PAGE, 1);
    rig_close(&rig);
    free(bytes);
}
END_TEST

static Suite *defects_suite(void)
{
    Suite *suite = suite_create("defects");

    ADD_TESTS(suite, "transfers", vectored_writes_write, second_partial_lands_behind_the_first,
              vectors_in_parts_end_and_stay_as_they_are, every_vector_has_its_own_place);
    ADD_TESTS(suite, "requests", an_early_event_finds_its_request,
              a_result_is_whole_when_it_is_seen, waiting_costs_no_time_of_the_processor,
              no_time_out_is_for_ever_and_zero_is_a_poll, what_a_slot_held_before_does_not_matter,
              a_slow_submit_stops_nobody, reap_loses_nothing, a_signal_leaves_a_wait_waiting,
              a_slot_is_free_only_when_its_request_is_through, errors_are_numbers);
    ADD_TESTS(suite, "refusals", refused_remainders_go_on_or_fail,
              an_engine_that_never_has_room_is_an_error, a_poller_is_as_patient_as_one_who_waits,
              a_transfer_that_never_gets_on_is_an_error);
    ADD_TESTS(suite, "files", each_of_many_syncs_waits_for_all_writes,
              close_brings_every_request_to_its_end, the_end_is_where_the_file_ends,
              appends_do_not_meet, appends_meet_an_end_that_fits_nothing,
              the_append_mode_writes_at_the_end_alone, the_cursor_moves_once_for_each_read,
              a_hundred_files_share_a_few_slots, a_write_inside_does_not_move_the_end,
              truncate_gets_its_turn_among_writers, a_failed_open_keeps_nothing);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, defects_suite);
}
