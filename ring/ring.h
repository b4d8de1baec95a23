/* ring/ring.h: which nodes own a place (docs/ring.md; DESIGN 5).
 *
 * A ring is a snapshot: built once from a list of members, read from any thread, changed never.
 * The table is a pure function of (members, weights, zones, pool, constants) in integer
 * arithmetic: same input, same table, on any compiler and machine. */
#pragma once
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "ring/view.h"

#define RING_RANKS 4 /* owner and three more: who acts, who holds copies */

struct ring;

struct ring_options {
    uint32_t slots_log2;  /* constant of the cluster: 18, or 20 above 1,000 nodes; 12 in tests */
    struct span selector; /* valid (ring/view.h) */
    /* NULL, or a ring to begin from: the result is the same, but where few members differ it is
     * there much sooner. Only read, and not kept. */
    const struct ring *previous;
};

/* Bytes that a ring of this many members takes at most, and bytes of arena to build it in. */
size_t ring_size(uint32_t count, uint32_t slots_log2);
size_t ring_memory(uint32_t count, uint32_t slots_log2);

/* Rank the owning members that the selector admits (the warming ones when none of these owns) for
 * each of 2^slots_log2 slots. The ring lives exactly as long as `mem`; it does not keep `members`
 * or the selector. An empty pool gives a ring without owners. ERR_FULL: the arena is too small;
 * *out is untouched. */
enum err ring_build(struct arena *mem, const struct member *members, uint32_t count,
                    const struct ring_options *options, const struct ring **out) MUST_USE;

/* Write up to `want` distinct nodes of `place`, preferred first; return how many there are. */
uint32_t ring_owners(const struct ring *ring, struct place place, uint32_t want,
                     struct node_id *out);
/* Is `node` the owner of `place`? */
bool ring_is_owner(const struct ring *ring, struct place place, struct node_id node);
/* Names the table: digest of members, weights, zones, selector, constants, algorithm version. */
uint64_t ring_digest(const struct ring *ring);
/* Members in the pool, sorted by id, and the slots each owns (for `atoll ring`). */
uint32_t ring_count(const struct ring *ring);
struct node_id ring_node(const struct ring *ring, uint32_t index);
uint32_t ring_slots_owned(const struct ring *ring, uint32_t index);
uint32_t ring_slots_log2(const struct ring *ring);
/* Pairs of slot and node that were looked at to build it: what it cost, on any machine. */
uint64_t ring_scored(const struct ring *ring);
/* Was it made from `previous`? */
bool ring_is_updated(const struct ring *ring);
/* The same in everything but how it was built. Rings of one digest are, or there is a bug. */
bool ring_equal(const struct ring *a, const struct ring *b);
/* Slots whose owner differs between two tables of the same width. */
uint64_t ring_moved(const struct ring *from, const struct ring *to);
/* The same, and how many of them each node of `from` loses and each node of `to` gains: arrays as
 * long as these have nodes. */
uint64_t ring_compare(const struct ring *from, const struct ring *to, uint32_t *lost,
                      uint32_t *gained);
