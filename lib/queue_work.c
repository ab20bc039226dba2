/* SPDX-License-Identifier: MIT */
/*
 * queue_work.c - the workers' part in a request: transfers through the page cache, truncates and
 * allocations, and the rest of the way of what was held back.
 *
 * A request in WORKING belongs to the one worker that runs its job, or, while it is held back, to
 * nobody. Once it is held back or given to the engine again, the worker does not touch it any more:
 * another one may have it, or its slot be somebody else's.
 *
 * With an owned queue the worker does what would block, and leaves the request in the mail; to let
 * it in again, to launch it and to finish it is the owner's. The mail's lock is dropped last: an
 * owner who has taken the last request out may destroy the queue.
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

    queue_lock(queue);
    published = request->published;
    if (published) {
        queue->inside++;
        request->held = request->pass.came_in; /* until it has entered */
    } else {
        request->resumed = true;
    }
    queue_unlock(queue);
    return published;
}

/* It has entered, and waits for nobody any more. */
static void begin_after_hold(struct aio_queue *queue, struct request *request)
{
    queue_lock(queue);
    request->held = false;
    queue_unlock(queue);
}

/* Whether a worker is to have what is for the engine. */
static bool wants_worker(struct aio_queue *queue, struct request *request)
{
    return queue_prefers_worker(queue, request) || queue_offload(queue, request);
}

/* It was held back and goes on into its file. Returns the step that is next, or an error. */
static int come_in(struct aio_queue *queue, struct request *request)
{
    int step;

    request->pass.came_in = false;
    queues_hasten_end();
    step = file_op_enter(request->file, &request->transfer, &request->pass);
    return step == FILE_STEP_ENGINE && wants_worker(queue, request) ? FILE_STEP_WORKER : step;
}

static void end_work(struct aio_queue *queue)
{
    queue_lock(queue);
    queue->inside--;
    queue_changed(queue);
    queue_unlock(queue);
}

/* retry: as for queue_launch(). */
static void launch(struct aio_queue *queue, struct request *request, bool retry)
{
    queue_lock(queue);
    request_change_state(&queue->table, request, REQUEST_WORKING, REQUEST_RUNNING);
    queue_unlock(queue);
    queue_launch(queue, &request, 1, retry);
}

static void finish(struct aio_queue *queue, struct request *request)
{
    queue_lock(queue);
    if (request->by_worker)
        histogram_add(&queue->stats.device, thread_now_ns() - request->begun_ns);
    queue_finish(queue, request);
    queue_interrupt(queue);
    queue_changed(queue);
    queue_unlock(queue);
}

/* A worker's step, and those after it that are a worker's too. */
static int work(struct aio_queue *queue, struct request *request)
{
    int step = FILE_STEP_WORKER;

    queue_begin_step(request, thread_now_ns());
    request->by_worker = true;
    while (step == FILE_STEP_WORKER || (step == FILE_STEP_ENGINE && wants_worker(queue, request)))
        step = file_op_work(request->file, queue->engine->ops, queue->engine, &request->transfer,
                            &request->pass);
    return step;
}

/* Makes known what came of a worker's step or of coming in. */
static void proceed(struct aio_queue *queue, struct request *request, int step)
{
    if (step == FILE_STEP_HELD) {
        queues_hasten_begin(1);
    } else if (step == FILE_STEP_ENGINE) {
        launch(queue, request, false);
    } else {
        if (step < 0)
            transfer_fail(&request->transfer, step);
        finish(queue, request);
    }
}

/* --- an owned queue ------------------------------------------------------------------------- */

static void leave_in_mail(struct aio_queue *queue, struct request *request)
{
    thread_mutex_lock(&queue->mail_lock);
    request->mail = atomic_load_explicit(&queue->mail, memory_order_relaxed);
    atomic_store_explicit(&queue->mail, request, memory_order_release);
    if (queue->mail_sleeping_for > 0 &&
        queue->engine->ops->wake(queue->engine, queue->mail_sleeping_for) == 0)
        queue->mail_sleeping_for = 0;
    if (queue->event_fd >= 0)
        queue_event_raise(queue->event_fd);
    thread_mutex_unlock(&queue->mail_lock);
}

/* What has come in is for the owner to let in; the rest is done here as far as it goes. What is
 * held back again belongs to nobody. */
static void work_for_owner(struct aio_queue *queue, struct request *request)
{
    if (!request->pass.came_in) {
        int step = work(queue, request);

        if (step == FILE_STEP_HELD) {
            queues_hasten_begin(1);
            return;
        }
        if (step < 0) {
            transfer_fail(&request->transfer, step);
            step = FILE_STEP_DONE;
        }
        request->step = (uint8_t)step;
    }
    leave_in_mail(queue, request);
}

static void open_letter(struct aio_queue *queue, struct request *request)
{
    int step = request->step;

    if (request->pass.came_in)
        step = come_in(queue, request);
    request->held = step == FILE_STEP_HELD; /* until this thread opens its next letter */
    if (step == FILE_STEP_WORKER)
        workers_submit(&request->pass.job);
    else
        proceed(queue, request, step);
}

bool queue_take_mail(struct aio_queue *queue)
{
    struct request *first = NULL;
    struct request *letter;

    thread_mutex_lock(&queue->mail_lock);
    letter = atomic_load_explicit(&queue->mail, memory_order_relaxed);
    atomic_store_explicit(&queue->mail, NULL, memory_order_relaxed);
    thread_mutex_unlock(&queue->mail_lock);
    while (letter != NULL) { /* the oldest first */
        struct request *next = letter->mail;

        letter->mail = first;
        first = letter;
        letter = next;
    }
    letter = first;
    while (letter != NULL) {
        struct request *next = letter->mail;

        open_letter(queue, letter);
        letter = next;
    }
    return first != NULL;
}

/* --- submits for the reaper thread ----------------------------------------------------------- */

static void queue_launch_work(struct worker_job *job)
{
    struct request *request = request_of(job);
    struct aio_queue *queue = request->queue;

    begin_work(queue, request);
    job->run = queue_work;
    launch(queue, request, true);
    end_work(queue);
}

bool queue_hand_over(struct aio_queue *queue, struct request *request)
{
    /* An engine that refuses does not block; by turns with a worker it would be asked without end.
     */
    if (request->refused || !queue->engine->ops->may_block)
        return false;
    if (queue->owned || queue->token.holder != NULL || queue->table.heap_count == 0 ||
        !atomic_load_explicit(&queue->uses_workers, memory_order_relaxed))
        return false;
    request->published = true;
    request->offset = request->transfer.offset;
    request_set_state(&queue->table, request, REQUEST_WORKING);
    request->pass.job.run = queue_launch_work;
    workers_submit(&request->pass.job);
    return true;
}

/* --- the job -------------------------------------------------------------------------------- */

void queue_work(struct worker_job *job)
{
    struct request *request = request_of(job);
    struct aio_queue *queue = request->queue;
    int step = FILE_STEP_WORKER;

    if (queue->owned) {
        work_for_owner(queue, request);
        return;
    }
    if (!begin_work(queue, request))
        return;
    if (request->pass.came_in) {
        step = come_in(queue, request);
        if (step == FILE_STEP_WORKER)
            begin_after_hold(queue, request);
    }
    if (step == FILE_STEP_WORKER)
        step = work(queue, request);
    proceed(queue, request, step);
    end_work(queue);
}
