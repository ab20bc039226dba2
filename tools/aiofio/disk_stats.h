/* SPDX-License-Identifier: MIT */
/*
 * disk_stats.h - what the kernel counted on the disks below the files while the jobs ran.
 */
#ifndef AIOFIO_DISK_STATS_H
#define AIOFIO_DISK_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "target.h"

/* The columns of /sys/block/<disk>/stat that are used. */
enum disk_count {
    DISK_READS,
    DISK_READ_MERGES,
    DISK_READ_SECTORS,
    DISK_READ_TICKS,
    DISK_WRITES,
    DISK_WRITE_MERGES,
    DISK_WRITE_SECTORS,
    DISK_WRITE_TICKS,
    DISK_INFLIGHT,
    DISK_IO_TICKS,
    DISK_QUEUE_TICKS,
    DISK_COUNTS,
};

struct disk {
    char name[64];
    char path[96];
    uint64_t before[DISK_COUNTS];
    uint64_t after[DISK_COUNTS];
    bool gone; /* it could not be read again */
};

struct disk_stats {
    struct disk *disks;
    unsigned count;
    uint64_t start_ns;
    uint64_t lasted_ns;
};

/* Reads the counts at the start; files on no disk (network, memory, btrfs) are left out. */
void disk_stats_start(struct disk_stats *stats, const struct target_set *files);

/* Reads them again when the jobs have ended. */
void disk_stats_stop(struct disk_stats *stats);

/* What happened on a disk in between. */
struct disk_use {
    uint64_t counts[DISK_COUNTS];
    double busy_percent;
};

/* false: the disk is gone. */
bool disk_stats_use(const struct disk_stats *stats, unsigned number, struct disk_use *use);
void disk_stats_print(const struct disk_stats *stats, FILE *out);

void disk_stats_free(struct disk_stats *stats);

#endif
