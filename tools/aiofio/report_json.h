/* SPDX-License-Identifier: MIT */
/*
 * report_json.h - the report for programs: fio's JSON, and what is aiofio's own under "aiofile".
 */
#ifndef AIOFIO_REPORT_JSON_H
#define AIOFIO_REPORT_JSON_H

#include <stdio.h>

#include "disk_stats.h"
#include "report_entries.h"

/* Stands in the second line; a file with it may be replaced by a new report. */
#define REPORT_MARK_JSON "  \"fio version\": \"aiofio-"

/* bins: json+, with the counts of all buckets. 0, or -1 where it could not be written. */
int report_json_print(FILE *out, const struct run *run, const struct report_entries *entries,
                      const struct disk_stats *disks, bool bins);

#endif
