/* SPDX-License-Identifier: MIT */
/*
 * gate.h - who may run on a file now: any number of writes, or one truncate alone. A sync waits for
 * the writes that came before it and lets later ones run. Reads do not enter; submitted operations
 * of every kind are counted, so that close can wait for them.
 */
#ifndef AIOFILE_LIB_GATE_H
#define AIOFILE_LIB_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "thread.h"

/* How long a write waits where a truncate wants the file for itself. */
enum gate_patience {
    GATE_WAIT, /* until it is through */
    GATE_TRY,  /* not at all: -EAGAIN */
    /* A callback's blocking write passes while the truncate only waits for others to leave: what
     * that one waits for may be delivered by the very thread that runs the callback. */
    GATE_CALLBACK,
};

struct gate {
    /*
     * Bits 0-19 requests, 20-38 and 39-57 the writes of either phase, then four flags:
     * PHASE: which of the two counts new writes join; a sync turns it and waits for the other.
     * WANTED: a truncate waits for the writes to leave; new ones stay out.
     * BUSY: it is at work, alone.
     * SLEEPER: somebody sleeps on changed; whoever takes from the word then does so under lock.
     * Partner: itself. Leaving releases and entering acquires, so that one who finds the gate
     * empty sees what those who left have done.
     */
    atomic_uint_fast64_t word;

    /* One truncate or sync at a time; held from gate_close to gate_release, and while a sync waits.
     */
    struct thread_mutex exclusive;

    /* lock guards sleepers and, while SLEEPER is set, all that is taken from the word. */
    struct thread_mutex lock;
    struct thread_cond changed;
    unsigned sleepers;
};

void gate_init(struct gate *gate);
void gate_destroy(struct gate *gate);

/* A submitted operation comes and goes. Neither waits. */
void gate_add_request(struct gate *gate);
void gate_remove_request(struct gate *gate);

/* A write comes. Returns 0 with *phase to be given to gate_leave, or -EAGAIN where patience ends.
 */
int gate_enter(struct gate *gate, enum gate_patience patience, uint8_t *phase);

/* A write goes. Does not wait for I/O. */
void gate_leave(struct gate *gate, uint8_t phase);

/* Keeps writes out and waits until those inside have left; lets them in again; lets others close or
 * drain the gate. Between the last two, the writes that were kept out are brought in: a truncate or
 * a sync that comes later finds them inside. */
void gate_close(struct gate *gate);
void gate_open(struct gate *gate);
void gate_release(struct gate *gate);

/* Whether writes are kept out. */
bool gate_is_closed(const struct gate *gate);

/* Waits until the writes that are inside now have left. Others may come meanwhile. */
void gate_drain(struct gate *gate);

/* Waits until no submitted operation is in flight. Nothing touches the gate afterwards. */
void gate_wait_idle(struct gate *gate);

/* Submitted operations in flight. */
unsigned gate_requests(const struct gate *gate);

#endif
