/* SPDX-License-Identifier: MIT */
/*
 * tool_json.h - what the tools need beside jansson itself: values that are always there, texts of
 * any bytes, and arrays with a line for each element.
 */
#ifndef AIOFILE_TOOL_JSON_H
#define AIOFILE_TOOL_JSON_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* Digits of a real number that are printed: more would be the noise of binary fractions. */
#define TOOL_JSON_FLAGS JSON_REAL_PRECISION(12)

/* Adds a member or an element, whose reference they take. There is no way on without memory: the
 * program ends. */
void json_put(json_t *object, const char *key, json_t *value);
void json_put_text(json_t *object, const char *key, const char *text);
void json_put_count(json_t *object, const char *key, uint64_t count);
void json_put_real(json_t *object, const char *key, double number);
void json_add(json_t *array, json_t *value);

/* A text need not be UTF-8, as the name of a file is not: then it is taken byte for byte, as
 * Latin-1. */
json_t *json_any_text(const char *text);

/* Rounded to so many decimals; null where it is no number. */
json_t *json_rounded(double number, unsigned decimals);

/* Prints an object on a line, but each element of its arrays on one of its own; takes the
 * reference. 0, or -1 where it could not be written. */
int json_print_lines(FILE *out, json_t *object);

#endif
