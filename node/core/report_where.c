/* node/core/report_where.c: where a file is: its entry, its object, and for each block the ranks of its
 * place and what they hold. Of a directory: the ranks of its listing. */
#include "node/core/report_gather.h"

#define LOOK_AGAIN_US MSEC(10) /* most rings are built in less */

/* ---- what the path says ------------------------------------------------------------------ */

static void give_up(struct node *node, struct gather *gather, enum err err, const char *text)
{
    report_error(node, gather->admin, err, text);
    gather_free(node, gather);
}

static struct span key_of(const struct gather_file *file)
{
    return span_of(file->key, file->key_size);
}

static struct span name_of(const struct gather_file *file)
{
    return span_of(file->key + file->name_at, file->key_size - file->name_at);
}

/* The directory that a row shows has no entry anywhere: it is there because the row says so. */
static bool is_root(const struct gather_file *file, const struct dataset_row *row)
{
    return file->path_size == strlen(row->path);
}

/* Fill in what the path alone says; NULL, or what is wrong with it. */
static const char *resolve(struct gather_file *file, const struct dataset *dataset,
                           struct span path)
{
    struct text key;
    while (path.size > 0 && path.data[path.size - 1] == '/') {
        path.size--;
    }
    const struct dataset_row *row = dataset_row_of(dataset, path);
    text_init(&key, (char *)file->key, sizeof file->key);
    if (row == NULL) {
        return "the dataset shows nothing at that path";
    }
    if (!dataset_key_of(row, path, &key) || path.size > sizeof file->path) {
        return "that path is longer than any object's key";
    }
    if (path.size > 0) {
        memcpy(file->path, path.data, path.size);
    }
    file->path_size = (uint32_t)path.size;
    file->key_size = (uint32_t)key.used;
    file->name_at = file->key_size;
    while (file->name_at > 0 && file->key[file->name_at - 1] != '/') {
        file->name_at--;
    }
    if (!is_root(file, row) && !entry_name_is_valid(name_of(file))) {
        return "that is no path of a file";
    }
    file->dataset = dataset_id_make(span_text(dataset->name));
    file->source = row->source;
    file->dir = dir_id_make(row->source, span_of(file->key, file->name_at));
    file->block_size = dataset->block_size;
    memcpy(file->selector, dataset->selector, sizeof file->selector);
    return NULL;
}

/* ---- of a directory ---------------------------------------------------------------------- */

/* Whoever comes first has its listing, or will make it. */
static void put_head(struct node *node, struct json *json, const struct gather_file *file)
{
    struct node_id ranks[RING_RANKS];
    struct place place = place_of_root(file->dir);
    uint32_t count = rings_owners(node, span_text(file->selector), place, RING_RANKS, ranks);
    json_span(json, "path", span_of(file->path, file->path_size));
    json_id(json, "source", file->source.b);
    json_span(json, "key", key_of(file));
    json_id(json, "directory", file->dir.b);
    json_open(json, "directory_ranks", '[');
    for (uint32_t i = 0; i < count; i++) {
        report_node_name(node, json, NULL, ranks[i]);
    }
    json_close(json, ']');
}

/* The key is the directory's own prefix. */
static void reply_directory(struct node *node, struct gather *gather)
{
    struct text text;
    struct json json;
    gather->file.dir = dir_id_make(gather->file.source, key_of(&gather->file));
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    put_head(node, &json, &gather->file);
    json_str(&json, "type", "directory");
    json_close(&json, '}');
    report_reply(node, gather->admin, ERR_OK, &text);
    gather_free(node, gather);
}

/* ---- the question ------------------------------------------------------------------------ */

static void find_root(struct node *node, struct gather *gather)
{
    gather->waiter.done = report_where_on_page;
    gather->ask = dirs_root_ask(node, gather->file.dataset, gather);
    if (gather->ask == NULL) {
        give_up(node, gather, ERR_BUSY, "too many requests at the moment: try again");
        return;
    }
    struct dir_about about = { .source = gather->file.source,
                               .prefix = span_of(gather->file.key, gather->file.name_at),
                               .selector = span_text(gather->file.selector) };
    dirs_root_find(node, gather->ask, &about);
}

/* A table without owners: it is built, and will not do. */
static const char *no_owner(const struct node *node, struct span selector)
{
    const bool lacks_weight = rings_lack(node, selector) == RINGS_LACK_WEIGHT;
    if (selector.size == 0) {
        return lacks_weight ? "every node has weight 0: nobody owns" : "no node owns the ring yet";
    }
    return lacks_weight ? "the nodes with the labels that the dataset wants have weight 0"
                        : "no node has the labels that the dataset wants";
}

void report_where_look(struct node *node, struct gather *gather)
{
    const struct span selector = span_text(gather->file.selector);
    const struct ring *ring = rings_current(node, selector);
    gather->ringless = ring == NULL;
    if (ring == NULL && node->now.mono_us < gather->give_up_us) {
        MARK(node, "report.where.ringless");
        timers_set(&node->timers, &gather->timer, node->now.mono_us + LOOK_AGAIN_US);
    } else if (ring == NULL) {
        give_up(node, gather, ERR_BUSY, "its ring could not be built in time: try again");
    } else if (gather->file.name_at == gather->file.key_size) {
        reply_directory(node, gather);
    } else if (ring_count(ring) == 0) {
        give_up(node, gather, ERR_UNREACHABLE, no_owner(node, selector));
    } else {
        find_root(node, gather);
    }
}

void report_where_start(struct node *node, uint64_t admin, struct span argument)
{
    const uint8_t *slash = argument.size == 0 ? NULL : memchr(argument.data, '/', argument.size);
    size_t name_size = slash == NULL ? argument.size : (size_t)(slash - argument.data);
    const struct dataset *dataset = catalog_find_name(node, span_of(argument.data, name_size));
    if (slash == NULL || dataset == NULL) {
        report_error(
            node, admin, ERR_NOT_FOUND,
            "the file must be DATASET/path, of a dataset that exists (atoll dataset list); "
            "one of a mount is written ./path or /path");
        return;
    }
    struct gather *gather = gather_new(node, GATHER_WHERE, admin);
    if (gather == NULL) {
        return;
    }
    struct span path = span_of(slash + 1, argument.size - name_size - 1);
    const char *fault = resolve(&gather->file, dataset, path);
    if (fault != NULL) {
        give_up(node, gather, ERR_NOT_FOUND, fault);
        return;
    }
    gather->give_up_us = node->now.mono_us + REPORT_GATHER_US;
    report_where_look(node, gather);
}

/* ---- its entry --------------------------------------------------------------------------- */

static struct place place_of(const struct gather_file *file, uint32_t index)
{
    if (file->size <= SMALL_FILE_MAX) {
        return file->place;
    }
    return place_of_extent(file->object, index / extent_blocks(file->block_size));
}

static uint32_t ranks_of(struct node *node, const struct gather_file *file, uint32_t index,
                         struct node_id *out)
{
    return rings_owners(node, span_text(file->selector), place_of(file, index), RING_RANKS, out);
}

static void ask_ranks(struct node *node, struct gather *gather)
{
    struct gather_file *file = &gather->file;
    file->object = object_id_make(file->source, key_of(file), span_of(file->pin, file->pin_size),
                                  file->block_size);
    file->block_count = object_block_count(file->size, file->block_size);
    file->shown =
        file->block_count < REPORT_BLOCKS_MAX ? (uint32_t)file->block_count : REPORT_BLOCKS_MAX;
    for (uint32_t i = 0; i < file->shown; i++) {
        struct node_id ranks[RING_RANKS];
        uint32_t count = ranks_of(node, file, i, ranks);
        for (uint32_t j = 0; j < count; j++) {
            gather_add(node, gather, ranks[j]);
        }
    }
    gather_start(node, gather);
}

void report_where_on_page(struct node *node, struct page_waiter *waiter,
                          const struct page_bytes *bytes, enum err err)
{
    struct gather *gather = CONTAINER_OF(waiter, struct gather, waiter);
    struct gather_file *file = &gather->file;
    struct page page;
    struct entry entry;
    if (bytes == NULL || page_open(span_of(bytes->buffer->data, bytes->size), &page) != ERR_OK) {
        give_up(node, gather, err == ERR_OK ? ERR_CORRUPT : err,
                "the page of its directory cannot be had just now: try again");
        return;
    }
    if (!page_find(&page, name_of(file), &entry)) {
        give_up(node, gather, ERR_NOT_FOUND, "its directory has no entry of that name");
        return;
    }
    file->type = entry.type;
    file->size = entry.size;
    file->mtime_us = entry.mtime_us;
    file->place = entry.place;
    file->pin_size = (uint32_t)entry.pin.size;
    if (entry.pin.size > 0) {
        memcpy(file->pin, entry.pin.data, entry.pin.size);
    }
    if (entry.type == ENTRY_DIR) {
        file->key[file->key_size++] = '/';
        reply_directory(node, gather);
    } else {
        ask_ranks(node, gather);
    }
}

void report_on_root(struct node *node, struct gather *gather, struct span bytes)
{
    struct gather_file *file = &gather->file;
    struct root root;
    struct root_shard shard;
    uint32_t index = 0;
    gather->ask = NULL;
    if (bytes.size == 0 || root_open(bytes, &root) != ERR_OK ||
        !root_shard_for(&root, name_of(file), &index)) {
        give_up(node, gather, ERR_NOT_FOUND, "there is no such directory, or it is empty");
        return;
    }
    root_shard(&root, index, &shard);
    struct page_search search = { .source = file->source,
                                  .has_place = true,
                                  .dir = file->dir,
                                  .selector = span_text(file->selector) };
    page_key_make(&search.key, dirs_key(file->dir, search.selector), root.head.generation,
                  shard.lower);
    const struct page_bytes *found = pages_find(node, &search.key);
    if (found != NULL) {
        struct page_bytes held = *found;
        buffer_ref(node, held.buffer);
        report_where_on_page(node, &gather->waiter, &held, ERR_OK);
        buffer_unref(node, held.buffer);
    } else if (pages_wait(node, &search, &gather->waiter) != ERR_OK) {
        give_up(node, gather, ERR_BUSY, "too many requests at the moment: try again");
    }
}

void report_on_root_failed(struct node *node, struct gather *gather, enum err err, struct span text)
{
    gather->ask = NULL;
    report_failed(node, gather->admin, err, text);
    gather_free(node, gather);
}

/* ---- the answer -------------------------------------------------------------------------- */

static const char *letter_word(const struct gather_node *one, uint32_t index)
{
    if (one == NULL || one->state != GATHER_ANSWERED) {
        return "unknown";
    }
    if (one->blocks[index] == 'm') {
        return "memory";
    }
    if (one->blocks[index] == 'd') {
        return "disk";
    }
    return one->blocks[index] == 'f' ? "fetching" : "absent";
}

static bool is_among(const struct node_id *ids, uint32_t count, struct node_id id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (node_id_equal(ids[i], id)) {
            return true;
        }
    }
    return false;
}

/* Its ranks, and who has it in memory beside them: a hot block is served by more than its owner. */
static void put_block(struct node *node, struct json *json, const struct gather *gather,
                      uint32_t index)
{
    struct node_id ranks[RING_RANKS];
    uint32_t count = ranks_of(node, &gather->file, index, ranks);
    json_open(json, NULL, '{');
    json_u64(json, "block", index);
    json_hex(json, "place", place_of(&gather->file, index).v);
    json_open(json, "ranks", '[');
    for (uint32_t i = 0; i < count; i++) {
        json_open(json, NULL, '{');
        report_node_name(node, json, "node", ranks[i]);
        json_str(json, "has", letter_word(gather_find(gather, ranks[i]), index));
        json_close(json, '}');
    }
    json_close(json, ']');
    json_open(json, "copies", '[');
    for (uint32_t i = 0; i < gather->node_count; i++) {
        const struct gather_node *one = &gather->nodes[i];
        bool has = one->state == GATHER_ANSWERED && one->blocks[index] == 'm';
        if (has && !is_among(ranks, count, one->id)) {
            report_node_name(node, json, NULL, one->id);
        }
    }
    json_close(json, ']');
    json_close(json, '}');
}

/* What each node that was asked holds, over all blocks shown. */
static void put_summary(struct node *node, struct json *json, const struct gather *gather)
{
    json_open(json, "nodes", '[');
    for (uint32_t i = 0; i < gather->node_count; i++) {
        const struct gather_node *one = &gather->nodes[i];
        uint64_t held[3] = { 0, 0, 0 };
        for (uint32_t j = 0; j < gather->file.shown; j++) {
            held[0] += one->blocks[j] == 'm' ? 1 : 0;
            held[1] += one->blocks[j] == 'd' ? 1 : 0;
            held[2] += one->blocks[j] == 'f' ? 1 : 0;
        }
        json_open(json, NULL, '{');
        report_node_name(node, json, "node", one->id);
        json_bool(json, "answered", one->state == GATHER_ANSWERED);
        json_u64(json, "memory", held[0]);
        json_u64(json, "disk", held[1]);
        json_u64(json, "fetching", held[2]);
        json_close(json, '}');
    }
    json_close(json, ']');
}

void report_where(struct node *node, struct gather *gather)
{
    const struct gather_file *file = &gather->file;
    struct text text;
    struct json json;
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    put_head(node, &json, file);
    json_str(&json, "type", "file");
    json_u64(&json, "size", file->size);
    json_i64(&json, "mtime_us", file->mtime_us);
    json_span(&json, "pin", span_of(file->pin, file->pin_size));
    json_id(&json, "object", file->object.b);
    json_u64(&json, "block_size", file->block_size);
    json_u64(&json, "blocks", file->block_count);
    json_u64(&json, "blocks_shown", file->shown);
    json_open(&json, "map", '[');
    for (uint32_t i = 0; i < file->shown; i++) {
        put_block(node, &json, gather, i);
    }
    json_close(&json, ']');
    put_summary(node, &json, gather);
    json_close(&json, '}');
    report_reply(node, gather->admin, ERR_OK, &text);
}
