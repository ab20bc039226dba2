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

/* Which of the two a letter means is fio's choice, see size_factor(). */
struct size_unit {
    const char *name;
    unsigned power;
    bool with_i;
};

#define KILO 1000ull
#define KIBI 1024ull

static const struct size_unit size_units[] = {
    {"", 0, false},   {"b", 0, false},  {"k", 1, false},  {"kb", 1, false}, {"m", 2, false},
    {"mb", 2, false}, {"g", 3, false},  {"gb", 3, false}, {"t", 4, false},  {"tb", 4, false},
    {"p", 5, false},  {"pb", 5, false}, {"kib", 1, true}, {"mib", 2, true}, {"gib", 3, true},
    {"tib", 4, true}, {"pib", 5, true}, {NULL, 0, false},
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
    *value = (uint64_t)roundl(number->fractional * (long double)factor);
    return 0;
}

static long double number_value(const struct number *number)
{
    return number->exact ? (long double)number->whole : number->fractional;
}

/* What an expression gives as a whole number; a fraction is cut, as a division of bc does. */
static int cut(long double exact, const char *text, uint64_t *value, struct message *message)
{
    if (exact < 0)
        return message_set(message, "'%s': the result is negative", text);
    if (!(exact < 18446744073709551616.0L))
        return message_set(message, "'%s': the result is too large", text);
    *value = (uint64_t)exact;
    return 0;
}

/* fio has k as 1024 and kib as 1000; kb_base=1000 turns it round. */
static uint64_t size_factor(const struct size_unit *unit, uint64_t kb_base)
{
    uint64_t base = unit->with_i == (kb_base == KILO) ? KIBI : KILO;
    uint64_t factor = 1;

    for (unsigned i = 0; i < unit->power; i++)
        factor *= base;
    return factor;
}

static int read_size(const char *text, uint64_t kb_base, struct number *number, uint64_t *factor,
                     struct message *message)
{
    const struct size_unit *unit = size_units;

    if (read_number(text, number, message))
        return -1;
    if (strcmp(number->rest, "%") == 0)
        return message_refuse(message, "'%s' is not supported because it is absolute here", text);
    if (strchr(number->rest, ',') || strchr(number->rest, ':') || strchr(number->rest, '-'))
        return message_refuse(message,
                              "'%s' is not supported because there is one value here, not one by "
                              "direction, and no range",
                              text);
    while (unit->name && strcasecmp(unit->name, number->rest) != 0)
        unit++;
    if (!unit->name)
        return message_set(message, "'%s': unknown unit '%s' (k, m, g, t or p)", text,
                           number->rest);
    *factor = size_factor(unit, kb_base);
    if (unit->with_i && kb_base != KILO)
        message_note_once(message, "kib",
                          "'%s' is %.0Lf bytes: as in fio, '%s' is a power of 1000 and '%c' of "
                          "1024",
                          text, number_value(number) * (long double)*factor, number->rest,
                          number->rest[0]);
    return 0;
}

static int size_leaf(const char *text, uint64_t kb_base, long double *value,
                     struct message *message)
{
    struct number number = {.rest = ""};
    uint64_t factor = 1;

    if (read_size(text, kb_base, &number, &factor, message))
        return -1;
    *value = number_value(&number) * (long double)factor;
    return 0;
}

int units_size_in(const char *text, uint64_t kb_base, uint64_t *value, struct message *message)
{
    struct number number = {.rest = ""};
    uint64_t factor = 1;
    long double exact = 0;

    if (text[0] == '(') {
        if (expression_value(text, size_leaf, kb_base, &exact, message))
            return -1;
        return cut(exact, text, value, message);
    }
    if (read_size(text, kb_base, &number, &factor, message))
        return -1;
    return scale(&number, factor, text, value, message);
}

int units_size(const char *text, uint64_t *value, struct message *message)
{
    return units_size_in(text, KIBI, value, message);
}

static int read_time(const char *text, uint64_t unit_us, struct number *number, uint64_t *factor,
                     struct message *message)
{
    const struct unit *unit = time_units;

    if (read_number(text, number, message))
        return -1;
    *factor = unit_us;
    if (!*number->rest)
        return 0;
    while (unit->name && strcasecmp(unit->name, number->rest) != 0)
        unit++;
    if (!unit->name)
        return message_set(message, "'%s': unknown unit '%s' (us, ms, s, m, h or d)", text,
                           number->rest);
    *factor = unit->factor;
    return 0;
}

/* In units of unit_us, so that the product of a count and a time is a time. */
static int time_leaf(const char *text, uint64_t unit_us, long double *value,
                     struct message *message)
{
    struct number number = {.rest = ""};
    uint64_t factor = unit_us;

    if (read_time(text, unit_us, &number, &factor, message))
        return -1;
    *value = number_value(&number) * (long double)factor / (long double)unit_us;
    return 0;
}

int units_time(const char *text, uint64_t unit_us, uint64_t *time_us, struct message *message)
{
    struct number number = {.rest = ""};
    uint64_t factor = unit_us;
    long double exact = 0;

    if (text[0] == '(') {
        if (expression_value(text, time_leaf, unit_us, &exact, message))
            return -1;
        return cut(roundl(exact * (long double)unit_us), text, time_us, message);
    }
    if (read_time(text, unit_us, &number, &factor, message))
        return -1;
    return scale(&number, factor, text, time_us, message);
}

int units_time_range(const char *text, uint64_t unit_us, uint64_t *from_us, uint64_t *to_us,
                     struct message *message)
{
    char *from = must_copy(text);
    char *to = strchr(from, '-');
    int result;

    if (to)
        *to++ = '\0';
    result = units_time(from, unit_us, from_us, message);
    *to_us = *from_us;
    if (result == 0 && to)
        result = units_time(to, unit_us, to_us, message);
    if (result == 0 && *to_us < *from_us)
        result = message_set(message, "'%s' ends before it begins: swap the two", text);
    free(from);
    return result;
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
