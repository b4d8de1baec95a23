#include "ring/ring.h"

#include "base/hash.h"
#include "ring/score.h"

/* A new number whenever the same members would get another table. */
#define ALGORITHM 1
/* No node holds more than 43/40 = 1.075 of its share. The total weight is first rounded down to
 * 1/32 octave, or every cap would move by one slot with each member: at most 1.075 * 2^(1/32) =
 * 1.0986 in all (docs/ring.md, "The cap"). */
#define CAP_OVER 43u
#define CAP_UNDER 40u
#define OCTAVE_STEPS 32u
#define SLOTS_LOG2_MAX 24u
#define NONE UINT16_MAX
#define UNUSED (1ull << 63) /* above every score: a key of a zone that is used already */

struct ring {
    uint32_t slots_log2;
    uint32_t count;
    uint64_t digest;
    uint16_t *ranks; /* RING_RANKS indices of `nodes` a slot, NONE behind the last */
    struct node_id *nodes;
    uint32_t *owned;
};

/* What building needs and the ring does not. Everything of `count` entries is in order of id. */
struct build {
    struct ring *ring;
    const struct member **pool;
    struct score_table *table;
    struct score_node *nodes;
    uint16_t *zones; /* equal text, equal number */
    uint32_t zone_count;
    uint64_t *keys;
    uint64_t *caps;
    uint64_t *worst; /* of a full node: the worst claim it holds; better ones get in */
    uint64_t *claims;
    uint32_t *starts;
};

static size_t aligned(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

size_t ring_memory(uint32_t count, uint32_t slots_log2)
{
    size_t slots = (size_t)1 << slots_log2;
    size_t n = count;
    size_t kept = aligned(sizeof(struct ring)) + aligned(slots * RING_RANKS * sizeof(uint16_t)) +
                  aligned(n * sizeof(struct node_id)) + aligned(n * sizeof(uint32_t));
    size_t scratch = aligned(n * sizeof(struct member *)) + aligned(sizeof(struct score_table)) +
                     aligned(n * sizeof(struct score_node)) + aligned(n * sizeof(uint16_t)) +
                     3 * aligned(n * sizeof(uint64_t)) + aligned(slots * sizeof(uint64_t)) +
                     aligned((n + 1) * sizeof(uint32_t));
    return kept + scratch + 32; /* the arena may begin at any address */
}

/* ---- the pool ---- */

static bool may_own(const struct member *member, struct span selector, enum member_state state)
{
    return member->state == state && member->weight > 0 && selector_admits(selector, member);
}

static uint32_t count_pool(const struct member *members, uint32_t count, struct span selector,
                           enum member_state state)
{
    uint32_t admitted = 0;
    for (uint32_t i = 0; i < count; i++) {
        admitted += may_own(&members[i], selector, state) ? 1u : 0u;
    }
    return admitted;
}

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

static void fill_pool(struct build *b, const struct member *members, uint32_t count,
                      struct span selector, enum member_state state)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (may_own(&members[i], selector, state)) {
            b->pool[used++] = &members[i];
        }
    }
    CHECK(used == b->ring->count);
    sort_pool(b->pool, used);
    for (uint32_t i = 0; i < used; i++) {
        b->ring->nodes[i] = b->pool[i]->id;
        b->nodes[i] = score_node_make(b->pool[i]->id, b->pool[i]->weight);
    }
}

/* Members without a zone share the zone without a name. */
static void number_zones(struct build *b)
{
    for (uint32_t i = 0; i < b->ring->count; i++) {
        uint32_t same = 0;
        while (!span_equal(span_text(b->pool[same]->zone), span_text(b->pool[i]->zone))) {
            same++;
        }
        b->zones[i] = same < i ? b->zones[same] : (uint16_t)b->zone_count++;
    }
}

/* ---- caps ---- */

/* The square root of x in [1, 2], 31 bits after the point. */
static uint64_t root_of(uint64_t x)
{
    uint64_t square = x << 31;
    uint64_t root = 0;
    for (uint64_t bit = 1ull << 31; bit > 0; bit >>= 1) {
        root = (root + bit) * (root + bit) <= square ? root + bit : root;
    }
    return root;
}

/* The largest 2^(j/32) that is not above `total`, 16 bits after the point. */
static uint64_t round_down_to_octave_step(uint64_t total)
{
    CHECK(total > 0 && total < (1ull << 32));
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(total);
    uint64_t mantissa = total << (31 - exponent);
    uint64_t best = 1ull << 31;
    uint64_t factor = 2ull << 31;
    for (uint32_t step = OCTAVE_STEPS / 2; step > 0; step /= 2) {
        factor = root_of(factor); /* 2^(1/2), 2^(1/4) ... 2^(1/32) */
        uint64_t next = (best * factor) >> 31;
        best = next <= mantissa ? next : best;
    }
    return exponent >= 15 ? best << (exponent - 15) : best >> (15 - exponent);
}

static void set_caps(struct build *b)
{
    uint64_t total = 0;
    uint64_t room = 0;
    uint64_t slots = 1ull << b->ring->slots_log2;
    for (uint32_t i = 0; i < b->ring->count; i++) {
        total += b->pool[i]->weight;
    }
    uint64_t share = CAP_UNDER * round_down_to_octave_step(total);
    for (uint32_t i = 0; i < b->ring->count; i++) {
        uint64_t wanted = (CAP_OVER * slots * b->pool[i]->weight) << 16;
        b->caps[i] = (wanted + share - 1) / share;
        b->worst[i] = UINT64_MAX;
        room += b->caps[i];
    }
    CHECK(room >= slots); /* so everybody's list ends with a node that has room */
}

/* ---- ranks ---- */

static void use_up(struct build *b, uint16_t index)
{
    if (b->zone_count > 1) {
        uint16_t zone = b->zones[index];
        for (uint32_t i = 0; i < b->ring->count; i++) {
            b->keys[i] |= b->zones[i] == zone ? UNUSED : 0;
        }
    }
    b->keys[index] = UINT64_MAX;
}

/* Write the ranks of a slot: `owner`, or the node that wants it most when that is NONE; then the
 * best of a zone that has none of them yet; then, all zones used, simply the best. */
static void rank_slot(struct build *b, uint32_t slot, uint16_t owner)
{
    uint16_t *ranks = b->ring->ranks + (size_t)slot * RING_RANKS;
    uint32_t count = b->ring->count;
    score_fill(b->table, b->nodes, count, slot, b->keys);
    for (uint32_t rank = 0; rank < RING_RANKS; rank++) {
        if (rank >= count) {
            ranks[rank] = NONE;
            continue;
        }
        ranks[rank] = rank == 0 && owner != NONE ? owner : score_index(score_least(b->keys, count));
        CHECK(b->keys[ranks[rank]] != UINT64_MAX);
        use_up(b, ranks[rank]);
    }
}

static uint16_t owner_of(const struct ring *ring, uint32_t slot)
{
    return ring->ranks[(size_t)slot * RING_RANKS];
}

/* ---- deferred acceptance: slots ask in order of score, a full node keeps its best ---- */

/* What a node holds, in the order in which it would keep it: by level, ties to the lower slot.
 * A node's scores have the order of its levels, so both sides agree and the result is unique. */
static uint64_t claim_make(uint32_t level, uint32_t slot)
{
    return ((uint64_t)level << SLOTS_LOG2_MAX) | slot;
}

/* Hoare's partition of [low, high]: no claim up to the returned place is larger than one behind
 * it, and neither side is empty. The claims are distinct. */
static uint32_t partition(uint64_t *claims, uint32_t low, uint32_t high)
{
    uint64_t pivot = claims[low + (high - low) / 2];
    for (;; low++, high--) {
        while (claims[low] < pivot) {
            low++;
        }
        while (claims[high] > pivot) {
            high--;
        }
        if (low >= high) {
            return high;
        }
        uint64_t swap = claims[low];
        claims[low] = claims[high];
        claims[high] = swap;
    }
}

/* Move the `keep` smallest claims to the front and return the largest of them. */
static uint64_t keep_smallest(uint64_t *claims, uint32_t count, uint32_t keep)
{
    CHECK(keep > 0 && keep < count);
    uint32_t low = 0;
    uint32_t high = count - 1;
    while (low < high) {
        uint32_t middle = partition(claims, low, high);
        if (middle < keep - 1) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return claims[keep - 1];
}

/* The next node on the slot's list behind its owner that would not turn it down at once. */
static uint16_t next_choice(struct build *b, uint32_t slot)
{
    uint64_t best = UINT64_MAX;
    score_fill(b->table, b->nodes, b->ring->count, slot, b->keys);
    uint64_t refused = b->keys[owner_of(b->ring, slot)];
    for (uint32_t i = 0; i < b->ring->count; i++) {
        if (b->keys[i] <= refused || b->keys[i] >= best) {
            continue;
        }
        if (claim_make(score_level(b->table, &b->nodes[i], slot), slot) < b->worst[i]) {
            best = b->keys[i];
        }
    }
    CHECK(best != UINT64_MAX);
    return score_index(best);
}

/* List the claims on nodes that hold too many: those of node i are claims[starts[i], starts[i+1])
 * afterwards. Returns how many there are. */
static uint32_t collect_claims(struct build *b)
{
    uint32_t slots = 1u << b->ring->slots_log2;
    uint32_t used = 0;
    for (uint32_t i = 0; i < b->ring->count; i++) {
        b->starts[i] = used;
        used += b->ring->owned[i] > b->caps[i] ? b->ring->owned[i] : 0;
    }
    b->starts[b->ring->count] = used;
    for (uint32_t slot = 0; used > 0 && slot < slots; slot++) {
        uint16_t owner = owner_of(b->ring, slot);
        if (b->ring->owned[owner] > b->caps[owner]) {
            uint32_t level = score_level(b->table, &b->nodes[owner], slot);
            b->claims[b->starts[owner]++] = claim_make(level, slot);
        }
    }
    for (uint32_t i = b->ring->count; used > 0 && i > 0; i--) {
        b->starts[i] = b->starts[i - 1]; /* each had moved to its end */
    }
    b->starts[0] = 0;
    return used;
}

static void turn_down(struct build *b, uint16_t node)
{
    struct ring *ring = b->ring;
    uint64_t *claims = b->claims + b->starts[node];
    uint32_t count = b->starts[node + 1] - b->starts[node];
    uint32_t keep = (uint32_t)b->caps[node];
    b->worst[node] = keep_smallest(claims, count, keep);
    for (uint32_t i = keep; i < count; i++) {
        uint32_t slot = (uint32_t)(claims[i] & ((1u << SLOTS_LOG2_MAX) - 1));
        uint16_t next = next_choice(b, slot);
        uint16_t *ranks = ring->ranks + (size_t)slot * RING_RANKS;
        ranks[0] = next;
        ranks[1] = NONE; /* to be ranked again behind its new owner */
        ring->owned[next]++;
        ring->owned[node]--;
    }
}

static void balance(struct build *b)
{
    struct ring *ring = b->ring;
    while (collect_claims(b) > 0) {
        for (uint32_t i = 0; i < ring->count; i++) {
            if (b->starts[i + 1] > b->starts[i]) {
                turn_down(b, (uint16_t)i);
            }
        }
    }
    for (uint32_t slot = 0; ring->count > 1 && slot < 1u << ring->slots_log2; slot++) {
        const uint16_t *ranks = ring->ranks + (size_t)slot * RING_RANKS;
        if (ranks[1] == NONE) {
            rank_slot(b, slot, ranks[0]);
        }
    }
}

/* ---- building ---- */

static uint64_t digest_of(const struct build *b, struct span selector)
{
    struct hasher h;
    uint8_t hash[16];
    hasher_init(&h, "atoll ring");
    hasher_u64(&h, ALGORITHM);
    hasher_u64(&h, b->ring->slots_log2);
    hasher_span(&h, selector);
    for (uint32_t i = 0; i < b->ring->count; i++) {
        hasher_span(&h, span_of(b->pool[i]->id.b, ID_SIZE));
        hasher_u64(&h, b->pool[i]->weight);
        hasher_span(&h, span_text(b->pool[i]->zone));
    }
    hasher_end(&h, hash);
    return get_u64(hash);
}

static bool take_ring(struct arena *mem, uint32_t count, uint32_t slots_log2, struct build *b)
{
    size_t slots = (size_t)1 << slots_log2;
    struct ring *ring = arena_take(mem, sizeof *ring);
    if (ring == NULL) {
        return false;
    }
    ring->slots_log2 = slots_log2;
    ring->count = count;
    ring->ranks = arena_array(mem, slots * RING_RANKS, sizeof *ring->ranks);
    ring->nodes = arena_array(mem, count, sizeof *ring->nodes);
    ring->owned = arena_array(mem, count, sizeof *ring->owned);
    b->ring = ring;
    return ring->ranks != NULL && ring->nodes != NULL && ring->owned != NULL;
}

static bool take_scratch(struct arena *mem, struct build *b)
{
    uint32_t count = b->ring->count;
    b->table = arena_take(mem, sizeof *b->table);
    b->pool = arena_array(mem, count, sizeof *b->pool);
    b->nodes = arena_array(mem, count, sizeof *b->nodes);
    b->zones = arena_array(mem, count, sizeof *b->zones);
    b->keys = arena_array(mem, count, sizeof *b->keys);
    b->caps = arena_array(mem, count, sizeof *b->caps);
    b->worst = arena_array(mem, count, sizeof *b->worst);
    b->claims = arena_array(mem, (size_t)1 << b->ring->slots_log2, sizeof *b->claims);
    b->starts = arena_array(mem, (size_t)count + 1, sizeof *b->starts);
    return b->table != NULL && b->pool != NULL && b->nodes != NULL && b->zones != NULL &&
           b->keys != NULL && b->caps != NULL && b->worst != NULL && b->claims != NULL &&
           b->starts != NULL;
}

static void fill_table(struct build *b)
{
    score_table_init(b->table);
    number_zones(b);
    set_caps(b);
    for (uint32_t slot = 0; slot < 1u << b->ring->slots_log2; slot++) {
        rank_slot(b, slot, NONE);
        b->ring->owned[owner_of(b->ring, slot)]++;
    }
    balance(b);
}

enum err ring_build(struct arena *mem, const struct member *members, uint32_t count,
                    const struct ring_options *options, const struct ring **out)
{
    CHECK(options->slots_log2 > 0 && options->slots_log2 <= SLOTS_LOG2_MAX);
    CHECK(count < SCORE_NODES_MAX);
    struct build b = { .ring = NULL };
    size_t before = mem->used;
    enum member_state state = MEMBER_OWNING;
    uint32_t admitted = count_pool(members, count, options->selector, state);
    if (admitted == 0) {
        state = MEMBER_WARMING;
        admitted = count_pool(members, count, options->selector, state);
    }
    if (!take_ring(mem, admitted, options->slots_log2, &b)) {
        mem->used = before;
        return ERR_FULL;
    }
    size_t kept = mem->used;
    if (!take_scratch(mem, &b)) {
        mem->used = before;
        return ERR_FULL;
    }
    fill_pool(&b, members, count, options->selector, state);
    b.ring->digest = digest_of(&b, options->selector);
    if (admitted > 0) {
        fill_table(&b);
    }
    mem->used = kept; /* what only building needed is free again */
    *out = b.ring;
    return ERR_OK;
}

/* ---- asking ---- */

static const uint16_t *ranks_of(const struct ring *ring, struct place place)
{
    return ring->ranks + (size_t)(place.v >> (64 - ring->slots_log2)) * RING_RANKS;
}

uint32_t ring_owners(const struct ring *ring, struct place place, uint32_t want,
                     struct node_id *out)
{
    const uint16_t *ranks = ranks_of(ring, place);
    uint32_t most = ring->count < RING_RANKS ? ring->count : RING_RANKS;
    uint32_t found = want < most ? want : most;
    for (uint32_t i = 0; i < found; i++) {
        out[i] = ring->nodes[ranks[i]];
    }
    return found;
}

bool ring_is_owner(const struct ring *ring, struct place place, struct node_id node)
{
    return ring->count > 0 && node_id_equal(ring->nodes[ranks_of(ring, place)[0]], node);
}

uint64_t ring_digest(const struct ring *ring)
{
    return ring->digest;
}

uint32_t ring_count(const struct ring *ring)
{
    return ring->count;
}

struct node_id ring_node(const struct ring *ring, uint32_t index)
{
    CHECK(index < ring->count);
    return ring->nodes[index];
}

uint32_t ring_slots_owned(const struct ring *ring, uint32_t index)
{
    CHECK(index < ring->count);
    return ring->owned[index];
}

uint32_t ring_slots_log2(const struct ring *ring)
{
    return ring->slots_log2;
}

static bool same_owner(const struct ring *a, const struct ring *b, uint32_t slot)
{
    if (a->count == 0 || b->count == 0) {
        return a->count == b->count;
    }
    return node_id_equal(a->nodes[owner_of(a, slot)], b->nodes[owner_of(b, slot)]);
}

uint64_t ring_moved(const struct ring *from, const struct ring *to)
{
    CHECK(from->slots_log2 == to->slots_log2);
    uint64_t moved = 0;
    for (uint32_t slot = 0; slot < 1u << from->slots_log2; slot++) {
        moved += same_owner(from, to, slot) ? 0 : 1;
    }
    return moved;
}
