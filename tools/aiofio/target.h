/* SPDX-License-Identifier: MIT */
/*
 * target.h - the files of a run: each once, however many jobs use it and by whatever name.
 */
#ifndef AIOFIO_TARGET_H
#define AIOFIO_TARGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "expect.h"
#include "text.h"

/* On files that aiofio made, where the file system has extended attributes. */
#define TARGET_LABEL "user.aiofio"

struct journal_file;

struct target {
    char *path;           /* as the first job names it */
    char *location;       /* real folder and name, to recognise a file that is not there yet */
    size_t folder_length; /* of path: the folder that is there; what follows is to be made */
    unsigned number;
    dev_t device;
    ino_t inode;
    uint64_t size; /* bytes now */
    uint64_t end;  /* bytes: no job goes beyond */
    bool exists;
    bool made;          /* by this process */
    bool is_device;     /* a block device */
    bool has_stamp;     /* made by aiofio: the first sector carries its stamp */
    bool has_label;     /* made by aiofio: it has the extended attribute that says so */
    bool has_blocks;    /* and that stamp belongs to a block that can be verified */
    bool is_written;    /* by a job of this run */
    bool is_verified;   /* by a job of this run */
    bool needs_content; /* is read before a job of this run has written it */
    bool remove_at_end;
    uint64_t fallocate; /* enum fallocate_choice, as its first job says */

    /* Verification; set up only if is_verified. */
    uint32_t stamp_length; /* bytes of a block as an earlier process wrote it; 0: unknown */
    uint32_t block;        /* bytes of a block; 0: no stamps in this file */
    bool own_run;          /* the content comes from this process: expect is in use */
    struct expect expect;
    struct journal_file *journal; /* NULL: none is kept */

    /* Counts down the jobs of the running group that write with verify: the last one verifies. */
    _Atomic unsigned writers_left;
    bool phase_wanted;
};

struct target_set {
    struct target **targets;
    unsigned count;
};

/* Finds the file, or adds it after looking at it. Only regular files, block devices and names that
 * are free pass, and with makes_folders those in folders that are not there yet. NULL with a
 * reason.
 */
struct target *target_set_find(struct target_set *set, const char *path, bool makes_folders,
                               struct message *message);

/* Makes the folders of the path that are not there, or removes them again if they are empty.
 * Making: 0 or a negated errno. */
int target_make_folders(const struct target *target);
void target_remove_folders(const struct target *target);

void target_set_free(struct target_set *set);

#endif
