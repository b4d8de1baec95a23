/* cli/sim.c: `atoll sim WORD`: which word does what. */
#include "cli/sim.h"

#include <fcntl.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/words.h"
#include "sim/trial/fault_kinds.h"
#include "sim/trial/runs.h"

bool sim_jobs(const struct options *options, uint32_t *out)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t jobs = options_size(options, "jobs");
    if (!options_given(options, "jobs")) {
        jobs = processors <= 0 ? 1 : (uint64_t)processors;
        jobs = jobs < RUNS_JOBS_MAX ? jobs : RUNS_JOBS_MAX;
    }
    *out = (uint32_t)jobs;
    return jobs > 0 && jobs <= RUNS_JOBS_MAX;
}

const char *sim_draw(const struct options *options, struct draw *out)
{
    *out = (struct draw){ .calm = options_flag(options, "calm"),
                          .only = options_string(options, "only") };
    if (out->only != NULL && fault_kinds_find(span_text(out->only)) == NULL) {
        return "--only: there is no such kind of fault; docs/generated/scenarios.md has them all";
    }
    return out->calm && out->only != NULL
               ? "--calm: there are no faults then, and --only wants some"
               : NULL;
}

/* What is opened must not become one of the first three, of which some were closed. */
static void hold_standard(void)
{
    int fd = 0;
    do {
        fd = open("/dev/null", O_RDWR); /* the lowest there is */
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

int sim_command(int argc, char **argv)
{
    static const struct word at[] = {
        { "fuzz", sim_fuzz, &sim_fuzz_table },
        { "replay", sim_replay, &sim_replay_table },
        { "shrink", sim_shrink, &sim_shrink_table },
        { "scenario", sim_scenario, &sim_scenario_table },
        { "membership", sim_membership, &sim_membership_table },
        { "hot", sim_hot, &sim_hot_table },
    };
    static const struct words words = {
        .command = "sim",
        .about = "Runs whole clusters, nodes and mounts as they ship, in one process and in "
                 "virtual time.",
        .at = at,
        .count = ARRAY_COUNT(at),
    };
    hold_standard();
    return words_run(&words, argc, argv);
}
