/* SPDX-License-Identifier: MIT */
/*
 * engine_sync.c - the submitting thread executes each transfer; its event then waits in a ring.
 *
 * The reference for what an engine does: nothing here is clever, and with it a program's every
 * transfer can be followed in a debugger.
 */
#include "engine.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "thread.h"

struct sync_engine {
    struct engine engine;
    struct thread_mutex lock; /* guards all below */
    struct thread_cond arrived;
    bool woken;
    uint32_t head; /* of the oldest event */
    uint32_t count;
    int notify_fd; /* -1: none. Of an owned engine: its one thread's */
    struct engine_event events[];
};

static struct sync_engine *sync_of(struct engine *engine)
{
    return (struct sync_engine *)engine;
}

static int sync_create(const struct engine_config *config, struct engine **result)
{
    struct sync_engine *sync = calloc(1, sizeof(*sync) + config->depth * sizeof(sync->events[0]));

    if (sync == NULL) {
        log_say(&config->log, AIO_LOG_ERROR, "sync: no memory for %u requests", config->depth);
        return -ENOMEM;
    }
    sync->engine.ops = &engine_sync_ops;
    sync->engine.depth = config->depth;
    sync->engine.takes_hipri = true;
    sync->notify_fd = -1;
    thread_mutex_init(&sync->lock);
    thread_cond_init(&sync->arrived);
    *result = &sync->engine;
    return 0;
}

static void sync_destroy(struct engine *engine)
{
    struct sync_engine *sync = sync_of(engine);

    thread_cond_destroy(&sync->arrived);
    thread_mutex_destroy(&sync->lock);
    free(sync);
}

static int sync_submit(struct engine *engine, struct engine_io *const *ios, unsigned count)
{
    struct sync_engine *sync = sync_of(engine);

    for (unsigned index = 0; index < count; index++) {
        /* The tag first: once the event is in the ring, the transfer is its owner's again. */
        uint32_t tag = ios[index]->tag;
        ssize_t result = engine_execute_plain(engine, ios[index]);

        thread_mutex_lock(&sync->lock);
        sync->events[(sync->head + sync->count) % sync->engine.depth] =
            (struct engine_event){.tag = tag, .result = result};
        sync->count++;
        thread_cond_signal(&sync->arrived);
        thread_mutex_unlock(&sync->lock);
        if (sync->notify_fd >= 0)
            eventfd_write(sync->notify_fd, 1);
    }
    return (int)count;
}

static int sync_reap(struct engine *engine, struct engine_event *events, unsigned min, unsigned max,
                     const struct timespec *timeout)
{
    struct sync_engine *sync = sync_of(engine);
    int64_t deadline_ns = thread_deadline_ns(timeout);
    int taken = 0;

    thread_mutex_lock(&sync->lock);
    while (sync->count < min && !sync->woken)
        if (!thread_cond_wait(&sync->arrived, &sync->lock, deadline_ns))
            break;
    sync->woken = false;
    while (sync->count > 0 && (unsigned)taken < max) {
        events[taken++] = sync->events[sync->head];
        sync->head = (sync->head + 1) % sync->engine.depth;
        sync->count--;
    }
    thread_mutex_unlock(&sync->lock);
    return taken;
}

static int sync_wake(struct engine *engine, unsigned sleeping_for)
{
    struct sync_engine *sync = sync_of(engine);

    (void)sleeping_for;
    thread_mutex_lock(&sync->lock);
    sync->woken = true;
    thread_cond_signal(&sync->arrived);
    thread_mutex_unlock(&sync->lock);
    return 0;
}

/* Whatever was submitted has been executed. */
static int sync_cancel(struct engine *engine, uint32_t tag)
{
    (void)engine;
    (void)tag;
    return -EALREADY;
}

static int sync_notify(struct engine *engine, int event_fd)
{
    sync_of(engine)->notify_fd = event_fd;
    return 0;
}

const struct engine_ops engine_sync_ops = {
    .name = "sync",
    .id = AIO_ENGINE_SYNC,
    .create = sync_create,
    .destroy = sync_destroy,
    .submit = sync_submit,
    .reap = sync_reap,
    .wake = sync_wake,
    .cancel = sync_cancel,
    .know_file = engine_know_no_file,
    .forget_file = engine_forget_no_file,
    .notify = sync_notify,
    .execute = engine_execute_plain,
};
