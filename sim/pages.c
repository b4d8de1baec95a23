/* sim/pages.c: madvise, which may be refused. */
#include "sim/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"

#define HUGE_PAGE (2u << 20)

void *pages_new(size_t size)
{
    void *data = aligned_alloc(HUGE_PAGE, (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    CHECK(data != NULL);
    (void)madvise(data, size, MADV_HUGEPAGE);
    return data;
}
