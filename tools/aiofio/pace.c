/* SPDX-License-Identifier: MIT */
#include "pace.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "clock.h"
#include "units.h"

/* As in fio: a job is given this long before its rate is judged. */
#define JUDGED_AFTER_NS (2 * NS_PER_S)

static bool any(const uint64_t list[OPTION_DIRECTIONS])
{
    return list[0] || list[1];
}

bool pace_is_wanted(const struct job_options *options)
{
    return any(options->rate) || any(options->rate_iops) || any(options->rate_min) ||
           any(options->rate_iops_min) || options->thinktime_us || options->max_latency_us;
}

void pace_start(struct pace *pace, const struct job_options *options, uint64_t seed,
                uint64_t now_ns)
{
    *pace = (struct pace){.options = options, .start_ns = now_ns, .judged_ns = now_ns};
    random_stream_init(&pace->gaps, random_mix(seed + 2));
    for (unsigned i = 0; i < PACED_DIRECTIONS; i++) {
        struct pace_direction *direction = &pace->directions[i];

        if (options->rate[i])
            direction->ns_per_byte = (double)NS_PER_S / (double)options->rate[i];
        if (options->rate_iops[i])
            direction->ns_per_operation = (double)NS_PER_S / (double)options->rate_iops[i];
    }
}

static bool is_rated(const struct pace_direction *direction)
{
    return direction->ns_per_byte > 0 || direction->ns_per_operation > 0;
}

uint64_t pace_due(struct pace *pace, const struct place *place, unsigned in_flight, uint64_t now_ns)
{
    const struct job_options *options = pace->options;
    const struct pace_direction *direction = &pace->directions[place->write];
    uint64_t due_ns = 0;

    if (options->thinktime_us && pace->since_thinking >= options->thinktime_blocks) {
        if (in_flight > 0 && options->thinktime_blocks_type == THINKTIME_COMPLETE)
            return PACER_DRAIN;
        pace->since_thinking = 0;
        pace->think_until_ns = now_ns + options->thinktime_us * NS_PER_US;
    }
    if (is_rated(direction))
        due_ns = pace->start_ns + (uint64_t)direction->next_ns;
    return due_ns > pace->think_until_ns ? due_ns : pace->think_until_ns;
}

uint64_t pace_issue(struct pace *pace, const struct place *place)
{
    struct pace_direction *direction = &pace->directions[place->write];
    uint64_t intended_ns = pace->start_ns + (uint64_t)direction->next_ns;
    double gap_ns = direction->ns_per_operation + direction->ns_per_byte * place->length;

    pace->since_thinking++;
    if (!is_rated(direction))
        return 0;
    if (pace->options->rate_process == RATE_POISSON) {
        /* From 0 to 1, 0 excluded. */
        double unit = (double)((random_next(&pace->gaps) >> 11) + 1) * 0x1p-53;

        gap_ns *= -log(unit);
    }
    direction->next_ns += gap_ns;
    return intended_ns;
}

void pace_complete(struct pace *pace, unsigned direction, uint32_t bytes)
{
    pace->directions[direction].operations++;
    pace->directions[direction].bytes += bytes;
}

static bool is_fast_enough(const char *option, uint64_t done, uint64_t least, uint64_t passed_ns,
                           struct message *message)
{
    double rate = (double)done * (double)NS_PER_S / (double)passed_ns;

    if (rate >= (double)least)
        return true;
    message_set(message, "%.0f a second are below %s=%" PRIu64, rate, option, least);
    return false;
}

bool pace_keeps_up(struct pace *pace, uint64_t now_ns, struct message *message)
{
    const struct job_options *options = pace->options;
    uint64_t passed_ns = now_ns - pace->judged_ns;
    bool due = now_ns - pace->start_ns >= JUDGED_AFTER_NS;

    if (!any(options->rate_min) && !any(options->rate_iops_min))
        return true;
    if (!due || passed_ns < options->rate_cycle_us * NS_PER_US)
        return true;
    pace->judged_ns = now_ns;
    for (unsigned i = 0; i < PACED_DIRECTIONS; i++) {
        struct pace_direction *direction = &pace->directions[i];
        uint64_t operations = direction->operations - direction->judged_operations;
        uint64_t bytes = direction->bytes - direction->judged_bytes;

        direction->judged_operations = direction->operations;
        direction->judged_bytes = direction->bytes;
        /* A direction that the job does not have is not slow. */
        if (direction->operations == 0 && pace->directions[!i].operations)
            continue;
        if (!is_fast_enough("rate_min", bytes, options->rate_min[i], passed_ns, message) ||
            !is_fast_enough("rate_iops_min", operations, options->rate_iops_min[i], passed_ns,
                            message))
            return false;
    }
    return true;
}

uint64_t pace_start_delay_us(const struct job_options *options, uint64_t seed)
{
    uint64_t from_us = 0;
    uint64_t to_us = 0;
    struct random_stream stream;
    struct message message;

    if (!options->startdelay ||
        units_time_range(options->startdelay, NS_PER_S / NS_PER_US, &from_us, &to_us, &message))
        return 0;
    random_stream_init(&stream, random_mix(seed + 3));
    return from_us + random_below(&stream, to_us - from_us + 1);
}
