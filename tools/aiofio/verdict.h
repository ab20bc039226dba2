/* SPDX-License-Identifier: MIT */
/*
 * verdict.h - what the run proves: the exit code, the line about verification, and a sentence.
 */
#ifndef AIOFIO_VERDICT_H
#define AIOFIO_VERDICT_H

#include <stdio.h>

#include "worker.h"

/* The exit code; see exit_code.h for what goes before what. */
int verdict_exit_code(const struct run *run);

/* The same in words: "ok", "wrong data", ... */
const char *verdict_sentence(const struct run *run);

/* "verify: 65536 blocks, 65536 checked, 0 bad, ..." if a job verifies. */
void verdict_print(FILE *out, const struct run *run);

/* Says in words what was proven. Prints nothing unless every claim holds: each block was written by
 * one engine in one way, read back and right, and nothing else went wrong. */
void verdict_print_proof(FILE *out, const struct run *run);

#endif
