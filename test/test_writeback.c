/* SPDX-License-Identifier: MIT */
/*
 * test_writeback.c - what the kernel could not write back. The disk is an ext4 on a loop device
 * whose image is on a tmpfs that runs full: the page cache takes writes that the disk then refuses,
 * and only a sync tells of it.
 *
 * Needs root, loop devices and mkfs.ext4; without them it is skipped.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define FILE_BYTES ((uint64_t)MIB)
#define LOST_AT (FILE_BYTES + 5) /* where a write extends the file that will be lost */
#define LOST_BYTES ((uint64_t)100001)

#define DISK "disk/file"

/* --- a file whose writes will be lost ------------------------------------------------------- */

/* Two handles of one file: of one road each, unless both are the same. */
struct scene {
    struct aio_file *first;
    struct aio_file *second;
    struct aio_queue *queue;
    char *bytes; /* of the pattern 1, as the disk has it, then more of the same */
};

static struct aio_file *open_on_disk(enum aio_direct direct, int flags)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;

    options.direct = direct;
    EXPECT(aio_file_open(scratch_path(DISK), O_RDWR | O_CREAT | flags, 0600, &options, &file), 0);
    return file;
}

/* A file with FILE_BYTES of the pattern that are on the disk; flags for the first handle. False:
 * there is no disk. */
static bool scene_begin_with(struct scene *scene, enum aio_direct first, int flags,
                             enum aio_direct second)
{
    if (!small_disk_mount(64 * MIB, 16 * MIB, 0))
        return false;
    scene->first = open_on_disk(first, flags);
    scene->second = open_on_disk(second, 0);
    scene->queue = open_queue(8, 0);
    scene->bytes = pattern_alloc(2 * FILE_BYTES, 0, 1);
    EXPECT(aio_file_pwrite(scene->first, scene->bytes, FILE_BYTES, 0), FILE_BYTES);
    EXPECT(aio_file_sync(scene->first), 0);
    EXPECT(aio_file_sync(scene->second), 0);
    return true;
}

static bool scene_begin(struct scene *scene, enum aio_direct first, enum aio_direct second)
{
    return scene_begin_with(scene, first, 0, second);
}

static void scene_end(struct scene *scene)
{
    close_queue(scene->queue);
    small_disk_unmount();
    free(scene->bytes);
}

/* Writes that the page cache takes and the disk will not: behind the end, and onto what the disk
 * has forgotten. No length and no offset fits, so that both kinds of handle go there. */
static void write_what_will_be_lost(struct scene *scene, struct aio_file *file)
{
    small_disk_forget(DISK, 16 * PAGE, 8 * PAGE);
    small_disk_exhaust();
    EXPECT(aio_file_pwrite(file, scene->bytes + 1, LOST_BYTES, LOST_AT), LOST_BYTES);
    EXPECT(aio_file_pwrite(file, scene->bytes + 2, 5 * PAGE + 3, 17 * PAGE + 7), 5 * PAGE + 3);
}

/* The kernel says one or the other. */
static bool is_lost(int64_t error)
{
    return error == -EIO || error == -ENOSPC;
}

/* Has the page cache written back, as the kernel does in its own time. */
static void write_back(void)
{
    int fd = open(scratch_path(DISK), O_RDWR | O_CLOEXEC);

    REQUIRE(fsync(fd) != 0 && is_lost(-errno));
    REQUIRE(fsync(fd) == 0); /* each descriptor is told once */
    close(fd);
}

/* --- what everybody is told ----------------------------------------------------------------- */

static void expect_refusals(struct scene *scene, struct aio_file *file, int64_t error)
{
    struct aio_op operations[] = {
        op_write(file, scene->bytes, PAGE, 0),
        op_write(file, scene->bytes + 1, 5, 3),
        op_append(file, scene->bytes, PAGE),
        op_sync(file),
        {.opcode = AIO_OP_DATASYNC, .file = file},
        {.opcode = AIO_OP_SYNC, .file = file, .flags = AIO_OP_DRAIN},
        {.opcode = AIO_OP_TRUNCATE, .file = file},
        {.opcode = AIO_OP_ALLOCATE, .file = file, .len = 1},
    };
    struct aio_file_info info = {.size = sizeof(info)};

    EXPECT(aio_file_write(file, scene->bytes, PAGE), error);
    EXPECT(aio_file_pwrite(file, scene->bytes, PAGE, 0), error);
    EXPECT(aio_file_pwrite(file, scene->bytes + 1, 5, 3), error);
    EXPECT(aio_file_append(file, scene->bytes, 1, NULL), error);
    EXPECT(aio_file_truncate(file, 0), error);
    EXPECT(aio_file_allocate(file, 0, 0, 1), error);
    EXPECT(aio_file_sync(file), error);
    EXPECT(aio_file_datasync(file), error);
    for (size_t index = 0; index < COUNT(operations); index++) {
        EXPECT(aio_file_execute(file, &operations[index]), error);
        EXPECT(aio_queue_submit(scene->queue, &operations[index], 1, NULL), error);
    }
    EXPECT(aio_file_info(file, &info), 0);
    REQUIRE_EQ(info.sync_error, error);
}

/* Whoever reads, by whatever road, reads the same: what the disk has. */
static void expect_one_truth(struct scene *scene)
{
    uint64_t size = disk_size(DISK);
    char *read[6];

    for (unsigned index = 0; index < COUNT(read); index++)
        read[index] = page_alloc(size + PAGE);
    disk_read_direct(DISK, read[0], size, 0);
    EXPECT(aio_file_pread(scene->first, read[1], size, 0), size);
    EXPECT(aio_file_pread(scene->first, read[2] + 1, size - 3, 3), size - 3);
    EXPECT(aio_file_pread(scene->second, read[3], size, 0), size);
    disk_read(DISK, read[4], size, 0);
    disk_read_direct(DISK, read[5], size, 0);
    REQUIRE(memcmp(read[0], read[1], size) == 0);
    REQUIRE(memcmp(read[0] + 3, read[2] + 1, size - 3) == 0);
    REQUIRE(memcmp(read[0], read[3], size) == 0);
    REQUIRE(memcmp(read[0], read[4], size) == 0);
    REQUIRE(memcmp(read[0], read[5], size) == 0);
    /* What was not written to is untouched. */
    pattern_check(read[0], 16 * PAGE, 0, 1);
    pattern_check(read[0] + 24 * PAGE, FILE_BYTES - 24 * PAGE, 24 * PAGE, 1);
    for (unsigned index = 0; index < COUNT(read); index++)
        free(read[index]);
}

/* With room again, what was lost is written anew and then is there. */
static void rewrite(struct scene *scene, struct aio_file *file)
{
    small_disk_relieve();
    EXPECT(aio_file_pwrite(file, scene->bytes, FILE_BYTES, 0), FILE_BYTES);
    EXPECT(aio_file_pwrite(file, scene->bytes + LOST_AT, LOST_BYTES, LOST_AT), LOST_BYTES);
    EXPECT(aio_file_pwrite(file, scene->bytes + FILE_BYTES, LOST_AT - FILE_BYTES, FILE_BYTES),
           LOST_AT - FILE_BYTES);
    EXPECT(aio_file_sync(file), 0);
    REQUIRE_EQ(disk_size(DISK), LOST_AT + LOST_BYTES);
    disk_check_pattern(DISK, 0, LOST_AT + LOST_BYTES, 1);
    expect_one_truth(scene);
}

/* --- ways to sync --------------------------------------------------------------------------- */

enum sync_kind {
    SYNC_BLOCKING,
    SYNC_BLOCKING_DATA,
    SYNC_SUBMITTED,
    SYNC_SUBMITTED_DATA,
    SYNC_DRAINING,
    SYNC_KINDS,
};

static int64_t sync_now(struct scene *scene, struct aio_file *file, enum sync_kind kind)
{
    struct aio_op op = op_sync(file);
    struct aio_completion completion;

    if (kind == SYNC_BLOCKING)
        return CALL(aio_file_sync(file));
    if (kind == SYNC_BLOCKING_DATA)
        return CALL(aio_file_datasync(file));
    if (kind == SYNC_SUBMITTED_DATA)
        op.opcode = AIO_OP_DATASYNC;
    if (kind == SYNC_DRAINING)
        op.flags = AIO_OP_DRAIN;
    completion = run_op(scene->queue, &op);
    REQUIRE_EQ(completion.error, completion.result);
    return completion.result;
}

/* A pair of roads for the two handles, and a way to sync, for each _i. */
static const enum aio_direct roads[][2] = {
    {AIO_DIRECT_REQUIRED, AIO_DIRECT_REQUIRED},
    {AIO_DIRECT_REQUIRED, AIO_DIRECT_NEVER},
    {AIO_DIRECT_NEVER, AIO_DIRECT_REQUIRED},
    {AIO_DIRECT_NEVER, AIO_DIRECT_NEVER},
};

#define ROADS ((int)COUNT(roads))

START_TEST(a_loss_is_told_until_it_is_cleared)
{
    struct scene scene;
    int64_t error;

    if (!scene_begin(&scene, roads[_i % ROADS][0], roads[_i % ROADS][1]))
        return;
    write_what_will_be_lost(&scene, scene.first);
    error = sync_now(&scene, scene.first, (enum sync_kind)(_i / ROADS));
    ck_assert_msg(is_lost(error), "the sync says %lld", (long long)error);
    /* It, and the other one too, until each clears it. */
    expect_refusals(&scene, scene.first, error);
    expect_refusals(&scene, scene.second, error);
    expect_one_truth(&scene);
    EXPECT(aio_file_clear_error(scene.first), error);
    EXPECT(aio_file_clear_error(scene.first), 0);
    EXPECT(aio_file_sync(scene.first), 0);
    expect_refusals(&scene, scene.second, error);
    expect_one_truth(&scene);
    rewrite(&scene, scene.first);
    EXPECT(aio_file_sync(scene.second), error);
    EXPECT(aio_file_clear_error(scene.second), error);
    EXPECT(aio_file_pwrite(scene.second, scene.bytes, PAGE, 0), PAGE);
    EXPECT(aio_file_sync(scene.second), 0);
    EXPECT(aio_file_sync(scene.first), 0);
    close_file(scene.first);
    close_file(scene.second);
    scene_end(&scene);
}
END_TEST

START_TEST(every_close_tells_of_a_loss)
{
    struct scene scene;
    int64_t error;

    if (!scene_begin(&scene, roads[_i][0], roads[_i][1]))
        return;
    write_what_will_be_lost(&scene, scene.first);
    error = CALL(aio_file_sync(scene.second));
    REQUIRE(is_lost(error));
    EXPECT(aio_file_close(scene.first), error);
    expect_refusals(&scene, scene.second, error);
    EXPECT(aio_file_close(scene.second), error);
    scene_end(&scene);
}
END_TEST

/* The error comes back: what is lost after it was cleared is told again, to both. */
START_TEST(a_second_loss_is_told_too)
{
    struct scene scene;
    int64_t error;

    if (!scene_begin(&scene, roads[_i][0], roads[_i][1]))
        return;
    write_what_will_be_lost(&scene, scene.first);
    REQUIRE(is_lost(CALL(aio_file_sync(scene.first))));
    REQUIRE(is_lost(CALL(aio_file_clear_error(scene.first))));
    REQUIRE(is_lost(CALL(aio_file_clear_error(scene.second))));
    EXPECT(aio_file_pwrite(scene.second, scene.bytes, LOST_BYTES, 2 * LOST_AT), LOST_BYTES);
    error = CALL(aio_file_sync(scene.first));
    REQUIRE(is_lost(error));
    expect_refusals(&scene, scene.first, error);
    expect_refusals(&scene, scene.second, error);
    expect_one_truth(&scene);
    EXPECT(aio_file_close(scene.second), error);
    EXPECT(aio_file_close(scene.first), error);
    scene_end(&scene);
}
END_TEST

/* --- who else is about ---------------------------------------------------------------------- */

/* Somebody past the library has synced before, and the kernel has told him. */
START_TEST(what_another_was_told_is_told_here_too)
{
    struct scene scene;
    int64_t error;

    if (!scene_begin(&scene, roads[_i][0], roads[_i][1]))
        return;
    write_what_will_be_lost(&scene, scene.second);
    write_back();
    error = CALL(aio_file_sync(scene.second));
    REQUIRE(is_lost(error));
    EXPECT(aio_file_close(scene.second), error);
    EXPECT(aio_file_close(scene.first), error);
    scene_end(&scene);
}
END_TEST

/* The handle that the file was first opened by is gone when it happens. */
START_TEST(the_first_handle_may_be_gone)
{
    struct scene scene;
    int64_t error;

    if (!scene_begin(&scene, roads[_i][0], roads[_i][1]))
        return;
    close_file(scene.first);
    write_what_will_be_lost(&scene, scene.second);
    error = CALL(aio_file_sync(scene.second));
    REQUIRE(is_lost(error));
    scene.first = scene.second;
    expect_refusals(&scene, scene.second, error);
    expect_one_truth(&scene);
    EXPECT(aio_file_clear_error(scene.second), error);
    rewrite(&scene, scene.second);
    close_file(scene.second);
    scene_end(&scene);
}
END_TEST

struct syncer {
    struct scene *scene;
    struct aio_file *file;
    enum sync_kind kind;
    pthread_barrier_t *start;
    pthread_t thread;
    int64_t result;
};

static void *sync_along(void *argument)
{
    struct syncer *syncer = argument;

    pthread_barrier_wait(syncer->start);
    if (syncer->kind <= SYNC_BLOCKING_DATA) {
        syncer->result = sync_now(syncer->scene, syncer->file, syncer->kind);
    } else {
        /* Refused where somebody was told before. */
        struct aio_op op = op_sync(syncer->file);
        aio_request_id id;

        op.flags = AIO_OP_WAITED | (syncer->kind == SYNC_DRAINING ? AIO_OP_DRAIN : 0);
        syncer->result = CALL(aio_queue_submit(syncer->scene->queue, &op, 1, &id));
        if (syncer->result == 1)
            syncer->result = CALL(aio_queue_wait(syncer->scene->queue, id, NULL));
    }
    return NULL;
}

/* The kernel tells a descriptor once; of those who sync at the same time nobody may hear that all
 * is well. */
START_TEST(all_who_sync_at_once_are_told)
{
    static const enum sync_kind kinds[] = {SYNC_BLOCKING,       SYNC_BLOCKING_DATA, SYNC_SUBMITTED,
                                           SYNC_SUBMITTED_DATA, SYNC_DRAINING,      SYNC_BLOCKING};
    struct scene scene;

    if (!scene_begin(&scene, roads[_i][0], roads[_i][1]))
        return;
    write_what_will_be_lost(&scene, scene.first);
    for (unsigned round = 0; round < 20; round++) {
        struct syncer syncers[COUNT(kinds)];
        pthread_barrier_t start;

        EXPECT(aio_file_pwrite(scene.first, scene.bytes, LOST_BYTES, 2 * LOST_AT), LOST_BYTES);
        REQUIRE(pthread_barrier_init(&start, NULL, COUNT(kinds)) == 0);
        for (unsigned index = 0; index < COUNT(kinds); index++) {
            syncers[index] = (struct syncer){.scene = &scene,
                                             .file = index % 2 == 0 ? scene.first : scene.second,
                                             .kind = kinds[index],
                                             .start = &start};
            thread_begin(&syncers[index].thread, sync_along, &syncers[index]);
        }
        for (unsigned index = 0; index < COUNT(kinds); index++)
            thread_end(syncers[index].thread);
        pthread_barrier_destroy(&start);
        for (unsigned index = 0; index < COUNT(kinds); index++)
            ck_assert_msg(is_lost(syncers[index].result), "round %u: sync %u says %lld", round,
                          index, (long long)syncers[index].result);
        REQUIRE(is_lost(CALL(aio_file_clear_error(scene.first))));
        REQUIRE(is_lost(CALL(aio_file_clear_error(scene.second))));
        EXPECT(aio_file_sync(scene.first), 0);
        EXPECT(aio_file_sync(scene.second), 0);
    }
    expect_one_truth(&scene);
    close_file(scene.first);
    close_file(scene.second);
    scene_end(&scene);
}
END_TEST

/* --- writes that sync ----------------------------------------------------------------------- */

/* A write that is to be on the disk when it is done says itself that it is not, and so does the
 * next sync: what else was in the page cache may be gone with it. */
START_TEST(a_write_that_syncs_tells_of_its_loss)
{
    struct aio_op write;
    struct scene scene;
    int64_t error;

    if (!scene_begin(&scene, roads[_i][0], roads[_i][1]))
        return;
    small_disk_exhaust();
    write = op_write(scene.first, scene.bytes, LOST_BYTES, LOST_AT);
    write.flags = AIO_OP_DSYNC;
    error = run_op(scene.queue, &write).result;
    REQUIRE(is_lost(error));
    REQUIRE(is_lost(CALL(aio_file_sync(scene.first))));
    REQUIRE(is_lost(CALL(aio_file_sync(scene.second))));
    expect_one_truth(&scene);
    REQUIRE(is_lost(CALL(aio_file_close(scene.first))));
    REQUIRE(is_lost(CALL(aio_file_close(scene.second))));
    scene_end(&scene);
}
END_TEST

/* The handle syncs each write, and may be the one that the file was first opened by. */
START_TEST(a_handle_that_syncs_tells_of_its_loss)
{
    const enum aio_direct *road = roads[_i % ROADS];
    struct scene scene;
    bool first = _i < ROADS;

    if (!scene_begin_with(&scene, road[0], first ? O_DSYNC : 0, road[1]))
        return;
    if (!first) {
        close_file(scene.first);
        scene.first = open_on_disk(road[0], O_DSYNC);
    }
    small_disk_exhaust();
    REQUIRE(is_lost(CALL(aio_file_pwrite(scene.first, scene.bytes, LOST_BYTES, LOST_AT))));
    REQUIRE(is_lost(CALL(aio_file_sync(scene.first))));
    REQUIRE(is_lost(CALL(aio_file_sync(scene.second))));
    expect_one_truth(&scene);
    REQUIRE(is_lost(CALL(aio_file_close(scene.first))));
    REQUIRE(is_lost(CALL(aio_file_close(scene.second))));
    scene_end(&scene);
}
END_TEST

/* A write that syncs may be told of what another one has lost. That does not make it known: the
 * next sync still has to say so. */
START_TEST(a_write_that_syncs_takes_no_error_away)
{
    const enum aio_direct *road = roads[_i % ROADS];
    struct aio_op write;
    struct scene scene;

    if (!scene_begin_with(&scene, road[0], _i < ROADS ? O_DSYNC : 0, road[1]))
        return;
    write_what_will_be_lost(&scene, scene.second);
    write_back();
    /* It fits all alignments, and its blocks are there. */
    write = op_write(scene.first, scene.bytes, PAGE, 0);
    write.flags = _i < ROADS ? 0 : AIO_OP_DSYNC;
    CALL(aio_file_execute(scene.first, &write));
    REQUIRE(is_lost(CALL(aio_file_sync(scene.second))));
    REQUIRE(is_lost(CALL(aio_file_sync(scene.first))));
    expect_one_truth(&scene);
    REQUIRE(is_lost(CALL(aio_file_close(scene.first))));
    REQUIRE(is_lost(CALL(aio_file_close(scene.second))));
    scene_end(&scene);
}
END_TEST

/* A direct write says at once what the disk says; nothing is kept of it. */
START_TEST(a_direct_write_has_its_own_error)
{
    struct scene scene;
    int64_t error;

    if (!scene_begin(&scene, AIO_DIRECT_REQUIRED, AIO_DIRECT_REQUIRED))
        return;
    small_disk_exhaust();
    error = CALL(aio_file_pwrite(scene.first, scene.bytes, PAGE, FILE_BYTES + PAGE));
    REQUIRE(is_lost(error));
    EXPECT(aio_file_sync(scene.first), 0);
    expect_one_truth(&scene);
    small_disk_relieve();
    EXPECT(aio_file_pwrite(scene.first, scene.bytes, PAGE, FILE_BYTES), PAGE);
    EXPECT(aio_file_sync(scene.first), 0);
    close_file(scene.first);
    close_file(scene.second);
    scene_end(&scene);
}
END_TEST

/* What a process that is gone has left in the page cache, and nobody has been told of yet. */
START_TEST(an_open_that_syncs_tells_of_what_was_lost_before)
{
    struct aio_file_options options = file_options();
    struct aio_file *file;
    struct scene scene;
    int fd;

    if (!scene_begin(&scene, AIO_DIRECT_REQUIRED, AIO_DIRECT_NEVER))
        return;
    close_file(scene.first);
    close_file(scene.second);
    fd = open(scratch_path(DISK), O_RDWR | O_CLOEXEC);
    small_disk_exhaust();
    REQUIRE_EQ(pwrite(fd, scene.bytes, LOST_BYTES, LOST_AT), LOST_BYTES);
    options.flags = AIO_FILE_SYNC_AT_OPEN;
    REQUIRE(is_lost(CALL(aio_file_open(scratch_path(DISK), O_RDWR, 0, &options, &file))));
    REQUIRE(file == NULL);
    small_disk_relieve();
    EXPECT(aio_file_open(scratch_path(DISK), O_RDWR, 0, &options, &file), 0);
    close_file(file);
    close(fd);
    scene_end(&scene);
}
END_TEST

static Suite *writeback_suite(void)
{
    Suite *suite = suite_create("writeback");

    add_loop_test(suite, "told", a_loss_is_told_until_it_is_cleared, ROADS * SYNC_KINDS);
    add_loop_test(suite, "told", every_close_tells_of_a_loss, ROADS);
    add_loop_test(suite, "told", a_second_loss_is_told_too, ROADS);
    add_loop_test(suite, "others", what_another_was_told_is_told_here_too, ROADS);
    add_loop_test(suite, "others", the_first_handle_may_be_gone, ROADS);
    add_loop_test(suite, "others", all_who_sync_at_once_are_told, ROADS);
    add_loop_test(suite, "syncing", a_write_that_syncs_tells_of_its_loss, ROADS);
    add_loop_test(suite, "syncing", a_handle_that_syncs_tells_of_its_loss, 2 * ROADS);
    add_loop_test(suite, "syncing", a_write_that_syncs_takes_no_error_away, 2 * ROADS);
    ADD_TESTS(suite, "direct", a_direct_write_has_its_own_error,
              an_open_that_syncs_tells_of_what_was_lost_before);
    return suite;
}

int main(int argc, char **argv)
{
    if (geteuid() != 0 || access("/dev/loop-control", R_OK | W_OK) != 0) {
        puts("Only root with loop devices can have a disk that fails.");
        return 77;
    }
    return run_suite_on_engine(argc, argv, writeback_suite);
}
