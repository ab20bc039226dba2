/* SPDX-License-Identifier: MIT */
/*
 * exit_code.h - what the exit status of aiofio says.
 *
 * When several apply, bad data wins: nothing may hide it. Then a signal (128 + its number), an I/O
 * error, and an incomplete verification.
 */
#ifndef AIOFIO_EXIT_CODE_H
#define AIOFIO_EXIT_CODE_H

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_USAGE = 1,      /* command line, job file or file state; nothing was run */
    EXIT_CODE_IO = 2,         /* an I/O error */
    EXIT_CODE_DATA = 3,       /* a block had not the expected content */
    EXIT_CODE_UNVERIFIED = 4, /* blocks that were to be verified were not */
    EXIT_CODE_SIGNAL = 128,   /* + signal number */
};

#endif
