/* gossip/identity.c: our own record is ours: whoever says otherwise is corrected, or is another
 * process with our id. Of two such processes the one that started later ends; it learns so from an
 * answer to a ping of its own, never from what anybody else sends of himself, which could be old. */
#include "gossip/internal.h"

#define TWIN_US SEC(1)

static void raise_incarnation(struct gossip *g, uint64_t above, bool step_down)
{
    struct peer *self = roster_self(g);
    if (g->leaving >= LEAVING_SAYING_GOODBYE || above >= DATAGRAM_INCARNATION_MAX) {
        return;
    }
    MARK(g, "gossip.self.refuted");
    CHECK(above >= self->incarnation);
    roster_before(g, self);
    self->incarnation = above + 1;
    if (step_down && self->state <= MEMBER_OWNING) {
        self->state = MEMBER_WARMING;
        self->ready = false;
    }
    roster_after(g, self);
    g->stats.refutations++;
    g->tell_persist = true;
    notices_add(g, GOSSIP_MEMBER_REFUTED, self);
    rumours_record(g, self);
    publish_soon(g, self, 0);
}

void identity_refute(struct gossip *g, uint64_t above)
{
    raise_incarnation(g, above, false);
    g->standing.denied = above;
}

void identity_step_down(struct gossip *g, uint64_t above)
{
    raise_incarnation(g, above, true);
}

static void ask_twin(struct gossip *g, const struct address *at)
{
    if (at == NULL || g->now.mono_us < g->twin_at_us || !parcel_has_room(g)) {
        return;
    }
    g->twin_at_us = g->now.mono_us + TWIN_US;
    pings_claimant(g, at, PING_OWN, g->id, 0);
}

static bool is_elsewhere(const struct gossip *g, const struct address *at)
{
    const struct address *own = roster_address(g, &g->peers[g->self]);
    return at != NULL && own != NULL && memcmp(at, own, sizeof *at) != 0;
}

/* We owned, or left, by a word that is not ours? */
static bool is_false_state(const struct gossip *g, enum member_state state)
{
    const enum member_state ours = (enum member_state)g->peers[g->self].state;
    return state > ours && state != MEMBER_OWNING;
}

static void be_promoted(struct gossip *g, struct telling how)
{
    struct peer *self = roster_self(g);
    roster_before(g, self);
    self->state = MEMBER_OWNING;
    roster_after(g, self);
    rumours_state(g, self);
    publish_heard(g, self, true, how);
}

void identity_hear_state(struct gossip *g, const struct datagram_state *state)
{
    struct peer *self = roster_self(g);
    if (state->state == MEMBER_DEAD && standing_hear_death(g, state)) {
        return;
    }
    if (state->incarnation < self->incarnation) {
        return;
    }
    if (state->incarnation > self->incarnation || is_false_state(g, state->state)) {
        identity_refute(g, state->incarnation);
    } else if (state->state > (enum member_state)self->state) {
        be_promoted(g, state->how);
    }
}

void identity_hear(struct gossip *g, const struct member *member, struct telling how)
{
    struct peer *self = roster_self(g);
    struct datagram_state state = {
        .id = g->id, .incarnation = member->incarnation, .state = member->state, .how = how
    };
    const struct address *at = member_address(member, ENDPOINT_GOSSIP);
    struct member facts = *member;
    struct member ours = roster_member(g, self);
    if (member_is_living(member) && is_elsewhere(g, at)) {
        ask_twin(g, at); /* the process before us, or another one */
    }
    if (member->incarnation != ours.incarnation || is_false_state(g, member->state)) {
        identity_hear_state(g, &state);
        return;
    }
    facts.state = ours.state;
    if (member->version >= ours.version && member_merge(&ours, &facts)) {
        MARK(g, "gossip.self.forged_facts");
        identity_refute(g, member->incarnation);
        return;
    }
    identity_hear_state(g, &state);
}

void identity_twin(struct gossip *g, const struct address *from)
{
    MARK(g, "gossip.identity.twin_seen");
    ask_twin(g, from);
}

void identity_twin_answered(struct gossip *g, const struct datagram_head *head,
                            const uint8_t boot[GOSSIP_BOOT_SIZE])
{
    struct ping *ping = pings_find(g, head->number);
    if (ping == NULL || ping->purpose != PING_OWN) {
        return;
    }
    ping->purpose = PING_NONE;
    bool is_older =
        head->about < g->first_incarnation ||
        (head->about == g->first_incarnation && memcmp(boot, g->seal.boot, GOSSIP_BOOT_SIZE) < 0);
    if (is_older) {
        MARK(g, "gossip.identity.in_use");
        g->tell_in_use = true;
    } else {
        MARK(g, "gossip.identity.elder");
    }
}

/* ---- judging between two others ---- */

static struct contest *find_contest(struct gossip *g, struct node_id id)
{
    for (uint32_t i = 0; i < CONTESTS_MAX; i++) {
        if (g->contests[i].used && node_id_equal(g->contests[i].claim.id, id)) {
            return &g->contests[i];
        }
    }
    for (uint32_t i = 0; i < CONTESTS_MAX; i++) {
        if (!g->contests[i].used) {
            return &g->contests[i];
        }
    }
    return NULL;
}

static bool is_claim(struct gossip *g, const struct arrival *a, const struct member *member)
{
    const struct peer *peer = a->peer;
    if (peer == NULL || !roster_is_living(peer) || !node_id_equal(member->id, a->sender) ||
        member->incarnation <= peer->incarnation || roster_address(g, peer) == NULL) {
        return false;
    }
    const bool is_same_process = seal_is_of(&g->seal, peer->window, a->sender, a->boot);
    const struct address *at = member_address(member, ENDPOINT_GOSSIP);
    CHECK(peer != roster_self(g));
    return !is_same_process && (at == NULL || memcmp(at, roster_address(g, peer), sizeof *at) != 0);
}

bool identity_contest(struct gossip *g, const struct arrival *a,
                      const struct datagram_section *section)
{
    if (!is_claim(g, a, &section->record.member)) {
        return false;
    }
    struct contest *contest = find_contest(g, a->sender);
    if (contest == NULL) {
        MARK(g, "gossip.identity.contests_full");
        return true; /* it will ask again */
    }
    if (!contest->used || memcmp(contest->boot, a->boot, GOSSIP_BOOT_SIZE) != 0) {
        MARK(g, "gossip.identity.contested");
        g->contest_count += contest->used ? 0 : 1;
        *contest = (struct contest){ .used = true, .at_us = g->now.mono_us };
    }
    contest->claim = section->record.member;
    contest->how = section->record.how;
    memcpy(contest->boot, a->boot, GOSSIP_BOOT_SIZE);
    contest->from = a->from;
    contest->number = a->head.kind == DATAGRAM_PING ? a->head.number : contest->number;
    return true;
}

static void end_contest(struct gossip *g, struct contest *contest)
{
    CHECK(contest->used && g->contest_count > 0);
    contest->used = false;
    g->contest_count--;
}

static void admit(struct gossip *g, struct contest *contest)
{
    end_contest(g, contest);
    hearsay_member(g, &contest->claim, contest->how);
}

void identity_contest_answered(struct gossip *g, uint32_t index,
                               const uint8_t boot[GOSSIP_BOOT_SIZE])
{
    struct contest *contest = &g->contests[index];
    if (!contest->used) {
        return;
    }
    if (memcmp(contest->boot, boot, GOSSIP_BOOT_SIZE) == 0) {
        admit(g, contest); /* one process with a new address that still hears the old one */
        return;
    }
    MARK(g, "gossip.identity.refused");
    end_contest(g, contest);
    parcel_answer(g, &contest->from,
                  (struct datagram_head){ .kind = DATAGRAM_REFUSED,
                                          .number = contest->number,
                                          .target = contest->claim.id });
}

static void pursue(struct gossip *g, struct contest *contest)
{
    const struct peer *peer = roster_find(g, contest->claim.id);
    uint32_t index = (uint32_t)(contest - g->contests);
    if (peer == NULL || !roster_is_living(peer) || roster_address(g, peer) == NULL ||
        peer->incarnation >= contest->claim.incarnation || contest->tries == CONTEST_TRIES) {
        MARK(g, "gossip.identity.admitted");
        admit(g, contest);
        return;
    }
    contest->tries++;
    contest->at_us = g->now.mono_us + CONTEST_US;
    pings_claimant(g, roster_address(g, peer), PING_CONTEST, contest->claim.id, index);
}

void identity_tick(struct gossip *g)
{
    for (uint32_t i = 0; i < CONTESTS_MAX && g->contest_count > 0; i++) {
        struct contest *contest = &g->contests[i];
        if (contest->used && g->now.mono_us >= contest->at_us && parcel_has_room(g)) {
            pursue(g, contest);
        }
    }
}

usec_t identity_deadline(const struct gossip *g)
{
    usec_t next = USEC_NEVER;
    for (uint32_t i = 0; i < CONTESTS_MAX && g->contest_count > 0; i++) {
        next = g->contests[i].used ? usec_min(next, g->contests[i].at_us) : next;
    }
    return next;
}
