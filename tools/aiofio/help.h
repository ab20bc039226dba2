/* SPDX-License-Identifier: MIT */
/*
 * help.h - what the tool says about itself, all of it from the tables of options: --help,
 * --cmdhelp, --enghelp.
 */
#ifndef AIOFIO_HELP_H
#define AIOFIO_HELP_H

#include <stdbool.h>
#include <stdio.h>

/* --help. */
void help_print(FILE *out);

/* --cmdhelp=NAME: an option of ours or of fio, or "all", "man" and "markdown" (help_pages.h). */
bool help_has_option(const char *name);
void help_print_option(FILE *out, const char *name);

/* --enghelp=NAME; "ENGINE,OPTION" is fio's way to ask for an option. */
bool help_has_engine(const char *name);
void help_print_engine(FILE *out, const char *name);

/* The sentence about exit codes. */
extern const char *const help_exit_status[];

#endif
