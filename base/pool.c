/* base/pool.c: equal items; those given back are on a free list that runs through them. */
#include "base/pool.h"

#include <string.h>

/* What a free item holds in its first bytes. `seal` is its address mixed with a constant: an item
 * that is given back twice is found, at the price of one word. */
struct free_item {
    struct free_item *next;
    uintptr_t seal;
};

static uintptr_t seal_of(const void *item)
{
    return (uintptr_t)item ^ (uintptr_t)UINT64_C(0x9d5b1f2c73e8a64f);
}

enum err pool_init(struct pool *pool, struct arena *mem, size_t item_size, uint32_t count)
{
    CHECK(item_size > 0 && item_size < SIZE_MAX / 2);
    /* A type's size is a multiple of its alignment: rounding up to 8 keeps all up to 16. */
    size_t size = item_size < sizeof(struct free_item) ? sizeof(struct free_item) : item_size;
    size = (size + 7) & ~(size_t)7;
    uint8_t *items = arena_array_raw(mem, count, size);
    if (items == NULL) {
        return ERR_NOMEM;
    }
    *pool = (struct pool){ .items = items, .item_size = size, .count = count };
    return ERR_OK;
}

void *pool_take(struct pool *pool)
{
    struct free_item *item = pool->free;
    if (item != NULL) {
        CHECK(item->seal == seal_of(item));
        pool->free = item->next;
    } else if (pool->top < pool->count) {
        item = (struct free_item *)(pool->items + (size_t)pool->top * pool->item_size);
        pool->top++;
    } else {
        CHECK(pool->used == pool->count);
        return NULL;
    }
    pool->used++;
    memset(item, 0, pool->item_size);
    return item;
}

void pool_give(struct pool *pool, void *item)
{
    CHECK(pool->used > 0);
    CHECK(pool_at(pool, pool_index(pool, item)) == item);
    struct free_item *free_item = item;
    CHECK(free_item->seal != seal_of(item));
    free_item->next = pool->free;
    free_item->seal = seal_of(item);
    pool->free = free_item;
    pool->used--;
}

uint32_t pool_index(const struct pool *pool, const void *item)
{
    const uint8_t *at = item;
    CHECK(at >= pool->items);
    size_t offset = (size_t)(at - pool->items);
    CHECK(offset % pool->item_size == 0 && offset / pool->item_size < pool->top);
    return (uint32_t)(offset / pool->item_size);
}

void *pool_at(const struct pool *pool, uint32_t index)
{
    CHECK(index < pool->top);
    return pool->items + (size_t)index * pool->item_size;
}

uint32_t pool_top(const struct pool *pool)
{
    return pool->top;
}

bool pool_is_taken(const struct pool *pool, uint32_t index)
{
    const struct free_item *item = pool_at(pool, index);
    return item->seal != seal_of(item);
}
