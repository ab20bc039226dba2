/* SPDX-License-Identifier: MIT */
/*
 * cpu_list.h - the processors that a job may run on.
 */
#ifndef AIOFIO_CPU_LIST_H
#define AIOFIO_CPU_LIST_H

#include <sched.h>

#include "text.h"

/* "0,2-4". 0, or -1 with a reason. */
int cpu_list_parse(const char *text, cpu_set_t *set, struct message *message);

/* Lets the calling thread run on these alone: all of them, or for split the clone's own, in turn.
 * 0 or a negated errno. */
int cpu_list_apply(const char *text, int split, unsigned clone);

#endif
