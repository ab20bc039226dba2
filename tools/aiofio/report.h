/* SPDX-License-Identifier: MIT */
/*
 * report.h - the report for people, in fio's shape.
 */
#ifndef AIOFIO_REPORT_H
#define AIOFIO_REPORT_H

#include <stdio.h>

#include "report_entries.h"

/* What begins the report's second part; a file with it may be replaced by a new report. */
#define REPORT_MARK "aiofio-"

/* One line for each section, the version, and how many threads will start. */
void report_banner(FILE *out, const struct plan *plan);

/* Jobs, then groups. */
void report_results(FILE *out, const struct run *run, const struct report_entries *entries);

#endif
