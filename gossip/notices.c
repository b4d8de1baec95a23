/* gossip/notices.c: effects that are no packets wait here until they have room. Flags cannot get
 * lost; lines for the log can, when a whole cluster changes at once. */
#include "gossip/internal.h"

void notices_add(struct gossip *g, enum gossip_effect_kind kind, const struct member *member)
{
    if (g->notice_count == NOTICES_MAX) {
        MARK(g, "gossip.notices.full");
        return;
    }
    g->notices[(g->notice_first + g->notice_count++) % NOTICES_MAX] =
        (struct notice){ .kind = kind, .node = member->id, .incarnation = member->incarnation };
}

void notices_catalog(struct gossip *g, struct peer *peer, uint64_t catalog)
{
    bool is_told = peer->catalog_told == catalog && peer->catalog_told_own == g->catalog &&
                   g->now.mono_us - peer->catalog_told_us < CATALOG_AGAIN_US;
    peer->catalog = catalog;
    peer->catalog_due = catalog != g->catalog && !is_told;
    g->tell_catalogs = g->tell_catalogs || peer->catalog_due;
}

static bool has_room(const struct gossip *g)
{
    return g->out->count < GOSSIP_EFFECTS_MAX;
}

static void put(struct gossip *g, struct gossip_effect effect)
{
    CHECK(has_room(g));
    g->out->items[g->out->count++] = effect;
}

static void put_flag(struct gossip *g, bool *flag, enum gossip_effect_kind kind)
{
    const struct member *self = &roster_self(g)->known;
    if (*flag && has_room(g)) {
        *flag = false;
        put(g, (struct gossip_effect){
                   .kind = kind, .node = self->id, .incarnation = self->incarnation });
    }
}

static void flush_catalogs(struct gossip *g)
{
    if (!g->tell_catalogs) {
        return;
    }
    for (uint32_t i = 0; i < g->peers_high; i++) {
        struct peer *peer = &g->peers[i];
        if (!peer->used || !peer->catalog_due) {
            continue;
        }
        if (!has_room(g)) {
            return; /* the flag stays: the rest at the next step */
        }
        peer->catalog_due = false;
        peer->catalog_told = peer->catalog;
        peer->catalog_told_own = g->catalog;
        peer->catalog_told_us = g->now.mono_us;
        put(g, (struct gossip_effect){ .kind = GOSSIP_PEER_CATALOG,
                                       .node = peer->known.id,
                                       .incarnation = peer->known.incarnation,
                                       .catalog = { .digest = peer->catalog } });
    }
    g->tell_catalogs = false;
}

void notices_flush(struct gossip *g)
{
    put_flag(g, &g->tell_persist, GOSSIP_PERSIST);
    put_flag(g, &g->tell_view, GOSSIP_VIEW);
    put_flag(g, &g->tell_resolve, GOSSIP_RESOLVE);
    flush_catalogs(g);
    while (g->notice_count > 0 && has_room(g)) {
        const struct notice *next = &g->notices[g->notice_first];
        put(g, (struct gossip_effect){
                   .kind = next->kind, .node = next->node, .incarnation = next->incarnation });
        g->notice_first = (g->notice_first + 1) % NOTICES_MAX;
        g->notice_count--;
    }
    if (g->tell_left || g->tell_in_use) {
        put_flag(g, &g->tell_left, GOSSIP_LEFT); /* last: the process may end */
        put_flag(g, &g->tell_in_use, GOSSIP_IDENTITY_IN_USE);
        g->finished = !g->tell_left && !g->tell_in_use;
    }
}

bool notices_wait(const struct gossip *g)
{
    return g->tell_persist || g->tell_view || g->tell_resolve || g->tell_catalogs || g->tell_left ||
           g->tell_in_use || g->notice_count > 0;
}
