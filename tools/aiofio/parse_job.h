/* SPDX-License-Identifier: MIT */
/*
 * parse_job.h - fio's job files.
 *
 *   ; or # anywhere cuts the line.     [global...] sets defaults for the sections below it.
 *   [name] starts a job.               key=value, or the key alone for a flag.
 *   ${VAR} is the environment.         include FILE reads options from another file.
 *   $ncpus, $pagesize, $mb_memory: with + - * / an expression, as is what stands in parentheses.
 *
 * The order of the lines of a section means nothing, but that the last value of an option counts.
 */
#ifndef AIOFIO_PARSE_JOB_H
#define AIOFIO_PARSE_JOB_H

#include <stdbool.h>
#include <stdio.h>

#include "job_list.h"

struct job_file {
    const char *path;                   /* "-" is standard input */
    const struct job_options *defaults; /* what the command line set for every job */
    char *const *sections;              /* NULL-terminated: only these jobs; NULL: all */
    bool wall;                          /* the first job waits for what came before the file */
};

/* Adds the jobs of a file to the list. 0, or -1 with "FILE:LINE: reason". */
int parse_job_file(const struct job_file *file, struct job_list *list, struct message *message);

/* The same from a stream; the path is for messages, and includes are looked for beside it. */
int parse_job_stream(const struct job_file *file, FILE *stream, struct job_list *list,
                     struct message *message);

#endif
