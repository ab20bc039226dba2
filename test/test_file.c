/* SPDX-License-Identifier: MIT */
/*
 * test_file.c - the calls of file.h: each does what it says, each documented error comes. What
 * concerns syncs, truncates and closing in company is in test_durability.c.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

static const struct timespec no_time = {0, 0};

/* --- open: options -------------------------------------------------------------------------- */

/* Options of a later version, with a tail that this one does not know. */
struct long_options {
    struct aio_file_options known;
    unsigned char tail[24];
};

struct option_line {
    const char *what;
    struct aio_file_options options; /* size 0: the true one, SIZE_MAX: 0 */
    unsigned char tail;
    bool explained; /* by the log: what depends on the file or on this version */
    int expected;
};

#define LONG sizeof(struct long_options)
#define FIRST_SIZE offsetof(struct aio_file_options, memory_alignment)

static const struct option_line option_table[] = {
    {.what = "direct", .options.direct = 4, .expected = -EINVAL},
    {.what = "unaligned", .options.unaligned = 3, .expected = -EINVAL},
    {.what = "engine", .options.engine = 6, .expected = -EINVAL},
    {.what = "depth", .options.depth = AIO_QUEUE_DEPTH_MAX + 1, .expected = -EINVAL},
    {.what = "reserved", .options.reserved = 1, .expected = -EINVAL},
    {.what = "flags", .options.flags = AIO_FILE_CHECK << 1, .expected = -EINVAL},
    {.what = "all flags", .options.flags = UINT32_MAX, .expected = -EINVAL},
    {.what = "memory alignment 3", .options.memory_alignment = 3, .expected = -EINVAL},
    {.what = "grow ahead", .options.grow_ahead = (uint64_t)INT64_MAX + 1, .expected = -EINVAL},
    {.what = "alignment 3", .options.alignment = 3, .expected = -EINVAL},
    {.what = "alignment 6144", .options.alignment = 6144, .expected = -EINVAL},
    {.what = "alignment too small", .options.alignment = 1, .explained = true, .expected = -EINVAL},
    {.what = "memory alignment too small",
     .options.memory_alignment = 1,
     .explained = true,
     .expected = -EINVAL},
#ifndef AIOFILE_URING
    {.what = "uring",
     .options.engine = AIO_ENGINE_URING,
     .explained = true,
     .expected = -EOPNOTSUPP},
#endif
    {.what = "threads", .options.engine = AIO_ENGINE_THREADS, .expected = 0},
    {.what = "sim", .options.engine = AIO_ENGINE_SIM, .explained = true, .expected = -EOPNOTSUPP},
    {.what = "size 0", .options.size = SIZE_MAX, .expected = -EINVAL},
    {.what = "size 8", .options.size = 8, .expected = -EINVAL},
    {.what = "size of no version", .options.size = FIRST_SIZE - 8, .expected = -EINVAL},
    {.what = "tail", .options.size = LONG, .tail = 1, .expected = -E2BIG},
    {.what = "zero tail", .options.size = LONG, .expected = 0},
    {.what = "size of the first version", .options.size = FIRST_SIZE, .expected = 0},
    {.what = "defaults", .expected = 0},
    {.what = "reject", .options.unaligned = AIO_UNALIGNED_REJECT, .expected = 0},
    {.what = "auto", .options.engine = AIO_ENGINE_AUTO, .expected = 0},
    {.what = "page cache", .options.unaligned = AIO_UNALIGNED_PAGE_CACHE, .expected = 0},
    {.what = "strict", .options.direct = AIO_DIRECT_STRICT, .expected = 0},
    {.what = "grow a byte ahead", .options.grow_ahead = 1, .expected = 0},
    {.what = "sync at open", .options.flags = AIO_FILE_SYNC_AT_OPEN, .expected = 0},
    {.what = "sync the directory", .options.flags = AIO_FILE_SYNC_DIRECTORY, .expected = 0},
    {.what = "page cache now", .options.flags = AIO_FILE_PAGE_CACHE_NOW, .expected = 0},
    {.what = "check", .options.flags = AIO_FILE_CHECK, .expected = 0},
    {.what = "alignment 65536", .options.alignment = 65536, .expected = 0},
    {.what = "memory alignment 65536", .options.memory_alignment = 65536, .expected = 0},
};

static void check_option(const struct option_line *line, bool adopt)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct long_options options = {.known = line->options};
    struct aio_file *file = (struct aio_file *)&options;
    int fd = -1;
    int64_t result;

    if (line->options.size == 0)
        options.known.size = sizeof(options.known);
    else if (line->options.size == SIZE_MAX)
        options.known.size = 0;
    options.known.log = log_keep;
    options.known.log_context = &log;
    options.tail[sizeof(options.tail) - 1] = line->tail;
    if (adopt) {
        fd = open(scratch_path("there"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        result = CALL(aio_file_adopt(fd, &options.known, &file));
    } else {
        result =
            CALL(aio_file_open(scratch_path("new"), O_RDWR | O_CREAT, 0600, &options.known, &file));
    }
    ck_assert_msg(result == line->expected, "%s: %d", line->what, (int)result);
    ck_assert_msg((file != NULL) == (result == 0), "%s: the result pointer", line->what);
    ck_assert_msg(adopt || (access(scratch_path("new"), F_OK) == 0) == (result == 0),
                  "%s: a file was made", line->what);
    if (result == 0) {
        close_file(file);
        unlink(scratch_path("new"));
        return;
    }
    if (adopt)
        close(fd); /* still the caller's */
    ck_assert_msg(!line->explained || (log_count(&log) == 1 && log.level == AIO_LOG_ERROR),
                  "%s: %u log sentences explain it", line->what, log_count(&log));
}

START_TEST(options_are_checked)
{
    for (size_t index = 0; index < COUNT(option_table); index++) {
        check_option(&option_table[index], false);
        check_option(&option_table[index], true);
    }
}
END_TEST

START_TEST(no_options_mean_the_defaults)
{
    struct aio_file_info info = {.size = sizeof(info)};
    struct aio_file *file;

    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, NULL, &file), 0);
    EXPECT(aio_file_info(file, &info), 0);
    REQUIRE_EQ(info.direct_granted, AIO_DIRECT_GRANTED);
    REQUIRE_EQ(info.direct_alignment, info.preferred_alignment);
    close_file(file);
}
END_TEST

/* --- open: paths ---------------------------------------------------------------------------- */

enum path_kind {
    PATH_MISSING,
    PATH_REGULAR,
    PATH_CUT,
    PATH_DIRECTORY,
    PATH_FIFO,
    PATH_SOCKET,
    PATH_LINK,
    PATH_DANGLING,
    PATH_NULL_DEVICE,
    PATH_THROUGH_FILE,
    PATH_LONG,
    PATH_NONE,
};

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    REQUIRE(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    close(fd);
}

static const char *path_of(enum path_kind kind)
{
    static char long_path[PATH_MAX + 10];

    memset(long_path, 'x', sizeof(long_path) - 1);
    switch (kind) {
    case PATH_REGULAR:
        return scratch_path("regular");
    case PATH_CUT:
        return scratch_path("cut");
    case PATH_DIRECTORY:
        return scratch_path("directory");
    case PATH_FIFO:
        return scratch_path("fifo");
    case PATH_SOCKET:
        return scratch_path("socket");
    case PATH_LINK:
        return scratch_path("link");
    case PATH_DANGLING:
        return scratch_path("dangling");
    case PATH_NULL_DEVICE:
        return "/dev/null";
    case PATH_THROUGH_FILE:
        return scratch_path("regular/inside");
    case PATH_LONG:
        return long_path;
    case PATH_NONE:
        return NULL;
    default:
        return scratch_path("missing");
    }
}

static const struct path_line {
    enum path_kind kind;
    int flags;
    bool explained; /* by the log, as file.h says */
    int expected;
} path_table[] = {
    {PATH_MISSING, O_RDONLY, false, -ENOENT},
    {PATH_MISSING, O_RDWR, false, -ENOENT},
    {PATH_MISSING, O_RDWR | O_APPEND, false, -ENOENT},
    {PATH_REGULAR, O_RDWR | O_APPEND, false, 0},
    {PATH_REGULAR, O_RDWR | O_CREAT | O_APPEND, false, 0},
    {PATH_REGULAR, O_RDONLY | O_APPEND, false, 0},
    {PATH_REGULAR, O_RDONLY | O_TRUNC | O_APPEND, false, -EINVAL},
    {PATH_CUT, O_RDWR | O_TRUNC | O_APPEND, false, 0},
    {PATH_DIRECTORY, O_RDWR | O_APPEND, true, -EISDIR},
    {PATH_REGULAR, O_RDONLY | O_TRUNC, false, -EINVAL},
    {PATH_REGULAR, O_PATH, false, -EBADF},
    {PATH_REGULAR, O_RDWR | O_CREAT | O_EXCL, false, -EEXIST},
    {PATH_REGULAR, O_RDONLY | O_DIRECTORY, false, -ENOTDIR},
    {PATH_THROUGH_FILE, O_RDONLY, false, -ENOTDIR},
    {PATH_DIRECTORY, O_RDONLY, true, -EISDIR},
    {PATH_DIRECTORY, O_RDWR, true, -EISDIR},
    {PATH_DIRECTORY, O_WRONLY | O_CREAT, true, -EISDIR},
    {PATH_FIFO, O_RDONLY, true, -ESPIPE},
    {PATH_FIFO, O_WRONLY, true, -ESPIPE},
    {PATH_FIFO, O_RDWR, true, -ESPIPE},
    {PATH_FIFO, O_RDWR | O_CREAT, true, -ESPIPE},
    {PATH_SOCKET, O_RDWR, true, -ESPIPE},
    {PATH_NULL_DEVICE, O_RDWR, true, -ESPIPE},
    {PATH_LINK, O_RDWR | O_NOFOLLOW, false, -ELOOP},
    {PATH_LINK, O_RDWR, false, 0},
    {PATH_LINK, O_RDWR | O_CREAT | O_EXCL, false, -EEXIST},
    {PATH_DANGLING, O_RDWR, false, -ENOENT},
    {PATH_DANGLING, O_RDWR | O_CREAT | O_EXCL, false, -EEXIST},
    {PATH_DANGLING, O_RDWR | O_CREAT, false, 0}, /* makes the file that it points to */
    {PATH_LONG, O_RDWR, false, -ENAMETOOLONG},
    {PATH_NONE, O_RDWR, false, -EINVAL},
};

START_TEST(paths_are_refused_as_the_table_says)
{
    struct aio_file_options options = file_options();

    make_file("regular", 100, 1);
    make_file("cut", 100, 1);
    REQUIRE(mkdir(scratch_path("directory"), 0700) == 0);
    REQUIRE(mkfifo(scratch_path("fifo"), 0600) == 0);
    make_socket(scratch_path("socket"));
    REQUIRE(symlink("regular", scratch_path("link")) == 0);
    REQUIRE(symlink("target", scratch_path("dangling")) == 0);
    for (size_t index = 0; index < COUNT(path_table); index++) {
        const struct path_line *line = &path_table[index];
        struct log_kept log = LOG_KEPT_INIT;
        struct aio_file *file = (struct aio_file *)&log;
        int64_t result;

        options.log = log_keep;
        options.log_context = &log;
        result = CALL(aio_file_open(path_of(line->kind), line->flags, 0600, &options, &file));
        ck_assert_msg(result == line->expected, "line %zu: %d", index, (int)result);
        ck_assert_msg((file != NULL) == (result == 0), "line %zu: the pointer", index);
        ck_assert_msg(!line->explained || log_count(&log) == 1, "line %zu: %u log sentences", index,
                      log_count(&log));
        if (result == 0)
            close_file(file);
    }
    REQUIRE(access(scratch_path("missing"), F_OK) != 0);
    REQUIRE(access(scratch_path("target"), F_OK) == 0);
    disk_check_pattern("regular", 0, 100, 1); /* O_TRUNC has not been at it */
    REQUIRE_EQ(disk_size("cut"), 0);
    EXPECT(aio_file_open(scratch_path("regular"), O_RDWR, 0, &options, NULL), -EINVAL);
}
END_TEST

START_TEST(flags_of_open_are_in_force)
{
    static const struct {
        int flags;
        int kept;
    } table[] = {
        {O_RDONLY, 0},
        {O_WRONLY, 0},
        {O_RDWR, 0},
        {O_RDWR | O_SYNC, O_SYNC},
        {O_RDWR | O_DSYNC, O_DSYNC},
        {O_RDWR | O_NOATIME, O_NOATIME},
        {O_RDWR | O_DIRECT, 0},
        {O_RDWR | O_NONBLOCK, 0},
    };
    struct aio_file_options options = file_options();
    struct aio_file *file;

    make_file("file", 4096, 1);
    for (unsigned direct = 0; direct < 2; direct++)
        for (size_t index = 0; index < COUNT(table); index++) {
            int flags;

            options.direct = direct ? AIO_DIRECT_REQUIRED : AIO_DIRECT_NEVER;
            EXPECT(aio_file_open(scratch_path("file"), table[index].flags, 0, &options, &file), 0);
            flags = fcntl(aio_file_fd(file), F_GETFL);
            REQUIRE_EQ(flags & O_ACCMODE, table[index].flags & O_ACCMODE);
            REQUIRE_EQ(flags & O_DIRECT, direct ? O_DIRECT : 0);
            REQUIRE_EQ(flags & (O_SYNC | O_DSYNC | O_NOATIME | O_NONBLOCK), table[index].kept);
            REQUIRE_EQ(fcntl(aio_file_fd(file), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
            close_file(file);
        }
}
END_TEST

START_TEST(files_are_made_and_cut_as_open_does)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;
    struct stat status;

    umask(022);
    EXPECT(aio_file_open(scratch_path("new"), O_RDWR | O_CREAT | O_EXCL, 0666, &options, &file), 0);
    REQUIRE(stat(scratch_path("new"), &status) == 0 && (status.st_mode & 07777) == 0644);
    close_file(file);
    make_file("old", 5000, 1);
    EXPECT(aio_file_open(scratch_path("old"), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    EXPECT(aio_file_size(file), 5000);
    close_file(file);
    EXPECT(aio_file_open(scratch_path("old"), O_RDWR | O_CREAT | O_TRUNC, 0600, &options, &file),
           0);
    EXPECT(aio_file_size(file), 0);
    close_file(file);
    EXPECT(aio_file_open(scratch_path("."), O_RDWR | O_TMPFILE, 0600, &options, &file), 0);
    EXPECT(aio_file_stat(file, &status), 0);
    REQUIRE_EQ(status.st_nlink, 0);
    close_file(file);
}
END_TEST

START_TEST(a_file_system_without_direct_io_is_told_of)
{
    struct aio_file_options options = file_options();
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_info info = {.size = sizeof(info)};
    struct aio_file *file;
    char bytes[7];

    options.log = log_keep;
    options.log_context = &log;
    EXPECT(aio_file_open("/proc/self/status", O_RDONLY, 0, &options, &file), -EINVAL);
    REQUIRE_EQ(log.level, AIO_LOG_ERROR);
    REQUIRE(log_has(&log, "O_DIRECT") && log_has(&log, "AIO_DIRECT_PREFERRED"));
    log_clear(&log);
    options.direct = AIO_DIRECT_PREFERRED;
    EXPECT(aio_file_open("/proc/self/status", O_RDONLY, 0, &options, &file), 0);
    REQUIRE(log_count(&log) == 1 && log.level == AIO_LOG_WARNING);
    EXPECT(aio_file_info(file, &info), 0);
    REQUIRE_EQ(info.direct_granted, AIO_DIRECT_REFUSED);
    REQUIRE(info.memory_alignment == 1 && info.direct_alignment == 1);
    EXPECT(aio_file_pread(file, bytes, 7, 0), 7);
    REQUIRE(memcmp(bytes, "Name:\t", 6) == 0);
    close_file(file);
    /* Where nothing is refused, preferred is as good as required. */
    log_clear(&log);
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    EXPECT(aio_file_info(file, &info), 0);
    REQUIRE_EQ(info.direct_granted, AIO_DIRECT_GRANTED);
    REQUIRE_EQ(log_count(&log), 0);
    close_file(file);
}
END_TEST

/* An open of a new file in a directory of somebody else's, who may have it refuse things. */
static int64_t open_in(const char *directory, enum aio_direct direct, struct log_kept *log,
                       struct aio_file **file, char *path, size_t path_size)
{
    struct aio_file_options options = file_options();

    snprintf(path, path_size, "%s/aiofile-test-%d", directory, (int)getpid());
    options.direct = direct;
    options.log = log_keep;
    options.log_context = log;
    return CALL(aio_file_open(path, O_RDWR | O_CREAT | O_EXCL, 0600, &options, file));
}

/* Where data is copied all the same, as in a memory file system, one may not want it. */
START_TEST(strict_refuses_what_is_only_called_direct)
{
    static const char *const places[] = {"/dev/shm", "/run", "/tmp"};
    struct aio_file_info info = {.size = sizeof(info)};
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file *file = NULL;
    char path[64];
    bool emulated = false;

    for (size_t index = 0; index < COUNT(places) && !emulated; index++) {
        if (open_in(places[index], AIO_DIRECT_REQUIRED, &log, &file, path, sizeof(path)) != 0)
            continue;
        EXPECT(aio_file_info(file, &info), 0);
        emulated = info.direct_granted == AIO_DIRECT_EMULATED;
        close_file(file);
        unlink(path);
        if (!emulated)
            continue;
        log_clear(&log);
        REQUIRE_EQ(open_in(places[index], AIO_DIRECT_STRICT, &log, &file, path, sizeof(path)),
                   -EINVAL);
        REQUIRE(file == NULL && access(path, F_OK) != 0);
        REQUIRE(log_count(&log) == 1 && log_has(&log, "AIO_DIRECT_STRICT"));
    }
    if (!emulated)
        puts("No file system here takes O_DIRECT without meaning it: strict was not asked.");
}
END_TEST

/* --- adopt ---------------------------------------------------------------------------------- */

START_TEST(adopt_takes_the_descriptor_over)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;
    char *page = page_alloc(PAGE);
    int fd;

    make_file("file", 3 * PAGE, 1);
    fd = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    REQUIRE(lseek(fd, PAGE, SEEK_SET) == PAGE);
    EXPECT(aio_file_adopt(fd, &options, &file), 0);
    EXPECT(aio_file_fd(file), fd);
    REQUIRE_EQ(fcntl(fd, F_GETFL) & O_DIRECT, O_DIRECT);
    EXPECT(aio_file_read(file, page, PAGE), PAGE); /* from where fd stood */
    pattern_check(page, PAGE, PAGE, 1);
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 2 * PAGE);
    close_file(file);
    REQUIRE(fcntl(fd, F_GETFD) < 0);
    fd = open(scratch_path("file"), O_RDWR | O_DIRECT | O_CLOEXEC);
    options.direct = AIO_DIRECT_NEVER;
    EXPECT(aio_file_adopt(fd, &options, &file), 0);
    REQUIRE_EQ(fcntl(fd, F_GETFL) & O_DIRECT, 0);
    close_file(file);
    free(page);
}
END_TEST

START_TEST(adopt_leaves_what_it_refuses)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;
    int pipes[2];
    int descriptors[4];
    int expected[4] = {-EISDIR, -ESPIPE, -EBADF, -EINVAL};

    make_file("file", 100, 1);
    REQUIRE(pipe2(pipes, O_CLOEXEC | O_NONBLOCK) == 0);
    descriptors[0] = open(scratch_path("."), O_RDONLY | O_CLOEXEC);
    descriptors[1] = pipes[0];
    descriptors[2] = open(scratch_path("file"), O_PATH | O_CLOEXEC);
    descriptors[3] = open(scratch_path("file"), O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC);
    for (unsigned index = 0; index < 4; index++) {
        int before = fcntl(descriptors[index], F_GETFL);

        /* Found out last, when the flags have been changed. */
        options.alignment = index == 3 ? 1 : 0;
        EXPECT(aio_file_adopt(descriptors[index], &options, &file), expected[index]);
        REQUIRE(file == NULL);
        REQUIRE_EQ(fcntl(descriptors[index], F_GETFL), before);
        close(descriptors[index]);
    }
    close(pipes[1]);
    options.alignment = 0;
    EXPECT(aio_file_adopt(-1, &options, &file), -EBADF);
    EXPECT(aio_file_adopt(descriptors[0], &options, &file), -EBADF);
    EXPECT(aio_file_adopt(0, &options, NULL), -EINVAL);
}
END_TEST

/* What a descriptor with O_APPEND writes goes to the end, whatever the offset: adopted too. */
START_TEST(adopt_keeps_the_append_mode)
{
    struct aio_file_options options = file_options();
    char *bytes = pattern_alloc(3 * PAGE, 0, 1);
    struct aio_file *file;

    for (unsigned direct = 0; direct < 2; direct++) {
        int fd;

        make_file("file", 100, 1);
        fd = open(scratch_path("file"), O_RDWR | O_APPEND | O_CLOEXEC);
        REQUIRE(lseek(fd, 10, SEEK_SET) == 10);
        options.direct = direct ? AIO_DIRECT_REQUIRED : AIO_DIRECT_NEVER;
        EXPECT(aio_file_adopt(fd, &options, &file), 0);
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), 10);
        EXPECT(aio_file_pwrite(file, bytes + 100, PAGE, 0), PAGE);
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), 10);
        EXPECT(aio_file_write(file, bytes + 100 + PAGE, 333), 333);
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), 100 + PAGE + 333);
        close_file(file);
        REQUIRE_EQ(disk_size("file"), 100 + PAGE + 333);
        disk_check_pattern("file", 0, 100 + PAGE + 333, 1);
    }
    free(bytes);
}
END_TEST

/* --- transfers ------------------------------------------------------------------------------ */

START_TEST(every_form_moves_its_bytes)
{
    struct aio_file *file = open_direct("file");
    char *out = pattern_alloc(8 * PAGE, 0, 1);
    char *in = page_alloc(8 * PAGE);
    struct iovec out_parts[3] = {{out + 3 * PAGE, PAGE}, {NULL, 0}, {out + 4 * PAGE, PAGE}};
    struct iovec in_parts[2] = {{in + 4 * PAGE, PAGE}, {in + 5 * PAGE, 3 * PAGE}};
    off_t where = -1;

    EXPECT(aio_file_write(file, out, PAGE), PAGE);
    EXPECT(aio_file_pwrite(file, out + PAGE, 2 * PAGE, PAGE), 2 * PAGE);
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), PAGE);
    EXPECT(aio_file_seek(file, 3 * PAGE, SEEK_SET), 3 * PAGE);
    EXPECT(aio_file_writev(file, out_parts, 3), 2 * PAGE);
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 5 * PAGE);
    out_parts[0].iov_base = out + 5 * PAGE;
    EXPECT(aio_file_pwritev(file, out_parts, 1, 5 * PAGE), PAGE);
    EXPECT(aio_file_append(file, out + 6 * PAGE, PAGE, &where), PAGE);
    REQUIRE_EQ(where, 6 * PAGE);
    out_parts[0].iov_base = out + 7 * PAGE;
    EXPECT(aio_file_appendv(file, out_parts, 2, &where), PAGE);
    REQUIRE_EQ(where, 7 * PAGE);
    EXPECT(aio_file_append(file, NULL, 0, NULL), 0);
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 5 * PAGE);
    disk_check_pattern("file", 0, 8 * PAGE, 1);
    EXPECT(aio_file_seek(file, 0, SEEK_SET), 0);
    EXPECT(aio_file_read(file, in, 2 * PAGE), 2 * PAGE);
    EXPECT(aio_file_pread(file, in + 2 * PAGE, 2 * PAGE, 2 * PAGE), 2 * PAGE);
    EXPECT(aio_file_seek(file, 4 * PAGE, SEEK_SET), 4 * PAGE);
    EXPECT(aio_file_readv(file, in_parts, 2), 4 * PAGE);
    pattern_check(in, 8 * PAGE, 0, 1);
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 8 * PAGE);
    memset(in, 0, 8 * PAGE);
    EXPECT(aio_file_preadv(file, in_parts, 2, 4 * PAGE), 4 * PAGE);
    pattern_check(in + 4 * PAGE, 4 * PAGE, 4 * PAGE, 1);
    REQUIRE(out_parts[1].iov_base == NULL && in_parts[0].iov_len == PAGE);
    close_file(file);
    free(out);
    free(in);
}
END_TEST

START_TEST(offsets_have_64_bits)
{
    static const int64_t offsets[] = {INT64_C(1) << 31, (INT64_C(1) << 32) + 4096,
                                      (INT64_C(1) << 40) - 4096, INT64_C(1) << 43};
    struct aio_file *file = open_direct("file");
    struct aio_queue *queue = open_queue(4, 0);
    char *out = page_alloc(PAGE);
    char *in = page_alloc(PAGE);

    for (size_t index = 0; index < COUNT(offsets); index++) {
        struct aio_op read = op_read(file, in, PAGE, offsets[index]);
        struct aio_op append = op_append(file, out, PAGE);
        struct aio_completion completion;

        pattern_fill(out, PAGE, (uint64_t)offsets[index], 1);
        EXPECT(aio_file_pwrite(file, out, PAGE, offsets[index]), PAGE);
        EXPECT(aio_file_size(file), offsets[index] + PAGE);
        completion = run_op(queue, &append);
        REQUIRE(completion.result == PAGE && completion.offset == offsets[index] + PAGE);
        completion = run_op(queue, &read);
        REQUIRE(completion.result == PAGE && completion.offset == offsets[index]);
        pattern_check(in, PAGE, (uint64_t)offsets[index], 1);
        disk_check_pattern("file", (uint64_t)offsets[index], PAGE, 1);
        EXPECT(aio_file_truncate(file, offsets[index] + 1), 0);
        EXPECT(aio_file_seek(file, 0, SEEK_END), offsets[index] + 1);
    }
    close_file(file);
    close_queue(queue);
    free(out);
    free(in);
}
END_TEST

START_TEST(a_cached_file_takes_any_length)
{
    static const unsigned lengths[] = {1, 100, 511, 512, 4095, 4097, 10000};
    struct aio_file *file = open_cached("file");
    char *out = pattern_alloc(20000, 0, 1);
    char *in = page_alloc(20000);
    off_t where = 0;
    off_t end = 0;

    for (size_t index = 0; index < COUNT(lengths); index++) {
        pattern_fill(out + 3, lengths[index], (uint64_t)end, 1);
        EXPECT(aio_file_append(file, out + 3, lengths[index], &where), lengths[index]);
        REQUIRE_EQ(where, end);
        end += lengths[index];
    }
    EXPECT(aio_file_size(file), end);
    for (off_t offset = 0; offset < end; offset += 777) {
        ssize_t expected = end - offset < 777 ? end - offset : 777;

        EXPECT(aio_file_pread(file, in + 1, 777, offset), expected);
        pattern_check(in + 1, (uint64_t)expected, (uint64_t)offset, 1);
    }
    close_file(file);
    free(out);
    free(in);
}
END_TEST

START_TEST(a_read_is_short_only_at_the_end)
{
    static const uint32_t manners[] = {AIO_UNALIGNED_REJECT, AIO_UNALIGNED_DEFAULT,
                                       AIO_UNALIGNED_PAGE_CACHE};
    struct aio_file_options options = file_options();
    struct aio_file *file;
    char *in = page_alloc(4 * PAGE);

    make_file("file", 5000, 1);
    for (size_t index = 0; index < COUNT(manners); index++) {
        bool rejects = manners[index] == AIO_UNALIGNED_REJECT;

        options.unaligned = manners[index];
        EXPECT(aio_file_open(scratch_path("file"), O_RDONLY, 0, &options, &file), 0);
        EXPECT(aio_file_pread(file, in, 4 * PAGE, 0), 5000);
        pattern_check(in, 5000, 0, 1);
        EXPECT(aio_file_pread(file, in, 4 * PAGE, PAGE), 5000 - PAGE);
        EXPECT(aio_file_pread(file, in, 4 * PAGE, 2 * PAGE), 0);
        EXPECT(aio_file_pread(file, in, 4 * PAGE, INT64_C(1) << 40), 0);
        EXPECT(aio_file_read(file, in, PAGE), PAGE);
        EXPECT(aio_file_read(file, in, 4 * PAGE), 5000 - PAGE);
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), 5000);
        /* The cursor is between two sectors now, but it is the end all the same. */
        EXPECT(aio_file_read(file, in, 0), 0);
        EXPECT(aio_file_read(file, in, PAGE), 0);
        EXPECT(aio_file_pread(file, in, PAGE, 5000), 0);
        in[0] = 0;
        EXPECT(aio_file_pread(file, in, PAGE, 4999), rejects ? -EINVAL : 1);
        if (!rejects)
            pattern_check(in, 1, 4999, 1);
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), 5000);
        close_file(file);
    }
    free(in);
}
END_TEST

START_TEST(more_than_one_system_call_can_move_is_moved)
{
    enum { VECTORS = 600 };
    struct aio_file_options options = file_options();
    struct iovec iov[VECTORS];
    struct aio_file *file;
    struct aio_op read;
    struct aio_queue *queue = open_queue(1, 0);
    const uint64_t size = (uint64_t)VECTORS * 4 * MIB; /* above 2 GiB: the kernel's limit */
    char *in = page_alloc(4 * MIB);
    int fd = open(scratch_path("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *mark = pattern_alloc(PAGE, size - PAGE, 1);

    REQUIRE(pwrite(fd, mark, PAGE, (off_t)(size - PAGE)) == PAGE);
    close(fd);
    for (unsigned index = 0; index < VECTORS; index++)
        iov[index] = (struct iovec){in, 4 * MIB};
    EXPECT(aio_file_open(scratch_path("file"), O_RDONLY, 0, &options, &file), 0);
    EXPECT(aio_file_preadv(file, iov, VECTORS, 0), size);
    pattern_check(in + 4 * MIB - PAGE, PAGE, size - PAGE, 1);
    memset(in, 0, 4 * MIB);
    read = op_vectors(AIO_OP_READV, file, iov, VECTORS, 0);
    REQUIRE_EQ(run_op(queue, &read).result, size);
    pattern_check(in + 4 * MIB - PAGE, PAGE, size - PAGE, 1);
    close_file(file);
    close_queue(queue);
    free(mark);
    free(in);
}
END_TEST

/* --- bad input ------------------------------------------------------------------------------ */

/* A transfer call reduced to what the table varies. */
enum form {
    FORM_READ,
    FORM_WRITE,
    FORM_PREAD,
    FORM_PWRITE,
    FORM_APPEND,
    FORM_READV,
    FORM_WRITEV,
    FORM_PREADV,
    FORM_PWRITEV,
    FORM_APPENDV,
    FORMS,
};

static bool form_reads(enum form form)
{
    return form == FORM_READ || form == FORM_PREAD || form == FORM_READV || form == FORM_PREADV;
}

static bool form_has_offset(enum form form)
{
    return form == FORM_PREAD || form == FORM_PWRITE || form == FORM_PREADV || form == FORM_PWRITEV;
}

/* Makes the call: with the memory itself, or as the one vector that it is. */
static int64_t call_form(enum form form, struct aio_file *file, char *memory, size_t length,
                         off_t offset)
{
    struct iovec iov = {memory, length};
    off_t where = 4711;
    int64_t result;

    switch (form) {
    case FORM_READ:
        return CALL(aio_file_read(file, memory, length));
    case FORM_WRITE:
        return CALL(aio_file_write(file, memory, length));
    case FORM_PREAD:
        return CALL(aio_file_pread(file, memory, length, offset));
    case FORM_PWRITE:
        return CALL(aio_file_pwrite(file, memory, length, offset));
    case FORM_READV:
        return CALL(aio_file_readv(file, &iov, 1));
    case FORM_WRITEV:
        return CALL(aio_file_writev(file, &iov, 1));
    case FORM_PREADV:
        return CALL(aio_file_preadv(file, &iov, 1, offset));
    case FORM_PWRITEV:
        return CALL(aio_file_pwritev(file, &iov, 1, offset));
    case FORM_APPEND:
        result = CALL(aio_file_append(file, memory, length, &where));
        break;
    default:
        result = CALL(aio_file_appendv(file, &iov, 1, &where));
        break;
    }
    REQUIRE((where == 4711) == (result < 0)); /* untouched on error */
    return result;
}

/* The bytes "number" and what follows, as in a sentence of the log: not those of a longer number.
 */
static bool log_has_number(struct log_kept *log, uint32_t number)
{
    char word[32];

    snprintf(word, sizeof(word), " %u bytes", number);
    return log_has(log, word);
}

static struct aio_file *open_rejecting(const char *name, struct log_kept *log)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.unaligned = AIO_UNALIGNED_REJECT;
    options.log = log_keep;
    options.log_context = log;
    EXPECT(aio_file_open(scratch_path(name), O_RDWR, 0, &options, &file), 0);
    return file;
}

/* What a file needs of offset and length in some form. */
static uint32_t grain_of(const struct aio_file_info *info, enum form form)
{
    return form_reads(form) ? info->read_alignment : info->direct_alignment;
}

START_TEST(every_form_checks_its_memory)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_info info = {.size = sizeof(info)};
    char *page = page_alloc(2 * PAGE);
    struct aio_file *file;

    make_file("file", 2 * PAGE, 1);
    file = open_rejecting("file", &log);
    EXPECT(aio_file_info(file, &info), 0);
    for (enum form form = 0; form < FORMS; form++) {
        REQUIRE_EQ(call_form(form, NULL, page, PAGE, 0), -EINVAL);
        REQUIRE_EQ(call_form(form, file, NULL, PAGE, 0), -EINVAL);
        REQUIRE_EQ(call_form(form, file, NULL, 0, 0), 0);
        REQUIRE_EQ(call_form(form, file, page + 3, 0, 0), 0);
        REQUIRE_EQ(call_form(form, file, page, (size_t)SSIZE_MAX + 1, 0), -EINVAL);
        REQUIRE_EQ(call_form(form, file, page, SIZE_MAX, 0), -EINVAL);
        REQUIRE_EQ(log_count(&log), 0);
        REQUIRE_EQ(call_form(form, file, page, PAGE - 1, 0), -EINVAL);
        REQUIRE(log_count(&log) == 1 && log_has(&log, "length 4095"));
        REQUIRE(log_has_number(&log, grain_of(&info, form)));
        REQUIRE_EQ(call_form(form, file, page + 2, PAGE, 0), -EINVAL);
        REQUIRE(log_count(&log) == 2 && log_has(&log, "memory"));
        REQUIRE(log_has_number(&log, info.memory_alignment));
        log_clear(&log);
    }
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 0);
    disk_check_pattern("file", 0, 2 * PAGE, 1);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    close_file(file);
    free(page);
}
END_TEST

START_TEST(every_form_checks_its_place)
{
    struct log_kept log = LOG_KEPT_INIT;
    struct aio_file_info info = {.size = sizeof(info)};
    char *page = page_alloc(2 * PAGE);
    struct aio_file *file;

    make_file("file", 5000, 1);
    file = open_rejecting("file", &log);
    EXPECT(aio_file_info(file, &info), 0);
    EXPECT(aio_file_seek(file, 100, SEEK_SET), 100);
    for (enum form form = 0; form < FORMS; form++) {
        if (form_has_offset(form)) {
            REQUIRE_EQ(call_form(form, file, page, PAGE, -1), -EINVAL);
            REQUIRE_EQ(call_form(form, file, page, PAGE, -4096), -EINVAL);
            REQUIRE_EQ(call_form(form, file, page, 0, -1), -EINVAL);
            REQUIRE_EQ(call_form(form, file, page, PAGE, INT64_MIN), -EINVAL);
            REQUIRE_EQ(call_form(form, file, page, PAGE, INT64_MAX / PAGE * PAGE), -EINVAL);
            REQUIRE_EQ(call_form(form, file, page, PAGE, INT64_MAX), -EINVAL);
            REQUIRE_EQ(log_count(&log), 0);
        }
        /* The cursor and the end of the file are between two sectors, too. */
        REQUIRE_EQ(call_form(form, file, page, PAGE, 100), -EINVAL);
        REQUIRE(log_count(&log) == 1 && log_has(&log, "offset"));
        REQUIRE(log_has_number(&log, grain_of(&info, form)));
        log_clear(&log);
    }
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 100);
    disk_check_pattern("file", 0, 5000, 1);
    REQUIRE_EQ(disk_size("file"), 5000);
    close_file(file);
    free(page);
}
END_TEST

/* Numbers that fit no alignment are no better on a file that takes any. */
START_TEST(every_form_checks_its_numbers)
{
    static const enum aio_direct roads[] = {AIO_DIRECT_REQUIRED, AIO_DIRECT_NEVER};
    struct aio_file_options options = file_options();
    struct log_kept log = LOG_KEPT_INIT;
    char *page = page_alloc(2 * PAGE);

    options.log = log_keep;
    options.log_context = &log;
    make_file("file", 5000, 1);
    for (size_t road = 0; road < COUNT(roads); road++) {
        struct aio_file *file;

        options.direct = roads[road];
        EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &file), 0);
        for (enum form form = 0; form < FORMS; form++) {
            REQUIRE_EQ(call_form(form, file, NULL, 1, 0), -EINVAL);
            REQUIRE_EQ(call_form(form, file, NULL, 0, 0), 0);
            REQUIRE_EQ(call_form(form, file, page + 1, (size_t)SSIZE_MAX + 1, 0), -EINVAL);
            if (!form_has_offset(form))
                continue;
            REQUIRE_EQ(call_form(form, file, page + 1, 1, -1), -EINVAL);
            REQUIRE_EQ(call_form(form, file, page + 1, 0, -1), -EINVAL);
            REQUIRE_EQ(call_form(form, file, page + 1, 1, INT64_MAX), -EINVAL);
            REQUIRE_EQ(call_form(form, file, page + 1, 2, INT64_MAX - 1), -EINVAL);
            REQUIRE_EQ(call_form(form, file, page + 1, 0, INT64_MAX), 0);
            if (form_reads(form))
                REQUIRE_EQ(call_form(form, file, page + 1, 1, INT64_MAX - 1), 0);
            else
                REQUIRE_EQ(call_form(form, file, page + 1, 1, INT64_MAX - 1), -EFBIG);
        }
        EXPECT(aio_file_seek(file, 0, SEEK_CUR), 0);
        close_file(file);
    }
    REQUIRE_EQ(log_count(&log), 0);
    disk_check_pattern("file", 0, 5000, 1);
    REQUIRE_EQ(disk_size("file"), 5000);
    free(page);
}
END_TEST

/* --- any offset, any length, any memory ----------------------------------------------------- */

/* A file and the array of bytes that it is to be like. */
struct twin {
    struct aio_file *file;
    char bytes[16 * PAGE];
    off_t size;
    off_t cursor;
};

static void twin_check(const struct twin *twin)
{
    char *found = page_alloc(sizeof(twin->bytes));

    REQUIRE_EQ(disk_size("file"), twin->size);
    disk_read("file", found, (uint64_t)twin->size, 0);
    REQUIRE(memcmp(found, twin->bytes, (size_t)twin->size) == 0);
    free(found);
}

static off_t place_of(const struct twin *twin, enum form form, off_t offset)
{
    if (form == FORM_APPEND || form == FORM_APPENDV)
        return twin->size;
    return form_has_offset(form) ? offset : twin->cursor;
}

/* One call, its result, its bytes: what was asked for, and not one beside. */
static void twin_call(struct twin *twin, enum form form, char *memory, size_t length, off_t offset,
                      uint64_t seed)
{
    off_t place = place_of(twin, form, offset);
    off_t expected = (off_t)length;

    REQUIRE((size_t)place + length <= sizeof(twin->bytes));
    memset(memory - 1, 0x5a, length + 2);
    if (form_reads(form)) {
        if (place + expected > twin->size)
            expected = place < twin->size ? twin->size - place : 0;
    } else {
        pattern_fill(memory, length, 0, seed);
        memcpy(twin->bytes + place, memory, length);
        if (place + expected > twin->size && length > 0)
            twin->size = place + expected;
    }
    REQUIRE_EQ(call_form(form, twin->file, memory, length, offset), expected);
    if (form_reads(form))
        REQUIRE(memcmp(memory, twin->bytes + place, (size_t)expected) == 0);
    REQUIRE(memory[-1] == 0x5a && memory[length] == 0x5a);
    if (!form_has_offset(form) && form != FORM_APPEND && form != FORM_APPENDV)
        twin->cursor = place + expected;
    EXPECT(aio_file_seek(twin->file, 0, SEEK_CUR), twin->cursor);
}

/* What AIO_UNALIGNED_REJECT refuses is done without it, and so that others see it. */
START_TEST(every_form_takes_any_place_and_memory)
{
    static const off_t offsets[] = {0, 1, 100, 511, 512, 4095, 4096, 4097, 8191, 12288, 20000};
    static const size_t lengths[] = {1, 2, 100, 511, 512, 4095, 4096, 4097, 8192, 10001};
    static const unsigned shifts[] = {0, 1, 2, 3, 8, 511};
    struct twin twin = {.size = 5 * PAGE + 7};
    char *room = page_alloc(8 * PAGE);
    uint64_t seed = 1;

    make_file("file", (uint64_t)twin.size, 1);
    pattern_fill(twin.bytes, (uint64_t)twin.size, 0, 1);
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, NULL, &twin.file), 0);
    for (enum form form = 0; form < FORMS; form++)
        for (size_t which = 0; which < COUNT(offsets) * COUNT(lengths); which++) {
            off_t offset = offsets[which % COUNT(offsets)];
            size_t length = lengths[which / COUNT(offsets)];
            unsigned shift = shifts[seed % COUNT(shifts)];

            twin.cursor = offset;
            EXPECT(aio_file_seek(twin.file, offset, SEEK_SET), offset);
            twin_call(&twin, form, room + PAGE + shift, length, offset, ++seed);
            if (which % 8 == 0)
                twin_check(&twin);
            if (twin.size > 8 * PAGE) {
                EXPECT(aio_file_truncate(twin.file, 5 * PAGE + 7), 0);
                memset(twin.bytes + 5 * PAGE + 7, 0, sizeof(twin.bytes) - 5 * PAGE - 7);
                twin.size = 5 * PAGE + 7;
            }
            if (which % 32 == 0)
                EXPECT(aio_file_sync(twin.file), 0);
        }
    twin_check(&twin);
    close_file(twin.file);
    twin_check(&twin);
    free(room);
}
END_TEST

/* A write that does not fit leaves what lies beside it in its block, and zeros where nothing was,
 * and the size exact. */
START_TEST(a_hole_before_an_unaligned_write_reads_as_zeros)
{
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(3 * PAGE, 0, 1);

    EXPECT(aio_file_pwrite(file, bytes + 5, 3, 5), 3);
    REQUIRE_EQ(disk_size("file"), 8);
    EXPECT(aio_file_pwrite(file, bytes, 1, 3 * PAGE + 1), 1);
    REQUIRE_EQ(disk_size("file"), 3 * PAGE + 2);
    disk_check_zeros("file", 0, 5);
    disk_check_pattern("file", 5, 3, 1);
    disk_check_zeros("file", 8, 3 * PAGE + 1 - 8);
    EXPECT(aio_file_pwrite(file, bytes + PAGE, PAGE, PAGE), PAGE);
    EXPECT(aio_file_pread(file, bytes, 3 * PAGE, 0), 3 * PAGE);
    zeros_check(bytes, 5);
    zeros_check(bytes + 8, PAGE - 8);
    pattern_check(bytes + PAGE, PAGE, PAGE, 1);
    zeros_check(bytes + 2 * PAGE, PAGE);
    close_file(file);
    free(bytes);
}
END_TEST

START_TEST(every_form_checks_the_direction)
{
    struct aio_file_options options = file_options();
    char *page = page_alloc(PAGE);
    struct aio_file *reading;
    struct aio_file *writing;

    make_file("file", PAGE, 1);
    EXPECT(aio_file_open(scratch_path("file"), O_RDONLY, 0, &options, &reading), 0);
    EXPECT(aio_file_open(scratch_path("file"), O_WRONLY, 0, &options, &writing), 0);
    for (enum form form = 0; form < FORMS; form++) {
        struct aio_file *wrong = form_reads(form) ? writing : reading;
        struct aio_file *right = form_reads(form) ? reading : writing;

        REQUIRE_EQ(call_form(form, wrong, page, PAGE, 0), -EBADF);
        REQUIRE_EQ(call_form(form, right, page, PAGE, 0), PAGE);
    }
    EXPECT(aio_file_truncate(reading, 0), -EINVAL);
    EXPECT(aio_file_sync(reading), 0);
    close_file(reading);
    close_file(writing);
    free(page);
}
END_TEST

START_TEST(vectors_are_checked)
{
    struct aio_file *file = open_direct("file");
    char *page = page_alloc(PAGE);
    struct iovec iov[2] = {{page, (size_t)SSIZE_MAX / PAGE * PAGE}, {page, PAGE}};
    static const int bad_counts[] = {-1, INT_MIN};
    off_t where = 5;

    for (size_t index = 0; index < COUNT(bad_counts); index++) {
        EXPECT(aio_file_readv(file, iov, bad_counts[index]), -EINVAL);
        EXPECT(aio_file_writev(file, iov, bad_counts[index]), -EINVAL);
        EXPECT(aio_file_preadv(file, iov, bad_counts[index], 0), -EINVAL);
        EXPECT(aio_file_pwritev(file, iov, bad_counts[index], 0), -EINVAL);
        EXPECT(aio_file_appendv(file, iov, bad_counts[index], &where), -EINVAL);
    }
    EXPECT(aio_file_pwritev(file, NULL, 1, 0), -EINVAL);
    EXPECT(aio_file_preadv(file, NULL, INT_MAX, 0), -EINVAL);
    EXPECT(aio_file_pwritev(file, NULL, 0, 0), 0);
    EXPECT(aio_file_appendv(file, NULL, 1, &where), -EINVAL);
    /* A sum above the largest number. */
    EXPECT(aio_file_pwritev(file, iov, 2, 0), -EINVAL);
    EXPECT(aio_file_preadv(file, iov, 2, 0), -EINVAL);
    EXPECT(aio_file_appendv(file, iov, 2, &where), -EINVAL);
    REQUIRE_EQ(where, 5);
    REQUIRE_EQ(disk_size("file"), 0);
    close_file(file);
    free(page);
}
END_TEST

/* As many vectors as one system call takes, one more, many more. */
START_TEST(any_number_of_vectors_is_taken)
{
    static const unsigned counts[] = {IOV_MAX, IOV_MAX + 1, 3 * IOV_MAX + 5};
    static const unsigned lengths[] = {PAGE, 7};
    char *page = pattern_alloc(PAGE, 0, 1);
    char *found = page_alloc((uint64_t)(3 * IOV_MAX + 5) * PAGE);
    struct iovec *out = calloc(3 * IOV_MAX + 5, sizeof(*out));
    struct iovec *in = calloc(3 * IOV_MAX + 5, sizeof(*in));

    for (unsigned which = 0; which < COUNT(counts) * COUNT(lengths) * 2; which++) {
        unsigned count = counts[which % COUNT(counts)];
        unsigned length = lengths[which / COUNT(counts) % COUNT(lengths)];
        struct aio_file *file =
            which < COUNT(counts) * COUNT(lengths) ? open_direct("file") : open_cached("file");
        int64_t total = (int64_t)count * length;
        off_t where = 0;

        for (unsigned index = 0; index < count; index++) {
            out[index] = (struct iovec){page, length};
            in[index] = (struct iovec){found + (uint64_t)index * length, length};
        }
        EXPECT(aio_file_preadv(file, in, (int)count, 0), 0);
        EXPECT(aio_file_pwritev(file, out, (int)count, 0), total);
        EXPECT(aio_file_appendv(file, out, (int)count, &where), total);
        REQUIRE_EQ(where, total);
        EXPECT(aio_file_seek(file, total, SEEK_SET), total);
        EXPECT(aio_file_writev(file, out, (int)count), total);
        REQUIRE_EQ(disk_size("file"), 2 * total);
        for (unsigned round = 0; round < 3; round++) {
            memset(found, 0, (size_t)total);
            if (round == 0)
                EXPECT(aio_file_preadv(file, in, (int)count, total), total);
            else if (round == 1)
                disk_read("file", found, (uint64_t)total, 0);
            else
                disk_read("file", found, (uint64_t)total, (uint64_t)total);
            for (unsigned index = 0; index < count; index++)
                pattern_check(found + (uint64_t)index * length, length, 0, 1);
        }
        close_file(file);
    }
    free(page);
    free(found);
    free(out);
    free(in);
}
END_TEST

START_TEST(null_is_refused_everywhere)
{
    struct stat status;
    struct aio_file_info info = {.size = sizeof(info)};
    struct aio_op nop = op_nop();
    struct aio_file *file = open_direct("file");

    EXPECT(aio_file_close(NULL), 0);
    EXPECT(aio_file_seek(NULL, 0, SEEK_SET), -EINVAL);
    EXPECT(aio_file_truncate(NULL, 0), -EINVAL);
    EXPECT(aio_file_sync(NULL), -EINVAL);
    EXPECT(aio_file_datasync(NULL), -EINVAL);
    EXPECT(aio_file_clear_error(NULL), -EINVAL);
    EXPECT(aio_file_size(NULL), -EINVAL);
    EXPECT(aio_file_stat(NULL, &status), -EINVAL);
    EXPECT(aio_file_stat(file, NULL), -EINVAL);
    EXPECT(aio_file_fd(NULL), -EINVAL);
    EXPECT(aio_file_info(NULL, &info), -EINVAL);
    EXPECT(aio_file_info(file, NULL), -EINVAL);
    EXPECT(aio_file_execute(NULL, &nop), -EINVAL);
    EXPECT(aio_file_execute(file, NULL), -EINVAL);
    REQUIRE(aio_file_queue(NULL) == NULL);
    close_file(file);
}
END_TEST

/* --- the cursor ----------------------------------------------------------------------------- */

START_TEST(seek_goes_where_the_table_says)
{
    static const struct {
        off_t offset;
        int whence;
        off_t expected;
    } table[] = {
        {0, SEEK_CUR, 0},
        {4096, SEEK_SET, 4096},
        {100, SEEK_CUR, 4196},
        {-4196, SEEK_CUR, 0},
        {-1, SEEK_CUR, -EINVAL},
        {-1, SEEK_SET, -EINVAL},
        {INT64_MIN, SEEK_SET, -EINVAL},
        {0, SEEK_END, 20480},
        {-20480, SEEK_END, 0},
        {-20481, SEEK_END, -EINVAL},
        {100, SEEK_END, 20580},
        {INT64_MAX, SEEK_SET, INT64_MAX},
        {1, SEEK_CUR, -EOVERFLOW},
        {0, SEEK_CUR, INT64_MAX},
        {INT64_MAX, SEEK_END, -EOVERFLOW},
        {INT64_MAX, SEEK_CUR, -EOVERFLOW},
        {0, 5, -EINVAL},
        {0, -1, -EINVAL},
        {0, INT_MAX, -EINVAL},
        {0, SEEK_CUR, INT64_MAX}, /* refused ones have not moved it */
        {0, SEEK_DATA, 0},
        {0, SEEK_HOLE, 4096},
        {4096, SEEK_DATA, 16384},
        {16384, SEEK_HOLE, 20480},
        {20480, SEEK_DATA, -ENXIO},
        {20480, SEEK_HOLE, -ENXIO},
        {-1, SEEK_DATA, -ENXIO},
        {INT64_MAX, SEEK_HOLE, -ENXIO},
        {0, SEEK_CUR, 20480},
    };
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);

    /* Data in the first and the fifth page, a hole between. */
    EXPECT(aio_file_pwrite(file, page, PAGE, 0), PAGE);
    EXPECT(aio_file_pwrite(file, page, PAGE, 4 * PAGE), PAGE);
    for (size_t index = 0; index < COUNT(table); index++) {
        off_t result = (off_t)CALL(aio_file_seek(file, table[index].offset, table[index].whence));

        ck_assert_msg(result == table[index].expected, "line %zu: %lld", index, (long long)result);
    }
    close_file(file);
    free(page);
}
END_TEST

START_TEST(the_cursor_ends_where_offsets_end)
{
    struct aio_file *file = open_cached("file");
    char byte = 1;

    EXPECT(aio_file_seek(file, INT64_MAX, SEEK_SET), INT64_MAX);
    EXPECT(aio_file_write(file, &byte, 1), -EINVAL);
    EXPECT(aio_file_read(file, &byte, 1), -EINVAL);
    EXPECT(aio_file_read(file, &byte, 0), 0);
    close_file(file);
}
END_TEST

enum { READERS = 4, READ_PAGES = 400 };

struct reader {
    struct aio_file *file;
    unsigned char *seen; /* of all of them; each page's byte belongs to who read it */
};

static void *read_along(void *argument)
{
    struct reader *reader = argument;
    char *page = page_alloc(PAGE);
    int64_t count;

    while ((count = CALL(aio_file_read(reader->file, page, PAGE))) > 0) {
        uint32_t number;

        REQUIRE_EQ(count, PAGE);
        memcpy(&number, page, sizeof(number));
        REQUIRE(number < READ_PAGES);
        __atomic_add_fetch(&reader->seen[number], 1, __ATOMIC_RELAXED);
    }
    REQUIRE_EQ(count, 0);
    free(page);
    return NULL;
}

START_TEST(readers_at_one_cursor_see_each_page_once)
{
    struct aio_file *file = open_direct("file");
    char *page = page_alloc(PAGE);
    unsigned char seen[READ_PAGES] = {0};
    struct reader reader = {file, seen};
    pthread_t threads[READERS];

    memset(page, 0, PAGE);
    for (uint32_t number = 0; number < READ_PAGES; number++) {
        memcpy(page, &number, sizeof(number));
        EXPECT(aio_file_write(file, page, PAGE), PAGE);
    }
    EXPECT(aio_file_seek(file, 0, SEEK_SET), 0);
    for (unsigned index = 0; index < READERS; index++)
        thread_begin(&threads[index], read_along, &reader);
    for (unsigned index = 0; index < READERS; index++)
        thread_end(threads[index]);
    for (unsigned number = 0; number < READ_PAGES; number++)
        REQUIRE_EQ(seen[number], 1);
    close_file(file);
    free(page);
}
END_TEST

/* --- append --------------------------------------------------------------------------------- */

enum { APPENDERS = 4, APPENDS = 100 };

struct appender {
    struct aio_file *file;
    struct aio_queue *queue;
    unsigned number;
};

/* Half of them blocking, half submitted; each page carries who wrote it and its count. */
static void *append_along(void *argument)
{
    struct appender *appender = argument;
    char *page = page_alloc(PAGE);
    off_t last = -1;

    for (uint32_t count = 0; count < APPENDS; count++) {
        struct aio_op append = op_append(appender->file, page, PAGE);
        off_t where;

        pattern_fill(page, PAGE, 0, appender->number * APPENDS + count);
        if (count % 2 == 0)
            REQUIRE_EQ(CALL(aio_file_append(appender->file, page, PAGE, &where)), PAGE);
        else
            where = run_op(appender->queue, &append).offset;
        REQUIRE(where > last && where % PAGE == 0);
        last = where;
    }
    free(page);
    return NULL;
}

static unsigned appender_of(const char *page)
{
    char *expected = page_alloc(PAGE);
    unsigned which = 0;

    for (; which < APPENDERS * APPENDS; which++) {
        pattern_fill(expected, 8, 0, which);
        if (memcmp(page, expected, 8) == 0)
            break;
    }
    REQUIRE(which < APPENDERS * APPENDS);
    pattern_check(page, PAGE, 0, which);
    free(expected);
    return which;
}

START_TEST(appends_never_overlap)
{
    struct aio_file *file = open_direct("file");
    struct aio_queue *queue = open_queue(APPENDERS, 0);
    struct appender appenders[APPENDERS];
    pthread_t threads[APPENDERS];
    unsigned char seen[APPENDERS * APPENDS] = {0};
    char *page = page_alloc(PAGE);

    for (unsigned index = 0; index < APPENDERS; index++) {
        appenders[index] = (struct appender){file, queue, index};
        thread_begin(&threads[index], append_along, &appenders[index]);
    }
    for (unsigned index = 0; index < APPENDERS; index++)
        thread_end(threads[index]);
    EXPECT(aio_file_size(file), (int64_t)APPENDERS * APPENDS * PAGE);
    for (unsigned index = 0; index < APPENDERS * APPENDS; index++) {
        EXPECT(aio_file_pread(file, page, PAGE, (off_t)index * PAGE), PAGE);
        seen[appender_of(page)]++;
    }
    for (unsigned which = 0; which < APPENDERS * APPENDS; which++)
        REQUIRE_EQ(seen[which], 1);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

START_TEST(appends_go_to_where_the_file_ends_now)
{
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    off_t where;
    int fd;

    EXPECT(aio_file_append(file, page, PAGE, &where), PAGE);
    REQUIRE_EQ(where, 0);
    EXPECT(aio_file_truncate(file, 10 * PAGE), 0);
    EXPECT(aio_file_append(file, page, PAGE, &where), PAGE);
    REQUIRE_EQ(where, 10 * PAGE);
    EXPECT(aio_file_truncate(file, PAGE), 0);
    EXPECT(aio_file_append(file, page, PAGE, &where), PAGE);
    REQUIRE_EQ(where, PAGE);
    EXPECT(aio_file_pwrite(file, page, PAGE, 5 * PAGE), PAGE);
    EXPECT(aio_file_append(file, page, PAGE, &where), PAGE);
    REQUIRE_EQ(where, 6 * PAGE);
    /* Somebody else makes it longer. */
    fd = open(scratch_path("file"), O_WRONLY | O_CLOEXEC);
    REQUIRE(ftruncate(fd, 8 * PAGE) == 0);
    close(fd);
    EXPECT(aio_file_append(file, page, PAGE, &where), PAGE);
    REQUIRE_EQ(where, 8 * PAGE);
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 0);
    close_file(file);
    free(page);
}
END_TEST

START_TEST(an_append_goes_behind_those_in_flight)
{
    struct rig rig = rig_open(4, 0);
    char *bytes = pattern_alloc(5 * PAGE, 0, 1);
    struct iovec iov = {bytes + 2 * PAGE, PAGE};
    struct aio_op first = op_append(rig.file, bytes, 2 * PAGE);
    struct aio_op second = op_vectors(AIO_OP_APPENDV, rig.file, &iov, 1, 0);
    aio_request_id ids[2];
    off_t where;

    fault_hold(rig.fault, FAULT_ALL);
    ids[0] = submit_one(rig.queue, &first);
    ids[1] = submit_one(rig.queue, &second);
    EXPECT(aio_file_append(rig.file, bytes + 3 * PAGE, 2 * PAGE, &where), 2 * PAGE);
    REQUIRE_EQ(where, 3 * PAGE);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    REQUIRE_EQ(completion_of(rig.queue, ids[0]).offset, 0);
    REQUIRE_EQ(completion_of(rig.queue, ids[1]).offset, 2 * PAGE);
    disk_check_pattern("file", 0, 5 * PAGE, 1);
    rig_close(&rig);
    free(bytes);
}
END_TEST

/* --- looking -------------------------------------------------------------------------------- */

START_TEST(info_tells_what_was_granted_and_counts)
{
    struct aio_file *file = open_direct("file");
    struct aio_file *cached = open_cached("cached");
    char *page = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_file_info info = {.size = sizeof(info)};

    EXPECT(aio_file_write(file, page, 2 * PAGE), 2 * PAGE);
    EXPECT(aio_file_append(file, page, PAGE, NULL), PAGE);
    EXPECT(aio_file_pwrite(file, NULL, 1, 0), -EINVAL);
    EXPECT(aio_file_pwrite(file, page, 1, 0), 1);
    EXPECT(aio_file_pread(file, page, PAGE, 0), PAGE);
    EXPECT(aio_file_pread(file, page, PAGE, 10 * PAGE), 0);
    EXPECT(aio_file_sync(file), 0);
    EXPECT(aio_file_info(file, &info), 0);
    REQUIRE_EQ(info.size, sizeof(info));
    REQUIRE_EQ(info.direct_granted, AIO_DIRECT_GRANTED);
    /* AUTO has not chosen before there is a queue. */
    REQUIRE(test_engine == AIO_ENGINE_AUTO || info.engine == (uint32_t)test_engine);
    REQUIRE(info.memory_alignment >= 1 && info.memory_alignment <= info.required_alignment);
    REQUIRE(info.required_alignment >= 512 && info.required_alignment <= info.preferred_alignment);
    REQUIRE(info.read_alignment >= 1 && info.read_alignment <= info.required_alignment);
    REQUIRE_EQ(info.direct_alignment, info.preferred_alignment);
    REQUIRE(info.atomic_write_min <= info.atomic_write_max);
    REQUIRE((info.atomic_write_min == 0) == (info.atomic_write_segments == 0));
    REQUIRE_EQ(info.reads, 2);
    REQUIRE_EQ(info.bytes_read, PAGE);
    REQUIRE_EQ(info.writes, 3);
    REQUIRE_EQ(info.bytes_written, 3 * PAGE + 1);
    REQUIRE_EQ(info.syncs, 1);
    REQUIRE_EQ(info.sync_error, 0);
    REQUIRE_EQ(info.inflight, 0);
    EXPECT(aio_file_info(cached, &info), 0);
    REQUIRE_EQ(info.direct_granted, AIO_DIRECT_OFF);
    REQUIRE(info.memory_alignment == 1 && info.required_alignment == 1);
    REQUIRE(info.preferred_alignment == 1 && info.direct_alignment == 1);
    REQUIRE_EQ(info.read_alignment, 1);
    close_file(file);
    close_file(cached);
    free(page);
}
END_TEST

START_TEST(info_tells_the_alignments_asked_for)
{
    struct aio_file_options options = file_options();
    struct aio_file_info info = {.size = sizeof(info)};
    struct log_kept log = LOG_KEPT_INIT;
    char *room = page_alloc(2 * PAGE);
    struct aio_file *file;

    options.alignment = 65536;
    options.memory_alignment = 4096;
    options.unaligned = AIO_UNALIGNED_REJECT;
    options.log = log_keep;
    options.log_context = &log;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    EXPECT(aio_file_info(file, &info), 0);
    REQUIRE_EQ(info.direct_alignment, 65536);
    REQUIRE_EQ(info.memory_alignment, 4096);
    REQUIRE(info.required_alignment <= 4096); /* the file's own */
    EXPECT(aio_file_pwrite(file, room, PAGE, 0), -EINVAL);
    REQUIRE(log_has(&log, "65536"));
    EXPECT(aio_file_pread(file, room + 512, PAGE, 0), -EINVAL);
    REQUIRE(log_has(&log, "memory") && log_has(&log, "4096"));
    close_file(file);
    free(room);
}
END_TEST

/* Transfers of a file by road: reads and writes, directly, of these through bounce buffers, through
 * the page cache. */
struct roads {
    uint64_t direct[2];
    uint64_t bounced[2];
    uint64_t cached[2];
};

#define EXPECT_ROADS(file, roads)                                                                  \
    do {                                                                                           \
        struct aio_file_info now = {.size = sizeof(now)};                                          \
        EXPECT(aio_file_info(file, &now), 0);                                                      \
        REQUIRE_EQ(now.direct_reads, (roads).direct[0]);                                           \
        REQUIRE_EQ(now.direct_writes, (roads).direct[1]);                                          \
        REQUIRE_EQ(now.bounced_reads, (roads).bounced[0]);                                         \
        REQUIRE_EQ(now.bounced_writes, (roads).bounced[1]);                                        \
        REQUIRE_EQ(now.cached_reads, (roads).cached[0]);                                           \
        REQUIRE_EQ(now.cached_writes, (roads).cached[1]);                                          \
    } while (0)

/* A transfer, blocking or submitted. */
static int64_t transfer(struct aio_file *file, struct aio_op op, bool submitted)
{
    op.file = file;
    return submitted ? run_op(aio_file_queue(file), &op).result : CALL(aio_file_execute(file, &op));
}

START_TEST(info_counts_by_road)
{
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(3 * PAGE, 0, 1);
    struct roads roads = {0};

    for (unsigned submitted = 0; submitted < 2; submitted++) {
        REQUIRE_EQ(transfer(file, op_write(NULL, page, 2 * PAGE, 0), submitted), 2 * PAGE);
        roads.direct[1]++;
        REQUIRE_EQ(transfer(file, op_append(NULL, page, PAGE), submitted), PAGE);
        roads.direct[1]++;
        REQUIRE_EQ(transfer(file, op_read(NULL, page, PAGE, 0), submitted), PAGE);
        REQUIRE_EQ(transfer(file, op_read(NULL, page, PAGE, 9 * PAGE), submitted), 0);
        roads.direct[0] += 2;
        EXPECT_ROADS(file, roads);
        /* Memory that does not fit; what is to be read that does not. A bounced one is direct. */
        REQUIRE_EQ(transfer(file, op_write(NULL, page + 1, PAGE, PAGE), submitted), PAGE);
        roads.direct[1]++;
        roads.bounced[1]++;
        REQUIRE_EQ(transfer(file, op_read(NULL, page + 1, PAGE, 0), submitted), PAGE);
        REQUIRE_EQ(transfer(file, op_read(NULL, page, 10, 3), submitted), 10);
        roads.direct[0] += 2;
        roads.bounced[0] += 2;
        EXPECT_ROADS(file, roads);
        /* What is written by the page cache is read from there, until the next sync. */
        REQUIRE_EQ(transfer(file, op_write(NULL, page, 10, 3), submitted), 10);
        roads.cached[1]++;
        REQUIRE_EQ(transfer(file, op_read(NULL, page, PAGE, 0), submitted), PAGE);
        roads.cached[0]++;
        REQUIRE_EQ(transfer(file, op_read(NULL, page, PAGE, PAGE), submitted), PAGE);
        roads.direct[0]++;
        EXPECT_ROADS(file, roads);
        EXPECT(aio_file_sync(file), 0);
        REQUIRE_EQ(transfer(file, op_read(NULL, page, PAGE, 0), submitted), PAGE);
        roads.direct[0]++;
        EXPECT_ROADS(file, roads);
        /* What is refused has begun nothing. */
        EXPECT(aio_file_pread(file, page, PAGE, -1), -EINVAL);
        EXPECT(aio_file_pwrite(file, NULL, PAGE, 0), -EINVAL);
        EXPECT_ROADS(file, roads);
    }
    close_file(file);
    free(page);
}
END_TEST

/* At the cursor a transfer may have to begin again, or fail: neither may count as something else.
 */
START_TEST(info_counts_by_road_at_the_cursor_too)
{
    struct rig rig = rig_open(4, 0);
    char *page = pattern_alloc(3 * PAGE, 0, 1);
    struct roads roads = {0};

    EXPECT(aio_file_write(rig.file, page, 2 * PAGE), 2 * PAGE);
    roads.direct[1]++;
    EXPECT(aio_file_write(rig.file, page, 10), 10);
    roads.cached[1]++;
    EXPECT_ROADS(rig.file, roads);
    EXPECT(aio_file_sync(rig.file), 0);
    EXPECT(aio_file_seek(rig.file, 1, SEEK_SET), 1);
    EXPECT(aio_file_read(rig.file, page, 10), 10);
    roads.direct[0]++;
    roads.bounced[0]++;
    EXPECT_ROADS(rig.file, roads);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_READS, .value = -EIO});
    EXPECT(aio_file_read(rig.file, page, 10), -EIO);
    roads.direct[0]++;
    roads.bounced[0]++;
    EXPECT_ROADS(rig.file, roads);
    fault_clear(rig.fault);
    fault_add(rig.fault, (struct fault_rule){FAULT_RESULT, FAULT_WRITES, .value = -EIO});
    EXPECT(aio_file_write(rig.file, page, 10), -EIO);
    roads.cached[1]++;
    EXPECT_ROADS(rig.file, roads);
    rig_close(&rig);
    free(page);
}
END_TEST

START_TEST(a_file_that_is_not_direct_counts_all_as_cached)
{
    struct aio_file *file = open_cached("file");
    char *page = pattern_alloc(3 * PAGE, 0, 1);
    struct roads roads = {0};

    for (unsigned submitted = 0; submitted < 2; submitted++) {
        REQUIRE_EQ(transfer(file, op_write(NULL, page, PAGE, 0), submitted), PAGE);
        REQUIRE_EQ(transfer(file, op_write(NULL, page + 1, 7, 3), submitted), 7);
        REQUIRE_EQ(transfer(file, op_write(NULL, page + 1, 0, 3), submitted), 0);
        roads.cached[1] += 3;
        REQUIRE_EQ(transfer(file, op_read(NULL, page, PAGE, 0), submitted), PAGE);
        REQUIRE_EQ(transfer(file, op_read(NULL, page + 1, 7, 3), submitted), 7);
        REQUIRE_EQ(transfer(file, op_read(NULL, page + 1, 0, 3), submitted), 0);
        roads.cached[0] += 3;
        EXPECT_ROADS(file, roads);
    }
    close_file(file);
    free(page);
}
END_TEST

START_TEST(info_of_another_version_is_cut)
{
    struct aio_file *file = open_direct("file");
    struct {
        struct aio_file_info info;
        uint64_t more;
    } longer = {.info.size = sizeof(longer), .more = 5};
    struct aio_file_info shorter = {.size = 16, .memory_alignment = 99};

    EXPECT(aio_file_info(file, &longer.info), 0);
    REQUIRE_EQ(longer.info.size, sizeof(struct aio_file_info));
    REQUIRE_EQ(longer.more, 5);
    EXPECT(aio_file_info(file, &shorter), 0);
    REQUIRE_EQ(shorter.size, 16);
    REQUIRE_EQ(shorter.direct_granted, AIO_DIRECT_GRANTED);
    REQUIRE_EQ(shorter.memory_alignment, 99);
    shorter.size = 7;
    EXPECT(aio_file_info(file, &shorter), -EINVAL);
    close_file(file);
}
END_TEST

START_TEST(size_and_stat_ask_the_kernel)
{
    struct aio_file *file = open_direct("file");
    struct stat status;

    EXPECT(aio_file_size(file), 0);
    REQUIRE(truncate(scratch_path("file"), 12345) == 0);
    EXPECT(aio_file_size(file), 12345);
    EXPECT(aio_file_stat(file, &status), 0);
    REQUIRE_EQ(status.st_size, 12345);
    REQUIRE(S_ISREG(status.st_mode));
    close_file(file);
}
END_TEST

START_TEST(inflight_counts_submitted_operations)
{
    struct rig rig = rig_open(4, 0);
    struct aio_op sync = op_sync(rig.file);
    struct aio_file_info info = {.size = sizeof(info)};
    aio_request_id ids[2];

    fault_hold(rig.fault, FAULT_ALL);
    ids[0] = submit_one(rig.queue, &sync);
    ids[1] = submit_one(rig.queue, &sync);
    EXPECT(aio_file_info(rig.file, &info), 0);
    REQUIRE_EQ(info.inflight, 2);
    fault_hold(rig.fault, 0);
    fault_release(rig.fault, FAULT_FOR_EVER);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    EXPECT(aio_file_info(rig.file, &info), 0);
    REQUIRE_EQ(info.inflight, 0); /* though the results are there still */
    for (unsigned index = 0; index < 2; index++)
        EXPECT(aio_queue_wait(rig.queue, ids[index], &no_time), 0);
    rig_close(&rig);
}
END_TEST

/* --- truncate ------------------------------------------------------------------------------- */

START_TEST(truncate_sets_any_size)
{
    static const off_t sizes[] = {0, 1, 511, 5000, 4096, 100000, 3, 0};
    struct aio_file *file = open_direct("file");

    EXPECT(aio_file_seek(file, 4096, SEEK_SET), 4096);
    for (size_t index = 0; index < COUNT(sizes); index++) {
        EXPECT(aio_file_truncate(file, sizes[index]), 0);
        EXPECT(aio_file_size(file), sizes[index]);
        REQUIRE_EQ(disk_size("file"), sizes[index]);
    }
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 4096);
    EXPECT(aio_file_truncate(file, -1), -EINVAL);
    EXPECT(aio_file_truncate(file, INT64_MIN), -EINVAL);
    EXPECT(aio_file_truncate(file, INT64_MAX), -EFBIG);
    EXPECT(aio_file_size(file), 0);
    close_file(file);
}
END_TEST

START_TEST(what_was_cut_off_reads_as_zeros)
{
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);

    EXPECT(aio_file_write(file, bytes, 4 * PAGE), 4 * PAGE);
    EXPECT(aio_file_truncate(file, 5000), 0);
    EXPECT(aio_file_truncate(file, 4 * PAGE), 0);
    EXPECT(aio_file_pread(file, bytes, 4 * PAGE, 0), 4 * PAGE);
    pattern_check(bytes, 5000, 0, 1);
    zeros_check(bytes + 5000, 4 * PAGE - 5000);
    close_file(file);
    free(bytes);
}
END_TEST

/* --- execute -------------------------------------------------------------------------------- */

static void never_called(const struct aio_completion *completion)
{
    (void)completion;
    ck_abort_msg("the callback of a blocking call");
}

START_TEST(execute_does_what_the_opcode_says)
{
    struct aio_file *file = open_direct("file");
    struct aio_file *other = open_direct("other");
    char *page = pattern_alloc(2 * PAGE, 0, 1);
    struct iovec iov = {page + PAGE, PAGE};
    const struct {
        struct aio_op op;
        int64_t expected;
    } table[] = {
        {op_nop(), 0},
        {op_write(file, page, PAGE, 0), PAGE},
        {op_vectors(AIO_OP_WRITEV, NULL, &iov, 1, PAGE), PAGE},
        {op_append(file, page, 2 * PAGE), 2 * PAGE},
        {op_vectors(AIO_OP_APPENDV, file, &iov, 1, 0), PAGE},
        {op_read(NULL, page, 2 * PAGE, 0), 2 * PAGE},
        {op_vectors(AIO_OP_READV, file, &iov, 1, PAGE), PAGE},
        {op_sync(file), 0},
        {{.opcode = AIO_OP_DATASYNC}, 0},
        {{.opcode = AIO_OP_TRUNCATE, .offset = 2 * PAGE}, 0},
        {{.opcode = AIO_OP_NOP, .flags = AIO_OP_WAITED}, 0},
        {{.opcode = AIO_OP_TRUNCATE, .offset = -1}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .len = 1, .offset = -1}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .len = UINT64_MAX}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE, .len = 1, .offset = INT64_MAX}, -EFBIG},
        {{.opcode = AIO_OP_ALLOCATE, .len = 1, .mode = AIO_ALLOCATE_WRITE_ZEROS | 1}, -EINVAL},
        {{.opcode = AIO_OP_ALLOCATE,
          .offset = 100,
          .len = PAGE,
          .mode = AIO_ALLOCATE_WRITE_ZEROS,
          .flags = AIO_OP_WAITED},
         0},
        {{.opcode = AIO_OP_SYNC, .flags = AIO_OP_DRAIN}, 0},
        {{.opcode = AIO_OP_WRITE, .flags = AIO_OP_DSYNC, .buf = page, .len = 100}, 100},
        {{.opcode = AIO_OP_APPENDV, .flags = AIO_OP_DSYNC, .iov = &iov, .len = 1}, PAGE},
        {{.opcode = AIO_OP_TRUNCATE, .offset = 2 * PAGE}, 0},
        {{.opcode = 11}, -EINVAL},
        {{.opcode = AIO_OP_NOP, .flags = 1U << 7}, -EINVAL},
        {{.opcode = AIO_OP_NOP, .mode = 1}, -EINVAL},
        {{.opcode = AIO_OP_NOP, .reserved2 = {0, 1, 0}}, -EINVAL},
        {{.opcode = AIO_OP_NOP, .on_complete = never_called}, -EINVAL},
        {{.opcode = AIO_OP_NOP, .file = other}, -EINVAL},
        {{.opcode = AIO_OP_NOP, .flags = AIO_OP_DSYNC}, -EINVAL},
        {{.opcode = AIO_OP_READ, .flags = AIO_OP_DSYNC, .buf = page, .len = PAGE}, -EINVAL},
        {{.opcode = AIO_OP_WRITE, .flags = AIO_OP_DRAIN, .buf = page, .len = PAGE}, -EINVAL},
        {{.opcode = AIO_OP_WRITE, .mode = 1, .buf = page, .len = PAGE}, -EINVAL},
        {{.opcode = AIO_OP_NOP, .flags = AIO_OP_LINK}, -EINVAL},
        {{.opcode = AIO_OP_NOP, .priority = 2 << 13}, -EINVAL},
        {{.opcode = AIO_OP_NOP, .deadline = 1}, -EINVAL},
        {{.opcode = AIO_OP_READ, .deadline = 1, .buf = page, .len = PAGE}, -EINVAL},
        {{.opcode = AIO_OP_READ, .flags = AIO_OP_LINK, .buf = page, .len = PAGE}, -EINVAL},
        {op_read(file, page + 1, 1, 7), 1},
        {op_read(file, page, PAGE, -1), -EINVAL},
    };

    for (size_t index = 0; index < COUNT(table); index++) {
        int64_t result = CALL(aio_file_execute(file, &table[index].op));

        ck_assert_msg(result == table[index].expected, "line %zu: %lld", index, (long long)result);
    }
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), 0);
    REQUIRE_EQ(disk_size("file"), 2 * PAGE);
    disk_check_pattern("file", 0, 100, 1);
    disk_check_zeros("file", 100, PAGE);
    disk_check_pattern("file", PAGE + 100, PAGE - 100, 1);
    close_file(file);
    close_file(other);
    free(page);
}
END_TEST

/* --- the queue of a file -------------------------------------------------------------------- */

START_TEST(a_file_has_a_private_queue)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;
    struct aio_queue *queue;
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op write;

    options.depth = 7;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    queue = aio_file_queue(file);
    REQUIRE(queue != NULL && aio_file_queue(file) == queue);
    EXPECT(aio_queue_depth(queue), 7);
    write = op_write(file, page, PAGE, 0);
    REQUIRE_EQ(run_op(queue, &write).result, PAGE);
    /* A result that nobody takes goes with the file. */
    submit_one(queue, &write);
    close_file(file);
    options.depth = 0;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    EXPECT(aio_queue_depth(aio_file_queue(file)), 64);
    close_file(file);
    free(page);
}
END_TEST

static void *ask_for_queue(void *argument)
{
    return aio_file_queue(argument);
}

START_TEST(threads_get_the_same_private_queue)
{
    struct aio_file *file = open_direct("file");
    pthread_t threads[4];
    void *queues[4];

    for (unsigned index = 0; index < 4; index++)
        thread_begin(&threads[index], ask_for_queue, file);
    for (unsigned index = 0; index < 4; index++)
        REQUIRE(pthread_join(threads[index], &queues[index]) == 0);
    for (unsigned index = 0; index < 4; index++)
        REQUIRE(queues[index] != NULL && queues[index] == queues[0]);
    close_file(file);
}
END_TEST

START_TEST(a_file_uses_the_queue_that_it_was_given)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_file_options options = file_options();
    struct aio_op nop = op_nop();
    struct aio_file *file;
    aio_request_id id;

    options.queue = queue;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR | O_CREAT, 0600, &options, &file), 0);
    REQUIRE(aio_file_queue(file) == queue);
    id = submit_one(queue, &nop);
    close_file(file);
    EXPECT(aio_queue_wait(queue, id, NULL), 0); /* the queue is not the file's to clear */
    close_queue(queue);
}
END_TEST

/* --- fork ----------------------------------------------------------------------------------- */

struct inherited {
    struct aio_file *file;
    char *page;
    atomic_bool stop;
};

static int use_in_child(void *argument)
{
    struct inherited *inherited = argument;
    struct aio_file *file = inherited->file;
    char *in = page_alloc(PAGE);
    struct aio_op nop = op_nop();

    EXPECT(aio_file_pread(file, in, PAGE, 0), PAGE);
    pattern_check(in, PAGE, 0, 1);
    EXPECT(aio_file_seek(file, 0, SEEK_SET), 0);
    EXPECT(aio_file_read(file, in, PAGE), PAGE);
    EXPECT(aio_file_write(file, inherited->page + PAGE, PAGE), PAGE);
    EXPECT(aio_file_append(file, inherited->page + 2 * PAGE, PAGE, NULL), PAGE);
    EXPECT(aio_file_size(file), 3 * PAGE);
    EXPECT(aio_file_truncate(file, 4 * PAGE), 0);
    EXPECT(aio_file_sync(file), 0);
    EXPECT(aio_queue_submit(aio_file_queue(file), &nop, 1, NULL), -EOWNERDEAD);
    free(in);
    return (int)aio_file_close(file);
}

START_TEST(a_child_reads_and_writes_and_closes)
{
    struct aio_file *file = open_direct("file");
    struct inherited inherited = {file, pattern_alloc(3 * PAGE, 0, 1), false};
    struct aio_op sync = op_sync(file);

    EXPECT(aio_file_write(file, inherited.page, PAGE), PAGE);
    REQUIRE_EQ(run_op(aio_file_queue(file), &sync).result, 0);
    REQUIRE_EQ(in_child(use_in_child, &inherited), 0);
    disk_check_pattern("file", 0, 3 * PAGE, 1);
    REQUIRE_EQ(disk_size("file"), 4 * PAGE);
    /* The cursor is the child's own. */
    EXPECT(aio_file_seek(file, 0, SEEK_CUR), PAGE);
    REQUIRE_EQ(run_op(aio_file_queue(file), &sync).result, 0);
    close_file(file);
    free(inherited.page);
}
END_TEST

static void *write_and_truncate(void *argument)
{
    struct inherited *inherited = argument;

    while (!inherited->stop) {
        CALL(aio_file_write(inherited->file, inherited->page, PAGE));
        CALL(aio_file_append(inherited->file, inherited->page, PAGE, NULL));
        CALL(aio_file_truncate(inherited->file, PAGE));
        CALL(aio_file_seek(inherited->file, 0, SEEK_SET));
    }
    return NULL;
}

static int use_blindly_in_child(void *argument)
{
    struct inherited *inherited = argument;
    struct aio_file *file = inherited->file;
    struct aio_file_info info = {.size = sizeof(info)};

    EXPECT(aio_file_seek(file, 0, SEEK_SET), 0);
    EXPECT(aio_file_write(file, inherited->page, PAGE), PAGE);
    EXPECT(aio_file_append(file, inherited->page, PAGE, NULL), PAGE);
    EXPECT(aio_file_truncate(file, PAGE), 0);
    EXPECT(aio_file_sync(file), 0);
    EXPECT(aio_file_info(file, &info), 0);
    aio_file_queue(file);
    return (int)aio_file_close(file);
}

START_TEST(a_child_does_not_hang_in_what_the_parent_held)
{
    struct aio_file *file = open_direct("file");
    struct inherited inherited = {file, pattern_alloc(PAGE, 0, 1), false};
    pthread_t threads[2];

    /* At each moment somebody of the parent's is in the gate, the cursor or an append's place. */
    for (unsigned index = 0; index < 2; index++)
        thread_begin(&threads[index], write_and_truncate, &inherited);
    for (unsigned round = 0; round < 30; round++) {
        REQUIRE_EQ(in_child(use_blindly_in_child, &inherited), 0);
        sleep_us(300);
    }
    inherited.stop = true;
    for (unsigned index = 0; index < 2; index++)
        thread_end(threads[index]);
    close_file(file);
    free(inherited.page);
}
END_TEST

/* --- the log -------------------------------------------------------------------------------- */

/* A log that, while it is being told something, has another thread use the file. */
struct nosy_log {
    struct aio_file *file;
    unsigned asked;
};

static void *use_file(void *argument)
{
    struct aio_file *file = argument;

    CALL(aio_file_seek(file, 0, SEEK_CUR));
    CALL(aio_file_append(file, NULL, 0, NULL));
    return NULL;
}

static void nosy(void *context, int level, const char *message)
{
    struct nosy_log *log = context;
    struct timespec until;
    pthread_t thread;

    (void)level;
    if (log->file == NULL)
        return;
    log->asked++;
    thread_begin(&thread, use_file, log->file);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2;
    if (pthread_timedjoin_np(thread, NULL, &until) != 0)
        ck_abort_msg("a lock is held while the log hears: %s", message);
}

START_TEST(the_log_is_told_with_no_lock_held)
{
    struct aio_file_options options = file_options();
    struct nosy_log log = {NULL, 0};
    struct aio_file *file;
    char *page = page_alloc(PAGE);

    options.unaligned = AIO_UNALIGNED_REJECT;
    options.log = nosy;
    options.log_context = &log;
    make_file("file", 5000, 1);
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &file), 0);
    log.file = file;
    for (enum form form = 0; form < FORMS; form++) {
        CALL(aio_file_seek(file, 100, SEEK_SET));
        REQUIRE_EQ(call_form(form, file, page, 100, 0), -EINVAL);
        REQUIRE_EQ(call_form(form, file, page, PAGE, 100), -EINVAL);
        REQUIRE_EQ(log.asked, 2 * form + 2);
    }
    log.file = NULL;
    close_file(file);
    free(page);
}
END_TEST

static Suite *file_suite(void)
{
    Suite *suite = suite_create("file");

    ADD_TESTS(suite, "open", options_are_checked, no_options_mean_the_defaults,
              paths_are_refused_as_the_table_says, flags_of_open_are_in_force,
              files_are_made_and_cut_as_open_does, a_file_system_without_direct_io_is_told_of,
              strict_refuses_what_is_only_called_direct, adopt_takes_the_descriptor_over,
              adopt_leaves_what_it_refuses, adopt_keeps_the_append_mode);
    ADD_TESTS(suite, "transfers", every_form_moves_its_bytes, offsets_have_64_bits,
              a_cached_file_takes_any_length, a_read_is_short_only_at_the_end,
              more_than_one_system_call_can_move_is_moved);
    ADD_TESTS(suite, "bad input", every_form_checks_its_memory, every_form_checks_its_place,
              every_form_checks_its_numbers, every_form_checks_the_direction, vectors_are_checked,
              null_is_refused_everywhere);
    ADD_TESTS(suite, "unaligned", every_form_takes_any_place_and_memory,
              a_hole_before_an_unaligned_write_reads_as_zeros, any_number_of_vectors_is_taken);
    ADD_TESTS(suite, "cursor", seek_goes_where_the_table_says, the_cursor_ends_where_offsets_end,
              readers_at_one_cursor_see_each_page_once);
    ADD_TESTS(suite, "append", appends_never_overlap, appends_go_to_where_the_file_ends_now,
              an_append_goes_behind_those_in_flight);
    ADD_TESTS(suite, "looking", info_tells_what_was_granted_and_counts,
              info_tells_the_alignments_asked_for, info_counts_by_road,
              info_counts_by_road_at_the_cursor_too, a_file_that_is_not_direct_counts_all_as_cached,
              info_of_another_version_is_cut, size_and_stat_ask_the_kernel,
              inflight_counts_submitted_operations);
    ADD_TESTS(suite, "truncate", truncate_sets_any_size, what_was_cut_off_reads_as_zeros);
    ADD_TESTS(suite, "execute", execute_does_what_the_opcode_says);
    ADD_TESTS(suite, "queue", a_file_has_a_private_queue, threads_get_the_same_private_queue,
              a_file_uses_the_queue_that_it_was_given);
    ADD_TESTS(suite, "fork", a_child_reads_and_writes_and_closes,
              a_child_does_not_hang_in_what_the_parent_held);
    ADD_TESTS(suite, "log", the_log_is_told_with_no_lock_held);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, file_suite);
}
