/* SPDX-License-Identifier: MIT */
/*
 * test_storm.c - sixteen threads do everything that the headers allow, by chance, on four queues,
 * some of them on one of their own too, and on 64 handles of 48 files, which are closed and opened
 * again meanwhile; for some seconds.
 *
 * Usage: test_storm <engine> [seconds]
 *
 * Each operation has a ticket, whose number is in the context: its final completion comes once, by
 * the way that it was submitted for. Of each file each thread has some pages that it alone writes,
 * one operation at a time, and what they must hold is in memory, to the byte. Everybody may read
 * them, and finds in each sector which it is. What lies behind the pages is appended to, cut,
 * allocated and punched.
 *
 * Before that, in tests of their own, the races that this has found.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

enum {
    THREADS = 16,
    OWNERS = 4, /* threads with an owned queue */
    QUEUES = 4,
    FILES = 48,
    HANDLES = 64, /* the first files have two */
    PAGES = 4,    /* of a thread in a file */
    FILE_PAGES = THREADS * PAGES,
    TICKETS = 20, /* of a thread */
    CHAIN = 3,    /* operations at most */
    BATCH = 8,    /* operations at most */
    SPREAD = 4,   /* vectors of an operation */
    SECTOR = 512,
};

#define DATA_BYTES ((int64_t)FILE_PAGES * PAGE)
#define TAIL_BYTES (INT64_C(32) * PAGE)
#define MAGIC UINT64_C(0x73746f726d5f5f5f)

/* --- what there is -------------------------------------------------------------------------- */

enum way { WAY_CALLBACK, WAY_REAP, WAY_WAIT };

enum ticket_state { TICKET_FREE, TICKET_MADE, TICKET_INFLIGHT, TICKET_DONE };

struct thread;

/* An operation. */
struct ticket {
    struct thread *owner;
    unsigned place;       /* among the owner's */
    uint64_t random;      /* of who has the ticket */
    atomic_ullong number; /* of the operation * 4 + enum ticket_state */
    atomic_ullong id;     /* to be cancelled by anybody */
    atomic_uint queue;    /* where it is */
    atomic_uint notices;  /* of this operation */
    enum way way;
    struct aio_op op;
    struct iovec iov[SPREAD];
    unsigned handle;
    unsigned char *memory; /* PAGES + 1 pages */
    unsigned char *bytes;  /* in it; what is moved */
    uint64_t length;       /* bytes to be moved */
    bool in_tail;          /* nobody knows what is there */
    bool foreign;          /* of a thread that may write meanwhile */
    /* Of a chain: its first, which has the rest. */
    struct ticket *head;
    struct ticket *members[CHAIN];
    unsigned member_count;
    atomic_uint pending;
    /* Pages that are kept for it, or its chain. */
    unsigned file;
    unsigned first_page;
    unsigned page_count; /* 0: none */
    bool writes;
};

struct handle {
    pthread_rwlock_t lock; /* held to use it; alone, to close it. Never waited for */
    struct aio_file *file;
};

struct storm {
    struct fault *fault; /* under the third queue */
    struct aio_queue *queues[QUEUES];
    int eventfds[QUEUES];
    struct handle handles[HANDLES];
    unsigned char *expected[FILES];      /* what each file has in its pages */
    atomic_int pages[FILES][FILE_PAGES]; /* readers, or -1: a writer */
    atomic_bool stop;
    atomic_uint running; /* threads */
    atomic_ullong submitted[QUEUES];
    atomic_ullong completed[QUEUES];
    atomic_ullong callbacks[QUEUES];
    atomic_ullong notices[QUEUES];
    atomic_ullong cancelled; /* completions that say so */
    atomic_ullong reopened;
    atomic_ullong checked; /* reads that found what they must */
};

struct thread {
    unsigned number;
    uint64_t random;
    struct aio_queue *owned; /* or NULL */
    struct ticket tickets[TICKETS];
    unsigned char *memory; /* of blocking calls */
    uint64_t rounds;
    pthread_t thread;
};

/* The one in which an operation is, where that is nobody's but the owner's. */
#define QUEUE_OWNED ((unsigned)QUEUES)

static struct storm storm;
static struct thread threads[THREADS];
static unsigned seconds = 2;

static uint64_t choose(uint64_t *random, uint64_t below)
{
    return random_next(random) % below;
}

static bool one_in(uint64_t *random, uint64_t count)
{
    return choose(random, count) == 0;
}

/* --- pages ---------------------------------------------------------------------------------- */

struct stamp {
    uint64_t magic;
    uint64_t file;
    uint64_t page;
    uint64_t sector;
};

static void page_make(unsigned char *memory, unsigned file, unsigned page, uint64_t *random)
{
    memset(memory, (int)choose(random, 256), PAGE);
    for (unsigned sector = 0; sector < PAGE / SECTOR; sector++) {
        struct stamp stamp = {MAGIC, file, page, sector};

        memcpy(memory + (size_t)sector * SECTOR, &stamp, sizeof(stamp));
    }
}

/* Looks at the stamps of whole sectors of what was read at an offset. */
static void check_stamps(const unsigned char *memory, unsigned file, int64_t offset, int64_t bytes)
{
    int64_t place = (offset + SECTOR - 1) / SECTOR * SECTOR;

    for (; place + SECTOR <= offset + bytes; place += SECTOR) {
        struct stamp stamp;

        memcpy(&stamp, memory + (place - offset), sizeof(stamp));
        if (stamp.magic != MAGIC || stamp.file != file || stamp.page != (uint64_t)place / PAGE ||
            stamp.sector != (uint64_t)place % PAGE / SECTOR)
            ck_abort_msg("file %u at %lld holds %llx: file %llu page %llu sector %llu", file,
                         (long long)place, (unsigned long long)stamp.magic,
                         (unsigned long long)stamp.file, (unsigned long long)stamp.page,
                         (unsigned long long)stamp.sector);
    }
}

/* Compares what was read with what must be there. */
static void check_bytes(const unsigned char *found, const unsigned char *expected, unsigned file,
                        int64_t offset, int64_t bytes)
{
    if (memcmp(found, expected, (size_t)bytes) != 0) {
        int64_t index = 0;

        while (found[index] == expected[index])
            index++;
        ck_abort_msg("byte %lld of %lld of file %u at %lld is 0x%02x, not 0x%02x", (long long)index,
                     (long long)bytes, file, (long long)offset, found[index], expected[index]);
    }
    atomic_fetch_add(&storm.checked, 1);
}

static void release_pages(unsigned file, unsigned first, unsigned count, bool writes)
{
    for (unsigned page = first; page < first + count; page++) {
        if (writes)
            atomic_store(&storm.pages[file][page], 0);
        else
            atomic_fetch_sub(&storm.pages[file][page], 1);
    }
}

/* Keeps pages for a read, or for a write; false where somebody else has one. */
static bool claim_pages(unsigned file, unsigned first, unsigned count, bool writes)
{
    for (unsigned page = first; page < first + count; page++) {
        int users = atomic_load(&storm.pages[file][page]);
        bool claimed = false;

        while (!claimed && (writes ? users == 0 : users >= 0))
            claimed = atomic_compare_exchange_weak(&storm.pages[file][page], &users,
                                                   writes ? -1 : users + 1);
        if (!claimed) {
            release_pages(file, first, page - first, writes);
            return false;
        }
    }
    return true;
}

/* --- handles -------------------------------------------------------------------------------- */

static unsigned file_of(unsigned handle)
{
    return handle % FILES;
}

static const char *file_name(unsigned file)
{
    static const char *const form = "storm%u";
    static _Thread_local char name[16];

    snprintf(name, sizeof(name), form, file);
    return name;
}

static void handle_open(unsigned handle, uint64_t *random)
{
    struct aio_file_options options = file_options();

    if (one_in(random, 4))
        options.direct = AIO_DIRECT_NEVER;
    else if (one_in(random, 2))
        options.alignment = SECTOR;
    if (one_in(random, 4))
        options.grow_ahead = choose(random, 64) * PAGE;
    if (one_in(random, 4))
        options.queue = storm.queues[choose(random, QUEUES)];
    if (one_in(random, 8))
        options.submit_limit_ns = 1;
    if (one_in(random, 8))
        options.flags |= AIO_FILE_PAGE_CACHE_NOW;
    EXPECT(aio_file_open(scratch_path(file_name(file_of(handle))), O_RDWR, 0, &options,
                         &storm.handles[handle].file),
           0);
    if (options.queue != NULL)
        REQUIRE(aio_file_queue(storm.handles[handle].file) == options.queue);
}

/* A handle that nobody closes before handle_leave; HANDLES where there was none. */
static unsigned handle_use(uint64_t *random)
{
    unsigned handle = (unsigned)choose(random, HANDLES);

    for (unsigned tries = 0; tries < 4; tries++) {
        if (pthread_rwlock_tryrdlock(&storm.handles[handle].lock) == 0)
            return handle;
        handle = (handle + 1) % HANDLES;
    }
    return HANDLES;
}

static void handle_leave(unsigned handle)
{
    REQUIRE(pthread_rwlock_unlock(&storm.handles[handle].lock) == 0);
}

static void handle_renew(uint64_t *random)
{
    unsigned handle = (unsigned)choose(random, HANDLES);

    if (pthread_rwlock_trywrlock(&storm.handles[handle].lock) != 0)
        return;
    EXPECT(aio_file_close(storm.handles[handle].file), 0);
    handle_open(handle, random);
    handle_leave(handle);
    atomic_fetch_add(&storm.reopened, 1);
}

/* --- tickets -------------------------------------------------------------------------------- */

static enum ticket_state ticket_state(struct ticket *ticket)
{
    return (enum ticket_state)(atomic_load(&ticket->number) & 3);
}

static void ticket_go(struct ticket *ticket, enum ticket_state from, enum ticket_state to)
{
    unsigned long long number = atomic_load(&ticket->number);

    REQUIRE_EQ(number & 3, from);
    REQUIRE(atomic_compare_exchange_strong(&ticket->number, &number, (number & ~3ULL) | to));
}

/* What the context of an operation is: its number, and whose and which ticket. */
static void *ticket_context(struct ticket *ticket)
{
    uintptr_t number = (uintptr_t)(atomic_load(&ticket->number) >> 2);

    return (void *)((number * THREADS + ticket->owner->number) * TICKETS + ticket->place);
}

static struct ticket *ticket_of(const void *context, unsigned long long *number)
{
    uintptr_t value = (uintptr_t)context;

    *number = value / TICKETS / THREADS;
    return &threads[value / TICKETS % THREADS].tickets[value % TICKETS];
}

/* Takes a free one, for the next operation; NULL if there is none. */
static struct ticket *ticket_take(struct thread *thread)
{
    for (unsigned index = 0; index < TICKETS; index++) {
        struct ticket *ticket = &thread->tickets[index];

        if (ticket_state(ticket) == TICKET_FREE) {
            atomic_store(&ticket->number,
                         ((atomic_load(&ticket->number) >> 2) + 1) * 4 | (unsigned)TICKET_MADE);
            return ticket;
        }
    }
    return NULL;
}

/* Gives the tickets of a chain back, and what they kept. */
static void chain_free(struct ticket *head, enum ticket_state from)
{
    struct ticket *members[CHAIN];
    unsigned count = head->member_count;

    memcpy(members, head->members, sizeof(members));
    for (unsigned index = 0; index < count; index++) {
        struct ticket *ticket = members[index];

        if (ticket->page_count > 0)
            release_pages(ticket->file, ticket->first_page, ticket->page_count, ticket->writes);
        ticket->page_count = 0;
    }
    for (unsigned index = 0; index < count; index++)
        ticket_go(members[index], from, TICKET_FREE);
}

/* --- operations ----------------------------------------------------------------------------- */

/* Makes it one with vectors, some of them empty. */
static void spread(struct ticket *ticket, uint8_t opcode)
{
    uint64_t done = 0;

    for (unsigned index = 0; index < SPREAD; index++) {
        uint64_t rest = ticket->length - done;
        uint64_t part = index + 1 == SPREAD ? rest : choose(&ticket->random, rest + 1);

        if (index + 1 < SPREAD && one_in(&ticket->random, 2))
            part = part / PAGE * PAGE;
        ticket->iov[index] = (struct iovec){ticket->bytes + done, part};
        done += part;
    }
    ticket->op.opcode = opcode;
    ticket->op.iov = ticket->iov;
    ticket->op.len = SPREAD;
}

/* A place in some pages: all, or a part of them. */
static void choose_place(struct ticket *ticket, unsigned first, unsigned count)
{
    uint64_t *random = &ticket->random;
    uint64_t whole = (uint64_t)count * PAGE;
    uint64_t skip = 0;
    unsigned char *image = ticket->memory + (one_in(random, 4) ? 1 + choose(random, PAGE - 1) : 0);

    ticket->length = whole;
    switch (choose(random, 6)) {
    case 0:
        skip = choose(random, whole);
        ticket->length = choose(random, whole - skip) + 1;
        break;
    case 1:
        skip = choose(random, whole / SECTOR) * SECTOR;
        ticket->length = (choose(random, (whole - skip) / SECTOR) + 1) * SECTOR;
        break;
    default:
        break;
    }
    ticket->bytes = image + skip;
    ticket->op.buf = ticket->bytes;
    ticket->op.len = ticket->length;
    ticket->op.offset = (int64_t)(first * PAGE + skip);
    if (ticket->op.opcode == AIO_OP_WRITE)
        for (unsigned page = 0; page < count; page++)
            page_make(image + (size_t)page * PAGE, ticket->file, first + page, random);
    else
        memset(ticket->bytes, 0xee, ticket->length);
}

/* A read or a write of pages of the ticket's thread; false where they are in use. */
static bool make_own(struct ticket *ticket, bool writes)
{
    unsigned first = (unsigned)choose(&ticket->random, PAGES);
    unsigned count = (unsigned)choose(&ticket->random, PAGES - first) + 1;

    first += ticket->owner->number * PAGES;
    if (!claim_pages(ticket->file, first, count, writes))
        return false;
    ticket->first_page = first;
    ticket->page_count = count;
    ticket->writes = writes;
    ticket->op.opcode = writes ? AIO_OP_WRITE : AIO_OP_READ;
    choose_place(ticket, first, count);
    if (one_in(&ticket->random, 3))
        spread(ticket, writes ? AIO_OP_WRITEV : AIO_OP_READV);
    return true;
}

static void make_foreign(struct ticket *ticket)
{
    ticket->op.opcode = AIO_OP_READ;
    ticket->foreign = true;
    choose_place(ticket, (unsigned)choose(&ticket->random, FILE_PAGES - PAGES), PAGES);
}

/* Changes what lies behind the pages, or reads it. */
static void make_in_tail(struct ticket *ticket)
{
    static const uint32_t modes[] = {0, FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_ZERO_RANGE, AIO_ALLOCATE_WRITE_ZEROS};
    uint64_t *random = &ticket->random;
    int64_t offset = DATA_BYTES + (int64_t)choose(random, TAIL_BYTES);
    uint64_t length = choose(random, PAGES * PAGE) + 1;

    if (one_in(random, 2)) {
        offset = offset / PAGE * PAGE;
        length = (length + PAGE - 1) / PAGE * PAGE;
    }
    ticket->in_tail = true;
    ticket->op.offset = offset;
    ticket->op.len = length;
    switch (choose(random, 8)) {
    case 0:
        ticket->op.opcode = AIO_OP_TRUNCATE;
        ticket->op.len = 0;
        return;
    case 1:
        ticket->op.opcode = AIO_OP_ALLOCATE;
        ticket->op.mode = modes[choose(random, COUNT(modes))];
        return;
    case 2:
    case 3:
        ticket->op.opcode = AIO_OP_READ;
        break;
    case 4:
        ticket->op.opcode = AIO_OP_WRITE;
        break;
    default:
        ticket->op.opcode = AIO_OP_APPEND;
        ticket->op.offset = 0;
        break;
    }
    ticket->length = length;
    ticket->bytes = ticket->memory + (one_in(random, 4) ? 1 : 0);
    ticket->op.buf = ticket->bytes;
    if (ticket->op.opcode == AIO_OP_APPEND && one_in(random, 2))
        spread(ticket, AIO_OP_APPENDV);
}

static bool op_transfers(const struct aio_op *op)
{
    return op->opcode >= AIO_OP_READ && op->opcode <= AIO_OP_APPENDV;
}

static bool op_reads(const struct aio_op *op)
{
    return op->opcode == AIO_OP_READ || op->opcode == AIO_OP_READV;
}

static bool op_syncs(const struct aio_op *op)
{
    return op->opcode == AIO_OP_SYNC || op->opcode == AIO_OP_DATASYNC;
}

static void choose_flags(struct ticket *ticket)
{
    uint64_t *random = &ticket->random;
    struct aio_op *op = &ticket->op;

    if (op_transfers(op)) {
        if (!op_reads(op) && one_in(random, 16))
            op->flags |= AIO_OP_DSYNC;
        if (one_in(random, 8))
            op->flags |= AIO_OP_NOWAIT;
        else if (one_in(random, 32))
            op->flags |= AIO_OP_HIPRI;
        if ((op->opcode == AIO_OP_WRITE || op->opcode == AIO_OP_WRITEV) && one_in(random, 64))
            op->flags |= AIO_OP_ATOMIC;
        if (one_in(random, 8))
            op->priority = (uint32_t)((1 + choose(random, 3)) << 13 | choose(random, 8));
    } else if (op_syncs(op) && one_in(random, 2)) {
        op->flags |= AIO_OP_DRAIN;
    }
}

static void ticket_reset(struct ticket *ticket, unsigned handle)
{
    memset(&ticket->op, 0, sizeof(ticket->op));
    ticket->handle = handle;
    ticket->file = file_of(handle);
    ticket->op.file = storm.handles[handle].file;
    ticket->op.context = ticket_context(ticket);
    ticket->length = 0;
    ticket->in_tail = false;
    ticket->foreign = false;
    ticket->page_count = 0;
    ticket->head = ticket;
    ticket->members[0] = ticket;
    ticket->member_count = 1;
    atomic_store(&ticket->id, 0);
    atomic_store(&ticket->notices, 0);
    atomic_store(&ticket->pending, 1);
}

/* Makes an operation of any kind, of a handle that is in use. */
static void ticket_make(struct ticket *ticket, unsigned handle)
{
    uint64_t *random = &ticket->random;
    uint64_t chance = choose(random, 100);

    ticket_reset(ticket, handle);
    if (chance < 35 && make_own(ticket, true)) {
    } else if (chance < 60 && make_own(ticket, false)) {
    } else if (chance < 75) {
        make_foreign(ticket);
    } else if (chance < 90) {
        make_in_tail(ticket);
    } else if (chance < 95) {
        ticket->op.opcode = one_in(random, 2) ? AIO_OP_SYNC : AIO_OP_DATASYNC;
    } else {
        ticket->op.opcode = AIO_OP_NOP;
        if (one_in(random, 2))
            ticket->op.file = NULL;
    }
    choose_flags(ticket);
}

/* --- results -------------------------------------------------------------------------------- */

/* Whether an operation may end so. */
static bool result_is_right(const struct ticket *ticket, int64_t result, int32_t error)
{
    const struct aio_op *op = &ticket->op;
    bool part = result >= 0 && result < (int64_t)ticket->length;

    if (result == (int64_t)ticket->length && error == 0)
        return true;
    if (result < 0 && error != result)
        return false;
    if (result == -ECANCELED)
        return true;
    if (part && error == -ECANCELED)
        return !op_reads(op) && result > 0;
    if (part && error == 0)
        return op_reads(op) && ticket->in_tail;
    if ((op->flags & AIO_OP_NOWAIT) != 0)
        return result == -EAGAIN || result == -EOPNOTSUPP || (part && error == -EAGAIN);
    return result == -EOPNOTSUPP &&
           (op->opcode == AIO_OP_ALLOCATE || (op->flags & AIO_OP_HIPRI) != 0);
}

/* What a transfer that moved some bytes found, or left. */
static void check_moved(struct ticket *ticket, int64_t moved)
{
    const struct aio_op *op = &ticket->op;
    unsigned char *there = storm.expected[ticket->file] + op->offset;
    struct ticket *head = ticket->head;

    if (ticket->in_tail || moved <= 0)
        return;
    if (!op_reads(op)) {
        memcpy(there, ticket->bytes, (size_t)moved);
    } else if (ticket->foreign) {
        check_stamps(ticket->bytes, ticket->file, op->offset, moved);
    } else if (head != ticket) {
        /* It came behind the write of its chain. */
        check_bytes(ticket->bytes, head->bytes, ticket->file, op->offset, moved);
    } else {
        check_bytes(ticket->bytes, there, ticket->file, op->offset, moved);
    }
}

static void check_final(struct ticket *ticket, const struct aio_completion *completion)
{
    int64_t result = completion->result;

    if (!result_is_right(ticket, result, completion->error))
        ck_abort_msg("opcode %u flags 0x%x of %llu bytes at %lld of file %u ends with %lld and %d",
                     ticket->op.opcode, ticket->op.flags, (unsigned long long)ticket->length,
                     (long long)ticket->op.offset, ticket->file, (long long)result,
                     completion->error);
    if (completion->error == -ECANCELED)
        atomic_fetch_add(&storm.cancelled, 1);
    if (op_transfers(&ticket->op) && ticket->op.opcode != AIO_OP_APPEND &&
        ticket->op.opcode != AIO_OP_APPENDV)
        REQUIRE_EQ(completion->offset, ticket->op.offset);
    if (op_transfers(&ticket->op))
        check_moved(ticket, result);
}

/* A completion, whoever takes it. Returns its ticket where that was the last of its chain, for the
 * taker to free; NULL else. */
static struct ticket *use_completion(const struct aio_completion *completion, enum way way)
{
    unsigned long long number;
    struct ticket *ticket = ticket_of(completion->context, &number);
    unsigned long long expected = number * 4 + TICKET_INFLIGHT;
    unsigned queue = atomic_load(&ticket->queue);

    REQUIRE(completion->id != 0);
    if ((completion->flags & AIO_COMPLETION_MORE) != 0) {
        REQUIRE_EQ(completion->result, -ETIMEDOUT);
        /* Who reaps may be so slow that the result was taken by another one meanwhile. */
        if (way != WAY_REAP) {
            REQUIRE_EQ(atomic_load(&ticket->number), expected);
            REQUIRE(ticket->op.deadline > 0 && ticket->way == way);
            REQUIRE_EQ(atomic_fetch_add(&ticket->notices, 1), 0);
            if (queue < QUEUES)
                atomic_fetch_add(&storm.notices[queue], 1);
        }
        return NULL;
    }
    REQUIRE_EQ(completion->flags, 0);
    if (!atomic_compare_exchange_strong(&ticket->number, &expected, number * 4 + TICKET_DONE))
        ck_abort_msg("operation %llu of thread %u is completed, and not in flight: %llu", number,
                     ticket->owner->number, expected);
    REQUIRE(ticket->way == way);
    check_final(ticket, completion);
    if (queue < QUEUES) {
        atomic_fetch_add(&storm.completed[queue], 1);
        if (way == WAY_CALLBACK)
            atomic_fetch_add(&storm.callbacks[queue], 1);
    }
    return atomic_fetch_sub(&ticket->head->pending, 1) == 1 ? ticket->head : NULL;
}

static struct aio_queue *queue_of(const struct ticket *ticket)
{
    unsigned queue = atomic_load(&ticket->queue);

    return queue < QUEUES ? storm.queues[queue] : ticket->owner->owned;
}

static void cancel_any(uint64_t *random)
{
    struct thread *thread = &threads[choose(random, THREADS)];
    struct ticket *ticket = &thread->tickets[choose(random, TICKETS)];
    unsigned long long id = atomic_load(&ticket->id);
    unsigned queue = atomic_load(&ticket->queue);
    int64_t result;

    if (id == 0 || queue == QUEUE_OWNED)
        return;
    result = CALL(aio_queue_cancel(storm.queues[queue], id));
    REQUIRE(result == 0 || result == -EBUSY || result == -EALREADY || result == -ESTALE);
}

static void on_complete(const struct aio_completion *completion);

/* Submits another operation in the place of one whose callback runs. */
static void submit_in_callback(struct ticket *ticket)
{
    struct aio_queue *queue = queue_of(ticket);
    unsigned number = atomic_load(&ticket->queue);
    unsigned handle = handle_use(&ticket->random);
    int64_t result;

    if (handle == HANDLES) {
        chain_free(ticket, TICKET_DONE);
        return;
    }
    if (ticket->page_count > 0)
        release_pages(ticket->file, ticket->first_page, ticket->page_count, ticket->writes);
    atomic_store(&ticket->number,
                 ((atomic_load(&ticket->number) >> 2) + 1) * 4 | (unsigned)TICKET_INFLIGHT);
    ticket_make(ticket, handle);
    ticket->op.flags &= ~(uint32_t)(AIO_OP_HIPRI | AIO_OP_ATOMIC);
    ticket->op.on_complete = on_complete;
    if (number < QUEUES)
        atomic_fetch_add(&storm.submitted[number], 1);
    /* The slot that was just freed is kept for it. */
    result = CALL(aio_queue_submit(queue, &ticket->op, 1, NULL));
    REQUIRE_EQ(result, 1);
    handle_leave(handle);
}

static void on_complete(const struct aio_completion *completion)
{
    struct ticket *ticket = use_completion(completion, WAY_CALLBACK);

    if (ticket == NULL)
        return;
    if (one_in(&ticket->random, 8))
        cancel_any(&ticket->random);
    if (ticket->member_count == 1 && ticket->head == ticket && one_in(&ticket->random, 2) &&
        !atomic_load(&storm.stop))
        submit_in_callback(ticket);
    else
        chain_free(ticket, TICKET_DONE);
}

static void use_and_free(const struct aio_completion *completion, enum way way)
{
    struct ticket *head = use_completion(completion, way);

    if (head != NULL)
        chain_free(head, TICKET_DONE);
}

static struct timespec a_moment(uint64_t *random)
{
    return (struct timespec){0, (long)(one_in(random, 2) ? 0 : choose(random, 2000000))};
}

/* Takes what there is, whoever's it is. */
static void reap_some(struct aio_queue *queue, uint64_t *random, unsigned min)
{
    struct aio_completion completions[BATCH];
    struct timespec patience = a_moment(random);
    unsigned max = min + (unsigned)choose(random, BATCH - min + 1);
    int64_t count = CALL(aio_queue_reap(queue, completions, min, max, &patience));

    REQUIRE(count >= 0 && count <= max);
    for (int64_t index = 0; index < count; index++)
        use_and_free(&completions[index], WAY_REAP);
}

/* Waits for one that is the thread's own to be taken so. */
static void wait_for(struct thread *thread, struct ticket *ticket, bool for_ever)
{
    struct timespec patience = a_moment(&thread->random);
    struct aio_completion completion;
    struct aio_queue *queue = queue_of(ticket);
    aio_request_id id = atomic_load(&ticket->id);
    int64_t result;

    do {
        result = CALL(aio_queue_wait_result(queue, id, for_ever ? NULL : &patience, &completion));
        if (result == -ETIMEDOUT && !for_ever)
            return;
        REQUIRE_EQ(result, 0);
        REQUIRE_EQ(completion.id, id);
        use_and_free(&completion, WAY_WAIT);
    } while ((completion.flags & AIO_COMPLETION_MORE) != 0);
    EXPECT(aio_queue_wait(queue, id, NULL), -ESTALE);
}

/* Waits for those of one queue that nobody else can take. */
static void wait_for_own(struct thread *thread, unsigned queue, bool for_ever)
{
    for (unsigned index = 0; index < TICKETS; index++) {
        struct ticket *ticket = &thread->tickets[index];

        if (ticket_state(ticket) == TICKET_INFLIGHT && ticket->way == WAY_WAIT &&
            (queue > QUEUES || atomic_load(&ticket->queue) == queue))
            wait_for(thread, ticket, for_ever);
    }
}

/* --- submitting ----------------------------------------------------------------------------- */

struct batch {
    struct ticket *tickets[BATCH];
    unsigned count;
};

/* Makes a chain: a write, something between, and a read of what was written. */
static bool chain_make(struct batch *batch, struct thread *thread, unsigned handle,
                       struct ticket *head)
{
    struct ticket *between = ticket_take(thread);
    struct ticket *read = ticket_take(thread);

    ticket_reset(head, handle);
    if (between == NULL || read == NULL || !make_own(head, true)) {
        if (between != NULL)
            ticket_go(between, TICKET_MADE, TICKET_FREE);
        if (read != NULL)
            ticket_go(read, TICKET_MADE, TICKET_FREE);
        return false;
    }
    choose_flags(head);
    ticket_reset(between, handle);
    switch (choose(&thread->random, 3)) {
    case 0:
        make_in_tail(between);
        break;
    case 1:
        between->op.opcode = one_in(&thread->random, 2) ? AIO_OP_SYNC : AIO_OP_DATASYNC;
        break;
    default:
        break;
    }
    choose_flags(between);
    ticket_reset(read, handle);
    read->op.opcode = AIO_OP_READ;
    read->length = head->length;
    read->bytes = read->memory + (one_in(&thread->random, 4) ? 1 : 0);
    read->op.buf = read->bytes;
    read->op.len = read->length;
    read->op.offset = head->op.offset;
    if (one_in(&thread->random, 2))
        spread(read, AIO_OP_READV);
    head->op.flags |= AIO_OP_LINK;
    between->op.flags |= AIO_OP_LINK;
    head->members[1] = between;
    head->members[2] = read;
    head->member_count = 3;
    between->head = head;
    read->head = head;
    atomic_store(&head->pending, 3);
    batch->tickets[batch->count++] = head;
    batch->tickets[batch->count++] = between;
    batch->tickets[batch->count++] = read;
    return true;
}

static void batch_make(struct batch *batch, struct thread *thread)
{
    unsigned wanted = 1 + (unsigned)choose(&thread->random, BATCH);

    batch->count = 0;
    while (batch->count < wanted) {
        struct ticket *ticket = ticket_take(thread);
        unsigned handle = ticket != NULL ? handle_use(&thread->random) : HANDLES;

        if (handle == HANDLES) {
            if (ticket != NULL)
                ticket_go(ticket, TICKET_MADE, TICKET_FREE);
            return;
        }
        if (batch->count + CHAIN <= BATCH && one_in(&thread->random, 6)) {
            if (chain_make(batch, thread, handle, ticket))
                continue;
        }
        ticket_make(ticket, handle);
        batch->tickets[batch->count++] = ticket;
    }
}

static void choose_way(struct ticket *ticket, uint64_t *random)
{
    if (one_in(random, 8))
        ticket->op.deadline = 1 + choose(random, 4000000);
    switch (choose(random, 3)) {
    case 0:
        ticket->way = WAY_CALLBACK;
        ticket->op.on_complete = on_complete;
        break;
    case 1:
        ticket->way = WAY_WAIT;
        ticket->op.flags |= AIO_OP_WAITED;
        break;
    default:
        ticket->way = WAY_REAP;
        break;
    }
}

/* Submits what has been made; what is refused is given back. */
static int64_t batch_submit(struct batch *batch, struct thread *thread, unsigned number)
{
    struct aio_queue *queue = number < QUEUES ? storm.queues[number] : thread->owned;
    struct aio_op ops[BATCH];
    aio_request_id ids[BATCH] = {0};
    unsigned handles[BATCH];
    unsigned taken = 0;
    int64_t result;

    for (unsigned index = 0; index < batch->count; index++) {
        struct ticket *ticket = batch->tickets[index];

        choose_way(ticket, &thread->random);
        atomic_store(&ticket->queue, number);
        handles[index] = ticket->handle;
        ops[index] = ticket->op;
        ticket_go(ticket, TICKET_MADE, TICKET_INFLIGHT);
    }
    if (number < QUEUES)
        atomic_fetch_add(&storm.submitted[number], batch->count);
    result = CALL(aio_queue_submit(queue, ops, batch->count, ids));
    REQUIRE(result <= (int64_t)batch->count);
    if (result > 0)
        taken = (unsigned)result;
    REQUIRE(taken == 0 || (ops[taken - 1].flags & AIO_OP_LINK) == 0);
    if (number < QUEUES)
        atomic_fetch_sub(&storm.submitted[number], batch->count - taken);
    for (unsigned index = 0; index < batch->count; index++) {
        struct ticket *ticket = batch->tickets[index];

        if (index < taken) {
            REQUIRE(ids[index] != 0);
            /* It may be done with, and be another one's id by now; then it is stale. */
            atomic_store(&ticket->id, ids[index]);
        } else if (ticket->head == ticket) {
            chain_free(ticket, TICKET_INFLIGHT);
        }
    }
    for (unsigned index = 0; index < batch->count; index++)
        if (index == 0 || (ops[index - 1].flags & AIO_OP_LINK) == 0)
            handle_leave(handles[index]);
    if (result < 0) {
        bool odd = (ops[0].flags & (AIO_OP_HIPRI | AIO_OP_ATOMIC)) != 0;

        for (unsigned index = 0; index < batch->count; index++)
            odd = odd || (ops[index].flags & (AIO_OP_HIPRI | AIO_OP_ATOMIC)) != 0;
        REQUIRE(result == -EBUSY || (result == -EAGAIN && number != 0) ||
                (odd && (result == -EOPNOTSUPP || result == -EINVAL)));
    }
    return result;
}

static void submit_some(struct thread *thread)
{
    unsigned number = (unsigned)choose(&thread->random, QUEUES);
    struct batch batch;

    batch_make(&batch, thread);
    if (batch.count > 0 && batch_submit(&batch, thread, number) > 0)
        return;
    /* No room, or no ticket. */
    wait_for_own(thread, number, false);
    reap_some(storm.queues[number], &thread->random, 0);
}

/* --- a queue of one's own ------------------------------------------------------------------- */

static unsigned inflight_in_own(struct thread *thread)
{
    unsigned count = 0;

    for (unsigned index = 0; index < TICKETS; index++) {
        struct ticket *ticket = &thread->tickets[index];

        count += atomic_load(&ticket->queue) == QUEUE_OWNED && ticket_state(ticket) != TICKET_FREE;
    }
    return count;
}

static void call_something(struct thread *thread);

/* Whoever waits for what is in an owned queue waits for its owner, who therefore does nothing else
 * before all of it is done but what moves it. */
static void use_owned(struct thread *thread)
{
    unsigned rounds = (unsigned)choose(&thread->random, 4);
    struct batch batch;

    for (unsigned round = 0; round <= rounds; round++) {
        batch_make(&batch, thread);
        if (batch.count > 0)
            batch_submit(&batch, thread, QUEUE_OWNED);
        if (one_in(&thread->random, 4))
            call_something(thread);
        for (unsigned index = 0; index < batch.count; index++) {
            aio_request_id id = atomic_load(&batch.tickets[index]->id);

            if (id != 0 && one_in(&thread->random, 8)) {
                int64_t result = CALL(aio_queue_cancel(thread->owned, id));

                REQUIRE(result == 0 || result == -EBUSY || result == -EALREADY ||
                        result == -ESTALE);
            }
        }
    }
    while (inflight_in_own(thread) > 0) {
        reap_some(thread->owned, &thread->random, (unsigned)choose(&thread->random, 3));
        wait_for_own(thread, QUEUE_OWNED, false);
    }
}

/* --- calls ---------------------------------------------------------------------------------- */

/* A blocking call, in any form, of an operation that a ticket describes. */
static void execute(struct thread *thread, unsigned handle)
{
    struct ticket *ticket = ticket_take(thread);
    struct aio_file *file = storm.handles[handle].file;
    struct aio_completion completion = {0};
    off_t where = 0;
    int64_t result;

    if (ticket == NULL)
        return;
    atomic_store(&ticket->queue, 0);
    ticket_make(ticket, handle);
    if (ticket->op.flags == 0 && ticket->op.opcode == AIO_OP_READ)
        result =
            CALL(aio_file_pread(file, ticket->op.buf, ticket->op.len, (off_t)ticket->op.offset));
    else if (ticket->op.flags == 0 && ticket->op.opcode == AIO_OP_APPEND)
        result = CALL(aio_file_append(file, ticket->op.buf, ticket->op.len, &where));
    else
        result = CALL(aio_file_execute(file, &ticket->op));
    if (where != 0)
        REQUIRE(where >= DATA_BYTES);
    if (result == -EOPNOTSUPP || result == -EINVAL) {
        REQUIRE((ticket->op.flags & (AIO_OP_HIPRI | AIO_OP_ATOMIC | AIO_OP_NOWAIT)) != 0 ||
                ticket->op.opcode == AIO_OP_ALLOCATE);
    } else {
        completion.result = result;
        completion.offset = ticket->op.offset;
        completion.error = result < 0 ? (int32_t)result : 0;
        /* A part has no reason. */
        if (result >= 0 && (ticket->op.flags & AIO_OP_NOWAIT) != 0 &&
            result < (int64_t)ticket->length)
            completion.error = -EAGAIN;
        REQUIRE(result != -ECANCELED);
        check_final(ticket, &completion);
    }
    chain_free(ticket, TICKET_MADE);
}

static void call_something(struct thread *thread)
{
    uint64_t *random = &thread->random;
    unsigned handle = handle_use(random);
    struct aio_file_info info = {.size = sizeof(info)};
    struct aio_file *file;
    struct stat stat;
    int64_t result;

    if (handle == HANDLES)
        return;
    file = storm.handles[handle].file;
    switch (choose(random, 16)) {
    case 0:
        result = CALL(aio_file_size(file));
        REQUIRE(result >= DATA_BYTES);
        break;
    case 1:
        EXPECT(aio_file_info(file, &info), 0);
        REQUIRE_EQ(info.sync_error, 0);
        EXPECT(aio_file_stat(file, &stat), 0);
        REQUIRE(stat.st_size >= DATA_BYTES);
        break;
    case 2:
        result = CALL(aio_file_seek(file, (off_t)(choose(random, FILE_PAGES) * PAGE), SEEK_SET));
        REQUIRE(result >= 0);
        result = CALL(aio_file_read(file, thread->memory, PAGE));
        REQUIRE(result >= 0);
        break;
    case 3:
        result = CALL(aio_file_lock(file, F_RDLCK, false));
        REQUIRE_EQ(result, 0);
        EXPECT(aio_file_lock(file, F_UNLCK, false), 0);
        break;
    case 4:
        EXPECT(aio_file_clear_error(file), 0);
        break;
    case 5:
        EXPECT(aio_queue_register(storm.queues[choose(random, QUEUES)], file), 0);
        break;
    default:
        execute(thread, handle);
        break;
    }
    handle_leave(handle);
}

static void look_round(struct thread *thread)
{
    unsigned number = (unsigned)choose(&thread->random, QUEUES);
    struct aio_queue *queue = storm.queues[number];
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_request_info infos[24];
    struct timespec patience = a_moment(&thread->random);
    struct pollfd readable = {storm.eventfds[number], POLLIN, 0};
    int64_t result;

    switch (choose(&thread->random, 4)) {
    case 0:
        EXPECT(aio_queue_stats(queue, &stats), 0);
        REQUIRE(stats.completed <= stats.submitted && stats.held <= stats.depth);
        REQUIRE(stats.inflight <= stats.held);
        break;
    case 1:
        result = CALL(aio_queue_inflight(queue, infos, COUNT(infos)));
        REQUIRE(result >= 0 && result <= aio_queue_depth(queue));
        for (unsigned index = 0; index < COUNT(infos) && index < result; index++)
            REQUIRE(infos[index].id != 0 && infos[index].state >= AIO_REQUEST_WAITING &&
                    infos[index].state <= AIO_REQUEST_DONE);
        break;
    case 2:
        result = CALL(aio_queue_drain(queue, &patience));
        REQUIRE(result == 0 || result == -ETIMEDOUT);
        break;
    default:
        if (poll(&readable, 1, (int)choose(&thread->random, 3)) == 1)
            reap_some(queue, &thread->random, 0);
        break;
    }
}

/* --- the threads ---------------------------------------------------------------------------- */

static bool all_free(struct thread *thread)
{
    for (unsigned index = 0; index < TICKETS; index++)
        if (ticket_state(&thread->tickets[index]) != TICKET_FREE)
            return false;
    return true;
}

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    uint64_t *random = &thread->random;

    if (thread->number < OWNERS)
        thread->owned = open_queue(
            16, thread->number % 2 == 0 ? AIO_QUEUE_OWNED : AIO_QUEUE_OWNED | AIO_QUEUE_NONBLOCK);
    for (; !atomic_load(&storm.stop); thread->rounds++) {
        uint64_t chance = choose(random, 100);

        if (chance < 35)
            submit_some(thread);
        else if (chance < 50)
            wait_for_own(thread, QUEUES + 1, one_in(random, 4));
        else if (chance < 65)
            reap_some(storm.queues[choose(random, QUEUES)], random, (unsigned)choose(random, 4));
        else if (chance < 80)
            call_something(thread);
        else if (chance < 88)
            cancel_any(random);
        else if (chance < 93)
            look_round(thread);
        else if (chance < 95)
            handle_renew(random);
        else if (thread->owned != NULL)
            use_owned(thread);
    }
    wait_for_own(thread, QUEUES + 1, true);
    while (!all_free(thread))
        for (unsigned queue = 0; queue < QUEUES; queue++)
            reap_some(storm.queues[queue], random, 0);
    if (thread->owned != NULL)
        close_queue(thread->owned);
    atomic_fetch_sub(&storm.running, 1);
    return NULL;
}

/* --- before and after ----------------------------------------------------------------------- */

static void files_make(void)
{
    uint64_t random = 1;

    for (unsigned file = 0; file < FILES; file++) {
        struct aio_file *made = open_cached(file_name(file));

        storm.expected[file] = page_alloc((uint64_t)DATA_BYTES);
        for (unsigned page = 0; page < FILE_PAGES; page++)
            page_make(storm.expected[file] + (size_t)page * PAGE, file, page, &random);
        EXPECT(aio_file_write(made, storm.expected[file], (size_t)DATA_BYTES), DATA_BYTES);
        close_file(made);
    }
    for (unsigned handle = 0; handle < HANDLES; handle++) {
        REQUIRE(pthread_rwlock_init(&storm.handles[handle].lock, NULL) == 0);
        handle_open(handle, &random);
    }
}

static void files_end(void)
{
    unsigned char *found = page_alloc((uint64_t)DATA_BYTES);

    for (unsigned handle = 0; handle < HANDLES; handle++) {
        struct aio_file *file = storm.handles[handle].file;
        struct aio_file_info info = {.size = sizeof(info)};

        EXPECT(aio_file_info(file, &info), 0);
        REQUIRE_EQ(info.inflight, 0);
        EXPECT(aio_file_pread(file, found, (size_t)DATA_BYTES, 0), DATA_BYTES);
        check_bytes(found, storm.expected[file_of(handle)], file_of(handle), 0, DATA_BYTES);
        close_file(file);
        REQUIRE(pthread_rwlock_destroy(&storm.handles[handle].lock) == 0);
    }
    for (unsigned file = 0; file < FILES; file++) {
        disk_read(file_name(file), found, (uint64_t)DATA_BYTES, 0);
        check_bytes(found, storm.expected[file], file, 0, DATA_BYTES);
        free(storm.expected[file]);
    }
    free(found);
}

static void queues_make(void)
{
    storm.fault = fault_create(test_engine, 24);
    fault_shorten_by_chance(storm.fault, 1, 3, SECTOR);
    fault_take(storm.fault, 3);
    fault_reverse(storm.fault, true);
    storm.queues[0] = open_queue(32, 0);
    storm.queues[1] = open_queue(64, AIO_QUEUE_NONBLOCK);
    storm.queues[2] = fault_queue(storm.fault, 0);
    storm.queues[3] = open_queue(16, AIO_QUEUE_TIMES);
    for (unsigned queue = 0; queue < QUEUES; queue++)
        storm.eventfds[queue] = (int)CALL(aio_queue_eventfd(storm.queues[queue]));
}

static void queues_check(void)
{
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        struct aio_queue_stats stats = {.size = sizeof(stats)};

        EXPECT(aio_queue_drain(storm.queues[queue], NULL), 0);
        EXPECT(aio_queue_stats(storm.queues[queue], &stats), 0);
        REQUIRE_EQ(stats.submitted, storm.submitted[queue]);
        REQUIRE_EQ(stats.completed, storm.completed[queue]);
        REQUIRE_EQ(stats.completed, stats.submitted);
        REQUIRE(stats.notices >= storm.notices[queue]);
        REQUIRE_EQ(stats.held, 0);
        REQUIRE_EQ(stats.inflight, 0);
        REQUIRE(stats.callbacks >= storm.callbacks[queue]);
    }
}

static void threads_begin(void)
{
    storm.running = THREADS;
    for (unsigned number = 0; number < THREADS; number++) {
        struct thread *thread = &threads[number];

        thread->number = number;
        thread->random = mix(number);
        thread->memory = page_alloc(PAGE);
        for (unsigned place = 0; place < TICKETS; place++) {
            struct ticket *ticket = &thread->tickets[place];

            ticket->owner = thread;
            ticket->place = place;
            ticket->random = mix(number * TICKETS + place + 1000);
            ticket->memory = page_alloc((PAGES + 1) * PAGE);
            memset(ticket->memory, 0, (PAGES + 1) * PAGE);
        }
    }
    for (unsigned number = 0; number < THREADS; number++)
        thread_begin(&threads[number].thread, thread_main, &threads[number]);
}

/* Somebody hangs: says what is in the queues. */
static void tell_of_hang(void)
{
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        struct aio_request_info infos[64];
        int count = aio_queue_inflight(storm.queues[queue], infos, COUNT(infos));

        for (int index = 0; index < count; index++)
            fprintf(stderr, "queue %u: opcode %u state %u at %lld, %llu of %llu, %llu ms\n", queue,
                    infos[index].opcode, infos[index].state, (long long)infos[index].offset,
                    (unsigned long long)infos[index].done, (unsigned long long)infos[index].len,
                    (unsigned long long)infos[index].age_ns / 1000000);
    }
    ck_abort_msg("%u threads hang", storm.running);
}

START_TEST(everything_by_chance)
{
    int64_t give_up_ns;
    uint64_t rounds = 0;

    queues_make();
    files_make();
    threads_begin();
    sleep_us(seconds * 1000000);
    storm.stop = true;
    give_up_ns = clock_ns() + LONG_MS * INT64_C(1000000) * slowness();
    while (storm.running > 0) {
        if (clock_ns() > give_up_ns)
            tell_of_hang();
        sleep_us(1000);
    }
    for (unsigned number = 0; number < THREADS; number++) {
        struct thread *thread = &threads[number];

        thread_end(thread->thread);
        rounds += thread->rounds;
        free(thread->memory);
        for (unsigned place = 0; place < TICKETS; place++)
            free(thread->tickets[place].memory);
    }
    queues_check();
    for (unsigned file = 0; file < FILES; file++)
        for (unsigned page = 0; page < FILE_PAGES; page++)
            REQUIRE_EQ(storm.pages[file][page], 0);
    files_end();
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        close(storm.eventfds[queue]);
        close_queue(storm.queues[queue]);
    }
    printf("storm: %llu rounds; %llu, %llu, %llu, %llu operations; %llu cancelled; %llu reads "
           "checked; %llu files opened again\n",
           (unsigned long long)rounds, storm.completed[0], storm.completed[1], storm.completed[2],
           storm.completed[3], storm.cancelled, storm.checked, storm.reopened);
    REQUIRE(rounds > 100 && storm.checked > 100 && storm.reopened > 0 && storm.cancelled > 0);
}
END_TEST

static void *list_on_and_on(void *argument)
{
    struct aio_queue *queue = argument;
    struct aio_request_info infos[8];

    while (!atomic_load(&storm.stop)) {
        int64_t count = CALL(aio_queue_inflight(queue, infos, COUNT(infos)));

        for (int64_t index = 0; index < count && index < (int64_t)COUNT(infos); index++)
            REQUIRE(infos[index].offset % PAGE == 0);
    }
    return NULL;
}

/* A follower gets its place in its file outside the queue's lock: for the thread sanitizer. */
START_TEST(followers_are_listed_while_they_enter)
{
    struct aio_queue *queue = open_queue(8, 0);
    struct aio_file *file = open_direct("file");
    char *page = pattern_alloc(PAGE, 0, 1);
    struct aio_op chain[] = {op_nop(), op_append(file, page, PAGE)};
    struct aio_completion completions[2];
    pthread_t thread;

    chain[0].flags = AIO_OP_LINK;
    storm.stop = false;
    thread_begin(&thread, list_on_and_on, queue);
    for (unsigned round = 0; round < 500 / slowness(); round++) {
        EXPECT(aio_queue_submit(queue, chain, 2, NULL), 2);
        EXPECT(aio_queue_reap(queue, completions, 2, 2, NULL), 2);
        REQUIRE_EQ(completions[1].offset, round * PAGE);
    }
    storm.stop = true;
    thread_end(thread);
    close_file(file);
    close_queue(queue);
    free(page);
}
END_TEST

/* A buffer full. */
#define BOUNCED (256 * KIB)

static void *read_bounced(void *argument)
{
    char *memory = page_alloc(BOUNCED + PAGE);

    for (unsigned round = 0; round < 400 / slowness(); round++)
        EXPECT(aio_file_pread(argument, memory + 1, BOUNCED, 0), BOUNCED);
    pattern_check(memory + 1, BOUNCED, 0, 1);
    free(memory);
    return NULL;
}

/* A thread gets bounce memory from another one, in the moment in which it looks whether to wait:
 * for the thread sanitizer. */
START_TEST(bounce_memory_goes_from_thread_to_thread)
{
    struct aio_file *file = open_direct("file");
    char *bytes = pattern_alloc(BOUNCED, 0, 1);
    pthread_t readers[18]; /* one or two more than there are buffers */

    EXPECT(aio_file_write(file, bytes, BOUNCED), BOUNCED);
    for (unsigned index = 0; index < COUNT(readers); index++)
        thread_begin(&readers[index], read_bounced, file);
    for (unsigned index = 0; index < COUNT(readers); index++)
        thread_end(readers[index]);
    close_file(file);
    free(bytes);
}
END_TEST

static Suite *storm_suite(void)
{
    Suite *suite = suite_create("storm");
    const TTest *const tests[] = {followers_are_listed_while_they_enter,
                                  bounce_memory_goes_from_thread_to_thread, everything_by_chance};

    add_long_tests(suite, "storm", tests, COUNT(tests), 10 + seconds);
    return suite;
}

int main(int argc, char **argv)
{
    seconds *= test_scale();
    if (argc > 2)
        seconds = (unsigned)strtoul(argv[2], NULL, 0);
    return run_suite_on_engine(argc, argv, storm_suite);
}
