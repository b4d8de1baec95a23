/* fs/core/block.c: received bytes, by object and block, and the budget they live in.
 *
 * What a node sends is kept as it came: a piece is one payload. Everything that is here (`held`) or
 * asked for (`reserved`) counts against options.memory, and nothing is asked for that would not fit. */
#include "fs/core/internal.h"

#define BLOCK_PER_BYTES 32768u /* one entry of the table for so many bytes of budget */
#define BLOCKS_MIN 256u
#define BLOCKS_MAX 65536u
#define CELLS_PER_OBJECT 6u

static uint32_t block_limit(const struct mount_options *options)
{
    uint64_t count = options->memory / BLOCK_PER_BYTES;
    count = count > BLOCKS_MAX ? BLOCKS_MAX : count;
    count += 2 * (uint64_t)options->requests_max + BLOCKS_MIN;
    return (uint32_t)count;
}

static uint32_t piece_limit(const struct mount_options *options)
{
    return 2 * block_limit(options) + options->pages_max + 64;
}

uint32_t block_cells(const struct mount_options *options)
{
    return block_limit(options) * CELLS_PER_OBJECT;
}

size_t block_memory(const struct mount_options *options)
{
    size_t count = block_limit(options);
    return count * (sizeof(struct block) + sizeof(struct object) + 48) +
           piece_limit(options) * sizeof(struct piece) + 4096;
}

enum err block_init(struct mount *m, struct arena *mem)
{
    uint32_t count = block_limit(&m->options);
    enum err err = pool_init(&m->objects, mem, sizeof(struct object), count);
    if (err == ERR_OK) {
        err = pool_init(&m->blocks, mem, sizeof(struct block), count);
    }
    if (err == ERR_OK) {
        err = pool_init(&m->pieces, mem, sizeof(struct piece), piece_limit(&m->options));
    }
    if (err == ERR_OK) {
        err = map_init(&m->object_by_id, mem, count);
    }
    if (err == ERR_OK) {
        err = map_init(&m->block_by_id, mem, count);
    }
    list_init(&m->consumed);
    list_init(&m->spent);
    list_init(&m->cold);
    list_init(&m->fresh);
    list_init(&m->dead);
    list_init(&m->room_waiters);
    return err;
}

/* ---- pieces -------------------------------------------------------------------------------- */

struct piece *block_piece(struct mount *m, struct payload payload)
{
    struct piece *piece = pool_take(&m->pieces);
    while (piece == NULL && evict_one(m, false)) {
        block_release_pump(m);
        piece = pool_take(&m->pieces);
    }
    if (piece == NULL) {
        MARK(m, "mount.piece.full");
        return NULL;
    }
    list_init(&piece->link);
    piece->data = payload.data;
    piece->size = payload.size;
    piece->token = payload.token;
    m->held += payload.size;
    return piece;
}

void block_piece_free(struct mount *m, struct piece *piece)
{
    CHECK(m->held >= piece->size);
    m->held -= piece->size;
    list_remove(&piece->link);
    list_push_back(&m->dead, &piece->link);
}

void block_release_pump(struct mount *m)
{
    while (!list_is_empty(&m->dead) && effect_room(m) > 0) {
        struct piece *piece = CONTAINER_OF(list_first(&m->dead), struct piece, link);
        effect_push(m, MOUNT_RELEASE)->release.token = piece->token;
        list_remove(&piece->link);
        pool_give(&m->pieces, piece);
    }
}

/* ---- letting go ------------------------------------------------------------------------------ */

static void object_free(struct mount *m, struct object *object)
{
    map_remove(&m->object_by_id, &object->by_id);
    cell_drop(&m->cells, &object->key);
    cell_drop(&m->cells, &object->pin);
    pool_give(&m->objects, object);
}

void block_object_drop(struct mount *m, struct object *object)
{
    CHECK(object->holders > 0);
    if (--object->holders == 0) {
        object_free(m, object);
    }
}

void block_free(struct mount *m, struct block *block)
{
    CHECK(block->pins == 0 && block->calls == 0 && list_is_empty(&block->waiters));
    while (!list_is_empty(&block->pieces)) {
        block_piece_free(m, CONTAINER_OF(list_first(&block->pieces), struct piece, link));
    }
    list_remove(&block->lru);
    map_remove(&m->block_by_id, &block->by_id);
    struct object *object = block->object;
    block_object_drop(m, object);
    pool_give(&m->blocks, block);
}

bool block_room(struct mount *m, uint64_t bytes, bool ahead)
{
    uint64_t limit = m->options.memory;
    limit -= ahead ? limit / 8 : 0;
    while (m->held + m->reserved + bytes > limit) {
        if (!evict_one(m, ahead)) {
            return false;
        }
    }
    return true;
}

void block_room_changed(struct mount *m)
{
    struct list *first = list_first(&m->room_waiters);
    if (first != NULL) {
        op_wake(m, CONTAINER_OF(first, struct op, link));
    }
}

void block_finish(struct mount *m, struct block *block)
{
    list_remove(&block->lru); /* so that it is not dropped itself */
    evict_consumed(m);
    if (block->pins > 0) {
        return;
    }
    if (list_is_empty(&block->pieces) && block->calls == 0) {
        block_free(m, block);
        return;
    }
    struct list *list = evict_list(m, block);
    if (list != NULL) {
        block->used_us = m->now.mono_us;
        list_push_back(list, &block->lru);
    }
}

/* ---- objects and blocks ------------------------------------------------------------------------ */

struct object *block_object_find(const struct mount *m, struct object_id id)
{
    struct map_node *node = map_first(&m->object_by_id, get_u64(id.b));
    for (; node != NULL; node = map_next(node)) {
        struct object *object = CONTAINER_OF(node, struct object, by_id);
        if (object_id_equal(object->id, id)) {
            return object;
        }
    }
    return NULL;
}

struct object *block_object(struct mount *m, const struct block_source *source)
{
    struct object *object = block_object_find(m, source->id);
    if (object != NULL) {
        object->holders++;
        return object;
    }
    object = pool_take(&m->objects);
    while (object == NULL && evict_one(m, false)) {
        object = pool_take(&m->objects);
    }
    if (object == NULL) {
        MARK(m, "mount.object.full");
        return NULL;
    }
    bool stored = cell_store(&m->cells, source->key, &object->key) &&
                  cell_store(&m->cells, source->pin, &object->pin);
    if (!stored) {
        MARK(m, "mount.object.cells");
        cell_drop(&m->cells, &object->key);
        pool_give(&m->objects, object);
        (void)evict_one(m, false); /* the next try finds some */
        return NULL;
    }
    object->id = source->id;
    object->dir = source->dir;
    object->listed = source->listed;
    object->source = m->dataset.rows[source->row].source;
    object->size = source->size;
    object->place = source->place;
    object->holders = 1;
    map_insert(&m->object_by_id, &object->by_id, get_u64(object->id.b));
    return object;
}

static uint64_t block_hash(const struct object *object, uint32_t index)
{
    return get_u64(object->id.b) + index * UINT64_C(0x9e3779b97f4a7c15);
}

struct block *block_find(const struct mount *m, const struct object *object, uint32_t index)
{
    struct map_node *node = map_first(&m->block_by_id, block_hash(object, index));
    for (; node != NULL; node = map_next(node)) {
        struct block *block = CONTAINER_OF(node, struct block, by_id);
        if (block->object == object && block->index == index) {
            return block;
        }
    }
    return NULL;
}

struct block *block_get(struct mount *m, struct object *object, uint32_t index)
{
    struct block *block = block_find(m, object, index);
    if (block != NULL) {
        return block;
    }
    block = pool_take(&m->blocks);
    while (block == NULL && evict_one(m, false)) {
        block = pool_take(&m->blocks);
    }
    if (block == NULL) {
        MARK(m, "mount.block.full");
        return NULL;
    }
    uint64_t start = (uint64_t)index * m->dataset.block_size;
    CHECK(start < object->size);
    uint64_t left = object->size - start;
    block->object = object;
    block->index = index;
    block->size = left < m->dataset.block_size ? (uint32_t)left : m->dataset.block_size;
    object->holders++;
    list_init(&block->lru);
    list_init(&block->pieces);
    list_init(&block->waiters);
    map_insert(&m->block_by_id, &block->by_id, block_hash(object, index));
    return block;
}

/* ---- chunks --------------------------------------------------------------------------------------- */

static bool bit(const uint64_t *words, uint32_t chunk)
{
    return (words[chunk / 64] >> (chunk % 64)) & 1;
}

static void set_bits(uint64_t *words, struct chunks range, bool on)
{
    for (uint32_t c = range.first; c < range.end; c++) {
        uint64_t mask = UINT64_C(1) << (c % 64);
        words[c / 64] = on ? words[c / 64] | mask : words[c / 64] & ~mask;
    }
}

bool block_has(const struct block *block, struct chunks range)
{
    for (uint32_t c = range.first; c < range.end; c++) {
        if (!bit(block->have, c)) {
            return false;
        }
    }
    return true;
}

bool block_missing(const struct block *block, struct chunks range, struct chunks *out)
{
    uint32_t first = range.first;
    while (first < range.end && (bit(block->have, first) || bit(block->asked, first))) {
        first++;
    }
    uint32_t end = first;
    while (end < range.end && !bit(block->have, end) && !bit(block->asked, end)) {
        end++;
    }
    *out = (struct chunks){ first, end };
    return first < range.end;
}

uint32_t block_chunk_bytes(const struct block *block, struct chunks range)
{
    uint64_t end = (uint64_t)range.end * CHUNK_SIZE;
    end = end < block->size ? end : block->size;
    return (uint32_t)(end - (uint64_t)range.first * CHUNK_SIZE);
}

void block_lose(struct block *block, struct chunks range)
{
    set_bits(block->have, range, false);
}

struct span block_bytes(const struct block *block, uint32_t offset, uint32_t size)
{
    for (struct list *at = block->pieces.next; at != &block->pieces; at = at->next) {
        const struct piece *piece = CONTAINER_OF(at, struct piece, link);
        if (offset >= piece->offset && offset - piece->offset < piece->size) {
            uint32_t skip = offset - piece->offset;
            uint32_t room = piece->size - skip;
            return span_of(piece->data + skip, room < size ? room : size);
        }
    }
    BUG("a chunk that is here has a piece");
}

void block_given(struct mount *m, struct block *block, uint32_t from, uint32_t to)
{
    for (struct list *at = block->pieces.next; at != &block->pieces; at = at->next) {
        struct piece *piece = CONTAINER_OF(at, struct piece, link);
        uint32_t end = piece->offset + piece->size;
        uint32_t first = piece->offset > from ? piece->offset : from;
        uint32_t last = end < to ? end : to;
        piece->given += last > first ? last - first : 0;
    }
    block->given += to - from;
    m->totals.bytes_read += to - from;
}

/* ---- asking for them ------------------------------------------------------------------------------- */

static void reserve(struct mount *m, struct call *call, uint32_t bytes)
{
    CHECK(m->reserved >= call->range.reserved);
    m->reserved += (uint64_t)bytes - call->range.reserved;
    if (call->range.ahead) {
        m->ahead_open += (uint64_t)bytes - call->range.reserved;
    }
    call->range.reserved = bytes;
}

uint32_t block_unreserve(struct mount *m, struct call *call)
{
    uint32_t bytes = call->range.reserved;
    reserve(m, call, 0);
    m->reserved += bytes;
    return bytes;
}

static struct place place_of(const struct mount *m, const struct block *block)
{
    const struct object *object = block->object;
    if (object->size <= SMALL_FILE_MAX) {
        return object->place;
    }
    uint32_t per_extent = EXTENT_BYTES / m->dataset.block_size;
    return place_of_extent(object->id, block->index / (per_extent == 0 ? 1 : per_extent));
}

bool block_ask(struct mount *m, struct block *block, struct chunks range, bool extent, bool ahead)
{
    uint32_t bytes = block_chunk_bytes(block, range);
    list_remove(&block->lru); /* in use: not to be evicted for its own sake */
    struct call *call = NULL;
    if (block_room(m, bytes, ahead)) {
        call = call_new(m, CALL_BLOCK, place_of(m, block));
    }
    if (call == NULL) {
        return false;
    }
    call->range.block = block;
    call->range.first = range.first;
    call->range.end = range.end;
    call->range.extent = extent;
    call->range.ahead = ahead;
    reserve(m, call, bytes);
    block->calls++;
    set_bits(block->asked, range, true);
    m->totals.prefetch_bytes += ahead ? bytes : 0;
    call_begin(m, call);
    return true;
}

/* The call brings nothing more. */
static void range_end(struct mount *m, struct call *call)
{
    struct block *block = call->range.block;
    struct chunks range = { call->range.first, call->range.end };
    reserve(m, call, 0);
    set_bits(block->asked, range, false);
    CHECK(block->calls > 0);
    block->calls--;
    call_done(m, call);
}

enum narrow block_narrow(struct mount *m, struct call *call)
{
    struct block *block = call->range.block;
    struct chunks want = { call->range.first, call->range.end };
    while (want.first < want.end && bit(block->have, want.first)) {
        want.first++;
    }
    while (want.end > want.first && bit(block->have, want.end - 1)) {
        want.end--;
    }
    if (want.first == want.end) {
        MARK(m, "mount.block.complete");
        range_end(m, call);
        block_finish(m, block);
        return NARROW_DONE;
    }
    uint32_t bytes = block_chunk_bytes(block, want);
    uint32_t more = bytes > call->range.reserved ? bytes - call->range.reserved : 0;
    if (more > 0 && !block_room(m, more, false)) {
        return NARROW_FULL;
    }
    reserve(m, call, bytes);
    call->range.offset = want.first * CHUNK_SIZE;
    call->range.size = bytes;
    call->range.got = 0;
    return NARROW_ASK;
}

void block_encode(struct mount *m, struct call *call, struct message_get *out)
{
    const struct block *block = call->range.block;
    const struct object *object = block->object;
    uint8_t *text = effect_scratch(m, (size_t)object->key.size + object->pin.size);
    cell_copy(&m->cells, object->key, text);
    cell_copy(&m->cells, object->pin, text + object->key.size);
    memcpy(out->source, object->source.b, ID_SIZE);
    out->class = CLASS_READER;
    out->key = span_of(text, object->key.size);
    out->pin = span_of(text + object->key.size, object->pin.size);
    out->size = object->size;
    out->block_size = m->dataset.block_size;
    out->index = block->index;
    out->offset = call->range.offset;
    out->length = call->range.size;
    out->place = call->place.v;
    out->ring = m->totals.ring_digest;
    memcpy(out->dataset, m->dataset_id.b, ID_SIZE);
    out->capability = span_of(m->capability, m->capability_size);
    out->trace = rng_next(&m->rng);
    out->extent = call->range.extent;
    memcpy(out->mount, m->options.session, ID_SIZE);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static bool fits(const struct call *call, const struct message_data *answer, uint32_t size)
{
    uint64_t end = answer->offset + answer->length;
    uint64_t asked_end = (uint64_t)call->range.offset + call->range.size;
    bool whole = answer->length % CHUNK_SIZE == 0 || end == call->range.block->size;
    return answer->length > 0 && answer->length == size && answer->offset % CHUNK_SIZE == 0 &&
           answer->offset >= call->range.offset && end <= asked_end && whole &&
           answer->checksums.size == 8 * (size_t)chunk_count(size);
}

static bool is_intact(const struct message_data *answer, struct payload payload)
{
    for (uint32_t at = 0; at < payload.size; at += CHUNK_SIZE) {
        uint32_t size = payload.size - at < CHUNK_SIZE ? payload.size - at : CHUNK_SIZE;
        uint64_t told = get_u64(answer->checksums.data + (size_t)at / CHUNK_SIZE * 8);
        if (crc64(0, payload.data + at, size) != told) {
            return false;
        }
    }
    return true;
}

static void piece_insert(struct block *block, struct piece *piece)
{
    struct list *at = block->pieces.prev;
    while (at != &block->pieces && CONTAINER_OF(at, struct piece, link)->offset > piece->offset) {
        at = at->prev;
    }
    list_insert_before(&piece->link, at->next);
}

bool block_on_data(struct mount *m, struct call *call, const struct message_data *answer,
                   struct payload payload)
{
    struct block *block = call->range.block;
    m->totals.bytes_received += payload.size;
    bool right = fits(call, answer, payload.size) && is_intact(answer, payload);
    struct chunks range = { (uint32_t)answer->offset / CHUNK_SIZE, 0 };
    range.end = range.first + chunk_count(payload.size);
    uint32_t left = call->range.reserved;
    if (!right) {
        MARK(m, "mount.data.wrong");
        m->totals.bytes_corrupt += payload.size;
        call_reject(m, call, ERR_CORRUPT);
        return false;
    }
    reserve(m, call, left > payload.size ? left - payload.size : 0);
    bool had = block_has(block, range);
    struct piece *piece = had ? NULL : block_piece(m, payload);
    if (piece != NULL) {
        piece->offset = (uint32_t)answer->offset;
        piece_insert(block, piece);
        set_bits(block->have, range, true);
        op_wake_block(m, block);
    }
    call->range.got += had || piece != NULL ? payload.size : 0;
    struct chunks all = { call->range.first, call->range.end };
    if (call->range.got >= call->range.size || block_has(block, all)) {
        range_end(m, call);
        block_finish(m, block);
    } else if (answer->more == 0) {
        MARK(m, "mount.data.short");
        call_reject(m, call, ERR_MALFORMED);
    }
    return piece != NULL;
}

void block_failed(struct mount *m, struct call *call, enum err err)
{
    struct block *block = call->range.block;
    struct chunks range = { call->range.first, call->range.end };
    range_end(m, call);
    if (err == ERR_CHANGED) {
        folder_changed(m, block->object->dir, block->object->listed);
    }
    read_failed(m, block, range, err);
    block_finish(m, block);
}
