/* node/io/config.c: from words to checked values. */
#include "node/io/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/io/address.h"
#include "node/io/keys.h"
#include "node/io/log.h"
#include "node/io/resolver.h"

#define SLOTS_LOG2_DEFAULT 18 /* DESIGN 5: up to 1,000 nodes */
#define MEMORY_MIN (128u << 20)
#define QUOTA_MIN (64u << 20)
#define DRAIN_MAX 86400

static const struct option_row rows[] = {
#define OPTION(name_, letter_, kind_, argument_, fallback_, help_) \
    { .name = name_,                                               \
      .letter = letter_,                                           \
      .kind = kind_,                                               \
      .argument = argument_,                                       \
      .fallback = fallback_,                                       \
      .help = help_ },
#include "node/io/options.def"
#undef OPTION
};

const struct options_table config_table = {
    .command = "node",
    .usage = "atoll node [OPTIONS]",
    .intro =
        "Run a cache node in the foreground. It leaves the cluster in order on SIGTERM or "
        "SIGINT;\na second signal ends it at once. `atoll node weight --help`: the weight of one "
        "that runs.",
    .examples =
        "  atoll keygen cluster --name prod --out cluster.json\n"
        "  atoll node --cluster-file cluster.json --listen 10.0.0.1:7700 --tier "
        "/data/atoll:500GiB\n"
        "  atoll node --cluster-file cluster.json --listen 10.0.0.2:7700 --seeds 10.0.0.1:7700\n"
        "  atoll node --insecure --cluster try --memory 512MiB\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .environment = true,
    .arguments_max = 0,
};

static enum err refuse(struct text *why, const char *option, const char *reason)
{
    text_str(why, option);
    text_str(why, ": ");
    text_str(why, reason);
    return ERR_INVALID;
}

/* Copy a string option; a missing one is "". */
static enum err copy(const struct options *options, const char *name, char *out, size_t room,
                     struct text *why)
{
    const char *value = options_string(options, name);
    if (value == NULL) {
        value = "";
    }
    if (strlen(value) >= room) {
        char option[64] = "--";
        strncat(option, name, sizeof option - 3);
        return refuse(why, option, "too long");
    }
    memcpy(out, value, strlen(value) + 1);
    return ERR_OK;
}

static enum err make_name(const struct options *options, struct config *out, struct text *why)
{
    enum err err = copy(options, "name", out->name, sizeof out->name, why);
    if (err != ERR_OK) {
        return err;
    }
    if (out->name[0] == 0) {
        char host[256] = "";
        gethostname(host, sizeof host - 1);
        host[strcspn(host, ".")] = 0;
        host[MEMBER_NAME_MAX] = 0;
        const bool is_name = span_is_name(span_text(host), MEMBER_NAME_MAX);
        memcpy(out->name, is_name ? host : "node", is_name ? strlen(host) + 1 : 5);
    }
    if (!span_is_name(span_text(out->name), MEMBER_NAME_MAX)) {
        return refuse(why, "--name", SPAN_NAME_RULE);
    }
    err = copy(options, "zone", out->zone, sizeof out->zone, why);
    if (err == ERR_OK && out->zone[0] != 0 &&
        !span_is_name(span_text(out->zone), MEMBER_ZONE_MAX)) {
        err = refuse(why, "--zone", SPAN_NAME_RULE);
    }
    return err;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static enum err one_address(const char *option, const char *text, uint16_t port,
                            struct address *out, struct text *why)
{
    char host[ADDRESS_HOST_MAX + 1];
    uint16_t found;
    if (!address_split(text, port, host, &found)) {
        return refuse(why, option, "must be HOST:PORT, as 10.0.0.1:7700 or [::1]:7700");
    }
    if (!address_parse(host, found, out) && address_resolve(host, found, out, 1) == 0) {
        text_str(why, host);
        text_str(why, ", ");
        return refuse(why, option, "the resolver does not know it");
    }
    return ERR_OK;
}

static enum err make_addresses(const struct options *options, struct config *out, struct text *why)
{
    const char *advertise = options_string(options, "advertise");
    enum err err = one_address("--listen", options_string(options, "listen"), 0, &out->listen, why);
    if (err != ERR_OK) {
        return err;
    }
    if (out->listen.port == 65535) {
        return refuse(why, "--listen", "the port must be below 65535: data uses the next one");
    }
    out->advertise = out->listen;
    if (advertise != NULL) {
        err = one_address("--advertise", advertise, out->listen.port, &out->advertise, why);
    }
    if (err == ERR_OK && address_is_any(&out->advertise)) {
        err = refuse(why, "--advertise", "tell at which address others reach this node");
    }
    if (err == ERR_OK) {
        err = copy(options, "seeds", out->seeds, sizeof out->seeds, why);
    }
    const char *wrong = err == ERR_OK && out->seeds[0] != 0 ? resolver_fault(out->seeds) : NULL;
    if (wrong != NULL) {
        err = refuse(why, "--seeds", wrong);
    }
    return err;
}

static enum err make_admin(const struct options *options, struct config *out, struct text *why)
{
    char host[ADDRESS_HOST_MAX + 1];
    struct address address;
    const char *text = options_string(options, "admin");
    enum err err =
        copy(options, "admin-token-file", out->admin_token_file, sizeof out->admin_token_file, why);
    if (err != ERR_OK || strcmp(text, "none") == 0) {
        return err;
    }
    text += strncmp(text, "http://", 7) == 0 ? 7 : 0; /* as ATOLL_ADMIN is for the commands */
    if (!address_split(text, 7780, host, &out->admin_port)) {
        return refuse(why, "--admin", "must be HOST:PORT, or none");
    }
    if (!address_parse(host, out->admin_port, &address) &&
        address_resolve(host, out->admin_port, &address, 1) == 0) {
        return refuse(why, "--admin", "the resolver does not know that host");
    }
    if (!address_is_loopback(&address) && out->admin_token_file[0] == 0) {
        return refuse(why, "--admin",
                      "not on loopback: others could reach it, so give --admin-token-file too");
    }
    memcpy(out->admin_host, host, strlen(host) + 1);
    return ERR_OK;
}

/* ---- cluster ----------------------------------------------------------------------------------- */

static enum err make_cluster(const struct options *options, struct config *out, struct text *why)
{
    const char *file = options_string(options, "cluster-file");
    const char *cluster = options_string(options, "cluster");
    out->insecure = options_flag(options, "insecure");
    if (file != NULL && out->insecure) {
        return refuse(why, "--insecure", "not together with --cluster-file");
    }
    if (file != NULL) {
        enum err err = keys_load_cluster(file, &out->keys, why);
        if (err == ERR_OK && cluster != NULL && strcmp(cluster, out->keys.name) != 0) {
            err = refuse(why, "--cluster", "the cluster file is of another cluster");
        }
        return err;
    }
    if (!out->insecure) {
        text_str(why, "give --cluster-file FILE (made by `atoll keygen cluster`), or --insecure "
                      "--cluster NAME in a network where everybody is trusted");
        return ERR_INVALID;
    }
    if (cluster == NULL) {
        return refuse(why, "--insecure",
                      "needs --cluster NAME, so that two clusters never merge by accident");
    }
    if (!span_is_name(span_text(cluster), sizeof out->keys.name - 1)) {
        return refuse(why, "--cluster", "at most 64 " SPAN_NAME_RULE);
    }
    memcpy(out->keys.name, cluster, strlen(cluster) + 1);
    out->keys.slots_log2 = SLOTS_LOG2_DEFAULT;
    return ERR_OK;
}

/* ---- store ------------------------------------------------------------------------------------ */

enum err config_tier_parse(const char *text, struct config_tier *out, struct text *why)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof out->dir) {
        return refuse(why, "--tier", "must be DIR:QUOTA, as /data/atoll:500GiB");
    }
    memcpy(out->dir, text, (size_t)(colon - text));
    out->dir[colon - text] = 0;
    if (!parse_size(span_text(colon + 1), &out->quota)) {
        return refuse(why, "--tier", "the quota must be a size, as 500GiB");
    }
    if (out->quota < QUOTA_MIN) {
        return refuse(why, "--tier", "the quota must be at least 64MiB");
    }
    return ERR_OK;
}

static enum err make_store(const struct options *options, struct config *out, struct text *why)
{
    uint64_t capacity = 0;
    out->memory = options_size(options, "memory");
    if (out->memory < MEMORY_MIN) {
        return refuse(why, "--memory", "must be at least 128MiB");
    }
    out->tier_count = options_count(options, "tier");
    if (out->tier_count > 1) {
        return refuse(why, "--tier", "this version keeps blocks in one directory; give one --tier");
    }
    for (uint32_t i = 0; i < out->tier_count; i++) {
        enum err err = config_tier_parse(options_item(options, "tier", i), &out->tiers[i], why);
        if (err != ERR_OK) {
            return err;
        }
        capacity += out->tiers[i].quota;
    }
    const uint64_t weight = options_size(options, "weight");
    if (weight > 65535) {
        return refuse(why, "--weight", "must be at most 65535");
    }
    const uint64_t gib = ((capacity > 0 ? capacity : out->memory) + (1u << 30) - 1) >> 30;
    out->weight = (uint32_t)(weight > 0 ? weight : gib > 65535 ? 65535 : gib);
    const uint64_t drain = options_size(options, "drain");
    if (drain > DRAIN_MAX) {
        return refuse(why, "--drain", "must be at most 86400, a day");
    }
    out->drain_us = SEC((usec_t)drain);
    out->hand_on_above = options_size(options, "hand-on-above");
    if (out->hand_on_above == 0) {
        return refuse(why, "--hand-on-above", "must be at least one byte a second");
    }
    return ERR_OK;
}

/* ---- labels and directories --------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum err make_labels(const struct options *options, struct config *out, struct text *why)
{
    const char *labels[OPTIONS_VALUES_MAX];
    struct text text;
    const uint32_t count = options_count(options, "label");
    for (uint32_t i = 0; i < count; i++) {
        labels[i] = options_item(options, "label", i);
        if (strchr(labels[i], ',') != NULL || !selector_is_valid(span_text(labels[i]))) {
            return refuse(why, "--label",
                          "must be KEY=VALUE of letters, digits, '.', '_', '-' and '/'");
        }
    }
    qsort(labels, count, sizeof labels[0], compare_texts);
    for (uint32_t i = 1; i < count; i++) {
        if (strcspn(labels[i], "=") == strcspn(labels[i - 1], "=") &&
            strncmp(labels[i], labels[i - 1], strcspn(labels[i], "=") + 1) == 0) {
            return refuse(why, "--label", "two values for one key");
        }
    }
    text_init(&text, out->labels, sizeof out->labels);
    for (uint32_t i = 0; i < count; i++) {
        text_str(&text, i > 0 ? "," : "");
        text_str(&text, labels[i]);
    }
    return text.overflow ? refuse(why, "--label", "together longer than 128 bytes") : ERR_OK;
}

static enum err make_data_dir(const struct options *options, struct config *out, struct text *why)
{
    struct text dir;
    const char *home = getenv("HOME");
    enum err err = copy(options, "data-dir", out->data_dir, sizeof out->data_dir, why);
    if (err != ERR_OK || out->data_dir[0] != 0) {
        return err;
    }
    text_init(&dir, out->data_dir, sizeof out->data_dir);
    if (geteuid() != 0 && home != NULL && home[0] == '/') {
        text_str(&dir, home);
        text_str(&dir, "/.local/share/atoll");
    } else {
        text_str(&dir, "/var/lib/atoll");
    }
    return dir.overflow ? refuse(why, "--data-dir", "$HOME is too long") : ERR_OK;
}

static enum err make_dirs(const struct options *options, struct config *out, struct text *why)
{
    out->root_count = options_count(options, "allow-root");
    if (out->root_count > CONFIG_ROOTS_MAX) {
        return refuse(why, "--allow-root", "16 at most");
    }
    for (uint32_t i = 0; i < out->root_count; i++) {
        const char *root = options_item(options, "allow-root", i);
        if (root[0] != '/' || strlen(root) >= CONFIG_PATH_MAX) {
            return refuse(why, "--allow-root", "must be an absolute path");
        }
        memcpy(out->roots[i], root, strlen(root) + 1);
    }
    enum err err =
        copy(options, "credentials-dir", out->credentials_dir, sizeof out->credentials_dir, why);
    return err != ERR_OK ? err : make_data_dir(options, out, why);
}

enum err config_make(const struct options *options, struct config *out, struct text *why)
{
    typedef enum err step(const struct options *, struct config *, struct text *);
    static step *const steps[] = { make_name,  make_addresses, make_admin, make_cluster,
                                   make_store, make_labels,    make_dirs };
    enum log_level level;
    memset(out, 0, sizeof *out);
    if (!log_level_parse(options_string(options, "log-level"), &level)) {
        return refuse(why, "--log-level", "must be error, warn, info or debug");
    }
    out->log_level = (int)level;
    for (uint32_t i = 0; i < ARRAY_COUNT(steps); i++) {
        enum err err = steps[i](options, out, why);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}
