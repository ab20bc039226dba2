/* SPDX-License-Identifier: MIT */
/*
 * fio_names.h - names that fio knows and this version does not, so that a user whose job file is
 * right for fio is not told that he mistyped.
 */
#ifndef AIOFIO_FIO_NAMES_H
#define AIOFIO_FIO_NAMES_H

#include <stdbool.h>

/* Job options of fio, up to 3.42, that are not in options.c; ends with NULL. */
extern const char *const fio_job_names[];

/* Options of fio's command line that are not in parse_cmdline.c; ends with NULL. */
extern const char *const fio_command_names[];

bool fio_knows(const char *const *names, const char *name);

#endif
