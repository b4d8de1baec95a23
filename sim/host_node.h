/* sim/host_node.h: a host that runs a cache node: gossip and node core as they ship, its region, its
 * disk, and what is kept there over restarts. */
#pragma once
#include "gossip/gossip.h"
#include "node/core/node.h"
#include "sim/disk.h"
#include "sim/pages.h"
#include "sim/world.h"

#define HOST_SEEDS_MAX 16

struct host_node_options {
    const char *name;
    const char *cluster;
    uint32_t slots_log2;
    size_t region_size;
    uint64_t tier_quota; /* 0: memory only */
    uint32_t segment_size;
    uint32_t weight;
    const char *zone;
    const char *labels;
    struct cluster_key key;
    uint64_t hot_floor; /* as in node_options */
    bool sealed;        /* the cluster has keys: gossip is sealed, links and requests want proofs */
};

struct host_node {
    struct process process; /* first */
    struct host_node_options options;
    struct node_id id;
    struct disk *disk;
    uint64_t incarnation; /* persisted */
    uint32_t kept_weight; /* persisted, when there is one */
    bool has_kept_weight;
    uint32_t weight;     /* of its member record */
    struct keyring ring; /* persisted; count 0: not yet */
    struct node *node;   /* NULL: not running */
    struct gossip *gossip;
    struct pages node_memory;
    struct pages gossip_memory;
    struct pages region;
    struct happening node_tick;
    struct happening gossip_tick;
    struct host_node *const *seeds; /* whom the seeds' name leads to: addresses as they are now */
    uint32_t seed_count;
    uint64_t region_most; /* used */
    uint64_t admin_last;  /* number of the last ADMIN */
    bool admin_answered;
    enum err admin_err;
    char admin_text[4096];
    bool over; /* gossip has ended: left, or its identity is in use */
    bool drained;
    bool leaving;
    usec_t slack_us; /* how late its threads may wake up */
    struct rng rng;
};

struct host_node *host_node_new(struct world *world, const struct host_node_options *options);
void host_node_free(struct host_node **host);
void host_node_seeds(struct host_node *host, struct host_node *const *seeds, uint32_t count);
void host_node_start(struct host_node *host);
/* Its disk is lost, with all that was kept there but its identity. */
void host_node_wipe(struct host_node *host);
/* An operator asks it for another key. */
void host_node_rotate(struct host_node *host, uint32_t ttl_s);
/* kill -9; `silently`: the whole host. */
void host_node_crash(struct host_node *host, bool silently);
/* In order: it drains, says goodbye, ends (host->over). */
void host_node_leave(struct host_node *host);
/* Its answer is in admin_* some time later. */
void host_node_admin(struct host_node *host, enum admin_kind kind, struct span argument);
