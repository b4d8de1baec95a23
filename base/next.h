/* base/next.h: the build that stands in for the next version (docs/versions.md).
 *
 * Made with `cmake --preset next`, for tests alone. It speaks one protocol more than this one and
 * says more than this one knows in every place where a later version may: in messages and gossip,
 * in records of members, datasets, directories and blocks, and in files. */
#pragma once
#include <stdint.h>
#include <string.h>

#ifdef ATOLL_NEXT
#define NEXT_BYTES 6u /* behind what is known, in each record; an odd part of anything */
#else
#define NEXT_BYTES 0u
#endif
#define IS_NEXT (NEXT_BYTES > 0)

/* What a later version has put there. Returns NEXT_BYTES. */
static inline uint32_t next_put(uint8_t *to)
{
#ifdef ATOLL_NEXT
    memset(to, 0xa5, NEXT_BYTES);
#else
    (void)to;
#endif
    return NEXT_BYTES;
}
