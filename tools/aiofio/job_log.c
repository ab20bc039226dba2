/* SPDX-License-Identifier: MIT */
#include "job_log.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "text.h"

/* Chunks instead of one array that grows: what is there is never copied. */
static struct log_row *new_row(struct job_log *log)
{
    if (!log->last || log->last->count == LOG_CHUNK_ROWS) {
        struct log_chunk *chunk = must_alloc(1, sizeof(*chunk));

        if (log->last)
            log->last->next = chunk;
        else
            log->first = chunk;
        log->last = chunk;
    }
    return &log->last->rows[log->last->count++];
}

/* Rounded up, so that the last window, which may be a short one, never ends with the one before. */
static uint64_t end_ms(uint64_t end_ns)
{
    return (end_ns + NS_PER_MS - 1) / NS_PER_MS;
}

/* end_ns: from the start of the job. */
static void close_window(struct job_log *log, uint64_t end_ns)
{
    uint64_t lasted_ns = end_ns - log->window_start_ns;

    for (unsigned i = 0; i < LOG_DIRECTIONS; i++) {
        struct log_window *window = &log->windows[i];
        struct log_row *row;

        /* A window without a completion has no row, as in fio's logs. */
        if (window->count == 0)
            continue;
        row = new_row(log);
        *row = (struct log_row){
            .time_ms = end_ms(end_ns),
            .count = window->count,
            .bytes = window->bytes,
            /* The last window may be of any length; a rate needs some. */
            .lasted_ns = lasted_ns > NS_PER_MS ? lasted_ns : NS_PER_MS,
            .direction = i,
        };
        for (unsigned k = 0; k < LOG_LATENCIES; k++) {
            row->value_ns[k] = window->sum_ns[k] / window->count;
            row->most_ns[k] = window->most_ns[k];
        }
        *window = (struct log_window){.count = 0};
    }
}

static void close_histograms(struct job_log *log, uint64_t end_ns)
{
    for (unsigned i = 0; i < LOG_DIRECTIONS; i++) {
        struct histogram *histogram = &log->histograms[i];
        struct hist_row row = {.time_ms = end_ms(end_ns), .direction = i};

        for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++)
            row.count += histogram->buckets[k] != 0;
        if (row.count == 0)
            continue;
        row.buckets = must_alloc(row.count, sizeof(*row.buckets));
        row.count = 0;
        for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++)
            if (histogram->buckets[k])
                row.buckets[row.count++] = (struct hist_bucket){k, (uint32_t)histogram->buckets[k]};
        memset(histogram, 0, sizeof(*histogram));
        if (log->hist_count == log->hist_room) {
            log->hist_room = log->hist_room ? 2 * log->hist_room : 64;
            log->hist_rows = must_grow(log->hist_rows, log->hist_room, sizeof(*log->hist_rows));
        }
        log->hist_rows[log->hist_count++] = row;
    }
}

static void add_to_window(struct job_log *log, const struct logged *operation,
                          const uint64_t values_ns[LOG_LATENCIES], uint64_t now_ns)
{
    struct log_window *window = &log->windows[operation->direction];

    if (now_ns - log->window_start_ns >= log->window_ns) {
        close_window(log, log->window_start_ns + log->window_ns);
        log->window_start_ns = now_ns / log->window_ns * log->window_ns;
    }
    window->count++;
    window->bytes += operation->bytes;
    for (unsigned i = 0; i < LOG_LATENCIES; i++) {
        window->sum_ns[i] += values_ns[i];
        if (values_ns[i] > window->most_ns[i])
            window->most_ns[i] = values_ns[i];
    }
}

void job_log_add(struct job_log *log, const struct logged *operation)
{
    const uint64_t values_ns[LOG_LATENCIES] = {
        [LOG_SLAT] = operation->submitted_ns - operation->prepared_ns,
        [LOG_CLAT] = operation->completed_ns - operation->submitted_ns,
        [LOG_LAT] = operation->completed_ns - operation->prepared_ns,
    };
    uint64_t now_ns = operation->completed_ns - log->start_ns;

    if (operation->direction >= LOG_DIRECTIONS)
        return;
    if (log->hist_ns) {
        if (now_ns - log->hist_start_ns >= log->hist_ns) {
            close_histograms(log, log->hist_start_ns + log->hist_ns);
            log->hist_start_ns = now_ns / log->hist_ns * log->hist_ns;
        }
        histogram_add(&log->histograms[operation->direction], values_ns[LOG_CLAT], 1);
    }
    if (log->rows_wanted && log->window_ns) {
        add_to_window(log, operation, values_ns, now_ns);
    } else if (log->rows_wanted) {
        struct log_row *row = new_row(log);

        *row = (struct log_row){
            .time_ms = now_ns / NS_PER_MS,
            .offset = operation->offset,
            .count = 1,
            .bytes = operation->bytes,
            .lasted_ns = values_ns[LOG_CLAT],
            .direction = operation->direction,
            .block = operation->block,
        };
        memcpy(row->value_ns, values_ns, sizeof(row->value_ns));
    }
}

void job_log_end(struct job_log *log, uint64_t now_ns)
{
    uint64_t end_ns = now_ns - log->start_ns;

    /* Never past the window's own end, even where nothing came to close it. */
    if (log->window_ns)
        close_window(log, end_ns - log->window_start_ns > log->window_ns
                              ? log->window_start_ns + log->window_ns
                              : end_ns);
    if (log->hist_ns)
        close_histograms(log, end_ns - log->hist_start_ns > log->hist_ns
                                  ? log->hist_start_ns + log->hist_ns
                                  : end_ns);
}

void job_log_free(struct job_log *log)
{
    struct log_chunk *next;

    if (!log)
        return;
    for (struct log_chunk *chunk = log->first; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    for (size_t i = 0; i < log->hist_count; i++)
        free(log->hist_rows[i].buckets);
    free(log->hist_rows);
    free(log);
}
