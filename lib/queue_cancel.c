/* SPDX-License-Identifier: MIT */
/*
 * queue_cancel.c - taking an operation back.
 *
 * Where it waits - for the one before it in its chain, for its file, for a worker, for room in the
 * engine - it leaves at once. In the engine it is for that to say. On a worker's way it is on its
 * way.
 */
#include <errno.h>

#include "file_ops.h"
#include "queue_state.h"

/* It has left whatever it waited in. */
static int end_cancelled(struct aio_queue *queue, struct request *request)
{
    transfer_fail(&request->transfer, -ECANCELED);
    queue_finish(queue, request);
    queue_interrupt(queue);
    return 0;
}

static int cancel_linked(struct aio_queue *queue, struct request *request)
{
    request->leader->follower = NULL;
    return end_cancelled(queue, request);
}

/* Not published: a thread is letting it into its file at this moment. */
static int cancel_ready(struct aio_queue *queue, struct request *request)
{
    struct request_table *table = &queue->table;

    if (!request->published)
        return -EBUSY;
    request_list_remove(request->unentered ? &table->entering : &table->ready, request);
    return end_cancelled(queue, request);
}

static int cancel_working(struct aio_queue *queue, struct request *request)
{
    if (!file_op_withdraw(request->file, &request->pass))
        return -EBUSY;
    if (request->pass.came_in)
        queues_hasten_end();
    return end_cancelled(queue, request);
}

static int cancel_running(struct aio_queue *queue, const struct request *request)
{
    int error = queue->engine->ops->cancel(queue->engine, request_index(request));

    /* Not there: its event waits to be reaped, or a thread is about to submit it. */
    return error == -EALREADY ? -EBUSY : error;
}

static int cancel(struct aio_queue *queue, struct request *request)
{
    switch (request->state) {
    case REQUEST_LINKED:
        return cancel_linked(queue, request);
    case REQUEST_READY:
        return cancel_ready(queue, request);
    case REQUEST_WORKING:
        return cancel_working(queue, request);
    case REQUEST_RUNNING:
        return cancel_running(queue, request);
    case REQUEST_DONE:
    case REQUEST_CALLBACK:
        return -EALREADY;
    case REQUEST_FREE:
    case REQUEST_KEPT:
        break;
    }
    return -ESTALE;
}

int aio_queue_cancel(struct aio_queue *queue, aio_request_id id)
{
    struct request *request;
    int error;

    if (queue == NULL || id == 0)
        return -EINVAL;
    error = queue_admit(queue);
    if (error != 0)
        return error;
    queue_lock(queue);
    request = request_find(&queue->table, id);
    error = request != NULL ? cancel(queue, request) : -ESTALE;
    queue_changed(queue);
    queue_unlock(queue);
    return error;
}
