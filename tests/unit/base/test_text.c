/* tests/unit/base/test_text.c: text out, numbers in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"

#include "base/check.h"

static void numbers_read_as_a_person_writes_them(void **state)
{
    (void)state;
    char buffer[128];
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    text_u64(&text, 0);
    text_char(&text, ' ');
    text_u64(&text, UINT64_MAX);
    text_char(&text, ' ');
    text_i64(&text, INT64_MIN);
    text_str(&text, " ");
    text_i64(&text, 7);
    assert_string_equal(buffer, "0 18446744073709551615 -9223372036854775808 7");
    assert_false(text.overflow);
}

static void fixed_point_keeps_its_zeros_and_its_sign(void **state)
{
    (void)state;
    char buffer[128];
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    text_fixed(&text, 1234, 3);
    text_char(&text, ' ');
    text_fixed(&text, -5, 3);
    text_char(&text, ' ');
    text_fixed(&text, 1000000, 6);
    text_char(&text, ' ');
    text_fixed(&text, 42, 0);
    text_char(&text, ' ');
    text_fixed(&text, INT64_MIN, 18);
    assert_string_equal(buffer, "1.234 -0.005 1.000000 42 -9.223372036854775808");
}

static void hex_is_lower_case(void **state)
{
    (void)state;
    char buffer[16];
    struct text text;
    static const uint8_t bytes[] = { 0x00, 0xaf, 0x10 };
    text_init(&text, buffer, sizeof buffer);
    text_hex(&text, bytes, sizeof bytes);
    assert_string_equal(buffer, "00af10");
}

static void what_does_not_fit_is_dropped_and_stays_dropped(void **state)
{
    (void)state;
    char buffer[6];
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    text_str(&text, "abc");
    assert_false(text.overflow);
    text_str(&text, "defg");
    assert_true(text.overflow);
    text_char(&text, '!');
    assert_string_equal(buffer, "abcde");
    assert_int_equal(text.used, 5);
}

static void exactly_full_is_no_overflow(void **state)
{
    (void)state;
    char buffer[4];
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    text_str(&text, "abc");
    text_str(&text, "");
    assert_false(text.overflow);
    assert_string_equal(buffer, "abc");
}

struct json_case {
    const char *value;
    const char *json;
};

static void json_strings_are_escaped_and_always_utf8(void **state)
{
    (void)state;
    static const struct json_case cases[] = {
        { "", "\"\"" },
        { "a\"b\\c", "\"a\\\"b\\\\c\"" },
        { "\n\t\r\x01\x1f", "\"\\n\\t\\r\\u0001\\u001f\"" },
        { "gr\xc3\xbc\xc3\x9f \xe6\xb0\xb4 \xf0\x9f\x90\x9f",
          "\"gr\xc3\xbc\xc3\x9f \xe6\xb0\xb4 \xf0\x9f\x90\x9f\"" },
        { "x\xffy", "\"x\xef\xbf\xbdy\"" },
        { "\xc3", "\"\xef\xbf\xbd\"" },                                 /* cut off */
        { "\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },                 /* too long */
        { "\xe0\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* too long */
        { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* surrogate */
        { "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"" }, /* U+10FFFF */
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char buffer[64];
        struct text text;
        text_init(&text, buffer, sizeof buffer);
        text_json(&text, span_text(cases[i].value));
        assert_string_equal(buffer, cases[i].json);
    }
}

static uint64_t u64_of(const char *text)
{
    uint64_t value = 77;
    return parse_u64(span_text(text), &value) ? value : 77;
}

static void decimal_numbers_parse_whole_or_not_at_all(void **state)
{
    (void)state;
    assert_true(u64_of("0") == 0);
    assert_true(u64_of("007") == 7);
    assert_true(u64_of("18446744073709551615") == UINT64_MAX);
    assert_true(u64_of("18446744073709551616") == 77);
    assert_true(u64_of("99999999999999999999") == 77);
    assert_true(u64_of("") == 77);
    assert_true(u64_of("-1") == 77);
    assert_true(u64_of(" 1") == 77);
    assert_true(u64_of("1 ") == 77);
}

static uint64_t size_of(const char *text)
{
    uint64_t value = 77;
    return parse_size(span_text(text), &value) ? value : 77;
}

static void sizes_parse_with_their_units(void **state)
{
    (void)state;
    assert_true(size_of("4096") == 4096);
    assert_true(size_of("64KiB") == 65536);
    assert_true(size_of("4MiB") == 4u << 20);
    assert_true(size_of("1GiB") == 1u << 30);
    assert_true(size_of("2TiB") == UINT64_C(2) << 40);
    assert_true(size_of("3K") == 3072);
    assert_true(size_of("1T") == UINT64_C(1) << 40);
    assert_true(size_of("5MB") == 5000000);
    assert_true(size_of("1TB") == UINT64_C(1000000000000));
    assert_true(size_of("16777216TiB") == 77); /* 2^64 */
    assert_true(size_of("KiB") == 77);
    assert_true(size_of("4 KiB") == 77);
    assert_true(size_of("4kib") == 77);
    assert_true(size_of("1.5GiB") == 77);
}

static int64_t duration_of(const char *text)
{
    int64_t value = 77;
    return parse_duration(span_text(text), &value) ? value : 77;
}

static void durations_parse_to_microseconds(void **state)
{
    (void)state;
    assert_true(duration_of("300") == INT64_C(300000000));
    assert_true(duration_of("1.5s") == 1500000);
    assert_true(duration_of("250ms") == 250000);
    assert_true(duration_of("5m") == INT64_C(300000000));
    assert_true(duration_of("2h") == INT64_C(7200000000));
    assert_true(duration_of("0.000001") == 1);
    assert_true(duration_of("0.999999999h") == INT64_C(3599999996));
    assert_true(duration_of("9223372036854") == INT64_C(9223372036854000000));
    assert_true(duration_of("9223372036855") == 77); /* over INT64_MAX */
    assert_true(duration_of("1.s") == 77);
    assert_true(duration_of(".5s") == 77);
    assert_true(duration_of("1.0000000001s") == 77);
    assert_true(duration_of("5 m") == 77);
    assert_true(duration_of("-5m") == 77);
    assert_true(duration_of("") == 77);
    assert_true(duration_of("5d") == 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_read_as_a_person_writes_them),
        cmocka_unit_test(fixed_point_keeps_its_zeros_and_its_sign),
        cmocka_unit_test(hex_is_lower_case),
        cmocka_unit_test(what_does_not_fit_is_dropped_and_stays_dropped),
        cmocka_unit_test(exactly_full_is_no_overflow),
        cmocka_unit_test(json_strings_are_escaped_and_always_utf8),
        cmocka_unit_test(decimal_numbers_parse_whole_or_not_at_all),
        cmocka_unit_test(sizes_parse_with_their_units),
        cmocka_unit_test(durations_parse_to_microseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
