/* node/core/objects.h: what a block's object is: source, key, pin, sizes, place; one counted copy.
 *
 * Reads, flights, fetches and writes hold one while they last, and there is always one for them.
 * Blocks in memory keep one, too, as far as there is room: without it this node could not tell
 * another one what the block is (handover.h). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/pool.h"
#include "node/core/node.h"
#include "wire/message.h"

#define OBJECT_KEY_MAX 1024
#define OBJECT_PIN_MAX 256
#define OBJECT_SHORT_MAX 192u /* bytes of key and pin that most objects do with */

struct object {
    struct map_node by_id;
    struct object_id id;
    struct source_id source;
    struct dataset_id dataset; /* of who asked first, of those that show it: it serves the source */
    struct place place;        /* of a small file; larger ones have one for each extent */
    uint64_t size;
    uint32_t block_size;
    uint32_t refs;
    uint32_t kept; /* of them, by blocks in memory */
    bool is_short;
    uint16_t key_size;
    uint16_t pin_size;
    uint8_t bytes[]; /* key, pin */
};

struct objects {
    struct map by_id;
    struct pool short_pool; /* all of them may be kept */
    struct pool long_pool;
    uint32_t kept;      /* of both pools, by blocks in memory */
    uint32_t kept_long; /* of the long one; the others there are for what is in progress */
    uint32_t kept_long_max;
};

size_t objects_memory(const struct node_options *options);
enum err objects_init(struct objects *objects, struct arena *mem,
                      const struct node_options *options) MUST_USE;
/* The object of a valid GET; one reference is the caller's. NULL: too many in progress. */
struct object *object_take(struct node *node, struct object_id id, const struct message_get *get);
/* Its dataset was deleted, or does not show it any more: this one serves the source from now on, if it
 * does. false: neither does. */
bool object_serve_for(struct node *node, struct object *object, struct dataset_id id);
void object_ref(struct object *object);
void object_unref(struct node *node, struct object *object);
/* A reference for a block in memory; false: no room for that, nothing happened. */
bool object_keep(struct node *node, struct object *object);
void object_unkeep(struct node *node, struct object *object);

static inline struct span object_key(const struct object *object)
{
    return span_of(object->bytes, object->key_size);
}
static inline struct span object_pin(const struct object *object)
{
    return span_of(object->bytes + object->key_size, object->pin_size);
}
/* Blocks of an object, and bytes of one of them (index < count). */
uint64_t object_block_count(uint64_t size, uint32_t block_size);
uint32_t object_block_bytes(uint64_t size, uint32_t block_size, uint32_t index);
/* The place of one of its blocks. */
struct place object_place(const struct object *object, uint32_t index);
/* The blocks of the extent that block `index` is in: [*begin, *end). */
void object_extent(const struct object *object, uint32_t index, uint64_t *begin, uint64_t *end);
/* Blocks that make one extent. */
static inline uint32_t extent_blocks(uint32_t block_size)
{
    return block_size >= EXTENT_SIZE ? 1 : EXTENT_SIZE / block_size;
}
