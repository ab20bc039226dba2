/* SPDX-License-Identifier: MIT */
/*
 * test_bounce.c - the pool of aligned memory: who gets a buffer, in which order, and when the
 * memory comes and goes.
 */
#include "bounce.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "process.h"
#include "support.h"

enum { BUFFERS = 16 };

/* --- taking and giving ---------------------------------------------------------------------- */

/* Takes all that everybody may have. */
static void take_all(struct bounce_pass *passes)
{
    for (unsigned index = 0; index < BUFFERS; index++) {
        passes[index] = (struct bounce_pass){0};
        EXPECT(bounce_get(&passes[index], false), 1);
        REQUIRE(passes[index].memory != NULL);
    }
}

static void give_all(struct bounce_pass *passes)
{
    for (unsigned index = 0; index < BUFFERS; index++)
        REQUIRE(bounce_put(&passes[index]) == NULL && passes[index].memory == NULL);
}

/* Gives back what a waiter is then to have. */
static void give_to(struct bounce_pass *giver, struct bounce_pass *waiter)
{
    REQUIRE(waiter->memory == NULL);
    REQUIRE(bounce_put(giver) == waiter);
    REQUIRE(waiter->memory != NULL && !waiter->waiting);
}

/* A thread that waits for memory. */
struct waiter {
    struct bounce_pass pass;
    struct thread_cond wakeup;
    atomic_bool has;
    pthread_t thread;
};

static void *wait_for_memory(void *argument)
{
    struct waiter *waiter = argument;

    bounce_wait(&waiter->pass);
    REQUIRE(waiter->pass.memory != NULL);
    waiter->has = true;
    return NULL;
}

static void waiter_begin(struct waiter *waiter, bool callback)
{
    thread_cond_init(&waiter->wakeup);
    waiter->pass = (struct bounce_pass){.wakeup = &waiter->wakeup};
    waiter->has = false;
    EXPECT(bounce_get(&waiter->pass, callback), 0);
    thread_begin(&waiter->thread, wait_for_memory, waiter);
}

static void waiter_end(struct waiter *waiter)
{
    EVENTUALLY(waiter->has);
    thread_end(waiter->thread);
    thread_cond_destroy(&waiter->wakeup);
}

/* --- buffers -------------------------------------------------------------------------------- */

START_TEST(buffers_are_aligned_and_apart)
{
    struct bounce_pass passes[BUFFERS + 1];

    bounce_add_user();
    take_all(passes);
    passes[BUFFERS] = (struct bounce_pass){0};
    EXPECT(bounce_get(&passes[BUFFERS], true), 1);
    for (unsigned index = 0; index <= BUFFERS; index++) {
        REQUIRE_EQ((uintptr_t)passes[index].memory % BOUNCE_SIZE, 0);
        pattern_fill(passes[index].memory, BOUNCE_SIZE, 0, index);
    }
    for (unsigned index = 0; index <= BUFFERS; index++)
        pattern_check(passes[index].memory, BOUNCE_SIZE, 0, index);
    REQUIRE(bounce_put(&passes[BUFFERS]) == NULL);
    give_all(passes);
    bounce_remove_user();
}
END_TEST

START_TEST(a_buffer_given_back_is_there_again)
{
    struct bounce_pass passes[BUFFERS];

    bounce_add_user();
    for (unsigned round = 0; round < 100; round++) {
        take_all(passes);
        give_all(passes);
    }
    bounce_remove_user();
}
END_TEST

/* --- waiting -------------------------------------------------------------------------------- */

START_TEST(submitted_ones_are_served_in_their_order)
{
    enum { WAITERS = 2 * BUFFERS };
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass waiters[WAITERS] = {0};

    bounce_add_user();
    take_all(passes);
    for (unsigned index = 0; index < WAITERS; index++) {
        EXPECT(bounce_get(&waiters[index], false), 0);
        REQUIRE(waiters[index].waiting && waiters[index].memory == NULL);
    }
    for (unsigned index = 0; index < WAITERS; index++)
        give_to(index < BUFFERS ? &passes[index] : &waiters[index - BUFFERS], &waiters[index]);
    for (unsigned index = WAITERS - BUFFERS; index < WAITERS; index++)
        REQUIRE(bounce_put(&waiters[index]) == NULL);
    take_all(passes);
    give_all(passes);
    bounce_remove_user();
}
END_TEST

START_TEST(threads_and_submitted_ones_wait_in_one_list)
{
    enum { PAIRS = 5 };
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass submitted[PAIRS] = {0};
    struct waiter threads[PAIRS];

    bounce_add_user();
    take_all(passes);
    for (unsigned index = 0; index < PAIRS; index++) {
        waiter_begin(&threads[index], false);
        EXPECT(bounce_get(&submitted[index], false), 0);
    }
    for (unsigned index = 0; index < PAIRS; index++) {
        /* The thread is told by itself, the submitted one by who gave. */
        REQUIRE(bounce_put(&passes[2 * index]) == NULL);
        waiter_end(&threads[index]);
        REQUIRE(submitted[index].memory == NULL);
        give_to(&passes[2 * index + 1], &submitted[index]);
        if (index + 1 < PAIRS)
            REQUIRE(!threads[index + 1].has);
    }
    for (unsigned index = 0; index < PAIRS; index++) {
        REQUIRE(bounce_put(&threads[index].pass) == NULL);
        REQUIRE(bounce_put(&submitted[index]) == NULL);
    }
    for (unsigned index = 2 * PAIRS; index < BUFFERS; index++)
        REQUIRE(bounce_put(&passes[index]) == NULL);
    take_all(passes);
    give_all(passes);
    bounce_remove_user();
}
END_TEST

START_TEST(a_thread_that_has_it_already_does_not_sleep)
{
    struct bounce_pass passes[BUFFERS];
    struct thread_cond wakeup;
    struct bounce_pass pass = {.wakeup = &wakeup};

    bounce_add_user();
    thread_cond_init(&wakeup);
    take_all(passes);
    EXPECT(bounce_get(&pass, false), 0);
    REQUIRE(bounce_put(&passes[0]) == NULL);
    bounce_wait(&pass);
    REQUIRE(pass.memory != NULL);
    EXPECT(bounce_get(&passes[0], false), 0);
    give_to(&pass, &passes[0]);
    give_all(passes);
    thread_cond_destroy(&wakeup);
    bounce_remove_user();
}
END_TEST

/* --- callbacks ------------------------------------------------------------------------------ */

START_TEST(one_buffer_is_kept_for_callbacks)
{
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass waiter = {0};
    struct bounce_pass callback = {0};

    bounce_add_user();
    take_all(passes);
    EXPECT(bounce_get(&waiter, false), 0);
    EXPECT(bounce_get(&callback, true), 1); /* past who waits */
    /* What comes back is the kept one first. */
    REQUIRE(bounce_put(&passes[0]) == NULL);
    REQUIRE(waiter.waiting && waiter.memory == NULL);
    give_to(&callback, &waiter);
    /* It is there again, though nothing else is. */
    EXPECT(bounce_get(&passes[0], false), 0);
    EXPECT(bounce_get(&callback, true), 1);
    REQUIRE(bounce_put(&callback) == NULL);
    give_to(&waiter, &passes[0]);
    give_all(passes);
    bounce_remove_user();
}
END_TEST

START_TEST(callbacks_wait_before_all_others)
{
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass waiters[2] = {0};
    struct bounce_pass callbacks[2] = {0};

    bounce_add_user();
    take_all(passes);
    EXPECT(bounce_get(&waiters[0], false), 0);
    EXPECT(bounce_get(&waiters[1], false), 0);
    EXPECT(bounce_get(&callbacks[0], true), 1);
    EXPECT(bounce_get(&callbacks[1], true), 0); /* of another queue */
    give_to(&passes[0], &callbacks[1]);
    REQUIRE(bounce_put(&passes[1]) == NULL);
    give_to(&callbacks[0], &waiters[0]);
    give_to(&callbacks[1], &waiters[1]);
    passes[0] = waiters[0];
    passes[1] = waiters[1];
    give_all(passes);
    bounce_remove_user();
}
END_TEST

/* "The longest waiting is served first": of several callbacks too. */
START_TEST(callbacks_are_served_in_their_order)
{
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass waiter = {0};
    struct bounce_pass kept = {0};
    struct bounce_pass callbacks[3] = {0};

    bounce_add_user();
    take_all(passes);
    EXPECT(bounce_get(&kept, true), 1);
    EXPECT(bounce_get(&callbacks[0], true), 0);
    EXPECT(bounce_get(&waiter, false), 0);
    EXPECT(bounce_get(&callbacks[1], true), 0);
    EXPECT(bounce_get(&callbacks[2], true), 0);
    for (unsigned index = 0; index < 3; index++)
        give_to(&passes[index], &callbacks[index]);
    for (unsigned index = 0; index < 3; index++)
        if (bounce_put(&callbacks[index]) == &waiter)
            passes[0] = waiter;
    REQUIRE(passes[0].memory != NULL);
    REQUIRE(bounce_put(&kept) == NULL);
    REQUIRE(bounce_put(&passes[0]) == NULL);
    for (unsigned index = 3; index < BUFFERS; index++)
        REQUIRE(bounce_put(&passes[index]) == NULL);
    take_all(passes);
    give_all(passes);
    bounce_remove_user();
}
END_TEST

/* --- the memory ----------------------------------------------------------------------------- */

static bool is_mapped(void *memory)
{
    unsigned char page;

    return mincore(memory, PAGE, &page) == 0;
}

START_TEST(the_memory_goes_with_the_last_user)
{
    struct bounce_pass pass = {0};

    for (unsigned round = 0; round < 3; round++) {
        void *memory;

        bounce_add_user();
        bounce_add_user();
        EXPECT(bounce_get(&pass, false), 1);
        memory = pass.memory;
        REQUIRE(bounce_put(&pass) == NULL);
        bounce_remove_user();
        REQUIRE(is_mapped(memory));
        EXPECT(bounce_get(&pass, false), 1);
        REQUIRE(bounce_put(&pass) == NULL);
        bounce_remove_user();
        REQUIRE(!is_mapped(memory));
    }
    /* One who never asked. */
    bounce_add_user();
    bounce_remove_user();
}
END_TEST

static uint64_t mapped_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages;

    REQUIRE(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Nothing more can be mapped until it is given its limit back. */
static struct rlimit forbid_memory(void)
{
    struct rlimit before;
    struct rlimit none;

    REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
    none = (struct rlimit){mapped_bytes(), before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_AS, &none) == 0);
    return before;
}

START_TEST(without_memory_nothing_is_lost)
{
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass pass = {0};
    struct rlimit before;

    if (slowness() > 1)
        return; /* a sanitizer dies of it */

    REQUIRE(process_init() == 0); /* as every open does */
    bounce_add_user();
    before = forbid_memory();
    for (unsigned round = 0; round < 3; round++) {
        int64_t result = CALL(bounce_get(&pass, round == 1));

        if (result != -ENOMEM || pass.memory != NULL || pass.waiting) {
            setrlimit(RLIMIT_AS, &before);
            ck_abort_msg("%lld, memory %p", (long long)result, pass.memory);
        }
    }
    REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
    take_all(passes);
    EXPECT(bounce_get(&pass, false), 0); /* nobody else stands before it */
    give_to(&passes[0], &pass);
    passes[0] = pass;
    give_all(passes);
    bounce_remove_user();
}
END_TEST

/* The same as a file's user meets it: blocking and submitted, reads and writes. */
START_TEST(a_transfer_without_memory_fails_alone)
{
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_op operations[3];
    struct aio_file *file;
    struct aio_queue *queue;
    char *memory;
    struct rlimit before;
    int64_t results[4];

    if (slowness() > 1)
        return; /* a sanitizer dies of it */
    test_engine = AIO_ENGINE_SYNC;
    memory = pattern_alloc(2 * PAGE, 0, 1);
    file = open_direct("file");
    queue = open_queue(4, 0);
    operations[0] = op_read(file, memory + 1, PAGE, 0);
    operations[1] = op_write(file, memory + 1, PAGE, PAGE);
    operations[2] = op_write(file, memory, 0, 0);
    EXPECT(aio_file_pwrite(file, memory, PAGE, 0), PAGE);
    /* The threads that a queue needs are there. */
    REQUIRE_EQ(run_op(queue, &operations[2]).result, 0);
    before = forbid_memory();
    results[0] = CALL(aio_file_pread(file, memory + 1, PAGE, 0));
    results[1] = CALL(aio_file_pwrite(file, memory + 1, PAGE, PAGE));
    results[2] = CALL(aio_queue_submit(queue, &operations[0], 1, NULL));
    results[3] = CALL(aio_queue_submit(queue, &operations[1], 1, NULL));
    REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
    for (unsigned index = 0; index < COUNT(results); index++)
        REQUIRE_EQ(results[index], -ENOMEM);
    EXPECT(aio_queue_stats(queue, &stats), 0);
    REQUIRE(stats.held == 0 && stats.submitted == 1);
    REQUIRE_EQ(disk_size("file"), PAGE);
    /* What they held they gave up: a truncate, alone, gets through. */
    EXPECT(aio_file_truncate(file, PAGE), 0);
    REQUIRE_EQ(run_op(queue, &operations[0]).result, PAGE);
    pattern_check(memory + 1, PAGE, 0, 1);
    REQUIRE_EQ(run_op(queue, &operations[1]).result, PAGE);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    close_file(file);
    close_queue(queue);
    free(memory);
}
END_TEST

/* --- fork ----------------------------------------------------------------------------------- */

static int use_anew(void *argument)
{
    struct bounce_pass *of_parent = argument;
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass pass = {0};

    REQUIRE(!is_mapped(of_parent->memory));
    take_all(passes);
    for (unsigned index = 0; index < BUFFERS; index++)
        memset(passes[index].memory, (int)index, BOUNCE_SIZE);
    EXPECT(bounce_get(&pass, false), 0); /* and before it nobody of the parent's */
    give_to(&passes[0], &pass);
    passes[0] = pass;
    give_all(passes);
    /* A copy of the parent's handle is closed, one of the child's own is opened. */
    bounce_add_user();
    bounce_remove_user();
    REQUIRE(is_mapped(pass.memory));
    bounce_remove_user();
    REQUIRE(!is_mapped(pass.memory));
    return 0;
}

START_TEST(a_child_uses_it_anew)
{
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass waiters[2] = {0};

    bounce_add_user();
    take_all(passes);
    for (unsigned index = 0; index < BUFFERS; index++)
        pattern_fill(passes[index].memory, BOUNCE_SIZE, 0, index);
    EXPECT(bounce_get(&waiters[0], false), 0);
    EXPECT(bounce_get(&waiters[1], false), 0);
    REQUIRE_EQ(in_child(use_anew, &passes[0]), 0);
    /* Nothing of it has come here. */
    for (unsigned index = 0; index < BUFFERS; index++)
        pattern_check(passes[index].memory, BOUNCE_SIZE, 0, index);
    give_to(&passes[0], &waiters[0]);
    give_to(&passes[1], &waiters[1]);
    passes[0] = waiters[0];
    passes[1] = waiters[1];
    give_all(passes);
    bounce_remove_user();
}
END_TEST

/* --- many threads --------------------------------------------------------------------------- */

enum { THREADS = 3 * BUFFERS / 2, ROUNDS = 400 };

static atomic_uint inside;
static atomic_uint served;

/* What somebody does with memory that is his alone. */
static void work_with(struct bounce_pass *pass, uint64_t *state)
{
    uint64_t mark = random_next(state);
    uint64_t *words = pass->memory;

    REQUIRE(inside++ < BUFFERS);
    for (unsigned index = 0; index < 8; index++)
        words[index] = mark + index;
    if (mark % 4 == 0)
        sched_yield();
    for (unsigned index = 0; index < 8; index++)
        REQUIRE(words[index] == mark + index);
    inside--;
    served++;
}

/* Gives back, and does the work of the submitted ones that get it then. */
static void give_on(struct bounce_pass *pass, uint64_t *state)
{
    while ((pass = bounce_put(pass)) != NULL)
        work_with(pass, state);
}

static void *take_and_give(void *argument)
{
    uint64_t state = (uintptr_t)argument;
    struct bounce_pass *submitted = calloc(ROUNDS, sizeof(*submitted));
    struct thread_cond wakeup;

    thread_cond_init(&wakeup);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct bounce_pass pass = {.wakeup = &wakeup};

        if (bounce_get(&pass, false) == 0)
            bounce_wait(&pass);
        work_with(&pass, &state);
        give_on(&pass, &state);
        if (bounce_get(&submitted[round], false) == 1) {
            work_with(&submitted[round], &state);
            give_on(&submitted[round], &state);
        }
    }
    thread_cond_destroy(&wakeup);
    return submitted;
}

START_TEST(nobody_is_forgotten_and_nobody_shares)
{
    pthread_t threads[THREADS];
    void *submitted[THREADS];
    struct bounce_pass passes[BUFFERS];

    bounce_add_user();
    for (unsigned index = 0; index < THREADS; index++)
        thread_begin(&threads[index], take_and_give, (void *)(uintptr_t)(index + 1));
    for (unsigned index = 0; index < THREADS; index++)
        REQUIRE(pthread_join(threads[index], &submitted[index]) == 0);
    REQUIRE_EQ(served, 2 * THREADS * ROUNDS);
    for (unsigned index = 0; index < THREADS; index++)
        free(submitted[index]);
    take_all(passes);
    give_all(passes);
    bounce_remove_user();
}
END_TEST

/* --- withdrawing ---------------------------------------------------------------------------- */

START_TEST(who_does_not_wait_cannot_withdraw)
{
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass waiter = {0};

    bounce_add_user();
    REQUIRE(!bounce_withdraw(&waiter));
    take_all(passes);
    REQUIRE(!bounce_withdraw(&passes[0]) && passes[0].memory != NULL);
    EXPECT(bounce_get(&waiter, false), 0);
    give_to(&passes[0], &waiter);
    REQUIRE(!bounce_withdraw(&waiter));
    REQUIRE(bounce_put(&waiter) == NULL && !bounce_withdraw(&waiter));
    EXPECT(bounce_get(&passes[0], false), 1);
    give_all(passes);
    bounce_remove_user();
}
END_TEST

/* The only one, the first, one in the middle, the last; whoever comes then stands behind all. */
START_TEST(one_withdraws_from_any_place)
{
    struct bounce_pass passes[BUFFERS];
    struct bounce_pass waiters[5] = {0};
    unsigned count = _i == 0 ? 1 : 4;
    unsigned gone = _i == 3 ? 3 : (unsigned)_i / 2;
    unsigned giver = 0;

    bounce_add_user();
    take_all(passes);
    for (unsigned index = 0; index < count; index++)
        EXPECT(bounce_get(&waiters[index], false), 0);
    REQUIRE(bounce_withdraw(&waiters[gone]));
    REQUIRE(!waiters[gone].waiting && waiters[gone].memory == NULL);
    REQUIRE(!bounce_withdraw(&waiters[gone]));
    EXPECT(bounce_get(&waiters[4], false), 0);
    for (unsigned index = 0; index < count; index++)
        if (index != gone)
            give_to(&passes[giver++], &waiters[index]);
    give_to(&passes[giver++], &waiters[4]);
    REQUIRE(bounce_put(&passes[giver++]) == NULL);
    for (; giver < BUFFERS; giver++)
        REQUIRE(bounce_put(&passes[giver]) == NULL);
    for (unsigned index = 0; index < 5; index++)
        REQUIRE(waiters[index].memory == NULL || bounce_put(&waiters[index]) == NULL);
    take_all(passes);
    give_all(passes);
    bounce_remove_user();
}
END_TEST

static Suite *bounce_suite(void)
{
    Suite *suite = suite_create("bounce");

    ADD_TESTS(suite, "buffers", buffers_are_aligned_and_apart, a_buffer_given_back_is_there_again);
    ADD_TESTS(suite, "waiting", submitted_ones_are_served_in_their_order,
              threads_and_submitted_ones_wait_in_one_list,
              a_thread_that_has_it_already_does_not_sleep);
    ADD_TESTS(suite, "callbacks", one_buffer_is_kept_for_callbacks,
              callbacks_wait_before_all_others, callbacks_are_served_in_their_order);
    ADD_TESTS(suite, "memory", the_memory_goes_with_the_last_user, without_memory_nothing_is_lost,
              a_transfer_without_memory_fails_alone, a_child_uses_it_anew);
    ADD_TESTS(suite, "withdrawing", who_does_not_wait_cannot_withdraw);
    add_loop_test(suite, "withdrawing", one_withdraws_from_any_place, 4);
    ADD_TESTS(suite, "threads", nobody_is_forgotten_and_nobody_shares);
    return suite;
}

int main(void)
{
    return run_suite(bounce_suite);
}
