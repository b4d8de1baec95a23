/* main.c: `atoll COMMAND`: the table of commands, help and version. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "atoll_version.h"
#include "base/err.h"
#include "cli/commands.h"
#include "fs/command.h"
#include "fs/mount8.h"
#include "fs/settings.h"
#include "node/io/config.h"
#include "node/io/process.h"

static int help_command(int argc, char **argv);
static int docgen_command(int argc, char **argv);

static const struct command commands[] = {
#define COMMAND(name_, run_, summary_) { .name = name_, .run = run_, .summary = summary_ },
#include "cli/commands.def"
#undef COMMAND
};

static const struct command *find(const char *name)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static void usage(FILE *out)
{
    fputs("usage: atoll COMMAND [ARGUMENTS]\n\n"
          "A peer-to-peer cluster cache for training data.\n\ncommands:\n",
          out);
    for (uint32_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(out, "  %-10s%s\n", commands[i].name, commands[i].summary);
    }
    fputs("\n`atoll COMMAND --help` tells more. To try it on a bucket, with no cluster:\n"
          "  atoll mount s3://BUCKET/PREFIX DIR\n",
          out);
}

static int unknown(const char *name)
{
    const char *near = options_nearest(name, commands, ARRAY_COUNT(commands), sizeof commands[0]);
    fprintf(stderr, "atoll: unknown command %s", name);
    if (near != NULL) {
        fprintf(stderr, ": did you mean %s?", near);
    }
    fputs("\n`atoll help` shows them all\n", stderr);
    return err_exit_code(ERR_INVALID);
}

static int help_command(int argc, char **argv)
{
    char flag[] = "--help";
    if (argc < 2) {
        usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return help_command(1, argv);
    }
    const struct command *command = find(argv[1]);
    char *words[] = { argv[1], flag, NULL };
    if (command == NULL || command->run == help_command) {
        return command != NULL ? help_command(1, argv) : unknown(argv[1]);
    }
    return command->run(2, words);
}

static int docgen_command(int argc, char **argv)
{
    static const struct options_table *const tables[] = { &config_table, &settings_table };
    const struct docgen docgen = { .commands = commands,
                                   .command_count = ARRAY_COUNT(commands),
                                   .tables = tables,
                                   .table_count = ARRAY_COUNT(tables) };
    return docgen_run(argc, argv, &docgen);
}

/* A full disk: who counts on what was printed must hear of it. */
static int written(int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return status;
    }
    fprintf(stderr, "atoll: standard output: %s\n",
            errno != 0 ? strerror(errno) : "could not be written");
    return status != 0 ? status : err_exit_code(ERR_SYSTEM);
}

static int run(int argc, char **argv)
{
    if (argc > 0 && mount8_is_name(argv[0])) {
        return mount8_command(argc, argv);
    }
    if (argc < 2) {
        usage(stderr);
        return err_exit_code(ERR_INVALID);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("atoll " ATOLL_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return 0;
    }
    const struct command *command = find(argv[1]);
    return command != NULL ? command->run(argc - 1, argv + 1) : unknown(argv[1]);
}

int main(int argc, char **argv)
{
    return written(run(argc, argv));
}
