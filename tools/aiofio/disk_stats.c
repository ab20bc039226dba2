/* SPDX-License-Identifier: MIT */
#include "disk_stats.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "clock.h"

static bool read_counts(const char *path, uint64_t counts[DISK_COUNTS])
{
    FILE *stream = fopen(path, "re");
    bool complete = true;

    if (!stream)
        return false;
    for (unsigned i = 0; i < DISK_COUNTS && complete; i++)
        complete = fscanf(stream, "%" SCNu64, &counts[i]) == 1;
    fclose(stream);
    return complete;
}

static void add_disk(struct disk_stats *stats, dev_t device)
{
    struct disk disk = {.name = ""};
    char real[PATH_MAX];

    snprintf(disk.path, sizeof(disk.path), "/sys/dev/block/%u:%u", major(device), minor(device));
    if (!realpath(disk.path, real))
        return;
    snprintf(disk.name, sizeof(disk.name), "%s", strrchr(real, '/') + 1);
    for (unsigned i = 0; i < stats->count; i++)
        if (strcmp(stats->disks[i].name, disk.name) == 0)
            return;
    snprintf(disk.path, sizeof(disk.path), "/sys/dev/block/%u:%u/stat", major(device),
             minor(device));
    if (!read_counts(disk.path, disk.before))
        return;
    stats->disks = must_grow(stats->disks, stats->count + 1, sizeof(*stats->disks));
    stats->disks[stats->count++] = disk;
}

void disk_stats_start(struct disk_stats *stats, const struct target_set *files)
{
    *stats = (struct disk_stats){.start_ns = clock_now_ns()};
    for (unsigned i = 0; i < files->count; i++) {
        struct stat status;

        if (stat(files->targets[i]->path, &status) == 0)
            add_disk(stats, S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev);
    }
}

void disk_stats_print(const struct disk_stats *stats, FILE *out)
{
    double elapsed_ms = (double)(clock_now_ns() - stats->start_ns) / 1e6;

    if (stats->count)
        fputs("\nDisk stats (read/write):\n", out);
    for (unsigned i = 0; i < stats->count; i++) {
        const struct disk *disk = &stats->disks[i];
        uint64_t now[DISK_COUNTS];
        double busy;

        if (!read_counts(disk->path, now))
            continue;
        for (unsigned k = 0; k < DISK_COUNTS; k++)
            now[k] -= disk->before[k];
        busy = elapsed_ms > 0 ? 100 * (double)now[DISK_IO_TICKS] / elapsed_ms : 0;
        fprintf(out,
                "  %s: ios=%" PRIu64 "/%" PRIu64 ", merge=%" PRIu64 "/%" PRIu64 ", ticks=%" PRIu64
                "/%" PRIu64 ", in_queue=%" PRIu64 ", util=%.2f%%\n",
                disk->name, now[DISK_READS], now[DISK_WRITES], now[DISK_READ_MERGES],
                now[DISK_WRITE_MERGES], now[DISK_READ_TICKS], now[DISK_WRITE_TICKS],
                now[DISK_QUEUE_TICKS], busy > 100 ? 100 : busy);
    }
}

void disk_stats_free(struct disk_stats *stats)
{
    free(stats->disks);
    *stats = (struct disk_stats){0};
}
