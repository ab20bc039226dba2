/* SPDX-License-Identifier: MIT */
#include "observe.h"

#include "clock.h"
#include "job_log.h"
#include "live.h"

struct observer {
    const struct source *source;
    struct job_log *log;
    struct live_cell *live;
    uint64_t now_ns; /* of the completions that come: tick() precedes them */
};

static bool next(void *context, struct operation *operation)
{
    const struct observer *observer = context;

    return observer->source->next(observer->source->context, operation);
}

static void done(void *context, const struct operation *operation, int64_t result, int error)
{
    const struct observer *observer = context;

    if (result >= 0 && observer->live)
        live_add(observer->live, operation->direction, (uint64_t)result,
                 observer->now_ns - operation->submitted_ns);
    if (result >= 0 && observer->log)
        job_log_add(observer->log, &(struct logged){
                                       .direction = operation->direction,
                                       .block = operation->length,
                                       .bytes = (uint64_t)result,
                                       .offset = operation->offset,
                                       .prepared_ns = operation->prepared_ns,
                                       .submitted_ns = operation->submitted_ns,
                                       .completed_ns = observer->now_ns,
                                   });
    observer->source->done(observer->source->context, operation, result, error);
}

static void tick(void *context, uint64_t now_ns)
{
    struct observer *observer = context;

    observer->now_ns = now_ns;
    observer->source->tick(observer->source->context, now_ns);
}

void observe_run(struct worker *worker, const struct source *source)
{
    struct observer observer = {.source = source, .log = worker->log, .live = worker->live};
    const struct source observed = {&observer, next, done, tick};

    if (!worker->log && !worker->live) {
        issuer_run(&worker->issuer, source);
        return;
    }
    if (worker->log && worker->log->start_ns == 0)
        worker->log->start_ns =
            atomic_load_explicit(&worker->progress.start_ns, memory_order_relaxed);
    issuer_run(&worker->issuer, &observed);
    if (worker->log)
        job_log_end(worker->log, clock_now_ns());
}
