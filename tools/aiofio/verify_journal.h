/* SPDX-License-Identifier: MIT */
/*
 * verify_journal.h - "aiofio verify --from=JOURNAL": whether the files hold what the journal of a
 * run, however that ended, says that they have to.
 */
#ifndef AIOFIO_VERIFY_JOURNAL_H
#define AIOFIO_VERIFY_JOURNAL_H

#include <stdbool.h>
#include <stdio.h>

/* Whether the words after the program's name ask for it. */
bool verify_journal_is_asked(int argc, char *const *argv);

/* Does it; returns the exit code. */
int verify_journal_run(int argc, char *const *argv, FILE *out, FILE *errors);

#endif
