/* ring/change.c: the table after a few members have come, gone, or changed weight or zone, made
 * from the table before. It is the one that a beginning from nothing makes, bit for bit: only one
 * assignment is stable, and no other slot's ranks can have changed. */
#include "ring/inside.h"

#define NEARLY 32u /* a node with that part of its room free learns its claims when it must */

size_t change_memory(uint32_t count, uint32_t slots_log2)
{
    size_t before = (size_t)count + CHANGES_MAX;
    return before * (sizeof(uint16_t) + sizeof(uint32_t)) +
           inside_words(slots_log2) * sizeof(uint64_t) + (size_t)3 * 16;
}

/* ---- what has changed ---- */

static bool is_room_for_more(const struct change *c)
{
    return c->gone_count + c->came_count < CHANGES_MAX;
}

static bool add_gone(struct change *c, uint32_t node)
{
    if (!is_room_for_more(c)) {
        return false;
    }
    c->now[node] = NOBODY;
    c->gone[c->gone_count++] = score_node_make(c->from->ids[node], c->from->weights[node]);
    return true;
}

static bool add_came(struct change *c, uint32_t node)
{
    if (!is_room_for_more(c)) {
        return false;
    }
    c->came[c->came_count++] = (uint16_t)node;
    return true;
}

static int compare(const struct ring *from, uint32_t i, const struct ring *to, uint32_t j)
{
    if (i == from->count || j == to->count) {
        return i == from->count ? 1 : -1;
    }
    return node_id_compare(from->ids[i], to->ids[j]);
}

/* Both are in order of id. */
static bool find_all(struct change *c, const struct ring *to)
{
    const struct ring *from = c->from;
    bool few = true;
    uint32_t i = 0;
    uint32_t j = 0;
    while (few && (i < from->count || j < to->count)) {
        int order = compare(from, i, to, j);
        bool same =
            order == 0 && from->weights[i] == to->weights[j] && from->zones[i] == to->zones[j];
        if (same) {
            c->now[i] = (uint16_t)j;
        }
        if (!same && order <= 0) {
            few = add_gone(c, i);
        }
        if (!same && order >= 0) {
            few = few && add_came(c, j);
        }
        i += order <= 0 ? 1 : 0;
        j += order >= 0 ? 1 : 0;
    }
    return few;
}

static uint32_t up_to_ranks(uint32_t count)
{
    return count < RING_RANKS ? count : RING_RANKS;
}

/* Those that have come may matter to a slot where they score below the horizon, or one of its ranks
 * does not. */
static void open_slots(struct change *c, const struct build *b)
{
    const struct ring *to = b->ring;
    if (c->came_count > 0) {
        memcpy(c->open, c->from->far, inside_words(to->slots_log2) * sizeof *c->open);
    }
    for (uint32_t i = 0; i < c->came_count; i++) {
        const struct score_back back = score_back_make(&b->nodes[c->came[i]]);
        uint32_t at = want_least(b, c->came[i], to->horizon);
        b->ring->scored += inside_slots(to) - at;
        for (; at < inside_slots(to); at++) {
            inside_set_bit(c->open, score_slot_at(b->table, &back, at), true);
        }
    }
}

bool change_find(struct change *c, struct arena *mem, const struct ring *from,
                 const struct build *b)
{
    const struct ring *to = b->ring;
    *c = (struct change){ .from = from };
    if (from == NULL || from->slots_log2 != to->slots_log2 ||
        from->count > to->count + CHANGES_MAX) {
        return false;
    }
    c->now = arena_array(mem, from->count, sizeof *c->now);
    c->caps = arena_array(mem, from->count, sizeof *c->caps);
    c->open = arena_array(mem, inside_words(to->slots_log2), sizeof *c->open);
    if (c->now == NULL || c->caps == NULL || c->open == NULL || !find_all(c, to)) {
        return false;
    }
    pool_caps(from, c->caps);
    open_slots(c, b);
    /* Every rank is taken before and after, and all zones are used up at the same one, or never. */
    return from->horizon == to->horizon && from->count - c->gone_count >= RING_RANKS &&
           c->gone_count + c->came_count <= to->count / 2 &&
           up_to_ranks(from->zone_count) == up_to_ranks(to->zone_count);
}

/* ---- the table ---- */

static void set_rooms(const struct change *c, struct settle *s)
{
    for (uint32_t i = 0; i < c->from->count; i++) {
        if (c->now[i] != NOBODY) {
            uint32_t node = c->now[i];
            uint32_t room = c->caps[i] < s->b->caps[node] ? c->caps[i] : s->b->caps[node];
            s->room[node] = room;
            s->learnt[node] = c->from->owned[i] + room / NEARLY >= room ? 1 : 0;
        }
    }
}

/* All as it was; who has lost a rank is to be ranked again. */
static void copy_ranks(const struct change *c, struct settle *s)
{
    struct ring *ring = s->b->ring;
    const size_t bits_size = inside_words(ring->slots_log2) * sizeof(uint64_t);
    memcpy(ring->turned, c->from->turned, bits_size);
    memcpy(ring->far, c->from->far, bits_size);
    for (uint32_t slot = 0; slot < inside_slots(ring); slot++) {
        const uint16_t *from = inside_ranks(c->from, slot);
        uint16_t *to = inside_ranks(ring, slot);
        uint32_t lost = 0;
        for (uint32_t rank = 0; rank < RING_RANKS; rank++) {
            to[rank] = c->now[from[rank]];
            lost |= to[rank] == NOBODY ? 1 : 0;
        }
        if (lost != 0) {
            inside_set_bit(s->moved, slot, true);
        }
    }
}

/* Would a slot that was turned down have been taken by one that has gone? Then perhaps nobody that
 * is left has turned it down. */
static bool wanted_gone(const struct change *c, struct build *b, uint32_t slot)
{
    bool wanted = false;
    if (c->gone_count == 0 || !inside_bit(c->from->turned, slot)) {
        return false;
    }
    const uint64_t owner = inside_key(b, slot, inside_owner(b->ring, slot)) >> 16;
    for (uint32_t i = 0; i < c->gone_count; i++) {
        uint32_t level = score_level(b->table, &c->gone[i], slot);
        wanted = wanted || score_key_of(&c->gone[i], level, 0) >> 16 <= owner;
    }
    b->ring->scored += c->gone_count + 1;
    return wanted;
}

/* Is one that has come better than a node that is among the ranks? Then these are to be chosen among
 * the old ones and those that have come: nobody else can be a rank now (docs/ring.md). */
static bool rank_came(const struct change *c, struct build *b, uint32_t slot)
{
    uint16_t nodes[RING_RANKS + CHANGES_MAX];
    uint32_t count = 0;
    uint64_t best = UINT64_MAX;
    bool wants = false;
    if (!inside_bit(c->open, slot)) {
        return false;
    }
    for (uint32_t rank = 0; rank < RING_RANKS; rank++) {
        nodes[count++] = inside_ranks(b->ring, slot)[rank];
    }
    for (uint32_t i = 0; i < c->came_count; i++) {
        nodes[count++] = c->came[i];
        uint64_t key = inside_key(b, slot, c->came[i]);
        best = key < best ? key : best;
    }
    for (uint32_t rank = 0; rank < RING_RANKS; rank++) {
        wants = wants || best < inside_key(b, slot, nodes[rank]);
    }
    b->ring->scored += count;
    if (wants) {
        bool turned = inside_bit(c->from->turned, slot) || best < inside_key(b, slot, nodes[0]);
        want_ranks_among(b, slot, nodes, count);
        inside_set_bit(b->ring->turned, slot, turned);
    }
    return wants;
}

void change_fill(const struct change *c, struct settle *s)
{
    struct build *b = s->b;
    set_rooms(c, s);
    copy_ranks(c, s);
    settle_slots(s);
    settle_nodes(s, c);
    for (uint32_t word = 0; word < inside_words(b->ring->slots_log2); word++) {
        const uint64_t turned = c->gone_count > 0 ? c->from->turned[word] : 0;
        for (uint64_t bits = s->moved[word] | c->open[word] | turned; bits != 0; bits &= bits - 1) {
            uint32_t slot = 64 * word + (uint32_t)__builtin_ctzll(bits);
            if (inside_bit(s->moved, slot) || wanted_gone(c, b, slot)) {
                CHECK(inside_owner(b->ring, slot) != NOBODY); /* the caps are room for all */
                want_ranks(b, slot, inside_owner(b->ring, slot));
            } else if (!rank_came(c, b, slot)) { /* it may have hoped in vain */
                inside_set_bit(b->ring->turned, slot, inside_bit(c->from->turned, slot));
            }
        }
    }
}
