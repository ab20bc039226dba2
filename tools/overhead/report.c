/* SPDX-License-Identifier: MIT */
/*
 * report.c - the rows as lines for a reader, or all of them as one JSON object.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
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

static void json_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < ' ' || byte > '~')
            printf("\\u%04x", byte); /* a path need not be UTF-8: byte for byte, as Latin-1 */
        else
            putchar(byte);
    }
    putchar('"');
}

static void json_member(const char *name, const char *text)
{
    printf(", \"%s\": ", name);
    json_string(text);
}

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

static void json_machine(void)
{
    struct utsname name;
    char uname_text[sizeof(name) + 8];
    char model[256];

    must(uname(&name), 0, "uname");
    snprintf(uname_text, sizeof(uname_text), "%s %s %s %s", name.sysname, name.release,
             name.version, name.machine);
    cpu_model(model, sizeof(model));
    printf("{\"machine\": {\"uname\": ");
    json_string(uname_text);
    json_member("cpu", model);
    printf(", \"cores\": %ld}", sysconf(_SC_NPROCESSORS_ONLN));
}

static void json_row(const struct result *result)
{
    static const char *const kinds[] = {"time", "rate", "microseconds"};
    static const char *const verdicts[] = {"", "met", "within noise", "missed"};

    printf("{\"name\": ");
    json_string(result->row->name);
    json_member("kind", kinds[result->row->kind]);
    printf(", \"median\": %.4f, \"q1\": %.4f, \"q3\": %.4f, \"noise\": %.4f, \"raw_ns\": %.1f",
           result->median, result->q1, result->q3, result->noise, result->raw_ns);
    if (result->verdict == VERDICT_NONE) {
        printf(", \"budget\": null, \"met\": null, \"verdict\": null}");
        return;
    }
    printf(", \"budget\": %.2f, \"met\": %s", result->row->budget,
           result->verdict == VERDICT_MET ? "true" : "false");
    json_member("verdict", verdicts[result->verdict]);
    putchar('}');
}

void report_json(const struct report *report, const struct result *results, unsigned count)
{
    struct tm began;
    char date[32];

    gmtime_r(&report->began, &began);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &began);
    json_machine();
    json_member("path", report->path);
    json_member("date", date);
    printf(", \"writes\": %s, \"rounds\": %u, \"count\": %u, \"rows\": [\n",
           report->writes ? "true" : "false", report->rounds, report->bench->count);
    for (unsigned index = 0; index < count; index++) {
        json_row(&results[index]);
        printf("%s\n", index + 1 < count ? "," : "");
    }
    printf("]}\n");
}
