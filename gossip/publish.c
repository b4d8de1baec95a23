/* gossip/publish.c: from what we know to what others may believe. What changes together is
 * published together. */
#include "gossip/internal.h"

#include "base/hash.h"

static bool is_shown_living(const struct peer *peer)
{
    return peer->shown <= MEMBER_LEAVING;
}

static void count_owner(struct gossip_owners *owners, uint64_t part, bool in)
{
    owners->digest += in ? part : 0 - part;
    owners->count += in ? 1 : UINT32_MAX;
}

void publish_account(struct gossip *g, const struct peer *peer, bool in)
{
    if (!roster_is_used(peer) || !is_shown_living(peer)) {
        return;
    }
    const uint64_t word = (uint64_t)peer->version << 8 | (uint64_t)peer->shown;
    const uint64_t part =
        hash64_mix(records_hash(g->records, peer->record) ^ word, peer->incarnation);
    const uint64_t owner = hash64_mix(records_id_hash(g->records, peer->record), 0);
    g->shown_sum += in ? part : 0 - part;
    g->shown_living += in ? 1 : UINT32_MAX;
    if (peer->shown == MEMBER_OWNING) {
        count_owner(&g->shown_owning, owner, in);
    }
    if (peer->shown == MEMBER_WARMING) {
        count_owner(&g->shown_warming, owner, in);
    }
}

void publish_soon(struct gossip *g, struct peer *peer, usec_t wait_us)
{
    if (!peer->touched) {
        CHECK(g->touched_count < g->peers_max);
        peer->touched = true;
        g->touched[g->touched_count++] = roster_index(g, peer);
    }
    g->publish_at_us = usec_min(g->publish_at_us, g->now.mono_us + wait_us);
}

/* Members that come back owning, or that we hear of owning, change the ring: together with others. */
static usec_t time_to_own(const struct gossip *g, const struct peer *peer, bool is_verdict,
                          struct telling how)
{
    if (is_verdict) {
        return how.wait_us; /* as all others */
    }
    /* Who was here before may be one of many that come back. */
    return cut_is_young(g) || peer->shown == SHOWN_NOT ? NOTICE_US : RETURN_US;
}

void publish_heard(struct gossip *g, struct peer *peer, bool is_promoted, struct telling how)
{
    if (peer->state == MEMBER_OWNING && peer->shown != MEMBER_OWNING) {
        struct news *news = rumours_about(g, peer);
        const bool is_verdict = is_promoted && how.is_news;
        if (news->due == DUE_NOTHING || (news->due == DUE_OWNERSHIP && is_verdict)) {
            news->is_verdict = is_verdict;
            cut_add_due(g, news, DUE_OWNERSHIP, time_to_own(g, peer, is_verdict, how));
        }
    }
    publish_soon(g, peer, PUBLISH_US);
}

void publish_forget(struct gossip *g, struct peer *peer)
{
    CHECK(!is_shown_living(peer));
    g->shown_count -= peer->shown == SHOWN_NOT ? 0 : 1;
    peer->shown = SHOWN_NOT;
}

static void tell(struct gossip *g, const struct peer *peer, bool lived)
{
    if (peer == roster_self(g)) {
        return;
    }
    switch ((enum member_state)peer->shown) {
    case MEMBER_WARMING:
    case MEMBER_OWNING:
    case MEMBER_LEAVING:
        if (!lived) {
            notices_add(g, GOSSIP_MEMBER_JOINED, peer);
        }
        return;
    case MEMBER_DEAD:
        if (lived) {
            notices_add(g, GOSSIP_MEMBER_DEAD, peer);
        }
        return;
    case MEMBER_LEFT:
        if (lived) {
            notices_add(g, GOSSIP_MEMBER_LEFT, peer);
        }
        return;
    }
}

/* A member that is about to own is warming to others until then. */
static uint8_t to_show(struct gossip *g, const struct peer *peer)
{
    const struct news *news = rumours_find(g, peer);
    const bool waits = news != NULL && news->due != DUE_NOTHING && peer->shown != MEMBER_OWNING;
    return waits && peer->state == MEMBER_OWNING ? MEMBER_WARMING : peer->state;
}

static void publish_one(struct gossip *g, struct peer *peer)
{
    const bool lived = is_shown_living(peer);
    const uint8_t shown = to_show(g, peer);
    peer->touched = false;
    if (shown == peer->shown) {
        return; /* its facts, perhaps: the digest knows */
    }
    publish_account(g, peer, false);
    g->shown_count += peer->shown == SHOWN_NOT ? 1 : 0;
    peer->shown = shown;
    publish_account(g, peer, true);
    g->shown_tombs += is_shown_living(peer) ? 0 : 1;
    tell(g, peer, lived);
}

static void publish_all(struct gossip *g)
{
    g->publish_at_us = USEC_NEVER;
    for (uint32_t i = 0; i < g->touched_count; i++) {
        publish_one(g, &g->peers[g->touched[i]]);
    }
    g->touched_count = 0;
    if (g->shown_sum != g->told_sum || g->shown_tombs != g->told_tombs) {
        g->told_sum = g->shown_sum;
        g->told_tombs = g->shown_tombs;
        g->tell_view = true;
    }
}

/* A ring of those whom we happen to know so far would be another one with each that we meet. */
static bool has_gathered(const struct gossip *g)
{
    const usec_t waited_us = g->now.mono_us - g->started_us;
    const bool knows_all =
        g->living == 1 || repair_agreements(g) > 0 || waited_us >= JOIN_PATIENCE_US;
    return waited_us >= FORCE_US || (!cut_is_young(g) && knows_all);
}

void publish_tick(struct gossip *g)
{
    if (g->now.mono_us >= g->publish_at_us) {
        publish_all(g);
    }
    if (g->gathering && has_gathered(g)) {
        MARK(g, "gossip.gathered");
        publish_all(g); /* no view has a part only of what is to be published */
        g->gathering = false;
        g->tell_view = true;
    }
}

usec_t publish_deadline(const struct gossip *g)
{
    if (!g->gathering) {
        return g->publish_at_us;
    }
    const usec_t patient_us = g->started_us + JOIN_PATIENCE_US;
    const usec_t force_us = g->started_us + FORCE_US;
    return usec_min(g->publish_at_us, g->now.mono_us < patient_us ? patient_us : force_us);
}

/* ---- for those who look ------------------------------------------------------------------------ */

uint32_t gossip_places(const struct gossip *g)
{
    return g->peers_high;
}

bool gossip_at(const struct gossip *g, uint32_t place, struct member *out)
{
    const struct peer *peer = &g->peers[place];
    CHECK(place < g->peers_high);
    if (!roster_is_used(peer) || peer->shown == SHOWN_NOT) {
        return false;
    }
    *out = roster_member(g, peer);
    out->state = (enum member_state)peer->shown;
    return true;
}

bool gossip_find(const struct gossip *g, struct node_id id, struct member *out)
{
    const struct peer *peer = roster_find(g, id);
    return peer != NULL && gossip_at(g, roster_index(g, peer), out);
}

uint32_t gossip_count(const struct gossip *g)
{
    return g->shown_count;
}

uint64_t gossip_digest(const struct gossip *g)
{
    return g->shown_living > 0 && g->shown_sum == 0 ? 1 : g->shown_sum;
}

bool gossip_is_gathering(const struct gossip *g)
{
    return g->gathering;
}

struct gossip_owners gossip_owners(const struct gossip *g)
{
    if (g->gathering) {
        return (struct gossip_owners){ 0 };
    }
    return g->shown_owning.count > 0 ? g->shown_owning : g->shown_warming;
}

uint64_t gossip_owner(struct node_id id)
{
    return hash64_mix(hash64(id.b, sizeof id.b, 0), 0);
}

struct member gossip_self(const struct gossip *g)
{
    struct member self;
    const bool found = gossip_at(g, g->self, &self);
    CHECK(found);
    return self;
}
