/* SPDX-License-Identifier: MIT */
#include "report_json.h"

#include <aiofile/version.h>
#include <string.h>
#include <time.h>
#include <tool_json.h>

#include "clock.h"
#include "json_direction.h"
#include "json_own.h"

static json_t *percents_of(const uint64_t *counts, const char *const *names, unsigned count)
{
    json_t *object = json_object();
    uint64_t total = 0;

    for (unsigned i = 0; i < count; i++)
        total += counts[i];
    for (unsigned i = 0; i < count; i++) {
        double percent = total ? 100 * (double)counts[i] / (double)total : 0;

        /* As in fio: what happened at all is never shown as zero. */
        json_put_real(object, names[i], counts[i] && percent < 0.1 ? 0.1 : percent);
    }
    return object;
}

static void put_depths(json_t *object, const struct job_stats *stats)
{
    static const char *const depths[DEPTH_BINS] = {"1", "2", "4", "8", "16", "32", ">=64"};
    static const char *const batches[BATCH_BINS] = {"0", "4", "8", "16", "32", "64", ">=64"};

    json_put(object, "iodepth_level", percents_of(stats->depth_bins, depths, DEPTH_BINS));
    json_put(object, "iodepth_submit", percents_of(stats->submit_bins, batches, BATCH_BINS));
    json_put(object, "iodepth_complete", percents_of(stats->complete_bins, batches, BATCH_BINS));
}

/* What share of the latencies lies between two limits: fio's, of which milliseconds have two more.
 */
static void put_distribution(json_t *object, const struct job_stats *stats)
{
    static const uint64_t limits[] = {2, 4, 10, 20, 50, 100, 250, 500, 750, 1000, 2000};
    static const char *const names[] = {"latency_ns", "latency_us", "latency_ms"};
    struct histogram all;
    uint64_t factor = 1;
    uint64_t before = 0;
    double total;

    job_stats_lat(stats, &all);
    total = (double)histogram_total(&all);
    for (unsigned unit = 0; unit < 3; unit++, factor *= 1000) {
        json_t *shares = json_object();

        for (unsigned i = 0; i < (unit < 2 ? 10 : 11); i++) {
            uint64_t upto = histogram_below(&all, limits[i] * factor);
            char key[32];

            snprintf(key, sizeof(key), "%llu", (unsigned long long)limits[i]);
            json_put_real(shares, key, total > 0 ? 100 * (double)(upto - before) / total : 0);
            before = upto;
        }
        if (unit == 2)
            json_put_real(shares, ">=2000", total > 0 ? 100 * (total - (double)before) / total : 0);
        json_put(object, names[unit], shares);
    }
}

static void put_cpu(json_t *object, const struct job_stats *stats)
{
    double elapsed_us = (double)stats->elapsed_ns / 1000;

    json_put_count(object, "job_runtime", stats->elapsed_ns / NS_PER_MS);
    json_put_real(object, "usr_cpu",
                  elapsed_us > 0 ? 100 * (double)stats->user_us / elapsed_us : 0);
    json_put_real(object, "sys_cpu",
                  elapsed_us > 0 ? 100 * (double)stats->system_us / elapsed_us : 0);
    json_put_count(object, "ctx", stats->context_switches);
    json_put_count(object, "majf", stats->major_faults);
    json_put_count(object, "minf", stats->minor_faults);
}

/* As given; and four that readers of fio's JSON look up, given or not. */
static json_t *job_options_of(const struct job_options *options, const json_t *globals)
{
    static const char *const always[] = {"rw", "bs", "iodepth", "numjobs"};
    json_t *object = json_object();

    json_put_text(object, "name", options->name);
    for (size_t i = 0; i < options->given.count; i++) {
        const struct given *given = &options->given.items[i];
        const char *global = json_string_value(json_object_get(globals, given->name));

        if (!given->global || !global || strcmp(global, given->value) != 0)
            json_put_text(object, given->name, given->value);
    }
    for (unsigned i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (!given_find(&options->given, always[i]))
            json_put_text(object, always[i], option_find(always[i])->initial);
    return object;
}

/* What is global for any job; for one that has another value it is an option of its own. */
static json_t *global_options(const struct plan *plan)
{
    json_t *object = json_object();

    for (unsigned i = 0; i < plan->job_count; i++) {
        const struct given_list *list = &plan->jobs[i].options->given;

        for (size_t k = 0; k < list->count; k++)
            if (list->items[k].global && !json_object_get(object, list->items[k].name))
                json_put_text(object, list->items[k].name, list->items[k].value);
    }
    return object;
}

/* In milliseconds since 1970: that long ago on the clock that is never set. */
static json_int_t job_start_ms(const struct worker *worker)
{
    uint64_t start_ns = atomic_load_explicit(&worker->progress.start_ns, memory_order_relaxed);
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (start_ns == 0)
        return 0; /* it never got as far */
    return now.tv_sec * 1000 + now.tv_nsec / 1000000 -
           (json_int_t)((clock_now_ns() - start_ns) / NS_PER_MS);
}

static json_t *job_object(const struct report_entry *entry, const json_t *globals, bool bins)
{
    const struct job_options *options = entry->first->job->options;
    const struct job_stats *stats = entry->stats;
    json_t *object = json_object();

    json_put_text(object, "jobname", options->name);
    json_put_count(object, "groupid", entry->first->job->group);
    json_put(object, "job_start", json_integer(job_start_ms(entry->first)));
    json_put(object, "error", json_integer(entry->failed ? entry->failed->error.number : 0));
    json_put_count(object, "eta", 0);
    json_put_count(object, "elapsed", entry->first->stats->elapsed_ns / NS_PER_S + 1);
    json_put(object, "job options", job_options_of(options, globals));
    if (report_wants(options, DIRECTION_READ)) {
        json_put(object, "read", json_direction(entry, DIRECTION_READ, bins));
        json_put(object, "write", json_direction(entry, DIRECTION_WRITE, bins));
        json_put(object, "trim", json_direction(entry, PART_NOTHING, bins));
    }
    if (report_wants(options, PART_MIXED))
        json_put(object, "mixed", json_direction(entry, PART_MIXED, bins));
    json_put(object, "sync", json_sync(entry, bins));
    put_cpu(object, stats);
    put_depths(object, stats);
    put_distribution(object, stats);
    json_put_count(object, "latency_depth", entry->first->job->depth);
    json_put_count(object, "latency_target", 0);
    json_put_count(object, "latency_target_ns", 0);
    json_put_real(object, "latency_percentile", 100);
    json_put_count(object, "latency_window", 0);
    json_put_count(object, "latency_window_us", 0);
    if (options->description)
        json_put_text(object, "desc", options->description);
    return object;
}

static json_t *disk_array(const struct disk_stats *disks)
{
    static const struct {
        const char *name;
        enum disk_count count;
    } members[] = {
        {"read_ios", DISK_READS},
        {"write_ios", DISK_WRITES},
        {"read_sectors", DISK_READ_SECTORS},
        {"write_sectors", DISK_WRITE_SECTORS},
        {"read_merges", DISK_READ_MERGES},
        {"write_merges", DISK_WRITE_MERGES},
        {"read_ticks", DISK_READ_TICKS},
        {"write_ticks", DISK_WRITE_TICKS},
        {"in_queue", DISK_QUEUE_TICKS},
    };
    json_t *array = json_array();

    for (unsigned i = 0; i < disks->count; i++) {
        struct disk_use use;
        json_t *object;

        if (!disk_stats_use(disks, i, &use))
            continue;
        object = json_object();
        json_put_text(object, "name", disks->disks[i].name);
        for (unsigned k = 0; k < sizeof(members) / sizeof(members[0]); k++)
            json_put_count(object, members[k].name, use.counts[members[k].count]);
        json_put_real(object, "util", use.busy_percent);
        json_add(array, object);
    }
    return array;
}

static void put_time(json_t *object)
{
    struct timespec now;
    char when[32];

    clock_gettime(CLOCK_REALTIME, &now);
    ctime_r(&now.tv_sec, when);
    when[strcspn(when, "\n")] = '\0';
    json_put(object, "timestamp", json_integer(now.tv_sec));
    json_put(object, "timestamp_ms", json_integer(now.tv_sec * 1000 + now.tv_nsec / 1000000));
    json_put_text(object, "time", when);
}

int report_json_print(FILE *out, const struct run *run, const struct report_entries *entries,
                      const struct disk_stats *disks, bool bins)
{
    json_t *root = json_object();
    json_t *globals = global_options(run->plan);
    json_t *jobs = json_array();
    int result;

    json_put_text(root, "fio version", "aiofio-" AIOFILE_VERSION);
    put_time(root);
    for (unsigned i = 0; i < entries->count; i++)
        json_add(jobs, job_object(&entries->entries[i], globals, bins));
    if (json_object_size(globals))
        json_put(root, "global options", json_incref(globals));
    json_put(root, "jobs", jobs);
    if (disks->count)
        json_put(root, "disk_util", disk_array(disks));
    json_put(root, "aiofile", json_own(run, entries, bins));
    json_decref(globals);
    result = json_dumpf(root, out, TOOL_JSON_FLAGS | JSON_INDENT(2));
    json_decref(root);
    return result || fputc('\n', out) == EOF ? -1 : 0;
}
