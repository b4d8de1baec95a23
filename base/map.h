/* base/map.h: intrusive hash table of fixed width. The caller hashes, compares and owns the items.
 *
 * Lookup: for (n = map_first(m, hash); n != NULL; n = map_next(n)) if the key is equal ... */
#pragma once
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/check.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    uint64_t mask;
    uint64_t count;
};

/* `expected` items: the number of buckets is the next power of two. ERR_NOMEM: arena too small. */
enum err map_init(struct map *map, struct arena *mem, uint64_t expected) MUST_USE;
void map_insert(struct map *map, struct map_node *node, uint64_t hash);
/* The node must be in the map. */
void map_remove(struct map *map, struct map_node *node);
/* First and next node of exactly this hash. */
struct map_node *map_first(const struct map *map, uint64_t hash);
struct map_node *map_next(const struct map_node *node);
/* Walk everything in bucket order: pass NULL first. The node may be removed before the next call
 * only if the caller fetched its successor already. Order is fixed for a fixed history. */
struct map_node *map_walk(const struct map *map, const struct map_node *after);
