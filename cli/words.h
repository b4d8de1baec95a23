/* cli/words.h: `atoll COMMAND WORD`: a command that is several. */
#pragma once
#include <stdint.h>

#include "node/io/options.h"

struct word {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the word */
    const struct options_table *table;
};

struct words {
    const char *command;
    const char *about; /* a line or two for --help */
    const struct word *at;
    uint32_t count;
};

/* argv[0] is the command. Runs the word that is named, or shows those there are. The exit code. */
int words_run(const struct words *words, int argc, char **argv);
