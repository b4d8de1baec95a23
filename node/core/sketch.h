/* node/core/sketch.h: which blocks are wanted most, in bounded memory (space-saving top-k).
 *
 * So many blocks are counted; one that is not among them takes the place of the least, and its
 * weight with it. So what is counted of a block is never too little, too much by its `over` at
 * most, and a block whose weight is above the sum of all / `count` is always among them. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/map.h"

struct sketch_item {
    struct map_node by_id;
    struct block_id id;
    uint64_t weight;
    uint64_t over; /* of it may be another block's */
    uint32_t at;   /* place in the heap */
    uint32_t tag;  /* the user's; 0 for a block that is new here */
};

struct sketch {
    struct map by_id;
    struct sketch_item *items;
    uint32_t *heap; /* numbers of items, the least first */
    uint32_t count;
    uint32_t most;
};

size_t sketch_memory(uint32_t most);
enum err sketch_init(struct sketch *sketch, struct arena *mem, uint32_t most) MUST_USE;
/* That much more of this block. *lost is the tag of the block whose place it took, or 0. The item is
 * this block's until another one takes its place. */
struct sketch_item *sketch_add(struct sketch *sketch, struct block_id id, uint64_t weight,
                               uint32_t *lost);
/* NULL: it is not among them. */
struct sketch_item *sketch_find(const struct sketch *sketch, struct block_id id);
/* All weights become weight * keep / 65536, rounded down. */
void sketch_decay(struct sketch *sketch, uint32_t keep);
