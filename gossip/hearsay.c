/* gossip/hearsay.c: what members say of each other. Records merge as in a view (ring/view.h), with
 * one exception: who is said to be dead has its time to say that it lives, and is told so by its
 * observers. What was new to us and is told as news is passed on; what repair brought is not. */
#include "gossip/internal.h"

/* ---- deaths ------------------------------------------------------------------------------------ */

/* A verdict goes to all, so its observers are enough to tell it. What repair has brought may be known
 * to nobody else here. */
static bool is_ours_to_tell(struct gossip *g, const struct peer *peer, const struct news *news)
{
    if (news->is_unfit) {
        return false; /* an answer would change nothing: it is told when it is out */
    }
    return !news->is_verdict || prober_find(g, peer) != NULL || roster_age_us(g, peer) <= FRESH_US;
}

static void put_to_it(struct gossip *g, struct peer *peer, struct news *news)
{
    if (is_ours_to_tell(g, peer, news)) {
        MARK(g, "gossip.dead.put_to_it");
        news->put_to_it = true;
        g->accuse_at_us = usec_min(g->accuse_at_us, g->now.mono_us);
    }
}

/* Nothing that it has answered before counts. */
static void accuse(struct news *news, uint64_t incarnation, bool is_verdict)
{
    news->incarnation = incarnation;
    news->is_verdict = is_verdict;
    news->is_unfit = false;
    news->is_answered = false;
    news->is_acked = false;
}

static void hear_death(struct gossip *g, struct peer *peer, uint64_t incarnation,
                       struct telling how)
{
    struct news *news = rumours_about(g, peer);
    const bool is_known = news->due == DUE_DEATH && news->incarnation >= incarnation;
    const bool is_verdict = how.is_news && !(is_known && news->is_verdict);
    usec_t wait_us = how.is_news ? how.wait_us : ACCUSED_US;
    if (is_known && !is_verdict) {
        return;
    }
    if (!is_known) {
        accuse(news, incarnation, false);
    }
    news->is_unfit = news->is_unfit || how.is_unfit;
    if (roster_age_us(g, peer) <= FRESH_US && !news->is_unfit) {
        MARK(g, "gossip.dead.contradicted");
        wait_us =
            usec_max(wait_us, ACCUSED_US); /* an answer of its own is better than their word */
    }
    cut_add_due(g, news, DUE_DEATH, wait_us);
    if (is_verdict) {
        news->is_verdict = true;
        rumours_state(g, peer);
    }
    put_to_it(g, peer, news);
}

void hearsay_condemn(struct gossip *g, struct peer *peer, bool is_unfit, usec_t wait_us)
{
    struct news *news = rumours_about(g, peer);
    accuse(news, peer->incarnation, true);
    news->is_unfit = is_unfit;
    cut_add_due(g, news, DUE_DEATH, wait_us);
    rumours_state(g, peer);
    put_to_it(g, peer, news);
}

void hearsay_die(struct gossip *g, struct peer *peer, struct news *news)
{
    CHECK(news->due == DUE_DEATH && roster_is_living(peer));
    const uint64_t incarnation = news->incarnation;
    /* Its observers outvote what we alone may see; but who hears of it and lives will say so. */
    const bool is_answered = news->is_verdict ? news->is_acked : news->is_answered;
    const bool is_unfit = news->is_unfit;
    cut_drop_due(g, news);
    if (is_answered && !is_unfit) {
        MARK(g, "gossip.dead.it_answers");
        rumours_release(g, news);
        publish_soon(g, peer, 0); /* what its death has held up */
        return;                   /* it will say so itself, and the others will hear */
    }
    MARK(g, "gossip.dead.believed");
    roster_before(g, peer);
    peer->incarnation = incarnation;
    peer->state = MEMBER_DEAD;
    peer->is_unfit = is_unfit;
    roster_after(g, peer);
    publish_soon(g, peer, 0);
}

void hearsay_tick(struct gossip *g)
{
    if (g->accusing == 0 || g->now.mono_us < g->accuse_at_us) {
        return;
    }
    for (struct list *at = g->due.next; at != &g->due; at = at->next) {
        struct news *news = CONTAINER_OF(at, struct news, due_link);
        if (news->due != DUE_DEATH || !news->put_to_it || news->is_acked) {
            continue;
        }
        if (!parcel_has_room(g)) {
            return; /* the others at the next step */
        }
        pings_member(g, &g->peers[news->peer], PING_CONTACT, 0);
        news->put_to_it = false;
    }
    g->accuse_at_us = g->now.mono_us + PROBE_AGAIN_US;
    for (struct list *at = g->due.next; at != &g->due; at = at->next) {
        struct news *news = CONTAINER_OF(at, struct news, due_link);
        news->put_to_it = is_ours_to_tell(g, &g->peers[news->peer], news);
    }
}

/* ---- all else ---------------------------------------------------------------------------------- */

/* The process is another one, or has refuted: what was between us counts no more. */
static void begin_incarnation(struct gossip *g, struct peer *peer, bool is_same_process)
{
    struct news *news = rumours_find(g, peer);
    if (news != NULL) {
        cut_drop_due(g, news);
        rumours_release(g, news);
    }
    peer->is_met = false;
    peer->is_unfit = false;
    peer->asks = 0;
    if (is_same_process) {
        votes_refuted(g, peer);
    } else {
        votes_clear(g, peer);
    }
    if (roster_is_living(peer)) {
        prober_restart(g, peer);
    }
}

static void pass_on(struct gossip *g, struct peer *peer, bool facts, struct telling how)
{
    if (!how.is_news) {
        return;
    }
    if (facts) {
        rumours_record(g, peer);
    } else {
        rumours_state(g, peer);
    }
}

static void hear_new(struct gossip *g, const struct member *member, struct telling how)
{
    if (!member_is_living(member)) {
        return; /* nobody to bury */
    }
    struct peer *peer = roster_add(g, member, how.ready);
    if (peer != NULL) {
        pass_on(g, peer, true, how);
        publish_heard(g, peer, false, how);
    }
}

static void hear_incarnation(struct gossip *g, struct peer *peer, const struct member *member,
                             struct telling how)
{
    /* Back from the dead: that is news here, also when we had to ask for it. */
    how.is_news = how.is_news || (!roster_is_living(peer) && member_is_living(member));
    const bool is_same_process = member->incarnation >> 16 == peer->incarnation >> 16;
    roster_before(g, peer);
    roster_facts(g, peer, member);
    peer->incarnation = member->incarnation;
    peer->state = (uint8_t)member->state;
    peer->ready = how.ready;
    roster_after(g, peer);
    begin_incarnation(g, peer, is_same_process);
    pass_on(g, peer, true, how);
    publish_heard(g, peer, false, how);
}

/* Equal versions with different facts are a bug of their writer; the larger bytes win, so that all
 * members agree nevertheless. */
static bool has_better_facts(struct gossip *g, const struct peer *peer, const struct member *member)
{
    if (member->version != peer->version) {
        return member->version > peer->version;
    }
    if (records_are(g->records, peer->record, member)) {
        return false;
    }
    struct member ours = roster_member(g, peer);
    struct member theirs = *member;
    theirs.state = ours.state;
    return member_merge(&ours, &theirs);
}

/* It is dead to all, and somebody has found out that it lives, and does not hear it. */
static void hear_that_it_is_unfit(struct gossip *g, struct peer *peer, struct telling how)
{
    if (how.is_unfit && !peer->is_unfit && peer->state == MEMBER_DEAD) {
        peer->is_unfit = true;
        pass_on(g, peer, false, how);
    }
}

static void merge(struct gossip *g, struct peer *peer, const struct member *facts,
                  const struct datagram_state *state)
{
    const bool is_later = state->state > peer->state;
    const bool gets_ready = state->how.ready && !peer->ready;
    hear_that_it_is_unfit(g, peer, state->how);
    if (facts == NULL && !is_later && !gets_ready) {
        return;
    }
    const bool is_promoted = is_later && state->state == MEMBER_OWNING;
    roster_before(g, peer);
    if (facts != NULL) {
        roster_facts(g, peer, facts);
    }
    peer->state = is_later ? (uint8_t)state->state : peer->state;
    peer->ready = peer->ready || gets_ready;
    roster_after(g, peer);
    pass_on(g, peer, facts != NULL, state->how);
    publish_heard(g, peer, is_promoted, state->how);
}

void hearsay_member(struct gossip *g, const struct member *member, struct telling how)
{
    struct peer *peer = roster_find(g, member->id);
    const struct datagram_state state = {
        .id = member->id, .incarnation = member->incarnation, .state = member->state, .how = how
    };
    CHECK(!node_id_equal(member->id, g->id));
    if (peer == NULL) {
        hear_new(g, member, how);
        return;
    }
    if (member->incarnation < peer->incarnation) {
        return;
    }
    if (member->state == MEMBER_DEAD && roster_is_living(peer)) {
        hear_death(g, peer, member->incarnation, how);
        return;
    }
    if (member->incarnation > peer->incarnation) {
        hear_incarnation(g, peer, member, how);
        return;
    }
    merge(g, peer, has_better_facts(g, peer, member) ? member : NULL, &state);
}

void hearsay_state(struct gossip *g, const struct datagram_state *state)
{
    struct peer *peer = roster_find(g, state->id);
    if (peer == NULL || state->incarnation < peer->incarnation) {
        return;
    }
    if (state->state == MEMBER_DEAD && roster_is_living(peer)) {
        hear_death(g, peer, state->incarnation, state->how);
        return;
    }
    if (state->incarnation == peer->incarnation) {
        merge(g, peer, NULL, state);
        return;
    }
    if (state->state < MEMBER_DEAD) {
        return; /* facts that we do not have: repair brings them */
    }
    struct member member = roster_member(g, peer);
    member.incarnation = state->incarnation;
    member.state = state->state;
    hear_incarnation(g, peer, &member, state->how);
}
