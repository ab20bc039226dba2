/* SPDX-License-Identifier: MIT */
/*
 * flight.c - one operation in flight.
 */
#include "flight.h"

#include "judge.h"

uint64_t tick(void)
{
    static atomic_ullong ticks;

    return atomic_fetch_add(&ticks, 1) + 1;
}

void flight_init(struct flight *flight)
{
    pthread_mutex_init(&flight->lock, NULL);
    pthread_cond_init(&flight->changed, NULL);
}

void flight_destroy(struct flight *flight)
{
    memory_free(&flight->memory);
    pthread_mutex_destroy(&flight->lock);
    pthread_cond_destroy(&flight->changed);
}

struct aio_op flight_op(struct flight *flight, uint64_t *random, uint64_t length, uint64_t unit,
                        uint8_t scalar, uint8_t vectors)
{
    bool cut = one_in(random, 3);
    struct aio_op op = {.opcode = cut ? vectors : scalar};

    memory_lay(&flight->memory, random, cut ? MEMORY_VECTORS : MEMORY_ONE, length, unit);
    if (cut) {
        op.iov = flight->memory.pieces;
        op.len = flight->memory.count;
    } else {
        op.buf = memory_one(&flight->memory);
        op.len = length;
    }
    return op;
}

static void flight_done(const struct aio_completion *completion)
{
    struct flight *flight = completion->context;

    pthread_mutex_lock(&flight->lock);
    if (flight->done)
        disagree("request %llu has two results", (unsigned long long)completion->id);
    flight->completion = *completion;
    flight->end = tick();
    flight->done = true;
    pthread_cond_signal(&flight->changed);
    pthread_mutex_unlock(&flight->lock);
}

void flight_begin(struct flight *flight, struct aio_queue *queue, struct aio_op *op, bool callback)
{
    flight->used = true;
    flight->callback = callback;
    flight->queue = queue;
    flight->done = false;
    op->context = flight;
    if (callback)
        op->on_complete = flight_done;
    else
        op->flags |= AIO_OP_WAITED;
    flight->begin = tick();
    agree("aio_queue_submit", ASK(aio_queue_submit(queue, op, 1, &flight->id)), 1);
}

void flight_block(struct flight *flight, struct aio_op *op)
{
    off_t where = op->offset;
    int64_t result;

    flight->begin = tick();
    if (op->opcode == AIO_OP_APPEND)
        result = ASK(aio_file_append(op->file, op->buf, op->len, &where));
    else if (op->opcode == AIO_OP_APPENDV)
        result = ASK(aio_file_appendv(op->file, op->iov, (int)op->len, &where));
    else
        result = ASK(aio_file_execute(op->file, op));
    flight->end = tick();
    flight->completion = (struct aio_completion){.result = result, .offset = where};
    flight->used = true;
    flight->done = true;
}

void flight_end(struct flight *flight)
{
    struct aio_completion completion;
    bool done;

    pthread_mutex_lock(&flight->lock);
    while (flight->callback && !flight->done)
        pthread_cond_wait(&flight->changed, &flight->lock);
    done = flight->done;
    pthread_mutex_unlock(&flight->lock);
    if (!done) {
        agree("aio_queue_wait_result",
              ASK(aio_queue_wait_result(flight->queue, flight->id, NULL, &completion)), 0);
        flight_done(&completion);
    }
    flight->used = false;
}
