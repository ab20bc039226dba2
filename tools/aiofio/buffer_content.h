/* SPDX-License-Identifier: MIT */
/*
 * buffer_content.h - what jobs without verify write: random data, zeros, a pattern, or a mix that
 * compresses to a share.
 */
#ifndef AIOFIO_BUFFER_CONTENT_H
#define AIOFIO_BUFFER_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "identity.h"
#include "options.h"

#define BUFFER_PATTERN_MAX 512u

struct buffer_content {
    struct identity *identity;
    uint32_t job;
    bool zeros;
    bool refills;   /* new content for each write */
    bool scrambles; /* some bytes of each sector are new */
    unsigned compressed_percent;
    uint32_t chunk; /* bytes of which the percentage is */
    unsigned char pattern[BUFFER_PATTERN_MAX];
    unsigned pattern_length; /* 0: none */
};

/* "0xdeadbeef", "1234" (as 0x04d2), "\"text\"", or several of them in a row. 0, or -1 with a
 * reason. */
int buffer_pattern_parse(const char *text, unsigned char pattern[BUFFER_PATTERN_MAX],
                         unsigned *length, struct message *message);

void buffer_content_init(struct buffer_content *content, const struct job_options *options,
                         struct identity *identity, uint32_t job);

/* Fills a buffer as it is to be before the first write. */
void buffer_content_fill(const struct buffer_content *content, void *data, uint32_t length);

/* Whether something changes with each write, which buffer_content_renew() does then. */
static inline bool buffer_content_changes(const struct buffer_content *content)
{
    return content->refills || content->scrambles;
}

void buffer_content_renew(const struct buffer_content *content, void *data, uint32_t length,
                          uint64_t offset);

#endif
