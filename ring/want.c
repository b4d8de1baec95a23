/* ring/want.c: what a slot wants: the best nodes of all, and the next that would take it.
 *
 * Only nodes with a score below a limit are looked at, about EXPECTED of them. That is exact: each
 * answer is checked against the limit, and found again among more nodes when it could be wrong. */
#include "ring/inside.h"

#define EXPECTED 15u
#define EXPECTED_ZONED 20u  /* for each zone to be among them; lists have less room */
#define HORIZON 30u         /* nodes expected before it, or half of that */
#define UNUSED (1ull << 63) /* above every score: a key of a zone that is used already */
#define GONE UINT64_MAX

typedef uint32_t four __attribute__((vector_size(16)));

/* What is looked at of four nodes to find out whether their scores can be below the limit. */
struct want_four {
    four flip;
    four first;
    four second;
    four least;
};

/* ---- limits ---- */

/* With a few zones each of them is wanted by every slot: then each has a limit of its own. */
static bool is_zoned(const struct build *b)
{
    return b->ring->zone_count > 1 && b->ring->zone_count <= RING_RANKS;
}

static uint64_t limit_of(const struct build *b, const struct want_limits *limits, uint32_t node)
{
    return is_zoned(b) ? limits->zone[b->zones[node]] : limits->lowest;
}

/* About `expected` nodes of this total weight score below it: E / (W * ln 2), with the bits that
 * levels and reciprocals have after their points, and without those that a key has not. */
static uint64_t limit_for(uint64_t expected, uint64_t weight)
{
    CHECK(expected <= HORIZON);
    return (((expected * 369u) << (SCORE_FRACTION + 24)) / weight) >> 16; /* 369 / 256 = 1 / ln 2 */
}

uint32_t want_least(const struct build *b, uint32_t node, uint64_t limit)
{
    uint32_t low = 0;
    uint32_t high = b->table->mask;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        uint32_t below =
            (middle << (32 - b->table->slots_log2)) - 1; /* no hash of theirs is larger */
        uint64_t score = (uint64_t)score_level_of(b->table, below) * b->nodes[node].inverse;
        if (score >> 16 >= limit) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

size_t want_memory(uint32_t count)
{
    return (size_t)count * sizeof(uint64_t) + want_fours(count) * sizeof(struct want_four) +
           (size_t)2 * 16;
}

static void set_fours(struct build *b)
{
    const uint32_t count = b->ring->count;
    for (uint32_t i = 0; i < 4 * want_fours(count); i++) {
        const uint32_t node = i < count ? i : 0;
        const uint32_t never = b->table->mask + 1;
        struct want_four *at = &b->fours[i / 4];
        at->flip[i % 4] = b->nodes[node].flip & b->table->mask;
        at->first[i % 4] = b->nodes[node].first;
        at->second[i % 4] = b->nodes[node].second;
        at->least[i % 4] = i < count ? want_least(b, node, limit_of(b, &b->scanning, node)) : never;
    }
}

static struct want_limits limits_for(const struct build *b, uint32_t expected)
{
    const uint32_t zones = b->ring->zone_count;
    struct want_limits limits = { .lowest = UINT64_MAX };
    uint64_t weights[RING_RANKS] = { 0 }; /* zoned: of each zone; else: of all */
    for (uint32_t i = 0; i < b->ring->count; i++) {
        weights[is_zoned(b) ? b->zones[i] : 0] += b->ring->weights[i];
    }
    for (uint32_t zone = 0; zone < (is_zoned(b) ? zones : 1); zone++) {
        uint64_t limit = limit_for(is_zoned(b) ? expected / zones : expected, weights[zone]);
        limits.zone[zone] = limit;
        limits.lowest = limit < limits.lowest ? limit : limits.lowest;
    }
    return limits;
}

bool want_init(struct build *b, struct arena *mem)
{
    const uint32_t count = b->ring->count;
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += b->ring->weights[i];
    }
    CHECK(total > 0 && total < 1ull << 32);
    b->ring->horizon = limit_for(HORIZON, 1ull << (64 - __builtin_clzll(total)));
    b->listing = limits_for(b, EXPECTED);
    b->scanning = limits_for(b, is_zoned(b) ? EXPECTED_ZONED : EXPECTED);
    b->keys = arena_array(mem, count, sizeof *b->keys);
    b->fours = arena_array(mem, want_fours(count), sizeof *b->fours);
    if (b->keys == NULL || b->fours == NULL) {
        return false;
    }
    set_fours(b);
    return true;
}

/* ---- looking ---- */

void want_list(struct build *b)
{
    const uint32_t slots = inside_slots(b->ring);
    for (uint32_t i = 0; i < b->ring->count; i++) {
        const struct score_back back = score_back_make(&b->nodes[i]);
        const uint32_t least = want_least(b, i, limit_of(b, &b->listing, i));
        for (uint32_t at = least; at < slots; at++) {
            uint32_t slot = score_slot_at(b->table, &back, at);
            uint8_t *count = &b->listed_count[slot];
            if (*count < LISTED_MAX) {
                b->listed[(size_t)slot * LISTED_MAX + *count] = (uint16_t)i;
            }
            *count = (uint8_t)(*count + (*count <= LISTED_MAX ? 1 : 0)); /* one more: too many */
        }
        b->ring->scored += slots - least;
    }
}

static void add_key(struct build *b, uint32_t node, uint32_t standing)
{
    uint32_t level = score_level_at(b->table, &b->nodes[node], standing);
    uint64_t key = score_key_of(&b->nodes[node], level, node);
    if (key >> 16 < limit_of(b, b->limits, node)) {
        b->keys[b->key_count++] = key;
    }
}

static void look_at_listed(struct build *b, uint32_t slot)
{
    const uint16_t *listed = b->listed + (size_t)slot * LISTED_MAX;
    for (uint32_t i = 0; i < b->listed_count[slot]; i++) {
        add_key(b, listed[i], score_standing(b->table, &b->nodes[listed[i]], slot));
    }
    b->ring->scored += b->listed_count[slot];
}

/* score_standing of four nodes at once. */
static four standing_of_four(const struct score_table *table, const struct want_four *nodes,
                             uint32_t slot)
{
    four x = slot ^ nodes->flip;
    x ^= x >> table->fold;
    x = (x * nodes->first) & table->mask;
    x ^= x >> table->fold;
    x = (x * nodes->second) & table->mask;
    return x ^ (x >> table->fold);
}

static void look_at_likely(struct build *b, uint32_t slot)
{
    for (uint32_t i = 0; i < want_fours(b->ring->count); i++) {
        const four standing = standing_of_four(b->table, &b->fours[i], slot);
        const four likely = (four)(standing >= b->fours[i].least);
        uint64_t any[2];
        memcpy(any, &likely, sizeof any);
        for (uint32_t j = 0; (any[0] | any[1]) != 0 && j < 4; j++) {
            if (likely[j] != 0) {
                add_key(b, 4 * i + j, standing[j]);
            }
        }
    }
    b->ring->scored += b->ring->count;
}

static void look_at_all(struct build *b, uint32_t slot)
{
    score_fill(b->table, b->nodes, b->ring->count, slot, b->keys);
    b->key_count = b->ring->count;
    b->ring->scored += b->ring->count;
}

/* In the order in which they are tried. */
enum look { LOOK_LISTED, LOOK_LIKELY, LOOK_ALL, LOOK_COUNT };

/* Fill the keys of a slot; false: there is no looking that way. */
static bool look(struct build *b, uint32_t slot, enum look how)
{
    const bool few = b->ring->count <= LISTED_MAX;
    b->key_count = 0;
    b->keys_all = how == LOOK_ALL;
    switch (how) {
    case LOOK_LISTED:
        if (few || b->listed == NULL || b->listed_count[slot] > LISTED_MAX) {
            return false;
        }
        b->limits = &b->listing;
        look_at_listed(b, slot);
        return true;
    case LOOK_LIKELY:
        if (few) {
            return false;
        }
        b->limits = &b->scanning;
        look_at_likely(b, slot);
        return true;
    case LOOK_ALL:
        look_at_all(b, slot);
        return true;
    case LOOK_COUNT:
        break;
    }
    BUG("no such way to look");
}

/* ---- ranks ---- */

/* Has each zone a key? Then the best of each is among them. */
static bool all_zones_seen(const struct build *b)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; is_zoned(b) && i < b->key_count; i++) {
        seen |= 1u << b->zones[score_index(b->keys[i])];
    }
    return is_zoned(b) && seen == (1u << b->ring->zone_count) - 1;
}

/* Is this key, the least of those there are, the least of all nodes that come into question? */
static bool is_sure(const struct build *b, uint64_t key, bool seen, uint32_t zones_used)
{
    if (b->keys_all) {
        CHECK(key != GONE);
        return true;
    }
    if (key == GONE) {
        return false;
    }
    if ((key & UNUSED) == 0 && seen) {
        return true;
    }
    bool right_zone = (key & UNUSED) == 0 || zones_used == b->ring->zone_count;
    return right_zone && (key & ~UNUSED) >> 16 < b->limits->lowest;
}

static void use_up(struct build *b, uint32_t node)
{
    const uint16_t zone = b->zones[node];
    for (uint32_t i = 0; i < b->key_count; i++) {
        uint64_t *key = &b->keys[i];
        if (*key == GONE || score_index(*key) == node) {
            *key = GONE;
        } else if (b->ring->zone_count > 1 && b->zones[score_index(*key)] == zone) {
            *key |= UNUSED;
        }
    }
}

static uint64_t least_key(const struct build *b)
{
    return b->key_count > 0 ? score_least(b->keys, b->key_count) : GONE;
}

/* false: the keys do not tell. */
static bool try_ranks(struct build *b, uint32_t slot, uint16_t owner)
{
    const uint32_t count = b->ring->count < RING_RANKS ? b->ring->count : RING_RANKS;
    const bool seen = all_zones_seen(b);
    uint16_t ranks[RING_RANKS];
    uint32_t zones_used = 0;
    uint64_t worst = 0;
    bool turned = false;
    memset(ranks, 0xff, sizeof ranks); /* NOBODY */
    for (uint32_t rank = 0; rank < count; rank++) {
        uint64_t key = least_key(b);
        if (!is_sure(b, key, seen, zones_used)) {
            return false;
        }
        zones_used += (key & UNUSED) == 0 ? 1 : 0;
        ranks[rank] = score_index(key);
        if (rank == 0 && owner != NOBODY && owner != ranks[0]) {
            turned = true;
            ranks[0] = owner;
            key = inside_key(b, slot, owner);
        }
        worst = (key & ~UNUSED) > worst ? key & ~UNUSED : worst;
        use_up(b, ranks[rank]);
    }
    memcpy(inside_ranks(b->ring, slot), ranks, sizeof ranks);
    inside_set_bit(b->ring->turned, slot, turned);
    inside_set_bit(b->ring->far, slot, worst >> 16 >= b->ring->horizon);
    return true;
}

void want_ranks(struct build *b, uint32_t slot, uint16_t owner)
{
    for (enum look how = LOOK_LISTED; how < LOOK_COUNT; how++) {
        if (look(b, slot, how) && try_ranks(b, slot, owner)) {
            return;
        }
    }
    BUG("all nodes do not make the ranks of a slot");
}

void want_ranks_among(struct build *b, uint32_t slot, const uint16_t *nodes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        b->keys[i] = inside_key(b, slot, nodes[i]);
    }
    b->ring->scored += count;
    b->key_count = count;
    b->keys_all = true;
    CHECK(try_ranks(b, slot, nodes[0]));
}

/* ---- the next choice ---- */

uint16_t want_next(struct build *b, uint32_t slot, const uint64_t *worst)
{
    for (enum look how = LOOK_LIKELY; how < LOOK_COUNT; how++) {
        uint64_t best = GONE;
        uint32_t looked = look(b, slot, how) ? b->key_count : 0;
        for (uint32_t i = 0; i < looked; i++) {
            uint16_t node = score_index(b->keys[i]);
            uint32_t level = 0;
            if (b->keys[i] >= best) {
                continue;
            }
            level = score_level(b->table, &b->nodes[node], slot);
            best = inside_claim(level, slot) < worst[node] ? b->keys[i] : best;
        }
        if (b->keys_all || (best != GONE && best >> 16 < b->limits->lowest)) {
            return best == GONE ? NOBODY : score_index(best);
        }
    }
    BUG("all nodes do not tell who is next");
}
