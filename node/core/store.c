/* node/core/store.c: segments, and the operations on them. */
#include "node/core/store.h"

#include "base/hash.h"
#include "node/core/flights.h"
#include "node/core/internal.h"
#include "node/core/reads.h"
#include "node/core/record.h"
#include "node/core/segments.h"

#define SEGMENTS_EXTRA 32u
#define OPS_EXTRA 256u
#define DIRTY_SHARE 4 /* writes that wait hold at most a quarter of the region */

/* One DISK_READ or DISK_WRITE. */
struct disk_op {
    struct map_node by_id;
    struct list waiting;
    struct list of_read;
    uint64_t id;
    struct block *block;
    struct buffer *buffer;
    struct buffer *header;   /* of a write */
    struct segment *segment; /* of a write under way */
    uint32_t offset;         /* of the record */
    struct flight *flight;   /* of a read: who is told */
    struct read *read;
    struct source_id source;
    bool write;
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

static uint32_t ops_max(const struct node_options *options)
{
    return options->requests_max + OPS_EXTRA;
}

size_t store_memory(const struct node_options *options)
{
    size_t segments = segments_max(options);
    size_t ops = ops_max(options);
    return segments * (sizeof(struct segment) + 8 + 2 * sizeof(void *)) +
           ops * (sizeof(struct disk_op) + 8 + 2 * sizeof(void *)) + 128;
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
    return fits ? ERR_OK : ERR_NOMEM;
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
    map_insert(&node->store.by_id, &op->by_id, hash64_mix(op->id, 3));
}

static void op_free(struct node *node, struct disk_op *op)
{
    struct block *block = op->block;
    buffer_unref(node, op->buffer);
    if (op->header != NULL) {
        buffer_unref(node, op->header);
        node->store.dirty -= block->size;
    }
    if (op->id != 0) {
        map_remove(&node->store.by_id, &op->by_id);
    }
    list_remove(&op->waiting);
    list_remove(&op->of_read);
    pool_give(&node->store.ops, op);
    CHECK(block->writing > 0);
    block->writing--;
    block_settle(node, block);
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

static void write_start(struct node *node, struct disk_op *op)
{
    struct block *block = op->block;
    uint32_t index = 0;
    uint32_t size = record_size(block->size);
    struct segment *segment = NULL;
    if (tier_to_write(node, &index)) {
        segment = segment_for(node, index, op->source, size);
    }
    if (segment == NULL) {
        MARK(node, "store.write.no_room");
        node->metrics.disk_skipped++;
        op_free(node, op);
        return;
    }
    op->segment = segment;
    op->offset = segment->used;
    segment->used += size;
    segment->writes++;
    node->store.tier[index].used += size;
    node->store.writing++;
    list_remove(&op->waiting);
    op_start(node, op);
    effects_push(node, &(struct node_effect){
                           .kind = NODE_DISK_WRITE,
                           .disk_write = { .id = op->id,
                                           .tier = index,
                                           .segment = segment->number,
                                           .offset = op->offset,
                                           .header = span_of(op->header->data, RECORD_HEADER_SIZE),
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
    if (op == NULL) {
        MARK(node, "store.ops.full");
        return NULL;
    }
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
    if (block->segment != NULL || block->writing > 0 || !tier_to_write(node, &index)) {
        return;
    }
    if (store->dirty + block->size > node->options.region_size / DIRTY_SHARE && store->dirty > 0) {
        MARK(node, "store.behind");
        node->metrics.disk_skipped++;
        return;
    }
    struct disk_op *op = op_new(node, block, block->buffer);
    if (op == NULL) {
        node->metrics.disk_skipped++;
        return;
    }
    op->source = object->source;
    op->write = true;
    op->header = memory_take(node, RECORD_HEADER_SIZE, MEMORY_RECORD);
    if (op->header == NULL) {
        MARK(node, "store.header.nomem");
        node->metrics.disk_skipped++;
        op_free(node, op);
        return;
    }
    store->dirty += block->size;
    struct record record = { .block = block->id,
                             .source = object->source,
                             .object_size = object->size,
                             .block_size = object->block_size,
                             .payload_size = block->size,
                             .key = object_key(object),
                             .pin = object_pin(object),
                             .checksums = (const uint8_t *)block->buffer->checksums };
    record_encode(&record, op->header->data);
    list_push_back(&store->writes, &op->waiting);
    writes_next(node);
}

bool store_read(struct node *node, const struct store_read *what)
{
    struct block *block = what->block;
    const struct segment *segment = block->segment;
    CHECK(segment != NULL && what->offset % CHUNK_SIZE == 0);
    CHECK(what->into + what->size <= what->buffer->size);
    struct disk_op *op = op_new(node, block, what->buffer);
    if (op == NULL) {
        return false;
    }
    op->segment = NULL;
    op->offset = block->offset;
    op->flight = what->flight;
    op->read = what->read;
    if (what->read != NULL) {
        list_push_back(&what->read->disk_ops, &op->of_read);
    }
    op_start(node, op);
    node->metrics.disk_read_bytes += what->size;
    struct disk_record record = { .block = block->id,
                                  .source = segment->source,
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
                                                                   what->into / CHUNK_SIZE) } });
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
    char line[128];
    struct text text;
    text_init(&text, line, sizeof line);
    text_str(&text, "disk.taken_out tier=");
    text_u64(&text, index);
    text_str(&text, " err=");
    text_str(&text, err_name(err));
    node_log(node, LOG_ERROR, &text);
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
    op_free(node, op);
    if (flight != NULL) {
        flights_on_disk(node, flight, err);
    } else if (read != NULL) {
        reads_on_disk(node, read, err);
    }
}

void store_on_disk(struct node *node, uint64_t id, enum err err)
{
    struct disk_op *op = op_find(node, id);
    CHECK(op != NULL);
    if (op->write) {
        write_done(node, op, err);
    } else {
        read_done(node, op, err);
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
