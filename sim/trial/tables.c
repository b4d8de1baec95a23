/* sim/trial/tables.c: looks at each slot of a new table. */
#include "sim/trial/tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define TABLES_MAX 512u
#define CAP_PERMILLE 1100u /* of a fair share (DESIGN 5) */

struct kept {
    uint64_t digest;
    uint64_t content; /* hash of its ranks */
};

struct tables {
    struct trial *trial;
    struct kept kept[TABLES_MAX];
    uint32_t count;
};

struct tables *tables_new(struct trial *trial)
{
    struct tables *tables = calloc(1, sizeof *tables);
    CHECK(tables != NULL);
    tables->trial = trial;
    return tables;
}

void tables_free(struct tables **tables)
{
    free(*tables);
    *tables = NULL;
}

/* Who should be in the pool: the owning; where nobody owns, the warming. */
static enum member_state state_of_pool(const struct member *members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (members[i].state == MEMBER_OWNING) {
            return MEMBER_OWNING;
        }
    }
    return MEMBER_WARMING;
}

static const struct member *find(const struct member *members, uint32_t count, struct node_id id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (node_id_equal(members[i].id, id)) {
            return &members[i];
        }
    }
    return NULL;
}

/* Slots that a lookup gives to that node first. */
static uint32_t slots_of(const struct ring *ring, struct node_id id)
{
    const uint32_t log2 = ring_slots_log2(ring);
    uint32_t owned = 0;
    for (uint64_t slot = 0; slot < 1ull << log2; slot++) {
        const struct place place = { slot << (64 - log2) };
        owned += ring_is_owner(ring, place, id) ? 1 : 0;
    }
    return owned;
}

static void check_shares(struct world *world, const struct member *members, uint32_t count,
                         const struct ring *ring)
{
    const uint64_t slots = 1ull << ring_slots_log2(ring);
    const enum member_state state = state_of_pool(members, count);
    uint64_t total = 0;
    uint32_t pool = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += members[i].state == state ? members[i].weight : 0;
        pool += members[i].state == state;
    }
    if (pool != ring_count(ring)) {
        world_fail(world, "a ring has %u nodes, %u are to own", ring_count(ring), pool);
        return;
    }
    for (uint32_t i = 0; i < pool; i++) {
        const struct member *member = find(members, count, ring_node(ring, i));
        if (member == NULL || member->state != state) {
            world_fail(world, "somebody is in a ring who is not to own");
            return;
        }
        const uint64_t most = (slots * member->weight * CAP_PERMILLE / total + 999) / 1000 + 1;
        const uint32_t owned = slots_of(ring, member->id);
        if (owned != ring_slots_owned(ring, i)) {
            world_fail(world, "%s owns %u slots, the ring says %u", member->name, owned,
                       ring_slots_owned(ring, i));
        }
        if (pool > 1 && owned > most) {
            world_fail(world, "%s owns %u slots, %llu are 1.1 of its share", member->name, owned,
                       (unsigned long long)most);
        }
    }
}

static bool has_two_zones(const struct member *members, uint32_t count, enum member_state state)
{
    const char *zone = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (members[i].state == state) {
            zone = zone == NULL ? members[i].zone : zone;
            if (strcmp(zone, members[i].zone) != 0) {
                return true;
            }
        }
    }
    return false;
}

static bool has_twice(const struct node_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (node_id_equal(ids[i], ids[k])) {
                return true;
            }
        }
    }
    return false;
}

/* All ranks of all slots; their hash. */
static uint64_t check_slots(struct world *world, const struct member *members, uint32_t count,
                            const struct ring *ring)
{
    const uint32_t log2 = ring_slots_log2(ring);
    const bool zoned = has_two_zones(members, count, state_of_pool(members, count));
    uint64_t content = log2;
    for (uint64_t slot = 0; slot < 1ull << log2; slot++) {
        struct node_id ids[RING_RANKS];
        const struct place place = { slot << (64 - log2) };
        const uint32_t found = ring_owners(ring, place, RING_RANKS, ids);
        content = hash64(ids, found * sizeof ids[0], content);
        if (has_twice(ids, found)) {
            world_fail(world, "a slot has one node for two ranks");
        }
        if (zoned &&
            strcmp(find(members, count, ids[0])->zone, find(members, count, ids[1])->zone) == 0) {
            world_fail(world, "both copies of a slot are in one zone");
        }
    }
    return content;
}

void tables_built(struct tables *tables, const struct member *members, uint32_t count,
                  const struct ring *ring)
{
    struct world *world = tables->trial->world;
    if (ring_count(ring) == 0) {
        return;
    }
    check_shares(world, members, count, ring);
    const uint64_t content = world->failed ? 0 : check_slots(world, members, count, ring);
    for (uint32_t i = 0; i < tables->count; i++) {
        if (tables->kept[i].digest == ring_digest(ring) && tables->kept[i].content != content) {
            world_fail(world, "two rings have one digest");
        }
    }
    if (tables->count < TABLES_MAX) {
        tables->kept[tables->count++] =
            (struct kept){ .digest = ring_digest(ring), .content = content };
    }
}
