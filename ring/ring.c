#include "ring/ring.h"

#include "ring/inside.h"

/* ---- memory ---- */

static size_t aligned(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

size_t ring_size(uint32_t count, uint32_t slots_log2)
{
    size_t n = count;
    size_t ranks = ((size_t)RING_RANKS << slots_log2) * sizeof(uint16_t);
    return aligned(sizeof(struct ring)) + aligned(ranks) +
           2 * aligned(inside_words(slots_log2) * sizeof(uint64_t)) +
           aligned(n * sizeof(struct node_id)) + 2 * aligned(n * sizeof(uint32_t)) +
           aligned(n * sizeof(uint64_t)) + 16; /* the arena may begin at any address */
}

static size_t list_memory(uint32_t slots_log2)
{
    size_t slots = (size_t)1 << slots_log2;
    return aligned(slots * LISTED_MAX * sizeof(uint16_t)) + aligned(slots);
}

size_t ring_memory(uint32_t count, uint32_t slots_log2)
{
    size_t n = count;
    size_t build = aligned(n * sizeof(struct member *)) + aligned(sizeof(struct score_table)) +
                   aligned(n * sizeof(struct score_node)) + aligned(n * sizeof(uint32_t)) +
                   aligned(n * sizeof(uint16_t)) + want_memory(count);
    size_t list = list_memory(slots_log2);
    size_t settle = settle_memory(count, slots_log2);
    size_t change = change_memory(count, slots_log2) + settle;
    size_t most = list > settle ? list : settle; /* one after the other */
    most = most > change ? most : change;
    return ring_size(count, slots_log2) + build + most;
}

static struct ring *take_ring(struct arena *mem, uint32_t count, uint32_t slots_log2)
{
    struct ring *ring = arena_take(mem, sizeof *ring);
    if (ring == NULL) {
        return NULL;
    }
    ring->slots_log2 = slots_log2;
    ring->count = count;
    ring->ranks = arena_array(mem, (size_t)RING_RANKS << slots_log2, sizeof *ring->ranks);
    ring->turned = arena_array(mem, inside_words(slots_log2), sizeof *ring->turned);
    ring->far = arena_array(mem, inside_words(slots_log2), sizeof *ring->far);
    ring->ids = arena_array(mem, count, sizeof *ring->ids);
    ring->owned = arena_array(mem, count, sizeof *ring->owned);
    ring->weights = arena_array(mem, count, sizeof *ring->weights);
    ring->zones = arena_array(mem, count, sizeof *ring->zones);
    return ring->ranks != NULL && ring->turned != NULL && ring->far != NULL && ring->ids != NULL &&
                   ring->owned != NULL && ring->weights != NULL && ring->zones != NULL
               ? ring
               : NULL;
}

static bool take_build(struct arena *mem, struct build *b)
{
    const uint32_t count = b->ring->count;
    b->members = arena_array(mem, count, sizeof *b->members);
    b->table = arena_take(mem, sizeof *b->table);
    b->nodes = arena_array(mem, count, sizeof *b->nodes);
    b->caps = arena_array(mem, count, sizeof *b->caps);
    b->zones = arena_array(mem, count, sizeof *b->zones);
    return b->members != NULL && b->table != NULL && b->nodes != NULL && b->caps != NULL &&
           b->zones != NULL;
}

/* ---- building ---- */

/* The first choice of every slot, and its ranks. */
static bool rank_all(struct build *b, struct arena *mem)
{
    const uint32_t slots = inside_slots(b->ring);
    const size_t before = mem->used;
    if (b->ring->count > LISTED_MAX) { /* fewer are looked at one by one */
        b->listed = arena_array(mem, (size_t)slots * LISTED_MAX, sizeof *b->listed);
        b->listed_count = arena_array(mem, slots, sizeof *b->listed_count);
        if (b->listed == NULL || b->listed_count == NULL) {
            return false;
        }
        want_list(b);
    }
    for (uint32_t slot = 0; slot < slots; slot++) {
        want_ranks(b, slot, NOBODY);
    }
    b->listed = NULL;
    mem->used = before; /* settling has that room */
    return true;
}

static bool fill_anew(struct build *b, struct arena *mem)
{
    struct settle settle;
    if (!rank_all(b, mem) || !settle_init(&settle, mem, b)) {
        return false;
    }
    memcpy(settle.room, b->caps, b->ring->count * sizeof *b->caps);
    memset(settle.learnt, 1, b->ring->count * sizeof *settle.learnt);
    settle_slots(&settle);
    for (uint32_t slot = 0; slot < inside_slots(b->ring); slot++) {
        CHECK(inside_owner(b->ring, slot) != NOBODY); /* the caps are room for all */
        if (inside_bit(b->ring->turned, slot)) {
            want_ranks(b, slot, inside_owner(b->ring, slot));
        }
    }
    return true;
}

static bool fill_table(struct build *b, struct arena *mem, const struct ring *previous)
{
    struct change change;
    struct settle settle;
    score_table_init(b->table, b->ring->slots_log2);
    pool_caps(b->ring, b->caps);
    if (!want_init(b, mem)) {
        return false;
    }
    const size_t before = mem->used;
    if (change_find(&change, mem, previous, b)) {
        if (!settle_init(&settle, mem, b)) {
            return false;
        }
        change_fill(&change, &settle);
        b->ring->updated = true;
        return true;
    }
    mem->used = before;
    return fill_anew(b, mem);
}

enum err ring_build(struct arena *mem, const struct member *members, uint32_t count,
                    const struct ring_options *options, const struct ring **out)
{
    CHECK(count < SCORE_NODES_MAX);
    enum member_state state;
    struct build b = { .ring = NULL };
    const size_t before = mem->used;
    uint32_t admitted = pool_count(members, count, options->selector, &state);
    b.ring = take_ring(mem, admitted, options->slots_log2);
    const size_t kept = mem->used;
    if (b.ring == NULL || !take_build(mem, &b)) {
        mem->used = before;
        return ERR_FULL;
    }
    pool_fill(&b, members, count, options->selector, state);
    if (admitted > 0 && !fill_table(&b, mem, options->previous)) {
        mem->used = before;
        return ERR_FULL;
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
        out[i] = ring->ids[ranks[i]];
    }
    return found;
}

bool ring_is_owner(const struct ring *ring, struct place place, struct node_id node)
{
    return ring->count > 0 && node_id_equal(ring->ids[ranks_of(ring, place)[0]], node);
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
    return ring->ids[index];
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

uint64_t ring_scored(const struct ring *ring)
{
    return ring->scored;
}

bool ring_is_updated(const struct ring *ring)
{
    return ring->updated;
}

bool ring_equal(const struct ring *a, const struct ring *b)
{
    const size_t n = a->count;
    if (a->slots_log2 != b->slots_log2 || a->count != b->count || a->digest != b->digest) {
        return false;
    }
    return memcmp(a->ids, b->ids, n * sizeof *a->ids) == 0 &&
           memcmp(a->weights, b->weights, n * sizeof *a->weights) == 0 &&
           memcmp(a->zones, b->zones, n * sizeof *a->zones) == 0 &&
           memcmp(a->owned, b->owned, n * sizeof *a->owned) == 0 &&
           memcmp(a->turned, b->turned, inside_words(a->slots_log2) * sizeof *a->turned) == 0 &&
           memcmp(a->far, b->far, inside_words(a->slots_log2) * sizeof *a->far) == 0 &&
           memcmp(a->ranks, b->ranks, ((size_t)RING_RANKS << a->slots_log2) * sizeof *a->ranks) ==
               0;
}

static bool same_owner(const struct ring *a, const struct ring *b, uint32_t slot)
{
    if (a->count == 0 || b->count == 0) {
        return a->count == b->count;
    }
    return node_id_equal(a->ids[inside_owner(a, slot)], b->ids[inside_owner(b, slot)]);
}

uint64_t ring_moved(const struct ring *from, const struct ring *to)
{
    CHECK(from->slots_log2 == to->slots_log2);
    uint64_t moved = 0;
    for (uint32_t slot = 0; slot < inside_slots(from); slot++) {
        moved += same_owner(from, to, slot) ? 0 : 1;
    }
    return moved;
}

uint64_t ring_compare(const struct ring *from, const struct ring *to, uint32_t *lost,
                      uint32_t *gained)
{
    CHECK(from->slots_log2 == to->slots_log2);
    uint64_t moved = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        lost[i] = 0;
    }
    for (uint32_t i = 0; i < to->count; i++) {
        gained[i] = 0;
    }
    for (uint32_t slot = 0; slot < inside_slots(from); slot++) {
        if (same_owner(from, to, slot)) {
            continue;
        }
        moved++;
        if (from->count > 0) {
            lost[inside_owner(from, slot)]++;
        }
        if (to->count > 0) {
            gained[inside_owner(to, slot)]++;
        }
    }
    return moved;
}
