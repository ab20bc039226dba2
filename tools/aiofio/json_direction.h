/* SPDX-License-Identifier: MIT */
/*
 * json_direction.h - what a job measured of one kind of operation, as fio's JSON has it.
 */
#ifndef AIOFIO_JSON_DIRECTION_H
#define AIOFIO_JSON_DIRECTION_H

#include <tool_json.h>

#include "report_entries.h"

/* The object "read", "write", "trim" or "mixed"; part as in report_stats(). bins: with the counts
 * of all buckets. */
json_t *json_direction(const struct report_entry *entry, unsigned part, bool bins);

/* The object "sync". */
json_t *json_sync(const struct report_entry *entry, bool bins);

/* The averages over all windows, those of a stall included. */
json_t *json_windows(const struct report_entry *entry, unsigned direction);

#endif
