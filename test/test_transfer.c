/* SPDX-License-Identifier: MIT */
/*
 * test_transfer.c - what a result of the kernel means.
 *
 * The kernel here is a few bytes of memory: each step moves as much as the test wants. So every
 * way to cut a transfer into parts can be gone through.
 */
#include "transfer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define DISK_BYTES 256
#define START 64 /* where the transfers begin */

/* --- the kernel ----------------------------------------------------------------------------- */

static unsigned char disk[DISK_BYTES];

static bool step_reads(const struct engine_io *io)
{
    return io->opcode == AIO_OP_READ || io->opcode == AIO_OP_READV;
}

/* Moves up to limit bytes of a step; returns how many. */
static int64_t move(const struct engine_io *io, uint64_t limit)
{
    struct iovec scalar = {io->buf, io->len};
    bool vectors = io->opcode == AIO_OP_READV || io->opcode == AIO_OP_WRITEV;
    const struct iovec *iov = vectors ? io->iov : &scalar;
    uint64_t count = vectors ? io->len : 1;
    uint64_t moved = 0;

    REQUIRE(vectors || io->opcode == AIO_OP_READ || io->opcode == AIO_OP_WRITE);
    for (uint64_t index = 0; index < count; index++) {
        uint64_t bytes = iov[index].iov_len;
        unsigned char *place = disk + io->offset + moved;

        if (bytes > limit - moved)
            bytes = limit - moved;
        REQUIRE((uint64_t)io->offset + moved + bytes <= DISK_BYTES);
        if (bytes > 0 && step_reads(io))
            memcpy(iov[index].iov_base, place, bytes);
        else if (bytes > 0)
            memcpy(place, iov[index].iov_base, bytes);
        moved += bytes;
    }
    return (int64_t)moved;
}

/* --- shapes of memory ----------------------------------------------------------------------- */

/* Lengths of vectors, ended by -1. The first one is scalar. */
static const int shapes[][8] = {
    {24, -1},
    {24, -1},
    {8, 16, -1},
    {1, 2, 3, 4, 5, 9, -1},
    {0, 24, -1},
    {24, 0, -1},
    {0, 0, 7, 0, 17, -1},
    {12, 0, 12, -1},
    {1, 1, 1, 20, 1, -1},
};

struct memory {
    unsigned char bytes[DISK_BYTES];
    struct iovec iov[8];
    struct iovec untouched[8];
    uint64_t count;
    uint64_t total;
};

/* Vectors that lie apart in memory, the last one first. */
static void shape_memory(struct memory *memory, const int *lengths, unsigned unit)
{
    unsigned place = DISK_BYTES;

    memset(memory, 0, sizeof(*memory));
    for (; lengths[memory->count] >= 0; memory->count++) {
        size_t bytes = (size_t)lengths[memory->count] * unit;

        place -= (unsigned)bytes + (unit == 1 ? 3 : 0);
        memory->iov[memory->count] = (struct iovec){memory->bytes + place, bytes};
        memory->total += bytes;
    }
    memcpy(memory->untouched, memory->iov, sizeof(memory->iov));
}

static unsigned char byte_of(uint64_t index)
{
    return (unsigned char)(index * 7 + 1);
}

/* Fills the vectors in their order, or sees that they are filled. */
static void each_byte(struct memory *memory, bool fill)
{
    uint64_t index = 0;

    for (uint64_t vector = 0; vector < memory->count; vector++) {
        unsigned char *bytes = memory->iov[vector].iov_base;

        for (size_t place = 0; place < memory->iov[vector].iov_len; place++, index++) {
            if (fill)
                bytes[place] = byte_of(index);
            else
                REQUIRE_EQ(bytes[place], byte_of(index));
        }
    }
}

static void transfer_of(struct transfer *transfer, uint8_t opcode, struct memory *memory,
                        bool scalar)
{
    transfer_init(transfer, opcode, -1, START);
    if (scalar)
        transfer_set_buffer(transfer, memory->iov[0].iov_base, memory->iov[0].iov_len);
    else
        transfer_set_vectors(transfer, memory->iov, memory->count, memory->total);
    REQUIRE_EQ(transfer->total, memory->total);
}

/* The disk before a read, and what it must be after a write. */
static void disk_fill(uint64_t total)
{
    memset(disk, 0xee, sizeof(disk));
    for (uint64_t index = 0; index < total; index++)
        disk[START + index] = byte_of(index);
}

static void disk_expect(uint64_t total)
{
    for (uint64_t index = 0; index < DISK_BYTES; index++) {
        bool inside = index >= START && index < START + total;

        REQUIRE_EQ(disk[index], inside ? byte_of(index - START) : 0xee);
    }
}

/* Runs a transfer whose steps move what the callback says; returns how many steps it took. */
static unsigned run_steps(struct transfer *transfer, uint64_t (*limit)(void *), void *context)
{
    unsigned steps = 0;

    for (;;) {
        int64_t moved = move(&transfer->io, limit(context));

        REQUIRE(++steps < 1000);
        if (transfer_advance(transfer, moved) == TRANSFER_DONE)
            return steps;
    }
}

static void check_whole(uint8_t opcode, const int *lengths, bool scalar, unsigned unit,
                        uint32_t alignment, uint64_t (*limit)(void *), void *context)
{
    struct memory memory;
    struct transfer transfer;
    bool reading = opcode == AIO_OP_READ || opcode == AIO_OP_READV;

    shape_memory(&memory, lengths, unit);
    disk_fill(reading ? memory.total : 0);
    if (!reading)
        each_byte(&memory, true);
    transfer_of(&transfer, opcode, &memory, scalar);
    transfer.alignment = alignment;
    run_steps(&transfer, limit, context);
    REQUIRE_EQ(transfer.result, memory.total);
    REQUIRE_EQ(transfer.error, 0);
    REQUIRE(memcmp(memory.iov, memory.untouched, sizeof(memory.iov)) == 0);
    each_byte(&memory, false);
    disk_expect(memory.total);
}

static const uint8_t scalar_opcodes[] = {AIO_OP_READ, AIO_OP_WRITE, AIO_OP_APPEND};
static const uint8_t vector_opcodes[] = {AIO_OP_READV, AIO_OP_WRITEV, AIO_OP_APPENDV};

static void check_every_form(unsigned unit, uint32_t alignment, uint64_t (*limit)(void *),
                             void *context)
{
    for (size_t shape = 0; shape < COUNT(shapes); shape++)
        for (size_t form = 0; form < COUNT(scalar_opcodes); form++)
            check_whole(shape == 0 ? scalar_opcodes[form] : vector_opcodes[form], shapes[shape],
                        shape == 0, unit, alignment, limit, context);
}

/* --- parts ---------------------------------------------------------------------------------- */

/* Moves of two lengths in turn. */
struct two_lengths {
    uint64_t lengths[2];
    unsigned turn;
};

static uint64_t two_lengths_next(void *context)
{
    struct two_lengths *two = context;

    return two->lengths[two->turn++ % 2];
}

START_TEST(every_pair_of_parts_moves_everything_once)
{
    for (uint64_t first = 1; first <= 24; first++)
        for (uint64_t second = 1; second <= 24; second++) {
            struct two_lengths two = {{first, second}, 0};

            check_every_form(1, 1, two_lengths_next, &two);
        }
}
END_TEST

static uint64_t random_length(void *context)
{
    return 1 + random_next(context) % 24;
}

START_TEST(parts_of_any_length_move_everything_once)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint64_t state = seed;

        check_every_form(1, 1, random_length, &state);
    }
}
END_TEST

/* Between two sectors a direct transfer can stop, but not start. */
static uint64_t ragged_length(void *context)
{
    return 4 + random_next(context) % 90;
}

START_TEST(direct_transfers_go_on_at_a_sector)
{
    static const int sectors[] = {2, 0, 1, 3, 6, -1};

    for (uint64_t seed = 0; seed < 1000; seed++) {
        uint64_t state = seed;

        for (size_t form = 0; form < COUNT(vector_opcodes); form++)
            check_whole(vector_opcodes[form], sectors, false, 4, 4, ragged_length, &state);
    }
}
END_TEST

START_TEST(each_step_of_a_direct_transfer_is_aligned)
{
    struct memory memory;
    struct transfer transfer;
    static const int sectors[] = {2, 3, 1, -1};
    uint64_t moves[] = {5, 4, 6, 1000, 1000};
    uint64_t done = 0;

    shape_memory(&memory, sectors, 4);
    memset(disk, 0, sizeof(disk));
    transfer_of(&transfer, AIO_OP_WRITEV, &memory, false);
    transfer.alignment = 4;
    for (size_t index = 0; index < COUNT(moves); index++) {
        REQUIRE_EQ(transfer.io.offset, START + (int64_t)done);
        REQUIRE_EQ(transfer.io.offset % 4, 0);
        REQUIRE_EQ(transfer.done, done);
        moves[index] = (uint64_t)move(&transfer.io, moves[index]);
        if (transfer_advance(&transfer, (int64_t)moves[index]) == TRANSFER_DONE)
            break;
        done += moves[index] / 4 * 4;
    }
    REQUIRE_EQ(transfer.result, 24);
}
END_TEST

START_TEST(a_thousand_vectors_byte_by_byte)
{
    enum { VECTORS = TRANSFER_IOV_MAX };
    static unsigned char bytes[VECTORS];
    static struct iovec iov[VECTORS];
    struct transfer transfer;
    unsigned steps = 0;

    for (unsigned index = 0; index < VECTORS; index++)
        iov[index] = (struct iovec){&bytes[index], 1};
    transfer_init(&transfer, AIO_OP_WRITEV, -1, 0);
    transfer_set_vectors(&transfer, iov, VECTORS, VECTORS);
    do {
        REQUIRE_EQ(transfer.io.offset, steps);
        REQUIRE_EQ(transfer.io.len, VECTORS - steps);
        REQUIRE(transfer.io.iov == iov + steps);
        steps++;
    } while (transfer_advance(&transfer, 1) != TRANSFER_DONE);
    REQUIRE_EQ(steps, VECTORS);
    REQUIRE_EQ(transfer.result, VECTORS);
}
END_TEST

/* --- verdicts ------------------------------------------------------------------------------- */

enum { NO_RESULT = 12345 };

static const struct verdict {
    uint8_t opcode;
    uint64_t total;
    int64_t before; /* what an earlier step moved; 0: there was none */
    int64_t step;
    enum transfer_verdict verdict;
    int64_t result; /* NO_RESULT: none yet */
    int error;
} verdicts[] = {
    {AIO_OP_READ, 100, 0, 100, TRANSFER_DONE, 100, 0},
    {AIO_OP_READ, 100, 0, 0, TRANSFER_DONE, 0, 0}, /* the end of the file */
    {AIO_OP_READ, 100, 40, 60, TRANSFER_DONE, 100, 0},
    {AIO_OP_READ, 100, 40, 0, TRANSFER_DONE, 40, 0},
    {AIO_OP_READ, 100, 0, -EIO, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_READ, 100, 40, -EIO, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_READ, 100, 40, 30, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_READ, 100, 0, -EINTR, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_READ, 100, 40, -EINTR, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_READ, 100, 40, -EAGAIN, TRANSFER_LATER, NO_RESULT, 0},
    {AIO_OP_READ, 100, 0, 101, TRANSFER_DONE, -EIO, -EIO}, /* more than was asked for */
    {AIO_OP_READ, 100, 40, 61, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_READ, 0, 0, 0, TRANSFER_DONE, 0, 0},
    {AIO_OP_WRITE, 100, 0, 100, TRANSFER_DONE, 100, 0},
    {AIO_OP_WRITE, 100, 0, 0, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_WRITE, 100, 40, 0, TRANSFER_DONE, 40, -EIO},
    {AIO_OP_WRITE, 100, 0, -ENOSPC, TRANSFER_DONE, -ENOSPC, -ENOSPC},
    {AIO_OP_WRITE, 100, 40, -ENOSPC, TRANSFER_DONE, 40, -ENOSPC},
    {AIO_OP_WRITE, 100, 40, 30, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_WRITE, 100, 40, -EINTR, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_WRITE, 100, 0, -EAGAIN, TRANSFER_LATER, NO_RESULT, 0},
    {AIO_OP_WRITE, 100, 0, 101, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_WRITE, 100, 40, 61, TRANSFER_DONE, 40, -EIO},
    {AIO_OP_WRITE, 0, 0, 0, TRANSFER_DONE, 0, 0},
    {AIO_OP_APPEND, 100, 40, -EFBIG, TRANSFER_DONE, 40, -EFBIG},
    {AIO_OP_APPEND, 100, 0, -EFBIG, TRANSFER_DONE, -EFBIG, -EFBIG},
    {AIO_OP_SYNC, 0, 0, 0, TRANSFER_DONE, 0, 0},
    {AIO_OP_SYNC, 0, 0, -EIO, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_SYNC, 0, 0, -EINTR, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_DATASYNC, 0, 0, -EAGAIN, TRANSFER_LATER, NO_RESULT, 0},
    {AIO_OP_DATASYNC, 0, 0, -ENOSPC, TRANSFER_DONE, -ENOSPC, -ENOSPC},
};

START_TEST(results_mean_what_the_table_says)
{
    static unsigned char bytes[100];

    for (size_t index = 0; index < COUNT(verdicts); index++) {
        const struct verdict *line = &verdicts[index];
        struct transfer transfer;
        struct engine_io before;

        transfer_init(&transfer, line->opcode, -1, 0);
        if (line->opcode != AIO_OP_SYNC && line->opcode != AIO_OP_DATASYNC)
            transfer_set_buffer(&transfer, bytes, line->total);
        if (line->before > 0)
            REQUIRE(transfer_advance(&transfer, line->before) == TRANSFER_AGAIN);
        before = transfer.io;
        ck_assert_msg(transfer_advance(&transfer, line->step) == line->verdict, "line %zu", index);
        if (line->result != NO_RESULT)
            ck_assert_msg(transfer.result == line->result && transfer.error == line->error,
                          "line %zu: %lld, %d", index, (long long)transfer.result, transfer.error);
        else if (line->step < 0) /* the same again */
            ck_assert_msg(memcmp(&before, &transfer.io, sizeof(before)) == 0, "line %zu", index);
    }
}
END_TEST

START_TEST(a_failure_from_outside_is_treated_alike)
{
    static unsigned char bytes[100];
    struct transfer transfer;

    transfer_init(&transfer, AIO_OP_WRITE, -1, 0);
    transfer_set_buffer(&transfer, bytes, sizeof(bytes));
    transfer_fail(&transfer, -EAGAIN);
    REQUIRE_EQ(transfer.result, -EAGAIN);
    transfer_init(&transfer, AIO_OP_WRITE, -1, 0);
    transfer_set_buffer(&transfer, bytes, sizeof(bytes));
    transfer_advance(&transfer, 10);
    transfer_fail(&transfer, -EAGAIN);
    REQUIRE_EQ(transfer.result, 10);
    REQUIRE_EQ(transfer.error, -EAGAIN);
}
END_TEST

START_TEST(no_progress_is_an_error_never_a_loop)
{
    static unsigned char bytes[4096];
    struct transfer transfer;

    /* Less than a sector, twice in a row. */
    transfer_init(&transfer, AIO_OP_WRITE, -1, 0);
    transfer_set_buffer(&transfer, bytes, sizeof(bytes));
    transfer.alignment = 512;
    REQUIRE(transfer_advance(&transfer, 100) == TRANSFER_AGAIN);
    REQUIRE_EQ(transfer.io.offset, 0);
    REQUIRE(transfer_advance(&transfer, 100) == TRANSFER_DONE);
    REQUIRE_EQ(transfer.result, -EIO);
    /* With progress in between it goes on. */
    transfer_init(&transfer, AIO_OP_WRITE, -1, 0);
    transfer_set_buffer(&transfer, bytes, sizeof(bytes));
    transfer.alignment = 512;
    for (int64_t sector = 0; sector < 7; sector++) {
        REQUIRE_EQ(transfer.io.offset, sector * 512);
        REQUIRE(transfer_advance(&transfer, 100) == TRANSFER_AGAIN);
        REQUIRE(transfer_advance(&transfer, 700) == TRANSFER_AGAIN);
    }
    REQUIRE(transfer_advance(&transfer, 512) == TRANSFER_DONE);
    REQUIRE_EQ(transfer.result, 4096);
}
END_TEST

/* --- the end of a file between two sectors -------------------------------------------------- */

START_TEST(a_direct_read_ends_inside_the_last_sector)
{
    unsigned char *bytes = page_alloc(8192);
    struct transfer transfer;
    int fd;

    make_file("file", 5000, 1);
    fd = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    transfer_init(&transfer, AIO_OP_READ, fd, 0);
    transfer_set_buffer(&transfer, bytes, 8192);
    transfer.alignment = 512;
    EXPECT(transfer_advance(&transfer, 5000), TRANSFER_DONE);
    REQUIRE_EQ(transfer.result, 5000);
    REQUIRE_EQ(transfer.error, 0);
    /* After a part. */
    transfer_init(&transfer, AIO_OP_READ, fd, 0);
    transfer_set_buffer(&transfer, bytes, 8192);
    transfer.alignment = 512;
    EXPECT(transfer_advance(&transfer, 1024), TRANSFER_AGAIN);
    EXPECT(transfer_advance(&transfer, 5000 - 1024), TRANSFER_DONE);
    REQUIRE_EQ(transfer.result, 5000);
    close(fd);
    free(bytes);
}
END_TEST

START_TEST(a_file_that_grew_meanwhile_is_read_on)
{
    unsigned char *bytes = page_alloc(8192);
    struct transfer transfer;
    int fd;

    make_file("file", 8192, 1);
    fd = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    transfer_init(&transfer, AIO_OP_READ, fd, 0);
    transfer_set_buffer(&transfer, bytes, 8192);
    transfer.alignment = 512;
    /* It ended there when the kernel read it, but does no more. */
    EXPECT(transfer_advance(&transfer, 5000), TRANSFER_AGAIN);
    REQUIRE_EQ(transfer.io.offset, 4608);
    REQUIRE(transfer.io.buf == bytes + 4608);
    REQUIRE_EQ(transfer.io.len, 8192 - 4608);
    EXPECT(transfer_advance(&transfer, 8192 - 4608), TRANSFER_DONE);
    REQUIRE_EQ(transfer.result, 8192);
    close(fd);
    free(bytes);
}
END_TEST

START_TEST(an_append_gets_its_place_late)
{
    static unsigned char bytes[100];
    struct transfer transfer;

    transfer_init(&transfer, AIO_OP_APPEND, -1, 0);
    transfer_set_buffer(&transfer, bytes, sizeof(bytes));
    transfer_set_offset(&transfer, 4096);
    REQUIRE_EQ(transfer.io.opcode, AIO_OP_WRITE);
    REQUIRE_EQ(transfer.io.offset, 4096);
    REQUIRE(transfer_advance(&transfer, 30) == TRANSFER_AGAIN);
    REQUIRE_EQ(transfer.io.offset, 4126);
    REQUIRE_EQ(transfer.offset, 4096);
}
END_TEST

static Suite *transfer_suite(void)
{
    Suite *suite = suite_create("transfer");

    ADD_TESTS(suite, "parts", every_pair_of_parts_moves_everything_once,
              parts_of_any_length_move_everything_once, direct_transfers_go_on_at_a_sector,
              each_step_of_a_direct_transfer_is_aligned, a_thousand_vectors_byte_by_byte);
    ADD_TESTS(suite, "verdicts", results_mean_what_the_table_says,
              a_failure_from_outside_is_treated_alike, no_progress_is_an_error_never_a_loop);
    ADD_TESTS(suite, "end", a_direct_read_ends_inside_the_last_sector,
              a_file_that_grew_meanwhile_is_read_on, an_append_gets_its_place_late);
    return suite;
}

int main(void)
{
    return run_suite(transfer_suite);
}
