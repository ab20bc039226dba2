/* SPDX-License-Identifier: MIT */
#include "console.h"

#include <stdarg.h>
#include <string.h>

void console_init(struct console *console, FILE *stream)
{
    pthread_mutex_init(&console->lock, NULL);
    console->stream = stream;
    console->shown = 0;
}

void console_destroy(struct console *console)
{
    pthread_mutex_destroy(&console->lock);
}

static void wipe_progress(struct console *console)
{
    if (console->shown)
        fprintf(console->stream, "\r%*s\r", (int)console->shown, "");
    console->shown = 0;
}

void console_line(struct console *console, const char *format, ...)
{
    va_list arguments;

    pthread_mutex_lock(&console->lock);
    wipe_progress(console);
    fputs("aiofio: ", console->stream);
    va_start(arguments, format);
    vfprintf(console->stream, format, arguments);
    va_end(arguments);
    fputc('\n', console->stream);
    fflush(console->stream);
    pthread_mutex_unlock(&console->lock);
}

void console_progress(struct console *console, const char *text)
{
    size_t length = strlen(text);

    pthread_mutex_lock(&console->lock);
    if (length == 0)
        wipe_progress(console);
    else
        /* Padded to the former length, so that nothing of it is left. */
        fprintf(console->stream, "\r%s%*s", text,
                console->shown > length ? (int)(console->shown - length) : 0, "");
    console->shown = length;
    fflush(console->stream);
    pthread_mutex_unlock(&console->lock);
}
