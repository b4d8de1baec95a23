/* cli/node.c: `atoll node`, which runs one, and `atoll node weight`. */
#include "cli/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "node/io/http_fields.h"
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

/* A number travels as one. NULL: it is no weight. */
static json_t *make_body(const char *weight)
{
    uint64_t number = 0;
    if (strcmp(weight, "auto") == 0) {
        return json_pack("{s:s}", "weight", weight);
    }
    return parse_u64(span_text(weight), &number) && number <= UINT16_MAX
               ? json_pack("{s:I}", "weight", (json_int_t)number)
               : NULL;
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

static int refuse(const char *what, const char *reason)
{
    fprintf(stderr, "atoll node weight: %s%s\n", what, reason);
    return err_exit_code(ERR_INVALID);
}

static int set_weight(struct options *options, json_t *body)
{
    char *path = NULL;
    struct client_answer answer = { .err = ERR_NOMEM };
    /* As a name it needs no escapes. */
    if (asprintf(&path, "/api/v1/nodes/%s/weight", options_argument(options, 0)) < 0) {
        json_decref(body);
        return err_exit_code(answer.err);
    }
    answer = client_ask(options, "POST", path, body);
    client_print(options, &answer, show);
    json_decref(answer.json);
    free(path);
    return err_exit_code(answer.err);
}

static int check_and_set_weight(struct options *options)
{
    if (options_arguments(options) != 2) {
        return refuse("", "give the NAME of the node and a WEIGHT");
    }
    if (!span_is_name(span_text(options_argument(options, 0)), MEMBER_NAME_MAX)) {
        return refuse("NAME: ", "the name of a node has " HTTP_FIELDS_NAME);
    }
    json_t *body = make_body(options_argument(options, 1));
    return body != NULL ? set_weight(options, body) : refuse("WEIGHT: ", HTTP_FIELDS_WEIGHT);
}

/* "n2 -1": no option, and none takes what stands after a word that is none, either. */
static bool has_negative(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] >= '0' && argv[i][1] <= '9' && argv[i - 1][0] != '-') {
            return true;
        }
    }
    return false;
}

static int weight_command(int argc, char **argv)
{
    int status;
    if (has_negative(argc, argv)) {
        return refuse("WEIGHT: ", HTTP_FIELDS_WEIGHT);
    }
    struct options *options = client_options(&node_weight_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    status = check_and_set_weight(options);
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
