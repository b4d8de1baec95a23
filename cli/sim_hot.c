/* cli/sim_hot.c: `atoll sim hot`: what hand-on makes of a hotspot, beside the goal. */
#include <stdio.h>

#include "base/err.h"
#include "cli/client.h"
#include "cli/sim.h"
#include "sim/hot.h"

#define GOAL_PEAK 1.15
#define GOAL_COPIES 0.01 /* of the blocks */
#define GOAL_SECONDS 5u
#define CALM_SECONDS 3u
#define READS_MAX 1000000u

static const struct option_row rows[] = {
    { "nodes", 0, OPTION_NUMBER, "N", "1000", "how many nodes" },
    { "reads", 0, OPTION_NUMBER, "N", "2000", "reads of a node in a second, on average" },
    { "seconds", 0, OPTION_NUMBER, "N", "12", "how long the hotspot lasts" },
    { "seed", 0, OPTION_NUMBER, "SEED", "1", "of all that is drawn" },
    { "owners-only", 0, OPTION_FLAG, NULL, NULL, "nobody hands readers on, to compare" },
};

const struct options_table sim_hot_table = {
    .command = "sim hot",
    .usage = "atoll sim hot [--nodes N] [--reads N] [OPTIONS]",
    .intro =
        "Read a million blocks evenly for 3 s, then by Zipf's law (0.99), and tell second by "
        "second\n"
        "how much more than the mean the busiest node serves. Exit code 1: after 5 s it is not\n"
        "within 1.15, or there are more than 1 % of copies.",
    .examples = "  atoll sim hot\n"
                "  atoll sim hot --nodes 100 --owners-only\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
};

struct verdict {
    double peak; /* the worst after the goal's time */
    uint64_t copies;
};

static void tell(void *self, const struct hot_second *s)
{
    struct verdict *verdict = self;
    const double copies = (double)s->copies / HOT_BLOCKS;
    if (s->second > GOAL_SECONDS && s->peak > verdict->peak) {
        verdict->peak = s->peak;
    }
    verdict->copies = s->copies > verdict->copies ? s->copies : verdict->copies;
    printf("%6u  %8.2f  %7.1f %%  %7.2f %%  %6.1f\n", s->second, s->peak, s->handed * 100,
           copies * 100, s->asks);
    fflush(stdout);
}

/* NULL, or what is wrong. */
static const char *take_options(const struct options *options, struct hot_options *out)
{
    const uint64_t nodes = options_size(options, "nodes");
    const uint64_t reads = options_size(options, "reads");
    const uint64_t seconds = options_size(options, "seconds");
    if (nodes < 2 || nodes > HOT_NODES_MAX) {
        return "--nodes: must be 2 to 10000";
    }
    if (reads == 0 || reads > READS_MAX || nodes * reads < 1000) {
        return "--reads: must be 1 to 1000000, and 1000 for all nodes together";
    }
    if (seconds <= GOAL_SECONDS || seconds > 3600) {
        return "--seconds: must be 6 to 3600";
    }
    *out = (struct hot_options){ .nodes = (uint32_t)nodes,
                                 .reads = (uint32_t)reads,
                                 .calm_seconds = CALM_SECONDS,
                                 .seconds = (uint32_t)seconds,
                                 .seed = options_size(options, "seed"),
                                 .hands_on = !options_flag(options, "owners-only") };
    return NULL;
}

static int run(const struct hot_options *o)
{
    struct verdict verdict = { 0 };
    printf("%u nodes, %u reads a second of each, %u blocks\n", o->nodes, o->reads, HOT_BLOCKS);
    printf("second  max/mean  handed on     copies  asks/s of a node\n");
    hot_run(o, tell, &verdict);
    const double copies = (double)verdict.copies / HOT_BLOCKS;
    const bool met = verdict.peak <= GOAL_PEAK && copies <= GOAL_COPIES;
    printf("after %u s: max/mean %.2f at most (goal %.2f), copies %.2f %% (goal %.0f %%): %s\n",
           GOAL_SECONDS, verdict.peak, GOAL_PEAK, copies * 100, GOAL_COPIES * 100,
           met ? "met" : "MISSED");
    return met ? 0 : 1;
}

int sim_hot(int argc, char **argv)
{
    struct hot_options hot;
    int status = 0;
    struct options *options = client_options(&sim_hot_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    const char *fault = take_options(options, &hot);
    if (fault != NULL) {
        fprintf(stderr, "atoll sim hot: %s\n", fault);
        status = err_exit_code(ERR_INVALID);
    } else {
        status = run(&hot);
    }
    options_free(&options);
    return status;
}
