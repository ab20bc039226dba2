/* SPDX-License-Identifier: MIT */
/*
 * pace.c - whether submits of a file block.
 */
#include "pace.h"

void pace_init(struct pace *pace, uint64_t limit_ns)
{
    pace->limit_ns = limit_ns > INT64_MAX ? INT64_MAX : (int64_t)limit_ns;
    if (limit_ns == 0)
        pace->limit_ns = PACE_LIMIT_NS;
    atomic_init(&pace->state, PACE_FREE);
    thread_mutex_init(&pace->lock);
    pace->left = 0;
    pace->blocked = 0;
    pace->until_ns = 0;
}

void pace_destroy(struct pace *pace)
{
    thread_mutex_destroy(&pace->lock);
}

/* Lock held. */
static void set_state(struct pace *pace, enum pace_state state)
{
    atomic_store_explicit(&pace->state, (unsigned char)state, memory_order_relaxed);
}

/* Lock held. blocked: how many blocked submits are held against it to begin with. */
static void suspect(struct pace *pace, unsigned blocked)
{
    pace->left = PACE_WINDOW;
    pace->blocked = blocked;
    set_state(pace, PACE_SUSPECT);
}

enum pace_state pace_end_pause(struct pace *pace)
{
    enum pace_state state;

    thread_mutex_lock(&pace->lock);
    state = atomic_load_explicit(&pace->state, memory_order_relaxed);
    if (state == PACE_BLOCKED && thread_now_ns() >= pace->until_ns) {
        /* The next one that blocks is enough for another pause. */
        suspect(pace, PACE_BLOCKED_MAX);
        state = PACE_SUSPECT;
    }
    thread_mutex_unlock(&pace->lock);
    return state;
}

void pace_note(struct pace *pace, int64_t elapsed_ns, bool slept)
{
    bool slow = elapsed_ns > pace->limit_ns;

    if (!slow && atomic_load_explicit(&pace->state, memory_order_relaxed) == PACE_FREE)
        return;
    thread_mutex_lock(&pace->lock);
    switch (atomic_load_explicit(&pace->state, memory_order_relaxed)) {
    case PACE_FREE:
        suspect(pace, 0);
        break;
    case PACE_SUSPECT:
        pace->blocked += slow && slept;
        if (pace->blocked > PACE_BLOCKED_MAX) {
            pace->until_ns = thread_now_ns() + PACE_PAUSE_NS;
            set_state(pace, PACE_BLOCKED);
        } else if (--pace->left == 0) {
            set_state(pace, PACE_FREE);
        }
        break;
    default: /* one that was on its way when it was found out */
        break;
    }
    thread_mutex_unlock(&pace->lock);
}
