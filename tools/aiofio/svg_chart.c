/* SPDX-License-Identifier: MIT */
#include "svg_chart.h"

#include <math.h>

#include "units.h"

/* The whole picture, and the frame in it that the lines are drawn in. */
#define WIDTH 760.0
#define HEIGHT 260.0
#define LEFT 70.0
#define RIGHT 20.0
#define TOP 34.0
#define BOTTOM 34.0

/* Told apart by those who do not tell red from green, too. */
static const char *const colours[CHART_LINES_MAX] = {"#0072b2", "#d55e00", "#009e73",
                                                     "#cc79a7", "#e69f00", "#56b4e9"};

/* Where values lie on an axis. */
struct range {
    double low;
    double high;
    bool logarithmic;
};

void html_print_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
    }
}

static double share(const struct range *range, double value)
{
    if (range->logarithmic)
        return (log10(value) - log10(range->low)) / (log10(range->high) - log10(range->low));
    return (value - range->low) / (range->high - range->low);
}

static double place_x(const struct range *range, double value)
{
    return LEFT + share(range, value) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct range *range, double value)
{
    return HEIGHT - BOTTOM - share(range, value) * (HEIGHT - TOP - BOTTOM);
}

/* A step of 1, 2 or 5 times a power of ten, of which there are about five up to the end. */
static double tick_step(double end)
{
    double power = pow(10, floor(log10(end / 5)));
    double rest = end / 5 / power;

    return power * (rest > 5 ? 10 : rest > 2 ? 5 : rest > 1 ? 2 : 1);
}

static bool is_shown(const struct chart *chart, const struct chart_point *point)
{
    return (!chart->x.logarithmic || point->x >= 1) && (!chart->y.logarithmic || point->y >= 1);
}

/* Makes the ranges end at a tick. false: there is nothing to be shown. */
static bool find_range(const struct chart *chart, bool vertical, struct range *range)
{
    double low = INFINITY;
    double high = 0;

    for (unsigned i = 0; i < chart->count; i++) {
        for (size_t k = 0; k < chart->lines[i].count; k++) {
            const struct chart_point *point = &chart->lines[i].points[k];

            if (!is_shown(chart, point))
                continue;
            low = fmin(low, vertical ? point->y : point->x);
            high = fmax(high, vertical ? point->y : point->x);
        }
    }
    range->logarithmic = vertical ? chart->y.logarithmic : chart->x.logarithmic;
    if (isinf(low))
        return false;
    if (range->logarithmic) {
        range->low = pow(10, floor(log10(low)));
        range->high = pow(10, fmax(ceil(log10(high)), log10(range->low) + 1));
        return true;
    }
    range->low = 0;
    range->high = high > 0 ? high : 1;
    if (vertical)
        range->high = ceil(range->high / tick_step(range->high)) * tick_step(range->high);
    return true;
}

static void print_nanoseconds(FILE *out, double value)
{
    static const char *const units[] = {"ns", "\xc2\xb5s", "ms", "s"};
    unsigned unit = 0;

    for (; value >= 1000 && unit < 3; unit++)
        value /= 1000;
    fprintf(out, "%g %s", value, units[unit]);
}

static void print_value(FILE *out, enum chart_unit unit, double value)
{
    char text[UNITS_TEXT];

    switch (unit) {
    case CHART_SECONDS:
        fprintf(out, "%g s", value);
        break;
    case CHART_COUNT:
        fputs(value >= 1000 ? units_print_count(text, value) : "", out);
        if (value < 1000)
            fprintf(out, "%g", value);
        break;
    case CHART_BYTES:
        fprintf(out, "%s/s", units_print_decimal(text, value));
        break;
    case CHART_NANOSECONDS:
        print_nanoseconds(out, value);
        break;
    case CHART_PERCENT:
        fprintf(out, "%g %%", value);
        break;
    }
}

static void print_tick(FILE *out, const struct chart *chart, const struct range *range,
                       bool vertical, double value)
{
    if (vertical) {
        double y = place_y(range, value);

        fprintf(out, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", LEFT, y, WIDTH - RIGHT);
        fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 6, y + 4);
    } else {
        double x = place_x(range, value);

        fprintf(out, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>", x, TOP, HEIGHT - BOTTOM);
        fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", x,
                HEIGHT - BOTTOM + 16);
    }
    print_value(out, vertical ? chart->y.unit : chart->x.unit, value);
    fputs("</text>\n", out);
}

static void print_ticks(FILE *out, const struct chart *chart, const struct range *range,
                        bool vertical)
{
    double step = tick_step(range->high);

    if (range->logarithmic) {
        unsigned decades = (unsigned)lround(log10(range->high / range->low));

        for (unsigned i = 0; i <= decades; i++)
            print_tick(out, chart, range, vertical, range->low * pow(10, i));
        return;
    }
    for (unsigned i = 0; i * step <= range->high * 1.001; i++)
        print_tick(out, chart, range, vertical, i * step);
}

static void print_line(FILE *out, const struct chart *chart, unsigned number, const struct range *x,
                       const struct range *y)
{
    const struct chart_line *line = &chart->lines[number];
    double legend_x = WIDTH - RIGHT - 90.0 * (chart->count - number);
    bool pen_down = false;

    fprintf(out, "<path class=\"line\" stroke=\"%s\" d=\"", colours[number]);
    for (size_t i = 0; i < line->count; i++) {
        /* What cannot be shown is a gap. */
        if (!is_shown(chart, &line->points[i])) {
            pen_down = false;
            continue;
        }
        fprintf(out, "%c%.1f %.1f", pen_down ? 'L' : 'M', place_x(x, line->points[i].x),
                place_y(y, line->points[i].y));
        /* A point alone is seen as a dot: a line of no length with round ends. */
        if (!pen_down)
            fputs("h0", out);
        pen_down = true;
    }
    fprintf(out, "\"/><path class=\"line\" stroke=\"%s\" d=\"M%.1f 18h18\"/>", colours[number],
            legend_x);
    fprintf(out, "<text x=\"%.1f\" y=\"22\">", legend_x + 24);
    html_print_text(out, line->name);
    fputs("</text>\n", out);
}

void svg_chart_print(FILE *out, const struct chart *chart)
{
    struct range x;
    struct range y;

    if (!find_range(chart, false, &x) || !find_range(chart, true, &y))
        return;
    fprintf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n<title>", WIDTH, HEIGHT);
    html_print_text(out, chart->title);
    fprintf(out, "</title><text class=\"title\" x=\"%.1f\" y=\"22\">", LEFT);
    html_print_text(out, chart->title);
    fputs("</text>\n", out);
    print_ticks(out, chart, &x, false);
    print_ticks(out, chart, &y, true);
    for (unsigned i = 0; i < chart->count && i < CHART_LINES_MAX; i++)
        print_line(out, chart, i, &x, &y);
    fputs("</svg>\n", out);
}
