/* SPDX-License-Identifier: MIT */
#include "showcmd.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "option_values.h"

static const char *text_of(const struct option *option, const struct job_options *job)
{
    const char *text;

    memcpy(&text, (const char *)job + option->field, sizeof(text));
    return text;
}

static uint64_t number_of(const struct option *option, const struct job_options *job)
{
    uint64_t number;

    memcpy(&number, (const char *)job + option->field, sizeof(number));
    return number;
}

/* Quotes what a shell would take apart. */
static void print_text(FILE *out, const char *text)
{
    bool quote = text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "_-./,=+@%")] != '\0';

    if (quote)
        fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\'", out);
        fputc(*text, out);
    }
    if (quote)
        fputc('\'', out);
}

static void print_option(FILE *out, const struct option *option, const struct job_options *job,
                         const struct job_options *defaults)
{
    if (strcmp(option->type, "path") == 0 || strcmp(option->type, "text") == 0) {
        const char *text = text_of(option, job);

        if (!text || option->field == offsetof(struct job_options, name))
            return;
        fprintf(out, " --%s=", option->name);
        print_text(out, text);
        return;
    }
    if (option_print_value(out, option, job, defaults))
        return;
    if (number_of(option, job) == number_of(option, defaults))
        return;
    fprintf(out, " --%s", option->name);
    if (option->choices)
        fprintf(out, "=%s", option_choice_name(option->name, number_of(option, job)));
    else if (!option->flag)
        fprintf(out, "=%" PRIu64 "%s", number_of(option, job),
                strcmp(option->type, "time") == 0 ? "us" : "");
    else if (number_of(option, job) == 0)
        fputs("=0", out);
}

void showcmd_print(FILE *out, const struct job_list *list)
{
    struct job_options defaults;

    job_options_init(&defaults);
    fputs("aiofio", out);
    for (size_t i = 0; i < list->count; i++) {
        fputs(" --name=", out);
        print_text(out, list->jobs[i].name);
        for (const struct option *option = option_table; option->name; option++)
            print_option(out, option, &list->jobs[i], &defaults);
    }
    fputc('\n', out);
    job_options_free(&defaults);
}
