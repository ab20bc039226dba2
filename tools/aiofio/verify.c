/* SPDX-License-Identifier: MIT */
#include "verify.h"

#include <inttypes.h>
#include <stdio.h>

#include "journal.h"

void verify_counts_merge(struct verify_counts *to, const struct verify_counts *from)
{
    to->wanted += from->wanted;
    to->checked += from->checked;
    for (unsigned i = 0; i < BLOCK_STATE_COUNT; i++)
        to->states[i] += from->states[i];
}

uint64_t verify_bad(const struct verify_counts *counts)
{
    uint64_t bad = 0;

    for (unsigned i = BLOCK_FIRST_BAD; i < BLOCK_STATE_COUNT; i++)
        bad += counts->states[i];
    return bad;
}

uint64_t verify_skipped(const struct verify_counts *counts)
{
    return counts->states[BLOCK_UNKNOWN] + counts->states[BLOCK_IN_FLIGHT];
}

uint64_t verify_missed(const struct verify_counts *counts)
{
    uint64_t done = counts->checked + verify_skipped(counts);

    return counts->wanted > done ? counts->wanted - done : 0;
}

void verify_counts_print(FILE *out, const struct verify_counts *counts)
{
    fprintf(out, "verify: %" PRIu64 " blocks, %" PRIu64 " checked, %" PRIu64 " bad", counts->wanted,
            counts->checked, verify_bad(counts));
    for (unsigned state = BLOCK_FIRST_BAD; state < BLOCK_STATE_COUNT; state++)
        fprintf(out, ", %" PRIu64 " %s", counts->states[state], block_state_name(state));
}

void verify_before_write(const struct verify_writer *writer, void *data, uint64_t offset,
                         uint32_t length)
{
    struct target *target = writer->target;
    struct stamp stamp = {
        .length = target->block,
        .run = writer->identity->run,
        .file = target->number,
        .sequence = identity_next(writer->identity),
        .job = writer->job,
        .kind = STAMP_KIND_BLOCK,
    };

    for (uint32_t at = 0; at < length; at += target->block) {
        stamp.offset = offset + at;
        stamp.generation = expect_write_begin(&target->expect, stamp.offset / target->block);
        stamp_fill((unsigned char *)data + at, &stamp);
    }
}

void verify_after_write(const struct verify_writer *writer, uint64_t offset, uint32_t length,
                        bool succeeded)
{
    struct target *target = writer->target;

    for (uint32_t at = 0; at < length; at += target->block)
        journal_write_end(target, (offset + at) / target->block, succeeded);
}

void verify_before_read(const struct verify_reader *reader, struct expect_view *views,
                        uint64_t offset, uint32_t length)
{
    const struct target *target = reader->target;

    if (!target->own_run)
        return;
    for (uint32_t at = 0; at < length; at += target->block)
        *views++ = expect_view(&target->expect, (offset + at) / target->block);
}

static void print_expected(char *out, size_t room, const struct block_expectation *expectation)
{
    if (!expectation->own_run)
        snprintf(out, room, "expected a block that agrees with itself");
    else if (expectation->lowest == expectation->highest)
        snprintf(out, room, "expected generation %" PRIu32, expectation->lowest);
    else
        snprintf(out, room, "expected a generation from %" PRIu32 " to %" PRIu32,
                 expectation->lowest, expectation->highest);
}

/* Says in words what the stamp of a sector tells. */
static void print_origin(char *out, size_t room, const struct block_expectation *expectation,
                         const struct stamp *stamp)
{
    int length;

    if (!stamp->magic) {
        snprintf(out, room, "no valid stamp");
        return;
    }
    length = snprintf(out, room, "generation %" PRIu32 " (job %" PRIu32 ", write %" PRIu64 ")",
                      stamp->generation, stamp->job, stamp->sequence);
    if (length < 0 || (size_t)length >= room)
        return;
    out += length;
    room -= (size_t)length;
    if (expectation->own_run && stamp->run != expectation->run)
        snprintf(out, room, " of another run (%016" PRIx64 ")", stamp->run);
    else if (expectation->own_run && stamp->file != expectation->file)
        snprintf(out, room, " of offset %" PRIu64 " in file %" PRIu32 " of this run", stamp->offset,
                 stamp->file);
    else if (stamp->offset != expectation->offset)
        snprintf(out, room, " of offset %" PRIu64, stamp->offset);
}

static void describe(const struct verify_reader *reader, enum block_state state,
                     const struct block_expectation *expectation,
                     const struct block_evidence *evidence)
{
    uint64_t before = atomic_fetch_add_explicit(&reader->findings->count, 1, memory_order_relaxed);
    unsigned sectors = expectation->length / STAMP_SECTOR;
    char expected[96];
    char origin[160];
    char where[96] = "";

    if (before >= FINDINGS_SHOWN)
        return;
    print_expected(expected, sizeof(expected), expectation);
    if (state == BLOCK_ZEROED)
        snprintf(origin, sizeof(origin), "zeros");
    else
        print_origin(origin, sizeof(origin), expectation, &evidence->stamp);
    if (evidence->differing < sectors)
        snprintf(where, sizeof(where), " in sector %u (%u of %u sectors differ)", evidence->sector,
                 evidence->differing, sectors);
    console_line(reader->findings->console,
                 "verify: job '%s': %s block in '%s' at offset %" PRIu64 ", %" PRIu32
                 " bytes: %s, found %s%s",
                 reader->job_name, block_state_name(state), reader->target->path,
                 expectation->offset, expectation->length, expected, origin, where);
}

static enum block_state check_block(const struct verify_reader *reader, const void *data,
                                    const struct expect_view *before,
                                    struct block_expectation *expectation)
{
    const struct target *target = reader->target;
    struct block_evidence evidence = {0};
    enum block_state state;

    if (target->own_run) {
        struct expect_view now = expect_view(&target->expect, expectation->offset / target->block);

        /* Whatever was there when the read began, up to whatever was issued until it ended. A
         * write that failed meanwhile leaves nothing to expect. */
        expectation->lowest = now.lowest ? before->lowest : 0;
        expectation->highest = now.highest;
        expectation->in_flight = before->writing || now.writing || before->highest != now.highest;
    }
    state = stamp_judge(data, expectation, &evidence);
    if (state >= BLOCK_FIRST_BAD)
        describe(reader, state, expectation, &evidence);
    return state;
}

void verify_after_read(const struct verify_reader *reader, const struct expect_view *views,
                       const void *data, uint64_t offset, uint32_t length)
{
    const struct target *target = reader->target;
    unsigned index = 0;

    for (uint32_t at = 0; at < length; at += target->block, index++) {
        struct block_expectation expectation = {
            .run = reader->identity->run,
            .offset = offset + at,
            .file = target->number,
            .length = target->block,
            .own_run = target->own_run,
        };
        enum block_state state = check_block(reader, (const unsigned char *)data + at,
                                             target->own_run ? &views[index] : NULL, &expectation);

        reader->counts->states[state]++;
        if (state == BLOCK_GOOD || state >= BLOCK_FIRST_BAD)
            reader->counts->checked++;
    }
}
