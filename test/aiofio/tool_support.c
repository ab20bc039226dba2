/* SPDX-License-Identifier: MIT */
#include "tool_support.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define WORDS_MAX 64

static char folder[512];

void enter_folder(void)
{
    const char *parent = getenv("TMPDIR");

    snprintf(folder, sizeof(folder), "%s/aiofio-test-XXXXXX", parent ? parent : "/var/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

void leave_folder(void)
{
    if (chdir("/") == 0)
        nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *direct_works(void)
{
    int fd = open("direct.probe", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);

    if (fd < 0)
        return "0";
    close(fd);
    unlink("direct.probe");
    return "1";
}

struct run_result run_tool(const char *command, const struct run_hooks *hooks)
{
    struct run_result result = {0};
    char *copy = strdup(command);
    char name[] = "aiofio";
    char *words[WORDS_MAX] = {name};
    char *rest = copy;
    char *word;
    int count = 1;
    size_t sizes[2];
    FILE *out = open_memstream(&result.out, &sizes[0]);
    FILE *errors = open_memstream(&result.errors, &sizes[1]);

    ck_assert(out && errors);
    while ((word = strsep(&rest, " ")) != NULL) {
        char *direct = strstr(word, "%d");

        if (direct)
            memcpy(direct, direct_works(), 2);
        if (*word)
            words[count++] = word;
        ck_assert_int_lt(count, WORDS_MAX);
    }
    result.code = tool_run(count, words, out, errors, hooks);
    fclose(out);
    fclose(errors);
    free(copy);
    return result;
}

void run_result_free(struct run_result *result)
{
    free(result->out);
    free(result->errors);
}

struct run_result run_expecting(const char *command, const struct run_hooks *hooks,
                                int expected_code, int line)
{
    struct run_result result = run_tool(command, hooks);

    if (result.code != expected_code)
        ck_abort_msg("line %d: '%s' gave %d, not %d\n%s%s", line, command, result.code,
                     expected_code, result.out, result.errors);
    return result;
}

void make_file(const char *path, size_t size, unsigned char byte)
{
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < size; i++)
        putc(byte + (int)(i / 512) % 7, file);
    ck_assert_int_eq(fclose(file), 0);
}

unsigned char *load_file(const char *path, size_t *size)
{
    struct stat status;
    unsigned char *data;

    ck_assert_int_eq(stat(path, &status), 0);
    *size = (size_t)status.st_size;
    data = malloc(*size + 1);
    load_bytes(path, data, *size, 0);
    return data;
}

void load_bytes(const char *path, void *data, size_t size, uint64_t offset)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, data, size, (off_t)offset), (ssize_t)size);
    close(fd);
}

void store_bytes(const char *path, const void *data, size_t size, uint64_t offset)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, data, size, (off_t)offset), (ssize_t)size);
    ck_assert_int_eq(fsync(fd), 0);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failures;

    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
