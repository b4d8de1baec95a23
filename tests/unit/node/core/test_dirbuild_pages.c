/* tests/unit/node/core/test_dirbuild_pages.c: places kept over generations, directories put in. */
#include "tests/unit/node/core/built.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the next generation ----------------------------------------------------------------- */

static void fences_of_the_next_generation_only_split(void **state)
{
    struct built *a = built_numbered(1, NULL, 2500, 100);
    struct root old = built_root(a);
    struct built *b = built_new(2, &old);
    uint32_t kept = 0;
    (void)state;
    for (uint32_t i = 0; i < 2500; i++) {
        char key[32];
        snprintf(key, sizeof key, "f%06u", i);
        built_put(b, key, "v1", 100);
        if (i < 1024) { /* the first page doubles */
            snprintf(key, sizeof key, "f%06ux", i);
            built_put(b, key, "v1", 100);
        }
        if (i % 500 == 499) {
            built_cut(b, false);
        }
    }
    built_cut(b, true);
    built_check_order(b);
    for (uint32_t i = 0; i < a->count; i++) {
        for (uint32_t j = 0; j < b->count; j++) {
            kept += span_equal(a->pages[i].lower, b->pages[j].lower) ? 1 : 0;
        }
    }
    assert_int_equal(kept, a->count);
    assert_int_equal(b->count, a->count + 1);
    free((void *)(uintptr_t)old.bytes.data);
    built_free(a);
    built_free(b);
}

static void page_that_overflows_is_halved(void **state)
{
    struct built *a = built_numbered(1, NULL, 1024, 100);
    struct root old = built_root(a);
    struct built *b = built_new(2, &old);
    (void)state;
    for (uint32_t i = 0; i < 1025; i++) {
        char key[32];
        snprintf(key, sizeof key, "f%06u", i);
        built_put(b, key, "v1", 100);
    }
    built_cut(b, true);
    assert_int_equal(b->count, 2);
    assert_int_equal(page_count(&b->pages[0]), 512);
    assert_int_equal(page_count(&b->pages[1]), 513);
    free((void *)(uintptr_t)old.bytes.data);
    built_free(a);
    built_free(b);
}

static void range_without_names_any_more_falls_to_the_page_before(void **state)
{
    struct built *a = built_numbered(1, NULL, 3000, 100);
    struct root old = built_root(a);
    struct built *b = built_new(2, &old);
    (void)state;
    assert_int_equal(a->count, 3);
    for (uint32_t i = 0; i < 3000; i++) {
        char key[32];
        bool is_middle =
            page_covers(&a->pages[1], span_of(key, (size_t)snprintf(key, sizeof key, "f%06u", i)));
        if (!is_middle) {
            built_put(b, key, "v1", 100);
        }
    }
    built_cut(b, true);
    assert_int_equal(b->count, 2);
    assert_true(span_equal(b->pages[0].upper, a->pages[2].lower));
    built_check_order(b);
    free((void *)(uintptr_t)old.bytes.data);
    built_free(a);
    built_free(b);
}

static void unchanged_entries_keep_their_place_and_changed_ones_get_a_new_one(void **state)
{
    struct built *a = built_new(1, NULL);
    struct built *b = built_new(2, NULL);
    uint8_t buffer[4096];
    struct entry adopted = { .name = span_text("a"),
                             .type = ENTRY_FILE,
                             .size = 5,
                             .pin = span_text("v1"),
                             .place = { .v = 99 } };
    struct page joined;
    struct entry entry;
    bool same = true;
    (void)state;
    assert_true(dirbuild_adopt(&a->build, &adopted));
    built_put(a, "a", "v1", 5);
    built_put(a, "b", "v1", 5);
    built_put(a, "gone", "v1", 5);
    built_cut(a, true);
    adopted.name = span_text("b");
    adopted.place.v = 100;
    built_put(b, "a", "v1", 5);
    built_put(b, "b", "v2", 5);
    built_put(b, "new", "v1", 5);
    built_cut(b, true);
    size_t size = dirbuild_join(&b->pages[0], &a->pages[0], buffer, sizeof buffer, &same);
    assert_int_equal(page_open(span_of(buffer, size), &joined), ERR_OK);
    assert_false(same);
    assert_int_equal(joined.generation, 2);
    assert_true(page_find(&joined, span_text("a"), &entry));
    assert_int_equal(entry.place.v, 99);
    assert_true(page_find(&joined, span_text("b"), &entry));
    assert_int_equal(entry.place.v, place_of_shard(built_dir(), span_text("")).v);
    assert_false(page_find(&joined, span_text("gone"), &entry));
    assert_true(page_find(&joined, span_text("new"), &entry));
    built_free(a);
    built_free(b);
}

static void listing_that_found_no_change_gives_the_same_pages_and_digest(void **state)
{
    struct built *a = built_numbered(1, NULL, 2500, 100);
    struct root old = built_root(a);
    struct built *b = built_numbered(2, &old, 2500, 100);
    (void)state;
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->build.digest, b->build.digest);
    for (uint32_t i = 0; i < a->count; i++) {
        bool same = false;
        size_t room = b->pages[i].bytes.size + DIRBUILD_PAGE_SLACK;
        uint8_t *buffer = malloc(room);
        dirbuild_join(&b->pages[i], &a->pages[i], buffer, room, &same);
        assert_true(same);
        free(buffer);
    }
    free((void *)(uintptr_t)old.bytes.data);
    built_free(a);
    built_free(b);
}

/* ---- edits ------------------------------------------------------------------------------- */

static void edit_puts_directories_in_and_hides_a_file_of_the_name(void **state)
{
    struct built *b = built_new(1, NULL);
    struct span names[] = { span_text("a"), span_text("c"), span_text("d") };
    struct dirbuild_sums sums;
    struct page page;
    struct entry entry;
    uint8_t buffer[4096];
    (void)state;
    built_put(b, "b", "v1", 5);
    built_put(b, "c", "v1", 7);
    built_put(b, "d/", "", 0);
    built_cut(b, true);
    struct dirbuild_edit edit = {
        .page = &b->pages[0], .names = names, .name_count = 3, .generation = 1
    };
    assert_int_equal(dirbuild_edit_count(&edit, &sums), 4);
    assert_int_equal(sums.added, 2);
    assert_int_equal(sums.replaced, 1);
    assert_int_equal(sums.replaced_bytes, 7);
    assert_true(dirbuild_edit_size(&edit) <= sizeof buffer);
    size_t size = dirbuild_edit_write(&edit, (struct dirbuild_part){ 0, 4 }, buffer, sizeof buffer);
    assert_int_equal(page_open(span_of(buffer, size), &page), ERR_OK);
    assert_int_equal(page_count(&page), 4);
    assert_true(page_find(&page, span_text("c"), &entry));
    assert_int_equal(entry.type, ENTRY_DIR);
    assert_true(page_find(&page, span_text("a"), &entry));
    built_free(b);
}

static void edit_of_a_full_page_makes_two(void **state)
{
    struct built *b = built_numbered(1, NULL, 1024, 100);
    struct span names[] = { span_text("f") };
    struct dirbuild_edit edit = {
        .page = &b->pages[0], .names = names, .name_count = 1, .generation = 1
    };
    struct dirbuild_sums sums;
    struct page first;
    struct page second;
    uint8_t *buffer = malloc(PAGE_SIZE_LIMIT);
    (void)state;
    uint32_t count = dirbuild_edit_count(&edit, &sums);
    assert_int_equal(count, 1025);
    size_t size = dirbuild_edit_write(&edit, (struct dirbuild_part){ 0, 512 }, buffer,
                                      dirbuild_edit_size(&edit));
    assert_int_equal(page_open(span_of(buffer, size), &first), ERR_OK);
    size_t other = dirbuild_edit_write(&edit, (struct dirbuild_part){ 512, 513 }, buffer + size,
                                       dirbuild_edit_size(&edit));
    assert_int_equal(page_open(span_of(buffer + size, other), &second), ERR_OK);
    assert_true(span_equal(first.upper, second.lower));
    assert_int_equal(page_count(&first) + page_count(&second), 1025);
    assert_int_equal(second.upper.size, 0);
    free(buffer);
    built_free(b);
}

static void edit_without_names_is_the_same_page_of_another_generation(void **state)
{
    struct built *b = built_numbered(1, NULL, 10, 100);
    struct dirbuild_edit edit = { .page = &b->pages[0], .generation = 9 };
    struct page page;
    uint8_t buffer[4096];
    (void)state;
    size_t size =
        dirbuild_edit_write(&edit, (struct dirbuild_part){ 0, 10 }, buffer, sizeof buffer);
    assert_int_equal(page_open(span_of(buffer, size), &page), ERR_OK);
    assert_int_equal(page.generation, 9);
    assert_int_equal(page_count(&page), 10);
    built_free(b);
}

static void digest_follows_every_field_of_an_entry(void **state)
{
    struct entry a = {
        .name = span_text("n"), .type = ENTRY_FILE, .size = 1, .mtime_us = 2, .pin = span_text("p")
    };
    struct entry b = a;
    (void)state;
    assert_int_equal(dirbuild_digest(&a), dirbuild_digest(&b));
    b.pin = span_text("q");
    assert_int_not_equal(dirbuild_digest(&a), dirbuild_digest(&b));
    b = a;
    b.size = 3;
    assert_int_not_equal(dirbuild_digest(&a), dirbuild_digest(&b));
    b = a;
    b.mtime_us = 3;
    assert_int_not_equal(dirbuild_digest(&a), dirbuild_digest(&b));
    b = a;
    b.name = span_text("m");
    assert_int_not_equal(dirbuild_digest(&a), dirbuild_digest(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fences_of_the_next_generation_only_split),
        cmocka_unit_test(page_that_overflows_is_halved),
        cmocka_unit_test(range_without_names_any_more_falls_to_the_page_before),
        cmocka_unit_test(unchanged_entries_keep_their_place_and_changed_ones_get_a_new_one),
        cmocka_unit_test(listing_that_found_no_change_gives_the_same_pages_and_digest),
        cmocka_unit_test(edit_puts_directories_in_and_hides_a_file_of_the_name),
        cmocka_unit_test(edit_of_a_full_page_makes_two),
        cmocka_unit_test(edit_without_names_is_the_same_page_of_another_generation),
        cmocka_unit_test(digest_follows_every_field_of_an_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
