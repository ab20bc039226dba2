/* SPDX-License-Identifier: MIT */
/*
 * model_queue.c - the queue, the reaper, the token and the workers in every order of their steps.
 *
 * The library's own files are compiled in here, on the model's threads and over a model of an
 * engine and of a file. Each scenario is a small program; together they are the table at the end.
 * With MODEL_PLANT set, one wake-up is taken out of the library: at least one scenario must then
 * get stuck, or the search is blind. The test's argument "planted" expects exactly that.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "explore.h"

/* An eventfd is a bit of the model. */
#define EVENT_FD 5
static int event_make(unsigned value);
static int event_write(void);
static int event_read(void);
static int event_close(void);

#define eventfd(value, flags) event_make(value)
#define eventfd_write(fd, value) ((void)(fd), event_write())
#define eventfd_read(fd, value) ((void)(fd), (void)(value), event_read())
#define fcntl(fd, command, argument) (fd)
#define close(fd) ((void)(fd), event_close())

#define calloc model_calloc
#define aligned_alloc(alignment, size) model_calloc(1, size)
#define free model_free

#include "../../lib/inflight.c"
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

/* Whether reads go the short way. */
#ifndef MODEL_PLAIN
#define MODEL_PLAIN 0
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
#elif MODEL_PLANT == 5 /* a holder leaves without giving the token up */
#define token_release(token) ((token)->sleeping_for = 0)
#elif MODEL_PLANT == 6 /* who publishes what came in before does not hand it on */
#define workers_submit(job)                                                                        \
    if (request->step == FILE_STEP_WORKER)                                                         \
    (workers_submit)(job)
#elif MODEL_PLANT == 7 /* a holder whose condition holds sleeps on */
#define token_holder_overslept(token, ready, context) false
#elif MODEL_PLANT == 8 /* a worker begins with what its submit is not through with */
static void work_rashly(struct worker_job *job);
#define queue_work work_rashly
#endif

#define _Thread_local

#include "../../lib/queue_state.h"

/* A chain's turn that a planted fault does not end. */
static const struct waiter *planted_turn;

#if MODEL_PLANT == 18 /* a result leaves its notice behind */
#define queue_drop_notice(queue, request)                                                          \
    ((request)->on_complete != NULL ? (queue_drop_notice)(queue, request) : (void)0)
#elif MODEL_PLANT == 19 /* who waits for a slot does not see that a result is being waited for */
static bool stuck_but_for_claims(struct aio_queue *queue, const struct waiter *waiter)
{
    uint32_t claimed = queue->claimed;
    bool stuck;

    queue->claimed = 0;
    stuck = queue_is_stuck(queue, waiter);
    queue->claimed = claimed;
    return stuck;
}

#define queue_is_stuck(queue, waiter) stuck_but_for_claims((struct aio_queue *)(queue), waiter)
#elif MODEL_PLANT == 21 /* the eventfd is not told of results */
#define queue_event_raise(fd) ((void)(fd))
#elif MODEL_PLANT == 22 /* the owner sleeps though there is mail */
#define queue_has_mail(queue) ((queue)->mail_lock.owner == 0 && (queue_has_mail)(queue))
#elif MODEL_PLANT == 24 /* the reaper thread does not know of chains */
#define linked linked * 0
#elif MODEL_PLANT == 25 /* of the plain reads of a file that are done only one leaves it */
#define file_op_forget(file, count) (file_op_forget)(file, 1)
#elif MODEL_PLANT == 26 /* a slot whose result was handed out, or called back with, is lost */
#define request_free_push(table, request) ((void)(table))
#endif

#include "../../lib/reaper.c"

#undef queue_drop_notice
#undef queue_event_raise
#undef queue_has_mail
#undef linked
#undef file_op_forget
#undef request_free_push

#if MODEL_PLANT == 17 /* who cancels leaves a holder asleep in the engine */
#define queue_interrupt(queue) ((void)(queue))
#elif MODEL_PLANT == 23 /* the eventfd is not lowered */
#define queue_event_lower(fd) ((void)(fd))
#endif

#include "../../lib/queue_cancel.c"

#undef queue_interrupt

#if MODEL_PLANT == 20 /* the reaper thread is not told of a deadline */
static bool set_without_telling(struct request_table *table, struct request *request,
                                int64_t deadline_ns)
{
    request_deadline_set(table, request, deadline_ns);
    return false;
}

#define request_deadline_set set_without_telling
#endif

#include "../../lib/queue_notice.c"

#undef request_deadline_set

#include "../../lib/queue.c"
#include "../../lib/queue_results.c"

#undef queue_event_lower

#include "../../lib/queue_plain.c"

#if MODEL_PLANT == 14 /* a follower is taken for one whose submit is through with it */
#define file_op_enter(file, transfer, pass)                                                        \
    (request->published |= request->unentered, (file_op_enter)(file, transfer, pass))
#elif MODEL_PLANT == 15 /* a chain keeps its turn */
#define queue_await(queue, waiter, deadline)                                                       \
    (planted_turn = (queue)->chain_turn, (queue_await)(queue, waiter, deadline))
#define queue_changed(queue)                                                                       \
    ((queue)->chain_turn = planted_turn != NULL ? planted_turn : (queue)->chain_turn,              \
     (queue_changed)(queue))
#endif

#include "../../lib/queue_submit.c"

#undef file_op_enter
#undef queue_await
#undef queue_changed
#undef queue_is_stuck
#undef queue_work
#undef thread_cond_signal
#undef workers_submit

#if MODEL_PLANT == 8
void queue_work(struct worker_job *job); /* its header has it by the other name */
#elif MODEL_PLANT == 9                   /* a worker leaves a holder asleep in the engine */
#define queue_interrupt(queue) ((void)(queue))
#elif MODEL_PLANT == 10 /* a worker tells nobody what it has changed */
#define queue_changed(queue) ((void)(queue))
#elif MODEL_PLANT == 11 /* destroy does not know of the workers */
#define inside stats.callbacks
#elif MODEL_PLANT == 16 /* mail does not wake the owner */
#define wake(engine, sleeping_for) id
#endif

#include "../../lib/queue_work.c"

#undef queue_interrupt
#undef queue_changed
#undef inside
#undef wake

/* How many workers a scenario has. */
static unsigned workers_max(void);

static int start_worker(struct thread_handle *handle, const char *name, void *(*body)(void *),
                        void *argument, unsigned started)
{
    if (started >= workers_max())
        return -EAGAIN;
    return thread_start(handle, name, body, argument);
}

#define thread_start(handle, name, body, argument)                                                 \
    start_worker(handle, name, body, argument, pool.started)

#if MODEL_PLANT == 12 /* workers are not told of a job */
#define thread_cond_signal(cond) ((void)(cond))
#elif MODEL_PLANT == 13 /* workers are not told of the end */
#define thread_cond_broadcast(cond) ((void)(cond))
#endif

#include "../../lib/workers.c"

#undef thread_start
#undef thread_cond_signal
#undef thread_cond_broadcast
#undef calloc
#undef aligned_alloc
#undef free

#if MODEL_PLANT == 4
static struct aio_queue *the_queue(void);

static void signal_at_end_only(struct thread_cond *cond)
{
    if (the_queue()->reaper_stop)
        thread_cond_signal(cond);
}
#elif MODEL_PLANT == 8
static void work_rashly(struct worker_job *job)
{
    request_of(job)->published = true;
    queue_work(job);
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

/* A file is never looked into here: its requests are counted, and kept out while it is barred. */
struct aio_file {
    struct inflight inflight;
    bool barred;
    struct file_pass *held[4]; /* in their order */
    unsigned held_count;
};

/* What comes of a write step by step; the offset of the operation says which. */
static const char *const roads[] = {
    "E", /* to the engine */
#define TO_ENGINE 0
    "HE", /* held back while the file is barred */
#define HELD_ENGINE 1
    "WD", /* done by a worker */
#define WORKER_DONE 2
    "WE", /* the engine has the rest */
#define WORKER_ENGINE 3
    "HWD",
#define HELD_WORKER_DONE 4
    "HWE",
#define HELD_WORKER_ENGINE 5
    "HWHWD", /* a worker's work has it held back again */
#define HELD_TWICE 6
    "HF", /* fails */
#define HELD_FAILS 7
    "D", /* nothing to do */
#define DONE_AT_ONCE 8
    "HEW", /* for the engine, whose submit would wait for the disk */
#define HELD_EXTENDS 9
    "WF",
#define WORKER_FAILS 10
};

/* What model_saw() is told. */
#define SAW_NOT_HELD 1u
#define SAW_RESUMED_EARLY 2u /* before it was published */
#define SAW_RESUMED_LATE 4u
#define SAW_ALL 7u
#define SAW_NOTICE 8u
#define SAW_NO_NOTICE 16u
#define SAW_CANCELLED 32u
#define SAW_CANCEL_BUSY 64u
#define SAW_CANCEL_LATE 128u /* it had its result */
#define SAW_CANCEL_ALL 224u

/* All that the scenarios and their engine remember. */
static struct model {
    struct engine engine;
    struct aio_queue *queue;
    struct aio_file file;
    struct aio_file other_file;
    struct thread_mutex exclusive; /* one truncate at a time */
    unsigned workers;
    struct worker_job jobs[2];
    bool ran[2];
    bool extends; /* the engine's submit waits for the disk where a write extends its file */
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

    int chain[DEPTH];        /* the roads of a chain */
    ssize_t expected[DEPTH]; /* and its results */
    uint64_t deadline;       /* of what is submitted */
    unsigned ended;          /* bits: those of a chain that have succeeded, by their context */
    bool alive;              /* the queue is */
    bool owned;              /* the queue is */
    bool strict;             /* the engine sleeps no shorter than it was told to */
    bool cancels;            /* the engine can cancel */
    bool cancelled[4];       /* what aio_queue_cancel() said that it did */
    ssize_t taken[4];        /* results */
    bool noticed[4];
    bool event; /* the eventfd is readable */
    bool event_made;
    bool event_told; /* the engine raises it */
} model;

static int event_make(unsigned value)
{
    model.event_made = true;
    model.event = value > 0;
    return EVENT_FD;
}

static int event_write(void)
{
    model_expect(model.event_made, "an eventfd that is closed is raised");
    model.event = true;
    return 0;
}

static int event_read(void)
{
    model.event = false;
    return 0;
}

static int event_close(void)
{
    model.event_made = false;
    model.event = false;
    return 0;
}

static unsigned workers_max(void)
{
    return model.workers;
}

#if MODEL_PLANT == 4
static struct aio_queue *the_queue(void)
{
    return model.queue;
}
#endif

int file_op_begin(const struct aio_op *op, struct transfer *transfer, struct file_pass *pass)
{
    *pass = (struct file_pass){.marked = true};
    transfer_init(transfer, op->opcode, 3, op->offset);
    transfer_set_buffer(transfer, NULL, op->len);
    pass->wants_workers = transfer_is_write(transfer) && roads[op->offset][1] != 0;
    inflight_add(&op->file->inflight, 1);
    return 0;
}

/* The rest of a road. */
static int go_on(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    for (;;) {
        switch (roads[transfer->offset][pass->stage++]) {
        case 'H':
            if (!file->barred) {
                model_saw(SAW_NOT_HELD);
                break;
            }
            file->held[file->held_count++] = pass;
            return FILE_STEP_HELD;
        case 'E':
            return FILE_STEP_ENGINE;
        case 'W':
            return FILE_STEP_WORKER;
        case 'F':
            return -EFBIG;
        default:
            transfer->result = (int64_t)transfer->total;
            return FILE_STEP_DONE;
        }
    }
}

int file_op_enter(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    struct request *request = request_of(&pass->job);

    if (!transfer_is_write(transfer))
        return FILE_STEP_ENGINE;
    model_step("enter the file");
    if (request->unentered)
        model_expect((model.ended >> ((intptr_t)request->context - 1) & 1) != 0,
                     "a follower starts before the one before it has succeeded");
    if (pass->stage > 0) {
        model_expect(request->published && request->state == REQUEST_WORKING,
                     "a worker goes on with what its submit is not through with");
        model_saw(request->resumed ? SAW_RESUMED_EARLY : SAW_RESUMED_LATE);
    }
    return go_on(file, transfer, pass);
}

bool file_op_extends(struct aio_file *file, const struct transfer *transfer)
{
    (void)file;
    return transfer_is_write(transfer);
}

int file_op_work(struct aio_file *file, const struct engine_ops *ops, struct engine *engine,
                 struct transfer *transfer, struct file_pass *pass)
{
    (void)ops;
    (void)engine;
    model_step("work");
    return go_on(file, transfer, pass);
}

void file_op_follow(struct aio_file *file, const struct transfer *transfer, struct file_pass *pass)
{
    (void)file;
    (void)transfer;
    (void)pass;
}

bool file_op_withdraw(struct aio_file *file, struct file_pass *pass)
{
    for (unsigned index = 0; index < file->held_count; index++) {
        if (file->held[index] != pass)
            continue;
        memmove(file->held + index, file->held + index + 1,
                (--file->held_count - index) * sizeof(file->held[0]));
        pass->came_in = true;
        return true;
    }
    return workers_withdraw(&pass->job);
}

void file_op_keep(struct aio_file *file)
{
    inflight_add(&file->inflight, 1);
}

void file_op_submitted(struct aio_file *file, int64_t elapsed_ns, bool slept)
{
    (void)file;
    (void)elapsed_ns;
    (void)slept;
}

void file_op_offloaded(struct aio_file *file)
{
    (void)file;
}

int buffer_pool_use(struct aio_buffer_pool *buffers, void **memory, size_t *size)
{
    (void)buffers;
    (void)memory;
    (void)size;
    return 0;
}

void buffer_pool_unuse(struct aio_buffer_pool *buffers)
{
    (void)buffers;
}

int file_op_register(struct aio_file *file)
{
    (void)file;
    return 3;
}

bool file_op_is_direct(const struct aio_file *file, const struct transfer *transfer,
                       const struct file_pass *pass)
{
    (void)file;
    (void)transfer;
    (void)pass;
    return true;
}

void file_op_end(struct aio_file *file, struct transfer *transfer, struct file_pass *pass)
{
    (void)file;
    if (transfer->result == 2 && request_of(&pass->job)->context != NULL)
        model.ended |= 1u << (intptr_t)request_of(&pass->job)->context;
    model_expect(pass->marked, "an operation ends twice");
    pass->marked = false;
}

void file_op_forget(struct aio_file *file, unsigned count)
{
    inflight_remove(&file->inflight, count);
}

/* Reads go the short way in a program of their own. */
bool file_op_is_plain(struct aio_file *file, uint8_t opcode, struct plain_file *plain)
{
    (void)file;
    *plain = (struct plain_file){.fd = 3};
    return MODEL_PLAIN && opcode == AIO_OP_READ;
}

bool file_op_enter_plain(struct aio_file *file, int64_t offset, uint64_t length)
{
    (void)file;
    (void)offset;
    (void)length;
    return false;
}

void file_op_begin_plain(struct aio_file *file, uint8_t opcode, unsigned count)
{
    (void)opcode;
    inflight_add(&file->inflight, count);
}

void file_op_leave_plain(struct aio_file *file, int64_t offset, uint64_t length)
{
    (void)file;
    (void)offset;
    (void)length;
}

void file_op_unfold(struct aio_file *file, struct transfer *transfer, struct file_pass *pass,
                    unsigned growth)
{
    const struct engine_io io = transfer->io;

    (void)file;
    (void)growth;
    *pass = (struct file_pass){.marked = true};
    transfer_init(transfer, io.opcode, io.fd, io.offset);
    transfer_set_buffer(transfer, io.buf, io.len);
}

unsigned file_op_growth(const struct aio_file *file)
{
    (void)file;
    return 0;
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
    int64_t until_ns;
};

static bool reap_may_return(void *argument)
{
    const struct reap_call *call = argument;

    return model.ring_count >= call->min || model.woken ||
           (call->bounded && (!model.strict || model_now_ns() >= call->until_ns));
}

static int model_reap(struct engine *engine, struct engine_event *events, unsigned min,
                      unsigned max, const struct timespec *timeout)
{
    struct reap_call call = {min, timeout != NULL,
                             timeout != NULL ? model_now_ns() + timeout->tv_nsec : 0};
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

static void engine_says(unsigned tag, int64_t result)
{
    model.in_kernel[tag] = false;
    model.ring[model.ring_count++] = (struct engine_event){tag, result};
    if (model.event_told)
        event_write();
}

static int model_cancel(struct engine *engine, uint32_t tag)
{
    (void)engine;
    if (!model.in_kernel[tag])
        return -EALREADY;
    if (!model.cancels)
        return -EBUSY;
    engine_says(tag, -ECANCELED);
    return 0;
}

static int model_notify(struct engine *engine, int event_fd)
{
    (void)engine;
    (void)event_fd;
    model.event_told = true;
    return 0;
}

static const struct engine_ops model_ops = {
    .name = "model",
    .submit = model_submit,
    .reap = model_reap,
    .wake = model_wake,
    .cancel = model_cancel,
    .notify = model_notify,
};

int engine_create(enum aio_engine id, const struct engine_config *config, struct engine **result)
{
    (void)id;
    model.engine.ops = &model_ops;
    model.engine.depth = config->depth;
    *result = &model.engine;
    return 0;
}

static void model_engine_destroy(struct engine *engine)
{
    (void)engine;
    model.alive = false;
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

    model.partial_left -= partial;
    engine_says(tag, partial ? 1 : (int64_t)model.lengths[tag]);
}

/* --- pieces of scenarios -------------------------------------------------------------------- */

static void make_queue(unsigned depth)
{
    static struct engine_ops ops;
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;

    ops = model_ops;
    ops.destroy = model_engine_destroy;
    ops.extending_blocks = model.extends;
    if (model.workers == 0)
        model.workers = 1;
    options.depth = depth;
    if (model.owned)
        options.flags = AIO_QUEUE_OWNED;
    model.slow_tag = DEPTH;
    model.alive = true;
    model_expect(aio_queue_create(&options, &model.queue) == 0, "create");
    model.engine.ops = &ops;
    /* Counts: nobody decides by them, and they would make every order a state of its own. */
    model_ignore(&model.queue->stats, sizeof(model.queue->stats));
}

static void submit_op(unsigned id, const struct aio_op *op)
{
    model_expect(aio_queue_submit(model.queue, op, 1, &model.ids[id]) == 1, "submit");
}

static void submit(unsigned id, uint8_t opcode, uint32_t flags, aio_complete_fn on_complete)
{
    submit_op(id, &(struct aio_op){.opcode = opcode,
                                   .flags = flags,
                                   .file = &model.file,
                                   .buf = &model,
                                   .len = 2,
                                   .deadline = model.deadline,
                                   .on_complete = on_complete});
}

/* A write that takes one of the roads. */
static void submit_write(unsigned id, int road, uint32_t flags, aio_complete_fn on_complete)
{
    submit_op(id, &(struct aio_op){.opcode = AIO_OP_WRITE,
                                   .flags = flags,
                                   .file = &model.file,
                                   .len = 2,
                                   .offset = road,
                                   .deadline = model.deadline,
                                   .on_complete = on_complete});
}

/* A chain along the roads of the model. A context is a number and one. */
static void submit_chain(unsigned first, unsigned length, uint32_t flags,
                         aio_complete_fn on_complete)
{
    struct aio_op ops[DEPTH];

    for (unsigned index = 0; index < length; index++)
        ops[index] = (struct aio_op){.opcode = AIO_OP_WRITE,
                                     .flags = flags | (index + 1 < length ? AIO_OP_LINK : 0u),
                                     .file = &model.file,
                                     .len = 2,
                                     .offset = model.chain[index],
                                     .deadline = model.deadline,
                                     .on_complete = on_complete,
                                     .context = (void *)(intptr_t)(first + index + 1)};
    model_expect(aio_queue_submit(model.queue, ops, length, &model.ids[first]) == (int)length,
                 "submit of a chain");
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

static void destroy_queue(void)
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
    destroy_queue();
}

static void destroy_after_1(void)
{
    destroy_after(1);
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
    model_expect(inflight_count(&model.file.inflight) == 0, "requests of the file are left");
    model_expect(inflight_count(&model.other_file.inflight) == 0, "requests of the other are left");
    model_expect(model.ring_count == 0, "an event was not reaped");
    model_expect(queues_hastening == 0, "somebody hastens the queues for ever");
    model_expect(pool.users == 0 && pool.first == NULL, "a job or a user of the workers is left");
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
    struct aio_op op = {.opcode = AIO_OP_READ,
                        .buf = &model,
                        .file = &model.file,
                        .len = 2,
                        .on_complete = count_callback};

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
    destroy_queue();
}

static void check_destroyed(void)
{
    check_nothing_held();
    model_expect(model.results == 1, "the waiter's result");
}

/* Close: waits for the file's requests, which nobody reaps. */
static void close_file(void)
{
    queues_hasten_begin(1);
    inflight_wait_idle(&model.file.inflight);
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
    destroy_queue();
}

/* The same beside a reap that sleeps for more than the file's. */
static void setup_close_beside_reap(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, 0, NULL);
    submit_op(1, &(struct aio_op){
                     .opcode = AIO_OP_READ, .buf = &model, .file = &model.other_file, .len = 2});
    model.slow_tag = 1;
    model.slow_needs_marks = 1;
}

/* Lets in what the file has held back. */
static void let_in(void)
{
    struct file_pass *held[4];
    unsigned count = model.file.held_count;

    memcpy(held, model.file.held, sizeof(held));
    memset(model.file.held, 0, sizeof(held));
    model.file.barred = false;
    model.file.held_count = 0;
    for (unsigned index = 0; index < count; index++) {
        held[index]->came_in = true;
        workers_submit(&held[index]->job);
    }
}

/* A truncate keeps a write out. */
static void setup_truncate(void)
{
    make_queue(DEPTH);
    model.file.barred = true;
}

static void end_truncate(void)
{
    model_step("end the truncate");
    let_in();
}

static void truncate_again(void)
{
    thread_mutex_lock(&model.exclusive);
    model.file.barred = true;
    end_truncate();
    thread_mutex_unlock(&model.exclusive);
}

static void submit_held_and_wait(void)
{
    submit_write(1, HELD_ENGINE, 0, NULL);
    wait_for(1, 2);
}

static void submit_held_failing_and_wait(void)
{
    const struct aio_op op = {
        .opcode = AIO_OP_WRITE, .file = &model.file, .len = 2, .offset = HELD_FAILS};
    int count = aio_queue_submit(model.queue, &op, 1, &model.ids[1]);

    model_expect(count == 1 || count == -EFBIG, "submit");
    if (count == 1)
        wait_for(1, -EFBIG);
    else
        model.results++;
}

static void submit_held_with_callback(void)
{
    submit_write(1, HELD_ENGINE, 0, count_callback);
}

static void submit_held_work_with_callback(void)
{
    submit_write(1, HELD_WORKER_DONE, 0, count_callback);
}

/* What a batch has: one that is held back, one that is refused, with one between them. */
static void submit_batch_and_wait(void)
{
    const struct aio_op ops[] = {
        {.opcode = AIO_OP_WRITE, .file = &model.file, .len = 2, .offset = HELD_ENGINE},
        {.opcode = AIO_OP_READ, .buf = &model, .file = &model.file, .len = 2},
        {.opcode = 99},
    };

    model_expect(aio_queue_submit(model.queue, ops, 3, model.ids) == 2, "submit");
    wait_for(1, 2);
    wait_for(0, 2);
}

/* Held back twice: the worker that finds it held again may not touch it any more. */
static void setup_truncate_two_workers(void)
{
    model.workers = 2;
    setup_truncate();
}

static void submit_held_twice(void)
{
    submit_write(1, HELD_TWICE, 0, count_callback);
}

/* The engine's submit would wait for the disk. */
static void setup_extending(void)
{
    model.extends = true;
    setup_truncate();
}

static void submit_extending_and_wait(void)
{
    submit_write(1, HELD_EXTENDS, 0, NULL);
    wait_for(1, 2);
}

/* A callback's follow-up is held back in the slot kept for it. */
static void setup_one_slot_truncate(void)
{
    make_queue(1);
    model.file.barred = true;
}

static void follow_up_held(const struct aio_completion *completion)
{
    model_expect(completion->result == 2, "a callback's result");
    model.callbacks++;
    submit_held_with_callback();
}

static void callback_chain_held(void)
{
    submit(0, AIO_OP_READ, 0, follow_up_held);
}

/* Destroying while a request is held back or a worker's. The workers have another user. */
static void setup_held(int road)
{
    make_queue(DEPTH);
    model_expect(workers_add_user() == 0, "workers");
    model.file.barred = true;
    submit_write(0, road, 0, count_callback);
}

static void setup_held_work(void)
{
    setup_held(HELD_WORKER_DONE);
}

static void setup_held_engine(void)
{
    setup_held(HELD_WORKER_ENGINE);
}

static void remove_user_after_2(void)
{
    model_wait_until("the others' end", others_done, (void *)(intptr_t)2);
    workers_remove_user();
}

/* Close while a write is held back. */
static void setup_close_held(void)
{
    make_queue(DEPTH);
    model.file.barred = true;
    submit_write(0, HELD_WORKER_ENGINE, 0, NULL);
    submit(1, AIO_OP_READ, 0, NULL);
}

/* A reap for two, of which a worker does one: the read that it sleeps for comes only later. */
static void setup_two_one_slow(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, 0, NULL);
    submit(1, AIO_OP_READ, 0, NULL);
    model.slow_tag = 1;
    model.slow_needs_marks = 1;
}

static bool write_is_known(void *unused)
{
    (void)unused;
    return model.queue->sequence == 3;
}

static void reap_two_mark_and_rest(void)
{
    model_wait_until("the write", write_is_known, NULL);
    model_expect(reap(2, 2) == 2, "reap for two");
    model.marks++;
    model_expect(reap(1, 1) == 1, "reap the rest");
}

static void reap_three_in_parts(void)
{
    while (model.results < 2)
        if (reap(1, 2) == 0)
            model_step("reap again");
    model.marks++;
    model_expect(reap(1, 1) == 1, "reap the rest");
}

static void submit_work(void)
{
    submit_write(2, WORKER_DONE, 0, NULL);
}

static void submit_work_for_engine(void)
{
    submit_write(2, WORKER_ENGINE, 0, NULL);
}

static void submit_nothing(void)
{
    submit_write(2, DONE_AT_ONCE, 0, NULL);
}

/* Waits for a worker, parked or asleep in the engine for something slow. */
static void setup_slow(void)
{
    make_queue(DEPTH);
    submit(0, AIO_OP_READ, AIO_OP_WAITED, NULL);
    model.slow_tag = 0;
    model.slow_needs_marks = 1;
}

static void submit_work_wait_and_mark(void)
{
    submit_write(1, WORKER_DONE, AIO_OP_WAITED, NULL);
    wait_for(1, 2);
    model.marks++;
}

static void submit_work_drain_and_mark(void)
{
    submit_write(0, WORKER_DONE, 0, count_callback);
    model_expect(aio_queue_drain(model.queue, NULL) == 0, "drain");
    model_expect(model.callbacks == 1, "drain returns before the callback");
}

static void submit_work_and_wait_0(void)
{
    submit_write(0, WORKER_DONE, 0, NULL);
    wait_for(0, 2);
}

static void submit_work_and_wait_1(void)
{
    submit_write(1, WORKER_DONE, 0, NULL);
    wait_for(1, 2);
}

static void submit_work_for_engine_and_wait(void)
{
    submit_write(1, WORKER_ENGINE, 0, NULL);
    wait_for(1, 2);
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

/* Users of the workers who come and go: the last one ends the threads, the next one starts them. */
static void setup_workers(void)
{
    model.workers = 2;
}

static void run_job(struct worker_job *job)
{
    model_step("run a job");
    model.ran[job - model.jobs] = true;
    memset(job, 0xdd, sizeof(*job)); /* the worker does not touch it any more */
}

static bool has_run(void *job)
{
    return model.ran[(intptr_t)job];
}

static void use_workers(void)
{
    int job = model_self();

    model_expect(workers_add_user() == 0, "workers");
    model.jobs[job].run = run_job;
    workers_submit(&model.jobs[job]);
    model_wait_until("the job", has_run, (void *)(intptr_t)job);
    workers_remove_user();
}

static void check_workers(void)
{
    model_expect(pool.users == 0 && pool.first == NULL && pool.started == 0 && pool.idle == 0 &&
                     !pool.stop,
                 "workers are left");
}

/* No room in the engine for what a worker gives it. */
static void setup_no_room_once(void)
{
    make_queue(DEPTH);
    model.refuse = -EAGAIN;
    model.refuse_left = 1;
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

/* --- chains --------------------------------------------------------------------------------- */

static void set_chain(unsigned first, int one, int two, int three)
{
    const int roads_of[] = {one, two, three};
    bool failed = false;

    memset(model.expected, 0, sizeof(model.expected));
    for (unsigned index = first; index < DEPTH; index++) {
        int road = roads_of[index - first];
        bool fails = road == WORKER_FAILS || road == HELD_FAILS;

        model.chain[index - first] = road;
        model.expected[index] = failed ? -ECANCELED : fails ? -EFBIG : 2;
        failed |= fails;
    }
}

#define SETUP_CHAIN(named, ...)                                                                    \
    static void setup_chain_##named(void)                                                          \
    {                                                                                              \
        make_queue(DEPTH);                                                                         \
        set_chain(0, __VA_ARGS__);                                                                 \
    }

SETUP_CHAIN(engine, TO_ENGINE, TO_ENGINE, TO_ENGINE)
SETUP_CHAIN(worker, WORKER_DONE, DONE_AT_ONCE, WORKER_ENGINE)
SETUP_CHAIN(at_once, DONE_AT_ONCE, WORKER_DONE, DONE_AT_ONCE)
SETUP_CHAIN(nothing, DONE_AT_ONCE, DONE_AT_ONCE, DONE_AT_ONCE)
SETUP_CHAIN(fails, WORKER_FAILS, TO_ENGINE, TO_ENGINE)
SETUP_CHAIN(fails_later, TO_ENGINE, HELD_FAILS, TO_ENGINE)

static void setup_chain_refused(void)
{
    setup_chain_engine();
    model.refuse = -EBADF;
    model.refuse_left = 1;
    model.expected[0] = -EBADF;
    model.expected[1] = model.expected[2] = -ECANCELED;
}

/* Its followers are held back as they come in. */
static void setup_chain_held(void)
{
    make_queue(DEPTH);
    set_chain(0, TO_ENGINE, HELD_ENGINE, HELD_WORKER_DONE);
    model.file.barred = true;
}

static void chain_of_two_calls_back(void)
{
    submit_chain(0, 2, 0, count_callback);
}

static bool second_started(void *unused)
{
    (void)unused;
    return model.queue->table.requests[1].state == REQUEST_RUNNING ||
           model.queue->table.requests[1].state == REQUEST_DONE;
}

/* The last of a chain need not be reaped while nobody asks for it; those before it must. */
static void chain_of_two_for_nobody(void)
{
    submit_chain(0, 2, 0, NULL);
    model_wait_until("the second's start", second_started, NULL);
    model_expect(reap(2, 2) == 2, "reap for two");
}

static void chain_of_three_waits(void)
{
    submit_chain(0, 3, AIO_OP_WAITED, NULL);
    wait_for(2, model.expected[2]);
    wait_for(0, model.expected[0]);
    wait_for(1, model.expected[1]);
}

static void chain_of_three_is_reaped(void)
{
    submit_chain(0, 3, 0, NULL);
    model_expect(reap(3, 3) == 3, "reap for three");
}

/* A holder sleeps in the engine for something slow: it is waked to start a follower. */
static void setup_slow_and_chain(int head)
{
    setup_slow();
    set_chain(1, head, TO_ENGINE, TO_ENGINE);
}

static void setup_slow_and_chain_worker(void)
{
    setup_slow_and_chain(WORKER_DONE);
}

static void setup_slow_and_chain_at_once(void)
{
    setup_slow_and_chain(DONE_AT_ONCE);
}

static void setup_slow_and_chain_fails(void)
{
    setup_slow_and_chain(WORKER_FAILS);
}

static void chain_behind_slow(void)
{
    submit_chain(1, 2, 0, NULL);
    wait_for(2, model.expected[2]);
    wait_for(1, model.expected[1]);
    model.marks++;
}

static bool two_called_back(void *unused)
{
    (void)unused;
    return model.callbacks == 2;
}

/* Nobody takes a result: the callbacks come by themselves. */
static void chain_behind_slow_calls_back(void)
{
    submit_chain(1, 2, 0, count_callback);
    model_wait_until("the callbacks", two_called_back, NULL);
    model.marks++;
}

/* Chains that need more slots than there are. */
static void setup_slots(void)
{
    make_queue(2);
    set_chain(0, DONE_AT_ONCE, DONE_AT_ONCE, DONE_AT_ONCE);
    submit(0, AIO_OP_READ, 0, count_callback);
}

static void single_calls_back(void)
{
    struct aio_op op = {.opcode = AIO_OP_WRITE,
                        .file = &model.file,
                        .len = 2,
                        .offset = DONE_AT_ONCE,
                        .on_complete = count_callback};

    model_expect(aio_queue_submit(model.queue, &op, 1, NULL) == 1, "a single");
}

static void check_four_callbacks(void)
{
    check_nothing_held();
    model_expect(model.callbacks == 4, "four callbacks");
}

static void check_five_callbacks(void)
{
    check_nothing_held();
    model_expect(model.callbacks == 5, "five callbacks");
}

/* --- cancel --------------------------------------------------------------------------------- */

static void cancel_id(unsigned id)
{
    int error = aio_queue_cancel(model.queue, model.ids[id]);

    model_expect(error == 0 || error == -EBUSY || error == -EALREADY || error == -ESTALE,
                 "cancel's answer");
    model.cancelled[id] = error == 0;
    model_saw(error == 0 ? SAW_CANCELLED : error == -EBUSY ? SAW_CANCEL_BUSY : SAW_CANCEL_LATE);
}

static void cancel_0(void)
{
    cancel_id(0);
}

static void cancel_1(void)
{
    cancel_id(1);
}

static void cancel_1_and_2(void)
{
    cancel_id(1);
    cancel_id(2);
}

static void take(unsigned id)
{
    struct aio_completion completion;

    model_expect(aio_queue_wait_result(model.queue, model.ids[id], NULL, &completion) == 0,
                 "wait for any result");
    model_expect(completion.flags == 0, "a final completion");
    model.taken[id] = (ssize_t)completion.result;
    model.results++;
}

static void take_0(void)
{
    take(0);
}

static void take_three(void)
{
    take(0);
    take(2);
    take(1);
}

static void check_cancelled_0(void)
{
    check_nothing_held();
    model_expect(model.taken[0] == (model.cancelled[0] ? -ECANCELED : 2),
                 "cancelled, if and only if cancel says so");
}

static void check_cancelled_chain(void)
{
    check_nothing_held();
    model_expect(model.taken[0] == 2, "the first was not cancelled");
    model_expect(model.taken[1] == (model.cancelled[1] ? -ECANCELED : 2),
                 "cancelled, if and only if cancel says so");
    model_expect(model.taken[2] == (model.cancelled[1] || model.cancelled[2] ? -ECANCELED : 2),
                 "cancelled, if one before it was");
}

static void setup_cancel_chain(void)
{
    make_queue(DEPTH);
    set_chain(0, TO_ENGINE, HELD_ENGINE, DONE_AT_ONCE);
    submit_chain(0, 3, AIO_OP_WAITED, NULL);
}

static void setup_cancel_chain_worker(void)
{
    make_queue(DEPTH);
    model.cancels = true;
    set_chain(0, WORKER_DONE, WORKER_ENGINE, TO_ENGINE);
    submit_chain(0, 3, AIO_OP_WAITED, NULL);
}

/* Nobody waits: the others are slow. */
static void setup_cancel_sleeper(void)
{
    make_queue(DEPTH);
    set_chain(0, TO_ENGINE, TO_ENGINE, TO_ENGINE);
    submit_chain(0, 2, 0, NULL);
    model.slow_tag = 0;
    model.slow_needs_marks = 1;
}

static void reap_cancelled_and_mark(void)
{
    struct aio_completion completion;

    model_expect(aio_queue_reap(model.queue, &completion, 1, 1, NULL) == 1 &&
                     completion.result == -ECANCELED,
                 "the cancelled one is reaped first");
    model.results++;
    model.marks++;
    reap(1, 1);
}

/* A reap sleeps for two events, when one of three is cancelled: from then on one will do. */
static void setup_cancel_beside_two(void)
{
    setup_two_one_slow();
    submit_write(2, WORKER_DONE, 0, NULL);
}

static void reap_two_then_one(void)
{
    reap(2, 2);
    model.marks++;
    reap(1, 1);
}

static void cancel_2(void)
{
    cancel_id(2);
}

static void setup_cancel_held(void)
{
    make_queue(DEPTH);
    model.file.barred = true;
    submit_write(0, HELD_WORKER_ENGINE, 0, NULL);
}

static void setup_cancel_held_twice(void)
{
    make_queue(DEPTH);
    model.file.barred = true;
    submit_write(0, HELD_TWICE, 0, NULL);
}

static void setup_cancel_work(void)
{
    make_queue(DEPTH);
    submit_write(0, WORKER_DONE, 0, NULL);
}

static void setup_cancel_engine(void)
{
    make_queue(DEPTH);
    model.cancels = true;
    submit_write(0, WORKER_ENGINE, 0, NULL);
}

/* In the list of those that the engine had no room for. */
static void setup_cancel_ready(void)
{
    make_queue(DEPTH);
    model.refuse = -EAGAIN;
    model.refuse_left = 1;
    submit_write(0, TO_ENGINE, 0, NULL);
}

/* Who wants a slot waits for one whose result somebody is about to take. */
static bool claimed_or_taken(void *unused)
{
    (void)unused;
    return model.queue->table.requests[0].claimed || model.results > 0;
}

static void setup_one_slot_in_use(void)
{
    make_queue(1);
    submit_write(0, WORKER_DONE, AIO_OP_WAITED, NULL);
}

static void submit_when_claimed(void)
{
    model_wait_until("the claim", claimed_or_taken, NULL);
    submit_and_wait_1();
}

/* --- deadlines ------------------------------------------------------------------------------ */

#define DEADLINE 5

/* The time leaps when it is over: once, so not before. */
static bool a_deadline_is_set(void)
{
    return model.queue->table.heap_count > 0;
}

/* What has its result has no notice before it. */
static void notices_are_right(void)
{
    if (!model.alive || model.queue->lock.owner != 0)
        return;
    for (unsigned index = 0; index < model.queue->table.depth; index++) {
        const struct request *request = &model.queue->table.requests[index];

        model_expect(request->notice == NOTICE_NONE || request_state_inflight(request->state),
                     "a notice of what has its result");
    }
}

static void setup_deadline(void)
{
    make_queue(DEPTH);
    model.strict = true;
    model.deadline = DEADLINE;
}

/* It ends only once its notice was given. */
static void setup_deadline_slow(void)
{
    setup_deadline();
    model.slow_tag = 0;
    model.slow_needs_marks = 1;
}

static void setup_deadline_chain(void)
{
    setup_deadline_slow();
    set_chain(0, TO_ENGINE, TO_ENGINE, TO_ENGINE);
}

static void see(unsigned id, const struct aio_completion *completion)
{
    bool notice = (completion->flags & AIO_COMPLETION_MORE) != 0;

    model_expect(completion->id == model.ids[id], "a completion's id");
    if (notice) {
        model_expect(completion->result == -ETIMEDOUT && !model.noticed[id], "one notice");
        model_expect(model_now_ns() > DEADLINE, "a notice before its time");
        model.noticed[id] = true;
        model.marks++;
        model_saw(SAW_NOTICE);
        return;
    }
    model_expect(completion->result == 2 || completion->result == -ECANCELED, "a final result");
    model.taken[id] = (ssize_t)completion->result;
    if (!model.noticed[id])
        model_saw(SAW_NO_NOTICE);
    model.results++;
}

static void wait_to_the_end(unsigned id)
{
    while (model.taken[id] == 0) {
        struct aio_completion completion;

        model_expect(aio_queue_wait_result(model.queue, model.ids[id], NULL, &completion) == 0,
                     "wait");
        see(id, &completion);
    }
}

static void late_waits(void)
{
    submit(0, AIO_OP_READ, AIO_OP_WAITED, NULL);
    wait_to_the_end(0);
}

static void late_is_claimed(void)
{
    submit(0, AIO_OP_READ, 0, NULL);
    wait_to_the_end(0);
}

static void late_is_reaped(void)
{
    submit(0, AIO_OP_READ, 0, NULL);
    while (model.results == 0) {
        struct aio_completion completion;

        if (aio_queue_reap(model.queue, &completion, 1, 1, NULL) == 1)
            see(0, &completion);
        else
            model_expect(false, "reap for one");
    }
}

static void late_callback(const struct aio_completion *completion)
{
    model_step("inside a callback");
    see(0, completion);
}

static void late_calls_back(void)
{
    submit(0, AIO_OP_READ, 0, late_callback);
}

static void late_calls_back_and_destroy(void)
{
    submit(0, AIO_OP_READ, 0, late_callback);
    destroy_queue();
}

static void late_and_destroy(void)
{
    submit(0, AIO_OP_READ, 0, NULL);
    model_expect(aio_queue_destroy(model.queue, AIO_QUEUE_DISCARD) == 0, "destroy");
}

static void late_in_a_chain(void)
{
    submit_chain(0, 2, AIO_OP_WAITED, NULL);
    wait_to_the_end(1);
    wait_to_the_end(0);
}

/* A reap sleeps for two, when one with a deadline comes that is slow. */
static void setup_deadline_reap(void)
{
    setup_deadline();
    model.deadline = 0;
    submit(1, AIO_OP_READ, 0, NULL);
    submit(2, AIO_OP_READ, 0, NULL);
    model.deadline = DEADLINE;
    model.slow_tag = 2;
    model.slow_needs_marks = 1;
}

static void reap_two_plain(void)
{
    struct aio_completion completions[2];
    unsigned finals = 0;

    while (finals < 2) {
        int count = aio_queue_reap(model.queue, completions, 2, 2, NULL);

        model_expect(count > 0, "reap for two");
        for (int index = 0; index < count; index++)
            finals += completions[index].flags == 0;
    }
    model.results += finals;
}

static void submit_late_to_mark(void)
{
    submit(0, AIO_OP_READ, AIO_OP_WAITED, NULL);
    wait_to_the_end(0);
    model.marks++;
}

static void setup_deadline_cancel(void)
{
    setup_deadline_slow();
    model.cancels = true;
    submit(0, AIO_OP_READ, AIO_OP_WAITED, NULL);
}

static void end_0(void)
{
    wait_to_the_end(0);
}

static void cancel_0_and_mark(void)
{
    cancel_id(0);
    model.marks++;
}

static void check_late(void)
{
    check_nothing_held();
    model_expect(model.results == 1, "one result");
}

/* --- the eventfd ---------------------------------------------------------------------------- */

static void event_is_right(void)
{
    if (!model.event_made || !model_all_rest() || model.queue->lock.owner != 0)
        return;
    model_expect(model.event == (queue_results(model.queue) > 0),
                 "the eventfd is readable if and only if results wait");
}

static void setup_event(void)
{
    make_queue(DEPTH);
    model_expect(aio_queue_eventfd(model.queue) == EVENT_FD, "the eventfd");
}

static void setup_event_late(void)
{
    setup_event();
    model.strict = true;
    model.deadline = DEADLINE;
    model.slow_tag = 0;
    model.slow_needs_marks = 1;
}

static bool event_is_up(void *unused)
{
    (void)unused;
    return model.event;
}

static void take_two_by_event(void)
{
    while (model.results < 2) {
        model_wait_until("the eventfd", event_is_up, NULL);
        model_expect(reap(0, 1) == 1, "the eventfd is readable for nothing");
    }
    model_expect(!model.event, "the eventfd stays readable");
}

static void take_late_by_event(void)
{
    while (model.results < 1) {
        struct aio_completion completion;

        model_wait_until("the eventfd", event_is_up, NULL);
        model_expect(aio_queue_reap(model.queue, &completion, 0, 1, NULL) == 1,
                     "the eventfd is readable for nothing");
        see(0, &completion);
    }
}

static void submit_read_and_work(void)
{
    submit(0, AIO_OP_READ, 0, NULL);
    submit_write(1, WORKER_DONE, 0, NULL);
}

static void submit_chain_of_two(void)
{
    submit_chain(0, 2, 0, NULL);
}

static void setup_event_chain(void)
{
    setup_event();
    set_chain(0, WORKER_DONE, TO_ENGINE, TO_ENGINE);
}

static void submit_late(void)
{
    submit(0, AIO_OP_READ, 0, NULL);
}

static bool event_or_two(void *unused)
{
    (void)unused;
    return model.event || model.results == 2;
}

/* Made while results come; and one that a wait takes away from it. */
static void event_beside_claim(void)
{
    model_expect(aio_queue_eventfd(model.queue) == EVENT_FD, "the eventfd");
    while (model.results < 2) {
        model_wait_until("the eventfd or the claim", event_or_two, NULL);
        if (model.results < 2)
            reap(0, 2);
    }
}

/* --- owned queues --------------------------------------------------------------------------- */

static void setup_owned(void)
{
    model.owned = true;
    make_queue(DEPTH);
    model.strict = true;
}

#define SETUP_OWNED(named, ...)                                                                    \
    static void setup_owned_##named(void)                                                          \
    {                                                                                              \
        setup_owned();                                                                             \
        set_chain(0, __VA_ARGS__);                                                                 \
    }

SETUP_OWNED(work, WORKER_DONE, WORKER_ENGINE, TO_ENGINE)
SETUP_OWNED(chain, WORKER_DONE, WORKER_ENGINE, WORKER_FAILS)
SETUP_OWNED(at_once, DONE_AT_ONCE, DONE_AT_ONCE, WORKER_DONE)

static void setup_owned_held(void)
{
    setup_owned();
    set_chain(0, HELD_WORKER_ENGINE, HELD_ENGINE, TO_ENGINE);
    model.file.barred = true;
}

static void setup_owned_held_twice(void)
{
    setup_owned();
    model.workers = 2;
    set_chain(0, HELD_TWICE, TO_ENGINE, TO_ENGINE);
    model.file.barred = true;
}

static void setup_owned_event(void)
{
    setup_owned_work();
    model_expect(aio_queue_eventfd(model.queue) == EVENT_FD, "the eventfd");
}

static void owner_submits(void)
{
    for (unsigned index = 0; index < 2; index++)
        submit_write(index, model.chain[index], 0, NULL);
}

static void owner_reaps(void)
{
    owner_submits();
    while (model.results < 2)
        model_expect(reap(1, 2) > 0, "reap for one");
    destroy_queue();
}

static void owner_reaps_both(void)
{
    owner_submits();
    model_expect(reap(2, 2) == 2, "reap for two");
    destroy_queue();
}

static void owner_waits(void)
{
    owner_submits();
    wait_for(1, 2);
    wait_for(0, 2);
    destroy_queue();
}

static void owner_calls_back(void)
{
    submit_write(0, model.chain[0], 0, count_callback);
    submit_write(1, model.chain[1], 0, count_callback);
    model_expect(aio_queue_drain(model.queue, NULL) == 0, "drain");
    model_expect(model.callbacks == 2, "drain returns before the callbacks");
    destroy_queue();
}

static void owner_destroys(void)
{
    submit_write(0, model.chain[0], 0, count_callback);
    submit_write(1, model.chain[1], 0, count_callback);
    destroy_queue();
}

static void owner_cancels(void)
{
    owner_submits();
    cancel_id(0);
    take(1);
    take(0);
    destroy_queue();
}

static void owner_by_event(void)
{
    owner_submits();
    while (model.results < 2) {
        model_wait_until("the eventfd", event_is_up, NULL);
        reap(0, 1);
    }
    destroy_queue();
}

static void owner_chains(void)
{
    submit_chain(0, 3, 0, NULL);
    wait_for(2, model.expected[2]);
    model_expect(reap(2, 2) == 2, "reap for two");
    model.results -= 2;
    destroy_queue();
}

static void owner_chains_by_event(void)
{
    model_expect(aio_queue_eventfd(model.queue) == EVENT_FD, "the eventfd");
    submit_chain(0, 3, 0, NULL);
    while (model.results < 3) {
        model_wait_until("the eventfd", event_is_up, NULL);
        reap(0, 3);
    }
    destroy_queue();
}

static void owner_is_late(void)
{
    model.deadline = DEADLINE;
    model.slow_tag = 0;
    model.slow_needs_marks = 1;
    late_is_reaped();
    destroy_queue();
}

static void owner_is_late_by_callback(void)
{
    model.deadline = DEADLINE;
    model.slow_tag = 0;
    model.slow_needs_marks = 1;
    submit(0, AIO_OP_READ, 0, late_callback);
    model_expect(aio_queue_drain(model.queue, NULL) == 0, "drain");
    destroy_queue();
}

static void check_one_result(void)
{
    check_nothing_held();
    model_expect(model.results == 1, "one result");
}

/* --- destroy -------------------------------------------------------------------------------- */

static void chain_and_destroy(void)
{
    submit_chain(0, 3, 0, count_callback);
    destroy_queue();
}

static void check_three_callbacks(void)
{
    check_nothing_held();
    model_expect(model.callbacks == 3, "three callbacks");
}

static void event_and_destroy(void)
{
    submit_read_and_work();
    model_expect(aio_queue_destroy(model.queue, AIO_QUEUE_DISCARD) == 0, "destroy");
}

#define SCENARIO(named, sets_up, checks, ...)                                                      \
    {                                                                                              \
        .name = named, .setup = sets_up, .bodies = {__VA_ARGS__}, .check = checks,                 \
        .environment = {                                                                           \
            2 * DEPTH,                                                                             \
            device_possible,                                                                       \
            device_apply                                                                           \
        }                                                                                          \
    }

/* Waits with a deadline may time out. */
#define TIMED_SCENARIO(named, sets_up, checks, ...)                                                \
    {                                                                                              \
        .name = named, .setup = sets_up, .bodies = {__VA_ARGS__}, .check = checks,                 \
        .time_passes = true, .environment = {                                                      \
            2 * DEPTH,                                                                             \
            device_possible,                                                                       \
            device_apply                                                                           \
        }                                                                                          \
    }

/* Something is held back and resumed, at all times. */
#define HELD_SCENARIO(named, sees, sets_up, checks, ...)                                           \
    {                                                                                              \
        .name = named, .setup = sets_up, .bodies = {__VA_ARGS__}, .check = checks,                 \
        .must_see = sees, .environment = {                                                         \
            2 * DEPTH,                                                                             \
            device_possible,                                                                       \
            device_apply                                                                           \
        }                                                                                          \
    }

/* Something is seen, in all states, when the time leaps. */
#define LATE_SCENARIO(named, sees, sets_up, checks, ...)                                           \
    {                                                                                              \
        .name = named, .setup = sets_up, .bodies = {__VA_ARGS__}, .check = checks,                 \
        .must_see = sees, .always = notices_are_right, .later = 1 + DEADLINE,                      \
        .leaps = a_deadline_is_set, .environment = {                                               \
            2 * DEPTH,                                                                             \
            device_possible,                                                                       \
            device_apply                                                                           \
        }                                                                                          \
    }

/* The eventfd is right at all times. */
#define EVENT_SCENARIO(named, leap, sets_up, checks, ...)                                          \
    {                                                                                              \
        .name = named, .setup = sets_up, .bodies = {__VA_ARGS__}, .check = checks,                 \
        .always = event_is_right, .later = leap, .leaps = a_deadline_is_set, .environment = {      \
            2 * DEPTH,                                                                             \
            device_possible,                                                                       \
            device_apply                                                                           \
        }                                                                                          \
    }

static const struct model_scenario scenarios[] = {
    SCENARIO("two threads submit and wait", setup_plain, check_two_results, submit_and_wait_0,
             submit_and_wait_1, destroy_after_2),
    SCENARIO("reap two, wait for one of them", setup_two_in_flight, check_two_results, reap_two,
             wait_for_1, destroy_after_2),
    SCENARIO("two callbacks, one slot", setup_one_slot, check_two_callbacks, callback_only_0,
             callback_only_1, destroy_after_2),
    SCENARIO("a callback submits into its slot", setup_one_slot, check_two_callbacks,
             callback_chain, callback_only_1, destroy_after_2),
    SCENARIO("the engine refuses while a holder sleeps", setup_refusal, check_two_results,
             submit_refused, reap_one_mark, wait_for_slow, destroy_after_3),
    SCENARIO("a waiter comes while a reap sleeps for two", setup_claim, check_three_results,
             reap_two, wait_for_0_mark, destroy_after_2),
    SCENARIO("a reap's last result is claimed", setup_taken_away, check_destroyed,
             reap_until_claimed, claim_0, destroy_after_2),
    SCENARIO("a reap after a claim", setup_taken_away, check_destroyed, reap_after_claim, claim_0,
             destroy_after_2),
    SCENARIO("destroy while a thread waits", setup_one_in_flight, check_destroyed, claim_0,
             destroy_under_waiter),
    SCENARIO("close waits for what nobody reaps", setup_close, check_two_results, close_file,
             reap_rest),
    SCENARIO("close beside a reap for two", setup_close_beside_reap, check_two_results, close_file,
             reap_two, destroy_after_2),
    SCENARIO("a slot comes free while its waiter reaps", setup_full, check_three_results,
             submit_third_mark, wait_for_0_then_1, destroy_after_2),
    SCENARIO("a callback returns while a drain reaps", setup_callback_and_slow,
             check_callback_and_result, drain_and_mark, submit_slow_and_wait, destroy_after_2),
    HELD_SCENARIO("a held write", SAW_ALL, setup_truncate, check_destroyed, end_truncate,
                  submit_held_and_wait, destroy_after_2),
    HELD_SCENARIO("a held write that fails", SAW_RESUMED_EARLY | SAW_RESUMED_LATE, setup_truncate,
                  check_destroyed, end_truncate, submit_held_failing_and_wait, destroy_after_2),
    HELD_SCENARIO("a held write that extends", SAW_ALL, setup_extending, check_destroyed,
                  end_truncate, submit_extending_and_wait, destroy_after_2),
    HELD_SCENARIO("a held write for a worker", SAW_ALL, setup_truncate, check_one_callback,
                  end_truncate, submit_held_work_with_callback, destroy_after_2),
    HELD_SCENARIO("a callback's write is held", SAW_ALL, setup_one_slot_truncate,
                  check_two_callbacks, callback_chain_held, end_truncate, destroy_after_2),
    HELD_SCENARIO("destroy, a write is held or a worker's", SAW_RESUMED_LATE, setup_held_work,
                  check_one_callback, end_truncate, destroy_queue, remove_user_after_2),
    HELD_SCENARIO("the same, it goes to the engine", SAW_RESUMED_LATE, setup_held_engine,
                  check_one_callback, end_truncate, destroy_queue, remove_user_after_2),
    HELD_SCENARIO("close waits for a held write", SAW_RESUMED_LATE, setup_close_held,
                  check_two_results, close_file, reap_rest, end_truncate),
    SCENARIO("a worker beside a reap for two", setup_two_one_slow, check_three_results,
             reap_two_mark_and_rest, submit_work, destroy_after_2),
    SCENARIO("a worker beside reaps", setup_two_one_slow, check_three_results, reap_three_in_parts,
             submit_work_for_engine, destroy_after_2),
    SCENARIO("an operation that is done at once", setup_two_one_slow, check_three_results,
             reap_two_mark_and_rest, submit_nothing, destroy_after_2),
    SCENARIO("a worker beside one who waits", setup_slow, check_two_results, wait_for_slow,
             submit_work_wait_and_mark, destroy_after_2),
    SCENARIO("workers whose users come and go", setup_workers, check_workers, use_workers,
             use_workers),
    TIMED_SCENARIO("no room in the engine for a worker", setup_no_room_once, check_destroyed,
                   submit_work_for_engine_and_wait, destroy_after_1),
    /* Chains. */
    SCENARIO("a chain of two", setup_chain_engine, check_two_callbacks, chain_of_two_calls_back,
             destroy_after_1),
    SCENARIO("a chain that nobody waits for", setup_chain_engine, check_two_results,
             chain_of_two_for_nobody, destroy_after_1),
    SCENARIO("a chain of three", setup_chain_engine, check_three_results, chain_of_three_waits,
             destroy_after_1),
    SCENARIO("a chain of three is reaped", setup_chain_engine, check_three_results,
             chain_of_three_is_reaped, destroy_after_1),
    SCENARIO("a chain whose first is a worker's", setup_chain_worker, check_three_results,
             chain_of_three_waits, destroy_after_1),
    SCENARIO("a chain whose first is done at once", setup_chain_at_once, check_three_results,
             chain_of_three_waits, destroy_after_1),
    SCENARIO("a chain of nothing", setup_chain_nothing, check_three_results, chain_of_three_waits,
             destroy_after_1),
    SCENARIO("a chain whose first fails", setup_chain_fails, check_three_results,
             chain_of_three_waits, destroy_after_1),
    SCENARIO("a chain whose second fails", setup_chain_fails_later, check_three_results,
             chain_of_three_waits, destroy_after_1),
    SCENARIO("a chain that the engine refuses", setup_chain_refused, check_three_results,
             chain_of_three_waits, destroy_after_1),
    SCENARIO("a chain beside one who sleeps", setup_slow_and_chain_worker, check_three_results,
             wait_for_slow, chain_behind_slow, destroy_after_2),
    SCENARIO("the same, it is done at once", setup_slow_and_chain_at_once, check_three_results,
             wait_for_slow, chain_behind_slow, destroy_after_2),
    SCENARIO("the same, it fails", setup_slow_and_chain_fails, check_three_results, wait_for_slow,
             chain_behind_slow, destroy_after_2),
    SCENARIO("the same, with callbacks", setup_slow_and_chain_at_once, check_two_callbacks,
             wait_for_slow, chain_behind_slow_calls_back, destroy_after_2),
    SCENARIO("destroy, a chain is on its way", setup_chain_worker, check_three_callbacks,
             chain_and_destroy),
    SCENARIO("a chain and a single wait for slots", setup_slots, check_four_callbacks,
             chain_of_two_calls_back, single_calls_back, destroy_after_2),
    /* Cancels. */
    HELD_SCENARIO("cancel the second of a chain", SAW_CANCEL_ALL, setup_cancel_chain,
                  check_cancelled_chain, take_three, cancel_1, destroy_after_2),
    HELD_SCENARIO("cancel the second and the third", SAW_CANCEL_ALL, setup_cancel_chain,
                  check_cancelled_chain, take_three, cancel_1_and_2, destroy_after_2),
    HELD_SCENARIO("cancel a worker's of a chain", SAW_CANCEL_ALL, setup_cancel_chain_worker,
                  check_cancelled_chain, take_three, cancel_1, destroy_after_2),
    HELD_SCENARIO("cancel beside one who sleeps", SAW_CANCELLED, setup_cancel_sleeper,
                  check_two_results, reap_cancelled_and_mark, cancel_1, destroy_after_2),
    HELD_SCENARIO("cancel beside a reap for two", SAW_CANCELLED, setup_cancel_beside_two,
                  check_three_results, reap_two_then_one, cancel_2, destroy_after_2),
    SCENARIO("a slot whose result is being taken", setup_one_slot_in_use, check_two_results,
             wait_for_slow, submit_when_claimed, destroy_after_2),
    HELD_SCENARIO("cancel what is held", SAW_CANCEL_ALL, setup_cancel_held, check_cancelled_0,
                  end_truncate, take_0, cancel_0, destroy_after_3),
    HELD_SCENARIO("cancel what waits for a worker", SAW_CANCEL_ALL, setup_cancel_work,
                  check_cancelled_0, take_0, cancel_0, destroy_after_2),
    HELD_SCENARIO("cancel what is in the engine", SAW_CANCEL_ALL, setup_cancel_engine,
                  check_cancelled_0, take_0, cancel_0, destroy_after_2),
    HELD_SCENARIO("cancel what had no room", SAW_CANCEL_ALL, setup_cancel_ready, check_cancelled_0,
                  take_0, cancel_0, destroy_after_2),
    /* Deadlines. */
    LATE_SCENARIO("late: a wait", SAW_NOTICE | SAW_NO_NOTICE, setup_deadline, check_late,
                  late_waits, destroy_after_1),
    LATE_SCENARIO("late: a claim", SAW_NOTICE | SAW_NO_NOTICE, setup_deadline, check_late,
                  late_is_claimed, destroy_after_1),
    LATE_SCENARIO("late: a reap", SAW_NOTICE | SAW_NO_NOTICE, setup_deadline, check_late,
                  late_is_reaped, destroy_after_1),
    LATE_SCENARIO("late: a callback", SAW_NOTICE | SAW_NO_NOTICE, setup_deadline, check_late,
                  late_calls_back, destroy_after_1),
    LATE_SCENARIO("late: a wait that needs its notice", SAW_NOTICE, setup_deadline_slow, check_late,
                  late_waits, destroy_after_1),
    LATE_SCENARIO("late: a claim that needs it", SAW_NOTICE, setup_deadline_slow, check_late,
                  late_is_claimed, destroy_after_1),
    LATE_SCENARIO("late: a reap that needs it", SAW_NOTICE, setup_deadline_slow, check_late,
                  late_is_reaped, destroy_after_1),
    LATE_SCENARIO("late: a callback that needs it", SAW_NOTICE, setup_deadline_slow, check_late,
                  late_calls_back, destroy_after_1),
    LATE_SCENARIO("late: destroy, callbacks need it", SAW_NOTICE, setup_deadline_slow, check_late,
                  late_calls_back_and_destroy),
    LATE_SCENARIO("late: destroy", 0, setup_deadline, check_nothing_held, late_and_destroy),
    LATE_SCENARIO("late: a chain", SAW_NOTICE, setup_deadline_chain, check_two_results,
                  late_in_a_chain, destroy_after_1),
    LATE_SCENARIO("late: beside a reap for two", SAW_NOTICE, setup_deadline_reap,
                  check_three_results, reap_two_plain, submit_late_to_mark, destroy_after_2),
    LATE_SCENARIO("late: a cancel", SAW_NOTICE | SAW_NO_NOTICE, setup_deadline_cancel, check_late,
                  end_0, cancel_0_and_mark, destroy_after_2),
    /* The eventfd. */
    EVENT_SCENARIO("eventfd", 0, setup_event, check_two_results, submit_read_and_work,
                   take_two_by_event, destroy_after_2),
    EVENT_SCENARIO("eventfd: a chain", 0, setup_event_chain, check_two_results, submit_chain_of_two,
                   take_two_by_event, destroy_after_2),
    EVENT_SCENARIO("eventfd: a notice", 1 + DEADLINE, setup_event_late, check_late, submit_late,
                   take_late_by_event, destroy_after_2),
    EVENT_SCENARIO("eventfd: destroy", 0, setup_event, check_nothing_held, event_and_destroy),
    EVENT_SCENARIO("eventfd: beside a claim", 0, setup_two_in_flight, check_two_results, wait_for_1,
                   event_beside_claim, destroy_after_2),
    /* Owned queues. */
    SCENARIO("owned: reap for one", setup_owned_work, check_two_results, owner_reaps),
    SCENARIO("owned: reap for two", setup_owned_work, check_two_results, owner_reaps_both),
    SCENARIO("owned: waits", setup_owned_work, check_two_results, owner_waits),
    SCENARIO("owned: callbacks", setup_owned_work, check_two_callbacks, owner_calls_back),
    SCENARIO("owned: destroy", setup_owned_work, check_two_callbacks, owner_destroys),
    SCENARIO("owned: a cancel", setup_owned_work, check_cancelled_0, owner_cancels),
    SCENARIO("owned: held", setup_owned_held, check_two_results, owner_reaps_both, end_truncate),
    SCENARIO("owned: held, callbacks", setup_owned_held, check_two_callbacks, owner_destroys,
             end_truncate),
    SCENARIO("owned: held again", setup_owned_held_twice, check_two_results, owner_reaps_both,
             end_truncate, truncate_again),
    SCENARIO("owned: a cancel of what is held", setup_owned_held, check_cancelled_0, owner_cancels,
             end_truncate),
    SCENARIO("owned: by the eventfd", setup_owned_event, check_two_results, owner_by_event),
    SCENARIO("owned: a chain", setup_owned_chain, check_one_result, owner_chains),
    SCENARIO("owned: a chain, done at once", setup_owned_at_once, check_one_result, owner_chains),
    SCENARIO("owned: a chain by the eventfd", setup_owned_chain, check_three_results,
             owner_chains_by_event),
    LATE_SCENARIO("owned: late", SAW_NOTICE, setup_owned, check_late, owner_is_late),
    LATE_SCENARIO("owned: late, a callback", SAW_NOTICE, setup_owned, check_late,
                  owner_is_late_by_callback),
    /* The large ones. */
    SCENARIO("a transfer in two parts", setup_partial, check_two_results, submit_and_wait_0,
             submit_and_wait_1, destroy_after_2),
    SCENARIO("callback and drain beside a waiter", setup_partial, check_callback_and_result,
             callback_0, submit_and_wait_1, destroy_after_2),
    TIMED_SCENARIO("no room in the engine", setup_no_room, check_two_results, write_and_wait,
                   submit_and_wait_1, destroy_after_2),
    TIMED_SCENARIO("waits whose time passes", setup_plain, check_two_results, wait_briefly,
                   submit_and_wait_1, destroy_after_2),
    HELD_SCENARIO("a held write in a batch", SAW_ALL, setup_truncate, check_two_results,
                  end_truncate, submit_batch_and_wait, destroy_after_2),
    HELD_SCENARIO("a held write beside two truncates", SAW_ALL, setup_plain, check_one_callback,
                  truncate_again, truncate_again, submit_held_with_callback, destroy_after_3),
    HELD_SCENARIO("a held write that is held again", SAW_ALL, setup_truncate_two_workers,
                  check_one_callback, end_truncate, truncate_again, submit_held_twice,
                  destroy_after_3),
    SCENARIO("a worker's callback and a drain", setup_plain, check_callback_and_result,
             submit_work_drain_and_mark, submit_and_wait_1, destroy_after_2),
    SCENARIO("a worker gives it to the engine", setup_plain, check_two_results, submit_and_wait_0,
             submit_work_for_engine_and_wait, destroy_after_2),
    SCENARIO("two chains wait for slots", setup_slots, check_five_callbacks,
             chain_of_two_calls_back, chain_of_two_calls_back, destroy_after_2),
    HELD_SCENARIO("a chain that is held as it comes", SAW_RESUMED_EARLY | SAW_RESUMED_LATE,
                  setup_chain_held, check_three_results, chain_of_three_waits, end_truncate,
                  destroy_after_2),
    HELD_SCENARIO("cancel what is held again", SAW_CANCEL_ALL, setup_cancel_held_twice,
                  check_cancelled_0, end_truncate, take_0, cancel_0, destroy_after_3),
    SCENARIO("two that are the first to need workers", setup_plain, check_two_results,
             submit_work_and_wait_0, submit_work_and_wait_1, destroy_after_2),
};

int main(int argc, char **argv)
{
    model_add_variable(&model, sizeof(model));
    model_add_variable(&all_queues, sizeof(all_queues));
    model_add_variable(&all_queues_lock, sizeof(all_queues_lock));
    model_add_variable(&queues_hastening, sizeof(queues_hastening));
    model_add_variable(&pool, sizeof(pool));
    model_add_variable(&users_lock, sizeof(users_lock));
    model_add_variable(&owned_queues, sizeof(owned_queues));
    model_add_variable(&planted_turn, sizeof(planted_turn));
    model_add_thread_variable(&callback_current, sizeof(callback_current));
    return model_main(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), argc, argv);
}
