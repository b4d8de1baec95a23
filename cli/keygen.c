/* cli/keygen.c: `atoll keygen cluster` and `atoll keygen client`. Keys go to files, never to a
 * command line or the screen. */
#include "cli/keygen.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/words.h"
#include "node/io/clock.h"
#include "node/io/keys.h"
#include "wire/dataset.h"

#define SLOTS_LOG2_MIN 12
#define SLOTS_LOG2_MAX 20

static const struct option_row cluster_rows[] = {
    { "name", 0, OPTION_STRING, "NAME", NULL, "of the cluster: letters, digits, '.', '_', '-'" },
    { "out", 'o', OPTION_STRING, "FILE", NULL, "where it goes; default: NAME.cluster.json" },
    { "slots", 0, OPTION_NUMBER, "LOG2", "18",
      "width of the ring, 12 to 20; 20 for more than 1,000 nodes; cannot be changed later" },
};

const struct options_table keygen_cluster_table = {
    .command = "keygen cluster",
    .usage = "atoll keygen cluster --name NAME [--out FILE]",
    .intro = "Make the keys that all nodes of a cluster share. Whoever has the file is a node.",
    .examples = "  atoll keygen cluster --name prod --out cluster.json\n",
    .rows = cluster_rows,
    .count = ARRAY_COUNT(cluster_rows),
};

static const struct option_row client_rows[] = {
    { "cluster-file", 0, OPTION_STRING, "FILE", NULL, "keys of the cluster" },
    { "dataset", 0, OPTION_LIST, "NAME,…", NULL, "datasets the client may read; *: all" },
    { "days", 0, OPTION_NUMBER, "N", "365", "how long it may" },
    { "out", 'o', OPTION_STRING, "FILE", NULL, "where the client's file goes" },
};

const struct options_table keygen_client_table = {
    .command = "keygen client",
    .usage = "atoll keygen client --cluster-file FILE --dataset NAME,… --out FILE",
    .intro = "Make the file with which mounts prove what they may read.",
    .examples = "  atoll keygen client --cluster-file cluster.json --dataset imagenet,coco "
                "--days 30 \\\n    --out alice.json\n",
    .rows = client_rows,
    .count = ARRAY_COUNT(client_rows),
};

static const struct option_row key_rows[] = {
    { "out", 'o', OPTION_STRING, "FILE", NULL, "where it goes" },
};

const struct options_table keygen_key_table = {
    .command = "keygen key",
    .usage = "atoll keygen key --out FILE",
    .intro =
        "Make a secret for `atoll key rotate --key-file`, on the host of the node that is asked.",
    .examples = "  atoll keygen key --out next-key.json\n",
    .rows = key_rows,
    .count = ARRAY_COUNT(key_rows),
};

static int fail(enum err err, const char *what, const char *reason)
{
    fprintf(stderr, "atoll keygen: %s%s\n", what, reason);
    return err_exit_code(err);
}

static int make_cluster(const struct options *options, struct text *why)
{
    const char *name = options_string(options, "name");
    const char *out = options_string(options, "out");
    const uint64_t slots = options_size(options, "slots");
    char path[128];
    struct cluster_keys keys;
    if (name == NULL || !span_is_name(span_text(name), sizeof keys.name - 1)) {
        return fail(ERR_INVALID,
                    "--name: ", "give the cluster a name of at most 64 " SPAN_NAME_RULE);
    }
    if (slots < SLOTS_LOG2_MIN || slots > SLOTS_LOG2_MAX) {
        return fail(ERR_INVALID, "--slots: ", "must be 12 to 20");
    }
    snprintf(path, sizeof path, "%s.cluster.json", name);
    keys_make_cluster(name, (uint32_t)slots, &keys);
    enum err err = keys_save_cluster(out != NULL ? out : path, &keys, why);
    sodium_memzero(&keys, sizeof keys);
    if (err != ERR_OK) {
        return fail(err, why->data, "");
    }
    printf("%s\n", out != NULL ? out : path);
    return 0;
}

/* The names of one --dataset, "a,b,c", behind those that are there already. */
static enum err add_datasets(char *list, struct grant *grant)
{
    char *rest = NULL;
    char *name = strtok_r(list, ",", &rest);
    for (; name != NULL; name = strtok_r(NULL, ",", &rest)) {
        if (grant->dataset_count == GRANT_DATASETS_MAX) {
            return ERR_TOO_LARGE;
        }
        if (strcmp(name, "*") != 0 && !dataset_is_name(name)) {
            return ERR_MALFORMED;
        }
        grant->datasets[grant->dataset_count++] = span_text(name);
    }
    return ERR_OK;
}

static enum err sign(const struct options *options, const struct cluster_keys *cluster,
                     struct client_keys *client)
{
    char *lists[OPTIONS_VALUES_MAX] = { NULL };
    struct grant grant = { .dataset_count = 0 };
    size_t used = 0;
    enum err err = ERR_OK;
    const uint32_t count = options_count(options, "dataset");
    const uint64_t seconds = options_size(options, "days") * 86400;
    memcpy(grant.client_key, client->public_key, sizeof grant.client_key);
    grant.expires_wall_s = (uint64_t)(clock_wall_us() / 1000000) + seconds;
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        lists[i] = strdup(options_item(options, "dataset", i));
        err = lists[i] == NULL ? ERR_NOMEM : add_datasets(lists[i], &grant);
    }
    if (err == ERR_OK) {
        err = grant.dataset_count == 0
                  ? ERR_INVALID
                  : grant_encode_sign(&grant, cluster->key.sign_secret, client->grants,
                                      sizeof client->grants, &used);
    }
    client->grants_size = (uint32_t)used;
    for (uint32_t i = 0; i < count; i++) {
        free(lists[i]);
    }
    return err;
}

static int make_client(const struct options *options, struct text *why)
{
    const char *file = options_string(options, "cluster-file");
    const char *out = options_string(options, "out");
    struct cluster_keys cluster;
    struct client_keys client = { .cluster = "" };
    if (file == NULL || out == NULL || options_count(options, "dataset") == 0) {
        return fail(ERR_INVALID, "", "--cluster-file, --dataset and --out must be given");
    }
    if (options_size(options, "days") == 0 || options_size(options, "days") > 36500) {
        return fail(ERR_INVALID, "--days: ", "must be 1 to 36500");
    }
    enum err err = keys_load_cluster(file, &cluster, why);
    if (err != ERR_OK) {
        return fail(err, why->data, "");
    }
    memcpy(client.cluster, cluster.name, sizeof client.cluster);
    client.slots_log2 = cluster.slots_log2;
    memcpy(client.server_key, cluster.curve_public, sizeof client.server_key);
    keys_make_pair(client.public_key, client.secret_key);
    err = sign(options, &cluster, &client);
    if (err != ERR_OK) {
        text_str(why, "--dataset: ");
        text_str(why,
                 err == ERR_MALFORMED ? DATASET_NAME_RULE : "give 1 to 32 names of datasets, or *");
        err = ERR_INVALID;
    } else {
        err = keys_save_client(out, &client, why);
    }
    sodium_memzero(&cluster, sizeof cluster);
    sodium_memzero(&client, sizeof client);
    if (err != ERR_OK) {
        return fail(err, why->data, "");
    }
    printf("%s\n", out);
    return 0;
}

static int run(const struct options_table *table, int argc, char **argv,
               int (*make)(const struct options *, struct text *))
{
    char room[1024];
    struct text why;
    struct options *options = NULL;
    bool help = false;
    text_init(&why, room, sizeof room);
    enum err err = options_parse(table, argc, argv, &options, &why);
    help = err == ERR_OK && options_wants_help(options);
    if (err != ERR_OK) {
        return fail(err, room, "");
    }
    int status = 0;
    if (help) {
        options_help(table, stdout);
    } else {
        status = sodium_init() < 0 ? 1 : make(options, &why);
    }
    options_free(&options);
    return status;
}

static int cluster(int argc, char **argv)
{
    return run(&keygen_cluster_table, argc, argv, make_cluster);
}

static int client(int argc, char **argv)
{
    return run(&keygen_client_table, argc, argv, make_client);
}

static int make_key(const struct options *options, struct text *why)
{
    const char *out = options_string(options, "out");
    if (out == NULL) {
        return fail(ERR_INVALID, "", "--out must be given");
    }
    enum err err = keys_save_secret(out, why);
    if (err != ERR_OK) {
        return fail(err, why->data, "");
    }
    printf("%s\n", out);
    return 0;
}

static int key(int argc, char **argv)
{
    return run(&keygen_key_table, argc, argv, make_key);
}

int keygen_command(int argc, char **argv)
{
    static const struct word at[] = {
        { "cluster", cluster, &keygen_cluster_table },
        { "client", client, &keygen_client_table },
        { "key", key, &keygen_key_table },
    };
    static const struct words words = {
        .command = "keygen",
        .about = "Keys go to files that only their owner can read, and are never replaced.",
        .at = at,
        .count = ARRAY_COUNT(at),
    };
    return words_run(&words, argc, argv);
}
