/* SPDX-License-Identifier: MIT */
/*
 * token.c - who reaps. See token.h for the argument.
 */
#include "token.h"

#include <assert.h>
#include <stddef.h>

bool token_take(struct token *token)
{
    if (token->held)
        return false;
    token->held = true;
    return true;
}

static void parked_add(struct token *token, struct waiter *waiter)
{
    waiter->parked = true;
    waiter->next = NULL;
    waiter->previous = token->last;
    if (token->last != NULL)
        token->last->next = waiter;
    else
        token->first = waiter;
    token->last = waiter;
}

static void parked_remove(struct token *token, struct waiter *waiter)
{
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        token->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        token->last = waiter->previous;
    waiter->parked = false;
}

bool token_park(struct token *token, struct waiter *waiter, struct thread_mutex *lock,
                int64_t deadline_ns)
{
    bool in_time;

    assert(!waiter->has_token);
    if (deadline_ns == 0)
        return false;
    parked_add(token, waiter);
    in_time = thread_cond_wait(&waiter->wakeup, lock, deadline_ns);
    parked_remove(token, waiter);
    return in_time;
}

bool token_offer(struct token *token, waiter_ready_fn ready, const void *context)
{
    struct waiter *waiter = token->first;

    if (token->held)
        return true;
    /* One that was offered the token, but has not woken yet, cannot be here: it would hold it. */
    while (waiter != NULL && ready(context, waiter))
        waiter = waiter->next;
    if (waiter == NULL)
        return false;
    token->held = true;
    waiter->has_token = true;
    thread_cond_signal(&waiter->wakeup);
    return true;
}

void token_release(struct token *token)
{
    assert(token->held);
    assert(token->sleeping_for == 0);
    token->held = false;
    token->holder = NULL;
}

void token_wake_ready(struct token *token, waiter_ready_fn ready, const void *context)
{
    for (struct waiter *waiter = token->first; waiter != NULL; waiter = waiter->next)
        if (ready(context, waiter))
            thread_cond_signal(&waiter->wakeup);
}

bool token_holder_overslept(const struct token *token, waiter_ready_fn ready, const void *context)
{
    return token->sleeping_for > 0 && token->holder != NULL && ready(context, token->holder);
}

bool token_interrupt(struct token *token, struct engine *engine)
{
    if (token->sleeping_for == 0 || token->interrupted)
        return true;
    token->interrupted = engine->ops->wake(engine, token->sleeping_for) == 0;
    return token->interrupted;
}
