/* SPDX-License-Identifier: MIT */
/*
 * file.c - a handle's life: open, adopt, look, seek, close.
 *
 * The map of the library, from the call to the kernel:
 *
 *   file.c file_io.c   one file: descriptor, cursor, end of file, alignment
 *   gate.c             who may run on this file now
 *   queue.c            the fixed table of requests: submit, wait, reap, drain
 *   reaper.c token.c   completions: finish or resubmit; who reaps
 *   request.c          the table and its states
 *   transfer.c         what a result of the kernel means
 *   engine_*.c         ways to reach the kernel
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errno_guard.h"
#include "file_state.h"
#include "options.h"
#include "process.h"
#include "queue_state.h"

/* --- the child's copy ----------------------------------------------------------------------- */

bool file_is_inherited(const struct aio_file *file)
{
    return file->epoch != process_epoch();
}

void file_lock(const struct aio_file *file, struct thread_mutex *lock)
{
    if (!file_is_inherited(file))
        thread_mutex_lock(lock);
}

void file_unlock(const struct aio_file *file, struct thread_mutex *lock)
{
    if (!file_is_inherited(file))
        thread_mutex_unlock(lock);
}

/* --- options -------------------------------------------------------------------------------- */

static int file_options_check(const struct aio_file_options *options)
{
    struct log log = {options->log, options->log_context};
    uint32_t alignment = options->alignment;
    int error;

    if (options->direct > AIO_DIRECT_NEVER || options->unaligned > AIO_UNALIGNED_PAGE_CACHE)
        return -EINVAL;
    if (options->engine > AIO_ENGINE_SIM || options->depth > AIO_QUEUE_DEPTH_MAX)
        return -EINVAL;
    if (options->reserved != 0 || (alignment & (alignment - 1)) != 0)
        return -EINVAL;
    if (options->direct == AIO_DIRECT_STRICT || options->unaligned == AIO_UNALIGNED_PAGE_CACHE ||
        options->grow_ahead != 0) {
        log_say(&log, AIO_LOG_ERROR,
                "AIO_DIRECT_STRICT, AIO_UNALIGNED_PAGE_CACHE and grow_ahead are not in this "
                "version");
        return -EOPNOTSUPP;
    }
    error = engine_check((enum aio_engine)options->engine, &log);
    if (error != 0)
        return error;
    if (options->queue != NULL && !queue_is_ours(options->queue))
        return -EOWNERDEAD;
    return 0;
}

static int file_options_read(struct aio_file_options *options, const struct aio_file_options *given)
{
    const struct aio_file_options defaults = AIO_FILE_OPTIONS_INIT;
    int error = process_init();

    *options = defaults;
    if (error == 0 && given != NULL)
        error = options_read(options, sizeof(*options), sizeof(*options), given);
    if (error == 0)
        error = file_options_check(options);
    return error;
}

/* --- what the descriptor is ----------------------------------------------------------------- */

/* Says why a thing is none that this library opens. Returns error. */
static int refuse_kind(const struct log *log, int error)
{
    if (error == -EISDIR)
        log_say(log, AIO_LOG_ERROR, "this is a directory: open a file in it");
    if (error == -ESPIPE)
        log_say(log, AIO_LOG_ERROR,
                "this is neither a regular file nor a block device: it has no "
                "offsets to read and write at");
    return error;
}

static int check_kind(const struct log *log, const struct stat *status)
{
    if (S_ISDIR(status->st_mode))
        return refuse_kind(log, -EISDIR);
    if (!S_ISREG(status->st_mode) && !S_ISBLK(status->st_mode))
        return refuse_kind(log, -ESPIPE);
    return 0;
}

/* Sets or clears O_DIRECT and finds the alignments. *flags are the descriptor's. */
static int grant_direct(struct aio_file *file, const struct aio_file_options *options,
                        const struct stat *status, int flags)
{
    bool wanted = options->direct != AIO_DIRECT_NEVER;
    int error = 0;

    file->alignment = ALIGNMENT_NONE;
    file->direct_granted = wanted ? AIO_DIRECT_GRANTED : AIO_DIRECT_OFF;
    flags &= ~(O_DIRECT | O_NONBLOCK);
    if (fcntl(file->fd, F_SETFL, wanted ? flags | O_DIRECT : flags) != 0)
        error = -errno;
    if (error == 0 && wanted)
        error = alignment_of_file(file->fd, status, &file->alignment);
    if (error == 0)
        return 0;
    if (options->direct == AIO_DIRECT_PREFERRED && fcntl(file->fd, F_SETFL, flags) == 0) {
        file->direct_granted = AIO_DIRECT_REFUSED;
        file->alignment = ALIGNMENT_NONE;
        log_say(&file->log, AIO_LOG_WARNING,
                "the file system refuses O_DIRECT for this file: the page cache is used");
        return 0;
    }
    log_say(&file->log, AIO_LOG_ERROR,
            "the file system refuses O_DIRECT for this file (%s): use AIO_DIRECT_PREFERRED or "
            "AIO_DIRECT_NEVER, or another file system",
            strerrorname_np(-error));
    return error;
}

static int choose_alignment(struct aio_file *file, const struct aio_file_options *options)
{
    file->direct_alignment = file->alignment.preferred;
    if (options->alignment == 0 || file->direct_granted != AIO_DIRECT_GRANTED)
        return 0;
    if (options->alignment < file->alignment.required) {
        log_say(&file->log, AIO_LOG_ERROR,
                "alignment %u is below the %u bytes that this file requires", options->alignment,
                file->alignment.required);
        return -EINVAL;
    }
    file->direct_alignment = options->alignment;
    return 0;
}

/* Fills what depends on the descriptor. On error its flags are the caller's to restore. */
static int file_set_up(struct aio_file *file, const struct aio_file_options *options)
{
    int flags = fcntl(file->fd, F_GETFL);
    struct stat status;
    int error;

    if (flags < 0 || (flags & O_PATH) != 0)
        return -EBADF;
    if (fstat(file->fd, &status) != 0)
        return -errno;
    error = check_kind(&file->log, &status);
    if (error != 0)
        return error;
    if ((flags & O_APPEND) != 0) {
        log_say(&file->log, AIO_LOG_ERROR,
                "O_APPEND would send every write to the end, whatever "
                "its offset: open without and use aio_file_append");
        return -EOPNOTSUPP;
    }
    file->readable = (flags & O_ACCMODE) != O_WRONLY;
    file->writable = (flags & O_ACCMODE) != O_RDONLY;
    file->device = S_ISBLK(status.st_mode);
    error = grant_direct(file, options, &status, flags);
    if (error == 0)
        error = choose_alignment(file, options);
    return error;
}

static struct aio_file *file_new(const struct aio_file_options *options)
{
    struct aio_file *file = aligned_alloc(_Alignof(struct aio_file), sizeof(*file));
    int error;

    if (file == NULL)
        return NULL;
    memset(file, 0, sizeof(*file));
    file->fd = -1;
    file->epoch = process_epoch();
    file->log = (struct log){options->log, options->log_context};
    file->ops = engine_find((enum aio_engine)options->engine, &error);
    file->queue_engine = options->engine;
    file->queue_depth = options->depth;
    file->queue_is_private = options->queue == NULL;
    if (options->queue != NULL) {
        file->engine = options->queue->engine;
        file->ops = file->engine->ops;
        queue_add_user(options->queue);
        atomic_init(&file->queue, options->queue);
    }
    gate_init(&file->gate);
    thread_mutex_init(&file->sync_lock);
    thread_mutex_init(&file->cursor_lock);
    thread_mutex_init(&file->append_lock);
    return file;
}

/* Frees what file_new() made. A child's copy of the locks may be held by nobody who is there. */
static void file_free(struct aio_file *file)
{
    if (!file_is_inherited(file)) {
        gate_destroy(&file->gate);
        thread_mutex_destroy(&file->sync_lock);
        thread_mutex_destroy(&file->cursor_lock);
        thread_mutex_destroy(&file->append_lock);
    }
    if (!file->queue_is_private)
        queue_remove_user(atomic_load_explicit(&file->queue, memory_order_relaxed));
    free(file);
}

/* --- open and adopt ------------------------------------------------------------------------- */

/* open(2) that neither blocks on a pipe nor fails on a lease because of not blocking. */
static int open_unblocked(const char *path, int flags, mode_t mode)
{
    struct stat status;
    int fd = open(path, flags | O_NONBLOCK, mode);

    if (fd < 0 && errno == EWOULDBLOCK)
        fd = open(path, flags, mode);
    if (fd >= 0)
        return fd;
    if (errno == ENXIO && stat(path, &status) == 0 &&
        (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode)))
        return -ESPIPE;
    return -errno;
}

/*
 * Opens without O_DIRECT and O_TRUNC, and tells whether the file is new: with O_DIRECT the kernel
 * creates the file first and then finds that its file system refuses, and a file must not lose its
 * bytes to an open that fails.
 */
static int open_gently(const char *path, int flags, mode_t mode, bool *created)
{
    const int plain = (flags & ~(O_DIRECT | O_TRUNC | O_CREAT | O_EXCL)) | O_CLOEXEC | O_NOCTTY;
    bool dangling;
    int fd;

    *created = false;
    if ((flags & O_CREAT) == 0 || (flags & O_TMPFILE) == O_TMPFILE)
        return open_unblocked(path, plain | (flags & O_EXCL), mode);
    do {
        fd = -ENOENT;
        if ((flags & O_EXCL) == 0)
            fd = open_unblocked(path, plain, mode);
        if (fd != -ENOENT)
            return fd;
        fd = open_unblocked(path, plain | O_CREAT | O_EXCL, mode);
        *created = fd >= 0;
        /* There, but not there: a symbolic link to nothing, or somebody made it meanwhile. */
        dangling = fd == -EEXIST && (flags & O_EXCL) == 0 && access(path, F_OK) != 0;
    } while (fd == -EEXIST && (flags & O_EXCL) == 0 && !dangling);
    if (dangling) {
        fd = open_unblocked(path, plain | O_CREAT, mode);
        *created = fd >= 0;
    }
    return fd;
}

/* Takes back a file that this open made: by the name that the kernel has for it, which behind a
 * symbolic link is not the caller's, and only if that name is still this file. */
static void uncreate(int fd)
{
    char link[32];
    char name[PATH_MAX];
    struct stat opened;
    struct stat named;
    ssize_t length;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, name, sizeof(name) - 1);
    if (length < 0)
        return;
    name[length] = '\0';
    if (fstat(fd, &opened) != 0 || lstat(name, &named) != 0 || opened.st_size != 0)
        return;
    if (opened.st_dev == named.st_dev && opened.st_ino == named.st_ino)
        unlink(name);
}

static int truncate_opened(const struct aio_file *file)
{
    int error;

    do {
        error = ftruncate(file->fd, 0) == 0 ? 0 : -errno;
    } while (error == -EINTR);
    return error;
}

int aio_file_open(const char *path, int flags, mode_t mode, const struct aio_file_options *given,
                  struct aio_file **result)
{
    ERRNO_GUARD;
    struct aio_file_options options;
    struct aio_file *file;
    bool created = false;
    int error;

    if (result == NULL)
        return -EINVAL;
    *result = NULL;
    if (path == NULL || ((flags & O_TRUNC) != 0 && (flags & O_ACCMODE) == O_RDONLY))
        return -EINVAL;
    error = file_options_read(&options, given);
    if (error != 0)
        return error;
    file = file_new(&options);
    if (file == NULL)
        return -ENOMEM;
    file->fd = open_gently(path, flags, mode, &created);
    if (file->fd < 0)
        error = refuse_kind(&file->log, file->fd);
    else
        error = file_set_up(file, &options);
    if (error == 0 && (flags & O_TRUNC) != 0 && !created && !file->device)
        error = truncate_opened(file);
    if (error != 0) {
        if (created)
            uncreate(file->fd);
        if (file->fd >= 0)
            close(file->fd);
        file_free(file);
        return error;
    }
    *result = file;
    return 0;
}

int aio_file_adopt(int fd, const struct aio_file_options *given, struct aio_file **result)
{
    ERRNO_GUARD;
    struct aio_file_options options;
    struct aio_file *file;
    int flags;
    int error;

    if (result == NULL)
        return -EINVAL;
    *result = NULL;
    error = file_options_read(&options, given);
    if (error != 0)
        return error;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -EBADF;
    file = file_new(&options);
    if (file == NULL)
        return -ENOMEM;
    file->fd = fd;
    error = file_set_up(file, &options);
    if (error == 0) {
        file->cursor_offset = lseek(fd, 0, SEEK_CUR);
        *result = file;
        return 0;
    }
    fcntl(fd, F_SETFL, flags);
    file_free(file);
    return error;
}

/* --- looking -------------------------------------------------------------------------------- */

int aio_file_fd(struct aio_file *file)
{
    return file != NULL ? file->fd : -EINVAL;
}

int aio_file_stat(struct aio_file *file, struct stat *result)
{
    ERRNO_GUARD;

    if (file == NULL || result == NULL)
        return -EINVAL;
    return fstat(file->fd, result) == 0 ? 0 : -errno;
}

off_t aio_file_size(struct aio_file *file)
{
    ERRNO_GUARD;
    struct stat status;
    off_t end;

    if (file == NULL)
        return -EINVAL;
    if (file->device) {
        end = lseek(file->fd, 0, SEEK_END);
        return end >= 0 ? end : -errno;
    }
    return fstat(file->fd, &status) == 0 ? status.st_size : -errno;
}

int aio_file_info(struct aio_file *file, struct aio_file_info *result)
{
    struct aio_file_info info;
    struct aio_queue *queue;

    if (file == NULL || result == NULL)
        return -EINVAL;
    queue = atomic_load_explicit(&file->queue, memory_order_acquire);
    memset(&info, 0, sizeof(info));
    info.size = sizeof(info);
    info.direct_granted = file->direct_granted;
    info.engine = queue != NULL ? queue->engine->ops->id : file->ops->id;
    info.memory_alignment = file->alignment.memory;
    info.required_alignment = file->alignment.required;
    info.preferred_alignment = file->alignment.preferred;
    info.direct_alignment = file->direct_alignment;
    info.reads = stats_sum(&file->stats, STATS_READS);
    info.writes = stats_sum(&file->stats, STATS_WRITES);
    info.bytes_read = stats_sum(&file->stats, STATS_BYTES_READ);
    info.bytes_written = stats_sum(&file->stats, STATS_BYTES_WRITTEN);
    info.syncs = stats_sum(&file->stats, STATS_SYNCS);
    info.sync_error = atomic_load_explicit(&file->sync_error, memory_order_relaxed);
    info.inflight = gate_requests(&file->gate);
    return options_write(result, sizeof(size_t), &info, sizeof(info));
}

/* Makes the private queue. The log speaks, so no lock is held: two threads may both make one, and
 * the first one's counts. */
static struct aio_queue *make_queue(struct aio_file *file)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue *fresh;
    struct aio_queue *queue = NULL;

    options.engine = file->queue_engine;
    options.depth = file->queue_depth;
    options.log = file->log.fn;
    options.log_context = file->log.context;
    if (aio_queue_create(&options, &fresh) != 0)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(&file->queue, &queue, fresh, memory_order_acq_rel,
                                                memory_order_acquire))
        return fresh;
    aio_queue_destroy(fresh, 0);
    return queue;
}

struct aio_queue *aio_file_queue(struct aio_file *file)
{
    struct aio_queue *queue;

    if (file == NULL)
        return NULL;
    queue = atomic_load_explicit(&file->queue, memory_order_acquire);
    if (queue != NULL)
        return queue;
    if (file_is_inherited(file)) {
        log_say(&file->log, AIO_LOG_ERROR,
                "a forked child has no queue for a file of its parent: open the file again");
        return NULL;
    }
    return make_queue(file);
}

/* --- the cursor ----------------------------------------------------------------------------- */

/* Where a seek leads; negated errno if nowhere. */
static off_t seek_target(struct aio_file *file, off_t offset, int whence)
{
    off_t base = 0;
    off_t target;

    if (whence == SEEK_DATA || whence == SEEK_HOLE) {
        if (offset < 0)
            return -ENXIO;
        target = lseek(file->fd, offset, whence);
        return target >= 0 ? target : -errno;
    }
    if (whence == SEEK_CUR)
        base = file->cursor_offset;
    else if (whence == SEEK_END)
        base = aio_file_size(file);
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (base < 0)
        return base;
    if (__builtin_add_overflow(base, offset, &target))
        return -EOVERFLOW;
    return target >= 0 ? target : -EINVAL;
}

off_t aio_file_seek(struct aio_file *file, off_t offset, int whence)
{
    ERRNO_GUARD;
    off_t target;

    if (file == NULL)
        return -EINVAL;
    file_lock(file, &file->cursor_lock);
    target = seek_target(file, offset, whence);
    if (target >= 0)
        file->cursor_offset = target;
    file_unlock(file, &file->cursor_lock);
    return target;
}

/* --- close ---------------------------------------------------------------------------------- */

static void wait_for_requests(struct aio_file *file)
{
    bool hasten = gate_requests(&file->gate) > 0;

    if (hasten)
        queues_hasten_begin();
    /* Also where the count is 0 already: whoever counted down last may still be in there. */
    gate_wait_idle(&file->gate);
    if (hasten)
        queues_hasten_end();
}

int aio_file_close(struct aio_file *file)
{
    ERRNO_GUARD;
    struct aio_queue *queue;
    int error;

    if (file == NULL)
        return 0;
    if (reaper_in_callback())
        return -EDEADLK;
    if (!file_is_inherited(file)) {
        wait_for_requests(file);
        queue = atomic_load_explicit(&file->queue, memory_order_acquire);
        if (file->queue_is_private && queue != NULL)
            aio_queue_destroy(queue, AIO_QUEUE_DISCARD);
    }
    error = atomic_load_explicit(&file->sync_error, memory_order_relaxed);
    /* Linux has closed the descriptor even where it says EINTR. */
    if (close(file->fd) != 0 && error == 0 && errno != EINTR)
        error = -errno;
    file_free(file);
    return error;
}
