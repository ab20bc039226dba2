/* SPDX-License-Identifier: MIT */
/*
 * queue_notice.c - deadlines: a notice to whoever waits for an operation that it is late.
 *
 * The deadlines of a queue are in a heap (request.h). The reaper thread never sleeps beyond the
 * first of them, whoever has the token, and whatever thread is stuck in a submit; in an owned queue
 * the owner's own calls look. A notice that is due is told to the one that the result would go to.
 */
#include <errno.h>
#include <string.h>

#include "queue_state.h"
#include "trace.h"

void queue_set_deadline(struct aio_queue *queue, struct request *request)
{
    int64_t now_ns = thread_now_ns();
    int64_t deadline_ns = DEADLINE_NEVER;

    if (request->deadline_ns < DEADLINE_NEVER - now_ns)
        deadline_ns = now_ns + request->deadline_ns;
    if (!request_deadline_set(&queue->table, request, deadline_ns) || queue->owned)
        return;
    /* Whatever the reaper thread is at, it would look up too late. */
    if (queue->token.sleeping_for > 0)
        queue_interrupt(queue);
    if (queue->reaper_dozing || queue->reaper_until_ns > deadline_ns) {
        queue->reaper_dozing = false;
        thread_cond_signal(&queue->reaper_wakeup);
    }
}

/* The list that a notice which is due stands in; NULL where a waiter takes it by its id. */
static struct request_list *notice_list(struct aio_queue *queue, const struct request *request)
{
    if (request->on_complete != NULL)
        return &queue->table.callback_notices;
    return request->waited || request->claimed ? NULL : &queue->table.notices;
}

void queue_check_deadlines(struct aio_queue *queue, int64_t now_ns)
{
    struct request_table *table = &queue->table;
    struct request *request;

    while ((request = request_deadline_first(table)) != NULL && request->deadline_ns <= now_ns) {
        struct request_list *list = notice_list(queue, request);

        request_deadline_clear(table, request);
        request->notice = NOTICE_DUE;
        queue->stats.notices++;
        TRACE2(notice, queue, request->id);
        if (list != NULL)
            request_notice_push(list, request);
        queue->results_new |= list == &table->notices;
    }
}

void queue_drop_notice(struct aio_queue *queue, struct request *request)
{
    struct request_list *list = notice_list(queue, request);

    if (request->notice == NOTICE_SET)
        request_deadline_clear(&queue->table, request);
    else if (request->notice == NOTICE_DUE && list != NULL)
        request_notice_remove(list, request);
    request->notice = NOTICE_NONE;
}

void queue_notice_completion(const struct request *request, struct aio_completion *completion)
{
    memset(completion, 0, sizeof(*completion));
    completion->id = request->id;
    completion->result = -ETIMEDOUT;
    completion->offset = request->offset;
    completion->context = request->context;
    completion->error = -ETIMEDOUT;
    completion->flags = AIO_COMPLETION_MORE;
}
