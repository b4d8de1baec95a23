/* node/core/meta_io.c: who waits for which answer of the shell. */
#include "node/core/meta_io.h"

#include "base/hash.h"
#include "node/core/lookup.h"
#include "node/core/meta.h"
#include "node/core/snapshot.h"

#define IO_EXTRA 256u /* beside one for each request */

static uint32_t io_max(const struct node_options *options)
{
    return options->requests_max + IO_EXTRA;
}

size_t io_memory(const struct node_options *options)
{
    uint64_t count = io_max(options);
    return count * sizeof(struct io) + 2 * count * sizeof(void *) + 64;
}

enum err io_init(struct meta_io *io, struct arena *mem, const struct node_options *options)
{
    enum err err = map_init(&io->by_id, mem, io_max(options));
    if (err != ERR_OK) {
        return err;
    }
    return pool_init(&io->pool, mem, sizeof(struct io), io_max(options));
}

/* A number for a new one, 0 when there is no room. */
static uint64_t start(struct node *node, const struct io_for *of)
{
    struct meta_io *table = &node->meta->io;
    struct io *io = pool_take(&table->pool);
    CHECK(of->owner != NULL);
    if (io == NULL) {
        MARK(node, "meta.io.full");
        return 0;
    }
    io->id = node_next_id(node);
    io->of = *of;
    map_insert(&table->by_id, &io->by_id, hash64_mix(io->id, 1));
    return io->id;
}

uint64_t io_list(struct node *node, const struct io_for *of, const struct io_list *list)
{
    uint64_t id = start(node, of);
    if (id == 0) {
        return 0;
    }
    node->metrics.source_lists++;
    effects_push(node, &(struct node_effect){
                           .kind = NODE_LIST,
                           .list = { .id = id,
                                     .source = list->source,
                                     .prefix = scratch_copy(node, list->prefix),
                                     .continuation = scratch_copy(node, list->continuation),
                                     .limit = list->limit,
                                     .delimited = list->delimited },
                       });
    return id;
}

uint64_t io_head(struct node *node, const struct io_for *of, struct source_id source,
                 struct span key)
{
    uint64_t id = start(node, of);
    if (id == 0) {
        return 0;
    }
    node->metrics.source_heads++;
    effects_push(node, &(struct node_effect){
                           .kind = NODE_HEAD,
                           .head = { .id = id, .source = source, .key = scratch_copy(node, key) },
                       });
    return id;
}

uint64_t io_get(struct node *node, const struct io_for *of, enum meta_space space, struct span key)
{
    uint64_t id = start(node, of);
    if (id == 0) {
        return 0;
    }
    effects_push(node, &(struct node_effect){
                           .kind = NODE_META_GET,
                           .meta = { .id = id, .space = space, .key = scratch_copy(node, key) },
                       });
    return id;
}

uint64_t io_put(struct node *node, const struct io_for *of, enum meta_space space, struct span key,
                struct span value)
{
    uint64_t id = start(node, of);
    CHECK(value.size > 0);
    if (id == 0) {
        return 0;
    }
    effects_push(
        node,
        &(struct node_effect){
            .kind = NODE_META_PUT,
            .meta = { .id = id, .space = space, .key = scratch_copy(node, key), .value = value },
        });
    return id;
}

static struct io *io_find(const struct node *node, uint64_t id)
{
    struct map_node *at = map_first(&node->meta->io.by_id, hash64_mix(id, 1));
    for (; at != NULL; at = map_next(at)) {
        struct io *io = CONTAINER_OF(at, struct io, by_id);
        if (io->id == id) {
            return io;
        }
    }
    return NULL;
}

static void io_free(struct node *node, struct io *io)
{
    map_remove(&node->meta->io.by_id, &io->by_id);
    pool_give(&node->meta->io.pool, io);
}

void io_forget(struct node *node, uint64_t id)
{
    struct io *io = id == 0 ? NULL : io_find(node, id);
    if (io != NULL) {
        io_free(node, io);
    }
}

static void on_meta(struct node *node, const struct io_for *of, const struct node_event *event)
{
    enum err err = event->meta.err;
    switch (of->kind) {
    case IO_CATALOG_PUT:
        catalog_on_op_put(node, of->owner, err);
        return;
    case IO_CATALOG_KEEP:
        catalog_on_kept(node, of->owner, err);
        return;
    case IO_ROOT_LOAD:
        dirs_on_root_load(node, of->owner, err, event->meta.value);
        return;
    case IO_ROOT_KEEP:
    case IO_PAGE_KEEP:
        pages_on_kept(node, of->owner, err);
        return;
    case IO_ROOT_TAKE:
    case IO_PAGE_TAKE:
        offers_on_put(node, of->owner, err);
        return;
    case IO_PAGE_LOAD:
        pages_on_load(node, of->owner, err, event->meta.value);
        return;
    case IO_BUILD_PUT:
        copies_on_put(node, of->owner, err);
        return;
    case IO_MOVE_ROOT:
        moves_on_root(node, of->owner, err, event->meta.value);
        return;
    case IO_CATALOG_PROBE:
    case IO_BUILD_LIST:
    case IO_PROBE_HEAD:
    case IO_PROBE_LIST:
    case IO_OUTAGE:
        BUG("a listing that ended as a record");
    }
}

static void on_listed(struct node *node, const struct io_for *of, const struct node_event *event)
{
    outages_on_listed(node, of, event);
    switch (of->kind) {
    case IO_CATALOG_PROBE:
        catalog_on_probe(node, of->owner, event);
        return;
    case IO_BUILD_LIST:
        snapshot_on_listed(node, of->owner, event);
        return;
    case IO_PROBE_HEAD:
        lookup_on_head(node, of->owner, of->tag, event);
        return;
    case IO_PROBE_LIST:
        lookup_on_list(node, of->owner, of->tag, event);
        return;
    case IO_OUTAGE:
        outages_on_answer(node, of->owner, event);
        return;
    case IO_CATALOG_PUT:
    case IO_CATALOG_KEEP:
    case IO_ROOT_LOAD:
    case IO_ROOT_KEEP:
    case IO_ROOT_TAKE:
    case IO_PAGE_LOAD:
    case IO_PAGE_KEEP:
    case IO_PAGE_TAKE:
    case IO_BUILD_PUT:
    case IO_MOVE_ROOT:
        BUG("a record that ended as a listing");
    }
}

void io_on_event(struct node *node, const struct node_event *event)
{
    bool listed = event->kind == NODE_LISTED;
    struct io *io = io_find(node, listed ? event->listed.id : event->meta.id);
    CHECK(listed || event->kind == NODE_META);
    if (io == NULL) {
        MARK(node, "meta.io.late");
        return;
    }
    struct io_for of = io->of;
    io_free(node, io);
    if (listed) {
        on_listed(node, &of, event);
    } else {
        on_meta(node, &of, event);
    }
}
