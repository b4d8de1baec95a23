/* tests/unit/wire/test_dir_root.c: roots: which shard covers a name, and damage. */
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
#define LEAST 88u /* the head of the first roots */
#define FIXED 90u
#define PREFIX "p/a/"
#define HEAD (FIXED + 4u)
#define SHARDS_MAX 64u

static uint8_t buffer[ROOT_SIZE_MAX + 64];
static uint8_t damaged[8192];

/* Shard i has i entries. `fences` are the lower ones, the first is empty. */
static struct span root_of(const char (*fences)[8], uint32_t count)
{
    struct root_writer writer;
    uint64_t entries = 0;
    assert_int_equal(root_writer_init(&writer, buffer, sizeof buffer, span_text(PREFIX)), ERR_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct root_shard shard = {
            .lower = span_text(fences[i]),
            .place = { 1000 + i },
            .entries = i,
            .page_bytes = 5000 + i,
            .page_crc = UINT64_C(0xfeed) << 40 | i,
        };
        assert_int_equal(root_writer_add(&writer, &shard), ERR_OK);
        entries += i;
    }
    struct root_head head = {
        .dir = { { 3 } },
        .generation = 8,
        .listed_wall_us = 1700000000000000,
        .files = entries - entries / 3,
        .directories = entries / 3,
        .bytes = UINT64_C(1) << 45,
        .hidden = 2,
        .digest = 0xd19e57,
    };
    return span_of(buffer, root_writer_end(&writer, &head));
}

static const char four_fences[4][8] = { "", "b", "bb", "c" };

static void a_root_tells_what_was_written(void **state)
{
    (void)state;
    struct root root;
    struct root_shard shard;
    assert_int_equal(root_open(root_of(four_fences, 4), &root), ERR_OK);
    assert_int_equal(root.head.dir.b[0], 3);
    assert_int_equal(root.head.generation, 8);
    assert_true(root.head.listed_wall_us == 1700000000000000);
    assert_int_equal(root.head.files, 4);
    assert_int_equal(root.head.directories, 2);
    assert_true(root.head.bytes == UINT64_C(1) << 45);
    assert_int_equal(root.head.hidden, 2);
    assert_int_equal(root.head.digest, 0xd19e57);
    assert_true(span_equal(root.prefix, span_text(PREFIX)));
    assert_int_equal(root.shards, 4);
    root_shard(&root, 2, &shard);
    assert_true(span_equal(shard.lower, span_text("bb")));
    assert_int_equal(shard.place.v, 1002);
    assert_int_equal(shard.entries, 2);
    assert_int_equal(shard.page_bytes, 5002);
    assert_true(shard.page_crc == (UINT64_C(0xfeed) << 40 | 2));
}

static uint32_t shard_for(const struct root *root, const char *name)
{
    uint32_t index = 99;
    return root_shard_for(root, span_text(name), &index) ? index : 99;
}

static void a_name_belongs_to_the_last_fence_at_or_before_it(void **state)
{
    (void)state;
    struct root root;
    assert_int_equal(root_open(root_of(four_fences, 4), &root), ERR_OK);
    assert_int_equal(shard_for(&root, ""), 0);
    assert_int_equal(shard_for(&root, "azzz"), 0);
    assert_int_equal(shard_for(&root, "b"), 1);
    assert_int_equal(shard_for(&root, "ba"), 1);
    assert_int_equal(shard_for(&root, "bb"), 2);
    assert_int_equal(shard_for(&root, "c"), 3);
    assert_int_equal(shard_for(&root, "\xff"), 3);
}

static void an_empty_directory_has_no_shards(void **state)
{
    (void)state;
    struct root root;
    assert_int_equal(root_open(root_of(four_fences, 0), &root), ERR_OK);
    assert_int_equal(root.shards, 0);
    assert_int_equal(shard_for(&root, "a"), 99);
}

static int compare_fences(const void *a, const void *b)
{
    return span_compare(span_text(a), span_text(b));
}

static void shards_are_found_as_in_a_plain_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        char fences[SHARDS_MAX][8] = { { 0 } };
        struct rng rng;
        struct root root;
        uint32_t count = 1;
        print_message("seed %u\n", (unsigned)seed);
        rng_init(&rng, seed, 0);
        for (uint32_t i = 1; i < SHARDS_MAX; i++) {
            put_u32((uint8_t *)fences[i], 0x61616161u + (uint32_t)(rng_next(&rng) & 0x0f0f0f0f));
        }
        qsort(fences + 1, SHARDS_MAX - 1, 8, compare_fences);
        while (count < SHARDS_MAX && strcmp(fences[count - 1], fences[count]) != 0) {
            count++; /* up to the first that is there twice */
        }
        assert_int_equal(root_open(root_of((const char(*)[8])fences, count), &root), ERR_OK);
        for (uint32_t round = 0; round < 500; round++) {
            char name[8] = { 0 };
            uint32_t expected = 0;
            put_u32((uint8_t *)name, 0x61616161u + (uint32_t)(rng_next(&rng) & 0x0f0f0f0f));
            while (expected + 1 < count && compare_fences(fences[expected + 1], name) <= 0) {
                expected++;
            }
            assert_int_equal(shard_for(&root, name), expected);
        }
    }
}

static void a_root_grows_to_its_limit_and_no_further(void **state)
{
    (void)state;
    struct root_writer writer;
    struct root root;
    struct root_head head = { .generation = 1 };
    char fence[8] = "";
    uint32_t count = 0;
    struct root_shard shard = { .lower = span_of(NULL, 0), .page_bytes = PAGE_SIZE_MAX };
    assert_int_equal(root_writer_init(&writer, buffer, sizeof buffer, span_text("")), ERR_OK);
    while (root_writer_add(&writer, &shard) == ERR_OK) {
        count++;
        fence[0] = (char)(1 + count / (120 * 120));
        fence[1] = (char)(1 + count / 120 % 120);
        fence[2] = (char)(1 + count % 120);
        shard.lower = span_of(fence, 3);
    }
    size_t size = root_writer_end(&writer, &head);
    assert_in_range(size, ROOT_SIZE_MAX - 64, ROOT_SIZE_MAX);
    assert_int_equal(root_open(span_of(buffer, size), &root), ERR_OK);
    assert_int_equal(root.shards, count);
    assert_true(count >= 16384); /* some 16 million entries */
}

static void a_buffer_too_small_for_a_head_is_full(void **state)
{
    (void)state;
    struct root_writer writer;
    struct root_head head = { .generation = 1 };
    struct root root;
    struct span prefix = span_text(PREFIX);
    assert_int_equal(root_writer_init(&writer, buffer, HEAD + 7, prefix), ERR_FULL);
    assert_int_equal(root_writer_init(&writer, buffer, HEAD + 8, prefix), ERR_OK);
    struct root_shard shard = { .lower = span_of(NULL, 0) };
    assert_int_equal(root_writer_add(&writer, &shard), ERR_FULL);
    size_t size = root_writer_end(&writer, &head);
    assert_int_equal(size, HEAD + 8);
    assert_int_equal(root_open(span_of(buffer, size), &root), ERR_OK);
}

static void the_longest_prefix_fits_a_root(void **state)
{
    (void)state;
    struct root_writer writer;
    struct root_head head = { .generation = 1 };
    struct root root;
    char prefix[DIR_PREFIX_MAX + 1];
    memset(prefix, 'x', DIR_PREFIX_MAX);
    prefix[DIR_PREFIX_MAX] = '\0';
    assert_int_equal(root_writer_init(&writer, buffer, sizeof buffer, span_text(prefix)), ERR_OK);
    struct root_shard shard = { .lower = span_of(NULL, 0), .place = { 7 } };
    assert_int_equal(root_writer_add(&writer, &shard), ERR_OK);
    assert_int_equal(root_open(span_of(buffer, root_writer_end(&writer, &head)), &root), ERR_OK);
    assert_true(span_equal(root.prefix, span_text(prefix)));
    root_shard(&root, 0, &shard);
    assert_int_equal(shard.place.v, 7);
}

/* ---- damage ------------------------------------------------------------------------------- */

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

static void a_root_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    struct span bytes = root_of(four_fences, 4);
    for (size_t size = 0; size < bytes.size; size++) {
        struct root root;
        assert_int_not_equal(root_open(span_of(bytes.data, size), &root), ERR_OK);
    }
}

static void any_flipped_bit_of_a_root_is_found(void **state)
{
    (void)state;
    struct span bytes = damage_begin(root_of(four_fences, 4));
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        struct root root;
        damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(root_open(bytes, &root), ERR_OK);
        damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void any_changed_byte_with_a_right_checksum_is_safe(void **state)
{
    (void)state;
    struct span bytes = damage_begin(root_of(four_fences, 4));
    uint32_t accepted = 0;
    for (size_t at = 0; at < bytes.size - 8; at++) {
        uint8_t before = damaged[at];
        for (int value = 0; value < 256; value++) {
            struct root root;
            struct root_shard shard;
            uint64_t entries = 0;
            damaged[at] = (uint8_t)value;
            fix_crc(bytes.size);
            if (root_open(bytes, &root) != ERR_OK) {
                continue;
            }
            accepted++;
            assert_true(root.prefix.size <= HEAD - FIXED);
            for (uint32_t i = 0; i < root.shards; i++) {
                uint32_t index = 99;
                root_shard(&root, i, &shard);
                assert_true(root_shard_for(&root, shard.lower, &index));
                assert_int_equal(index, i);
                entries += shard.entries;
            }
            assert_true(entries == root.head.files + root.head.directories);
        }
        damaged[at] = before;
    }
    assert_true(accepted > bytes.size);
}

/* The same root with a head of another size: cut, or with bytes behind that nobody knows. */
static struct span with_head(struct span original, size_t size)
{
    const size_t table = get_u32(original.data + 12);
    const size_t kept = size < HEAD ? size : HEAD;
    const uint32_t count = get_u32(original.data + 8);
    memset(damaged, 0xee, sizeof damaged);
    memcpy(damaged, original.data, kept);
    memcpy(damaged + size, original.data + HEAD, original.size - HEAD);
    put_u16(damaged + 6, (uint16_t)size);
    put_u32(damaged + 12, (uint32_t)(table + size - HEAD));
    for (size_t i = 0; i < count; i++) {
        uint8_t *offset = damaged + table + size - HEAD + i * 4;
        put_u32(offset, (uint32_t)(get_u32(offset) + size - HEAD));
    }
    fix_crc(original.size + size - HEAD);
    return span_of(damaged, original.size + size - HEAD);
}

static void a_root_of_an_earlier_version_says_no_prefix(void **state)
{
    (void)state;
    struct root root;
    struct root_shard shard;
    for (size_t size = LEAST; size < FIXED; size++) {
        assert_int_equal(root_open(with_head(root_of(four_fences, 4), size), &root), ERR_OK);
        assert_int_equal(root.prefix.size, 0);
        root_shard(&root, 3, &shard);
        assert_true(span_equal(shard.lower, span_text("c")));
    }
}

static void a_longer_head_of_a_root_is_skipped(void **state)
{
    (void)state;
    struct root root;
    struct root_shard shard;
    assert_int_equal(root_open(with_head(root_of(four_fences, 4), HEAD + 5), &root), ERR_OK);
    assert_true(span_equal(root.prefix, span_text(PREFIX)));
    root_shard(&root, 3, &shard);
    assert_true(span_equal(shard.lower, span_text("c")));
}

static enum err open_with_u16(struct span original, size_t at, uint16_t value)
{
    struct root root;
    struct span bytes = damage_begin(original);
    put_u16(damaged + at, value);
    fix_crc(bytes.size);
    return root_open(bytes, &root);
}

static void a_prefix_that_does_not_fit_its_root_is_refused(void **state)
{
    (void)state;
    struct root root;
    struct span bytes = root_of(four_fences, 4);
    assert_int_equal(open_with_u16(bytes, LEAST, 5), ERR_MALFORMED);
    assert_int_equal(open_with_u16(bytes, LEAST, 3), ERR_OK);
    bytes = with_head(bytes, FIXED + DIR_PREFIX_MAX + 1);
    put_u16(damaged + LEAST, DIR_PREFIX_MAX);
    fix_crc(bytes.size);
    assert_int_equal(root_open(bytes, &root), ERR_OK);
    put_u16(damaged + LEAST, DIR_PREFIX_MAX + 1);
    fix_crc(bytes.size);
    assert_int_equal(root_open(bytes, &root), ERR_MALFORMED);
}

static enum err open_with_u32(struct span original, size_t at, uint32_t value)
{
    struct root root;
    struct span bytes = damage_begin(original);
    put_u32(damaged + at, value);
    fix_crc(bytes.size);
    return root_open(bytes, &root);
}

static void roots_that_lie_are_refused(void **state)
{
    (void)state;
    struct span bytes = root_of(four_fences, 4);
    uint32_t version_and_head = get_u32(bytes.data + 4);
    assert_int_equal(open_with_u32(bytes, 0, 0), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, 4, version_and_head + 1), ERR_VERSION);
    assert_int_equal(open_with_u32(bytes, 4, version_and_head - 1), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, 8, 3), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, 12, 0), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, 48, 5), ERR_MALFORMED); /* files that no shard holds */
    assert_int_equal(open_with_u32(bytes, HEAD + 12, 1), ERR_MALFORMED); /* entries nobody counts */
    assert_int_equal(open_with_u32(bytes, HEAD + 16, PAGE_SIZE_LIMIT + 1), ERR_MALFORMED);
    assert_int_equal(open_with_u32(bytes, HEAD + 16, PAGE_SIZE_LIMIT), ERR_OK);
    assert_int_equal(open_with_u32(bytes, HEAD, 28 | 1 << 16), ERR_MALFORMED); /* fence over end */
    assert_int_equal(open_with_u32(bytes, HEAD + 28, 29 | 5 << 16), ERR_MALFORMED);
}

static void skip_a_fence(void)
{
    static const char fences[1][8] = { "a" }; /* names before it would belong to no shard */
    (void)root_of(fences, 1);
}

static void turn_fences_round(void)
{
    static const char fences[3][8] = { "", "b", "a" };
    (void)root_of(fences, 3);
}

static void count_wrongly(void)
{
    struct root_writer writer;
    struct root_head head = { .files = 1 };
    (void)(root_writer_init(&writer, buffer, sizeof buffer, span_text("")) == ERR_OK);
    (void)root_writer_end(&writer, &head);
}

static void say_too_much(void)
{
    static const uint8_t prefix[DIR_PREFIX_MAX + 1];
    struct root_writer writer;
    struct span all = span_of(prefix, sizeof prefix);
    (void)(root_writer_init(&writer, buffer, sizeof buffer, all) == ERR_OK);
}

static void a_writer_that_lies_is_a_bug(void **state)
{
    (void)state;
    assert_true(dies(skip_a_fence));
    assert_true(dies(turn_fences_round));
    assert_true(dies(count_wrongly));
    assert_true(dies(say_too_much));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_tells_what_was_written),
        cmocka_unit_test(a_name_belongs_to_the_last_fence_at_or_before_it),
        cmocka_unit_test(an_empty_directory_has_no_shards),
        cmocka_unit_test(shards_are_found_as_in_a_plain_array),
        cmocka_unit_test(a_root_grows_to_its_limit_and_no_further),
        cmocka_unit_test(a_buffer_too_small_for_a_head_is_full),
        cmocka_unit_test(the_longest_prefix_fits_a_root),
        cmocka_unit_test(a_root_cut_at_any_byte_is_refused),
        cmocka_unit_test(any_flipped_bit_of_a_root_is_found),
        cmocka_unit_test(any_changed_byte_with_a_right_checksum_is_safe),
        cmocka_unit_test(a_root_of_an_earlier_version_says_no_prefix),
        cmocka_unit_test(a_longer_head_of_a_root_is_skipped),
        cmocka_unit_test(a_prefix_that_does_not_fit_its_root_is_refused),
        cmocka_unit_test(roots_that_lie_are_refused),
        cmocka_unit_test(a_writer_that_lies_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
