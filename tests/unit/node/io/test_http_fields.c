#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "node/io/http_fields.h"

static void a_percent_sign_wants_two_digits(void **state)
{
    static const char *const right[] = { "", "/a", "/a?b=%41%c3%A9", "%25zz" };
    static const char *const wrong[] = { "%", "/%4", "/a?b=%zz", "%4g", "/a?b=1%00", "%41%" };
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(right); i++) {
        assert_true(http_fields_is_escaped(right[i]));
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_false(http_fields_is_escaped(wrong[i]));
    }
}

static char out_room[32];
static char why_room[256];

static enum err weight(const char *body)
{
    struct text out;
    struct text why;
    text_init(&out, out_room, sizeof out_room);
    text_init(&why, why_room, sizeof why_room);
    return http_fields_weight(body, strlen(body), &out, &why);
}

static void a_weight_is_taken_as_a_number_or_auto(void **state)
{
    (void)state;
    assert_int_equal(weight("{\"weight\":0}"), ERR_OK);
    assert_string_equal(out_room, "0");
    assert_int_equal(weight(" {\"weight\": 65535}\n"), ERR_OK);
    assert_string_equal(out_room, "65535");
    assert_int_equal(weight("{\"weight\":\"auto\"}"), ERR_OK);
    assert_string_equal(out_room, "auto");
}

static void a_weight_that_is_anything_else_is_refused_with_the_reason(void **state)
{
    static const struct {
        const char *body;
        const char *why;
    } wrong[] = {
        { "{\"weight\":\"5\"}", "from 0 to 65535, not in quotes" },
        { "{\"weight\":\"AUTO\"}", "or \"auto\"" },
        { "{\"weight\":65536}", "0 to 65535" },
        { "{\"weight\":-1}", "0 to 65535" },
        { "{\"weight\":5.0}", "0 to 65535" },
        { "{\"weight\":true}", "0 to 65535" },
        { "{\"weight\":null}", "0 to 65535" },
        { "{}", "0 to 65535" },
        { "{\"weight\":5,\"force\":true}", "\"force\": no such field; there is weight" },
        { "{\"Weight\":5}", "\"Weight\": no such field" },
        { "{\"weight\":5,\"weight\":6}", "a field is given twice" },
        { "5", "the body must be" },
        { "[5]", "the body must be" },
        { "{\"weight\":5} 6", "the body must be" },
        { "", "the body must be" },
    };
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_int_equal(weight(wrong[i].body), ERR_INVALID);
        assert_non_null(strstr(why_room, wrong[i].why));
    }
}

static void a_node_that_is_added_has_a_zone_that_one_can_have(void **state)
{
    (void)state;
    assert_null(http_fields_added_fault(span_text("5")));
    assert_null(http_fields_added_fault(span_text("5,")));
    assert_null(http_fields_added_fault(span_text("5,rack-4")));
    assert_non_null(http_fields_added_fault(span_text("5,z,y")));
    assert_non_null(http_fields_added_fault(span_text("5,a b")));
    assert_non_null(http_fields_added_fault(span_text("5,é")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_percent_sign_wants_two_digits),
        cmocka_unit_test(a_weight_is_taken_as_a_number_or_auto),
        cmocka_unit_test(a_weight_that_is_anything_else_is_refused_with_the_reason),
        cmocka_unit_test(a_node_that_is_added_has_a_zone_that_one_can_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
