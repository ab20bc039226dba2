/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <string.h>

#include "fio_names.h"
#include "help_pages.h"
#include "options.h"
#include "parse_cmdline.h"

const char *const help_exit_status[] = {
    "0    all right",
    "1    wrong use: nothing was run",
    "2    an I/O error",
    "3    wrong data, whatever else happened",
    "4    blocks that were to be verified were not",
    "128+ number of the signal that ended the run",
    NULL,
};

static void print_tool_option(FILE *out, const char *option, const char *help)
{
    fprintf(out, "  %-22s %s\n", option, help);
}

static void print_line(FILE *out, const struct option *option)
{
    fprintf(out, "%-18s: %s [%s]\n", option->name, option->help,
            option->initial ? option->initial : "none");
}

void help_print(FILE *out)
{
    fputs("usage: aiofio [options] [job options] [job file...]\n"
          "       aiofio verify --from=JOURNAL [--after=kill|cut]\n"
          "\n"
          "Runs fio job files on struct aio_file of libaiofile. A file - is standard input.\n"
          "\n",
          out);
    cmdline_each_option(out, print_tool_option);
    fputs("\nJob options, in a file as key=value, here as --key=value (--name=NAME starts a job):\n"
          "\n",
          out);
    for (const struct option *option = option_table; option->name; option++)
        print_line(out, option);
    fputs("\nExit status:\n", out);
    for (const char *const *line = help_exit_status; *line; line++)
        fprintf(out, "  %s\n", *line);
}

static void print_row(FILE *out, const char *key, const char *value)
{
    fprintf(out, "%20s: %s\n", key, value);
}

static void print_choices(FILE *out, const struct option *option)
{
    for (const struct option_choice *choice = option->choices; choice->name; choice++)
        if (!choice->refused)
            fprintf(out, "%20s: %-16s %s\n", "value", choice->name, choice->help);
}

static void print_ours(FILE *out, const struct option *option)
{
    print_row(out, option->name, option->help);
    if (option->alias)
        print_row(out, "alias", option->alias);
    print_row(out, "type", option->type);
    print_row(out, "default", option->initial ? option->initial : "none");
    if (option->most > 1)
        fprintf(out, "%20s: %llu to %llu\n", "range", (unsigned long long)option->least,
                (unsigned long long)option->most);
    if (option->choices)
        print_choices(out, option);
}

static void print_fios(FILE *out, const struct fio_option *option)
{
    print_row(out, option->name, option->ignored ? "ignored" : "not supported");
    print_row(out, "because", option->reason);
    if (option->alias)
        print_row(out, "alias", option->alias);
    print_row(out, "type", option->type);
    print_row(out, "default in fio", option->initial ? option->initial : "none");
}

/* The names that fio has and option_table has not. */
static void print_names(FILE *out, bool ignored)
{
    int column = 0;

    for (const struct fio_option *option = fio_options; option->name; option++) {
        if (option->ignored != ignored || option_find(option->name))
            continue;
        if (column == 0 || column + 2 + (int)strlen(option->name) > 90)
            column = fprintf(out, "\n  %s", option->name) - 1;
        else
            column += fprintf(out, ", %s", option->name);
    }
    fputc('\n', out);
}

static void print_all(FILE *out)
{
    for (const struct option *option = option_table; option->name; option++)
        print_line(out, option);
    fputs("\nIgnored (--cmdhelp=OPTION has the reason):", out);
    print_names(out, true);
    fputs("\nKnown to fio but not supported:", out);
    print_names(out, false);
}

bool help_has_option(const char *name)
{
    return strcmp(name, "all") == 0 || strcmp(name, "man") == 0 || strcmp(name, "markdown") == 0 ||
           option_find(name) || fio_option_find(name);
}

void help_print_option(FILE *out, const char *name)
{
    const struct option *option = option_find(name);
    const struct fio_option *fio_option = fio_option_find(name);

    if (option)
        print_ours(out, option);
    else if (fio_option)
        print_fios(out, fio_option);
    else if (strcmp(name, "man") == 0)
        help_print_manual(out);
    else if (strcmp(name, "markdown") == 0)
        help_print_markdown(out);
    else
        print_all(out);
}

static const struct option_choice *find_engine(const char *name)
{
    size_t length = strcspn(name, ",");

    for (const struct option_choice *choice = option_find("ioengine")->choices; choice->name;
         choice++)
        if (!choice->refused && strlen(choice->name) == length &&
            strncmp(choice->name, name, length) == 0)
            return choice;
    return NULL;
}

bool help_has_engine(const char *name)
{
    const char *comma = strchr(name, ',');

    return find_engine(name) && (!comma || option_find(comma + 1) || fio_option_find(comma + 1));
}

void help_print_engine(FILE *out, const char *name)
{
    const char *comma = name ? strchr(name, ',') : NULL;

    if (comma) {
        help_print_option(out, comma + 1);
    } else if (name) {
        print_row(out, name, find_engine(name)->help);
        print_row(out, "options", "those of --cmdhelp, as with every engine");
    } else {
        fputs("Engines:\n", out);
        print_choices(out, option_find("ioengine"));
    }
}
