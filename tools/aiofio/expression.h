/* SPDX-License-Identifier: MIT */
/*
 * expression.h - sums and products of numbers with units, as in size=(2*$mb_memory*1m) or
 * runtime=(2*30s).
 */
#ifndef AIOFIO_EXPRESSION_H
#define AIOFIO_EXPRESSION_H

#include <stdint.h>

#include "text.h"

/* Reads one number, with its unit. */
typedef int expression_leaf(const char *text, uint64_t context, long double *value,
                            struct message *message);

/* Evaluates + - * / and parentheses; the division has fractions. 0, or -1 with a reason. */
int expression_value(const char *text, expression_leaf *leaf, uint64_t context, long double *value,
                     struct message *message);

#endif
