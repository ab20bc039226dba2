/* SPDX-License-Identifier: MIT */
/*
 * file_check.c - AIO_FILE_CHECK; see file_check.h.
 *
 * All entries of the process are in one list, which each operation that starts looks through: for
 * ranges of its inode, and for memory. For a few hundred operations in flight that is less than the
 * look at the memory of one.
 *
 * The program's memory is read by process_vm_readv(2): it may be gone, which is then what is to be
 * told of, and a program that changes it meanwhile is not to race with a plain load.
 */
#include "file_check.h"

#include <assert.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <aiofile/file.h>

#include "errno_guard.h"
#include "thread.h"
#include "transfer.h"

/* What is wrong. Each is told of an operation once. */
enum kind {
    KIND_OVERLAP, /* with a write in flight, as a write, truncate or allocation */
    KIND_READ,    /* one reads what the other writes */
    KIND_SHARED,  /* one reads into memory of the other */
    KIND_CHANGED, /* what was to be written is not what it was */
    KIND_ARRAY,   /* the same of the array of vectors */
    KIND_FREED,
    KINDS,
};

/* What an operation does to its range. */
enum effect {
    EFFECT_READ,
    EFFECT_WRITE,
    EFFECT_SPACE, /* cuts off, frees or zeroes: alone in the file, in its turn */
    EFFECT_NONE,
};

/* How a sentence names an operation. */
struct name {
    aio_request_id id; /* 0: a blocking call */
    uint8_t opcode;
    bool placed; /* offset is known */
    int64_t offset;
    uint64_t length;  /* bytes */
    uint64_t vectors; /* 0: a single buffer */
};

/* What was found of an operation: with which other one, if any, and where in memory. */
struct finding {
    struct name other;
    const void *memory;
    const char *call; /* that freed it */
    bool gone;        /* unmapped */
};

struct check_entry {
    /* Set by check_begin() and check_link(), before others look. */
    struct check_handle *handle; /* NULL once that was closed */
    enum effect effect;
    uint64_t chain;              /* the same number in a chain; 0: it is in none */
    const struct iovec *array;   /* the program's; NULL: a single buffer */
    const struct iovec *vectors; /* what it said at the submit: copy, or &single */
    uint64_t count;
    struct iovec single;
    struct iovec *copy;
    uint64_t capacity; /* vectors in copy */
    uintptr_t low;     /* no byte of the memory is below */
    uintptr_t high;    /* nor here or above */

    /* Guarded by the lock, as the lists. */
    struct name name;
    int64_t end; /* of the range: name.offset up to here */
    bool started;
    bool ranged;  /* the range is in flight */
    bool done;    /* the result is known */
    bool settled; /* the memory is the program's again, or was looked at for the last time */
    bool hashed;
    uint64_t hash; /* of the memory, at the start */
    bool held;     /* an operation has it */
    uint32_t reported;
    uint32_t due;
    struct finding findings[KINDS];
    struct check_entry *next;
    struct check_entry *previous;
    struct check_entry *next_due;
};

/*
 * lock guards all of it. It is the innermost of all: nothing is taken under it, while a queue's, a
 * gate's or a pool's may be held, and the cursor's. The memory of an operation that ends is looked
 * at with it held, so that neither the handle nor the entry goes meanwhile.
 */
static struct {
    struct thread_mutex lock;
    struct thread_cond quiet; /* a handle has nothing to say any more */
    struct check_handle *handles;
    struct check_entry *first; /* of those whose handle is open */
    struct check_entry *spare; /* by next */
    struct check_entry *first_due;
    struct check_entry *last_due;
    uint64_t chains;
} all = {.lock = THREAD_MUTEX_INIT};

atomic_uint check_handles;

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A child's copies of handles are not checked, and what is in flight is its parent's. */
static void reset(void)
{
    thread_mutex_init(&all.lock);
    thread_cond_init(&all.quiet);
    all.handles = NULL;
    all.first = NULL;
    all.spare = NULL;
    all.first_due = NULL;
    all.last_due = NULL;
    atomic_store_explicit(&check_handles, 0, memory_order_relaxed);
}

static void prepare(void)
{
    thread_cond_init(&all.quiet);
    pthread_atfork(NULL, NULL, reset);
}

/* --- the program's memory ------------------------------------------------------------------- */

/* Read at a time, on the stack; whole words. */
#define WINDOW 8192u

/* Returns false where the memory cannot be read: all of it is there, or it is gone. */
static bool look(void *window, const void *memory, size_t size)
{
    ERRNO_GUARD;
    struct iovec local = {window, size};
    struct iovec remote = {(void *)(uintptr_t)memory, size};

    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* Each step loses nothing, neither of the hash before nor of the word: that one word is another one
 * is always found. */
static uint64_t hash_word(uint64_t hash, uint64_t word)
{
    hash ^= word * UINT64_C(0x9e3779b97f4a7c15);
    return (hash << 29 | hash >> 35) * UINT64_C(0xbf58476d1ce4e5b9);
}

static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t size)
{
    uint64_t word;

    for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        hash = hash_word(hash, word);
    }
    word = 0;
    memcpy(&word, bytes, size);
    return hash_word(hash, word);
}

/* Returns false where a part of the memory is not there. */
static bool hash_memory(const struct check_entry *entry, uint64_t *hash)
{
    char window[WINDOW];

    *hash = 0;
    for (uint64_t index = 0; index < entry->count; index++) {
        const char *memory = entry->vectors[index].iov_base;
        size_t left = entry->vectors[index].iov_len;

        while (left > 0) {
            size_t size = left < WINDOW ? left : WINDOW;

            if (!look(window, memory, size))
                return false;
            *hash = hash_bytes(*hash, window, size);
            memory += size;
            left -= size;
        }
    }
    return true;
}

/* Whether the program's array says what it said. */
static bool array_is_same(const struct check_entry *entry, bool *gone)
{
    const uint64_t step = WINDOW / sizeof(struct iovec);
    struct iovec window[WINDOW / sizeof(struct iovec)];

    for (uint64_t index = 0; index < entry->count; index += step) {
        uint64_t count = entry->count - index < step ? entry->count - index : step;

        *gone = !look(window, entry->array + index, count * sizeof(window[0]));
        if (*gone || memcmp(window, entry->vectors + index, count * sizeof(window[0])) != 0)
            return false;
    }
    return true;
}

/* Where a piece of memory meets that of an entry; NULL: nowhere. */
static const void *meets_piece(const struct check_entry *entry, uintptr_t low, uintptr_t high)
{
    if (high <= entry->low || low >= entry->high)
        return NULL;
    for (uint64_t index = 0; index < entry->count; index++) {
        uintptr_t base = (uintptr_t)entry->vectors[index].iov_base;

        /* An empty vector has no memory, wherever it stands. */
        if (entry->vectors[index].iov_len > 0 && low < base + entry->vectors[index].iov_len &&
            base < high)
            return entry->vectors[index].iov_base;
    }
    return NULL;
}

static const void *meets(const struct check_entry *left, const struct check_entry *right)
{
    const void *memory = NULL;

    if (left->high <= right->low || right->high <= left->low)
        return NULL;
    for (uint64_t index = 0; index < left->count && memory == NULL; index++) {
        uintptr_t base = (uintptr_t)left->vectors[index].iov_base;

        if (left->vectors[index].iov_len > 0)
            memory = meets_piece(right, base, base + left->vectors[index].iov_len);
    }
    return memory;
}

/* --- findings ------------------------------------------------------------------------------- */

/* Keeps what was found, unless the operation has been told of for that already. Lock held. */
static void find(struct check_entry *entry, enum kind kind, struct finding finding)
{
    uint32_t bit = UINT32_C(1) << kind;

    if ((entry->reported & bit) != 0)
        return;
    entry->reported |= bit;
    entry->findings[kind] = finding;
    if (entry->due == 0) {
        entry->next_due = NULL;
        if (all.first_due != NULL)
            all.last_due->next_due = entry;
        else
            all.first_due = entry;
        all.last_due = entry;
    }
    entry->due |= bit;
    entry->handle->busy++;
}

/* Looks at the memory for the last time. Lock held. */
static void settle(struct check_entry *entry)
{
    struct finding finding = {.call = NULL};
    uint64_t hash;

    if (entry->settled || entry->handle == NULL)
        return;
    entry->settled = true;
    if (entry->handle->blind)
        return;
    if (entry->array != NULL && !array_is_same(entry, &finding.gone))
        find(entry, KIND_ARRAY, finding);
    if (!entry->hashed)
        return;
    finding.gone = !hash_memory(entry, &hash);
    if (finding.gone || hash != entry->hash)
        find(entry, KIND_CHANGED, finding);
}

/* --- entries -------------------------------------------------------------------------------- */

/* Lock held, as for all of these. */
static void entry_unlink(struct check_entry *entry)
{
    if (entry->previous != NULL)
        entry->previous->next = entry->next;
    else
        all.first = entry->next;
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
}

static void entry_free(struct check_entry *entry)
{
    free(entry->copy);
    free(entry);
}

/* Gives an entry back that nobody has and of which nothing is to be said. */
static void entry_put(struct check_entry *entry)
{
    if (entry->held || entry->due != 0)
        return;
    if (entry->handle != NULL)
        entry_unlink(entry);
    if (all.handles == NULL) {
        entry_free(entry);
        return;
    }
    entry->next = all.spare;
    all.spare = entry;
}

static void spares_free(void)
{
    struct check_entry *entry;

    while ((entry = all.spare) != NULL) {
        all.spare = entry->next;
        entry_free(entry);
    }
}

/* An entry with room for a copy of so many vectors, and nothing else; NULL: no memory. Lock not
 * held. */
static struct check_entry *entry_get(uint64_t vectors)
{
    struct check_entry *entry;
    struct iovec *copy;
    uint64_t capacity;

    thread_mutex_lock(&all.lock);
    entry = all.spare;
    if (entry != NULL)
        all.spare = entry->next;
    thread_mutex_unlock(&all.lock);
    if (entry == NULL)
        entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    copy = entry->copy;
    capacity = entry->capacity;
    if (capacity < vectors) {
        free(copy);
        copy = calloc(vectors, sizeof(*copy));
        capacity = copy != NULL ? vectors : 0;
    }
    if (capacity < vectors) {
        free(entry);
        return NULL;
    }
    memset(entry, 0, sizeof(*entry));
    entry->copy = copy;
    entry->capacity = capacity;
    return entry;
}

/* --- begin ---------------------------------------------------------------------------------- */

static bool has_vectors(uint8_t opcode)
{
    return opcode == AIO_OP_READV || opcode == AIO_OP_WRITEV || opcode == AIO_OP_APPENDV;
}

/* Whether an allocation does away with what is written in its range, or moves it. */
static bool destroys(uint32_t mode)
{
    const uint32_t keeping = FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE;

    return (mode & ~keeping) != 0;
}

static enum effect effect_of(const struct aio_op *op, const struct transfer *transfer)
{
    if (op->opcode == AIO_OP_TRUNCATE || (op->opcode == AIO_OP_ALLOCATE && destroys(op->mode)))
        return EFFECT_SPACE;
    if (transfer->total == 0)
        return EFFECT_NONE;
    if (transfer_is_read(transfer))
        return EFFECT_READ;
    return transfer_is_write(transfer) ? EFFECT_WRITE : EFFECT_NONE;
}

/* Where the effect of an operation ends: a truncate's, and what moves all that is behind it, never
 * does. */
static int64_t end_of(const struct aio_op *op, const struct transfer *transfer)
{
    if (op->opcode == AIO_OP_TRUNCATE ||
        (op->opcode == AIO_OP_ALLOCATE &&
         (op->mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) != 0))
        return INT64_MAX;
    return transfer->offset + (int64_t)transfer->total;
}

static void describe_memory(struct check_entry *entry, const struct aio_op *op)
{
    entry->vectors = &entry->single;
    entry->low = UINTPTR_MAX;
    if (entry->effect == EFFECT_SPACE)
        return;
    if (has_vectors(op->opcode)) {
        /* What has no vectors has no effect either. */
        assert(entry->copy != NULL);
        memcpy(entry->copy, op->iov, op->len * sizeof(*op->iov));
        entry->array = op->iov;
        entry->vectors = entry->copy;
        entry->count = op->len;
    } else {
        entry->single = (struct iovec){op->buf, op->len};
        entry->count = 1;
    }
    for (uint64_t index = 0; index < entry->count; index++) {
        uintptr_t base = (uintptr_t)entry->vectors[index].iov_base;
        size_t length = entry->vectors[index].iov_len;

        if (length > 0 && base < entry->low)
            entry->low = base;
        if (length > 0 && base + length > entry->high)
            entry->high = base + length;
    }
}

static void describe(struct check_entry *entry, const struct aio_op *op,
                     const struct transfer *transfer, bool placed)
{
    describe_memory(entry, op);
    entry->name = (struct name){
        .opcode = op->opcode,
        .placed = placed,
        .offset = transfer->offset,
        .length = transfer->total,
        .vectors = has_vectors(op->opcode) ? op->len : 0,
    };
    entry->end = placed ? end_of(op, transfer) : 0;
}

static void begin_failed(struct check_handle *handle)
{
    thread_mutex_lock(&all.lock);
    if (!handle->lost) {
        handle->lost = true;
        handle->lost_due = true;
        handle->busy++;
    }
    thread_mutex_unlock(&all.lock);
}

struct check_entry *check_begin(struct check_handle *handle, const struct aio_op *op,
                                const struct transfer *transfer, bool placed)
{
    ERRNO_GUARD; /* of calloc(3) */
    enum effect effect = effect_of(op, transfer);
    struct check_entry *entry;

    if (effect == EFFECT_NONE)
        return NULL;
    entry = entry_get(has_vectors(op->opcode) ? op->len : 0);
    if (entry == NULL) {
        begin_failed(handle);
        return NULL;
    }
    entry->handle = handle;
    entry->effect = effect;
    entry->held = true;
    describe(entry, op, transfer, placed);
    thread_mutex_lock(&all.lock);
    entry->next = all.first;
    if (all.first != NULL)
        all.first->previous = entry;
    all.first = entry;
    thread_mutex_unlock(&all.lock);
    return entry;
}

void check_link(struct check_entry *entry, aio_request_id id, uint64_t *chain)
{
    thread_mutex_lock(&all.lock);
    entry->name.id = id;
    if (*chain == 0)
        *chain = ++all.chains;
    entry->chain = *chain;
    thread_mutex_unlock(&all.lock);
}

/* --- in flight ------------------------------------------------------------------------------ */

static bool ranges_meet(const struct check_entry *left, const struct check_entry *right)
{
    return left->handle->inode == right->handle->inode && left->name.offset < right->end &&
           right->name.offset < left->end;
}

/* What is wrong with an operation that comes to a range where another one is in flight; KINDS:
 * nothing. What comes behind a truncate or an allocation in flight waits for it, so that the file
 * is what the program asked for. */
static enum kind kind_of_pair(const struct check_entry *entry, const struct check_entry *other)
{
    if (other->effect == EFFECT_WRITE)
        return entry->effect == EFFECT_READ ? KIND_READ : KIND_OVERLAP;
    if (other->effect == EFFECT_READ && entry->effect == EFFECT_WRITE)
        return KIND_READ;
    return KINDS;
}

/* Compares the range of an operation with those in flight; from now on it is one. Lock held. */
static void enter_range(struct check_entry *entry)
{
    for (struct check_entry *other = all.first; other != NULL; other = other->next) {
        enum kind kind = kind_of_pair(entry, other);

        if (other->ranged && kind != KINDS && ranges_meet(entry, other))
            find(entry, kind, (struct finding){.other = other->name});
    }
    entry->ranged = true;
}

/* One of the same chain has used the memory before: what it wrote is written, and a read may now
 * come over it. */
static void pass_on(const struct check_entry *entry, struct check_entry *before)
{
    if (entry->effect == EFFECT_READ && before->done && meets(entry, before) != NULL)
        settle(before);
}

/* Compares the memory of an operation with that of others. Lock held. */
static void enter_memory(struct check_entry *entry)
{
    for (struct check_entry *other = all.first; other != NULL; other = other->next) {
        const void *memory;

        if (other == entry || !other->started || other->settled)
            continue;
        if (other->chain == entry->chain && entry->chain != 0) {
            pass_on(entry, other);
            continue;
        }
        if (entry->effect != EFFECT_READ && other->effect != EFFECT_READ)
            continue;
        memory = meets(entry, other);
        if (memory != NULL)
            find(entry, KIND_SHARED, (struct finding){.other = other->name, .memory = memory});
    }
}

void check_start(struct check_entry *entry, aio_request_id id)
{
    uint64_t hash = 0;
    bool hashed = entry->effect == EFFECT_WRITE && !entry->handle->blind;

    /* What is not there is the kernel's to refuse. */
    if (hashed)
        hashed = hash_memory(entry, &hash);
    thread_mutex_lock(&all.lock);
    entry->name.id = id;
    entry->started = true;
    entry->hashed = hashed;
    entry->hash = hash;
    if (!entry->settled)
        enter_memory(entry);
    if (entry->name.placed)
        enter_range(entry);
    thread_mutex_unlock(&all.lock);
}

void check_place(struct check_entry *entry, int64_t offset)
{
    thread_mutex_lock(&all.lock);
    entry->name.placed = true;
    entry->name.offset = offset;
    entry->end = offset + (int64_t)entry->name.length;
    enter_range(entry);
    thread_mutex_unlock(&all.lock);
}

void check_result(struct check_entry *entry)
{
    thread_mutex_lock(&all.lock);
    entry->ranged = false;
    entry->done = true;
    thread_mutex_unlock(&all.lock);
}

bool check_freed(const void *memory, size_t size, const char *call)
{
    uintptr_t low = (uintptr_t)memory;
    bool found = false;

    thread_mutex_lock(&all.lock);
    for (struct check_entry *entry = all.first; entry != NULL; entry = entry->next) {
        const void *piece;

        if (entry->settled)
            continue;
        piece = meets_piece(entry, low, low + size);
        if (piece == NULL)
            continue;
        /* From now on it may be anybody's, or nobody's. */
        entry->settled = true;
        find(entry, KIND_FREED, (struct finding){.memory = piece, .call = call});
        found = true;
    }
    thread_mutex_unlock(&all.lock);
    return found;
}

/* --- end ------------------------------------------------------------------------------------ */

/* What was found of an operation that will not be is not said. Lock held. */
static void forget_due(struct check_entry *entry)
{
    struct check_entry **link = &all.first_due;
    struct check_entry *previous = NULL;

    if (entry->due == 0)
        return;
    for (; *link != entry; link = &previous->next_due)
        previous = *link;
    *link = entry->next_due;
    if (all.last_due == entry)
        all.last_due = previous;
    entry->handle->busy -= (unsigned)__builtin_popcount(entry->due);
    entry->due = 0;
}

static void give_up(struct check_entry **entry, bool completed)
{
    struct check_entry *mine = *entry;

    *entry = NULL;
    if (mine == NULL)
        return;
    thread_mutex_lock(&all.lock);
    if (completed)
        settle(mine);
    else
        forget_due(mine);
    mine->settled = true;
    mine->ranged = false;
    mine->held = false;
    entry_put(mine);
    thread_mutex_unlock(&all.lock);
}

void check_end(struct check_entry **entry)
{
    give_up(entry, true);
}

void check_drop(struct check_entry **entry)
{
    give_up(entry, false);
}

/* --- sentences ------------------------------------------------------------------------------ */

#define NAME_SIZE 144u

static const char *const opcode_names[] = {
    [AIO_OP_READ] = "AIO_OP_READ",         [AIO_OP_WRITE] = "AIO_OP_WRITE",
    [AIO_OP_READV] = "AIO_OP_READV",       [AIO_OP_WRITEV] = "AIO_OP_WRITEV",
    [AIO_OP_APPEND] = "AIO_OP_APPEND",     [AIO_OP_APPENDV] = "AIO_OP_APPENDV",
    [AIO_OP_TRUNCATE] = "AIO_OP_TRUNCATE", [AIO_OP_ALLOCATE] = "AIO_OP_ALLOCATE",
};

static void write_name(char *text, const struct name *name)
{
    char who[40] = "blocking ";
    char what[40] = "";
    char where[40] = "";

    if (name->id != 0)
        snprintf(who, sizeof(who), "id %llu, ", (unsigned long long)name->id);
    if (name->vectors > 0)
        snprintf(what, sizeof(what), " in %llu vectors", (unsigned long long)name->vectors);
    if (name->placed)
        snprintf(where, sizeof(where), " at offset %lld", (long long)name->offset);
    if (name->opcode == AIO_OP_TRUNCATE)
        snprintf(text, NAME_SIZE, "%s%s to %lld bytes", who, opcode_names[name->opcode],
                 (long long)name->offset);
    else
        snprintf(text, NAME_SIZE, "%s%s of %llu bytes%s%s", who, opcode_names[name->opcode],
                 (unsigned long long)name->length, what, where);
}

static void say_overlap(const struct log *log, const char *this, const char *other, uint8_t opcode)
{
    if (opcode == AIO_OP_TRUNCATE || opcode == AIO_OP_ALLOCATE)
        log_say(log, AIO_LOG_WARNING,
                "check: (%s) takes away bytes that (%s), in flight on the same file, is writing: "
                "wait for the write first, or do not write it",
                this, other);
    else
        log_say(log, AIO_LOG_WARNING,
                "check: (%s) overlaps (%s), which is in flight on the same file: which of the two "
                "the file will have is undefined; wait for the one first, or link them "
                "(AIO_OP_LINK)",
                this, other);
}

static void say_memory(const struct log *log, const char *this, const struct finding *finding,
                       enum kind kind)
{
    const char *how = finding->gone ? "unmapped" : "changed";

    if (kind == KIND_CHANGED)
        log_say(
            log, AIO_LOG_WARNING,
            "check: the memory of (%s) was %s in flight: what the file has there now is "
            "undefined; leave the buffer alone until the call returns, or until aio_queue_wait, "
            "aio_queue_reap or the callback gives the final completion",
            this, how);
    else if (kind == KIND_ARRAY)
        log_say(log, AIO_LOG_WARNING,
                "check: the array of vectors of (%s) was %s in flight: what was transferred is "
                "undefined; keep it as it is, and where it is, until the final completion",
                this, how);
    else
        log_say(log, AIO_LOG_WARNING,
                "check: %s was given the memory at %p of (%s), which has not had its final "
                "completion: the kernel may still use it; free it after that",
                finding->call, finding->memory, this);
}

static void say(const struct log *log, const struct name *name, const struct finding *finding,
                enum kind kind)
{
    char this[NAME_SIZE];
    char other[NAME_SIZE];

    write_name(this, name);
    if (finding->other.opcode != AIO_OP_NOP)
        write_name(other, &finding->other);
    if (kind == KIND_OVERLAP)
        say_overlap(log, this, other, name->opcode);
    else if (kind == KIND_READ)
        log_say(log, AIO_LOG_WARNING,
                "check: (%s) meets (%s), which is in flight on the same file: one reads what the "
                "other writes, so what is read is undefined; wait for the one first, or link them "
                "(AIO_OP_LINK)",
                this, other);
    else if (kind == KIND_SHARED)
        log_say(log, AIO_LOG_WARNING,
                "check: (%s) has memory at %p together with (%s), which has not had its final "
                "completion, and a read fills it: what it will hold is undefined; give each its "
                "own buffer",
                this, finding->memory, other);
    else
        say_memory(log, this, finding, kind);
}

/* One sentence of an entry, the first that is due. Lock held, dropped meanwhile. */
static void say_due(struct check_entry *entry)
{
    enum kind kind = (enum kind)__builtin_ctz(entry->due);
    struct check_handle *handle = entry->handle;
    struct name name = entry->name;
    struct finding finding = entry->findings[kind];

    entry->due &= entry->due - 1;
    if (entry->due == 0) {
        all.first_due = entry->next_due;
        entry_put(entry);
    }
    thread_mutex_unlock(&all.lock);
    say(handle->log, &name, &finding, kind);
    thread_mutex_lock(&all.lock);
    if (--handle->busy == 0)
        thread_cond_broadcast(&all.quiet);
}

/* The same of a handle of which some operations have no entry. */
static void say_lost(struct check_handle *handle)
{
    handle->lost_due = false;
    thread_mutex_unlock(&all.lock);
    log_say(handle->log, AIO_LOG_WARNING,
            "check: no memory for AIO_FILE_CHECK: some operations of this file are not checked");
    thread_mutex_lock(&all.lock);
    if (--handle->busy == 0)
        thread_cond_broadcast(&all.quiet);
}

static struct check_handle *first_lost(void)
{
    struct check_handle *handle = all.handles;

    while (handle != NULL && !handle->lost_due)
        handle = handle->next;
    return handle;
}

void check_speak(void)
{
    struct check_handle *lost;

    thread_mutex_lock(&all.lock);
    while (all.first_due != NULL)
        say_due(all.first_due);
    while ((lost = first_lost()) != NULL)
        say_lost(lost);
    thread_mutex_unlock(&all.lock);
}

/* --- a handle's life ------------------------------------------------------------------------ */

void check_open(struct check_handle *handle, const struct log *log, const void *inode)
{
    char letter = 'a';
    char copy;

    pthread_once(&once, prepare);
    handle->on = true;
    handle->log = log;
    handle->inode = inode;
    handle->blind = !look(&copy, &letter, 1);
    thread_mutex_lock(&all.lock);
    handle->next = all.handles;
    all.handles = handle;
    thread_mutex_unlock(&all.lock);
    atomic_fetch_add_explicit(&check_handles, 1, memory_order_relaxed);
    if (handle->blind)
        log_say(log, AIO_LOG_WARNING,
                "check: process_vm_readv(2) is refused here: AIO_FILE_CHECK does not see memory "
                "that is changed in flight; let the sandbox allow it");
}

static void handle_remove(const struct check_handle *handle)
{
    struct check_handle **link = &all.handles;

    while (*link != handle)
        link = &(*link)->next;
    *link = handle->next;
}

void check_close(struct check_handle *handle)
{
    struct check_entry *entry;
    struct check_entry *next;

    atomic_fetch_sub_explicit(&check_handles, 1, memory_order_relaxed);
    thread_mutex_lock(&all.lock);
    for (entry = all.first; entry != NULL; entry = entry->next)
        if (entry->handle == handle)
            settle(entry);
    thread_mutex_unlock(&all.lock);
    check_speak();
    thread_mutex_lock(&all.lock);
    while (handle->busy > 0)
        thread_cond_wait(&all.quiet, &all.lock, DEADLINE_NEVER);
    /* What is left is in the slots of results that nobody took. */
    for (entry = all.first; entry != NULL; entry = next) {
        next = entry->next;
        if (entry->handle != handle)
            continue;
        entry_unlink(entry);
        entry->handle = NULL;
    }
    handle_remove(handle);
    if (all.handles == NULL)
        spares_free();
    thread_mutex_unlock(&all.lock);
}
