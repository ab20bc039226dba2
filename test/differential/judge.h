/* SPDX-License-Identifier: MIT */
/*
 * judge.h - what the modes of the differential test share: the run and its seed, choices, and how a
 * disagreement is told.
 */
#ifndef AIOFILE_TEST_DIFFERENTIAL_JUDGE_H
#define AIOFILE_TEST_DIFFERENTIAL_JUDGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "support.h"

/* What was asked for on the command line, and where the run is. Settled by main() before there are
 * threads, but for mode, seed and operations, which change between modes. */
struct run {
    const char *program;
    const char *engine_text;
    enum aio_engine engine;
    const char *directory;    /* --dir; NULL: one is looked for */
    const char *device;       /* --device; NULL: files in a directory */
    int direct;               /* --direct: the only enum aio_direct to open with; -1: any */
    int unaligned;            /* --unaligned, on a device: the only one; -1: both */
    uint32_t memory;          /* --memory: the memory alignment to open with; 0: any */
    bool verbose;             /* every step is printed */
    bool without_grow_ahead;  /* --without: to see what a defect has to do with */
    bool without_append_mode; /* */

    const char *mode;
    uint64_t seed; /* as given: each mode makes its own of it */
    uint64_t operations;
    char scratch[4096]; /* the directory for files, removed at the end */

    atomic_ullong step; /* operations begun */
};
extern struct run the_run;

/* Says what differs, where, and how to see it again; ends the program. */
_Noreturn void disagree(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what the calling thread does next; the last few are shown where something differs. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Counts an operation. */
void step(void);

/* A call of the library: gives its result and sees that errno is as before. */
#define ASK(call) (errno = ERRNO_MARK, ask_result((int64_t)(call), #call))
int64_t ask_result(int64_t result, const char *call);

/* The handle's answer and the right one. */
void agree(const char *what, int64_t found, int64_t expected);

/* Bytes of the handle and the right ones, which begin at an offset of the file. */
void agree_bytes(const char *what, const unsigned char *found, const unsigned char *expected,
                 uint64_t length, uint64_t offset);

/* A system call of the test's own that has to work. */
void must(bool worked, const char *what);

/* Choices. */
uint64_t below(uint64_t *random, uint64_t limit);
bool one_in(uint64_t *random, unsigned count);
#define ONE_OF(random, array) ((array)[below((random), COUNT(array))])

/* Starts and ends the watch over a run: one in which nothing begins for long is a disagreement. */
void watch_begin(void);
void watch_end(void);

/* Names of the two files. */
#define SUBJECT "subject"
#define TWIN "plain"

/* Removes the files of the run; also when a signal ends it. */
void scratch_remove(void);
void scratch_remove_on_signals(void);

#endif
