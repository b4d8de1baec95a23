/* tests/unit/ring/naive.h: a ring as docs/ring.md defines it, by the shortest and slowest way.
 *
 * All pairs of slot and node, best first, are given out while the slot is free and the node has
 * room; ranks are found by looking at everybody. Only scores and caps are those of ring/. */
#pragma once
#include "ring/inside.h"
#include "tests/unit/ring/make.h"

#define NAIVE_NODES_MAX 64
#define NAIVE_SLOTS_LOG2_MAX 9

struct naive_pair {
    uint64_t score; /* as far as a key has it */
    uint32_t node;
    uint32_t level;
    uint32_t slot;
};

struct naive {
    const struct ring *ring;
    struct score_table table;
    struct score_node nodes[NAIVE_NODES_MAX];
    uint16_t owner[1 << NAIVE_SLOTS_LOG2_MAX];
};

static inline int naive_compare(const void *first, const void *second)
{
    const struct naive_pair *a = first;
    const struct naive_pair *b = second;
    if (a->score != b->score) {
        return a->score < b->score ? -1 : 1;
    }
    if (a->node != b->node) {
        return a->node < b->node ? -1 : 1;
    }
    if (a->level != b->level) {
        return a->level < b->level ? -1 : 1;
    }
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

static inline void naive_assign(struct naive *naive)
{
    const struct ring *ring = naive->ring;
    const uint32_t slots = 1u << ring->slots_log2;
    uint32_t caps[NAIVE_NODES_MAX];
    struct naive_pair *pairs = malloc((size_t)slots * ring->count * sizeof *pairs);
    size_t used = 0;
    pool_caps(ring, caps);
    score_table_init(&naive->table, ring->slots_log2);
    for (uint32_t i = 0; i < ring->count; i++) {
        naive->nodes[i] = score_node_make(ring->ids[i], ring->weights[i]);
        for (uint32_t slot = 0; slot < slots; slot++) {
            uint32_t level = score_level(&naive->table, &naive->nodes[i], slot);
            uint64_t key = score_key_of(&naive->nodes[i], level, i);
            pairs[used++] = (struct naive_pair){ key >> 16, i, level, slot };
        }
    }
    qsort(pairs, used, sizeof *pairs, naive_compare);
    memset(naive->owner, 0xff, sizeof naive->owner);
    for (size_t i = 0; i < used; i++) {
        if (naive->owner[pairs[i].slot] == NOBODY && caps[pairs[i].node] > 0) {
            naive->owner[pairs[i].slot] = (uint16_t)pairs[i].node;
            caps[pairs[i].node]--;
        }
    }
    free(pairs);
}

static inline bool naive_is_used(const struct ring *ring, const uint16_t *ranks, uint32_t rank,
                                 uint32_t node)
{
    for (uint32_t i = 0; i < rank; i++) {
        if (ring->zones[ranks[i]] == ring->zones[node]) {
            return true;
        }
    }
    return false;
}

/* The best node that is no rank yet, in a zone that has none or (`any_zone`) in any. */
static inline uint16_t naive_best(const struct naive *naive, uint32_t slot, const uint16_t *ranks,
                                  uint32_t rank, bool any_zone)
{
    const struct ring *ring = naive->ring;
    uint64_t best = UINT64_MAX;
    for (uint32_t i = 0; i < ring->count; i++) {
        bool taken = false;
        for (uint32_t j = 0; j < rank; j++) {
            taken = taken || ranks[j] == i;
        }
        uint64_t key = score_key(&naive->table, naive->nodes, i, slot);
        if (!taken && key < best && (any_zone || !naive_is_used(ring, ranks, rank, i))) {
            best = key;
        }
    }
    return best == UINT64_MAX ? NOBODY : score_index(best);
}

/* Every number of the table is the one it should be. */
static inline void assert_naive(const struct ring *ring)
{
    static struct naive naive;
    naive.ring = ring;
    assert_true(ring->count <= NAIVE_NODES_MAX && ring->slots_log2 <= NAIVE_SLOTS_LOG2_MAX);
    naive_assign(&naive);
    for (uint32_t slot = 0; slot < 1u << ring->slots_log2; slot++) {
        uint16_t ranks[RING_RANKS];
        ranks[0] = naive.owner[slot];
        for (uint32_t rank = 1; rank < RING_RANKS; rank++) {
            ranks[rank] = naive_best(&naive, slot, ranks, rank, false);
            if (ranks[rank] == NOBODY) {
                ranks[rank] =
                    rank < ring->count ? naive_best(&naive, slot, ranks, rank, true) : NOBODY;
            }
        }
        assert_memory_equal(inside_ranks(ring, slot), ranks, sizeof ranks);
        assert_int_equal(inside_bit(ring->turned, slot),
                         naive_best(&naive, slot, ranks, 0, true) != ranks[0]);
    }
}
