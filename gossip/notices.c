/* gossip/notices.c: effects that are no packets wait here until they have room. Flags cannot get
 * lost; lines for the log can, when a whole cluster changes at once. */
#include "gossip/internal.h"

void notices_add(struct gossip *g, enum gossip_effect_kind kind, const struct peer *peer)
{
    if (g->notice_count == NOTICES_MAX) {
        MARK(g, "gossip.notices.full");
        return;
    }
    g->notices[(g->notice_first + g->notice_count++) % NOTICES_MAX] = (struct notice){
        .kind = kind, .node = roster_id(g, peer), .incarnation = peer->incarnation
    };
}

/* The entry of this member, or the one whose news is oldest; NULL: all are still to be told. */
static struct catalog *find_catalog(struct gossip *g, uint32_t peer)
{
    struct catalog *oldest = NULL;
    for (uint32_t i = 0; i < CATALOGS_MAX; i++) {
        struct catalog *catalog = &g->catalogs[i];
        if (catalog->peer == peer) {
            return catalog;
        }
        if (!catalog->due && (oldest == NULL || catalog->told_us < oldest->told_us)) {
            oldest = catalog;
        }
    }
    return oldest;
}

void notices_catalog(struct gossip *g, const struct peer *peer, uint64_t digest)
{
    const uint32_t index = roster_index(g, peer);
    if (digest == g->catalog && !g->tell_catalogs) {
        return; /* nearly always */
    }
    struct catalog *catalog = find_catalog(g, index);
    if (catalog == NULL) {
        MARK(g, "gossip.catalogs.full"); /* its next packet has it again */
        return;
    }
    if (catalog->peer != index) {
        *catalog = (struct catalog){ .peer = index, .told_us = LONG_AGO };
    }
    const bool is_told = catalog->digest == digest && catalog->own == g->catalog &&
                         g->now.mono_us - catalog->told_us < CATALOG_AGAIN_US;
    catalog->digest = digest;
    catalog->due = digest != g->catalog && !is_told;
    g->tell_catalogs = g->tell_catalogs || catalog->due;
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
    if (*flag && has_room(g)) {
        *flag = false;
        put(g, (struct gossip_effect){
                   .kind = kind, .node = g->id, .incarnation = roster_self(g)->incarnation });
    }
}

static void flush_catalogs(struct gossip *g)
{
    if (!g->tell_catalogs) {
        return;
    }
    for (uint32_t i = 0; i < CATALOGS_MAX; i++) {
        struct catalog *catalog = &g->catalogs[i];
        const struct peer *peer = catalog->due ? &g->peers[catalog->peer] : NULL;
        if (peer == NULL || !roster_is_used(peer)) {
            catalog->due = false;
            continue;
        }
        if (!has_room(g)) {
            return; /* the flag stays: the rest at the next step */
        }
        catalog->due = false;
        catalog->own = g->catalog;
        catalog->told_us = g->now.mono_us;
        put(g, (struct gossip_effect){ .kind = GOSSIP_PEER_CATALOG,
                                       .node = roster_id(g, peer),
                                       .incarnation = peer->incarnation,
                                       .catalog = { .digest = catalog->digest } });
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
