/* SPDX-License-Identifier: MIT */
#include "buffer_content.h"

#include <ctype.h>
#include <string.h>

#include "stamp.h"
#include "units.h"

static int append(unsigned char *pattern, unsigned *length, unsigned char byte,
                  struct message *message)
{
    if (*length == BUFFER_PATTERN_MAX)
        return message_set(message, "more than %u bytes", BUFFER_PATTERN_MAX);
    pattern[(*length)++] = byte;
    return 0;
}

static unsigned hex_digit(char digit)
{
    if (isdigit((unsigned char)digit))
        return (unsigned)(digit - '0');
    return (unsigned)(tolower((unsigned char)digit) - 'a') + 10;
}

/* Pairs of digits, the first byte first; an odd one out is a byte of its own. */
static int parse_hex(const char **text, unsigned char *pattern, unsigned *length,
                     struct message *message)
{
    const char *at = *text + 2;
    int result = 0;

    if (!isxdigit((unsigned char)*at))
        return message_set(message, "no digits after 0x");
    while (result == 0 && isxdigit((unsigned char)*at)) {
        unsigned byte = hex_digit(*at++);

        if (isxdigit((unsigned char)*at))
            byte = byte << 4 | hex_digit(*at++);
        result = append(pattern, length, (unsigned char)byte, message);
    }
    *text = at;
    return result;
}

/* Its bytes, the highest first, without leading zeros. */
static int parse_decimal(const char **text, unsigned char *pattern, unsigned *length,
                         struct message *message)
{
    uint64_t value = 0;
    int result = 0;
    unsigned bytes = 1;

    for (; isdigit((unsigned char)**text); ++*text)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(**text - '0'), &value))
            return message_set(message, "a number above 64 bits: write it as 0x");
    while (bytes < 8 && value >> (8 * bytes))
        bytes++;
    while (result == 0 && bytes-- > 0)
        result = append(pattern, length, (unsigned char)(value >> (8 * bytes)), message);
    return result;
}

static int parse_string(const char **text, unsigned char *pattern, unsigned *length,
                        struct message *message)
{
    const char *at = *text + 1;
    int result = 0;

    while (result == 0 && *at && *at != '"')
        result = append(pattern, length, (unsigned char)*at++, message);
    if (result == 0 && *at != '"')
        return message_set(message, "the closing '\"' is missing");
    *text = at + 1;
    return result;
}

int buffer_pattern_parse(const char *text, unsigned char pattern[BUFFER_PATTERN_MAX],
                         unsigned *length, struct message *message)
{
    int result = 0;

    *length = 0;
    while (result == 0 && *text) {
        if (text[0] == '0' && tolower((unsigned char)text[1]) == 'x')
            result = parse_hex(&text, pattern, length, message);
        else if (isdigit((unsigned char)*text))
            result = parse_decimal(&text, pattern, length, message);
        else if (*text == '"')
            result = parse_string(&text, pattern, length, message);
        else
            result = message_set(message, "'%s': write 0x.., a number, or \"text\"", text);
    }
    if (result == 0 && *length == 0)
        return message_set(message, "it is empty");
    return result;
}

void buffer_content_init(struct buffer_content *content, const struct job_options *options,
                         struct identity *identity, uint32_t job)
{
    struct message message;

    *content = (struct buffer_content){
        .identity = identity,
        .job = job,
        .zeros = options->zero_buffers,
        .compressed_percent = (unsigned)options->buffer_compress_percentage,
        .chunk = (uint32_t)options->buffer_compress_chunk,
    };
    if (options->buffer_pattern)
        buffer_pattern_parse(options->buffer_pattern, content->pattern, &content->pattern_length,
                             &message);
    /* Fixed content stays as it is. */
    if (!content->zeros && (content->pattern_length == 0 || content->compressed_percent)) {
        content->refills = options->refill_buffers;
        content->scrambles =
            options->scramble_buffers && !content->refills && !content->compressed_percent;
    }
}

/* Repeats the pattern, or zeros, over a part of a buffer. */
static void repeat(const struct buffer_content *content, unsigned char *data, uint32_t length)
{
    if (content->pattern_length == 0) {
        memset(data, 0, length);
        return;
    }
    for (uint32_t at = 0; at < length; at++)
        data[at] = content->pattern[at % content->pattern_length];
}

static void fill_random(const struct buffer_content *content, void *data, uint32_t length)
{
    struct stamp stamp = {
        /* There is room: buffers are whole pages. */
        .length = (length + STAMP_SECTOR - 1) / STAMP_SECTOR * STAMP_SECTOR,
        .run = content->identity->run,
        .sequence = identity_next(content->identity),
        .job = content->job,
        .kind = STAMP_KIND_FILL,
    };

    stamp_fill(data, &stamp);
}

void buffer_content_fill(const struct buffer_content *content, void *data, uint32_t length)
{
    unsigned char *bytes = data;

    if (content->zeros || (content->pattern_length && !content->compressed_percent)) {
        repeat(content, bytes, length);
        return;
    }
    fill_random(content, data, length);
    for (uint32_t at = 0; content->compressed_percent && at < length; at += content->chunk) {
        uint32_t chunk = length - at < content->chunk ? length - at : content->chunk;
        uint32_t same = chunk * content->compressed_percent / 100;

        repeat(content, bytes + at + chunk - same, same);
    }
}

/* The first sector of a file stays what it is: aiofio's label, by which it knows its own. */
static void scramble(unsigned char *data, uint32_t length, uint64_t offset, uint64_t sequence)
{
    uint32_t at = offset == 0 ? STAMP_SECTOR : 0;

    for (; at + STAMP_SECTOR <= length; at += STAMP_SECTOR) {
        uint64_t words[2] = {offset + at, sequence};

        memcpy(data + at + sizeof(struct stamp), words, sizeof(words));
    }
}

void buffer_content_renew(const struct buffer_content *content, void *data, uint32_t length,
                          uint64_t offset)
{
    if (content->refills)
        buffer_content_fill(content, data, length);
    else
        scramble(data, length, offset, identity_next(content->identity));
}
