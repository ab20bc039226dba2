/* SPDX-License-Identifier: MIT */
#include "stamp.h"

#include <assert.h>
#include <string.h>

#include "crc32c.h"
#include "random.h"

#define CHECKSUM_START offsetof(struct stamp, version)
#define PAYLOAD_WORDS ((STAMP_SECTOR - sizeof(struct stamp)) / sizeof(uint64_t))

_Static_assert(sizeof(struct stamp) == 64, "the stamp's size is part of the format");

static uint32_t sector_checksum(const unsigned char *sector)
{
    return crc32c(sector + CHECKSUM_START, STAMP_SECTOR - CHECKSUM_START);
}

void stamp_fill(void *data, const struct stamp *stamp)
{
    unsigned char *sector = data;
    unsigned sector_count = stamp->length / STAMP_SECTOR;
    struct stamp own = *stamp;

    assert(stamp->length % STAMP_SECTOR == 0);
    own.magic = STAMP_MAGIC;
    own.version = STAMP_VERSION;
    for (unsigned i = 0; i < sector_count; i++, sector += STAMP_SECTOR) {
        uint64_t payload[PAYLOAD_WORDS];

        own.sector = (uint16_t)i;
        own.crc = 0;
        /* No two sectors of a run are alike, so that no device can deduplicate them. */
        own.seed = random_mix(own.run ^ random_mix(own.sequence + 1) ^ (own.offset + i));
        /* Each word by itself, so that the processor computes several at a time. */
        for (unsigned k = 0; k < PAYLOAD_WORDS; k++) {
            uint64_t word = (own.seed + k) * 0x9e3779b97f4a7c15ull;

            payload[k] = (word ^ (word >> 32)) * 0xd6e8feb86659fd93ull;
        }
        memcpy(sector, &own, sizeof(own));
        memcpy(sector + sizeof(own), payload, sizeof(payload));
        own.crc = sector_checksum(sector);
        memcpy(sector + offsetof(struct stamp, crc), &own.crc, sizeof(own.crc));
    }
}

bool stamp_read(const void *sector, struct stamp *stamp)
{
    memcpy(stamp, sector, sizeof(*stamp));
    return stamp->magic == STAMP_MAGIC && stamp->version == STAMP_VERSION &&
           stamp->crc == sector_checksum(sector);
}

/* What one sector is. */
enum sector_state {
    SECTOR_GOOD,
    SECTOR_STALE,
    SECTOR_MISDIRECTED,
    SECTOR_FOREIGN,
    SECTOR_DAMAGED,   /* a stamp or a checksum, but they disagree */
    SECTOR_UNSTAMPED, /* neither */
    SECTOR_ZEROED,
    SECTOR_UNISSUED, /* a generation that was never written */
    SECTOR_STATE_COUNT,
};

static bool is_zero(const unsigned char *sector)
{
    return sector[0] == 0 && memcmp(sector, sector + 1, STAMP_SECTOR - 1) == 0;
}

static enum sector_state judge_sector(const unsigned char *sector, unsigned index,
                                      const struct block_expectation *expectation,
                                      struct stamp *stamp)
{
    bool whole = stamp_read(sector, stamp);

    if (!whole) {
        if (is_zero(sector))
            return SECTOR_ZEROED;
        if (stamp->magic == STAMP_MAGIC || stamp->crc == sector_checksum(sector))
            return SECTOR_DAMAGED;
        return SECTOR_UNSTAMPED;
    }
    if (stamp->kind != STAMP_KIND_BLOCK)
        return SECTOR_UNSTAMPED;
    if (stamp->run != expectation->run)
        return SECTOR_FOREIGN;
    if (stamp->file != expectation->file ||
        stamp->offset + (uint64_t)stamp->sector * STAMP_SECTOR !=
            expectation->offset + (uint64_t)index * STAMP_SECTOR)
        return SECTOR_MISDIRECTED;
    if (stamp->generation < expectation->lowest)
        return SECTOR_STALE;
    if (stamp->generation > expectation->highest)
        return SECTOR_UNISSUED;
    return SECTOR_GOOD;
}

/* The sectors of a block, counted. */
struct tally {
    unsigned total;
    unsigned of[SECTOR_STATE_COUNT];
    bool one_write; /* all stamps that there are come from one write */
};

static enum block_state judge_tally(const struct tally *tally, bool in_flight)
{
    static const enum block_state of_all[SECTOR_STATE_COUNT] = {
        [SECTOR_GOOD] = BLOCK_GOOD,
        [SECTOR_STALE] = BLOCK_STALE,
        [SECTOR_MISDIRECTED] = BLOCK_MISDIRECTED,
        [SECTOR_FOREIGN] = BLOCK_FOREIGN,
        [SECTOR_DAMAGED] = BLOCK_CORRUPT,
        [SECTOR_UNSTAMPED] = BLOCK_CORRUPT,
        [SECTOR_ZEROED] = BLOCK_ZEROED,
        [SECTOR_UNISSUED] = BLOCK_CORRUPT,
    };

    if (tally->of[SECTOR_DAMAGED])
        return in_flight ? BLOCK_IN_FLIGHT : BLOCK_CORRUPT;
    for (unsigned state = 0; state < SECTOR_STATE_COUNT; state++) {
        if (tally->of[state] != tally->total)
            continue;
        /* Old sectors of several writes: none of these writes was ever there as a whole. */
        if (state == SECTOR_STALE && !tally->one_write)
            return BLOCK_TORN;
        return of_all[state];
    }
    return BLOCK_TORN;
}

/* Where any run will do, the first whole sector says what the others have to agree with. */
static struct block_expectation own_expectation(const unsigned char *data,
                                                const struct block_expectation *expectation)
{
    struct block_expectation own = *expectation;

    for (unsigned i = 0; i < expectation->length / STAMP_SECTOR; i++) {
        struct stamp stamp;

        if (!stamp_read(data + (size_t)i * STAMP_SECTOR, &stamp))
            continue;
        own.run = stamp.run;
        own.file = stamp.file;
        own.lowest = stamp.generation;
        own.highest = stamp.generation;
        break;
    }
    return own;
}

enum block_state stamp_judge(const void *data, const struct block_expectation *expectation,
                             struct block_evidence *evidence)
{
    const unsigned char *sector = data;
    struct block_expectation expected = *expectation;
    struct tally tally = {.total = expectation->length / STAMP_SECTOR, .one_write = true};
    uint64_t sequence = 0;
    bool sequence_known = false;

    if (expectation->own_run && expectation->lowest == 0)
        return BLOCK_UNKNOWN;
    if (!expectation->own_run)
        expected = own_expectation(data, expectation);

    for (unsigned i = 0; i < tally.total; i++, sector += STAMP_SECTOR) {
        struct stamp stamp;
        enum sector_state state = judge_sector(sector, i, &expected, &stamp);

        tally.of[state]++;
        if (state <= SECTOR_FOREIGN) {
            if (sequence_known && stamp.sequence != sequence)
                tally.one_write = false;
            sequence = stamp.sequence;
            sequence_known = true;
        }
        if (state == SECTOR_GOOD)
            continue;
        if (evidence->differing++ == 0) {
            evidence->sector = i;
            evidence->stamp = stamp;
            if (state >= SECTOR_DAMAGED && state != SECTOR_UNISSUED)
                evidence->stamp = (struct stamp){0};
        }
    }
    return judge_tally(&tally, expected.in_flight);
}

const char *block_state_name(enum block_state state)
{
    static const char *const names[BLOCK_STATE_COUNT] = {
        [BLOCK_GOOD] = "good",
        [BLOCK_UNKNOWN] = "unknown",
        [BLOCK_IN_FLIGHT] = "in flight",
        [BLOCK_STALE] = "stale",
        [BLOCK_MISDIRECTED] = "misdirected",
        [BLOCK_TORN] = "torn",
        [BLOCK_FOREIGN] = "foreign",
        [BLOCK_CORRUPT] = "corrupt",
        [BLOCK_ZEROED] = "zeroed",
    };

    return names[state];
}
