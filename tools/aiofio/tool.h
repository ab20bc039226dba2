/* SPDX-License-Identifier: MIT */
/*
 * tool.h - aiofio as a function: from the command line to the exit code.
 */
#ifndef AIOFIO_TOOL_H
#define AIOFIO_TOOL_H

#include <stdio.h>

#include "runner.h"

/* Returns an exit code of exit_code.h. hooks is NULL but in tests. */
int tool_run(int argc, char *const *argv, FILE *out, FILE *errors, const struct run_hooks *hooks);

#endif
