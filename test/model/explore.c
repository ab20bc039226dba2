/* SPDX-License-Identifier: MIT */
/*
 * explore.c - every order of the steps of a few threads.
 */
#include "explore.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "model_thread.h"

#define THREADS_MAX 8
#define STACK_SIZE (24 * 1024)
#define HEAP_SIZE (16 * 1024)
#define VARIABLES_MAX 12
#define DEPTH_MAX 4096
#define STATES_MAX (6u << 20)

enum status {
    ABSENT,
    READY,    /* at a plain step */
    LOCKING,  /* needs mutex */
    SLEEPING, /* on cond; then LOCKING */
    WAITING,  /* for condition(argument) */
    DONE,
};

struct model_thread {
    ucontext_t context;
    enum status status;
    struct thread_mutex *mutex;
    struct thread_cond *cond;
    bool (*condition)(void *);
    void *argument;
    bool timed;
    bool timed_out;
    int64_t deadline_ns;
    const char *label;
    void *(*body)(void *);
    void *body_argument;
    unsigned char own[16]; /* its copies of the thread variables */
};

/* Everything that makes a state, but for the stacks and the registered variables. */
static struct world {
    struct model_thread threads[THREADS_MAX];
    int64_t now_ns;
    size_t heap_used;
    _Alignas(64) unsigned char heap[HEAP_SIZE];
} world;

static _Alignas(64) unsigned char stacks[THREADS_MAX][STACK_SIZE];

static struct variable {
    unsigned char *memory;
    size_t size;
} variables[VARIABLES_MAX], thread_variables[2], ignored[2];
static unsigned variable_count, thread_variable_count, ignored_count;

static ucontext_t scheduler;
static int current = -1;
static const struct model_scenario *scenario;
static const char *broken;
static jmp_buf setup_failed;
static unsigned seen;

/* --- states --------------------------------------------------------------------------------- */

static unsigned char *stack_pointer(int thread)
{
    ucontext_t *context = &world.threads[thread].context;

    if (world.threads[thread].status == ABSENT || world.threads[thread].status == DONE)
        return stacks[thread] + STACK_SIZE;
#if defined(__x86_64__)
    return (unsigned char *)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
    return (unsigned char *)context->uc_mcontext.sp;
#else
    (void)context;
    return stacks[thread];
#endif
}

/* What a stopped thread has left below its stack is nobody's: as zeros, it cannot make two equal
 * states look different. */
static void clear_dead_stack(int thread)
{
    memset(stacks[thread], 0, (size_t)(stack_pointer(thread) - stacks[thread]));
}

static void swap_thread_variables(int thread, bool in)
{
    unsigned char *own = world.threads[thread].own;

    for (unsigned index = 0; index < thread_variable_count; index++) {
        struct variable *variable = &thread_variables[index];

        if (in)
            memcpy(variable->memory, own, variable->size);
        else
            memcpy(own, variable->memory, variable->size);
        own += variable->size;
    }
}

static size_t state_size(void)
{
    size_t size =
        sizeof(world.threads) + sizeof(world.now_ns) + sizeof(world.heap_used) + world.heap_used;

    for (int thread = 0; thread < THREADS_MAX; thread++)
        size += (size_t)(stacks[thread] + STACK_SIZE - stack_pointer(thread));
    for (unsigned index = 0; index < variable_count; index++)
        size += variables[index].size;
    return size;
}

static unsigned char *put(unsigned char *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return to + size;
}

static const unsigned char *get(void *to, const unsigned char *from, size_t size)
{
    memcpy(to, from, size);
    return from + size;
}

static unsigned char *state_save(void)
{
    unsigned char *copy = malloc(state_size());
    unsigned char *end = put(copy, world.threads, sizeof(world.threads));

    end = put(end, &world.now_ns, sizeof(world.now_ns));
    end = put(end, &world.heap_used, sizeof(world.heap_used));
    end = put(end, world.heap, world.heap_used);
    for (unsigned index = 0; index < variable_count; index++)
        end = put(end, variables[index].memory, variables[index].size);
    for (int thread = 0; thread < THREADS_MAX; thread++)
        end = put(end, stack_pointer(thread),
                  (size_t)(stacks[thread] + STACK_SIZE - stack_pointer(thread)));
    return copy;
}

static void state_restore(const unsigned char *copy)
{
    copy = get(world.threads, copy, sizeof(world.threads));
    copy = get(&world.now_ns, copy, sizeof(world.now_ns));
    copy = get(&world.heap_used, copy, sizeof(world.heap_used));
    copy = get(world.heap, copy, world.heap_used);
    for (unsigned index = 0; index < variable_count; index++)
        copy = get(variables[index].memory, copy, variables[index].size);
    for (int thread = 0; thread < THREADS_MAX; thread++) {
        clear_dead_stack(thread);
        copy = get(stack_pointer(thread), copy,
                   (size_t)(stacks[thread] + STACK_SIZE - stack_pointer(thread)));
    }
}

static uint64_t hash_bytes(uint64_t hash, const void *memory, size_t size)
{
    const unsigned char *bytes = memory;

    while (size > 0) {
        uint64_t word = 0;
        size_t part = size < 8 ? size : 8;

        memcpy(&word, bytes, part);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
        bytes += part;
        size -= part;
    }
    return hash;
}

/* Registers that a call does not preserve hold leftovers: only the others are the state. */
static uint64_t hash_registers(uint64_t hash, const ucontext_t *context)
{
#if defined(__x86_64__)
    static const int kept[] = {REG_RBX, REG_RBP, REG_R12, REG_R13,
                               REG_R14, REG_R15, REG_RSP, REG_RIP};

    for (unsigned index = 0; index < sizeof(kept) / sizeof(kept[0]); index++)
        hash = hash_bytes(hash, &context->uc_mcontext.gregs[kept[index]], 8);
    return hash;
#else
    return hash_bytes(hash, &context->uc_mcontext, sizeof(context->uc_mcontext));
#endif
}

static uint64_t state_hash(void)
{
    uint64_t hash = 1;

    for (unsigned index = 0; index < ignored_count; index++)
        memset(ignored[index].memory, 0, ignored[index].size);
    hash = hash_bytes(hash, &world.now_ns, sizeof(world.now_ns));
    hash = hash_bytes(hash, world.heap, world.heap_used);
    for (unsigned index = 0; index < variable_count; index++)
        hash = hash_bytes(hash, variables[index].memory, variables[index].size);
    for (int thread = 0; thread < THREADS_MAX; thread++) {
        struct model_thread *one = &world.threads[thread];
        uintptr_t marks[6] = {
            one->status,          (uintptr_t)one->mutex,
            (uintptr_t)one->cond, one->timed,
            one->timed_out,       one->status == SLEEPING ? (uintptr_t)one->deadline_ns : 0};

        hash = hash_bytes(hash, marks, sizeof(marks));
        if (one->status == ABSENT || one->status == DONE)
            continue;
        hash = hash_bytes(hash, one->own, sizeof(one->own));
        hash = hash_registers(hash, &one->context);
        hash = hash_bytes(hash, stack_pointer(thread),
                          (size_t)(stacks[thread] + STACK_SIZE - stack_pointer(thread)));
    }
    return hash != 0 ? hash : 1;
}

/* --- states met before ---------------------------------------------------------------------- */

static struct {
    uint64_t *slots;
    size_t size;
    size_t count;
} met;

static void met_reset(void)
{
    free(met.slots);
    met.size = 1 << 16;
    met.count = 0;
    met.slots = calloc(met.size, sizeof(met.slots[0]));
}

static bool met_add(uint64_t hash);

static void met_grow(void)
{
    uint64_t *old = met.slots;
    size_t size = met.size;

    met.size *= 2;
    met.count = 0;
    met.slots = calloc(met.size, sizeof(met.slots[0]));
    for (size_t index = 0; index < size; index++)
        if (old[index] != 0)
            met_add(old[index]);
    free(old);
}

/* Returns whether the state is new. */
static bool met_add(uint64_t hash)
{
    size_t place;

    if (met.count * 2 > met.size)
        met_grow();
    place = hash & (met.size - 1);
    while (met.slots[place] != 0 && met.slots[place] != hash)
        place = (place + 1) & (met.size - 1);
    if (met.slots[place] == hash)
        return false;
    met.slots[place] = hash;
    met.count++;
    return true;
}

/* --- threads -------------------------------------------------------------------------------- */

int model_self(void)
{
    return current;
}

static void give_way(void)
{
    swapcontext(&world.threads[current].context, &scheduler);
}

void model_expect(bool condition, const char *what)
{
    if (condition || broken != NULL)
        return;
    broken = what;
    if (current >= 0)
        give_way(); /* never to return: the search ends here */
    longjmp(setup_failed, 1);
}

/* assert() of the code under test comes here instead of ending the process. */
void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
    (void)file;
    (void)line;
    (void)function;
    model_expect(false, assertion);
    exit(2);
}

void model_saw(unsigned bits)
{
    seen |= bits;
}

void model_step(const char *label)
{
    if (current < 0)
        return;
    world.threads[current].status = READY;
    world.threads[current].label = label;
    give_way();
}

void model_wait_until(const char *label, bool (*condition)(void *), void *argument)
{
    struct model_thread *self = &world.threads[current];

    self->status = WAITING;
    self->condition = condition;
    self->argument = argument;
    self->label = label;
    give_way();
}

void model_mutex_lock(struct thread_mutex *mutex)
{
    if (current >= 0) {
        struct model_thread *self = &world.threads[current];

        self->status = LOCKING;
        self->mutex = mutex;
        self->label = "lock";
        give_way();
    }
    assert(mutex->owner == 0);
    mutex->owner = current + 2;
}

void model_mutex_unlock(struct thread_mutex *mutex)
{
    assert(mutex->owner == current + 2);
    mutex->owner = 0;
}

bool model_cond_wait(struct thread_cond *cond, struct thread_mutex *mutex, int64_t deadline_ns)
{
    struct model_thread *self = &world.threads[current];

    model_mutex_unlock(mutex);
    self->status = SLEEPING;
    self->cond = cond;
    self->mutex = mutex;
    self->timed = deadline_ns != INT64_MAX;
    self->deadline_ns = deadline_ns;
    self->timed_out = false;
    self->label = "wake and lock";
    give_way();
    mutex->owner = current + 2;
    return !self->timed_out;
}

static void wake(struct thread_cond *cond, bool all)
{
    for (int thread = 0; thread < THREADS_MAX; thread++) {
        struct model_thread *one = &world.threads[thread];

        if (one->status != SLEEPING || one->cond != cond)
            continue;
        one->status = LOCKING;
        if (!all)
            return;
    }
}

void model_cond_signal(struct thread_cond *cond)
{
    wake(cond, false);
}

void model_cond_broadcast(struct thread_cond *cond)
{
    wake(cond, true);
}

static void thread_main(void)
{
    struct model_thread *self = &world.threads[current];

    self->body(self->body_argument);
    self = &world.threads[current];
    self->status = DONE;
    give_way();
}

int model_thread_start(void *(*body)(void *), void *argument)
{
    int thread = 0;
    struct model_thread *one;

    while (world.threads[thread].status != ABSENT)
        thread++;
    assert(thread < THREADS_MAX);
    one = &world.threads[thread];
    memset(one, 0, sizeof(*one));
    memset(stacks[thread], 0, STACK_SIZE);
    getcontext(&one->context);
    one->context.uc_stack.ss_sp = stacks[thread];
    one->context.uc_stack.ss_size = STACK_SIZE;
    one->context.uc_link = NULL;
    one->body = body;
    one->body_argument = argument;
    one->label = "start";
    makecontext(&one->context, thread_main, 0);
    one->status = READY;
    return thread;
}

bool model_thread_done(int thread)
{
    return world.threads[thread].status == DONE;
}

int64_t model_now_ns(void)
{
    return world.now_ns;
}

bool model_all_rest(void)
{
    for (int thread = 0; thread < THREADS_MAX; thread++) {
        enum status status = world.threads[thread].status;

        if (status == READY || status == LOCKING)
            return false;
    }
    return true;
}

static bool join_condition(void *argument)
{
    return model_thread_done((int)(intptr_t)argument);
}

void model_thread_join(int thread)
{
    model_wait_until("join", join_condition, (void *)(intptr_t)thread);
}

/* --- memory --------------------------------------------------------------------------------- */

/* What stands before each piece of the heap. */
struct piece {
    _Alignas(64) size_t size; /* with this */
    bool freed;
};

#define FREED_BYTE 0xdd

void *model_calloc(size_t count, size_t size)
{
    size_t bytes = sizeof(struct piece) + (count * size + 63) / 64 * 64;
    struct piece *piece = (struct piece *)(world.heap + world.heap_used);

    assert(world.heap_used + bytes <= HEAP_SIZE);
    world.heap_used += bytes;
    memset(piece, 0, bytes);
    piece->size = bytes;
    return piece + 1;
}

void model_free(void *memory)
{
    struct piece *piece;

    if (memory == NULL)
        return;
    piece = (struct piece *)memory - 1;
    model_expect(!piece->freed, "memory is freed twice");
    piece->freed = true;
    memset(memory, FREED_BYTE, piece->size - sizeof(*piece));
}

static bool is_ignored(const unsigned char *byte)
{
    for (unsigned index = 0; index < ignored_count; index++)
        if (byte >= ignored[index].memory && byte < ignored[index].memory + ignored[index].size)
            return true;
    return false;
}

static void check_freed(void)
{
    size_t at = 0;

    while (at < world.heap_used) {
        struct piece *piece = (struct piece *)(world.heap + at);
        unsigned char *bytes = (unsigned char *)piece;

        for (size_t index = sizeof(*piece); piece->freed && index < piece->size; index++)
            model_expect(bytes[index] == FREED_BYTE || is_ignored(bytes + index),
                         "memory was written to after it was freed");
        at += piece->size;
    }
}

void model_add_variable(void *variable, size_t size)
{
    assert(variable_count < VARIABLES_MAX);
    variables[variable_count++] = (struct variable){variable, size};
}

void model_add_thread_variable(void *variable, size_t size)
{
    assert(thread_variable_count < 2);
    thread_variables[thread_variable_count++] = (struct variable){variable, size};
}

void model_ignore(void *memory, size_t size)
{
    assert(ignored_count < 2);
    ignored[ignored_count++] = (struct variable){memory, size};
}

/* --- the search ----------------------------------------------------------------------------- */

/* Choices: threads, then time-outs of threads, then the environment's. */
#define CHOICE_TIMEOUT THREADS_MAX
#define CHOICE_ENVIRONMENT (2 * THREADS_MAX)

/* Behind the environment's: the time leaps. */
static unsigned choice_time(void)
{
    return CHOICE_ENVIRONMENT + scenario->environment.choices;
}

static bool choice_possible(unsigned choice)
{
    struct model_thread *one = &world.threads[choice % THREADS_MAX];

    if (choice == choice_time())
        return world.now_ns < scenario->later && scenario->leaps();
    if (choice >= CHOICE_ENVIRONMENT)
        return scenario->environment.possible(choice - CHOICE_ENVIRONMENT);
    if (choice >= CHOICE_TIMEOUT)
        return one->status == SLEEPING &&
               ((one->timed && (scenario->time_passes || one->deadline_ns <= world.now_ns)) ||
                scenario->wakes_early);
    switch (one->status) {
    case READY:
        return true;
    case LOCKING:
        return one->mutex->owner == 0;
    case WAITING:
        return one->condition(one->argument);
    default:
        return false;
    }
}

static void choice_take(unsigned choice)
{
    struct model_thread *one = &world.threads[choice % THREADS_MAX];

    if (choice == choice_time()) {
        world.now_ns = scenario->later;
    } else if (choice >= CHOICE_ENVIRONMENT) {
        scenario->environment.apply(choice - CHOICE_ENVIRONMENT);
    } else if (choice >= CHOICE_TIMEOUT) {
        one->timed_out = one->timed && (scenario->time_passes || one->deadline_ns <= world.now_ns);
        one->status = LOCKING;
    } else {
        current = (int)choice;
        swap_thread_variables(current, true);
        swapcontext(&scheduler, &one->context);
        swap_thread_variables(current, false);
        clear_dead_stack(current);
        current = -1;
    }
}

static struct level {
    unsigned char *state;
    unsigned next_choice;
    const char *label; /* of the step that led here */
    unsigned choice;
} levels[DEPTH_MAX];

static void print_steps(unsigned depth, const char *what)
{
    printf("%s: %s, after\n", scenario->name, what);
    for (unsigned index = 1; index <= depth; index++) {
        unsigned choice = levels[index].choice;

        if (choice == choice_time())
            printf("  the time leaps\n");
        else if (choice >= CHOICE_ENVIRONMENT)
            printf("  device     choice %u\n", choice - CHOICE_ENVIRONMENT);
        else if (choice >= CHOICE_TIMEOUT)
            printf("  thread %u   time-out or early wake\n", choice - CHOICE_TIMEOUT);
        else
            printf("  thread %u   %s\n", choice, levels[index].label);
    }
    for (int thread = 0; thread < THREADS_MAX; thread++)
        if (world.threads[thread].status != ABSENT && world.threads[thread].status != DONE)
            printf("  thread %d stands at: %s\n", thread, world.threads[thread].label);
}

static bool all_done(void)
{
    for (int thread = 0; thread < THREADS_MAX; thread++)
        if (world.threads[thread].status != ABSENT && world.threads[thread].status != DONE)
            return false;
    return true;
}

static void *run_body(void *argument)
{
    scenario->bodies[(intptr_t)argument]();
    return NULL;
}

static bool begin(void)
{
    memset(&world, 0, sizeof(world));
    memset(stacks, 0, sizeof(stacks));
    for (unsigned index = 0; index < variable_count; index++)
        memset(variables[index].memory, 0, variables[index].size);
    for (unsigned index = 0; index < thread_variable_count; index++)
        memset(thread_variables[index].memory, 0, thread_variables[index].size);
    world.now_ns = 1;
    ignored_count = 0;
    broken = NULL;
    current = -1;
    met_reset();
    if (setjmp(setup_failed) != 0)
        return false;
    for (intptr_t body = 0; body < 4 && scenario->bodies[body] != NULL; body++)
        model_thread_start(run_body, (void *)body);
    scenario->setup();
    return true;
}

static void run_check(void)
{
    if (setjmp(setup_failed) != 0)
        return;
    check_freed();
    scenario->check();
}

static void run_always(void)
{
    if (setjmp(setup_failed) == 0)
        scenario->always();
}

/* Takes one choice from the state of a level. Returns the verdict, MODEL_HOLDS to go on; *deeper
 * tells that a new state was reached and put on the next level. */
static enum model_verdict expand(unsigned depth, unsigned choice, bool quiet, bool *deeper)
{
    struct level *next = &levels[depth + 1];

    *deeper = false;
    next->choice = choice;
    next->label = choice < CHOICE_TIMEOUT ? world.threads[choice].label : "";
    choice_take(choice);
    if (broken == NULL && scenario->always != NULL)
        run_always();
    if (broken == NULL && all_done())
        run_check();
    if (broken != NULL) {
        if (!quiet)
            print_steps(depth + 1, broken);
        return MODEL_BROKEN;
    }
    if (!met_add(state_hash()))
        return MODEL_HOLDS;
    if (met.count > STATES_MAX || depth + 2 >= DEPTH_MAX)
        return MODEL_TOO_LARGE;
    next->state = state_save();
    next->next_choice = 0;
    *deeper = true;
    return MODEL_HOLDS;
}

static enum model_verdict search(bool quiet)
{
    unsigned choices = choice_time() + 1;
    unsigned depth = 0;

    for (;;) {
        struct level *level = &levels[depth];
        bool fresh = level->next_choice == 0;
        bool any = false;
        bool deeper = false;
        enum model_verdict verdict = MODEL_HOLDS;

        state_restore(level->state);
        for (unsigned choice = 0; fresh && choice < choices; choice++)
            any |= choice_possible(choice);
        if (fresh && !any && !all_done()) {
            if (!quiet)
                print_steps(depth, "nobody can go on: a lost wake-up");
            verdict = MODEL_STUCK;
        }
        while (verdict == MODEL_HOLDS && !deeper && level->next_choice < choices) {
            unsigned choice = level->next_choice++;

            if (!choice_possible(choice))
                continue;
            verdict = expand(depth, choice, quiet, &deeper);
            if (verdict == MODEL_HOLDS && !deeper)
                state_restore(level->state);
        }
        if (verdict != MODEL_HOLDS)
            return verdict;
        if (deeper) {
            depth++;
            continue;
        }
        free(level->state);
        level->state = NULL;
        if (depth-- == 0)
            return MODEL_HOLDS;
    }
}

enum model_verdict model_explore(const struct model_scenario *given, bool quiet,
                                 unsigned long *states)
{
    enum model_verdict verdict;

    scenario = given;
    seen = 0;
    *states = 0;
    if (!begin()) {
        if (!quiet)
            printf("%s: setup: %s\n", given->name, broken);
        return MODEL_BROKEN;
    }
    met_add(state_hash());
    levels[0].state = state_save();
    levels[0].next_choice = 0;
    verdict = search(quiet);
    *states = met.count;
    for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
        free(levels[depth].state);
        levels[depth].state = NULL;
    }
    if (verdict == MODEL_HOLDS && (scenario->must_see & ~seen) != 0)
        verdict = MODEL_UNSEEN;
    return verdict;
}

int model_main(const struct model_scenario *scenarios, unsigned count, int argc, char **argv)
{
    static const char *const verdicts[] = {"holds", "STUCK", "BROKEN", "TOO LARGE",
                                           "HAS NOT SEEN WHAT IT IS THERE FOR"};
    bool planted = argc > 1 && strcmp(argv[1], "planted") == 0;
    const char *only = argc > 2 ? argv[2] : argc > 1 && !planted ? argv[1] : "";
    unsigned found = 0;
    unsigned wrong = 0;

    for (unsigned index = 0; index < count && !(planted && found > 0); index++) {
        enum model_verdict verdict;
        unsigned long states;

        if (strstr(scenarios[index].name, only) == NULL)
            continue;
        verdict = model_explore(&scenarios[index], planted, &states);
        printf("%-45s %9lu states  %s\n", scenarios[index].name, states, verdicts[verdict]);
        fflush(stdout);
        found += verdict == MODEL_STUCK || verdict == MODEL_BROKEN;
        wrong += verdict != MODEL_HOLDS;
    }
    if (!planted)
        return wrong > 0 ? 1 : 0;
    printf("%s\n", found > 0 ? "the planted fault was found" : "THE PLANTED FAULT WAS NOT FOUND");
    return found > 0 ? 0 : 1;
}
