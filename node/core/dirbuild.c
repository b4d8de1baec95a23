/* node/core/dirbuild.c: the sorted set of entries that are not in a page yet. */
#include "node/core/dirbuild.h"

#include "base/hash.h"

/* An entry in the memory; name and pin follow. */
struct packed {
    uint64_t size;
    int64_t mtime_us;
    uint16_t name_size;
    uint16_t pin_size;
    uint8_t type;
    uint8_t zero[3];
};

#define PACKED_ALIGN 8u
#define PAGE_FIXED (52u + NEXT_BYTES + 2u * ENTRY_NAME_MAX)
#define ENTRY_FIXED (34u + NEXT_BYTES) /* as in PAGE_SIZE_MAX */

static size_t packed_size(size_t name_size, size_t pin_size)
{
    size_t size = sizeof(struct packed) + name_size + pin_size;
    return (size + PACKED_ALIGN - 1) & ~(size_t)(PACKED_ALIGN - 1);
}

static bool is_small(const struct entry *entry)
{
    return entry->type == ENTRY_FILE && entry->size <= SMALL_FILE_MAX;
}

uint64_t dirbuild_digest(const struct entry *entry)
{
    uint64_t digest = hash64(entry->name.data, entry->name.size, entry->type);
    digest = hash64_mix(digest, hash64(entry->pin.data, entry->pin.size, 1));
    digest = hash64_mix(digest, entry->size);
    return hash64_mix(digest, (uint64_t)entry->mtime_us);
}

void dirbuild_init(struct dirbuild *build, struct dir_id dir, uint64_t generation,
                   const struct root *old)
{
    *build = (struct dirbuild){ .dir = dir, .generation = generation };
    if (old != NULL) {
        CHECK(old->head.generation < generation);
        build->old = *old;
        build->has_old = old->shards > 0;
    }
}

/* ---- the set ----------------------------------------------------------------------------- */

/* The order lies at the end of the memory, the last entry first. */
static uint32_t *order_slot(const struct dirbuild *build, uint32_t index)
{
    uint32_t *end = (uint32_t *)(void *)(build->memory + build->size);
    return end - 1 - index;
}

static const struct packed *packed_at(const struct dirbuild *build, uint32_t index)
{
    CHECK(index < build->count);
    return (const struct packed *)(const void *)(build->memory + *order_slot(build, index));
}

static void entry_at(const struct dirbuild *build, uint32_t index, struct entry *out)
{
    const struct packed *packed = packed_at(build, index);
    const uint8_t *name = (const uint8_t *)(packed + 1);
    *out = (struct entry){
        .name = span_of(name, packed->name_size),
        .type = packed->type,
        .size = packed->size,
        .mtime_us = packed->mtime_us,
        .pin = span_of(name + packed->name_size, packed->pin_size),
    };
}

static struct span name_at(const struct dirbuild *build, uint32_t index)
{
    const struct packed *packed = packed_at(build, index);
    return span_of(packed + 1, packed->name_size);
}

/* Index of the first entry at or after `name`. */
static uint32_t lower_bound(const struct dirbuild *build, struct span name)
{
    uint32_t low = 0;
    uint32_t high = build->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (span_compare(name_at(build, middle), name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t held_size(const struct dirbuild *build)
{
    size_t size = 0;
    for (uint32_t i = 0; i < build->count; i++) {
        const struct packed *packed = packed_at(build, i);
        size += packed_size(packed->name_size, packed->pin_size) + sizeof(uint32_t);
    }
    return size;
}

/* More than they can take: a key has its prefix before the name. */
static size_t listed_size(const struct listed *entries, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t name = entries[i].key.size < ENTRY_NAME_MAX ? entries[i].key.size : ENTRY_NAME_MAX;
        size_t pin = entries[i].pin.size < PIN_MAX ? entries[i].pin.size : PIN_MAX;
        size += packed_size(name, pin) + sizeof(uint32_t);
    }
    return size;
}

size_t dirbuild_need(const struct dirbuild *build, const struct listed *entries, uint32_t count)
{
    size_t need = held_size(build) + listed_size(entries, count);
    return (need + PACKED_ALIGN - 1) & ~(size_t)(PACKED_ALIGN - 1);
}

static size_t room_left(const struct dirbuild *build)
{
    return build->size - build->used - build->count * sizeof(uint32_t);
}

bool dirbuild_fits(const struct dirbuild *build, const struct listed *entries, uint32_t count)
{
    return listed_size(entries, count) <= room_left(build);
}

/* In the order of names, so that the earlier memory is not needed any more. */
void dirbuild_give(struct dirbuild *build, uint8_t *memory, size_t size)
{
    struct dirbuild to = *build;
    CHECK(size % PACKED_ALIGN == 0 && size <= UINT32_MAX);
    CHECK(size >= held_size(build));
    to.memory = memory;
    to.size = size;
    to.used = 0;
    for (uint32_t i = 0; i < build->count; i++) {
        const struct packed *packed = packed_at(build, i);
        size_t bytes = packed_size(packed->name_size, packed->pin_size);
        memcpy(memory + to.used, packed, bytes);
        *order_slot(&to, i) = (uint32_t)to.used;
        to.used += bytes;
    }
    *build = to;
}

static void count_in(struct dirbuild *build, const struct entry *entry)
{
    build->files += entry->type == ENTRY_FILE ? 1 : 0;
    build->directories += entry->type == ENTRY_DIR ? 1 : 0;
    build->bytes += entry->size;
    build->digest += dirbuild_digest(entry);
}

static void count_out(struct dirbuild *build, const struct entry *entry)
{
    build->files -= entry->type == ENTRY_FILE ? 1 : 0;
    build->directories -= entry->type == ENTRY_DIR ? 1 : 0;
    build->bytes -= entry->size;
    build->digest -= dirbuild_digest(entry);
}

static uint32_t store(struct dirbuild *build, const struct entry *entry)
{
    uint32_t at = (uint32_t)build->used;
    struct packed *packed = (struct packed *)(void *)(build->memory + at);
    uint8_t *name = (uint8_t *)(packed + 1);
    *packed = (struct packed){
        .size = entry->size,
        .mtime_us = entry->mtime_us,
        .name_size = (uint16_t)entry->name.size,
        .pin_size = (uint16_t)entry->pin.size,
        .type = entry->type,
    };
    memcpy(name, entry->name.data, entry->name.size);
    if (entry->pin.size > 0) {
        memcpy(name + entry->name.size, entry->pin.data, entry->pin.size);
    }
    build->used += packed_size(entry->name.size, entry->pin.size);
    return at;
}

static void insert(struct dirbuild *build, uint32_t index, uint32_t at)
{
    build->count++;
    uint32_t *last = order_slot(build, build->count - 1);
    memmove(last, last + 1, (build->count - 1 - index) * sizeof *last);
    *order_slot(build, index) = at;
}

/* The name is there already: only a directory takes a file's place. */
static void put_again(struct dirbuild *build, uint32_t index, const struct entry *entry)
{
    struct entry known;
    entry_at(build, index, &known);
    if (known.type == entry->type) {
        return;
    }
    build->hidden++;
    if (entry->type == ENTRY_DIR) {
        count_out(build, &known);
        count_in(build, entry);
        *order_slot(build, index) = store(build, entry);
    }
}

enum dirbuild_put dirbuild_put(struct dirbuild *build, const struct entry *entry)
{
    CHECK(entry_name_is_valid(entry->name) && entry->pin.size <= PIN_MAX);
    CHECK(packed_size(entry->name.size, entry->pin.size) + sizeof(uint32_t) <= room_left(build));
    if (span_compare(entry->name, span_of(build->lower, build->lower_size)) < 0 ||
        build->cut_last) {
        return entry->type == ENTRY_DIR ? DIRBUILD_LATE : DIRBUILD_DISORDER;
    }
    uint32_t index = lower_bound(build, entry->name);
    if (index < build->count && span_equal(name_at(build, index), entry->name)) {
        put_again(build, index, entry);
        return DIRBUILD_PUT;
    }
    count_in(build, entry);
    insert(build, index, store(build, entry));
    return DIRBUILD_PUT;
}

bool dirbuild_adopt(struct dirbuild *build, const struct entry *entry)
{
    CHECK(entry->name.size <= ENTRY_NAME_MAX && entry->pin.size <= PIN_MAX);
    if (build->adopted_count == DIRBUILD_ADOPTED_MAX) {
        return false;
    }
    struct dirbuild_adopted *to = &build->adopted[build->adopted_count++];
    *to = (struct dirbuild_adopted){
        .name_size = (uint32_t)entry->name.size,
        .pin_size = (uint32_t)entry->pin.size,
        .size = entry->size,
        .place = entry->place,
    };
    memcpy(to->name, entry->name.data, entry->name.size);
    if (entry->pin.size > 0) {
        memcpy(to->pin, entry->pin.data, entry->pin.size);
    }
    return true;
}

enum dirbuild_kind dirbuild_classify(struct span prefix, const struct listed *listed,
                                     struct entry *out)
{
    struct span key = listed->key;
    if (key.size > LISTED_KEY_MAX || !span_starts_with(key, prefix)) {
        return DIRBUILD_HIDDEN;
    }
    struct span name = span_of(key.data + prefix.size, key.size - prefix.size);
    if (name.size == 0) {
        return listed->is_prefix ? DIRBUILD_HIDDEN : DIRBUILD_MARKER;
    }
    bool is_dir = name.data[name.size - 1] == '/'; /* also an object "name/": a marker below us */
    if (is_dir) {
        name.size--;
    }
    struct entry entry = { .name = name, .type = is_dir ? ENTRY_DIR : ENTRY_FILE };
    if (!is_dir) {
        entry.size = listed->size;
        entry.mtime_us = listed->mtime_us;
        entry.pin = listed->pin;
    }
    bool is_lone_prefix = listed->is_prefix && !is_dir;
    if (is_lone_prefix || !entry_name_is_valid(name) || entry.pin.size > PIN_MAX ||
        entry.size > INT64_MAX) {
        return DIRBUILD_HIDDEN;
    }
    *out = entry;
    return DIRBUILD_SHOWN;
}

/* ---- cutting ----------------------------------------------------------------------------- */

static struct span fence_of(const struct dirbuild *build, uint32_t segment)
{
    struct root_shard shard;
    root_shard(&build->old, segment, &shard);
    return shard.lower;
}

static uint32_t segment_of(const struct dirbuild *build, struct span name)
{
    uint32_t segment = 0;
    bool found = root_shard_for(&build->old, name, &segment);
    CHECK(found); /* the first fence is empty */
    return segment;
}

/* How many of the first `most` entries one page takes. */
static uint32_t fitting(const struct dirbuild *build, uint32_t most)
{
    uint64_t small_bytes = 0;
    uint32_t count = 0;
    while (count < most && count < PAGE_ENTRIES_MAX) {
        struct entry entry;
        entry_at(build, count, &entry);
        small_bytes += is_small(&entry) ? entry.size : 0;
        if (small_bytes > PAGE_SMALL_BYTES_MAX) {
            break;
        }
        count++;
    }
    return count;
}

/* Entries of the segment being filled. */
static uint32_t segment_count(const struct dirbuild *build)
{
    if (!build->has_old || build->segment + 1 >= build->old.shards) {
        return build->count;
    }
    return lower_bound(build, fence_of(build, build->segment + 1));
}

/* A run that is whole is halved rather than cut to a full page and a crumb; one that still grows is
 * held until two pages of it are there. 0: not yet. */
static uint32_t take_of(const struct dirbuild *build, uint32_t run, bool whole)
{
    uint32_t fit = fitting(build, run);
    CHECK(fit > 0);
    if (whole && fit == run) {
        return run;
    }
    if (run >= 2 * fit) {
        return fit;
    }
    return whole ? run / 2 : 0;
}

/* The fence between the first `take` entries and the rest: an old one where the rest begins in
 * another segment. Empty when there is no rest. */
static struct span upper_of(const struct dirbuild *build, uint32_t take, uint32_t run)
{
    if (take == build->count) {
        return span_of(NULL, 0);
    }
    struct span name = name_at(build, take);
    return take < run ? name : fence_of(build, segment_of(build, name));
}

static size_t page_size_max(const struct dirbuild *build, uint32_t take)
{
    size_t size = PAGE_FIXED;
    for (uint32_t i = 0; i < take; i++) {
        const struct packed *packed = packed_at(build, i);
        size += ENTRY_FIXED + packed->name_size + packed->pin_size;
    }
    CHECK(size <= PAGE_SIZE_MAX);
    return size;
}

bool dirbuild_next(struct dirbuild *build, bool last, struct dirbuild_cut *out)
{
    if (build->count == 0) {
        return false;
    }
    if (build->has_old && !build->cut_any) {
        build->segment = segment_of(build, name_at(build, 0));
    }
    uint32_t run = segment_count(build);
    CHECK(run > 0);
    uint32_t take = take_of(build, run, last || run < build->count);
    if (take == 0) {
        return false;
    }
    *out = (struct dirbuild_cut){
        .take = take,
        .size_max = page_size_max(build, take),
        .lower = span_of(build->lower, build->lower_size),
        .upper = upper_of(build, take, run),
    };
    return true;
}

static struct place place_for(const struct dirbuild *build, const struct entry *entry,
                              struct place of_page)
{
    if (!is_small(entry)) {
        return (struct place){ .v = 0 };
    }
    for (uint32_t i = 0; i < build->adopted_count; i++) {
        const struct dirbuild_adopted *adopted = &build->adopted[i];
        if (span_equal(entry->name, span_of(adopted->name, adopted->name_size)) &&
            span_equal(entry->pin, span_of(adopted->pin, adopted->pin_size)) &&
            entry->size == adopted->size) {
            return adopted->place;
        }
    }
    return of_page;
}

static void drop_first(struct dirbuild *build, uint32_t take, struct span upper)
{
    uint32_t rest = build->count - take;
    uint32_t *from = order_slot(build, build->count - 1);
    build->cut_any = true;
    build->cut_last = upper.size == 0;
    build->lower_size = (uint32_t)upper.size;
    if (upper.size > 0) {
        memcpy(build->lower, upper.data, upper.size); /* a name here or a fence of old */
    }
    memmove(from + take, from, rest * sizeof *from);
    build->count = rest;
    if (rest == 0) {
        build->used = 0;
    }
    if (build->has_old && rest > 0) {
        build->segment = segment_of(build, name_at(build, 0));
    }
}

size_t dirbuild_write(struct dirbuild *build, const struct dirbuild_cut *cut, uint8_t *buffer,
                      size_t room)
{
    struct page_writer writer;
    struct page_start start = { .dir = build->dir,
                                .generation = build->generation,
                                .lower = cut->lower };
    CHECK(room >= cut->size_max && cut->take > 0 && cut->take <= build->count);
    enum err err = page_writer_init(&writer, buffer, room, &start);
    CHECK(err == ERR_OK);
    struct place of_page = place_of_shard(build->dir, cut->lower);
    for (uint32_t i = 0; i < cut->take; i++) {
        struct entry entry;
        entry_at(build, i, &entry);
        entry.place = place_for(build, &entry, of_page);
        err = page_writer_add(&writer, &entry);
        CHECK(err == ERR_OK);
    }
    size_t size = page_writer_end(&writer, cut->upper);
    drop_first(build, cut->take, cut->upper);
    return size;
}
