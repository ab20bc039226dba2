/* SPDX-License-Identifier: MIT */
/*
 * range.c - where a transfer goes.
 */
#include "range.h"

#include "judge.h"

uint64_t choose_unit(uint64_t *random)
{
    static const uint16_t units[] = {4096, 512, 1};

    return ONE_OF(random, units);
}

uint64_t choose_length(uint64_t *random, uint64_t unit, uint64_t limit)
{
    uint64_t chance = below(random, 1000);
    uint64_t most = 3 * MIB;
    uint64_t length;

    if (chance < 25)
        return 0;
    if (chance < 760)
        most = 8 * KIB;
    else if (chance < 950)
        most = 64 * KIB;
    else if (chance < 987)
        most = 256 * KIB;
    length = (1 + below(random, most < limit ? most : limit)) / unit * unit;
    if (length == 0)
        length = unit;
    return length <= limit ? length : 0;
}

static uint64_t choose_offset(uint64_t *random, uint64_t size, uint64_t unit, uint64_t hot)
{
    uint64_t chance = below(random, 100);
    uint64_t offset;

    if (chance < 40)
        offset = below(random, size + 64 * KIB);
    else if (chance < 60)
        offset = (size > 8 * KIB ? size - 8 * KIB : 0) + below(random, 16 * KIB);
    else if (chance < 85)
        offset = hot / (64 * KIB) * (64 * KIB) + below(random, 64 * KIB);
    else
        offset = hot;
    return offset / unit * unit;
}

struct range choose_range(uint64_t *random, uint64_t size, uint64_t limit, uint64_t longest,
                          uint64_t *hot)
{
    struct range range;

    range.unit = choose_unit(random);
    range.length = choose_length(random, range.unit, longest);
    range.offset = choose_offset(random, size, range.unit, *hot);
    if (range.offset > limit)
        range.offset = limit / range.unit * range.unit;
    if (range.length > limit - range.offset)
        range.length = (limit - range.offset) / range.unit * range.unit;
    *hot = one_in(random, 64) ? below(random, size + 1) : range.offset + range.length;
    return range;
}

struct range choose_within(uint64_t *random, uint64_t start, uint64_t end, uint64_t longest)
{
    struct range range = {.unit = choose_unit(random)};
    uint64_t first = (start + range.unit - 1) / range.unit * range.unit;
    uint64_t last = end / range.unit * range.unit;
    uint64_t most;

    if (first >= last) {
        range.unit = 1;
        first = start;
        last = end;
    }
    most = last - first < longest ? last - first : longest;
    /* Often all of it: then neighbours meet at the borders. */
    range.length = one_in(random, 4) ? most : choose_length(random, range.unit, most);
    range.length = range.length / range.unit * range.unit;
    range.offset = first + below(random, last - first - range.length + 1) / range.unit * range.unit;
    return range;
}
