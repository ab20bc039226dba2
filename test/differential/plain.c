/* SPDX-License-Identifier: MIT */
/*
 * plain.c - the right answers.
 */
#include "plain.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "judge.h"

static int64_t answer(int64_t result)
{
    return result >= 0 ? result : -errno;
}

/* --- beside a device ------------------------------------------------------------------------ */

void array_of_device(struct array *array, int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);

    must(size >= 0, "see the device's size");
    if (size < (off_t)(16 * MIB) || size > (off_t)(256 * MIB))
        disagree("the device has %lld bytes: take one of 16 to 256 MiB, all of which are also kept "
                 "in memory",
                 (long long)size);
    array->size = (uint64_t)size;
    array->bytes = page_alloc(array->size);
    for (uint64_t done = 0; done < array->size;) {
        ssize_t part = pread(fd, array->bytes + done, array->size - done, (off_t)done);

        must(part > 0, "read the device");
        done += (uint64_t)part;
    }
}

static int64_t array_pread(const struct array *array, void *memory, uint64_t length, int64_t offset)
{
    if (offset < 0)
        return -EINVAL;
    if ((uint64_t)offset >= array->size)
        return 0;
    if (length > array->size - (uint64_t)offset)
        length = array->size - (uint64_t)offset;
    memcpy(memory, array->bytes + offset, length);
    return (int64_t)length;
}

/* NULL memory: zeros. */
static int64_t array_pwrite(struct array *array, const void *memory, uint64_t length,
                            int64_t offset)
{
    if (offset < 0)
        return -EINVAL;
    if (length == 0)
        return 0;
    if ((uint64_t)offset >= array->size)
        return -ENOSPC;
    if (length > array->size - (uint64_t)offset)
        length = array->size - (uint64_t)offset;
    if (memory != NULL)
        memcpy(array->bytes + offset, memory, length);
    else
        memset(array->bytes + offset, 0, length);
    return (int64_t)length;
}

static int64_t array_seek(struct plain *plain, int64_t offset, int whence)
{
    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        offset += plain->cursor;
        break;
    case SEEK_END:
        offset += (int64_t)plain->array->size;
        break;
    default:
        return -EINVAL;
    }
    if (offset < 0)
        return -EINVAL;
    plain->cursor = offset;
    return offset;
}

/* --- transfers ------------------------------------------------------------------------------ */

int64_t plain_pread(struct plain *plain, void *memory, uint64_t length, int64_t offset)
{
    if (plain->array == NULL)
        return answer(pread(plain->fd, memory, length, offset));
    if ((plain->flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    return array_pread(plain->array, memory, length, offset);
}

int64_t plain_pwrite(struct plain *plain, const void *memory, uint64_t length, int64_t offset)
{
    if (plain->array == NULL)
        return answer(pwrite(plain->fd, memory, length, offset));
    if ((plain->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    return array_pwrite(plain->array, memory, length, offset);
}

int64_t plain_read(struct plain *plain, void *memory, uint64_t length)
{
    int64_t result;

    if (plain->array == NULL)
        return answer(read(plain->fd, memory, length));
    result = plain_pread(plain, memory, length, plain->cursor);
    plain->cursor += result > 0 ? result : 0;
    return result;
}

int64_t plain_write(struct plain *plain, const void *memory, uint64_t length)
{
    int64_t result;

    if (plain->array == NULL)
        return answer(write(plain->fd, memory, length));
    result = plain_pwrite(plain, memory, length, plain->cursor);
    plain->cursor += result > 0 ? result : 0;
    return result;
}

/* --- the rest ------------------------------------------------------------------------------- */

int64_t plain_seek(struct plain *plain, int64_t offset, int whence)
{
    if (plain->array != NULL)
        return array_seek(plain, offset, whence);
    return answer(lseek(plain->fd, offset, whence));
}

int64_t plain_size(struct plain *plain)
{
    struct stat status;

    if (plain->array != NULL)
        return (int64_t)plain->array->size;
    must(fstat(plain->fd, &status) == 0, "see the size");
    return status.st_size;
}

int64_t plain_truncate(struct plain *plain, int64_t length)
{
    if (plain->array != NULL)
        return -EINVAL;
    return answer(ftruncate(plain->fd, length));
}

static int64_t write_zeros(struct plain *plain, int64_t offset, int64_t length)
{
    static const unsigned char zeros[64 * 1024];

    if (offset < 0 || length <= 0)
        return -EINVAL;
    while (length > 0) {
        uint64_t part = (uint64_t)length < sizeof(zeros) ? (uint64_t)length : sizeof(zeros);
        int64_t result = plain_pwrite(plain, zeros, part, offset);

        if (result < 0)
            return result;
        offset += result;
        length -= result;
    }
    return 0;
}

int64_t plain_allocate(struct plain *plain, int mode, int64_t offset, int64_t length)
{
    int64_t result;

    if (mode == AIO_ALLOCATE_WRITE_ZEROS)
        return write_zeros(plain, offset, length);
    if (plain->array != NULL && (plain->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    result = answer(fallocate(plain->fd, mode, offset, length));
    if (plain->array != NULL && result == 0)
        array_pwrite(plain->array, NULL, (uint64_t)length, offset);
    return result;
}

int64_t plain_lock(struct plain *plain, int type)
{
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET};

    return answer(fcntl(plain->fd, F_OFD_SETLK, &lock));
}
