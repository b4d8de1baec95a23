/* cli/sim_fuzz.c: `atoll sim fuzz` and `atoll sim replay`: seeds, and what came of them. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/client.h"
#include "cli/sim.h"
#include "sim/trial/fault_kinds.h"
#include "sim/trial/runs.h"

#define SEEDS_MAX 100000000u

static const struct option_row fuzz_rows[] = {
    { "seeds", 'n', OPTION_NUMBER, "N", "100", "how many" },
    { "first", 0, OPTION_NUMBER, "SEED", "1", "the first of them" },
    { "jobs", 'j', OPTION_NUMBER, "N", NULL, "at a time; default: one for each processor" },
    { "stop", 0, OPTION_FLAG, NULL, NULL, "at the first seed that fails" },
    { "calm", 0, OPTION_FLAG, NULL, NULL, "without faults" },
    { "only", 0, OPTION_STRING, "KIND", NULL, "faults of this kind alone, several of them" },
    { "hashes", 0, OPTION_STRING, "FILE", NULL,
      "write each seed and the hash of its log, to compare two builds" },
    { "marks", 0, OPTION_FLAG, NULL, NULL, "list rare branches of the code that were taken" },
    { "json", 0, OPTION_FLAG, NULL, NULL, "print one JSON object" },
};

const struct options_table sim_fuzz_table = {
    .command = "sim fuzz",
    .usage = "atoll sim fuzz [--seeds N] [--first SEED] [--jobs N] [OPTIONS]",
    .intro = "Run clusters made from seeds, with faults, and check what must hold.\n"
             "Each seed makes nodes, mounts, readers, files and a minute and a half of life. One "
             "that fails is\ntold with the command that runs it again. Exit code 1: some failed.",
    .examples = "  atoll sim fuzz --seeds 1000\n"
                "  atoll sim fuzz --seeds 200 --first 5001 --only leave --json\n",
    .rows = fuzz_rows,
    .count = ARRAY_COUNT(fuzz_rows),
};

static const struct option_row replay_rows[] = {
    { "verbose", 'v', OPTION_FLAG, NULL, NULL, "tell on stderr what happens" },
    { "messages", 0, OPTION_FLAG, NULL, NULL, "also what processes say to each other" },
    { "calm", 0, OPTION_FLAG, NULL, NULL, "without faults" },
    { "only", 0, OPTION_STRING, "KIND", NULL, "faults of this kind alone" },
    { "text", 0, OPTION_FLAG, NULL, NULL,
      "do not run it: print it as a text for `atoll sim scenario`" },
};

const struct options_table sim_replay_table = {
    .command = "sim replay",
    .usage = "atoll sim replay SEED [--verbose | --messages] [OPTIONS]",
    .intro = "Run one seed again: the same in every step, with any build of the same code.\n"
             "Exit code 1: it failed.",
    .examples = "  atoll sim replay 335 --verbose 2>335.log\n",
    .rows = replay_rows,
    .count = ARRAY_COUNT(replay_rows),
    .arguments_max = 1,
};

/* ---- what came of them ------------------------------------------------------------------------- */

struct tally {
    uint64_t first; /* seed */
    uint64_t count;
    struct draw draw;
    bool stop;  /* at the first failure */
    bool quiet; /* JSON will tell */
    bool each;  /* of the good ones, too */
    json_t *failures;
    FILE *hashes; /* may be NULL */
    uint64_t *hash_of;
    uint64_t passed;
    uint64_t failed;
    uint64_t given;
    uint64_t unique;
    uint64_t repeated;
    uint64_t bytes;
    usec_t longest_us;
    struct marks marks;
};

static void add_marks(struct marks *to, const struct marks *from)
{
    for (uint32_t i = 0; i < from->used; i++) {
        uint32_t at = 0;
        while (at < to->used && strcmp(to->slot[at].name, from->slot[i].name) != 0) {
            at++;
        }
        if (at == to->used && at < MARKS_MAX) {
            to->slot[to->used++].name = from->slot[i].name;
        }
        if (at < MARKS_MAX) {
            to->slot[at].count += from->slot[i].count;
        }
    }
}

static void tell_failure(const struct tally *tally, uint64_t seed,
                         const struct trial_result *result)
{
    const struct draw *draw = &tally->draw;
    printf("seed=%" PRIu64 " hash=%016" PRIx64 " FAILED: %s (faults: %s)\n", seed, result->hash,
           result->failure, result->faults);
    printf("reproduce: atoll sim replay %" PRIu64 " --verbose%s%s%s\n", seed,
           draw->calm ? " --calm" : "", draw->only != NULL ? " --only " : "",
           draw->only != NULL ? draw->only : "");
}

static void tell_success(uint64_t seed, const struct trial_result *result)
{
    printf("seed=%" PRIu64 " hash=%016" PRIx64 " %" PRIu64 " requests, %" PRIu64
           " bytes read; longest request %.3f s; faults: %s\n",
           seed, result->hash, result->ops, result->bytes, (double)result->longest_us / 1e6,
           result->faults);
}

static void note_failure(struct tally *tally, uint64_t seed, const struct trial_result *result)
{
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, result->hash);
    json_array_append_new(tally->failures,
                          json_pack("{s:I, s:s, s:s, s:s}", "seed", (json_int_t)seed, "hash", hash,
                                    "failure", result->failure, "faults", result->faults));
}

static void make(void *self, uint64_t index, struct scenario *out)
{
    const struct tally *tally = self;
    scenario_draw(tally->first + index, &tally->draw, out);
}

static bool done(void *self, uint64_t index, const struct trial_result *result)
{
    struct tally *tally = self;
    const uint64_t seed = tally->first + index;
    tally->passed += !result->failed;
    tally->failed += result->failed;
    tally->given += result->given;
    tally->unique += result->unique;
    tally->repeated += result->repeated;
    tally->bytes += result->bytes;
    tally->longest_us = usec_max(tally->longest_us, result->longest_us);
    add_marks(&tally->marks, &result->marks);
    if (tally->hash_of != NULL) {
        tally->hash_of[index] = result->hash;
    }
    if (tally->quiet) {
        if (result->failed) {
            note_failure(tally, seed, result);
        }
    } else if (result->failed) {
        tell_failure(tally, seed, result);
    } else if (tally->each) {
        tell_success(seed, result);
    }
    fflush(stdout);
    return !tally->stop || tally->failed == 0;
}

static void tell_all(const struct tally *tally, bool marks)
{
    for (uint32_t i = 0; marks && i < tally->marks.used; i++) {
        printf("mark %-32s %" PRIu64 "\n", tally->marks.slot[i].name, tally->marks.slot[i].count);
    }
    printf(
        "read %.1f GB; the source gave %.1f MB, %.1f MB of them unique; asked for again although "
        "a live node had it: %.1f MB; longest request %.3f s; %u marks hit\n",
        (double)tally->bytes / 1e9, (double)tally->given / 1e6, (double)tally->unique / 1e6,
        (double)tally->repeated / 1e6, (double)tally->longest_us / 1e6, tally->marks.used);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", tally->passed, tally->failed);
}

static void tell_json(const struct tally *tally, bool with_marks)
{
    json_t *all =
        json_pack("{s:I, s:I, s:I, s:O, s:I, s:I, s:I, s:I, s:f}", "first",
                  (json_int_t)tally->first, "passed", (json_int_t)tally->passed, "failed",
                  (json_int_t)tally->failed, "failures", tally->failures, "read_bytes",
                  (json_int_t)tally->bytes, "source_bytes", (json_int_t)tally->given,
                  "source_unique_bytes", (json_int_t)tally->unique, "repeated_bytes",
                  (json_int_t)tally->repeated, "longest_seconds", (double)tally->longest_us / 1e6);
    if (with_marks) {
        json_t *marks = json_object();
        for (uint32_t i = 0; i < tally->marks.used; i++) {
            json_object_set_new(marks, tally->marks.slot[i].name,
                                json_integer((json_int_t)tally->marks.slot[i].count));
        }
        json_object_set_new(all, "marks", marks);
    }
    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(all);
}

/* ---- fuzz ---------------------------------------------------------------------------------------- */

/* NULL, or what is wrong. */
static const char *take_draw(const struct options *options, struct draw *out)
{
    out->calm = options_flag(options, "calm");
    out->only = options_string(options, "only");
    return out->only == NULL || fault_kinds_find(span_text(out->only)) != NULL
               ? NULL
               : "--only: there is no such kind of fault; see docs/simulator.md";
}

static const char *take_fuzz(const struct options *options, struct tally *tally, struct runs *runs)
{
    tally->first = options_size(options, "first");
    tally->count = options_size(options, "seeds");
    tally->stop = options_flag(options, "stop");
    tally->quiet = options_flag(options, "json");
    runs->count = tally->count;
    if (tally->count == 0 || tally->count > SEEDS_MAX) {
        return "--seeds: must be 1 to 100000000";
    }
    if (!sim_jobs(options, &runs->jobs)) {
        return "--jobs: must be 1 to 64";
    }
    return take_draw(options, &tally->draw);
}

static void write_hashes(const struct tally *tally)
{
    for (uint64_t i = 0; i < tally->count; i++) {
        fprintf(tally->hashes, "%" PRIu64 " %016" PRIx64 "\n", tally->first + i, tally->hash_of[i]);
    }
}

static int run_seeds(const struct options *options, struct tally *tally, const struct runs *runs)
{
    const enum err err = runs_go(runs);
    if (err != ERR_OK) {
        fprintf(stderr, "atoll sim fuzz: a process cannot be started: %s\n", strerror(errno));
        return err_exit_code(err);
    }
    if (tally->hashes != NULL) {
        write_hashes(tally);
    }
    if (tally->quiet) {
        tell_json(tally, options_flag(options, "marks"));
    } else {
        tell_all(tally, options_flag(options, "marks"));
    }
    return tally->failed > 0 ? 1 : 0;
}

static int fuzz(const struct options *options, struct tally *tally, const struct runs *runs)
{
    const char *file = options_string(options, "hashes");
    int status = 0;
    if (file != NULL) {
        tally->hashes = fopen(file, "we");
        tally->hash_of = calloc(tally->count, sizeof *tally->hash_of);
    }
    if (file != NULL && (tally->hashes == NULL || tally->hash_of == NULL)) {
        fprintf(stderr, "atoll sim fuzz: %s: %s\n", file, strerror(errno));
        status = err_exit_code(ERR_SYSTEM);
    } else {
        status = run_seeds(options, tally, runs);
    }
    if (tally->hashes != NULL && fclose(tally->hashes) != 0) {
        fprintf(stderr, "atoll sim fuzz: %s: %s\n", file, strerror(errno));
        status = err_exit_code(ERR_SYSTEM);
    }
    free(tally->hash_of);
    return status;
}

int sim_fuzz(int argc, char **argv)
{
    static struct tally tally;
    struct runs runs = { .self = &tally, .make = make, .done = done };
    int status = 0;
    struct options *options = client_options(&sim_fuzz_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    const char *fault = take_fuzz(options, &tally, &runs);
    if (fault != NULL) {
        fprintf(stderr, "atoll sim fuzz: %s\n", fault);
        status = err_exit_code(ERR_INVALID);
    } else {
        tally.failures = json_array();
        status = fuzz(options, &tally, &runs);
        json_decref(tally.failures);
    }
    options_free(&options);
    return status;
}

/* ---- replay -------------------------------------------------------------------------------------- */

static void put_text(const struct tally *tally)
{
    static struct scenario scenario;
    static char room[65536];
    struct text text;
    text_init(&text, room, sizeof room);
    scenario_draw(tally->first, &tally->draw, &scenario);
    scenario_write(&scenario, &text);
    fputs(room, stdout);
}

int sim_replay(int argc, char **argv)
{
    static struct tally tally;
    struct runs runs = { .count = 1, .jobs = 1, .self = &tally, .make = make, .done = done };
    int status = 0;
    struct options *options = client_options(&sim_replay_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    const char *word = options_arguments(options) == 1 ? options_argument(options, 0) : "";
    const char *fault = take_draw(options, &tally.draw);
    if (!parse_u64(span_text(word), &tally.first)) {
        fault = "give the number of one SEED";
    }
    runs.trial.messages = options_flag(options, "messages");
    runs.trial.verbose = options_flag(options, "verbose") || runs.trial.messages;
    tally.each = true;
    const bool text = options_flag(options, "text");
    enum err err = fault != NULL ? ERR_INVALID : text ? ERR_OK : runs_go(&runs);
    if (err == ERR_OK && text) {
        put_text(&tally);
    } else if (err != ERR_OK) {
        fprintf(stderr, "atoll sim replay: %s\n",
                fault != NULL ? fault : "a process cannot be started");
        status = err_exit_code(err);
    } else {
        status = tally.failed > 0 ? 1 : 0;
    }
    options_free(&options);
    return status;
}
