/* node/core/keychain.h: the keys of the cluster in a node's core: what proves that somebody is a
 * node, and whose grants and capabilities hold.
 *
 * The ring itself is gossip's (gossip/keyring.h) and comes with NODE_KEYS. Any key that opens is good
 * enough to be let in; when one is retired, sessions that rest on it end. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/timers.h"
#include "node/core/node.h"
#include "wire/proof.h"
#include "wire/trust.h"

struct keychain_holder;
struct link;
struct peer;
struct session;
struct message_proof;

#define KEYCHAIN_PROOFS_MAX (KEYRING_KEYS_MAX * PROOF_SIZE)

struct keychain {
    struct keyring ring;             /* count 0: insecure */
    struct keychain_holder *holders; /* how far the members are with the newest key */
    uint32_t holder_count;
    struct map by_node; /* of those */
    uint64_t change;    /* grows with each change of the ring */
    usec_t end_us;      /* when all but the newest key end; USEC_NEVER: not known yet */
    struct timer timer;
};

size_t keychain_memory(const struct node_options *options);
enum err keychain_init(struct keychain *keychain, struct arena *mem,
                       const struct node_options *options) MUST_USE;
void keychain_on_keys(struct node *node, const struct node_event *event);
void keychain_on_timer(struct node *node);

/* Proofs of what we hold, in scratch bytes; empty when insecure. */
struct span keychain_prove(struct node *node, const struct proof_terms *terms);
/* The newest of our keys that was proven; false: none was. */
bool keychain_check(const struct node *node, const struct proof_terms *terms, struct span proofs,
                    struct key_id *key);
/* A control link of ours is open: if keys have changed since its HELLO, they are proven now. */
void keychain_on_open(struct node *node, const struct peer *peer);
/* A node that is connected proves again, because its keys have changed. */
void keychain_on_proof(struct node *node, struct link *link, const struct message_proof *proof);
/* ERR_OK when the grant holds under one of our keys. */
enum err keychain_grant(const struct node *node, struct span bytes, const uint8_t client_key[32],
                        struct grant *out) MUST_USE;
enum err keychain_capability(const struct node *node, struct span capability,
                             const struct capability_use *use) MUST_USE;
enum key_stage keychain_stage(const struct node *node, struct node_id id);
