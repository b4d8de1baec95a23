/* node/core/objects.h: what a read or fetch in progress must know of its object: one counted copy
 * for all of them. */
#pragma once
#include <stdint.h>

#include "base/map.h"
#include "base/pool.h"
#include "node/core/node.h"
#include "wire/message.h"

#define OBJECT_KEY_MAX 1024
#define OBJECT_PIN_MAX 256

struct object {
    struct map_node by_id;
    struct object_id id;
    struct source_id source;
    struct dataset_id dataset; /* of whoever asked first: whose source and credential serve it */
    uint64_t size;
    uint32_t block_size;
    uint32_t refs;
    uint16_t key_size;
    uint16_t pin_size;
    uint8_t key[OBJECT_KEY_MAX];
    uint8_t pin[OBJECT_PIN_MAX];
};

struct objects {
    struct map by_id;
    struct pool pool;
};

size_t objects_memory(const struct node_options *options);
enum err objects_init(struct objects *objects, struct arena *mem,
                      const struct node_options *options) MUST_USE;
/* The object of a valid GET; one reference is the caller's. NULL: too many in progress. */
struct object *object_take(struct node *node, struct object_id id, const struct message_get *get);
void object_ref(struct object *object);
void object_unref(struct node *node, struct object *object);

static inline struct span object_key(const struct object *object)
{
    return span_of(object->key, object->key_size);
}
static inline struct span object_pin(const struct object *object)
{
    return span_of(object->pin, object->pin_size);
}
/* Blocks of an object, and bytes of one of them (index < count). */
uint64_t object_block_count(uint64_t size, uint32_t block_size);
uint32_t object_block_bytes(uint64_t size, uint32_t block_size, uint32_t index);
/* The blocks of the extent that block `index` is in: [*begin, *end). */
void object_extent(const struct object *object, uint32_t index, uint64_t *begin, uint64_t *end);
/* Blocks that make one extent. */
static inline uint32_t extent_blocks(uint32_t block_size)
{
    return block_size >= EXTENT_SIZE ? 1 : EXTENT_SIZE / block_size;
}
