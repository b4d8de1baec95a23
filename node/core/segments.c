/* node/core/segments.c: files of records: which is written to, which is dropped. */
#include "node/core/segments.h"

#include "base/hash.h"
#include "node/core/internal.h"

static uint64_t number_hash(uint32_t tier, uint32_t number)
{
    return hash64_mix(number, tier);
}

struct segment *segment_find(const struct node *node, uint32_t tier, uint32_t number)
{
    struct map_node *at = map_first(&node->store.by_number, number_hash(tier, number));
    for (; at != NULL; at = map_next(at)) {
        struct segment *segment = CONTAINER_OF(at, struct segment, by_number);
        if (segment->tier == tier && segment->number == number) {
            return segment;
        }
    }
    return NULL;
}

void segment_close(struct node *node, struct segment *segment)
{
    struct tier *tier = &node->store.tier[segment->tier];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < STORE_OPEN_MAX; i++) {
        if (tier->open[i] != NULL && tier->open[i] != segment) {
            tier->open[kept] = tier->open[i];
            kept++;
        }
    }
    for (; kept < STORE_OPEN_MAX; kept++) {
        tier->open[kept] = NULL;
    }
    segment->closed = true;
}

void segment_put(struct node *node, struct segment *segment, struct block *block, uint32_t offset)
{
    CHECK(block->segment == NULL);
    block->segment = segment;
    block->offset = offset;
    list_push_back(&segment->blocks, &block->of_segment);
    node->store.tier[segment->tier].blocks++;
}

void segment_take_out(struct node *node, struct block *block)
{
    CHECK(block->segment != NULL);
    node->store.tier[block->segment->tier].blocks--;
    list_remove(&block->of_segment);
    block->segment = NULL;
    block_settle(node, block);
}

static void segment_drop(struct node *node, struct segment *segment)
{
    struct store *store = &node->store;
    struct list *item;
    CHECK(segment->writes == 0);
    segment_close(node, segment);
    while ((item = list_first(&segment->blocks)) != NULL) {
        node->metrics.evicted_disk++;
        segment_take_out(node, CONTAINER_OF(item, struct block, of_segment));
    }
    store->tier[segment->tier].used -= segment->used;
    effects_push(node, &(struct node_effect){
                           .kind = NODE_DISK_DROP,
                           .disk_drop = { .tier = segment->tier, .segment = segment->number } });
    list_remove(&segment->of_tier);
    map_remove(&store->by_number, &segment->by_number);
    pool_give(&store->segments, segment);
}

bool tier_drop_oldest(struct node *node, struct tier *tier)
{
    for (struct list *item = tier->segments.next; item != &tier->segments; item = item->next) {
        struct segment *segment = CONTAINER_OF(item, struct segment, of_tier);
        if (segment->writes == 0) {
            segment_drop(node, segment);
            return true;
        }
    }
    return false;
}

struct segment *segment_new(struct node *node, uint32_t tier, uint32_t number)
{
    struct store *store = &node->store;
    struct segment *segment = pool_take(&store->segments);
    if (segment == NULL) {
        return NULL;
    }
    segment->tier = tier;
    segment->number = number;
    list_init(&segment->blocks);
    list_init(&segment->of_tier);
    struct list *at = &store->tier[tier].segments;
    while (at->prev != &store->tier[tier].segments &&
           CONTAINER_OF(at->prev, struct segment, of_tier)->number > number) {
        at = at->prev;
    }
    list_insert_before(&segment->of_tier, at);
    map_insert(&store->by_number, &segment->by_number, number_hash(tier, number));
    return segment;
}

/* The open segment of a source, moved to the front; NULL when it has none. */
static struct segment *open_segment(struct tier *tier, struct source_id source)
{
    for (uint32_t i = 0; i < STORE_OPEN_MAX && tier->open[i] != NULL; i++) {
        struct segment *found = tier->open[i];
        if (!source_id_equal(found->source, source)) {
            continue;
        }
        for (uint32_t k = i; k > 0; k--) {
            tier->open[k] = tier->open[k - 1];
        }
        tier->open[0] = found;
        return found;
    }
    return NULL;
}

static struct segment *open_new(struct node *node, uint32_t index, struct source_id source)
{
    struct tier *tier = &node->store.tier[index];
    if (tier->open[STORE_OPEN_MAX - 1] != NULL) {
        MARK(node, "store.open.many");
        segment_close(node, tier->open[STORE_OPEN_MAX - 1]);
    }
    if (node->store.segments.used == node->store.segments.count && !tier_drop_oldest(node, tier)) {
        return NULL;
    }
    struct segment *segment = segment_new(node, index, tier->next_segment);
    if (segment == NULL) {
        return NULL;
    }
    tier->next_segment++;
    segment->source = source;
    for (uint32_t i = STORE_OPEN_MAX - 1; i > 0; i--) {
        tier->open[i] = tier->open[i - 1];
    }
    tier->open[0] = segment;
    return segment;
}

struct segment *segment_for(struct node *node, uint32_t index, struct source_id source,
                            uint32_t size)
{
    struct tier *tier = &node->store.tier[index];
    uint64_t quota = node->options.tier[index].quota;
    if (size > quota || size > node->options.tier[index].segment_size) {
        MARK(node, "store.record.large");
        return NULL;
    }
    while (tier->used + size > quota) {
        MARK(node, "store.quota");
        if (!tier_drop_oldest(node, tier)) {
            return NULL;
        }
    }
    struct segment *segment = open_segment(tier, source);
    if (segment != NULL && segment->used + size > node->options.tier[index].segment_size) {
        segment_close(node, segment);
        segment = NULL;
    }
    return segment != NULL ? segment : open_new(node, index, source);
}
