/* sim/pages.c: mmap: what is never touched costs nothing. */
#include "sim/pages.h"

#include <sys/mman.h>

#include "base/check.h"

void *pages_take(struct pages *pages, size_t size)
{
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(data != MAP_FAILED);
    *pages = (struct pages){ .data = data, .size = size };
    return data;
}

void pages_give(struct pages *pages)
{
    if (pages->data != NULL) {
        const int failed = munmap(pages->data, pages->size);
        CHECK(failed == 0);
    }
    *pages = (struct pages){ 0 };
}
