/* SPDX-License-Identifier: MIT */
/*
 * job_log.h - what a job's logs will hold: every operation, or sums over windows of time.
 *
 * Filled by the job's thread alone and in memory alone, so that writing the files disturbs nothing
 * that is measured: see log_files.h.
 */
#ifndef AIOFIO_JOB_LOG_H
#define AIOFIO_JOB_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "stats.h"

/* Only what the workload moves is logged: no syncs, no verification. */
#define LOG_DIRECTIONS 2

enum log_latency { LOG_SLAT, LOG_CLAT, LOG_LAT, LOG_LATENCIES };

/* An operation, or all of one direction that completed in a window: the values are averages. */
struct log_row {
    uint64_t time_ms; /* from the start of the job; of a window: its end */
    uint64_t offset;  /* 0 for a window */
    uint64_t value_ns[LOG_LATENCIES];
    uint64_t most_ns[LOG_LATENCIES];
    uint64_t count;
    uint64_t bytes;
    uint64_t lasted_ns; /* the window; of an operation: its clat */
    unsigned direction;
    uint32_t block; /* bytes of the operation, 0 for a window */
};

/* How many completions of one direction fell into each bucket, in one window. */
struct hist_row {
    uint64_t time_ms;
    unsigned direction;
    unsigned count;
    struct hist_bucket {
        uint32_t bucket;
        uint32_t count;
    } * buckets; /* those that are not zero */
};

/* Completions of a direction since the window began. */
struct log_window {
    uint64_t sum_ns[LOG_LATENCIES];
    uint64_t most_ns[LOG_LATENCIES];
    uint64_t count;
    uint64_t bytes;
};

#define LOG_CHUNK_ROWS 8192u

struct log_chunk {
    struct log_chunk *next;
    unsigned count;
    struct log_row rows[LOG_CHUNK_ROWS];
};

struct job_log {
    bool rows_wanted;   /* by any log but the one of histograms */
    uint64_t window_ns; /* 0: every operation */
    uint64_t hist_ns;   /* 0: no histograms */
    uint64_t start_ns;
    struct log_chunk *first;
    struct log_chunk *last;

    uint64_t window_start_ns; /* from the start of the job */
    struct log_window windows[LOG_DIRECTIONS];

    uint64_t hist_start_ns;
    struct histogram histograms[LOG_DIRECTIONS];
    struct hist_row *hist_rows;
    size_t hist_count;
    size_t hist_room;
};

/* An operation that completed. */
struct logged {
    enum direction direction;
    uint32_t block;
    uint64_t bytes;
    uint64_t offset;
    uint64_t prepared_ns;
    uint64_t submitted_ns;
    uint64_t completed_ns;
};

void job_log_add(struct job_log *log, const struct logged *operation);

/* Closes the windows that are open. */
void job_log_end(struct job_log *log, uint64_t now_ns);
void job_log_free(struct job_log *log);

#endif
