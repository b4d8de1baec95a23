/* fs/core/sheet.c: pages of directories, kept as they arrived. */
#include "fs/core/internal.h"

#include "base/hash.h"

#define SHEETS_MIN 16u
#define SHEETS_PART 4u /* of the budget, one in so many bytes may be pages */

static uint32_t sheet_limit(const struct mount_options *options)
{
    return options->pages_max < SHEETS_MIN ? SHEETS_MIN : options->pages_max;
}

size_t sheet_memory(const struct mount_options *options)
{
    return (size_t)sheet_limit(options) * (sizeof(struct sheet) + 32) + 4096;
}

enum err sheet_init(struct mount *m, struct arena *mem)
{
    uint32_t count = sheet_limit(&m->options);
    list_init(&m->sheet_lru);
    enum err err = pool_init(&m->sheets, mem, sizeof(struct sheet), count);
    return err == ERR_OK ? map_init(&m->sheet_by_id, mem, count) : err;
}

static uint64_t hash_of(const struct listing *listing, uint32_t index)
{
    return hash64_mix(get_u64(listing->folder->id.b) ^ listing->root.head.generation, index);
}

static void touch(struct mount *m, struct sheet *sheet)
{
    list_remove(&sheet->lru);
    list_push_back(&m->sheet_lru, &sheet->lru);
}

struct sheet *sheet_find(struct mount *m, const struct listing *listing, uint32_t index)
{
    struct map_node *node = map_first(&m->sheet_by_id, hash_of(listing, index));
    for (; node != NULL; node = map_next(node)) {
        struct sheet *sheet = CONTAINER_OF(node, struct sheet, by_id);
        if (sheet->index == index && sheet->generation == listing->root.head.generation &&
            dir_id_equal(sheet->dir, listing->folder->id)) {
            touch(m, sheet);
            return sheet;
        }
    }
    return NULL;
}

static void sheet_free(struct mount *m, struct sheet *sheet)
{
    if (sheet->piece != NULL) {
        m->sheet_bytes -= sheet->piece->size;
        block_piece_free(m, sheet->piece);
    }
    if (sheet->listing != NULL) {
        folder_unref(m, sheet->listing);
    }
    CHECK(m->reserved >= sheet->reserved && list_is_empty(&sheet->waiters));
    m->reserved -= sheet->reserved;
    map_remove(&m->sheet_by_id, &sheet->by_id);
    list_remove(&sheet->lru);
    pool_give(&m->sheets, sheet);
    block_room_changed(m);
}

bool sheet_evict(struct mount *m)
{
    for (struct list *at = m->sheet_lru.next; at != &m->sheet_lru; at = at->next) {
        struct sheet *sheet = CONTAINER_OF(at, struct sheet, lru);
        if (sheet_is_here(sheet)) {
            sheet_free(m, sheet);
            return true;
        }
    }
    return false;
}

struct sheet *sheet_get(struct mount *m, struct listing *listing, uint32_t index)
{
    struct sheet *sheet = sheet_find(m, listing, index);
    if (sheet != NULL) {
        return sheet;
    }
    struct root_shard shard;
    root_shard(&listing->root, index, &shard);
    uint32_t need = shard.page_bytes;
    while (m->sheet_bytes + need > m->options.memory / SHEETS_PART && sheet_evict(m)) {
        MARK(m, "mount.sheet.evicted");
    }
    if (shard.page_bytes > PAGE_SIZE_LIMIT || !block_room(m, need, false) ||
        (m->sheets.used == m->sheets.count && !sheet_evict(m))) {
        MARK(m, "mount.sheet.full");
        return NULL;
    }
    struct call *call = call_new(m, CALL_PAGE, shard.place);
    if (call == NULL) {
        return NULL;
    }
    sheet = pool_take(&m->sheets);
    CHECK(sheet != NULL);
    sheet->dir = listing->folder->id;
    sheet->source = m->dataset.rows[listing->folder->row].source;
    sheet->generation = listing->root.head.generation;
    sheet->index = index;
    sheet->crc = shard.page_crc;
    sheet->entries = shard.entries;
    sheet->fence_size = (uint8_t)shard.lower.size;
    if (shard.lower.size > 0) {
        memcpy(sheet->fence, shard.lower.data, shard.lower.size);
    }
    sheet->reserved = need;
    m->reserved += need;
    list_init(&sheet->waiters);
    list_init(&sheet->lru);
    list_push_back(&m->sheet_lru, &sheet->lru);
    map_insert(&m->sheet_by_id, &sheet->by_id, hash_of(listing, index));
    sheet->listing = listing;
    folder_ref(listing);
    sheet->call = call;
    call->sheet = sheet;
    call_begin(m, call);
    return sheet;
}

void sheet_encode(struct mount *m, struct call *call, struct message_shard_get *out)
{
    const struct sheet *sheet = call->sheet;
    memcpy(out->dir, sheet->dir.b, ID_SIZE);
    memcpy(out->source, sheet->source.b, ID_SIZE);
    memcpy(out->dataset, m->dataset_id.b, ID_SIZE);
    out->generation = sheet->generation;
    out->fence = span_of(sheet->fence, sheet->fence_size);
    out->capability = span_of(m->capability, m->capability_size);
    out->trace = rng_next(&m->rng);
}

bool sheet_on_shard(struct mount *m, struct call *call, const struct message_shard *answer,
                    struct payload payload)
{
    struct sheet *sheet = call->sheet;
    struct page page;
    enum err err = page_open(span_of(payload.data, payload.size), &page);
    bool right = err == ERR_OK && dir_id_equal(page.dir, sheet->dir) && page.crc == sheet->crc &&
                 page.count == sheet->entries && answer->checksum == sheet->crc &&
                 payload.size <= sheet->reserved;
    struct piece *piece = right ? block_piece(m, payload) : NULL;
    if (piece == NULL) {
        MARK(m, "mount.sheet.wrong");
        call_reject(m, call, err == ERR_OK ? ERR_CORRUPT : err);
        return false;
    }
    m->totals.bytes_received += payload.size;
    m->reserved -= sheet->reserved;
    sheet->reserved = 0;
    sheet->piece = piece;
    m->sheet_bytes += piece->size;
    sheet->page = page;
    sheet->call = NULL;
    sheet->listing->folder->losses = 0;
    folder_unref(m, sheet->listing);
    sheet->listing = NULL;
    call_done(m, call);
    op_wake_all(m, &sheet->waiters);
    return true;
}

void sheet_failed(struct mount *m, struct call *call, enum err err)
{
    struct sheet *sheet = call->sheet;
    call_done(m, call);
    sheet->call = NULL;
    if (err == ERR_NOT_FOUND) {
        MARK(m, "mount.sheet.lost"); /* a newer generation, or a listing made again, has them all */
        sheet->listing->broken = true;
        sheet->listing->folder->losses++;
        folder_changed(m, sheet->dir, sheet->generation);
        op_wake_all(m, &sheet->waiters);
    } else {
        op_fail_all(m, &sheet->waiters, err);
    }
    sheet_free(m, sheet);
}
