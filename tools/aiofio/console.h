/* SPDX-License-Identifier: MIT */
/*
 * console.h - standard error, shared by the progress line and by messages that interrupt it.
 */
#ifndef AIOFIO_CONSOLE_H
#define AIOFIO_CONSOLE_H

#include <pthread.h>
#include <stdio.h>

struct console {
    pthread_mutex_t lock; /* guards the two below */
    FILE *stream;
    size_t shown; /* letters of the progress line that stand there now */
};

void console_init(struct console *console, FILE *stream);
void console_destroy(struct console *console);

/* Prints a line of its own: "aiofio: ...". Any thread. */
void console_line(struct console *console, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Replaces the progress line; "" takes it away. */
void console_progress(struct console *console, const char *text);

#endif
