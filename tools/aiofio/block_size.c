/* SPDX-License-Identifier: MIT */
#include "block_size.h"

#include <stdlib.h>
#include <string.h>

#include "units.h"

/* 100 percent, fine enough for what shares a rest. */
#define SHARES 1000000u

uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

void block_sizes_fix(struct block_sizes *sizes, uint32_t bytes)
{
    sizes->least = bytes;
    sizes->most = bytes;
    sizes->step = bytes;
    sizes->share_count = 0;
}

static int parse_size(const char *text, uint32_t *bytes, uint64_t kb_base, struct message *message)
{
    uint64_t value = 0;

    if (units_size_in(text, kb_base, &value, message))
        return -1;
    if (value < BLOCK_SIZE_LEAST || value > BLOCK_SIZE_MOST)
        return message_set(message, "'%s' is not from %u to %u bytes", text, BLOCK_SIZE_LEAST,
                           BLOCK_SIZE_MOST);
    *bytes = (uint32_t)value;
    return 0;
}

static int parse_one_range(char *text, struct block_sizes *sizes, bool unaligned, uint64_t kb_base,
                           struct message *message)
{
    char *dash = strchr(text, '-');

    if (!dash)
        return message_set(message, "'%s' is no range: write lowest-highest", text);
    *dash = '\0';
    if (parse_size(text, &sizes->least, kb_base, message) ||
        parse_size(dash + 1, &sizes->most, kb_base, message))
        return -1;
    if (sizes->least > sizes->most)
        return message_set(message, "%u-%u begins above its end: swap the two", sizes->least,
                           sizes->most);
    sizes->step = unaligned ? 1 : sizes->least;
    sizes->most -= sizes->most % sizes->step;
    sizes->share_count = 0;
    return 0;
}

/* Gives those without a percentage (up_to is SHARES + 1) what is left, and adds up. */
static int add_up_shares(struct block_sizes *sizes, struct message *message)
{
    uint32_t given = 0;
    uint32_t rest;
    uint32_t sum = 0;
    unsigned blanks = 0;

    for (unsigned i = 0; i < sizes->share_count; i++) {
        if (sizes->shares[i].up_to > SHARES)
            blanks++;
        else
            given += sizes->shares[i].up_to;
    }
    if (given > SHARES || (blanks == 0 && given < SHARES))
        return message_set(message,
                           "the percentages are %u in sum: they have to be 100, or less where a "
                           "size without percentage takes the rest",
                           given / (SHARES / 100));
    rest = blanks ? (SHARES - given) / blanks : 0;
    for (unsigned i = 0; i < sizes->share_count; i++) {
        struct block_size_share *share = &sizes->shares[i];

        sum += share->up_to > SHARES ? rest : share->up_to;
        share->up_to = sum;
    }
    /* What a division left over. */
    sizes->shares[sizes->share_count - 1].up_to = SHARES;
    return 0;
}

static int parse_share(char *text, struct block_sizes *sizes, uint64_t kb_base,
                       struct message *message)
{
    struct block_size_share *share = &sizes->shares[sizes->share_count];
    char *slash = strchr(text, '/');
    uint64_t percent = 0;

    if (sizes->share_count == BLOCK_SIZES_MAX)
        return message_set(message, "more than %u sizes", BLOCK_SIZES_MAX);
    if (slash)
        *slash++ = '\0';
    if (parse_size(text, &share->bytes, kb_base, message))
        return -1;
    share->up_to = SHARES + 1;
    if (slash && *slash) {
        if (units_size(slash, &percent, message))
            return -1;
        if (percent > 100)
            return message_set(message, "%s percent are more than 100", slash);
        share->up_to = (uint32_t)percent * (SHARES / 100);
    }
    sizes->share_count++;
    if (sizes->share_count == 1 || share->bytes < sizes->least)
        sizes->least = share->bytes;
    if (sizes->share_count == 1 || share->bytes > sizes->most)
        sizes->most = share->bytes;
    sizes->step = (uint32_t)common_divisor(share->bytes, sizes->step);
    return 0;
}

static int parse_one_split(char *text, struct block_sizes *sizes, uint64_t kb_base,
                           struct message *message)
{
    char *word;

    *sizes = (struct block_sizes){0};
    while ((word = strsep(&text, ":")) != NULL)
        if (parse_share(word, sizes, kb_base, message))
            return -1;
    return add_up_shares(sizes, message);
}

/* Parts the text at its commas; a direction that is not named has what the one before it has. */
static int parse_directions(const char *text, struct block_sizes *sizes, int unaligned,
                            uint64_t kb_base, struct message *message)
{
    char *copy = must_copy(text);
    char *rest = copy;
    char *word;
    unsigned direction = 0;
    int result = 0;

    while (result == 0 && (word = strsep(&rest, ",")) != NULL) {
        struct block_sizes unused;
        struct block_sizes *to = direction < BLOCK_SIZE_DIRECTIONS ? &sizes[direction] : &unused;

        if (*word)
            result = unaligned < 0 ? parse_one_split(word, to, kb_base, message)
                                   : parse_one_range(word, to, unaligned > 0, kb_base, message);
        direction++;
    }
    if (result == 0 && direction == 1)
        sizes[1] = sizes[0];
    free(copy);
    return result;
}

int block_sizes_parse_range(const char *text, struct block_sizes sizes[BLOCK_SIZE_DIRECTIONS],
                            bool unaligned, uint64_t kb_base, struct message *message)
{
    return parse_directions(text, sizes, unaligned, kb_base, message);
}

int block_sizes_parse_split(const char *text, struct block_sizes sizes[BLOCK_SIZE_DIRECTIONS],
                            uint64_t kb_base, struct message *message)
{
    return parse_directions(text, sizes, -1, kb_base, message);
}

uint32_t block_sizes_draw(const struct block_sizes *sizes, struct random_stream *stream)
{
    const struct block_size_share *share = sizes->shares;
    uint64_t steps;
    uint64_t drawn;

    if (sizes->share_count == 0) {
        steps = (sizes->most - sizes->least) / sizes->step + 1;
        return sizes->least + (uint32_t)random_below(stream, steps) * sizes->step;
    }
    drawn = random_below(stream, SHARES);
    while (share->up_to <= drawn)
        share++;
    return share->bytes;
}
