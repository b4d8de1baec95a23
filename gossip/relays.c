/* gossip/relays.c: asking for others, and having others ask. The relays of a member that we miss are
 * its other observers: who is asked for it begins to look for himself, and they tell each other
 * their votes by the way. */
#include "gossip/internal.h"

/* ---- ours -------------------------------------------------------------------------------------- */

static bool is_usable(struct gossip *g, const struct probe *probe, uint32_t relay)
{
    const struct peer *peer = &g->peers[relay];
    return relay != g->self && relay != prober_subject(g, probe) && roster_is_living(peer) &&
           roster_address(g, peer) != NULL && !votes_ours_stands(g, peer) &&
           !votes_ours_is_lossy(g, peer);
}

/* The nth from a random one on of its observers; NO_PEER: not usable. */
static uint32_t choose_observer(struct gossip *g, struct probe *probe, uint32_t nth)
{
    const struct jury *jury = circles_jury(g, prober_subject(g, probe), &probe->jury);
    const uint32_t relay = jury->count > 0 ? jury->peers[nth % jury->count] : NO_PEER;
    return relay != NO_PEER && is_usable(g, probe, relay) ? relay : NO_PEER;
}

static uint32_t choose_anybody(struct gossip *g, const struct probe *probe)
{
    for (uint32_t tries = 0; tries < 8; tries++) {
        const struct peer *peer = roster_random(g);
        if (peer != NULL && is_usable(g, probe, roster_index(g, peer))) {
            return roster_index(g, peer);
        }
    }
    return NO_PEER;
}

static void ask(struct gossip *g, struct probe *probe, uint32_t relay)
{
    const struct peer *subject = &g->peers[prober_subject(g, probe)];
    struct parcel parcel;
    struct datagram_head head = { .kind = DATAGRAM_RELAY, .target = roster_id(g, subject) };
    head.number = pings_new(g, PING_PROBE, head.target, 0);
    parcel_begin(g, &parcel, roster_address(g, &g->peers[relay]), head);
    votes_add(g, &parcel.body, subject);
    parcel_fill(g, &parcel);
    parcel_end(g, &parcel);
    probe->relays_asked++;
}

void relays_ask(struct gossip *g, struct probe *probe)
{
    uint32_t asked[RELAYS] = { NO_PEER, NO_PEER };
    uint32_t count = 0;
    const uint32_t from = (uint32_t)rng_below(&g->rng, OBSERVERS_MAX);
    probe->relays_asked = 0;
    probe->relays_heard = 0;
    for (uint32_t i = 0; i < 2 * OBSERVERS_MAX && count < RELAYS && parcel_has_room(g); i++) {
        const uint32_t relay =
            i < OBSERVERS_MAX ? choose_observer(g, probe, from + i) : choose_anybody(g, probe);
        if (relay != NO_PEER && relay != asked[0] && relay != asked[1]) {
            asked[count++] = relay;
            ask(g, probe, relay);
        }
    }
}

bool relays_answered(struct gossip *g, const struct datagram_head *head)
{
    struct ping *asked = pings_find(g, head->number);
    struct peer *peer = roster_find(g, head->target);
    if (asked == NULL || asked->purpose != PING_PROBE || peer == NULL ||
        !node_id_equal(asked->target, head->target)) {
        return false;
    }
    asked->purpose = PING_NONE;
    struct probe *probe = prober_find(g, peer);
    if (probe != NULL) {
        probe->relays_heard++;
    }
    if (head->kind == DATAGRAM_RELAYED) {
        MARK(g, "gossip.probe.saved_by_relay");
        prober_good(g, peer, head->about, false);
    }
    return true;
}

/* ---- for others -------------------------------------------------------------------------------- */

static void answer(struct gossip *g, enum datagram_kind kind, const struct relaying *r,
                   uint64_t incarnation)
{
    const struct peer *target = roster_find(g, r->target);
    struct parcel parcel;
    struct datagram_head head = {
        .kind = kind, .number = r->number, .target = r->target, .about = incarnation
    };
    if (!parcel_has_room(g)) {
        MARK(g, "gossip.parcel.no_room");
        return;
    }
    parcel_begin(g, &parcel, &r->asker, head);
    if (target != NULL) {
        votes_add(g, &parcel.body, target);
    }
    parcel_fill(g, &parcel);
    parcel_end(g, &parcel);
}

void relays_take(struct gossip *g, const struct datagram_head *head, const struct address *from)
{
    struct peer *target = roster_find(g, head->target);
    uint32_t i = 0;
    while (i < RELAYINGS_MAX && g->relayings[i].used) {
        i++;
    }
    if (i == RELAYINGS_MAX || target == NULL || target == roster_self(g)) {
        MARK(g, "gossip.relay.refused");
        return; /* no nack either: the asker sees that we are not well */
    }
    struct relaying *r = &g->relayings[i];
    *r = (struct relaying){ .used = true, .asker = *from, .number = head->number };
    r->target = head->target;
    r->until_us = g->now.mono_us + RELAY_US;
    g->relaying_count++;
    const uint32_t ping = pings_member(g, target, PING_RELAY, i);
    if (ping != 0) {
        prober_wake(g, target, ping);
    }
}

static void end(struct gossip *g, struct relaying *r, enum datagram_kind kind, uint64_t incarnation)
{
    CHECK(r->used && g->relaying_count > 0);
    r->used = false;
    g->relaying_count--;
    answer(g, kind, r, incarnation);
}

void relays_done(struct gossip *g, uint32_t relaying, uint64_t incarnation)
{
    struct relaying *r = &g->relayings[relaying];
    if (r->used) {
        end(g, r, DATAGRAM_RELAYED, incarnation);
    }
}

void relays_tick(struct gossip *g)
{
    for (uint32_t i = 0; i < RELAYINGS_MAX && g->relaying_count > 0; i++) {
        struct relaying *r = &g->relayings[i];
        if (r->used && r->until_us <= g->now.mono_us && parcel_has_room(g)) {
            end(g, r, DATAGRAM_NACK, 0);
        }
    }
}

usec_t relays_deadline(const struct gossip *g)
{
    usec_t next = USEC_NEVER;
    for (uint32_t i = 0; i < RELAYINGS_MAX && g->relaying_count > 0; i++) {
        next = g->relayings[i].used ? usec_min(next, g->relayings[i].until_us) : next;
    }
    return next;
}
