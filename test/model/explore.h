/* SPDX-License-Identifier: MIT */
/*
 * explore.h - runs a small program of a few threads through every order of its steps.
 *
 * An explicit-state search over real C code. The threads are coroutines whose stacks, together
 * with all memory that the code under test uses, lie in one block; a state is a copy of that block.
 * From each state every possible next step is taken once: a thread that can go on, a completion
 * that the device could deliver, a time-out that could pass. States met before are recognised by
 * a hash of the block and not explored again, so a search that ends has seen every order.
 *
 * A state in which nobody can go on before all threads are through is a lost wake-up; a broken
 * expectation (model_expect, assert) is an error: both are printed with the steps that lead there.
 */
#ifndef AIOFILE_TEST_EXPLORE_H
#define AIOFILE_TEST_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Choices beside the threads: a device, say. Numbered from 0; tells whether one is possible now,
 * and does it. */
struct model_environment {
    unsigned choices;
    bool (*possible)(unsigned choice);
    void (*apply)(unsigned choice);
};

struct model_scenario {
    const char *name;
    void (*setup)(void);     /* before any thread runs; takes no steps */
    void (*bodies[4])(void); /* the threads; NULL ends the list */
    void (*check)(void);     /* when all threads are through */
    void (*always)(void);    /* in every state; or NULL */
    bool time_passes;        /* waits with a deadline may time out at any moment */
    int64_t later;           /* ns: what the time may leap to from 1, once; 0: it stands still */
    bool (*leaps)(void);     /* whether it may now */
    bool wakes_early;        /* waits may return at any moment; hides lost wake-ups */
    unsigned must_see;       /* what it is there for: bits that model_saw() has to get */
    struct model_environment environment;
};

enum model_verdict { MODEL_HOLDS, MODEL_STUCK, MODEL_BROKEN, MODEL_TOO_LARGE, MODEL_UNSEEN };

/* Explores a scenario. quiet: do not print the steps that lead to an error. *states receives how
 * many states there are. */
enum model_verdict model_explore(const struct model_scenario *scenario, bool quiet,
                                 unsigned long *states);

/* Explores all; the argument "planted" expects that one does not hold; any other one, or a second
 * one, chooses those with it in their names. Returns the exit status. */
int model_main(const struct model_scenario *scenarios, unsigned count, int argc, char **argv);

/* For the code under test: memory that is part of the state. What is freed is never given out
 * again: whoever writes to it breaks the scenario, whoever locks it gets stuck. */
void *model_calloc(size_t count, size_t size);
void model_free(void *memory);

/* Adds a variable outside of model_calloc() to the state; before any exploration. */
void model_add_variable(void *variable, size_t size);

/* Adds a variable that is each thread's own. */
void model_add_thread_variable(void *variable, size_t size);

/* Memory that is to be cleared before states are compared: counts that nobody decides by. Called
 * in each setup. */
void model_ignore(void *memory, size_t size);

/* Waits until a condition holds, as one step. */
void model_wait_until(const char *label, bool (*condition)(void *), void *argument);

/* Whether a thread of the scenario is through. */
bool model_thread_done(int thread);

/* Whether no thread has a step of its own before it: each is through, sleeps, or waits for a
 * condition. */
bool model_all_rest(void);

/* Which thread runs, -1 in setup. */
int model_self(void);

void model_expect(bool condition, const char *what);

/* Something was met in some order of the steps. */
void model_saw(unsigned bits);

#endif
