/* cli/asking.c: `atoll status`, `nodes`, `ring` and `where`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/dataset.h"
#include "cli/keygen.h"
#include "cli/table.h"

static const struct option_row rows[] = { CLIENT_OPTIONS };

static const struct options_table status_table = {
    .command = "status",
    .usage = "atoll status [OPTIONS]",
    .intro = "Is the cluster well? One screen: the verdict with its reasons, and what to run next.",
    .examples = "  atoll status\n  atoll status --admin http://10.0.0.7:7780 --json\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .environment = true,
};

static const struct options_table nodes_table = {
    .command = "nodes",
    .usage = "atoll nodes [OPTIONS]",
    .intro = "The members of the cluster as one of them sees them.",
    .examples = "  atoll nodes\n  atoll nodes --json | jq -r '.nodes[].name'\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .environment = true,
};

static const struct options_table ring_table = {
    .command = "ring",
    .usage = "atoll ring [OPTIONS]",
    .intro = "How the hash space is shared among the nodes. Equal digests are equal rings.",
    .examples = "  atoll ring\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .environment = true,
};

static const struct options_table where_table = {
    .command = "where",
    .usage = "atoll where DATASET/PATH [OPTIONS]",
    .intro = "Which version of a file the cluster knows, and which nodes own and hold its blocks.",
    .examples = "  atoll where imagenet/train/n01440764/10026.JPEG\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .environment = true,
    .arguments_max = 1,
};

static int ask(const struct options_table *table, int argc, char **argv, const char *path)
{
    int status;
    struct options *options = client_options(table, argc, argv, &status);
    return options == NULL ? status : client_run(options, path, table_show);
}

int status_command(int argc, char **argv)
{
    return ask(&status_table, argc, argv, "/api/v1/status");
}

int nodes_command(int argc, char **argv)
{
    return ask(&nodes_table, argc, argv, "/api/v1/nodes");
}

int ring_command(int argc, char **argv)
{
    return ask(&ring_table, argc, argv, "/api/v1/ring");
}

int where_command(int argc, char **argv)
{
    int status;
    struct options *options = client_options(&where_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    const char *file = options_arguments(options) > 0 ? options_argument(options, 0) : "";
    if (strchr(file, '/') == NULL) {
        fprintf(stderr, "atoll where: name a file as DATASET/PATH\n");
        options_free(&options);
        return err_exit_code(ERR_INVALID);
    }
    char *escaped = client_escape(file);
    char *path = NULL;
    if (escaped == NULL || asprintf(&path, "/api/v1/where?file=%s", escaped) < 0) {
        path = NULL;
    }
    free(escaped);
    if (path == NULL) {
        options_free(&options);
        return err_exit_code(ERR_NOMEM);
    }
    status = client_run(options, path, table_show);
    free(path);
    return status;
}

const struct options_table *const *commands_tables(uint32_t *count)
{
    static const struct options_table *const tables[] = {
        &dataset_create_table,  &dataset_list_table,   &dataset_show_table,  &dataset_delete_table,
        &dataset_refresh_table, &status_table,         &nodes_table,         &ring_table,
        &where_table,           &keygen_cluster_table, &keygen_client_table,
    };
    *count = ARRAY_COUNT(tables);
    return tables;
}
