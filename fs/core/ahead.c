/* fs/core/ahead.c: what will be read next, and how much of it to ask for now.
 *
 * Streams are kept by file, not by handle: several readers of one file are several streams of it.
 * A stream's window begins at 1 MiB and doubles while its reader keeps up, to whole blocks, so that
 * few large requests are on their way. Small files read in the order of their directory are a
 * stream, too: the next ones of the page are asked for before anybody opens them. */
#include "fs/core/internal.h"

#define STREAMS 256u
#define WINDOW_MIN (1u << 20)
#define WINDOW_MAX (16u << 20) /* an extent */
#define WINDOW_USELESS (128u << 10)
#define SLACK (2u << 20) /* the kernel's own reads ahead arrive out of order */
#define IDLE_US SEC(10)
#define STEP_MAX (1u << 20) /* asked for in steps of at least this much */
#define BATCH_MIN 8u
#define BATCH_MAX 32u
#define BATCH_NEAR 8u /* readers with several threads are that far apart */
#define BATCH_BYTES (8u << 20)

size_t ahead_memory(const struct mount_options *options)
{
    (void)options;
    return STREAMS * (sizeof(struct stream) + 16) + 4096;
}

enum err ahead_init(struct mount *m, struct arena *mem)
{
    list_init(&m->stream_lru);
    enum err err = pool_init(&m->streams, mem, sizeof(struct stream), STREAMS);
    return err == ERR_OK ? map_init(&m->stream_by_id, mem, STREAMS) : err;
}

static void stream_free(struct mount *m, struct stream *stream)
{
    map_remove(&m->stream_by_id, &stream->by_id);
    list_remove(&stream->lru);
    pool_give(&m->streams, stream);
}

/* Streams that nobody follows any more leave their share of the budget to the others. */
static void drop_idle(struct mount *m)
{
    while (!list_is_empty(&m->stream_lru)) {
        struct stream *oldest = CONTAINER_OF(list_first(&m->stream_lru), struct stream, lru);
        bool full = m->streams.used == m->streams.count;
        if (!full && m->now.mono_us - oldest->used_us < IDLE_US) {
            return;
        }
        stream_free(m, oldest);
    }
}

static struct stream *find(const struct mount *m, struct object_id id, uint64_t offset)
{
    struct map_node *node = map_first(&m->stream_by_id, get_u64(id.b));
    for (; node != NULL; node = map_next(node)) {
        struct stream *stream = CONTAINER_OF(node, struct stream, by_id);
        bool near = offset + SLACK >= stream->next && offset <= stream->next + SLACK / 2;
        if (near && object_id_equal(stream->id, id)) {
            return stream;
        }
    }
    return NULL;
}

static struct stream *make(struct mount *m, struct object_id id, uint64_t offset)
{
    drop_idle(m);
    struct stream *stream = pool_take(&m->streams);
    CHECK(stream != NULL); /* drop_idle left one */
    stream->id = id;
    stream->next = offset;
    stream->ahead = offset;
    list_init(&stream->lru);
    list_push_back(&m->stream_lru, &stream->lru);
    map_insert(&m->stream_by_id, &stream->by_id, get_u64(id.b));
    return stream;
}

static uint32_t window_cap(const struct mount *m)
{
    uint64_t share = m->options.memory / 2 / (m->streams.used == 0 ? 1 : m->streams.used);
    share = share > WINDOW_MAX ? WINDOW_MAX : share;
    return share < WINDOW_USELESS ? 0 : (uint32_t)share;
}

static void widen(struct mount *m, struct stream *stream)
{
    uint32_t cap = window_cap(m);
    stream->window = stream->window == 0 ? WINDOW_MIN : 2 * stream->window;
    stream->window = stream->window > cap ? cap : stream->window;
}

void ahead_note(struct mount *m, const struct object *object, struct hint *out, uint64_t offset,
                uint64_t end)
{
    struct stream *stream = find(m, object->id, offset);
    if (stream == NULL) {
        stream = make(m, object->id, offset);
        stream->next = end;
        stream->window = 0;
        if (offset == 0) {
            widen(m, stream); /* most files are read from their beginning to their end */
        }
    } else if (end > stream->next) {
        stream->next = end;
        if (stream->window == 0) {
            widen(m, stream); /* the second read in a row */
        }
    }
    uint32_t cap = window_cap(m); /* others may have begun since */
    stream->window = stream->window > cap ? cap : stream->window;
    stream->used_us = m->now.mono_us;
    list_remove(&stream->lru);
    list_push_back(&m->stream_lru, &stream->lru);
    uint32_t block_size = m->dataset.block_size;
    uint64_t target = stream->next + stream->window;
    if (stream->window >= block_size) {
        target = (target + block_size - 1) / block_size * block_size;
    }
    target = stream->window == 0 ? end : target;
    out->stream = stream;
    out->target = target < object->size ? target : object->size;
    out->extent = stream->window >= block_size || stream->window >= 2 * WINDOW_MIN;
}

/* Ask for the chunks of [from, to) that nobody has asked for. Returns how far it came. */
static uint64_t ask(struct mount *m, struct object *object, uint64_t from, uint64_t to)
{
    uint32_t block_size = m->dataset.block_size;
    while (from < to) {
        struct block *block = block_get(m, object, (uint32_t)(from / block_size));
        if (block == NULL) {
            return from;
        }
        uint64_t start = (uint64_t)block->index * block_size;
        uint64_t end = to - start < block->size ? to - start : block->size;
        struct chunks range = { (uint32_t)((from - start) / CHUNK_SIZE), chunk_count(end) };
        struct chunks missing;
        block->ahead = true;
        while (block_missing(block, range, &missing)) {
            uint64_t open = m->ahead_open + block_chunk_bytes(block, missing);
            if (open > m->options.memory / 2 || !block_ask(m, block, missing, true, true)) {
                MARK(m, "mount.ahead.full");
                block_finish(m, block);
                return from;
            }
        }
        block_finish(m, block);
        from = start + end;
    }
    return from;
}

void ahead_stream(struct mount *m, struct object *object, const struct hint *hint)
{
    struct stream *stream = hint->stream;
    uint64_t from = stream->ahead > stream->next ? stream->ahead : stream->next;
    uint32_t step = stream->window / 2 < STEP_MAX ? stream->window / 2 : STEP_MAX;
    if (stream->window == 0 || hint->target <= from) {
        return;
    }
    if (hint->target - from < step && hint->target < object->size) {
        return; /* not worth a request yet */
    }
    stream->ahead = ask(m, object, from, hint->target);
    widen(m, stream); /* the reader has come this far: it will go further */
}

/* ---- small files ----------------------------------------------------------------------------------- */

struct place_in_page {
    struct folder *folder;
    struct sheet *sheet;
    uint32_t shard;
    uint32_t index;
};

static bool locate(struct mount *m, struct inode *inode, struct place_in_page *out)
{
    struct inode *parent = inode_parent(m, inode);
    if (!parent->has_id) {
        return false;
    }
    struct dir_id id;
    memcpy(id.b, parent->id, ID_SIZE);
    out->folder = folder_find(m, id);
    if (out->folder == NULL || out->folder->listing == NULL) {
        return false;
    }
    uint8_t bytes[NAME_ROOM];
    cell_copy(&m->cells, inode->name, bytes);
    struct span name = span_of(bytes, inode->name.size);
    const struct listing *listing = out->folder->listing;
    if (!root_shard_for(&listing->root, name, &out->shard)) {
        return false;
    }
    out->sheet = sheet_find(m, listing, out->shard);
    if (out->sheet == NULL || !sheet_is_here(out->sheet)) {
        return false;
    }
    out->index = page_lower_bound(&out->sheet->page, name);
    return out->index < page_count(&out->sheet->page);
}

static void ask_entry(struct mount *m, const struct folder *folder, const struct entry *entry)
{
    uint8_t key[KEY_MAX];
    size_t size = (size_t)folder->prefix.size + entry->name.size;
    if (size > KEY_MAX) {
        return;
    }
    cell_copy(&m->cells, folder->prefix, key);
    memcpy(key + folder->prefix.size, entry->name.data, entry->name.size);
    struct block_source source = { .dir = folder->id,
                                   .listed = folder->listing->root.head.generation,
                                   .row = folder->row,
                                   .key = span_of(key, size),
                                   .pin = entry->pin,
                                   .size = entry->size,
                                   .place = entry->place };
    source.id = object_id_make(m->dataset.rows[folder->row].source, source.key, source.pin,
                               m->dataset.block_size);
    struct object *object = block_object(m, &source);
    if (object != NULL) {
        (void)ask(m, object, 0, entry->size);
        block_object_drop(m, object);
    }
}

/* The reader is at `at`: bring what the window holds behind it. */
static void ask_batch(struct mount *m, const struct place_in_page *at)
{
    struct folder *folder = at->folder;
    uint32_t count = page_count(&at->sheet->page);
    uint32_t end = at->index + 1 + folder->batch.window;
    uint32_t next = folder->batch.ahead > at->index ? folder->batch.ahead : at->index + 1;
    uint64_t bytes = 0;
    if (end > next && end - next < folder->batch.window / 2) {
        return; /* enough is on its way; the next requests go out together */
    }
    for (; next < end && next < count && bytes < BATCH_BYTES; next++) {
        struct entry entry;
        page_entry(&at->sheet->page, next, &entry);
        if (entry.type == ENTRY_FILE && entry.size > 0 && entry.size <= SMALL_FILE_MAX) {
            bytes += entry.size;
            ask_entry(m, folder, &entry);
        }
    }
    folder->batch.ahead = next;
    if (end > count && at->shard + 1 < folder->listing->root.shards) {
        (void)sheet_get(m, folder->listing, at->shard + 1);
    }
}

bool ahead_neighbours(struct mount *m, struct inode *inode)
{
    struct place_in_page at;
    if (!locate(m, inode, &at)) {
        return false;
    }
    struct folder *folder = at.folder;
    uint64_t generation = folder->listing->root.head.generation;
    bool same = folder->batch.generation == generation && folder->batch.shard == at.shard;
    bool crossed = folder->batch.generation == generation && folder->batch.window > 0 &&
                   folder->batch.shard + 1 == at.shard && at.index < BATCH_NEAR;
    uint32_t last = folder->batch.last;
    bool onward = same && at.index > last && at.index - last <= BATCH_NEAR;
    bool late = same && at.index <= last && last - at.index <= 2 * BATCH_NEAR;
    if (late && folder->batch.window > 0) {
        return true;
    }
    if (!onward && !crossed) {
        folder->batch.generation = generation;
        folder->batch.shard = at.shard;
        folder->batch.last = at.index;
        folder->batch.ahead = 0;
        folder->batch.window = 0;
        return false;
    }
    folder->batch.ahead = crossed ? 0 : folder->batch.ahead;
    folder->batch.shard = at.shard;
    folder->batch.last = at.index;
    uint32_t wider = folder->batch.window * 2 < BATCH_MAX ? folder->batch.window * 2 : BATCH_MAX;
    folder->batch.window = wider < BATCH_MIN ? BATCH_MIN : wider;
    ask_batch(m, &at);
    return true;
}
