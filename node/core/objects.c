/* node/core/objects.c: counted copies of keys and pins. */
#include "node/core/objects.h"

#include <string.h>

#include "node/core/internal.h"
#include "wire/dir.h"

#define SHORT_WORTH 65536u /* bytes of the region for which one is kept: datasets of small files */
#define LONG_WORTH (1u << 20) /* the same for those with long names */
#define EXTRA 256u

/* For what is in progress: any of them may have a long name. */
static uint32_t working_max(const struct node_options *options)
{
    return options->requests_max + STORE_DEBTS_MAX + EXTRA;
}

static uint32_t kept_max(const struct node_options *options, uint32_t worth)
{
    uint64_t count = options->region_size / worth;
    return count < options->blocks_max ? (uint32_t)count : options->blocks_max;
}

static uint32_t objects_max(const struct node_options *options)
{
    return working_max(options) + kept_max(options, SHORT_WORTH) + kept_max(options, LONG_WORTH);
}

static size_t short_size(void)
{
    return sizeof(struct object) + OBJECT_SHORT_MAX;
}

static size_t long_size(void)
{
    return sizeof(struct object) + OBJECT_KEY_MAX + OBJECT_PIN_MAX;
}

size_t objects_memory(const struct node_options *options)
{
    size_t short_count = kept_max(options, SHORT_WORTH);
    size_t long_count = objects_max(options) - short_count;
    return short_count * (short_size() + 8) + long_count * (long_size() + 8) +
           (short_count + long_count) * 2 * sizeof(void *) + 96;
}

enum err objects_init(struct objects *objects, struct arena *mem,
                      const struct node_options *options)
{
    uint32_t short_count = kept_max(options, SHORT_WORTH);
    *objects = (struct objects){ .kept_long_max = kept_max(options, LONG_WORTH) };
    bool fits = map_init(&objects->by_id, mem, objects_max(options)) == ERR_OK &&
                pool_init(&objects->short_pool, mem, short_size(), short_count) == ERR_OK &&
                pool_init(&objects->long_pool, mem, long_size(),
                          objects_max(options) - short_count) == ERR_OK;
    return fits ? ERR_OK : ERR_NOMEM;
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

static struct object *object_new(struct objects *objects, size_t bytes)
{
    struct object *object = NULL;
    if (bytes <= OBJECT_SHORT_MAX) {
        object = pool_take(&objects->short_pool);
    }
    if (object != NULL) {
        object->is_short = true;
        return object;
    }
    return pool_take(&objects->long_pool);
}

static bool is_shown_by(const struct node *node, const struct object *object, struct dataset_id id)
{
    const struct dataset *dataset = catalog_find(node, id);
    return dataset != NULL && dataset_shows(dataset, object->source, object_key(object));
}

bool object_serve_for(struct node *node, struct object *object, struct dataset_id id)
{
    if (is_shown_by(node, object, object->dataset)) {
        return true;
    }
    if (!is_shown_by(node, object, id)) {
        return false;
    }
    MARK(node, "objects.other_dataset");
    object->dataset = id;
    return true;
}

struct object *object_take(struct node *node, struct object_id id, const struct message_get *get)
{
    struct object *object = object_find(node, id);
    if (object != NULL && object->size == get->size) {
        struct dataset_id dataset;
        memcpy(dataset.b, get->dataset, ID_SIZE);
        (void)object_serve_for(node, object, dataset);
        object->refs++;
        return object;
    }
    object = object_new(&node->objects, get->key.size + get->pin.size);
    if (object == NULL) {
        MARK(node, "objects.full");
        return NULL;
    }
    CHECK(get->key.size <= OBJECT_KEY_MAX && get->pin.size <= OBJECT_PIN_MAX);
    object->id = id;
    object->size = get->size;
    object->place.v = get->place;
    object->block_size = (uint32_t)get->block_size;
    object->key_size = (uint16_t)get->key.size;
    object->pin_size = (uint16_t)get->pin.size;
    object->refs = 1;
    memcpy(object->source.b, get->source, ID_SIZE);
    memcpy(object->dataset.b, get->dataset, ID_SIZE);
    memcpy(object->bytes, get->key.data, get->key.size);
    if (get->pin.size > 0) {
        memcpy(object->bytes + object->key_size, get->pin.data, get->pin.size);
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
    struct objects *objects = &node->objects;
    CHECK(object->refs > object->kept);
    object->refs--;
    if (object->refs == 0) {
        map_remove(&objects->by_id, &object->by_id);
        pool_give(object->is_short ? &objects->short_pool : &objects->long_pool, object);
    }
}

bool object_keep(struct node *node, struct object *object)
{
    struct objects *objects = &node->objects;
    if (!object->is_short && object->kept == 0) {
        if (objects->kept_long == objects->kept_long_max) {
            MARK(node, "objects.kept.many");
            return false;
        }
        objects->kept_long++;
    }
    objects->kept += object->kept == 0 ? 1 : 0;
    object_ref(object);
    object->kept++;
    return true;
}

void object_unkeep(struct node *node, struct object *object)
{
    struct objects *objects = &node->objects;
    CHECK(object->kept > 0);
    object->kept--;
    objects->kept -= object->kept == 0 ? 1 : 0;
    if (!object->is_short && object->kept == 0) {
        CHECK(objects->kept_long > 0);
        objects->kept_long--;
    }
    object_unref(node, object);
}

struct place object_place(const struct object *object, uint32_t index)
{
    return object->size <= SMALL_FILE_MAX
               ? object->place
               : place_of_extent(object->id, index / extent_blocks(object->block_size));
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
