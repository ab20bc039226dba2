/* SPDX-License-Identifier: MIT */
/*
 * expression.h - sums and products of sizes, as in size=(2*$mb_memory)m or bs=(3*4k).
 */
#ifndef AIOFIO_EXPRESSION_H
#define AIOFIO_EXPRESSION_H

#include <stdint.h>

#include "text.h"

/* Evaluates + - * / and parentheses over numbers with size units. 0, or -1 with a reason. */
int expression_value(const char *text, uint64_t *value, struct message *message);

#endif
