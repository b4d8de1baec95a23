/* ring/settle.c: deferred acceptance: who gets a slot (docs/ring.md, "The cap").
 *
 * Pairs have one order in which both sides judge them, so exactly one assignment is stable, and
 * both ways of reaching it end there: slots that ask, each node keeping its best (settle_slots:
 * nodes have gone or have less room), and nodes that invite, each slot taking its best
 * (settle_nodes: nodes have come or have more room). */
#include "ring/inside.h"

size_t settle_memory(uint32_t count, uint32_t slots_log2)
{
    size_t slots = (size_t)1 << slots_log2;
    size_t n = count;
    size_t claims = slots + slots / 8 + n; /* 1.085 of the slots, and one for rounding up */
    return claims * sizeof(uint64_t) + slots * sizeof(uint32_t) + n * sizeof(uint64_t) +
           2 * n * sizeof(uint32_t) + n * sizeof(uint16_t) + 2 * n * sizeof(uint8_t) +
           inside_words(slots_log2) * sizeof(uint64_t) + (size_t)9 * 16;
}

bool settle_init(struct settle *s, struct arena *mem, struct build *b)
{
    const uint32_t count = b->ring->count;
    size_t room = 0;
    *s = (struct settle){ .b = b };
    s->starts = arena_array(mem, count, sizeof *s->starts);
    for (uint32_t i = 0; s->starts != NULL && i < count; i++) {
        s->starts[i] = (uint32_t)room;
        room += b->caps[i];
    }
    s->claims = arena_array(mem, room, sizeof *s->claims);
    s->worst = arena_array(mem, count, sizeof *s->worst);
    s->room = arena_array(mem, count, sizeof *s->room);
    s->slots = arena_array(mem, inside_slots(b->ring), sizeof *s->slots);
    s->queue = arena_array(mem, count, sizeof *s->queue);
    s->queued = arena_array(mem, count, sizeof *s->queued);
    s->learnt = arena_array(mem, count, sizeof *s->learnt);
    s->moved = arena_array(mem, inside_words(b->ring->slots_log2), sizeof *s->moved);
    return s->starts != NULL && s->claims != NULL && s->worst != NULL && s->room != NULL &&
           s->slots != NULL && s->queue != NULL && s->queued != NULL && s->learnt != NULL &&
           s->moved != NULL;
}

/* ---- a heap of claims, the worst on top ---- */

static void sift_down(uint64_t *heap, uint32_t count, uint32_t root)
{
    const uint64_t claim = heap[root];
    for (uint32_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        child += child + 1 < count && heap[child + 1] > heap[child] ? 1 : 0;
        if (heap[child] <= claim) {
            break;
        }
        heap[root] = heap[child];
        root = child;
    }
    heap[root] = claim;
}

static void make_heap(uint64_t *heap, uint32_t count)
{
    for (uint32_t root = count / 2; root > 0; root--) {
        sift_down(heap, count, root - 1);
    }
}

/* ---- slots ask ---- */

static void look_for_owner(struct settle *s, uint32_t slot)
{
    *inside_ranks(s->b->ring, slot) = NOBODY;
    inside_set_bit(s->b->ring->turned, slot, true);
    inside_set_bit(s->moved, slot, true);
    s->slots[s->slot_count++] = slot;
}

static uint64_t claim_on(const struct settle *s, uint16_t node, uint32_t slot)
{
    return inside_claim(score_level(s->b->table, &s->b->nodes[node], slot), slot);
}

/* The node begins to know its claims, because it is about to be full. */
static void learn_claims(struct settle *s, uint16_t node)
{
    uint64_t *heap = s->claims + s->starts[node];
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < inside_slots(s->b->ring); slot++) {
        if (inside_owner(s->b->ring, slot) == node) {
            heap[count++] = claim_on(s, node, slot);
        }
    }
    CHECK(count == s->b->ring->owned[node]);
    s->b->ring->scored += count;
    s->learnt[node] = 1;
}

/* The node takes the slot, and lets go of its worst when it is full. */
static void take(struct settle *s, uint16_t node, uint64_t claim)
{
    struct ring *ring = s->b->ring;
    uint64_t *heap = s->claims + s->starts[node];
    const uint32_t slot = inside_claim_slot(claim);
    if (s->learnt[node] == 0 && ring->owned[node] + 1 == s->room[node]) {
        learn_claims(s, node);
    }
    *inside_ranks(ring, slot) = node;
    if (ring->owned[node] < s->room[node]) {
        heap[ring->owned[node]++] = claim; /* for nothing, where it has not learnt the others */
        if (ring->owned[node] == s->room[node]) {
            make_heap(heap, s->room[node]);
            s->worst[node] = heap[0];
        }
        return;
    }
    look_for_owner(s, inside_claim_slot(heap[0]));
    heap[0] = claim;
    sift_down(heap, s->room[node], 0);
    s->worst[node] = heap[0];
}

static void ask(struct settle *s, uint16_t node, uint32_t slot)
{
    uint64_t claim = claim_on(s, node, slot);
    if (claim < s->worst[node]) {
        take(s, node, claim);
    } else {
        look_for_owner(s, slot);
    }
}

void settle_slots(struct settle *s)
{
    struct build *b = s->b;
    const uint32_t slots = inside_slots(b->ring);
    s->slot_count = 0;
    for (uint32_t i = 0; i < b->ring->count; i++) {
        CHECK(s->room[i] <= b->caps[i]);
        b->ring->owned[i] = 0;
        s->worst[i] = s->room[i] > 0 ? UINT64_MAX : 0;
    }
    for (uint32_t slot = 0; slot < slots; slot++) {
        uint16_t node = inside_owner(b->ring, slot);
        if (node == NOBODY) {
            look_for_owner(s, slot);
        } else if (s->learnt[node] == 0) {
            b->ring->owned[node]++;
        } else {
            ask(s, node, slot);
            b->ring->scored++;
        }
    }
    while (s->slot_count > 0) {
        uint32_t slot = s->slots[--s->slot_count];
        uint16_t node = want_next(b, slot, s->worst);
        if (node != NOBODY) { /* else it waits for the nodes that come, turned down by all */
            ask(s, node, slot);
        }
    }
}

/* ---- nodes invite ---- */

static void enqueue(struct settle *s, uint16_t node)
{
    uint32_t count = s->b->ring->count;
    if (s->queued[node] == 0) {
        s->queued[node] = 1;
        s->queue[(s->queue_first + s->queue_count) % count] = node;
        s->queue_count++;
    }
}

static bool prefers(const struct settle *s, uint32_t slot, uint16_t node)
{
    uint16_t owner = inside_owner(s->b->ring, slot);
    return owner == NOBODY ||
           (owner != node && inside_key(s->b, slot, node) < inside_key(s->b, slot, owner));
}

/* A slot that would rather be at a node that has just come hopes, too. */
static void hope_for(struct settle *s, uint16_t node, uint32_t slot)
{
    s->b->ring->scored += 2;
    if (!inside_bit(s->b->ring->turned, slot) && prefers(s, slot, node)) {
        inside_set_bit(s->b->ring->turned, slot, true);
        s->slots[s->slot_count++] = slot;
    }
}

/* The best claims, as many as the node has room for, of slots that would rather be there. */
static uint32_t pick(struct settle *s, uint16_t node)
{
    uint64_t *heap = s->claims + s->starts[node];
    const uint32_t want = s->b->caps[node] - s->b->ring->owned[node];
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->slot_count; i++) {
        uint32_t slot = s->slots[i];
        uint64_t claim = claim_on(s, node, slot);
        if ((count == want && claim > heap[0]) || !prefers(s, slot, node)) {
            continue;
        }
        if (count < want) {
            heap[count++] = claim;
            if (count == want) {
                make_heap(heap, count);
            }
            continue;
        }
        heap[0] = claim;
        sift_down(heap, count, 0);
    }
    s->b->ring->scored += s->slot_count;
    return count;
}

static void invite(struct settle *s, uint16_t node)
{
    struct ring *ring = s->b->ring;
    const uint64_t *picked = s->claims + s->starts[node];
    const uint32_t count = pick(s, node);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = inside_claim_slot(picked[i]);
        uint16_t owner = inside_owner(ring, slot);
        if (owner != NOBODY) {
            if (ring->owned[owner] == s->b->caps[owner]) {
                enqueue(s, owner); /* nobody hopes for a node that has had room to spare */
            }
            ring->owned[owner]--;
        }
        *inside_ranks(ring, slot) = node;
        inside_set_bit(s->moved, slot, true);
        ring->owned[node]++;
    }
}

void settle_nodes(struct settle *s, const struct change *c)
{
    struct ring *ring = s->b->ring;
    s->slot_count = 0;
    for (uint32_t slot = 0; slot < inside_slots(ring); slot++) {
        if (inside_bit(ring->turned, slot)) {
            s->slots[s->slot_count++] = slot;
        }
    }
    for (uint32_t slot = 0; slot < inside_slots(ring); slot++) {
        for (uint32_t i = 0; inside_bit(c->open, slot) && i < c->came_count; i++) {
            hope_for(s, c->came[i], slot);
        }
    }
    for (uint32_t i = 0; i < ring->count; i++) {
        if (ring->owned[i] == s->room[i] && ring->owned[i] < s->b->caps[i]) {
            enqueue(s, (uint16_t)i);
        }
    }
    while (s->queue_count > 0) {
        uint16_t node = s->queue[s->queue_first];
        s->queue_first = (s->queue_first + 1) % ring->count;
        s->queue_count--;
        s->queued[node] = 0;
        invite(s, node);
    }
}
