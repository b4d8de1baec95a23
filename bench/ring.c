/* bench/ring.c: what docs/ring.md promises, measured; prints its table.
 *
 *     build/release/bench_ring            all rows, about a minute
 *     build/release/bench_ring --quick    fewer views and changes
 *
 * Counts are exact and the same on every machine. Times are of one thread's CPU, the best of
 * several, because the machine may be busy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/rng.h"
#include "ring/ring.h"

#define NODES_MAX 4001u
#define HEAVY 4u /* weights are 1:1, or 1:4 one by one */

struct made {
    const struct ring *ring;
    void *memory;
    double ms; /* to build */
};

struct shares {
    double most; /* owned over the share that the weight asks for */
    double least;
};

struct moves {
    uint32_t count;
    double sum;
    double worst;
};

static struct member members[NODES_MAX];
static bool quick;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Member `number` of a cluster that is named by `seed`. */
static struct member make_member(uint64_t seed, uint32_t number, uint32_t heavy, uint32_t zones)
{
    struct member member = { .incarnation = 1, .state = MEMBER_OWNING };
    put_u64(member.id.b, hash64_mix(seed, number));
    put_u64(member.id.b + 8, hash64_mix(number, seed + 1));
    member.weight = 100 * (number % 2 == 0 ? 1 : heavy);
    member.zone[0] = (char)(zones == 0 ? '\0' : 'a' + (int)(number % zones));
    return member;
}

static void make_members(uint64_t seed, uint32_t count, uint32_t heavy, uint32_t zones)
{
    for (uint32_t i = 0; i < count; i++) {
        members[i] = make_member(seed, i, heavy, zones);
    }
}

static struct made make(uint32_t count, uint32_t slots_log2, const struct ring *previous)
{
    const struct ring_options options = { .slots_log2 = slots_log2, .previous = previous };
    struct made made = { .ring = NULL };
    struct arena mem;
    const size_t size = ring_memory(count, slots_log2);
    made.memory = malloc(size);
    if (made.memory == NULL) {
        abort();
    }
    memset(made.memory, 1, size); /* pages are there: they are not what is measured */
    arena_init(&mem, made.memory, size);
    const double began = now_ms();
    if (ring_build(&mem, members, count, &options, &made.ring) != ERR_OK) {
        abort();
    }
    made.ms = now_ms() - began;
    return made;
}

static void drop(struct made *made)
{
    free(made->memory);
    made->ring = NULL;
}

/* The member that a node of the ring is; both are sorted alike once, then found in turn. */
static int by_id(const void *a, const void *b)
{
    return node_id_compare(((const struct member *)a)->id, ((const struct member *)b)->id);
}

static const char *verdict(bool met)
{
    return met ? "yes" : "**no**";
}

/* ---- P1: shares ------------------------------------------------------------------------------ */

static struct shares shares_of(const struct ring *ring, uint32_t count)
{
    static struct member sorted[NODES_MAX];
    struct shares shares = { .most = 0, .least = 1e9 };
    double total = 0;
    memcpy(sorted, members, count * sizeof members[0]);
    qsort(sorted, count, sizeof sorted[0], by_id);
    for (uint32_t i = 0; i < count; i++) {
        total += sorted[i].weight;
    }
    for (uint32_t i = 0; i < count; i++) {
        double share = sorted[i].weight / total * (double)(1ull << ring_slots_log2(ring));
        double load = ring_slots_owned(ring, i) / share;
        shares.most = load > shares.most ? load : shares.most;
        shares.least = load < shares.least ? load : shares.least;
    }
    return shares;
}

static void show_shares(uint32_t count, uint32_t slots_log2, uint32_t views)
{
    struct shares all = { .most = 0, .least = 1e9 };
    for (uint32_t view = 0; view < views; view++) {
        make_members(1000 + view, count, HEAVY, 0);
        struct made made = make(count, slots_log2, NULL);
        struct shares one = shares_of(made.ring, count);
        all.most = one.most > all.most ? one.most : all.most;
        all.least = one.least < all.least ? one.least : all.least;
        drop(&made);
    }
    printf("| P1 | %u nodes, weights 1:4, 2^%u slots, %u views: largest share / its weight's "
           "(smallest) | ≤ 1.10 | %.4f (%.2f) | %s |\n",
           count, slots_log2, views, all.most, all.least, verdict(all.most <= 1.10));
}

/* ---- P2: movement ---------------------------------------------------------------------------- */

static uint32_t owned_by(const struct ring *ring, struct node_id id)
{
    for (uint32_t i = 0; i < ring_count(ring); i++) {
        if (node_id_equal(ring_node(ring, i), id)) {
            return ring_slots_owned(ring, i);
        }
    }
    return 0;
}

static void add_move(struct moves *moves, const struct ring *small, const struct ring *large,
                     struct node_id who)
{
    double ratio = (double)ring_moved(small, large) / owned_by(large, who);
    moves->count++;
    moves->sum += ratio;
    moves->worst = ratio > moves->worst ? ratio : moves->worst;
}

/* A random one leaves and a new one comes, again and again. */
static void show_moves(uint32_t count, uint32_t slots_log2, uint32_t heavy, uint32_t rounds)
{
    struct moves moves = { .count = 0 };
    struct rng rng;
    rng_init(&rng, 2, heavy);
    make_members(2, count, heavy, 0);
    struct made large = make(count, slots_log2, NULL);
    for (uint32_t round = 0; round < rounds; round++) {
        struct member last = members[count - 1];
        uint32_t leaver = (uint32_t)rng_below(&rng, count);
        struct node_id gone = members[leaver].id;
        members[leaver] = last;
        struct made small = make(count - 1, slots_log2, large.ring);
        add_move(&moves, small.ring, large.ring, gone);
        drop(&large);
        members[count - 1] = make_member(2, count + round, heavy, 0);
        large = make(count, slots_log2, small.ring);
        add_move(&moves, small.ring, large.ring, members[count - 1].id);
        drop(&small);
    }
    drop(&large);
    printf("| P2 | %u nodes, weights 1:%u, %u joins and leaves: slots moved / least possible, mean "
           "(worst) | ≤ 1.08 (1.25) | %.3f (%.3f) | %s |\n",
           count, heavy, moves.count, moves.sum / moves.count, moves.worst,
           verdict(moves.sum / moves.count <= 1.08 && moves.worst <= 1.25));
}

/* ---- P3: lookups ----------------------------------------------------------------------------- */

/* Nanoseconds for the owner of a place, among `slots` (a power of two) of the table's. */
static double lookup_ns(const struct ring *ring, uint64_t slots)
{
    enum { LOOKUPS = 1 << 20, ROUNDS = 100 };
    const uint64_t step = UINT64_C(1) << (64 - ring_slots_log2(ring));
    double best_ms = 1e9;
    uint32_t sum = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t number = round;
        const double began = now_ms();
        for (uint32_t i = 0; i < LOOKUPS; i++) {
            struct node_id owner;
            number = number * 6364136223846793005u + 1442695040888963407u;
            (void)ring_owners(ring, (struct place){ ((number >> 40) & (slots - 1)) * step }, 1,
                              &owner);
            sum += owner.b[0];
        }
        const double ms = now_ms() - began;
        best_ms = ms < best_ms ? ms : best_ms;
    }
    return sum == 1 ? 0 : best_ms * 1e6 / LOOKUPS; /* the sum is looked at: nothing is left out */
}

static void show_lookups(void)
{
    make_members(3, 1000, HEAVY, 0);
    struct made made = make(1000, 18, NULL);
    const double hot = lookup_ns(made.ring, 1 << 12);
    printf("| P3 | 1000 nodes, 2^18 slots: owner of a place, in cache (the whole table at random), "
           "ns | "
           "≤ 3 | %.1f (%.1f) | %s |\n",
           hot, lookup_ns(made.ring, 1 << 18), verdict(hot <= 3));
    drop(&made);
}

/* ---- P4: building ---------------------------------------------------------------------------- */

struct cost {
    uint32_t count;
    double ms;
    double worst_ms;
    double pairs;
    uint64_t worst_pairs;
};

/* Built three times: the best time counts. The caller drops the ring. */
static struct made cost_of(uint32_t count, uint32_t slots_log2, const struct ring *previous,
                           struct cost *cost)
{
    struct made made = make(count, slots_log2, previous);
    double ms = made.ms;
    for (uint32_t again = 0; again < 2; again++) {
        struct made same = make(count, slots_log2, previous);
        ms = same.ms < ms ? same.ms : ms;
        drop(&same);
    }
    const uint64_t pairs = ring_scored(made.ring);
    cost->count++;
    cost->ms += ms;
    cost->pairs += (double)pairs;
    cost->worst_ms = ms > cost->worst_ms ? ms : cost->worst_ms;
    cost->worst_pairs = pairs > cost->worst_pairs ? pairs : cost->worst_pairs;
    return made;
}

static void show_cost(const char *what, uint32_t nodes, const struct cost *cost, double limit_ms)
{
    printf(
        "| P4 | %u nodes, weights 1:4, 3 zones: %s, ms (worst); million pairs looked at (worst) | "
        "≤ %.0f ms | %.1f (%.1f); %.2f (%.2f) | %s |\n",
        nodes, what, limit_ms, cost->ms / cost->count, cost->worst_ms,
        cost->pairs / cost->count / 1e6, (double)cost->worst_pairs / 1e6,
        verdict(cost->worst_ms <= limit_ms));
}

static void show_building(uint32_t nodes, uint32_t slots_log2, const double limits_ms[2])
{
    const uint32_t rounds = quick ? 4 : 20; /* light and heavy ones in turn */
    struct cost full = { 0 };
    struct cost join = { 0 };
    struct cost leave = { 0 };
    struct cost weight = { 0 };
    make_members(4, nodes, HEAVY, 3);
    struct made base = make(nodes, slots_log2, NULL);
    for (uint32_t round = 0; round < rounds; round++) {
        members[nodes] = make_member(4, nodes + round, HEAVY, 3);
        struct made more = cost_of(nodes + 1, slots_log2, base.ring, &join);
        struct made less = cost_of(nodes, slots_log2, more.ring, &leave);
        drop(&less);
        drop(&more);
        members[round].weight -= members[round].weight / 10;
        struct made other = cost_of(nodes, slots_log2, base.ring, &weight);
        drop(&base);
        base = other;
    }
    for (uint32_t round = 0; round < 3; round++) {
        struct made anew = cost_of(nodes, slots_log2, NULL, &full);
        drop(&anew);
    }
    drop(&base);
    show_cost("one joins", nodes, &join, limits_ms[0]);
    show_cost("one leaves", nodes, &leave, limits_ms[0]);
    show_cost("one has a tenth less weight", nodes, &weight, limits_ms[0]);
    show_cost("from nothing", nodes, &full, limits_ms[1]);
}

/* ---- P5: zones ------------------------------------------------------------------------------- */

static uint32_t zone_of(const struct ring *ring, struct node_id id, uint32_t zones)
{
    (void)ring;
    const struct member *at = members;
    while (!node_id_equal(at->id, id)) {
        at++;
    }
    return (uint32_t)(at->zone[0] - 'a') % zones;
}

/* Slots with a rank in each zone (so that whichever is lost, all others still have one), and the
 * fewest zones that any slot has. */
static void show_zones(uint32_t zones, uint32_t wanted)
{
    const uint32_t count = 40;
    uint32_t everywhere = 0;
    uint32_t fewest = zones;
    make_members(5, count, HEAVY, zones);
    struct made made = make(count, 14, NULL);
    for (uint32_t slot = 0; slot < 1u << 14; slot++) {
        struct node_id ids[RING_RANKS];
        uint32_t seen = 0;
        uint32_t found =
            ring_owners(made.ring, (struct place){ (uint64_t)slot << 50 }, RING_RANKS, ids);
        for (uint32_t i = 0; i < found; i++) {
            seen |= 1u << zone_of(made.ring, ids[i], zones);
        }
        uint32_t has = (uint32_t)__builtin_popcount(seen);
        everywhere += has == zones ? 1 : 0;
        fewest = has < fewest ? has : fewest;
    }
    printf(
        "| P5 | %u zones: slots with a rank in every zone (fewest zones of any slot) | %s | %u of "
        "%u (%u) | %s |\n",
        zones, wanted == zones ? "all" : "4 zones", everywhere, 1u << 14, fewest,
        verdict(fewest == wanted));
    drop(&made);
}

int main(int argc, char **argv)
{
    static const double limits_1000[2] = { 10, 1000 };
    static const double limits_4000[2] = { 60, 4000 };
    quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    printf("| goal | what | wanted | measured | met |\n|---|---|---|---|---|\n");
    show_shares(100, 18, quick ? 10 : 100);
    show_shares(1000, 18, quick ? 10 : 100);
    show_shares(4000, 20, quick ? 2 : 20);
    show_moves(100, 18, HEAVY, quick ? 50 : 500);
    show_moves(1000, 18, 1, quick ? 50 : 500);
    show_moves(1000, 18, HEAVY, quick ? 50 : 500);
    show_moves(4000, 20, HEAVY, quick ? 5 : 50);
    show_lookups();
    show_building(1000, 18, limits_1000);
    show_building(4000, 20, limits_4000);
    for (uint32_t zones = 2; zones <= 6; zones++) {
        show_zones(zones, zones < RING_RANKS ? zones : RING_RANKS);
    }
    return 0;
}
