/* gossip/roster.c: what is known of each member. Records merge as in the view (ring/view.h), with
 * one exception: "dead" about a member that we have reason to believe alive is put to it first. */
#include "gossip/internal.h"

#include "base/hash.h"

#define DIGEST_SEED 0x61746f6c6c2d6731u

static uint64_t id_hash(struct node_id id)
{
    return hash64(id.b, sizeof id.b, 0);
}

struct peer *roster_find(struct gossip *g, struct node_id id)
{
    for (struct map_node *n = map_first(&g->by_id, id_hash(id)); n != NULL; n = map_next(n)) {
        struct peer *peer = CONTAINER_OF(n, struct peer, by_id);
        if (node_id_equal(peer->known.id, id)) {
            return peer;
        }
    }
    return NULL;
}

uint32_t roster_bucket(struct node_id id)
{
    return id.b[0] % DATAGRAM_BUCKETS;
}

static uint64_t part_of_digest(const struct peer *peer)
{
    uint8_t record[MEMBER_RECORD_MAX];
    size_t size = 0;
    if (!roster_is_living(peer)) {
        return 0;
    }
    enum err err = member_encode(&peer->known, record, sizeof record, &size);
    CHECK(err == ERR_OK);
    uint64_t hash = hash64(record, size, DIGEST_SEED + (peer->ready ? 1 : 0));
    return hash == 0 ? 1 : hash;
}

static void clear_accusation(struct gossip *g, struct peer *peer)
{
    if (peer->accused_until_us != USEC_NEVER) {
        CHECK(g->accusing > 0);
        peer->accused_until_us = USEC_NEVER;
        g->accusing--;
    }
}

void roster_changed(struct gossip *g, struct peer *peer)
{
    bool lived = peer->hash != 0;
    uint64_t hash = part_of_digest(peer);
    g->sums[roster_bucket(peer->known.id)] += hash - peer->hash;
    peer->hash = hash;
    g->changed_us = g->now.mono_us;
    if (lived != (hash != 0)) {
        g->living = lived ? g->living - 1 : g->living + 1;
        g->circles_stale = true;
    }
    if (lived && hash == 0) {
        peer->died_us = g->now.mono_us;
        votes_clear(g, peer);
        prober_forget(g, peer);
        clear_accusation(g, peer);
    }
    cut_look_soon(g);
}

uint64_t roster_digest(const struct gossip *g)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < DATAGRAM_BUCKETS; i++) {
        digest += g->sums[i];
    }
    return g->living > 0 && digest == 0 ? 1 : digest;
}

static struct peer *oldest_tombstone(struct gossip *g)
{
    struct peer *oldest = NULL;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        struct peer *peer = &g->peers[i];
        if (!peer->used || roster_is_living(peer) || peer->touched || i == g->self) {
            continue; /* ourselves: also when we have left */
        }
        if (oldest == NULL || peer->died_us < oldest->died_us) {
            oldest = peer;
        }
    }
    return oldest;
}

static struct peer *take_place(struct gossip *g)
{
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (!g->peers[i].used) {
            return &g->peers[i];
        }
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
    return oldest;
}

/* Members that come back owning, or that we hear of owning, change the ring: by a cut. Where nobody
 * owns, nothing is disturbed. */
static bool must_be_held(struct gossip *g, const struct member *member)
{
    const struct member *shown = view_find(g->view, member->id);
    bool owns = shown != NULL && shown->state == MEMBER_OWNING;
    return member->state == MEMBER_OWNING && !owns && !cut_is_young(g);
}

struct peer *roster_add(struct gossip *g, const struct member *member, bool ready)
{
    struct peer *peer = take_place(g);
    if (peer == NULL) {
        return NULL;
    }
    memset(peer, 0, sizeof *peer);
    list_init(&peer->told);
    peer->used = true;
    peer->known = *member;
    peer->ready = ready;
    peer->good_us = LONG_AGO;
    peer->acked_us = LONG_AGO;
    peer->evidence_us = LONG_AGO;
    peer->asked_us = LONG_AGO;
    peer->catalog_told_us = LONG_AGO;
    peer->suspected_us = USEC_NEVER;
    peer->accused_until_us = USEC_NEVER;
    peer->held = must_be_held(g, member);
    map_insert(&g->by_id, &peer->by_id, id_hash(member->id));
    roster_changed(g, peer);
    return peer;
}

void roster_drop(struct gossip *g, struct peer *peer)
{
    CHECK(peer->used && !roster_is_living(peer) && !peer->touched && peer != roster_self(g));
    view_forget(g->view, peer->known.id);
    rumours_forget(g, peer);
    map_remove(&g->by_id, &peer->by_id);
    peer->used = false;
}

struct peer *roster_random(struct gossip *g)
{
    CHECK(g->living > 0 || g->leaving != LEAVING_NOT);
    uint32_t others = g->living - (roster_is_living(roster_self(g)) ? 1 : 0);
    if (others == 0) {
        return NULL;
    }
    uint64_t nth = rng_below(&g->rng, others);
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (i == g->self || !roster_is_living(&g->peers[i])) {
            continue;
        }
        if (nth-- == 0) {
            return &g->peers[i];
        }
    }
    BUG("fewer living members than counted");
}

const struct address *roster_address(const struct peer *peer)
{
    return member_address(&peer->known, ENDPOINT_GOSSIP);
}

/* An answer of its own is better than what others say; what others say is good enough when
 * somebody already missed it. */
static bool believes_dead(struct gossip *g, const struct peer *peer)
{
    const struct probe *probe = prober_find(g, peer);
    if (g->now.mono_us - peer->good_us <= FRESH_US) {
        MARK(g, "gossip.dead.contradicted");
        return false;
    }
    return votes_count(g, peer) > 0 || (probe != NULL && probe->misses > 0);
}

/* The process is another one, or has refuted: what was between us counts no more. */
static void begin_incarnation(struct gossip *g, struct peer *peer, bool ready)
{
    peer->ready = ready;
    peer->held = must_be_held(g, &peer->known);
    clear_accusation(g, peer);
    votes_clear(g, peer);
    if (roster_is_living(peer)) {
        prober_restart(g, peer);
    }
}

static void hear(struct gossip *g, struct peer *peer, struct member member, bool ready)
{
    struct member before = peer->known;
    bool newer = member.incarnation > before.incarnation;
    if (member.incarnation < before.incarnation) {
        return;
    }
    if (member.state == MEMBER_DEAD && roster_is_living(peer) && !believes_dead(g, peer)) {
        repair_accuse(g, peer, member.incarnation);
        if (newer) {
            return;
        }
        member.state = before.state; /* its facts are news all the same */
    }
    bool changed = member_merge(&peer->known, &member);
    if (newer) {
        begin_incarnation(g, peer, ready);
    } else if (ready && !peer->ready) {
        peer->ready = true;
        changed = true;
    }
    if (!changed) {
        return;
    }
    roster_changed(g, peer);
    if (newer || peer->known.version != before.version) {
        rumours_record(g, peer);
    } else {
        rumours_state(g, peer);
    }
    publish_soon(g, peer, PUBLISH_US);
}

void roster_hear(struct gossip *g, const struct member *member, bool ready)
{
    struct peer *peer = roster_find(g, member->id);
    CHECK(!node_id_equal(member->id, g->id));
    if (peer != NULL) {
        hear(g, peer, *member, ready);
        return;
    }
    if (!member_is_living(member)) {
        return; /* nobody to bury */
    }
    peer = roster_add(g, member, ready);
    if (peer != NULL) {
        rumours_record(g, peer);
        publish_soon(g, peer, PUBLISH_US);
    }
}

void roster_hear_state(struct gossip *g, const struct datagram_state *state)
{
    struct peer *peer = roster_find(g, state->id);
    if (peer == NULL || state->incarnation < peer->known.incarnation) {
        return;
    }
    struct member member = peer->known;
    member.incarnation = state->incarnation;
    member.state = state->state;
    if (state->incarnation > peer->known.incarnation && member_is_living(&member)) {
        return; /* facts that we do not have: repair brings them */
    }
    hear(g, peer, member, state->ready);
}

void roster_decide(struct gossip *g, struct peer *peer, enum member_state state)
{
    CHECK(state > peer->known.state);
    peer->known.state = state;
    roster_changed(g, peer);
    rumours_state(g, peer);
    publish_soon(g, peer, 0);
}

void roster_sweep(struct gossip *g)
{
    for (uint32_t i = 0; i < g->peers_high; i++) {
        struct peer *peer = &g->peers[i];
        bool is_over = g->now.mono_us - peer->died_us >= TOMBSTONE_US;
        if (peer->used && !roster_is_living(peer) && !peer->touched && i != g->self && is_over) {
            MARK(g, "gossip.tombstone.expired");
            roster_drop(g, peer);
        }
    }
}
