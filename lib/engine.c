/* SPDX-License-Identifier: MIT */
/*
 * engine.c - which engines there are, and what they share.
 */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <linux/ioprio.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "errno_guard.h"
#include "process.h"

/* In the order in which AUTO tries them. */
static const struct engine_ops *const engines[] = {
    &engine_kaio_ops,
#ifdef AIOFILE_URING
    &engine_uring_ops,
#endif
    &engine_threads_ops,
    &engine_sync_ops,
};

#define ENGINE_COUNT (sizeof(engines) / sizeof(engines[0]))

/* --- finding one ---------------------------------------------------------------------------- */

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

    if (engine_find(id, &error) != NULL)
        return 0;
    if (id == AIO_ENGINE_URING)
        log_say(log, AIO_LOG_ERROR,
                "uring: this libaiofile was built without io_uring; install liburing-dev (2.3 or "
                "later) and build it with -Dliburing=enabled, or use AIO_ENGINE_KAIO or "
                "AIO_ENGINE_THREADS");
    else if (id == AIO_ENGINE_SIM)
        log_say(log, AIO_LOG_ERROR,
                "sim: this version has no simulated disk; use AIO_ENGINE_AUTO, or AIO_ENGINE_SYNC "
                "where each run is to be like the one before");
    else
        log_say(log, AIO_LOG_ERROR,
                "engine %d is none; use AIO_ENGINE_AUTO or another of enum aio_engine", (int)id);
    return error;
}

/* --- the first that works ------------------------------------------------------------------- */

/* Why an engine was refused: its sentence, up to the remedy. */
struct refusal {
    const struct log *log; /* where sentences go that are no refusals */
    int error;
    char reason[160];
};

/* What an engine says while it is tried. That it is refused is no error of the call yet. */
static void refusal_keep(void *context, int level, const char *message)
{
    struct refusal *refusal = context;

    if (level != AIO_LOG_ERROR)
        log_say(refusal->log, (enum aio_log_level)level, "%s", message);
    else
        snprintf(refusal->reason, sizeof(refusal->reason), "%.*s", (int)strcspn(message, ";"),
                 message);
}

/* Whether the error says that an engine does not work here, so that another one may: the kernel,
 * a sandbox or a limit is against it. Limits too, as the next engine takes of another: kaio's of
 * fs.aio-max-nr and a descriptor, io_uring's of locked memory and a descriptor, the threads' of
 * processes, sync's of nothing but memory. EINVAL is what the kernel says of options that it is too
 * old for, EIO what an engine says of a kernel that does not answer as Linux does. Any other error
 * is of the call or of the library: a slower engine would only hide it. */
static bool is_refusal(int error)
{
    switch (-error) {
    case ENOSYS:
    case EOPNOTSUPP:
    case EPERM:
    case EACCES:
    case EINVAL:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EIO:
        return true;
    default:
        return false;
    }
}

/* Puts refusals into words: "kaio was refused with ENOSYS (why), uring with EPERM (why)". */
static void refusals_describe(const struct refusal *refusals, unsigned count, char *text,
                              size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned index = 0; index < count && used < size; index++) {
        const char *name = engines[index]->name;
        const char *reason = refusals[index].reason;

        /* Sentences of an engine begin with its name. */
        if (strncmp(reason, name, strlen(name)) == 0 &&
            strncmp(reason + strlen(name), ": ", 2) == 0)
            reason += strlen(name) + 2;
        used += (size_t)snprintf(
            text + used, size - used, "%s%s %s %s (%s)", index > 0 ? ", " : "", name,
            index > 0 ? "with" : "was refused with", strerrorname_np(-refusals[index].error),
            reason[0] != '\0' ? reason : strerrordesc_np(-refusals[index].error));
    }
}

static int engine_create_first(const struct engine_config *config, struct engine **result)
{
    struct refusal refusals[ENGINE_COUNT];
    struct engine_config quiet = *config;
    unsigned refused = 0;
    char why[480];
    int error;

    do {
        struct refusal *refusal = &refusals[refused];

        *refusal = (struct refusal){.log = &config->log};
        quiet.log = (struct log){refusal_keep, refusal};
        error = engines[refused]->create(&quiet, result);
        refusal->error = error;
        refused += error != 0;
    } while (is_refusal(error) && refused < ENGINE_COUNT);
    refusals_describe(refusals, refused, why, sizeof(why));
    if (error != 0)
        log_say(&config->log, AIO_LOG_ERROR, "engine auto: %s", why);
    else if (refused > 0)
        log_say(&config->log, AIO_LOG_WARNING, "engine auto: using %s, as %s",
                engines[refused]->name, why);
    else
        log_say(&config->log, AIO_LOG_INFO, "engine auto: using %s, the first choice",
                engines[0]->name);
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

/* --- what they share ------------------------------------------------------------------------ */

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

long engine_sysctl(const char *path)
{
    long value = -1;
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return -1;
    if (fscanf(file, "%ld", &value) != 1)
        value = -1;
    fclose(file);
    return value;
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

/* Gives this thread another I/O priority. Returns that which it had; or a negated errno, with
 * nothing changed. */
static int change_priority(int priority)
{
    int before = (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);

    if (before < 0)
        return -errno;
    if (before == priority)
        return before;
    /* One that cannot be given back is not taken away: the real-time class takes a privilege, which
     * the thread may have lost. */
    if (IOPRIO_PRIO_CLASS(before) == IOPRIO_CLASS_RT &&
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, before) != 0)
        return -errno;
    return syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority) == 0 ? before : -errno;
}

static void restore_priority(int priority, int before)
{
    /* No class goes with no level, whatever older kernels told for a thread that has none. */
    if (IOPRIO_PRIO_CLASS(before) == IOPRIO_CLASS_NONE)
        before = 0;
    if (before != priority)
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, before);
}

static ssize_t execute_call(const struct engine_io *io)
{
    const struct iovec one = {io->buf, io->len};
    ssize_t result;

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

/* No system call that reads or writes takes a priority: it has its thread's. */
ssize_t engine_execute_plain(struct engine *engine, const struct engine_io *io)
{
    ERRNO_GUARD;
    ssize_t result;
    int before;

    (void)engine;
    if (io->priority == 0)
        return execute_call(io);
    before = change_priority(io->priority);
    if (before < 0)
        return before;
    result = execute_call(io);
    restore_priority(io->priority, before);
    return result;
}

/* --- asking --------------------------------------------------------------------------------- */

/* The depth of a queue that does not ask for any: what works for fewer may not for so many. */
#define PROBE_DEPTH 64u

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
    struct engine_config config = {
        .depth = PROBE_DEPTH, .sqpoll_cpu = -1, .log = {probe_keep_reason, &kept}};
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
