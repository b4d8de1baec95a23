/* gossip/cut.c: changes the ring, as seldom as possible. What would change is collected until it
 * has stayed the same for a while and nobody is in doubt; then all of it is applied as one. Whose
 * cut comes first spreads it, and the others take it over (roster.c). */
#include "gossip/internal.h"

#include "base/hash.h"

enum action {
    ACTION_NONE,
    ACTION_REMOVE,  /* the observers condemn it */
    ACTION_OWN,     /* it is warm */
    ACTION_RELEASE, /* it owns elsewhere, or did before: let it in */
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
    g->review_at_us = usec_min(g->review_at_us, g->now.mono_us);
}

static void hold_anew(struct gossip *g)
{
    g->pending_changed_us = g->now.mono_us;
    g->pending_since_us = g->now.mono_us;
}

void cut_stalled(struct gossip *g)
{
    hold_anew(g);
    cut_look_soon(g);
}

bool cut_is_young(struct gossip *g)
{
    return !view_has_owner(g->view);
}

/* Nobody else is there, and there is nobody we could still expect. */
static bool is_alone_for_good(const struct gossip *g)
{
    bool patient = g->now.mono_us - g->started_us < JOIN_PATIENCE_US;
    return g->living == 1 && ((g->seeds_known && g->seed_count == 0) || !patient);
}

static bool has_company(struct gossip *g)
{
    for (uint32_t i = 0; i < g->peers_high; i++) {
        const struct peer *peer = &g->peers[i];
        if (i != g->self && roster_is_living(peer) &&
            g->now.mono_us - peer->good_us <= EVIDENCE_PING_US) {
            return true;
        }
    }
    return false;
}

/* Only who reaches a member vouches for it: its observers, not itself, so that their cut takes
 * several at once. `anybody`: also those who are none. */
static bool is_reached(struct gossip *g, const struct peer *peer, bool anybody)
{
    if (peer == roster_self(g)) {
        return (anybody && has_company(g)) || is_alone_for_good(g);
    }
    if (prober_find(g, peer) == NULL) {
        return anybody;
    }
    return peer->good_incarnation == peer->known.incarnation;
}

static enum action action_for(struct gossip *g, const struct peer *peer, const struct outlook *o)
{
    if (!roster_is_living(peer)) {
        return ACTION_NONE;
    }
    if (peer->condemned) {
        return ACTION_REMOVE;
    }
    if (peer->voices > 0) {
        return ACTION_NONE;
    }
    if (peer->held && peer->known.state == MEMBER_OWNING) {
        return is_reached(g, peer, true) ? ACTION_RELEASE : ACTION_NONE;
    }
    if (peer->known.state != MEMBER_WARMING || !peer->ready) {
        return ACTION_NONE;
    }
    /* Where nobody owns, the warming ones do: the first must not take it from the others. */
    if (o->young && !o->all_ready && !o->is_overdue) {
        return ACTION_NONE;
    }
    return is_reached(g, peer, o->young || o->is_overdue) ? ACTION_OWN : ACTION_NONE;
}

static struct outlook look(struct gossip *g)
{
    struct outlook o = { .doubts = votes_review(g), .young = cut_is_young(g), .all_ready = true };
    o.is_forced = g->pending != 0 && g->now.mono_us - g->pending_since_us >= FORCE_US;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        const struct peer *peer = &g->peers[i];
        if (!roster_is_living(peer)) {
            continue;
        }
        bool is_warming = peer->known.state == MEMBER_WARMING;
        o.all_ready = o.all_ready && (!is_warming || peer->ready || peer->condemned);
        o.has_warming = o.has_warming || (is_warming && peer->ready) || peer->held;
        o.has_voices = o.has_voices || peer->voices > 0;
    }
    if (!o.has_warming) {
        g->warming_since_us = USEC_NEVER;
    } else {
        g->warming_since_us = usec_min(g->warming_since_us, g->now.mono_us);
        o.is_overdue = g->now.mono_us - g->warming_since_us >= FORCE_US;
    }
    return o;
}

static void apply(struct gossip *g, const struct outlook *o)
{
    for (uint32_t i = 0; i < g->peers_high; i++) {
        struct peer *peer = &g->peers[i];
        switch (action_for(g, peer, o)) {
        case ACTION_NONE:
            break;
        case ACTION_REMOVE:
            roster_decide(g, peer, MEMBER_DEAD);
            break;
        case ACTION_OWN:
            roster_decide(g, peer, MEMBER_OWNING);
            break;
        case ACTION_RELEASE:
            peer->held = false;
            publish_soon(g, peer, 0);
            break;
        }
    }
    g->stats.cuts++;
    g->pending = 0;
}

/* Names what a cut would do now; 0: nothing. */
static uint64_t digest_of_actions(struct gossip *g, const struct outlook *o)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        enum action action = action_for(g, &g->peers[i], o);
        if (action != ACTION_NONE) {
            digest += hash64(g->peers[i].known.id.b, ID_SIZE, (uint64_t)action) | 1;
        }
    }
    return digest;
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

void cut_tick(struct gossip *g)
{
    if (g->now.mono_us < g->review_at_us) {
        return;
    }
    g->review_at_us = USEC_NEVER;
    struct outlook o = look(g);
    note_pending(g, digest_of_actions(g, &o));
    if (g->health >= HEALTH_MUTE) {
        hold_anew(g); /* what we saw before we stood still is old: look again for as long */
    }
    bool has_settled = !o.doubts && g->now.mono_us - g->pending_changed_us >= HOLD_US;
    if (g->pending != 0 && g->health < HEALTH_MUTE && (has_settled || o.is_forced)) {
        if (o.is_forced) {
            MARK(g, "gossip.cut.forced");
        }
        apply(g, &o);
    }
    if (g->pending != 0 || o.has_warming || o.has_voices) {
        g->review_at_us = g->now.mono_us + REVIEW_US;
    }
}
