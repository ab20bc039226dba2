/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <aiofile/version.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "report_job.h"
#include "report_lines.h"
#include "units.h"

/* "4096B-64.0KiB" */
static void print_sizes(FILE *out, const char *label, const struct plan_job *job,
                        unsigned direction)
{
    const struct block_sizes *sizes = &job->pattern.sizes[direction];
    char text[2][UNITS_TEXT];

    fprintf(out, "%s %s-%s, ", label, units_print_binary(text[0], sizes->least),
            units_print_binary(text[1], sizes->most));
}

/* Says once how operations are submitted where no job says it. */
static void print_batching(FILE *out, const struct plan *plan)
{
    for (unsigned i = 0; i < plan->job_count; i++) {
        const struct plan_job *job = &plan->jobs[i];

        if (job->options->ioengine == ENGINE_BLOCKING || job->options->iodepth_batch)
            continue;
        fputs("iodepth_batch is not set: what is ready is submitted together (fio: one by one)\n",
              out);
        return;
    }
}

void report_banner(FILE *out, const struct plan *plan)
{
    for (unsigned i = 0; i < plan->job_count; i++) {
        const struct plan_job *job = &plan->jobs[i];
        const struct job_options *options = job->options;

        if (job->clone == 1)
            fputs("...\n", out);
        if (job->clone > 0)
            continue;
        fprintf(out, "%s: (g=%u): rw=%s, ", options->name, job->group,
                option_choice_name("rw", options->rw));
        print_sizes(out, "bs=(R)", job, 0);
        print_sizes(out, "(W)", job, 1);
        print_sizes(out, "(T)", job, 1);
        fprintf(out, "ioengine=%s, iodepth=%u\n", option_choice_name("ioengine", options->ioengine),
                job->depth);
    }
    print_batching(out, plan);
    fprintf(out, REPORT_MARK "%s\nStarting %u thread%s\n", AIOFILE_VERSION, plan->job_count,
            plan->job_count == 1 ? "" : "s");
    fflush(out);
}

static void print_group(FILE *out, const struct run *run, unsigned group)
{
    static const struct {
        unsigned part;
        const char *name;
    } parts[] = {
        {DIRECTION_READ, "  READ"},
        {DIRECTION_WRITE, " WRITE"},
        {PART_MIXED, " MIXED"},
        {DIRECTION_VERIFY, "VERIFY"},
    };

    fprintf(out, "\nRun status group %u (all jobs):\n", group);
    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct group_sum sum = group_sum(run, group, parts[i].part);
        char slow[2][UNITS_TEXT];
        char fast[2][UNITS_TEXT];
        char total[2][UNITS_TEXT];

        if (sum.jobs == 0)
            continue;
        fprintf(out, " %s: bw=", parts[i].name);
        report_rate(out, group_sum_rate(&sum));
        fprintf(out, ", %s/s-%s/s (%s/s-%s/s), io=%s (%s), run=%" PRIu64 "-%" PRIu64 "msec\n",
                units_print_binary(slow[0], sum.slowest), units_print_binary(fast[0], sum.fastest),
                units_print_decimal(slow[1], sum.slowest),
                units_print_decimal(fast[1], sum.fastest),
                units_print_binary(total[0], (double)sum.bytes),
                units_print_decimal(total[1], (double)sum.bytes), sum.shortest_ns / 1000000,
                sum.longest_ns / 1000000);
    }
}

void report_results(FILE *out, const struct run *run, const struct report_entries *entries)
{
    fputc('\n', out);
    for (unsigned i = 0; i < entries->count; i++)
        report_entry_print(out, &entries->entries[i]);
    for (unsigned i = 0; i < entries->groups; i++)
        print_group(out, run, i);
}
