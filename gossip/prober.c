/* gossip/prober.c: asks the members we observe whether they live.
 *
 * One period: a ping; when no ack comes in time, round after round of a ping and two relays
 * (relays.c), until an ack comes from anywhere. So many rounds without one are a vote (votes.c); how
 * many depends on the loss that our probes of all members see, by its median: a bad subject must
 * not hide itself.
 *
 * Beside that stands the window: which of the last pings of a member it answered itself, however
 * late within their life. A member that loses far more of them than the median one, and has not
 * answered the latest all in a row, is lossy. */
#include "gossip/internal.h"

#define LOSS_ALL 65536u
#define LOSS_SHIFT 4u /* a moving mean over about 16 probes */
#define MISSES_MIN 4u /* at 400, 700, 1000, 1300 ms: a pause of 2 s is over before the cut */
#define HEALTH_BY_RELAYS 3u

static usec_t stretched(const struct gossip *g, usec_t wait_us)
{
    return wait_us * (4 + (usec_t)g->health) / 4;
}

static usec_t period(const struct gossip *g)
{
    return g->living > OBSERVERS_MAX + 1 ? PROBE_PERIOD_MANY_US : PROBE_PERIOD_US;
}

/* ---- the window ---- */

/* The last ping is not among them: it may be on its way. */
static uint32_t count_lost(const struct probe *probe)
{
    uint32_t lost = 0;
    for (uint32_t bits = probe->unanswered >> 1 & WINDOW_MASK; bits != 0; bits &= bits - 1) {
        lost++;
    }
    return lost;
}

/* Of the members that we observe, the lower one of two in the middle. */
static uint32_t median(uint32_t *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t value = values[i];
        uint32_t at = i;
        for (; at > 0 && values[at - 1] > value; at--) {
            values[at] = values[at - 1];
        }
        values[at] = value;
    }
    return count == 0 ? 0 : values[(count - 1) / 2];
}

uint32_t prober_median_lost(const struct gossip *g)
{
    uint32_t lost[OBSERVERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probe_peer[i] != NO_PEER) {
            lost[count++] = count_lost(&g->probes[i]);
        }
    }
    return median(lost, count);
}

/* By so many it loses more than the median one, which it may be itself. */
static uint32_t lost_more(const struct gossip *g, const struct probe *probe)
{
    const uint32_t own = count_lost(probe);
    if (own < WINDOW_DOUBT) {
        return 0; /* nearly always */
    }
    const uint32_t others = prober_median_lost(g);
    return own > others ? own - others : 0;
}

/* What was lost is over: the last pings were answered one after another, the one on its way aside. */
static bool is_well_again(const struct probe *probe)
{
    const uint32_t lately = (1u << WINDOW_WELL) - 1;
    return (probe->unanswered & lately) == 0 || (probe->unanswered >> 1 & lately) == 0;
}

static void note_ping(struct gossip *g, struct probe *probe, uint32_t number)
{
    if (number != 0) {
        probe->asked++;
        probe->unanswered = probe->unanswered << 1 | 1;
        g->pings[number % PINGS_MAX].nth = probe->asked;
    }
}

void prober_acked(struct gossip *g, const struct peer *peer, uint32_t nth)
{
    struct probe *probe = prober_find(g, peer);
    if (probe != NULL && nth != 0 && probe->asked - nth < 32) {
        probe->unanswered &= ~(1u << (probe->asked - nth));
    }
}

void prober_init(struct gossip *g)
{
    g->company_us = LONG_AGO;
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        g->probe_peer[i] = NO_PEER;
        g->probe_at_us[i] = USEC_NEVER;
    }
}

struct probe *prober_find(struct gossip *g, const struct peer *peer)
{
    uint32_t index = roster_index(g, peer);
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probe_peer[i] == index) {
            return &g->probes[i];
        }
    }
    return NULL;
}

/* ---- whom we observe ---- */

static void set_at(struct gossip *g, const struct probe *probe, usec_t at_us)
{
    g->probe_at_us[probe - g->probes] = at_us;
}

static void begin_period(struct gossip *g, struct probe *probe, usec_t at_us)
{
    probe->waiting = false;
    probe->misses = 0;
    set_at(g, probe, at_us);
}

static void stop(struct gossip *g, uint32_t nth)
{
    g->probe_peer[nth] = NO_PEER;
    g->probe_at_us[nth] = USEC_NEVER;
}

void prober_restart(struct gossip *g, const struct peer *peer)
{
    struct probe *probe = prober_find(g, peer);
    if (probe != NULL) {
        begin_period(g, probe, g->now.mono_us);
    }
}

void prober_forget(struct gossip *g, const struct peer *peer)
{
    struct probe *probe = prober_find(g, peer);
    if (probe != NULL) {
        stop(g, (uint32_t)(probe - g->probes));
        g->probes_stale = true;
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
    uint32_t free = OBSERVERS_MAX;
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probe_peer[i] == peer) {
            return;
        }
        free = g->probe_peer[i] == NO_PEER ? i : free;
    }
    CHECK(free < OBSERVERS_MAX);
    struct probe *probe = &g->probes[free];
    *probe = (struct probe){ .voted_us = LONG_AGO, .acked_us = LONG_AGO, .evidence_us = LONG_AGO };
    g->probe_peer[free] = peer;
    begin_period(g, probe, g->now.mono_us + rng_between(&g->rng, 0, period(g)));
}

static void choose_subjects(struct gossip *g)
{
    uint32_t subjects[OBSERVERS_MAX];
    uint32_t count = circles_subjects(g, subjects);
    g->probes_stale = false;
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probe_peer[i] != NO_PEER && !is_among(subjects, count, g->probe_peer[i])) {
            stop(g, i);
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
    uint32_t losses[OBSERVERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probe_peer[i] != NO_PEER) {
            losses[count++] = g->probes[i].loss;
        }
    }
    return median(losses, count);
}

/* The m with q^m <= 1 %, and one more, for round trips lost with probability q; up to 70 %, beyond which
 * the network is what is broken. */
static uint32_t misses_for_a_vote(struct gossip *g)
{
    static const uint32_t most[] = { 215, 316, 398, 464, 518, 562, 599, 631, 658, 681, 720, 763 };
    uint32_t q = (uint32_t)((uint64_t)median_loss(g) * 1000 / LOSS_ALL);
    uint32_t misses = MISSES_MIN;
    g->stats.loss_permille = q;
    for (uint32_t i = 0; i < ARRAY_COUNT(most) && q > most[i]; i++) {
        misses++;
    }
    return misses;
}

/* ---- our vote ---- */

/* Cast it when it is another one than before, or a bad one has become old. */
static void vote(struct gossip *g, struct probe *probe, struct peer *peer, bool down)
{
    const uint32_t more = votes_ours_is_lossy(g, peer) ? WINDOW_STILL : WINDOW_MORE;
    const bool is_lossy = lost_more(g, probe) >= more && !is_well_again(probe);
    const bool is_bad = down || is_lossy;
    if (is_bad && g->health >= HEALTH_MUTE) {
        MARK(g, "gossip.vote.muted");
        return;
    }
    const bool is_same =
        votes_ours_stands(g, peer) == down && votes_ours_is_lossy(g, peer) == is_lossy;
    if (is_same && (!is_bad || g->now.mono_us - probe->voted_us < VOTE_RENEW_US)) {
        return;
    }
    if (is_lossy) {
        MARK(g, "gossip.vote.lossy");
    }
    probe->voted_us = g->now.mono_us;
    votes_cast(g, peer, down, is_lossy);
}

/* ---- a round ---- */

static void ping(struct gossip *g, struct probe *probe, usec_t wait_us)
{
    struct peer *peer = &g->peers[prober_subject(g, probe)];
    note_ping(g, probe, pings_member(g, peer, PING_PROBE, 0));
    probe->waiting = true;
    set_at(g, probe, g->now.mono_us + stretched(g, wait_us));
}

/* Not while its last ping is missed: a member whose answers get lost is to be found out. Nor while we
 * find it lossy: it is to be found out soon when it is no more. */
static bool is_spared(struct gossip *g, const struct probe *probe)
{
    return (probe->unanswered & 1) == 0 && g->now.mono_us - probe->evidence_us <= EVIDENCE_US &&
           g->now.mono_us - probe->acked_us <= EVIDENCE_PING_US &&
           !votes_ours_is_lossy(g, &g->peers[prober_subject(g, probe)]);
}

static void begin(struct gossip *g, struct probe *probe)
{
    probe->started_us = g->now.mono_us;
    probe->relays_asked = 0;
    if (is_spared(g, probe)) {
        MARK(g, "gossip.probe.spared");
        /* Look when it is too old, so that under load all observers miss a member together. */
        set_at(g, probe,
               usec_max(probe->evidence_us + EVIDENCE_US + 1, g->now.mono_us + PROBE_AGAIN_US));
        return;
    }
    struct peer *peer = &g->peers[prober_subject(g, probe)];
    ping(g, probe, PROBE_TIMEOUT_US);
    vote(g, probe, peer, votes_ours_stands(g, peer));
}

void prober_wake(struct gossip *g, const struct peer *peer, uint32_t number)
{
    struct probe *probe = prober_find(g, peer);
    if (probe != NULL && !probe->waiting && !is_spared(g, probe)) {
        MARK(g, "gossip.probe.woken");
        note_ping(g, probe, number);
        probe->started_us = g->now.mono_us;
        probe->relays_asked = 0;
        probe->waiting = true;
        set_at(g, probe, g->now.mono_us + stretched(g, PROBE_TIMEOUT_US));
    }
}

static void get_worse(struct gossip *g, uint32_t by)
{
    g->health = g->health + by < HEALTH_MAX ? g->health + by : HEALTH_MAX;
    g->health_at_us = g->now.mono_us + HEALTH_DECAY_US;
}

static void miss(struct gossip *g, struct probe *probe)
{
    struct peer *peer = &g->peers[prober_subject(g, probe)];
    if (probe->misses == 0) {
        measure(probe, true);
    }
    if (probe->relays_heard < probe->relays_asked && g->health < HEALTH_BY_RELAYS) {
        MARK(g, "gossip.health.nack_missing");
        get_worse(g, 1);
    }
    probe->misses++;
    vote(g, probe, peer, votes_ours_stands(g, peer) || probe->misses >= misses_for_a_vote(g));
    ping(g, probe, probe->misses > PROBE_ROUNDS_FAST ? PROBE_PERIOD_US : PROBE_AGAIN_US);
    relays_ask(g, probe);
}

static void got_better(struct gossip *g)
{
    if (g->health > 0) {
        g->health--;
    }
    g->health_at_us = g->now.mono_us + HEALTH_DECAY_US;
}

static void end_period(struct gossip *g, struct probe *probe, bool acked)
{
    const usec_t now_us = g->now.mono_us;
    probe->acked_us = acked ? now_us : probe->acked_us;
    if (!probe->waiting) {
        return;
    }
    if (probe->misses == 0 && acked) {
        measure(probe, false);
        got_better(g);
    }
    const usec_t period_us = lost_more(g, probe) >= WINDOW_DOUBT ? PROBE_PERIOD_US : period(g);
    begin_period(g, probe, usec_max(probe->started_us + period_us, now_us + PROBE_AGAIN_US));
}

void prober_good(struct gossip *g, struct peer *peer, uint64_t incarnation, bool acked)
{
    struct probe *probe = prober_find(g, peer);
    struct news *news = rumours_find(g, peer);
    if (incarnation < peer->incarnation || !roster_is_living(peer)) {
        MARK(g, "gossip.contact.of_the_process_before");
        return;
    }
    roster_touch(g, peer);
    g->company_us = g->now.mono_us;
    peer->is_met = peer->is_met || incarnation == peer->incarnation;
    if (news != NULL && news->due == DUE_DEATH) {
        news->is_answered = true;
        news->is_acked = news->is_acked || acked;
    }
    if (probe != NULL) {
        vote(g, probe, peer, false);
        end_period(g, probe, acked);
    } else if (votes_ours_stands(g, peer) || votes_ours_is_lossy(g, peer)) {
        votes_cast(g, peer, false, false);
    }
}

void prober_evidence(struct gossip *g, struct node_id id)
{
    struct peer *peer = roster_find(g, id);
    if (peer == NULL || !roster_is_living(peer)) {
        return;
    }
    struct probe *probe = prober_find(g, peer);
    if (probe != NULL) {
        probe->evidence_us = g->now.mono_us;
        probe->unanswered &= ~(probe->waiting ? 1u : 0u); /* as good as an answer */
    }
    prober_good(g, peer, peer->incarnation, false);
}

/* ---- time ---- */

void prober_stalled(struct gossip *g, usec_t late_us)
{
    MARK(g, "gossip.health.stalled");
    get_worse(g, late_us >= 2 * STALL_US ? HEALTH_MUTE + 2 : 2);
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        if (g->probe_peer[i] != NO_PEER) {
            begin_period(g, &g->probes[i], g->now.mono_us + rng_between(&g->rng, 0, RELAY_US));
            g->probes[i].unanswered = 0;
        }
    }
}

void prober_tick(struct gossip *g)
{
    if (g->probes_stale) {
        choose_subjects(g);
    }
    if (g->health > 0 && g->health_at_us <= g->now.mono_us) {
        got_better(g);
    }
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        struct probe *probe = &g->probes[i];
        if (g->probe_at_us[i] > g->now.mono_us || !parcel_has_room(g)) {
            continue;
        }
        if (probe->waiting) {
            miss(g, probe);
        } else {
            begin(g, probe);
        }
    }
    relays_tick(g);
    g->stats.health = g->health;
}

usec_t prober_deadline(const struct gossip *g)
{
    usec_t next = g->health > 0 ? g->health_at_us : USEC_NEVER;
    if (g->probes_stale) {
        return g->now.mono_us;
    }
    for (uint32_t i = 0; i < OBSERVERS_MAX; i++) {
        next = usec_min(next, g->probe_at_us[i]);
    }
    return usec_min(next, relays_deadline(g));
}
