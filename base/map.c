/* base/map.c: chains in a fixed number of buckets. */
#include "base/map.h"

#include <stddef.h>

static uint64_t next_power_of_two(uint64_t value)
{
    uint64_t power = 1;
    while (power < value) {
        power *= 2;
    }
    return power;
}

enum err map_init(struct map *map, struct arena *mem, uint64_t expected)
{
    if (expected > SIZE_MAX / (2 * sizeof(struct map_node *))) {
        return ERR_NOMEM;
    }
    uint64_t buckets = next_power_of_two(expected);
    struct map_node **array = arena_array(mem, buckets, sizeof(struct map_node *));
    if (array == NULL) {
        return ERR_NOMEM;
    }
    *map = (struct map){ .buckets = array, .mask = buckets - 1 };
    return ERR_OK;
}

void map_insert(struct map *map, struct map_node *node, uint64_t hash)
{
    struct map_node **bucket = &map->buckets[hash & map->mask];
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    map->count++;
}

void map_remove(struct map *map, struct map_node *node)
{
    struct map_node **link = &map->buckets[node->hash & map->mask];
    while (*link != node) {
        CHECK(*link != NULL);
        link = &(*link)->next;
    }
    CHECK(map->count > 0);
    *link = node->next;
    node->next = NULL;
    map->count--;
}

static struct map_node *first_of_hash(struct map_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash) {
        node = node->next;
    }
    return node;
}

struct map_node *map_first(const struct map *map, uint64_t hash)
{
    return first_of_hash(map->buckets[hash & map->mask], hash);
}

struct map_node *map_next(const struct map_node *node)
{
    return first_of_hash(node->next, node->hash);
}

struct map_node *map_walk(const struct map *map, const struct map_node *after)
{
    uint64_t bucket = 0;
    if (after != NULL) {
        if (after->next != NULL) {
            return after->next;
        }
        bucket = (after->hash & map->mask) + 1;
    }
    for (; bucket <= map->mask; bucket++) {
        if (map->buckets[bucket] != NULL) {
            return map->buckets[bucket];
        }
    }
    return NULL;
}
