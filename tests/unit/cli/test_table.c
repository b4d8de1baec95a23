#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/table.h"

/* What `show` prints of this JSON. */
static const char *printed(const char *json, void (*show)(const json_t *))
{
    static char text[8192];
    FILE *file = tmpfile();
    int kept = dup(STDOUT_FILENO);
    json_t *value = json_loads(json, 0, NULL);
    assert_non_null(value);
    fflush(stdout);
    dup2(fileno(file), STDOUT_FILENO);
    show(value);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    json_decref(value);
    return text;
}

static void show_all(const json_t *rows)
{
    table_rows(rows, NULL, 0);
}

static void show_some(const json_t *rows)
{
    static const char *const keys[] = { "b", "a" };
    table_rows(rows, keys, 2);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    assert_string_equal(
        printed("[{\"name\":\"a\",\"n\":5},{\"name\":\"long one\",\"n\":12345}]", show_all),
        "NAME          N\n"
        "a             5\n"
        "long one  12345\n");
}

static void letters_of_several_bytes_take_one_column(void **state)
{
    (void)state;
    assert_string_equal(
        printed("[{\"name\":\"b\\u00e4r\",\"x\":\"1\"},{\"name\":\"abc\",\"x\":\"2\"}]", show_all),
        "NAME  X\n"
        "b\xc3\xa4r   1\n"
        "abc   2\n");
}

static void only_the_columns_that_are_named_are_shown_in_their_order(void **state)
{
    (void)state;
    assert_string_equal(printed("[{\"a\":\"1\",\"c\":\"3\",\"b\":\"2\"}]", show_some), "B  A\n"
                                                                                       "2  1\n");
}

static void a_missing_value_is_a_dash(void **state)
{
    (void)state;
    assert_string_equal(printed("[{\"a\":\"1\"},{\"a\":null,\"b\":\"\"}]", show_all), "A  B\n"
                                                                                      "1  -\n"
                                                                                      "-  -\n");
}

static void check_cell(const char *key, const char *json, const char *expected)
{
    char cell[TABLE_CELL_MAX];
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    table_cell(key, value, cell);
    assert_string_equal(cell, expected);
    json_decref(value);
}

static void values_are_shown_by_the_last_word_of_their_key(void **state)
{
    (void)state;
    check_cell("memory_used", "1536", "1.5 KiB");
    check_cell("bytes", "123", "123 B");
    check_cell("served_bytes", "1073741824", "1.0 GiB");
    check_cell("disk_quota", "536870912000", "500 GiB");
    check_cell("abused", "1536", "1536"); /* a word, not its end */
    check_cell("heard_us", "250000", "250 ms");
    check_cell("heard_seconds", "7200", "2 h");
    check_cell("heard_seconds", "-1.000", "never");
    check_cell("age_us", "90000000", "90 s");
    check_cell("hit_ratio", "0.125", "12.5 %");
    check_cell("share", "1", "100.0 %");
    check_cell("owning", "true", "yes");
    check_cell("labels", "[\"a\",\"b\"]", "a,b");
    check_cell("amplification", "1.05", "1.050");
}

static void a_terminal_gets_no_commands_from_a_name(void **state)
{
    (void)state;
    check_cell("name", "\"a\\u001b[31mb\\n\"", "a?[31mb?");
    check_cell("uris", "[\"a\\u001b=x\"]", "a?=x");
}

static void a_date_is_of_universal_time(void **state)
{
    (void)state;
    char cell[TABLE_CELL_MAX];
    json_t *value = json_integer(1700000000999999);
    table_date(value, cell);
    assert_string_equal(cell, "2023-11-14T22:13:20Z");
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(letters_of_several_bytes_take_one_column),
        cmocka_unit_test(only_the_columns_that_are_named_are_shown_in_their_order),
        cmocka_unit_test(a_missing_value_is_a_dash),
        cmocka_unit_test(values_are_shown_by_the_last_word_of_their_key),
        cmocka_unit_test(a_terminal_gets_no_commands_from_a_name),
        cmocka_unit_test(a_date_is_of_universal_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
