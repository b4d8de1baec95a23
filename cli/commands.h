/* cli/commands.h: the subcommands that ask a running node, and those that need none.
 *
 * Each takes argv with its own name in argv[0] and returns the exit code (base/errors.def). */
#pragma once
#include <stdint.h>

#include "node/io/options.h"

int node_command(int argc, char **argv);
int status_command(int argc, char **argv);
int nodes_command(int argc, char **argv);
int ring_command(int argc, char **argv);
int where_command(int argc, char **argv);
int dataset_command(int argc, char **argv);
int sim_command(int argc, char **argv);
int key_command(int argc, char **argv);
int keygen_command(int argc, char **argv);

/* Tables of this folder's commands, for docs; `count` gets how many. */
const struct options_table *const *commands_tables(uint32_t *count);

/* What `atoll help` and docs show: every command there is. */
struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

/* `atoll docgen DIR`: reference pages and the man page. Tables of other folders' commands come
 * before those of this one. */
struct docgen {
    const struct command *commands;
    uint32_t command_count;
    const struct options_table *const *tables;
    uint32_t table_count;
};
int docgen_run(int argc, char **argv, const struct docgen *docgen);
