/* SPDX-License-Identifier: MIT */
/*
 * Reads every block that the journal says was written, with direct I/O where that is possible, and
 * judges it as the run itself would have. What differs is what may be missing: after the end of a
 * process nothing that had completed, after a loss of power whatever no sync had covered. A write
 * that was in flight may have been done, or not, or in part.
 */
#include "verify_journal.h"

#include <aiofile/buffer.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "exit_code.h"
#include "handle.h"
#include "journal.h"
#include "verify.h"

#define READ_BYTES (1u << 20)

enum loss { LOSS_BY_BOOT, LOSS_KILL, LOSS_CUT };

struct request {
    const char *journal;
    enum loss loss;
    bool help;
};

/* What became of the blocks of a class. */
struct class_counts {
    uint64_t total;
    uint64_t states[BLOCK_STATE_COUNT];
};

struct check {
    struct journal journal;
    bool cut;
    FILE *out;
    struct console console;
    struct identity identity;
    struct findings findings;
    struct verify_counts counts;
    struct class_counts classes[JOURNAL_CLASS_COUNT];
    bool failed; /* something could not be read */
};

static const char *const class_names[JOURNAL_CLASS_COUNT] = {
    [JOURNAL_DURABLE] = "synced",
    [JOURNAL_COMPLETED] = "completed, not synced",
    [JOURNAL_IN_FLIGHT] = "in flight",
};

bool verify_journal_is_asked(int argc, char *const *argv)
{
    return argc > 1 && strcmp(argv[1], "verify") == 0;
}

static void print_usage(FILE *out)
{
    fputs("usage: aiofio verify --from=JOURNAL [--after=kill|cut]\n"
          "\n"
          "Reads back what a run with x_journal=JOURNAL has written, however that run ended.\n"
          "\n"
          "  --from=JOURNAL   the file that x_journal= named\n"
          "  --after=kill     the process ended: all that had completed has to be there (default,\n"
          "                   while the machine has not been restarted)\n"
          "  --after=cut      the files' machine lost power, and the journal was kept on another:\n"
          "                   only what a completed sync covers has to be there\n"
          "\n"
          "Exit status: 0 all is there, 1 wrong use, 2 I/O error, 3 wrong data.\n",
          out);
}

static int parse(int argc, char *const *argv, struct request *request, struct message *message)
{
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "--from=", 7) == 0 && argv[i][7] != '\0')
            request->journal = argv[i] + 7;
        else if (strcmp(argv[i], "--after=kill") == 0)
            request->loss = LOSS_KILL;
        else if (strcmp(argv[i], "--after=cut") == 0)
            request->loss = LOSS_CUT;
        else if (strcmp(argv[i], "--help") == 0)
            request->help = true;
        else
            return message_set(message,
                               "verify: '%s' is not one of --from=JOURNAL, --after=kill, "
                               "--after=cut, --help",
                               argv[i]);
    }
    if (!request->help && !request->journal)
        return message_set(message, "verify: --from=JOURNAL is needed (x_journal= names it)");
    return 0;
}

/* The journal is in the page cache: of what it had when the machine ended it may have lost a part.
 */
static int choose_loss(struct check *check, const struct request *request, struct message *message)
{
    check->cut = request->loss == LOSS_CUT;
    if (request->loss == LOSS_BY_BOOT && !journal_is_of_this_boot(&check->journal))
        return message_set(message,
                           "journal '%s' is of another machine, or this one was restarted since. "
                           "If the journal is whole, kept on a machine that did not stop, say "
                           "--after=cut; one that was on the machine that stopped proves nothing",
                           check->journal.path);
    return 0;
}

/* Judges the blocks of a read. What lies beyond the end of the file is given as zeros. */
static void judge(struct check *check, unsigned index, const struct verify_reader *reader,
                  const unsigned char *data, uint64_t first, uint64_t count)
{
    const uint32_t length = reader->target->block;

    for (uint64_t block = first; block < first + count; block++, data += length) {
        enum journal_class class = journal_class(&check->journal, index, block);
        struct verify_counts before = check->counts;
        struct expect_view view;

        if (class == JOURNAL_UNWRITTEN)
            continue;
        verify_before_read(reader, &view, block * length, length);
        verify_after_read(reader, &view, data, block * length, length);
        check->counts.wanted++;
        check->classes[class].total++;
        for (unsigned state = 0; state < BLOCK_STATE_COUNT; state++)
            check->classes[class].states[state] +=
                check->counts.states[state] - before.states[state];
    }
}

static int read_all(struct check *check, unsigned index, struct handle *handle,
                    const struct verify_reader *reader)
{
    const struct target *target = reader->target;
    uint64_t step = READ_BYTES / target->block > 0 ? READ_BYTES / target->block : 1;
    unsigned char *data = aio_buffer_alloc(step * target->block, 0, 0);
    int64_t result = data ? 0 : -ENOMEM;

    for (uint64_t first = 0; first < target->expect.count && result >= 0; first += step) {
        uint64_t count = target->expect.count - first;
        uint64_t bytes;

        if (count > step)
            count = step;
        if (!expect_any_written(&target->expect, first, first + count))
            continue;
        bytes = count * target->block;
        result = aio_file_pread(handle->file, data, bytes, (int64_t)(first * target->block));
        if (result < 0)
            break;
        memset(data + result, 0, bytes - (uint64_t)result);
        judge(check, index, reader, data, first, count);
    }
    aio_buffer_free(data);
    return result < 0 ? (int)result : 0;
}

/* The file may be a copy: then it is another one than was written, which is said. */
static int look_at(struct check *check, const struct journal_record *record, struct target *target,
                   struct message *message)
{
    struct stat status;

    if (stat(record->path, &status) != 0) {
        message_set(message, "'%s': %s", record->path, strerror(errno));
        return -errno;
    }
    target->device = status.st_dev;
    target->inode = status.st_ino;
    if (target->device != record->device || target->inode != record->inode)
        console_line(&check->console, "verify: note: '%s' is another file than was written",
                     record->path);
    return 0;
}

static void check_file(struct check *check, unsigned index)
{
    const struct journal_record *record = &check->journal.records[index];
    struct verify_reader reader = {.identity = &check->identity,
                                   .job_name = check->journal.path,
                                   .findings = &check->findings,
                                   .counts = &check->counts};
    struct handle handle = {0};
    struct message message = {0};
    struct target target;
    int result;

    journal_target(&check->journal, index, check->cut, &target);
    reader.target = &target;
    result = look_at(check, record, &target, &message);
    if (result == 0)
        result = handle_open_to_verify(&handle, &target, &message);
    if (result == 0) {
        result = read_all(check, index, &handle, &reader);
        handle_close(&handle);
        if (result < 0)
            message_set(&message, "'%s': %s", record->path, strerror(-result));
    }
    if (result < 0) {
        check->failed = true;
        console_line(&check->console, "verify: %s", message.text);
    }
}

static void print_class(FILE *out, const char *name, const struct class_counts *counts)
{
    uint64_t bad = 0;

    for (unsigned state = BLOCK_FIRST_BAD; state < BLOCK_STATE_COUNT; state++)
        bad += counts->states[state];
    fprintf(out,
            "  %-22s %10" PRIu64 " blocks, %" PRIu64 " good, %" PRIu64 " bad, %" PRIu64
            " half written, %" PRIu64 " of unknown content\n",
            name, counts->total, counts->states[BLOCK_GOOD], bad, counts->states[BLOCK_IN_FLIGHT],
            counts->states[BLOCK_UNKNOWN]);
}

static int report(const struct check *check)
{
    const struct journal_header *header = check->journal.header;
    const struct verify_counts *counts = &check->counts;

    fprintf(check->out, "journal '%s': run %016" PRIx64 ", %s, judged as after %s\n",
            check->journal.path, header->run,
            header->ended ? "which came to its end" : "which did not come to its end",
            check->cut ? "a loss of power" : "the end of the process");
    for (unsigned i = 0; i < header->file_count; i++)
        fprintf(check->out, "  '%s'\n", check->journal.records[i].path);
    for (unsigned class = JOURNAL_DURABLE; class < JOURNAL_CLASS_COUNT; class ++)
        print_class(check->out, class_names[class], &check->classes[class]);
    verify_counts_print(check->out, counts);
    fprintf(check->out, ", %" PRIu64 " not checked\n", verify_skipped(counts));
    if (verify_bad(counts))
        return EXIT_CODE_DATA;
    return check->failed ? EXIT_CODE_IO : EXIT_CODE_OK;
}

int verify_journal_run(int argc, char *const *argv, FILE *out, FILE *errors)
{
    struct request request = {0};
    struct message message = {0};
    struct check check = {.out = out};
    int result = EXIT_CODE_USAGE;

    if (parse(argc, argv, &request, &message) == 0 && request.help) {
        print_usage(out);
        return EXIT_CODE_OK;
    }
    if (message.text[0] == '\0' && journal_open(&check.journal, request.journal, &message) == 0 &&
        choose_loss(&check, &request, &message) == 0) {
        console_init(&check.console, errors);
        check.findings.console = &check.console;
        check.identity.run = check.journal.header->run;
        for (unsigned i = 0; i < check.journal.header->file_count; i++)
            check_file(&check, i);
        result = report(&check);
        console_destroy(&check.console);
    } else {
        fprintf(errors, "aiofio: %s\n", message.text);
    }
    journal_close(&check.journal);
    return result;
}
