/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fio_names.h"
#include "option_values.h"
#include "percentile_list.h"
#include "units.h"

static const struct option_choice rw_choices[] = {
    {"read", WORKLOAD_READ, false, "sequential reads"},
    {"write", WORKLOAD_WRITE, false, "sequential writes"},
    {"randread", WORKLOAD_RANDREAD, false, "random reads, every block once per pass"},
    {"randwrite", WORKLOAD_RANDWRITE, false, "random writes, every block once per pass"},
    {"rw", WORKLOAD_RW, false, "sequential reads and writes"},
    {"readwrite", WORKLOAD_RW, false, "the same as rw"},
    {"randrw", WORKLOAD_RANDRW, false, "random reads and writes"},
    {"append", WORKLOAD_APPEND, false, "writes at the end of the file, of any size (not in fio)"},
    {"trim", 0, true, NULL},
    {"randtrim", 0, true, NULL},
    {"trimwrite", 0, true, NULL},
    {"randtrimwrite", 0, true, NULL},
    {NULL, 0, false, NULL},
};

static const struct option_choice engine_choices[] = {
    {"kaio", ENGINE_QUEUE_KAIO, false, "struct aio_queue on Linux kernel AIO"},
    {"libaio", ENGINE_QUEUE_KAIO, false, "the same as kaio"},
    {"aiofile:kaio", ENGINE_QUEUE_KAIO, false, "the same as kaio"},
    {"sync", ENGINE_BLOCKING, false, "blocking calls of struct aio_file, depth 1"},
    {"psync", ENGINE_BLOCKING, false, "the same as sync"},
    {"vsync", ENGINE_BLOCKING, true, NULL},
    {"pvsync", ENGINE_BLOCKING, true, NULL},
    {"pvsync2", ENGINE_BLOCKING, true, NULL},
    {"aiofile:sync", ENGINE_QUEUE_SYNC, false, "struct aio_queue that executes at submit"},
    {"io_uring", ENGINE_QUEUE_URING, false, "struct aio_queue on io_uring"},
    {"aiofile:io_uring", ENGINE_QUEUE_URING, false, "the same as io_uring"},
    {"aiofile:threads", ENGINE_QUEUE_THREADS, false, "struct aio_queue on a pool of threads"},
    {"posixaio", 0, true, NULL},
    {"mmap", 0, true, NULL},
    {"null", 0, true, NULL},
    {"splice", 0, true, NULL},
    {"cpuio", 0, true, NULL},
    {"dev-dax", 0, true, NULL},
    {"dfs", 0, true, NULL},
    {"e4defrag", 0, true, NULL},
    {"exec", 0, true, NULL},
    {"external", 0, true, NULL},
    {"falloc", 0, true, NULL},
    {"filecreate", 0, true, NULL},
    {"filedelete", 0, true, NULL},
    {"filestat", 0, true, NULL},
    {"ftruncate", 0, true, NULL},
    {"gfapi", 0, true, NULL},
    {"gfapi_async", 0, true, NULL},
    {"http", 0, true, NULL},
    {"io_uring_cmd", 0, true, NULL},
    {"libblkio", 0, true, NULL},
    {"libhdfs", 0, true, NULL},
    {"libiscsi", 0, true, NULL},
    {"libpmem", 0, true, NULL},
    {"mtd", 0, true, NULL},
    {"nbd", 0, true, NULL},
    {"net", 0, true, NULL},
    {"netsplice", 0, true, NULL},
    {"nfs", 0, true, NULL},
    {"pmemblk", 0, true, NULL},
    {"rados", 0, true, NULL},
    {"rbd", 0, true, NULL},
    {"rdma", 0, true, NULL},
    {"sg", 0, true, NULL},
    {"solarisaio", 0, true, NULL},
    {"spdk", 0, true, NULL},
    {"windowsaio", 0, true, NULL},
    {"xnvme", 0, true, NULL},
    {NULL, 0, false, NULL},
};

static const struct option_choice verify_choices[] = {
    {"crc32c", VERIFY_CRC32C, false, "stamp what is written, check every read"},
    {"none", VERIFY_NONE, false, "no stamps, no checks"},
    {"0", VERIFY_NONE, false, "the same as none"},
    {"crc32c-intel", VERIFY_CRC32C, false, "the same as crc32c"},
    {"crc7", 0, true, NULL},
    {"crc16", 0, true, NULL},
    {"crc32", 0, true, NULL},
    {"crc64", 0, true, NULL},
    {"md5", 0, true, NULL},
    {"sha1", 0, true, NULL},
    {"sha256", 0, true, NULL},
    {"sha512", 0, true, NULL},
    {"sha3-224", 0, true, NULL},
    {"sha3-256", 0, true, NULL},
    {"sha3-384", 0, true, NULL},
    {"sha3-512", 0, true, NULL},
    {"xxhash", 0, true, NULL},
    {"meta", 0, true, NULL},
    {"pattern", 0, true, NULL},
    {"pattern_hdr", 0, true, NULL},
    {"null", 0, true, NULL},
    {NULL, 0, false, NULL},
};

static const struct option_choice kb_base_choices[] = {
    {"1024", 1024, false, "k is 1024 and kib is 1000, as fio has it"},
    {"1000", 1000, false, "k is 1000 and kib is 1024, as the standards have it"},
    {NULL, 0, false, NULL},
};

static const struct option_choice sequencer_choices[] = {
    {"sequential", SEQUENCER_SEQUENTIAL, false, "one after the other from there on"},
    {"identical", SEQUENCER_IDENTICAL, false, "all at the same offset"},
    {NULL, 0, false, NULL},
};

static const struct option_choice generator_choices[] = {
    {"permutation", 0, false, "every block once per pass, in constant memory"},
    {"tausworthe", 0, false, "accepted; the same permutation"},
    {"tausworthe64", 0, false, "accepted; the same permutation"},
    {"lfsr", 0, false, "accepted; the same permutation"},
    {NULL, 0, false, NULL},
};

static const struct option_choice rate_process_choices[] = {
    {"linear", RATE_LINEAR, false, "at even distances"},
    {"poisson", RATE_POISSON, false, "at random distances, as of requests from many users"},
    {NULL, 0, false, NULL},
};

static const struct option_choice thinktime_choices[] = {
    {"complete", THINKTIME_COMPLETE, false, "when all that is in flight has completed"},
    {"issue", THINKTIME_ISSUE, false, "at once"},
    {NULL, 0, false, NULL},
};

static const struct option_choice unified_choices[] = {
    {"none", UNIFIED_NONE, false, "reads and writes apart"},
    {"mixed", UNIFIED_MIXED, false, "reads and writes as one"},
    {"both", UNIFIED_BOTH, false, "apart, and as one"},
    {"0", UNIFIED_NONE, false, "the same as none"},
    {"1", UNIFIED_MIXED, false, "the same as mixed"},
    {"2", UNIFIED_BOTH, false, "the same as both"},
    {NULL, 0, false, NULL},
};

static const struct option_choice log_window_choices[] = {
    {"avg", LOG_WINDOW_AVERAGE, false, "the average"},
    {"max", LOG_WINDOW_MAX, false, "the largest"},
    {"both", LOG_WINDOW_BOTH, false, "the average, and the largest in a column of its own"},
    {"0", LOG_WINDOW_AVERAGE, false, "the same as avg"},
    {"1", LOG_WINDOW_MAX, false, "the same as max"},
    {NULL, 0, false, NULL},
};

static const struct option_choice exit_choices[] = {
    {"group", EXIT_WHAT_GROUP, false, "the jobs of the same group"},
    {"stonewall", EXIT_WHAT_STAGE, false, "the jobs up to the next stonewall"},
    {"all", EXIT_WHAT_ALL, false, "all jobs, those to come too"},
    {NULL, 0, false, NULL},
};

static const struct option_choice cpus_choices[] = {
    {"shared", CPUS_SHARED, false, "each clone on all of them"},
    {"split", CPUS_SPLIT, false, "each clone on one, in turn"},
    {NULL, 0, false, NULL},
};

static const struct option_choice sync_choices[] = {
    {"none", SYNC_NONE, false, "writes complete when they are written"},
    {"0", SYNC_NONE, false, "the same as none"},
    {"sync", SYNC_FILE, false, "O_SYNC"},
    {"1", SYNC_FILE, false, "the same as sync"},
    {"dsync", SYNC_DATA, false, "O_DSYNC"},
    {NULL, 0, false, NULL},
};

static const struct option_choice fallocate_choices[] = {
    {"native", FALLOCATE_NATIVE, false, "fallocate(2); where there is none, only the size is set"},
    {"none", FALLOCATE_NONE, false, "only the size is set"},
    {"posix", FALLOCATE_POSIX, false, "posix_fallocate(3)"},
    {"keep", FALLOCATE_KEEP, false, "fallocate(2) that keeps the size, which is then set"},
    {"truncate", FALLOCATE_TRUNCATE, false, "the same as none"},
    {"0", FALLOCATE_NONE, false, "the same as none"},
    {"1", FALLOCATE_POSIX, false, "the same as posix"},
    {NULL, 0, false, NULL},
};

static const struct option_choice service_choices[] = {
    {"roundrobin", SERVICE_ROUNDROBIN, false,
     "one file after the other; with :N, N operations each"},
    {"random", SERVICE_RANDOM, false, "any file; with :N, N operations each"},
    {"sequential", SERVICE_SEQUENTIAL, false, "a file to its end, then the next"},
    {NULL, 0, false, NULL},
};

static const struct option_choice share_choices[] = {
    {"none", SHARE_NOTHING, false, "each clone opens the file for itself"},
    {"file", SHARE_FILE, false, "one handle, struct aio_file, for all clones"},
    {"queue", SHARE_QUEUE, false, "one struct aio_queue; each clone gets its results by callback"},
    {NULL, 0, false, NULL},
};

static uint64_t *number_field(const struct option *option, struct job_options *job)
{
    return (uint64_t *)(void *)((char *)job + option->field);
}

static char **text_field(const struct option *option, struct job_options *job)
{
    return (char **)(void *)((char *)job + option->field);
}

static int set_text(const struct option *option, struct job_options *job, const char *value,
                    struct message *message)
{
    char **field = text_field(option, job);

    if (!*value)
        return message_set(message, "%s needs a value", option->name);
    free(*field);
    *field = must_copy(value);
    return 0;
}

/* A job that is called like the defaults could not be told from them on a command line. */
static int set_name(const struct option *option, struct job_options *job, const char *value,
                    struct message *message)
{
    if (strncmp(value, "global", 6) == 0)
        return message_set(message,
                           "name=%s: names that begin with 'global' are for defaults; give the "
                           "job another one",
                           value);
    return set_text(option, job, value, message);
}

static int check_range(const struct option *option, const char *value, uint64_t number,
                       struct message *message)
{
    if (number < option->least)
        return message_set(message, "%s=%s is below the least value, %llu", option->name, value,
                           (unsigned long long)option->least);
    if (option->most && number > option->most)
        return message_set(message, "%s=%s is above the largest value, %llu", option->name, value,
                           (unsigned long long)option->most);
    return 0;
}

static int set_number(const struct option *option, struct job_options *job, const char *value,
                      struct message *message)
{
    uint64_t number = 0;

    if (!*value)
        return message_set(message, "%s needs a value", option->name);
    if (units_size_in(value, job->kb_base, &number, message))
        return message_prefix(message, "%s", option->name);
    if (check_range(option, value, number, message))
        return -1;
    *number_field(option, job) = number;
    return 0;
}

static int set_seconds(const struct option *option, struct job_options *job, const char *value,
                       struct message *message)
{
    uint64_t time_us = 0;

    if (!*value)
        return message_set(message, "%s needs a value", option->name);
    if (units_time(value, 1000000, &time_us, message))
        return message_prefix(message, "%s", option->name);
    if (check_range(option, value, time_us, message))
        return -1;
    *number_field(option, job) = time_us;
    return 0;
}

static int read_bool(const char *name, const char *value, uint64_t *number, struct message *message)
{
    struct message ignored = {0};

    if (units_size(value, number, &ignored) || *number > 1)
        return message_set(message, "%s=%s: must be 0 or 1", name, value);
    return 0;
}

static int set_milliseconds(const struct option *option, struct job_options *job, const char *value,
                            struct message *message)
{
    uint64_t time_us = 0;

    if (!*value)
        return message_set(message, "%s needs a value", option->name);
    if (units_time(value, 1000, &time_us, message))
        return message_prefix(message, "%s", option->name);
    if (time_us < option->least || time_us > option->most)
        return message_set(message, "%s=%s: give a time from %llu ms to %llu ms", option->name,
                           value, (unsigned long long)option->least / 1000,
                           (unsigned long long)option->most / 1000);
    *number_field(option, job) = time_us;
    return 0;
}

static int set_percentiles(const struct option *option, struct job_options *job, const char *value,
                           struct message *message)
{
    struct percentile_list list;

    if (percentile_list_parse(value, &list, message))
        return message_prefix(message, "%s", option->name);
    return set_text(option, job, value, message);
}

/* Alone, or with nothing after the equals sign, it stands for the name of the job. */
static int set_log(const struct option *option, struct job_options *job, const char *value,
                   struct message *message)
{
    char **field = text_field(option, job);

    (void)message;
    free(*field);
    *field = must_copy(value);
    return 0;
}

static int set_bool(const struct option *option, struct job_options *job, const char *value,
                    struct message *message)
{
    uint64_t number = 0;

    if (read_bool(option->name, value, &number, message))
        return -1;
    *number_field(option, job) = number;
    return 0;
}

static void list_choices(const struct option *option, char *out, size_t room)
{
    size_t length = 0;

    out[0] = '\0';
    for (const struct option_choice *choice = option->choices; choice->name; choice++) {
        if (choice->refused || length >= room)
            continue;
        length +=
            (size_t)snprintf(out + length, room - length, "%s%s", length ? ", " : "", choice->name);
    }
}

int option_choose(const struct option *option, const char *value, size_t length, uint64_t *chosen,
                  struct message *message)
{
    char known[256];

    list_choices(option, known, sizeof(known));
    for (const struct option_choice *choice = option->choices; choice->name; choice++) {
        if (strlen(choice->name) != length || memcmp(choice->name, value, length) != 0)
            continue;
        if (choice->refused)
            return message_refuse(
                message, "%s=%s is not supported because %s (choose from %s)", option->name, value,
                choice->help ? choice->help : "this version does not have it", known);
        *chosen = choice->value;
        return 0;
    }
    return message_set(message, "%s=%s is unknown (choose from %s)", option->name, value, known);
}

static int set_choice(const struct option *option, struct job_options *job, const char *value,
                      struct message *message)
{
    return option_choose(option, value, strlen(value), number_field(option, job), message);
}

#define FIELD(member) offsetof(struct job_options, member)
#define HOUR_US 3600000000ull

#define TEXT(name, member, initial, help)                                                          \
    {                                                                                              \
        name, NULL, "text", FIELD(member), 0, 0, initial, NULL, false, help, set_text              \
    }
#define PATH(name, member, help)                                                                   \
    {                                                                                              \
        name, NULL, "path", FIELD(member), 0, 0, NULL, NULL, false, help, set_text                 \
    }
#define NUMBER(name, alias, type, member, least, most, initial, help)                              \
    {                                                                                              \
        name, alias, type, FIELD(member), least, most, initial, NULL, false, help, set_number      \
    }
#define SECONDS(name, alias, member, help)                                                         \
    {                                                                                              \
        name, alias, "time", FIELD(member), 0, 100000 * HOUR_US, "0", NULL, false, help,           \
            set_seconds                                                                            \
    }
#define MILLISECONDS(name, member, least, initial, help)                                           \
    {                                                                                              \
        name, NULL, "time", FIELD(member), least, 100000 * HOUR_US, initial, NULL, false, help,    \
            set_milliseconds                                                                       \
    }
#define LOG(name, member, help)                                                                    \
    {                                                                                              \
        name, NULL, "text", FIELD(member), 0, 0, NULL, NULL, true, help, set_log                   \
    }
#define BOOL(name, member, initial, help)                                                          \
    {                                                                                              \
        name, NULL, "0 or 1", FIELD(member), 0, 1, initial, NULL, false, help, set_bool            \
    }
#define FLAG(name, alias, member, help)                                                            \
    {                                                                                              \
        name, alias, "flag", FIELD(member), 0, 1, "0", NULL, true, help, set_bool                  \
    }
#define CHOICE(name, alias, member, initial, choices, help)                                        \
    {                                                                                              \
        name, alias, "word", FIELD(member), 0, 0, initial, choices, false, help, set_choice        \
    }

#define SETTER(name, alias, type, member, least, most, initial, choices, help, set)                \
    {                                                                                              \
        name, alias, type, FIELD(member), least, most, initial, choices, false, help, set          \
    }
#define LIST(name, alias, type, member, least, most, initial, help)                                \
    SETTER(name, alias, type, member, least, most, initial, NULL, help, option_set_list)
#define AMOUNT(name, alias, member, initial, help)                                                 \
    SETTER(name, alias, "size", member, 0, 1ull << 62, initial, NULL, help, option_set_amount)

const struct option option_table[] = {
    {"name", NULL, "text", FIELD(name), 0, 0, NULL, NULL, false, "name of the job in the report",
     set_name},
    TEXT("description", description, NULL, "a text for the report"),
    PATH("filename", filename,
         "the files, parted by colons (\\: is a colon); without it <name>.<clone>.<number>"),
    PATH("directory", directory,
         "folder of the files; several, parted by colons: in turn by clone"),
    SETTER("rw", "readwrite", "word", rw, 0, 0, "read", rw_choices,
           "what the job does; randread:8: a new place every 8 operations; read:4k: a hole of 4k "
           "after each, negative: backwards",
           option_set_rw),
    LIST("bs", "blocksize", "sizes", bs_list, 1, 32 << 20, "4096",
         "bytes of each operation, by direction (read,write)"),
    SETTER("size", NULL, "size", size, 0, 1ull << 62, NULL, NULL,
           "bytes of the region, and to move in one pass, or percent of the file; 0 or unset: "
           "the existing file",
           option_set_amount),
    AMOUNT("offset", "fileoffset", offset, "0",
           "where the region starts, also in percent of the file"),
    NUMBER("rwmixread", NULL, "number", rwmixread, 0, 100, "50", "percent of reads in rw, randrw"),
    CHOICE("ioengine", NULL, ioengine, "psync", engine_choices, "how to reach the disk"),
    NUMBER("iodepth", NULL, "number", iodepth, 1, 65536, "1", "operations in flight"),
    NUMBER("iodepth_batch", "iodepth_batch_submit", "number", iodepth_batch, 0, 65536, "0",
           "most operations in one submit; 0: what is ready, all together (fio: 0 is iodepth, and "
           "the default 1)"),
    BOOL("direct", direct, "0", "1: O_DIRECT required; 0: through the page cache"),
    NUMBER("numjobs", NULL, "number", numjobs, 1, 4096, "1", "clones of the job"),
    FLAG("group_reporting", NULL, group_reporting, "one report for the jobs of a group"),
    FLAG("stonewall", "wait_for_previous", stonewall, "start after all earlier jobs have ended"),
    SECONDS("runtime", "timeout", runtime_us, "stop after this time (seconds without unit)"),
    FLAG("time_based", NULL, time_based, "repeat until runtime is over"),
    NUMBER("fsync", NULL, "number", fsync, 0, 1u << 30, "0", "fsync after this many writes"),
    NUMBER("fdatasync", NULL, "number", fdatasync, 0, 1u << 30, "0",
           "fdatasync after this many writes"),
    BOOL("end_fsync", end_fsync, "0", "fsync when the writes are done"),
    CHOICE("verify", NULL, verify, "none", verify_choices, "stamp and check the blocks"),
    BOOL("do_verify", do_verify, "1", "read back what was written, after the writes"),
    NUMBER("randseed", NULL, "number", randseed, 0, 0, "137", "one seed, one run"),
    BOOL("overwrite", overwrite, "0",
         "1: may make a file longer, or remove one, that aiofio did not make"),
    BOOL("unlink", unlink, "0", "remove the file at the end"),
    TEXT("x_journal", x_journal, NULL,
         "file that outlives the process and says what was written and synced, for aiofio verify"),
    CHOICE("kb_base", NULL, kb_base, "1024", kb_base_choices,
           "what k, m, g, t and p mean in the sizes of this section"),
    {"percentile_list", NULL, "text", FIELD(percentile_list), 0, 0, NULL, NULL, false,
     "percentiles that are reported, as 50:99:99.9; default: 17 from 1 to 99.99", set_percentiles},
    BOOL("clat_percentiles", clat_percentiles, "1", "report percentiles of the completion latency"),
    BOOL("lat_percentiles", lat_percentiles, "0", "report percentiles of the whole latency"),
    BOOL("slat_percentiles", slat_percentiles, "0", "report percentiles of the submission latency"),
    BOOL("disable_lat", disable_lat, "0", "leave the whole latency out of reports and logs"),
    BOOL("disable_clat", disable_clat, "0", "leave the completion latency out"),
    BOOL("disable_slat", disable_slat, "0", "leave the submission latency out"),
    {"disable_bw_measurement", "disable_bw", "0 or 1", FIELD(disable_bw), 0, 1, "0", NULL, false,
     "leave the spread of bandwidth and IOPS out", set_bool},
    BOOL("gtod_reduce", gtod_reduce, "0", "all four of disable_lat, _clat, _slat and _bw"),
    CHOICE("unified_rw_reporting", NULL, unified_rw_reporting, "none", unified_choices,
           "report reads and writes apart or as one"),
    MILLISECONDS("bwavgtime", bwavgtime_us, 1000, "500",
                 "bandwidth is averaged over this time (milliseconds without unit)"),
    MILLISECONDS("iopsavgtime", iopsavgtime_us, 1000, "500",
                 "IOPS are averaged over this time (milliseconds without unit)"),

    SETTER("bsrange", "blocksize_range", "text", bsrange, 0, 0, NULL, NULL,
           "sizes from lowest to highest, multiples of the lowest, by direction: 4k-64k",
           option_set_bsrange),
    SETTER("bssplit", NULL, "text", bssplit, 0, 0, NULL, NULL,
           "sizes with their percentages, by direction: 4k/10:64k/50:32k/", option_set_bssplit),
    FLAG("bs_unaligned", "blocksize_unaligned", bs_unaligned, "any size inside bsrange"),
    LIST("blockalign", "ba", "sizes", blockalign, 0, 1u << 30, "0",
         "random offsets are multiples of it, and blocks may come again or never"),
    AMOUNT("io_size", "io_limit", io_size, "0",
           "bytes to move, also in percent of size; 0: as size says"),
    NUMBER("filesize", NULL, "size", filesize, 0, 1ull << 62, "0",
           "bytes of the file and end of the region; size= is the amount then"),
    AMOUNT("offset_increment", NULL, offset_increment, "0",
           "added to offset for each clone, also in percent of the file"),
    NUMBER("number_ios", NULL, "number", number_ios, 0, 0, "0",
           "stop after so many operations, if not before; 0: no limit"),
    NUMBER("loops", NULL, "number", loops, 1, 1u << 30, "1", "how often to do it all"),
    CHOICE("rw_sequencer", NULL, rw_sequencer, "sequential", sequencer_choices,
           "what the operations of a run are, as in rw=randread:8"),
    LIST("percentage_random", NULL, "numbers", percentage_random, 0, 100, "100",
         "of random workloads; the rest goes on where the last operation ended"),
    FLAG("norandommap", NULL, norandommap, "random blocks may come again or never"),
    BOOL("softrandommap", softrandommap, "0", "accepted: there is no map that could be too large"),
    CHOICE("random_generator", NULL, random_generator, "permutation", generator_choices,
           "the order of random blocks"),
    SETTER("random_distribution", NULL, "text", random_distribution, 0, 0, NULL, NULL,
           "random, zipf:theta[:center], pareto:h, normal:dev, zoned:share/size:.. (percent), "
           "zoned_abs:share/bytes:..",
           option_set_distribution),
    BOOL("randrepeat", randrepeat, "1", "0: another sequence in every run"),
    BOOL("allrandrepeat", allrandrepeat, "0", "1: as randrepeat=1"),
    NUMBER("iodepth_batch_complete_min", "iodepth_batch_complete", "number",
           iodepth_batch_complete_min, 0, 65536, "1",
           "completions to wait for; 0: take what is there"),
    NUMBER("iodepth_batch_complete_max", NULL, "number", iodepth_batch_complete_max, 0, 65536, "0",
           "most completions taken at once; 0: what is there"),
    NUMBER("iodepth_low", NULL, "number", iodepth_low, 0, 65536, "0",
           "submit again when only so many are left in flight; 0: at once"),

    LIST("rate", NULL, "sizes", rate, 0, 0, "0", "bytes a second, by direction; 0: no limit"),
    LIST("rate_iops", NULL, "numbers", rate_iops, 0, 0, "0", "operations a second, by direction"),
    LIST("rate_min", "ratemin", "sizes", rate_min, 0, 0, "0",
         "bytes a second below which the job fails, by direction"),
    LIST("rate_iops_min", NULL, "numbers", rate_iops_min, 0, 0, "0",
         "operations a second below which the job fails, by direction"),
    CHOICE("rate_process", NULL, rate_process, "linear", rate_process_choices,
           "how the operations of a rate follow one another"),
    SETTER("rate_cycle", "ratecycle", "time", rate_cycle_us, 0, HOUR_US, "1000", NULL,
           "how long rate_min and rate_iops_min look at (milliseconds without unit)",
           option_set_ms),
    SETTER("thinktime", NULL, "time", thinktime_us, 0, HOUR_US, "0", NULL,
           "pause after every thinktime_blocks operations (microseconds without unit)",
           option_set_us),
    NUMBER("thinktime_blocks", NULL, "number", thinktime_blocks, 1, 1u << 30, "1",
           "operations between two pauses of thinktime"),
    CHOICE("thinktime_blocks_type", NULL, thinktime_blocks_type, "complete", thinktime_choices,
           "when a pause begins"),
    SETTER("startdelay", NULL, "text", startdelay, 0, 100000 * HOUR_US, NULL, NULL,
           "start so much later (seconds without unit); a range: 5-10, drawn for each clone",
           option_set_time_range),
    SECONDS("ramp_time", NULL, ramp_time_us,
            "not counted at the beginning; added to runtime (seconds without unit)"),
    SETTER("max_latency", NULL, "time", max_latency_us, 0, HOUR_US, "0", NULL,
           "a slower operation ends the job with an error (microseconds without unit)",
           option_set_us),
    LOG("write_bw_log", write_bw_log, "log bandwidth to <prefix>_bw.<job>.log"),
    LOG("write_lat_log", write_lat_log, "log latencies to <prefix>_slat, _clat and _lat.<job>.log"),
    LOG("write_iops_log", write_iops_log, "log operations to <prefix>_iops.<job>.log"),
    LOG("write_hist_log", write_hist_log,
        "log histograms of clat to <prefix>_clat_hist.<job>.log; needs log_hist_msec"),
    MILLISECONDS("log_avg_msec", log_avg_us, 0, "0", "one row for each time; 0: each operation"),
    MILLISECONDS("log_hist_msec", log_hist_us, 0, "0", "a histogram for each time; 0: none"),
    NUMBER("log_hist_coarseness", NULL, "number", log_hist_coarseness, 0, 6, "0",
           "halves the columns of histograms so many times"),
    CHOICE("log_window_value", "log_max_value", log_window_value, "avg", log_window_choices,
           "what a row says of its time"),
    BOOL("log_offset", log_offset, "0", "log the offsets, too"),
    BOOL("per_job_logs", per_job_logs, "1", "0: jobs of one prefix share a log, and append to it"),

    TEXT("wait_for", wait_for, NULL, "start when all clones of that job have ended"),
    FLAG("exitall", NULL, exitall, "end other jobs when this one ends"),
    CHOICE("exit_what", NULL, exit_what, "group", exit_choices, "which jobs exitall ends"),
    FLAG("new_group", NULL, new_group, "start a new group of the report"),
    SETTER("cpus_allowed", NULL, "text", cpus_allowed, 0, 0, NULL, NULL,
           "processors to run on: 0,2-4", option_set_cpus),
    CHOICE("cpus_allowed_policy", NULL, cpus_allowed_policy, "shared", cpus_choices,
           "how clones share them"),
    SETTER("buffered", NULL, "0 or 1", direct, 0, 1, NULL, NULL, "the opposite of direct",
           option_set_inverse),
    CHOICE("sync", NULL, sync, "none", sync_choices, "when a write counts as done"),
    BOOL("fsync_on_close", fsync_on_close, "0", "fsync before a written file is closed"),
    BOOL("create_only", create_only, "0", "make the files and do nothing with them"),
    BOOL("allow_file_create", allow_file_create, "1", "0: a file that is not there is an error"),
    CHOICE("fallocate", NULL, fallocate, "native", fallocate_choices,
           "how room is reserved in a file that is made or extended"),
    NUMBER("nrfiles", "nr_files", "number", nrfiles, 1, 100000, "1",
           "files of each clone, where filename does not name them; size is that of all"),
    SETTER("file_service_type", NULL, "word", file_service_type, 0, 0, "roundrobin",
           service_choices, "which of several files is next", option_set_service),
    TEXT("filename_format", filename_format, NULL,
         "names of files: words $jobname, $jobnum, $filenum are replaced"),
    FLAG("zero_buffers", NULL, zero_buffers, "write zeros"),
    FLAG("refill_buffers", NULL, refill_buffers, "new random content for each write"),
    BOOL("scramble_buffers", scramble_buffers, "1",
         "change some bytes of each sector with each write, so that nothing is deduplicated"),
    SETTER("buffer_pattern", NULL, "text", buffer_pattern, 0, 0, NULL, NULL,
           "write this over and over: 0x.., a number, \"text\", or several in a row",
           option_set_buffer_pattern),
    NUMBER("buffer_compress_percentage", NULL, "number", buffer_compress_percentage, 0, 100, "0",
           "how much of each chunk is the same, zeros or buffer_pattern"),
    NUMBER("buffer_compress_chunk", NULL, "size", buffer_compress_chunk, 32, 32 << 20, "512",
           "bytes that buffer_compress_percentage is of"),
    NUMBER("x_group_commit", NULL, "number", x_group_commit, 0, 4096, "0",
           "clones that write one file wait until so many share a datasync; their latency is until "
           "the data is durable (not in fio)"),
    CHOICE("x_share", NULL, x_share, "none", share_choices,
           "what clones have in common (not in fio)"),
    {NULL, NULL, NULL, 0, 0, 0, NULL, NULL, false, NULL, NULL},
};

void job_options_init(struct job_options *job)
{
    struct message message = {0};

    memset(job, 0, sizeof(*job));
    job->kb_base = 1024;
    for (const struct option *option = option_table; option->name; option++)
        if (option->initial)
            option->set(option, job, option->initial, &message);
}

static bool is_text(const struct option *option)
{
    return strcmp(option->type, "text") == 0 || strcmp(option->type, "path") == 0;
}

void job_options_copy(struct job_options *to, const struct job_options *from)
{
    *to = *from;
    given_inherit(&to->given, &from->given);
    for (const struct option *option = option_table; option->name; option++) {
        char **field = is_text(option) ? text_field(option, to) : NULL;

        if (field && *field)
            *field = must_copy(*field);
    }
}

void job_options_free(struct job_options *job)
{
    for (const struct option *option = option_table; option->name; option++)
        if (is_text(option))
            free(*text_field(option, job));
    given_free(&job->given);
    memset(job, 0, sizeof(*job));
}

const struct option *option_find(const char *name)
{
    for (const struct option *option = option_table; option->name; option++)
        if (strcmp(option->name, name) == 0 || (option->alias && strcmp(option->alias, name) == 0))
            return option;
    return NULL;
}

bool option_is_early(const struct option *option)
{
    return option->field == offsetof(struct job_options, kb_base);
}

bool option_is_numeric(const struct option *option)
{
    static const char *const types[] = {"size", "number", "time", "sizes", "numbers"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(option->type, types[i]) == 0)
            return true;
    return false;
}

/* fio's default asks for what is done anyway. Numbers may be written in several ways, 0 is another
 * word for none, and a value for reads fills those for writes and trims. */
static bool is_default(const struct fio_option *option, const char *value)
{
    struct message ignored = {0};
    uint64_t number = 0;
    uint64_t usual = 0;

    if (!option->initial)
        return false;
    if (strcmp(option->initial, value) == 0)
        return true;
    if (strcmp(option->initial, "none") == 0 && strcmp(value, "0") == 0)
        return true;
    if (strncmp(option->initial, value, strlen(value)) == 0 &&
        option->initial[strlen(value)] == ',')
        return true;
    if (strcmp(option->type, "time") == 0)
        return units_time(value, 1, &number, &ignored) == 0 &&
               units_time(option->initial, 1, &usual, &ignored) == 0 && number == usual;
    return strcmp(option->type, "text") != 0 && units_size(value, &number, &ignored) == 0 &&
           units_size(option->initial, &usual, &ignored) == 0 && number == usual;
}

static int set_fio_option(const struct fio_option *option, const char *value,
                          struct message *message)
{
    bool flag = strcmp(option->type, "flag") == 0;
    uint64_t number = 0;

    if (!value && fio_option_stands_alone(option))
        value = "1";
    if (!value || !*value)
        return message_set(message, "%s needs a value (%s=%s)", option->name, option->name,
                           option->type);
    if ((flag || strcmp(option->type, "0 or 1") == 0) &&
        read_bool(option->name, value, &number, message))
        return -1;
    if (is_default(option, value))
        return 0;
    if (option->ignored) {
        message_note_once(message, option->name, "option '%s' is ignored: %s", option->name,
                          option->reason);
        return 0;
    }
    return message_refuse(message, "option '%s' is not supported because %s", option->name,
                          option->reason);
}

int option_set(struct job_options *job, const char *name, const char *value,
               struct message *message)
{
    const struct option *option = option_find(name);
    const struct fio_option *fio_option = fio_option_find(name);

    if (!option && fio_option)
        return set_fio_option(fio_option, value, message);
    if (!option)
        return option_refuse_name(name, NULL, message);
    if (!value && !option->flag)
        return message_set(message, "%s needs a value (%s=%s)", name, name, option->type);
    if (option->set(option, job, value ? value : option->set == set_log ? "" : "1", message))
        return -1;
    given_set(&job->given, option->name, value);
    return 0;
}

struct nearest {
    const char *name;
    unsigned distance;
    bool ours;
};

static void consider(struct nearest *nearest, const char *typed, const char *name, bool ours)
{
    unsigned distance = text_distance(typed, name);

    if (distance < nearest->distance)
        *nearest = (struct nearest){.name = name, .distance = distance, .ours = ours};
}

int option_refuse_name(const char *name, const char *const *others, struct message *message)
{
    struct nearest nearest = {.name = NULL, .distance = (unsigned)strlen(name) / 2 + 1};

    for (const struct option *option = option_table; option->name; option++) {
        consider(&nearest, name, option->name, true);
        if (option->alias)
            consider(&nearest, name, option->alias, true);
    }
    for (; others && *others; others++)
        consider(&nearest, name, *others, true);
    for (const struct fio_option *fio = fio_options; fio->name; fio++) {
        consider(&nearest, name, fio->name, fio->ignored);
        if (fio->alias)
            consider(&nearest, name, fio->alias, fio->ignored);
    }
    if (!nearest.name)
        return message_set(message, "unknown option '%s'", name);
    return message_set(message, "unknown option '%s'; did you mean '%s'%s?", name, nearest.name,
                       nearest.ours ? "" : " (an option of fio that is not supported)");
}

const char *option_choice_name(const char *option_name, uint64_t value)
{
    const struct option *option = option_find(option_name);

    if (option && option->choices)
        for (const struct option_choice *choice = option->choices; choice->name; choice++)
            if (choice->value == value && !choice->refused)
                return choice->name;
    return "?";
}
