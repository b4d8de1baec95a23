/* tests/unit/base/test_bytes.c: order of byte strings, byte order of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static int compare(const char *a, const char *b)
{
    return sign(span_compare(span_text(a), span_text(b)));
}

static void spans_sort_as_unsigned_bytes_a_prefix_first(void **state)
{
    (void)state;
    assert_int_equal(compare("a", "b"), -1);
    assert_int_equal(compare("b", "a"), 1);
    assert_int_equal(compare("a", "ab"), -1);
    assert_int_equal(compare("ab", "a"), 1);
    assert_int_equal(compare("ab", "ab"), 0);
    assert_int_equal(compare("", ""), 0);
    assert_int_equal(compare("", "a"), -1);
    assert_int_equal(compare("z", "\xc3\xa4"), -1); /* not signed char */
    assert_int_equal(compare("a-/", "a/"), -1);
}

static void equality_looks_at_size_and_bytes(void **state)
{
    (void)state;
    assert_true(span_equal(span_text("abc"), span_text("abc")));
    assert_false(span_equal(span_text("abc"), span_text("abd")));
    assert_false(span_equal(span_text("abc"), span_text("ab")));
    assert_true(span_equal(span_of(NULL, 0), span_text("")));
}

static void a_span_starts_with_its_prefixes_only(void **state)
{
    (void)state;
    assert_true(span_starts_with(span_text("train/x"), span_text("train/")));
    assert_true(span_starts_with(span_text("train/"), span_text("train/")));
    assert_true(span_starts_with(span_text("x"), span_of(NULL, 0)));
    assert_false(span_starts_with(span_text("train"), span_text("train/")));
    assert_false(span_starts_with(span_text("trails"), span_text("train")));
}

static void a_name_may_stand_in_a_url(void **state)
{
    static const char *const names[] = { "n1", "z.9_-A", "..a",
                                         "12345678901234567890123456789012" };
    static const char *const others[] = { "",
                                          "a b",
                                          "z,y",
                                          "é",
                                          "../",
                                          "a/b",
                                          "a\n",
                                          ".",
                                          "..",
                                          "a%",
                                          "123456789012345678901234567890123" };
    (void)state;
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_true(span_is_name(span_text(names[i]), 32));
    }
    for (uint32_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(span_is_name(span_text(others[i]), 32));
    }
    assert_false(span_is_name(span_of("a\0b", 3), 32));
}

static void numbers_are_little_endian_at_any_address(void **state)
{
    (void)state;
    uint8_t bytes[9] = { 0 };
    put_u64(bytes + 1, UINT64_C(0x0102030405060708));
    assert_int_equal(bytes[1], 8);
    assert_int_equal(bytes[8], 1);
    assert_true(get_u64(bytes + 1) == UINT64_C(0x0102030405060708));
    put_u32(bytes + 1, 0xa1b2c3d4);
    assert_int_equal(bytes[1], 0xd4);
    assert_int_equal(get_u32(bytes + 1), 0xa1b2c3d4);
    put_u16(bytes + 1, 0xfeff);
    assert_int_equal(bytes[1], 0xff);
    assert_int_equal(get_u16(bytes + 1), 0xfeff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_sort_as_unsigned_bytes_a_prefix_first),
        cmocka_unit_test(equality_looks_at_size_and_bytes),
        cmocka_unit_test(a_span_starts_with_its_prefixes_only),
        cmocka_unit_test(a_name_may_stand_in_a_url),
        cmocka_unit_test(numbers_are_little_endian_at_any_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
