/* SPDX-License-Identifier: MIT */
/*
 * judge.c - what the modes of the differential test share.
 */
#include "judge.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTES 24 /* kept of each thread */
#define NOTE_LENGTH 200
#define WATCH_SECONDS 5 /* between two looks */

struct run the_run = {.direct = -1, .unaligned = -1};

/* --- the end -------------------------------------------------------------------------------- */

struct notes {
    char lines[NOTES][NOTE_LENGTH];
    uint64_t count;
};

static _Thread_local struct notes notes;

void note(const char *format, ...)
{
    char *line = notes.lines[notes.count++ % NOTES];
    int length = snprintf(line, NOTE_LENGTH, "%llu: ", (unsigned long long)the_run.step);
    va_list values;

    va_start(values, format);
    vsnprintf(line + length, NOTE_LENGTH - (size_t)length, format, values);
    va_end(values);
    if (the_run.verbose)
        puts(line);
}

/* Only with calls that a signal handler may use. */
void scratch_remove(void)
{
    int directory;

    if (the_run.scratch[0] == '\0')
        return;
    directory = open(the_run.scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
    unlinkat(directory, SUBJECT, 0);
    unlinkat(directory, TWIN, 0);
    rmdir(the_run.scratch);
    the_run.scratch[0] = '\0';
}

static void end_by_signal(int number)
{
    scratch_remove();
    _exit(128 + number);
}

void scratch_remove_on_signals(void)
{
    signal(SIGINT, end_by_signal);
    signal(SIGTERM, end_by_signal);
    signal(SIGHUP, end_by_signal);
}

/* The line that runs the same again. */
static void print_command(void)
{
    static const char *const directs[] = {"required", "strict", "preferred", "never"};
    static const char *const unaligned[] = {"default", "reject", "page-cache"};

    printf("again: %s %s --mode %s --seed %llu --ops %llu", the_run.program, the_run.engine_text,
           the_run.mode, (unsigned long long)the_run.seed, (unsigned long long)the_run.operations);
    if (the_run.directory != NULL)
        printf(" --dir %s", the_run.directory);
    if (the_run.device != NULL)
        printf(" --device %s", the_run.device);
    if (the_run.direct >= 0)
        printf(" --direct %s", directs[the_run.direct]);
    if (the_run.unaligned >= 0)
        printf(" --unaligned %s", unaligned[the_run.unaligned]);
    if (the_run.memory != 0)
        printf(" --memory %u", the_run.memory);
    if (the_run.without_grow_ahead)
        printf(" --without grow-ahead");
    if (the_run.without_append_mode)
        printf(" --without append-mode");
    putchar('\n');
}

_Noreturn void disagree(const char *format, ...)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    uint64_t first = notes.count > NOTES ? notes.count - NOTES : 0;
    va_list values;

    /* Kept: the first one ends the program. */
    pthread_mutex_lock(&once);
    if (!the_run.verbose)
        for (uint64_t index = first; index < notes.count; index++)
            puts(notes.lines[index % NOTES]);
    printf("DISAGREE engine %s, mode %s, seed %llu, step %llu: ", the_run.engine_text, the_run.mode,
           (unsigned long long)the_run.seed, (unsigned long long)the_run.step);
    va_start(values, format);
    vprintf(format, values);
    va_end(values);
    putchar('\n');
    print_command();
    fflush(NULL);
    scratch_remove();
    _exit(EXIT_FAILURE);
}

/* --- comparing ------------------------------------------------------------------------------ */

void step(void)
{
    atomic_fetch_add(&the_run.step, 1);
}

int64_t ask_result(int64_t result, const char *call)
{
    if (errno != ERRNO_MARK)
        disagree("%s set errno to %d", call, errno);
    return result;
}

static const char *number_text(int64_t number, char *text, size_t size)
{
    const char *name = number < 0 && number > -4096 ? strerrorname_np((int)-number) : NULL;

    if (name != NULL)
        snprintf(text, size, "-%s", name);
    else
        snprintf(text, size, "%lld", (long long)number);
    return text;
}

void agree(const char *what, int64_t found, int64_t expected)
{
    char left[32];
    char right[32];

    if (found != expected)
        disagree("%s gives %s, not %s", what, number_text(found, left, sizeof(left)),
                 number_text(expected, right, sizeof(right)));
}

void agree_bytes(const char *what, const unsigned char *found, const unsigned char *expected,
                 uint64_t length, uint64_t offset)
{
    uint64_t first = 0;
    uint64_t wrong = 0;
    uint64_t last = 0;

    if (length == 0 || memcmp(found, expected, length) == 0)
        return;
    while (found[first] == expected[first])
        first++;
    for (uint64_t index = first; index < length; index++) {
        if (found[index] != expected[index]) {
            wrong++;
            last = index;
        }
    }
    disagree("%s of %llu bytes at %llu: %llu bytes differ from offset %llu to %llu, the first is "
             "0x%02x, not 0x%02x",
             what, (unsigned long long)length, (unsigned long long)offset,
             (unsigned long long)wrong, (unsigned long long)(offset + first),
             (unsigned long long)(offset + last), found[first], expected[first]);
}

void must(bool worked, const char *what)
{
    if (!worked)
        disagree("the test itself could not %s: %s", what, strerror(errno));
}

/* --- choices -------------------------------------------------------------------------------- */

uint64_t below(uint64_t *random, uint64_t limit)
{
    return random_next(random) % limit;
}

bool one_in(uint64_t *random, unsigned count)
{
    return below(random, count) == 0;
}

/* --- the watch ------------------------------------------------------------------------------ */

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
} watch;

static void *watch_body(void *unused)
{
    unsigned patience = 40 * slowness();
    unsigned long long seen = the_run.step;
    unsigned seconds = 0;
    struct timespec until;

    pthread_mutex_lock(&watch.lock);
    while (!watch.over) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += WATCH_SECONDS;
        if (pthread_cond_timedwait(&watch.changed, &watch.lock, &until) == 0)
            continue;
        seconds = seen == the_run.step ? seconds + WATCH_SECONDS : 0;
        seen = the_run.step;
        if (seconds >= patience)
            disagree("nothing has begun for %u seconds", seconds);
    }
    pthread_mutex_unlock(&watch.lock);
    return unused;
}

void watch_begin(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&watch.lock, NULL);
    watch.over = false;
    thread_begin(&watch.thread, watch_body, NULL);
}

void watch_end(void)
{
    pthread_mutex_lock(&watch.lock);
    watch.over = true;
    pthread_cond_signal(&watch.changed);
    pthread_mutex_unlock(&watch.lock);
    thread_end(watch.thread);
    pthread_cond_destroy(&watch.changed);
    pthread_mutex_destroy(&watch.lock);
}
