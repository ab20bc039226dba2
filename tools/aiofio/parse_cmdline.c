/* SPDX-License-Identifier: MIT */
#include "parse_cmdline.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "fio_names.h"
#include "help.h"
#include "parse_job.h"
#include "units.h"

enum takes { TAKES_NOTHING, TAKES_VALUE, TAKES_PERHAPS };

/* An option of the tool itself. */
struct tool_option {
    const char *name;
    enum takes takes;
    const char *usage;
    const char *help;
    int (*set)(const struct tool_option *option, struct settings *settings, const char *value,
               struct message *message);
    size_t field;         /* of struct settings: a flag or the name of a file */
    enum request request; /* or what is asked for */
};

static int set_flag(const struct tool_option *option, struct settings *settings, const char *value,
                    struct message *message)
{
    (void)value;
    (void)message;
    *(bool *)((char *)settings + option->field) = true;
    return 0;
}

static int set_request(const struct tool_option *option, struct settings *settings,
                       const char *value, struct message *message)
{
    (void)value;
    (void)message;
    settings->request = option->request;
    return 0;
}

static int set_file(const struct tool_option *option, struct settings *settings, const char *value,
                    struct message *message)
{
    char **file = (char **)(void *)((char *)settings + option->field);

    if (!*value)
        return message_set(message, "--%s needs a file name", option->name);
    free(*file);
    *file = must_copy(value);
    return 0;
}

static int set_output_format(const struct tool_option *option, struct settings *settings,
                             const char *value, struct message *message)
{
    (void)option;
    static const struct {
        const char *name;
        unsigned formats;
    } known[] = {
        {"normal", FORMAT_NORMAL},
        {"terse", FORMAT_TERSE},
        {"json", FORMAT_JSON},
        {"json+", FORMAT_JSON | FORMAT_BINS},
    };

    settings->formats = 0;
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        unsigned found = 0;

        for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (strlen(known[i].name) == length && strncmp(known[i].name, at, length) == 0)
                found = known[i].formats;
        if (!found)
            return message_set(message,
                               "--output-format=%s: '%.*s' is none of normal, terse, json, json+",
                               value, (int)length, at);
        settings->formats |= found;
        at += length;
        if (*at == '\0')
            return 0;
    }
}

static int set_eta(const struct tool_option *option, struct settings *settings, const char *value,
                   struct message *message)
{
    (void)option;
    static const char *const modes[] = {"auto", "always", "never"};

    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(modes[i], value) == 0) {
            settings->eta = (enum eta_mode)i;
            return 0;
        }
    }
    return message_set(message, "--eta=%s: must be auto, always or never", value);
}

static int set_minimal(const struct tool_option *option, struct settings *settings,
                       const char *value, struct message *message)
{
    (void)option;
    (void)value;
    (void)message;
    settings->formats = FORMAT_TERSE;
    return 0;
}

static int set_append_terse(const struct tool_option *option, struct settings *settings,
                            const char *value, struct message *message)
{
    (void)option;
    (void)value;
    (void)message;
    settings->formats |= FORMAT_TERSE | (settings->formats ? 0 : FORMAT_NORMAL);
    return 0;
}

static int set_terse_version(const struct tool_option *option, struct settings *settings,
                             const char *value, struct message *message)
{
    (void)option;
    (void)settings;
    if (strcmp(value, "3") == 0)
        return 0;
    return message_set(message,
                       "--terse-version=%s: only 3, the default, is supported; for more "
                       "figures take --output-format=json",
                       value);
}

/* fio's least interval, too. */
static int set_eta_interval(const struct tool_option *option, struct settings *settings,
                            const char *value, struct message *message)
{
    (void)option;
    if (units_time(value, 1000, &settings->interval_us, message))
        return message_prefix(message, "--eta-interval");
    if (settings->interval_us < 250000)
        return message_set(message, "--eta-interval=%s: give at least 250 ms", value);
    return 0;
}

static int set_section(const struct tool_option *option, struct settings *settings,
                       const char *value, struct message *message)
{
    (void)option;
    (void)message;
    settings->sections =
        must_grow(settings->sections, settings->section_count + 2, sizeof(*settings->sections));
    settings->sections[settings->section_count++] = must_copy(value);
    settings->sections[settings->section_count] = NULL;
    return 0;
}

static int set_option_help(const struct tool_option *option, struct settings *settings,
                           const char *value, struct message *message)
{
    (void)option;
    if (value && !help_has_option(value))
        return option_refuse_name(value, NULL, message);
    settings->request = REQUEST_OPTION_HELP;
    free(settings->option_help);
    settings->option_help = must_copy(value ? value : "all");
    return 0;
}

static int set_engine_help(const struct tool_option *option, struct settings *settings,
                           const char *value, struct message *message)
{
    (void)option;
    if (value && !help_has_engine(value))
        return message_set(message, "--enghelp=%s: no such engine (--enghelp lists them)", value);
    settings->request = REQUEST_ENGINE_HELP;
    free(settings->engine_help);
    settings->engine_help = value ? must_copy(value) : NULL;
    return 0;
}

static const struct tool_option tool_options[] = {
    {"output", TAKES_VALUE, "=FILE", "write the report to FILE", set_file,
     offsetof(struct settings, output), 0},
    {"output-format", TAKES_VALUE, "=LIST", "reports, parted by commas: normal, terse, json, json+",
     set_output_format, 0, 0},
    {"eta", TAKES_VALUE, "=WHEN", "progress line: auto (on a terminal), always, never", set_eta, 0,
     0},
    {"minimal", TAKES_NOTHING, "", "the same as --output-format=terse", set_minimal, 0, 0},
    {"append-terse", TAKES_NOTHING, "", "a terse report, too", set_append_terse, 0, 0},
    {"terse-version", TAKES_VALUE, "=3", "version of the terse report", set_terse_version, 0, 0},
    {"eta-interval", TAKES_VALUE, "=TIME", "of the progress line and of --live-json [500 ms]",
     set_eta_interval, 0, 0},
    {"live-json", TAKES_VALUE, "=FILE", "a line of JSON for each interval, into FILE", set_file,
     offsetof(struct settings, live_json), 0},
    {"report", TAKES_VALUE, "=FILE.html", "a page with charts, too, into FILE.html", set_file,
     offsetof(struct settings, page), 0},
    {"section", TAKES_VALUE, "=NAME", "run only this job of the job files; may be repeated",
     set_section, 0, 0},
    {"readonly", TAKES_NOTHING, "", "refuse jobs that write", set_flag,
     offsetof(struct settings, readonly), 0},
    {"force", TAKES_NOTHING, "", "overwrite=1 for every job, and for the files of reports",
     set_flag, offsetof(struct settings, force), 0},
    {"allow-device-write", TAKES_NOTHING, "",
     "jobs may write to block devices that are not mounted", set_flag,
     offsetof(struct settings, devices), 0},
    {"parse-only", TAKES_NOTHING, "", "check options and job files, run nothing", set_request, 0,
     REQUEST_PARSE},
    {"showcmd", TAKES_NOTHING, "", "print the jobs as a command line, run nothing", set_request, 0,
     REQUEST_SHOW},
    {"lenient", TAKES_NOTHING, "", "go on without options that fio has and aiofio does not",
     set_flag, offsetof(struct settings, lenient), 0},
    {"warnings-fatal", TAKES_NOTHING, "", "run nothing if there is a note about the jobs", set_flag,
     offsetof(struct settings, warnings_fatal), 0},
    {"cmdhelp", TAKES_PERHAPS, "[=OPTION]",
     "describe a job option, or all of them; man and markdown are this documentation",
     set_option_help, 0, 0},
    {"enghelp", TAKES_PERHAPS, "[=ENGINE]", "list the engines, or describe one", set_engine_help, 0,
     0},
    {"help", TAKES_NOTHING, "", "this page", set_request, 0, REQUEST_HELP},
    {"version", TAKES_NOTHING, "", "print the version", set_request, 0, REQUEST_VERSION},
    {NULL, TAKES_NOTHING, NULL, NULL, NULL, 0, 0},
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

/* What a word on the command line names: one of the four, or none. */
struct named {
    const struct tool_option *tool;
    const struct option *option;
    const struct fio_option *fio_option;
    const struct fio_command *fio_command;
};

/* What is ours comes first: the tables of fio's names may have it, too. */
static bool find_exactly(const char *name, struct named *named)
{
    *named = (struct named){0};
    for (const struct tool_option *tool = tool_options; tool->name; tool++)
        if (strcmp(tool->name, name) == 0)
            named->tool = tool;
    if (!named->tool)
        named->option = option_find(name);
    if (!named->tool && !named->option)
        named->fio_option = fio_option_find(name);
    if (!named->tool && !named->option && !named->fio_option)
        named->fio_command = fio_command_find(name);
    return named->tool || named->option || named->fio_option || named->fio_command;
}

static bool is_same(const struct named *a, const struct named *b)
{
    return a->tool == b->tool && a->option == b->option && a->fio_option == b->fio_option &&
           a->fio_command == b->fio_command;
}

/* The search for the one option that begins with a word. */
struct search {
    const char *word;
    const char *first;
    const char *second; /* another one; NULL: there is none */
    struct named named;
};

static void search_name(struct search *search, const char *name)
{
    struct named named;

    if (!name || strncmp(name, search->word, strlen(search->word)) != 0 || search->second)
        return;
    find_exactly(name, &named);
    if (!search->first) {
        search->first = name;
        search->named = named;
    } else if (!is_same(&named, &search->named)) {
        search->second = name;
    }
}

/* As getopt_long(3) does, among all that fio knows: a beginning that fio finds ambiguous must not
 * become one of ours. */
static void search_beginning(struct search *search)
{
    for (const struct tool_option *tool = tool_options; tool->name; tool++)
        search_name(search, tool->name);
    for (const struct option *option = option_table; option->name; option++) {
        search_name(search, option->name);
        search_name(search, option->alias);
    }
    for (const struct fio_option *option = fio_options; option->name; option++) {
        search_name(search, option->name);
        search_name(search, option->alias);
    }
    for (const struct fio_command *command = fio_commands; command->name; command++)
        search_name(search, command->name);
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

/* Leaves *named empty where no name begins with the word. */
static int find_option(const char *word, struct named *named, struct message *message)
{
    struct search search = {.word = word};

    if (strcmp(word, "h") == 0 || strcmp(word, "v") == 0)
        word = word[0] == 'h' ? "help" : "version";
    if (find_exactly(word, named))
        return 0;
    if (*word)
        search_beginning(&search);
    if (search.second)
        return message_set(message, "--%s is ambiguous: --%s or --%s", word, search.first,
                           search.second);
    *named = search.named;
    return 0;
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

/* Sets an option of a job, ours or fio's; the name is its first, flags may stand alone. */
static int set_job_option(struct cmdline *line, const char *name, const char *type, bool flag,
                          const char *value)
{
    struct message *message = line->message;
    char place[128];
    int result;

    /* The prefix of a log may be left out, but what stands there is one, as for fio. */
    if (!value && (!flag || strcmp(type, "text") == 0)) {
        value = next_value(line);
        if (!value && !flag)
            return message_set(message, "--%s needs a value (--%s=%s)", name, name, type);
    }
    snprintf(place, sizeof(place), "--%s", name);
    if (strcmp(name, "name") == 0 && value && *value) {
        start_job(line, value);
        return 0;
    }
    result = option_set(line->job ? line->job : &line->globals, name, value, message);
    return job_list_settle(line->list, place, result, message);
}

/* An option of fio's own command line. */
static int meet_command(struct cmdline *line, const struct fio_command *command, const char *value)
{
    struct message *message = line->message;
    int result = 0;
    char place[128];

    if (command->takes_value && !value && !next_value(line))
        return message_set(message, "--%s needs a value", command->name);
    snprintf(place, sizeof(place), "--%s", command->name);
    if (command->ignored)
        message_note_once(message, command->name, "it is ignored: %s", command->reason);
    else
        result = message_refuse(message, "it is not supported because %s", command->reason);
    return job_list_settle(line->list, place, result, message);
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
    return tool->set(tool, line->settings, value, line->message);
}

static int parse_word(struct cmdline *line, const char *word)
{
    struct named named;
    const char *value;
    char name[128];

    if (word[0] != '-' || word[1] == '\0') {
        line->files = must_grow(line->files, line->file_count + 1, sizeof(*line->files));
        line->files[line->file_count++] = word;
        return 0;
    }
    word += word[1] == '-' ? 2 : 1;
    value = strchr(word, '=');
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
    if (find_option(name, &named, line->message))
        return -1;
    if (value)
        value++;
    if (named.tool)
        return set_tool_option(line, named.tool, value);
    if (named.fio_option)
        return set_job_option(line, named.fio_option->name, named.fio_option->type,
                              fio_option_stands_alone(named.fio_option), value);
    if (named.option)
        return set_job_option(line, named.option->name, named.option->type, named.option->flag,
                              value);
    if (named.fio_command)
        return meet_command(line, named.fio_command, value);
    return refuse_word(name, line->message);
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

void cmdline_each_option(FILE *out, void (*print)(FILE *out, const char *option, const char *help))
{
    for (const struct tool_option *tool = tool_options; tool->name; tool++) {
        char option[64];

        snprintf(option, sizeof(option), "--%s%s", tool->name, tool->usage);
        print(out, option, tool->help);
    }
}

bool cmdline_has_option(const char *name)
{
    struct named named;

    return find_exactly(name, &named) && named.tool;
}

void settings_free(struct settings *settings)
{
    for (size_t i = 0; i < settings->section_count; i++)
        free(settings->sections[i]);
    free(settings->sections);
    free(settings->output);
    free(settings->live_json);
    free(settings->page);
    free(settings->option_help);
    free(settings->engine_help);
    *settings = (struct settings){0};
}
