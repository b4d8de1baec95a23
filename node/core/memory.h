/* node/core/memory.h: the region, in counted buffers, and what may be thrown out of it.
 *
 * A buffer is a piece of the region with a checksum cell for each chunk it can hold. Whoever needs
 * the bytes holds a reference. A cached buffer (a block, a directory page) is one whose only holder
 * is its cache: it may be evicted at any memory_take, and its owner is told by a call. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buddy.h"
#include "base/check.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/list.h"
#include "base/pool.h"
#include "node/core/node.h"

enum memory_use {
    MEMORY_READ,       /* somebody waits for it */
    MEMORY_BACKGROUND, /* read ahead and the like: leaves an eighth of the region alone */
    MEMORY_META,       /* roots and pages: together at most a quarter of the region */
};
#define MEMORY_USES 3

/* Who is told when a cached buffer is evicted. */
enum cache_owner {
    CACHE_NONE,
    CACHE_BLOCK, /* blocks_on_evict */
    CACHE_PAGE,  /* pages_on_evict */
};

struct buffer {
    struct list clock; /* linked while it may be evicted */
    uint8_t *data;     /* page aligned */
    uint64_t
        *checksums; /* chunk_count(size) cells; in memory order, little endian on disk and wire */
    uint32_t size;
    uint32_t refs;
    enum memory_use use;
    enum cache_owner owner_kind;
    uint32_t owner_index; /* the owner's own number for it */
    uint8_t chances;      /* rounds of the clock it survives */
};

struct memory {
    struct buddy *buddy;
    struct pool buffers;
    uint64_t *checksums; /* one for each page of the region */
    uint8_t *region;
    struct list blocks_clock; /* evicted first */
    struct list pages_clock;
    uint64_t used[MEMORY_USES]; /* bytes in whole pages */
    uint64_t cached;            /* bytes that only a cache holds */
};

size_t memory_bytes(const struct node_options *options);
enum err memory_init(struct memory *memory, struct arena *mem, const struct node_options *options)
    MUST_USE;

/* One reference, the caller's; evicts cached buffers until it fits. NULL: no room (answer BUSY).
 * 0 < size <= BLOCK_SIZE_MAX. */
struct buffer *memory_take(struct node *node, size_t size, enum memory_use use);
void buffer_ref(struct node *node, struct buffer *buffer);
/* The last one gives the bytes back. */
void buffer_unref(struct node *node, struct buffer *buffer);
/* From now on one of the references is a cache's: when it is the only one, the buffer may be
 * evicted: `owner` is told with `index`, must forget it, and must not unref it. */
void buffer_cache(struct node *node, struct buffer *buffer, enum cache_owner owner, uint32_t index);
/* Evict one cached buffer to make room in a table; false: there is none. */
bool memory_evict(struct node *node);
/* The cache gives it up by itself: ends the cache's reference. */
void buffer_uncache(struct node *node, struct buffer *buffer);
/* It was useful: it survives one more round. */
void buffer_touch(struct buffer *buffer);
