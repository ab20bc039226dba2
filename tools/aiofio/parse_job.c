/* SPDX-License-Identifier: MIT */
#include "parse_job.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "substitute.h"

#define INCLUDE_NESTING_MAX 16

enum section { SECTION_NONE, SECTION_GLOBAL, SECTION_JOB, SECTION_SKIPPED };

struct parser {
    const struct job_file *file;
    struct job_list *list;
    struct job_options globals;
    enum section section;
    bool wall; /* still to be put before the first job */
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

static struct job_options *current_options(struct parser *parser)
{
    if (parser->section == SECTION_GLOBAL)
        return &parser->globals;
    return &parser->list->jobs[parser->list->count - 1];
}

static int set_option(struct parser *parser, char *line, const struct place *place)
{
    char *equals = strchr(line, '=');
    char *value = NULL;
    const char *name;
    const struct option *option;
    int result;

    if (equals)
        *equals = '\0';
    name = text_trim(line);
    option = option_find(name);
    if (equals) {
        bool numeric = option && (option->type[0] == 's' || option->type[0] == 'n');

        value = substitute_keywords(text_trim(equals + 1), numeric);
    }
    parser->message->note[0] = '\0';
    result = option_set(current_options(parser), name, value, parser->message);
    if (result == 0 && parser->message->note[0]) {
        char where[512];

        snprintf(where, sizeof(where), "%s:%u: %s", place->path, place->line, name);
        job_list_note(parser->list, where, parser->message->note);
    }
    free(value);
    return result;
}

static int parse_option(struct parser *parser, const char *line, const struct place *place)
{
    char unset[256];
    char *expanded;
    int result;

    if (parser->section == SECTION_NONE)
        return message_set(parser->message, "option '%s' stands before any [section]", line);
    if (parser->section == SECTION_SKIPPED)
        return 0;
    expanded = substitute_environment(line, unset, sizeof(unset), parser->message);
    if (!expanded)
        return -1;
    result = set_option(parser, expanded, place);
    if (result && unset[0]) {
        size_t length = strlen(parser->message->text);

        snprintf(parser->message->text + length, sizeof(parser->message->text) - length,
                 " (the environment variable %s is not set)", unset);
    }
    free(expanded);
    return result;
}

/* Tries the name as it is, then beside the file that includes it. */
static FILE *open_included(const char *name, const char *includer)
{
    const char *slash = strrchr(includer, '/');
    FILE *stream = fopen(name, "re");
    char *beside;

    if (stream || !slash || name[0] == '/')
        return stream;
    beside = must_format("%.*s/%s", (int)(slash - includer), includer, name);
    stream = fopen(beside, "re");
    free(beside);
    return stream;
}

static int parse_include(struct parser *parser, const char *name, const struct place *place)
{
    struct place included = {.path = name, .line = 0, .nesting = place->nesting + 1};
    FILE *stream;
    int result;

    if (included.nesting > INCLUDE_NESTING_MAX)
        return message_set(parser->message, "include: nested more than %d deep",
                           INCLUDE_NESTING_MAX);
    stream = open_included(name, place->path);
    if (!stream)
        return message_set(parser->message, "include: cannot open '%s': %s", name, strerror(errno));
    result = parse_stream(parser, stream, &included);
    fclose(stream);
    return result;
}

static int parse_line(struct parser *parser, char *line, const struct place *place)
{
    line[strcspn(line, ";#")] = '\0';
    line = text_trim(line);
    if (!*line)
        return 0;
    if (*line == '[')
        return start_section(parser, line, place);
    if (strncmp(line, "include", 7) == 0 && isspace((unsigned char)line[7]))
        return parse_include(parser, text_trim(line + 7), place);
    return parse_option(parser, line, place);
}

static int parse_stream(struct parser *parser, FILE *stream, struct place *place)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int result = 0;

    while (result == 0 && (length = getline(&line, &room, stream)) >= 0) {
        place->line++;
        if (strlen(line) != (size_t)length)
            result = message_set(parser->message, "a NUL byte: this is no job file");
        else
            result = parse_line(parser, line, place);
        if (result)
            message_prefix(parser->message, "%s:%u", place->path, place->line);
    }
    if (result == 0 && ferror(stream))
        result =
            message_set(parser->message, "%s: cannot be read: %s", place->path, strerror(errno));
    free(line);
    return result;
}

int parse_job_file(const struct job_file *file, struct job_list *list, struct message *message)
{
    struct parser parser = {.file = file, .list = list, .wall = file->wall, .message = message};
    bool is_stdin = strcmp(file->path, "-") == 0;
    struct place place = {.path = is_stdin ? "standard input" : file->path};
    FILE *stream = is_stdin ? stdin : fopen(file->path, "re");
    int result;

    if (!stream)
        return message_set(message, "cannot open job file '%s': %s", file->path, strerror(errno));
    job_options_copy(&parser.globals, file->defaults);
    result = parse_stream(&parser, stream, &place);
    job_options_free(&parser.globals);
    if (!is_stdin)
        fclose(stream);
    return result;
}
