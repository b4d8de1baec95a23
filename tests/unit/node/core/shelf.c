/* tests/unit/node/core/shelf.c: the store, the listings, the operators. */
#include "tests/unit/node/core/shelf.h"

#include "tests/unit/node/core/lab_inside.h"

#include <stdlib.h>
#include <string.h>

#define META_US 300
#define CLIENT_SLOTS 4

/* The lab's callbacks know it by its context. */
static struct shelf *shelf_of(const struct lab *lab)
{
    return lab->hooks->context;
}

/* ---- this node's store ------------------------------------------------------------------- */

static struct shelf_record *find(const struct shelf *shelf, uint32_t node, enum meta_space space,
                                 struct span key)
{
    for (struct shelf_record *r = shelf->records[node]; r != NULL; r = r->next) {
        if (r->space == space && span_equal(span_of(r->key, r->key_size), key)) {
            return r;
        }
    }
    return NULL;
}

bool shelf_has(const struct shelf *shelf, uint32_t node, enum meta_space space, struct span key)
{
    return find(shelf, node, space, key) != NULL;
}

static void *copy_of(struct span bytes)
{
    void *copy = malloc(bytes.size + 1);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.size);
    return copy;
}

static void keep(struct shelf *shelf, uint32_t node, const struct node_effect *effect)
{
    struct shelf_record *record = find(shelf, node, effect->meta.space, effect->meta.key);
    if (record == NULL) {
        record = calloc(1, sizeof *record);
        assert_non_null(record);
        record->space = effect->meta.space;
        record->key = copy_of(effect->meta.key);
        record->key_size = effect->meta.key.size;
        record->next = shelf->records[node];
        shelf->records[node] = record;
    }
    free(record->value);
    record->value = copy_of(effect->meta.value);
    record->value_size = effect->meta.value.size;
}

static enum err put_result(struct shelf *shelf, const struct node_effect *effect)
{
    shelf->puts++;
    shelf->put_pages += effect->meta.space == META_PAGE ? 1 : 0;
    if (effect->meta.space == META_DATASET) {
        return shelf->fail_datasets;
    }
    if (shelf->fail_roots && effect->meta.space == META_ROOT) {
        return ERR_SYSTEM;
    }
    return shelf->fail_puts;
}

static void effect_meta(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct shelf *shelf = shelf_of(lab);
    struct pending item = { .node = index };
    item.event.kind = NODE_META;
    item.event.meta.id = effect->meta.id;
    if (effect->kind == NODE_META_GET) {
        const struct shelf_record *record =
            find(shelf, index, effect->meta.space, effect->meta.key);
        item.event.meta.err = record == NULL ? ERR_NOT_FOUND : ERR_OK;
        if (record != NULL) {
            item.frame = copy_of(span_of(record->value, record->value_size));
            item.event.meta.value = span_of(item.frame, record->value_size);
        }
    } else {
        assert_true(effect->meta.key.size <= 511); /* LMDB's limit */
        item.event.meta.err = put_result(shelf, effect);
        if (item.event.meta.err == ERR_OK) {
            keep(shelf, index, effect);
        }
    }
    lab_later(lab, META_US, &item);
}

/* ---- listings ---------------------------------------------------------------------------- */

struct page_builder {
    struct listed entries[1024];
    uint32_t count;
    uint8_t bytes[1 << 20]; /* keys */
    size_t used;
};

static struct span builder_copy(struct page_builder *b, struct span text)
{
    assert_true(b->used + text.size <= sizeof b->bytes);
    memcpy(b->bytes + b->used, text.data, text.size);
    b->used += text.size;
    return span_of(b->bytes + b->used - text.size, text.size);
}

/* The common prefix of a key below `prefix`, or the key itself. */
static struct span item_of(const struct node_effect *effect, const struct shelf_key *key)
{
    struct span whole = span_text(key->key);
    const uint8_t *slash = NULL;
    if (effect->list.delimited) {
        slash = memchr(whole.data + effect->list.prefix.size, '/',
                       whole.size - effect->list.prefix.size);
    }
    return slash == NULL ? whole : span_of(whole.data, (size_t)(slash - whole.data) + 1);
}

/* Fill a page; the last item is the token of the next one, empty at the end. */
static struct span fill(struct shelf *shelf, const struct node_effect *effect,
                        struct page_builder *b)
{
    struct span last = effect->list.continuation;
    uint32_t limit = effect->list.limit < shelf->page ? effect->list.limit : shelf->page;
    for (uint32_t i = 0; i < shelf->key_count; i++) {
        const struct shelf_key *key = &shelf->keys[i];
        if (!span_starts_with(span_text(key->key), effect->list.prefix)) {
            continue;
        }
        struct span item = item_of(effect, key);
        if (last.size > 0 && span_compare(item, last) <= 0) {
            continue;
        }
        if (b->count == limit) {
            return last;
        }
        struct listed *to = &b->entries[b->count++];
        *to = (struct listed){ .key = builder_copy(b, item),
                               .is_prefix = item.size < strlen(key->key) };
        if (!to->is_prefix) {
            to->pin = builder_copy(b, span_text(key->pin));
            to->size = key->size;
            to->mtime_us = key->mtime_us;
        }
        last = to->key;
    }
    return span_of(NULL, 0);
}

/* As stores answer: the keys, then the common prefixes. */
static void keys_first(struct page_builder *b)
{
    static struct listed sorted[1024];
    uint32_t count = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < b->count; i++) {
            if (b->entries[i].is_prefix == (pass == 1)) {
                sorted[count++] = b->entries[i];
            }
        }
    }
    memcpy(b->entries, sorted, count * sizeof sorted[0]);
}

static enum err list_result(struct shelf *shelf)
{
    if (shelf->plan_count > 0) {
        enum err err = shelf->plans[0];
        shelf->plan_count--;
        memmove(shelf->plans, shelf->plans + 1, shelf->plan_count * sizeof shelf->plans[0]);
        return err;
    }
    return shelf->fail_lists;
}

static void effect_list(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct shelf *shelf = shelf_of(lab);
    struct pending item = { .node = index };
    struct page_builder *b = calloc(1, sizeof *b);
    assert_non_null(b);
    item.event.kind = NODE_LISTED;
    item.event.listed.id = effect->list.id;
    item.event.listed.err = list_result(shelf);
    if (item.event.listed.err == ERR_OK) {
        struct span next = fill(shelf, effect, b);
        item.event.listed.next = next.size == 0 ? next : builder_copy(b, next);
        keys_first(b);
        item.event.listed.entries = b->entries;
        item.event.listed.count = b->count;
    } else {
        item.event.listed.text = span_text("what the store said");
    }
    item.frame = (uint8_t *)b;
    bool is_probe = effect->list.limit == 1;
    shelf->probes += is_probe ? 1 : 0;
    shelf->lists += is_probe ? 0 : 1;
    lab_later(lab, is_probe ? shelf->head_us : shelf->list_us, &item);
}

static void effect_head(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct shelf *shelf = shelf_of(lab);
    struct pending item = { .node = index };
    struct page_builder *b = calloc(1, sizeof *b);
    assert_non_null(b);
    item.event.kind = NODE_LISTED;
    item.event.listed.id = effect->head.id;
    item.event.listed.err = ERR_SOURCE_NOT_FOUND;
    for (uint32_t i = 0; i < shelf->key_count; i++) {
        const struct shelf_key *key = &shelf->keys[i];
        if (span_equal(span_text(key->key), effect->head.key)) {
            b->entries[0] = (struct listed){ .key = builder_copy(b, effect->head.key),
                                             .pin = builder_copy(b, span_text(key->pin)),
                                             .size = key->size,
                                             .mtime_us = key->mtime_us };
            item.event.listed.err = ERR_OK;
            item.event.listed.entries = b->entries;
            item.event.listed.count = 1;
        }
    }
    if (shelf->fail_heads != ERR_OK) {
        item.event.listed = (typeof(item.event.listed)){ .id = effect->head.id };
        item.event.listed.err = shelf->fail_heads;
        item.event.listed.text = span_text("what the store said of a HEAD");
        item.event.listed.mute = shelf->mute_heads;
    }
    item.frame = (uint8_t *)b;
    shelf->heads++;
    lab_later(lab, shelf->head_us, &item);
}

void shelf_remove(struct shelf *shelf, const char *key)
{
    for (uint32_t i = 0; i < shelf->key_count; i++) {
        if (strcmp(shelf->keys[i].key, key) == 0) {
            free(shelf->keys[i].key);
            shelf->key_count--;
            memmove(&shelf->keys[i], &shelf->keys[i + 1],
                    (shelf->key_count - i) * sizeof shelf->keys[0]);
            return;
        }
    }
}

void shelf_put(struct shelf *shelf, const char *key, const char *pin, uint64_t size)
{
    uint32_t at = shelf->key_count;
    shelf_remove(shelf, key);
    at = shelf->key_count;
    while (at > 0 && strcmp(shelf->keys[at - 1].key, key) > 0) {
        at--;
    }
    assert_true(shelf->key_count < SHELF_KEYS_MAX);
    memmove(&shelf->keys[at + 1], &shelf->keys[at],
            (shelf->key_count - at) * sizeof shelf->keys[0]);
    shelf->key_count++;
    shelf->keys[at] = (struct shelf_key){ .key = strdup(key), .size = size, .mtime_us = 77 };
    strcpy(shelf->keys[at].pin, pin);
}

/* ---- operators --------------------------------------------------------------------------- */

static void effect_reply(struct shelf *shelf, const struct node_effect *effect)
{
    assert_true(shelf->answer_count < SHELF_ANSWERS_MAX);
    struct shelf_answer *answer = &shelf->answers[shelf->answer_count++];
    answer->admin = effect->admin_reply.id;
    answer->err = effect->admin_reply.err;
    answer->text = copy_of(effect->admin_reply.text);
    answer->text[effect->admin_reply.text.size] = '\0';
}

uint64_t shelf_admin(struct shelf *shelf, uint32_t node, enum admin_kind kind, struct span argument)
{
    uint64_t id = ++shelf->next_admin;
    lab_event(shelf->lab, node,
              &(struct node_event){ .kind = NODE_ADMIN,
                                    .admin = { .id = id, .kind = kind, .argument = argument } });
    return id;
}

const struct shelf_answer *shelf_answer(const struct shelf *shelf, uint64_t admin)
{
    for (uint32_t i = 0; i < shelf->answer_count; i++) {
        if (shelf->answers[i].admin == admin) {
            return &shelf->answers[i];
        }
    }
    return NULL;
}

uint64_t shelf_create(struct shelf *shelf, uint32_t node, const struct dataset *dataset)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    assert_int_equal(dataset_encode(dataset, record, sizeof record, &used), ERR_OK);
    return shelf_admin(shelf, node, ADMIN_DATASET_CREATE, span_of(record, used));
}

/* ---- the lab's hooks --------------------------------------------------------------------- */

static void keep_line(struct shelf *shelf, struct span line)
{
    const size_t used = strlen(shelf->log);
    assert_true(used + line.size + 2 <= sizeof shelf->log);
    memcpy(shelf->log + used, line.data, line.size);
    shelf->log[used + line.size] = '\n';
}

static bool take_effect(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct shelf *shelf = shelf_of(lab);
    if (effect->kind == NODE_META_PUT || effect->kind == NODE_META_GET) {
        effect_meta(lab, index, effect);
    } else if (effect->kind == NODE_LIST) {
        effect_list(lab, index, effect);
    } else if (effect->kind == NODE_HEAD) {
        effect_head(lab, index, effect);
    } else if (effect->kind == NODE_ADMIN_REPLY) {
        effect_reply(shelf, effect);
    } else if (effect->kind == NODE_CATALOG) {
        shelf->digests[index] = effect->catalog.digest;
    } else if (effect->kind == NODE_SOURCE) {
        shelf->sources++;
    } else if (effect->kind == NODE_LOG) {
        shelf->warnings += effect->log.level <= LOG_WARN ? 1 : 0;
        keep_line(shelf, effect->log.text);
    } else {
        return false;
    }
    return true;
}

static void load(struct lab *lab, uint32_t index)
{
    struct shelf *shelf = shelf_of(lab);
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    shelf->lab = lab;
    if (shelf->records[index] == NULL && !shelf->empty_catalog) {
        struct dataset_id id = dataset_id_make(span_text(shelf->dataset.name));
        assert_int_equal(dataset_encode(&shelf->dataset, record, sizeof record, &used), ERR_OK);
        struct node_effect put = { .kind = NODE_META_PUT,
                                   .meta = { .space = META_DATASET,
                                             .key = span_of(id.b, ID_SIZE),
                                             .value = span_of(record, used) } };
        keep(shelf, index, &put);
    }
    for (struct shelf_record *r = shelf->records[index]; r != NULL; r = r->next) {
        if (r->space == META_DATASET) {
            struct node_event event = { .kind = NODE_META_RECORD };
            event.meta_record.value = span_of(r->value, r->value_size);
            lab_event(lab, index, &event);
        }
    }
    lab_event(lab, index, &(struct node_event){ .kind = NODE_META_READY });
}

static void tune(struct node_options *options)
{
    options->directories_max = 64;
    options->links_max = 256;
    strcpy(options->credentials, "other,reader");
}

struct shelf *shelf_new_with(uint32_t nodes, void (*change)(struct shelf *shelf))
{
    struct shelf *shelf = calloc(1, sizeof *shelf);
    assert_non_null(shelf);
    shelf->region_size = 16u << 20;
    shelf->list_us = MSEC(5);
    shelf->head_us = MSEC(3);
    shelf->page = 1000;
    shelf->hooks =
        (struct lab_hooks){ .tune = tune, .load = load, .effect = take_effect, .context = shelf };
    struct dataset *dataset = &shelf->dataset;
    strcpy(dataset->name, "train");
    strcpy(dataset->rows[0].uri, "file:///data/");
    strcpy(dataset->rows[0].prefix, "p/");
    dataset->rows[0].source = source_id_make(span_text("file"), span_text(""), span_text("/data/"));
    dataset->row_count = 1;
    dataset->block_size = LAB_BLOCK;
    dataset->version = 1;
    dataset->writer.b[0] = 1;
    if (change != NULL) {
        change(shelf);
    }
    shelf->lab = lab_new_hooked(nodes, shelf->region_size, &shelf->hooks);
    return shelf;
}

struct shelf *shelf_new(uint32_t nodes)
{
    return shelf_new_with(nodes, NULL);
}

void shelf_free(struct shelf *shelf)
{
    lab_free(shelf->lab);
    for (uint32_t i = 0; i < LAB_NODES; i++) {
        while (shelf->records[i] != NULL) {
            struct shelf_record *record = shelf->records[i];
            shelf->records[i] = record->next;
            free(record->key);
            free(record->value);
            free(record);
        }
    }
    for (uint32_t i = 0; i < shelf->key_count; i++) {
        free(shelf->keys[i].key);
    }
    for (uint32_t i = 0; i < shelf->answer_count; i++) {
        free(shelf->answers[i].text);
    }
    free(shelf);
}
