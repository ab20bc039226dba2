/* SPDX-License-Identifier: MIT */
/*
 * fio_names.h - what fio knows beside the options of this tool, and what becomes of each.
 *
 * A user whose job file is right for fio is not told that he mistyped: an option is ignored where
 * that does no harm, else refused, each with its reason. A name that is in options.c, too, is
 * supported: that table is asked first.
 */
#ifndef AIOFIO_FIO_NAMES_H
#define AIOFIO_FIO_NAMES_H

#include <stdbool.h>

/* A job option of fio, up to 3.42. */
struct fio_option {
    const char *name;
    const char *alias;   /* NULL: none */
    const char *type;    /* as in struct option; "flag" and "prefix" may stand alone */
    const char *initial; /* fio's default, NULL: none; with it, it is no refusal to do nothing */
    bool ignored;        /* else refused */
    const char *reason;  /* a main clause */
};

/* An option of fio's command line. */
struct fio_command {
    const char *name;
    bool takes_value;
    bool ignored;
    const char *reason;
};

/* The tables; their last rows have no name. */
extern const struct fio_option fio_options[];
extern const struct fio_command fio_commands[];

/* The row of that name or alias, or NULL. */
const struct fio_option *fio_option_find(const char *name);
const struct fio_command *fio_command_find(const char *name);

/* Whether the name may stand without a value. */
bool fio_option_stands_alone(const struct fio_option *option);

#endif
