/* node/core/dirs.c: the table of directories, their roots in memory, and what they count for. */
#include "node/core/dirs.h"

#include "base/hash.h"
#include "node/core/meta.h"
#include "node/core/snapshot.h"

#define WORKS_MOST 1024u

static uint32_t works_max(const struct node_options *options)
{
    return options->directories_max < WORKS_MOST ? options->directories_max : WORKS_MOST;
}

/* A listing may hold some hundred kibibytes. */
static uint32_t snapshots_max(const struct node_options *options)
{
    uint64_t count = options->region_size >> 21;
    count = count < 2 ? 2 : count;
    return (uint32_t)(count < SNAPSHOTS_MAX ? count : SNAPSHOTS_MAX);
}

size_t dirs_memory(const struct node_options *options)
{
    uint64_t count = options->directories_max;
    return count * (sizeof(struct dir) + 2 * sizeof(void *)) +
           works_max(options) * sizeof(struct work) +
           snapshots_max(options) * sizeof(struct snapshot) + 256;
}

uint32_t dirs_timers(const struct node_options *options)
{
    return works_max(options) + snapshots_max(options);
}

enum err dirs_init(struct dirs *dirs, struct arena *mem, const struct node_options *options)
{
    enum err err = map_init(&dirs->by_key, mem, options->directories_max);
    if (err == ERR_OK) {
        err = pool_init(&dirs->pool, mem, sizeof(struct dir), options->directories_max);
    }
    if (err == ERR_OK) {
        err = pool_init(&dirs->works, mem, sizeof(struct work), works_max(options));
    }
    if (err == ERR_OK) {
        err = pool_init(&dirs->snapshots, mem, sizeof(struct snapshot), snapshots_max(options));
    }
    list_init(&dirs->recent);
    list_init(&dirs->queue);
    return err;
}

/* ---- the table --------------------------------------------------------------------------- */

struct dir_id dirs_key(struct dir_id id, struct span selector)
{
    struct hasher h;
    struct dir_id key;
    if (selector.size == 0) {
        return id;
    }
    hasher_init(&h, "atoll.dir.pool");
    hasher_span(&h, span_of(id.b, ID_SIZE));
    hasher_span(&h, selector);
    hasher_end(&h, key.b);
    return key;
}

static uint64_t hash_of(struct dir_id key)
{
    return get_u64(key.b);
}

struct dir *dirs_find(const struct node *node, struct dir_id key)
{
    struct map_node *at = map_first(&node->meta->dirs.by_key, hash_of(key));
    for (; at != NULL; at = map_next(at)) {
        struct dir *dir = CONTAINER_OF(at, struct dir, by_key);
        if (dir_id_equal(dir->key, key)) {
            return dir;
        }
    }
    return NULL;
}

static void drop_root(struct node *node, struct dir *dir)
{
    struct buffer *buffer = dir->root;
    dir->root = NULL;
    dir->root_size = 0;
    if (buffer != NULL) {
        buffer_uncache(node, buffer);
    }
}

/* The numbers of its root, or none, wherever it is counted. */
static void set_numbers(struct dir *dir, uint64_t files, uint64_t bytes)
{
    for (uint32_t i = 0; i < DIR_DATASETS; i++) {
        if (dir->counts_for[i] != NULL) {
            catalog_count(dir->counts_for[i], files - dir->files, bytes - dir->bytes);
        }
    }
    dir->files = files;
    dir->bytes = bytes;
}

static void forget(struct node *node, struct dir *dir)
{
    struct dirs *dirs = &node->meta->dirs;
    CHECK(dir->work == NULL);
    drop_root(node, dir);
    set_numbers(dir, 0, 0);
    list_remove(&dir->recent);
    map_remove(&dirs->by_key, &dir->by_key);
    pool_give(&dirs->pool, dir);
}

static struct dir *make(struct node *node, struct dir_id key)
{
    struct dirs *dirs = &node->meta->dirs;
    struct dir *dir = pool_take(&dirs->pool);
    if (dir == NULL && !list_is_empty(&dirs->recent)) {
        MARK(node, "dirs.forgotten");
        forget(node, CONTAINER_OF(list_first(&dirs->recent), struct dir, recent));
        dir = pool_take(&dirs->pool);
    }
    if (dir == NULL) {
        MARK(node, "dirs.full");
        return NULL;
    }
    dir->key = key;
    list_init(&dir->recent);
    map_insert(&dirs->by_key, &dir->by_key, hash_of(key));
    return dir;
}

struct dir *dirs_take(struct node *node, struct dir_id key)
{
    struct dir *dir = dirs_find(node, key);
    if (dir == NULL) {
        dir = make(node, key);
    }
    if (dir != NULL && dir->work == NULL) {
        list_remove(&dir->recent);
        list_push_back(&node->meta->dirs.recent, &dir->recent);
    }
    return dir;
}

/* ---- roots ------------------------------------------------------------------------------- */

void dirs_on_evict(struct node *node, uint32_t index)
{
    struct dir *dir = pool_at(&node->meta->dirs.pool, index);
    CHECK(dir->root != NULL);
    dir->root = NULL;
    dir->root_size = 0;
    dir->looked = false;
}

void dirs_set_checked(const struct node *node, struct dir *dir, uint64_t checked_us)
{
    if (dir->checked_us == checked_us) {
        return; /* it ages on, whatever the wall clock says now */
    }
    dir->checked_us = checked_us;
    dir->aged_from_us = node->now.mono_us - usec_max(0, node->now.wall_us - (usec_t)checked_us);
}

static void set_root(struct node *node, struct dir *dir, const struct root *root)
{
    dir->known = true;
    dir->looked = true;
    dir->exists = root->shards > 0 || root->head.digest != 0;
    dir->generation = root->head.generation;
    dir->id = root->head.dir;
    set_numbers(dir, root->head.files, root->head.bytes);
    dirs_count(node, dir, root->prefix);
    dirs_set_checked(node, dir, (uint64_t)root->head.listed_wall_us);
}

void dirs_adopt_buffer(struct node *node, struct dir *dir, struct buffer *buffer, uint32_t size)
{
    struct root root;
    enum err err = root_open(span_of(buffer->data, size), &root);
    CHECK(err == ERR_OK);
    drop_root(node, dir);
    set_root(node, dir, &root);
    dir->root = buffer;
    dir->root_size = size;
    buffer_cache(node, buffer, CACHE_PAGE,
                 pages_root_number(pool_index(&node->meta->dirs.pool, dir)));
}

enum err dirs_adopt(struct node *node, struct dir *dir, struct span bytes)
{
    struct buffer *buffer = memory_take(node, bytes.size, MEMORY_META);
    if (buffer == NULL) {
        MARK(node, "dirs.adopt.memory");
        return ERR_FULL;
    }
    memcpy(buffer->data, bytes.data, bytes.size);
    dirs_adopt_buffer(node, dir, buffer, (uint32_t)bytes.size);
    return ERR_OK;
}

void dirs_set_absent(struct node *node, struct dir *dir, uint64_t generation, uint64_t checked_us)
{
    drop_root(node, dir);
    set_numbers(dir, 0, 0);
    dir->known = true;
    dir->looked = true;
    dir->exists = false;
    dir->generation = generation;
    dirs_set_checked(node, dir, checked_us);
}

void dirs_keep_root(struct node *node, struct dir *dir)
{
    struct io_for of = { .kind = IO_ROOT_KEEP, .owner = dir->root };
    CHECK(dir->root != NULL);
    buffer_ref(node, dir->root);
    uint64_t io = io_put(node, &of, META_ROOT, span_of(dir->key.b, ID_SIZE),
                         span_of(dir->root->data, dir->root_size));
    if (io == 0) {
        buffer_unref(node, dir->root);
    }
}

bool dirs_keeps(struct node *node, struct dir_id id, struct span selector)
{
    struct node_id ids[META_COPIES];
    uint32_t count = rings_owners(node, selector, place_of_root(id), META_COPIES, ids);
    for (uint32_t i = 0; i < count; i++) {
        if (node_id_equal(ids[i], node->options.id)) {
            return true;
        }
    }
    return false;
}

/* ---- numbers ----------------------------------------------------------------------------- */

static bool is_ours(struct node *node, const struct dir *dir, const struct dataset *dataset)
{
    return rings_is_owner(node, span_text(dataset->selector), place_of_root(dir->id));
}

/* Not when that pool has no ring here: whose it is will be seen when it has one. */
static bool is_others(struct node *node, const struct dir *dir, const struct dataset *dataset)
{
    const struct rings_use *use = rings_find(node, span_text(dataset->selector));
    return use != NULL && use->ring != NULL && !is_ours(node, dir, dataset);
}

bool dirs_is_of_pool(struct dir_id id, struct dir_id key, const struct dataset *dataset)
{
    return dir_id_equal(dirs_key(id, span_text(dataset->selector)), key);
}

/* The prefix that a root says, and the last source that was tried with it: rows of many datasets
 * have the same. */
struct claim {
    struct span prefix;
    struct source_id source;
    bool tried;
    bool fits;
};

static bool is_of_source(struct claim *claim, const struct dir *dir, struct source_id source)
{
    if (!claim->tried || !source_id_equal(claim->source, source)) {
        claim->tried = true;
        claim->source = source;
        claim->fits = dir_id_equal(dir_id_make(source, claim->prefix), dir->id);
    }
    return claim->fits;
}

/* Is the directory shown by the dataset? */
static bool shows(const struct dataset *dataset, const struct dir *dir, struct claim *claim)
{
    for (uint32_t i = 0; !dataset->deleted && i < dataset->row_count; i++) {
        const struct dataset_row *row = &dataset->rows[i];
        if (span_starts_with(claim->prefix, span_text(row->prefix)) &&
            is_of_source(claim, dir, row->source)) {
            return dirs_is_of_pool(dir->id, dir->key, dataset);
        }
    }
    return false;
}

static bool is_counted_for(const struct dir *dir, const struct catalog_item *item)
{
    for (uint32_t i = 0; i < DIR_DATASETS; i++) {
        if (dir->counts_for[i] == item) {
            return true;
        }
    }
    return false;
}

static void count_for(struct dir *dir, struct catalog_item *item)
{
    for (uint32_t i = 0; i < DIR_DATASETS; i++) {
        if (dir->counts_for[i] == NULL) {
            dir->counts_for[i] = item;
            catalog_count(item, dir->files, dir->bytes);
            return;
        }
    }
}

void dirs_count(struct node *node, struct dir *dir, struct span prefix)
{
    struct claim claim = { .prefix = prefix };
    struct catalog_item *item = catalog_next(node, NULL);
    for (; item != NULL; item = catalog_next(node, item)) {
        if (!is_counted_for(dir, item) && shows(&item->dataset, dir, &claim) &&
            is_ours(node, dir, &item->dataset)) {
            count_for(dir, item);
        }
    }
}

void dirs_count_for(struct node *node, struct dir *dir, struct dataset_id id)
{
    struct catalog_item *item = catalog_item(node, id);
    bool may = item != NULL && !item->dataset.deleted && dir->exists && !is_counted_for(dir, item);
    if (may && is_ours(node, dir, &item->dataset) &&
        dirs_is_of_pool(dir->id, dir->key, &item->dataset)) {
        count_for(dir, item);
    }
}

void dirs_uncount_others(struct node *node, struct dir *dir)
{
    for (uint32_t i = 0; i < DIR_DATASETS; i++) {
        struct catalog_item *item = dir->counts_for[i];
        if (item != NULL && is_others(node, dir, &item->dataset)) {
            catalog_count(item, -dir->files, -dir->bytes);
            dir->counts_for[i] = NULL;
        }
    }
}

void dirs_forget_dataset(struct node *node, const struct catalog_item *item)
{
    struct dirs *dirs = &node->meta->dirs;
    for (struct map_node *at = map_walk(&dirs->by_key, NULL); at != NULL;
         at = map_walk(&dirs->by_key, at)) {
        struct dir *dir = CONTAINER_OF(at, struct dir, by_key);
        for (uint32_t i = 0; i < DIR_DATASETS; i++) {
            if (dir->counts_for[i] == item) {
                dir->counts_for[i] = NULL;
            }
        }
    }
}
