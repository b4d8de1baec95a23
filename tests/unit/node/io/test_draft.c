#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "node/io/draft.h"

static struct dataset dataset;
static char why_room[512];

static enum err parse(const char *body)
{
    struct text why;
    text_init(&why, why_room, sizeof why_room);
    return draft_parse(body, strlen(body), &dataset, &why);
}

static void the_least_that_is_needed_is_a_name_and_a_uri(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"name\":\"a\",\"rows\":[{\"uri\":\"s3://bucket/x\",\"region\":"
                           "\"eu-west-1\"}]}"),
                     ERR_OK);
    assert_string_equal(dataset.name, "a");
    assert_int_equal(dataset.row_count, 1);
    assert_string_equal(dataset.rows[0].uri, "s3://bucket");
    assert_string_equal(dataset.rows[0].prefix, "x/");
    assert_false(source_id_is_zero(dataset.rows[0].source));
    assert_int_equal(dataset.block_size, 4u << 20);
    assert_int_equal(dataset.policy, METADATA_ONCE);
}

static void everything_can_be_said(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"name\":\"a\",\"rows\":[{\"path\":\"p/q\",\"uri\":\"s3://b\",\"endpoint\":"
              "\"http://10.0.0.1:9000\",\"credential\":\"c\"},{\"path\":\"r\",\"uri\":"
              "\"file:///srv/d\"}],\"block_size\":1048576,\"selector\":\"disk=nvme\","
              "\"metadata\":\"ttl=1h\",\"path_style\":false}"),
        ERR_OK);
    assert_int_equal(dataset.row_count, 2);
    assert_string_equal(dataset.rows[0].path, "p/q");
    assert_string_equal(dataset.rows[0].credential, "c");
    assert_string_equal(dataset.rows[1].uri, "file:///srv/d");
    assert_int_equal(dataset.block_size, 1u << 20);
    assert_string_equal(dataset.selector, "disk=nvme");
    assert_int_equal(dataset.policy, METADATA_TTL);
    assert_int_equal(dataset.ttl_us, SEC(3600));
}

static void path_style_is_kept_with_the_endpoint(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"name\":\"a\",\"rows\":[{\"uri\":\"s3://b\",\"endpoint\":"
                           "\"http://store.example:9000\"}],\"path_style\":true}"),
                     ERR_OK);
    assert_string_equal(dataset.rows[0].endpoint, "http://store.example:9000;path-style");
    assert_int_equal(parse("{\"name\":\"a\",\"rows\":[{\"uri\":\"s3://b\",\"region\":\"r\"}],"
                           "\"path_style\":true}"),
                     ERR_INVALID);
}

static void what_is_wrong_is_refused_with_a_reason(void **state)
{
#define ROW "\"rows\":[{\"uri\":\"file:///d\"}]"
    static const struct {
        const char *body;
        const char *reason;
    } wrong[] = {
        { "", "JSON" },
        { "[]", "JSON" },
        { "{\"name\":\"a\"}", "rows" },
        { "{\"name\":\"a\",\"rows\":[]}", "rows" },
        { "{\"name\":\"a\",\"rows\":[1]}", "rows" },
        { "{\"name\":\"a\",\"rows\":[{}]}", "uri" },
        { "{\"name\":\"a\",\"rows\":[{\"uri\":5}]}", "uri" },
        { "{\"name\":\"a\",\"rows\":[{\"uri\":\"foo://x\"}]}", "scheme" },
        { "{\"name\":\"a\",\"rows\":[{\"uri\":\"file:///d\",\"prefx\":\"\"}]}", "prefx" },
        { "{\"name\":\"a\",\"nam\":1," ROW "}", "nam" },
        { "{\"name\":\"A B\"," ROW "}", "name" },
        { "{" ROW "}", "name" },
        { "{\"name\":\"a\",\"block_size\":1000," ROW "}", "block size" },
        { "{\"name\":\"a\",\"block_size\":\"4MiB\"," ROW "}", "block_size" },
        { "{\"name\":\"a\",\"block_size\":99999999999," ROW "}", "block_size" },
        { "{\"name\":\"a\",\"selector\":\"nvme\"," ROW "}", "selector" },
        { "{\"name\":\"a\",\"metadata\":\"sometimes\"," ROW "}", "once" },
        { "{\"name\":\"a\",\"metadata\":\"ttl=\"," ROW "}", "once" },
        { "{\"name\":\"a\",\"name\":\"b\"," ROW "}", "JSON" },
    };
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_int_not_equal(parse(wrong[i].body), ERR_OK);
        if (strstr(why_room, wrong[i].reason) == NULL) {
            fail_msg("`%s` is refused as `%s`", wrong[i].body, why_room);
        }
    }
}

static void nine_rows_are_one_too_many(void **state)
{
    char body[2048] = "{\"name\":\"a\",\"rows\":[";
    (void)state;
    for (uint32_t i = 0; i < 9; i++) {
        char row[64];
        snprintf(row, sizeof row, "%s{\"path\":\"p%u\",\"uri\":\"file:///d\"}", i > 0 ? "," : "",
                 i);
        strcat(body, row);
    }
    strcat(body, "]}");
    assert_int_equal(parse(body), ERR_INVALID);
    assert_non_null(strstr(why_room, "at most 8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_that_is_needed_is_a_name_and_a_uri),
        cmocka_unit_test(everything_can_be_said),
        cmocka_unit_test(path_style_is_kept_with_the_endpoint),
        cmocka_unit_test(what_is_wrong_is_refused_with_a_reason),
        cmocka_unit_test(nine_rows_are_one_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
