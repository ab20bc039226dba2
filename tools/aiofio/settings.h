/* SPDX-License-Identifier: MIT */
/*
 * settings.h - what the command line asks of the tool itself, apart from jobs.
 */
#ifndef AIOFIO_SETTINGS_H
#define AIOFIO_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum eta_mode { ETA_AUTO, ETA_ALWAYS, ETA_NEVER };

/* What is reported, as bits. */
enum format { FORMAT_NORMAL = 1, FORMAT_TERSE = 2, FORMAT_JSON = 4, FORMAT_BINS = 8 };

enum request {
    REQUEST_RUN,
    REQUEST_PARSE,
    REQUEST_SHOW,
    REQUEST_HELP,
    REQUEST_VERSION,
    REQUEST_OPTION_HELP,
    REQUEST_ENGINE_HELP,
};

struct settings {
    enum request request;
    char *option_help; /* whose, for REQUEST_OPTION_HELP; "all" */
    char *engine_help; /* which, for REQUEST_ENGINE_HELP; NULL: all */
    char *output;      /* file of the report; NULL: standard output */
    unsigned formats;  /* enum format; 0: normal */
    enum eta_mode eta;
    uint64_t interval_us; /* of the progress line and of live JSON; 0: the default */
    char *live_json;      /* file, or NULL */
    char *page;           /* of --report, or NULL */
    bool readonly;        /* refuse everything that writes */
    bool force;           /* may write into files that aiofio did not make */
    bool devices;         /* may write to block devices */
    bool lenient;         /* go on without options that fio has and this version does not */
    bool warnings_fatal;
    char **sections; /* NULL-terminated, or NULL */
    size_t section_count;
};

void settings_free(struct settings *settings);

#endif
