/* SPDX-License-Identifier: MIT */
#include "parse_job.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "substitute.h"

#define INCLUDE_NESTING_MAX 16
/* Beyond it a file is no job file: a device or a file of zeros must not fill the memory. */
#define LINE_MAX_BYTES 65536

enum section { SECTION_NONE, SECTION_GLOBAL, SECTION_JOB, SECTION_SKIPPED };

/* An option as it stands in its section, until the section is whole. */
struct setting {
    char *where; /* "FILE:LINE" */
    char *name;
    char *value; /* NULL: the name stood alone */
    char *unset; /* environment variable that was used and is not set; "" if none */
};

struct parser {
    const struct job_file *file;
    struct job_list *list;
    struct job_options globals;
    enum section section;
    bool wall;                /* still to be put before the first job */
    struct setting *settings; /* of the present section */
    size_t setting_count;
    bool placed; /* the reason of a failure names its place already */
    struct message *message;
};

/* Where a line is: the file that holds it may be an included one. */
struct place {
    const char *path;
    unsigned line;
    unsigned nesting;
};

static int parse_stream(struct parser *parser, FILE *stream, struct place *place);

static bool is_selected(const struct job_file *file, const char *name)
{
    if (!file->sections)
        return true;
    for (char *const *section = file->sections; *section; section++)
        if (strcmp(*section, name) == 0)
            return true;
    return false;
}

static struct job_options *current_options(struct parser *parser)
{
    if (parser->section == SECTION_GLOBAL)
        return &parser->globals;
    return &parser->list->jobs[parser->list->count - 1];
}

static int apply(struct parser *parser, const struct setting *setting)
{
    struct message *message = parser->message;
    int result = option_set(current_options(parser), setting->name, setting->value, message);

    if (job_list_settle(parser->list, setting->where, result, message) == 0)
        return 0;
    message_prefix(message, "%s", setting->where);
    if (setting->unset[0]) {
        size_t length = strlen(message->text);

        snprintf(message->text + length, sizeof(message->text) - length,
                 " (the environment variable %s is not set)", setting->unset);
    }
    parser->placed = true;
    return -1;
}

static bool is_early(const struct setting *setting)
{
    const struct option *option = option_find(setting->name);

    return option && option_is_early(option);
}

static void forget_settings(struct parser *parser)
{
    for (size_t i = 0; i < parser->setting_count; i++) {
        free(parser->settings[i].where);
        free(parser->settings[i].name);
        free(parser->settings[i].value);
        free(parser->settings[i].unset);
    }
    parser->setting_count = 0;
}

/* Sets what the section said: first what other options depend on, so that the order of the lines
 * means nothing but which of two values for one option counts. */
static int end_section(struct parser *parser)
{
    int result = 0;

    for (size_t i = 0; i < parser->setting_count && result == 0; i++)
        if (is_early(&parser->settings[i]))
            result = apply(parser, &parser->settings[i]);
    for (size_t i = 0; i < parser->setting_count && result == 0; i++)
        if (!is_early(&parser->settings[i]))
            result = apply(parser, &parser->settings[i]);
    forget_settings(parser);
    return result;
}

static int start_section(struct parser *parser, char *line, const struct place *place)
{
    char *close = strchr(line, ']');
    const char *name;

    if (place->nesting > 0)
        return message_set(parser->message, "a section in an included file");
    if (!close)
        return message_set(parser->message, "'%s': the ']' is missing", line);
    if (close[1])
        return message_set(parser->message, "'%s': text after the ']'", line);
    *close = '\0';
    name = text_trim(line + 1);
    if (!*name)
        return message_set(parser->message, "a section without a name");
    if (end_section(parser))
        return -1;

    /* As in fio the first six letters decide. */
    if (strncmp(name, "global", 6) == 0) {
        parser->section = SECTION_GLOBAL;
    } else if (!is_selected(parser->file, name)) {
        parser->section = SECTION_SKIPPED;
    } else {
        struct job_options *job = job_list_add(parser->list, &parser->globals, name);

        if (parser->wall)
            job->stonewall = 1;
        parser->wall = false;
        parser->section = SECTION_JOB;
    }
    return 0;
}

/* Takes a line with an option apart; it is set when the section is whole. */
static void keep_setting(struct parser *parser, char *line, const char *unset,
                         const struct place *place)
{
    char *equals = strchr(line, '=');
    struct setting setting = {
        .where = must_format("%s:%u", place->path, place->line),
        .unset = must_copy(unset),
    };

    if (equals)
        *equals = '\0';
    setting.name = must_copy(text_trim(line));
    if (equals) {
        const struct option *option = option_find(setting.name);

        char *value = text_trim(equals + 1);

        setting.value =
            substitute_keywords(value, option && option_is_numeric(option) && !strchr(value, ','));
    }
    parser->settings =
        must_grow(parser->settings, parser->setting_count + 1, sizeof(*parser->settings));
    parser->settings[parser->setting_count++] = setting;
}

static int parse_option(struct parser *parser, const char *line, const struct place *place)
{
    char unset[256];
    char *expanded;

    if (parser->section == SECTION_NONE)
        return message_set(parser->message, "option '%s' stands before any [section]", line);
    if (parser->section == SECTION_SKIPPED)
        return 0;
    expanded = substitute_environment(line, unset, sizeof(unset), parser->message);
    if (!expanded)
        return -1;
    keep_setting(parser, expanded, unset, place);
    free(expanded);
    return 0;
}

/* Tries the name as it is, then beside the file that includes it. *path receives what was tried
 * last, for the caller to free. */
static FILE *open_included(const char *name, const char *includer, char **path)
{
    const char *slash = strrchr(includer, '/');
    FILE *stream = fopen(name, "re");

    *path = must_copy(name);
    if (stream || !slash || name[0] == '/')
        return stream;
    free(*path);
    *path = must_format("%.*s/%s", (int)(slash - includer), includer, name);
    return fopen(*path, "re");
}

static int parse_include(struct parser *parser, const char *name, const struct place *place)
{
    struct place included = {.line = 0, .nesting = place->nesting + 1};
    char *path = NULL;
    FILE *stream;
    int result;

    if (!*name)
        return message_set(parser->message, "include needs the name of a file");
    if (included.nesting > INCLUDE_NESTING_MAX)
        return message_set(parser->message, "include: nested more than %d deep",
                           INCLUDE_NESTING_MAX);
    stream = open_included(name, place->path, &path);
    included.path = path;
    if (stream)
        result = parse_stream(parser, stream, &included);
    else
        result =
            message_set(parser->message, "include: cannot open '%s': %s", name, strerror(errno));
    if (stream)
        fclose(stream);
    free(path);
    return result;
}

/* As in fio a blank or '=' follows the word. */
static bool is_include(const char *line)
{
    return strncmp(line, "include", 7) == 0 && (isspace((unsigned char)line[7]) || line[7] == '=');
}

static int parse_line(struct parser *parser, char *line, const struct place *place)
{
    line[strcspn(line, ";#")] = '\0';
    line = text_trim(line);
    if (!*line)
        return 0;
    if (*line == '[')
        return start_section(parser, line, place);
    if (is_include(line))
        return parse_include(parser, text_trim(line + 8), place);
    return parse_option(parser, line, place);
}

/* Gives 1 for a line, 0 at the end, -1 where it cannot be one of a job file. */
static int read_line(FILE *stream, char *line, struct message *message)
{
    size_t length = 0;
    int letter;

    while ((letter = getc(stream)) != EOF && letter != '\n') {
        if (letter == '\0')
            return message_set(message, "a NUL byte: this is no job file");
        if (length == LINE_MAX_BYTES)
            return message_set(message, "a line of more than %d bytes: this is no job file",
                               LINE_MAX_BYTES);
        line[length++] = (char)letter;
    }
    line[length] = '\0';
    return letter != EOF || length > 0;
}

static int parse_stream(struct parser *parser, FILE *stream, struct place *place)
{
    char *line = must_alloc(LINE_MAX_BYTES + 1, 1);
    int result = 0;
    int more = 1;

    while (result == 0 && more > 0) {
        place->line++;
        more = read_line(stream, line, parser->message);
        if (more > 0)
            result = parse_line(parser, line, place);
        if ((more < 0 || result) && !parser->placed)
            message_prefix(parser->message, "%s:%u", place->path, place->line);
    }
    if (more == 0 && ferror(stream)) {
        parser->placed = true;
        result =
            message_set(parser->message, "%s: cannot be read: %s", place->path, strerror(errno));
    }
    free(line);
    return more < 0 ? -1 : result;
}

int parse_job_stream(const struct job_file *file, FILE *stream, struct job_list *list,
                     struct message *message)
{
    struct parser parser = {.file = file, .list = list, .wall = file->wall, .message = message};
    struct place place = {.path = strcmp(file->path, "-") == 0 ? "standard input" : file->path};
    int result;

    job_options_copy(&parser.globals, file->defaults);
    result = parse_stream(&parser, stream, &place);
    if (result == 0)
        result = end_section(&parser);
    forget_settings(&parser);
    free(parser.settings);
    job_options_free(&parser.globals);
    return result;
}

int parse_job_file(const struct job_file *file, struct job_list *list, struct message *message)
{
    FILE *stream;
    int result;

    if (strcmp(file->path, "-") == 0)
        return parse_job_stream(file, stdin, list, message);
    stream = fopen(file->path, "re");
    if (!stream)
        return message_set(message, "cannot open job file '%s': %s", file->path, strerror(errno));
    result = parse_job_stream(file, stream, list, message);
    fclose(stream);
    return result;
}
