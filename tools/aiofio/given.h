/* SPDX-License-Identifier: MIT */
/*
 * given.h - the options of a job as they were written, for reports that repeat them.
 */
#ifndef AIOFIO_GIVEN_H
#define AIOFIO_GIVEN_H

#include <stdbool.h>
#include <stddef.h>

struct given {
    const char *name; /* of the option's row */
    char *value;      /* "" where the option stood alone */
    bool global;      /* not of the job itself: of [global], or before the first --name */
};

struct given_list {
    struct given *items;
    size_t count;
};

/* The last value of an option is the one that counts; value NULL when the word stood alone. */
void given_set(struct given_list *list, const char *name, const char *value);

/* The value of an option, or NULL. */
const struct given *given_find(const struct given_list *list, const char *name);

/* A job begins as a copy of what is global. */
void given_inherit(struct given_list *to, const struct given_list *from);
void given_free(struct given_list *list);

#endif
