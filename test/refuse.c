/* SPDX-License-Identifier: MIT */
/*
 * refuse.c - runs a program in a sandbox that refuses some system calls with ENOSYS:
 *
 *   refuse io_setup io_uring_setup -- program argument...
 *
 * Its exit status is the program's; 77, with the reason, where no sandbox can be had.
 */
#include "refuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int number;
} known[] = {
    {"io_setup", SYS_io_setup},
    {"io_uring_setup", SYS_io_uring_setup},
};

static int number_of(const char *name)
{
    for (size_t index = 0; index < sizeof(known) / sizeof(known[0]); index++)
        if (strcmp(known[index].name, name) == 0)
            return known[index].number;
    return -1;
}

int main(int argc, char **argv)
{
    int calls[REFUSE_MAX];
    unsigned count = 0;
    int next = 1;
    int error;

    for (; next < argc && strcmp(argv[next], "--") != 0; next++) {
        if (count == REFUSE_MAX || number_of(argv[next]) < 0) {
            fprintf(stderr, "refuse: no such system call is known here: %s\n", argv[next]);
            return EXIT_FAILURE;
        }
        calls[count++] = number_of(argv[next]);
    }
    if (count == 0 || next + 1 >= argc) {
        fprintf(stderr, "usage: refuse CALL... -- PROGRAM [ARGUMENT]...\n");
        return EXIT_FAILURE;
    }
    error = refuse_calls(calls, count, ENOSYS);
    if (error != 0) {
        printf("No sandbox can be had here: %s\n", strerror(-error));
        return 77;
    }
    execv(argv[next + 1], argv + next + 1);
    perror(argv[next + 1]);
    return EXIT_FAILURE;
}
