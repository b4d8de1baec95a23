/* node/io/peer.h: the thread that runs a node: node/core, its links, and whom they talk to. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/core/node.h"
#include "node/io/disk_actor.h"
#include "node/io/fetch.h"
#include "node/io/gossip_actor.h"
#include "node/io/links.h"
#include "node/io/meta_actor.h"
#include "node/io/queue.h"

struct peer_actor;

/* Called on the peer thread. */
struct peer_hooks {
    void *self;
    void (*owning)(void *self);                  /* the node takes reads */
    void (*drained)(void *self);                 /* after NODE_LEAVE: nothing is in hand any more */
    void (*weight)(void *self, uint32_t weight); /* the member record's is another one now */
    /* Keep it for the next starts, then send NODE_WEIGHT_KEPT. */
    void (*keep_weight)(void *self, uint32_t weight, bool forget);
    void (*reply)(void *self, uint64_t id, enum err err, struct span text); /* to NODE_ADMIN */
};

struct peer_options {
    struct node_options node; /* region is made here */
    size_t arena;
    struct links_options links;
    struct address control; /* bound here */
    struct address data;
    struct queue *in; /* what actors and others send */
    struct fetch *fetch;
    struct meta_actor *meta;
    struct disk_actor *disks[NODE_TIERS_MAX];
    struct peer_hooks hooks;
};

/* Makes the node and binds its links; the thread does not run yet. A line in `why` on failure. */
enum err peer_new(const struct peer_options *options, struct peer_actor **out, struct text *why)
    MUST_USE;
/* `gossip` is NULL for a node that is alone. */
enum err peer_start(struct peer_actor *peer, struct gossip_actor *gossip) MUST_USE;
/* Joins, when it runs. Buffers of the region may still be with disk and fetch actors: stop those
 * before peer_free. */
void peer_stop(struct peer_actor *peer);
void peer_free(struct peer_actor **peer);

/* Any thread. */
bool peer_is_alive(struct peer_actor *peer); /* its loop has turned within 10 s */
void peer_links_totals(struct peer_actor *peer, struct links_totals *out);
