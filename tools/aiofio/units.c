/* SPDX-License-Identifier: MIT */
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "expression.h"

struct unit {
    const char *name;
    uint64_t factor;
};

#define KILO 1000ull
#define KIBI 1024ull

static const struct unit size_units[] = {
    {"", 1},
    {"b", 1},
    {"k", KIBI},
    {"kb", KIBI},
    {"m", KIBI *KIBI},
    {"mb", KIBI *KIBI},
    {"g", KIBI *KIBI *KIBI},
    {"gb", KIBI *KIBI *KIBI},
    {"t", KIBI *KIBI *KIBI *KIBI},
    {"tb", KIBI *KIBI *KIBI *KIBI},
    {"p", KIBI *KIBI *KIBI *KIBI *KIBI},
    {"pb", KIBI *KIBI *KIBI *KIBI *KIBI},
    {"kib", KILO},
    {"mib", KILO *KILO},
    {"gib", KILO *KILO *KILO},
    {"tib", KILO *KILO *KILO *KILO},
    {"pib", KILO *KILO *KILO *KILO *KILO},
    {NULL, 0},
};

static const struct unit time_units[] = {
    {"us", 1},
    {"usec", 1},
    {"ms", 1000},
    {"msec", 1000},
    {"s", 1000000},
    {"sec", 1000000},
    {"second", 1000000},
    {"seconds", 1000000},
    {"m", 60 * 1000000ull},
    {"min", 60 * 1000000ull},
    {"minute", 60 * 1000000ull},
    {"minutes", 60 * 1000000ull},
    {"h", 3600 * 1000000ull},
    {"hour", 3600 * 1000000ull},
    {"hours", 3600 * 1000000ull},
    {"d", 24 * 3600 * 1000000ull},
    {"day", 24 * 3600 * 1000000ull},
    {"days", 24 * 3600 * 1000000ull},
    {NULL, 0},
};

static const struct unit *find_unit(const struct unit *units, const char *name)
{
    for (; units->name; units++)
        if (strcasecmp(units->name, name) == 0)
            return units;
    return NULL;
}

/* A number as read: exactly when it has no fraction. */
struct number {
    bool exact;
    uint64_t whole;
    long double fractional;
    const char *rest; /* what follows it */
};

static int read_number(const char *text, struct number *number, struct message *message)
{
    bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits_end = text;
    char *end;

    if (text[0] == '-')
        return message_set(message, "'%s' is negative", text);
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return message_set(message, "'%s' is not a number", text);
    if (hexadecimal && !isxdigit((unsigned char)text[2]))
        return message_set(message, "'%s' is not a number", text);

    while (!hexadecimal && isdigit((unsigned char)*digits_end))
        digits_end++;
    number->exact = hexadecimal || *digits_end != '.';
    errno = 0;
    if (number->exact) {
        number->whole = strtoull(text, &end, hexadecimal ? 16 : 10);
        if (errno == ERANGE)
            return message_set(message, "'%s' is too large", text);
    } else {
        digits_end++;
        while (isdigit((unsigned char)*digits_end))
            digits_end++;
        if (digits_end - text == 1)
            return message_set(message, "'%s' is not a number", text);
        /* Not to its own end: strtold() would take the e of an exponent, or hexadecimal. */
        number->fractional = strtold(text, NULL);
        end = (char *)digits_end;
    }
    number->rest = end;
    while (*number->rest == ' ')
        number->rest++;
    return 0;
}

static int scale(const struct number *number, uint64_t factor, const char *text, uint64_t *value,
                 struct message *message)
{
    if (number->exact) {
        if (__builtin_mul_overflow(number->whole, factor, value))
            return message_set(message, "'%s' is too large", text);
        return 0;
    }
    if (factor == 1)
        return message_set(message, "'%s' is no whole number", text);
    if (number->fractional * (long double)factor >= 18446744073709551615.0L)
        return message_set(message, "'%s' is too large", text);
    *value = (uint64_t)llroundl(number->fractional * (long double)factor);
    return 0;
}

int units_size(const char *text, uint64_t *value, struct message *message)
{
    const struct unit *unit;
    struct number number = {.rest = ""};

    if (text[0] == '(')
        return expression_value(text, value, message);
    if (read_number(text, &number, message))
        return -1;
    if (strcmp(number.rest, "%") == 0)
        return message_set(message, "'%s': percent values are not supported in this version", text);
    if (strchr(number.rest, ',') || strchr(number.rest, ':') || strchr(number.rest, '-'))
        return message_set(message,
                           "'%s': several values (by direction, or a range) are not supported in "
                           "this version",
                           text);
    unit = find_unit(size_units, number.rest);
    if (!unit)
        return message_set(message, "'%s': unknown unit '%s' (k, m, g, t or p)", text, number.rest);
    if (scale(&number, unit->factor, text, value, message))
        return -1;
    if (unit->factor % KILO == 0 && unit->factor > 1)
        message_note(message,
                     "'%s' is %llu bytes: as in fio, '%s' is a power of 1000 and '%c' of "
                     "1024",
                     text, (unsigned long long)*value, number.rest, number.rest[0]);
    return 0;
}

int units_time(const char *text, uint64_t unit_us, uint64_t *time_us, struct message *message)
{
    struct number number = {.rest = ""};
    uint64_t factor = unit_us;

    if (read_number(text, &number, message))
        return -1;
    if (*number.rest) {
        const struct unit *unit = find_unit(time_units, number.rest);

        if (!unit)
            return message_set(message, "'%s': unknown unit '%s' (us, ms, s, m, h or d)", text,
                               number.rest);
        factor = unit->factor;
    }
    return scale(&number, factor, text, time_us, message);
}

static const char *print_scaled(char out[UNITS_TEXT], double value, double base,
                                const char *const *suffixes)
{
    size_t step = 0;

    /* Four digits are kept; five are one unit further: 8192KiB, 16.0MiB. */
    while (round(value) >= 10000 && suffixes[step + 1]) {
        value /= base;
        step++;
    }
    if (step == 0 || value >= 99.95)
        snprintf(out, UNITS_TEXT, "%.0f%s", value, suffixes[step]);
    else if (value >= 9.995)
        snprintf(out, UNITS_TEXT, "%.1f%s", value, suffixes[step]);
    else
        snprintf(out, UNITS_TEXT, "%.2f%s", value, suffixes[step]);
    return out;
}

const char *units_print_binary(char out[UNITS_TEXT], double bytes)
{
    static const char *const suffixes[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", NULL};

    return print_scaled(out, bytes, 1024, suffixes);
}

const char *units_print_decimal(char out[UNITS_TEXT], double bytes)
{
    static const char *const suffixes[] = {"B", "kB", "MB", "GB", "TB", "PB", NULL};

    return print_scaled(out, bytes, 1000, suffixes);
}

const char *units_print_count(char out[UNITS_TEXT], double count)
{
    static const char *const suffixes[] = {"", "k", "M", "G", NULL};

    return print_scaled(out, count, 1000, suffixes);
}
