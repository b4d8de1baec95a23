/* tests/unit/base/test_id.c: fixed vectors: a change here would move every block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/id.h"

#include "base/check.h"

static struct source_id train_source(void)
{
    return source_id_make(span_text("oss"), span_text("oss-cn-hangzhou.aliyuncs.com"),
                          span_text("train"));
}

static struct object_id tar_object(void)
{
    return object_id_make(train_source(), span_text("imagenet/0001.tar"),
                          span_text("\"5d41402abc4b2a76b9719d911017c592\""), 4u << 20);
}

static void assert_id(const uint8_t id[ID_SIZE], const char *expected)
{
    char text[ID_TEXT_SIZE];
    id_text(id, text);
    assert_string_equal(text, expected);
}

/* Made with Python's hashlib.blake2b from the definition in id.h. */
static void ids_have_fixed_values(void **state)
{
    (void)state;
    assert_id(train_source().b, "b6c84153e4e4128b1c5daecc3844a826");
    assert_id(tar_object().b, "24c7ecbf4ac8266260f8981414fce2d1");
    assert_id(dir_id_make(train_source(), span_text("imagenet/")).b,
              "c0a4bce62adaa4dc3806c02e5e4122b3");
    assert_id(dataset_id_make(span_text("imagenet")).b, "1763bdcfab28d0cd01c3d1080f3a98b0");
}

static void places_have_fixed_values(void **state)
{
    (void)state;
    struct dir_id dir = dir_id_make(train_source(), span_text("imagenet/"));
    assert_true(place_of_extent(tar_object(), 0).v == UINT64_C(0xbeb224ca3d7f62b2));
    assert_true(place_of_extent(tar_object(), 7).v == UINT64_C(0x222cfef2041521a0));
    assert_true(place_of_root(dir).v == UINT64_C(0xa22f6d4e94e63a9b));
    assert_true(place_of_shard(dir, span_text("m")).v == UINT64_C(0x65c8958579c4b49a));
    assert_true(place_of_shard(dir, span_text("")).v == UINT64_C(0x298de1138d73c988));
}

static void an_object_changes_its_id_with_every_part(void **state)
{
    (void)state;
    struct source_id other = source_id_make(span_text("s3"), span_text("e"), span_text("b"));
    struct span key = span_text("k");
    struct span pin = span_text("p");
    struct object_id id = object_id_make(train_source(), key, pin, 65536);
    assert_false(object_id_equal(id, object_id_make(other, key, pin, 65536)));
    assert_false(object_id_equal(id, object_id_make(train_source(), pin, pin, 65536)));
    assert_false(object_id_equal(id, object_id_make(train_source(), key, key, 65536)));
    assert_false(object_id_equal(id, object_id_make(train_source(), key, pin, 131072)));
    assert_true(object_id_equal(id, object_id_make(train_source(), key, pin, 65536)));
}

static void text_of_an_id_parses_back(void **state)
{
    (void)state;
    uint8_t id[ID_SIZE];
    uint8_t back[ID_SIZE];
    char text[ID_TEXT_SIZE];
    for (uint8_t i = 0; i < ID_SIZE; i++) {
        id[i] = (uint8_t)(i * 17 + 3);
    }
    id_text(id, text);
    assert_true(id_parse(span_text(text), back));
    assert_memory_equal(id, back, ID_SIZE);
    assert_true(id_parse(span_text("B6C84153E4E4128B1C5DAECC3844A826"), back));
    assert_id(back, "b6c84153e4e4128b1c5daecc3844a826");
}

static void text_that_is_no_id_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "b6c84153e4e4128b1c5daecc3844a82",
        "b6c84153e4e4128b1c5daecc3844a8266",
        "b6c84153e4e4128b1c5daecc3844a82g",
        "b6c84153e4e4128b1c5daecc3844a82/",
        "b6c84153e4e4128b1c5daecc3844a82:",
    };
    uint8_t out[ID_SIZE] = { 9 };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_false(id_parse(span_text(wrong[i]), out));
    }
    assert_int_equal(out[0], 9);
    assert_int_equal(out[1], 0);
}

static void ids_compare_as_bytes(void **state)
{
    (void)state;
    struct node_id a = { .b = { 1 } };
    struct node_id b = { .b = { 2 } };
    assert_true(node_id_compare(a, b) < 0);
    assert_true(node_id_compare(b, a) > 0);
    assert_true(node_id_equal(a, a));
    assert_false(node_id_is_zero(a));
    assert_true(node_id_is_zero((struct node_id){ .b = { 0 } }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_have_fixed_values),
        cmocka_unit_test(places_have_fixed_values),
        cmocka_unit_test(an_object_changes_its_id_with_every_part),
        cmocka_unit_test(text_of_an_id_parses_back),
        cmocka_unit_test(text_that_is_no_id_is_refused_and_changes_nothing),
        cmocka_unit_test(ids_compare_as_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
