/* tests/unit/origin_server/test_generate.c: made-up bytes, their CRC, and sets of objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/origin/body.h"
#include "tests/origin/generate.h"
#include "tests/origin/object.h"

static int init(void **state)
{
    (void)state;
    generate_init();
    return 0;
}

static void any_piece_is_that_of_the_whole(void **state)
{
    (void)state;
    unsigned seed = 7;
    print_message("seed %u\n", seed);
    static uint8_t whole[20000];
    static uint8_t piece[20000];
    uint64_t base = generate_base(3, "key", 3);
    generate_bytes(base, 0, whole, sizeof whole);
    for (int i = 0; i < 2000; i++) {
        size_t offset = (size_t)rand_r(&seed) % sizeof whole;
        size_t size = (size_t)rand_r(&seed) % (sizeof whole - offset);
        generate_bytes(base, offset, piece, size);
        assert_memory_equal(piece, whole + offset, size);
    }
}

static void the_bytes_are_those_of_the_formula(void **state)
{
    (void)state;
    /* generated.data(1, "a", 0, 16) and generated.data(7, "train/00000005", 1 << 30, 16) */
    static const uint8_t first[16] = { 0xeb, 0x13, 0xa9, 0x72, 0x87, 0x9d, 0xe9, 0x1d,
                                       0xed, 0xf0, 0x79, 0x7b, 0xae, 0xb7, 0x77, 0xb5 };
    static const uint8_t second[16] = { 0x01, 0xfe, 0xb7, 0x29, 0x50, 0xe1, 0x3e, 0x4a,
                                        0x24, 0xaa, 0x02, 0x4c, 0xf3, 0x27, 0x0b, 0xf6 };
    uint8_t found[16];
    generate_bytes(generate_base(1, "a", 1), 0, found, sizeof found);
    assert_memory_equal(found, first, sizeof found);
    generate_bytes(generate_base(7, "train/00000005", 14), 1ull << 30, found, sizeof found);
    assert_memory_equal(found, second, sizeof found);
}

static void seed_and_key_make_other_bytes(void **state)
{
    (void)state;
    uint8_t a[64];
    uint8_t b[64];
    generate_bytes(generate_base(1, "a", 1), 0, a, sizeof a);
    generate_bytes(generate_base(2, "a", 1), 0, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    generate_bytes(generate_base(1, "b", 1), 0, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

static void a_set_names_and_sizes_its_objects(void **state)
{
    (void)state;
    struct generate_spec spec;
    assert_true(generate_spec_init(
        &spec, "data/train/,count=3000,size=4KiB-1MiB,seed=9,suffix=.jpg,fanout=1000,time=5"));
    char *key = generate_key(&spec, 2999);
    assert_string_equal(key, "train/d00002/00002999.jpg");
    free(key);
    assert_string_equal(spec.bucket, "data");
    assert_int_equal(spec.count, 3000);
    assert_int_equal(spec.time_s, 5);
    for (uint64_t i = 0; i < spec.count; i++) {
        assert_in_range(generate_size(&spec, i), 4096, 1 << 20);
    }
    generate_spec_fini(&spec);
}

static void malformed_sets_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = { "",          ",count=1", "b,count",
                                         "b,count=x", "b,what=1", "b,size=2MiB-1MiB",
                                         "b,size=1Q", "b,",       "b,count=-1" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct generate_spec spec;
        assert_false(generate_spec_init(&spec, texts[i]));
    }
}

static void crc_is_that_of_oss(void **state)
{
    (void)state;
    static const char emergency[] = "This is a test of the emergency broadcast system.";
    struct body *body = body_new(-1, true);
    assert_true(body_add(body, "123456789", 9));
    assert_true(body_crc64(body) == 11051210869376104954ull);
    assert_true(body_add(body, emergency, strlen(emergency)));
    assert_true(body_crc64(body) == 0x6a7aa19fcbf48688ull);
    body_free(&body);
}

static void crc_of_an_object_is_that_of_its_bytes(void **state)
{
    (void)state;
    struct object *object = object_new("key", 3, OBJECT_GENERATED);
    object->id = 3;
    object->size = 700001;
    struct body *body = body_new(-1, true);
    uint8_t *whole = malloc(object->size);
    assert_int_equal(object_read(object, -1, 0, whole, object->size), object->size);
    assert_true(body_add(body, whole, object->size));
    uint64_t crc = 0;
    assert_true(object_crc64(object, -1, &crc));
    assert_true(crc == body_crc64(body));
    free(whole);
    body_free(&body);
    object_unref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_piece_is_that_of_the_whole),
        cmocka_unit_test(the_bytes_are_those_of_the_formula),
        cmocka_unit_test(seed_and_key_make_other_bytes),
        cmocka_unit_test(a_set_names_and_sizes_its_objects),
        cmocka_unit_test(malformed_sets_are_refused),
        cmocka_unit_test(crc_is_that_of_oss),
        cmocka_unit_test(crc_of_an_object_is_that_of_its_bytes),
    };
    return cmocka_run_group_tests(tests, init, NULL);
}
