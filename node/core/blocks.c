/* node/core/blocks.c: the table of blocks. */
#include "node/core/blocks.h"

#include "node/core/flights.h"
#include "node/core/internal.h"
#include "node/core/store.h"

#define EVICT_FOR_ENTRY 64u /* buffers thrown out before a whole segment is */

size_t blocks_memory(const struct node_options *options)
{
    size_t count = options->blocks_max;
    return count * (sizeof(struct block) + 8 + 2 * sizeof(void *)) + 64;
}

enum err blocks_init(struct blocks *blocks, struct arena *mem, const struct node_options *options)
{
    *blocks = (struct blocks){ 0 };
    enum err err = map_init(&blocks->by_id, mem, options->blocks_max);
    if (err != ERR_OK) {
        return err;
    }
    return pool_init(&blocks->pool, mem, sizeof(struct block), options->blocks_max);
}

struct block *blocks_find(const struct node *node, struct block_id id)
{
    struct map_node *at = map_first(&node->blocks.by_id, block_id_hash(id));
    for (; at != NULL; at = map_next(at)) {
        struct block *block = CONTAINER_OF(at, struct block, by_id);
        if (block_id_equal(block->id, id)) {
            return block;
        }
    }
    return NULL;
}

static bool make_entry_free(struct node *node)
{
    struct pool *pool = &node->blocks.pool;
    for (uint32_t i = 0; i < EVICT_FOR_ENTRY && pool->used == pool->count; i++) {
        MARK(node, "blocks.full");
        if (!memory_evict(node)) {
            break;
        }
    }
    return pool->used < pool->count || (store_drop_oldest(node) && pool->used < pool->count);
}

struct block *blocks_take(struct node *node, struct block_id id, uint32_t size)
{
    struct block *block = blocks_find(node, id);
    if (block != NULL) {
        return block;
    }
    if (!make_entry_free(node)) {
        return NULL;
    }
    block = pool_take(&node->blocks.pool);
    CHECK(block != NULL && size > 0 && size <= BLOCK_SIZE_MAX);
    block->id = id;
    block->size = size;
    list_init(&block->of_segment);
    map_insert(&node->blocks.by_id, &block->by_id, block_id_hash(id));
    return block;
}

void block_settle(struct node *node, struct block *block)
{
    if (block->buffer != NULL || block->flight != NULL || block->segment != NULL ||
        block->writing > 0) {
        return;
    }
    CHECK(block->object == NULL);
    map_remove(&node->blocks.by_id, &block->by_id);
    pool_give(&node->blocks.pool, block);
}

bool block_give_buffer(struct node *node, struct block *block, enum memory_use use)
{
    CHECK(block->buffer == NULL);
    block->writing++; /* making room must not forget this one */
    struct buffer *buffer = memory_take(node, block->size, use);
    block->writing--;
    if (buffer == NULL) {
        return false;
    }
    block->arrived = 0;
    block->buffer = buffer;
    buffer_cache(node, buffer, CACHE_BLOCK, pool_index(&node->blocks.pool, block));
    return true;
}

void block_describe(struct node *node, struct block *block, struct object *object)
{
    CHECK(object_id_equal(object->id, block->id.object));
    block->place = object_place(object, block->id.index);
    block->dataset = object->dataset;
    if (block->object == NULL && block->buffer != NULL && object_keep(node, object)) {
        block->object = object;
    }
}

static void forget_object(struct node *node, struct block *block)
{
    if (block->object != NULL) {
        object_unkeep(node, block->object);
        block->object = NULL;
    }
}

void block_drop_buffer(struct node *node, struct block *block)
{
    struct buffer *buffer = block->buffer;
    if (buffer == NULL) {
        return;
    }
    block->buffer = NULL;
    block->arrived = 0;
    forget_object(node, block);
    buffer_uncache(node, buffer);
}

void blocks_on_evict(struct node *node, uint32_t index)
{
    struct block *block = pool_at(&node->blocks.pool, index);
    CHECK(block->buffer != NULL && block->flight == NULL);
    block->buffer = NULL;
    block->arrived = 0;
    forget_object(node, block);
    block_settle(node, block);
}

enum block_state blocks_state(const struct node *node, struct block_id id)
{
    const struct block *block = blocks_find(node, id);
    if (block == NULL) {
        return BLOCK_ABSENT;
    }
    if (block_is_whole(block)) {
        return BLOCK_MEMORY;
    }
    if (block->segment != NULL) {
        return BLOCK_DISK;
    }
    return block->flight != NULL ? BLOCK_FETCHING : BLOCK_ABSENT;
}
