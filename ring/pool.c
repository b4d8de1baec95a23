/* ring/pool.c: who may own, and how much. */
#include "ring/inside.h"

#include "base/hash.h"

/* A new number whenever the same members would get another table. */
#define ALGORITHM 2
/* No node owns more than 217/200 = 1.085 of its share, rounded up or down. */
#define CAP_OVER 217u
#define CAP_UNDER 200u
#define CAP_BITS 24 /* after the point */
#define CAP_SEED 0x61746f6c6c2d6361u

static bool may_own(const struct member *member, struct span selector, enum member_state state)
{
    return member->state == state && member->weight > 0 && selector_admits(selector, member);
}

uint32_t pool_count(const struct member *members, uint32_t count, struct span selector,
                    enum member_state *state)
{
    static const enum member_state states[] = { MEMBER_OWNING, MEMBER_WARMING };
    uint32_t admitted = 0;
    for (uint32_t s = 0; s < ARRAY_COUNT(states) && admitted == 0; s++) {
        *state = states[s];
        for (uint32_t i = 0; i < count; i++) {
            admitted += may_own(&members[i], selector, *state) ? 1u : 0u;
        }
    }
    return admitted;
}

/* ---- sorting ---- */

static void sift_down(const struct member **pool, uint32_t root, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && node_id_compare(pool[child]->id, pool[child + 1]->id) < 0) {
            child++;
        }
        if (node_id_compare(pool[root]->id, pool[child]->id) >= 0) {
            return;
        }
        const struct member *lower = pool[root];
        pool[root] = pool[child];
        pool[child] = lower;
        root = child;
    }
}

static void sort_pool(const struct member **pool, uint32_t count)
{
    for (uint32_t root = count / 2; root > 0; root--) {
        sift_down(pool, root - 1, count);
    }
    for (uint32_t end = count; end > 1; end--) {
        const struct member *last = pool[0];
        pool[0] = pool[end - 1];
        pool[end - 1] = last;
        sift_down(pool, 0, end - 1);
    }
    for (uint32_t i = 1; i < count; i++) {
        CHECK(node_id_compare(pool[i - 1]->id, pool[i]->id) < 0); /* nobody is there twice */
    }
}

/* ---- filling ---- */

/* Members without a zone share the zone without a name. */
static void number_zones(struct build *b)
{
    const uint64_t *names = b->ring->zones;
    for (uint32_t i = 0; i < b->ring->count; i++) {
        uint32_t same = 0;
        while (names[same] != names[i]) {
            same++;
        }
        b->zones[i] = same < i ? b->zones[same] : (uint16_t)b->ring->zone_count++;
    }
}

static uint64_t digest_of(const struct build *b, struct span selector)
{
    struct hasher h;
    uint8_t hash[16];
    hasher_init(&h, "atoll ring");
    hasher_u64(&h, ALGORITHM);
    hasher_u64(&h, b->ring->slots_log2);
    hasher_span(&h, selector);
    for (uint32_t i = 0; i < b->ring->count; i++) {
        hasher_span(&h, span_of(b->members[i]->id.b, ID_SIZE));
        hasher_u64(&h, b->members[i]->weight);
        hasher_span(&h, span_text(b->members[i]->zone));
    }
    hasher_end(&h, hash);
    return get_u64(hash);
}

void pool_fill(struct build *b, const struct member *members, uint32_t count, struct span selector,
               enum member_state state)
{
    struct ring *ring = b->ring;
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (may_own(&members[i], selector, state)) {
            b->members[used++] = &members[i];
        }
    }
    CHECK(used == ring->count);
    sort_pool(b->members, used);
    for (uint32_t i = 0; i < used; i++) {
        const struct member *member = b->members[i];
        ring->ids[i] = member->id;
        ring->weights[i] = member->weight;
        ring->zones[i] = hash64(member->zone, strlen(member->zone), 0);
        b->nodes[i] = score_node_make(member->id, member->weight);
    }
    number_zones(b);
    ring->digest = digest_of(b, selector);
}

/* ---- caps ---- */

/* A share with its fraction rounded by a threshold that is the node's own: the caps of as many
 * nodes change as the total weight did, and not those of all at once. */
static uint32_t cap_of(uint64_t wanted, uint64_t total, uint64_t threshold)
{
    uint64_t rest = wanted % total;
    return (uint32_t)(wanted / total + (((rest << CAP_BITS) / total + threshold) >> CAP_BITS));
}

void pool_caps(const struct ring *ring, uint32_t *caps)
{
    const uint64_t up = (1u << CAP_BITS) - 1;
    const uint64_t slots = 1ull << ring->slots_log2;
    uint64_t total = 0;
    uint64_t room = 0;
    for (uint32_t i = 0; i < ring->count; i++) {
        total += (uint64_t)CAP_UNDER * ring->weights[i];
    }
    CHECK(total < 1ull << 40); /* so that nothing overflows above */
    for (uint32_t i = 0; i < ring->count; i++) {
        uint64_t threshold = hash64(ring->ids[i].b, ID_SIZE, CAP_SEED) & up;
        caps[i] = cap_of(CAP_OVER * slots * ring->weights[i], total, threshold);
        room += caps[i];
    }
    for (uint32_t i = 0; i < ring->count && room < slots; i++) { /* hardly a slot for each node */
        caps[i] = cap_of(CAP_OVER * slots * ring->weights[i], total, up);
    }
}
