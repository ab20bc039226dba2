/* SPDX-License-Identifier: MIT */
/*
 * test_deadline.c - notices: whoever would get the result of an operation is told once that it
 * takes longer than its deadline, whatever else happens or does not; and gets the result all the
 * same.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "queue_state.h"
#include "support.h"

#define MS UINT64_C(1000000) /* nanoseconds */
#define STRIPE (2 * MIB)
#define WORKERS 4u

static const struct timespec no_time = {0, 0};

static void check_notice(const struct aio_completion *completion, aio_request_id id)
{
    REQUIRE_EQ(completion->id, id);
    REQUIRE_EQ(completion->result, -ETIMEDOUT);
    REQUIRE_EQ(completion->error, -ETIMEDOUT);
    REQUIRE_EQ(completion->flags, AIO_COMPLETION_MORE);
    REQUIRE_EQ(completion->reserved[0] | completion->reserved[1] | completion->reserved[2], 0);
}

static uint64_t notices_of(struct aio_queue *queue)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    EXPECT(aio_queue_stats(queue, &stats), 0);
    return stats.notices;
}

/* Since it was submitted: not before its deadline, and not much later. */
static void check_time(int64_t submitted_ns, uint64_t deadline_ns)
{
    int64_t took_ns = clock_ns() - submitted_ns;

    ck_assert_msg(took_ns >= (int64_t)deadline_ns, "told %lld us too early",
                  (long long)((int64_t)deadline_ns - took_ns) / 1000);
    ck_assert_msg(took_ns < (int64_t)(deadline_ns + 1000 * MS * slowness()), "told after %lld ms",
                  (long long)(took_ns / (int64_t)MS));
}

/* Reads that are kept back until release(). */
enum { PAGES = 16 };
struct late {
    struct rig rig;
    char *page; /* and those behind it, by turns */
    struct aio_op read;
    unsigned submitted;
};

/* In the engine, or, where that was slow to take reads, with a worker. */
static void keep_back(struct late *late)
{
    fault_hold(late->rig.fault, FAULT_READS);
    fault_stall(late->rig.fault, FAULT_READS);
}

static struct late late_open(unsigned depth, uint32_t queue_flags, uint64_t deadline)
{
    struct late late = {.rig = rig_open(depth, queue_flags),
                        .page = pattern_alloc(PAGES * PAGE, 0, 1)};

    EXPECT(aio_file_pwrite(late.rig.file, late.page, PAGE, 0), PAGE);
    late.read = op_read(late.rig.file, late.page, PAGE, 0);
    late.read.deadline = deadline;
    late.read.context = &late_open;
    keep_back(&late);
    return late;
}

static aio_request_id submit_late(struct late *late)
{
    late->read.buf = late->page + (size_t)(late->submitted++ % PAGES) * PAGE;
    return submit_one(late->rig.queue, &late->read);
}

static void release(struct late *late)
{
    fault_hold(late->rig.fault, 0);
    fault_stall(late->rig.fault, 0);
    fault_release(late->rig.fault, FAULT_FOR_EVER);
}

static void late_close(struct late *late)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    EXPECT(aio_queue_drain(late->rig.queue, NULL), 0);
    EXPECT(aio_queue_stats(late->rig.queue, &stats), 0);
    REQUIRE(stats.held == 0 && stats.inflight == 0);
    REQUIRE_EQ(stats.submitted, stats.completed);
    rig_close(&late->rig);
    free(late->page);
}

static void take_result(struct late *late, aio_request_id id)
{
    REQUIRE_EQ(completion_of(late->rig.queue, id).result, PAGE);
}

/* --- to whom -------------------------------------------------------------------------------- */

START_TEST(reap_gives_the_notice_and_then_the_result)
{
    struct late late = late_open(4, 0, 20 * MS);
    struct aio_completion completions[4];
    int64_t before = clock_ns();
    aio_request_id id = submit_late(&late);

    EXPECT(aio_queue_reap(late.rig.queue, completions, 1, 4, NULL), 1);
    check_time(before, 20 * MS);
    check_notice(&completions[0], id);
    REQUIRE(completions[0].context == &late_open);
    REQUIRE_EQ(notices_of(late.rig.queue), 1);
    sleep_us(50000);
    EXPECT(aio_queue_reap(late.rig.queue, completions, 0, 4, NULL), 0);
    /* It runs on, and its id says which. */
    EXPECT(aio_queue_wait(late.rig.queue, id, &no_time), -ETIMEDOUT);
    EXPECT(aio_queue_inflight(late.rig.queue, NULL, 0), 1);
    release(&late);
    EXPECT(aio_queue_reap(late.rig.queue, completions, 1, 4, NULL), 1);
    REQUIRE(completions[0].id == id && completions[0].result == PAGE);
    REQUIRE(completions[0].flags == 0 && completions[0].error == 0);
    pattern_check(late.page, PAGE, 0, 1);
    EXPECT(aio_queue_wait(late.rig.queue, id, &no_time), -ESTALE);
    REQUIRE_EQ(notices_of(late.rig.queue), 1);
    late_close(&late);
}
END_TEST

/* With and without WAITED; asleep when it comes, and later. */
START_TEST(wait_gives_the_notice_and_then_the_result)
{
    bool waited = (_i & 1) != 0;
    bool later = (_i & 2) != 0;
    struct late late = late_open(4, 0, 20 * MS);
    struct aio_completion completion;
    int64_t before;
    aio_request_id id;

    for (unsigned round = 0; round < 2; round++) {
        late.read.flags = waited ? AIO_OP_WAITED : 0;
        keep_back(&late);
        before = clock_ns();
        id = submit_late(&late);
        if (later)
            EVENTUALLY(notices_of(late.rig.queue) == round + 1);
        if (round == 0) {
            EXPECT(aio_queue_wait_result(late.rig.queue, id, NULL, &completion), 0);
            check_notice(&completion, id);
        } else {
            EXPECT(aio_queue_wait(late.rig.queue, id, later ? &no_time : NULL), -ETIMEDOUT);
        }
        check_time(before, 20 * MS);
        /* Once. */
        EXPECT(aio_queue_wait(late.rig.queue, id, &no_time), -ETIMEDOUT);
        sleep_us(30000);
        EXPECT(aio_queue_reap(late.rig.queue, &completion, 0, 1, NULL), 0);
        REQUIRE_EQ(notices_of(late.rig.queue), round + 1);
        release(&late);
        take_result(&late, id);
    }
    late_close(&late);
}
END_TEST

/* What is for waiting is not for reaping, and what one waits for is that one's. */
START_TEST(a_notice_goes_where_the_result_would_go)
{
    struct late late = late_open(4, 0, 5 * MS);
    struct aio_completion completion;
    aio_request_id id;

    late.read.flags = AIO_OP_WAITED;
    id = submit_late(&late);
    EVENTUALLY(notices_of(late.rig.queue) == 1);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 0, 1, NULL), 0);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 0);
    EXPECT(aio_queue_wait_result(late.rig.queue, id, &no_time, &completion), 0);
    check_notice(&completion, id);
    release(&late);
    take_result(&late, id);
    /* One that reap could have is had by wait, and is gone then. */
    late.read.flags = 0;
    keep_back(&late);
    id = submit_late(&late);
    EVENTUALLY(notices_of(late.rig.queue) == 2);
    EXPECT(aio_queue_wait_result(late.rig.queue, id, &no_time, &completion), 0);
    check_notice(&completion, id);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 0, 1, NULL), 0);
    release(&late);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    REQUIRE_EQ(completion.result, PAGE);
    late_close(&late);
}
END_TEST

struct seen {
    atomic_int notices;
    atomic_int results;
    int64_t submitted_ns;
    uint64_t deadline;
    struct aio_queue *queue;
    bool submits; /* something, when told */
    bool stays;   /* in the callback, when told */
    atomic_bool go;
};

static void nothing(const struct aio_completion *completion)
{
    REQUIRE_EQ(completion->flags, 0);
}

static void see(const struct aio_completion *completion)
{
    struct seen *seen = completion->context;
    struct aio_op nop = op_nop();

    if (completion->flags == 0) {
        REQUIRE_EQ(completion->result, PAGE);
        atomic_fetch_add(&seen->results, 1);
        return;
    }
    check_notice(completion, completion->id);
    check_time(seen->submitted_ns, seen->deadline);
    REQUIRE_EQ(seen->results, 0);
    EXPECT(aio_queue_wait(seen->queue, completion->id, &no_time), -EDEADLK);
    nop.on_complete = nothing;
    if (seen->submits)
        EXPECT(aio_queue_submit(seen->queue, &nop, 1, NULL),
               aio_queue_depth(seen->queue) == 1 ? -EAGAIN : 1);
    atomic_fetch_add(&seen->notices, 1);
    if (seen->stays)
        EVENTUALLY(seen->go);
}

START_TEST(a_callback_is_told_and_gets_its_result)
{
    struct late late = late_open(_i == 0 ? 1 : 4, 0, 20 * MS);
    struct seen seen = {.queue = late.rig.queue, .deadline = 20 * MS, .submits = true};

    late.read.on_complete = see;
    late.read.context = &seen;
    seen.submitted_ns = clock_ns();
    submit_late(&late);
    EVENTUALLY(seen.notices == 1);
    sleep_us(30000);
    REQUIRE_EQ(seen.results, 0);
    release(&late);
    EVENTUALLY(seen.results == 1);
    late_close(&late);
    REQUIRE(seen.notices == 1 && seen.results == 1);
}
END_TEST

/* The operation is done while its callback is being told that it is late: one after the other. */
START_TEST(the_result_waits_for_the_notice)
{
    struct late late = late_open(4, 0, MS);
    struct seen seen = {.queue = late.rig.queue, .deadline = MS, .stays = true};
    struct aio_op nop = op_nop();

    late.read.on_complete = see;
    late.read.context = &seen;
    seen.submitted_ns = clock_ns();
    submit_late(&late);
    EVENTUALLY(seen.notices == 1);
    release(&late);
    REQUIRE_EQ(run_op(late.rig.queue, &nop).result, 0);
    EXPECT(aio_queue_drain(late.rig.queue, &no_time), -ETIMEDOUT);
    REQUIRE_EQ(seen.results, 0);
    seen.go = true;
    EVENTUALLY(seen.results == 1);
    late_close(&late);
    REQUIRE_EQ(seen.notices, 1);
}
END_TEST

/* --- and when not --------------------------------------------------------------------------- */

START_TEST(what_is_done_in_time_has_no_notice)
{
    static const uint64_t deadlines[] = {3600 * UINT64_C(1000) * MS, INT64_MAX, INT64_MAX - 1,
                                         (uint64_t)INT64_MAX / 2};
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_completion completion;

    for (unsigned round = 0; round < 200; round++) {
        struct aio_op nop = op_nop();
        aio_request_id id;

        nop.deadline = deadlines[round % COUNT(deadlines)];
        nop.flags = round % 3 == 0 ? AIO_OP_WAITED : 0;
        id = submit_one(queue, &nop);
        if (round % 3 < 2) {
            REQUIRE_EQ(completion_of(queue, id).result, 0);
        } else {
            EXPECT(aio_queue_reap(queue, &completion, 1, 1, NULL), 1);
            REQUIRE(completion.id == id && completion.flags == 0 && completion.result == 0);
        }
    }
    REQUIRE_EQ(notices_of(queue), 0);
    close_queue(queue);
}
END_TEST

START_TEST(no_notice_comes_after_the_result)
{
    struct late late = late_open(4, 0, 30 * MS);
    struct aio_completion completion;
    struct aio_op nop = op_nop();
    aio_request_id id = submit_late(&late);

    release(&late);
    EXPECT(aio_queue_drain(late.rig.queue, NULL), 0);
    sleep_us(60000); /* the result is there, and nobody took it */
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 0, 1, NULL), 1);
    REQUIRE(completion.id == id && completion.flags == 0);
    /* Nor does the slot's next operation inherit it. */
    for (unsigned round = 0; round < 8; round++)
        REQUIRE_EQ(run_op(late.rig.queue, &nop).result, 0);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 0, 1, NULL), 0);
    REQUIRE_EQ(notices_of(late.rig.queue), 0);
    late_close(&late);
}
END_TEST

/* Nobody took the notice, and then the result came: it alone is given. */
START_TEST(a_notice_that_nobody_took_is_no_news_any_more)
{
    struct late late = late_open(4, 0, MS);
    struct aio_completion completions[3];
    aio_request_id id = submit_late(&late);

    EVENTUALLY(notices_of(late.rig.queue) == 1);
    release(&late);
    EXPECT(aio_queue_drain(late.rig.queue, NULL), 0);
    EXPECT(aio_queue_reap(late.rig.queue, completions, 2, 3, NULL), 1);
    REQUIRE(completions[0].id == id && completions[0].flags == 0);
    EXPECT(aio_queue_reap(late.rig.queue, completions, 1, 3, NULL), 0);
    late_close(&late);
}
END_TEST

START_TEST(deadlines_have_a_range)
{
    struct late late = late_open(4, 0, 1);
    struct aio_completion completion;
    aio_request_id id;

    for (unsigned round = 0; round < 20; round++) {
        keep_back(&late);
        id = submit_late(&late);
        EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
        check_notice(&completion, id);
        release(&late);
        take_result(&late, id);
    }
    REQUIRE_EQ(notices_of(late.rig.queue), 20);
    late.read.deadline = INT64_MAX;
    keep_back(&late);
    id = submit_late(&late);
    sleep_us(30000);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 0, 1, NULL), 0);
    late.read.deadline = (uint64_t)INT64_MAX + 1;
    EXPECT(aio_queue_submit(late.rig.queue, &late.read, 1, NULL), -EINVAL);
    late.read.deadline = UINT64_MAX;
    EXPECT(aio_queue_submit(late.rig.queue, &late.read, 1, NULL), -EINVAL);
    release(&late);
    take_result(&late, id);
    REQUIRE_EQ(notices_of(late.rig.queue), 20);
    late_close(&late);
}
END_TEST

/* --- whatever else happens ------------------------------------------------------------------ */

struct stuck {
    struct aio_queue *queue;
    struct aio_op op;
    atomic_bool begun;
    atomic_bool ended;
    aio_request_id id;
    int64_t result;
    pthread_t thread;
};

static void *stuck_submit(void *argument)
{
    struct stuck *stuck = argument;

    stuck->begun = true;
    EXPECT(aio_queue_submit(stuck->queue, &stuck->op, 1, &stuck->id), 1);
    stuck->ended = true;
    return NULL;
}

static void *stuck_wait(void *argument)
{
    struct stuck *stuck = argument;

    stuck->begun = true;
    stuck->result = CALL(aio_queue_wait(stuck->queue, stuck->id, NULL));
    stuck->ended = true;
    return NULL;
}

/* A thread stands in the engine's submit: for the operation itself, or for another. */
START_TEST(a_submit_that_blocks_is_no_excuse)
{
    struct late late = late_open(4, 0, 20 * MS);
    struct stuck stuck = {.queue = late.rig.queue, .op = late.read};
    struct aio_completion completions[2];
    aio_request_id id = 0;
    int64_t before;

    if (_i == 0)
        id = submit_late(&late);
    fault_linger(late.rig.fault, 300 * slowness());
    before = clock_ns();
    stuck.op.buf = late.page + (PAGES - 1) * PAGE;
    if (_i == 0)
        stuck.op.deadline = 0;
    thread_begin(&stuck.thread, stuck_submit, &stuck);
    EVENTUALLY(aio_queue_inflight(late.rig.queue, NULL, 0) == 2 - _i);
    EXPECT(aio_queue_reap(late.rig.queue, completions, 1, 2, NULL), 1);
    REQUIRE(!stuck.ended);
    if (_i == 1)
        check_time(before, 20 * MS);
    check_notice(&completions[0], completions[0].id);
    thread_end(stuck.thread);
    fault_linger(late.rig.fault, 0);
    REQUIRE_EQ(completions[0].id, _i == 0 ? id : stuck.id);
    release(&late);
    EXPECT(aio_queue_reap(late.rig.queue, completions, 2 - (unsigned)_i, 2, NULL), 2 - _i);
    late_close(&late);
}
END_TEST

/* Another thread reaps, and waits for something else. */
START_TEST(a_thread_with_the_token_is_no_excuse)
{
    struct late late = late_open(4, 0, 0);
    struct stuck stuck = {.queue = late.rig.queue};
    struct aio_completion completion;
    struct seen seen = {.queue = late.rig.queue, .deadline = 20 * MS};
    aio_request_id id = 0;
    int64_t before;

    late.read.flags = AIO_OP_WAITED;
    stuck.id = submit_late(&late);
    thread_begin(&stuck.thread, stuck_wait, &stuck);
    EVENTUALLY(fault_sleeping_for(late.rig.fault) > 0);
    late.read.flags = 0;
    late.read.deadline = 20 * MS;
    before = clock_ns();
    if (_i == 1) {
        late.read.on_complete = see;
        late.read.context = &seen;
        seen.submitted_ns = before;
    }
    id = submit_late(&late);
    if (_i == 0) {
        EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
        check_time(before, 20 * MS);
        check_notice(&completion, id);
    } else {
        EVENTUALLY(seen.notices == 1);
    }
    REQUIRE(!stuck.ended);
    release(&late);
    thread_end(stuck.thread);
    REQUIRE_EQ(stuck.result, PAGE);
    if (_i == 0)
        take_result(&late, id);
    late_close(&late);
    REQUIRE(_i == 0 || (seen.notices == 1 && seen.results == 1));
}
END_TEST

START_TEST(one_that_waits_for_its_file_is_late_too)
{
    struct late late = late_open(8, 0, 0);
    struct aio_op write = op_write(late.rig.file, late.page, PAGE, 0);
    struct aio_op truncate = {
        .opcode = AIO_OP_TRUNCATE, .file = late.rig.file, .offset = PAGE, .deadline = 20 * MS};
    struct aio_completion completion;
    struct aio_request_info info;
    int64_t before;
    aio_request_id ids[2];

    fault_hold(late.rig.fault, FAULT_WRITES);
    ids[0] = submit_one(late.rig.queue, &write);
    before = clock_ns();
    ids[1] = submit_one(late.rig.queue, &truncate);
    EXPECT(aio_queue_wait_result(late.rig.queue, ids[1], NULL, &completion), 0);
    check_time(before, 20 * MS);
    check_notice(&completion, ids[1]);
    EXPECT(aio_queue_inflight(late.rig.queue, &info, 1), 2);
    release(&late);
    take_result(&late, ids[0]);
    REQUIRE_EQ(completion_of(late.rig.queue, ids[1]).result, 0);
    late_close(&late);
}
END_TEST

START_TEST(one_that_waits_for_a_worker_is_late_too)
{
    struct late late = late_open(16, 0, 0);
    struct aio_completion completion;
    aio_request_id ids[WORKERS + 1];
    int64_t before = 0;

    EXPECT(aio_file_truncate(late.rig.file, 16 * STRIPE), 0);
    fault_stall(late.rig.fault, FAULT_WRITES);
    for (unsigned index = 0; index <= WORKERS; index++) {
        struct aio_op write = op_write(late.rig.file, "x", 1, (int64_t)((index + 1) * STRIPE + 1));

        if (index == WORKERS) {
            EVENTUALLY(fault_stalled(late.rig.fault) == WORKERS);
            write.deadline = 20 * MS;
            before = clock_ns();
        }
        ids[index] = submit_one(late.rig.queue, &write);
    }
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    check_time(before, 20 * MS);
    check_notice(&completion, ids[WORKERS]);
    fault_stall(late.rig.fault, 0);
    for (unsigned index = 0; index <= WORKERS; index++)
        REQUIRE_EQ(completion_of(late.rig.queue, ids[index]).result, 1);
    late_close(&late);
}
END_TEST

/* What is linked behind another counts from the submit on. */
START_TEST(one_that_follows_is_late_too)
{
    struct late late = late_open(8, 0, 0);
    struct aio_op ops[2] = {late.read, late.read};
    struct aio_completion completion;
    aio_request_id ids[2];
    int64_t before = clock_ns();

    ops[0].flags = AIO_OP_LINK;
    ops[1].deadline = 20 * MS;
    EXPECT(aio_queue_submit(late.rig.queue, ops, 2, ids), 2);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    check_time(before, 20 * MS);
    check_notice(&completion, ids[1]);
    release(&late);
    take_result(&late, ids[0]);
    take_result(&late, ids[1]);
    REQUIRE_EQ(notices_of(late.rig.queue), 1);
    late_close(&late);
}
END_TEST

/* --- several -------------------------------------------------------------------------------- */

START_TEST(notices_come_in_the_order_of_deadlines)
{
    static const unsigned after[] = {90, 30, 60, 120, 10, 75, 45, 105};
    static const unsigned order[] = {4, 1, 6, 2, 5, 0, 7, 3};
    struct late late = late_open(COUNT(after), 0, 0);
    struct aio_completion completions[COUNT(after)];
    aio_request_id ids[COUNT(after)];
    int64_t before[COUNT(after)];

    for (unsigned index = 0; index < COUNT(after); index++) {
        late.read.deadline = after[index] * MS;
        before[index] = clock_ns();
        ids[index] = submit_late(&late);
    }
    for (unsigned index = 0; index < COUNT(order); index++) {
        EXPECT(aio_queue_reap(late.rig.queue, completions, 1, 1, NULL), 1);
        check_notice(&completions[0], ids[order[index]]);
        check_time(before[order[index]], after[order[index]] * MS);
    }
    REQUIRE_EQ(notices_of(late.rig.queue), COUNT(after));
    release(&late);
    EXPECT(aio_queue_reap(late.rig.queue, completions, COUNT(after), COUNT(after), NULL),
           COUNT(after));
    late_close(&late);
}
END_TEST

/* The reaper sleeps for a deadline that is far away, or for none: in the engine, as it has a
 * callback to call, or beside it. */
START_TEST(a_sooner_deadline_comes_sooner)
{
    struct late late = late_open(4, 0, 0);
    struct aio_completion completion;
    struct seen seen = {.queue = late.rig.queue};
    aio_request_id ids[2];
    int64_t before;

    late.read.deadline = (_i & 1) != 0 ? 3600 * UINT64_C(1000) * MS : 0;
    if ((_i & 2) != 0) {
        late.read.on_complete = see;
        late.read.context = &seen;
    }
    ids[0] = submit_late(&late);
    sleep_us(30000);
    late.read.on_complete = NULL;
    late.read.deadline = 3 * MS;
    before = clock_ns();
    ids[1] = submit_late(&late);
    EVENTUALLY(notices_of(late.rig.queue) == 1);
    check_time(before, 3 * MS);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    check_notice(&completion, ids[1]);
    release(&late);
    take_result(&late, ids[1]);
    if ((_i & 2) == 0)
        take_result(&late, ids[0]);
    late_close(&late);
    REQUIRE_EQ(seen.results, (_i & 2) != 0);
}
END_TEST

/* The reaper has had nothing to do for so long that it sleeps until it is woken. */
START_TEST(a_deadline_wakes_the_reaper)
{
    struct late late = late_open(4, 0, 20 * MS);
    struct aio_op nop = op_nop();
    aio_request_id id;

    for (unsigned round = 0; round < 3; round++) {
        keep_back(&late);
        REQUIRE_EQ(run_op(late.rig.queue, &nop).result, 0);
        sleep_us(40000);
        id = submit_late(&late);
        EVENTUALLY(notices_of(late.rig.queue) == round + 1);
        EXPECT(aio_queue_wait(late.rig.queue, id, &no_time), -ETIMEDOUT);
        release(&late);
        take_result(&late, id);
    }
    late_close(&late);
}
END_TEST

/* One waits for it, another one reaps: the notice is the waiter's. */
START_TEST(a_notice_that_one_waits_for_is_not_reaped)
{
    struct late late = late_open(4, 0, 20 * MS);
    struct stuck stuck = {.queue = late.rig.queue};
    struct timespec patience = milliseconds(60);
    struct aio_completion completion;
    aio_request_id other;

    other = submit_late(&late);
    stuck.id = submit_late(&late);
    thread_begin(&stuck.thread, stuck_wait, &stuck);
    EVENTUALLY(fault_sleeping_for(late.rig.fault) > 0);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    check_notice(&completion, other);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, &patience), 0);
    EVENTUALLY(stuck.ended);
    thread_end(stuck.thread);
    REQUIRE_EQ(stuck.result, -ETIMEDOUT);
    release(&late);
    take_result(&late, other);
    take_result(&late, stuck.id);
    late_close(&late);
}
END_TEST

START_TEST(a_notice_counts_as_a_result_for_reap)
{
    struct late late = late_open(4, 0, 10 * MS);
    struct aio_completion completions[4];
    struct aio_op nop = op_nop();
    struct timespec patience = milliseconds(LONG_MS);
    aio_request_id id = submit_late(&late);

    submit_one(late.rig.queue, &nop);
    EXPECT(aio_queue_reap(late.rig.queue, completions, 2, 4, &patience), 2);
    REQUIRE((completions[0].id == id) != (completions[1].id == id));
    check_notice(&completions[completions[0].id == id ? 0 : 1], id);
    release(&late);
    take_result(&late, id);
    late_close(&late);
}
END_TEST

/* --- time-outs, cancel, and the end --------------------------------------------------------- */

START_TEST(a_time_out_of_wait_is_another_matter)
{
    struct late late = late_open(4, 0, 60 * MS);
    struct timespec sooner = milliseconds(10);
    struct timespec later = milliseconds(LONG_MS);
    struct aio_completion completion = {.id = 77};
    aio_request_id id = submit_late(&late);

    EXPECT(aio_queue_wait_result(late.rig.queue, id, &sooner, &completion), -ETIMEDOUT);
    REQUIRE_EQ(completion.id, 77);
    REQUIRE_EQ(notices_of(late.rig.queue), 0);
    EXPECT(aio_queue_wait_result(late.rig.queue, id, &later, &completion), 0);
    check_notice(&completion, id);
    EXPECT(aio_queue_wait_result(late.rig.queue, id, &sooner, &completion), -ETIMEDOUT);
    release(&late);
    take_result(&late, id);
    /* Given up before its notice, it is reap's again. */
    keep_back(&late);
    id = submit_late(&late);
    EXPECT(aio_queue_wait_result(late.rig.queue, id, &sooner, &completion), -ETIMEDOUT);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    check_notice(&completion, id);
    release(&late);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    REQUIRE(completion.id == id && completion.flags == 0);
    late_close(&late);
}
END_TEST

START_TEST(what_is_late_can_be_cancelled)
{
    struct late late = late_open(4, 0, 0);
    struct aio_op write = op_write(late.rig.file, late.page, PAGE, 0);
    struct aio_op truncate = {
        .opcode = AIO_OP_TRUNCATE, .file = late.rig.file, .offset = PAGE, .deadline = MS};
    struct aio_completion completion;
    aio_request_id ids[2];

    fault_hold(late.rig.fault, FAULT_WRITES);
    ids[0] = submit_one(late.rig.queue, &write);
    for (unsigned round = 0; round < 2; round++) {
        ids[1] = submit_one(late.rig.queue, &truncate);
        EVENTUALLY(notices_of(late.rig.queue) == round + 1);
        if (round == 0) {
            EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
            check_notice(&completion, ids[1]);
        }
        EXPECT(aio_queue_cancel(late.rig.queue, ids[1]), 0);
        EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
        REQUIRE(completion.id == ids[1] && completion.result == -ECANCELED);
        REQUIRE_EQ(completion.flags, 0);
        EXPECT(aio_queue_reap(late.rig.queue, &completion, 0, 1, NULL), 0);
    }
    /* And what was cancelled is not late any more. */
    truncate.deadline = 20 * MS;
    ids[1] = submit_one(late.rig.queue, &truncate);
    EXPECT(aio_queue_cancel(late.rig.queue, ids[1]), 0);
    sleep_us(40000);
    REQUIRE_EQ(notices_of(late.rig.queue), 2);
    REQUIRE_EQ(completion_of(late.rig.queue, ids[1]).result, -ECANCELED);
    release(&late);
    take_result(&late, ids[0]);
    late_close(&late);
}
END_TEST

static void *release_by_and_by(void *argument)
{
    sleep_us(30000);
    release(argument);
    return NULL;
}

/* Who waits for all waits for the result, not for the notice. */
START_TEST(drain_close_and_destroy_wait_for_the_result)
{
    struct late late = late_open(4, 0, MS);
    struct aio_completion completion;
    aio_request_id id = submit_late(&late);
    pthread_t thread;

    EVENTUALLY(notices_of(late.rig.queue) == 1);
    EXPECT(aio_queue_drain(late.rig.queue, &no_time), -ETIMEDOUT);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    EXPECT(aio_queue_drain(late.rig.queue, &no_time), -ETIMEDOUT);
    thread_begin(&thread, release_by_and_by, &late);
    if (_i == 0)
        EXPECT(aio_queue_drain(late.rig.queue, NULL), 0);
    else if (_i == 1)
        close_file(late.rig.file);
    else
        EXPECT(aio_queue_destroy(late.rig.queue, AIO_QUEUE_DISCARD), 0);
    if (_i != 1) {
        close_file(late.rig.file);
        pattern_check(late.page, PAGE, 0, 1);
    }
    thread_end(thread);
    if (_i < 2) {
        take_result(&late, id);
        close_queue(late.rig.queue);
    }
    free(late.page);
}
END_TEST

/* --- an owned queue ------------------------------------------------------------------------- */

START_TEST(the_owner_is_told_in_its_calls)
{
    struct late late = late_open(4, AIO_QUEUE_OWNED, 20 * MS);
    struct aio_completion completion;
    struct seen seen = {.queue = late.rig.queue, .deadline = 20 * MS};
    int64_t before = clock_ns();
    aio_request_id id = submit_late(&late);

    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    check_time(before, 20 * MS);
    check_notice(&completion, id);
    release(&late);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 1);
    REQUIRE(completion.id == id && completion.result == PAGE);
    keep_back(&late);
    late.read.on_complete = see;
    late.read.context = &seen;
    seen.submitted_ns = clock_ns();
    submit_late(&late);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 0);
    REQUIRE(seen.notices == 1 && seen.results == 0);
    release(&late);
    EXPECT(aio_queue_reap(late.rig.queue, &completion, 1, 1, NULL), 0);
    REQUIRE(seen.notices == 1 && seen.results == 1);
    late_close(&late);
}
END_TEST

/* --- many ----------------------------------------------------------------------------------- */

/* Deadlines all about when the operations end: a notice or none, and always a result behind it. */
START_TEST(a_race_of_notices_and_results)
{
    enum { DEPTH = 32, ROUNDS = 3000 };
    struct aio_queue *queue = open_queue(DEPTH, 0);
    struct aio_file *file = open_direct("file");
    char *pages = pattern_alloc(DEPTH * PAGE, 0, 1);
    char *free_pages[DEPTH];
    struct aio_completion completions[DEPTH];
    aio_request_id late[DEPTH] = {0};
    uint64_t state = 3;
    uint64_t told = 0;
    unsigned submitted = 0;
    unsigned ended = 0;

    EXPECT(aio_file_pwrite(file, pages, PAGE, 0), PAGE);
    for (unsigned index = 0; index < DEPTH; index++)
        free_pages[index] = pages + index * PAGE;
    while (ended < ROUNDS) {
        int count;

        while (submitted < ROUNDS && submitted - ended < DEPTH) {
            char *page = free_pages[DEPTH - 1 - (submitted - ended)];
            struct aio_op read = op_read(file, page, PAGE, 0);

            read.context = page;
            read.deadline = random_next(&state) % 400000 + 1;
            submit_one(queue, &read);
            submitted++;
        }
        count = (int)CALL(aio_queue_reap(queue, completions, 1, DEPTH, NULL));
        REQUIRE(count > 0);
        for (int index = 0; index < count; index++) {
            aio_request_id *slot = &late[completions[index].id % 65536];

            if (completions[index].flags != 0) {
                check_notice(&completions[index], completions[index].id);
                REQUIRE(*slot != completions[index].id);
                *slot = completions[index].id;
                told++;
            } else {
                REQUIRE_EQ(completions[index].result, PAGE);
                ended++;
                free_pages[DEPTH - 1 - (submitted - ended)] = completions[index].context;
            }
        }
    }
    REQUIRE(told <= notices_of(queue));
    EXPECT(aio_queue_reap(queue, completions, 1, DEPTH, NULL), 0);
    close_file(file);
    close_queue(queue);
    free(pages);
}
END_TEST

static Suite *deadline_suite(void)
{
    Suite *suite = suite_create("deadline");

    ADD_TESTS(suite, "to whom", reap_gives_the_notice_and_then_the_result,
              a_notice_goes_where_the_result_would_go, the_result_waits_for_the_notice);
    add_loop_test(suite, "to whom", wait_gives_the_notice_and_then_the_result, 4);
    add_loop_test(suite, "to whom", a_callback_is_told_and_gets_its_result, 2);
    ADD_TESTS(suite, "when not", what_is_done_in_time_has_no_notice,
              no_notice_comes_after_the_result, a_notice_that_nobody_took_is_no_news_any_more,
              deadlines_have_a_range);
    add_loop_test(suite, "always", a_submit_that_blocks_is_no_excuse, 2);
    add_loop_test(suite, "always", a_thread_with_the_token_is_no_excuse, 2);
    ADD_TESTS(suite, "always", one_that_waits_for_its_file_is_late_too,
              one_that_waits_for_a_worker_is_late_too, one_that_follows_is_late_too);
    ADD_TESTS(suite, "several", notices_come_in_the_order_of_deadlines,
              a_notice_counts_as_a_result_for_reap, a_deadline_wakes_the_reaper,
              a_notice_that_one_waits_for_is_not_reaped);
    add_loop_test(suite, "several", a_sooner_deadline_comes_sooner, 4);
    ADD_TESTS(suite, "ends", a_time_out_of_wait_is_another_matter, what_is_late_can_be_cancelled);
    add_loop_test(suite, "ends", drain_close_and_destroy_wait_for_the_result, 3);
    ADD_TESTS(suite, "owned", the_owner_is_told_in_its_calls);
    ADD_TESTS(suite, "many", a_race_of_notices_and_results);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, deadline_suite);
}
