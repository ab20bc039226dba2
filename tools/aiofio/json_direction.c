/* SPDX-License-Identifier: MIT */
#include "json_direction.h"

#include <math.h>

#include "clock.h"

/* Percentiles and, if asked for, counts: objects with a member for each. */
static void put_histogram(json_t *object, const struct histogram *histogram,
                          const struct percentile_list *list, bool bins)
{
    json_t *percentiles = json_object();
    char key[32];

    for (unsigned i = 0; i < list->count; i++) {
        snprintf(key, sizeof(key), "%f", list->percents[i]);
        json_put_count(percentiles, key, histogram_percentile(histogram, list->percents[i]));
    }
    json_put(object, "percentile", percentiles);
    if (bins) {
        json_t *counts = json_object();

        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
            if (histogram->buckets[i] == 0)
                continue;
            snprintf(key, sizeof(key), "%llu", (unsigned long long)histogram_value(i));
            json_put_count(counts, key, histogram->buckets[i]);
        }
        json_put(object, "bins", counts);
    }
}

/* histogram NULL: no percentiles were asked for. */
static json_t *latency(const struct moments *moments, const struct histogram *histogram,
                       const struct percentile_list *list, bool bins)
{
    json_t *object = json_object();

    json_put_count(object, "min", moments_min(moments));
    json_put_count(object, "max", moments->max);
    json_put_real(object, "mean", moments_mean(moments));
    json_put_real(object, "stddev", moments_deviation(moments));
    json_put_count(object, "N", moments->count);
    if (histogram && moments->count)
        put_histogram(object, histogram, list, bins);
    return object;
}

static void put_latencies(json_t *object, const struct report_entry *entry,
                          const struct direction_stats *stats, bool bins)
{
    const struct job_options *options = entry->first->job->options;
    const struct percentile_list *list = &entry->percentiles;

    json_put(object, "slat_ns",
             latency(&stats->slat, options->slat_percentiles ? &stats->slat_histogram : NULL, list,
                     bins));
    json_put(object, "clat_ns",
             latency(&stats->clat, options->clat_percentiles ? &stats->clat_histogram : NULL, list,
                     bins));
    json_put(
        object, "lat_ns",
        latency(&stats->lat, options->lat_percentiles ? &stats->lat_histogram : NULL, list, bins));
}

static void put_windows(json_t *object, const struct report_entry *entry,
                        const struct direction_stats *stats, double group_bytes_per_s)
{
    const struct job_options *options = entry->first->job->options;
    struct window_summary bandwidth = window_series_summarise(
        &stats->series, options->bwavgtime_us * NS_PER_US, WINDOW_BANDWIDTH, WINDOWS_BUSY);
    struct window_summary iops = window_series_summarise(
        &stats->series, options->iopsavgtime_us * NS_PER_US, WINDOW_IOPS, WINDOWS_BUSY);
    double share = group_bytes_per_s > 0 ? 100 * 1024 * bandwidth.mean / group_bytes_per_s : 0;

    json_put_count(object, "bw_min", (uint64_t)bandwidth.min);
    json_put_count(object, "bw_max", (uint64_t)bandwidth.max);
    json_put_real(object, "bw_agg", fmin(share, 100));
    json_put_real(object, "bw_mean", bandwidth.mean);
    json_put_real(object, "bw_dev", bandwidth.deviation);
    json_put_count(object, "bw_samples", bandwidth.samples);
    json_put_count(object, "iops_min", (uint64_t)iops.min);
    json_put_count(object, "iops_max", (uint64_t)iops.max);
    json_put_real(object, "iops_mean", iops.mean);
    json_put_real(object, "iops_stddev", iops.deviation);
    json_put_count(object, "iops_samples", iops.samples);
}

json_t *json_direction(const struct report_entry *entry, unsigned part, bool bins)
{
    const struct direction_stats *stats = report_stats(entry, part);
    /* As in fio: what did not happen took no time. */
    uint64_t runtime_ns = stats->total.operations ? stats->runtime_ns : 0;
    double bytes_per_s = report_rate_of((double)stats->total.bytes, runtime_ns);
    json_t *object = json_object();

    json_put_count(object, "io_bytes", stats->total.bytes);
    json_put_count(object, "io_kbytes", stats->total.bytes / 1024);
    json_put_count(object, "bw_bytes", (uint64_t)bytes_per_s);
    json_put_count(object, "bw", (uint64_t)bytes_per_s / 1024);
    json_put_real(object, "iops", report_rate_of((double)stats->total.operations, runtime_ns));
    json_put_count(object, "runtime", runtime_ns / NS_PER_MS);
    json_put_count(object, "total_ios", stats->total.operations);
    json_put_count(object, "short_ios", stats->shorts);
    json_put_count(object, "drop_ios", 0);
    put_latencies(object, entry, stats, bins);
    put_windows(object, entry, stats, entry->group_bytes_per_s[part]);
    return object;
}

json_t *json_sync(const struct report_entry *entry, bool bins)
{
    const struct direction_stats *stats = &entry->stats->directions[DIRECTION_SYNC];
    json_t *object = json_object();

    json_put_count(object, "total_ios", stats->total.operations);
    json_put(object, "lat_ns",
             latency(&stats->lat, &stats->lat_histogram, &entry->percentiles, bins));
    return object;
}

json_t *json_windows(const struct report_entry *entry, unsigned direction)
{
    const struct window_series *series = &entry->stats->directions[direction].series;
    const struct job_options *options = entry->first->job->options;
    struct window_summary bandwidth = window_series_summarise(
        series, options->bwavgtime_us * NS_PER_US, WINDOW_BANDWIDTH, WINDOWS_ALL);
    struct window_summary iops = window_series_summarise(
        series, options->iopsavgtime_us * NS_PER_US, WINDOW_IOPS, WINDOWS_ALL);
    struct window_summary busy = window_series_summarise(
        series, options->iopsavgtime_us * NS_PER_US, WINDOW_IOPS, WINDOWS_BUSY);
    json_t *object = json_object();

    json_put_count(object, "samples", iops.samples);
    json_put_count(object, "empty_samples", iops.samples - busy.samples);
    json_put_real(object, "bw_min", bandwidth.min);
    json_put_real(object, "bw_max", bandwidth.max);
    json_put_real(object, "bw_mean", bandwidth.mean);
    json_put_real(object, "bw_stddev", bandwidth.deviation);
    json_put_real(object, "iops_min", iops.min);
    json_put_real(object, "iops_max", iops.max);
    json_put_real(object, "iops_mean", iops.mean);
    json_put_real(object, "iops_stddev", iops.deviation);
    return object;
}
