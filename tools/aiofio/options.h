/* SPDX-License-Identifier: MIT */
/*
 * options.h - what a job can be told, as one table: name, type, range, default, help, function.
 *
 * The job file parser, the command line and the help all read this table. Defaults are fio's.
 */
#ifndef AIOFIO_OPTIONS_H
#define AIOFIO_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "given.h"
#include "text.h"

/* What a job does. */
enum rw_choice {
    WORKLOAD_READ,
    WORKLOAD_WRITE,
    WORKLOAD_RANDREAD,
    WORKLOAD_RANDWRITE,
    WORKLOAD_RW,
    WORKLOAD_RANDRW,
    WORKLOAD_APPEND,
};

/* How a job reaches the disk. */
enum engine_choice {
    ENGINE_BLOCKING,   /* aio_file_pread() and aio_file_pwrite(), one at a time */
    ENGINE_QUEUE_KAIO, /* an aio_queue on kernel AIO */
    ENGINE_QUEUE_URING,
    ENGINE_QUEUE_THREADS,
    ENGINE_QUEUE_SYNC, /* an aio_queue that executes at submit: the queue without asynchrony */
};

enum verify_choice { VERIFY_NONE, VERIFY_CRC32C };

/* By direction: read, write, trim. */
#define OPTION_DIRECTIONS 3u

/* Marks a percentage where a number of bytes could be, too. */
#define OPTION_PERCENT (UINT64_C(1) << 63)

enum rate_process_choice { RATE_LINEAR, RATE_POISSON };
enum thinktime_choice { THINKTIME_COMPLETE, THINKTIME_ISSUE };

/* Which jobs exitall ends: those reported together, those of the same stage, or all. */
enum exit_choice { EXIT_WHAT_GROUP, EXIT_WHAT_STAGE, EXIT_WHAT_ALL };
enum cpus_choice { CPUS_SHARED, CPUS_SPLIT };
enum sync_choice { SYNC_NONE, SYNC_FILE, SYNC_DATA };
enum service_choice { SERVICE_ROUNDROBIN, SERVICE_RANDOM, SERVICE_SEQUENTIAL };
enum share_choice { SHARE_NOTHING, SHARE_FILE, SHARE_QUEUE };
enum fallocate_choice {
    FALLOCATE_NATIVE,
    FALLOCATE_NONE,
    FALLOCATE_POSIX,
    FALLOCATE_KEEP,
    FALLOCATE_TRUNCATE,
};

#define RANDSEED_INITIAL 137u

/* What the operations of a run at one random place do: see rw_sequencer. */
enum sequencer_choice { SEQUENCER_SEQUENTIAL, SEQUENCER_IDENTICAL };

/* Whether reads and writes are reported apart, as one, or both. */
enum unified_choice { UNIFIED_NONE, UNIFIED_MIXED, UNIFIED_BOTH };

/* What a row of a log says of a window of time. */
enum log_window_choice { LOG_WINDOW_AVERAGE, LOG_WINDOW_MAX, LOG_WINDOW_BOTH };

/* The options of one job. Every number is a uint64_t so that a table row can name its place. */
struct job_options {
    char *name;
    char *description;
    char *filename;
    char *directory;
    uint64_t rw;
    uint64_t bs;
    uint64_t size; /* 0: the whole existing file */
    uint64_t offset;
    uint64_t rwmixread;
    uint64_t ioengine;
    uint64_t iodepth;
    uint64_t iodepth_batch; /* 0: as many as there is room for */
    uint64_t direct;
    uint64_t numjobs;
    uint64_t group_reporting;
    uint64_t stonewall;
    uint64_t runtime_us; /* 0: no limit */
    uint64_t time_based;
    uint64_t fsync;
    uint64_t fdatasync;
    uint64_t end_fsync;
    uint64_t verify;
    uint64_t do_verify;
    uint64_t randseed;
    uint64_t overwrite;
    uint64_t unlink;
    char *x_journal;
    uint64_t kb_base;      /* 1024 or 1000: how sizes are read */
    char *percentile_list; /* NULL: fio's own */
    uint64_t clat_percentiles;
    uint64_t lat_percentiles;
    uint64_t slat_percentiles;
    uint64_t disable_lat;
    uint64_t disable_clat;
    uint64_t disable_slat;
    uint64_t disable_bw;
    uint64_t gtod_reduce;
    uint64_t unified_rw_reporting;
    uint64_t bwavgtime_us;
    uint64_t iopsavgtime_us;
    char *write_bw_log; /* prefixes of files: NULL for no log, "" for the name of the job */
    char *write_lat_log;
    char *write_iops_log;
    char *write_hist_log;
    uint64_t log_avg_us; /* 0: every operation */
    uint64_t log_hist_us;
    uint64_t log_hist_coarseness;
    uint64_t log_window_value;
    uint64_t log_offset;
    uint64_t per_job_logs;
    struct given_list given;

    /* What a job does, in detail. Lists are by direction: read, write, trim. */
    uint64_t bs_list[OPTION_DIRECTIONS]; /* bs above becomes the largest size of all */
    char *bsrange;
    char *bssplit;
    uint64_t bs_unaligned;
    uint64_t blockalign[OPTION_DIRECTIONS];
    uint64_t io_size; /* 0: as size says */
    uint64_t filesize;
    uint64_t offset_increment;
    uint64_t number_ios;
    uint64_t loops;
    uint64_t rw_run; /* rand*:N; 0: none */
    int64_t rw_hole; /* bytes; 0: none */
    uint64_t rw_sequencer;
    uint64_t percentage_random[OPTION_DIRECTIONS];
    uint64_t norandommap;
    uint64_t softrandommap;
    uint64_t random_generator;
    char *random_distribution;
    uint64_t randrepeat;
    uint64_t allrandrepeat;
    uint64_t iodepth_batch_complete_min;
    uint64_t iodepth_batch_complete_max; /* 0: what is there */
    uint64_t iodepth_low;                /* 0: iodepth */

    /* When it does it. Rates are a second; 0: as fast as it goes. */
    uint64_t rate[OPTION_DIRECTIONS];
    uint64_t rate_iops[OPTION_DIRECTIONS];
    uint64_t rate_min[OPTION_DIRECTIONS];
    uint64_t rate_iops_min[OPTION_DIRECTIONS];
    uint64_t rate_process;
    uint64_t rate_cycle_us;
    uint64_t thinktime_us;
    uint64_t thinktime_blocks;
    uint64_t thinktime_blocks_type;
    char *startdelay;
    uint64_t ramp_time_us;
    uint64_t max_latency_us;

    /* Beside which other jobs, and on what files. */
    char *wait_for;
    uint64_t exitall;
    uint64_t exit_what;
    uint64_t new_group;
    char *cpus_allowed;
    uint64_t cpus_allowed_policy;
    uint64_t sync;
    uint64_t fsync_on_close;
    uint64_t create_only;
    uint64_t allow_file_create;
    uint64_t fallocate;
    uint64_t nrfiles;
    uint64_t file_service_type;
    uint64_t service_turn; /* operations on a file until the next */
    char *filename_format;

    /* What is written. */
    uint64_t zero_buffers;
    uint64_t refill_buffers;
    uint64_t scramble_buffers;
    char *buffer_pattern;
    uint64_t buffer_compress_percentage;
    uint64_t buffer_compress_chunk;
    uint64_t x_group_commit; /* 0: none */
    uint64_t x_share;
};

/* A word that an option accepts. */
struct option_choice {
    const char *name;
    uint64_t value;
    bool refused;     /* fio has it, this version does not */
    const char *help; /* of a refused one: the reason, a main clause, or NULL */
};

struct option {
    const char *name;
    const char *alias;   /* NULL: none */
    const char *type;    /* for the help */
    size_t field;        /* offset in struct job_options */
    uint64_t least;      /* range of numbers */
    uint64_t most;       /* 0: unlimited */
    const char *initial; /* NULL: none */
    const struct option_choice *choices;
    bool flag; /* may stand alone */
    const char *help;
    int (*set)(const struct option *option, struct job_options *job, const char *value,
               struct message *message);
};

/* The table; its last row has no name. */
extern const struct option option_table[];

void job_options_init(struct job_options *job);
void job_options_copy(struct job_options *to, const struct job_options *from);
void job_options_free(struct job_options *job);

/* The row of that name or alias, or NULL. */
const struct option *option_find(const char *name);

/* Sets one option, ours or one that fio has and that is ignored or refused (message->refused);
 * value NULL when the word stood alone. 0, or -1 with a reason. */
int option_set(struct job_options *job, const char *name, const char *value,
               struct message *message);

/* Whether it is set before the others of its section, wherever it stands, since they depend on it.
 */
bool option_is_early(const struct option *option);

/* Whether its value may be an expression. */
bool option_is_numeric(const struct option *option);

/* Says that a name is unknown: a typo of the nearest name, where others (NULL-terminated, or NULL)
 * could have been meant, too. Returns -1. */
int option_refuse_name(const char *name, const char *const *others, struct message *message);

/* Finds the number of a word, the first length bytes of value, that the option accepts. 0, or -1
 * with a reason. */
int option_choose(const struct option *option, const char *value, size_t length, uint64_t *chosen,
                  struct message *message);

/* The word for a number of an option with choices ("randwrite", "kaio"). */
const char *option_choice_name(const char *option, uint64_t value);

#endif
