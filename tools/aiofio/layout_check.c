/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "stamp.h"

typedef unsigned long long ull;

/* Bytes of what may be a percentage of a whole, rounded down to multiples of step. */
static uint64_t resolve(uint64_t amount, uint64_t whole, uint64_t step)
{
    uint64_t bytes;

    if (!(amount & OPTION_PERCENT))
        return amount;
    bytes = (uint64_t)((long double)whole * (amount & ~OPTION_PERCENT) / 100);
    return bytes - bytes % step;
}

/* The part of a job's size that falls on one of its files. */
static uint64_t share(const struct plan_job *job, unsigned number, uint64_t size)
{
    uint64_t each = size / job->file_count;

    if (job->file_count == 1)
        return size;
    each -= each % job->options->bs;
    return number + 1 < job->file_count ? each : size - each * number;
}

/* Works out region and amount of a file of a job. Without size it takes what is there, or what
 * earlier jobs will have put there. */
static int set_region(struct plan_job *job, unsigned number, struct message *message)
{
    const struct job_options *options = job->options;
    struct plan_file *file = &job->files[number];
    const struct target *target = file->target;
    struct pattern_spec *pattern = &file->pattern;
    uint64_t reach = target->size > target->end ? target->size : target->end;
    uint64_t size;

    *pattern = job->pattern;
    pattern->seed += number;
    /* Of several files, the operations are counted together. */
    pattern->operations = job->file_count == 1 ? options->number_ios : 0;
    if (options->filesize)
        reach = options->filesize;
    if (((options->size | options->offset | options->offset_increment) & OPTION_PERCENT) && !reach)
        return message_set(
            message, "a percentage of '%s', which is not there yet: give filesize=", file->path);
    if (number == 0)
        job->offset = resolve(options->offset, reach, options->bs) +
                      job->clone * resolve(options->offset_increment, reach, options->bs);
    size = resolve(options->size, reach, options->bs);
    size = options->size & OPTION_PERCENT ? size : share(job, number, size);
    pattern->region = size;
    pattern->amount = options->io_size & OPTION_PERCENT
                          ? resolve(options->io_size, size, options->bs)
                          : share(job, number, options->io_size);
    if (!size || options->filesize) {
        if (reach < job->offset + options->bs)
            return message_set(message, "size= is needed, as '%s' %s", file->path,
                               target->exists ? "has not one block of bs bytes at the offset"
                                              : "is not there yet");
        pattern->region = reach - job->offset;
        /* With filesize, size is the amount. */
        if (size && !pattern->amount && size != pattern->region)
            pattern->amount = size;
    }
    if (pattern->region < options->bs)
        return message_set(message, "size=%llu is smaller than bs=%llu", (ull)pattern->region,
                           (ull)options->bs);
    return 0;
}

static int attach_file(struct plan *plan, struct plan_job *job, unsigned number,
                       struct message *message)
{
    const struct job_options *options = job->options;
    struct plan_file *file = &job->files[number];
    struct target *target =
        target_set_find(&plan->files, file->path, options->filename_format != NULL, message);

    file->target = target;
    if (!target || set_region(job, number, message))
        return -1;
    if (number == 0)
        job->target = target;
    if (!target->is_written)
        target->fallocate = options->fallocate;
    /* Nothing beyond offset + size is ever touched; what appends will need is not known. */
    if (!job->appends && plan_file_end(job, file) > target->end)
        target->end = plan_file_end(job, file);
    if (job->writes && !target->is_device && options->filesize > target->end)
        target->end = options->filesize;
    target->is_written = target->is_written || job->writes;
    target->is_verified = target->is_verified || job->verifies;
    target->remove_at_end = target->remove_at_end || options->unlink;
    return 0;
}

/* Gives every job its files and its regions of them. */
static int attach_files(struct plan *plan, struct message *message)
{
    for (unsigned i = 0; i < plan->job_count; i++)
        for (unsigned k = 0; k < plan->jobs[i].file_count; k++)
            if (attach_file(plan, &plan->jobs[i], k, message))
                return message_prefix(message, "job '%s'", plan->jobs[i].options->name);
    return 0;
}

/* A file that the user names may be written where it has bytes, as a database would; it is not
 * made longer, and not removed. A device takes a word of its own. */
static bool may_change(const struct plan_job *job, const struct plan_file *file,
                       const struct layout_rules *rules)
{
    const struct target *target = file->target;

    if (target->is_device)
        return rules->devices;
    if (!target->exists || job->options->overwrite || rules->force)
        return true;
    if (target->has_stamp || target->has_label)
        return true;
    return job->options->filename && !job->options->unlink && !job->appends &&
           plan_file_end(job, file) <= target->size;
}

static int refuse_change(const struct plan_job *job, const struct plan_file *file,
                         struct message *message)
{
    const char *name = job->options->name;

    if (file->target->is_device)
        return message_set(
            message,
            "job '%s' would write to device '%s'; nothing was touched. Allow it with "
            "--allow-device-write",
            name, file->path);
    return message_set(message,
                       "job '%s' would %s '%s', which aiofio did not make; nothing was touched. "
                       "Name another file, or allow it with overwrite=1 in the job or --force",
                       name,
                       job->options->unlink ? "remove"
                       : file->target->size ? "write beyond the end of"
                                            : "write into",
                       file->path);
}

/* Exclusive opening of a block device fails while it is mounted or otherwise in use. */
static int check_device(const struct plan_job *job, const struct plan_file *file,
                        struct message *message)
{
    int fd = open(file->path, O_RDONLY | O_EXCL | O_CLOEXEC);

    if (fd < 0)
        return message_set(message, "job '%s': device '%s' cannot be had for itself: %s%s",
                           job->options->name, file->path, strerror(errno),
                           errno == EBUSY ? " (is it mounted?)" : "");
    close(fd);
    return 0;
}

static int check_permission(const struct plan_job *job, const struct plan_file *file,
                            const struct layout_rules *rules, struct message *message)
{
    const struct target *target = file->target;
    const char *name = job->options->name;

    if (rules->readonly && (job->writes || job->options->unlink))
        return message_set(message, "job '%s' would change '%s', and --readonly is given", name,
                           file->path);
    if (!job->options->allow_file_create && !target->exists)
        return message_set(message, "job '%s': '%s' is not there, and allow_file_create=0 is given",
                           name, file->path);
    if (rules->readonly && !target->exists)
        return message_set(message, "job '%s' would make '%s', and --readonly is given", name,
                           file->path);
    if (job->options->unlink && target->is_device)
        return message_set(message, "job '%s': unlink=1 on device '%s'", name, file->path);
    if ((job->writes || job->options->unlink) && !may_change(job, file, rules))
        return refuse_change(job, file, message);
    if (target->is_device && job->writes)
        return check_device(job, file, message);
    return 0;
}

/* Whether the job's region will be inside the file when the job starts. */
static int check_size(const struct plan *plan, const struct plan_job *job,
                      const struct plan_file *file, struct message *message)
{
    const struct target *target = file->target;
    uint64_t end = plan_file_end(job, file);

    if (!target->exists || job->appends || end <= target->size)
        return 0;
    for (unsigned i = 0; i < plan->job_count && !target->is_device; i++) {
        const struct plan_job *writer = &plan->jobs[i];
        const struct plan_file *written = plan_job_file(writer, target);

        if (written && writer->writes && plan_file_end(writer, written) >= end)
            return 0;
    }
    return message_set(message,
                       "job '%s' needs %llu bytes of '%s', which has %llu; nothing was touched. "
                       "Give a smaller size=, or another file",
                       job->options->name, (ull)end, file->path, (ull)target->size);
}

/* Whether a job that ends before writes all that the job reads. */
static bool is_covered(const struct plan *plan, const struct plan_job *job,
                       const struct plan_file *file)
{
    for (unsigned i = 0; i < plan->job_count; i++) {
        const struct plan_job *writer = &plan->jobs[i];
        const struct plan_file *written = plan_job_file(writer, file->target);
        bool before = writer->stage < job->stage || writer->section == job->waits_for;

        if (!written || !before || writer == job || writer->appends || !writer->writes ||
            writer->reads || writer->options->create_only || writer->options->number_ios)
            continue;
        if (pattern_covers(&written->pattern) && writer->offset <= job->offset &&
            plan_file_end(writer, written) >= plan_file_end(job, file))
            return true;
    }
    return false;
}

/* The largest block of which every job's operations are whole multiples. */
static uint64_t common_block(const struct plan *plan, const struct target *target, uint64_t *end)
{
    uint64_t block = 0;

    *end = 0;
    for (unsigned i = 0; i < plan->job_count; i++) {
        const struct plan_job *job = &plan->jobs[i];

        const struct plan_file *file = plan_job_file(job, target);

        if (!file || job->appends || (!job->verifies && !job->writes))
            continue;
        block = common_divisor(job->grain, block);
        block = common_divisor(block, job->offset);
        if (plan_file_end(job, file) > *end)
            *end = plan_file_end(job, file);
    }
    return block;
}

static int check_writers(const struct plan *plan, const struct target *target,
                         struct message *message)
{
    for (unsigned stage = 0; stage < plan->stage_count; stage++) {
        uint64_t depth = 0;

        for (unsigned i = 0; i < plan->job_count; i++) {
            const struct plan_job *job = &plan->jobs[i];

            if (plan_job_file(job, target) && job->stage == stage && job->writes)
                depth += job->depth;
        }
        if (depth > EXPECT_INFLIGHT_MAX)
            return message_set(message,
                               "'%s': verify allows %u writes in flight on one file, and the jobs "
                               "ask for %llu",
                               target->path, EXPECT_INFLIGHT_MAX, (ull)depth);
    }
    return 0;
}

/* Blocks as an earlier process left them. */
static int set_foreign_block(struct target *target, uint64_t block, struct message *message)
{
    if (target->has_stamp && !target->has_blocks)
        return message_set(message,
                           "'%s' was written without verify: there is nothing to check it against",
                           target->path);
    if (target->stamp_length && block % target->stamp_length == 0)
        block = target->stamp_length;
    else if (target->stamp_length && target->stamp_length % block)
        return message_set(message, "'%s' was stamped in blocks of %u bytes: bs has to fit these",
                           target->path, target->stamp_length);
    target->block = (uint32_t)block;
    return 0;
}

static int set_up_verification(const struct plan *plan, struct target *target,
                               struct message *message)
{
    uint64_t end;
    uint64_t block = common_block(plan, target, &end);

    if (block == 0 || block % STAMP_SECTOR)
        return message_set(message,
                           "'%s': verify needs bs and offset of every job that writes it in "
                           "multiples of %u bytes",
                           target->path, STAMP_SECTOR);
    target->own_run = target->is_written || !target->exists;
    if (!target->own_run)
        return set_foreign_block(target, block, message);
    if (check_writers(plan, target, message))
        return -1;
    target->block = (uint32_t)block;
    expect_init(&target->expect, end / block);
    return 0;
}

static int check_job(struct plan *plan, struct plan_job *job, const struct layout_rules *rules,
                     struct message *message)
{
    for (unsigned i = 0; i < job->file_count; i++) {
        const struct plan_file *file = &job->files[i];

        if (check_permission(job, file, rules, message) || check_size(plan, job, file, message))
            return -1;
        if ((job->file_count > 1 || job->appends) && job->writes && file->target->is_verified)
            return message_set(message,
                               "job '%s' %s, and '%s' is verified by another job: give that file "
                               "a job of its own",
                               job->options->name, job->appends ? "appends" : "has several files",
                               file->path);
        if (!file->target->exists && job->reads && !is_covered(plan, job, file))
            file->target->needs_content = true;
    }
    return 0;
}

int layout_check(struct plan *plan, const struct layout_rules *rules, struct message *message)
{
    if (attach_files(plan, message))
        return -1;
    for (unsigned i = 0; i < plan->job_count; i++)
        if (check_job(plan, &plan->jobs[i], rules, message))
            return -1;
    for (unsigned i = 0; i < plan->files.count; i++)
        if (plan->files.targets[i]->is_verified &&
            set_up_verification(plan, plan->files.targets[i], message))
            return -1;
    return 0;
}
