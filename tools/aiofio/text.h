/* SPDX-License-Identifier: MIT */
/*
 * text.h - messages for people, strings, and memory that is there or the program ends.
 */
#ifndef AIOFIO_TEXT_H
#define AIOFIO_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* What a function has to say to the user: why it refused, or what it did differently. */
struct message {
    char text[1024];   /* the reason of a refusal */
    char note[512];    /* a warning beside a success; "" = none */
    const char *topic; /* a static text: of notes with the same topic only the first is said */
    bool refused;      /* fio has it, this version does not: --lenient goes on without it */
};

/* Writes the reason; always returns -1, so that a refusal is one statement. */
int message_set(struct message *message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for what fio has and this version does not. */
int message_refuse(struct message *message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes the warning. */
void message_note(struct message *message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes a warning that is said once per topic, which is a static text. */
void message_note_once(struct message *message, const char *topic, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the reason; always returns -1. */
int message_prefix(struct message *message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How many letters to insert, delete, replace or swap with the neighbour to get from a to b. */
unsigned text_distance(const char *a, const char *b);

/* Cuts white space off both ends, in place; returns the start. */
char *text_trim(char *text);

/* Zeroed memory, or the end of the program: a test tool has nothing to do without memory. */
void *must_alloc(size_t count, size_t size);
void *must_grow(void *memory, size_t count, size_t size);
char *must_copy(const char *text);
char *must_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
