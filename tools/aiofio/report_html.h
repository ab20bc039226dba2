/* SPDX-License-Identifier: MIT */
/*
 * report_html.h - --report: one page with charts over time, the distribution of latencies, the
 * options and the machine. It needs nothing from elsewhere.
 */
#ifndef AIOFIO_REPORT_HTML_H
#define AIOFIO_REPORT_HTML_H

#include <stdio.h>

#include "progress.h"
#include "report_entries.h"

/* In the page's second line; a file with it may be replaced by a new report. */
#define REPORT_MARK_HTML "<meta name=\"generator\" content=\"aiofio-"

/* 0, or -1 where it could not be written. */
int report_html_print(FILE *out, const struct run *run, const struct report_entries *entries,
                      const struct progress *progress);

#endif
