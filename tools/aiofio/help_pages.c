/* SPDX-License-Identifier: MIT */
#include "help_pages.h"

#include <aiofile/version.h>
#include <stdlib.h>
#include <string.h>

#include "fio_names.h"
#include "help.h"
#include "options.h"
#include "parse_cmdline.h"

/* Without what escapes add. */
#define ROFF_COLUMNS 70

/* A row of the table, from either of the two tables of options. */
struct row {
    const char *name;
    const char *alias;
    const char *type;
    const char *initial;
    const char *class;
    const char *text;
    const struct option_choice *choices;
};

/* Prints a text with a backslash before each of these letters. */
static void print_escaped(FILE *out, const char *text, const char *letters)
{
    for (; *text; text++) {
        if (strchr(letters, *text))
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_cell(FILE *out, const char *text, const char *quote)
{
    fputs("| ", out);
    if (text) {
        fputs(quote, out);
        print_escaped(out, text, *quote ? "|" : "|<>*_");
        fputs(quote, out);
        fputc(' ', out);
    }
}

static void print_markdown_row(FILE *out, const struct row *row)
{
    const char *mark = " Words: ";

    print_cell(out, row->name, "`");
    print_cell(out, row->alias, "`");
    print_cell(out, row->type, "");
    print_cell(out, row->initial, "`");
    print_cell(out, row->class, "");
    fputs("| ", out);
    print_escaped(out, row->text, "|<>*_");
    fputc('.', out);
    for (const struct option_choice *choice = row->choices; choice && choice->name; choice++) {
        if (choice->refused)
            continue;
        fprintf(out, "%s`%s`", mark, choice->name);
        mark = ", ";
    }
    fputs(row->choices ? ". |\n" : " |\n", out);
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static void print_tool_row(FILE *out, const char *option, const char *help)
{
    fprintf(out, "| `%s` | supported | ", option);
    print_escaped(out, help, "|<>*_");
    fputs(". |\n", out);
}

static void print_command_table(FILE *out)
{
    fputs("\n## Options of the command line\n\n"
          "| option | class | what it does, or the reason |\n"
          "|---|---|---|\n",
          out);
    cmdline_each_option(out, print_tool_row);
    for (const struct fio_command *command = fio_commands; command->name; command++)
        if (!cmdline_has_option(command->name))
            fprintf(out, "| `--%s` | %s | %s. |\n", command->name,
                    command->ignored ? "ignored" : "refused", command->reason);
}

static void print_option_table(FILE *out)
{
    size_t room = 0;
    size_t count = 0;
    struct row *rows;

    for (const struct option *option = option_table; option->name; option++)
        room++;
    for (const struct fio_option *option = fio_options; option->name; option++)
        room++;
    rows = must_alloc(room, sizeof(*rows));
    for (const struct option *option = option_table; option->name; option++)
        rows[count++] = (struct row){option->name, option->alias, option->type,   option->initial,
                                     "supported",  option->help,  option->choices};
    for (const struct fio_option *option = fio_options; option->name; option++)
        if (!option_find(option->name))
            rows[count++] = (struct row){.name = option->name,
                                         .alias = option->alias,
                                         .type = option->type,
                                         .initial = option->initial,
                                         .class = option->ignored ? "ignored" : "refused",
                                         .text = option->reason};
    qsort(rows, count, sizeof(*rows), compare_rows);
    fputs("| option | alias | type | default | class | what it does, or the reason |\n"
          "|---|---|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < count; i++)
        print_markdown_row(out, &rows[i]);
    free(rows);
}

void help_print_markdown(FILE *out)
{
    print_option_table(out);
    print_command_table(out);
}

/* A letter of text: a hyphen is no minus sign, a backslash no escape. */
static void print_roff_letter(FILE *out, char letter)
{
    static const char *const escapes[] = {"\\\\e", "--", "'(aq", "^(ha", "~(ti"};

    for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
        if (letter == escapes[i][0]) {
            fprintf(out, "\\%s", escapes[i] + 1);
            return;
        }
    }
    fputc(letter, out);
}

/* Text in lines of less than 80 letters, of which none is a control line. */
static void print_roff(FILE *out, const char *text)
{
    size_t column = 0;

    while (*text) {
        size_t word = strcspn(text + 1, " ") + 1;

        if (column && column + word > ROFF_COLUMNS) {
            fputc('\n', out);
            column = 0;
            text += *text == ' ';
            continue;
        }
        if (column == 0 && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        for (size_t i = 0; i < word; i++)
            print_roff_letter(out, text[i]);
        column += word;
        text += word;
    }
}

/* A paragraph with a tag in bold. */
static void print_tagged(FILE *out, const char *tag, const char *text)
{
    fputs(".TP\n\\fB", out);
    print_roff(out, tag);
    fputs("\\fR\n", out);
    print_roff(out, text);
    fputc('\n', out);
}

static void print_job_option(FILE *out, const struct option *option)
{
    fputs(".TP\n\\fB", out);
    print_roff(out, option->name);
    fputs("\\fR", out);
    if (option->alias) {
        fputs(", \\fB", out);
        print_roff(out, option->alias);
        fputs("\\fR", out);
    }
    fputs(" (", out);
    print_roff(out, option->type);
    if (option->initial) {
        fputs(", default ", out);
        print_roff(out, option->initial);
    }
    fputs(")\n", out);
    print_roff(out, option->help);
    fputc('\n', out);
    if (!option->choices)
        return;
    fputs(".RS\n", out);
    for (const struct option_choice *choice = option->choices; choice->name; choice++)
        if (!choice->refused)
            print_tagged(out, choice->name, choice->help);
    fputs(".RE\n", out);
}

static const char *const job_file_text[] = {
    ".SH JOB FILES",
    "A job file has sections, each a job: a line with its name in brackets, then",
    "lines \\fIkey\\fR=\\fIvalue\\fR. Options of the type flag may stand alone.",
    "Blanks at both ends mean nothing. A semicolon or a # anywhere cuts the line.",
    "The order of the lines of a section means nothing, but that the last of two",
    "values counts.",
    ".PP",
    "A section whose name begins with \\fBglobal\\fR is no job: it sets defaults",
    "for the sections below it. Each job file begins with the defaults of the",
    "command line. The first job of every file but the first waits for all before",
    "it.",
    ".PP",
    "\\fBinclude\\fR \\fIFILE\\fR reads options, but no sections, from another file,",
    "by its name as it is or beside the including file.",
    ".PP",
    "\\fB${VAR}\\fR is the environment variable, nothing where it is not set.",
    "\\fB$ncpus\\fR, \\fB$pagesize\\fR and \\fB$mb_memory\\fR are numbers of the",
    "machine. A number that uses them may be a sum or product; elsewhere an",
    "expression stands in parentheses: size=(2*$mb_memory*1m), runtime=(2*30s).",
    "Its fraction is cut.",
    ".SH COMMAND LINE",
    "Each job option is one of the command line, as \\-\\-key=value, \\-\\-key",
    "value, \\-key=value or \\-key value; the beginning of a name does if no",
    "other name of fio begins so. \\fB\\-\\-name\\fR starts a job; options before",
    "the first are defaults of all jobs, also of those in job files. Jobs of the",
    "command line come before those of files. A word that begins with \\-\\- is",
    "no value: it is taken for a forgotten one.",
    ".SH UNITS",
    "Sizes: decimal or 0x, with fraction, then k, m, g, t or p, powers of 1024;",
    "kib, mib and so on are powers of 1000, as in fio (kb_base=1000 turns it",
    "round). Times: us, ms, s, m, h, d, or usec, msec, sec, min, hour, day. Other",
    "text behind a number is an error.",
    NULL,
};

static void print_manual_head(FILE *out)
{
    fprintf(out,
            ".\\\" SPDX-License-Identifier: MIT\n.\\\" Made by aiofio --cmdhelp=man.\n"
            ".TH AIOFIO 1 \"\" \"libaiofile " AIOFILE_VERSION "\" \"User Commands\"\n"
            ".SH NAME\n"
            "aiofio \\- run fio job files on the file handle of libaiofile\n"
            ".SH SYNOPSIS\n"
            ".B aiofio\n"
            "[\\fIoptions\\fR] [\\fIjob options\\fR] [\\fIjob file\\fR ...]\n"
            ".SH DESCRIPTION\n"
            "Reads the job files and the command line of \\fBfio\\fR(1), does their I/O through\n"
            "libaiofile, and reports as fio does. A job file \\- is standard input.\n"
            ".SH OPTIONS\n");
}

static void print_fio_options(FILE *out, bool ignored)
{
    for (const struct fio_option *option = fio_options; option->name; option++)
        if (option->ignored == ignored && !option_find(option->name))
            print_tagged(out, option->name, option->reason);
    for (const struct fio_command *command = fio_commands; command->name; command++) {
        char name[64];

        snprintf(name, sizeof(name), "--%s", command->name);
        if (command->ignored == ignored && !cmdline_has_option(command->name))
            print_tagged(out, name, command->reason);
    }
}

void help_print_manual(FILE *out)
{
    print_manual_head(out);
    cmdline_each_option(out, print_tagged);
    for (const char *const *line = job_file_text; *line; line++)
        fprintf(out, "%s\n", *line);
    fputs(".SH JOB OPTIONS\n", out);
    for (const struct option *option = option_table; option->name; option++)
        print_job_option(out, option);
    fputs(".SH IGNORED OPTIONS OF FIO\n"
          "They are accepted, have no effect, and a note says so once.\n",
          out);
    print_fio_options(out, true);
    fputs(".SH OTHER OPTIONS OF FIO\n"
          "With the default that they have in fio they are accepted, since that is\n"
          "what is done without them. With another value nothing is run;\n"
          "\\fB\\-\\-lenient\\fR skips them.\n",
          out);
    print_fio_options(out, false);
    fputs(".SH EXIT STATUS\n.nf\n", out);
    for (const char *const *line = help_exit_status; *line; line++) {
        print_roff(out, *line);
        fputc('\n', out);
    }
    fputs(".fi\n.SH SEE ALSO\n.BR fio (1)\n", out);
}
