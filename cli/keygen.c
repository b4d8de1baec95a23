/* cli/keygen.c: `atoll keygen cluster|client`. Secrets go to files of mode 0600, never to the
 * terminal or a command line. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "cli/admin.h"
#include "cli/commands.h"
#include "node/io/clock.h"
#include "node/io/keys.h"

#define SLOTS_LOG2_MIN 12
#define SLOTS_LOG2_MAX 20

static const struct option_row cluster_rows[] = {
    { "name", 0, OPTION_STRING, "NAME", NULL, "of the cluster: 1 to 64 letters" },
    { "out", 0, OPTION_STRING, "FILE", NULL, "where to; default: NAME.cluster.json" },
    { "slots", 0, OPTION_NUMBER, "LOG2", "18",
      "width of the ring, for ever: 18; 20 for more than 1,000 nodes" },
};

static const struct options_table cluster_table = {
    .command = "keygen cluster",
    .usage = "atoll keygen cluster --name NAME [OPTIONS]",
    .intro =
        "Makes the file that every node of a cluster gets. Keep it secret: who has it is a node.",
    .examples = "  atoll keygen cluster --name prod --out /etc/atoll/cluster.json\n",
    .rows = cluster_rows,
    .count = ARRAY_COUNT(cluster_rows),
};

static const struct option_row client_rows[] = {
    { "cluster-file", 0, OPTION_STRING, "FILE", NULL, "the cluster's keys" },
    { "dataset", 0, OPTION_LIST, "NAME,...", NULL, "datasets it may read; '*' is all" },
    { "days", 0, OPTION_NUMBER, "N", "365", "how long the grant holds" },
    { "out", 0, OPTION_STRING, "FILE", NULL, "where to" },
};

static const struct options_table client_table = {
    .command = "keygen client",
    .usage = "atoll keygen client --cluster-file FILE --dataset NAME,... --out FILE [OPTIONS]",
    .intro = "Makes the file that a mount gets: a key pair of its own, and what it may read.",
    .examples = "  atoll keygen client --cluster-file cluster.json --dataset train,val "
                "--out job7.json\n",
    .rows = client_rows,
    .count = ARRAY_COUNT(client_rows),
};

static enum err refuse(struct text *why, const char *line)
{
    text_str(why, line);
    return ERR_INVALID;
}

static enum err make_cluster(const struct options *options, struct text *why)
{
    char path[1024];
    struct text text;
    struct cluster_keys keys;
    const char *name = options_string(options, "name");
    const char *out = options_string(options, "out");
    uint64_t slots = options_size(options, "slots");
    if (name == NULL || name[0] == '\0' || strlen(name) > 64) {
        return refuse(why, "give the cluster a name: --name NAME, 1 to 64 letters");
    }
    if (slots < SLOTS_LOG2_MIN || slots > SLOTS_LOG2_MAX) {
        return refuse(why, "--slots is between 12 and 20; 18 is right for up to 1,000 nodes");
    }
    text_init(&text, path, sizeof path);
    text_str(&text, out == NULL ? name : out);
    text_str(&text, out == NULL ? ".cluster.json" : "");
    keys_make_cluster(name, (uint32_t)slots, &keys);
    enum err err = keys_save_cluster(path, &keys, why);
    sodium_memzero(&keys, sizeof keys);
    if (err == ERR_OK) {
        printf("%s: keys of cluster \"%s\"; give this file to its nodes, and keep it secret\n",
               path, name);
    }
    return err;
}

/* Names of --dataset, also several in one word. */
static enum err add_datasets(const struct options *options, struct grant *grant, struct text *why)
{
    for (uint32_t i = 0; i < options_count(options, "dataset"); i++) {
        const char *at = options_item(options, "dataset", i);
        while (*at != '\0') {
            size_t size = strcspn(at, ",");
            if (size > 64 || grant->dataset_count == GRANT_DATASETS_MAX) {
                return refuse(why, "--dataset: at most 32 names of at most 64 letters");
            }
            if (size > 0) {
                grant->datasets[grant->dataset_count++] = span_of(at, size);
            }
            at += size + (at[size] == ',' ? 1 : 0);
        }
    }
    return grant->dataset_count > 0
               ? ERR_OK
               : refuse(why, "say what it may read: --dataset NAME,... or '*'");
}

static enum err sign_and_save(const struct options *options, const struct cluster_keys *cluster,
                              struct grant *grant, struct text *why)
{
    struct client_keys client;
    size_t used = 0;
    memset(&client, 0, sizeof client);
    memcpy(client.cluster, cluster->name, sizeof client.cluster);
    client.slots_log2 = cluster->slots_log2;
    memcpy(client.server_key, cluster->curve_public, sizeof client.server_key);
    keys_make_pair(client.public_key, client.secret_key);
    memcpy(grant->client_key, client.public_key, sizeof grant->client_key);
    enum err err =
        grant_encode_sign(grant, cluster->sign_secret, client.grants, sizeof client.grants, &used);
    client.grants_size = (uint32_t)used;
    if (err == ERR_OK) {
        err = keys_save_client(options_string(options, "out"), &client, why);
    }
    sodium_memzero(&client, sizeof client);
    return err;
}

static enum err make_client(const struct options *options, struct text *why)
{
    struct cluster_keys cluster;
    struct grant grant;
    uint64_t days = options_size(options, "days");
    const char *file = options_string(options, "cluster-file");
    memset(&grant, 0, sizeof grant);
    if (file == NULL || options_string(options, "out") == NULL) {
        return refuse(why, "give --cluster-file FILE and --out FILE");
    }
    if (days == 0 || days > 36500) {
        return refuse(why, "--days is between 1 and 36500");
    }
    grant.expires_wall_s = (uint64_t)(clock_wall_us() / 1000000) + days * 86400;
    enum err err = add_datasets(options, &grant, why);
    if (err == ERR_OK) {
        err = keys_load_cluster(file, &cluster, why);
    }
    if (err != ERR_OK) {
        return err;
    }
    err = sign_and_save(options, &cluster, &grant, why);
    sodium_memzero(&cluster, sizeof cluster);
    if (err == ERR_OK) {
        printf("%s: a client's keys, good for %llu days\n", options_string(options, "out"),
               (unsigned long long)days);
    }
    return err;
}

static int run(const struct options_table *table, int argc, char **argv)
{
    char line[1024];
    struct text why;
    struct options *options = NULL;
    bool help = false;
    text_init(&why, line, sizeof line);
    enum err err = options_parse(table, argc, argv, &options, &help, &why);
    if (err == ERR_OK && help) {
        options_help(table, stdout);
    } else if (err == ERR_OK) {
        err = table == &cluster_table ? make_cluster(options, &why) : make_client(options, &why);
    }
    options_free(&options);
    return err == ERR_OK ? 0 : admin_complain(table->command, err, &why);
}

int keygen_command(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (sodium_init() < 0) {
        fputs("atoll keygen: no source of randomness\n", stderr);
        return err_exit_code(ERR_SYSTEM);
    }
    if (strcmp(word, "cluster") == 0) {
        return run(&cluster_table, argc - 1, argv + 1);
    }
    if (strcmp(word, "client") == 0) {
        return run(&client_table, argc - 1, argv + 1);
    }
    bool asked = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    fputs("Usage: atoll keygen cluster --name NAME [--out FILE]\n"
          "       atoll keygen client --cluster-file FILE --dataset NAME,... --out FILE\n"
          "Each: atoll keygen WORD --help\n",
          asked ? stdout : stderr);
    return asked ? 0 : err_exit_code(ERR_INVALID);
}
