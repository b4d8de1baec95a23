/* sim/pages.h: memory of machines, in huge pages where the system has them: a run spends a third of its
 * time on page faults otherwise. Given back with free(). */
#pragma once
#include <stddef.h>

/* Not zeroed. */
void *pages_new(size_t size);
