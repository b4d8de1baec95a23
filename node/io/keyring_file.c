#include "node/io/keyring_file.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "node/io/key_json.h"

#define NAME "keyring.json"
#define KIND "atoll-keyring"
#define FIELDS 3

static void key_fields(struct cluster_key *key, struct key_field out[FIELDS])
{
    out[0] = (struct key_field){ "gossip_key", key->gossip, sizeof key->gossip };
    out[1] = (struct key_field){ "capability_key", key->capability, sizeof key->capability };
    out[2] = (struct key_field){ "sign_secret", key->sign_secret, sizeof key->sign_secret };
}

/* ---- reading ----------------------------------------------------------------------------------- */

static bool get_key(const json_t *item, struct cluster_key *out)
{
    struct key_field fields[FIELDS];
    key_fields(out, fields);
    return key_json_number(item, "era", UINT32_MAX, &out->era) &&
           key_json_number(item, "number", UINT32_MAX, &out->number) &&
           key_json_number(item, "ttl_seconds", UINT32_MAX, &out->ttl_s) &&
           key_json_fields(item, fields, FIELDS);
}

static bool get_keys(const json_t *root, const char *name, struct cluster_key *out, uint32_t most,
                     uint32_t *count)
{
    const json_t *items = json_object_get(root, name);
    const size_t size = json_array_size(items); /* 0 for what is no array */
    if (!json_is_array(items) || size > most) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!get_key(json_array_get(items, i), &out[i])) {
            return false;
        }
    }
    *count = (uint32_t)size;
    return true;
}

/* A version before this one wrote none: then what came with the newest key counts. */
static bool get_ttl(const json_t *root, struct keyring *out)
{
    uint32_t ttl_s = 0;
    if (json_object_get(root, "ttl_seconds") != NULL &&
        !key_json_number(root, "ttl_seconds", UINT32_MAX, &ttl_s)) {
        return false;
    }
    out->ttl_s = keyring_newest(out)->ttl_s;
    (void)keyring_promise(out, ttl_s);
    return true;
}

static bool get_ring(const json_t *root, struct keyring *out)
{
    memset(out, 0, sizeof *out);
    return get_keys(root, "keys", out->keys, KEYRING_KEYS_MAX, &out->count) &&
           get_keys(root, "retired", out->retired, KEYRING_RETIRED_MAX, &out->retired_count) &&
           key_json_number(root, "present", KEYRING_KEYS_MAX - 1, &out->present) &&
           keyring_is_valid(out) && get_ttl(root, out);
}

static enum err check_cluster(const json_t *root, const char *path,
                              const struct cluster_keys *cluster, struct text *why)
{
    uint8_t curve_public[TRUST_KEY_SIZE];
    char name[65];
    if (!key_json_cluster(root, name) ||
        !key_json_bytes(root,
                        &(struct key_field){ "curve_public", curve_public, sizeof curve_public })) {
        return key_json_refuse(ERR_MALFORMED, why, path, "a field is missing or damaged");
    }
    if (strcmp(name, cluster->name) != 0 ||
        memcmp(curve_public, cluster->curve_public, sizeof curve_public) != 0) {
        return key_json_refuse(ERR_INVALID, why, path,
                               "holds keys of another cluster than the cluster file; remove it "
                               "when this node is to be of that one");
    }
    return ERR_OK;
}

/* The operator may have given the node a newer file; an older one tells nothing. */
static void add_cluster_file(struct keyring *ring, const struct cluster_key *key)
{
    const struct key_id id = cluster_key_id(key);
    struct keyring given;
    if (keyring_find(ring, id) != NULL || keyring_is_retired(ring, id)) {
        return;
    }
    keyring_init(&given, key);
    (void)keyring_merge(ring, &given);
    sodium_memzero(&given, sizeof given);
}

enum err keyring_file_load(const char *dir, const struct cluster_keys *cluster, struct keyring *out,
                           struct text *why)
{
    char path[4096];
    struct keyring ring;
    json_t *root = NULL;
    snprintf(path, sizeof path, "%s/" NAME, dir);
    const size_t said = why->used;
    enum err err = key_json_load(path, KIND, &root, why);
    if (err == ERR_NOT_FOUND) {
        why->used = said;
        keyring_init(out, &cluster->key);
        return ERR_OK;
    }
    if (err != ERR_OK) {
        return err;
    }
    err = check_cluster(root, path, cluster, why);
    if (err == ERR_OK && !get_ring(root, &ring)) {
        err = key_json_refuse(ERR_MALFORMED, why, path, "a field is missing or damaged");
    }
    if (err == ERR_OK) {
        add_cluster_file(&ring, &cluster->key);
        *out = ring;
    }
    sodium_memzero(&ring, sizeof ring);
    json_decref(root);
    return err;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static bool put_number(json_t *root, const char *name, uint32_t value)
{
    return json_object_set_new(root, name, json_integer(value)) == 0;
}

static bool put_key(json_t *items, const struct cluster_key *key)
{
    struct cluster_key copy = *key;
    struct key_field fields[FIELDS];
    json_t *item = json_object();
    key_fields(&copy, fields);
    bool good = item != NULL && put_number(item, "era", copy.era) &&
                put_number(item, "number", copy.number) &&
                put_number(item, "ttl_seconds", copy.ttl_s);
    for (uint32_t i = 0; i < FIELDS; i++) {
        good = good && key_json_put(item, &fields[i]);
    }
    sodium_memzero(&copy, sizeof copy);
    if (!good) {
        json_decref(item);
        return false;
    }
    return json_array_append_new(items, item) == 0;
}

static bool put_keys(json_t *root, const char *name, const struct cluster_key *keys, uint32_t count)
{
    json_t *items = json_array();
    bool good = items != NULL && json_object_set_new(root, name, items) == 0;
    for (uint32_t i = 0; i < count; i++) {
        good = good && put_key(items, &keys[i]);
    }
    return good;
}

enum err keyring_file_save(const char *dir, const struct cluster_keys *cluster,
                           const struct keyring *ring, struct text *why)
{
    struct cluster_keys copy = *cluster;
    json_t *root = key_json_begin(KIND, copy.name, copy.slots_log2);
    const bool good = root != NULL &&
                      key_json_put(root, &(struct key_field){ "curve_public", copy.curve_public,
                                                              sizeof copy.curve_public }) &&
                      put_number(root, "present", ring->present) &&
                      put_number(root, "ttl_seconds", ring->ttl_s) &&
                      put_keys(root, "keys", ring->keys, ring->count) &&
                      put_keys(root, "retired", ring->retired, ring->retired_count);
    sodium_memzero(&copy, sizeof copy);
    if (!good) {
        json_decref(root);
        return ERR_NOMEM;
    }
    return key_json_replace(dir, NAME, root, why);
}
