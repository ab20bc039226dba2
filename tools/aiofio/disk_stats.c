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

void disk_stats_stop(struct disk_stats *stats)
{
    stats->lasted_ns = clock_now_ns() - stats->start_ns;
    for (unsigned i = 0; i < stats->count; i++)
        stats->disks[i].gone = !read_counts(stats->disks[i].path, stats->disks[i].after);
}

bool disk_stats_use(const struct disk_stats *stats, unsigned number, struct disk_use *use)
{
    const struct disk *disk = &stats->disks[number];
    double elapsed_ms = (double)stats->lasted_ns / 1e6;

    for (unsigned i = 0; i < DISK_COUNTS; i++)
        use->counts[i] = disk->after[i] - disk->before[i];
    use->busy_percent = elapsed_ms > 0 ? 100 * (double)use->counts[DISK_IO_TICKS] / elapsed_ms : 0;
    if (use->busy_percent > 100)
        use->busy_percent = 100;
    return !disk->gone;
}

void disk_stats_print(const struct disk_stats *stats, FILE *out)
{
    if (stats->count)
        fputs("\nDisk stats (read/write):\n", out);
    for (unsigned i = 0; i < stats->count; i++) {
        struct disk_use use;
        const uint64_t *counts = use.counts;

        if (!disk_stats_use(stats, i, &use))
            continue;
        fprintf(out,
                "  %s: ios=%" PRIu64 "/%" PRIu64 ", merge=%" PRIu64 "/%" PRIu64 ", ticks=%" PRIu64
                "/%" PRIu64 ", in_queue=%" PRIu64 ", util=%.2f%%\n",
                stats->disks[i].name, counts[DISK_READS], counts[DISK_WRITES],
                counts[DISK_READ_MERGES], counts[DISK_WRITE_MERGES], counts[DISK_READ_TICKS],
                counts[DISK_WRITE_TICKS], counts[DISK_QUEUE_TICKS], use.busy_percent);
    }
}

void disk_stats_free(struct disk_stats *stats)
{
    free(stats->disks);
    *stats = (struct disk_stats){0};
}
