/* tests/unit/gossip/net.h: gossip machines on a network of virtual time, with loss, delay, one-way
 * blocks, pauses and crashes; everything from one seed. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/rng.h"
#include "gossip/gossip.h"

#define NET_STEP_US MSEC(20) /* how finely conditions are looked at */
#define NET_SEEDS_MAX 8u
#define NET_NODES_MAX 32u

struct net_packet {
    usec_t at_us;
    uint64_t order;
    uint16_t from; /* ports */
    uint16_t to;
    size_t size;
    uint8_t bytes[GOSSIP_PACKET_MAX];
};

struct net_node {
    struct gossip *gossip; /* NULL: not running */
    void *memory;
    struct node_id id;
    uint16_t port;
    uint64_t persisted; /* incarnation on its disk */
    usec_t paused_until_us;
    usec_t sends_at_us; /* until then what it sends waits in its kernel */
    bool is_insecure;
    uint8_t key;         /* which cluster key its cluster file has */
    struct keyring ring; /* on its disk; count 0: none yet */
    bool disk_is_full;
    bool disk_is_slow;        /* what it is to keep is kept when it is no more */
    struct gossip_event kept; /* what its disk has to tell of a ring; serial 0: nothing */
    usec_t kept_at_us;
    bool rotated; /* its rotation was answered */
    enum err rotated_err;
    char cluster[8]; /* name */
    bool ready_at_once;
    usec_t clock_behind_us; /* its wall clock */
    bool has_left;
    bool in_use; /* ended with IDENTITY_IN_USE */
    uint32_t views;
    uint32_t rings;  /* how often the set of owners in its view changed */
    uint64_t owners; /* its digest */
    uint32_t suspects;
    uint32_t deaths;
    uint64_t peer_catalog; /* last PEER_CATALOG */
    uint32_t peer_catalogs;
    uint32_t loss_out_permille; /* of what it sends, besides the net's */
    uint32_t loss_in_permille;  /* and of what it is sent */
};

struct net {
    struct rng rng;
    usec_t now_us;
    struct net_node nodes[NET_NODES_MAX];
    uint32_t count;
    uint32_t loss_permille;
    usec_t delay_min_us;
    usec_t delay_max_us;
    bool is_blocked[NET_NODES_MAX][NET_NODES_MAX]; /* from, to */
    uint16_t seeds[NET_SEEDS_MAX];                 /* ports */
    uint32_t seed_count;
    struct net_packet **packets; /* heap by time */
    uint32_t packet_count;
    uint32_t packet_room;
    uint64_t next_order;
    uint32_t boots;
    uint32_t false_deaths; /* of a process that ran, with nothing blocked or paused around it */
    struct marks marks;
    uint64_t sent_packets;
    uint64_t sent_bytes;
    uint64_t trace; /* hash of all packets with their times */
    uint32_t members_max;
    uint32_t ticks_at_once; /* without time passing: a machine that spins fails the test */
};

/* A ring of one key, made of that byte. */
struct keyring net_ring(uint8_t byte);
/* `count` nodes, none running; node 0 is everybody's seed. Prints the seed. */
struct net *net_new(uint32_t count, uint64_t seed);
void net_free(struct net **net);
/* Start, or start again: a new process. */
void net_start(struct net *net, uint32_t node);
void net_start_all(struct net *net);
/* `count` nodes that run and have one view. */
struct net *net_started(uint32_t count, uint64_t seed);
void net_all_are_seeds(struct net *net);
void net_crash(struct net *net, uint32_t node);
void net_pause(struct net *net, uint32_t node, usec_t for_us);
void net_event(struct net *net, uint32_t node, const struct gossip_event *event);
void net_leave(struct net *net, uint32_t node, bool drained);
void net_block(struct net *net, uint32_t from, uint32_t to, bool is_blocked);
/* Both ways between the first `side` nodes and the others. */
void net_partition(struct net *net, uint32_t side, bool is_blocked);
/* Put bytes on the wire, as if sent from that port. */
void net_inject(struct net *net, uint16_t from, uint16_t to, const uint8_t *bytes, size_t size);
void net_run(struct net *net, usec_t for_us);
void net_ask_rotation(struct net *net, uint32_t node, const struct key_rotation *rotation);
/* An operator asks a node for a key made of that byte. */
void net_rotate(struct net *net, uint32_t node, uint8_t byte, uint32_t ttl_s, bool revokes);
/* The byte of the key that it seals with. */
uint8_t net_key_used(const struct net *net, uint32_t node);
/* Do all running nodes seal with that key, and open by so many? */
bool net_all_use(const struct net *net, uint8_t byte, uint32_t open);
/* Run until they do; returns how long it took, USEC_NEVER when it took longer. */
usec_t net_wait_key(struct net *net, uint8_t byte, uint32_t open, usec_t most_us);
/* Packets that running nodes could not open, or would not. */
uint64_t net_unopened(const struct net *net);
/* What this node shows of that one; NULL when it does not know it. Valid until the next but one. */
const struct member *net_sees(const struct net *net, uint32_t node, uint32_t other);
/* Was it removed while it lived, and waits before it owns again? */
bool net_is_held(const struct net *net, uint32_t node);
/* One view everywhere: exactly the running nodes, all owning but those that are held back. */
bool net_is_settled(const struct net *net);
/* Run until net_is_settled; returns how long it took, USEC_NEVER when it took longer. */
usec_t net_settle(struct net *net, usec_t most_us);
/* Over all nodes. */
uint32_t net_suspects(const struct net *net);
uint32_t net_deaths(const struct net *net);
/* Count rings from here; the most that any node has seen since. */
void net_forget_rings(struct net *net);
uint32_t net_rings(const struct net *net);
/* Is `gone` (running or not) out of the ring of all other running nodes? */
bool net_is_out(const struct net *net, uint32_t gone);
usec_t net_wait_out(struct net *net, uint32_t gone, usec_t most_us);
