/* SPDX-License-Identifier: MIT */
#include "distribution.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

#define PI 3.14159265358979323846

/* Terms of the zeta function that are added up; the rest is an integral. */
#define ZETA_TERMS 10000u

static int parse_real(const char *text, double least, double most, double *value,
                      struct message *message)
{
    char *end;

    *value = strtod(text, &end);
    if (end == text || (*end && strcmp(end, "%") != 0))
        return message_set(message, "'%s' is not a number", text);
    if (!(*value >= least && *value <= most))
        return message_set(message, "%s is not from %g to %g", text, least, most);
    return 0;
}

/* "share/size" */
static int parse_zone(struct distribution *distribution, char *text, uint64_t kb_base,
                      struct message *message)
{
    bool absolute = distribution->kind == DISTRIBUTION_ZONED_ABS;
    struct distribution_zone *zone = &distribution->zones[distribution->zone_count];
    char *slash = strchr(text, '/');
    uint64_t share = 0;
    uint64_t size = 0;

    if (distribution->zone_count == DISTRIBUTION_ZONES_MAX)
        return message_set(message, "more than %u zones", DISTRIBUTION_ZONES_MAX);
    if (!slash)
        return message_set(message, "'%s' is no zone: write share/size", text);
    *slash = '\0';
    if (units_size(text, &share, message) || units_size_in(slash + 1, kb_base, &size, message))
        return -1;
    if (share > 100 || (!absolute && size > 100))
        return message_set(message, "%s/%s: percentages go to 100", text, slash + 1);
    if (distribution->zone_count) {
        share += zone[-1].up_to;
        size += zone[-1].end;
    }
    zone->up_to = (uint32_t)share;
    zone->end = size;
    distribution->zone_count++;
    return 0;
}

static int parse_zones(struct distribution *distribution, char *text, uint64_t kb_base,
                       struct message *message)
{
    const struct distribution_zone *last;
    char *word;

    while ((word = strsep(&text, ":")) != NULL)
        if (parse_zone(distribution, word, kb_base, message))
            return -1;
    last = &distribution->zones[distribution->zone_count - 1];
    if (last->up_to != 100)
        return message_set(message, "the shares of the zones are %u in sum, not 100", last->up_to);
    if (distribution->kind == DISTRIBUTION_ZONED && last->end != 100)
        return message_set(message, "the sizes of the zones are %llu percent in sum, not 100",
                           (unsigned long long)last->end);
    return 0;
}

struct shape {
    const char *name;
    enum distribution_kind kind;
    double least;
    double most;
};

static const struct shape shapes[] = {
    {"random", DISTRIBUTION_EVEN, 0, 0},           {"zipf", DISTRIBUTION_ZIPF, 0.001, 100},
    {"pareto", DISTRIBUTION_PARETO, 0.001, 0.999}, {"normal", DISTRIBUTION_NORMAL, 0.001, 100},
    {"zoned", DISTRIBUTION_ZONED, 0, 0},           {"zoned_abs", DISTRIBUTION_ZONED_ABS, 0, 0},
};

static int parse_parameters(struct distribution *distribution, const struct shape *shape,
                            char *text, struct message *message)
{
    char *center = strchr(text, ':');

    if (center)
        *center++ = '\0';
    if (parse_real(text, shape->least, shape->most, &distribution->parameter, message))
        return -1;
    if (shape->kind == DISTRIBUTION_ZIPF && distribution->parameter == 1.0)
        return message_set(message, "zipf has no 1.0: take a number beside it");
    distribution->has_center = center != NULL;
    return center ? parse_real(center, 0, 1, &distribution->center, message) : 0;
}

static int parse_one(struct distribution *distribution, char *text, uint64_t kb_base,
                     struct message *message)
{
    char *parameters = strchr(text, ':');

    *distribution = (struct distribution){0};
    if (parameters)
        *parameters++ = '\0';
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (strcmp(shapes[i].name, text) != 0)
            continue;
        distribution->kind = shapes[i].kind;
        if (shapes[i].kind == DISTRIBUTION_EVEN)
            return parameters ? message_set(message, "random has no parameter") : 0;
        if (!parameters)
            return message_set(message,
                               "%s needs a parameter, as in zipf:1.2, pareto:0.2, "
                               "normal:20, zoned:60/10:40/90, zoned_abs:60/1g:40/9g",
                               text);
        if (shapes[i].kind >= DISTRIBUTION_ZONED)
            return parse_zones(distribution, parameters, kb_base, message);
        return parse_parameters(distribution, &shapes[i], parameters, message);
    }
    return message_set(message,
                       "'%s' is unknown (choose from random, zipf, pareto, normal, zoned, "
                       "zoned_abs)",
                       text);
}

int distribution_parse(const char *text, struct distribution distributions[2], uint64_t kb_base,
                       struct message *message)
{
    char *copy = must_copy(text);
    char *rest = copy;
    char *word;
    unsigned count = 0;
    int result = 0;

    while (result == 0 && count < 2 && (word = strsep(&rest, ",")) != NULL)
        result = parse_one(&distributions[count++], word, kb_base, message);
    if (count == 1)
        distributions[1] = distributions[0];
    free(copy);
    return result;
}

/* The sum of 1/i^theta for i from 1 to count. */
static double zeta(uint64_t count, double theta)
{
    uint64_t terms = count < ZETA_TERMS ? count : ZETA_TERMS;
    double sum = 0;
    double from = (double)terms + 0.5;
    double to = (double)count + 0.5;

    for (uint64_t i = 1; i <= terms; i++)
        sum += pow((double)i, -theta);
    if (count > terms)
        sum += (pow(to, 1 - theta) - pow(from, 1 - theta)) / (1 - theta);
    return sum;
}

static void prepare_zones(struct distribution *distribution, uint64_t block_bytes)
{
    for (unsigned i = 0; i < distribution->zone_count; i++) {
        struct distribution_zone *zone = &distribution->zones[i];

        if (distribution->kind == DISTRIBUTION_ZONED)
            zone->end = (uint64_t)((long double)distribution->count * zone->end / 100);
        else
            zone->end /= block_bytes;
        if (zone->end > distribution->count)
            zone->end = distribution->count;
    }
}

void distribution_prepare(struct distribution *distribution, uint64_t count, uint64_t block_bytes,
                          uint64_t seed)
{
    double theta = distribution->parameter;

    distribution->count = count;
    prepare_zones(distribution, block_bytes);
    if (distribution->kind == DISTRIBUTION_ZIPF) {
        /* Gray et al., "Quickly generating billion-record synthetic databases", 1994. */
        distribution->second = 1 + pow(0.5, theta);
        distribution->zeta = zeta(count, theta);
        distribution->alpha = 1 / (1 - theta);
        distribution->eta = (1 - pow(2.0 / (double)count, 1 - theta)) /
                            (1 - distribution->second / distribution->zeta);
    }
    permutation_init(&distribution->scatter, count, random_mix(seed + 1));
}

/* From 0 to 1, 1 excluded. */
static double draw_unit(struct random_stream *stream)
{
    return (double)(random_next(stream) >> 11) * 0x1p-53;
}

static uint64_t draw_zipf(const struct distribution *distribution, struct random_stream *stream)
{
    double unit = draw_unit(stream);
    double scaled = unit * distribution->zeta;

    if (scaled < 1 || distribution->count <= 2)
        return scaled < 1 ? 0 : distribution->count - 1;
    if (scaled < distribution->second)
        return 1;
    return (uint64_t)((double)distribution->count *
                      pow(distribution->eta * unit - distribution->eta + 1, distribution->alpha));
}

static uint64_t draw_pareto(const struct distribution *distribution, struct random_stream *stream)
{
    double share = distribution->parameter;

    /* 1 - h of the draws fall on h of the blocks. */
    return (uint64_t)((double)distribution->count *
                      pow(draw_unit(stream), log(share) / log(1 - share)));
}

static uint64_t draw_normal(const struct distribution *distribution, struct random_stream *stream)
{
    double range = (double)distribution->count;
    double mean = range * (distribution->has_center ? distribution->center : 0.5);
    double block;

    /* What falls beyond the ends is drawn again: at worst, about half. */
    do {
        double radius = sqrt(-2 * log(1 - draw_unit(stream)));

        block =
            mean + radius * cos(2 * PI * draw_unit(stream)) * range * distribution->parameter / 100;
    } while (block < 0 || block >= range);
    return (uint64_t)block;
}

static uint64_t draw_zone(const struct distribution *distribution, struct random_stream *stream)
{
    uint64_t drawn = random_below(stream, 100);
    unsigned index = 0;
    uint64_t start;
    uint64_t end;

    while (distribution->zones[index].up_to <= drawn)
        index++;
    start = index ? distribution->zones[index - 1].end : 0;
    end = distribution->zones[index].end;
    /* A zone smaller than a block, or beyond the region, is the block where it begins. */
    return end > start ? start + random_below(stream, end - start) : start;
}

/* Puts a rank where its block is. */
static uint64_t place_rank(const struct distribution *distribution, uint64_t rank)
{
    uint64_t count = distribution->count;

    if (rank >= count)
        rank = count - 1;
    assert(count > 0);
    if (!distribution->has_center)
        return permutation_at(&distribution->scatter, rank);
    return (rank + (uint64_t)(distribution->center * (double)(count - 1))) % count;
}

uint64_t distribution_draw(const struct distribution *distribution, struct random_stream *stream,
                           uint64_t count)
{
    uint64_t block;

    switch (distribution->kind) {
    case DISTRIBUTION_ZIPF:
        block = place_rank(distribution, draw_zipf(distribution, stream));
        break;
    case DISTRIBUTION_PARETO:
        block = place_rank(distribution, draw_pareto(distribution, stream));
        break;
    case DISTRIBUTION_NORMAL:
        block = draw_normal(distribution, stream);
        break;
    case DISTRIBUTION_ZONED:
    case DISTRIBUTION_ZONED_ABS:
        block = draw_zone(distribution, stream);
        break;
    default:
        return random_below(stream, count);
    }
    /* An operation larger than the least is kept inside the region. */
    return block < count ? block : count - 1;
}
