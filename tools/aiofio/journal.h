/* SPDX-License-Identifier: MIT */
/*
 * journal.h - what was written, synced and in flight, kept where it outlives the process.
 *
 * The journal (x_journal=FILE) is a shared mapping that holds the table of expectations itself, so
 * that a write is in it before it is submitted: whatever ends the process, kill -9 included, the
 * kernel still has the pages. It has 16 bytes for each block. It does not outlive the machine, as
 * nothing waits until it is on the disk, unless the machine that ends is another one.
 *
 * Beside the expectation each block has a mark: which generation a completed sync has covered for
 * sure, and when the last write completed, counted in syncs. That a write is durable is known
 * without looking at all blocks at each sync: its count is not above that of the last sync done.
 */
#ifndef AIOFIO_JOURNAL_H
#define AIOFIO_JOURNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "plan.h"

/* How the file begins; the records of its files follow, then their tables. The machine's byte
 * order, which the magic number shows. */
struct journal_header {
    uint64_t magic;
    uint32_t version;
    uint32_t file_count;
    uint64_t size;  /* of the journal in bytes */
    uint64_t run;   /* as in the stamps */
    char boot[40];  /* the kernel's name for this boot; "" where it has none */
    uint32_t ended; /* the run came to its end */
    uint32_t unused;
};

/* A file that is written. */
struct journal_record {
    char path[4096]; /* absolute */
    uint64_t device;
    uint64_t inode;
    uint64_t count;     /* blocks */
    uint64_t blocks_at; /* where its expectations are in the journal, bytes */
    uint64_t marks_at;
    uint32_t number;          /* as in the stamps */
    uint32_t block;           /* bytes */
    _Atomic uint64_t epoch;   /* syncs begun, from 1 */
    _Atomic uint64_t durable; /* the last epoch that a completed sync covers */
};

struct journal {
    char *path;
    struct journal_header *header; /* the mapping; NULL: there is no journal */
    struct journal_record *records;
};

/* One file of the run. Lock guards that a block's mark and its expectation change together. */
struct journal_file {
    struct journal_record *record;
    _Atomic uint64_t *marks;
    pthread_mutex_t lock;
};

/* Makes the journal that the jobs name, if any does, and moves the expectations of their files into
 * it. Only a journal whose run came to its end is replaced. 0, or -1 with a reason. */
int journal_create(struct journal *journal, struct plan *plan, uint64_t run,
                   struct message *message);

/* Notes which files they are, once they are made. */
void journal_note_files(const struct plan *plan);

/* Notes that the run has ended; the journal stays. The plan's files lose their expectations. */
void journal_end(struct journal *journal, struct plan *plan);

/* A write of a block has completed. */
void journal_write_end(struct target *target, uint64_t block, bool succeeded);

/* A sync is about to be submitted; what it returns is for journal_sync_end() when it succeeded.
 * Targets without a journal will do. */
uint64_t journal_sync_begin(struct target *target);
void journal_sync_end(struct target *target, uint64_t epoch);

/* --- reading -------------------------------------------------------------------------------- */

/* Maps an existing journal. What is changed in memory stays there. 0, or -1 with a reason. */
int journal_open(struct journal *journal, const char *path, struct message *message);
void journal_close(struct journal *journal);

/* Whether the machine has not been restarted since. */
bool journal_is_of_this_boot(const struct journal *journal);

/* What became of the last write of a block. */
enum journal_class {
    JOURNAL_UNWRITTEN, /* there was none */
    JOURNAL_DURABLE,   /* a sync covers it */
    JOURNAL_COMPLETED, /* no sync does */
    JOURNAL_IN_FLIGHT, /* it had not completed */
    JOURNAL_CLASS_COUNT,
};

/* Sets the target up to be read as the journal describes the file of that index. After a loss of
 * power (cut) only what is durable has to be there. The target is for this alone, and not freed. */
void journal_target(const struct journal *journal, unsigned index, bool cut, struct target *target);

enum journal_class journal_class(const struct journal *journal, unsigned index, uint64_t block);

#endif
