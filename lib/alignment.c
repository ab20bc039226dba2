/* SPDX-License-Identifier: MIT */
/*
 * alignment.c - what the file demands of direct I/O.
 *
 * What is required comes from statx(2) for files, since Linux 6.1 and as far as the file system
 * tells; from BLKSSZGET for devices. What is preferred comes from the device below: BLKPBSZGET, or
 * the queue's attributes in sysfs, which a partition finds at its parent. Where nothing tells, 4096
 * is safe for both: no device that Linux drives has larger sectors.
 *
 * That open(2) takes O_DIRECT does not say that data goes to the disk without a copy. Of a file
 * system that tells its alignments this is believed; of others, only of those known to do so.
 */
#include "alignment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ALIGNMENT_FALLBACK 4096u
#define ALIGNMENT_LARGEST (1u << 24)

/*
 * struct statx as the kernel fills it: the C library's headers are often older than the kernel that
 * the program meets, and know neither these bits nor the members that belong to them.
 */
#define STATX_MASK_DIOALIGN 0x2000u
#define STATX_MASK_WRITE_ATOMIC 0x10000u
#define STATX_MASK_DIO_READ_ALIGN 0x20000u

struct statx_reply {
    uint32_t mask;
    uint32_t unused[37];
    uint32_t dio_memory;
    uint32_t dio_offset;
    uint64_t subvolume;
    uint32_t atomic_min;
    uint32_t atomic_max;
    uint32_t atomic_segments;
    uint32_t dio_read_offset;
    uint32_t reserved[17];
};

_Static_assert(sizeof(struct statx_reply) == 256, "part of the kernel's interface");
_Static_assert(offsetof(struct statx_reply, dio_memory) == 0x98, "the same");
_Static_assert(offsetof(struct statx_reply, atomic_min) == 0xa8, "the same");
_Static_assert(offsetof(struct statx_reply, dio_read_offset) == 0xb4, "the same");

static bool power_of_two(unsigned long value)
{
    return value > 0 && (value & (value - 1)) == 0;
}

static bool plausible(unsigned long bytes)
{
    return power_of_two(bytes) && bytes <= ALIGNMENT_LARGEST;
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

/* --- what statx(2) says --------------------------------------------------------------------- */

/* Leaves mask 0 where there is no statx(2): before Linux 4.11, and in some sandboxes. */
static void ask_statx(int fd, struct statx_reply *reply)
{
    const unsigned mask = STATX_MASK_DIOALIGN | STATX_MASK_WRITE_ATOMIC | STATX_MASK_DIO_READ_ALIGN;

    memset(reply, 0, sizeof(*reply));
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, mask, reply) != 0)
        reply->mask = 0;
}

/* 0 means that this file takes none, as ext4 says where data is journalled. */
static bool takes_none(const struct statx_reply *reply)
{
    return (reply->mask & STATX_MASK_DIOALIGN) != 0 &&
           (reply->dio_memory == 0 || reply->dio_offset == 0);
}

static void believe_alignments(const struct statx_reply *reply, struct alignment *result)
{
    if ((reply->mask & STATX_MASK_DIOALIGN) == 0 || !plausible(reply->dio_memory) ||
        !plausible(reply->dio_offset))
        return;
    result->memory = reply->dio_memory;
    result->required = reply->dio_offset;
    result->told = true;
}

/* Reads can be finer than writes, where a write makes the file system copy a whole block. */
static uint32_t read_alignment(const struct statx_reply *reply, uint32_t required)
{
    uint32_t told = reply->dio_read_offset;

    if ((reply->mask & STATX_MASK_DIO_READ_ALIGN) == 0 || !plausible(told) || told > required)
        return required;
    return told;
}

static void believe_atomic(const struct statx_reply *reply, struct alignment *result)
{
    if ((reply->mask & STATX_MASK_WRITE_ATOMIC) == 0 || !power_of_two(reply->atomic_min) ||
        !power_of_two(reply->atomic_max) || reply->atomic_max < reply->atomic_min ||
        reply->atomic_segments == 0)
        return;
    result->atomic_min = reply->atomic_min;
    result->atomic_max = reply->atomic_max;
    result->atomic_segments = reply->atomic_segments;
}

/* --- files and devices ---------------------------------------------------------------------- */

static bool is_nocow(int fd)
{
    int flags = 0;

    return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL) != 0;
}

/* Whether direct I/O goes through memory of the file system, or may do so for all that is known. */
static bool copies(int fd, bool told)
{
    struct statfs status;

    if (fstatfs(fd, &status) != 0)
        return !told;
    switch ((uint32_t)status.f_type) {
    case BTRFS_SUPER_MAGIC:
        /* It has checksums unless it overwrites in place, and copies what it makes them of: the
         * program could change its memory in between. */
        return !is_nocow(fd);
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
        return false;
    default:
        return !told;
    }
}

static void alignment_of_device(int fd, struct alignment *result)
{
    int logical = 0;
    unsigned physical = 0;

    if (ioctl(fd, BLKSSZGET, &logical) == 0 && logical > 0 && plausible((unsigned long)logical)) {
        /* Where statx(2) does not tell, memory that is aligned to a sector does for any driver. */
        if (!result->told)
            result->memory = (uint32_t)logical;
        result->required = (uint32_t)logical;
        result->told = true;
    }
    if (ioctl(fd, BLKPBSZGET, &physical) == 0 && plausible(physical))
        result->preferred = physical;
}

static int alignment_of_regular(int fd, const struct stat *status, const struct statx_reply *reply,
                                struct alignment *result)
{
    uint32_t physical = physical_sector_of(status->st_dev);

    if (takes_none(reply))
        return -EINVAL;
    if (physical != 0)
        result->preferred = physical;
    result->emulated = copies(fd, result->told);
    return 0;
}

/* A driver whose sectors are pages may count its memory in pages, whatever its limits say: zram of
 * Linux 6.18 takes reads into memory aligned to 512 bytes and writes a page beyond it. */
static uint32_t trusted_memory(const struct alignment *alignment)
{
    const uint32_t page = 4096;

    return alignment->required >= page && alignment->memory < page ? page : alignment->memory;
}

int alignment_of_file(int fd, const struct stat *status, struct alignment *result)
{
    struct statx_reply reply;
    int error = 0;

    *result = (struct alignment){.memory = ALIGNMENT_FALLBACK,
                                 .required = ALIGNMENT_FALLBACK,
                                 .preferred = ALIGNMENT_FALLBACK};
    ask_statx(fd, &reply);
    believe_alignments(&reply, result);
    believe_atomic(&reply, result);
    if (S_ISBLK(status->st_mode))
        alignment_of_device(fd, result);
    else
        error = alignment_of_regular(fd, status, &reply, result);
    result->read = read_alignment(&reply, result->required);
    result->memory = trusted_memory(result);
    if (result->preferred < result->required)
        result->preferred = result->required;
    return error;
}
