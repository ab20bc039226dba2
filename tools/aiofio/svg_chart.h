/* SPDX-License-Identifier: MIT */
/*
 * svg_chart.h - a chart of lines as inline SVG, for a page that needs nothing from elsewhere.
 */
#ifndef AIOFIO_SVG_CHART_H
#define AIOFIO_SVG_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct chart_point {
    double x;
    double y;
};

struct chart_line {
    const char *name;
    const struct chart_point *points; /* x never falls */
    size_t count;
};

/* How a value on an axis is written. */
enum chart_unit { CHART_SECONDS, CHART_COUNT, CHART_BYTES, CHART_NANOSECONDS, CHART_PERCENT };

struct chart_axis {
    enum chart_unit unit;
    bool logarithmic; /* values below 1 are left out */
};

#define CHART_LINES_MAX 6u

struct chart {
    const char *title;
    struct chart_axis x;
    struct chart_axis y; /* from 0 on unless logarithmic */
    const struct chart_line *lines;
    unsigned count;
};

/* Prints nothing where there is no point to be drawn. */
void svg_chart_print(FILE *out, const struct chart *chart);

/* Text in which <, >, & and quotes mean themselves. */
void html_print_text(FILE *out, const char *text);

#endif
