/* SPDX-License-Identifier: MIT */
/*
 * test_gate.c - who may run on a file now.
 *
 * Most of it needs no threads: a submitted operation waits without one, and comes out of the call
 * that let it in.
 */
#include "gate.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define LANE(number) (UINT64_C(1) << (number))
#define STRIPE (INT64_C(1) << GATE_STRIPE_SHIFT) /* bytes */

/* What is in a lane's word. */
#define CLOSED UINT64_C(1)
#define ONE UINT64_C(2)

static struct gate gate;
static struct gate_pass passes[8];

static void set_up(void)
{
    gate_init(&gate);
    memset(passes, 0, sizeof(passes));
}

/* Nothing is left in it. */
static void tear_down(void)
{
    for (unsigned lane = 0; lane < GATE_LANES; lane++) {
        REQUIRE_EQ(atomic_load(&gate.lanes[lane]), 0);
        REQUIRE_EQ(gate.wanted[lane], 0);
    }
    REQUIRE(gate.first == NULL && gate.last == NULL);
    REQUIRE_EQ(gate.alone, 0);
    REQUIRE_EQ(gate.want_end_alone, 0);
    gate_destroy(&gate);
}

/* How many wait. */
static unsigned waiting(void)
{
    unsigned count = 0;

    thread_mutex_lock(&gate.lock);
    for (struct gate_pass *pass = gate.first; pass != NULL; pass = pass->next)
        count++;
    thread_mutex_unlock(&gate.lock);
    return count;
}

/* Whether it is inside, and told nobody else to go on. */
static bool enters_in(struct gate_pass *pass, uint64_t lanes, enum gate_manner manner,
                      enum gate_turn turn)
{
    struct gate_pass *came_in = pass;
    bool inside = gate_enter(&gate, pass, lanes, manner, turn, &came_in);

    REQUIRE(came_in == NULL);
    REQUIRE(inside != pass->waiting);
    REQUIRE(!inside || ((manner == GATE_SHARED ? pass->shared : pass->alone) & lanes) == lanes);
    return inside;
}

static bool enters(struct gate_pass *pass, uint64_t lanes, enum gate_manner manner)
{
    return enters_in(pass, lanes, manner, GATE_IN_TURN);
}

/* Those that came in are these, in this order. */
static void check_came_in(struct gate_pass *came_in, struct gate_pass *const *expected,
                          unsigned count)
{
    for (unsigned index = 0; index < count; index++) {
        REQUIRE(came_in == expected[index]);
        REQUIRE(!came_in->waiting);
        came_in = came_in->next;
    }
    REQUIRE(came_in == NULL);
}

#define CAME_IN(came_in, ...)                                                                      \
    check_came_in(came_in, (struct gate_pass *const[]){__VA_ARGS__},                               \
                  COUNT(((struct gate_pass *const[]){__VA_ARGS__})))

/* Leaves, which lets these in; or nobody. */
#define LEAVES_TO(pass, ...) CAME_IN(gate_leave(&gate, pass), __VA_ARGS__)
#define LEAVES(pass) REQUIRE(gate_leave(&gate, pass) == NULL)

/* --- the lanes of a range ------------------------------------------------------------------- */

START_TEST(nothing_has_no_lanes)
{
    const int64_t offsets[] = {0, 1, STRIPE, STRIPE - 1, INT64_MAX - 1, INT64_MAX};

    for (unsigned index = 0; index < COUNT(offsets); index++)
        REQUIRE_EQ(gate_range(offsets[index], 0), 0);
}
END_TEST

START_TEST(a_range_has_the_lanes_that_it_touches)
{
    for (int64_t stripe = 0; stripe < 3 * GATE_STRIPES; stripe++) {
        uint64_t this = LANE(stripe % GATE_STRIPES);
        uint64_t next = LANE((stripe + 1) % GATE_STRIPES);
        int64_t offset = stripe * STRIPE;

        REQUIRE_EQ(gate_range(offset, 1), this);
        REQUIRE_EQ(gate_range(offset, STRIPE), this);
        REQUIRE_EQ(gate_range(offset, STRIPE + 1), this | next);
        REQUIRE_EQ(gate_range(offset, 2 * STRIPE), this | next);
        REQUIRE_EQ(gate_range(offset + 1, STRIPE), this | next);
        REQUIRE_EQ(gate_range(offset + STRIPE - 1, 1), this);
        REQUIRE_EQ(gate_range(offset + STRIPE - 1, 2), this | next);
        REQUIRE_EQ(gate_range(offset + PAGE, PAGE), this);
    }
    /* Behind the last lane comes the first. */
    REQUIRE_EQ(gate_range((GATE_STRIPES - 1) * STRIPE, 2 * STRIPE),
               LANE(GATE_STRIPES - 1) | LANE(0));
}
END_TEST

START_TEST(a_long_range_has_all_lanes_but_the_end)
{
    const uint64_t all = GATE_END - 1;
    const int64_t starts[] = {0, 1, 17 * STRIPE, 63 * STRIPE - 1, 1000 * STRIPE};

    for (unsigned index = 0; index < COUNT(starts); index++) {
        int64_t start = starts[index];

        REQUIRE_EQ(gate_range(start, GATE_STRIPES * STRIPE), all);
        REQUIRE_EQ(gate_range(start, GATE_STRIPES * STRIPE + 1), all);
        REQUIRE_EQ(gate_range(start, 1000 * STRIPE), all);
        REQUIRE_EQ(gate_range(start, (uint64_t)(INT64_MAX - start)), all);
        REQUIRE_EQ(gate_range(start, INT64_MAX), all);
    }
    /* One stripe less leaves one lane out. */
    REQUIRE_EQ(gate_range(0, (GATE_STRIPES - 1) * STRIPE), all & ~LANE(GATE_STRIPES - 1));
    REQUIRE_EQ(gate_range(5 * STRIPE, (GATE_STRIPES - 1) * STRIPE), all & ~LANE(4));
    REQUIRE_EQ(gate_range(1, (GATE_STRIPES - 1) * STRIPE), all);
}
END_TEST

START_TEST(ranges_at_the_end_of_numbers)
{
    int64_t stripe = INT64_MAX >> GATE_STRIPE_SHIFT;
    uint64_t last = LANE(stripe % GATE_STRIPES);
    uint64_t before = LANE((stripe - 1) % GATE_STRIPES);

    REQUIRE_EQ(gate_range(INT64_MAX, 1), last);
    REQUIRE_EQ(gate_range(INT64_MAX - 1, 1), last);
    REQUIRE_EQ(gate_range(INT64_MAX - STRIPE + 1, STRIPE - 1), last);
    REQUIRE_EQ(gate_range(INT64_MAX - STRIPE, STRIPE), last | before);
    REQUIRE_EQ(gate_range(INT64_MAX - 2 * STRIPE + 1, STRIPE), before);
    REQUIRE_EQ(gate_range(INT64_MAX - 100 * STRIPE, 100 * STRIPE), GATE_END - 1);
}
END_TEST

START_TEST(any_range_has_the_lanes_of_its_stripes)
{
    uint64_t state = 1;

    for (int round = 0; round < 20000; round++) {
        int64_t offset = (int64_t)(random_next(&state) % (300 * (uint64_t)STRIPE));
        uint64_t length = random_next(&state) % (80 * (uint64_t)STRIPE) + 1;
        uint64_t lanes = 0;

        if (round % 2 == 0)
            length = length % (3 * STRIPE) + 1;
        for (int64_t stripe = offset / STRIPE; stripe * STRIPE < offset + (int64_t)length; stripe++)
            lanes |= LANE(stripe % GATE_STRIPES);
        REQUIRE_EQ(gate_range(offset, length), lanes);
    }
}
END_TEST

/* --- together and alone --------------------------------------------------------------------- */

START_TEST(those_who_share_are_together)
{
    const uint64_t lanes[] = {LANE(0), LANE(0) | LANE(1), GATE_ALL, GATE_END, GATE_END - 1};

    set_up();
    for (unsigned index = 0; index < COUNT(lanes); index++)
        REQUIRE(enters(&passes[index], lanes[index], GATE_SHARED));
    REQUIRE_EQ(atomic_load(&gate.lanes[0]), 4 * ONE);
    REQUIRE_EQ(atomic_load(&gate.lanes[1]), 3 * ONE);
    REQUIRE_EQ(atomic_load(&gate.lanes[GATE_STRIPES]), 2 * ONE);
    for (unsigned index = 0; index < COUNT(lanes); index++)
        LEAVES(&passes[index]);
    tear_down();
}
END_TEST

START_TEST(many_may_share)
{
    const unsigned count = 1 << 17;
    struct gate_pass *many = calloc(count, sizeof(*many));

    REQUIRE(many != NULL);
    set_up();
    for (unsigned index = 0; index < count; index++)
        REQUIRE(gate_try_shared(&gate, &many[index], LANE(3) | GATE_END, &passes[7].next));
    REQUIRE(!enters(&passes[0], GATE_END, GATE_ALONE));
    for (unsigned index = 1; index < count; index++)
        LEAVES(&many[index]);
    LEAVES_TO(&many[0], &passes[0]);
    LEAVES(&passes[0]);
    tear_down();
    free(many);
}
END_TEST

/* Whether two may be inside together. */
static bool together(uint64_t lanes, enum gate_manner manner, uint64_t others,
                     enum gate_manner other_manner)
{
    return (lanes & others) == 0 || (manner == GATE_SHARED && other_manner == GATE_SHARED);
}

static void check_pair(uint64_t lanes, enum gate_manner manner, uint64_t others,
                       enum gate_manner other_manner)
{
    set_up();
    REQUIRE(enters(&passes[0], lanes, manner));
    if (together(lanes, manner, others, other_manner)) {
        REQUIRE(enters(&passes[1], others, other_manner));
        LEAVES(&passes[0]);
    } else {
        REQUIRE(!enters(&passes[1], others, other_manner));
        LEAVES_TO(&passes[0], &passes[1]);
    }
    LEAVES(&passes[1]);
    tear_down();
}

START_TEST(alone_keeps_out_who_wants_the_same_lanes)
{
    const uint64_t lanes[] = {LANE(0),  LANE(1),      LANE(0) | LANE(1), LANE(1) | LANE(62),
                              GATE_END, GATE_END - 1, GATE_ALL,          LANE(62) | GATE_END};

    for (unsigned left = 0; left < COUNT(lanes); left++)
        for (unsigned right = 0; right < COUNT(lanes); right++)
            for (unsigned manners = 0; manners < 4; manners++)
                check_pair(lanes[left], (enum gate_manner)(manners % 2), lanes[right],
                           (enum gate_manner)(manners / 2));
}
END_TEST

START_TEST(each_lane_is_one_of_its_own)
{
    for (unsigned lane = 0; lane < GATE_LANES - 1; lane++) {
        set_up();
        REQUIRE(enters(&passes[0], LANE(lane), GATE_ALONE));
        REQUIRE(enters(&passes[1], GATE_ALL & ~LANE(lane), GATE_ALONE));
        LEAVES(&passes[1]);
        REQUIRE(!enters(&passes[2], GATE_ALL, GATE_SHARED));
        LEAVES_TO(&passes[0], &passes[2]);
        LEAVES(&passes[2]);
        tear_down();
    }
}
END_TEST

START_TEST(who_leaves_gives_up_all_lanes)
{
    set_up();
    REQUIRE(enters(&passes[0], GATE_END, GATE_SHARED));
    REQUIRE(enters_in(&passes[0], LANE(3), GATE_ALONE, GATE_HAS_END));
    REQUIRE_EQ(passes[0].shared, GATE_END);
    REQUIRE_EQ(passes[0].alone, LANE(3));
    REQUIRE(!enters(&passes[1], LANE(3), GATE_SHARED));
    REQUIRE(!enters(&passes[2], GATE_END, GATE_ALONE));
    LEAVES_TO(&passes[0], &passes[1], &passes[2]);
    REQUIRE_EQ(passes[0].shared | passes[0].alone, 0);
    LEAVES(&passes[1]);
    LEAVES(&passes[2]);
    tear_down();
}
END_TEST

START_TEST(who_is_closed_out_comes_in_when_it_is_open_again)
{
    set_up();
    for (int round = 0; round < 3; round++) {
        REQUIRE(enters(&passes[0], LANE(5), GATE_ALONE));
        REQUIRE_EQ(atomic_load(&gate.lanes[5]), CLOSED);
        LEAVES(&passes[0]);
        REQUIRE_EQ(atomic_load(&gate.lanes[5]), 0);
        REQUIRE(enters(&passes[1], LANE(5), GATE_SHARED));
        REQUIRE_EQ(atomic_load(&gate.lanes[5]), ONE);
        /* Closed by one who waits, and opened by its coming and going. */
        REQUIRE(!enters(&passes[0], LANE(5), GATE_ALONE));
        REQUIRE_EQ(atomic_load(&gate.lanes[5]), ONE | CLOSED);
        LEAVES_TO(&passes[1], &passes[0]);
        REQUIRE_EQ(atomic_load(&gate.lanes[5]), CLOSED);
        LEAVES(&passes[0]);
    }
    tear_down();
}
END_TEST

/* --- without waiting ------------------------------------------------------------------------ */

START_TEST(who_does_not_wait_is_turned_away)
{
    struct gate_pass *came_in;

    set_up();
    REQUIRE(gate_try_shared(&gate, &passes[0], LANE(1) | LANE(2), &came_in));
    REQUIRE(came_in == NULL);
    REQUIRE(gate_try_shared(&gate, &passes[1], LANE(1), &came_in));
    REQUIRE(!gate_try_alone(&gate, &passes[2], LANE(2) | LANE(3)));
    REQUIRE_EQ(atomic_load(&gate.lanes[3]), 0);
    REQUIRE(gate_try_alone(&gate, &passes[2], LANE(3)));
    REQUIRE(!gate_try_alone(&gate, &passes[3], LANE(3)));
    REQUIRE(!gate_try_shared(&gate, &passes[3], LANE(4) | LANE(3), &came_in));
    REQUIRE(came_in == NULL);
    REQUIRE_EQ(passes[3].shared | passes[3].alone, 0);
    REQUIRE_EQ(atomic_load(&gate.lanes[3]), CLOSED);
    REQUIRE_EQ(atomic_load(&gate.lanes[4]), 0);
    LEAVES(&passes[2]);
    REQUIRE(gate_try_shared(&gate, &passes[3], LANE(4) | LANE(3), &came_in));
    /* Nor does it go before those who wait. */
    REQUIRE(!enters(&passes[4], LANE(1), GATE_ALONE));
    REQUIRE(!gate_try_shared(&gate, &passes[5], LANE(1), &came_in));
    REQUIRE(came_in == NULL);
    REQUIRE(!gate_try_alone(&gate, &passes[5], LANE(1)));
    LEAVES(&passes[0]);
    LEAVES_TO(&passes[1], &passes[4]);
    LEAVES(&passes[3]);
    LEAVES(&passes[4]);
    REQUIRE(gate_try_alone(&gate, &passes[5], GATE_ALL));
    LEAVES(&passes[5]);
    tear_down();
}
END_TEST

/* --- first come, first served --------------------------------------------------------------- */

START_TEST(nobody_overtakes)
{
    set_up();
    REQUIRE(enters(&passes[0], LANE(1), GATE_SHARED));
    REQUIRE(!enters(&passes[1], LANE(1), GATE_ALONE));
    /* It could be with the first, but the second was there before it. */
    REQUIRE(!enters(&passes[2], LANE(1) | LANE(2), GATE_SHARED));
    /* Lane 2 has nobody in it, but one who waits. */
    REQUIRE(!enters(&passes[3], LANE(2), GATE_ALONE));
    REQUIRE(!enters(&passes[4], LANE(2), GATE_SHARED));
    /* Lanes of their own. */
    REQUIRE(enters(&passes[5], LANE(3), GATE_ALONE));
    LEAVES(&passes[5]);
    REQUIRE(enters(&passes[5], GATE_END, GATE_SHARED));
    LEAVES(&passes[5]);
    LEAVES_TO(&passes[0], &passes[1]);
    LEAVES_TO(&passes[1], &passes[2]);
    LEAVES_TO(&passes[2], &passes[3]);
    LEAVES_TO(&passes[3], &passes[4]);
    LEAVES(&passes[4]);
    tear_down();
}
END_TEST

START_TEST(those_who_can_come_in_together)
{
    set_up();
    REQUIRE(enters(&passes[0], LANE(1), GATE_ALONE));
    REQUIRE(!enters(&passes[1], LANE(1), GATE_SHARED));
    REQUIRE(!enters(&passes[2], LANE(1) | LANE(2), GATE_SHARED));
    REQUIRE(!enters(&passes[3], LANE(1), GATE_SHARED));
    REQUIRE(!enters(&passes[4], LANE(1), GATE_ALONE));
    REQUIRE(!enters(&passes[5], LANE(1), GATE_SHARED));
    LEAVES_TO(&passes[0], &passes[1], &passes[2], &passes[3]);
    LEAVES(&passes[3]);
    LEAVES(&passes[1]);
    LEAVES_TO(&passes[2], &passes[4]);
    LEAVES_TO(&passes[4], &passes[5]);
    LEAVES(&passes[5]);
    tear_down();
}
END_TEST

/* Who leaves lets in those who waited for him, in whatever part of the list. */
START_TEST(one_who_cannot_come_in_holds_up_his_own_lanes_only)
{
    set_up();
    REQUIRE(enters(&passes[0], LANE(0), GATE_SHARED));
    REQUIRE(enters(&passes[1], LANE(1), GATE_ALONE));
    REQUIRE(enters(&passes[2], LANE(2), GATE_SHARED));
    REQUIRE(!enters(&passes[3], LANE(0) | LANE(3), GATE_ALONE));
    REQUIRE(!enters(&passes[4], LANE(1), GATE_SHARED));
    REQUIRE(!enters(&passes[5], LANE(2), GATE_ALONE));
    REQUIRE(!enters(&passes[6], LANE(3), GATE_SHARED));
    LEAVES_TO(&passes[2], &passes[5]);
    LEAVES_TO(&passes[1], &passes[4]);
    LEAVES(&passes[4]);
    LEAVES_TO(&passes[0], &passes[3]);
    LEAVES(&passes[5]);
    LEAVES_TO(&passes[3], &passes[6]);
    LEAVES(&passes[6]);
    tear_down();
}
END_TEST

START_TEST(one_who_wants_many_lanes_is_not_forgotten)
{
    struct gate_pass residents[GATE_LANES] = {0};

    set_up();
    for (unsigned lane = 0; lane < GATE_LANES - 1; lane++)
        REQUIRE(enters(&residents[lane], LANE(lane), lane % 2 == 0 ? GATE_SHARED : GATE_ALONE));
    REQUIRE(!enters(&passes[0], GATE_ALL, GATE_ALONE));
    for (unsigned lane = 0; lane < GATE_LANES - 2; lane++) {
        LEAVES(&residents[lane]);
        /* Those who come now come after him. */
        REQUIRE(!gate_try_alone(&gate, &residents[lane], LANE(lane)));
    }
    REQUIRE(!enters(&passes[1], LANE(0), GATE_SHARED));
    LEAVES_TO(&residents[GATE_LANES - 2], &passes[0]);
    LEAVES_TO(&passes[0], &passes[1]);
    LEAVES(&passes[1]);
    tear_down();
}
END_TEST

/* --- one who has the end -------------------------------------------------------------------- */

START_TEST(one_who_has_the_end_does_not_wait_for_a_truncate)
{
    enum gate_manner manner = (enum gate_manner)_i;

    set_up();
    REQUIRE(enters(&passes[0], GATE_END, GATE_SHARED));
    REQUIRE(!enters(&passes[1], GATE_ALL, GATE_ALONE));
    REQUIRE(enters_in(&passes[0], LANE(7), manner, GATE_HAS_END));
    LEAVES_TO(&passes[0], &passes[1]);
    LEAVES(&passes[1]);
    tear_down();
}
END_TEST

START_TEST(one_who_has_the_end_waits_before_a_truncate)
{
    enum gate_manner manner = (enum gate_manner)_i;

    set_up();
    REQUIRE(enters(&passes[0], LANE(7), manner == GATE_SHARED ? GATE_ALONE : GATE_SHARED));
    REQUIRE(enters(&passes[1], GATE_END, GATE_SHARED));
    REQUIRE(!enters(&passes[2], GATE_ALL, GATE_ALONE));
    REQUIRE(!enters(&passes[3], GATE_ALL, GATE_ALONE));
    /* Others wait behind the truncates, those who want the end too. */
    REQUIRE(!enters(&passes[4], LANE(7), GATE_SHARED));
    REQUIRE(!enters(&passes[5], GATE_END, GATE_SHARED));
    REQUIRE(!enters_in(&passes[1], LANE(7), manner, GATE_HAS_END));
    LEAVES_TO(&passes[0], &passes[1]);
    LEAVES_TO(&passes[1], &passes[2]);
    LEAVES_TO(&passes[2], &passes[3]);
    LEAVES_TO(&passes[3], &passes[4], &passes[5]);
    LEAVES(&passes[4]);
    LEAVES(&passes[5]);
    tear_down();
}
END_TEST

START_TEST(one_who_has_the_end_waits_behind_those_who_do_not_want_it)
{
    set_up();
    REQUIRE(enters(&passes[0], LANE(7), GATE_SHARED));
    REQUIRE(enters(&passes[1], GATE_END, GATE_SHARED));
    REQUIRE(enters(&passes[2], GATE_END, GATE_SHARED));
    REQUIRE(!enters(&passes[3], LANE(7), GATE_ALONE));
    REQUIRE(!enters(&passes[4], LANE(6) | GATE_END, GATE_ALONE));
    REQUIRE(!enters_in(&passes[2], LANE(7), GATE_ALONE, GATE_HAS_END));
    REQUIRE(!enters_in(&passes[1], LANE(7), GATE_SHARED, GATE_HAS_END));
    LEAVES_TO(&passes[0], &passes[3]);
    LEAVES_TO(&passes[3], &passes[2]);
    LEAVES_TO(&passes[2], &passes[1]);
    LEAVES_TO(&passes[1], &passes[4]);
    LEAVES(&passes[4]);
    tear_down();
}
END_TEST

/* --- a callback ----------------------------------------------------------------------------- */

START_TEST(a_callback_passes_those_who_wait)
{
    set_up();
    REQUIRE(enters(&passes[0], LANE(1), GATE_SHARED));
    REQUIRE(!enters(&passes[1], GATE_ALL, GATE_ALONE));
    REQUIRE(!enters(&passes[2], LANE(2), GATE_SHARED));
    for (int round = 0; round < 10; round++) {
        REQUIRE(enters_in(&passes[3], LANE(1) | LANE(2) | GATE_END, GATE_SHARED, GATE_CALLBACK));
        REQUIRE(enters_in(&passes[4], LANE(1), GATE_SHARED, GATE_CALLBACK));
        LEAVES(&passes[3]);
        LEAVES(&passes[4]);
    }
    /* It counts as any other one inside. */
    REQUIRE(enters_in(&passes[3], LANE(5), GATE_SHARED, GATE_CALLBACK));
    LEAVES(&passes[0]);
    LEAVES_TO(&passes[3], &passes[1]);
    LEAVES_TO(&passes[1], &passes[2]);
    LEAVES(&passes[2]);
    tear_down();
}
END_TEST

START_TEST(a_callback_waits_for_one_who_is_inside_alone)
{
    set_up();
    REQUIRE(enters(&passes[0], LANE(1) | LANE(2), GATE_ALONE));
    REQUIRE(!enters(&passes[1], GATE_ALL, GATE_ALONE));
    REQUIRE(!enters(&passes[2], LANE(1), GATE_SHARED));
    REQUIRE(!enters_in(&passes[3], LANE(2) | LANE(3), GATE_SHARED, GATE_CALLBACK));
    REQUIRE(enters_in(&passes[4], LANE(4), GATE_SHARED, GATE_CALLBACK));
    LEAVES(&passes[4]);
    /* It comes before all who were there before it. */
    LEAVES_TO(&passes[0], &passes[3]);
    LEAVES_TO(&passes[3], &passes[1]);
    LEAVES_TO(&passes[1], &passes[2]);
    LEAVES(&passes[2]);
    tear_down();
}
END_TEST

/* --- in the door ---------------------------------------------------------------------------- */

/*
 * Somebody who is to be turned away has added to the lanes and not taken that back yet: an alone
 * one who comes meanwhile has to wait. By hand, as no thread can be stopped there.
 */
static void stand_in_the_door(unsigned lane)
{
    atomic_fetch_add(&gate.lanes[lane], ONE);
}

static void step_back(unsigned lane)
{
    atomic_fetch_sub(&gate.lanes[lane], ONE);
}

START_TEST(who_was_kept_out_by_one_in_the_door_comes_in)
{
    struct gate_pass *came_in;

    set_up();
    REQUIRE(enters(&passes[0], LANE(2), GATE_ALONE));
    stand_in_the_door(1);
    REQUIRE(!enters(&passes[1], LANE(1), GATE_ALONE));
    REQUIRE(!enters(&passes[2], LANE(1) | LANE(3), GATE_SHARED));
    step_back(1);
    /* Whoever looks through the list next gives it out; he himself waits. */
    REQUIRE(!gate_enter(&gate, &passes[3], LANE(1) | LANE(2), GATE_SHARED, GATE_IN_TURN, &came_in));
    CAME_IN(came_in, &passes[1]);
    LEAVES_TO(&passes[1], &passes[2]);
    LEAVES(&passes[2]);
    LEAVES_TO(&passes[0], &passes[3]);
    LEAVES(&passes[3]);
    tear_down();
}
END_TEST

START_TEST(several_come_in_and_so_does_he)
{
    struct gate_pass *came_in;

    set_up();
    stand_in_the_door(1);
    REQUIRE(!enters(&passes[0], LANE(1), GATE_ALONE));
    stand_in_the_door(2);
    REQUIRE(!enters(&passes[1], LANE(2), GATE_ALONE));
    step_back(1);
    step_back(2);
    REQUIRE(gate_enter(&gate, &passes[2], LANE(3), GATE_ALONE, GATE_IN_TURN, &came_in));
    CAME_IN(came_in, &passes[0], &passes[1]);
    LEAVES(&passes[0]);
    LEAVES(&passes[1]);
    LEAVES(&passes[2]);
    tear_down();
}
END_TEST

START_TEST(one_who_does_not_wait_lets_others_in)
{
    struct gate_pass *came_in;

    set_up();
    stand_in_the_door(1);
    REQUIRE(!enters(&passes[0], LANE(1), GATE_ALONE));
    REQUIRE(!enters(&passes[1], LANE(1), GATE_SHARED));
    step_back(1);
    REQUIRE(!gate_try_shared(&gate, &passes[2], LANE(0) | LANE(1), &came_in));
    CAME_IN(came_in, &passes[0]);
    REQUIRE_EQ(atomic_load(&gate.lanes[0]), 0);
    LEAVES_TO(&passes[0], &passes[1]);
    LEAVES(&passes[1]);
    tear_down();
}
END_TEST

START_TEST(one_in_the_door_keeps_out_who_does_not_wait)
{
    set_up();
    stand_in_the_door(1);
    REQUIRE(!gate_try_alone(&gate, &passes[0], LANE(0) | LANE(1)));
    REQUIRE_EQ(atomic_load(&gate.lanes[0]), 0);
    step_back(1);
    REQUIRE(gate_try_alone(&gate, &passes[0], LANE(0) | LANE(1)));
    LEAVES(&passes[0]);
    tear_down();
}
END_TEST

/* --- threads -------------------------------------------------------------------------------- */

/* A thread that enters, and stays until it may leave. */
struct guest {
    struct gate_pass pass;
    pthread_t thread;
    struct thread_cond wakeup;
    uint64_t lanes;
    enum gate_manner manner;
    enum gate_turn turn;
    struct gate_pass *came_in; /* when it left */
    atomic_bool inside;
    atomic_bool may_leave;
};

static void enter_and_wait(struct guest *guest)
{
    struct gate_pass *came_in;

    guest->pass.wakeup = &guest->wakeup;
    if (!gate_enter(&gate, &guest->pass, guest->lanes, guest->manner, guest->turn, &came_in))
        gate_wait(&gate, &guest->pass);
    REQUIRE(came_in == NULL);
}

static void *go_to_gate(void *argument)
{
    struct guest *guest = argument;

    enter_and_wait(guest);
    atomic_store(&guest->inside, true);
    while (!atomic_load(&guest->may_leave))
        sleep_us(100);
    guest->came_in = gate_leave(&gate, &guest->pass);
    return NULL;
}

static void send(struct guest *guest)
{
    atomic_store(&guest->inside, false);
    atomic_store(&guest->may_leave, false);
    thread_cond_init(&guest->wakeup);
    thread_begin(&guest->thread, go_to_gate, guest);
}

/* Lets one who is inside go. Returns those that it let in. */
static struct gate_pass *dismiss(struct guest *guest)
{
    atomic_store(&guest->may_leave, true);
    thread_end(guest->thread);
    thread_cond_destroy(&guest->wakeup);
    return guest->came_in;
}

/* Sends one who has to wait as the last of so many. */
static void send_to_wait(struct guest *guest, unsigned count)
{
    send(guest);
    EVENTUALLY(waiting() == count);
    REQUIRE(!atomic_load(&guest->inside));
}

static void stays_out(struct guest *guest)
{
    for (int look = 0; look < 20; look++) {
        REQUIRE(!atomic_load(&guest->inside));
        sleep_us(1000);
    }
}

START_TEST(a_thread_sleeps_until_it_is_inside)
{
    struct guest guests[] = {{.lanes = LANE(1), .manner = GATE_ALONE},
                             {.lanes = LANE(1), .manner = GATE_ALONE},
                             {.lanes = LANE(1), .manner = GATE_SHARED},
                             {.lanes = LANE(1) | LANE(2), .manner = GATE_SHARED}};

    set_up();
    send(&guests[0]);
    EVENTUALLY(atomic_load(&guests[0].inside));
    for (unsigned index = 1; index < COUNT(guests); index++)
        send_to_wait(&guests[index], index);
    stays_out(&guests[1]);
    REQUIRE(dismiss(&guests[0]) == NULL);
    EVENTUALLY(atomic_load(&guests[1].inside));
    stays_out(&guests[2]);
    stays_out(&guests[3]);
    REQUIRE(dismiss(&guests[1]) == NULL);
    EVENTUALLY(atomic_load(&guests[2].inside) && atomic_load(&guests[3].inside));
    REQUIRE(dismiss(&guests[2]) == NULL);
    REQUIRE(dismiss(&guests[3]) == NULL);
    tear_down();
}
END_TEST

START_TEST(threads_and_submitted_ones_wait_in_one_line)
{
    struct guest first = {.lanes = GATE_ALL, .manner = GATE_ALONE};
    struct guest second = {.lanes = LANE(1), .manner = GATE_SHARED};
    struct guest third = {.lanes = LANE(1), .manner = GATE_ALONE};

    set_up();
    send(&first);
    EVENTUALLY(atomic_load(&first.inside));
    REQUIRE(!enters(&passes[0], LANE(1), GATE_SHARED));
    send_to_wait(&second, 2);
    REQUIRE(!enters(&passes[1], LANE(1) | LANE(2), GATE_SHARED));
    send_to_wait(&third, 4);
    REQUIRE(!enters(&passes[2], LANE(1), GATE_SHARED));
    CAME_IN(dismiss(&first), &passes[0], &passes[1]);
    EVENTUALLY(atomic_load(&second.inside));
    LEAVES(&passes[0]);
    REQUIRE(dismiss(&second) == NULL);
    stays_out(&third);
    LEAVES(&passes[1]);
    EVENTUALLY(atomic_load(&third.inside));
    CAME_IN(dismiss(&third), &passes[2]);
    LEAVES(&passes[2]);
    tear_down();
}
END_TEST

START_TEST(a_callbacks_thread_passes_those_who_wait)
{
    struct guest truncate = {.lanes = GATE_ALL, .manner = GATE_ALONE};
    struct guest writer = {.lanes = LANE(1), .manner = GATE_SHARED};
    struct guest callback = {.lanes = LANE(1), .manner = GATE_SHARED, .turn = GATE_CALLBACK};

    set_up();
    REQUIRE(enters(&passes[0], LANE(1), GATE_SHARED));
    send_to_wait(&truncate, 1);
    send_to_wait(&writer, 2);
    send(&callback);
    EVENTUALLY(atomic_load(&callback.inside));
    REQUIRE(dismiss(&callback) == NULL);
    LEAVES(&passes[0]);
    EVENTUALLY(atomic_load(&truncate.inside));
    /* Now it has to wait as well, but as the first. */
    send(&callback);
    EVENTUALLY(waiting() == 2);
    stays_out(&callback);
    REQUIRE(dismiss(&truncate) == NULL);
    EVENTUALLY(atomic_load(&callback.inside) && atomic_load(&writer.inside));
    REQUIRE(dismiss(&callback) == NULL);
    REQUIRE(dismiss(&writer) == NULL);
    tear_down();
}
END_TEST

/* --- nobody starves ------------------------------------------------------------------------- */

#define STREAMERS 3u

static atomic_bool stream_over;

/* Comes again and again, so that somebody is inside all the time. */
static void *stream(void *argument)
{
    struct guest *guest = argument;
    unsigned rounds = 0;

    thread_cond_init(&guest->wakeup);
    while (!atomic_load(&stream_over)) {
        enter_and_wait(guest);
        if (++rounds % 16 == 0)
            sleep_us(10);
        REQUIRE(gate_leave(&gate, &guest->pass) == NULL);
    }
    thread_cond_destroy(&guest->wakeup);
    return NULL;
}

static void check_not_starved(const struct guest *streamer, struct guest *guest)
{
    struct guest streamers[STREAMERS];
    unsigned rounds = 200 * test_scale() / slowness() + 5;

    set_up();
    atomic_store(&stream_over, false);
    for (unsigned index = 0; index < STREAMERS; index++) {
        memset(&streamers[index], 0, sizeof(streamers[index]));
        streamers[index].lanes = streamer->lanes;
        streamers[index].manner = streamer->manner;
        thread_begin(&streamers[index].thread, stream, &streamers[index]);
    }
    for (unsigned round = 0; round < rounds; round++) {
        send(guest);
        EVENTUALLY(atomic_load(&guest->inside));
        REQUIRE(dismiss(guest) == NULL);
    }
    atomic_store(&stream_over, true);
    for (unsigned index = 0; index < STREAMERS; index++)
        thread_end(streamers[index].thread);
    tear_down();
}

START_TEST(one_alone_does_not_starve)
{
    struct guest sharer = {.lanes = LANE(1) | LANE(2), .manner = GATE_SHARED};
    struct guest truncate = {.lanes = GATE_ALL, .manner = GATE_ALONE};

    check_not_starved(&sharer, &truncate);
}
END_TEST

START_TEST(one_who_shares_does_not_starve)
{
    struct guest alone = {.lanes = LANE(1) | LANE(2), .manner = GATE_ALONE};
    struct guest sharer = {.lanes = LANE(0) | LANE(1), .manner = GATE_SHARED};

    check_not_starved(&alone, &sharer);
}
END_TEST

START_TEST(one_who_wants_all_does_not_starve)
{
    struct guest alone = {.lanes = LANE(1), .manner = GATE_ALONE};
    struct guest truncate = {.lanes = GATE_ALL, .manner = GATE_ALONE};

    check_not_starved(&alone, &truncate);
}
END_TEST

/* --- all at once ---------------------------------------------------------------------------- */

#define CROWD 6u
#define CROWD_LANES 4u /* stripes that the crowd uses, and the end */

/* Not atomic: the gate alone keeps these apart. Who has a lane alone counts in it, who shares it
 * looks. */
static struct crowd_lane {
    unsigned count;
    unsigned again;
} crowd_lanes[GATE_LANES];

static atomic_uint counted[GATE_LANES];
static atomic_uint handed_out;

/* One of a member's errands: by the thread itself, or by whoever lets it in. */
struct errand {
    struct gate_pass pass;
    atomic_bool under_way;
    uint64_t then; /* of an append: the stripes that it wants with the end in its hand */
    enum gate_manner then_manner;
    bool lingers;
};

struct member {
    pthread_t thread;
    struct thread_cond wakeup;
    struct errand errands[3];
    uint64_t random;
    unsigned rounds;
};

static void be_inside(const struct errand *errand)
{
    const struct gate_pass *pass = &errand->pass;

    if (errand->lingers)
        sleep_us(20);
    for (unsigned lane = 0; lane < GATE_LANES; lane++) {
        struct crowd_lane *at = &crowd_lanes[lane];

        if ((pass->alone >> lane & 1) != 0) {
            at->count++;
            atomic_fetch_add(&counted[lane], 1);
            REQUIRE_EQ(at->count, at->again + 1);
            at->again++;
        } else if ((pass->shared >> lane & 1) != 0) {
            REQUIRE_EQ(at->count, at->again);
        }
    }
}

static void serve(struct gate_pass *came_in);

/* Goes on with an errand that is inside; returns those who came in. */
static struct gate_pass *go_on(struct errand *errand)
{
    uint64_t lanes = errand->then;
    struct gate_pass *came_in;

    errand->then = 0;
    if (lanes != 0) {
        if (!gate_enter(&gate, &errand->pass, lanes, errand->then_manner, GATE_HAS_END, &came_in))
            return came_in;
        serve(came_in);
    }
    be_inside(errand);
    came_in = gate_leave(&gate, &errand->pass);
    atomic_store_explicit(&errand->under_way, false, memory_order_release);
    return came_in;
}

static void serve(struct gate_pass *came_in)
{
    while (came_in != NULL) {
        struct errand *errand = (struct errand *)came_in;

        came_in = came_in->next;
        atomic_fetch_add(&handed_out, 1);
        serve(go_on(errand));
    }
}

static void submit_errand(struct errand *errand, uint64_t lanes, enum gate_manner manner)
{
    struct gate_pass *came_in;
    bool inside;

    errand->pass.wakeup = NULL;
    atomic_store(&errand->under_way, true);
    inside = gate_enter(&gate, &errand->pass, lanes, manner, GATE_IN_TURN, &came_in);
    serve(came_in);
    if (inside)
        serve(go_on(errand));
}

static void enter_as_thread(struct member *member, struct gate_pass *pass, uint64_t lanes,
                            enum gate_manner manner, enum gate_turn turn)
{
    struct gate_pass *came_in;
    bool inside;

    pass->wakeup = &member->wakeup;
    inside = gate_enter(&gate, pass, lanes, manner, turn, &came_in);
    serve(came_in);
    if (!inside)
        gate_wait(&gate, pass);
}

static bool try_as_thread(struct gate_pass *pass, uint64_t lanes, enum gate_manner manner)
{
    struct gate_pass *came_in;
    bool inside;

    if (manner == GATE_ALONE)
        return gate_try_alone(&gate, pass, lanes);
    inside = gate_try_shared(&gate, pass, lanes, &came_in);
    serve(came_in);
    return inside;
}

static uint64_t random_stripes(struct member *member)
{
    return random_next(&member->random) % (LANE(CROWD_LANES) - 1) + 1;
}

static void run_errand(struct member *member, struct errand *errand)
{
    uint64_t lanes = random_stripes(member);
    uint64_t choice = random_next(&member->random);
    enum gate_manner manner = choice % 3 == 0 ? GATE_ALONE : GATE_SHARED;
    struct gate_pass *pass = &errand->pass;

    errand->then = 0;
    errand->then_manner = manner;
    errand->lingers = choice / 1024 % 64 == 0;
    switch (choice / 3 % 8) {
    case 0: /* truncate */
        enter_as_thread(member, pass, GATE_ALL, GATE_ALONE, GATE_IN_TURN);
        break;
    case 1: /* append */
        enter_as_thread(member, pass, GATE_END, GATE_SHARED, GATE_IN_TURN);
        enter_as_thread(member, pass, lanes, manner, GATE_HAS_END);
        break;
    case 2: /* write in a callback */
        enter_as_thread(member, pass, lanes, GATE_SHARED, GATE_CALLBACK);
        break;
    case 3:
        if (!try_as_thread(pass, lanes, manner))
            return;
        break;
    case 4: /* write that extends */
        enter_as_thread(member, pass, lanes | GATE_END, manner, GATE_IN_TURN);
        break;
    case 5:
        submit_errand(errand, choice / 24 % 8 == 0 ? GATE_ALL : lanes, manner);
        return;
    case 6:
        errand->then = lanes;
        submit_errand(errand, GATE_END, GATE_SHARED);
        return;
    default:
        enter_as_thread(member, pass, lanes, manner, GATE_IN_TURN);
        break;
    }
    be_inside(errand);
    serve(gate_leave(&gate, pass));
}

static void *be_in_crowd(void *argument)
{
    struct member *member = argument;

    for (unsigned round = 0; round < member->rounds; round++) {
        struct errand *errand = &member->errands[round % COUNT(member->errands)];

        while (atomic_load_explicit(&errand->under_way, memory_order_acquire))
            sleep_us(10);
        run_errand(member, errand);
    }
    return NULL;
}

START_TEST(a_crowd_on_a_few_lanes)
{
    struct member *members = calloc(CROWD, sizeof(*members));

    REQUIRE(members != NULL);
    set_up();
    for (unsigned index = 0; index < CROWD; index++) {
        members[index].random = mix(index + 1);
        members[index].rounds = 20000 * test_scale() / slowness();
        thread_cond_init(&members[index].wakeup);
        thread_begin(&members[index].thread, be_in_crowd, &members[index]);
    }
    for (unsigned index = 0; index < CROWD; index++)
        thread_end(members[index].thread);
    /* Each that was left waiting was handed out to somebody, who has brought it to its end. */
    for (unsigned index = 0; index < CROWD; index++) {
        for (unsigned errand = 0; errand < COUNT(members[index].errands); errand++)
            REQUIRE(!atomic_load(&members[index].errands[errand].under_way));
        thread_cond_destroy(&members[index].wakeup);
    }
    for (unsigned lane = 0; lane < GATE_LANES; lane++) {
        REQUIRE_EQ(crowd_lanes[lane].count, atomic_load(&counted[lane]));
        REQUIRE_EQ(crowd_lanes[lane].again, crowd_lanes[lane].count);
    }
    REQUIRE(atomic_load(&handed_out) > 0);
    REQUIRE(crowd_lanes[0].count > 0 && crowd_lanes[GATE_STRIPES].count > 0);
    tear_down();
    free(members);
}
END_TEST

/* --- withdrawing ---------------------------------------------------------------------------- */

/* Withdraws one who waits, which lets these in; or nobody. */
#define WITHDRAWS_TO(pass, ...)                                                                    \
    do {                                                                                           \
        struct gate_pass *behind;                                                                  \
        REQUIRE(gate_withdraw(&gate, pass, &behind) && !(pass)->waiting);                          \
        CAME_IN(behind, __VA_ARGS__);                                                              \
    } while (0)

static bool withdraws(struct gate_pass *pass)
{
    struct gate_pass *came_in = pass;
    bool waited = gate_withdraw(&gate, pass, &came_in);

    REQUIRE(came_in == NULL && !pass->waiting);
    return waited;
}

START_TEST(who_does_not_wait_cannot_withdraw)
{
    set_up();
    REQUIRE(!withdraws(&passes[0]));
    REQUIRE(enters(&passes[0], LANE(3), GATE_SHARED));
    REQUIRE(!withdraws(&passes[0]));
    REQUIRE_EQ(passes[0].shared, LANE(3));
    REQUIRE(!enters(&passes[1], LANE(3), GATE_ALONE));
    LEAVES_TO(&passes[0], &passes[1]);
    REQUIRE(!withdraws(&passes[1]));
    REQUIRE_EQ(passes[1].alone, LANE(3));
    LEAVES(&passes[1]);
    REQUIRE(!withdraws(&passes[1]));
    tear_down();
}
END_TEST

START_TEST(one_who_withdraws_lets_in_those_behind)
{
    set_up();
    REQUIRE(enters(&passes[0], LANE(0) | LANE(1), GATE_SHARED));
    REQUIRE(!enters(&passes[1], LANE(0) | LANE(5), GATE_ALONE));
    REQUIRE(!enters(&passes[2], LANE(0), GATE_SHARED));
    REQUIRE(!enters(&passes[3], LANE(5), GATE_ALONE));
    REQUIRE(!enters(&passes[4], LANE(5), GATE_SHARED));
    REQUIRE(!enters(&passes[5], LANE(0), GATE_SHARED));
    WITHDRAWS_TO(&passes[1], &passes[2], &passes[3], &passes[5]);
    LEAVES_TO(&passes[3], &passes[4]);
    LEAVES(&passes[0]);
    LEAVES(&passes[2]);
    LEAVES(&passes[5]);
    LEAVES(&passes[4]);
    tear_down();
}
END_TEST

START_TEST(the_lanes_of_one_who_withdraws_are_open)
{
    set_up();
    REQUIRE(enters(&passes[0], LANE(0), GATE_SHARED));
    REQUIRE(!enters(&passes[1], GATE_ALL, GATE_ALONE));
    REQUIRE_EQ(gate.want_end_alone, 1);
    REQUIRE(withdraws(&passes[1]));
    REQUIRE_EQ(gate.want_end_alone, 0);
    REQUIRE_EQ(atomic_load(&gate.lanes[0]), ONE);
    for (unsigned lane = 1; lane < GATE_LANES; lane++)
        REQUIRE_EQ(atomic_load(&gate.lanes[lane]), 0);
    REQUIRE(enters(&passes[2], GATE_ALL, GATE_SHARED));
    LEAVES(&passes[2]);
    LEAVES(&passes[0]);
    /* But not those that another one has alone or waits for. */
    REQUIRE(enters(&passes[0], LANE(0), GATE_ALONE));
    REQUIRE(!enters(&passes[1], LANE(0) | LANE(1), GATE_ALONE));
    REQUIRE(!enters(&passes[2], LANE(0) | LANE(1), GATE_SHARED));
    REQUIRE(withdraws(&passes[1]));
    REQUIRE_EQ(atomic_load(&gate.lanes[0]), CLOSED);
    REQUIRE_EQ(atomic_load(&gate.lanes[1]), CLOSED);
    REQUIRE(withdraws(&passes[2]));
    REQUIRE_EQ(atomic_load(&gate.lanes[0]), CLOSED);
    REQUIRE_EQ(atomic_load(&gate.lanes[1]), 0);
    LEAVES(&passes[0]);
    tear_down();
}
END_TEST

/* From the first place, the middle, the last; the others keep theirs. */
START_TEST(one_withdraws_from_any_place)
{
    struct gate_pass *others[2] = {&passes[_i == 0 ? 2 : 1], &passes[_i == 2 ? 2 : 3]};

    set_up();
    REQUIRE(enters(&passes[0], LANE(7), GATE_SHARED));
    for (unsigned index = 1; index < 4; index++)
        REQUIRE(!enters(&passes[index], LANE(7), GATE_ALONE));
    REQUIRE(withdraws(&passes[_i + 1]));
    REQUIRE_EQ(waiting(), 2);
    REQUIRE(!enters(&passes[4], LANE(7), GATE_ALONE));
    LEAVES_TO(&passes[0], others[0]);
    LEAVES_TO(others[0], others[1]);
    LEAVES_TO(others[1], &passes[4]);
    LEAVES(&passes[4]);
    /* Who has withdrawn may come again. */
    REQUIRE(enters(&passes[_i + 1], LANE(7), GATE_ALONE));
    LEAVES(&passes[_i + 1]);
    tear_down();
}
END_TEST

START_TEST(who_withdraws_keeps_what_he_has)
{
    set_up();
    REQUIRE(enters(&passes[0], LANE(0), GATE_ALONE));
    REQUIRE(enters(&passes[1], GATE_END, GATE_SHARED));
    REQUIRE(!enters_in(&passes[1], LANE(0), GATE_SHARED, GATE_HAS_END));
    REQUIRE(!enters(&passes[2], GATE_ALL, GATE_ALONE));
    REQUIRE(withdraws(&passes[1]));
    REQUIRE_EQ(passes[1].shared, GATE_END);
    LEAVES(&passes[0]);
    LEAVES_TO(&passes[1], &passes[2]);
    LEAVES(&passes[2]);
    tear_down();
}
END_TEST

/* Nobody is left waiting whom nobody is in the way of. */
static void check_nobody_forgotten(void)
{
    uint64_t blocked = gate.alone;

    for (struct gate_pass *pass = gate.first; pass != NULL; pass = pass->next) {
        bool kept_out = (pass->wanted & blocked) != 0;

        for (unsigned lane = 0; lane < GATE_LANES; lane++)
            if (pass->wanted_alone && (pass->wanted & LANE(lane)) != 0)
                kept_out |= atomic_load(&gate.lanes[lane]) >= ONE;
        REQUIRE(kept_out && pass->waiting);
        blocked |= pass->wanted;
    }
}

START_TEST(any_order_of_coming_leaving_and_withdrawing)
{
    uint64_t state = 11;
    unsigned withdrawn = 0;

    set_up();
    for (unsigned round = 0; round < 50000; round++) {
        struct gate_pass *pass = &passes[random_next(&state) % COUNT(passes)];
        struct gate_pass *came_in;
        uint64_t lanes = random_next(&state) % 15 + 1;

        if (pass->waiting)
            withdrawn += gate_withdraw(&gate, pass, &came_in);
        else if ((pass->shared | pass->alone) != 0)
            gate_leave(&gate, pass);
        else
            gate_enter(&gate, pass, lanes, random_next(&state) % 2 ? GATE_ALONE : GATE_SHARED,
                       GATE_IN_TURN, &came_in);
        check_nobody_forgotten();
    }
    REQUIRE(withdrawn > 1000);
    for (unsigned index = 0; index < COUNT(passes); index++) {
        struct gate_pass *came_in;

        gate_withdraw(&gate, &passes[index], &came_in);
        gate_leave(&gate, &passes[index]);
    }
    for (unsigned index = 0; index < COUNT(passes); index++)
        gate_leave(&gate, &passes[index]); /* those that came in by the last of them */
    tear_down();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("gate");

    ADD_TESTS(suite, "range", nothing_has_no_lanes, a_range_has_the_lanes_that_it_touches,
              a_long_range_has_all_lanes_but_the_end, ranges_at_the_end_of_numbers,
              any_range_has_the_lanes_of_its_stripes);
    ADD_TESTS(suite, "together and alone", those_who_share_are_together, many_may_share,
              alone_keeps_out_who_wants_the_same_lanes, each_lane_is_one_of_its_own,
              who_leaves_gives_up_all_lanes, who_is_closed_out_comes_in_when_it_is_open_again,
              who_does_not_wait_is_turned_away);
    ADD_TESTS(suite, "in turn", nobody_overtakes, those_who_can_come_in_together,
              one_who_cannot_come_in_holds_up_his_own_lanes_only,
              one_who_wants_many_lanes_is_not_forgotten);
    add_loop_test(suite, "end", one_who_has_the_end_does_not_wait_for_a_truncate, 2);
    add_loop_test(suite, "end", one_who_has_the_end_waits_before_a_truncate, 2);
    ADD_TESTS(suite, "end", one_who_has_the_end_waits_behind_those_who_do_not_want_it);
    ADD_TESTS(suite, "callback", a_callback_passes_those_who_wait,
              a_callback_waits_for_one_who_is_inside_alone);
    ADD_TESTS(suite, "door", who_was_kept_out_by_one_in_the_door_comes_in,
              several_come_in_and_so_does_he, one_who_does_not_wait_lets_others_in,
              one_in_the_door_keeps_out_who_does_not_wait);
    ADD_TESTS(suite, "threads", a_thread_sleeps_until_it_is_inside,
              threads_and_submitted_ones_wait_in_one_line,
              a_callbacks_thread_passes_those_who_wait);
    ADD_TESTS(suite, "starving", one_alone_does_not_starve, one_who_shares_does_not_starve,
              one_who_wants_all_does_not_starve);
    ADD_TESTS(suite, "withdrawing", who_does_not_wait_cannot_withdraw,
              one_who_withdraws_lets_in_those_behind, the_lanes_of_one_who_withdraws_are_open,
              who_withdraws_keeps_what_he_has, any_order_of_coming_leaving_and_withdrawing);
    add_loop_test(suite, "withdrawing", one_withdraws_from_any_place, 3);
    ADD_TESTS(suite, "crowd", a_crowd_on_a_few_lanes);
    return suite;
}

int main(void)
{
    return run_suite(make_suite);
}
