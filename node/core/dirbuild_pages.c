/* node/core/dirbuild_pages.c: pages made from pages: places taken over, directories put in. */
#include "node/core/dirbuild.h"

/* ---- joining with the generation before -------------------------------------------------- */

static bool is_unchanged(const struct entry *a, const struct entry *b)
{
    return a->type == b->type && a->size == b->size && span_equal(a->pin, b->pin);
}

/* The entry of `old` with that name, *at moves on: both pages are sorted. */
static bool find_next(const struct page *old, uint32_t *at, struct span name, struct entry *out)
{
    while (*at < page_count(old)) {
        page_entry(old, *at, out);
        int order = span_compare(out->name, name);
        if (order >= 0) {
            return order == 0;
        }
        (*at)++;
    }
    return false;
}

static size_t end_page(struct page_writer *writer, struct span upper, uint8_t *buffer)
{
    size_t size = page_writer_end(writer, upper);
    CHECK(size <= PAGE_SIZE_LIMIT && buffer != NULL);
    return size;
}

size_t dirbuild_join(const struct page *page, const struct page *old, uint8_t *buffer, size_t room,
                     bool *same)
{
    struct page_writer writer;
    struct page_start start = { .dir = page->dir,
                                .generation = page->generation,
                                .lower = page->lower };
    bool equal = page_count(page) == page_count(old) && span_equal(page->lower, old->lower) &&
                 span_equal(page->upper, old->upper);
    uint32_t at = 0;
    CHECK(room >= page->bytes.size + DIRBUILD_PAGE_SLACK);
    enum err err = page_writer_init(&writer, buffer, room, &start);
    CHECK(err == ERR_OK);
    for (uint32_t i = 0; i < page_count(page); i++) {
        struct entry entry;
        struct entry before;
        page_entry(page, i, &entry);
        bool kept = find_next(old, &at, entry.name, &before) && is_unchanged(&entry, &before);
        if (kept) {
            entry.place = before.place;
        }
        equal = equal && kept && entry.mtime_us == before.mtime_us;
        err = page_writer_add(&writer, &entry);
        CHECK(err == ERR_OK);
    }
    *same = equal;
    return end_page(&writer, page->upper, buffer);
}

/* ---- edits ------------------------------------------------------------------------------- */

/* The merged entries, one by one. */
struct merge {
    const struct dirbuild_edit *edit;
    uint32_t at;   /* in the page */
    uint32_t name; /* in the names */
};

/* What one step gives. */
struct merged {
    struct entry entry;
    bool is_new;
    bool hides; /* a new one that hides `hidden` */
    struct entry hidden;
};

static bool merge_next(struct merge *merge, struct merged *out)
{
    const struct dirbuild_edit *edit = merge->edit;
    bool has_entry = merge->at < page_count(edit->page);
    bool has_name = merge->name < edit->name_count;
    struct entry entry;
    if (!has_entry && !has_name) {
        return false;
    }
    int order = has_entry ? -1 : 1; /* which comes first */
    if (has_entry) {
        page_entry(edit->page, merge->at, &entry);
    }
    if (has_entry && has_name) {
        order = span_compare(entry.name, edit->names[merge->name]);
    }
    *out = (struct merged){ .is_new = false };
    if (order <= 0) {
        merge->at++;
        out->entry = entry;
    }
    if (order >= 0) {
        struct span name = edit->names[merge->name++];
        bool is_known = order == 0 && entry.type == ENTRY_DIR;
        out->is_new = !is_known;
        out->hides = order == 0 && !is_known;
        if (out->hides) {
            out->hidden = entry;
        }
        out->entry = (struct entry){ .name = name, .type = ENTRY_DIR };
    }
    return true;
}

uint32_t dirbuild_edit_count(const struct dirbuild_edit *edit, struct dirbuild_sums *sums)
{
    struct merge merge = { .edit = edit };
    struct merged merged;
    uint32_t count = 0;
    *sums = (struct dirbuild_sums){ .added = 0 };
    while (merge_next(&merge, &merged)) {
        count++;
        if (merged.is_new) {
            sums->added++;
            sums->digest += dirbuild_digest(&merged.entry);
        }
        if (merged.hides) {
            sums->replaced++;
            sums->replaced_bytes += merged.hidden.size;
            sums->digest -= dirbuild_digest(&merged.hidden);
        }
    }
    return count;
}

size_t dirbuild_edit_size(const struct dirbuild_edit *edit)
{
    size_t size = edit->page->bytes.size + ENTRY_NAME_MAX + DIRBUILD_PAGE_SLACK;
    size += (size_t)edit->page->count * NEXT_BYTES; /* it may be of the version before */
    for (uint32_t i = 0; i < edit->name_count; i++) {
        size += ENTRY_SIZE_MAX - PIN_MAX - ENTRY_NAME_MAX + 4 + edit->names[i].size;
    }
    return size;
}

size_t dirbuild_edit_write(const struct dirbuild_edit *edit, struct dirbuild_part part,
                           uint8_t *buffer, size_t room)
{
    struct merge merge = { .edit = edit };
    struct merged merged;
    struct page_writer writer = { .buffer = NULL };
    struct span upper = edit->page->upper;
    uint32_t index = 0;
    CHECK(part.count > 0);
    while (merge_next(&merge, &merged)) {
        if (index == part.first + part.count) {
            upper = merged.entry.name; /* where the second page begins */
            break;
        }
        if (index == part.first) {
            struct page_start start = {
                .dir = edit->page->dir,
                .generation = edit->generation,
                .lower = index == 0 ? edit->page->lower : merged.entry.name,
            };
            enum err err = page_writer_init(&writer, buffer, room, &start);
            CHECK(err == ERR_OK);
        }
        if (index >= part.first) {
            enum err err = page_writer_add(&writer, &merged.entry);
            CHECK(err == ERR_OK);
        }
        index++;
    }
    return end_page(&writer, upper, buffer);
}
