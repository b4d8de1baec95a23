/* gossip/rumours.c: what is new goes along with every packet, and to random members besides, until
 * it has been told often enough. Newest first; what has been told goes to the back. */
#include "gossip/internal.h"

#define FILL_MAX 64u /* members looked at for one packet */

uint32_t rumours_tellings(const struct gossip *g)
{
    uint32_t doublings = 0;
    while (g->living >> doublings > 1) {
        doublings++;
    }
    return 5 + doublings;
}

static void enqueue(struct gossip *g, struct peer *peer)
{
    list_remove(&peer->told);
    list_push_front(&g->rumours, &peer->told);
    g->spread_at_us = usec_min(g->spread_at_us, g->now.mono_us + SPREAD_FIRST_US);
}

void rumours_record(struct gossip *g, struct peer *peer)
{
    peer->record_tellings = rumours_tellings(g);
    peer->state_tellings = 0;
    enqueue(g, peer);
}

void rumours_state(struct gossip *g, struct peer *peer)
{
    if (peer->record_tellings > 0 && roster_is_living(peer)) {
        rumours_record(g, peer); /* the state is in it */
        return;
    }
    peer->record_tellings = 0;
    peer->state_tellings = rumours_tellings(g);
    enqueue(g, peer);
}

void rumours_votes(struct gossip *g, struct peer *peer)
{
    enqueue(g, peer);
}

void rumours_forget(struct gossip *g, struct peer *peer)
{
    CHECK(g->peers_high > 0);
    list_remove(&peer->told);
}

static bool pick_votes(struct gossip *g, const struct peer *peer, bool all,
                       struct datagram_votes *out)
{
    out->subject = peer->known.id;
    out->incarnation = peer->known.incarnation;
    out->count = 0;
    for (uint32_t i = 0; i < peer->vote_count; i++) {
        const struct vote *vote = &peer->votes[i];
        bool is_fresh = g->now.mono_us - vote->heard_us <= VOTE_LIFE_US;
        if (is_fresh && (all ? vote->down : vote->tellings > 0)) {
            out->vote[out->count++] = (struct datagram_vote){ .observer = vote->observer,
                                                              .number = vote->number,
                                                              .down = vote->down };
        }
    }
    return out->count > 0;
}

bool rumours_add_votes(struct gossip *g, struct datagram *d, struct peer *peer)
{
    struct datagram_votes votes;
    return pick_votes(g, peer, true, &votes) && datagram_add_votes(d, &votes);
}

static void tell_votes(struct gossip *g, struct datagram *d, struct peer *peer)
{
    struct datagram_votes votes;
    if (!pick_votes(g, peer, false, &votes) || !datagram_add_votes(d, &votes)) {
        return;
    }
    for (uint32_t i = 0; i < peer->vote_count; i++) {
        peer->votes[i].tellings -= peer->votes[i].tellings > 0 ? 1 : 0;
    }
}

static bool has_more(struct gossip *g, const struct peer *peer)
{
    struct datagram_votes votes;
    return peer->record_tellings > 0 || peer->state_tellings > 0 ||
           pick_votes(g, peer, false, &votes);
}

static void tell(struct gossip *g, struct datagram *d, struct peer *peer)
{
    struct datagram_state state = { .id = peer->known.id,
                                    .incarnation = peer->known.incarnation,
                                    .state = peer->known.state,
                                    .ready = peer->ready };
    if (peer->record_tellings > 0 && datagram_add_record(d, &peer->known, peer->ready)) {
        peer->record_tellings--;
    }
    if (peer->state_tellings > 0 && datagram_add_state(d, &state)) {
        peer->state_tellings--;
    }
    tell_votes(g, d, peer);
}

void rumours_fill(struct gossip *g, struct datagram *d)
{
    struct list rest;
    if (!parcel_has_budget(g, TRAFFIC_BULK)) {
        return;
    }
    list_init(&rest);
    for (uint32_t i = 0; i < FILL_MAX && !list_is_empty(&g->rumours); i++) {
        struct peer *peer = CONTAINER_OF(list_first(&g->rumours), struct peer, told);
        list_remove(&peer->told);
        tell(g, d, peer);
        if (has_more(g, peer)) {
            list_push_back(&rest, &peer->told);
        }
    }
    while (!list_is_empty(&rest)) {
        struct list *item = list_first(&rest);
        list_remove(item);
        list_push_back(&g->rumours, item);
    }
}

void rumours_tick(struct gossip *g)
{
    struct peer *told[SPREAD_FANOUT] = { NULL };
    if (g->now.mono_us < g->spread_at_us) {
        return;
    }
    g->spread_at_us = USEC_NEVER;
    for (uint32_t i = 0; i < SPREAD_FANOUT && parcel_has_room(g); i++) {
        struct peer *peer = roster_random(g);
        bool is_again = peer == NULL || peer == told[0] || peer == told[1];
        if (is_again || list_is_empty(&g->rumours) || roster_address(peer) == NULL ||
            !parcel_has_budget(g, TRAFFIC_BULK)) {
            continue;
        }
        told[i] = peer;
        parcel_answer(g, roster_address(peer), (struct datagram_head){ .kind = DATAGRAM_SPREAD });
    }
    if (!list_is_empty(&g->rumours) && g->living > 1) {
        g->spread_at_us = g->now.mono_us + SPREAD_US;
    }
}
