/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "live_json.h"
#include "report_entries.h"
#include "units.h"
#include "worker.h"

#define LINE_SIZE 512

/* A line under construction; what does not fit is cut off. */
struct line {
    char text[LINE_SIZE];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line->text + line->length, LINE_SIZE - line->length, format, arguments);
    va_end(arguments);
    if (length > 0)
        line->length += (size_t)length;
    if (line->length >= LINE_SIZE)
        line->length = LINE_SIZE - 1;
}

void progress_start(struct progress *progress, const struct progress_need *need)
{
    *progress = (struct progress){
        .shown = need->shown,
        .live = need->live,
        .keeps = need->keeps,
        .interval_ns = need->interval_ns,
        .last_ns = clock_now_ns(),
    };
    if (need->shown || need->live || need->keeps) {
        progress->intervals = must_alloc(1, sizeof(*progress->intervals));
        intervals_start(progress->intervals, progress->last_ns);
    }
}

void progress_free(struct progress *progress)
{
    free(progress->intervals);
    free(progress->points);
    progress->intervals = NULL;
    progress->points = NULL;
}

bool progress_looks(const struct progress *progress)
{
    return progress->intervals != NULL;
}

unsigned progress_timeout_ms(const struct progress *progress)
{
    uint64_t passed_ns = clock_now_ns() - progress->last_ns;

    if (passed_ns >= progress->interval_ns)
        return 1;
    return (unsigned)((progress->interval_ns - passed_ns) / NS_PER_MS) + 1;
}

static char letter_of(const struct worker *worker)
{
    return atomic_load_explicit(&worker->progress.letter, memory_order_relaxed);
}

/* "[w(2),V(1)]": runs of equal letters, in the order of the jobs. */
static void add_letters(struct line *line, const struct run *run)
{
    unsigned count = run->plan->job_count;
    unsigned at = 0;

    add(line, "[");
    while (at < count) {
        char letter = letter_of(&run->workers[at]);
        unsigned same = 1;

        while (at + same < count && letter_of(&run->workers[at + same]) == letter)
            same++;
        add(line, "%s%c(%u)", at ? "," : "", letter, same);
        at += same;
    }
    add(line, "]");
}

/* How much of a job is done, from 0 to 1. */
static double job_fraction(const struct worker *worker, uint64_t now_ns)
{
    const struct progress_cell *cell = &worker->progress;
    const struct job_options *options = worker->job->options;
    char letter = letter_of(worker);
    double fraction = 0;
    double total = (double)atomic_load_explicit(&cell->total_bytes, memory_order_relaxed);
    uint64_t start_ns = atomic_load_explicit(&cell->start_ns, memory_order_relaxed);

    if (letter == '_')
        return 1;
    if (letter == 'P' || start_ns == 0)
        return 0;
    if (!options->time_based && total > 0)
        fraction = (double)atomic_load_explicit(&cell->done_bytes, memory_order_relaxed) / total;
    if (options->runtime_us && now_ns > start_ns) {
        double by_time = (double)(now_ns - start_ns) / ((double)options->runtime_us * 1000);

        if (by_time > fraction && letter != 'V')
            fraction = by_time;
    }
    return fraction > 1 ? 1 : fraction;
}

static void add_rates(struct line *line, const struct interval *interval)
{
    static const char letters[DIRECTION_DATA_COUNT] = {'r', 'w', 'v'};
    uint64_t lasted_ns = interval->end_ns - interval->start_ns;
    char rates[2][128] = {"", ""};
    char number[UNITS_TEXT];

    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++) {
        const struct interval_part *part = &interval->parts[i];
        size_t used[2] = {strlen(rates[0]), strlen(rates[1])};

        if (part->operations == 0)
            continue;
        units_print_binary(number, report_rate_of((double)part->bytes, lasted_ns));
        snprintf(rates[0] + used[0], sizeof(rates[0]) - used[0], "%s%c=%s/s", used[0] ? "," : "",
                 letters[i], number);
        units_print_count(number, report_rate_of((double)part->operations, lasted_ns));
        snprintf(rates[1] + used[1], sizeof(rates[1]) - used[1], "%s%c=%s", used[1] ? "," : "",
                 letters[i], number);
    }
    add(line, "[%s][%s IOPS]", rates[0][0] ? rates[0] : "0B/s", rates[1][0] ? rates[1] : "0");
}

static void add_latency(struct line *line, const char *name, uint64_t value_ns)
{
    if (value_ns < 10 * NS_PER_US)
        add(line, "%s=%" PRIu64 "ns", name, value_ns);
    else if (value_ns < 10 * NS_PER_MS)
        add(line, "%s=%" PRIu64 "us", name, (uint64_t)(value_ns / NS_PER_US));
    else
        add(line, "%s=%" PRIu64 "ms", name, (uint64_t)(value_ns / NS_PER_MS));
}

/* Of all that completed in the interval, reads for verification included. */
static void add_latencies(struct line *line, const struct interval *interval)
{
    struct histogram all = {{0}};

    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++)
        histogram_merge(&all, &interval->parts[i].histogram);
    if (histogram_total(&all) == 0)
        return;
    add_latency(line, "[p50", histogram_percentile(&all, 50));
    add_latency(line, ",p99", histogram_percentile(&all, 99));
    add_latency(line, ",max", histogram_percentile(&all, 100));
    add(line, "]");
}

/* "[V 34% 0 bad]": how much of what was written has been read back. */
static void add_verification(struct line *line, const struct progress *progress,
                             const struct run *run)
{
    const struct interval_part *totals = progress->intervals->totals;
    uint64_t bad = atomic_load_explicit(&run->findings.count, memory_order_relaxed);
    double written = (double)totals[DIRECTION_WRITE].bytes;
    double checked = (double)totals[DIRECTION_VERIFY].bytes;
    bool verifies = false;

    for (unsigned i = 0; i < run->plan->job_count; i++)
        verifies = verifies || run->workers[i].job->verifies;
    if (!verifies)
        return;
    if (checked > 0 && written > 0)
        add(line, "[V %.0f%% %" PRIu64 " bad]", checked < written ? 100 * checked / written : 100,
            bad);
    else
        add(line, "[V %" PRIu64 " bad]", bad);
}

static void add_eta(struct line *line, double fraction, double elapsed_s)
{
    double left_s = fraction > 0 ? elapsed_s * (1 - fraction) / fraction : 0;
    unsigned long seconds = (unsigned long)left_s;

    if (fraction <= 0 || left_s > 100 * 24 * 3600.0)
        add(line, "[eta --]");
    else if (seconds >= 3600)
        add(line, "[eta %02luh:%02lum:%02lus]", seconds / 3600, seconds / 60 % 60, seconds % 60);
    else
        add(line, "[eta %02lum:%02lus]", seconds / 60, seconds % 60);
}

static unsigned count_running(const struct run *run)
{
    unsigned running = 0;

    for (unsigned i = 0; i < run->plan->job_count; i++) {
        char letter = letter_of(&run->workers[i]);

        running += letter != 'P' && letter != '_';
    }
    return running;
}

static void show_line(const struct progress *progress, struct run *run, uint64_t now_ns)
{
    struct line line = {.length = 0};
    unsigned running = count_running(run);
    double fraction = 0;

    for (unsigned i = 0; i < run->plan->job_count; i++)
        fraction += job_fraction(&run->workers[i], now_ns);
    fraction /= run->plan->job_count;

    add(&line, "Jobs: %u (f=%u): ", running, running);
    add_letters(&line, run);
    add(&line, "[%.1f%%]", 100 * fraction);
    add_rates(&line, &progress->intervals->last);
    add_latencies(&line, &progress->intervals->last);
    add_verification(&line, progress, run);
    add_eta(&line, fraction, (double)progress->intervals->last.end_ns / 1e9);
    console_progress(&run->console, line.text);
}

/* A rate over what little is left at the end would be chance: it goes into the point before. */
static void add_to_point(struct interval_point *point, const struct interval_point *rest)
{
    unsigned largest = INTERVAL_LATENCIES - 1;

    point->end_s = rest->end_s;
    point->lasted_s += rest->lasted_s;
    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++) {
        point->operations[i] += rest->operations[i];
        point->bytes[i] += rest->bytes[i];
    }
    if (rest->latency_ns[largest] > point->latency_ns[largest])
        point->latency_ns[largest] = rest->latency_ns[largest];
}

static void keep_interval(struct progress *progress)
{
    struct interval_point point = interval_summarise(&progress->intervals->last);

    if (progress->point_count && point.lasted_s < (double)progress->interval_ns / 1e10) {
        add_to_point(&progress->points[progress->point_count - 1], &point);
        return;
    }
    if (progress->point_count == progress->point_room) {
        progress->point_room = progress->point_room ? 2 * progress->point_room : 64;
        progress->points =
            must_grow(progress->points, progress->point_room, sizeof(*progress->points));
    }
    progress->points[progress->point_count++] = point;
}

static void end_interval(struct progress *progress, struct run *run, uint64_t now_ns)
{
    uint64_t bad = atomic_load_explicit(&run->findings.count, memory_order_relaxed);

    progress->last_ns = now_ns;
    intervals_take(progress->intervals, run, now_ns);
    if (progress->keeps)
        keep_interval(progress);
    if (progress->shown)
        show_line(progress, run, now_ns);
    if (progress->live && !progress->live_error &&
        live_json_print(progress->live, progress->intervals, count_running(run), bad))
        progress->live_error = errno ? errno : EIO;
}

void progress_update(struct progress *progress, struct run *run)
{
    uint64_t now_ns = clock_now_ns();

    if (progress->intervals && now_ns - progress->last_ns >= progress->interval_ns)
        end_interval(progress, run, now_ns);
}

void progress_end(struct progress *progress, struct run *run)
{
    progress->shown = false;
    console_progress(&run->console, "");
    if (progress->intervals)
        end_interval(progress, run, clock_now_ns());
}
