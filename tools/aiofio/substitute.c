/* SPDX-License-Identifier: MIT */
#include "substitute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A string that grows. */
struct builder {
    char *text;
    size_t length;
};

static void append(struct builder *builder, const char *piece, size_t length)
{
    builder->text = must_grow(builder->text, builder->length + length + 1, 1);
    memcpy(builder->text + builder->length, piece, length);
    builder->length += length;
    builder->text[builder->length] = '\0';
}

char *substitute_environment(const char *line, char *unset, size_t unset_size,
                             struct message *message)
{
    struct builder out = {0};

    unset[0] = '\0';
    append(&out, "", 0);
    while (*line) {
        const char *open = strstr(line, "${");
        const char *close = open ? strchr(open, '}') : NULL;
        char name[256];
        const char *value;

        if (!open) {
            append(&out, line, strlen(line));
            break;
        }
        if (!close || (size_t)(close - open) >= sizeof(name)) {
            message_set(message, "'${' without '}'");
            free(out.text);
            return NULL;
        }
        append(&out, line, (size_t)(open - line));
        snprintf(name, sizeof(name), "%.*s", (int)(close - open - 2), open + 2);
        value = getenv(name);
        if (value)
            append(&out, value, strlen(value));
        else
            snprintf(unset, unset_size, "%s", name);
        line = close + 1;
    }
    return out.text;
}

struct keyword {
    const char *name;
    unsigned long long (*value)(void);
};

static unsigned long long page_size(void)
{
    return (unsigned long long)sysconf(_SC_PAGESIZE);
}

static unsigned long long memory_mib(void)
{
    return ((unsigned long long)sysconf(_SC_PHYS_PAGES) * page_size()) >> 20;
}

static unsigned long long cpu_count(void)
{
    return (unsigned long long)sysconf(_SC_NPROCESSORS_ONLN);
}

static const struct keyword keywords[] = {
    {"$pagesize", page_size},
    {"$mb_memory", memory_mib},
    {"$ncpus", cpu_count},
};

char *substitute_keywords(const char *value, bool numeric)
{
    struct builder out = {0};
    bool replaced = false;

    append(&out, "(", 1);
    while (*value) {
        size_t taken = 1;

        for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
            size_t length = strlen(keywords[i].name);
            char number[32];

            if (strncmp(value, keywords[i].name, length) != 0)
                continue;
            snprintf(number, sizeof(number), "%llu", keywords[i].value());
            append(&out, number, strlen(number));
            taken = length;
            replaced = true;
        }
        if (taken == 1)
            append(&out, value, 1);
        value += taken;
    }
    if (numeric && replaced && strpbrk(out.text, "+-*/"))
        append(&out, ")", 1);
    else
        memmove(out.text, out.text + 1, out.length);
    return out.text;
}
