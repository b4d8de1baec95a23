/* node/core/record.c: the header of a block on disk. */
#include "node/core/record.h"

#include <string.h>

#include "base/next.h"

/* Little endian: magic 8, version 4, payload size 4, object size 8, block size 4, index 4, source
 * 16, object 16, key size 4, pin size 4, place 8, dataset 16, key, pin, checksums; zeros; CRC-64 in
 * the last 8 bytes. */
#define AT_VERSION 8u
#define AT_PAYLOAD_SIZE 12u
#define AT_OBJECT_SIZE 16u
#define AT_BLOCK_SIZE 24u
#define AT_INDEX 28u
#define AT_SOURCE 32u
#define AT_OBJECT 48u
#define AT_KEY_SIZE 64u
#define AT_PIN_SIZE 68u
#define AT_PLACE 72u
#define AT_DATASET 80u
#define AT_KEY 96u
#define AT_CRC (RECORD_HEADER_SIZE - 8u)

static const uint8_t magic[8] = { 'A', 't', 'o', 'l', 'l', 'B', 'l', 'k' };

void record_encode(const struct record *record, uint8_t out[RECORD_HEADER_SIZE])
{
    size_t checksums = (size_t)chunk_count(record->payload_size) * 8;
    CHECK(record->payload_size > 0 && record->payload_size <= record->block_size);
    CHECK(AT_KEY + record->key.size + record->pin.size + checksums <= AT_CRC);
    memset(out, 0, RECORD_HEADER_SIZE);
    memcpy(out, magic, sizeof magic);
    put_u32(out + AT_VERSION, RECORD_VERSION);
    put_u32(out + AT_PAYLOAD_SIZE, record->payload_size);
    put_u64(out + AT_OBJECT_SIZE, record->object_size);
    put_u32(out + AT_BLOCK_SIZE, record->block_size);
    put_u32(out + AT_INDEX, record->block.index);
    memcpy(out + AT_SOURCE, record->source.b, ID_SIZE);
    memcpy(out + AT_OBJECT, record->block.object.b, ID_SIZE);
    put_u32(out + AT_KEY_SIZE, (uint32_t)record->key.size);
    put_u32(out + AT_PIN_SIZE, (uint32_t)record->pin.size);
    put_u64(out + AT_PLACE, record->place.v);
    memcpy(out + AT_DATASET, record->dataset.b, ID_SIZE);
    uint8_t *at = out + AT_KEY;
    if (record->key.size > 0) {
        memcpy(at, record->key.data, record->key.size);
        at += record->key.size;
    }
    if (record->pin.size > 0) {
        memcpy(at, record->pin.data, record->pin.size);
        at += record->pin.size;
    }
    memcpy(at, record->checksums, checksums);
    at += checksums;
    if ((size_t)(at - out) + NEXT_BYTES <= AT_CRC) {
        next_put(at);
    }
    put_u64(out + AT_CRC, crc64(0, out, AT_CRC));
}

/* Do the sizes agree with each other and with the header's room? */
static bool sizes_agree(const struct record *record)
{
    uint64_t begin = (uint64_t)record->block.index * record->block_size;
    size_t checksums = (size_t)chunk_count(record->payload_size) * 8;
    if (record->payload_size == 0 || record->payload_size > record->block_size ||
        record->object_size < begin || record->object_size - begin < record->payload_size) {
        return false;
    }
    return AT_KEY + record->key.size + record->pin.size + checksums <= AT_CRC;
}

enum err record_decode(struct span header, struct record *out)
{
    const uint8_t *from = header.data;
    if (header.size < RECORD_HEADER_SIZE || memcmp(from, magic, sizeof magic) != 0) {
        return ERR_MALFORMED;
    }
    if (get_u32(from + AT_VERSION) != RECORD_VERSION) {
        return get_u32(from + AT_VERSION) > RECORD_VERSION ? ERR_VERSION : ERR_MALFORMED;
    }
    if (get_u64(from + AT_CRC) != crc64(0, from, AT_CRC)) {
        return ERR_CORRUPT;
    }
    struct record record = { .object_size = get_u64(from + AT_OBJECT_SIZE),
                             .place = { get_u64(from + AT_PLACE) },
                             .block_size = get_u32(from + AT_BLOCK_SIZE),
                             .payload_size = get_u32(from + AT_PAYLOAD_SIZE) };
    record.block.index = get_u32(from + AT_INDEX);
    memcpy(record.source.b, from + AT_SOURCE, ID_SIZE);
    memcpy(record.block.object.b, from + AT_OBJECT, ID_SIZE);
    memcpy(record.dataset.b, from + AT_DATASET, ID_SIZE);
    record.key.size = get_u32(from + AT_KEY_SIZE);
    record.pin.size = get_u32(from + AT_PIN_SIZE);
    if (record.key.size > AT_CRC || record.pin.size > AT_CRC || !sizes_agree(&record)) {
        return ERR_CORRUPT;
    }
    record.key.data = from + AT_KEY;
    record.pin.data = record.key.data + record.key.size;
    record.checksums = record.pin.data + record.pin.size;
    struct object_id object =
        object_id_make(record.source, record.key, record.pin, record.block_size);
    if (!object_id_equal(object, record.block.object)) {
        return ERR_CORRUPT;
    }
    *out = record;
    return ERR_OK;
}
