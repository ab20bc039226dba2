/* SPDX-License-Identifier: MIT */
/*
 * queue_submit.c - operations on their way in.
 *
 * A submit has three steps. Slots are reserved under the lock, in order, waiting if need be; the
 * operations are checked, let through their files' gates and written into the slots without it,
 * since the slots are this thread's alone; then they are made known under the lock, all at once,
 * before the engine sees the first: whoever reaps its event finds it registered.
 *
 * A chain (AIO_OP_LINK) is taken whole or not at all. Its first operation goes in as any other. A
 * follower has its slot from the submit on and nothing else: it enters its file, as if it had been
 * submitted then, when the one before it has succeeded. So no circle of waiting can go through a
 * follower: it waits for one that is in already, and nobody waits for what it has, but for its
 * slot, which nobody needs who is in. Draining syncs wait for followers submitted before them, and
 * do so before they are in anybody's way (followers.h).
 */
#include <assert.h>
#include <errno.h>

#include "file_ops.h"
#include "op.h"
#include "queue_state.h"
#include "trace.h"

_Static_assert(AIO_QUEUE_LINK_MAX == QUEUE_BATCH, "a chain is one batch");

/* --- slots ---------------------------------------------------------------------------------- */

/* Why so many slots cannot be had, without waiting or at all; 0 where they are free or to be waited
 * for. */
static int slot_refusal(const struct aio_queue *queue, const struct waiter *waiter,
                        bool inside_callback)
{
    if (queue->closing && !inside_callback)
        return -ESHUTDOWN;
    if (queue_slots_free(queue, waiter))
        return 0;
    if (queue_is_stuck(queue, waiter))
        return -EBUSY;
    if ((queue->flags & AIO_QUEUE_NONBLOCK) != 0 || inside_callback)
        return -EAGAIN;
    return 0;
}

/* Waits until the slots that the waiter needs are free. A chain that has to wait keeps all others
 * from taking slots: they would always leave too few. Returns 0 or a negated errno. */
static int await_slots(struct aio_queue *queue, struct waiter *waiter)
{
    bool inside_callback = reaper_in_callback();
    int error = slot_refusal(queue, waiter, inside_callback);

    while (error == 0 && !queue_slots_free(queue, waiter)) {
        if (waiter->min > 1 && queue->chain_turn == NULL) {
            queue->chain_turn = waiter;
            continue;
        }
        queue_await(queue, waiter, DEADLINE_NEVER);
        error = slot_refusal(queue, waiter, inside_callback);
    }
    if (queue->chain_turn == waiter) {
        queue->chain_turn = NULL;
        queue_changed(queue);
    }
    return error;
}

static void reserve(struct aio_queue *queue, struct request *request)
{
    request_change_state(&queue->table, request, REQUEST_FREE, REQUEST_READY);
    request->sequence = SEQUENCE_NONE;
}

/* Reserves need to count slots. Returns how many, or a negated errno. The slot kept for a callback
 * is this thread's already: it is used alone, and stays in KEPT until it is published. */
static int reserve_slots(struct aio_queue *queue, struct request **slots, unsigned need,
                         unsigned count)
{
    struct waiter waiter = {.kind = WAIT_SLOT, .min = need};
    unsigned reserved = 0;
    int error;

    slots[0] = need == 1 ? reaper_take_kept(queue) : NULL;
    if (slots[0] != NULL)
        return 1;
    queue_lock(queue);
    error = reaper_start(queue);
    if (error == 0)
        error = await_slots(queue, &waiter);
    while (error == 0 && reserved < count && queue->table.free_count > 0) {
        slots[reserved] = request_free_pop(&queue->table);
        reserve(queue, slots[reserved++]);
    }
    queue->reserved += reserved;
    queue_unlock(queue);
    return error != 0 ? error : (int)reserved;
}

/* --- into the file -------------------------------------------------------------------------- */

/* Sees to it that there are workers. No lock held. Returns 0 or a negated errno. */
static int need_workers(struct aio_queue *queue)
{
    bool first = false;
    int error;

    if (atomic_load_explicit(&queue->uses_workers, memory_order_relaxed))
        return 0;
    error = workers_add_user();
    if (error != 0)
        return error;
    /* Two threads may both have done so: one count is enough. */
    if (!atomic_compare_exchange_strong_explicit(&queue->uses_workers, &first, true,
                                                 memory_order_relaxed, memory_order_relaxed))
        workers_remove_user();
    return 0;
}

bool queue_offload(struct aio_queue *queue, struct request *request)
{
    if (request->pass.pace != PACE_BLOCKED || request->pass.nowait)
        return false;
    if (!queue->engine->ops->may_block || need_workers(queue) != 0)
        return false;
    request->offloaded = true;
    file_op_offloaded(request->file);
    return true;
}

/* From now on this queue's calls have to say what was found. */
static void start_check(struct aio_queue *queue, struct request *request)
{
    atomic_store_explicit(&queue->checks, true, memory_order_relaxed);
    check_start(request->pass.check, request->id);
}

/* Brings an operation in as far as that goes. No lock held. Returns 0 with request->step set, or a
 * negated errno. What is held back may come in from now on: its worker sees that it is not
 * published. */
static inline int enter_file(struct aio_queue *queue, struct request *request)
{
    int step = FILE_STEP_DONE;

    if (request->pass.check != NULL)
        start_check(queue, request);
    if (request->transfer.opcode != AIO_OP_NOP)
        step = file_op_enter(request->file, &request->transfer, &request->pass);
    if (step < 0)
        return step;
    request->step = (uint8_t)step;
    if (step != FILE_STEP_ENGINE)
        return 0;
    if (request->pass.nowait) {
        if (queue_prefers_worker(queue, request)) {
            transfer_fail(&request->transfer, -EAGAIN);
            request->step = FILE_STEP_DONE;
        }
    } else if (queue_prefers_worker(queue, request) || queue_offload(queue, request)) {
        request->step = FILE_STEP_WORKER;
    }
    return 0;
}

/* Writes an operation into a reserved slot, which is this thread's. Returns 0 or a negated errno,
 * with nothing to undo. */
static int fill_slot(struct aio_queue *queue, struct request *request, const struct aio_op *op)
{
    int error = op_check(op);

    if (error != 0)
        return error;
    request_clear(request);
    request->file = op->file;
    request->on_complete = op->on_complete;
    request->context = op->context;
    request->waited = (op->flags & AIO_OP_WAITED) != 0;
    request->deadline_ns = (int64_t)op->deadline;
    if (op->file == NULL && op->opcode == AIO_OP_NOP) {
        transfer_init(&request->transfer, AIO_OP_NOP, -1, 0);
        return 0;
    }
    error = file_op_begin(op, &request->transfer, &request->pass);
    request->pass.job.run = queue_work;
    if (error == 0 && op->opcode != AIO_OP_NOP &&
        (request->pass.wants_workers || op->deadline != 0))
        error = need_workers(queue);
    else
        return error;
    if (error != 0) {
        check_drop(&request->pass.check);
        file_op_forget(op->file, 1);
    }
    return error;
}

/* Undoes what fill_slot() did. */
static void empty_slot(struct request *request)
{
    if (request->file == NULL)
        return;
    transfer_fail(&request->transfer, -ECANCELED);
    file_op_end(request->file, &request->transfer, &request->pass);
    if (request->pass.check != NULL)
        check_drop(&request->pass.check);
    file_op_forget(request->file, 1);
}

static int fill_and_enter(struct aio_queue *queue, struct request *request, const struct aio_op *op)
{
    int error = fill_slot(queue, request, op);

    if (error != 0)
        return error;
    error = enter_file(queue, request);
    if (error != 0)
        empty_slot(request);
    return error;
}

/* Makes the one a follower of the other. */
static void link_slots(struct request *leader, struct request *follower)
{
    leader->follower = follower;
    follower->leader = leader;
    follower->unentered = true;
    if (follower->file != NULL)
        file_op_follow(follower->file, &follower->transfer, &follower->pass);
}

/* What is checked in a chain is not in its own way. */
static void link_checks(struct request **slots, unsigned count)
{
    uint64_t chain = 0;

    for (unsigned index = 0; index < count; index++)
        if (slots[index]->pass.check != NULL)
            check_link(slots[index]->pass.check, slots[index]->id, &chain);
}

/* Fills the slots of a chain and brings its first operation in. All, or none and a negated errno.
 * What a follower will need when it starts must be there then: workers, too. */
static int fill_chain(struct aio_queue *queue, struct request **slots, const struct aio_op *ops,
                      unsigned length)
{
    unsigned filled = 0;
    int error = need_workers(queue);

    while (error == 0 && filled < length) {
        error = fill_slot(queue, slots[filled], &ops[filled]);
        if (error != 0)
            break;
        if (filled > 0)
            link_slots(slots[filled - 1], slots[filled]);
        filled++;
    }
    link_checks(slots, filled);
    if (error == 0)
        error = enter_file(queue, slots[0]);
    while (error != 0 && filled > 0)
        empty_slot(slots[--filled]);
    return error;
}

/* --- publish -------------------------------------------------------------------------------- */

bool queue_place(struct aio_queue *queue, struct request *request)
{
    request->published = true;
    request->offset = request->step == FILE_STEP_HELD ? 0 : request->transfer.offset;
    request->held = request->step == FILE_STEP_HELD && !request->resumed;
    switch ((enum file_step)request->step) {
    case FILE_STEP_DONE:
        queue_finish(queue, request);
        return false;
    case FILE_STEP_ENGINE:
        request_set_state(&queue->table, request, REQUEST_RUNNING);
        return true;
    case FILE_STEP_WORKER:
    case FILE_STEP_HELD:
        break;
    }
    request_set_state(&queue->table, request, REQUEST_WORKING);
    if (request->step == FILE_STEP_WORKER || request->resumed)
        workers_submit(&request->pass.job);
    return false;
}

/* Gives a filled slot its number, by which it is known. Lock held. */
static void publish(struct aio_queue *queue, struct request *request, int64_t now_ns)
{
    request->submitted_ns = now_ns;
    request->sequence = ++queue->sequence;
    request->length = request->transfer.total;
    if (request->on_complete != NULL)
        queue->callbacks_inflight++;
    else if (!request->waited)
        queue->reapable++;
    if (request->state == REQUEST_KEPT)
        request_set_state(&queue->table, request, REQUEST_READY);
    if (request->unentered) {
        request->published = true;
        request->offset = request->transfer.offset;
        request_set_state(&queue->table, request, REQUEST_LINKED);
    }
    if (request->deadline_ns > 0)
        queue_set_deadline(queue, request);
    TRACE6(submit, queue, request->id, request->transfer.opcode, request->file,
           request->transfer.offset, request->transfer.total);
}

/* What publish_slots() leaves to be done without the lock. */
struct published {
    unsigned running; /* the first so many slots are to be launched */
    unsigned held;    /* so many wait for others to leave their file */
};

/* Frees what was reserved in vain. Lock held. */
static void free_slots(struct aio_queue *queue, struct request **slots, unsigned count)
{
    for (unsigned index = 0; index < count; index++) {
        request_set_state(&queue->table, slots[index], REQUEST_FREE);
        request_free_push(&queue->table, slots[index]);
    }
}

/* Makes the first filled slots known and frees the others. */
static struct published publish_slots(struct aio_queue *queue, struct request **slots,
                                      unsigned reserved, unsigned filled, aio_request_id *ids)
{
    struct published published = {0, 0};
    bool callbacks = false;
    int64_t now_ns;

    queue_lock(queue);
    now_ns = queue->times ? thread_now_ns() : thread_now_coarse_ns();
    if (slots[0]->state != REQUEST_KEPT)
        queue->reserved -= reserved;
    free_slots(queue, slots + filled, reserved - filled);
    for (unsigned index = 0; index < filled; index++) {
        callbacks |= slots[index]->on_complete != NULL;
        publish(queue, slots[index], now_ns);
        if (ids != NULL)
            ids[index] = slots[index]->id;
    }
    /* By now every follower is LINKED, should its leader be done at once. */
    for (unsigned index = 0; index < filled; index++) {
        struct request *request = slots[index];

        if (request->unentered)
            continue;
        published.held += request->step == FILE_STEP_HELD;
        if (queue_place(queue, request))
            slots[published.running++] = request;
    }
    queue->stats.submitted += filled;
    if (queue_inflight(queue) > queue->stats.inflight_high_water)
        queue->stats.inflight_high_water = queue_inflight(queue);
    if (published.running < filled || (callbacks && queue->token.sleeping_for > 1))
        queue_interrupt(queue);
    queue_changed(queue);
    queue_unlock(queue);
    return published;
}

/* --- a batch -------------------------------------------------------------------------------- */

/* How many operations are linked to the first; -EINVAL for a chain that does not end in the call,
 * or can never have enough slots at once. */
static int chain_length(const struct aio_queue *queue, const struct aio_op *ops, unsigned count)
{
    unsigned length = 1;

    while ((ops[length - 1].flags & AIO_OP_LINK) != 0)
        if (++length > count || length > AIO_QUEUE_LINK_MAX || length > queue->table.depth)
            return -EINVAL;
    return (int)length;
}

/* Fills slots until the next chain does not fit. Returns how many; *error is that of the operation
 * or chain behind them. */
static unsigned fill_slots(struct aio_queue *queue, struct request **slots, unsigned reserved,
                           const struct aio_op *ops, unsigned count, int *error)
{
    unsigned filled = 0;

    *error = 0;
    while (filled < reserved) {
        int length = chain_length(queue, ops + filled, count - filled);

        if (length < 0)
            *error = length;
        else if ((unsigned)length > reserved - filled)
            break;
        else if (length == 1)
            *error = fill_and_enter(queue, slots[filled], &ops[filled]);
        else
            *error = fill_chain(queue, slots + filled, ops + filled, (unsigned)length);
        if (*error != 0)
            break;
        filled += (unsigned)length;
    }
    return filled;
}

/* Submits up to QUEUE_BATCH operations. Returns how many were taken, at least one, or the error of
 * the first. *refused tells that the one after those taken was refused: it must not be looked at
 * again, since its file may be closed once those before it are done. */
static int submit_batch(struct aio_queue *queue, const struct aio_op *ops, unsigned count,
                        aio_request_id *ids, bool *refused)
{
    struct request *slots[QUEUE_BATCH];
    struct published published;
    unsigned filled;
    int error;
    int reserved;
    int need = chain_length(queue, ops, count);

    if (need < 0)
        return need;
    reserved =
        reserve_slots(queue, slots, (unsigned)need, count < QUEUE_BATCH ? count : QUEUE_BATCH);
    if (reserved < 0)
        return reserved;
    assert(reserved > 0 && slots[0] != NULL);
    filled = fill_slots(queue, slots, (unsigned)reserved, ops, count, &error);
    *refused = error != 0;
    if (filled == 0 && slots[0]->state == REQUEST_KEPT) {
        reaper_keep(slots[0]);
        return error;
    }
    published = publish_slots(queue, slots, (unsigned)reserved, filled, ids);
    queue_launch(queue, slots, published.running, false);
    if (published.held > 0)
        queues_hasten_begin(published.held);
    queue_speak(queue);
    return filled > 0 ? (int)filled : error;
}

int aio_queue_submit(struct aio_queue *queue, const struct aio_op *ops, unsigned count,
                     aio_request_id *ids)
{
    unsigned taken = 0;
    struct aio_file *kept = NULL; /* of the operation that is next */
    bool refused = false;
    int error;

    if (queue == NULL || (ops == NULL && count > 0) || count > INT32_MAX)
        return -EINVAL;
    error = queue_admit(queue);
    if (error != 0)
        return error;
    while (taken < count && !refused) {
        aio_request_id *next_ids = ids != NULL ? ids + taken : NULL;
        struct aio_file *behind = NULL;
        int result = queue_submit_plain(queue, ops + taken, count - taken, next_ids, &behind);

        if (result == 0)
            result = submit_batch(queue, ops + taken, count - taken, next_ids, &refused);
        if (kept != NULL)
            file_op_forget(kept, 1);
        kept = behind;
        if (result < 0)
            return taken > 0 ? (int)taken : result;
        taken += (unsigned)result;
    }
    return (int)taken;
}

/* --- followers ------------------------------------------------------------------------------ */

void queue_start_followers(struct aio_queue *queue)
{
    struct request_table *table = &queue->table;
    struct request *batch[QUEUE_BATCH];
    unsigned count = 0;
    unsigned running = 0;
    unsigned held = 0;

    while (count < QUEUE_BATCH && table->entering.count > 0) {
        struct request *request = request_list_pop(&table->entering);

        request->published = false;
        request->resumed = false;
        batch[count++] = request;
    }
    queue_unlock(queue);
    for (unsigned index = 0; index < count; index++) {
        int error = enter_file(queue, batch[index]);

        if (error == 0)
            continue;
        transfer_fail(&batch[index]->transfer, error);
        batch[index]->step = FILE_STEP_DONE;
    }
    queue_lock(queue);
    for (unsigned index = 0; index < count; index++) {
        struct request *request = batch[index];

        request->unentered = false;
        held += request->step == FILE_STEP_HELD;
        if (request->step == FILE_STEP_ENGINE && queue_hand_over(queue, request))
            continue;
        if (queue_place(queue, request))
            batch[running++] = request;
    }
    queue_unlock(queue);
    queue_launch(queue, batch, running, false);
    if (held > 0)
        queues_hasten_begin(held);
    queue_lock(queue);
}
