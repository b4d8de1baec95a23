/* tests/fuzz/fuzz_record.c: headers of blocks on disk, as they are and with a right checksum and
 * object id. What decodes points into the header, and written again it decodes to the same. */
#include <string.h>

#include "base/crc.h"
#include "node/core/record.h"

#define AT_BLOCK_SIZE 24 /* node/core/record.c */
#define AT_SOURCE 32
#define AT_OBJECT 48
#define AT_KEY_SIZE 64
#define AT_PIN_SIZE 68
#define AT_KEY 96

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(const uint8_t *header, const uint8_t *from, size_t size)
{
    CHECK(from >= header && size <= RECORD_HEADER_SIZE);
    CHECK((size_t)(from - header) <= RECORD_HEADER_SIZE - size);
}

static void try_header(const uint8_t *header)
{
    uint8_t again[RECORD_HEADER_SIZE];
    struct record record;
    struct record back;
    if (record_decode(span_of(header, RECORD_HEADER_SIZE), &record) != ERR_OK) {
        return;
    }
    size_t checksums = (size_t)chunk_count(record.payload_size) * 8;
    check_inside(header, record.key.data, record.key.size);
    check_inside(header, record.pin.data, record.pin.size);
    check_inside(header, record.checksums, checksums);
    record_encode(&record, again);
    CHECK(record_decode(span_of(again, sizeof again), &back) == ERR_OK);
    CHECK(block_id_equal(record.block, back.block));
    CHECK(source_id_equal(record.source, back.source));
    CHECK(record.place.v == back.place.v);
    CHECK(memcmp(record.dataset.b, back.dataset.b, ID_SIZE) == 0);
    CHECK(span_equal(record.key, back.key) && span_equal(record.pin, back.pin));
    CHECK(record.object_size == back.object_size && record.block_size == back.block_size);
    CHECK(record.payload_size == back.payload_size);
    CHECK(memcmp(record.checksums, back.checksums, checksums) == 0);
}

/* Put in the object id that belongs to the rest, so that more than the hash is tried. */
static void make_consistent(uint8_t *header)
{
    struct source_id source;
    uint32_t key_size = get_u32(header + AT_KEY_SIZE);
    uint32_t pin_size = get_u32(header + AT_PIN_SIZE);
    memcpy(header, "AtollBlk\2\0\0", 12);
    if (key_size <= 1024 && pin_size <= 256 && get_u32(header + AT_BLOCK_SIZE) > 0) {
        memcpy(source.b, header + AT_SOURCE, ID_SIZE);
        struct object_id object = object_id_make(source, span_of(header + AT_KEY, key_size),
                                                 span_of(header + AT_KEY + key_size, pin_size),
                                                 get_u32(header + AT_BLOCK_SIZE));
        memcpy(header + AT_OBJECT, object.b, ID_SIZE);
    }
    put_u64(header + RECORD_HEADER_SIZE - 8, crc64(0, header, RECORD_HEADER_SIZE - 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t header[RECORD_HEADER_SIZE];
    memset(header, 0, sizeof header);
    if (size > 0) {
        memcpy(header, data, size < sizeof header ? size : sizeof header);
    }
    try_header(header);
    make_consistent(header);
    try_header(header);
    return 0;
}
