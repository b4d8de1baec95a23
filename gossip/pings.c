/* gossip/pings.c: questions that are out, by number. An ack counts only for a ping of ours that is
 * young and was meant for whoever answers. */
#include "gossip/internal.h"

uint32_t pings_new(struct gossip *g, enum ping_purpose purpose, struct node_id target,
                   uint32_t detail)
{
    g->ping_number++;
    g->ping_number += g->ping_number == 0 ? 1 : 0; /* 0 is no ping */
    g->pings[g->ping_number % PINGS_MAX] = (struct ping){ .number = g->ping_number,
                                                          .purpose = purpose,
                                                          .detail = detail,
                                                          .target = target,
                                                          .sent_us = g->now.mono_us };
    return g->ping_number;
}

bool pings_is_recent(const struct gossip *g, uint32_t number)
{
    const struct ping *ping = &g->pings[number % PINGS_MAX];
    return number != 0 && ping->number == number && g->now.mono_us - ping->sent_us <= PING_LIFE_US;
}

struct ping *pings_find(struct gossip *g, uint32_t number)
{
    struct ping *ping = &g->pings[number % PINGS_MAX];
    return pings_is_recent(g, number) && ping->purpose != PING_NONE ? ping : NULL;
}

/* A member that others doubt or bury hears of it first, so that it can say that it lives. */
static void add_what_is_said(struct gossip *g, struct datagram *d, struct peer *peer)
{
    struct datagram_state state = { .id = peer->known.id,
                                    .incarnation = peer->known.incarnation,
                                    .state = peer->known.state };
    if (peer->accused_until_us != USEC_NEVER) {
        state.incarnation = peer->accused_incarnation;
        state.state = MEMBER_DEAD;
    }
    if (!member_is_living(&peer->known) || state.state == MEMBER_DEAD) {
        datagram_add_state(d, &state);
    }
    rumours_add_votes(g, d, peer);
}

uint32_t pings_member(struct gossip *g, struct peer *peer, enum ping_purpose purpose,
                      uint32_t detail)
{
    struct parcel parcel;
    struct datagram_head head = { .kind = DATAGRAM_PING, .target = peer->known.id };
    if (!parcel_has_room(g) || roster_address(peer) == NULL) {
        return 0;
    }
    head.number = pings_new(g, purpose, peer->known.id, detail);
    parcel_begin(g, &parcel, roster_address(peer), head);
    add_what_is_said(g, &parcel.body, peer);
    if (purpose == PING_FAREWELL) {
        const struct peer *self = roster_self(g);
        datagram_add_state(&parcel.body,
                           &(struct datagram_state){ .id = g->id,
                                                     .incarnation = self->known.incarnation,
                                                     .state = self->known.state });
    }
    rumours_fill(g, &parcel.body);
    parcel_end(g, &parcel);
    return head.number;
}

void pings_introduce(struct gossip *g, const struct address *to, const struct peer *dead)
{
    struct parcel parcel;
    struct datagram_head head = { .kind = DATAGRAM_PING };
    const struct peer *self = roster_self(g);
    head.number = pings_new(g, PING_CONTACT, head.target, 0);
    parcel_begin(g, &parcel, to, head);
    if (dead != NULL) {
        datagram_add_state(&parcel.body,
                           &(struct datagram_state){ .id = dead->known.id,
                                                     .incarnation = dead->known.incarnation,
                                                     .state = dead->known.state });
    }
    datagram_add_record(&parcel.body, &self->known, self->ready);
    parcel_end(g, &parcel);
}

void pings_claimant(struct gossip *g, const struct address *to, enum ping_purpose purpose,
                    struct node_id target, uint32_t detail)
{
    struct parcel parcel;
    struct datagram_head head = { .kind = DATAGRAM_PING, .target = target };
    head.number = pings_new(g, purpose, target, detail);
    parcel_begin(g, &parcel, to, head);
    parcel_end(g, &parcel);
}
