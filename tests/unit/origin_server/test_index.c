/* tests/unit/origin_server/test_index.c: listings, beside a listing made the slow way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/index.h"
#include "tests/origin/text.h"

enum { NAME_MAX_SIZE = 64 };

static struct index_span span(const char *text)
{
    return (struct index_span){ .bytes = text, .size = strlen(text) };
}

static void put(struct index *index, const char *key)
{
    object_unref(index_put(index, object_new(key, strlen(key), OBJECT_STORED)));
}

/* Add the page's names, "," behind each, a prefix with "+" before that. */
static void add_page(const struct index_page *page, struct text *out)
{
    for (size_t i = 0; i < page->count; i++) {
        text_add(out, page->entries[i].name.bytes, page->entries[i].name.size);
        text_puts(out, page->entries[i].object == NULL ? "+," : ",");
    }
}

static void assert_listed(const struct index *index, const struct index_query *query,
                          const char *expected, bool truncated)
{
    struct index_page page;
    index_list(index, query, &page);
    struct text text = { 0 };
    text_clear(&text);
    add_page(&page, &text);
    assert_string_equal(text.bytes, expected);
    assert_int_equal(page.truncated, truncated);
    text_fini(&text);
    index_page_fini(&page);
}

static struct index sample(void)
{
    static const char *const keys[] = { "b/2", "a/b",   "a",    "a/",       "a-b", "b/1/x",
                                        "c",   "b/1/y", "a//c", "\xc3\xbc", "b/",  "." };
    struct index index = { 0 };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        put(&index, keys[i]);
    }
    return index;
}

static void keys_come_in_the_order_of_their_bytes(void **state)
{
    (void)state;
    struct index index = sample();
    struct index_query query = { .most = 100 };
    assert_listed(&index, &query, ".,a,a-b,a/,a//c,a/b,b/,b/1/x,b/1/y,b/2,c,\xc3\xbc,", false);
    index_fini(&index);
}

static void a_delimiter_rolls_up_what_is_behind_the_prefix(void **state)
{
    (void)state;
    struct index index = sample();
    struct index_query query = { .delimiter = span("/"), .most = 100 };
    assert_listed(&index, &query, ".,a,a-b,a/+,b/+,c,\xc3\xbc,", false);
    query.prefix = span("b/");
    assert_listed(&index, &query, "b/,b/1/+,b/2,", false);
    query.delimiter = span("1/");
    assert_listed(&index, &query, "b/,b/1/+,b/2,", false);
    query.prefix = span("zzz");
    assert_listed(&index, &query, "", false);
    index_fini(&index);
}

static void a_page_goes_on_behind_its_last_name(void **state)
{
    (void)state;
    struct index index = sample();
    struct index_query query = { .delimiter = span("/"), .most = 4 };
    assert_listed(&index, &query, ".,a,a-b,a/+,", true);
    query.after = span("a/");
    assert_listed(&index, &query, "b/+,c,\xc3\xbc,", false);
    query.after = span("a/b"); /* nothing of a/ is left */
    query.most = 1;
    assert_listed(&index, &query, "b/+,", true);
    query.after = span("a/a"); /* a/b is, so a/ is listed */
    assert_listed(&index, &query, "a/+,", true);
    query.most = 0;
    assert_listed(&index, &query, "", false);
    index_fini(&index);
}

static void a_key_is_replaced_and_taken_out(void **state)
{
    (void)state;
    struct index index = sample();
    struct object *first = index_find(&index, "c", 1);
    assert_ptr_equal(index_put(&index, object_new("c", 1, OBJECT_STORED)), first);
    object_unref(first);
    struct object *second = index_take(&index, "c", 1);
    assert_non_null(second);
    assert_ptr_not_equal(second, first);
    object_unref(second);
    assert_null(index_find(&index, "c", 1));
    assert_null(index_take(&index, "c", 1));
    assert_null(index_find(&index, "", 0));
    index_fini(&index);
}

static void of_keys_loaded_twice_the_last_stays(void **state)
{
    (void)state;
    struct index index = { 0 };
    for (uint64_t i = 0; i < 9; i++) {
        struct object *object = object_new(i % 3 == 0 ? "x" : "y", 1, OBJECT_STORED);
        object->id = i;
        index_load(&index, object);
    }
    index_sort(&index);
    assert_int_equal(index.count, 2);
    assert_int_equal(index_find(&index, "x", 1)->id, 6);
    assert_int_equal(index_find(&index, "y", 1)->id, 8);
    index_fini(&index);
}

/* What the index must give, found by looking at every key. */
static void list_slowly(const struct index *index, const struct index_query *query,
                        struct text *out)
{
    struct index_span last = { 0 };
    text_clear(out);
    for (size_t i = 0; i < index->count; i++) {
        const char *key = index->objects[i]->key;
        if (strncmp(key, query->prefix.bytes, query->prefix.size) != 0) {
            continue;
        }
        const char *slash = strchr(key + query->prefix.size, '/');
        size_t size = slash == NULL ? strlen(key) : (size_t)(slash - key) + 1;
        if (slash != NULL && last.size == size && strncmp(last.bytes, key, size) == 0) {
            continue;
        }
        last = (struct index_span){ .bytes = key, .size = slash == NULL ? 0 : size };
        text_add(out, key, size);
        text_puts(out, slash == NULL ? "," : "+,");
    }
}

static void pages_of_any_size_join_to_the_whole(void **state)
{
    (void)state;
    unsigned seed = 42;
    print_message("seed %u\n", seed);
    struct index index = { 0 };
    for (int i = 0; i < 500; i++) {
        char key[NAME_MAX_SIZE] = "";
        for (size_t size = (size_t)(rand_r(&seed) % 9) + 1, at = 0; at < size; at++) {
            key[at] = "ab/-"[rand_r(&seed) % 4];
        }
        put(&index, key);
    }
    struct text expected = { 0 };
    struct text joined = { 0 };
    static const char *const prefixes[] = { "", "a", "a/", "b//", "-" };
    for (size_t i = 0; i < 25; i++) {
        char after[NAME_MAX_SIZE] = "";
        struct index_query query = { .prefix = span(prefixes[i % 5]),
                                     .delimiter = span("/"),
                                     .most = 1 + i };
        bool more = true;
        list_slowly(&index, &query, &expected);
        text_clear(&joined);
        while (more) {
            struct index_page page;
            query.after = span(after);
            index_list(&index, &query, &page);
            more = page.truncated;
            add_page(&page, &joined);
            struct index_span last = page.count > 0 ? page.entries[page.count - 1].name : span("");
            snprintf(after, sizeof after, "%.*s", (int)last.size, last.bytes);
            index_page_fini(&page);
        }
        assert_string_equal(joined.bytes, expected.bytes);
    }
    text_fini(&expected);
    text_fini(&joined);
    index_fini(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_in_the_order_of_their_bytes),
        cmocka_unit_test(a_delimiter_rolls_up_what_is_behind_the_prefix),
        cmocka_unit_test(a_page_goes_on_behind_its_last_name),
        cmocka_unit_test(a_key_is_replaced_and_taken_out),
        cmocka_unit_test(of_keys_loaded_twice_the_last_stays),
        cmocka_unit_test(pages_of_any_size_join_to_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
