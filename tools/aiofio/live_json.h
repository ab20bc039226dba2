/* SPDX-License-Identifier: MIT */
/*
 * live_json.h - --live-json: a line of JSON for each interval, with percentiles of its own.
 */
#ifndef AIOFIO_LIVE_JSON_H
#define AIOFIO_LIVE_JSON_H

#include <stdio.h>

#include "intervals.h"

/* Begins every line; a file with it may be replaced by a new one. */
#define LIVE_MARK "{\"timestamp_ms\":"

/* bad: blocks found so far. 0, or -1 where the line could not be written. */
int live_json_print(FILE *out, const struct intervals *intervals, unsigned running, uint64_t bad);

#endif
