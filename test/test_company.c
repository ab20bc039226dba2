/* SPDX-License-Identifier: MIT */
/*
 * test_company.c - several handles of one file, opened in different ways, at the same time: nobody
 * waits for what cannot come. Each of these has hung.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define ROUNDS 300u

/* Opens the file once more. */
static struct aio_file *open_again(int flags, uint32_t direct, uint64_t grow_ahead)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.direct = direct;
    options.grow_ahead = grow_ahead;
    EXPECT(aio_file_open(scratch_path("file"), flags, 0, &options, &file), 0);
    return file;
}

/* --- a callback that writes ----------------------------------------------------------------- */

/* A callback that waits until it is told, then writes to the first page, or appends one. */
struct writer {
    struct aio_file *file;
    char *page;
    bool appends;
    atomic_bool running;
    atomic_bool told;
    atomic_int results;
    ssize_t written;
};

static void write_when_told(const struct aio_completion *completion)
{
    struct writer *writer = completion->context;

    writer->running = true;
    EVENTUALLY(writer->told);
    writer->written = writer->appends ? aio_file_append(writer->file, writer->page, PAGE, NULL)
                                      : aio_file_pwrite(writer->file, writer->page, PAGE, 0);
    writer->results++;
}

static void count_result(const struct aio_completion *completion)
{
    struct writer *writer = completion->context;

    REQUIRE_EQ(completion->result, PAGE);
    writer->results++;
}

static void *append_ten_bytes(void *file)
{
    EXPECT(aio_file_append(file, "ten bytes!", 10, NULL), 10);
    return NULL;
}

/* What is in flight is for the reaper to deliver, which runs the callback. */
static void check_writer(struct writer *writer, struct aio_file *submits, struct aio_file *appends)
{
    struct aio_queue *queue = open_queue(4, 0);
    struct aio_op read = op_read(writer->file, writer->page, PAGE, 0);
    struct aio_op write = op_write(submits, writer->page, PAGE, 0);
    pthread_t thread;

    read.on_complete = write_when_told;
    read.context = writer;
    write.on_complete = count_result;
    write.context = writer;
    submit_one(queue, &read);
    EVENTUALLY(writer->running);
    submit_one(queue, &write);
    if (appends != NULL)
        thread_begin(&thread, append_ten_bytes, appends);
    sleep_us(20000); /* for that thread to wait; if it does not yet, the test is an easier one */
    writer->told = true;
    EVENTUALLY(writer->results == 2);
    REQUIRE_EQ(writer->written, PAGE);
    if (appends != NULL)
        thread_end(thread);
    close_queue(queue);
}

START_TEST(a_callback_writes_beside_a_handle_that_is_not_direct)
{
    struct writer writer = {.file = open_direct("file"), .page = page_alloc(PAGE)};
    struct aio_file *cached = open_again(O_RDWR, AIO_DIRECT_NEVER, 0);

    memset(writer.page, 1, PAGE);
    EXPECT(aio_file_pwrite(writer.file, writer.page, PAGE, 0), PAGE);
    check_writer(&writer, cached, NULL);
    close_file(cached);
    close_file(writer.file);
    free(writer.page);
}
END_TEST

START_TEST(a_callback_appends_beside_one_with_o_append)
{
    struct writer writer = {.file = open_direct("file"), .page = page_alloc(PAGE), .appends = true};
    struct aio_file *appends = open_again(O_RDWR | O_APPEND, AIO_DIRECT_NEVER, 0);

    memset(writer.page, 1, PAGE);
    EXPECT(aio_file_pwrite(writer.file, writer.page, PAGE, 0), PAGE);
    check_writer(&writer, writer.file, appends);
    REQUIRE_EQ(aio_file_size(writer.file), 2 * PAGE + 10);
    close_file(appends);
    close_file(writer.file);
    free(writer.page);
}
END_TEST

START_TEST(a_callback_writes_beside_one_that_extends_ahead)
{
    struct writer writer = {.file = open_direct("file"), .page = page_alloc(PAGE)};
    struct aio_file *grows = open_again(O_RDWR, AIO_DIRECT_REQUIRED, MIB);

    memset(writer.page, 1, PAGE);
    check_writer(&writer, grows, NULL);
    close_file(grows);
    close_file(writer.file);
    free(writer.page);
}
END_TEST

/* --- threads -------------------------------------------------------------------------------- */

struct crowd {
    struct aio_file *file;
    struct aio_file *appends;
    char *page;
};

static void *append_often(void *argument)
{
    struct crowd *crowd = argument;

    for (unsigned round = 0; round < ROUNDS; round++)
        EXPECT(aio_file_append(crowd->appends, crowd->page, 100, NULL), 100);
    return NULL;
}

/* Writes whole pages behind wherever the end was, and cuts the file now and then. */
static void *extend_often(void *argument)
{
    struct crowd *crowd = argument;

    for (unsigned round = 0; round < ROUNDS; round++) {
        off_t end = aio_file_size(crowd->file);

        EXPECT(aio_file_pwrite(crowd->file, crowd->page, PAGE, (end + PAGE - 1) / PAGE * PAGE),
               PAGE);
        if (round % 100 == 99)
            EXPECT(aio_file_truncate(crowd->file, 0), 0);
    }
    return NULL;
}

static void check_crowd(int append_flags, uint32_t append_direct, uint64_t grow_ahead)
{
    struct crowd crowd = {
        open_direct("file"),
        open_again(O_RDWR | append_flags, append_direct, append_flags != 0 ? 0 : grow_ahead),
        page_alloc(PAGE)};
    pthread_t threads[4];

    memset(crowd.page, 1, PAGE);
    for (unsigned index = 0; index < COUNT(threads); index++)
        thread_begin(&threads[index], index % 2 == 0 ? append_often : extend_often, &crowd);
    for (unsigned index = 0; index < COUNT(threads); index++)
        thread_end(threads[index]);
    close_file(crowd.appends);
    close_file(crowd.file);
    free(crowd.page);
}

START_TEST(o_append_beside_writes_that_extend)
{
    check_crowd(O_APPEND, AIO_DIRECT_NEVER, 0);
    check_crowd(O_APPEND, AIO_DIRECT_REQUIRED, 0);
}
END_TEST

START_TEST(appends_beside_writes_that_extend)
{
    check_crowd(0, AIO_DIRECT_REQUIRED, 0);
    check_crowd(0, AIO_DIRECT_NEVER, 0);
    check_crowd(0, AIO_DIRECT_REQUIRED, 64 * KIB);
}
END_TEST

static Suite *company_suite(void)
{
    Suite *suite = suite_create("company");

    ADD_TESTS(suite, "callbacks", a_callback_writes_beside_a_handle_that_is_not_direct,
              a_callback_appends_beside_one_with_o_append,
              a_callback_writes_beside_one_that_extends_ahead);
    ADD_TESTS(suite, "threads", o_append_beside_writes_that_extend,
              appends_beside_writes_that_extend);
    return suite;
}

int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, company_suite);
}
