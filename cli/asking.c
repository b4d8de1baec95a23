/* cli/asking.c: `atoll status`, `nodes` and `where`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/dataset.h"
#include "cli/key.h"
#include "cli/keygen.h"
#include "cli/node.h"
#include "cli/ring.h"
#include "cli/sim.h"
#include "cli/table.h"
#include "node/io/mountinfo.h"

static const struct option_row rows[] = { CLIENT_OPTIONS };

static const struct options_table status_table = {
    .command = "status",
    .usage = "atoll status [OPTIONS]",
    .intro = "Is the cluster well? One screen: the verdict with its reasons, and what to do about "
             "them.\nEnds with 0 when the verdict is OK, with 1 when it is not.",
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

static const struct options_table where_table = {
    .command = "where",
    .usage = "atoll where DATASET/PATH|FILE [OPTIONS]",
    .intro =
        "Which version of a file the cluster knows, which nodes own and hold its blocks, and "
        "which\n"
        "list its directory. DATASET/ is the root of a dataset. FILE is a path below a mount, as\n"
        "/mnt/set/file or ./file.",
    .examples = "  atoll where imagenet/train/n01440764/10026.JPEG\n"
                "  atoll where imagenet/train/\n"
                "  atoll where /mnt/imagenet/train/n01440764/10026.JPEG --admin cache1:7780\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .environment = true,
    .arguments_max = 1,
};

/* ---- status ---------------------------------------------------------------------------------- */

static const json_t *part(const json_t *object, const char *key)
{
    return json_object_get(object, key);
}

/* "s3://training at http://10.0.0.9:9000, credential s3, at n0 and 1 other" */
static void show_outage_where(const json_t *reason)
{
    const char *endpoint = client_text(reason, "endpoint");
    const char *credential = client_text(reason, "credential");
    const json_int_t others = json_integer_value(part(reason, "nodes")) - 1;
    printf("    %s%s%s", client_text(reason, "source"), endpoint[0] != 0 ? " at " : "", endpoint);
    printf("%s%s, asked by %s", credential[0] != 0 ? ", credential " : "", credential,
           client_text(reason, "node"));
    if (others > 0) {
        printf(" and %" JSON_INTEGER_FORMAT " other%s", others, others > 1 ? "s" : "");
    }
    putchar('\n');
}

/* A source that fails: which, for whom, since when, and in its own words. */
static void show_outage(const json_t *reason)
{
    char since[TABLE_CELL_MAX];
    char last[TABLE_CELL_MAX];
    const char *said = client_text(reason, "said");
    const bool lists = strcmp(client_text(reason, "requests"), "list") == 0;
    table_date(part(reason, "since_us"), since);
    table_date(part(reason, "last_us"), last);
    printf("  dataset %s cannot be %s: %s\n", client_text(reason, "dataset"),
           lists ? "listed" : "read", client_text(reason, "text"));
    show_outage_where(reason);
    printf("    since %s, %" JSON_INTEGER_FORMAT " failed, the last at %s\n", since,
           json_integer_value(part(reason, "failures")), last);
    if (said[0] != 0) {
        printf("    it said: %s\n", said);
    }
    printf("    %s\n", client_text(reason, "next"));
}

static void show_reasons(const json_t *answer)
{
    size_t i;
    json_t *reason;
    json_array_foreach(json_object_get(answer, "reasons"), i, reason)
    {
        const char *node = client_text(reason, "node");
        if (part(reason, "requests") != NULL) {
            show_outage(reason);
            continue;
        }
        printf("  %s%s%s\n    %s\n", client_text(reason, "text"), node[0] != 0 ? ": " : "", node,
               client_text(reason, "next"));
    }
}

/* "memory    12 MiB of 1.0 GiB" */
static void show_room(const json_t *answer, const char *key, const char *most)
{
    char used[TABLE_CELL_MAX];
    char size[TABLE_CELL_MAX];
    table_cell("used", part(part(answer, key), "used"), used);
    table_cell("size", part(part(answer, key), most), size);
    printf("%-10s%s of %s\n", key, used, size);
}

struct word {
    const char *key;
    const char *name;
};

/* "nodes     3 owning, 1 dead": what is zero is left out, but for the first. */
static void show_counts(const char *title, const json_t *object, const struct word *words,
                        uint32_t count)
{
    printf("%-10s", title);
    for (uint32_t i = 0; i < count; i++) {
        const json_t *value = part(object, words[i].key);
        char cell[TABLE_CELL_MAX];
        table_cell(words[i].key, value, cell);
        if (i == 0 || json_number_value(value) != 0) {
            printf("%s%s %s", i > 0 ? ", " : "", cell, words[i].name);
        }
    }
    putchar('\n');
}

/* "hand-over 1,204 blocks (4.7 GiB) to go, 32 MiB on their way": only while there are any. */
static void show_handover(const json_t *handover)
{
    char blocks[TABLE_CELL_MAX];
    char left[TABLE_CELL_MAX];
    char taking[TABLE_CELL_MAX];
    if (json_integer_value(part(handover, "left_blocks")) == 0 &&
        json_integer_value(part(handover, "taking_bytes")) == 0) {
        return;
    }
    table_cell("left_blocks", part(handover, "left_blocks"), blocks);
    table_cell("left_bytes", part(handover, "left_bytes"), left);
    table_cell("taking_bytes", part(handover, "taking_bytes"), taking);
    printf("%-10s%s blocks (%s) to go to their new owners, %s on their way\n", "hand-over", blocks,
           left, taking);
}

/* "load      120 MiB a second of a node, 150 MiB of n2; 3 hot blocks have 7 copies". */
static void show_load(const json_t *load)
{
    char mean[TABLE_CELL_MAX];
    char most[TABLE_CELL_MAX];
    table_cell("bytes", part(load, "mean"), mean);
    table_cell("bytes", part(load, "most"), most);
    printf("%-10s%s a second of a node, %s of %s", "load", mean, most,
           client_text(load, "busiest"));
    if (json_integer_value(part(load, "hot_blocks")) > 0) {
        table_cell("blocks", part(load, "hot_blocks"), mean);
        table_cell("blocks", part(load, "hot_copies"), most);
        printf("; %s hot blocks have %s copies", mean, most);
    }
    putchar('\n');
}

static void show_status(const json_t *answer)
{
    static const struct word nodes[] = { { "owning", "owning" },
                                         { "warming", "warming" },
                                         { "leaving", "leaving" },
                                         { "dead", "dead" },
                                         { "left", "left" },
                                         { "replaced", "replaced" },
                                         { "unreachable", "unreachable" } };
    static const struct word ring[] = { { "agree", "agree" }, { "differ", "differ" } };
    static const struct word source[] = { { "bytes", "read" },
                                          { "gets", "GETs" },
                                          { "lists", "LISTs" },
                                          { "heads", "HEADs" },
                                          { "errors", "errors" } };
    static const struct word open[] = { { "requests", "requests" }, { "fetches", "fetches" } };
    char ratio[TABLE_CELL_MAX];
    char more[TABLE_CELL_MAX];
    printf("%s\n", client_text(answer, "verdict"));
    show_reasons(answer);
    printf("%-10s%s, as %s sees it\n", "cluster", client_text(answer, "cluster"),
           client_text(answer, "asked_node"));
    show_counts("nodes", part(answer, "nodes"), nodes, ARRAY_COUNT(nodes));
    show_counts("ring", part(answer, "ring"), ring, ARRAY_COUNT(ring));
    show_room(answer, "memory", "size");
    show_room(answer, "disk", "quota");
    table_cell("hit_ratio", part(part(answer, "served_bytes"), "hit_ratio"), ratio);
    table_cell("bytes", part(part(answer, "served_bytes"), "total"), more);
    printf("%-10s%s, %s of it from the cache\n", "served", more, ratio);
    show_load(part(answer, "load"));
    show_counts("source", part(answer, "source"), source, ARRAY_COUNT(source));
    table_cell("amplification", part(part(answer, "source"), "amplification"), ratio);
    printf("%-10s%s times what was wanted\n", "", ratio);
    show_counts("open", part(answer, "open"), open, ARRAY_COUNT(open));
    show_handover(part(answer, "handover"));
    table_cell("datasets", part(answer, "datasets"), more);
    printf("%-10s%s\n", "datasets", more);
    if (json_integer_value(part(answer, "hidden_keys")) > 0) {
        table_cell("hidden_keys", part(answer, "hidden_keys"), more);
        printf("%-10s%s keys of the source that no file name can show\n", "hidden", more);
    }
}

/* ---- nodes, where ------------------------------------------------------------------------------ */

/* "dead, replaced": the same node runs again under another identity. */
static void add_replaced(json_t *node)
{
    if (part(node, "replaced_by") != NULL) {
        json_object_set_new(node, "state",
                            json_sprintf("%s, replaced", client_text(node, "state")));
    }
}

/* One column for three addresses: the one that seeds name. */
static void add_address(json_t *node)
{
    size_t i;
    json_t *address;
    json_array_foreach(json_object_get(node, "addresses"), i, address)
    {
        if (strcmp(client_text(address, "purpose"), "control") == 0) {
            json_object_set(node, "address", json_object_get(address, "address"));
        }
    }
}

static void show_nodes(const json_t *answer)
{
    static const char *const keys[] = {
        "name",          "address",       "state",       "zone",          "labels",    "weight",
        "weight_wanted", "share",         "memory_used", "memory_size",   "disk_used", "disk_quota",
        "blocks",        "requests_open", "reachable",   "heard_seconds", "key"
    };
    size_t i;
    json_t *node;
    json_array_foreach((json_t *)(uintptr_t)part(answer, "nodes"), i, node)
    {
        add_address(node);
        add_replaced(node);
    }
    table_rows(part(answer, "nodes"), keys, ARRAY_COUNT(keys));
}

/* "n1 memory, n3 absent": who is to have the block, preferred first, and who has it. */
static void show_ranks(const json_t *block)
{
    size_t i;
    json_t *rank;
    char number[TABLE_CELL_MAX];
    table_cell("block", part(block, "block"), number);
    printf("%8s  ", number);
    json_array_foreach(json_object_get(block, "ranks"), i, rank)
    {
        printf("%s%s %s", i > 0 ? ", " : "", client_text(rank, "node"), client_text(rank, "has"));
    }
    json_array_foreach(json_object_get(block, "copies"), i, rank)
    {
        printf("%s%s", i > 0 ? ", " : "; copies ", json_string_value(rank));
    }
    putchar('\n');
}

/* "n1, n3": who has the listing of its directory, preferred first. */
static void show_listed_by(const json_t *answer)
{
    size_t i;
    json_t *name;
    printf("listed by ");
    json_array_foreach(json_object_get(answer, "directory_ranks"), i, name)
    {
        printf("%s%s", i > 0 ? ", " : "", json_string_value(name));
    }
    putchar('\n');
}

static void show_where(const json_t *answer)
{
    static const char *const facts[] = { "path",   "type", "size",   "mtime_us", "pin",
                                         "source", "key",  "object", "blocks" };
    size_t i;
    json_t *block;
    char cell[TABLE_CELL_MAX];
    for (i = 0; i < ARRAY_COUNT(facts); i++) {
        const json_t *value = part(answer, facts[i]);
        const bool is_date = strcmp(facts[i], "mtime_us") == 0;
        if (is_date) {
            table_date(value, cell);
        } else {
            table_cell(facts[i], value, cell);
        }
        if (value != NULL) {
            printf("%-10s%s\n", is_date ? "mtime" : facts[i], cell);
        }
    }
    if (json_array_size(part(answer, "directory_ranks")) > 0) {
        show_listed_by(answer);
    }
    if (json_array_size(part(answer, "map")) > 0) {
        printf("\n%8s  NODES, PREFERRED FIRST\n", "BLOCK");
    }
    json_array_foreach(json_object_get(answer, "map"), i, block)
    {
        show_ranks(block);
    }
    if (json_array_size(part(answer, "nodes")) > 0) {
        putchar('\n');
        table_rows(part(answer, "nodes"), NULL, 0);
    }
}

static int ask(const struct options_table *table, int argc, char **argv, const char *path,
               client_show *show)
{
    int status;
    struct options *options = client_options(table, argc, argv, &status);
    return options == NULL ? status : client_run(options, path, show);
}

int status_command(int argc, char **argv)
{
    return ask(&status_table, argc, argv, "/api/v1/status", show_status);
}

int nodes_command(int argc, char **argv)
{
    return ask(&nodes_table, argc, argv, "/api/v1/nodes", show_nodes);
}

static enum err refuse(enum err err, const char *what, const char *why)
{
    fprintf(stderr, "atoll where: %s%s\n", what, why);
    return err;
}

/* "train/a/b" for /mnt/train/a/b, by what is mounted there. */
static enum err name_below_mount(const char *word, char *real, char **out)
{
    struct mountinfo mount;
    if (!mountinfo_of(real, &mount) || strcmp(mount.type, "fuse.atoll") != 0) {
        return refuse(ERR_NOT_FOUND, word, ": lies in no mount of Atoll");
    }
    if (strstr(mount.source, "://") != NULL) {
        return refuse(ERR_UNSUPPORTED, word, ": lies in a private mount, which has no cluster");
    }
    const size_t size = strlen(mount.source);
    const bool slash = size > 0 && mount.source[size - 1] == '/';
    const char *rest = real + strlen(mount.dir);
    rest += *rest == '/' ? 1 : 0;
    return asprintf(out, "%s%s%s", mount.source, slash ? "" : "/", rest) < 0 ? ERR_NOMEM : ERR_OK;
}

/* What nodes know the file by: DATASET/PATH, which may have been given as a path on this machine. */
static enum err name_of(const char *word, char **out)
{
    if (strchr(word, '/') == NULL) {
        return refuse(ERR_INVALID,
                      "name a file as DATASET/PATH or by its path below a mount, or a ",
                      "dataset's root as DATASET/");
    }
    if (word[0] != '/' && strncmp(word, "./", 2) != 0 && strncmp(word, "../", 3) != 0) {
        *out = strdup(word);
        return *out == NULL ? ERR_NOMEM : ERR_OK;
    }
    char *real = realpath(word, NULL);
    if (real == NULL) {
        fprintf(stderr, "atoll where: %s: %s\n", word, strerror(errno));
        return ERR_NOT_FOUND;
    }
    enum err err = name_below_mount(word, real, out);
    free(real);
    return err;
}

int where_command(int argc, char **argv)
{
    int status;
    char *name = NULL;
    struct options *options = client_options(&where_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    enum err err =
        name_of(options_arguments(options) > 0 ? options_argument(options, 0) : "", &name);
    if (err != ERR_OK) {
        options_free(&options);
        return err_exit_code(err);
    }
    char *escaped = client_escape(name);
    char *path = NULL;
    if (escaped == NULL || asprintf(&path, "/api/v1/where?file=%s", escaped) < 0) {
        path = NULL;
    }
    free(escaped);
    free(name);
    if (path == NULL) {
        options_free(&options);
        return err_exit_code(ERR_NOMEM);
    }
    status = client_run(options, path, show_where);
    free(path);
    return status;
}

const struct options_table *const *commands_tables(uint32_t *count)
{
    static const struct options_table *const tables[] = {
        &node_weight_table,    &dataset_create_table,  &dataset_list_table,   &dataset_show_table,
        &dataset_delete_table, &dataset_refresh_table, &status_table,         &nodes_table,
        &ring_table,           &ring_diff_table,       &where_table,          &key_list_table,
        &key_rotate_table,     &key_export_table,      &keygen_cluster_table, &keygen_client_table,
        &keygen_key_table,     &sim_fuzz_table,        &sim_replay_table,     &sim_membership_table,
        &sim_scenario_table,   &sim_shrink_table,      &sim_hot_table,
    };
    *count = ARRAY_COUNT(tables);
    return tables;
}
