/* gossip/parcel.c: packets, from a head to an effect, within two budgets: answers and probes never
 * wait for rumours and repair. */
#include "gossip/internal.h"

bool parcel_has_room_for(const struct gossip *g, uint32_t packets)
{
    return g->out->count + EFFECTS_RESERVED + packets <= GOSSIP_EFFECTS_MAX;
}

bool parcel_has_room(const struct gossip *g)
{
    return parcel_has_room_for(g, 1);
}

static struct budget *refill(struct gossip *g, enum traffic traffic)
{
    struct budget *budget = &g->budget[traffic];
    usec_t passed_us = usec_min(g->now.mono_us - budget->at_us, SEC(10));
    budget->at_us = g->now.mono_us;
    if (passed_us > 0) {
        budget->tokens += passed_us * budget->rate;
    }
    int64_t most = budget->burst * SEC(1);
    budget->tokens = budget->tokens > most ? most : budget->tokens;
    return budget;
}

bool parcel_has_budget(struct gossip *g, enum traffic traffic)
{
    return refill(g, traffic)->tokens > 0;
}

void parcel_begin(struct gossip *g, struct parcel *parcel, const struct address *to,
                  struct datagram_head head)
{
    CHECK(parcel_has_room(g));
    head.incarnation = roster_self(g)->incarnation;
    head.about = head.kind == DATAGRAM_RELAYED ? head.about : g->first_incarnation;
    head.digest = roster_digest(g);
    head.catalog = g->catalog;
    head.load = g->load;
    parcel->to = *to;
    parcel->traffic = head.kind == DATAGRAM_SPREAD ? TRAFFIC_BULK : TRAFFIC_PROBE;
    parcel->key = g->seal.present;
    parcel->bytes = g->out->packets[g->out->count];
    datagram_begin(&parcel->body, parcel->bytes + SEAL_HEADER, SEAL_BODY_MAX, &head);
    exchange_fill(g, &parcel->body);
    parcel->bare = SIZE_MAX;
}

void parcel_fill(struct gossip *g, struct parcel *parcel)
{
    parcel->bare = parcel->body.used;
    rumours_fill(g, &parcel->body);
}

void parcel_end(struct gossip *g, struct parcel *parcel)
{
    struct budget *budget = refill(g, parcel->traffic);
    if (budget->tokens <= 0) {
        MARK(g, "gossip.budget.spent");
        g->stats.dropped_budget++;
        return;
    }
    size_t size = seal_close_under(&g->seal, parcel->key, parcel->bytes, parcel->body.used);
    const size_t rides = parcel->bare == SIZE_MAX ? 0 : parcel->body.used - parcel->bare;
    budget->tokens -= (int64_t)(size - rides) * SEC(1);
    g->budget[TRAFFIC_BULK].tokens -= (int64_t)rides * SEC(1); /* paid for by its own class */
    g->stats.sent_packets++;
    g->stats.sent_bytes += size;
    g->out->items[g->out->count++] = (struct gossip_effect){
        .kind = GOSSIP_SEND, .send = { .to = parcel->to, .bytes = span_of(parcel->bytes, size) }
    };
}

void parcel_answer(struct gossip *g, const struct address *to, struct datagram_head head)
{
    struct parcel parcel;
    if (!parcel_has_room(g)) {
        MARK(g, "gossip.parcel.no_room");
        return;
    }
    parcel_begin(g, &parcel, to, head);
    parcel_fill(g, &parcel);
    parcel_end(g, &parcel);
}
