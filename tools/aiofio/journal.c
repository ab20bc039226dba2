/* SPDX-License-Identifier: MIT */
/*
 * A block's mark, from the low end:
 *
 *   28 bits  durable  the lowest generation that can be there after a loss of power; 0: unknown
 *   36 bits  epoch    of the file when the last write of the block had completed
 *
 * A sync takes the file's epoch and raises it, then is submitted: what has completed in that epoch
 * or before is covered. Sequentially consistent: a write that saw the epoch before the raise was
 * done before the sync began. Where a write completes while a sync is at work that covers the one
 * before it, that is forgotten: one generation too many is possible then, and never one too few.
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stamp.h"

#define JOURNAL_MAGIC 0x4c4e524a6f694641ull /* "AFioJRNL" */
#define JOURNAL_VERSION 1u
#define DURABLE_BITS 28
#define DURABLE_MAX ((1u << DURABLE_BITS) - 1)
#define TABLE_ALIGNMENT 4096u
#define BLOCK_BYTES 16u

_Static_assert(sizeof(struct journal_header) == 80 && sizeof(struct journal_record) == 4160,
               "these sizes are part of the format");

static void read_boot(char boot[40])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    memset(boot, 0, 40);
    if (!file)
        return;
    if (!fgets(boot, 40, file))
        boot[0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    fclose(file);
}

/* --- making one ----------------------------------------------------------------------------- */

static bool is_kept(const struct plan *plan, const struct target *target)
{
    for (unsigned i = 0; i < plan->job_count; i++)
        if (plan->jobs[i].options->x_journal && plan->jobs[i].target == target)
            return true;
    return false;
}

/* The journal's name, of which there may be one. 1 where there is none. */
static int find_path(const struct plan *plan, const char **path, struct message *message)
{
    *path = NULL;
    for (unsigned i = 0; i < plan->job_count; i++) {
        const char *named = plan->jobs[i].options->x_journal;

        if (!named)
            continue;
        if (*path && strcmp(*path, named) != 0)
            return message_set(message,
                               "x_journal: a run has one journal, and the jobs name '%s' and '%s'",
                               *path, named);
        *path = named;
    }
    return *path ? 0 : 1;
}

/* Only a journal that nobody needs may be replaced. */
static int check_present(int fd, const char *path, struct message *message)
{
    struct journal_header header = {0};
    struct stat status;

    if (fstat(fd, &status) != 0)
        return message_set(message, "x_journal: '%s': %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return message_set(message, "x_journal: '%s' is no regular file", path);
    if (status.st_size == 0)
        return 0;
    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        header.magic != JOURNAL_MAGIC)
        return message_set(message,
                           "x_journal: '%s' is there and is no journal; nothing was touched. Name "
                           "another file",
                           path);
    if (!header.ended)
        return message_set(message,
                           "x_journal: '%s' is of a run that did not come to its end, or still "
                           "runs: see what it says with 'aiofio verify --from=%s', then remove it "
                           "or name another file",
                           path, path);
    return 0;
}

static uint64_t table_bytes(uint64_t count)
{
    uint64_t bytes = count * sizeof(uint64_t);

    return (bytes + TABLE_ALIGNMENT - 1) / TABLE_ALIGNMENT * TABLE_ALIGNMENT;
}

static uint64_t tables_at(uint32_t file_count)
{
    uint64_t head = sizeof(struct journal_header) + file_count * sizeof(struct journal_record);

    return (head + TABLE_ALIGNMENT - 1) / TABLE_ALIGNMENT * TABLE_ALIGNMENT;
}

/* Makes the file so long, with room on the disk for all of it: a store to a page without room would
 * end the process. */
static int map_new(struct journal *journal, const char *path, uint64_t size,
                   struct message *message)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    void *map = MAP_FAILED;
    int error;

    if (fd < 0)
        return message_set(message, "x_journal: '%s': %s", path, strerror(errno));
    if (check_present(fd, path, message) != 0) {
        close(fd);
        return -1;
    }
    error = ftruncate(fd, 0) != 0 ? errno : posix_fallocate(fd, 0, (off_t)size);
    if (error == 0) {
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = map == MAP_FAILED ? errno : 0;
    }
    close(fd);
    if (error != 0)
        return message_set(message, "x_journal: '%s', %llu bytes (%u for each block): %s", path,
                           (unsigned long long)size, BLOCK_BYTES, strerror(error));
    journal->header = map;
    journal->records = (struct journal_record *)(journal->header + 1);
    journal->path = must_copy(path);
    return 0;
}

static void *at(const struct journal *journal, uint64_t offset)
{
    return (char *)journal->header + offset;
}

static void add_file(const struct journal *journal, struct journal_record *record,
                     struct target *target, uint64_t blocks_at)
{
    struct journal_file *file = must_alloc(1, sizeof(*file));

    snprintf(record->path, sizeof(record->path), "%s", target->location);
    record->count = target->expect.count;
    record->blocks_at = blocks_at;
    record->marks_at = blocks_at + table_bytes(record->count);
    record->number = target->number;
    record->block = target->block;
    atomic_store(&record->epoch, 1);
    file->record = record;
    file->marks = at(journal, record->marks_at);
    pthread_mutex_init(&file->lock, NULL);
    target->journal = file;
    expect_place(&target->expect, at(journal, record->blocks_at));
}

int journal_create(struct journal *journal, struct plan *plan, uint64_t run,
                   struct message *message)
{
    uint32_t file_count = 0;
    uint64_t size;
    const char *path;
    int result = find_path(plan, &path, message);

    if (result != 0)
        return result > 0 ? 0 : -1;
    for (unsigned i = 0; i < plan->files.count; i++)
        file_count += is_kept(plan, plan->files.targets[i]);
    size = tables_at(file_count);
    for (unsigned i = 0; i < plan->files.count; i++)
        if (is_kept(plan, plan->files.targets[i]))
            size += 2 * table_bytes(plan->files.targets[i]->expect.count);
    if (map_new(journal, path, size, message) != 0)
        return -1;
    *journal->header = (struct journal_header){
        .magic = JOURNAL_MAGIC, .version = JOURNAL_VERSION, .size = size, .run = run};
    read_boot(journal->header->boot);
    size = tables_at(file_count);
    for (unsigned i = 0; i < plan->files.count; i++) {
        struct target *target = plan->files.targets[i];

        if (!is_kept(plan, target))
            continue;
        add_file(journal, &journal->records[journal->header->file_count++], target, size);
        size += 2 * table_bytes(target->expect.count);
    }
    return 0;
}

void journal_note_files(const struct plan *plan)
{
    for (unsigned i = 0; i < plan->files.count; i++) {
        const struct target *target = plan->files.targets[i];

        if (!target->journal)
            continue;
        target->journal->record->device = target->device;
        target->journal->record->inode = target->inode;
    }
}

void journal_end(struct journal *journal, struct plan *plan)
{
    if (!journal->header)
        return;
    for (unsigned i = 0; i < plan->files.count; i++) {
        struct target *target = plan->files.targets[i];

        if (!target->journal)
            continue;
        expect_free(&target->expect);
        pthread_mutex_destroy(&target->journal->lock);
        free(target->journal);
        target->journal = NULL;
    }
    journal->header->ended = 1;
    journal_close(journal);
}

/* --- while it runs -------------------------------------------------------------------------- */

static uint64_t mark_epoch(uint64_t mark)
{
    return mark >> DURABLE_BITS;
}

void journal_write_end(struct target *target, uint64_t block, bool succeeded)
{
    struct journal_file *file = target->journal;
    uint64_t mark;
    uint64_t durable;

    if (!file) {
        expect_write_end(&target->expect, block, succeeded);
        return;
    }
    pthread_mutex_lock(&file->lock);
    mark = atomic_load_explicit(&file->marks[block], memory_order_relaxed);
    durable = mark & DURABLE_MAX;
    if (mark_epoch(mark) <= atomic_load(&file->record->durable))
        durable = expect_view(&target->expect, block).lowest;
    /* The mark first: whoever is killed between them leaves a write that no sync is said to
     * cover. */
    atomic_store(&file->marks[block], atomic_load(&file->record->epoch) << DURABLE_BITS | durable);
    expect_write_end(&target->expect, block, succeeded);
    pthread_mutex_unlock(&file->lock);
}

uint64_t journal_sync_begin(struct target *target)
{
    return target->journal ? atomic_fetch_add(&target->journal->record->epoch, 1) : 0;
}

void journal_sync_end(struct target *target, uint64_t epoch)
{
    _Atomic uint64_t *durable;
    uint64_t before;

    if (!target->journal)
        return;
    durable = &target->journal->record->durable;
    before = atomic_load(durable);
    while (before < epoch && !atomic_compare_exchange_weak(durable, &before, epoch))
        continue;
}

/* --- reading -------------------------------------------------------------------------------- */

static bool record_fits(const struct journal *journal, const struct journal_record *record)
{
    uint64_t size = journal->header->size;

    return memchr(record->path, '\0', sizeof(record->path)) != NULL && record->block > 0 &&
           record->block % STAMP_SECTOR == 0 && record->count <= size / BLOCK_BYTES &&
           record->blocks_at % TABLE_ALIGNMENT == 0 && record->marks_at % TABLE_ALIGNMENT == 0 &&
           record->blocks_at <= size && record->marks_at <= size &&
           record->count * sizeof(uint64_t) <= size - record->blocks_at &&
           record->count * sizeof(uint64_t) <= size - record->marks_at;
}

static int check_content(const struct journal *journal, uint64_t size, struct message *message)
{
    const struct journal_header *header = journal->header;

    if (header->magic != JOURNAL_MAGIC)
        return message_set(message, "'%s' is no journal of aiofio on a machine like this",
                           journal->path);
    if (header->version != JOURNAL_VERSION)
        return message_set(message, "'%s' is a journal of version %u; this aiofio reads %u",
                           journal->path, header->version, JOURNAL_VERSION);
    if (header->size != size || header->file_count > size / sizeof(struct journal_record) ||
        tables_at(header->file_count) > size ||
        memchr(header->boot, '\0', sizeof(header->boot)) == NULL)
        return message_set(message, "'%s' is not whole: it has %llu bytes and was made with %llu",
                           journal->path, (unsigned long long)size,
                           (unsigned long long)header->size);
    for (unsigned i = 0; i < header->file_count; i++)
        if (!record_fits(journal, &journal->records[i]))
            return message_set(message, "'%s': what it says of its file %u cannot be",
                               journal->path, i);
    return 0;
}

int journal_open(struct journal *journal, const char *path, struct message *message)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status = {0};
    void *map = MAP_FAILED;

    *journal = (struct journal){0};
    if (fd >= 0 && fstat(fd, &status) == 0 && status.st_size >= (off_t)tables_at(0))
        map = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    else if (fd >= 0)
        errno = EINVAL;
    if (map == MAP_FAILED)
        message_set(message, "journal '%s': %s", path,
                    errno == EINVAL ? "it is too short to be one" : strerror(errno));
    if (fd >= 0)
        close(fd);
    if (map == MAP_FAILED)
        return -1;
    journal->header = map;
    journal->records = (struct journal_record *)(journal->header + 1);
    journal->path = must_copy(path);
    if (check_content(journal, (uint64_t)status.st_size, message) == 0)
        return 0;
    munmap(map, (size_t)status.st_size);
    journal->header = NULL;
    journal_close(journal);
    return -1;
}

void journal_close(struct journal *journal)
{
    if (journal->header)
        munmap(journal->header, journal->header->size);
    free(journal->path);
    *journal = (struct journal){0};
}

bool journal_is_of_this_boot(const struct journal *journal)
{
    char boot[40];

    read_boot(boot);
    return boot[0] != '\0' && strcmp(boot, journal->header->boot) == 0;
}

/* The lowest generation that a sync covers. */
static uint32_t durable_generation(const struct journal_record *record, uint64_t mark,
                                   const struct expect_view *view)
{
    if (mark_epoch(mark) <= atomic_load(&record->durable))
        return view->lowest;
    return mark & DURABLE_MAX;
}

static uint64_t mark_of(const struct journal *journal, const struct journal_record *record,
                        uint64_t block)
{
    const uint64_t *marks = at(journal, record->marks_at);

    return marks[block];
}

void journal_target(const struct journal *journal, unsigned index, bool cut, struct target *target)
{
    struct journal_record *record = &journal->records[index];

    *target = (struct target){.path = record->path,
                              .location = record->path,
                              .number = record->number,
                              .block = record->block,
                              .own_run = true};
    target->expect.count = record->count;
    expect_place(&target->expect, at(journal, record->blocks_at));
    for (uint64_t block = 0; cut && block < record->count; block++) {
        struct expect_view view = expect_view(&target->expect, block);
        uint32_t durable = durable_generation(record, mark_of(journal, record, block), &view);

        if (durable != view.lowest)
            expect_lower(&target->expect, block, durable);
    }
}

enum journal_class journal_class(const struct journal *journal, unsigned index, uint64_t block)
{
    const struct journal_record *record = &journal->records[index];
    struct expect expect = {record->count, at(journal, record->blocks_at), true};
    struct expect_view view = expect_view(&expect, block);

    if (view.highest == 0)
        return JOURNAL_UNWRITTEN;
    if (view.writing)
        return JOURNAL_IN_FLIGHT;
    if (mark_epoch(mark_of(journal, record, block)) <= atomic_load(&record->durable))
        return JOURNAL_DURABLE;
    return JOURNAL_COMPLETED;
}
