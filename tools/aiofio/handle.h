/* SPDX-License-Identifier: MIT */
/*
 * handle.h - a job's struct aio_file, with what the library had to say about it.
 */
#ifndef AIOFIO_HANDLE_H
#define AIOFIO_HANDLE_H

#include <aiofile/file.h>
#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "target.h"
#include "text.h"

struct handle {
    struct aio_file *file;
    struct aio_file_info info; /* as it was after opening */
    struct message log;        /* the library's last sentence */
};

struct handle_need {
    bool write;
    int flags; /* O_SYNC or O_DSYNC */
    enum aio_direct direct;
    uint64_t grain; /* bytes: every offset and length is a multiple of it; 0: of none, and any
                       way to write is taken */
};

/* The open flags that sync= asks for. */
int handle_sync_flags(const struct job_options *options);

/* Opens the file that the plan looked at, and no other. A negated errno with a reason, or 0. */
int handle_open(struct handle *handle, const struct target *target, const struct handle_need *need,
                struct message *message);

/* Opens it to read back what it holds: with direct I/O, or, where blocks are too small for that,
 * through an emptied page cache. A negated errno with a reason, or 0. */
int handle_open_to_verify(struct handle *handle, const struct target *target,
                          struct message *message);

/* Closes it; 0 or a negated errno. */
int handle_close(struct handle *handle);

/* Keeps what the library logs; context is a struct message. */
void handle_log(void *context, int level, const char *sentence);

#endif
