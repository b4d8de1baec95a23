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

/* A member that others bury hears of it first, so that it can say that it lives. */
static void add_what_is_said(struct gossip *g, struct datagram *d, struct peer *peer)
{
    const struct news *news = rumours_find(g, peer);
    struct datagram_state state = { .id = roster_id(g, peer),
                                    .incarnation = peer->incarnation,
                                    .state = (enum member_state)peer->state };
    if (news != NULL && news->due == DUE_DEATH) {
        state.incarnation = news->incarnation;
        state.state = MEMBER_DEAD;
        state.how.is_news = true; /* it waits for its time */
        state.how.wait_us = usec_max(news->due_us - g->now.mono_us, 1);
    } else {
        state.how.is_unfit = peer->is_unfit;
    }
    if (state.state >= MEMBER_DEAD) {
        datagram_add_state(d, &state);
    }
}

uint32_t pings_member(struct gossip *g, struct peer *peer, enum ping_purpose purpose,
                      uint32_t detail)
{
    struct parcel parcel;
    struct datagram_head head = { .kind = DATAGRAM_PING, .target = roster_id(g, peer) };
    if (!parcel_has_room(g) || roster_address(g, peer) == NULL) {
        return 0;
    }
    head.number = pings_new(g, purpose, head.target, detail);
    parcel_begin(g, &parcel, roster_address(g, peer), head);
    add_what_is_said(g, &parcel.body, peer);
    if (purpose == PING_FAREWELL) {
        const struct peer *self = roster_self(g);
        datagram_add_state(&parcel.body,
                           &(struct datagram_state){ .id = g->id,
                                                     .incarnation = self->incarnation,
                                                     .state = (enum member_state)self->state,
                                                     .how = { .is_news = true } });
    }
    parcel_fill(g, &parcel);
    parcel_end(g, &parcel);
    return head.number;
}

void pings_introduce(struct gossip *g, const struct address *to, const struct peer *dead)
{
    struct parcel parcel;
    struct datagram_head head = { .kind = DATAGRAM_PING };
    const struct peer *self = roster_self(g);
    const struct member record = roster_member(g, self);
    head.number = pings_new(g, PING_CONTACT, head.target, 0);
    parcel_begin(g, &parcel, to, head);
    if (dead != NULL) {
        datagram_add_state(&parcel.body,
                           &(struct datagram_state){ .id = roster_id(g, dead),
                                                     .incarnation = dead->incarnation,
                                                     .state = (enum member_state)dead->state,
                                                     .how = { .is_unfit = dead->is_unfit } });
    }
    datagram_add_record(&parcel.body, &record,
                        (struct telling){ .ready = self->ready, .is_news = true });
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
