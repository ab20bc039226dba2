/* SPDX-License-Identifier: MIT */
#include "report_terse.h"

#include <aiofile/version.h>
#include <inttypes.h>
#include <math.h>

#include "clock.h"

/* In microseconds, the average with a fraction. */
static void print_moments(FILE *out, const struct moments *moments)
{
    fprintf(out, ";%" PRIu64 ";%" PRIu64 ";%f;%f", moments_min(moments) / 1000, moments->max / 1000,
            moments_mean(moments) / 1e3, moments_deviation(moments) / 1e3);
}

/* Always fio's number of fields. */
static void print_percentiles(FILE *out, const struct report_entry *entry,
                              const struct histogram *histogram)
{
    const struct percentile_list *list = &entry->percentiles;

    for (unsigned i = 0; i < PERCENTILES_MAX; i++) {
        if (i < list->count && entry->first->job->options->clat_percentiles)
            fprintf(out, ";%f%%=%" PRIu64, list->percents[i],
                    histogram_percentile(histogram, list->percents[i]) / 1000);
        else
            fputs(";0%=0", out);
    }
}

static void print_part(FILE *out, const struct report_entry *entry, unsigned part)
{
    const struct direction_stats *stats = report_stats(entry, part);
    const struct job_options *options = entry->first->job->options;
    uint64_t runtime_ns = stats->total.operations ? stats->runtime_ns : 0;
    struct window_summary bandwidth = window_series_summarise(
        &stats->series, options->bwavgtime_us * NS_PER_US, WINDOW_BANDWIDTH, WINDOWS_BUSY);
    double group = entry->group_bytes_per_s[part];
    double share = group > 0 ? fmin(100, 100 * 1024 * bandwidth.mean / group) : 0;

    fprintf(out, ";%" PRIu64 ";%.0f;%.0f;%" PRIu64, stats->total.bytes / 1024,
            floor(report_rate_of((double)stats->total.bytes, runtime_ns) / 1024),
            floor(report_rate_of((double)stats->total.operations, runtime_ns)),
            runtime_ns / 1000000);
    print_moments(out, &stats->slat);
    print_moments(out, &stats->clat);
    print_percentiles(out, entry, &stats->clat_histogram);
    print_moments(out, &stats->lat);
    fprintf(out, ";%.0f;%.0f;%f%%;%f;%f", floor(bandwidth.min), floor(bandwidth.max), share,
            bandwidth.mean, bandwidth.deviation);
}

static void print_cpu(FILE *out, const struct job_stats *stats)
{
    double elapsed_us = (double)stats->elapsed_ns / 1000;

    fprintf(out, ";%f%%;%f%%;%" PRIu64 ";%" PRIu64 ";%" PRIu64,
            elapsed_us > 0 ? 100 * (double)stats->user_us / elapsed_us : 0,
            elapsed_us > 0 ? 100 * (double)stats->system_us / elapsed_us : 0,
            stats->context_switches, stats->major_faults, stats->minor_faults);
}

static void print_depths(FILE *out, const struct job_stats *stats)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < DEPTH_BINS; i++)
        total += stats->depth_bins[i];
    for (unsigned i = 0; i < DEPTH_BINS; i++) {
        double percent = total ? 100 * (double)stats->depth_bins[i] / (double)total : 0;

        fprintf(out, ";%.1f%%", stats->depth_bins[i] && percent < 0.1 ? 0.1 : percent);
    }
}

/* Microseconds, with all that is faster in the first, then milliseconds. */
static void print_distribution(FILE *out, const struct job_stats *stats)
{
    static const uint64_t limits[] = {2, 4, 10, 20, 50, 100, 250, 500, 750, 1000, 2000};
    struct histogram all;
    uint64_t before = 0;
    double total;

    job_stats_lat(stats, &all);
    total = (double)histogram_total(&all);
    for (unsigned i = 0; i < 21; i++) {
        uint64_t limit = i < 10 ? limits[i] * NS_PER_US : limits[i - 10] * NS_PER_MS;
        uint64_t upto = histogram_below(&all, limit);

        fprintf(out, ";%.2f%%", total > 0 ? 100 * (double)(upto - before) / total : 0);
        before = upto;
    }
    fprintf(out, ";%.2f%%", total > 0 ? 100 * (total - (double)before) / total : 0);
}

static void print_disks(FILE *out, const struct disk_stats *disks)
{
    for (unsigned i = 0; i < disks->count; i++) {
        struct disk_use use;

        if (!disk_stats_use(disks, i, &use))
            continue;
        fprintf(out,
                ";%s;%" PRIu64 ";%" PRIu64 ";%" PRIu64 ";%" PRIu64 ";%" PRIu64 ";%" PRIu64
                ";%" PRIu64 ";%.2f%%",
                disks->disks[i].name, use.counts[DISK_READS], use.counts[DISK_WRITES],
                use.counts[DISK_READ_MERGES], use.counts[DISK_WRITE_MERGES],
                use.counts[DISK_READ_TICKS], use.counts[DISK_WRITE_TICKS],
                use.counts[DISK_QUEUE_TICKS], use.busy_percent);
    }
}

void report_terse_print(FILE *out, const struct report_entries *entries,
                        const struct disk_stats *disks)
{
    static const unsigned parts[] = {DIRECTION_READ, DIRECTION_WRITE, PART_MIXED};

    for (unsigned i = 0; i < entries->count; i++) {
        const struct report_entry *entry = &entries->entries[i];
        const struct plan_job *job = entry->first->job;

        fprintf(out, REPORT_MARK_TERSE "%s;%s;%u;%d", AIOFILE_VERSION, job->options->name,
                job->group, entry->failed ? entry->failed->error.number : 0);
        for (unsigned k = 0; k < sizeof(parts) / sizeof(parts[0]); k++)
            if (report_wants(job->options, parts[k]))
                print_part(out, entry, parts[k]);
        print_cpu(out, entry->stats);
        print_depths(out, entry->stats);
        print_distribution(out, entry->stats);
        print_disks(out, disks);
        if (job->options->description)
            fprintf(out, ";%s", job->options->description);
        fputc('\n', out);
    }
}
