/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "units.h"
#include "worker.h"

#define INTERVAL_NS (500 * NS_PER_MS)
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

void progress_init(struct progress *progress, bool shown)
{
    *progress = (struct progress){.shown = shown, .start_ns = clock_now_ns()};
    progress->last_ns = progress->start_ns;
}

unsigned progress_timeout_ms(const struct progress *progress)
{
    uint64_t passed_ns = clock_now_ns() - progress->last_ns;

    return passed_ns >= INTERVAL_NS ? 1 : (unsigned)((INTERVAL_NS - passed_ns) / NS_PER_MS) + 1;
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

static void add_rates(struct line *line, struct progress *progress, const struct run *run,
                      double seconds)
{
    static const char letters[DIRECTION_DATA_COUNT] = {'r', 'w', 'v'};
    char rates[2][128] = {"", ""};
    char number[UNITS_TEXT];

    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++) {
        uint64_t operations = 0;
        uint64_t bytes = 0;
        size_t used[2] = {strlen(rates[0]), strlen(rates[1])};

        for (unsigned k = 0; k < run->plan->job_count; k++) {
            const struct progress_cell *cell = &run->workers[k].progress;

            operations += atomic_load_explicit(&cell->operations[i], memory_order_relaxed);
            bytes += atomic_load_explicit(&cell->bytes[i], memory_order_relaxed);
        }
        if (operations > progress->operations[i]) {
            snprintf(rates[0] + used[0], sizeof(rates[0]) - used[0], "%s%c=%s/s",
                     used[0] ? "," : "", letters[i],
                     units_print_binary(number, (double)(bytes - progress->bytes[i]) / seconds));
            snprintf(rates[1] + used[1], sizeof(rates[1]) - used[1], "%s%c=%s", used[1] ? "," : "",
                     letters[i],
                     units_print_count(number,
                                       (double)(operations - progress->operations[i]) / seconds));
        }
        progress->operations[i] = operations;
        progress->bytes[i] = bytes;
    }
    add(line, "[%s][%s IOPS]", rates[0][0] ? rates[0] : "0B/s", rates[1][0] ? rates[1] : "0");
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

void progress_update(struct progress *progress, struct run *run)
{
    struct line line = {.length = 0};
    uint64_t now_ns = clock_now_ns();
    double fraction = 0;
    unsigned running = 0;
    bool verifying = false;

    if (!progress->shown || now_ns - progress->last_ns < INTERVAL_NS)
        return;
    for (unsigned i = 0; i < run->plan->job_count; i++) {
        char letter = letter_of(&run->workers[i]);

        running += letter != 'P' && letter != '_';
        verifying = verifying || run->workers[i].job->verifies;
        fraction += job_fraction(&run->workers[i], now_ns);
    }
    fraction /= run->plan->job_count;

    add(&line, "Jobs: %u (f=%u): ", running, running);
    add_letters(&line, run);
    add(&line, "[%.1f%%]", 100 * fraction);
    add_rates(&line, progress, run, (double)(now_ns - progress->last_ns) / 1e9);
    if (verifying)
        add(&line, "[%" PRIu64 " bad]",
            atomic_load_explicit(&run->findings.count, memory_order_relaxed));
    add_eta(&line, fraction, (double)(now_ns - progress->start_ns) / 1e9);
    progress->last_ns = now_ns;
    console_progress(&run->console, line.text);
}
