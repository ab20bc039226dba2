/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "random.h"
#include "stamp.h"

static bool does_read(const struct job_options *options)
{
    return options->rw != WORKLOAD_WRITE && options->rw != WORKLOAD_RANDWRITE &&
           options->rw != WORKLOAD_APPEND;
}

static bool does_write(const struct job_options *options)
{
    return options->rw != WORKLOAD_READ && options->rw != WORKLOAD_RANDREAD;
}

/* Block sizes by direction, from the option that names them: bssplit, bsrange or bs. */
static int read_sizes(const struct job_options *options, struct pattern_spec *pattern,
                      struct message *message)
{
    for (unsigned i = 0; i < BLOCK_SIZE_DIRECTIONS; i++)
        block_sizes_fix(&pattern->sizes[i], (uint32_t)options->bs_list[i]);
    if (options->bssplit)
        return block_sizes_parse_split(options->bssplit, pattern->sizes, options->kb_base, message);
    if (options->bsrange)
        return block_sizes_parse_range(options->bsrange, pattern->sizes, options->bs_unaligned != 0,
                                       options->kb_base, message);
    return 0;
}

static bool is_random(const struct job_options *options)
{
    return options->rw == WORKLOAD_RANDREAD || options->rw == WORKLOAD_RANDWRITE ||
           options->rw == WORKLOAD_RANDRW;
}

/* A job's own sequence of numbers: the same in every run unless the options say otherwise. */
static uint64_t choose_seed(const struct job_options *options, unsigned clone)
{
    uint64_t seed = options->randseed;

    /* As in fio a seed that is given counts more than randrepeat=0. */
    if (!options->randrepeat && !options->allrandrepeat && seed == RANDSEED_INITIAL &&
        getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed ^= clock_now_ns();
    return random_job_seed(seed, options->name, clone);
}

static int set_pattern(struct plan_job *job, struct message *message)
{
    const struct job_options *options = job->options;
    struct pattern_spec *pattern = &job->pattern;

    *pattern = (struct pattern_spec){
        .loops = options->time_based ? 0 : options->loops,
        .reads = job->reads,
        .writes = job->writes,
        .random = job->random,
        .no_map = options->norandommap,
        .read_percent = (unsigned)options->rwmixread,
        .run = (unsigned)options->rw_run,
        .identical = options->rw_sequencer == SEQUENCER_IDENTICAL,
        .hole = options->rw_hole,
        .seed = job->seed,
    };
    if (read_sizes(options, pattern, message))
        return -1;
    job->grain = 0;
    for (unsigned i = 0; i < BLOCK_SIZE_DIRECTIONS; i++) {
        pattern->random_percent[i] = (unsigned)options->percentage_random[i];
        pattern->align[i] = options->blockalign[i];
        if (i == 0 ? !job->reads : !job->writes)
            continue;
        job->grain = common_divisor(pattern->sizes[i].step, job->grain);
        job->grain = common_divisor(options->blockalign[i], job->grain);
        if (options->rw_hole)
            job->grain = common_divisor((uint64_t)llabs(options->rw_hole), job->grain);
    }
    if (!options->random_distribution || !job->random)
        return 0;
    job->distributions = must_alloc(BLOCK_SIZE_DIRECTIONS, sizeof(*job->distributions));
    if (distribution_parse(options->random_distribution, job->distributions, options->kb_base,
                           message))
        return -1;
    if (job->distributions[0].kind != DISTRIBUTION_EVEN ||
        job->distributions[1].kind != DISTRIBUTION_EVEN)
        pattern->distributions = job->distributions;
    return 0;
}

/* The largest operation: what buffers have to hold. */
static uint64_t largest_size(const struct plan_job *job)
{
    uint64_t read = job->reads ? job->pattern.sizes[0].most : 0;
    uint64_t write = job->writes ? job->pattern.sizes[1].most : 0;

    return read > write ? read : write;
}

const struct plan_file *plan_job_file(const struct plan_job *job, const struct target *target)
{
    for (unsigned i = 0; i < job->file_count; i++)
        if (job->files[i].target == target)
            return &job->files[i];
    return NULL;
}

uint64_t plan_job_bytes(const struct plan_job *job)
{
    uint64_t size = job->options->bs;
    uint64_t operations = job->options->number_ios;
    uint64_t sum = 0;

    if (operations && job->grain != size)
        return 0;
    for (unsigned i = 0; i < job->file_count; i++) {
        const struct pattern_spec *pattern = &job->files[i].pattern;
        uint64_t bytes = pattern->amount ? pattern->amount : pattern_pass_bytes(pattern);

        /* The last operation of an amount is a whole one. */
        if (pattern->amount && job->grain == size)
            bytes = (bytes + size - 1) / size * size;
        sum += bytes;
    }
    if (operations && sum / size >= operations)
        sum = operations * size;
    return sum * job->pattern.loops;
}

static int check_options(const struct job_options *options, struct message *message)
{
    if (options->bsrange && options->bssplit)
        return message_set(message, "bsrange and bssplit both say how large: leave one out");
    if (options->bs_unaligned && !options->bsrange)
        return message_set(message, "bs_unaligned needs bsrange=");
    if (options->iodepth_batch_complete_max &&
        options->iodepth_batch_complete_min > options->iodepth_batch_complete_max)
        return message_set(message, "iodepth_batch_complete_min is above "
                                    "iodepth_batch_complete_max: lower it");
    if ((options->rate[0] || options->rate[1]) && (options->rate_iops[0] || options->rate_iops[1]))
        return message_set(message, "rate and rate_iops both say how fast: leave one out");
    if (options->iodepth_low > options->iodepth)
        return message_set(message, "iodepth_low is above iodepth: lower it");
    if (options->time_based && !options->runtime_us)
        return message_set(message, "time_based needs runtime=");
    if (options->x_journal && (options->verify == VERIFY_NONE || !does_write(options)))
        return message_set(message, "x_journal is about stamped writes: it needs verify=crc32c and "
                                    "a job that writes");
    return 0;
}

static void note_oddities(struct job_list *list, const struct job_options *options)
{
    char place[300];

    snprintf(place, sizeof(place), "job '%s'", options->name);
    if (options->ioengine == ENGINE_BLOCKING && options->iodepth > 1)
        job_list_note(list, place,
                      "iodepth above 1 means nothing to blocking calls: 1 is used (ioengine=kaio "
                      "keeps many in flight)");
    if (options->ioengine == ENGINE_QUEUE_KAIO && !options->direct)
        job_list_note(list, place,
                      "kernel AIO without direct=1 blocks in submit: the page cache decides what "
                      "is measured");
}

/* The word at an index of a list parted by colons, with "\\:" for a colon; NULL beyond its end. */
static char *list_word(const char *list, unsigned index)
{
    char *word = must_copy(list);
    char *end = word;

    for (; *list && (*list != ':' || index > 0); list++) {
        if (*list == ':') {
            index--;
            end = word;
            continue;
        }
        if (list[0] == '\\' && list[1] == ':')
            list++;
        *end++ = *list;
    }
    *end = '\0';
    if (index == 0)
        return word;
    free(word);
    return NULL;
}

static unsigned list_length(const char *list)
{
    unsigned count = 1;

    for (; *list; list++) {
        if (list[0] == '\\' && list[1] == ':')
            list++;
        else if (*list == ':')
            count++;
    }
    return count;
}

/* "$jobname.$jobnum.$filenum", or what filename_format says. Slashes of a job's name are no
 * folders.
 */
static char *expand_format(const char *format, const char *name, unsigned clone, unsigned number)
{
    static const char *const words[] = {"$jobname", "$jobnum", "$filenum"};
    char *own = must_copy(name);
    char *path = must_copy("");

    for (char *at = own; *at; at++)
        if (*at == '/')
            *at = '_';
    while (*format) {
        char *longer = NULL;

        for (unsigned i = 0; i < 3 && !longer; i++) {
            size_t length = strlen(words[i]);

            if (strncmp(format, words[i], length) != 0)
                continue;
            longer = i == 0 ? must_format("%s%s", path, own)
                            : must_format("%s%u", path, i == 1 ? clone : number);
            format += length;
        }
        if (!longer)
            longer = must_format("%s%c", path, *format++);
        free(path);
        path = longer;
    }
    free(own);
    return path;
}

/* The path of a job's file: from the list of names, else made up; in the clone's directory if there
 * is one. */
static char *make_path(const struct job_options *options, unsigned clone, unsigned number,
                       struct message *message)
{
    const char *format =
        options->filename_format ? options->filename_format : "$jobname.$jobnum.$filenum";
    char *name = options->filename ? list_word(options->filename, number)
                                   : expand_format(format, options->name, clone, number);
    char *folder;
    char *path;

    if (!options->directory)
        return name;
    if (name[0] == '/') {
        message_set(message, "filename '%s' is absolute and directory '%s' is given, too", name,
                    options->directory);
        free(name);
        return NULL;
    }
    folder = list_word(options->directory, clone % list_length(options->directory));
    path = must_format("%s/%s", folder, name);
    free(folder);
    free(name);
    return path;
}

static int add_files(struct plan_job *job, struct message *message)
{
    const struct job_options *options = job->options;
    unsigned count =
        options->filename ? list_length(options->filename) : (unsigned)options->nrfiles;

    job->files = must_alloc(count, sizeof(*job->files));
    for (unsigned i = 0; i < count; i++) {
        job->files[i].path = make_path(options, job->clone, i, message);
        if (!job->files[i].path)
            return -1;
        if (!job->files[i].path[0])
            return message_set(message, "filename=%s: an empty name", options->filename);
        job->file_count++;
    }
    if (count > 1 && options->random_distribution)
        return message_set(message,
                           "random_distribution with %u files in one job is not supported "
                           "in this version: give each file a job of its own",
                           count);
    if (count > 1 && job->verifies)
        return message_set(message,
                           "verify with %u files in one job is not supported in this "
                           "version: give each file a job of its own",
                           count);
    return 0;
}

static void set_depths(struct plan_job *job)
{
    const struct job_options *options = job->options;
    unsigned depth = options->ioengine == ENGINE_BLOCKING ? 1 : (unsigned)options->iodepth;

    job->depth = depth;
    job->batch = options->iodepth_batch ? (unsigned)options->iodepth_batch : depth;
    job->reap_min = (unsigned)options->iodepth_batch_complete_min;
    job->reap_max = (unsigned)options->iodepth_batch_complete_max;
    job->low = options->iodepth_low ? (unsigned)options->iodepth_low : depth;
    if (job->batch > depth)
        job->batch = depth;
    if (job->reap_max == 0 || job->reap_max > depth)
        job->reap_max = depth;
    if (job->reap_min > job->reap_max)
        job->reap_min = job->reap_max;
    if (job->low > depth)
        job->low = depth;
}

/* Finds the job that wait_for= names, which has to come before; none is the section itself. */
static int find_waited(const struct job_list *list, size_t section, size_t *waits_for,
                       struct message *message)
{
    const char *name = list->jobs[section].wait_for;
    unsigned found = 0;

    *waits_for = section;
    for (size_t i = 0; name && i < section; i++) {
        if (strcmp(list->jobs[i].name, name) != 0)
            continue;
        *waits_for = i;
        found++;
    }
    if (name && found != 1)
        return message_set(message,
                           "wait_for=%s: there are %u jobs of that name before it; one is "
                           "needed",
                           name, found);
    return 0;
}

static int check_sizes(const struct plan_job *job, struct message *message)
{
    for (unsigned i = 0; i < BLOCK_SIZE_DIRECTIONS; i++)
        if (!job->appends && job->pattern.sizes[i].least < BLOCK_SIZE_LEAST_SECTOR)
            return message_set(message,
                               "bs=%u is below the least value, %u: only rw=append has "
                               "smaller sizes",
                               job->pattern.sizes[i].least, BLOCK_SIZE_LEAST_SECTOR);
    if (job->appends && job->verifies)
        return message_set(message, "verify is not supported with rw=append in this version");
    return 0;
}

/* Whether all clones have one and the same file. */
static bool has_common_file(const struct job_options *options)
{
    return options->filename && list_length(options->filename) == 1 &&
           (!options->directory || list_length(options->directory) == 1);
}

static int check_common(const struct job_options *options, struct message *message)
{
    if (options->x_share == SHARE_FILE && !has_common_file(options))
        return message_set(message, "x_share=file needs filename= with one file for all clones");
    if (options->x_share == SHARE_QUEUE && options->ioengine == ENGINE_BLOCKING)
        return message_set(message, "x_share=queue needs an engine that has one: ioengine=libaio, "
                                    "io_uring, aiofile:threads or aiofile:sync");
    if (options->x_share == SHARE_QUEUE && options->iodepth * options->numjobs > 65536)
        return message_set(message, "x_share=queue: iodepth times numjobs is above 65536, which is "
                                    "the most a queue can have");
    if (!options->x_group_commit)
        return 0;
    if (options->ioengine != ENGINE_BLOCKING)
        return message_set(message, "x_group_commit needs an engine with blocking calls: "
                                    "ioengine=sync");
    if (!has_common_file(options))
        return message_set(message, "x_group_commit needs filename= with one file for all clones");
    if (!does_write(options))
        return message_set(message, "x_group_commit needs a job that writes");
    return 0;
}

static int add_clone(struct plan *plan, const struct job_list *list, size_t section, unsigned clone,
                     struct message *message)
{
    struct job_options *options = &list->jobs[section];
    size_t waits_for;
    struct plan_job *job;

    if (find_waited(list, section, &waits_for, message))
        return -1;
    plan->jobs = must_grow(plan->jobs, plan->job_count + 1, sizeof(*plan->jobs));
    job = &plan->jobs[plan->job_count];
    *job = (struct plan_job){
        .options = options,
        .number = plan->job_count++,
        .clone = clone,
        .group = plan->group_count - 1,
        .stage = plan->stage_count - 1,
        .section = section,
        .waits_for = waits_for,
        .seed = choose_seed(options, clone),
        .reads = does_read(options),
        .writes = does_write(options),
        .random = is_random(options),
        .appends = options->rw == WORKLOAD_APPEND,
        .verifies = options->verify != VERIFY_NONE && !options->create_only,
    };
    set_depths(job);
    if (add_files(job, message) || set_pattern(job, message))
        return -1;
    options->bs = largest_size(job);
    if (check_sizes(job, message))
        return -1;
    if (options->verify != VERIFY_NONE && job->grain % STAMP_SECTOR)
        return message_set(message, "verify needs bs in multiples of %u bytes", STAMP_SECTOR);
    return 0;
}

int plan_build(struct plan *plan, struct job_list *list, struct message *message)
{
    plan->list = list;
    if (list->count == 0)
        return message_set(message, "no job defined (--help tells how)");
    for (size_t i = 0; i < list->count; i++) {
        struct job_options *options = &list->jobs[i];

        if (check_options(options, message) || check_common(options, message))
            return message_prefix(message, "job '%s'", options->name);
        note_oddities(list, options);
        if (i == 0 || options->stonewall)
            plan->stage_count++;
        if (i == 0 || options->stonewall || options->new_group)
            plan->group_count++;
        for (unsigned clone = 0; clone < options->numjobs; clone++)
            if (add_clone(plan, list, i, clone, message))
                return message_prefix(message, "job '%s'", options->name);
    }
    return 0;
}

void plan_free(struct plan *plan)
{
    for (unsigned i = 0; i < plan->job_count; i++) {
        for (unsigned k = 0; k < plan->jobs[i].file_count; k++)
            free(plan->jobs[i].files[k].path);
        free(plan->jobs[i].files);
        free(plan->jobs[i].distributions);
    }
    free(plan->jobs);
    target_set_free(&plan->files);
    *plan = (struct plan){0};
}
