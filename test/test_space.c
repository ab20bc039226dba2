/* SPDX-License-Identifier: MIT */
/*
 * test_space.c - where a file ends, what room it has, who has it locked, and what the flags of an
 * open promise: allocations, truncates in order, locks, files extended ahead, O_APPEND.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "op.h"
#include "support.h"

#ifndef FALLOC_FL_WRITE_ZEROES
#define FALLOC_FL_WRITE_ZEROES 0x80
#endif

static const enum aio_direct roads[] = {AIO_DIRECT_REQUIRED, AIO_DIRECT_NEVER};

#define ROADS ((int)COUNT(roads))

/* What files are opened with in tests that open many: kernel AIO takes long to end. */
static struct aio_queue *common_queue;

static struct aio_file *open_options(const char *name, int flags,
                                     const struct aio_file_options *given)
{
    struct aio_file_options options = *given;
    struct aio_file *file;

    if (common_queue != NULL)
        options.queue = common_queue;
    EXPECT(aio_file_open(scratch_path(name), flags, 0600, &options, &file), 0);
    return file;
}

static struct aio_file *open_road(const char *name, int flags, enum aio_direct direct)
{
    struct aio_file_options options = file_options();

    options.direct = direct;
    return open_options(name, flags, &options);
}

static int plain_open(const char *name, int flags)
{
    int fd = open(scratch_path(name), flags | O_CLOEXEC, 0600);

    REQUIRE(fd >= 0);
    return fd;
}

/* Reads what the disk has, or as much of it as there is room for. Returns how much that is. */
static uint64_t bytes_of_disk(const char *name, char *memory, uint64_t room)
{
    uint64_t size = disk_size(name);

    if (size > room)
        size = room;
    if (size > 0)
        disk_read(name, memory, size, 0);
    return size;
}

/* --- fsync(2) as it is called --------------------------------------------------------------- */

/* What the library calls is this one. */
static unsigned files_synced;
static unsigned directories_synced;
static ino_t last_synced;
static mode_t failing_type; /* of what cannot be synced now; 0: all can */

int fsync(int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return -1;
    if (S_ISDIR(status.st_mode))
        directories_synced++;
    else
        files_synced++;
    last_synced = status.st_ino;
    if (failing_type != 0 && (status.st_mode & S_IFMT) == failing_type) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static void syncs_forget(void)
{
    files_synced = 0;
    directories_synced = 0;
    last_synced = 0;
}

/* --- extents, as the file system tells of them ---------------------------------------------- */

enum { EXTENTS_MAX = 64 };

/* The flags of all extents that meet a range, or'ed; -1: it does not tell. */
static int64_t extent_flags(const char *name, uint64_t offset, uint64_t bytes)
{
    struct fiemap *map = calloc(1, sizeof(*map) + EXTENTS_MAX * sizeof(struct fiemap_extent));
    int64_t flags = 0;
    int fd = plain_open(name, O_RDONLY);

    REQUIRE(map != NULL);
    map->fm_start = offset;
    map->fm_length = bytes;
    map->fm_extent_count = EXTENTS_MAX;
    if (ioctl(fd, FS_IOC_FIEMAP, map) != 0)
        flags = -1;
    for (unsigned index = 0; flags >= 0 && index < map->fm_mapped_extents; index++)
        flags |= map->fm_extents[index].fe_flags;
    close(fd);
    free(map);
    return flags;
}

/* --- allocations, each way ------------------------------------------------------------------ */

enum way {
    WAY_CALL,
    WAY_EXECUTE,
    WAY_SUBMIT,
    WAYS,
};

static struct aio_op op_allocate(struct aio_file *file, int mode, int64_t offset, uint64_t length)
{
    return (struct aio_op){.opcode = AIO_OP_ALLOCATE,
                           .file = file,
                           .mode = (uint32_t)mode,
                           .offset = offset,
                           .len = length};
}

static struct aio_op op_truncate(struct aio_file *file, int64_t length)
{
    return (struct aio_op){.opcode = AIO_OP_TRUNCATE, .file = file, .offset = length};
}

/* Submits one and takes its result; what the submit itself refuses is the result, too. */
static int64_t submit_result(struct aio_queue *queue, const struct aio_op *op)
{
    struct aio_completion completion;
    aio_request_id id = 0;
    int64_t taken = CALL(aio_queue_submit(queue, op, 1, &id));

    if (taken < 0)
        return taken;
    REQUIRE_EQ(taken, 1);
    completion = completion_of(queue, id);
    REQUIRE_EQ(completion.error, completion.result < 0 ? completion.result : 0);
    return completion.result;
}

static int64_t allocate(enum way way, struct aio_file *file, int mode, off_t offset, off_t length)
{
    struct aio_op op = op_allocate(file, mode, offset, (uint64_t)length);

    switch (way) {
    case WAY_CALL:
        return CALL(aio_file_allocate(file, mode, offset, length));
    case WAY_EXECUTE:
        return CALL(aio_file_execute(file, &op));
    default:
        return submit_result(aio_file_queue(file), &op);
    }
}

/* --- modes of fallocate(2) ------------------------------------------------------------------ */

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static const int modes[] = {
    0,
    FALLOC_FL_KEEP_SIZE,
    PUNCH,
    FALLOC_FL_PUNCH_HOLE, /* refused without KEEP_SIZE */
    FALLOC_FL_ZERO_RANGE,
    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_ZERO_RANGE | PUNCH,
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_UNSHARE_RANGE,
    FALLOC_FL_WRITE_ZEROES,
    0x10000,
    INT_MIN,
};

enum { ROOM_PAGES = 32, LENGTH = 5 * (int)PAGE + 100 };

static const struct range {
    off_t offset;
    off_t length;
} ranges[] = {
    {0, PAGE},       {0, 16 * PAGE},       {PAGE, 2 * PAGE},      {100, 50},
    {100, 3 * PAGE}, {4 * PAGE, 4 * PAGE}, {LENGTH, 1},           {10 * PAGE, PAGE},
    {LENGTH - 1, 1}, {0, LENGTH},          {0, INT64_C(1) << 60}, /* more than there is */
};

/* Makes two files that are the same, does the same to both, and compares. */
static void compare_allocation(enum way way, enum aio_direct direct, int mode,
                               const struct range *range, char *memory[2])
{
    struct aio_file *file;
    uint64_t size;
    int64_t result;
    int expected;
    int fd;

    make_file("plain", LENGTH, 1);
    make_file("file", LENGTH, 1);
    fd = plain_open("plain", O_RDWR);
    expected = fallocate(fd, mode, range->offset, range->length) == 0 ? 0 : -errno;
    close(fd);
    file = open_road("file", O_RDWR, direct);
    result = allocate(way, file, mode, range->offset, range->length);
    if (result != expected)
        ck_abort_msg("mode 0x%x, %lld at %lld: %lld, not %d", (unsigned)mode,
                     (long long)range->length, (long long)range->offset, (long long)result,
                     expected);
    EXPECT(aio_file_size(file), disk_size("plain"));
    REQUIRE_EQ(disk_size("file"), disk_size("plain"));
    size = bytes_of_disk("plain", memory[1], ROOM_PAGES * PAGE);
    EXPECT(aio_file_pread(file, memory[0], ROOM_PAGES * PAGE, 0), size);
    REQUIRE(memcmp(memory[0], memory[1], size) == 0);
    REQUIRE_EQ(bytes_of_disk("file", memory[0], ROOM_PAGES * PAGE), size);
    REQUIRE(memcmp(memory[0], memory[1], size) == 0);
    close_file(file);
}

START_TEST(modes_do_what_fallocate_does)
{
    char *memory[2] = {page_alloc(ROOM_PAGES * PAGE), page_alloc(ROOM_PAGES * PAGE)};

    common_queue = open_queue(4, 0);
    for (size_t mode = 0; mode < COUNT(modes); mode++)
        for (size_t range = 0; range < COUNT(ranges); range++)
            compare_allocation((enum way)(_i % WAYS), roads[_i / WAYS], modes[mode], &ranges[range],
                               memory);
    free(memory[0]);
    free(memory[1]);
    close_queue(common_queue);
}
END_TEST

/* Room that was asked for is there: as much as after fallocate(2). */
START_TEST(room_is_what_fallocate_makes)
{
    static const int sizes[] = {0, FALLOC_FL_KEEP_SIZE, PUNCH};
    struct stat status[2];
    int fd;

    for (size_t mode = 0; mode < COUNT(sizes); mode++) {
        struct aio_file *file;

        make_file("plain", 64 * KIB, 1);
        make_file("file", 64 * KIB, 1);
        fd = plain_open("plain", O_RDWR);
        file = open_road("file", O_RDWR, roads[mode % 2]);
        REQUIRE(fsync(fd) == 0);
        EXPECT(aio_file_sync(file), 0);
        REQUIRE(fallocate(fd, sizes[mode], 16 * KIB, MIB) == 0);
        EXPECT(aio_file_allocate(file, sizes[mode], 16 * KIB, MIB), 0);
        REQUIRE(fsync(fd) == 0);
        EXPECT(aio_file_sync(file), 0);
        REQUIRE(fstat(fd, &status[0]) == 0);
        EXPECT(aio_file_stat(file, &status[1]), 0);
        REQUIRE_EQ(status[1].st_blocks, status[0].st_blocks);
        REQUIRE_EQ(status[1].st_size, status[0].st_size);
        close_file(file);
        close(fd);
    }
}
END_TEST

/* --- refusals ------------------------------------------------------------------------------- */

static const struct refusal {
    int mode;
    off_t offset;
    off_t length;
    int expected;
} refusals[] = {
    {0, -1, PAGE, -EINVAL},
    {0, 0, 0, -EINVAL},
    {0, 0, -1, -EINVAL},
    {0, INT64_MIN, 1, -EINVAL},
    {AIO_ALLOCATE_WRITE_ZEROS, -1, PAGE, -EINVAL},
    {AIO_ALLOCATE_WRITE_ZEROS, 0, 0, -EINVAL},
    {AIO_ALLOCATE_WRITE_ZEROS | FALLOC_FL_KEEP_SIZE, 0, PAGE, -EINVAL},
    {AIO_ALLOCATE_WRITE_ZEROS | PUNCH, 0, PAGE, -EINVAL},
    {AIO_ALLOCATE_WRITE_ZEROS | FALLOC_FL_ZERO_RANGE, 0, PAGE, -EINVAL},
    {0, PAGE, INT64_MAX, -EFBIG},
    {0, INT64_MAX, 1, -EFBIG},
    {AIO_ALLOCATE_WRITE_ZEROS, INT64_MAX, PAGE, -EFBIG},
    {PUNCH, INT64_MAX, PAGE, -EFBIG},
};

START_TEST(arguments_are_refused_as_the_table_says)
{
    struct aio_file *file;
    struct aio_op huge;

    common_queue = open_queue(4, 0);
    make_file("file", LENGTH, 1);
    for (int road = 0; road < ROADS; road++)
        for (enum way way = 0; way < WAYS; way++) {
            file = open_road("file", O_RDWR, roads[road]);
            for (size_t line = 0; line < COUNT(refusals); line++)
                REQUIRE_EQ(allocate(way, file, refusals[line].mode, refusals[line].offset,
                                    refusals[line].length),
                           refusals[line].expected);
            close_file(file);
            file = open_road("file", O_RDONLY, roads[road]);
            REQUIRE_EQ(allocate(way, file, 0, 0, PAGE), -EBADF);
            REQUIRE_EQ(allocate(way, file, AIO_ALLOCATE_WRITE_ZEROS, 0, PAGE), -EBADF);
            close_file(file);
        }
    EXPECT(aio_file_allocate(NULL, 0, 0, PAGE), -EINVAL);
    file = open_road("file", O_RDWR, AIO_DIRECT_REQUIRED);
    huge = op_allocate(file, 0, 0, UINT64_MAX);
    EXPECT(aio_file_execute(file, &huge), -EINVAL);
    EXPECT(aio_queue_submit(aio_file_queue(file), &huge, 1, NULL), -EINVAL);
    close_file(file);
    REQUIRE_EQ(disk_size("file"), LENGTH);
    disk_check_pattern("file", 0, LENGTH, 1);
    close_queue(common_queue);
}
END_TEST

START_TEST(a_failed_sync_refuses_allocations)
{
    struct rig rig = rig_open(4, 0);
    struct aio_op op = op_allocate(rig.file, 0, 0, PAGE);

    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_SYNCS, .value = -ENOSPC});
    EXPECT(aio_file_sync(rig.file), -ENOSPC);
    EXPECT(aio_file_allocate(rig.file, 0, 0, PAGE), -ENOSPC);
    EXPECT(aio_file_allocate(rig.file, AIO_ALLOCATE_WRITE_ZEROS, 0, PAGE), -ENOSPC);
    EXPECT(aio_queue_submit(rig.queue, &op, 1, NULL), -ENOSPC);
    REQUIRE_EQ(disk_size("file"), 0);
    EXPECT(aio_file_clear_error(rig.file), -ENOSPC);
    EXPECT(aio_file_allocate(rig.file, 0, 0, PAGE), 0);
    REQUIRE_EQ(disk_size("file"), PAGE);
    rig_close(&rig);
}
END_TEST

/* What waits for others has no place on the thread that delivers to them. */
struct in_callback {
    struct aio_file *file;
    struct aio_file *append;
    struct aio_op op;
    atomic_bool done;
    atomic_llong result;
};

static void call_all(const struct aio_completion *completion)
{
    struct in_callback *in = completion->context;
    struct aio_file_options options = file_options();
    char bytes[10] = "";
    struct aio_file *file;

    EXPECT(aio_file_allocate(in->file, 0, 0, PAGE), -EDEADLK);
    EXPECT(aio_file_truncate(in->file, 0), -EDEADLK);
    EXPECT(aio_file_lock(in->file, F_WRLCK, true), -EDEADLK);
    EXPECT(aio_file_lock(in->file, F_WRLCK, false), 0);
    EXPECT(aio_file_lock(in->file, F_UNLCK, true), 0);
    EXPECT(aio_file_write(in->append, bytes, 10), -EDEADLK);
    EXPECT(aio_file_append(in->append, bytes, 10, NULL), -EDEADLK);
    EXPECT(aio_file_pwrite(in->file, bytes, 10, 5), -EDEADLK);
    options.grow_ahead = MIB;
    EXPECT(aio_file_open(scratch_path("new"), O_RDWR | O_CREAT, 0600, &options, &file), -EDEADLK);
    REQUIRE(file == NULL);
    in->done = true;
}

static void keep_result(const struct aio_completion *completion)
{
    struct in_callback *in = completion->context;

    in->result = completion->result;
    in->done = true;
}

static void submit_in_callback(const struct aio_completion *completion)
{
    struct in_callback *in = completion->context;

    in->op.on_complete = keep_result;
    in->op.context = in;
    EXPECT(aio_queue_submit(aio_file_queue(in->file), &in->op, 1, NULL), 1);
}

START_TEST(callbacks_submit_what_they_cannot_call)
{
    struct in_callback in = {.file = open_direct("file")};
    struct aio_op nop = {.opcode = AIO_OP_NOP, .context = &in, .on_complete = call_all};
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op operations[4];

    make_file("append", 100, 1);
    in.append = open_road("append", O_RDWR | O_APPEND, AIO_DIRECT_REQUIRED);
    EXPECT(aio_queue_submit(aio_file_queue(in.file), &nop, 1, NULL), 1);
    EVENTUALLY(in.done);
    REQUIRE(access(scratch_path("new"), F_OK) != 0);
    nop.on_complete = submit_in_callback;
    operations[0] = op_allocate(in.file, 0, 0, 10 * PAGE);
    operations[1] = op_truncate(in.file, 100);
    operations[2] = op_write(in.append, bytes + 100, 10, 0);
    operations[3] = op_write(in.file, bytes + 10, 33, 10);
    for (unsigned index = 0; index < COUNT(operations); index++) {
        in.done = false;
        in.op = operations[index];
        EXPECT(aio_queue_submit(aio_file_queue(in.file), &nop, 1, NULL), 1);
        EVENTUALLY(in.done);
        REQUIRE_EQ(in.result, index < 2 ? 0 : (int64_t)operations[index].len);
    }
    close_file(in.file);
    close_file(in.append);
    REQUIRE_EQ(disk_size("file"), 100);
    disk_check_pattern("file", 10, 33, 1);
    REQUIRE_EQ(disk_size("append"), 110);
    disk_check_pattern("append", 0, 110, 1);
    free(bytes);
}
END_TEST

/* --- zeros that are written ----------------------------------------------------------------- */

static const struct range zero_ranges[] = {
    {0, 1},
    {1, 1},
    {100, 10},
    {PAGE - 1, 2},
    {PAGE, PAGE},
    {1, 2 * PAGE - 2},
    {PAGE - 100, 10000},
    {3 * PAGE, PAGE - 1},
    {LENGTH - 10, 10},
    {LENGTH - 10, 100},
    {LENGTH, 1},
    {LENGTH + 5, 77},
    {9 * PAGE, PAGE},
    {9 * PAGE + 1, 3 * PAGE},
    {0, 64 * 1024},
    {512, 64 * 1024},
    {3 * 1024 * 1024 + 7, 2 * 1024 * 1024 + 11},
    {100, 5 * 1024 * 1024},
};

enum { ZEROS_ROOM = 6 * 1024 * 1024 };

/* What the file must be: the pattern, with a hole behind it, and zeros in the range. */
static uint64_t expect_zeros(char *memory, const struct range *range)
{
    uint64_t end = (uint64_t)(range->offset + range->length);

    memset(memory, 0, ZEROS_ROOM);
    pattern_fill(memory, LENGTH, 0, 1);
    memset(memory + range->offset, 0, (size_t)range->length);
    return end > LENGTH ? end : LENGTH;
}

START_TEST(zeros_are_written_and_nothing_else)
{
    char *expected = page_alloc(ZEROS_ROOM);
    char *memory = page_alloc(ZEROS_ROOM);

    common_queue = open_queue(4, 0);
    for (size_t index = 0; index < COUNT(zero_ranges) * 2; index++) {
        const struct range *range = &zero_ranges[index / 2];
        uint64_t size = expect_zeros(expected, range);
        struct aio_file *file;

        make_file("file", LENGTH, 1);
        if (index % 2 == 0) { /* it is not in the page cache, or it is */
            int fd = plain_open("file", O_RDWR);

            REQUIRE(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
            close(fd);
        }
        file = open_road("file", O_RDWR, roads[_i / WAYS]);
        REQUIRE_EQ(allocate((enum way)(_i % WAYS), file, AIO_ALLOCATE_WRITE_ZEROS, range->offset,
                            range->length),
                   0);
        EXPECT(aio_file_size(file), size);
        EXPECT(aio_file_pread(file, memory, ZEROS_ROOM, 0), size);
        REQUIRE(memcmp(memory, expected, size) == 0);
        EXPECT(aio_file_pread(file, memory, 100, range->offset + range->length - 1),
               size - (uint64_t)(range->offset + range->length - 1) < 100
                   ? size - (uint64_t)(range->offset + range->length - 1)
                   : 100);
        REQUIRE_EQ(memory[0], 0);
        close_file(file);
        REQUIRE_EQ(bytes_of_disk("file", memory, ZEROS_ROOM), size);
        REQUIRE(memcmp(memory, expected, size) == 0);
    }
    free(expected);
    free(memory);
    close_queue(common_queue);
}
END_TEST

/* An overwrite then changes no metadata: no block is left that is allocated but not written. */
START_TEST(zeros_are_in_written_blocks)
{
    static const struct range lines[] = {{0, MIB}, {100, MIB + 5}, {PAGE + 1, 3 * PAGE}};

    for (size_t index = 0; index < COUNT(lines) * ROADS; index++) {
        const struct range *range = &lines[index / ROADS];
        struct aio_file *file;
        int64_t flags;

        make_file("file", 0, 1);
        file = open_road("file", O_RDWR, roads[index % ROADS]);
        EXPECT(aio_file_allocate(file, 0, 0, 2 * MIB), 0);
        EXPECT(aio_file_sync(file), 0);
        flags = extent_flags("file", (uint64_t)range->offset, (uint64_t)range->length);
        if (flags < 0 || (flags & FIEMAP_EXTENT_UNWRITTEN) == 0)
            puts("The file system does not tell which blocks are written.");
        EXPECT(aio_file_allocate(file, AIO_ALLOCATE_WRITE_ZEROS, range->offset, range->length), 0);
        EXPECT(aio_file_sync(file), 0);
        flags = extent_flags("file", (uint64_t)range->offset, (uint64_t)range->length);
        REQUIRE(flags < 0 || (flags & FIEMAP_EXTENT_UNWRITTEN) == 0);
        EXPECT(aio_file_size(file), 2 * MIB);
        close_file(file);
    }
}
END_TEST

/* What does not fit is not zeroed past the handle's own rule. */
START_TEST(a_handle_that_rejects_has_no_unaligned_zeros)
{
    struct aio_file_options options = file_options();
    struct aio_file_info info = {.size = sizeof(info)};
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file *file;

    options.unaligned = AIO_UNALIGNED_REJECT;
    options.log = log_keep;
    options.log_context = &log;
    make_file("file", LENGTH, 1);
    file = open_options("file", O_RDWR, &options);
    EXPECT(aio_file_info(file, &info), 0);
    for (enum way way = 0; way < WAYS; way++) {
        REQUIRE_EQ(allocate(way, file, AIO_ALLOCATE_WRITE_ZEROS, 1, PAGE), -EINVAL);
        REQUIRE_EQ(allocate(way, file, AIO_ALLOCATE_WRITE_ZEROS, 0, PAGE + 1), -EINVAL);
        REQUIRE_EQ(allocate(way, file, AIO_ALLOCATE_WRITE_ZEROS, 0, info.direct_alignment), 0);
        /* The other modes move no data. */
        REQUIRE_EQ(allocate(way, file, PUNCH, 1, 10), 0);
    }
    REQUIRE_EQ(disk_size("file"), LENGTH);
    disk_check_zeros("file", 0, info.direct_alignment);
    disk_check_pattern("file", info.direct_alignment, LENGTH - info.direct_alignment, 1);
    close_file(file);
}
END_TEST

/* A file may not become as large as one asks. */
static void limit_size(rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};

    REQUIRE(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

START_TEST(zeros_beyond_a_limit_are_an_error)
{
    common_queue = open_queue(4, 0);
    for (int road = 0; road < ROADS; road++)
        for (enum way way = 0; way < WAYS; way++) {
            struct aio_file *file;

            limit_size(RLIM_INFINITY);
            make_file("file", LENGTH, 1);
            limit_size(8 * PAGE);
            file = open_road("file", O_RDWR, roads[road]);
            REQUIRE_EQ(allocate(way, file, AIO_ALLOCATE_WRITE_ZEROS, 6 * PAGE, 10 * PAGE), -EFBIG);
            REQUIRE_EQ(allocate(way, file, AIO_ALLOCATE_WRITE_ZEROS, 8 * PAGE, 10), -EFBIG);
            REQUIRE_EQ(allocate(way, file, 0, 6 * PAGE, 10 * PAGE), -EFBIG);
            REQUIRE(disk_size("file") <= 8 * PAGE);
            REQUIRE_EQ(allocate(way, file, AIO_ALLOCATE_WRITE_ZEROS, 6 * PAGE, 2 * PAGE), 0);
            REQUIRE_EQ(disk_size("file"), 8 * PAGE);
            disk_check_pattern("file", 0, LENGTH, 1);
            close_file(file);
        }
    close_queue(common_queue);
}
END_TEST

START_TEST(a_full_disk_is_an_error)
{
    char *bytes = pattern_alloc(LENGTH, 0, 1);
    struct aio_file *file;

    if (!small_disk_mount(16 * MIB, 64 * MIB, 0))
        return;
    for (int road = 0; road < ROADS; road++)
        for (enum way way = 0; way < WAYS; way++) {
            file = open_road("disk/file", O_RDWR | O_CREAT | O_TRUNC, roads[road]);
            EXPECT(aio_file_pwrite(file, bytes, LENGTH, 0), LENGTH);
            EXPECT(aio_file_sync(file), 0);
            REQUIRE_EQ(allocate(way, file, 0, 0, 64 * MIB), -ENOSPC);
            REQUIRE_EQ(allocate(way, file, AIO_ALLOCATE_WRITE_ZEROS, PAGE + 100, 64 * MIB),
                       -ENOSPC);
            disk_check_pattern("disk/file", 0, PAGE + 100, 1);
            REQUIRE(disk_size("disk/file") <= PAGE + 100 + 64 * MIB);
            /* It goes on. */
            EXPECT(aio_file_truncate(file, LENGTH), 0);
            REQUIRE_EQ(allocate(way, file, AIO_ALLOCATE_WRITE_ZEROS, PAGE + 100, MIB), 0);
            EXPECT(aio_file_size(file), PAGE + 100 + MIB);
            close_file(file);
            REQUIRE(unlink(scratch_path("disk/file")) == 0);
        }
    small_disk_unmount();
    free(bytes);
}
END_TEST

/* --- in order ------------------------------------------------------------------------------- */

/* Where a batch of random operations is to lead: what truncates and allocations come to is decided
 * by the order of submission, as nothing beside them meets. */
enum { ORDER_OPS = 24, ORDER_ROOM = 24 * (int)PAGE, ORDER_BYTES = 2 * ORDER_ROOM };

struct order {
    char model[ORDER_BYTES];
    uint64_t size;
    char *source;
    struct aio_op operations[ORDER_OPS];
    unsigned count;
    bool written[ORDER_OPS]; /* places, since the last one that was alone */
};

static void model_extend(struct order *order, uint64_t end)
{
    if (end > order->size) {
        memset(order->model + order->size, 0, end - order->size);
        order->size = end;
    }
}

static void order_alone(struct order *order, struct aio_file *file, uint64_t *state)
{
    uint64_t offset = random_next(state) % ORDER_ROOM;
    uint64_t length = 1 + random_next(state) % (4 * PAGE);
    uint64_t end = offset + length;
    struct aio_op *op = &order->operations[order->count++];

    switch (random_next(state) % 4) {
    case 0:
        *op = op_truncate(file, (int64_t)offset);
        model_extend(order, offset);
        order->size = offset;
        break;
    case 1:
        *op = op_allocate(file, AIO_ALLOCATE_WRITE_ZEROS, (int64_t)offset, length);
        model_extend(order, end);
        memset(order->model + offset, 0, length);
        break;
    case 2:
        *op = op_allocate(file, PUNCH, (int64_t)offset, length);
        if (offset < order->size)
            memset(order->model + offset, 0, end < order->size ? length : order->size - offset);
        break;
    default:
        *op = op_allocate(file, 0, (int64_t)offset, length);
        model_extend(order, end);
        break;
    }
    memset(order->written, 0, sizeof(order->written));
}

/* A write that meets no other since: one of the pages, whole or a part of it. */
static void order_write(struct order *order, struct aio_file *file, uint64_t *state)
{
    unsigned place = (unsigned)(random_next(state) % ORDER_OPS);
    uint64_t offset = place * (uint64_t)PAGE;
    uint64_t length = PAGE;

    if (order->written[place])
        return;
    if (random_next(state) % 3 == 0) {
        offset += random_next(state) % 100;
        length = 1 + random_next(state) % (PAGE - 100);
    }
    order->written[place] = true;
    pattern_fill(order->source + order->count * (size_t)PAGE, length, offset, *state);
    order->operations[order->count] =
        op_write(file, order->source + order->count * (size_t)PAGE, length, (int64_t)offset);
    model_extend(order, offset + length);
    memcpy(order->model + offset, order->source + order->count * (size_t)PAGE, length);
    order->count++;
}

static void order_check(const struct order *order, struct aio_file *file, char *memory)
{
    EXPECT(aio_file_size(file), order->size);
    EXPECT(aio_file_pread(file, memory, ORDER_BYTES, 0), order->size);
    for (uint64_t index = 0; index < order->size; index++)
        if (memory[index] != order->model[index])
            ck_abort_msg("byte %llu of %llu is 0x%02x, not 0x%02x", (unsigned long long)index,
                         (unsigned long long)order->size, (unsigned char)memory[index],
                         (unsigned char)order->model[index]);
}

static void run_in_order(const struct aio_file_options *options, uint64_t seeds)
{
    struct order *order = calloc(1, sizeof(*order));
    struct aio_queue *queue = open_queue(ORDER_OPS, 0);
    char *memory = page_alloc(ORDER_BYTES);
    struct aio_file *file;

    REQUIRE(order != NULL);
    order->source = page_alloc(ORDER_OPS * PAGE);
    file = open_options("file", O_RDWR | O_CREAT, options);
    for (uint64_t seed = 0; seed < seeds; seed++) {
        uint64_t state = seed;
        aio_request_id ids[ORDER_OPS];

        order->count = 0;
        memset(order->written, 0, sizeof(order->written));
        for (unsigned step = 0; step < ORDER_OPS; step++)
            if (random_next(&state) % 4 == 0)
                order_alone(order, file, &state);
            else
                order_write(order, file, &state);
        EXPECT(aio_queue_submit(queue, order->operations, order->count, ids), order->count);
        for (unsigned index = 0; index < order->count; index++)
            REQUIRE_EQ(completion_of(queue, ids[index]).result,
                       order->operations[index].opcode == AIO_OP_WRITE
                           ? (int64_t)order->operations[index].len
                           : 0);
        order_check(order, file, memory);
    }
    close_file(file);
    close_queue(queue);
    REQUIRE_EQ(bytes_of_disk("file", memory, ORDER_BYTES), order->size);
    REQUIRE(memcmp(memory, order->model, order->size) == 0);
    free(order->source);
    free(order);
    free(memory);
}

START_TEST(truncates_and_allocations_come_in_their_order)
{
    struct aio_file_options options = file_options();

    options.direct = roads[_i];
    run_in_order(&options, 150 * test_scale());
}
END_TEST

START_TEST(extended_ahead_they_come_in_their_order_too)
{
    struct aio_file_options options = file_options();

    options.direct = roads[_i];
    options.grow_ahead = 3 * PAGE;
    run_in_order(&options, 150 * test_scale());
}
END_TEST

/* Syncs among writes that take long. */
START_TEST(a_draining_sync_waits_for_what_came_before)
{
    struct rig rig = rig_open(8, 0);
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, page, PAGE, 0);
    struct aio_op sync = op_sync(rig.file);
    struct aio_op drain = {.opcode = AIO_OP_DATASYNC, .file = rig.file, .flags = AIO_OP_DRAIN};
    struct aio_file_info info = {.size = sizeof(info)};
    struct timespec none = {0, 0};
    aio_request_id ids[4];

    REQUIRE_EQ(run_op(rig.queue, &write).result, PAGE);
    EXPECT(aio_file_info(rig.file, &info), 0);
    if (info.direct_granted == AIO_DIRECT_EMULATED) {
        puts("Direct writes are executed by workers here: none is in flight for long.");
        rig_close(&rig);
        free(page);
        return;
    }
    fault_hold(rig.fault, FAULT_WRITES);
    ids[0] = submit_one(rig.queue, &write);
    EVENTUALLY(fault_held(rig.fault) == 1);
    ids[1] = submit_one(rig.queue, &drain);
    write.offset = PAGE;
    ids[2] = submit_one(rig.queue, &write);
    ids[3] = submit_one(rig.queue, &sync);
    REQUIRE_EQ(completion_of(rig.queue, ids[3]).result, 0); /* it promises less */
    EXPECT(aio_queue_wait(rig.queue, ids[1], &none), -ETIMEDOUT);
    /* Neither it nor the write behind it has begun. */
    REQUIRE_EQ(fault_held(rig.fault), 1);
    REQUIRE_EQ(fault_steps(rig.fault), 3);
    REQUIRE_EQ(fault_step(rig.fault, 2).opcode, AIO_OP_SYNC);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    for (unsigned index = 0; index < 3; index++)
        REQUIRE_EQ(completion_of(rig.queue, ids[index]).result, index == 1 ? 0 : PAGE);
    REQUIRE_EQ(fault_steps(rig.fault), 5);
    rig_close(&rig);
    free(page);
}
END_TEST

/* Whether a write through the page cache has no block on the disk yet, as the file system tells. */
static bool is_delayed(const char *name, uint64_t offset)
{
    int64_t flags = extent_flags(name, offset, PAGE);

    return flags >= 0 && (flags & FIEMAP_EXTENT_DELALLOC) != 0;
}

START_TEST(a_write_with_dsync_is_on_the_disk)
{
    struct aio_file *file = open_road("file", O_RDWR | O_CREAT, roads[_i]);
    struct aio_queue *queue = open_queue(4, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    bool told = false;

    for (unsigned form = 0; form < 8; form++) {
        struct iovec iov = {bytes, 1000};
        struct aio_op op = op_write(file, bytes, 1000, (int64_t)(form * 16 * KIB));

        if (form % 4 == 1)
            op = op_vectors(AIO_OP_WRITEV, file, &iov, 1, (int64_t)(form * 16 * KIB));
        if (form % 4 >= 2) {
            EXPECT(aio_file_truncate(file, (off_t)(form * 16 * KIB)), 0);
            op = form % 4 == 2 ? op_append(file, bytes, 1000)
                               : op_vectors(AIO_OP_APPENDV, file, &iov, 1, 0);
        }
        REQUIRE_EQ(form < 4 ? CALL(aio_file_execute(file, &op)) : run_op(queue, &op).result, 1000);
        told |= is_delayed("file", form * 16 * KIB);
        EXPECT(aio_file_truncate(file, (off_t)(form * 16 * KIB)), 0);
        op.flags = AIO_OP_DSYNC;
        REQUIRE_EQ(form < 4 ? CALL(aio_file_execute(file, &op)) : run_op(queue, &op).result, 1000);
        REQUIRE(!is_delayed("file", form * 16 * KIB));
        pattern_check(bytes, 1000, 0, 1);
    }
    if (!told)
        puts("The file system does not tell what is only in the page cache.");
    close_file(file);
    close_queue(queue);
    free(bytes);
}
END_TEST

/* --- flags of operations -------------------------------------------------------------------- */

/* By opcode: those that have a meaning. */
static uint32_t meant_flags(uint8_t opcode)
{
    const uint32_t any = AIO_OP_LINK | AIO_OP_WAITED;

    if (opcode == AIO_OP_WRITE || opcode == AIO_OP_WRITEV)
        return any | AIO_OP_DSYNC | AIO_OP_NOWAIT | AIO_OP_HIPRI | AIO_OP_ATOMIC;
    if (opcode == AIO_OP_APPEND || opcode == AIO_OP_APPENDV)
        return any | AIO_OP_DSYNC | AIO_OP_NOWAIT | AIO_OP_HIPRI;
    if (opcode == AIO_OP_READ || opcode == AIO_OP_READV)
        return any | AIO_OP_NOWAIT | AIO_OP_HIPRI;
    if (opcode == AIO_OP_SYNC || opcode == AIO_OP_DATASYNC)
        return any | AIO_OP_DRAIN;
    return any;
}

static void ignore(const struct aio_completion *completion)
{
    (void)completion;
}

START_TEST(flags_belong_to_opcodes)
{
    const uint32_t contrary = AIO_OP_NOWAIT | AIO_OP_HIPRI;

    for (uint8_t opcode = AIO_OP_NOP; opcode <= AIO_OP_ALLOCATE; opcode++)
        for (uint32_t flags = 0; flags < 256; flags++) {
            struct aio_op op = {.opcode = opcode, .flags = flags};
            int expected = 0;

            if ((flags & ~meant_flags(opcode)) != 0 || (flags & contrary) == contrary)
                expected = -EINVAL;
            REQUIRE_EQ(op_check(&op), expected);
            op.on_complete = ignore;
            REQUIRE_EQ(op_check(&op), (flags & AIO_OP_WAITED) != 0 ? -EINVAL : expected);
        }
}
END_TEST

START_TEST(fields_that_mean_nothing_are_zero)
{
    for (uint8_t opcode = AIO_OP_NOP; opcode <= AIO_OP_ALLOCATE; opcode++) {
        struct aio_op op = {.opcode = opcode, .mode = 1};

        REQUIRE_EQ(op_check(&op), opcode == AIO_OP_ALLOCATE ? 0 : -EINVAL);
        for (unsigned bit = 0; bit < 24; bit++) {
            op = (struct aio_op){.opcode = opcode};
            op.reserved0[bit / 8] = (uint8_t)(1u << bit % 8);
            REQUIRE_EQ(op_check(&op), -EINVAL);
        }
        for (unsigned word = 0; word < 3; word++) {
            op = (struct aio_op){.opcode = opcode};
            op.reserved2[word] = UINT64_C(1) << 63;
            REQUIRE_EQ(op_check(&op), -EINVAL);
        }
        op = (struct aio_op){.opcode = opcode, .deadline = INT64_MAX};
        REQUIRE_EQ(op_check(&op), 0);
        op.deadline++;
        REQUIRE_EQ(op_check(&op), -EINVAL);
    }
    REQUIRE_EQ(op_check(&(struct aio_op){.opcode = AIO_OP_ALLOCATE + 1}), -EINVAL);
    REQUIRE_EQ(op_check(&(struct aio_op){.opcode = UINT8_MAX}), -EINVAL);
}
END_TEST

/* A class and a level of ioprio_set(2), of what moves bytes. */
START_TEST(priorities_are_checked)
{
    for (uint8_t opcode = AIO_OP_NOP; opcode <= AIO_OP_ALLOCATE; opcode++)
        for (uint32_t class = 0; class < 8; class ++)
            for (uint32_t level = 0; level < 1 << 13; level++) {
                struct aio_op op = {.opcode = opcode, .priority = class << 13 | level};
                bool moves = opcode >= AIO_OP_READ && opcode <= AIO_OP_APPENDV;
                bool fits = moves && class >= 1 && class <= 3 && level <= 7;

                REQUIRE_EQ(op_check(&op), op.priority == 0 || fits ? 0 : -EINVAL);
            }
    for (unsigned bit = 16; bit < 32; bit++) {
        struct aio_op op = {.opcode = AIO_OP_READ, .priority = 2 << 13 | 1u << bit};

        REQUIRE_EQ(op_check(&op), -EINVAL);
    }
}
END_TEST

START_TEST(no_form_takes_what_is_not_meant)
{
    struct aio_file *file = open_direct("file");
    struct aio_queue *queue = open_queue(4, 0);

    for (uint8_t opcode = AIO_OP_NOP; opcode <= AIO_OP_ALLOCATE; opcode++)
        for (uint32_t flag = 1; flag <= AIO_OP_WAITED << 1; flag <<= 1) {
            struct aio_op op = {.opcode = opcode, .file = file, .flags = flag, .len = 0};

            if ((flag & meant_flags(opcode)) != 0)
                continue;
            EXPECT(aio_file_execute(file, &op), op_check(&op));
            EXPECT(aio_queue_submit(queue, &op, 1, NULL), op_check(&op));
        }
    EXPECT(aio_file_size(file), 0);
    close_file(file);
    close_queue(queue);
}
END_TEST

/* --- locks ---------------------------------------------------------------------------------- */

/* What another process gets, without waiting: 0 or an errno. */
struct attempt {
    short type;
    bool posix; /* or of its open file description */
    off_t start;
    off_t length; /* 0: to the end of numbers */
};

static int attempt_lock(void *argument)
{
    const struct attempt *attempt = argument;
    struct flock lock = {.l_type = attempt->type,
                         .l_whence = SEEK_SET,
                         .l_start = attempt->start,
                         .l_len = attempt->length};
    int fd = plain_open("file", O_RDWR);

    return fcntl(fd, attempt->posix ? F_SETLK : F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

static void expect_for_others(short type, int expected)
{
    struct attempt attempts[] = {
        {type, false, 0, 0}, {type, true, 0, 0}, {type, true, INT64_C(1) << 50, 1}};

    for (size_t index = 0; index < COUNT(attempts); index++)
        REQUIRE_EQ(in_child(attempt_lock, &attempts[index]), expected);
}

START_TEST(locks_exclude_each_other)
{
    static const int types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
    struct aio_file *files[2];

    make_file("file", 100, 1);
    for (unsigned index = 0; index < 2; index++)
        files[index] = open_road("file", O_RDWR, roads[index]);
    for (unsigned held = 0; held < 3; held++)
        for (unsigned wanted = 1; wanted < 3; wanted++) {
            bool free = held == 0 || (held == 1 && wanted == 1);

            EXPECT(aio_file_lock(files[0], types[held], held != 1), 0);
            EXPECT(aio_file_lock(files[1], types[wanted], false), free ? 0 : -EAGAIN);
            EXPECT(aio_file_lock(files[1], F_UNLCK, false), 0);
            expect_for_others((short)types[wanted], free ? 0 : EAGAIN);
            EXPECT(aio_file_lock(files[0], F_UNLCK, held == 1), 0);
            EXPECT(aio_file_lock(files[1], F_WRLCK, true), 0);
            EXPECT(aio_file_lock(files[1], F_UNLCK, true), 0);
        }
    close_file(files[0]);
    close_file(files[1]);
}
END_TEST

START_TEST(a_lock_changes_its_type)
{
    struct aio_file *files[2];

    make_file("file", 100, 1);
    for (unsigned index = 0; index < 2; index++)
        files[index] = open_road("file", O_RDWR, AIO_DIRECT_REQUIRED);
    EXPECT(aio_file_lock(files[0], F_RDLCK, true), 0);
    EXPECT(aio_file_lock(files[1], F_RDLCK, true), 0);
    EXPECT(aio_file_lock(files[0], F_WRLCK, false), -EAGAIN);
    expect_for_others(F_WRLCK, EAGAIN); /* what it had it has */
    expect_for_others(F_RDLCK, 0);
    EXPECT(aio_file_lock(files[1], F_UNLCK, false), 0);
    expect_for_others(F_WRLCK, EAGAIN);
    EXPECT(aio_file_lock(files[0], F_WRLCK, false), 0);
    expect_for_others(F_RDLCK, EAGAIN);
    EXPECT(aio_file_lock(files[0], F_WRLCK, false), 0); /* once more is no more */
    EXPECT(aio_file_lock(files[0], F_RDLCK, false), 0);
    expect_for_others(F_RDLCK, 0);
    EXPECT(aio_file_lock(files[1], F_RDLCK, false), 0);
    EXPECT(aio_file_lock(files[0], F_UNLCK, false), 0);
    EXPECT(aio_file_lock(files[0], F_UNLCK, false), 0);
    close_file(files[0]);
    close_file(files[1]);
}
END_TEST

START_TEST(others_keep_a_handle_out)
{
    struct aio_file *file = open_direct("file");
    int fd = plain_open("file", O_RDWR);
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = INT64_C(1) << 40, .l_len = 1};

    REQUIRE(fcntl(fd, F_OFD_SETLK, &lock) == 0);
    EXPECT(aio_file_lock(file, F_WRLCK, false), -EAGAIN);
    EXPECT(aio_file_lock(file, F_RDLCK, false), 0);
    lock.l_type = F_WRLCK;
    REQUIRE(fcntl(fd, F_OFD_SETLK, &lock) != 0);
    EXPECT(aio_file_lock(file, F_UNLCK, false), 0);
    close(fd);
    EXPECT(aio_file_lock(file, F_WRLCK, false), 0);
    close_file(file);
}
END_TEST

START_TEST(locks_need_their_direction)
{
    static const int unknown[] = {-1, 3, 4, INT_MAX, F_RDLCK + 1000, 1 << 16};
    struct aio_file *file;

    make_file("file", 100, 1);
    file = open_road("file", O_RDONLY, AIO_DIRECT_REQUIRED);
    EXPECT(aio_file_lock(file, F_WRLCK, false), -EBADF);
    EXPECT(aio_file_lock(file, F_WRLCK, true), -EBADF);
    EXPECT(aio_file_lock(file, F_RDLCK, false), 0);
    for (size_t index = 0; index < COUNT(unknown); index++) {
        EXPECT(aio_file_lock(file, unknown[index], false), -EINVAL);
        EXPECT(aio_file_lock(file, unknown[index], true), -EINVAL);
    }
    expect_for_others(F_WRLCK, EAGAIN);
    close_file(file);
    file = open_road("file", O_WRONLY, AIO_DIRECT_REQUIRED);
    EXPECT(aio_file_lock(file, F_RDLCK, false), -EBADF);
    EXPECT(aio_file_lock(file, F_WRLCK, true), 0);
    close_file(file);
    EXPECT(aio_file_lock(NULL, F_RDLCK, false), -EINVAL);
}
END_TEST

/* A thread that waits for a lock. */
struct lock_call {
    struct aio_file *file;
    int type;
    atomic_int thread_number;
    atomic_bool done;
    int64_t result;
    pthread_t thread;
};

static void *lock_along(void *argument)
{
    struct lock_call *call = argument;

    call->thread_number = thread_number();
    call->result = CALL(aio_file_lock(call->file, call->type, true));
    call->done = true;
    return NULL;
}

static void lock_begin(struct lock_call *call)
{
    thread_begin(&call->thread, lock_along, call);
    EVENTUALLY(call->thread_number != 0 && thread_state(call->thread_number) == 'S');
    REQUIRE(!call->done);
}

static void lock_end(struct lock_call *call, int64_t expected)
{
    EVENTUALLY(call->done);
    thread_end(call->thread);
    REQUIRE_EQ(call->result, expected);
}

enum release {
    RELEASE_UNLOCK,
    RELEASE_SHARE,
    RELEASE_CLOSE,
    RELEASES,
};

/* The first handle is the one whose descriptor stays for syncs. */
START_TEST(a_wait_ends_when_the_lock_is_released)
{
    for (unsigned which = 0; which < 2 * RELEASES; which++) {
        struct aio_file *files[2];
        struct lock_call call = {.type = which % RELEASES == RELEASE_SHARE ? F_RDLCK : F_WRLCK};
        unsigned holder = which / RELEASES;

        make_file("file", 100, 1);
        for (unsigned index = 0; index < 2; index++)
            files[index] = open_road("file", O_RDWR, AIO_DIRECT_REQUIRED);
        EXPECT(aio_file_lock(files[holder], F_WRLCK, true), 0);
        call.file = files[!holder];
        lock_begin(&call);
        if (which % RELEASES == RELEASE_UNLOCK)
            EXPECT(aio_file_lock(files[holder], F_UNLCK, true), 0);
        else if (which % RELEASES == RELEASE_SHARE)
            EXPECT(aio_file_lock(files[holder], F_RDLCK, true), 0);
        else
            close_file(files[holder]);
        lock_end(&call, 0);
        expect_for_others(F_WRLCK, EAGAIN);
        if (which % RELEASES != RELEASE_CLOSE)
            close_file(files[holder]);
        close_file(files[!holder]);
        expect_for_others(F_WRLCK, 0);
    }
}
END_TEST

static void on_signal(int number)
{
    (void)number;
}

START_TEST(a_signal_ends_a_wait)
{
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
    struct aio_file *files[2];
    struct lock_call call = {.type = F_WRLCK};

    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    make_file("file", 100, 1);
    for (unsigned index = 0; index < 2; index++)
        files[index] = open_road("file", O_RDWR, AIO_DIRECT_REQUIRED);
    EXPECT(aio_file_lock(files[0], F_RDLCK, true), 0);
    call.file = files[1];
    lock_begin(&call);
    while (!call.done) { /* it may be asleep on its way there */
        REQUIRE(pthread_kill(call.thread, SIGUSR1) == 0);
        sleep_us(1000);
    }
    lock_end(&call, -EINTR);
    EXPECT(aio_file_lock(files[0], F_WRLCK, false), 0); /* the other one got nothing */
    close_file(files[0]);
    close_file(files[1]);
}
END_TEST

/* A process of its own: waits for a lock, says that it has it, and ends when told. */
struct other {
    pid_t process;
    int said[2];
    int told[2];
};

static void other_end(struct other *other)
{
    int status;

    REQUIRE_EQ(write(other->told[1], "", 1), 1);
    REQUIRE(waitpid(other->process, &status, 0) == other->process);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(other->told[1]);
    close(other->said[0]);
}

static int other_main(struct other *other, int (*body)(void *), void *argument)
{
    char byte = (char)body(argument);

    if (write(other->said[1], &byte, 1) != 1)
        return 1;
    return read(other->told[0], &byte, 1) == 1 ? 0 : 1;
}

static void other_begin(struct other *other, int (*body)(void *), void *argument)
{
    REQUIRE(pipe2(other->said, O_CLOEXEC) == 0 && pipe2(other->told, O_CLOEXEC) == 0);
    fflush(NULL);
    other->process = fork();
    REQUIRE(other->process >= 0);
    if (other->process == 0) {
        alarm(30 * slowness());
        _exit(other_main(other, body, argument));
    }
    close(other->said[1]);
    close(other->told[0]);
}

static bool other_has_said(struct other *other)
{
    struct pollfd said = {.fd = other->said[0], .events = POLLIN};

    return poll(&said, 1, 0) == 1;
}

static int other_result(struct other *other)
{
    char byte = 0;

    REQUIRE_EQ(read(other->said[0], &byte, 1), 1);
    return byte;
}

static int lock_and_stay(void *argument)
{
    int type = *(int *)argument;
    struct aio_file *file = open_road("file", O_RDWR, AIO_DIRECT_REQUIRED);

    return (int)CALL(aio_file_lock(file, type, true));
}

START_TEST(processes_wait_for_each_other)
{
    struct aio_file *file = open_direct("file");
    int types[] = {F_WRLCK, F_RDLCK};
    struct other other;

    for (unsigned index = 0; index < 2; index++) {
        EXPECT(aio_file_lock(file, F_WRLCK, true), 0);
        other_begin(&other, lock_and_stay, &types[index]);
        sleep_us(20000);
        REQUIRE(!other_has_said(&other));
        EXPECT(aio_file_lock(file, F_UNLCK, true), 0);
        REQUIRE_EQ(other_result(&other), 0);
        EXPECT(aio_file_lock(file, F_WRLCK, false), -EAGAIN);
        EXPECT(aio_file_lock(file, F_RDLCK, false), types[index] == F_RDLCK ? 0 : -EAGAIN);
        other_end(&other);
        EXPECT(aio_file_lock(file, F_WRLCK, true), 0);
        EXPECT(aio_file_lock(file, F_UNLCK, true), 0);
    }
    close_file(file);
}
END_TEST

static int stay(void *argument)
{
    (void)argument;
    return 0;
}

/* Whoever has a copy of the descriptor by a fork, what the handle had locked goes with it. */
START_TEST(a_close_unlocks_beside_a_child)
{
    struct aio_file *files[2];
    struct other other;

    make_file("file", 100, 1);
    for (unsigned first = 0; first < 2; first++) {
        for (unsigned index = 0; index < 2; index++)
            files[index] = open_road("file", O_RDWR, AIO_DIRECT_REQUIRED);
        EXPECT(aio_file_lock(files[first], F_WRLCK, true), 0);
        other_begin(&other, stay, NULL);
        REQUIRE_EQ(other_result(&other), 0);
        close_file(files[first]);
        EXPECT(aio_file_lock(files[!first], F_WRLCK, false), 0);
        other_end(&other);
        close_file(files[!first]);
    }
}
END_TEST

static int close_copy(void *argument)
{
    EXPECT(aio_file_close(argument), 0);
    return 0;
}

START_TEST(a_child_that_closes_its_copy_unlocks_nothing)
{
    struct aio_file *file = open_direct("file");

    EXPECT(aio_file_lock(file, F_WRLCK, true), 0);
    REQUIRE_EQ(in_child(close_copy, file), 0);
    expect_for_others(F_RDLCK, EAGAIN);
    close_file(file);
}
END_TEST

enum { LOCKERS = 4, LOCKED_ROUNDS = 300 };

static unsigned locked_count; /* guarded by the file's lock alone */
static atomic_uint locked_inside;

static void *count_locked(void *argument)
{
    (void)argument;
    for (unsigned round = 0; round < LOCKED_ROUNDS; round++) {
        struct aio_file *file = open_road("file", O_RDWR, AIO_DIRECT_NEVER);

        EXPECT(aio_file_lock(file, F_WRLCK, true), 0);
        REQUIRE_EQ(locked_inside++, 0);
        locked_count++;
        locked_inside--;
        if (round % 2 == 0)
            EXPECT(aio_file_lock(file, F_UNLCK, true), 0);
        close_file(file);
    }
    return NULL;
}

START_TEST(one_at_a_time_has_an_exclusive_lock)
{
    struct aio_file *file = open_direct("file"); /* all through */
    pthread_t threads[LOCKERS];

    for (unsigned index = 0; index < LOCKERS; index++)
        thread_begin(&threads[index], count_locked, NULL);
    for (unsigned index = 0; index < LOCKERS; index++)
        thread_end(threads[index]);
    REQUIRE_EQ(locked_count, LOCKERS * LOCKED_ROUNDS);
    close_file(file);
}
END_TEST

/* --- files that are extended ahead ---------------------------------------------------------- */

static struct aio_file *open_growing(const char *name, int flags, enum aio_direct direct,
                                     uint64_t grow_ahead)
{
    struct aio_file_options options = file_options();

    options.direct = direct;
    options.grow_ahead = grow_ahead;
    return open_options(name, flags, &options);
}

/* The file is size bytes for whoever asks the library, and more on the disk. */
static void expect_ahead(struct aio_file *file, uint64_t size)
{
    struct stat status;

    EXPECT(aio_file_size(file), size);
    EXPECT(aio_file_stat(file, &status), 0);
    REQUIRE_EQ(status.st_size, size);
    REQUIRE(disk_size("file") > size);
}

START_TEST(a_file_extended_ahead_ends_where_it_was_written)
{
    char *bytes = pattern_alloc(8 * PAGE, 0, 1);
    struct aio_file *file;

    make_file("file", 0, 1);
    file = open_growing("file", O_RDWR, roads[_i], MIB);
    EXPECT(aio_file_size(file), 0);
    REQUIRE_EQ(disk_size("file"), 0);
    EXPECT(aio_file_pwrite(file, bytes, PAGE, 0), PAGE);
    expect_ahead(file, PAGE);
    REQUIRE_EQ(disk_size("file"), PAGE + MIB);
    EXPECT(aio_file_pwrite(file, bytes + PAGE, 100, PAGE), 100);
    expect_ahead(file, PAGE + 100);
    EXPECT(aio_file_pwrite(file, bytes + 10, 20, 10), 20); /* inside: nothing new */
    expect_ahead(file, PAGE + 100);
    REQUIRE_EQ(disk_size("file"), PAGE + MIB);
    EXPECT(aio_file_pwrite(file, bytes, PAGE, PAGE + MIB), PAGE); /* beyond: on again */
    expect_ahead(file, 2 * PAGE + MIB);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE + 2 * MIB);
    close_file(file);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE + MIB);
    disk_check_pattern("file", 0, PAGE + 100, 1);
    disk_check_zeros("file", PAGE + 100, MIB - 100);
    /* One that was long before. */
    file = open_growing("file", O_RDWR, roads[_i], MIB);
    EXPECT(aio_file_size(file), 2 * PAGE + MIB);
    close_file(file);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE + MIB);
    free(bytes);
}
END_TEST

/* Reads in every form, of a file of size bytes that are of the pattern. */
static void expect_reads(struct aio_file *file, uint64_t size)
{
    static const off_t starts[] = {0, 1, 512, PAGE, PAGE + 99, PAGE + 100, PAGE + 101, 2 * PAGE};
    char *in = page_alloc(4 * PAGE);

    for (size_t index = 0; index < COUNT(starts); index++) {
        off_t start = starts[index];
        int64_t expected = start < (off_t)size ? (int64_t)size - start : 0;
        struct iovec iov[2] = {{in, PAGE / 2}, {in + PAGE / 2, 3 * PAGE}};
        struct aio_op operations[] = {
            op_read(file, in, 4 * PAGE, start),
            op_read(file, in + 1, 3 * PAGE + 5, start),
            op_vectors(AIO_OP_READV, file, iov, 2, start),
        };

        for (size_t form = 0; form < COUNT(operations); form++) {
            memset(in, 0x77, 4 * PAGE);
            EXPECT(aio_file_execute(file, &operations[form]), expected);
            pattern_check(in + (form == 1), (uint64_t)expected, (uint64_t)start, 1);
            memset(in, 0x77, 4 * PAGE);
            REQUIRE_EQ(run_op(aio_file_queue(file), &operations[form]).result, expected);
            pattern_check(in + (form == 1), (uint64_t)expected, (uint64_t)start, 1);
        }
        EXPECT(aio_file_pread(file, in, 4 * PAGE, start), expected);
        EXPECT(aio_file_seek(file, start, SEEK_SET), start);
        EXPECT(aio_file_read(file, in, 4 * PAGE), expected);
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), start + expected);
        EXPECT(aio_file_readv(file, iov, 2), 0);
    }
    free(in);
}

START_TEST(reads_stop_where_the_program_ends)
{
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_file *files[3];

    make_file("file", 0, 1);
    files[1] = open_road("file", O_RDONLY, AIO_DIRECT_REQUIRED); /* before it and after */
    files[0] = open_growing("file", O_RDWR, roads[_i], MIB);
    files[2] = open_road("file", O_RDWR, AIO_DIRECT_NEVER);
    EXPECT(aio_file_pwrite(files[0], bytes, PAGE, 0), PAGE);
    EXPECT(aio_file_pwrite(files[0], bytes + PAGE, 100, PAGE), 100);
    for (unsigned index = 0; index < 3; index++) {
        expect_ahead(files[index], PAGE + 100);
        expect_reads(files[index], PAGE + 100);
    }
    EXPECT(aio_file_sync(files[0]), 0);
    for (unsigned index = 0; index < 3; index++)
        expect_reads(files[index], PAGE + 100);
    close_file(files[0]);
    REQUIRE_EQ(disk_size("file"), PAGE + 100);
    expect_reads(files[1], PAGE + 100);
    expect_reads(files[2], PAGE + 100);
    close_file(files[1]);
    close_file(files[2]);
    free(bytes);
}
END_TEST

START_TEST(seeks_see_the_end_of_the_program)
{
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_file *file;

    make_file("file", 0, 1);
    file = open_growing("file", O_RDWR, roads[_i], MIB);
    EXPECT(aio_file_pwrite(file, bytes, PAGE, 0), PAGE);
    EXPECT(aio_file_pwrite(file, bytes, 100, 64 * KIB), 100);
    expect_ahead(file, 64 * KIB + 100);
    EXPECT(aio_file_seek(file, 0, SEEK_END), 64 * KIB + 100);
    EXPECT(aio_file_seek(file, -100, SEEK_END), 64 * KIB);
    EXPECT(aio_file_seek(file, 5, SEEK_END), 64 * KIB + 105);
    EXPECT(aio_file_seek(file, 64 * KIB, SEEK_HOLE), 64 * KIB + 100);
    EXPECT(aio_file_seek(file, 64 * KIB + 99, SEEK_HOLE), 64 * KIB + 100);
    EXPECT(aio_file_seek(file, 64 * KIB + 99, SEEK_DATA), 64 * KIB + 99);
    EXPECT(aio_file_seek(file, 64 * KIB + 100, SEEK_HOLE), -ENXIO);
    EXPECT(aio_file_seek(file, 64 * KIB + 100, SEEK_DATA), -ENXIO);
    EXPECT(aio_file_seek(file, MIB / 2, SEEK_DATA), -ENXIO);
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 64 * KIB + 99);
    EXPECT(aio_file_truncate(file, 128 * KIB), 0);
    EXPECT(aio_file_seek(file, 100 * KIB, SEEK_DATA), -ENXIO);
    EXPECT(aio_file_seek(file, 100 * KIB, SEEK_HOLE), 100 * KIB);
    close_file(file);
    free(bytes);
}
END_TEST

START_TEST(truncates_and_allocations_move_both_ends)
{
    char *bytes = pattern_alloc(8 * PAGE, 0, 1);
    struct aio_file *file;

    make_file("file", 0, 1);
    file = open_growing("file", O_RDWR, roads[_i], MIB);
    EXPECT(aio_file_pwrite(file, bytes, 4 * PAGE, 0), 4 * PAGE);
    EXPECT(aio_file_truncate(file, PAGE + 7), 0);
    EXPECT(aio_file_size(file), PAGE + 7);
    REQUIRE_EQ(disk_size("file"), PAGE + 7);
    EXPECT(aio_file_truncate(file, 2 * PAGE), 0);
    EXPECT(aio_file_size(file), 2 * PAGE);
    EXPECT(aio_file_pwrite(file, bytes, PAGE, 2 * PAGE), PAGE);
    expect_ahead(file, 3 * PAGE);
    EXPECT(aio_file_allocate(file, FALLOC_FL_KEEP_SIZE, 0, 10 * PAGE), 0);
    EXPECT(aio_file_size(file), 3 * PAGE);
    EXPECT(aio_file_allocate(file, 0, 0, PAGE), 0);
    EXPECT(aio_file_size(file), 3 * PAGE);
    EXPECT(aio_file_allocate(file, 0, 0, 5 * PAGE + 1), 0);
    EXPECT(aio_file_size(file), 5 * PAGE + 1);
    EXPECT(aio_file_pwrite(file, bytes, PAGE, 5 * PAGE), PAGE);
    expect_ahead(file, 6 * PAGE);
    EXPECT(aio_file_allocate(file, AIO_ALLOCATE_WRITE_ZEROS, 6 * PAGE - 10, 20), 0);
    EXPECT(aio_file_size(file), 6 * PAGE + 10);
    if (CALL(aio_file_allocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE)) == 0)
        EXPECT(aio_file_size(file), 5 * PAGE + 10);
    EXPECT(aio_file_truncate(file, 0), 0);
    EXPECT(aio_file_size(file), 0);
    EXPECT(aio_file_append(file, bytes, 333, NULL), 333);
    expect_ahead(file, 333);
    close_file(file);
    REQUIRE_EQ(disk_size("file"), 333);
    disk_check_pattern("file", 0, 333, 1);
    free(bytes);
}
END_TEST

START_TEST(the_last_that_extends_ahead_cuts)
{
    char *bytes = pattern_alloc(8 * PAGE, 0, 1);
    struct aio_file *growing[2];
    struct aio_file *other;

    make_file("file", 0, 1);
    other = open_road("file", O_RDWR, AIO_DIRECT_REQUIRED);
    growing[0] = open_growing("file", O_RDWR, roads[_i], MIB);
    growing[1] = open_growing("file", O_RDWR, AIO_DIRECT_REQUIRED, 2 * MIB);
    EXPECT(aio_file_pwrite(growing[0], bytes, PAGE, 0), PAGE);
    expect_ahead(growing[1], PAGE);
    /* Whoever writes moves the end on. */
    EXPECT(aio_file_pwrite(other, bytes + PAGE, PAGE, PAGE), PAGE);
    EXPECT(aio_file_append(other, bytes + 2 * PAGE, 50, NULL), 50);
    expect_ahead(growing[0], 2 * PAGE + 50);
    expect_ahead(growing[1], 2 * PAGE + 50);
    EXPECT(aio_file_append(growing[1], bytes + 2 * PAGE + 50, PAGE, NULL), PAGE);
    close_file(growing[0]);
    expect_ahead(growing[1], 3 * PAGE + 50);
    expect_ahead(other, 3 * PAGE + 50);
    /* Beyond what was made ahead, by one that makes nothing. */
    EXPECT(aio_file_pwrite(other, bytes, PAGE, 4 * MIB), PAGE);
    EXPECT(aio_file_size(growing[1]), 4 * MIB + PAGE);
    close_file(growing[1]);
    REQUIRE_EQ(disk_size("file"), 4 * MIB + PAGE);
    EXPECT(aio_file_size(other), 4 * MIB + PAGE);
    EXPECT(aio_file_truncate(other, 3 * PAGE + 50), 0);
    EXPECT(aio_file_append(other, bytes + 3 * PAGE + 50, 50, NULL), 50);
    REQUIRE_EQ(disk_size("file"), 3 * PAGE + 100);
    close_file(other);
    disk_check_pattern("file", 0, 3 * PAGE + 100, 1);
    free(bytes);
}
END_TEST

/* One that truncates as it opens, beside one that has made room. */
START_TEST(an_open_that_truncates_is_seen)
{
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_file *files[2];

    make_file("file", 0, 1);
    files[0] = open_growing("file", O_RDWR, roads[_i], MIB);
    EXPECT(aio_file_pwrite(files[0], bytes, PAGE, 0), PAGE);
    files[1] = open_road("file", O_RDWR | O_TRUNC, AIO_DIRECT_REQUIRED);
    EXPECT(aio_file_size(files[0]), 0);
    EXPECT(aio_file_append(files[1], bytes, 10, NULL), 10);
    EXPECT(aio_file_append(files[0], bytes + 10, 10, NULL), 10);
    expect_ahead(files[0], 20);
    close_file(files[1]);
    close_file(files[0]);
    REQUIRE_EQ(disk_size("file"), 20);
    disk_check_pattern("file", 0, 20, 1);
    free(bytes);
}
END_TEST

/* Appends side by side: each has a place of its own, and together they leave no gap. */
enum { APPENDS = 400, APPEND_DEPTH = 32 };

static int compare_offsets(const void *left, const void *right)
{
    const struct aio_completion *a = left;
    const struct aio_completion *b = right;

    return (a->offset > b->offset) - (a->offset < b->offset);
}

static void append_deep(struct aio_file *file, bool whole_pages)
{
    static struct aio_completion completions[APPENDS];
    struct aio_queue *queue = open_queue(APPEND_DEPTH, 0);
    char *source = page_alloc(APPENDS * 4 * PAGE);
    uint64_t state = whole_pages;
    unsigned taken = 0;
    uint64_t end = 0;

    for (uint64_t index = 0; index < APPENDS; index++) {
        uint64_t length = whole_pages ? (1 + random_next(&state) % 4) * PAGE
                                      : 1 + random_next(&state) % (4 * PAGE);
        struct aio_op op = op_append(file, source + index * 4 * PAGE, length);

        pattern_fill(source + index * 4 * PAGE, length, 0, index);
        op.context = (void *)(uintptr_t)index;
        if (index >= APPEND_DEPTH)
            taken += (unsigned)CALL(
                aio_queue_reap(queue, completions + taken, 1, APPENDS - taken, NULL));
        submit_one(queue, &op);
    }
    while (taken < APPENDS)
        taken +=
            (unsigned)CALL(aio_queue_reap(queue, completions + taken, 1, APPENDS - taken, NULL));
    qsort(completions, APPENDS, sizeof(completions[0]), compare_offsets);
    for (unsigned index = 0; index < APPENDS; index++) {
        REQUIRE(completions[index].result > 0);
        REQUIRE_EQ(completions[index].offset, end);
        end += (uint64_t)completions[index].result;
    }
    EXPECT(aio_file_size(file), end);
    close_queue(queue);
    for (unsigned index = 0; index < APPENDS; index++) {
        EXPECT(aio_file_pread(file, source, (size_t)completions[index].result,
                              completions[index].offset),
               completions[index].result);
        pattern_check(source, (uint64_t)completions[index].result, 0,
                      (uintptr_t)completions[index].context);
    }
    free(source);
}

START_TEST(appends_side_by_side_leave_no_gap)
{
    struct aio_file *file;
    uint64_t size;

    make_file("file", 0, 1);
    file = open_growing("file", O_RDWR, roads[_i / 2], 16 * PAGE);
    append_deep(file, _i % 2 == 0);
    size = (uint64_t)CALL(aio_file_size(file));
    close_file(file);
    REQUIRE_EQ(disk_size("file"), size);
}
END_TEST

START_TEST(some_handles_cannot_extend_ahead)
{
    static const struct {
        int flags;
        bool adopted;
    } lines[] = {
        {O_RDWR | O_APPEND, false}, {O_WRONLY | O_APPEND, false},
        {O_RDONLY, false},          {O_RDWR | O_APPEND, true},
        {O_RDONLY, true},
    };

    for (size_t line = 0; line < COUNT(lines) * ROADS; line++) {
        struct aio_file_options options = file_options();
        struct log_kept log = LOG_KEPT_INIT;
        struct aio_file *file;
        int flags = lines[line / ROADS].flags;

        options.direct = roads[line % ROADS];
        options.grow_ahead = MIB;
        options.log = log_keep;
        options.log_context = &log;
        make_file("file", 100, 1);
        if (lines[line / ROADS].adopted) {
            int fd = plain_open("file", flags);
            int before = fcntl(fd, F_GETFL);

            EXPECT(aio_file_adopt(fd, &options, &file), -EINVAL);
            REQUIRE_EQ(fcntl(fd, F_GETFL), before);
            close(fd);
        } else {
            EXPECT(aio_file_open(scratch_path("file"), flags, 0, &options, &file), -EINVAL);
            EXPECT(aio_file_open(scratch_path("new"), flags | O_CREAT, 0600, &options, &file),
                   -EINVAL);
            REQUIRE(access(scratch_path("new"), F_OK) != 0);
        }
        REQUIRE(file == NULL && log_has(&log, "grow_ahead"));
        REQUIRE_EQ(disk_size("file"), 100);
    }
}
END_TEST

/* Where as much cannot be had, it is less: the write is what counts, and no signal comes. */
START_TEST(a_limit_is_not_exceeded_ahead)
{
    char *bytes = pattern_alloc(8 * PAGE, 0, 1);
    struct aio_file *file;

    make_file("file", 0, 1);
    limit_size(6 * PAGE);
    signal(SIGXFSZ, SIG_DFL);
    file = open_growing("file", O_RDWR, roads[_i], 4 * PAGE);
    EXPECT(aio_file_pwrite(file, bytes, PAGE, 0), PAGE);
    REQUIRE_EQ(disk_size("file"), 5 * PAGE);
    EXPECT(aio_file_pwrite(file, bytes + PAGE, 4 * PAGE, PAGE), 4 * PAGE);
    EXPECT(aio_file_append(file, bytes + 5 * PAGE, 100, NULL), 100);
    REQUIRE_EQ(disk_size("file"), 6 * PAGE);
    EXPECT(aio_file_append(file, bytes + 5 * PAGE + 100, PAGE - 100, NULL), PAGE - 100);
    EXPECT(aio_file_size(file), 6 * PAGE);
    signal(SIGXFSZ, SIG_IGN);
    EXPECT(aio_file_append(file, bytes, PAGE, NULL), -EFBIG);
    EXPECT(aio_file_size(file), 6 * PAGE);
    close_file(file);
    REQUIRE_EQ(disk_size("file"), 6 * PAGE);
    disk_check_pattern("file", 0, 6 * PAGE, 1);
    free(bytes);
}
END_TEST

/* More ahead than any file can have: it is as if none were asked for. */
START_TEST(too_much_ahead_is_none)
{
    char *bytes = pattern_alloc(8 * PAGE, 0, 1);
    struct aio_file *file;

    make_file("file", 0, 1);
    file = open_growing("file", O_RDWR, roads[_i], INT64_MAX);
    for (unsigned page = 0; page < 8; page++) {
        struct aio_op op = op_append(file, bytes + page * PAGE, PAGE);

        if (page % 2 == 0)
            EXPECT(aio_file_pwrite(file, bytes + page * PAGE, PAGE, page * (off_t)PAGE), PAGE);
        else
            REQUIRE_EQ(run_op(aio_file_queue(file), &op).result, PAGE);
        EXPECT(aio_file_size(file), (page + 1) * PAGE);
    }
    close_file(file);
    REQUIRE_EQ(disk_size("file"), 8 * PAGE);
    disk_check_pattern("file", 0, 8 * PAGE, 1);
    free(bytes);
}
END_TEST

static int write_and_die(void *argument)
{
    struct aio_file *file = open_growing("file", O_RDWR, AIO_DIRECT_REQUIRED, MIB);

    EXPECT(aio_file_pwrite(file, argument, PAGE, 0), PAGE);
    return 0;
}

START_TEST(who_dies_leaves_zeros)
{
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_file *file;

    make_file("file", 0, 1);
    REQUIRE_EQ(in_child(write_and_die, bytes), 0);
    REQUIRE_EQ(disk_size("file"), PAGE + MIB);
    disk_check_pattern("file", 0, PAGE, 1);
    disk_check_zeros("file", PAGE, MIB);
    file = open_growing("file", O_RDWR, AIO_DIRECT_REQUIRED, MIB);
    EXPECT(aio_file_size(file), PAGE + MIB);
    close_file(file);
    free(bytes);
}
END_TEST

static int read_and_close_copy(void *argument)
{
    char bytes[100];

    EXPECT(aio_file_size(argument), PAGE + 100);
    EXPECT(aio_file_pread(argument, bytes, 100, PAGE + 50), 50);
    EXPECT(aio_file_pread(argument, bytes, 100, PAGE + 100), 0);
    EXPECT(aio_file_close(argument), 0);
    return 0;
}

START_TEST(a_child_that_closes_its_copy_cuts_nothing)
{
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_file *file;

    make_file("file", 0, 1);
    file = open_growing("file", O_RDWR, roads[_i], MIB);
    EXPECT(aio_file_pwrite(file, bytes, PAGE, 0), PAGE);
    EXPECT(aio_file_append(file, bytes + PAGE, 100, NULL), 100);
    REQUIRE_EQ(in_child(read_and_close_copy, file), 0);
    expect_ahead(file, PAGE + 100);
    EXPECT(aio_file_append(file, bytes + PAGE + 100, 100, NULL), 100);
    close_file(file);
    REQUIRE_EQ(disk_size("file"), PAGE + 200);
    disk_check_pattern("file", 0, PAGE + 200, 1);
    free(bytes);
}
END_TEST

/* What is submitted before a truncate comes before it, also where it first has to make room. */
START_TEST(a_write_that_makes_room_comes_before_a_later_truncate)
{
    struct aio_queue *queue = open_queue(8, 0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_file *file;

    make_file("file", 0, 1);
    for (unsigned round = 0; round < 50; round++) {
        struct aio_op operations[2];
        aio_request_id ids[2];

        file = open_growing("file", O_RDWR, roads[_i], 4 * PAGE);
        operations[0] =
            round % 2 == 0 ? op_write(file, bytes, PAGE, 0) : op_append(file, bytes, 100 + round);
        operations[1] = op_truncate(file, 10);
        EXPECT(aio_queue_submit(queue, operations, 2, ids), 2);
        REQUIRE_EQ(completion_of(queue, ids[0]).result, operations[0].len);
        REQUIRE_EQ(completion_of(queue, ids[1]).result, 0);
        EXPECT(aio_file_size(file), 10);
        EXPECT(aio_file_truncate(file, 0), 0);
        close_file(file);
    }
    close_queue(queue);
    free(bytes);
}
END_TEST

/* Readers and writers at once: nobody ever reads what was only made ahead. */
struct crowd {
    struct aio_file *file;
    atomic_bool stop;
    atomic_uint_fast64_t reached; /* appended and told of */
};

static void *read_along(void *argument)
{
    struct crowd *crowd = argument;
    char *in = page_alloc(64 * KIB);
    uint64_t state = (uintptr_t)&state;

    while (!crowd->stop) {
        uint64_t reached = crowd->reached;
        off_t offset = (off_t)(random_next(&state) % (reached + 1));
        int64_t count = CALL(aio_file_pread(crowd->file, in, 64 * KIB, offset));

        REQUIRE(count >= 0);
        REQUIRE(count == 64 * KIB || offset + count >= (off_t)reached);
        for (int64_t index = 0; index < count; index++)
            REQUIRE_EQ(in[index], 0x55);
    }
    free(in);
    return NULL;
}

START_TEST(nobody_reads_what_was_only_made_ahead)
{
    struct crowd crowd = {.file = NULL};
    char *bytes = page_alloc(4 * PAGE);
    pthread_t readers[2];
    uint64_t state = 1;

    make_file("file", 0, 1);
    crowd.file = open_growing("file", O_RDWR, roads[_i], 8 * PAGE);
    memset(bytes, 0x55, 4 * PAGE);
    for (unsigned index = 0; index < 2; index++)
        thread_begin(&readers[index], read_along, &crowd);
    for (unsigned round = 0; round < 500; round++) {
        uint64_t length = round % 3 != 0 ? PAGE : 1 + random_next(&state) % (4 * PAGE);

        EXPECT(aio_file_append(crowd.file, bytes, length, NULL), length);
        crowd.reached += length;
    }
    crowd.stop = true;
    for (unsigned index = 0; index < 2; index++)
        thread_end(readers[index]);
    close_file(crowd.file);
    REQUIRE_EQ(disk_size("file"), crowd.reached);
    free(bytes);
}
END_TEST

/* --- O_APPEND ------------------------------------------------------------------------------- */

enum append_form {
    FORM_WRITE,
    FORM_WRITEV,
    FORM_PWRITE,
    FORM_PWRITEV,
    FORM_APPEND,
    FORM_APPENDV,
    FORM_EXECUTE,
    FORM_SUBMIT_WRITE,
    FORM_SUBMIT_WRITEV,
    FORM_SUBMIT_APPEND,
    FORM_SUBMIT_APPENDV,
    APPEND_FORMS,
};

static bool form_moves_cursor(enum append_form form)
{
    return form == FORM_WRITE || form == FORM_WRITEV;
}

/* Writes in some form; *where receives the offset if that form tells one. */
static int64_t write_form(enum append_form form, struct aio_file *file, char *bytes,
                          uint64_t length, off_t *where)
{
    struct iovec iov[3] = {
        {bytes, length / 3}, {NULL, 0}, {bytes + length / 3, length - length / 3}};
    struct aio_op op = op_write(file, bytes, length, 7);
    struct aio_completion completion;

    switch (form) {
    case FORM_WRITE:
        return CALL(aio_file_write(file, bytes, length));
    case FORM_WRITEV:
        return CALL(aio_file_writev(file, iov, 3));
    case FORM_PWRITE:
        return CALL(aio_file_pwrite(file, bytes, length, 7));
    case FORM_PWRITEV:
        return CALL(aio_file_pwritev(file, iov, 3, 7));
    case FORM_APPEND:
        return CALL(aio_file_append(file, bytes, length, where));
    case FORM_APPENDV:
        return CALL(aio_file_appendv(file, iov, 3, where));
    case FORM_EXECUTE:
        return CALL(aio_file_execute(file, &op));
    case FORM_SUBMIT_WRITEV:
        op = op_vectors(AIO_OP_WRITEV, file, iov, 3, 7);
        break;
    case FORM_SUBMIT_APPEND:
        op = op_append(file, bytes, length);
        break;
    case FORM_SUBMIT_APPENDV:
        op = op_vectors(AIO_OP_APPENDV, file, iov, 3, 0);
        break;
    default:
        break;
    }
    completion = run_op(aio_file_queue(file), &op);
    *where = completion.offset;
    return completion.result;
}

START_TEST(every_form_goes_to_the_end)
{
    static const uint64_t lengths[] = {1, 100, PAGE, PAGE + 1, 300 * KIB, 0};
    char *bytes = pattern_alloc(4 * MIB, 0, 1);
    struct aio_file *file;
    uint64_t end = 100;

    make_file("file", 100, 1);
    file = open_road("file", O_RDWR | O_APPEND, roads[_i]);
    REQUIRE_EQ(fcntl(aio_file_fd(file), F_GETFL) & O_APPEND, 0);
    for (unsigned round = 0; round < COUNT(lengths) * APPEND_FORMS; round++) {
        enum append_form form = (enum append_form)(round % APPEND_FORMS);
        uint64_t length = lengths[round / APPEND_FORMS];
        off_t where = -5;

        EXPECT(aio_file_seek(file, 13, SEEK_SET), 13);
        REQUIRE_EQ(write_form(form, file, bytes + end, length, &where), length);
        if (where != -5 && length > 0)
            REQUIRE_EQ(where, end);
        end += length;
        EXPECT(aio_file_seek(file, 0, SEEK_CUR),
               form_moves_cursor(form) && length > 0 ? (off_t)end : 13);
        EXPECT(aio_file_size(file), end);
        REQUIRE(end < 4 * MIB);
    }
    EXPECT(aio_file_pread(file, bytes, end + 10, 0), end);
    pattern_check(bytes, end, 0, 1);
    close_file(file);
    REQUIRE_EQ(disk_size("file"), end);
    disk_check_pattern("file", 0, end, 1);
    free(bytes);
}
END_TEST

START_TEST(the_end_is_where_others_have_put_it)
{
    char *bytes = pattern_alloc(8 * PAGE, 0, 1);
    struct aio_file *files[3];
    off_t where = -1;
    int fd;

    make_file("file", 0, 1);
    for (unsigned index = 0; index < 2; index++)
        files[index] = open_road("file", O_RDWR | O_APPEND, roads[index]);
    files[2] = open_road("file", O_WRONLY, AIO_DIRECT_REQUIRED);
    fd = plain_open("file", O_WRONLY | O_APPEND);
    REQUIRE_EQ(write(fd, bytes, 10), 10);
    EXPECT(aio_file_append(files[0], bytes + 10, 10, &where), 10);
    REQUIRE_EQ(where, 10);
    EXPECT(aio_file_append(files[1], bytes + 20, 10, &where), 10);
    REQUIRE_EQ(where, 20);
    EXPECT(aio_file_append(files[2], bytes + 30, 10, &where), 10);
    REQUIRE_EQ(where, 30);
    REQUIRE_EQ(write(fd, bytes + 40, 10), 10);
    EXPECT(aio_file_write(files[0], bytes + 50, 10), 10);
    EXPECT(aio_file_seek(files[0], 0, SEEK_CUR), 60);
    EXPECT(aio_file_truncate(files[1], 5), 0);
    EXPECT(aio_file_append(files[0], bytes + 5, PAGE - 5, &where), PAGE - 5);
    REQUIRE_EQ(where, 5);
    EXPECT(aio_file_pwrite(files[2], bytes + PAGE, PAGE, PAGE), PAGE);
    EXPECT(aio_file_append(files[1], bytes + 2 * PAGE, PAGE, &where), PAGE);
    REQUIRE_EQ(where, 2 * PAGE);
    EXPECT(aio_file_allocate(files[0], 0, 0, 4 * PAGE), 0);
    EXPECT(aio_file_append(files[1], bytes + 4 * PAGE, 10, &where), 10);
    REQUIRE_EQ(where, 4 * PAGE);
    for (unsigned index = 0; index < 3; index++)
        close_file(files[index]);
    close(fd);
    REQUIRE_EQ(disk_size("file"), 4 * PAGE + 10);
    disk_check_pattern("file", 0, 3 * PAGE, 1);
    disk_check_zeros("file", 3 * PAGE, PAGE);
    free(bytes);
}
END_TEST

/* --- records from everywhere ---------------------------------------------------------------- */

enum { RECORD = 96, RECORDS = 1500, WRITERS = 5 };

/* A record says who wrote it and which it is. */
static void record_make(uint64_t *record, uint64_t writer, uint64_t number)
{
    for (unsigned word = 0; word < RECORD / 8; word++)
        record[word] = mix(writer << 32 | number) + word;
    record[0] = writer;
    record[1] = number;
}

/* What a writer has written is where he was told. */
static void record_check(struct aio_file *file, const uint64_t *record, off_t where)
{
    uint64_t found[RECORD / 8];

    EXPECT(aio_file_pread(file, found, RECORD, where), RECORD);
    if (memcmp(found, record, RECORD) != 0)
        ck_abort_msg("record %llu of writer %llu is not at %lld", (unsigned long long)record[1],
                     (unsigned long long)record[0], (long long)where);
}

static void append_records(struct aio_file *file, uint64_t writer)
{
    uint64_t record[RECORD / 8];

    for (uint64_t number = 0; number < RECORDS; number++) {
        off_t where = -1;

        record_make(record, writer, number);
        if (number % 4 == 0) {
            EXPECT(aio_file_write(file, record, RECORD), RECORD);
        } else {
            EXPECT(aio_file_append(file, record, RECORD, &where), RECORD);
            record_check(file, record, where);
        }
    }
}

/* All records of so many writers are there, those of each in their order. */
static void expect_records(unsigned writers)
{
    uint64_t *records = malloc((size_t)writers * RECORDS * RECORD);
    uint64_t next[WRITERS] = {0};
    uint64_t expected[RECORD / 8];

    REQUIRE(records != NULL);
    REQUIRE_EQ(disk_size("file"), (uint64_t)writers * RECORDS * RECORD);
    disk_read("file", records, (uint64_t)writers * RECORDS * RECORD, 0);
    for (unsigned index = 0; index < writers * RECORDS; index++) {
        const uint64_t *record = records + (size_t)index * RECORD / 8;

        REQUIRE(record[0] < writers);
        record_make(expected, record[0], next[record[0]]++);
        REQUIRE(memcmp(record, expected, RECORD) == 0);
    }
    free(records);
}

struct record_writer {
    struct aio_file *file;
    uint64_t writer;
    pthread_t thread;
};

static void *append_along(void *argument)
{
    struct record_writer *writer = argument;

    append_records(writer->file, writer->writer);
    return NULL;
}

/* Another program, that knows nothing of this library. */
static int append_plainly(void *argument)
{
    int fd = plain_open("file", O_WRONLY | O_APPEND);
    uint64_t record[RECORD / 8];

    (void)argument;
    for (uint64_t number = 0; number < RECORDS; number++) {
        record_make(record, 0, number);
        REQUIRE_EQ(write(fd, record, RECORD), RECORD);
    }
    return 0;
}

static int append_in_child(void *argument)
{
    struct aio_file *file = open_road("file", O_RDWR | O_APPEND, AIO_DIRECT_REQUIRED);

    (void)argument;
    append_records(file, 1);
    close_file(file);
    return 0;
}

START_TEST(handles_and_processes_append_without_loss)
{
    struct record_writer writers[WRITERS];
    struct other others[2];
    struct aio_file *files[2];

    make_file("file", 0, 1);
    other_begin(&others[0], append_plainly, NULL);
    other_begin(&others[1], append_in_child, NULL);
    for (unsigned index = 0; index < 2; index++)
        files[index] = open_road("file", O_RDWR | O_APPEND, roads[index]);
    for (unsigned index = 2; index < WRITERS; index++) {
        writers[index] = (struct record_writer){.file = files[index % 2], .writer = index};
        thread_begin(&writers[index].thread, append_along, &writers[index]);
    }
    for (unsigned index = 2; index < WRITERS; index++)
        thread_end(writers[index].thread);
    for (unsigned index = 0; index < 2; index++) {
        REQUIRE_EQ(other_result(&others[index]), 0);
        other_end(&others[index]);
        close_file(files[index]);
    }
    expect_records(WRITERS);
}
END_TEST

static int append_with_copy(void *argument)
{
    append_records(argument, 0);
    EXPECT(aio_file_close(argument), 0);
    return 0;
}

/* A child's copy and the parent's handle are one descriptor to the kernel. */
START_TEST(a_child_appends_with_its_copy)
{
    struct aio_file *file;
    struct other other;

    make_file("file", 0, 1);
    file = open_road("file", O_RDWR | O_APPEND, roads[_i]);
    EXPECT(aio_file_append(file, "x", 1, NULL), 1); /* all that is opened is open */
    EXPECT(aio_file_truncate(file, 0), 0);
    other_begin(&other, append_with_copy, file);
    append_records(file, 1);
    REQUIRE_EQ(other_result(&other), 0);
    other_end(&other);
    close_file(file);
    expect_records(2);
}
END_TEST

START_TEST(submitted_ones_append_without_loss)
{
    enum { MANY = 300 };
    static uint64_t records[MANY][RECORD / 8];
    struct aio_queue *queue = open_queue(32, 0);
    struct aio_completion completion;
    struct aio_file *files[2];
    uint64_t seen = 0;

    make_file("file", 0, 1);
    for (unsigned index = 0; index < 2; index++)
        files[index] = open_road("file", O_RDWR | O_APPEND, roads[index]);
    for (unsigned index = 0; index < MANY; index++) {
        struct aio_op op = op_write(files[index % 2], records[index], RECORD, 0);

        record_make(records[index], 0, index);
        op.opcode = index % 3 == 0 ? AIO_OP_APPEND : AIO_OP_WRITE;
        op.context = records[index];
        if (index >= 32) {
            EXPECT(aio_queue_reap(queue, &completion, 1, 1, NULL), 1);
            REQUIRE_EQ(completion.result, RECORD);
            record_check(files[0], completion.context, completion.offset);
            seen++;
        }
        submit_one(queue, &op);
    }
    for (; seen < MANY; seen++) {
        EXPECT(aio_queue_reap(queue, &completion, 1, 1, NULL), 1);
        record_check(files[1], completion.context, completion.offset);
    }
    REQUIRE_EQ(disk_size("file"), MANY * RECORD);
    close_file(files[0]);
    close_file(files[1]);
    close_queue(queue);
}
END_TEST

START_TEST(append_mode_needs_no_name_and_no_reading)
{
    static const int flags[] = {O_WRONLY | O_APPEND, O_RDWR | O_APPEND | O_TMPFILE,
                                O_WRONLY | O_APPEND | O_TMPFILE, O_RDWR | O_APPEND};
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);

    for (size_t line = 0; line < COUNT(flags) * ROADS; line++) {
        int flag = flags[line / ROADS];
        bool unnamed = (flag & O_TMPFILE) == O_TMPFILE;
        struct aio_file *file;
        char path[64];
        int fd;

        make_file("file", 0, 1);
        file = open_road(unnamed ? "." : "file", flag, roads[line % ROADS]);
        if (line / ROADS == 3)
            REQUIRE(unlink(scratch_path("file")) == 0);
        EXPECT(aio_file_write(file, bytes, 100), 100);
        EXPECT(aio_file_pwrite(file, bytes + 100, PAGE, 0), PAGE);
        EXPECT(aio_file_size(file), PAGE + 100);
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), 100);
        EXPECT(aio_file_read(file, bytes, 100), (flag & O_ACCMODE) == O_WRONLY ? -EBADF : 100);
        pattern_fill(bytes, 100, 0, 1);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", aio_file_fd(file));
        fd = open(path, O_RDONLY | O_CLOEXEC);
        REQUIRE_EQ(pread(fd, bytes, 2 * PAGE, 0), PAGE + 100);
        pattern_check(bytes, PAGE + 100, 0, 1);
        close(fd);
        close_file(file);
    }
    free(bytes);
}
END_TEST

/* --- flags of an open ----------------------------------------------------------------------- */

static unsigned descriptors_now(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    REQUIRE(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static struct aio_file_options flag_options(uint32_t flags, struct log_kept *log)
{
    struct aio_file_options options = file_options();

    options.flags = flags;
    options.log = log_keep;
    options.log_context = log;
    return options;
}

START_TEST(the_second_descriptor_is_opened_when_asked_for)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_options options = flag_options(0, &log);
    char bytes[100] = "";
    struct aio_file *file;
    unsigned before = descriptors_now();

    make_file("file", 100, 1);
    for (unsigned now = 0; now < 2; now++) {
        options.flags = now ? AIO_FILE_PAGE_CACHE_NOW : 0;
        file = open_options("file", O_RDWR, &options);
        REQUIRE_EQ(descriptors_now(), before + 1 + now);
        EXPECT(aio_file_pwrite(file, bytes, 100, 1), 100);
        REQUIRE_EQ(descriptors_now(), before + 2);
        EXPECT(aio_file_pwrite(file, bytes, 100, 2), 100);
        REQUIRE_EQ(descriptors_now(), before + 2);
        close_file(file);
        REQUIRE_EQ(descriptors_now(), before);
    }
    /* One that has only one road. */
    options.direct = AIO_DIRECT_NEVER;
    file = open_options("file", O_RDWR, &options);
    REQUIRE_EQ(descriptors_now(), before + 1);
    close_file(file);
    REQUIRE_EQ(log_count(&log), 0);
}
END_TEST

/* How a file that is to be opened a second time was opened the first time. */
enum origin {
    ORIGIN_NAMED,
    ORIGIN_WRITE_ONLY,
    ORIGIN_UNLINKED,
    ORIGIN_TMPFILE,
    ORIGIN_ADOPTED,
    ORIGINS,
};

static struct aio_file *open_origin(enum origin origin, const struct aio_file_options *options)
{
    struct aio_file *file;
    int fd;

    switch (origin) {
    case ORIGIN_WRITE_ONLY:
        return open_options("file", O_WRONLY, options);
    case ORIGIN_TMPFILE:
        return open_options(".", O_RDWR | O_TMPFILE, options);
    case ORIGIN_ADOPTED:
        fd = plain_open("file", O_RDWR);
        REQUIRE(unlink(scratch_path("file")) == 0);
        EXPECT(aio_file_adopt(fd, options, &file), 0);
        return file;
    default:
        file = open_options("file", O_RDWR, options);
        if (origin == ORIGIN_UNLINKED)
            REQUIRE(unlink(scratch_path("file")) == 0);
        return file;
    }
}

/* Opens, becomes nobody, and writes what does not fit. */
struct dropped {
    enum origin origin;
    uint32_t flags;
    bool fails;
};

static int write_as_nobody(void *argument)
{
    const struct dropped *dropped = argument;
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_options options = flag_options(dropped->flags, &log);
    struct aio_file *file = open_origin(dropped->origin, &options);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op op = op_write(file, bytes, 100, 5);
    bool reads = dropped->origin != ORIGIN_WRITE_ONLY;

    REQUIRE(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    EXPECT(aio_file_pwrite(file, bytes, PAGE, 0), PAGE);
    EXPECT(aio_file_pwrite(file, bytes, 100, 5), dropped->fails ? -EINVAL : 100);
    REQUIRE_EQ(log_count(&log), dropped->fails);
    if (dropped->fails)
        REQUIRE(log_has(&log, "AIO_FILE_PAGE_CACHE_NOW") && log_has(&log, "EACCES"));
    EXPECT(aio_file_execute(file, &op), dropped->fails ? -EINVAL : 100);
    if (reads) {
        EXPECT(aio_file_pread(file, bytes, 100, 5), 100);
        pattern_check(bytes, 100, dropped->fails ? 5 : 0, 1);
    }
    EXPECT(aio_file_close(file), 0);
    return 0;
}

START_TEST(who_becomes_nobody_opens_all_before)
{
    if (geteuid() != 0) {
        puts("Not root: nobody to become.");
        return;
    }
    for (unsigned which = 0; which < 2 * ORIGINS; which++) {
        struct dropped dropped = {.origin = (enum origin)(which / 2)};

        make_file("file", 200, 1);
        dropped.flags = which % 2 ? AIO_FILE_PAGE_CACHE_NOW : 0;
        dropped.fails = which % 2 == 0;
        REQUIRE_EQ(in_child(write_as_nobody, &dropped), 0);
    }
}
END_TEST

/* One that cannot be had is an error of the open, and nothing is left of it. */
START_TEST(an_open_that_cannot_have_both_fails)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_options options = flag_options(AIO_FILE_PAGE_CACHE_NOW, &log);
    struct rlimit before;
    struct rlimit one_more;
    struct aio_file *file;
    int fd;

    make_file("file", 100, 1);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    fd = plain_open("file", O_RDWR);
    one_more = (struct rlimit){(rlim_t)fd + 2, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &one_more) == 0);
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &file), -EINVAL);
    REQUIRE(file == NULL && log_has(&log, "EMFILE"));
    EXPECT(aio_file_open(scratch_path("new"), O_RDWR | O_CREAT, 0600, &options, &file), -EINVAL);
    REQUIRE(file == NULL && access(scratch_path("new"), F_OK) != 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    close(fd);
    file = open_options("file", O_RDWR, &options);
    close_file(file);
}
END_TEST

/* Who may be refused the second descriptor keeps the first as it was, and his locks. */
static int adopt_in_vain(void *argument)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_options options = flag_options(AIO_FILE_PAGE_CACHE_NOW, &log);
    int fd = plain_open("file", O_RDWR);
    int before = fcntl(fd, F_GETFL);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct attempt attempt = {.type = F_RDLCK, .posix = true};
    struct aio_file *file;
    struct stat status;

    (void)argument;
    REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
    REQUIRE(setresuid(65534, 65534, 0) == 0);
    EXPECT(aio_file_adopt(fd, &options, &file), -EINVAL);
    REQUIRE(setresuid(0, 0, 0) == 0);
    REQUIRE(file == NULL && log_count(&log) == 1);
    REQUIRE_EQ(fcntl(fd, F_GETFL), before);
    REQUIRE(fstat(fd, &status) == 0 && status.st_size == 100);
    REQUIRE_EQ(in_child(attempt_lock, &attempt), EAGAIN);
    return 0;
}

START_TEST(an_adoption_that_fails_leaves_the_locks)
{
    if (geteuid() != 0) {
        puts("Not root: nobody to become.");
        return;
    }
    make_file("file", 100, 1);
    REQUIRE_EQ(in_child(adopt_in_vain, NULL), 0);
}
END_TEST

/* --- syncs of an open ----------------------------------------------------------------------- */

static ino_t inode_of(const char *name)
{
    struct stat status;

    REQUIRE(stat(scratch_path(name), &status) == 0);
    return status.st_ino;
}

START_TEST(an_open_syncs_what_is_in_the_page_cache)
{
    static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY | O_APPEND};
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_options options = flag_options(0, &log);
    bool told = false;

    for (size_t line = 0; line < COUNT(flags) * ROADS; line++) {
        options.direct = roads[line % ROADS];
        make_file("file", 5000, 1);
        syncs_forget();
        options.flags = 0;
        close_file(open_options("file", flags[line / ROADS], &options));
        REQUIRE_EQ(files_synced, 0);
        told |= is_delayed("file", 0);
        options.flags = AIO_FILE_SYNC_AT_OPEN;
        close_file(open_options("file", flags[line / ROADS], &options));
        REQUIRE_EQ(files_synced, 1);
        REQUIRE_EQ(last_synced, inode_of("file"));
        REQUIRE(!is_delayed("file", 0));
        REQUIRE(unlink(scratch_path("file")) == 0);
    }
    if (!told)
        puts("The file system does not tell what is only in the page cache.");
    REQUIRE_EQ(directories_synced, 0);
}
END_TEST

/* Options that are for an open are for an adoption: it is read from then on, too. */
START_TEST(an_adoption_syncs_what_is_in_the_page_cache)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_options options = flag_options(AIO_FILE_SYNC_AT_OPEN, &log);
    struct aio_file *file;

    make_file("file", 5000, 1);
    EXPECT(aio_file_adopt(plain_open("file", O_RDWR), &options, &file), 0);
    REQUIRE_EQ(files_synced, 1);
    close_file(file);
}
END_TEST

START_TEST(a_new_name_is_synced)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_options options = flag_options(AIO_FILE_SYNC_DIRECTORY, &log);

    REQUIRE(mkdir(scratch_path("one"), 0700) == 0 && mkdir(scratch_path("two"), 0700) == 0);
    close_file(open_options("one/new", O_RDWR | O_CREAT, &options));
    REQUIRE_EQ(directories_synced, 1);
    REQUIRE_EQ(last_synced, inode_of("one"));
    close_file(open_options("one/exclusive", O_WRONLY | O_CREAT | O_EXCL, &options));
    REQUIRE_EQ(directories_synced, 2);
    /* Behind a symbolic link it is the directory that has the file. */
    REQUIRE(symlink("../two/target", scratch_path("one/link")) == 0);
    close_file(open_options("one/link", O_RDWR | O_CREAT, &options));
    REQUIRE_EQ(directories_synced, 3);
    REQUIRE_EQ(last_synced, inode_of("two"));
    /* Nothing new, or nothing with a name. */
    close_file(open_options("one/new", O_RDWR | O_CREAT, &options));
    close_file(open_options("one/new", O_RDWR | O_CREAT | O_TRUNC, &options));
    close_file(open_options("one/new", O_RDONLY, &options));
    close_file(open_options("one", O_RDWR | O_TMPFILE, &options));
    REQUIRE_EQ(directories_synced, 3);
    options.flags = 0;
    close_file(open_options("two/new", O_RDWR | O_CREAT, &options));
    REQUIRE_EQ(directories_synced, 3);
    options.flags = AIO_FILE_SYNC_DIRECTORY | AIO_FILE_SYNC_AT_OPEN | AIO_FILE_PAGE_CACHE_NOW;
    close_file(open_options("two/all", O_RDWR | O_CREAT, &options));
    REQUIRE_EQ(directories_synced, 4);
    REQUIRE_EQ(files_synced, 1);
    REQUIRE_EQ(log_count(&log), 0);
}
END_TEST

/* A relative path, and one in the root of the tree as far as this process sees. */
static int create_below_root(void *argument)
{
    struct aio_file_options options = *(struct aio_file_options *)argument;
    struct aio_file *file;

    REQUIRE(chdir(scratch_path(".")) == 0);
    EXPECT(aio_file_open("new", O_RDWR | O_CREAT, 0600, &options, &file), 0);
    REQUIRE_EQ(directories_synced, 1);
    EXPECT(aio_file_close(file), 0);
    return 0;
}

START_TEST(a_relative_name_is_synced)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_options options = flag_options(AIO_FILE_SYNC_DIRECTORY, &log);

    REQUIRE_EQ(in_child(create_below_root, &options), 0);
}
END_TEST

START_TEST(a_sync_that_fails_fails_the_open)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_options options =
        flag_options(AIO_FILE_SYNC_DIRECTORY | AIO_FILE_SYNC_AT_OPEN, &log);
    struct aio_file *file;

    failing_type = S_IFDIR;
    EXPECT(aio_file_open(scratch_path("new"), O_RDWR | O_CREAT, 0600, &options, &file), -EIO);
    REQUIRE(file == NULL && access(scratch_path("new"), F_OK) != 0);
    REQUIRE(log_count(&log) == 1 && log_has(&log, "EIO"));
    make_file("file", 100, 1);
    failing_type = S_IFREG;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0600, &options, &file), -EIO);
    REQUIRE(file == NULL);
    failing_type = 0;
    disk_check_pattern("file", 0, 100, 1);
    close_file(open_options("file", O_RDWR, &options));
    close_file(open_options("new", O_RDWR | O_CREAT, &options));
}
END_TEST

static Suite *space_suite(void)
{
    Suite *suite = suite_create("space");

    add_loop_test(suite, "modes", modes_do_what_fallocate_does, WAYS * ROADS);
    ADD_TESTS(suite, "allocations", room_is_what_fallocate_makes,
              arguments_are_refused_as_the_table_says, a_failed_sync_refuses_allocations,
              callbacks_submit_what_they_cannot_call);
    add_loop_test(suite, "zeros", zeros_are_written_and_nothing_else, WAYS * ROADS);
    ADD_TESTS(suite, "zeros", zeros_are_in_written_blocks,
              a_handle_that_rejects_has_no_unaligned_zeros, zeros_beyond_a_limit_are_an_error,
              a_full_disk_is_an_error);
    add_loop_test(suite, "order", truncates_and_allocations_come_in_their_order, ROADS);
    add_loop_test(suite, "order", extended_ahead_they_come_in_their_order_too, ROADS);
    add_loop_test(suite, "order", a_write_that_makes_room_comes_before_a_later_truncate, ROADS);
    add_loop_test(suite, "order", a_write_with_dsync_is_on_the_disk, ROADS);
    ADD_TESTS(suite, "order", a_draining_sync_waits_for_what_came_before);
    ADD_TESTS(suite, "flags of operations", flags_belong_to_opcodes,
              fields_that_mean_nothing_are_zero, priorities_are_checked,
              no_form_takes_what_is_not_meant);
    ADD_TESTS(suite, "locks", locks_exclude_each_other, a_lock_changes_its_type,
              others_keep_a_handle_out, locks_need_their_direction,
              a_wait_ends_when_the_lock_is_released, a_signal_ends_a_wait,
              processes_wait_for_each_other, a_close_unlocks_beside_a_child,
              a_child_that_closes_its_copy_unlocks_nothing, one_at_a_time_has_an_exclusive_lock);
    add_loop_test(suite, "ahead", a_file_extended_ahead_ends_where_it_was_written, ROADS);
    add_loop_test(suite, "ahead", reads_stop_where_the_program_ends, ROADS);
    add_loop_test(suite, "ahead", seeks_see_the_end_of_the_program, ROADS);
    add_loop_test(suite, "ahead", truncates_and_allocations_move_both_ends, ROADS);
    add_loop_test(suite, "ahead", the_last_that_extends_ahead_cuts, ROADS);
    add_loop_test(suite, "ahead", an_open_that_truncates_is_seen, ROADS);
    add_loop_test(suite, "ahead", appends_side_by_side_leave_no_gap, 2 * ROADS);
    add_loop_test(suite, "ahead", a_limit_is_not_exceeded_ahead, ROADS);
    add_loop_test(suite, "ahead", too_much_ahead_is_none, ROADS);
    add_loop_test(suite, "ahead", a_child_that_closes_its_copy_cuts_nothing, ROADS);
    add_loop_test(suite, "ahead", nobody_reads_what_was_only_made_ahead, ROADS);
    ADD_TESTS(suite, "ahead", some_handles_cannot_extend_ahead, who_dies_leaves_zeros);
    add_loop_test(suite, "append", every_form_goes_to_the_end, ROADS);
    add_loop_test(suite, "append", a_child_appends_with_its_copy, ROADS);
    ADD_TESTS(suite, "append", the_end_is_where_others_have_put_it,
              handles_and_processes_append_without_loss, submitted_ones_append_without_loss,
              append_mode_needs_no_name_and_no_reading);
    ADD_TESTS(suite, "flags of an open", the_second_descriptor_is_opened_when_asked_for,
              who_becomes_nobody_opens_all_before, an_open_that_cannot_have_both_fails,
              an_adoption_that_fails_leaves_the_locks, an_open_syncs_what_is_in_the_page_cache,
              an_adoption_syncs_what_is_in_the_page_cache, a_new_name_is_synced,
              a_relative_name_is_synced, a_sync_that_fails_fails_the_open);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, space_suite);
}
