/* tests/unit/node/core/test_dirbuild.c: names in order, pages cut. */
#include "tests/unit/node/core/built.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- order and kinds --------------------------------------------------------------------- */

static void directory_that_is_listed_late_sorts_by_its_name(void **state)
{
    struct built *b = built_new(1, NULL);
    struct entry entry;
    (void)state;
    built_put(b, "a-/", "", 0); /* '-' is before '/' */
    built_put(b, "a-b", "v1", 1);
    built_put(b, "a/", "", 0);
    built_put(b, "a0", "v1", 1);
    built_cut(b, true);
    assert_int_equal(b->count, 1);
    page_entry(&b->pages[0], 0, &entry);
    assert_true(span_equal(entry.name, span_text("a")));
    page_entry(&b->pages[0], 1, &entry);
    assert_true(span_equal(entry.name, span_text("a-")));
    built_check_order(b);
    built_free(b);
}

static void directory_wins_over_file_of_its_name(void **state)
{
    struct built *b = built_new(1, NULL);
    struct entry entry;
    (void)state;
    built_put(b, "data", "v1", 77);
    built_put(b, "data/", "", 0);
    built_cut(b, true);
    assert_true(built_find(b, "data", &entry));
    assert_int_equal(entry.type, ENTRY_DIR);
    assert_int_equal(b->build.files, 0);
    assert_int_equal(b->build.directories, 1);
    assert_int_equal(b->build.bytes, 0);
    assert_int_equal(b->build.hidden, 1);
    built_free(b);
}

static void file_that_comes_after_the_directory_of_its_name_is_hidden(void **state)
{
    struct built *b = built_new(1, NULL);
    struct entry entry;
    (void)state;
    built_put(b, "data/", "", 0);
    built_put(b, "data", "v1", 77);
    built_cut(b, true);
    assert_true(built_find(b, "data", &entry));
    assert_int_equal(entry.type, ENTRY_DIR);
    assert_int_equal(b->build.hidden, 1);
    assert_int_equal(b->build.files, 0);
    built_free(b);
}

static enum dirbuild_kind kind_of(const char *prefix, const char *key, bool is_prefix)
{
    struct listed listed = { .key = span_text(key), .pin = span_text("v"), .is_prefix = is_prefix };
    struct entry entry;
    if (is_prefix) {
        listed.pin = span_text("");
    }
    return dirbuild_classify(span_text(prefix), &listed, &entry);
}

static void marker_objects_are_the_directory_and_not_a_file(void **state)
{
    struct listed below = { .key = span_text("p/sub/"), .pin = span_text("v") };
    struct entry entry;
    (void)state;
    assert_int_equal(kind_of("p/", "p/", false), DIRBUILD_MARKER);
    assert_int_equal(dirbuild_classify(span_text("p/"), &below, &entry), DIRBUILD_SHOWN);
    assert_int_equal(entry.type, ENTRY_DIR);
    assert_true(span_equal(entry.name, span_text("sub")));
    assert_int_equal(entry.pin.size, 0);
}

static void keys_that_no_name_can_show_are_hidden(void **state)
{
    char longest[300];
    char key[1030];
    struct listed zero = { .key = span_of("p/a\0b", 5), .pin = span_text("v") };
    struct entry entry;
    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[257] = '\0';
    memcpy(longest, "p/", 2);
    assert_int_equal(kind_of("p/", longest, false), DIRBUILD_SHOWN);
    longest[257] = 'x';
    longest[258] = '\0';
    assert_int_equal(kind_of("p/", longest, false), DIRBUILD_HIDDEN);
    assert_int_equal(kind_of("p/", "p/.", false), DIRBUILD_HIDDEN);
    assert_int_equal(kind_of("p/", "p/..", false), DIRBUILD_HIDDEN);
    assert_int_equal(kind_of("p/", "p/../", true), DIRBUILD_HIDDEN);
    assert_int_equal(kind_of("p/", "p//", true), DIRBUILD_HIDDEN);
    assert_int_equal(kind_of("p/", "p/a/b", false), DIRBUILD_HIDDEN);
    assert_int_equal(kind_of("p/", "q/a", false), DIRBUILD_HIDDEN);
    assert_int_equal(dirbuild_classify(span_text("p/"), &zero, &entry), DIRBUILD_HIDDEN);
    memset(key, 'k', sizeof key);
    key[900] = '/';
    key[1025] = '\0';
    assert_int_equal(
        dirbuild_classify(span_of(key, 901), &(struct listed){ .key = span_of(key, 1025) }, &entry),
        DIRBUILD_HIDDEN);
    assert_int_equal(
        dirbuild_classify(span_of(key, 901), &(struct listed){ .key = span_of(key, 1024) }, &entry),
        DIRBUILD_SHOWN);
}

/* ---- cutting ----------------------------------------------------------------------------- */

static void two_and_a_half_thousand_names_make_three_pages(void **state)
{
    struct built *b = built_numbered(1, NULL, 2500, 100);
    (void)state;
    assert_int_equal(b->count, 3);
    assert_int_equal(page_count(&b->pages[0]), 1024);
    assert_int_equal(built_entries(b), 2500);
    assert_int_equal(b->build.files, 2500);
    assert_int_equal(b->build.bytes, 250000);
    built_check_order(b);
    built_free(b);
}

static void page_holds_at_most_sixteen_mebibytes_of_small_files(void **state)
{
    struct built *b = built_numbered(1, NULL, 100, SMALL_FILE_MAX);
    (void)state;
    for (uint32_t i = 0; i < b->count; i++) {
        assert_true(page_count(&b->pages[i]) <= 16);
    }
    assert_int_equal(built_entries(b), 100);
    built_check_order(b);
    built_free(b);
}

static void small_files_get_the_place_of_their_page_and_large_ones_none(void **state)
{
    struct built *b = built_new(1, NULL);
    struct entry entry;
    (void)state;
    built_put(b, "large", "v1", SMALL_FILE_MAX + 1);
    built_put(b, "small", "v1", SMALL_FILE_MAX);
    built_cut(b, true);
    assert_true(built_find(b, "large", &entry));
    assert_int_equal(entry.place.v, 0);
    assert_true(built_find(b, "small", &entry));
    assert_int_equal(entry.place.v, place_of_shard(built_dir(), span_text("")).v);
    built_free(b);
}

static void empty_directory_has_no_page(void **state)
{
    struct built *b = built_new(1, NULL);
    struct dirbuild_cut next;
    (void)state;
    assert_false(dirbuild_next(&b->build, true, &next));
    built_free(b);
}

static void directory_after_its_page_was_cut_is_late(void **state)
{
    struct built *b = built_new(1, NULL);
    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        char key[32];
        snprintf(key, sizeof key, "part-%05u", i);
        built_put(b, key, "v1", 10);
    }
    built_cut(b, false);
    assert_true(b->count > 0);
    built_put(b, "part/", "", 0);
    assert_int_equal(b->late, 1);
    built_put(b, "part", "v1", 1);
    assert_int_equal(b->disorder, 1);
    built_free(b);
}

static void adopted_place_is_kept_when_pin_and_size_agree(void **state)
{
    struct built *b = built_new(1, NULL);
    struct entry same = { .name = span_text("x"),
                          .type = ENTRY_FILE,
                          .size = 5,
                          .pin = span_text("v1"),
                          .place = { .v = 4711 } };
    struct entry changed = { .name = span_text("y"),
                             .type = ENTRY_FILE,
                             .size = 5,
                             .pin = span_text("v0"),
                             .place = { .v = 4712 } };
    struct entry entry;
    (void)state;
    assert_true(dirbuild_adopt(&b->build, &same));
    assert_true(dirbuild_adopt(&b->build, &changed));
    built_put(b, "x", "v1", 5);
    built_put(b, "y", "v1", 5);
    built_cut(b, true);
    assert_true(built_find(b, "x", &entry));
    assert_int_equal(entry.place.v, 4711);
    assert_true(built_find(b, "y", &entry));
    assert_int_equal(entry.place.v, place_of_shard(built_dir(), span_text("")).v);
    built_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_that_is_listed_late_sorts_by_its_name),
        cmocka_unit_test(directory_wins_over_file_of_its_name),
        cmocka_unit_test(file_that_comes_after_the_directory_of_its_name_is_hidden),
        cmocka_unit_test(marker_objects_are_the_directory_and_not_a_file),
        cmocka_unit_test(keys_that_no_name_can_show_are_hidden),
        cmocka_unit_test(two_and_a_half_thousand_names_make_three_pages),
        cmocka_unit_test(page_holds_at_most_sixteen_mebibytes_of_small_files),
        cmocka_unit_test(small_files_get_the_place_of_their_page_and_large_ones_none),
        cmocka_unit_test(empty_directory_has_no_page),
        cmocka_unit_test(directory_after_its_page_was_cut_is_late),
        cmocka_unit_test(adopted_place_is_kept_when_pin_and_size_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
