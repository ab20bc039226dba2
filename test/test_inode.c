/* SPDX-License-Identifier: MIT */
/*
 * test_inode.c - what the handles of one file have in common, and whose descriptors live how long.
 */
#include "inode.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "support.h"

/* --- handles -------------------------------------------------------------------------------- */

/* What a handle is here. */
struct handle {
    int fd;
    struct inode *inode;
};

/* For valgrind, which asks in a forked child too who knows of the entries. */
static _Atomic(struct inode *) known[64];
static atomic_uint known_count;

static struct handle handle_of(int fd)
{
    struct handle handle = {.fd = fd};
    struct stat status;

    REQUIRE(fd >= 0 && fstat(fd, &status) == 0);
    EXPECT(inode_open(fd, &status, &handle.inode), 0);
    REQUIRE(handle.inode != NULL);
    known[known_count++ % COUNT(known)] = handle.inode;
    return handle;
}

static struct handle handle_open(const char *name, int flags)
{
    return handle_of(open(scratch_path(name), flags | O_CLOEXEC, 0600));
}

static void handle_close(struct handle handle)
{
    EXPECT(inode_close(handle.inode, handle.fd), 0);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static unsigned descriptors_now(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    REQUIRE(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* --- one entry for a file ------------------------------------------------------------------- */

START_TEST(handles_of_one_file_share)
{
    struct handle handles[4];

    make_file("file", 100, 1);
    make_file("other", 100, 1);
    handles[0] = handle_open("file", O_RDWR);
    handles[1] = handle_open("file", O_RDONLY);
    handles[2] = handle_of(dup(handles[0].fd));
    handles[3] = handle_open("other", O_RDWR);
    REQUIRE(handles[0].inode == handles[1].inode && handles[0].inode == handles[2].inode);
    REQUIRE(handles[0].inode != handles[3].inode);
    REQUIRE_EQ(handles[0].inode->handles, 3);
    REQUIRE_EQ(handles[3].inode->handles, 1);
    for (size_t index = 0; index < COUNT(handles); index++)
        handle_close(handles[index]);
}
END_TEST

START_TEST(an_entry_begins_with_nothing)
{
    struct handle handle;

    make_file("file", 100, 1);
    for (unsigned round = 0; round < 2; round++) {
        handle = handle_open("file", O_RDWR);
        REQUIRE_EQ(handle.inode->sync_fd, handle.fd);
        REQUIRE(!handle.inode->device);
        REQUIRE_EQ(handle.inode->sync_state, 0);
        REQUIRE_EQ(handle.inode->logical_end, -1);
        REQUIRE_EQ(handle.inode->direct_handles, 0);
        REQUIRE_EQ(handle.inode->appends_inflight, 0);
        REQUIRE(!unsynced_meets(&handle.inode->unsynced, 0, INT64_MAX));
        /* It goes with the handle. */
        unsynced_begin_write(&handle.inode->unsynced, 0, 1);
        unsynced_end_write(&handle.inode->unsynced);
        inode_sync_failed(handle.inode, -EIO);
        handle.inode->logical_end = 5;
        handle_close(handle);
    }
}
END_TEST

START_TEST(names_do_not_matter)
{
    struct handle first;
    struct handle linked;
    struct handle renamed;
    struct handle unlinked;
    struct handle new;
    char path[64];

    make_file("file", 100, 1);
    first = handle_open("file", O_RDWR);
    REQUIRE(link(scratch_path("file"), scratch_path("link")) == 0);
    linked = handle_open("link", O_RDWR);
    REQUIRE(rename(scratch_path("file"), scratch_path("name")) == 0);
    renamed = handle_open("name", O_RDWR);
    REQUIRE(unlink(scratch_path("name")) == 0 && unlink(scratch_path("link")) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", first.fd);
    unlinked = handle_of(open(path, O_RDONLY | O_CLOEXEC));
    REQUIRE(linked.inode == first.inode && renamed.inode == first.inode &&
            unlinked.inode == first.inode);
    /* The name alone is not the file. */
    make_file("file", 100, 1);
    new = handle_open("file", O_RDWR);
    REQUIRE(new.inode != first.inode);
    handle_close(new);
    handle_close(first);
    handle_close(linked);
    handle_close(renamed);
    handle_close(unlinked);
}
END_TEST

/* As long as an entry lives its file does, with its number. */
START_TEST(a_number_used_again_is_another_file)
{
    for (unsigned round = 0; round < 100; round++) {
        struct handle handle;

        make_file("file", 10, round);
        handle = handle_open("file", O_RDWR);
        REQUIRE_EQ(handle.inode->handles, 1);
        REQUIRE_EQ(handle.inode->sync_state, 0);
        inode_sync_failed(handle.inode, -EIO);
        REQUIRE(unlink(scratch_path("file")) == 0);
        if (round % 2 == 0) {
            handle_close(handle);
        } else {
            struct handle next;

            make_file("file", 10, round);
            next = handle_open("file", O_RDWR);
            REQUIRE(next.inode != handle.inode && next.inode->number != handle.inode->number);
            REQUIRE(unlink(scratch_path("file")) == 0);
            handle_close(handle);
            handle_close(next);
        }
    }
}
END_TEST

START_TEST(many_files_are_told_apart)
{
    enum { FILES = 1500 };
    static struct handle handles[FILES];
    struct rlimit limit = {FILES + 200, FILES + 200};
    uint64_t state = 1;
    char name[32];

    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (unsigned index = 0; index < FILES; index++) {
        snprintf(name, sizeof(name), "file%u", index);
        handles[index] = handle_open(name, O_RDWR | O_CREAT | O_EXCL);
        REQUIRE_EQ(handles[index].inode->handles, 1);
    }
    for (unsigned round = 0; round < FILES; round++) {
        unsigned index = (unsigned)(random_next(&state) % FILES);
        struct handle second;

        snprintf(name, sizeof(name), "file%u", index);
        second = handle_open(name, O_RDWR);
        REQUIRE(second.inode == handles[index].inode);
        if (round % 3 == 0) { /* the second one stays */
            handle_close(handles[index]);
            handles[index] = second;
        } else {
            handle_close(second);
        }
    }
    for (unsigned index = 0; index < FILES; index++)
        handle_close(handles[index]);
}
END_TEST

/* --- block devices -------------------------------------------------------------------------- */

/* Any block device that can be looked at; nothing is read from it. */
static dev_t some_device(void)
{
    DIR *directory = opendir("/dev");
    struct dirent *entry;
    dev_t found = 0;

    REQUIRE(directory != NULL);
    while (found == 0 && (entry = readdir(directory)) != NULL) {
        struct stat status;
        int fd = -1;

        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISBLK(status.st_mode))
            fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) {
            found = status.st_rdev;
            close(fd);
        }
    }
    closedir(directory);
    return found;
}

START_TEST(devices_go_by_their_number)
{
    dev_t device = some_device();
    struct handle handles[2];
    struct handle file;
    int page_cache;

    if (device == 0 || mknod(scratch_path("one"), S_IFBLK | 0600, device) != 0 ||
        mknod(scratch_path("two"), S_IFBLK | 0600, device) != 0) {
        printf("No two names for a block device here (%s).\n", strerrorname_np(errno));
        return;
    }
    handles[0] = handle_of(open(scratch_path("one"), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    handles[1] = handle_of(open(scratch_path("two"), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(handles[0].inode == handles[1].inode);
    REQUIRE(handles[0].inode->device && handles[0].inode->number == device);
    /* The descriptor for the page cache is one of the device, too. */
    page_cache = (int)CALL(inode_page_cache_fd(handles[0].inode, handles[0].fd, 0));
    REQUIRE(page_cache >= 0);
    make_file("file", 10, 1);
    file = handle_open("file", O_RDWR);
    REQUIRE(file.inode != handles[0].inode && !file.inode->device);
    handle_close(file);
    handle_close(handles[0]);
    handle_close(handles[1]);
    REQUIRE(!is_open(page_cache));
}
END_TEST

/* A file whose number is that of a device is another thing. */
START_TEST(a_file_is_no_device_of_the_same_number)
{
    struct stat file = {.st_mode = S_IFREG, .st_dev = 0, .st_ino = 1234, .st_rdev = 0};
    struct stat device = {.st_mode = S_IFBLK, .st_dev = 0, .st_ino = 5, .st_rdev = 1234};
    struct stat elsewhere = {.st_mode = S_IFREG, .st_dev = 7, .st_ino = 1234};
    struct inode *inodes[3];
    int fds[3];

    make_file("file", 10, 1);
    for (unsigned index = 0; index < 3; index++)
        fds[index] = open(scratch_path("file"), O_RDONLY | O_CLOEXEC);
    EXPECT(inode_open(fds[0], &file, &inodes[0]), 0);
    EXPECT(inode_open(fds[1], &device, &inodes[1]), 0);
    EXPECT(inode_open(fds[2], &elsewhere, &inodes[2]), 0);
    REQUIRE(inodes[0] != inodes[1] && inodes[0] != inodes[2] && inodes[1] != inodes[2]);
    for (unsigned index = 0; index < 3; index++)
        EXPECT(inode_close(inodes[index], fds[index]), 0);
}
END_TEST

/* --- descriptors ---------------------------------------------------------------------------- */

START_TEST(the_sync_descriptor_outlives_its_handle)
{
    struct handle handles[3];
    struct stat status[2];
    int sync_fd;

    make_file("file", 100, 1);
    for (unsigned index = 0; index < 3; index++)
        handles[index] = handle_open("file", O_RDWR);
    sync_fd = handles[0].inode->sync_fd;
    REQUIRE_EQ(sync_fd, handles[0].fd);
    handle_close(handles[0]);
    handle_close(handles[1]);
    REQUIRE_EQ(handles[2].inode->sync_fd, sync_fd);
    REQUIRE(!is_open(handles[1].fd));
    REQUIRE(fsync(sync_fd) == 0);
    REQUIRE(fstat(sync_fd, &status[0]) == 0 && fstat(handles[2].fd, &status[1]) == 0);
    REQUIRE(status[0].st_ino == status[1].st_ino);
    handle_close(handles[2]);
    REQUIRE(!is_open(sync_fd) && !is_open(handles[2].fd));
}
END_TEST

START_TEST(opens_beside_an_open_handle_use_nothing_up)
{
    struct handle first;
    struct handle before;
    unsigned descriptors;

    make_file("file", 100, 1);
    first = handle_open("file", O_RDWR);
    handle_close(handle_open("file", O_RDONLY));
    descriptors = descriptors_now();
    for (unsigned round = 0; round < 3000; round++)
        handle_close(handle_open("file", round % 2 == 0 ? O_RDWR : O_RDONLY));
    REQUIRE_EQ(descriptors_now(), descriptors);
    /* Nor where the next one is opened before the last one is closed. */
    before = first;
    for (unsigned round = 0; round < 3000; round++) {
        struct handle next = handle_open("file", O_RDWR);

        handle_close(before);
        before = next;
    }
    REQUIRE_EQ(descriptors_now(), descriptors + 1); /* the first one's, for syncs */
    handle_close(before);
}
END_TEST

START_TEST(one_page_cache_descriptor_for_each_kind)
{
    static const int kinds[] = {O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_DSYNC, O_RDWR | O_SYNC};
    struct handle handles[COUNT(kinds)];
    int fds[COUNT(kinds)][2];

    make_file("file", 5000, 1);
    for (size_t kind = 0; kind < COUNT(kinds); kind++) {
        handles[kind] = handle_open("file", kinds[kind] | O_DIRECT);
        for (int append = 0; append < 2; append++) {
            int more = append ? O_APPEND : 0;
            int fd = (int)CALL(inode_page_cache_fd(handles[kind].inode, handles[kind].fd, more));

            REQUIRE(fd >= 0);
            REQUIRE_EQ(fcntl(fd, F_GETFL) & ~O_LARGEFILE & ~0100000, kinds[kind] | more);
            REQUIRE_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
            for (size_t before = 0; before < kind; before++)
                REQUIRE(fds[before][0] != fd && fds[before][1] != fd);
            fds[kind][append] = fd;
        }
        REQUIRE(fds[kind][0] != fds[kind][1]);
    }
    /* Other handles of these kinds open nothing. */
    for (size_t kind = 0; kind < COUNT(kinds); kind++) {
        struct handle again = handle_open("file", kinds[kind]);
        unsigned descriptors = descriptors_now();

        EXPECT(inode_page_cache_fd(again.inode, again.fd, O_APPEND), fds[kind][1]);
        EXPECT(inode_page_cache_fd(again.inode, again.fd, 0), fds[kind][0]);
        REQUIRE_EQ(descriptors_now(), descriptors);
        handle_close(again);
    }
    /* They live as long as the entry. */
    for (size_t kind = 0; kind + 1 < COUNT(kinds); kind++)
        handle_close(handles[kind]);
    for (size_t kind = 0; kind < COUNT(kinds); kind++)
        REQUIRE(is_open(fds[kind][0]) && is_open(fds[kind][1]));
    handle_close(handles[COUNT(kinds) - 1]);
    for (size_t kind = 0; kind < COUNT(kinds); kind++)
        REQUIRE(!is_open(fds[kind][0]) && !is_open(fds[kind][1]));
}
END_TEST

START_TEST(a_file_without_a_name_is_opened_again)
{
    struct handle handle;
    char bytes[100];
    int fd;

    make_file("file", 100, 1);
    handle = handle_open("file", O_RDWR | O_DIRECT);
    REQUIRE(unlink(scratch_path("file")) == 0);
    make_file("file", 100, 2);
    fd = (int)CALL(inode_page_cache_fd(handle.inode, handle.fd, 0));
    REQUIRE(fd >= 0);
    REQUIRE_EQ(pread(fd, bytes, 100, 0), 100);
    pattern_check(bytes, 100, 0, 1);
    handle_close(handle);
}
END_TEST

START_TEST(no_descriptor_is_an_error_that_passes)
{
    struct handle handle;
    struct rlimit before;
    struct rlimit none;
    int fd;

    make_file("file", 100, 1);
    handle = handle_open("file", O_RDWR | O_DIRECT);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = (struct rlimit){3, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    REQUIRE_EQ(inode_page_cache_fd(handle.inode, handle.fd, 0), -EMFILE);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    fd = (int)CALL(inode_page_cache_fd(handle.inode, handle.fd, 0));
    REQUIRE(fd >= 0);
    handle_close(handle);
}
END_TEST

/* --- locks of the process ------------------------------------------------------------------- */

struct lock_place {
    off_t start;
    off_t length;
};

/* POSIX locks, past the library. */
static void lock_posix(int fd, short type, struct lock_place place)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = place.start, .l_len = place.length};

    REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
}

/* What another process finds in the way of a write lock of the whole file. */
static int look_for_lock(void *argument)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(argument, O_RDWR | O_CLOEXEC);

    REQUIRE(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0);
    return lock.l_type;
}

static void expect_lock(int type)
{
    REQUIRE_EQ(in_child(look_for_lock, (void *)(uintptr_t)scratch_path("file")), type);
}

START_TEST(locks_of_the_process_survive_a_close)
{
    static const short types[] = {F_WRLCK, F_RDLCK};
    static const struct lock_place places[] = {{0, 0}, {50, 1}, {INT64_C(1) << 40, 5}};

    make_file("file", 100, 1);
    for (unsigned which = 0; which < COUNT(types) * COUNT(places); which++) {
        short type = types[which % COUNT(types)];
        int plain = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
        struct handle handles[3];

        for (unsigned index = 0; index < 3; index++)
            handles[index] = handle_open("file", O_RDWR);
        lock_posix(plain, type, places[which / COUNT(types)]);
        expect_lock(type);
        handle_close(handles[1]);
        expect_lock(type);
        handle_close(handles[0]); /* the one that is synced through */
        expect_lock(type);
        lock_posix(plain, F_UNLCK, (struct lock_place){0, 0});
        expect_lock(F_UNLCK);
        handle_close(handles[2]);
        for (unsigned index = 0; index < 3; index++)
            REQUIRE(!is_open(handles[index].fd));
        close(plain);
    }
}
END_TEST

/* Those taken through a handle's own descriptor are no others: the first handle's close keeps
 * them, as they are the process's and not the handle's. */
START_TEST(locks_survive_the_handle_that_they_were_taken_by)
{
    struct handle handles[2];

    make_file("file", 100, 1);
    handles[0] = handle_open("file", O_RDWR);
    handles[1] = handle_open("file", O_RDWR);
    lock_posix(handles[1].fd, F_WRLCK, (struct lock_place){0, 10});
    handle_close(handles[1]);
    expect_lock(F_WRLCK);
    handle_close(handles[0]);
    expect_lock(F_UNLCK);
}
END_TEST

/* Another process's shared lock stands before ours in what the kernel tells of. */
static int hold_shared(void *argument)
{
    int *pipes = argument;
    int fd = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    char byte = 0;

    lock_posix(fd, F_RDLCK, (struct lock_place){0, 0});
    REQUIRE(write(pipes[3], "l", 1) == 1);
    close(pipes[1]);
    return read(pipes[0], &byte, 1) == 0 ? 0 : 1;
}

struct holder {
    pthread_t thread;
    int pipes[4]; /* to and from the holder */
};

static void *hold_in_child(void *argument)
{
    struct holder *holder = argument;

    REQUIRE_EQ(in_child(hold_shared, holder->pipes), 0);
    return NULL;
}

START_TEST(locks_survive_behind_those_of_others)
{
    struct handle handles[3];
    struct holder holder;
    char byte;
    int plain;

    if (threads_are_watched())
        return; /* a child of a thread */
    make_file("file", 100, 1);
    REQUIRE(pipe2(holder.pipes, O_CLOEXEC) == 0 && pipe2(holder.pipes + 2, O_CLOEXEC) == 0);
    thread_begin(&holder.thread, hold_in_child, &holder);
    REQUIRE(read(holder.pipes[2], &byte, 1) == 1);
    plain = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    for (unsigned index = 0; index < 3; index++)
        handles[index] = handle_open("file", O_RDWR);
    lock_posix(plain, F_RDLCK, (struct lock_place){0, 0});
    handle_close(handles[1]);
    handle_close(handles[0]);
    close(holder.pipes[1]);
    thread_end(holder.thread);
    expect_lock(F_RDLCK); /* ours, as the other one is gone */
    handle_close(handles[2]);
    close(plain);
    close(holder.pipes[0]);
    close(holder.pipes[2]);
    close(holder.pipes[3]);
}
END_TEST

/* What was kept for a lock's sake is closed with the last handle, at the latest. */
START_TEST(what_was_kept_goes_with_the_last_handle)
{
    int plain;
    struct handle first;
    unsigned descriptors = descriptors_now();

    make_file("file", 100, 1);
    plain = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    first = handle_open("file", O_RDWR);
    lock_posix(plain, F_WRLCK, (struct lock_place){0, 0});
    for (unsigned round = 0; round < 20; round++)
        handle_close(handle_open("file", O_RDWR));
    expect_lock(F_WRLCK);
    lock_posix(plain, F_UNLCK, (struct lock_place){0, 0});
    handle_close(first);
    close(plain);
    REQUIRE_EQ(descriptors_now(), descriptors);
}
END_TEST

/* And before, once a close finds that there is no lock any more. */
START_TEST(what_was_kept_goes_when_no_lock_is_left)
{
    int plain;
    struct handle first;
    unsigned descriptors;

    make_file("file", 100, 1);
    plain = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    first = handle_open("file", O_RDWR);
    lock_posix(plain, F_WRLCK, (struct lock_place){0, 0});
    for (unsigned round = 0; round < 100; round++)
        handle_close(handle_open("file", O_RDWR));
    lock_posix(plain, F_UNLCK, (struct lock_place){0, 0});
    descriptors = descriptors_now();
    /* Now nothing stands in the way. */
    handle_close(handle_open("file", O_RDWR));
    REQUIRE(descriptors_now() <= descriptors - 100);
    handle_close(first);
    close(plain);
}
END_TEST

static void lock_description(int fd, short type, bool expected)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    REQUIRE_EQ(fcntl(fd, F_OFD_SETLK, &lock) == 0, expected);
}

/* What the handle itself has locked goes with it, though its descriptor may stay. */
START_TEST(a_lock_of_the_handle_goes_with_it)
{
    struct handle handles[3];
    int plain;

    make_file("file", 100, 1);
    for (unsigned index = 0; index < 3; index++)
        handles[index] = handle_open("file", O_RDWR);
    plain = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    lock_description(handles[0].fd, F_RDLCK, true);
    lock_description(handles[1].fd, F_RDLCK, true);
    lock_posix(plain, F_RDLCK, (struct lock_place){0, 0});
    handle_close(handles[0]); /* kept for syncs */
    handle_close(handles[1]); /* kept for the process's lock */
    lock_posix(plain, F_UNLCK, (struct lock_place){0, 0});
    lock_description(handles[2].fd, F_WRLCK, true);
    lock_description(plain, F_RDLCK, false);
    handle_close(handles[2]);
    lock_description(plain, F_WRLCK, true);
    close(plain);
}
END_TEST

/* --- fork ----------------------------------------------------------------------------------- */

static int start_empty(void *argument)
{
    struct handle *parents = argument;
    unsigned descriptors = descriptors_now();
    struct handle mine = handle_open("file", O_RDWR);
    struct handle second = handle_open("file", O_RDWR);

    REQUIRE(mine.inode != parents[0].inode && mine.inode == second.inode);
    REQUIRE_EQ(mine.inode->handles, 2);
    REQUIRE_EQ(mine.inode->sync_fd, mine.fd);
    REQUIRE_EQ(mine.inode->sync_state, 0);
    /* The parent's copies and the child's own are two things. */
    EXPECT(inode_close_inherited(parents[0].inode, parents[0].fd), 0);
    REQUIRE_EQ(mine.inode->handles, 2);
    handle_close(mine);
    EXPECT(inode_close_inherited(parents[1].inode, parents[1].fd), 0);
    handle_close(second);
    /* Nothing is left of the file, nor of the parent's descriptor for the page cache. */
    REQUIRE_EQ(descriptors_now(), descriptors - 3);
    return 0;
}

START_TEST(a_child_starts_empty)
{
    struct handle handles[2];

    make_file("file", 100, 1);
    handles[0] = handle_open("file", O_RDWR);
    handles[1] = handle_open("file", O_RDWR);
    REQUIRE(CALL(inode_page_cache_fd(handles[0].inode, handles[0].fd, 0)) >= 0);
    inode_sync_failed(handles[0].inode, -EIO);
    REQUIRE_EQ(in_child(start_empty, handles), 0);
    REQUIRE_EQ(handles[0].inode->handles, 2);
    handle_close(handles[0]);
    handle_close(handles[1]);
}
END_TEST

static int close_in_child(void *argument)
{
    struct aio_file **files = argument;

    EXPECT(aio_file_close(files[1]), 0);
    EXPECT(aio_file_close(files[0]), 0);
    return 0;
}

/* A child's close of what it inherited does not take the parent's locks, nor its descriptors. */
START_TEST(a_close_in_a_child_leaves_the_parent_alone)
{
    struct aio_file_options options = file_options();
    struct aio_file *files[2];
    char bytes[100];
    int plain;

    make_file("file", 100, 1);
    plain = open(scratch_path("file"), O_RDWR | O_CLOEXEC);
    for (unsigned index = 0; index < 2; index++)
        EXPECT(aio_file_open(scratch_path("file"), O_RDWR, 0, &options, &files[index]), 0);
    lock_posix(plain, F_WRLCK, (struct lock_place){0, 0});
    REQUIRE_EQ(in_child(close_in_child, files), 0);
    expect_lock(F_WRLCK);
    for (unsigned index = 0; index < 2; index++)
        EXPECT(aio_file_pread(files[index], bytes, 100, 0), 100);
    EXPECT(aio_file_sync(files[1]), 0);
    lock_posix(plain, F_UNLCK, (struct lock_place){0, 0});
    close_file(files[0]);
    close_file(files[1]);
    close(plain);
}
END_TEST

/* --- failed syncs --------------------------------------------------------------------------- */

START_TEST(each_failed_sync_is_another_state)
{
    struct handle handle;
    uint64_t before;

    make_file("file", 100, 1);
    handle = handle_open("file", O_RDWR);
    inode_sync_failed(handle.inode, -EIO);
    before = handle.inode->sync_state;
    REQUIRE_EQ((uint32_t)before, EIO);
    inode_sync_failed(handle.inode, -ENOSPC);
    REQUIRE(handle.inode->sync_state > before);
    REQUIRE_EQ((uint32_t)handle.inode->sync_state, EIO); /* that one nobody has dealt with */
    handle.inode->sync_acknowledged = handle.inode->sync_state;
    before = handle.inode->sync_state;
    inode_sync_failed(handle.inode, -ENOSPC);
    REQUIRE(handle.inode->sync_state > before);
    REQUIRE_EQ((uint32_t)handle.inode->sync_state, ENOSPC);
    handle_close(handle);
}
END_TEST

/* --- many threads --------------------------------------------------------------------------- */

static void *open_along(void *argument)
{
    uint64_t state = (uintptr_t)argument;

    for (unsigned round = 0; round < 500; round++) {
        const char *name = random_next(&state) % 2 == 0 ? "one" : "two";
        struct handle handle = handle_open(name, O_RDWR);
        struct handle second = handle_open(name, O_RDONLY);
        int fd = (int)CALL(inode_page_cache_fd(handle.inode, handle.fd, 0));
        struct stat status[2];

        REQUIRE(second.inode == handle.inode);
        REQUIRE(fstat(fd, &status[0]) == 0 && fstat(handle.fd, &status[1]) == 0);
        REQUIRE(status[0].st_ino == status[1].st_ino);
        REQUIRE(fstat(handle.inode->sync_fd, &status[0]) == 0);
        REQUIRE(status[0].st_ino == status[1].st_ino);
        handle_close(handle);
        handle_close(second);
    }
    return NULL;
}

START_TEST(handles_come_and_go_on_many_threads)
{
    pthread_t threads[6];

    make_file("one", 10, 1);
    make_file("two", 10, 1);
    for (size_t index = 0; index < COUNT(threads); index++)
        thread_begin(&threads[index], open_along, (void *)(uintptr_t)index);
    for (size_t index = 0; index < COUNT(threads); index++)
        thread_end(threads[index]);
}
END_TEST

static Suite *inode_suite(void)
{
    Suite *suite = suite_create("inode");

    ADD_TESTS(suite, "entries", handles_of_one_file_share, an_entry_begins_with_nothing,
              names_do_not_matter, a_number_used_again_is_another_file, many_files_are_told_apart);
    ADD_TESTS(suite, "devices", devices_go_by_their_number, a_file_is_no_device_of_the_same_number);
    ADD_TESTS(suite, "descriptors", the_sync_descriptor_outlives_its_handle,
              opens_beside_an_open_handle_use_nothing_up, one_page_cache_descriptor_for_each_kind,
              a_file_without_a_name_is_opened_again, no_descriptor_is_an_error_that_passes);
    ADD_TESTS(suite, "locks", locks_of_the_process_survive_a_close,
              locks_survive_the_handle_that_they_were_taken_by,
              locks_survive_behind_those_of_others, what_was_kept_goes_with_the_last_handle,
              what_was_kept_goes_when_no_lock_is_left, a_lock_of_the_handle_goes_with_it);
    ADD_TESTS(suite, "fork", a_child_starts_empty, a_close_in_a_child_leaves_the_parent_alone);
    ADD_TESTS(suite, "syncs", each_failed_sync_is_another_state);
    ADD_TESTS(suite, "threads", handles_come_and_go_on_many_threads);
    return suite;
}

int main(void)
{
    return run_suite(inode_suite);
}
