/* cli/sim_fuzz.c: `atoll sim fuzz` and `atoll sim replay`: seeds, and what came of them. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/client.h"
#include "cli/sim.h"
#include "cli/sim_hashes.h"
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
    .intro =
        "Run clusters made from seeds, with faults, and check what must hold.\n"
        "Each seed makes nodes, mounts, readers, files and a minute and a half of life. One "
        "that fails is\ntold with the command that runs it again. Exit code 1: some failed; 6: "
        "they ran, but FILE of\n"
        "--hashes could not be written. SIGINT and SIGTERM end it with what came of those that "
        "ran.",
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
    struct sim_hashes *hashes; /* may be NULL */
    uint64_t over;             /* so many seeds from the first have ended */
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
    if (tally->hashes != NULL) {
        sim_hashes_set(tally->hashes, index, result->hash);
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
    json_t *all = json_pack(
        "{s:I, s:I, s:I, s:I, s:O, s:I, s:I, s:I, s:I, s:f}", "first", (json_int_t)tally->first,
        "over", (json_int_t)tally->over, "passed", (json_int_t)tally->passed, "failed",
        (json_int_t)tally->failed, "failures", tally->failures, "read_bytes",
        (json_int_t)tally->bytes, "source_bytes", (json_int_t)tally->given, "source_unique_bytes",
        (json_int_t)tally->unique, "repeated_bytes", (json_int_t)tally->repeated, "longest_seconds",
        (double)tally->longest_us / 1e6);
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
    if (tally->first > SIM_SEED_MAX - (tally->count - 1)) {
        return "--first: the last seed there is, 9223372036854775807, is before the last one of "
               "--seeds";
    }
    if (!sim_jobs(options, &runs->jobs)) {
        return "--jobs: must be 1 to 64";
    }
    return sim_draw(options, &tally->draw);
}

/* A descriptor that can be read when the run is to end. Children must not end before they are told to,
 * so the signals are held back in all. < 0: errno. */
static int open_signals(void)
{
    static const int numbers[] = { SIGINT, SIGTERM };
    sigset_t set;
    sigemptyset(&set);
    for (uint32_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(&set, numbers[i]); /* a shell lets what runs behind it ignore SIGINT */
        }
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Why they ended, before all had run or not; the exit code. `number`: of a failure of the system. */
static int tell_why(const struct tally *tally, int signals, enum err err, int number)
{
    struct signalfd_siginfo info = { .ssi_signo = SIGINT };
    if (err == ERR_OK) {
        return tally->failed > 0 ? 1 : 0;
    }
    if (err != ERR_CANCELLED) {
        fprintf(stderr, "atoll sim fuzz: a process cannot be started: %s\n", strerror(number));
        return err_exit_code(err);
    }
    const ssize_t got = read(signals, &info, sizeof info);
    CHECK(got == (ssize_t)sizeof info);
    fprintf(stderr, "atoll sim fuzz: %s\n", strsignal((int)info.ssi_signo));
    return 128 + (int)info.ssi_signo; /* as a shell gives for who dies of it */
}

/* What came of them, and how to go on; the exit code. */
static int tell_end(const struct options *options, struct tally *tally, int signals, enum err err)
{
    const int number = errno;
    const bool whole = err == ERR_OK && tally->over == tally->count;
    if (tally->quiet) {
        tell_json(tally, options_flag(options, "marks"));
    } else {
        tell_all(tally, options_flag(options, "marks"));
    }
    fflush(stdout);
    int status = tell_why(tally, signals, err, number);
    if (tally->over < tally->count) {
        fprintf(stderr,
                "atoll sim fuzz: the first %" PRIu64 " seeds have run; to go on: --first %" PRIu64
                " --seeds %" PRIu64 "\n",
                tally->over, tally->first + tally->over, tally->count - tally->over);
    }
    if (tally->hashes != NULL) {
        err = sim_hashes_end(&tally->hashes, tally->first, tally->over, whole);
        status = status == 0 ? err_exit_code(err) : status;
    }
    return status;
}

static int fuzz(const struct options *options, struct tally *tally, struct runs *runs)
{
    const char *file = options_string(options, "hashes");
    enum err err = ERR_OK;
    if (file != NULL) {
        err = sim_hashes_new(file, tally->count, &tally->hashes);
    }
    if (err != ERR_OK) {
        return err_exit_code(err);
    }
    const int signals = open_signals();
    if (signals < 0) {
        fprintf(stderr, "atoll sim fuzz: signals cannot be waited for: %s\n", strerror(errno));
        if (tally->hashes != NULL) {
            (void)!sim_hashes_end(&tally->hashes, tally->first, 0, false);
        }
        return err_exit_code(ERR_SYSTEM);
    }
    runs->over = &tally->over;
    runs->stop = &signals;
    err = runs_go(runs);
    runs->stop = NULL;
    const int status = tell_end(options, tally, signals, err);
    close(signals);
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
    const char *fault = sim_draw(options, &tally.draw);
    const bool text = options_flag(options, "text");
    runs.trial.messages = options_flag(options, "messages");
    runs.trial.verbose = options_flag(options, "verbose") || runs.trial.messages;
    if (text && runs.trial.verbose) {
        fault = "--text: nothing is run, so --verbose and --messages have nothing to tell";
    }
    if (!parse_u64(span_text(word), &tally.first) || tally.first > SIM_SEED_MAX) {
        fault = "give the number of one SEED, 9223372036854775807 at most";
    }
    tally.each = true;
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
