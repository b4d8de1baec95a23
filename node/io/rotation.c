#include "node/io/rotation.h"

#include <jansson.h>
#include <sodium.h>
#include <string.h>

#include "node/io/keys.h"

static enum err refuse(struct text *why, const char *reason)
{
    text_str(why, reason);
    return ERR_INVALID;
}

static bool is_known(const char *key)
{
    return strcmp(key, "ttl_seconds") == 0 || strcmp(key, "revoke") == 0 ||
           strcmp(key, "force") == 0 || strcmp(key, "file") == 0;
}

static enum err check_fields(json_t *root, struct text *why)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (!is_known(key)) {
            text_json(why, span_text(key));
            return refuse(why, ": no such field; there are ttl_seconds, revoke, force and file");
        }
    }
    return ERR_OK;
}

static enum err get_ttl(const json_t *root, uint32_t *out, struct text *why)
{
    const json_t *value = json_object_get(root, "ttl_seconds");
    const json_int_t seconds = json_integer_value(value);
    *out = ROTATION_TTL_S;
    if (value == NULL) {
        return ERR_OK;
    }
    if (!json_is_integer(value) || seconds < 1 || seconds > ROTATION_TTL_S_MAX) {
        return refuse(why, "ttl_seconds: must be 1 to 2592000");
    }
    *out = (uint32_t)seconds;
    return ERR_OK;
}

static enum err get_secret(const json_t *root, uint8_t secret[TRUST_KEY_SIZE], struct text *why)
{
    const json_t *file = json_object_get(root, "file");
    const char *path = json_string_value(file);
    if (file == NULL) {
        randombytes_buf(secret, TRUST_KEY_SIZE);
        return ERR_OK;
    }
    if (path == NULL || path[0] != '/') {
        return refuse(why, "file: must be an absolute path on the node's host");
    }
    /* Whatever is wrong with the file, the request is what has to be corrected. */
    return keys_load_secret(path, secret, why) == ERR_OK ? ERR_OK : ERR_INVALID;
}

static enum err parse(json_t *root, struct key_rotation *out, struct text *why)
{
    uint8_t secret[TRUST_KEY_SIZE];
    uint32_t ttl_s = 0;
    const json_t *revoke = json_object_get(root, "revoke");
    const json_t *force = json_object_get(root, "force");
    if (!json_is_object(root)) {
        return refuse(why, "the request must be a JSON object");
    }
    if (revoke != NULL && !json_is_boolean(revoke)) {
        return refuse(why, "revoke: must be true or false");
    }
    if (force != NULL && !json_is_boolean(force)) {
        return refuse(why, "force: must be true or false");
    }
    enum err err = check_fields(root, why);
    if (err == ERR_OK) {
        err = get_ttl(root, &ttl_s, why);
    }
    if (err == ERR_OK) {
        err = get_secret(root, secret, why);
    }
    if (err == ERR_OK) {
        keys_make_rotation(secret, json_is_true(revoke), out);
        out->key.ttl_s = ttl_s;
        out->is_forced = json_is_true(force);
    }
    sodium_memzero(secret, sizeof secret);
    return err;
}

enum err rotation_parse(const char *body, size_t size, struct key_rotation *out, struct text *why)
{
    json_t *root = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL) {
        return refuse(why, "the request is no JSON, or has a field twice");
    }
    enum err err = parse(root, out, why);
    json_decref(root);
    return err;
}
