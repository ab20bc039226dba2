/* SPDX-License-Identifier: MIT */
/*
 * units.h - numbers with units: reading them as fio does, and printing them as fio does.
 *
 * Unlike fio, fractions keep their unit (fio reads 1.5g as 1 byte), text after the unit is an error
 * (fio ignores it), and sec, min, hour are times (fio runs 1sec as 1 microsecond).
 */
#ifndef AIOFIO_UNITS_H
#define AIOFIO_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "text.h"

/* Bytes or counts: decimal or 0x, fraction, then k m g t p (1024), kb.. (1024), kib.. (1000, as
 * fio has it; gives a note). A value in parentheses is an expression. 0, or -1 with a reason. */
int units_size(const char *text, uint64_t *value, struct message *message);

/* The same where kb_base is 1000: k is 1000 and kib is 1024, without a note. */
int units_size_in(const char *text, uint64_t kb_base, uint64_t *value, struct message *message);

/* Microseconds: a number, then d h m s ms us or a longer name; without unit unit_us each. A value
 * in parentheses is an expression: (2*30s), or (2*30) times unit_us. */
int units_time(const char *text, uint64_t unit_us, uint64_t *time_us, struct message *message);

/* "5" or "5s-10s". */
int units_time_range(const char *text, uint64_t unit_us, uint64_t *from_us, uint64_t *to_us,
                     struct message *message);

/* Room for what the functions below print. */
#define UNITS_TEXT 32

/* At most four characters and a unit: "16.0MiB", "9.77GiB", "8192KiB", "512B". */
const char *units_print_binary(char out[UNITS_TEXT], double bytes);
const char *units_print_decimal(char out[UNITS_TEXT], double bytes); /* "16.8MB" */
const char *units_print_count(char out[UNITS_TEXT], double count);   /* "26.3k" */

#endif
