/* SPDX-License-Identifier: MIT */
/*
 * facts.c - what a file is to the library.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "info.h"

int temporary_make(const char *directory)
{
    char path[PATH_MAX];
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int error;

    /* EISDIR is the word of a kernel that takes O_TMPFILE for O_DIRECTORY. */
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd >= 0 ? fd : -errno;
    if (snprintf(path, sizeof(path), "%s/aiofile-info-XXXXXX", directory) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (unlink(path) == 0)
        return fd;
    error = -errno;
    close(fd);
    return error;
}

/* The number of the mount that a descriptor is of; -1 where the kernel does not tell. */
static int mount_of(int fd)
{
    char path[48];
    char line[128];
    FILE *fdinfo;
    int mount = -1;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    fdinfo = fopen(path, "re");
    if (fdinfo == NULL)
        return -1;
    while (fgets(line, sizeof(line), fdinfo) != NULL)
        if (sscanf(line, "mnt_id: %d", &mount) == 1)
            break;
    fclose(fdinfo);
    return mount;
}

/* The type of a mount, as /proc/self/mountinfo has it behind its " - ". */
static void find_file_system(int fd, char *type, size_t size)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    const int mount = mount_of(fd);
    char *line = NULL;
    size_t room = 0;

    snprintf(type, size, "unknown");
    if (mounts == NULL)
        return;
    while (getline(&line, &room, mounts) > 0) {
        const char *tail = strstr(line, " - ");

        if (tail != NULL && (int)strtol(line, NULL, 10) == mount)
            snprintf(type, size, "%.*s", (int)strcspn(tail + 3, " \n"), tail + 3);
    }
    free(line);
    fclose(mounts);
}

static void keep_sentence(void *context, int level, const char *message)
{
    struct facts *facts = context;

    (void)level;
    snprintf(facts->sentence, sizeof(facts->sentence), "%s", message);
}

static int open_for_facts(const char *path, struct facts *facts, struct aio_file **file)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;
    int error;
    int fd;

    options.direct = AIO_DIRECT_PREFERRED;
    options.log = keep_sentence;
    options.log_context = facts;
    if (!facts->directory)
        return aio_file_open(path, O_RDONLY, 0, &options, file);
    fd = temporary_make(path);
    if (fd < 0)
        return fd;
    error = aio_file_adopt(fd, &options, file);
    if (error != 0)
        close(fd);
    return error;
}

int facts_find(const char *path, struct facts *facts)
{
    struct aio_file *file = NULL;
    struct stat status;
    int error;

    memset(facts, 0, sizeof(*facts));
    if (stat(path, &status) != 0)
        return -errno;
    facts->directory = S_ISDIR(status.st_mode);
    facts->device = S_ISBLK(status.st_mode);
    error = open_for_facts(path, facts, &file);
    if (error != 0)
        return error;
    facts->info.size = sizeof(facts->info);
    error = aio_file_info(file, &facts->info);
    if (facts->device)
        snprintf(facts->file_system, sizeof(facts->file_system), "none");
    else
        find_file_system(aio_file_fd(file), facts->file_system, sizeof(facts->file_system));
    aio_file_close(file);
    return error;
}

const char *direct_name(uint32_t direct_granted)
{
    switch (direct_granted) {
    case AIO_DIRECT_OFF:
        return "off";
    case AIO_DIRECT_GRANTED:
        return "granted";
    case AIO_DIRECT_REFUSED:
        return "refused";
    case AIO_DIRECT_EMULATED:
        return "emulated";
    default:
        return "unknown";
    }
}
