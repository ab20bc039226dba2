/* SPDX-License-Identifier: MIT */
/*
 * lockstep.c - every blocking call, on a handle and then on its plain twin; after each the answers,
 * the sizes and the cursors are the same, and so are the bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "judge.h"
#include "memory.h"
#include "modes.h"
#include "range.h"

#define TRANSFER_MAX (3 * MIB)

/* How often what changed is compared, and everything. */
#define COMPARE_CHANGED 256
#define COMPARE_ALL 4096

struct lockstep {
    struct world *world;
    uint64_t random;
    struct pair pairs[2];
    bool two; /* always two handles */
    struct memory memory;
    unsigned char *bytes; /* of the plain twin */
    uint64_t hot;
    int64_t crowd; /* the answer to more than IOV_MAX vectors: 0 while not known, 1 for whole */
};

/* Where a transfer goes. */
enum place {
    AT_OFFSET,
    AT_CURSOR,
    AT_END,
};

static uint64_t choose(struct lockstep *lockstep, uint64_t limit)
{
    return below(&lockstep->random, limit);
}

static bool writable(const struct pair *pair)
{
    return (pair->flags & O_ACCMODE) != O_RDONLY;
}

/* --- a transfer ----------------------------------------------------------------------------- */

struct transfer {
    struct pair *pair;
    enum place place;
    bool writes;
    bool vectors;
    bool executed; /* by aio_file_execute() */
    enum memory_shape shape;
    uint64_t offset;
    uint64_t length;
    uint64_t unit;
};

static const char *transfer_name(const struct transfer *transfer)
{
    static const char *const names[2][3][2] = {
        {{"pread", "preadv"}, {"read", "readv"}, {"", ""}},
        {{"pwrite", "pwritev"}, {"write", "writev"}, {"append", "appendv"}},
    };

    return names[transfer->writes][transfer->place][transfer->vectors];
}

static int64_t execute(struct lockstep *lockstep, const struct transfer *transfer)
{
    static const uint8_t opcodes[2][2] = {{AIO_OP_READ, AIO_OP_READV},
                                          {AIO_OP_WRITE, AIO_OP_WRITEV}};
    struct memory *memory = &lockstep->memory;
    struct aio_op op = {.opcode = opcodes[transfer->writes][transfer->vectors],
                        .file = one_in(&lockstep->random, 2) ? transfer->pair->file : NULL,
                        .offset = (int64_t)transfer->offset};

    if (transfer->place == AT_END)
        op.opcode = transfer->vectors ? AIO_OP_APPENDV : AIO_OP_APPEND;
    if (transfer->vectors) {
        op.iov = memory->pieces;
        op.len = memory->count;
    } else {
        op.buf = memory_one(memory);
        op.len = transfer->length;
    }
    if (transfer->writes && one_in(&lockstep->random, 24))
        op.flags = AIO_OP_DSYNC;
    return ASK(aio_file_execute(transfer->pair->file, &op));
}

static int64_t call_scalar(const struct transfer *transfer, void *memory, off_t *where)
{
    struct aio_file *file = transfer->pair->file;
    off_t offset = (off_t)transfer->offset;

    switch (transfer->place) {
    case AT_OFFSET:
        return transfer->writes ? ASK(aio_file_pwrite(file, memory, transfer->length, offset))
                                : ASK(aio_file_pread(file, memory, transfer->length, offset));
    case AT_CURSOR:
        return transfer->writes ? ASK(aio_file_write(file, memory, transfer->length))
                                : ASK(aio_file_read(file, memory, transfer->length));
    default:
        return ASK(aio_file_append(file, memory, transfer->length, where));
    }
}

static int64_t call_vectors(const struct transfer *transfer, const struct memory *memory,
                            off_t *where)
{
    struct aio_file *file = transfer->pair->file;
    off_t offset = (off_t)transfer->offset;
    int count = (int)memory->count;

    switch (transfer->place) {
    case AT_OFFSET:
        return transfer->writes ? ASK(aio_file_pwritev(file, memory->pieces, count, offset))
                                : ASK(aio_file_preadv(file, memory->pieces, count, offset));
    case AT_CURSOR:
        return transfer->writes ? ASK(aio_file_writev(file, memory->pieces, count))
                                : ASK(aio_file_readv(file, memory->pieces, count));
    default:
        return ASK(aio_file_appendv(file, memory->pieces, count, where));
    }
}

static int64_t call_plain(struct lockstep *lockstep, const struct transfer *transfer)
{
    struct plain *plain = &transfer->pair->plain;
    int64_t offset = (int64_t)transfer->offset;
    unsigned char *bytes = lockstep->bytes;

    if (transfer->place == AT_CURSOR)
        return transfer->writes ? plain_write(plain, bytes, transfer->length)
                                : plain_read(plain, bytes, transfer->length);
    return transfer->writes ? plain_pwrite(plain, bytes, transfer->length, offset)
                            : plain_pread(plain, bytes, transfer->length, offset);
}

/* Whether a handle of a device refuses a write for its alignment. */
static bool misfits(const struct lockstep *lockstep, const struct transfer *transfer)
{
    const struct pair *pair = transfer->pair;

    return lockstep->world->device && !lockstep->world->any_write && transfer->writes &&
           writable(pair) && transfer->length > 0 &&
           ((transfer->offset | transfer->length) & (pair->info.direct_alignment - 1)) != 0;
}

/* One more than IOV_MAX vectors is either refused, as readv(2) does, or done whole; always the
 * same. Returns whether it was refused. */
static bool crowd_refused(struct lockstep *lockstep, const struct transfer *transfer, int64_t found)
{
    int64_t answer = found == -EINVAL ? -EINVAL : 1;

    if (transfer->shape != MEMORY_CROWD)
        return false;
    if (lockstep->crowd == 0)
        lockstep->crowd = answer;
    agree("more than IOV_MAX vectors", answer, lockstep->crowd);
    return answer == -EINVAL;
}

static void do_transfer(struct lockstep *lockstep, const struct transfer *transfer)
{
    const char *name = transfer_name(transfer);
    struct world *world = lockstep->world;
    struct memory *memory = &lockstep->memory;
    uint64_t size = world_size(world);
    off_t where = -1;
    int64_t expected;
    int64_t found;

    memory_lay(memory, &lockstep->random, transfer->shape, transfer->length, transfer->unit);
    if (transfer->writes) {
        pattern_fill(lockstep->bytes, transfer->length, 0, random_next(&lockstep->random));
        memory_put(memory, lockstep->bytes);
    }
    note("%s%s handle %d: %llu bytes at %llu, %u pieces, the first at a page's %u; size %llu", name,
         transfer->executed ? " executed" : "", (int)(transfer->pair - lockstep->pairs),
         (unsigned long long)transfer->length, (unsigned long long)transfer->offset, memory->count,
         (unsigned)((uintptr_t)memory_one(memory) % PAGE), (unsigned long long)size);
    if (transfer->executed)
        found = execute(lockstep, transfer);
    else if (transfer->vectors)
        found = call_vectors(transfer, memory, &where);
    else
        found = call_scalar(transfer, memory_one(memory), &where);
    if (misfits(lockstep, transfer)) {
        agree(name, found, -EINVAL);
        return;
    }
    if (crowd_refused(lockstep, transfer, found))
        return;
    expected = call_plain(lockstep, transfer);
    agree(name, found, expected);
    if (transfer->place == AT_END && !transfer->executed)
        agree("the place of an append", where, found >= 0 ? (int64_t)transfer->offset : -1);
    memory_check(memory, name, lockstep->bytes,
                 transfer->writes ? transfer->length
                 : expected > 0   ? (uint64_t)expected
                                  : 0,
                 transfer->offset);
    if (transfer->writes && expected > 0) {
        world_changed(world, transfer->offset, transfer->offset + (uint64_t)expected);
        world_changed(world, size, world_size(world));
    }
}

/* --- what transfers there are --------------------------------------------------------------- */

static enum memory_shape choose_shape(struct lockstep *lockstep, const struct transfer *transfer)
{
    bool crowd = one_in(&lockstep->random, 50);

    if (!transfer->vectors)
        return MEMORY_ONE;
    /* Which of two errors comes first is nobody's promise. */
    return crowd && (transfer->pair->flags & O_ACCMODE) == O_RDWR ? MEMORY_CROWD : MEMORY_VECTORS;
}

static struct transfer choose_transfer(struct lockstep *lockstep, struct pair *pair,
                                       enum place place, bool writes)
{
    struct world *world = lockstep->world;
    struct transfer transfer = {.pair = pair, .place = place, .writes = writes};
    uint64_t size = world_size(world);
    struct range range;

    range = choose_range(&lockstep->random, size, world->device ? size + 64 * KIB : FILE_MAX,
                         TRANSFER_MAX, &lockstep->hot);
    transfer.vectors = one_in(&lockstep->random, 3);
    transfer.executed = place != AT_CURSOR && one_in(&lockstep->random, 4);
    transfer.shape = choose_shape(lockstep, &transfer);
    transfer.offset = range.offset;
    transfer.length = range.length;
    transfer.unit = range.unit;
    return transfer;
}

static void truncate_to(struct lockstep *lockstep, struct pair *pair, uint64_t length)
{
    struct aio_op op = {.opcode = AIO_OP_TRUNCATE, .offset = (int64_t)length};
    uint64_t size = world_size(lockstep->world);
    int64_t found;

    note("truncate handle %d to %llu; size %llu", (int)(pair - lockstep->pairs),
         (unsigned long long)length, (unsigned long long)size);
    found = one_in(&lockstep->random, 3) ? ASK(aio_file_execute(pair->file, &op))
                                         : ASK(aio_file_truncate(pair->file, (off_t)length));
    agree("aio_file_truncate", found, plain_truncate(&pair->plain, (int64_t)length));
    if (found == 0)
        world_changed(lockstep->world, length < size ? length : size,
                      length < size ? size : length);
}

/* A write that would make the file too long is one of nothing. With O_APPEND it goes to the end,
 * whatever its offset: pwrite(2) too. */
static void limit_length(struct lockstep *lockstep, struct transfer *transfer)
{
    uint64_t offset = transfer->offset;

    if (lockstep->world->device || !transfer->writes)
        return;
    if ((transfer->pair->flags & O_APPEND) != 0)
        offset = world_size(lockstep->world);
    if (offset + transfer->length > FILE_MAX)
        transfer->length = 0;
}

static void transfer_at_offset(struct lockstep *lockstep, struct pair *pair, bool writes)
{
    struct transfer transfer = choose_transfer(lockstep, pair, AT_OFFSET, writes);

    limit_length(lockstep, &transfer);
    do_transfer(lockstep, &transfer);
}

static void transfer_at_cursor(struct lockstep *lockstep, struct pair *pair, bool writes)
{
    struct transfer transfer = choose_transfer(lockstep, pair, AT_CURSOR, writes);

    transfer.offset = (uint64_t)plain_seek(&pair->plain, 0, SEEK_CUR);
    limit_length(lockstep, &transfer);
    do_transfer(lockstep, &transfer);
}

static void transfer_at_end(struct lockstep *lockstep, struct pair *pair)
{
    struct transfer transfer = choose_transfer(lockstep, pair, AT_END, true);
    uint64_t size = world_size(lockstep->world);

    if (!lockstep->world->device && size + transfer.length > FILE_MAX && writable(pair)) {
        size = choose(lockstep, 2 * MIB);
        truncate_to(lockstep, pair, size);
    }
    transfer.offset = size;
    do_transfer(lockstep, &transfer);
}

static void step_pread(struct lockstep *lockstep, struct pair *pair)
{
    transfer_at_offset(lockstep, pair, false);
}

static void step_pwrite(struct lockstep *lockstep, struct pair *pair)
{
    transfer_at_offset(lockstep, pair, true);
}

static void step_read(struct lockstep *lockstep, struct pair *pair)
{
    transfer_at_cursor(lockstep, pair, false);
}

static void step_write(struct lockstep *lockstep, struct pair *pair)
{
    transfer_at_cursor(lockstep, pair, true);
}

static void step_append(struct lockstep *lockstep, struct pair *pair)
{
    transfer_at_end(lockstep, pair);
}

/* --- the cursor ----------------------------------------------------------------------------- */

static void check_zeros(struct world *world, int64_t start, int64_t end)
{
    static const unsigned char zeros[CHUNK];

    while (start < end) {
        uint64_t length = (uint64_t)(end - start) < CHUNK ? (uint64_t)(end - start) : CHUNK;

        must(plain_pread(&world->mirror, world->expected, length, start) == (int64_t)length,
             "read");
        agree_bytes("what a seek calls a hole", zeros, world->expected, length, (uint64_t)start);
        start += (int64_t)length;
    }
}

/* Which zeros are holes is the file system's: the handle says what it says of the same file, and
 * what it calls a hole is one. */
static void step_seek_data(struct lockstep *lockstep, struct pair *pair)
{
    struct world *world = lockstep->world;
    int whence = one_in(&lockstep->random, 2) ? SEEK_DATA : SEEK_HOLE;
    int64_t size = (int64_t)world_size(world);
    int64_t offset = (int64_t)choose(lockstep, (uint64_t)size + CHUNK);
    int64_t kernel = lseek(world->witness, offset, whence);
    int64_t found;

    kernel = kernel < 0 ? -errno : kernel;
    note("seek handle %d: %s from %lld; size %lld", (int)(pair - lockstep->pairs),
         whence == SEEK_DATA ? "data" : "hole", (long long)offset, (long long)size);
    found = ASK(aio_file_seek(pair->file, offset, whence));
    if (world->growers == 0)
        agree("aio_file_seek", found, kernel);
    if (world->device)
        return;
    if (offset >= size)
        agree("aio_file_seek beyond the end", found, -ENXIO);
    else if (found == -ENXIO && whence == SEEK_DATA)
        check_zeros(world, offset, size);
    else if (found < offset || found > size - (whence == SEEK_DATA))
        disagree("aio_file_seek gives %lld", (long long)found);
    else if (whence == SEEK_DATA)
        check_zeros(world, offset, found);
    else if (found < size)
        check_zeros(world, found, found + 1);
    if (found >= 0)
        plain_seek(&pair->plain, found, SEEK_SET);
}

static void step_seek(struct lockstep *lockstep, struct pair *pair)
{
    static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    int64_t size = (int64_t)world_size(lockstep->world);
    int whence = ONE_OF(&lockstep->random, whences);
    int64_t offset = (int64_t)choose(lockstep, (uint64_t)size + CHUNK);

    if (whence == SEEK_CUR)
        offset -=
            plain_seek(&pair->plain, 0, SEEK_CUR) - (one_in(&lockstep->random, 50) ? size : 0);
    if (whence == SEEK_END)
        offset = offset / 2 - size * 2 / 3;
    if (one_in(&lockstep->random, 3))
        offset = offset / PAGE * PAGE;
    note("seek handle %d: whence %d, %lld", (int)(pair - lockstep->pairs), whence,
         (long long)offset);
    agree("aio_file_seek", ASK(aio_file_seek(pair->file, offset, whence)),
          plain_seek(&pair->plain, offset, whence));
}

/* --- the size ------------------------------------------------------------------------------- */

static void step_truncate(struct lockstep *lockstep, struct pair *pair)
{
    uint64_t size = world_size(lockstep->world);
    uint64_t length = choose(lockstep, 4 * MIB);

    if (one_in(&lockstep->random, 2))
        length = size + choose(lockstep, 16 * KIB) - (size > 8 * KIB ? 8 * KIB : size);
    if (one_in(&lockstep->random, 3))
        length = length / choose_unit(&lockstep->random) * choose_unit(&lockstep->random);
    truncate_to(lockstep, pair, length < FILE_MAX ? length : FILE_MAX);
}

static const int allocate_modes[] = {
    0,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_ZERO_RANGE,
    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
    AIO_ALLOCATE_WRITE_ZEROS,
    AIO_ALLOCATE_WRITE_ZEROS,
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_UNSHARE_RANGE,
    FALLOC_FL_PUNCH_HOLE,
};

static void step_allocate(struct lockstep *lockstep, struct pair *pair)
{
    struct world *world = lockstep->world;
    uint64_t size = world_size(world);
    int mode = ONE_OF(&lockstep->random, allocate_modes);
    struct aio_op op = {.opcode = AIO_OP_ALLOCATE, .mode = (uint32_t)mode};
    struct range range;
    int64_t found;

    range = choose_range(&lockstep->random, size, world->device ? size : FILE_MAX, 512 * KIB,
                         &lockstep->hot);
    if (size + range.length > FILE_MAX && mode == FALLOC_FL_INSERT_RANGE)
        range.length = 0;
    if (world->device && mode == AIO_ALLOCATE_WRITE_ZEROS && !world->any_write) {
        range.offset = range.offset / 16384 * 16384;
        range.length = range.length / 16384 * 16384;
    }
    op.offset = (int64_t)range.offset;
    op.len = range.length;
    note("allocate handle %d: mode 0x%x, %llu bytes at %llu; size %llu",
         (int)(pair - lockstep->pairs), (unsigned)mode, (unsigned long long)range.length,
         (unsigned long long)range.offset, (unsigned long long)size);
    found = one_in(&lockstep->random, 3)
                ? ASK(aio_file_execute(pair->file, &op))
                : ASK(aio_file_allocate(pair->file, mode, op.offset, (off_t)range.length));
    /* Zeros go where they are to go, O_APPEND or not. Which of two errors comes first is nobody's
     * promise. */
    if (!writable(pair))
        agree("aio_file_allocate that may not write", found < 0, true);
    else
        agree("aio_file_allocate", found,
              plain_allocate(mode == AIO_ALLOCATE_WRITE_ZEROS && writable(pair) ? &world->mirror
                                                                                : &pair->plain,
                             mode, op.offset, (int64_t)range.length));
    world_changed(world, range.offset, range.offset + range.length);
    world_changed(world, size, world_size(world));
    if (mode == FALLOC_FL_COLLAPSE_RANGE || mode == FALLOC_FL_INSERT_RANGE)
        world_changed(world, range.offset, size > world_size(world) ? size : world_size(world));
}

/* Some bytes far out, what is around them, and back again. */
static void step_far(struct lockstep *lockstep, struct pair *pair)
{
    static const int64_t places[] = {INT64_C(1) << 30, (INT64_C(1) << 40) + 511,
                                     (INT64_C(1) << 44) - 4096, INT64_C(1) << 62,
                                     INT64_MAX - 64 * 1024};
    struct transfer transfer = choose_transfer(lockstep, pair, AT_OFFSET, true);
    uint64_t size = world_size(lockstep->world);

    if ((pair->flags & O_APPEND) != 0 || !writable(pair) || lockstep->world->device)
        return;
    transfer.offset = (uint64_t)ONE_OF(&lockstep->random, places);
    if (one_in(&lockstep->random, 2))
        transfer.offset = transfer.offset / PAGE * PAGE;
    transfer.length = transfer.length < 32 * KIB ? transfer.length : 32 * KIB;
    do_transfer(lockstep, &transfer);
    agree("aio_file_size far out", ASK(aio_file_size(pair->file)), plain_size(&pair->plain));
    transfer.writes = false;
    transfer.offset -= choose(lockstep, 8 * KIB);
    do_transfer(lockstep, &transfer);
    truncate_to(lockstep, pair, size);
}

/* --- the rest ------------------------------------------------------------------------------- */

static void step_sync(struct lockstep *lockstep, struct pair *pair)
{
    struct aio_op op = {.opcode = one_in(&lockstep->random, 2) ? AIO_OP_SYNC : AIO_OP_DATASYNC};

    note("sync handle %d", (int)(pair - lockstep->pairs));
    if (one_in(&lockstep->random, 3))
        agree("aio_file_execute of a sync", ASK(aio_file_execute(pair->file, &op)), 0);
    else if (op.opcode == AIO_OP_SYNC)
        agree("aio_file_sync", ASK(aio_file_sync(pair->file)), 0);
    else
        agree("aio_file_datasync", ASK(aio_file_datasync(pair->file)), 0);
}

static void step_look(struct lockstep *lockstep, struct pair *pair)
{
    struct aio_file_info info = {.size = sizeof(info)};
    struct aio_op op = {.opcode = AIO_OP_NOP};
    struct stat status;

    note("look at handle %d", (int)(pair - lockstep->pairs));
    agree("aio_file_stat", ASK(aio_file_stat(pair->file, &status)), 0);
    if (!lockstep->world->device)
        agree("st_size", status.st_size, plain_size(&pair->plain));
    agree("st_mode", S_ISREG(status.st_mode), !lockstep->world->device);
    agree("aio_file_clear_error", ASK(aio_file_clear_error(pair->file)), 0);
    agree("aio_file_execute of nothing", ASK(aio_file_execute(pair->file, &op)), 0);
    agree("aio_file_info", ASK(aio_file_info(pair->file, &info)), 0);
    agree("reads in aio_file_info", info.reads >= pair->info.reads, true);
    agree("inflight in aio_file_info", info.inflight, 0);
    pair->info = info;
}

/* The whole file, without waiting: among handles as among descriptors. */
static void step_lock(struct lockstep *lockstep, struct pair *pair)
{
    static const int types[] = {F_RDLCK, F_WRLCK, F_UNLCK};
    int type = ONE_OF(&lockstep->random, types);

    if (lockstep->world->device)
        return;
    note("lock handle %d: type %d", (int)(pair - lockstep->pairs), type);
    agree("aio_file_lock", ASK(aio_file_lock(pair->file, type, false)),
          plain_lock(&pair->plain, type));
}

/* What no descriptor takes. */
static void step_refused(struct lockstep *lockstep, struct pair *pair)
{
    struct iovec iov = {lockstep->bytes, 16};
    struct aio_file *file = pair->file;
    struct plain *plain = &pair->plain;

    if ((pair->flags & O_ACCMODE) != O_RDWR)
        return;
    note("what is refused");
    agree("aio_file_pread at -1", ASK(aio_file_pread(file, lockstep->bytes, 16, -1)), -EINVAL);
    agree("aio_file_pwrite at -1", ASK(aio_file_pwrite(file, lockstep->bytes, 16, -1)), -EINVAL);
    agree("aio_file_readv of -1", ASK(aio_file_readv(file, &iov, -1)), -EINVAL);
    agree("aio_file_writev of -1", ASK(aio_file_writev(file, &iov, -1)), -EINVAL);
    agree("aio_file_seek to -1", ASK(aio_file_seek(file, -1, SEEK_SET)),
          plain_seek(plain, -1, SEEK_SET));
    agree("aio_file_seek by 99", ASK(aio_file_seek(file, 0, 99)), plain_seek(plain, 0, 99));
    agree("aio_file_truncate to -1", ASK(aio_file_truncate(file, -1)), -EINVAL);
    if (lockstep->world->device)
        return;
    agree("aio_file_allocate of nothing", ASK(aio_file_allocate(file, 0, 0, 0)),
          plain_allocate(plain, 0, 0, 0));
    agree("aio_file_allocate at -1", ASK(aio_file_allocate(file, 0, -1, 1)),
          plain_allocate(plain, 0, -1, 1));
    agree("aio_file_allocate of zeros and more",
          ASK(aio_file_allocate(file, AIO_ALLOCATE_WRITE_ZEROS | FALLOC_FL_KEEP_SIZE, 0, 1)),
          -EINVAL);
}

/* --- open and close ------------------------------------------------------------------------- */

static int choose_flags(struct lockstep *lockstep)
{
    uint64_t chance = choose(lockstep, 24);
    int flags = O_RDWR;

    if (chance == 0)
        flags = O_RDONLY;
    else if (chance == 1)
        flags = O_WRONLY;
    else if (chance == 2)
        flags |= O_DSYNC;
    else if (chance == 3)
        flags |= O_SYNC;
    else if (chance < 7 && !the_run.without_append_mode)
        flags |= O_APPEND;
    else if (chance == 7)
        flags |= O_NOATIME;
    else if (chance == 8)
        flags |= O_TRUNC;
    else if (chance == 9)
        flags |= O_CREAT;
    return lockstep->world->device ? flags & ~(O_APPEND | O_TRUNC | O_CREAT) : flags;
}

static void open_pair(struct lockstep *lockstep, struct pair *pair, int flags)
{
    struct world *world = lockstep->world;
    struct aio_file_options options = choose_options(world, &lockstep->random, UINT32_MAX);
    struct pair *other = &lockstep->pairs[pair == lockstep->pairs];

    /* Two are opened differently. */
    if (lockstep->two && other->file != NULL && the_run.direct < 0 &&
        (!world->device || world->any_write)) {
        if (other->options.direct != AIO_DIRECT_NEVER && one_in(&lockstep->random, 2))
            options.direct = AIO_DIRECT_NEVER;
        else if (options.alignment == other->options.alignment)
            options.alignment = options.alignment == 4096 ? world->facts.required : 4096;
    }
    if ((flags & O_TRUNC) != 0)
        world_changed(world, 0, world_size(world));
    pair_open(world, pair, flags, &options);
}

/* Brief turns with few rights, as nothing much can be compared in them. */
static void step_reopen(struct lockstep *lockstep, struct pair *pair)
{
    pair_close(lockstep->world, pair);
    open_pair(lockstep, pair, choose_flags(lockstep));
}

static void step_second(struct lockstep *lockstep, struct pair *pair)
{
    struct pair *other = &lockstep->pairs[pair == lockstep->pairs];

    if (other->file == NULL)
        open_pair(lockstep, other, choose_flags(lockstep));
    else if (!lockstep->two)
        pair_close(lockstep->world, other);
}

/* --- the whole ------------------------------------------------------------------------------ */

static const struct {
    unsigned weight;
    void (*run)(struct lockstep *, struct pair *);
} steps[] = {
    {230, step_pread},   {260, step_pwrite}, {90, step_read},      {90, step_write},
    {80, step_append},   {40, step_seek},    {30, step_seek_data}, {50, step_truncate},
    {50, step_allocate}, {6, step_far},      {8, step_sync},       {12, step_look},
    {20, step_lock},     {6, step_refused},  {20, step_reopen},    {12, step_second},
};

static void one_step(struct lockstep *lockstep)
{
    struct pair *pair = &lockstep->pairs[choose(lockstep, 2)];
    unsigned total = 0;
    uint64_t chance;

    if (pair->file == NULL)
        pair = &lockstep->pairs[pair == lockstep->pairs];
    for (size_t index = 0; index < COUNT(steps); index++)
        total += steps[index].weight;
    chance = choose(lockstep, total);
    for (size_t index = 0; index < COUNT(steps); index++) {
        if (chance < steps[index].weight) {
            steps[index].run(lockstep, pair);
            return;
        }
        chance -= steps[index].weight;
    }
}

/* After each step. */
static void check_state(struct lockstep *lockstep)
{
    for (size_t index = 0; index < COUNT(lockstep->pairs); index++) {
        struct pair *pair = &lockstep->pairs[index];

        if (pair->file == NULL)
            continue;
        agree("aio_file_size", ASK(aio_file_size(pair->file)), plain_size(&pair->plain));
        agree("the cursor", ASK(aio_file_seek(pair->file, 0, SEEK_CUR)),
              plain_seek(&pair->plain, 0, SEEK_CUR));
        /* Few rights are few answers. */
        if ((pair->flags & O_ACCMODE) != O_RDWR && one_in(&lockstep->random, 10))
            step_reopen(lockstep, pair);
    }
}

static void compare_all(struct lockstep *lockstep, bool whole)
{
    struct pair *pair = &lockstep->pairs[choose(lockstep, 2)];

    if (pair->file == NULL)
        pair = &lockstep->pairs[pair == lockstep->pairs];
    if (one_in(&lockstep->random, 2))
        agree("aio_file_sync", ASK(aio_file_sync(pair->file)), 0);
    /* Of a device, what was written directly is to be seen through its page cache. */
    if (one_in(&lockstep->random, 4))
        posix_fadvise(lockstep->world->witness, 0, 0, POSIX_FADV_DONTNEED);
    note("compare");
    world_compare(lockstep->world, (pair->flags & O_ACCMODE) != O_WRONLY ? pair->file : NULL,
                  whole);
}

void lockstep_run(struct world *world, uint64_t random, uint64_t operations, bool two)
{
    struct lockstep *lockstep = calloc(1, sizeof(*lockstep));

    must(lockstep != NULL, "have memory");
    lockstep->world = world;
    lockstep->random = random;
    lockstep->two = two;
    lockstep->bytes = page_alloc(TRANSFER_MAX);
    open_pair(lockstep, &lockstep->pairs[0], O_RDWR);
    if (two)
        open_pair(lockstep, &lockstep->pairs[1], O_RDWR);
    for (uint64_t count = 1; count <= operations; count++) {
        step();
        one_step(lockstep);
        check_state(lockstep);
        if (count % COMPARE_CHANGED == 0)
            compare_all(lockstep, count % COMPARE_ALL == 0);
    }
    compare_all(lockstep, true);
    for (size_t index = 0; index < COUNT(lockstep->pairs); index++)
        if (lockstep->pairs[index].file != NULL)
            pair_close(world, &lockstep->pairs[index]);
    if (lockstep->crowd != 0)
        printf("  more than IOV_MAX vectors: %s\n", lockstep->crowd == 1 ? "whole" : "-EINVAL");
    memory_free(&lockstep->memory);
    free(lockstep->bytes);
    free(lockstep);
}
