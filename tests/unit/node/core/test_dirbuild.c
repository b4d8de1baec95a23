/* tests/unit/node/core/test_dirbuild.c: names in order, pages cut, places kept. */
#include "node/core/dirbuild.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGES_MAX 4096

/* A directory being built, and the pages that came out. */
struct built {
    struct dirbuild build;
    uint8_t *memory;
    struct page pages[PAGES_MAX];
    uint32_t count;
    uint32_t late;
    uint32_t disorder;
};

static struct dir_id dir_of_test(void)
{
    return (struct dir_id){ .b = { 1, 2, 3 } };
}

static struct built *built_new(uint64_t generation, const struct root *old)
{
    struct built *b = calloc(1, sizeof *b);
    dirbuild_init(&b->build, dir_of_test(), generation, old);
    return b;
}

static void built_free(struct built *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        free((void *)(uintptr_t)b->pages[i].bytes.data);
    }
    free(b->memory);
    free(b);
}

static void put_key(struct built *b, const char *key, const char *pin, uint64_t size)
{
    struct listed listed = { .key = span_text(key), .pin = span_text(pin), .size = size };
    struct entry entry;
    listed.is_prefix = key[strlen(key) - 1] == '/';
    if (!dirbuild_fits(&b->build, &listed, 1)) {
        size_t need = dirbuild_need(&b->build, &listed, 1) * 2;
        uint8_t *memory = aligned_alloc(4096, (need + 4095) & ~(size_t)4095);
        dirbuild_give(&b->build, memory, need);
        free(b->memory);
        b->memory = memory;
    }
    assert_int_equal(dirbuild_classify(span_text(""), &listed, &entry), DIRBUILD_SHOWN);
    enum dirbuild_put put = dirbuild_put(&b->build, &entry);
    b->late += put == DIRBUILD_LATE ? 1 : 0;
    b->disorder += put == DIRBUILD_DISORDER ? 1 : 0;
}

static void cut(struct built *b, bool last)
{
    struct dirbuild_cut next;
    while (dirbuild_next(&b->build, last, &next)) {
        uint8_t *page = malloc(next.size_max);
        size_t size = dirbuild_write(&b->build, &next, page, next.size_max);
        assert_true(size <= next.size_max);
        assert_true(b->count < PAGES_MAX);
        assert_int_equal(page_open(span_of(page, size), &b->pages[b->count]), ERR_OK);
        b->count++;
    }
}

/* A root over the pages of `b`; the caller frees root->bytes. */
static struct root root_of(const struct built *b)
{
    struct root root;
    struct root_writer writer;
    uint8_t *bytes = malloc(ROOT_SIZE_MAX);
    struct root_head head = { .dir = dir_of_test(),
                              .generation = b->build.generation,
                              .files = b->build.files,
                              .directories = b->build.directories,
                              .bytes = b->build.bytes,
                              .digest = b->build.digest };
    assert_int_equal(root_writer_init(&writer, bytes, ROOT_SIZE_MAX), ERR_OK);
    for (uint32_t i = 0; i < b->count; i++) {
        struct root_shard shard = { .lower = b->pages[i].lower,
                                    .place = place_of_shard(dir_of_test(), b->pages[i].lower),
                                    .entries = b->pages[i].count,
                                    .page_bytes = (uint32_t)b->pages[i].bytes.size,
                                    .page_crc = b->pages[i].crc };
        assert_int_equal(root_writer_add(&writer, &shard), ERR_OK);
    }
    size_t size = root_writer_end(&writer, &head);
    assert_int_equal(root_open(span_of(bytes, size), &root), ERR_OK);
    return root;
}

static uint32_t entries_in(const struct built *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        count += page_count(&b->pages[i]);
    }
    return count;
}

/* Names ascend over all pages, each page ends where the next begins, the last one at the end. */
static void assert_pages_are_one_order(const struct built *b)
{
    struct span last = span_text("");
    struct entry entry;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct page *page = &b->pages[i];
        assert_true(i == 0 ? page->lower.size == 0
                           : span_equal(page->lower, b->pages[i - 1].upper));
        assert_true((i + 1 == b->count) == (page->upper.size == 0));
        assert_true(page->small_bytes <= PAGE_SMALL_BYTES_MAX);
        for (uint32_t j = 0; j < page_count(page); j++) {
            page_entry(page, j, &entry);
            assert_true(span_compare(last, entry.name) < 0);
            assert_true(page_covers(page, entry.name));
            last = entry.name;
        }
    }
}

static bool find(const struct built *b, const char *name, struct entry *out)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (page_find(&b->pages[i], span_text(name), out)) {
            return true;
        }
    }
    return false;
}

static struct built *numbered(uint64_t generation, const struct root *old, uint32_t count,
                              uint64_t size)
{
    struct built *b = built_new(generation, old);
    for (uint32_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "f%06u", i);
        put_key(b, key, "v1", size);
        if (i % 1000 == 999) {
            cut(b, false);
        }
    }
    cut(b, true);
    return b;
}

/* ---- order and kinds --------------------------------------------------------------------- */

static void directory_that_is_listed_late_sorts_by_its_name(void **state)
{
    struct built *b = built_new(1, NULL);
    struct entry entry;
    (void)state;
    put_key(b, "a-/", "", 0); /* '-' is before '/' */
    put_key(b, "a-b", "v1", 1);
    put_key(b, "a/", "", 0);
    put_key(b, "a0", "v1", 1);
    cut(b, true);
    assert_int_equal(b->count, 1);
    page_entry(&b->pages[0], 0, &entry);
    assert_true(span_equal(entry.name, span_text("a")));
    page_entry(&b->pages[0], 1, &entry);
    assert_true(span_equal(entry.name, span_text("a-")));
    assert_pages_are_one_order(b);
    built_free(b);
}

static void directory_wins_over_file_of_its_name(void **state)
{
    struct built *b = built_new(1, NULL);
    struct entry entry;
    (void)state;
    put_key(b, "data", "v1", 77);
    put_key(b, "data/", "", 0);
    cut(b, true);
    assert_true(find(b, "data", &entry));
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
    put_key(b, "data/", "", 0);
    put_key(b, "data", "v1", 77);
    cut(b, true);
    assert_true(find(b, "data", &entry));
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
    struct built *b = numbered(1, NULL, 2500, 100);
    (void)state;
    assert_int_equal(b->count, 3);
    assert_int_equal(page_count(&b->pages[0]), 1024);
    assert_int_equal(entries_in(b), 2500);
    assert_int_equal(b->build.files, 2500);
    assert_int_equal(b->build.bytes, 250000);
    assert_pages_are_one_order(b);
    built_free(b);
}

static void page_holds_at_most_sixteen_mebibytes_of_small_files(void **state)
{
    struct built *b = numbered(1, NULL, 100, SMALL_FILE_MAX);
    (void)state;
    for (uint32_t i = 0; i < b->count; i++) {
        assert_true(page_count(&b->pages[i]) <= 16);
    }
    assert_int_equal(entries_in(b), 100);
    assert_pages_are_one_order(b);
    built_free(b);
}

static void small_files_get_the_place_of_their_page_and_large_ones_none(void **state)
{
    struct built *b = built_new(1, NULL);
    struct entry entry;
    (void)state;
    put_key(b, "large", "v1", SMALL_FILE_MAX + 1);
    put_key(b, "small", "v1", SMALL_FILE_MAX);
    cut(b, true);
    assert_true(find(b, "large", &entry));
    assert_int_equal(entry.place.v, 0);
    assert_true(find(b, "small", &entry));
    assert_int_equal(entry.place.v, place_of_shard(dir_of_test(), span_text("")).v);
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
        put_key(b, key, "v1", 10);
    }
    cut(b, false);
    assert_true(b->count > 0);
    put_key(b, "part/", "", 0);
    assert_int_equal(b->late, 1);
    put_key(b, "part", "v1", 1);
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
    put_key(b, "x", "v1", 5);
    put_key(b, "y", "v1", 5);
    cut(b, true);
    assert_true(find(b, "x", &entry));
    assert_int_equal(entry.place.v, 4711);
    assert_true(find(b, "y", &entry));
    assert_int_equal(entry.place.v, place_of_shard(dir_of_test(), span_text("")).v);
    built_free(b);
}

/* ---- the next generation ----------------------------------------------------------------- */

static void fences_of_the_next_generation_only_split(void **state)
{
    struct built *a = numbered(1, NULL, 2500, 100);
    struct root old = root_of(a);
    struct built *b = built_new(2, &old);
    uint32_t kept = 0;
    (void)state;
    for (uint32_t i = 0; i < 2500; i++) {
        char key[32];
        snprintf(key, sizeof key, "f%06u", i);
        put_key(b, key, "v1", 100);
        if (i < 1024) { /* the first page doubles */
            snprintf(key, sizeof key, "f%06ux", i);
            put_key(b, key, "v1", 100);
        }
        if (i % 500 == 499) {
            cut(b, false);
        }
    }
    cut(b, true);
    assert_pages_are_one_order(b);
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
    struct built *a = numbered(1, NULL, 1024, 100);
    struct root old = root_of(a);
    struct built *b = built_new(2, &old);
    (void)state;
    for (uint32_t i = 0; i < 1025; i++) {
        char key[32];
        snprintf(key, sizeof key, "f%06u", i);
        put_key(b, key, "v1", 100);
    }
    cut(b, true);
    assert_int_equal(b->count, 2);
    assert_int_equal(page_count(&b->pages[0]), 512);
    assert_int_equal(page_count(&b->pages[1]), 513);
    free((void *)(uintptr_t)old.bytes.data);
    built_free(a);
    built_free(b);
}

static void range_without_names_any_more_falls_to_the_page_before(void **state)
{
    struct built *a = numbered(1, NULL, 3000, 100);
    struct root old = root_of(a);
    struct built *b = built_new(2, &old);
    (void)state;
    assert_int_equal(a->count, 3);
    for (uint32_t i = 0; i < 3000; i++) {
        char key[32];
        bool is_middle =
            page_covers(&a->pages[1], span_of(key, (size_t)snprintf(key, sizeof key, "f%06u", i)));
        if (!is_middle) {
            put_key(b, key, "v1", 100);
        }
    }
    cut(b, true);
    assert_int_equal(b->count, 2);
    assert_true(span_equal(b->pages[0].upper, a->pages[2].lower));
    assert_pages_are_one_order(b);
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
    put_key(a, "a", "v1", 5);
    put_key(a, "b", "v1", 5);
    put_key(a, "gone", "v1", 5);
    cut(a, true);
    adopted.name = span_text("b");
    adopted.place.v = 100;
    put_key(b, "a", "v1", 5);
    put_key(b, "b", "v2", 5);
    put_key(b, "new", "v1", 5);
    cut(b, true);
    size_t size = dirbuild_join(&b->pages[0], &a->pages[0], buffer, sizeof buffer, &same);
    assert_int_equal(page_open(span_of(buffer, size), &joined), ERR_OK);
    assert_false(same);
    assert_int_equal(joined.generation, 2);
    assert_true(page_find(&joined, span_text("a"), &entry));
    assert_int_equal(entry.place.v, 99);
    assert_true(page_find(&joined, span_text("b"), &entry));
    assert_int_equal(entry.place.v, place_of_shard(dir_of_test(), span_text("")).v);
    assert_false(page_find(&joined, span_text("gone"), &entry));
    assert_true(page_find(&joined, span_text("new"), &entry));
    built_free(a);
    built_free(b);
}

static void listing_that_found_no_change_gives_the_same_pages_and_digest(void **state)
{
    struct built *a = numbered(1, NULL, 2500, 100);
    struct root old = root_of(a);
    struct built *b = numbered(2, &old, 2500, 100);
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
    put_key(b, "b", "v1", 5);
    put_key(b, "c", "v1", 7);
    put_key(b, "d/", "", 0);
    cut(b, true);
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
    struct built *b = numbered(1, NULL, 1024, 100);
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
    struct built *b = numbered(1, NULL, 10, 100);
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
