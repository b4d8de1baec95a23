/* gossip/cut.c: changes the ring, as seldom as possible, in two steps.
 *
 * What the observers of members would change is held until it has stayed the same for a while and
 * nobody is in doubt; then it is decided, and told with the time until it comes into force. All that
 * is due comes into force together: with the last of it, everywhere at about the same moment. */
#include "gossip/internal.h"

#include "base/hash.h"

enum action {
    ACTION_NONE,
    ACTION_REMOVE, /* its observers condemn it */
    ACTION_OWN,    /* it is warm */
};

/* What one review has found out about all members together. */
struct outlook {
    bool doubts;      /* somebody is doubted by some, not by enough */
    bool young;       /* nobody owns in our view */
    bool all_ready;   /* of those who are warming */
    bool has_warming; /* who could own, but may not yet */
    bool has_voices;
    bool is_forced;  /* what is pending has waited long enough for doubts to settle */
    bool is_overdue; /* and the warming for those who are not ready */
};

void cut_look_soon(struct gossip *g)
{
    const usec_t soon_us = usec_max(g->now.mono_us, g->reviewed_us + REVIEW_AGAIN_US);
    g->review_at_us = usec_min(g->review_at_us, soon_us);
}

static void hold_anew(struct gossip *g)
{
    g->pending_changed_us = g->now.mono_us;
    g->pending_since_us = g->now.mono_us;
}

void cut_stalled(struct gossip *g, usec_t late_us)
{
    for (struct list *at = g->due.next; at != &g->due; at = at->next) {
        CONTAINER_OF(at, struct news, due_link)->due_us += late_us;
    }
    g->due_us += g->due_us != USEC_NEVER ? late_us : 0;
    hold_anew(g);
    cut_look_soon(g);
}

bool cut_is_young(const struct gossip *g)
{
    return g->shown_owning.count == 0;
}

/* ---- what comes into force --------------------------------------------------------------------- */

static void unlink_due(struct gossip *g, struct news *news)
{
    CHECK(news->due != DUE_DEATH || g->accusing > 0);
    g->accusing -= news->due == DUE_DEATH ? 1 : 0;
    news->due = DUE_NOTHING;
    list_remove(&news->due_link);
}

void cut_drop_due(struct gossip *g, struct news *news)
{
    if (news->due == DUE_NOTHING) {
        return;
    }
    unlink_due(g, news);
    if (list_is_empty(&g->due)) {
        g->due_us = USEC_NEVER;
    }
}

static void expect(struct gossip *g, usec_t due_us)
{
    if (g->due_us == USEC_NEVER) {
        g->due_since_us = g->now.mono_us;
        g->due_us = due_us;
    }
    g->due_us = usec_min(usec_max(g->due_us, due_us), g->due_since_us + FORCE_US);
}

void cut_add_due(struct gossip *g, struct news *news, enum due due, usec_t wait_us)
{
    CHECK(due != DUE_NOTHING && wait_us >= 0);
    if (news->due != DUE_NOTHING) {
        unlink_due(g, news);
    }
    news->due = due;
    news->due_us = g->now.mono_us + wait_us;
    if (due == DUE_DEATH && g->accusing++ == 0) {
        g->accuse_at_us = g->now.mono_us + PROBE_AGAIN_US;
    }
    list_push_back(&g->due, &news->due_link);
    expect(g, news->due_us);
    if (due == DUE_DEATH) {
        cut_look_soon(g); /* who is to go anyway goes with it */
    }
}

/* It came back by itself: its observers want an answer from that very incarnation first. */
static bool may_return(struct gossip *g, const struct peer *peer)
{
    const struct doubt *doubt = votes_doubt(g, peer);
    return (doubt == NULL || doubt->voices == 0) && (prober_find(g, peer) == NULL || peer->is_met);
}

/* false: not yet. */
static bool come_into_force(struct gossip *g, struct news *news)
{
    struct peer *peer = &g->peers[news->peer];
    switch (news->due) {
    case DUE_DEATH:
        hearsay_die(g, peer, news);
        return true;
    case DUE_OWNERSHIP:
        if (!news->is_verdict && !cut_is_young(g) && !may_return(g, peer)) {
            news->due_us = g->now.mono_us + RETURN_US;
            return false;
        }
        cut_drop_due(g, news);
        rumours_release(g, news);
        publish_soon(g, peer, 0);
        return true;
    case DUE_NOTHING:
        break;
    }
    BUG("nothing is due");
}

static void all_come_into_force(struct gossip *g)
{
    struct list later;
    list_init(&later);
    while (!list_is_empty(&g->due)) {
        struct news *news = CONTAINER_OF(list_first(&g->due), struct news, due_link);
        if (news->due_us > g->now.mono_us || !come_into_force(g, news)) {
            list_remove(&news->due_link);
            list_push_back(&later, &news->due_link);
        }
    }
    g->due_us = USEC_NEVER;
    while (!list_is_empty(&later)) {
        struct news *news = CONTAINER_OF(list_first(&later), struct news, due_link);
        list_remove(&news->due_link);
        list_push_back(&g->due, &news->due_link);
        expect(g, news->due_us);
    }
}

/* ---- what is to be decided --------------------------------------------------------------------- */

static bool has_company(const struct gossip *g)
{
    return g->living > 1 && g->now.mono_us - g->company_us <= EVIDENCE_PING_US;
}

/* Only who reaches a member vouches for it: its observers, not itself, so that their cut takes
 * several at once. `anybody`: also those who are none. */
static bool is_reached(struct gossip *g, const struct peer *peer, bool anybody)
{
    if (peer == roster_self(g)) {
        return anybody && has_company(g);
    }
    return prober_find(g, peer) == NULL ? anybody : peer->is_met;
}

/* Where nobody owns, all who are warming may begin to: together, because the first one alone would
 * take everything from the others; so also not before all know all. */
static bool may_all_own(struct gossip *g, const struct outlook *o)
{
    const uint32_t witnesses = g->living - 1 < WITNESSES ? g->living - 1 : WITNESSES;
    const usec_t quiet_us = g->living == 1 ? JOIN_PATIENCE_US : HOLD_US; /* who is not yet told? */
    const bool agrees =
        g->now.mono_us - g->differed_us >= quiet_us && repair_agreements(g) >= witnesses;
    return o->young && o->has_warming && (o->all_ready || o->is_overdue) &&
           (agrees || o->is_overdue) && (g->living == 1 || has_company(g)) && !heal_expects_more(g);
}

static enum action action_for(struct gossip *g, const struct peer *peer, const struct outlook *o)
{
    const struct doubt *doubt = votes_doubt(g, peer);
    const struct news *news = rumours_find(g, peer);
    if (!roster_is_living(peer) || (news != NULL && news->due == DUE_DEATH)) {
        return ACTION_NONE;
    }
    if (doubt != NULL && (doubt->condemned || (doubt->unfit && peer->state == MEMBER_OWNING))) {
        return ACTION_REMOVE;
    }
    if ((doubt != NULL && (doubt->voices > 0 || doubt->is_lossy)) ||
        peer->state != MEMBER_WARMING || !peer->ready) {
        return ACTION_NONE;
    }
    return !o->young && is_reached(g, peer, o->is_overdue) ? ACTION_OWN : ACTION_NONE;
}

static struct outlook look(struct gossip *g)
{
    struct outlook o = { .doubts = votes_review(g), .young = cut_is_young(g) };
    uint32_t unready = g->unready;
    o.is_forced = g->pending != 0 && g->now.mono_us - g->pending_since_us >= FORCE_US;
    for (uint32_t i = 0; i < DOUBTS_MAX && g->doubt_count > 0; i++) {
        const struct doubt *doubt = &g->doubts[i];
        if (doubt->peer != NO_PEER) {
            const struct peer *peer = &g->peers[doubt->peer];
            o.has_voices = o.has_voices || doubt->voices > 0 || doubt->lossy_us != USEC_NEVER;
            unready -= doubt->condemned && peer->state == MEMBER_WARMING && !peer->ready ? 1 : 0;
        }
    }
    o.all_ready = unready == 0;
    o.has_warming = g->warming > g->unready;
    if (!o.has_warming) {
        g->warming_since_us = USEC_NEVER;
    } else {
        g->warming_since_us = usec_min(g->warming_since_us, g->now.mono_us);
        o.is_overdue = g->now.mono_us - g->warming_since_us >= FORCE_US;
    }
    return o;
}

/* Those that are warming no more are forgotten by the way. */
static void sort_out_waiting(struct gossip *g)
{
    uint32_t kept = 0;
    CHECK(g->waiting_count >= g->warming);
    if (g->waiting_count == g->warming) {
        return;
    }
    for (uint32_t i = 0; i < g->waiting_count; i++) {
        struct peer *peer = &g->peers[g->waiting[i]];
        if (roster_is_living(peer) && peer->state == MEMBER_WARMING) {
            g->waiting[kept++] = g->waiting[i];
        } else {
            peer->waiting = false;
        }
    }
    g->waiting_count = kept;
}

static void own(struct gossip *g, struct peer *peer)
{
    roster_decide(g, peer, MEMBER_OWNING);
    struct news *news = rumours_about(g, peer);
    news->is_verdict = true;
    cut_add_due(g, news, DUE_OWNERSHIP, NOTICE_US);
}

/* Where nobody owns, those who are warming do: that they all become owners moves nothing, and one
 * word is enough for all of them. */
static void all_own(struct gossip *g, uint64_t digest)
{
    uint32_t targets[OBSERVERS_MAX];
    const uint32_t count = rumours_targets(g, targets);
    for (uint32_t i = 0; i < g->waiting_count; i++) {
        struct peer *peer = &g->peers[g->waiting[i]];
        if (roster_is_living(peer) && peer->state == MEMBER_WARMING && peer->ready) {
            roster_before(g, peer);
            peer->state = MEMBER_OWNING;
            roster_after(g, peer);
            publish_soon(g, peer, 0);
        }
    }
    for (uint32_t i = 0; i < count && parcel_has_room(g); i++) {
        struct parcel parcel;
        parcel_begin(g, &parcel, roster_address(g, &g->peers[targets[i]]),
                     (struct datagram_head){ .kind = DATAGRAM_SPREAD });
        datagram_add_young(&parcel.body, digest);
        parcel_end(g, &parcel);
    }
    g->differed_us = g->now.mono_us;
    repair_agree(g); /* whoever is at that digest does the same */
}

void cut_hear_young(struct gossip *g, uint64_t digest)
{
    if (cut_is_young(g) && digest == roster_digest(g) && roster_is_living(roster_self(g))) {
        MARK(g, "gossip.cut.young_heard");
        all_own(g, digest);
    }
}

/* Who only has bad links is in no hurry, and goes with the others. */
static void remove_it(struct gossip *g, const struct doubt *doubt)
{
    struct peer *peer = &g->peers[doubt->peer];
    if (doubt->condemned) {
        hearsay_condemn(g, peer, votes_is_lossy(g, doubt), NOTICE_US);
        return;
    }
    const usec_t others_us = g->due_us == USEC_NEVER ? LOSSY_NOTICE_US : g->due_us - g->now.mono_us;
    hearsay_condemn(g, peer, true, usec_max(NOTICE_US, usec_min(others_us, LOSSY_NOTICE_US)));
}

static void decide(struct gossip *g, const struct outlook *o)
{
    for (uint32_t i = 0; i < DOUBTS_MAX && g->doubt_count > 0; i++) {
        const struct doubt *doubt = &g->doubts[i];
        if (doubt->peer != NO_PEER && action_for(g, &g->peers[doubt->peer], o) == ACTION_REMOVE) {
            remove_it(g, doubt);
        }
    }
    for (uint32_t i = 0; i < g->waiting_count; i++) {
        struct peer *peer = &g->peers[g->waiting[i]];
        if (action_for(g, peer, o) == ACTION_OWN) {
            own(g, peer);
        }
    }
    if (may_all_own(g, o)) {
        all_own(g, roster_digest(g));
    }
    g->stats.cuts++;
    g->pending = 0;
}

static uint64_t digest_of_action(struct gossip *g, uint32_t index, const struct outlook *o)
{
    const enum action action = action_for(g, &g->peers[index], o);
    const uint64_t id_hash = records_id_hash(g->records, g->peers[index].record);
    return action == ACTION_NONE ? 0 : hash64_mix(id_hash, (uint64_t)action) | 1;
}

/* Names what would be decided now; 0: nothing. */
static uint64_t digest_of_actions(struct gossip *g, const struct outlook *o)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < DOUBTS_MAX && g->doubt_count > 0; i++) {
        const uint32_t peer = g->doubts[i].peer;
        if (peer != NO_PEER && (g->doubts[i].condemned || g->doubts[i].unfit)) {
            digest += digest_of_action(g, peer, o);
        }
    }
    for (uint32_t i = 0; i < g->waiting_count && !o->young; i++) {
        const struct doubt *doubt = votes_doubt(g, &g->peers[g->waiting[i]]);
        if (doubt == NULL || !(doubt->condemned || doubt->unfit)) {
            digest += digest_of_action(g, g->waiting[i], o);
        }
    }
    return may_all_own(g, o) ? digest + roster_digest(g) : digest;
}

static void note_pending(struct gossip *g, uint64_t pending)
{
    if (pending == g->pending) {
        return;
    }
    if (g->pending == 0) {
        g->pending_since_us = g->now.mono_us;
    }
    g->pending = pending;
    g->pending_changed_us = g->now.mono_us;
}

static void review(struct gossip *g)
{
    g->review_at_us = USEC_NEVER;
    g->reviewed_us = g->now.mono_us;
    struct outlook o = look(g);
    sort_out_waiting(g);
    note_pending(g, digest_of_actions(g, &o));
    if (g->health >= HEALTH_MUTE) {
        hold_anew(g); /* what we saw before we stood still is old: look again for as long */
    }
    const usec_t hold_us = g->living == 1 ? 0 : HOLD_US; /* nobody could object */
    bool has_settled = !o.doubts && g->now.mono_us - g->pending_changed_us >= hold_us;
    if (g->pending != 0 && g->health < HEALTH_MUTE && (has_settled || o.is_forced)) {
        if (o.is_forced) {
            MARK(g, "gossip.cut.forced");
        }
        decide(g, &o);
    }
    if (g->pending != 0 || o.has_warming || o.has_voices) {
        g->review_at_us = g->now.mono_us + REVIEW_US;
    }
}

void cut_tick(struct gossip *g)
{
    if (g->now.mono_us >= g->review_at_us) {
        review(g);
    }
    if (g->now.mono_us >= g->due_us) {
        all_come_into_force(g);
    }
}
