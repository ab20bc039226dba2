/* SPDX-License-Identifier: MIT */
/*
 * alignment.c - what the file demands of direct I/O.
 *
 * What is required comes from statx(2), STATX_DIOALIGN, for files; from BLKSSZGET for devices.
 * What is preferred comes from the device below: BLKPBSZGET, or the queue's attributes in sysfs,
 * which a partition finds at its parent. Where nothing tells, 4096 is safe for both: no device
 * that Linux drives has larger sectors.
 */
#include "alignment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define ALIGNMENT_FALLBACK 4096u
#define ALIGNMENT_LARGEST (1u << 24)

static bool plausible(unsigned long bytes)
{
    return bytes > 0 && bytes <= ALIGNMENT_LARGEST && (bytes & (bytes - 1)) == 0;
}

/* The physical sector size of a device, 0 if sysfs does not tell. */
static uint32_t physical_sector_of(dev_t device)
{
    static const char *const forms[] = {
        "/sys/dev/block/%u:%u/queue/physical_block_size",
        "/sys/dev/block/%u:%u/../queue/physical_block_size",
    };

    for (unsigned index = 0; index < sizeof(forms) / sizeof(forms[0]); index++) {
        char path[96];
        unsigned long bytes = 0;
        FILE *attribute;
        int found;

        snprintf(path, sizeof(path), forms[index], major(device), minor(device));
        attribute = fopen(path, "re");
        if (attribute == NULL)
            continue;
        found = fscanf(attribute, "%lu", &bytes);
        fclose(attribute);
        if (found == 1 && plausible(bytes))
            return (uint32_t)bytes;
    }
    return 0;
}

static int alignment_of_device(int fd, struct alignment *result)
{
    int logical = 0;
    unsigned physical = 0;

    *result = (struct alignment){ALIGNMENT_FALLBACK, ALIGNMENT_FALLBACK, ALIGNMENT_FALLBACK};
    if (ioctl(fd, BLKSSZGET, &logical) == 0 && logical > 0 && plausible((unsigned long)logical)) {
        result->memory = (uint32_t)logical;
        result->required = (uint32_t)logical;
    }
    if (ioctl(fd, BLKPBSZGET, &physical) == 0 && plausible(physical))
        result->preferred = physical;
    return 0;
}

int alignment_of_file(int fd, const struct stat *status, struct alignment *result)
{
    struct statx extended;
    uint32_t physical;

    if (S_ISBLK(status->st_mode)) {
        alignment_of_device(fd, result);
    } else {
        *result = (struct alignment){ALIGNMENT_FALLBACK, ALIGNMENT_FALLBACK, ALIGNMENT_FALLBACK};
        if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) == 0 &&
            (extended.stx_mask & STATX_DIOALIGN) != 0) {
            /* 0 means that this file takes none, as ext4 says where data is journalled. */
            if (!plausible(extended.stx_dio_mem_align) || !plausible(extended.stx_dio_offset_align))
                return -EINVAL;
            result->memory = extended.stx_dio_mem_align;
            result->required = extended.stx_dio_offset_align;
        }
        physical = physical_sector_of(status->st_dev);
        if (physical != 0)
            result->preferred = physical;
    }
    if (result->preferred < result->required)
        result->preferred = result->required;
    return 0;
}
