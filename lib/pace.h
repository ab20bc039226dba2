/* SPDX-License-Identifier: MIT */
/*
 * pace.h - whether submits of a file block.
 *
 * A submit is to return at once; where a file system makes it wait for the disk (a full journal,
 * extents to be read first), the thread that submits stands still, and all that it has to do. When
 * of a file's last PACE_WINDOW submits that were timed more than one in a hundred took longer than
 * a limit, and the thread slept in them, its operations go to the workers for a while; then submits
 * are tried again.
 *
 * That a submit took long is no proof: the thread may have been preempted. So the first long one
 * only makes the file a suspect: from then on its submits are all timed, and it is looked whether
 * they slept.
 */
#ifndef AIOFILE_LIB_PACE_H
#define AIOFILE_LIB_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "thread.h"

#define PACE_WINDOW 128u
#define PACE_BLOCKED_MAX (PACE_WINDOW / 100)
#define PACE_PAUSE_NS NS_PER_SECOND

/* What a limit of 0 stands for. */
#define PACE_LIMIT_NS INT64_C(1000000)

enum pace_state {
    PACE_FREE,    /* submits do not block, as far as is known */
    PACE_SUSPECT, /* each is to be timed, and looked whether it sleeps */
    PACE_BLOCKED, /* they do */
};

struct pace {
    int64_t limit_ns; /* set at open */

    /* enum pace_state. Relaxed: a hint, for each operation on its way in. Changed with the lock. */
    atomic_uchar state;

    struct thread_mutex lock; /* guards all below; nothing is locked under it */
    unsigned left;            /* of the window, while SUSPECT */
    unsigned blocked;         /* submits in it that slept beyond the limit */
    int64_t until_ns;         /* while BLOCKED */
};

/* limit_ns 0 is the usual one; UINT64_MAX: submits never count as blocking. */
void pace_init(struct pace *pace, uint64_t limit_ns);
void pace_destroy(struct pace *pace);

/* How submits stand after a look at the clock: a pause that is over ends. */
enum pace_state pace_end_pause(struct pace *pace);

/* How submits stand now. */
static inline enum pace_state pace_look(struct pace *pace)
{
    enum pace_state state = atomic_load_explicit(&pace->state, memory_order_relaxed);

    return state == PACE_BLOCKED ? pace_end_pause(pace) : state;
}

/* A submit took that long; slept: for certain, and not only preempted. */
void pace_note(struct pace *pace, int64_t elapsed_ns, bool slept);

#endif
