/* SPDX-License-Identifier: MIT */
/*
 * test_posix.c - what a file descriptor would return. Each call is made on a handle and on a plain
 * descriptor of another file that is the same: result, bytes, size and cursor must agree. Where
 * file.h promises something else, the line says what.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define SIZE 10000 /* of the files, at no multiple of anything */
#define ROOM (8 * PAGE)

/* --- two files that are the same ------------------------------------------------------------ */

struct world {
    const char *name;
    enum aio_direct direct;
    int flags;
};

static const struct world worlds[] = {
    {"direct", AIO_DIRECT_REQUIRED, 0},
    {"never", AIO_DIRECT_NEVER, 0},
    {"append", AIO_DIRECT_REQUIRED, O_APPEND},
    {"append, never", AIO_DIRECT_NEVER, O_APPEND},
};

#define WORLDS ((int)COUNT(worlds))

struct pair {
    const struct world *world;
    struct aio_file *file;
    int fd;
    char *handle_memory;
    char *plain_memory;
};

/* What is being done, for who has to look for it. */
static char label[256];

#define AGREE(left, right)                                                                         \
    do {                                                                                           \
        int64_t left_value = (int64_t)(left);                                                      \
        int64_t right_value = (int64_t)(right);                                                    \
        if (left_value != right_value)                                                             \
            ck_abort_msg("%s: %s is %lld, not %s = %lld", label, #left, (long long)left_value,     \
                         #right, (long long)right_value);                                          \
    } while (0)

static int open_plain(const char *name, int flags)
{
    int fd = open(scratch_path(name), flags | O_CLOEXEC, 0600);

    REQUIRE(fd >= 0);
    return fd;
}

/* Opens the two; they are there already. */
static struct pair pair_open(const struct world *world, int access)
{
    struct aio_file_options options = file_options();
    struct pair pair = {.world = world};

    options.direct = world->direct;
    EXPECT(aio_file_open(scratch_path("handle"), access | world->flags, 0, &options, &pair.file),
           0);
    pair.fd = open_plain("plain", access | world->flags);
    pair.handle_memory = page_alloc(ROOM);
    pair.plain_memory = page_alloc(ROOM);
    return pair;
}

static void pair_close(struct pair *pair)
{
    close_file(pair->file);
    close(pair->fd);
    free(pair->handle_memory);
    free(pair->plain_memory);
}

/* Makes both files what they were at first. */
static void reset_files(void)
{
    make_file("handle", SIZE, 1);
    make_file("plain", SIZE, 1);
}

static void check_files(void)
{
    uint64_t size = disk_size("plain");
    uint64_t part = size < ROOM ? size : ROOM;
    char *handle = page_alloc(ROOM);
    char *plain = page_alloc(ROOM);

    AGREE(disk_size("handle"), size);
    disk_read("handle", handle, part, 0);
    disk_read("plain", plain, part, 0);
    for (uint64_t index = 0; index < part; index++)
        if (handle[index] != plain[index])
            ck_abort_msg("%s: the byte at %llu is not the same", label, (unsigned long long)index);
    free(handle);
    free(plain);
}

static void check_cursors(struct pair *pair)
{
    AGREE(CALL(aio_file_seek(pair->file, 0, SEEK_CUR)), lseek(pair->fd, 0, SEEK_CUR));
}

static int64_t or_errno(int64_t result)
{
    return result < 0 ? -errno : result;
}

/* --- transfers ------------------------------------------------------------------------------ */

enum form {
    FORM_READ,
    FORM_PREAD,
    FORM_READV,
    FORM_PREADV,
    FORM_WRITE,
    FORM_PWRITE,
    FORM_WRITEV,
    FORM_PWRITEV,
    FORM_APPEND,
    FORM_APPENDV,
    FORMS,
};

static const char *const form_names[] = {"read",   "pread",  "readv",   "preadv", "write",
                                         "pwrite", "writev", "pwritev", "append", "appendv"};

static bool form_reads(enum form form)
{
    return form <= FORM_PREADV;
}

static bool form_has_offset(enum form form)
{
    return form == FORM_PREAD || form == FORM_PREADV || form == FORM_PWRITE || form == FORM_PWRITEV;
}

/* Memory, as one piece or as vectors. */
struct operand {
    char *memory;
    uint64_t length;
    const struct iovec *iov;
    int count;
    int64_t offset;
};

static int64_t call_handle(struct aio_file *file, enum form form, const struct operand *operand)
{
    char *memory = operand->memory;
    const struct iovec *iov = operand->iov;

    switch (form) {
    case FORM_READ:
        return CALL(aio_file_read(file, memory, operand->length));
    case FORM_PREAD:
        return CALL(aio_file_pread(file, memory, operand->length, operand->offset));
    case FORM_READV:
        return CALL(aio_file_readv(file, iov, operand->count));
    case FORM_PREADV:
        return CALL(aio_file_preadv(file, iov, operand->count, operand->offset));
    case FORM_WRITE:
        return CALL(aio_file_write(file, memory, operand->length));
    case FORM_PWRITE:
        return CALL(aio_file_pwrite(file, memory, operand->length, operand->offset));
    case FORM_WRITEV:
        return CALL(aio_file_writev(file, iov, operand->count));
    case FORM_PWRITEV:
        return CALL(aio_file_pwritev(file, iov, operand->count, operand->offset));
    case FORM_APPEND:
        return CALL(aio_file_append(file, memory, operand->length, NULL));
    default:
        return CALL(aio_file_appendv(file, iov, operand->count, NULL));
    }
}

/* The end of the file is where an append would be. */
static off_t end_of(int fd)
{
    struct stat status;

    REQUIRE(fstat(fd, &status) == 0);
    return status.st_size;
}

static int64_t call_plain(int fd, enum form form, const struct operand *operand)
{
    char *memory = operand->memory;
    const struct iovec *iov = operand->iov;

    switch (form) {
    case FORM_READ:
        return or_errno(read(fd, memory, operand->length));
    case FORM_PREAD:
        return or_errno(pread(fd, memory, operand->length, operand->offset));
    case FORM_READV:
        return or_errno(readv(fd, iov, operand->count));
    case FORM_PREADV:
        return or_errno(preadv(fd, iov, operand->count, operand->offset));
    case FORM_WRITE:
        return or_errno(write(fd, memory, operand->length));
    case FORM_PWRITE:
        return or_errno(pwrite(fd, memory, operand->length, operand->offset));
    case FORM_WRITEV:
        return or_errno(writev(fd, iov, operand->count));
    case FORM_PWRITEV:
        return or_errno(pwritev(fd, iov, operand->count, operand->offset));
    case FORM_APPEND:
        return or_errno(pwrite(fd, memory, operand->length, end_of(fd)));
    default:
        return or_errno(pwritev(fd, iov, operand->count, end_of(fd)));
    }
}

static uint8_t opcode_of(enum form form)
{
    static const uint8_t opcodes[] = {AIO_OP_READ,   AIO_OP_READ,   AIO_OP_READV,  AIO_OP_READV,
                                      AIO_OP_WRITE,  AIO_OP_WRITE,  AIO_OP_WRITEV, AIO_OP_WRITEV,
                                      AIO_OP_APPEND, AIO_OP_APPENDV};

    return opcodes[form];
}

/* The same submitted: a refusal counts as the result. Those at the cursor are blocking only. */
static int64_t call_submitted(struct aio_file *file, enum form form, const struct operand *operand)
{
    struct aio_queue *queue = aio_file_queue(file);
    struct aio_op op = {.opcode = opcode_of(form), .file = file, .offset = operand->offset};
    bool vectors =
        op.opcode == AIO_OP_READV || op.opcode == AIO_OP_WRITEV || op.opcode == AIO_OP_APPENDV;
    struct aio_completion completion;
    aio_request_id id;
    int64_t result;

    if (vectors && operand->count < 0)
        return call_handle(file, form, operand);
    op.len = vectors ? (uint64_t)operand->count : operand->length;
    if (vectors)
        op.iov = operand->iov;
    else
        op.buf = operand->memory;
    result = CALL(aio_queue_submit(queue, &op, 1, &id));
    if (result != 1)
        return result;
    completion = completion_of(queue, id);
    if (completion.result < 0)
        AGREE(completion.error, completion.result);
    return completion.result;
}

static bool can_be_submitted(enum form form)
{
    return form_has_offset(form) || form == FORM_APPEND || form == FORM_APPENDV;
}

/* What a line says of the handle's result. */
#define SAME INT64_MIN        /* as the descriptor's */
#define ANY (INT64_MIN + 1)   /* memory that is not there: the kernel looks at it, or not */
#define WHOLE (INT64_MIN + 2) /* all of it, where the descriptor refuses */

/* Runs a form on both, from a cursor, and compares. */
static void compare_form(struct pair *pair, enum form form, const struct operand *operand,
                         uint64_t whole, bool submitted, int64_t expected)
{
    struct operand plain = *operand;
    int64_t handle_result;
    int64_t plain_result;
    struct iovec moved[8];

    /* The vectors of the one point into the other's memory. */
    for (int index = 0; operand->iov != NULL && index < operand->count && operand->count <= 8;
         index++) {
        moved[index] = operand->iov[index];
        if (moved[index].iov_base != NULL)
            moved[index].iov_base =
                pair->plain_memory + ((char *)moved[index].iov_base - pair->handle_memory);
        plain.iov = moved;
    }
    if (operand->memory != NULL)
        plain.memory = pair->plain_memory + (operand->memory - pair->handle_memory);
    handle_result = submitted ? call_submitted(pair->file, form, operand)
                              : call_handle(pair->file, form, operand);
    plain_result = call_plain(pair->fd, form, &plain);
    if (expected == SAME)
        AGREE(handle_result, plain_result);
    else if (expected == WHOLE)
        AGREE(handle_result, (int64_t)whole);
    else if (expected != ANY)
        AGREE(handle_result, expected);
    if (form_reads(form) && expected == SAME && handle_result > 0 && operand->count <= 8)
        AGREE(memcmp(pair->handle_memory, pair->plain_memory, ROOM), 0);
}

/* Fills the memory of both with the same, for reads with something that shows. */
static void fill_memory(struct pair *pair, enum form form, uint64_t seed)
{
    if (form_reads(form))
        memset(pair->handle_memory, 0x5a, ROOM);
    else
        pattern_fill(pair->handle_memory, ROOM, 0, seed);
    memcpy(pair->plain_memory, pair->handle_memory, ROOM);
}

static void place_cursor(struct pair *pair, int64_t offset)
{
    EXPECT(aio_file_seek(pair->file, offset, SEEK_SET), offset);
    REQUIRE(lseek(pair->fd, offset, SEEK_SET) == offset);
}

static const int accesses[] = {O_RDWR, O_RDONLY, O_WRONLY};

/* Every form at places inside, at and behind the end, of lengths that fit and do not. */
START_TEST(transfers_return_what_descriptors_do)
{
    static const int64_t offsets[] = {0, 1, 4096, SIZE - 1, SIZE, SIZE + 1, 5 * PAGE};
    static const uint64_t lengths[] = {0, 1, 512, 4096, 5001};
    const struct world *world = &worlds[_i % WORLDS];
    int access = accesses[_i / WORLDS];
    uint64_t seed = 10;

    for (enum form form = 0; form < FORMS; form++) {
        struct pair pair;

        reset_files();
        pair = pair_open(world, access);
        for (unsigned which = 0; which < COUNT(offsets) * COUNT(lengths) * 2; which++) {
            int64_t offset = offsets[which % COUNT(offsets)];
            uint64_t length = lengths[which / COUNT(offsets) % COUNT(lengths)];
            bool submitted = which >= COUNT(offsets) * COUNT(lengths) && can_be_submitted(form);
            char *memory = pair.handle_memory + seed % 3;
            struct iovec iov[3] = {
                {memory, length / 3}, {NULL, 0}, {memory + length / 3, length - length / 3}};
            struct operand operand = {memory, length, iov, 3, offset};

            snprintf(label, sizeof(label), "%s, access %d, %s%s of %llu at %lld", world->name,
                     access, form_names[form], submitted ? " submitted" : "",
                     (unsigned long long)length, (long long)offset);
            place_cursor(&pair, offset);
            fill_memory(&pair, form, ++seed);
            compare_form(&pair, form, &operand, length, submitted, SAME);
            check_cursors(&pair);
            if (which % 8 == 0)
                check_files();
            if (disk_size("plain") > 6 * PAGE)
                reset_files();
        }
        check_files();
        pair_close(&pair);
    }
}
END_TEST

/* --- strange numbers and memory ------------------------------------------------------------- */

enum memory {
    MEMORY_THERE,
    MEMORY_NULL,
};

static const struct strange {
    const char *what;
    bool reads;
    bool writes;
    enum memory memory;
    uint64_t length;
    int64_t offset;
    int64_t expected;
} strange_table[] = {
    {"no memory, no length", true, true, MEMORY_NULL, 0, 0, SAME},
    {"no memory", true, true, MEMORY_NULL, 1, 0, -EINVAL}, /* EFAULT */
    {"no length, a bad offset", true, true, MEMORY_THERE, 0, -1, SAME},
    {"offset -1", true, true, MEMORY_THERE, 1, -1, SAME},
    {"the least offset", true, true, MEMORY_THERE, 1, INT64_MIN, SAME},
    {"an offset that fits, but negative", true, true, MEMORY_THERE, PAGE, -(int64_t)PAGE, SAME},
    {"nothing at the last offset", true, true, MEMORY_THERE, 0, INT64_MAX, SAME},
    {"the last byte but one", true, true, MEMORY_THERE, 1, INT64_MAX - 1, SAME},
    {"the last byte", true, true, MEMORY_THERE, 1, INT64_MAX, -EINVAL}, /* 0, EFBIG */
    {"beyond the last byte", true, true, MEMORY_THERE, PAGE, INT64_MAX - 1, -EINVAL},
    {"a page that fits, far out", true, false, MEMORY_THERE, PAGE, INT64_C(1) << 62, SAME},
    {"a page that fits, too far out", false, true, MEMORY_THERE, PAGE, INT64_C(1) << 62, SAME},
    {"the largest length", true, false, MEMORY_THERE, SSIZE_MAX, 0, ANY},
    {"the largest length, behind the end", true, false, MEMORY_THERE, SSIZE_MAX - PAGE, PAGE * 9,
     ANY},
    {"one more than the largest length", true, true, MEMORY_THERE, (uint64_t)SSIZE_MAX + 1, 0,
     -EINVAL}, /* or EFAULT */
    {"the largest number as length", true, true, MEMORY_THERE, UINT64_MAX, 0, -EINVAL},
};

static void compare_strange(struct pair *pair, enum form form, const struct strange *line)
{
    char *memory = line->memory == MEMORY_NULL ? NULL : pair->handle_memory;
    struct iovec iov = {memory, line->length};
    struct operand operand = {memory, line->length, &iov, 1, line->offset};

    if (form_reads(form) ? !line->reads : !line->writes)
        return;
    if (!form_has_offset(form) && line->offset != 0)
        return;
    for (unsigned submitted = 0; submitted <= can_be_submitted(form); submitted++) {
        int64_t expected = line->expected;

        snprintf(label, sizeof(label), "%s, %s%s: %s", pair->world->name, form_names[form],
                 submitted ? " submitted" : "", line->what);
        place_cursor(pair, 7);
        fill_memory(pair, form, 3);
        compare_form(pair, form, &operand, line->length, submitted, expected);
        if (expected != ANY)
            check_cursors(pair);
    }
}

START_TEST(strange_numbers_are_answered_alike)
{
    for (enum form form = 0; form < FORMS; form++)
        for (size_t index = 0; index < COUNT(strange_table); index++) {
            const struct strange *line = &strange_table[index];
            struct pair pair;

            reset_files();
            pair = pair_open(&worlds[_i], O_RDWR);
            compare_strange(&pair, form, line);
            /* With O_APPEND there is no last byte that a descriptor refuses. */
            if (line->expected == SAME || (worlds[_i].flags & O_APPEND) == 0)
                check_files();
            pair_close(&pair);
        }
}
END_TEST

/* --- vectors -------------------------------------------------------------------------------- */

enum { VECTORS_MAX = 2 * IOV_MAX };

static const struct vectors_line {
    const char *what;
    int count;
    bool null;       /* the array */
    uint64_t each;   /* bytes of each vector */
    unsigned stride; /* only each so many-th vector has any; 0: none has */
    int64_t expected;
} vectors_table[] = {
    {"none", 0, false, 1, 1, SAME},
    {"none, no array", 0, true, 1, 1, SAME},
    {"one empty", 1, false, 0, 1, SAME},
    {"one empty without memory", 1, false, 1, 0, SAME},
    {"all empty", 8, false, 1, 0, SAME},
    {"each other one empty", 8, false, 100, 2, SAME},
    {"each other one empty, of pages", 4, false, PAGE, 2, SAME},
    {"as many as there may be", IOV_MAX, false, 3, 1, SAME},
    {"as many, most of them empty", IOV_MAX, false, 512, 64, SAME},
    {"one more than there may be", IOV_MAX + 1, false, 3, 1, WHOLE}, /* EINVAL */
    {"twice as many", VECTORS_MAX, false, 512, 64, WHOLE},
    {"one less than none", -1, false, 1, 1, SAME},
    {"the least number", INT_MIN, false, 1, 1, SAME},
    {"no array of one", 1, true, 1, 1, -EINVAL}, /* EFAULT */
    {"one that is too large", 1, false, (uint64_t)SSIZE_MAX + 1, 1, SAME},
    {"a sum that is too large", 2, false, SSIZE_MAX, 1, -EINVAL}, /* EFAULT */
};

static void compare_vectors(struct pair *pair, enum form form, const struct vectors_line *line,
                            struct iovec *iov, bool submitted)
{
    struct operand operand = {NULL, 0, line->null ? NULL : iov, line->count, 0};
    uint64_t whole = 0;

    for (int index = 0; index < line->count; index++) {
        bool empty = line->stride == 0 || (unsigned)index % line->stride != 0;

        iov[index] = (struct iovec){pair->handle_memory + whole % ROOM, empty ? 0 : line->each};
        if (empty && index % 2 == 0)
            iov[index].iov_base = NULL;
        if (line->each <= PAGE)
            whole += iov[index].iov_len;
    }
    REQUIRE(whole <= ROOM);
    if (form_reads(form) && whole > SIZE)
        whole = SIZE;
    snprintf(label, sizeof(label), "%s, %s%s: %s", pair->world->name, form_names[form],
             submitted ? " submitted" : "", line->what);
    place_cursor(pair, 0);
    fill_memory(pair, form, 3);
    compare_form(pair, form, &operand, whole, submitted, line->expected);
    if (line->expected != WHOLE) {
        check_cursors(pair);
        check_files();
    }
}

START_TEST(vectors_are_counted_alike)
{
    static const enum form forms[] = {FORM_READV, FORM_PREADV, FORM_WRITEV, FORM_PWRITEV,
                                      FORM_APPENDV};
    struct iovec *iov = calloc(VECTORS_MAX, sizeof(*iov));

    for (size_t which = 0; which < COUNT(forms) * COUNT(vectors_table); which++) {
        enum form form = forms[which % COUNT(forms)];
        const struct vectors_line *line = &vectors_table[which / COUNT(forms)];

        for (unsigned submitted = 0; submitted <= can_be_submitted(form); submitted++) {
            struct pair pair;

            reset_files();
            pair = pair_open(&worlds[_i], O_RDWR);
            compare_vectors(&pair, form, line, iov, submitted);
            pair_close(&pair);
        }
    }
    free(iov);
}
END_TEST

/* --- the size ------------------------------------------------------------------------------- */

START_TEST(truncates_return_what_descriptors_do)
{
    static const off_t lengths[] = {0,        1,
                                    SIZE,     SIZE - 1,
                                    SIZE + 1, 4096,
                                    8192,     5 * PAGE,
                                    -1,       INT64_MIN,
                                    100,      INT64_MAX,
                                    3,        INT64_C(1) << 40,
                                    0,        INT64_C(1) << 62};
    const struct world *world = &worlds[_i % WORLDS];
    int access = accesses[_i / WORLDS];
    struct pair pair;

    reset_files();
    pair = pair_open(world, access);
    for (size_t index = 0; index < 2 * COUNT(lengths); index++) {
        off_t length = lengths[index % COUNT(lengths)];
        struct aio_op op = {.opcode = AIO_OP_TRUNCATE, .file = pair.file, .offset = length};
        int64_t plain = or_errno(ftruncate(pair.fd, length));
        aio_request_id id;

        snprintf(label, sizeof(label), "%s, access %d: truncate to %lld", world->name, access,
                 (long long)length);
        if (index < COUNT(lengths)) {
            AGREE(CALL(aio_file_truncate(pair.file, length)), plain);
        } else {
            int64_t result = CALL(aio_queue_submit(aio_file_queue(pair.file), &op, 1, &id));

            AGREE(result == 1 ? completion_of(aio_file_queue(pair.file), id).result : result,
                  plain);
        }
        check_cursors(&pair);
        check_files();
    }
    pair_close(&pair);
}
END_TEST

/* Two blocks of data with a hole between them and one behind. */
static void make_sparse(const char *name)
{
    char *page = pattern_alloc(PAGE, 0, 1);
    int fd = open_plain(name, O_RDWR | O_CREAT | O_TRUNC);

    REQUIRE_EQ(pwrite(fd, page, PAGE, 0), PAGE);
    REQUIRE_EQ(pwrite(fd, page, PAGE, 4 * PAGE), PAGE);
    REQUIRE(ftruncate(fd, 7 * PAGE + 1) == 0);
    close(fd);
    free(page);
}

START_TEST(seeks_return_what_descriptors_do)
{
    static const struct {
        off_t offset;
        int whence;
        int64_t expected;
    } table[] = {
        {0, SEEK_SET, SAME},
        {7 * PAGE + 1, SEEK_SET, SAME},
        {1, SEEK_CUR, SAME},
        {INT64_C(1) << 40, SEEK_SET, SAME},
        {-1, SEEK_SET, SAME},
        {INT64_MIN, SEEK_SET, SAME},
        {0, SEEK_CUR, SAME}, /* where it was */
        {-(INT64_C(1) << 40), SEEK_CUR, SAME},
        {-1, SEEK_CUR, SAME},
        {INT64_MIN, SEEK_CUR, SAME},
        {0, SEEK_END, SAME},
        {-1, SEEK_END, SAME},
        {100, SEEK_END, SAME},
        {-(7 * (int64_t)PAGE + 1), SEEK_END, SAME},
        {-(7 * (int64_t)PAGE + 2), SEEK_END, SAME},
        {INT64_MIN, SEEK_END, SAME},
        {0, SEEK_DATA, SAME},
        {100, SEEK_DATA, SAME},
        {PAGE, SEEK_DATA, SAME},
        {5 * PAGE, SEEK_DATA, SAME},
        {7 * PAGE, SEEK_DATA, SAME},
        {7 * PAGE + 1, SEEK_DATA, SAME},
        {INT64_MAX, SEEK_DATA, SAME},
        {-1, SEEK_DATA, SAME},
        {0, SEEK_HOLE, SAME},
        {PAGE, SEEK_HOLE, SAME},
        {4 * PAGE + 7, SEEK_HOLE, SAME},
        {7 * PAGE, SEEK_HOLE, SAME},
        {7 * PAGE + 1, SEEK_HOLE, SAME},
        {INT64_MAX, SEEK_HOLE, SAME},
        {-1, SEEK_HOLE, SAME},
        {0, 5, SAME},
        {0, -1, SAME},
        {0, INT_MAX, SAME},
        {0, INT_MIN, SAME},
        {0, SEEK_CUR, SAME},
        {INT64_MAX, SEEK_END, -EOVERFLOW}, /* EINVAL */
        {INT64_MAX, SEEK_CUR, -EOVERFLOW}, /* EINVAL */
        {0, SEEK_CUR, SAME},
        {INT64_MAX, SEEK_SET, INT64_MAX}, /* EINVAL: a cursor is only a number */
    };
    const struct world *world = &worlds[_i % WORLDS];
    struct pair pair;

    make_sparse("handle");
    make_sparse("plain");
    pair = pair_open(world, accesses[_i / WORLDS]);
    for (size_t index = 0; index < COUNT(table); index++) {
        int64_t handle = CALL(aio_file_seek(pair.file, table[index].offset, table[index].whence));
        int64_t plain = or_errno(lseek(pair.fd, table[index].offset, table[index].whence));

        snprintf(label, sizeof(label), "%s: seek %zu", world->name, index);
        AGREE(handle, table[index].expected == SAME ? plain : table[index].expected);
        if (index + 1 < COUNT(table))
            check_cursors(&pair);
    }
    pair_close(&pair);
}
END_TEST

START_TEST(allocations_return_what_descriptors_do)
{
    static const struct {
        int mode;
        off_t offset;
        off_t length;
    } table[] = {
        {0, 0, 1},
        {0, SIZE - 1, 2},
        {0, 3 * PAGE, PAGE},
        {FALLOC_FL_KEEP_SIZE, 5 * PAGE, PAGE},
        {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, PAGE},
        {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE},
        {FALLOC_FL_PUNCH_HOLE, 0, PAGE},
        {FALLOC_FL_ZERO_RANGE, 50, 100},
        {FALLOC_FL_ZERO_RANGE, 4 * PAGE, 100},
        {FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 5 * PAGE, 100},
        {FALLOC_FL_COLLAPSE_RANGE, 0, PAGE},
        {FALLOC_FL_COLLAPSE_RANGE, 1, PAGE},
        {FALLOC_FL_COLLAPSE_RANGE, 0, 100 * PAGE},
        {FALLOC_FL_INSERT_RANGE, PAGE, PAGE},
        {FALLOC_FL_INSERT_RANGE, PAGE, 1},
        {FALLOC_FL_INSERT_RANGE | FALLOC_FL_KEEP_SIZE, 0, PAGE},
        {1 << 20, 0, PAGE},
        {0, 0, 0},
        {0, 0, -1},
        {0, -1, 1},
        {0, INT64_MAX, 1},
        {0, 1, INT64_MAX},
        {0, INT64_MIN, INT64_MIN},
        {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, INT64_C(1) << 40, PAGE},
    };
    const struct world *world = &worlds[_i % WORLDS];
    int access = accesses[_i / WORLDS];
    struct pair pair;

    reset_files();
    pair = pair_open(world, access);
    /* Of two things that are wrong either may be told of first. */
    for (size_t index = 0; index < (access == O_RDONLY ? 6 : COUNT(table)); index++) {
        int64_t plain = or_errno(
            fallocate(pair.fd, table[index].mode, table[index].offset, table[index].length));

        snprintf(label, sizeof(label), "%s, access %d: allocate %zu", world->name, access, index);
        AGREE(CALL(aio_file_allocate(pair.file, table[index].mode, table[index].offset,
                                     table[index].length)),
              plain);
        check_cursors(&pair);
        check_files();
    }
    pair_close(&pair);
}
END_TEST

/* --- no room -------------------------------------------------------------------------------- */

/* A write on one of the roads, blocking or submitted; its reason too. */
static int64_t write_somehow(struct aio_file *file, const struct iovec *iov, unsigned count,
                             int64_t offset, bool submitted, int32_t *error)
{
    struct aio_op op = op_vectors(AIO_OP_WRITEV, file, iov, count, offset);
    struct aio_completion completion;

    *error = 0;
    if (!submitted)
        return CALL(aio_file_execute(file, &op));
    completion = run_op(aio_file_queue(file), &op);
    *error = completion.error;
    return completion.result;
}

static void limit_size(rlim_t limit)
{
    struct rlimit now;

    REQUIRE(getrlimit(RLIMIT_FSIZE, &now) == 0);
    now.rlim_cur = limit;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &now) == 0);
}

static const struct limited_write {
    int64_t offset;
    uint64_t each; /* of three vectors */
    unsigned count;
} limited_writes[] = {
    {0, PAGE, 1},        /* below the limit */
    {0, PAGE, 3},        /* beyond it, from a place that fits */
    {PAGE, 3 * PAGE, 1}, /* in the middle of the only vector */
    {5000, 5000, 3},     /* in the middle of one, from a place that does not */
    {8191, 1, 3},        {8192, PAGE, 1},  {10000, 1, 1},
    {9999, 1, 3},        {16384, PAGE, 2}, {20001, 1, 1},
};

/* A limit between two sectors is nothing that a direct write could be cut at: the kernel refuses
 * it, and nothing is written. */
static bool is_refused(const struct pair *pair, const struct limited_write *line, uint64_t total,
                       rlim_t limit)
{
    struct aio_file_info info = {.size = sizeof(info)};

    EXPECT(aio_file_info(pair->file, &info), 0);
    return info.direct_granted == AIO_DIRECT_GRANTED && pair->world->flags == 0 &&
           limit % info.required_alignment != 0 &&
           ((uint64_t)line->offset | total) % info.direct_alignment == 0 &&
           (uint64_t)line->offset < limit && (uint64_t)line->offset + total > limit;
}

/* What a limit of the size cuts: as many bytes as there is room for, with the reason; after that
 * the reason alone. */
START_TEST(a_limit_of_the_size_cuts_alike)
{
    static const rlim_t limits[] = {8192, SIZE};
    const struct limited_write *line = &limited_writes[_i / 2 / WORLDS];
    const struct world *world = &worlds[_i / 2 % WORLDS];
    bool submitted = _i % 2 == 1;

    signal(SIGXFSZ, SIG_IGN);
    for (size_t which = 0; which < COUNT(limits); which++) {
        struct iovec iov[3];
        uint64_t total = 0;
        struct pair pair;
        int64_t result[2];
        int64_t plain[2];
        int32_t error[2];

        make_file("handle", 5000, 1);
        make_file("plain", 5000, 1);
        pair = pair_open(world, O_RDWR);
        fill_memory(&pair, FORM_WRITE, 5);
        for (unsigned index = 0; index < line->count; index++) {
            iov[index] = (struct iovec){pair.handle_memory + total, line->each};
            total += line->each;
        }
        snprintf(label, sizeof(label), "%s%s: %llu bytes at %lld, limit %llu", world->name,
                 submitted ? ", submitted" : "", (unsigned long long)total, (long long)line->offset,
                 (unsigned long long)limits[which]);
        if (submitted) /* its threads and descriptors are not to be limited */
            REQUIRE(aio_file_queue(pair.file) != NULL);
        limit_size(limits[which]);
        for (unsigned round = 0; round < 2; round++) {
            plain[round] = or_errno(pwritev(pair.fd, iov, (int)line->count, line->offset));
            result[round] =
                write_somehow(pair.file, iov, line->count, line->offset, submitted, &error[round]);
        }
        limit_size(RLIM_INFINITY);
        for (unsigned round = 0; round < 2; round++) {
            if (is_refused(&pair, line, total, limits[which])) {
                AGREE(result[round], -EINVAL);
                continue;
            }
            AGREE(result[round], plain[round]);
            if (submitted)
                AGREE(error[round], plain[round] == (int64_t)total ? 0 : -EFBIG);
        }
        if (is_refused(&pair, line, total, limits[which])) {
            REQUIRE_EQ(disk_size("handle"), 5000);
            pair_close(&pair);
            continue;
        }
        check_files();
        pair_close(&pair);
    }
}
END_TEST

START_TEST(a_limit_of_the_size_holds_for_truncates_and_appends)
{
    const struct world *world = &worlds[_i];
    struct pair pair;
    int64_t results[6];
    int64_t plain[6];

    signal(SIGXFSZ, SIG_IGN);
    reset_files();
    pair = pair_open(world, O_RDWR);
    fill_memory(&pair, FORM_WRITE, 5);
    snprintf(label, sizeof(label), "%s", world->name);
    limit_size(SIZE + 100);
    results[0] = CALL(aio_file_truncate(pair.file, SIZE + 101));
    plain[0] = or_errno(ftruncate(pair.fd, SIZE + 101));
    results[1] = CALL(aio_file_allocate(pair.file, 0, SIZE, 101));
    plain[1] = or_errno(fallocate(pair.fd, 0, SIZE, 101));
    results[2] = CALL(aio_file_append(pair.file, pair.handle_memory, PAGE, NULL));
    plain[2] = or_errno(pwrite(pair.fd, pair.plain_memory, PAGE, SIZE));
    results[3] = CALL(aio_file_append(pair.file, pair.handle_memory, PAGE, NULL));
    plain[3] = or_errno(pwrite(pair.fd, pair.plain_memory, PAGE, SIZE + 100));
    results[4] = CALL(aio_file_truncate(pair.file, 3));
    plain[4] = or_errno(ftruncate(pair.fd, 3));
    results[5] = CALL(aio_file_append(pair.file, pair.handle_memory, PAGE, NULL));
    plain[5] = or_errno(pwrite(pair.fd, pair.plain_memory, PAGE, 3));
    limit_size(RLIM_INFINITY);
    for (unsigned index = 0; index < COUNT(results); index++) {
        snprintf(label, sizeof(label), "%s: call %u", world->name, index);
        AGREE(results[index], plain[index]);
    }
    AGREE(plain[2], 100);
    check_files();
    pair_close(&pair);
}
END_TEST

/* --- a full disk ---------------------------------------------------------------------------- */

enum { FULL_VECTORS = 25, FULL_VECTOR = 400 * 1024, FULL_DISK = 8 * 1024 * 1024 };

/* Roads to the disk: how the file is opened and what does not fit. */
static const struct road {
    const char *name;
    enum aio_direct direct;
    int flags;
    int64_t offset;
    unsigned shift; /* of the memory */
} full_roads[] = {
    {"direct", AIO_DIRECT_REQUIRED, 0, 0, 0},        {"bounced", AIO_DIRECT_REQUIRED, 0, 0, 1},
    {"page cache", AIO_DIRECT_REQUIRED, 0, 1, 0},    {"never", AIO_DIRECT_NEVER, 0, 0, 0},
    {"append", AIO_DIRECT_REQUIRED, O_APPEND, 0, 0},
};

#define FULL_ROADS ((int)COUNT(full_roads))

struct load {
    char *room;
    char *bytes; /* in it; of the pattern 1 */
    struct iovec iov[FULL_VECTORS];
};

static void load_make(struct load *load, const struct road *road)
{
    load->room = page_alloc((uint64_t)FULL_VECTORS * FULL_VECTOR + PAGE);
    load->bytes = load->room + road->shift;
    pattern_fill(load->bytes, (uint64_t)FULL_VECTORS * FULL_VECTOR, (uint64_t)road->offset, 1);
    for (unsigned index = 0; index < FULL_VECTORS; index++)
        load->iov[index] = (struct iovec){load->bytes + (size_t)index * FULL_VECTOR, FULL_VECTOR};
}

/* What was written is on the disk, and nothing else. */
static void check_full_file(const struct road *road, int64_t written)
{
    uint64_t size = written > 0 ? (uint64_t)(road->offset + written) : 0;
    char *found = page_alloc(size);

    AGREE(disk_size("disk/file"), size);
    if (size > 0) {
        disk_read_direct("disk/file", found, size, 0);
        zeros_check(found, (uint64_t)road->offset);
        pattern_check(found + road->offset, (uint64_t)written, (uint64_t)road->offset, 1);
    }
    free(found);
}

/* As many bytes as there is room for, and why no more. Returns what the write did. */
static int64_t fill_disk(const struct road *road, struct load *load, bool submitted)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;
    int64_t written;
    int32_t error;

    options.direct = road->direct;
    EXPECT(aio_file_open(scratch_path("disk/file"), O_RDWR | O_CREAT | road->flags, 0600, &options,
                         &file),
           0);
    written = write_somehow(file, load->iov, FULL_VECTORS, road->offset, submitted, &error);
    if (submitted)
        AGREE(error, -ENOSPC);
    check_full_file(road, written);
    AGREE(write_somehow(file, load->iov, FULL_VECTORS, road->offset + (written > 0 ? written : 0),
                        submitted, &error),
          -ENOSPC);
    AGREE(CALL(aio_file_sync(file)), 0);
    check_full_file(road, written);
    AGREE(CALL(aio_file_allocate(file, FALLOC_FL_KEEP_SIZE, 0, FULL_DISK)), -ENOSPC);
    check_full_file(road, written);
    /* A smaller one has room again. */
    AGREE(CALL(aio_file_truncate(file, 0)), 0);
    AGREE(write_somehow(file, load->iov, 3, road->offset, submitted, &error), 3 * FULL_VECTOR);
    AGREE(error, 0);
    AGREE(CALL(aio_file_sync(file)), 0);
    check_full_file(road, 3 * FULL_VECTOR);
    close_file(file);
    REQUIRE(unlink(scratch_path("disk/file")) == 0);
    return written;
}

/* What a descriptor does of the same. */
static int64_t fill_disk_plainly(const struct road *road, const struct load *load, int flags)
{
    int fd = open_plain("disk/file", O_RDWR | O_CREAT | flags);
    int64_t written = or_errno(pwritev(fd, load->iov, FULL_VECTORS, road->offset));

    close(fd);
    REQUIRE(unlink(scratch_path("disk/file")) == 0);
    return written;
}

START_TEST(a_full_disk_takes_what_it_has_room_for)
{
    const struct road *road = &full_roads[_i % FULL_ROADS];
    bool submitted = _i >= FULL_ROADS;
    bool direct = road->direct == AIO_DIRECT_REQUIRED && road->offset == 0 && road->flags == 0;
    struct load load;
    int64_t written;
    int64_t plain;

    if (!small_disk_mount(FULL_DISK, 4 * FULL_DISK, 0))
        return;
    snprintf(label, sizeof(label), "%s%s", road->name, submitted ? ", submitted" : "");
    load_make(&load, road);
    written = fill_disk(road, &load, submitted);
    plain = fill_disk_plainly(road, &load, direct && road->shift == 0 ? O_DIRECT : 0);
    /* In what pieces a file system finds room is its own affair: ext4 refuses a direct write as a
     * whole. Nobody gets less than a descriptor does. */
    if (written < plain || (written < 0 && written != -ENOSPC) || written > FULL_DISK)
        ck_abort_msg("%s: %lld bytes written, not %lld", label, (long long)written,
                     (long long)plain);
    small_disk_unmount();
    free(load.room);
}
END_TEST

/* --- open ----------------------------------------------------------------------------------- */

/* Opens both ways and closes again; returns what came of it. */
static int64_t open_handle(const char *path, int flags, enum aio_direct direct)
{
    struct aio_file_options options = file_options();
    struct aio_file *file = NULL;
    int64_t result;

    options.direct = direct;
    result = CALL(aio_file_open(path, flags, 0600, &options, &file));
    REQUIRE((file != NULL) == (result == 0));
    if (result == 0)
        close_file(file);
    return result;
}

static int64_t open_and_close(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* What the handle is expected to say: SAME, or an error of its own. */
static void compare_open(const char *name, int flags, int64_t expected)
{
    static const enum aio_direct directs[] = {AIO_DIRECT_REQUIRED, AIO_DIRECT_NEVER};

    for (size_t index = 0; index < COUNT(directs); index++) {
        int64_t plain;

        snprintf(label, sizeof(label), "open %s with 0%o, %s", name, (unsigned)flags,
                 directs[index] == AIO_DIRECT_NEVER ? "never" : "direct");
        unlink(scratch_path("new"));
        plain = open_and_close(scratch_path(name), flags);
        unlink(scratch_path("new"));
        AGREE(open_handle(scratch_path(name), flags, directs[index]),
              expected == SAME ? plain : expected);
    }
}

START_TEST(opens_return_what_open_does)
{
    static const struct {
        const char *name;
        int flags;
        int64_t expected;
    } table[] = {
        {"regular", O_RDONLY, SAME},
        {"regular", O_RDWR, SAME},
        {"regular", O_WRONLY | O_APPEND, SAME},
        {"regular", O_RDWR | O_CREAT, SAME},
        {"regular", O_RDWR | O_CREAT | O_EXCL, SAME},
        {"regular", O_RDONLY | O_DIRECTORY, SAME},
        {"regular/", O_RDONLY, SAME},
        {"regular/inside", O_RDWR | O_CREAT, SAME},
        {"missing", O_RDWR, SAME},
        {"missing/", O_RDWR | O_CREAT, SAME},
        {"missing/inside", O_RDWR | O_CREAT, SAME},
        {"new", O_RDWR | O_CREAT, SAME},
        {"new", O_RDONLY | O_CREAT | O_EXCL, SAME},
        {"new", O_WRONLY | O_CREAT | O_APPEND, SAME},
        {"directory", O_RDONLY, -EISDIR}, /* for descriptors there is readdir */
        {"directory", O_RDWR, SAME},
        {"directory", O_WRONLY, SAME},
        {"directory", O_RDWR | O_CREAT, SAME},
        {"directory", O_RDWR | O_CREAT | O_EXCL, SAME},
        {"directory", O_RDWR | O_TRUNC, SAME},
        {"directory", O_RDWR | O_TMPFILE, SAME},
        {"directory", O_RDONLY | O_TMPFILE, SAME},
        {"regular", O_RDWR | O_TMPFILE, SAME},
        {"link", O_RDWR, SAME},
        {"link", O_RDWR | O_NOFOLLOW, SAME},
        {"link", O_RDWR | O_CREAT | O_EXCL, SAME},
        {"circle", O_RDWR, SAME},
        {"circle", O_RDWR | O_CREAT, SAME},
        {"dangling", O_RDWR, SAME},
        {"dangling", O_RDWR | O_CREAT | O_EXCL, SAME},
        {"dangling", O_RDWR | O_CREAT, SAME},
    };

    make_file("regular", SIZE, 1);
    REQUIRE(mkdir(scratch_path("directory"), 0700) == 0);
    REQUIRE(symlink("regular", scratch_path("link")) == 0);
    REQUIRE(symlink("circle", scratch_path("circle")) == 0);
    REQUIRE(symlink("new", scratch_path("dangling")) == 0);
    for (size_t index = 0; index < COUNT(table); index++)
        compare_open(table[index].name, table[index].flags, table[index].expected);
    disk_check_pattern("regular", 0, SIZE, 1);
}
END_TEST

START_TEST(an_empty_or_long_path_is_none)
{
    char *longer = calloc(1, PATH_MAX + 10);

    EXPECT(open_handle("", O_RDWR, AIO_DIRECT_REQUIRED), open_and_close("", O_RDWR));
    EXPECT(open_handle("", O_RDWR | O_CREAT, AIO_DIRECT_REQUIRED),
           open_and_close("", O_RDWR | O_CREAT));
    memset(longer, 'x', PATH_MAX + 9);
    EXPECT(open_handle(longer, O_RDWR, AIO_DIRECT_REQUIRED), open_and_close(longer, O_RDWR));
    longer[NAME_MAX + 1] = '\0';
    EXPECT(open_handle(longer, O_RDWR | O_CREAT, AIO_DIRECT_REQUIRED),
           open_and_close(longer, O_RDWR | O_CREAT));
    free(longer);
}
END_TEST

static void copy_program(const char *from, const char *name)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(scratch_path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    char *bytes = page_alloc(MIB);
    ssize_t count;

    REQUIRE(in >= 0 && out >= 0);
    while ((count = read(in, bytes, MIB)) > 0)
        REQUIRE_EQ(write(out, bytes, (size_t)count), count);
    close(in);
    close(out);
    free(bytes);
}

static int run_program(void *argument)
{
    execl(argument, argument, "0", (char *)NULL);
    return errno;
}

/* A program that runs is not written to, and one that is being written to is not run. */
START_TEST(a_program_is_run_or_written_to)
{
    struct aio_file *file;
    pid_t child;
    int status;

    copy_program("/bin/sleep", "program");
    if (in_child(run_program, (void *)(uintptr_t)scratch_path("program")) != 0) {
        puts("Programs cannot be run where the files are: not asked for ETXTBSY.");
        return;
    }
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        execl(scratch_path("program"), "program", "100", (char *)NULL);
        _exit(1);
    }
    EVENTUALLY(open_and_close(scratch_path("program"), O_WRONLY) == -ETXTBSY);
    compare_open("program", O_RDWR, -ETXTBSY);
    compare_open("program", O_WRONLY | O_APPEND, SAME);
    compare_open("program", O_WRONLY | O_TRUNC, SAME);
    compare_open("program", O_RDONLY, SAME);
    kill(child, SIGKILL);
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT(aio_file_open(scratch_path("program"), O_RDWR, 0, NULL, &file), 0);
    REQUIRE_EQ(in_child(run_program, (void *)(uintptr_t)scratch_path("program")), ETXTBSY);
    close_file(file);
    REQUIRE_EQ(in_child(run_program, (void *)(uintptr_t)scratch_path("program")), 0);
}
END_TEST

/* Sets or clears an attribute; false, with errno set, where that cannot be done. */
static bool set_attribute(const char *name, int attribute, bool set)
{
    int fd = open(scratch_path(name), O_RDONLY | O_CLOEXEC);
    int attributes = 0;
    bool done = fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &attributes) == 0;

    attributes = set ? attributes | attribute : attributes & ~attribute;
    done = done && ioctl(fd, FS_IOC_SETFLAGS, &attributes) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

/* Undone also where the test fails: nobody could remove such files. */
static void attributes_off(void)
{
    set_attribute("fixed", FS_IMMUTABLE_FL, false);
    set_attribute("log", FS_APPEND_FL, false);
}

/* Files that may not be changed, and files that may only get longer. */
START_TEST(attributes_of_files_are_kept)
{
    struct aio_file_options options = file_options();
    char *page = pattern_alloc(PAGE, SIZE, 1);
    struct aio_file *file;

    make_file("fixed", SIZE, 1);
    make_file("log", SIZE, 1);
    if (!set_attribute("fixed", FS_IMMUTABLE_FL, true) ||
        !set_attribute("log", FS_APPEND_FL, true)) {
        printf("Attributes cannot be set here (%s): not asked.\n", strerrorname_np(errno));
        free(page);
        return;
    }
    compare_open("fixed", O_RDONLY, SAME);
    compare_open("fixed", O_RDWR, SAME);
    compare_open("fixed", O_WRONLY | O_APPEND, SAME);
    compare_open("log", O_RDONLY, SAME);
    compare_open("log", O_RDWR, SAME);
    compare_open("log", O_RDWR | O_APPEND | O_TRUNC, SAME);
    for (unsigned direct = 0; direct < 2; direct++) {
        options.direct = direct ? AIO_DIRECT_REQUIRED : AIO_DIRECT_NEVER;
        snprintf(label, sizeof(label), "a file that only gets longer, %u", direct);
        AGREE(CALL(aio_file_open(scratch_path("log"), O_RDWR | O_APPEND, 0, &options, &file)), 0);
        AGREE(CALL(aio_file_write(file, page, 50)), 50);
        AGREE(CALL(aio_file_append(file, page + 50, 50, NULL)), 50);
        AGREE(CALL(aio_file_truncate(file, 0)), -EPERM);
        close_file(file);
        REQUIRE_EQ(disk_size("log"), SIZE + 100 * (direct + 1));
        disk_check_pattern("log", 0, SIZE + 100, 1);
    }
    attributes_off();
    free(page);
}
END_TEST

START_TEST(others_files_are_refused_alike)
{
    make_file("secret", SIZE, 1);
    make_file("open", SIZE, 1);
    REQUIRE(chmod(scratch_path("secret"), 0) == 0 && chmod(scratch_path("open"), 0644) == 0);
    if (geteuid() != 0) {
        compare_open("secret", O_RDONLY, SAME);
        return;
    }
    REQUIRE(chmod(scratch_path("."), 0755) == 0);
    REQUIRE(seteuid(65534) == 0);
    compare_open("secret", O_RDONLY, SAME);
    compare_open("secret", O_RDWR | O_CREAT, SAME);
    compare_open("open", O_RDONLY, SAME);
    compare_open("open", O_RDWR, SAME);
    compare_open("open", O_WRONLY | O_TRUNC, SAME);
    compare_open("open", O_RDONLY | O_NOATIME, SAME);
    compare_open("new", O_RDWR | O_CREAT, SAME);
    REQUIRE(seteuid(0) == 0);
    REQUIRE(chmod(scratch_path("."), 0700) == 0);
    disk_check_pattern("open", 0, SIZE, 1);
}
END_TEST

START_TEST(used_up_descriptors_are_told_alike)
{
    struct rlimit limit;
    int lowest;
    int64_t plain;
    int64_t handle;

    make_file("regular", SIZE, 1);
    lowest = open_plain("regular", O_RDONLY);
    close(lowest);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)lowest;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    plain = open_and_close(scratch_path("regular"), O_RDWR);
    handle = open_handle(scratch_path("regular"), O_RDWR, AIO_DIRECT_REQUIRED);
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    REQUIRE_EQ(plain, -EMFILE);
    REQUIRE_EQ(handle, -EMFILE);
}
END_TEST

/* --- a disk that is only read --------------------------------------------------------------- */

START_TEST(a_disk_that_is_only_read_is_so_alike)
{
    struct aio_file_options options = file_options();
    char *page = page_alloc(PAGE);
    struct aio_file *file;
    int fd;

    if (!small_disk_mount(FULL_DISK, 4 * FULL_DISK, SMALL_DISK_READ_ONLY)) {
        free(page);
        return;
    }
    compare_open("disk/there", O_RDWR, SAME);
    compare_open("disk/there", O_WRONLY | O_APPEND, SAME);
    compare_open("disk/there", O_RDWR | O_TRUNC, SAME);
    compare_open("disk/there", O_RDONLY | O_CREAT, SAME);
    compare_open("disk/there", O_RDWR | O_CREAT | O_EXCL, SAME);
    compare_open("disk/missing", O_RDONLY, SAME);
    compare_open("disk/missing", O_RDWR | O_CREAT, SAME);
    compare_open("disk/missing", O_RDONLY | O_CREAT, SAME);
    compare_open("disk", O_RDWR | O_TMPFILE, SAME);
    fd = open_plain("disk/there", O_RDONLY);
    for (unsigned direct = 0; direct < 2; direct++) {
        options.direct = direct ? AIO_DIRECT_REQUIRED : AIO_DIRECT_NEVER;
        EXPECT(aio_file_open(scratch_path("disk/there"), O_RDONLY, 0, &options, &file), 0);
        EXPECT(aio_file_pread(file, page, PAGE, 0), PAGE);
        pattern_check(page, PAGE, 0, 1);
        EXPECT(aio_file_pread(file, page + 1, 100, 1000), 100);
        pattern_check(page + 1, 100, 1000, 1);
        EXPECT(aio_file_pwrite(file, page, PAGE, 0), -EBADF);
        EXPECT(aio_file_truncate(file, 0), or_errno(ftruncate(fd, 0)));
        EXPECT(aio_file_sync(file), or_errno(fsync(fd)));
        EXPECT(aio_file_datasync(file), or_errno(fdatasync(fd)));
        EXPECT(aio_file_sync(file), or_errno(fsync(fd))); /* nothing is kept */
        close_file(file);
    }
    close(fd);
    small_disk_unmount();
    free(page);
}
END_TEST

/* --- a truncate among appends --------------------------------------------------------------- */

enum { APPENDERS = 8, RECORDS_MAX = 20000 };

struct yard {
    struct aio_file *file;
    struct aio_queue *queue;
    uint64_t record; /* bytes */
    atomic_bool stop;
    atomic_uint truncates;
};

struct appender {
    struct yard *yard;
    uint32_t number;
    uint32_t count;
    pthread_t thread;
};

/* A record is the pattern of who wrote it and its number, which it begins with. */
static void make_record(char *bytes, uint64_t length, uint32_t number, uint32_t count)
{
    pattern_fill(bytes, length, 0, (uint64_t)number << 32 | count);
    memcpy(bytes, &number, sizeof(number));
    memcpy(bytes + sizeof(number), &count, sizeof(count));
}

static void *append_along(void *argument)
{
    struct appender *appender = argument;
    struct yard *yard = appender->yard;
    char *bytes = page_alloc(yard->record);

    while (!yard->stop && appender->count < RECORDS_MAX) {
        struct aio_op op = op_append(yard->file, bytes, yard->record);
        off_t where = -1;

        make_record(bytes, yard->record, appender->number, appender->count);
        if (appender->count % 2 == 0) {
            REQUIRE_EQ(CALL(aio_file_append(yard->file, bytes, yard->record, &where)),
                       yard->record);
        } else {
            struct aio_completion completion = run_op(yard->queue, &op);

            REQUIRE_EQ(completion.result, yard->record);
            where = completion.offset;
        }
        /* A truncate only ever leaves whole ones. */
        REQUIRE(where >= 0 && (uint64_t)where % yard->record == 0);
        appender->count++;
    }
    free(bytes);
    return NULL;
}

static void *truncate_along(void *argument)
{
    struct yard *yard = argument;
    uint64_t random = 1;

    while (!yard->stop) {
        uint64_t records = (uint64_t)CALL(aio_file_size(yard->file)) / yard->record;
        uint64_t kept = records > 0 ? random_next(&random) % (records + 1) : 0;

        EXPECT(aio_file_truncate(yard->file, (off_t)(kept * yard->record)), 0);
        atomic_fetch_add(&yard->truncates, 1);
        sleep_us(500);
    }
    return NULL;
}

/* Afterwards the file is whole records, each of which somebody wrote, none twice. */
static void check_records(const struct yard *yard, const struct appender *appenders)
{
    uint64_t size = disk_size("yard");
    uint64_t count = size / yard->record;
    char *found = page_alloc(yard->record);
    char *expected = page_alloc(yard->record);
    unsigned char *seen = calloc(APPENDERS, RECORDS_MAX);

    AGREE(size % yard->record, 0);
    for (uint64_t index = 0; index < count; index++) {
        uint32_t number;
        uint32_t which;

        disk_read("yard", found, yard->record, index * yard->record);
        memcpy(&number, found, sizeof(number));
        memcpy(&which, found + sizeof(number), sizeof(which));
        if (number >= APPENDERS || which >= appenders[number].count)
            ck_abort_msg("%s: record %llu of %llu is nobody's", label, (unsigned long long)index,
                         (unsigned long long)count);
        AGREE(seen[number * RECORDS_MAX + which]++, 0);
        make_record(expected, yard->record, number, which);
        AGREE(memcmp(found, expected, yard->record), 0);
    }
    free(found);
    free(expected);
    free(seen);
}

static const uint64_t record_sizes[] = {777, PAGE, 3 * PAGE + 5};

#define RECORD_SIZES ((int)COUNT(record_sizes))

START_TEST(a_truncate_leaves_whole_appends)
{
    const struct world *world = &worlds[_i % WORLDS];
    struct aio_file_options options = file_options();
    struct yard yard = {.queue = open_queue(APPENDERS, 0), .record = record_sizes[_i / WORLDS]};
    struct appender appenders[APPENDERS];
    pthread_t truncater;

    snprintf(label, sizeof(label), "%s, records of %llu", world->name,
             (unsigned long long)yard.record);
    options.direct = world->direct;
    EXPECT(aio_file_open(scratch_path("yard"), O_RDWR | O_CREAT | world->flags, 0600, &options,
                         &yard.file),
           0);
    for (uint32_t number = 0; number < APPENDERS; number++) {
        appenders[number] = (struct appender){.yard = &yard, .number = number};
        thread_begin(&appenders[number].thread, append_along, &appenders[number]);
    }
    thread_begin(&truncater, truncate_along, &yard);
    EVENTUALLY(yard.truncates >= 200 * test_scale());
    yard.stop = true;
    for (uint32_t number = 0; number < APPENDERS; number++) {
        thread_end(appenders[number].thread);
        REQUIRE(appenders[number].count > 0);
    }
    thread_end(truncater);
    AGREE(CALL(aio_file_size(yard.file)), disk_size("yard"));
    check_records(&yard, appenders);
    close_file(yard.file);
    close_queue(yard.queue);
    check_records(&yard, appenders);
}
END_TEST

static void add_attribute_tests(Suite *suite)
{
    TCase *tests_case = tcase_create("attributes");

    /* Unchecked: in this process, after the test's own, whatever became of it. */
    tcase_add_unchecked_fixture(tests_case, NULL, attributes_off);
    tcase_add_checked_fixture(tests_case, leak_begin, leak_end);
    tcase_add_test(tests_case, attributes_of_files_are_kept);
    suite_add_tcase(suite, tests_case);
}

static Suite *posix_suite(void)
{
    Suite *suite = suite_create("posix");

    add_loop_test(suite, "transfers", transfers_return_what_descriptors_do,
                  WORLDS * (int)COUNT(accesses));
    add_loop_test(suite, "transfers", strange_numbers_are_answered_alike, WORLDS);
    add_loop_test(suite, "transfers", vectors_are_counted_alike, WORLDS);
    add_loop_test(suite, "size", truncates_return_what_descriptors_do,
                  WORLDS * (int)COUNT(accesses));
    add_loop_test(suite, "size", seeks_return_what_descriptors_do, WORLDS * (int)COUNT(accesses));
    add_loop_test(suite, "size", allocations_return_what_descriptors_do,
                  WORLDS * (int)COUNT(accesses));
    add_loop_test(suite, "limit", a_limit_of_the_size_cuts_alike,
                  2 * WORLDS * (int)COUNT(limited_writes));
    add_loop_test(suite, "limit", a_limit_of_the_size_holds_for_truncates_and_appends, WORLDS);
    add_loop_test(suite, "full", a_full_disk_takes_what_it_has_room_for, 2 * FULL_ROADS);
    ADD_TESTS(suite, "open", opens_return_what_open_does, an_empty_or_long_path_is_none,
              a_program_is_run_or_written_to, others_files_are_refused_alike,
              used_up_descriptors_are_told_alike, a_disk_that_is_only_read_is_so_alike);
    add_attribute_tests(suite);
    add_loop_test(suite, "race", a_truncate_leaves_whole_appends, WORLDS * RECORD_SIZES);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, posix_suite);
}
