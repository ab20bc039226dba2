/* SPDX-License-Identifier: MIT */
/*
 * report_job.h - the part of the report that is about one job, or about a group as one.
 */
#ifndef AIOFIO_REPORT_JOB_H
#define AIOFIO_REPORT_JOB_H

#include <stdio.h>

#include "report_entries.h"

void report_entry_print(FILE *out, const struct report_entry *entry);

#endif
