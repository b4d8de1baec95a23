/* fs/core/cell.c: chains of 28 bytes; a name takes one or two, an ETag two. */
#include "fs/core/cell.h"

#define CELL_BYTES 28u

struct cell {
    uint32_t next; /* 0: last one, or end of the free list */
    uint8_t data[CELL_BYTES];
};

size_t cell_memory(uint32_t count)
{
    return ((size_t)count + 1) * sizeof(struct cell) + 16;
}

enum err cell_init(struct cells *cells, struct arena *mem, uint32_t count)
{
    struct cell *items = arena_array(mem, (size_t)count + 1, sizeof *items);
    if (items == NULL) {
        return ERR_NOMEM;
    }
    *cells = (struct cells){ .items = items, .count = count + 1, .fresh = 1 };
    return ERR_OK;
}

static uint32_t cells_of(size_t size)
{
    return (uint32_t)((size + CELL_BYTES - 1) / CELL_BYTES);
}

static uint32_t take(struct cells *cells)
{
    uint32_t index = cells->free;
    if (index != 0) {
        cells->free = cells->items[index].next;
    } else {
        CHECK(cells->fresh < cells->count);
        index = cells->fresh++;
    }
    cells->items[index].next = 0;
    cells->used++;
    return index;
}

bool cell_store(struct cells *cells, struct span text, struct cell_ref *out)
{
    uint32_t need = cells_of(text.size);
    if (need > cells->count - 1 - cells->used) {
        return false;
    }
    struct cell_ref ref = { .size = (uint32_t)text.size };
    uint32_t *link = &ref.first;
    for (size_t at = 0; at < text.size; at += CELL_BYTES) {
        size_t part = text.size - at < CELL_BYTES ? text.size - at : CELL_BYTES;
        *link = take(cells);
        memcpy(cells->items[*link].data, text.data + at, part);
        link = &cells->items[*link].next;
    }
    *out = ref;
    return true;
}

void cell_drop(struct cells *cells, struct cell_ref *ref)
{
    uint32_t index = ref->first;
    while (index != 0) {
        uint32_t next = cells->items[index].next;
        CHECK(cells->used > 0);
        cells->items[index].next = cells->free;
        cells->free = index;
        cells->used--;
        index = next;
    }
    *ref = (struct cell_ref){ 0 };
}

void cell_copy(const struct cells *cells, struct cell_ref ref, uint8_t *to)
{
    uint32_t index = ref.first;
    for (size_t at = 0; at < ref.size; at += CELL_BYTES) {
        CHECK(index != 0);
        size_t part = ref.size - at < CELL_BYTES ? ref.size - at : CELL_BYTES;
        memcpy(to + at, cells->items[index].data, part);
        index = cells->items[index].next;
    }
}

bool cell_equal(const struct cells *cells, struct cell_ref ref, struct span text)
{
    if (ref.size != text.size) {
        return false;
    }
    uint32_t index = ref.first;
    for (size_t at = 0; at < text.size; at += CELL_BYTES) {
        size_t part = text.size - at < CELL_BYTES ? text.size - at : CELL_BYTES;
        if (memcmp(cells->items[index].data, text.data + at, part) != 0) {
            return false;
        }
        index = cells->items[index].next;
    }
    return true;
}
