/* node/io/key_json.h: files that hold keys: JSON of a kind and a format version, mode 0600, bytes as
 * hex. For those who define such files: keys.c, keyring_file.c.
 *
 * What fails says why in a line that begins with the path. Reading refuses a file that group or
 * others can read, and one of a newer version. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"

#define KEY_JSON_VERSION 1
#define KEY_JSON_FIELD_MAX 4096 /* bytes of one field */

struct key_field {
    const char *name;
    uint8_t *bytes;
    size_t size;
};

/* Puts path and reason into `why`; returns err. */
enum err key_json_refuse(enum err err, struct text *why, const char *path, const char *reason);
/* *out is the caller's to json_decref. */
enum err key_json_load(const char *path, const char *kind, json_t **out, struct text *why) MUST_USE;
/* Hex of exactly `size` bytes. */
bool key_json_bytes(const json_t *root, const struct key_field *field);
bool key_json_fields(const json_t *root, const struct key_field *fields, uint32_t count);
bool key_json_number(const json_t *root, const char *name, uint32_t most, uint32_t *out);
/* The name of the cluster. */
bool key_json_cluster(const json_t *root, char out[65]);

/* NULL: no memory. */
json_t *key_json_begin(const char *kind, const char *cluster, uint32_t slots_log2);
bool key_json_put(json_t *root, const struct key_field *field);
/* Both take over `root`. A new file, or ERR_EXISTS. */
enum err key_json_save(const char *path, json_t *root, struct text *why) MUST_USE;
/* Whole, in place of the one before it, and on disk when it returns. */
enum err key_json_replace(const char *dir, const char *name, json_t *root, struct text *why)
    MUST_USE;
