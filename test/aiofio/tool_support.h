/* SPDX-License-Identifier: MIT */
/*
 * tool_support.h - running aiofio inside a test: a folder for its files, its output as text, and
 * files to compare.
 */
#ifndef AIOFIO_TOOL_SUPPORT_H
#define AIOFIO_TOOL_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runner.h"

/* What a run left. The texts are the caller's to free with run_result_free(). */
struct run_result {
    int code;
    char *out;
    char *errors;
};

/* Makes a folder below ${TMPDIR:-/var/tmp} and makes it the current one; leave_folder() removes it
 * with all that is in it. Fixtures of check: unchecked around a test case. */
void enter_folder(void);
void leave_folder(void);

/* "1" where the folder's file system takes O_DIRECT, else "0". */
const char *direct_works(void);

/* Runs aiofio on a command line: words parted by blanks, "%d" for direct_works(). */
struct run_result run_tool(const char *command, const struct run_hooks *hooks);
void run_result_free(struct run_result *result);

/* Runs it and requires the code; on a difference the output is in the message. */
#define RUN(command, expected_code) run_expecting(command, NULL, expected_code, __LINE__)
#define RUN_HOOKED(command, hooks, expected_code)                                                  \
    run_expecting(command, hooks, expected_code, __LINE__)
struct run_result run_expecting(const char *command, const struct run_hooks *hooks,
                                int expected_code, int line);

/* Requires that a text is in another. */
#define REQUIRE_TEXT(text, part)                                                                   \
    ck_assert_msg(strstr(text, part) != NULL, "'%s' is not in:\n%s", part, text)
#define REQUIRE_NO_TEXT(text, part)                                                                \
    ck_assert_msg(strstr(text, part) == NULL, "'%s' is in:\n%s", part, text)

/* Whole files, bytes of files. */
void make_file(const char *path, size_t size, unsigned char byte);
unsigned char *load_file(const char *path, size_t *size);
void load_bytes(const char *path, void *data, size_t size, uint64_t offset);
void store_bytes(const char *path, const void *data, size_t size, uint64_t offset);

/* Runs a suite as the program's main() does. */
int run_suite(Suite *suite);

#endif
