/* node/io/keys.c: what stands in each kind of file. Secrets are wiped from memory after use. */
#include "node/io/keys.h"

#include <sodium.h>
#include <string.h>
#include <zmq.h>

#include "node/io/key_json.h"

/* ---- reading ----------------------------------------------------------------------------------- */

#define CLUSTER_FIELDS 5

static void cluster_fields(struct cluster_keys *keys, struct key_field out[CLUSTER_FIELDS])
{
    out[0] = (struct key_field){ "gossip_key", keys->key.gossip, sizeof keys->key.gossip };
    out[1] = (struct key_field){ "curve_public", keys->curve_public, sizeof keys->curve_public };
    out[2] = (struct key_field){ "curve_secret", keys->curve_secret, sizeof keys->curve_secret };
    out[3] =
        (struct key_field){ "sign_secret", keys->key.sign_secret, sizeof keys->key.sign_secret };
    out[4] =
        (struct key_field){ "capability_key", keys->key.capability, sizeof keys->key.capability };
}

/* What only a key of a rotation has. */
static bool get_optional(const json_t *root, const char *name, uint32_t *out)
{
    *out = 0;
    return json_object_get(root, name) == NULL || key_json_number(root, name, UINT32_MAX, out);
}

static bool put_optional(json_t *root, const char *name, uint32_t value)
{
    return value == 0 || json_object_set_new(root, name, json_integer(value)) == 0;
}

enum err keys_load_cluster(const char *path, struct cluster_keys *out, struct text *why)
{
    struct cluster_keys keys = { .name = "" };
    struct key_field fields[CLUSTER_FIELDS];
    json_t *root = NULL;
    cluster_fields(&keys, fields);
    enum err err = key_json_load(path, "atoll-cluster", &root, why);
    if (err != ERR_OK) {
        return err;
    }
    if (!key_json_cluster(root, keys.name) ||
        !key_json_number(root, "slots_log2", 24, &keys.slots_log2) || keys.slots_log2 < 8 ||
        !key_json_number(root, "key_epoch", INT32_MAX, &keys.key.number) ||
        !key_json_fields(root, fields, ARRAY_COUNT(fields)) ||
        !get_optional(root, "key_era", &keys.key.era) ||
        !get_optional(root, "key_ttl_seconds", &keys.key.ttl_s)) {
        err = key_json_refuse(ERR_MALFORMED, why, path, "a field is missing or damaged");
    } else {
        *out = keys;
    }
    sodium_memzero(&keys, sizeof keys);
    json_decref(root);
    return err;
}

enum err keys_load_client(const char *path, struct client_keys *out, struct text *why)
{
    struct client_keys keys = { .cluster = "" };
    const struct key_field fields[] = {
        { "server_key", keys.server_key, sizeof keys.server_key },
        { "public_key", keys.public_key, sizeof keys.public_key },
        { "secret_key", keys.secret_key, sizeof keys.secret_key },
    };
    json_t *root = NULL;
    enum err err = key_json_load(path, "atoll-client", &root, why);
    if (err != ERR_OK) {
        return err;
    }
    const char *grants = json_string_value(json_object_get(root, "grants"));
    const struct key_field grant_field = { "grants", keys.grants,
                                           grants != NULL ? strlen(grants) / 2 : 0 };
    if (!key_json_cluster(root, keys.cluster) ||
        !key_json_number(root, "slots_log2", 24, &keys.slots_log2) ||
        !key_json_fields(root, fields, ARRAY_COUNT(fields)) ||
        grant_field.size > sizeof keys.grants || !key_json_bytes(root, &grant_field)) {
        err = key_json_refuse(ERR_MALFORMED, why, path, "a field is missing or damaged");
    } else {
        keys.grants_size = (uint32_t)grant_field.size;
        *out = keys;
    }
    sodium_memzero(&keys, sizeof keys);
    json_decref(root);
    return err;
}

/* ---- writing ----------------------------------------------------------------------------------- */

enum err keys_save_cluster(const char *path, const struct cluster_keys *keys, struct text *why)
{
    struct cluster_keys copy = *keys;
    uint8_t sign_public[TRUST_KEY_SIZE];
    struct key_field fields[CLUSTER_FIELDS];
    cluster_fields(&copy, fields);
    json_t *root = key_json_begin("atoll-cluster", copy.name, copy.slots_log2);
    bool good =
        root != NULL && json_object_set_new(root, "key_epoch", json_integer(copy.key.number)) == 0;
    good = good && put_optional(root, "key_era", copy.key.era) &&
           put_optional(root, "key_ttl_seconds", copy.key.ttl_s);
    for (uint32_t i = 0; i < ARRAY_COUNT(fields); i++) {
        good = good && key_json_put(root, &fields[i]);
    }
    /* Who reads it may want it told; here it follows from the secret one. */
    memcpy(sign_public, cluster_key_sign_public(&copy.key), sizeof sign_public);
    good = good && key_json_put(
                       root, &(struct key_field){ "sign_public", sign_public, sizeof sign_public });
    sodium_memzero(&copy, sizeof copy);
    if (!good) {
        json_decref(root);
        return ERR_NOMEM;
    }
    return key_json_save(path, root, why);
}

enum err keys_save_client(const char *path, const struct client_keys *keys, struct text *why)
{
    struct client_keys copy = *keys;
    const struct key_field fields[] = {
        { "server_key", copy.server_key, sizeof copy.server_key },
        { "public_key", copy.public_key, sizeof copy.public_key },
        { "secret_key", copy.secret_key, sizeof copy.secret_key },
        { "grants", copy.grants, copy.grants_size },
    };
    json_t *root = key_json_begin("atoll-client", copy.cluster, copy.slots_log2);
    bool good = root != NULL;
    for (uint32_t i = 0; i < ARRAY_COUNT(fields); i++) {
        good = good && key_json_put(root, &fields[i]);
    }
    sodium_memzero(&copy, sizeof copy);
    if (!good) {
        json_decref(root);
        return ERR_NOMEM;
    }
    return key_json_save(path, root, why);
}

void keys_make_pair(uint8_t public_key[32], uint8_t secret_key[32])
{
    char public_text[41];
    char secret_text[41];
    CHECK(zmq_curve_keypair(public_text, secret_text) == 0);
    CHECK(zmq_z85_decode(public_key, public_text) != NULL);
    CHECK(zmq_z85_decode(secret_key, secret_text) != NULL);
    sodium_memzero(secret_text, sizeof secret_text);
}

void keys_make_cluster(const char *name, uint32_t slots_log2, struct cluster_keys *out)
{
    CHECK(strlen(name) < sizeof out->name);
    memset(out, 0, sizeof *out);
    memcpy(out->name, name, strlen(name));
    out->slots_log2 = slots_log2;
    out->key.number = 1;
    keys_make_pair(out->curve_public, out->curve_secret);
    uint8_t sign_public[TRUST_KEY_SIZE];
    CHECK(crypto_sign_keypair(sign_public, out->key.sign_secret) == 0);
    randombytes_buf(out->key.gossip, sizeof out->key.gossip);
    randombytes_buf(out->key.capability, sizeof out->key.capability);
}

void keys_make_rotation(const uint8_t secret[32], bool revokes, struct key_rotation *out)
{
    uint8_t sign_public[TRUST_KEY_SIZE];
    memset(out, 0, sizeof *out);
    out->revokes = revokes;
    cluster_key_derive(secret, &out->key);
    CHECK(crypto_sign_keypair(sign_public, out->key.sign_secret) == 0);
}

enum err keys_load_secret(const char *path, uint8_t out[32], struct text *why)
{
    json_t *root = NULL;
    enum err err = key_json_load(path, "atoll-key", &root, why);
    if (err != ERR_OK) {
        return err;
    }
    if (!key_json_bytes(root, &(struct key_field){ "secret", out, 32 })) {
        err = key_json_refuse(ERR_MALFORMED, why, path, "a field is missing or damaged");
    }
    json_decref(root);
    return err;
}

enum err keys_save_secret(const char *path, struct text *why)
{
    uint8_t secret[32];
    json_t *root = json_pack("{s:s, s:i}", "kind", "atoll-key", "version", KEY_JSON_VERSION);
    randombytes_buf(secret, sizeof secret);
    const bool good =
        root != NULL && key_json_put(root, &(struct key_field){ "secret", secret, sizeof secret });
    sodium_memzero(secret, sizeof secret);
    if (!good) {
        json_decref(root);
        return ERR_NOMEM;
    }
    return key_json_save(path, root, why);
}
