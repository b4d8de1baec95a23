/* ring/score.h: how much a slot wants a node: weighted rendezvous in integers (docs/ring.md).
 *
 * A pair (slot, node) has a 32-bit hash h. Its level is -log2((h + 1) / 2^32) in fixed point, its
 * score level / weight: the lowest score wins a slot with probability weight / total. Nothing here
 * is a float: every machine and compiler gets the same numbers. */
#pragma once
#include <stdint.h>

#include "base/id.h"

#define SCORE_STEPS_LOG2 10
#define SCORE_STEPS (1u << SCORE_STEPS_LOG2)
#define SCORE_FRACTION 26       /* bits after the point of a level: 32.0 still fits */
#define SCORE_NODES_MAX 65535u  /* an index takes the low 16 bits of a key; 65535 means none */
#define SCORE_WEIGHT_MAX 65535u /* so that the reciprocal keeps 16 significant bits */

/* log2(1 + i / SCORE_STEPS), SCORE_FRACTION bits, for straight lines between. */
struct score_table {
    uint32_t log2[SCORE_STEPS + 1];
};

struct score_node {
    uint64_t key;     /* hash of its id */
    uint64_t inverse; /* (2^32 - 1) / weight */
};

void score_table_init(struct score_table *table);
/* weight > 0. */
struct score_node score_node_make(struct node_id id, uint32_t weight);

/* -log2((hash + 1) / 2^32): falls as the hash grows, and never rises. */
uint32_t score_level_of(const struct score_table *table, uint32_t hash);
uint32_t score_level(const struct score_table *table, const struct score_node *node, uint32_t slot);
/* keys[i] = score of (slot, nodes[i]) with i in its low 16 bits, below 2^63: smaller is better, no
 * two are equal. */
void score_fill(const struct score_table *table, const struct score_node *nodes, uint32_t count,
                uint32_t slot, uint64_t *keys);
/* The smallest of `count` > 0 keys. */
uint64_t score_least(const uint64_t *keys, uint32_t count);

static inline uint16_t score_index(uint64_t key)
{
    return (uint16_t)(key & 0xffff);
}
