/* gossip/receive.c: a packet from its bytes to what it changes. */
#include "gossip/internal.h"

static void hear_record(struct gossip *g, const struct arrival *a,
                        const struct datagram_section *section)
{
    const struct member *member = &section->record.member;
    if (node_id_equal(member->id, g->id)) {
        identity_hear(g, member, section->record.how);
        return;
    }
    if (!identity_contest(g, a, section)) {
        hearsay_member(g, member, section->record.how);
    }
}

/* Whoever is dead to us, and has not said otherwise, may be deaf and bury all others. */
static bool is_word_of_the_dead(const struct gossip *g, const struct arrival *a,
                                const struct datagram_section *section)
{
    const struct peer *peer = a->peer;
    return section->state.state == MEMBER_DEAD && peer != NULL && peer->state == MEMBER_DEAD &&
           a->head.incarnation <= peer->incarnation && !node_id_equal(section->state.id, g->id);
}

static void hear_section(struct gossip *g, const struct arrival *a,
                         const struct datagram_section *section)
{
    switch (section->tag) {
    case DATAGRAM_RECORD:
        hear_record(g, a, section);
        return;
    case DATAGRAM_STATE:
        if (is_word_of_the_dead(g, a, section)) {
            MARK(g, "gossip.dead.their_word");
        } else if (node_id_equal(section->state.id, g->id)) {
            identity_hear_state(g, &section->state);
        } else {
            hearsay_state(g, &section->state);
        }
        return;
    case DATAGRAM_VOTES:
        votes_hear(g, &section->votes);
        return;
    case DATAGRAM_SUMS:
        repair_sums(g, &a->from, section->sums);
        return;
    case DATAGRAM_MASK:
        repair_mask(g, &a->from, section->mask);
        return;
    case DATAGRAM_HAVE:
        repair_have(g, &a->from, section);
        return;
    case DATAGRAM_CONTACTS:
        if (a->head.kind == DATAGRAM_ACK) {
            repair_contacts(g, section);
        }
        return;
    case DATAGRAM_YOUNG:
        cut_hear_young(g, section->young);
        return;
    case DATAGRAM_KEYS_NEWEST:
        exchange_newest(g, a, &section->newest);
        return;
    case DATAGRAM_KEYS_STAGES:
        stages_hear(g, a, &section->stages);
        return;
    case DATAGRAM_KEYS_PUBLIC: /* exchange_act looks at these */
    case DATAGRAM_KEYS_BOX:
        return;
    }
}

/* Somebody comes from outside: here are others that it can ask. */
static void add_contacts(struct gossip *g, struct datagram *d, const struct arrival *a)
{
    struct address list[DATAGRAM_CONTACTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < DATAGRAM_CONTACTS_MAX; i++) {
        const struct peer *peer = roster_random(g);
        if (peer != NULL && peer != a->peer && roster_address(g, peer) != NULL) {
            list[count++] = *roster_address(g, peer);
        }
    }
    if (count > 0) {
        datagram_add_contacts(d, list, count);
    }
}

static void acknowledge(struct gossip *g, const struct arrival *a)
{
    struct parcel parcel;
    struct datagram_head head = { .kind = DATAGRAM_ACK, .number = a->head.number };
    const bool is_dead = a->peer != NULL && !roster_is_living(a->peer);
    head.target = a->sender;
    if (!parcel_has_room(g)) {
        MARK(g, "gossip.parcel.no_room");
        return;
    }
    parcel_begin(g, &parcel, &a->from, head);
    if (is_dead) { /* it is told so first: then it can refute */
        MARK(g, "gossip.ack.to_the_dead");
        standing_asked_by_the_dead(g, a->peer, a->head.incarnation);
        datagram_add_state(&parcel.body,
                           &(struct datagram_state){ .id = a->sender,
                                                     .incarnation = a->peer->incarnation,
                                                     .state = (enum member_state)a->peer->state,
                                                     .how = { .is_unfit = a->peer->is_unfit } });
    }
    if (node_id_is_zero(a->head.target) && a->head.digest != roster_digest(g)) {
        const struct member self = roster_member(g, roster_self(g));
        datagram_add_record(&parcel.body, &self,
                            (struct telling){ .ready = roster_self(g)->ready });
        add_contacts(g, &parcel.body, a);
    }
    parcel.bare = parcel.body.used;
    rumours_fill(g, &parcel.body);
    parcel_end(g, &parcel);
}

static void take_ack(struct gossip *g, const struct arrival *a)
{
    struct ping *ping = pings_find(g, a->head.number);
    if (ping == NULL ||
        (!node_id_is_zero(ping->target) && !node_id_equal(ping->target, a->sender))) {
        MARK(g, "gossip.ack.unexpected");
        return;
    }
    enum ping_purpose purpose = ping->purpose;
    uint32_t detail = ping->detail;
    const uint32_t nth = ping->nth;
    ping->purpose = PING_NONE;
    heal_answered(g, &a->from);
    if (purpose == PING_RELAY) {
        relays_done(g, detail, a->head.incarnation);
    }
    if (purpose == PING_CONTEST) {
        identity_contest_answered(g, detail, a->boot);
        return; /* it may be either process */
    }
    if (purpose == PING_FAREWELL) {
        farewell_acked(g);
    }
    if (a->peer != NULL) {
        prober_acked(g, a->peer, nth);
        prober_good(g, a->peer, a->head.incarnation, true);
    }
}

static void take_refusal(struct gossip *g, const struct arrival *a)
{
    if (pings_is_recent(g, a->head.number) && node_id_equal(a->head.target, g->id)) {
        MARK(g, "gossip.identity.told_in_use");
        g->tell_in_use = true;
    }
}

static void act(struct gossip *g, const struct arrival *a, struct span sections)
{
    bool is_for_us = node_id_is_zero(a->head.target) || node_id_equal(a->head.target, g->id);
    switch (a->head.kind) {
    case DATAGRAM_PING:
        if (is_for_us) {
            acknowledge(g, a);
        }
        return;
    case DATAGRAM_ACK:
        take_ack(g, a);
        return;
    case DATAGRAM_RELAY:
        relays_take(g, &a->head, &a->from);
        return;
    case DATAGRAM_RELAYED:
    case DATAGRAM_NACK:
        if (relays_answered(g, &a->head) && a->peer != NULL) {
            prober_good(g, a->peer, a->head.incarnation, false); /* the relay itself is well */
        }
        return;
    case DATAGRAM_SPREAD:
        return;
    case DATAGRAM_REFUSED:
        take_refusal(g, a);
        return;
    case DATAGRAM_KEYS_ASK:
    case DATAGRAM_KEYS_GIVE:
        exchange_act(g, a, sections);
        return;
    }
}

/* Another process with our id, in this cluster: nothing that it says is taken in. */
static void meet_twin(struct gossip *g, const struct arrival *a)
{
    if (a->head.kind == DATAGRAM_PING && node_id_equal(a->head.target, g->id)) {
        acknowledge(g, a);
    }
    if (a->head.kind == DATAGRAM_ACK) {
        identity_twin_answered(g, &a->head, a->boot);
        return;
    }
    identity_twin(g, &a->from);
}

static void take_in(struct gossip *g, struct arrival *a, struct span sections)
{
    struct datagram_section section;
    struct span rest = sections;
    const bool is_bare = sections.size == 0;
    while (datagram_next(&rest, &section)) {
        hear_section(g, a, &section);
    }
    if (!is_bare) {
        a->peer = roster_find(g, a->sender); /* it may have told us of itself just now */
    }
    /* Not of a later incarnation: who claims an id is not yet who has it (identity.c). */
    if (a->peer != NULL && a->head.incarnation == a->peer->incarnation) {
        a->peer->window = a->window;
        notices_catalog(g, a->peer, a->head.catalog);
        loads_hear(g, a->peer, a->head.load);
        if (a->key == 0) { /* the newest */
            stages_heard(g, a->peer, KEY_STAGE_USES);
        }
    }
    act(g, a, sections);
    repair_compare(g, &a->from, a->head.digest);
}

static bool is_dropped(struct gossip *g, enum seal_verdict verdict)
{
    switch (verdict) {
    case SEAL_GOOD:
        return false;
    case SEAL_RETIRED:
        g->stats.dropped_key++;
        return false; /* what it says of members is, below */
    case SEAL_UNKNOWN:
        g->stats.dropped_key++;
        return true;
    case SEAL_FOREIGN:
        g->stats.dropped_foreign++;
        return true;
    case SEAL_UNSEALED:
        g->stats.dropped_unsealed++;
        return true;
    case SEAL_REPLAYED:
        g->stats.dropped_replayed++;
        return true;
    case SEAL_OWN:
        g->stats.dropped_own++;
        return true;
    }
    BUG("no such verdict");
}

void receive_packet(struct gossip *g, const struct address *from, uint8_t *data, size_t size)
{
    struct seal_opened opened;
    struct arrival a = { .from = *from };
    struct span sections;
    if (seal_sender(data, size, &a.sender)) {
        a.peer = roster_find(g, a.sender); /* as it says: that is to be seen */
    }
    const uint32_t hint = a.peer != NULL ? a.peer->window : SEAL_NO_WINDOW;
    const enum seal_verdict verdict = seal_open(&g->seal, data, size, hint, &opened);
    if (verdict == SEAL_UNKNOWN) {
        exchange_unknown(g, from);
    }
    if (is_dropped(g, verdict)) {
        return;
    }
    if (!datagram_open(opened.body, &a.head, &sections)) {
        MARK(g, "gossip.packet.malformed");
        g->stats.dropped_malformed++;
        return;
    }
    a.sender = opened.sender;
    a.key = opened.key;
    memcpy(a.boot, opened.boot, GOSSIP_BOOT_SIZE);
    if (verdict == SEAL_RETIRED) {
        exchange_retired(g, &a, sections);
        return;
    }
    g->stats.received_packets++;
    g->stats.received_bytes += size;
    a.window = opened.window;
    if (node_id_equal(a.sender, g->id)) {
        meet_twin(g, &a);
        return;
    }
    take_in(g, &a, sections);
}
