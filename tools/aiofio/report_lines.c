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

void report_percentiles(FILE *out, const char *label, const struct histogram *histogram)
{
    static const double list[] = {1,  5,  10, 20, 30,   40,   50,    60,   70,
                                  80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99};
    const unsigned count = sizeof(list) / sizeof(list[0]);
    const struct scale *scale;
    uint64_t values[sizeof(list) / sizeof(list[0])];

    for (unsigned i = 0; i < count; i++)
        values[i] = histogram_percentile(histogram, list[i]);
    scale = choose_scale((double)values[0], (double)values[count - 1], INFINITY);
    if (scale->divisor < 2 && values[count / 2] >= 10000)
        scale = &scales[1];

    fprintf(out, "    %s percentiles (%s):\n", label, scale->unit);
    for (unsigned i = 0; i < count; i++) {
        const char *before = i % 4 ? " " : "     | ";
        const char *after = i + 1 == count ? "\n" : i % 4 == 3 ? ",\n" : ",";

        fprintf(out, "%s%5.2fth=[%5.0f]%s", before, list[i], (double)values[i] / scale->divisor,
                after);
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

struct summary {
    double min;
    double max;
    double mean;
    double deviation;
};

static struct summary summarise(const struct window_series *series, bool bytes)
{
    const double per_second = 1e9 / (double)WINDOW_NS;
    struct summary summary = {.min = INFINITY};
    double sum = 0;
    double sum_of_squares = 0;
    double count = (double)series->count;

    for (size_t i = 0; i < series->count; i++) {
        const struct window *window = &series->windows[i];
        double value =
            per_second * (bytes ? (double)window->bytes / 1024 : (double)window->operations);

        summary.min = fmin(summary.min, value);
        summary.max = fmax(summary.max, value);
        sum += value;
        sum_of_squares += value * value;
    }
    summary.mean = sum / count;
    if (count > 1)
        summary.deviation = sqrt(fmax(0, (sum_of_squares - summary.mean * sum) / (count - 1)));
    return summary;
}

void report_windows(FILE *out, const struct window_series *series, double all_bytes_per_s)
{
    struct summary bandwidth;
    struct summary rate;
    double share;

    if (series->count == 0)
        return;
    bandwidth = summarise(series, true);
    rate = summarise(series, false);
    share = all_bytes_per_s > 0 ? 100 * bandwidth.mean * 1024 / all_bytes_per_s : 0;
    fprintf(out,
            "   bw (  KiB/s): min=%.0f, max=%.0f, per=%.2f%%, avg=%.2f, stdev=%.2f, samples=%zu\n",
            bandwidth.min, bandwidth.max, share > 100 ? 100 : share, bandwidth.mean,
            bandwidth.deviation, series->count);
    fprintf(out, "   iops        : min=%.0f, max=%.0f, avg=%.2f, stdev=%.2f, samples=%zu\n",
            rate.min, rate.max, rate.mean, rate.deviation, series->count);
}

void report_rate(FILE *out, double bytes_per_s)
{
    char binary[UNITS_TEXT];
    char decimal[UNITS_TEXT];

    fprintf(out, "%s/s (%s/s)", units_print_binary(binary, bytes_per_s),
            units_print_decimal(decimal, bytes_per_s));
}
