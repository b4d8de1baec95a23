/* tests/unit/origin_server/test_range.c: ranges and lists of ETags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/origin/range.h"

struct range_case {
    const char *header;
    uint64_t size;
    bool lenient;
    enum range_kind kind;
    uint64_t offset;
    uint64_t length;
};

static void check(const struct range_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct range range = range_parse(cases[i].header, cases[i].size, cases[i].lenient);
        assert_int_equal(range.kind, cases[i].kind);
        if (range.kind != RANGE_UNSATISFIABLE) {
            assert_int_equal(range.offset, cases[i].offset);
            assert_int_equal(range.size, cases[i].length);
        }
    }
}

static void standard_ranges_are_cut_at_the_end(void **state)
{
    (void)state;
    static const struct range_case cases[] = {
        { "bytes=0-9", 1000, false, RANGE_PART, 0, 10 },
        { "bytes=0-0", 1000, false, RANGE_PART, 0, 1 },
        { "Bytes=999-999", 1000, false, RANGE_PART, 999, 1 },
        { "bytes=500-2000", 1000, false, RANGE_PART, 500, 500 },
        { "bytes=500-", 1000, false, RANGE_PART, 500, 500 },
        { "bytes=-1", 1000, false, RANGE_PART, 999, 1 },
        { "bytes=-1000", 1000, false, RANGE_PART, 0, 1000 },
        { "bytes=-2000", 1000, false, RANGE_PART, 0, 1000 },
        { "bytes=0-18446744073709551614", 5, false, RANGE_PART, 0, 5 },
    };
    check(cases, sizeof cases / sizeof cases[0]);
}

static void ranges_beyond_the_end_are_unsatisfiable(void **state)
{
    (void)state;
    static const struct range_case cases[] = {
        { "bytes=1000-", 1000, false, RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=1000-2000", 1000, false, RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=-0", 1000, false, RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=0-", 0, false, RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=-5", 0, false, RANGE_UNSATISFIABLE, 0, 0 },
    };
    check(cases, sizeof cases / sizeof cases[0]);
}

static void malformed_and_multiple_ranges_are_ignored(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "bytes=",     "bytes=-",   "bytes=a-b",
        "bytes=9-3",  "items=0-1", "bytes=0-1,3-4",
        "bytes=0-1x", "bytes 0-1", "bytes=99999999999999999999-"
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct range_case one = { headers[i], 1000, false, RANGE_WHOLE, 0, 1000 };
        check(&one, 1);
    }
    check(&(struct range_case){ NULL, 7, false, RANGE_WHOLE, 0, 7 }, 1);
}

static void lenient_ranges_beyond_the_end_give_the_whole_object(void **state)
{
    (void)state;
    static const struct range_case cases[] = {
        { "bytes=500-2000", 1000, true, RANGE_WHOLE, 0, 1000 },
        { "bytes=1000-2000", 1000, true, RANGE_WHOLE, 0, 1000 },
        { "bytes=1000-", 1000, true, RANGE_WHOLE, 0, 1000 },
        { "bytes=-1001", 1000, true, RANGE_WHOLE, 0, 1000 },
        { "bytes=0-", 0, true, RANGE_WHOLE, 0, 0 },
        { "bytes=500-999", 1000, true, RANGE_PART, 500, 500 },
        { "bytes=500-", 1000, true, RANGE_PART, 500, 500 },
        { "bytes=-1000", 1000, true, RANGE_PART, 0, 1000 },
    };
    check(cases, sizeof cases / sizeof cases[0]);
}

static void etags_are_found_in_lists_with_and_without_quotes(void **state)
{
    (void)state;
    assert_true(range_etag_listed("\"abc-2\"", "\"abc-2\""));
    assert_true(range_etag_listed("abc-2", "\"abc-2\""));
    assert_true(range_etag_listed("\"x\", \"ABC-2\"", "\"abc-2\""));
    assert_true(range_etag_listed(" * ", "\"abc-2\""));
    assert_false(range_etag_listed("\"abc-20\"", "\"abc-2\""));
    assert_false(range_etag_listed("\"abc\"", "\"abc-2\""));
    assert_false(range_etag_listed("", "\"abc-2\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_ranges_are_cut_at_the_end),
        cmocka_unit_test(ranges_beyond_the_end_are_unsatisfiable),
        cmocka_unit_test(malformed_and_multiple_ranges_are_ignored),
        cmocka_unit_test(lenient_ranges_beyond_the_end_give_the_whole_object),
        cmocka_unit_test(etags_are_found_in_lists_with_and_without_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
