/* SPDX-License-Identifier: MIT */
/*
 * queue_plain.c - the short way in (file_ops.h).
 *
 * The operations at the front of a batch that are plain are written into free slots and made known
 * in one pass under the lock, and given to the engine. Nothing on this way waits, needs a worker or
 * can be refused. The first operation that is not plain, or finds no free slot, takes the long way
 * with all behind it.
 *
 * reaper.c has the short way out. A plain request that does not end as it should (a short transfer,
 * an error, an engine without room) becomes one like all others there.
 */
#include <stddef.h>

#include "op.h"
#include "queue_state.h"

/* A batch as it is written. */
struct plain_batch {
    struct request *const *slot; /* the slots are those before this one, from the last on */
    enum request_state before;   /* of the slots */
    unsigned room;               /* slots */
    unsigned count;              /* operations written so far */
    unsigned callbacks;          /* of these, those that have one */
    unsigned waited;             /* those that are WAITED */
    int64_t now_ns;
    struct engine_io *ios[QUEUE_BATCH];
};

/* Writes an operation into a slot, but for what reaper.c adds where it leaves the short way. */
static inline void write_slot(struct request *request, const struct aio_op *op, uint8_t opcode,
                              struct aio_file *file, const struct plain_file *known,
                              uint64_t sequence, int64_t now_ns)
{
    struct engine_io *io = &request->transfer.io;

    io->opcode = opcode;
    io->fd = known->fd;
    io->rw_flags = 0;
    io->priority = 0;
    io->buf = op->buf;
    io->len = op->len;
    io->offset = op->offset;
    request_clear(request);
    request->plain = true;
    request->published = true;
    request->waited = op->flags / AIO_OP_WAITED;
    request->file = file;
    request->growth = known->growth;
    request->on_complete = op->on_complete;
    request->context = op->context;
    request->sequence = sequence;
    request->submitted_ns = now_ns;
    request->begun_ns = now_ns;
}

/* Writes operations of one file and opcode, as long as they are plain. Lock held. */
static void write_run(const struct aio_queue *queue, struct plain_batch *batch,
                      const struct aio_op *ops, const struct plain_file *plain, aio_request_id *ids)
{
    struct aio_file *const file = ops[batch->count].file;
    const uint8_t opcode = ops[batch->count].opcode;
    const uint64_t head = op_plain_head(opcode);
    const struct plain_file known = *plain;
    const enum request_state before = batch->before;
    const unsigned room = batch->room;
    const int64_t now_ns = batch->now_ns;
    struct request *const *slot = batch->slot;
    uint64_t sequence = queue->sequence + batch->count;
    unsigned index = batch->count;
    unsigned callbacks = 0;
    unsigned waited = 0; /* times AIO_OP_WAITED */

    for (; index < room; index++) {
        const struct aio_op *op = &ops[index];
        struct request *request;

        if (op->file != file || !op_is_plain(op, head, known.range_bits, known.memory_bits))
            break;
        if (known.writes && !file_op_enter_plain(file, op->offset, op->len))
            break;
        request = *--slot;
        write_slot(request, op, opcode, file, &known, ++sequence, now_ns);
        request_start_plain(request, before);
        batch->ios[index] = &request->transfer.io;
        waited += op->flags;
        callbacks += op->on_complete != NULL;
        if (ids != NULL)
            ids[index] = request->id;
        TRACE6(submit, queue, request->id, opcode, file, op->offset, op->len);
        TRACE4(begin, queue, request->transfer.io.tag, opcode, op->offset);
    }
    batch->slot = slot;
    batch->callbacks += callbacks;
    batch->waited += waited / AIO_OP_WAITED;
    batch->count = index;
}

/* Whether an operation is plain as far as that can be seen without its file. The file of a wrong
 * one is not to be looked at. */
static bool looks_plain(const struct aio_op *op)
{
    return (op->opcode == AIO_OP_READ || op->opcode == AIO_OP_WRITE) && op->file != NULL &&
           op_is_plain(op, op_plain_head(op->opcode), 0, 0);
}

/* Writes what is plain, run by run. The first looks so. Lock held. */
static void write_batch(struct aio_queue *queue, struct plain_batch *batch,
                        const struct aio_op *ops, aio_request_id *ids)
{
    unsigned first;

    batch->now_ns = thread_now_ns();
    do {
        const struct aio_op *op = &ops[batch->count];
        struct plain_file plain;

        first = batch->count;
        if (!file_op_is_plain(op->file, op->opcode, &plain))
            break;
        write_run(queue, batch, ops, &plain, ids);
        if (batch->count > first)
            file_op_begin_plain(op->file, op->opcode, batch->count - first);
    } while (batch->count > first && batch->count < batch->room && looks_plain(&ops[batch->count]));
}

/* Makes the written requests known. Lock held. */
static void publish_batch(struct aio_queue *queue, const struct plain_batch *batch)
{
    queue->sequence += batch->count;
    queue->table.inflight += batch->count;
    queue->table.running += batch->count;
    if (batch->before == REQUEST_FREE)
        queue->table.free_count -= batch->count;
    queue->callbacks_inflight += batch->callbacks;
    queue->reapable += batch->count - batch->callbacks - batch->waited;
    queue->stats.submitted += batch->count;
    if (queue_inflight(queue) > queue->stats.inflight_high_water)
        queue->stats.inflight_high_water = queue_inflight(queue);
    /* A holder may sleep for several results, but a callback is not to wait for others. */
    if (batch->callbacks > 0 && queue->token.sleeping_for > 1)
        queue_interrupt(queue);
    queue_changed(queue);
}

/* Finds slots for as many of count operations as can be had at once: the one kept for the callback
 * that this thread runs, or free ones. Lock held. */
static void find_slots(struct aio_queue *queue, struct request *const *kept, unsigned count,
                       struct plain_batch *batch)
{
    const struct request_table *table = &queue->table;

    batch->count = 0;
    batch->callbacks = 0;
    batch->waited = 0;
    if (*kept != NULL) {
        batch->slot = kept + 1;
        batch->before = REQUEST_KEPT;
        batch->room = 1;
        return;
    }
    batch->slot = table->free + table->free_count;
    batch->before = REQUEST_FREE;
    batch->room = count < table->free_count ? count : table->free_count;
    if (queue->closing || queue->chain_turn != NULL || !(queue->reaper_started || queue->owned))
        batch->room = 0;
}

/* The file of the operation behind those written, where one of these has it too. Once they are done
 * it may be closed, if the next one is refused, and that is yet to be seen. NULL: there is none. */
static struct aio_file *file_behind(const struct plain_batch *batch, const struct aio_op *ops,
                                    unsigned count)
{
    for (unsigned index = 0; batch->count < count && index < batch->count; index++)
        if (ops[index].file == ops[batch->count].file)
            return ops[index].file;
    return NULL;
}

int queue_submit_plain(struct aio_queue *queue, const struct aio_op *ops, unsigned count,
                       aio_request_id *ids, struct aio_file **behind)
{
    struct request *kept;
    struct plain_batch batch;

    if (!looks_plain(&ops[0]))
        return 0;
    kept = reaper_take_kept(queue);
    queue_lock(queue);
    find_slots(queue, &kept, count < QUEUE_BATCH ? count : QUEUE_BATCH, &batch);
    if (batch.room > 0)
        write_batch(queue, &batch, ops, ids);
    if (batch.count > 0) {
        *behind = file_behind(&batch, ops, count);
        if (*behind != NULL)
            file_op_keep(*behind);
        publish_batch(queue, &batch);
    }
    queue_unlock(queue);
    if (batch.count == 0) {
        if (kept != NULL)
            reaper_keep(kept);
        return 0;
    }
    queue_launch_begun(queue, batch.ios, batch.count, batch.now_ns, false);
    queue_speak(queue);
    return (int)batch.count;
}
