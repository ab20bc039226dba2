/* SPDX-License-Identifier: MIT */
/*
 * info.h - the rooms of aiofile-info: main.c (the command line), facts.c (what a file is to the
 * library), coherence.c (whether page cache and direct I/O agree here, by means of probe.h).
 */
#ifndef AIOFILE_INFO_H
#define AIOFILE_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <aiofile/aiofile.h>

/* Exit statuses. */
enum {
    EXIT_OK = 0,
    EXIT_ERROR = 1, /* a path could not be looked at */
    EXIT_USAGE = 2, /* the command line */
};

/* Says on standard error what went wrong with a path, and what to do. Returns EXIT_ERROR. */
int complain(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for an error that a call returned: a negated errno. */
int complain_error(const char *path, int error);

/* What a path is, as the library sees it. */
struct facts {
    bool directory; /* the file is an unnamed one in it */
    bool device;
    char file_system[32]; /* type, as mount(8) names it; "none" for devices */
    char sentence[512];   /* the log's last, or empty */
    struct aio_file_info info;
};

/* Finds out. Returns 0, or a negated errno; then sentence may hold what the library said of it. */
int facts_find(const char *path, struct facts *facts);

/* Complains of a path whose facts could not be found. */
int complain_facts(const char *path, const struct facts *facts, int error);

/* Name of an enum aio_direct_granted. */
const char *direct_name(uint32_t direct_granted);

/* Makes a file without a name in a directory, for reading and writing. Returns its descriptor or a
 * negated errno. */
int temporary_make(const char *directory);

/* How --coherence is to go about it. */
struct coherence_options {
    bool destroy;    /* the path may be a device, whose data is lost */
    unsigned rounds; /* of each race; 0: a good number, but no more than two seconds */
};

/* Tries, and prints a line for each thing tried. Returns an exit status. */
int coherence_run(const char *path, const struct coherence_options *options);

#endif
