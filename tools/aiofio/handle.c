/* SPDX-License-Identifier: MIT */
#include "handle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void handle_log(void *context, int level, const char *sentence)
{
    struct message *message = context;

    if (level != AIO_LOG_INFO)
        message_set(message, "%s", sentence);
}

int handle_sync_flags(const struct job_options *options)
{
    if (options->sync == SYNC_FILE)
        return O_SYNC;
    return options->sync == SYNC_DATA ? O_DSYNC : 0;
}

static int open_once(struct handle *handle, const struct target *target,
                     const struct handle_need *need, uint32_t alignment, struct message *message)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;
    int result;

    handle->log = (struct message){0};
    options.direct = need->direct;
    if (need->grain)
        options.unaligned = AIO_UNALIGNED_REJECT; /* the road that was asked for is measured */
    options.alignment = alignment;
    options.log = handle_log;
    options.log_context = &handle->log;
    result = aio_file_open(target->path, (need->write ? O_RDWR : O_RDONLY) | need->flags, 0,
                           &options, &handle->file);
    if (result < 0) {
        message_set(message, "cannot open '%s': %s%s%s", target->path, strerror(-result),
                    handle->log.text[0] ? ": " : "", handle->log.text);
        return result;
    }
    handle->info = (struct aio_file_info){.size = sizeof(handle->info)};
    return aio_file_info(handle->file, &handle->info);
}

/* Somebody may have put another file in the place of the one whose safety was checked. */
static int check_identity(const struct handle *handle, const struct target *target,
                          struct message *message)
{
    struct stat status;
    int result = aio_file_stat(handle->file, &status);

    if (result < 0)
        message_set(message, "'%s': %s", target->path, strerror(-result));
    if (result == 0 && (status.st_dev != target->device || status.st_ino != target->inode)) {
        message_set(message, "'%s' was replaced by another file during the run", target->path);
        result = -ESTALE;
    }
    return result;
}

static bool fits(const struct handle *handle, uint64_t grain)
{
    return grain % handle->info.direct_alignment == 0;
}

int handle_open(struct handle *handle, const struct target *target, const struct handle_need *need,
                struct message *message)
{
    uint32_t required;
    int result = open_once(handle, target, need, 0, message);

    if (result < 0)
        return result;
    /* The preferred alignment is too coarse: ask for the one the device can do. */
    required = handle->info.required_alignment;
    if (!fits(handle, need->grain) && required && need->grain % required == 0) {
        handle_close(handle);
        result = open_once(handle, target, need, required, message);
        if (result < 0)
            return result;
    }
    if (!fits(handle, need->grain)) {
        message_set(message,
                    "'%s': bs and offset have to be multiples of %u bytes for direct I/O here, and "
                    "are only multiples of %llu",
                    target->path, required ? required : handle->info.direct_alignment,
                    (unsigned long long)need->grain);
        result = -EINVAL;
    }
    if (result == 0)
        result = check_identity(handle, target, message);
    if (result < 0)
        handle_close(handle);
    return result;
}

int handle_open_to_verify(struct handle *handle, const struct target *target,
                          struct message *message)
{
    struct handle_need need = {.direct = AIO_DIRECT_PREFERRED, .grain = target->block};
    int result = handle_open(handle, target, &need, message);

    if (result < 0) {
        need.direct = AIO_DIRECT_NEVER;
        result = handle_open(handle, target, &need, message);
    }
    if (result == 0)
        posix_fadvise(aio_file_fd(handle->file), 0, 0, POSIX_FADV_DONTNEED);
    return result;
}

int handle_close(struct handle *handle)
{
    int result = aio_file_close(handle->file);

    handle->file = NULL;
    return result;
}
