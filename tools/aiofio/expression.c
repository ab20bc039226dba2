/* SPDX-License-Identifier: MIT */
#include "expression.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "units.h"

#define NESTING_MAX 32

struct reader {
    const char *whole; /* for messages */
    const char *at;
    unsigned nesting;
    struct message *message;
};

static int read_sum(struct reader *reader, uint64_t *value);

static char peek(struct reader *reader)
{
    while (isspace((unsigned char)*reader->at))
        reader->at++;
    return *reader->at;
}

static int refuse(struct reader *reader, const char *why)
{
    return message_set(reader->message, "'%s': %s", reader->whole, why);
}

static int read_leaf(struct reader *reader, uint64_t *value)
{
    char leaf[64];
    size_t length = 0;

    *value = 0;
    if (peek(reader) == '(') {
        if (++reader->nesting > NESTING_MAX)
            return refuse(reader, "too many parentheses");
        reader->at++;
        if (read_sum(reader, value))
            return -1;
        if (peek(reader) != ')')
            return refuse(reader, "a ')' is missing");
        reader->at++;
        reader->nesting--;
        return 0;
    }
    while (isalnum((unsigned char)reader->at[length]) || reader->at[length] == '.')
        length++;
    if (length == 0 || length >= sizeof(leaf))
        return refuse(reader, "a number is missing");
    memcpy(leaf, reader->at, length);
    leaf[length] = '\0';
    reader->at += length;
    return units_size(leaf, value, reader->message);
}

static int read_product(struct reader *reader, uint64_t *value)
{
    uint64_t factor = 0;

    if (read_leaf(reader, value))
        return -1;
    while (peek(reader) == '*' || peek(reader) == '/') {
        bool divide = *reader->at++ == '/';

        if (read_leaf(reader, &factor))
            return -1;
        if (divide && factor == 0)
            return refuse(reader, "division by zero");
        if (divide)
            *value /= factor;
        else if (__builtin_mul_overflow(*value, factor, value))
            return refuse(reader, "the result is too large");
    }
    return 0;
}

static int read_sum(struct reader *reader, uint64_t *value)
{
    uint64_t term = 0;

    if (read_product(reader, value))
        return -1;
    while (peek(reader) == '+' || peek(reader) == '-') {
        bool subtract = *reader->at++ == '-';

        if (read_product(reader, &term))
            return -1;
        if (subtract ? __builtin_sub_overflow(*value, term, value)
                     : __builtin_add_overflow(*value, term, value))
            return refuse(reader, subtract ? "the result is negative" : "the result is too large");
    }
    return 0;
}

int expression_value(const char *text, uint64_t *value, struct message *message)
{
    struct reader reader = {.whole = text, .at = text, .message = message};

    if (read_sum(&reader, value))
        return -1;
    if (peek(&reader))
        return refuse(&reader, "text after the expression");
    return 0;
}
