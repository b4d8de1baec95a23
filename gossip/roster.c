/* gossip/roster.c: the table of members: found by id, counted, summed up, drawn from at random.
 * Whoever changes a member says so before and after: the sums follow from that. */
#include "gossip/internal.h"

#include "base/hash.h"

#define TICK_SHIFT 16u /* peer->when: 65.536 ms each, for nearly nine years */
#define PLACE_BITS 24u
#define PLACE_MASK ((1u << PLACE_BITS) - 1)
#define TRIES 64u /* to draw a living member among tombstones */

static uint32_t index_slots(uint32_t members_max)
{
    uint32_t slots = 16;
    while (slots < members_max + members_max / 4) {
        slots *= 2;
    }
    return slots;
}

size_t roster_memory(uint32_t members_max)
{
    const size_t each = sizeof(struct peer) + 2 * sizeof(struct tomb) + 2 * sizeof(uint32_t);
    return members_max * each + index_slots(members_max) * sizeof(uint32_t) + 5 * 16;
}

enum err roster_init(struct gossip *g, struct arena *mem)
{
    const uint32_t slots = index_slots(g->peers_max);
    g->peers = arena_array(mem, g->peers_max, sizeof *g->peers);
    g->index = arena_array(mem, slots, sizeof *g->index);
    g->index_mask = slots - 1;
    g->tombs_max = 2 * g->peers_max;
    g->tombs = arena_array(mem, g->tombs_max, sizeof *g->tombs);
    g->waiting = arena_array(mem, g->peers_max, sizeof *g->waiting);
    g->touched = arena_array(mem, g->peers_max, sizeof *g->touched);
    return g->peers == NULL || g->index == NULL || g->tombs == NULL || g->waiting == NULL ||
                   g->touched == NULL
               ? ERR_NOMEM
               : ERR_OK;
}

/* ---- by id ------------------------------------------------------------------------------------- */

static uint32_t entry_of(uint64_t hash, uint32_t place)
{
    return (uint32_t)(hash >> 56) << PLACE_BITS | (place + 1);
}

static uint64_t hash_at(const struct gossip *g, uint32_t slot)
{
    return records_id_hash(g->records, g->peers[(g->index[slot] & PLACE_MASK) - 1].record);
}

struct peer *roster_find(const struct gossip *g, struct node_id id)
{
    const uint64_t hash = hash64(id.b, sizeof id.b, 0);
    const uint32_t tag = (uint32_t)(hash >> 56);
    for (uint32_t slot = (uint32_t)hash & g->index_mask; g->index[slot] != 0;
         slot = (slot + 1) & g->index_mask) {
        if (g->index[slot] >> PLACE_BITS != tag) {
            continue;
        }
        struct peer *peer = &g->peers[(g->index[slot] & PLACE_MASK) - 1];
        if (node_id_equal(roster_id(g, peer), id)) {
            return peer;
        }
    }
    return NULL;
}

static void index_insert(struct gossip *g, uint32_t place)
{
    const uint64_t hash = records_id_hash(g->records, g->peers[place].record);
    uint32_t slot = (uint32_t)hash & g->index_mask;
    while (g->index[slot] != 0) {
        slot = (slot + 1) & g->index_mask;
    }
    g->index[slot] = entry_of(hash, place);
}

/* What stands behind it moves up, so that no search ends too early. */
static void index_remove(struct gossip *g, uint32_t place)
{
    const uint64_t hash = records_id_hash(g->records, g->peers[place].record);
    uint32_t hole = (uint32_t)hash & g->index_mask;
    while ((g->index[hole] & PLACE_MASK) != place + 1) {
        CHECK(g->index[hole] != 0);
        hole = (hole + 1) & g->index_mask;
    }
    for (uint32_t at = (hole + 1) & g->index_mask; g->index[at] != 0;
         at = (at + 1) & g->index_mask) {
        const uint32_t home = (uint32_t)hash_at(g, at) & g->index_mask;
        if (((at - home) & g->index_mask) >= ((at - hole) & g->index_mask)) {
            g->index[hole] = g->index[at];
            hole = at;
        }
    }
    g->index[hole] = 0;
}

/* ---- what is known ----------------------------------------------------------------------------- */

struct node_id roster_id(const struct gossip *g, const struct peer *peer)
{
    return records_id(g->records, peer->record);
}

struct member roster_member(const struct gossip *g, const struct peer *peer)
{
    struct member member = *records_facts(g->records, peer->record);
    member.incarnation = peer->incarnation;
    member.version = peer->version;
    member.state = (enum member_state)peer->state;
    return member;
}

const struct address *roster_address(const struct gossip *g, const struct peer *peer)
{
    return member_address(records_facts(g->records, peer->record), ENDPOINT_GOSSIP);
}

static uint32_t tick_of(const struct gossip *g)
{
    return (uint32_t)(g->now.mono_us >> TICK_SHIFT) + 1;
}

usec_t roster_age_us(const struct gossip *g, const struct peer *peer)
{
    return peer->when == 0 ? SEC(1000000000) : (usec_t)(tick_of(g) - peer->when) << TICK_SHIFT;
}

void roster_touch(struct gossip *g, struct peer *peer)
{
    peer->when = tick_of(g);
}

uint64_t roster_digest(const struct gossip *g)
{
    return g->living > 0 && g->sum == 0 ? 1 : g->sum;
}

/* ---- tombstones -------------------------------------------------------------------------------- */

static bool is_valid(const struct gossip *g, const struct tomb *tomb)
{
    const struct peer *peer = &g->peers[tomb->peer];
    return roster_is_used(peer) && !roster_is_living(peer) && peer->when == tomb->since;
}

static struct tomb *tomb_at(struct gossip *g, uint32_t nth)
{
    return &g->tombs[(g->tombs_first + nth) % g->tombs_max];
}

static void tombs_compact(struct gossip *g)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->tombs_count; i++) {
        const struct tomb tomb = *tomb_at(g, i);
        if (is_valid(g, &tomb)) {
            *tomb_at(g, kept++) = tomb;
        }
    }
    g->tombs_count = kept;
}

static void tombs_add(struct gossip *g, struct peer *peer)
{
    roster_touch(g, peer);
    if (g->tombs_count == g->tombs_max) {
        tombs_compact(g);
        CHECK(g->tombs_count < g->tombs_max);
    }
    *tomb_at(g, g->tombs_count++) =
        (struct tomb){ .peer = roster_index(g, peer), .since = peer->when };
}

/* One that nobody needs: not ourselves, also when we have left; and not one that the view has still
 * to show. */
static bool is_idle(const struct gossip *g, const struct tomb *tomb)
{
    return is_valid(g, tomb) && tomb->peer != g->self && !g->peers[tomb->peer].touched;
}

static struct peer *oldest_tombstone(struct gossip *g)
{
    while (g->tombs_count > 0 && !is_valid(g, tomb_at(g, 0))) {
        g->tombs_first = (g->tombs_first + 1) % g->tombs_max;
        g->tombs_count--;
    }
    for (uint32_t i = 0; i < g->tombs_count; i++) {
        if (is_idle(g, tomb_at(g, i))) {
            return &g->peers[tomb_at(g, i)->peer];
        }
    }
    return NULL;
}

void roster_sweep(struct gossip *g)
{
    for (;;) {
        struct peer *oldest = oldest_tombstone(g);
        if (oldest == NULL || roster_age_us(g, oldest) < TOMBSTONE_US) {
            return;
        }
        MARK(g, "gossip.tombstone.expired");
        roster_drop(g, oldest);
    }
}

struct peer *roster_random_gone(struct gossip *g)
{
    for (uint32_t tries = 0; tries < 4 && g->tombs_count > 0; tries++) {
        const struct tomb *tomb = tomb_at(g, (uint32_t)rng_below(&g->rng, g->tombs_count));
        if (is_valid(g, tomb)) {
            return &g->peers[tomb->peer];
        }
    }
    return NULL;
}

/* ---- changes ----------------------------------------------------------------------------------- */

uint64_t roster_part(const struct gossip *g, const struct peer *peer)
{
    const uint64_t word = (uint64_t)peer->version << 8 | (uint64_t)peer->state << 1 | peer->ready;
    return hash64_mix(records_hash(g->records, peer->record) + word, peer->incarnation);
}

static void account(struct gossip *g, const struct peer *peer, bool in)
{
    if (!roster_is_living(peer)) {
        return;
    }
    const uint64_t part = roster_part(g, peer);
    const uint32_t one = in ? 1 : UINT32_MAX; /* taking away is adding that, too */
    const bool is_warming = peer->state == MEMBER_WARMING;
    g->sums[peer->bucket] += in ? part : 0 - part;
    g->sum += in ? part : 0 - part;
    g->living += one;
    g->warming += is_warming ? one : 0;
    g->unready += is_warming && !peer->ready ? one : 0;
}

void roster_before(struct gossip *g, struct peer *peer)
{
    account(g, peer, false);
    publish_account(g, peer, false);
    g->lived = roster_is_living(peer);
}

void roster_facts(struct gossip *g, struct peer *peer, const struct member *member)
{
    const uint32_t record = records_ref(g->records, member);
    CHECK(record != RECORD_NONE); /* one for each member, and one more */
    if (peer->record != RECORD_NONE) {
        records_unref(g->records, peer->record);
    }
    peer->record = record;
    peer->version = member->version;
}

static void wait_to_own(struct gossip *g, struct peer *peer)
{
    if (!peer->waiting && roster_is_living(peer) && peer->state == MEMBER_WARMING) {
        CHECK(g->waiting_count < g->peers_max);
        peer->waiting = true;
        g->waiting[g->waiting_count++] = roster_index(g, peer);
    }
}

static void has_died(struct gossip *g, struct peer *peer)
{
    struct news *news = rumours_find(g, peer);
    votes_clear(g, peer);
    prober_forget(g, peer);
    circles_left(g, roster_index(g, peer));
    tombs_add(g, peer);
    if (news != NULL) {
        cut_drop_due(g, news);
        rumours_release(g, news);
    }
}

void roster_after(struct gossip *g, struct peer *peer)
{
    const bool lives = roster_is_living(peer);
    account(g, peer, true);
    publish_account(g, peer, true);
    g->changes++;
    g->version += lives != g->lived ? 1 : 0;
    if (lives && !g->lived) {
        peer->when = 0;
        circles_joined(g, roster_index(g, peer));
    }
    if (!lives && g->lived) {
        has_died(g, peer);
    }
    wait_to_own(g, peer);
    cut_look_soon(g);
}

static struct peer *take_place(struct gossip *g)
{
    if (g->peers_free != 0) {
        struct peer *peer = &g->peers[g->peers_free - 1];
        g->peers_free = peer->version;
        return peer;
    }
    if (g->peers_high < g->peers_max) {
        return &g->peers[g->peers_high++];
    }
    struct peer *oldest = oldest_tombstone(g);
    if (oldest == NULL) {
        MARK(g, "gossip.roster.full");
        return NULL;
    }
    MARK(g, "gossip.roster.tombstone_made_room");
    roster_drop(g, oldest);
    return take_place(g);
}

struct peer *roster_add(struct gossip *g, const struct member *member, bool ready)
{
    struct peer *peer = take_place(g);
    if (peer == NULL) {
        return NULL;
    }
    *peer = (struct peer){ .record = RECORD_NONE,
                           .shown = SHOWN_NOT,
                           .bucket = member->id.b[0] % DATAGRAM_BUCKETS };
    roster_before(g, peer);
    roster_facts(g, peer, member);
    peer->incarnation = member->incarnation;
    peer->state = (uint8_t)member->state;
    peer->ready = ready;
    index_insert(g, roster_index(g, peer));
    g->used++;
    roster_after(g, peer);
    return peer;
}

static void forget_waiting(struct gossip *g, const struct peer *peer)
{
    const uint32_t index = roster_index(g, peer);
    for (uint32_t i = 0; peer->waiting && i < g->waiting_count; i++) {
        if (g->waiting[i] == index) {
            g->waiting[i] = g->waiting[--g->waiting_count];
            return;
        }
    }
}

void roster_drop(struct gossip *g, struct peer *peer)
{
    const uint32_t index = roster_index(g, peer);
    CHECK(roster_is_used(peer) && !roster_is_living(peer) && !peer->touched && index != g->self);
    rumours_forget(g, peer);
    votes_forget(g, peer);
    forget_waiting(g, peer);
    publish_forget(g, peer);
    index_remove(g, index);
    records_unref(g->records, peer->record);
    peer->record = RECORD_NONE;
    peer->version = g->peers_free;
    g->peers_free = index + 1;
    g->used--;
}

void roster_decide(struct gossip *g, struct peer *peer, enum member_state state)
{
    CHECK(state > peer->state);
    roster_before(g, peer);
    peer->state = (uint8_t)state;
    roster_after(g, peer);
    rumours_state(g, peer);
    publish_soon(g, peer, 0);
}

/* ---- at random --------------------------------------------------------------------------------- */

struct peer *roster_random(struct gossip *g)
{
    const uint32_t others = g->living - (roster_is_living(roster_self(g)) ? 1 : 0);
    for (uint32_t tries = 0; others > 0 && tries < TRIES; tries++) {
        struct peer *peer = &g->peers[rng_below(&g->rng, g->peers_high)];
        if (roster_is_living(peer) && peer != roster_self(g)) {
            return peer;
        }
    }
    /* Nearly all are tombstones: the next one from some place on. */
    const uint32_t from = (uint32_t)rng_below(&g->rng, g->peers_high);
    for (uint32_t i = 0; others > 0 && i < g->peers_high; i++) {
        struct peer *peer = &g->peers[(from + i) % g->peers_high];
        if (roster_is_living(peer) && peer != roster_self(g)) {
            return peer;
        }
    }
    return NULL;
}
