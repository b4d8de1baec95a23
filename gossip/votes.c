/* gossip/votes.c: what the observers of a member say, and when it is enough.
 *
 * Enough (docs/gossip.md, "Quorum"): three fifths of its observers, at least two; or, when that has
 * lasted, three fifths of those observers that are sound themselves, be it one: who has voted asks
 * the others. Votes of members that are themselves about to go do not count: a node that hears
 * nobody accuses everybody. */
#include "gossip/internal.h"

static struct vote *find_vote(struct peer *peer, struct node_id observer)
{
    for (uint32_t i = 0; i < peer->vote_count; i++) {
        if (node_id_equal(peer->votes[i].observer, observer)) {
            return &peer->votes[i];
        }
    }
    return NULL;
}

static bool is_stale(const struct gossip *g, const struct vote *vote)
{
    return g->now.mono_us - vote->heard_us > VOTE_LIFE_US;
}

static bool stands(const struct gossip *g, const struct vote *vote)
{
    return vote->down && !is_stale(g, vote);
}

/* A place for a new voter: a free one, or that of a vote which says nothing any more. */
static struct vote *place_for(struct gossip *g, struct peer *peer)
{
    if (peer->vote_count < VOTERS_MAX) {
        return &peer->votes[peer->vote_count++];
    }
    for (uint32_t i = 0; i < peer->vote_count; i++) {
        if (!stands(g, &peer->votes[i])) {
            return &peer->votes[i];
        }
    }
    MARK(g, "gossip.votes.full"); /* twice as many as can be needed */
    return NULL;
}

static void put_vote(struct gossip *g, struct peer *peer, const struct datagram_vote *vote)
{
    struct vote *old = find_vote(peer, vote->observer);
    if (old != NULL && old->number >= vote->number) {
        return;
    }
    struct vote *place = old != NULL ? old : place_for(g, peer);
    if (place == NULL) {
        return;
    }
    *place = (struct vote){ .observer = vote->observer,
                            .number = vote->number,
                            .heard_us = g->now.mono_us,
                            .down = vote->down,
                            .tellings = rumours_tellings(g) };
    rumours_votes(g, peer);
    cut_look_soon(g);
}

void votes_hear(struct gossip *g, const struct datagram_votes *votes)
{
    struct peer *peer = roster_find(g, votes->subject);
    if (peer == NULL || !roster_is_living(peer) || votes->incarnation != peer->known.incarnation) {
        return; /* of the process before, or of one that we have not heard of yet */
    }
    for (uint32_t i = 0; i < votes->count; i++) {
        if (!node_id_equal(votes->vote[i].observer, g->id)) {
            put_vote(g, peer, &votes->vote[i]);
        }
    }
}

void votes_cast(struct gossip *g, struct peer *peer, bool down)
{
    struct datagram_vote vote = { .observer = g->id, .down = down };
    uint64_t wall = g->now.wall_us > 0 ? (uint64_t)g->now.wall_us : 0;
    /* Above those of the process before us, which may still be on their way. */
    g->vote_number = g->vote_number + 1 > wall ? g->vote_number + 1 : wall;
    vote.number = g->vote_number;
    put_vote(g, peer, &vote);
}

bool votes_ours_stands(const struct gossip *g, const struct peer *peer)
{
    for (uint32_t i = 0; i < peer->vote_count; i++) {
        if (node_id_equal(peer->votes[i].observer, g->id)) {
            return stands(g, &peer->votes[i]);
        }
    }
    return false;
}

static uint32_t count_votes(struct gossip *g, const struct peer *peer, bool only_of_the_sound)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < peer->vote_count; i++) {
        if (!stands(g, &peer->votes[i])) {
            continue;
        }
        const struct peer *observer = roster_find(g, peer->votes[i].observer);
        if (observer != NULL && roster_is_living(observer)) {
            count += only_of_the_sound && observer->shut_out ? 0 : 1;
        }
    }
    return count;
}

uint32_t votes_count(struct gossip *g, const struct peer *peer)
{
    return count_votes(g, peer, false);
}

void votes_clear(struct gossip *g, struct peer *peer)
{
    if (peer->vote_count > 0) {
        cut_look_soon(g); /* who was doubted may be well now */
    }
    peer->vote_count = 0;
    peer->shut_out = false;
    peer->condemned = false;
}

/* ---- when it is enough ---- */

static uint32_t quorum_of(uint32_t observers)
{
    return (3 * observers + 4) / 5;
}

static bool is_enough(uint32_t voices, uint32_t observers)
{
    return voices >= 2 && voices >= quorum_of(observers);
}

static bool is_sound(struct gossip *g, uint32_t observer, bool must_answer)
{
    const struct peer *peer = &g->peers[observer];
    bool answers = g->now.mono_us - peer->good_us <= SOUND_US;
    bool is_doubted = peer->shut_out || peer->voices >= 2 || votes_ours_stands(g, peer);
    return observer == g->self || (!is_doubted && (answers || !must_answer));
}

/* Who of the other observers is there at all? Those that our own probes do not reach anyway. */
static void ask_observers(struct gossip *g, const uint32_t *observers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct peer *peer = &g->peers[observers[i]];
        if (observers[i] != g->self && g->now.mono_us - peer->good_us > ASK_US &&
            g->now.mono_us - peer->asked_us >= PROBE_AGAIN_US && parcel_has_room(g)) {
            MARK(g, "gossip.votes.observer_asked");
            peer->asked_us = g->now.mono_us;
            pings_member(g, peer, PING_CONTACT, 0);
        }
    }
}

static bool is_condemned(struct gossip *g, const struct peer *peer)
{
    uint32_t observers[OBSERVERS_MAX];
    uint32_t sound = 0;
    uint32_t count = circles_observers(g, roster_index(g, peer), observers);
    if (is_enough(peer->voices, count)) {
        return true;
    }
    if (peer->voices == 0 || g->now.mono_us - peer->suspected_us < SLOW_US - ASK_US) {
        return false;
    }
    bool is_ours = votes_ours_stands(g, peer);
    if (is_ours) {
        ask_observers(g, observers, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        sound += is_sound(g, observers[i], is_ours) ? 1 : 0;
    }
    bool enough = peer->voices >= quorum_of(sound > 0 ? sound : 1) &&
                  g->now.mono_us - peer->suspected_us >= SLOW_US;
    if (enough) {
        MARK(g, "gossip.votes.slow_quorum");
    }
    return enough;
}

static void tell_suspicion(struct gossip *g, struct peer *peer)
{
    if (peer->voices > 0 && peer->suspected_us == USEC_NEVER) {
        peer->suspected_us = g->now.mono_us;
        peer->suspect_told = true;
        notices_add(g, GOSSIP_MEMBER_SUSPECT, &peer->known);
    }
    if (peer->voices == 0 && peer->suspected_us != USEC_NEVER) {
        peer->suspected_us = USEC_NEVER;
    }
    if (peer->voices == 0 && peer->suspect_told) {
        peer->suspect_told = false;
        if (roster_is_living(peer)) {
            notices_add(g, GOSSIP_MEMBER_REFUTED, &peer->known);
        }
    }
}

static bool is_judged(const struct gossip *g, const struct peer *peer)
{
    return peer != &g->peers[g->self] && roster_is_living(peer);
}

static void count_all(struct gossip *g)
{
    uint32_t observers[OBSERVERS_MAX];
    for (uint32_t i = 0; i < g->peers_high; i++) {
        struct peer *peer = &g->peers[i];
        uint32_t raw = is_judged(g, peer) ? count_votes(g, peer, false) : 0;
        peer->shut_out = raw > 0 && is_enough(raw, circles_observers(g, i, observers));
    }
    for (uint32_t i = 0; i < g->peers_high; i++) {
        struct peer *peer = &g->peers[i];
        peer->voices = is_judged(g, peer) ? count_votes(g, peer, true) : 0;
        if (peer->used) {
            tell_suspicion(g, peer);
        }
    }
}

bool votes_review(struct gossip *g)
{
    bool doubts = false;
    count_all(g);
    for (uint32_t i = 0; i < g->peers_high; i++) {
        struct peer *peer = &g->peers[i];
        peer->condemned = is_judged(g, peer) && is_condemned(g, peer);
        /* With many observers one voice is noise (L = 2 of 8). */
        uint32_t noise = g->living > OBSERVERS_MAX - 1 ? 1 : 0;
        doubts = doubts || (!peer->condemned && peer->voices > noise);
    }
    return doubts;
}
