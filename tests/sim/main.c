/* tests/sim/main.c: atoll_simtest: many seeds, each in a process of its own (docs/simulator.md). */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/faults.h"
#include "tests/sim/trial.h"

#define JOBS_MAX 64
#define SEED_SECONDS_MAX 120 /* of real time */

struct settings {
    struct trial_options trial;
    uint64_t from;
    uint64_t count;
    uint32_t jobs;
    bool one;  /* --seed */
    bool stop; /* at the first failure */
    const char *hashes;
    bool marks;
};

/* A child that runs one seed. */
struct child {
    pid_t pid; /* 0: none */
    uint64_t seed;
    int result; /* what it read comes from there */
    int words;  /* what it said on stderr */
};

struct sums {
    uint64_t passed;
    uint64_t failed;
    uint64_t steps;
    uint64_t given;
    uint64_t unique;
    uint64_t repeated;
    uint64_t bytes;
    usec_t longest_us;
    struct marks marks;
    uint64_t *kept; /* hashes, in the order of the seeds */
};

static void usage(FILE *to)
{
    fputs("atoll_simtest [--seeds N] [--from K] [--jobs J] [--hashes FILE] [--marks] [--stop]\n"
          "atoll_simtest --seed K [--verbose | --messages]\n"
          "  runs whole nodes and mounts in a virtual world: a minute for each seed\n"
          "  --seeds N     so many seeds (50), from K (1), J at a time (2)\n"
          "  --seed K      this one alone; --verbose tells on stderr what happens,\n"
          "                --messages also what processes say to each other\n"
          "  --calm        without faults\n"
          "  --only KIND   only faults of this kind\n"
          "  --hashes FILE write each seed and the hash of its log, to compare two builds\n"
          "  --marks       list the rare branches that were taken, and how often\n"
          "  --stop        stop at the first seed that fails\n",
          to);
}

static void bad_usage(const char *what)
{
    fprintf(stderr, "atoll_simtest: %s\n", what);
    usage(stderr);
    exit(2);
}

static uint64_t number(const char *text)
{
    char *end = NULL;
    const uint64_t value = strtoull(text, &end, 0);
    if (end == text || *end != '\0') {
        bad_usage("a number is expected");
    }
    return value;
}

enum option_code {
    OPT_SEEDS = 1,
    OPT_FROM,
    OPT_JOBS,
    OPT_SEED,
    OPT_VERBOSE,
    OPT_MESSAGES,
    OPT_CALM,
    OPT_ONLY,
    OPT_HASHES,
    OPT_MARKS,
    OPT_STOP,
    OPT_HELP,
};

static const struct option long_options[] = {
    { "seeds", required_argument, NULL, OPT_SEEDS },
    { "from", required_argument, NULL, OPT_FROM },
    { "jobs", required_argument, NULL, OPT_JOBS },
    { "seed", required_argument, NULL, OPT_SEED },
    { "verbose", no_argument, NULL, OPT_VERBOSE },
    { "messages", no_argument, NULL, OPT_MESSAGES },
    { "calm", no_argument, NULL, OPT_CALM },
    { "only", required_argument, NULL, OPT_ONLY },
    { "hashes", required_argument, NULL, OPT_HASHES },
    { "marks", no_argument, NULL, OPT_MARKS },
    { "stop", no_argument, NULL, OPT_STOP },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 },
};

static void take_option(struct settings *settings, int code)
{
    switch (code) {
    case OPT_SEEDS:
        settings->count = number(optarg);
        return;
    case OPT_FROM:
        settings->from = number(optarg);
        return;
    case OPT_JOBS:
        settings->jobs = (uint32_t)number(optarg);
        return;
    case OPT_SEED:
        settings->one = true;
        settings->from = number(optarg);
        settings->count = 1;
        return;
    case OPT_VERBOSE:
        settings->trial.verbose = true;
        return;
    case OPT_MESSAGES:
        settings->trial.verbose = true;
        settings->trial.messages = true;
        return;
    case OPT_CALM:
        settings->trial.calm = true;
        return;
    case OPT_ONLY:
        settings->trial.only = optarg;
        return;
    case OPT_HASHES:
        settings->hashes = optarg;
        return;
    case OPT_MARKS:
        settings->marks = true;
        return;
    case OPT_STOP:
        settings->stop = true;
        return;
    case OPT_HELP:
        usage(stdout);
        exit(0);
    default:
        usage(stderr);
        exit(2);
    }
}

static void read_options(int argc, char **argv, struct settings *settings)
{
    int code;
    *settings = (struct settings){ .from = 1, .count = 50, .jobs = 2 };
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        take_option(settings, code);
    }
    if (optind != argc || settings->jobs == 0 || settings->jobs > JOBS_MAX) {
        bad_usage("see the usage");
    }
    if (settings->trial.only != NULL && !faults_is_kind(settings->trial.only)) {
        bad_usage("no such kind of fault");
    }
}

/* ---- one seed in a child --------------------------------------------------------------------- */

static _Noreturn void run_child(const struct settings *settings, uint64_t seed, int result)
{
    static struct trial_result out;
    struct trial_options options = settings->trial;
    options.seed = seed;
    alarm(SEED_SECONDS_MAX);
    trial_run(&options, &out);
    const uint8_t *at = (const uint8_t *)&out;
    size_t left = sizeof out;
    while (left > 0) {
        const ssize_t wrote = write(result, at, left);
        if (wrote <= 0) {
            _exit(3);
        }
        at += wrote;
        left -= (size_t)wrote;
    }
    fflush(NULL);
    _exit(0);
}

static void child_start(const struct settings *settings, uint64_t seed, struct child *child)
{
    int result[2];
    int words[2];
    if (pipe(result) != 0 || pipe(words) != 0) {
        perror("pipe");
        exit(1);
    }
    fflush(NULL);
    child->pid = fork();
    if (child->pid < 0) {
        perror("fork");
        exit(1);
    }
    if (child->pid == 0) {
        close(result[0]);
        close(words[0]);
        if (!settings->trial.verbose) {
            dup2(words[1], STDERR_FILENO);
        }
        run_child(settings, seed, result[1]);
    }
    close(result[1]);
    close(words[1]);
    child->seed = seed;
    child->result = result[0];
    child->words = words[0];
}

/* All of a pipe, or as much as fits. */
static size_t read_all(int fd, void *to, size_t room)
{
    size_t used = 0;
    ssize_t got = 0;
    while (used < room && (got = read(fd, (char *)to + used, room - used)) > 0) {
        used += (size_t)got;
    }
    return used;
}

/* Why a child that gave no result died. */
static void explain(struct child *child, int status, char *out, size_t room)
{
    const size_t used = read_all(child->words, out, room - 1);
    out[used] = '\0';
    char *line_end = strchr(out, '\n');
    if (line_end != NULL) {
        *line_end = '\0';
    }
    if (used == 0 && WIFSIGNALED(status)) {
        snprintf(out, room, "%s",
                 WTERMSIG(status) == SIGALRM ? "took too long" : strsignal(WTERMSIG(status)));
    }
}

static void child_end(struct child *child, struct trial_result *out)
{
    int status = 0;
    const size_t got = read_all(child->result, out, sizeof *out);
    if (waitpid(child->pid, &status, 0) < 0) {
        perror("waitpid");
        exit(1);
    }
    if (got != sizeof *out) {
        memset(out, 0, sizeof *out);
        out->failed = true;
        explain(child, status, out->failure, sizeof out->failure);
    }
    close(child->result);
    close(child->words);
    child->pid = 0;
}

/* ---- all of them ------------------------------------------------------------------------------- */

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

static void add(const struct settings *settings, struct sums *sums, uint64_t seed,
                const struct trial_result *result)
{
    sums->passed += !result->failed;
    sums->failed += result->failed;
    sums->steps += result->steps;
    sums->given += result->given;
    sums->unique += result->unique;
    sums->repeated += result->repeated;
    sums->bytes += result->bytes;
    sums->longest_us = usec_max(sums->longest_us, result->longest_us);
    add_marks(&sums->marks, &result->marks);
    sums->kept[seed - settings->from] = result->hash;
    if (settings->one && !result->failed) {
        printf("seed=%llu hash=%016llx ops and bytes read: %llu, %llu; longest request %.3f s; "
               "faults: %s\n",
               (unsigned long long)seed, (unsigned long long)result->hash,
               (unsigned long long)result->ops, (unsigned long long)result->bytes,
               (double)result->longest_us / 1e6, result->faults);
    }
    if (result->failed) {
        printf("seed=%llu hash=%016llx FAILED: %s (faults: %s)\n", (unsigned long long)seed,
               (unsigned long long)result->hash, result->failure, result->faults);
        printf("reproduce: atoll_simtest --seed %llu --verbose%s%s%s\n", (unsigned long long)seed,
               settings->trial.calm ? " --calm" : "",
               settings->trial.only != NULL ? " --only " : "",
               settings->trial.only != NULL ? settings->trial.only : "");
    }
    fflush(stdout);
}

/* The next child that has something to say, or has ended. */
static struct child *wait_for_one(struct child *children, uint32_t jobs)
{
    struct pollfd fds[JOBS_MAX];
    struct child *of[JOBS_MAX];
    nfds_t count = 0;
    for (uint32_t i = 0; i < jobs; i++) {
        if (children[i].pid != 0) {
            of[count] = &children[i];
            fds[count++] = (struct pollfd){ .fd = children[i].result, .events = POLLIN };
        }
    }
    if (count == 0) {
        return NULL;
    }
    if (poll(fds, count, -1) < 0) {
        perror("poll");
        exit(1);
    }
    nfds_t at = 0;
    while (fds[at].revents == 0) {
        at++;
    }
    return of[at];
}

static void run_all(const struct settings *settings, struct sums *sums)
{
    static struct child children[JOBS_MAX];
    static struct trial_result result;
    uint64_t started = 0;
    for (;;) {
        const bool enough = settings->stop && sums->failed > 0;
        for (uint32_t i = 0; i < settings->jobs; i++) {
            if (children[i].pid == 0 && started < settings->count && !enough) {
                child_start(settings, settings->from + started, &children[i]);
                started++;
            }
        }
        struct child *child = wait_for_one(children, settings->jobs);
        if (child == NULL) {
            return;
        }
        const uint64_t seed = child->seed;
        child_end(child, &result);
        add(settings, sums, seed, &result);
    }
}

static void tell(const struct settings *settings, const struct sums *sums)
{
    if (settings->marks) {
        for (uint32_t i = 0; i < sums->marks.used; i++) {
            printf("mark %-32s %llu\n", sums->marks.slot[i].name,
                   (unsigned long long)sums->marks.slot[i].count);
        }
    }
    printf(
        "read %.1f GB; the source gave %.1f MB, %.1f MB of them unique; asked for again although "
        "a live node had it: %.1f MB; longest request %.3f s; %u marks hit\n",
        (double)sums->bytes / 1e9, (double)sums->given / 1e6, (double)sums->unique / 1e6,
        (double)sums->repeated / 1e6, (double)sums->longest_us / 1e6, sums->marks.used);
    printf("%llu passed, %llu failed\n", (unsigned long long)sums->passed,
           (unsigned long long)sums->failed);
}

static void write_hashes(const struct settings *settings, const struct sums *sums)
{
    FILE *file = fopen(settings->hashes, "w");
    if (file == NULL) {
        perror(settings->hashes);
        exit(1);
    }
    for (uint64_t i = 0; i < settings->count; i++) {
        fprintf(file, "%llu %016llx\n", (unsigned long long)(settings->from + i),
                (unsigned long long)sums->kept[i]);
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    struct settings settings;
    static struct sums sums;
    read_options(argc, argv, &settings);
    sums.kept = calloc(settings.count + 1, sizeof *sums.kept);
    if (sums.kept == NULL) {
        return 1;
    }
    run_all(&settings, &sums);
    if (settings.hashes != NULL) {
        write_hashes(&settings, &sums);
    }
    tell(&settings, &sums);
    free(sums.kept);
    return sums.failed > 0 ? 1 : 0;
}
