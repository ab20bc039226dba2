/* SPDX-License-Identifier: MIT */
/*
 * engine_bench.h - what tests of an engine share: a file and memory around it, its calls with what
 * holds of each, a thread that reaps, and the checks of what a ring, a wake or a crowd may do to it
 * that more than one engine goes through.
 */
#ifndef AIOFILE_TEST_ENGINE_BENCH_H
#define AIOFILE_TEST_ENGINE_BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#include "engine.h"
#include "support.h"

/* The file's name, its pages, and the seed of its pattern. */
#define BENCH_FILE "data"
#define BENCH_BLOCKS 256u
#define BENCH_SEED 77

/* Tags that may be in flight through these calls. */
#define BENCH_TAGS 1024u

/* --- an engine and a file ------------------------------------------------------------------- */

/* A direct file of the pattern, and a page of memory for each tag. */
struct bench {
    struct engine *engine;
    uint32_t depth;
    int fd;
    unsigned char *memory;
    bool may_be_full; /* submit may find no room though there is some: it is tried again */
};

/* Around an engine that was just made; bench_close() destroys it. */
struct bench bench_around(struct engine *engine);
void bench_close(struct bench *bench);

unsigned char *bench_memory(const struct bench *bench, uint32_t tag);

/* A transfer of a block of the file, from or to the memory of its tag. */
struct engine_io bench_io(const struct bench *bench, uint8_t opcode, uint32_t tag, unsigned block);
struct engine_io bench_read(const struct bench *bench, uint32_t tag, unsigned block);

/* Reads with the first tags, each of the block of its number; past the last it begins again. */
void bench_read_first(const struct bench *bench, struct engine_io *ios, uint32_t count);

/* --- its calls ------------------------------------------------------------------------------ */

/* Starts transfers, all of them, in as many calls as it takes. */
void bench_submit(const struct bench *bench, struct engine_io *ios, unsigned count);

/* What reap may always say, with any arguments, is seen to: a number, or -EINTR. */
int bench_reap(const struct bench *bench, struct engine_event *events, unsigned min, unsigned max,
               const struct timespec *timeout);

/* Takes so many events, each of another tag, into results by tag; min for each reap. */
void bench_collect_by(const struct bench *bench, int64_t *results, unsigned count, unsigned min);
void bench_collect(const struct bench *bench, int64_t *results, unsigned count);

/* One transfer through submit and reap. */
int64_t bench_transfer(const struct bench *bench, struct engine_io *io);

/* Waits in vain for min events, for all its time, and gets so many. */
void bench_reap_in_vain(const struct bench *bench, unsigned min, unsigned expected);

/* Sees that there is nothing, now or soon. */
void bench_expect_nothing(const struct bench *bench);

/* Reaps until one has slept for all its time, and says how many wakes ended before. */
unsigned bench_settle(const struct bench *bench);

/* Wakes, however often that has to be tried. */
void bench_wake(const struct bench *bench, unsigned sleeping_for);

int64_t bench_cancel(const struct bench *bench, uint32_t tag);

/* --- a thread that reaps -------------------------------------------------------------------- */

struct bench_reaper {
    pthread_t thread;
    const struct bench *bench;
    unsigned min;
    struct engine_event events[ENGINE_BATCH];
    int result;
    atomic_int number; /* of the thread, as it goes into reap; 0 before */
    atomic_bool done;
};

/* Starts one that reaps; it sleeps when this returns, and goes on sleeping by itself. */
void bench_reaper_begin(struct bench_reaper *reaper, const struct bench *bench, unsigned min);

/* What its reap returned. */
int bench_reaper_end(struct bench_reaper *reaper);

/* --- checks --------------------------------------------------------------------------------- */

/* More events than a ring has places go through it, a different number each time, so that its end
 * falls anywhere in a round. */
void check_events_come_round(const struct bench *bench, uint64_t *state);

/* What is left in a ring stays for the next time. A depth of 10 at least. */
void check_reap_takes_no_more(const struct bench *bench);

/* Of four reads one is bad: submit starts those before it, then refuses it, with this error. */
void check_bad_one_stops(const struct bench *bench, struct engine_io ios[4], unsigned bad,
                         int error);

/* Events that come one by one, before and after the reap that wants min of them went to sleep. */
void check_reap_waits_for(const struct bench *bench, unsigned min);

/* The mins of reaps that are to be woken. */
extern const unsigned wake_mins[];
enum { WAKE_MINS = 4 };

/* A wake that is found before sleeping means not sleeping. */
void check_reap_is_woken_early(const struct bench *bench);

/* The wake comes at any moment of the way into sleep. */
void check_no_wake_is_lost(const struct bench *bench);

/* A signal may end a reap early, with what there is; it neither loses events nor makes it sleep
 * through those that follow. Of three reads some are submitted before it, the others after it.
 * Returns what the reap returned. */
int check_signal(const struct bench *bench, unsigned before, int flags);

/* Many threads submit and see what they get while one reaps; another one wakes it, and lets a file
 * be known and forgotten all the time. A depth of CROWD_TAGS. */
enum { CROWD_SUBMITTERS = 3, CROWD_TAGS_EACH = 16 };
#define CROWD_TAGS ((unsigned)(CROWD_SUBMITTERS * CROWD_TAGS_EACH))
void check_crowd(const struct bench *bench);

/* --- refusals ------------------------------------------------------------------------------- */

enum { REFUSAL_WORDS = 3 };

/* Sees that there was one sentence, of an error, that has these words. */
void expect_refusal(struct log_kept *log, const char *const words[REFUSAL_WORDS]);

/* --- limits --------------------------------------------------------------------------------- */

/* So many descriptors are left from now on. Returns the limit as it was. */
struct rlimit leave_descriptors(unsigned count);

#endif
