/* node/core/internal.h: the whole node as one structure, and the hooks between its halves.
 *
 * The read path (node session peers calls asks rings memory sends blocks fetch reads store) and the
 * metadata (catalog dirs dirbuild pages lookup report) live in one machine. A file calls the other
 * half only through what stands at the end of this header or in a header of its own. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/marks.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/timers.h"
#include "node/core/asks.h"
#include "node/core/blocks.h"
#include "node/core/calls.h"
#include "node/core/effects.h"
#include "node/core/fetch.h"
#include "node/core/flights.h"
#include "node/core/handover.h"
#include "node/core/hot.h"
#include "node/core/keychain.h"
#include "node/core/leave.h"
#include "node/core/memory.h"
#include "node/core/metrics.h"
#include "node/core/node.h"
#include "node/core/objects.h"
#include "node/core/peers.h"
#include "node/core/reads.h"
#include "node/core/rings.h"
#include "node/core/sends.h"
#include "node/core/session.h"
#include "node/core/store.h"
#include "node/core/weight.h"
#include "wire/dataset.h"

/* struct timer.kind: what a deadline belongs to. */
enum timer_kind {
    TIMER_CALL,
    TIMER_ASK,
    TIMER_PENDING, /* of a session */
    TIMER_PEER,
    TIMER_PEEK,
    TIMER_FETCH,
    TIMER_RINGS,
    TIMER_TELL,
    TIMER_TIERS,
    TIMER_LINE,
    TIMER_HEART,
    TIMER_LEAVE,
    TIMER_LEAVE_ASK,
    TIMER_WEIGHT,
    TIMER_KEYCHAIN,
    TIMER_HANDOVER,
    TIMER_TAKE,
    TIMER_HOT,
};
/* 32 and above: the metadata half's own kinds. */
#define TIMER_META_FIRST 32u

struct meta;

struct node {
    struct node_options options;
    struct marks *marks; /* MARK(node, "...") */
    struct now now;      /* of this step */
    usec_t paused_us;    /* time in which this process did not run when it should have, in all */
    usec_t returned_us;  /* monotonic: until then the ranks may have acted for us */
    usec_t due_us;       /* what node_deadline said after the last step */
    uint64_t next_id;
    struct rng rng;
    struct timers timers;
    struct effects effects;
    struct memory memory;
    struct metrics metrics;
    struct keychain keychain;
    struct sessions sessions;
    struct peers peers;
    struct calls calls;
    struct asks asks;
    struct sends sends;
    struct rings rings;
    struct objects objects;
    struct blocks blocks;
    struct flights flights;
    struct fetches fetches;
    struct store store;
    struct weight weight;
    struct reads reads;
    struct handover handover;
    struct hot hot;
    struct meta *meta; /* the metadata half's state */
    bool started;
    bool owning; /* NODE_OWNING was said */
    bool leaving;
    bool
        seeds_silent; /* seeds were given, and nobody has ever answered: we are a cluster of our own */
    struct leave leave;
    struct timer heart; /* beats while there are peers: a late beat tells of a pause */
};

/* The monotonic clock without the time this process was paused: for silence only. */
static inline usec_t node_active(const struct node *node)
{
    return node->now.mono_us - node->paused_us;
}

/* A full-jitter delay: 0 .. min(first << attempt, most). */
usec_t node_backoff(struct node *node, usec_t first, uint32_t attempt, usec_t most);

/* Digest of the ring that a dataset's blocks are placed by; 0: none (yet). */
uint64_t node_ring_digest(struct node *node, struct dataset_id dataset);

/* Members the view may hold. */
uint32_t node_members_max(const struct node_options *options);

/* Both halves call it when what OWNING waits for may have become true. */
void node_check_owning(struct node *node);

/* ---- what the metadata half implements ------------------------------------------------------- */

/* Bytes of arena, timers it may have set at once; state in node->meta. Directory pages and roots
 * come from memory_take (MEMORY_META). */
size_t meta_memory(const struct node_options *options);
uint32_t meta_timers(const struct node_options *options);
enum err meta_new(struct node *node, struct arena *mem) MUST_USE;

/* NULL: not known, or deleted. Valid until the catalog changes (not over steps). */
const struct dataset *catalog_find(const struct node *node, struct dataset_id id);
const struct dataset *catalog_find_name(const struct node *node, struct span name);
/* Stored form of the record (wire/dataset.h), and what is listed of it so far. */
struct span catalog_record(struct node *node, const struct dataset *dataset);
void catalog_numbers(struct node *node, const struct dataset *dataset, uint64_t *files,
                     uint64_t *bytes);
/* Before this node asks a source for anything: pushes NODE_SOURCE when it is the first time or the
 * source changed. ERR_NO_CREDENTIAL: a row names one that node->options.credentials lacks.
 * ERR_NOT_FOUND: no row of the dataset has that source. */
enum err catalog_source_use(struct node *node, const struct dataset *dataset,
                            struct source_id source) MUST_USE;
/* All META_RECORDs were given: the catalog is what this node knew before its restart. */
bool catalog_is_loaded(const struct node *node);

/* A message on a link others opened: CATALOG_PULL, CATALOG_RECORD, DIR_GET, SHARD_GET, SHARD_OFFER,
 * ROOT_OFFER, ROOT_GET, REPORT_GET. The link has an open session. The payload is empty (these have
 * none; the dispatcher gave it back). */
void meta_on_message(struct node *node, struct link *link, const struct message *message);
/* Answers to calls of the kinds CALL_DIR_FORWARD and after (calls.h). The payload is the owner's to
 * node_release, also when empty. */
enum call_more meta_on_answer(struct node *node, const struct call *call,
                              const struct message *message, struct payload payload);
void meta_on_failure(struct node *node, const struct call *call, enum err err);
/* An ask of kind ASK_META ended by itself: free what it belongs to (asks.h). */
void meta_on_gone(struct node *node, struct ask *ask);
/* A timer of kind >= TIMER_META_FIRST. */
void meta_on_timer(struct node *node, struct timer *timer);
/* A buffer cached as CACHE_PAGE was evicted: the reference is gone. */
void pages_on_evict(struct node *node, uint32_t index);
/* PEER_CATALOG, LISTED, META, META_RECORD, META_READY, META_DISK; ADMIN. */
void meta_on_event(struct node *node, const struct node_event *event);
/* The answer of gossip to a rotation that an operator asked for. */
void report_on_rotated(struct node *node, uint64_t admin, enum err err);
void report_on_admin(struct node *node, uint64_t id, enum admin_kind kind, struct span argument);
/* The view changed (rings.h has it). */
void meta_on_view(struct node *node);

/* ---- what it may ask of the read path, beside the headers above ------------------------------ */

/* For `where` and reports. */
enum block_state { BLOCK_ABSENT, BLOCK_MEMORY, BLOCK_DISK, BLOCK_FETCHING };
enum block_state blocks_state(const struct node *node, struct block_id id);
struct store_report {
    uint64_t quota;
    uint64_t used;
    uint64_t blocks;
    uint64_t segments;
    bool ready;
    bool failed;
};
void store_tier_report(const struct node *node, uint32_t tier, struct store_report *out);
