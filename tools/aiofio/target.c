/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "stamp.h"

/* How much of the path is a folder that is there: up to its last slash, or an earlier one where
 * folders may be made. 0 is the current folder. */
static size_t find_folder(const char *path, bool makes_folders)
{
    size_t length = strlen(path);
    char *folder = must_copy(path);

    do {
        while (length > 0 && path[length - 1] != '/')
            length--;
        while (length > 1 && path[length - 1] == '/')
            length--;
        folder[length] = '\0';
    } while (makes_folders && length > 0 && access(folder, F_OK) != 0 && errno == ENOENT);
    free(folder);
    return length;
}

/* The real path of the folder that is there and the rest: the same for every way to write the path.
 */
static char *locate(struct target *target, bool makes_folders, struct message *message)
{
    const char *path = target->path;
    char *folder;
    char *real;
    char *location = NULL;
    const char *rest;

    target->folder_length = find_folder(path, makes_folders);
    folder = target->folder_length ? must_format("%.*s", (int)target->folder_length, path)
                                   : must_copy(".");
    real = realpath(folder, NULL);
    rest = path + target->folder_length;
    if (!real)
        message_set(message, "folder '%s' of file '%s': %s", folder, path, strerror(errno));
    else
        location = must_format("%s/%s", real, rest + strspn(rest, "/"));
    free(real);
    free(folder);
    return location;
}

int target_make_folders(const struct target *target)
{
    char *path = must_copy(target->path);
    char *slash = path + target->folder_length;
    int result = 0;

    slash += strspn(slash, "/");
    while (result == 0 && (slash = strchr(slash, '/')) != NULL) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            result = -errno;
        *slash++ = '/';
    }
    free(path);
    return result;
}

void target_remove_folders(const struct target *target)
{
    char *path = must_copy(target->path);
    char *slash;

    while ((slash = strrchr(path, '/')) != NULL && (size_t)(slash - path) > target->folder_length) {
        *slash = '\0';
        if (rmdir(path) != 0)
            break;
    }
    free(path);
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

struct target *target_set_find(struct target_set *set, const char *path, bool makes_folders,
                               struct message *message)
{
    struct target *target = must_alloc(1, sizeof(*target));

    target->path = must_copy(path);
    target->location = locate(target, makes_folders, message);
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
