/* SPDX-License-Identifier: MIT */
#include "report_entries.h"

#include <stdlib.h>

double report_rate_of(double amount, uint64_t runtime_ns)
{
    return runtime_ns ? amount * 1e9 / (double)runtime_ns : 0;
}

struct group_sum group_sum(const struct run *run, unsigned group, unsigned direction)
{
    struct group_sum sum = {0};

    for (unsigned i = 0; i < run->plan->job_count; i++) {
        const struct worker *worker = &run->workers[i];
        const struct direction_stats *stats = &worker->stats->directions[direction];
        double rate = report_rate_of((double)stats->total.bytes, stats->runtime_ns);

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

double group_sum_rate(const struct group_sum *sum)
{
    return report_rate_of((double)sum->bytes, sum->longest_ns);
}

static void add_worker(struct report_entry *entry, const struct worker *worker)
{
    if (!entry->first) {
        struct message message;

        entry->first = worker;
        entry->stats = job_stats_new();
        percentile_list_parse(worker->job->options->percentile_list, &entry->percentiles, &message);
    }
    entry->jobs++;
    job_stats_merge(entry->stats, worker->stats);
    verify_counts_merge(&entry->verify, &worker->verify);
    if (worker->error.number && !entry->failed)
        entry->failed = worker;
}

/* The entry of an earlier job that the worker is reported as a part of, or NULL. */
static struct report_entry *find_entry(const struct report_entries *entries,
                                       const struct worker *worker)
{
    const struct plan_job *job = worker->job;

    for (unsigned i = 0; i < entries->count && job->options->group_reporting; i++) {
        const struct plan_job *earlier = entries->entries[i].first->job;

        if (earlier->group == job->group && earlier->options->group_reporting)
            return &entries->entries[i];
    }
    return NULL;
}

void report_entries_make(struct report_entries *entries, const struct run *run)
{
    *entries = (struct report_entries){
        .entries = must_alloc(run->plan->job_count, sizeof(*entries->entries))};
    for (unsigned i = 0; i < run->plan->job_count; i++) {
        const struct worker *worker = &run->workers[i];
        struct report_entry *entry = find_entry(entries, worker);

        /* Groups that a signal kept from starting have nothing to tell. */
        if (worker->thread_id == 0)
            continue;
        if (worker->job->group >= entries->groups)
            entries->groups = worker->job->group + 1;
        add_worker(entry ? entry : &entries->entries[entries->count++], worker);
    }
    for (unsigned i = 0; i < entries->count; i++) {
        for (unsigned k = 0; k < DIRECTION_COUNT; k++) {
            struct report_entry *entry = &entries->entries[i];
            struct group_sum sum = group_sum(run, entry->first->job->group, k);

            entry->group_bytes_per_s[k] = group_sum_rate(&sum);
        }
    }
}

void report_entries_free(struct report_entries *entries)
{
    for (unsigned i = 0; i < entries->count; i++)
        job_stats_free(entries->entries[i].stats);
    free(entries->entries);
    *entries = (struct report_entries){0};
}
