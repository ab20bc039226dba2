/* SPDX-License-Identifier: MIT */
/*
 * parse_cmdline.h - fio's command line.
 *
 * --key=value, --key value, -key=value and -key value, or a unique beginning of the key. Every
 * option of a job file is one; --name= starts a job, what stands before the first --name= is the
 * default of later jobs and of job files. Jobs of the command line come before those of files.
 */
#ifndef AIOFIO_PARSE_CMDLINE_H
#define AIOFIO_PARSE_CMDLINE_H

#include <stdbool.h>
#include <stdio.h>

#include "job_list.h"
#include "settings.h"

/* 0, or -1 with a reason. What it filled is to be freed in both cases. */
int parse_cmdline(int argc, char *const *argv, struct settings *settings, struct job_list *list,
                  struct message *message);

/* Prints the options of the tool itself, "--output=FILE" and what it does. */
void cmdline_each_option(FILE *out, void (*print)(FILE *out, const char *option, const char *help));

/* Whether the tool itself has an option of that name. */
bool cmdline_has_option(const char *name);

#endif
