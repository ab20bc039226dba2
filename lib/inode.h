/* SPDX-License-Identifier: MIT */
/*
 * inode.h - what the handles of one file have in common: one entry per inode and process.
 */
#ifndef AIOFILE_LIB_INODE_H
#define AIOFILE_LIB_INODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "followers.h"
#include "gate.h"
#include "thread.h"
#include "unsynced.h"

struct inode_descriptor;

/* Beginnings of growing ahead that are remembered: more than a read lives to see. */
#define INODE_GROWTHS 8u

struct inode {
    /* Set when made, never changed. */
    bool device; /* a block device; then number is its device number */
    dev_t on;
    uint64_t number;

    /* Guarded by the table's lock. */
    struct inode *next;
    unsigned handles;
    struct inode_descriptor *page_cache; /* descriptors without O_DIRECT, one for each kind */
    struct inode_descriptor *kept;       /* of closed handles; see inode_close */

    /* Of the first handle, held until the last one is closed; another one once that handle writes
     * with O_DSYNC or DSYNC. The kernel tells each open file description of a writeback error once:
     * syncs through this one miss none since the open. Each is as good; release, with acquire: one
     * that is found here was opened before. */
    atomic_int sync_fd;

    /* 0, or of the last sync that failed: a number that only grows, above the errno in the lower 32
     * bits. Relaxed: who must see it has been told by the sync itself, or by what the caller does
     * between its calls. */
    atomic_uint_fast64_t sync_state;
    atomic_uint_fast64_t sync_acknowledged; /* the last of them that some handle has cleared */

    struct gate gate;
    struct followers followers;
    struct unsynced unsynced;

    /* Handles with O_DIRECT: while there are none, nothing needs to be kept apart. Relaxed: an open
     * that finds none counts itself, then waits for all that was let in without. */
    atomic_uint direct_handles;

    /* Guards the two below; held for no I/O but an fstat(2). Taken inside the gate. */
    struct thread_mutex place_lock;
    off_t append_end;          /* where the next append goes while any are in flight */
    unsigned appends_inflight; /* placed and not done */

    /* As far as the file is known to reach, in bytes. Relaxed, and a hint: a write up to here does
     * not extend the file. Raised by writes, set by truncates. */
    atomic_int_fast64_t known_end;

    /* While handles grow the file ahead: where it ends for the program, in bytes; else -1. Relaxed
     * maximum of what writes have reached; truncates, alone at the gate, set it. */
    atomic_int_fast64_t logical_end;
    atomic_int_fast64_t
        grown_end;       /* where it ends on the disk then, as far as this process knows */
    atomic_uint growers; /* such handles; changed alone at the gate */

    /* Odd while there are such handles: raised when the first comes, once the ends above are set,
     * and when the last has gone, once the file is cut. A read that finds another number when it is
     * done than when it began may have met bytes that were only made ahead; what it may give ends
     * where the file ended when that began. Release, with the reader's acquire before its read: an
     * odd number shows the ends. The read itself shows the number to whoever met the bytes. */
    atomic_uint growth;
    atomic_int_fast64_t grown_from[INODE_GROWTHS]; /* by beginning, the last ones */
};

/* Finds or makes the entry of a descriptor's file, and counts a handle. Returns 0 or -ENOMEM. */
int inode_open(int fd, const struct stat *status, struct inode **result);

/* Counts a handle out and closes its descriptor, or keeps it until the last handle is closed: the
 * sync descriptor, and those whose closing would drop locks of the process (fcntl(2): POSIX locks
 * go with any descriptor of the file). Returns 0 or close(2)'s negated errno. */
int inode_close(struct inode *inode, int fd);

/* Counts a handle out whose descriptor is the caller's still. */
void inode_leave(struct inode *inode, int fd);

/* Before a descriptor is written to in a way that tells it of writeback errors: sees to it that it
 * is not the one for syncs, which could not tell of them any more. */
void inode_part_sync_fd(struct inode *inode, int fd);

/* The same as inode_close() in a forked child, whose entry is a copy that nobody shares. */
int inode_close_inherited(struct inode *inode, int fd);

/* Gives a descriptor of the file as fd is, but without O_DIRECT and with more flags, opening it if
 * there is none of that kind yet. It lives as long as the entry. Returns it, or a negated errno.
 * more_flags: O_APPEND; O_DIRECT, for a second one as fd; O_CLOEXEC, which all have, only makes it
 * another kind. */
int inode_page_cache_fd(struct inode *inode, int fd, int more_flags);

/* Marks that a sync has failed. Until somebody has dealt with an error, it stays the one told of.
 */
void inode_sync_failed(struct inode *inode, int error);

#endif
