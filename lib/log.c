/* SPDX-License-Identifier: MIT */
/*
 * log.c - sentences for the caller's log callback.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

#include "errno_guard.h"

void log_say(const struct log *log, enum aio_log_level level, const char *format, ...)
{
    ERRNO_GUARD; /* the caller's function may change it */
    char message[512];
    va_list arguments;

    if (log->fn == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    log->fn(log->context, level, message);
}
