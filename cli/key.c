/* cli/key.c: the keys of a running cluster by name: who has which, another one, and a cluster file
 * with the one in use. A key itself is never shown, nor taken from a command line. */
#include "cli/key.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/words.h"
#include "node/io/identity.h"
#include "node/io/keyring_file.h"
#include "node/io/keys.h"

#define KEYS "/api/v1/keys"

static const struct option_row list_rows[] = { CLIENT_OPTIONS };

static const struct option_row rotate_rows[] = {
    { "ttl", 0, OPTION_DURATION, "TIME", "15m",
      "how long the old key is accepted when all nodes use the new one; 60s or more, or mounts are "
      "held up for a second" },
    { "revoke", 0, OPTION_FLAG, NULL, NULL,
      "the old key, and client files signed before, count for nothing afterwards" },
    { "force", 0, OPTION_FLAG, NULL, NULL,
      "also while another rotation is not over; all older keys end with this --ttl, even if they "
      "were promised longer" },
    { "key-file", 0, OPTION_STRING, "FILE", NULL,
      "secret of `atoll keygen key` on the node's host; default: the node makes one" },
    CLIENT_OPTIONS,
};

static const struct option_row export_rows[] = {
    { "cluster-file", 0, OPTION_STRING, "FILE", NULL, "the cluster file that the node has" },
    { "data-dir", 0, OPTION_STRING, "DIR", NULL, "of the node" },
    { "out", 'o', OPTION_STRING, "FILE", NULL, "where the new cluster file goes" },
};

const struct options_table key_list_table = {
    .command = "key list",
    .usage = "atoll key list [OPTIONS]",
    .intro = "The names of the cluster's keys, and which nodes a rotation waits for.",
    .examples = "  atoll key list\n  atoll key list --json | jq -r '.waits_for[]'\n",
    .rows = list_rows,
    .count = ARRAY_COUNT(list_rows),
    .environment = true,
};

const struct options_table key_rotate_table = {
    .command = "key rotate",
    .usage = "atoll key rotate [OPTIONS]",
    .intro =
        "Give the cluster another key: any node takes it, all install it, then use it, and the\n"
        "old one ends. A node that is away may miss two rotations, or, with --revoke, none.",
    .examples = "  atoll key rotate\n  atoll key rotate --revoke --ttl 24h\n"
                "  atoll key rotate --revoke --force --ttl 1m\n",
    .rows = rotate_rows,
    .count = ARRAY_COUNT(rotate_rows),
    .environment = true,
};

const struct options_table key_export_table = {
    .command = "key export",
    .usage = "atoll key export --cluster-file FILE --data-dir DIR --out FILE",
    .intro = "Write a cluster file with the key that the node uses now: for new nodes, and for\n"
             "`atoll keygen client` after a rotation with --revoke. Asks no node.",
    .examples = "  atoll key export --cluster-file /etc/atoll/cluster.json \\\n"
                "    --data-dir /var/lib/atoll --out cluster-2.json\n",
    .rows = export_rows,
    .count = ARRAY_COUNT(export_rows),
};

/* ---- list ------------------------------------------------------------------------------------ */

static void show_waits(const json_t *answer)
{
    size_t i;
    json_t *name;
    const json_t *waits = json_object_get(answer, "waits_for");
    const bool installing = strcmp(client_text(answer, "rotation"), "installing") == 0;
    if (json_array_size(waits) == 0) {
        printf("\n%s\n", installing ? "all nodes have the new key: it comes into use now"
                                    : "all nodes use the new key: the old one ends in its time");
        return;
    }
    printf("\nwaits for %s:",
           installing ? "nodes that do not have the new key" : "nodes that are not seen to use it");
    json_array_foreach(waits, i, name)
    {
        printf(" %s", json_string_value(name));
    }
    putchar('\n');
}

static void show_list(const json_t *answer)
{
    static const char *const keys[] = { "key", "state", "ends_in_seconds", "era" };
    if (!json_is_true(json_object_get(answer, "secure"))) {
        printf("this cluster runs with --insecure: it has no keys\n");
        return;
    }
    table_rows(json_object_get(answer, "keys"), keys, ARRAY_COUNT(keys));
    if (strcmp(client_text(answer, "rotation"), "none") != 0) {
        show_waits(answer);
    }
}

static int list(int argc, char **argv)
{
    int status;
    struct options *options = client_options(&key_list_table, argc, argv, &status);
    return options == NULL ? status : client_run(options, KEYS, show_list);
}

/* ---- rotate ---------------------------------------------------------------------------------- */

/* NULL: the file's name cannot be made absolute; said. */
static json_t *make_rotation(const struct options *options)
{
    const char *file = options_string(options, "key-file");
    json_t *body = json_object();
    const int64_t ttl_us = options_duration_us(options, "ttl");
    json_object_set_new(body, "ttl_seconds", json_integer((ttl_us + 999999) / 1000000));
    if (options_flag(options, "revoke")) {
        json_object_set_new(body, "revoke", json_true());
    }
    if (options_flag(options, "force")) { /* a node of the version before knows no such field */
        json_object_set_new(body, "force", json_true());
    }
    if (file == NULL) {
        return body;
    }
    char *path = realpath(file, NULL);
    if (path == NULL && file[0] != '/') { /* it may be there only where the node runs */
        fprintf(stderr, "atoll key rotate: --key-file: %s: %s\n", file, strerror(errno));
        json_decref(body);
        return NULL;
    }
    json_object_set_new(body, "file", json_string(path != NULL ? path : file));
    free(path);
    return body;
}

static void show_rotation(const json_t *answer)
{
    printf("key %s is on its way; `atoll key list` shows how far it is\n",
           client_text(answer, "key"));
}

static int rotate(int argc, char **argv)
{
    int status;
    struct options *options = client_options(&key_rotate_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    json_t *body = make_rotation(options);
    if (body == NULL) {
        options_free(&options);
        return err_exit_code(ERR_INVALID);
    }
    struct client_answer answer = client_ask(options, "POST", KEYS "/rotate", body);
    client_print(options, &answer, show_rotation);
    json_decref(answer.json);
    options_free(&options);
    return err_exit_code(answer.err);
}

/* ---- export ---------------------------------------------------------------------------------- */

static enum err export_to(const struct options *options, struct text *why)
{
    const char *file = options_string(options, "cluster-file");
    const char *dir = options_string(options, "data-dir");
    const char *out = options_string(options, "out");
    struct cluster_keys cluster;
    struct keyring ring;
    if (file == NULL || dir == NULL || out == NULL) {
        text_str(why, "--cluster-file, --data-dir and --out must be given");
        return ERR_INVALID;
    }
    enum err err = keys_load_cluster(file, &cluster, why);
    if (err == ERR_OK) {
        err = keyring_file_load(dir, &cluster, &ring, why);
        if (err == ERR_OK && !identity_exists(dir)) {
            /* Its key would be that of the cluster file, however often the cluster has got another. */
            text_str(why, dir);
            text_str(why, ": no node has run with this --data-dir; give the directory of one");
            err = ERR_NOT_FOUND;
        }
        if (err == ERR_OK) {
            cluster.key = *keyring_present(&ring);
            err = keys_save_cluster(out, &cluster, why);
        }
        sodium_memzero(&cluster, sizeof cluster);
        sodium_memzero(&ring, sizeof ring);
    }
    if (err == ERR_OK) {
        printf("%s\n", out);
    }
    return err;
}

static int export(int argc, char **argv)
{
    char room[1024];
    struct text why;
    int status;
    struct options *options = client_options(&key_export_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    text_init(&why, room, sizeof room);
    enum err err = sodium_init() < 0 ? ERR_SYSTEM : export_to(options, &why);
    if (err != ERR_OK) {
        fprintf(stderr, "atoll key export: %s\n", why.used > 0 ? room : err_text(err));
    }
    options_free(&options);
    return err_exit_code(err);
}

int key_command(int argc, char **argv)
{
    static const struct word at[] = {
        { "list", list, &key_list_table },
        { "rotate", rotate, &key_rotate_table },
        { "export", export, &key_export_table },
    };
    static const struct words words = {
        .command = "key",
        .about =
            "What makes a node a node of this cluster, and how it is replaced while all goes on.",
        .at = at,
        .count = ARRAY_COUNT(at),
    };
    return words_run(&words, argc, argv);
}
