/* gossip/repair.c: what rumours did not bring. Every packet carries a digest of the sender's living
 * members; who sees another one sends the digests of its 64 buckets; who gets those answers with
 * the members of the buckets that differ, and asks for the other's. Also: putting it to a member
 * that somebody says it is dead. */
#include "gossip/internal.h"

static bool is_wanted(const struct gossip *g, const struct peer *peer)
{
    return roster_is_living(peer) || g->now.mono_us - peer->died_us <= TOMBSTONE_SHARE_US;
}

void repair_compare(struct gossip *g, const struct address *from, uint64_t digest)
{
    struct parcel parcel;
    usec_t now_us = g->now.mono_us;
    bool is_quiet = g->living <= 1 || now_us - g->changed_us >= SYNC_QUIET_US;
    if (digest == roster_digest(g) || now_us < g->sync_after_us || !is_quiet ||
        !parcel_has_room(g) || g->leaving >= LEAVING_SAYING_GOODBYE) {
        return;
    }
    MARK(g, "gossip.repair.begun");
    g->sync_after_us = now_us + SYNC_PERIOD_US;
    parcel_begin(g, &parcel, from, (struct datagram_head){ .kind = DATAGRAM_SPREAD });
    parcel.traffic = TRAFFIC_BULK;
    bool fits = datagram_add_sums(&parcel.body, g->sums);
    CHECK(fits);
    parcel_end(g, &parcel);
}

static void begin(struct gossip *g, const struct address *to, uint64_t mask, bool ask)
{
    struct sync *free = NULL;
    for (uint32_t i = 0; i < SYNCS_MAX; i++) {
        struct sync *sync = &g->syncs[i];
        if (sync->used && memcmp(&sync->to, to, sizeof *to) == 0) {
            return; /* one at a time with each */
        }
        free = sync->used ? free : sync;
    }
    if (free == NULL) {
        MARK(g, "gossip.repair.shed");
        return;
    }
    *free = (struct sync){ .used = true, .ask = ask, .to = *to, .mask = mask };
    free->at_us = g->now.mono_us;
}

void repair_sums(struct gossip *g, const struct address *from,
                 const uint64_t sums[DATAGRAM_BUCKETS])
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < DATAGRAM_BUCKETS; i++) {
        mask |= sums[i] != g->sums[i] ? 1ull << i : 0;
    }
    if (mask != 0) {
        begin(g, from, mask, true);
    }
}

void repair_mask(struct gossip *g, const struct address *from, uint64_t mask)
{
    if (mask != 0) {
        begin(g, from, mask, false);
    }
}

static bool add_member(struct gossip *g, struct datagram *d, const struct peer *peer)
{
    struct datagram_state state = { .id = peer->known.id,
                                    .incarnation = peer->known.incarnation,
                                    .state = peer->known.state };
    CHECK(peer < g->peers + g->peers_high);
    return roster_is_living(peer) ? datagram_add_record(d, &peer->known, peer->ready)
                                  : datagram_add_state(d, &state);
}

static void send_some(struct gossip *g, struct sync *sync)
{
    struct parcel parcel;
    parcel_begin(g, &parcel, &sync->to, (struct datagram_head){ .kind = DATAGRAM_SPREAD });
    parcel.traffic = TRAFFIC_BULK;
    if (sync->ask) {
        bool fits = datagram_add_mask(&parcel.body, sync->mask);
        CHECK(fits);
        sync->ask = false;
    }
    for (; sync->next < g->peers_high; sync->next++) {
        const struct peer *peer = &g->peers[sync->next];
        bool differs = peer->used && (sync->mask >> roster_bucket(peer->known.id) & 1) != 0;
        if (differs && is_wanted(g, peer) && !add_member(g, &parcel.body, peer)) {
            break;
        }
    }
    parcel_end(g, &parcel);
    sync->packets++;
    sync->used = sync->next < g->peers_high && sync->packets < SYNC_PACKETS;
}

/* ---- accusations ---- */

void repair_accuse(struct gossip *g, struct peer *peer, uint64_t incarnation)
{
    if (peer->accused_until_us != USEC_NEVER && peer->accused_incarnation >= incarnation) {
        return;
    }
    MARK(g, "gossip.dead.put_to_it");
    g->accusing += peer->accused_until_us == USEC_NEVER ? 1 : 0;
    peer->accused_us = g->now.mono_us;
    peer->accused_until_us = g->now.mono_us + ACCUSED_US;
    peer->accused_incarnation = incarnation;
    peer->accuse = true;
    g->accuse_at_us = g->now.mono_us;
}

static void settle(struct gossip *g, struct peer *peer)
{
    g->accusing--;
    peer->accused_until_us = USEC_NEVER;
    if (peer->good_us >= peer->accused_us) {
        return; /* it lives: it will say so itself, and the others will hear */
    }
    MARK(g, "gossip.dead.believed_after_asking");
    peer->known.incarnation = peer->accused_incarnation;
    roster_decide(g, peer, MEMBER_DEAD);
}

static void pursue(struct gossip *g, struct peer *peer)
{
    if (g->now.mono_us >= peer->accused_until_us) {
        settle(g, peer);
        return;
    }
    if (peer->accuse && parcel_has_room(g)) {
        pings_member(g, peer, PING_CONTACT, 0);
        peer->accuse = false;
    }
}

static void pursue_all(struct gossip *g)
{
    bool is_left = false;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        struct peer *peer = &g->peers[i];
        if (!peer->used || peer->accused_until_us == USEC_NEVER) {
            continue;
        }
        pursue(g, peer);
        is_left = is_left || (peer->accused_until_us != USEC_NEVER && peer->accuse);
    }
    if (is_left) {
        return; /* the others at the next step */
    }
    g->accuse_at_us = g->now.mono_us + PROBE_AGAIN_US;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        g->peers[i].accuse = g->peers[i].good_us < g->peers[i].accused_us;
    }
}

/* ---- time ---- */

void repair_tick(struct gossip *g)
{
    if (g->accusing > 0 && g->now.mono_us >= g->accuse_at_us) {
        pursue_all(g);
    }
    for (uint32_t i = 0; i < SYNCS_MAX; i++) {
        struct sync *sync = &g->syncs[i];
        if (!sync->used || g->now.mono_us < sync->at_us) {
            continue;
        }
        for (uint32_t n = 0; n < SYNC_BURST && sync->used && parcel_has_room(g) &&
                             parcel_has_budget(g, TRAFFIC_BULK);
             n++) {
            send_some(g, sync);
        }
        sync->at_us = g->now.mono_us + SYNC_STEP_US;
    }
}

usec_t repair_deadline(const struct gossip *g)
{
    usec_t next = g->accusing > 0 ? g->accuse_at_us : USEC_NEVER;
    for (uint32_t i = 0; i < SYNCS_MAX; i++) {
        next = g->syncs[i].used ? usec_min(next, g->syncs[i].at_us) : next;
    }
    return next;
}
