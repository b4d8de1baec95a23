/* node/core/memory.c: the region by a buddy system, its cached buffers on a clock. */
#include "node/core/memory.h"

#include "node/core/blocks.h"
#include "node/core/internal.h"

#define CHANCES_MAX 3       /* as S3-FIFO: two bits of frequency */
#define BUFFERS_EXTRA 8192u /* beside one for each block: pages, ranges */
#define META_SHARE 4        /* metadata: at most a quarter of the region */
#define BACKGROUND_LEAVES 8 /* read-ahead leaves an eighth alone */

static uint32_t buffers_max(const struct node_options *options)
{
    uint64_t pages = options->region_size / BUDDY_PAGE;
    uint64_t wanted = (uint64_t)options->blocks_max + BUFFERS_EXTRA;
    return (uint32_t)(pages < wanted ? pages : wanted);
}

size_t memory_bytes(const struct node_options *options)
{
    size_t pages = options->region_size / BUDDY_PAGE;
    return buddy_overhead(options->region_size) + pages * sizeof(uint64_t) +
           (size_t)buffers_max(options) * (sizeof(struct buffer) + 8) + 64;
}

enum err memory_init(struct memory *memory, struct arena *mem, const struct node_options *options)
{
    *memory = (struct memory){ .region = options->region };
    list_init(&memory->blocks_clock);
    list_init(&memory->pages_clock);
    enum err err = buddy_new(mem, options->region, options->region_size, &memory->buddy);
    if (err != ERR_OK) {
        return err;
    }
    memory->checksums = arena_array(mem, options->region_size / BUDDY_PAGE, sizeof(uint64_t));
    if (memory->checksums == NULL) {
        return ERR_NOMEM;
    }
    return pool_init(&memory->buffers, mem, sizeof(struct buffer), buffers_max(options));
}

static uint64_t whole_pages(uint64_t size)
{
    return (size + BUDDY_PAGE - 1) / BUDDY_PAGE * BUDDY_PAGE;
}

static bool only_cached(const struct buffer *buffer)
{
    return buffer->refs == 1 && buffer->owner_kind != CACHE_NONE;
}

static struct list *clock_of(struct memory *memory, enum cache_owner owner)
{
    return owner == CACHE_PAGE ? &memory->pages_clock : &memory->blocks_clock;
}

static void buffer_end(struct node *node, struct buffer *buffer)
{
    struct memory *memory = &node->memory;
    uint64_t pages = whole_pages(buffer->size);
    CHECK(buffer->refs == 0 && !list_is_linked(&buffer->clock));
    CHECK(memory->used[buffer->use] >= pages);
    memory->used[buffer->use] -= pages;
    buddy_give(memory->buddy, buffer->data, buffer->size);
    pool_give(&memory->buffers, buffer);
}

/* The next victim of a clock, taken off it; NULL when nothing on it may go. */
static struct buffer *clock_victim(struct list *clock)
{
    struct list *first;
    while ((first = list_first(clock)) != NULL) {
        struct buffer *buffer = CONTAINER_OF(first, struct buffer, clock);
        list_remove(first);
        if (!only_cached(buffer)) {
            continue; /* in use: buffer_unref puts it back */
        }
        if (buffer->chances == 0) {
            return buffer;
        }
        buffer->chances--;
        list_push_back(clock, first);
    }
    return NULL;
}

static void evict(struct node *node, struct buffer *victim)
{
    enum cache_owner owner = victim->owner_kind;
    node->memory.cached -= whole_pages(victim->size);
    node->metrics.evicted_memory++;
    victim->owner_kind = CACHE_NONE;
    if (owner == CACHE_PAGE) {
        MARK(node, "memory.evict.page");
        pages_on_evict(node, victim->owner_index);
    } else {
        blocks_on_evict(node, victim->owner_index);
    }
    CHECK(victim->refs == 1);
    victim->refs = 0;
    buffer_end(node, victim);
}

/* Evict one buffer; blocks before pages, only pages for metadata over its share. */
static bool evict_one(struct node *node, bool pages_only)
{
    struct buffer *victim = NULL;
    if (!pages_only) {
        victim = clock_victim(&node->memory.blocks_clock);
    }
    if (victim == NULL) {
        victim = clock_victim(&node->memory.pages_clock);
    }
    if (victim == NULL) {
        return false;
    }
    evict(node, victim);
    return true;
}

bool memory_evict(struct node *node)
{
    return evict_one(node, false);
}

/* May this use have `pages` more bytes? Evicts pages where that helps. */
static bool share_admits(struct node *node, uint64_t pages, enum memory_use use)
{
    struct memory *memory = &node->memory;
    uint64_t size = buddy_size(memory->buddy);
    switch (use) {
    case MEMORY_READ:
        return true;
    case MEMORY_BACKGROUND:
        return buddy_used(memory->buddy) - memory->cached + pages <=
               size - size / BACKGROUND_LEAVES;
    case MEMORY_META:
        while (memory->used[MEMORY_META] + pages > size / META_SHARE) {
            if (!evict_one(node, true)) {
                MARK(node, "memory.meta.full");
                return false;
            }
        }
        return true;
    }
    BUG("a use of memory that is none");
}

struct buffer *memory_take(struct node *node, size_t size, enum memory_use use)
{
    struct memory *memory = &node->memory;
    CHECK(size > 0 && size <= BLOCK_SIZE_MAX);
    uint64_t pages = whole_pages(size);
    if (pages > buddy_size(memory->buddy) || !share_admits(node, pages, use)) {
        return NULL;
    }
    while (memory->buffers.used == memory->buffers.count) {
        if (!evict_one(node, false)) {
            MARK(node, "memory.buffers.full");
            return NULL;
        }
    }
    void *data = buddy_take(memory->buddy, size);
    while (data == NULL) {
        if (!evict_one(node, false)) {
            MARK(node, "memory.full");
            return NULL;
        }
        data = buddy_take(memory->buddy, size);
    }
    struct buffer *buffer = pool_take(&memory->buffers);
    CHECK(buffer != NULL);
    size_t page = (size_t)((uint8_t *)data - memory->region) / BUDDY_PAGE;
    list_init(&buffer->clock);
    buffer->data = data;
    buffer->checksums = memory->checksums + page;
    buffer->size = (uint32_t)size;
    buffer->refs = 1;
    buffer->use = use;
    memory->used[use] += pages;
    return buffer;
}

void buffer_ref(struct node *node, struct buffer *buffer)
{
    CHECK(buffer->refs > 0);
    if (only_cached(buffer)) {
        node->memory.cached -= whole_pages(buffer->size);
    }
    buffer->refs++;
}

void buffer_unref(struct node *node, struct buffer *buffer)
{
    CHECK(buffer->refs > 0 && !only_cached(buffer));
    buffer->refs--;
    if (buffer->refs == 0) {
        buffer_end(node, buffer);
        return;
    }
    if (only_cached(buffer)) {
        node->memory.cached += whole_pages(buffer->size);
        if (!list_is_linked(&buffer->clock)) {
            list_push_back(clock_of(&node->memory, buffer->owner_kind), &buffer->clock);
        }
    }
}

void buffer_cache(struct node *node, struct buffer *buffer, enum cache_owner owner, uint32_t index)
{
    CHECK(owner != CACHE_NONE && buffer->owner_kind == CACHE_NONE);
    buffer->owner_kind = owner;
    buffer->owner_index = index;
    if (only_cached(buffer)) {
        node->memory.cached += whole_pages(buffer->size);
    }
    list_push_back(clock_of(&node->memory, owner), &buffer->clock);
}

void buffer_uncache(struct node *node, struct buffer *buffer)
{
    CHECK(buffer->owner_kind != CACHE_NONE);
    if (only_cached(buffer)) {
        node->memory.cached -= whole_pages(buffer->size);
    }
    buffer->owner_kind = CACHE_NONE;
    list_remove(&buffer->clock);
    buffer_unref(node, buffer);
}

void buffer_touch(struct buffer *buffer)
{
    if (buffer->chances < CHANCES_MAX) {
        buffer->chances++;
    }
}
