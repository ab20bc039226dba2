/* SPDX-License-Identifier: MIT */
/*
 * test_check.c - AIO_FILE_CHECK: each error of the program is told of once, and nothing else is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "fault.h"
#include "support.h"

/* --- what is said --------------------------------------------------------------------------- */

static struct log_kept said = LOG_KEPT_INIT;

static struct aio_file *open_checked(const char *name, int more_flags, uint32_t direct)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.flags = AIO_FILE_CHECK;
    options.log = log_keep;
    options.log_context = &said;
    options.direct = direct;
    EXPECT(aio_file_open(scratch_path(name), O_RDWR | O_CREAT | more_flags, 0600, &options, &file),
           0);
    return file;
}

/* As rig_open(), with a file that is checked. */
static struct rig rig_checked(uint32_t queue_flags)
{
    struct rig rig = {.fault = fault_create(test_engine, 16)};

    rig.queue = fault_queue(rig.fault, queue_flags);
    make_file("file", 64 * PAGE, 1);
    rig.file = open_checked("file", 0, AIO_DIRECT_REQUIRED);
    fault_attach(rig.fault, rig.file);
    return rig;
}

static void expect_silence(void)
{
    if (log_count(&said) > 0)
        ck_abort_msg("nothing was wrong, but: %s", said.last);
}

/* One sentence, with these words; then none is kept. */
static void expect_said(const char *word, const char *another)
{
    REQUIRE_EQ(log_count(&said), 1);
    REQUIRE_EQ(said.level, AIO_LOG_WARNING);
    if (strncmp(said.last, "check: ", 7) != 0 || !log_has(&said, word) || !log_has(&said, another))
        ck_abort_msg("neither \"%s\" nor \"%s\" is in: %s", word, another, said.last);
    log_clear(&said);
}

static const char *id_text(aio_request_id id)
{
    static char texts[4][32];
    static unsigned used;
    char *text = texts[used++ % COUNT(texts)];

    snprintf(text, sizeof(texts[0]), "id %llu", (unsigned long long)id);
    return text;
}

static void release_all(struct rig *rig)
{
    fault_hold(rig->fault, 0);
    fault_release(rig->fault, FAULT_FOR_EVER);
}

/* Waits until the kernel is through with so many that are held: then what a test does to their
 * memory is wrong as far as the library knows, and harmless. */
static void await_held(struct rig *rig, unsigned count)
{
    struct timespec now = {0, 0};
    struct aio_completion none;

    do {
        EXPECT(aio_queue_reap(rig->queue, &none, 0, 1, &now), 0);
        sleep_us(200);
    } while (fault_held(rig->fault) < count);
}

/* Lets all go that is held and takes the results. */
static void finish(struct rig *rig, unsigned count)
{
    struct aio_completion completions[16];

    release_all(rig);
    EXPECT(aio_queue_reap(rig->queue, completions, count, count, NULL), count);
}

/* --- ranges --------------------------------------------------------------------------------- */

START_TEST(writes_that_overlap)
{
    struct rig rig = rig_checked(_i != 0 ? AIO_QUEUE_OWNED : 0);
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct iovec iov[2] = {{bytes, PAGE}, {bytes + PAGE, PAGE}};
    struct aio_op first = op_vectors(AIO_OP_WRITEV, rig.file, iov, 2, 8 * PAGE);
    struct aio_op beside = op_write(rig.file, bytes, PAGE, 10 * PAGE);
    struct aio_op before = op_write(rig.file, bytes, PAGE, 7 * PAGE);
    struct aio_op second = op_write(rig.file, bytes, 4 * PAGE, 9 * PAGE);
    aio_request_id id;

    fault_hold(rig.fault, FAULT_WRITES);
    id = submit_one(rig.queue, &first);
    submit_one(rig.queue, &before);
    expect_silence();
    submit_one(rig.queue, &second);
    expect_said("overlaps", id_text(id));
    EXPECT(aio_file_pwrite(rig.file, bytes, PAGE, 9 * PAGE), PAGE);
    expect_said("blocking AIO_OP_WRITE of 4096 bytes at offset 36864", "overlaps");
    EXPECT(aio_file_pwritev(rig.file, iov, 2, 8 * PAGE), 2 * PAGE);
    expect_said("blocking AIO_OP_WRITEV", "in 2 vectors");
    finish(&rig, 3);
    submit_one(rig.queue, &first);
    submit_one(rig.queue, &beside);
    finish(&rig, 2);
    close_file(rig.file);
    close_queue(rig.queue);
    expect_silence();
    free(bytes);
}
END_TEST

START_TEST(writes_of_another_handle)
{
    struct rig rig = rig_checked(0);
    struct aio_file *other = open_checked("file", 0, AIO_DIRECT_REQUIRED);
    struct aio_file *elsewhere = open_checked("another", 0, AIO_DIRECT_REQUIRED);
    struct aio_file *unchecked;
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op first = op_write(rig.file, bytes, PAGE, 0);

    files_are_checked = false;
    unchecked = open_direct("third");
    close_file(unchecked);
    fault_hold(rig.fault, FAULT_WRITES);
    submit_one(rig.queue, &first);
    EXPECT(aio_file_pwrite(elsewhere, bytes, PAGE, 0), PAGE);
    expect_silence();
    EXPECT(aio_file_pwrite(other, bytes, PAGE, 0), PAGE);
    expect_said("overlaps", "blocking");
    finish(&rig, 1);
    close_file(other);
    close_file(elsewhere);
    rig_close(&rig);
    expect_silence();
    free(bytes);
}
END_TEST

START_TEST(appends_have_their_places)
{
    struct rig rig = rig_checked(0);
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct aio_op append = op_append(rig.file, bytes, PAGE);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 65 * PAGE);
    aio_request_id id;

    /* With some engines workers execute what extends a file. */
    fault_hold(rig.fault, FAULT_WRITES);
    fault_stall(rig.fault, FAULT_WRITES);
    submit_one(rig.queue, &append);
    id = submit_one(rig.queue, &append);
    expect_silence();
    submit_one(rig.queue, &write);
    expect_said("overlaps", id_text(id));
    fault_stall(rig.fault, 0);
    finish(&rig, 3);
    rig_close(&rig);
    expect_silence();
    free(bytes);
}
END_TEST

START_TEST(truncates_and_allocations)
{
    struct rig rig = rig_checked(0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 8 * PAGE);
    struct aio_op behind = {.opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = 9 * PAGE};
    struct aio_op within = {.opcode = AIO_OP_TRUNCATE, .file = rig.file, .offset = 4 * PAGE + 1};
    struct aio_op zeros = {.opcode = AIO_OP_ALLOCATE,
                           .file = rig.file,
                           .mode = AIO_ALLOCATE_WRITE_ZEROS,
                           .offset = 4 * PAGE,
                           .len = 5 * PAGE};
    struct aio_op plain = {
        .opcode = AIO_OP_ALLOCATE, .file = rig.file, .offset = 4 * PAGE, .len = 5 * PAGE};

    fault_hold(rig.fault, FAULT_WRITES);
    submit_one(rig.queue, &write);
    submit_one(rig.queue, &behind);
    submit_one(rig.queue, &plain);
    expect_silence();
    submit_one(rig.queue, &within);
    expect_said("takes away", "AIO_OP_TRUNCATE to 16385 bytes");
    submit_one(rig.queue, &zeros);
    expect_said("takes away", "AIO_OP_ALLOCATE of 20480 bytes at offset 16384");
    /* It comes after them all. */
    write.offset = 12 * PAGE;
    submit_one(rig.queue, &write);
    finish(&rig, 6);
    rig_close(&rig);
    expect_silence();
    free(bytes);
}
END_TEST

START_TEST(reads_of_what_is_written)
{
    struct rig rig = rig_checked(0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    char *memory = page_alloc(2 * PAGE);
    struct iovec iov[2] = {{memory, 512}, {memory + 512, PAGE - 512}};
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op read = op_read(rig.file, memory, PAGE, 0);
    struct aio_op vectors = op_vectors(AIO_OP_READV, rig.file, iov, 2, 0);

    fault_hold(rig.fault, FAULT_WRITES | FAULT_READS);
    submit_one(rig.queue, &write);
    submit_one(rig.queue, &read);
    expect_said("one reads what the other writes", "AIO_OP_READ");
    EXPECT(aio_file_pread(rig.file, memory + PAGE, PAGE, 0), PAGE);
    expect_said("one reads what the other writes", "blocking AIO_OP_READ");
    finish(&rig, 2);
    fault_hold(rig.fault, FAULT_WRITES | FAULT_READS);
    submit_one(rig.queue, &vectors);
    expect_silence();
    EXPECT(aio_file_pread(rig.file, memory + PAGE, PAGE, 0), PAGE); /* two reads */
    expect_silence();
    submit_one(rig.queue, &write);
    expect_said("one reads what the other writes", "AIO_OP_READV");
    finish(&rig, 2);
    rig_close(&rig);
    expect_silence();
    free(bytes);
    free(memory);
}
END_TEST

START_TEST(the_cursor_and_the_end)
{
    struct rig rig = rig_checked(0);
    struct aio_file *log = open_checked("log", O_APPEND, AIO_DIRECT_REQUIRED);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);

    fault_hold(rig.fault, FAULT_WRITES);
    submit_one(rig.queue, &write);
    EXPECT(aio_file_write(rig.file, bytes, PAGE), PAGE);
    expect_said("overlaps", "blocking AIO_OP_WRITE of 4096 bytes at offset 0");
    EXPECT(aio_file_write(rig.file, bytes, PAGE), PAGE);
    /* Each goes to the end, whatever its offset. */
    write.file = log;
    submit_one(rig.queue, &write);
    submit_one(rig.queue, &write);
    EXPECT(aio_file_append(log, bytes, 100, NULL), 100);
    finish(&rig, 3);
    close_file(log);
    rig_close(&rig);
    expect_silence();
    free(bytes);
}
END_TEST

START_TEST(what_was_refused_was_not_there)
{
    struct rig rig = rig_checked(0);
    struct aio_file_options options = file_options();
    struct aio_file *strict;
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op odd;

    options.flags = AIO_FILE_CHECK;
    options.unaligned = AIO_UNALIGNED_REJECT;
    options.log = log_keep;
    options.log_context = &said;
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &strict), 0);
    odd = op_write(strict, bytes, 100, 10);
    fault_hold(rig.fault, FAULT_WRITES);
    submit_one(rig.queue, &write);
    EXPECT(aio_queue_submit(rig.queue, &odd, 1, NULL), -EINVAL);
    EXPECT(aio_file_pwrite(strict, bytes, 100, 10), -EINVAL);
    finish(&rig, 1);
    REQUIRE_EQ(log_count(&said), 2); /* the refusals' own */
    REQUIRE(log_has(&said, "is not a multiple"));
    log_clear(&said);
    options.flags = AIO_FILE_CHECK << 1;
    close_file(strict);
    EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &strict), -EINVAL);
    rig_close(&rig);
    expect_silence();
    free(bytes);
}
END_TEST

/* --- chains --------------------------------------------------------------------------------- */

START_TEST(a_chain_is_not_in_its_own_way)
{
    struct rig rig = rig_checked(0);
    char *memory = pattern_alloc(2 * PAGE, 0, 2);
    struct aio_op chain[] = {
        op_write(rig.file, memory, PAGE, 0),
        op_write(rig.file, memory + PAGE, PAGE, 0),
        op_sync(rig.file),
        op_read(rig.file, memory, PAGE, 4 * PAGE), /* over what was written */
        op_write(rig.file, memory, PAGE, PAGE),    /* a copy */
        op_read(rig.file, memory, PAGE, 0),
        op_write(rig.file, memory, PAGE, 12 * PAGE),
    };
    struct aio_completion completions[8];

    for (unsigned index = 0; index + 1 < COUNT(chain); index++)
        chain[index].flags |= AIO_OP_LINK;
    EXPECT(aio_queue_submit(rig.queue, chain, COUNT(chain), NULL), COUNT(chain));
    EXPECT(aio_queue_reap(rig.queue, completions, COUNT(chain), COUNT(chain), NULL), COUNT(chain));
    for (unsigned index = 0; index < COUNT(chain); index++)
        REQUIRE_EQ(completions[index].result, index == 2 ? 0 : PAGE);
    expect_silence();
    /* But two chains are in each other's. */
    fault_hold(rig.fault, FAULT_WRITES);
    EXPECT(aio_queue_submit(rig.queue, chain, 2, NULL), -EINVAL);
    chain[1].flags = 0;
    EXPECT(aio_queue_submit(rig.queue, chain, 2, NULL), 2);
    expect_silence();
    EXPECT(aio_queue_submit(rig.queue, chain, 2, NULL), 2);
    expect_said("overlaps", "AIO_OP_WRITE of 4096 bytes at offset 0");
    EXPECT(aio_queue_cancel(rig.queue, 0), -EINVAL);
    release_all(&rig);
    EXPECT(aio_queue_reap(rig.queue, completions, 4, 4, NULL), 4);
    close_file(rig.file);
    close_queue(rig.queue);
    free(memory);
}
END_TEST

START_TEST(a_follower_has_its_memory_from_the_submit)
{
    struct rig rig = rig_checked(0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    char *memory = aio_buffer_alloc(PAGE, 0, 0);
    struct aio_op chain[] = {op_write(rig.file, bytes, PAGE, 0),
                             op_read(rig.file, memory, PAGE, PAGE)};
    aio_request_id ids[2];

    chain[0].flags = AIO_OP_LINK;
    fault_hold(rig.fault, FAULT_WRITES);
    EXPECT(aio_queue_submit(rig.queue, chain, 2, ids), 2);
    EXPECT(aio_queue_cancel(rig.queue, ids[1]), 0);
    aio_buffer_free(memory);
    expect_said("aio_buffer_free", id_text(ids[1]));
    finish(&rig, 2);
    rig_close(&rig);
    expect_silence();
    free(bytes);
}
END_TEST

/* --- memory --------------------------------------------------------------------------------- */

START_TEST(memory_that_changes)
{
    struct rig rig = rig_checked(_i != 0 ? AIO_QUEUE_OWNED : 0);
    char *bytes = pattern_alloc(4 * PAGE, 0, 1);
    struct iovec iov[2] = {{bytes + PAGE, PAGE}, {bytes + 3 * PAGE, PAGE}};
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op vectors = op_vectors(AIO_OP_WRITEV, rig.file, iov, 2, PAGE);
    aio_request_id first;
    aio_request_id second;

    fault_hold(rig.fault, FAULT_WRITES);
    first = submit_one(rig.queue, &write);
    second = submit_one(rig.queue, &vectors);
    await_held(&rig, 2);
    bytes[PAGE - 1] ^= 1;
    bytes[2 * PAGE] ^= 1; /* nobody's */
    release_all(&rig);
    REQUIRE_EQ(completion_of(rig.queue, first).result, PAGE);
    expect_said("was changed in flight", id_text(first));
    bytes[4 * PAGE - 1] ^= 1;
    REQUIRE_EQ(completion_of(rig.queue, second).result, 2 * PAGE);
    expect_said("was changed in flight", id_text(second));
    fault_hold(rig.fault, FAULT_WRITES);
    second = submit_one(rig.queue, &vectors);
    await_held(&rig, 1);
    iov[1].iov_base = bytes;
    release_all(&rig);
    REQUIRE_EQ(completion_of(rig.queue, second).result, 2 * PAGE);
    expect_said("array of vectors", id_text(second));
    bytes[0] ^= 1;
    rig_close(&rig);
    expect_silence();
    free(bytes);
}
END_TEST

START_TEST(memory_that_goes)
{
    struct rig rig = rig_checked(0);
    char *bytes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    aio_request_id id;

    bytes[0] = 1;
    fault_hold(rig.fault, FAULT_WRITES);
    id = submit_one(rig.queue, &write);
    await_held(&rig, 1);
    REQUIRE_EQ(munmap(bytes, PAGE), 0);
    release_all(&rig);
    completion_of(rig.queue, id);
    expect_said("was unmapped in flight", id_text(id));
    /* What never was there is the kernel's to tell. */
    EXPECT(aio_file_pwrite(rig.file, bytes, PAGE, 0), -EFAULT);
    rig_close(&rig);
    expect_silence();
}
END_TEST

struct stalled_write {
    struct aio_file *file;
    char *bytes;
};

static void *write_stalled(void *argument)
{
    struct stalled_write *write = argument;

    REQUIRE_EQ(CALL(aio_file_pwrite(write->file, write->bytes, PAGE, 0)), PAGE);
    return NULL;
}

START_TEST(memory_of_a_blocking_call)
{
    struct rig rig = rig_checked(0);
    struct stalled_write write = {rig.file, aio_buffer_alloc(PAGE, 0, AIO_BUFFER_ZERO)};
    char *other = page_alloc(PAGE);
    pthread_t thread;

    fault_stall(rig.fault, FAULT_WRITES);
    thread_begin(&thread, write_stalled, &write);
    EVENTUALLY(fault_stalled(rig.fault) == 1);
    EXPECT(aio_file_pread(rig.file, other, PAGE, 0), PAGE);
    expect_said("one reads what the other writes", "blocking AIO_OP_WRITE");
    write.bytes[100] = 1;
    fault_stall(rig.fault, 0);
    thread_end(thread);
    expect_said("was changed in flight", "blocking AIO_OP_WRITE");
    aio_buffer_free(write.bytes);
    rig_close(&rig);
    expect_silence();
    free(other);
}
END_TEST

START_TEST(memory_that_two_have)
{
    struct rig rig = rig_checked(0);
    char *memory = page_alloc(4 * PAGE);
    struct iovec iov[2] = {{memory + 2 * PAGE, 512}, {memory + 1024, 512}};
    struct aio_op read = op_read(rig.file, memory, PAGE, 0);
    struct aio_op beside = op_read(rig.file, memory + PAGE, PAGE, PAGE);
    struct aio_op vectors = op_vectors(AIO_OP_WRITEV, rig.file, iov, 2, 8 * PAGE);
    struct aio_op write = op_write(rig.file, memory + 3 * PAGE, PAGE, 4 * PAGE);

    memset(memory, 0, 4 * PAGE);
    fault_hold(rig.fault, FAULT_READS | FAULT_WRITES);
    submit_one(rig.queue, &read);
    submit_one(rig.queue, &beside);
    submit_one(rig.queue, &write);
    write.offset = 5 * PAGE;
    submit_one(rig.queue, &write); /* the same memory twice */
    expect_silence();
    await_held(&rig, 4);
    beside.buf = memory + PAGE / 2;
    beside.offset = 2 * PAGE;
    submit_one(rig.queue, &beside);
    expect_said("together with", "AIO_OP_READ");
    await_held(&rig, 5);
    submit_one(rig.queue, &vectors);
    expect_said("together with", "AIO_OP_WRITEV");
    release_all(&rig);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    log_clear(&said); /* the reads may have changed what was written */
    finish(&rig, 6);
    rig_close(&rig);
    expect_silence();
    free(memory);
}
END_TEST

START_TEST(memory_that_is_freed)
{
    struct rig rig = rig_checked(0);
    struct aio_buffer_pool_options pool_options = AIO_BUFFER_POOL_OPTIONS_INIT;
    struct aio_buffer_pool *pool;
    char *bytes = aio_buffer_alloc(2 * PAGE, 0, 0);
    struct iovec iov[2];
    struct aio_op read = op_read(rig.file, bytes + PAGE, PAGE, 0);
    struct aio_op write;
    aio_request_id id;

    pool_options.buffer_size = PAGE;
    pool_options.count = 2;
    EXPECT(aio_buffer_pool_create(&pool_options, &pool), 0);
    iov[0] = (struct iovec){aio_buffer_pool_get(pool), PAGE};
    iov[1] = (struct iovec){aio_buffer_pool_get(pool), PAGE};
    memset(iov[0].iov_base, 1, PAGE);
    memset(iov[1].iov_base, 2, PAGE);
    write = op_vectors(AIO_OP_WRITEV, rig.file, iov, 2, PAGE);
    fault_hold(rig.fault, FAULT_READS | FAULT_WRITES);
    id = submit_one(rig.queue, &read);
    await_held(&rig, 1);
    aio_buffer_free(bytes);
    expect_said("aio_buffer_free", id_text(id));
    id = submit_one(rig.queue, &write);
    await_held(&rig, 2);
    EXPECT(aio_buffer_pool_put(pool, iov[1].iov_base), 0);
    expect_said("aio_buffer_pool_put", id_text(id));
    EXPECT(aio_buffer_pool_put(pool, iov[1].iov_base), -EINVAL);
    memset(iov[1].iov_base, 3, PAGE); /* somebody else's by now */
    EXPECT(aio_buffer_pool_put(pool, iov[0].iov_base), 0);
    EXPECT(aio_buffer_pool_destroy(pool), 0);
    finish(&rig, 2);
    rig_close(&rig);
    expect_silence();
}
END_TEST

START_TEST(a_notice_is_not_the_end)
{
    struct rig rig = rig_checked(0);
    char *bytes = aio_buffer_alloc(PAGE, 0, AIO_BUFFER_ZERO);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_completion notice;
    aio_request_id id;

    write.deadline = 1000;
    fault_hold(rig.fault, FAULT_WRITES);
    id = submit_one(rig.queue, &write);
    EXPECT(aio_queue_wait_result(rig.queue, id, NULL, &notice), 0);
    await_held(&rig, 1);
    REQUIRE_EQ(notice.flags, AIO_COMPLETION_MORE);
    expect_silence();
    aio_buffer_free(bytes);
    expect_said("aio_buffer_free", id_text(id));
    finish(&rig, 1);
    rig_close(&rig);
    expect_silence();
}
END_TEST

/* --- when it ends --------------------------------------------------------------------------- */

static char *callback_bytes;

static void change_in_callback(const struct aio_completion *completion)
{
    (void)completion;
    callback_bytes[0] ^= 1; /* the program's again */
}

START_TEST(a_callback_has_its_memory_back)
{
    struct rig rig = rig_checked(0);
    struct aio_op write;

    callback_bytes = pattern_alloc(PAGE, 0, 1);
    write = op_write(rig.file, callback_bytes, PAGE, 0);
    write.on_complete = change_in_callback;
    submit_one(rig.queue, &write);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    expect_silence();
    fault_hold(rig.fault, FAULT_WRITES);
    submit_one(rig.queue, &write);
    EVENTUALLY(fault_held(rig.fault) == 1);
    callback_bytes[1] ^= 1;
    release_all(&rig);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    expect_said("was changed in flight", "AIO_OP_WRITE");
    rig_close(&rig);
    expect_silence();
    free(callback_bytes);
}
END_TEST

START_TEST(a_drain_and_a_close_give_memory_back)
{
    struct rig rig = rig_checked(0);
    char *bytes = pattern_alloc(2 * PAGE, 0, 1);
    struct aio_op write = op_write(rig.file, bytes, PAGE, 0);
    struct aio_op other = op_write(rig.file, bytes + PAGE, PAGE, PAGE);
    struct aio_completion completions[3];

    submit_one(rig.queue, &write);
    EXPECT(aio_queue_drain(rig.queue, NULL), 0);
    bytes[0] ^= 1;
    submit_one(rig.queue, &other);
    close_file(rig.file);
    bytes[PAGE] ^= 1;
    EXPECT(aio_queue_reap(rig.queue, completions, 2, 2, NULL), 2);
    expect_silence();
    rig.file = open_checked("file", 0, AIO_DIRECT_REQUIRED);
    write.file = rig.file;
    fault_hold(rig.fault, FAULT_WRITES);
    submit_one(rig.queue, &write);
    await_held(&rig, 1);
    bytes[0] ^= 1;
    release_all(&rig);
    close_file(rig.file);
    expect_said("was changed in flight", "AIO_OP_WRITE");
    EXPECT(aio_queue_destroy(rig.queue, AIO_QUEUE_DISCARD), 0);
    free(bytes);
}
END_TEST

static char *parents_bytes;

static int child_writes(void *argument)
{
    struct rig *rig = argument;
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct aio_file *fresh;

    /* What its parent has in flight is nothing to it. */
    if (aio_file_pwrite(rig->file, bytes, PAGE, 0) != PAGE || log_count(&said) != 0)
        return 1;
    fresh = open_checked("file", 0, AIO_DIRECT_REQUIRED);
    aio_buffer_free(parents_bytes);
    if (aio_file_pwrite(fresh, bytes, PAGE, 0) != PAGE || aio_file_close(fresh) != 0)
        return 2;
    return aio_file_close(rig->file) == 0 && log_count(&said) == 0 ? 0 : 3;
}

START_TEST(a_child_is_not_checked)
{
    struct rig rig = rig_checked(0);
    struct aio_op write;

    parents_bytes = aio_buffer_alloc(PAGE, 0, AIO_BUFFER_ZERO);
    write = op_write(rig.file, parents_bytes, PAGE, 0);
    fault_hold(rig.fault, FAULT_WRITES);
    submit_one(rig.queue, &write);
    REQUIRE_EQ(in_child(child_writes, &rig), 0);
    finish(&rig, 1);
    rig_close(&rig);
    expect_silence();
    aio_buffer_free(parents_bytes);
}
END_TEST

START_TEST(without_memory_it_says_so)
{
    enum { VECTORS = 4 * 1024 * 1024 };
    struct rig rig = rig_checked(0);
    char *bytes = pattern_alloc(PAGE, 0, 1);
    struct iovec *iov = calloc(VECTORS, sizeof(*iov));
    struct rlimit before;
    struct rlimit little = {64 * MIB, RLIM_INFINITY};

    if (slowness() > 1) { /* sanitizers do not live with such a limit */
        rig_close(&rig);
        free(iov);
        free(bytes);
        return;
    }
    REQUIRE(iov != NULL);
    iov[VECTORS - 1] = (struct iovec){bytes, PAGE};
    REQUIRE_EQ(getrlimit(RLIMIT_AS, &before), 0);
    little.rlim_max = before.rlim_max;
    REQUIRE_EQ(setrlimit(RLIMIT_AS, &little), 0);
    for (unsigned round = 0; round < 2; round++)
        EXPECT(aio_file_pwritev(rig.file, iov, VECTORS, 0), PAGE);
    REQUIRE_EQ(setrlimit(RLIMIT_AS, &before), 0);
    expect_said("no memory", "not checked");
    rig_close(&rig);
    expect_silence();
    free(iov);
    free(bytes);
}
END_TEST

/* --- many threads, nothing wrong ------------------------------------------------------------ */

enum { THREADS = 6, ROUNDS = 200, OWN = 16 };

struct good {
    struct aio_file *file;
    struct aio_file *log;
    struct aio_queue *queue;
    unsigned number;
    pthread_t thread;
};

/* One operation in the thread's own part of the file, with its own memory. */
static void good_step(struct good *good, char *bytes, char *memory, uint64_t *random)
{
    int64_t base = (int64_t)good->number * OWN * PAGE;
    struct iovec iov[2] = {{bytes, 1000}, {bytes + PAGE, 3 * PAGE}};
    struct aio_op chain[2] = {op_write(good->file, bytes, 2 * PAGE, base + PAGE),
                              op_read(good->file, bytes, PAGE, base + PAGE)};
    struct aio_op append = op_append(good->log, bytes, random_next(random) % 5000 + 1);
    struct aio_op write = op_write(good->file, bytes, PAGE, base + 4 * PAGE);
    struct aio_op read = op_read(good->file, memory, 2 * PAGE - 7, base + 8 * PAGE + 3);
    aio_request_id ids[4];

    bytes[random_next(random) % (4 * PAGE)] ^= 1;
    chain[0].flags = AIO_OP_LINK;
    switch (random_next(random) % 5) {
    case 0:
        EXPECT(aio_file_pwritev(good->file, iov, 2, base + 1), 1000 + 3 * PAGE);
        break;
    case 1:
        EXPECT(aio_file_append(good->log, bytes, append.len, NULL), append.len);
        break;
    case 2:
        EXPECT(aio_queue_submit(good->queue, chain, 2, ids), 2);
        completion_of(good->queue, ids[1]);
        completion_of(good->queue, ids[0]);
        break;
    case 3:
        ids[0] = submit_one(good->queue, &write);
        ids[1] = submit_one(good->queue, &read);
        ids[2] = submit_one(good->queue, &append);
        for (unsigned index = 0; index < 3; index++)
            completion_of(good->queue, ids[index]);
        break;
    default:
        EXPECT(aio_file_pread(good->file, memory, PAGE, base), PAGE);
        break;
    }
}

static void *be_good(void *argument)
{
    struct good *good = argument;
    uint64_t random = good->number;

    for (unsigned round = 0; round < ROUNDS / slowness(); round++) {
        char *bytes = aio_buffer_alloc(4 * PAGE, 0, AIO_BUFFER_ZERO);
        char *memory = page_alloc(2 * PAGE);

        for (unsigned step = 0; step < 4; step++)
            good_step(good, bytes, memory, &random);
        aio_buffer_free(bytes);
        free(memory);
    }
    return NULL;
}

START_TEST(what_is_right_is_not_told_of)
{
    struct good goods[THREADS];
    struct aio_queue *queue = open_queue(32, 0);
    struct aio_file *file;
    struct aio_file *log = open_checked("log", 0, AIO_DIRECT_REQUIRED);

    make_file("file", THREADS * OWN * PAGE, 1);
    file = open_checked("file", 0, _i != 0 ? AIO_DIRECT_NEVER : AIO_DIRECT_REQUIRED);
    for (unsigned number = 0; number < THREADS; number++) {
        goods[number] = (struct good){.file = file, .log = log, .queue = queue, .number = number};
        thread_begin(&goods[number].thread, be_good, &goods[number]);
    }
    for (unsigned number = 0; number < THREADS; number++)
        thread_end(goods[number].thread);
    close_file(file);
    close_file(log);
    close_queue(queue);
    expect_silence();
}
END_TEST

static Suite *check_suite(void)
{
    Suite *suite = suite_create("check");

    add_loop_test(suite, "ranges", writes_that_overlap, 2);
    ADD_TESTS(suite, "ranges", writes_of_another_handle, appends_have_their_places,
              truncates_and_allocations, reads_of_what_is_written, the_cursor_and_the_end,
              what_was_refused_was_not_there);
    ADD_TESTS(suite, "chains", a_chain_is_not_in_its_own_way,
              a_follower_has_its_memory_from_the_submit);
    add_loop_test(suite, "memory", memory_that_changes, 2);
    ADD_TESTS(suite, "memory", memory_that_goes, memory_of_a_blocking_call, memory_that_two_have,
              memory_that_is_freed, a_notice_is_not_the_end);
    ADD_TESTS(suite, "end", a_callback_has_its_memory_back, a_drain_and_a_close_give_memory_back,
              a_child_is_not_checked, without_memory_it_says_so);
    add_loop_test(suite, "silence", what_is_right_is_not_told_of, 2);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, check_suite);
}
