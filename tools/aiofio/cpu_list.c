/* SPDX-License-Identifier: MIT */
#include "cpu_list.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

static int parse_cpu(const char *text, uint64_t *cpu, struct message *message)
{
    if (units_size(text, cpu, message))
        return -1;
    if (*cpu >= CPU_SETSIZE)
        return message_set(message, "processor %s: the highest number is %d", text,
                           CPU_SETSIZE - 1);
    return 0;
}

int cpu_list_parse(const char *text, cpu_set_t *set, struct message *message)
{
    char *copy = must_copy(text);
    char *rest = copy;
    const char *word;
    int result = 0;

    CPU_ZERO(set);
    while (result == 0 && (word = strsep(&rest, ",:")) != NULL) {
        char *dash = strchr(word, '-');
        uint64_t from = 0;
        uint64_t to = 0;

        if (dash)
            *dash++ = '\0';
        result = parse_cpu(word, &from, message);
        to = from;
        if (result == 0 && dash)
            result = parse_cpu(dash, &to, message);
        if (result == 0 && to < from)
            result =
                message_set(message, "'%s-%s' ends before it begins: swap the two", word, dash);
        for (uint64_t cpu = from; result == 0 && cpu <= to; cpu++)
            CPU_SET(cpu, set);
    }
    free(copy);
    return result;
}

int cpu_list_apply(const char *text, int split, unsigned clone)
{
    struct message message;
    cpu_set_t set;
    unsigned skip;

    if (cpu_list_parse(text, &set, &message))
        return 0;
    if (split) {
        int own = 0;

        skip = clone % (unsigned)CPU_COUNT(&set);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &set) && skip-- == 0)
                own = cpu;
        CPU_ZERO(&set);
        CPU_SET(own, &set);
    }
    return -pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}
