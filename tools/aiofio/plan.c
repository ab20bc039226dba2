/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "stamp.h"

static bool does_read(const struct job_options *options)
{
    return options->rw != WORKLOAD_WRITE && options->rw != WORKLOAD_RANDWRITE;
}

static bool does_write(const struct job_options *options)
{
    return options->rw != WORKLOAD_READ && options->rw != WORKLOAD_RANDREAD;
}

static int check_options(const struct job_options *options, struct message *message)
{
    if (options->size && options->size < options->bs)
        return message_set(message, "size=%llu is smaller than bs=%llu",
                           (unsigned long long)options->size, (unsigned long long)options->bs);
    if (options->time_based && !options->runtime_us)
        return message_set(message, "time_based needs runtime=");
    if (options->x_journal && (options->verify == VERIFY_NONE || !does_write(options)))
        return message_set(message, "x_journal is about stamped writes: it needs verify=crc32c and "
                                    "a job that writes");
    if (options->verify == VERIFY_NONE)
        return 0;
    if (options->bs % STAMP_SECTOR || options->offset % STAMP_SECTOR)
        return message_set(message, "verify needs bs and offset in multiples of %u bytes",
                           STAMP_SECTOR);
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

/* The file's path: filename, else name, clone and 0 as fio has it; in directory if given. */
static char *make_path(const struct job_options *options, unsigned clone, struct message *message)
{
    char own[512];
    const char *name = options->filename;

    if (!name) {
        snprintf(own, sizeof(own), "%s.%u.0", options->name, clone);
        for (char *at = own; *at; at++)
            if (*at == '/')
                *at = '_';
        name = own;
    }
    if (options->directory && name[0] == '/') {
        message_set(message, "filename '%s' is absolute and directory '%s' is given, too", name,
                    options->directory);
        return NULL;
    }
    if (options->directory)
        return must_format("%s/%s", options->directory, name);
    return must_copy(name);
}

static int add_clone(struct plan *plan, const struct job_options *options, unsigned clone,
                     struct message *message)
{
    struct plan_job *job;
    char *path = make_path(options, clone, message);

    if (!path)
        return -1;
    plan->jobs = must_grow(plan->jobs, plan->job_count + 1, sizeof(*plan->jobs));
    job = &plan->jobs[plan->job_count];
    *job = (struct plan_job){
        .options = options,
        .number = plan->job_count++,
        .clone = clone,
        .group = plan->group_count - 1,
        .path = path,
        .seed = random_job_seed(options->randseed, options->name, clone),
        .reads = does_read(options),
        .writes = does_write(options),
        .random = options->rw == WORKLOAD_RANDREAD || options->rw == WORKLOAD_RANDWRITE ||
                  options->rw == WORKLOAD_RANDRW,
        .verifies = options->verify != VERIFY_NONE,
        .depth = options->ioengine == ENGINE_BLOCKING ? 1 : (unsigned)options->iodepth,
    };
    job->batch = options->iodepth_batch ? (unsigned)options->iodepth_batch : job->depth;
    if (job->batch > job->depth)
        job->batch = job->depth;
    return 0;
}

int plan_build(struct plan *plan, struct job_list *list, struct message *message)
{
    if (list->count == 0)
        return message_set(message, "no job defined (--help tells how)");
    for (size_t i = 0; i < list->count; i++) {
        const struct job_options *options = &list->jobs[i];

        if (check_options(options, message))
            return message_prefix(message, "job '%s'", options->name);
        note_oddities(list, options);
        if (i == 0 || options->stonewall)
            plan->group_count++;
        for (unsigned clone = 0; clone < options->numjobs; clone++)
            if (add_clone(plan, options, clone, message))
                return message_prefix(message, "job '%s'", options->name);
    }
    return 0;
}

void plan_free(struct plan *plan)
{
    for (unsigned i = 0; i < plan->job_count; i++)
        free(plan->jobs[i].path);
    free(plan->jobs);
    target_set_free(&plan->files);
    *plan = (struct plan){0};
}
