/* tests/unit/node/core/built.c: see built.h. */
#include "tests/unit/node/core/built.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dir_id built_dir(void)
{
    return (struct dir_id){ .b = { 1, 2, 3 } };
}

struct built *built_new(uint64_t generation, const struct root *old)
{
    struct built *b = calloc(1, sizeof *b);
    dirbuild_init(&b->build, built_dir(), generation, old);
    return b;
}

void built_free(struct built *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        free((void *)(uintptr_t)b->pages[i].bytes.data);
    }
    free(b->memory);
    free(b);
}

void built_put(struct built *b, const char *key, const char *pin, uint64_t size)
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

void built_cut(struct built *b, bool last)
{
    struct dirbuild_cut next;
    while (dirbuild_next(&b->build, last, &next)) {
        uint8_t *page = malloc(next.size_max);
        size_t size = dirbuild_write(&b->build, &next, page, next.size_max);
        assert_true(size <= next.size_max);
        assert_true(b->count < BUILT_PAGES_MAX);
        assert_int_equal(page_open(span_of(page, size), &b->pages[b->count]), ERR_OK);
        b->count++;
    }
}

struct root built_root(const struct built *b)
{
    struct root root;
    struct root_writer writer;
    uint8_t *bytes = malloc(ROOT_SIZE_MAX);
    struct root_head head = { .dir = built_dir(),
                              .generation = b->build.generation,
                              .files = b->build.files,
                              .directories = b->build.directories,
                              .bytes = b->build.bytes,
                              .digest = b->build.digest };
    assert_int_equal(root_writer_init(&writer, bytes, ROOT_SIZE_MAX, span_text("")), ERR_OK);
    for (uint32_t i = 0; i < b->count; i++) {
        struct root_shard shard = { .lower = b->pages[i].lower,
                                    .place = place_of_shard(built_dir(), b->pages[i].lower),
                                    .entries = b->pages[i].count,
                                    .page_bytes = (uint32_t)b->pages[i].bytes.size,
                                    .page_crc = b->pages[i].crc };
        assert_int_equal(root_writer_add(&writer, &shard), ERR_OK);
    }
    size_t size = root_writer_end(&writer, &head);
    assert_int_equal(root_open(span_of(bytes, size), &root), ERR_OK);
    return root;
}

uint32_t built_entries(const struct built *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        count += page_count(&b->pages[i]);
    }
    return count;
}

void built_check_order(const struct built *b)
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

bool built_find(const struct built *b, const char *name, struct entry *out)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (page_find(&b->pages[i], span_text(name), out)) {
            return true;
        }
    }
    return false;
}

struct built *built_numbered(uint64_t generation, const struct root *old, uint32_t count,
                             uint64_t size)
{
    struct built *b = built_new(generation, old);
    for (uint32_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "f%06u", i);
        built_put(b, key, "v1", size);
        if (i % 1000 == 999) {
            built_cut(b, false);
        }
    }
    built_cut(b, true);
    return b;
}
