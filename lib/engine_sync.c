/* SPDX-License-Identifier: MIT */
/*
 * engine_sync.c - the submitting thread executes each transfer; its event then waits in a ring.
 *
 * The reference for what an engine does: nothing here is clever, and with it a program's every
 * transfer can be followed in a debugger.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

#include "event_ring.h"

struct sync_engine {
    struct engine engine;
    struct event_ring ring;
};

static struct sync_engine *sync_of(struct engine *engine)
{
    return (struct sync_engine *)engine;
}

static int sync_create(const struct engine_config *config, struct engine **result)
{
    struct sync_engine *sync = calloc(1, sizeof(*sync));

    if (sync == NULL || event_ring_init(&sync->ring, config->depth) != 0) {
        free(sync);
        log_say(&config->log, AIO_LOG_ERROR, "sync: no memory for %u requests", config->depth);
        return -ENOMEM;
    }
    sync->engine.ops = &engine_sync_ops;
    sync->engine.depth = config->depth;
    sync->engine.takes_hipri = true;
    *result = &sync->engine;
    return 0;
}

static void sync_destroy(struct engine *engine)
{
    struct sync_engine *sync = sync_of(engine);

    event_ring_free(&sync->ring);
    free(sync);
}

static int sync_submit(struct engine *engine, struct engine_io *const *ios, unsigned count)
{
    struct sync_engine *sync = sync_of(engine);

    for (unsigned index = 0; index < count; index++) {
        /* The tag first: once the event is in the ring, the transfer is its owner's again. */
        uint32_t tag = ios[index]->tag;
        ssize_t result = engine_execute_plain(engine, ios[index]);

        thread_mutex_lock(&sync->ring.lock);
        event_ring_put(&sync->ring, tag, result);
        thread_mutex_unlock(&sync->ring.lock);
    }
    return (int)count;
}

static int sync_reap(struct engine *engine, struct engine_event *events, unsigned min, unsigned max,
                     const struct timespec *timeout)
{
    return event_ring_reap(&sync_of(engine)->ring, events, min, max, timeout);
}

static int sync_wake(struct engine *engine, unsigned sleeping_for)
{
    (void)sleeping_for;
    event_ring_wake(&sync_of(engine)->ring);
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
    event_ring_notify(&sync_of(engine)->ring, event_fd);
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
