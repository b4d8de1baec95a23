/* main.c: finds the subcommand. */
#include <stdio.h>
#include <string.h>

#include "atoll_version.h"
#include "cli/commands.h"
#include "fs/command.h"
#include "node/io/options.h"
#include "node/io/process.h"

struct command {
    const char *name; /* first: options_nearest looks there */
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct command commands[] = {
#define COMMAND(word, function, summary) { word, function, summary },
#include "cli/commands.def"
#undef COMMAND
};

static void help(FILE *out)
{
    fputs("atoll: a peer-to-peer cache of object stores for training clusters\n\n"
          "Usage: atoll COMMAND [OPTIONS]     each command: atoll COMMAND --help\n\n",
          out);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\nExamples:\n"
          "  atoll mount s3://bucket/set/ /mnt/set     one machine, no cluster\n"
          "  atoll status                              of the node on this host\n"
          "  man atoll; docs/ in the source\n",
          out);
}

static int unknown(const char *word)
{
    const char *near =
        options_nearest(word, commands, ARRAY_COUNT(commands), sizeof commands[0]);
    fprintf(stderr, "atoll: no command \"%s\"", word);
    if (near != NULL) {
        fprintf(stderr, "; did you mean \"%s\"?\n", near);
    } else {
        fputs("; see atoll help\n", stderr);
    }
    return err_exit_code(ERR_INVALID);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (word[0] == '\0') {
        help(stderr);
        return err_exit_code(ERR_INVALID);
    }
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        printf("atoll %s\n", ATOLL_VERSION);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(word, commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return unknown(word);
}
