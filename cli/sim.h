/* cli/sim.h: the words of `atoll sim`, and their tables. */
#pragma once
#include "node/io/options.h"
#include "sim/trial/scenario.h"

/* INT64_MAX: JSON has no greater integers that all who read it understand. */
#define SIM_SEED_MAX 9223372036854775807u

extern const struct options_table sim_fuzz_table;
extern const struct options_table sim_replay_table;
extern const struct options_table sim_membership_table;
extern const struct options_table sim_hot_table;
extern const struct options_table sim_scenario_table;
extern const struct options_table sim_shrink_table;

/* argv[0] is the word; the exit code comes back. */
int sim_fuzz(int argc, char **argv);
int sim_replay(int argc, char **argv);
int sim_membership(int argc, char **argv);
int sim_hot(int argc, char **argv);
int sim_scenario(int argc, char **argv);
int sim_shrink(int argc, char **argv);

/* --jobs, or as many as there are processors; false: too many or none. */
bool sim_jobs(const struct options *options, uint32_t *out);
/* --calm and --only; NULL, or what is wrong. */
const char *sim_draw(const struct options *options, struct draw *out);
