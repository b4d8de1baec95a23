/* gossip/keyring.h: the keys of the cluster that one node holds, and how two such rings become one.
 *
 * A rotation is a new key that is newer than the one in use. It is installed everywhere first, used
 * when all have it, and those before it are retired some time after all use it (keys.h). Of two
 * rotations begun at once, or in two halves of a partition, all nodes take the same one for newer:
 * by era, then number, then the lower id. So rings merge, in any order, to the same newest key.
 *
 * What a rotation promised to the keys before it is kept: another one has to wait until they are
 * retired, unless an operator forces it; and of two begun at once the longer time counts.
 *
 * A retired key opens nothing. The last two are kept for one purpose: a node that still has one of
 * them, because it was away, proves by it that it was of the cluster and is given the newer ones. A
 * key of a new era keeps none of those before it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "wire/trust.h"

#define KEYRING_KEYS_MAX 3u /* the newest, the one in use, and one that others may use */
#define KEYRING_RETIRED_MAX 2u
#define KEYRING_KEY_SIZE (12u + 2 * TRUST_KEY_SIZE + TRUST_SIGN_SECRET_SIZE)
#define KEYRING_SIZE_MAX (5u + (KEYRING_KEYS_MAX + KEYRING_RETIRED_MAX) * KEYRING_KEY_SIZE)

/* Secrets: wipe it when done. */
struct keyring {
    struct cluster_key keys[KEYRING_KEYS_MAX]; /* that open; newest first */
    uint32_t count;
    uint32_t present;                                /* the one that seals, of `keys` */
    struct cluster_key retired[KEYRING_RETIRED_MAX]; /* newest first */
    uint32_t retired_count;
    uint32_t ttl_s; /* the others open for that long when all use the newest: as that says, or one
                       begun at the same time, which gave way to it */
};

/* How far a member is with the newest key. */
enum key_stage {
    KEY_STAGE_NONE = 0, /* it does not have it, or we have not heard */
    KEY_STAGE_HAS = 1,  /* on its disk */
    KEY_STAGE_USES = 2, /* it seals with it */
};

struct key_holder {
    struct node_id node;
    enum key_stage stage;
};

/* What an operator asks for: see keyring_install. */
struct key_rotation {
    struct cluster_key key;
    bool revokes;
    bool is_forced;
};
#define KEY_ROTATION_SIZE (1u + KEYRING_KEY_SIZE)

/* A ring of one key. */
void keyring_init(struct keyring *ring, const struct cluster_key *key);
const struct cluster_key *keyring_present(const struct keyring *ring);
static inline const struct cluster_key *keyring_newest(const struct keyring *ring)
{
    return &ring->keys[0];
}
/* NULL: it opens nothing here. */
const struct cluster_key *keyring_find(const struct keyring *ring, struct key_id id);
bool keyring_is_retired(const struct keyring *ring, struct key_id id);
/* One key opens (or none: insecure), and all is done. */
static inline bool keyring_is_settled(const struct keyring *ring)
{
    return ring->count <= 1;
}

/* Begin a rotation: its key (of which era and number are not looked at, nor the signing key unless
 * it revokes) becomes the newest. ERR_ROTATING: another one is not over. One that is forced is begun
 * all the same: its time is then that of all older keys, and when three are open already, one that
 * does not seal opens no more. ERR_FULL: no number is left. ERR_INVALID: its secret is that of a key
 * that opens, or of one of the retired ones. */
enum err keyring_install(struct keyring *ring, const struct key_rotation *rotation) MUST_USE;
/* Seal with the newest. */
void keyring_use(struct keyring *ring);
/* The newest is in use: no other opens any more. */
void keyring_retire(struct keyring *ring);
/* Take in what another node holds. true: something changed. */
bool keyring_merge(struct keyring *ring, const struct keyring *theirs);
/* Somebody with the same newest key lets the others open for that long. true: longer than we did. */
bool keyring_promise(struct keyring *ring, uint32_t ttl_s);

/* Bytes for a node that asks; at most KEYRING_SIZE_MAX. Returns the size. */
size_t keyring_encode(const struct keyring *ring, uint8_t out[KEYRING_SIZE_MAX]);
/* ERR_MALFORMED, also for a ring that no node holds; ERR_VERSION. *out is untouched then. */
enum err keyring_decode(struct span bytes, struct keyring *out) MUST_USE;
void key_rotation_encode(const struct key_rotation *rotation, uint8_t out[KEY_ROTATION_SIZE]);
bool key_rotation_decode(struct span bytes, struct key_rotation *out);
/* Is it one that a node can hold: in order, without a key twice? */
bool keyring_is_valid(const struct keyring *ring);
