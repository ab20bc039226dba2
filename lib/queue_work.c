/* SPDX-License-Identifier: MIT */
/*
 * queue_work.c - the workers' part in a request: transfers through the page cache, truncates and
 * allocations, and the rest of the way of what was held back.
 *
 * A request in WORKING belongs to the one worker that runs its job, or, while it is held back, to
 * nobody. Once it is held back or given to the engine again, the worker does not touch it any more:
 * another one may have it, or its slot be somebody else's.
 */
#include <stddef.h>

#include "file_ops.h"
#include "queue_state.h"

static struct request *request_of(struct worker_job *job)
{
    return (struct request *)((char *)job - offsetof(struct request, pass.job));
}

/* Keeps the queue from being destroyed; false when the request's submit is not through with it,
 * which then hands it on itself. */
static bool begin_work(struct aio_queue *queue, struct request *request)
{
    bool published;

    thread_mutex_lock(&queue->lock);
    published = request->published;
    if (published) {
        queue->inside++;
        request->held = false;
    } else {
        request->resumed = true;
    }
    thread_mutex_unlock(&queue->lock);
    return published;
}

static void end_work(struct aio_queue *queue)
{
    thread_mutex_lock(&queue->lock);
    queue->inside--;
    queue_changed(queue);
    thread_mutex_unlock(&queue->lock);
}

static void launch(struct aio_queue *queue, struct request *request)
{
    thread_mutex_lock(&queue->lock);
    request_set_state(&queue->table, request, REQUEST_RUNNING);
    thread_mutex_unlock(&queue->lock);
    queue_launch(queue, &request, 1, false);
}

static void finish(struct aio_queue *queue, struct request *request)
{
    thread_mutex_lock(&queue->lock);
    queue_finish(queue, request);
    queue_interrupt(queue);
    queue_changed(queue);
    thread_mutex_unlock(&queue->lock);
}

void queue_work(struct worker_job *job)
{
    struct request *request = request_of(job);
    struct aio_queue *queue = request->queue;
    const struct engine_ops *ops = queue->engine->ops;
    int step = FILE_STEP_WORKER;

    if (!begin_work(queue, request))
        return;
    if (request->pass.came_in) {
        request->pass.came_in = false;
        queues_hasten_end();
        step = file_op_enter(request->file, &request->transfer, &request->pass);
    }
    while (step == FILE_STEP_WORKER ||
           (step == FILE_STEP_ENGINE && queue_prefers_worker(queue, request)))
        step = file_op_work(request->file, ops, queue->engine, &request->transfer, &request->pass);
    if (step == FILE_STEP_HELD) {
        queues_hasten_begin(1);
    } else if (step == FILE_STEP_ENGINE) {
        launch(queue, request);
    } else {
        if (step < 0)
            transfer_fail(&request->transfer, step);
        finish(queue, request);
    }
    end_work(queue);
}
