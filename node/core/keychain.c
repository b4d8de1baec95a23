#include "node/core/keychain.h"

#include <string.h>

#include "base/hash.h"
#include "node/core/internal.h"

struct keychain_holder {
    struct map_node by_node;
    struct key_holder said;
};

size_t keychain_memory(const struct node_options *options)
{
    const size_t members = node_members_max(options);
    /* Buckets: the next power of two, so at most twice as many. */
    return members * (sizeof(struct keychain_holder) + 2 * sizeof(void *)) + 2 * 16;
}

enum err keychain_init(struct keychain *keychain, struct arena *mem,
                       const struct node_options *options)
{
    keychain->timer.kind = TIMER_KEYCHAIN;
    keychain->holders = arena_array(mem, node_members_max(options), sizeof *keychain->holders);
    keychain->end_us = USEC_NEVER;
    if (!options->insecure) {
        CHECK(keyring_is_valid(&options->ring));
        keychain->ring = options->ring;
    }
    return keychain->holders != NULL ? map_init(&keychain->by_node, mem, node_members_max(options))
                                     : ERR_NOMEM;
}

/* ---- proofs ------------------------------------------------------------------------------ */

struct span keychain_prove(struct node *node, const struct proof_terms *terms)
{
    const struct keyring *ring = &node->keychain.ring;
    uint8_t *proofs = scratch_take(node, KEYCHAIN_PROOFS_MAX);
    for (uint32_t i = 0; i < ring->count; i++) {
        proof_make(&ring->keys[i], terms, proofs + (size_t)i * PROOF_SIZE);
    }
    return span_of(proofs, (size_t)ring->count * PROOF_SIZE);
}

bool keychain_check(const struct node *node, const struct proof_terms *terms, struct span proofs,
                    struct key_id *key)
{
    const struct keyring *ring = &node->keychain.ring;
    for (uint32_t i = 0; i < ring->count; i++) {
        if (proof_holds(&ring->keys[i], terms, proofs)) {
            *key = cluster_key_id(&ring->keys[i]);
            return true;
        }
    }
    return false;
}

void keychain_on_proof(struct node *node, struct link *link, const struct message_proof *proof)
{
    struct session *session = link->session;
    const struct proof_terms terms = session_terms(session);
    if (node->options.insecure) {
        return;
    }
    if (!keychain_check(node, &terms, proof->proofs, &session->key)) {
        MARK(node, "keychain.proof.void");
        link_close(node, link);
    }
}

/* ---- grants and capabilities --------------------------------------------------------------- */

enum err keychain_grant(const struct node *node, struct span bytes, const uint8_t client_key[32],
                        struct grant *out)
{
    const struct keyring *ring = &node->keychain.ring;
    enum err err = ERR_UNAUTHENTICATED;
    for (uint32_t i = 0; i < ring->count && err == ERR_UNAUTHENTICATED; i++) {
        const uint8_t *sign_public = cluster_key_sign_public(&ring->keys[i]);
        /* Rotations that do not revoke keep it. */
        if (i == 0 ||
            memcmp(sign_public, cluster_key_sign_public(&ring->keys[i - 1]), TRUST_KEY_SIZE) != 0) {
            err = grant_verify(bytes, sign_public, client_key, node->now.wall_us, out);
        }
    }
    return err;
}

enum err keychain_capability(const struct node *node, struct span capability,
                             const struct capability_use *use)
{
    const struct keyring *ring = &node->keychain.ring;
    enum err err = ERR_OTHER_KEY;
    for (uint32_t i = 0; i < ring->count && err == ERR_OTHER_KEY; i++) {
        err = capability_check(&ring->keys[i], capability, use);
    }
    return err;
}

/* ---- a change ------------------------------------------------------------------------------ */

static uint64_t hash_of(struct node_id id)
{
    return hash64(id.b, sizeof id.b, 0);
}

static void take_holders(struct node *node, const struct node_event *event)
{
    struct keychain *keychain = &node->keychain;
    const uint32_t most = node_members_max(&node->options);
    const uint32_t count = event->keys.count < most ? event->keys.count : most;
    for (uint32_t i = 0; i < keychain->holder_count; i++) {
        map_remove(&keychain->by_node, &keychain->holders[i].by_node);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct keychain_holder *holder = &keychain->holders[i];
        holder->said = event->keys.holders[i];
        map_insert(&keychain->by_node, &holder->by_node, hash_of(holder->said.node));
    }
    keychain->holder_count = count;
}

void keychain_on_keys(struct node *node, const struct node_event *event)
{
    struct keychain *keychain = &node->keychain;
    const struct keyring *ring = event->keys.ring;
    CHECK(!node->options.insecure && keyring_is_valid(ring));
    take_holders(node, event);
    keychain->end_us = event->keys.end_us;
    if (memcmp(ring, &keychain->ring, sizeof *ring) == 0) {
        return;
    }
    MARK(node, "keychain.changed");
    keychain->ring = *ring;
    keychain->change++;
    timers_set(&node->timers, &keychain->timer, node->now.mono_us);
}

/* Tell each node that we are connected to what we hold now; false: more remain for the next step. */
static bool prove_again(struct node *node)
{
    struct peer *peer = NULL;
    while ((peer = peers_next_open(node, peer)) != NULL) {
        if (peer->proved == node->keychain.change) {
            continue;
        }
        if (!effects_roomy(node, 256)) {
            return false;
        }
        peer->proved = node->keychain.change;
        const struct proof_terms terms = peer_terms(node, peer);
        struct message message = { .kind = MESSAGE_PROOF,
                                   .proof = { .proofs = keychain_prove(node, &terms) } };
        (void)peer_send(node, peer->id, LINK_CONTROL, &message);
    }
    return true;
}

void keychain_on_open(struct node *node, const struct peer *peer)
{
    if (!node->options.insecure && peer->proved != node->keychain.change) {
        MARK(node, "keychain.open.late");
        timers_set(&node->timers, &node->keychain.timer, node->now.mono_us);
    }
}

static bool signs(const struct node *node, uint32_t key_id)
{
    const struct keyring *ring = &node->keychain.ring;
    for (uint32_t i = 0; i < ring->count; i++) {
        if (trust_key_id(cluster_key_sign_public(&ring->keys[i])) == key_id) {
            return true;
        }
    }
    return false;
}

/* Does anything that it has shown still count? Signatures were checked when it came. */
static bool still_holds(const struct node *node, const struct session *session)
{
    struct span grants = span_of(session->grants, session->grants_size);
    struct span one;
    if (session->role != WIRE_MOUNT) {
        return keyring_find(&node->keychain.ring, session->key) != NULL;
    }
    while (grant_next(&grants, &one)) {
        if (signs(node, grant_key_id(one))) {
            return true;
        }
    }
    return false;
}

static struct session *find_void(struct node *node)
{
    struct map_node *at = map_walk(&node->sessions.by_id, NULL);
    for (; at != NULL; at = map_walk(&node->sessions.by_id, at)) {
        struct session *session = CONTAINER_OF(at, struct session, by_id);
        if (!still_holds(node, session)) {
            return session;
        }
    }
    return NULL;
}

/* All its links; with the last of them it is gone. */
static void end_session(struct node *node, const struct session *session)
{
    bool more = true;
    while (more) {
        struct list *first = session->links.next;
        struct link *link = CONTAINER_OF(first, struct link, of_session);
        CHECK(first != &session->links);
        more = first->next != &session->links;
        link_close(node, link);
    }
}

void keychain_on_timer(struct node *node)
{
    struct session *session = NULL;
    bool done = prove_again(node);
    while (done && (session = find_void(node)) != NULL) {
        if (!effects_roomy(node, 0)) {
            done = false;
            break;
        }
        MARK(node, "keychain.session.void");
        end_session(node, session);
    }
    if (!done) {
        timers_set(&node->timers, &node->keychain.timer, node->now.mono_us);
    }
}

enum key_stage keychain_stage(const struct node *node, struct node_id id)
{
    struct map_node *at = map_first(&node->keychain.by_node, hash_of(id));
    for (; at != NULL; at = map_next(at)) {
        const struct keychain_holder *holder = CONTAINER_OF(at, struct keychain_holder, by_node);
        if (node_id_equal(holder->said.node, id)) {
            return holder->said.stage;
        }
    }
    return KEY_STAGE_NONE;
}
