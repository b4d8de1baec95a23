/* gossip/publish.c: from what we know to what others may believe. What changes together is
 * published together. */
#include "gossip/internal.h"

void publish_soon(struct gossip *g, struct peer *peer, usec_t wait_us)
{
    peer->touched = true;
    g->publish_at_us = usec_min(g->publish_at_us, g->now.mono_us + wait_us);
}

static void tell(struct gossip *g, const struct member *member, bool lived)
{
    if (node_id_equal(member->id, g->id)) {
        return;
    }
    switch (member->state) {
    case MEMBER_WARMING:
    case MEMBER_OWNING:
    case MEMBER_LEAVING:
        if (!lived) {
            notices_add(g, GOSSIP_MEMBER_JOINED, member);
        }
        return;
    case MEMBER_DEAD:
        if (lived) {
            notices_add(g, GOSSIP_MEMBER_DEAD, member);
        }
        return;
    case MEMBER_LEFT:
        if (lived) {
            notices_add(g, GOSSIP_MEMBER_LEFT, member);
        }
        return;
    }
}

/* A member that comes back owning is warming to others until a cut lets it in. */
static struct member shown(const struct peer *peer)
{
    struct member member = peer->known;
    if (peer->held && member.state == MEMBER_OWNING) {
        member.state = MEMBER_WARMING;
    }
    return member;
}

static bool publish_one(struct gossip *g, struct peer *peer)
{
    struct member member = shown(peer);
    const struct member *before = view_find(g->view, member.id);
    bool lived = before != NULL && member_is_living(before);
    enum err err = ERR_OK;
    bool changed = view_merge(g->view, &member, &err);
    CHECK(err == ERR_OK); /* as many places as the roster, and what that drops is dropped here */
    peer->touched = false;
    if (changed) {
        tell(g, &member, lived);
    }
    return changed;
}

void publish_tick(struct gossip *g)
{
    if (g->now.mono_us < g->publish_at_us) {
        return;
    }
    g->publish_at_us = USEC_NEVER;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (g->peers[i].used && g->peers[i].touched && publish_one(g, &g->peers[i])) {
            g->tell_view = true;
        }
    }
}
