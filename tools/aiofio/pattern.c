/* SPDX-License-Identifier: MIT */
#include "pattern.h"

#include <assert.h>

static void start_pass(struct pattern *pattern)
{
    pattern->issued = 0;
    if (pattern->random)
        permutation_init(&pattern->permutation, pattern->block_count,
                         random_mix(pattern->seed + pattern->pass));
}

void pattern_start(struct pattern *pattern)
{
    assert(pattern->block_count > 0);
    assert(pattern->reads || pattern->writes);
    pattern->pass = 0;
    pattern->positions[0] = 0;
    pattern->positions[1] = 0;
    random_stream_init(&pattern->mix, random_mix(~pattern->seed));
    start_pass(pattern);
}

bool pattern_next(struct pattern *pattern, bool *write, uint64_t *block)
{
    if (pattern->issued == pattern->block_count) {
        if (!pattern->endless)
            return false;
        pattern->pass++;
        start_pass(pattern);
    }
    *write = pattern->writes;
    if (pattern->reads && pattern->writes)
        *write = random_below(&pattern->mix, 100) >= pattern->read_percent;
    if (pattern->random) {
        *block = permutation_at(&pattern->permutation, pattern->issued);
    } else {
        uint64_t *position = &pattern->positions[*write];

        *block = *position;
        *position = *position + 1 == pattern->block_count ? 0 : *position + 1;
    }
    pattern->issued++;
    return true;
}
