/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <aiofile/version.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "disk_stats.h"
#include "exit_code.h"
#include "help.h"
#include "journal.h"
#include "layout.h"
#include "live_json.h"
#include "log_files.h"
#include "parse_cmdline.h"
#include "report.h"
#include "report_html.h"
#include "report_json.h"
#include "report_terse.h"
#include "showcmd.h"
#include "verdict.h"
#include "verify_journal.h"

static int complain(FILE *errors, const struct message *message)
{
    fprintf(errors, "aiofio: %s\n", message->text);
    return EXIT_CODE_USAGE;
}

/* Whether a file is empty or an earlier report, and may so be replaced by a new one. */
static bool is_report(FILE *file)
{
    char line[1024];

    for (unsigned lines = 0; lines < 10000; lines++) {
        if (!fgets(line, sizeof(line), file))
            return lines == 0;
        if (strncmp(line, REPORT_MARK, strlen(REPORT_MARK)) == 0 ||
            strncmp(line, REPORT_MARK_TERSE, strlen(REPORT_MARK_TERSE)) == 0 ||
            strncmp(line, REPORT_MARK_HTML, strlen(REPORT_MARK_HTML)) == 0 ||
            strncmp(line, LIVE_MARK, strlen(LIVE_MARK)) == 0 ||
            strncmp(line, REPORT_MARK_JSON, strlen(REPORT_MARK_JSON)) == 0)
            return true;
    }
    return false;
}

/* New files, old reports, terminals and pipes may be written to. */
static bool may_be_output(const char *path)
{
    struct stat status;
    FILE *file;
    bool replaceable;

    if (stat(path, &status))
        return errno == ENOENT;
    if (!S_ISREG(status.st_mode))
        return !S_ISBLK(status.st_mode);
    file = fopen(path, "re");
    if (!file)
        return false;
    replaceable = is_report(file);
    fclose(file);
    return replaceable;
}

static FILE *open_output(const struct settings *settings, const char *option, const char *path,
                         struct message *message)
{
    FILE *file;

    if (!settings->force && !may_be_output(path)) {
        message_set(message,
                    "%s: '%s' is there and is no report of aiofio; nothing was touched. Name "
                    "another file, or allow it with --force",
                    option, path);
        return NULL;
    }
    file = fopen(path, "we");
    if (!file)
        message_set(message, "%s: '%s': %s", option, path, strerror(errno));
    return file;
}

/* Where the run is told of. */
struct outputs {
    FILE *report;
    FILE *live; /* NULL: none */
    FILE *page; /* of --report; NULL: none */
};

/* Two that write into one file would leave neither. */
static int check_outputs(const struct settings *settings, struct message *message)
{
    const struct {
        const char *option;
        const char *path;
    } all[] = {
        {"--output", settings->output},
        {"--live-json", settings->live_json},
        {"--report", settings->page},
    };

    for (unsigned i = 0; i < 3; i++)
        for (unsigned k = i + 1; k < 3; k++)
            if (all[i].path && all[k].path && strcmp(all[i].path, all[k].path) == 0)
                return message_set(message, "%s and %s name the same file, '%s'; give them two",
                                   all[i].option, all[k].option, all[i].path);
    return 0;
}

static int open_outputs(struct outputs *outputs, const struct settings *settings, FILE *out,
                        struct message *message)
{
    *outputs = (struct outputs){.report = out};
    if (check_outputs(settings, message))
        return -1;
    if (settings->output)
        outputs->report = open_output(settings, "--output", settings->output, message);
    if (!outputs->report)
        return -1;
    if (settings->live_json)
        outputs->live = open_output(settings, "--live-json", settings->live_json, message);
    if (settings->live_json && !outputs->live)
        return -1;
    if (settings->page)
        outputs->page = open_output(settings, "--report", settings->page, message);
    return settings->page && !outputs->page ? -1 : 0;
}

/* Closes one of them. 0, or -1 when what was written is not all there. */
static int close_output(FILE *file, const char *option, const char *path, FILE *errors)
{
    if (!file || fclose(file) == 0)
        return 0;
    fprintf(errors, "aiofio: %s: '%s': %s\n", option, path, strerror(errno));
    return -1;
}

/* The report for people is the one that is printed unless others are asked for. */
static bool wants_words(const struct settings *settings)
{
    return settings->formats == 0 || settings->formats & FORMAT_NORMAL;
}

static bool wants_progress(const struct settings *settings, FILE *errors)
{
    if (settings->eta == ETA_AUTO)
        return isatty(fileno(errors)) == 1;
    return settings->eta == ETA_ALWAYS;
}

/* Prints what was asked for; the formats of programs first, as fio does. */
static int print_report(FILE *out, const struct run *run, const struct settings *settings,
                        const struct report_entries *entries, const struct disk_stats *disks)
{
    int result = 0;

    if (settings->formats & FORMAT_TERSE)
        report_terse_print(out, entries, disks);
    if (settings->formats & FORMAT_JSON)
        result = report_json_print(out, run, entries, disks, settings->formats & FORMAT_BINS);
    if (wants_words(settings)) {
        report_results(out, run, entries);
        disk_stats_print(disks, out);
        verdict_print(out, run);
        verdict_print_proof(out, run);
    }
    return fflush(out) || ferror(out) ? -1 : result;
}

/* Says that a file could not be written; returns -1. */
static int complain_output(struct run *run, const char *option, const char *path, int error)
{
    console_line(&run->console, "%s: '%s': %s", option, path, strerror(error));
    return -1;
}

/* Reports and logs. 0, or -1 when one could not be written, of which the user is told. */
static int write_results(const struct outputs *outputs, struct run *run,
                         const struct settings *settings, const struct disk_stats *disks,
                         const struct progress *progress)
{
    struct message message = {0};
    struct report_entries entries;
    int result;

    report_entries_make(&entries, run);
    result = print_report(outputs->report, run, settings, &entries, disks);
    if (result)
        console_line(&run->console, "the report could not be written: %s", strerror(errno));
    if (outputs->page && report_html_print(outputs->page, run, &entries, progress))
        result = complain_output(run, "--report", settings->page, errno);
    if (progress->live_error)
        result = complain_output(run, "--live-json", settings->live_json, progress->live_error);
    if (log_files_write(run, &message)) {
        console_line(&run->console, "%s", message.text);
        result = -1;
    }
    report_entries_free(&entries);
    return result;
}

static void print_notes(FILE *out, const char *prefix, const struct job_list *list)
{
    for (size_t i = 0; i < list->note_count; i++)
        fprintf(out, "%snote: %s\n", prefix, list->notes[i]);
}

/* What is said before the jobs run: in the report, unless that is for programs alone. */
static int prepare(struct run *run, const struct settings *settings, struct journal *journal,
                   FILE *report, struct message *message)
{
    FILE *words = wants_words(settings) ? report : fopen("/dev/null", "we");
    int result;

    if (!words) {
        message_set(message, "/dev/null: %s", strerror(errno));
        return EXIT_CODE_USAGE;
    }
    report_banner(words, run->plan);
    print_notes(words, "", run->plan->list);
    if (journal_create(journal, run->plan, run->identity.run, message) != 0)
        result = EXIT_CODE_USAGE;
    else
        result = layout_make(run->plan, &run->identity, words, message);
    if (words != report)
        fclose(words);
    return result;
}

/* Makes the files, runs the jobs and reports. */
static int run_plan(struct run *run, const struct settings *settings, const struct outputs *outputs,
                    const struct run_hooks *hooks)
{
    const struct progress_need need = {
        .shown = wants_progress(settings, run->console.stream),
        .live = outputs->live,
        .keeps = outputs->page != NULL,
        .interval_ns = settings->interval_us ? settings->interval_us * 1000 : PROGRESS_INTERVAL_NS,
    };
    struct message message = {0};
    struct journal journal = {0};
    struct progress progress;
    struct disk_stats disks;
    int result = prepare(run, settings, &journal, outputs->report, &message);

    if (result != EXIT_CODE_OK) {
        complain(run->console.stream, &message);
        journal_end(&journal, run->plan);
        return result;
    }
    journal_note_files(run->plan);
    disk_stats_start(&disks, &run->plan->files);
    progress_start(&progress, &need);
    if (runner_run(run, hooks, &progress, &message))
        complain(run->console.stream, &message);

    disk_stats_stop(&disks);
    result = write_results(outputs, run, settings, &disks, &progress);
    progress_free(&progress);
    disk_stats_free(&disks);
    layout_finish(run->plan);
    journal_end(&journal, run->plan);
    if (result && verdict_exit_code(run) == EXIT_CODE_OK)
        return EXIT_CODE_IO;
    return verdict_exit_code(run);
}

/* Says what was met in the jobs; whether to go on. The notes of a run are in its report: programs
 * that start fio take a word on standard error for a failure. */
static bool say_notes(const struct settings *settings, const struct job_list *list, FILE *errors)
{
    const char *kind = settings->lenient ? "note: skipped: " : "";

    for (size_t i = 0; i < list->refusal_count; i++)
        fprintf(errors, "aiofio: %s%s\n", kind, list->refusals[i]);
    if (settings->request != REQUEST_RUN || settings->warnings_fatal)
        print_notes(errors, "aiofio: ", list);
    if (list->refusal_count && !settings->lenient) {
        fprintf(errors, "aiofio: nothing was run (--lenient goes on without these options)\n");
        return false;
    }
    if (settings->warnings_fatal && list->refusal_count + list->note_count) {
        fprintf(errors, "aiofio: --warnings-fatal: nothing was run because of these notes\n");
        return false;
    }
    return true;
}

static int check_and_run(const struct settings *settings, struct job_list *list, FILE *out,
                         FILE *errors, const struct run_hooks *hooks)
{
    const struct layout_rules rules = {
        .readonly = settings->readonly, .force = settings->force, .devices = settings->devices};
    struct message message = {0};
    struct plan plan = {0};
    struct run run = {.plan = &plan, .ended_fd = -1};
    struct outputs outputs = {0};
    int result = 0;

    if (list->count == 0 && settings->section_count > 0)
        result = message_set(&message, "--section=%s: no job file has a section of that name",
                             settings->sections[0]);
    else
        result = plan_build(&plan, list, &message);
    log_files_note(list);
    if (!say_notes(settings, list, errors)) {
        plan_free(&plan);
        return EXIT_CODE_USAGE;
    }
    if (result == 0 && settings->request != REQUEST_RUN) {
        if (settings->request == REQUEST_SHOW)
            showcmd_print(out, list);
        plan_free(&plan);
        return EXIT_CODE_OK;
    }
    if (result == 0)
        result = layout_check(&plan, &rules, &message);
    if (result == 0)
        result = log_files_check(&plan, settings->force, &message);
    if (result == 0)
        result = open_outputs(&outputs, settings, out, &message);
    if (result == 0 && run_init(&run, &plan, hooks, errors, &message) == 0) {
        result = run_plan(&run, settings, &outputs, hooks);
        run_free(&run);
    } else {
        result = complain(errors, &message);
    }
    if (outputs.report == out)
        outputs.report = NULL;
    if ((close_output(outputs.report, "--output", settings->output, errors) ||
         close_output(outputs.live, "--live-json", settings->live_json, errors) ||
         close_output(outputs.page, "--report", settings->page, errors)) &&
        result == EXIT_CODE_OK)
        result = EXIT_CODE_IO;
    plan_free(&plan);
    return result;
}

static int serve(const struct settings *settings, struct job_list *list, FILE *out, FILE *errors,
                 const struct run_hooks *hooks)
{
    switch (settings->request) {
    case REQUEST_HELP:
        help_print(out);
        return EXIT_CODE_OK;
    case REQUEST_VERSION:
        fprintf(out, REPORT_MARK "%s\n", AIOFILE_VERSION);
        return EXIT_CODE_OK;
    case REQUEST_OPTION_HELP:
        help_print_option(out, settings->option_help);
        return EXIT_CODE_OK;
    case REQUEST_ENGINE_HELP:
        help_print_engine(out, settings->engine_help);
        return EXIT_CODE_OK;
    default:
        return check_and_run(settings, list, out, errors, hooks);
    }
}

int tool_run(int argc, char *const *argv, FILE *out, FILE *errors, const struct run_hooks *hooks)
{
    struct settings settings = {0};
    struct job_list list = {0};
    struct message message = {0};
    int result;

    crc32c_init();
    if (verify_journal_is_asked(argc, argv))
        return verify_journal_run(argc, argv, out, errors);
    if (parse_cmdline(argc, argv, &settings, &list, &message))
        result = complain(errors, &message);
    else
        result = serve(&settings, &list, out, errors, hooks);
    fflush(out);
    job_list_free(&list);
    settings_free(&settings);
    return result;
}
