/* node/io/gossip_actor.h: the membership machine on a thread and a UDP socket of its own, so that
 * it never queues behind blocks. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "gossip/gossip.h"
#include "node/io/queue.h"

struct gossip_actor;

/* What main has to do something about. Called on the gossip thread. */
enum gossip_news {
    GOSSIP_NEWS_PERSIST,
    GOSSIP_NEWS_LEFT,
    GOSSIP_NEWS_IDENTITY_IN_USE,
    GOSSIP_NEWS_KEYRING, /* to be written; then gossip_actor_kept, always */
};
/* `ring` holds during the call. */
struct gossip_word {
    enum gossip_news news;
    uint64_t number; /* incarnation; KEYRING: serial */
    const struct keyring *ring;
};
typedef void gossip_tell(void *self, const struct gossip_word *word);

struct gossip_actor_options {
    struct gossip_options gossip;
    struct address listen;
    const char *seeds;  /* node/io/resolver.h; "": none */
    struct queue *peer; /* takes NODE_VIEW, NODE_SEEDS, NODE_PEER_CATALOG, NODE_KEYS, NODE_LOADS and
                           NODE_KEY_ROTATED */
    gossip_tell *tell;
    void *self;
};

/* ERR_ADDRESS_IN_USE and others with a line in `why`. */
enum err gossip_actor_start(const struct gossip_actor_options *options, struct gossip_actor **out,
                            struct text *why) MUST_USE;
void gossip_actor_stop(struct gossip_actor **actor);

/* Any thread. */
void gossip_actor_evidence(struct gossip_actor *actor, struct node_id node);
void gossip_actor_catalog(struct gossip_actor *actor, uint64_t digest);
/* What this node serves; what some others do comes back as LOADS. */
void gossip_actor_load(struct gossip_actor *actor, uint64_t rate);
void gossip_actor_ready(struct gossip_actor *actor);
void gossip_actor_facts(struct gossip_actor *actor, const struct member *self);
void gossip_actor_rotate(struct gossip_actor *actor, uint64_t id,
                         const struct key_rotation *rotation);
/* ERR_SYSTEM: it could not be written. */
void gossip_actor_kept(struct gossip_actor *actor, uint64_t serial, enum err err);
void gossip_actor_leave(struct gossip_actor *actor, bool drained);
void gossip_actor_stats(struct gossip_actor *actor, struct gossip_stats *out);
