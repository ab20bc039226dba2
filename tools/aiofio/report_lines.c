/* SPDX-License-Identifier: MIT */
#include "report_lines.h"

#include <inttypes.h>
#include <math.h>

#include "units.h"

/* The unit in which a set of latencies reads best. */
struct scale {
    const char *unit;
    double divisor;
};

static const struct scale scales[] = {{"nsec", 1}, {"usec", 1e3}, {"msec", 1e6}};

/* fio's rule: a step up while even the least is above 2000 and the largest above 99999. */
static const struct scale *choose_scale(double least, double largest, double deviation)
{
    unsigned step = 0;

    while (step < 2 && least / scales[step].divisor > 2000 &&
           largest / scales[step].divisor > 99999 && deviation / scales[step].divisor > 1000)
        step++;
    return &scales[step];
}

static const char *print_latency(char out[UNITS_TEXT], double value)
{
    if (value < 100000)
        snprintf(out, UNITS_TEXT, "%.0f", value);
    else
        units_print_count(out, value);
    return out;
}

void report_moments(FILE *out, const char *label, const struct moments *moments)
{
    double deviation = moments_deviation(moments);
    const struct scale *scale =
        choose_scale((double)moments_min(moments), (double)moments->max, deviation);
    char least[UNITS_TEXT];
    char largest[UNITS_TEXT];

    /* Large values in nanoseconds are hard to read, however small the least one is. */
    if (scale->divisor < 2 && moments_mean(moments) >= 10000)
        scale = &scales[1];
    fprintf(out, "    %s (%s): min=%s, max=%s, avg=%5.2f, stdev=%5.2f\n", label, scale->unit,
            print_latency(least, (double)moments_min(moments) / scale->divisor),
            print_latency(largest, (double)moments->max / scale->divisor),
            moments_mean(moments) / scale->divisor, deviation / scale->divisor);
}

void report_percentiles(FILE *out, const char *label, const struct histogram *histogram,
                        const struct percentile_list *list)
{
    const struct scale *scale;
    uint64_t values[PERCENTILES_MAX] = {0};
    /* "nn", point and decimals; then "th=[%5.0f]," and the blank before: as many as fit a line. */
    int width = 3 + (int)list->decimals;
    unsigned row = (80 - 6) / ((unsigned)width + 12);

    for (unsigned i = 0; i < list->count; i++)
        values[i] = histogram_percentile(histogram, list->percents[i]);
    scale = choose_scale((double)values[0], (double)values[list->count - 1], INFINITY);
    if (scale->divisor < 2 && values[list->count / 2] >= 10000)
        scale = &scales[1];

    fprintf(out, "    %s percentiles (%s):\n", label, scale->unit);
    for (unsigned i = 0; i < list->count; i++) {
        const char *before = i % row ? " " : "     | ";
        const char *after = i + 1 == list->count ? "\n" : i % row == row - 1 ? ",\n" : ",";

        fprintf(out, "%s%*.*fth=[%5.0f]%s", before, width, (int)list->decimals, list->percents[i],
                (double)values[i] / scale->divisor, after);
    }
}

void report_distribution(FILE *out, const struct histogram *histogram)
{
    static const uint64_t limits[] = {2, 4, 10, 20, 50, 100, 250, 500, 750, 1000, 2000};
    uint64_t total = histogram_total(histogram);
    uint64_t below = 0;

    for (unsigned unit = 0; unit < 3; unit++) {
        uint64_t factor = (uint64_t)scales[unit].divisor;
        unsigned shown = 0;

        for (unsigned i = 0; i < 11; i++) {
            bool last = i == 10;
            uint64_t upto;
            double percent;

            /* 1000 nsec to 2000 nsec is counted in the usec line; only msec goes on to 2000. */
            if (last && unit < 2)
                break;
            upto = histogram_below(histogram, limits[i] * factor);
            percent = 100.0 * (double)(upto - below) / (double)total;
            below = upto;
            if (percent < 0.005)
                continue;
            if (shown % 5 == 0)
                fprintf(out, "%s  lat (%s)   : ", shown ? "\n" : "", scales[unit].unit);
            fprintf(out, "%s%" PRIu64 "=%.2f%%", shown % 5 ? ", " : "", limits[i], percent);
            shown++;
        }
        if (unit == 2 && below < total)
            fprintf(out, "%s>=2000=%.2f%%", shown ? ", " : "  lat (msec)   : ",
                    100.0 * (double)(total - below) / (double)total);
        if (shown || (unit == 2 && below < total))
            fputc('\n', out);
    }
}

void report_windows(FILE *out, const struct window_series *series,
                    const struct window_averages *averages)
{
    struct window_summary bandwidth =
        window_series_summarise(series, averages->bandwidth_ns, WINDOW_BANDWIDTH, WINDOWS_ALL);
    struct window_summary rate =
        window_series_summarise(series, averages->iops_ns, WINDOW_IOPS, WINDOWS_ALL);
    double share =
        averages->all_bytes_per_s > 0 ? 100 * bandwidth.mean * 1024 / averages->all_bytes_per_s : 0;

    if (bandwidth.samples == 0)
        return;
    fprintf(out,
            "   bw (  KiB/s): min=%.0f, max=%.0f, per=%.2f%%, avg=%.2f, stdev=%.2f, samples=%zu\n",
            bandwidth.min, bandwidth.max, share > 100 ? 100 : share, bandwidth.mean,
            bandwidth.deviation, bandwidth.samples);
    fprintf(out, "   iops        : min=%.0f, max=%.0f, avg=%.2f, stdev=%.2f, samples=%zu\n",
            rate.min, rate.max, rate.mean, rate.deviation, rate.samples);
}

void report_rate(FILE *out, double bytes_per_s)
{
    char binary[UNITS_TEXT];
    char decimal[UNITS_TEXT];

    fprintf(out, "%s/s (%s/s)", units_print_binary(binary, bytes_per_s),
            units_print_decimal(decimal, bytes_per_s));
}
