/* SPDX-License-Identifier: MIT */
#include "json_own.h"

#include <aiofile/version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "exit_code.h"
#include "json_direction.h"
#include "verdict.h"

static json_t *verify_counts(const struct verify_counts *counts)
{
    json_t *object = json_object();

    json_put_count(object, "blocks", counts->wanted);
    json_put_count(object, "checked", counts->checked);
    json_put_count(object, "bad", verify_bad(counts));
    json_put_count(object, "missed", verify_missed(counts));
    for (unsigned i = 0; i < BLOCK_STATE_COUNT; i++)
        json_put_count(object, i == BLOCK_IN_FLIGHT ? "in_flight" : block_state_name(i),
                       counts->states[i]);
    return object;
}

static const char *engine_of(const struct worker *worker)
{
    static const char *const names[] = {
        [AIO_ENGINE_AUTO] = "auto",       [AIO_ENGINE_KAIO] = "kaio", [AIO_ENGINE_URING] = "uring",
        [AIO_ENGINE_THREADS] = "threads", [AIO_ENGINE_SYNC] = "sync", [AIO_ENGINE_SIM] = "sim",
    };

    return worker->blocking ? "blocking calls" : names[worker->engine];
}

static const char *direct_of(uint32_t granted)
{
    switch (granted) {
    case AIO_DIRECT_GRANTED:
        return "granted";
    case AIO_DIRECT_EMULATED:
        return "emulated";
    case AIO_DIRECT_REFUSED:
        return "refused";
    default:
        return "not asked for";
    }
}

static json_t *job_error(const struct worker *failed)
{
    json_t *object = json_object();

    json_put(object, "number", json_integer(failed->error.number));
    json_put_text(object, "operation", failed->error.operation);
    json_put_text(object, "file", failed->job->target->path);
    json_put_count(object, "offset", failed->error.offset);
    json_put_text(object, "text", failed->error.text);
    return object;
}

static json_t *job_own(const struct report_entry *entry, bool bins)
{
    static const char *const names[] = {"read", "write"};
    json_t *object = json_object();

    json_put_text(object, "jobname", entry->first->job->options->name);
    json_put_count(object, "jobs", entry->jobs);
    json_put_text(object, "engine", engine_of(entry->first));
    json_put_text(object, "direct", direct_of(entry->first->direct));
    if (entry->failed)
        json_put(object, "error", job_error(entry->failed));
    for (unsigned i = DIRECTION_READ; i <= DIRECTION_WRITE; i++)
        if (entry->stats->directions[i].total.operations)
            json_put(object, names[i], json_windows(entry, i));
    if (entry->first->job->verifies) {
        json_t *verify = verify_counts(&entry->verify);

        json_put(verify, "reads", json_direction(entry, DIRECTION_VERIFY, bins));
        json_put(object, "verify", verify);
    }
    return object;
}

static json_t *machine(void)
{
    json_t *object = json_object();
    struct utsname name;

    if (uname(&name) == 0) {
        json_put_text(object, "host", name.nodename);
        json_put_text(object, "kernel", name.release);
        json_put_text(object, "architecture", name.machine);
    }
    json_put(object, "cpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    return object;
}

static json_t *notes(const struct job_list *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->note_count; i++)
        json_add(array, json_string(list->notes[i]));
    return array;
}

json_t *json_own(const struct run *run, const struct report_entries *entries, bool bins)
{
    json_t *object = json_object();
    json_t *jobs = json_array();
    struct verify_counts counts = {0};
    bool verifies = false;

    for (unsigned i = 0; i < entries->count; i++) {
        verify_counts_merge(&counts, &entries->entries[i].verify);
        verifies = verifies || entries->entries[i].first->job->verifies;
        json_add(jobs, job_own(&entries->entries[i], bins));
    }
    json_put_text(object, "version", AIOFILE_VERSION);
    json_put(object, "exit_code", json_integer(verdict_exit_code(run)));
    json_put_text(object, "verdict", verdict_sentence(run));
    if (verifies)
        json_put(object, "verify", verify_counts(&counts));
    json_put(object, "notes", notes(run->plan->list));
    json_put(object, "machine", machine());
    json_put(object, "jobs", jobs);
    return object;
}
