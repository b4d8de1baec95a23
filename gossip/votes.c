/* gossip/votes.c: what the observers of a member tell each other, and when it is enough.
 *
 * Enough (docs/gossip.md, "Quorum"): three fifths of its observers, at least two; or, when that has
 * lasted, three fifths of those observers that are sound themselves, be it one. A vote counts when
 * we know that its voter hears us: a node that hears nobody accuses everybody.
 *
 * A member may also be lossy: most of what it is asked is lost, though some is answered. That is a
 * vote of its own, which no answer takes back, and counts only by three fifths of the observers. */
#include "gossip/internal.h"

void votes_init(struct gossip *g)
{
    for (uint32_t i = 0; i < DOUBTS_MAX; i++) {
        g->doubts[i].peer = NO_PEER;
    }
}

struct doubt *votes_doubt(struct gossip *g, const struct peer *peer)
{
    return peer->doubt == 0 ? NULL : &g->doubts[peer->doubt - 1];
}

static bool is_stale(const struct gossip *g, const struct vote *vote)
{
    return g->now.mono_us - vote->heard_us > VOTE_LIFE_US;
}

static bool stands(const struct gossip *g, const struct vote *vote)
{
    return vote->down && !is_stale(g, vote);
}

/* One who misses it finds it lossy, too. */
static bool complains(const struct gossip *g, const struct vote *vote)
{
    return (vote->down || vote->is_lossy) && !is_stale(g, vote);
}

static bool has_standing(const struct gossip *g, const struct doubt *doubt)
{
    for (uint32_t i = 0; i < doubt->vote_count; i++) {
        if (complains(g, &doubt->votes[i])) {
            return true;
        }
    }
    return false;
}

/* Votes that were taken back are remembered for a while, because older ones may still be on their
 * way. */
static bool is_over(const struct gossip *g, const struct doubt *doubt)
{
    for (uint32_t i = 0; i < doubt->vote_count; i++) {
        if (!is_stale(g, &doubt->votes[i])) {
            return false;
        }
    }
    return !doubt->is_told;
}

static void end_doubt(struct gossip *g, struct doubt *doubt)
{
    CHECK(g->doubt_count > 0);
    g->peers[doubt->peer].doubt = 0;
    doubt->peer = NO_PEER;
    g->doubt_count--;
}

static struct doubt *begin_doubt(struct gossip *g, struct peer *peer)
{
    struct doubt *doubt = NULL;
    for (uint32_t i = 0; i < DOUBTS_MAX && (doubt == NULL || doubt->peer != NO_PEER); i++) {
        struct doubt *other = &g->doubts[i];
        const bool is_idle = other->peer == NO_PEER || (!has_standing(g, other) && !other->is_told);
        doubt = is_idle && (doubt == NULL || other->peer == NO_PEER) ? other : doubt;
    }
    if (doubt == NULL) {
        MARK(g, "gossip.votes.doubts_full"); /* votes are told again */
        return NULL;
    }
    if (doubt->peer != NO_PEER) {
        end_doubt(g, doubt);
    }
    *doubt = (struct doubt){ .peer = roster_index(g, peer),
                             .suspected_us = USEC_NEVER,
                             .lossy_us = USEC_NEVER,
                             .asked_us = LONG_AGO };
    peer->doubt = (uint8_t)(doubt - g->doubts + 1);
    g->doubt_count++;
    return doubt;
}

/* ---- votes ------------------------------------------------------------------------------------- */

/* The place of this voter's vote: its own, a free one, or that of a vote which says nothing any
 * more. */
static struct vote *place_for(struct gossip *g, struct doubt *doubt, uint32_t observer)
{
    for (uint32_t i = 0; i < doubt->vote_count; i++) {
        if (doubt->votes[i].observer == observer) {
            return &doubt->votes[i];
        }
    }
    if (doubt->vote_count < VOTERS_MAX) {
        struct vote *vote = &doubt->votes[doubt->vote_count++];
        *vote = (struct vote){ .observer = observer };
        return vote;
    }
    for (uint32_t i = 0; i < doubt->vote_count; i++) {
        if (!complains(g, &doubt->votes[i])) {
            doubt->votes[i] = (struct vote){ .observer = observer };
            return &doubt->votes[i];
        }
    }
    MARK(g, "gossip.votes.full"); /* twice as many as can be needed */
    return NULL;
}

static void put_vote(struct gossip *g, struct peer *peer, uint32_t observer,
                     const struct datagram_vote *vote)
{
    struct doubt *doubt = votes_doubt(g, peer);
    if (doubt == NULL) {
        doubt = vote->down || vote->is_lossy ? begin_doubt(g, peer) : NULL;
    }
    struct vote *place = doubt != NULL ? place_for(g, doubt, observer) : NULL;
    if (place == NULL || place->number >= vote->number) {
        return;
    }
    place->number = vote->number;
    place->down = vote->down;
    place->is_lossy = vote->is_lossy;
    place->heard_us = g->now.mono_us;
    cut_look_soon(g);
}

void votes_hear(struct gossip *g, const struct datagram_votes *votes)
{
    struct peer *peer = roster_find(g, votes->subject);
    if (peer == NULL || !roster_is_living(peer) || votes->incarnation != peer->incarnation ||
        peer == roster_self(g)) {
        return; /* of the process before, or of one that we have not heard of yet */
    }
    for (uint32_t i = 0; i < votes->count; i++) {
        const struct peer *observer = roster_find(g, votes->vote[i].observer);
        if (observer != NULL && observer != roster_self(g) && observer != peer) {
            put_vote(g, peer, roster_index(g, observer), &votes->vote[i]);
        }
    }
}

void votes_add(struct gossip *g, struct datagram *d, const struct peer *peer)
{
    const struct doubt *doubt = votes_doubt(g, peer);
    struct datagram_votes votes = { .subject = roster_id(g, peer),
                                    .incarnation = peer->incarnation };
    for (uint32_t i = 0; doubt != NULL && i < doubt->vote_count; i++) {
        const struct vote *vote = &doubt->votes[i];
        if (!is_stale(g, vote)) {
            votes.vote[votes.count++] =
                (struct datagram_vote){ .observer = roster_id(g, &g->peers[vote->observer]),
                                        .number = vote->number,
                                        .down = vote->down,
                                        .is_lossy = vote->is_lossy };
        }
    }
    if (votes.count > 0) {
        datagram_add_votes(d, &votes);
    }
}

/* To all its observers, by a packet each: they are few. */
static void tell(struct gossip *g, const struct peer *peer, struct doubt *doubt)
{
    const struct jury *jury = circles_jury(g, doubt->peer, &doubt->jury);
    for (uint32_t i = 0; i < jury->count && parcel_has_room(g); i++) {
        const struct peer *juror = &g->peers[jury->peers[i]];
        struct parcel parcel;
        if (jury->peers[i] == g->self || roster_address(g, juror) == NULL) {
            continue;
        }
        parcel_begin(g, &parcel, roster_address(g, juror),
                     (struct datagram_head){ .kind = DATAGRAM_SPREAD });
        votes_add(g, &parcel.body, peer);
        parcel_fill(g, &parcel);
        parcel_end(g, &parcel);
    }
}

/* NULL: we have nothing against it. */
static const struct vote *ours(struct gossip *g, const struct peer *peer)
{
    const struct doubt *doubt = votes_doubt(g, peer);
    for (uint32_t i = 0; doubt != NULL && i < doubt->vote_count; i++) {
        if (doubt->votes[i].observer == g->self) {
            return complains(g, &doubt->votes[i]) ? &doubt->votes[i] : NULL;
        }
    }
    return NULL;
}

bool votes_ours_stands(struct gossip *g, const struct peer *peer)
{
    const struct vote *vote = ours(g, peer);
    return vote != NULL && vote->down;
}

bool votes_ours_is_lossy(struct gossip *g, const struct peer *peer)
{
    const struct vote *vote = ours(g, peer);
    return vote != NULL && vote->is_lossy;
}

void votes_cast(struct gossip *g, struct peer *peer, bool down, bool is_lossy)
{
    struct datagram_vote vote = { .down = down, .is_lossy = is_lossy };
    uint64_t wall = g->now.wall_us > 0 ? (uint64_t)g->now.wall_us : 0;
    /* A member that is lossy may answer for long before anybody is asked to relay, who would hear. */
    const bool is_to_be_told =
        is_lossy || votes_ours_is_lossy(g, peer) || votes_ours_stands(g, peer) != down;
    /* Above those of the process before us, which may still be on their way. */
    g->vote_number = g->vote_number + 1 > wall ? g->vote_number + 1 : wall;
    vote.number = g->vote_number;
    put_vote(g, peer, g->self, &vote);
    struct doubt *doubt = votes_doubt(g, peer);
    if (doubt != NULL && is_to_be_told) {
        tell(g, peer, doubt);
    }
}

void votes_clear(struct gossip *g, struct peer *peer)
{
    struct doubt *doubt = votes_doubt(g, peer);
    if (doubt == NULL) {
        return;
    }
    if (doubt->is_told && roster_is_living(peer)) {
        notices_add(g, GOSSIP_MEMBER_REFUTED, peer);
    }
    end_doubt(g, doubt);
    cut_look_soon(g); /* who was doubted may be well now */
}

void votes_refuted(struct gossip *g, struct peer *peer)
{
    struct doubt *doubt = votes_doubt(g, peer);
    bool is_lossy = false;
    for (uint32_t i = 0; doubt != NULL && i < doubt->vote_count; i++) {
        doubt->votes[i].down = false;
        is_lossy = is_lossy || complains(g, &doubt->votes[i]);
    }
    if (!is_lossy) {
        votes_clear(g, peer);
    }
}

void votes_forget(struct gossip *g, const struct peer *observer)
{
    const uint32_t index = roster_index(g, observer);
    for (uint32_t i = 0; i < DOUBTS_MAX && g->doubt_count > 0; i++) {
        struct doubt *doubt = &g->doubts[i];
        for (uint32_t j = 0; doubt->peer != NO_PEER && j < doubt->vote_count; j++) {
            if (doubt->votes[j].observer == index) {
                doubt->votes[j] = doubt->votes[--doubt->vote_count];
                break;
            }
        }
    }
}

/* ---- when it is enough ------------------------------------------------------------------------- */

static uint32_t quorum_of(uint32_t observers)
{
    return (3 * observers + 4) / 5;
}

static bool is_enough(uint32_t voices, uint32_t observers)
{
    return voices >= 2 && voices >= quorum_of(observers);
}

static bool is_doubted(struct gossip *g, const struct peer *peer)
{
    const struct doubt *doubt = votes_doubt(g, peer);
    return doubt != NULL && (doubt->shut_out || doubt->voices >= 2 || votes_ours_stands(g, peer));
}

static bool answers(const struct gossip *g, const struct peer *peer)
{
    return roster_age_us(g, peer) <= SOUND_US;
}

static uint32_t count_voices(struct gossip *g, const struct doubt *doubt)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < doubt->vote_count; i++) {
        const struct vote *vote = &doubt->votes[i];
        const struct peer *observer = &g->peers[vote->observer];
        const struct doubt *own = votes_doubt(g, observer);
        const bool is_out = own != NULL && own->shut_out;
        count += stands(g, vote) && roster_is_living(observer) && !is_out ? 1 : 0;
    }
    return count;
}

static bool is_sound(struct gossip *g, const struct vote *vote)
{
    const struct peer *observer = &g->peers[vote->observer];
    return roster_is_living(observer) &&
           (vote->observer == g->self || (answers(g, observer) && !is_doubted(g, observer)));
}

static uint32_t count_verified(struct gossip *g, const struct doubt *doubt)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < doubt->vote_count; i++) {
        count += stands(g, &doubt->votes[i]) && is_sound(g, &doubt->votes[i]) ? 1 : 0;
    }
    return count;
}

/* Who of the others is there at all? Those that we have not heard of just now are asked. */
static void ask(struct gossip *g, struct doubt *doubt)
{
    const struct jury *jury = circles_jury(g, doubt->peer, &doubt->jury);
    if (g->now.mono_us - doubt->asked_us < PROBE_AGAIN_US) {
        return;
    }
    doubt->asked_us = g->now.mono_us;
    for (uint32_t i = 0; i < jury->count; i++) {
        struct peer *peer = &g->peers[jury->peers[i]];
        if (jury->peers[i] != g->self && roster_age_us(g, peer) > ASK_US && parcel_has_room(g)) {
            MARK(g, "gossip.votes.observer_asked");
            pings_member(g, peer, PING_CONTACT, 0);
        }
    }
}

static uint32_t count_sound(struct gossip *g, const struct jury *jury, bool must_answer)
{
    uint32_t sound = 0;
    for (uint32_t i = 0; i < jury->count; i++) {
        const struct peer *peer = &g->peers[jury->peers[i]];
        const bool is_sound = !is_doubted(g, peer) && (answers(g, peer) || !must_answer);
        sound += jury->peers[i] == g->self || is_sound ? 1 : 0;
    }
    return sound > 0 ? sound : 1;
}

static bool is_condemned(struct gossip *g, struct doubt *doubt)
{
    const struct jury *jury = circles_jury(g, doubt->peer, &doubt->jury);
    const usec_t lasted_us = g->now.mono_us - doubt->suspected_us;
    if (is_enough(doubt->verified, jury->count)) {
        return true;
    }
    if (doubt->voices == 0) {
        return false;
    }
    if (is_enough(doubt->voices, jury->count)) {
        ask(g, doubt); /* can they hear us at all? */
    }
    if (lasted_us < SLOW_US - ASK_US) {
        return false;
    }
    const bool is_ours = votes_ours_stands(g, &g->peers[doubt->peer]);
    if (is_ours) {
        ask(g, doubt);
    }
    const bool enough = lasted_us >= SLOW_US && doubt->verified > 0 &&
                        doubt->verified >= quorum_of(count_sound(g, jury, is_ours));
    if (enough) {
        MARK(g, "gossip.votes.slow_quorum");
    }
    return enough;
}

static void tell_suspicion(struct gossip *g, struct doubt *doubt)
{
    const struct peer *peer = &g->peers[doubt->peer];
    if (doubt->voices > 0 && doubt->suspected_us == USEC_NEVER) {
        doubt->suspected_us = g->now.mono_us;
        doubt->is_told = true;
        notices_add(g, GOSSIP_MEMBER_SUSPECT, peer);
    }
    if (doubt->voices == 0) {
        doubt->suspected_us = USEC_NEVER;
        if (doubt->is_told) {
            notices_add(g, GOSSIP_MEMBER_REFUTED, peer);
        }
        doubt->is_told = false;
    }
}

static uint32_t count_raw(struct gossip *g, const struct doubt *doubt)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < doubt->vote_count; i++) {
        const struct peer *observer = &g->peers[doubt->votes[i].observer];
        count += stands(g, &doubt->votes[i]) && roster_is_living(observer) ? 1 : 0;
    }
    return count;
}

static void count_all(struct gossip *g)
{
    for (uint32_t i = 0; i < DOUBTS_MAX; i++) {
        struct doubt *doubt = &g->doubts[i];
        if (doubt->peer != NO_PEER) {
            const struct jury *jury = circles_jury(g, doubt->peer, &doubt->jury);
            doubt->shut_out = is_enough(count_raw(g, doubt), jury->count);
        }
    }
    for (uint32_t i = 0; i < DOUBTS_MAX; i++) {
        struct doubt *doubt = &g->doubts[i];
        if (doubt->peer != NO_PEER) {
            doubt->voices = count_voices(g, doubt);
            tell_suspicion(g, doubt);
        }
    }
}

/* Is it to go for its bad links? There is time: it still answers at times, and the ring moves once
 * for all of its kind. Whoever is nearly sure joins a change that comes anyway. */
static void judge_links(struct gossip *g, struct doubt *doubt)
{
    const struct jury *jury = circles_jury(g, doubt->peer, &doubt->jury);
    uint32_t complaints = 0;
    uint32_t lossy = 0;
    uint32_t sound = 0;
    for (uint32_t i = 0; i < doubt->vote_count; i++) {
        const struct vote *vote = &doubt->votes[i];
        if (complains(g, vote) && roster_is_living(&g->peers[vote->observer])) {
            complaints++;
            lossy += vote->is_lossy ? 1 : 0;
            sound += is_sound(g, vote) ? 1 : 0;
        }
    }
    doubt->is_lossy = lossy > 0 && complaints >= 2;
    if (doubt->is_lossy && is_enough(complaints, jury->count)) {
        ask(g, doubt); /* can they hear us at all? */
    }
    /* One of them may waver. */
    const uint32_t wavers = doubt->lossy_us != USEC_NEVER && sound > 2 ? 1 : 0;
    if (lossy == 0 || !is_enough(sound + wavers, jury->count)) {
        doubt->lossy_us = USEC_NEVER;
        doubt->unfit = false;
        return;
    }
    doubt->lossy_us = usec_min(doubt->lossy_us, g->now.mono_us);
    doubt->unfit = g->now.mono_us - doubt->lossy_us >= LOSSY_HOLD_US || g->accusing > 0;
    if (doubt->unfit) {
        MARK(g, "gossip.votes.unfit");
    }
}

bool votes_is_lossy(const struct gossip *g, const struct doubt *doubt)
{
    return doubt->lossy_us != USEC_NEVER && g->now.mono_us - doubt->lossy_us >= LOSSY_SURE_US;
}

bool votes_review(struct gossip *g)
{
    bool doubts = false;
    if (g->doubt_count == 0) {
        return false;
    }
    count_all(g);
    for (uint32_t i = 0; i < DOUBTS_MAX; i++) {
        struct doubt *doubt = &g->doubts[i];
        if (doubt->peer == NO_PEER) {
            continue;
        }
        doubt->verified = count_verified(g, doubt);
        doubt->condemned = is_condemned(g, doubt);
        judge_links(g, doubt);
        /* With many observers one voice is noise (L = 2 of 8). */
        const uint32_t noise = g->living > OBSERVERS_MAX - 1 ? 1 : 0;
        doubts = doubts || (!doubt->condemned && !doubt->unfit && doubt->voices > noise);
        if (is_over(g, doubt)) {
            end_doubt(g, doubt);
        }
    }
    return doubts;
}
