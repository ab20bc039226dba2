/* SPDX-License-Identifier: MIT */
/*
 * model_queue.c - the queue, the reaper and the token in every order of their steps.
 *
 * The library's own files are compiled in here, on the model's threads and over a model of an
 * engine and of a file. Each scenario is a small program; together they are the table at the end.
 * With MODEL_PLANT set, one wake-up is taken out of the library: at least one scenario must then
 * get stuck, or the search is blind. The test's argument "planted" expects exactly that.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"

#define calloc model_calloc
#define free model_free

#include "../../lib/log.c"
#include "../../lib/op.c"
#include "../../lib/options.c"
#include "../../lib/request.c"
#include "../../lib/token.c"
#include "../../lib/transfer.c"

#include "../../lib/file_ops.h"

#ifndef MODEL_PLANT
#define MODEL_PLANT 0
#endif

#if MODEL_PLANT == 1 /* those whose condition holds are not told */
#define token_wake_ready(token, ready, context) ((void)0)
#elif MODEL_PLANT == 2 /* the token is freed, and nobody parked is told */
#define token_offer(token, ready, context) false
#elif MODEL_PLANT == 3 /* a holder asleep in the engine is left there */
#define token_interrupt(token, engine) ((void)(engine), true)
#elif MODEL_PLANT == 4 /* the reaper is told of nothing but the end */
static void signal_at_end_only(struct thread_cond *cond);
#define thread_cond_signal(cond) signal_at_end_only(cond)
#elif MODEL_PLANT == 6 /* who puts a write into the held list does not look at the gate again */
#define file_op_barred(file) true
#elif MODEL_PLANT == 7 /* a holder whose condition holds sleeps on */
#define token_holder_overslept(token, ready, context) false
#elif MODEL_PLANT == 5 /* a holder leaves without giving the token up */
#define token_release(token) ((token)->sleeping_for = 0)
#endif

#define _Thread_local

#include "../../lib/reaper.c"

#include "../../lib/queue.c"

#undef file_op_barred
#undef calloc
#undef free

#if MODEL_PLANT == 4
#undef thread_cond_signal
static struct aio_queue *the_queue(void);

static void signal_at_end_only(struct thread_cond *cond)
{
    if (the_queue()->reaper_stop)
        thread_cond_signal(cond);
}
#endif

/* --- what surrounds the queue --------------------------------------------------------------- */

#define DEPTH 3

int process_init(void)
{
    return 0;
}

uint64_t process_epoch(void)
{
    return 1;
}

/* A file is never looked into here: its requests are counted, as close would. */
struct aio_file {
    struct thread_mutex lock;
    struct thread_cond idle;
    unsigned requests;
    bool barred;
};

/* All that the scenarios and their engine remember. */
static struct model {
    struct engine engine;
    struct aio_queue *queue;
    struct aio_file file;
    struct thread_mutex exclusive; /* of the gate: one truncate at a time */
    aio_request_id ids[4];
    aio_complete_fn follow_up; /* of the operation that a callback submits */
    unsigned results;          /* results taken by anybody */
    unsigned callbacks;
    unsigned marks; /* steps of a scenario that others wait for */
    bool in_kernel[DEPTH];
    uint64_t lengths[DEPTH];
    struct engine_event ring[DEPTH];
    unsigned ring_count;
    bool woken;
    bool reaping;
    unsigned partial_left; /* completions that may still be partial */
    int refuse;            /* what submit says to a write, once */
    unsigned refuse_left;
    unsigned slow_tag; /* completes only once held_back says so; DEPTH: none */
    unsigned slow_needs_marks;
} model;

#if MODEL_PLANT == 4
static struct aio_queue *the_queue(void)
{
    return model.queue;
}
#endif

int file_op_begin(const struct aio_op *op, struct transfer *transfer)
{
    transfer_init(transfer, op->opcode, 3, op->offset);
    transfer_set_buffer(transfer, NULL, op->len);
    thread_mutex_lock(&op->file->lock);
    op->file->requests++;
    thread_mutex_unlock(&op->file->lock);
    return 0;
}

/* A gate that is closed and opened by a scenario. */
int file_op_enter(struct aio_file *file, struct transfer *transfer)
{
    if (!transfer_is_write(transfer))
        return 0;
    model_step("enter the gate");
    if (file->barred)
        return -EAGAIN;
    transfer->entered = true;
    return 0;
}

bool file_op_barred(struct aio_file *file)
{
    model_step("look at the gate");
    return file->barred;
}

void file_op_end(struct aio_file *file, struct transfer *transfer)
{
    (void)file;
    (void)transfer;
}

void file_op_hold(struct aio_file *file)
{
    thread_mutex_lock(&file->lock);
    file->requests++;
    thread_mutex_unlock(&file->lock);
}

void file_op_forget(struct aio_file *file)
{
    thread_mutex_lock(&file->lock);
    if (--file->requests == 0)
        thread_cond_broadcast(&file->idle);
    thread_mutex_unlock(&file->lock);
}

/* --- the engine ----------------------------------------------------------------------------- */

static int model_submit(struct engine *engine, struct engine_io *const *ios, unsigned count)
{
    (void)engine;
    (void)count;
    model_step("submit to the engine");
    if (model.refuse_left > 0 && ios[0]->opcode == AIO_OP_WRITE) {
        model.refuse_left--;
        return model.refuse;
    }
    assert(ios[0]->tag < DEPTH);
    assert(!model.in_kernel[ios[0]->tag]);
    model.in_kernel[ios[0]->tag] = true;
    model.lengths[ios[0]->tag] = ios[0]->len;
    return 1; /* one of the batch: the rest is a submit of its own */
}

struct reap_call {
    unsigned min;
    bool bounded;
};

static bool reap_may_return(void *argument)
{
    const struct reap_call *call = argument;

    return model.ring_count >= call->min || model.woken || call->bounded;
}

static int model_reap(struct engine *engine, struct engine_event *events, unsigned min,
                      unsigned max, const struct timespec *timeout)
{
    struct reap_call call = {min, timeout != NULL};
    unsigned count = model.ring_count;

    (void)engine;
    model_expect(!model.reaping, "two threads reap at once");
    model.reaping = true;
    if (min > 0)
        model_wait_until("return from the engine's reap", reap_may_return, &call);
    model.reaping = false;
    model.woken &= min == 0;
    count = model.ring_count < max ? model.ring_count : max;
    memcpy(events, model.ring, count * sizeof(events[0]));
    model.ring_count = 0;
    return (int)count;
}

static int model_wake(struct engine *engine, unsigned sleeping_for)
{
    (void)engine;
    assert(sleeping_for > 0);
    model.woken = true;
    return 0;
}

static const struct engine_ops model_ops = {
    .name = "model",
    .submit = model_submit,
    .reap = model_reap,
    .wake = model_wake,
};

int engine_create(enum aio_engine id, const struct engine_config *config, struct engine **result)
{
    (void)id;
    (void)config;
    model.engine.ops = &model_ops;
    *result = &model.engine;
    return 0;
}

static void model_engine_destroy(struct engine *engine)
{
    (void)engine;
    for (unsigned tag = 0; tag < DEPTH; tag++)
        model_expect(!model.in_kernel[tag], "the engine is destroyed with a transfer in it");
}

/* The device's choices: to complete a tag whole, or to complete it in part. */
static bool device_possible(unsigned choice)
{
    unsigned tag = choice % DEPTH;

    if (!model.in_kernel[tag])
        return false;
    if (tag == model.slow_tag && model.marks < model.slow_needs_marks)
        return false;
    return choice < DEPTH || (model.partial_left > 0 && model.lengths[tag] > 1);
}

static void device_apply(unsigned choice)
{
    unsigned tag = choice % DEPTH;
    bool partial = choice >= DEPTH;

    model.in_kernel[tag] = false;
    model.partial_left -= partial;
    model.ring[model.ring_count++] =
        (struct engine_event){tag, partial ? 1 : (int64_t)model.lengths[tag]};
}

/* --- pieces of scenarios -------------------------------------------------------------------- */

static void make_queue(unsigned depth)
{
    static struct engine_ops ops;
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;

    ops = model_ops;
    ops.destroy = model_engine_destroy;
    options.depth = depth;
    model.slow_tag = DEPTH;
    model_expect(aio_queue_create(&options, &model.queue) == 0, "create");
    model.engine.ops = &ops;
    /* Counts: nobody decides by them, and they would make every order a state of its own. */
    model_ignore(&model.queue->stats, sizeof(model.queue->stats));
}

static void submit(unsigned id, uint8_t opcode, uint32_t flags, aio_complete_fn on_complete)
{
    struct aio_op op = {.opcode = opcode,
                        .flags = flags,
                        .file = opcode == AIO_OP_NOP ? NULL : &model.file,
                        .len = opcode == AIO_OP_NOP ? 0 : 2,
                        .on_complete = on_complete};

    model_expect(aio_queue_submit(model.queue, &op, 1, &model.ids[id]) == 1, "submit");
}

static void wait_for(unsigned id, ssize_t expected)
{
    model_expect(aio_queue_wait(model.queue, model.ids[id], NULL) == expected, "wait's result");
    model.results++;
}

static int reap(unsigned min, unsigned max)
{
    struct aio_completion completions[4];
    int count = aio_queue_reap(model.queue, completions, min, max, NULL);

    model_expect(count >= 0, "reap");
    model.results += (unsigned)count;
    return count;
}

static void destroy(void)
{
    model_expect(aio_queue_destroy(model.queue, 0) == 0, "destroy");
}

static bool others_done(void *last)
{
    for (int thread = 0; thread < (int)(intptr_t)last; thread++)
        if (!model_thread_done(thread))
            return false;
    return true;
}

/* The body that ends every scenario: when the threads below it are through. */
static void destroy_after(int threads)
{
    model_wait_until("the others' end", others_done, (void *)(intptr_t)threads);
    destroy();
}

static void destroy_after_2(void)
{
    destroy_after(2);
}

static void destroy_after_3(void)
{
    destroy_after(3);
}

static void count_callback(const struct aio_completion *completion)
{
    model_step("inside a callback");
    model_expect(completion->result == 2, "a callback's result");
    model.callbacks++;
}

static void check_nothing_held(void)
{
    model_expect(model.file.requests == 0, "requests of the file are left");
    model_expect(model.ring_count == 0, "an event was not reaped");
}

/* --- scenarios ------------------------------------------------------------------------------ */

static void setup_plain(void)
{
    make_queue(DEPTH);
}

static void submit_and_wait_0(void)
{
    submit(0, AIO_OP_READ, AIO_OP_WAITED, NULL);
    wait_for(0, 2);
}

static void submit_and_wait_1(void)
{
    submit(1, AIO_OP_READ, 0, NULL);
    wait_for(1, 2);
}

static void check_two_results(void)
{
    check_nothing_held();
    model_expect(model.results == 2, "two results");
}

static void setup_partial(void)
{
    make_queue(DEPTH);
    model.partial_left = 1;
}

/* A reap for two, one of which another thread claims. */
static void setup_two_in_flight(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, 0, NULL);
    submit(1, AIO_OP_READ, 0, NULL);
}

static void reap_two(void)
{
    reap(2, 2);
}

static void wait_for_1(void)
{
    /* The reap may have been there first. */
    ssize_t result = aio_queue_wait(model.queue, model.ids[1], NULL);

    model_expect(result == 2 || result == -ESTALE, "wait's result");
    model.results += result == 2;
}

static void callback_0(void)
{
    submit(0, AIO_OP_READ, 0, count_callback);
    model_expect(aio_queue_drain(model.queue, NULL) == 0, "drain");
    model_expect(model.callbacks >= 1, "drain returns before the callback");
    model.marks++;
}

static void check_callback_and_result(void)
{
    check_nothing_held();
    model_expect(model.callbacks == 1 && model.results == 1, "a callback and a result");
}

/* One slot, two operations with callbacks: the second waits for it. */
static void setup_one_slot(void)
{
    make_queue(1);
}

static void callback_only_0(void)
{
    submit(0, AIO_OP_READ, 0, count_callback);
}

static void callback_only_1(void)
{
    submit(1, AIO_OP_READ, 0, count_callback);
}

static void check_two_callbacks(void)
{
    check_nothing_held();
    model_expect(model.callbacks == 2, "two callbacks");
}

/* A callback that submits into its kept slot, while another thread wants one. */
static void follow_up_callback(const struct aio_completion *completion)
{
    struct aio_op op = {
        .opcode = AIO_OP_READ, .file = &model.file, .len = 2, .on_complete = count_callback};

    model_expect(completion->result == 2, "a callback's result");
    model_expect(aio_queue_submit(model.queue, &op, 1, NULL) == 1, "the kept slot");
    model_expect(aio_queue_drain(model.queue, NULL) == -EDEADLK, "drain in a callback");
}

static void callback_chain(void)
{
    submit(0, AIO_OP_READ, 0, follow_up_callback);
}

/* The engine refuses a write while another thread sleeps in it for something slow. */
static void setup_refusal(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, AIO_OP_WAITED, NULL);
    model.slow_tag = 0;
    model.slow_needs_marks = 1;
    model.refuse = -EBADF;
    model.refuse_left = 1;
}

static void submit_refused(void)
{
    submit(1, AIO_OP_WRITE, 0, NULL);
}

static void reap_one_mark(void)
{
    while (reap(1, 1) == 0)
        model_step("reap again");
    model.marks++;
}

static void wait_for_slow(void)
{
    wait_for(0, 2);
}

/* A reap sleeps for two events, of which the second comes only after another thread had the
 * first. */
static void setup_claim(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, AIO_OP_WAITED, NULL);
    submit(1, AIO_OP_READ, 0, NULL);
    submit(2, AIO_OP_READ, 0, NULL);
    model.slow_tag = 2;
    model.slow_needs_marks = 1;
}

static void wait_for_0_mark(void)
{
    wait_for(0, 2);
    model.marks++;
}

static void check_three_results(void)
{
    check_nothing_held();
    model_expect(model.results == 3, "three results");
}

/* A reap for one that another thread takes away from it must end, though nothing completes. */
static void setup_taken_away(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, 0, NULL);
    model.slow_tag = 0;
    model.slow_needs_marks = 1;
}

static bool a_claim_was_made(void *unused)
{
    (void)unused;
    return model.queue->table.requests[0].claimed;
}

static void reap_after_claim(void)
{
    model_wait_until("the claim", a_claim_was_made, NULL);
    model_expect(reap(1, 1) == 0, "nothing is left for reap");
    model.marks++;
}

static void claim_0(void)
{
    wait_for(0, 2);
}

static void reap_until_claimed(void)
{
    int count = reap(1, 1);

    model_expect(count == 0, "the slow one cannot be reaped");
    model.marks++;
}

/* Destroying while another thread waits: it is let out first. */
static void setup_one_in_flight(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, 0, NULL);
}

static bool somebody_waits(void *unused)
{
    (void)unused;
    return model.queue->inside > 0 || model.results > 0;
}

static void destroy_under_waiter(void)
{
    model_wait_until("a waiter", somebody_waits, NULL);
    destroy();
}

static void check_destroyed(void)
{
    check_nothing_held();
    model_expect(model.results == 1, "the waiter's result");
}

/* Close: waits for the file's requests, which nobody reaps. */
static void close_file(void)
{
    queues_hasten_begin();
    thread_mutex_lock(&model.file.lock);
    while (model.file.requests > 0)
        thread_cond_wait(&model.file.idle, &model.file.lock, DEADLINE_NEVER);
    thread_mutex_unlock(&model.file.lock);
    queues_hasten_end();
    model.marks++;
}

static void setup_close(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, 0, NULL);
    submit(1, AIO_OP_READ, 0, NULL);
}

static void reap_rest(void)
{
    model_wait_until("the close", others_done, (void *)(intptr_t)1);
    while (model.results < 2)
        reap(1, 2);
    destroy();
}

/* The same beside a reap that sleeps for more than the file's. */
static void setup_close_beside_reap(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, 0, NULL);
    submit(1, AIO_OP_READ, 0, NULL);
    model.file.requests--; /* the second one is of some other file */
    model.slow_tag = 1;
    model.slow_needs_marks = 1;
}

static void reap_two_beside_close(void)
{
    reap(2, 2);
    model.file.requests = 0;
}

/* A truncate keeps a write out; it is launched by whoever comes last. */
static void setup_truncate(void)
{
    make_queue(DEPTH);
    model.file.barred = true;
}

static void end_truncate(void)
{
    model_step("end the truncate");
    model.file.barred = false;
    queues_launch_held(&model.file);
}

static void truncate_again(void)
{
    thread_mutex_lock(&model.exclusive);
    model.file.barred = true;
    end_truncate();
    thread_mutex_unlock(&model.exclusive);
}

static void submit_write_and_wait(void)
{
    submit(1, AIO_OP_WRITE, 0, NULL);
    wait_for(1, 2);
}

static void submit_write_with_callback(void)
{
    submit(1, AIO_OP_WRITE, 0, count_callback);
}

static void check_one_callback(void)
{
    check_nothing_held();
    model_expect(model.callbacks == 1, "one callback");
}

/* A thread that waits for a slot sleeps in the engine; another one takes a result. */
static void setup_full(void)
{
    make_queue(2);
    submit(0, AIO_OP_READ, AIO_OP_WAITED, NULL);
    submit(1, AIO_OP_READ, AIO_OP_WAITED, NULL);
    model.slow_tag = 1;
    model.slow_needs_marks = 1;
}

static void submit_third_mark(void)
{
    submit(2, AIO_OP_READ, AIO_OP_WAITED, NULL);
    model.marks++;
    wait_for(2, 2);
}

static void wait_for_0_then_1(void)
{
    wait_for(0, 2);
    wait_for(1, 2);
}

/* A drain sleeps in the engine for what came after it; a callback that it waits for returns. */
static void setup_callback_and_slow(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, 0, count_callback);
    model.slow_tag = 1;
    model.slow_needs_marks = 1;
}

static void drain_and_mark(void)
{
    model_expect(aio_queue_drain(model.queue, NULL) == 0, "drain");
    model.marks++;
}

static bool drain_began(void *unused)
{
    (void)unused;
    return model.queue->inside > 0 || model.marks > 0;
}

static void submit_slow_and_wait(void)
{
    model_wait_until("the drain's begin", drain_began, NULL);
    submit(1, AIO_OP_READ, AIO_OP_WAITED, NULL);
    model_wait_until("the drain", others_done, (void *)(intptr_t)1);
    wait_for(1, 2);
}

/* No room in the engine, and nothing in flight that could make some. */
static void setup_no_room(void)
{
    make_queue(DEPTH);
    model.refuse = -EAGAIN;
    model.refuse_left = 2;
}

static void write_and_wait(void)
{
    submit(0, AIO_OP_WRITE, 0, NULL);
    wait_for(0, 2);
}

/* A wait whose time may pass; the result stays to be taken. */
static void wait_briefly(void)
{
    const struct timespec second = {1, 0};
    ssize_t result;

    submit(0, AIO_OP_READ, AIO_OP_WAITED, NULL);
    result = aio_queue_wait(model.queue, model.ids[0], &second);
    if (result == -ETIMEDOUT)
        wait_for(0, 2);
    else
        model.results++;
}

#define DEVICE                                                                                     \
    {                                                                                              \
        2 * DEPTH, device_possible, device_apply                                                   \
    }

static const struct model_scenario scenarios[] = {
    {"two threads submit and wait",
     setup_plain,
     {submit_and_wait_0, submit_and_wait_1, destroy_after_2},
     check_two_results,
     false,
     DEVICE},
    {"a transfer in two parts",
     setup_partial,
     {submit_and_wait_0, submit_and_wait_1, destroy_after_2},
     check_two_results,
     false,
     DEVICE},
    {"reap two, wait for one of them",
     setup_two_in_flight,
     {reap_two, wait_for_1, destroy_after_2},
     check_two_results,
     false,
     DEVICE},
    {"callback and drain beside a waiter",
     setup_partial,
     {callback_0, submit_and_wait_1, destroy_after_2},
     check_callback_and_result,
     false,
     DEVICE},
    {"two callbacks, one slot",
     setup_one_slot,
     {callback_only_0, callback_only_1, destroy_after_2},
     check_two_callbacks,
     false,
     DEVICE},
    {"a callback submits into its slot",
     setup_one_slot,
     {callback_chain, callback_only_1, destroy_after_2},
     check_two_callbacks,
     false,
     DEVICE},
    {"the engine refuses while a holder sleeps",
     setup_refusal,
     {submit_refused, reap_one_mark, wait_for_slow, destroy_after_3},
     check_two_results,
     false,
     DEVICE},
    {"a waiter comes while a reap sleeps for two",
     setup_claim,
     {reap_two, wait_for_0_mark, destroy_after_2},
     check_three_results,
     false,
     DEVICE},
    {"a reap's last result is claimed",
     setup_taken_away,
     {reap_until_claimed, claim_0, destroy_after_2},
     check_destroyed,
     false,
     DEVICE},
    {"a reap after a claim",
     setup_taken_away,
     {reap_after_claim, claim_0, destroy_after_2},
     check_destroyed,
     false,
     DEVICE},
    {"destroy while a thread waits",
     setup_one_in_flight,
     {claim_0, destroy_under_waiter},
     check_destroyed,
     false,
     DEVICE},
    {"close waits for what nobody reaps",
     setup_close,
     {close_file, reap_rest},
     check_two_results,
     false,
     DEVICE},
    {"close beside a reap for two",
     setup_close_beside_reap,
     {close_file, reap_two_beside_close, destroy_after_2},
     check_two_results,
     false,
     DEVICE},
    {"a write beside a truncate",
     setup_truncate,
     {end_truncate, submit_write_and_wait, destroy_after_2},
     check_destroyed,
     false,
     DEVICE},
    {"a callback's write beside two truncates",
     setup_plain,
     {truncate_again, truncate_again, submit_write_with_callback, destroy_after_3},
     check_one_callback,
     false,
     DEVICE},
    {"a slot comes free while its waiter reaps",
     setup_full,
     {submit_third_mark, wait_for_0_then_1, destroy_after_2},
     check_three_results,
     false,
     DEVICE},
    {"a callback returns while a drain reaps",
     setup_callback_and_slow,
     {drain_and_mark, submit_slow_and_wait, destroy_after_2},
     check_callback_and_result,
     false,
     DEVICE},
    {"no room in the engine",
     setup_no_room,
     {write_and_wait, submit_and_wait_1, destroy_after_2},
     check_two_results,
     true,
     DEVICE},
    {"waits whose time passes",
     setup_plain,
     {wait_briefly, submit_and_wait_1, destroy_after_2},
     check_two_results,
     true,
     DEVICE},
};

#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

int main(int argc, char **argv)
{
    bool planted = argc > 1 && strcmp(argv[1], "planted") == 0;
    const char *only = argc > 1 && !planted ? argv[1] : NULL;
    unsigned found = 0;
    unsigned wrong = 0;

    model_add_variable(&model, sizeof(model));
    model_add_variable(&all_queues, sizeof(all_queues));
    model_add_variable(&all_queues_lock, sizeof(all_queues_lock));
    model_add_variable(&queues_hastening, sizeof(queues_hastening));
    model_add_thread_variable(&callback_current, sizeof(callback_current));
    for (unsigned index = 0; index < SCENARIOS; index++) {
        static const char *const verdicts[] = {"holds", "STUCK", "BROKEN", "TOO LARGE"};
        enum model_verdict verdict;
        unsigned long states;

        if (only != NULL && strstr(scenarios[index].name, only) == NULL)
            continue;
        verdict = model_explore(&scenarios[index], planted, &states);
        printf("%-45s %9lu states  %s\n", scenarios[index].name, states, verdicts[verdict]);
        fflush(stdout);
        found += verdict == MODEL_STUCK || verdict == MODEL_BROKEN;
        wrong += verdict == MODEL_TOO_LARGE;
        if (planted && found > 0)
            break;
    }
    if (planted) {
        printf("%s\n",
               found > 0 ? "the planted fault was found" : "THE PLANTED FAULT WAS NOT FOUND");
        return found > 0 ? 0 : 1;
    }
    return found + wrong > 0 ? 1 : 0;
}
