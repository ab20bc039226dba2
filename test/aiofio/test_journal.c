/* SPDX-License-Identifier: MIT */
/*
 * test_journal.c - the journal of a run: what it promises of each block, what is left of it when
 * the process is killed, and what "verify --from" finds in files that have lost something since.
 */
#include "journal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"
#include "tool_support.h"

#define BLOCK 4096u
#define BLOCKS 64u

/* --- what is promised of a block ------------------------------------------------------------ */

/* A run of one job on one file, without the run. */
struct scene {
    struct job_options options;
    struct plan_job job;
    struct target *target;
    struct plan plan;
    struct journal journal;
};

static void scene_open(struct scene *scene)
{
    struct message message = {0};

    *scene = (struct scene){.options = {.x_journal = (char *)"journal"}};
    scene->target = must_alloc(1, sizeof(*scene->target));
    scene->target->path = must_copy("file");
    scene->target->location = must_copy("/file");
    scene->target->block = BLOCK;
    expect_init(&scene->target->expect, BLOCKS);
    scene->job = (struct plan_job){.options = &scene->options, .target = scene->target};
    scene->plan = (struct plan){
        .jobs = &scene->job, .job_count = 1, .files = {.targets = &scene->target, .count = 1}};
    ck_assert_msg(journal_create(&scene->journal, &scene->plan, 1, &message) == 0, "%s",
                  message.text);
}

static void scene_close(struct scene *scene)
{
    journal_end(&scene->journal, &scene->plan);
    free(scene->target->path);
    free(scene->target->location);
    free(scene->target);
    ck_assert_int_eq(unlink("journal"), 0);
}

static void write_block(struct scene *scene, uint64_t block)
{
    expect_write_begin(&scene->target->expect, block);
    journal_write_end(scene->target, block, true);
}

static void sync_file(struct scene *scene)
{
    journal_sync_end(scene->target, journal_sync_begin(scene->target));
}

/* Requires what a reader of the journal sees now: the class, and the lowest generations that may be
 * there after the end of the process and after a loss of power. */
static void expect_promise(enum journal_class class, uint64_t block, uint32_t killed, uint32_t cut)
{
    struct message message = {0};
    struct target target;
    struct journal journal;

    ck_assert_msg(journal_open(&journal, "journal", &message) == 0, "%s", message.text);
    ck_assert_int_eq(journal.header->file_count, 1);
    ck_assert_str_eq(journal.records[0].path, "/file");
    ck_assert_int_eq(journal_class(&journal, 0, block), class);
    journal_target(&journal, 0, false, &target);
    ck_assert_uint_eq(expect_view(&target.expect, block).lowest, killed);
    journal_target(&journal, 0, true, &target);
    ck_assert_uint_eq(expect_view(&target.expect, block).lowest, cut);
    journal_close(&journal);
}

START_TEST(a_sync_covers_what_had_completed)
{
    struct scene scene;

    scene_open(&scene);
    expect_promise(JOURNAL_UNWRITTEN, 3, 0, 0);
    write_block(&scene, 3);
    expect_promise(JOURNAL_COMPLETED, 3, 1, 0);
    sync_file(&scene);
    expect_promise(JOURNAL_DURABLE, 3, 1, 1);
    write_block(&scene, 3);
    write_block(&scene, 3);
    expect_promise(JOURNAL_COMPLETED, 3, 3, 1);
    write_block(&scene, 4); /* a neighbour makes no difference */
    expect_promise(JOURNAL_COMPLETED, 3, 3, 1);
    sync_file(&scene);
    expect_promise(JOURNAL_DURABLE, 3, 3, 3);
    expect_promise(JOURNAL_DURABLE, 4, 1, 1);
    scene_close(&scene);
}
END_TEST

START_TEST(a_sync_does_not_cover_what_completes_beside_it)
{
    struct scene scene;
    uint64_t epoch;

    scene_open(&scene);
    write_block(&scene, 0);
    sync_file(&scene);
    epoch = journal_sync_begin(scene.target);
    write_block(&scene, 0);
    write_block(&scene, 1);
    journal_sync_end(scene.target, epoch);
    expect_promise(JOURNAL_COMPLETED, 0, 2, 1);
    expect_promise(JOURNAL_COMPLETED, 1, 1, 0);
    /* Begun and not ended, or failed, it covers nothing. */
    journal_sync_begin(scene.target);
    expect_promise(JOURNAL_COMPLETED, 0, 2, 1);
    /* An older one that ends late takes nothing back. */
    epoch = journal_sync_begin(scene.target);
    sync_file(&scene);
    expect_promise(JOURNAL_DURABLE, 0, 2, 2);
    journal_sync_end(scene.target, epoch);
    expect_promise(JOURNAL_DURABLE, 0, 2, 2);
    scene_close(&scene);
}
END_TEST

START_TEST(a_write_in_flight_is_there_or_not)
{
    struct scene scene;

    scene_open(&scene);
    expect_write_begin(&scene.target->expect, 5);
    expect_promise(JOURNAL_IN_FLIGHT, 5, 0, 0); /* nothing is known of what was there before */
    journal_write_end(scene.target, 5, true);
    sync_file(&scene);
    expect_write_begin(&scene.target->expect, 5);
    expect_write_begin(&scene.target->expect, 5);
    expect_promise(JOURNAL_IN_FLIGHT, 5, 1, 1);
    journal_write_end(scene.target, 5, true);
    expect_promise(JOURNAL_IN_FLIGHT, 5, 2, 1);
    journal_write_end(scene.target, 5, false); /* what a failed one left nobody knows */
    expect_promise(JOURNAL_COMPLETED, 5, 0, 1);
    scene_close(&scene);
}
END_TEST

/* --- after kill -9 -------------------------------------------------------------------------- */

#define JOB                                                                                        \
    "--name=w --filename=victim --size=256k --bs=4k --rw=randwrite --direct=%d "                   \
    "--ioengine=kaio --iodepth=8 --verify=crc32c --x_journal=journal"

static void kill_me(void *context, struct target *target)
{
    (void)context;
    (void)target;
    raise(SIGKILL);
}

static void wait_for_death(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %d", status);
}

/* Runs a command that is killed when all its writes are on the disk. */
static void run_until_synced(const char *command)
{
    const struct run_hooks hooks = {.before_verify = kill_me};
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        run_tool(command, &hooks);
        _exit(0);
    }
    wait_for_death(child);
}

/* How many blocks of the journal have been written more often than once. */
static unsigned rewritten(void)
{
    struct message message = {0};
    struct journal journal;
    struct target target;
    unsigned count = 0;

    if (journal_open(&journal, "journal", &message) != 0)
        return 0;
    if (journal.header->file_count > 0) { /* it is being made until then */
        journal_target(&journal, 0, false, &target);
        for (uint64_t block = 0; block < target.expect.count; block++)
            count += expect_view(&target.expect, block).highest > 1;
    }
    journal_close(&journal);
    return count;
}

/* Runs a command that is killed in the middle of writing blocks for the second or third time. */
static void run_until_rewritten(const char *command)
{
    const struct timespec pause = {0, 1000000};
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        run_tool(command, NULL);
        _exit(0);
    }
    while (rewritten() < BLOCKS / 2 && waitpid(child, NULL, WNOHANG) == 0)
        nanosleep(&pause, NULL);
    kill(child, SIGKILL);
    wait_for_death(child);
}

static void expect_verdict(const char *command, int code, const char *out, const char *errors)
{
    struct run_result result = RUN(command, code);

    REQUIRE_TEXT(result.out, out);
    if (errors)
        REQUIRE_TEXT(result.errors, errors);
    else
        ck_assert_str_eq(result.errors, "");
    run_result_free(&result);
}

static void forget_journal(void)
{
    unlink("journal");
    unlink("victim");
}

START_TEST(what_was_synced_is_there_after_a_kill)
{
    run_until_synced(JOB);
    expect_verdict("verify --from=journal", 0,
                   "synced                         64 blocks, 64 good, 0 bad", NULL);
    expect_verdict("verify --from=journal --after=cut", 0, "judged as after a loss of power", NULL);
    expect_verdict("verify --from=journal", 0, "did not come to its end", NULL);
    forget_journal();
}
END_TEST

START_TEST(what_had_completed_is_there_after_a_kill)
{
    struct run_result result;

    run_until_rewritten(JOB " --time_based --runtime=300");
    expect_verdict("verify --from=journal", 0, " checked, 0 bad", NULL);
    /* No sync was ever done: after a loss of power nothing has to be there. */
    expect_verdict("verify --from=journal --after=cut", 0, " 0 checked, 0 bad", NULL);
    forget_journal();
    run_until_rewritten(JOB " --time_based --runtime=300 --fsync=16");
    result = RUN("verify --from=journal --after=cut", 0);
    REQUIRE_NO_TEXT(result.out, " 0 checked");
    run_result_free(&result);
    expect_verdict("verify --from=journal", 0, " checked, 0 bad", NULL);
    forget_journal();
}
END_TEST

/* Every block written, then rewritten; what lay there between is kept in "older". */
#define TWICE                                                                                      \
    "--filename=victim --size=256k --bs=4k --direct=%d --verify=crc32c --ioengine=kaio "           \
    "--iodepth=8 --x_journal=journal --name=first --rw=write --do_verify=0 --name=second "         \
    "--stonewall --rw=randwrite"

static void keep_older(void *context, const struct plan *plan, unsigned group)
{
    unsigned char *data;
    size_t size;

    (void)context;
    (void)plan;
    if (group != 1)
        return;
    data = load_file("victim", &size);
    make_file("older", 0, 0);
    store_bytes("older", data, size, 0);
    free(data);
}

static void run_twice_until_synced(void)
{
    const struct run_hooks hooks = {.before_group = keep_older, .before_verify = kill_me};
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        run_tool(TWICE, &hooks);
        _exit(0);
    }
    wait_for_death(child);
}

START_TEST(what_is_lost_is_named)
{
    static const unsigned char zeros[BLOCK];
    unsigned char block[BLOCK];
    unsigned char good[BLOCK];

    run_twice_until_synced();
    expect_verdict("verify --from=journal", 0, " 64 checked, 0 bad", NULL);
    load_bytes("victim", good, BLOCK, 5 * BLOCK);

    load_bytes("older", block, BLOCK, 5 * BLOCK);
    store_bytes("victim", block, BLOCK, 5 * BLOCK);
    expect_verdict("verify --from=journal", 3, " 1 bad, 1 stale", "stale block in '/");
    expect_verdict("verify --from=journal --after=cut", 3, " 1 bad, 1 stale",
                   "at offset 20480, 4096 bytes: expected generation 2, found generation 1");
    store_bytes("victim", good, 1024, 5 * BLOCK);
    expect_verdict("verify --from=journal", 3, " 1 torn", "torn block");
    load_bytes("victim", block, BLOCK, 6 * BLOCK);
    store_bytes("victim", block, BLOCK, 5 * BLOCK);
    expect_verdict("verify --from=journal", 3, " 1 misdirected", "of offset 24576");
    store_bytes("victim", zeros, BLOCK, 5 * BLOCK);
    expect_verdict("verify --from=journal", 3, " 1 zeroed", "zeroed block");
    good[3000] ^= 1;
    store_bytes("victim", good, BLOCK, 5 * BLOCK);
    expect_verdict("verify --from=journal", 3, " 1 corrupt", "corrupt block");
    good[3000] ^= 1;
    store_bytes("victim", good, BLOCK, 5 * BLOCK);
    expect_verdict("verify --from=journal", 0, " 64 checked, 0 bad", NULL);

    ck_assert_int_eq(truncate("victim", 60 * BLOCK + 512), 0);
    expect_verdict("verify --from=journal", 3, " 4 bad", "at offset 245760");
    ck_assert_int_eq(unlink("victim"), 0);
    expect_verdict("verify --from=journal", 2, " 0 checked", "No such file");
    unlink("older");
    forget_journal();
}
END_TEST

START_TEST(a_loss_of_power_may_lose_what_was_not_synced)
{
    static const unsigned char zeros[BLOCK];

    run_until_rewritten(JOB " --time_based --runtime=300");
    store_bytes("victim", zeros, BLOCK, 5 * BLOCK);
    expect_verdict("verify --from=journal", 3, " 1 zeroed", "zeroed block");
    expect_verdict("verify --from=journal --after=cut", 0, " 0 bad", NULL);
    forget_journal();
}
END_TEST

/* --- refusals ------------------------------------------------------------------------------- */

static void expect_refusal(const char *command, const char *errors)
{
    struct run_result result = RUN(command, 1);

    REQUIRE_TEXT(result.errors, errors);
    run_result_free(&result);
}

START_TEST(only_a_journal_that_nobody_needs_is_replaced)
{
    unsigned char *data;
    size_t size;

    make_file("journal", 1000, 'x');
    expect_refusal(JOB, "'journal' is there and is no journal");
    data = load_file("journal", &size);
    ck_assert_uint_eq(size, 1000);
    ck_assert_int_eq(data[0], 'x');
    free(data);
    unlink("journal");
    ck_assert_int_ne(access("victim", F_OK), 0);

    run_until_synced(JOB);
    expect_refusal(JOB, "aiofio verify --from=journal");
    expect_verdict("verify --from=journal", 0, " 64 checked, 0 bad", NULL);
    unlink("journal");
    expect_verdict(JOB, 0, "64 checked, 0 bad", NULL);
    expect_verdict("verify --from=journal", 0, "which came to its end", NULL);
    expect_verdict(JOB, 0, "64 checked, 0 bad", NULL);
    forget_journal();
}
END_TEST

START_TEST(jobs_that_cannot_have_one_are_refused)
{
    expect_refusal("--name=r --filename=victim --size=64k --rw=read --verify=crc32c --x_journal=j",
                   "x_journal is about stamped writes");
    expect_refusal("--name=w --filename=victim --size=64k --rw=write --x_journal=j",
                   "needs verify=crc32c");
    expect_refusal("--filename=victim --size=64k --rw=write --verify=crc32c --name=a "
                   "--x_journal=one --name=b --stonewall --x_journal=two",
                   "a run has one journal, and the jobs name 'one' and 'two'");
    expect_refusal(JOB " --x_journal=nowhere/journal", "'nowhere/journal': No such file");
    ck_assert_int_ne(access("victim", F_OK), 0);
}
END_TEST

START_TEST(what_is_no_journal_is_refused)
{
    struct journal_header header;
    unsigned char *data;
    size_t size;

    expect_refusal("verify", "--from=JOURNAL is needed");
    expect_refusal("verify --to=x", "'--to=x' is not one of");
    expect_refusal("verify --from=nothing", "'nothing': No such file");
    make_file("journal", 100, 'x');
    expect_refusal("verify --from=journal", "too short");
    unlink("journal");
    make_file("journal", 100000, 'x');
    expect_refusal("verify --from=journal", "no journal of aiofio");
    unlink("journal");

    run_until_synced(JOB);
    data = load_file("journal", &size);
    ck_assert_int_eq(truncate("journal", (off_t)size - 4096), 0);
    expect_refusal("verify --from=journal", "is not whole");
    store_bytes("journal", data, size, 0);
    expect_verdict("verify --from=journal", 0, " 64 checked, 0 bad", NULL);

    load_bytes("journal", &header, sizeof(header), 0);
    header.boot[0] = 'x';
    store_bytes("journal", &header, sizeof(header), 0);
    expect_refusal("verify --from=journal", "restarted since");
    expect_verdict("verify --from=journal --after=cut", 0, " 64 checked, 0 bad", NULL);
    free(data);
    forget_journal();
}
END_TEST

static Suite *journal_suite(void)
{
    Suite *suite = suite_create("aiofio journal");
    TCase *promises = tcase_create("promises");
    TCase *kills = tcase_create("kills");
    TCase *refusals = tcase_create("refusals");

    tcase_add_unchecked_fixture(promises, enter_folder, leave_folder);
    tcase_add_test(promises, a_sync_covers_what_had_completed);
    tcase_add_test(promises, a_sync_does_not_cover_what_completes_beside_it);
    tcase_add_test(promises, a_write_in_flight_is_there_or_not);
    suite_add_tcase(suite, promises);
    tcase_add_unchecked_fixture(kills, enter_folder, leave_folder);
    tcase_set_timeout(kills, 60);
    tcase_add_test(kills, what_was_synced_is_there_after_a_kill);
    tcase_add_test(kills, what_had_completed_is_there_after_a_kill);
    tcase_add_test(kills, what_is_lost_is_named);
    tcase_add_test(kills, a_loss_of_power_may_lose_what_was_not_synced);
    suite_add_tcase(suite, kills);
    tcase_add_unchecked_fixture(refusals, enter_folder, leave_folder);
    tcase_set_timeout(refusals, 60);
    tcase_add_test(refusals, only_a_journal_that_nobody_needs_is_replaced);
    tcase_add_test(refusals, jobs_that_cannot_have_one_are_refused);
    tcase_add_test(refusals, what_is_no_journal_is_refused);
    suite_add_tcase(suite, refusals);
    return suite;
}

int main(void)
{
    return run_suite(journal_suite());
}
