/* SPDX-License-Identifier: MIT */
/*
 * gate.c - who may run on a file now.
 *
 * The aligned path is one atomic addition for each lane on the way in and one on the way out. The
 * lock and the list are for those who want lanes alone, and for those who meet them.
 *
 * Nobody is forgotten. One who wants a lane alone is in the list, with the lane closed, before it
 * looks at the lane's count; all who leave take from that count first and then see whether the lane
 * was closed in that moment. So either the count that is looked at lacks the one who leaves, or
 * that one finds the lane closed, takes the lock and looks through the list in its turn. One who
 * enters and finds the lane closed has added to the count for a moment: it takes that back under
 * the lock and looks through the list as one who leaves.
 *
 * Nobody waits in a circle. A pass that waits holds nothing, with one exception: an append shares
 * the end while it waits for its stripes. It waits before all who want the end alone
 * (GATE_HAS_END), so none of those it waits for waits for it. What is alone never waits for more,
 * nor for a thread that might run a callback (file_road.c): a callback waits for nobody else.
 */
#include "gate.h"

#include <stddef.h>

#define GATE_LANE_CLOSED UINT64_C(1)
#define GATE_LANE_ONE UINT64_C(2)

void gate_init(struct gate *gate)
{
    for (unsigned lane = 0; lane < GATE_LANES; lane++) {
        atomic_init(&gate->lanes[lane], 0);
        gate->wanted[lane] = 0;
    }
    thread_mutex_init(&gate->lock);
    gate->alone = 0;
    gate->first = NULL;
    gate->last = NULL;
    gate->want_end_alone = 0;
}

void gate_destroy(struct gate *gate)
{
    thread_mutex_destroy(&gate->lock);
}

uint64_t gate_range(int64_t offset, uint64_t length)
{
    uint64_t first = (uint64_t)offset >> GATE_STRIPE_SHIFT;
    uint64_t last;
    uint64_t lanes = 0;

    if (length == 0)
        return 0;
    last = ((uint64_t)offset + (length - 1)) >> GATE_STRIPE_SHIFT;
    if (last - first >= GATE_STRIPES - 1)
        return GATE_END - 1;
    for (uint64_t stripe = first; stripe <= last; stripe++)
        lanes |= UINT64_C(1) << (stripe % GATE_STRIPES);
    return lanes;
}

/* The lowest lane of a set that is not empty; the set without it is lanes & (lanes - 1). */
static unsigned lowest_lane(uint64_t lanes)
{
    return (unsigned)__builtin_ctzll(lanes);
}

/* --- the list ------------------------------------------------------------------------------- */

static bool wants_end_alone(const struct gate_pass *pass)
{
    return pass->wanted_alone && (pass->wanted & GATE_END) != 0;
}

static void list_insert_before(struct gate *gate, struct gate_pass *pass, struct gate_pass *next)
{
    struct gate_pass *previous = next != NULL ? next->previous : gate->last;

    pass->next = next;
    pass->previous = previous;
    if (previous != NULL)
        previous->next = pass;
    else
        gate->first = pass;
    if (next != NULL)
        next->previous = pass;
    else
        gate->last = pass;
}

static void list_remove(struct gate *gate, struct gate_pass *pass)
{
    if (pass->previous != NULL)
        pass->previous->next = pass->next;
    else
        gate->first = pass->next;
    if (pass->next != NULL)
        pass->next->previous = pass->previous;
    else
        gate->last = pass->previous;
}

/* The waiting pass before which a new one is to wait; NULL: behind all. */
static struct gate_pass *place_of(const struct gate *gate, enum gate_turn turn)
{
    struct gate_pass *pass = gate->first;

    if (turn == GATE_CALLBACK)
        return pass;
    if (turn == GATE_IN_TURN || gate->want_end_alone == 0)
        return NULL;
    while (pass != NULL && !wants_end_alone(pass))
        pass = pass->next;
    return pass;
}

/* Puts a pass into the list and closes the lanes that it wants. */
static void start_waiting(struct gate *gate, struct gate_pass *pass, enum gate_turn turn)
{
    list_insert_before(gate, pass, place_of(gate, turn));
    pass->waiting = true;
    gate->want_end_alone += wants_end_alone(pass);
    for (uint64_t lanes = pass->wanted; lanes != 0; lanes &= lanes - 1) {
        unsigned lane = lowest_lane(lanes);

        if (gate->wanted[lane]++ == 0)
            atomic_fetch_or_explicit(&gate->lanes[lane], GATE_LANE_CLOSED, memory_order_acquire);
    }
}

static void stop_waiting(struct gate *gate, struct gate_pass *pass)
{
    list_remove(gate, pass);
    gate->want_end_alone -= wants_end_alone(pass);
    for (uint64_t lanes = pass->wanted; lanes != 0; lanes &= lanes - 1)
        gate->wanted[lowest_lane(lanes)]--;
}

/* Opens those of the lanes that nobody wants or has alone. */
static void reopen(struct gate *gate, uint64_t lanes)
{
    for (lanes &= ~gate->alone; lanes != 0; lanes &= lanes - 1) {
        unsigned lane = lowest_lane(lanes);

        if (gate->wanted[lane] == 0)
            atomic_fetch_and_explicit(&gate->lanes[lane], ~GATE_LANE_CLOSED, memory_order_release);
    }
}

/* --- who may come in ------------------------------------------------------------------------ */

static bool anyone_inside(const struct gate *gate, uint64_t lanes)
{
    for (; lanes != 0; lanes &= lanes - 1)
        if (atomic_load_explicit(&gate->lanes[lowest_lane(lanes)], memory_order_acquire) >=
            GATE_LANE_ONE)
            return true;
    return false;
}

static bool anyone_wants_beyond(const struct gate *gate, uint64_t blocked)
{
    for (uint64_t lanes = (GATE_ALL | GATE_SYNC) & ~blocked; lanes != 0; lanes &= lanes - 1)
        if (gate->wanted[lowest_lane(lanes)] > 0)
            return true;
    return false;
}

static void let_in(struct gate *gate, struct gate_pass *pass)
{
    stop_waiting(gate, pass);
    if (pass->wanted_alone) {
        gate->alone |= pass->wanted;
        pass->alone |= pass->wanted;
    } else {
        for (uint64_t lanes = pass->wanted; lanes != 0; lanes &= lanes - 1)
            atomic_fetch_add_explicit(&gate->lanes[lowest_lane(lanes)], GATE_LANE_ONE,
                                      memory_order_acquire);
        pass->shared |= pass->wanted;
    }
    reopen(gate, pass->wanted);
}

/*
 * Lets in whoever can come in, in the order of the list: none that wants a lane that somebody
 * before it waits for. Threads are woken; submitted operations are returned, but for self, whose
 * own thread is here.
 */
static struct gate_pass *look_through(struct gate *gate, const struct gate_pass *self)
{
    struct gate_pass *came_in = NULL;
    struct gate_pass **tail = &came_in;
    uint64_t blocked = gate->alone;
    struct gate_pass *next;

    for (struct gate_pass *pass = gate->first; pass != NULL; pass = next) {
        next = pass->next;
        if ((pass->wanted & blocked) != 0 ||
            (pass->wanted_alone && anyone_inside(gate, pass->wanted))) {
            blocked |= pass->wanted;
            if (!anyone_wants_beyond(gate, blocked))
                break;
            continue;
        }
        let_in(gate, pass);
        blocked |= gate->alone;
        pass->waiting = false;
        if (pass->wakeup != NULL) {
            thread_cond_signal(pass->wakeup);
        } else if (pass != self) {
            pass->next = NULL;
            *tail = pass;
            tail = &pass->next;
        }
    }
    return came_in;
}

/* --- enter and leave ------------------------------------------------------------------------ */

/* Adds to the lanes, one by one. Returns those that were added to: all, or those up to the first
 * that is closed. */
static uint64_t add_to(struct gate *gate, uint64_t lanes, bool *closed)
{
    uint64_t added = 0;

    *closed = false;
    for (; lanes != 0 && !*closed; lanes &= lanes - 1) {
        unsigned lane = lowest_lane(lanes);
        uint64_t word =
            atomic_fetch_add_explicit(&gate->lanes[lane], GATE_LANE_ONE, memory_order_acquire);

        added |= UINT64_C(1) << lane;
        *closed = (word & GATE_LANE_CLOSED) != 0;
    }
    return added;
}

/* Takes from the lanes. Returns whether one of them was closed. */
static bool take_from(struct gate *gate, uint64_t lanes)
{
    bool closed = false;

    for (; lanes != 0; lanes &= lanes - 1)
        closed |= (atomic_fetch_sub_explicit(&gate->lanes[lowest_lane(lanes)], GATE_LANE_ONE,
                                             memory_order_release) &
                   GATE_LANE_CLOSED) != 0;
    return closed;
}

/* Enters by way of the list. What came in besides it is left to *came_in. */
static bool enter_list(struct gate *gate, struct gate_pass *pass, uint64_t added,
                       enum gate_turn turn, struct gate_pass **came_in)
{
    bool inside;

    thread_mutex_lock(&gate->lock);
    take_from(gate, added);
    start_waiting(gate, pass, turn);
    *came_in = look_through(gate, pass);
    inside = !pass->waiting;
    thread_mutex_unlock(&gate->lock);
    return inside;
}

bool gate_enter(struct gate *gate, struct gate_pass *pass, uint64_t lanes, enum gate_manner manner,
                enum gate_turn turn, struct gate_pass **came_in)
{
    uint64_t added = 0;
    bool closed = true;

    *came_in = NULL;
    if (manner == GATE_SHARED) {
        added = add_to(gate, lanes, &closed);
        if (!closed) {
            pass->shared |= lanes;
            return true;
        }
    }
    pass->wanted = lanes;
    pass->wanted_alone = manner == GATE_ALONE;
    return enter_list(gate, pass, added, turn, came_in);
}

bool gate_try_shared(struct gate *gate, struct gate_pass *pass, uint64_t lanes,
                     struct gate_pass **came_in)
{
    bool closed;
    uint64_t added = add_to(gate, lanes, &closed);

    *came_in = NULL;
    if (!closed) {
        pass->shared |= lanes;
        return true;
    }
    thread_mutex_lock(&gate->lock);
    take_from(gate, added);
    *came_in = look_through(gate, NULL);
    thread_mutex_unlock(&gate->lock);
    return false;
}

/* Whoever looks at a count while the lanes are closed here finds it by the lock afterwards. */
bool gate_try_alone(struct gate *gate, struct gate_pass *pass, uint64_t lanes)
{
    bool inside;

    thread_mutex_lock(&gate->lock);
    inside = (gate->alone & lanes) == 0 && gate->first == NULL;
    if (inside) {
        for (uint64_t left = lanes; left != 0; left &= left - 1)
            atomic_fetch_or_explicit(&gate->lanes[lowest_lane(left)], GATE_LANE_CLOSED,
                                     memory_order_acquire);
        inside = !anyone_inside(gate, lanes);
        if (inside) {
            gate->alone |= lanes;
            pass->alone |= lanes;
        }
        reopen(gate, lanes);
    }
    thread_mutex_unlock(&gate->lock);
    return inside;
}

bool gate_withdraw(struct gate *gate, struct gate_pass *pass, struct gate_pass **came_in)
{
    bool waited;

    *came_in = NULL;
    thread_mutex_lock(&gate->lock);
    waited = pass->waiting;
    if (waited) {
        stop_waiting(gate, pass);
        pass->waiting = false;
        *came_in = look_through(gate, NULL);
        reopen(gate, pass->wanted);
    }
    thread_mutex_unlock(&gate->lock);
    return waited;
}

bool gate_waits(struct gate *gate, const struct gate_pass *pass)
{
    bool waits;

    thread_mutex_lock(&gate->lock);
    waits = pass->waiting;
    thread_mutex_unlock(&gate->lock);
    return waits;
}

void gate_wait(struct gate *gate, struct gate_pass *pass)
{
    thread_mutex_lock(&gate->lock);
    while (pass->waiting)
        thread_cond_wait(pass->wakeup, &gate->lock, DEADLINE_NEVER);
    thread_mutex_unlock(&gate->lock);
}

struct gate_pass *gate_share(struct gate *gate, struct gate_pass *pass, uint64_t lanes)
{
    struct gate_pass *came_in;
    uint64_t alone = pass->alone;

    thread_mutex_lock(&gate->lock);
    for (uint64_t left = lanes; left != 0; left &= left - 1)
        atomic_fetch_add_explicit(&gate->lanes[lowest_lane(left)], GATE_LANE_ONE,
                                  memory_order_relaxed);
    pass->shared |= lanes;
    pass->alone = 0;
    gate->alone &= ~alone;
    came_in = look_through(gate, NULL);
    reopen(gate, alone);
    thread_mutex_unlock(&gate->lock);
    return came_in;
}

struct gate_pass *gate_leave(struct gate *gate, struct gate_pass *pass)
{
    struct gate_pass *came_in = NULL;
    uint64_t alone = pass->alone;
    bool closed = take_from(gate, pass->shared);

    pass->shared = 0;
    pass->alone = 0;
    if (!closed && alone == 0)
        return NULL;
    thread_mutex_lock(&gate->lock);
    gate->alone &= ~alone;
    if (gate->first != NULL)
        came_in = look_through(gate, NULL);
    reopen(gate, alone);
    thread_mutex_unlock(&gate->lock);
    return came_in;
}
