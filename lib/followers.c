/* SPDX-License-Identifier: MIT */
/*
 * followers.c - the writes of chains that have yet to come, and the syncs that wait for them.
 */
#include "followers.h"

#include <stddef.h>

void followers_init(struct followers *followers)
{
    *followers = (struct followers){.tickets = 0};
    thread_mutex_init(&followers->lock);
}

void followers_destroy(struct followers *followers)
{
    thread_mutex_destroy(&followers->lock);
}

static void list_push(struct follower_list *list, struct follower *follower)
{
    follower->next = NULL;
    follower->previous = list->last;
    if (list->last != NULL)
        list->last->next = follower;
    else
        list->first = follower;
    list->last = follower;
}

static void list_remove(struct follower_list *list, struct follower *follower)
{
    if (follower->previous != NULL)
        follower->previous->next = follower->next;
    else
        list->first = follower->next;
    if (follower->next != NULL)
        follower->next->previous = follower->previous;
    else
        list->last = follower->previous;
}

void followers_add(struct followers *followers, struct follower *follower)
{
    thread_mutex_lock(&followers->lock);
    follower->ticket = ++followers->tickets;
    follower->listed = true;
    list_push(&followers->listed, follower);
    atomic_fetch_add_explicit(&followers->count, 1, memory_order_relaxed);
    thread_mutex_unlock(&followers->lock);
}

void followers_stamp(struct followers *followers, struct follower *sync)
{
    sync->ticket = 0;
    if (atomic_load_explicit(&followers->count, memory_order_relaxed) == 0)
        return;
    thread_mutex_lock(&followers->lock);
    sync->ticket = followers->tickets;
    thread_mutex_unlock(&followers->lock);
}

/* Lock held. The list is in the order of the tickets. */
static bool must_wait(const struct followers *followers, const struct follower *sync)
{
    return followers->listed.first != NULL && followers->listed.first->ticket <= sync->ticket;
}

bool followers_await(struct followers *followers, struct follower *sync)
{
    bool waits;

    if (sync->ticket == 0)
        return false;
    thread_mutex_lock(&followers->lock);
    waits = must_wait(followers, sync);
    sync->waiting = waits;
    if (waits)
        list_push(&followers->waiting, sync);
    thread_mutex_unlock(&followers->lock);
    return waits;
}

bool followers_waits(struct followers *followers, const struct follower *sync)
{
    bool waits;

    thread_mutex_lock(&followers->lock);
    waits = sync->waiting;
    thread_mutex_unlock(&followers->lock);
    return waits;
}

void followers_wait(struct followers *followers, struct follower *sync)
{
    thread_mutex_lock(&followers->lock);
    while (sync->waiting)
        thread_cond_wait(sync->wakeup, &followers->lock, DEADLINE_NEVER);
    thread_mutex_unlock(&followers->lock);
}

/* Lets go the syncs that need not wait any more. Lock held. Returns the submitted ones. */
static struct follower *let_go(struct followers *followers)
{
    struct follower_list gone = {NULL, NULL};
    struct follower *next;

    for (struct follower *sync = followers->waiting.first; sync != NULL; sync = next) {
        next = sync->next;
        if (must_wait(followers, sync))
            continue;
        list_remove(&followers->waiting, sync);
        sync->waiting = false;
        if (sync->wakeup != NULL)
            thread_cond_signal(sync->wakeup);
        else
            list_push(&gone, sync);
    }
    return gone.first;
}

struct follower *followers_remove(struct followers *followers, struct follower *follower)
{
    struct follower *gone = NULL;

    thread_mutex_lock(&followers->lock);
    if (follower->listed) {
        follower->listed = false;
        list_remove(&followers->listed, follower);
        atomic_fetch_sub_explicit(&followers->count, 1, memory_order_relaxed);
        gone = let_go(followers);
    }
    thread_mutex_unlock(&followers->lock);
    return gone;
}

bool followers_withdraw(struct followers *followers, struct follower *sync)
{
    bool waited;

    thread_mutex_lock(&followers->lock);
    waited = sync->waiting;
    if (waited)
        list_remove(&followers->waiting, sync);
    sync->waiting = false;
    thread_mutex_unlock(&followers->lock);
    return waited;
}
