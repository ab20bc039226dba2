/* SPDX-License-Identifier: MIT */
/*
 * test_stress.c - all calls from many threads at once, for some seconds.
 *
 * Usage: test_stress <engine> [seconds]
 *
 * Each operation has a ticket, which must be used once: by the callback, the reap or the wait that
 * gets its completion. Each thread has pages of its own, whose stamp says who wrote them and when,
 * so that whatever is read is known. Besides there is a file of which everybody makes a mess.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

enum {
    THREADS = 6,
    QUEUES = 2,
    PAGES = 8,    /* of a thread, in each file */
    TICKETS = 16, /* of a thread */
};

struct thread;

/* One operation. */
struct ticket {
    struct thread *owner;
    struct aio_op op;
    int64_t expected; /* INT64_MIN: whatever comes */
    uint64_t stamp;   /* that a read must find */
    unsigned char *page;
    bool resubmits;  /* its callback submits another */
    atomic_int uses; /* completions */
    atomic_bool inflight;
};

struct stage {
    struct fault *fault; /* under the second queue */
    struct aio_queue *queues[QUEUES];
    struct aio_file *files[2];
    struct aio_file *mess;
    atomic_bool stop;
    atomic_ullong submitted[QUEUES];
    atomic_ullong completed[QUEUES];
};

struct thread {
    struct stage *stage;
    unsigned number;
    uint64_t random;
    uint64_t stamps[2][PAGES]; /* what each page has */
    uint64_t last_stamp;
    struct ticket tickets[TICKETS];
    unsigned char *page;
    uint64_t rounds;
    pthread_t thread;
};

static uint64_t choose(struct thread *thread, uint64_t below)
{
    return random_next(&thread->random) % below;
}

/* --- tickets -------------------------------------------------------------------------------- */

static unsigned queue_number(const struct stage *stage, const struct aio_queue *queue)
{
    return queue == stage->queues[0] ? 0 : 1;
}

static void use_ticket(struct aio_queue *queue, const struct aio_completion *completion)
{
    struct ticket *ticket = completion->context;
    struct stage *stage = ticket->owner->stage;

    REQUIRE_EQ(atomic_fetch_add(&ticket->uses, 1), 0);
    if (ticket->expected != INT64_MIN)
        REQUIRE_EQ(completion->result, ticket->expected);
    if (ticket->stamp != 0)
        pattern_check(ticket->page, PAGE, (uint64_t)ticket->op.offset, ticket->stamp);
    atomic_fetch_add(&stage->completed[queue_number(stage, queue)], 1);
    /* The owner may have it again. */
    atomic_store(&ticket->inflight, false);
}

static void callback_of_first(const struct aio_completion *completion)
{
    struct ticket *ticket = completion->context;

    use_ticket(ticket->owner->stage->queues[0], completion);
}

static void callback_of_second(const struct aio_completion *completion)
{
    struct ticket *ticket = completion->context;

    use_ticket(ticket->owner->stage->queues[1], completion);
}

/* A callback that keeps its ticket for another round. */
static void callback_again(const struct aio_completion *completion)
{
    struct ticket *ticket = completion->context;
    struct stage *stage = ticket->owner->stage;

    REQUIRE_EQ(completion->result, ticket->expected);
    ticket->op.on_complete = callback_of_first;
    atomic_fetch_add(&stage->completed[0], 1);
    atomic_fetch_add(&stage->submitted[0], 1);
    REQUIRE_EQ(CALL(aio_queue_submit(stage->queues[0], &ticket->op, 1, NULL)), 1);
}

/* Takes results of whoever they are. */
static void reap_some(struct aio_queue *queue, unsigned min)
{
    struct aio_completion completions[8];
    struct timespec a_moment = {0, 2000000};
    int64_t count = CALL(aio_queue_reap(queue, completions, min, 8, &a_moment));

    REQUIRE(count >= 0);
    for (int64_t index = 0; index < count; index++)
        use_ticket(queue, &completions[index]);
}

/* A ticket that is not in use; NULL if all are. */
static struct ticket *free_ticket(struct thread *thread)
{
    unsigned start = (unsigned)choose(thread, TICKETS);

    for (unsigned count = 0; count < TICKETS; count++) {
        struct ticket *ticket = &thread->tickets[(start + count) % TICKETS];

        if (!atomic_load(&ticket->inflight)) {
            ticket->uses = 0;
            ticket->expected = INT64_MIN;
            ticket->stamp = 0;
            ticket->inflight = true;
            return ticket;
        }
    }
    return NULL;
}

/* Submits it, making room where results that nobody took are in the way. */
static aio_request_id submit_ticket(struct thread *thread, struct aio_queue *queue,
                                    struct ticket *ticket)
{
    struct stage *stage = thread->stage;
    aio_request_id id = 0;

    ticket->op.context = ticket;
    for (;;) {
        int64_t result;

        atomic_fetch_add(&stage->submitted[queue_number(stage, queue)], 1);
        result = CALL(aio_queue_submit(queue, &ticket->op, 1, &id));
        if (result == 1)
            return id;
        atomic_fetch_sub(&stage->submitted[queue_number(stage, queue)], 1);
        REQUIRE_EQ(result, -EBUSY);
        reap_some(queue, 0);
        sleep_us(100);
    }
}

/* --- the pages of a thread ------------------------------------------------------------------ */

static int64_t page_offset(const struct thread *thread, unsigned page)
{
    return ((int64_t)thread->number * PAGES + page) * PAGE;
}

static uint64_t next_stamp(struct thread *thread)
{
    return ++thread->last_stamp * THREADS + thread->number + 1;
}

/* Writes a page of its own, this way or that, and waits for it. */
static void write_page(struct thread *thread, unsigned file, unsigned page)
{
    struct stage *stage = thread->stage;
    int64_t offset = page_offset(thread, page);
    uint64_t stamp = next_stamp(thread);
    struct iovec iov = {thread->page, PAGE};
    struct aio_queue *queue = stage->queues[choose(thread, QUEUES)];
    struct ticket *ticket;

    pattern_fill(thread->page, PAGE, (uint64_t)offset, stamp);
    thread->stamps[file][page] = stamp;
    if (choose(thread, 2) == 0) {
        REQUIRE_EQ(CALL(aio_file_pwritev(stage->files[file], &iov, 1, offset)), PAGE);
        return;
    }
    while ((ticket = free_ticket(thread)) == NULL)
        reap_some(queue, 0);
    ticket->op = op_write(stage->files[file], thread->page, PAGE, offset);
    ticket->op.flags = AIO_OP_WAITED;
    ticket->expected = PAGE;
    {
        aio_request_id id = submit_ticket(thread, queue, ticket);
        struct timespec a_moment = {0, (long)choose(thread, 100000)};
        struct aio_completion completion;
        int64_t result;

        do {
            result = CALL(aio_queue_wait_result(
                queue, id, choose(thread, 2) == 0 ? &a_moment : NULL, &completion));
        } while (result == -ETIMEDOUT);
        REQUIRE_EQ(result, 0);
        use_ticket(queue, &completion);
        EXPECT(aio_queue_wait(queue, id, NULL), -ESTALE);
    }
}

/* Reads one, and knows what must be in it; submitted ones are taken by anybody. */
static void read_page(struct thread *thread, unsigned file, unsigned page)
{
    struct stage *stage = thread->stage;
    int64_t offset = page_offset(thread, page);
    uint64_t stamp = thread->stamps[file][page];
    struct aio_queue *queue = stage->queues[choose(thread, QUEUES)];
    struct ticket *ticket = choose(thread, 3) == 0 ? NULL : free_ticket(thread);

    if (ticket == NULL) {
        REQUIRE_EQ(CALL(aio_file_pread(stage->files[file], thread->page, PAGE, offset)), PAGE);
        pattern_check(thread->page, PAGE, (uint64_t)offset, stamp);
        return;
    }
    ticket->op = op_read(stage->files[file], ticket->page, PAGE, offset);
    ticket->expected = PAGE;
    ticket->stamp = stamp;
    if (choose(thread, 2) == 0)
        ticket->op.on_complete = queue == stage->queues[0] ? callback_of_first : callback_of_second;
    submit_ticket(thread, queue, ticket);
}

/* A page that is read may not be written before. */
static void settle(struct thread *thread)
{
    for (unsigned index = 0; index < TICKETS; index++)
        while (atomic_load(&thread->tickets[index].inflight))
            for (unsigned queue = 0; queue < QUEUES; queue++)
                reap_some(thread->stage->queues[queue], 0);
}

/* --- what everybody does -------------------------------------------------------------------- */

static void make_a_mess(struct thread *thread)
{
    struct stage *stage = thread->stage;
    struct aio_file *mess = stage->mess;
    uint64_t pages = choose(thread, 16);
    struct ticket *ticket;
    off_t where;
    int64_t result;

    switch (choose(thread, 6)) {
    case 0:
        EXPECT(aio_file_truncate(mess, (off_t)(pages * PAGE)), 0);
        break;
    case 1:
        EXPECT(aio_file_sync(mess), 0);
        break;
    case 2:
        EXPECT(aio_file_datasync(stage->files[choose(thread, 2)]), 0);
        break;
    case 3:
        EXPECT(aio_file_append(mess, thread->page, PAGE, &where), PAGE);
        REQUIRE(where % 512 == 0);
        break;
    case 4:
        EXPECT(aio_file_write(mess, thread->page, PAGE), PAGE);
        result = CALL(aio_file_seek(mess, (off_t)(pages * PAGE), SEEK_SET));
        REQUIRE(result >= 0);
        break;
    default:
        ticket = free_ticket(thread);
        if (ticket == NULL)
            return;
        ticket->op = choose(thread, 2) == 0
                         ? op_append(mess, ticket->page, PAGE)
                         : op_write(mess, ticket->page, PAGE, (int64_t)(pages * PAGE));
        ticket->expected = PAGE;
        submit_ticket(thread, stage->queues[choose(thread, QUEUES)], ticket);
        break;
    }
}

static void submit_odds(struct thread *thread)
{
    struct stage *stage = thread->stage;
    struct ticket *ticket = free_ticket(thread);
    unsigned which = (unsigned)choose(thread, 3);

    if (ticket == NULL)
        return;
    ticket->op = which == 0 ? op_nop() : op_sync(stage->files[choose(thread, 2)]);
    ticket->expected = 0;
    if (which == 2)
        ticket->op.on_complete = callback_again;
    submit_ticket(thread, stage->queues[which == 2 ? 0 : choose(thread, QUEUES)], ticket);
}

static void look_round(struct thread *thread)
{
    struct aio_queue *queue = thread->stage->queues[choose(thread, QUEUES)];
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_file_info file_info = {.size = sizeof(file_info)};
    struct aio_request_info infos[8];
    struct timespec a_moment = {0, 1000000};
    int64_t result;

    EXPECT(aio_queue_stats(queue, &stats), 0);
    REQUIRE(stats.completed <= stats.submitted && stats.held <= stats.depth);
    REQUIRE(stats.inflight <= stats.held);
    result = CALL(aio_queue_inflight(queue, infos, 8));
    REQUIRE(result >= 0 && result <= stats.depth);
    EXPECT(aio_file_info(thread->stage->mess, &file_info), 0);
    result = CALL(aio_queue_drain(queue, &a_moment));
    REQUIRE(result == 0 || result == -ETIMEDOUT);
}

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    struct stage *stage = thread->stage;

    for (unsigned file = 0; file < 2; file++)
        for (unsigned page = 0; page < PAGES; page++)
            write_page(thread, file, page);
    for (; !atomic_load(&stage->stop); thread->rounds++) {
        uint64_t chance = choose(thread, 100);
        unsigned file = (unsigned)choose(thread, 2);
        unsigned page = (unsigned)choose(thread, PAGES);

        if (chance < 50) {
            read_page(thread, file, page);
        } else if (chance < 60) {
            settle(thread);
            write_page(thread, file, page);
        } else if (chance < 75) {
            reap_some(stage->queues[choose(thread, QUEUES)], (unsigned)choose(thread, 5));
        } else if (chance < 85) {
            make_a_mess(thread);
        } else if (chance < 95) {
            submit_odds(thread);
        } else {
            look_round(thread);
        }
    }
    settle(thread);
    return NULL;
}

/* --- the stage ------------------------------------------------------------------------------ */

static unsigned seconds = 3;

/* A part of a write may end at any sector, and an append meanwhile begins there. */
static struct aio_file *open_by_sectors(const char *name)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.alignment = 512;
    EXPECT(aio_file_open(scratch_path(name), O_RDWR | O_CREAT | O_TRUNC, 0600, &options, &file), 0);
    return file;
}

static void stage_open(struct stage *stage)
{
    memset(stage, 0, sizeof(*stage));
    stage->fault = fault_create(test_engine, 9);
    fault_shorten_by_chance(stage->fault, 1, 3, 512);
    stage->queues[0] = open_queue(24, 0);
    stage->queues[1] = fault_queue(stage->fault, 0);
    stage->files[0] = open_direct("first");
    stage->files[1] = open_cached("second");
    stage->mess = open_by_sectors("mess");
}

static void stage_close(struct stage *stage)
{
    for (unsigned index = 0; index < QUEUES; index++) {
        struct aio_queue_stats stats = {.size = sizeof(stats)};

        EXPECT(aio_queue_drain(stage->queues[index], NULL), 0);
        EXPECT(aio_queue_stats(stage->queues[index], &stats), 0);
        REQUIRE_EQ(stats.submitted, stage->submitted[index]);
        REQUIRE_EQ(stats.completed, stats.submitted);
        REQUIRE_EQ(stage->completed[index], stats.submitted);
        REQUIRE_EQ(stats.held, 0);
        REQUIRE_EQ(stats.failed, 0);
    }
    close_file(stage->files[0]);
    close_file(stage->files[1]);
    close_file(stage->mess);
    close_queue(stage->queues[0]);
    close_queue(stage->queues[1]);
}

static void threads_begin(struct stage *stage, struct thread *threads)
{
    for (unsigned index = 0; index < THREADS; index++) {
        struct thread *thread = &threads[index];

        thread->stage = stage;
        thread->number = index;
        thread->random = index;
        thread->page = page_alloc(PAGE);
        memset(thread->page, 0, PAGE);
        for (unsigned ticket = 0; ticket < TICKETS; ticket++) {
            thread->tickets[ticket].owner = thread;
            thread->tickets[ticket].page = page_alloc(PAGE);
            memset(thread->tickets[ticket].page, 0, PAGE);
        }
        thread_begin(&thread->thread, thread_main, thread);
    }
}

START_TEST(everything_at_once)
{
    static struct thread threads[THREADS];
    static struct stage stage;
    uint64_t rounds = 0;

    stage_open(&stage);
    threads_begin(&stage, threads);
    sleep_us(seconds * 1000000);
    stage.stop = true;
    for (unsigned index = 0; index < THREADS; index++) {
        struct thread *thread = &threads[index];

        thread_end(thread->thread);
        rounds += thread->rounds;
        for (unsigned file = 0; file < 2; file++)
            for (unsigned page = 0; page < PAGES; page++)
                disk_check_pattern(file == 0 ? "first" : "second",
                                   (uint64_t)page_offset(thread, page), PAGE,
                                   thread->stamps[file][page]);
        free(thread->page);
        for (unsigned ticket = 0; ticket < TICKETS; ticket++)
            free(thread->tickets[ticket].page);
    }
    stage_close(&stage);
    printf("stress: %llu rounds\n", (unsigned long long)rounds);
    REQUIRE(rounds > 100);
}
END_TEST

/* Files and queues come and go while operations run on others. */
struct visitor {
    unsigned number;
    atomic_bool *stop;
    struct aio_queue *shared;
    pthread_t thread;
    uint64_t rounds;
};

static void count_visit(const struct aio_completion *completion)
{
    atomic_fetch_add((atomic_int *)completion->context, 1);
}

static void *visitor_main(void *argument)
{
    struct visitor *visitor = argument;
    char name[16];
    char *page = pattern_alloc(PAGE, 0, visitor->number);

    snprintf(name, sizeof(name), "visitor%u", visitor->number);
    for (; !atomic_load(visitor->stop); visitor->rounds++) {
        struct aio_file *file = open_direct(name);
        bool own = visitor->rounds % 4 == 0;
        struct aio_queue *queue = own ? aio_file_queue(file) : visitor->shared;
        struct aio_op write = op_write(file, page, PAGE, 0);
        atomic_int called = 0;

        write.on_complete = count_visit;
        write.context = &called;
        for (unsigned index = 0; index < 6; index++) {
            write.offset = index * PAGE;
            submit_one(queue, &write);
        }
        if (visitor->rounds % 3 == 0)
            EXPECT(aio_file_truncate(file, PAGE), 0);
        close_file(file);
        REQUIRE_EQ(called, 6);
    }
    free(page);
    return NULL;
}

START_TEST(files_come_and_go)
{
    struct visitor visitors[THREADS];
    atomic_bool stop = false;
    struct aio_queue *shared = open_queue(8, 0);

    for (unsigned index = 0; index < THREADS; index++) {
        visitors[index] = (struct visitor){.number = index, .stop = &stop, .shared = shared};
        thread_begin(&visitors[index].thread, visitor_main, &visitors[index]);
    }
    sleep_us(seconds * 500000);
    stop = true;
    for (unsigned index = 0; index < THREADS; index++) {
        thread_end(visitors[index].thread);
        REQUIRE(visitors[index].rounds > 0);
    }
    close_queue(shared);
}
END_TEST

#define MANY_FILES 10000u

/* Room for so many descriptors, and some more; false, with the reason printed, where there is none.
 */
static bool descriptors_suffice(rlim_t count)
{
    struct rlimit limit;

    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur >= count)
        return true;
    limit.rlim_cur = count;
    if (limit.rlim_max < count)
        limit.rlim_max = count;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    printf("10,000 files: RLIMIT_NOFILE cannot be raised to %llu: %s\n", (unsigned long long)count,
           strerror(errno));
    return false;
}

static const char *many_path(unsigned index)
{
    char name[16];

    snprintf(name, sizeof(name), "many%u", index);
    return scratch_path(name);
}

/* A read of each in flight as the queue has room; its number is in its first bytes. */
static void read_many(struct aio_queue *queue, struct aio_file **files)
{
    enum { BATCH = 50 };
    unsigned char *pages = page_alloc(BATCH * PAGE);

    for (unsigned first = 0; first < MANY_FILES; first += BATCH) {
        struct aio_op reads[BATCH];
        struct aio_completion completions[BATCH];

        memset(pages, 0, BATCH * PAGE);
        for (unsigned index = 0; index < BATCH; index++)
            reads[index] = op_read(files[first + index], pages + (size_t)index * PAGE, PAGE, 0);
        EXPECT(aio_queue_submit(queue, reads, BATCH, NULL), BATCH);
        EXPECT(aio_queue_reap(queue, completions, BATCH, BATCH, NULL), BATCH);
        for (unsigned index = 0; index < BATCH; index++) {
            unsigned number;

            REQUIRE_EQ(completions[index].result, sizeof(number));
            memcpy(&number, pages + (size_t)index * PAGE, sizeof(number));
            REQUIRE_EQ(number, first + index);
        }
    }
    free(pages);
}

/* Budget: 50 us each to open and close beyond open(2) and close(2), which aiofile-overhead measures
 * where nothing else runs; here it is only not to be another number of digits. */
START_TEST(ten_thousand_files_on_one_queue)
{
    struct aio_file_options options = file_options();
    struct aio_file **files = calloc(MANY_FILES, sizeof(struct aio_file *));
    struct aio_queue *queue;
    int64_t start_ns;
    int64_t opened_ns;

    if (!descriptors_suffice(MANY_FILES + 200)) {
        free(files);
        return;
    }
    queue = open_queue(64, 0);
    options.queue = queue;
    for (unsigned index = 0; index < MANY_FILES; index++) {
        int fd = open(many_path(index), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        REQUIRE(fd >= 0 && write(fd, &index, sizeof(index)) == sizeof(index));
        close(fd);
    }
    start_ns = clock_ns();
    for (unsigned index = 0; index < MANY_FILES; index++)
        EXPECT(aio_file_open(many_path(index), O_RDONLY, 0, &options, &files[index]), 0);
    opened_ns = clock_ns() - start_ns;
    read_many(queue, files);
    EXPECT(aio_queue_destroy(queue, 0), -EBUSY);
    start_ns = clock_ns();
    for (unsigned index = 0; index < MANY_FILES; index++)
        close_file(files[index]);
    opened_ns += clock_ns() - start_ns;
    close_queue(queue);
    free(files);
    printf("10,000 files: %.1f us each to open and close\n", (double)opened_ns / 1e3 / MANY_FILES);
    REQUIRE(opened_ns / MANY_FILES < 1000000 * (int64_t)slowness());
}
END_TEST

static Suite *stress_suite(void)
{
    Suite *suite = suite_create("stress");
    const TTest *const tests[] = {everything_at_once, files_come_and_go,
                                  ten_thousand_files_on_one_queue};

    add_long_tests(suite, "stress", tests, COUNT(tests), 10 + seconds);
    return suite;
}

int main(int argc, char **argv)
{
    seconds *= test_scale();
    if (argc > 2)
        seconds = (unsigned)strtoul(argv[2], NULL, 0);
    return run_suite_on_engine(argc, argv, stress_suite);
}
