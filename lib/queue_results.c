/* SPDX-License-Identifier: MIT */
/*
 * queue_results.c - results on their way out: wait, reap, drain, and the eventfd that tells of
 * them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "errno_guard.h"
#include "queue_state.h"

/* Whether this thread may wait for completions of the queue. */
static int admit_waiter(const struct aio_queue *queue)
{
    int error = queue_admit(queue);

    if (error != 0)
        return error;
    return reaper_in_callback() ? -EDEADLK : 0;
}

/* Hands a result out and frees its slot. Lock held; queue_changed() is to follow. */
static inline void take_result(struct aio_queue *queue, struct request *request,
                               struct aio_completion *completion)
{
    queue_completion(request, completion);
    if (!request->plain && request->pass.check != NULL)
        check_end(&request->pass.check);
    if (queue->times)
        histogram_add(&queue->stats.untaken, thread_now_ns() - request->done_ns);
    request_retire_id(request);
    request_change_state(&queue->table, request, REQUEST_DONE, REQUEST_FREE);
    request_free_push(&queue->table, request);
}

static void take_notice(struct aio_queue *queue, struct request *request,
                        struct aio_completion *completion)
{
    queue_notice_completion(request, completion);
    queue_drop_notice(queue, request);
}

/* --- the eventfd ---------------------------------------------------------------------------- */

/* Before the owner looks into the engine, which raises the eventfd by itself: what comes after this
 * look raises it again. */
static void event_before_look(struct aio_queue *queue)
{
    if (queue->owned && queue->event_fd >= 0)
        queue_event_lower(queue->event_fd);
}

/* After results were taken: the eventfd is up as long as there are more, whoever read it. */
static void event_follow(struct aio_queue *queue)
{
    struct waiter idle = {.kind = WAIT_IDLE};

    /* Lowered by the caller's read(2) or by ours, it tells nothing of what the engine has by now.
     */
    if (queue->owned)
        queue_await(queue, &idle, 0);
    queue->results_new = false;
    if (queue->event_old && queue_drained(queue, queue->event_since))
        queue->event_old = false;
    if (queue_results(queue) > 0 || queue_owner_is_due(queue) || queue->event_old)
        queue_event_raise(queue->event_fd);
    else if (!queue->owned)
        queue_event_lower(queue->event_fd);
}

static inline void event_after_taking(struct aio_queue *queue)
{
    if (queue->event_fd >= 0)
        event_follow(queue);
}

static int event_create(struct aio_queue *queue)
{
    int error = 0;
    int fd =
        eventfd(queue_results(queue) > 0 || queue_owner_is_due(queue), EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (queue->owned)
        error = queue->engine->ops->notify(queue->engine, fd);
    if (error != 0) {
        close(fd);
        return error;
    }
    thread_mutex_lock(&queue->mail_lock);
    queue->event_fd = fd;
    /* The engine does not tell of what it was given before: until that is done it stays up. */
    queue->event_old = queue->owned && queue->table.inflight > 0;
    queue->event_since = queue->sequence;
    if (queue->event_old)
        queue_event_raise(fd);
    thread_mutex_unlock(&queue->mail_lock);
    /* From now on the reaper thread has to reap at once. */
    queue_interrupt(queue);
    queue_changed(queue);
    return 0;
}

int aio_queue_eventfd(struct aio_queue *queue)
{
    ERRNO_GUARD;
    int result = 0;

    if (queue == NULL)
        return -EINVAL;
    result = queue_admit(queue);
    if (result != 0)
        return result;
    queue_lock(queue);
    if (queue->event_fd < 0)
        result = event_create(queue);
    if (result == 0) {
        result = fcntl(queue->event_fd, F_DUPFD_CLOEXEC, 0);
        if (result < 0)
            result = -errno;
    }
    queue_unlock(queue);
    return result;
}

/* --- wait ----------------------------------------------------------------------------------- */

/* Waits for a request in flight that only this thread may take from now on. */
static bool await_claimed(struct aio_queue *queue, struct request *request, int64_t deadline_ns)
{
    struct waiter waiter = {.kind = WAIT_REQUEST, .request = request};
    bool ready;

    request->claimed = true;
    queue->claimed++;
    if (!request->waited) {
        queue->reapable--;
        /* A reap that counted on this one may have nothing left to wait for. */
        queue_changed(queue);
    }
    ready = queue_await(queue, &waiter, deadline_ns);
    queue->claimed--;
    if (request->state == REQUEST_DONE)
        return true;
    /* It runs on, without being claimed; the notice is this thread's to take. */
    if (ready)
        queue_drop_notice(queue, request);
    request->claimed = false;
    if (!request->waited)
        queue->reapable++;
    return ready;
}

/* Looks into the engine once for a request in flight. It is not claimed: others may have it. */
static void poll_once(struct aio_queue *queue, const struct request *request)
{
    struct waiter waiter = {.kind = WAIT_REQUEST, .request = request};

    queue_await(queue, &waiter, 0);
}

/* Takes what there is for one who asks for a request by its id. */
static void take_by_id(struct aio_queue *queue, struct request *request,
                       struct aio_completion *completion)
{
    if (request->state != REQUEST_DONE) {
        take_notice(queue, request, completion);
        return;
    }
    if (!request->waited && !request->claimed)
        request_list_remove(&queue->table.done, request);
    request->claimed = false;
    take_result(queue, request, completion);
}

static int wait_locked(struct aio_queue *queue, aio_request_id id, int64_t deadline_ns,
                       struct aio_completion *completion)
{
    struct request *request = request_find(&queue->table, id);

    if (request != NULL && request->state != REQUEST_DONE && deadline_ns == 0) {
        poll_once(queue, request);
        request = request_find(&queue->table, id);
    }
    if (request == NULL)
        return -ESTALE;
    if (request->on_complete != NULL)
        return -EINVAL;
    if (request->claimed)
        return -EBUSY;
    if (request->state != REQUEST_DONE && request->notice != NOTICE_DUE &&
        (deadline_ns == 0 || !await_claimed(queue, request, deadline_ns)))
        return -ETIMEDOUT;
    take_by_id(queue, request, completion);
    event_after_taking(queue);
    queue_changed(queue);
    return 0;
}

int aio_queue_wait_result(struct aio_queue *queue, aio_request_id id,
                          const struct timespec *timeout, struct aio_completion *completion)
{
    int64_t deadline_ns;
    int error;

    if (queue == NULL || id == 0 || completion == NULL || !thread_timeout_valid(timeout))
        return -EINVAL;
    error = admit_waiter(queue);
    if (error != 0)
        return error;
    deadline_ns = thread_deadline_ns(timeout);
    queue_lock(queue);
    error = wait_locked(queue, id, deadline_ns, completion);
    queue_unlock_and_speak(queue);
    return error;
}

ssize_t aio_queue_wait(struct aio_queue *queue, aio_request_id id, const struct timespec *timeout)
{
    struct aio_completion completion;
    int error = aio_queue_wait_result(queue, id, timeout, &completion);

    return error != 0 ? error : (ssize_t)completion.result;
}

/* --- reap ----------------------------------------------------------------------------------- */

static unsigned take_results(struct aio_queue *queue, struct aio_completion *completions,
                             unsigned max)
{
    struct request_table *table = &queue->table;
    unsigned taken = 0;

    while (taken < max && table->notices.count > 0)
        take_notice(queue, table->notices.first, &completions[taken++]);
    while (taken < max && table->done.count > 0)
        take_result(queue, request_list_pop(&table->done), &completions[taken++]);
    return taken;
}

int aio_queue_reap(struct aio_queue *queue, struct aio_completion *completions, unsigned min,
                   unsigned max, const struct timespec *timeout)
{
    /* With min 0, look into the engine once, unless there is as much as can be taken. */
    struct waiter waiter = {.kind = WAIT_RESULTS, .min = min > 0 ? min : max};
    int64_t deadline_ns;
    unsigned taken;
    int error;

    if (queue == NULL || (completions == NULL && max > 0) || min > max || max > INT32_MAX ||
        !thread_timeout_valid(timeout))
        return -EINVAL;
    error = admit_waiter(queue);
    if (error != 0)
        return error;
    deadline_ns = min > 0 ? thread_deadline_ns(timeout) : 0;
    waiter.out = completions;
    waiter.out_end = max > 0 ? completions + max : NULL;
    queue_lock(queue);
    waiter.calls = queue->owned;
    if (waiter.calls && waiter.min == 0) /* to run callbacks */
        waiter.min = 1;
    if (waiter.min > 0) {
        /* With enough results there it does not look. */
        if (queue_results(queue) < waiter.min)
            event_before_look(queue);
        queue_await(queue, &waiter, deadline_ns);
    }
    taken = waiter.taken + take_results(queue, waiter.out, max - waiter.taken);
    event_after_taking(queue);
    if (taken > 0)
        queue_changed(queue);
    queue_unlock_and_speak(queue);
    return (int)taken;
}

/* --- drain ---------------------------------------------------------------------------------- */

/* Who has drained knows that all is done: whose memory it is does not hang on the results then.
 * Lock held. */
static void end_checks(struct aio_queue *queue, uint64_t sequence)
{
    for (uint32_t index = 0; index < queue->table.depth; index++) {
        struct request *request = &queue->table.requests[index];

        if (request->state == REQUEST_DONE && !request->plain && request->sequence <= sequence)
            check_end(&request->pass.check);
    }
}

int aio_queue_drain(struct aio_queue *queue, const struct timespec *timeout)
{
    struct waiter waiter = {.kind = WAIT_DRAIN};
    int64_t deadline_ns;
    bool ready;
    int error;

    if (queue == NULL || !thread_timeout_valid(timeout))
        return -EINVAL;
    error = admit_waiter(queue);
    if (error != 0)
        return error;
    deadline_ns = thread_deadline_ns(timeout);
    queue_lock(queue);
    waiter.calls = queue->owned;
    waiter.sequence = queue->sequence;
    ready = queue_await(queue, &waiter, deadline_ns);
    if (ready && atomic_load_explicit(&queue->checks, memory_order_relaxed))
        end_checks(queue, waiter.sequence);
    queue_unlock_and_speak(queue);
    return ready ? 0 : -ETIMEDOUT;
}
