#include "ring/score.h"

#include "base/check.h"
#include "base/hash.h"

#define KEY_SEED 0x61746f6c6c2d3032u /* "atoll-02": another one is another table everywhere */
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

void score_table_init(struct score_table *table, uint32_t slots_log2)
{
    CHECK(slots_log2 > 0 && slots_log2 <= SCORE_SLOTS_LOG2_MAX);
    table->slots_log2 = slots_log2;
    table->mask = (1u << slots_log2) - 1;
    table->fold = (slots_log2 + 1) / 2;
    for (uint32_t i = 0; i < SCORE_STEPS; i++) {
        table->log2[i] = log2_of_step(i);
    }
    table->log2[SCORE_STEPS] = ONE;
    CHECK(table->log2[0] == 0 && table->log2[SCORE_STEPS - 1] < ONE);
}

struct score_node score_node_make(struct node_id id, uint32_t weight)
{
    CHECK(weight > 0 && weight <= SCORE_WEIGHT_MAX);
    uint64_t low = hash64(id.b, sizeof id.b, KEY_SEED);
    uint64_t high = hash64_mix(low, KEY_SEED);
    return (struct score_node){
        .flip = (uint32_t)low,
        .first = (uint32_t)(low >> 32) | 1, /* odd: it has an inverse */
        .second = (uint32_t)high | 1,
        .salt = (uint32_t)(high >> 32),
        .inverse = UINT32_MAX / weight,
    };
}

/* The inverse of an odd number modulo 2^32: each round doubles the bits that are right, from 3. */
static uint32_t inverse_of(uint32_t odd)
{
    uint32_t inverse = odd;
    for (uint32_t right = 3; right < 32; right *= 2) {
        inverse *= 2 - odd * inverse;
    }
    CHECK(inverse * odd == 1);
    return inverse;
}

struct score_back score_back_make(const struct score_node *node)
{
    return (struct score_back){ .flip = node->flip,
                                .first = inverse_of(node->first),
                                .second = inverse_of(node->second) };
}

void score_fill(const struct score_table *table, const struct score_node *nodes, uint32_t count,
                uint32_t slot, uint64_t *keys)
{
    CHECK(count <= SCORE_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = score_key(table, nodes, i, slot);
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
