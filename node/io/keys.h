/* node/io/keys.h: the files `atoll keygen` writes: a cluster's keys, and a client's grants.
 *
 * JSON with a format version, mode 0600. Loading refuses, with a line for a person in `why`: a file
 * that cannot be read, one that group or others can read, one that is not of this form, and one
 * written by a newer version. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "gossip/keyring.h"
#include "wire/trust.h"

#define KEYS_GRANTS_MAX 4096

/* What a mount proves itself with. */
struct client_keys {
    char cluster[65];
    uint32_t slots_log2;
    uint8_t server_key[32]; /* the cluster's public key */
    uint8_t public_key[32];
    uint8_t secret_key[32];
    uint8_t grants[KEYS_GRANTS_MAX];
    uint32_t grants_size;
};

enum err keys_load_cluster(const char *path, struct cluster_keys *out, struct text *why) MUST_USE;
enum err keys_load_client(const char *path, struct client_keys *out, struct text *why) MUST_USE;
/* Never replaces a file: ERR_EXISTS. */
enum err keys_save_cluster(const char *path, const struct cluster_keys *keys, struct text *why)
    MUST_USE;
enum err keys_save_client(const char *path, const struct client_keys *keys, struct text *why)
    MUST_USE;
/* New random keys. `name` fits cluster_keys. */
void keys_make_cluster(const char *name, uint32_t slots_log2, struct cluster_keys *out);
/* A CURVE pair. */
void keys_make_pair(uint8_t public_key[32], uint8_t secret_key[32]);

/* A rotation to a key that follows from this secret; where it revokes, with a new signing key. */
void keys_make_rotation(const uint8_t secret[32], bool revokes, struct key_rotation *out);
/* A file with nothing but such a secret. *out is undefined on failure. */
enum err keys_load_secret(const char *path, uint8_t out[32], struct text *why) MUST_USE;
/* A new one, with a random secret; ERR_EXISTS. */
enum err keys_save_secret(const char *path, struct text *why) MUST_USE;
