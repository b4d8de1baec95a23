/* sim/world.h: a virtual world: one thread, one clock, one heap of what will happen (docs/simulator.md).
 *
 * Everything that happens is a `happening` in the heap; equal times go in the order they were set.
 * Processes (nodes and mounts) live in it as the pure machines that ship; what happens to one of
 * them is a `work`: it waits while the process is frozen and is void when the process has died.
 * Every random choice comes from the seed; what happens is hashed, so that two runs can be
 * compared. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/list.h"
#include "base/marks.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/timers.h"
#include "ring/view.h"
#include "wire/link.h"

#define WORLD_PROCESSES_MAX 40
#define WORLD_WALL_US SEC(1750000000) /* the virtual runs begin in June 2025 */

struct world;
struct process;
struct node_effect;
struct gossip_effect;
struct net;
struct source;
struct rings_kept;

struct happening {
    struct timer timer;
    void (*fire)(struct world *world, struct happening *what);
};

/* ---- processes ----------------------------------------------------------------------------- */

enum net_event_kind { NET_UP, NET_DOWN, NET_MESSAGE, NET_SENT };

/* As links_event of the real shell. */
struct net_event {
    enum net_event_kind kind;
    struct link_id link;
    enum link_purpose purpose;
    bool outbound;
    struct address address; /* outbound: as given to net_connect */
    struct node_id node;    /* outbound: as given to net_connect */
    struct link_peer peer;  /* inbound: as the transport would prove it (process_link_key) */
    struct span frame;
    struct payload payload; /* until net_release */
    uint64_t token;
};

struct process_ops {
    void (*on_link)(struct process *process, const struct net_event *event);
    void (*on_datagram)(struct process *process, const struct address *from, uint8_t *data,
                        size_t size);
    /* It runs again after a freeze; what was held comes after this. */
    void (*on_thaw)(struct process *process);
};

struct process {
    struct world *world;
    const struct process_ops *ops;
    uint32_t index; /* of the world's processes; also the host's number */
    char name[16];
    bool up;
    bool frozen;
    bool takes_links;  /* others may connect */
    uint64_t life;     /* one for each start */
    uint32_t address;  /* grows when it comes back elsewhere */
    usec_t mono_us;    /* its monotonic clock is that far from the world's */
    usec_t wall_us;    /* its wall clock is that far from the true time */
    usec_t thawed_us;  /* world time of its last thaw */
    usec_t started_us; /* world time of its last start */
    usec_t ended_us;   /* world time of its last end */
    struct list held;  /* work that came while it was frozen */
    uint64_t held_payloads;
};

/* Something that happens to one process. The allocation begins with it and is freed after `run`,
 * or after `drop` (may be NULL) when the process has died meanwhile. */
struct work {
    struct happening at;
    struct list link;
    struct process *process;
    uint64_t life;
    void (*run)(struct work *work);
    void (*drop)(struct work *work);
};

/* Zeroed, `size` bytes. */
void *work_new(struct process *process, size_t size);
void work_post(struct work *work, usec_t delay_us);

struct now process_now(const struct process *process);
/* World time of a time of its monotonic clock. */
usec_t process_world_us(const struct process *process, usec_t mono_us);
/* The CURVE public key of its links: another one in each life. */
void process_link_key(const struct process *process, uint8_t out[32]);
/* Its addresses; ports are 7000 gossip, 7001 control, 7002 data. */
struct address process_address(const struct process *process, enum endpoint_purpose purpose);
/* The process whose present address that is; NULL: nobody's. */
struct process *process_at(struct world *world, const struct address *address,
                           enum endpoint_purpose *purpose);
void process_freeze(struct process *process);
void process_thaw(struct process *process);
/* A new life begins; and ends: what was meant for it is void. */
void process_live(struct process *process);
void process_die(struct process *process);

/* ---- what checkers see ----------------------------------------------------------------------- */

/* Bytes of an object that the source gave to a node, or was asked for. */
struct given {
    struct source_id source;
    struct span key;
    struct span pin;
    uint64_t object_size;
    uint64_t offset;
    uint64_t size;
};

struct watch {
    void *self;
    /* A frame is handed to a link by `from`, and taken out of one by `to`. */
    void (*sent)(void *self, struct process *from, struct process *to, struct span frame);
    void (*taken)(void *self, struct process *from, struct process *to, struct span frame);
    /* A node asks the source: NODE_FETCH, NODE_LIST or NODE_HEAD. */
    void (*asked)(void *self, struct process *node, const struct node_effect *effect);
    void (*given)(void *self, struct process *node, const struct given *given);
    /* It gives none of the bytes it was asked for, and may do so later. */
    void (*refused)(void *self, struct process *node, const struct given *asked);
    /* A node sends a datagram; it gets one, and takes it in or not. */
    void (*packet)(void *self, struct process *from, struct span bytes);
    void (*heard)(void *self, struct process *to, struct span bytes, bool taken);
    /* A node publishes another view, or has news of a member for its log. */
    void (*viewed)(void *self, struct process *node);
    void (*noticed)(void *self, struct process *node, const struct gossip_effect *effect);
    /* An operator has the answer to what he told a node to do. */
    void (*answered)(void *self, struct process *node, enum err err, const char *text);
    /* A machine has made a step. */
    void (*stepped)(void *self, struct process *process);
};

/* ---- the world --------------------------------------------------------------------------------- */

struct world {
    usec_t now_us;
    uint64_t seed;
    uint64_t log;   /* hash of everything so far */
    uint64_t steps; /* of machines */
    bool verbose;
    struct timers heap;
    void *heap_memory;
    struct rng rng; /* of the world's own choices */
    struct net *net;
    struct source *source;
    struct rings_kept *rings;
    struct process *processes[WORLD_PROCESSES_MAX];
    uint32_t process_count;
    struct marks *marks;
    struct watch watch;
    uint64_t lives;
    bool failed;
    char failure[512];
};

struct world *world_new(uint64_t seed, struct marks *marks);
/* Processes are their owners' to end first. */
void world_free(struct world **world);
void world_set(struct world *world, struct happening *what, usec_t delay_us);
void world_cancel(struct world *world, struct happening *what);
/* Let that much time pass; stops early when something has failed. */
void world_run(struct world *world, usec_t us);
/* Announce a process; its struct is the caller's. */
void world_add(struct world *world, struct process *process, const char *name);
/* A broken invariant; the first one is kept. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Into the hash of the run. */
void world_log(struct world *world, uint32_t what, uint64_t a, uint64_t b, uint64_t c);
/* On stderr when the run is verbose. */
void world_say(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
