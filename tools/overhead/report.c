/* SPDX-License-Identifier: MIT */
/*
 * report.c - the rows as lines for a reader, or all of them as one JSON object.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <tool_json.h>
#include <unistd.h>

#include "rows.h"

/* --- a person reads it ---------------------------------------------------------------------- */

void report_begin(const struct report *report)
{
    printf("%s: %" PRIu64 " blocks, %u rounds of %u %s: median [quartiles], and the noise of a "
           "round\n",
           report->path, report->bench->blocks, report->rounds, report->bench->count,
           report->writes ? "writes" : "reads");
}

void report_row(const struct result *result)
{
    static const char *const words[] = {"", "met", "within noise", "MISSED"};
    const struct row *row = result->row;

    printf("%-58s %6.3f  [%.3f %.3f]  noise %.3f  raw %7.0f ns", row->name, result->median,
           result->q1, result->q3, result->noise, result->raw_ns);
    if (row->budget > 0)
        printf("  budget %s %.2f  %s", row->kind == ROW_RATE ? ">=" : "<=", row->budget,
               words[result->verdict]);
    printf("\n");
    fflush(stdout);
}

/* --- a program reads it --------------------------------------------------------------------- */

/* Finds the name of the CPU, as /proc/cpuinfo has it on x86. */
static void cpu_model(char *model, size_t size)
{
    char line[512];
    FILE *cpus = fopen("/proc/cpuinfo", "r");

    snprintf(model, size, "unknown");
    while (cpus != NULL && fgets(line, sizeof(line), cpus) != NULL) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        snprintf(model, size, "%.*s", (int)strcspn(colon + 1 + strspn(colon + 1, " "), "\n"),
                 colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (cpus != NULL)
        fclose(cpus);
}

static json_t *machine(void)
{
    json_t *object = json_object();
    struct utsname name;
    char uname_text[sizeof(name) + 8];
    char model[256];

    must(uname(&name), 0, "uname");
    snprintf(uname_text, sizeof(uname_text), "%s %s %s %s", name.sysname, name.release,
             name.version, name.machine);
    cpu_model(model, sizeof(model));
    json_put_text(object, "uname", uname_text);
    json_put_text(object, "cpu", model);
    json_put(object, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    return object;
}

static json_t *json_row(const struct result *result)
{
    static const char *const kinds[] = {"time", "rate", "microseconds"};
    static const char *const verdicts[] = {"", "met", "within noise", "missed"};
    bool judged = result->verdict != VERDICT_NONE;
    json_t *object = json_object();

    json_put_text(object, "name", result->row->name);
    json_put_text(object, "kind", kinds[result->row->kind]);
    json_put(object, "median", json_rounded(result->median, 4));
    json_put(object, "q1", json_rounded(result->q1, 4));
    json_put(object, "q3", json_rounded(result->q3, 4));
    json_put(object, "noise", json_rounded(result->noise, 4));
    json_put(object, "raw_ns", json_rounded(result->raw_ns, 1));
    json_put(object, "budget", judged ? json_rounded(result->row->budget, 2) : json_null());
    json_put(object, "met", judged ? json_boolean(result->verdict == VERDICT_MET) : json_null());
    json_put(object, "verdict", judged ? json_string(verdicts[result->verdict]) : json_null());
    return object;
}

void report_json(const struct report *report, const struct result *results, unsigned count)
{
    json_t *root = json_object();
    json_t *rows = json_array();
    struct tm began;
    char date[32];

    gmtime_r(&report->began, &began);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &began);
    for (unsigned index = 0; index < count; index++)
        json_add(rows, json_row(&results[index]));
    json_put(root, "machine", machine());
    json_put_text(root, "path", report->path);
    json_put_text(root, "date", date);
    json_put(root, "writes", json_boolean(report->writes));
    json_put_count(root, "rounds", report->rounds);
    json_put_count(root, "count", report->bench->count);
    json_put(root, "rows", rows);
    must(json_print_lines(stdout, root), 0, "standard output");
}
