#include "ring/score.h"

#include "base/check.h"
#include "base/hash.h"

#define KEY_SEED 0x61746f6c6c2d3031u /* "atoll-01": another one is another table everywhere */
#define ONE (1u << SCORE_FRACTION)

/* log2 of x = 1 + i / SCORE_STEPS, bit by bit: squaring x doubles its logarithm. Errors of 2^-31
 * are halved by each later bit, so all bits of the result but the last are exact. */
static uint32_t log2_of_step(uint32_t i)
{
    uint64_t x = (1ull << 31) + ((uint64_t)i << (31 - SCORE_STEPS_LOG2));
    uint32_t result = 0;
    for (int bit = 0; bit < SCORE_FRACTION; bit++) {
        x = (x * x) >> 31;
        result <<= 1;
        if (x >= (1ull << 32)) {
            x >>= 1;
            result |= 1;
        }
    }
    return result;
}

void score_table_init(struct score_table *table)
{
    for (uint32_t i = 0; i < SCORE_STEPS; i++) {
        table->log2[i] = log2_of_step(i);
    }
    table->log2[SCORE_STEPS] = ONE;
    CHECK(table->log2[0] == 0 && table->log2[SCORE_STEPS - 1] < ONE);
}

struct score_node score_node_make(struct node_id id, uint32_t weight)
{
    CHECK(weight > 0 && weight <= SCORE_WEIGHT_MAX);
    return (struct score_node){
        .key = hash64(id.b, sizeof id.b, KEY_SEED),
        .inverse = UINT32_MAX / weight,
    };
}

static inline uint32_t level_of(const struct score_table *table, uint32_t hash)
{
    uint64_t x = (uint64_t)hash + 1; /* 1 .. 2^32 */
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(x);
    uint32_t fraction = (uint32_t)(x << (32 - exponent)); /* the leading 1 falls off */
    uint32_t step = fraction >> (32 - SCORE_STEPS_LOG2);
    uint64_t rest = fraction & ((1u << (32 - SCORE_STEPS_LOG2)) - 1);
    uint64_t rise = (table->log2[step + 1] - table->log2[step]) * rest;
    uint32_t log2 = table->log2[step] + (uint32_t)(rise >> (32 - SCORE_STEPS_LOG2));
    return (32 - exponent) * ONE - log2;
}

/* The finisher of SplitMix64 over a Weyl sequence that starts at the node's key. */
static inline uint32_t pair_hash(const struct score_node *node, uint32_t slot)
{
    uint64_t x = node->key + ((uint64_t)slot + 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(x >> 32);
}

uint32_t score_level_of(const struct score_table *table, uint32_t hash)
{
    return level_of(table, hash);
}

uint32_t score_level(const struct score_table *table, const struct score_node *node, uint32_t slot)
{
    return level_of(table, pair_hash(node, slot));
}

void score_fill(const struct score_table *table, const struct score_node *nodes, uint32_t count,
                uint32_t slot, uint64_t *keys)
{
    CHECK(count <= SCORE_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t score = level_of(table, pair_hash(&nodes[i], slot)) * nodes[i].inverse;
        keys[i] = (score & ~(uint64_t)0xffff) | i;
    }
}

uint64_t score_least(const uint64_t *keys, uint32_t count)
{
    CHECK(count > 0);
    uint64_t even = UINT64_MAX; /* two chains: the next comparison need not wait for the last */
    uint64_t odd = UINT64_MAX;
    uint32_t i = 0;
    for (; i + 1 < count; i += 2) {
        even = keys[i] < even ? keys[i] : even;
        odd = keys[i + 1] < odd ? keys[i + 1] : odd;
    }
    if (i < count) {
        even = keys[i] < even ? keys[i] : even;
    }
    return even < odd ? even : odd;
}
