/* tests/unit/wire/test_reader.c: our reader beside the unpacker of msgpack-c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/reader.h"

#include <string.h>

#include <msgpack.h>

#include "base/check.h"
#include "base/rng.h"

#define SEEDS 20u
#define ROUNDS 2000u

/* ---- random values, packed by msgpack-c --------------------------------------------------- */

static void pack_scalar(msgpack_packer *p, struct rng *rng)
{
    uint64_t word = rng_next(rng) >> rng_below(rng, 64);
    switch (rng_below(rng, 7)) {
    case 0:
        msgpack_pack_uint64(p, word);
        return;
    case 1:
        msgpack_pack_int64(p, (int64_t)(0 - (word >> 1)));
        return;
    case 2:
        msgpack_pack_nil(p);
        return;
    case 3:
        (void)(rng_chance(rng, 500000) ? msgpack_pack_true(p) : msgpack_pack_false(p));
        return;
    case 4:
        msgpack_pack_float(p, 0.5f);
        return;
    case 5:
        msgpack_pack_double(p, -0.25);
        return;
    case 6:
        msgpack_pack_fix_int32(p, (int32_t)word); /* not the shortest form */
        return;
    }
}

static void pack_body(msgpack_packer *p, struct rng *rng)
{
    static const char body[400] = "the body of a string, always the same";
    size_t size = (size_t)(rng_chance(rng, 100000) ? rng_below(rng, 400) : rng_below(rng, 20));
    switch (rng_below(rng, 3)) {
    case 0:
        msgpack_pack_str_with_body(p, body, size);
        return;
    case 1:
        msgpack_pack_bin_with_body(p, body, size);
        return;
    case 2:
        msgpack_pack_ext_with_body(p, body, size, (int8_t)(rng_below(rng, 256) - 128));
        return;
    }
}

static void pack_random(msgpack_packer *p, struct rng *rng, uint32_t depth)
{
    uint64_t what = rng_below(rng, depth > 5 ? 4 : 6);
    if (what < 2) {
        pack_scalar(p, rng);
        return;
    }
    if (what < 4) {
        pack_body(p, rng);
        return;
    }
    size_t count = (size_t)(rng_chance(rng, 50000) ? rng_below(rng, 40) : rng_below(rng, 4));
    if (what == 4) {
        msgpack_pack_array(p, count);
    } else {
        msgpack_pack_map(p, count);
        count *= 2;
    }
    for (size_t i = 0; i < count; i++) {
        pack_random(p, rng, depth + 1);
    }
}

/* ---- one value as both see it ------------------------------------------------------------- */

static void compare_value(struct reader *reader, const msgpack_object *object);

static void compare_body(const struct token *token, enum token_kind kind, struct span body)
{
    assert_int_equal(token->kind, kind);
    assert_true(span_equal(token->bytes, body));
}

static void compare_float(const struct token *token, const msgpack_object *object)
{
    double value = 0;
    uint64_t bits = 0;
    assert_int_equal(token->kind, TOKEN_FLOAT);
    for (size_t i = 0; i < token->bytes.size; i++) {
        bits = bits << 8 | token->bytes.data[i];
    }
    if (token->bytes.size == 4) {
        uint32_t half = (uint32_t)bits;
        float narrow;
        memcpy(&narrow, &half, sizeof narrow);
        value = (double)narrow;
    } else {
        memcpy(&value, &bits, sizeof value);
    }
    assert_memory_equal(&value, &object->via.f64, sizeof value);
}

static void compare_container(struct reader *reader, const struct token *token,
                              const msgpack_object *object)
{
    if (object->type == MSGPACK_OBJECT_ARRAY) {
        assert_int_equal(token->kind, TOKEN_ARRAY);
        assert_true(token->number == object->via.array.size);
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            compare_value(reader, &object->via.array.ptr[i]);
        }
        return;
    }
    assert_int_equal(object->type, MSGPACK_OBJECT_MAP);
    assert_int_equal(token->kind, TOKEN_MAP);
    assert_true(token->number == object->via.map.size);
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        compare_value(reader, &object->via.map.ptr[i].key);
        compare_value(reader, &object->via.map.ptr[i].val);
    }
}

static void compare_value(struct reader *reader, const msgpack_object *object)
{
    struct token token;
    assert_true(reader_token(reader, &token));
    switch ((int)object->type) {
    case MSGPACK_OBJECT_NIL:
        assert_int_equal(token.kind, TOKEN_NIL);
        return;
    case MSGPACK_OBJECT_BOOLEAN:
        assert_int_equal(token.kind, TOKEN_BOOL);
        assert_int_equal(token.number, object->via.boolean);
        return;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        assert_int_equal(token.kind, TOKEN_UINT);
        assert_true(token.number == object->via.u64);
        return;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        assert_int_equal(token.kind, TOKEN_INT);
        assert_true((int64_t)token.number == object->via.i64);
        return;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        compare_float(&token, object);
        return;
    case MSGPACK_OBJECT_STR:
        compare_body(&token, TOKEN_STR, span_of(object->via.str.ptr, object->via.str.size));
        return;
    case MSGPACK_OBJECT_BIN:
        compare_body(&token, TOKEN_BIN, span_of(object->via.bin.ptr, object->via.bin.size));
        return;
    case MSGPACK_OBJECT_EXT:
        compare_body(&token, TOKEN_EXT, span_of(object->via.ext.ptr, object->via.ext.size));
        assert_int_equal((int8_t)token.number, object->via.ext.type);
        return;
    }
    compare_container(reader, &token, object);
}

/* msgpack-c and the reader agree whether `bytes` begin with a whole value, where it ends, and what
 * it says. */
static void compare_bytes(struct span bytes)
{
    msgpack_unpacked unpacked;
    struct reader skipping;
    struct reader reading;
    size_t end = 0;
    msgpack_unpacked_init(&unpacked);
    msgpack_unpack_return theirs =
        msgpack_unpack_next(&unpacked, (const char *)bytes.data, bytes.size, &end);
    bool whole = theirs == MSGPACK_UNPACK_SUCCESS || theirs == MSGPACK_UNPACK_EXTRA_BYTES;
    reader_init(&skipping, bytes);
    reading = skipping;
    assert_int_equal(reader_skip(&skipping), whole);
    if (whole) {
        compare_value(&reading, &unpacked.data);
        assert_ptr_equal(reading.at, skipping.at);
        assert_int_equal(bytes.size - skipping.left, end);
    } else {
        assert_ptr_equal(skipping.at, bytes.data);
    }
    msgpack_unpacked_destroy(&unpacked);
}

static void whole_values_read_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rng rng;
        print_message("seed %u\n", (unsigned)seed);
        rng_init(&rng, seed, 0);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            msgpack_sbuffer buffer;
            msgpack_packer packer;
            msgpack_sbuffer_init(&buffer);
            msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
            pack_random(&packer, &rng, 0);
            compare_bytes(span_of(buffer.data, buffer.size));
            msgpack_sbuffer_destroy(&buffer);
        }
    }
}

/* msgpack-c allocates what a head of 32 bits announces, before it has seen it. */
static bool announces_much(struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] == 0xdd || bytes.data[i] == 0xdf) {
            return true;
        }
    }
    return false;
}

static void damaged_values_read_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rng rng;
        print_message("seed %u\n", (unsigned)seed);
        rng_init(&rng, seed, 1);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            msgpack_sbuffer buffer;
            msgpack_packer packer;
            msgpack_sbuffer_init(&buffer);
            msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
            pack_random(&packer, &rng, 0);
            size_t size = (size_t)rng_between(&rng, 1, (int64_t)buffer.size);
            buffer.data[rng_below(&rng, size)] = (char)rng_next(&rng);
            struct span bytes = span_of(buffer.data, size);
            if (!announces_much(bytes)) {
                compare_bytes(bytes);
            }
            msgpack_sbuffer_destroy(&buffer);
        }
    }
}

static void random_bytes_read_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rng rng;
        uint8_t bytes[40];
        print_message("seed %u\n", (unsigned)seed);
        rng_init(&rng, seed, 2);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            size_t size = (size_t)rng_between(&rng, 1, (int64_t)sizeof bytes);
            for (size_t i = 0; i < size; i++) {
                bytes[i] = (uint8_t)rng_next(&rng);
            }
            if (!announces_much(span_of(bytes, size))) {
                compare_bytes(span_of(bytes, size));
            }
        }
    }
}

/* ---- what only ours does ------------------------------------------------------------------ */

static bool skips(const uint8_t *bytes, size_t size)
{
    struct reader reader;
    reader_init(&reader, span_of(bytes, size));
    return reader_skip(&reader) && reader_at_end(&reader);
}

static void containers_are_skipped_to_a_depth_and_no_further(void **state)
{
    (void)state;
    uint8_t bytes[READER_DEPTH_MAX + 2];
    memset(bytes, 0x91, sizeof bytes); /* an array of one array of one ... */
    bytes[READER_DEPTH_MAX] = 0xc0;
    assert_true(skips(bytes, READER_DEPTH_MAX + 1));
    bytes[READER_DEPTH_MAX] = 0x91;
    bytes[READER_DEPTH_MAX + 1] = 0xc0;
    assert_false(skips(bytes, READER_DEPTH_MAX + 2));
    bytes[READER_DEPTH_MAX] = 0x90; /* an empty one opens nothing */
    assert_true(skips(bytes, READER_DEPTH_MAX + 1));
}

static void announced_sizes_cost_nothing(void **state)
{
    (void)state;
    static const uint8_t array[] = { 0xdd, 0xff, 0xff, 0xff, 0xff, 0x00 };
    static const uint8_t map[] = { 0xdf, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00 };
    static const uint8_t bin[] = { 0xc6, 0xff, 0xff, 0xff, 0xff, 0x00 };
    static const uint8_t ext[] = { 0xc9, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00 };
    static const uint8_t str[] = { 0xdb, 0xff, 0xff, 0xff, 0xff, 0x00 };
    assert_false(skips(array, sizeof array));
    assert_false(skips(map, sizeof map));
    assert_false(skips(bin, sizeof bin));
    assert_false(skips(ext, sizeof ext));
    assert_false(skips(str, sizeof str));
}

static void a_failed_read_leaves_the_cursor(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 0xc4, 0x02, 'h', 'i', 0x07 };
    struct reader reader;
    uint32_t pairs;
    uint64_t number = 5;
    struct span text;
    reader_init(&reader, span_of(bytes, sizeof bytes));
    assert_false(reader_map(&reader, &pairs));
    assert_false(reader_uint(&reader, &number));
    assert_int_equal(number, 5);
    assert_true(reader_bytes(&reader, &text));
    assert_true(span_equal(text, span_text("hi")));
    assert_false(reader_bytes(&reader, &text));
    assert_true(reader_uint(&reader, &number));
    assert_int_equal(number, 7);
    assert_true(reader_at_end(&reader));
    assert_false(reader_uint(&reader, &number));
}

static void a_signed_form_of_a_positive_number_is_a_number(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 0xd2, 0x00, 0x00, 0x01, 0x00, 0xd0, 0x80 };
    struct reader reader;
    uint64_t number = 0;
    reader_init(&reader, span_of(bytes, sizeof bytes));
    assert_true(reader_uint(&reader, &number));
    assert_int_equal(number, 256);
    assert_false(reader_uint(&reader, &number)); /* -128 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_values_read_the_same),
        cmocka_unit_test(damaged_values_read_the_same),
        cmocka_unit_test(random_bytes_read_the_same),
        cmocka_unit_test(containers_are_skipped_to_a_depth_and_no_further),
        cmocka_unit_test(announced_sizes_cost_nothing),
        cmocka_unit_test(a_failed_read_leaves_the_cursor),
        cmocka_unit_test(a_signed_form_of_a_positive_number_is_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
