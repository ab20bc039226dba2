/* SPDX-License-Identifier: MIT */
/*
 * test_gate.c - who may run on a file now.
 *
 * A gate has no way to be asked who waits at it. What a thread waits for is known by what others
 * may do meanwhile: once somebody wants the gate for himself, a write that does not wait is turned
 * away.
 */
#include "gate.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "support.h"

#define REQUESTS_MAX ((UINT64_C(1) << 20) - 1)
#define WRITES_MAX ((UINT64_C(1) << 19) - 1) /* of one phase */

/* Where the phase is told; nothing else is left in an empty gate. */
#define PHASE_BIT (UINT64_C(1) << 58)

static struct gate gate;

static void set_up(void)
{
    gate_init(&gate);
}

/* Nothing is left in it: it lets one through alone, and holds no count. */
static void tear_down(void)
{
    REQUIRE_EQ(gate_requests(&gate), 0);
    gate_close(&gate);
    gate_open(&gate);
    gate_release(&gate);
    gate_wait_idle(&gate);
    REQUIRE_EQ(atomic_load(&gate.word) & ~PHASE_BIT, 0);
    REQUIRE_EQ(gate.sleepers, 0);
    gate_destroy(&gate);
}

/* A thread that does one thing at the gate. */
struct guest {
    pthread_t thread;
    enum { CLOSES, ENTERS, DRAINS, WAITS_IDLE } errand;
    enum gate_patience patience;
    uint8_t phase;
    int result;
    atomic_bool through;
    atomic_bool may_leave; /* one who closed stays at work until then */
};

static void *go_to_gate(void *argument)
{
    struct guest *guest = argument;

    if (guest->errand == CLOSES) {
        gate_close(&gate);
        atomic_store(&guest->through, true);
        while (!atomic_load(&guest->may_leave))
            sleep_us(100);
        gate_open(&gate);
        gate_release(&gate);
        return NULL;
    }
    if (guest->errand == ENTERS)
        guest->result = gate_enter(&gate, guest->patience, &guest->phase);
    else if (guest->errand == DRAINS)
        gate_drain(&gate);
    else
        gate_wait_idle(&gate);
    atomic_store(&guest->through, true);
    return NULL;
}

static void send(struct guest *guest)
{
    atomic_store(&guest->through, false);
    atomic_store(&guest->may_leave, false);
    thread_begin(&guest->thread, go_to_gate, guest);
}

/* Lets one who closed go. */
static void dismiss(struct guest *guest)
{
    atomic_store(&guest->may_leave, true);
    thread_end(guest->thread);
}

/* It does not get through as long as this lasts. */
static void stays_out(struct guest *guest)
{
    for (int look = 0; look < 20; look++) {
        REQUIRE(!atomic_load(&guest->through));
        sleep_us(1000);
    }
}

static bool turned_away(void)
{
    uint8_t phase;
    int result = gate_enter(&gate, GATE_TRY, &phase);

    if (result == 0)
        gate_leave(&gate, phase);
    else
        REQUIRE_EQ(result, -EAGAIN);
    return result != 0;
}

/* A write that gets in. */
static uint8_t enter(enum gate_patience patience)
{
    uint8_t phase = 2;

    REQUIRE_EQ(gate_enter(&gate, patience, &phase), 0);
    REQUIRE(phase < 2);
    return phase;
}

/* --- counts --------------------------------------------------------------------------------- */

START_TEST(requests_are_counted_writes_are_not)
{
    uint8_t phases[3];

    set_up();
    REQUIRE_EQ(gate_requests(&gate), 0);
    for (unsigned index = 0; index < COUNT(phases); index++) {
        gate_add_request(&gate);
        REQUIRE_EQ(gate_requests(&gate), index + 1);
        phases[index] = enter(GATE_WAIT);
        REQUIRE_EQ(gate_requests(&gate), index + 1);
    }
    for (unsigned left = COUNT(phases); left > 0; left--) {
        gate_leave(&gate, phases[left - 1]);
        REQUIRE_EQ(gate_requests(&gate), left);
        gate_remove_request(&gate);
    }
    tear_down();
}
END_TEST

START_TEST(counts_are_wide)
{
    struct guest closer = {.errand = CLOSES};
    struct guest drainer = {.errand = DRAINS};
    struct guest idler = {.errand = WAITS_IDLE};

    set_up();
    for (uint64_t count = 0; count < REQUESTS_MAX; count++)
        gate_add_request(&gate);
    for (uint64_t count = 0; count < WRITES_MAX; count++)
        REQUIRE_EQ(enter(GATE_TRY), 0);
    REQUIRE_EQ(gate_requests(&gate), REQUESTS_MAX);
    /* A sync turns the phase: the same number again. */
    send(&drainer);
    EVENTUALLY((atomic_load(&gate.word) & PHASE_BIT) != 0);
    for (uint64_t count = 0; count < WRITES_MAX; count++)
        REQUIRE_EQ(enter(GATE_TRY), 1);
    REQUIRE_EQ(gate_requests(&gate), REQUESTS_MAX);
    /* All but one of each. */
    for (uint64_t count = 1; count < WRITES_MAX; count++)
        gate_leave(&gate, 0);
    stays_out(&drainer);
    gate_leave(&gate, 0);
    thread_end(drainer.thread);
    send(&closer);
    send(&idler);
    EVENTUALLY(turned_away());
    for (uint64_t count = 1; count < WRITES_MAX; count++)
        gate_leave(&gate, 1);
    stays_out(&closer);
    gate_leave(&gate, 1);
    EVENTUALLY(atomic_load(&closer.through));
    dismiss(&closer);
    for (uint64_t count = 1; count < REQUESTS_MAX; count++)
        gate_remove_request(&gate);
    stays_out(&idler);
    gate_remove_request(&gate);
    thread_end(idler.thread);
    tear_down();
}
END_TEST

/* --- a sync --------------------------------------------------------------------------------- */

START_TEST(a_sync_waits_for_what_was_before_it_alone)
{
    struct guest drainer = {.errand = DRAINS};
    uint8_t before;
    uint8_t after;

    set_up();
    gate_drain(&gate);
    before = enter(GATE_WAIT);
    send(&drainer);
    stays_out(&drainer);
    /* Later writes come in all the time, and it does not wait for them. */
    after = enter(GATE_TRY);
    REQUIRE(before != after);
    stays_out(&drainer);
    gate_leave(&gate, before);
    EVENTUALLY(atomic_load(&drainer.through));
    thread_end(drainer.thread);
    /* The next one waits for those. */
    send(&drainer);
    stays_out(&drainer);
    REQUIRE_EQ(enter(GATE_TRY), before);
    gate_leave(&gate, after);
    thread_end(drainer.thread);
    gate_leave(&gate, before);
    tear_down();
}
END_TEST

/* --- one alone ------------------------------------------------------------------------------ */

START_TEST(closing_waits_for_writes)
{
    struct guest closer = {.errand = CLOSES};
    uint8_t phases[4];

    set_up();
    for (unsigned writes = 0; writes < COUNT(phases); writes++) {
        for (unsigned index = 0; index < writes; index++)
            phases[index] = enter(GATE_WAIT);
        send(&closer);
        for (unsigned index = 0; index < writes; index++) {
            stays_out(&closer);
            gate_leave(&gate, phases[index]);
        }
        EVENTUALLY(atomic_load(&closer.through));
        REQUIRE(gate_is_closed(&gate));
        dismiss(&closer);
        REQUIRE(!gate_is_closed(&gate));
    }
    tear_down();
}
END_TEST

START_TEST(closing_does_not_wait_for_reads)
{
    set_up();
    gate_add_request(&gate);
    gate_close(&gate);
    /* Nor do reads wait for it. */
    gate_add_request(&gate);
    REQUIRE_EQ(gate_requests(&gate), 2);
    gate_remove_request(&gate);
    gate_open(&gate);
    gate_release(&gate);
    gate_remove_request(&gate);
    tear_down();
}
END_TEST

START_TEST(who_is_turned_away_when)
{
    struct guest closer = {.errand = CLOSES};
    struct guest callback = {.errand = ENTERS, .patience = GATE_CALLBACK};
    uint8_t phase;

    set_up();
    REQUIRE(!turned_away());
    phase = enter(GATE_WAIT);
    send(&closer);
    /* The closer waits for the write: only a callback passes, and does not wait. */
    EVENTUALLY(turned_away());
    for (int round = 0; round < 100; round++) {
        REQUIRE(turned_away() && gate_is_closed(&gate));
        gate_leave(&gate, enter(GATE_CALLBACK));
    }
    REQUIRE(!atomic_load(&closer.through));
    gate_leave(&gate, phase);
    EVENTUALLY(atomic_load(&closer.through));
    /* The closer is at work: a callback waits too. */
    REQUIRE(turned_away());
    send(&callback);
    stays_out(&callback);
    dismiss(&closer);
    thread_end(callback.thread);
    REQUIRE_EQ(callback.result, 0);
    gate_leave(&gate, callback.phase);
    REQUIRE(!turned_away());
    tear_down();
}
END_TEST

START_TEST(those_who_wait_come_in_afterwards)
{
    struct guest closer = {.errand = CLOSES};
    struct guest guests[] = {{.errand = ENTERS, .patience = GATE_WAIT},
                             {.errand = ENTERS, .patience = GATE_CALLBACK},
                             {.errand = ENTERS, .patience = GATE_WAIT}};

    set_up();
    send(&closer);
    EVENTUALLY(atomic_load(&closer.through));
    for (unsigned index = 0; index < COUNT(guests); index++)
        send(&guests[index]);
    for (unsigned index = 0; index < COUNT(guests); index++)
        stays_out(&guests[index]);
    dismiss(&closer);
    for (unsigned index = 0; index < COUNT(guests); index++) {
        thread_end(guests[index].thread);
        REQUIRE_EQ(guests[index].result, 0);
    }
    /* Three are inside. */
    send(&closer);
    for (unsigned index = 0; index < COUNT(guests); index++) {
        stays_out(&closer);
        gate_leave(&gate, guests[index].phase);
    }
    EVENTUALLY(atomic_load(&closer.through));
    dismiss(&closer);
    tear_down();
}
END_TEST

START_TEST(a_write_waits_for_one_who_waits)
{
    struct guest closer = {.errand = CLOSES};
    struct guest writer = {.errand = ENTERS, .patience = GATE_WAIT};
    uint8_t phase;

    set_up();
    phase = enter(GATE_WAIT);
    send(&closer);
    EVENTUALLY(turned_away());
    send(&writer);
    stays_out(&writer);
    stays_out(&closer);
    /* Nobody overtakes: first the one who wanted it alone. */
    gate_leave(&gate, phase);
    EVENTUALLY(atomic_load(&closer.through));
    stays_out(&writer);
    dismiss(&closer);
    thread_end(writer.thread);
    REQUIRE_EQ(writer.result, 0);
    gate_leave(&gate, writer.phase);
    tear_down();
}
END_TEST

START_TEST(two_who_close_follow_one_another)
{
    struct guest closers[] = {{.errand = CLOSES}, {.errand = CLOSES}, {.errand = CLOSES}};

    set_up();
    for (unsigned index = 0; index < COUNT(closers); index++) {
        send(&closers[index]);
        if (index == 0)
            EVENTUALLY(atomic_load(&closers[0].through));
    }
    stays_out(&closers[1]);
    stays_out(&closers[2]);
    dismiss(&closers[0]);
    EVENTUALLY(atomic_load(&closers[1].through) || atomic_load(&closers[2].through));
    sleep_us(20000);
    REQUIRE(atomic_load(&closers[1].through) != atomic_load(&closers[2].through));
    atomic_store(&closers[1].may_leave, true);
    atomic_store(&closers[2].may_leave, true);
    dismiss(&closers[1]);
    dismiss(&closers[2]);
    REQUIRE(atomic_load(&closers[1].through) && atomic_load(&closers[2].through));
    tear_down();
}
END_TEST

/* --- the end -------------------------------------------------------------------------------- */

START_TEST(idle_means_no_requests)
{
    struct guest idler = {.errand = WAITS_IDLE};
    uint8_t phase;

    set_up();
    gate_wait_idle(&gate);
    phase = enter(GATE_WAIT);
    gate_wait_idle(&gate);
    gate_leave(&gate, phase);
    for (unsigned requests = 1; requests < 4; requests++) {
        for (unsigned index = 0; index < requests; index++)
            gate_add_request(&gate);
        send(&idler);
        for (unsigned index = 0; index < requests; index++) {
            stays_out(&idler);
            gate_remove_request(&gate);
        }
        EVENTUALLY(atomic_load(&idler.through));
        thread_end(idler.thread);
    }
    tear_down();
}
END_TEST

static void *leave_last(void *argument)
{
    gate_remove_request(argument);
    return NULL;
}

/* The gate's memory goes as soon as the wait is over: a leaver that still touched it would be seen
 * by the sanitizers. */
START_TEST(the_last_to_leave_is_out)
{
    for (int round = 0; round < 400; round++) {
        struct gate *mortal = malloc(sizeof(*mortal));
        pthread_t leaver;

        REQUIRE(mortal != NULL);
        gate_init(mortal);
        gate_add_request(mortal);
        thread_begin(&leaver, leave_last, mortal);
        gate_wait_idle(mortal);
        gate_destroy(mortal);
        free(mortal);
        thread_end(leaver);
    }
}
END_TEST

/* --- all at once ---------------------------------------------------------------------------- */

#define WRITERS 4
#define CLOSERS 2
#define CLOSINGS 300u

static atomic_uint inside; /* writers */
static atomic_uint alone;  /* closers */
static atomic_uint closers_left;
/* Not atomic: the gate alone keeps these apart. */
static unsigned written[WRITERS];
static unsigned written_seen;
static unsigned closings_done;

struct writer {
    pthread_t thread;
    unsigned number;
    unsigned rounds;
};

/* Writes as long as anybody closes. */
static void *write_often(void *argument)
{
    struct writer *writer = argument;
    uint8_t phase = 0;

    for (unsigned round = 0; atomic_load(&closers_left) > 0; round++) {
        enum gate_patience patience = round % 3 == 0 ? GATE_TRY : GATE_WAIT;

        if (round % 5 == 0)
            patience = GATE_CALLBACK;
        if (writer->number > 0)
            gate_add_request(&gate);
        while (gate_enter(&gate, patience, &phase) != 0) {
            REQUIRE(patience == GATE_TRY);
            sleep_us(20);
        }
        atomic_fetch_add(&inside, 1);
        REQUIRE_EQ(atomic_load(&alone), 0);
        written[writer->number]++;
        writer->rounds++;
        REQUIRE(closings_done <= CLOSERS * CLOSINGS);
        atomic_fetch_sub(&inside, 1);
        gate_leave(&gate, phase);
        if (writer->number > 0)
            gate_remove_request(&gate);
    }
    return NULL;
}

static void *close_often(void *unused)
{
    for (unsigned round = 0; round < CLOSINGS; round++) {
        unsigned sum = 0;

        gate_close(&gate);
        REQUIRE_EQ(atomic_fetch_add(&alone, 1), 0);
        REQUIRE_EQ(atomic_load(&inside), 0);
        for (unsigned writer = 0; writer < WRITERS; writer++)
            sum += written[writer];
        REQUIRE(sum >= written_seen);
        written_seen = sum;
        closings_done++;
        REQUIRE_EQ(atomic_load(&inside), 0);
        REQUIRE_EQ(atomic_fetch_sub(&alone, 1), 1);
        gate_open(&gate);
        gate_release(&gate);
        gate_drain(&gate);
        sleep_us(10);
    }
    atomic_fetch_sub(&closers_left, 1);
    return unused;
}

START_TEST(writers_and_closers_in_a_crowd)
{
    struct writer writers[WRITERS] = {0};
    pthread_t closers[CLOSERS];

    set_up();
    atomic_store(&closers_left, CLOSERS);
    for (unsigned index = 0; index < WRITERS; index++) {
        writers[index].number = index;
        thread_begin(&writers[index].thread, write_often, &writers[index]);
    }
    for (unsigned index = 0; index < CLOSERS; index++)
        thread_begin(&closers[index], close_often, NULL);
    for (unsigned index = 0; index < CLOSERS; index++)
        thread_end(closers[index]);
    for (unsigned index = 0; index < WRITERS; index++) {
        thread_end(writers[index].thread);
        REQUIRE(writers[index].rounds > 0);
        REQUIRE_EQ(written[index], writers[index].rounds);
    }
    REQUIRE_EQ(closings_done, CLOSERS * CLOSINGS);
    tear_down();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("gate");

    ADD_TESTS(suite, "counts", requests_are_counted_writes_are_not, counts_are_wide);
    ADD_TESTS(suite, "sync", a_sync_waits_for_what_was_before_it_alone);
    ADD_TESTS(suite, "alone", closing_waits_for_writes, closing_does_not_wait_for_reads,
              who_is_turned_away_when, those_who_wait_come_in_afterwards,
              a_write_waits_for_one_who_waits, two_who_close_follow_one_another);
    ADD_TESTS(suite, "end", idle_means_no_requests, the_last_to_leave_is_out);
    ADD_TESTS(suite, "crowd", writers_and_closers_in_a_crowd);
    return suite;
}

int main(void)
{
    return run_suite(make_suite);
}
