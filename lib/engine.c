/* SPDX-License-Identifier: MIT */
/*
 * engine.c - which engines there are, and what they share.
 */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "errno_guard.h"
#include "process.h"

/* In the order in which AUTO tries them. */
static const struct engine_ops *const engines[] = {&engine_kaio_ops, &engine_sync_ops};

#define ENGINE_COUNT (sizeof(engines) / sizeof(engines[0]))

const struct engine_ops *engine_find(enum aio_engine id, int *error)
{
    *error = 0;
    if (id == AIO_ENGINE_AUTO)
        return engines[0];
    for (unsigned index = 0; index < ENGINE_COUNT; index++)
        if (engines[index]->id == id)
            return engines[index];
    *error = id <= AIO_ENGINE_SIM ? -EOPNOTSUPP : -EINVAL;
    return NULL;
}

int engine_check(enum aio_engine id, const struct log *log)
{
    int error;

    if (engine_find(id, &error) == NULL)
        log_say(log, AIO_LOG_ERROR,
                "engine %d is not in this version: use AIO_ENGINE_KAIO or AIO_ENGINE_SYNC",
                (int)id);
    return error;
}

static int engine_create_first(const struct engine_config *config, struct engine **result)
{
    int error = -EOPNOTSUPP;

    for (unsigned index = 0; index < ENGINE_COUNT; index++) {
        error = engines[index]->create(config, result);
        if (error == 0) {
            log_say(&config->log, index == 0 ? AIO_LOG_INFO : AIO_LOG_WARNING,
                    "engine auto: using %s, %s", engines[index]->name,
                    index == 0 ? "the first choice" : "as those before it were refused");
            return 0;
        }
    }
    return error;
}

int engine_create(enum aio_engine id, const struct engine_config *config, struct engine **result)
{
    int error = engine_check(id, &config->log);

    if (error != 0)
        return error;
    if (id == AIO_ENGINE_AUTO)
        return engine_create_first(config, result);
    return engine_find(id, &error)->create(config, result);
}

int engine_ops_check(const struct engine_ops *ops)
{
    if (ops->name == NULL || ops->create == NULL || ops->destroy == NULL || ops->submit == NULL)
        return -EINVAL;
    if (ops->reap == NULL || ops->wake == NULL || ops->cancel == NULL || ops->execute == NULL)
        return -EINVAL;
    if (ops->know_file == NULL || ops->forget_file == NULL || ops->notify == NULL)
        return -EINVAL;
    return 0;
}

int engine_know_no_file(struct engine *engine, int fd)
{
    (void)engine;
    (void)fd;
    return 0;
}

void engine_forget_no_file(struct engine *engine, int fd)
{
    (void)engine;
    (void)fd;
}

ssize_t engine_execute_plain(struct engine *engine, const struct engine_io *io)
{
    ERRNO_GUARD;
    const struct iovec one = {io->buf, io->len};
    ssize_t result;

    (void)engine;
    switch (io->opcode) {
    case AIO_OP_READ:
        result = io->rw_flags == 0 ? pread(io->fd, io->buf, io->len, io->offset)
                                   : preadv2(io->fd, &one, 1, io->offset, io->rw_flags);
        break;
    case AIO_OP_WRITE:
        result = io->rw_flags == 0 ? pwrite(io->fd, io->buf, io->len, io->offset)
                                   : pwritev2(io->fd, &one, 1, io->offset, io->rw_flags);
        break;
    case AIO_OP_READV:
        result = preadv2(io->fd, io->iov, (int)io->len, io->offset, io->rw_flags);
        break;
    case AIO_OP_WRITEV:
        result = pwritev2(io->fd, io->iov, (int)io->len, io->offset, io->rw_flags);
        break;
    case AIO_OP_SYNC:
        result = fsync(io->fd);
        break;
    case AIO_OP_DATASYNC:
        result = fdatasync(io->fd);
        break;
    default:
        return -EINVAL;
    }
    return result >= 0 ? result : -errno;
}

/* The sentence of the last refusal, for aio_engine_probe(). */
struct probe_reason {
    char *text;
    size_t size;
};

static void probe_keep_reason(void *context, int level, const char *message)
{
    struct probe_reason *reason = context;

    if (level == AIO_LOG_ERROR && reason->size > 0)
        snprintf(reason->text, reason->size, "%s", message);
}

int aio_engine_probe(enum aio_engine engine, char *reason, size_t reason_size)
{
    struct probe_reason kept = {reason, reason != NULL ? reason_size : 0};
    struct engine_config config = {.depth = 1, .sqpoll_cpu = -1, .log = {probe_keep_reason, &kept}};
    struct engine *context = NULL;
    ERRNO_GUARD;
    int error;

    if (reason == NULL && reason_size > 0)
        return -EINVAL;
    if (reason != NULL && reason_size > 0)
        reason[0] = '\0';
    error = process_init();
    if (error == 0)
        error = engine_create(engine, &config, &context);
    if (error == 0) {
        assert(context != NULL);
        context->ops->destroy(context);
    }
    if (reason == NULL || reason_size == 0)
        return error;
    if (error == 0)
        reason[0] = '\0';
    else if (reason[0] == '\0')
        snprintf(reason, reason_size, "engine %d: %s", (int)engine, strerrordesc_np(-error));
    return error;
}
