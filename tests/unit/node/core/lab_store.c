/* tests/unit/node/core/lab_store.c: the source and the disks. */
#include "tests/unit/node/core/lab_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

uint64_t lab_key_hash(const char *key)
{
    return hash64(key, strlen(key), 0);
}

uint8_t lab_object_byte(uint64_t hash, uint64_t offset)
{
    return (uint8_t)(hash64_mix(hash, offset / 8) >> (offset % 8 * 8));
}

static void fill(uint8_t *data, uint64_t hash, uint64_t offset, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) {
        data[i] = lab_object_byte(hash, offset + i);
    }
}

/* Fill the parts as a fetch actor does: bytes, and the checksum of each chunk. */
static void fill_parts(const struct node_effect *effect, uint64_t hash)
{
    uint64_t offset = effect->fetch.offset;
    for (uint32_t i = 0; i < effect->fetch.part_count; i++) {
        const struct fetch_part *part = &effect->fetch.parts[i];
        fill(part->data, hash, offset, part->size);
        for (uint32_t at = 0; at < part->size; at += CHUNK_SIZE) {
            uint32_t size = part->size - at < CHUNK_SIZE ? part->size - at : CHUNK_SIZE;
            put_u64(part->checksums + (size_t)(at / CHUNK_SIZE) * 8,
                    crc64(0, part->data + at, size));
        }
        offset += part->size;
    }
}

static struct plan take_plan(struct source *source)
{
    if (source->plan_count == 0) {
        return (struct plan){ .bytes = UINT64_MAX };
    }
    struct plan plan = source->plans[0];
    source->plan_count--;
    memmove(source->plans, source->plans + 1, source->plan_count * sizeof plan);
    return plan;
}

void lab_fetch(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct source *source = &lab->source;
    struct span key = effect->fetch.key;
    uint64_t hash = hash64(key.data, key.size, 0);
    struct plan plan = take_plan(source);
    uint64_t total = 0;
    for (uint32_t i = 0; i < effect->fetch.part_count; i++) {
        total += effect->fetch.parts[i].size;
    }
    assert_int_equal(total, effect->fetch.size);
    assert_true(effect->fetch.part_count <= FETCH_PARTS_MAX);
    /* What came of a chunk that is not whole is of no use: whoever fetches does not tell of it. */
    const uint64_t whole = plan.bytes / CHUNK_SIZE * CHUNK_SIZE;
    uint64_t bytes = plan.bytes < effect->fetch.size ? whole : effect->fetch.size;
    fill_parts(effect, hash);
    source->gets++;
    source->bytes += bytes;
    if (bytes > 0) {
        if (source->range_count == LAB_RANGES) {
            source->range_count = 0; /* tests that look at them have few */
        }
        source->ranges[source->range_count++] = (struct range){ hash, effect->fetch.offset, bytes };
    }
    struct pending item = { .node = index };
    item.event.kind = NODE_FETCHED;
    item.event.fetched.id = effect->fetch.id;
    usec_t delay = source->latency_us;
    for (uint64_t done = source->step; done < bytes; done += source->step) {
        item.event.fetched.bytes = done / CHUNK_SIZE * CHUNK_SIZE;
        lab_later(lab, delay, &item);
        delay += source->step_us;
    }
    item.event.fetched.bytes = bytes;
    item.event.fetched.ended = true;
    item.event.fetched.err = bytes < effect->fetch.size ? plan.err : ERR_OK;
    if (item.event.fetched.err != ERR_OK) {
        item.event.fetched.text = span_text("what the store said of a GET");
    }
    item.event.fetched.retry_us = plan.retry_us;
    lab_later(lab, delay, &item);
}

/* A node that asks whether the source is well: it is. */
void lab_ask(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct pending item = { .node = index };
    item.event.kind = NODE_LISTED;
    item.event.listed.id = effect->kind == NODE_LIST ? effect->list.id : effect->head.id;
    lab_later(lab, lab->source.latency_us, &item);
}

bool lab_source_repeats(const struct lab *lab)
{
    const struct source *source = &lab->source;
    for (uint32_t i = 0; i < source->range_count; i++) {
        const struct range *a = &source->ranges[i];
        for (uint32_t k = 0; k < i; k++) {
            const struct range *b = &source->ranges[k];
            if (a->key == b->key && a->offset < b->offset + b->size &&
                b->offset < a->offset + a->size) {
                return true;
            }
        }
    }
    return false;
}

static struct disk_record_kept *find_record(struct disk *disk, uint32_t segment, uint32_t offset)
{
    for (uint32_t i = 0; i < disk->count; i++) {
        const struct disk_record *record = &disk->kept[i].record;
        if (record->segment == segment && record->offset == offset) {
            return &disk->kept[i];
        }
    }
    return NULL;
}

static void answer(struct lab *lab, uint32_t index, uint64_t id, enum err err)
{
    struct pending item = { .node = index };
    item.event.kind = NODE_DISK;
    item.event.disk.id = id;
    item.event.disk.err = err;
    lab_later(lab, lab->nodes[index].disk.latency_us + 50, &item);
}

static void disk_write(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct disk *disk = &lab->nodes[index].disk;
    struct span header = effect->disk_write.header;
    struct span payload = effect->disk_write.payload;
    struct record record;
    disk->writes++;
    if (disk->write_err != ERR_OK) {
        answer(lab, index, effect->disk_write.id, disk->write_err);
        return;
    }
    assert_int_equal(record_decode(header, &record), ERR_OK);
    assert_int_equal(record.payload_size, payload.size);
    assert_true(disk->count < ARRAY_COUNT(disk->kept));
    assert_null(find_record(disk, effect->disk_write.segment, effect->disk_write.offset));
    struct disk_record_kept *kept = &disk->kept[disk->count++];
    kept->bytes = malloc(header.size + payload.size);
    assert_non_null(kept->bytes);
    memcpy(kept->bytes, header.data, header.size);
    memcpy(kept->bytes + header.size, payload.data, payload.size);
    kept->record = (struct disk_record){ .block = record.block,
                                         .source = record.source,
                                         .place = record.place,
                                         .dataset = record.dataset,
                                         .segment = effect->disk_write.segment,
                                         .offset = effect->disk_write.offset,
                                         .header_size = RECORD_HEADER_SIZE,
                                         .payload_size = record.payload_size };
    answer(lab, index, effect->disk_write.id, ERR_OK);
}

/* As a disk actor: every chunk against the header. */
static enum err read_kept(const struct disk_record_kept *kept, const struct node_effect *effect)
{
    struct record record;
    if (kept == NULL) {
        return ERR_SYSTEM;
    }
    enum err err = record_decode(span_of(kept->bytes, RECORD_HEADER_SIZE), &record);
    if (err != ERR_OK) {
        return ERR_CORRUPT;
    }
    uint32_t offset = effect->disk_read.offset;
    uint32_t size = effect->disk_read.size;
    assert_true(offset % CHUNK_SIZE == 0 && offset + size <= record.payload_size);
    memcpy(effect->disk_read.data, kept->bytes + RECORD_HEADER_SIZE + offset, size);
    for (uint32_t at = 0; at < size; at += CHUNK_SIZE) {
        uint32_t part = size - at < CHUNK_SIZE ? size - at : CHUNK_SIZE;
        uint64_t crc = crc64(0, effect->disk_read.data + at, part);
        put_u64(effect->disk_read.checksums + (size_t)(at / CHUNK_SIZE) * 8, crc);
        if (crc != get_u64(record.checksums + (size_t)((offset + at) / CHUNK_SIZE) * 8)) {
            return ERR_CORRUPT;
        }
    }
    if (effect->disk_read.header != NULL) {
        memcpy(effect->disk_read.header, kept->bytes, RECORD_HEADER_SIZE);
    }
    return ERR_OK;
}

static void disk_drop(struct disk *disk, uint32_t segment)
{
    uint32_t kept = 0;
    disk->drops++;
    for (uint32_t i = 0; i < disk->count; i++) {
        if (disk->kept[i].record.segment == segment) {
            free(disk->kept[i].bytes);
        } else {
            disk->kept[kept++] = disk->kept[i];
        }
    }
    disk->count = kept;
}

void lab_disk(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct disk *disk = &lab->nodes[index].disk;
    if (effect->kind == NODE_DISK_WRITE) {
        disk_write(lab, index, effect);
    } else if (effect->kind == NODE_DISK_DROP) {
        disk_drop(disk, effect->disk_drop.segment);
    } else {
        disk->reads++;
        const struct disk_record *record = &effect->disk_read.record;
        const struct disk_record_kept *kept = find_record(disk, record->segment, record->offset);
        answer(lab, index, effect->disk_read.id, read_kept(kept, effect));
    }
}

void lab_disk_corrupt(struct lab *lab, uint32_t node)
{
    struct disk *disk = &lab->nodes[node].disk;
    for (uint32_t i = 0; i < disk->count; i++) {
        disk->kept[i].bytes[RECORD_HEADER_SIZE + 70000 % disk->kept[i].record.payload_size] ^= 1;
    }
}
