/* base/crc.c: ISA-L computes. */
#include "base/crc.h"

#include <isa-l/crc64.h>

#include "base/check.h"

uint64_t crc64(uint64_t crc, const void *data, size_t size)
{
    CHECK(data != NULL || size == 0);
    return size == 0 ? crc : crc64_ecma_refl(crc, data, size);
}
