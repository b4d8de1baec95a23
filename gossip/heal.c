/* gossip/heal.c: finds the others, the first time and again for ever. While alone, the seeds are
 * tried at a growing pace; later one seed or one that is dead or has left is contacted every few
 * seconds, so that two halves of a cluster that lost each other meet again without anybody's help, and
 * a node that left and starts again is found, though it may know of nobody. */
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
    g->next_seed = (uint32_t)rng_below(&g->rng, GOSSIP_SEEDS_MAX);
    g->sweep_at_us = g->now.mono_us + SWEEP_US;
}

/* Of a member that has told no address it is NULL. */
static bool is_at(const struct address *known, const struct address *address)
{
    return known != NULL && address_equal(known, address);
}

void heal_seeds(struct gossip *g, const struct address *addresses, uint32_t count)
{
    const struct address *own = roster_address(g, roster_self(g));
    g->seed_count = 0;
    g->seeds_known = true;
    for (uint32_t i = 0; i < count && g->seed_count < GOSSIP_SEEDS_MAX; i++) {
        if (addresses[i].port != 0 && !is_at(own, &addresses[i])) {
            g->seeds[g->seed_count++] = (struct seed){ .address = addresses[i], .peer = NO_PEER };
        }
    }
    if (g->living <= 1 || g->gathering) {
        g->join_at_us = usec_min(g->join_at_us, g->now.mono_us);
    }
}

void heal_answered(struct gossip *g, const struct address *from)
{
    for (uint32_t i = 0; i < g->seed_count && g->gathering; i++) {
        g->seeds[i].answers = g->seeds[i].answers || address_equal(from, &g->seeds[i].address);
    }
}

static bool is_there(const struct gossip *g, uint32_t index, const struct seed *seed)
{
    const struct peer *peer = &g->peers[index];
    return roster_is_living(peer) && is_at(roster_address(g, peer), &seed->address);
}

static bool is_of_a_living_member(struct gossip *g, struct seed *seed)
{
    if (seed->peer != NO_PEER && is_there(g, seed->peer, seed)) {
        return true; /* as the last time */
    }
    seed->peer = NO_PEER;
    for (uint32_t i = 0; i < g->peers_high && seed->peer == NO_PEER; i++) {
        seed->peer = is_there(g, i, seed) ? i : NO_PEER;
    }
    return seed->peer != NO_PEER;
}

static bool is_met(struct gossip *g, struct seed *seed)
{
    return (g->gathering && g->living > 1 && seed->answers) || is_of_a_living_member(g, seed);
}

bool heal_expects_more(struct gossip *g)
{
    bool all_met = g->seeds_known;
    if (g->now.mono_us - g->started_us >= JOIN_PATIENCE_US) {
        return false;
    }
    for (uint32_t i = 0; i < g->seed_count && all_met; i++) {
        all_met = is_met(g, &g->seeds[i]);
    }
    return !all_met;
}

/* The seeds in turn, but those that are met. */
static void join(struct gossip *g)
{
    uint32_t asked = 0;
    if (g->living > 1 && !heal_expects_more(g)) {
        g->join_wait_us = JOIN_FIRST_US;
        g->join_at_us = USEC_NEVER;
        return;
    }
    for (uint32_t i = 0; i < g->seed_count && asked < SEEDS_AT_ONCE && parcel_has_room(g); i++) {
        struct seed *seed = &g->seeds[g->next_seed++ % g->seed_count];
        if (!is_met(g, seed)) {
            pings_introduce(g, &seed->address, NULL);
            asked++;
        }
    }
    g->join_at_us = g->now.mono_us + about(g, g->join_wait_us);
    g->join_wait_us =
        usec_min(2 * g->join_wait_us, heal_expects_more(g) ? JOIN_GATHERING_US : HEAL_US);
}

/* One of those that went, or that we never met. Where there are both, each kind gets half. */
static void contact_somebody(struct gossip *g)
{
    const struct peer *gone = roster_random_gone(g);
    const struct address *chosen = gone != NULL ? roster_address(g, gone) : NULL;
    const struct address *seed = NULL;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < g->seed_count; i++) {
        if (!is_of_a_living_member(g, &g->seeds[i]) && rng_below(&g->rng, ++seen) == 0) {
            seed = &g->seeds[i].address;
        }
    }
    if (seed != NULL && (chosen == NULL || rng_below(&g->rng, 2) == 0)) {
        chosen = seed;
        gone = NULL;
    }
    if (chosen != NULL) {
        pings_introduce(g, chosen, gone);
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
