/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "stamp.h"

/* The real path of the folder and the name in it: the same for every way to write the path. */
static char *locate(const char *path, struct message *message)
{
    char *for_folder = must_copy(path);
    char *for_name = must_copy(path);
    const char *folder = dirname(for_folder);
    char *real = realpath(folder, NULL);
    char *location = NULL;

    if (!real)
        message_set(message, "folder '%s' of file '%s': %s", folder, path, strerror(errno));
    else
        location = must_format("%s/%s", real, basename(for_name));
    free(real);
    free(for_folder);
    free(for_name);
    return location;
}

/* Whether aiofio made the file, and how its blocks are stamped. */
static void read_first_sector(struct target *target, int fd)
{
    unsigned char sector[STAMP_SECTOR];
    struct stamp stamp;

    if (pread(fd, sector, sizeof(sector), 0) != (ssize_t)sizeof(sector))
        return;
    if (!stamp_read(sector, &stamp))
        return;
    target->has_stamp = true;
    target->has_blocks = stamp.kind == STAMP_KIND_BLOCK;
    target->stamp_length = target->has_blocks ? stamp.length : 0;
}

static int look_at(struct target *target, struct message *message)
{
    struct stat status;
    int fd;

    if (stat(target->path, &status)) {
        if (errno != ENOENT)
            return message_set(message, "'%s': %s", target->path, strerror(errno));
        if (lstat(target->path, &status) == 0)
            return message_set(message, "'%s' is a symbolic link to nothing", target->path);
        return 0;
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return message_set(message, "'%s' is neither a regular file nor a block device",
                           target->path);

    fd = open(target->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return message_set(message, "cannot open '%s': %s", target->path, strerror(errno));
    target->exists = true;
    target->is_device = S_ISBLK(status.st_mode);
    target->device = status.st_dev;
    target->inode = status.st_ino;
    target->size = (uint64_t)status.st_size;
    if (target->is_device && ioctl(fd, BLKGETSIZE64, &target->size))
        target->size = 0;
    read_first_sector(target, fd);
    target->has_label = fgetxattr(fd, TARGET_LABEL, NULL, 0) >= 0;
    close(fd);
    return 0;
}

static void target_free(struct target *target)
{
    expect_free(&target->expect);
    free(target->path);
    free(target->location);
    free(target);
}

static bool is_same(const struct target *a, const struct target *b)
{
    if (a->exists && b->exists)
        return a->device == b->device && a->inode == b->inode;
    return strcmp(a->location, b->location) == 0;
}

struct target *target_set_find(struct target_set *set, const char *path, struct message *message)
{
    struct target *target = must_alloc(1, sizeof(*target));

    target->path = must_copy(path);
    target->location = locate(path, message);
    if (!target->location || look_at(target, message)) {
        target_free(target);
        return NULL;
    }
    for (unsigned i = 0; i < set->count; i++) {
        if (is_same(set->targets[i], target)) {
            target_free(target);
            return set->targets[i];
        }
    }
    target->number = set->count;
    set->targets = must_grow(set->targets, set->count + 1, sizeof(struct target *));
    set->targets[set->count++] = target;
    return target;
}

void target_set_free(struct target_set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        target_free(set->targets[i]);
    free(set->targets);
    *set = (struct target_set){0};
}
