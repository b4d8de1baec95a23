/* gossip/farewell.c: leaving in order. First LEAVING: we own nothing any more, but answer. When the
 * node has given away what it had, LEFT: told to random members until some have acknowledged it. */
#include "gossip/internal.h"

#define WITNESSES 3u /* acks that are enough; rumours do the rest */
#define TOLD_AT_ONCE 4u

static void announce(struct gossip *g, enum member_state state)
{
    struct peer *self = roster_self(g);
    if (self->state < state) {
        roster_decide(g, self, state);
    }
}

void farewell_leave(struct gossip *g, bool drained)
{
    if (!drained && g->leaving == LEAVING_NOT) {
        g->leaving = LEAVING_ANNOUNCED;
        announce(g, MEMBER_LEAVING);
        g->flood_at_us = g->now.mono_us;
    }
    if (drained && g->leaving < LEAVING_SAYING_GOODBYE) {
        g->leaving = LEAVING_SAYING_GOODBYE;
        announce(g, MEMBER_LEFT);
        g->farewell_at_us = g->now.mono_us;
        g->farewell_until_us = g->now.mono_us + FAREWELL_US;
    }
}

void farewell_acked(struct gossip *g)
{
    g->farewell_acks++;
}

void farewell_tick(struct gossip *g)
{
    if (g->leaving != LEAVING_SAYING_GOODBYE) {
        return;
    }
    uint32_t enough = g->living < WITNESSES ? g->living : WITNESSES; /* we live no more */
    if (g->farewell_acks >= enough || g->now.mono_us >= g->farewell_until_us) {
        g->leaving = LEAVING_DONE;
        g->tell_left = true;
        return;
    }
    if (g->now.mono_us < g->farewell_at_us) {
        return;
    }
    g->farewell_at_us = g->now.mono_us + FAREWELL_AGAIN_US;
    for (uint32_t i = 0; i < TOLD_AT_ONCE && parcel_has_room(g); i++) {
        struct peer *peer = roster_random(g);
        if (peer != NULL) {
            pings_member(g, peer, PING_FAREWELL, 0);
        }
    }
}
