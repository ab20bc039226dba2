/* SPDX-License-Identifier: MIT */
/*
 * gate.h - who may run on a file now: any number of writes, or one truncate or draining sync alone.
 * Reads do not enter; submitted operations of every kind are counted, so that close can wait.
 */
#ifndef AIOFILE_LIB_GATE_H
#define AIOFILE_LIB_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "file_ops.h"
#include "thread.h"

/* What is added to the word. */
#define GATE_REQUEST (UINT64_C(1) << 0) /* a submitted operation */
#define GATE_WRITE (UINT64_C(1) << 24)  /* a write, blocking or submitted */

struct gate {
    /*
     * Bits 0-23 requests, 24-47 writes, then three flags:
     * WANTED: somebody waits for the writes to leave; new ones stay out.
     * BUSY: he is at work, alone.
     * SLEEPER: somebody sleeps on changed; whoever takes from the word then does so under lock.
     * Partner: itself. Leaving releases and entering acquires, so that one who finds the gate
     * empty sees what those who left have done.
     */
    atomic_uint_fast64_t word;

    /* One at a time wants the gate for itself; held from gate_close to gate_open. */
    struct thread_mutex exclusive;

    /* lock guards sleepers and, while SLEEPER is set, all that is taken from the word. */
    struct thread_mutex lock;
    struct thread_cond changed;
    unsigned sleepers;
};

void gate_init(struct gate *gate);
void gate_destroy(struct gate *gate);

/* Enters with what is in delta. Returns 0, or -EAGAIN where patience ends. Without GATE_WRITE it
 * never waits. */
int gate_enter(struct gate *gate, uint64_t delta, enum gate_patience patience);

/* Leaves. Never waits for I/O. */
void gate_leave(struct gate *gate, uint64_t delta);

/* Keeps writes out and waits until those inside have left. */
void gate_close(struct gate *gate);
void gate_open(struct gate *gate);

/* Waits until no submitted operation is in flight. Nothing touches the gate afterwards. */
void gate_wait_idle(struct gate *gate);

/* Submitted operations in flight. */
unsigned gate_requests(const struct gate *gate);

#endif
