/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <aiofile/version.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "report_job.h"
#include "report_lines.h"
#include "units.h"

void report_banner(FILE *out, const struct plan *plan)
{
    for (unsigned i = 0; i < plan->job_count; i++) {
        const struct plan_job *job = &plan->jobs[i];
        const struct job_options *options = job->options;
        unsigned long long bs = options->bs;

        if (job->clone == 1)
            fputs("...\n", out);
        if (job->clone > 0)
            continue;
        fprintf(out,
                "%s: (g=%u): rw=%s, bs=(R) %lluB-%lluB, (W) %lluB-%lluB, (T) %lluB-%lluB, "
                "ioengine=%s, iodepth=%u\n",
                options->name, job->group, option_choice_name("rw", options->rw), bs, bs, bs, bs,
                bs, bs, option_choice_name("ioengine", options->ioengine), job->depth);
    }
    fprintf(out, REPORT_MARK "%s\nStarting %u thread%s\n", AIOFILE_VERSION, plan->job_count,
            plan->job_count == 1 ? "" : "s");
    fflush(out);
}

static double bytes_per_s(const struct direction_stats *stats)
{
    return stats->runtime_ns ? (double)stats->total.bytes * 1e9 / (double)stats->runtime_ns : 0;
}

/* A direction of a group: the sum, and the span between its jobs. */
struct group_sum {
    uint64_t bytes;
    uint64_t shortest_ns;
    uint64_t longest_ns;
    double slowest;
    double fastest;
    unsigned jobs;
};

static struct group_sum sum_group(const struct run *run, unsigned group, unsigned direction)
{
    struct group_sum sum = {0};

    for (unsigned i = 0; i < run->plan->job_count; i++) {
        const struct worker *worker = &run->workers[i];
        const struct direction_stats *stats = &worker->stats->directions[direction];
        double rate = bytes_per_s(stats);

        if (worker->job->group != group || stats->total.operations == 0)
            continue;
        if (sum.jobs == 0 || stats->runtime_ns < sum.shortest_ns)
            sum.shortest_ns = stats->runtime_ns;
        if (stats->runtime_ns > sum.longest_ns)
            sum.longest_ns = stats->runtime_ns;
        if (sum.jobs == 0 || rate < sum.slowest)
            sum.slowest = rate;
        if (rate > sum.fastest)
            sum.fastest = rate;
        sum.bytes += stats->total.bytes;
        sum.jobs++;
    }
    return sum;
}

static double sum_rate(const struct group_sum *sum)
{
    return sum->longest_ns ? (double)sum->bytes * 1e9 / (double)sum->longest_ns : 0;
}

static void print_group(FILE *out, const struct run *run, unsigned group)
{
    static const char *const names[DIRECTION_DATA_COUNT] = {"  READ", " WRITE", "VERIFY"};

    fprintf(out, "\nRun status group %u (all jobs):\n", group);
    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++) {
        struct group_sum sum = sum_group(run, group, i);
        char slow[2][UNITS_TEXT];
        char fast[2][UNITS_TEXT];
        char total[2][UNITS_TEXT];

        if (sum.jobs == 0)
            continue;
        fprintf(out, " %s: bw=", names[i]);
        report_rate(out, sum_rate(&sum));
        fprintf(out, ", %s/s-%s/s (%s/s-%s/s), io=%s (%s), run=%" PRIu64 "-%" PRIu64 "msec\n",
                units_print_binary(slow[0], sum.slowest), units_print_binary(fast[0], sum.fastest),
                units_print_decimal(slow[1], sum.slowest),
                units_print_decimal(fast[1], sum.fastest),
                units_print_binary(total[0], (double)sum.bytes),
                units_print_decimal(total[1], (double)sum.bytes), sum.shortest_ns / 1000000,
                sum.longest_ns / 1000000);
    }
}

/* Whether the worker is reported as a part of an earlier one. */
static bool is_merged(const struct run *run, unsigned number)
{
    const struct plan_job *job = run->workers[number].job;

    for (unsigned i = 0; i < number && job->options->group_reporting; i++) {
        const struct plan_job *earlier = run->workers[i].job;

        if (earlier->group == job->group && earlier->options->group_reporting)
            return true;
    }
    return false;
}

static void print_entry(FILE *out, const struct run *run, unsigned number)
{
    const struct plan_job *job = run->workers[number].job;
    struct report_entry entry = {0};
    double group_rates[DIRECTION_COUNT];

    report_entry_add(&entry, &run->workers[number]);
    for (unsigned i = number + 1; i < run->plan->job_count; i++) {
        const struct plan_job *later = run->workers[i].job;

        if (job->options->group_reporting && later->options->group_reporting &&
            later->group == job->group)
            report_entry_add(&entry, &run->workers[i]);
    }
    for (unsigned i = 0; i < DIRECTION_COUNT; i++) {
        struct group_sum sum = sum_group(run, job->group, i);

        group_rates[i] = sum_rate(&sum);
    }
    report_entry_print(out, &entry, group_rates);
    job_stats_free(entry.stats);
}

void report_results(FILE *out, const struct run *run)
{
    unsigned groups = 0;

    fputc('\n', out);
    for (unsigned i = 0; i < run->plan->job_count; i++) {
        /* Groups that a signal kept from starting have nothing to tell. */
        if (run->workers[i].thread_id == 0)
            continue;
        if (run->workers[i].job->group >= groups)
            groups = run->workers[i].job->group + 1;
        if (!is_merged(run, i))
            print_entry(out, run, i);
    }
    for (unsigned i = 0; i < groups; i++)
        print_group(out, run, i);
}
