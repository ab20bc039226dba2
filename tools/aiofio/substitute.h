/* SPDX-License-Identifier: MIT */
/*
 * substitute.h - ${VAR} and fio's $keywords in job files.
 */
#ifndef AIOFIO_SUBSTITUTE_H
#define AIOFIO_SUBSTITUTE_H

#include <stdbool.h>

#include "text.h"

/*
 * Gives a copy of line with ${VAR} replaced by the environment, nothing where VAR is not set; the
 * caller frees it. unset receives the name of the last one that is not set, "" if all are. NULL,
 * with a reason, when a brace is not closed.
 */
char *substitute_environment(const char *line, char *unset, size_t unset_size,
                             struct message *message);

/*
 * Gives a copy of value with $pagesize (bytes), $mb_memory (MiB) and $ncpus replaced. If one was,
 * and the value has + - * or /, it comes back in parentheses, as an expression, when numeric.
 */
char *substitute_keywords(const char *value, bool numeric);

#endif
