/* node/core/sketch.c: a table of counters, and a heap to find the least of them. */
#include "node/core/sketch.h"

#include "node/core/meter.h"

size_t sketch_memory(uint32_t most)
{
    size_t count = most;
    return count * (sizeof(struct sketch_item) + sizeof(uint32_t) + 2 * sizeof(void *)) + 128;
}

enum err sketch_init(struct sketch *sketch, struct arena *mem, uint32_t most)
{
    CHECK(most > 0);
    *sketch = (struct sketch){ .most = most };
    sketch->items = arena_array(mem, most, sizeof *sketch->items);
    sketch->heap = arena_array(mem, most, sizeof *sketch->heap);
    if (sketch->items == NULL || sketch->heap == NULL) {
        return ERR_NOMEM;
    }
    return map_init(&sketch->by_id, mem, most);
}

struct sketch_item *sketch_find(const struct sketch *sketch, struct block_id id)
{
    struct map_node *node = map_first(&sketch->by_id, block_id_hash(id));
    for (; node != NULL; node = map_next(node)) {
        struct sketch_item *item = CONTAINER_OF(node, struct sketch_item, by_id);
        if (block_id_equal(item->id, id)) {
            return item;
        }
    }
    return NULL;
}

static uint64_t weight_at(const struct sketch *sketch, uint32_t at)
{
    return sketch->items[sketch->heap[at]].weight;
}

static void put(struct sketch *sketch, uint32_t at, uint32_t number)
{
    sketch->heap[at] = number;
    sketch->items[number].at = at;
}

/* Its weight has grown: those below it that are lighter go up. */
static void sink(struct sketch *sketch, uint32_t at)
{
    uint32_t number = sketch->heap[at];
    uint64_t weight = sketch->items[number].weight;
    for (;;) {
        uint32_t below = 2 * at + 1;
        if (below + 1 < sketch->count && weight_at(sketch, below + 1) < weight_at(sketch, below)) {
            below++;
        }
        if (below >= sketch->count || weight_at(sketch, below) >= weight) {
            break;
        }
        put(sketch, at, sketch->heap[below]);
        at = below;
    }
    put(sketch, at, number);
}

/* It is new, at the end: those above it that are heavier go down. */
static void rise(struct sketch *sketch, uint32_t at)
{
    uint32_t number = sketch->heap[at];
    uint64_t weight = sketch->items[number].weight;
    while (at > 0 && weight_at(sketch, (at - 1) / 2) > weight) {
        put(sketch, at, sketch->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(sketch, at, number);
}

/* The least makes place: what it had counts for whoever comes. */
static struct sketch_item *replace(struct sketch *sketch, uint32_t *lost)
{
    struct sketch_item *item = &sketch->items[sketch->heap[0]];
    map_remove(&sketch->by_id, &item->by_id);
    *lost = item->tag;
    item->tag = 0;
    item->over = item->weight;
    return item;
}

static struct sketch_item *append(struct sketch *sketch)
{
    struct sketch_item *item = &sketch->items[sketch->count];
    *item = (struct sketch_item){ .at = sketch->count };
    sketch->heap[sketch->count] = sketch->count;
    sketch->count++;
    return item;
}

struct sketch_item *sketch_add(struct sketch *sketch, struct block_id id, uint64_t weight,
                               uint32_t *lost)
{
    struct sketch_item *item = sketch_find(sketch, id);
    *lost = 0;
    if (item != NULL) {
        item->weight += weight;
        sink(sketch, item->at);
        return item;
    }
    bool is_full = sketch->count == sketch->most;
    item = is_full ? replace(sketch, lost) : append(sketch);
    item->id = id;
    item->weight += weight;
    map_insert(&sketch->by_id, &item->by_id, block_id_hash(id));
    if (is_full) {
        sink(sketch, item->at);
    } else {
        rise(sketch, item->at);
    }
    return item;
}

void sketch_decay(struct sketch *sketch, uint32_t keep)
{
    for (uint32_t i = 0; i < sketch->count; i++) {
        sketch->items[i].weight = meter_part(sketch->items[i].weight, keep);
        sketch->items[i].over = meter_part(sketch->items[i].over, keep);
    }
}
