/* node/core/blocks.h: every block this node knows of, and where its bytes are.
 *
 * A block is in memory (all of it, or the part that has arrived), on disk, being fetched, or several
 * of these at once; one that is none of them is forgotten. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "node/core/memory.h"
#include "node/core/node.h"

struct flight;
struct object;
struct segment;

struct block {
    struct map_node by_id;
    struct block_id id;
    uint32_t size;
    struct place place;        /* whose it is by the ring of */
    struct dataset_id dataset; /* the first that wanted it */
    struct object *object;     /* kept while it is in memory; NULL: no room for that */
    uint32_t given;            /* to whom it has been handed over (handover.c); 0: to nobody */
    uint32_t arrived;          /* bytes of `buffer`, from the start */
    struct buffer *buffer;     /* cached (memory.h); NULL: not in memory */
    struct flight *flight;     /* NULL: nothing under way */
    struct segment *segment;   /* NULL: not on disk */
    struct list of_segment;
    uint32_t offset;  /* of the record in its segment */
    uint32_t writing; /* writes and reads of the disk that name it */
    bool copy;        /* another node's: only in memory, and nothing is lost when it goes */
    bool offered;     /* to its owner, who has not answered */
};

struct blocks {
    struct map by_id;
    struct pool pool;
};

size_t blocks_memory(const struct node_options *options);
enum err blocks_init(struct blocks *blocks, struct arena *mem, const struct node_options *options)
    MUST_USE;
struct block *blocks_find(const struct node *node, struct block_id id);
/* The block, known from now on; make it hold something or block_settle it. NULL: the table is full
 * and nothing can be evicted. The size is that of a block found. */
struct block *blocks_take(struct node *node, struct block_id id, uint32_t size);
/* Forget it when there is nothing left to know. */
void block_settle(struct node *node, struct block *block);
/* Bytes from the start that can be read: whole chunks, or all. */
static inline uint32_t block_available(const struct block *block)
{
    return block->arrived == block->size ? block->size : block->arrived & ~(CHUNK_SIZE - 1);
}
/* All of it is in memory. */
static inline bool block_is_whole(const struct block *block)
{
    return block->buffer != NULL && block->arrived == block->size;
}
/* Give it memory. false: no room. */
bool block_give_buffer(struct node *node, struct block *block, enum memory_use use);
/* It is a block of that object: whose it is from now on, and while it is in memory what. */
void block_describe(struct node *node, struct block *block, struct object *object);
/* Let go of its memory. */
void block_drop_buffer(struct node *node, struct block *block);
void blocks_on_evict(struct node *node, uint32_t index);
