/* SPDX-License-Identifier: MIT */
#include "report_entries.h"

#include <stdlib.h>

double report_rate_of(double amount, uint64_t runtime_ns)
{
    return runtime_ns ? amount * 1e9 / (double)runtime_ns : 0;
}

const struct direction_stats *report_stats(const struct report_entry *entry, unsigned part)
{
    static const struct direction_stats nothing;

    if (part < DIRECTION_COUNT)
        return &entry->stats->directions[part];
    return part == PART_MIXED && entry->mixed ? entry->mixed : &nothing;
}

bool report_wants(const struct job_options *options, unsigned part)
{
    if (part == PART_MIXED)
        return options->unified_rw_reporting != UNIFIED_NONE;
    return part > DIRECTION_WRITE || options->unified_rw_reporting != UNIFIED_MIXED;
}

/* What a job moved: operations, bytes and time alone. */
static struct direction_stats moved(const struct worker *worker, unsigned part)
{
    const struct direction_stats *all = worker->stats->directions;
    struct direction_stats sum = {.runtime_ns = 0};
    unsigned first = part < DIRECTION_COUNT ? part : DIRECTION_READ;
    unsigned last = part < DIRECTION_COUNT ? part : DIRECTION_WRITE;

    for (unsigned i = first; i <= last && part != PART_NOTHING; i++) {
        sum.total.operations += all[i].total.operations;
        sum.total.bytes += all[i].total.bytes;
        if (all[i].runtime_ns > sum.runtime_ns)
            sum.runtime_ns = all[i].runtime_ns;
    }
    return sum;
}

struct group_sum group_sum(const struct run *run, unsigned group, unsigned part)
{
    struct group_sum sum = {0};

    for (unsigned i = 0; i < run->plan->job_count; i++) {
        const struct worker *worker = &run->workers[i];
        struct direction_stats stats = moved(worker, part);
        double rate = report_rate_of((double)stats.total.bytes, stats.runtime_ns);

        if (worker->job->group != group || stats.total.operations == 0 ||
            !report_wants(worker->job->options, part))
            continue;
        if (sum.jobs == 0 || stats.runtime_ns < sum.shortest_ns)
            sum.shortest_ns = stats.runtime_ns;
        if (stats.runtime_ns > sum.longest_ns)
            sum.longest_ns = stats.runtime_ns;
        if (sum.jobs == 0 || rate < sum.slowest)
            sum.slowest = rate;
        if (rate > sum.fastest)
            sum.fastest = rate;
        sum.bytes += stats.total.bytes;
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

static void unify(struct report_entry *entry)
{
    if (!report_wants(entry->first->job->options, PART_MIXED))
        return;
    entry->mixed = must_alloc(1, sizeof(*entry->mixed));
    for (unsigned i = DIRECTION_READ; i <= DIRECTION_WRITE; i++)
        direction_stats_merge(entry->mixed, &entry->stats->directions[i]);
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
        struct report_entry *entry = &entries->entries[i];

        unify(entry);
        for (unsigned k = 0; k < PART_COUNT; k++) {
            struct group_sum sum = group_sum(run, entry->first->job->group, k);

            entry->group_bytes_per_s[k] = group_sum_rate(&sum);
        }
    }
}

void report_entries_free(struct report_entries *entries)
{
    for (unsigned i = 0; i < entries->count; i++) {
        job_stats_free(entries->entries[i].stats);
        if (entries->entries[i].mixed)
            window_series_free(&entries->entries[i].mixed->series);
        free(entries->entries[i].mixed);
    }
    free(entries->entries);
    *entries = (struct report_entries){0};
}
