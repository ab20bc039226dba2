/* SPDX-License-Identifier: MIT */
/*
 * showcmd.h - jobs as the command line that means the same.
 */
#ifndef AIOFIO_SHOWCMD_H
#define AIOFIO_SHOWCMD_H

#include <stdio.h>

#include "job_list.h"

/* Prints one line, for a shell to read: each job's name, then whatever is not the default. */
void showcmd_print(FILE *out, const struct job_list *list);

#endif
