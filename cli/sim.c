/* cli/sim.c: `atoll sim WORD`: which word does what. */
#include "cli/sim.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/commands.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const struct options_table *table;
} words[] = {
    { "fuzz", sim_fuzz, &sim_fuzz_table },
    { "replay", sim_replay, &sim_replay_table },
    { "membership", sim_membership, &sim_membership_table },
};

static void usage(FILE *out)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(words); i++) {
        fprintf(out, "%s%s\n", i > 0 ? "       " : "usage: ", words[i].table->usage);
    }
    fputs("\nRuns whole clusters, nodes and mounts as they ship, in one process and in virtual "
          "time.\n\n",
          out);
    for (uint32_t i = 0; i < ARRAY_COUNT(words); i++) {
        const char *intro = words[i].table->intro;
        fprintf(out, "  %-12s%.*s\n", words[i].name, (int)strcspn(intro, "\n"), intro);
    }
}

int sim_command(int argc, char **argv)
{
    const char *word = argc >= 2 ? argv[1] : "";
    for (uint32_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(words[i].name, word) == 0) {
            return words[i].run(argc - 1, argv + 1);
        }
    }
    const bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    FILE *out = help ? stdout : stderr;
    if (!help && word[0] != 0) {
        const char *near = options_nearest(word, words, ARRAY_COUNT(words), sizeof words[0]);
        fprintf(out, "atoll sim: unknown word %s%s%s%s\n\n", word,
                near != NULL ? ": did you mean " : "", near != NULL ? near : "",
                near != NULL ? "?" : "");
    }
    usage(out);
    return help ? 0 : err_exit_code(ERR_INVALID);
}
