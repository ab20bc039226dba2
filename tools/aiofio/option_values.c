/* SPDX-License-Identifier: MIT */
#include "option_values.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block_size.h"
#include "buffer_content.h"
#include "cpu_list.h"
#include "distribution.h"
#include "units.h"

static uint64_t *numbers_of(const struct option *option, struct job_options *job)
{
    return (uint64_t *)(void *)((char *)job + option->field);
}

static int parse_number(const struct option *option, const char *value, uint64_t kb_base,
                        uint64_t *number, struct message *message)
{
    if (units_size_in(value, kb_base, number, message))
        return message_prefix(message, "%s", option->name);
    if (*number < option->least)
        return message_set(message, "%s=%s is below the least value, %" PRIu64, option->name, value,
                           option->least);
    if (option->most && *number > option->most)
        return message_set(message, "%s=%s is above the largest value, %" PRIu64, option->name,
                           value, option->most);
    return 0;
}

int option_set_list(const struct option *option, struct job_options *job, const char *value,
                    struct message *message)
{
    uint64_t numbers[OPTION_DIRECTIONS];
    uint64_t initial = 0;
    char *copy = must_copy(value);
    char *rest = copy;
    const char *word;
    unsigned count = 0;
    int result = *value ? 0 : message_set(message, "%s needs a value", option->name);

    if (option->initial)
        result = result ? result
                        : parse_number(option, option->initial, job->kb_base, &initial, message);
    while (result == 0 && (word = strsep(&rest, ",")) != NULL) {
        if (count == OPTION_DIRECTIONS) {
            result = message_set(message, "%s=%s: more than three directions (read, write, trim)",
                                 option->name, value);
            break;
        }
        numbers[count] = initial;
        if (*word)
            result = parse_number(option, word, job->kb_base, &numbers[count], message);
        count++;
        if (!*word && !rest)
            break;
        for (unsigned i = count; i < OPTION_DIRECTIONS; i++)
            numbers[i] = numbers[count - 1];
    }
    for (unsigned i = count; i > 0 && i < OPTION_DIRECTIONS; i++)
        if (value[strlen(value) - 1] == ',')
            numbers[i] = initial;
    if (result == 0)
        memcpy(numbers_of(option, job), numbers, sizeof(numbers));
    free(copy);
    return result;
}

int option_set_amount(const struct option *option, struct job_options *job, const char *value,
                      struct message *message)
{
    size_t length = strlen(value);
    uint64_t number = 0;
    char *digits;
    int result;

    if (length == 0)
        return message_set(message, "%s needs a value", option->name);
    if (value[length - 1] != '%') {
        if (parse_number(option, value, job->kb_base, &number, message))
            return -1;
        *numbers_of(option, job) = number;
        return 0;
    }
    digits = must_copy(value);
    digits[length - 1] = '\0';
    result = units_size(digits, &number, message);
    free(digits);
    if (result)
        return message_prefix(message, "%s", option->name);
    if (number > 100 || number < option->least)
        return message_set(message, "%s=%s: percent go from %" PRIu64 " to 100", option->name,
                           value, option->least);
    *numbers_of(option, job) = OPTION_PERCENT | number;
    return 0;
}

static int set_modifier(const struct option *option, struct job_options *job, const char *modifier,
                        struct message *message)
{
    bool random =
        job->rw == WORKLOAD_RANDREAD || job->rw == WORKLOAD_RANDWRITE || job->rw == WORKLOAD_RANDRW;
    bool backwards = !random && modifier[0] == '-';
    uint64_t number = 0;

    if (units_size_in(modifier + backwards, job->kb_base, &number, message))
        return message_prefix(message, "%s: after the colon", option->name);
    if (number == 0 || number > 1u << 30)
        return message_set(message, "%s: what follows the colon, %s, is not from 1 to 1g",
                           option->name, modifier);
    if (random)
        job->rw_run = number;
    else
        job->rw_hole = backwards ? -(int64_t)number : (int64_t)number;
    return 0;
}

int option_set_rw(const struct option *option, struct job_options *job, const char *value,
                  struct message *message)
{
    const char *colon = strchr(value, ':');
    size_t length = colon ? (size_t)(colon - value) : strlen(value);

    job->rw_run = 0;
    job->rw_hole = 0;
    if (option_choose(option, value, length, numbers_of(option, job), message))
        return -1;
    return colon ? set_modifier(option, job, colon + 1, message) : 0;
}

static int keep_text(const struct option *option, struct job_options *job, const char *value,
                     int result, struct message *message)
{
    char **field = (char **)(void *)((char *)job + option->field);

    if (result)
        return message_prefix(message, "%s=%s", option->name, value);
    free(*field);
    *field = must_copy(value);
    return 0;
}

int option_set_bsrange(const struct option *option, struct job_options *job, const char *value,
                       struct message *message)
{
    struct block_sizes sizes[BLOCK_SIZE_DIRECTIONS] = {{0}};
    int result = block_sizes_parse_range(value, sizes, false, job->kb_base, message);

    return keep_text(option, job, value, result, message);
}

int option_set_bssplit(const struct option *option, struct job_options *job, const char *value,
                       struct message *message)
{
    struct block_sizes sizes[BLOCK_SIZE_DIRECTIONS] = {{0}};
    int result = block_sizes_parse_split(value, sizes, job->kb_base, message);

    return keep_text(option, job, value, result, message);
}

int option_set_distribution(const struct option *option, struct job_options *job, const char *value,
                            struct message *message)
{
    struct distribution distributions[2];
    int result = distribution_parse(value, distributions, job->kb_base, message);

    return keep_text(option, job, value, result, message);
}

int option_set_service(const struct option *option, struct job_options *job, const char *value,
                       struct message *message)
{
    const char *colon = strchr(value, ':');
    size_t length = colon ? (size_t)(colon - value) : strlen(value);
    uint64_t turn = 1;

    for (const struct option_choice *choice = option->choices; choice->name; choice++) {
        if (strlen(choice->name) != length || memcmp(choice->name, value, length) != 0)
            continue;
        if (colon && units_size(colon + 1, &turn, message))
            return message_prefix(message, "%s: after the colon", option->name);
        if (turn == 0)
            return message_set(message, "%s=%s: at least 1 operation", option->name, value);
        *numbers_of(option, job) = choice->value;
        job->service_turn = turn;
        return 0;
    }
    return message_set(message, "%s=%s is unknown (choose from roundrobin, random, sequential)",
                       option->name, value);
}

int option_set_buffer_pattern(const struct option *option, struct job_options *job,
                              const char *value, struct message *message)
{
    unsigned char pattern[BUFFER_PATTERN_MAX];
    unsigned length;
    int result = buffer_pattern_parse(value, pattern, &length, message);

    return keep_text(option, job, value, result, message);
}

int option_set_cpus(const struct option *option, struct job_options *job, const char *value,
                    struct message *message)
{
    cpu_set_t set;
    int result = cpu_list_parse(value, &set, message);

    return keep_text(option, job, value, result, message);
}

int option_set_inverse(const struct option *option, struct job_options *job, const char *value,
                       struct message *message)
{
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return message_set(message, "%s=%s: must be 0 or 1", option->name, value);
    *numbers_of(option, job) = value[0] == '0';
    return 0;
}

static int set_time(const struct option *option, struct job_options *job, const char *value,
                    uint64_t unit_us, struct message *message)
{
    uint64_t time_us = 0;

    if (!*value)
        return message_set(message, "%s needs a value", option->name);
    if (units_time(value, unit_us, &time_us, message))
        return message_prefix(message, "%s", option->name);
    if (option->most && time_us > option->most)
        return message_set(message, "%s=%s is above the largest value, %" PRIu64 "us", option->name,
                           value, option->most);
    *numbers_of(option, job) = time_us;
    return 0;
}

int option_set_us(const struct option *option, struct job_options *job, const char *value,
                  struct message *message)
{
    return set_time(option, job, value, 1, message);
}

int option_set_ms(const struct option *option, struct job_options *job, const char *value,
                  struct message *message)
{
    return set_time(option, job, value, 1000, message);
}

int option_set_time_range(const struct option *option, struct job_options *job, const char *value,
                          struct message *message)
{
    uint64_t from_us = 0;
    uint64_t to_us = 0;
    int result = units_time_range(value, 1000000, &from_us, &to_us, message);

    if (result == 0 && to_us > option->most)
        result = message_set(message, "more than %" PRIu64 " seconds", option->most / 1000000);
    return keep_text(option, job, value, result, message);
}

static void print_number(FILE *out, uint64_t number)
{
    fprintf(out, "%" PRIu64 "%s", number & ~OPTION_PERCENT, number & OPTION_PERCENT ? "%" : "");
}

static void print_list(FILE *out, const uint64_t numbers[OPTION_DIRECTIONS])
{
    print_number(out, numbers[0]);
    if (numbers[1] == numbers[0] && numbers[2] == numbers[0])
        return;
    for (unsigned i = 1; i < OPTION_DIRECTIONS; i++)
        fprintf(out, ",%" PRIu64, numbers[i]);
}

static void print_workload(FILE *out, const struct option *option, const struct job_options *job)
{
    fputs(option_choice_name(option->name, job->rw), out);
    if (job->rw_run)
        fprintf(out, ":%" PRIu64, job->rw_run);
    if (job->rw_hole)
        fprintf(out, ":%" PRId64, job->rw_hole);
}

static void print_service(FILE *out, const struct option *option, const struct job_options *job,
                          const struct job_options *defaults)
{
    if (job->file_service_type == defaults->file_service_type &&
        job->service_turn == defaults->service_turn)
        return;
    fprintf(out, " --%s=%s", option->name,
            option_choice_name(option->name, job->file_service_type));
    if (job->service_turn != 1)
        fprintf(out, ":%" PRIu64, job->service_turn);
}

bool option_print_value(FILE *out, const struct option *option, const struct job_options *job,
                        const struct job_options *defaults)
{
    const uint64_t *numbers = (const uint64_t *)(const void *)((const char *)job + option->field);
    const char *initial = (const char *)defaults + option->field;
    bool is_list = option->set == option_set_list;
    bool is_rw = option->set == option_set_rw;
    bool same = memcmp(numbers, initial, (is_list ? OPTION_DIRECTIONS : 1) * sizeof(*numbers)) == 0;

    if (option->set == option_set_inverse)
        return true; /* the row that it is the inverse of prints it */
    if (option->set == option_set_service) {
        print_service(out, option, job, defaults);
        return true;
    }
    if (!is_list && !is_rw && option->set != option_set_amount)
        return false;
    if (same && !(is_rw && (job->rw_run || job->rw_hole)))
        return true;
    fprintf(out, " --%s=", option->name);
    if (is_list)
        print_list(out, numbers);
    else if (is_rw)
        print_workload(out, option, job);
    else
        print_number(out, numbers[0]);
    return true;
}
