/* sim/host_mount.h: a host that mounts the cache: the mount's core as it ships; its kernel is played
 * by whoever asks (sim/trial). */
#pragma once
#include "fs/core/mount.h"
#include "sim/host_node.h"
#include "sim/world.h"

struct host_mount_options {
    const char *name;
    const char *dataset;
    const char *cluster;
    uint32_t slots_log2;
    uint64_t memory;
    uint32_t inodes_max;
    bool hard;
    usec_t timeo_us;
    const struct cluster_key *key; /* that signs its grant; NULL: a cluster without keys */
};

struct host_mount {
    struct process process; /* first */
    struct host_mount_options options;
    struct mount *mount; /* NULL: not running */
    struct pages memory;
    struct happening tick;
    struct host_node *const *seeds;
    uint32_t seed_count;
    uint8_t grants[GRANT_SIZE_MAX]; /* of its client file */
    bool is_ready;
    enum err ready_err;
    uint64_t memory_most; /* used */
    usec_t slack_us;
    struct rng rng;
    /* Replies, and names and inodes the kernel is to drop; during the step. */
    void *self;
    void (*on_reply)(void *self, const struct mount_effect *effect);
};

struct host_mount *host_mount_new(struct world *world, const struct host_mount_options *options);
void host_mount_free(struct host_mount **host);
void host_mount_start(struct host_mount *host);
void host_mount_crash(struct host_mount *host);
/* A request of the kernel; the answer comes by on_reply, later or never (FORGET). */
void host_mount_op(struct host_mount *host, const struct mount_op *op);
void host_mount_interrupt(struct host_mount *host, uint64_t id);
