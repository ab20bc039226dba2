/* SPDX-License-Identifier: MIT */
/*
 * rows.h - what is compared, how it is measured, and how it is printed.
 */
#ifndef AIOFILE_OVERHEAD_ROWS_H
#define AIOFILE_OVERHEAD_ROWS_H

#include <stdbool.h>
#include <time.h>

#include "overhead.h"

#define ROUNDS_MAX 101u

enum row_kind {
    ROW_TIME = 0, /* the library's time as a multiple of that by hand */
    ROW_RATE,     /* the library's transfers per second, likewise */
    ROW_BEYOND,   /* microseconds for each file beyond those by hand */
};

struct row {
    const char *name;
    bench_loop by_hand;
    bench_loop by_handle;
    enum row_kind kind;
    unsigned depth;         /* transfers in flight; 0: blocking calls; of ROW_BEYOND: files */
    unsigned threads;       /* each runs the loop; 0: one */
    bool shared;            /* by the threads: a context, a queue */
    double budget;          /* the most of a time, the least of a rate; 0: none */
    enum aio_engine engine; /* 0: kernel AIO */
    uint32_t queue_flags;
};

/* Without and with --write. */
extern const struct row read_rows[];
extern const unsigned read_row_count;
extern const struct row write_rows[];
extern const unsigned write_row_count;

/* For callgrind and strace: one loop by its name, nothing beside it; NULL: no such name. The
 * library's is in by_handle, the one that it is compared with has a name of its own. */
const struct row *row_only(const char *name);

enum verdict {
    VERDICT_NONE = 0,     /* no budget */
    VERDICT_MET,          /* the median is within the budget */
    VERDICT_WITHIN_NOISE, /* it is not, but by no more than the row's noise */
    VERDICT_MISSED,
};

struct result {
    const struct row *row;
    double median; /* of the rounds' ratios, or microseconds; with the quartiles */
    double q1;
    double q3;
    double noise;  /* of one round: see measure.c */
    double raw_ns; /* by hand, for each transfer or file; the median */
    enum verdict verdict;
};

/* Runs a loop in the row's threads. Returns nanoseconds for each transfer. */
double run_loop(struct bench *bench, const struct row *row, bench_loop loop, uint64_t seed);

struct result measure_row(struct bench *bench, const struct row *row, unsigned rounds);

struct report {
    const struct bench *bench;
    const char *path;
    time_t began;
    unsigned rounds;
    bool writes;
};

void report_begin(const struct report *report);
void report_row(const struct result *result);
void report_json(const struct report *report, const struct result *results, unsigned count);

#endif
