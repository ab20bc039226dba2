/* SPDX-License-Identifier: MIT */
/*
 * plain.h - the right answers: plain system calls on an ordinary file without O_DIRECT, or, beside
 * a block device, an array that is as the device was.
 *
 * All results are >= 0 or negated errno values.
 */
#ifndef AIOFILE_TEST_DIFFERENTIAL_PLAIN_H
#define AIOFILE_TEST_DIFFERENTIAL_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

/* The bytes that a device has to have. */
struct array {
    unsigned char *bytes;
    uint64_t size;
};

/* An open file description. */
struct plain {
    int fd;              /* of the ordinary file; beside a device, of the device itself */
    struct array *array; /* NULL: an ordinary file */
    int flags;           /* of open(2), for an array */
    int64_t cursor;      /* for an array */
};

/* Reads a whole device into an array. */
void array_of_device(struct array *array, int fd);

int64_t plain_pread(struct plain *plain, void *memory, uint64_t length, int64_t offset);
int64_t plain_pwrite(struct plain *plain, const void *memory, uint64_t length, int64_t offset);
int64_t plain_read(struct plain *plain, void *memory, uint64_t length);
int64_t plain_write(struct plain *plain, const void *memory, uint64_t length);
int64_t plain_seek(struct plain *plain, int64_t offset, int whence);
int64_t plain_size(struct plain *plain);
int64_t plain_truncate(struct plain *plain, int64_t length);

/* AIO_ALLOCATE_WRITE_ZEROS too, by writing zeros. Beside a device: does to the array what the
 * device itself, asked for the same once more, gives as its answer. */
int64_t plain_allocate(struct plain *plain, int mode, int64_t offset, int64_t length);

/* As aio_file_lock() without waiting. */
int64_t plain_lock(struct plain *plain, int type);

#endif
