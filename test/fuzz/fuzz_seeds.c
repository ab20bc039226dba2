/* SPDX-License-Identifier: MIT */
/*
 * fuzz_seeds.c - runs the fuzz target without libFuzzer, with any compiler: on every file of the
 * folders that are its arguments, and on every beginning of it.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_parse.h"

/* A seed that is longer is only run as a whole. */
#define BEGINNINGS_MAX 4096

static int run_file(const char *path)
{
    FILE *file = fopen(path, "re");
    uint8_t *data = malloc(1 << 20);
    size_t size;

    if (!file || !data) {
        perror(path);
        return -1;
    }
    size = fread(data, 1, 1 << 20, file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    for (size_t length = 0; size <= BEGINNINGS_MAX && length < size; length++)
        LLVMFuzzerTestOneInput(data, length);
    free(data);
    return 0;
}

/* The number of files, or -1. */
static int run_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (!folder) {
        perror(path);
        return -1;
    }
    while (count >= 0 && (entry = readdir(folder)) != NULL) {
        char name[4096];

        if (entry->d_name[0] == '.' || entry->d_type == DT_DIR)
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        count = run_file(name) == 0 ? count + 1 : -1;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    if (!freopen("/dev/null", "r", stdin))
        return EXIT_FAILURE;
    for (int i = 1; i < argc; i++) {
        int count = run_folder(argv[i]);

        if (count <= 0) {
            fprintf(stderr, "%s: no seeds were run\n", argv[i]);
            return EXIT_FAILURE;
        }
        total += count;
    }
    printf("%d seeds and their beginnings\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
