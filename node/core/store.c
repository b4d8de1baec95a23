/* node/core/store.c: segments, and the operations on them. */
#include "node/core/store.h"

#include "base/hash.h"
#include "node/core/flights.h"
#include "node/core/internal.h"
#include "node/core/reads.h"
#include "node/core/record.h"
#include "node/core/segments.h"

#define SEGMENTS_EXTRA 32u
#define READS_EXTRA 256u
#define DEBT_SHARE 2 /* half of the region; the rest is for what is sent, and read from disk */

/* One DISK_READ or DISK_WRITE. */
struct disk_op {
    struct map_node by_id;
    struct list waiting;
    struct list of_read;
    uint64_t id;
    struct block *block;
    struct buffer *buffer;
    struct object *object;   /* of a write: held */
    struct segment *segment; /* of a write under way */
    uint8_t *header;
    uint32_t offset;       /* of the record */
    uint32_t tier;         /* that does it */
    uint32_t size;         /* how many bytes */
    struct load *load;     /* of a read that brings the header */
    struct flight *flight; /* of a read: who is told */
    struct read *read;
};

/* Twice what full segments would need: sources close theirs early. */
static uint32_t segments_max(const struct node_options *options)
{
    uint64_t count = SEGMENTS_EXTRA;
    for (uint32_t i = 0; i < options->tier_count; i++) {
        CHECK(options->tier[i].segment_size > 0);
        count += 2 * (options->tier[i].quota / options->tier[i].segment_size) + STORE_OPEN_MAX;
    }
    return (uint32_t)count;
}

static uint32_t reads_max(const struct node_options *options)
{
    return options->requests_max + READS_EXTRA;
}

static uint32_t ops_max(const struct node_options *options)
{
    return reads_max(options) + STORE_DEBTS_MAX;
}

size_t store_memory(const struct node_options *options)
{
    size_t segments = segments_max(options);
    size_t ops = ops_max(options);
    return segments * (sizeof(struct segment) + 8 + 2 * sizeof(void *)) +
           ops * (sizeof(struct disk_op) + 8 + 2 * sizeof(void *)) +
           (size_t)(STORE_WRITES_MAX + 1) * RECORD_HEADER_SIZE + 128;
}

enum err store_init(struct store *store, struct arena *mem, const struct node_options *options)
{
    *store = (struct store){ 0 };
    list_init(&store->writes);
    for (uint32_t i = 0; i < NODE_TIERS_MAX; i++) {
        list_init(&store->tier[i].segments);
    }
    bool fits =
        map_init(&store->by_number, mem, segments_max(options)) == ERR_OK &&
        pool_init(&store->segments, mem, sizeof(struct segment), segments_max(options)) == ERR_OK &&
        map_init(&store->by_id, mem, ops_max(options)) == ERR_OK &&
        pool_init(&store->ops, mem, sizeof(struct disk_op), ops_max(options)) == ERR_OK;
    uint8_t *headers = arena_take(mem, (size_t)(STORE_WRITES_MAX + 1) * RECORD_HEADER_SIZE);
    if (!fits || headers == NULL) {
        return ERR_NOMEM;
    }
    size_t skip = (size_t)(-(uintptr_t)headers % RECORD_ALIGN); /* as direct writes want them */
    store->headers = headers + skip;
    return ERR_OK;
}

bool store_is_ready(const struct node *node)
{
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        if (!node->store.tier[i].ready) {
            return false;
        }
    }
    return true;
}

bool store_drop_oldest(struct node *node)
{
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        if (tier_drop_oldest(node, &node->store.tier[i])) {
            return true;
        }
    }
    return false;
}

/* The first tier that takes writes; false: there is none. */
static bool tier_to_write(const struct node *node, uint32_t *index)
{
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        const struct tier *tier = &node->store.tier[i];
        if (tier->ready && !tier->failed && node->options.tier[i].quota > 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

bool store_takes(const struct node *node)
{
    uint32_t index = 0;
    return tier_to_write(node, &index);
}

/* ---- debts ------------------------------------------------------------------------------- */

static uint64_t debts_most(const struct node *node)
{
    return node->options.region_size / DEBT_SHARE;
}

uint64_t store_room(const struct node *node)
{
    const struct store *store = &node->store;
    uint64_t most = debts_most(node);
    uint32_t index = 0;
    if (store->debts == 0 || store->behind || !tier_to_write(node, &index)) {
        return UINT64_MAX;
    }
    return store->debts < most && store->debt_count < STORE_DEBTS_MAX ? most - store->debts : 0;
}

void store_owe(struct node *node, uint32_t size)
{
    node->store.debts += size;
    node->store.debt_count++;
}

void store_forgive(struct node *node, uint32_t size)
{
    struct store *store = &node->store;
    CHECK(store->debts >= size && store->debt_count > 0);
    store->debts -= size;
    store->debt_count--;
    if (store->behind && store->debts <= debts_most(node) / 2) {
        MARK(node, "store.caught_up");
        store->behind = false;
    }
    flights_on_room(node);
}

void store_give_up(struct node *node)
{
    char line[128];
    struct text text;
    node->store.behind = true;
    node->metrics.disk_behind++;
    text_init(&text, line, sizeof line);
    text_str(&text, "disk.behind bytes=");
    text_u64(&text, node->store.dirty);
    node_log(node, LOG_WARN, &text);
}

/* ---- operations -------------------------------------------------------------------------- */

static struct disk_op *op_find(const struct node *node, uint64_t id)
{
    struct map_node *at = map_first(&node->store.by_id, hash64_mix(id, 3));
    for (; at != NULL; at = map_next(at)) {
        struct disk_op *op = CONTAINER_OF(at, struct disk_op, by_id);
        if (op->id == id) {
            return op;
        }
    }
    return NULL;
}

static void op_start(struct node *node, struct disk_op *op)
{
    op->id = node_next_id(node);
    weight_on_begin(node, op->tier);
    map_insert(&node->store.by_id, &op->by_id, hash64_mix(op->id, 3));
}

static void op_free(struct node *node, struct disk_op *op)
{
    struct store *store = &node->store;
    struct block *block = op->block;
    struct object *object = op->object;
    uint32_t size = block->size;
    buffer_unref(node, op->buffer);
    if (op->header != NULL) {
        store->headers_used &= ~(1u << (op->header - store->headers) / RECORD_HEADER_SIZE);
    }
    if (op->id != 0) {
        map_remove(&node->store.by_id, &op->by_id);
    }
    list_remove(&op->waiting);
    list_remove(&op->of_read);
    pool_give(&store->ops, op);
    CHECK(block->writing > 0);
    block->writing--;
    block_settle(node, block);
    if (object != NULL) {
        store->dirty -= size;
        store->write_count--;
        object_unref(node, object);
        store_forgive(node, size);
    }
}

/* The header of a write that begins. */
static void header_make(struct store *store, struct disk_op *op)
{
    const struct object *object = op->object;
    uint32_t index = 0;
    while ((store->headers_used >> index & 1) != 0) {
        index++;
    }
    CHECK(index < STORE_WRITES_MAX);
    store->headers_used |= 1u << index;
    op->header = store->headers + (size_t)index * RECORD_HEADER_SIZE;
    struct record record = { .block = op->block->id,
                             .source = object->source,
                             .place = op->block->place,
                             .dataset = op->block->dataset,
                             .object_size = object->size,
                             .block_size = object->block_size,
                             .payload_size = op->block->size,
                             .key = object_key(object),
                             .pin = object_pin(object),
                             .checksums = (const uint8_t *)op->buffer->checksums };
    record_encode(&record, op->header);
}

static void write_start(struct node *node, struct disk_op *op)
{
    struct block *block = op->block;
    uint32_t index = 0;
    uint32_t size = record_size(block->size);
    struct segment *segment = NULL;
    if (tier_to_write(node, &index)) {
        segment = segment_for(node, index, op->object->source, size);
    }
    if (segment == NULL) {
        MARK(node, "store.write.no_room");
        node->metrics.disk_skipped++;
        op_free(node, op);
        return;
    }
    op->segment = segment;
    op->tier = index;
    op->size = size;
    op->offset = segment->used;
    segment->used += size;
    segment->writes++;
    node->store.tier[index].used += size;
    node->store.writing++;
    list_remove(&op->waiting);
    header_make(&node->store, op);
    op_start(node, op);
    effects_push(node, &(struct node_effect){
                           .kind = NODE_DISK_WRITE,
                           .disk_write = { .id = op->id,
                                           .tier = index,
                                           .segment = segment->number,
                                           .offset = op->offset,
                                           .header = span_of(op->header, RECORD_HEADER_SIZE),
                                           .payload = span_of(op->buffer->data, block->size) } });
}

static void writes_next(struct node *node)
{
    struct store *store = &node->store;
    while (store->writing < STORE_WRITES_MAX && !list_is_empty(&store->writes)) {
        write_start(node, CONTAINER_OF(list_first(&store->writes), struct disk_op, waiting));
    }
}

static struct disk_op *op_new(struct node *node, struct block *block, struct buffer *buffer)
{
    struct disk_op *op = pool_take(&node->store.ops);
    CHECK(op != NULL); /* reads and writes are counted */
    list_init(&op->waiting);
    list_init(&op->of_read);
    op->block = block;
    block->writing++;
    op->buffer = buffer;
    buffer_ref(node, buffer);
    return op;
}

void store_offer(struct node *node, struct block *block, struct object *object)
{
    struct store *store = &node->store;
    uint32_t index = 0;
    CHECK(block->buffer != NULL && block->arrived == block->size);
    if (block->segment != NULL || !tier_to_write(node, &index)) {
        return;
    }
    bool many = store->write_count == STORE_DEBTS_MAX;
    if (many || (store->dirty > 0 && store->dirty + block->size > debts_most(node))) {
        MARK(node, "store.behind"); /* only after nobody waited for them */
        node->metrics.disk_skipped++;
        return;
    }
    struct disk_op *op = op_new(node, block, block->buffer);
    op->object = object;
    object_ref(object);
    store->dirty += block->size;
    store->write_count++;
    store_owe(node, block->size);
    list_push_back(&store->writes, &op->waiting);
    writes_next(node);
}

bool store_read(struct node *node, const struct store_read *what)
{
    struct block *block = what->block;
    const struct segment *segment = block->segment;
    CHECK(segment != NULL && what->offset % CHUNK_SIZE == 0);
    CHECK(what->into + what->size <= what->buffer->size);
    const struct store *store = &node->store;
    if (store->ops.used - store->write_count == reads_max(&node->options)) {
        MARK(node, "store.reads.full");
        return false;
    }
    struct disk_op *op = op_new(node, block, what->buffer);
    op->tier = segment->tier;
    op->size = what->size;
    op->offset = block->offset;
    op->load = what->load;
    op->flight = what->flight;
    op->read = what->read;
    if (what->read != NULL) {
        list_push_back(&what->read->disk_ops, &op->of_read);
    }
    op_start(node, op);
    node->metrics.disk_read_bytes += what->size;
    struct disk_record record = { .block = block->id,
                                  .source = segment->source,
                                  .place = block->place,
                                  .dataset = block->dataset,
                                  .segment = segment->number,
                                  .offset = block->offset,
                                  .header_size = RECORD_HEADER_SIZE,
                                  .payload_size = block->size };
    effects_push(node, &(struct node_effect){
                           .kind = NODE_DISK_READ,
                           .disk_read = { .id = op->id,
                                          .tier = segment->tier,
                                          .record = record,
                                          .offset = what->offset,
                                          .size = what->size,
                                          .data = what->buffer->data + what->into,
                                          .checksums = (uint8_t *)(what->buffer->checksums +
                                                                   what->into / CHUNK_SIZE),
                                          .header = what->header } });
    return true;
}

void store_forget_read(struct read *read)
{
    struct list *item;
    while ((item = list_first(&read->disk_ops)) != NULL) {
        list_remove(item);
        CONTAINER_OF(item, struct disk_op, of_read)->read = NULL;
    }
}

bool store_is_idle(const struct node *node)
{
    return node->store.writing == 0 && list_is_empty(&node->store.writes);
}

/* ---- what the disks say ------------------------------------------------------------------ */

static void tier_fail(struct node *node, uint32_t index, enum err err)
{
    MARK(node, "store.tier.failed");
    node->store.tier[index].failed = true;
    flights_on_room(node);
    char line[128];
    struct text text;
    text_init(&text, line, sizeof line);
    text_str(&text, "disk.taken_out tier=");
    text_u64(&text, index);
    text_str(&text, " err=");
    text_str(&text, err_name(err));
    node_log(node, LOG_ERROR, &text);
    weight_on_tier(node);
}

static void write_done(struct node *node, struct disk_op *op, enum err err)
{
    struct segment *segment = op->segment;
    struct block *block = op->block;
    struct tier *tier = &node->store.tier[segment->tier];
    CHECK(segment->writes > 0 && node->store.writing > 0);
    segment->writes--;
    node->store.writing--;
    if (err == ERR_OK) {
        tier->errors = 0;
        node->metrics.disk_written_bytes += record_size(block->size);
        segment_put(node, segment, block, op->offset);
    } else {
        MARK(node, "store.write.failed");
        node->metrics.disk_write_errors++;
        tier->errors++;
        segment_close(node, segment); /* what follows a hole is not found after a restart */
        if (tier->errors == STORE_ERRORS_MAX) {
            tier_fail(node, segment->tier, err);
        }
        if (err == ERR_FULL) {
            (void)tier_drop_oldest(node, tier);
        }
    }
    op_free(node, op);
    writes_next(node);
}

/* The record is no good: the block is not on disk. */
static void read_failed(struct node *node, struct block *block, enum err err, uint32_t offset)
{
    if (err == ERR_CORRUPT) {
        MARK(node, "store.read.corrupt");
        node->metrics.disk_corrupt++;
    } else {
        MARK(node, "store.read.failed");
        node->metrics.disk_read_errors++;
    }
    if (block->segment != NULL && block->offset == offset) {
        segment_take_out(node, block); /* op->block keeps the entry */
    }
}

static void read_done(struct node *node, struct disk_op *op, enum err err)
{
    struct flight *flight = op->flight;
    struct read *read = op->read;
    if (err != ERR_OK) {
        read_failed(node, op->block, err, op->offset);
    }
    if (op->load != NULL) {
        handover_on_loaded(node, op->block, op->load, err);
    }
    op_free(node, op);
    if (flight != NULL) {
        flights_on_disk(node, flight, err);
    } else if (read != NULL) {
        reads_on_disk(node, read, err);
    }
}

void store_on_disk(struct node *node, const struct node_event *event)
{
    struct disk_op *op = op_find(node, event->disk.id);
    CHECK(op != NULL);
    weight_on_disk(node, op->tier, op->size, event->disk.took_us);
    if (op->object != NULL) {
        write_done(node, op, event->disk.err);
    } else {
        read_done(node, op, event->disk.err);
    }
}

void store_on_record(struct node *node, uint32_t index, const struct disk_record *record)
{
    CHECK(index < node->options.tier_count && !node->store.tier[index].ready);
    struct tier *tier = &node->store.tier[index];
    uint32_t end = record->offset + record_size(record->payload_size);
    struct segment *segment = segment_find(node, index, record->segment);
    if (segment == NULL) {
        segment = segment_new(node, index, record->segment);
        if (segment == NULL) {
            MARK(node, "store.segments.full");
            return;
        }
        segment->source = record->source;
        segment->closed = true;
    }
    if (end > segment->used) {
        tier->used += end - segment->used;
        segment->used = end;
    }
    struct block *block = blocks_find(node, record->block);
    if (block == NULL && node->blocks.pool.used < node->blocks.pool.count) {
        block = blocks_take(node, record->block, record->payload_size);
    }
    if (block == NULL || block->segment != NULL || block->size != record->payload_size) {
        MARK(node, "store.record.skipped");
        return;
    }
    block->place = record->place;
    block->dataset = record->dataset;
    segment_put(node, segment, block, record->offset);
    flights_on_record(node, block);
}

void store_on_ready(struct node *node, const struct node_event *event)
{
    uint32_t index = event->disk_ready.tier;
    CHECK(index < node->options.tier_count && !node->store.tier[index].ready);
    struct tier *tier = &node->store.tier[index];
    tier->ready = true;
    tier->next_segment = event->disk_ready.next_segment;
    if (event->disk_ready.err != ERR_OK) {
        tier_fail(node, index, event->disk_ready.err);
    }
    while (tier->used > node->options.tier[index].quota && tier_drop_oldest(node, tier)) {
        MARK(node, "store.quota.shrunk");
    }
    if (store_is_ready(node)) {
        flights_on_tiers_ready(node);
        handover_wake(node);
        node_check_owning(node);
    }
}

void store_tier_report(const struct node *node, uint32_t index, struct store_report *out)
{
    CHECK(index < node->options.tier_count);
    const struct tier *tier = &node->store.tier[index];
    uint64_t segments = 0;
    for (struct list *item = tier->segments.next; item != &tier->segments; item = item->next) {
        segments++;
    }
    *out = (struct store_report){ .quota = node->options.tier[index].quota,
                                  .used = tier->used,
                                  .blocks = tier->blocks,
                                  .segments = segments,
                                  .ready = tier->ready,
                                  .failed = tier->failed };
}
