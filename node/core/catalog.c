/* node/core/catalog.c: the records, and what the shell is told of their sources. */
#include "node/core/catalog.h"

#include "base/hash.h"
#include "node/core/meta.h"
#include "node/core/moves.h"

static uint32_t sources_max(const struct node_options *options)
{
    return options->datasets_max * DATASET_ROWS_MAX;
}

size_t catalog_memory(const struct node_options *options)
{
    uint64_t count = options->datasets_max;
    uint64_t sources = sources_max(options);
    return count * (sizeof(struct catalog_item) + 2 * sizeof(void *)) +
           sources * (sizeof(struct catalog_source) + 2 * sizeof(void *)) +
           CATALOG_OPS_MAX * sizeof(struct catalog_op) +
           CATALOG_KEEPS_MAX * sizeof(struct catalog_keep) + 256;
}

enum err catalog_init(struct catalog *catalog, struct arena *mem,
                      const struct node_options *options)
{
    enum err err = map_init(&catalog->by_id, mem, options->datasets_max);
    if (err == ERR_OK) {
        err = map_init(&catalog->sources, mem, sources_max(options));
    }
    if (err == ERR_OK) {
        err = pool_init(&catalog->items, mem, sizeof(struct catalog_item), options->datasets_max);
    }
    if (err == ERR_OK) {
        err = pool_init(&catalog->source_pool, mem, sizeof(struct catalog_source),
                        sources_max(options));
    }
    if (err == ERR_OK) {
        err = pool_init(&catalog->ops, mem, sizeof(struct catalog_op), CATALOG_OPS_MAX);
    }
    if (err == ERR_OK) {
        err = pool_init(&catalog->keeps, mem, sizeof(struct catalog_keep), CATALOG_KEEPS_MAX);
    }
    list_init(&catalog->all);
    list_init(&catalog->open);
    list_init(&catalog->pulls);
    catalog->timer.kind = TIMER_CATALOG_PULLS;
    return err;
}

/* ---- records ----------------------------------------------------------------------------- */

struct catalog_item *catalog_next(const struct node *node, const struct catalog_item *after)
{
    const struct list *all = &node->meta->catalog.all;
    struct list *next = after == NULL ? all->next : after->all.next;
    return next == all ? NULL : CONTAINER_OF(next, struct catalog_item, all);
}

struct catalog_item *catalog_item(const struct node *node, struct dataset_id id)
{
    struct map_node *at = map_first(&node->meta->catalog.by_id, get_u64(id.b));
    for (; at != NULL; at = map_next(at)) {
        struct catalog_item *item = CONTAINER_OF(at, struct catalog_item, by_id);
        if (dataset_id_equal(item->id, id)) {
            return item;
        }
    }
    return NULL;
}

uint64_t catalog_living(const struct node *node)
{
    uint64_t count = 0;
    const struct catalog_item *item = catalog_next(node, NULL);
    for (; item != NULL; item = catalog_next(node, item)) {
        count += item->dataset.deleted ? 0 : 1;
    }
    return count;
}

const struct dataset *catalog_find(const struct node *node, struct dataset_id id)
{
    const struct catalog_item *item = catalog_item(node, id);
    return item == NULL || item->dataset.deleted ? NULL : &item->dataset;
}

const struct dataset *catalog_find_name(const struct node *node, struct span name)
{
    return catalog_find(node, dataset_id_make(name));
}

struct span catalog_record(struct node *node, const struct dataset *dataset)
{
    size_t used = 0;
    uint8_t *record = scratch_take(node, DATASET_RECORD_MAX);
    enum err err = dataset_encode(dataset, record, DATASET_RECORD_MAX, &used);
    CHECK(err == ERR_OK); /* it was decoded from one, or encoded before it was installed */
    return span_of(record, used);
}

bool catalog_is_loaded(const struct node *node)
{
    return node->meta->catalog.loaded;
}

const struct dataset_row *catalog_row(const struct dataset *dataset, struct source_id source)
{
    for (uint32_t i = 0; i < dataset->row_count; i++) {
        if (source_id_equal(dataset->rows[i].source, source)) {
            return &dataset->rows[i];
        }
    }
    return NULL;
}

/* Sum it over all records: the catalog's digest, whatever order they came in. */
static uint64_t digest_of(const struct dataset *dataset)
{
    uint64_t digest = hash64(dataset->name, strlen(dataset->name), dataset->version);
    return hash64_mix(digest, get_u64(dataset->writer.b));
}

static struct catalog_item *item_new(struct node *node, const struct dataset *dataset)
{
    struct catalog *catalog = &node->meta->catalog;
    struct catalog_item *item = pool_take(&catalog->items);
    if (item == NULL) {
        MARK(node, "catalog.full");
        return NULL;
    }
    item->id = dataset_id_make(span_text(dataset->name));
    map_insert(&catalog->by_id, &item->by_id, get_u64(item->id.b));
    list_init(&item->all);
    list_push_back(&catalog->all, &item->all);
    return item;
}

/* Numbers of directories that it may not show any more start again from nothing. */
static void forget_numbers(struct node *node, struct catalog_item *item)
{
    dirs_forget_dataset(node, item);
    item->files = 0;
    item->bytes = 0;
    item->peer_files = 0;
    item->peer_bytes = 0;
}

static bool shows_the_same(const struct dataset *a, const struct dataset *b)
{
    if (a->deleted || b->deleted || a->row_count != b->row_count ||
        strcmp(a->selector, b->selector) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < a->row_count; i++) {
        if (!source_id_equal(a->rows[i].source, b->rows[i].source) ||
            strcmp(a->rows[i].prefix, b->rows[i].prefix) != 0) {
            return false;
        }
    }
    return true;
}

bool catalog_install(struct node *node, const struct dataset *dataset, enum err *err)
{
    struct catalog *catalog = &node->meta->catalog;
    struct catalog_item *item = catalog_item(node, dataset_id_make(span_text(dataset->name)));
    *err = ERR_OK;
    if (item != NULL && !dataset_supersedes(dataset, &item->dataset)) {
        return false;
    }
    bool is_of_pool = dataset->selector[0] != '\0';
    if (item != NULL) {
        is_of_pool = is_of_pool || item->dataset.selector[0] != '\0';
        catalog->digest -= digest_of(&item->dataset);
        if (!shows_the_same(dataset, &item->dataset)) {
            forget_numbers(node, item);
            if (!dataset->deleted) {
                moves_wake(node); /* directories that are here count without being asked for */
            }
        }
    } else {
        item = item_new(node, dataset);
    }
    if (item == NULL) {
        *err = ERR_FULL;
        return false;
    }
    item->dataset = *dataset;
    catalog->digest += digest_of(dataset);
    meta_clock_saw(node, dataset->version);
    if (catalog->loaded) {
        effects_push(node, &(struct node_effect){ .kind = NODE_CATALOG,
                                                  .catalog = { .digest = catalog->digest } });
    }
    if (is_of_pool) {
        rings_on_catalog(node);
    }
    handover_wake(node); /* its blocks may be here already, and another node's */
    return true;
}

void catalog_push(struct node *node, const struct dataset *dataset)
{
    struct peer *peer = NULL;
    while ((peer = peers_next_open(node, peer)) != NULL) {
        if (!effects_roomy(node, 2 * (size_t)DATASET_RECORD_MAX)) {
            MARK(node, "catalog.push.cut"); /* the rest sees the digest and pulls */
            return;
        }
        struct message message = { .kind = MESSAGE_CATALOG_RECORD,
                                   .catalog_record = { .record = catalog_record(node, dataset) } };
        (void)peer_send(node, peer->id, LINK_CONTROL, &message);
    }
}

/* ---- numbers ----------------------------------------------------------------------------- */

void catalog_count(struct catalog_item *item, uint64_t files, uint64_t bytes)
{
    item->files += files;
    item->bytes += bytes;
}

void catalog_numbers(struct node *node, const struct dataset *dataset, uint64_t *files,
                     uint64_t *bytes)
{
    const struct catalog_item *item = catalog_item(node, dataset_id_make(span_text(dataset->name)));
    *files = 0;
    *bytes = 0;
    if (item != NULL) {
        *files = item->files + item->peer_files;
        *bytes = item->bytes + item->peer_bytes;
        report_totals_wanted(node);
    }
}

/* ---- sources ----------------------------------------------------------------------------- */

static struct catalog_source *source_find(const struct node *node, struct source_id id)
{
    struct map_node *at = map_first(&node->meta->catalog.sources, get_u64(id.b));
    for (; at != NULL; at = map_next(at)) {
        struct catalog_source *source = CONTAINER_OF(at, struct catalog_source, by_id);
        if (source_id_equal(source->id, id)) {
            return source;
        }
    }
    return NULL;
}

static uint64_t description_of(const struct dataset_row *row)
{
    uint64_t hash = hash64(row->uri, strlen(row->uri), 1);
    hash = hash64_mix(hash, hash64(row->endpoint, strlen(row->endpoint), 2));
    hash = hash64_mix(hash, hash64(row->region, strlen(row->region), 3));
    return hash64_mix(hash, hash64(row->credential, strlen(row->credential), 4));
}

/* Remember what is told; false: it was told already. Without room everything is told again. */
static bool remember(struct node *node, const struct dataset_row *row)
{
    struct catalog *catalog = &node->meta->catalog;
    struct catalog_source *source = source_find(node, row->source);
    uint64_t told = description_of(row);
    if (source != NULL && source->told == told) {
        return false;
    }
    if (source == NULL) {
        source = pool_take(&catalog->source_pool);
        if (source == NULL) {
            MARK(node, "catalog.sources.full");
            return true;
        }
        source->id = row->source;
        map_insert(&catalog->sources, &source->by_id, get_u64(row->source.b));
    }
    source->told = told;
    return true;
}

void catalog_tell_source(struct node *node, const struct dataset_row *row)
{
    if (!remember(node, row)) {
        return;
    }
    effects_push(node,
                 &(struct node_effect){
                     .kind = NODE_SOURCE,
                     .source = { .source = row->source,
                                 .uri = scratch_copy(node, span_text(row->uri)),
                                 .endpoint = scratch_copy(node, span_text(row->endpoint)),
                                 .region = scratch_copy(node, span_text(row->region)),
                                 .credential = scratch_copy(node, span_text(row->credential)) },
                 });
}

bool catalog_has_credential(const struct node *node, const struct dataset_row *row)
{
    size_t size = strlen(row->credential);
    const char *at = node->options.credentials;
    if (size == 0) {
        return true;
    }
    while (*at != '\0') {
        size_t name = strcspn(at, ",");
        if (name == size && memcmp(at, row->credential, size) == 0) {
            return true;
        }
        at += name;
        at += *at == ',' ? 1 : 0;
    }
    return false;
}

enum err catalog_source_use(struct node *node, const struct dataset *dataset,
                            struct source_id source)
{
    const struct dataset_row *row = catalog_row(dataset, source);
    if (row == NULL) {
        return ERR_NOT_FOUND;
    }
    if (!catalog_has_credential(node, row)) {
        const struct outage_about about = { .dataset = dataset_id_make(span_text(dataset->name)),
                                            .source = source,
                                            .key = span_text(row->prefix) };
        MARK(node, "catalog.no_credential");
        outages_note(node, &about, &(struct outage_end){ .err = ERR_NO_CREDENTIAL });
        return ERR_NO_CREDENTIAL;
    }
    catalog_tell_source(node, row);
    return ERR_OK;
}
