/* SPDX-License-Identifier: MIT */
/*
 * option_values.h - setters of options whose values have parts: by direction, percent, or a grammar
 * of their own. Each is a set function of the option table.
 */
#ifndef AIOFIO_OPTION_VALUES_H
#define AIOFIO_OPTION_VALUES_H

#include <stdio.h>

#include "options.h"

/* Up to three numbers by direction (read, write, trim) into uint64_t[3]. As in fio a direction that
 * is not named has the value before it; after a trailing comma, or where nothing stands before a
 * comma, it is the default. */
int option_set_list(const struct option *option, struct job_options *job, const char *value,
                    struct message *message);

int option_set_buffer_pattern(const struct option *option, struct job_options *job,
                              const char *value, struct message *message);
int option_set_cpus(const struct option *option, struct job_options *job, const char *value,
                    struct message *message);

/* The opposite of a 0 or 1: buffered of direct. */
int option_set_inverse(const struct option *option, struct job_options *job, const char *value,
                       struct message *message);

/* Bytes, or percent with OPTION_PERCENT set. */
int option_set_amount(const struct option *option, struct job_options *job, const char *value,
                      struct message *message);

/* The workload and what follows its colon. */
int option_set_rw(const struct option *option, struct job_options *job, const char *value,
                  struct message *message);

/* A word and, after a colon, a number of operations. */
int option_set_service(const struct option *option, struct job_options *job, const char *value,
                       struct message *message);

/* Texts that are checked now and kept as they are. */
int option_set_bsrange(const struct option *option, struct job_options *job, const char *value,
                       struct message *message);
int option_set_bssplit(const struct option *option, struct job_options *job, const char *value,
                       struct message *message);
int option_set_distribution(const struct option *option, struct job_options *job, const char *value,
                            struct message *message);

/* A time; without unit in microseconds, or milliseconds. */
int option_set_us(const struct option *option, struct job_options *job, const char *value,
                  struct message *message);
int option_set_ms(const struct option *option, struct job_options *job, const char *value,
                  struct message *message);

/* A time in seconds, or a range; kept as text. */
int option_set_time_range(const struct option *option, struct job_options *job, const char *value,
                          struct message *message);

/* Prints what one of the first three has set as an option that can be read again, where it is not
 * the default; false: the option is none of theirs. */
bool option_print_value(FILE *out, const struct option *option, const struct job_options *job,
                        const struct job_options *defaults);

#endif
