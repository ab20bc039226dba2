/* SPDX-License-Identifier: MIT */
/*
 * json_own.h - what fio's JSON has no place for: the verdict, verification, engines, stalls.
 */
#ifndef AIOFIO_JSON_OWN_H
#define AIOFIO_JSON_OWN_H

#include <tool_json.h>

#include "report_entries.h"

/* The object "aiofile". */
json_t *json_own(const struct run *run, const struct report_entries *entries, bool bins);

#endif
