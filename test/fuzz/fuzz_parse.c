/* SPDX-License-Identifier: MIT */
/*
 * fuzz_parse.c - a libFuzzer target for what aiofio reads: a command line and a job file.
 *
 * An input is a job file; where its first line begins with "$ ", that line is a command line. Both
 * may be wrong in any way. What was taken has to come back: the jobs as showcmd prints them, read
 * as a command line and printed again, are the same.
 */
#include "fuzz_parse.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse_cmdline.h"
#include "parse_job.h"
#include "showcmd.h"

#define WORDS_MAX 256

struct words {
    char *word[WORDS_MAX + 1];
    int count;
};

/* Takes a command line apart as a shell does, in place: blanks, '...', and \ before a letter. */
static void split(char *line, struct words *words)
{
    char *out = line;

    words->count = 0;
    while (*line && words->count < WORDS_MAX) {
        bool quoted = false;

        while (*line == ' ')
            line++;
        if (!*line)
            break;
        words->word[words->count++] = out;
        for (; *line && (quoted || *line != ' '); line++) {
            if (*line == '\'')
                quoted = !quoted;
            else if (*line == '\\' && !quoted && line[1])
                *out++ = *++line;
            else
                *out++ = *line;
        }
        if (*line)
            line++;
        *out++ = '\0';
    }
    words->word[words->count] = NULL;
}

static char *print_jobs(const struct job_list *list)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        abort();
    showcmd_print(out, list);
    fclose(out);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static void fail(const char *why, const char *first, const char *second)
{
    fprintf(stderr, "%s:\n%s\n%s\n", why, first, second);
    abort();
}

/* More words than the table holds would be another command line. */
static bool fits(const char *line)
{
    int blanks = 0;

    for (; *line; line++)
        blanks += *line == ' ';
    return blanks < WORDS_MAX;
}

static void check_round_trip(const struct job_list *list)
{
    struct settings settings = {0};
    struct job_list again = {0};
    struct message message = {0};
    struct words words;
    char *first = print_jobs(list);
    char *line = must_copy(first);
    char *second;

    if (list->count > 0 && fits(line)) {
        split(line, &words);
        if (parse_cmdline(words.count, words.word, &settings, &again, &message))
            fail("showcmd prints what is refused", first, message.text);
        if (again.refusal_count > 0)
            fail("showcmd prints what is refused", first, again.refusals[0]);
        second = print_jobs(&again);
        if (strcmp(first, second) != 0)
            fail("showcmd prints something else", first, second);
        free(second);
    }
    free(first);
    free(line);
    settings_free(&settings);
    job_list_free(&again);
}

static void parse_line(char *line)
{
    char name[] = "aiofio";
    struct settings settings = {0};
    struct job_list list = {0};
    struct message message = {0};
    struct words words;

    split(line, &words);
    memmove(words.word + 1, words.word, sizeof(words.word) - sizeof(words.word[0]));
    words.word[0] = name;
    if (words.count < WORDS_MAX)
        words.count++;
    if (parse_cmdline(words.count, words.word, &settings, &list, &message) == 0)
        check_round_trip(&list);
    settings_free(&settings);
    job_list_free(&list);
}

static void parse_file(char *text, size_t size)
{
    struct job_options defaults;
    struct job_list list = {0};
    struct message message = {0};
    struct job_file file = {.path = "fuzz.fio", .defaults = &defaults};
    FILE *stream = size > 0 ? fmemopen(text, size, "r") : NULL;

    if (!stream)
        return;
    job_options_init(&defaults);
    if (parse_job_stream(&file, stream, &list, &message) == 0)
        check_round_trip(&list);
    fclose(stream);
    job_list_free(&list);
    job_options_free(&defaults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = must_alloc(size + 1, 1);
    char *file = text;
    char *end;

    memcpy(text, data, size);
    /* Neither job files nor included files are to be found: some would never end. */
    if (strncmp(text, "$ ", 2) == 0 || memmem(text, size, "include", 7))
        for (size_t i = 0; i < size; i++)
            if (text[i] == '/')
                text[i] = '_';
    if (strncmp(text, "$ ", 2) == 0) {
        end = text + strcspn(text, "\n");
        file = *end ? end + 1 : end;
        *end = '\0';
        parse_line(text + 2);
    }
    parse_file(file, size - (size_t)(file - text));
    free(text);
    return 0;
}
