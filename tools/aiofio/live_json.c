/* SPDX-License-Identifier: MIT */
#include "live_json.h"

#include <time.h>
#include <tool_json.h>

#include "clock.h"
#include "report_entries.h"

static json_t *part_object(const struct interval_part *part, uint64_t lasted_ns)
{
    static const double percents[] = {50, 90, 95, 99, 99.9, 99.99, 100};
    json_t *object = json_object();

    json_put_count(object, "total_ios", part->operations);
    json_put_count(object, "io_bytes", part->bytes);
    json_put(object, "iops", json_rounded(report_rate_of((double)part->operations, lasted_ns), 3));
    json_put_count(object, "bw_bytes", (uint64_t)report_rate_of((double)part->bytes, lasted_ns));
    if (part->operations) {
        json_t *percentiles = json_object();
        json_t *latency = json_object();

        for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
            char key[32];

            snprintf(key, sizeof(key), "%f", percents[i]);
            json_put_count(percentiles, key, histogram_percentile(&part->histogram, percents[i]));
        }
        json_put(latency, "percentile", percentiles);
        json_put(object, "clat_ns", latency);
    }
    return object;
}

static json_t *parts_object(const struct interval_part parts[DIRECTION_DATA_COUNT],
                            uint64_t lasted_ns)
{
    static const char *const names[DIRECTION_DATA_COUNT] = {"read", "write", "verify"};
    json_t *object = json_object();

    for (unsigned i = 0; i < DIRECTION_DATA_COUNT; i++)
        json_put(object, names[i], part_object(&parts[i], lasted_ns));
    return object;
}

int live_json_print(FILE *out, const struct intervals *intervals, unsigned running, uint64_t bad)
{
    const struct interval *last = &intervals->last;
    json_t *root = json_object();
    struct timespec now;
    int result;

    clock_gettime(CLOCK_REALTIME, &now);
    json_put(root, "timestamp_ms", json_integer(now.tv_sec * 1000 + now.tv_nsec / 1000000));
    json_put(root, "start_ms", json_rounded((double)last->start_ns / 1e6, 3));
    json_put(root, "end_ms", json_rounded((double)last->end_ns / 1e6, 3));
    json_put_count(root, "jobs_running", running);
    json_put_count(root, "bad_blocks", bad);
    json_put(root, "interval", parts_object(last->parts, last->end_ns - last->start_ns));
    json_put(root, "total", parts_object(intervals->totals, last->end_ns));
    result = json_dumpf(root, out, TOOL_JSON_FLAGS | JSON_COMPACT);
    json_decref(root);
    /* Each line is there for its reader when the interval ends. */
    return result || fputc('\n', out) == EOF || fflush(out) ? -1 : 0;
}
