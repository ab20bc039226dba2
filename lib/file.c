/* SPDX-License-Identifier: MIT */
/*
 * file.c - a handle's life: open, adopt, look, seek, close.
 *
 * The map of the library, from the call to the kernel:
 *
 *   file*.c            one file: descriptors, cursor, end of file, alignment, roads
 *   inode.c            what the handles of one file share
 *   gate.c             who may run on this file now
 *   queue.c            the fixed table of requests: submit, wait, reap, drain
 *   workers.c          threads for what would block a submit
 *   reaper.c token.c   completions: finish or resubmit; who reaps
 *   request.c          the table and its states
 *   transfer.c         what a result of the kernel means
 *   engine_*.c         ways to reach the kernel
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <aiofile/buffer.h>

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

static bool power_of_two_or_0(uint32_t number)
{
    return (number & (number - 1)) == 0;
}

static int file_options_check(const struct aio_file_options *options)
{
    const uint32_t known_flags =
        AIO_FILE_SYNC_AT_OPEN | AIO_FILE_SYNC_DIRECTORY | AIO_FILE_PAGE_CACHE_NOW | AIO_FILE_CHECK;
    struct log log = {options->log, options->log_context};
    int error;

    if (options->direct > AIO_DIRECT_NEVER || options->unaligned > AIO_UNALIGNED_PAGE_CACHE)
        return -EINVAL;
    if (options->engine > AIO_ENGINE_SIM || options->depth > AIO_QUEUE_DEPTH_MAX)
        return -EINVAL;
    if ((options->flags & ~known_flags) != 0 || options->reserved != 0 ||
        options->grow_ahead > INT64_MAX)
        return -EINVAL;
    if (!power_of_two_or_0(options->alignment) || !power_of_two_or_0(options->memory_alignment))
        return -EINVAL;
    error = engine_check((enum aio_engine)options->engine, &log);
    if (error != 0)
        return error;
    if (options->queue != NULL && !queue_is_ours(options->queue))
        return -EOWNERDEAD;
    return 0;
}

/* What the first version knew. */
static const size_t file_options_least = offsetof(struct aio_file_options, memory_alignment);

static int file_options_read(struct aio_file_options *options, const struct aio_file_options *given)
{
    const struct aio_file_options defaults = AIO_FILE_OPTIONS_INIT;
    int error = process_init();

    *options = defaults;
    if (error == 0 && given != NULL)
        error = options_read(options, sizeof(*options), file_options_least, given);
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

static int refuse_direct(const struct aio_file *file, int error)
{
    log_say(&file->log, AIO_LOG_ERROR,
            "the file system refuses O_DIRECT for this file (%s): use AIO_DIRECT_PREFERRED or "
            "AIO_DIRECT_NEVER, or another file system",
            strerrorname_np(-error));
    return error;
}

static int refuse_emulated(const struct aio_file *file)
{
    log_say(&file->log, AIO_LOG_ERROR,
            "the file system takes O_DIRECT for this file but copies its data all the same (or "
            "does not say that it does not), which AIO_DIRECT_STRICT refuses: use "
            "AIO_DIRECT_REQUIRED, a file without checksums (chattr +C on btrfs), or another file "
            "system");
    return -EINVAL;
}

/* The attribute "append only" of a file keeps O_APPEND set, which then does no harm: who has it
 * appends only. */
static int set_flags(struct aio_file *file, int flags)
{
    if (fcntl(file->fd, F_SETFL, flags) == 0)
        return 0;
    if (errno != EPERM || !file->append_mode || fcntl(file->fd, F_SETFL, flags | O_APPEND) != 0)
        return -1;
    file->append_only = true;
    return 0;
}

/* Sets or clears O_DIRECT and finds the alignments. flags are the descriptor's. */
static int grant_direct(struct aio_file *file, const struct aio_file_options *options,
                        const struct stat *status, int flags)
{
    bool wanted = options->direct != AIO_DIRECT_NEVER;
    int error = 0;

    file->alignment = ALIGNMENT_NONE;
    file->direct_granted = AIO_DIRECT_OFF;
    flags &= ~(O_DIRECT | O_NONBLOCK | O_APPEND);
    if (set_flags(file, wanted ? flags | O_DIRECT : flags) != 0)
        error = -errno;
    if (error == 0 && wanted)
        error = alignment_of_file(file->fd, status, &file->alignment);
    if (error == 0 && wanted && options->direct == AIO_DIRECT_STRICT && file->alignment.emulated)
        return refuse_emulated(file);
    if (error == 0) {
        file->direct = wanted;
        if (wanted)
            file->direct_granted =
                file->alignment.emulated ? AIO_DIRECT_EMULATED : AIO_DIRECT_GRANTED;
        return 0;
    }
    file->alignment = ALIGNMENT_NONE;
    if (options->direct != AIO_DIRECT_PREFERRED || set_flags(file, flags) != 0)
        return refuse_direct(file, error);
    file->direct_granted = AIO_DIRECT_REFUSED;
    log_say(&file->log, AIO_LOG_WARNING,
            "the file system refuses O_DIRECT for this file: the page cache is used");
    return 0;
}

static int refuse_alignment(const struct aio_file *file, const char *what, uint32_t asked,
                            uint32_t required)
{
    log_say(&file->log, AIO_LOG_ERROR, "%s %u is below the %u bytes that this file requires", what,
            asked, required);
    return -EINVAL;
}

/* Whether the kernel takes a direct read of so many bytes, where it does not say what it takes. */
static bool takes(const struct aio_file *file, uint32_t bytes)
{
    void *memory = aio_buffer_alloc(bytes, 0, 0);
    bool taken = memory != NULL && file->readable && pread(file->fd, memory, bytes, bytes) >= 0;

    aio_buffer_free(memory);
    return taken;
}

static int choose_alignment(struct aio_file *file, const struct aio_file_options *options)
{
    struct alignment *alignment = &file->alignment;

    file->direct_alignment = alignment->preferred;
    if (!file->direct)
        return 0;
    if (options->alignment != 0 && options->alignment < alignment->required) {
        if (alignment->told || !takes(file, options->alignment))
            return refuse_alignment(file, "alignment", options->alignment, alignment->required);
        alignment->required = options->alignment;
        alignment->read = options->alignment;
    }
    if (options->alignment != 0)
        file->direct_alignment = options->alignment;
    if (options->memory_alignment != 0 && options->memory_alignment < alignment->memory &&
        alignment->told)
        return refuse_alignment(file, "memory alignment", options->memory_alignment,
                                alignment->memory);
    if (options->memory_alignment != 0)
        alignment->memory = options->memory_alignment;
    if (file->direct_alignment > BOUNCE_SIZE || alignment->memory > BOUNCE_SIZE) {
        log_say(&file->log, AIO_LOG_ERROR, "an alignment above %u bytes is not supported",
                BOUNCE_SIZE);
        return -EINVAL;
    }
    return 0;
}

static int refuse_growing(const struct aio_file *file)
{
    log_say(&file->log, AIO_LOG_ERROR,
            "grow_ahead extends files that are open for writing, and not with O_APPEND: leave it 0 "
            "here, or open without O_APPEND and use aio_file_append");
    return -EINVAL;
}

/* Counts the handle as what its file's other handles have to know. */
static int join_inode(struct aio_file *file, const struct aio_file_options *options,
                      const struct stat *status)
{
    int error = inode_open(file->fd, status, &file->inode);

    if (error != 0)
        return error;
    atomic_init(&file->sync_cleared,
                atomic_load_explicit(&file->inode->sync_state, memory_order_relaxed));
    if (file->syncs_writes)
        inode_part_sync_fd(file->inode, file->fd);
    bounce_add_user();
    if (file->direct &&
        atomic_fetch_add_explicit(&file->inode->direct_handles, 1, memory_order_relaxed) == 0 &&
        !reaper_in_callback())
        file_drain(file);
    if (file->direct && (options->flags & AIO_FILE_PAGE_CACHE_NOW) != 0 &&
        !(file->device && file->unaligned != AIO_UNALIGNED_PAGE_CACHE))
        error = file_page_cache_fd(file) < 0 ? -EINVAL : 0;
    if (error == 0 && options->grow_ahead != 0) {
        error = reaper_in_callback() ? -EDEADLK : file_start_growing(file);
        file->grow_ahead = error == 0 ? options->grow_ahead : 0;
    }
    return error;
}

/* The other way round, but for the descriptor. */
static int stop_sharing(struct aio_file *file)
{
    int error = 0;

    if (file->grow_ahead != 0 && !file_is_inherited(file))
        error = file_stop_growing(file);
    bounce_remove_user();
    if (file->direct)
        atomic_fetch_sub_explicit(&file->inode->direct_handles, 1, memory_order_relaxed);
    return error;
}

/* Fills what depends on the descriptor. On error its flags are the caller's to restore, and the
 * inode, if set, to be left. */
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
    file->readable = (flags & O_ACCMODE) != O_WRONLY;
    file->writable = (flags & O_ACCMODE) != O_RDONLY;
    file->device = S_ISBLK(status.st_mode);
    file->append_mode = (file->append_mode || (flags & O_APPEND) != 0) && !file->device;
    file->syncs_writes = (flags & (O_SYNC | O_DSYNC)) != 0;
    file->unaligned = options->unaligned;
    if (options->grow_ahead != 0 && (file->append_mode || file->device || !file->writable))
        return refuse_growing(file);
    error = grant_direct(file, options, &status, flags);
    if (error == 0)
        error = choose_alignment(file, options);
    if (error == 0)
        error = join_inode(file, options, &status);
    if (error == 0 && (options->flags & AIO_FILE_CHECK) != 0)
        check_open(&file->check, &file->log, file->inode);
    file->plain = file->direct_granted == AIO_DIRECT_GRANTED && !file->append_mode &&
                  file->grow_ahead == 0 && !file->check.on &&
                  !(file->device && file->unaligned == AIO_UNALIGNED_PAGE_CACHE);
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
    inflight_init(&file->inflight);
    pace_init(&file->pace, options->submit_limit_ns);
    thread_mutex_init(&file->cursor_turn);
    thread_mutex_init(&file->cursor_lock);
    atomic_init(&file->page_cache_fd, -1);
    atomic_init(&file->append_fd, -1);
    return file;
}

/* Frees what file_new() made. A child's copy of the locks may be held by nobody who is there. */
static void file_free(struct aio_file *file)
{
    if (!file_is_inherited(file)) {
        inflight_destroy(&file->inflight);
        pace_destroy(&file->pace);
        thread_mutex_destroy(&file->cursor_lock);
        thread_mutex_destroy(&file->cursor_turn);
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

/* fsync(2) of the directory that has the file's name: by the name that the kernel has for it, which
 * behind a symbolic link is not the caller's. */
static int sync_directory(const struct aio_file *file)
{
    char link[32];
    char name[PATH_MAX];
    ssize_t length;
    int error = 0;
    int fd;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
    length = readlink(link, name, sizeof(name) - 1);
    if (length < 0)
        return -errno;
    name[length] = '\0';
    if (strrchr(name, '/') == NULL)
        return -EINVAL;
    *(strrchr(name, '/') + (strrchr(name, '/') == name)) = '\0';
    fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        error = -errno;
    if (fd >= 0)
        close(fd);
    if (error != 0)
        log_say(&file->log, AIO_LOG_ERROR,
                "the directory %s could not be synced (%s): a crash may take the new file's name "
                "back",
                name, strerrorname_np(-error));
    return error;
}

/* What open(2) does not do, or not in time. created: this open made the file. */
static int finish_open(struct aio_file *file, int flags, bool created,
                       const struct aio_file_options *options)
{
    bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    int error = 0;

    if ((flags & O_TRUNC) != 0 && !created && !file->device)
        error = reaper_in_callback() ? file_set_size(file, 0) : aio_file_truncate(file, 0);
    if (error == 0 && (options->flags & AIO_FILE_SYNC_AT_OPEN) != 0 && fsync(file->fd) != 0)
        error = -errno;
    if (error == 0 && (options->flags & AIO_FILE_SYNC_DIRECTORY) != 0 && created && !unnamed)
        error = sync_directory(file);
    return error;
}

/* Undoes a set-up that failed. Returns error. keep_fd: the descriptor is the caller's still. */
static int abandon(struct aio_file *file, int error, bool keep_fd)
{
    if (file->check.on)
        check_close(&file->check);
    if (file->inode != NULL) {
        stop_sharing(file);
        if (keep_fd)
            inode_leave(file->inode, file->fd);
        else
            inode_close(file->inode, file->fd);
    } else if (file->fd >= 0 && !keep_fd) {
        close(file->fd);
    }
    file_free(file);
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
    /* Without O_APPEND, which a FUSE server would keep though it is cleared on the descriptor; but
     * a file that can only be appended to is not opened so. */
    file->append_mode = (flags & O_APPEND) != 0;
    file->fd = open_gently(path, flags & ~O_APPEND, mode, &created);
    if (file->fd == -EPERM && file->append_mode)
        file->fd = open_gently(path, flags, mode, &created);
    if (file->fd < 0)
        error = refuse_kind(&file->log, file->fd);
    else
        error = file_set_up(file, &options);
    if (error == 0)
        error = finish_open(file, flags, created, &options);
    if (error != 0) {
        if (created)
            uncreate(file->fd);
        return abandon(file, error, false);
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
    if (error == 0)
        error = finish_open(file, 0, false, &options);
    if (error == 0) {
        file->cursor_offset = lseek(fd, 0, SEEK_CUR);
        *result = file;
        return 0;
    }
    fcntl(fd, F_SETFL, flags);
    return abandon(file, error, true);
}

/* --- looking -------------------------------------------------------------------------------- */

int aio_file_fd(struct aio_file *file)
{
    return file != NULL ? file->fd : -EINVAL;
}

int aio_file_stat(struct aio_file *file, struct stat *result)
{
    ERRNO_GUARD;
    off_t logical;

    if (file == NULL || result == NULL)
        return -EINVAL;
    if (fstat(file->fd, result) != 0)
        return -errno;
    logical = atomic_load_explicit(&file->inode->logical_end, memory_order_relaxed);
    if (logical >= 0)
        result->st_size = logical;
    return 0;
}

off_t aio_file_size(struct aio_file *file)
{
    return file != NULL ? file_end(file) : -EINVAL;
}

/* Calls that run now are counted by road first and in all last. */
static uint64_t the_rest(uint64_t all, uint64_t others)
{
    return all > others ? all - others : 0;
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
    info.sync_error = file_sync_error(file);
    info.inflight = inflight_count(&file->inflight);
    info.bounced_reads = stats_sum(&file->stats, STATS_BLOCKING_BOUNCED_READS);
    info.bounced_writes = stats_sum(&file->stats, STATS_BLOCKING_BOUNCED_WRITES);
    info.cached_reads = stats_sum(&file->stats, STATS_BLOCKING_CACHED_READS);
    info.cached_writes = stats_sum(&file->stats, STATS_BLOCKING_CACHED_WRITES);
    info.bounced_reads += stats_sum(&file->stats, STATS_BOUNCED_READS);
    info.bounced_writes += stats_sum(&file->stats, STATS_BOUNCED_WRITES);
    info.direct_reads = the_rest(info.reads, info.cached_reads) +
                        stats_sum(&file->stats, STATS_DIRECT_READS) +
                        stats_sum(&file->stats, STATS_BOUNCED_READS);
    info.direct_writes = the_rest(info.writes, info.cached_writes) +
                         stats_sum(&file->stats, STATS_DIRECT_WRITES) +
                         stats_sum(&file->stats, STATS_BOUNCED_WRITES);
    info.cached_reads += stats_sum(&file->stats, STATS_CACHED_READS);
    info.cached_writes += stats_sum(&file->stats, STATS_CACHED_WRITES);
    info.offloaded = stats_sum(&file->stats, STATS_OFFLOADED);
    info.read_alignment = file->alignment.read;
    info.atomic_write_min = file->alignment.atomic_min;
    info.atomic_write_max = file->alignment.atomic_max;
    info.atomic_write_segments = file->alignment.atomic_segments;
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

/* What lies behind the end of the program was only made ahead: there is no data, and the hole that
 * every file ends with begins there. */
static off_t seek_data_or_hole(const struct aio_file *file, off_t offset, int whence)
{
    off_t end = atomic_load_explicit(&file->inode->logical_end, memory_order_relaxed);
    off_t target;

    if (end >= 0 && offset >= end)
        return -ENXIO;
    target = lseek(file->fd, offset, whence);
    if (target < 0)
        return -errno;
    if (end >= 0 && target >= end)
        return whence == SEEK_DATA ? -ENXIO : end;
    return target;
}

/* Where a seek leads; negated errno if nowhere. */
static off_t seek_target(struct aio_file *file, off_t offset, int whence)
{
    off_t base = 0;
    off_t target;

    if (whence == SEEK_DATA || whence == SEEK_HOLE)
        return seek_data_or_hole(file, offset, whence);
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
    bool hasten = inflight_count(&file->inflight) > 0;

    if (hasten)
        queues_hasten_begin(1);
    /* Also where the count is 0 already: whoever counted down last may still be in there. */
    while (inflight_count(&file->inflight) > 0 && queues_move_owned())
        continue;
    inflight_wait_idle(&file->inflight);
    if (atomic_load_explicit(&file->registered, memory_order_relaxed))
        queues_forget_file(file->fd);
    if (hasten)
        queues_hasten_end();
}

int aio_file_close(struct aio_file *file)
{
    ERRNO_GUARD;
    struct aio_queue *queue;
    int error;
    int closed;

    if (file == NULL)
        return 0;
    if (reaper_in_callback())
        return -EDEADLK;
    if (!file_is_inherited(file)) {
        wait_for_requests(file);
        queue = atomic_load_explicit(&file->queue, memory_order_acquire);
        if (file->queue_is_private && queue != NULL)
            aio_queue_destroy(queue, AIO_QUEUE_DISCARD);
        if (file->check.on)
            check_close(&file->check);
    }
    error = file_sync_error(file);
    /* The descriptor may live on, here or in a child. */
    if (atomic_load_explicit(&file->locked, memory_order_relaxed) && !file_is_inherited(file))
        aio_file_lock(file, F_UNLCK, false);
    closed = stop_sharing(file);
    if (error == 0)
        error = closed;
    closed = file_is_inherited(file) ? inode_close_inherited(file->inode, file->fd)
                                     : inode_close(file->inode, file->fd);
    file_free(file);
    return error != 0 ? error : closed;
}
