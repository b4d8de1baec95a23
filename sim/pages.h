/* sim/pages.h: memory of machines, straight from the system: zeros without a write, so that of a table with
 * room for thousands only that is paid for which a run uses. */
#pragma once
#include <stddef.h>

struct pages {
    void *data; /* NULL: none */
    size_t size;
};

/* All zeros. */
void *pages_take(struct pages *pages, size_t size);
void pages_give(struct pages *pages);
