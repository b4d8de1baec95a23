/* cli/show.c: the commands that ask one question: status, nodes, ring, where. */
#include <stdio.h>

#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/render.h"

static const struct option_row rows[] = { ADMIN_ROWS };

#define TABLE(word, words, text, lines, arguments)                                        \
    {                                                                                     \
        .command = word, .usage = "atoll " word words " [OPTIONS]", .intro = text,        \
        .examples = lines, .rows = rows, .count = ARRAY_COUNT(rows), .environment = true, \
        .arguments_max = arguments,                                                       \
    }

static const struct options_table status_table =
    TABLE("status", "", "Is the cluster well? A verdict, its reasons and what to do next.",
          "  atoll status\n  atoll status --json --admin http://127.0.0.1:7780\n", 0);
static const struct options_table nodes_table =
    TABLE("nodes", "", "The members as one node sees them.", "  atoll nodes\n", 0);
static const struct options_table ring_table =
    TABLE("ring", "", "The hash ring: which node owns how much.", "  atoll ring --json\n", 0);
static const struct options_table where_table =
    TABLE("where", " DATASET/PATH", "Which nodes own the blocks of a file, and which hold them.",
          "  atoll where train/2026/a.tar\n", 1);

static enum err make_status(const struct options *options, struct admin_question *question,
                            struct text *path, struct text *why)
{
    (void)options;
    (void)question;
    (void)why;
    text_str(path, "/api/v1/status");
    return ERR_OK;
}

static enum err make_nodes(const struct options *options, struct admin_question *question,
                           struct text *path, struct text *why)
{
    (void)options;
    (void)question;
    (void)why;
    text_str(path, "/api/v1/nodes");
    return ERR_OK;
}

static enum err make_ring(const struct options *options, struct admin_question *question,
                          struct text *path, struct text *why)
{
    (void)options;
    (void)question;
    (void)why;
    text_str(path, "/api/v1/ring");
    return ERR_OK;
}

static enum err make_where(const struct options *options, struct admin_question *question,
                           struct text *path, struct text *why)
{
    (void)question;
    if (options_arguments(options) != 1) {
        text_str(why, "say which file: atoll where DATASET/PATH");
        return ERR_INVALID;
    }
    text_str(path, "/api/v1/where?file=");
    admin_encode(path, options_argument(options, 0));
    return path->overflow ? ERR_TOO_LARGE : ERR_OK;
}

int status_command(int argc, char **argv)
{
    return admin_run(&(struct admin_command){ &status_table, make_status, render }, argc, argv);
}

int nodes_command(int argc, char **argv)
{
    return admin_run(&(struct admin_command){ &nodes_table, make_nodes, render }, argc, argv);
}

int ring_command(int argc, char **argv)
{
    return admin_run(&(struct admin_command){ &ring_table, make_ring, render }, argc, argv);
}

int where_command(int argc, char **argv)
{
    return admin_run(&(struct admin_command){ &where_table, make_where, render }, argc, argv);
}
