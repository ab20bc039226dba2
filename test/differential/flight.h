/* SPDX-License-Identifier: MIT */
/*
 * flight.h - one operation in flight, and a clock that orders what threads do.
 */
#ifndef AIOFILE_TEST_DIFFERENTIAL_FLIGHT_H
#define AIOFILE_TEST_DIFFERENTIAL_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "support.h"

struct flight {
    bool used;
    bool callback; /* its result comes so; else by a wait */
    struct aio_queue *queue;
    aio_request_id id;
    struct memory memory;
    struct aio_completion completion;
    uint64_t begin; /* ticks: before it was submitted, and after its result was there */
    uint64_t end;
    bool done; /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

void flight_init(struct flight *flight);
void flight_destroy(struct flight *flight);

/* Lays the memory of a transfer and makes its operation: a buffer's, or a vector's opcode. */
struct aio_op flight_op(struct flight *flight, uint64_t *random, uint64_t length, uint64_t unit,
                        uint8_t scalar, uint8_t vectors);

/* Submits an operation; its result is taken by flight_end(). */
void flight_begin(struct flight *flight, struct aio_queue *queue, struct aio_op *op, bool callback);

/* Does it at once instead, as a blocking call; end and completion's result and offset are set. */
void flight_block(struct flight *flight, struct aio_op *op);

void flight_end(struct flight *flight);

/* A number that is larger each time. */
uint64_t tick(void);

#endif
