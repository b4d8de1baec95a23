/* cli/ring.c: `atoll ring` and `atoll ring diff`. */
#include "cli/ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"

static const struct option_row ring_rows[] = { CLIENT_OPTIONS };

static const struct option_row diff_rows[] = {
    { "without", 0, OPTION_STRING, "NAME", NULL, "what would move if this node left" },
    { "add", 0, OPTION_STRING, "WEIGHT[,ZONE]", NULL, "what would move if such a node joined" },
    { "nodes", 0, OPTION_STRING, "K=V,…", NULL, "the ring of these nodes; default: of all" },
    CLIENT_OPTIONS,
};

const struct options_table ring_table = {
    .command = "ring",
    .usage = "atoll ring [OPTIONS]\n       atoll ring diff [OPTIONS]",
    .intro = "How the hash space is shared among the nodes. Equal digests are equal rings.",
    .examples = "  atoll ring\n",
    .rows = ring_rows,
    .count = ARRAY_COUNT(ring_rows),
    .environment = true,
};

const struct options_table ring_diff_table = {
    .command = "ring diff",
    .usage = "atoll ring diff [--without NAME] [--add WEIGHT[,ZONE]] [OPTIONS]",
    .intro =
        "Which shares of the hash space the last change moved, as the node that is asked saw it;\n"
        "or what a node that leaves or joins would move. Nothing is changed.",
    .examples = "  atoll ring diff\n"
                "  atoll ring diff --without n7\n"
                "  atoll ring diff --add 100,rack-4 --json\n",
    .rows = diff_rows,
    .count = ARRAY_COUNT(diff_rows),
    .environment = true,
};

static void cell_of(const json_t *object, const char *key, char out[TABLE_CELL_MAX])
{
    table_cell(key, json_object_get(object, key), out);
}

static const char *pool_of(const json_t *object)
{
    const char *selector = client_text(object, "selector");
    return selector[0] != 0 ? selector : "all nodes";
}

static void show_ring(const json_t *answer)
{
    static const char *const keys[] = { "name", "slots", "share", "id" };
    size_t i;
    json_t *ring;
    json_array_foreach(json_object_get(answer, "rings"), i, ring)
    {
        char slots[TABLE_CELL_MAX];
        cell_of(ring, "slots", slots);
        printf("%sring of %s: digest %s, %s slots\n", i > 0 ? "\n" : "", pool_of(ring),
               client_text(ring, "digest"), slots);
        table_rows(json_object_get(ring, "nodes"), keys, ARRAY_COUNT(keys));
    }
}

/* "262 of 262,144 slots (0.1 %) moved 5 s ago; 250 is the least for these shares" */
static void show_moved(const json_t *answer)
{
    const bool tried = strcmp(client_text(answer, "change"), "tried") == 0;
    char moved[TABLE_CELL_MAX];
    char slots[TABLE_CELL_MAX];
    char share[TABLE_CELL_MAX];
    char least[TABLE_CELL_MAX];
    char ago[TABLE_CELL_MAX];
    cell_of(answer, "moved", moved);
    cell_of(answer, "slots", slots);
    cell_of(answer, "moved_share", share);
    cell_of(answer, "least", least);
    cell_of(answer, "seconds", ago);
    printf("ring of %s: %s of %s slots (%s) %s%s%s; the least for these shares: %s\n",
           pool_of(answer), moved, slots, share, tried ? "would move" : "moved ", tried ? "" : ago,
           tried ? "" : " ago", least);
    printf("digest %s, %s %s\n", client_text(answer, "from"), tried ? "would be" : "now",
           client_text(answer, "to"));
}

static void show_diff(const json_t *answer)
{
    static const char *const keys[] = {
        "name", "before", "after", "lost", "gained", "share", "id"
    };
    if (strcmp(client_text(answer, "change"), "none") == 0) {
        printf("ring of %s: it has not changed since %s started\n", pool_of(answer),
               client_text(answer, "asked_node"));
        return;
    }
    show_moved(answer);
    table_rows(json_object_get(answer, "nodes"), keys, ARRAY_COUNT(keys));
}

/* "/api/v1/ring/diff?without=n7&add=100"; the caller frees. */
static char *diff_path(const struct options *options)
{
    static const char *const names[] = { "nodes", "without", "add" };
    char *path = strdup("/api/v1/ring/diff");
    for (uint32_t i = 0; i < ARRAY_COUNT(names) && path != NULL; i++) {
        const char *value = options_string(options, names[i]);
        char *escaped = value != NULL ? client_escape(value) : NULL;
        char *longer = NULL;
        if (value == NULL) {
            continue;
        }
        if (escaped == NULL ||
            asprintf(&longer, "%s%c%s=%s", path, strchr(path, '?') == NULL ? '?' : '&', names[i],
                     escaped) < 0) {
            longer = NULL;
        }
        free(escaped);
        free(path);
        path = longer;
    }
    return path;
}

static int diff(int argc, char **argv)
{
    int status;
    struct options *options = client_options(&ring_diff_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    char *path = diff_path(options);
    if (path == NULL) {
        options_free(&options);
        return err_exit_code(ERR_NOMEM);
    }
    status = client_run(options, path, show_diff);
    free(path);
    return status;
}

int ring_command(int argc, char **argv)
{
    int status;
    if (argc >= 2 && strcmp(argv[1], "diff") == 0) {
        return diff(argc - 1, argv + 1);
    }
    struct options *options = client_options(&ring_table, argc, argv, &status);
    return options == NULL ? status : client_run(options, "/api/v1/ring", show_ring);
}
