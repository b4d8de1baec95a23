/* base/bytes.c: order of byte strings and of bytes. */
#include "base/bytes.h"

int span_compare(struct span a, struct span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    if (common > 0) {
        int order = memcmp(a.data, b.data, common);
        if (order != 0) {
            return order;
        }
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool span_starts_with(struct span text, struct span prefix)
{
    if (text.size < prefix.size) {
        return false;
    }
    return prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0;
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records are little endian; a big-endian machine needs byte swaps here"
#endif

uint16_t get_u16(const uint8_t *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

uint32_t get_u32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

uint64_t get_u64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

void put_u16(uint8_t *to, uint16_t value)
{
    memcpy(to, &value, sizeof value);
}

void put_u32(uint8_t *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

void put_u64(uint8_t *to, uint64_t value)
{
    memcpy(to, &value, sizeof value);
}
