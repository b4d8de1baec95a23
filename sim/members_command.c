#include "sim/members_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/members_cases.h"

struct settings {
    const struct members_case *what;
    uint32_t nodes; /* 0: the case's */
    uint32_t seeds;
    uint64_t from;
    double scale;
    bool json;
    bool marks;
    bool verbose;
};

static void usage(FILE *to)
{
    fputs(
        "usage: atoll sim membership CASE [--nodes N] [--seeds N] [--from K] [--scale X] [--json]\n"
        "  runs Atoll's membership by the thousand in virtual time, and compares with its goals\n"
        "  --nodes N   so many members (the case's own number)\n"
        "  --seeds N   so many runs (the case's own number), the first with seed K (1)\n"
        "  --scale X   X times as long\n"
        "  --json      one object instead of a table\n"
        "  --marks     and which rare branches were taken\n"
        "  --verbose   tell on stderr what happens\n"
        "cases:\n",
        to);
    for (uint32_t i = 0; members_case_at(i) != NULL; i++) {
        const struct members_case *what = members_case_at(i);
        fprintf(to, "  %-10s %-4s %s\n", what->name, what->goal, what->about);
    }
}

static int bad_usage(const char *what)
{
    fprintf(stderr, "atoll sim membership: %s\n", what);
    usage(stderr);
    return 2;
}

static bool take_option(struct settings *s, int code)
{
    char *end = NULL;
    const double value = optarg != NULL ? strtod(optarg, &end) : 0;
    if (optarg != NULL && (end == optarg || *end != '\0' || value < 0 || value > 1e9)) {
        return false;
    }
    switch (code) {
    case 'n':
        s->nodes = (uint32_t)value;
        return true;
    case 's':
        s->seeds = (uint32_t)value;
        return true;
    case 'f':
        s->from = (uint64_t)value;
        return true;
    case 'x':
        s->scale = value;
        return true;
    case 'j':
        s->json = true;
        return true;
    case 'm':
        s->marks = true;
        return true;
    case 'v':
        s->verbose = true;
        return true;
    default:
        return false;
    }
}

static bool is_met(const struct members_column *column, double value)
{
    return column->goal < 0 || value <= column->goal;
}

static void print_table(const struct members_case *what, const struct members_trial *trial,
                        uint32_t seeds, double took)
{
    printf("%s (%s), %u members, %u seeds: %s\n", what->name, what->goal, trial->nodes, seeds,
           what->about);
    for (const struct members_column *c = what->columns; c->title != NULL; c++) {
        const double value = members_figure(trial, c);
        char goal[32] = "-";
        if (c->goal >= 0) {
            snprintf(goal, sizeof goal, "<= %g", c->goal);
        }
        printf("  %-34s %10.3f %-6s goal %-10s %s\n", c->title, value, c->unit, goal,
               c->goal < 0        ? ""
               : is_met(c, value) ? "met"
                                  : "MISSED");
    }
    printf("  %.0f virtual seconds in %.1f s: %.0f times real time, %.2f us a step\n",
           (double)trial->simulated_us / 1e6, took, (double)trial->simulated_us / 1e6 / took,
           took * 1e6 / (double)trial->steps);
}

static void print_json(const struct members_case *what, const struct members_trial *trial,
                       uint32_t seeds, double took)
{
    printf("{\"case\": \"%s\", \"goal\": \"%s\", \"nodes\": %u, \"seeds\": %u, "
           "\"virtual_s\": %.3f, \"real_s\": %.3f, \"figures\": [",
           what->name, what->goal, trial->nodes, seeds, (double)trial->simulated_us / 1e6, took);
    for (const struct members_column *c = what->columns; c->title != NULL; c++) {
        const double value = members_figure(trial, c);
        printf("%s{\"title\": \"%s\", \"unit\": \"%s\", \"value\": %.6g",
               c == what->columns ? "" : ", ", c->title, c->unit, value);
        if (c->goal >= 0) {
            printf(", \"at_most\": %g, \"met\": %s", c->goal, is_met(c, value) ? "true" : "false");
        }
        fputs("}", stdout);
    }
    puts("]}");
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int run(const struct settings *s)
{
    static struct marks marks;
    struct members_trial trial = { .nodes = s->nodes > 0 ? s->nodes : s->what->nodes,
                                   .scale = s->scale,
                                   .verbose = s->verbose,
                                   .marks = &marks };
    const uint32_t seeds = s->seeds > 0 ? s->seeds : s->what->seeds;
    const double began = now_s();
    bool met = true;
    for (uint32_t i = 0; i < seeds; i++) {
        trial.seed = s->from + i;
        s->what->run(&trial);
        if (trial.failure[0] != '\0') {
            fprintf(stderr, "seed %llu: %s\n", (unsigned long long)trial.seed, trial.failure);
            return 1;
        }
    }
    for (const struct members_column *c = s->what->columns; c->title != NULL; c++) {
        met = met && is_met(c, members_figure(&trial, c));
    }
    (s->json ? print_json : print_table)(s->what, &trial, seeds, now_s() - began);
    for (uint32_t i = 0; s->marks && i < marks.used; i++) {
        printf("  %10llu %s\n", (unsigned long long)marks.slot[i].count, marks.slot[i].name);
    }
    for (uint32_t i = 0; i < MEMBERS_SERIES_MAX; i++) {
        free(trial.series[i].values);
    }
    return met ? 0 : 1;
}

int members_command(int argc, char **argv)
{
    static const struct option options[] = {
        { "nodes", required_argument, NULL, 'n' },
        { "seeds", required_argument, NULL, 's' },
        { "from", required_argument, NULL, 'f' },
        { "scale", required_argument, NULL, 'x' },
        { "json", no_argument, NULL, 'j' },
        { "marks", no_argument, NULL, 'm' },
        { "verbose", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct settings s = { .from = 1, .scale = 1 };
    optind = 1;
    for (int code; (code = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (code == 'h') {
            usage(stdout);
            return 0;
        }
        if (!take_option(&s, code)) {
            return bad_usage("that is no option, or no number");
        }
    }
    if (optind + 1 != argc) {
        return bad_usage("one case, please");
    }
    s.what = members_case_find(argv[optind]);
    return s.what != NULL ? run(&s) : bad_usage("no such case");
}
