/* SPDX-License-Identifier: MIT */
/*
 * world.c - the file or device that is judged, and its plain twin.
 */
#include "world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "judge.h"

/* --- what there is -------------------------------------------------------------------------- */

int facts_find(struct facts *facts, const char *path)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;
    struct aio_file_info info = {.size = sizeof(info)};
    struct aio_file *file;
    int error;

    error =
        aio_file_open(path, O_RDWR | (the_run.device == NULL ? O_CREAT : 0), 0600, &options, &file);
    if (error == -EINVAL) {
        options.direct = AIO_DIRECT_PREFERRED;
        error = aio_file_open(path, O_RDWR | O_CREAT, 0600, &options, &file);
    }
    if (error != 0)
        return error;
    agree("aio_file_info", aio_file_info(file, &info), 0);
    facts->granted = info.direct_granted;
    facts->required = info.required_alignment;
    facts->preferred = info.preferred_alignment;
    facts->memory = info.memory_alignment;
    agree("aio_file_close", aio_file_close(file), 0);
    return 0;
}

const char *granted_name(uint32_t granted)
{
    static const char *const names[] = {"off", "granted", "refused", "emulated"};

    return granted < COUNT(names) ? names[granted] : "unknown";
}

/* --- made ----------------------------------------------------------------------------------- */

static void open_device(struct world *world)
{
    snprintf(world->subject, sizeof(world->subject), "%s", the_run.device);
    /* Nobody has mounted it. With O_EXCL kept, others could not allocate. */
    world->witness = open(world->subject, O_RDWR | O_EXCL | O_CLOEXEC);
    must(world->witness >= 0, "have the device for itself");
    close(world->witness);
    world->witness = open(world->subject, O_RDWR | O_CLOEXEC);
    must(world->witness >= 0, "open the device");
    array_of_device(&world->array, world->witness);
    world->mirror = (struct plain){world->witness, &world->array, O_RDWR, 0};
}

static void make_files(struct world *world)
{
    snprintf(world->subject, sizeof(world->subject), "%s/" SUBJECT, the_run.scratch);
    snprintf(world->twin, sizeof(world->twin), "%s/" TWIN, the_run.scratch);
    unlink(world->subject);
    unlink(world->twin);
    world->witness = open(world->subject, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    world->mirror.fd = open(world->twin, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(world->witness >= 0 && world->mirror.fd >= 0, "make files");
    /* No reading ahead of what is asked for. */
    posix_fadvise(world->witness, 0, 0, POSIX_FADV_RANDOM);
}

struct world *world_create(const struct facts *facts, bool any_write)
{
    struct world *world = calloc(1, sizeof(*world));

    must(world != NULL, "have memory");
    world->facts = *facts;
    world->device = the_run.device != NULL;
    world->any_write = any_write;
    world->found = page_alloc(CHUNK + PAGE);
    world->expected = page_alloc(CHUNK + PAGE);
    if (world->device)
        open_device(world);
    else
        make_files(world);
    return world;
}

uint64_t world_size(struct world *world)
{
    return (uint64_t)plain_size(&world->mirror);
}

/* --- opened --------------------------------------------------------------------------------- */

static void keep_log(void *unused, int level, const char *message)
{
    (void)unused;
    note("log %d: %s", level, message);
}

static uint32_t choose_direct(struct world *world, uint64_t *random)
{
    bool granted = world->facts.granted == AIO_DIRECT_GRANTED;
    uint64_t chance = below(random, 100);

    if (the_run.direct >= 0)
        return (uint32_t)the_run.direct;
    /* Of a device, writers through the page cache and others must not meet. */
    if (chance < 20 && (!world->device || world->any_write))
        return AIO_DIRECT_NEVER;
    if (chance < 40 || world->facts.granted == AIO_DIRECT_REFUSED)
        return AIO_DIRECT_PREFERRED;
    return granted && chance < 50 ? AIO_DIRECT_STRICT : AIO_DIRECT_REQUIRED;
}

static uint32_t choose_alignment(struct world *world, uint64_t *random, uint32_t limit)
{
    const uint32_t choices[] = {0, world->facts.required, 512, 4096, 16384};
    uint32_t alignment = ONE_OF(random, choices);

    if (alignment == 0 && world->facts.preferred > limit)
        alignment = world->facts.required;
    if (alignment != 0 && alignment < world->facts.required)
        alignment = world->facts.required;
    return alignment <= limit ? alignment : world->facts.required;
}

struct aio_file_options choose_options(struct world *world, uint64_t *random, uint32_t limit)
{
    struct aio_file_options options = AIO_FILE_OPTIONS_INIT;

    options.direct = choose_direct(world, random);
    options.engine = the_run.engine;
    options.alignment = choose_alignment(world, random, limit);
    options.log = keep_log;
    if (!world->device && one_in(random, 3) && !the_run.without_grow_ahead)
        options.grow_ahead = one_in(random, 3) ? 64 * KIB : MIB;
    if (one_in(random, 2))
        options.flags |= AIO_FILE_PAGE_CACHE_NOW;
    if (one_in(random, 8))
        options.flags |= AIO_FILE_SYNC_AT_OPEN;
    if (one_in(random, 8))
        options.flags |= AIO_FILE_SYNC_DIRECTORY;
    if (one_in(random, 8))
        options.memory_alignment = world->facts.memory > 512 ? world->facts.memory : 512;
    if (the_run.memory != 0)
        options.memory_alignment = the_run.memory;
    if (world->any_write && (world->device || one_in(random, 4)))
        options.unaligned = AIO_UNALIGNED_PAGE_CACHE;
    return options;
}

/* What a handle says of itself is what was asked for. */
static void check_info(const struct world *world, struct pair *pair)
{
    uint32_t direct = pair->options.direct;
    uint32_t granted = world->facts.granted;

    pair->info.size = sizeof(pair->info);
    agree("aio_file_info", ASK(aio_file_info(pair->file, &pair->info)), 0);
    agree("direct_granted", pair->info.direct_granted,
          direct == AIO_DIRECT_NEVER ? AIO_DIRECT_OFF : granted);
    agree("inflight", pair->info.inflight, 0);
    agree("sync_error", pair->info.sync_error, 0);
    if (pair->options.alignment != 0 && direct != AIO_DIRECT_NEVER && granted != AIO_DIRECT_REFUSED)
        agree("direct_alignment", pair->info.direct_alignment, pair->options.alignment);
}

void pair_open(struct world *world, struct pair *pair, int flags,
               const struct aio_file_options *options)
{
    int error;

    pair->options = *options;
    pair->flags = flags;
    /* It is for those who write where they like. */
    if ((flags & O_APPEND) != 0 || (flags & O_ACCMODE) == O_RDONLY)
        pair->options.grow_ahead = 0;
    note("open flags 0%o, direct %u, alignment %u, memory %u, unaligned %u, grow_ahead %llu, "
         "flags %u",
         flags, pair->options.direct, pair->options.alignment, pair->options.memory_alignment,
         pair->options.unaligned, (unsigned long long)pair->options.grow_ahead,
         pair->options.flags);
    error = (int)ASK(aio_file_open(world->subject, flags, 0600, &pair->options, &pair->file));
    if (error == -EOPNOTSUPP && (flags & O_APPEND) != 0) {
        pair->flags &= ~O_APPEND;
        error =
            (int)ASK(aio_file_open(world->subject, pair->flags, 0600, &pair->options, &pair->file));
    }
    agree("aio_file_open", error, 0);
    pair->plain = (struct plain){world->witness, &world->array, flags, 0};
    if (!world->device) {
        pair->plain.array = NULL;
        pair->plain.fd = open(world->twin, pair->flags | O_CLOEXEC, 0600);
        must(pair->plain.fd >= 0, "open the plain file");
    }
    world->growers += pair->options.grow_ahead > 0;
    check_info(world, pair);
}

/* Once no handle grows it ahead, the file is as long as it is. */
static void check_cut_off(struct world *world)
{
    struct stat status;

    if (world->growers > 0 || world->device)
        return;
    must(fstat(world->witness, &status) == 0, "see the size");
    agree("the size on the disk", status.st_size, (int64_t)world_size(world));
}

static void count_roads(struct world *world, struct aio_file *file)
{
    struct aio_file_info info = {.size = sizeof(info)};

    agree("aio_file_info", ASK(aio_file_info(file, &info)), 0);
    world->roads.direct_reads += info.direct_reads;
    world->roads.direct_writes += info.direct_writes;
    world->roads.bounced_reads += info.bounced_reads;
    world->roads.bounced_writes += info.bounced_writes;
    world->roads.cached_reads += info.cached_reads;
    world->roads.cached_writes += info.cached_writes;
}

void pair_close(struct world *world, struct pair *pair)
{
    note("close");
    count_roads(world, pair->file);
    agree("aio_file_close", ASK(aio_file_close(pair->file)), 0);
    world->growers -= pair->options.grow_ahead > 0;
    if (!world->device)
        close(pair->plain.fd);
    pair->file = NULL;
    check_cut_off(world);
}

/* --- compared ------------------------------------------------------------------------------- */

void world_changed(struct world *world, uint64_t start, uint64_t end)
{
    for (uint64_t chunk = start / CHUNK; chunk * CHUNK < end && chunk < CHUNKS_MAX; chunk++)
        world->changed[chunk] = true;
}

static void compare_chunk(struct world *world, struct aio_file *file, uint64_t offset)
{
    int64_t length = plain_pread(&world->mirror, world->expected, CHUNK, (int64_t)offset);
    /* At many addresses. */
    unsigned char *found = world->found + (offset / CHUNK % 5) * 511;
    int64_t got = pread(world->witness, world->found, CHUNK, (off_t)offset);

    must(length >= 0 && got >= 0, "read");
    if (world->growers > 0 && got > length) {
        for (int64_t index = length; index < got; index++)
            if (world->found[index] != 0)
                disagree("the file grown ahead is not zeros at %llu",
                         (unsigned long long)offset + (unsigned long long)index);
        got = length;
    }
    agree("pread past the library", got, length);
    agree_bytes("pread past the library", world->found, world->expected, (uint64_t)length, offset);
    if (file != NULL) {
        agree("aio_file_pread", ASK(aio_file_pread(file, found, CHUNK, (off_t)offset)), length);
        agree_bytes("aio_file_pread", found, world->expected, (uint64_t)length, offset);
    }
}

void world_compare(struct world *world, struct aio_file *file, bool whole)
{
    uint64_t size = world_size(world);

    for (uint64_t chunk = 0; chunk < CHUNKS_MAX && chunk * CHUNK < size; chunk++) {
        if (!whole && !world->changed[chunk])
            continue;
        world->changed[chunk] = false;
        compare_chunk(world, file, chunk * CHUNK);
    }
}

void world_destroy(struct world *world)
{
    check_cut_off(world);
    if (world->device)
        fsync(world->witness);
    posix_fadvise(world->witness, 0, 0, POSIX_FADV_DONTNEED);
    world_compare(world, NULL, true);
    printf("  roads: reads %llu direct, %llu bounced, %llu cached; writes %llu direct, %llu "
           "bounced, %llu cached\n",
           (unsigned long long)world->roads.direct_reads,
           (unsigned long long)world->roads.bounced_reads,
           (unsigned long long)world->roads.cached_reads,
           (unsigned long long)world->roads.direct_writes,
           (unsigned long long)world->roads.bounced_writes,
           (unsigned long long)world->roads.cached_writes);
    close(world->witness);
    if (!world->device) {
        close(world->mirror.fd);
        unlink(world->subject);
        unlink(world->twin);
    }
    free(world->array.bytes);
    free(world->found);
    free(world->expected);
    free(world);
}
