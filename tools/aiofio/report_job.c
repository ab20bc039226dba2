/* SPDX-License-Identifier: MIT */
#include "report_job.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "report_lines.h"
#include "units.h"

/* In the order in which they are reported. */
static const struct {
    unsigned part;
    const char *name;
} parts[] = {
    {DIRECTION_READ, "read"},
    {DIRECTION_WRITE, "write"},
    {PART_MIXED, "mixed"},
    {DIRECTION_VERIFY, "verify"},
};

static void print_heading(FILE *out, const struct report_entry *entry)
{
    const struct worker *first = entry->first;
    const struct job_options *options = first->job->options;
    time_t now = time(NULL);
    char when[32];

    ctime_r(&now, when);
    fprintf(out, "%s: (groupid=%u, jobs=%u): err=%2d", options->name, first->job->group,
            entry->jobs, entry->failed ? entry->failed->error.number : 0);
    if (entry->failed) {
        const struct job_error *error = &entry->failed->error;

        fprintf(out, " (file=%s, func=%s, offset=%" PRIu64 ", error=%s)",
                error->path ? error->path : entry->failed->job->target->path, error->operation,
                error->offset, error->text);
    }
    /* ctime_r() ends the line. */
    fprintf(out, ": pid=%d: %s", (int)first->thread_id, when);
    if (options->description)
        fprintf(out, "  Description  : [%s]\n", options->description);
}

static void print_latencies(FILE *out, const struct direction_stats *stats,
                            const struct job_options *options, const struct percentile_list *list)
{
    const struct {
        const char *label;
        const struct moments *moments;
        const struct histogram *histogram;
        bool percentiles;
    } rows[] = {
        {"slat", &stats->slat, &stats->slat_histogram, options->slat_percentiles},
        {"clat", &stats->clat, &stats->clat_histogram, options->clat_percentiles},
        {"lat", &stats->lat, &stats->lat_histogram, options->lat_percentiles},
    };

    for (unsigned i = stats->has_slat ? 0 : 1; i < 3; i++)
        if (rows[i].moments->count)
            report_moments(out, i == 2 ? " lat" : rows[i].label, rows[i].moments);
    for (unsigned i = stats->has_slat ? 0 : 1; i < 3; i++)
        if (rows[i].moments->count && rows[i].percentiles)
            report_percentiles(out, rows[i].label, rows[i].histogram, list);
}

static void print_part(FILE *out, const struct report_entry *entry, const char *name, unsigned part)
{
    const struct direction_stats *stats = report_stats(entry, part);
    const struct job_options *options = entry->first->job->options;
    const struct window_averages averages = {
        .bandwidth_ns = options->bwavgtime_us * 1000,
        .iops_ns = options->iopsavgtime_us * 1000,
        .all_bytes_per_s = entry->group_bytes_per_s[part],
    };
    char text[UNITS_TEXT];

    fprintf(out, "  %s: IOPS=%s, BW=", name,
            units_print_count(text,
                              report_rate_of((double)stats->total.operations, stats->runtime_ns)));
    report_rate(out, report_rate_of((double)stats->total.bytes, stats->runtime_ns));
    fprintf(out, "(%s/%" PRIu64 "msec)\n", units_print_binary(text, (double)stats->total.bytes),
            stats->runtime_ns / 1000000);
    print_latencies(out, stats, options, &entry->percentiles);
    report_windows(out, &stats->series, &averages);
}

static void print_paced(FILE *out, const struct report_entry *entry,
                        const struct paced_stats *stats)
{
    if (stats->lat.count == 0)
        return;
    report_moments(out, "intended start to end", &stats->lat);
    report_percentiles(out, "intended start to end", &stats->lat_histogram, &entry->percentiles);
    fprintf(out, "    started more than 1 msec late: %" PRIu64 " of %" PRIu64 "\n", stats->late,
            stats->lat.count);
}

static void print_syncs(FILE *out, const struct report_entry *entry)
{
    const struct direction_stats *stats = &entry->stats->directions[DIRECTION_SYNC];

    if (stats->total.operations == 0)
        return;
    fputs("  fsync/fdatasync/sync_file_range:\n", out);
    report_moments(out, "sync", &stats->lat);
    report_percentiles(out, "sync", &stats->lat_histogram, &entry->percentiles);
}

static void print_cpu(FILE *out, const struct job_stats *stats)
{
    double elapsed_us = (double)stats->elapsed_ns / 1000;
    double user = elapsed_us > 0 ? 100 * (double)stats->user_us / elapsed_us : 0;
    double system = elapsed_us > 0 ? 100 * (double)stats->system_us / elapsed_us : 0;

    fprintf(out,
            "  cpu          : usr=%.2f%%, sys=%.2f%%, ctx=%" PRIu64 ", majf=%" PRIu64
            ", minf=%" PRIu64 "\n",
            user, system, stats->context_switches, stats->major_faults, stats->minor_faults);
}

static void print_bins(FILE *out, const char *label, const char *const *names, const uint64_t *bins,
                       unsigned count)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < count; i++)
        total += bins[i];
    fprintf(out, "%s: ", label);
    for (unsigned i = 0; i < count; i++) {
        double percent = total ? 100 * (double)bins[i] / (double)total : 0;

        /* As in fio: what happened at all is never shown as zero. */
        if (bins[i] && percent < 0.1)
            percent = 0.1;
        fprintf(out, "%s%s=%.1f%%", i ? ", " : "", names[i], percent);
    }
    fputc('\n', out);
}

static void print_depths(FILE *out, const struct job_stats *stats)
{
    static const char *const depths[DEPTH_BINS] = {"1", "2", "4", "8", "16", "32", ">=64"};
    static const char *const batches[BATCH_BINS] = {"0", "4", "8", "16", "32", "64", ">=64"};

    print_bins(out, "  IO depths    ", depths, stats->depth_bins, DEPTH_BINS);
    print_bins(out, "     submit    ", batches, stats->submit_bins, BATCH_BINS);
    print_bins(out, "     complete  ", batches, stats->complete_bins, BATCH_BINS);
}

static void print_issued(FILE *out, const struct report_entry *entry)
{
    const struct direction_stats *all = entry->stats->directions;

    fprintf(out,
            "     issued rwts: total=%" PRIu64 ",%" PRIu64 ",0,%" PRIu64 " short=%" PRIu64
            ",%" PRIu64 ",0,0 dropped=0,0,0,0\n",
            all[DIRECTION_READ].total.operations, all[DIRECTION_WRITE].total.operations,
            all[DIRECTION_SYNC].total.operations, all[DIRECTION_READ].shorts,
            all[DIRECTION_WRITE].shorts);
    fprintf(out, "     latency   : target=0, window=0, percentile=100.00%%, depth=%u\n",
            entry->first->job->depth);
}

static void print_verify(FILE *out, const struct verify_counts *counts)
{
    fprintf(out, "  verify       : blocks=%" PRIu64 ", checked=%" PRIu64 ", bad=%" PRIu64,
            counts->wanted, counts->checked, verify_bad(counts));
    for (unsigned i = BLOCK_FIRST_BAD; i < BLOCK_STATE_COUNT; i++)
        fprintf(out, ", %s=%" PRIu64, block_state_name(i), counts->states[i]);
    fputc('\n', out);
}

void report_entry_print(FILE *out, const struct report_entry *entry)
{
    const struct job_stats *stats = entry->stats;
    struct histogram all;

    print_heading(out, entry);
    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!report_stats(entry, parts[i].part)->total.operations ||
            !report_wants(entry->first->job->options, parts[i].part))
            continue;
        print_part(out, entry, parts[i].name, parts[i].part);
        if ((unsigned)parts[i].part < PACED_DIRECTIONS)
            print_paced(out, entry, &stats->paced[parts[i].part]);
    }
    job_stats_lat(stats, &all);
    report_distribution(out, &all);
    print_syncs(out, entry);
    print_cpu(out, stats);
    print_depths(out, stats);
    print_issued(out, entry);
    if (entry->first->job->verifies)
        print_verify(out, &entry->verify);
}
