/* gossip/prober.c: asks the members we observe whether they live, and asks for others.
 *
 * One period: a ping; when no ack comes in time, round after round of a ping and two relays, until
 * an ack comes from anywhere. So many rounds without one are a vote (votes.c); how many depends on
 * the loss that our probes of all members see, by its median: a bad subject must not hide itself. */
#include "gossip/internal.h"

#define LOSS_ALL 65536u
#define LOSS_SHIFT 4u  /* a moving mean over about 16 probes */
#define MISSES_MIN 4u  /* at 400, 700, 1000, 1300 ms: a pause of 2 s is over before the cut */
#define MISSES_MAX 18u /* beyond that the network is what is broken */
#define HEALTH_BY_RELAYS 3u

static usec_t stretched(const struct gossip *g, usec_t wait_us)
{
    return wait_us * (4 + (usec_t)g->health) / 4;
}

void prober_init(struct gossip *g)
{
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        g->probes[i].peer = NO_PEER;
    }
}

struct probe *prober_find(struct gossip *g, const struct peer *peer)
{
    uint32_t index = roster_index(g, peer);
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probes[i].peer == index) {
            return &g->probes[i];
        }
    }
    return NULL;
}

/* ---- whom we observe ---- */

static void begin_period(struct probe *probe, usec_t at_us)
{
    probe->waiting = false;
    probe->misses = 0;
    probe->at_us = at_us;
}

void prober_restart(struct gossip *g, const struct peer *peer)
{
    struct probe *probe = prober_find(g, peer);
    if (probe != NULL) {
        begin_period(probe, g->now.mono_us);
    }
}

void prober_forget(struct gossip *g, const struct peer *peer)
{
    struct probe *probe = prober_find(g, peer);
    if (probe != NULL) {
        probe->peer = NO_PEER;
    }
}

static bool is_among(const uint32_t *peers, uint32_t count, uint32_t peer)
{
    for (uint32_t i = 0; i < count; i++) {
        if (peers[i] == peer) {
            return true;
        }
    }
    return false;
}

static void observe(struct gossip *g, uint32_t peer)
{
    struct probe *free = NULL;
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probes[i].peer == peer) {
            return;
        }
        free = g->probes[i].peer == NO_PEER ? &g->probes[i] : free;
    }
    CHECK(free != NULL);
    memset(free, 0, sizeof *free);
    free->peer = peer;
    free->voted_us = LONG_AGO;
    begin_period(free, g->now.mono_us + rng_between(&g->rng, 0, PROBE_PERIOD_US));
}

static void choose_subjects(struct gossip *g)
{
    uint32_t subjects[OBSERVERS_MAX];
    uint32_t count = circles_subjects(g, g->self, subjects);
    g->probes_stale = false;
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probes[i].peer != NO_PEER && !is_among(subjects, count, g->probes[i].peer)) {
            g->probes[i].peer = NO_PEER;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        observe(g, subjects[i]);
    }
}

/* ---- loss ---- */

static void measure(struct probe *probe, bool lost)
{
    uint32_t sample = lost ? LOSS_ALL : 0;
    probe->loss = probe->loss - (probe->loss >> LOSS_SHIFT) + (sample >> LOSS_SHIFT);
}

static uint32_t median_loss(const struct gossip *g)
{
    uint32_t sorted[OBSERVERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probes[i].peer == NO_PEER) {
            continue;
        }
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] > g->probes[i].loss; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = g->probes[i].loss;
    }
    return count == 0 ? 0 : sorted[(count - 1) / 2];
}

/* The m with q^m <= 1 %, and one more, for round trips lost with probability q. */
static uint32_t misses_for_a_vote(struct gossip *g)
{
    static const uint32_t most[] = { 215, 316, 398, 464, 518, 562, 599, 631, 658, 681, 720, 763 };
    uint32_t q = (uint32_t)((uint64_t)median_loss(g) * 1000 / LOSS_ALL);
    uint32_t misses = MISSES_MIN;
    g->stats.loss_permille = q;
    for (uint32_t i = 0; i < ARRAY_COUNT(most) && q > most[i]; i++) {
        misses++;
    }
    return misses < MISSES_MAX ? misses : MISSES_MAX;
}

/* ---- a round ---- */

static struct peer *choose_relay(struct gossip *g, uint32_t subject, const struct peer *other)
{
    for (uint32_t tries = 0; tries < 8; tries++) {
        struct peer *relay = roster_random(g);
        if (relay != NULL && roster_index(g, relay) != subject && relay != other &&
            !votes_ours_stands(g, relay)) {
            return relay;
        }
    }
    return NULL;
}

static void ask_relays(struct gossip *g, struct probe *probe)
{
    struct peer *subject = &g->peers[probe->peer];
    struct peer *other = NULL;
    probe->relays_asked = 0;
    probe->relays_heard = 0;
    for (uint32_t i = 0; i < RELAYS && parcel_has_room(g); i++) {
        struct peer *relay = choose_relay(g, probe->peer, other);
        if (relay == NULL || roster_address(relay) == NULL) {
            return;
        }
        other = relay;
        struct datagram_head head = { .kind = DATAGRAM_RELAY, .target = subject->known.id };
        head.number = pings_new(g, PING_PROBE, subject->known.id, 0);
        parcel_answer(g, roster_address(relay), head);
        probe->relays_asked++;
    }
}

static void ping(struct gossip *g, struct probe *probe, usec_t wait_us)
{
    pings_member(g, &g->peers[probe->peer], PING_PROBE, 0);
    probe->waiting = true;
    probe->at_us = g->now.mono_us + stretched(g, wait_us);
}

static void begin(struct gossip *g, struct probe *probe)
{
    struct peer *peer = &g->peers[probe->peer];
    usec_t now_us = g->now.mono_us;
    probe->started_us = now_us;
    probe->relays_asked = 0;
    if (now_us - peer->evidence_us <= EVIDENCE_US && now_us - peer->acked_us <= EVIDENCE_PING_US) {
        MARK(g, "gossip.probe.spared");
        /* Look when it is too old, so that under load all observers miss a member together. */
        probe->at_us = usec_max(peer->evidence_us + EVIDENCE_US + 1, now_us + PROBE_AGAIN_US);
        return;
    }
    ping(g, probe, PROBE_TIMEOUT_US);
}

static void vote(struct gossip *g, struct probe *probe, struct peer *peer)
{
    if (g->health >= HEALTH_MUTE) {
        MARK(g, "gossip.vote.muted");
        return;
    }
    if (votes_ours_stands(g, peer) && g->now.mono_us - probe->voted_us < VOTE_RENEW_US) {
        return;
    }
    probe->voted_us = g->now.mono_us;
    votes_cast(g, peer, true);
}

static void get_worse(struct gossip *g, uint32_t by)
{
    g->health = g->health + by < HEALTH_MAX ? g->health + by : HEALTH_MAX;
    g->health_at_us = g->now.mono_us + HEALTH_DECAY_US;
}

static void miss(struct gossip *g, struct probe *probe)
{
    struct peer *peer = &g->peers[probe->peer];
    if (probe->misses == 0) {
        measure(probe, true);
    }
    if (probe->relays_heard < probe->relays_asked && g->health < HEALTH_BY_RELAYS) {
        MARK(g, "gossip.health.nack_missing");
        get_worse(g, 1);
    }
    probe->misses++;
    if (probe->misses >= misses_for_a_vote(g)) {
        vote(g, probe, peer);
    }
    ping(g, probe, probe->misses > PROBE_ROUNDS_FAST ? PROBE_PERIOD_US : PROBE_AGAIN_US);
    ask_relays(g, probe);
}

static void got_better(struct gossip *g)
{
    if (g->health > 0) {
        g->health--;
    }
    g->health_at_us = g->now.mono_us + HEALTH_DECAY_US;
}

void prober_good(struct gossip *g, struct peer *peer, uint64_t incarnation, bool acked)
{
    struct probe *probe = prober_find(g, peer);
    usec_t now_us = g->now.mono_us;
    if (incarnation < peer->known.incarnation) {
        MARK(g, "gossip.contact.of_the_process_before");
        return;
    }
    peer->good_us = now_us;
    peer->good_incarnation = incarnation;
    peer->acked_us = acked ? now_us : peer->acked_us;
    if (votes_ours_stands(g, peer)) {
        votes_cast(g, peer, false);
    }
    if (probe == NULL || !probe->waiting) {
        return;
    }
    if (probe->misses == 0 && acked) {
        measure(probe, false);
        got_better(g);
    }
    begin_period(probe, usec_max(probe->started_us + PROBE_PERIOD_US, now_us + PROBE_AGAIN_US));
}

void prober_evidence(struct gossip *g, struct node_id id)
{
    struct peer *peer = roster_find(g, id);
    if (peer == NULL || !roster_is_living(peer)) {
        return;
    }
    peer->evidence_us = g->now.mono_us;
    prober_good(g, peer, peer->known.incarnation, false);
}

/* ---- asking for others ---- */

static void answer_relay(struct gossip *g, enum datagram_kind kind, const struct relaying *r,
                         uint64_t incarnation)
{
    struct datagram_head head = {
        .kind = kind, .number = r->number, .target = r->target, .about = incarnation
    };
    parcel_answer(g, &r->asker, head);
}

void prober_relay(struct gossip *g, const struct datagram_head *head, const struct address *from)
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
    pings_member(g, target, PING_RELAY, i);
}

void prober_relay_done(struct gossip *g, uint32_t relaying, uint64_t incarnation)
{
    struct relaying *r = &g->relayings[relaying];
    if (r->used) {
        r->used = false;
        answer_relay(g, DATAGRAM_RELAYED, r, incarnation);
    }
}

void prober_relayed(struct gossip *g, const struct datagram_head *head)
{
    struct ping *asked = pings_find(g, head->number);
    struct peer *peer = roster_find(g, head->target);
    if (asked == NULL || asked->purpose != PING_PROBE || peer == NULL ||
        !node_id_equal(asked->target, head->target)) {
        return;
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
}

static void give_up_relaying(struct gossip *g)
{
    for (uint32_t i = 0; i < RELAYINGS_MAX; i++) {
        struct relaying *r = &g->relayings[i];
        if (r->used && r->until_us <= g->now.mono_us && parcel_has_room(g)) {
            r->used = false;
            answer_relay(g, DATAGRAM_NACK, r, 0);
        }
    }
}

/* ---- time ---- */

void prober_stalled(struct gossip *g, usec_t late_us)
{
    MARK(g, "gossip.health.stalled");
    get_worse(g, late_us >= 2 * STALL_US ? HEALTH_MUTE + 2 : 2);
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        begin_period(&g->probes[i], g->now.mono_us + rng_between(&g->rng, 0, RELAY_US));
    }
}

void prober_tick(struct gossip *g)
{
    if (g->circles_stale || g->probes_stale) {
        choose_subjects(g);
    }
    if (g->health > 0 && g->health_at_us <= g->now.mono_us) {
        got_better(g);
    }
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        struct probe *probe = &g->probes[i];
        if (probe->peer == NO_PEER || probe->at_us > g->now.mono_us || !parcel_has_room(g)) {
            continue;
        }
        if (probe->waiting) {
            miss(g, probe);
        } else {
            begin(g, probe);
        }
    }
    give_up_relaying(g);
    g->stats.health = g->health;
}

usec_t prober_deadline(const struct gossip *g)
{
    usec_t next = g->health > 0 ? g->health_at_us : USEC_NEVER;
    if (g->circles_stale || g->probes_stale) {
        return g->now.mono_us;
    }
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        next = g->probes[i].peer != NO_PEER ? usec_min(next, g->probes[i].at_us) : next;
    }
    for (uint32_t i = 0; i < RELAYINGS_MAX; i++) {
        next = g->relayings[i].used ? usec_min(next, g->relayings[i].until_us) : next;
    }
    return next;
}
