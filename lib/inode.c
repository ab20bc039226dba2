/* SPDX-License-Identifier: MIT */
/*
 * inode.c - what the handles of one file have in common.
 *
 * An entry holds its file open, so the inode number cannot become another file's meanwhile.
 */
#include "inode.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "errno_guard.h"

struct inode_descriptor {
    int fd;
    int flags;
    struct inode_descriptor *next;
};

#define INODE_BUCKETS 1024u

/* table_lock guards the table and what inode.h says; innermost, no other lock is taken under it. */
static struct thread_mutex table_lock = THREAD_MUTEX_INIT;
static struct inode *table[INODE_BUCKETS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A child starts with an empty table: what its copies of handles point to may be in any state. */
static void reset(void)
{
    thread_mutex_init(&table_lock);
    memset(table, 0, sizeof(table));
}

static void prepare(void)
{
    pthread_atfork(NULL, NULL, reset);
}

static struct inode **bucket_of(dev_t on, uint64_t number)
{
    uint64_t mixed = (number ^ (uint64_t)on << 32) * UINT64_C(0x9e3779b97f4a7c15);

    return &table[(mixed >> 40) % INODE_BUCKETS];
}

static struct inode *inode_new(int fd, bool device, dev_t on, uint64_t number)
{
    struct inode *inode = calloc(1, sizeof(*inode));

    if (inode == NULL)
        return NULL;
    inode->device = device;
    inode->on = on;
    inode->number = number;
    atomic_init(&inode->sync_fd, fd);
    thread_mutex_init(&inode->place_lock);
    gate_init(&inode->gate);
    followers_init(&inode->followers);
    unsynced_init(&inode->unsynced);
    atomic_init(&inode->logical_end, -1);
    return inode;
}

static void close_all(struct inode_descriptor *descriptor)
{
    while (descriptor != NULL) {
        struct inode_descriptor *next = descriptor->next;

        close(descriptor->fd);
        free(descriptor);
        descriptor = next;
    }
}

static void inode_free(struct inode *inode)
{
    unsynced_destroy(&inode->unsynced);
    gate_destroy(&inode->gate);
    followers_destroy(&inode->followers);
    thread_mutex_destroy(&inode->place_lock);
    free(inode);
}

int inode_open(int fd, const struct stat *status, struct inode **result)
{
    bool device = S_ISBLK(status->st_mode);
    dev_t on = device ? 0 : status->st_dev;
    uint64_t number = device ? (uint64_t)status->st_rdev : (uint64_t)status->st_ino;
    struct inode **bucket = bucket_of(on, number);
    struct inode *inode;

    pthread_once(&once, prepare);
    thread_mutex_lock(&table_lock);
    inode = *bucket;
    while (inode != NULL && (inode->number != number || inode->on != on || inode->device != device))
        inode = inode->next;
    if (inode == NULL) {
        inode = inode_new(fd, device, on, number);
        if (inode != NULL) {
            inode->next = *bucket;
            *bucket = inode;
        }
    }
    if (inode != NULL)
        inode->handles++;
    thread_mutex_unlock(&table_lock);
    *result = inode;
    return inode != NULL ? 0 : -ENOMEM;
}

/* --- close ---------------------------------------------------------------------------------- */

/* Whether closing a descriptor could drop a lock that the process has: one is reported as ours, or
 * somebody else's is, behind which ours may be. */
static bool locks_would_go(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

/* The handle is gone, and what it had locked with it, though the descriptor stays. */
static void drop_lock(int fd)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    fcntl(fd, F_OFD_SETLK, &lock);
}

static bool keep(struct inode *inode, int fd)
{
    struct inode_descriptor *descriptor = malloc(sizeof(*descriptor));

    if (descriptor == NULL)
        return false;
    *descriptor = (struct inode_descriptor){fd, 0, inode->kept};
    inode->kept = descriptor;
    return true;
}

static int close_descriptor(int fd)
{
    /* Linux has closed it even where it says EINTR. */
    return close(fd) == 0 || errno == EINTR ? 0 : -errno;
}

static int sync_fd_of(const struct inode *inode)
{
    return atomic_load_explicit(&inode->sync_fd, memory_order_acquire);
}

static void unlink_from_table(struct inode *inode)
{
    struct inode **link = bucket_of(inode->on, inode->number);

    while (*link != inode)
        link = &(*link)->next;
    *link = inode->next;
}

/* Whether a descriptor is to stay when its handle is closed and others are not. Lock held. */
static bool keep_or_release(struct inode *inode, int fd)
{
    struct inode_descriptor *kept = inode->kept;

    if (locks_would_go(fd))
        return fd == sync_fd_of(inode) || keep(inode, fd);
    /* Nor is there a reason to keep those that were. */
    inode->kept = NULL;
    close_all(kept);
    return fd == sync_fd_of(inode);
}

/* Closes what is left of an entry that is in nobody's hands. */
static void close_rest(struct inode *inode, int fd)
{
    if (sync_fd_of(inode) != fd)
        close(sync_fd_of(inode));
    close_all(inode->page_cache);
    close_all(inode->kept);
}

int inode_close(struct inode *inode, int fd)
{
    bool kept = false;
    bool last;
    int error;

    thread_mutex_lock(&table_lock);
    last = --inode->handles == 0;
    if (last)
        unlink_from_table(inode);
    else
        kept = keep_or_release(inode, fd);
    if (kept) /* before somebody else may close it */
        drop_lock(fd);
    thread_mutex_unlock(&table_lock);
    if (kept)
        return 0;
    error = close_descriptor(fd);
    if (last) {
        close_rest(inode, fd);
        inode_free(inode);
    }
    return error;
}

int inode_close_inherited(struct inode *inode, int fd)
{
    bool last = --inode->handles == 0;
    int error = 0;

    if (fd != sync_fd_of(inode) || last)
        error = close_descriptor(fd);
    if (last) {
        close_rest(inode, fd);
        free(inode); /* its locks may be held by threads that are not there */
    }
    return error;
}

void inode_leave(struct inode *inode, int fd)
{
    bool last;

    thread_mutex_lock(&table_lock);
    last = --inode->handles == 0;
    if (last)
        unlink_from_table(inode);
    else if (fd == sync_fd_of(inode))
        atomic_store_explicit(&inode->sync_fd, fcntl(fd, F_DUPFD_CLOEXEC, 0), memory_order_release);
    thread_mutex_unlock(&table_lock);
    if (last) {
        close_rest(inode, fd);
        inode_free(inode);
    }
}

/* --- descriptors ---------------------------------------------------------------------------- */

/* Opens the file again by what the kernel knows of the descriptor, whatever its name is now. */
static int reopen(const struct inode *inode, int fd, int flags)
{
    char path[32];
    struct stat status;
    int again;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, flags | O_CLOEXEC | O_NOCTTY);
    if (again < 0)
        return -errno;
    if (fstat(again, &status) != 0 ||
        (inode->device ? status.st_rdev != inode->number
                       : status.st_dev != inode->on || status.st_ino != inode->number)) {
        close(again);
        return -EINVAL;
    }
    return again;
}

static int find_page_cache(const struct inode *inode, int flags)
{
    const struct inode_descriptor *descriptor = inode->page_cache;

    while (descriptor != NULL && descriptor->flags != flags)
        descriptor = descriptor->next;
    return descriptor != NULL ? descriptor->fd : -ENOENT;
}

int inode_page_cache_fd(struct inode *inode, int fd, int more_flags)
{
    int flags = (fcntl(fd, F_GETFL) & (O_ACCMODE | O_SYNC | O_DSYNC | O_NOATIME)) | more_flags;
    struct inode_descriptor *descriptor;
    int found;

    thread_mutex_lock(&table_lock);
    found = find_page_cache(inode, flags);
    if (found == -ENOENT) {
        descriptor = malloc(sizeof(*descriptor));
        found = descriptor != NULL ? reopen(inode, fd, flags) : -ENOMEM;
        if (found >= 0) {
            *descriptor = (struct inode_descriptor){found, flags, inode->page_cache};
            inode->page_cache = descriptor;
        } else {
            free(descriptor);
        }
    }
    thread_mutex_unlock(&table_lock);
    return found;
}

/* A new description of a file is told of the errors that nobody was told of. */
void inode_part_sync_fd(struct inode *inode, int fd)
{
    ERRNO_GUARD;
    int own;

    if (sync_fd_of(inode) != fd)
        return;
    thread_mutex_lock(&table_lock);
    if (sync_fd_of(inode) == fd) {
        own = reopen(inode, fd, fcntl(fd, F_GETFL) & O_ACCMODE);
        if (own >= 0)
            atomic_store_explicit(&inode->sync_fd, own, memory_order_release);
    }
    thread_mutex_unlock(&table_lock);
}

/* --- failed syncs --------------------------------------------------------------------------- */

void inode_sync_failed(struct inode *inode, int error)
{
    uint64_t state = atomic_load_explicit(&inode->sync_state, memory_order_relaxed);
    uint64_t next;

    do {
        uint32_t kept = (uint32_t)-error;

        if (state != 0 &&
            state != atomic_load_explicit(&inode->sync_acknowledged, memory_order_relaxed))
            kept = (uint32_t)state;
        next = ((state >> 32) + 1) << 32 | kept;
    } while (!atomic_compare_exchange_weak_explicit(&inode->sync_state, &state, next,
                                                    memory_order_relaxed, memory_order_relaxed));
}
