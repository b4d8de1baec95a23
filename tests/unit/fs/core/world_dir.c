/* tests/unit/fs/core/world_dir.c: listings of the table of files, as nodes publish them. */
#include "tests/unit/fs/core/world_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static const struct source_id source = { { WORLD_SOURCE } };

struct listed_name {
    char name[256];
    const struct world_file *file; /* NULL: a directory */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct listed_name *)a)->name, ((const struct listed_name *)b)->name);
}

static uint32_t names_below(const struct world *w, struct span prefix, struct listed_name *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->file_count; i++) {
        struct span key = span_text(w->files[i].key);
        if (!span_starts_with(key, prefix) || key.size == prefix.size) {
            continue;
        }
        const char *name = w->files[i].key + prefix.size;
        const char *slash = strchr(name, '/');
        size_t size = slash == NULL ? strlen(name) : (size_t)(slash - name);
        struct listed_name entry = { .file = slash == NULL ? &w->files[i] : NULL };
        memcpy(entry.name, name, size);
        out[count++] = entry;
    }
    qsort(out, count, sizeof *out, by_name);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || strcmp(out[kept - 1].name, out[i].name) != 0) {
            out[kept++] = out[i];
        }
    }
    return kept;
}

static struct entry entry_of(const struct listed_name *name, struct place place)
{
    struct entry entry = { .name = span_text(name->name), .type = ENTRY_DIR };
    if (name->file != NULL) {
        entry.type = ENTRY_FILE;
        entry.size = name->file->size;
        entry.mtime_us = 1600000000000000;
        entry.pin = span_text(name->file->pin);
        entry.place = entry.size <= SMALL_FILE_MAX ? place : (struct place){ 0 };
    }
    return entry;
}

static void write_page(struct world *w, struct world_listing *listing, struct dir_id dir,
                       const struct listed_name *names, uint32_t *at_and_count)
{
    uint32_t at = at_and_count[0];
    uint32_t end = at_and_count[1];
    struct page_writer writer;
    struct page_start start = { .dir = dir, .generation = w->generation };
    start.lower = at == 0 ? span_of(NULL, 0) : span_text(names[at].name);
    struct place place = place_of_shard(dir, start.lower);
    uint8_t *buffer = malloc(PAGE_SIZE_LIMIT);
    assert_int_equal(page_writer_init(&writer, buffer, PAGE_SIZE_LIMIT, &start), ERR_OK);
    while (at < end) {
        struct entry entry = entry_of(&names[at], place);
        if (page_writer_add(&writer, &entry) != ERR_OK) {
            break;
        }
        at++;
    }
    struct span upper = at < end ? span_text(names[at].name) : span_of(NULL, 0);
    listing->sizes[listing->count] = page_writer_end(&writer, upper);
    listing->pages[listing->count++] = buffer;
    at_and_count[0] = at;
}

void world_listing_make(struct world *w, struct span prefix, struct world_listing *out)
{
    static struct listed_name names[WORLD_FILES];
    uint32_t count = names_below(w, prefix, names);
    struct dir_id dir = dir_id_make(source, prefix);
    out->count = 0;
    uint32_t at[2] = { 0, count };
    while (at[0] < count) {
        write_page(w, out, dir, names, at);
    }
    struct root_writer writer;
    assert_int_equal(root_writer_init(&writer, out->root, sizeof out->root, prefix), ERR_OK);
    struct root_head head = { .dir = dir, .generation = w->generation };
    for (uint32_t i = 0; i < out->count; i++) {
        struct page page;
        assert_int_equal(page_open(span_of(out->pages[i], out->sizes[i]), &page), ERR_OK);
        struct root_shard shard = { .lower = page.lower,
                                    .place = place_of_shard(dir, page.lower),
                                    .entries = page.count,
                                    .page_bytes = (uint32_t)out->sizes[i],
                                    .page_crc = page.crc };
        assert_int_equal(root_writer_add(&writer, &shard), ERR_OK);
    }
    for (uint32_t i = 0; i < count; i++) {
        head.files += names[i].file != NULL;
        head.directories += names[i].file == NULL;
    }
    out->root_size = root_writer_end(&writer, &head);
}

void world_listing_free(struct world_listing *listing)
{
    for (uint32_t i = 0; i < listing->count; i++) {
        free(listing->pages[i]);
    }
}
