/* wire/trust.h: who may read what (DESIGN 11): grants and capabilities, as pure arithmetic.
 *
 * A grant is signed when a client's keys are made, with a key that only the cluster file holds,
 * and shown in HELLO. A capability is made by a node for a client whose grant admits a dataset; it
 * is a MAC under a key that all nodes share, shown with each request, and checked by one hash. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/time.h"

#define TRUST_KEY_SIZE 32
#define TRUST_SIGN_SECRET_SIZE 64

/* One key of the cluster: what seals gossip, what makes capabilities, and who signs grants. A
 * rotation replaces it as a whole (gossip/keyring.h). Secrets: wipe it when done. */
struct cluster_key {
    uint32_t era;    /* one more with each rotation that revokes what was before it */
    uint32_t number; /* key epoch: 1 for the key of `atoll keygen`, one more with each rotation */
    uint32_t ttl_s;  /* the one before it opens for that long when all members use this one */
    uint8_t gossip[TRUST_KEY_SIZE];
    uint8_t capability[TRUST_KEY_SIZE];
    uint8_t
        sign_secret[TRUST_SIGN_SECRET_SIZE]; /* ed25519; a rotation that does not revoke keeps it */
};

/* Names a key and tells nothing about it. */
struct key_id {
    uint64_t v; /* 0: none */
};

/* Everything a cluster file holds. */
struct cluster_keys {
    char name[65];
    uint32_t slots_log2;
    uint8_t curve_public[TRUST_KEY_SIZE]; /* by these mounts and nodes know a node's control port */
    uint8_t curve_secret[TRUST_KEY_SIZE];
    struct cluster_key key;
};

struct key_id cluster_key_id(const struct cluster_key *key);
/* Its signing half, whom grants are verified with. */
const uint8_t *cluster_key_sign_public(const struct cluster_key *key);
/* The gossip and the capability key of a rotation follow from one secret; the rest of *out is
 * untouched. */
void cluster_key_derive(const uint8_t secret[TRUST_KEY_SIZE], struct cluster_key *out);

/* ---- grants ------------------------------------------------------------------------------ */

#define GRANT_DATASETS_MAX 32u
#define GRANT_SIZE_MAX (115u + GRANT_DATASETS_MAX * 65u)

struct grant {
    uint8_t client_key[TRUST_KEY_SIZE];       /* CURVE public key of the client */
    uint64_t expires_wall_s;                  /* seconds since 1970; it holds before, not at */
    struct span datasets[GRANT_DATASETS_MAX]; /* 1 to 64 bytes each: a dataset's name, or "*" */
    uint32_t dataset_count;
    uint32_t key_id; /* which key signed it: trust_key_id; set by verifying */
};

/* Names a signing key: the first four bytes of its hash. */
uint32_t trust_key_id(const uint8_t sign_public[TRUST_KEY_SIZE]);
/* ERR_FULL: does not fit. More datasets than GRANT_DATASETS_MAX or names over 64 bytes: CHECK. */
enum err grant_encode_sign(const struct grant *grant,
                           const uint8_t sign_secret[TRUST_SIGN_SECRET_SIZE], uint8_t *buffer,
                           size_t room, size_t *used) MUST_USE;
/* Grants travel back to back: takes one off the front of *from. false when there is none that is
 * whole; then *from is untouched, and what is left in it is no grant. */
bool grant_next(struct span *from, struct span *grant);
/* Does this one hold, for the client that proved `client_key`? ERR_MALFORMED, ERR_VERSION,
 * ERR_UNAUTHENTICATED (signed by another key, or changed since), ERR_DENIED (of another client, or
 * expired). Spans in *out point into `bytes`. */
enum err grant_verify(struct span bytes, const uint8_t sign_public[TRUST_KEY_SIZE],
                      const uint8_t client_key[TRUST_KEY_SIZE], usec_t wall_us, struct grant *out)
    MUST_USE;
bool grant_admits(const struct grant *grant, struct span dataset);
/* Which key a grant that grant_next gave says it was signed with. */
uint32_t grant_key_id(struct span bytes);

/* ---- capabilities ------------------------------------------------------------------------ */

#define CAPABILITY_SOURCES_MAX 8u
#define CAPABILITY_SIZE_MAX (78u + CAPABILITY_SOURCES_MAX * 34u) /* fits a GET's field of 512 */
#define CAPABILITY_LIFE_US_MAX SEC(600)

struct capability_source {
    struct source_id source;
    struct span prefix; /* keys that begin with it; empty: all. At most 1,024 bytes */
};

struct capability_terms {
    uint8_t client_key[TRUST_KEY_SIZE]; /* zero for a node of the cluster */
    struct dataset_id dataset;
    usec_t wall_us; /* now */
    usec_t life_us; /* at most CAPABILITY_LIFE_US_MAX (CHECK) */
    struct capability_source sources[CAPABILITY_SOURCES_MAX];
    uint32_t source_count;
};

/* What a request wants to read. */
struct capability_use {
    struct dataset_id dataset;
    struct source_id source;
    struct span key; /* or the prefix of a directory */
    usec_t wall_us;
};

/* Returns the size. A prefix is kept as its size and hash: a capability is small however long the
 * prefixes are. */
size_t capability_make(const struct cluster_key *key, const struct capability_terms *terms,
                       uint8_t out[CAPABILITY_SIZE_MAX]);
/* ERR_MALFORMED, ERR_VERSION, ERR_OTHER_KEY: made with another one; ERR_EXPIRED; or ERR_DENIED: forged, of
 * another dataset, or not for this source and key. Bounded work, nothing allocated. */
enum err capability_check(const struct cluster_key *key, struct span capability,
                          const struct capability_use *use) MUST_USE;
