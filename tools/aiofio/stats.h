/* SPDX-License-Identifier: MIT */
/*
 * stats.h - what a job measured. Written by the job's thread alone; read when it has ended.
 */
#ifndef AIOFIO_STATS_H
#define AIOFIO_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

/* The kinds of operation that are measured apart. Verification is no part of the reads. */
enum direction { DIRECTION_READ, DIRECTION_WRITE, DIRECTION_VERIFY, DIRECTION_SYNC };

#define DIRECTION_COUNT 4
#define DIRECTION_DATA_COUNT 3 /* those that move data */

/* All zeros is a good beginning, and adding takes no branch: hence the complement. */
struct moments {
    uint64_t count;
    uint64_t inverted_min; /* ~ of the least value */
    uint64_t max;
    uint64_t sum;
    double sum_of_squares;
};

/* Adds a value that came count times. */
static inline void moments_add(struct moments *moments, uint64_t value, unsigned count)
{
    double real = (double)(int64_t)value;

    moments->count += count;
    moments->inverted_min = moments->inverted_min > ~value ? moments->inverted_min : ~value;
    moments->max = moments->max > value ? moments->max : value;
    moments->sum += value * count;
    moments->sum_of_squares += real * real * count;
}

static inline uint64_t moments_min(const struct moments *moments)
{
    return moments->count ? ~moments->inverted_min : 0;
}

void moments_merge(struct moments *to, const struct moments *from);
double moments_mean(const struct moments *moments);
double moments_deviation(const struct moments *moments);

/* The window of time that fio looks at unless bwavgtime or iopsavgtime say another. */
#define WINDOW_NS 500000000ull

struct window {
    uint64_t operations;
    uint64_t bytes;
};

/* What completed in each window of time, windows without a completion included. */
struct window_series {
    uint64_t window_ns;
    struct window *windows;
    size_t count; /* complete windows */
    size_t room;
    uint64_t start_ns;
    struct window closed; /* the sum of what lies in windows */
};

void window_series_start(struct window_series *series, uint64_t start_ns, uint64_t window_ns);
void window_series_free(struct window_series *series);

/* Closes the windows that are over at now_ns; total is all that has completed until then. */
void window_series_advance(struct window_series *series, uint64_t now_ns,
                           const struct window *total);

/* Ends the series. A last, incomplete window counts only where there is no other; it is scaled to
 * a full one. */
void window_series_end(struct window_series *series, uint64_t now_ns, const struct window *total);
void window_series_merge(struct window_series *to, const struct window_series *from);

/* Whose windows count. fio leaves out those in which nothing completed, so that a stall makes its
 * averages larger and is not in its minimum. */
enum window_choice { WINDOWS_ALL, WINDOWS_BUSY };

/* Bandwidth in KiB/s, or operations per second. */
enum window_value { WINDOW_BANDWIDTH, WINDOW_IOPS };

struct window_summary {
    double min;
    double max;
    double mean;
    double deviation;
    size_t samples;
};

/* Looks at avg_ns at a time, which is a multiple of the series' windows. */
struct window_summary window_series_summarise(const struct window_series *series, uint64_t avg_ns,
                                              enum window_value value, enum window_choice choice);

struct direction_stats {
    struct window total;
    uint64_t shorts; /* transfers that moved less than asked */
    uint64_t runtime_ns;
    bool has_slat;       /* submission was measured apart */
    struct moments slat; /* prepared to submitted */
    struct moments clat; /* submitted to reaped */
    struct moments lat;  /* prepared to reaped */
    struct histogram slat_histogram;
    struct histogram clat_histogram;
    struct histogram lat_histogram;
    struct window_series series;
};

/* fio's bins: up to 1, 2, 4, 8, 16, 32, and more. */
#define DEPTH_BINS 7

/* fio's bins: 0, up to 4, 8, 16, 32, 64, and more. */
#define BATCH_BINS 7

#define PACED_DIRECTIONS 2

/* Of a job with a rate: from when an operation was to start until it was reaped. */
struct paced_stats {
    struct moments lat;
    struct histogram lat_histogram;
    uint64_t late; /* operations that started more than a millisecond late */
};

struct job_stats {
    struct direction_stats directions[DIRECTION_COUNT];
    struct paced_stats paced[PACED_DIRECTIONS];
    uint64_t depth_bins[DEPTH_BINS];
    uint64_t submit_bins[BATCH_BINS];
    uint64_t complete_bins[BATCH_BINS];
    uint64_t user_us;
    uint64_t system_us;
    uint64_t context_switches;
    uint64_t major_faults;
    uint64_t minor_faults;
    uint64_t elapsed_ns; /* of the job, verification included */
};

struct job_stats *job_stats_new(void);
void job_stats_free(struct job_stats *stats);

/* Forgets all that was counted; the series of windows begin anew at now_ns. */
void job_stats_restart(struct job_stats *stats, uint64_t now_ns);

/* Counts operations of the same latencies: clat_ns from submission to reaping, lat_ns from
 * preparation on. bytes: of all of them. */
static inline void job_stats_add(struct job_stats *stats, enum direction direction, unsigned count,
                                 uint64_t bytes, uint64_t clat_ns, uint64_t lat_ns)
{
    struct direction_stats *to = &stats->directions[direction];

    to->total.operations += count;
    to->total.bytes += bytes;
    moments_add(&to->clat, clat_ns, count);
    moments_add(&to->lat, lat_ns, count);
    histogram_add(&to->clat_histogram, clat_ns, count);
    histogram_add(&to->lat_histogram, lat_ns, count);
}

/* Counts operations that were submitted together: slat_ns from preparation to submission. */
static inline void job_stats_add_slat(struct job_stats *stats, enum direction direction,
                                      unsigned count, uint64_t slat_ns)
{
    moments_add(&stats->directions[direction].slat, slat_ns, count);
    histogram_add(&stats->directions[direction].slat_histogram, slat_ns, count);
}

/* Adds up the latencies of all that moves data for the workload, verification not included. */
void job_stats_lat(const struct job_stats *stats, struct histogram *all);

/* What of the measured is left out of reports. */
struct stats_disabled {
    bool slat;
    bool clat;
    bool lat;
    bool bandwidth;
};

/* Forgets what is disabled. The clock is read once for each batch in any case, so that there is
 * nothing to be saved while the job runs. */
void job_stats_disable(struct job_stats *stats, struct stats_disabled disabled);

/* count operations were submitted, and then depth were in flight. */
void job_stats_depth(struct job_stats *stats, unsigned depth, unsigned count);
void job_stats_submit(struct job_stats *stats, unsigned count);
void job_stats_complete(struct job_stats *stats, unsigned count);

/* Adds counts and latencies of one direction to those of another; the run time is the longer. */
void direction_stats_merge(struct direction_stats *to, const struct direction_stats *from);

/* Adds a job to its group: counts add up, run times are those of the longest. */
void job_stats_merge(struct job_stats *to, const struct job_stats *from);

#endif
