/* SPDX-License-Identifier: MIT */
/* clang-format off */
/*
 * test_defects.c - what earlier handles over kernel AIO and io_uring got wrong, each as a test that
 * this one passes, here or where a name follows in brackets. ID: ioengine's AsyncIO, GD: goaio, its
 * ancestor, LD: libaio-futures, UD: gouring, AD: gVisor's aio, VD: its io_uring, the kernel's side.
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
 * ID17  file locks that did not lock
 *       -> locks_exclude_each_other (space)
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
 * LD1   O_SYNC took O_DIRECT away, and flags of the caller's
 *       -> a_flag_of_open_takes_no_other_away
 * LD2   flags of transfers never reached the kernel
 *       -> they_are_in_every_step, the_kernel_gets_them (flags)
 *       -> a_write_with_dsync_is_on_the_disk (space)
 * LD3   close with requests in flight burnt the processor for ever
 *       -> closing_costs_no_time_of_the_processor
 * LD4   a context that was dropped kept task, eventfd and memory
 *       -> an_end_in_any_order_keeps_nothing
 * LD5   the poller ended at the first interruption
 *       -> an_interrupted_reaper_goes_on
 *       -> signals_of_the_process_lose_nothing
 * LD6   races of cancel and completion
 *       -> a_crowd_is_cancelled (cancel)
 *       -> a_race_of_notices_and_results (deadline)
 * LD7   who gave up had the buffer back while the kernel wrote
 *       -> memory_is_lent_until_the_final_completion
 * LD8   errno read too late, slots lost by refusals, EAGAIN an error
 *       -> refused_submits_keep_no_slot
 *       -> refused_remainders_go_on_or_fail
 * LD9   no vectors, batches, resubmits, polls, time-outs, buffer offset
 *       -> all other tests; a u64 offset became an i64:
 *       -> a_place_that_is_none_is_refused_by_every_form
 * UD1   what was submitted, and its times, had to live on
 *       -> what_was_submitted_may_go
 * UD2   a mapping was left, and kept the ring and its operations
 *       -> an_end_in_any_order_keeps_nothing
 * UD3   of registered files the second one was another
 *       -> registered_files_are_told_apart
 * UD4   time-outs stayed behind and ended later waits; no EINTR
 *       -> a_time_out_is_gone_with_its_call
 *       -> interrupted_system_calls_are_repeated (results)
 * UD5   a failed set-up kept its descriptor
 *       -> a_half_made_ring_is_unmade (uring)
 *       entries stayed after an error of submit
 *       -> what_a_submit_refused_is_not_started_later
 *       (a second close: the handle is gone, nothing can be promised)
 * UD6   empty buffers and vectors; no fsync
 *       -> operations_without_bytes_give_zero (queue)
 *       a wake-up of SQPOLL was lost
 *       -> the_kernels_thread_is_woken (uring)
 * UD7   callbacks under a lock
 *       -> a_callback_runs_with_no_lock_held (callback)
 *       -> a_callback_may_cancel (cancel)
 *       a link left dangling onto another operation
 *       -> a_chain_is_taken_whole_or_not_at_all (link)
 *       callbacks lost at the end
 *       -> destroy_brings_every_callback
 * AD1   what io_submit did not take was lost
 *       -> a_batch_taken_in_parts_loses_nothing
 * AD2   more than the capacity, and none
 *       -> depth_is_as_asked, options_are_checked (queue)
 *       -> a_batch_larger_than_the_table_goes_through_with_callbacks
 *          (queue)
 * AD3   a wait for more than was in flight hung
 *       -> reap_never_waits_for_what_cannot_come (results)
 *       destroy dropped what was queued
 *       -> destroy_brings_every_callback
 *       an offset of -1 was the cursor, for some
 *       -> a_place_that_is_none_is_refused_by_every_form
 *       EINTR in a worker
 *       -> the_threads_of_a_queue_take_no_signals (callback)
 *       the ring's features were not looked at: engine_kaio.c does;
 *       no kernel has others
 * VD1   only one order of submission entries worked: the kernel's side;
 *       ours is the identity
 * VD2   positions of the rings written back by who had not changed them
 *       -> many_may_submit_while_one_reaps (kaio, uring)
 * VD3   nothing to submit was an error, errors became EPERM
 *       -> bad_arguments_are_refused (queue)
 *       -> a_refusal_has_its_sentence (kaio, uring)
 *       a descriptor was left where the answer could not be written
 *       -> a_half_made_ring_is_unmade (uring)
 * VD4   an error in a batch hid what had been taken
 *       -> an_error_in_a_batch_does_not_hide_what_was_taken
 */
/* clang-format on */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
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

/* LD1 */
START_TEST(a_flag_of_open_takes_no_other_away)
{
    static const int flags[] = {O_SYNC, O_DSYNC, O_NOATIME, O_NOFOLLOW};
    const int shown = O_SYNC | O_DSYNC | O_NOATIME | O_NOFOLLOW | O_DIRECT;

    make_file("file", PAGE, 1);
    for (unsigned which = 0; which < 1u << COUNT(flags) << 1; which++) {
        struct aio_file_options options = file_options();
        struct aio_file *file;
        int asked = 0;
        int expected;

        for (unsigned index = 0; index < COUNT(flags); index++)
            if ((which & 1u << index) != 0)
                asked |= flags[index];
        expected = asked;
        if ((which & 1u << COUNT(flags)) != 0)
            expected |= O_DIRECT;
        else
            options.direct = AIO_DIRECT_NEVER;
        EXPECT(aio_file_open(scratch_path("file"), O_RDWR | asked, 0, &options, &file), 0);
        ck_assert_msg((fcntl(aio_file_fd(file), F_GETFL) & shown) == expected,
                      "flags 0%o became 0%o", expected, fcntl(aio_file_fd(file), F_GETFL) & shown);
        close_file(file);
    }
}
END_TEST

struct ending {
    struct rig *rig;
    unsigned kind;
    atomic_bool done;
};

static void *ending_main(void *argument)
{
    struct ending *ending = argument;

    if (ending->kind == 0)
        REQUIRE_EQ(CALL(aio_file_close(ending->rig->file)), 0);
    else if (ending->kind == 1)
        REQUIRE_EQ(CALL(aio_queue_destroy(ending->rig->queue, AIO_QUEUE_DISCARD)), 0);
    else
        REQUIRE_EQ(CALL(aio_file_sync(ending->rig->file)), 0);
    ending->done = true;
    return NULL;
}

static void ignore(const struct aio_completion *completion)
{
    (void)completion;
}

/* LD3 */
START_TEST(closing_costs_no_time_of_the_processor)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        struct rig rig = rig_open(4, 0);
        struct ending ending = {.rig = &rig, .kind = kind};
        char *page = pattern_alloc(PAGE, 0, 1);
        struct aio_op write = op_write(rig.file, page, PAGE, 0);
        struct aio_op truncate = {.opcode = AIO_OP_TRUNCATE, .file = rig.file};
        int64_t before_ns;
        pthread_t thread;

        /* One that runs, and one that waits for it. */
        fault_hold(rig.fault, FAULT_WRITES);
        submit_one(rig.queue, &write);
        truncate.on_complete = ignore;
        submit_one(rig.queue, &truncate);
        EVENTUALLY(fault_held(rig.fault) == 1);
        thread_begin(&thread, ending_main, &ending);
        sleep_us(50000);
        before_ns = process_cpu_ns();
        sleep_us(300000);
        REQUIRE(process_cpu_ns() - before_ns < 20000000 * (int64_t)slowness());
        REQUIRE(!ending.done);
        release_all(&rig);
        thread_end(thread);
        if (kind != 0)
            close_file(rig.file);
        if (kind != 1)
            EXPECT(aio_queue_destroy(rig.queue, AIO_QUEUE_DISCARD), 0);
        free(page);
    }
}
END_TEST

/* How many mappings the process has. */
static unsigned count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned count = 0;
    int character;

    REQUIRE(maps != NULL);
    while ((character = getc(maps)) != EOF)
        count += character == '\n';
    fclose(maps);
    return count;
}

/* Uses a queue in all the ways that make it hold something, and ends it as told. */
static void use_and_end(unsigned order)
{
    struct aio_queue *queue = open_queue(8, order % 2 == 0 ? 0 : AIO_QUEUE_TIMES);
    struct aio_file *file = open_direct("file");
    struct aio_queue *private = aio_file_queue(file);
    char *bytes = pattern_alloc(PAGE + 1, 0, 1);
    struct aio_op ops[] = {
        op_write(file, bytes, PAGE, 0),
        op_write(file, bytes + 1, PAGE, PAGE),
        op_write(file, bytes, 100, 2 * PAGE + 7),
        op_read(file, NULL, 0, 0),
        op_sync(file),
    };
    int eventfd = (int)CALL(aio_queue_eventfd(queue));

    REQUIRE(eventfd >= 0);
    EXPECT(aio_queue_register(queue, file), 0);
    ops[0].on_complete = ignore;
    ops[1].deadline = 1;
    ops[2].flags = AIO_OP_LINK;
    EXPECT(aio_queue_submit(queue, ops, COUNT(ops), NULL), COUNT(ops));
    for (unsigned index = 0; index < 3; index++)
        ops[index].offset += 8 * PAGE;
    EXPECT(aio_queue_submit(private, ops, COUNT(ops), NULL), COUNT(ops));
    if (order / 2 % 2 == 0)
        close_file(file);
    /* In flight, done and not taken, with and without a callback: all of it goes. */
    EXPECT(aio_queue_destroy(queue, AIO_QUEUE_DISCARD), 0);
    if (order / 2 % 2 != 0)
        close_file(file);
    close(eventfd);
    free(bytes);
}

/* LD4, UD2; descriptors, threads and AIO rings are counted after every test. */
START_TEST(an_end_in_any_order_keeps_nothing)
{
    unsigned mappings;

    for (unsigned round = 0; round < 4; round++)
        use_and_end(round);
    mappings = count_mappings();
    for (unsigned round = 0; round < 24; round++)
        use_and_end(round);
    /* The C library has its own ways with arenas and stacks, and sanitizers theirs. */
    if (slowness() == 1)
        ck_assert_msg(count_mappings() < mappings + 16, "%u mappings became %u", mappings,
                      count_mappings());
}
END_TEST

static void count_page(const struct aio_completion *completion)
{
    REQUIRE_EQ(completion->result, PAGE);
    atomic_fetch_add((atomic_uint *)completion->context, 1);
}

/* LD5 */
START_TEST(an_interrupted_reaper_goes_on)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    atomic_uint called = 0;

    /* With a callback it is the reaper thread that reaps. */
    write.on_complete = count_page;
    write.context = &called;
    for (unsigned round = 1; round <= 10; round++) {
        fault_hold(rig.fault, FAULT_ALL);
        for (unsigned index = 0; index < 4; index++) {
            write.offset = index * PAGE;
            submit_one(rig.queue, &write);
        }
        EVENTUALLY(fault_held(rig.fault) == 4);
        fault_interrupt_reap(rig.fault, 7);
        release_all(&rig);
        EVENTUALLY(called == 4 * round);
    }
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    rig_close(&rig);
    free(page);
}
END_TEST

/* LD5: a timer of the process, whose handler no system call is restarted after. */
START_TEST(signals_of_the_process_lose_nothing)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file *file = open_direct("file");
    struct sigaction action = {.sa_handler = on_signal};
    struct itimerval often = {{0, 500}, {0, 500}};
    struct itimerval never = {{0, 0}, {0, 0}};
    char *bytes = pattern_alloc(8 * PAGE, 0, 1);
    char *found = page_alloc(8 * PAGE);
    struct aio_op write = op_write(file, bytes, 8 * PAGE, 0);
    struct aio_op read = op_read(file, found, 8 * PAGE, 0);
    struct aio_op part = op_write(file, bytes, 100, 9 * PAGE);
    struct aio_op sync = op_sync(file);
    atomic_uint called = 0;

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    part.flags = AIO_OP_LINK;
    for (unsigned round = 1; round <= 100; round++) {
        struct aio_op page = op_write(file, bytes, PAGE, 0);
        struct aio_op chain[] = {part, sync};
        struct aio_completion completions[2];

        REQUIRE_EQ(run_op(queue, &write).result, 8 * PAGE);
        memset(found, 0, 8 * PAGE);
        REQUIRE_EQ(run_op(queue, &read).result, 8 * PAGE);
        pattern_check(found, 8 * PAGE, 0, 1);
        page.on_complete = count_page;
        page.context = &called;
        submit_one(queue, &page);
        EXPECT(aio_queue_submit(queue, chain, 2, NULL), 2);
        EXPECT(aio_queue_reap(queue, completions, 2, 2, NULL), 2);
        REQUIRE(completions[0].error == 0 && completions[1].error == 0);
        EXPECT(aio_file_pwrite(file, bytes, 8 * PAGE, 0), 8 * PAGE);
        EXPECT(aio_file_truncate(file, 8 * PAGE), 0);
        EXPECT(aio_queue_drain(queue, NULL), 0);
        REQUIRE_EQ(called, round);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    close_file(file);
    close_queue(queue);
    free(bytes);
    free(found);
}
END_TEST

/* LD7: whatever tells of an operation before its end, it has its memory, id and slot still. */
START_TEST(memory_is_lent_until_the_final_completion)
{
    struct rig rig = rig_open(1, AIO_QUEUE_NONBLOCK);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_op nop = op_nop();
    struct aio_request_info info;
    struct timespec a_moment = milliseconds(5);
    struct aio_completion completion;
    aio_request_id id;
    int64_t result;

    fault_hold(rig.fault, FAULT_WRITES);
    write.deadline = 1;
    write.flags = AIO_OP_WAITED;
    write.context = &info;
    id = submit_one(rig.queue, &write);
    EXPECT(aio_queue_wait_result(rig.queue, id, NULL, &completion), 0);
    REQUIRE(completion.flags == AIO_COMPLETION_MORE && completion.result == -ETIMEDOUT);
    EXPECT(aio_queue_wait_result(rig.queue, id, &a_moment, &completion), -ETIMEDOUT);
    EVENTUALLY(fault_held(rig.fault) == 1);
    result = CALL(aio_queue_cancel(rig.queue, id));
    REQUIRE(result == 0 || result == -EBUSY);
    for (unsigned round = 0; round < 3; round++) {
        EXPECT(aio_queue_inflight(rig.queue, &info, 1), 1);
        REQUIRE(info.id == id && info.state == AIO_REQUEST_RUNNING && info.context == &info);
        EXPECT(aio_queue_submit(rig.queue, &nop, 1, NULL), -EAGAIN);
        EXPECT(aio_queue_wait(rig.queue, id, &a_moment), -ETIMEDOUT);
    }
    release_all(&rig);
    completion = completion_of(rig.queue, id);
    REQUIRE(completion.result == PAGE || completion.result == -ECANCELED);
    EXPECT(aio_queue_wait(rig.queue, id, &no_time), -ESTALE);
    REQUIRE_EQ(run_op(rig.queue, &nop).result, 0);
    rig_close(&rig);
    free(page);
}
END_TEST

/* LD8 */
START_TEST(refused_submits_keep_no_slot)
{
    struct rig rig = rig_open(4, AIO_QUEUE_NONBLOCK);
    struct aio_file_options options = file_options();
    struct aio_file *strict;
    struct aio_file *only_read;
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op ops[5];
    struct aio_completion completions[4];

    make_file("other", PAGE, 1);
    options.unaligned = AIO_UNALIGNED_REJECT;
    EXPECT(aio_file_open(scratch_path("other"), O_RDWR, 0, &options, &strict), 0);
    EXPECT(aio_file_open(scratch_path("other"), O_RDONLY, 0, &options, &only_read), 0);
    for (unsigned round = 0; round < 20; round++) {
        struct {
            struct aio_op op;
            int error;
        } bad[] = {
            {op_write(strict, page, 100, 0), -EINVAL},
            {op_write(strict, page, PAGE, 1), -EINVAL},
            {op_write(only_read, page, PAGE, 0), -EBADF},
            {op_read(rig.file, page, PAGE, -1), -EINVAL},
            {op_read(rig.file, page, PAGE, INT64_MAX), -EINVAL},
            {{.opcode = 99}, -EINVAL},
            {{.opcode = AIO_OP_NOP, .flags = 1u << 30}, -EINVAL},
            {{.opcode = AIO_OP_NOP, .flags = AIO_OP_LINK}, -EINVAL},
        };
        size_t which = round % COUNT(bad);

        for (size_t index = 0; index < COUNT(bad); index++)
            EXPECT(aio_queue_submit(rig.queue, &bad[index].op, 1, NULL), bad[index].error);
        /* Chains that are too long, or have a bad one. */
        for (unsigned index = 0; index < 5; index++) {
            ops[index] = op_nop();
            ops[index].flags = index < 4 ? AIO_OP_LINK : 0;
        }
        EXPECT(aio_queue_submit(rig.queue, ops, 5, NULL), -EINVAL);
        ops[2].flags = 0;
        /* What does not fit its file is seen when it starts, so of a chain the first is refused. */
        if (which < 2) {
            ops[0] = bad[which].op;
            ops[0].flags = AIO_OP_LINK;
        } else {
            ops[2] = bad[which].op;
        }
        EXPECT(aio_queue_submit(rig.queue, ops, 3, NULL), bad[which].error);
        /* The whole table is there. */
        for (unsigned index = 0; index < 4; index++)
            ops[index] = op_write(rig.file, page, PAGE, index * PAGE);
        fault_hold(rig.fault, FAULT_ALL);
        EXPECT(aio_queue_submit(rig.queue, ops, 4, NULL), 4);
        EXPECT(aio_queue_submit(rig.queue, ops, 1, NULL), -EAGAIN);
        release_all(&rig);
        EXPECT(aio_queue_reap(rig.queue, completions, 4, 4, NULL), 4);
    }
    close_file(strict);
    close_file(only_read);
    rig_close(&rig);
    free(page);
}
END_TEST

/* UD1: all but buffers and vectors, in memory that is no more. */
START_TEST(what_was_submitted_may_go)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct iovec iov = {page, PAGE};
    aio_request_id kept[5];
    struct lent {
        struct aio_op ops[5];
        aio_request_id ids[5];
    } *lent = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(lent != MAP_FAILED);
    fault_hold(rig.fault, FAULT_WRITES);
    fault_refuse(rig.fault, -EAGAIN, 3);
    lent->ops[0] = op_write(rig.file, page, PAGE, 0);
    /* Waits for the first; then for each other. */
    lent->ops[1] = (struct aio_op){.opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = PAGE};
    lent->ops[2] = op_vectors(AIO_OP_WRITEV, rig.file, &iov, 1, PAGE);
    lent->ops[2].flags = AIO_OP_LINK;
    lent->ops[3] = op_sync(rig.file);
    lent->ops[3].flags = AIO_OP_LINK | AIO_OP_DRAIN;
    lent->ops[4] = op_append(rig.file, page, PAGE);
    for (unsigned index = 0; index < 5; index++)
        lent->ops[index].deadline = INT64_MAX - 1;
    EXPECT(aio_queue_submit(rig.queue, lent->ops, 5, lent->ids), 5);
    memcpy(kept, lent->ids, sizeof(kept));
    REQUIRE(munmap(lent, PAGE) == 0);
    sleep_us(20000);
    release_all(&rig);
    REQUIRE_EQ(completion_of(rig.queue, kept[0]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, kept[1]).result, 0);
    REQUIRE_EQ(completion_of(rig.queue, kept[2]).result, PAGE);
    REQUIRE_EQ(completion_of(rig.queue, kept[3]).result, 0);
    REQUIRE_EQ(completion_of(rig.queue, kept[4]).offset, 2 * PAGE);
    for (unsigned index = 0; index < 3; index++) {
        char found[PAGE];

        disk_read("file", found, PAGE, index * PAGE);
        pattern_check(found, PAGE, 0, 1);
    }
    rig_close(&rig);
    free(page);
}
END_TEST

/* UD3 */
START_TEST(registered_files_are_told_apart)
{
    enum { KNOWN = 40 };
    struct aio_queue *queue = open_queue(KNOWN, 0);
    struct aio_file_options options = file_options();
    struct aio_file *files[KNOWN];
    char *bytes = page_alloc(KNOWN * PAGE);
    struct aio_op reads[KNOWN];
    struct aio_completion completions[KNOWN];

    for (unsigned round = 0; round < 4; round++) {
        for (unsigned index = 0; index < KNOWN; index++) {
            char name[16];

            /* Later, only every third one comes anew, and has a number that another one had. */
            if (round > 0 && index % 3 != round % 3)
                continue;
            snprintf(name, sizeof(name), "file%u", index);
            if (round == 0)
                make_file(name, PAGE, index);
            EXPECT(aio_file_open(scratch_path(name), O_RDONLY, 0, &options, &files[index]), 0);
            EXPECT(aio_queue_register(queue, files[index]), 0);
        }
        for (unsigned index = 0; index < KNOWN; index++) {
            reads[index] = op_read(files[index], bytes + (size_t)index * PAGE, PAGE, 0);
            reads[index].context = &reads[index];
        }
        memset(bytes, 0, KNOWN * PAGE);
        EXPECT(aio_queue_submit(queue, reads, KNOWN, NULL), KNOWN);
        EXPECT(aio_queue_reap(queue, completions, KNOWN, KNOWN, NULL), KNOWN);
        for (unsigned index = 0; index < KNOWN; index++) {
            REQUIRE_EQ(completions[index].result, PAGE);
            pattern_check(bytes + (size_t)index * PAGE, PAGE, 0, index);
        }
        for (unsigned index = KNOWN; index-- > 0;)
            if (round == 3 || index % 3 == (round + 1) % 3)
                close_file(files[index]);
    }
    close_queue(queue);
    free(bytes);
}
END_TEST

/* UD4 */
START_TEST(a_time_out_is_gone_with_its_call)
{
    struct rig rig = rig_open(4, 0);
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    struct aio_completion completions[4];
    struct timespec patience = milliseconds(LONG_MS);
    struct waiting waiting = {.rig = &rig};
    pthread_t thread;

    fault_hold(rig.fault, FAULT_ALL);
    waiting.id = submit_one(rig.queue, &read);
    for (unsigned round = 0; round < 100; round++) {
        struct timespec short_time = {0, round * 5000};

        EXPECT(aio_queue_wait(rig.queue, waiting.id, &short_time), -ETIMEDOUT);
        EXPECT(aio_queue_reap(rig.queue, completions, 1, 4, &short_time), 0);
        EXPECT(aio_queue_drain(rig.queue, &short_time), -ETIMEDOUT);
    }
    /* No event, no slot and no end of a wait is left of them. */
    thread_begin(&thread, waiting_main, &waiting);
    sleep_us(100000);
    REQUIRE(!waiting.done);
    release_all(&rig);
    thread_end(thread);
    REQUIRE_EQ(waiting.result, 0);
    EXPECT(aio_queue_reap(rig.queue, completions, 0, 4, NULL), 0);
    for (unsigned index = 0; index < 4; index++)
        submit_one(rig.queue, &read);
    EXPECT(aio_queue_reap(rig.queue, completions, 4, 4, &patience), 4);
    for (unsigned index = 0; index < 4; index++)
        REQUIRE(completions[index].context == NULL && completions[index].result == 0);
    rig_close(&rig);
}
END_TEST

/* UD5 */
START_TEST(what_a_submit_refused_is_not_started_later)
{
    struct rig rig = rig_open(4, 0);
    char *old = pattern_alloc(PAGE, 0, 1);
    char *new = pattern_alloc(PAGE, 0, 2);
    struct aio_op lost = op_write(rig.file, new, PAGE, 0);
    struct aio_op fine = op_write(rig.file, new, PAGE, PAGE);
    unsigned steps;

    EXPECT(aio_file_pwrite(rig.file, old, PAGE, 0), PAGE);
    for (unsigned round = 0; round < 10; round++) {
        fault_refuse(rig.fault, -ENOMEM, 1);
        REQUIRE_EQ(run_op(rig.queue, &lost).result, -ENOMEM);
        steps = fault_steps(rig.fault);
        REQUIRE_EQ(run_op(rig.queue, &fine).result, PAGE);
        REQUIRE_EQ(fault_steps(rig.fault), steps + 1);
    }
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    disk_check_pattern("file", 0, PAGE, 1);
    rig_close(&rig);
    free(old);
    free(new);
}
END_TEST

/* UD7, AD3 */
START_TEST(destroy_brings_every_callback)
{
    char *page = pattern_alloc(PAGE, 0, 1);

    for (unsigned round = 0; round < 5; round++) {
        struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
        struct aio_file *file = open_direct("file");
        struct aio_queue *queue;
        struct aio_op write = op_write(file, page, PAGE, 0);
        atomic_uint called = 0;

        options.engine = test_engine;
        options.workers = 1; /* where it means anything, most of them wait */
        EXPECT(aio_queue_create(&options, &queue), 0);
        write.on_complete = count_page;
        write.context = &called;
        for (unsigned index = 0; index < 40; index++) {
            write.offset = index * PAGE;
            submit_one(queue, &write);
        }
        EXPECT(aio_queue_destroy(queue, 0), 0);
        REQUIRE_EQ(called, 40);
        close_file(file);
    }
    free(page);
}
END_TEST

/* AD1 */
START_TEST(a_batch_taken_in_parts_loses_nothing)
{
    struct rig rig = rig_open(64, 0);
    char *bytes = pattern_alloc(64 * PAGE, 0, 1);
    struct aio_op ops[64];
    aio_request_id ids[64];

    for (unsigned limit = 1; limit < 64; limit = limit * 2 + 1) {
        EXPECT(aio_file_truncate(rig.file, 0), 0);
        fault_take(rig.fault, limit);
        fault_refuse(rig.fault, limit % 3 == 0 ? -EAGAIN : -EINTR, 2);
        for (unsigned index = 0; index < 64; index++)
            ops[index] = op_write(rig.file, bytes + (size_t)index * PAGE, PAGE, index * PAGE);
        EXPECT(aio_queue_submit(rig.queue, ops, 64, ids), 64);
        for (unsigned index = 0; index < 64; index++)
            REQUIRE_EQ(completion_of(rig.queue, ids[63 - index]).result, PAGE);
        disk_check_pattern("file", 0, 64 * PAGE, 1);
    }
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* AD3, LD9 */
START_TEST(a_place_that_is_none_is_refused_by_every_form)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    struct iovec iov = {bytes, PAGE};
    static const int64_t places[] = {-1, INT64_MIN, -(int64_t)PAGE, INT64_MAX,
                                     INT64_MAX - PAGE + 2};

    EXPECT(aio_file_write(file, bytes, 2 * PAGE), 2 * PAGE);
    EXPECT(aio_file_seek(file, 0, SEEK_SET), 0);
    for (size_t index = 0; index < COUNT(places); index++) {
        int64_t place = places[index];
        struct aio_op ops[] = {
            op_read(file, bytes, PAGE, place),
            op_write(file, bytes, PAGE, place),
            op_vectors(AIO_OP_READV, file, &iov, 1, place),
            op_vectors(AIO_OP_WRITEV, file, &iov, 1, place),
        };

        for (size_t form = 0; form < COUNT(ops); form++) {
            EXPECT(aio_queue_submit(queue, &ops[form], 1, NULL), -EINVAL);
            EXPECT(aio_file_execute(file, &ops[form]), -EINVAL);
        }
        EXPECT(aio_file_pread(file, bytes, PAGE, place), -EINVAL);
        EXPECT(aio_file_pwrite(file, bytes, PAGE, place), -EINVAL);
        EXPECT(aio_file_preadv(file, &iov, 1, place), -EINVAL);
        EXPECT(aio_file_pwritev(file, &iov, 1, place), -EINVAL);
    }
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 0);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

/* VD4 */
START_TEST(an_error_in_a_batch_does_not_hide_what_was_taken)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);

    /* Bad ones of the caller's at every place; an error and an interruption of the engine's. */
    for (unsigned bad = 0; bad < 6; bad++) {
        struct aio_op ops[6];
        aio_request_id ids[6] = {0};
        struct aio_completion completions[6];

        for (unsigned index = 0; index < 6; index++)
            ops[index] = op_write(rig.file, page, PAGE, index * PAGE);
        ops[bad].opcode = 77;
        fault_interrupt_submit(rig.fault, 2);
        fault_take(rig.fault, 2);
        EXPECT(aio_queue_submit(rig.queue, ops, 6, ids), bad == 0 ? -EINVAL : (int)bad);
        for (unsigned index = 0; index < 6; index++)
            REQUIRE_EQ(ids[index] != 0, index < bad);
        EXPECT(aio_queue_reap(rig.queue, completions, bad, 6, NULL), bad);
        for (unsigned index = 0; index < bad; index++)
            REQUIRE_EQ(completions[index].result, PAGE);
        EXPECT(aio_queue_submit(rig.queue, ops + bad, 6 - bad, NULL), -EINVAL);
    }
    EXPECT(aio_queue_submit(rig.queue, NULL, 0, NULL), 0);
    rig_close(&rig);
    free(page);
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
              truncate_gets_its_turn_among_writers, a_failed_open_keeps_nothing,
              a_flag_of_open_takes_no_other_away, a_place_that_is_none_is_refused_by_every_form);
    ADD_TESTS(suite, "submits", refused_submits_keep_no_slot, what_was_submitted_may_go,
              registered_files_are_told_apart, what_a_submit_refused_is_not_started_later,
              a_batch_taken_in_parts_loses_nothing,
              an_error_in_a_batch_does_not_hide_what_was_taken);
    ADD_TESTS(suite, "ends", closing_costs_no_time_of_the_processor,
              an_end_in_any_order_keeps_nothing, destroy_brings_every_callback);
    ADD_TESTS(suite, "waits", an_interrupted_reaper_goes_on, signals_of_the_process_lose_nothing,
              memory_is_lent_until_the_final_completion, a_time_out_is_gone_with_its_call);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, defects_suite);
}
