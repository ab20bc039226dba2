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

/* Whether two steps ask for the same; there is room between their fields. */
static bool same_step(const struct engine_io *left, const struct engine_io *right)
{
    return left->opcode == right->opcode && left->fd == right->fd && left->buf == right->buf &&
           left->len == right->len && left->offset == right->offset &&
           left->rw_flags == right->rw_flags;
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
            ck_assert_msg(same_step(&before, &transfer.io), "line %zu", index);
    }
}
END_TEST

/* One step and no more. */
static const struct single_step {
    uint8_t opcode;
    int32_t rw_flags;
    int64_t step; /* of 100 bytes */
    enum transfer_verdict verdict;
    int64_t result;
    int error;
} single_steps[] = {
    {AIO_OP_READ, RWF_NOWAIT, 100, TRANSFER_DONE, 100, 0},
    {AIO_OP_READ, RWF_NOWAIT, 40, TRANSFER_DONE, 40, -EAGAIN},
    {AIO_OP_READ, RWF_NOWAIT, 0, TRANSFER_DONE, 0, 0}, /* the end of the file */
    {AIO_OP_READ, RWF_NOWAIT, -EAGAIN, TRANSFER_DONE, -EAGAIN, -EAGAIN},
    {AIO_OP_READ, RWF_NOWAIT, -EOPNOTSUPP, TRANSFER_DONE, -EOPNOTSUPP, -EOPNOTSUPP},
    {AIO_OP_READ, RWF_NOWAIT, -EINTR, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_READ, RWF_NOWAIT, 101, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_WRITE, RWF_NOWAIT, 100, TRANSFER_DONE, 100, 0},
    {AIO_OP_WRITE, RWF_NOWAIT, 40, TRANSFER_DONE, 40, -EAGAIN},
    {AIO_OP_WRITE, RWF_NOWAIT, 0, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_WRITE, RWF_NOWAIT | RWF_DSYNC, -EAGAIN, TRANSFER_DONE, -EAGAIN, -EAGAIN},
    {AIO_OP_APPEND, RWF_NOWAIT, 99, TRANSFER_DONE, 99, -EAGAIN},
    {AIO_OP_WRITE, RWF_ATOMIC, 100, TRANSFER_DONE, 100, 0},
    {AIO_OP_WRITE, RWF_ATOMIC, 40, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_WRITE, RWF_ATOMIC, 0, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_WRITE, RWF_ATOMIC, 101, TRANSFER_DONE, -EIO, -EIO},
    {AIO_OP_WRITE, RWF_ATOMIC, -EINVAL, TRANSFER_DONE, -EINVAL, -EINVAL},
    {AIO_OP_WRITE, RWF_ATOMIC, -EINTR, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_WRITE, RWF_ATOMIC, -EAGAIN, TRANSFER_LATER, NO_RESULT, 0},
    {AIO_OP_WRITE, RWF_ATOMIC | RWF_NOWAIT, -EAGAIN, TRANSFER_DONE, -EAGAIN, -EAGAIN},
    {AIO_OP_WRITE, RWF_ATOMIC | RWF_NOWAIT, 40, TRANSFER_DONE, -EIO, -EIO},
    /* Others go on. */
    {AIO_OP_READ, RWF_HIPRI, 40, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_WRITE, RWF_DSYNC, 40, TRANSFER_AGAIN, NO_RESULT, 0},
    {AIO_OP_WRITE, RWF_HIPRI, -EAGAIN, TRANSFER_LATER, NO_RESULT, 0},
};

START_TEST(some_transfers_have_one_step)
{
    static unsigned char bytes[100];

    for (size_t index = 0; index < COUNT(single_steps); index++) {
        const struct single_step *line = &single_steps[index];
        struct iovec iov[2] = {{bytes, 60}, {bytes + 60, 40}};

        for (unsigned vectors = 0; vectors < 2; vectors++) {
            struct transfer transfer;

            transfer_init(&transfer, line->opcode, -1, 0);
            if (vectors)
                transfer_set_vectors(&transfer, iov, 2, sizeof(bytes));
            else
                transfer_set_buffer(&transfer, bytes, sizeof(bytes));
            transfer.io.rw_flags = line->rw_flags;
            ck_assert_msg(transfer_advance(&transfer, line->step) == line->verdict, "line %zu",
                          index);
            if (line->result != NO_RESULT)
                ck_assert_msg(transfer.result == line->result && transfer.error == line->error,
                              "line %zu: %lld, %d", index, (long long)transfer.result,
                              transfer.error);
            REQUIRE_EQ(transfer.io.rw_flags, line->rw_flags);
        }
    }
}
END_TEST

/* The priority is the operation's, whatever becomes of its steps, and the next one has its own. */
START_TEST(a_priority_stays_over_all_steps)
{
    static unsigned char bytes[100];
    struct iovec iov[2] = {{bytes, 60}, {bytes + 60, 40}};
    struct transfer transfer;

    transfer_init(&transfer, AIO_OP_READV, -1, 0);
    transfer_set_vectors(&transfer, iov, 2, sizeof(bytes));
    transfer.io.priority = 0x4003;
    for (unsigned byte = 0; byte < 99; byte++) {
        REQUIRE_EQ(transfer.io.priority, 0x4003);
        REQUIRE_EQ(transfer_advance(&transfer, 1), TRANSFER_AGAIN);
    }
    transfer_init(&transfer, AIO_OP_READ, -1, 0);
    REQUIRE_EQ(transfer.io.priority, 0);
    REQUIRE_EQ(transfer.io.rw_flags, 0);
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

/* --- more vectors than the kernel takes ----------------------------------------------------- */

enum { MANY = 2500 };

static struct iovec many[MANY];

/* Vectors of one byte each, those before first empty; the first of all is the last in memory. */
static unsigned char *many_vectors(unsigned first)
{
    static unsigned char bytes[MANY];

    for (unsigned index = 0; index < MANY; index++)
        many[index] = (struct iovec){&bytes[MANY - 1 - index], index >= first};
    return bytes;
}

START_TEST(many_vectors_go_in_steps)
{
    struct transfer transfer;
    uint64_t done = 0;

    many_vectors(0);
    transfer_init(&transfer, AIO_OP_WRITEV, -1, 0);
    transfer_set_vectors(&transfer, many, MANY, MANY);
    while (done < MANY) {
        uint64_t length = MANY - done < TRANSFER_IOV_MAX ? MANY - done : TRANSFER_IOV_MAX;

        REQUIRE_EQ(transfer.io.len, length);
        REQUIRE(transfer.io.iov == many + done);
        REQUIRE_EQ(transfer.io.offset, done);
        done += length;
        REQUIRE((transfer_advance(&transfer, (int64_t)length) == TRANSFER_DONE) == (done == MANY));
    }
    REQUIRE_EQ(transfer.result, MANY);
}
END_TEST

START_TEST(many_vectors_go_on_where_they_stopped)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct transfer transfer;
        uint64_t state = seed;
        uint64_t done = 0;
        uint64_t moved;

        many_vectors(0);
        transfer_init(&transfer, AIO_OP_READV, -1, 0);
        transfer_set_vectors(&transfer, many, MANY, MANY);
        do {
            REQUIRE(transfer.io.iov == many + done);
            REQUIRE_EQ(transfer.io.offset, done);
            REQUIRE(transfer.io.len <= TRANSFER_IOV_MAX && transfer.io.len > 0);
            moved = 1 + random_next(&state) % transfer.io.len;
            done += moved;
        } while (transfer_advance(&transfer, (int64_t)moved) != TRANSFER_DONE);
        REQUIRE_EQ(done, MANY);
        REQUIRE_EQ(transfer.result, MANY);
    }
}
END_TEST

/* However many of them are empty: a step that has nothing to move would look like the end. */
START_TEST(empty_vectors_are_no_end)
{
    static const unsigned firsts[] = {1, 1023, 1024, 1025, 2048, MANY - 1};
    static const uint8_t opcodes[] = {AIO_OP_READV, AIO_OP_WRITEV, AIO_OP_APPENDV};

    for (size_t line = 0; line < COUNT(firsts) * COUNT(opcodes); line++) {
        unsigned first = firsts[line / COUNT(opcodes)];
        uint64_t total = MANY - first < 100 ? MANY - first : 100;
        unsigned char *bytes = many_vectors(first);
        struct transfer transfer;
        unsigned steps = 0;
        int64_t moved;

        disk_fill(100);
        memset(bytes, 0x55, MANY);
        transfer_init(&transfer, opcodes[line % COUNT(opcodes)], -1, START);
        transfer_set_vectors(&transfer, many, first + total, total);
        do {
            REQUIRE(++steps < 100);
            moved = move(&transfer.io, 40);
        } while (transfer_advance(&transfer, moved) != TRANSFER_DONE);
        ck_assert_msg(transfer.result == (int64_t)total, "%u empty ones before: %lld", first,
                      (long long)transfer.result);
        for (uint64_t index = 0; index < total; index++)
            REQUIRE_EQ(bytes[MANY - 1 - first - index], disk[START + index]);
    }
}
END_TEST

/* --- bounce buffers ------------------------------------------------------------------------- */

/* Small ones, so that every way to lie in them can be gone through. */
enum { GRAIN = 8, BOUNCE_BYTES = 32, LONGEST = 80, UNTOUCHED = 0xaa };

/* A transfer through a bounce buffer, and all that it could touch. */
struct bounced {
    struct transfer transfer;
    struct memory memory;
    unsigned char before[BOUNCE_BYTES];
    _Alignas(GRAIN) unsigned char buffer[BOUNCE_BYTES];
    unsigned char after[BOUNCE_BYTES];
    int64_t offset;
    uint64_t counted; /* bytes that count as moved, as the test sees it */
    unsigned stalls;  /* steps in a row that moved nothing that counts */
};

/* Cuts total bytes into vectors as a seed says, with gaps between them; 0: one. */
static void cut_memory(struct memory *memory, uint64_t total, uint64_t seed)
{
    unsigned place = DISK_BYTES - 3;
    uint64_t left = total;

    memset(memory, 0, sizeof(*memory));
    memset(memory->bytes, UNTOUCHED, sizeof(memory->bytes));
    while (memory->count == 0 || left > 0) {
        uint64_t bytes = seed == 0 || memory->count == 7 ? left : random_next(&seed) % (left + 1);

        place -= (unsigned)bytes + 3;
        memory->iov[memory->count++] = (struct iovec){memory->bytes + place, bytes};
        left -= bytes;
    }
    memory->total = total;
    memcpy(memory->untouched, memory->iov, sizeof(memory->iov));
}

static void bounced_begin(struct bounced *bounced, uint8_t opcode, uint64_t skip, uint64_t total,
                          uint64_t seed)
{
    bool reading = opcode == AIO_OP_READ || opcode == AIO_OP_READV;

    memset(bounced, 0, sizeof(*bounced));
    memset(bounced->before, UNTOUCHED, sizeof(bounced->before));
    memset(bounced->after, UNTOUCHED, sizeof(bounced->after));
    bounced->offset = START + (int64_t)skip;
    cut_memory(&bounced->memory, total, seed);
    for (unsigned index = 0; index < DISK_BYTES; index++)
        disk[index] = reading ? (unsigned char)(index * 13 + 5) : 0xee;
    if (!reading)
        each_byte(&bounced->memory, true);
    transfer_init(&bounced->transfer, opcode, -1, bounced->offset);
    bounced->transfer.alignment = GRAIN;
    if (opcode == AIO_OP_READ || opcode == AIO_OP_WRITE || opcode == AIO_OP_APPEND)
        transfer_set_buffer(&bounced->transfer, bounced->memory.iov[0].iov_base, total);
    else
        transfer_set_vectors(&bounced->transfer, bounced->memory.iov, bounced->memory.count, total);
    transfer_set_bounce(&bounced->transfer, bounced->buffer, BOUNCE_BYTES);
}

static void bounced_check_step(const struct bounced *bounced)
{
    const struct engine_io *io = &bounced->transfer.io;

    REQUIRE(io->opcode == AIO_OP_READ || io->opcode == AIO_OP_WRITE);
    REQUIRE(step_reads(io) == transfer_is_read(&bounced->transfer));
    REQUIRE(io->buf == bounced->buffer);
    REQUIRE(io->len > 0 && io->len <= BOUNCE_BYTES && io->len % GRAIN == 0);
    REQUIRE_EQ(io->offset % GRAIN, 0);
    /* What was counted is not asked for again, but for the sector that it ends in. */
    REQUIRE(io->offset <= bounced->offset + (int64_t)bounced->counted &&
            io->offset > bounced->offset + (int64_t)bounced->counted - GRAIN);
    REQUIRE_EQ(bounced->transfer.done, bounced->counted);
}

/* Counts what a step of so many bytes has moved of the operation. */
static void bounced_count(struct bounced *bounced, uint64_t moved)
{
    uint64_t skip =
        (uint64_t)bounced->offset + bounced->counted - (uint64_t)bounced->transfer.io.offset;
    uint64_t left = bounced->memory.total - bounced->counted;
    uint64_t useful = moved - moved % GRAIN;

    if (transfer_is_read(&bounced->transfer))
        useful = moved > skip ? moved - skip : 0;
    if (useful > left)
        useful = left;
    bounced->counted += useful;
    bounced->stalls = useful > 0 ? 0 : bounced->stalls + 1;
}

static enum transfer_verdict bounced_step(struct bounced *bounced, uint64_t limit)
{
    int64_t moved;

    bounced_check_step(bounced);
    moved = move(&bounced->transfer.io, limit);
    bounced_count(bounced, (uint64_t)moved);
    return transfer_advance(&bounced->transfer, moved);
}

/* Whether a byte of memory is one of the first so many of the vectors; which one is *index. */
static bool of_vectors(const struct memory *memory, const unsigned char *byte, uint64_t count,
                       uint64_t *index)
{
    *index = 0;
    for (uint64_t vector = 0; vector < memory->count; vector++) {
        const unsigned char *base = memory->iov[vector].iov_base;

        if (byte >= base && byte < base + memory->iov[vector].iov_len) {
            *index += (uint64_t)(byte - base);
            return *index < count;
        }
        *index += memory->iov[vector].iov_len;
    }
    return false;
}

static void bounced_check_read(const struct bounced *bounced)
{
    const struct memory *memory = &bounced->memory;
    uint64_t index;

    for (unsigned place = 0; place < DISK_BYTES; place++) {
        bool moved = of_vectors(memory, memory->bytes + place, bounced->counted, &index);

        REQUIRE_EQ(memory->bytes[place],
                   moved ? disk[(uint64_t)bounced->offset + index] : UNTOUCHED);
    }
    for (unsigned place = 0; place < DISK_BYTES; place++)
        REQUIRE_EQ(disk[place], (unsigned char)(place * 13 + 5));
}

static void bounced_check_write(struct bounced *bounced)
{
    uint64_t start = (uint64_t)bounced->offset;

    for (uint64_t place = 0; place < DISK_BYTES; place++) {
        uint64_t index = place - start;

        if (place < start || index >= bounced->memory.total)
            REQUIRE_EQ(disk[place], 0xee);
        else if (index < bounced->counted)
            REQUIRE_EQ(disk[place], byte_of(index));
        else /* perhaps written, but nobody was told */
            REQUIRE(disk[place] == 0xee || disk[place] == byte_of(index));
    }
    each_byte(&bounced->memory, false);
}

/* That nothing else was touched, and what was moved is what was counted. */
static void bounced_check(struct bounced *bounced)
{
    REQUIRE(memcmp(bounced->memory.iov, bounced->memory.untouched, sizeof(bounced->memory.iov)) ==
            0);
    for (unsigned index = 0; index < BOUNCE_BYTES; index++)
        REQUIRE(bounced->before[index] == UNTOUCHED && bounced->after[index] == UNTOUCHED);
    if (transfer_is_read(&bounced->transfer))
        bounced_check_read(bounced);
    else
        bounced_check_write(bounced);
}

static void bounced_expect(struct bounced *bounced, int64_t result, int error)
{
    ck_assert_msg(bounced->transfer.result == result && bounced->transfer.error == error,
                  "%u at %lld, %llu bytes: %lld, %d, not %lld, %d", bounced->transfer.opcode,
                  (long long)bounced->offset, (unsigned long long)bounced->memory.total,
                  (long long)bounced->transfer.result, bounced->transfer.error, (long long)result,
                  error);
    bounced_check(bounced);
}

/* One transfer by steps of two lengths in turn. */
static void bounced_run(uint8_t opcode, uint64_t skip, uint64_t total, uint64_t seed,
                        struct two_lengths two)
{
    struct bounced bounced;
    bool reading = opcode == AIO_OP_READ || opcode == AIO_OP_READV;
    unsigned steps = 0;

    bounced_begin(&bounced, opcode, skip, total, seed);
    while (bounced_step(&bounced, two_lengths_next(&two)) != TRANSFER_DONE)
        REQUIRE(++steps < 1000);
    /* Only nothing twice in a row ends it before it is through, and that at once. */
    REQUIRE(bounced.stalls <= 2);
    REQUIRE((bounced.counted == total) == (bounced.stalls < 2));
    if (two.lengths[0] >= GRAIN || two.lengths[1] >= GRAIN)
        REQUIRE_EQ(bounced.counted, total);
    if (bounced.counted == total || reading)
        bounced_expect(&bounced, (int64_t)bounced.counted, 0);
    else if (bounced.counted > 0)
        bounced_expect(&bounced, (int64_t)bounced.counted, -EIO);
    else
        bounced_expect(&bounced, -EIO, -EIO);
}

static const uint64_t parts[] = {1, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 1000};

START_TEST(every_skip_and_tail_is_read)
{
    for (uint64_t skip = 0; skip < GRAIN; skip++)
        for (uint64_t total = 1; total <= LONGEST; total++)
            for (size_t pair = 0; pair < COUNT(parts) * COUNT(parts); pair++) {
                struct two_lengths two = {{parts[pair / COUNT(parts)], parts[pair % COUNT(parts)]},
                                          0};

                bounced_run(AIO_OP_READ, skip, total, 0, two);
                bounced_run(AIO_OP_READV, skip, total, total * 1000 + pair + 1, two);
            }
}
END_TEST

START_TEST(every_length_is_written)
{
    for (uint64_t total = GRAIN; total <= LONGEST; total += GRAIN)
        for (size_t pair = 0; pair < COUNT(parts) * COUNT(parts); pair++) {
            struct two_lengths two = {{parts[pair / COUNT(parts)], parts[pair % COUNT(parts)]}, 0};

            bounced_run(AIO_OP_WRITE, 0, total, 0, two);
            bounced_run(AIO_OP_APPEND, 0, total, 0, two);
            for (uint64_t seed = 1; seed <= 8; seed++) {
                bounced_run(AIO_OP_WRITEV, 0, total, seed, two);
                bounced_run(AIO_OP_APPENDV, 0, total, seed, two);
            }
        }
}
END_TEST

/* What a step may come to besides bytes, at any moment. */
static bool bounced_incident(struct bounced *bounced, int64_t result)
{
    struct transfer *transfer = &bounced->transfer;
    struct engine_io before = transfer->io;
    enum transfer_verdict verdict = transfer_advance(transfer, result);
    int error = result < 0 ? (int)result : -EIO;

    if (result == -EINTR || result == -EAGAIN) {
        REQUIRE(verdict == (result == -EINTR ? TRANSFER_AGAIN : TRANSFER_LATER));
        REQUIRE(same_step(&before, &transfer->io));
        return false;
    }
    REQUIRE(verdict == TRANSFER_DONE);
    if (transfer_is_read(transfer))
        bounced_expect(bounced, result == 0 ? (int64_t)bounced->counted : error,
                       result == 0 ? 0 : error);
    else
        bounced_expect(bounced, bounced->counted > 0 ? (int64_t)bounced->counted : error, error);
    return true;
}

START_TEST(whatever_happens_nothing_else_is_touched)
{
    static const uint8_t opcodes[] = {AIO_OP_READ, AIO_OP_READV, AIO_OP_WRITE, AIO_OP_WRITEV};
    static const int64_t results[] = {-EINTR, -EINTR, -EAGAIN, 0, -EIO, -ENOSPC, 33, INT64_MAX};

    for (uint64_t seed = 1; seed < 20000; seed++) {
        uint64_t state = seed;
        uint8_t opcode = opcodes[random_next(&state) % COUNT(opcodes)];
        bool reading = opcode == AIO_OP_READ || opcode == AIO_OP_READV;
        uint64_t skip = reading ? random_next(&state) % GRAIN : 0;
        uint64_t total = 1 + random_next(&state) % LONGEST;
        bool scalar = opcode == AIO_OP_READ || opcode == AIO_OP_WRITE;
        struct bounced bounced;
        bool ended = false;

        total = reading ? total : (total + GRAIN - 1) / GRAIN * GRAIN;
        bounced_begin(&bounced, opcode, skip, total, scalar ? 0 : seed);
        while (!ended) {
            uint64_t choice = random_next(&state);

            if (choice % 4 == 0) {
                ended = bounced_incident(&bounced, results[choice / 4 % COUNT(results)]);
            } else if (bounced_step(&bounced, GRAIN + choice / 4 % BOUNCE_BYTES) == TRANSFER_DONE) {
                REQUIRE_EQ(bounced.counted, total);
                bounced_expect(&bounced, (int64_t)total, 0);
                ended = true;
            }
        }
    }
}
END_TEST

START_TEST(a_bounced_transfer_is_not_put_off_for_ever)
{
    struct bounced bounced;

    bounced_begin(&bounced, AIO_OP_WRITE, 0, 2 * BOUNCE_BYTES, 0);
    REQUIRE(bounced_step(&bounced, 1000) == TRANSFER_AGAIN);
    for (unsigned round = 0; round < TRANSFER_LATERS_MAX; round++)
        REQUIRE(!bounced_incident(&bounced, -EAGAIN));
    REQUIRE(transfer_advance(&bounced.transfer, -EAGAIN) == TRANSFER_DONE);
    bounced_expect(&bounced, BOUNCE_BYTES, -EAGAIN);
}
END_TEST

/* The file ends at a byte: what is behind it is not read, and what is before it is. */
static void read_to_the_end(int fd, uint64_t skip, uint64_t total, int64_t size, uint64_t *state)
{
    struct bounced bounced;
    int64_t expected = size - (START + (int64_t)skip);
    enum transfer_verdict verdict;

    if (expected < 0)
        expected = 0;
    if (expected > (int64_t)total)
        expected = (int64_t)total;
    bounced_begin(&bounced, random_next(state) % 2 ? AIO_OP_READ : AIO_OP_READV, skip, total, 0);
    bounced.transfer.io.fd = fd;
    do {
        int64_t left = size - bounced.transfer.io.offset;
        uint64_t limit = random_next(state) % 2 ? 1000 : GRAIN + random_next(state) % BOUNCE_BYTES;

        if (left < 0)
            left = 0;
        verdict = bounced_step(&bounced, limit < (uint64_t)left ? limit : (uint64_t)left);
    } while (verdict != TRANSFER_DONE);
    bounced_expect(&bounced, expected, 0);
}

START_TEST(a_bounced_read_ends_where_the_file_does)
{
    uint64_t state = 1;
    int fd;

    make_file("file", 1, 1);
    fd = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    for (int64_t size = START - 10; size <= START + 50; size++) {
        REQUIRE(ftruncate(fd, size) == 0);
        for (uint64_t skip = 0; skip < GRAIN; skip++)
            for (uint64_t total = 1; total <= LONGEST; total++)
                read_to_the_end(fd, skip, total, size, &state);
    }
    close(fd);
}
END_TEST

START_TEST(a_bounced_read_goes_on_where_the_file_grew)
{
    struct bounced bounced;
    int fd;

    make_file("file", DISK_BYTES, 1);
    fd = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    bounced_begin(&bounced, AIO_OP_READ, 3, 50, 0);
    bounced.transfer.io.fd = fd;
    /* It ended there when the kernel read it, but does no more. */
    REQUIRE(bounced_step(&bounced, 13) == TRANSFER_AGAIN);
    REQUIRE_EQ(bounced.counted, 10);
    REQUIRE_EQ(bounced.transfer.io.offset, START + 8);
    REQUIRE(bounced_step(&bounced, 1000) == TRANSFER_AGAIN);
    REQUIRE(bounced_step(&bounced, 1000) == TRANSFER_DONE);
    bounced_expect(&bounced, 50, 0);
    close(fd);
}
END_TEST

START_TEST(many_vectors_go_through_a_bounce_buffer)
{
    static const uint8_t opcodes[] = {AIO_OP_READV, AIO_OP_WRITEV};
    static unsigned char source[MANY / GRAIN * GRAIN];

    for (size_t which = 0; which < COUNT(opcodes); which++) {
        unsigned char *bytes = many_vectors(0);
        struct transfer transfer;
        _Alignas(GRAIN) unsigned char buffer[BOUNCE_BYTES];
        bool reading = opcodes[which] == AIO_OP_READV;

        for (unsigned index = 0; index < sizeof(source); index++) {
            source[index] = reading ? byte_of(index) : 0;
            bytes[MANY - 1 - index] = reading ? 0 : byte_of(index);
        }
        transfer_init(&transfer, opcodes[which], -1, 0);
        transfer.alignment = GRAIN;
        transfer_set_vectors(&transfer, many, sizeof(source), sizeof(source));
        transfer_set_bounce(&transfer, buffer, BOUNCE_BYTES);
        do {
            REQUIRE(transfer.io.buf == buffer && transfer.io.len <= BOUNCE_BYTES);
            if (reading)
                memcpy(buffer, source + transfer.io.offset, transfer.io.len);
            else
                memcpy(source + transfer.io.offset, buffer, transfer.io.len);
        } while (transfer_advance(&transfer, (int64_t)transfer.io.len) != TRANSFER_DONE);
        REQUIRE_EQ(transfer.result, sizeof(source));
        for (unsigned index = 0; index < sizeof(source); index++)
            REQUIRE(source[index] == byte_of(index) && bytes[MANY - 1 - index] == byte_of(index));
    }
}
END_TEST

/* XFS refuses what crosses the end of a file, at times. */
START_TEST(an_error_behind_the_end_is_no_error_before_it)
{
    int fd = open(scratch_path("file"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char memory[4096];
    struct iovec iov[2] = {{memory, 512}, {memory + 512, 3584}};
    struct transfer transfer;

    REQUIRE(ftruncate(fd, 1000) == 0);
    transfer_init(&transfer, AIO_OP_READ, fd, 0);
    transfer.alignment = 512;
    transfer_set_buffer(&transfer, memory, 4096);
    REQUIRE_EQ(transfer_advance(&transfer, -EIO), TRANSFER_AGAIN);
    REQUIRE(transfer.io.offset == 0 && transfer.io.len == 1024 && transfer.io.buf == memory);
    REQUIRE_EQ(transfer_advance(&transfer, 1000), TRANSFER_DONE);
    REQUIRE(transfer.result == 1000 && transfer.error == 0);
    /* What does not cross the end is the disk's error. */
    transfer_init(&transfer, AIO_OP_READ, fd, 0);
    transfer.alignment = 512;
    transfer_set_buffer(&transfer, memory, 1024);
    REQUIRE_EQ(transfer_advance(&transfer, -EIO), TRANSFER_DONE);
    REQUIRE_EQ(transfer.result, -EIO);
    /* Vectors one by one. */
    transfer_init(&transfer, AIO_OP_READV, fd, 0);
    transfer.alignment = 512;
    transfer_set_vectors(&transfer, iov, 2, 4096);
    REQUIRE_EQ(transfer_advance(&transfer, -EIO), TRANSFER_AGAIN);
    REQUIRE(transfer.io.opcode == AIO_OP_READ && transfer.io.len == 512);
    REQUIRE_EQ(transfer_advance(&transfer, 512), TRANSFER_AGAIN);
    REQUIRE(transfer.io.opcode == AIO_OP_READV && transfer.io.offset == 512);
    REQUIRE_EQ(transfer_advance(&transfer, -EIO), TRANSFER_AGAIN);
    REQUIRE(transfer.io.opcode == AIO_OP_READ && transfer.io.len == 512 &&
            transfer.io.buf == memory + 512);
    REQUIRE_EQ(transfer_advance(&transfer, 488), TRANSFER_DONE);
    REQUIRE_EQ(transfer.result, 1000);
    close(fd);
    REQUIRE(unlink(scratch_path("file")) == 0);
}
END_TEST

/* A read that is not to wait is short for two reasons: the file ends, or the rest is not there. */
START_TEST(a_single_step_ends_where_the_file_does)
{
    static char memory[4096];
    struct iovec iov[2] = {{memory, 512}, {memory + 512, 3584}};
    struct transfer transfer;
    int fd;

    make_file("file", 1000, 1);
    fd = open(scratch_path("file"), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    for (int64_t step = 512; step <= 1000; step += 488) {
        transfer_init(&transfer, AIO_OP_READ, fd, 0);
        transfer_set_buffer(&transfer, memory, 4096);
        transfer.io.rw_flags = RWF_NOWAIT;
        REQUIRE_EQ(transfer_advance(&transfer, step), TRANSFER_DONE);
        REQUIRE_EQ(transfer.result, step);
        REQUIRE_EQ(transfer.error, step == 1000 ? 0 : -EAGAIN);
    }
    /* XFS: EIO because it goes beyond the end. Nothing was moved, so it may be cut there. */
    for (int64_t step = 512; step <= 1024; step += 256) {
        transfer_init(&transfer, AIO_OP_READ, fd, 0);
        transfer.alignment = 512;
        transfer_set_buffer(&transfer, memory, 4096);
        transfer.io.rw_flags = RWF_NOWAIT;
        REQUIRE_EQ(transfer_advance(&transfer, -EIO), TRANSFER_AGAIN);
        REQUIRE_EQ(transfer.io.len, 1024);
        REQUIRE_EQ(transfer_advance(&transfer, step), TRANSFER_DONE);
        REQUIRE_EQ(transfer.result, step);
        REQUIRE_EQ(transfer.error, step == 1024 ? 0 : -EAGAIN);
    }
    /* Vectors cannot be cut in one step. */
    transfer_init(&transfer, AIO_OP_READV, fd, 0);
    transfer.alignment = 512;
    transfer_set_vectors(&transfer, iov, 2, 4096);
    transfer.io.rw_flags = RWF_NOWAIT;
    REQUIRE_EQ(transfer_advance(&transfer, -EIO), TRANSFER_DONE);
    REQUIRE_EQ(transfer.result, -EAGAIN);
    /* The disk's own error is one. */
    transfer_init(&transfer, AIO_OP_READ, fd, 0);
    transfer.alignment = 512;
    transfer_set_buffer(&transfer, memory, 512);
    transfer.io.rw_flags = RWF_NOWAIT;
    REQUIRE_EQ(transfer_advance(&transfer, -EIO), TRANSFER_DONE);
    REQUIRE_EQ(transfer.result, -EIO);
    close(fd);
    REQUIRE(unlink(scratch_path("file")) == 0);
}
END_TEST

static Suite *transfer_suite(void)
{
    Suite *suite = suite_create("transfer");

    ADD_TESTS(suite, "parts", every_pair_of_parts_moves_everything_once,
              parts_of_any_length_move_everything_once, direct_transfers_go_on_at_a_sector,
              each_step_of_a_direct_transfer_is_aligned, a_thousand_vectors_byte_by_byte);
    ADD_TESTS(suite, "verdicts", results_mean_what_the_table_says, some_transfers_have_one_step,
              a_priority_stays_over_all_steps, a_failure_from_outside_is_treated_alike,
              no_progress_is_an_error_never_a_loop);
    ADD_TESTS(suite, "end", a_direct_read_ends_inside_the_last_sector,
              a_file_that_grew_meanwhile_is_read_on, an_append_gets_its_place_late,
              a_single_step_ends_where_the_file_does);
    ADD_TESTS(suite, "vectors", many_vectors_go_in_steps, many_vectors_go_on_where_they_stopped,
              empty_vectors_are_no_end, an_error_behind_the_end_is_no_error_before_it);
    ADD_TESTS(suite, "bounce", every_skip_and_tail_is_read, every_length_is_written,
              whatever_happens_nothing_else_is_touched, a_bounced_transfer_is_not_put_off_for_ever,
              a_bounced_read_ends_where_the_file_does, a_bounced_read_goes_on_where_the_file_grew,
              many_vectors_go_through_a_bounce_buffer);
    return suite;
}

int main(void)
{
    return run_suite(transfer_suite);
}
