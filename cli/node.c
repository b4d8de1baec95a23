/* cli/node.c: `atoll node`, which runs one, and `atoll node weight`. */
#include "cli/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "node/io/process.h"

static const struct option_row rows[] = { CLIENT_OPTIONS };

const struct options_table node_weight_table = {
    .command = "node weight",
    .usage = "atoll node weight NAME WEIGHT [OPTIONS]",
    .intro =
        "Set the share of the data that a node owns: 0 to 65535, or auto for what --weight says.\n"
        "Blocks that change hands are read from their former owner, not from the source. Only\n"
        "the node itself can do it, so --admin is its own; it keeps it over restarts.",
    .examples = "  atoll node weight n7 50\n"
                "  atoll node weight n7 0        # it gives away what it owns, and stays\n"
                "  atoll node weight n7 auto --admin http://10.0.0.7:7780\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .environment = true,
    .arguments_max = 2,
};

/* A number travels as one. */
static json_t *make_body(const char *weight)
{
    char *end = NULL;
    const long long number = strtoll(weight, &end, 10);
    const bool is_number = weight[0] != 0 && *end == 0;
    return is_number ? json_pack("{s:I}", "weight", (json_int_t)number)
                     : json_pack("{s:s}", "weight", weight);
}

static void show(const json_t *answer)
{
    char now[TABLE_CELL_MAX];
    char wanted[TABLE_CELL_MAX];
    char was[TABLE_CELL_MAX];
    table_cell("weight", json_object_get(answer, "weight"), now);
    table_cell("weight", json_object_get(answer, "weight_wanted"), wanted);
    table_cell("weight", json_object_get(answer, "was"), was);
    printf("weight of %s: %s, was %s\n", client_text(answer, "name"), wanted, was);
    if (strcmp(now, wanted) != 0) {
        printf("  its disks have failed or are slow: it counts %s until they are well\n", now);
    }
}

static int set_weight(struct options *options)
{
    char *path = NULL;
    char *name = client_escape(options_argument(options, 0));
    enum err err = ERR_NOMEM;
    if (name != NULL && asprintf(&path, "/api/v1/nodes/%s/weight", name) >= 0) {
        struct client_answer answer =
            client_ask(options, "POST", path, make_body(options_argument(options, 1)));
        err = answer.err;
        client_print(options, &answer, show);
        json_decref(answer.json);
        free(path);
    }
    free(name);
    return err_exit_code(err);
}

static int weight_command(int argc, char **argv)
{
    int status;
    struct options *options = client_options(&node_weight_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    if (options_arguments(options) != 2) {
        fprintf(stderr, "atoll node weight: give the NAME of the node and a WEIGHT\n");
        status = err_exit_code(ERR_INVALID);
    } else {
        status = set_weight(options);
    }
    options_free(&options);
    return status;
}

int node_command(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "weight") == 0) {
        return weight_command(argc - 1, argv + 1);
    }
    return process_command(argc, argv);
}
