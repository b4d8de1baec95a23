/* cli/sim.c: `atoll sim WORD`: which word does what. */
#include "cli/sim.h"

#include "cli/commands.h"
#include "cli/words.h"

int sim_command(int argc, char **argv)
{
    static const struct word at[] = {
        { "fuzz", sim_fuzz, &sim_fuzz_table },
        { "replay", sim_replay, &sim_replay_table },
        { "membership", sim_membership, &sim_membership_table },
    };
    static const struct words words = {
        .command = "sim",
        .about = "Runs whole clusters, nodes and mounts as they ship, in one process and in "
                 "virtual time.",
        .at = at,
        .count = ARRAY_COUNT(at),
    };
    return words_run(&words, argc, argv);
}
