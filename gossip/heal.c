/* gossip/heal.c: finds the others, the first time and again for ever. While alone, the seeds are
 * tried at a growing pace; later one seed or dead member is contacted every few seconds, so that
 * two halves of a cluster that lost each other meet again without anybody's help. */
#include "gossip/internal.h"

#define SEEDS_AT_ONCE 3u

static usec_t about(struct gossip *g, usec_t wait_us)
{
    return wait_us + rng_between(&g->rng, -wait_us / 5, wait_us / 5);
}

void heal_start(struct gossip *g)
{
    g->started_us = g->now.mono_us;
    g->join_wait_us = JOIN_FIRST_US;
    g->join_at_us = USEC_NEVER; /* until there are seeds */
    g->heal_at_us = g->now.mono_us + about(g, HEAL_US);
    g->resolve_at_us = g->now.mono_us;
    g->sweep_at_us = g->now.mono_us + SWEEP_US;
}

static bool is_same_address(const struct address *a, const struct address *b)
{
    return a != NULL && a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

void heal_seeds(struct gossip *g, const struct address *addresses, uint32_t count)
{
    const struct address *own = roster_address(roster_self(g));
    g->seed_count = 0;
    g->seeds_known = true;
    for (uint32_t i = 0; i < count && g->seed_count < GOSSIP_SEEDS_MAX; i++) {
        if (addresses[i].port != 0 && !is_same_address(own, &addresses[i])) {
            g->seeds[g->seed_count++] = addresses[i];
        }
    }
    if (g->living <= 1) {
        g->join_at_us = usec_min(g->join_at_us, g->now.mono_us);
    }
}

static void join(struct gossip *g)
{
    if (g->living > 1) {
        g->join_wait_us = JOIN_FIRST_US;
        g->join_at_us = USEC_NEVER;
        return;
    }
    for (uint32_t i = 0; i < SEEDS_AT_ONCE && i < g->seed_count && parcel_has_room(g); i++) {
        uint64_t skip = rng_below(&g->rng, g->seed_count - i); /* draw without drawing one twice */
        struct address seed = g->seeds[i + skip];
        g->seeds[i + skip] = g->seeds[i];
        g->seeds[i] = seed;
        pings_introduce(g, &seed, NULL);
    }
    g->join_at_us = g->now.mono_us + about(g, g->join_wait_us);
    g->join_wait_us = usec_min(2 * g->join_wait_us, HEAL_US);
}

static bool is_of_a_living_member(struct gossip *g, const struct address *seed)
{
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (roster_is_living(&g->peers[i]) && is_same_address(roster_address(&g->peers[i]), seed)) {
            return true;
        }
    }
    return false;
}

/* One of those we have lost, or never met; each as likely. */
static void contact_somebody(struct gossip *g)
{
    const struct address *chosen = NULL;
    const struct peer *dead = NULL;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < g->seed_count; i++) {
        if (!is_of_a_living_member(g, &g->seeds[i]) && rng_below(&g->rng, ++seen) == 0) {
            chosen = &g->seeds[i];
        }
    }
    for (uint32_t i = 0; i < g->peers_high; i++) {
        const struct peer *peer = &g->peers[i];
        if (peer->used && peer->known.state == MEMBER_DEAD && roster_address(peer) != NULL &&
            rng_below(&g->rng, ++seen) == 0) {
            chosen = roster_address(peer);
            dead = peer;
        }
    }
    if (chosen != NULL) {
        pings_introduce(g, chosen, dead);
    }
}

void heal_tick(struct gossip *g)
{
    usec_t now_us = g->now.mono_us;
    if (now_us >= g->resolve_at_us) {
        g->tell_resolve = true;
        g->resolve_at_us = now_us + about(g, g->living > 1 ? RESOLVE_US : RESOLVE_ALONE_US);
    }
    if (now_us >= g->join_at_us) {
        join(g);
    }
    if (now_us >= g->heal_at_us && parcel_has_room(g)) {
        contact_somebody(g);
        g->heal_at_us = now_us + about(g, HEAL_US);
    }
    if (now_us >= g->sweep_at_us) {
        roster_sweep(g);
        g->sweep_at_us = now_us + SWEEP_US;
    }
}

usec_t heal_deadline(const struct gossip *g)
{
    return usec_min(usec_min(g->resolve_at_us, g->join_at_us),
                    usec_min(g->heal_at_us, g->sweep_at_us));
}
