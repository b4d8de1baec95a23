/* node/core/snapshot.h: one generation of a directory, from its listing to its publication.
 *
 * The listing goes to its last page; what is well behind it is cut into pages, and each page is
 * made durable on its ranks while the listing goes on. Then late directories are put in, then the
 * root is made durable on its ranks; only then does anybody hear of it. A listing that found what
 * the generation before had ends without a new one. Whatever fails, the generation before stays. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/timers.h"
#include "node/core/copies.h"
#include "node/core/dirbuild.h"
#include "node/core/lookup.h"
#include "node/core/pages.h"

#define SNAPSHOTS_MAX 64u /* directories listed at once; fewer where memory is small */
#define SNAPSHOT_OPS 4u   /* pages on their way to their ranks, each */
#define SNAPSHOT_TRIES 5u /* of one page of a listing, of one page's copies */
#define SNAPSHOT_TOKEN_MAX 2048u
#define SNAPSHOT_EXISTS 1u /* in the digest of a root: the prefix exists, also without entries */

struct work;

struct snapshot_need {
    uint64_t newer_than; /* its generation must be */
    uint64_t checked;    /* its time must not be before */
    bool force;          /* a new generation also when nothing changed */
    usec_t at_us;        /* not before */
};

/* Bytes that grow, in the region. */
struct grow {
    struct buffer *buffer;
    uint32_t used;
};

enum shard_state {
    SHARD_OPEN,   /* on its way */
    SHARD_SAME,   /* as in the generation before, not stored again so far */
    SHARD_STORED, /* durable in this generation */
};

struct shard_record {
    uint32_t fence_at;
    uint16_t fence_size;
    uint8_t state;
    uint8_t zero;
    uint32_t entries;
    uint32_t page_bytes;
    uint64_t page_crc;
};

enum op_state {
    OP_FREE,
    OP_JOIN,  /* waits for the old page, to take places over */
    OP_EDIT,  /* waits for the page that is to be written again */
    OP_STORE, /* waits for copies */
    OP_AGAIN, /* failed or no memory: from the timer */
};

struct snapshot_op {
    struct snapshot *snapshot;
    enum op_state state;
    enum op_state again; /* AGAIN: what is to be tried again */
    usec_t again_us;
    uint32_t tries;        /* of storing */
    uint32_t memory_tries; /* since something moved */
    uint32_t shard;
    uint32_t old_shard; /* JOIN: of the old root */
    struct buffer *page;
    uint32_t size;
    struct page_waiter waiter;
    struct copies copies;
};

enum snapshot_phase {
    SNAPSHOT_LISTING,
    SNAPSHOT_LATE,
    SNAPSHOT_REDO, /* pages that did not change, in a generation that did */
    SNAPSHOT_ROOT,
    SNAPSHOT_DONE,
};

struct snapshot {
    struct marks *marks;
    struct work *work;
    enum snapshot_phase phase;
    struct timer timer;
    struct dirbuild set;
    struct buffer *set_memory;
    struct buffer *old_root;
    bool has_old; /* a generation before is known; set.old has its pages */
    bool old_exists;
    uint64_t generation;
    uint64_t checked_us;
    bool force;
    bool changed;
    bool unchanged; /* found at the end: no new generation */
    uint64_t list_io;
    bool listed_all;
    bool any_key;
    uint32_t list_tries;
    usec_t list_us; /* the next page not before */
    uint32_t token_size;
    uint8_t token[SNAPSHOT_TOKEN_MAX];
    struct grow shards;
    struct grow fences;
    struct grow late; /* u16 size and name, each */
    uint32_t shard_count;
    uint32_t late_count;
    uint32_t redo; /* next shard */
    uint32_t cut_tries;
    struct snapshot_op ops[SNAPSHOT_OPS];
    struct snapshot_op root_op;
    struct lookups lookups;
    enum err err;
    uint32_t text_size;
    uint8_t text[256];
};

/* NULL: too many at once. Answered by dirs_on_snapshot, never inside. */
struct snapshot *snapshot_start(struct node *node, struct work *work,
                                const struct snapshot_need *need);
/* The root on its way to publication when it is of that generation; else empty. */
struct span snapshot_root(const struct snapshot *snapshot, uint64_t generation);
void snapshot_on_listed(struct node *node, struct snapshot *snapshot,
                        const struct node_event *event);
void snapshot_on_timer(struct node *node, struct snapshot *snapshot);

/* ---- between the files of a snapshot ------------------------------------------------------ */

/* The first failure decides; the rest of the event must not rely on its work. */
void snapshot_fail(struct snapshot *snapshot, enum err err, struct span text);
/* After every event: go on as far as possible, end it when it is over. */
void snapshot_drive(struct node *node, struct snapshot *snapshot);
/* Wake up then, at the latest. */
void snapshot_wake(struct node *node, struct snapshot *snapshot, usec_t at_us);

void *grow_more(struct node *node, struct grow *grow, uint32_t bytes);
void grow_end(struct node *node, struct grow *grow);
struct shard_record *snapshot_shard(const struct snapshot *snapshot, uint32_t index);
struct span snapshot_fence(const struct snapshot *snapshot, uint32_t index);
/* One more shard at `index`, those behind it move on; false: no memory. */
bool snapshot_add_shard(struct node *node, struct snapshot *snapshot, uint32_t index,
                        struct span fence);

/* snapshot_pages.c: pages through their stations. */
void snapshot_cut(struct node *node, struct snapshot *snapshot);
bool snapshot_ops_idle(const struct snapshot *snapshot);
void snapshot_ops_again(struct node *node, struct snapshot *snapshot);
void snapshot_ops_cancel(struct node *node, struct snapshot *snapshot);
struct snapshot_op *snapshot_op_free(struct snapshot *snapshot);
/* Have the shard's page written again in this generation: from the old one (SAME) or from this one,
 * with the late directories that lie in it. */
void snapshot_rewrite(struct node *node, struct snapshot *snapshot, uint32_t shard);
void snapshot_redo(struct node *node, struct snapshot *snapshot);

/* snapshot_late.c */
bool snapshot_put_late(struct node *node, struct snapshot *snapshot, struct span name);
/* Start what is next of the late directories. */
void snapshot_late(struct node *node, struct snapshot *snapshot);
/* The late names of that shard, in order, distinct: at most `room`; returns how many. */
uint32_t snapshot_late_of(const struct snapshot *snapshot, uint32_t shard, struct span *out,
                          uint32_t room);

/* They are in. */
void snapshot_late_done(struct snapshot *snapshot, const struct span *names, uint32_t count);
/* The shard in whose range a name lies; there is one. */
uint32_t snapshot_shard_of(const struct snapshot *snapshot, struct span name);

/* snapshot_root.c */
void snapshot_publish(struct node *node, struct snapshot *snapshot);
