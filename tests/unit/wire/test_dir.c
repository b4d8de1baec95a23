/* tests/unit/wire/test_dir.c: entries and pages: searched beside a plain array, damaged in every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/dir.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/rng.h"
#include "tests/unit/base/dies.h"

#define SEEDS 20u
#define NAMES_MAX 400u
#define HEAD 44u /* of a page */

static uint8_t buffer[PAGE_SIZE_LIMIT];

static const struct page_start whole = { .dir = { { 7, 7 } }, .generation = 12 };

/* ---- entries ----------------------------------------------------------------------------- */

static struct entry file(const char *name, uint64_t size)
{
    return (struct entry){
        .name = span_text(name),
        .type = ENTRY_FILE,
        .size = size,
        .mtime_us = -5,
        .pin = span_text("\"5d41402abc4b2a76\""),
        .place = { size <= SMALL_FILE_MAX ? 99 : 0 },
    };
}

static void assert_entry_equal(const struct entry *a, const struct entry *b)
{
    assert_true(span_equal(a->name, b->name));
    assert_int_equal(a->type, b->type);
    assert_true(a->size == b->size);
    assert_true(a->mtime_us == b->mtime_us);
    assert_true(span_equal(a->pin, b->pin));
    assert_true(a->place.v == b->place.v);
}

static void an_entry_survives_a_round_trip(void **state)
{
    (void)state;
    struct entry dir = { .name = span_text("sub"), .type = ENTRY_DIR };
    struct entry entries[] = { file("a.jpg", 100), file("b.tar", UINT64_C(1) << 50), dir };
    for (size_t i = 0; i < ARRAY_COUNT(entries); i++) {
        struct entry back;
        size_t used = 0;
        assert_int_equal(entry_encode(&entries[i], buffer, ENTRY_SIZE_MAX, &used), ERR_OK);
        assert_int_equal(entry_decode(span_of(buffer, used), &back), ERR_OK);
        assert_entry_equal(&entries[i], &back);
    }
}

static void an_entry_cut_or_stretched_is_refused(void **state)
{
    (void)state;
    struct entry entry = file("a.jpg", 100);
    struct entry out;
    size_t used = 0;
    assert_int_equal(entry_encode(&entry, buffer, ENTRY_SIZE_MAX, &used), ERR_OK);
    for (size_t size = 0; size < used; size++) {
        assert_int_equal(entry_decode(span_of(buffer, size), &out), ERR_MALFORMED);
    }
    assert_int_equal(entry_decode(span_of(buffer, used + 1), &out), ERR_MALFORMED);
    assert_int_equal(entry_encode(&entry, buffer, used - 1, &used), ERR_FULL);
}

static void fields_behind_an_entry_are_skipped(void **state)
{
    (void)state;
    struct entry entry = file("a.jpg", 100);
    struct entry back;
    size_t used = 0;
    assert_int_equal(entry_encode(&entry, buffer, ENTRY_SIZE_MAX, &used), ERR_OK);
    memset(buffer + used, 0xee, 9);
    put_u16(buffer, (uint16_t)(used + 9));
    assert_int_equal(entry_decode(span_of(buffer, used + 9), &back), ERR_OK);
    assert_entry_equal(&entry, &back);
}

static void names_that_no_directory_can_show_are_not_valid(void **state)
{
    (void)state;
    char longest[ENTRY_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    assert_true(entry_name_is_valid(span_text("...")));
    assert_true(entry_name_is_valid(span_text(" ")));
    assert_true(entry_name_is_valid(span_text("\xff\n")));
    assert_true(entry_name_is_valid(span_of(longest, ENTRY_NAME_MAX)));
    assert_false(entry_name_is_valid(span_of(longest, ENTRY_NAME_MAX + 1)));
    assert_false(entry_name_is_valid(span_text("")));
    assert_false(entry_name_is_valid(span_text(".")));
    assert_false(entry_name_is_valid(span_text("..")));
    assert_false(entry_name_is_valid(span_text("a/b")));
    assert_false(entry_name_is_valid(span_of("a\0b", 3)));
}

static void entries_that_lie_are_not_valid(void **state)
{
    (void)state;
    char pin[PIN_MAX + 1] = { 0 };
    struct entry entry = file("a", SMALL_FILE_MAX);
    assert_true(entry_is_valid(&entry));
    entry.size++; /* now a large one, which has no place of its own */
    assert_false(entry_is_valid(&entry));
    entry = file("a", (uint64_t)INT64_MAX + 1);
    assert_false(entry_is_valid(&entry));
    entry = file("a", 1);
    entry.type = 3;
    assert_false(entry_is_valid(&entry));
    entry = file("a", 1);
    entry.pin = span_of(pin, sizeof pin);
    assert_false(entry_is_valid(&entry));
    entry = file("a", 1);
    entry.type = ENTRY_DIR;
    assert_false(entry_is_valid(&entry));
}

/* ---- pages beside a model ------------------------------------------------------------------ */

struct model {
    char names[NAMES_MAX][9];
    uint32_t count;
};

static int compare_names(const void *a, const void *b)
{
    return span_compare(span_text(a), span_text(b));
}

/* Distinct random names of one to eight letters out of four, sorted. */
static void model_make(struct model *model, struct rng *rng)
{
    uint32_t drawn = (uint32_t)rng_below(rng, NAMES_MAX + 1);
    memset(model, 0, sizeof *model);
    for (uint32_t i = 0; i < drawn; i++) {
        size_t size = (size_t)rng_between(rng, 1, 8);
        for (size_t at = 0; at < size; at++) {
            model->names[i][at] = "ab-\xe4"[rng_below(rng, 4)];
        }
    }
    qsort(model->names, drawn, sizeof model->names[0], compare_names);
    for (uint32_t i = 0; i < drawn; i++) {
        if (i == 0 || strcmp(model->names[i], model->names[model->count - 1]) != 0) {
            memmove(model->names[model->count], model->names[i], sizeof model->names[0]);
            model->count++;
        }
    }
}

static struct span page_of_model(const struct model *model)
{
    struct page_writer writer;
    assert_int_equal(page_writer_init(&writer, buffer, sizeof buffer, &whole), ERR_OK);
    for (uint32_t i = 0; i < model->count; i++) {
        struct entry entry = file(model->names[i], i);
        assert_int_equal(page_writer_add(&writer, &entry), ERR_OK);
    }
    return span_of(buffer, page_writer_end(&writer, span_of(NULL, 0)));
}

static void search_beside_model(const struct page *page, const struct model *model,
                                struct span name)
{
    struct entry entry;
    uint32_t bound = 0;
    while (bound < model->count && span_compare(span_text(model->names[bound]), name) < 0) {
        bound++;
    }
    bool there = bound < model->count && span_equal(span_text(model->names[bound]), name);
    assert_int_equal(page_lower_bound(page, name), bound);
    assert_int_equal(page_find(page, name, &entry), there);
    if (there) {
        assert_int_equal(entry.size, bound);
    }
}

static void pages_find_what_a_plain_array_finds(void **state)
{
    (void)state;
    static struct model model;
    static struct model others;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rng rng;
        struct page page;
        print_message("seed %u\n", (unsigned)seed);
        rng_init(&rng, seed, 0);
        model_make(&model, &rng);
        model_make(&others, &rng);
        assert_int_equal(page_open(page_of_model(&model), &page), ERR_OK);
        assert_int_equal(page_count(&page), model.count);
        for (uint32_t i = 0; i < model.count; i++) {
            struct entry entry;
            struct entry expected = file(model.names[i], i);
            page_entry(&page, i, &entry);
            assert_entry_equal(&entry, &expected);
            search_beside_model(&page, &model, expected.name);
        }
        for (uint32_t i = 0; i < others.count; i++) {
            search_beside_model(&page, &model, span_text(others.names[i]));
        }
        search_beside_model(&page, &model, span_of(NULL, 0));
    }
}

/* ---- pages: their limits -------------------------------------------------------------------- */

static struct span page_between(const char *lower, const char *upper)
{
    struct page_writer writer;
    struct page_start start = whole;
    struct entry entries[] = { file("k", 10), file("ka", 2u << 20), file("m", 30) };
    start.lower = span_text(lower);
    assert_int_equal(page_writer_init(&writer, buffer, sizeof buffer, &start), ERR_OK);
    for (size_t i = 0; i < ARRAY_COUNT(entries); i++) {
        assert_int_equal(page_writer_add(&writer, &entries[i]), ERR_OK);
    }
    return span_of(buffer, page_writer_end(&writer, span_text(upper)));
}

static void a_page_tells_what_it_is(void **state)
{
    (void)state;
    struct page page;
    struct span bytes = page_between("k", "ma");
    assert_int_equal(page_open(bytes, &page), ERR_OK);
    assert_true(dir_id_equal(page.dir, whole.dir));
    assert_int_equal(page.generation, 12);
    assert_true(span_equal(page.lower, span_text("k")));
    assert_true(span_equal(page.upper, span_text("ma")));
    assert_int_equal(page.small_bytes, 40); /* the large file is not in the run */
    assert_true(page.crc == crc64(0, bytes.data, bytes.size - 8));
    assert_true(page_covers(&page, span_text("k")));
    assert_true(page_covers(&page, span_text("m!")));
    assert_false(page_covers(&page, span_text("ma")));
    assert_false(page_covers(&page, span_text("j\xff")));
}

static void the_last_page_covers_all_that_follows(void **state)
{
    (void)state;
    struct page page;
    assert_int_equal(page_open(page_between("", ""), &page), ERR_OK);
    assert_true(page_covers(&page, span_text("\xff\xff\xff")));
    assert_true(page_covers(&page, span_text("")));
}

/* The name of the i-th of many entries, as long as a name can be. */
static struct entry longest_entry(uint32_t i, char name[ENTRY_NAME_MAX], char pin[PIN_MAX])
{
    memset(name, 'n', ENTRY_NAME_MAX);
    memset(pin, 'p', PIN_MAX);
    for (uint32_t at = 0; at < 4; at++) {
        name[at] = (char)('a' + (i >> (4 * (3 - at)) & 15));
    }
    return (struct entry){ .name = span_of(name, ENTRY_NAME_MAX),
                           .type = ENTRY_FILE,
                           .size = INT64_MAX,
                           .pin = span_of(pin, PIN_MAX) };
}

static void the_largest_page_has_the_largest_size(void **state)
{
    (void)state;
    char name[ENTRY_NAME_MAX];
    char pin[PIN_MAX];
    char lower[ENTRY_NAME_MAX];
    struct page_writer writer;
    struct page page;
    struct page_start start = whole;
    memset(lower, 'A', sizeof lower);
    start.lower = span_of(lower, sizeof lower);
    assert_int_equal(page_writer_init(&writer, buffer, sizeof buffer, &start), ERR_OK);
    for (uint32_t i = 0; i < PAGE_ENTRIES_MAX; i++) {
        struct entry entry = longest_entry(i, name, pin);
        assert_int_equal(page_writer_add(&writer, &entry), ERR_OK);
    }
    struct entry one_more = longest_entry(PAGE_ENTRIES_MAX, name, pin);
    assert_int_equal(page_writer_add(&writer, &one_more), ERR_FULL);
    size_t size = page_writer_end(&writer, one_more.name);
    assert_int_equal(size, PAGE_SIZE_MAX);
    assert_int_equal(page_open(span_of(buffer, size), &page), ERR_OK);
    assert_int_equal(page_count(&page), PAGE_ENTRIES_MAX);
}

static void small_files_fill_a_page_by_their_bytes(void **state)
{
    (void)state;
    struct page_writer writer;
    struct page page;
    char name[2] = "a";
    assert_int_equal(page_writer_init(&writer, buffer, sizeof buffer, &whole), ERR_OK);
    for (uint32_t i = 0; i < PAGE_SMALL_BYTES_MAX / SMALL_FILE_MAX; i++, name[0]++) {
        struct entry entry = file(name, SMALL_FILE_MAX);
        assert_int_equal(page_writer_add(&writer, &entry), ERR_OK);
    }
    struct entry small = file(name, 1);
    struct entry large = file(name, SMALL_FILE_MAX + 1);
    assert_int_equal(page_writer_add(&writer, &small), ERR_FULL);
    assert_int_equal(page_writer_add(&writer, &large), ERR_OK);
    size_t size = page_writer_end(&writer, span_of(NULL, 0));
    assert_int_equal(page_open(span_of(buffer, size), &page), ERR_OK);
    assert_int_equal(page_count(&page), 17);
}

/* However small the buffer: what was taken is there, and nothing is written behind it. */
static void a_full_buffer_ends_as_a_whole_page(void **state)
{
    (void)state;
    for (size_t room = 0; room < 800; room++) {
        struct page_writer writer;
        struct page page;
        char name[3] = "aa";
        uint32_t count = 0;
        buffer[room] = 0xa5;
        if (page_writer_init(&writer, buffer, room, &whole) == ERR_FULL) {
            assert_in_range(room, 0, HEAD + ENTRY_NAME_MAX + 8 - 1);
            continue;
        }
        struct entry entry = file(name, 1);
        while (page_writer_add(&writer, &entry) == ERR_OK) {
            count++;
            name[1]++;
        }
        size_t size = page_writer_end(&writer, span_text("zz"));
        assert_in_range(size, 1, room);
        assert_int_equal(buffer[room], 0xa5);
        assert_int_equal(page_open(span_of(buffer, size), &page), ERR_OK);
        assert_int_equal(page_count(&page), count);
    }
}

/* ---- pages: damage -------------------------------------------------------------------------- */

static uint8_t damaged[4096];

static struct span damage_begin(struct span bytes)
{
    assert_in_range(bytes.size, 1, sizeof damaged);
    memcpy(damaged, bytes.data, bytes.size);
    return span_of(damaged, bytes.size);
}

static void fix_crc(size_t size)
{
    put_u64(damaged + size - 8, crc64(0, damaged, size - 8));
}

static void a_page_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    struct span bytes = page_between("k", "ma");
    for (size_t size = 0; size < bytes.size; size++) {
        struct page page;
        assert_int_not_equal(page_open(span_of(bytes.data, size), &page), ERR_OK);
    }
}

static void any_flipped_bit_of_a_page_is_found(void **state)
{
    (void)state;
    struct span bytes = damage_begin(page_between("k", "ma"));
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        struct page page;
        damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(page_open(bytes, &page), ERR_OK);
        damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* A stranger can make checksums, too: then every bound must hold by itself. */
static void any_changed_byte_with_a_right_checksum_is_safe(void **state)
{
    (void)state;
    struct span bytes = damage_begin(page_between("k", "ma"));
    uint32_t accepted = 0;
    for (size_t at = 0; at < bytes.size - 8; at++) {
        uint8_t before = damaged[at];
        for (int value = 0; value < 256; value++) {
            struct page page;
            struct entry entry;
            damaged[at] = (uint8_t)value;
            fix_crc(bytes.size);
            if (page_open(bytes, &page) != ERR_OK) {
                continue;
            }
            accepted++;
            for (uint32_t i = 0; i < page_count(&page); i++) {
                page_entry(&page, i, &entry);
                assert_true(entry_is_valid(&entry));
                assert_true(page_covers(&page, entry.name));
                assert_int_equal(page_lower_bound(&page, entry.name), i);
            }
        }
        damaged[at] = before;
    }
    assert_true(accepted > bytes.size); /* a changed pin or size is a page all the same */
}

static enum err open_with_u32(struct span original, size_t at, uint32_t value)
{
    struct page page;
    struct span bytes = damage_begin(original);
    put_u32(damaged + at, value);
    fix_crc(bytes.size);
    return page_open(bytes, &page);
}

static enum err open_with_u16(struct span original, size_t at, uint16_t value)
{
    struct page page;
    struct span bytes = damage_begin(original);
    put_u16(damaged + at, value);
    fix_crc(bytes.size);
    return page_open(bytes, &page);
}

static void heads_that_lie_are_refused(void **state)
{
    (void)state;
    struct span bytes = page_between("k", "ma");
    uint32_t table = get_u32(bytes.data + 12);
    assert_int_equal(open_with_u32(bytes, 0, 0), ERR_MALFORMED);
    assert_int_equal(open_with_u16(bytes, 4, 0), ERR_MALFORMED);
    assert_int_equal(open_with_u16(bytes, 4, 2), ERR_VERSION);
    assert_int_equal(open_with_u16(bytes, 6, HEAD - 1), ERR_MALFORMED);
    assert_int_equal(open_with_u16(bytes, 6, HEAD + 1), ERR_MALFORMED);
    assert_int_equal(open_with_u16(bytes, 6, UINT16_MAX), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, 8, 2), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, 8, 4), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, 8, UINT32_MAX), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, 12, table + 4), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, 12, UINT32_MAX), ERR_MALFORMED);
    assert_int_equal(open_with_u16(bytes, 40, UINT16_MAX), ERR_MALFORMED);
    assert_int_equal(open_with_u16(bytes, 42, UINT16_MAX), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, table, table), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, table + 4, HEAD + 1), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, table + 8, UINT32_MAX), ERR_MALFORMED);
}

static void fences_and_order_are_checked(void **state)
{
    (void)state;
    struct span bytes = page_between("k", "ma");
    size_t upper = get_u32(bytes.data + 12) - 2;
    assert_int_equal(bytes.data[upper], 'm');
    assert_int_equal(open_with_u16(bytes, upper, 'k' | 'a' << 8), ERR_MALFORMED); /* below m */
    assert_int_equal(open_with_u16(bytes, upper, 'k' | 'b' << 8), ERR_MALFORMED);
    assert_int_equal(open_with_u16(bytes, upper, 'm' | 'b' << 8), ERR_OK);
    struct page page;
    bytes = damage_begin(bytes);
    damaged[HEAD] = 'l'; /* the lower fence, now above the first names */
    fix_crc(bytes.size);
    assert_int_equal(page_open(bytes, &page), ERR_MALFORMED);
    damaged[HEAD] = 'k';
    damaged[HEAD + 1 + 30] = 'z'; /* the first name, now behind the second */
    fix_crc(bytes.size);
    assert_int_equal(page_open(bytes, &page), ERR_MALFORMED);
}

/* As a later version might write it: 4 bytes more in the head, under the same version number. */
static void a_longer_head_is_skipped(void **state)
{
    (void)state;
    struct page page;
    struct span bytes = page_between("k", "ma");
    size_t table = get_u32(bytes.data + 12);
    size_t size = bytes.size + 4;
    memcpy(damaged, bytes.data, HEAD);
    memset(damaged + HEAD, 0xee, 4);
    memcpy(damaged + HEAD + 4, bytes.data + HEAD, bytes.size - HEAD);
    put_u16(damaged + 6, HEAD + 4);
    put_u32(damaged + 12, (uint32_t)table + 4);
    for (size_t i = 0; i < 3; i++) {
        uint8_t *offset = damaged + table + 4 + i * 4;
        put_u32(offset, get_u32(offset) + 4);
    }
    fix_crc(size);
    assert_int_equal(page_open(span_of(damaged, size), &page), ERR_OK);
    assert_true(span_equal(page.lower, span_text("k")));
    assert_int_equal(page_lower_bound(&page, span_text("m")), 2);
}

/* ---- bugs of a writer ----------------------------------------------------------------------- */

static void add_out_of_order(void)
{
    struct page_writer writer;
    struct entry b = file("b", 1);
    struct entry a = file("a", 1);
    (void)(page_writer_init(&writer, buffer, sizeof buffer, &whole) == ERR_OK);
    (void)(page_writer_add(&writer, &b) == ERR_OK);
    (void)(page_writer_add(&writer, &a) == ERR_OK);
}

static void add_below_the_fence(void)
{
    struct page_writer writer;
    struct page_start start = whole;
    struct entry a = file("a", 1);
    start.lower = span_text("b");
    (void)(page_writer_init(&writer, buffer, sizeof buffer, &start) == ERR_OK);
    (void)(page_writer_add(&writer, &a) == ERR_OK);
}

static void end_below_the_last_name(void)
{
    (void)page_between("", "m");
}

static void a_writer_that_breaks_the_order_is_a_bug(void **state)
{
    (void)state;
    assert_true(dies(add_out_of_order));
    assert_true(dies(add_below_the_fence));
    assert_true(dies(end_below_the_last_name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_survives_a_round_trip),
        cmocka_unit_test(an_entry_cut_or_stretched_is_refused),
        cmocka_unit_test(fields_behind_an_entry_are_skipped),
        cmocka_unit_test(names_that_no_directory_can_show_are_not_valid),
        cmocka_unit_test(entries_that_lie_are_not_valid),
        cmocka_unit_test(pages_find_what_a_plain_array_finds),
        cmocka_unit_test(a_page_tells_what_it_is),
        cmocka_unit_test(the_last_page_covers_all_that_follows),
        cmocka_unit_test(the_largest_page_has_the_largest_size),
        cmocka_unit_test(small_files_fill_a_page_by_their_bytes),
        cmocka_unit_test(a_full_buffer_ends_as_a_whole_page),
        cmocka_unit_test(a_page_cut_at_any_byte_is_refused),
        cmocka_unit_test(any_flipped_bit_of_a_page_is_found),
        cmocka_unit_test(any_changed_byte_with_a_right_checksum_is_safe),
        cmocka_unit_test(heads_that_lie_are_refused),
        cmocka_unit_test(fences_and_order_are_checked),
        cmocka_unit_test(a_longer_head_is_skipped),
        cmocka_unit_test(a_writer_that_breaks_the_order_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
