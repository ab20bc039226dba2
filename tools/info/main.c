/* SPDX-License-Identifier: MIT */
/*
 * main.c - aiofile-info: what direct I/O is worth on a file, directory or block device, and which
 * engines work on this machine.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tool_json.h>

#include "info.h"

#define ROUNDS_MAX 1000000ul

static const char usage[] =
    "Usage: aiofile-info [--json] PATH...\n"
    "       aiofile-info [--json] --engines\n"
    "       aiofile-info --coherence [--destroy] [--rounds=N] PATH\n"
    "\n"
    "Tells what libaiofile finds at each PATH: direct I/O, alignments, atomic writes; and which\n"
    "of its engines work here, which one a queue gets that asks for none, and why the others do\n"
    "not work. PATH is a file or a block device, which are only read, or a directory, in which an\n"
    "unnamed temporary file is made.\n"
    "\n"
    "  --json        the same for programs\n"
    "  --engines     the engines alone: no PATH is looked at\n"
    "  --coherence   try, with races of raw system calls on files of its own in the directory\n"
    "                PATH, whether direct I/O and the page cache agree there, and which submits\n"
    "                block. Needs some MiB and a few seconds. What collides may be noted in the\n"
    "                kernel's log.\n"
    "                Stripes are the pieces of a file in which the library keeps page-cache and\n"
    "                direct writes apart by itself.\n"
    "  --destroy     with --coherence: PATH may be a block device. Its first MiBs are "
    "overwritten.\n"
    "  --rounds=N    with --coherence: rounds of each race, however long they take\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0; 1 where a PATH could not be looked at; 2 for a wrong command line.\n";

struct arguments {
    bool json;
    bool engines;
    bool coherence;
    struct coherence_options how;
};

int complain(const char *path, const char *format, ...)
{
    va_list list;

    fflush(stdout);
    fprintf(stderr, "aiofile-info: %s: ", path);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return EXIT_ERROR;
}

int complain_error(const char *path, int error)
{
    const char *remedy = "";

    switch (-error) {
    case ENOENT:
    case ENOTDIR:
        remedy = ": give a file, a directory or a block device that exists";
        break;
    case EACCES:
    case EPERM:
        remedy = ": give a path that you may open, or run this as a user who may";
        break;
    case EROFS:
        remedy = ": give a file on it instead of a directory";
        break;
    case EBUSY:
        remedy = ": it is mounted, or somebody else uses it; nothing was written";
        break;
    case ENOSPC:
    case EDQUOT:
        remedy = ": free some MiB, or give another directory";
        break;
    default:
        break;
    }
    return complain(path, "%s%s", strerror(-error), remedy);
}

int complain_facts(const char *path, const struct facts *facts, int error)
{
    if (facts->sentence[0] == '\0')
        return complain_error(path, error);
    return complain(path, "%s%s", facts->sentence,
                    error == -ESPIPE ? ": give a file, a directory or a block device" : "");
}

/* --- a person reads it ---------------------------------------------------------------------- */

static void print_bytes(const char *label, uint32_t bytes, const char *of)
{
    if (bytes == 1)
        printf("  %-20s any (%s)\n", label, of);
    else
        printf("  %-20s %" PRIu32 " bytes (%s)\n", label, bytes, of);
}

static void print_atomic(const struct aio_file_info *info)
{
    if (info->atomic_write_max == 0)
        printf("  %-20s none, or the kernel does not tell\n", "atomic writes");
    else
        printf("  %-20s %" PRIu32 " to %" PRIu32 " bytes in up to %" PRIu32 " vector%s\n",
               "atomic writes", info->atomic_write_min, info->atomic_write_max,
               info->atomic_write_segments, info->atomic_write_segments == 1 ? "" : "s");
}

static const char *direct_means(uint32_t direct_granted)
{
    switch (direct_granted) {
    case AIO_DIRECT_REFUSED:
        return ": the page cache is used";
    case AIO_DIRECT_EMULATED:
        return ": the file system copies, or does not say that it does not";
    default:
        return "";
    }
}

static void print_facts(const char *path, const struct facts *facts)
{
    const struct aio_file_info *info = &facts->info;

    printf("%s%s\n", path, facts->directory ? ": an unnamed temporary file in this directory" : "");
    printf("  %-20s %s\n", "kind", facts->device ? "block device" : "regular file");
    printf("  %-20s %s\n", "file system", facts->file_system);
    printf("  %-20s %s%s\n", "direct I/O", direct_name(info->direct_granted),
           direct_means(info->direct_granted));
    if (facts->sentence[0] != '\0')
        printf("  %-20s %s\n", "log", facts->sentence);
    print_bytes("memory alignment", info->memory_alignment, "of buffers");
    print_bytes("required alignment", info->required_alignment,
                "least multiple for offset and length");
    print_bytes("read alignment", info->read_alignment, "the same, of reads");
    print_bytes("preferred alignment", info->preferred_alignment, "what suits the device");
    print_bytes("direct alignment", info->direct_alignment,
                "what a handle sends direct by default");
    print_atomic(info);
}

/* --- engines -------------------------------------------------------------------------------- */

static const struct {
    enum aio_engine engine;
    const char *name;
} engines[] = {
    {AIO_ENGINE_KAIO, "kaio"}, {AIO_ENGINE_URING, "uring"}, {AIO_ENGINE_THREADS, "threads"},
    {AIO_ENGINE_SYNC, "sync"}, {AIO_ENGINE_SIM, "sim"},
};

#define ENGINES (sizeof(engines) / sizeof(engines[0]))

/* What AIO_ENGINE_AUTO comes to here. */
struct choice {
    int error;           /* negated errno: none of them works */
    const char *engine;  /* its name */
    char sentence[1100]; /* the library's, why; another one where it got less depth */
};

static void keep_sentence(void *context, int level, const char *message)
{
    struct choice *choice = context;
    size_t used = strlen(choice->sentence);

    (void)level;
    snprintf(choice->sentence + used, sizeof(choice->sentence) - used, "%s%s", used > 0 ? "; " : "",
             message);
}

static const char *engine_name(uint32_t engine)
{
    for (size_t index = 0; index < ENGINES; index++)
        if ((uint32_t)engines[index].engine == engine)
            return engines[index].name;
    return "unknown";
}

static void choice_find(struct choice *choice)
{
    struct aio_queue_options options = AIO_QUEUE_OPTIONS_INIT;
    struct aio_queue_stats stats = {.size = sizeof(stats)};
    struct aio_queue *queue;

    memset(choice, 0, sizeof(*choice));
    choice->engine = "none";
    options.log = keep_sentence;
    options.log_context = choice;
    choice->error = aio_queue_create(&options, &queue);
    if (choice->error != 0)
        return;
    if (aio_queue_stats(queue, &stats) == 0)
        choice->engine = engine_name(stats.engine);
    aio_queue_destroy(queue, 0);
}

static void print_engines(void)
{
    struct choice choice;

    printf("engines\n");
    for (size_t index = 0; index < ENGINES; index++) {
        char reason[512] = "";
        int error = aio_engine_probe(engines[index].engine, reason, sizeof(reason));

        if (error == 0)
            printf("  %-20s works\n", engines[index].name);
        else
            printf("  %-20s no (%s): %s\n", engines[index].name, strerrorname_np(-error), reason);
    }
    choice_find(&choice);
    if (choice.error == 0)
        printf("  %-20s %s (%s)\n", "auto", choice.engine, choice.sentence);
    else
        printf("  %-20s no (%s): %s\n", "auto", strerrorname_np(-choice.error), choice.sentence);
}

/* --- a program reads it --------------------------------------------------------------------- */

static json_t *json_facts(const char *path, const struct facts *facts)
{
    const struct aio_file_info *info = &facts->info;
    json_t *object = json_object();

    json_put_text(object, "path", path);
    json_put(object, "temporary", json_boolean(facts->directory));
    json_put_text(object, "kind", facts->device ? "block device" : "regular file");
    json_put_text(object, "file_system", facts->file_system);
    json_put_text(object, "direct", direct_name(info->direct_granted));
    json_put_text(object, "log", facts->sentence);
    json_put_count(object, "memory_alignment", info->memory_alignment);
    json_put_count(object, "required_alignment", info->required_alignment);
    json_put_count(object, "read_alignment", info->read_alignment);
    json_put_count(object, "preferred_alignment", info->preferred_alignment);
    json_put_count(object, "direct_alignment", info->direct_alignment);
    json_put_count(object, "atomic_write_min", info->atomic_write_min);
    json_put_count(object, "atomic_write_max", info->atomic_write_max);
    json_put_count(object, "atomic_write_segments", info->atomic_write_segments);
    return object;
}

static const char *error_name(int error)
{
    return error == 0 ? "" : strerrorname_np(-error);
}

/* Adds the members "engines" and "auto". */
static void json_engines(json_t *root)
{
    json_t *all = json_array();
    json_t *automatic = json_object();
    struct choice choice;

    for (size_t index = 0; index < ENGINES; index++) {
        char reason[512] = "";
        int error = aio_engine_probe(engines[index].engine, reason, sizeof(reason));
        json_t *object = json_object();

        json_put_text(object, "name", engines[index].name);
        json_put(object, "works", json_boolean(error == 0));
        json_put_text(object, "error", error_name(error));
        json_put_text(object, "reason", reason);
        json_add(all, object);
    }
    choice_find(&choice);
    json_put_text(automatic, "engine", choice.engine);
    json_put_text(automatic, "error", error_name(choice.error));
    json_put_text(automatic, "log", choice.sentence);
    json_put(root, "engines", all);
    json_put(root, "auto", automatic);
}

static int json_print(json_t *root)
{
    if (json_print_lines(stdout, root) == 0)
        return EXIT_OK;
    return complain_error("standard output", -EIO);
}

/* --- the command line ----------------------------------------------------------------------- */

/* files: where the facts go, or NULL to print them. */
static int look_at(const char *path, json_t *files)
{
    struct facts facts;
    int error = facts_find(path, &facts);

    if (error != 0)
        return complain_facts(path, &facts, error);
    if (files)
        json_add(files, json_facts(path, &facts));
    else
        print_facts(path, &facts);
    return EXIT_OK;
}

static json_t *json_begin(void)
{
    json_t *root = json_object();

    json_put_text(root, "version", aio_file_version());
    return root;
}

static int look_at_all(char **paths, int count, bool json)
{
    json_t *files = json ? json_array() : NULL;
    int status = EXIT_OK;
    int printed = EXIT_OK;

    for (int index = 0; index < count; index++)
        if (look_at(paths[index], files) != EXIT_OK)
            status = EXIT_ERROR;
    if (json) {
        json_t *root = json_begin();

        json_put(root, "files", files);
        json_engines(root);
        printed = json_print(root);
    } else {
        print_engines();
    }
    return status != EXIT_OK ? status : printed;
}

static int show_engines(bool json)
{
    json_t *root;

    if (!json) {
        print_engines();
        return EXIT_OK;
    }
    root = json_begin();
    json_engines(root);
    return json_print(root);
}

static int wrong(const char *sentence)
{
    fprintf(stderr, "aiofile-info: %s\n\n%s", sentence, usage);
    return EXIT_USAGE;
}

static bool parse_rounds(const char *text, unsigned *rounds)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < 1 || value > ROUNDS_MAX)
        return false;
    *rounds = (unsigned)value;
    return true;
}

static int run(const struct arguments *arguments, char **paths, int count)
{
    if (arguments->engines && (count > 0 || arguments->coherence))
        return wrong("--engines takes no PATH, and is not for --coherence");
    if (count == 0 && !arguments->engines)
        return wrong("no PATH is given");
    if (!arguments->coherence && (arguments->how.destroy || arguments->how.rounds != 0))
        return wrong("--destroy and --rounds belong to --coherence");
    if (arguments->engines)
        return show_engines(arguments->json);
    if (!arguments->coherence)
        return look_at_all(paths, count, arguments->json);
    if (count > 1)
        return wrong("--coherence takes one PATH");
    if (arguments->json)
        return wrong("--coherence has no form for programs: leave --json out");
    return coherence_run(paths[0], &arguments->how);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},         {"engines", no_argument, NULL, 'e'},
        {"coherence", no_argument, NULL, 'c'},    {"destroy", no_argument, NULL, 'd'},
        {"rounds", required_argument, NULL, 'r'}, {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct arguments arguments = {0};
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'j':
            arguments.json = true;
            break;
        case 'e':
            arguments.engines = true;
            break;
        case 'c':
            arguments.coherence = true;
            break;
        case 'd':
            arguments.how.destroy = true;
            break;
        case 'r':
            if (!parse_rounds(optarg, &arguments.how.rounds))
                return wrong("--rounds takes a number from 1 to 1000000");
            break;
        case 'v':
            printf("aiofile-info %s\n", aio_file_version());
            return EXIT_OK;
        case 'h':
            fputs(usage, stdout);
            return EXIT_OK;
        default:
            fprintf(stderr, "\n%s", usage);
            return EXIT_USAGE;
        }
    }
    return run(&arguments, argv + optind, argc - optind);
}
