/* tests/fuzz/fuzz_page.c: pages and single entries from strangers, with and without a right checksum.
 * What opens is in order, and written again it opens to the same entries. */
#include <stdlib.h>

#include "base/crc.h"
#include "wire/dir.h"

#define RAW_MAX 4096u
#define HEAD 44u /* of a page (wire/dir.c) */
#define AT_LOWER 40
#define AT_UPPER 42

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_equal(const struct entry *a, const struct entry *b)
{
    CHECK(span_equal(a->name, b->name) && span_equal(a->pin, b->pin));
    CHECK(a->type == b->type && a->size == b->size);
    CHECK(a->mtime_us == b->mtime_us && a->place.v == b->place.v);
}

static void try_entry(struct span bytes)
{
    uint8_t buffer[ENTRY_SIZE_MAX];
    struct entry entry;
    struct entry back;
    size_t used = 0;
    if (entry_decode(bytes, &entry) != ERR_OK) {
        return;
    }
    CHECK(entry_is_valid(&entry));
    CHECK(entry_encode(&entry, buffer, sizeof buffer, &used) == ERR_OK);
    CHECK(entry_decode(span_of(buffer, used), &back) == ERR_OK);
    check_equal(&entry, &back);
}

static struct span write_again(const struct page *page)
{
    static uint8_t buffer[PAGE_SIZE_MAX];
    struct page_writer writer;
    struct page_start start = { .dir = page->dir,
                                .generation = page->generation,
                                .lower = page->lower };
    CHECK(page_writer_init(&writer, buffer, sizeof buffer, &start) == ERR_OK);
    for (uint32_t i = 0; i < page_count(page); i++) {
        struct entry entry;
        page_entry(page, i, &entry);
        CHECK(page_writer_add(&writer, &entry) == ERR_OK);
    }
    return span_of(buffer, page_writer_end(&writer, page->upper));
}

static void check_page(const struct page *page)
{
    struct page back;
    CHECK(page_open(write_again(page), &back) == ERR_OK);
    CHECK(page_count(&back) == page_count(page) && back.generation == page->generation);
    CHECK(dir_id_equal(back.dir, page->dir) && back.small_bytes == page->small_bytes);
    CHECK(span_equal(back.lower, page->lower) && span_equal(back.upper, page->upper));
    for (uint32_t i = 0; i < page_count(page); i++) {
        struct entry entry;
        struct entry found;
        page_entry(page, i, &entry);
        CHECK(entry_is_valid(&entry) && page_covers(page, entry.name));
        CHECK(page_lower_bound(page, entry.name) == i);
        CHECK(page_find(&back, entry.name, &found));
        check_equal(&entry, &found);
    }
}

/* Open `size` bytes of `bytes` with a right checksum, in memory of this size exactly, so that a step
 * outside is seen. */
static void try_sealed(const uint8_t *bytes, size_t size)
{
    struct page page;
    uint8_t *copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, bytes, size);
    put_u64(copy + size - 8, crc64(0, copy, size - 8));
    if (page_open(span_of(copy, size), &page) == ERR_OK) {
        check_page(&page);
    }
    free(copy);
}

/* Most random bytes fail at the head. Here the head and the table of offsets are made to fit what
 * is between them: a lower fence, records by the sizes they claim, and the rest as upper fence. */
static void try_mended(const uint8_t *data, size_t size)
{
    static uint8_t bytes[RAW_MAX + 4 * RAW_MAX + 8];
    if (size < HEAD || size > RAW_MAX) {
        return;
    }
    memcpy(bytes, data, size);
    size_t lower = bytes[AT_LOWER] % (size - HEAD + 1);
    size_t at = HEAD + lower;
    uint32_t count = 0;
    while (size - at >= 2 && get_u16(bytes + at) >= 2 && get_u16(bytes + at) <= size - at) {
        put_u32(bytes + size + (size_t)4 * count, (uint32_t)at);
        at += get_u16(bytes + at);
        count++;
    }
    memcpy(bytes, "APAG\1\0\54", 7); /* magic, version, size of the head */
    bytes[7] = 0;
    put_u32(bytes + 8, count);
    put_u32(bytes + 12, (uint32_t)size);
    put_u16(bytes + AT_LOWER, (uint16_t)lower);
    put_u16(bytes + AT_UPPER, (uint16_t)(size - at));
    try_sealed(bytes, size + (size_t)4 * count + 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct page page;
    try_entry(span_of(data, size));
    if (page_open(span_of(data, size), &page) == ERR_OK) {
        check_page(&page);
    }
    if (size >= 8) {
        try_sealed(data, size);
        try_mended(data, size);
    }
    return 0;
}
