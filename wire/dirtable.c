/* wire/dirtable.c: heads, tables of offsets, checksums. */
#include "wire/dirtable.h"

#include <string.h>

#include "base/crc.h"

#define FORMAT_VERSION 1u

#define AT_MAGIC 0
#define AT_VERSION 4
#define AT_HEAD_SIZE 6
#define AT_COUNT 8
#define AT_TABLE 12
#define OFFSET_SIZE 4u

/* ---- reading ---------------------------------------------------------------------------- */

enum err dirtable_open(struct span bytes, uint32_t magic, size_t least_head, struct dirtable *out)
{
    if (bytes.size < least_head + DIRTABLE_CRC_SIZE || get_u32(bytes.data + AT_MAGIC) != magic) {
        return ERR_MALFORMED;
    }
    uint16_t version = get_u16(bytes.data + AT_VERSION);
    if (version != FORMAT_VERSION) {
        return version > FORMAT_VERSION ? ERR_VERSION : ERR_MALFORMED;
    }
    size_t body = bytes.size - DIRTABLE_CRC_SIZE;
    if (crc64(0, bytes.data, body) != get_u64(bytes.data + body)) {
        return ERR_CORRUPT;
    }
    size_t head = get_u16(bytes.data + AT_HEAD_SIZE);
    size_t end = get_u32(bytes.data + AT_TABLE);
    uint32_t count = get_u32(bytes.data + AT_COUNT);
    bool fits = head >= least_head && head <= end && end <= body &&
                (body - end) / OFFSET_SIZE == count && (body - end) % OFFSET_SIZE == 0;
    if (!fits) {
        return ERR_MALFORMED;
    }
    *out = (struct dirtable){
        .bytes = bytes, .offsets = bytes.data + end, .records_at = head, .end = end, .count = count
    };
    return ERR_OK;
}

struct span dirtable_record(struct span bytes, const uint8_t *offsets, uint32_t index)
{
    const uint8_t *at = bytes.data + get_u32(offsets + (size_t)index * OFFSET_SIZE);
    return span_of(at, get_u16(at));
}

bool dirtable_is_sound(const struct dirtable *table, size_t end, size_t least)
{
    size_t at = table->records_at;
    if (at > end) {
        return false;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        if (get_u32(table->offsets + (size_t)i * OFFSET_SIZE) != at || end - at < least) {
            return false;
        }
        size_t size = get_u16(table->bytes.data + at);
        if (size < least || size > end - at) {
            return false;
        }
        at += size;
    }
    return at == end;
}

/* ---- writing ---------------------------------------------------------------------------- */

void dirtable_push(uint8_t *buffer, size_t room, uint32_t count, size_t at)
{
    put_u32(buffer + room - ((size_t)count + 1) * OFFSET_SIZE, (uint32_t)at);
}

bool dirtable_has_room(size_t used, size_t room, uint32_t count, size_t more)
{
    size_t table = ((size_t)count + 1) * OFFSET_SIZE;
    return used + more + table + DIRTABLE_CRC_SIZE <= room;
}

size_t dirtable_end(uint8_t *buffer, size_t room, size_t used, uint32_t count)
{
    uint8_t *table = buffer + room - (size_t)count * OFFSET_SIZE;
    for (uint32_t i = 0; i < count / 2; i++) {
        uint8_t *low = table + (size_t)i * OFFSET_SIZE;
        uint8_t *high = table + (size_t)(count - 1 - i) * OFFSET_SIZE;
        uint32_t swapped = get_u32(low);
        put_u32(low, get_u32(high));
        put_u32(high, swapped);
    }
    CHECK(used + (size_t)count * OFFSET_SIZE + DIRTABLE_CRC_SIZE <= room);
    memmove(buffer + used, table, (size_t)count * OFFSET_SIZE);
    put_u32(buffer + AT_TABLE, (uint32_t)used);
    put_u32(buffer + AT_COUNT, count);
    used += (size_t)count * OFFSET_SIZE;
    put_u64(buffer + used, crc64(0, buffer, used));
    return used + DIRTABLE_CRC_SIZE;
}

void dirtable_put_head(uint8_t *buffer, uint32_t magic, uint16_t size, const struct dir_id *dir,
                       uint64_t generation)
{
    put_u32(buffer + AT_MAGIC, magic);
    put_u16(buffer + AT_VERSION, FORMAT_VERSION);
    put_u16(buffer + AT_HEAD_SIZE, size);
    memcpy(buffer + DIRTABLE_AT_DIR, dir->b, ID_SIZE);
    put_u64(buffer + DIRTABLE_AT_GENERATION, generation);
}
