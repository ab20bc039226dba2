/* SPDX-License-Identifier: MIT */
#include "log_files.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "job_log.h"
#include "measure.h"

enum log_kind { KIND_BANDWIDTH, KIND_IOPS, KIND_SLAT, KIND_CLAT, KIND_LAT, KIND_HISTOGRAM };

#define KINDS 6u

/* What the options say about one kind of log: its prefix, or NULL for none. "" is the name of the
 * job. */
static const char *prefix_of(const struct job_options *options, enum log_kind kind)
{
    struct stats_disabled disabled = measure_disabled(options);

    switch (kind) {
    case KIND_BANDWIDTH:
        return options->write_bw_log;
    case KIND_IOPS:
        return options->write_iops_log;
    case KIND_SLAT:
        return disabled.slat ? NULL : options->write_lat_log;
    case KIND_CLAT:
        return disabled.clat ? NULL : options->write_lat_log;
    case KIND_LAT:
        return disabled.lat ? NULL : options->write_lat_log;
    default:
        return options->write_hist_log;
    }
}

/* The path, to be freed, or NULL where there is no such log. */
static char *path_of(const struct plan_job *job, enum log_kind kind)
{
    static const char *const names[KINDS] = {"bw", "iops", "slat", "clat", "lat", "clat_hist"};
    const struct job_options *options = job->options;
    const char *prefix = prefix_of(options, kind);

    if (!prefix)
        return NULL;
    if (!*prefix)
        prefix = options->name;
    if (!options->per_job_logs)
        return must_format("%s_%s.log", prefix, names[kind]);
    return must_format("%s_%s.%u.log", prefix, names[kind], job->number + 1);
}

/* A log is empty, or begins with the digits of a time and a comma. */
static bool is_log(const char *path)
{
    FILE *file = fopen(path, "re");
    int letter;
    bool digits = false;

    if (!file)
        return errno == ENOENT;
    while ((letter = getc(file)) != EOF && isdigit(letter))
        digits = true;
    fclose(file);
    return letter == EOF || (digits && letter == ',');
}

/* Where a log can't be made it is better said before hours of work than after them. */
static bool has_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? must_copy(path) : must_copy(".");
    bool writable;

    if (slash)
        folder[slash - path + 1] = '\0';
    writable = access(folder, W_OK | X_OK) == 0;
    free(folder);
    return writable;
}

static int check_path(const struct plan_job *job, const char *path, bool force,
                      struct message *message)
{
    if (!has_folder(path))
        return message_set(message,
                           "write_*_log of job '%s': the folder of '%s': %s; make it, or "
                           "give another prefix",
                           job->options->name, path, strerror(errno));
    if (!force && !is_log(path))
        return message_set(message,
                           "write_*_log of job '%s': '%s' is there and is no log; nothing was "
                           "touched. Give another prefix, or allow it with --force",
                           job->options->name, path);
    return 0;
}

int log_files_check(const struct plan *plan, bool force, struct message *message)
{
    int result = 0;

    for (unsigned i = 0; i < plan->job_count && result == 0; i++) {
        for (unsigned kind = 0; kind < KINDS && result == 0; kind++) {
            char *path = path_of(&plan->jobs[i], kind);

            if (path)
                result = check_path(&plan->jobs[i], path, force, message);
            free(path);
        }
    }
    return result;
}

void log_files_note(struct job_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->jobs[i].write_hist_log && list->jobs[i].log_hist_us == 0)
            job_list_note(list, list->jobs[i].name,
                          "write_hist_log stays empty without log_hist_msec: give it a time, as "
                          "log_hist_msec=1000");
}

struct job_log *log_files_begin(const struct job_options *options)
{
    struct job_log *log;

    if (!options->write_bw_log && !options->write_iops_log && !options->write_lat_log &&
        !options->write_hist_log)
        return NULL;
    log = must_alloc(1, sizeof(*log));
    log->rows_wanted = options->write_bw_log || options->write_iops_log || options->write_lat_log;
    log->window_ns = options->log_avg_us * NS_PER_US;
    log->hist_ns = options->write_hist_log ? options->log_hist_us * NS_PER_US : 0;
    return log;
}

/* The value of a row. fio's bandwidth of a single operation is in bytes for each millisecond, that
 * of a window in KiB for each second. */
static uint64_t value_of(const struct log_row *row, enum log_kind kind, bool windowed)
{
    double seconds = (double)row->lasted_ns / 1e9;

    if (kind >= KIND_SLAT)
        return row->value_ns[kind - KIND_SLAT];
    if (kind == KIND_IOPS)
        return windowed ? (uint64_t)((double)row->count / seconds) : row->count;
    if (row->lasted_ns == 0)
        return 0;
    return (uint64_t)((double)row->bytes / seconds / (windowed ? 1024 : 1000));
}

static void print_row(FILE *file, const struct log_row *row, enum log_kind kind,
                      const struct job_options *options)
{
    bool windowed = options->log_avg_us != 0;
    uint64_t value = value_of(row, kind, windowed);
    uint64_t most = kind >= KIND_SLAT && windowed ? row->most_ns[kind - KIND_SLAT] : value;

    fprintf(file, "%" PRIu64 ", %" PRIu64, row->time_ms,
            options->log_window_value == LOG_WINDOW_MAX ? most : value);
    if (windowed && options->log_window_value == LOG_WINDOW_BOTH)
        fprintf(file, ", %" PRIu64, most);
    fprintf(file, ", %u, %" PRIu32, row->direction, row->block);
    if (options->log_offset)
        fprintf(file, ", %" PRIu64, row->offset);
    fputs(", 0\n", file);
}

/* Coarseness c: each column is the sum of 2^c neighbours. */
static void print_histogram(FILE *file, const struct hist_row *row,
                            const struct job_options *options)
{
    unsigned columns = HISTOGRAM_BUCKETS >> options->log_hist_coarseness;
    uint64_t *sums = must_alloc(columns, sizeof(*sums));

    for (unsigned i = 0; i < row->count; i++)
        sums[row->buckets[i].bucket >> options->log_hist_coarseness] += row->buckets[i].count;
    fprintf(file, "%" PRIu64 ", %u, %" PRIu64, row->time_ms, row->direction, options->bs);
    for (unsigned i = 0; i < columns; i++)
        fprintf(file, ", %" PRIu64, sums[i]);
    fputc('\n', file);
    free(sums);
}

static void print_log(FILE *file, const struct worker *worker, enum log_kind kind)
{
    const struct job_options *options = worker->job->options;

    if (kind == KIND_HISTOGRAM) {
        for (size_t i = 0; i < worker->log->hist_count; i++)
            print_histogram(file, &worker->log->hist_rows[i], options);
        return;
    }
    /* As in fio: these files are there, and have nothing to tell. */
    if ((kind == KIND_SLAT && worker->blocking) ||
        (kind == KIND_BANDWIDTH && measure_disabled(options).bandwidth) ||
        (kind == KIND_IOPS && options->gtod_reduce))
        return;
    for (const struct log_chunk *chunk = worker->log->first; chunk; chunk = chunk->next)
        for (unsigned i = 0; i < chunk->count; i++)
            print_row(file, &chunk->rows[i], kind, options);
}

static int write_log(const struct worker *worker, enum log_kind kind, const char *path,
                     struct message *message)
{
    /* Jobs that share a file stand one after the other in it, after what earlier runs left. */
    FILE *file = fopen(path, worker->job->options->per_job_logs ? "we" : "ae");
    bool failed;

    if (!file)
        return message_set(message, "log '%s': %s", path, strerror(errno));
    print_log(file, worker, kind);
    failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return message_set(message, "log '%s': %s", path, strerror(errno));
    return 0;
}

int log_files_write(const struct run *run, struct message *message)
{
    int result = 0;

    for (unsigned i = 0; i < run->plan->job_count; i++) {
        const struct worker *worker = &run->workers[i];

        /* A job that a signal kept from starting leaves earlier logs alone. */
        if (!worker->log || worker->thread_id == 0)
            continue;
        for (unsigned kind = 0; kind < KINDS; kind++) {
            char *path = path_of(worker->job, kind);

            if (path && write_log(worker, kind, path, message))
                result = -1;
            free(path);
        }
    }
    return result;
}
