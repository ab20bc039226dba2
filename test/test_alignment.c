/* SPDX-License-Identifier: MIT */
/*
 * test_alignment.c - what a file demands of direct I/O, compared with what the kernel takes; on
 * loop devices, zram and file systems made for the purpose where the tests run as root.
 */
#include "alignment.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define DEVICE_BYTES (16 * MIB)
/* The least that mkfs.btrfs takes. */
#define BTRFS_BYTES (128 * MIB)

/* --- a kernel that says something else ------------------------------------------------------ */

/* The members of struct statx that headers may lack, as words of it. */
enum {
    WORD_MASK = 0,
    WORD_DIO_MEMORY = 0x98 / 4,
    WORD_DIO_OFFSET = 0x9c / 4,
    WORD_ATOMIC_MIN = 0xa8 / 4,
    WORD_ATOMIC_MAX = 0xac / 4,
    WORD_ATOMIC_SEGMENTS = 0xb0 / 4,
    WORD_DIO_READ = 0xb4 / 4,
    WORDS = 256 / 4,
};

#define MASK_DIOALIGN 0x2000u
#define MASK_WRITE_ATOMIC 0x10000u
#define MASK_DIO_READ 0x20000u
#define MASK_ALL (MASK_DIOALIGN | MASK_WRITE_ATOMIC | MASK_DIO_READ)

/* What statx(2) answers to the library instead of the kernel's words; NULL: nothing instead. */
static const uint32_t *answer;

/* Stands in front of the C library's function, in this program only. */
long syscall(long number, ...)
{
    long (*next)(long, ...) = (long (*)(long, ...))(uintptr_t)dlsym(RTLD_NEXT, "syscall");
    va_list list;
    long argument[6];

    va_start(list, number);
    for (size_t index = 0; index < COUNT(argument); index++)
        argument[index] = va_arg(list, long);
    va_end(list);
    if (number == SYS_statx && answer != NULL) {
        memcpy((void *)(uintptr_t)argument[4], answer, 4 * WORDS);
        return 0;
    }
    return next(number, argument[0], argument[1], argument[2], argument[3], argument[4],
                argument[5]);
}

/* An answer that is to be believed in all parts. */
static void fill_answer(uint32_t *words)
{
    memset(words, 0, 4 * WORDS);
    words[WORD_MASK] = MASK_ALL;
    words[WORD_DIO_MEMORY] = 4;
    words[WORD_DIO_OFFSET] = 16384;
    words[WORD_DIO_READ] = 512;
    words[WORD_ATOMIC_MIN] = 4096;
    words[WORD_ATOMIC_MAX] = 65536;
    words[WORD_ATOMIC_SEGMENTS] = 2;
}

/* check has no word for a test that cannot be done here. */
static void skip(const char *reason)
{
    printf("skipped: %s\n", reason);
    fflush(stdout);
}

/* --- alignments ----------------------------------------------------------------------------- */

static bool power_of_two(uint32_t value)
{
    return value > 0 && (value & (value - 1)) == 0;
}

static void check_order(const struct alignment *alignment)
{
    REQUIRE(power_of_two(alignment->memory));
    REQUIRE(power_of_two(alignment->required));
    REQUIRE(power_of_two(alignment->read));
    REQUIRE(power_of_two(alignment->preferred));
    REQUIRE(alignment->read <= alignment->required);
    REQUIRE(alignment->required <= alignment->preferred);
    REQUIRE(alignment->atomic_min <= alignment->atomic_max);
    REQUIRE((alignment->atomic_min == 0) == (alignment->atomic_max == 0));
    REQUIRE((alignment->atomic_min == 0) == (alignment->atomic_segments == 0));
    REQUIRE(alignment->told || alignment->required == 4096);
}

static struct alignment alignment_of(int fd)
{
    struct alignment alignment;
    struct stat status;

    memset(&alignment, 0xff, sizeof(alignment)); /* every field is to be filled */
    REQUIRE(fstat(fd, &status) == 0);
    REQUIRE_EQ(alignment_of_file(fd, &status, &alignment), 0);
    check_order(&alignment);
    return alignment;
}

/* The same, of what the kernel would be if it said these words. */
static struct alignment alignment_answered(int fd, const uint32_t *words)
{
    struct alignment alignment;

    answer = words;
    alignment = alignment_of(fd);
    answer = NULL;
    return alignment;
}

/* What fits the alignments is taken. fd is direct, and its first 64 KiB may be overwritten. */
static void check_taken(int fd, const struct alignment *alignment)
{
    char *memory = page_alloc(64 * KIB);
    char *place = memory + alignment->memory;
    size_t length = alignment->required;

    memset(memory, 1, 64 * KIB);
    REQUIRE_EQ(pwrite(fd, place, length, 0), length);
    REQUIRE_EQ(pwrite(fd, place, length, (off_t)(3 * length)), length);
    REQUIRE_EQ(pread(fd, place, length, (off_t)(3 * length)), length);
    REQUIRE_EQ(pread(fd, place, alignment->read, (off_t)(3 * length)), alignment->read);
    REQUIRE_EQ(pwrite(fd, memory, alignment->preferred, alignment->preferred),
               alignment->preferred);
    free(memory);
}

/* Nor is less taken, where no page cache steps in for what does not fit. */
static void check_refused(int fd, const struct alignment *alignment)
{
    char *memory = page_alloc(64 * KIB);
    size_t half = alignment->required / 2;

    memset(memory, 1, 64 * KIB);
    REQUIRE(pwrite(fd, memory, half, 0) < 0 && errno == EINVAL);
    REQUIRE(pwrite(fd, memory, alignment->required, (off_t)half) < 0 && errno == EINVAL);
    REQUIRE(pread(fd, memory, alignment->read / 2, 0) < 0 && errno == EINVAL);
    free(memory);
}

static int scratch_file(void)
{
    int fd = open(scratch_path("file"), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);

    REQUIRE(fd >= 0);
    return fd;
}

static uint32_t type_of(int fd)
{
    struct statfs status;

    REQUIRE(fstatfs(fd, &status) == 0);
    return (uint32_t)status.f_type;
}

START_TEST(the_kernel_takes_what_is_said_to_be_required)
{
    int fd = scratch_file();
    struct alignment alignment = alignment_of(fd);

    check_taken(fd, &alignment);
    if (alignment.told && (type_of(fd) == EXT4_SUPER_MAGIC || type_of(fd) == XFS_SUPER_MAGIC))
        check_refused(fd, &alignment);
    close(fd);
}
END_TEST

START_TEST(preferred_is_the_physical_sector)
{
    int fd = scratch_file();
    struct alignment alignment = alignment_of(fd);
    struct stat status;
    char path[96];
    FILE *attribute;
    unsigned physical;

    REQUIRE(fstat(fd, &status) == 0);
    close(fd);
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/physical_block_size",
             major(status.st_dev), minor(status.st_dev));
    attribute = fopen(path, "re");
    if (attribute == NULL)
        return; /* a partition, or no block device */
    REQUIRE(fscanf(attribute, "%u", &physical) == 1);
    fclose(attribute);
    REQUIRE_EQ(alignment.preferred, physical > alignment.required ? physical : alignment.required);
}
END_TEST

/* The members that the headers know are where the library looks for them. */
START_TEST(the_reply_of_statx_is_read_in_the_right_places)
{
    int fd = scratch_file();
    struct alignment alignment = alignment_of(fd);
    struct statx extended;

    REQUIRE(statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) == 0);
    REQUIRE_EQ(alignment.told, (extended.stx_mask & STATX_DIOALIGN) != 0);
    if (alignment.told) {
        if (extended.stx_dio_offset_align < 4096)
            REQUIRE_EQ(alignment.memory, extended.stx_dio_mem_align);
        else
            REQUIRE(alignment.memory >= 4096 && alignment.memory >= extended.stx_dio_mem_align);
        REQUIRE_EQ(alignment.required, extended.stx_dio_offset_align);
    }
    close(fd);
}
END_TEST

START_TEST(what_statx_says_is_believed)
{
    int fd = scratch_file();
    uint32_t words[WORDS];
    struct alignment alignment;

    fill_answer(words);
    alignment = alignment_answered(fd, words);
    REQUIRE_EQ(alignment.memory, 4096); /* not 4, where sectors are pages */
    REQUIRE_EQ(alignment.required, 16384);
    REQUIRE_EQ(alignment.read, 512);
    REQUIRE_EQ(alignment.preferred, 16384);
    REQUIRE_EQ(alignment.atomic_min, 4096);
    REQUIRE_EQ(alignment.atomic_max, 65536);
    REQUIRE_EQ(alignment.atomic_segments, 2);
    REQUIRE(alignment.told);
    close(fd);
}
END_TEST

/* Changes one word of a good answer. */
static struct alignment alignment_with(int fd, unsigned word, uint32_t value)
{
    uint32_t words[WORDS];

    fill_answer(words);
    words[word] = value;
    return alignment_answered(fd, words);
}

START_TEST(what_makes_no_sense_is_not_believed)
{
    static const uint32_t nonsense[] = {3, 513, 4097, 1u << 25, UINT32_MAX};
    int fd = scratch_file();

    for (size_t index = 0; index < COUNT(nonsense); index++) {
        struct alignment memory = alignment_with(fd, WORD_DIO_MEMORY, nonsense[index]);
        struct alignment offset = alignment_with(fd, WORD_DIO_OFFSET, nonsense[index]);

        REQUIRE(!memory.told && memory.memory == 4096 && memory.required == 4096);
        REQUIRE(!offset.told && offset.memory == 4096 && offset.required == 4096);
        REQUIRE_EQ(alignment_with(fd, WORD_DIO_READ, nonsense[index]).read, 16384);
    }
    REQUIRE_EQ(alignment_with(fd, WORD_DIO_READ, 0).read, 16384);
    REQUIRE_EQ(alignment_with(fd, WORD_DIO_READ, 32768).read, 16384);
    REQUIRE_EQ(alignment_with(fd, WORD_MASK, MASK_DIOALIGN).read, 16384);
    REQUIRE_EQ(alignment_with(fd, WORD_MASK, MASK_DIOALIGN).atomic_max, 0);
    REQUIRE_EQ(alignment_with(fd, WORD_ATOMIC_MIN, 0).atomic_max, 0);
    REQUIRE_EQ(alignment_with(fd, WORD_ATOMIC_MIN, 131072).atomic_max, 0);
    REQUIRE_EQ(alignment_with(fd, WORD_ATOMIC_MAX, 5000).atomic_min, 0);
    REQUIRE_EQ(alignment_with(fd, WORD_ATOMIC_SEGMENTS, 0).atomic_min, 0);
    close(fd);
}
END_TEST

START_TEST(a_file_that_takes_no_direct_io_is_refused)
{
    int fd = scratch_file();
    uint32_t words[WORDS];
    struct alignment alignment;
    struct stat status;

    REQUIRE(fstat(fd, &status) == 0);
    answer = words;
    fill_answer(words);
    words[WORD_DIO_MEMORY] = 0;
    words[WORD_DIO_OFFSET] = 0;
    REQUIRE_EQ(alignment_of_file(fd, &status, &alignment), -EINVAL);
    words[WORD_MASK] &= ~MASK_DIOALIGN;
    REQUIRE_EQ(alignment_of_file(fd, &status, &alignment), 0);
    close(fd);
}
END_TEST

START_TEST(a_kernel_that_tells_nothing_gets_the_safe_guess)
{
    static const uint32_t silence[WORDS];
    int fd = scratch_file();
    struct alignment alignment = alignment_answered(fd, silence);

    REQUIRE(!alignment.told);
    REQUIRE_EQ(alignment.memory, 4096);
    REQUIRE_EQ(alignment.required, 4096);
    REQUIRE_EQ(alignment.read, 4096);
    REQUIRE_EQ(alignment.atomic_max, 0);
    check_taken(fd, &alignment);
    /* These are known to move data without a copy, whether they say so or not. */
    if (type_of(fd) == EXT4_SUPER_MAGIC || type_of(fd) == XFS_SUPER_MAGIC)
        REQUIRE(!alignment.emulated);
    close(fd);
}
END_TEST

START_TEST(a_file_system_in_memory_emulates)
{
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    uint32_t words[WORDS];
    struct alignment alignment;
    struct statx extended;

    if (fd < 0 || type_of(fd) != TMPFS_MAGIC) {
        skip("there is no tmpfs at /dev/shm");
        return;
    }
    alignment = alignment_of(fd);
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) == 0 &&
        (extended.stx_mask & STATX_DIOALIGN) == 0) {
        REQUIRE(alignment.memory == 4096 && alignment.required == 4096 &&
                alignment.preferred == 4096);
        REQUIRE(alignment.emulated && !alignment.told);
    }
    /* If it ever says what it wants, it is believed. */
    fill_answer(words);
    REQUIRE(!alignment_answered(fd, words).emulated);
    if (fcntl(fd, F_SETFL, O_DIRECT) == 0)
        check_taken(fd, &alignment);
    close(fd);
}
END_TEST

/* --- loop devices --------------------------------------------------------------------------- */

/* A loop device on a file in the scratch directory. The kernel takes it away with its last
 * descriptor, however the test ends. */
struct loop {
    int fd; /* direct */
    unsigned number;
};

static int loop_configure(int control, int backing, uint32_t sector, unsigned *number)
{
    struct loop_config config = {.fd = (uint32_t)backing, .block_size = sector};
    char path[32];
    int fd;

    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN;
    for (int attempt = 0; attempt < 20; attempt++) {
        int free_one = ioctl(control, LOOP_CTL_GET_FREE);

        if (free_one < 0)
            return -1;
        snprintf(path, sizeof(path), "/dev/loop%d", free_one);
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            return -1;
        *number = (unsigned)free_one;
        if (ioctl(fd, LOOP_CONFIGURE, &config) == 0)
            return fd;
        close(fd);
        if (errno != EBUSY) /* else somebody else was quicker */
            return -1;
    }
    return -1;
}

static bool loop_make(struct loop *loop, const char *name, uint64_t bytes, uint32_t sector)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int backing = open(scratch_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int plain = -1;
    char path[32];

    REQUIRE(backing >= 0 && ftruncate(backing, (off_t)bytes) == 0);
    if (control >= 0) {
        plain = loop_configure(control, backing, sector, &loop->number);
        close(control);
    }
    close(backing);
    if (plain < 0) {
        skip("no loop device can be made, which takes root and Linux 5.8");
        return false;
    }
    snprintf(path, sizeof(path), "/dev/loop%u", loop->number);
    loop->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    REQUIRE(loop->fd >= 0);
    close(plain);
    return true;
}

/* --- any device ----------------------------------------------------------------------------- */

/* The device that the test files are on, for reading; -1 where there is none, or it may not be
 * read. */
static int device_below(void)
{
    struct stat status;
    char path[96];
    char line[128];
    char name[64] = "";
    FILE *uevent;

    REQUIRE(stat(scratch_path("."), &status) == 0);
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major(status.st_dev),
             minor(status.st_dev));
    uevent = fopen(path, "re");
    if (uevent == NULL)
        return -1;
    while (fgets(line, sizeof(line), uevent) != NULL)
        if (sscanf(line, "DEVNAME=%50s", name) == 1)
            break;
    fclose(uevent);
    snprintf(path, sizeof(path), "/dev/%s", name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The same, or else a loop device. */
static int device_open(void)
{
    int fd = device_below();
    struct loop loop;
    char path[32];

    if (fd >= 0 || !loop_make(&loop, "backing", DEVICE_BYTES, 512))
        return fd;
    snprintf(path, sizeof(path), "/dev/loop%u", loop.number);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    close(loop.fd);
    return fd;
}

START_TEST(a_device_tells_its_sectors)
{
    int fd = device_open();
    struct alignment alignment;
    int logical = 0;
    unsigned physical = 0;

    if (fd < 0)
        return;
    alignment = alignment_of(fd);
    REQUIRE(ioctl(fd, BLKSSZGET, &logical) == 0 && ioctl(fd, BLKPBSZGET, &physical) == 0);
    REQUIRE_EQ(alignment.required, logical);
    REQUIRE_EQ(alignment.preferred, physical);
    REQUIRE(alignment.told && !alignment.emulated);
    close(fd);
}
END_TEST

START_TEST(a_handle_of_a_device_knows_its_size)
{
    int fd = device_open();
    struct aio_file *file;
    uint64_t bytes = 0;
    char *page = page_alloc(PAGE);

    if (fd < 0) {
        free(page);
        return;
    }
    REQUIRE(ioctl(fd, BLKGETSIZE64, &bytes) == 0);
    EXPECT(aio_file_adopt(fd, NULL, &file), 0);
    EXPECT(aio_file_size(file), bytes);
    EXPECT(aio_file_seek(file, 0, SEEK_END), bytes);
    EXPECT(aio_file_pread(file, page, PAGE, 0), PAGE);
    EXPECT(aio_file_read(file, page, PAGE), 0); /* at the end */
    EXPECT(aio_file_pwrite(file, page, PAGE, 0), -EBADF);
    close_file(file);
    free(page);
}
END_TEST

/* --- devices made for the purpose ----------------------------------------------------------- */

static void check_device(int fd, uint32_t sector)
{
    static const uint32_t silence[WORDS];
    struct alignment alignment = alignment_of(fd);
    struct alignment unsaid = alignment_answered(fd, silence);

    REQUIRE_EQ(alignment.required, sector);
    REQUIRE_EQ(alignment.read, sector);
    REQUIRE(alignment.told && !alignment.emulated);
    check_taken(fd, &alignment);
    check_refused(fd, &alignment);
    /* Before Linux 6.1 only the ioctls tell. */
    REQUIRE_EQ(unsaid.required, sector);
    REQUIRE_EQ(unsaid.memory, sector);
    REQUIRE(unsaid.told && !unsaid.emulated);
    check_taken(fd, &unsaid);
}

/* _i: 0 to 3 for sectors of 512 to 4096 bytes. */
START_TEST(a_loop_device_wants_its_sectors)
{
    const uint32_t sector = 512u << _i;
    struct loop loop;

    if (!loop_make(&loop, "backing", DEVICE_BYTES, sector))
        return;
    check_device(loop.fd, sector);
    close(loop.fd);
}
END_TEST

START_TEST(a_device_that_statx_tells_of_is_believed_in_parts)
{
    struct loop loop;
    uint32_t words[WORDS];
    struct alignment alignment;

    if (!loop_make(&loop, "backing", DEVICE_BYTES, 4096))
        return;
    fill_answer(words);
    alignment = alignment_answered(loop.fd, words);
    REQUIRE_EQ(alignment.memory, 4096);
    REQUIRE_EQ(alignment.required, 4096); /* of the ioctl, which is the device's own word */
    REQUIRE_EQ(alignment.read, 512);
    REQUIRE_EQ(alignment.atomic_max, 65536);
    /* A device with nothing said of it is no reason to refuse it. */
    words[WORD_DIO_MEMORY] = 0;
    words[WORD_DIO_OFFSET] = 0;
    alignment = alignment_answered(loop.fd, words);
    REQUIRE(alignment.memory == 4096 && alignment.required == 4096 && alignment.told);
    close(loop.fd);
}
END_TEST

static bool write_attribute(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return written;
}

/* A zram device of its own, whose number it gives; -1 where there is none to be had. */
static int zram_make(void)
{
    FILE *attribute = fopen("/sys/class/zram-control/hot_add", "re");
    int number = -1;
    char path[64];

    if (attribute == NULL)
        return -1;
    if (fscanf(attribute, "%d", &number) != 1)
        number = -1;
    fclose(attribute);
    snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", number);
    if (number >= 0 && write_attribute(path, "16M"))
        return number;
    return -1;
}

static void zram_remove(int number)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", number);
    write_attribute("/sys/class/zram-control/hot_remove", text);
}

static int zram_use(void *argument)
{
    check_device(*(int *)argument, 4096);
    return 0;
}

START_TEST(zram_wants_a_page)
{
    int number = zram_make();
    char path[32];
    int status;
    int fd;

    if (number < 0) {
        skip("no zram device can be made, which takes root and the zram driver");
        return;
    }
    snprintf(path, sizeof(path), "/dev/zram%d", number);
    fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    /* In a child, so that the device is removed whatever comes out. */
    status = fd >= 0 ? in_child(zram_use, &fd) : -1;
    close(fd);
    zram_remove(number);
    REQUIRE_EQ(status, 0);
}
END_TEST

/* --- partitions and file systems made for the purpose --------------------------------------- */

/* Runs a shell's command without its words. */
static bool run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool run(const char *format, ...)
{
    char command[512];
    va_list list;
    int status;

    va_start(list, format);
    vsnprintf(command, sizeof(command), format, list);
    va_end(list);
    strcat(command, " >/dev/null 2>&1");
    status = system(command);
    return status == 0;
}

/* Mounts a device where only this process sees it, and the kernel unmounts it with its end. */
static bool mount_privately(const char *device, const char *type)
{
    const char *place = scratch_path("mounted");

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    REQUIRE(mkdir(place, 0700) == 0);
    return mount(device, place, type, 0, NULL) == 0;
}

static void unmount(void)
{
    REQUIRE(umount(scratch_path("mounted")) == 0);
}

static int mounted_file(const char *name)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "mounted/%s", name);
    fd = open(scratch_path(path), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    return fd;
}

/* Adds one partition, which begins at an odd sector, and gives its path; false where the kernel
 * does not make any. */
static bool partition_make(const struct loop *loop, char *path, size_t size)
{
    struct blkpg_partition partition = {
        .start = 63 * 512, .length = (long long)DEVICE_BYTES / 2, .pno = 1};
    struct blkpg_ioctl_arg argument = {
        .op = BLKPG_ADD_PARTITION, .datalen = sizeof(partition), .data = &partition};

    snprintf(path, size, "/dev/loop%up1", loop->number);
    return ioctl(loop->fd, BLKPG, &argument) == 0 && access(path, R_OK | W_OK) == 0;
}

START_TEST(a_partition_is_as_its_disk)
{
    struct loop loop;
    char path[32];
    struct alignment alignment;
    int fd;

    if (!loop_make(&loop, "backing", DEVICE_BYTES, 512))
        return;
    if (!partition_make(&loop, path, sizeof(path))) {
        skip("the kernel makes no partition of a loop device");
        close(loop.fd);
        return;
    }
    fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    REQUIRE(fd >= 0);
    check_device(fd, 512);
    REQUIRE_EQ(alignment_of(fd).preferred, alignment_of(loop.fd).preferred);
    close(fd);
    if (run("mkfs.ext4 -q -F %s", path) && mount_privately(path, "ext4")) {
        /* Its physical sector is found at the parent. */
        fd = mounted_file("file");
        alignment = alignment_of(fd);
        REQUIRE_EQ(alignment.preferred, alignment_of(loop.fd).preferred);
        REQUIRE(!alignment.emulated);
        check_taken(fd, &alignment);
        close(fd);
        unmount();
    } else {
        skip("no ext4 can be made or mounted");
    }
    close(loop.fd);
}
END_TEST

/* Only in an empty file. */
static void set_nocow(int fd)
{
    int flags = 0;

    REQUIRE(ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0);
    flags |= FS_NOCOW_FL;
    REQUIRE(ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
}

START_TEST(btrfs_emulates_where_it_has_checksums)
{
    struct loop loop;
    struct alignment alignment;
    char path[32];
    int fd;

    if (!loop_make(&loop, "backing", BTRFS_BYTES, 512))
        return;
    snprintf(path, sizeof(path), "/dev/loop%u", loop.number);
    if (!run("mkfs.btrfs -q -f %s", path) || !mount_privately(path, "btrfs")) {
        skip("no btrfs can be made or mounted");
        close(loop.fd);
        return;
    }
    fd = mounted_file("with-checksums");
    alignment = alignment_of(fd);
    REQUIRE(alignment.emulated);
    check_taken(fd, &alignment);
    close(fd);
    fd = mounted_file("without");
    set_nocow(fd);
    alignment = alignment_of(fd);
    REQUIRE(!alignment.emulated);
    check_taken(fd, &alignment);
    close(fd);
    unmount();
    close(loop.fd);
}
END_TEST

static Suite *alignment_suite(void)
{
    Suite *suite = suite_create("alignment");

    ADD_TESTS(suite, "files", the_kernel_takes_what_is_said_to_be_required,
              preferred_is_the_physical_sector, the_reply_of_statx_is_read_in_the_right_places,
              what_statx_says_is_believed, what_makes_no_sense_is_not_believed,
              a_file_that_takes_no_direct_io_is_refused,
              a_kernel_that_tells_nothing_gets_the_safe_guess, a_file_system_in_memory_emulates);
    ADD_TESTS(suite, "devices", a_device_tells_its_sectors, a_handle_of_a_device_knows_its_size,
              a_device_that_statx_tells_of_is_believed_in_parts, zram_wants_a_page,
              a_partition_is_as_its_disk, btrfs_emulates_where_it_has_checksums);
    add_loop_test(suite, "loop devices", a_loop_device_wants_its_sectors, 4);
    return suite;
}

int main(void)
{
    return run_suite(alignment_suite);
}
