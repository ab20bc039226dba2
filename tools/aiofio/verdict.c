/* SPDX-License-Identifier: MIT */
#include "verdict.h"

#include <inttypes.h>

#include "exit_code.h"

static struct verify_counts count_all(const struct run *run)
{
    struct verify_counts counts = {0};

    for (unsigned i = 0; i < run->plan->job_count; i++)
        verify_counts_merge(&counts, &run->workers[i].verify);
    return counts;
}

int verdict_exit_code(const struct run *run)
{
    struct verify_counts counts = count_all(run);
    int stop_signal = atomic_load_explicit(&run->stop_signal, memory_order_relaxed);

    if (verify_bad(&counts))
        return EXIT_CODE_DATA;
    if (stop_signal)
        return EXIT_CODE_SIGNAL + stop_signal;
    for (unsigned i = 0; i < run->plan->job_count; i++)
        if (run->workers[i].error.number)
            return EXIT_CODE_IO;
    return verify_missed(&counts) ? EXIT_CODE_UNVERIFIED : EXIT_CODE_OK;
}

const char *verdict_sentence(const struct run *run)
{
    int code = verdict_exit_code(run);

    switch (code) {
    case EXIT_CODE_OK:
        return "ok";
    case EXIT_CODE_DATA:
        return "wrong data";
    case EXIT_CODE_UNVERIFIED:
        return "verification is incomplete";
    default:
        return code > EXIT_CODE_SIGNAL ? "ended by a signal" : "I/O error";
    }
}

static void print_limits(FILE *out, const struct run *run)
{
    const struct plan *plan = run->plan;

    for (unsigned i = 0; i < plan->files.count; i++) {
        const struct target *target = plan->files.targets[i];

        if (target->is_verified && !target->own_run)
            fprintf(out,
                    "verify: '%s' was written by another process: its blocks were checked against "
                    "themselves alone, which does not show a lost write\n",
                    target->path);
    }
    for (unsigned i = 0; i < plan->job_count; i++) {
        const struct plan_job *job = &plan->jobs[i];

        if (job->writes && job->verifies && !job->options->do_verify && job->clone == 0)
            fprintf(out, "verify: do_verify=0: job '%s' did not read back what it wrote\n",
                    job->options->name);
    }
}

void verdict_print(FILE *out, const struct run *run)
{
    struct verify_counts counts = count_all(run);
    uint64_t shown = atomic_load_explicit(&run->findings.count, memory_order_relaxed);
    bool verifies = false;

    for (unsigned i = 0; i < run->plan->job_count; i++)
        verifies = verifies || run->plan->jobs[i].verifies;
    if (!verifies)
        return;

    fprintf(out, "\n");
    verify_counts_print(out, &counts);
    if (counts.states[BLOCK_UNKNOWN])
        fprintf(out, ", %" PRIu64 " of unknown content (not written by this run, or not well)",
                counts.states[BLOCK_UNKNOWN]);
    if (counts.states[BLOCK_IN_FLIGHT])
        fprintf(out, ", %" PRIu64 " being written while read", counts.states[BLOCK_IN_FLIGHT]);
    if (verify_missed(&counts))
        fprintf(out, ", %" PRIu64 " NOT CHECKED: verification is incomplete",
                verify_missed(&counts));
    fputc('\n', out);
    if (shown > FINDINGS_SHOWN)
        fprintf(out, "verify: %u of the bad blocks were described, %" PRIu64 " more were not\n",
                FINDINGS_SHOWN, shown - FINDINGS_SHOWN);
    print_limits(out, run);
}

/* What the jobs that write have in common. */
struct claim {
    const struct worker *writer;
    uint64_t written; /* blocks, each read back and right */
    uint32_t block;
    uint64_t read; /* blocks read later by other jobs, each right */
    bool random;   /* in random order */
    bool holds;
};

static void claim_writer(struct claim *claim, const struct worker *worker)
{
    const struct target *target = worker->job->target;

    if (!claim->writer)
        claim->writer = worker;
    if (!target->block || (target->made && target->needs_content) || !worker->job->verifies ||
        worker->blocking != claim->writer->blocking || worker->engine != claim->writer->engine ||
        worker->direct != claim->writer->direct)
        claim->holds = false;
}

static void claim_reader(struct claim *claim, const struct worker *worker, bool first)
{
    if (!worker->job->verifies)
        return;
    if (!worker->job->target->own_run || worker->workload_checked != worker->verify.wanted ||
        (!first && claim->random != worker->job->random))
        claim->holds = false;
    claim->random = worker->job->random;
    claim->read += worker->workload_checked;
}

/* Counts each file once: its last verification saw every block that was ever written. */
static void claim_files(struct claim *claim, const struct run *run)
{
    for (unsigned i = 0; i < run->plan->files.count; i++) {
        const struct target *target = run->plan->files.targets[i];
        uint64_t blocks = 0;

        if (!target->is_written)
            continue;
        for (unsigned k = 0; k < run->plan->job_count; k++) {
            const struct worker *worker = &run->workers[k];

            if (worker->job->target == target && worker->phase_done)
                blocks = worker->phase_blocks;
        }
        if (blocks != expect_written(&target->expect) ||
            (claim->written && claim->block != target->block))
            claim->holds = false;
        claim->block = target->block;
        claim->written += blocks;
    }
}

void verdict_print_proof(FILE *out, const struct run *run)
{
    static const char *const engines[] = {
        [AIO_ENGINE_AUTO] = "on some engine",
        [AIO_ENGINE_KAIO] = "on Linux kernel AIO",
        [AIO_ENGINE_URING] = "on io_uring",
        [AIO_ENGINE_THREADS] = "on a pool of threads",
        [AIO_ENGINE_SYNC] = "on the synchronous engine",
        [AIO_ENGINE_SIM] = "on a simulated disk",
    };
    struct claim claim = {.holds = verdict_exit_code(run) == EXIT_CODE_OK};
    const char *engine;
    bool direct;

    for (unsigned i = 0; i < run->plan->job_count; i++) {
        const struct worker *worker = &run->workers[i];

        if (worker->job->writes)
            claim_writer(&claim, worker);
        else
            claim_reader(&claim, worker, claim.read == 0);
    }
    if (!claim.holds || !claim.writer)
        return;
    claim_files(&claim, run);
    if (!claim.holds || claim.written == 0)
        return;

    engine = claim.writer->blocking ? "by blocking calls" : engines[claim.writer->engine];
    direct = claim.writer->direct == AIO_DIRECT_GRANTED;
    fprintf(out,
            "\nProven: %" PRIu64 " blocks of %" PRIu32
            " bytes were written through struct aio_file %s %s, and each one was read back with "
            "the expected content",
            claim.written, claim.block, engine,
            direct ? "with O_DIRECT" : "through the page cache");
    if (claim.read)
        fprintf(out, "; then %" PRIu64 " blocks were read %s, and each was the one expected",
                claim.read, claim.random ? "in random order" : "in sequence");
    fputs(".\n", out);
}
