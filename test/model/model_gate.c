/* SPDX-License-Identifier: MIT */
/*
 * model_gate.c - the gate in every order of its steps: each atomic operation is one.
 *
 * Here a gate has three lanes: two stripes and the file's end. The threads of a scenario are what
 * lib/file_road.c does at the gate, and look into each other's lanes while they are inside.
 * With MODEL_PLANT set, something is wrong with lib/gate.c; the argument "planted" expects that a
 * scenario then gets stuck or breaks.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"

#include "../../lib/gate.h"

#undef atomic_load_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit

/* The compilers' own functions under those macros. */
#ifdef __clang__
#define LOAD(at) __c11_atomic_load(at, __ATOMIC_SEQ_CST)
#define FETCH(operation, at, value) __c11_atomic_fetch_##operation(at, value, __ATOMIC_SEQ_CST)
#else
#define LOAD(at) __atomic_load_n(at, __ATOMIC_SEQ_CST)
#define FETCH(operation, at, value) __atomic_fetch_##operation(at, value, __ATOMIC_SEQ_CST)
#endif

#define STEP(operation) (model_step("atomic"), operation)
#define atomic_load_explicit(at, order) STEP(LOAD(at))
#define atomic_fetch_add_explicit(at, value, order) STEP(FETCH(add, at, value))
#define atomic_fetch_sub_explicit(at, value, order) STEP(FETCH(sub, at, value))
#define atomic_fetch_or_explicit(at, value, order) STEP(FETCH(or, at, value))
#define atomic_fetch_and_explicit(at, value, order) STEP(FETCH(and, at, value))

#ifndef MODEL_PLANT
#define MODEL_PLANT 0
#endif

/* What a planted fault puts off until the lock is dropped. */
static struct {
    uint64_t close; /* lanes */
    uint64_t take[GATE_LANES];
} late;

#if MODEL_PLANT == 2 || MODEL_PLANT == 3
static void do_late(struct gate *gate)
{
    for (unsigned lane = 0; lane < GATE_LANES; lane++) {
        bool close = (late.close >> lane & 1) != 0 &&
                     (gate->wanted[lane] > 0 || (gate->alone >> lane & 1) != 0);
        uint64_t take = late.take[lane];

        late.close &= ~(UINT64_C(1) << lane);
        late.take[lane] = 0;
        if (close)
            STEP(FETCH(or, &gate->lanes[lane], 1));
        if (take > 0)
            STEP(FETCH(sub, &gate->lanes[lane], take));
    }
}

#define thread_mutex_unlock(mutex) (do_late(gate), model_mutex_unlock(mutex))
#define LANE(at) (unsigned)((at)-gate->lanes)
#endif

#if MODEL_PLANT == 1 /* one who leaves does not see that the lane was closed */
#undef atomic_fetch_sub_explicit
#define atomic_fetch_sub_explicit(at, value, order) (STEP(FETCH(sub, at, value)) & ~UINT64_C(1))
#elif MODEL_PLANT == 2 /* lanes are closed after looking */
#undef atomic_fetch_or_explicit
#define atomic_fetch_or_explicit(at, value, order) (late.close |= UINT64_C(1) << LANE(at))
#elif MODEL_PLANT == 3 /* who stood in the door takes that back after looking through the list */
#undef atomic_fetch_sub_explicit
#define atomic_fetch_sub_explicit(at, value, order)                                                \
    (gate->lock.owner == model_self() + 2 ? (late.take[LANE(at)] += value, UINT64_C(0))            \
                                          : STEP(FETCH(sub, at, value)))
#elif MODEL_PLANT == 4 /* threads are not woken */
#define thread_cond_signal(cond) ((void)(cond))
#elif MODEL_PLANT == 5 /* lanes are not opened again */
#undef atomic_fetch_and_explicit
#define atomic_fetch_and_explicit(at, value, order) STEP(FETCH(and, at, UINT64_MAX))
#elif MODEL_PLANT == 6 /* lanes are not closed */
#undef atomic_fetch_or_explicit
#define atomic_fetch_or_explicit(at, value, order) STEP(FETCH(or, at, UINT64_C(0)))
#endif

#include "../../lib/gate.c"

#if MODEL_PLANT == 7 /* one who has the end waits in turn */
#define GATE_HAS_END GATE_IN_TURN
#elif MODEL_PLANT == 8 /* a callback waits in turn */
#define GATE_CALLBACK GATE_IN_TURN
#elif MODEL_PLANT == 9 /* the last come first */
#define GATE_IN_TURN GATE_CALLBACK
#endif

#define LOW UINT64_C(1) /* stripes */
#define HIGH UINT64_C(2)
#define BOTH (LOW | HIGH)

/* Somebody at the gate. */
struct guest {
    struct gate_pass pass; /* first: a pass is its guest */
    struct thread_cond wakeup;
    uint64_t inside; /* lanes, as the guest itself counts them */
    bool alone;      /* it has the last of them alone */
    uint64_t then;   /* of an append: the stripes that it goes on to with the end in its hand */
    enum gate_manner then_manner;
    unsigned held;   /* how often it was left waiting without a thread */
    unsigned handed; /* how often it was handed out */
    unsigned ticket; /* of those that one thread submits: which it was */
    unsigned place;  /* how many had come in before it */
};

#define GUESTS 5

static struct {
    struct gate gate;
    struct guest guests[GUESTS];
    unsigned sharing[GATE_LANES];
    unsigned alone[GATE_LANES];
    unsigned came_in;
} model;

/* --- what a guest does ---------------------------------------------------------------------- */

static void come_inside(struct guest *guest, uint64_t lanes, enum gate_manner manner)
{
    for (unsigned lane = 0; lane < GATE_LANES; lane++) {
        if ((lanes >> lane & 1) == 0)
            continue;
        model_expect(model.alone[lane] == 0, "somebody has the lane alone");
        model_expect(manner == GATE_SHARED || model.sharing[lane] == 0, "somebody is in the lane");
        *(manner == GATE_SHARED ? &model.sharing[lane] : &model.alone[lane]) += 1;
    }
    model_expect(((guest->pass.shared | guest->pass.alone) & lanes) == lanes &&
                     !guest->pass.waiting,
                 "the pass says so");
    guest->place = model.came_in++;
}

static void go_outside(struct guest *guest)
{
    for (unsigned lane = 0; lane < GATE_LANES; lane++) {
        model.sharing[lane] -= (unsigned)(guest->pass.shared >> lane & 1);
        model.alone[lane] -= (unsigned)(guest->pass.alone >> lane & 1);
    }
}

static void serve(struct gate_pass *came_in);

static void leave(struct guest *guest)
{
    model_step("inside");
    go_outside(guest);
    serve(gate_leave(&model.gate, &guest->pass));
}

/* Enters as a thread. Returns whether it did not have to wait. */
static bool enter(struct guest *guest, uint64_t lanes, enum gate_manner manner, enum gate_turn turn)
{
    struct gate_pass *came_in;
    bool at_once;

    guest->pass.wakeup = &guest->wakeup;
    at_once = gate_enter(&model.gate, &guest->pass, lanes, manner, turn, &came_in);
    serve(came_in);
    if (!at_once)
        gate_wait(&model.gate, &guest->pass);
    come_inside(guest, lanes, manner);
    return at_once;
}

/* Enters without a thread: whoever is told goes on with it. Returns whether that is the caller. */
static bool submit(struct guest *guest, uint64_t lanes, enum gate_manner manner,
                   enum gate_turn turn, struct gate_pass **came_in)
{
    guest->held++;
    if (!gate_enter(&model.gate, &guest->pass, lanes, manner, turn, came_in))
        return false;
    guest->held--;
    model_expect(guest->handed == guest->held, "it was handed out and is inside too");
    come_inside(guest, lanes, manner);
    return true;
}

/* Goes on with one that is inside, to its end or until it has to wait. Returns who came in. */
static struct gate_pass *go_on(struct guest *guest)
{
    uint64_t lanes = guest->then;
    struct gate_pass *came_in;

    guest->then = 0;
    if (lanes != 0) {
        if (!submit(guest, lanes, guest->then_manner, GATE_HAS_END, &came_in))
            return came_in;
        serve(came_in);
    }
    model_step("inside");
    go_outside(guest);
    return gate_leave(&model.gate, &guest->pass);
}

/* Goes on with those that came in, and with those that come in by that. */
static void serve(struct gate_pass *came_in)
{
    unsigned ticket = 0;

    for (struct gate_pass *pass = came_in; pass != NULL; pass = pass->next) {
        struct guest *guest = (struct guest *)pass;

        model_expect(guest->ticket == 0 || guest->ticket > ticket, "they are not in their order");
        ticket = guest->ticket > 0 ? guest->ticket : ticket;
        guest->handed++;
        model_expect(guest->handed == guest->held, "it is handed out once");
        come_inside(guest, pass->wanted, pass->wanted_alone ? GATE_ALONE : GATE_SHARED);
    }
    while (came_in != NULL) {
        struct guest *guest = (struct guest *)came_in;

        came_in = came_in->next;
        serve(go_on(guest));
    }
}

static void submit_and_go_on(struct guest *guest, uint64_t lanes, enum gate_manner manner)
{
    struct gate_pass *came_in;
    bool inside = submit(guest, lanes, manner, GATE_IN_TURN, &came_in);

    serve(came_in);
    if (inside)
        serve(go_on(guest));
}

static struct guest *self(void)
{
    return &model.guests[model_self()];
}

static void visit(uint64_t lanes, enum gate_manner manner)
{
    enter(self(), lanes, manner, GATE_IN_TURN);
    leave(self());
}

static void append(enum gate_manner end, uint64_t stripes, enum gate_manner manner)
{
    enter(self(), GATE_END, end, GATE_IN_TURN);
    model_step("look up the end");
    enter(self(), stripes, manner, GATE_HAS_END);
    leave(self());
}

/* --- scenarios ------------------------------------------------------------------------------ */

static void setup(void)
{
    gate_init(&model.gate);
}

static void check(void)
{
    for (unsigned lane = 0; lane < GATE_LANES; lane++) {
        model_expect(model.gate.lanes[lane] == 0, "a lane is not empty and open in the end");
        model_expect(model.gate.wanted[lane] == 0, "a lane is wanted in the end");
        model_expect(model.sharing[lane] == 0 && model.alone[lane] == 0, "somebody stayed");
    }
    model_expect(model.gate.first == NULL && model.gate.last == NULL, "the list is not empty");
    model_expect(model.gate.want_end_alone == 0 && model.gate.alone == 0, "counts are left");
    model_expect(model.gate.lock.owner == 0, "the lock is held");
    for (unsigned index = 0; index < GUESTS; index++)
        model_expect(model.guests[index].held == model.guests[index].handed,
                     "one was not handed out");
}

static void share_low(void)
{
    visit(LOW, GATE_SHARED);
}

static void share_high(void)
{
    visit(HIGH, GATE_SHARED);
}

static void share_both(void)
{
    visit(BOTH, GATE_SHARED);
}

static void low_alone(void)
{
    visit(LOW, GATE_ALONE);
}

static void high_alone(void)
{
    visit(HIGH, GATE_ALONE);
}

static void both_alone(void)
{
    visit(BOTH, GATE_ALONE);
}

static void high_and_end_alone(void)
{
    visit(HIGH | GATE_END, GATE_ALONE);
}

static void truncate_file(void)
{
    visit(GATE_ALL, GATE_ALONE);
}

/* Those that want what nobody else wants do not wait. */
static void low_alone_at_once(void)
{
    model_expect(enter(self(), LOW, GATE_ALONE, GATE_IN_TURN), "a lane of its own is free");
    leave(self());
}

static void high_alone_at_once(void)
{
    model_expect(enter(self(), HIGH, GATE_ALONE, GATE_IN_TURN), "a lane of its own is free");
    leave(self());
}

static void share_end_at_once(void)
{
    model_expect(enter(self(), GATE_END, GATE_SHARED, GATE_IN_TURN), "a lane of its own is free");
    leave(self());
}

/* Twice: a lane is closed and opened again. */
static void low_alone_twice(void)
{
    low_alone();
    low_alone();
}

static void share_both_twice(void)
{
    share_both();
    share_both();
}

/* Appends: where the end is exact, through the page cache, and with O_APPEND. */
static void append_shared(void)
{
    append(GATE_SHARED, LOW, GATE_SHARED);
}

static void append_both(void)
{
    append(GATE_SHARED, BOTH, GATE_ALONE);
}

static void append_alone(void)
{
    append(GATE_SHARED, LOW, GATE_ALONE);
}

/* One with O_APPEND has all alone from the start. */
static void append_mode(void)
{
    visit(GATE_ALL, GATE_ALONE);
}

/* A write that extends the file ahead, then goes on beside others. */
static void grow(void)
{
    const uint64_t lanes = LOW | GATE_END;
    struct guest *guest = self();

    enter(guest, GATE_ALL, GATE_ALONE, GATE_IN_TURN);
    model_step("extend");
    go_outside(guest);
    for (unsigned lane = 0; lane < GATE_LANES; lane++)
        model.sharing[lane] += (unsigned)(lanes >> lane & 1);
    serve(gate_share(&model.gate, &guest->pass, lanes));
    leave(guest);
}

static void submit_append(void)
{
    self()->then = LOW;
    self()->then_manner = GATE_ALONE;
    submit_and_go_on(self(), GATE_END, GATE_SHARED);
}

static void submit_low(void)
{
    submit_and_go_on(self(), LOW, GATE_SHARED);
}

static void submit_both(void)
{
    submit_and_go_on(self(), BOTH, GATE_SHARED);
}

static void submit_low_alone(void)
{
    submit_and_go_on(self(), LOW, GATE_ALONE);
}

static void submit_truncate(void)
{
    submit_and_go_on(self(), GATE_ALL, GATE_ALONE);
}

static void try_both(void)
{
    struct gate_pass *came_in;
    bool inside = gate_try_shared(&model.gate, &self()->pass, BOTH, &came_in);

    serve(came_in);
    if (!inside)
        return;
    come_inside(self(), BOTH, GATE_SHARED);
    leave(self());
}

static void try_alone(uint64_t lanes)
{
    if (!gate_try_alone(&model.gate, &self()->pass, lanes))
        return;
    come_inside(self(), lanes, GATE_ALONE);
    leave(self());
}

static void try_high_and_end_alone(void)
{
    try_alone(HIGH | GATE_END);
}

/* A write that extends the file. */
static void extend(void)
{
    visit(LOW | GATE_END, GATE_SHARED);
}

/* One that is inside before the threads begin. */
static struct guest *resident(void)
{
    return &model.guests[GUESTS - 1];
}

static void setup_resident(enum gate_manner manner)
{
    struct gate_pass *came_in;

    gate_init(&model.gate);
    gate_enter(&model.gate, &resident()->pass, LOW, manner, GATE_IN_TURN, &came_in);
    come_inside(resident(), LOW, manner);
}

static void setup_resident_shares(void)
{
    setup_resident(GATE_SHARED);
}

static void setup_resident_alone(void)
{
    setup_resident(GATE_ALONE);
}

static void resident_leaves(void)
{
    leave(resident());
}

/* A callback has to return before the write that is inside can be told that it is done. */
static void callback_writes(void)
{
    enter(self(), BOTH, GATE_SHARED, GATE_CALLBACK);
    leave(self());
    leave(resident());
}

/* A callback meets one that is inside alone: it waits for that one, but for no other. */
static void callback_meets_truncate(void)
{
    enter(self(), LOW, GATE_SHARED, GATE_CALLBACK);
    leave(self());
}

/* First come first served. The resident has LOW alone; thread 0 waits for both lanes, and the
 * others come when it waits. */
static bool first_waits(void *unused)
{
    (void)unused;
    return model.gate.lock.owner == 0 && (model.guests[0].pass.waiting ||
                                          model.guests[0].pass.alone != 0 || model_thread_done(0));
}

static void second_shares_high(void)
{
    model_wait_until("the first to wait", first_waits, NULL);
    visit(HIGH, GATE_SHARED);
    model_expect(model.guests[0].place < self()->place, "one who came later is first");
}

static void third_has_low_alone(void)
{
    model_wait_until("the first to wait", first_waits, NULL);
    visit(LOW, GATE_ALONE);
    model_expect(model.guests[0].place < self()->place, "one who came later is first");
}

static void third_shares_end(void)
{
    model_wait_until("the first to wait", first_waits, NULL);
    share_end_at_once();
}

/* Several of one thread, which come in together. */
static void submit_three(void)
{
    for (unsigned index = 1; index <= 3; index++) {
        model.guests[index].ticket = index;
        submit_and_go_on(&model.guests[index], index == 2 ? BOTH : LOW, GATE_SHARED);
    }
}

static void resident_leaves_later(void)
{
    model_step("later");
    leave(resident());
}

#define SCENARIO(named, sets_up, ...)                                                              \
    {                                                                                              \
        .name = named, .setup = sets_up, .bodies = {__VA_ARGS__}, .check = check                   \
    }

static const struct model_scenario scenarios[] = {
    SCENARIO("two that share and one alone", setup, share_low, share_both, both_alone),
    SCENARIO("one that shares and two alone", setup, share_low, low_alone, low_alone),
    SCENARIO("two alone on overlapping lanes", setup, both_alone, high_and_end_alone),
    SCENARIO("the same beside one that shares", setup, both_alone, high_and_end_alone, share_high),
    SCENARIO("alone on lanes of their own", setup, low_alone_at_once, high_alone_at_once,
             share_end_at_once),
    SCENARIO("a lane closed again and again", setup, low_alone_twice, share_both_twice),
    SCENARIO("one in the door", setup, share_both, low_alone, high_alone),
    SCENARIO("two in the door", setup_resident_shares, share_both, share_both, high_alone,
             resident_leaves),
    SCENARIO("an append and a truncate", setup, append_shared, truncate_file, share_low),
    SCENARIO("an append alone and a truncate", setup, append_alone, truncate_file, low_alone),
    SCENARIO("two appends and a truncate", setup, append_shared, append_both, truncate_file),
    SCENARIO("an append and two truncates", setup, append_alone, truncate_file, truncate_file),
    SCENARIO("O_APPEND, an append and a truncate", setup, append_mode, append_shared,
             truncate_file),
    SCENARIO("a callback and a truncate that waits", setup_resident_shares, callback_writes,
             truncate_file, share_low),
    SCENARIO("a callback and a truncate inside", setup, callback_meets_truncate, truncate_file,
             truncate_file),
    SCENARIO("a submitted write and a truncate", setup, submit_low, truncate_file),
    SCENARIO("submitted: a write, a truncate", setup, submit_low, submit_truncate, submit_both),
    SCENARIO("submitted: one in the door", setup, submit_both, submit_low_alone, high_alone),
    SCENARIO("submitted: an append, a truncate", setup, submit_append, submit_truncate,
             submit_low_alone),
    SCENARIO("O_APPEND and a write that extends", setup, append_mode, extend),
    SCENARIO("an append, one that extends, a truncate", setup, append_alone, extend, truncate_file),
    SCENARIO("one that extends ahead", setup, grow, truncate_file, share_low),
    SCENARIO("one that extends ahead, an append", setup, grow, append_alone, submit_truncate),
    SCENARIO("one that does not wait, alone", setup, try_high_and_end_alone, share_both,
             append_shared),
    SCENARIO("two that do not wait, one alone", setup, try_high_and_end_alone, try_both,
             submit_low_alone),
    SCENARIO("alone without waiting, and a truncate", setup, try_high_and_end_alone,
             submit_truncate, append_both),
    SCENARIO("one that does not wait in the door", setup, try_both, submit_low_alone, high_alone),
    SCENARIO("first come first served", setup_resident_alone, both_alone, second_shares_high,
             third_has_low_alone, resident_leaves),
    SCENARIO("lanes that nobody waits for", setup_resident_alone, both_alone, third_shares_end,
             resident_leaves_later),
    SCENARIO("three come in together", setup_resident_alone, submit_three, resident_leaves),
    SCENARIO("of all sorts", setup, append_alone, submit_low, submit_truncate, share_both),
    SCENARIO("a callback among others", setup_resident_shares, callback_writes, submit_truncate,
             append_shared, try_both),
};

int main(int argc, char **argv)
{
    model_add_variable(&model, sizeof(model));
    model_add_variable(&late, sizeof(late));
    return model_main(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), argc, argv);
}
