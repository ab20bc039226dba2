/* SPDX-License-Identifier: MIT */
/*
 * fault.h - an engine around another one that makes happen what a kernel does once in a year:
 * partial transfers, refusals, interruptions, completions late or in another order.
 *
 * What it does is honest: a transfer shortened to k bytes has moved those k bytes, so that contents
 * can be checked. It also checks the callers: a precondition of engine.h that is not kept ends the
 * program.
 *
 * A step is one transfer that an engine is asked for: an operation has several where parts are
 * moved. Steps are counted per rule, submitted and executed ones alike.
 */
#ifndef AIOFILE_TEST_FAULT_H
#define AIOFILE_TEST_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include <aiofile/file.h>
#include <aiofile/queue.h>

#include "engine.h"

#define FAULT_FOR_EVER UINT32_MAX

/* Sets of opcodes, for rules, holding and stalling. As steps: an append is a write. */
#define FAULT_OF(opcode) (1u << (opcode))
#define FAULT_READS (FAULT_OF(AIO_OP_READ) | FAULT_OF(AIO_OP_READV))
#define FAULT_WRITES (FAULT_OF(AIO_OP_WRITE) | FAULT_OF(AIO_OP_WRITEV))
#define FAULT_SYNCS (FAULT_OF(AIO_OP_SYNC) | FAULT_OF(AIO_OP_DATASYNC))
#define FAULT_ALL UINT32_MAX

enum fault_kind {
    FAULT_SHORTEN, /* moves value bytes at most, above 0 */
    FAULT_RESULT,  /* moves nothing; the result is value */
};

struct fault_rule {
    enum fault_kind kind;
    uint32_t opcodes; /* 0: all */
    uint32_t first;   /* counted from 1, the first step from now; 0 is 1 too */
    uint32_t count;   /* steps, FAULT_FOR_EVER; 0 is 1 */
    int64_t value;
};

/* A step that was asked for. */
struct fault_seen {
    uint8_t opcode;
    int fd;
    int64_t offset;
    uint64_t len; /* bytes or vectors, as asked */
    int32_t rw_flags;
    uint16_t priority;
};

struct fault;

/* Makes one around a new context of an engine. The queue made on it frees it. */
struct fault *fault_create(enum aio_engine inner, uint32_t depth);

/* Frees one that no queue was made on. */
void fault_destroy(struct fault *fault);

/* The engine that it is. */
struct engine *fault_engine(struct fault *fault);

/* Makes a queue on it; flags as in struct aio_queue_options. */
struct aio_queue *fault_queue(struct fault *fault, uint32_t flags);

/* Lets the blocking calls of a file go through it. The file must be closed before it is freed. */
void fault_attach(struct fault *fault, struct aio_file *file);

/* Adds a rule; the first that fits a step counts. Or forgets all. */
void fault_add(struct fault *fault, struct fault_rule rule);
void fault_clear(struct fault *fault);

/* Shortens one step in one_in by chance, to a multiple of unit bytes, or, where the descriptor has
 * no O_DIRECT, to any number of them; 0 ends it. */
void fault_shorten_by_chance(struct fault *fault, uint64_t seed, unsigned one_in, unsigned unit);

/* Whether it is an engine whose submit blocks where a write makes its file longer: then workers
 * execute such writes, which can be neither held back nor reversed. It is not one at first; to be
 * changed while nothing is in flight. */
void fault_block_where_files_grow(struct fault *fault, bool blocks);

/* The next submits that would start anything return an error instead. */
void fault_refuse(struct fault *fault, int error, uint32_t times);

/* No submit starts more than that many; 0: no limit. */
void fault_take(struct fault *fault, unsigned limit);

/* A submit returns only after that long: its events may be reaped before. */
void fault_linger(struct fault *fault, unsigned milliseconds);

/* The next so many submits or reaps return -EINTR. */
void fault_interrupt_submit(struct fault *fault, uint32_t times);
void fault_interrupt_reap(struct fault *fault, uint32_t times);

/* The next so many wakes return -EAGAIN. */
void fault_refuse_wake(struct fault *fault, uint32_t times);

/* Keeps completions of some opcodes back; 0: of none from now on. */
void fault_hold(struct fault *fault, uint32_t opcodes);

/* Delivers so many of those kept back, those submitted first; FAULT_FOR_EVER: all. */
void fault_release(struct fault *fault, uint32_t count);

/* How many are kept back. */
unsigned fault_held(struct fault *fault);

/* Delivers what comes together in reverse order. */
void fault_reverse(struct fault *fault, bool reverse);

/* Blocking calls of some opcodes stop before they do anything, until it is 0; how many stand
 * there. */
void fault_stall(struct fault *fault, uint32_t opcodes);
unsigned fault_stalled(struct fault *fault);

/* What was asked for: the number of steps, and one of the first 64. Submits, reaps and wakes that
 * were called. */
unsigned fault_steps(struct fault *fault);
struct fault_seen fault_step(struct fault *fault, unsigned index);
unsigned fault_submits(struct fault *fault);
unsigned fault_reaps(struct fault *fault);
unsigned fault_wakes(struct fault *fault);

/* The min of the reap that waits now; 0: none does. */
unsigned fault_sleeping_for(struct fault *fault);

/* A queue on test_engine that errs on purpose, and an empty direct file, named "file", whose
 * blocking calls do so too. */
struct rig {
    struct fault *fault;
    struct aio_queue *queue;
    struct aio_file *file;
};

struct rig rig_open(unsigned depth, uint32_t queue_flags);

/* Closes both, with nothing left in the queue and no error kept in the file. */
void rig_close(struct rig *rig);

#endif
