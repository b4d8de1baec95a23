/* node/core/snapshot_root.c: the root of a snapshot is made durable, then the snapshot is what the
 * directory is. */
#include "node/core/snapshot.h"

#include "node/core/meta.h"

#define ROOT_ROOM 256u /* for a root without shards, beside its prefix: 98, and to spare */
#define SHARD_ROOM 40u /* in a root, beside its fence: 28 and 4 in the table, and to spare */
#define STORE_FIRST_US MSEC(100)
#define STORE_MOST_US SEC(2)

struct span snapshot_root(const struct snapshot *snapshot, uint64_t generation)
{
    const struct snapshot_op *op = &snapshot->root_op;
    if (op->page == NULL || generation != snapshot->generation) {
        return span_of(NULL, 0);
    }
    return span_of(op->page->data, op->size);
}

static size_t root_room(const struct snapshot *snapshot)
{
    return ROOT_ROOM + snapshot->work->prefix_size + (size_t)snapshot->shard_count * SHARD_ROOM +
           snapshot->fences.used;
}

static bool exists(const struct snapshot *snapshot)
{
    return snapshot->shard_count > 0 || snapshot->set.marker || snapshot->any_key;
}

/* Write the root; ERR_FULL: the directory has too many pages. */
static enum err write_root(const struct snapshot *snapshot, uint8_t *buffer, size_t room,
                           size_t *size)
{
    const struct dirbuild *set = &snapshot->set;
    struct root_writer writer;
    struct root_head head = {
        .dir = snapshot->work->id,
        .generation = snapshot->generation,
        .listed_wall_us = (int64_t)snapshot->checked_us,
        .files = set->files,
        .directories = set->directories,
        .bytes = set->bytes,
        .hidden = set->hidden,
        .digest = exists(snapshot) ? set->digest + SNAPSHOT_EXISTS : 0,
    };
    struct span prefix = span_of(snapshot->work->prefix, snapshot->work->prefix_size);
    enum err err = root_writer_init(&writer, buffer, room, prefix);
    for (uint32_t i = 0; err == ERR_OK && i < snapshot->shard_count; i++) {
        const struct shard_record *record = snapshot_shard(snapshot, i);
        CHECK(record->state == SHARD_STORED);
        struct root_shard shard = {
            .lower = snapshot_fence(snapshot, i),
            .place = place_of_shard(snapshot->work->id, snapshot_fence(snapshot, i)),
            .entries = record->entries,
            .page_bytes = record->page_bytes,
            .page_crc = record->page_crc,
        };
        err = root_writer_add(&writer, &shard);
    }
    if (err == ERR_OK) {
        *size = root_writer_end(&writer, &head);
    }
    return err;
}

/* From here on this generation is the directory. */
static void publish(struct node *node, struct snapshot *snapshot)
{
    struct dir *dir = snapshot->work->dir;
    struct snapshot_op *op = &snapshot->root_op;
    snapshot->phase = SNAPSHOT_DONE;
    op->state = OP_FREE;
    if (dir->known && dir->generation >= snapshot->generation) {
        MARK(snapshot, "snapshot.overtaken"); /* another rank published meanwhile */
        return;
    }
    MARK(snapshot, "snapshot.published");
    struct buffer *root = op->page;
    op->page = NULL;
    dirs_adopt_buffer(node, dir, root, op->size);
}

static void root_failed(struct node *node, struct snapshot *snapshot, enum err err)
{
    struct snapshot_op *op = &snapshot->root_op;
    MARK(snapshot, "snapshot.root.failed");
    op->state = OP_AGAIN;
    op->tries++;
    op->again_us = node->now.mono_us + node_backoff(node, STORE_FIRST_US, op->tries, STORE_MOST_US);
    snapshot_wake(node, snapshot, op->again_us);
    if (op->tries >= SNAPSHOT_TRIES) {
        snapshot_fail(snapshot, err, span_text("no node could keep the directory's root"));
    }
}

static void root_stored(struct node *node, struct copies *copies, enum err err)
{
    struct snapshot *snapshot = CONTAINER_OF(copies, struct snapshot_op, copies)->snapshot;
    if (err == ERR_OK) {
        publish(node, snapshot);
    } else {
        root_failed(node, snapshot, err);
    }
    snapshot_drive(node, snapshot);
}

static bool make_root(struct node *node, struct snapshot *snapshot)
{
    struct snapshot_op *op = &snapshot->root_op;
    size_t room = root_room(snapshot);
    size_t size = 0;
    if (op->page != NULL) {
        return true;
    }
    room = room < ROOT_SIZE_MAX ? room : ROOT_SIZE_MAX;
    struct buffer *buffer = memory_take(node, room, MEMORY_META);
    if (buffer == NULL) {
        root_failed(node, snapshot, ERR_BUSY);
        return false;
    }
    if (write_root(snapshot, buffer->data, buffer->size, &size) != ERR_OK) {
        MARK(snapshot, "snapshot.root.full");
        buffer_unref(node, buffer);
        snapshot_fail(snapshot, ERR_TOO_LARGE,
                      span_text("the directory has too many entries for one root record"));
        return false;
    }
    op->page = buffer;
    op->size = (uint32_t)size;
    return true;
}

static void store_root(struct node *node, struct snapshot *snapshot)
{
    struct snapshot_op *op = &snapshot->root_op;
    struct copies *copies = &op->copies;
    page_key_make(&copies->key, snapshot->work->dir->key, snapshot->generation, span_of(NULL, 0));
    copies->kind = COPIES_ROOT;
    copies->source = snapshot->work->source;
    copies->buffer = op->page;
    copies->size = op->size;
    copies->done = root_stored;
    op->state = OP_STORE;
    enum err err = copies_start(node, copies, span_text(snapshot->work->selector),
                                place_of_root(snapshot->work->id));
    if (err != ERR_OK) {
        root_failed(node, snapshot, err);
    }
}

void snapshot_publish(struct node *node, struct snapshot *snapshot)
{
    struct snapshot_op *op = &snapshot->root_op;
    if (!exists(snapshot) && !snapshot->old_exists) {
        MARK(snapshot, "snapshot.absent"); /* nothing was there before: nobody needs to be told */
        dirs_set_absent(node, snapshot->work->dir, snapshot->generation, snapshot->checked_us);
        snapshot->phase = SNAPSHOT_DONE;
        return;
    }
    if (op->state == OP_STORE || (op->state == OP_AGAIN && node->now.mono_us < op->again_us)) {
        return;
    }
    if (make_root(node, snapshot)) {
        store_root(node, snapshot);
    }
}
