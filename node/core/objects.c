/* node/core/objects.c: counted copies of keys and pins. */
#include "node/core/objects.h"

#include <string.h>

#include "node/core/internal.h"

static uint32_t objects_max(const struct node_options *options)
{
    return options->requests_max + STORE_DEBTS_MAX + 256;
}

size_t objects_memory(const struct node_options *options)
{
    size_t count = objects_max(options);
    return count * (sizeof(struct object) + 8 + 2 * sizeof(void *)) + 64;
}

enum err objects_init(struct objects *objects, struct arena *mem,
                      const struct node_options *options)
{
    *objects = (struct objects){ 0 };
    enum err err = map_init(&objects->by_id, mem, objects_max(options));
    if (err != ERR_OK) {
        return err;
    }
    return pool_init(&objects->pool, mem, sizeof(struct object), objects_max(options));
}

static struct object *object_find(const struct node *node, struct object_id id)
{
    struct map_node *at = map_first(&node->objects.by_id, get_u64(id.b));
    for (; at != NULL; at = map_next(at)) {
        struct object *object = CONTAINER_OF(at, struct object, by_id);
        if (object_id_equal(object->id, id)) {
            return object;
        }
    }
    return NULL;
}

struct object *object_take(struct node *node, struct object_id id, const struct message_get *get)
{
    struct object *object = object_find(node, id);
    if (object != NULL && object->size == get->size) {
        object->refs++;
        return object;
    }
    object = pool_take(&node->objects.pool);
    if (object == NULL) {
        MARK(node, "objects.full");
        return NULL;
    }
    CHECK(get->key.size <= OBJECT_KEY_MAX && get->pin.size <= OBJECT_PIN_MAX);
    object->id = id;
    object->size = get->size;
    object->block_size = (uint32_t)get->block_size;
    object->key_size = (uint16_t)get->key.size;
    object->pin_size = (uint16_t)get->pin.size;
    object->refs = 1;
    memcpy(object->source.b, get->source, ID_SIZE);
    memcpy(object->dataset.b, get->dataset, ID_SIZE);
    memcpy(object->key, get->key.data, get->key.size);
    if (get->pin.size > 0) {
        memcpy(object->pin, get->pin.data, get->pin.size);
    }
    map_insert(&node->objects.by_id, &object->by_id, get_u64(id.b));
    return object;
}

void object_ref(struct object *object)
{
    CHECK(object->refs > 0);
    object->refs++;
}

void object_unref(struct node *node, struct object *object)
{
    CHECK(object->refs > 0);
    object->refs--;
    if (object->refs == 0) {
        map_remove(&node->objects.by_id, &object->by_id);
        pool_give(&node->objects.pool, object);
    }
}

uint64_t object_block_count(uint64_t size, uint32_t block_size)
{
    CHECK(block_size > 0);
    return size / block_size + (size % block_size != 0 ? 1 : 0);
}

uint32_t object_block_bytes(uint64_t size, uint32_t block_size, uint32_t index)
{
    uint64_t begin = (uint64_t)index * block_size;
    CHECK(begin < size);
    uint64_t left = size - begin;
    return left < block_size ? (uint32_t)left : block_size;
}

void object_extent(const struct object *object, uint32_t index, uint64_t *begin, uint64_t *end)
{
    uint64_t width = extent_blocks(object->block_size);
    uint64_t count = object_block_count(object->size, object->block_size);
    *begin = index - index % width;
    *end = *begin + width < count ? *begin + width : count;
}
