/* gossip/standing.c: what we do when others say that we are dead, and it is so to them: we come back
 * with a higher incarnation. Whoever comes back and goes again moves the ring each time; so who was
 * removed while it lived owns nothing for a while, longer each time, and says so itself: it is
 * warming and not ready, which all know of every member. A restart is another matter, and so is the
 * other half of a partition (docs/gossip.md, "Coming back"). */
#include "gossip/internal.h"

void standing_init(struct gossip *g)
{
    g->standing = (struct standing){ .answer_at_us = USEC_NEVER,
                                     .held_until_us = USEC_NEVER,
                                     .removed_us = LONG_AGO,
                                     .lonely_us = LONG_AGO,
                                     .stood_still_us = LONG_AGO };
}

/* Of two, nobody can say whose link is bad. */
static bool is_judged(const struct gossip *g)
{
    const struct peer *self = &g->peers[g->self];
    return g->used > 2 && !g->gathering && g->leaving == LEAVING_NOT &&
           self->state <= MEMBER_OWNING;
}

static bool was_lonely(const struct gossip *g)
{
    return g->now.mono_us - g->standing.lonely_us <= LONELY_LATELY_US;
}

/* Only who lives as well as that at once denies it: from the other half of a partition, or because
 * there is still time. */
static bool is_denied(const struct gossip *g, bool is_unfit, bool waits, bool is_late)
{
    return g->standing.answer_at_us == USEC_NEVER && !is_unfit &&
           (waits || is_late || !was_lonely(g));
}

bool standing_hear_death(struct gossip *g, const struct datagram_state *state)
{
    struct standing *s = &g->standing;
    const uint64_t own = roster_self(g)->incarnation;
    const bool waits = state->how.is_news && state->how.wait_us > 0;
    /* Of the life before, which we denied: too late. */
    const bool is_late = !waits && state->incarnation + 1 == own && state->incarnation == s->denied;
    if ((state->incarnation != own && !is_late) || !is_judged(g)) {
        return false; /* of the process before us, or from the future */
    }
    /* We must have seen it, too: to the other half of a partition it looks the same. */
    const bool is_unfit =
        state->how.is_unfit && (prober_median_lost(g) >= WINDOW_DOUBT || was_lonely(g));
    if (is_denied(g, is_unfit, waits, is_late)) {
        return false;
    }
    if (is_unfit && !s->is_unfit) {
        MARK(g, "gossip.self.unfit");
        s->is_unfit = true;
        /* Not before all have seen us go. */
        s->answer_at_us = g->now.mono_us + state->how.wait_us + RETURN_US;
    } else if (s->answer_at_us == USEC_NEVER) {
        s->answer_at_us = g->now.mono_us + LISTEN_US;
    }
    s->above = own;
    return true;
}

/* It asks, and asks again, though it was told each time that it is dead: it does not hear. Questions
 * that its kernel had kept while a cable was out come at once, before it can have heard anything. */
void standing_asked_by_the_dead(struct gossip *g, struct peer *peer, uint64_t incarnation)
{
    const uint32_t now = (uint32_t)(g->now.mono_us / ASKS_APART_US);
    if (peer->state != MEMBER_DEAD || incarnation != peer->incarnation || peer->is_unfit ||
        (peer->asks > 0 && peer->asked == (now & 3u))) {
        return;
    }
    peer->asked = now & 3u;
    peer->asks++;
    if (peer->asks == 0) { /* the fourth */
        MARK(g, "gossip.dead.does_not_hear");
        peer->is_unfit = true;
        rumours_state(g, peer); /* whoever it hears first can tell it so */
    }
}

void standing_stalled(struct gossip *g, usec_t late_us)
{
    g->standing.stood_still_us = g->now.mono_us;
    g->company_us += late_us;
}

static void become_ready(struct gossip *g)
{
    struct peer *self = roster_self(g);
    if (self->ready) {
        return;
    }
    roster_before(g, self);
    self->ready = true;
    roster_after(g, self);
    rumours_state(g, self);
}

void standing_ready(struct gossip *g)
{
    g->standing.was_ready = true;
    if (g->standing.held_until_us == USEC_NEVER) {
        become_ready(g);
    }
}

/* 0: at once. */
static usec_t time_to_wait(const struct gossip *g)
{
    const struct standing *s = &g->standing;
    const bool is_again = s->removals > 0 && g->peers[g->self].state == MEMBER_WARMING;
    const bool is_unfit = s->is_unfit || is_again; /* it has not owned since the last time */
    const uint32_t free = is_unfit ? 0 : HELD_FREE;
    if (g->now.mono_us - s->stood_still_us <= STILL_LATELY_US) {
        return 0; /* that is why, and it is over */
    }
    if (s->removals <= free) {
        return is_unfit ? HELD_US : 0;
    }
    const uint32_t doubles = s->removals - free - 1;
    return HELD_US << (doubles < HELD_DOUBLES ? doubles : HELD_DOUBLES);
}

static void come_back(struct gossip *g)
{
    struct standing *s = &g->standing;
    const bool is_recent = g->now.mono_us - s->removed_us <= HELD_FORGET_US;
    s->removals = is_recent ? s->removals : 0;
    s->removals += roster_self(g)->state == MEMBER_OWNING ? 1 : 0;
    s->removed_us = g->now.mono_us;
    s->answer_at_us = USEC_NEVER;
    const usec_t wait_us = time_to_wait(g);
    s->is_unfit = false;
    if (wait_us == 0) {
        identity_refute(g, s->above);
        return;
    }
    MARK(g, "gossip.self.held_back");
    s->held_until_us = g->now.mono_us + wait_us;
    identity_step_down(g, s->above);
    notices_add(g, GOSSIP_HELD_BACK, roster_self(g));
}

void standing_look(struct gossip *g)
{
    if (g->now.mono_us - g->company_us > LONELY_US) {
        g->standing.lonely_us = g->now.mono_us;
    }
}

void standing_tick(struct gossip *g)
{
    struct standing *s = &g->standing;
    if (g->now.mono_us >= s->answer_at_us) {
        if (roster_self(g)->incarnation == s->above && is_judged(g)) {
            come_back(g);
        }
        s->answer_at_us = USEC_NEVER;
        s->is_unfit = false;
    }
    if (s->held_until_us != USEC_NEVER && (prober_median_lost(g) >= WINDOW_MORE || was_lonely(g))) {
        /* Our links are still bad. */
        s->held_until_us = usec_max(s->held_until_us, g->now.mono_us + HELD_WELL_US);
    }
    if (g->now.mono_us >= s->held_until_us) {
        s->held_until_us = USEC_NEVER;
        if (s->was_ready && roster_is_living(roster_self(g))) {
            become_ready(g);
        }
    }
    g->stats.removals = s->removals;
    g->stats.held_s = s->held_until_us == USEC_NEVER
                          ? 0
                          : (uint32_t)((s->held_until_us - g->now.mono_us) / SEC(1)) + 1;
}

usec_t standing_deadline(const struct gossip *g)
{
    return usec_min(g->standing.answer_at_us, g->standing.held_until_us);
}
