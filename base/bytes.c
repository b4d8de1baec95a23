/* base/bytes.c: order of byte strings. */
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
