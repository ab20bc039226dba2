/* SPDX-License-Identifier: MIT */
#include "expression.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define NESTING_MAX 32

struct reader {
    const char *whole; /* for messages */
    const char *at;
    expression_leaf *leaf;
    uint64_t context; /* of leaf */
    unsigned nesting;
    struct message *message;
};

static int read_sum(struct reader *reader, long double *value);

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

static int read_leaf(struct reader *reader, long double *value)
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
    return reader->leaf(leaf, reader->context, value, reader->message);
}

static int read_product(struct reader *reader, long double *value)
{
    long double factor = 0;

    if (read_leaf(reader, value))
        return -1;
    while (peek(reader) == '*' || peek(reader) == '/') {
        bool divide = *reader->at++ == '/';

        if (read_leaf(reader, &factor))
            return -1;
        if (divide && factor == 0)
            return refuse(reader, "division by zero");
        *value = divide ? *value / factor : *value * factor;
    }
    return 0;
}

static int read_sum(struct reader *reader, long double *value)
{
    long double term = 0;

    if (read_product(reader, value))
        return -1;
    while (peek(reader) == '+' || peek(reader) == '-') {
        bool subtract = *reader->at++ == '-';

        if (read_product(reader, &term))
            return -1;
        *value += subtract ? -term : term;
    }
    return 0;
}

int expression_value(const char *text, expression_leaf *leaf, uint64_t context, long double *value,
                     struct message *message)
{
    struct reader reader = {
        .whole = text, .at = text, .leaf = leaf, .context = context, .message = message};

    if (read_sum(&reader, value))
        return -1;
    if (peek(&reader))
        return refuse(&reader, "text after the expression");
    return 0;
}
