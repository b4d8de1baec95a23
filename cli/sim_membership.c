/* cli/sim_membership.c: `atoll sim membership CASE`: membership by the thousand, beside its goals. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "cli/client.h"
#include "cli/sim.h"
#include "sim/members_cases.h"

#define NODES_MAX 100000u
#define SEEDS_MAX 1000000u

static const struct option_row rows[] = {
    { "nodes", 0, OPTION_NUMBER, "N", NULL, "how many members; default: what the goal says" },
    { "seeds", 'n', OPTION_NUMBER, "N", NULL, "how many runs; default: the case's own number" },
    { "first", 0, OPTION_NUMBER, "SEED", "1", "the first seed" },
    { "percent", 0, OPTION_NUMBER, "N", "100", "so much of the case's length" },
    { "marks", 0, OPTION_FLAG, NULL, NULL, "list rare branches of the code that were taken" },
    { "verbose", 'v', OPTION_FLAG, NULL, NULL, "tell on stderr what happens" },
    { "json", 0, OPTION_FLAG, NULL, NULL, "print one JSON object" },
};

const struct options_table sim_membership_table = {
    .command = "sim membership",
    .usage = "atoll sim membership [CASE] [--nodes N] [--seeds N] [OPTIONS]",
    .intro = "Measure how thousands of nodes keep track of each other, beside the goals.\n"
             "Without CASE: which there are. Exit code 1: a goal is missed.",
    .examples = "  atoll sim membership crash\n"
                "  atoll sim membership crash --nodes 100 --seeds 20 --json\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .arguments_max = 1,
};

struct outcome {
    const struct members_case *what;
    struct members_trial trial;
    uint32_t seeds;
    double took; /* seconds of a processor */
};

static bool is_met(const struct members_column *column, double value)
{
    return column->goal < 0 || value <= column->goal;
}

static double speed_of(const struct outcome *o)
{
    return (double)o->trial.simulated_us / 1e6 / (o->took > 0 ? o->took : 1e-9);
}

static void tell_table(const struct outcome *o)
{
    printf("%s (%s): %s\n%u members, %u seeds\n", o->what->name, o->what->goal, o->what->about,
           o->trial.nodes, o->seeds);
    for (const struct members_column *c = o->what->columns; c->title != NULL; c++) {
        const double value = members_figure(&o->trial, c);
        char goal[32] = "";
        if (c->goal >= 0) {
            snprintf(goal, sizeof goal, "goal %g: %s", c->goal,
                     is_met(c, value) ? "met" : "MISSED");
        }
        printf("  %-36s %10.3f %-5s %s\n", c->title, value, c->unit, goal);
    }
    printf("%.0f virtual seconds in %.1f of one processor: %.0f times real time\n",
           (double)o->trial.simulated_us / 1e6, o->took, speed_of(o));
}

static json_t *figure_json(const struct members_column *column, double value)
{
    json_t *figure =
        json_pack("{s:s, s:s, s:f}", "title", column->title, "unit", column->unit, "value", value);
    if (column->goal >= 0) {
        json_object_set_new(figure, "at_most", json_real(column->goal));
        json_object_set_new(figure, "met", json_boolean(is_met(column, value)));
    }
    return figure;
}

/* Takes it over. */
static void print_json(json_t *all)
{
    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(all);
}

static void tell_json(const struct outcome *o)
{
    json_t *figures = json_array();
    for (const struct members_column *c = o->what->columns; c->title != NULL; c++) {
        json_array_append_new(figures, figure_json(c, members_figure(&o->trial, c)));
    }
    json_t *all = json_pack("{s:s, s:s, s:i, s:i, s:f, s:f, s:o}", "case", o->what->name, "goal",
                            o->what->goal, "nodes", (int)o->trial.nodes, "seeds", (int)o->seeds,
                            "virtual_seconds", (double)o->trial.simulated_us / 1e6,
                            "processor_seconds", o->took, "figures", figures);
    print_json(all);
}

/* ---- running ------------------------------------------------------------------------------------- */

static void tell_cases_json(void)
{
    json_t *cases = json_array();
    for (uint32_t i = 0; members_case_at(i) != NULL; i++) {
        const struct members_case *what = members_case_at(i);
        json_array_append_new(cases, json_pack("{s:s, s:s, s:s, s:i, s:i}", "case", what->name,
                                               "goal", what->goal, "about", what->about, "nodes",
                                               (int)what->nodes, "seeds", (int)what->seeds));
    }
    json_t *all = json_pack("{s:o}", "cases", cases);
    print_json(all);
}

static void tell_cases(void)
{
    for (uint32_t i = 0; members_case_at(i) != NULL; i++) {
        const struct members_case *what = members_case_at(i);
        printf("%-12s %-4s %s\n", what->name, what->goal, what->about);
    }
}

/* NULL, or what is wrong. */
static const char *take_options(const struct options *options, struct outcome *o)
{
    o->what = members_case_find(options_argument(options, 0));
    if (o->what == NULL) {
        return "there is no such case; `atoll sim membership` shows them";
    }
    const uint64_t nodes =
        options_given(options, "nodes") ? options_size(options, "nodes") : o->what->nodes;
    const uint64_t seeds =
        options_given(options, "seeds") ? options_size(options, "seeds") : o->what->seeds;
    const uint64_t percent = options_size(options, "percent");
    if (nodes <= 2 * MEMBERS_SEEDS || nodes > NODES_MAX) {
        return "--nodes: must be 7 to 100000";
    }
    if (seeds == 0 || seeds > SEEDS_MAX) {
        return "--seeds: must be 1 to 1000000";
    }
    if (percent == 0 || percent > SEEDS_MAX) {
        return "--percent: must be 1 to 1000000";
    }
    o->seeds = (uint32_t)seeds;
    o->trial.nodes = (uint32_t)nodes;
    o->trial.scale = (double)percent / 100;
    o->trial.verbose = options_flag(options, "verbose");
    return NULL;
}

static int run(const struct options *options, struct outcome *o)
{
    const clock_t began = clock();
    const uint64_t first = options_size(options, "first");
    bool met = true;
    for (uint32_t i = 0; i < o->seeds; i++) {
        o->trial.seed = first + i;
        o->what->run(&o->trial);
        if (o->trial.failure[0] != '\0') {
            fprintf(stderr, "atoll sim membership: seed %" PRIu64 ": %s\n", o->trial.seed,
                    o->trial.failure);
            return 1;
        }
    }
    o->took = (double)(clock() - began) / CLOCKS_PER_SEC;
    for (const struct members_column *c = o->what->columns; c->title != NULL; c++) {
        met = met && is_met(c, members_figure(&o->trial, c));
    }
    (options_flag(options, "json") ? tell_json : tell_table)(o);
    for (uint32_t i = 0; options_flag(options, "marks") && i < o->trial.marks->used; i++) {
        printf("mark %-40s %" PRIu64 "\n", o->trial.marks->slot[i].name,
               o->trial.marks->slot[i].count);
    }
    return met ? 0 : 1;
}

int sim_membership(int argc, char **argv)
{
    static struct marks marks;
    struct outcome outcome = { .trial = { .marks = &marks } };
    int status = 0;
    struct options *options = client_options(&sim_membership_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    if (options_arguments(options) == 0) {
        (options_flag(options, "json") ? tell_cases_json : tell_cases)();
        options_free(&options);
        return 0;
    }
    const char *fault = take_options(options, &outcome);
    if (fault != NULL) {
        fprintf(stderr, "atoll sim membership: %s\n", fault);
        status = err_exit_code(ERR_INVALID);
    } else {
        status = run(options, &outcome);
    }
    members_trial_fini(&outcome.trial);
    options_free(&options);
    return status;
}
