/* SPDX-License-Identifier: MIT */
#include "parse_cmdline.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "fio_names.h"
#include "parse_job.h"

enum takes { TAKES_NOTHING, TAKES_VALUE, TAKES_PERHAPS };

/* An option of the tool itself. */
struct tool_option {
    const char *name;
    enum takes takes;
    const char *usage;
    const char *help;
    int (*set)(struct settings *settings, const char *value, struct message *message);
};

static int set_output(struct settings *settings, const char *value, struct message *message)
{
    if (!*value)
        return message_set(message, "--output needs a file name");
    free(settings->output);
    settings->output = must_copy(value);
    return 0;
}

static int set_output_format(struct settings *settings, const char *value, struct message *message)
{
    (void)settings;
    if (strcmp(value, "normal") != 0)
        return message_set(message,
                           "--output-format=%s: only 'normal' is supported in this version", value);
    return 0;
}

static int set_eta(struct settings *settings, const char *value, struct message *message)
{
    static const char *const modes[] = {"auto", "always", "never"};

    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(modes[i], value) == 0) {
            settings->eta = (enum eta_mode)i;
            return 0;
        }
    }
    return message_set(message, "--eta=%s: must be auto, always or never", value);
}

static int set_section(struct settings *settings, const char *value, struct message *message)
{
    (void)message;
    settings->sections =
        must_grow(settings->sections, settings->section_count + 2, sizeof(*settings->sections));
    settings->sections[settings->section_count++] = must_copy(value);
    settings->sections[settings->section_count] = NULL;
    return 0;
}

static int set_readonly(struct settings *settings, const char *value, struct message *message)
{
    (void)value;
    (void)message;
    settings->readonly = true;
    return 0;
}

static int set_force(struct settings *settings, const char *value, struct message *message)
{
    (void)value;
    (void)message;
    settings->force = true;
    return 0;
}

static int set_parse_only(struct settings *settings, const char *value, struct message *message)
{
    (void)value;
    (void)message;
    settings->request = REQUEST_PARSE;
    return 0;
}

static int set_showcmd(struct settings *settings, const char *value, struct message *message)
{
    (void)value;
    (void)message;
    settings->request = REQUEST_SHOW;
    return 0;
}

static int set_help(struct settings *settings, const char *value, struct message *message)
{
    (void)value;
    (void)message;
    settings->request = REQUEST_HELP;
    return 0;
}

static int set_version(struct settings *settings, const char *value, struct message *message)
{
    (void)value;
    (void)message;
    settings->request = REQUEST_VERSION;
    return 0;
}

static int set_option_help(struct settings *settings, const char *value, struct message *message)
{
    if (value && strcmp(value, "all") != 0 && !option_find(value))
        return option_refuse_name(value, NULL, message);
    settings->request = REQUEST_OPTION_HELP;
    free(settings->option_help);
    settings->option_help = must_copy(value ? value : "all");
    return 0;
}

static const struct tool_option tool_options[] = {
    {"output", TAKES_VALUE, "=FILE", "write the report to FILE", set_output},
    {"output-format", TAKES_VALUE, "=normal", "fio's name for the report printed",
     set_output_format},
    {"eta", TAKES_VALUE, "=WHEN", "progress line: auto (on a terminal), always, never", set_eta},
    {"section", TAKES_VALUE, "=NAME", "run only this job of the job files; may be repeated",
     set_section},
    {"readonly", TAKES_NOTHING, "", "refuse jobs that write", set_readonly},
    {"force", TAKES_NOTHING, "", "overwrite=1 for every job, and for the file of --output",
     set_force},
    {"parse-only", TAKES_NOTHING, "", "check options and job files, run nothing", set_parse_only},
    {"showcmd", TAKES_NOTHING, "", "print the jobs as a command line, run nothing", set_showcmd},
    {"cmdhelp", TAKES_PERHAPS, "[=OPTION]", "describe a job option, or all of them",
     set_option_help},
    {"help", TAKES_NOTHING, "", "this page", set_help},
    {"version", TAKES_NOTHING, "", "print the version", set_version},
    {NULL, TAKES_NOTHING, NULL, NULL, NULL},
};

struct cmdline {
    int argc;
    char *const *argv;
    int at;
    struct settings *settings;
    struct job_list *list;
    struct job_options globals;
    struct job_options *job; /* NULL: options go to globals */
    const char **files;
    size_t file_count;
    struct message *message;
};

/* What a word on the command line names: one of the two, or neither. */
struct named {
    const struct tool_option *tool;
    const struct option *option;
};

static struct named find_exactly(const char *name)
{
    struct named named = {.option = option_find(name)};

    for (const struct tool_option *tool = tool_options; tool->name; tool++)
        if (strcmp(tool->name, name) == 0)
            named.tool = tool;
    return named;
}

/* Finds the one option that begins with the word, as getopt_long(3) does. */
static int find_beginning(const char *word, struct named *named, struct message *message)
{
    size_t length = strlen(word);
    const char *first = NULL;

    for (const struct tool_option *tool = tool_options; tool->name; tool++) {
        if (strncmp(tool->name, word, length) != 0)
            continue;
        if (first)
            return message_set(message, "--%s is ambiguous: --%s or --%s", word, first, tool->name);
        named->tool = tool;
        first = tool->name;
    }
    for (const struct option *option = option_table; option->name; option++) {
        bool alias = option->alias && strncmp(option->alias, word, length) == 0;

        if (!alias && strncmp(option->name, word, length) != 0)
            continue;
        if (first)
            return message_set(message, "--%s is ambiguous: --%s or --%s", word, first,
                               option->name);
        named->option = option;
        first = option->name;
    }
    return first ? 0 : -1;
}

/* Tool options, too, can have been meant. */
static int refuse_word(const char *word, struct message *message)
{
    const char *names[sizeof(tool_options) / sizeof(tool_options[0])];
    unsigned count = 0;

    for (const struct tool_option *tool = tool_options; tool->name; tool++)
        names[count++] = tool->name;
    names[count] = NULL;
    return option_refuse_name(word, names, message);
}

static int find_option(const char *word, struct named *named, struct message *message)
{
    *named = find_exactly(strcmp(word, "h") == 0 ? "help" : word);
    if (named->tool || named->option)
        return 0;
    if (fio_knows(fio_command_names, word))
        return message_set(message,
                           "--%s is known to fio but not supported in this version of "
                           "aiofio",
                           word);
    if (fio_knows(fio_job_names, word))
        return option_refuse_name(word, NULL, message);
    message->text[0] = '\0';
    if (*word && find_beginning(word, named, message) == 0)
        return 0;
    if (message->text[0])
        return -1;
    return refuse_word(word, message);
}

/* Takes the next word as a value. One that looks like an option is a forgotten value: fio would
 * have made a file of that name. */
static const char *next_value(struct cmdline *line)
{
    const char *next = line->at + 1 < line->argc ? line->argv[line->at + 1] : NULL;

    if (!next || (next[0] == '-' && (next[1] == '-' || isalpha((unsigned char)next[1]))))
        return NULL;
    line->at++;
    return next;
}

static void start_job(struct cmdline *line, const char *name)
{
    if (strncmp(name, "global", 6) == 0)
        line->job = NULL;
    else
        line->job = job_list_add(line->list, &line->globals, name);
}

static int set_job_option(struct cmdline *line, const struct option *option, const char *value)
{
    struct message *message = line->message;

    if (!value && !option->flag) {
        value = next_value(line);
        if (!value)
            return message_set(message, "--%s needs a value (--%s=%s)", option->name, option->name,
                               option->type);
    }
    if (strcmp(option->name, "name") == 0 && value && *value) {
        start_job(line, value);
        return 0;
    }
    message->note[0] = '\0';
    if (option_set(line->job ? line->job : &line->globals, option->name, value, message))
        return -1;
    if (message->note[0])
        job_list_note(line->list, option->name, message->note);
    return 0;
}

static int set_tool_option(struct cmdline *line, const struct tool_option *tool, const char *value)
{
    if (tool->takes == TAKES_NOTHING && value)
        return message_set(line->message, "--%s takes no value", tool->name);
    if (tool->takes == TAKES_VALUE && !value) {
        value = next_value(line);
        if (!value)
            return message_set(line->message, "--%s needs a value (--%s%s)", tool->name, tool->name,
                               tool->usage);
    }
    return tool->set(line->settings, value, line->message);
}

static int parse_word(struct cmdline *line, const char *word)
{
    struct named named = {0};
    const char *equals;
    char name[128];

    if (word[0] != '-' || word[1] == '\0') {
        line->files = must_grow(line->files, line->file_count + 1, sizeof(*line->files));
        line->files[line->file_count++] = word;
        return 0;
    }
    word += word[1] == '-' ? 2 : 1;
    equals = strchrnul(word, '=');
    snprintf(name, sizeof(name), "%.*s", (int)(equals - word), word);
    if (find_option(name, &named, line->message))
        return -1;
    if (named.tool)
        return set_tool_option(line, named.tool, *equals ? equals + 1 : NULL);
    return set_job_option(line, named.option, *equals ? equals + 1 : NULL);
}

int parse_cmdline(int argc, char *const *argv, struct settings *settings, struct job_list *list,
                  struct message *message)
{
    struct cmdline line = {
        .argc = argc, .argv = argv, .settings = settings, .list = list, .message = message};
    int result = 0;

    job_options_init(&line.globals);
    for (line.at = 1; line.at < argc && result == 0; line.at++)
        result = parse_word(&line, argv[line.at]);

    /* The files come last: an option after the name of a file is a default for it, too. */
    for (size_t i = 0; i < line.file_count && result == 0; i++) {
        struct job_file file = {
            .path = line.files[i],
            .defaults = &line.globals,
            .sections = settings->sections,
            .wall = i > 0,
        };

        result = parse_job_file(&file, list, message);
    }
    job_options_free(&line.globals);
    free(line.files);
    return result;
}

void cmdline_print_help(FILE *out)
{
    fputs("usage: aiofio [options] [job options] [job file...]\n"
          "       aiofio verify --from=JOURNAL [--after=kill|cut]\n"
          "\n"
          "Runs fio job files on struct aio_file of libaiofile.\n"
          "\n",
          out);
    for (const struct tool_option *tool = tool_options; tool->name; tool++) {
        char left[32];

        snprintf(left, sizeof(left), "--%s%s", tool->name, tool->usage);
        fprintf(out, "  %-22s %s\n", left, tool->help);
    }
    fputs(
        "\n"
        "Job options, in a file as key=value, here as --key=value (--name=NAME starts a job):\n\n",
        out);
    option_print_table(out);
    fputs("\n"
          "Exit status: 0 all right, 1 wrong use (nothing was run), 2 I/O error, 3 wrong data,\n"
          "4 blocks were not verified, 128 + signal number.\n",
          out);
}

void settings_free(struct settings *settings)
{
    for (size_t i = 0; i < settings->section_count; i++)
        free(settings->sections[i]);
    free(settings->sections);
    free(settings->output);
    free(settings->option_help);
    *settings = (struct settings){0};
}
