/* SPDX-License-Identifier: MIT */
/*
 * engine_threads.c - threads of the engine's own execute the transfers by plain system calls: for
 * kernels, sandboxes and file systems that have nothing better.
 *
 * Transfers wait in a list, first come, first served, until a thread is free; their events wait in
 * a ring. Both are made for the whole depth by create: nothing is allocated later. One thread is
 * there from the start, so that a refusal comes from create, where somebody can act on it; others
 * are started by a submit that finds nobody idle, and stay. That one of those cannot be started is
 * no error: what is submitted waits for the threads that there are. With one thread transfers run
 * strictly one after the other, in the order of submit.
 *
 * The ring's lock guards the list too: a thread leaves an event and takes its next transfer in one
 * go, and who cancels sees a transfer waiting, running or over, and nothing in between.
 */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "event_ring.h"

/* Disks have work for more; but each is a thread, and programs have several queues. */
#define THREADS_DEFAULT 8u

#define TAG_NONE UINT32_MAX

/* Where the transfer of a tag is. */
enum place {
    PLACE_NOWHERE, /* not submitted, or its event is in the ring */
    PLACE_WAITING, /* in the list */
    PLACE_RUNNING, /* with a thread */
};

struct threads_slot {
    const struct engine_io *io;
    uint32_t next;     /* tags; of what waits */
    uint32_t previous; /* likewise: cancel takes from the middle */
    enum place place;
};

struct threads_engine {
    struct engine engine;
    struct event_ring ring;     /* its lock guards all below, but limit and threads */
    struct thread_cond arrived; /* a transfer, or the end */
    uint32_t first;             /* tag of the transfer that has waited longest */
    uint32_t last;
    uint32_t waiting; /* transfers in the list */
    uint32_t started; /* threads */
    uint32_t idle;    /* of these; one that is started or signalled is idle until it runs */
    bool stop;
    uint32_t limit;                /* of threads */
    struct thread_handle *threads; /* the first so many as are started, until destroy */
    struct threads_slot slots[];
};

static struct threads_engine *threads_of(struct engine *engine)
{
    return (struct threads_engine *)engine;
}

/* --- the list, lock held -------------------------------------------------------------------- */

static void list_append(struct threads_engine *threads, const struct engine_io *io)
{
    struct threads_slot *slot = &threads->slots[io->tag];

    assert(slot->place == PLACE_NOWHERE);
    *slot = (struct threads_slot){io, TAG_NONE, threads->last, PLACE_WAITING};
    if (threads->last != TAG_NONE)
        threads->slots[threads->last].next = io->tag;
    else
        threads->first = io->tag;
    threads->last = io->tag;
    threads->waiting++;
}

/* Takes a transfer out; place says where it goes. */
static void list_remove(struct threads_engine *threads, uint32_t tag, enum place place)
{
    struct threads_slot *slot = &threads->slots[tag];

    assert(slot->place == PLACE_WAITING);
    if (slot->previous != TAG_NONE)
        threads->slots[slot->previous].next = slot->next;
    else
        threads->first = slot->next;
    if (slot->next != TAG_NONE)
        threads->slots[slot->next].previous = slot->previous;
    else
        threads->last = slot->previous;
    slot->place = place;
    threads->waiting--;
}

/* --- the threads ---------------------------------------------------------------------------- */

/* Takes the transfer that has waited longest, waiting for one. Lock held, dropped meanwhile.
 * NULL: the end. */
static const struct engine_io *take_transfer(struct threads_engine *threads)
{
    uint32_t tag;

    while (threads->first == TAG_NONE && !threads->stop) {
        threads->idle++;
        thread_cond_wait(&threads->arrived, &threads->ring.lock, DEADLINE_NEVER);
        threads->idle--;
    }
    if (threads->first == TAG_NONE)
        return NULL;
    tag = threads->first;
    list_remove(threads, tag, PLACE_RUNNING);
    return threads->slots[tag].io;
}

static void *threads_main(void *argument)
{
    struct threads_engine *threads = argument;
    const struct engine_io *io;

    thread_mutex_lock(&threads->ring.lock);
    threads->idle--;
    while ((io = take_transfer(threads)) != NULL) {
        /* The tag first: once the event is in the ring, the transfer is its owner's again. */
        uint32_t tag = io->tag;
        ssize_t result;

        thread_mutex_unlock(&threads->ring.lock);
        result = engine_execute_plain(&threads->engine, io);
        thread_mutex_lock(&threads->ring.lock);
        threads->slots[tag].place = PLACE_NOWHERE;
        event_ring_put(&threads->ring, tag, result);
    }
    thread_mutex_unlock(&threads->ring.lock);
    return NULL;
}

/* Starts one more. Lock held. */
static int start_thread(struct threads_engine *threads)
{
    int error =
        thread_start(&threads->threads[threads->started], "aio-engine", threads_main, threads);

    if (error != 0)
        return error;
    threads->started++;
    threads->idle++;
    return 0;
}

/* --- create, destroy ------------------------------------------------------------------------ */

static void threads_free(struct threads_engine *threads)
{
    thread_cond_destroy(&threads->arrived);
    event_ring_free(&threads->ring);
    free(threads->threads);
    free(threads);
}

/* Everything but a thread. NULL: no memory. */
static struct threads_engine *threads_new(uint32_t depth, uint32_t limit)
{
    struct threads_engine *threads =
        calloc(1, sizeof(*threads) + depth * sizeof(threads->slots[0]));

    if (threads == NULL)
        return NULL;
    threads->threads = calloc(limit, sizeof(threads->threads[0]));
    if (threads->threads == NULL || event_ring_init(&threads->ring, depth) != 0) {
        free(threads->threads);
        free(threads);
        return NULL;
    }
    threads->engine.ops = &engine_threads_ops;
    threads->engine.depth = depth;
    threads->engine.takes_hipri = true;
    threads->first = TAG_NONE;
    threads->last = TAG_NONE;
    threads->limit = limit;
    thread_cond_init(&threads->arrived);
    return threads;
}

/* pthread_create(3) says EAGAIN for all that a thread may lack. */
static void explain_no_thread(const struct log *log, int error)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    char processes[32] = "unlimited";

    if (error != -EAGAIN) {
        log_say(log, AIO_LOG_ERROR,
                "threads: no thread can be started (%s): a sandbox filters clone; use "
                "AIO_ENGINE_SYNC",
                strerrorname_np(-error));
        return;
    }
    getrlimit(RLIMIT_NPROC, &limit);
    if (limit.rlim_cur != RLIM_INFINITY)
        snprintf(processes, sizeof(processes), "%llu", (unsigned long long)limit.rlim_cur);
    log_say(log, AIO_LOG_ERROR,
            "threads: no thread can be started (EAGAIN): RLIMIT_NPROC = %s, the control group's "
            "pids.max or memory is used up; raise it (ulimit -u), or use AIO_ENGINE_SYNC",
            processes);
}

static int threads_create(const struct engine_config *config, struct engine **result)
{
    uint32_t limit = config->workers != 0 ? config->workers : THREADS_DEFAULT;
    struct threads_engine *threads;
    int error;

    if (limit > config->depth)
        limit = config->depth;
    threads = threads_new(config->depth, limit);
    if (threads == NULL) {
        log_say(&config->log, AIO_LOG_ERROR, "threads: no memory for %u requests", config->depth);
        return -ENOMEM;
    }
    thread_mutex_lock(&threads->ring.lock);
    error = start_thread(threads);
    thread_mutex_unlock(&threads->ring.lock);
    if (error != 0) {
        explain_no_thread(&config->log, error);
        threads_free(threads);
        return error;
    }
    *result = &threads->engine;
    return 0;
}

static void threads_destroy(struct engine *engine)
{
    struct threads_engine *threads = threads_of(engine);

    thread_mutex_lock(&threads->ring.lock);
    assert(threads->waiting == 0);
    threads->stop = true;
    thread_cond_broadcast(&threads->arrived);
    thread_mutex_unlock(&threads->ring.lock);
    /* Nobody submits, so that none is started any more. */
    for (uint32_t index = 0; index < threads->started; index++)
        thread_join(&threads->threads[index]);
    threads_free(threads);
}

/* --- use ------------------------------------------------------------------------------------ */

static int threads_submit(struct engine *engine, struct engine_io *const *ios, unsigned count)
{
    struct threads_engine *threads = threads_of(engine);
    bool refused = false;

    thread_mutex_lock(&threads->ring.lock);
    for (unsigned index = 0; index < count; index++) {
        list_append(threads, ios[index]);
        /* Started under the lock, as none may be started twice. After a refusal the rest of the
         * batch does not ask again. */
        if (threads->waiting > threads->idle && threads->started < threads->limit && !refused)
            refused = start_thread(threads) != 0;
        if (threads->idle > 0)
            thread_cond_signal(&threads->arrived);
    }
    thread_mutex_unlock(&threads->ring.lock);
    return (int)count;
}

static int threads_reap(struct engine *engine, struct engine_event *events, unsigned min,
                        unsigned max, const struct timespec *timeout)
{
    return event_ring_reap(&threads_of(engine)->ring, events, min, max, timeout);
}

static int threads_wake(struct engine *engine, unsigned sleeping_for)
{
    (void)sleeping_for;
    event_ring_wake(&threads_of(engine)->ring);
    return 0;
}

/* What waits has not begun and never will; what runs is in a system call that nothing ends. */
static int threads_cancel(struct engine *engine, uint32_t tag)
{
    struct threads_engine *threads = threads_of(engine);
    int error = 0;

    thread_mutex_lock(&threads->ring.lock);
    switch (threads->slots[tag].place) {
    case PLACE_WAITING:
        list_remove(threads, tag, PLACE_NOWHERE);
        event_ring_put(&threads->ring, tag, -ECANCELED);
        break;
    case PLACE_RUNNING:
        error = -EBUSY;
        break;
    case PLACE_NOWHERE:
        error = -EALREADY;
        break;
    }
    thread_mutex_unlock(&threads->ring.lock);
    return error;
}

static int threads_notify(struct engine *engine, int event_fd)
{
    event_ring_notify(&threads_of(engine)->ring, event_fd);
    return 0;
}

const struct engine_ops engine_threads_ops = {
    .name = "threads",
    .id = AIO_ENGINE_THREADS,
    .create = threads_create,
    .destroy = threads_destroy,
    .submit = threads_submit,
    .reap = threads_reap,
    .wake = threads_wake,
    .cancel = threads_cancel,
    .know_file = engine_know_no_file,
    .forget_file = engine_forget_no_file,
    .notify = threads_notify,
    .execute = engine_execute_plain,
};
