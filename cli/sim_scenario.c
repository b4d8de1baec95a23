/* cli/sim_scenario.c: `atoll sim scenario` and `atoll sim shrink`: runs that a text describes. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cli/client.h"
#include "cli/sim.h"
#include "sim/trial/fault_kinds.h"
#include "sim/trial/runs.h"
#include "sim/trial/shrink.h"

#define FILES_MAX 64
#define TEXT_MAX 65536
#define SHRINK_RUNS "500"

static const struct option_row scenario_rows[] = {
    { "jobs", 'j', OPTION_NUMBER, "N", NULL, "at a time; default: one for each processor" },
    { "verbose", 'v', OPTION_FLAG, NULL, NULL, "tell on stderr what happens" },
    { "messages", 0, OPTION_FLAG, NULL, NULL, "also what processes say to each other" },
    { "json", 0, OPTION_FLAG, NULL, NULL, "print one JSON object" },
};

const struct options_table sim_scenario_table = {
    .command = "sim scenario",
    .usage = "atoll sim scenario FILE… [--verbose | --messages] [OPTIONS]",
    .intro = "Run scenarios: clusters, faults and expectations written down in a text.\n"
             "Whatever must always hold is checked, too. docs/generated/scenarios.md tells the\n"
             "words. Exit code 1: one failed.",
    .examples = "  atoll sim scenario tests/scenarios/*.txt\n"
                "  atoll sim scenario --verbose frozen-owner.txt\n",
    .rows = scenario_rows,
    .count = ARRAY_COUNT(scenario_rows),
    .arguments_max = FILES_MAX,
};

static const struct option_row shrink_rows[] = {
    { "out", 'o', OPTION_STRING, "FILE", NULL, "write the scenario there, not to the screen" },
    { "runs", 0, OPTION_NUMBER, "N", SHRINK_RUNS, "at most, in all" },
    { "jobs", 'j', OPTION_NUMBER, "N", NULL, "at a time; default: one for each processor" },
    { "calm", 0, OPTION_FLAG, NULL, NULL, "the seed without faults" },
    { "only", 0, OPTION_STRING, "KIND", NULL, "the seed with faults of this kind alone" },
};

const struct options_table sim_shrink_table = {
    .command = "sim shrink",
    .usage = "atoll sim shrink SEED|FILE [--out FILE] [OPTIONS]",
    .intro =
        "Make a failing seed or scenario as small as it gets and still fails in the same way.\n"
        "Drops faults, nodes, readers and files, shortens what is left, and prints a scenario "
        "for\n`atoll sim scenario`. Exit code 3: it does not fail.",
    .examples = "  atoll sim shrink 335 --out 335.txt && atoll sim scenario --verbose 335.txt\n",
    .rows = shrink_rows,
    .count = ARRAY_COUNT(shrink_rows),
    .arguments_max = 1,
};

/* ---- files ------------------------------------------------------------------------------------- */

/* Tells on stderr what is wrong. */
static enum err read_scenario(const char *command, const char *path, struct scenario *out)
{
    static char data[TEXT_MAX];
    char room[256];
    struct text why;
    FILE *file = fopen(path, "re");
    const size_t size = file == NULL ? 0 : fread(data, 1, sizeof data, file);
    const bool failed = file == NULL || ferror(file) != 0;
    const int number = errno;
    if (file != NULL) {
        fclose(file);
    }
    if (failed || size == sizeof data) {
        fprintf(stderr, "atoll %s: %s: %s\n", command, path,
                failed ? strerror(number) : "too long: 64 KiB at most");
        return ERR_INVALID;
    }
    text_init(&why, room, sizeof room);
    enum err err = scenario_parse(span_of(data, size), out, &why);
    if (err != ERR_OK) {
        fprintf(stderr, "atoll %s: %s: %s\n", command, path, room);
    }
    return err;
}

/* "owner-killed" of "tests/scenarios/owner-killed.txt". */
static void name_of(const char *path, char out[SCENARIO_NAME_MAX])
{
    const char *slash = strrchr(path, '/');
    snprintf(out, SCENARIO_NAME_MAX, "%s", slash == NULL ? path : slash + 1);
    char *dot = strrchr(out, '.');
    if (dot != NULL && dot != out) {
        *dot = '\0';
    }
}

/* ---- scenario ---------------------------------------------------------------------------------- */

struct batch {
    const struct options *options;
    struct scenario scenarios[FILES_MAX];
    json_t *results; /* NULL: they are told as they come */
    uint32_t passed;
    uint32_t failed;
};

static void make(void *self, uint64_t index, struct scenario *out)
{
    *out = ((struct batch *)self)->scenarios[index];
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 1 : (double)part / (double)whole;
}

static bool done(void *self, uint64_t index, const struct trial_result *result)
{
    struct batch *batch = self;
    const char *path = options_argument(batch->options, (uint32_t)index);
    char name[SCENARIO_NAME_MAX];
    name_of(path, name);
    batch->passed += !result->failed;
    batch->failed += result->failed;
    if (batch->results != NULL) {
        json_array_append_new(
            batch->results,
            json_pack("{s:s, s:b, s:s, s:I, s:f, s:f, s:f}", "scenario", name, "passed",
                      !result->failed, "failure", result->failure, "read_bytes",
                      (json_int_t)result->bytes, "amplification",
                      ratio(result->given, result->unique), "repeated",
                      result->unique == 0 ? 0.0 : ratio(result->repeated, result->unique),
                      "longest_seconds", (double)result->longest_us / 1e6));
    } else if (result->failed) {
        printf("%-24s FAILED: %s\n", name, result->failure);
        printf("reproduce: atoll sim scenario --verbose %s\n", path);
    } else {
        printf("%-24s passed: %.0f MB read, amplification %.3f, longest request %.3f s\n", name,
               (double)result->bytes / 1e6, ratio(result->given, result->unique),
               (double)result->longest_us / 1e6);
    }
    fflush(stdout);
    return true;
}

static int run_batch(struct batch *batch, const struct runs *runs)
{
    const enum err err = runs_go(runs);
    if (err != ERR_OK) {
        fprintf(stderr, "atoll sim scenario: a process cannot be started: %s\n", strerror(errno));
        return err_exit_code(err);
    }
    if (batch->results != NULL) {
        json_t *all = json_pack("{s:i, s:i, s:O}", "passed", (int)batch->passed, "failed",
                                (int)batch->failed, "scenarios", batch->results);
        json_dumpf(all, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(all);
    } else {
        printf("%u passed, %u failed\n", batch->passed, batch->failed);
    }
    return batch->failed > 0 ? 1 : 0;
}

/* ERR_INVALID has been told. */
static enum err take_batch(const struct options *options, struct batch *batch, struct runs *runs)
{
    enum err err = ERR_OK;
    runs->count = options_arguments(options);
    runs->trial.messages = options_flag(options, "messages");
    runs->trial.verbose = options_flag(options, "verbose") || runs->trial.messages;
    if (runs->count == 0) {
        fprintf(stderr, "atoll sim scenario: name a FILE, or several\n");
        return ERR_INVALID;
    }
    if (!sim_jobs(options, &runs->jobs)) {
        fprintf(stderr, "atoll sim scenario: --jobs: must be 1 to 64\n");
        return ERR_INVALID;
    }
    runs->jobs = runs->trial.verbose ? 1 : runs->jobs;
    for (uint32_t i = 0; i < runs->count && err == ERR_OK; i++) {
        err = read_scenario("sim scenario", options_argument(options, i), &batch->scenarios[i]);
    }
    return err;
}

int sim_scenario(int argc, char **argv)
{
    static struct batch batch;
    struct runs runs = { .self = &batch, .make = make, .done = done };
    int status = 0;
    struct options *options = client_options(&sim_scenario_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    batch.options = options;
    const enum err err = take_batch(options, &batch, &runs);
    if (err == ERR_OK) {
        batch.results = options_flag(options, "json") ? json_array() : NULL;
        status = run_batch(&batch, &runs);
        json_decref(batch.results);
    } else {
        status = err_exit_code(err);
    }
    options_free(&options);
    return status;
}

/* ---- shrink ------------------------------------------------------------------------------------ */

static void told(void *self, uint32_t runs, const struct scenario *smaller)
{
    (void)self;
    fprintf(stderr, "%4u runs: %u faults, %u nodes, %u readers\n", runs, smaller->fault_count,
            smaller->node_count, smaller->reader_count);
}

/* The scenario of a seed or of a file; ERR_INVALID has been told. */
static enum err take_start(const struct options *options, struct scenario *out)
{
    const char *word = options_arguments(options) == 1 ? options_argument(options, 0) : NULL;
    struct draw draw;
    const char *fault = sim_draw(options, &draw);
    uint64_t seed = 0;
    if (word == NULL) {
        fprintf(stderr, "atoll sim shrink: give one SEED or FILE\n");
        return ERR_INVALID;
    }
    if (fault != NULL) {
        fprintf(stderr, "atoll sim shrink: %s\n", fault);
        return ERR_INVALID;
    }
    if (!parse_u64(span_text(word), &seed)) {
        return read_scenario("sim shrink", word, out);
    }
    if (seed > SIM_SEED_MAX) {
        fprintf(stderr, "atoll sim shrink: the last seed there is, is 9223372036854775807\n");
        return ERR_INVALID;
    }
    scenario_draw(seed, &draw, out);
    return ERR_OK;
}

/* Hundreds of runs are not for nothing when `path` cannot be written: the screen shows it, too. */
static enum err write_out(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    bool failed = file == NULL || fputs(text, file) < 0;
    if (file != NULL && fclose(file) != 0) {
        failed = true;
    }
    if (failed) {
        fprintf(stderr, "atoll sim shrink: %s: %s\n", path, strerror(errno));
        fputs(text, stdout);
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

static enum err write_smallest(const struct options *options, const struct scenario *scenario,
                               const struct shrink_result *result)
{
    static char room[TEXT_MAX];
    struct text text;
    const char *path = options_string(options, "out");
    text_init(&text, room, sizeof room);
    text_str(&text, "# ");
    text_str(&text, options_argument(options, 0));
    text_str(&text, ", as small as ");
    text_u64(&text, result->runs);
    text_str(&text, " runs made it. It fails:\n# ");
    text_str(&text, result->last.failure);
    text_char(&text, '\n');
    scenario_write(scenario, &text);
    if (path != NULL) {
        return write_out(path, room);
    }
    fputs(room, stdout);
    return ERR_OK;
}

static enum err shrink(const struct options *options)
{
    static struct scenario scenario;
    static struct shrink_result result;
    struct shrink_options how = { .told = told,
                                  .runs_max = (uint32_t)options_size(options, "runs") };
    if (!sim_jobs(options, &how.jobs)) {
        fprintf(stderr, "atoll sim shrink: --jobs: must be 1 to 64\n");
        return ERR_INVALID;
    }
    enum err err = take_start(options, &scenario);
    if (err != ERR_OK) {
        return err;
    }
    err = shrink_go(&scenario, &how, &result);
    if (err != ERR_OK) {
        fprintf(stderr, "atoll sim shrink: %s\n", err_text(err));
        return err;
    }
    if (!result.failed) {
        fprintf(stderr, "atoll sim shrink: it does not fail\n");
        return ERR_NOT_FOUND;
    }
    return write_smallest(options, &scenario, &result);
}

int sim_shrink(int argc, char **argv)
{
    int status = 0;
    struct options *options = client_options(&sim_shrink_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    const enum err err = shrink(options);
    options_free(&options);
    return err_exit_code(err);
}
