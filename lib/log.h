/* SPDX-License-Identifier: MIT */
/*
 * log.h - sentences for the caller's log callback; the library's only voice.
 */
#ifndef AIOFILE_LIB_LOG_H
#define AIOFILE_LIB_LOG_H

#include <aiofile/queue.h>

/* Where sentences go; fn NULL throws them away. */
struct log {
    aio_log_fn fn;
    void *context;
};

/* Formats a sentence (cut at 511 bytes) and hands it over. Call it with no lock held. */
void log_say(const struct log *log, enum aio_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
