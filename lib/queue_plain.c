/* SPDX-License-Identifier: MIT */
/*
 * queue_plain.c - the short way in, of plain reads (file_ops.h).
 *
 * A batch of them is written into free slots and made known in one pass under the lock, and given
 * to the engine. Nothing on this way waits, needs a worker or can be refused. A slot that is
 * written to is free as before until the whole batch is found to be plain, so that there is nothing
 * to undo: where one operation is not plain, the batch takes the long way, as does what finds no
 * free slot, to wait for one there.
 *
 * reaper.c has the short way out. A plain request that does not end as it should (a short read, an
 * error, an engine without room) becomes one like all others: queue_leave_short_way().
 */
#include <stddef.h>

#include "op.h"
#include "queue_state.h"

/* Operations of a batch one after the other that have their file in common. */
struct plain_run {
    struct aio_file *file;
    unsigned count;
};

struct plain_batch {
    struct request *const *top; /* the slots are top[-1], top[-2] ... */
    enum request_state before;  /* of the slots */
    unsigned count;             /* operations */
    unsigned callbacks;         /* operations that have one */
    unsigned waited;            /* that are WAITED */
    unsigned run_count;
    struct plain_run runs[QUEUE_BATCH];
    struct engine_io *ios[QUEUE_BATCH];
};

/* Writes an operation into a slot, but for what reaper.c adds where it leaves the short way. Lock
 * held. */
static inline void write_slot(struct request *request, const struct aio_op *op,
                              struct aio_file *file, int fd, uint64_t sequence, int64_t now_ns)
{
    struct engine_io *io = &request->transfer.io;

    io->opcode = AIO_OP_READ;
    io->fd = fd;
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
    request->on_complete = op->on_complete;
    request->context = op->context;
    request->sequence = sequence;
    request->submitted_ns = now_ns;
    request->begun_ns = now_ns;
}

/* The slots are free again. Lock held. */
static bool leave_slots(const struct plain_batch *batch, unsigned count)
{
    for (unsigned index = 0; index < count; index++)
        queue_request_of(batch->ios[index])->state = batch->before;
    return false;
}

/* Writes all operations into their slots. Returns false, having done nothing, where one of them is
 * not plain. Lock held. */
static bool write_batch(const struct aio_queue *queue, struct plain_batch *batch,
                        const struct aio_op *ops, int64_t now_ns)
{
    struct request *const *slot = batch->top;
    const unsigned count = batch->count;
    const enum request_state before = batch->before;
    const uint64_t sequence = queue->sequence;
    struct aio_file *file = NULL; /* of which nothing is plain */
    struct plain_file plain;
    uint64_t range_bits = UINT64_MAX;
    uint64_t memory_bits = UINT64_MAX;
    int fd = -1;
    unsigned waited = 0; /* times AIO_OP_WAITED */
    unsigned callbacks = 0;
    unsigned first = 0; /* of the run */

    batch->run_count = 0;
    for (unsigned index = 0; index < count; index++) {
        struct request *request = *--slot;
        const struct aio_op *op = &ops[index];

        if (op->file != file) {
            /* The file of a wrong operation is not to be looked at. */
            if (op->file == NULL || !op_is_plain_read(op, 0, 0) ||
                !file_op_is_plain(op->file, &plain))
                return leave_slots(batch, index);
            if (file != NULL)
                batch->runs[batch->run_count++] = (struct plain_run){file, index - first};
            file = op->file;
            fd = plain.fd;
            range_bits = plain.range_bits;
            memory_bits = plain.memory_bits;
            first = index;
        }
        if (!op_is_plain_read(op, range_bits, memory_bits))
            return leave_slots(batch, index);
        write_slot(request, op, file, fd, sequence + index + 1, now_ns);
        request_start_plain(request, before);
        batch->ios[index] = &request->transfer.io;
        waited += op->flags;
        callbacks += op->on_complete != NULL;
    }
    batch->runs[batch->run_count++] = (struct plain_run){file, count - first};
    batch->waited = waited / AIO_OP_WAITED;
    batch->callbacks = callbacks;
    return true;
}

/* Tells the caller, and who traces, of the requests. Lock held. */
static void name_batch(const struct aio_queue *queue, const struct plain_batch *batch,
                       aio_request_id *ids)
{
    const unsigned count = batch->count;

    for (unsigned index = 0; index < count; index++) {
        const struct request *request = queue_request_of(batch->ios[index]);

        if (ids != NULL)
            ids[index] = request->id;
        TRACE6(submit, queue, request->id, AIO_OP_READ, request->file, request->transfer.io.offset,
               request->transfer.io.len);
        TRACE4(begin, queue, request->transfer.io.tag, AIO_OP_READ, request->transfer.io.offset);
    }
    (void)queue; /* without trace points */
}

/* Makes the written requests known. Lock held. */
static void publish_batch(struct aio_queue *queue, const struct plain_batch *batch)
{
    for (unsigned run = 0; run < batch->run_count; run++)
        file_op_begin_plain(batch->runs[run].file, batch->runs[run].count);
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

/* Finds slots for as many of a batch as can be had at once: the one kept for the callback that this
 * thread runs, or free ones. Lock held. */
static void find_slots(struct aio_queue *queue, struct request *const *kept,
                       struct plain_batch *batch)
{
    const struct request_table *table = &queue->table;

    if (*kept != NULL) {
        batch->top = kept + 1;
        batch->before = REQUEST_KEPT;
        batch->count = 1;
        return;
    }
    batch->top = table->free + table->free_count;
    batch->before = REQUEST_FREE;
    if (batch->count > table->free_count)
        batch->count = table->free_count;
    if (queue->closing || queue->chain_turn != NULL || !(queue->reaper_started || queue->owned))
        batch->count = 0;
}

int queue_submit_plain(struct aio_queue *queue, const struct aio_op *ops, unsigned count,
                       aio_request_id *ids)
{
    struct request *kept = reaper_take_kept(queue);
    struct plain_batch batch;
    int64_t now_ns;
    bool plain;

    batch.count = count < QUEUE_BATCH ? count : QUEUE_BATCH;
    queue_lock(queue);
    find_slots(queue, &kept, &batch);
    now_ns = thread_now_ns();
    plain = batch.count > 0 && write_batch(queue, &batch, ops, now_ns);
    if (plain) {
        name_batch(queue, &batch, ids);
        publish_batch(queue, &batch);
    }
    queue_unlock(queue);
    if (!plain) {
        if (kept != NULL)
            reaper_keep(kept);
        return 0;
    }
    queue_launch_begun(queue, batch.ios, batch.count, now_ns, false);
    queue_speak(queue);
    return (int)batch.count;
}
