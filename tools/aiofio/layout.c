/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <aiofile/buffer.h>
#include <aiofile/file.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "exit_code.h"
#include "handle.h"
#include "stamp.h"
#include "units.h"

#define PIECE_BYTES (1u << 20)

/* A file being made or extended. */
struct maker {
    struct target *target;
    struct identity *identity;
    struct aio_file *file;
    unsigned char *piece;
    uint32_t piece_bytes; /* whole blocks */
};

static bool is_expected(const struct target *target, uint64_t offset)
{
    return target->block && offset / target->block < target->expect.count;
}

static void fill_piece(const struct maker *maker, uint64_t offset)
{
    const struct target *target = maker->target;
    uint32_t step = target->block ? target->block : STAMP_SECTOR;

    for (uint32_t at = 0; at < maker->piece_bytes; at += step) {
        struct stamp stamp = {
            .length = step,
            .run = maker->identity->run,
            .offset = offset + at,
            .file = target->number,
            .sequence = identity_next(maker->identity),
            .job = UINT32_MAX,
            .kind = STAMP_KIND_FILL,
        };

        if (is_expected(target, offset + at)) {
            stamp.kind = STAMP_KIND_BLOCK;
            stamp.generation = expect_write_begin(&maker->target->expect, (offset + at) / step);
        }
        stamp_fill(maker->piece + at, &stamp);
    }
}

static void end_piece(const struct maker *maker, uint64_t offset, bool succeeded)
{
    struct target *target = maker->target;

    for (uint32_t at = 0; target->block && at < maker->piece_bytes; at += target->block)
        if (is_expected(target, offset + at))
            expect_write_end(&target->expect, (offset + at) / target->block, succeeded);
}

/* Writes the whole file, growing it: what is left of an interrupted run is short, and is not taken
 * for a file with content. */
static int write_content(const struct maker *maker)
{
    const struct target *target = maker->target;

    for (uint64_t offset = 0; offset < target->end; offset += maker->piece_bytes) {
        uint64_t left = target->end - offset;
        size_t length = left < maker->piece_bytes ? (size_t)left : maker->piece_bytes;
        ssize_t written;

        fill_piece(maker, offset);
        written = aio_file_pwrite(maker->file, maker->piece, length, (off_t)offset);
        end_piece(maker, offset, written == (ssize_t)length);
        if (written < 0)
            return (int)written;
        if ((size_t)written < length)
            return -ENOSPC;
    }
    return 0;
}

/* Reserves room from the present end on, so that a full disk is met now and not under load. */
static int reserve(const struct maker *maker)
{
    const struct target *target = maker->target;
    int fd = aio_file_fd(maker->file);
    off_t from = (off_t)target->size;
    off_t length = (off_t)(target->end - target->size);
    int result = 0;

    switch (target->fallocate) {
    case FALLOCATE_NATIVE:
        result = fallocate(fd, 0, from, length) == 0 ? 0 : -errno;
        break;
    case FALLOCATE_KEEP:
        result = fallocate(fd, FALLOC_FL_KEEP_SIZE, from, length) == 0 ? 0 : -errno;
        break;
    case FALLOCATE_POSIX:
        result = -posix_fallocate(fd, from, length);
        break;
    default:
        break;
    }
    if (result < 0 && result != -EOPNOTSUPP)
        return result;
    return aio_file_truncate(maker->file, (off_t)target->end);
}

/* Puts the stamp into the first sector, by which a later run knows that aiofio made the file. */
static int write_label(const struct maker *maker)
{
    unsigned char sector[STAMP_SECTOR];
    struct stamp stamp = {
        .length = STAMP_SECTOR,
        .run = maker->identity->run,
        .file = maker->target->number,
        .job = UINT32_MAX,
        .kind = STAMP_KIND_FILL,
    };
    ssize_t written;

    stamp_fill(sector, &stamp);
    written = aio_file_pwrite(maker->file, sector, sizeof(sector), 0);
    if (written < 0)
        return (int)written;
    return written == (ssize_t)sizeof(sector) ? 0 : -ENOSPC;
}

/* Leaves nothing of the file in the page cache, so that the jobs meet the disk. */
static int settle(const struct maker *maker)
{
    struct target *target = maker->target;
    struct stat status = {0};
    int result = aio_file_sync(maker->file);

    if (result == 0)
        result = aio_file_stat(maker->file, &status);
    if (result < 0)
        return result;
    posix_fadvise(aio_file_fd(maker->file), 0, 0, POSIX_FADV_DONTNEED);
    target->exists = true;
    target->device = status.st_dev;
    target->inode = status.st_ino;
    target->size = (uint64_t)status.st_size;
    return 0;
}

static int make_file(struct maker *maker)
{
    const struct target *target = maker->target;
    uint32_t block = target->block ? target->block : STAMP_SECTOR;
    int result;

    if (target->made && target->needs_content) {
        maker->piece_bytes = block < PIECE_BYTES ? PIECE_BYTES - PIECE_BYTES % block : block;
        maker->piece = aio_buffer_alloc(maker->piece_bytes, 0, 0);
        result = maker->piece ? write_content(maker) : -ENOMEM;
        aio_buffer_free(maker->piece);
        maker->piece = NULL;
    } else {
        /* A file that is only appended to begins empty. */
        result = target->end > target->size ? reserve(maker) : 0;
        if (result == 0 && target->made && target->end)
            result = write_label(maker);
    }
    return result == 0 ? settle(maker) : result;
}

static int open_and_make(struct target *target, struct identity *identity, struct message *message)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;
    struct maker maker = {.target = target, .identity = identity};
    /* O_EXCL: a file that has appeared since the check is not ours. */
    int flags = target->exists ? O_RDWR : O_RDWR | O_CREAT | O_EXCL;
    int result;
    int close_result;

    options.direct = AIO_DIRECT_NEVER;
    result = target_make_folders(target);
    if (result == 0)
        result = aio_file_open(target->path, flags, 0644, &options, &maker.file);
    if (result < 0) {
        message_set(message, "cannot %s '%s': %s", target->exists ? "open" : "make", target->path,
                    strerror(-result));
        return EXIT_CODE_USAGE;
    }
    target->made = !target->exists;
    /* Where there are no extended attributes, the stamp in the first sector has to do. */
    if (target->made)
        fsetxattr(aio_file_fd(maker.file), TARGET_LABEL, "1", 1, 0);
    result = make_file(&maker);
    close_result = aio_file_close(maker.file);
    if (result == 0)
        result = close_result;
    if (result == 0)
        return EXIT_CODE_OK;
    message_set(message, "'%s' could not be given %llu bytes: %s", target->path,
                (unsigned long long)target->end, strerror(-result));
    return EXIT_CODE_IO;
}

static void announce(const struct plan *plan, const struct target *target, FILE *report)
{
    char size[UNITS_TEXT];

    for (unsigned i = 0; i < plan->job_count; i++) {
        if (!plan_job_file(&plan->jobs[i], target))
            continue;
        fprintf(report, "%s: Laying out IO file (1 file / %s)\n", plan->jobs[i].options->name,
                units_print_binary(size, (double)target->end));
        fflush(report);
        return;
    }
}

/* Opens every file as its jobs will, so that a refusal comes before anything runs. */
static int try_handles(const struct plan *plan, struct message *message)
{
    for (unsigned i = 0; i < plan->job_count; i++) {
        const struct plan_job *job = &plan->jobs[i];
        struct handle_need need = {
            .write = job->writes,
            .flags = handle_sync_flags(job->options),
            .direct = job->options->direct ? AIO_DIRECT_REQUIRED : AIO_DIRECT_NEVER,
            .grain = job->appends ? 0 : plan_job_grain(job),
        };
        struct handle handle;

        for (unsigned k = 0; k < job->file_count; k++) {
            if (handle_open(&handle, job->files[k].target, &need, message) < 0) {
                message_prefix(message, "job '%s'", job->options->name);
                return EXIT_CODE_USAGE;
            }
            handle_close(&handle);
        }
    }
    return EXIT_CODE_OK;
}

static void remove_file(struct target *target)
{
    struct stat status;

    if (target->exists && (stat(target->path, &status) || status.st_dev != target->device ||
                           status.st_ino != target->inode))
        return;
    unlink(target->path);
    target_remove_folders(target);
}

int layout_make(struct plan *plan, struct identity *identity, FILE *report, struct message *message)
{
    int result = EXIT_CODE_OK;

    for (unsigned i = 0; i < plan->files.count && result == EXIT_CODE_OK; i++) {
        struct target *target = plan->files.targets[i];
        bool extend = target->is_written && !target->is_device && target->end > target->size;

        if (target->exists && !extend)
            continue;
        announce(plan, target, report);
        result = open_and_make(target, identity, message);
    }
    if (result == EXIT_CODE_OK)
        result = try_handles(plan, message);
    for (unsigned i = 0; i < plan->files.count && result != EXIT_CODE_OK; i++)
        if (plan->files.targets[i]->made)
            remove_file(plan->files.targets[i]);
    return result;
}

void layout_finish(struct plan *plan)
{
    for (unsigned i = 0; i < plan->files.count; i++)
        if (plan->files.targets[i]->remove_at_end)
            remove_file(plan->files.targets[i]);
}
