/* SPDX-License-Identifier: MIT */
#include "percentile_list.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;

    return (a > b) - (a < b);
}

/* How many digits after the point were written. */
static unsigned count_decimals(const char *number, const char *end)
{
    const char *point = memchr(number, '.', (size_t)(end - number));

    return point ? (unsigned)(end - point - 1) : 0;
}

int percentile_list_parse(const char *text, struct percentile_list *list, struct message *message)
{
    const char *at = text ? text : PERCENTILES_DEFAULT;

    *list = (struct percentile_list){.count = 0};
    for (;;) {
        size_t length = strspn(at, "0123456789.");
        unsigned decimals = count_decimals(at, at + length);
        char *end = NULL;
        double percent = strtod(at, &end);

        if (length == 0 || end != at + length || percent <= 0 || percent > 100)
            return message_set(
                message,
                "'%.*s' is no percentile; give numbers above 0 and up to 100, parted "
                "by colons (50:99:99.9)",
                (int)strcspn(at, ":"), at);
        if (list->count == PERCENTILES_MAX)
            return message_set(message, "more than %u percentiles; leave some out",
                               PERCENTILES_MAX);
        list->percents[list->count++] = percent;
        /* More than nine digits are no longer a matter of how it is printed. */
        if (decimals > list->decimals)
            list->decimals = decimals < 9 ? decimals : 9;
        at = end;
        if (*at == '\0')
            break;
        if (*at++ != ':')
            return message_set(message, "'%s': a colon parts the percentiles (50:99:99.9)", at - 1);
    }
    qsort(list->percents, list->count, sizeof(list->percents[0]), compare);
    return 0;
}
