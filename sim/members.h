/* sim/members.h: a cluster of nothing but membership machines (gossip/), by the thousand: one thread,
 * the clock and the heap of a world, datagrams that get lost, doubled or late. Nothing is kept for
 * a pair of nodes: loss belongs to a node and a direction, a partition is a number each node has. */
#pragma once
#include "gossip/gossip.h"
#include "gossip/records.h"
#include "sim/members_ledger.h"
#include "sim/world.h"

#define MEMBERS_SEEDS 3u /* the first nodes are everybody's seeds */

struct members_packet;

struct members_options {
    uint32_t nodes;
    uint32_t members_max; /* of each machine; 0: what the nodes need */
    uint64_t seed;
    bool sealed;
};

struct members_weather {
    usec_t delay_us; /* at least */
    usec_t jitter_us;
    uint32_t loss;  /* of all packets, per million */
    uint32_t twice; /* per million */
};

struct members_node {
    struct members *members;
    struct happening tick;
    struct happening thaw;
    struct gossip *gossip; /* NULL: not running */
    struct gossip *last;   /* of the process before, until the next start: effects point there */
    struct node_id id;
    uint32_t index;
    uint32_t renewed;   /* so often another machine took the place */
    uint32_t lives;     /* starts so far */
    uint64_t persisted; /* incarnation on its disk */
    uint64_t kept;      /* serial of the ring that is durable in this life, */
    uint64_t kept_told; /* and that the machine knows of */
    usec_t mono_us;     /* its monotonic clock is that far from the world's */
    usec_t wall_us;     /* its wall clock is that far from the true time */
    uint32_t loss_in;   /* per million, besides the weather's */
    uint32_t loss_out;
    uint8_t side;   /* of a partition */
    bool elsewhere; /* it came back at another address */
    bool paused;
    bool is_faulty;              /* somebody hurts it: its removal is no mistake */
    bool is_expected;            /* in the ring, when all is settled */
    struct members_packet *held; /* the socket's buffer of a paused process */
    uint32_t held_bytes;
    /* what it believes */
    uint64_t ring;      /* names the set of owners it knows */
    uint32_t ring_size; /* how many they are */
    uint32_t epochs;    /* changes of that set */
    usec_t ring_us;     /* world time of the last one */
    uint64_t wronged;   /* the incarnation that was removed though it was well */
    struct members_meter meter;
    struct keyring ring_of_keys; /* on its disk; count 0: it has its cluster file only */
};

/* What went wrong, counted over the whole run. */
struct members_faults {
    uint32_t removed;   /* healthy processes that anybody in a ring declared dead, each once */
    uint32_t suspected; /* how often anybody was told to be unreachable */
    uint32_t in_use;    /* nodes that were told that their id is taken */
};

struct members {
    struct world *world;
    struct members_options options;
    struct members_weather weather;
    struct rng rng; /* of the network */
    struct members_node *nodes;
    uint32_t count;
    struct records *records; /* one copy for all machines */
    void *records_memory;
    uint8_t *machines; /* the memory of each machine behind that of another */
    size_t machine_size;
    struct members_packet *spare;
    struct gossip_effects *effects;
    struct members_faults faults;
    struct members_ledger ledger;
    struct marks *marks;
    uint64_t steps;
    uint64_t packets;
    /* Somebody saw another one come or go; may be NULL. */
    void (*noticed)(struct members *m, const struct members_node *observer,
                    const struct gossip_effect *effect);
    void *watcher;
};

struct members *members_new(const struct members_options *options, struct marks *marks);
void members_free(struct members **members);

/* Start, or start again: a new process with the same id. */
void members_start(struct members *m, uint32_t node);
void members_crash(struct members *m, uint32_t node);
/* Another machine stands in its place: a new id, an empty disk. It must not run. */
void members_renew(struct members *m, uint32_t node);
/* It stands still for so long; what comes meanwhile waits in its socket, as far as that has room. */
void members_pause(struct members *m, uint32_t node, usec_t for_us);
/* First without `drained`, then with it; the process ends when enough others know. */
void members_leave(struct members *m, uint32_t node, bool drained);
/* An operator asks that node for another key, made of that byte. */
void members_rotate(struct members *m, uint32_t node, uint8_t byte, uint32_t ttl_s);
void members_event(struct members *m, uint32_t node, const struct gossip_event *event);
void members_run(struct members *m, usec_t us);

/* Do all who are expected, and run, have exactly the expected in their ring? */
bool members_agree(struct members *m);
/* Run until members_agree; returns how long the last of them took, USEC_NEVER: longer than `most`. */
usec_t members_settle(struct members *m, usec_t most_us);
/* Do all who are expected, and run, seal with the key made of that byte, and open by so many? */
bool members_use_key(const struct members *m, uint8_t byte, uint32_t open);
/* Is one view everywhere among the expected: equal digests? */
bool members_have_one_view(struct members *m);
/* Most changes of the ring that one of the expected saw since members_forget_epochs. */
uint32_t members_epochs(const struct members *m);
void members_forget_epochs(struct members *m);
