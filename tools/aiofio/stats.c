/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

#include "text.h"

void moments_merge(struct moments *to, const struct moments *from)
{
    to->count += from->count;
    if (from->inverted_min > to->inverted_min)
        to->inverted_min = from->inverted_min;
    if (from->max > to->max)
        to->max = from->max;
    to->sum += from->sum;
    to->sum_of_squares += from->sum_of_squares;
}

double moments_mean(const struct moments *moments)
{
    return moments->count ? (double)moments->sum / (double)moments->count : 0;
}

double moments_deviation(const struct moments *moments)
{
    double mean = moments_mean(moments);
    double variance;

    if (moments->count < 2)
        return 0;
    variance =
        (moments->sum_of_squares - mean * (double)moments->sum) / (double)(moments->count - 1);
    return variance > 0 ? sqrt(variance) : 0;
}

void window_series_start(struct window_series *series, uint64_t start_ns, uint64_t window_ns)
{
    series->window_ns = window_ns;
    series->start_ns = start_ns;
}

void window_series_free(struct window_series *series)
{
    free(series->windows);
    *series = (struct window_series){0};
}

static void append_window(struct window_series *series, struct window window)
{
    if (series->count == series->room) {
        series->room = series->room ? 2 * series->room : 64;
        series->windows = must_grow(series->windows, series->room, sizeof(*series->windows));
    }
    series->windows[series->count++] = window;
}

void window_series_advance(struct window_series *series, uint64_t now_ns,
                           const struct window *total)
{
    while (now_ns - series->start_ns >= (series->count + 1) * series->window_ns) {
        append_window(series, (struct window){
                                  .operations = total->operations - series->closed.operations,
                                  .bytes = total->bytes - series->closed.bytes,
                              });
        series->closed = *total;
    }
}

void window_series_end(struct window_series *series, uint64_t now_ns, const struct window *total)
{
    uint64_t elapsed_ns = now_ns - series->start_ns;

    window_series_advance(series, now_ns, total);
    if (series->count == 0 && total->operations && elapsed_ns) {
        double scale = (double)series->window_ns / (double)elapsed_ns;

        append_window(series, (struct window){
                                  .operations = (uint64_t)((double)total->operations * scale),
                                  .bytes = (uint64_t)((double)total->bytes * scale),
                              });
    }
}

void window_series_merge(struct window_series *to, const struct window_series *from)
{
    if (from->count)
        to->window_ns = from->window_ns;
    while (to->count < from->count)
        append_window(to, (struct window){0});
    for (size_t i = 0; i < from->count; i++) {
        to->windows[i].operations += from->windows[i].operations;
        to->windows[i].bytes += from->windows[i].bytes;
    }
}

struct window_summary window_series_summarise(const struct window_series *series, uint64_t avg_ns,
                                              enum window_value value, enum window_choice choice)
{
    struct window_summary summary = {.min = INFINITY};
    size_t step = series->window_ns ? avg_ns / series->window_ns : 1;
    double sum = 0;
    double sum_of_squares = 0;

    /* A run that is shorter than the average's time counts as if it were as long. */
    if (step > series->count)
        step = series->count;
    for (size_t at = 0; step && at + step <= series->count; at += step) {
        struct window window = {0};
        double rate;

        for (size_t i = at; i < at + step; i++) {
            window.operations += series->windows[i].operations;
            window.bytes += series->windows[i].bytes;
        }
        if (choice == WINDOWS_BUSY && window.operations == 0)
            continue;
        rate = value == WINDOW_BANDWIDTH ? (double)window.bytes / 1024 : (double)window.operations;
        rate *= 1e9 / ((double)step * (double)series->window_ns);
        summary.min = fmin(summary.min, rate);
        summary.max = fmax(summary.max, rate);
        sum += rate;
        sum_of_squares += rate * rate;
        summary.samples++;
    }
    if (summary.samples == 0)
        return (struct window_summary){0};
    summary.mean = sum / (double)summary.samples;
    if (summary.samples > 1)
        summary.deviation =
            sqrt(fmax(0, (sum_of_squares - summary.mean * sum) / (double)(summary.samples - 1)));
    return summary;
}

struct job_stats *job_stats_new(void)
{
    return must_alloc(1, sizeof(struct job_stats));
}

void job_stats_free(struct job_stats *stats)
{
    if (!stats)
        return;
    for (unsigned i = 0; i < DIRECTION_COUNT; i++)
        window_series_free(&stats->directions[i].series);
    free(stats);
}

void job_stats_lat(const struct job_stats *stats, struct histogram *all)
{
    *all = (struct histogram){{0}};
    for (unsigned i = DIRECTION_READ; i <= DIRECTION_WRITE; i++)
        histogram_merge(all, &stats->directions[i].lat_histogram);
}

static void forget(struct moments *moments, struct histogram *histogram)
{
    *moments = (struct moments){0};
    *histogram = (struct histogram){{0}};
}

void job_stats_disable(struct job_stats *stats, struct stats_disabled disabled)
{
    for (unsigned i = DIRECTION_READ; i <= DIRECTION_WRITE; i++) {
        struct direction_stats *direction = &stats->directions[i];

        if (disabled.slat)
            forget(&direction->slat, &direction->slat_histogram);
        if (disabled.clat)
            forget(&direction->clat, &direction->clat_histogram);
        if (disabled.lat)
            forget(&direction->lat, &direction->lat_histogram);
        if (disabled.bandwidth)
            window_series_free(&direction->series);
    }
}

void job_stats_restart(struct job_stats *stats, uint64_t now_ns)
{
    bool has_slat[DIRECTION_COUNT];
    uint64_t window_ns[DIRECTION_COUNT];

    for (unsigned i = 0; i < DIRECTION_COUNT; i++) {
        has_slat[i] = stats->directions[i].has_slat;
        window_ns[i] = stats->directions[i].series.window_ns;
        window_series_free(&stats->directions[i].series);
    }
    *stats = (struct job_stats){0};
    for (unsigned i = 0; i < DIRECTION_COUNT; i++) {
        stats->directions[i].has_slat = has_slat[i];
        window_series_start(&stats->directions[i].series, now_ns, window_ns[i]);
    }
}

/* The least n for which 2^n >= count. */
static unsigned power_above(unsigned count)
{
    return count <= 1 ? 0 : 32 - (unsigned)__builtin_clz(count - 1);
}

void job_stats_depth(struct job_stats *stats, unsigned depth, unsigned count)
{
    /* Whole powers, rounded down: 3 operations in flight count as 2, 64 and more as the last. */
    unsigned bin = 31 - (unsigned)__builtin_clz(depth | 1);

    stats->depth_bins[bin < DEPTH_BINS ? bin : DEPTH_BINS - 1] += count;
}

static unsigned batch_bin(unsigned count)
{
    unsigned power = power_above(count);

    if (count == 0)
        return 0;
    if (power <= 2)
        return 1;
    return power - 1 < BATCH_BINS ? power - 1 : BATCH_BINS - 1;
}

void job_stats_submit(struct job_stats *stats, unsigned count)
{
    stats->submit_bins[batch_bin(count)]++;
}

void job_stats_complete(struct job_stats *stats, unsigned count)
{
    stats->complete_bins[batch_bin(count)]++;
}

void direction_stats_merge(struct direction_stats *to, const struct direction_stats *from)
{
    to->total.operations += from->total.operations;
    to->total.bytes += from->total.bytes;
    to->shorts += from->shorts;
    if (from->runtime_ns > to->runtime_ns)
        to->runtime_ns = from->runtime_ns;
    to->has_slat = to->has_slat || from->has_slat;
    moments_merge(&to->slat, &from->slat);
    moments_merge(&to->clat, &from->clat);
    moments_merge(&to->lat, &from->lat);
    histogram_merge(&to->slat_histogram, &from->slat_histogram);
    histogram_merge(&to->clat_histogram, &from->clat_histogram);
    histogram_merge(&to->lat_histogram, &from->lat_histogram);
    window_series_merge(&to->series, &from->series);
}

void job_stats_merge(struct job_stats *to, const struct job_stats *from)
{
    for (unsigned i = 0; i < DIRECTION_COUNT; i++)
        direction_stats_merge(&to->directions[i], &from->directions[i]);
    for (unsigned i = 0; i < PACED_DIRECTIONS; i++) {
        moments_merge(&to->paced[i].lat, &from->paced[i].lat);
        histogram_merge(&to->paced[i].lat_histogram, &from->paced[i].lat_histogram);
        to->paced[i].late += from->paced[i].late;
    }
    for (unsigned i = 0; i < DEPTH_BINS; i++)
        to->depth_bins[i] += from->depth_bins[i];
    for (unsigned i = 0; i < BATCH_BINS; i++) {
        to->submit_bins[i] += from->submit_bins[i];
        to->complete_bins[i] += from->complete_bins[i];
    }
    to->user_us += from->user_us;
    to->system_us += from->system_us;
    to->context_switches += from->context_switches;
    to->major_faults += from->major_faults;
    to->minor_faults += from->minor_faults;
    to->elapsed_ns += from->elapsed_ns;
}
