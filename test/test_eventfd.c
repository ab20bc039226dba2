/* SPDX-License-Identifier: MIT */
/*
 * test_eventfd.c - the eventfd of a queue: readable while results wait that aio_queue_reap() can
 * take, for loops that wait for descriptors.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

#define MS UINT64_C(1000000) /* nanoseconds */

static const struct timespec no_time = {0, 0};

static bool readable_within(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int count;

    /* What io_uring has to do in this thread interrupts it. */
    do
        count = poll(&poll_fd, 1, timeout_ms);
    while (count < 0 && errno == EINTR);

    REQUIRE(count >= 0 && (poll_fd.revents & ~POLLIN) == 0);
    return count > 0;
}

static bool readable(int fd)
{
    return readable_within(fd, 0);
}

/* Reads it, as a loop does that wants to sleep again. */
static void read_it(int fd)
{
    uint64_t count = 0;

    REQUIRE_EQ(read(fd, &count, sizeof(count)), sizeof(count));
    REQUIRE(count > 0);
}

static int eventfd_of(struct aio_queue *queue)
{
    int fd = (int)CALL(aio_queue_eventfd(queue));

    REQUIRE(fd >= 0);
    return fd;
}

static int take(struct aio_queue *queue, unsigned max)
{
    struct aio_completion completions[64];

    REQUIRE(max <= COUNT(completions));
    return (int)CALL(aio_queue_reap(queue, completions, 0, max, NULL));
}

static void submit_nops(struct aio_queue *queue, aio_request_id *ids, unsigned count)
{
    struct aio_op nop = op_nop();

    for (unsigned index = 0; index < count; index++)
        ids[index] = submit_one(queue, &nop);
}

/* --- the descriptor ------------------------------------------------------------------------- */

START_TEST(each_call_gives_a_descriptor)
{
    struct aio_queue *queue = open_queue(4, 0);
    aio_request_id ids[2];
    int fds[2] = {eventfd_of(queue), eventfd_of(queue)};

    REQUIRE(fds[0] != fds[1]);
    for (unsigned index = 0; index < 2; index++) {
        REQUIRE((fcntl(fds[index], F_GETFD) & FD_CLOEXEC) != 0);
        REQUIRE((fcntl(fds[index], F_GETFL) & O_NONBLOCK) != 0);
        REQUIRE(!readable(fds[index]));
    }
    submit_nops(queue, ids, 1);
    REQUIRE(readable_within(fds[0], LONG_MS) && readable_within(fds[1], LONG_MS));
    /* To close one does no harm. */
    REQUIRE(close(fds[0]) == 0);
    REQUIRE(readable(fds[1]));
    REQUIRE_EQ(take(queue, 4), 1);
    REQUIRE(!readable(fds[1]));
    submit_nops(queue, ids, 1);
    REQUIRE(readable_within(fds[1], LONG_MS));
    REQUIRE(close(fds[1]) == 0);
    REQUIRE_EQ(take(queue, 4), 1);
    fds[0] = eventfd_of(queue);
    REQUIRE(!readable(fds[0]));
    submit_nops(queue, ids, 1);
    REQUIRE(readable_within(fds[0], LONG_MS));
    REQUIRE_EQ(take(queue, 4), 1);
    close_queue(queue);
    /* It is still a descriptor. */
    REQUIRE(!readable(fds[0]));
    REQUIRE(eventfd_write(fds[0], 1) == 0 && readable(fds[0]));
    REQUIRE(close(fds[0]) == 0);
}
END_TEST

static int ask_in_child(void *argument)
{
    return aio_queue_eventfd(argument) == -EOWNERDEAD ? 0 : 1;
}

START_TEST(refusals)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_op nop = op_nop();
    struct rlimit before;
    struct rlimit none;
    int free_fd;
    int fd;

    EXPECT(aio_queue_eventfd(NULL), -EINVAL);
    if (!threads_are_watched())
        REQUIRE_EQ(in_child(ask_in_child, queue), 0);
    free_fd = dup(0);
    REQUIRE(free_fd >= 0 && close(free_fd) == 0);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = (struct rlimit){(rlim_t)free_fd, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    EXPECT(aio_queue_eventfd(queue), -EMFILE);
    /* For itself there is one, for the caller none. */
    none.rlim_cur++;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    EXPECT(aio_queue_eventfd(queue), -EMFILE);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    fd = eventfd_of(queue);
    submit_one(queue, &nop);
    REQUIRE(readable_within(fd, LONG_MS));
    REQUIRE_EQ(take(queue, 1), 1);
    REQUIRE(!readable(fd));
    REQUIRE(close(fd) == 0);
    close_queue(queue);
}
END_TEST

START_TEST(results_that_wait_already_are_told)
{
    struct aio_queue *queue = open_queue(4, 0);
    aio_request_id ids[3];
    int fd;

    submit_nops(queue, ids, 3);
    fd = eventfd_of(queue);
    REQUIRE(readable(fd));
    REQUIRE_EQ(take(queue, 2), 2);
    REQUIRE(readable(fd));
    REQUIRE_EQ(completion_of(queue, ids[2]).result, 0);
    REQUIRE(!readable(fd));
    REQUIRE(close(fd) == 0);
    close_queue(queue);
}
END_TEST

/* --- readable while results wait ------------------------------------------------------------ */

/* Any order of taking some, taking one by its id, reading the eventfd, and of new results. */
START_TEST(it_is_readable_while_results_wait)
{
    enum { DEPTH = 8 };
    struct aio_queue *queue = open_queue(DEPTH, 0);
    aio_request_id ids[DEPTH];
    uint64_t state = 21;
    unsigned count = 0;
    int fd = eventfd_of(queue);

    for (unsigned round = 0; round < 20000; round++) {
        uint64_t choice = random_next(&state);

        switch (choice % 8) {
        case 0:
        case 1:
        case 2:
            if (count < DEPTH)
                submit_nops(queue, &ids[count++], 1);
            break;
        case 3: {
            unsigned max = 1 + (unsigned)(choice / 8 % 3);
            unsigned taken = (unsigned)take(queue, max);

            REQUIRE_EQ(taken, max < count ? max : count);
            memmove(ids, ids + taken, (count - taken) * sizeof(ids[0]));
            count -= taken;
            break;
        }
        case 4:
            if (count > 0) {
                unsigned place = (unsigned)(choice / 8 % count);

                EXPECT(aio_queue_wait(queue, ids[place], choice / 64 % 2 ? NULL : &no_time), 0);
                count--;
                memmove(ids + place, ids + place + 1, (count - place) * sizeof(ids[0]));
            }
            break;
        case 5:
            if (readable(fd))
                read_it(fd);
            /* Once more is taken, or comes, it is up again. */
            if (count > 1 && choice / 8 % 2) {
                REQUIRE_EQ(take(queue, 1), 1);
                count--;
                memmove(ids, ids + 1, count * sizeof(ids[0]));
            } else if (count < DEPTH) {
                submit_nops(queue, &ids[count++], 1);
            } else {
                REQUIRE_EQ(take(queue, DEPTH), DEPTH);
                count = 0;
            }
            break;
        case 6:
            EXPECT(aio_queue_reap(queue, NULL, 0, 0, NULL), 0);
            break;
        default:
            EXPECT(aio_queue_drain(queue, NULL), 0);
            break;
        }
        if (readable(fd) != (count > 0))
            ck_abort_msg("round %u: %u results, and it is %sreadable", round, count,
                         count > 0 ? "not " : "");
    }
    REQUIRE_EQ(take(queue, DEPTH), count);
    REQUIRE(close(fd) == 0);
    close_queue(queue);
}
END_TEST

static void sleep_in_callback(const struct aio_completion *completion)
{
    atomic_bool *go = completion->context;

    EVENTUALLY(*go);
}

/* What is not for reap is none of its business, even while a callback is due. */
START_TEST(callbacks_and_waited_ones_are_not_told)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file *file = open_direct("file");
    struct aio_op ops[2] = {op_nop(), op_sync(file)};
    struct aio_op plain = op_nop();
    atomic_bool go = true;
    int fd = eventfd_of(queue);

    for (unsigned index = 0; index < 2; index++) {
        struct aio_op op = ops[index];
        aio_request_id id;

        op.flags = AIO_OP_WAITED;
        id = submit_one(queue, &op);
        EXPECT(aio_queue_drain(queue, NULL), 0);
        REQUIRE(!readable(fd));
        REQUIRE_EQ(completion_of(queue, id).result, 0);
        op.flags = 0;
        op.on_complete = sleep_in_callback;
        op.context = &go;
        submit_one(queue, &op);
        EXPECT(aio_queue_drain(queue, NULL), 0);
        REQUIRE(!readable(fd));
    }
    /* One callback runs, one is due, and the only result is taken. */
    go = false;
    plain.on_complete = sleep_in_callback;
    plain.context = &go;
    submit_one(queue, &plain);
    sleep_us(20000);
    submit_one(queue, &plain);
    REQUIRE(!readable(fd));
    plain.on_complete = NULL;
    submit_one(queue, &plain);
    REQUIRE(readable(fd));
    REQUIRE_EQ(take(queue, 8), 1);
    REQUIRE(!readable(fd));
    go = true;
    EXPECT(aio_queue_drain(queue, NULL), 0);
    REQUIRE(!readable(fd));
    close_file(file);
    REQUIRE(close(fd) == 0);
    close_queue(queue);
}
END_TEST

static uint64_t notices_of(struct aio_queue *queue)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};

    EXPECT(aio_queue_stats(queue, &stats), 0);
    return stats.notices;
}

START_TEST(notices_are_told)
{
    struct rig rig = rig_open(4, 0);
    char *page = page_alloc(PAGE);
    struct aio_op read = op_read(rig.file, page, PAGE, 0);
    struct aio_completion completion;
    aio_request_id id;
    int fd = eventfd_of(rig.queue);

    for (unsigned round = 0; round < 3; round++) {
        read.deadline = 10 * MS;
        read.flags = round == 2 ? AIO_OP_WAITED : 0;
        fault_hold(rig.fault, FAULT_READS);
        id = submit_one(rig.queue, &read);
        if (round == 2) {
            EVENTUALLY(notices_of(rig.queue) == 3);
            REQUIRE(!readable(fd));
            EXPECT(aio_queue_wait(rig.queue, id, NULL), -ETIMEDOUT);
        } else {
            REQUIRE(readable_within(fd, LONG_MS));
            if (round == 0)
                EXPECT(aio_queue_reap(rig.queue, &completion, 0, 1, NULL), 1);
            else
                EXPECT(aio_queue_wait_result(rig.queue, id, &no_time, &completion), 0);
            REQUIRE(completion.id == id && completion.flags == AIO_COMPLETION_MORE);
            REQUIRE(!readable(fd));
        }
        fault_hold(rig.fault, 0);
        fault_release(rig.fault, FAULT_FOR_EVER);
        if (round < 2)
            REQUIRE(readable_within(fd, LONG_MS));
        REQUIRE_EQ(completion_of(rig.queue, id).result, 0);
        REQUIRE(!readable(fd));
    }
    REQUIRE(close(fd) == 0);
    rig_close(&rig);
    free(page);
}
END_TEST

/* A result that is waited for by id while it comes is the waiter's. */
START_TEST(what_one_waits_for_is_not_told)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    struct aio_op sync = op_sync(file);
    int fd = eventfd_of(queue);

    for (unsigned round = 0; round < 50; round++) {
        REQUIRE_EQ(run_op(queue, &sync).result, 0);
        REQUIRE(!readable(fd));
    }
    close_file(file);
    REQUIRE(close(fd) == 0);
    close_queue(queue);
}
END_TEST

START_TEST(what_is_cancelled_is_told)
{
    struct rig rig = rig_open(4, 0);
    char *page = page_alloc(PAGE);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_op truncate = {.opcode = AIO_OP_TRUNCATE, .file = rig.file};
    aio_request_id ids[2];
    int fd = eventfd_of(rig.queue);

    memset(page, 0, PAGE);
    fault_hold(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &write);
    ids[1] = submit_one(rig.queue, &truncate);
    REQUIRE(!readable_within(fd, 20));
    EXPECT(aio_queue_cancel(rig.queue, ids[1]), 0);
    REQUIRE(readable(fd));
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).result, -ECANCELED);
    REQUIRE(!readable(fd));
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE(readable_within(fd, LONG_MS));
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).result, PAGE);
    REQUIRE(close(fd) == 0);
    rig_close(&rig);
    free(page);
}
END_TEST

/* --- loops ---------------------------------------------------------------------------------- */

/* Level triggered: it tells as long as there is anything. Edge triggered: with everything new. */
START_TEST(epoll_tells)
{
    bool edge = _i == 1;
    struct aio_queue *queue = open_queue(64, 0);
    struct aio_file *file = open_direct("file");
    char *pages = pattern_alloc(40 * PAGE, 0, 1);
    struct epoll_event event = {.events = EPOLLIN | (edge ? EPOLLET : 0)};
    int fd = eventfd_of(queue);
    int poller = epoll_create1(EPOLL_CLOEXEC);

    EXPECT(aio_file_pwrite(file, pages, PAGE, 0), PAGE);
    REQUIRE(poller >= 0 && epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0);
    for (unsigned round = 0; round < 200; round++) {
        unsigned left = 1 + round % 40;

        for (unsigned index = 0; index < left; index++) {
            struct aio_op read = op_read(file, pages + index * PAGE, PAGE, 0);

            submit_one(queue, &read);
        }
        while (left > 0) {
            int count;

            do
                count = epoll_wait(poller, &event, 1, LONG_MS);
            while (count < 0 && errno == EINTR);
            REQUIRE_EQ(count, 1);
            do {
                count = take(queue, 3);
                left -= (unsigned)count;
            } while (edge && count > 0);
        }
    }
    REQUIRE(!readable(fd));
    REQUIRE(close(poller) == 0 && close(fd) == 0);
    close_file(file);
    close_queue(queue);
    free(pages);
}
END_TEST

/* Nobody calls, and still it is told at once and not when the reaper thread happens to look. */
START_TEST(results_come_without_a_call)
{
    enum { ROUNDS = 100 };
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op read = op_read(file, page, PAGE, 0);
    int64_t before;
    int64_t took_ns;
    int fd = -1;

    EXPECT(aio_file_pwrite(file, page, PAGE, 0), PAGE);
    /* One that is in flight when it is asked for is told, too. */
    submit_one(queue, &read);
    fd = eventfd_of(queue);
    REQUIRE(readable_within(fd, LONG_MS));
    REQUIRE_EQ(take(queue, 1), 1);
    before = clock_ns();
    for (unsigned round = 0; round < ROUNDS; round++) {
        submit_one(queue, &read);
        REQUIRE(readable_within(fd, LONG_MS));
        REQUIRE_EQ(take(queue, 1), 1);
    }
    took_ns = clock_ns() - before;
    ck_assert_msg(took_ns < (int64_t)(ROUNDS * 5 * MS * slowness()), "%u reads took %lld ms",
                  ROUNDS, (long long)(took_ns / (int64_t)MS));
    REQUIRE(close(fd) == 0);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

enum { SUBMITTERS = 4, EACH = 2500, PAGES = EACH };

struct submitter {
    struct aio_queue *queue;
    struct aio_file *file;
    char *pages; /* one for each: a late read may be passed by any number of others */
    pthread_t thread;
};

static void *submitter_main(void *argument)
{
    struct submitter *submitter = argument;

    for (unsigned count = 0; count < EACH;) {
        char *page = submitter->pages + (size_t)(count % PAGES) * PAGE;
        struct aio_op op = count % 3 == 0 ? op_nop() : op_read(submitter->file, page, PAGE, 0);
        int result;

        op.context = submitter;
        result = (int)CALL(aio_queue_submit(submitter->queue, &op, 1, NULL));
        /* Full of results that the loop has not taken yet. */
        REQUIRE(result == 1 || result == -EBUSY);
        count += result == 1;
        if (result != 1)
            sleep_us(50);
    }
    return NULL;
}

/* A loop that knows the eventfd and nothing else, and takes a few at a time. */
START_TEST(a_loop_gets_everything)
{
    struct aio_queue *queue = open_queue(32, 0);
    struct aio_file *file = open_direct("file");
    struct submitter submitters[SUBMITTERS];
    unsigned left = SUBMITTERS * EACH;
    char *page = pattern_alloc(PAGE, 0, 1);
    int fd = eventfd_of(queue);

    EXPECT(aio_file_pwrite(file, page, PAGE, 0), PAGE);
    free(page);
    for (unsigned number = 0; number < SUBMITTERS; number++) {
        submitters[number] = (struct submitter){queue, file, page_alloc(PAGES * PAGE), 0};
        thread_begin(&submitters[number].thread, submitter_main, &submitters[number]);
    }
    while (left > 0) {
        REQUIRE(readable_within(fd, LONG_MS));
        if (_i == 1)
            read_it(fd);
        left -= (unsigned)take(queue, 7);
    }
    for (unsigned number = 0; number < SUBMITTERS; number++) {
        thread_end(submitters[number].thread);
        free(submitters[number].pages);
    }
    REQUIRE(!readable(fd));
    REQUIRE(close(fd) == 0);
    close_file(file);
    close_queue(queue);
}
END_TEST

/* --- an owned queue ------------------------------------------------------------------------- */

/* Whatever the owner has to look at raises it: events, what workers did, callbacks. */
START_TEST(an_owner_sleeps_on_it)
{
    struct aio_queue *queue = open_queue(8, AIO_QUEUE_OWNED);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_op ops[] = {op_nop(),
                           op_write(file, page, PAGE, 0),
                           op_read(file, page + PAGE, PAGE, 0),
                           op_write(file, page, 100, 7),
                           op_sync(file),
                           {.opcode = AIO_OP_TRUNCATE, .file = file, .offset = PAGE},
                           op_append(file, page, PAGE)};
    int fd = eventfd_of(queue);

    for (unsigned round = 0; round < 20 * COUNT(ops); round++) {
        unsigned left = 1 + round % 3;

        for (unsigned index = 0; index < left; index++)
            submit_one(queue, &ops[(round + index) % COUNT(ops)]);
        while (left > 0) {
            REQUIRE(readable_within(fd, LONG_MS));
            if (_i == 1)
                read_it(fd);
            left -= (unsigned)take(queue, 1 + round % 2);
        }
    }
    REQUIRE(close(fd) == 0);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

static Suite *eventfd_suite(void)
{
    Suite *suite = suite_create("eventfd");

    ADD_TESTS(suite, "descriptor", each_call_gives_a_descriptor, refusals,
              results_that_wait_already_are_told);
    ADD_TESTS(suite, "readable", it_is_readable_while_results_wait,
              callbacks_and_waited_ones_are_not_told, notices_are_told,
              what_one_waits_for_is_not_told, what_is_cancelled_is_told);
    add_loop_test(suite, "loops", epoll_tells, 2);
    add_loop_test(suite, "loops", a_loop_gets_everything, 2);
    ADD_TESTS(suite, "loops", results_come_without_a_call);
    add_loop_test(suite, "owned", an_owner_sleeps_on_it, 2);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, eventfd_suite);
}
