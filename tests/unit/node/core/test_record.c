/* tests/unit/node/core/test_record.c: the header of a block on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/core/record.h"

#include <string.h>

#define BLOCK 262144u
#define PAYLOAD 200000u

static uint8_t checksums[256 * 8];

static struct record example(void)
{
    struct record record = { .object_size = BLOCK + PAYLOAD,
                             .place = { 77 },
                             .block_size = BLOCK,
                             .payload_size = PAYLOAD,
                             .key = span_text("images/cat.jpg"),
                             .pin = span_text("\"0123\""),
                             .checksums = checksums };
    memset(record.source.b, 9, ID_SIZE);
    memset(record.dataset.b, 5, ID_SIZE);
    record.block.object = object_id_make(record.source, record.key, record.pin, BLOCK);
    record.block.index = 1;
    for (uint32_t i = 0; i < sizeof checksums; i++) {
        checksums[i] = (uint8_t)i;
    }
    return record;
}

static void a_record_says_what_was_written(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE];
    struct record record = example();
    struct record out;
    record_encode(&record, header);
    assert_int_equal(record_decode(span_of(header, sizeof header), &out), ERR_OK);
    assert_true(block_id_equal(out.block, record.block));
    assert_true(source_id_equal(out.source, record.source));
    assert_true(span_equal(out.key, record.key));
    assert_true(span_equal(out.pin, record.pin));
    assert_int_equal(out.place.v, 77);
    assert_memory_equal(out.dataset.b, record.dataset.b, ID_SIZE);
    assert_int_equal(out.object_size, record.object_size);
    assert_int_equal(out.block_size, BLOCK);
    assert_int_equal(out.payload_size, PAYLOAD);
    assert_memory_equal(out.checksums, checksums, chunk_count(PAYLOAD) * 8);
}

static void the_largest_record_fits_its_page(void **state)
{
    (void)state;
    static char key[1024];
    static char pin[256];
    uint8_t header[RECORD_HEADER_SIZE];
    struct record out;
    struct record record = example();
    memset(key, 'k', sizeof key);
    memset(pin, 'p', sizeof pin);
    record.key = span_of(key, sizeof key);
    record.pin = span_of(pin, sizeof pin);
    record.block_size = 16u << 20;
    record.payload_size = 16u << 20;
    record.object_size = UINT64_C(64) << 20;
    record.block.object = object_id_make(record.source, record.key, record.pin, 16u << 20);
    record_encode(&record, header);
    assert_int_equal(record_decode(span_of(header, sizeof header), &out), ERR_OK);
    assert_memory_equal(out.checksums, checksums, sizeof checksums);
}

static void any_flipped_bit_is_found(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE];
    struct record out;
    struct record record = example();
    record_encode(&record, header);
    for (uint32_t bit = 0; bit < RECORD_HEADER_SIZE * 8; bit += 7) {
        header[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(record_decode(span_of(header, sizeof header), &out), ERR_OK);
        header[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(record_decode(span_of(header, sizeof header), &out), ERR_OK);
}

static void zeros_and_a_short_header_are_no_record(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE] = { 0 };
    struct record out;
    assert_int_equal(record_decode(span_of(header, sizeof header), &out), ERR_MALFORMED);
    struct record record = example();
    record_encode(&record, header);
    assert_int_equal(record_decode(span_of(header, 100), &out), ERR_MALFORMED);
}

static void a_newer_format_is_told_apart(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE];
    struct record out;
    struct record record = example();
    record_encode(&record, header);
    put_u32(header + 8, RECORD_VERSION + 1);
    assert_int_equal(record_decode(span_of(header, sizeof header), &out), ERR_VERSION);
}

static void an_older_format_is_no_record(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE];
    struct record out;
    struct record record = example();
    record_encode(&record, header);
    put_u32(header + 8, RECORD_VERSION - 1);
    put_u64(header + RECORD_HEADER_SIZE - 8, crc64(0, header, RECORD_HEADER_SIZE - 8));
    assert_int_equal(record_decode(span_of(header, sizeof header), &out), ERR_MALFORMED);
}

/* A checksum alone does not make sizes agree: somebody may have written it. */
static void sizes_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    uint8_t header[RECORD_HEADER_SIZE];
    struct record out;
    struct record record = example();
    uint32_t at[] = { 12, 24, 28, 64, 68 };
    for (uint32_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        record_encode(&record, header);
        put_u32(header + at[i], 0x7fffffff);
        put_u64(header + RECORD_HEADER_SIZE - 8, crc64(0, header, RECORD_HEADER_SIZE - 8));
        assert_int_equal(record_decode(span_of(header, sizeof header), &out), ERR_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_says_what_was_written),
        cmocka_unit_test(the_largest_record_fits_its_page),
        cmocka_unit_test(any_flipped_bit_is_found),
        cmocka_unit_test(zeros_and_a_short_header_are_no_record),
        cmocka_unit_test(a_newer_format_is_told_apart),
        cmocka_unit_test(an_older_format_is_no_record),
        cmocka_unit_test(sizes_that_contradict_each_other_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
