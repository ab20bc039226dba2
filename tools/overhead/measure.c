/* SPDX-License-Identifier: MIT */
/*
 * measure.c - the rounds of a row.
 *
 * Each round runs three loops: by hand, through the library, by hand again. Its ratio is that of
 * the library to the mean of the two beside it, so that what the machine does slower and slower (or
 * faster) for a while falls out.
 *
 * The noise of a row is what the same rounds make of the second loop by hand over the first, which
 * should be 1: the quartile that is further from 1, as its distance. In a quarter to a half of the
 * rounds the machine alone moved a ratio by that much. It is the spread of single rounds, and so
 * more than the error of their median: a median that is beyond its budget by more than the noise is
 * no accident. (Of ROW_BEYOND: microseconds, and the distance from 0.)
 */
#include <stdlib.h>

#include "rows.h"

#define THREADS_MAX 8u

struct thread_run {
    pthread_t thread;
    struct bench *bench;
    bench_loop loop;
    unsigned depth;
    uint64_t seed;
    int64_t time_ns;
};

static void *thread_body(void *argument)
{
    struct thread_run *run = argument;

    run->time_ns = run->loop(run->bench, run->depth, run->seed);
    return NULL;
}

static unsigned threads_of(const struct row *row)
{
    return row->threads > 0 ? row->threads : 1;
}

/* They begin together, and the last one tells the time. */
double run_loop(struct bench *bench, const struct row *row, bench_loop loop, uint64_t seed)
{
    struct thread_run runs[THREADS_MAX];
    unsigned threads = threads_of(row);
    int64_t time_ns = 0;

    bench->engine = row->engine != 0 ? row->engine : AIO_ENGINE_KAIO;
    bench->queue_flags = row->queue_flags;
    atomic_store(&bench->began_ns, 0);
    must(pthread_barrier_init(&bench->ready, NULL, threads), 0, "pthread_barrier_init");
    for (unsigned index = 0; index < threads; index++) {
        runs[index] = (struct thread_run){0, bench, loop, row->depth, seed + index, 0};
        must(pthread_create(&runs[index].thread, NULL, thread_body, &runs[index]), 0, "thread");
    }
    for (unsigned index = 0; index < threads; index++) {
        pthread_join(runs[index].thread, NULL);
        if (runs[index].time_ns > time_ns)
            time_ns = runs[index].time_ns;
    }
    pthread_barrier_destroy(&bench->ready);
    if (row->kind == ROW_BEYOND)
        return (double)time_ns / row->depth;
    return (double)time_ns / bench->count / threads;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

struct quartiles {
    double q1;
    double median;
    double q3;
};

/* Sorts the values. */
static struct quartiles quartiles_of(double *values, unsigned count)
{
    qsort(values, count, sizeof(values[0]), compare_doubles);
    return (struct quartiles){values[count / 4], values[count / 2], values[count * 3 / 4]};
}

/* What a row is about, of two times. */
static double compare(const struct row *row, double by_hand, double by_handle)
{
    switch (row->kind) {
    case ROW_RATE:
        return by_hand / by_handle;
    case ROW_BEYOND:
        return (by_handle - by_hand) / 1e3;
    default:
        return by_handle / by_hand;
    }
}

/* The noise of a ratio is a share of it. */
static enum verdict verdict_of(const struct result *result)
{
    const struct row *row = result->row;
    double noise = row->kind == ROW_BEYOND ? result->noise : row->budget * result->noise;
    double beyond =
        row->kind == ROW_RATE ? row->budget - result->median : result->median - row->budget;

    if (row->budget <= 0)
        return VERDICT_NONE;
    if (beyond <= 0)
        return VERDICT_MET;
    return beyond <= noise ? VERDICT_WITHIN_NOISE : VERDICT_MISSED;
}

static void share(struct bench *bench, const struct row *row)
{
    bench->engine = row->engine != 0 ? row->engine : AIO_ENGINE_KAIO;
    bench->queue_flags = row->queue_flags;
    raw_share(bench, row->depth * threads_of(row));
    handle_share(bench, row->depth * threads_of(row));
}

static double larger_distance(double a, double b, double from)
{
    double of_a = a < from ? from - a : a - from;
    double of_b = b < from ? from - b : b - from;

    return of_a > of_b ? of_a : of_b;
}

static struct result summarize(const struct row *row, double *values, double *twice, double *raw_ns,
                               unsigned rounds)
{
    struct quartiles value = quartiles_of(values, rounds);
    struct quartiles noise = quartiles_of(twice, rounds);
    struct result result = {.row = row, .median = value.median, .q1 = value.q1, .q3 = value.q3};

    result.noise = larger_distance(noise.q1, noise.q3, row->kind == ROW_BEYOND ? 0 : 1);
    result.raw_ns = quartiles_of(raw_ns, rounds).median;
    result.verdict = verdict_of(&result);
    return result;
}

struct result measure_row(struct bench *bench, const struct row *row, unsigned rounds)
{
    double values[ROUNDS_MAX];
    double twice[ROUNDS_MAX];
    double raw_ns[ROUNDS_MAX];
    struct row possible = *row;

    if (row->kind == ROW_BEYOND)
        possible.depth = opens_possible(row->depth);
    if (row->shared)
        share(bench, row);
    for (unsigned round = 0; round < rounds; round++) {
        double before = run_loop(bench, &possible, row->by_hand, round);
        double by_handle = run_loop(bench, &possible, row->by_handle, round);
        double after = run_loop(bench, &possible, row->by_hand, round);

        raw_ns[round] = (before + after) / 2;
        values[round] = compare(row, raw_ns[round], by_handle);
        twice[round] = compare(row, before, after);
    }
    if (row->shared) {
        handle_unshare(bench);
        raw_unshare(bench);
    }
    return summarize(row, values, twice, raw_ns, rounds);
}
