/* SPDX-License-Identifier: MIT */
/*
 * help_pages.h - the documentation that is made from the tables of options: the manual page of the
 * build, and the table in doc/aiofio.md.
 */
#ifndef AIOFIO_HELP_PAGES_H
#define AIOFIO_HELP_PAGES_H

#include <stdio.h>

/* aiofio.1, in the man macros of roff. */
void help_print_manual(FILE *out);

/* Every option that fio knows, and our own: a table of Markdown for those of jobs, in alphabetical
 * order, and one for those of the command line. */
void help_print_markdown(FILE *out);

#endif
