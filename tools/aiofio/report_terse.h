/* SPDX-License-Identifier: MIT */
/*
 * report_terse.h - fio's terse report, version 3: a line for each entry, fields parted by ";".
 */
#ifndef AIOFIO_REPORT_TERSE_H
#define AIOFIO_REPORT_TERSE_H

#include <stdio.h>

#include "disk_stats.h"
#include "report_entries.h"

/* Begins a line; a file with it may be replaced by a new report. */
#define REPORT_MARK_TERSE "3;aiofio-"

void report_terse_print(FILE *out, const struct report_entries *entries,
                        const struct disk_stats *disks);

#endif
