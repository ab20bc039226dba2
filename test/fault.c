/* SPDX-License-Identifier: MIT */
/*
 * fault.c - an engine around another one.
 *
 * Completions go through a list of the decorator's own, so that they can be kept back, turned
 * round and invented. A reap that waits does so in the inner engine; who puts something on the
 * list meanwhile wakes it there.
 */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file_state.h"
#include "process.h"
#include "queue_state.h"
#include "support.h"

#define RULES_MAX 16
#define SEEN_MAX 64
#define BATCH 64

/* A tag's step in flight. */
struct step {
    bool busy;
    uint8_t opcode;
    uint64_t number;     /* in the order of submission */
    struct engine_io io; /* what the inner engine got, where that is not the caller's */
    struct iovec *iov;   /* its vectors, cut; freed with the event */
};

struct event_list {
    struct engine_event *events;
    unsigned count;
};

struct fault {
    struct engine engine;
    struct engine_ops ops; /* with the inner engine's id */
    struct engine *inner;
    uint32_t depth;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct fault_rule rules[RULES_MAX];
    uint32_t matched[RULES_MAX]; /* steps that each rule has seen */
    unsigned rule_count;
    uint64_t chance_state;
    unsigned chance_one_in;
    unsigned chance_unit;

    int refusal;
    uint32_t refusals;
    unsigned take_limit;
    unsigned linger_ms;
    uint32_t submit_interrupts;
    uint32_t reap_interrupts;
    uint32_t wake_refusals;

    uint32_t hold_opcodes;
    uint32_t stall_opcodes;
    unsigned stalled;
    bool reverse;
    bool woken;
    bool in_reap;
    unsigned sleeping_for; /* min of the inner reap that waits; 0: none */
    unsigned asked_for;    /* min of the reap around it */
    struct event_list ready;
    struct event_list held;
    uint64_t last_number;
    uint32_t inflight;
    struct step *steps;

    struct fault_seen seen[SEEN_MAX];
    unsigned step_count;
    unsigned submit_count;
    unsigned reap_count;
    unsigned wake_count;
};

static struct fault *fault_of(struct engine *engine)
{
    return (struct fault *)engine;
}

static void fault_lock(struct fault *fault)
{
    pthread_mutex_lock(&fault->lock);
}

static void fault_unlock(struct fault *fault)
{
    pthread_mutex_unlock(&fault->lock);
}

static void demand(bool kept, const char *what)
{
    if (kept)
        return;
    fprintf(stderr, "fault: the engine's caller broke its word: %s\n", what);
    abort();
}

/* --- what is to happen to a step ------------------------------------------------------------ */

struct fate {
    enum fault_kind kind;
    bool plain; /* nothing at all */
    int64_t value;
};

static bool set_has(uint32_t opcodes, uint8_t opcode)
{
    return opcode < 32 && (opcodes & FAULT_OF(opcode)) != 0;
}

static bool rule_fits(const struct fault_rule *rule, uint8_t opcode)
{
    return rule->opcodes == 0 || set_has(rule->opcodes, opcode);
}

static bool is_vector(uint8_t opcode)
{
    return opcode == AIO_OP_READV || opcode == AIO_OP_WRITEV;
}

static bool moves_bytes(uint8_t opcode)
{
    return set_has(FAULT_READS | FAULT_WRITES, opcode);
}

static uint64_t bytes_of(const struct engine_io *io)
{
    uint64_t bytes = 0;

    if (!moves_bytes(io->opcode))
        return 0;
    if (!is_vector(io->opcode))
        return io->len;
    for (uint64_t index = 0; index < io->len; index++)
        bytes += io->iov[index].iov_len;
    return bytes;
}

static bool is_direct(const struct engine_io *io)
{
    int flags = fcntl(io->fd, F_GETFL);

    return flags >= 0 && (flags & O_DIRECT) != 0;
}

static struct fate fate_by_chance(struct fault *fault, const struct engine_io *io)
{
    uint64_t unit = fault->chance_unit;
    uint64_t units;

    if (fault->chance_one_in == 0 || !moves_bytes(io->opcode) ||
        random_next(&fault->chance_state) % fault->chance_one_in != 0)
        return (struct fate){.plain = true};
    if (unit == 0 || !is_direct(io))
        unit = 1;
    units = bytes_of(io) / unit;
    if (units < 2)
        return (struct fate){.plain = true};
    units = 1 + random_next(&fault->chance_state) % (units - 1);
    return (struct fate){.kind = FAULT_SHORTEN, .value = (int64_t)(units * unit)};
}

/* Finds a step's fate; every rule that it fits counts it. Lock held. */
static struct fate fate_of(struct fault *fault, const struct engine_io *io)
{
    struct fate fate = fate_by_chance(fault, io);
    bool found = false;

    for (unsigned index = 0; index < fault->rule_count; index++) {
        const struct fault_rule *rule = &fault->rules[index];
        uint32_t first = rule->first > 0 ? rule->first : 1;
        uint32_t count = rule->count > 0 ? rule->count : 1;
        uint32_t number;

        if (!rule_fits(rule, io->opcode))
            continue;
        number = ++fault->matched[index];
        if (found || number < first || (count != FAULT_FOR_EVER && number - first >= count))
            continue;
        found = true;
        fate = (struct fate){.kind = rule->kind, .value = rule->value};
    }
    if (fate.kind == FAULT_SHORTEN && (uint64_t)fate.value >= bytes_of(io))
        fate.plain = true;
    return fate;
}

static void note_step(struct fault *fault, const struct engine_io *io)
{
    if (fault->step_count < SEEN_MAX)
        fault->seen[fault->step_count] = (struct fault_seen){
            io->opcode, io->fd, io->offset, io->len, io->rw_flags, io->priority};
    fault->step_count++;
}

/* Cuts a transfer to some bytes. The vectors go into memory that *iov receives. */
static void cut(const struct engine_io *io, uint64_t bytes, struct engine_io *result,
                struct iovec **iov)
{
    *result = *io;
    if (!is_vector(io->opcode)) {
        result->len = bytes;
        return;
    }
    *iov = calloc(io->len, sizeof(**iov));
    REQUIRE(*iov != NULL);
    result->iov = *iov;
    result->len = 0;
    for (uint64_t index = 0; index < io->len && bytes > 0; index++) {
        struct iovec *part = &(*iov)[result->len++];

        *part = io->iov[index];
        if (part->iov_len > bytes)
            part->iov_len = bytes;
        bytes -= part->iov_len;
    }
}

/* Direct I/O cannot stop between two sectors, but a result can: such a part goes through the page
 * cache, by a descriptor of its own. */
static bool needs_cache(const struct engine_io *io, uint64_t bytes)
{
    return bytes % 512 != 0 && is_direct(io);
}

static int64_t execute_cached(const struct engine_io *io)
{
    struct engine_io plain = *io;
    char path[64];
    int64_t result;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", io->fd);
    plain.fd = open(path, (fcntl(io->fd, F_GETFL) & O_ACCMODE) | O_CLOEXEC);
    REQUIRE(plain.fd >= 0);
    result = engine_execute_plain(NULL, &plain);
    close(plain.fd);
    return result;
}

/* --- events --------------------------------------------------------------------------------- */

static void list_push(struct event_list *list, const struct engine_event *event)
{
    list->events[list->count++] = *event;
}

static void list_shift(struct event_list *list, unsigned count)
{
    list->count -= count;
    memmove(list->events, list->events + count, list->count * sizeof(list->events[0]));
}

/* Puts an event among those kept back, in the order of submission: which comes first is the
 * kernel's affair. */
static void hold_back(struct fault *fault, const struct engine_event *event)
{
    struct event_list *held = &fault->held;
    unsigned place = held->count++;

    while (place > 0 &&
           fault->steps[held->events[place - 1].tag].number > fault->steps[event->tag].number) {
        held->events[place] = held->events[place - 1];
        place--;
    }
    held->events[place] = *event;
}

/* Takes events in: kept back or to be delivered. Lock held. */
static void take_in(struct fault *fault, const struct engine_event *events, int count)
{
    for (int index = 0; index < count; index++) {
        const struct engine_event *event = &events[fault->reverse ? count - 1 - index : index];
        struct step *step = &fault->steps[event->tag];

        demand(event->tag < fault->depth && step->busy, "an event without a step");
        if (set_has(fault->hold_opcodes, step->opcode))
            hold_back(fault, event);
        else
            list_push(&fault->ready, event);
    }
}

/* Makes the reap that waits look at the list. Lock held. */
static void stir(struct fault *fault)
{
    if (fault->sleeping_for > 0)
        while (fault->inner->ops->wake(fault->inner, fault->sleeping_for) == -EAGAIN)
            ;
}

static unsigned deliver(struct fault *fault, struct engine_event *events, unsigned max)
{
    unsigned count = fault->ready.count < max ? fault->ready.count : max;

    for (unsigned index = 0; index < count; index++) {
        struct step *step = &fault->steps[fault->ready.events[index].tag];

        events[index] = fault->ready.events[index];
        step->busy = false;
        free(step->iov);
        step->iov = NULL;
        fault->inflight--;
    }
    list_shift(&fault->ready, count);
    return count;
}

/* --- submit --------------------------------------------------------------------------------- */

static void begin_step(struct fault *fault, const struct engine_io *io)
{
    struct step *step;

    demand(io->tag < fault->depth, "a tag beyond the depth");
    demand(fault->inflight < fault->depth, "more in flight than the depth");
    step = &fault->steps[io->tag];
    demand(!step->busy, "a tag twice");
    step->busy = true;
    step->opcode = io->opcode;
    step->number = ++fault->last_number;
    fault->inflight++;
}

static void cancel_step(struct fault *fault, const struct engine_io *io)
{
    struct step *step = &fault->steps[io->tag];

    step->busy = false;
    free(step->iov);
    step->iov = NULL;
    fault->inflight--;
}

/* Without any rule: as the inner engine does it, in one call. Lock held, dropped meanwhile. */
static int submit_plainly(struct fault *fault, struct engine_io *const *ios, unsigned count)
{
    int started;

    for (unsigned index = 0; index < count; index++)
        begin_step(fault, ios[index]);
    fault_unlock(fault);
    started = fault->inner->ops->submit(fault->inner, ios, count);
    fault_lock(fault);
    for (unsigned index = started > 0 ? (unsigned)started : 0; index < count; index++)
        cancel_step(fault, ios[index]);
    /* After the call: a step may be over, its memory the caller's, but not before the reap that
     * waits for this lock. */
    return started;
}

/* Starts one step as its fate has it. Lock held, dropped meanwhile. */
static int submit_fated(struct fault *fault, struct engine_io *io, struct fate fate)
{
    struct step *step = &fault->steps[io->tag];
    struct engine_event invented = {io->tag, fate.value};
    struct engine_io *inner_io = io;
    int started;

    begin_step(fault, io);
    if (!fate.plain && fate.kind == FAULT_SHORTEN) {
        cut(io, (uint64_t)fate.value, &step->io, &step->iov);
        inner_io = &step->io;
        if (needs_cache(io, (uint64_t)fate.value))
            invented.result = execute_cached(inner_io);
    }
    if (!fate.plain && (fate.kind == FAULT_RESULT || needs_cache(io, (uint64_t)fate.value))) {
        take_in(fault, &invented, 1);
        stir(fault);
        return 1;
    }
    fault_unlock(fault);
    started = fault->inner->ops->submit(fault->inner, &inner_io, 1);
    fault_lock(fault);
    if (started <= 0)
        cancel_step(fault, io);
    return started;
}

static int submit_some(struct fault *fault, struct engine_io *const *ios, unsigned count)
{
    unsigned started = 0;

    if (fault->take_limit > 0 && count > fault->take_limit)
        count = fault->take_limit;
    for (unsigned index = 0; index < count; index++)
        note_step(fault, ios[index]);
    if (fault->rule_count == 0 && fault->chance_one_in == 0)
        return submit_plainly(fault, ios, count);
    while (started < count) {
        int result = submit_fated(fault, ios[started], fate_of(fault, ios[started]));

        if (result <= 0)
            return started > 0 ? (int)started : result;
        started++;
    }
    return (int)started;
}

static int fault_submit_entry(struct engine *engine, struct engine_io *const *ios, unsigned count)
{
    struct fault *fault = fault_of(engine);
    unsigned linger_ms;
    int result;

    demand(count > 0, "an empty submit");
    fault_lock(fault);
    fault->submit_count++;
    linger_ms = fault->linger_ms;
    if (fault->submit_interrupts > 0) {
        fault->submit_interrupts--;
        result = -EINTR;
    } else if (fault->refusals > 0) {
        fault->refusals -= fault->refusals != FAULT_FOR_EVER;
        result = fault->refusal;
    } else {
        result = submit_some(fault, ios, count);
    }
    fault_unlock(fault);
    if (linger_ms > 0)
        sleep_us(linger_ms * 1000);
    return result;
}

/* --- reap ----------------------------------------------------------------------------------- */

/* What is left of a time-out; false when nothing is. */
static bool time_left(int64_t deadline_ns, struct timespec *left)
{
    int64_t left_ns = deadline_ns - clock_ns();

    if (left_ns < 0)
        left_ns = 0;
    left->tv_sec = left_ns / 1000000000;
    left->tv_nsec = left_ns % 1000000000;
    return left_ns > 0;
}

/* Asks the inner engine. Lock held, dropped meanwhile. */
static int reap_inner(struct fault *fault, unsigned min, const struct timespec *timeout)
{
    struct engine_event events[BATCH];
    int count;

    fault->sleeping_for = min;
    fault_unlock(fault);
    count = fault->inner->ops->reap(fault->inner, events, min, BATCH, timeout);
    fault_lock(fault);
    fault->sleeping_for = 0;
    if (count > 0)
        take_in(fault, events, count);
    return count;
}

/* Waits until min events are there, a wake or the end of the time. Lock held. */
static int reap_waiting(struct fault *fault, struct engine_event *events, unsigned min,
                        unsigned max, const struct timespec *timeout)
{
    int64_t deadline_ns = timeout != NULL ? thread_deadline_ns(timeout) : DEADLINE_NEVER;
    struct timespec left = {0, 0};
    unsigned taken = deliver(fault, events, max);
    bool in_time = true;

    while (taken < min && !fault->woken && in_time) {
        unsigned wanted = min - taken < BATCH ? min - taken : BATCH;

        if (deadline_ns != DEADLINE_NEVER)
            in_time = time_left(deadline_ns, &left);
        if (reap_inner(fault, in_time ? wanted : 0, deadline_ns != DEADLINE_NEVER ? &left : NULL) ==
                -EINTR &&
            taken == 0)
            return -EINTR;
        taken += deliver(fault, events + taken, max - taken);
    }
    fault->woken = false;
    return (int)taken;
}

static int fault_reap_entry(struct engine *engine, struct engine_event *events, unsigned min,
                            unsigned max, const struct timespec *timeout)
{
    static const struct timespec no_time = {0, 0};
    struct fault *fault = fault_of(engine);
    int result;

    fault_lock(fault);
    demand(!fault->in_reap, "two holders in reap");
    demand(min <= max, "more wanted than there is room for");
    fault->in_reap = true;
    fault->reap_count++;
    fault->asked_for = min;
    if (fault->reap_interrupts > 0) {
        fault->reap_interrupts--;
        result = -EINTR;
    } else {
        reap_inner(fault, 0, &no_time);
        result = reap_waiting(fault, events, min, max, timeout);
    }
    fault->asked_for = 0;
    fault->in_reap = false;
    fault_unlock(fault);
    return result;
}

static int fault_wake_entry(struct engine *engine, unsigned sleeping_for)
{
    struct fault *fault = fault_of(engine);

    demand(sleeping_for > 0, "a wake for nobody");
    fault_lock(fault);
    fault->wake_count++;
    if (fault->wake_refusals > 0) {
        fault->wake_refusals--;
        fault_unlock(fault);
        return -EAGAIN;
    }
    fault->woken = true;
    stir(fault);
    fault_unlock(fault);
    return 0;
}

/* --- the other entries ---------------------------------------------------------------------- */

static int fault_cancel_entry(struct engine *engine, uint32_t tag)
{
    struct fault *fault = fault_of(engine);

    return fault->inner->ops->cancel(fault->inner, tag);
}

static void wait_while_stalled(struct fault *fault, uint8_t opcode)
{
    fault->stalled++;
    while (set_has(fault->stall_opcodes, opcode))
        pthread_cond_wait(&fault->changed, &fault->lock);
    fault->stalled--;
}

static int fault_know_file_entry(struct engine *engine, int fd)
{
    struct fault *fault = fault_of(engine);

    return fault->inner->ops->know_file(fault->inner, fd);
}

static void fault_forget_file_entry(struct engine *engine, int fd)
{
    struct fault *fault = fault_of(engine);

    fault->inner->ops->forget_file(fault->inner, fd);
}

static int fault_notify_entry(struct engine *engine, int event_fd)
{
    struct fault *fault = fault_of(engine);

    return fault->inner->ops->notify(fault->inner, event_fd);
}

static ssize_t fault_execute_entry(struct engine *engine, const struct engine_io *io)
{
    struct fault *fault = fault_of(engine);
    struct engine_io shorter;
    struct iovec *iov = NULL;
    struct fate fate;
    ssize_t result;

    fault_lock(fault);
    wait_while_stalled(fault, io->opcode);
    note_step(fault, io);
    fate = fate_of(fault, io);
    fault_unlock(fault);
    if (!fate.plain && fate.kind == FAULT_RESULT)
        return (ssize_t)fate.value;
    if (fate.plain)
        return fault->inner->ops->execute(fault->inner, io);
    cut(io, (uint64_t)fate.value, &shorter, &iov);
    if (needs_cache(io, (uint64_t)fate.value))
        result = (ssize_t)execute_cached(&shorter);
    else
        result = fault->inner->ops->execute(fault->inner, &shorter);
    free(iov);
    return result;
}

static int fault_create_entry(const struct engine_config *config, struct engine **result)
{
    *result = fault_engine(fault_create(AIO_ENGINE_SYNC, config->depth));
    return 0;
}

static void fault_destroy_entry(struct engine *engine)
{
    struct fault *fault = fault_of(engine);

    demand(fault->inflight == 0, "destroyed with transfers in flight");
    demand(!fault->in_reap && fault->stalled == 0, "destroyed while in use");
    fault->inner->ops->destroy(fault->inner);
    pthread_mutex_destroy(&fault->lock);
    pthread_cond_destroy(&fault->changed);
    free(fault->ready.events);
    free(fault->held.events);
    free(fault->steps);
    free(fault);
}

/* --- life ----------------------------------------------------------------------------------- */

struct fault *fault_create(enum aio_engine inner, uint32_t depth)
{
    struct engine_config config = {.depth = depth, .sqpoll_cpu = -1};
    struct fault *fault = calloc(1, sizeof(*fault));

    REQUIRE(fault != NULL && process_init() == 0);
    REQUIRE_EQ(engine_create(inner, &config, &fault->inner), 0);
    fault->ops = (struct engine_ops){
        .name = "fault",
        .id = fault->inner->ops->id,
        .may_block = true,
        .create = fault_create_entry,
        .destroy = fault_destroy_entry,
        .submit = fault_submit_entry,
        .reap = fault_reap_entry,
        .wake = fault_wake_entry,
        .cancel = fault_cancel_entry,
        .know_file = fault_know_file_entry,
        .forget_file = fault_forget_file_entry,
        .notify = fault_notify_entry,
        .execute = fault_execute_entry,
    };
    fault->engine.ops = &fault->ops;
    fault->engine.depth = depth;
    fault->engine.takes_hipri = fault->inner->takes_hipri;
    fault->depth = depth;
    pthread_mutex_init(&fault->lock, NULL);
    pthread_cond_init(&fault->changed, NULL);
    fault->ready.events = calloc(depth, sizeof(struct engine_event));
    fault->held.events = calloc(depth, sizeof(struct engine_event));
    fault->steps = calloc(depth, sizeof(struct step));
    REQUIRE(fault->ready.events != NULL && fault->held.events != NULL && fault->steps != NULL);
    return fault;
}

void fault_destroy(struct fault *fault)
{
    fault_destroy_entry(&fault->engine);
}

struct engine *fault_engine(struct fault *fault)
{
    return &fault->engine;
}

struct aio_queue *fault_queue(struct fault *fault, uint32_t flags)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue *queue;

    options.depth = fault->depth;
    options.flags = flags;
    REQUIRE_EQ(queue_create_on(&fault->engine, &options, &queue), 0);
    return queue;
}

void fault_attach(struct fault *fault, struct aio_file *file)
{
    file->ops = &fault->ops;
    file->engine = &fault->engine;
}

/* --- the plan ------------------------------------------------------------------------------- */

void fault_add(struct fault *fault, struct fault_rule rule)
{
    fault_lock(fault);
    REQUIRE(fault->rule_count < RULES_MAX);
    fault->matched[fault->rule_count] = 0;
    fault->rules[fault->rule_count++] = rule;
    fault_unlock(fault);
}

void fault_clear(struct fault *fault)
{
    fault_lock(fault);
    fault->rule_count = 0;
    fault->chance_one_in = 0;
    fault_unlock(fault);
}

void fault_shorten_by_chance(struct fault *fault, uint64_t seed, unsigned one_in, unsigned unit)
{
    fault_lock(fault);
    fault->chance_state = seed;
    fault->chance_one_in = one_in;
    fault->chance_unit = unit;
    fault_unlock(fault);
}

void fault_block_where_files_grow(struct fault *fault, bool blocks)
{
    fault->ops.extending_blocks = blocks;
}

void fault_refuse(struct fault *fault, int error, uint32_t times)
{
    fault_lock(fault);
    fault->refusal = error;
    fault->refusals = times;
    fault_unlock(fault);
}

void fault_take(struct fault *fault, unsigned limit)
{
    fault_lock(fault);
    fault->take_limit = limit;
    fault_unlock(fault);
}

void fault_linger(struct fault *fault, unsigned milliseconds_each)
{
    fault_lock(fault);
    fault->linger_ms = milliseconds_each;
    fault_unlock(fault);
}

void fault_interrupt_submit(struct fault *fault, uint32_t times)
{
    fault_lock(fault);
    fault->submit_interrupts = times;
    fault_unlock(fault);
}

void fault_interrupt_reap(struct fault *fault, uint32_t times)
{
    fault_lock(fault);
    fault->reap_interrupts = times;
    fault_unlock(fault);
}

void fault_refuse_wake(struct fault *fault, uint32_t times)
{
    fault_lock(fault);
    fault->wake_refusals = times;
    fault_unlock(fault);
}

void fault_hold(struct fault *fault, uint32_t opcodes)
{
    fault_lock(fault);
    fault->hold_opcodes = opcodes;
    fault_unlock(fault);
}

void fault_release(struct fault *fault, uint32_t count)
{
    fault_lock(fault);
    if (count > fault->held.count)
        count = fault->held.count;
    for (uint32_t index = 0; index < count; index++)
        list_push(&fault->ready, &fault->held.events[fault->reverse ? count - 1 - index : index]);
    list_shift(&fault->held, count);
    stir(fault);
    fault_unlock(fault);
}

unsigned fault_held(struct fault *fault)
{
    unsigned count;

    fault_lock(fault);
    count = fault->held.count;
    fault_unlock(fault);
    return count;
}

void fault_reverse(struct fault *fault, bool reverse)
{
    fault_lock(fault);
    fault->reverse = reverse;
    fault_unlock(fault);
}

void fault_stall(struct fault *fault, uint32_t opcodes)
{
    fault_lock(fault);
    fault->stall_opcodes = opcodes;
    pthread_cond_broadcast(&fault->changed);
    fault_unlock(fault);
}

/* --- what was seen -------------------------------------------------------------------------- */

static unsigned look(struct fault *fault, const unsigned *count)
{
    unsigned value;

    fault_lock(fault);
    value = *count;
    fault_unlock(fault);
    return value;
}

unsigned fault_stalled(struct fault *fault)
{
    return look(fault, &fault->stalled);
}

unsigned fault_steps(struct fault *fault)
{
    return look(fault, &fault->step_count);
}

unsigned fault_submits(struct fault *fault)
{
    return look(fault, &fault->submit_count);
}

unsigned fault_reaps(struct fault *fault)
{
    return look(fault, &fault->reap_count);
}

unsigned fault_wakes(struct fault *fault)
{
    return look(fault, &fault->wake_count);
}

unsigned fault_sleeping_for(struct fault *fault)
{
    return look(fault, &fault->asked_for);
}

struct fault_seen fault_step(struct fault *fault, unsigned index)
{
    struct fault_seen seen;

    fault_lock(fault);
    REQUIRE(index < fault->step_count && index < SEEN_MAX);
    seen = fault->seen[index];
    fault_unlock(fault);
    return seen;
}

/* --- a queue and a file --------------------------------------------------------------------- */

struct rig rig_open(unsigned depth, uint32_t queue_flags)
{
    struct rig rig = {.fault = fault_create(test_engine, depth)};

    rig.queue = fault_queue(rig.fault, queue_flags);
    rig.file = open_direct("file");
    fault_attach(rig.fault, rig.file);
    return rig;
}

void rig_close(struct rig *rig)
{
    close_file(rig->file);
    close_queue(rig->queue);
}
