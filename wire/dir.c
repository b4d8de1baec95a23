/* wire/dir.c: pages and roots. A page's lower fence follows its head, its upper fence the last
 * record. A root's head has the directory's prefix in it, behind all fields of fixed size. */
#include "wire/dir.h"

#include "base/next.h"
#include "wire/dirtable.h"

#define PAGE_MAGIC 0x47415041u /* "APAG" */
#define ROOT_MAGIC 0x544f5241u /* "AROT" */

#define PAGE_AT_LOWER_SIZE 40
#define PAGE_AT_UPPER_SIZE 42
#define PAGE_HEAD 44u
#define PAGE_HEAD_OURS (PAGE_HEAD + NEXT_BYTES)

#define ROOT_AT_LISTED 40
#define ROOT_AT_FILES 48
#define ROOT_AT_DIRECTORIES 56
#define ROOT_AT_BYTES 64
#define ROOT_AT_HIDDEN 72
#define ROOT_AT_DIGEST 80
#define ROOT_HEAD 88u /* the first roots have no more */
#define ROOT_AT_PREFIX_SIZE 88
#define ROOT_AT_PREFIX 90

#define ENTRY_HEAD 30u
#define SHARD_HEAD 28u

static void put_span(uint8_t *to, struct span bytes)
{
    if (bytes.size > 0) {
        memcpy(to, bytes.data, bytes.size);
    }
}

/* ---- entries ----------------------------------------------------------------------------- */

bool entry_name_is_valid(struct span name)
{
    if (name.size == 0 || name.size > ENTRY_NAME_MAX) {
        return false;
    }
    if (memchr(name.data, '/', name.size) != NULL || memchr(name.data, '\0', name.size) != NULL) {
        return false;
    }
    return !span_equal(name, span_text(".")) && !span_equal(name, span_text(".."));
}

static bool entry_is_small(const struct entry *entry)
{
    return entry->type == ENTRY_FILE && entry->size <= SMALL_FILE_MAX;
}

bool entry_is_valid(const struct entry *entry)
{
    bool type = entry->type == ENTRY_FILE || entry->type == ENTRY_DIR;
    bool place = entry_is_small(entry) || entry->place.v == 0;
    return type && place && entry->size <= INT64_MAX && entry->pin.size <= PIN_MAX &&
           entry_name_is_valid(entry->name);
}

static size_t entry_size(const struct entry *entry)
{
    return ENTRY_HEAD + entry->name.size + entry->pin.size + NEXT_BYTES;
}

enum err entry_encode(const struct entry *entry, uint8_t *buffer, size_t room, size_t *used)
{
    CHECK(entry_is_valid(entry));
    size_t size = entry_size(entry);
    if (size > room) {
        return ERR_FULL;
    }
    put_u16(buffer, (uint16_t)size);
    buffer[2] = entry->type;
    buffer[3] = (uint8_t)entry->name.size;
    put_u16(buffer + 4, (uint16_t)entry->pin.size);
    put_u64(buffer + 6, entry->size);
    put_u64(buffer + 14, (uint64_t)entry->mtime_us);
    put_u64(buffer + 22, entry->place.v);
    put_span(buffer + ENTRY_HEAD, entry->name);
    put_span(buffer + ENTRY_HEAD + entry->name.size, entry->pin);
    next_put(buffer + size - NEXT_BYTES);
    *used = size;
    return ERR_OK;
}

/* The fields of a record whose bounds hold. */
static struct entry entry_read(struct span record)
{
    size_t name_size = record.data[3];
    const uint8_t *name = record.data + ENTRY_HEAD;
    return (struct entry){
        .type = record.data[2],
        .name = span_of(name, name_size),
        .pin = span_of(name + name_size, get_u16(record.data + 4)),
        .size = get_u64(record.data + 6),
        .mtime_us = (int64_t)get_u64(record.data + 14),
        .place = { get_u64(record.data + 22) },
    };
}

/* `record` has at least ENTRY_HEAD bytes. What an older or newer writer put behind is skipped. */
static bool entry_parse(struct span record, struct entry *out)
{
    size_t name_size = record.data[3];
    size_t pin_size = get_u16(record.data + 4);
    if (record.size - ENTRY_HEAD < name_size + pin_size) {
        return false;
    }
    *out = entry_read(record);
    return entry_is_valid(out);
}

enum err entry_decode(struct span bytes, struct entry *out)
{
    struct entry entry;
    if (bytes.size < ENTRY_HEAD || get_u16(bytes.data) != bytes.size ||
        !entry_parse(bytes, &entry)) {
        return ERR_MALFORMED;
    }
    *out = entry;
    return ERR_OK;
}

/* ---- pages: writing ----------------------------------------------------------------------- */

/* What the end of a page may need beside the table and the checksum. */
#define PAGE_TAIL ENTRY_NAME_MAX

enum err page_writer_init(struct page_writer *writer, uint8_t *buffer, size_t room,
                          const struct page_start *start)
{
    CHECK(start->lower.size <= ENTRY_NAME_MAX);
    size_t used = PAGE_HEAD_OURS + start->lower.size;
    if (room < used + PAGE_TAIL + DIRTABLE_CRC_SIZE) {
        return ERR_FULL;
    }
    dirtable_put_head(buffer, PAGE_MAGIC, PAGE_HEAD_OURS, &start->dir, start->generation);
    next_put(buffer + PAGE_HEAD);
    put_u16(buffer + PAGE_AT_LOWER_SIZE, (uint16_t)start->lower.size);
    put_span(buffer + PAGE_HEAD_OURS, start->lower);
    *writer = (struct page_writer){
        .buffer = buffer,
        .room = room < PAGE_SIZE_MAX ? room : PAGE_SIZE_MAX,
        .used = used,
        .lower = span_of(buffer + PAGE_HEAD_OURS, start->lower.size),
    };
    return ERR_OK;
}

static struct span last_name(const struct page_writer *writer)
{
    const uint8_t *last = writer->buffer + writer->last_at;
    return span_of(last + ENTRY_HEAD, last[3]);
}

/* Is `name` behind everything the page holds? */
static bool goes_behind(const struct page_writer *writer, struct span name)
{
    return span_compare(writer->lower, name) <= 0 &&
           (writer->count == 0 || span_compare(last_name(writer), name) < 0);
}

enum err page_writer_add(struct page_writer *writer, const struct entry *entry)
{
    CHECK(entry_is_valid(entry));
    CHECK(goes_behind(writer, entry->name));
    uint64_t small_bytes = writer->small_bytes + (entry_is_small(entry) ? entry->size : 0);
    size_t size = entry_size(entry);
    if (writer->count == PAGE_ENTRIES_MAX || small_bytes > PAGE_SMALL_BYTES_MAX ||
        !dirtable_has_room(writer->used, writer->room, writer->count, size + PAGE_TAIL)) {
        return ERR_FULL;
    }
    enum err err = entry_encode(entry, writer->buffer + writer->used, size, &size);
    CHECK(err == ERR_OK);
    dirtable_push(writer->buffer, writer->room, writer->count, writer->used);
    writer->last_at = writer->used;
    writer->used += size;
    writer->count++;
    writer->small_bytes = small_bytes;
    return ERR_OK;
}

size_t page_writer_end(struct page_writer *writer, struct span upper)
{
    CHECK(upper.size <= ENTRY_NAME_MAX);
    CHECK(upper.size == 0 || (goes_behind(writer, upper) && !span_equal(writer->lower, upper)));
    put_span(writer->buffer + writer->used, upper);
    put_u16(writer->buffer + PAGE_AT_UPPER_SIZE, (uint16_t)upper.size);
    writer->used += upper.size;
    return dirtable_end(writer->buffer, writer->room, writer->used, writer->count);
}

/* ---- pages: reading ----------------------------------------------------------------------- */

/* The fences and where the entries lie between them. */
static bool page_fences(struct dirtable *table, struct page *page)
{
    const uint8_t *head = table->bytes.data;
    size_t lower_size = get_u16(head + PAGE_AT_LOWER_SIZE);
    size_t upper_size = get_u16(head + PAGE_AT_UPPER_SIZE);
    if (lower_size > ENTRY_NAME_MAX || upper_size > ENTRY_NAME_MAX ||
        table->end - table->records_at < lower_size + upper_size) {
        return false;
    }
    page->lower = span_of(head + table->records_at, lower_size);
    page->upper = span_of(head + table->end - upper_size, upper_size);
    table->records_at += lower_size;
    table->end -= upper_size;
    return upper_size == 0 || span_compare(page->lower, page->upper) < 0;
}

bool page_covers(const struct page *page, struct span name)
{
    return span_compare(page->lower, name) <= 0 &&
           (page->upper.size == 0 || span_compare(name, page->upper) < 0);
}

/* Every entry is valid, and names ascend between the fences. */
static bool page_entries_are_sound(struct page *page)
{
    struct entry entry;
    struct span last = span_of(NULL, 0);
    for (uint32_t i = 0; i < page->count; i++) {
        if (!entry_parse(dirtable_record(page->bytes, page->offsets, i), &entry)) {
            return false;
        }
        if (!page_covers(page, entry.name) || span_compare(last, entry.name) >= 0) {
            return false;
        }
        last = entry.name;
        page->small_bytes += entry_is_small(&entry) ? entry.size : 0;
    }
    return page->small_bytes <= PAGE_SMALL_BYTES_MAX;
}

enum err page_open(struct span bytes, struct page *out)
{
    struct dirtable table;
    if (bytes.size > PAGE_SIZE_LIMIT) {
        return ERR_MALFORMED;
    }
    enum err err = dirtable_open(bytes, PAGE_MAGIC, PAGE_HEAD, &table);
    if (err != ERR_OK) {
        return err;
    }
    struct page page = {
        .bytes = bytes,
        .generation = get_u64(bytes.data + DIRTABLE_AT_GENERATION),
        .count = table.count,
        .crc = get_u64(bytes.data + bytes.size - DIRTABLE_CRC_SIZE),
        .offsets = table.offsets,
    };
    memcpy(page.dir.b, bytes.data + DIRTABLE_AT_DIR, ID_SIZE);
    bool sound = table.count <= PAGE_ENTRIES_MAX && page_fences(&table, &page) &&
                 dirtable_is_sound(&table, table.end, ENTRY_HEAD) && page_entries_are_sound(&page);
    if (!sound) {
        return ERR_MALFORMED;
    }
    *out = page;
    return ERR_OK;
}

uint32_t page_count(const struct page *page)
{
    return page->count;
}

void page_entry(const struct page *page, uint32_t index, struct entry *out)
{
    CHECK(index < page->count);
    *out = entry_read(dirtable_record(page->bytes, page->offsets, index));
}

uint32_t page_lower_bound(const struct page *page, struct span name)
{
    uint32_t low = 0;
    uint32_t high = page->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct span record = dirtable_record(page->bytes, page->offsets, middle);
        if (span_compare(entry_read(record).name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool page_find(const struct page *page, struct span name, struct entry *out)
{
    uint32_t index = page_lower_bound(page, name);
    if (index == page->count) {
        return false;
    }
    struct entry entry;
    page_entry(page, index, &entry);
    if (!span_equal(entry.name, name)) {
        return false;
    }
    *out = entry;
    return true;
}

/* ---- roots: writing ----------------------------------------------------------------------- */

enum err root_writer_init(struct root_writer *writer, uint8_t *buffer, size_t room,
                          struct span prefix)
{
    CHECK(prefix.size <= DIR_PREFIX_MAX);
    size_t head_size = ROOT_AT_PREFIX + prefix.size + NEXT_BYTES;
    if (room < head_size + DIRTABLE_CRC_SIZE) {
        return ERR_FULL;
    }
    put_u16(buffer + ROOT_AT_PREFIX_SIZE, (uint16_t)prefix.size);
    put_span(buffer + ROOT_AT_PREFIX, prefix);
    next_put(buffer + ROOT_AT_PREFIX + prefix.size);
    *writer = (struct root_writer){
        .buffer = buffer,
        .room = room < ROOT_SIZE_MAX ? room : ROOT_SIZE_MAX,
        .used = head_size,
        .head_size = head_size,
    };
    return ERR_OK;
}

static bool shard_is_valid(const struct root_shard *shard)
{
    return shard->lower.size <= ENTRY_NAME_MAX && shard->entries <= PAGE_ENTRIES_MAX &&
           shard->page_bytes <= PAGE_SIZE_LIMIT;
}

static struct root_shard shard_read(struct span record)
{
    return (struct root_shard){
        .lower = span_of(record.data + SHARD_HEAD, get_u16(record.data + 2)),
        .place = { get_u64(record.data + 4) },
        .entries = get_u32(record.data + 12),
        .page_bytes = get_u32(record.data + 16),
        .page_crc = get_u64(record.data + 20),
    };
}

enum err root_writer_add(struct root_writer *writer, const struct root_shard *shard)
{
    CHECK(shard_is_valid(shard));
    size_t size = SHARD_HEAD + shard->lower.size + NEXT_BYTES;
    uint8_t *to = writer->buffer + writer->used;
    if (writer->count == 0) {
        CHECK(shard->lower.size == 0);
    } else {
        const uint8_t *last = writer->buffer + writer->last_at;
        CHECK(span_compare(shard_read(span_of(last, get_u16(last))).lower, shard->lower) < 0);
    }
    if (!dirtable_has_room(writer->used, writer->room, writer->count, size)) {
        return ERR_FULL;
    }
    put_u16(to, (uint16_t)size);
    put_u16(to + 2, (uint16_t)shard->lower.size);
    put_u64(to + 4, shard->place.v);
    put_u32(to + 12, shard->entries);
    put_u32(to + 16, shard->page_bytes);
    put_u64(to + 20, shard->page_crc);
    put_span(to + SHARD_HEAD, shard->lower);
    next_put(to + size - NEXT_BYTES);
    dirtable_push(writer->buffer, writer->room, writer->count, writer->used);
    writer->last_at = writer->used;
    writer->used += size;
    writer->count++;
    writer->entries += shard->entries;
    return ERR_OK;
}

size_t root_writer_end(struct root_writer *writer, const struct root_head *head)
{
    uint8_t *to = writer->buffer;
    CHECK(head->files <= writer->entries && head->directories == writer->entries - head->files);
    dirtable_put_head(to, ROOT_MAGIC, (uint16_t)writer->head_size, &head->dir, head->generation);
    put_u64(to + ROOT_AT_LISTED, (uint64_t)head->listed_wall_us);
    put_u64(to + ROOT_AT_FILES, head->files);
    put_u64(to + ROOT_AT_DIRECTORIES, head->directories);
    put_u64(to + ROOT_AT_BYTES, head->bytes);
    put_u64(to + ROOT_AT_HIDDEN, head->hidden);
    put_u64(to + ROOT_AT_DIGEST, head->digest);
    return dirtable_end(to, writer->room, writer->used, writer->count);
}

/* ---- roots: reading ----------------------------------------------------------------------- */

static struct root_head root_head_read(const uint8_t *from)
{
    struct root_head head = {
        .generation = get_u64(from + DIRTABLE_AT_GENERATION),
        .listed_wall_us = (int64_t)get_u64(from + ROOT_AT_LISTED),
        .files = get_u64(from + ROOT_AT_FILES),
        .directories = get_u64(from + ROOT_AT_DIRECTORIES),
        .bytes = get_u64(from + ROOT_AT_BYTES),
        .hidden = get_u64(from + ROOT_AT_HIDDEN),
        .digest = get_u64(from + ROOT_AT_DIGEST),
    };
    memcpy(head.dir.b, from + DIRTABLE_AT_DIR, ID_SIZE);
    return head;
}

/* The prefix that a head of `size` bytes tells. */
static bool root_prefix(const uint8_t *head, size_t size, struct span *out)
{
    *out = span_of(NULL, 0);
    if (size < ROOT_AT_PREFIX) {
        return true; /* an earlier version does not say it */
    }
    *out = span_of(head + ROOT_AT_PREFIX, get_u16(head + ROOT_AT_PREFIX_SIZE));
    return out->size <= DIR_PREFIX_MAX && out->size <= size - ROOT_AT_PREFIX;
}

/* Every shard is valid, fences ascend from the empty one, and the entries add up. */
static bool root_shards_are_sound(const struct root *root)
{
    uint64_t entries = 0;
    struct span last = span_of(NULL, 0);
    for (uint32_t i = 0; i < root->shards; i++) {
        struct span record = dirtable_record(root->bytes, root->offsets, i);
        if (record.size - SHARD_HEAD < get_u16(record.data + 2)) {
            return false;
        }
        struct root_shard shard = shard_read(record);
        bool ascends = i == 0 ? shard.lower.size == 0 : span_compare(last, shard.lower) < 0;
        if (!ascends || !shard_is_valid(&shard)) {
            return false;
        }
        last = shard.lower;
        entries += shard.entries;
    }
    return root->head.files <= entries && root->head.directories == entries - root->head.files;
}

enum err root_open(struct span bytes, struct root *out)
{
    struct dirtable table;
    if (bytes.size > ROOT_SIZE_MAX) {
        return ERR_MALFORMED;
    }
    enum err err = dirtable_open(bytes, ROOT_MAGIC, ROOT_HEAD, &table);
    if (err != ERR_OK) {
        return err;
    }
    struct root root = {
        .head = root_head_read(bytes.data),
        .bytes = bytes,
        .shards = table.count,
        .crc = get_u64(bytes.data + bytes.size - DIRTABLE_CRC_SIZE),
        .offsets = table.offsets,
    };
    if (!root_prefix(bytes.data, table.records_at, &root.prefix) ||
        !dirtable_is_sound(&table, table.end, SHARD_HEAD) || !root_shards_are_sound(&root)) {
        return ERR_MALFORMED;
    }
    *out = root;
    return ERR_OK;
}

void root_shard(const struct root *root, uint32_t index, struct root_shard *out)
{
    CHECK(index < root->shards);
    *out = shard_read(dirtable_record(root->bytes, root->offsets, index));
}

bool root_shard_for(const struct root *root, struct span name, uint32_t *index)
{
    uint32_t low = 0; /* the first fence is empty: no name lies before it */
    uint32_t high = root->shards;
    if (root->shards == 0) {
        return false;
    }
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        struct root_shard shard;
        root_shard(root, middle, &shard);
        if (span_compare(shard.lower, name) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *index = low;
    return true;
}
