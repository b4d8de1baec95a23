/* wire/proof.h: how a node proves on a control link that it holds a key of the cluster.
 *
 * A proof names a key and is a MAC under it over what only this link has: the CURVE key that the
 * client has shown there, new for each process, and the session. So it is worth nothing elsewhere,
 * also for whoever has the cluster's CURVE pair but none of its present keys. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/id.h"
#include "wire/trust.h"

#define PROOF_SIZE 24u /* key id u64, MAC */
#define PROOFS_MAX 4u  /* one after the other: of each key its maker holds */

enum proof_side {
    PROOF_OF_CLIENT = 1, /* in HELLO and PROOF: of whoever opened the link */
    PROOF_OF_SERVER = 2, /* in WELCOME */
};

struct proof_terms {
    enum proof_side side;
    struct node_id node; /* who proves */
    uint8_t session[ID_SIZE];
    uint8_t client_key[TRUST_KEY_SIZE]; /* CURVE public key of whoever opened the link */
};

void proof_make(const struct cluster_key *key, const struct proof_terms *terms,
                uint8_t out[PROOF_SIZE]);
/* Is there one among them that was made with this key? */
bool proof_holds(const struct cluster_key *key, const struct proof_terms *terms,
                 struct span proofs);
