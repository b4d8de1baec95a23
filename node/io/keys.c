/* node/io/keys.c: JSON with hex in it. Secrets are wiped from memory after use. */
#include "node/io/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define FORMAT_VERSION 1
#define FILE_MAX_BYTES 65536

struct field {
    const char *name;
    uint8_t *bytes;
    size_t size;
};

static enum err refuse(enum err err, struct text *why, const char *path, const char *reason)
{
    text_str(why, path);
    text_str(why, ": ");
    text_str(why, reason);
    return err;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static enum err open_secret(const char *path, int *out, struct text *why)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        const enum err err = errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID;
        return refuse(err, why, path, strerror(errno));
    }
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        close(fd);
        return refuse(ERR_INVALID, why, path, "not a regular file");
    }
    if ((stat.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        close(fd);
        return refuse(ERR_INVALID, why, path, "holds secrets and others can read it: chmod 600 it");
    }
    *out = fd;
    return ERR_OK;
}

static enum err check_form(const json_t *root, const char *path, const char *kind, struct text *why)
{
    const json_t *version = json_object_get(root, "version");
    const json_t *found = json_object_get(root, "kind");
    if (!json_is_integer(version) || !json_is_string(found)) {
        return refuse(ERR_MALFORMED, why, path, "not a file of `atoll keygen`");
    }
    if (json_integer_value(version) > FORMAT_VERSION) {
        return refuse(ERR_VERSION, why, path,
                      "written by a newer version of Atoll; this one does not understand it");
    }
    if (strcmp(json_string_value(found), kind) != 0) {
        text_str(why, path);
        text_str(why, ": a file of kind ");
        text_str(why, json_string_value(found));
        text_str(why, ", wanted one of kind ");
        text_str(why, kind);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err load(const char *path, const char *kind, json_t **out, struct text *why)
{
    char data[FILE_MAX_BYTES];
    json_error_t error;
    int fd = -1;
    enum err err = open_secret(path, &fd, why);
    if (err != ERR_OK) {
        return err;
    }
    const ssize_t size = read(fd, data, sizeof data);
    close(fd);
    json_t *root = size <= 0 ? NULL : json_loadb(data, (size_t)size, 0, &error);
    sodium_memzero(data, sizeof data);
    if (root == NULL) {
        return refuse(ERR_MALFORMED, why, path, "not a file of `atoll keygen`: no JSON");
    }
    err = check_form(root, path, kind, why);
    if (err != ERR_OK) {
        json_decref(root);
        return err;
    }
    *out = root;
    return ERR_OK;
}

/* Hex of exactly `size` bytes. */
static bool get_bytes(const json_t *root, const struct field *field)
{
    size_t got = 0;
    const char *text = json_string_value(json_object_get(root, field->name));
    return text != NULL && strlen(text) == 2 * field->size &&
           sodium_hex2bin(field->bytes, field->size, text, strlen(text), NULL, &got, NULL) == 0 &&
           got == field->size;
}

static bool get_fields(const json_t *root, const struct field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!get_bytes(root, &fields[i])) {
            return false;
        }
    }
    return true;
}

static bool get_number(const json_t *root, const char *name, uint32_t most, uint32_t *out)
{
    const json_t *value = json_object_get(root, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > most) {
        return false;
    }
    *out = (uint32_t)json_integer_value(value);
    return true;
}

static bool get_name(const json_t *root, char out[65])
{
    const char *text = json_string_value(json_object_get(root, "cluster"));
    if (text == NULL || text[0] == 0 || strlen(text) > 64) {
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

#define CLUSTER_FIELDS 5

static void cluster_fields(struct cluster_keys *keys, struct field out[CLUSTER_FIELDS])
{
    out[0] = (struct field){ "gossip_key", keys->key.gossip, sizeof keys->key.gossip };
    out[1] = (struct field){ "curve_public", keys->curve_public, sizeof keys->curve_public };
    out[2] = (struct field){ "curve_secret", keys->curve_secret, sizeof keys->curve_secret };
    out[3] = (struct field){ "sign_secret", keys->key.sign_secret, sizeof keys->key.sign_secret };
    out[4] = (struct field){ "capability_key", keys->key.capability, sizeof keys->key.capability };
}

enum err keys_load_cluster(const char *path, struct cluster_keys *out, struct text *why)
{
    struct cluster_keys keys = { .name = "" };
    struct field fields[CLUSTER_FIELDS];
    json_t *root = NULL;
    cluster_fields(&keys, fields);
    enum err err = load(path, "atoll-cluster", &root, why);
    if (err != ERR_OK) {
        return err;
    }
    if (!get_name(root, keys.name) || !get_number(root, "slots_log2", 24, &keys.slots_log2) ||
        keys.slots_log2 < 8 || !get_number(root, "key_epoch", UINT32_MAX, &keys.key.number) ||
        !get_fields(root, fields, ARRAY_COUNT(fields))) {
        err = refuse(ERR_MALFORMED, why, path, "a field is missing or damaged");
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
    const struct field fields[] = {
        { "server_key", keys.server_key, sizeof keys.server_key },
        { "public_key", keys.public_key, sizeof keys.public_key },
        { "secret_key", keys.secret_key, sizeof keys.secret_key },
    };
    json_t *root = NULL;
    enum err err = load(path, "atoll-client", &root, why);
    if (err != ERR_OK) {
        return err;
    }
    const char *grants = json_string_value(json_object_get(root, "grants"));
    const struct field grant_field = { "grants", keys.grants,
                                       grants != NULL ? strlen(grants) / 2 : 0 };
    if (!get_name(root, keys.cluster) || !get_number(root, "slots_log2", 24, &keys.slots_log2) ||
        !get_fields(root, fields, ARRAY_COUNT(fields)) || grant_field.size > sizeof keys.grants ||
        !get_bytes(root, &grant_field)) {
        err = refuse(ERR_MALFORMED, why, path, "a field is missing or damaged");
    } else {
        keys.grants_size = (uint32_t)grant_field.size;
        *out = keys;
    }
    sodium_memzero(&keys, sizeof keys);
    json_decref(root);
    return err;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static bool put_bytes(json_t *root, const struct field *field)
{
    char text[2 * KEYS_GRANTS_MAX + 1];
    sodium_bin2hex(text, sizeof text, field->bytes, field->size);
    const bool put = json_object_set_new(root, field->name, json_string(text)) == 0;
    sodium_memzero(text, sizeof text);
    return put;
}

/* A file that is there whole, or not at all. */
static enum err write_whole(const char *path, const char *data, struct text *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        return refuse(ERR_EXISTS, why, path, "exists already; keys are never replaced");
    }
    if (fd < 0) {
        return refuse(ERR_INVALID, why, path, strerror(errno));
    }
    const size_t size = strlen(data);
    const bool written = write(fd, data, size) == (ssize_t)size && fsync(fd) == 0;
    const int reason = errno;
    close(fd);
    if (!written) {
        unlink(path);
        return refuse(ERR_SYSTEM, why, path, strerror(reason));
    }
    return ERR_OK;
}

/* Takes over `root`. */
static enum err save(const char *path, json_t *root, struct text *why)
{
    char *data = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(root);
    if (data == NULL) {
        return ERR_NOMEM;
    }
    enum err err = write_whole(path, data, why);
    sodium_memzero(data, strlen(data));
    free(data);
    return err;
}

static json_t *begin(const char *kind, const char *cluster, uint32_t slots_log2)
{
    return json_pack("{s:s, s:i, s:s, s:i}", "kind", kind, "version", FORMAT_VERSION, "cluster",
                     cluster, "slots_log2", (int)slots_log2);
}

enum err keys_save_cluster(const char *path, const struct cluster_keys *keys, struct text *why)
{
    struct cluster_keys copy = *keys;
    struct field fields[CLUSTER_FIELDS];
    cluster_fields(&copy, fields);
    json_t *root = begin("atoll-cluster", copy.name, copy.slots_log2);
    bool good =
        root != NULL && json_object_set_new(root, "key_epoch", json_integer(copy.key.number)) == 0;
    for (uint32_t i = 0; i < ARRAY_COUNT(fields); i++) {
        good = good && put_bytes(root, &fields[i]);
    }
    sodium_memzero(&copy, sizeof copy);
    if (!good) {
        json_decref(root);
        return ERR_NOMEM;
    }
    return save(path, root, why);
}

enum err keys_save_client(const char *path, const struct client_keys *keys, struct text *why)
{
    struct client_keys copy = *keys;
    const struct field fields[] = {
        { "server_key", copy.server_key, sizeof copy.server_key },
        { "public_key", copy.public_key, sizeof copy.public_key },
        { "secret_key", copy.secret_key, sizeof copy.secret_key },
        { "grants", copy.grants, copy.grants_size },
    };
    json_t *root = begin("atoll-client", copy.cluster, copy.slots_log2);
    bool good = root != NULL;
    for (uint32_t i = 0; i < ARRAY_COUNT(fields); i++) {
        good = good && put_bytes(root, &fields[i]);
    }
    sodium_memzero(&copy, sizeof copy);
    if (!good) {
        json_decref(root);
        return ERR_NOMEM;
    }
    return save(path, root, why);
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
