/* ring/score.h: how much a slot wants a node: weighted rendezvous in integers (docs/ring.md).
 *
 * Each node has all slots in an order of its own, a permutation drawn from its id. The slot's place
 * in it is the upper part of a 32-bit hash h of the pair, so a node has exactly one slot with each
 * upper part: shares vary half as much as those of independent hashes. The pair's level is
 * -log2((h + 1) / 2^32) in fixed point, its score level / weight: the lowest score wins a slot with
 * probability weight / total. Nothing here is a float: every machine and compiler gets the same
 * numbers. */
#pragma once
#include <stdint.h>

#include "base/id.h"

#define SCORE_STEPS_LOG2 10
#define SCORE_STEPS (1u << SCORE_STEPS_LOG2)
#define SCORE_FRACTION 26       /* bits after the point of a level: 32.0 still fits */
#define SCORE_NODES_MAX 65535u  /* an index takes the low 16 bits of a key; 65535 means none */
#define SCORE_WEIGHT_MAX 65535u /* so that the reciprocal keeps 16 significant bits */
#define SCORE_SLOTS_LOG2_MAX 24u

struct score_table {
    uint32_t slots_log2;
    uint32_t mask; /* slots - 1 */
    uint32_t fold; /* at least half of the slots' bits: shifting twice is nothing */
    uint32_t log2[SCORE_STEPS + 1]; /* log2(1 + i / SCORE_STEPS), for straight lines between */
};

struct score_node {
    uint32_t flip; /* of its permutation */
    uint32_t first;
    uint32_t second;
    uint32_t salt;    /* of what is below a slot's place */
    uint32_t inverse; /* (2^32 - 1) / weight */
};

/* The way back from places to slots. */
struct score_back {
    uint32_t flip;
    uint32_t first;
    uint32_t second;
};

void score_table_init(struct score_table *table, uint32_t slots_log2);
/* weight > 0. */
struct score_node score_node_make(struct node_id id, uint32_t weight);
struct score_back score_back_make(const struct score_node *node);

/* Where the slot stands in the node's order: it wants the last ones most. */
static inline uint32_t score_standing(const struct score_table *table,
                                      const struct score_node *node, uint32_t slot)
{
    uint32_t x = slot ^ (node->flip & table->mask);
    x ^= x >> table->fold;
    x = (x * node->first) & table->mask;
    x ^= x >> table->fold;
    x = (x * node->second) & table->mask;
    return x ^ (x >> table->fold);
}

/* The slot that stands there. */
static inline uint32_t score_slot_at(const struct score_table *table, const struct score_back *back,
                                     uint32_t standing)
{
    uint32_t x = standing ^ (standing >> table->fold);
    x = (x * back->second) & table->mask;
    x ^= x >> table->fold;
    x = (x * back->first) & table->mask;
    x ^= x >> table->fold;
    return x ^ (back->flip & table->mask);
}

/* -log2((hash + 1) / 2^32): falls as the hash grows, and never rises. */
static inline uint32_t score_level_of(const struct score_table *table, uint32_t hash)
{
    uint64_t x = (uint64_t)hash + 1; /* 1 .. 2^32 */
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(x);
    uint32_t fraction = (uint32_t)(x << (32 - exponent)); /* the leading 1 falls off */
    uint32_t step = fraction >> (32 - SCORE_STEPS_LOG2);
    uint64_t rest = fraction & ((1u << (32 - SCORE_STEPS_LOG2)) - 1);
    uint64_t rise = (table->log2[step + 1] - table->log2[step]) * rest;
    uint32_t log2 = table->log2[step] + (uint32_t)(rise >> (32 - SCORE_STEPS_LOG2));
    return ((32 - exponent) << SCORE_FRACTION) - log2;
}

/* The level of the slot that stands at `standing`. */
static inline uint32_t score_level_at(const struct score_table *table,
                                      const struct score_node *node, uint32_t standing)
{
    uint32_t below = (standing + node->salt) * 0x9e3779b1u; /* 2^32 / golden ratio, odd */
    uint32_t hash = (standing << (32 - table->slots_log2)) | (below >> table->slots_log2);
    return score_level_of(table, hash);
}

static inline uint32_t score_level(const struct score_table *table, const struct score_node *node,
                                   uint32_t slot)
{
    return score_level_at(table, node, score_standing(table, node, slot));
}

/* The score with the node's index in its low 16 bits, below 2^63: smaller is better, and no two
 * keys of a slot are equal. */
static inline uint64_t score_key_of(const struct score_node *node, uint32_t level, uint32_t index)
{
    return (((uint64_t)level * node->inverse) & ~(uint64_t)0xffff) | index;
}

static inline uint64_t score_key(const struct score_table *table, const struct score_node *nodes,
                                 uint32_t index, uint32_t slot)
{
    return score_key_of(&nodes[index], score_level(table, &nodes[index], slot), index);
}

static inline uint16_t score_index(uint64_t key)
{
    return (uint16_t)(key & 0xffff);
}

/* The keys of all `count` nodes for a slot. */
void score_fill(const struct score_table *table, const struct score_node *nodes, uint32_t count,
                uint32_t slot, uint64_t *keys);
/* The smallest of `count` > 0 keys. */
uint64_t score_least(const uint64_t *keys, uint32_t count);
