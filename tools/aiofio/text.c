/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit_code.h"

#define DISTANCE_LENGTH_MAX 40

int message_set(struct message *message, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message->text, sizeof(message->text), format, arguments);
    va_end(arguments);
    return -1;
}

int message_refuse(struct message *message, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message->text, sizeof(message->text), format, arguments);
    va_end(arguments);
    message->refused = true;
    return -1;
}

void message_note_once(struct message *message, const char *topic, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message->note, sizeof(message->note), format, arguments);
    va_end(arguments);
    message->topic = topic;
}

void message_note(struct message *message, const char *format, ...)
{
    va_list arguments;

    message->topic = NULL;
    va_start(arguments, format);
    vsnprintf(message->note, sizeof(message->note), format, arguments);
    va_end(arguments);
}

int message_prefix(struct message *message, const char *format, ...)
{
    char prefixed[sizeof(message->text)];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(prefixed, sizeof(prefixed), format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof(prefixed))
        snprintf(prefixed + length, sizeof(prefixed) - (size_t)length, ": %.*s",
                 (int)(sizeof(prefixed) - (size_t)length) - 3, message->text);
    memcpy(message->text, prefixed, sizeof(prefixed));
    return -1;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned text_distance(const char *a, const char *b)
{
    unsigned row[3][DISTANCE_LENGTH_MAX + 1];
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);

    if (a_length > DISTANCE_LENGTH_MAX || b_length > DISTANCE_LENGTH_MAX)
        return DISTANCE_LENGTH_MAX;

    for (unsigned j = 0; j <= b_length; j++)
        row[0][j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned *now = row[i % 3];
        const unsigned *before = row[(i + 2) % 3];
        const unsigned *two_before = row[(i + 1) % 3];

        now[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            unsigned replaced = before[j - 1] + (a[i - 1] != b[j - 1]);

            now[j] = least(replaced, least(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], two_before[j - 2] + 1);
        }
    }
    return row[a_length % 3][b_length];
}

char *text_trim(char *text)
{
    size_t length;

    while (isspace((unsigned char)*text))
        text++;
    length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

static void *check_memory(void *memory)
{
    if (!memory) {
        fputs("aiofio: out of memory\n", stderr);
        exit(EXIT_CODE_USAGE);
    }
    return memory;
}

void *must_alloc(size_t count, size_t size)
{
    return check_memory(calloc(count ? count : 1, size));
}

void *must_grow(void *memory, size_t count, size_t size)
{
    return check_memory(reallocarray(memory, count ? count : 1, size));
}

char *must_copy(const char *text)
{
    return check_memory(strdup(text));
}

char *must_format(const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return check_memory(length < 0 ? NULL : text);
}
