/* ring/inside.h: what the files that build a ring share (docs/ring.md, "How it is built").
 *
 * pool.c: who may own, and how much. want.c: what a slot wants. settle.c: who gets it. change.c:
 * what an earlier ring spares us. ring.c puts them together, and answers. */
#pragma once
#include "ring/ring.h"
#include "ring/score.h"

#define NOBODY UINT16_MAX
#define LISTED_MAX 24u /* nodes listed for a slot */

struct ring {
    uint32_t slots_log2;
    uint32_t count;
    uint32_t zone_count;
    uint64_t digest;
    uint64_t scored;
    bool updated;
    uint16_t *ranks;     /* RING_RANKS indices of `ids` a slot, NOBODY behind the last */
    uint64_t *turned;    /* a bit a slot: a node that it wants more than its owner is full */
    uint64_t *far;       /* a bit a slot: one of its ranks scores at or above the horizon */
    uint64_t horizon;    /* depends on the total weight, but seldom changes */
    struct node_id *ids; /* ascending; so is everything of `count` entries */
    uint32_t *owned;
    uint32_t *weights;
    uint64_t *zones; /* hash of the zone's name */
};

/* Who scores at or above the limit of its zone need not be looked at. */
struct want_limits {
    uint64_t zone[RING_RANKS]; /* only with 2 to RING_RANKS zones */
    uint64_t lowest;
};

/* What building needs and the ring does not. */
struct build {
    struct ring *ring;
    const struct member **members; /* of the pool */
    struct score_table *table;
    struct score_node *nodes;
    uint32_t *caps;
    uint16_t *zones; /* equal name, equal number */
    uint64_t *keys;  /* those of one slot */
    uint32_t key_count;
    bool keys_all;                    /* nobody is missing among them */
    const struct want_limits *limits; /* that they were held against */
    struct want_limits listing;
    struct want_limits scanning;
    struct want_four *fours; /* the nodes again, to look at four at a time */
    uint16_t *listed;        /* nodes below the limits of listing, LISTED_MAX a slot; or NULL */
    uint8_t *listed_count;
};

static inline uint32_t inside_slots(const struct ring *ring)
{
    return 1u << ring->slots_log2;
}

static inline uint16_t *inside_ranks(const struct ring *ring, uint32_t slot)
{
    return ring->ranks + (size_t)slot * RING_RANKS;
}

static inline uint16_t inside_owner(const struct ring *ring, uint32_t slot)
{
    return *inside_ranks(ring, slot);
}

static inline uint64_t inside_key(const struct build *b, uint32_t slot, uint32_t index)
{
    return score_key(b->table, b->nodes, index, slot);
}

/* What a node would rather have: by level, ties to the lower slot. Its scores have the order of its
 * levels, so slots and nodes agree. */
static inline uint64_t inside_claim(uint32_t level, uint32_t slot)
{
    return ((uint64_t)level << SCORE_SLOTS_LOG2_MAX) | slot;
}

static inline uint32_t inside_claim_slot(uint64_t claim)
{
    return (uint32_t)(claim & ((1u << SCORE_SLOTS_LOG2_MAX) - 1));
}

static inline bool inside_bit(const uint64_t *bits, uint32_t slot)
{
    return (bits[slot / 64] >> (slot % 64) & 1) != 0;
}

static inline void inside_set_bit(uint64_t *bits, uint32_t slot, bool value)
{
    uint64_t bit = 1ull << (slot % 64);
    bits[slot / 64] = value ? bits[slot / 64] | bit : bits[slot / 64] & ~bit;
}

/* 64-bit words for a bit a slot. */
static inline size_t inside_words(uint32_t slots_log2)
{
    return slots_log2 < 6 ? 1 : (size_t)1 << (slots_log2 - 6);
}

/* ---- pool.c ---- */

/* How many may own; *state is the one they have. */
uint32_t pool_count(const struct member *members, uint32_t count, struct span selector,
                    enum member_state *state);
/* Those of that state into b->members, sorted, and what the ring keeps of them; its digest. */
void pool_fill(struct build *b, const struct member *members, uint32_t count, struct span selector,
               enum member_state state);
/* How many slots each node of the ring may own. */
void pool_caps(const struct ring *ring, uint32_t *caps);

/* ---- want.c ---- */

static inline uint32_t want_fours(uint32_t count)
{
    return (count + 3) / 4;
}

size_t want_memory(uint32_t count);
/* Set the limits and the ring's horizon. false: the arena is too small. */
bool want_init(struct build *b, struct arena *mem);
/* The highest standing so that the node scores `limit` or more for all slots below it. */
uint32_t want_least(const struct build *b, uint32_t node, uint64_t limit);
/* Fill `listed`. */
void want_list(struct build *b);
/* Write the ranks of a slot: `owner`, or the node that it wants most when that is NOBODY; then the
 * best of a zone that has none of them yet; then, all zones used, simply the best. Also whether the
 * slot was turned down. */
void want_ranks(struct build *b, uint32_t slot, uint16_t owner);
/* The same where all ranks are known to be among these nodes and nodes[0] owns; not whether the slot
 * was turned down. At most RING_RANKS + CHANGES_MAX. */
void want_ranks_among(struct build *b, uint32_t slot, const uint16_t *nodes, uint32_t count);
/* The node that a slot wants most among those who would take it: `worst` is the first claim that
 * each would not. NOBODY: none would. */
uint16_t want_next(struct build *b, uint32_t slot, const uint64_t *worst);

/* ---- change.c ---- */

#define CHANGES_MAX 8u

/* What became of the nodes of an earlier ring. A node whose weight or zone is another has gone, and
 * has come. */
struct change {
    const struct ring *from;
    uint16_t *now;  /* index of each, NOBODY: it has gone */
    uint32_t *caps; /* that each had */
    struct score_node gone[CHANGES_MAX];
    uint32_t gone_count;
    uint16_t came[CHANGES_MAX];
    uint32_t came_count;
    uint64_t *open; /* a bit a slot: those that have come may be better than one of its ranks */
};

/* `count` nodes now. */
size_t change_memory(uint32_t count, uint32_t slots_log2);
/* false: it is better to begin anew (or there is no memory). */
bool change_find(struct change *c, struct arena *mem, const struct ring *from,
                 const struct build *b);

/* ---- settle.c ---- */

struct settle {
    struct build *b;
    uint32_t *room;   /* of each node, at most its cap */
    uint64_t *claims; /* what a node holds, or picks: room for caps[i] at claims[starts[i]] */
    uint32_t *starts;
    uint64_t *worst; /* of a full node: only better claims get in */
    uint32_t *slots; /* those that look for an owner, or hope for a better one */
    uint32_t slot_count;
    uint16_t *queue; /* nodes with room for which slots may hope */
    uint32_t queue_first;
    uint32_t queue_count;
    uint8_t *queued;
    uint8_t *learnt; /* nodes that know their claims; others have room to spare */
    uint64_t *moved; /* a bit a slot: to be ranked again, its owner may be another */
};

size_t settle_memory(uint32_t count, uint32_t slots_log2);
/* false: the arena is too small. */
bool settle_init(struct settle *s, struct arena *mem, struct build *b);
/* From the first rank of each slot, which is its first choice, or its owner in a stable assignment
 * where nodes had at least `room`, or NOBODY: slots that are turned down ask the next, until nobody
 * is, each node keeping the best it has room for. A slot that all turn down has NOBODY. Sets the
 * first ranks, `owned`, and marks who was turned down. */
void settle_slots(struct settle *s);
/* From there on: nodes have room for their caps, those that came too (their room was 0). A node
 * with room invites the best of the slots that would rather be there, until none would. */
void settle_nodes(struct settle *s, const struct change *c);

/* ---- change.c, again ---- */

/* Fill the table from that of the earlier ring. */
void change_fill(const struct change *c, struct settle *s);
