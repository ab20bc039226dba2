/* SPDX-License-Identifier: MIT */
/*
 * test_results.c - how results are taken: wait, reap, drain; ids; and who reaps.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "support.h"

static const struct timespec no_time = {0, 0};

/* A call on a thread of its own. */
enum waiting_call {
    CALL_WAIT,
    CALL_REAP,
    CALL_DRAIN,
};

struct waiting {
    enum waiting_call call;
    struct aio_queue *queue;
    aio_request_id id;
    unsigned min;
    const struct timespec *timeout;
    struct aio_completion completions[16];
    int64_t result;
    atomic_int thread_number;
    atomic_bool done;
    pthread_t thread;
};

static void *waiting_main(void *argument)
{
    struct waiting *waiting = argument;

    waiting->thread_number = thread_number();
    switch (waiting->call) {
    case CALL_WAIT:
        waiting->result = CALL(aio_queue_wait(waiting->queue, waiting->id, waiting->timeout));
        break;
    case CALL_REAP:
        waiting->result = CALL(aio_queue_reap(waiting->queue, waiting->completions, waiting->min,
                                              16, waiting->timeout));
        break;
    case CALL_DRAIN:
        waiting->result = CALL(aio_queue_drain(waiting->queue, waiting->timeout));
        break;
    }
    waiting->done = true;
    return NULL;
}

/* Starts it and gives it the time to get where it waits. */
static void waiting_begin(struct waiting *waiting)
{
    thread_begin(&waiting->thread, waiting_main, waiting);
    EVENTUALLY(waiting->thread_number != 0 &&
               (waiting->done || thread_state(waiting->thread_number) == 'S'));
    sleep_us(10000);
}

/* Submits some reads of nothing, whose completions the fault holds back. */
static void submit_held(struct rig *rig, aio_request_id *ids, unsigned count, uint32_t flags)
{
    struct aio_op read = op_read(rig->file, NULL, 0, 0);

    read.flags = flags;
    fault_hold(rig->fault, FAULT_ALL);
    for (unsigned index = 0; index < count; index++)
        ids[index] = submit_one(rig->queue, &read);
}

static void release_all(struct rig *rig)
{
    fault_hold(rig->fault, 0);
    fault_release(rig->fault, FAULT_FOR_EVER);
}

/* --- wait ----------------------------------------------------------------------------------- */

START_TEST(wait_takes_each_result_once)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_op nop = op_nop();
    struct aio_completion completion;

    for (unsigned flags = 0; flags <= AIO_OP_WAITED; flags += AIO_OP_WAITED) {
        aio_request_id id;

        nop.flags = flags;
        id = submit_one(queue, &nop);
        EXPECT(aio_queue_wait(queue, id, NULL), 0);
        EXPECT(aio_queue_wait(queue, id, NULL), -ESTALE);
        completion.id = 5;
        EXPECT(aio_queue_wait_result(queue, id, NULL, &completion), -ESTALE);
        REQUIRE_EQ(completion.id, 5);
    }
    close_queue(queue);
}
END_TEST

START_TEST(bad_waits_are_refused)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_queue *other = open_queue(64, 0);
    struct aio_op nop = op_nop();
    struct aio_completion completion;
    const struct timespec bad_times[] = {
        {-1, 0}, {0, -1}, {0, 1000000000}, {-1, 999999999}, {1, INT64_MAX}};
    aio_request_id foreign = 0;
    aio_request_id id;

    /* An id that the other queue gave out, and this one never did. */
    for (unsigned index = 0; index < 10; index++) {
        foreign = submit_one(other, &nop);
        EXPECT(aio_queue_wait(other, foreign, NULL), 0);
    }
    foreign = submit_one(other, &nop);
    id = submit_one(queue, &nop);
    EXPECT(aio_queue_wait(NULL, id, NULL), -EINVAL);
    EXPECT(aio_queue_wait(queue, 0, NULL), -EINVAL);
    EXPECT(aio_queue_wait_result(queue, 0, NULL, &completion), -EINVAL);
    EXPECT(aio_queue_wait_result(queue, id, NULL, NULL), -EINVAL);
    for (size_t index = 0; index < COUNT(bad_times); index++) {
        EXPECT(aio_queue_wait(queue, id, &bad_times[index]), -EINVAL);
        EXPECT(aio_queue_reap(queue, &completion, 1, 1, &bad_times[index]), -EINVAL);
        EXPECT(aio_queue_drain(queue, &bad_times[index]), -EINVAL);
    }
    EXPECT(aio_queue_wait(queue, foreign, NULL), -ESTALE);
    EXPECT(aio_queue_wait(queue, 1, NULL), -ESTALE);
    EXPECT(aio_queue_wait(queue, UINT64_MAX, NULL), -ESTALE);
    EXPECT(aio_queue_wait(queue, id ^ UINT64_C(1) << 40, NULL), -ESTALE);
    EXPECT(aio_queue_wait(queue, id + 1, NULL), -ESTALE);
    EXPECT(aio_queue_wait(queue, id, NULL), 0);
    EXPECT(aio_queue_wait(other, foreign, NULL), 0);
    close_queue(queue);
    close_queue(other);
}
END_TEST

static void ignore(const struct aio_completion *completion)
{
    (void)completion;
}

START_TEST(what_has_a_callback_cannot_be_waited_for)
{
    struct rig rig = rig_open(4, 0);
    struct aio_op sync = op_sync(rig.file);
    aio_request_id id;

    sync.on_complete = ignore;
    fault_hold(rig.fault, FAULT_ALL);
    id = submit_one(rig.queue, &sync);
    EXPECT(aio_queue_wait(rig.queue, id, NULL), -EINVAL);
    release_all(&rig);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    EXPECT(aio_queue_wait(rig.queue, id, NULL), -ESTALE);
    rig_close(&rig);
}
END_TEST

START_TEST(a_wait_that_times_out_leaves_the_operation)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct timespec short_time = milliseconds(20);
    int64_t start_ns;
    aio_request_id id;

    fault_hold(rig.fault, FAULT_ALL);
    id = submit_one(rig.queue, &write);
    EXPECT(aio_queue_wait(rig.queue, id, &no_time), -ETIMEDOUT);
    start_ns = clock_ns();
    EXPECT(aio_queue_wait(rig.queue, id, &short_time), -ETIMEDOUT);
    REQUIRE(clock_ns() - start_ns >= 20000000);
    REQUIRE(clock_ns() - start_ns < 2000000000 * (int64_t)slowness());
    EXPECT(aio_queue_wait(rig.queue, id, &no_time), -ETIMEDOUT);
    release_all(&rig);
    REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
    disk_check_pattern("file", 0, PAGE, 1);
    rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(polling_brings_the_result_in_the_end)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(file, page, PAGE, 0);
    aio_request_id id = submit_one(queue, &write);
    int64_t result;

    do {
        result = CALL(aio_queue_wait(queue, id, &no_time));
    } while (result == -ETIMEDOUT);
    REQUIRE_EQ(result, PAGE);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

START_TEST(a_time_out_may_be_longer_than_time)
{
    static const int64_t seconds[] = {
        1,        1000000000, INT64_MAX / 1000000000 - 1, INT64_MAX / 1000000000, INT64_MAX - 1,
        INT64_MAX};

    for (size_t index = 0; index < COUNT(seconds); index++) {
        struct rig rig = rig_open(4, 0);
        struct timespec timeout = {seconds[index] > 1 ? seconds[index] : LONG_MS, 999999999};
        struct waiting waiting = {.call = CALL_WAIT, .queue = rig.queue, .timeout = &timeout};
        struct waiting draining = {.call = CALL_DRAIN, .queue = rig.queue, .timeout = &timeout};

        submit_held(&rig, &waiting.id, 1, 0);
        waiting_begin(&waiting);
        waiting_begin(&draining);
        REQUIRE(!waiting.done && !draining.done);
        release_all(&rig);
        thread_end(waiting.thread);
        thread_end(draining.thread);
        REQUIRE(waiting.result == 0 && draining.result == 0);
        rig_close(&rig);
    }
}
END_TEST

START_TEST(two_cannot_wait_for_one)
{
    struct rig rig = rig_open(4, 0);
    struct waiting first = {.call = CALL_WAIT, .queue = rig.queue};

    submit_held(&rig, &first.id, 1, 0);
    waiting_begin(&first);
    EXPECT(aio_queue_wait(rig.queue, first.id, &no_time), -EBUSY);
    EXPECT(aio_queue_wait(rig.queue, first.id, NULL), -EBUSY);
    release_all(&rig);
    thread_end(first.thread);
    REQUIRE_EQ(first.result, 0);
    EXPECT(aio_queue_wait(rig.queue, first.id, NULL), -ESTALE);
    rig_close(&rig);
}
END_TEST

START_TEST(waiters_are_served_in_any_order)
{
    struct rig rig = rig_open(8, 0);
    struct waiting waiting[8];
    aio_request_id ids[8];

    memset(waiting, 0, sizeof(waiting));
    fault_reverse(rig.fault, true);
    submit_held(&rig, ids, 8, AIO_OP_WAITED);
    for (unsigned index = 0; index < 8; index++) {
        waiting[index].call = CALL_WAIT;
        waiting[index].queue = rig.queue;
        waiting[index].id = ids[index];
        waiting_begin(&waiting[index]);
    }
    EVENTUALLY(fault_held(rig.fault) == 8);
    for (unsigned round = 0; round < 8; round++) {
        unsigned done = 0;

        /* One each time, and whoever it is for comes back, whoever reaped it. */
        fault_release(rig.fault, 1);
        do {
            done = 0;
            for (unsigned index = 0; index < 8; index++)
                done += waiting[index].done;
        } while (done < round + 1);
        REQUIRE_EQ(done, round + 1);
    }
    for (unsigned index = 0; index < 8; index++) {
        thread_end(waiting[index].thread);
        REQUIRE_EQ(waiting[index].result, 0);
    }
    fault_hold(rig.fault, 0);
    rig_close(&rig);
}
END_TEST

/* --- reap ----------------------------------------------------------------------------------- */

START_TEST(bad_reaps_are_refused)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_completion completions[2];

    EXPECT(aio_queue_reap(NULL, completions, 0, 1, NULL), -EINVAL);
    EXPECT(aio_queue_reap(queue, NULL, 0, 1, NULL), -EINVAL);
    EXPECT(aio_queue_reap(queue, completions, 2, 1, NULL), -EINVAL);
    EXPECT(aio_queue_reap(queue, completions, 0, UINT32_MAX, NULL), -EINVAL);
    EXPECT(aio_queue_reap(queue, NULL, 0, 0, NULL), 0);
    EXPECT(aio_queue_drain(NULL, NULL), -EINVAL);
    close_queue(queue);
}
END_TEST

START_TEST(reap_never_waits_for_what_cannot_come)
{
    struct rig rig = rig_open(8, 0);
    struct aio_completion completions[8];
    struct aio_op sync = op_sync(rig.file);
    aio_request_id id;

    EXPECT(aio_queue_reap(rig.queue, completions, 1, 8, NULL), 0);
    for (unsigned index = 0; index < 3; index++)
        submit_one(rig.queue, &sync);
    EXPECT(aio_queue_reap(rig.queue, completions, 8, 8, NULL), 3);
    /* WAITED ones are not for it, running or done. */
    submit_held(&rig, &id, 1, AIO_OP_WAITED);
    EXPECT(aio_queue_reap(rig.queue, completions, 1, 8, NULL), 0);
    release_all(&rig);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    EXPECT(aio_queue_reap(rig.queue, completions, 1, 8, NULL), 0);
    EXPECT(aio_queue_wait(rig.queue, id, NULL), 0);
    rig_close(&rig);
}
END_TEST

START_TEST(reap_gives_results_in_the_order_of_completion)
{
    struct rig rig = rig_open(8, 0);
    struct aio_completion completions[8];
    aio_request_id ids[6];

    submit_held(&rig, ids, 6, 0);
    EVENTUALLY(fault_held(rig.fault) == 6);
    fault_reverse(rig.fault, true);
    fault_release(rig.fault, 4);
    EXPECT(aio_queue_reap(rig.queue, completions, 4, 8, NULL), 4);
    for (unsigned index = 0; index < 4; index++)
        REQUIRE_EQ(completions[index].id, ids[3 - index]);
    fault_reverse(rig.fault, false);
    release_all(&rig);
    EXPECT(aio_queue_reap(rig.queue, completions, 2, 8, NULL), 2);
    REQUIRE(completions[0].id == ids[4] && completions[1].id == ids[5]);
    rig_close(&rig);
}
END_TEST

START_TEST(reap_takes_no_more_than_there_is_room_for)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_op operations[8];
    struct aio_completion completions[9];
    aio_request_id ids[8];

    for (unsigned index = 0; index < 8; index++) {
        operations[index] = op_nop();
        operations[index].context = &operations[index];
    }
    EXPECT(aio_queue_submit(queue, operations, 8, ids), 8);
    memset(completions, 0xee, sizeof(completions));
    EXPECT(aio_queue_reap(queue, completions, 0, 3, NULL), 3);
    REQUIRE_EQ(completions[3].id, UINT64_C(0xeeeeeeeeeeeeeeee));
    EXPECT(aio_queue_reap(queue, completions + 3, 5, 5, &no_time), 5);
    for (unsigned index = 0; index < 8; index++) {
        REQUIRE_EQ(completions[index].id, ids[index]);
        REQUIRE(completions[index].context == &operations[index]);
    }
    EXPECT(aio_queue_reap(queue, completions, 0, 9, NULL), 0);
    close_queue(queue);
}
END_TEST

START_TEST(reap_gives_up_when_the_time_is_over)
{
    struct rig rig = rig_open(8, 0);
    struct aio_completion completions[8];
    struct timespec short_time = milliseconds(20);
    aio_request_id ids[3];
    int64_t start_ns;

    submit_held(&rig, ids, 3, 0);
    EXPECT(aio_queue_reap(rig.queue, completions, 3, 8, &no_time), 0);
    EVENTUALLY(fault_held(rig.fault) == 3);
    fault_release(rig.fault, 2);
    start_ns = clock_ns();
    EXPECT(aio_queue_reap(rig.queue, completions, 3, 8, &short_time), 2);
    REQUIRE(clock_ns() - start_ns >= 20000000);
    release_all(&rig);
    EXPECT(aio_queue_reap(rig.queue, completions, 1, 8, NULL), 1);
    rig_close(&rig);
}
END_TEST

START_TEST(reap_does_not_see_what_a_wait_has_claimed)
{
    struct rig rig = rig_open(8, 0);
    struct aio_completion completions[8];
    struct waiting waiting = {.call = CALL_WAIT, .queue = rig.queue};
    aio_request_id ids[2];

    submit_held(&rig, ids, 2, 0);
    waiting.id = ids[0];
    waiting_begin(&waiting);
    release_all(&rig);
    EXPECT(aio_queue_reap(rig.queue, completions, 2, 8, NULL), 1);
    REQUIRE_EQ(completions[0].id, ids[1]);
    thread_end(waiting.thread);
    REQUIRE_EQ(waiting.result, 0);
    rig_close(&rig);
}
END_TEST

START_TEST(what_a_wait_gave_up_is_reaped_again)
{
    struct rig rig = rig_open(8, 0);
    struct aio_completion completion;
    aio_request_id id;

    submit_held(&rig, &id, 1, 0);
    EXPECT(aio_queue_wait(rig.queue, id, &no_time), -ETIMEDOUT);
    release_all(&rig);
    EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, NULL), 1);
    REQUIRE_EQ(completion.id, id);
    EXPECT(aio_queue_wait(rig.queue, id, NULL), -ESTALE);
    rig_close(&rig);
}
END_TEST

START_TEST(a_reap_is_told_that_a_wait_took_its_last_hope)
{
    struct rig rig = rig_open(8, 0);
    struct waiting reaping = {.call = CALL_REAP, .queue = rig.queue, .min = 1};
    struct waiting waiting = {.call = CALL_WAIT, .queue = rig.queue};

    submit_held(&rig, &waiting.id, 1, 0);
    waiting_begin(&reaping);
    REQUIRE(!reaping.done);
    waiting_begin(&waiting);
    EVENTUALLY(reaping.done);
    thread_end(reaping.thread);
    REQUIRE_EQ(reaping.result, 0);
    release_all(&rig);
    thread_end(waiting.thread);
    REQUIRE_EQ(waiting.result, 0);
    rig_close(&rig);
}
END_TEST

START_TEST(several_reap_at_once_each_result_once)
{
    struct rig rig = rig_open(8, 0);
    struct waiting reaping[3];
    aio_request_id ids[8];
    unsigned seen[8] = {0};
    int64_t sum = 0;

    memset(reaping, 0, sizeof(reaping));
    submit_held(&rig, ids, 8, 0);
    for (unsigned index = 0; index < 3; index++) {
        reaping[index].call = CALL_REAP;
        reaping[index].queue = rig.queue;
        reaping[index].min = 4;
        waiting_begin(&reaping[index]);
    }
    release_all(&rig);
    for (unsigned index = 0; index < 3; index++) {
        thread_end(reaping[index].thread);
        sum += reaping[index].result;
        for (int64_t taken = 0; taken < reaping[index].result; taken++)
            for (unsigned id = 0; id < 8; id++)
                seen[id] += reaping[index].completions[taken].id == ids[id];
    }
    REQUIRE_EQ(sum, 8);
    for (unsigned id = 0; id < 8; id++)
        REQUIRE_EQ(seen[id], 1);
    rig_close(&rig);
}
END_TEST

/* --- drain ---------------------------------------------------------------------------------- */

START_TEST(drain_waits_for_what_was_submitted_before)
{
    struct rig rig = rig_open(8, 0);
    struct waiting draining = {.call = CALL_DRAIN, .queue = rig.queue};
    struct aio_completion completions[4];
    aio_request_id ids[4];

    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    EXPECT(aio_queue_drain(rig.queue, &no_time), 0);
    submit_held(&rig, ids, 2, 0);
    EXPECT(aio_queue_drain(rig.queue, &no_time), -ETIMEDOUT);
    waiting_begin(&draining);
    submit_held(&rig, ids + 2, 2, 0);
    EVENTUALLY(fault_held(rig.fault) == 4);
    fault_release(rig.fault, 1);
    sleep_us(20000);
    REQUIRE(!draining.done);
    fault_release(rig.fault, 1);
    EVENTUALLY(draining.done); /* with two later ones in flight */
    thread_end(draining.thread);
    REQUIRE_EQ(draining.result, 0);
    EXPECT(aio_queue_reap(rig.queue, completions, 2, 4, NULL), 2);
    release_all(&rig);
    EXPECT(aio_queue_reap(rig.queue, completions, 2, 4, NULL), 2);
    rig_close(&rig);
}
END_TEST

struct slow_callback {
    atomic_bool begun;
    atomic_bool go;
    atomic_bool ended;
};

static void slow_callback_run(const struct aio_completion *completion)
{
    struct slow_callback *slow = completion->context;

    slow->begun = true;
    EVENTUALLY(slow->go);
    slow->ended = true;
}

START_TEST(drain_waits_for_callbacks_to_return)
{
    struct rig rig = rig_open(8, 0);
    struct waiting draining = {.call = CALL_DRAIN, .queue = rig.queue};
    struct slow_callback slow = {false};
    struct aio_op sync = op_sync(rig.file);

    sync.on_complete = slow_callback_run;
    sync.context = &slow;
    submit_one(rig.queue, &sync);
    EVENTUALLY(slow.begun);
    waiting_begin(&draining);
    REQUIRE(!draining.done);
    slow.go = true;
    thread_end(draining.thread);
    REQUIRE_EQ(draining.result, 0);
    REQUIRE(slow.ended);
    rig_close(&rig);
}
END_TEST

START_TEST(drain_does_not_wait_for_what_came_later_than_a_callback)
{
    struct rig rig = rig_open(8, 0);
    struct waiting draining = {.call = CALL_DRAIN, .queue = rig.queue};
    struct slow_callback slow = {false};
    struct aio_op sync = op_sync(rig.file);
    aio_request_id later;

    sync.on_complete = slow_callback_run;
    sync.context = &slow;
    submit_one(rig.queue, &sync);
    EVENTUALLY(slow.begun);
    waiting_begin(&draining);
    /* Now there is something to reap for the one who waits. */
    submit_held(&rig, &later, 1, 0);
    sleep_us(30000);
    slow.go = true;
    EVENTUALLY(draining.done);
    thread_end(draining.thread);
    REQUIRE_EQ(draining.result, 0);
    release_all(&rig);
    EXPECT(aio_queue_wait(rig.queue, later, NULL), 0);
    rig_close(&rig);
}
END_TEST

/* --- ids ------------------------------------------------------------------------------------ */

START_TEST(an_id_never_names_a_later_operation)
{
    enum { TIMES = 2000 };
    struct aio_queue *queue = open_queue(2, 0);
    struct aio_op nop = op_nop();
    static aio_request_id ids[TIMES];

    for (unsigned index = 0; index < TIMES; index++) {
        ids[index] = submit_one(queue, &nop);
        if (index > 0)
            EXPECT(aio_queue_wait(queue, ids[index - 1], NULL), -ESTALE);
        EXPECT(aio_queue_wait(queue, ids[index], NULL), 0);
        for (unsigned before = index > 10 ? index - 10 : 0; before < index; before++)
            REQUIRE(ids[before] != ids[index]);
    }
    close_queue(queue);
}
END_TEST

static void submit_next(const struct aio_completion *completion)
{
    struct aio_request_info info;
    struct rig *rig = completion->context;
    struct aio_op read = op_read(rig->file, NULL, 0, 0);
    aio_request_id id;

    read.context = rig;
    REQUIRE_EQ(CALL(aio_queue_submit(rig->queue, &read, 1, &id)), 1);
    REQUIRE(id != completion->id);
    /* The slot is the same. */
    REQUIRE_EQ(CALL(aio_queue_inflight(rig->queue, &info, 1)), 1);
    REQUIRE_EQ(info.id, id);
}

START_TEST(an_id_with_a_callback_never_names_a_later_operation)
{
    struct rig rig = rig_open(1, 0);
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    struct aio_completion completion;
    aio_request_id last = 0;

    read.context = &rig;
    for (unsigned round = 0; round < 100; round++) {
        aio_request_id id;

        /* First a callback that leaves its slot, then one that uses it again. */
        read.on_complete = round % 2 == 0 ? ignore : submit_next;
        id = submit_one(rig.queue, &read);
        REQUIRE(id != last);
        EXPECT(aio_queue_drain(rig.queue, NULL), 0);
        EXPECT(aio_queue_wait(rig.queue, id, &no_time), -ESTALE);
        last = id;
        if (round % 2 == 1) {
            EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, NULL), 1);
            REQUIRE(completion.id != id);
            last = completion.id;
        }
    }
    rig_close(&rig);
}
END_TEST

/* --- who reaps ------------------------------------------------------------------------------ */

START_TEST(a_thread_that_waits_reaps_for_itself)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(MIB, 0, 1);
    struct aio_op write = op_write(file, bytes, MIB, 0);
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    for (unsigned round = 0; round < 50; round++)
        REQUIRE_EQ(run_op(queue, &write).result, MIB);
    EXPECT(aio_queue_stats(queue, &stats), 0);
    /* The reaper looks in every ten milliseconds, so some may be its. */
    REQUIRE(stats.reaped_by_waiter > stats.reaped_by_reaper);
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

START_TEST(transfers_go_on_though_nobody_calls)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(65536, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, 65536, 0);
    struct aio_request_info info;
    aio_request_id id;

    fault_add(rig.fault, (struct fault_rule){FAULT_SHORTEN, .count = 10, .value = 4096});
    id = submit_one(rig.queue, &write);
    EVENTUALLY(aio_queue_inflight(rig.queue, &info, 1) == 1 && info.state == AIO_REQUEST_DONE);
    disk_check_pattern("file", 0, 65536, 1);
    EXPECT(aio_queue_wait(rig.queue, id, &no_time), 65536);
    rig_close(&rig);
    free(bytes);
}
END_TEST

static void on_signal(int number)
{
    (void)number;
}

START_TEST(signals_do_not_end_a_wait)
{
    struct rig rig = rig_open(8, 0);
    struct waiting waiting[3] = {
        {.call = CALL_WAIT, .queue = rig.queue},
        {.call = CALL_REAP, .queue = rig.queue, .min = 1},
        {.call = CALL_DRAIN, .queue = rig.queue},
    };
    struct sigaction action = {.sa_handler = on_signal};
    aio_request_id ids[2];

    sigaction(SIGUSR1, &action, NULL);
    for (unsigned which = 0; which < COUNT(waiting); which++) {
        submit_held(&rig, ids, 2, 0);
        waiting[which].id = ids[0];
        waiting_begin(&waiting[which]);
        for (unsigned round = 0; round < 20; round++) {
            pthread_kill(waiting[which].thread, SIGUSR1);
            sleep_us(1000);
        }
        REQUIRE(!waiting[which].done);
        release_all(&rig);
        thread_end(waiting[which].thread);
        REQUIRE_EQ(waiting[which].result, waiting[which].call == CALL_REAP ? 2 : 0);
        for (unsigned index = 0; index < 2; index++)
            CALL(aio_queue_wait(rig.queue, ids[index], NULL));
    }
    rig_close(&rig);
}
END_TEST

START_TEST(interrupted_system_calls_are_repeated)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    aio_request_id id;

    fault_interrupt_submit(rig.fault, 5);
    id = submit_one(rig.queue, &write);
    fault_interrupt_reap(rig.fault, 5);
    REQUIRE_EQ(completion_of(rig.queue, id).result, PAGE);
    REQUIRE(fault_submits(rig.fault) >= 6);
    REQUIRE(fault_reaps(rig.fault) >= 6);
    rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(a_holder_that_sleeps_for_many_comes_back_for_a_newcomer)
{
    struct rig rig = rig_open(64, 0);
    struct waiting reaping = {.call = CALL_REAP, .queue = rig.queue, .min = 16};
    struct aio_completion completions[64];
    aio_request_id ids[42];

    submit_held(&rig, ids, 41, 0);
    EVENTUALLY(fault_held(rig.fault) == 41);
    waiting_begin(&reaping);
    EVENTUALLY(fault_sleeping_for(rig.fault) == 16);
    /* One event is enough for this one, though the holder wants sixteen. */
    submit_held(&rig, ids + 41, 1, AIO_OP_WAITED);
    fault_release(rig.fault, 10);
    release_all(&rig);
    EXPECT(aio_queue_wait(rig.queue, ids[41], NULL), 0);
    thread_end(reaping.thread);
    REQUIRE_EQ(reaping.result, 16);
    EXPECT(aio_queue_reap(rig.queue, completions, 25, 64, NULL), 25);
    rig_close(&rig);
}
END_TEST

START_TEST(one_event_reaches_its_waiter_past_a_holder_that_wants_many)
{
    struct rig rig = rig_open(64, 0);
    struct waiting reaping = {.call = CALL_REAP, .queue = rig.queue, .min = 16};
    struct waiting waiting = {.call = CALL_WAIT, .queue = rig.queue};
    struct aio_completion completions[64];
    aio_request_id ids[41];

    submit_held(&rig, ids, 41, 0);
    EVENTUALLY(fault_held(rig.fault) == 41);
    waiting_begin(&reaping);
    EVENTUALLY(fault_sleeping_for(rig.fault) == 16);
    waiting.id = ids[0];
    waiting_begin(&waiting);
    fault_release(rig.fault, 1);
    EVENTUALLY(waiting.done);
    REQUIRE(!reaping.done);
    thread_end(waiting.thread);
    REQUIRE_EQ(waiting.result, 0);
    release_all(&rig);
    thread_end(reaping.thread);
    REQUIRE_EQ(reaping.result, 16);
    EXPECT(aio_queue_reap(rig.queue, completions, 24, 64, NULL), 24);
    rig_close(&rig);
}
END_TEST

START_TEST(a_result_that_comes_past_the_engine_counts_for_a_holder)
{
    struct rig rig = rig_open(8, 0);
    struct waiting reaping = {.call = CALL_REAP, .queue = rig.queue, .min = 2};
    struct aio_completion completion;
    struct aio_op nop = op_nop();
    aio_request_id ids[2];

    submit_held(&rig, ids, 2, 0);
    EVENTUALLY(fault_held(rig.fault) == 2);
    waiting_begin(&reaping);
    EVENTUALLY(fault_sleeping_for(rig.fault) == 2);
    /* With this one, one event is enough. */
    submit_one(rig.queue, &nop);
    fault_release(rig.fault, 1);
    EVENTUALLY(reaping.done);
    thread_end(reaping.thread);
    REQUIRE_EQ(reaping.result, 2);
    release_all(&rig);
    EXPECT(aio_queue_reap(rig.queue, &completion, 1, 1, NULL), 1);
    rig_close(&rig);
}
END_TEST

static void count_call(const struct aio_completion *completion)
{
    atomic_fetch_add((atomic_int *)completion->context, 1);
}

START_TEST(a_callback_does_not_wait_for_a_holder_that_wants_many)
{
    struct rig rig = rig_open(64, 0);
    struct waiting reaping = {.call = CALL_REAP, .queue = rig.queue, .min = 16};
    struct aio_completion completions[64];
    struct aio_op read = op_read(rig.file, NULL, 0, 0);
    atomic_int called = 0;
    aio_request_id ids[20];

    submit_held(&rig, ids, 20, 0);
    EVENTUALLY(fault_held(rig.fault) == 20);
    waiting_begin(&reaping);
    EVENTUALLY(fault_sleeping_for(rig.fault) == 16);
    fault_hold(rig.fault, FAULT_SYNCS);
    read.on_complete = count_call;
    read.context = &called;
    submit_one(rig.queue, &read);
    EVENTUALLY(called == 1);
    REQUIRE(!reaping.done);
    release_all(&rig);
    thread_end(reaping.thread);
    REQUIRE(reaping.result >= 16);
    EXPECT(aio_queue_reap(rig.queue, completions, 20, 64, NULL), 20 - reaping.result);
    rig_close(&rig);
}
END_TEST

START_TEST(a_wake_that_fails_is_tried_again)
{
    struct rig rig = rig_open(64, 0);
    struct waiting reaping = {.call = CALL_REAP, .queue = rig.queue, .min = 16};
    struct waiting waiting = {.call = CALL_WAIT, .queue = rig.queue};
    struct aio_completion completions[64];
    aio_request_id ids[41];

    submit_held(&rig, ids, 41, 0);
    EVENTUALLY(fault_held(rig.fault) == 41);
    waiting_begin(&reaping);
    EVENTUALLY(fault_sleeping_for(rig.fault) == 16);
    fault_refuse_wake(rig.fault, 3);
    waiting.id = ids[0];
    waiting_begin(&waiting);
    EVENTUALLY(fault_wakes(rig.fault) >= 4);
    fault_release(rig.fault, 1);
    EVENTUALLY(waiting.done);
    thread_end(waiting.thread);
    release_all(&rig);
    thread_end(reaping.thread);
    EXPECT(aio_queue_reap(rig.queue, completions, 24, 64, NULL), 24);
    rig_close(&rig);
}
END_TEST

START_TEST(a_holder_that_leaves_hands_the_token_on)
{
    struct rig rig = rig_open(8, 0);
    struct timespec short_time = milliseconds(30);
    struct waiting leaving = {.call = CALL_WAIT, .queue = rig.queue, .timeout = &short_time};
    struct waiting staying = {.call = CALL_WAIT, .queue = rig.queue};
    aio_request_id ids[2];

    submit_held(&rig, ids, 2, AIO_OP_WAITED);
    leaving.id = ids[0];
    staying.id = ids[1];
    thread_begin(&leaving.thread, waiting_main, &leaving);
    EVENTUALLY(fault_sleeping_for(rig.fault) == 1);
    waiting_begin(&staying);
    thread_end(leaving.thread);
    REQUIRE_EQ(leaving.result, -ETIMEDOUT);
    EVENTUALLY(fault_sleeping_for(rig.fault) == 1);
    release_all(&rig);
    thread_end(staying.thread);
    REQUIRE_EQ(staying.result, 0);
    EXPECT(aio_queue_wait(rig.queue, ids[0], NULL), 0);
    rig_close(&rig);
}
END_TEST

static Suite *results_suite(void)
{
    Suite *suite = suite_create("results");

    ADD_TESTS(suite, "wait", wait_takes_each_result_once, bad_waits_are_refused,
              what_has_a_callback_cannot_be_waited_for, a_wait_that_times_out_leaves_the_operation,
              polling_brings_the_result_in_the_end, a_time_out_may_be_longer_than_time,
              two_cannot_wait_for_one, waiters_are_served_in_any_order);
    ADD_TESTS(suite, "reap", bad_reaps_are_refused, reap_never_waits_for_what_cannot_come,
              reap_gives_results_in_the_order_of_completion,
              reap_takes_no_more_than_there_is_room_for, reap_gives_up_when_the_time_is_over,
              reap_does_not_see_what_a_wait_has_claimed, what_a_wait_gave_up_is_reaped_again,
              a_reap_is_told_that_a_wait_took_its_last_hope, several_reap_at_once_each_result_once);
    ADD_TESTS(suite, "drain", drain_waits_for_what_was_submitted_before,
              drain_waits_for_callbacks_to_return,
              drain_does_not_wait_for_what_came_later_than_a_callback);
    ADD_TESTS(suite, "ids", an_id_never_names_a_later_operation,
              an_id_with_a_callback_never_names_a_later_operation);
    ADD_TESTS(suite, "reaping", a_thread_that_waits_reaps_for_itself,
              transfers_go_on_though_nobody_calls, signals_do_not_end_a_wait,
              interrupted_system_calls_are_repeated,
              a_holder_that_sleeps_for_many_comes_back_for_a_newcomer,
              one_event_reaches_its_waiter_past_a_holder_that_wants_many,
              a_result_that_comes_past_the_engine_counts_for_a_holder,
              a_callback_does_not_wait_for_a_holder_that_wants_many,
              a_wake_that_fails_is_tried_again, a_holder_that_leaves_hands_the_token_on);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, results_suite);
}
