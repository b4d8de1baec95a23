/* gossip/circles.c: who observes whom. In each of K permutations of the living members, made by
 * hashes of their ids, everybody observes the next: exactly K observers each but for chance
 * meetings, and those of different members are spread all over (an expander, as in Rapid and
 * Orleans). With up to K other members everybody observes everybody.
 *
 * No permutation is kept: whom we observe changes with few joins and deaths, and whoever observes
 * another one is looked up when that one is doubted. */
#include "gossip/internal.h"

#include "base/hash.h"

#define CIRCLE_SEED 0x61746f6c6c2d6331u
#define MULTIPLIER 0x9e3779b97f4a7c15u /* odd, without structure: 2^64 by the golden ratio */

/* Where an id stands in a circle. `salt` is the circle's. */
static uint64_t place_of(uint64_t id_hash, uint64_t salt)
{
    const unsigned __int128 product = (unsigned __int128)(id_hash ^ salt) * MULTIPLIER;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t salt_of(uint32_t k)
{
    return hash64_mix(CIRCLE_SEED, k);
}

static uint64_t place_at(const struct gossip *g, uint32_t peer, uint32_t k)
{
    return place_of(records_id_hash(g->records, g->peers[peer].record), salt_of(k));
}

void circles_init(struct gossip *g)
{
    const uint64_t hash = hash64(g->id.b, sizeof g->id.b, 0);
    for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
        g->place[k] = place_of(hash, salt_of(k));
        g->next[k] = NO_PEER;
    }
    g->probes_stale = true;
}

static bool is_few(const struct gossip *g)
{
    return g->living <= OBSERVERS_MAX + 1;
}

void circles_joined(struct gossip *g, uint32_t peer)
{
    if (g->living <= OBSERVERS_MAX + 2) {
        g->probes_stale = true;
    }
    for (uint32_t k = 0; k < OBSERVERS_MAX && peer != g->self; k++) {
        if (g->next[k] != NO_PEER &&
            place_at(g, peer, k) - g->place[k] < place_at(g, g->next[k], k) - g->place[k]) {
            g->next[k] = peer;
            g->probes_stale = true;
        }
    }
}

void circles_left(struct gossip *g, uint32_t peer)
{
    if (is_few(g)) {
        g->probes_stale = true;
    }
    for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
        if (g->next[k] == peer) {
            g->next[k] = NO_PEER;
            g->probes_stale = true;
        }
    }
}

static void look_up_next(struct gossip *g, uint32_t k)
{
    const uint64_t salt = salt_of(k);
    uint64_t nearest = UINT64_MAX;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (i == g->self || !roster_is_living(&g->peers[i])) {
            continue;
        }
        const uint64_t behind_us =
            place_of(records_id_hash(g->records, g->peers[i].record), salt) - g->place[k];
        if (behind_us <= nearest) {
            nearest = behind_us;
            g->next[k] = i;
        }
    }
}

/* `peer` is added unless it is there. */
static uint32_t add_once(uint32_t *peers, uint32_t count, uint32_t peer)
{
    for (uint32_t i = 0; i < count; i++) {
        if (peers[i] == peer) {
            return count;
        }
    }
    peers[count] = peer;
    return count + 1;
}

static uint32_t everybody_else(const struct gossip *g, uint32_t peer, uint32_t out[OBSERVERS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (i != peer && roster_is_living(&g->peers[i])) {
            CHECK(count < OBSERVERS_MAX);
            out[count++] = i;
        }
    }
    return count;
}

uint32_t circles_subjects(struct gossip *g, uint32_t out[OBSERVERS_MAX])
{
    uint32_t count = 0;
    if (!roster_is_living(roster_self(g))) {
        return 0;
    }
    if (is_few(g)) {
        return everybody_else(g, g->self, out);
    }
    for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
        if (g->next[k] == NO_PEER) {
            look_up_next(g, k);
        }
        count = add_once(out, count, g->next[k]);
    }
    return count;
}

/* The one before `peer` in each circle, all in one pass. */
static void draw(const struct gossip *g, uint32_t peer, struct jury *jury)
{
    uint64_t salt[OBSERVERS_MAX];
    uint64_t place[OBSERVERS_MAX];
    uint64_t nearest[OBSERVERS_MAX];
    uint32_t found[OBSERVERS_MAX];
    for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
        salt[k] = salt_of(k);
        place[k] = place_at(g, peer, k);
        nearest[k] = UINT64_MAX;
        found[k] = NO_PEER;
    }
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (i == peer || !roster_is_living(&g->peers[i])) {
            continue;
        }
        const uint64_t hash = records_id_hash(g->records, g->peers[i].record);
        for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
            const uint64_t before = place[k] - place_of(hash, salt[k]);
            found[k] = before <= nearest[k] ? i : found[k];
            nearest[k] = before <= nearest[k] ? before : nearest[k];
        }
    }
    jury->count = 0;
    for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
        CHECK(found[k] != NO_PEER);
        jury->count = add_once(jury->peers, jury->count, found[k]);
    }
}

const struct jury *circles_jury(struct gossip *g, uint32_t peer, struct jury *jury)
{
    if (jury->count > 0 && jury->version == g->version) {
        return jury;
    }
    jury->version = g->version;
    jury->count = 0;
    if (!roster_is_living(&g->peers[peer])) {
        return jury;
    }
    if (is_few(g)) {
        jury->count = everybody_else(g, peer, jury->peers);
    } else {
        draw(g, peer, jury);
    }
    return jury;
}
