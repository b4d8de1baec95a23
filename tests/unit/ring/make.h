/* tests/unit/ring/make.h: members and rings for tests. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/rng.h"
#include "ring/ring.h"
#include "ring/score.h"
#include "ring/view.h"

static inline struct node_id make_id(uint64_t number)
{
    struct node_id id;
    put_u64(id.b, hash64_mix(number, 1));
    put_u64(id.b + 8, hash64_mix(number, 2));
    return id;
}

static inline struct member make_member(uint64_t number, uint32_t weight, const char *zone)
{
    struct member member = { .id = make_id(number),
                             .incarnation = 1,
                             .version = 1,
                             .state = MEMBER_OWNING,
                             .weight = weight,
                             .serve_weight = 1,
                             .endpoint_count = 1 };
    strncpy(member.zone, zone, MEMBER_ZONE_MAX);
    strncpy(member.name, "node", MEMBER_NAME_MAX);
    member.endpoints[0].purpose = ENDPOINT_CONTROL;
    member.endpoints[0].address.port = (uint16_t)(7000 + number);
    return member;
}

/* A ring and the memory it lives in. */
struct made_ring {
    const struct ring *ring;
    void *memory;
};

static inline struct made_ring make_ring(const struct member *members, uint32_t count,
                                         uint32_t slots_log2, const char *selector)
{
    struct made_ring made;
    struct arena mem;
    size_t size = ring_memory(count, slots_log2);
    struct ring_options options = { .slots_log2 = slots_log2, .selector = span_text(selector) };
    made.memory = malloc(size);
    arena_init(&mem, made.memory, size);
    assert_int_equal(ring_build(&mem, members, count, &options, &made.ring), ERR_OK);
    return made;
}

static inline struct place make_place(uint32_t slot, uint32_t slots_log2)
{
    return (struct place){ (uint64_t)slot << (64 - slots_log2) };
}

/* One number for a whole table: every rank of every slot. */
static inline uint64_t table_hash(const struct ring *ring)
{
    uint64_t hash = 0;
    uint32_t slots_log2 = ring_slots_log2(ring);
    for (uint32_t slot = 0; slot < 1u << slots_log2; slot++) {
        struct node_id owners[RING_RANKS];
        uint32_t count = ring_owners(ring, make_place(slot, slots_log2), RING_RANKS, owners);
        hash = hash64(owners, count * sizeof owners[0], hash);
    }
    return hash;
}

static inline void shuffle_members(struct member *members, uint32_t count, struct rng *rng)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (uint32_t)rng_below(rng, i);
        struct member swap = members[i - 1];
        members[i - 1] = members[j];
        members[j] = swap;
    }
}

/* Owned slots over the share that the weight asks for; the largest and the smallest. */
static inline void balance_of(const struct ring *ring, const struct member *members, uint32_t count,
                              double *most, double *least)
{
    double total = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += members[i].weight;
    }
    *most = 0;
    *least = 1e9;
    for (uint32_t i = 0; i < ring_count(ring); i++) {
        uint32_t j = 0;
        while (!node_id_equal(members[j].id, ring_node(ring, i))) {
            j++;
        }
        double share = members[j].weight / total * (double)(1u << ring_slots_log2(ring));
        double load = ring_slots_owned(ring, i) / share;
        *most = load > *most ? load : *most;
        *least = load < *least ? load : *least;
    }
}
