/* base/pool.h: a fixed number of equal items with a free list. Memory of items that were never
 * taken is never touched. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"

struct pool {
    uint8_t *items;
    void *free;
    size_t item_size;
    uint32_t count;
    uint32_t used;
    uint32_t top; /* items from here on were never taken */
};

enum err pool_init(struct pool *pool, struct arena *mem, size_t item_size, uint32_t count) MUST_USE;
/* Zeroed; NULL when all are taken. */
void *pool_take(struct pool *pool);
/* `item` came from this pool and is not free. */
void pool_give(struct pool *pool, void *item);
/* Items are numbered 0..count-1: a stable handle that fits a message. */
uint32_t pool_index(const struct pool *pool, const void *item);
/* An item that was taken once: below pool_top. */
void *pool_at(const struct pool *pool, uint32_t index);
/* For a walk: all that were ever taken have lower numbers than this; which of them still are. */
uint32_t pool_top(const struct pool *pool);
bool pool_is_taken(const struct pool *pool, uint32_t index);
