/* SPDX-License-Identifier: MIT */
/*
 * test_alignment.c - what a file demands of direct I/O, compared with what the kernel takes.
 */
#include "alignment.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "support.h"

static bool power_of_two(uint32_t value)
{
    return value > 0 && (value & (value - 1)) == 0;
}

static void check_order(const struct alignment *alignment)
{
    REQUIRE(power_of_two(alignment->memory));
    REQUIRE(power_of_two(alignment->required));
    REQUIRE(power_of_two(alignment->preferred));
    REQUIRE(alignment->required <= alignment->preferred);
}

static struct alignment alignment_of(int fd)
{
    struct alignment alignment;
    struct stat status;

    REQUIRE(fstat(fd, &status) == 0);
    REQUIRE_EQ(alignment_of_file(fd, &status, &alignment), 0);
    check_order(&alignment);
    return alignment;
}

START_TEST(the_kernel_takes_what_is_said_to_be_required)
{
    int fd = open(scratch_path("file"), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    struct alignment alignment = alignment_of(fd);
    char *memory = page_alloc(64 * KIB);
    char *place = memory + alignment.memory;
    size_t length = alignment.required;

    memset(memory, 1, 64 * KIB);
    REQUIRE_EQ(pwrite(fd, place, length, 0), length);
    REQUIRE_EQ(pwrite(fd, place, length, (off_t)(3 * length)), length);
    REQUIRE_EQ(pread(fd, place, length, (off_t)(3 * length)), length);
    REQUIRE_EQ(pwrite(fd, memory, alignment.preferred, alignment.preferred), alignment.preferred);
    /* And no less; some file systems fall back to the page cache. */
    REQUIRE(alignment.required <= 512 || pwrite(fd, place, length / 2, 0) < 0);
    close(fd);
    free(memory);
}
END_TEST

START_TEST(preferred_is_the_physical_sector)
{
    int fd = open(scratch_path("file"), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
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

START_TEST(where_nothing_tells_a_large_sector_is_safe)
{
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    struct alignment alignment;
    struct statx extended;

    if (fd < 0)
        return;
    alignment = alignment_of(fd);
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) == 0 &&
        (extended.stx_mask & STATX_DIOALIGN) == 0)
        REQUIRE(alignment.memory == 4096 && alignment.required == 4096 &&
                alignment.preferred == 4096);
    close(fd);
}
END_TEST

/* The device that the test files are on; -1 where there is none, or it may not be read. */
static int device_open(void)
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

static Suite *alignment_suite(void)
{
    Suite *suite = suite_create("alignment");

    ADD_TESTS(suite, "alignment", the_kernel_takes_what_is_said_to_be_required,
              preferred_is_the_physical_sector, where_nothing_tells_a_large_sector_is_safe,
              a_device_tells_its_sectors, a_handle_of_a_device_knows_its_size);
    return suite;
}

int main(void)
{
    return run_suite(alignment_suite);
}
