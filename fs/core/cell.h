/* fs/core/cell.h: short byte strings in chained cells, so that a table of names never fragments. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

struct cell_ref {
    uint32_t first; /* 0: none */
    uint32_t size;
};
struct cell;
struct cells {
    struct cell *items;
    uint32_t count;
    uint32_t fresh; /* never used from here on */
    uint32_t free;
    uint32_t used;
};

size_t cell_memory(uint32_t count);
enum err cell_init(struct cells *cells, struct arena *mem, uint32_t count) MUST_USE;
/* false: no room; *out is untouched. */
bool cell_store(struct cells *cells, struct span text, struct cell_ref *out) MUST_USE;
void cell_drop(struct cells *cells, struct cell_ref *ref);
/* `to` has room for ref.size bytes. */
void cell_copy(const struct cells *cells, struct cell_ref ref, uint8_t *to);
bool cell_equal(const struct cells *cells, struct cell_ref ref, struct span text);
