/* SPDX-License-Identifier: MIT */
#include "report_html.h"

#include <aiofile/version.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "svg_chart.h"
#include "units.h"
#include "verdict.h"

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:820px;margin:2em auto;padding:0 1em;"
    "color:#222;background:#fff}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"
    "svg{width:100%;height:auto;display:block;margin:1em 0}"
    "svg text{font:11px system-ui,sans-serif;fill:#444}"
    "svg .title{font-size:13px;font-weight:600;fill:#222}"
    ".grid{stroke:#e4e4e4;stroke-width:1}"
    ".line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:right;padding:.25em .6em;border-bottom:1px solid #e4e4e4}"
    "th:first-child,td:first-child{text-align:left}"
    ".options td{text-align:left;font-family:ui-monospace,monospace;overflow-wrap:anywhere}"
    ".options td:first-child{white-space:nowrap;padding-right:2em}"
    ".ok{color:#00704f}.bad{color:#b30000;font-weight:600}";

static const char *const direction_names[DIRECTION_DATA_COUNT] = {"read", "write", "verify"};

static void print_cell(FILE *out, const char *text)
{
    fputs("<td>", out);
    html_print_text(out, text);
    fputs("</td>", out);
}

static void print_micros(FILE *out, uint64_t value_ns)
{
    fprintf(out, "<td>%.1f</td>", (double)value_ns / 1e3);
}

static void print_row(FILE *out, const struct report_entry *entry, unsigned direction)
{
    const struct direction_stats *stats = &entry->stats->directions[direction];
    static const double percents[] = {50, 99, 99.9};
    char text[UNITS_TEXT];

    fputs("<tr>", out);
    print_cell(out, entry->first->job->options->name);
    print_cell(out, direction_names[direction]);
    print_cell(out, units_print_count(
                        text, report_rate_of((double)stats->total.operations, stats->runtime_ns)));
    fprintf(
        out, "<td>%s/s</td>",
        units_print_decimal(text, report_rate_of((double)stats->total.bytes, stats->runtime_ns)));
    print_cell(out, units_print_binary(text, (double)stats->total.bytes));
    for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
        print_micros(out, histogram_percentile(&stats->clat_histogram, percents[i]));
    print_micros(out, stats->clat.max);
    fputs("</tr>\n", out);
}

static void print_results(FILE *out, const struct report_entries *entries)
{
    fputs("<h2>Results</h2>\n<table><tr><th>job</th><th></th><th>IOPS</th><th>bandwidth</th>"
          "<th>amount</th><th>p50 \xc2\xb5s</th><th>p99 \xc2\xb5s</th><th>p99.9 \xc2\xb5s</th>"
          "<th>max \xc2\xb5s</th></tr>\n",
          out);
    for (unsigned i = 0; i < entries->count; i++)
        for (unsigned k = 0; k < DIRECTION_DATA_COUNT; k++)
            if (entries->entries[i].stats->directions[k].total.operations)
                print_row(out, &entries->entries[i], k);
    fputs("</table>\n", out);
}

static double point_value(const struct interval_point *point, unsigned direction, bool bytes)
{
    double amount = (double)(bytes ? point->bytes[direction] : point->operations[direction]);

    return amount / point->lasted_s;
}

/* IOPS or bandwidth: a line for each direction that there was. */
static void chart_rates(FILE *out, const struct progress *progress, const char *title, bool bytes)
{
    size_t count = progress->point_count;
    struct chart_point *points = must_alloc(DIRECTION_DATA_COUNT * count, sizeof(*points));
    struct chart_line lines[DIRECTION_DATA_COUNT];
    struct chart chart = {
        .title = title,
        .x = {CHART_SECONDS, false},
        .y = {bytes ? CHART_BYTES : CHART_COUNT, false},
        .lines = lines,
    };

    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++) {
        struct chart_point *line = points + i * count;
        bool any = false;

        for (size_t k = 0; k < count; k++) {
            const struct interval_point *point = &progress->points[k];

            line[k] = (struct chart_point){point->end_s, point_value(point, i, bytes)};
            any = any || point->operations[i];
        }
        if (any)
            lines[chart.count++] = (struct chart_line){direction_names[i], line, count};
    }
    svg_chart_print(out, &chart);
    free(points);
}

static void chart_latency(FILE *out, const struct progress *progress)
{
    static const char *const names[INTERVAL_LATENCIES] = {"p50", "p99", "max"};
    size_t count = progress->point_count;
    struct chart_point *points = must_alloc(INTERVAL_LATENCIES * count, sizeof(*points));
    struct chart_line lines[INTERVAL_LATENCIES];
    const struct chart chart = {
        .title = "Completion latency",
        .x = {CHART_SECONDS, false},
        .y = {CHART_NANOSECONDS, true},
        .lines = lines,
        .count = INTERVAL_LATENCIES,
    };

    for (unsigned i = 0; i < INTERVAL_LATENCIES; i++) {
        for (size_t k = 0; k < count; k++)
            points[i * count + k] = (struct chart_point){progress->points[k].end_s,
                                                         (double)progress->points[k].latency_ns[i]};
        lines[i] = (struct chart_line){names[i], points + i * count, count};
    }
    svg_chart_print(out, &chart);
    free(points);
}

/* Fills one line: how many percent completed within a latency. */
static size_t add_shares(struct chart_point *points, const struct histogram *histogram)
{
    double total = (double)histogram_total(histogram);
    uint64_t seen = 0;
    size_t count = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (histogram->buckets[i] == 0)
            continue;
        seen += histogram->buckets[i];
        points[count++] =
            (struct chart_point){(double)histogram_value(i), 100 * (double)seen / total};
    }
    return count;
}

static void chart_distribution(FILE *out, const struct progress *progress)
{
    struct chart_point *points =
        must_alloc(DIRECTION_DATA_COUNT * (size_t)HISTOGRAM_BUCKETS, sizeof(*points));
    struct chart_line lines[DIRECTION_DATA_COUNT];
    struct chart chart = {
        .title = "Completed within a latency",
        .x = {CHART_NANOSECONDS, true},
        .y = {CHART_PERCENT, false},
        .lines = lines,
    };

    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++) {
        struct chart_point *line = points + i * (size_t)HISTOGRAM_BUCKETS;
        size_t count = add_shares(line, &progress->intervals->totals[i].histogram);

        if (count)
            lines[chart.count++] = (struct chart_line){direction_names[i], line, count};
    }
    svg_chart_print(out, &chart);
    free(points);
}

static void print_options(FILE *out, const struct report_entries *entries)
{
    fputs("<h2>Options</h2>\n<table class=\"options\">\n", out);
    for (unsigned i = 0; i < entries->count; i++) {
        const struct job_options *options = entries->entries[i].first->job->options;

        fputs("<tr>", out);
        print_cell(out, options->name);
        fputs("<td>", out);
        for (size_t k = 0; k < options->given.count; k++) {
            const struct given *given = &options->given.items[k];

            fputs(k ? " " : "", out);
            html_print_text(out, given->name);
            fputs(*given->value ? "=" : "", out);
            html_print_text(out, given->value);
        }
        fputs("</td></tr>\n", out);
    }
    fputs("</table>\n", out);
}

/* A line for each fact of the machine: its name, and what it is. */
static void print_fact(FILE *out, const char *name, const char *text)
{
    fputs("<tr>", out);
    print_cell(out, name);
    print_cell(out, text);
    fputs("</tr>\n", out);
}

static void print_machine(FILE *out)
{
    struct utsname name;
    char text[512];

    fputs("<h2>Machine</h2>\n<table class=\"options\">\n", out);
    if (uname(&name) == 0) {
        print_fact(out, "host", name.nodename);
        snprintf(text, sizeof(text), "%s %s %s", name.sysname, name.release, name.machine);
        print_fact(out, "kernel", text);
    }
    snprintf(text, sizeof(text), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    print_fact(out, "processors", text);
    units_print_binary(text, (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE));
    print_fact(out, "memory", text);
    fputs("</table>\n", out);
}

static void print_head(FILE *out, const struct run *run)
{
    const char *verdict = verdict_sentence(run);
    time_t now = time(NULL);
    struct tm broken;
    char when[64];

    localtime_r(&now, &broken);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S %z", &broken);
    fputs("<!DOCTYPE html>\n" REPORT_MARK_HTML AIOFILE_VERSION "\"><html lang=\"en\"><head>"
          "<meta charset=\"utf-8\"><title>aiofio report</title>\n<style>",
          out);
    fputs(style, out);
    fprintf(out,
            "</style></head><body>\n<h1>aiofio report</h1>\n<p>%s, aiofio-%s, verdict: "
            "<span class=\"%s\">%s</span></p>\n",
            when, AIOFILE_VERSION, strcmp(verdict, "ok") == 0 ? "ok" : "bad", verdict);
}

static void print_verification(FILE *out, const struct run *run)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        return;
    verdict_print(stream, run);
    fclose(stream);
    fputs("<p>", out);
    html_print_text(out, text);
    fputs("</p>\n", out);
    free(text);
}

int report_html_print(FILE *out, const struct run *run, const struct report_entries *entries,
                      const struct progress *progress)
{
    print_head(out, run);
    print_results(out, entries);
    print_verification(out, run);
    fputs("<h2>Over time</h2>\n", out);
    chart_rates(out, progress, "Operations per second", false);
    chart_rates(out, progress, "Bandwidth", true);
    chart_latency(out, progress);
    fputs("<h2>Latency</h2>\n", out);
    chart_distribution(out, progress);
    print_options(out, entries);
    print_machine(out);
    fputs("</body></html>\n", out);
    return fflush(out) || ferror(out) ? -1 : 0;
}
